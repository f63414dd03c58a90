//! Where rows and events are kept: what a call decides on is read here, and what it decided is
//! made durable here, effect and event in one commit, before anybody is answered.
//!
//! This room knows `authority::ports` and decides nothing. It must never answer a commit before
//! it is on disk, give a place in the log twice or skip one, change or remove an event, or read
//! or write an actor's data without the `ActorScope` that proves somebody may.

mod anchor;
mod apply;
/// Copies for backups, and what opens them.
pub mod backup;
mod cut;
mod events;
mod feed;
mod guard;
mod log;
mod offline;
mod open;
mod pool;
mod read;
mod rows;
mod sqlite;
mod standing;
mod turn;
mod writer;

pub use offline::Offline;
pub use open::OpenError;
pub use sqlite::{Options, SqliteLedger};
pub use standing::{HostState, Standing};

#[cfg(test)]
mod tests;
