//! Keys of notes: the one that signs, and the text form of the one that verifies.

use crate::digest::sha256;
use crate::secret::Secret;
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::fmt;
use std::str::FromStr;

/// The standard's byte for an Ed25519 signature.
const ED25519_TYPE: u8 = 0x01;

/// The longest text of a verifier key that is read, in bytes.
const MAX_KEY_TEXT: usize = 512;

/// Why a text is not a key, or a key cannot sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Not `name+hash+base64`.
    #[error("a verifier key is written name+hash+base64")]
    Shape,
    /// The name is empty, or has a space or a plus sign.
    #[error("a key's name is not empty and has neither spaces nor plus signs")]
    Name,
    /// The hash does not belong to this name and key: one of the three was mistyped.
    #[error("the key's hash does not belong to its name and its key")]
    Hash,
    /// Not an Ed25519 key.
    #[error("the key is not an Ed25519 key")]
    Kind,
    /// The library refused to make the key or to sign.
    #[error("the key could not be used")]
    Unusable,
    /// No key, or more than a note may have signatures.
    #[error("a note is signed by one to sixteen keys")]
    Count,
}

/// A public key with its name, in text `name+hash+base64`: what a reader pins and compares.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct VerifierKey {
    name: String,
    public: [u8; 32],
}

impl VerifierKey {
    /// A key under a name.
    pub fn new(name: &str, public: [u8; 32]) -> Result<Self, KeyError> {
        if !is_name(name) {
            return Err(KeyError::Name);
        }
        Ok(Self {
            name: name.to_owned(),
            public,
        })
    }

    /// Its name: for a log's key, the log's origin.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The 32 bytes of RFC 8032.
    pub const fn public_key(&self) -> &[u8; 32] {
        &self.public
    }

    /// What signature lines name it by: the first four bytes of its fingerprint.
    pub fn id(&self) -> [u8; 4] {
        let [a, b, c, d, ..] = self.digest();
        [a, b, c, d]
    }

    /// SHA-256 of name, line end, type byte and key, in hex; its first eight digits are the hash in
    /// the key's text. People compare this.
    pub fn fingerprint(&self) -> String {
        hex::encode(self.digest())
    }

    fn digest(&self) -> [u8; 32] {
        sha256(&[self.name.as_bytes(), b"\n", &[ED25519_TYPE], &self.public])
    }

    pub(super) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, &self.public)
            .verify(message, signature)
            .is_ok()
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = [&[ED25519_TYPE][..], &self.public].concat();
        write!(
            f,
            "{}+{}+{}",
            self.name,
            hex::encode(self.id()),
            STANDARD.encode(key)
        )
    }
}

impl FromStr for VerifierKey {
    type Err = KeyError;

    /// Strict: what it accepts, `Display` writes back byte for byte.
    fn from_str(text: &str) -> Result<Self, KeyError> {
        if text.len() > MAX_KEY_TEXT {
            return Err(KeyError::Shape);
        }
        // Base64 may have plus signs, a name may not.
        let (name, rest) = text.split_once('+').ok_or(KeyError::Shape)?;
        let (hash, key) = rest.split_once('+').ok_or(KeyError::Shape)?;
        let key = STANDARD.decode(key).map_err(|_| KeyError::Shape)?;
        let [ED25519_TYPE, public @ ..] = &key[..] else {
            return Err(KeyError::Kind);
        };
        let public = public.try_into().map_err(|_| KeyError::Kind)?;
        let key = Self::new(name, public)?;
        if hash != hex::encode(key.id()) {
            return Err(KeyError::Hash);
        }
        Ok(key)
    }
}

/// A log's signing key.
pub struct LogKey {
    verifier: VerifierKey,
    pair: Ed25519KeyPair,
}

impl LogKey {
    /// The key of a 32-byte seed (RFC 8032 §5.1.5).
    pub fn from_seed(name: &str, seed: &Secret<[u8; 32]>) -> Result<Self, KeyError> {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed.expose());
        let pair = pair.map_err(|_| KeyError::Unusable)?;
        let public = pair.public_key().as_ref();
        let public = public.try_into().map_err(|_| KeyError::Unusable)?;
        Ok(Self {
            verifier: VerifierKey::new(name, public)?,
            pair,
        })
    }

    /// Its public half, to publish.
    pub const fn verifier(&self) -> &VerifierKey {
        &self.verifier
    }

    pub(super) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        let signature = self.pair.try_sign(message);
        Ok(signature.map_err(|_| KeyError::Unusable)?.as_ref().to_vec())
    }
}

impl fmt::Debug for LogKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LogKey({})", self.verifier)
    }
}

/// Whether a text can name a key in a note.
pub(super) fn is_name(name: &str) -> bool {
    !name.is_empty()
        && !name
            .chars()
            .any(|c| c.is_whitespace() || c.is_control() || c == '+')
}
