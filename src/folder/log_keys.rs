//! The log's checkpoints signed with the folder's own ring.

use crate::audit::note::{KeyError, LogKey, VerifierKey};
use crate::authority::found::{self, purpose};
use crate::authority::keys::RootKey;
use crate::authority::ports::{
    Entropy, Later, Ledger, LedgerError, LogKeys, PublishedKey, SealedKey,
};
use crate::secret::Secret;
use std::sync::Arc;

/// The most keys that sign at once: a note has room for sixteen signatures.
const MOST: usize = 8;

/// How long a key goes on signing after the next one was made, milliseconds: thirty days, for those
/// who pinned it to learn of the new one.
const OVERLAP_MS: i64 = 30 * 24 * 60 * 60 * 1000;

/// Signs with the newest key of an origin, and with those before it while they overlap.
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

/// Whether each key of a ring signs at a moment: an origin's newest does, and those before it until
/// their overlap is over.
fn signs(ring: &[(SealedKey, VerifierKey)], now_ms: i64) -> Vec<bool> {
    let signs = ring.iter().enumerate().map(|(at, (_, key))| {
        let mut later = ring[at + 1..]
            .iter()
            .filter(|(_, k)| k.name() == key.name());
        let Some((next, _)) = later.next() else {
            return true;
        };
        let overlaps = now_ms < next.created_ms.saturating_add(OVERLAP_MS);
        overlaps && later.count() + 2 <= MOST
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn made(origin: &str, created_ms: i64) -> (SealedKey, VerifierKey) {
        let public = [u8::try_from(created_ms % 200).unwrap(); 32];
        let sealed = SealedKey {
            purpose: purpose::LOG.to_owned(),
            kid: String::new(),
            sealed: Vec::new(),
            created_ms,
        };
        (sealed, VerifierKey::new(origin, public).unwrap())
    }

    #[test]
    fn each_key_signs_until_thirty_days_after_the_next_one_was_made() {
        let ring = [made("a", 0), made("a", 10), made("b", 20), made("a", 30)];
        assert_eq!(signs(&ring, 40), [true, true, true, true]);
        assert_eq!(signs(&ring, OVERLAP_MS + 10), [false, true, true, true]);
        assert_eq!(signs(&ring, OVERLAP_MS + 30), [false, false, true, true]);
        let many: Vec<_> = (0..20).map(|at| made("a", at)).collect();
        let signing = signs(&many, 20);
        assert_eq!(signing.iter().filter(|s| **s).count(), MOST);
        assert!(signing.ends_with(&[true; MOST]));
    }
}
