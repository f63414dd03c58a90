//! The keys file: what opens a snapshot, as a tar in an age file.

use super::age::{AgeError, Decryptor, Encryptor};
use super::bundle::append;
use super::{Codes, FORMAT, file};
use crate::authority::identity::Omni;
use crate::authority::keys::RootKey;
use crate::authority::ports::{Entropy, SealedKey};
use crate::ledger::backup::{Openers, SlotSalt};
use crate::problem::{Exit, Problem};
use crate::secret::Secret;
use serde::{Deserialize, Serialize};
use std::io::{self, BufRead as _, BufReader, BufWriter, Read, Write};
use std::path::{Component, Path, PathBuf};

const HEAD: &str = "keys.json";
const SALTS: &str = "salts.jsonl";
const TLS: &str = "tls/";

/// The rings of a long life are a few hundred rows.
const MAX_HEAD: u64 = 16 * 1024 * 1024;
/// A million actors.
const MAX_SALTS: u64 = 1024 * 1024 * 1024;
/// No certificate is longer.
const MAX_TLS_FILE: u64 = 1024 * 1024;
const MAX_TLS_FILES: usize = 10_000;
const MAX_LINE: u64 = 1024;

/// What a keys file says first.
#[derive(Serialize, Deserialize)]
struct Head {
    format: u64,
    #[serde(flatten)]
    rest: serde_json::Map<String, serde_json::Value>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Opening {
    id: String,
    authority: String,
    created_ms: i64,
    events: u64,
    /// In hex, as `keys/root.key` is.
    root_key: String,
    ring: Vec<RingKey>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RingKey {
    purpose: String,
    kid: String,
    /// Sealed under the root key; in hex.
    sealed: String,
    created_ms: i64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    actor: String,
    slot: String,
    epoch: u32,
    salt: String,
}

/// A file of `tls/`: its path below that, and what is in it.
pub(super) type TlsFile = (PathBuf, Secret<Vec<u8>>);

/// What a keys file has in it.
pub(super) struct Keys {
    /// Of the backup it was made in.
    pub(super) id: String,
    /// Whose keys they are.
    pub(super) authority: String,
    pub(super) created_ms: i64,
    pub(super) root: RootKey,
    pub(super) openers: Openers,
    pub(super) tls: Vec<TlsFile>,
}

impl Keys {
    /// Writes all of it.
    pub(super) fn write(
        &self,
        to: impl Write,
        passphrase: &Secret<String>,
        work: u8,
        entropy: &dyn Entropy,
    ) -> Result<(), AgeError> {
        let age = Encryptor::new(BufWriter::new(to), passphrase, work, entropy)?;
        let mut tar = tar::Builder::new(age);
        let head = self.head();
        append(
            &mut tar,
            HEAD,
            head.expose().len() as u64,
            head.expose().as_slice(),
        )?;
        let salts = self.salts();
        append(
            &mut tar,
            SALTS,
            salts.expose().len() as u64,
            salts.expose().as_slice(),
        )?;
        for (path, bytes) in &self.tls {
            let name = path.to_str().map(|path| format!("{TLS}{path}"));
            let name = name.ok_or_else(|| io::Error::other("a name in tls/ is no text"))?;
            let bytes = bytes.expose();
            append(&mut tar, &name, bytes.len() as u64, bytes.as_slice())?;
        }
        tar.into_inner()?.finish()?.flush()?;
        Ok(())
    }

    fn head(&self) -> Secret<Vec<u8>> {
        let ring = self.openers.ring.iter().map(|key| RingKey {
            purpose: key.purpose.clone(),
            kid: key.kid.clone(),
            sealed: hex::encode(&key.sealed),
            created_ms: key.created_ms,
        });
        let mut head = serde_json::json!(Opening {
            id: self.id.clone(),
            authority: self.authority.clone(),
            created_ms: self.created_ms,
            events: self.openers.events,
            root_key: hex::encode(self.root.bytes().expose()),
            ring: ring.collect(),
        });
        head["format"] = FORMAT.into();
        Secret::new(head.to_string().into_bytes())
    }

    fn salts(&self) -> Secret<Vec<u8>> {
        let mut lines = Vec::new();
        for salt in &self.openers.salts {
            let line = serde_json::json!(Line {
                actor: salt.actor.bare(),
                slot: salt.slot.clone(),
                epoch: salt.epoch,
                salt: hex::encode(salt.bytes.expose()),
            });
            lines.extend_from_slice(line.to_string().as_bytes());
            lines.push(b'\n');
        }
        Secret::new(lines)
    }

    /// Reads a keys file to its end.
    pub(super) fn read(
        path: &Path,
        passphrase: &Secret<String>,
        codes: Codes,
    ) -> Result<Self, Problem> {
        let opened = std::fs::File::open(path).map_err(|error| file(codes, path, &error))?;
        let read = || -> Result<Self, KeysError> {
            let mut tar = tar::Archive::new(Decryptor::new(opened, passphrase)?);
            let keys = Self::members(&mut tar)?;
            // Whatever comes after the archive's end has to be whole too.
            io::copy(&mut tar.into_inner(), &mut io::sink())?;
            Ok(keys)
        };
        read().map_err(|error| problem(path, &error, codes))
    }

    fn members<R: Read>(tar: &mut tar::Archive<R>) -> Result<Self, KeysError> {
        let mut entries = tar.entries()?.raw(true);
        let mut next = |name: &'static str, most: u64| {
            let entry = entries.next().ok_or(KeysError::Form(name))??;
            let fits =
                entry.header().entry_size()? <= most && entry.path_bytes() == name.as_bytes();
            if fits {
                Ok(entry)
            } else {
                Err(KeysError::Form(name))
            }
        };
        let mut head = Vec::new();
        next(HEAD, MAX_HEAD)?.read_to_end(&mut head)?;
        let head: Head = serde_json::from_slice(&head).map_err(|_| KeysError::Form(HEAD))?;
        if head.format > u64::from(FORMAT) {
            return Err(KeysError::Newer(head.format));
        }
        let head = serde_json::Value::Object(head.rest);
        let head: Opening = serde_json::from_value(head).map_err(|_| KeysError::Form(HEAD))?;
        let root: [u8; 32] = unhexed(&head.root_key).ok_or(KeysError::Form(HEAD))?;
        let ring = head.ring.into_iter().map(|key| {
            Some(SealedKey {
                purpose: key.purpose,
                kid: key.kid,
                sealed: hex::decode(key.sealed).ok()?,
                created_ms: key.created_ms,
            })
        });
        let ring: Option<Vec<_>> = ring.collect();
        let salts = read_salts(next(SALTS, MAX_SALTS)?)?;
        let mut tls = Vec::new();
        for entry in entries {
            tls.push(tls_file(entry?)?);
            if tls.len() > MAX_TLS_FILES {
                return Err(KeysError::Form(TLS));
            }
        }
        Ok(Self {
            id: head.id,
            authority: head.authority,
            created_ms: head.created_ms,
            root: RootKey::new(root),
            openers: Openers {
                events: head.events,
                ring: ring.ok_or(KeysError::Form(HEAD))?,
                salts,
            },
            tls,
        })
    }
}

fn unhexed<const N: usize>(text: &str) -> Option<[u8; N]> {
    hex::decode(text).ok()?.try_into().ok()
}

fn read_salts(from: impl Read) -> Result<Vec<SlotSalt>, KeysError> {
    let mut from = BufReader::new(from);
    let mut salts = Vec::new();
    let mut line = Vec::new();
    loop {
        line.clear();
        (&mut from).take(MAX_LINE).read_until(b'\n', &mut line)?;
        if line.is_empty() {
            return Ok(salts);
        }
        let form = KeysError::Form(SALTS);
        let Ok(read) = serde_json::from_slice::<Line>(&line) else {
            return Err(form);
        };
        let (Ok(actor), Some(bytes)) = (read.actor.parse::<Omni>(), unhexed(&read.salt)) else {
            return Err(form);
        };
        salts.push(SlotSalt {
            actor,
            slot: read.slot,
            epoch: read.epoch,
            bytes: Secret::new(bytes),
        });
    }
}

/// A file of `tls/`. Whoever knows the passphrase could have made this: names are plain all the same.
fn tls_file<R: Read>(mut entry: tar::Entry<'_, R>) -> Result<TlsFile, KeysError> {
    let form = || KeysError::Form(TLS);
    let name = String::from_utf8(entry.path_bytes().into_owned()).map_err(|_| form())?;
    let path = PathBuf::from(name.strip_prefix(TLS).ok_or_else(form)?);
    let plain = |part: Component<'_>| matches!(part, Component::Normal(_));
    let regular = entry.header().entry_type() == tar::EntryType::Regular;
    let small = entry.header().entry_size()? <= MAX_TLS_FILE;
    if !regular || !small || path.as_os_str().is_empty() || !path.components().all(plain) {
        return Err(form());
    }
    let mut bytes = Vec::new();
    entry.read_to_end(&mut bytes)?;
    Ok((path, Secret::new(bytes)))
}

/// The files of a folder's `tls/`, if it has one. Links are not followed, and nothing else is taken.
pub(super) fn tls_of(dir: &Path) -> io::Result<Vec<TlsFile>> {
    let root = dir.join("tls");
    let mut found = Vec::new();
    let mut open = vec![PathBuf::new()];
    while let Some(below) = open.pop() {
        let entries = match std::fs::read_dir(root.join(&below)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            entries => entries?,
        };
        for entry in entries {
            let entry = entry?;
            let path = below.join(entry.file_name());
            let kind = entry.file_type()?;
            if kind.is_dir() {
                open.push(path);
            } else if kind.is_file() {
                let mut bytes = Vec::new();
                let from = std::fs::File::open(entry.path())?;
                from.take(MAX_TLS_FILE + 1).read_to_end(&mut bytes)?;
                if bytes.len() as u64 > MAX_TLS_FILE || found.len() == MAX_TLS_FILES {
                    return Err(io::Error::other("tls/ has too much in it"));
                }
                found.push((path, Secret::new(bytes)));
            }
        }
    }
    found.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(found)
}

/// Why a keys file is not read.
#[derive(Debug, thiserror::Error)]
enum KeysError {
    #[error(transparent)]
    Age(#[from] AgeError),
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("its format is {0}, and this program knows formats up to {FORMAT}")]
    Newer(u64),
    #[error("it is no keys file of this program: {0}")]
    Form(&'static str),
}

fn problem(path: &Path, error: &KeysError, codes: Codes) -> Problem {
    let error = match error {
        KeysError::Io(inner) | KeysError::Age(AgeError::Io(inner))
            if inner.raw_os_error().is_some() =>
        {
            return file(codes, path, inner);
        }
        error => error,
    };
    let (exit, code, fix) = match error {
        KeysError::Age(AgeError::Passphrase) => (
            Exit::Auth,
            "agentkeys.restore.passphrase",
            "give the passphrase of this very file; without it nobody can open it",
        ),
        KeysError::Newer(_) => (
            Exit::Config,
            "agentkeys.restore.newer",
            "use the program version that wrote it, or a newer one",
        ),
        KeysError::Age(AgeError::NotAge | AgeError::NotScrypt | AgeError::TooExpensive(_))
        | KeysError::Form(_) => (
            Exit::Failed,
            "agentkeys.restore.not_keys",
            "name the keys file that `agentkeys backup` wrote",
        ),
        KeysError::Age(_) | KeysError::Io(_) => (
            Exit::Failed,
            "agentkeys.restore.keys_damaged",
            "take another copy of it, or the keys file of a later backup",
        ),
    };
    let cause = format!("{} cannot be opened: {error}", path.display());
    Problem::new(exit, code, cause, fix)
}
