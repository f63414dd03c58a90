//! `DIR/tls/`: what an ACME server gave and what it asks for. Files of mode 0600 in a folder of mode
//! 0700, each replaced as a whole. The server and the commands share it, so that a command may get a
//! certificate while the server answers the ACME server's questions.

use super::chain::{Chain, ChainError};
use crate::folder::{bounded_text, ordinary, private_dir, replace_private};
use crate::problem::{Exit, Problem};
use rustls::sign::CertifiedKey;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Nothing here, nor any certificate, is longer: bytes.
pub(super) const MAX_FILE: u64 = 256 * 1024;

/// The certificate that a backup had: nobody serves it, since it may have been revoked after that.
pub const RESTORED: &str = "restored.pem";

/// The one that is served.
pub const LIVE: &str = "live.pem";

/// The longest token of http-01 and name of tls-alpn-01 that is looked up.
const MAX_NAME: usize = 253;

/// The folder.
#[derive(Debug, Clone)]
pub struct Store {
    dir: PathBuf,
}

impl Store {
    /// That of a data folder. It need not be there yet.
    pub fn of(data: &Path) -> Self {
        Self {
            dir: data.join("tls"),
        }
    }

    /// The certificate, its intermediates and its key: one file, so that one rename replaces all.
    pub fn live(&self) -> PathBuf {
        self.dir.join(LIVE)
    }

    /// A file of the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Makes the folder, if it is not there.
    pub fn make(&self) -> Result<(), Problem> {
        private_dir(&self.dir)
    }

    /// Keeps a chain as the one to serve. What it takes the place of is kept beside it.
    pub fn keep(&self, chain: &str, key: &str) -> Result<(), Problem> {
        private_dir(&self.dir)?;
        // Never one that could not be served.
        Chain::from_pem(chain.as_bytes(), key.as_bytes()).map_err(|e| unusable(&e))?;
        if let Some(old) = self.read(LIVE)? {
            replace_private(&self.path("previous.pem"), old.as_bytes())?;
        }
        let both = format!("{}\n{}\n", chain.trim_end(), key.trim_end());
        replace_private(&self.live(), both.as_bytes())?;
        self.remove(RESTORED)
    }

    /// The chain that is kept, if there is one.
    pub fn kept(&self) -> Result<Option<Chain>, Problem> {
        let Some(pem) = self.read(LIVE)? else {
            return Ok(None);
        };
        let chain = Chain::from_pem(pem.as_bytes(), pem.as_bytes());
        chain.map(Some).map_err(|e| unusable(&e))
    }

    /// A file's text, if it is there.
    pub fn read(&self, name: &str) -> Result<Option<String>, Problem> {
        read(&self.path(name))
    }

    /// Writes a file whole.
    pub fn write(&self, name: &str, text: &str) -> Result<(), Problem> {
        private_dir(&self.dir)?;
        replace_private(&self.path(name), text.as_bytes())
    }

    /// Whether a file is there.
    pub fn has(&self, name: &str) -> bool {
        self.path(name).exists()
    }

    /// Removes a file, if it is there.
    pub fn remove(&self, name: &str) -> Result<(), Problem> {
        remove(&self.path(name))
    }

    /// Answers http-01 for a token from now on (RFC 8555 §8.3).
    pub fn set_http_proof(&self, token: &str, authorization: &str) -> Result<(), Problem> {
        let dir = self.proofs("http-01")?;
        replace_private(&dir.join(plain(token)?), authorization.as_bytes())
    }

    /// The answer to http-01 for a token that somebody asked for.
    pub fn http_proof(&self, token: &str) -> Option<String> {
        read(&self.dir.join("http-01").join(plain(token).ok()?)).ok()?
    }

    /// Answers tls-alpn-01 for a name from now on, with a certificate made for it (RFC 8737 §3).
    pub fn set_alpn_proof(&self, name: &str, certificate: &str, key: &str) -> Result<(), Problem> {
        let dir = self.proofs("tls-alpn-01")?;
        let both = format!("{certificate}\n{key}\n");
        replace_private(&dir.join(plain(name)?), both.as_bytes())
    }

    pub(super) fn alpn_proof(&self, name: &str) -> Option<Arc<CertifiedKey>> {
        let path = self.dir.join("tls-alpn-01").join(plain(name).ok()?);
        let pem = read(&path).ok()??;
        Chain::proof(pem.as_bytes()).map(Arc::new)
    }

    /// Takes every answer back.
    pub fn clear_proofs(&self) -> Result<(), Problem> {
        for kind in ["http-01", "tls-alpn-01"] {
            let dir = self.dir.join(kind);
            match std::fs::remove_dir_all(&dir) {
                Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(io(&dir, &e)),
                _ => {}
            }
        }
        Ok(())
    }

    fn proofs(&self, kind: &str) -> Result<PathBuf, Problem> {
        private_dir(&self.dir)?;
        let dir = self.dir.join(kind);
        private_dir(&dir)?;
        Ok(dir)
    }
}

/// A name that is a file's and nothing else: tokens are base64url, names are DNS.
fn plain(name: &str) -> Result<&str, Problem> {
    let good = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    if (1..=MAX_NAME).contains(&name.len()) && name.bytes().all(good) && !name.starts_with('.') {
        return Ok(name);
    }
    Err(Problem::new(
        Exit::Failed,
        "agentkeys.tls.proof_name",
        format!("{name:?} is neither a token nor a name"),
        "the ACME server sent what no ACME server sends; use another",
    ))
}

fn read(path: &Path) -> Result<Option<String>, Problem> {
    let file = match ordinary(path) {
        Ok(file) => file,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(io(path, &e)),
    };
    let text = bounded_text(&file, MAX_FILE).map_err(|e| io(path, &e))?;
    Ok(Some(text))
}

fn remove(path: &Path) -> Result<(), Problem> {
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(io(path, &e)),
        _ => Ok(()),
    }
}

fn unusable(error: &ChainError) -> Problem {
    Problem::new(
        Exit::Config,
        "agentkeys.tls.certificate_unusable",
        format!("a certificate cannot be served: {error}"),
        "run `agentkeys tls issue --force`, or put a good one there",
    )
}

fn io(path: &Path, error: &std::io::Error) -> Problem {
    Problem::new(
        Exit::Config,
        "agentkeys.tls.files",
        format!("{}: {error}", path.display()),
        "run as the user who owns the folder, and look whether the disk is full",
    )
}
