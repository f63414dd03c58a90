//! The log itself as what the anchor keeps its record in, and what says what is due.

use super::store::{AnchorStore, Due, Flight, Landed, Record, StoreError};
use super::trouble::Trouble;
use crate::audit::anchor::Anchor;
use crate::audit::anchor_call::KindBitmap;
use crate::audit::checkpoint::Checkpoint;
use crate::audit::envelope::kind::OpKind;
use crate::audit::envelope::peek;
use crate::audit::note::SignedNote;
use crate::authority::calls::admin::AdminCall;
use crate::authority::identity::WalletAddress;
use crate::authority::keys::RootKey;
use crate::authority::ports::{
    Later, LedgerError, LogState, SealedLog, WhichAnchor, WhichCheckpoint,
};
use crate::authority::{Answer, Authority, Call};
use parking_lot::Mutex;
use std::sync::Arc;

/// Events read at a time: of the largest that there can be, 64 MiB.
const CHUNK: u32 = 256;

/// The code of the answer that a transaction is kept already.
pub(crate) const KEPT_ALREADY: &str = "agentkeys.audit.anchored";

/// What the anchor keeps, in the log of an authority.
pub struct LedgerStore {
    authority: Arc<Authority>,
    root: RootKey,
    chain_id: u64,
    contract: WalletAddress,
    /// The kinds as far as they were read: the log only grows, so that nothing is read twice.
    seen: Mutex<Seen>,
}

/// The kinds of a stretch of the log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Seen {
    origin: u32,
    from: u64,
    to: u64,
    kinds: KindBitmap,
    /// Events whose kind cannot be known any more.
    unknown: u64,
}

impl Seen {
    /// Whether there is anything but anchors in it. An anchor leaves an event, and that alone is not
    /// worth another.
    fn is_worth_it(&self) -> bool {
        let anchor = OpKind::Anchor.as_byte();
        self.unknown > 0 || self.kinds.kinds().any(|kind| kind != anchor)
    }
}

impl std::fmt::Debug for LedgerStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LedgerStore").finish_non_exhaustive()
    }
}

impl LedgerStore {
    /// For roots that go to this contract on this chain.
    pub fn new(
        authority: Arc<Authority>,
        root: RootKey,
        chain_id: u64,
        contract: WalletAddress,
    ) -> Self {
        Self {
            authority,
            root,
            chain_id,
            contract,
            seen: Mutex::default(),
        }
    }

    /// What stopped the anchor last, if nothing succeeded since.
    pub async fn trouble(&self) -> Result<Option<Trouble>, StoreError> {
        let desk = self.log().anchor_desk().await?;
        let text = desk.trouble.as_deref();
        Ok(text.and_then(|text| serde_json::from_str(text).ok()))
    }

    /// Keeps what stops it, or that nothing does.
    pub async fn keep_trouble(&self, trouble: Option<&Trouble>) -> Result<(), StoreError> {
        let text = trouble.map(serde_json::to_string).transpose();
        let text = text.map_err(|error| StoreError(error.to_string()))?;
        Ok(self.log().keep_anchor_trouble(text).await?)
    }

    fn log(&self) -> &dyn SealedLog {
        self.authority.log()
    }

    async fn what_is_due(&self) -> Result<Option<Due>, StoreError> {
        let log = self.log();
        let state = log.log_state().await?;
        let origin = state.origin.number;
        let Some(last) = log.checkpoint(origin, WhichCheckpoint::Last).await? else {
            return Ok(None);
        };
        let which = WhichAnchor::NewestIn {
            chain_id: self.chain_id,
            contract: *self.contract.as_bytes(),
        };
        let settled = log.anchor(origin, which).await?;
        let settled = settled.map_or(0, |kept| kept.anchor.anchored.entry_count);
        if last.size <= settled {
            return Ok(None);
        }
        let seen = self.look_through(&state, settled, last.size).await?;
        if !seen.is_worth_it() {
            return Ok(None);
        }
        let note = SignedNote::parse(last.note.as_bytes()).map_err(damaged)?;
        let checkpoint = Checkpoint::from_text(note.text()).map_err(damaged)?;
        Ok(Some(Due {
            origin,
            size: checkpoint.size(),
            root: *checkpoint.root(),
            kinds: seen.kinds,
        }))
    }

    /// The kinds of the events from a place up to another. Those whose bodies were pruned cannot be
    /// read any more; they are counted.
    async fn look_through(
        &self,
        state: &LogState,
        from: u64,
        until: u64,
    ) -> Result<Seen, LedgerError> {
        let origin = state.origin.number;
        let before = *self.seen.lock();
        let goes_on = (before.origin, before.from) == (origin, from) && before.to <= until;
        let mut seen = if goes_on {
            before
        } else {
            Seen {
                origin,
                from,
                to: from,
                ..Seen::default()
            }
        };
        let gone = state.pruned.min(until).saturating_sub(seen.to);
        seen.unknown += gone;
        seen.to += gone;
        while seen.to < until {
            let most = u32::try_from(until - seen.to).map_or(CHUNK, |left| left.min(CHUNK));
            let envelopes = self.log().envelopes(seen.to, most).await?;
            if envelopes.is_empty() {
                let cause = format!("event {} is not there", seen.to);
                return Err(LedgerError::Failed(cause));
            }
            for envelope in envelopes {
                match peek(&envelope) {
                    Some(event) => seen.kinds.add(event.op_kind),
                    None => seen.unknown += 1,
                }
                seen.to += 1;
            }
            *self.seen.lock() = seen;
        }
        Ok(seen)
    }

    /// One commit: the anchor is kept, nothing is on its way any more, and the row says so.
    async fn keep(&self, flight: &Flight, landed: &Landed) -> Result<(), StoreError> {
        let anchor = Anchor {
            // Its name is filled in by whoever knows it.
            origin: String::new(),
            chain_id: flight.chain_id,
            contract: *flight.contract.as_bytes(),
            transaction: landed.transaction,
            block: landed.block,
            anchored: flight.anchored,
        };
        let origin = flight.origin;
        let call = AdminCall::LogAnchor { origin, anchor };
        let operator = self.authority.at_work(&self.root);
        let call = Call::Admin(Box::new(call));
        match self.authority.perform(&operator, call).await {
            Ok(done) => match done.answer {
                Answer::Invalid(problem) if problem.code == KEPT_ALREADY => {
                    self.save(&Record::default()).await
                }
                Answer::Invalid(problem) => Err(StoreError(problem.code.to_owned())),
                _ => Ok(()),
            },
            Err(refusal) => Err(StoreError(refusal.cause.message().to_owned())),
        }
    }
}

impl AnchorStore for LedgerStore {
    fn due(&self) -> Later<'_, Result<Option<Due>, StoreError>> {
        Box::pin(self.what_is_due())
    }

    fn load(&self) -> Later<'_, Result<Record, StoreError>> {
        Box::pin(async {
            match self.log().anchor_desk().await?.record {
                Some(text) => serde_json::from_str(&text).map_err(damaged),
                None => Ok(Record::default()),
            }
        })
    }

    fn save<'a>(&'a self, record: &'a Record) -> Later<'a, Result<(), StoreError>> {
        Box::pin(async {
            let text = serde_json::to_string(record).map_err(damaged)?;
            let text = (*record != Record::default()).then_some(text);
            Ok(self.log().keep_anchor_record(text).await?)
        })
    }

    fn settle<'a>(
        &'a self,
        flight: &'a Flight,
        landed: &'a Landed,
    ) -> Later<'a, Result<(), StoreError>> {
        Box::pin(self.keep(flight, landed))
    }
}

impl From<LedgerError> for StoreError {
    fn from(error: LedgerError) -> Self {
        Self(error.to_string())
    }
}

fn damaged(error: impl std::fmt::Display) -> StoreError {
    StoreError(format!("it is damaged: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_anchors_own_event_is_not_worth_another() {
        let with = |kinds: &[u8], unknown| Seen {
            kinds: kinds.iter().copied().collect(),
            unknown,
            ..Seen::default()
        };
        assert!(!with(&[], 0).is_worth_it());
        assert!(!with(&[131], 0).is_worth_it());
        assert!(with(&[131, 10], 0).is_worth_it());
        assert!(with(&[131], 1).is_worth_it());
    }
}
