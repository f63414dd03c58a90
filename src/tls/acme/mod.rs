//! Getting one certificate from an ACME server (RFC 8555): account, order, proofs, download. What costs
//! something there is kept before it is asked for, so that a run that was cut off is gone on with, and
//! nothing is served that was not checked. When to do it, `plan` says; nothing here decides that.

/// Takes a step again as long as its nonce is refused.
macro_rules! patiently {
    ($step:expr) => {{
        let mut tries = 0;
        loop {
            match $step.await.map_err(because) {
                Err(trouble) if trouble.kind == Kind::Nonce && tries < NONCES => tries += 1,
                done => break done,
            }
        }
    }};
}

mod account;
mod challenge;
mod client;
mod fit;
mod later;
mod lock;
mod order;
mod plan;
mod prove;
mod run;
mod state;
mod trouble;

pub use later::Reason;
pub use plan::{Known, Said, Stage, Step, Why, plan};
pub use run::{Acme, Issued, Tell, Wanted};
pub use state::{Failure, State, Window};
pub use trouble::{Kind, Trouble};
