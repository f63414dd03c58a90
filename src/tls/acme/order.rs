//! An order on its way, kept in `DIR/tls/`: what was begun is gone on with, after a crash too, and
//! nothing is asked for twice.

use super::challenge::Txt;
use super::plan::Stage;
use super::trouble::{Kind, Trouble};
use crate::tls::Store;
use rcgen::{CertificateParams, DistinguishedName, KeyPair};
use serde::{Deserialize, Serialize};

/// An order, and the key of the certificate it is for. Written before the ACME server is asked.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Kept {
    /// The ACME server's directory.
    pub(super) directory: String,
    /// What the certificate is for.
    pub(super) names: Vec<String>,
    /// The profile that was asked for.
    pub(super) profile: Option<String>,
    /// The certificate's private key, PEM.
    key: String,
    /// Whose order it is, once that is known.
    pub(super) account: Option<String>,
    /// Where it is, once that is known.
    pub(super) url: Option<String>,
    /// TXT records that are to be taken away.
    pub(super) records: Vec<Txt>,
}

impl std::fmt::Debug for Kept {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kept")
            .field("url", &self.url)
            .finish_non_exhaustive()
    }
}

/// Where the order at an authority is kept.
pub(super) const fn file(stage: Stage) -> &'static str {
    match stage {
        Stage::Production => "order.json",
        Stage::Staging => "rehearsal.json",
    }
}

impl Kept {
    /// What was begun, if it can be read.
    pub(super) fn load(store: &Store, stage: Stage) -> Result<Option<Self>, Trouble> {
        let text = store.read(file(stage))?;
        Ok(text.and_then(|text| serde_json::from_str(&text).ok()))
    }

    /// One that is not begun yet.
    pub(super) fn new(
        directory: &str,
        names: &[String],
        profile: Option<&str>,
    ) -> Result<Self, Trouble> {
        let key = KeyPair::generate().map_err(|e| made(&e))?;
        Ok(Self {
            directory: directory.to_owned(),
            names: names.to_vec(),
            profile: profile.map(str::to_owned),
            key: key.serialize_pem(),
            account: None,
            url: None,
            records: Vec::new(),
        })
    }

    /// Whether it is what would be begun now.
    pub(super) fn is_for(&self, directory: &str, names: &[String], profile: Option<&str>) -> bool {
        self.directory == directory && self.names == names && self.profile.as_deref() == profile
    }

    /// Keeps it.
    pub(super) fn save(&self, store: &Store, stage: Stage) -> Result<(), Trouble> {
        let text = serde_json::to_string_pretty(self)
            .map_err(|e| Trouble::new(Kind::Disk, e.to_string()))?;
        Ok(store.write(file(stage), &text)?)
    }

    /// Its private key.
    pub(super) fn key(&self) -> &str {
        &self.key
    }

    /// The request the certificate is made from.
    pub(super) fn csr(&self) -> Result<Vec<u8>, Trouble> {
        let mut params = CertificateParams::new(self.names.clone()).map_err(|e| made(&e))?;
        params.distinguished_name = DistinguishedName::new();
        let key = KeyPair::from_pem(&self.key).map_err(|e| made(&e))?;
        let request = params.serialize_request(&key).map_err(|e| made(&e))?;
        Ok(request.der().to_vec())
    }
}

fn made(error: &rcgen::Error) -> Trouble {
    Trouble::new(
        Kind::Config,
        format!("the request for a certificate cannot be made: {error}"),
    )
}
