//! A certificate with its intermediates and its key, checked to belong together.

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use std::sync::Arc;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// A certificate that ends in less should have been renewed, seconds.
const SOON: i64 = 14 * 86_400;

/// Why a certificate cannot be served.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChainError {
    /// The PEM holds no certificate.
    #[error("there is no certificate in it")]
    NoCertificate,
    /// The PEM holds no private key.
    #[error("there is no private key in it")]
    NoKey,
    /// A part cannot be read.
    #[error("{0}")]
    Unreadable(String),
    /// The key is another certificate's.
    #[error("the private key is not the one of the certificate")]
    AnotherKey,
    /// Nobody could be told what it is for.
    #[error(
        "the certificate names no host (`openssl req -x509` needs `-addext subjectAltName=DNS:NAME`)"
    )]
    NoNames,
}

/// What a certificate says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// DNS names and IP addresses it is for, in lower case.
    pub names: Vec<String>,
    /// When it begins to hold, Unix seconds.
    pub not_before: i64,
    /// When it ends, Unix seconds.
    pub not_after: i64,
    /// Who issued it, as one line.
    pub issuer: String,
    /// SHA-256 of it, in hex.
    pub fingerprint: String,
    /// Whether it is an authority's own, and no server's.
    pub authority: bool,
}

/// What is said of an authority's own certificate, and what to do.
pub const OF_AN_AUTHORITY: (&str, &str) = (
    "it is an authority's own certificate (CA:TRUE), as `openssl req -x509` makes it: many hosts refuse that of a server, even those told to trust it",
    "get one from an authority, or add `-addext basicConstraints=critical,CA:FALSE -addext subjectAltName=DNS:NAME` and give hosts that file to trust",
);

impl Facts {
    /// Reads them of a certificate in DER.
    pub fn read(certificate: &[u8]) -> Result<Self, ChainError> {
        facts(certificate)
    }

    /// Whether it holds at a time in Unix seconds.
    pub const fn holds_at(&self, now: i64) -> bool {
        self.not_before <= now && now < self.not_after
    }

    /// Whether so little of it is left at a time in Unix seconds that it should have been renewed.
    pub fn ends_soon(&self, now: i64) -> bool {
        self.not_after - now < SOON.min((self.not_after - self.not_before) / 4)
    }

    /// Whether it is for this name, which has no port and is in lower case (RFC 9525 §6.3: a star
    /// stands for exactly one label).
    pub fn is_for(&self, name: &str) -> bool {
        let parent = name.split_once('.').map(|(_, parent)| parent);
        self.names.iter().any(|own| {
            own == name
                || own
                    .strip_prefix("*.")
                    .is_some_and(|own| Some(own) == parent)
        })
    }
}

/// A certificate that can be served.
#[derive(Debug, Clone)]
pub struct Chain {
    /// What it says of itself.
    pub facts: Facts,
    certified: Arc<CertifiedKey>,
}

impl Chain {
    /// Reads PEM: the server's certificate first, then its intermediates; and its key.
    pub fn from_pem(certificates: &[u8], key: &[u8]) -> Result<Self, ChainError> {
        let unreadable = |e: &dyn std::fmt::Display| ChainError::Unreadable(e.to_string());
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(certificates).collect();
        let chain = chain.map_err(|e| unreadable(&e))?;
        let first = chain.first().ok_or(ChainError::NoCertificate)?;
        let facts = facts(first)?;
        // What is wrong with a key is not told: the error may quote it.
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| ChainError::NoKey)?;
        let certified = CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider());
        let certified = certified.map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => ChainError::AnotherKey,
            other => unreadable(&other),
        })?;
        Ok(Self {
            facts,
            certified: Arc::new(certified),
        })
    }

    /// A certificate that is a proof (RFC 8737 §3): it has an extension that everybody else must refuse,
    /// so it is not looked into.
    pub(super) fn proof(pem: &[u8]) -> Option<CertifiedKey> {
        let certificate = CertificateDer::from_pem_slice(pem).ok()?;
        let key = PrivateKeyDer::from_pem_slice(pem).ok()?;
        let key = aws_lc_rs::sign::any_supported_type(&key).ok()?;
        Some(CertifiedKey::new(vec![certificate], key))
    }

    /// As rustls serves it.
    pub(super) const fn certified(&self) -> &Arc<CertifiedKey> {
        &self.certified
    }

    /// The server's own certificate.
    pub fn leaf(&self) -> &CertificateDer<'static> {
        // There is one: `from_pem` looked.
        &self.certified.cert[0]
    }
}

fn facts(certificate: &[u8]) -> Result<Facts, ChainError> {
    let (_, read) = X509Certificate::from_der(certificate)
        .map_err(|e| ChainError::Unreadable(e.to_string()))?;
    let alternative = read
        .subject_alternative_name()
        .map_err(|e| ChainError::Unreadable(e.to_string()))?;
    let constraints = read
        .basic_constraints()
        .map_err(|e| ChainError::Unreadable(e.to_string()))?;
    let names = alternative.map_or(&[][..], |names| &names.value.general_names);
    let names: Vec<String> = names.iter().filter_map(name).collect();
    if names.is_empty() {
        return Err(ChainError::NoNames);
    }
    Ok(Facts {
        names,
        not_before: read.validity().not_before.timestamp(),
        not_after: read.validity().not_after.timestamp(),
        issuer: crate::text::clean_to(&read.issuer().to_string(), 200),
        fingerprint: hex::encode(crate::digest::sha256(&[certificate])),
        authority: constraints.is_some_and(|c| c.value.ca),
    })
}

fn name(general: &GeneralName<'_>) -> Option<String> {
    match general {
        GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
        GeneralName::IPAddress(bytes) => {
            let v4: Result<[u8; 4], _> = (*bytes).try_into();
            let v6: Result<[u8; 16], _> = (*bytes).try_into();
            let address = v4.map(std::net::IpAddr::from);
            let address = address.or_else(|_| v6.map(std::net::IpAddr::from));
            address.ok().map(|a| a.to_string())
        }
        _ => None,
    }
}
