//! A data folder, opened: the ledger, the vault and the keys put together into an authority.
//! Knows where things lie; decides nothing.

/// Backups of a folder, taken while it is served, and put back.
pub mod backup;
/// A folder as it is seen without being opened.
pub mod seen;
/// The clock and the randomness of the machine.
pub mod system;

mod anchor;
mod begun;
mod bounded;
mod caps;
mod certificates;
pub(crate) mod copied;
mod log_keys;
mod owner;
mod place;
pub(crate) mod scratch;
mod tokens;

pub use begun::Begun;
pub use bounded::{bounded, bounded_text, ordinary, ordinary_here};
pub use owner::{other_owner, owned};
use place::sweep;
pub use place::write_private;
pub(crate) use place::{Beside, replace_private, replace_public};

use crate::authority::found::{self, purpose};
use crate::authority::identity::Omni;
use crate::authority::keys::RootKey;
use crate::authority::ports::{Clock, Entropy as _, Later, Ledger};
use crate::authority::principal::Principal;
use crate::authority::{Authority, Limits, Parts};
use crate::jobs::sealer::{self, Sealer};
use crate::ledger::{Offline, SqliteLedger};
use crate::problem::{Exit, Problem};
use crate::secret::Secret;
use crate::vault::DiskVault;
use rustix::fs::{Mode, OFlags};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use system::{SystemClock, SystemEntropy};

/// An open data folder.
pub struct Folder {
    /// Where it is.
    pub dir: PathBuf,
    /// The authority over it.
    pub authority: Arc<Authority>,
    clock: Arc<dyn Clock>,
    ledger: Arc<dyn Ledger>,
    root: RootKey,
}

const INSTANCE: &str = "instance";
const OPERATOR: &str = "operator_omni";

impl Folder {
    /// Creates the folder and founds an authority in it. Safe to run again after a crash.
    pub async fn create(dir: &Path, limits: Limits) -> Result<Self, Problem> {
        match Self::founded(dir, limits).await {
            Some(_) => Err(exists(dir)),
            None => Self::make(dir, limits, None).await,
        }
    }

    /// The same for a run of `init`, which does more than that: until [`Folder::finish`] another
    /// run goes on with what this one began.
    pub async fn begin(dir: &Path, limits: Limits, begun: Begun) -> Result<Self, Problem> {
        let Some(folder) = Self::founded(dir, limits).await else {
            return Self::make(dir, limits, Some(begun)).await;
        };
        match (Begun::left_in(dir)?, begun) {
            (None, _) => Err(exists(dir)),
            (Some(Begun::Demo), Begun::Plain) => Err(unfinished(dir)),
            (Some(_), _) => {
                begun.mark(dir)?;
                Ok(folder)
            }
        }
    }

    /// The run of `init` is over, and its answer out.
    pub fn finish(&self) -> Result<(), Problem> {
        for dir in [&self.dir, &self.dir.join("keys")] {
            sweep(dir).map_err(|e| io(dir, &e))?;
        }
        Begun::unmark(&self.dir)
    }

    /// The authority that is there already, if it can be opened.
    async fn founded(dir: &Path, limits: Limits) -> Option<Self> {
        if dir.join("keys/root.key").exists() && ledger_path(dir).exists() {
            return Self::open(dir, limits).await.ok();
        }
        None
    }

    async fn make(dir: &Path, limits: Limits, begun: Option<Begun>) -> Result<Self, Problem> {
        owned(dir)?;
        let there = existing(dir);
        private_dir(dir)?;
        shut_if_empty(dir)?;
        if let Some(begun) = begun {
            begun.mark(dir)?;
        }
        private_dir(&dir.join("keys"))?;
        private_dir(&dir.join("vault"))?;
        let entropy = SystemEntropy;
        let root = root_key(dir, true)?;
        // What is sealed from here on is noise without the key: its name must outlive a power cut.
        keep_names(dir, &there)?;
        let ledger = SqliteLedger::create(&ledger_path(dir)).map_err(|e| opening(dir, &e))?;
        let wallet = found::wallet(&entropy).map_err(|e| founding(&e))?;
        let mut instance = [0; 16];
        entropy.fill(&mut instance);
        let instance = hex::encode(instance);
        let settings = [
            (INSTANCE, instance.clone()),
            (OPERATOR, Omni::master(&wallet.address()).bare()),
        ];
        ledger.found(&settings).map_err(|e| failed(&e))?;
        let clock = SystemClock::default();
        let issuer = crate::authority::cap::issuer(&instance);
        found::found(&ledger, &clock, &entropy, &root, &wallet, &issuer)
            .await
            .map_err(|e| founding(&e))?;
        drop(ledger);
        Self::open(dir, limits).await
    }

    /// The name of the authority in a folder, `urn:agentkeys:<id>`; none where there is none. Only the
    /// ledger is read: no key, and nothing is written.
    pub fn issuer_in(dir: &Path) -> Result<Option<String>, Problem> {
        owned(dir)?;
        let path = ledger_path(dir);
        if !path.exists() {
            return Ok(None);
        }
        let ledger = Offline::open(&path).map_err(|e| opening(dir, &e))?;
        let instance = ledger.setting(INSTANCE);
        let instance = instance.map_err(|e| broken(&e.to_string()))?;
        Ok(instance.map(|id| crate::authority::cap::issuer(&id)))
    }

    /// Opens a folder that was created before.
    pub async fn open(dir: &Path, limits: Limits) -> Result<Self, Problem> {
        Self::open_with(dir, limits, Arc::new(SystemClock::default())).await
    }

    /// The same with another clock than the machine's. Boxed, so that there is one copy of its code
    /// and not one in each command.
    pub fn open_with(
        dir: &Path,
        limits: Limits,
        clock: Arc<dyn Clock>,
    ) -> Later<'_, Result<Self, Problem>> {
        Box::pin(Self::opened(dir, limits, clock))
    }

    async fn opened(dir: &Path, limits: Limits, clock: Arc<dyn Clock>) -> Result<Self, Problem> {
        founded(dir)?;
        let root = root_key(dir, false)?;
        let ledger = SqliteLedger::open(&ledger_path(dir)).map_err(|e| opening(dir, &e))?;
        let setting = |key: &str| {
            ledger.setting(key).map_err(|e| failed(&e))?.ok_or_else(|| {
                broken("the authority in it was never finished; remove the folder and init again")
            })
        };
        let issuer = crate::authority::cap::issuer(&setting(INSTANCE)?);
        let operator = setting(OPERATOR)?;
        let operator = operator
            .parse()
            .map_err(|_| broken("its operator id is damaged"))?;
        let caps = caps::LocalCaps::load(&ledger, &root, issuer.clone()).await?;
        let vault_keys = ledger.keys(purpose::VAULT).await.map_err(|e| failed(&e))?;
        let sealed = vault_keys
            .last()
            .ok_or_else(|| broken("it has no vault key"))?;
        let key = root
            .open(purpose::VAULT, sealed)
            .map_err(|e| broken(&e.to_string()))?;
        let key: [u8; 32] = key
            .expose()
            .as_slice()
            .try_into()
            .map_err(|_| broken("its vault key is damaged"))?;
        let entropy = Arc::new(SystemEntropy);
        let vault = DiskVault::open(&dir.join("vault"), Secret::new(key), entropy.clone())
            .map_err(|e| broken(&e.to_string()))?;
        // Only now: what was never founded has failed above, and must stay as empty as it is.
        found::complete(&ledger, &*clock, &*entropy, &root, operator, &issuer)
            .await
            .map_err(|e| completing(&e))?;
        let ledger = Arc::new(ledger);
        let log = Arc::clone(&ledger);
        let ledger: Arc<dyn Ledger> = ledger;
        let log_keys =
            log_keys::LocalLogKeys::new(Arc::clone(&ledger), root.clone(), entropy.clone());
        let tokens = tokens::LocalTokens::new(
            Arc::clone(&ledger),
            root.clone(),
            entropy.clone(),
            issuer.clone(),
        );
        let authority = Authority::new(Parts {
            ledger: Arc::clone(&ledger),
            vault: Arc::new(vault),
            caps: Arc::new(caps),
            tokens: Arc::new(tokens),
            log,
            log_keys: Arc::new(log_keys),
            clock: Arc::clone(&clock),
            entropy,
            operator,
            issuer,
            limits,
        });
        Ok(Self {
            dir: dir.to_owned(),
            authority: Arc::new(authority),
            clock,
            ledger,
            root,
        })
    }

    /// The operator at the command line, for one command.
    pub fn operator(&self) -> Principal {
        self.authority.at_hand(&self.root)
    }

    /// What seals its log, for this process.
    pub fn sealer(&self) -> Sealer {
        let mut holder = [0; 8];
        SystemEntropy.fill(&mut holder);
        Sealer::new(
            Arc::clone(&self.authority),
            self.root.clone(),
            Arc::clone(&self.clock),
            sealer::kept_in(&self.dir),
            hex::encode(holder),
        )
    }

    /// Its clock.
    pub fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.clock)
    }

    /// Now, Unix milliseconds.
    pub fn now_ms(&self) -> i64 {
        self.clock.now_ms()
    }
}

fn ledger_path(dir: &Path) -> PathBuf {
    dir.join("ledger.sqlite")
}

/// The folder itself, or the nearest one above it that is there.
fn existing(dir: &Path) -> PathBuf {
    let whole = std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned());
    let there = whole.ancestors().find(|a| a.exists());
    there.unwrap_or(&whole).to_owned()
}

/// Makes the names of new entries durable: those in `keys`, in the folder, and in every folder
/// above it down from the one that was `there` already.
fn keep_names(dir: &Path, there: &Path) -> Result<(), Problem> {
    let whole = std::path::absolute(dir).map_err(|e| io(dir, &e))?;
    let keys = whole.join("keys");
    let made = keys.ancestors().take_while(|a| *a != there);
    made.chain([there]).try_for_each(sync)
}

/// Makes the names in a folder durable.
fn sync(dir: &Path) -> Result<(), Problem> {
    std::fs::File::open(dir)
        .and_then(|folder| folder.sync_all())
        .map_err(|e| io(dir, &e))
}

/// Refuses keys that anyone but their owner can reach: they may have been read already.
fn refuse_open_keys(dir: &Path) -> Result<(), Problem> {
    use std::os::unix::fs::PermissionsExt as _;
    for (name, wanted) in [("keys", 0o700), ("keys/root.key", 0o600)] {
        let path = dir.join(name);
        // What is not there is said by whoever reads it.
        let Ok(found) = std::fs::metadata(&path) else {
            continue;
        };
        let mode = found.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(Problem::new(
                Exit::Config,
                "agentkeys.folder.permissions",
                format!(
                    "{} is open to other users (mode {mode:o}), and who reads the root key reads everything",
                    path.display()
                ),
                format!("run `chmod {wanted:o} {}`", path.display()),
            ));
        }
    }
    Ok(())
}

/// Reads the root key, or makes it.
fn root_key(dir: &Path, create: bool) -> Result<RootKey, Problem> {
    let path = dir.join("keys/root.key");
    refuse_open_keys(dir)?;
    if create && !path.exists() {
        let mut bytes = [0; 32];
        SystemEntropy.fill(&mut bytes);
        write_private(&path, hex::encode(bytes).as_bytes())?;
    }
    let text = ordinary(&path).and_then(|file| bounded_text(&file, MAX_PRIVATE));
    let text = text.map_err(|e| {
        Problem::new(
            Exit::Config,
            "agentkeys.folder.root_key_unreadable",
            format!("the root key {} cannot be read: {e}", path.display()),
            "run as the user who owns the folder (`sudo -u agentkeys agentkeys …`); without this key nothing can be opened",
        )
    })?;
    let bytes = hex::decode(text.trim())
        .ok()
        .and_then(|b| <[u8; 32]>::try_from(b).ok());
    bytes
        .map(RootKey::new)
        .ok_or_else(|| broken("its root key is damaged; restore keys/root.key"))
}

/// Refuses a folder that is not this user's, or has no authority in it.
pub fn founded(dir: &Path) -> Result<(), Problem> {
    owned(dir)?;
    if ledger_path(dir).exists() {
        return Ok(());
    }
    Err(Problem::new(
        Exit::Config,
        "agentkeys.folder.missing",
        format!("there is no authority in {}", dir.display()),
        "run `agentkeys init`, or name its folder with --dir or AGENTKEYS_DIR",
    ))
}

/// Nothing longer is a token, or a file with one in it.
const MAX_PRIVATE: u64 = 64 * 1024;

/// The text of a file that only its owner can read.
///
/// # Errors
/// When it cannot be read, is no text, or others may read it.
pub fn private_file(path: &Path) -> Result<Secret<String>, Problem> {
    private(path, OFlags::empty())
}

/// The same of a file in a folder that somebody else may have made: a link in it leads nowhere.
///
/// # Errors
/// When it is a link, or as for [`private_file`].
pub fn private_file_itself(path: &Path) -> Result<Secret<String>, Problem> {
    private(path, OFlags::NOFOLLOW)
}

fn private(path: &Path, flags: OFlags) -> Result<Secret<String>, Problem> {
    use std::os::unix::fs::PermissionsExt as _;
    let shown = path.display();
    let unreadable = |e: std::io::Error| {
        Problem::new(
            Exit::Config,
            "agentkeys.file.unreadable",
            format!("{shown} cannot be read: {e}"),
            "name a file that is there and is yours",
        )
    };
    let flags = flags | OFlags::RDONLY | OFlags::CLOEXEC;
    let opened = rustix::fs::open(path, flags, Mode::empty());
    let file = opened
        .map(std::fs::File::from)
        .map_err(|e| unreadable(e.into()))?;
    let mode = file.metadata().map_err(unreadable)?.permissions().mode();
    if mode & 0o077 != 0 {
        return Err(Problem::new(
            Exit::Config,
            "agentkeys.file.exposed",
            format!("others on this machine can read {shown}, and it holds a secret"),
            format!("chmod 600 {shown}"),
        ));
    }
    let text = bounded_text(&file, MAX_PRIVATE).map_err(unreadable)?;
    Ok(Secret::new(text))
}

/// Creates a folder that only its owner can enter.
pub fn private_dir(path: &Path) -> Result<(), Problem> {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|e| io(path, &e))
}

/// A folder somebody made for us beforehand and nobody has used: ours to shut.
fn shut_if_empty(dir: &Path) -> Result<(), Problem> {
    use std::os::unix::fs::PermissionsExt as _;
    let mut entries = std::fs::read_dir(dir).map_err(|e| io(dir, &e))?;
    if entries.next().is_some() {
        return Ok(());
    }
    let owner_only = std::fs::Permissions::from_mode(0o700);
    std::fs::set_permissions(dir, owner_only).map_err(|e| io(dir, &e))
}

fn exists(dir: &Path) -> Problem {
    Problem::new(
        Exit::Config,
        "agentkeys.folder.exists",
        format!("{} holds an authority already", dir.display()),
        "use it as it is, or choose another folder with --dir",
    )
}

fn unfinished(dir: &Path) -> Problem {
    Problem::new(
        Exit::Config,
        "agentkeys.folder.unfinished",
        format!("a run of `init --demo` was cut off in {}", dir.display()),
        "run `agentkeys init --demo` again, which goes on with it, or choose another folder with --dir",
    )
}

fn io(path: &Path, error: &std::io::Error) -> Problem {
    Problem::new(
        Exit::Config,
        "agentkeys.folder.not_writable",
        format!("{} cannot be written: {error}", path.display()),
        "choose a folder this user may write with --dir or AGENTKEYS_DIR",
    )
}

fn opening(dir: &Path, error: &crate::ledger::OpenError) -> Problem {
    let (code, fix) = match error {
        crate::ledger::OpenError::Exposed { .. } => (
            "agentkeys.folder.exposed",
            "shut it with that command, or choose another folder with --dir",
        ),
        _ => (
            "agentkeys.folder.ledger_unusable",
            "use the program version that wrote it, or restore it from a backup",
        ),
    };
    let cause = format!("the ledger in {} does not open: {error}", dir.display());
    Problem::new(Exit::Config, code, cause, fix)
}

fn founding(error: &found::FoundingError) -> Problem {
    Problem::new(
        Exit::Failed,
        "agentkeys.folder.founding_failed",
        error.to_string(),
        "remove the folder and init again",
    )
}

fn completing(error: &found::FoundingError) -> Problem {
    Problem::new(
        Exit::Failed,
        "agentkeys.folder.upgrade_failed",
        format!(
            "an older program made this folder, and it could not be brought up to date: {error}"
        ),
        "look at the disk: is it full or read-only? then run it again",
    )
}

fn failed(error: &crate::authority::ports::LedgerError) -> Problem {
    Problem::new(
        Exit::Failed,
        "agentkeys.folder.ledger_failed",
        error.to_string(),
        "look at the disk: is it full or read-only?",
    )
}

fn broken(what: &str) -> Problem {
    Problem::new(
        Exit::Config,
        "agentkeys.folder.damaged",
        format!("this folder cannot be used: {what}"),
        "restore it from a backup",
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[tokio::test]
    async fn a_folder_of_an_older_program_gets_the_ring_it_lacks_once() {
        use crate::authority::Call;
        use crate::authority::calls::admin::AdminCall;
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path().join("data");
        drop(Folder::create(&dir, Limits::default()).await.unwrap());
        let older = rusqlite::Connection::open(ledger_path(&dir)).unwrap();
        older
            .execute_batch(
                "DELETE FROM key_ring WHERE purpose IN ('actor-jwt', 'log'); DELETE FROM log_origin",
            )
            .unwrap();
        drop(older);
        let mut seen = Vec::new();
        for _ in 0..2 {
            let folder = Folder::open(&dir, Limits::default()).await.unwrap();
            let list = Call::Admin(Box::new(AdminCall::KeyList));
            let done = folder.authority.perform(&folder.operator(), list).await;
            let keys = done.unwrap().answer.to_json();
            assert_eq!(keys.as_array().unwrap().len(), 3, "{keys}");
            let jwks = folder.authority.jwks().await.unwrap();
            assert_eq!(jwks["keys"].as_array().unwrap().len(), 2);
            folder
                .sealer()
                .seal(std::time::Duration::ZERO)
                .await
                .unwrap();
            seen.push((keys, folder.authority.log_size().await.unwrap()));
        }
        assert_eq!(seen[0], seen[1]);
    }

    #[test]
    fn names_are_kept_up_to_the_folder_that_was_there() {
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path().join("a/b");
        let there = existing(&dir);
        assert_eq!(there, temp.path());
        private_dir(&dir.join("keys")).unwrap();
        keep_names(&dir, &there).unwrap();
        assert_eq!(existing(&dir), dir);
        keep_names(&dir, &dir).unwrap();
    }
}
