//! The snapshot's own form: a tar whose first member is a manifest that names every other byte, and
//! whose second says who made it.

use super::FORMAT;
use crate::authority::keys::RootKey;
use crate::secret::same;
use crate::vault;
use aws_lc_rs::digest::{Context, SHA256};
use serde::{Deserialize, Serialize};
use std::io::{self, Read, Write};

/// Names of the members that are always there.
pub(super) const MANIFEST: &str = "manifest.json";
pub(super) const MAC: &str = "manifest.mac";
pub(super) const LEDGER: &str = "ledger.sqlite";
pub(super) const CHECKPOINT: &str = "checkpoint";
/// The configuration, if there is one.
pub(super) const CONFIG: &str = crate::config::FILE;
/// Before the name of an object.
const VAULT: &str = "vault/";

/// A manifest of a million objects is about as long.
const MAX_MANIFEST: u64 = 256 * 1024 * 1024;
/// No configuration and no checkpoint is longer.
const MAX_SMALL: u64 = 1024 * 1024;
/// Larger than a disk.
const MAX_LEDGER: u64 = 1 << 46;

/// Why a snapshot is not read on.
#[derive(Debug, thiserror::Error)]
pub(super) enum BundleError {
    /// It cannot be read.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// A newer program wrote it.
    #[error("its format is {0}, and this program knows formats up to {FORMAT}")]
    Newer(u64),
    /// Its bytes are not those that were written.
    #[error("{0}")]
    Damaged(String),
}

impl BundleError {
    pub(super) fn damaged(what: impl Into<String>) -> Self {
        Self::Damaged(what.into())
    }
}

/// What a snapshot says of itself.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Manifest {
    pub(super) format: u32,
    /// Who wrote it.
    pub(super) program: String,
    /// This backup's id.
    pub(super) id: String,
    /// Whose it is.
    pub(super) authority: String,
    /// When, for people.
    pub(super) created: String,
    /// When, Unix milliseconds.
    pub(super) created_ms: i64,
    /// How many events it has.
    pub(super) events: u64,
    pub(super) checkpoint: Signed,
    pub(super) members: Vec<Member>,
}

/// The newest checkpoint in it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Signed {
    pub(super) origin: String,
    pub(super) size: u64,
    /// In base64.
    pub(super) root: String,
    /// The signed note.
    pub(super) note: String,
}

/// Every other file in it, in this order.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Member {
    pub(super) name: String,
    pub(super) length: u64,
    /// In hex.
    pub(super) sha256: String,
}

/// The name of an object as a member.
pub(super) fn object(name: &str) -> String {
    format!("{VAULT}{name}")
}

/// The most a member of this name may have; none if no member is called so. The only names there are:
/// none leads out of a folder.
fn most(name: &str) -> Option<u64> {
    match name {
        LEDGER => Some(MAX_LEDGER),
        CONFIG | CHECKPOINT => Some(MAX_SMALL),
        _ => {
            let object = name.strip_prefix(VAULT)?;
            vault::is_name(object).then_some(vault::MAX_OBJECT)
        }
    }
}

/// Counts and hashes what is read through it.
pub(super) struct Hashing<R> {
    from: R,
    context: Context,
    length: u64,
}

impl<R: Read> Hashing<R> {
    pub(super) fn new(from: R) -> Self {
        Self {
            from,
            context: Context::new(&SHA256),
            length: 0,
        }
    }

    /// What it was, as a member of this name.
    pub(super) fn member(self, name: impl Into<String>) -> Member {
        Member {
            name: name.into(),
            length: self.length,
            sha256: hex::encode(self.context.finish()),
        }
    }
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.from.read(into)?;
        self.context.update(&into[..read]);
        self.length += read as u64;
        Ok(read)
    }
}

/// Reads something to its end to know what its member says.
pub(super) fn hashed(name: &str, from: impl Read) -> io::Result<Member> {
    let mut from = Hashing::new(from);
    io::copy(&mut from, &mut io::sink())?;
    Ok(from.member(name))
}

/// Adds a file of exactly this length.
pub(super) fn append<W: Write>(
    tar: &mut tar::Builder<W>,
    name: &str,
    length: u64,
    from: impl Read,
) -> io::Result<Member> {
    let mut header = tar::Header::new_ustar();
    header.set_path(name)?;
    header.set_size(length);
    header.set_mode(0o600);
    header.set_entry_type(tar::EntryType::Regular);
    header.set_cksum();
    let mut from = Hashing::new(from.take(length));
    tar.append(&header, &mut from)?;
    if from.length != length {
        return Err(io::Error::other(format!(
            "{name} changed while it was read"
        )));
    }
    Ok(from.member(name))
}

/// Writes the manifest and who made it.
pub(super) fn open<W: Write>(
    to: W,
    manifest: &[u8],
    root: &RootKey,
) -> io::Result<tar::Builder<W>> {
    let mut tar = tar::Builder::new(to);
    append(&mut tar, MANIFEST, manifest.len() as u64, manifest)?;
    let mac = hex::encode(root.authenticate(manifest));
    append(&mut tar, MAC, mac.len() as u64, mac.as_bytes())?;
    Ok(tar)
}

/// A snapshot's members, one after the other.
pub(super) struct Members<'a, R: Read>(tar::Entries<'a, R>);

impl<'a, R: Read> Members<'a, R> {
    /// From its beginning.
    pub(super) fn of(archive: &'a mut tar::Archive<R>) -> io::Result<Self> {
        // As they are: no extension of the format gives a member another name or size.
        Ok(Self(archive.entries()?.raw(true)))
    }

    fn next(&mut self) -> Result<Option<(String, u64, tar::Entry<'a, R>)>, BundleError> {
        let Some(entry) = self.0.next() else {
            return Ok(None);
        };
        let entry = entry.map_err(of_the_form)?;
        if entry.header().entry_type() != tar::EntryType::Regular {
            return Err(BundleError::damaged(
                "it has something in it that is not a plain file",
            ));
        }
        let name = entry.path_bytes().into_owned();
        let name = String::from_utf8(name);
        let name = name.map_err(|_| BundleError::damaged("a name in it is no text"))?;
        let size = entry.header().entry_size().map_err(of_the_form)?;
        Ok(Some((name, size, entry)))
    }

    /// The next member, which has to have this name and at most this size.
    fn small(&mut self, name: &str, most: u64) -> Result<Vec<u8>, BundleError> {
        let found = self.next()?;
        let Some((_, size, entry)) = found.filter(|(found, ..)| found == name) else {
            let cause = format!("it does not begin as a snapshot does: {name} is not there");
            return Err(BundleError::Damaged(cause));
        };
        if size > most {
            return Err(BundleError::damaged(format!("its {name} is too large")));
        }
        let mut bytes = Vec::new();
        entry.take(most).read_to_end(&mut bytes)?;
        if bytes.len() as u64 != size {
            return Err(BundleError::damaged(format!("it ends inside {name}")));
        }
        Ok(bytes)
    }

    /// The manifest, if it was made under this key. `whose` looks at it before that.
    pub(super) fn manifest<E: From<BundleError>>(
        &mut self,
        root: &RootKey,
        whose: impl FnOnce(&Manifest) -> Result<(), E>,
    ) -> Result<Manifest, E> {
        let bytes = self.small(MANIFEST, MAX_MANIFEST)?;
        let mac = self.small(MAC, MAX_SMALL)?;
        let manifest = parse(&bytes)?;
        whose(&manifest)?;
        let wanted = hex::encode(root.authenticate(&bytes));
        if !same(wanted.as_bytes(), &mac) {
            let cause = "its manifest is not the one that was written with these keys";
            return Err(BundleError::damaged(cause).into());
        }
        for member in &manifest.members {
            if most(&member.name).is_none_or(|most| member.length > most) {
                let cause = "its manifest names a file that no snapshot has, or one too large";
                return Err(BundleError::damaged(cause).into());
            }
        }
        Ok(manifest)
    }

    /// Hands out the members that the manifest names; `put` has to read each to its end.
    pub(super) fn each<E: From<BundleError>>(
        mut self,
        manifest: &Manifest,
        mut put: impl FnMut(&Member, &mut dyn Read) -> Result<(), E>,
    ) -> Result<(), E> {
        for member in &manifest.members {
            let damaged = || {
                let cause = format!("its {} is not the one that was written", member.name);
                BundleError::Damaged(cause)
            };
            let found = self.next()?;
            let found =
                found.filter(|(name, size, _)| *name == member.name && *size == member.length);
            let (.., entry) = found.ok_or_else(damaged)?;
            let mut entry = Hashing::new(entry.take(member.length));
            put(member, &mut entry)?;
            let read = entry.member(member.name.as_str());
            if read.length != member.length || read.sha256 != member.sha256 {
                return Err(damaged().into());
            }
        }
        match self.next()? {
            None => Ok(()),
            Some(_) => Err(BundleError::damaged("it has more in it than its manifest says").into()),
        }
    }
}

fn parse(bytes: &[u8]) -> Result<Manifest, BundleError> {
    #[derive(Deserialize)]
    struct Format {
        format: u64,
    }
    let malformed = |_| BundleError::damaged("its manifest cannot be read");
    let Format { format } = serde_json::from_slice(bytes).map_err(malformed)?;
    if format > u64::from(FORMAT) {
        return Err(BundleError::Newer(format));
    }
    serde_json::from_slice(bytes).map_err(malformed)
}

/// What the tar reader says of bytes that are no tar is an error of its own, not of the disk.
fn of_the_form(error: io::Error) -> BundleError {
    if error.raw_os_error().is_some() {
        return BundleError::Io(error);
    }
    BundleError::damaged(format!("it is not a whole snapshot: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_leads_out_of_the_folder() {
        let actor = "07".repeat(32);
        let object = format!("vault/bots/{actor}/memory/memory:travel/1-evt_0a.enc");
        assert!(most(&object).is_some());
        for good in [LEDGER, CONFIG, CHECKPOINT] {
            assert!(most(good).is_some());
        }
        for bad in [
            "../ledger.sqlite",
            "/ledger.sqlite",
            "./ledger.sqlite",
            "keys/root.key",
            "ledger.sqlite-wal",
            "vault/../keys/root.key",
            "vault/",
            "",
            &object.replace("vault/", "vault//"),
            &object.replace("travel", "../../travel"),
            &format!("../{object}"),
        ] {
            assert_eq!(most(bad), None, "{bad}");
        }
    }

    #[test]
    fn the_longest_name_of_an_object_fits() {
        let actor = "07".repeat(32);
        let name = format!(
            "bots/{actor}/memory/memory:personal/{}-evt_{}.enc",
            u64::MAX,
            "a".repeat(32)
        );
        assert!(vault::is_name(&name));
        let mut tar = tar::Builder::new(Vec::new());
        assert!(append(&mut tar, &object(&name), 1, &b"x"[..]).is_ok());
    }
}
