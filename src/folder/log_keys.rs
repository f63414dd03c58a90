//! The log's checkpoints signed with the folder's own ring.

use crate::audit::note::{KeyError, LogKey, VerifierKey};
use crate::authority::found::{self, purpose};
use crate::authority::keys::RootKey;
use crate::authority::ports::{
    Entropy, Later, Ledger, LedgerError, LogKeys, PublishedKey, SealedKey,
};
use crate::secret::Secret;
use std::sync::Arc;

/// How long the key before the newest goes on signing, milliseconds: thirty days, for those who
/// pinned it to learn of the new one.
const OVERLAP_MS: i64 = 30 * 24 * 60 * 60 * 1000;

/// Signs with the newest key of an origin, and with the one before while they overlap.
pub(super) struct LocalLogKeys {
    root: RootKey,
    ledger: Arc<dyn Ledger>,
    entropy: Arc<dyn Entropy>,
}

impl LocalLogKeys {
    pub(super) fn new(ledger: Arc<dyn Ledger>, root: RootKey, entropy: Arc<dyn Entropy>) -> Self {
        Self {
            root,
            ledger,
            entropy,
        }
    }

    async fn ring(&self) -> Result<Vec<(SealedKey, VerifierKey)>, LedgerError> {
        let ring = self.ledger.keys(purpose::LOG).await?.into_iter();
        ring.map(|sealed| match sealed.kid.parse() {
            Ok(key) => Ok((sealed, key)),
            Err(_) => Err(damaged("a key of the log is not one")),
        })
        .collect()
    }

    fn open(&self, sealed: &SealedKey, public: &VerifierKey) -> Result<LogKey, LedgerError> {
        let seed = self.root.open(purpose::LOG, sealed);
        let seed = seed.map_err(|e| damaged(&e.to_string()))?;
        let seed = seed.expose().as_slice().try_into();
        let seed = Secret::new(seed.map_err(|_| damaged("a key of the log is not one"))?);
        let key = LogKey::from_seed(public.name(), &seed);
        key.ok()
            .filter(|key| key.verifier() == public)
            .ok_or_else(|| damaged("a key of the log is not the one its row names"))
    }
}

/// Whether each key of a ring signs at a moment: an origin's newest does, and the one before it
/// until the overlap is over.
fn signs(ring: &[(SealedKey, VerifierKey)], now_ms: i64) -> Vec<bool> {
    let signs = ring.iter().enumerate().map(|(at, (_, key))| {
        let mut later = ring[at + 1..]
            .iter()
            .filter(|(_, k)| k.name() == key.name());
        match (later.next(), later.next()) {
            (None, _) => true,
            (Some((next, _)), None) => now_ms < next.created_ms.saturating_add(OVERLAP_MS),
            _ => false,
        }
    });
    signs.collect()
}

impl LogKeys for LocalLogKeys {
    fn signing<'a>(
        &'a self,
        origin: &'a str,
        now_ms: i64,
    ) -> Later<'a, Result<Vec<LogKey>, LedgerError>> {
        Box::pin(async move {
            let ring = self.ring().await?;
            let signing = ring.iter().zip(signs(&ring, now_ms));
            signing
                .filter(|((_, key), signs)| *signs && key.name() == origin)
                .map(|((sealed, key), _)| self.open(sealed, key))
                .collect()
        })
    }

    fn published(&self, now_ms: i64) -> Later<'_, Result<Vec<PublishedKey>, LedgerError>> {
        Box::pin(async move {
            let ring = self.ring().await?;
            let states = signs(&ring, now_ms);
            let keys = ring.into_iter().zip(states);
            Ok(keys
                .map(|((sealed, key), signs)| PublishedKey {
                    key,
                    signs,
                    created_ms: sealed.created_ms,
                })
                .collect())
        })
    }

    fn fresh(&self, origin: &str, now_ms: i64) -> Result<SealedKey, KeyError> {
        found::log_key(origin, &self.root, &*self.entropy, now_ms)
    }
}

fn damaged(what: &str) -> LedgerError {
    LedgerError::Failed(what.to_owned())
}
