//! Actors' JWTs signed with the folder's own ring.

use crate::authority::actor_jwt::{self, ActorClaims, JwtError, Unproven};
use crate::authority::found::{self, purpose};
use crate::authority::jws::SignError;
use crate::authority::jws::key::{Jwk, PublicKey, SigningKey};
use crate::authority::keys::RootKey;
use crate::authority::ports::{ActorTokens, Entropy, Later, Ledger, LedgerError, SealedKey};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;

/// Signs with the newest key of the ring, verifies with all of them.
pub(super) struct LocalTokens {
    issuer: String,
    root: RootKey,
    ledger: Arc<dyn Ledger>,
    entropy: Arc<dyn Entropy>,
    /// Keys opened so far. A kid is the hash of its key, so that what is kept here never changes;
    /// whether a key is in the ring is read from the ledger each time.
    opened: Mutex<HashMap<String, Arc<SigningKey>>>,
}

impl LocalTokens {
    pub(super) fn new(
        ledger: Arc<dyn Ledger>,
        root: RootKey,
        entropy: Arc<dyn Entropy>,
        issuer: String,
    ) -> Self {
        Self {
            issuer,
            root,
            ledger,
            entropy,
            opened: Mutex::new(HashMap::new()),
        }
    }

    /// Opens a key of the ring, once.
    fn open(&self, sealed: &SealedKey) -> Result<Arc<SigningKey>, LedgerError> {
        if let Some(key) = self.opened.lock().get(&sealed.kid) {
            return Ok(Arc::clone(key));
        }
        let damaged = |what: String| LedgerError::Failed(format!("a key does not open: {what}"));
        let pkcs8 = self
            .root
            .open(purpose::ACTOR_JWT, sealed)
            .map_err(|e| damaged(e.to_string()))?;
        let key = SigningKey::from_pkcs8(pkcs8).map_err(|e| damaged(e.to_string()))?;
        if key.kid() != sealed.kid {
            return Err(damaged("it is not the one its row names".to_owned()));
        }
        let key = Arc::new(key);
        let kept = Arc::clone(&key);
        self.opened.lock().insert(sealed.kid.clone(), kept);
        Ok(key)
    }

    async fn public_key(&self, kid: &str) -> Result<Option<PublicKey>, LedgerError> {
        let Some(sealed) = self.ledger.key(purpose::ACTOR_JWT, kid).await? else {
            return Ok(None);
        };
        Ok(Some(self.open(&sealed)?.public().clone()))
    }
}

impl ActorTokens for LocalTokens {
    fn sign<'a>(
        &'a self,
        claims: &'a ActorClaims,
    ) -> Later<'a, Result<Result<String, SignError>, LedgerError>> {
        Box::pin(async move {
            let ring = self.ledger.keys(purpose::ACTOR_JWT).await?;
            let Some(newest) = ring.last() else {
                return Ok(Err(SignError::Crypto));
            };
            Ok(actor_jwt::sign(claims, &*self.open(newest)?))
        })
    }

    fn verify<'a>(
        &'a self,
        text: &'a str,
    ) -> Later<'a, Result<Result<ActorClaims, JwtError>, LedgerError>> {
        Box::pin(async move {
            let jwt = match Unproven::read(text) {
                Ok(jwt) => jwt,
                Err(error) => return Ok(Err(error)),
            };
            Ok(match self.public_key(jwt.kid()).await? {
                Some(key) => jwt.verify(&key, &self.issuer),
                None => Err(JwtError::UnknownKey),
            })
        })
    }

    fn public_keys(&self) -> Later<'_, Result<Vec<Jwk>, LedgerError>> {
        Box::pin(async move {
            let ring = self.ledger.keys(purpose::ACTOR_JWT).await?;
            let key = |sealed| self.open(sealed).map(|key| key.public().jwk());
            ring.iter().map(key).collect()
        })
    }

    fn fresh_key(&self, now_ms: i64) -> Result<SealedKey, SignError> {
        found::signing_key(purpose::ACTOR_JWT, &self.root, &*self.entropy, now_ms)
            .map_err(|_| SignError::Crypto)
    }
}
