//! The ledger in one `SQLite` file.

use super::feed::Poller;
use super::open::{self, OpenError};
use super::pool::Pool;
use super::writer::{Room, Writer, stopped};
use super::{events, read, rows};
use crate::authority::device::{DeviceId, DeviceRow, ListedDevice, PairingRow};
use crate::authority::identity::Omni;
use crate::authority::ports::{
    ActorName, Admission, AuditReach, CapRow, Committed, EventFilter, Heads, Lane, Later, Ledger,
    LedgerError, LoggedEvent, MemoryFacts, Meter, Reservation, SaltFacts, SealedKey, Slot,
    SpendFacts, SpendQuery, StatementFacts, Stored, TokenRow, Unit, VendorRow,
};
use crate::authority::principal::{Actor, ActorScope, Binding};
use crate::authority::words::Namespace;
use parking_lot::Mutex;
use rusqlite::{Connection, TransactionBehavior};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::watch;

/// Bounds of a ledger.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Connections kept open for reading.
    pub read_pool: usize,
    /// Units of customers that may wait.
    pub customer_queue: usize,
    /// Units of strangers that may wait.
    pub stranger_queue: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            read_pool: 16,
            customer_queue: 4096,
            stranger_queue: 256,
        }
    }
}

/// A ledger in one `SQLite` file, shared with every other process that opens it.
///
/// Dropping it finishes what waits to be written.
pub struct SqliteLedger {
    // First, so that what waits is on disk before anything else goes.
    writer: Writer,
    /// Started with the first one who watches: most commands never do.
    poller: Mutex<Option<Poller>>,
    pub(super) pool: Arc<Pool>,
    size: watch::Sender<u64>,
    pub(super) path: PathBuf,
}

impl std::fmt::Debug for SqliteLedger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SqliteLedger")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

impl SqliteLedger {
    /// Makes the file, readable by its owner alone, and opens it. A file that a crash left
    /// unfinished is gone on with; one that was finished is opened as it is.
    pub fn create(path: &Path) -> Result<Self, OpenError> {
        open::touch(path)?;
        Self::open(path)
    }

    /// Opens a file that is there.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        Self::open_with(path, Options::default())
    }

    /// Opens a file that is there, with other bounds.
    pub fn open_with(path: &Path, options: Options) -> Result<Self, OpenError> {
        let connection = open::prepare(path)?;
        let (size, _) = watch::channel(rows::log_size(&connection)?);
        let room = Room {
            customers: options.customer_queue,
            strangers: options.stranger_queue,
        };
        let door = open::door(path)?;
        let writer = Writer::start(connection, door, room, size.clone());
        let writer = writer.map_err(OpenError::Thread)?;
        Ok(Self {
            writer,
            poller: Mutex::new(None),
            pool: Arc::new(Pool::new(path.to_owned(), options.read_pool)),
            size,
            path: path.to_owned(),
        })
    }

    /// A setting that was written when the authority was founded.
    pub fn setting(&self, key: &str) -> Result<Option<String>, LedgerError> {
        self.read(|c| read::setting(c, key))
    }

    /// Writes the settings of a new authority, all or none. Refused once the log has an event;
    /// before that, a founding that was not finished is begun anew.
    pub fn found(&self, settings: &[(&str, String)]) -> Result<(), LedgerError> {
        let write = || -> rusqlite::Result<bool> {
            let mut connection = open::writing(&self.path)?;
            let transaction =
                connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            if rows::log_size(&transaction)? > 0 {
                return Ok(false);
            }
            transaction.execute("DELETE FROM setting", [])?;
            for (key, value) in settings {
                let sql = "INSERT INTO setting (key, value) VALUES (?1, ?2)";
                transaction.execute(sql, (key, value))?;
            }
            transaction.commit()?;
            Ok(true)
        };
        match write() {
            Ok(true) => Ok(()),
            Ok(false) => Err(LedgerError::Failed("it is founded already".to_owned())),
            Err(error) => Err(failed(&error)),
        }
    }

    fn read<T>(
        &self,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, LedgerError> {
        self.pool.read(read).map_err(|e| failed(&e))
    }

    /// A read in the calling task: it takes some ten microseconds, less than a change of threads.
    fn inline<'a, T: Send + 'a>(
        &'a self,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'a,
    ) -> Later<'a, Result<T, LedgerError>> {
        Box::pin(async move { self.read(read) })
    }
}

pub(super) fn failed(error: &rusqlite::Error) -> LedgerError {
    LedgerError::Failed(error.to_string())
}

impl Ledger for SqliteLedger {
    fn admission<'a>(
        &'a self,
        token_id: &'a str,
        actor: Option<ActorName<'a>>,
    ) -> Later<'a, Result<Admission, LedgerError>> {
        self.inline(move |c| read::admission(c, token_id, actor))
    }

    fn memory<'a>(
        &'a self,
        scope: &'a ActorScope,
        namespace: Namespace,
        version: Option<u64>,
        token_id: Option<&'a str>,
    ) -> Later<'a, Result<MemoryFacts, LedgerError>> {
        Box::pin(async move {
            let Some(token_id) = token_id else {
                return self.read(|c| read::memory(c, scope, namespace, version));
            };
            let facts = self.pool.snapshot(|c| {
                let last_piece = read::last_piece(c, scope, namespace, token_id)?;
                let facts = read::memory(c, scope, namespace, version)?;
                Ok(MemoryFacts {
                    last_piece,
                    ..facts
                })
            });
            facts.map_err(|e| failed(&e))
        })
    }

    fn salt<'a>(
        &'a self,
        scope: &'a ActorScope,
        slot: Slot,
    ) -> Later<'a, Result<SaltFacts, LedgerError>> {
        self.inline(move |c| read::salt(c, scope.actor(), slot))
    }

    fn statement<'a>(
        &'a self,
        scope: &'a ActorScope,
        event_id: &'a str,
    ) -> Later<'a, Result<StatementFacts, LedgerError>> {
        Box::pin(async move {
            self.pool
                .snapshot(|c| read::statement(c, scope, event_id))
                .map_err(|e| failed(&e))
        })
    }

    fn history<'a>(
        &'a self,
        scope: &'a ActorScope,
        namespace: Namespace,
    ) -> Later<'a, Result<Vec<Stored>, LedgerError>> {
        self.inline(move |c| read::history(c, scope, namespace))
    }

    fn spend<'a>(
        &'a self,
        scope: &'a ActorScope,
        query: SpendQuery<'a>,
    ) -> Later<'a, Result<SpendFacts, LedgerError>> {
        Box::pin(async move {
            self.pool
                .snapshot(|c| read::spend(c, scope, &query))
                .map_err(|e| failed(&e))
        })
    }

    fn reservations<'a>(
        &'a self,
        scope: &'a ActorScope,
        day: &'a str,
    ) -> Later<'a, Result<Vec<Reservation>, LedgerError>> {
        self.inline(move |c| read::reservations(c, scope, day))
    }

    fn cap<'a>(
        &'a self,
        scope: &'a ActorScope,
        cap_id: &'a str,
        now_ms: i64,
    ) -> Later<'a, Result<Option<CapRow>, LedgerError>> {
        self.inline(move |c| read::cap(c, scope, cap_id, now_ms))
    }

    fn revoked_caps(&self, now_s: u64) -> Later<'_, Result<Vec<(String, u64)>, LedgerError>> {
        self.inline(move |c| read::revoked_caps(c, now_s))
    }

    fn heads(&self) -> Later<'_, Result<Heads, LedgerError>> {
        self.inline(read::heads)
    }

    fn policy(&self, version: i64) -> Later<'_, Result<Option<String>, LedgerError>> {
        self.inline(move |c| read::policy(c, version))
    }

    fn keys<'a>(&'a self, purpose: &'a str) -> Later<'a, Result<Vec<SealedKey>, LedgerError>> {
        self.inline(move |c| read::keys(c, purpose))
    }

    fn key<'a>(
        &'a self,
        purpose: &'a str,
        kid: &'a str,
    ) -> Later<'a, Result<Option<SealedKey>, LedgerError>> {
        self.inline(move |c| read::key(c, purpose, kid))
    }

    fn pairing<'a>(
        &'a self,
        code_hash: &'a [u8; 32],
    ) -> Later<'a, Result<Option<PairingRow>, LedgerError>> {
        self.inline(move |c| read::pairing(c, code_hash))
    }

    fn device<'a>(
        &'a self,
        vendor: &'a str,
        id: &'a DeviceId,
    ) -> Later<'a, Result<Option<DeviceRow>, LedgerError>> {
        self.inline(move |c| read::device(c, vendor, id))
    }

    fn devices<'a>(
        &'a self,
        vendor: Option<&'a str>,
    ) -> Later<'a, Result<Vec<ListedDevice>, LedgerError>> {
        self.inline(move |c| read::devices(c, vendor))
    }

    fn actors(&self) -> Later<'_, Result<Vec<Actor>, LedgerError>> {
        self.inline(read::actors)
    }

    fn subtree(&self, root: Omni) -> Later<'_, Result<Vec<Omni>, LedgerError>> {
        self.inline(move |c| read::subtree(c, root))
    }

    fn vendors(&self) -> Later<'_, Result<Vec<VendorRow>, LedgerError>> {
        self.inline(read::vendors)
    }

    fn tokens(&self) -> Later<'_, Result<Vec<TokenRow>, LedgerError>> {
        self.inline(read::tokens)
    }

    fn bindings<'a>(
        &'a self,
        scope: &'a ActorScope,
    ) -> Later<'a, Result<Vec<(String, Binding)>, LedgerError>> {
        self.inline(move |c| read::bindings(c, scope))
    }

    fn metered_by(&self, meter: Arc<dyn Meter>) {
        self.writer.metered_by(meter);
    }

    fn commit(&self, unit: Unit, lane: Lane) -> Later<'_, Result<Committed, LedgerError>> {
        Box::pin(async move {
            let answer = self.writer.submit(unit, lane)?;
            answer.await.unwrap_or_else(|_| Err(stopped()))
        })
    }

    fn touch_token<'a>(
        &'a self,
        token_id: &'a str,
        at_ms: i64,
    ) -> Later<'a, Result<(), LedgerError>> {
        Box::pin(async move { self.writer.touch(token_id, at_ms) })
    }

    fn events<'a>(
        &'a self,
        reach: &'a AuditReach,
        filter: &'a EventFilter,
    ) -> Later<'a, Result<Vec<LoggedEvent>, LedgerError>> {
        let mut search = events::Search::new(reach.clone(), filter.clone());
        Box::pin(async move {
            // It may walk the whole log, so it changes threads: once for each stretch, so that
            // whoever gives up waiting ends it.
            loop {
                let pool = Arc::clone(&self.pool);
                let step = move || {
                    let more = pool.read(|c| search.step(c));
                    (search, more)
                };
                let stepped = tokio::task::spawn_blocking(step).await;
                let (after, more) = stepped.map_err(|e| LedgerError::Failed(e.to_string()))?;
                search = after;
                if !more.map_err(|e| failed(&e))? {
                    return Ok(search.found());
                }
            }
        })
    }

    fn event<'a>(
        &'a self,
        reach: &'a AuditReach,
        event_id: &'a str,
    ) -> Later<'a, Result<Option<LoggedEvent>, LedgerError>> {
        self.inline(move |c| events::one(c, reach, event_id))
    }

    fn log_size(&self) -> Later<'_, Result<u64, LedgerError>> {
        self.inline(rows::log_size)
    }

    fn watch(&self) -> watch::Receiver<u64> {
        let mut poller = self.poller.lock();
        if poller.is_none() {
            match Poller::start(self.path.clone(), self.size.clone()) {
                Ok(started) => *poller = Some(started),
                // Commits of this process still wake.
                Err(error) => tracing::error!(%error, "other processes' writes wake nobody"),
            }
        }
        self.size.subscribe()
    }
}
