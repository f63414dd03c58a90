//! Certificates in files that somebody else writes, looked at again and again.

use super::chain::{Chain, ChainError};
use crate::digest::sha256;
use std::path::{Path, PathBuf};

/// Nothing that is a certificate is longer.
const MAX_FILE: u64 = 256 * 1024;

/// What a look found.
#[derive(Debug)]
pub enum Looked {
    /// Nothing new.
    Same,
    /// A chain that was not there at the last look.
    New(Box<Chain>),
    /// Something new that cannot be served, said once.
    Unusable(String),
}

/// Two files, or one file that is both.
#[derive(Debug)]
pub struct PemFiles {
    certificate: PathBuf,
    key: PathBuf,
    seen: Option<[u8; 32]>,
}

impl PemFiles {
    /// Files that were not looked at yet.
    pub const fn new(certificate: PathBuf, key: PathBuf) -> Self {
        Self {
            certificate,
            key,
            seen: None,
        }
    }

    /// Reads them. By what is in them and not by their times: whoever renews may keep those, or move
    /// a link.
    pub fn look(&mut self) -> Looked {
        let read = read(&self.certificate).and_then(|c| Ok((c, read(&self.key)?)));
        let (digest, chain) = match &read {
            Ok((certificate, key)) => (
                sha256(&[&sha256(&[certificate]), &sha256(&[key])]),
                Chain::from_pem(certificate, key).map_err(|e| self.said(&e)),
            ),
            Err(error) => (sha256(&[error.as_bytes()]), Err(error.clone())),
        };
        if self.seen.replace(digest) == Some(digest) {
            return Looked::Same;
        }
        match chain {
            Ok(chain) => Looked::New(Box::new(chain)),
            Err(error) => Looked::Unusable(error),
        }
    }

    fn said(&self, error: &ChainError) -> String {
        let (certificate, key) = (self.certificate.display(), self.key.display());
        match error {
            ChainError::NoKey => format!("{key}: {error}"),
            ChainError::AnotherKey => format!("{certificate} and {key}: {error}"),
            _ => format!("{certificate}: {error}"),
        }
    }
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    use std::io::Read as _;
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(|e| format!("{}: {e}", path.display()))?;
    file.take(MAX_FILE)
        .read_to_end(&mut bytes)
        .map_err(|e| format!("{}: {e}", path.display()))?;
    Ok(bytes)
}
