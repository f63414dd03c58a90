//! A copy of the ledger that opens nothing, and what would open it, apart: what a backup takes from a
//! file that is written to meanwhile, and what a restore puts together again. Nothing of it decides.

use super::open::{self, OpenError};
use super::{log, read, rows};
use crate::authority::identity::Omni;
use crate::authority::ports::{LoggedEvent, SealedKey, Slot};
use crate::authority::words::Namespace;
use crate::secret::Secret;
use rusqlite::{Connection, OpenFlags, Result, TransactionBehavior};
use std::path::Path;

/// Events copied by one statement.
const STEP: i64 = 4096;

/// The salt of one slot, as long as it was not erased.
#[derive(Debug, Clone)]
pub struct SlotSalt {
    /// Whose.
    pub actor: Omni,
    /// Which slot, as it is stored.
    pub slot: String,
    /// Which epoch.
    pub epoch: u32,
    /// The salt.
    pub bytes: Secret<[u8; 32]>,
}

/// Everything in a ledger that opens something, of one moment.
#[derive(Debug, Clone)]
pub struct Openers {
    /// How many events there were.
    pub events: u64,
    /// The rings, each key sealed under the root key.
    pub ring: Vec<SealedKey>,
    /// The salts that are not erased.
    pub salts: Vec<SlotSalt>,
}

/// What an actor has in a copy and no salt opens any more: it was erased before the salts were read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Erased {
    /// Whose.
    pub actor: Omni,
    /// Which memories.
    pub namespaces: Vec<Namespace>,
    /// Whether what was stated for the record is among it.
    pub statements: bool,
}

/// A copy of a ledger, opened to be read.
pub struct Copied(Connection);

/// Copies a ledger as it is at one moment, while others write to it, without what opens anything:
/// salts, keys, and the bodies of pruned events. They are never written to the copy, so no free page
/// of it has them either. `progress` is told how many events were copied, of how many.
pub fn copy(from: &Path, to: &Path, mut progress: impl FnMut(u64, u64)) -> Result<Copied> {
    let mut c = Connection::open(to)?;
    open::tables_only(&c)?;
    // A copy that is cut off is thrown away.
    c.pragma_update(None, "journal_mode", "OFF")?;
    c.pragma_update(None, "synchronous", "OFF")?;
    c.pragma_update(None, "foreign_keys", false)?;
    c.busy_timeout(open::BUSY)?;
    let path = from.to_str().ok_or_else(|| rows::broken("path"))?;
    c.execute("ATTACH ?1 AS live", [path])?;
    let t = c.transaction_with_behavior(TransactionBehavior::Deferred)?;
    let schema = "SELECT type, name, sql FROM live.sqlite_schema \
                  WHERE sql IS NOT NULL AND name NOT GLOB 'sqlite_*' ORDER BY type = 'index'";
    let mut statement = t.prepare(schema)?;
    let made = statement.query_map([], |r| {
        Ok((r.get::<_, String>(0)?, r.get(1)?, r.get::<_, String>(2)?))
    })?;
    let made: Vec<(String, String, String)> = made.collect::<Result<_>>()?;
    drop(statement);
    let tables = made.iter().filter(|(kind, ..)| kind == "table");
    for (_, name, sql) in tables {
        t.execute(sql, [])?;
        if name == "audit_event" {
            copy_events(&t, &mut progress)?;
        } else {
            copy_table(&t, name)?;
        }
    }
    for (kind, _, sql) in &made {
        if kind == "index" {
            t.execute(sql, [])?;
        }
    }
    t.commit()?;
    c.execute("DETACH live", [])?;
    Ok(Copied(c))
}

/// What stands in a column of the copy instead of what is in the ledger.
fn instead(table: &str, column: &str) -> Option<&'static str> {
    match (table, column) {
        ("salt", "bytes") | ("log_head", "lease_holder") => Some("NULL"),
        ("key_ring", "sealed") => Some("x''"),
        ("log_head", "lease_until_ms") => Some("0"),
        // The bodies of pruned events are not copied.
        ("log_head", "swept") => Some("pruned"),
        _ => None,
    }
}

fn copy_table(c: &Connection, table: &str) -> Result<()> {
    let sql = "SELECT name FROM pragma_table_info(?1, 'live')";
    let columns = rows::all(c, sql, [table], rows::single::<String>)?;
    let values = columns.iter().map(|column| {
        let quoted = format!("\"{column}\"");
        instead(table, column).map_or(quoted, ToOwned::to_owned)
    });
    let values: Vec<String> = values.collect();
    let names = columns.join("\", \"");
    let sql = format!(
        "INSERT INTO main.\"{table}\" (\"{names}\") SELECT {} FROM live.\"{table}\"",
        values.join(", ")
    );
    c.execute(&sql, []).map(|_| ())
}

fn copy_events(c: &Connection, progress: &mut impl FnMut(u64, u64)) -> Result<()> {
    let first = rows::number(c, "SELECT pruned FROM live.log_head", [])?;
    let size = rows::number(c, "SELECT next_seq FROM live.audit_head", [])?;
    let sql = "INSERT INTO main.audit_event SELECT * FROM live.audit_event \
               WHERE seq >= ?1 AND seq < ?2 ORDER BY seq";
    let mut at = first;
    // What is beyond the count should not be there; a check of the copy finds it, and says so.
    while at < size {
        let until = at.saturating_add(STEP).min(size);
        c.prepare_cached(sql)?.execute([at, until])?;
        at = until;
        let told = |n: i64| u64::try_from(n).unwrap_or(0);
        progress(told(at), told(size));
    }
    c.prepare_cached(sql)?.execute([at, i64::MAX]).map(|_| ())
}

impl Copied {
    /// Opens the copy of a backup.
    pub fn open(path: &Path) -> std::result::Result<Self, OpenError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let c = Connection::open_with_flags(path, flags)?;
        open::tables_only(&c)?;
        open::readable(&c)?;
        c.pragma_update(None, "secure_delete", true)?;
        Ok(Self(c))
    }

    /// How many events it has.
    pub fn events(&self) -> Result<u64> {
        rows::log_size(&self.0)
    }

    /// A setting of its founding.
    pub fn setting(&self, key: &str) -> Result<Option<String>> {
        read::setting(&self.0, key)
    }

    /// The newest root that was signed, as its note.
    pub fn last_checkpoint(&self) -> Result<Option<String>> {
        let sql = "SELECT note FROM log_checkpoint WHERE origin = ?1 ORDER BY size DESC LIMIT 1";
        let origin = log::origin_number(&self.0)?;
        rows::one(&self.0, sql, [origin], rows::single::<String>)
    }

    /// The names of all objects its memories point to.
    pub fn objects(&self) -> Result<Vec<String>> {
        pointed(&self.0)
    }

    /// Its rows of one tool.
    pub fn events_of(&self, tool: &str) -> Result<Vec<LoggedEvent>> {
        let sql = "SELECT seq, envelope FROM audit_event WHERE tool = ?1 ORDER BY seq";
        rows::all(&self.0, sql, [tool], rows::event)
    }

    /// Puts back what opens it, as far as it is of the same epoch. Returns how many keys of the rings
    /// are still missing, and what no salt opens any more.
    pub fn open_with(&mut self, openers: &Openers) -> Result<(i64, Vec<Erased>)> {
        let t = self.0.transaction()?;
        for key in &openers.ring {
            let sql = "UPDATE key_ring SET sealed = ?3 WHERE purpose = ?1 AND kid = ?2";
            t.prepare_cached(sql)?
                .execute((&key.purpose, &key.kid, &key.sealed))?;
        }
        for salt in &openers.salts {
            let sql = "UPDATE salt SET bytes = ?4 WHERE actor = ?1 AND slot = ?2 AND epoch = ?3";
            let bytes = salt.bytes.expose();
            let actor = salt.actor;
            t.prepare_cached(sql)?
                .execute((actor.as_bytes(), &salt.slot, salt.epoch, bytes))?;
        }
        let missing = "SELECT count(*) FROM key_ring WHERE length(sealed) = 0";
        let missing = rows::number(&t, missing, [])?;
        let erased = erased(&t)?;
        t.commit()?;
        Ok((missing, erased))
    }
}

/// What is there of slots that have no salt.
fn erased(c: &Connection) -> Result<Vec<Erased>> {
    let sql = "SELECT s.actor, s.slot FROM salt s WHERE s.bytes IS NULL AND \
               (EXISTS (SELECT 1 FROM memory_version m WHERE m.actor = s.actor AND m.namespace = s.slot) \
                OR (s.slot = ?1 AND EXISTS (SELECT 1 FROM statement t WHERE t.actor = s.actor))) \
               ORDER BY s.actor";
    let found = rows::all(c, sql, [Slot::Statements.as_str()], |c| {
        Ok((rows::omni(c)?, c.take::<String>()?))
    })?;
    let mut all: Vec<Erased> = Vec::new();
    for (actor, slot) in found {
        if all.last().is_none_or(|last| last.actor != actor) {
            all.push(Erased {
                actor,
                namespaces: Vec::new(),
                statements: false,
            });
        }
        let Some(last) = all.last_mut() else { continue };
        match slot.parse() {
            Ok(namespace) => last.namespaces.push(namespace),
            Err(_) => last.statements = true,
        }
    }
    Ok(all)
}

fn pointed(c: &Connection) -> Result<Vec<String>> {
    let sql = "SELECT object_key FROM memory_version ORDER BY actor, namespace, version";
    rows::all(c, sql, [], rows::single::<String>)
}

/// The names of all objects that a ledger's memories point to now.
pub fn objects(path: &Path) -> Result<Vec<String>> {
    pointed(&open::reading(path)?)
}

/// Everything in a ledger that opens something.
pub fn openers(path: &Path) -> Result<Openers> {
    let mut c = open::reading(path)?;
    // One moment for all of it.
    let t = c.transaction()?;
    let sql = "SELECT purpose, kid, sealed, created_ms FROM key_ring ORDER BY id";
    let ring = rows::all(&t, sql, [], rows::key)?;
    let sql = "SELECT actor, slot, epoch, bytes FROM salt WHERE bytes IS NOT NULL \
               ORDER BY actor, slot";
    let salts = rows::all(&t, sql, [], |c| {
        Ok(SlotSalt {
            actor: rows::omni(c)?,
            slot: c.take()?,
            epoch: c.take()?,
            bytes: Secret::new(c.take()?),
        })
    })?;
    Ok(Openers {
        events: rows::log_size(&t)?,
        ring,
        salts,
    })
}
