//! Putting a backup back: into a folder beside its place, which gets its name when all of it is there,
//! was checked, and says in its own log what it is.

use super::bundle::{BundleError, Manifest, Member, Members};
use super::draft::{UNFINISHED, folder_of};
use super::erasures::{self, Erasure};
use super::keys::Keys;
use super::problems::{bundle_problem, does_not_verify, newer, not_kept, older, unusable};
use super::settle::{Again, Prepared, Unpacked};
use super::{Progress, RESTORE, file};
use crate::audit::checkpoint::{Checkpoint, CheckpointError};
use crate::audit::note::{NoteError, SignedNote, VerifierKey};
use crate::audit::recheck::Head;
use crate::authority::event;
use crate::authority::found::origin_number;
use crate::authority::ports::Clock as _;
use crate::folder::scratch::Scratch;
use crate::folder::system::SystemClock;
use crate::folder::{INSTANCE, ledger_path, private_dir, write_private};
use crate::jobs::recheck::{Against, recheck};
use crate::ledger::backup::Copied;
use crate::problem::{Exit, Problem};
use crate::secret::Secret;
use crate::tls::{LIVE, RESTORED};
use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// How far this clock may be behind the one the snapshot was taken by, milliseconds: what a check of
/// the log forgives.
const CLOCKS_APART_MS: i64 = crate::audit::recheck::BACK_DATED_MS;

/// What to put back, where, and what else is known.
#[derive(Debug, Clone)]
pub struct Restore {
    /// The snapshot.
    pub snapshot: PathBuf,
    /// The keys file: its own, or one of a later backup.
    pub keys: PathBuf,
    /// What that is encrypted to.
    pub passphrase: Secret<String>,
    /// Where the folder goes.
    pub dir: PathBuf,
    /// A signed checkpoint that was kept elsewhere.
    pub kept: Option<SignedNote>,
    /// Keys of the log that were got over a way one trusts.
    pub trusted: Vec<VerifierKey>,
    /// Erasures that somebody kept rows of.
    pub erasures: Option<Vec<Erasure>>,
}

/// What was put back.
#[derive(Debug, Clone)]
pub struct Restored {
    /// How many events the snapshot had.
    pub events: u64,
    /// The name the log had in it.
    pub closed: String,
    /// The first checkpoint under its new name.
    pub checkpoint: Checkpoint,
    /// How many later entries the kept checkpoint tells of; none when there is nothing to tell by.
    pub lost: Option<u64>,
    /// Whether the kept checkpoint is newer, and no key in the snapshot signs it.
    pub unverified: bool,
    /// When the snapshot was taken, Unix milliseconds.
    pub taken_ms: i64,
    /// When the keys were read, Unix milliseconds.
    pub keys_ms: i64,
    /// Whether the keys are those of a later backup.
    pub newer_keys: bool,
    /// What was erased again because its salt is not among the keys.
    pub erased_by_keys: Vec<Again>,
    /// What was erased again because a row of the file says so.
    pub replayed: Vec<Again>,
    /// Whether a certificate of its own was put aside.
    pub certificate: bool,
    /// Erasures in the file that the snapshot knew already, or whose actor it does not have.
    pub passed_over: u64,
}

/// The last that is known to have been signed.
pub(super) struct Known {
    pub(super) last: Checkpoint,
    pub(super) number: u32,
    pub(super) lost: Option<u64>,
    pub(super) unverified: bool,
}

enum Fault {
    Bundle(BundleError),
    Problem(Box<Problem>),
}

impl From<BundleError> for Fault {
    fn from(error: BundleError) -> Self {
        Self::Bundle(error)
    }
}

impl From<Problem> for Fault {
    fn from(problem: Problem) -> Self {
        Self::Problem(Box::new(problem))
    }
}

impl Restore {
    /// Unpacks and checks it. There is no folder at its place before [`Prepared::finish`] made it one.
    pub async fn prepare(self, progress: Box<Progress<'static>>) -> Result<Prepared, Problem> {
        vacant(&self.dir)?;
        let unpacking = tokio::task::spawn_blocking(move || self.unpacked(progress));
        let unpacked = unpacking.await.unwrap_or_else(|ended| {
            Err(Problem::new(
                Exit::Failed,
                "agentkeys.restore.ended",
                format!("the restore was ended: {ended}"),
                "run it again",
            ))
        })?;
        unpacked.prepared().await
    }

    /// All of it on the disk and checked, in a folder nobody looks for.
    fn unpacked(self, mut progress: Box<Progress<'static>>) -> Result<Unpacked, Problem> {
        progress("keys", 0, 1);
        let keys = Keys::read(&self.keys, &self.passphrase, RESTORE)?;
        progress("keys", 1, 1);
        let parent = folder_of(&self.dir);
        private_dir(parent)?;
        let scratch = Scratch::inside(parent, UNFINISHED).map_err(|e| file(RESTORE, parent, &e))?;
        let data = scratch.path().join("data");
        let manifest = self.unpack(&keys, &data, &mut progress)?;
        let ledger = ledger_path(&data);
        let mut copy = opened(&ledger, &self.snapshot)?;
        self.is_what_it_says(&copy, &manifest)?;
        let known = self.verify(&ledger, &manifest, &keys.authority, &mut progress)?;
        let failed = |error: rusqlite::Error| match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::DiskFull) => {
                file(RESTORE, &ledger, &io::ErrorKind::StorageFull.into())
            }
            _ => unusable(&self.snapshot, &error.to_string()),
        };
        let done = erasures_in(&copy).map_err(failed)?;
        let (missing, erased) = copy.open_with(&keys.openers).map_err(failed)?;
        drop(copy);
        if missing > 0 {
            return Err(older(&self.keys));
        }
        write_keys(&data, &keys)?;
        durable(&data).map_err(|e| file(RESTORE, &data, &e))?;
        Ok(Unpacked {
            restore: self,
            scratch,
            data,
            manifest,
            keys_id: keys.id,
            keys_ms: keys.created_ms,
            known,
            erased,
            done,
        })
    }

    fn unpack(
        &self,
        keys: &Keys,
        data: &Path,
        progress: &mut Progress<'static>,
    ) -> Result<Manifest, Problem> {
        let from = File::open(&self.snapshot).map_err(|e| file(RESTORE, &self.snapshot, &e))?;
        for below in ["", "keys", "vault"] {
            private_dir(&data.join(below))?;
        }
        let mut archive = tar::Archive::new(io::BufReader::new(from));
        let unpacked = || -> Result<Manifest, Fault> {
            let mut members = Members::of(&mut archive).map_err(BundleError::from)?;
            let manifest =
                members.manifest(&keys.root, |m| self.fits(m, keys).map_err(Fault::from))?;
            let all = manifest.members.len() as u64;
            let mut at = 0;
            members.each(&manifest, |member, from| -> Result<(), Fault> {
                put(data, member, from)?;
                at += 1;
                progress("files", at, all);
                Ok(())
            })?;
            Ok(manifest)
        };
        let mut unpacked = unpacked;
        unpacked().map_err(|fault| match fault {
            Fault::Problem(problem) => *problem,
            Fault::Bundle(error) => bundle_problem(&self.snapshot, &error),
        })
    }

    /// Whether keys and snapshot belong together, before anything else is said about either.
    fn fits(&self, manifest: &Manifest, keys: &Keys) -> Result<(), Problem> {
        if manifest.authority != keys.authority {
            return Err(Problem::new(
                Exit::Config,
                "agentkeys.restore.keys_of_another",
                format!("{} has the keys of another authority", self.keys.display()),
                "give the keys file that was written with this snapshot, or a later one",
            ));
        }
        let other = manifest.id != keys.id;
        if other && keys.openers.events < manifest.events {
            return Err(older(&self.keys));
        }
        let now_ms = SystemClock::default().now_ms();
        if now_ms < manifest.created_ms.saturating_sub(CLOCKS_APART_MS) {
            return Err(Problem::new(
                Exit::Config,
                "agentkeys.restore.clock",
                format!(
                    "this machine's clock is behind the snapshot, which is from {}",
                    manifest.created
                ),
                "set the clock; entries that claim to be older than those before them do not verify",
            ));
        }
        Ok(())
    }

    /// Whether the ledger in it is the one that its manifest speaks of.
    fn is_what_it_says(&self, copy: &Copied, manifest: &Manifest) -> Result<(), Problem> {
        let failed = |error: rusqlite::Error| unusable(&self.snapshot, &error.to_string());
        let events = copy.events().map_err(failed)?;
        let note = copy.last_checkpoint().map_err(failed)?;
        let instance = copy.setting(INSTANCE).map_err(failed)?;
        let issuer = instance.map(|instance| crate::authority::cap::issuer(&instance));
        let same = events == manifest.events
            && note.as_deref() == Some(manifest.checkpoint.note.as_str())
            && issuer.as_deref() == Some(manifest.authority.as_str());
        if same {
            return Ok(());
        }
        let what = "its ledger is another than its manifest speaks of";
        Err(unusable(&self.snapshot, what))
    }

    /// The check of `audit verify --log`, against the snapshot's own checkpoint or the kept one.
    fn verify(
        &self,
        ledger: &Path,
        manifest: &Manifest,
        authority: &str,
        progress: &mut Progress<'static>,
    ) -> Result<Known, Problem> {
        let note = SignedNote::parse(manifest.checkpoint.note.as_bytes());
        let note = note.map_err(|e| unusable(&self.snapshot, &e.to_string()))?;
        let own = Checkpoint::from_text(note.text());
        let own = own.map_err(|e| unusable(&self.snapshot, &e.to_string()))?;
        let numbered = |of: &Checkpoint| origin_number(authority, of.origin());
        let number = numbered(&own).unwrap_or(1);
        let mut known = Known {
            last: own.clone(),
            number,
            lost: None,
            unverified: false,
        };
        let mut since = note;
        if let Some(kept) = &self.kept {
            let read = Checkpoint::from_text(kept.text()).map_err(|e| not_kept(&e.to_string()))?;
            let kept_number = numbered(&read)
                .ok_or_else(|| not_kept(&format!("it is of another log, {}", read.origin())))?;
            let head = self.head(ledger)?;
            let known_here = head.origins.iter().any(|o| o.name == read.origin());
            if kept_number <= number && !known_here {
                let why = "it is of another folder that was put back beside this one, ";
                return Err(not_kept(&format!("{why}{}", read.origin())));
            }
            if kept_number > number || read.size() > own.size() {
                known.lost =
                    (kept_number == number).then(|| read.size().saturating_sub(manifest.events));
                known.unverified = self.unverified(kept, &head)?;
                // A made-up one could use all names up that the log may ever have.
                if known.unverified && kept_number > number.saturating_add(1) {
                    let why = "no known key signs it, and it is more than one name ahead; \
                               --trust-key names the key it was signed with";
                    return Err(not_kept(why));
                }
                known.number = kept_number.max(number);
                known.last = read;
            } else {
                // It says nothing about what came after the snapshot.
                since = kept.clone();
            }
        }
        let against = Against {
            trusted: self.trusted.clone(),
            since: Some(since),
        };
        let verdict = recheck(ledger, &against, |at, of| progress("events", at, of));
        let verdict = verdict.map_err(|e| unusable(&self.snapshot, &e.to_string()))?;
        match verdict.outcome() {
            Ok(_) => Ok(known),
            Err(failure) => Err(does_not_verify(failure)),
        }
    }

    /// What the snapshot's ledger says about itself.
    fn head(&self, ledger: &Path) -> Result<Head, Problem> {
        let head = crate::ledger::Offline::open(ledger).map_err(|e| e.to_string());
        let head = head.and_then(|ledger| ledger.head().map_err(|e| e.to_string()));
        head.map_err(|e| unusable(&self.snapshot, &e))
    }

    /// Whether a newer checkpoint is signed by no key that the snapshot, or the reader, knows. One that
    /// such a key is said to have signed, and did not, is refused.
    fn unverified(&self, kept: &SignedNote, head: &Head) -> Result<bool, Problem> {
        let keys = if self.trusted.is_empty() {
            &head.keys
        } else {
            &self.trusted
        };
        match Checkpoint::open(kept, keys) {
            Ok(_) => Ok(false),
            Err(CheckpointError::Note(NoteError::NotSigned)) if self.trusted.is_empty() => Ok(true),
            Err(error) => Err(not_kept(&error.to_string())),
        }
    }
}

/// The ids of the erasures that a ledger has rows of, and of those that these repeat.
fn erasures_in(copy: &Copied) -> rusqlite::Result<BTreeSet<String>> {
    let rows = copy.events_of(erasures::TOOL)?.into_iter();
    let rows = rows.filter_map(|row| event::to_json(row.seq, &row.envelope).ok());
    let read = rows.filter_map(|row| Erasure::of(&row)?.ok());
    Ok(read
        .flat_map(|erasure| [Some(erasure.event_id), erasure.replays])
        .flatten()
        .collect())
}

/// Refuses the place of anything but an empty folder.
pub(super) fn vacant(dir: &Path) -> Result<(), Problem> {
    let there = match std::fs::read_dir(dir) {
        Ok(mut entries) => entries.next().is_some(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => dir.symlink_metadata().is_ok(),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => true,
        Err(error) => return Err(file(RESTORE, dir, &error)),
    };
    if !there {
        return Ok(());
    }
    Err(Problem::new(
        Exit::Config,
        "agentkeys.restore.folder_not_empty",
        format!(
            "{} is there already, and nothing is put in its place",
            dir.display()
        ),
        "name a folder that is not there with --dir, or move that one away first",
    ))
}

/// Writes one member where it belongs.
fn put(data: &Path, member: &Member, from: &mut dyn Read) -> Result<(), Fault> {
    let path = data.join(&member.name);
    private_dir(folder_of(&path))?;
    let at = |error: &io::Error| Fault::from(file(RESTORE, &path, error));
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o600);
    let mut to = options.open(&path).map_err(|e| at(&e))?;
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let read = from.read(&mut buffer).map_err(BundleError::from)?;
        if read == 0 {
            return Ok(());
        }
        to.write_all(&buffer[..read]).map_err(|e| at(&e))?;
    }
}

fn write_keys(data: &Path, keys: &Keys) -> Result<(), Problem> {
    let root = hex::encode(keys.root.bytes().expose());
    write_private(&data.join("keys/root.key"), root.as_bytes())?;
    let tls = data.join("tls");
    let live = keys.tls.iter().any(|(path, _)| path == Path::new(LIVE));
    for (path, bytes) in &keys.tls {
        // What was revoked since must not be served again; whoever knows better puts it back.
        let path = match path {
            path if path == Path::new(LIVE) => tls.join(RESTORED),
            path if live && path == Path::new(RESTORED) => continue,
            path => tls.join(path),
        };
        private_dir(folder_of(&path))?;
        write_private(&path, bytes.expose())?;
    }
    Ok(())
}

/// Everything that was written is on the disk after this.
pub(super) fn durable(data: &Path) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    rustix::fs::syncfs(File::open(data)?)?;
    #[cfg(not(target_os = "linux"))]
    {
        let _ = data;
        rustix::fs::sync();
    }
    Ok(())
}

fn opened(ledger: &Path, snapshot: &Path) -> Result<Copied, Problem> {
    use crate::ledger::OpenError;
    Copied::open(ledger).map_err(|error| match error {
        OpenError::Newer { .. } => newer(snapshot, &error.to_string()),
        error => unusable(snapshot, &error.to_string()),
    })
}
