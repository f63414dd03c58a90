//! Getting one certificate from an ACME server (RFC 8555): account, order, proofs, download. What costs
//! something there is kept before it is asked for, so that a run that was cut off is gone on with, and
//! nothing is served that was not checked. When to do it, `plan` says; nothing here decides that.

mod account;
mod challenge;
mod client;
mod fit;
mod lock;
mod order;
mod plan;
mod run;
mod state;
mod trouble;

pub use plan::{Known, Said, Stage, Step, Why, plan};
pub use run::{Acme, Issued, Reason, Tell, Wanted};
pub use state::{Failure, State, Window};
pub use trouble::{Kind, Trouble};
