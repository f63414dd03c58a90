//! The tree over the log and what was signed of it.
//!
//! The tree is built in transactions of its own, beside the writer's: it only takes what is
//! committed, and what it writes nobody else does.

use super::rows::{self, Columns, whole};
use super::sqlite::{SqliteLedger, failed};
use super::turn::Door;
use super::{open, pool::Pool};
use crate::audit::envelope::Envelope;
use crate::audit::envelope::kind::OpKind;
use crate::audit::tree::{TILE_WIDTH, Tile, TileId, Wanted};
use crate::authority::ports::{
    KeptCheckpoint, Later, Lease, LedgerError, LogOrigin, LogState, SealedLog, WhichCheckpoint,
};
use rusqlite::{Connection, OptionalExtension as _, Result, Transaction, TransactionBehavior};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

/// A read or write that may take milliseconds changes threads.
async fn elsewhere<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T, LedgerError> {
    let done = tokio::task::spawn_blocking(work).await;
    let done = done.map_err(|error| LedgerError::Failed(error.to_string()))?;
    done.map_err(|error| failed(&error))
}

impl SqliteLedger {
    pub(super) fn look<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T> + Send + 'static,
    ) -> Later<'_, Result<T, LedgerError>> {
        let pool: Arc<Pool> = Arc::clone(&self.pool);
        Box::pin(elsewhere(move || pool.snapshot(read)))
    }

    pub(super) fn write<T: Send + 'static>(
        &self,
        write: impl FnOnce(&Transaction<'_>) -> Result<T> + Send + 'static,
    ) -> Later<'_, Result<T, LedgerError>> {
        let path: PathBuf = self.path.clone();
        Box::pin(elsewhere(move || {
            let mut connection = open::writing(&path)?;
            let door = Door::of(open::folder_of(&path)).ok();
            let turn = door.as_ref().map(Door::turn);
            let behavior = TransactionBehavior::Immediate;
            let transaction = connection.transaction_with_behavior(behavior)?;
            drop(turn);
            let done = write(&transaction)?;
            transaction.commit()?;
            Ok(done)
        }))
    }
}

impl SealedLog for SqliteLedger {
    fn log_state(&self) -> Later<'_, Result<LogState, LedgerError>> {
        // In the calling task, as it is asked with each page of events.
        Box::pin(async move { self.pool.snapshot(state).map_err(|e| failed(&e)) })
    }

    fn envelopes(&self, from: u64, most: u32) -> Later<'_, Result<Vec<Vec<u8>>, LedgerError>> {
        self.look(move |c| envelopes(c, from, most))
    }

    fn tiles(
        &self,
        wanted: BTreeSet<Wanted>,
    ) -> Later<'_, Result<BTreeMap<TileId, Tile>, LedgerError>> {
        self.look(move |c| {
            let found = wanted.iter().map(|wanted| tile(c, wanted.id));
            let found = found.collect::<Result<Vec<_>>>()?.into_iter().flatten();
            Ok(found.map(|tile| (tile.id(), tile)).collect())
        })
    }

    fn lease<'a>(&'a self, lease: Lease<'a>) -> Later<'a, Result<bool, LedgerError>> {
        let holder = lease.holder.to_owned();
        self.write(move |t| {
            let sql = "UPDATE log_head SET lease_holder = ?1, lease_until_ms = ?2 WHERE id = 1 \
                       AND (lease_holder IS NULL OR lease_holder = ?1 \
                            OR lease_until_ms <= ?3 OR lease_until_ms > ?4)";
            let params = (holder, lease.until_ms, lease.now_ms, lease.latest_ms);
            Ok(t.execute(sql, params)? == 1)
        })
    }

    fn release<'a>(&'a self, holder: &'a str) -> Later<'a, Result<(), LedgerError>> {
        let holder = holder.to_owned();
        self.write(move |t| {
            let sql = "UPDATE log_head SET lease_holder = NULL WHERE id = 1 AND lease_holder = ?1";
            t.execute(sql, [holder]).map(|_| ())
        })
    }

    fn drop_lease(&self, now_ms: i64, latest_ms: i64) -> Later<'_, Result<bool, LedgerError>> {
        self.write(move |t| {
            let sql = "UPDATE log_head SET lease_holder = NULL WHERE id = 1 \
                       AND lease_holder IS NOT NULL \
                       AND (lease_until_ms <= ?1 OR lease_until_ms > ?2)";
            Ok(t.execute(sql, (now_ms, latest_ms))? == 1)
        })
    }

    fn mend<'a>(
        &'a self,
        holder: &'a str,
        tiles: Vec<Tile>,
        end: Option<u64>,
    ) -> Later<'a, Result<bool, LedgerError>> {
        let holder = holder.to_owned();
        self.write(move |t| {
            let sql = "UPDATE log_head SET integrated = coalesce(?2, integrated) \
                       WHERE id = 1 AND lease_holder = ?1";
            if t.execute(sql, (holder, end.map(whole).transpose()?))? == 0 {
                return Ok(false);
            }
            tiles.iter().try_for_each(|tile| keep_tile(t, tile))?;
            end.map_or(Ok(()), |end| remove_beyond(t, end))?;
            Ok(true)
        })
    }

    fn integrate<'a>(
        &'a self,
        holder: &'a str,
        from: u64,
        to: u64,
        tiles: Vec<Tile>,
    ) -> Later<'a, Result<bool, LedgerError>> {
        let holder = holder.to_owned();
        self.write(move |t| {
            let sql = "UPDATE log_head SET integrated = ?2 \
                       WHERE id = 1 AND integrated = ?1 AND lease_holder = ?3";
            if t.execute(sql, (whole(from)?, whole(to)?, holder))? == 0 {
                return Ok(false);
            }
            tiles.iter().try_for_each(|tile| keep_tile(t, tile))?;
            Ok(true)
        })
    }

    fn origin(&self, number: u32) -> Later<'_, Result<Option<LogOrigin>, LedgerError>> {
        self.look(move |c| {
            let sql = "SELECT number, name FROM log_origin WHERE number = ?1";
            rows::one(c, sql, [number], named)
        })
    }

    fn checkpoint(
        &self,
        origin: u32,
        which: WhichCheckpoint,
    ) -> Later<'_, Result<Option<KeptCheckpoint>, LedgerError>> {
        self.look(move |c| checkpoint(c, origin, which))
    }

    fn keep_checkpoint<'a>(
        &'a self,
        checkpoint: &'a KeptCheckpoint,
        after: Option<u64>,
    ) -> Later<'a, Result<bool, LedgerError>> {
        let new = checkpoint.clone();
        self.write(move |t| {
            let newest = "SELECT max(size) FROM log_checkpoint WHERE origin = ?1";
            let newest: Option<i64> = t.query_row(newest, [new.origin], |r| r.get(0))?;
            if newest != after.map(whole).transpose()? {
                return Ok(false);
            }
            let sql = "INSERT INTO log_checkpoint (origin, size, note, at_ms) \
                       VALUES (?1, ?2, ?3, ?4) \
                       ON CONFLICT DO UPDATE SET note = excluded.note, at_ms = excluded.at_ms";
            t.execute(sql, (new.origin, whole(new.size)?, new.note, new.at_ms))?;
            Ok(true)
        })
    }

    fn sweep(&self, most: u32) -> Later<'_, Result<bool, LedgerError>> {
        self.write(move |t| sweep(t, most))
    }
}

/// How many events the tree has, how many of the first have lost their bodies, how many of those are
/// gone, and how many events there are.
pub(super) fn counts(c: &Connection) -> Result<[u64; 4]> {
    let sql = "SELECT integrated, pruned, swept, next_seq FROM log_head, audit_head";
    let numbers =
        |r: &mut Columns<'_, '_>| Ok([r.unsigned()?, r.unsigned()?, r.unsigned()?, r.unsigned()?]);
    rows::one(c, sql, [], numbers)?.ok_or_else(|| rows::broken("log head"))
}

fn named(r: &mut Columns<'_, '_>) -> Result<LogOrigin> {
    Ok(LogOrigin {
        number: r.take()?,
        name: r.take()?,
    })
}

pub(super) fn state(c: &Connection) -> Result<LogState> {
    let [integrated, pruned, swept, size] = counts(c)?;
    let sql = "SELECT number, name FROM log_origin ORDER BY number DESC LIMIT 1";
    let origin = rows::one(c, sql, [], named)?;
    Ok(LogState {
        origin: origin.ok_or_else(|| rows::broken("log origin"))?,
        size,
        integrated,
        pruned,
        swept,
    })
}

/// How many of the first events have lost their bodies.
pub(super) fn pruned(c: &Connection) -> Result<i64> {
    rows::number(c, "SELECT pruned FROM log_head WHERE id = 1", [])
}

/// Rows from a place on; a place without a row is an error, since the log has no gaps.
pub(super) fn envelopes(c: &Connection, from: u64, most: u32) -> Result<Vec<Vec<u8>>> {
    let sql = "SELECT seq, envelope FROM audit_event WHERE seq >= ?1 ORDER BY seq LIMIT ?2";
    let found = rows::all(c, sql, (whole(from)?, most), rows::event)?;
    let places = (from..).zip(found);
    let envelopes = places.map(|(place, event)| {
        let there = (event.seq == place).then_some(event.envelope);
        there.ok_or_else(|| rows::broken("place in the log"))
    });
    envelopes.collect()
}

pub(super) fn tile(c: &Connection, id: TileId) -> Result<Option<Tile>> {
    let sql = "SELECT hashes FROM log_tile WHERE level = ?1 AND place = ?2";
    let hashes = rows::one(
        c,
        sql,
        (id.level, whole(id.index)?),
        rows::single::<Vec<u8>>,
    )?;
    let tile = hashes.map(|h| Tile::from_bytes(id, &h).map_err(|_| rows::broken("tile")));
    tile.transpose()
}

fn keep_tile(c: &Connection, tile: &Tile) -> Result<()> {
    let sql = "INSERT INTO log_tile (level, place, hashes) VALUES (?1, ?2, ?3) \
               ON CONFLICT DO UPDATE SET hashes = excluded.hashes";
    let (id, hashes) = (tile.id(), tile.to_bytes());
    let mut statement = c.prepare_cached(sql)?;
    statement
        .execute((id.level, whole(id.index)?, hashes))
        .map(|_| ())
}

/// Removes tiles that a tree of this size does not have.
fn remove_beyond(c: &Connection, size: u64) -> Result<()> {
    let mut levels = 0;
    let mut hashes = size;
    while hashes > 0 {
        let tiles = whole(hashes.div_ceil(TILE_WIDTH as u64))?;
        let sql = "DELETE FROM log_tile WHERE level = ?1 AND (place < 0 OR place >= ?2)";
        c.execute(sql, (levels, tiles))?;
        levels += 1;
        hashes /= TILE_WIDTH as u64;
    }
    let sql = "DELETE FROM log_tile WHERE level < 0 OR level >= ?1";
    c.execute(sql, [levels]).map(|_| ())
}

pub(super) fn checkpoint(
    c: &Connection,
    origin: u32,
    which: WhichCheckpoint,
) -> Result<Option<KeptCheckpoint>> {
    let (condition, order, size) = match which {
        WhichCheckpoint::Last => ("size >= ?2", "DESC", 0),
        WhichCheckpoint::Covering(seq) => ("size > ?2", "ASC", whole(seq)?),
        WhichCheckpoint::Of(size) => ("size = ?2", "ASC", whole(size)?),
    };
    let sql = format!(
        "SELECT origin, size, note, at_ms FROM log_checkpoint \
         WHERE origin = ?1 AND {condition} ORDER BY size {order} LIMIT 1"
    );
    rows::one(c, &sql, (origin, size), |r| {
        Ok(KeptCheckpoint {
            origin: r.take()?,
            size: r.unsigned()?,
            note: r.take()?,
            at_ms: r.take()?,
        })
    })
}

/// Whether a row of the log says that it was pruned up to here: what is removed is gone, and a number
/// that somebody wrote into the file is no reason.
fn says_so(c: &Connection, pruned: i64) -> Result<bool> {
    let sql = "SELECT seq, envelope FROM audit_event \
               WHERE seq >= ?1 AND tool = 'audit.prune' AND verdict = 'accept' ORDER BY seq DESC";
    let rows = rows::all(c, sql, [pruned], rows::event)?;
    Ok(rows.iter().any(|event| {
        let said = Envelope::decode(&event.envelope);
        said.is_ok_and(|e| {
            e.op_kind == OpKind::Prune.as_byte()
                && e.op_body["detail"]["first_kept"].as_i64() == Some(pruned)
        })
    }))
}

/// Removes pruned events in the order of the log, and what agents stated in them.
fn sweep(t: &Transaction<'_>, most: u32) -> Result<bool> {
    let sql = "SELECT pruned, swept FROM log_head WHERE id = 1";
    let (pruned, swept): (i64, i64) = t.query_row(sql, [], |r| Ok((r.get(0)?, r.get(1)?)))?;
    if swept < pruned && !says_so(t, pruned)? {
        return Err(rows::broken(
            "count of pruned events, which no row of the log says,",
        ));
    }
    let until = pruned.min(swept.saturating_add(i64::from(most)));
    let sql = "DELETE FROM statement WHERE event_id IN \
               (SELECT event_id FROM audit_event WHERE seq >= ?1 AND seq < ?2)";
    t.execute(sql, (swept, until))?;
    t.execute(
        "DELETE FROM audit_event WHERE seq >= ?1 AND seq < ?2",
        (swept, until),
    )?;
    t.execute("UPDATE log_head SET swept = ?1 WHERE id = 1", [until])?;
    Ok(until == pruned)
}

/// The number of the origin in use; 0 before the first.
pub(super) fn origin_number(c: &Connection) -> Result<u32> {
    let sql = "SELECT max(number) FROM log_origin";
    let number: Option<Option<u32>> = c.query_row(sql, [], |r| r.get(0)).optional()?;
    Ok(number.flatten().unwrap_or(0))
}
