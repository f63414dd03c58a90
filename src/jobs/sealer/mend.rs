//! Making the stored tree again from the entries, if what was signed proves that they are the ones it
//! was made of.

use super::{CHUNK, SealError, Sealer};
use crate::audit::checkpoint::{Checkpoint, CheckpointError};
use crate::audit::note::{SignedNote, VerifierKey};
use crate::audit::tree::{Frontier, Hash, TILE_WIDTH, TileId, Wanted, leaf_hash};
use crate::authority::ports::{LogState, WhichCheckpoint};
use std::collections::BTreeSet;
use std::time::Duration;

impl Sealer {
    /// Makes every tile again, and says of how many entries. Nothing is written unless the root over the
    /// entries is the one that was signed last.
    pub async fn mend(&self, patience: Duration) -> Result<u64, SealError> {
        self.hold(patience).await?;
        let mended = self.mend_under_lease().await;
        self.log().release(&self.holder).await?;
        mended
    }

    async fn mend_under_lease(&self) -> Result<u64, SealError> {
        let state = self.log().log_state().await?;
        let Some(signed) = self.newest_signed(&state).await? else {
            return Err(damaged("nothing was signed that could prove the entries"));
        };
        let size = state.integrated.max(signed.size());
        if size > state.size {
            return Err(damaged("there are fewer entries than were signed"));
        }
        if self.root_of_entries(&state, signed.size()).await? != *signed.root() {
            return Err(damaged("the entries are not those that were signed"));
        }
        let mut frontier = Frontier::new();
        while frontier.size() < size {
            let leaves = self.leaves(&state, frontier.size(), size).await?;
            let tiles = frontier.append(leaves);
            self.keep_hold().await?;
            if !self.log().mend(&self.holder, tiles, None).await? {
                return Err(SealError::Busy);
            }
        }
        if !self
            .log()
            .mend(&self.holder, Vec::new(), Some(size))
            .await?
        {
            return Err(SealError::Busy);
        }
        Ok(size)
    }

    /// The newest checkpoint of the newest origin that has one, under a key of the ring.
    async fn newest_signed(&self, state: &LogState) -> Result<Option<Checkpoint>, SealError> {
        let keys = self.authority.log_keys();
        let keys = keys.published(self.clock.now_ms()).await?.into_iter();
        let known: Vec<VerifierKey> = keys.map(|k| k.key).collect();
        for origin in (1..=state.origin.number).rev() {
            let last = self.log().checkpoint(origin, WhichCheckpoint::Last);
            if let Some(last) = last.await? {
                let note = SignedNote::parse(last.note.as_bytes());
                let note = note.map_err(CheckpointError::from)?;
                return Ok(Some(Checkpoint::open(&note, &known)?.0));
            }
        }
        Ok(None)
    }

    /// The root over the first entries as they are now, whatever the stored tree says.
    pub(super) async fn root_of_entries(
        &self,
        state: &LogState,
        size: u64,
    ) -> Result<Hash, SealError> {
        let mut frontier = Frontier::new();
        while frontier.size() < size {
            let leaves = self.leaves(state, frontier.size(), size).await?;
            for leaf in leaves {
                frontier.push(leaf);
            }
            // A long log takes longer than a lease lasts.
            self.keep_hold().await?;
        }
        Ok(frontier.root())
    }

    /// The next leaves from a place on, at least one: of entries whose bodies are gone, those that are
    /// stored. That they are the right ones shows in the root.
    async fn leaves(&self, state: &LogState, from: u64, to: u64) -> Result<Vec<Hash>, SealError> {
        let gone = state.swept.min(to);
        if from >= gone {
            let most = u32::try_from(to - from).map_or(CHUNK, |left| left.min(CHUNK));
            let envelopes = self.log().envelopes(from, most).await?;
            if envelopes.is_empty() {
                return Err(damaged(&format!("entry seq {from} is not there")));
            }
            return Ok(envelopes.iter().map(|e| leaf_hash(e)).collect());
        }
        let wide = TILE_WIDTH as u64;
        let index = from / wide;
        let id = TileId { level: 0, index };
        let until = gone.min((index + 1) * wide);
        let width = usize::try_from(until - index * wide).unwrap_or(TILE_WIDTH);
        let wanted = BTreeSet::from([Wanted { id, width }]);
        let tiles = self.log().tiles(wanted).await?;
        let hashes = tiles.get(&id).and_then(|tile| tile.hashes().get(..width));
        let first = usize::try_from(from % wide).unwrap_or(TILE_WIDTH);
        let hashes = hashes.and_then(|hashes| hashes.get(first..));
        let gone = || {
            damaged(&format!(
                "the hash of entry seq {from}, which was pruned, is gone too"
            ))
        };
        Ok(hashes.ok_or_else(gone)?.to_vec())
    }

    async fn keep_hold(&self) -> Result<(), SealError> {
        if self.lease().await? {
            return Ok(());
        }
        Err(SealError::Busy)
    }
}

fn damaged(what: &str) -> SealError {
    SealError::Damaged(what.to_owned())
}
