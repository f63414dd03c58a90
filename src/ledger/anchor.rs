//! What of the log is on a chain, and what the anchor keeps for itself.

use super::rows::{self, Columns, whole};
use super::sqlite::SqliteLedger;
use crate::audit::anchor::Anchor;
use crate::audit::note::SignedNote;
use crate::authority::ports::{AnchorDesk, AnchorLog, KeptAnchor, Later, LedgerError, WhichAnchor};
use rusqlite::{Connection, Params, Result};

/// Columns of [`kept`].
const KEPT: &str = "SELECT origin, note, at_ms FROM log_anchor";

impl AnchorLog for SqliteLedger {
    fn anchor(
        &self,
        origin: u32,
        which: WhichAnchor,
    ) -> Later<'_, Result<Option<KeptAnchor>, LedgerError>> {
        self.look(move |c| anchor(c, origin, which))
    }

    fn anchors(&self, most: u32) -> Later<'_, Result<Vec<KeptAnchor>, LedgerError>> {
        self.look(move |c| {
            let sql = format!("{KEPT} ORDER BY origin DESC, size DESC, at_ms DESC LIMIT ?1");
            rows::all(c, &sql, [most], kept)
        })
    }

    fn anchor_desk(&self) -> Later<'_, Result<AnchorDesk, LedgerError>> {
        self.look(|c| {
            let sql = "SELECT record, trouble FROM log_anchor_record WHERE id = 1";
            let desk = rows::one(c, sql, [], |r| {
                Ok(AnchorDesk {
                    record: r.take()?,
                    trouble: r.take()?,
                })
            })?;
            Ok(desk.unwrap_or_default())
        })
    }

    fn keep_anchor_record(&self, record: Option<String>) -> Later<'_, Result<(), LedgerError>> {
        self.write(move |t| {
            let sql = "UPDATE log_anchor_record SET record = ?1 WHERE id = 1";
            t.execute(sql, [record]).map(|_| ())
        })
    }

    fn keep_anchor_trouble(&self, trouble: Option<String>) -> Later<'_, Result<(), LedgerError>> {
        self.write(move |t| {
            let sql = "UPDATE log_anchor_record SET trouble = ?1 WHERE id = 1";
            t.execute(sql, [trouble]).map(|_| ())
        })
    }
}

fn anchor(c: &Connection, origin: u32, which: WhichAnchor) -> Result<Option<KeptAnchor>> {
    fn first(c: &Connection, rest: &str, params: impl Params) -> Result<Option<KeptAnchor>> {
        let sql = format!("{KEPT} WHERE origin = ?1 {rest} LIMIT 1");
        rows::one(c, &sql, params, kept)
    }
    match which {
        WhichAnchor::Newest => first(c, "ORDER BY size DESC, at_ms DESC", [origin]),
        WhichAnchor::NewestIn { chain_id, contract } => first(
            c,
            "AND chain_id = ?2 AND contract = ?3 ORDER BY size DESC",
            (origin, whole(chain_id)?, contract),
        ),
        WhichAnchor::Covering(seq) => first(
            c,
            "AND size > ?2 ORDER BY size, at_ms",
            (origin, whole(seq)?),
        ),
    }
}

fn kept(r: &mut Columns<'_, '_>) -> Result<KeptAnchor> {
    let (origin, note, at_ms) = (r.take()?, r.take::<String>()?, r.take()?);
    let parsed = SignedNote::parse(note.as_bytes()).ok();
    let anchor = parsed.and_then(|note| Anchor::from_text(note.text()).ok());
    Ok(KeptAnchor {
        origin,
        anchor: anchor.ok_or_else(|| rows::broken("anchor"))?,
        note,
        at_ms,
    })
}

/// Keeps a root that is on a chain, and that it is not on its way any more.
pub(super) fn keep(c: &Connection, new: &KeptAnchor) -> Result<()> {
    let sql = "INSERT INTO log_anchor (chain_id, hash, contract, origin, size, note, at_ms) \
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
    let anchor = &new.anchor;
    let params = rusqlite::params![
        whole(anchor.chain_id)?,
        anchor.transaction,
        anchor.contract,
        new.origin,
        whole(anchor.anchored.entry_count)?,
        new.note,
        new.at_ms,
    ];
    c.prepare_cached(sql)?.execute(params)?;
    let sql = "UPDATE log_anchor_record SET record = NULL, trouble = NULL WHERE id = 1";
    c.execute(sql, []).map(|_| ())
}

/// Whether a transaction is not among those that are kept.
pub(super) fn is_new(c: &Connection, chain_id: u64, transaction: &[u8; 32]) -> Result<bool> {
    let sql = "SELECT NOT EXISTS (SELECT 1 FROM log_anchor WHERE chain_id = ?1 AND hash = ?2)";
    rows::number(c, sql, (whole(chain_id)?, transaction)).map(|n| n == 1)
}
