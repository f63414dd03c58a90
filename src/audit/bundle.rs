//! The proof somebody can carry away: one event's bytes and everything that ties them to a signed
//! root, as lines of text (`docs/audit.md` has the format for writing another verifier). Every field
//! is covered by a signature of the log or computed again; what is left out proves less, never more.

mod text;
mod verdict;
mod verify;

pub use text::{MAX_BUNDLE_BYTES, MAX_ENVELOPE_BYTES};
pub use verdict::{Failure, Part, Proof, Signer, Verdict};
pub use verify::verify;

use super::note::{SignedNote, VerifierKey};
use super::tree::Hash;

/// A proof bundle, as it is read or about to be written. It says nothing before [`verify`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bundle {
    /// The event's place in the log.
    pub seq: u64,
    /// The exact bytes of its envelope.
    pub envelope: Vec<u8>,
    /// From its leaf to the checkpoint's root.
    pub inclusion: Vec<Hash>,
    /// A signed root of a tree that has the event.
    pub checkpoint: SignedNote,
    /// A later signed root, and that it continues the first.
    pub newer: Option<Newer>,
    /// The signed statement of where one of the two roots was put on a chain.
    pub anchor: Option<SignedNote>,
    /// The keys that sign the notes; every one of them does, and nobody else.
    pub keys: Vec<VerifierKey>,
}

/// A later checkpoint of the same log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Newer {
    /// The later checkpoint.
    pub checkpoint: SignedNote,
    /// From the first checkpoint's root to this one's.
    pub consistency: Vec<Hash>,
}

#[cfg(test)]
mod tests;
