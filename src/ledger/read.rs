//! The statements that read facts. Each takes a scope, or tells nobody's data.

use super::rows::{
    self, ACTOR, ACTOR_COLUMNS, BINDING, BINDING_COLUMNS, CAP, DEVICE, KEY, PAIRING, RESERVATION,
    SALT, SALT_COLUMNS, STORED, STORED_COLUMNS, TOKEN, TOKEN_COLUMNS, VENDOR,
};
use crate::authority::device::{DeviceId, DeviceRow, ListedDevice, PairingRow};
use crate::authority::identity::Omni;
use crate::authority::ports::{
    ActorName, Admission, CapRow, Heads, MemoryFacts, Reservation, SaltFacts, SealedKey, Slot,
    SpendFacts, SpendQuery, StatementFacts, Stored, TokenRow, VendorRow,
};
use crate::authority::principal::{Actor, ActorScope, Binding};
use crate::authority::words::{Namespace, NamespaceSet};
use rusqlite::{Connection, Result};
use std::sync::LazyLock;

/// A statement put together once.
type Sql = LazyLock<String>;

/// One statement that does the same look-ups whether or not anything is there, so that neither
/// time nor a race between two reads tells what exists.
pub(super) fn admission(
    c: &Connection,
    token_id: &str,
    actor: Option<ActorName<'_>>,
) -> Result<Admission> {
    static SQL: Sql = Sql::new(|| {
        format!(
            "SELECT h.policy_version, {TOKEN}, {ACTOR}, {BINDING} FROM head h
             LEFT JOIN token t ON t.id = ?1
             LEFT JOIN vendor v ON v.name = t.vendor
             LEFT JOIN actor a ON a.omni = CASE ?2
                 WHEN 1 THEN ?3
                 WHEN 2 THEN (SELECT omni FROM actor WHERE alias = ?4)
                 ELSE t.actor END
             LEFT JOIN binding b ON b.actor = a.omni AND b.vendor = t.vendor
             WHERE h.id = 1"
        )
    });
    let (way, omni, alias) = match actor {
        Some(ActorName::Omni(omni)) => (1, Some(*omni.as_bytes()), None),
        Some(ActorName::Alias(alias)) => (2, None, Some(alias)),
        None => (0, None, None),
    };
    let found = rows::one(c, &SQL, (token_id, way, omni, alias), |c| {
        Ok(Admission {
            heads: Heads {
                policy_version: c.take()?,
            },
            token: c.joined(TOKEN_COLUMNS, rows::token)?,
            actor: c.joined(ACTOR_COLUMNS, rows::actor)?,
            binding: c.joined(BINDING_COLUMNS, rows::binding)?.filter(consents),
        })
    })?;
    found.ok_or(rusqlite::Error::QueryReturnedNoRows)
}

/// Whether a binding says yes to anything, or stands although it does not. One that no longer does
/// either is kept for its revision.
fn consents(binding: &Binding) -> bool {
    binding.standing
        || binding.read != NamespaceSet::NONE
        || binding.write != NamespaceSet::NONE
        || !binding.scopes.is_empty()
}

pub(super) fn salt(c: &Connection, actor: Omni, slot: Slot) -> Result<SaltFacts> {
    static SQL: Sql =
        Sql::new(|| format!("SELECT {SALT} FROM salt s WHERE actor = ?1 AND slot = ?2"));
    let found = rows::one(c, &SQL, (actor.as_bytes(), slot.as_str()), rows::salt)?;
    Ok(found.unwrap_or_default())
}

pub(super) fn statement(
    c: &Connection,
    scope: &ActorScope,
    event_id: &str,
) -> Result<StatementFacts> {
    let actor = scope.actor();
    let sql = "SELECT sealed FROM statement WHERE actor = ?1 AND event_id = ?2";
    Ok(StatementFacts {
        salt: salt(c, actor, Slot::Statements)?,
        sealed: rows::one(c, sql, (actor.as_bytes(), event_id), rows::single)?,
    })
}

/// One statement, so that no transaction is needed around it.
pub(super) fn memory(
    c: &Connection,
    scope: &ActorScope,
    namespace: Namespace,
    version: Option<u64>,
) -> Result<MemoryFacts> {
    static SQL: Sql = Sql::new(|| {
        let wanted = STORED.replace("m.", "w.");
        format!(
            "SELECT h.last_version, {STORED}, {wanted}, {SALT} FROM (SELECT 1)
             LEFT JOIN memory_head h ON h.actor = ?1 AND h.namespace = ?2
             LEFT JOIN memory_version m
                 ON m.actor = ?1 AND m.namespace = ?2 AND m.version = h.current
             LEFT JOIN memory_version w
                 ON w.actor = ?1 AND w.namespace = ?2 AND w.version = ?3
             LEFT JOIN salt s ON s.actor = ?1 AND s.slot = ?2"
        )
    });
    let actor = scope.actor();
    // A version that cannot be stored cannot be there either.
    let wanted = version.and_then(|v| i64::try_from(v).ok());
    let slot = Slot::Memory(namespace).as_str();
    debug_assert_eq!(slot, namespace.as_str(), "one parameter stands for both");
    let params = (actor.as_bytes(), slot, wanted);
    let found = rows::one(c, &SQL, params, |c| {
        let last: Option<i64> = c.take()?;
        Ok(MemoryFacts {
            last_version: u64::try_from(last.unwrap_or(0)).map_err(|_| rows::broken("version"))?,
            current: c.joined(STORED_COLUMNS, rows::stored)?,
            wanted: c.joined(STORED_COLUMNS, rows::stored)?,
            salt: c.joined(SALT_COLUMNS, rows::salt)?.unwrap_or_default(),
            last_piece: None,
        })
    })?;
    found.ok_or(rusqlite::Error::QueryReturnedNoRows)
}

/// What a token appended last.
pub(super) fn last_piece(
    c: &Connection,
    scope: &ActorScope,
    namespace: Namespace,
    token_id: &str,
) -> Result<Option<Stored>> {
    // The planner would rather walk the whole history of a token that never appended.
    static SQL: Sql = Sql::new(|| {
        format!(
            "SELECT {STORED} FROM memory_version m INDEXED BY memory_version_piece
             WHERE actor = ?1 AND namespace = ?2 AND token_id = ?3 AND appended = 1
             ORDER BY version DESC LIMIT 1"
        )
    });
    let actor = scope.actor();
    let params = (actor.as_bytes(), namespace.as_str(), token_id);
    rows::one(c, &SQL, params, rows::stored)
}

pub(super) fn history(
    c: &Connection,
    scope: &ActorScope,
    namespace: Namespace,
) -> Result<Vec<Stored>> {
    static SQL: Sql = Sql::new(|| {
        format!(
            "SELECT {STORED} FROM memory_version m
             WHERE actor = ?1 AND namespace = ?2 ORDER BY version DESC"
        )
    });
    let actor = scope.actor();
    let params = (actor.as_bytes(), namespace.as_str());
    rows::all(c, &SQL, params, rows::stored)
}

/// What is set aside on a day and not released, over all vendors.
pub(super) fn spent(
    c: &Connection,
    actor: Omni,
    spend_scope: &str,
    currency: &str,
    day: &str,
) -> Result<i64> {
    // SQLite's sum of integers fails rather than wraps.
    static SQL: &str = "SELECT coalesce(sum(amount_minor), 0) FROM reservation
         WHERE actor = ?1 AND day = ?2 AND scope = ?3 AND currency = ?4 AND state <> 'released'";
    rows::number(c, SQL, (actor.as_bytes(), day, spend_scope, currency))
}

pub(super) fn spend(
    c: &Connection,
    scope: &ActorScope,
    query: &SpendQuery<'_>,
) -> Result<SpendFacts> {
    static REFERENCE: Sql = Sql::new(|| {
        format!(
            "SELECT {RESERVATION} FROM reservation WHERE actor = ?1 AND vendor = ?2
             AND scope = ?3 AND day = ?4 AND reference = ?5 AND state <> 'released'"
        )
    });
    static DECISION: Sql = Sql::new(|| {
        format!("SELECT {RESERVATION} FROM reservation WHERE decision_id = ?2 AND actor = ?1")
    });
    let actor = scope.actor();
    let omni = actor.as_bytes();
    let same_reference = match query.reference {
        Some(reference) => {
            let key = (omni, query.vendor, query.spend_scope, query.day, reference);
            rows::one(c, &REFERENCE, key, rows::reservation)?
        }
        None => None,
    };
    let by_decision = match query.decision_id {
        Some(decision) => rows::one(c, &DECISION, (omni, decision), rows::reservation)?,
        None => None,
    };
    Ok(SpendFacts {
        spent_minor: spent(c, actor, query.spend_scope, query.currency, query.day)?,
        same_reference,
        by_decision,
    })
}

pub(super) fn reservations(
    c: &Connection,
    scope: &ActorScope,
    day: &str,
) -> Result<Vec<Reservation>> {
    // Ids begin with the time they were made at.
    static SQL: Sql = Sql::new(|| {
        format!(
            "SELECT {RESERVATION} FROM reservation WHERE actor = ?1 AND day = ?2
             ORDER BY decision_id"
        )
    });
    let actor = scope.actor();
    rows::all(c, &SQL, (actor.as_bytes(), day), rows::reservation)
}

pub(super) fn cap(
    c: &Connection,
    scope: &ActorScope,
    cap_id: &str,
    now_ms: i64,
) -> Result<Option<CapRow>> {
    static SQL: Sql = Sql::new(|| {
        format!(
            "SELECT {CAP} FROM cap c LEFT JOIN token t ON t.id = c.token_id
             WHERE c.cap_id = ?2 AND c.actor = ?1"
        )
    });
    let actor = scope.actor();
    rows::one(c, &SQL, (actor.as_bytes(), cap_id, now_ms), rows::cap)
}

pub(super) fn revoked_caps(c: &Connection, now_s: u64) -> Result<Vec<(String, u64)>> {
    static SQL: &str = "SELECT cap_id, exp FROM cap
         WHERE revoked_ms IS NOT NULL AND exp > ?1 ORDER BY exp, cap_id";
    rows::all(c, SQL, [rows::whole(now_s)?], rows::cap_end)
}

pub(super) fn heads(c: &Connection) -> Result<Heads> {
    let sql = "SELECT policy_version FROM head WHERE id = 1";
    rows::number(c, sql, []).map(|policy_version| Heads { policy_version })
}

pub(super) fn policy(c: &Connection, version: i64) -> Result<Option<String>> {
    let sql = "SELECT source FROM policy_version WHERE version = ?1";
    rows::one(c, sql, [version], rows::single)
}

/// In the order they were made in, which a clock that was set back does not change.
pub(super) fn keys(c: &Connection, purpose: &str) -> Result<Vec<SealedKey>> {
    static SQL: Sql =
        Sql::new(|| format!("SELECT {KEY} FROM key_ring WHERE purpose = ?1 ORDER BY id"));
    rows::all(c, &SQL, [purpose], rows::key)
}

pub(super) fn key(c: &Connection, purpose: &str, kid: &str) -> Result<Option<SealedKey>> {
    static SQL: Sql =
        Sql::new(|| format!("SELECT {KEY} FROM key_ring WHERE purpose = ?1 AND kid = ?2"));
    rows::one(c, &SQL, (purpose, kid), rows::key)
}

pub(super) fn pairing(c: &Connection, code_hash: &[u8; 32]) -> Result<Option<PairingRow>> {
    static SQL: Sql = Sql::new(|| format!("SELECT {PAIRING} FROM pairing WHERE code_hash = ?1"));
    rows::one(c, &SQL, [code_hash], rows::pairing)
}

pub(super) fn device(c: &Connection, vendor: &str, id: &DeviceId) -> Result<Option<DeviceRow>> {
    static SQL: Sql = Sql::new(|| {
        format!("SELECT {DEVICE} FROM device d WHERE d.vendor = ?1 AND d.device_id = ?2")
    });
    rows::one(c, &SQL, (vendor, id.as_str()), rows::device)
}

pub(super) fn devices(c: &Connection, vendor: Option<&str>) -> Result<Vec<ListedDevice>> {
    static SQL: Sql = Sql::new(|| {
        format!(
            "SELECT {DEVICE}, {ACTOR}, {TOKEN} FROM device d
             JOIN actor a ON a.omni = d.actor
             JOIN token t ON t.id = d.token_id
             LEFT JOIN vendor v ON v.name = t.vendor
             WHERE ?1 IS NULL OR d.vendor = ?1
             ORDER BY d.vendor, d.device_id"
        )
    });
    rows::all(c, &SQL, [vendor], rows::listed_device)
}

pub(super) fn actors(c: &Connection) -> Result<Vec<Actor>> {
    static SQL: Sql = Sql::new(|| format!("SELECT {ACTOR} FROM actor a ORDER BY a.alias"));
    rows::all(c, &SQL, [], rows::actor)
}

pub(super) fn actor(c: &Connection, omni: Omni) -> Result<Option<Actor>> {
    static SQL: Sql = Sql::new(|| format!("SELECT {ACTOR} FROM actor a WHERE a.omni = ?1"));
    rows::one(c, &SQL, [omni.as_bytes()], rows::actor)
}

/// `UNION` drops who was found before, so that a circle ends.
pub(super) const SUBTREE: &str = "WITH RECURSIVE below (omni) AS (
         VALUES (?1) UNION SELECT a.omni FROM below b JOIN actor a ON a.parent = b.omni)
     SELECT omni FROM below";

pub(super) fn subtree(c: &Connection, root: Omni) -> Result<Vec<Omni>> {
    rows::all(c, SUBTREE, [root.as_bytes()], rows::omni)
}

pub(super) fn vendors(c: &Connection) -> Result<Vec<VendorRow>> {
    static SQL: Sql = Sql::new(|| format!("SELECT {VENDOR} FROM vendor v ORDER BY v.name"));
    rows::all(c, &SQL, [], rows::vendor)
}

pub(super) fn tokens(c: &Connection) -> Result<Vec<TokenRow>> {
    static SQL: Sql = Sql::new(|| {
        format!(
            "SELECT {TOKEN} FROM token t LEFT JOIN vendor v ON v.name = t.vendor
             ORDER BY t.created_ms, t.id"
        )
    });
    rows::all(c, &SQL, [], rows::token)
}

/// Also those that say yes to nothing any more: whoever changes one needs its revision.
pub(super) fn bindings(c: &Connection, scope: &ActorScope) -> Result<Vec<(String, Binding)>> {
    static SQL: Sql = Sql::new(|| {
        format!("SELECT b.vendor, {BINDING} FROM binding b WHERE b.actor = ?1 ORDER BY b.vendor")
    });
    let actor = scope.actor();
    rows::all(c, &SQL, [actor.as_bytes()], rows::vendor_binding)
}

pub(super) fn setting(c: &Connection, key: &str) -> Result<Option<String>> {
    let sql = "SELECT value FROM setting WHERE key = ?1";
    rows::one(c, sql, [key], rows::single)
}
