//! Keys at rest: rings as ledger rows, sealed under one root key, which alone is outside.

use super::ports::{Entropy, SealedKey};
use crate::secret::Secret;
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::hmac;

/// The key every other key is sealed under: 32 bytes in a file of mode 0600 or a credential.
#[derive(Debug, Clone)]
pub struct RootKey(Secret<[u8; 32]>);

/// A sealed key that does not open: another root key, or changed bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the {0} key does not open under this root key")]
pub struct SealBroken(pub &'static str);

const NONCE: usize = 12;

impl RootKey {
    /// From its bytes.
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(Secret::new(bytes))
    }

    /// Seals a key for a ring; purpose and id are bound into it.
    pub fn seal(
        &self,
        purpose: &'static str,
        kid: &str,
        plain: &[u8],
        created_ms: i64,
        entropy: &dyn Entropy,
    ) -> Result<SealedKey, SealBroken> {
        let mut nonce = [0; NONCE];
        entropy.fill(&mut nonce);
        let sealed =
            seal(self.0.expose(), nonce, &label(purpose, kid), plain).ok_or(SealBroken(purpose))?;
        Ok(SealedKey {
            purpose: purpose.to_owned(),
            kid: kid.to_owned(),
            sealed,
            created_ms,
        })
    }

    /// What proves that a backup's manifest was written by whoever has this key.
    pub fn authenticate(&self, manifest: &[u8]) -> [u8; 32] {
        // HMAC is a key derivation too; the label keeps this use apart from every other.
        let root = hmac::Key::new(hmac::HMAC_SHA256, self.0.expose());
        let key = hmac::sign(&root, b"agentkeys.backup.manifest.v1");
        let key = hmac::Key::new(hmac::HMAC_SHA256, key.as_ref());
        let mut out = [0; 32];
        out.copy_from_slice(hmac::sign(&key, manifest).as_ref());
        out
    }

    /// Its bytes, for a backup that encrypts them.
    pub const fn bytes(&self) -> &Secret<[u8; 32]> {
        &self.0
    }

    /// Opens a ring's key.
    pub fn open(
        &self,
        purpose: &'static str,
        key: &SealedKey,
    ) -> Result<Secret<Vec<u8>>, SealBroken> {
        open(self.0.expose(), &label(purpose, &key.kid), &key.sealed)
            .map(Secret::new)
            .ok_or(SealBroken(purpose))
    }
}

fn label(purpose: &str, kid: &str) -> Vec<u8> {
    format!("agentkeys.ring.v1|{purpose}|{kid}").into_bytes()
}

/// AES-256-GCM as `nonce ‖ ciphertext ‖ tag`, bound to `aad`.
pub fn seal(key: &[u8; 32], nonce: [u8; NONCE], aad: &[u8], plain: &[u8]) -> Option<Vec<u8>> {
    let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key).ok()?);
    let mut body = plain.to_vec();
    key.seal_in_place_append_tag(
        Nonce::assume_unique_for_key(nonce),
        Aad::from(aad),
        &mut body,
    )
    .ok()?;
    let mut out = nonce.to_vec();
    out.append(&mut body);
    Some(out)
}

/// Opens what [`seal`] made; `None` if key, `aad` or any byte differs.
pub fn open(key: &[u8; 32], aad: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
    let (nonce, body) = sealed.split_at_checked(NONCE)?;
    let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key).ok()?);
    let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
    let mut body = body.to_vec();
    let length = key
        .open_in_place(nonce, Aad::from(aad), &mut body)
        .ok()?
        .len();
    body.truncate(length);
    Some(body)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    struct Fixed;
    impl Entropy for Fixed {
        fn fill(&self, bytes: &mut [u8]) {
            bytes.fill(7);
        }
    }

    #[test]
    fn a_key_opens_only_as_what_it_was_sealed() {
        let root = RootKey::new([1; 32]);
        let sealed = root.seal("cap", "k1", b"secret", 0, &Fixed).unwrap();
        assert_eq!(root.open("cap", &sealed).unwrap().expose(), b"secret");
        assert!(root.open("vault", &sealed).is_err());
        assert!(RootKey::new([2; 32]).open("cap", &sealed).is_err());
        let other = SealedKey {
            kid: "k2".into(),
            ..sealed
        };
        assert!(root.open("cap", &other).is_err());
    }
}
