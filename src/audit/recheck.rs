//! The check of a whole store: every row against the tree that is stored beside it, the tree against
//! every root that was signed, and all of it against what the reader kept and trusts. Pure: the store
//! is handed over in [`Stretch`]es, in the order of the log, and nothing that grows with it is kept.
//!
//! The first position that is wrong is named. Where a row and the stored tree disagree that is the row's
//! own place. Where both agree and a signature says otherwise, it is the first entry after the largest
//! signed tree that is still the beginning of this one.

mod end;
mod row;
mod stretch;
mod verdict;

pub use stretch::{Row, StoredCheckpoint, Stretch, WIDTH, tiles_ending};
pub use verdict::{Failure, Held, Kept, Verdict, What};

use crate::audit::checkpoint::{Checkpoint, CheckpointError};
use crate::audit::note::{NoteError, SignedNote, VerifierKey};
use crate::audit::tree::{Frontier, Hash, Tile, TileId, leaf_hash};
use std::collections::BTreeMap;

/// How much older than what was signed an entry may claim to be, milliseconds: clocks are set back
/// a little, and two of them are never quite the same.
pub const BACK_DATED_MS: i64 = 60_000;

/// A name the log was signed under.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// Counts from 1.
    pub number: i64,
    /// What checkpoints and keys call it.
    pub name: String,
}

/// What a store says about itself.
#[derive(Debug, Clone)]
pub struct Head {
    /// How many entries it counted.
    pub size: u64,
    /// How many of them the tree has.
    pub integrated: u64,
    /// How many of the first have lost their bodies.
    pub pruned: u64,
    /// How many of those are gone from the disk.
    pub swept: u64,
    /// The names it had.
    pub origins: Vec<Origin>,
    /// The keys it says sign it.
    pub keys: Vec<VerifierKey>,
}

/// What only shows at the end.
#[derive(Debug, Clone, Default)]
pub struct End {
    /// The first checkpoint of more entries than there are.
    pub beyond: Option<StoredCheckpoint>,
    /// Whether there are tiles that a tree of this size does not have.
    pub tiles_beyond: bool,
}

/// What a finding that is certain still needs its words for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pending {
    /// Nothing: it is all said.
    Nothing,
    /// Whether the row or the tile is wrong: the next signed root says it.
    Leaf,
    /// Whether a later signed root holds: then the two contradict each other.
    Root,
    /// Whether the log itself says that it was put back.
    Kept,
}

/// Says that the log went on under another name.
#[derive(Debug, Clone)]
struct Restart {
    seq: u64,
    last: Checkpoint,
}

/// The newest checkpoint that holds.
#[derive(Debug, Clone)]
struct Newest {
    number: i64,
    checkpoint: Checkpoint,
    signers: Vec<VerifierKey>,
}

/// A check on its way through the log.
#[derive(Debug)]
pub struct Recheck {
    head: Head,
    known: Vec<VerifierKey>,
    trusted: Vec<VerifierKey>,
    since: Option<(Checkpoint, Vec<VerifierKey>)>,
    frontier: Frontier,
    leaves: Vec<Hash>,
    failure: Option<Failure>,
    pending: Pending,
    newest: Option<Newest>,
    /// The largest tree below that somebody vouches for whom the reader believes, and what it was at
    /// the kept checkpoint.
    good: u64,
    good_at_since: Option<u64>,
    since_stored: bool,
    /// The first checkpoint of more entries than there are.
    beyond: Option<StoredCheckpoint>,
    newest_ms: Option<i64>,
    restart: Option<Restart>,
    /// Of each origin, whether a row says that it begins.
    begun: Vec<bool>,
    prune_named: bool,
}

impl Recheck {
    /// A check of a store with this head. `trusted` are keys the reader pinned, `since` is a signed
    /// checkpoint the reader kept.
    pub fn new(
        head: Head,
        trusted: Vec<VerifierKey>,
        since: Option<&SignedNote>,
    ) -> Result<Self, Failure> {
        let mut known = head.keys.clone();
        known.extend(trusted.iter().filter(|k| !head.keys.contains(k)).cloned());
        let whose = if trusted.is_empty() { &known } else { &trusted };
        let since = match since.map(|note| Checkpoint::open(note, whose)) {
            None => None,
            Some(Ok((kept, signers))) => {
                if !head.origins.iter().any(|o| o.name == kept.origin()) {
                    let cause = format!("the kept checkpoint is of another log, {}", kept.origin());
                    return Err(Failure::new(What::Since, None, cause));
                }
                Some((kept, signers.into_iter().cloned().collect()))
            }
            Some(Err(error)) => {
                let whose = if trusted.is_empty() {
                    "this store's"
                } else {
                    "the trusted"
                };
                let cause =
                    format!("the kept checkpoint does not hold under {whose} keys: {error}");
                return Err(Failure::new(What::Since, None, cause));
            }
        };
        let begun = vec![false; head.origins.len()];
        let mut check = Self {
            known,
            trusted,
            since,
            frontier: Frontier::new(),
            leaves: Vec::new(),
            failure: None,
            pending: Pending::Nothing,
            newest: None,
            good: 0,
            good_at_since: None,
            since_stored: false,
            beyond: None,
            newest_ms: None,
            restart: None,
            begun,
            prune_named: false,
            head,
        };
        let head = &check.head;
        let ascending = [0, head.swept, head.pruned, head.integrated, head.size];
        if let Some(pair) = ascending.windows(2).find(|pair| pair[0] > pair[1]) {
            let cause = "the store's own counts of entries contradict each other";
            check.fail(What::Head, pair[1], cause);
        }
        Ok(check)
    }

    /// How many entries were looked at.
    pub const fn looked_at(&self) -> u64 {
        self.frontier.size()
    }

    /// Takes the next stretch; says whether another one can change anything.
    pub fn take(&mut self, stretch: &Stretch) -> bool {
        if self.over() {
            return false;
        }
        let level0 = TileId {
            level: 0,
            index: stretch.first / WIDTH,
        };
        let level0 = stretch.tiles.iter().find(|(id, _)| *id == level0);
        let level0 = level0.and_then(|(_, bytes)| bytes.as_deref());
        let level0 = level0.unwrap_or_default().as_chunks::<32>().0;
        let mut rows = stretch.rows();
        let mut made: BTreeMap<TileId, Tile> = BTreeMap::new();
        for stop in self.stops(stretch) {
            let mut leaves = std::mem::take(&mut self.leaves);
            leaves.clear();
            self.hashes_only(stretch.first, stop, level0, &mut leaves);
            self.rows(&mut rows, stretch.first, stop, level0, &mut leaves);
            let tiles = self.frontier.append(leaves.iter().copied());
            made.extend(tiles.into_iter().map(|tile| (tile.id(), tile)));
            self.leaves = leaves;
            if self.over() {
                break;
            }
            let mut here = signed_of(stretch, stop);
            if self.frontier.size() < stop {
                self.beyond = self.beyond.take().or(here.next().cloned());
                continue;
            }
            self.compare(stretch, stop, here, &mut made);
        }
        !self.over()
    }

    /// Where in a stretch there is something to compare the tree with.
    fn stops(&self, stretch: &Stretch) -> Vec<u64> {
        let end = stretch.first.saturating_add(WIDTH);
        let signed = stretch.checkpoints.iter().map(size_of);
        let since = self.since.as_ref().map(|(kept, _)| kept.size());
        let stops = signed.chain(since).chain([self.head.integrated, end]);
        let within =
            |stop: &u64| *stop <= end && (*stop > stretch.first || *stop + stretch.first == 0);
        let mut stops: Vec<u64> = stops.filter(within).collect();
        stops.sort_unstable();
        stops.dedup();
        stops
    }

    fn over(&self) -> bool {
        self.failure.is_some() && self.pending == Pending::Nothing
    }

    /// Leaves of entries whose bodies are gone.
    fn hashes_only(&mut self, first: u64, stop: u64, level0: &[Hash], leaves: &mut Vec<Hash>) {
        for place in self.frontier.size()..self.head.swept.min(stop) {
            let Some(leaf) = level0.get(at(place, first)) else {
                let cause = format!(
                    "the body of entry seq {place} was pruned, and its hash is not there either"
                );
                return self.fail(What::Tile, place, cause);
            };
            leaves.push(*leaf);
        }
    }

    fn rows<'r>(
        &mut self,
        rows: &mut impl Iterator<Item = Row<'r>>,
        first: u64,
        stop: u64,
        level0: &[Hash],
        leaves: &mut Vec<Hash>,
    ) {
        let mut place = self.frontier.size() + leaves.len() as u64;
        while place < stop && !self.over() {
            let Some(row) = rows.next() else { return };
            if let Err((what, bad, cause)) = self.in_place(place, row.seq) {
                return self.fail(what, bad, cause);
            }
            let leaf = leaf_hash(row.envelope);
            leaves.push(leaf);
            let stored = level0
                .get(at(place, first))
                .filter(|_| place < self.head.integrated);
            if stored.is_some_and(|stored| *stored != leaf) && self.failure.is_none() {
                let cause = format!("entry seq {place} is not the one the stored tree has");
                self.fail(What::Entry, place, cause);
                self.pending = Pending::Leaf;
            } else if let Err((what, cause)) = self.look_at(place, &row) {
                self.fail(what, place, cause);
            }
            place += 1;
        }
    }

    /// Whether a row is the one that has to come at a place.
    fn in_place(&self, place: u64, seq: i64) -> Result<(), (What, u64, String)> {
        match u64::try_from(seq) {
            Ok(seq) if seq == place && place < self.head.size => Ok(()),
            Ok(seq) if seq > place => Err((
                What::Missing,
                place,
                format!("entry seq {place} is missing"),
            )),
            Ok(seq) if seq == place => {
                let counted = self.head.size;
                let cause =
                    format!("entry seq {place} is there, and the log counts only {counted}");
                Err((What::Extra, place, cause))
            }
            found => {
                let cause =
                    format!("a row for entry seq {seq} is there twice, or although it was pruned");
                Err((What::Extra, found.unwrap_or(0), cause))
            }
        }
    }

    /// Compares the tree that the entries make with all there is to compare it with at this size.
    fn compare<'s>(
        &mut self,
        stretch: &Stretch,
        stop: u64,
        signed: impl Iterator<Item = &'s StoredCheckpoint>,
        made: &mut BTreeMap<TileId, Tile>,
    ) {
        let mut root = None;
        // Before the store's own of the same size, which may contradict it.
        let since = self.since.as_ref().map(|(kept, _)| kept.size());
        if since == Some(stop) {
            let root = *root.get_or_insert_with(|| self.frontier.root());
            self.kept(&root);
        }
        for checkpoint in signed {
            let root = *root.get_or_insert_with(|| self.frontier.root());
            self.checkpoint(checkpoint, &root);
        }
        let end = self
            .head
            .integrated
            .min(stretch.first.saturating_add(WIDTH));
        if stop == end && self.failure.is_none() {
            if stop == self.head.integrated {
                let unfinished = self.frontier.unfinished();
                made.extend(unfinished.into_iter().map(|tile| (tile.id(), tile)));
            }
            self.tiles(stretch, made);
        }
    }

    /// Whether a row says what its envelope says, and what else it means for the check.
    fn look_at(&mut self, place: u64, row: &Row<'_>) -> Result<(), (What, String)> {
        let seen = row::check(place, row)?;
        let since = self.since.as_ref().map(|(kept, _)| kept.size());
        match since {
            Some(since) if place >= since => {
                let newest = self.newest_ms.filter(|_| self.good_at_since.is_some());
                if newest.is_some_and(|ms| row.ts_ms < ms.saturating_sub(BACK_DATED_MS)) {
                    let cause = format!(
                        "entry seq {place} came after the kept checkpoint and claims to be from before \
                         what that had signed"
                    );
                    return Err((What::BackDated, cause));
                }
            }
            _ => self.newest_ms = self.newest_ms.max(Some(row.ts_ms)),
        }
        match seen.says(row.envelope) {
            row::Says::Pruned { first_kept } => {
                self.prune_named |= first_kept == self.head.pruned;
            }
            row::Says::Restarted {
                closed,
                origin,
                last,
            } => {
                let known = self.head.origins.iter().position(|o| o.name == origin);
                if let Some(begun) = known.and_then(|at| self.begun.get_mut(at)) {
                    *begun = true;
                }
                let kept = self.since.as_ref().map(|(kept, _)| kept);
                if kept.is_some_and(|k| k.origin() == closed && k.size() <= last.size()) {
                    self.restart = Some(Restart { seq: place, last });
                }
            }
            row::Says::Nothing => {}
        }
        Ok(())
    }

    fn checkpoint(&mut self, stored: &StoredCheckpoint, root: &Hash) {
        if self.over() {
            return;
        }
        let (checkpoint, signers) = match self.open(stored) {
            Ok(opened) => opened,
            Err((what, cause)) => {
                if self.failure.is_none() {
                    let cause = format!("the checkpoint of {} entries {cause}", stored.size);
                    self.fail(what, self.good, cause);
                }
                return;
            }
        };
        let matches = checkpoint.root() == root;
        match self.pending {
            Pending::Leaf => return self.whose_fault(matches),
            Pending::Root if matches => {
                let last = self.failure.take();
                let cause = last.map(|f| f.cause).unwrap_or_default();
                let cause = format!(
                    "{cause}; the one of {} entries is: two signed checkpoints contradict each other",
                    stored.size
                );
                self.fail(What::Contradiction, self.good, cause);
                self.pending = Pending::Nothing;
                return;
            }
            Pending::Kept => return self.against_kept(&checkpoint),
            Pending::Root => return,
            Pending::Nothing => {}
        }
        if !matches {
            let cause = format!(
                "the log is not the one that was signed: somewhere from entry seq {} on, and before \
                 entry seq {}, it was changed together with its tree",
                self.good, stored.size
            );
            self.fail(What::Fork, self.good, cause);
            self.pending = Pending::Root;
            return;
        }
        if let Some((kept, _)) = &self.since {
            self.since_stored |=
                kept.origin() == checkpoint.origin() && kept.size() == checkpoint.size();
        }
        if signers.iter().any(|key| self.vouches(key)) {
            self.good = checkpoint.size();
        }
        let place = (stored.origin, checkpoint.size());
        let newer = |n: &Newest| (n.number, n.checkpoint.size()) < place;
        if self.newest.as_ref().is_none_or(newer) {
            self.newest = Some(Newest {
                number: stored.origin,
                checkpoint,
                signers,
            });
        }
    }

    /// Reads a stored checkpoint and says who signs it.
    fn open(
        &self,
        stored: &StoredCheckpoint,
    ) -> Result<(Checkpoint, Vec<VerifierKey>), (What, String)> {
        let damaged = |cause: String| (What::Checkpoint, cause);
        let note = SignedNote::parse(stored.note.as_bytes());
        let note = note.map_err(|e| damaged(format!("cannot be read: {e}")))?;
        let opened = Checkpoint::open(&note, &self.known).map_err(|error| match error {
            CheckpointError::Note(NoteError::NotSigned) => {
                let cause = "is signed by a stranger: by no key of this log";
                (What::Stranger, cause.to_owned())
            }
            error => damaged(format!("does not hold: {error}")),
        });
        let (checkpoint, signers) = opened?;
        let mut origins = self.head.origins.iter();
        let origin = origins.find(|o| o.number == stored.origin);
        if origin.is_none_or(|origin| origin.name != checkpoint.origin())
            || u64::try_from(stored.size) != Ok(checkpoint.size())
        {
            return Err(damaged("is kept as another than it says it is".to_owned()));
        }
        Ok((checkpoint, signers.into_iter().cloned().collect()))
    }

    /// Whether the reader has a reason of its own to believe a key.
    fn vouches(&self, key: &VerifierKey) -> bool {
        match &self.since {
            _ if !self.trusted.is_empty() => self.trusted.contains(key),
            Some((_, signers)) => signers.contains(key),
            None => true,
        }
    }

    /// A row and its hash differ; the next signed root shows which of them was altered.
    fn whose_fault(&mut self, rows_hold: bool) {
        self.pending = Pending::Nothing;
        let Some(failure) = &mut self.failure else {
            return;
        };
        let entry = failure.first_bad.unwrap_or(0);
        if rows_hold {
            failure.what = What::Tile;
            failure.cause = format!(
                "the stored tree has another hash for entry seq {entry}, which itself is the one that \
                 was signed"
            );
        } else {
            failure.cause = format!("entry seq {entry} is not the one that was signed");
        }
    }

    fn kept(&mut self, root: &Hash) {
        let Some((kept, _)) = &self.since else { return };
        if kept.root() == root {
            self.good_at_since = Some(self.good);
            return;
        }
        if self.failure.is_none() {
            let cause = format!(
                "the log is not a continuation of the kept checkpoint: somewhere from entry seq {} on, \
                 and before entry seq {}, it is another",
                self.good,
                kept.size()
            );
            self.fail(What::Fork, self.good, cause);
            self.pending = Pending::Kept;
        }
    }

    /// The log is not what was kept; a checkpoint of the store's own may say the opposite of it.
    fn against_kept(&mut self, own: &Checkpoint) {
        let Some((kept, _)) = &self.since else { return };
        let opposite = kept.origin() == own.origin() && kept.size() == own.size();
        if let Some(failure) = self.failure.as_mut().filter(|_| opposite && kept != own) {
            failure.what = What::Contradiction;
            failure
                .cause
                .push_str("; the store has signed another root for the same entries");
        }
    }

    /// Compares stored tiles with those the entries make.
    fn tiles(&mut self, stretch: &Stretch, made: &BTreeMap<TileId, Tile>) {
        for (id, stored) in &stretch.tiles {
            let Some(made) = made.get(id) else { continue };
            let under = |hash: u64| (id.index * WIDTH + hash) << (8 * u32::from(id.level)).min(63);
            let Some(stored) = stored else {
                let path = made.path();
                let cause = format!("a part of the stored tree is missing: {path}");
                return self.fail(What::Tile, under(0), cause);
            };
            let (hashes, rest) = stored.as_chunks::<32>();
            let pairs = hashes.iter().zip(made.hashes());
            let same = pairs.take_while(|(a, b)| a == b).count();
            if id.level == 0 && same == made.hashes().len() && hashes.len() > same {
                let there = under(same as u64);
                let (what, cause) = if there == self.head.size {
                    (
                        What::Truncated,
                        format!(
                            "the log ends before entry seq {there}, and the stored tree goes on"
                        ),
                    )
                } else {
                    let cause =
                        format!("the stored tree is said to end at entry seq {there}, and goes on");
                    (What::Tile, cause)
                };
                return self.fail(what, there, cause);
            }
            if same < made.hashes().len() || hashes.len() != same || !rest.is_empty() {
                let cause = format!(
                    "the stored tree is not the tree of the entries: {} differs",
                    made.path()
                );
                return self.fail(What::Tile, under(same as u64), cause);
            }
        }
    }

    fn fail(&mut self, what: What, first_bad: u64, cause: impl Into<String>) {
        if self.failure.is_none() {
            self.failure = Some(Failure::new(what, Some(first_bad), cause.into()));
        }
    }
}

/// The size a stored checkpoint is kept under; nothing for what cannot be one.
fn size_of(stored: &StoredCheckpoint) -> u64 {
    u64::try_from(stored.size).unwrap_or(0)
}

fn signed_of(stretch: &Stretch, size: u64) -> impl Iterator<Item = &StoredCheckpoint> {
    let signed = stretch.checkpoints.iter();
    signed.filter(move |stored| size_of(stored) == size)
}

/// How far one place is behind another.
fn at(place: u64, first: u64) -> usize {
    usize::try_from(place.saturating_sub(first)).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests;
