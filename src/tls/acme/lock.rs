//! One process at a time asks for certificates, by a lock the kernel drops with the process.

use super::trouble::{Kind, Trouble};
use crate::tls::Store;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;

/// Holds the lock until dropped.
#[derive(Debug)]
pub(super) struct Alone {
    _file: File,
}

impl Alone {
    /// Takes the lock; the pid in the file is only for the message.
    pub(super) fn take(store: &Store) -> Result<Self, Trouble> {
        store.make()?;
        let path = store.path("acme.lock");
        let io = |e: std::io::Error| Trouble::new(Kind::Disk, format!("{}: {e}", path.display()));
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let mut file = options.mode(0o600).open(&path).map_err(io)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(taken(&mut file)),
            Err(TryLockError::Error(error)) => return Err(io(error)),
        }
        // What cannot be said about us does not matter: on a full disk the lock holds all the same.
        let _ = file
            .set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| write!(file, "{}", std::process::id()));
        Ok(Self { _file: file })
    }
}

fn taken(file: &mut File) -> Trouble {
    let mut pid = String::new();
    let who = match file.take(20).read_to_string(&mut pid) {
        Ok(_) if !pid.trim().is_empty() => format!("process {}", pid.trim()),
        _ => "another process".to_owned(),
    };
    Trouble::new(
        Kind::Busy,
        format!("{who} is asking for a certificate already"),
    )
}
