//! Opening the file: what must be true of it before anything is read or written.

use super::turn::Door;
use refinery::{Migration, Runner};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension as _};
use std::fs::{File, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long a writer waits for another process's commit.
pub(super) const BUSY: Duration = Duration::from_secs(5);

/// Prepared statements a connection keeps; more than this room has.
const STATEMENTS: usize = 96;

/// What each version of the schema adds, oldest first. A file that was released is never changed.
const MIGRATIONS: [(&str, &str); 4] = [
    ("V1__first", include_str!("migrations/V1__first.sql")),
    ("V2__devices", include_str!("migrations/V2__devices.sql")),
    ("V3__tree", include_str!("migrations/V3__tree.sql")),
    ("V4__anchor", include_str!("migrations/V4__anchor.sql")),
];

/// The version from which on logs are sealed.
const SEALED: i64 = 3;

/// Why a ledger does not open.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// There is no file.
    #[error("there is no ledger at {0}")]
    NotThere(PathBuf),
    /// The file cannot be made or opened.
    #[error("{path} cannot be opened: {error}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// Others than its owner could read or change it.
    #[error(
        "{path} is open to others than its owner (mode {mode:04o}); when you know that nobody used that, `chmod go= {path}`"
    )]
    Exposed {
        /// The file, or its folder.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// A newer program wrote it.
    #[error("its schema is version {found}, and this program knows versions up to {known}")]
    Newer {
        /// The version in the file.
        found: i64,
        /// The newest version this program knows.
        known: i64,
    },
    /// An older program wrote it, and no newer one opened it since.
    #[error(
        "its schema is version {found}, from before logs were sealed; any command of this program but this one brings it up to date"
    )]
    Older {
        /// The version in the file.
        found: i64,
    },
    /// It has a schema of a known version that is not the one this program would have made.
    #[error("its schema says version {version}, but is not the one of this program")]
    Altered {
        /// That version.
        version: i64,
    },
    /// It is no `SQLite` file, a damaged one, or somebody else's.
    #[error("it is damaged, or not a ledger: {0}")]
    Corrupt(String),
    /// The file system does not allow what several processes at one file need.
    #[error(
        "it cannot be switched to write-ahead logging (it stays in {mode:?}); a ledger needs a local file system"
    )]
    NoWal {
        /// The mode it stays in.
        mode: String,
    },
    /// The schema could not be brought up to date.
    #[error("its schema could not be brought up to date: {0}")]
    Migration(String),
    /// `SQLite` failed otherwise.
    #[error("it could not be read: {0}")]
    Sqlite(rusqlite::Error),
    /// A thread could not be started.
    #[error("a thread could not be started: {0}")]
    Thread(std::io::Error),
}

impl From<rusqlite::Error> for OpenError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => {
                Self::Corrupt(error.to_string())
            }
            _ => Self::Sqlite(error),
        }
    }
}

/// Refuses files and a folder that are open to the group or to others. They are not put right in
/// silence: the folder may be somebody else's, and what others may have read or changed there is
/// for the operator to judge.
pub(super) fn private(path: &Path) -> Result<(), OpenError> {
    let failed = |path: &Path, error| OpenError::Io {
        path: path.to_owned(),
        error,
    };
    // Where `SQLite` puts its other files, if this is a link.
    let path = path.canonicalize().map_err(|e| failed(path, e))?;
    let beside = |end: &str| {
        let mut name = path.clone().into_os_string();
        name.push(end);
        PathBuf::from(name)
    };
    closed(folder_of(&path))?;
    closed(&path)?;
    for path in [beside("-wal"), beside("-shm")] {
        match closed(&path) {
            Err(OpenError::Io { error, .. }) if error.kind() == ErrorKind::NotFound => {}
            closed => closed?,
        }
    }
    Ok(())
}

fn closed(path: &Path) -> Result<(), OpenError> {
    let found = path.metadata().map_err(|error| OpenError::Io {
        path: path.to_owned(),
        error,
    })?;
    let mode = found.permissions().mode() & 0o7777;
    let others = mode & 0o077;
    if others > 0 {
        let path = path.to_owned();
        return Err(OpenError::Exposed { path, mode });
    }
    Ok(())
}

pub(super) fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    }
}

/// Makes an empty file that only its owner can read, unless there is one. `SQLite` gives the files
/// it puts beside it the same mode.
pub(super) fn touch(path: &Path) -> Result<(), OpenError> {
    let failed = |error| OpenError::Io {
        path: path.to_owned(),
        error,
    };
    // Before anything is put there.
    closed(folder_of(path))?;
    let mut options = OpenOptions::new();
    match options.write(true).create_new(true).mode(0o600).open(path) {
        Ok(file) => file.sync_all().map_err(failed)?,
        Err(error) if error.kind() == ErrorKind::AlreadyExists => return Ok(()),
        Err(error) => return Err(failed(error)),
    }
    File::open(folder_of(path))
        .and_then(|f| f.sync_all())
        .map_err(failed)
}

/// A connection that writes, its schema checked and up to date.
pub(super) fn prepare(path: &Path) -> Result<Connection, OpenError> {
    if !path.exists() {
        return Err(OpenError::NotThere(path.to_owned()));
    }
    private(path)?;
    // `SQLite` does not wait for another's change of the journal's mode or of the schema, it fails
    // at once.
    let door = door(path)?;
    let _turn = door.wait();
    let mut connection = writing(path)?;
    let known = newest(&migrations()?);
    // Read before anything is written: a newer file must stay as it is.
    let found = schema_version(&connection)?;
    if found > known {
        return Err(OpenError::Newer { found, known });
    }
    write_ahead(&connection)?;
    migrate(&mut connection)?;
    Ok(connection)
}

/// The door at which writers of a ledger queue.
pub(super) fn door(path: &Path) -> Result<Door, OpenError> {
    Door::of(folder_of(path)).map_err(|e| at_folder(path, e))
}

fn at_folder(path: &Path, error: std::io::Error) -> OpenError {
    OpenError::Io {
        path: folder_of(path).to_owned(),
        error,
    }
}

/// Switches to write-ahead logging, and looks whether that happened.
fn write_ahead(connection: &Connection) -> Result<(), OpenError> {
    let mode = connection.pragma_update_and_check(None, "journal_mode", "wal", |r| r.get(0));
    let mode: String = match mode {
        Err(error)
            if matches!(
                error.sqlite_error_code(),
                Some(ErrorCode::SystemIoFailure | ErrorCode::FileLockingProtocolFailed)
            ) =>
        {
            error.to_string()
        }
        mode => mode?,
    };
    if mode == "wal" {
        Ok(())
    } else {
        Err(OpenError::NoWal { mode })
    }
}

/// Whether a file that is only read has tables of this program's, made as it makes them: without
/// their constraints a place or an id could be there twice.
pub(super) fn readable(connection: &Connection) -> Result<(), OpenError> {
    let known = newest(&migrations()?);
    let found = schema_version(connection)?;
    if found > known {
        return Err(OpenError::Newer { found, known });
    }
    if found < SEALED {
        return Err(OpenError::Older { found });
    }
    let model = Connection::open_in_memory()?;
    let versions = (1..).zip(MIGRATIONS).take_while(|(v, _)| *v <= found);
    for (_, (_, sql)) in versions {
        model.execute_batch(sql)?;
    }
    if made_of(connection)? != made_of(&model)? {
        return Err(OpenError::Altered { version: found });
    }
    Ok(())
}

/// Everything a file is made of, tables with what was added to them since: nothing more and nothing
/// less, so that no trigger, view or index of somebody else's has a say in what is read.
fn made_of(connection: &Connection) -> rusqlite::Result<Vec<[Option<String>; 3]>> {
    let sql = "SELECT type, name, sql FROM sqlite_schema \
               WHERE name NOT GLOB 'sqlite_*' AND name <> 'refinery_schema_history' \
               ORDER BY type, name LIMIT 1000";
    let mut statement = connection.prepare(sql)?;
    let found = statement.query_map([], |r| Ok([r.get(0)?, r.get(1)?, r.get(2)?]))?;
    found.collect()
}

/// Keeps a file from running anything: triggers would change what is written, and views what is
/// read. This program has neither.
pub(super) fn tables_only(connection: &Connection) -> rusqlite::Result<()> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_VIEW, false)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    Ok(())
}

/// A connection to a prepared file, for the writer.
pub(super) fn writing(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY)?;
    // FULL: a commit in the write-ahead log is synced before it is answered.
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    // Erasure must leave nothing in free pages.
    connection.pragma_update(None, "secure_delete", true)?;
    // Without it SQLite fits a plan to the bound values and prepares a kept statement anew whenever
    // they change: a quarter of a read's whole cost (`docs/performance.md`).
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    tables_only(&connection)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    Ok(connection)
}

/// A connection to a prepared file that cannot change it.
pub(super) fn reading(path: &Path) -> rusqlite::Result<Connection> {
    let connection = writing(path)?;
    connection.pragma_update(None, "query_only", true)?;
    Ok(connection)
}

fn migrations() -> Result<Vec<Migration>, OpenError> {
    let each = MIGRATIONS.map(|(name, sql)| Migration::unapplied(name, sql));
    let all: Result<Vec<_>, _> = each.into_iter().collect();
    all.map_err(|e| OpenError::Migration(e.to_string()))
}

fn newest(migrations: &[Migration]) -> i64 {
    migrations.last().map_or(0, |m| i64::from(m.version()))
}

/// The version of the schema in the file; 0 when it has none.
fn schema_version(connection: &Connection) -> Result<i64, OpenError> {
    let tables: i64 =
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |r| r.get(0))?;
    if tables == 0 {
        return Ok(0);
    }
    let history = "SELECT 1 FROM sqlite_schema WHERE name = 'refinery_schema_history'";
    let history = connection.query_row(history, [], |_| Ok(())).optional()?;
    if history.is_none() {
        return Err(OpenError::Corrupt(
            "it has tables, but not this program's".to_owned(),
        ));
    }
    let newest = "SELECT max(version) FROM refinery_schema_history";
    let newest: Option<i64> = connection.query_row(newest, [], |r| r.get(0))?;
    Ok(newest.unwrap_or(0))
}

/// Brings the schema up to date, in one transaction.
fn migrate(connection: &mut Connection) -> Result<(), OpenError> {
    let migrations = migrations()?;
    if schema_version(connection)? == newest(&migrations) {
        return migrations.iter().try_for_each(|m| same(connection, m));
    }
    let runner = Runner::new(&migrations).set_grouped(true);
    match runner.run(connection) {
        Ok(_) => Ok(()),
        Err(error) => Err(OpenError::Migration(error.to_string())),
    }
}

/// Whether what was applied is what this program would apply.
fn same(connection: &Connection, migration: &Migration) -> Result<(), OpenError> {
    let version = i64::from(migration.version());
    let applied: String = connection.query_row(
        "SELECT checksum FROM refinery_schema_history WHERE version = ?1",
        [version],
        |r| r.get(0),
    )?;
    if applied == migration.checksum().to_string() {
        Ok(())
    } else {
        Err(OpenError::Altered { version })
    }
}
