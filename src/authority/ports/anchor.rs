//! What of the sealed log is on a chain, and what the anchor is about to put there.

use super::{Later, LedgerError};
use crate::audit::anchor::Anchor;

/// A root that is on a chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptAnchor {
    /// The number of its origin.
    pub origin: u32,
    /// What and where.
    pub anchor: Anchor,
    /// The same as a signed note, as text.
    pub note: String,
    /// When it was deep enough, Unix milliseconds.
    pub at_ms: i64,
}

/// Which anchor of an origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhichAnchor {
    /// That of the largest tree.
    Newest,
    /// The same, of those in one contract.
    NewestIn {
        /// EIP-155 chain id.
        chain_id: u64,
        /// The contract.
        contract: [u8; 20],
    },
    /// That of the smallest tree with the event at this place: it was there first.
    Covering(u64),
}

/// What the anchor keeps for itself, as it wrote it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AnchorDesk {
    /// What was sent and is not settled.
    pub record: Option<String>,
    /// What stopped it last.
    pub trouble: Option<String>,
}

/// Keeps what is on a chain. What is new there comes with its row, as
/// [`Effect::KeepAnchor`](super::Effect::KeepAnchor).
pub trait AnchorLog: Send + Sync {
    /// An anchor of an origin.
    fn anchor(
        &self,
        origin: u32,
        which: WhichAnchor,
    ) -> Later<'_, Result<Option<KeptAnchor>, LedgerError>>;
    /// The newest anchors of all origins, at most `most`, newest first.
    fn anchors(&self, most: u32) -> Later<'_, Result<Vec<KeptAnchor>, LedgerError>>;
    /// What the anchor keeps for itself.
    fn anchor_desk(&self) -> Later<'_, Result<AnchorDesk, LedgerError>>;
    /// Replaces what was sent.
    fn keep_anchor_record(&self, record: Option<String>) -> Later<'_, Result<(), LedgerError>>;
    /// Replaces what stopped it.
    fn keep_anchor_trouble(&self, trouble: Option<String>) -> Later<'_, Result<(), LedgerError>>;
}
