//! Taking a backup of a folder, whether or not it is served. Why in this order: see the room.

use super::bundle::{self, CHECKPOINT, CONFIG, LEDGER, Manifest, Member, Signed};
use super::draft::{Draft, UNFINISHED, folder_of};
use super::keys::{Keys, tls_of};
use super::{BACKUP, FORMAT, Progress, age, file};
use crate::audit::checkpoint::Checkpoint;
use crate::audit::note::SignedNote;
use crate::authority::calls::admin::{AdminCall, BackupRow};
use crate::authority::event::rfc3339;
use crate::authority::keys::RootKey;
use crate::authority::ports::Entropy as _;
use crate::folder::scratch::Scratch;
use crate::folder::system::SystemEntropy;
use crate::folder::{Folder, ledger_path};
use crate::jobs::sealer::SealError;
use crate::ledger::backup::{self as copies, Copied};
use crate::operate;
use crate::problem::{Exit, Problem};
use crate::secret::Secret;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufWriter, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long somebody else who seals is waited for.
const PATIENCE: Duration = Duration::from_secs(30);

/// How often the snapshot is written again because something was erased while it was.
const TRIES: usize = 20;

/// What to take, and where it goes.
#[derive(Debug, Clone)]
pub struct Take {
    /// Where the snapshot goes; none for the keys alone.
    pub snapshot: Option<PathBuf>,
    /// Where the keys go.
    pub keys: PathBuf,
    /// What they are encrypted to.
    pub passphrase: Secret<String>,
}

/// What was taken.
#[derive(Debug, Clone)]
pub struct Taken {
    /// How long the snapshot is, or the keys file when they were taken alone.
    pub size: u64,
    /// How many events are in it.
    pub events: u64,
    /// How many memory objects.
    pub objects: u64,
    /// Objects that should be there and are not, in the folder itself.
    pub missing: Vec<String>,
    /// The newest checkpoint in it.
    pub checkpoint: Checkpoint,
}

impl Folder {
    /// Takes a backup. Files that are there stay, and nothing half is ever left.
    pub async fn backup(
        &self,
        take: Take,
        progress: Box<Progress<'static>>,
    ) -> Result<Taken, Problem> {
        for path in take.snapshot.iter().chain([&take.keys]) {
            vacant(path)?;
        }
        let mut id = [0; 16];
        SystemEntropy.fill(&mut id);
        let id = hex::encode(id);
        let row = BackupRow {
            id: id.clone(),
            keys_only: take.snapshot.is_none(),
        };
        operate::admin(
            &self.authority,
            &self.operator(),
            AdminCall::BackupTake(row),
        )
        .await?;
        let sealed = self.sealer().seal(PATIENCE).await;
        let sealed = sealed.map_err(|error| unsealed(&error))?;
        let work = Work {
            dir: self.dir.clone(),
            root: self.root.clone(),
            created_ms: self.now_ms(),
            id,
            authority: self.authority.issuer().to_owned(),
            take,
            progress,
        };
        let done = tokio::task::spawn_blocking(move || work.run(sealed.checkpoint)).await;
        done.unwrap_or_else(|ended| {
            Err(Problem::new(
                Exit::Failed,
                "agentkeys.backup.ended",
                format!("the backup was ended: {ended}"),
                "run it again",
            ))
        })
    }
}

/// Refuses the place of anything that is there.
fn vacant(path: &Path) -> Result<(), Problem> {
    match path.symlink_metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(file(BACKUP, path, &error)),
        Ok(_) => Err(there(path)),
    }
}

fn there(path: &Path) -> Problem {
    Problem::new(
        Exit::Usage,
        "agentkeys.backup.exists",
        format!(
            "{} is there already, and no backup takes another's place",
            path.display()
        ),
        "name another file, for example with the date in it",
    )
}

fn unsealed(error: &SealError) -> Problem {
    let (exit, fix) = match error {
        SealError::Damaged(_) | SealError::LastCheckpoint(_) | SealError::Sign(_) => (
            Exit::AuditInvalid,
            "`agentkeys audit fsck` says more; until then copy the whole folder, with the server stopped",
        ),
        _ => (Exit::Failed, "run it again in a moment"),
    };
    let cause = format!("the log cannot be sealed before the backup: {error}");
    Problem::new(exit, "agentkeys.backup.not_sealed", cause, fix)
}

/// `at` is where its copy goes.
fn ledger(at: &Path, error: &rusqlite::Error) -> Problem {
    if error.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull) {
        return file(BACKUP, at, &io::ErrorKind::StorageFull.into());
    }
    Problem::new(
        Exit::Failed,
        "agentkeys.backup.ledger_failed",
        format!("the ledger could not be copied: {error}"),
        "`agentkeys audit fsck` says whether the file is whole",
    )
}

/// An object by its own name, and as a member.
type Object = (String, Member);

/// One backup on its way, on a thread of its own.
struct Work {
    dir: PathBuf,
    root: RootKey,
    created_ms: i64,
    id: String,
    authority: String,
    take: Take,
    progress: Box<Progress<'static>>,
}

impl Work {
    fn run(mut self, sealed: Checkpoint) -> Result<Taken, Problem> {
        let snapshot = self.take.snapshot.clone();
        let snapshot = snapshot.map(|path| self.snapshot(&path).map(|done| (path, done)));
        let snapshot = snapshot.transpose()?;
        let keys = self.keys()?;
        let (size, taken) = match snapshot {
            None => {
                let size = length(&keys, &self.take.keys)?;
                (size, None)
            }
            Some((path, (draft, taken))) => (length(&draft, &path)?, Some((path, draft, taken))),
        };
        publish(keys, &self.take.keys)?;
        let Some((path, draft, taken)) = taken else {
            return Ok(Taken {
                size,
                events: sealed.size(),
                objects: 0,
                missing: Vec::new(),
                checkpoint: sealed,
            });
        };
        if let Err(problem) = publish(draft, &path) {
            // Keys without their snapshot would only be in the way of the next try.
            let _ = std::fs::remove_file(&self.take.keys);
            return Err(problem);
        }
        Ok(Taken { size, ..taken })
    }

    fn snapshot(&mut self, out: &Path) -> Result<(Draft, Taken), Problem> {
        let at = |error: &io::Error| file(BACKUP, out, error);
        let scratch = Scratch::inside(folder_of(out), UNFINISHED).map_err(|e| at(&e))?;
        let path = scratch.path().join(LEDGER);
        let progress = &mut self.progress;
        let copy = copies::copy(&ledger_path(&self.dir), &path, |n, of| {
            progress("events", n, of);
        });
        let copy = copy.map_err(|e| ledger(out, &e))?;
        let pointed = copy.objects().map_err(|e| ledger(out, &e))?;
        let (checkpoint, note) = newest(&copy, out)?;
        let events = copy.events().map_err(|e| ledger(out, &e))?;
        drop(copy);
        let mut fixed = vec![hash(LEDGER, &path).map_err(|e| at(&e))?];
        let config = self.dir.join(CONFIG);
        if config.exists() {
            fixed.push(hash(CONFIG, &config).map_err(|e| file(BACKUP, &config, &e))?);
        }
        let note = note.into_bytes();
        fixed.push(bundle::hashed(CHECKPOINT, note.as_slice()).map_err(|e| at(&e))?);
        let (mut known, missing) = self.objects(pointed)?;
        for _ in 0..TRIES {
            let members = fixed.iter().chain(known.iter().map(|(_, member)| member));
            let manifest = self.manifest(&checkpoint, &note, events, members.cloned().collect());
            let gone = self.write(out, &path, &note, &manifest, &known)?;
            match gone {
                Ok(draft) => {
                    let missing = self.lost(missing)?;
                    let taken = Taken {
                        size: 0,
                        events,
                        objects: known.len() as u64,
                        missing,
                        checkpoint,
                    };
                    return Ok((draft, taken));
                }
                // Erased since it was hashed.
                Err(gone) => known.retain(|(name, _)| !gone.contains(name)),
            }
        }
        Err(Problem::new(
            Exit::Failed,
            "agentkeys.backup.busy",
            "memories were erased again and again while they were copied",
            "run it again when fewer are",
        ))
    }

    /// Those objects that are there, and the names of those that are not.
    fn objects(&self, pointed: Vec<String>) -> Result<(Vec<Object>, Vec<String>), Problem> {
        let vault = self.dir.join("vault");
        let (mut known, mut missing) = (Vec::new(), Vec::new());
        for name in pointed {
            // Only a ledger that was changed by hand points elsewhere.
            if !crate::vault::is_name(&name) {
                missing.push(name);
                continue;
            }
            match hash(&bundle::object(&name), &vault.join(&name)) {
                Ok(member) => known.push((name, member)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => missing.push(name),
                Err(error) => return Err(file(BACKUP, &vault, &error)),
            }
        }
        Ok((known, missing))
    }

    fn manifest(
        &self,
        checkpoint: &Checkpoint,
        note: &[u8],
        events: u64,
        members: Vec<Member>,
    ) -> Manifest {
        Manifest {
            format: FORMAT,
            program: env!("CARGO_PKG_VERSION").to_owned(),
            id: self.id.clone(),
            authority: self.authority.clone(),
            created: rfc3339(self.created_ms),
            created_ms: self.created_ms,
            events,
            checkpoint: Signed {
                origin: checkpoint.origin().to_owned(),
                size: checkpoint.size(),
                root: STANDARD.encode(checkpoint.root()),
                note: String::from_utf8_lossy(note).into_owned(),
            },
            members,
        }
    }

    /// Writes the snapshot, or says which objects are not there any more.
    fn write(
        &mut self,
        out: &Path,
        copy: &Path,
        note: &[u8],
        manifest: &Manifest,
        objects: &[Object],
    ) -> Result<Result<Draft, BTreeSet<String>>, Problem> {
        let at = |error: &io::Error| file(BACKUP, out, error);
        let draft = Draft::of(out).map_err(|e| at(&e))?;
        let json = serde_json::to_vec(manifest).map_err(|e| at(&e.into()))?;
        let to = BufWriter::new(draft.file());
        let mut tar = bundle::open(to, &json, &self.root).map_err(|e| at(&e))?;
        for member in &manifest.members {
            let same = match member.name.as_str() {
                LEDGER => add(&mut tar, member, copy),
                CONFIG => add(&mut tar, member, &self.dir.join(CONFIG)),
                CHECKPOINT => bundle::append(&mut tar, CHECKPOINT, member.length, note),
                // Objects come after these.
                _ => break,
            };
            let same = same.map_err(|e| at(&e))?.sha256 == member.sha256;
            if !same {
                return Err(at(&io::Error::other(format!("{} changed", member.name))));
            }
        }
        let mut gone = BTreeSet::new();
        let vault = self.dir.join("vault");
        for (n, (name, member)) in objects.iter().enumerate() {
            match add(&mut tar, member, &vault.join(name)) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    gone.insert(name.clone());
                }
                Err(error) => return Err(at(&error)),
            }
            (self.progress)("objects", n as u64 + 1, objects.len() as u64);
        }
        if !gone.is_empty() {
            return Ok(Err(gone));
        }
        let mut to = tar.into_inner().map_err(|e| at(&e))?;
        to.flush().map_err(|e| at(&e))?;
        drop(to);
        Ok(Ok(draft))
    }

    /// Of objects that were not there, those that nobody erased: they are lost.
    fn lost(&self, missing: Vec<String>) -> Result<Vec<String>, Problem> {
        if missing.is_empty() {
            return Ok(missing);
        }
        let still = copies::objects(&ledger_path(&self.dir)).map_err(|e| ledger(&self.dir, &e))?;
        let still: BTreeSet<String> = still.into_iter().collect();
        let lost = missing.into_iter().filter(|name| still.contains(name));
        Ok(lost.collect())
    }

    fn keys(&mut self) -> Result<Draft, Problem> {
        (self.progress)("keys", 0, 1);
        let tls = tls_of(&self.dir).map_err(|e| file(BACKUP, &self.dir.join("tls"), &e))?;
        let openers =
            copies::openers(&ledger_path(&self.dir)).map_err(|e| ledger(&self.dir, &e))?;
        let keys = Keys {
            id: self.id.clone(),
            authority: self.authority.clone(),
            created_ms: self.created_ms,
            root: self.root.clone(),
            openers,
            tls,
        };
        let out = &self.take.keys;
        let at = |error: &io::Error| file(BACKUP, out, error);
        let draft = Draft::of(out).map_err(|e| at(&e))?;
        let written = keys.write(
            draft.file(),
            &self.take.passphrase,
            age::WORK,
            &SystemEntropy,
        );
        written.map_err(|error| match error {
            age::AgeError::Io(error) => at(&error),
            error => at(&io::Error::other(error)),
        })?;
        (self.progress)("keys", 1, 1);
        Ok(draft)
    }
}

fn hash(name: &str, path: &Path) -> io::Result<Member> {
    bundle::hashed(name, File::open(path)?)
}

fn add<W: io::Write>(
    tar: &mut tar::Builder<W>,
    member: &Member,
    path: &Path,
) -> io::Result<Member> {
    let from = File::open(path)?.take(member.length);
    bundle::append(tar, &member.name, member.length, from)
}

fn length(draft: &Draft, path: &Path) -> Result<u64, Problem> {
    let length = draft.file().metadata().map(|found| found.len());
    length.map_err(|e| file(BACKUP, path, &e))
}

fn publish(draft: Draft, path: &Path) -> Result<(), Problem> {
    draft.publish().map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => there(path),
        _ => file(BACKUP, path, &error),
    })
}

/// The newest checkpoint that a copy has.
fn newest(copy: &Copied, out: &Path) -> Result<(Checkpoint, String), Problem> {
    let note = copy.last_checkpoint().map_err(|e| ledger(out, &e))?;
    let read = note.and_then(|note| {
        let signed = SignedNote::parse(note.as_bytes()).ok()?;
        Some((Checkpoint::from_text(signed.text()).ok()?, note))
    });
    read.ok_or_else(|| {
        Problem::new(
            Exit::AuditInvalid,
            "agentkeys.backup.not_sealed",
            "the log's last checkpoint cannot be read",
            "`agentkeys audit fsck` says more; until then copy the whole folder, with the server stopped",
        )
    })
}
