//! What a ledger holds, counted: for whoever asks how things stand. Reads as [`Offline`] does, so it
//! leaves no row.

use super::Offline;
use super::rows::{self, Columns};
use rusqlite::{Connection, Result};

/// No more names than this are read.
const MOST_NAMES: u32 = 1_000;

/// What a ledger holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Standing {
    /// Actors besides the operator.
    pub actors: u64,
    /// Vendors.
    pub vendors: u64,
    /// Consents that give something, or stand although they do not.
    pub bindings: u64,
    /// Vendors' tokens that are good now.
    pub live_tokens: u64,
    /// Vendors that have such tokens, and whether any of them was ever used.
    pub hosts: Vec<HostState>,
    /// The actor and the vendor that were there first by name: for examples.
    pub actor: Option<String>,
    /// The vendor.
    pub vendor: Option<String>,
    /// Events in the log.
    pub events: u64,
    /// Events of it in the tree.
    pub sealed: u64,
    /// When its newest root was signed, Unix milliseconds.
    pub signed_ms: Option<i64>,
    /// Events that a chain has the root of, and since when, Unix milliseconds.
    pub anchored: Option<(u64, i64)>,
}

/// A vendor with a good token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostState {
    /// The vendor.
    pub vendor: String,
    /// The rail its calls come from.
    pub rail: String,
    /// An actor it is bound to.
    pub actor: Option<String>,
    /// Whether any of its good tokens was ever used.
    pub used: bool,
}

/// A binding that says yes to anything, or stands although it does not.
const CONSENTS: &str = "(read_set <> 0 OR write_set <> 0 OR scopes <> '[]' OR standing <> 0)";

/// A token that is good at `?1`.
const LIVE: &str = "role = 'vendor' AND revoked_ms IS NULL AND expires_ms > ?1";

impl Offline {
    /// What it holds at a moment, Unix milliseconds.
    pub fn standing(&self, operator: &[u8; 32], now_ms: i64) -> Result<Standing> {
        let c = self.connection();
        let head = self.head()?;
        let origin = head.origins.last().map(|o| o.number);
        let count = |sql: &str| count(c, sql, []);
        let first = "SELECT alias FROM actor WHERE omni <> ?1 ORDER BY alias LIMIT 1";
        let vendor = "SELECT name FROM vendor ORDER BY name LIMIT 1";
        Ok(Standing {
            actors: self::count(c, "SELECT count(*) FROM actor WHERE omni <> ?1", [operator])?,
            vendors: count("SELECT count(*) FROM vendor")?,
            bindings: count(&format!("SELECT count(*) FROM binding WHERE {CONSENTS}"))?,
            live_tokens: self::count(
                c,
                &format!("SELECT count(*) FROM token WHERE {LIVE}"),
                [now_ms],
            )?,
            hosts: hosts(c, now_ms)?,
            actor: rows::one(c, first, [operator], rows::single)?,
            vendor: rows::one(c, vendor, [], rows::single)?,
            events: head.size,
            sealed: head.integrated,
            signed_ms: match origin {
                Some(origin) => newest(c, "log_checkpoint", origin)?.map(|(_, at_ms)| at_ms),
                None => None,
            },
            anchored: match origin {
                // A ledger of before anchors has no such table.
                Some(origin) if has_anchors(c)? => newest(c, "log_anchor", origin)?,
                _ => None,
            },
        })
    }

    /// The aliases of its actors.
    pub fn actor_names(&self) -> Result<Vec<String>> {
        let sql = "SELECT alias FROM actor ORDER BY alias LIMIT ?1";
        rows::all(self.connection(), sql, [MOST_NAMES], rows::single)
    }

    /// The names of its vendors.
    pub fn vendor_names(&self) -> Result<Vec<String>> {
        let sql = "SELECT name FROM vendor ORDER BY name LIMIT ?1";
        rows::all(self.connection(), sql, [MOST_NAMES], rows::single)
    }

    /// The source of the policy in force, as it is kept.
    pub fn policy(&self) -> Result<Option<String>> {
        let sql = "SELECT source FROM policy_version JOIN head ON version = policy_version";
        rows::one(self.connection(), sql, [], rows::single)
    }
}

fn count(c: &Connection, sql: &str, params: impl rusqlite::Params) -> Result<u64> {
    Ok(u64::try_from(rows::number(c, sql, params)?).unwrap_or(0))
}

fn hosts(c: &Connection, now_ms: i64) -> Result<Vec<HostState>> {
    let sql = format!(
        "SELECT v.name, v.rail, max(t.last_used_ms) IS NOT NULL,
             (SELECT a.alias FROM binding b JOIN actor a ON a.omni = b.actor
              WHERE b.vendor = v.name AND {CONSENTS} ORDER BY a.alias LIMIT 1)
         FROM vendor v JOIN token t ON t.vendor = v.name
         WHERE {LIVE} GROUP BY v.name ORDER BY v.name LIMIT {MOST_NAMES}"
    );
    rows::all(c, &sql, [now_ms], |r| {
        Ok(HostState {
            vendor: r.take()?,
            rail: r.take()?,
            used: r.take()?,
            actor: r.take()?,
        })
    })
}

/// The newest signed root of a name of the log, or the newest of its roots on a chain.
fn newest(c: &Connection, table: &str, origin: i64) -> Result<Option<(u64, i64)>> {
    let sql =
        format!("SELECT size, at_ms FROM {table} WHERE origin = ?1 ORDER BY size DESC LIMIT 1");
    let read = |r: &mut Columns<'_, '_>| Ok((r.unsigned()?, r.take()?));
    rows::one(c, &sql, [origin], read)
}

fn has_anchors(c: &Connection) -> Result<bool> {
    let sql = "SELECT count(*) FROM sqlite_schema WHERE name = 'log_anchor'";
    Ok(rows::number(c, sql, [])? > 0)
}
