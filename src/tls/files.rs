//! Certificates in files that somebody else writes, looked at again and again.

use super::chain::{Chain, ChainError};
use super::store::MAX_FILE;
use crate::digest::sha256;
use crate::finding::{Finding, Status};
use crate::folder::{bounded, ordinary};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

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
        let digest = match &read {
            Ok((certificate, key)) => sha256(&[&sha256(&[certificate]), &sha256(&[key])]),
            Err(error) => sha256(&[error.as_bytes()]),
        };
        if self.seen.replace(digest) == Some(digest) {
            return Looked::Same;
        }
        let chain = read.and_then(|(certificate, key)| {
            Chain::from_pem(&certificate, &key).map_err(|e| self.said(&e))
        });
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

/// What is to be said of a private key that anybody on this machine can read, or change. A group may:
/// that is how some tools let a server at it.
pub fn exposed_key(path: &Path) -> Option<Finding> {
    let mode = std::fs::metadata(path).ok()?.permissions().mode();
    (mode & 0o007 != 0).then(|| {
        let shown = path.display();
        let cause = format!("everybody on this machine can read the private key in {shown}");
        let fix = format!(
            "chmod 600 {shown}, as the user who runs the server, or chmod 640 with a group of that user alone; and another key, if somebody did"
        );
        Finding::new("key_file", Status::Warn, cause, fix)
    })
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    let read = ordinary(path).and_then(|file| bounded(&file, MAX_FILE));
    read.map_err(|e| format!("{}: {e}", path.display()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_server_waits_at_no_pipe_that_is_called_a_certificate() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("chain.pem");
        let made = std::process::Command::new("mkfifo").arg(&path).status();
        assert!(made.unwrap().success());
        let refused = read(&path).unwrap_err();
        assert!(refused.ends_with("it is no ordinary file"), "{refused}");
    }
}
