//! Caps signed with the folder's own ring.

use crate::authority::cap::{self, CapClaims, CapError, RevokedList};
use crate::authority::found::purpose;
use crate::authority::jws::SignError;
use crate::authority::jws::key::{Jwk, PublicRing, SigningKey};
use crate::authority::keys::RootKey;
use crate::authority::ports::{CapAuthority, Ledger};
use crate::problem::{Exit, Problem};

/// Signs with the newest key, verifies with all of them.
pub(super) struct LocalCaps {
    issuer: String,
    newest: SigningKey,
    ring: PublicRing,
}

impl LocalCaps {
    /// Opens the ring.
    pub(super) async fn load(
        ledger: &dyn Ledger,
        root: &RootKey,
        issuer: String,
    ) -> Result<Self, Problem> {
        let damaged = |what: String| {
            Problem::new(
                Exit::Config,
                "agentkeys.folder.cap_key_damaged",
                format!("the cap keys do not open: {what}"),
                "restore keys/root.key and the ledger from the same backup",
            )
        };
        let sealed = ledger
            .keys(purpose::CAP)
            .await
            .map_err(|e| damaged(e.to_string()))?;
        let mut ring = PublicRing::default();
        let mut newest = None;
        for key in &sealed {
            let pkcs8 = root
                .open(purpose::CAP, key)
                .map_err(|e| damaged(e.to_string()))?;
            let key = SigningKey::from_pkcs8(pkcs8).map_err(|e| damaged(e.to_string()))?;
            ring.insert(key.public().clone());
            newest = Some(key);
        }
        let newest = newest.ok_or_else(|| damaged("there is none".to_owned()))?;
        Ok(Self {
            issuer,
            newest,
            ring,
        })
    }
}

impl CapAuthority for LocalCaps {
    fn sign(&self, claims: &CapClaims) -> Result<String, SignError> {
        cap::sign(claims, &self.newest)
    }

    fn sign_revoked(&self, list: &RevokedList<'_>) -> Result<String, SignError> {
        cap::sign_revoked(list, &self.newest)
    }

    fn verify(&self, text: &str, now_s: u64) -> Result<CapClaims, CapError> {
        cap::verify(text, &self.ring, now_s, &self.issuer)
    }

    fn public_keys(&self) -> Vec<Jwk> {
        self.ring.jwks()
    }
}
