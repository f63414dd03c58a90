//! A cap as it crosses a process: a compact JWS (RFC 7515), ES256, for one operation and a short
//! time. Pure: the clock and the keys come in.
//!
//! Inside one process nobody signs; there a checked value is passed on. What is verified here is
//! who signed what and when; whether it was revoked or spent is the ledger's to say.

use super::identity::Omni;
use super::jws::key::{PublicRing, SigningKey};
use super::jws::{self, FormError, MAX_BYTES, SignError, Unverified};
use serde::{Deserialize, Serialize};

const TYP: &str = "agentkeys-cap+jwt";

/// The one operation a cap allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CapOp {
    /// Read one actor's memory in the namespaces named.
    MemoryGet,
    /// Write it, once.
    MemoryPut,
    /// Spend an amount that was reserved, once.
    PaymentSpend,
}

impl CapOp {
    /// Its word in claims and tool arguments.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::MemoryGet => "memory_get",
            Self::MemoryPut => "memory_put",
            Self::PaymentSpend => "payment_spend",
        }
    }

    /// Which kind of data it touches, and so which audience its caps have.
    pub const fn data_class(self) -> DataClass {
        match self {
            Self::MemoryGet | Self::MemoryPut => DataClass::Memory,
            Self::PaymentSpend => DataClass::Payment,
        }
    }

    /// The longest its caps live, in seconds.
    pub const fn max_ttl(self) -> u64 {
        match self.data_class() {
            DataClass::Memory => 300,
            DataClass::Payment => 60,
        }
    }
}

/// The kind of data a cap touches; a place that holds one kind refuses caps for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DataClass {
    /// Memory objects.
    Memory,
    /// Payments.
    Payment,
}

impl DataClass {
    /// Its word in claims.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Payment => "payment",
        }
    }

    /// Whom its caps are for: the `aud` claim.
    pub const fn audience(self) -> &'static str {
        match self {
            Self::Memory => "agentkeys:memory",
            Self::Payment => "agentkeys:payment",
        }
    }
}

/// A time to live of nothing was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a cap lives at least one second")]
pub struct TtlZero;

/// The seconds a cap really gets when `requested` were asked for: at most the operation's maximum.
/// The answer must name this number, not the request.
pub fn clamp_ttl(op: CapOp, requested: u64) -> Result<u64, TtlZero> {
    match requested {
        0 => Err(TtlZero),
        _ => Ok(requested.min(op.max_ttl())),
    }
}

/// The issuer every cap of one instance names, from the id made at `init`.
pub fn issuer(instance: &str) -> String {
    format!("urn:agentkeys:{instance}")
}

/// What a cap limits its operation to. A limit this program does not know makes the cap malformed:
/// ignoring it would widen the permission.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, deny_unknown_fields)]
pub enum CapParams {
    /// One payment.
    Payment {
        /// How much, in the currency's minor unit.
        amount_minor: u64,
        /// Which currency.
        currency: String,
        /// The decision whose reservation it uses.
        decision_id: String,
    },
    /// Nothing beyond the namespaces.
    Memory {},
}

impl CapParams {
    const fn data_class(&self) -> DataClass {
        match self {
            Self::Payment { .. } => DataClass::Payment,
            Self::Memory {} => DataClass::Memory,
        }
    }
}

/// Everything a cap says, in the order it says it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CapClaims {
    /// Which instance signed it.
    pub iss: String,
    /// Whom it is for.
    pub aud: String,
    /// Its id, by which it is revoked and spent.
    pub jti: String,
    /// Whose data it is about; bare hex on the wire.
    #[serde(with = "jws::bare_omni")]
    pub sub: Omni,
    /// The one vendor that may spend it.
    pub vendor: String,
    /// What it allows.
    pub op: CapOp,
    /// The kind of data that touches.
    pub data_class: DataClass,
    /// The namespaces it is limited to; empty for payments.
    pub namespaces: Vec<String>,
    /// Further limits.
    pub params: CapParams,
    /// When it was signed, Unix seconds.
    pub iat: u64,
    /// From when it holds.
    pub nbf: u64,
    /// From when it no longer holds.
    pub exp: u64,
}

/// What the caller decides about a new cap; the rest follows from it.
#[derive(Debug, Clone)]
pub struct NewCap {
    /// Its id.
    pub jti: String,
    /// Whose data.
    pub sub: Omni,
    /// For which vendor.
    pub vendor: String,
    /// What it allows.
    pub op: CapOp,
    /// The namespaces it is limited to.
    pub namespaces: Vec<String>,
    /// Further limits.
    pub params: CapParams,
}

impl CapClaims {
    /// A cap that holds from `now_unix` for `ttl` seconds, clamped to the operation's maximum.
    /// `issuer` is what [`issuer`] answers.
    pub fn new(new: NewCap, issuer: &str, now_unix: u64, ttl: u64) -> Result<Self, TtlZero> {
        let data_class = new.op.data_class();
        let ttl = clamp_ttl(new.op, ttl)?;
        Ok(Self {
            iss: issuer.to_owned(),
            aud: data_class.audience().to_owned(),
            jti: new.jti,
            sub: new.sub,
            vendor: new.vendor,
            op: new.op,
            data_class,
            namespaces: new.namespaces,
            params: new.params,
            iat: now_unix,
            nbf: now_unix,
            exp: now_unix.saturating_add(ttl),
        })
    }

    /// Whether the claims fit each other: class and limits as the operation has them, and no
    /// longer life than it may have.
    fn fits(&self) -> bool {
        let class = self.op.data_class();
        self.data_class == class
            && self.params.data_class() == class
            && self.iat <= self.nbf
            && self.nbf < self.exp
            && self.exp - self.iat <= self.op.max_ttl()
            && !self.jti.is_empty()
            && !self.vendor.is_empty()
    }
}

/// Why a cap is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CapError {
    /// Not a cap of ours in form: parts, header, claims, or how they fit each other.
    #[error("the cap is malformed")]
    Malformed,
    /// Longer than any cap.
    #[error("the cap is longer than 4096 bytes")]
    TooLarge,
    /// Signed with a key that is not, or no longer, in the ring.
    #[error("the cap names a key this authority does not have")]
    UnknownKey,
    /// Its time is over.
    #[error("the cap has expired")]
    Expired,
    /// Its time has not come.
    #[error("the cap does not hold yet")]
    NotYetValid,
    /// Another instance's.
    #[error("the cap was issued by another authority")]
    WrongIssuer,
    /// For another kind of data.
    #[error("the cap is for another audience")]
    WrongAudience,
    /// The signature does not hold.
    #[error("the cap's signature does not hold")]
    BadSignature,
}

impl CapError {
    /// Its stable code.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Malformed => "agentkeys.cap.malformed",
            Self::TooLarge => "agentkeys.cap.too_large",
            Self::UnknownKey => "agentkeys.cap.unknown_key",
            Self::Expired => "agentkeys.cap.expired",
            Self::NotYetValid => "agentkeys.cap.not_yet_valid",
            Self::WrongIssuer => "agentkeys.cap.wrong_issuer",
            Self::WrongAudience => "agentkeys.cap.wrong_audience",
            Self::BadSignature => "agentkeys.cap.bad_signature",
        }
    }
}

impl From<FormError> for CapError {
    fn from(error: FormError) -> Self {
        match error {
            FormError::TooLarge => Self::TooLarge,
            FormError::Malformed => Self::Malformed,
        }
    }
}

/// Signs a cap. The claims' lifetime and classes are checked once more here, because after this
/// nobody can take them back offline.
pub fn sign(claims: &CapClaims, key: &SigningKey) -> Result<String, SignError> {
    if !claims.fits() || claims.aud != claims.data_class.audience() {
        return Err(SignError::Claims);
    }
    let text = jws::sign(TYP, claims, key)?;
    if text.len() > MAX_BYTES {
        return Err(SignError::TooLarge);
    }
    Ok(text)
}

/// The caps that were taken back and have not expired, for verifiers that work offline.
#[derive(Debug, Serialize)]
pub struct RevokedList<'a> {
    /// Which instance says so.
    pub iss: &'a str,
    /// When, Unix seconds.
    pub iat: u64,
    /// From when a newer list is needed.
    pub exp: u64,
    /// The caps.
    pub revoked: Vec<RevokedCap>,
}

/// One of them.
#[derive(Debug, Serialize)]
pub struct RevokedCap {
    /// Its id.
    pub jti: String,
    /// When it would have expired anyway.
    pub exp: u64,
}

/// Signs the list with the caps' own keys; its `typ` keeps it from being taken for a cap.
pub fn sign_revoked(list: &RevokedList<'_>, key: &SigningKey) -> Result<String, SignError> {
    jws::sign("agentkeys-revoked-caps+jwt", list, key)
}

/// Verifies a cap: size, parts, header, claims, issuer, audience, time, and only then the
/// signature, so that what is cheap to refuse costs nothing. No leeway either way, so replicas need
/// synchronised clocks. What it answers was signed by a key of `ring`, for `issuer`, and holds at
/// `now_unix`.
pub fn verify(
    text: &str,
    ring: &PublicRing,
    now_unix: u64,
    issuer: &str,
) -> Result<CapClaims, CapError> {
    let unverified = Unverified::read(text, TYP)?;
    let key = ring.get(unverified.kid()).ok_or(CapError::UnknownKey)?;
    let claims: CapClaims = unverified.claims()?;
    if !claims.fits() {
        return Err(CapError::Malformed);
    }
    if claims.iss != issuer {
        return Err(CapError::WrongIssuer);
    }
    if claims.aud != claims.op.data_class().audience() {
        return Err(CapError::WrongAudience);
    }
    if now_unix < claims.nbf {
        return Err(CapError::NotYetValid);
    }
    if now_unix >= claims.exp {
        return Err(CapError::Expired);
    }
    if !unverified.is_signed_by(key)? {
        return Err(CapError::BadSignature);
    }
    Ok(claims)
}

#[cfg(test)]
mod tests;
