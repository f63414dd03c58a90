//! The JWT that a device's host carries: it names one actor and one vendor, for hosts that can send
//! no header of their own. Pure: the keys come in.
//!
//! It is a token like any other: its `jti` is a row of the token table, and that row says on every
//! call whether it still holds. What is verified here is only who signed what.

use super::identity::Omni;
use super::jws::key::{PublicKey, SigningKey};
use super::jws::{self, FormError, MAX_BYTES, SignError, Unverified};
use super::token::TokenId;
use serde::{Deserialize, Serialize};

const TYP: &str = "agentkeys-actor+jwt";

/// Whom it is for: the `aud` claim.
pub const AUDIENCE: &str = "agentkeys";

/// Everything it says, in the order it says it. Actor and vendor are said in both ways that readers
/// look for them: inside an `agentkeys` object, where the existing services' session JWT has them
/// (`formats/agentkeys.md` §4), and under the dotted names themselves, for gateways that compare
/// claims by their literal names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActorClaims {
    /// Which instance signed it.
    pub iss: String,
    /// Whom it is for.
    pub aud: String,
    /// The actor; bare hex on the wire.
    #[serde(with = "jws::bare_omni")]
    pub sub: Omni,
    /// Actor and vendor as an object.
    pub agentkeys: Holder,
    /// The actor once more.
    #[serde(rename = "agentkeys.omni_account", with = "jws::bare_omni")]
    omni_account: Omni,
    /// The vendor once more.
    #[serde(rename = "agentkeys.vendor")]
    vendor: String,
    /// When it was signed, Unix seconds.
    pub iat: u64,
    /// From when it no longer holds.
    pub exp: u64,
    /// Its id in the token table, by which it is revoked.
    pub jti: String,
}

/// Who acts for whom.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// The actor; bare hex on the wire.
    #[serde(with = "jws::bare_omni")]
    pub omni_account: Omni,
    /// The vendor whose device it is.
    pub vendor: String,
}

impl ActorClaims {
    /// What a vendor's device is told about its actor. `issuer` is what [`super::cap::issuer`]
    /// answers; times are Unix seconds.
    pub fn new(
        issuer: &str,
        token_id: &TokenId,
        actor: Omni,
        vendor: &str,
        iat: u64,
        exp: u64,
    ) -> Self {
        Self {
            iss: issuer.to_owned(),
            aud: AUDIENCE.to_owned(),
            sub: actor,
            agentkeys: Holder {
                omni_account: actor,
                vendor: vendor.to_owned(),
            },
            omni_account: actor,
            vendor: vendor.to_owned(),
            iat,
            exp,
            jti: token_id.to_string(),
        }
    }

    /// Whether everything that is said twice is the same.
    fn fits(&self) -> bool {
        self.agentkeys.omni_account == self.sub
            && self.omni_account == self.sub
            && self.agentkeys.vendor == self.vendor
            && !self.vendor.is_empty()
            && self.iat < self.exp
    }
}

/// Why a text is not an actor's JWT of this authority.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum JwtError {
    /// Not one of ours in form: size, parts, header or claims.
    #[error("the JWT is malformed")]
    Malformed,
    /// Signed with a key that is not, or no longer, in the ring.
    #[error("the JWT names a key this authority does not have")]
    UnknownKey,
    /// The signature does not hold.
    #[error("the JWT's signature does not hold")]
    BadSignature,
    /// Signed by a key of ours for another instance or another use.
    #[error("the JWT was issued by another authority or for another use")]
    Foreign,
}

impl From<FormError> for JwtError {
    fn from(_: FormError) -> Self {
        Self::Malformed
    }
}

/// Signs one.
pub fn sign(claims: &ActorClaims, key: &SigningKey) -> Result<String, SignError> {
    if !claims.fits() || claims.aud != AUDIENCE {
        return Err(SignError::Claims);
    }
    let text = jws::sign(TYP, claims, key)?;
    if text.len() > MAX_BYTES {
        return Err(SignError::TooLarge);
    }
    Ok(text)
}

/// A JWT whose size, form, `alg` and `typ` are right, waiting for its key.
#[derive(Debug)]
pub struct Unproven<'t>(Unverified<'t>);

impl<'t> Unproven<'t> {
    /// Looks at what can be seen without a key.
    pub fn read(text: &'t str) -> Result<Self, JwtError> {
        Ok(Self(Unverified::read(text, TYP)?))
    }

    /// The key it needs.
    pub fn kid(&self) -> &str {
        self.0.kid()
    }

    /// Checks the signature, and only then what it says. Neither time nor revocation: its row says
    /// those, and only to who holds a good one.
    pub fn verify(self, key: &PublicKey, issuer: &str) -> Result<ActorClaims, JwtError> {
        if !self.0.is_signed_by(key)? {
            return Err(JwtError::BadSignature);
        }
        let claims: ActorClaims = self.0.claims()?;
        if !claims.fits() {
            return Err(JwtError::Malformed);
        }
        if claims.iss != issuer || claims.aud != AUDIENCE {
            return Err(JwtError::Foreign);
        }
        Ok(claims)
    }
}

#[cfg(test)]
mod tests;
