//! How each host drives us: what xiaozhi-server and Volcano Ark put on the wire, so that a proof
//! can be run without them and a drift of theirs has one place to be written down.
//!
//! This room comes in from outside, as a host does: it knows URLs, tokens and config files, and
//! nothing else. It never imports `authority`, `ledger` or `vault`, and it takes no short cut to a
//! server in the same process, since a proof that goes round the door proves nothing.

pub mod ark;
pub mod ark_standin;
mod error;
pub mod parent;
pub(crate) mod wire;
pub mod xiaozhi;

#[cfg(test)]
#[allow(clippy::unwrap_used, missing_docs)]
pub(crate) mod test_server;

pub use error::RailError;
pub use wire::CaFile;
