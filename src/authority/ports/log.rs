//! The sealed log: the tree over the events, the names it was signed under, and what was signed.

use super::anchor::AnchorLog;
use super::{Later, LedgerError, SealedKey};
use crate::audit::note::{KeyError, LogKey, VerifierKey};
use crate::audit::tree::{Tile, TileId, Wanted};
use std::collections::{BTreeMap, BTreeSet};

/// A name the log is signed under.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogOrigin {
    /// Counts from 1; a restored store goes on under the next.
    pub number: u32,
    /// What checkpoints and keys call it.
    pub name: String,
}

/// How far the log and its tree are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogState {
    /// The name in use.
    pub origin: LogOrigin,
    /// How many events there are.
    pub size: u64,
    /// How many of them the tree has.
    pub integrated: u64,
    /// How many of the first have lost their bodies.
    pub pruned: u64,
    /// How many of those are gone from the disk.
    pub swept: u64,
}

/// A root that was signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptCheckpoint {
    /// The number of its origin.
    pub origin: u32,
    /// How many events it covers.
    pub size: u64,
    /// The signed note, as text.
    pub note: String,
    /// When it was signed, Unix milliseconds.
    pub at_ms: i64,
}

/// Which checkpoint of an origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhichCheckpoint {
    /// The newest.
    Last,
    /// The first that covers the event at this place.
    Covering(u64),
    /// The one of exactly this size.
    Of(u64),
}

/// Who may build the tree, and until when unless it says so again.
#[derive(Debug, Clone, Copy)]
pub struct Lease<'a> {
    /// Who.
    pub holder: &'a str,
    /// Now, Unix milliseconds.
    pub now_ms: i64,
    /// When somebody else may.
    pub until_ms: i64,
    /// One that ends later than this was taken by a clock that was put back since, and is over.
    pub latest_ms: i64,
}

/// Keeps the tree and its signed roots beside the events. Nothing here decides: what is signed is
/// checked by [`crate::audit::checkpoint::Checkpoint::sign_after`], what is proved by whoever reads.
pub trait SealedLog: AnchorLog + Send + Sync {
    /// How far the log and its tree are, all of one moment.
    fn log_state(&self) -> Later<'_, Result<LogState, LedgerError>>;
    /// The name of this number; none that it never had.
    fn origin(&self, number: u32) -> Later<'_, Result<Option<LogOrigin>, LedgerError>>;
    /// The exact bytes of at most `most` events from a place on, without a gap.
    fn envelopes(&self, from: u64, most: u32) -> Later<'_, Result<Vec<Vec<u8>>, LedgerError>>;
    /// Those of these tiles that are there.
    fn tiles(
        &self,
        wanted: BTreeSet<Wanted>,
    ) -> Later<'_, Result<BTreeMap<TileId, Tile>, LedgerError>>;
    /// Takes or renews the lease on building the tree; false when somebody else has it.
    fn lease<'a>(&'a self, lease: Lease<'a>) -> Later<'a, Result<bool, LedgerError>>;
    /// Gives the lease back.
    fn release<'a>(&'a self, holder: &'a str) -> Later<'a, Result<(), LedgerError>>;
    /// Drops a lease that ended by `now_ms`, or that ends later than one can (`latest_ms`); says whether
    /// there was one.
    fn drop_lease(&self, now_ms: i64, latest_ms: i64) -> Later<'_, Result<bool, LedgerError>>;
    /// Puts these tiles in the place of those that are there, if `holder` has the lease; false when
    /// not. With `end`, the tree ends there, and tiles beyond it are removed.
    fn mend<'a>(
        &'a self,
        holder: &'a str,
        tiles: Vec<Tile>,
        end: Option<u64>,
    ) -> Later<'a, Result<bool, LedgerError>>;
    /// Keeps what events from `from` up to `to` added to the tree, if the tree ends at `from` and
    /// `holder` has the lease; false when not.
    fn integrate<'a>(
        &'a self,
        holder: &'a str,
        from: u64,
        to: u64,
        tiles: Vec<Tile>,
    ) -> Later<'a, Result<bool, LedgerError>>;
    /// A checkpoint of an origin.
    fn checkpoint(
        &self,
        origin: u32,
        which: WhichCheckpoint,
    ) -> Later<'_, Result<Option<KeptCheckpoint>, LedgerError>>;
    /// Keeps a checkpoint, if `after` is the newest of its origin; false when not. One of the same
    /// size takes that one's place.
    fn keep_checkpoint<'a>(
        &'a self,
        checkpoint: &'a KeptCheckpoint,
        after: Option<u64>,
    ) -> Later<'a, Result<bool, LedgerError>>;
    /// Removes the bodies of at most `most` pruned events from the disk; true when none is left.
    fn sweep(&self, most: u32) -> Later<'_, Result<bool, LedgerError>>;
}

/// A key of the log as the world may know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishedKey {
    /// The key.
    pub key: VerifierKey,
    /// Whether new checkpoints carry its signature.
    pub signs: bool,
    /// When it was made, Unix milliseconds.
    pub created_ms: i64,
}

/// The ring that signs checkpoints. Read when asked, so that a rotation by another process holds
/// from the next checkpoint on.
pub trait LogKeys: Send + Sync {
    /// The keys that sign for an origin now: its newest, and the one before while they overlap.
    fn signing<'a>(
        &'a self,
        origin: &'a str,
        now_ms: i64,
    ) -> Later<'a, Result<Vec<LogKey>, LedgerError>>;
    /// Every key there ever was, oldest first.
    fn published(&self, now_ms: i64) -> Later<'_, Result<Vec<PublishedKey>, LedgerError>>;
    /// A new key for an origin, sealed.
    fn fresh(&self, origin: &str, now_ms: i64) -> Result<SealedKey, KeyError>;
}
