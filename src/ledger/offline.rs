//! Reading a ledger that nobody has to have opened: a copy of the file is enough, nothing is written,
//! and no key is needed. For checking it, by somebody who does not trust it; so nothing that is
//! found in it is an error here, but for a file that cannot be read at all.

use super::open::OpenError;
use super::{log, open, read, rows};
use crate::audit::note::VerifierKey;
use crate::audit::recheck::{
    End, Head, Origin, Row, StoredCheckpoint, Stretch, WIDTH, tiles_ending,
};
use crate::audit::tree::TileId;
use crate::authority::found::purpose;
use rusqlite::fallible_streaming_iterator::FallibleStreamingIterator as _;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags, Result, Rows};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// The most names and keys a log is believed to have.
const MOST_NAMES: u32 = 10_000;

/// Pages kept in memory, in KiB.
const CACHE_KIB: i32 = -16 * 1024;

/// A ledger, opened for reading: all of it as it was at one moment.
pub struct Offline {
    connection: Connection,
    path: PathBuf,
    /// What the file was when it was opened as one that nobody writes to.
    still: Option<(u64, Option<SystemTime>)>,
}

impl Offline {
    /// Opens a file. Nothing is written: when nobody has it open it is read as it is, and what a copy
    /// has in its write-ahead log is found without touching the index beside that. Where a log has
    /// lost its index, `SQLite` makes one.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        let found = path.metadata().map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => OpenError::NotThere(path.to_owned()),
            _ => OpenError::Io {
                path: path.to_owned(),
                error,
            },
        })?;
        let alone = !beside(path, "-wal").exists();
        let still = alone.then(|| (found.len(), found.modified().ok()));
        let how = match (alone, beside(path, "-shm").exists()) {
            (true, _) => "?immutable=1",
            (false, true) => "?readonly_shm=1",
            (false, false) => "",
        };
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
            | OpenFlags::SQLITE_OPEN_NO_MUTEX
            | OpenFlags::SQLITE_OPEN_URI;
        let connection = Connection::open_with_flags(uri(path) + how, flags)?;
        connection.busy_timeout(open::BUSY)?;
        connection.pragma_update(None, "cache_size", CACHE_KIB)?;
        connection.pragma_update(None, "query_only", true)?;
        open::tables_only(&connection)?;
        open::readable(&connection)?;
        // Held until the end, so that a server may go on writing beside it.
        connection.execute_batch("BEGIN")?;
        Ok(Self {
            connection,
            path: path.to_owned(),
            still,
        })
    }

    /// Refuses a file, or a folder of it, that others than its owner can read or change.
    pub fn private(path: &Path) -> Result<(), OpenError> {
        open::private(path)
    }

    /// Whether the file was left alone while it was read as one that nobody writes to. If not, it has
    /// to be opened and read again.
    pub fn undisturbed(&self) -> bool {
        let Some(before) = self.still else {
            return true;
        };
        let now = self.path.metadata().ok();
        let now = now.map(|found| (found.len(), found.modified().ok()));
        !beside(&self.path, "-wal").exists() && now == Some(before)
    }

    /// What `SQLite` finds wrong with the file and its indexes; nothing when all is whole.
    pub fn integrity(&self) -> Result<Option<String>> {
        let sql = "PRAGMA integrity_check(1)";
        let found: String = self.connection.query_row(sql, [], |r| r.get(0))?;
        Ok((found != "ok").then_some(found))
    }

    pub(super) const fn connection(&self) -> &Connection {
        &self.connection
    }

    /// A setting of its founding.
    pub fn setting(&self, key: &str) -> Result<Option<String>> {
        read::setting(&self.connection, key)
    }

    /// What it says about itself.
    pub fn head(&self) -> Result<Head> {
        let c = &self.connection;
        let state = log::counts(c)?;
        let sql = "SELECT number, name FROM log_origin ORDER BY number LIMIT ?1";
        let origins = rows::all(c, sql, [MOST_NAMES], |r| {
            Ok(Origin {
                number: r.take()?,
                name: r.take()?,
            })
        })?;
        let sql = "SELECT kid FROM key_ring WHERE purpose = ?1 ORDER BY id LIMIT ?2";
        let keys = rows::all(c, sql, (purpose::LOG, MOST_NAMES), rows::single::<String>)?;
        // A text that is no key signs nothing.
        let keys = keys.iter().filter_map(|k| k.parse::<VerifierKey>().ok());
        let [integrated, pruned, swept, size] = state;
        Ok(Head {
            size,
            integrated,
            pruned,
            swept,
            origins,
            keys: keys.collect(),
        })
    }

    /// Reads all of it in the order of the log: `next` gives a stretch to fill, and takes a full one
    /// back and says whether to go on.
    pub fn read(
        &mut self,
        head: &Head,
        mut empty: impl FnMut() -> Stretch,
        mut full: impl FnMut(Stretch) -> bool,
    ) -> Result<End> {
        let c = &self.connection;
        let sql = "SELECT seq, event_id, ts_ms, actor_omni, vendor, rail, tool, verdict, namespace, \
                   envelope FROM audit_event ORDER BY seq";
        let mut statement = c.prepare(sql)?;
        let mut rows = Ahead::new(statement.query([])?)?;
        let mut checkpoints = Checkpoints::new(head);
        let mut first = 0;
        loop {
            let mut stretch = empty();
            stretch.begin(first);
            let until = first.saturating_add(WIDTH);
            for id in tiles_ending(first, head.integrated) {
                stretch.tiles.push((id, tile(c, id)?));
            }
            let mut more = rows.fill(until, first >= head.swept, &mut stretch)?;
            checkpoints.fill(c, first, until, &mut stretch)?;
            // Hashes without bodies, as long as there are any.
            more |= until < head.swept && stretch.tiles.iter().any(|(_, tile)| tile.is_some());
            if !full(stretch) {
                return Ok(End::default());
            }
            if !more {
                let tiles_beyond = tiles_beyond(c, head.integrated)?;
                let beyond = checkpoints.beyond(c, until)?;
                return Ok(End {
                    beyond,
                    tiles_beyond,
                });
            }
            first = until;
        }
    }
}

fn beside(path: &Path, end: &str) -> PathBuf {
    let mut name = path.to_owned().into_os_string();
    name.push(end);
    PathBuf::from(name)
}

/// A path in the form in which `SQLite` takes from its opener how to open it.
fn uri(path: &Path) -> String {
    use std::fmt::Write as _;
    use std::os::unix::ffi::OsStrExt as _;
    let mut uri = "file:".to_owned();
    for &byte in path.as_os_str().as_bytes() {
        if byte.is_ascii_alphanumeric() || b"/._-".contains(&byte) {
            uri.push(char::from(byte));
        } else {
            let _ = write!(uri, "%{byte:02X}");
        }
    }
    uri
}

fn tile(c: &Connection, id: TileId) -> Result<Option<Vec<u8>>> {
    let sql = "SELECT hashes FROM log_tile WHERE level = ?1 AND place = ?2";
    let index = rows::whole(id.index)?;
    rows::one(c, sql, (id.level, index), rows::single::<Vec<u8>>)
}

/// Whether there are tiles that a tree of this size does not have.
fn tiles_beyond(c: &Connection, size: u64) -> Result<bool> {
    let mut levels = 0;
    let mut hashes = size;
    while hashes > 0 {
        let sql = "SELECT 1 FROM log_tile WHERE level = ?1 AND (place < 0 OR place >= ?2) LIMIT 1";
        let tiles = rows::whole(hashes.div_ceil(WIDTH))?;
        if rows::one(c, sql, (levels, tiles), rows::single::<i64>)?.is_some() {
            return Ok(true);
        }
        levels += 1;
        hashes /= WIDTH;
    }
    let sql = "SELECT 1 FROM log_tile WHERE level < 0 OR level >= ?1 LIMIT 1";
    Ok(rows::one(c, sql, [levels], rows::single::<i64>)?.is_some())
}

/// Rows, with one of them looked at before it is taken.
struct Ahead<'s> {
    rows: Rows<'s>,
    /// The place of the row the cursor is at, which was not taken yet.
    at: Option<i64>,
}

impl<'s> Ahead<'s> {
    fn new(mut rows: Rows<'s>) -> Result<Self> {
        let at = place(rows.next()?)?;
        Ok(Self { rows, at })
    }

    /// Takes the rows before a place; says whether there are others. Where there have to be rows and
    /// are none, the next one is taken, however far it is: nobody walks to it.
    fn fill(&mut self, until: u64, some: bool, stretch: &mut Stretch) -> Result<bool> {
        let until = i64::try_from(until).unwrap_or(i64::MAX);
        while let (Some(at), Some(row)) = (self.at, self.rows.get()) {
            // Twice as many as there can be is enough to see that it is wrong.
            let far = at >= until && !(some && stretch.is_empty());
            if far || stretch.len() as u64 >= 2 * WIDTH {
                return Ok(at >= until);
            }
            stretch.push(&columns(row, at)?);
            self.at = place(self.rows.next()?)?;
        }
        Ok(false)
    }
}

fn place(row: Option<&rusqlite::Row<'_>>) -> Result<Option<i64>> {
    // What is no number comes before every place.
    row.map(|row| Ok(row.get_ref(0)?.as_i64().unwrap_or(-1)))
        .transpose()
}

fn columns<'r>(row: &'r rusqlite::Row<'_>, seq: i64) -> Result<Row<'r>> {
    let mut malformed = None;
    let mut text = |at: usize, name: &'static str| -> Result<Option<&'r [u8]>> {
        Ok(match row.get_ref(at)? {
            ValueRef::Text(text) => Some(text),
            ValueRef::Null => None,
            _ => {
                malformed = Some(name);
                None
            }
        })
    };
    let event_id = text(1, "event_id")?.unwrap_or_default();
    let [vendor, rail] = [text(4, "vendor")?, text(5, "rail")?];
    let [tool, verdict] = [text(6, "tool")?, text(7, "verdict")?].map(Option::unwrap_or_default);
    let namespace = text(8, "namespace")?;
    let mut blob = |at: usize, name: &'static str| -> Result<Option<&'r [u8]>> {
        Ok(match row.get_ref(at)? {
            ValueRef::Blob(blob) => Some(blob),
            ValueRef::Null => None,
            _ => {
                malformed = Some(name);
                None
            }
        })
    };
    let actor_omni = blob(3, "actor_omni")?;
    let envelope = blob(9, "envelope")?.unwrap_or_default();
    let ts_ms = row.get_ref(2)?.as_i64();
    Ok(Row {
        seq,
        malformed: malformed.or(ts_ms.is_err().then_some("ts_ms")),
        ts_ms: ts_ms.unwrap_or(0),
        event_id,
        actor_omni,
        vendor,
        rail,
        tool,
        verdict,
        namespace,
        envelope,
    })
}

/// Checkpoints of all origins by size. Each origin's are looked up in the order of the key, so that
/// nothing is sorted and few are held.
struct Checkpoints {
    /// The origins, and the next checkpoint of each that was not taken.
    next: Vec<(i64, Option<StoredCheckpoint>)>,
    begun: bool,
}

impl Checkpoints {
    fn new(head: &Head) -> Self {
        Self {
            next: head.origins.iter().map(|o| (o.number, None)).collect(),
            begun: false,
        }
    }

    fn fill(
        &mut self,
        c: &Connection,
        first: u64,
        until: u64,
        stretch: &mut Stretch,
    ) -> Result<()> {
        if !self.begun {
            for (origin, next) in &mut self.next {
                *next = after(c, *origin, i64::MIN)?;
            }
            self.begun = true;
        }
        debug_assert!(first < until);
        let until = rows::whole(until)?;
        for (origin, next) in &mut self.next {
            while let Some(checkpoint) = next.take_if(|next| next.size <= until) {
                *next = after(c, *origin, checkpoint.size)?;
                stretch.checkpoints.push(checkpoint);
            }
        }
        stretch.checkpoints.sort_by_key(|c| (c.size, c.origin));
        Ok(())
    }

    /// The first that was not taken, or one of no origin.
    fn beyond(mut self, c: &Connection, until: u64) -> Result<Option<StoredCheckpoint>> {
        let until = rows::whole(until)?;
        debug_assert!(
            self.next
                .iter()
                .flat_map(|(_, n)| n)
                .all(|n| n.size > until)
        );
        let next = self.next.iter_mut().filter_map(|(_, next)| next.take());
        if let Some(first) = next.min_by_key(|next| next.size) {
            return Ok(Some(first));
        }
        let sql = "SELECT origin, size, note FROM log_checkpoint \
                   WHERE origin NOT IN (SELECT number FROM log_origin) LIMIT 1";
        rows::one(c, sql, [], stored)
    }
}

fn after(c: &Connection, origin: i64, size: i64) -> Result<Option<StoredCheckpoint>> {
    let sql = "SELECT origin, size, note FROM log_checkpoint WHERE origin = ?1 AND size > ?2 \
               ORDER BY size LIMIT 1";
    rows::one(c, sql, (origin, size), stored)
}

fn stored(c: &mut rows::Columns<'_, '_>) -> Result<StoredCheckpoint> {
    Ok(StoredCheckpoint {
        origin: c.take()?,
        size: c.take()?,
        note: c.take()?,
    })
}
