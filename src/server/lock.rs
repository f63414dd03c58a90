//! One HTTP server per folder, by a lock the kernel drops with the process.

use crate::problem::{Exit, Problem};
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

/// The code of the problem that somebody else has it.
pub(super) const TAKEN: &str = "agentkeys.serve.already_running";

/// Holds the lock until dropped.
pub(super) struct FolderLock {
    _file: File,
}

impl FolderLock {
    /// Takes the lock; the pid in the file is only for the message.
    pub(super) fn take(dir: &Path) -> Result<Self, Problem> {
        let path = dir.join("serve.lock");
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let io = |e: std::io::Error| {
            Problem::new(
                Exit::Config,
                "agentkeys.serve.lock_failed",
                format!("{} cannot be locked: {e}", path.display()),
                "run as the user who owns the folder, on a local file system",
            )
        };
        let mut file = options.mode(0o600).open(&path).map_err(io)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(taken(&mut file, dir)),
            Err(TryLockError::Error(error)) => return Err(io(error)),
        }
        file.set_len(0).map_err(io)?;
        file.rewind().map_err(io)?;
        write!(file, "{}", std::process::id()).map_err(io)?;
        Ok(Self { _file: file })
    }
}

fn taken(file: &mut File, dir: &Path) -> Problem {
    let mut pid = String::new();
    let read = file.take(20).read_to_string(&mut pid);
    let who = match read {
        Ok(_) if !pid.trim().is_empty() => format!("process {}", crate::text::clean(pid.trim())),
        _ => "another process".to_owned(),
    };
    Problem::new(
        Exit::Config,
        TAKEN,
        format!("{who} serves {} already", dir.display()),
        "use that server, stop it first, or serve another folder with --dir",
    )
}
