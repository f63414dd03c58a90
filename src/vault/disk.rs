//! Memory objects as files.

use super::name;
use super::seal::{self, Bound, OVERHEAD};
use crate::authority::ports::{Entropy, Kept, Later, Place, Salt, Slot, Vault, VaultError};
use crate::authority::principal::{ActorScope, MemoryOp, VerifiedCap};
use crate::secret::Secret;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The largest object that is read. The authority's own limit on texts is lower; this one only
/// keeps a swapped file from filling the memory.
pub const MAX_OBJECT: u64 = 1024 * 1024 + OVERHEAD as u64;

/// What most objects are shorter than.
const USUAL_OBJECT: usize = 4096;

/// A folder that cannot be a vault.
#[derive(Debug, thiserror::Error)]
#[error("the vault {path} cannot be used: {error}")]
pub struct VaultOpenError {
    /// Which folder.
    pub path: PathBuf,
    /// Why.
    pub error: io::Error,
}

/// A vault in a folder.
pub struct DiskVault {
    root: PathBuf,
    key: Secret<[u8; 32]>,
    entropy: Arc<dyn Entropy>,
}

impl std::fmt::Debug for DiskVault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DiskVault")
            .field("root", &self.root)
            .finish_non_exhaustive()
    }
}

impl DiskVault {
    /// Opens a folder that is there. It is not made here: a disk that is not mounted must not
    /// look like an empty vault.
    pub fn open(
        root: &Path,
        key: Secret<[u8; 32]>,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Self, VaultOpenError> {
        let failed = |error| VaultOpenError {
            path: root.to_owned(),
            error,
        };
        // Opened too, so that a folder one may not enter is noticed now.
        std::fs::read_dir(root).map_err(failed)?;
        Ok(Self {
            root: root.to_owned(),
            key,
            entropy,
        })
    }

    fn sealed(&self, place: &Place<'_>, text: &[u8]) -> Result<Vec<u8>, VaultError> {
        let slot = Slot::Memory(place.namespace);
        let key = seal::derive(&self.key, place.actor, slot, place.salt).ok_or_else(no_cipher)?;
        seal::seal(&key, &bound(place), &*self.entropy, text).ok_or_else(no_cipher)
    }

    fn opened(&self, place: &Place<'_>, sealed: &[u8]) -> Result<Vec<u8>, VaultError> {
        let slot = Slot::Memory(place.namespace);
        let key = seal::derive(&self.key, place.actor, slot, place.salt).ok_or_else(no_cipher)?;
        seal::unseal(&key, &bound(place), sealed).ok_or(VaultError::Integrity)
    }
}

fn bound(place: &Place<'_>) -> Bound {
    Bound::memory(
        place.actor,
        Slot::Memory(place.namespace),
        place.version,
        place.salt.epoch,
        place.event_id,
    )
}

fn no_cipher() -> VaultError {
    VaultError::Failed("the cipher failed".to_owned())
}

impl Vault for DiskVault {
    fn put<'a>(
        &'a self,
        cap: &'a VerifiedCap,
        place: Place<'a>,
        text: &'a [u8],
        now_ms: i64,
    ) -> Later<'a, Result<Kept, VaultError>> {
        Box::pin(async move {
            cap.covers(MemoryOp::Put, place.actor, place.namespace, now_ms)?;
            let object_key = name::of(&place).ok_or_else(|| no_name("the event id"))?;
            let sealed = self.sealed(&place, text)?;
            let envelope_size = sealed.len() as u64;
            if envelope_size > MAX_OBJECT {
                return Err(VaultError::Failed("the text is too large".to_owned()));
            }
            let (root, name) = (self.root.clone(), object_key.clone());
            let kept = tokio::task::spawn_blocking(move || keep(&root, &name, &sealed)).await;
            kept.map_err(|e| VaultError::Failed(e.to_string()))?
                .map_err(|e| failed(&e))?;
            Ok(Kept {
                object_key,
                envelope_size,
            })
        })
    }

    fn get<'a>(
        &'a self,
        cap: &'a VerifiedCap,
        place: Place<'a>,
        object_key: &'a str,
        now_ms: i64,
    ) -> Later<'a, Result<Vec<u8>, VaultError>> {
        // Read in the calling task: a small file takes some microseconds, less than a change of
        // threads.
        Box::pin(async move {
            cap.covers(MemoryOp::Get, place.actor, place.namespace, now_ms)?;
            // A pointer to anything but this place's own object is not followed.
            let name = name::of(&place).filter(|name| name == object_key);
            let name = name.ok_or(VaultError::Integrity)?;
            let sealed = read(&self.root.join(name))?;
            self.opened(&place, &sealed)
        })
    }

    fn seal(
        &self,
        scope: &ActorScope,
        salt: &Salt,
        event_id: &str,
        text: &[u8],
    ) -> Result<Vec<u8>, VaultError> {
        let actor = scope.actor();
        let key = seal::derive(&self.key, actor, Slot::Statements, salt);
        let key = key.ok_or_else(no_cipher)?;
        let bound = Bound::statement(actor, event_id);
        seal::seal(&key, &bound, &*self.entropy, text).ok_or_else(no_cipher)
    }

    fn unseal(
        &self,
        scope: &ActorScope,
        salt: &Salt,
        event_id: &str,
        sealed: &[u8],
    ) -> Result<Vec<u8>, VaultError> {
        let actor = scope.actor();
        let key = seal::derive(&self.key, actor, Slot::Statements, salt);
        let key = key.ok_or_else(no_cipher)?;
        let bound = Bound::statement(actor, event_id);
        seal::unseal(&key, &bound, sealed).ok_or(VaultError::Integrity)
    }

    fn remove<'a>(&'a self, object_key: &'a str) -> Later<'a, Result<(), VaultError>> {
        Box::pin(async move {
            if !name::is_name(object_key) {
                return Err(no_name("this"));
            }
            let path = self.root.join(object_key);
            let removed = tokio::task::spawn_blocking(move || std::fs::remove_file(path)).await;
            match removed.map_err(|e| VaultError::Failed(e.to_string()))? {
                // Gone is what was asked for, whoever did it.
                Err(error) if error.kind() != ErrorKind::NotFound => Err(failed(&error)),
                _ => Ok(()),
            }
        })
    }
}

fn no_name(what: &str) -> VaultError {
    VaultError::Failed(format!("{what} makes no name of an object"))
}

/// Says the kind of trouble, never the path: that has an actor's id in it.
fn failed(error: &io::Error) -> VaultError {
    VaultError::Failed(error.to_string())
}

fn read(path: &Path) -> Result<Vec<u8>, VaultError> {
    let file = File::open(path).map_err(|error| match error.kind() {
        ErrorKind::NotFound => VaultError::Missing,
        _ => failed(&error),
    })?;
    // Room for most objects, so that one read brings it and another sees its end.
    let mut sealed = Vec::with_capacity(USUAL_OBJECT);
    file.take(MAX_OBJECT + 1)
        .read_to_end(&mut sealed)
        .map_err(|e| failed(&e))?;
    if sealed.len() as u64 > MAX_OBJECT {
        return Err(VaultError::Integrity);
    }
    Ok(sealed)
}

/// Writes an object that must not be there yet; its bytes and its name are on disk when this
/// returns. A crash in between leaves a file that nothing points to.
fn keep(root: &Path, name: &str, sealed: &[u8]) -> io::Result<()> {
    let path = root.join(name);
    let folder = path.parent().unwrap_or(root);
    let mut file = match create(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            make_folders(root, folder)?;
            create(&path)?
        }
        file => file?,
    };
    let written = file.write_all(sealed).and_then(|()| file.sync_all());
    if let Err(error) = written {
        // Half an object helps nobody; if even this fails, gc finds it.
        let _ = std::fs::remove_file(&path);
        return Err(error);
    }
    sync_folder(folder)
}

fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
}

/// Makes the folders between `root` and `folder`, each durable in the one above it.
fn make_folders(root: &Path, folder: &Path) -> io::Result<()> {
    let below = folder.strip_prefix(root).map_err(io::Error::other)?;
    let mut path = root.to_owned();
    for part in below {
        let parent = path.clone();
        path.push(part);
        match DirBuilder::new().mode(0o700).create(&path) {
            // Whoever made it a moment ago may not have synced it yet.
            Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
            _ => sync_folder(&parent)?,
        }
    }
    Ok(())
}

fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
