//! A compact JWS (RFC 7515 §7.1), ES256 only: the form of whatever we sign that others verify. Pure.
//!
//! What is signed for one use is never taken for another: each use has its own `typ` and its own
//! ring of keys. What the claims mean, and in which order they are looked at, is each use's own.

pub mod key;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use key::{PublicKey, SigningKey};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// Nothing longer is looked at, and nothing longer is signed.
pub const MAX_BYTES: usize = 4096;

const ALG: &str = "ES256";

/// The protected header, exactly. Any other member is refused, so that neither `jku`, `jwk`, `x5u`
/// and `x5c` can bring a key along nor `crit` a meaning we do not know (RFC 8725 §3.10).
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header<'a> {
    #[serde(borrow)]
    alg: std::borrow::Cow<'a, str>,
    #[serde(borrow)]
    typ: std::borrow::Cow<'a, str>,
    #[serde(borrow)]
    kid: std::borrow::Cow<'a, str>,
}

/// Why nothing was signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    /// The claims contradict each other.
    #[error("the claims contradict each other")]
    Claims,
    /// It would be longer than a verifier accepts.
    #[error("it would be longer than {MAX_BYTES} bytes")]
    TooLarge,
    /// There is no key, or the signing itself failed.
    #[error("it could not be signed")]
    Crypto,
}

/// Why a text is not one of ours in form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FormError {
    /// Longer than any.
    #[error("it is longer than {MAX_BYTES} bytes")]
    TooLarge,
    /// Parts, header, claims or signature are not what they must be.
    #[error("it is malformed")]
    Malformed,
}

/// Signs claims for the use that `typ` names.
pub(super) fn sign(
    typ: &str,
    claims: &impl Serialize,
    key: &SigningKey,
) -> Result<String, SignError> {
    let header = Header {
        alg: ALG.into(),
        typ: typ.into(),
        kid: key.kid().into(),
    };
    let header = serde_json::to_vec(&header).map_err(|_| SignError::Claims)?;
    let payload = serde_json::to_vec(claims).map_err(|_| SignError::Claims)?;
    let mut text = URL_SAFE_NO_PAD.encode(header);
    text.push('.');
    URL_SAFE_NO_PAD.encode_string(payload, &mut text);
    let signature = key.sign(text.as_bytes()).ok_or(SignError::Crypto)?;
    text.push('.');
    URL_SAFE_NO_PAD.encode_string(signature, &mut text);
    Ok(text)
}

/// A text whose form and header are ours, and whose signature nobody has checked yet.
#[derive(Debug)]
pub(super) struct Unverified<'t> {
    signed: &'t str,
    payload: &'t str,
    signature: &'t str,
    kid: String,
}

impl<'t> Unverified<'t> {
    /// Takes a text apart: size, parts, header, `alg` and `typ`, so that what is cheap to refuse
    /// costs nothing.
    pub(super) fn read(text: &'t str, typ: &str) -> Result<Self, FormError> {
        if text.len() > MAX_BYTES {
            return Err(FormError::TooLarge);
        }
        let (signed, signature) = text.rsplit_once('.').ok_or(FormError::Malformed)?;
        let (header, payload) = signed.split_once('.').ok_or(FormError::Malformed)?;
        let header = decode_object(header)?;
        let header: Header<'_> =
            serde_json::from_slice(&header).map_err(|_| FormError::Malformed)?;
        if header.alg != ALG || header.typ != typ {
            return Err(FormError::Malformed);
        }
        Ok(Self {
            signed,
            payload,
            signature,
            kid: header.kid.into_owned(),
        })
    }

    /// The key it says it was signed with.
    pub(super) fn kid(&self) -> &str {
        &self.kid
    }

    /// What it says; not to be believed before [`Self::is_signed_by`].
    pub(super) fn claims<T: DeserializeOwned>(&self) -> Result<T, FormError> {
        let json = decode_object(self.payload)?;
        serde_json::from_slice(&json).map_err(|_| FormError::Malformed)
    }

    /// Whether its signature is this key's. One of another length is malformed, not false: 64 bytes
    /// are r ‖ s (RFC 7518 §3.4).
    pub(super) fn is_signed_by(&self, key: &PublicKey) -> Result<bool, FormError> {
        let signature: [u8; 64] = decode(self.signature)?
            .try_into()
            .map_err(|_| FormError::Malformed)?;
        Ok(key.verify(self.signed.as_bytes(), &signature))
    }
}

/// Canonical base64url only: padding and stray trailing bits are refused, so that a text has one
/// spelling and a list of revoked or spent ones cannot be walked around.
fn decode(part: &str) -> Result<Vec<u8>, FormError> {
    URL_SAFE_NO_PAD
        .decode(part)
        .map_err(|_| FormError::Malformed)
}

/// A part that holds a JSON object; serde alone would read an array as a struct, too.
fn decode_object(part: &str) -> Result<Vec<u8>, FormError> {
    let json = decode(part)?;
    if json.first() == Some(&b'{') {
        Ok(json)
    } else {
        Err(FormError::Malformed)
    }
}

/// An omni in a claim: 64 hex digits without `0x`, and no other form.
pub(super) mod bare_omni {
    use crate::authority::identity::Omni;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(in crate::authority) fn serialize<S: Serializer>(
        omni: &Omni,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&omni.bare())
    }

    pub(in crate::authority) fn deserialize<'de, D: Deserializer<'de>>(
        de: D,
    ) -> Result<Omni, D::Error> {
        let text = String::deserialize(de)?;
        if text.starts_with("0x") {
            return Err(serde::de::Error::custom("an omni in a claim has no 0x"));
        }
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Any header and payload, signed by `key` all the same.
#[cfg(test)]
pub(super) fn forge(key: &SigningKey, header: &str, payload: &str) -> String {
    let b64 = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let signed = format!("{}.{}", b64(header.as_bytes()), b64(payload.as_bytes()));
    let signature = key.sign(signed.as_bytes()).map(|s| b64(s.as_ref()));
    format!("{signed}.{}", signature.unwrap_or_default())
}
