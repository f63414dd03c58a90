//! The anchor: puts the signed roots of the log on a chain, so that two people who are shown two logs
//! can find out. One transaction at a time, in the log's order, from the operator's own wallet.
//!
//! It never holds up a row: checkpoints are signed whether the chain is there or not, and those that
//! wait become one transaction for the newest ([`Due::collapse`]). It never loses one either: what is
//! sent was kept first, and is looked for, sent again or outbid until it is deep enough in the chain.

mod decide;
mod fees;
mod file;
mod halt;
mod ledger;
mod node;
mod rpc;
mod run;
mod sender;
mod store;
mod trouble;
mod tx;

pub use decide::{Awaited, GAS_BOUND, Rules};
pub use file::CheckpointFile;
pub use halt::Halt;
pub use ledger::LedgerStore;
pub use node::{chain_id, chain_logs};
pub use rpc::{Plain, Rpc, RpcError};
pub use run::Job;
pub use sender::{Again, Pace, Progress, Sender, Sent, StepError};
pub use store::{
    AnchorStore, Attempt, Due, Failure, Flight, Landed, MAX_ATTEMPTS, Record, StoreError,
};
pub use trouble::Trouble;
pub use tx::{Fees, NotAKey, Signed, Transaction};
