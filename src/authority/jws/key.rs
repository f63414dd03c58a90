//! The keys we sign with, and the public half of them as the world sees it.

use crate::digest::sha256;
use crate::secret::Secret;
use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _,
    ParsedPublicKey,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Why a key is not usable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The random source or the key generation failed.
    #[error("no key could be generated")]
    Generate,
    /// The bytes are not a P-256 private key in PKCS#8.
    #[error("not a P-256 private key in PKCS#8")]
    Private,
    /// The bytes are not a point on P-256.
    #[error("not a P-256 public key")]
    Public,
}

/// A key that signs (ECDSA on P-256).
#[derive(Debug)]
pub struct SigningKey {
    pkcs8: Secret<Vec<u8>>,
    pair: EcdsaKeyPair,
    public: PublicKey,
}

impl SigningKey {
    /// A new key. The library draws from its own generator and ignores `rng`; it is asked for so
    /// that the caller's signature says where randomness enters.
    pub fn generate(rng: &dyn SecureRandom) -> Result<Self, KeyError> {
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, rng)
            .map_err(|_| KeyError::Generate)?;
        Self::from_pkcs8(Secret::new(pkcs8.as_ref().to_vec()))
    }

    /// A key as it was sealed.
    pub fn from_pkcs8(pkcs8: Secret<Vec<u8>>) -> Result<Self, KeyError> {
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.expose())
            .map_err(|_| KeyError::Private)?;
        let public = PublicKey::from_sec1(pair.public_key().as_ref())?;
        Ok(Self {
            pkcs8,
            pair,
            public,
        })
    }

    /// Its private key, for the sealed row it is kept in.
    pub const fn pkcs8(&self) -> &Secret<Vec<u8>> {
        &self.pkcs8
    }

    /// Its public half.
    pub const fn public(&self) -> &PublicKey {
        &self.public
    }

    /// Its name in headers and in `jwks.json`.
    pub fn kid(&self) -> &str {
        self.public.kid()
    }

    /// The signature r ‖ s over `message`.
    pub(super) fn sign(&self, message: &[u8]) -> Option<aws_lc_rs::signature::Signature> {
        self.pair.sign(&SystemRandom::new(), message).ok()
    }
}

/// The public half of a key. Cheap to clone.
#[derive(Debug, Clone)]
pub struct PublicKey {
    kid: Arc<str>,
    point: [u8; 65],
    // Parsed once: checking that the point lies on the curve is not free.
    parsed: Arc<ParsedPublicKey>,
}

impl PublicKey {
    /// A key from its uncompressed point, `04 ‖ x ‖ y` (SEC 1 §2.3.3). Its kid is its RFC 7638
    /// thumbprint, so that one key has one name and two keys never share one.
    pub fn from_sec1(point: &[u8]) -> Result<Self, KeyError> {
        let point: [u8; 65] = point.try_into().map_err(|_| KeyError::Public)?;
        let parsed =
            ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).map_err(|_| KeyError::Public)?;
        let [x, y] = coordinates(&point);
        let canonical = format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#);
        Ok(Self {
            kid: URL_SAFE_NO_PAD
                .encode(sha256(&[canonical.as_bytes()]))
                .into(),
            point,
            parsed: Arc::new(parsed),
        })
    }

    /// Its name in headers and in `jwks.json`.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// Its uncompressed point.
    pub const fn sec1(&self) -> &[u8; 65] {
        &self.point
    }

    /// The key as other programs read it (RFC 7517).
    pub fn jwk(&self) -> Jwk {
        let [x, y] = coordinates(&self.point);
        Jwk {
            kty: "EC".to_owned(),
            crv: "P-256".to_owned(),
            x,
            y,
            alg: "ES256".to_owned(),
            use_: "sig".to_owned(),
            kid: self.kid.to_string(),
        }
    }

    /// Whether `signature`, r ‖ s, is this key's over `message`.
    pub(super) fn verify(&self, message: &[u8], signature: &[u8; 64]) -> bool {
        self.parsed.verify_sig(message, signature).is_ok()
    }
}

/// x and y in base64url.
fn coordinates(point: &[u8; 65]) -> [String; 2] {
    [&point[1..33], &point[33..]].map(|half| URL_SAFE_NO_PAD.encode(half))
}

/// One key of `/.well-known/jwks.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Jwk {
    /// Key type.
    pub kty: String,
    /// Curve.
    pub crv: String,
    /// First coordinate, base64url.
    pub x: String,
    /// Second coordinate, base64url.
    pub y: String,
    /// The only algorithm it is for.
    pub alg: String,
    /// What it is for.
    #[serde(rename = "use")]
    pub use_: String,
    /// Its name in headers.
    pub kid: String,
}

/// The keys whose signatures are accepted for one use: the current one, and those before it whose
/// last signature may still be in somebody's hands.
#[derive(Debug, Clone, Default)]
pub struct PublicRing(BTreeMap<Arc<str>, PublicKey>);

impl PublicRing {
    /// Adds a key.
    pub fn insert(&mut self, key: PublicKey) {
        self.0.insert(Arc::clone(&key.kid), key);
    }

    /// The key a header names.
    pub fn get(&self, kid: &str) -> Option<&PublicKey> {
        self.0.get(kid)
    }

    /// The ring as `jwks.json` lists it, ordered by kid.
    pub fn jwks(&self) -> Vec<Jwk> {
        self.0.values().map(PublicKey::jwk).collect()
    }
}

impl FromIterator<PublicKey> for PublicRing {
    fn from_iter<I: IntoIterator<Item = PublicKey>>(keys: I) -> Self {
        let mut ring = Self::default();
        for key in keys {
            ring.insert(key);
        }
        ring
    }
}
