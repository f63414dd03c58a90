//! Conditions, tested inside the transaction that would change what they are about.

use super::{anchor, log, read, rows};
use crate::authority::ports::{Guard, Test};
use crate::authority::words::Namespace;
use rusqlite::{Connection, Result};

/// The first guard that does not hold. `at_ms` is when the Unit's event was decided.
pub(super) fn first_broken(c: &Connection, guards: &[Guard], at_ms: i64) -> Result<Option<usize>> {
    for (index, guard) in guards.iter().enumerate() {
        if !holds(c, &guard.test, at_ms)? {
            return Ok(Some(index));
        }
    }
    Ok(None)
}

fn holds(c: &Connection, test: &Test, now_ms: i64) -> Result<bool> {
    match test {
        Test::BindingIs {
            scope,
            vendor,
            revision,
        } => {
            let sql = "SELECT coalesce((SELECT revision FROM binding \
                       WHERE actor = ?1 AND vendor = ?2), 0) = ?3";
            yes(c, sql, (scope.actor().as_bytes(), vendor, revision))
        }
        Test::StillBound {
            scope,
            vendor,
            revision,
            token_id,
            at_ms,
        } => {
            let sql = "SELECT EXISTS (SELECT 1 FROM token t JOIN binding b \
                       ON b.actor = ?1 AND b.vendor = ?2 AND b.revision = ?3 \
                       WHERE t.id = ?4 AND t.revoked_ms IS NULL AND t.expires_ms > ?5)";
            let actor = scope.actor();
            yes(
                c,
                sql,
                (actor.as_bytes(), vendor, revision, token_id, at_ms),
            )
        }
        Test::TokenLive { id, at_ms } => token_live(c, id, *at_ms),
        Test::TokenNotReplaced { id, at_ms } => token_not_replaced(c, id, *at_ms),
        Test::VersionIs {
            scope,
            namespace,
            version,
        } => version_is(c, scope.actor().as_bytes(), *namespace, *version),
        Test::SaltIs { scope, slot, epoch } => {
            let sql = "SELECT (SELECT epoch FROM salt \
                       WHERE actor = ?1 AND slot = ?2 AND bytes IS NOT NULL) IS ?3";
            yes(c, sql, (scope.actor().as_bytes(), slot.as_str(), epoch))
        }
        Test::BudgetBelow {
            scope,
            spend_scope,
            currency,
            day,
            add_minor,
            limit_minor,
        } => {
            let spent = read::spent(c, scope.actor(), spend_scope, currency, day)?;
            Ok(within(spent, *add_minor, *limit_minor))
        }
        Test::ReferenceFree {
            scope,
            vendor,
            spend_scope,
            day,
            reference,
        } => {
            let actor = scope.actor();
            reference_free(c, (actor.as_bytes(), vendor, spend_scope, day, reference))
        }
        Test::ReservationIs { decision_id, state } => {
            let sql = "SELECT EXISTS (SELECT 1 FROM reservation \
                       WHERE decision_id = ?1 AND state = ?2)";
            yes(c, sql, (decision_id, state))
        }
        Test::CapUnspent { cap_id } => cap_unspent(c, cap_id, now_ms),
        Test::NameFree { kind, name } => name_free(c, kind, name),
        Test::OmniFree(omni) => {
            let sql = "SELECT NOT EXISTS (SELECT 1 FROM actor WHERE omni = ?1)";
            yes(c, sql, [omni.as_bytes()])
        }
        Test::ZoneIs { scope, zone } => {
            let now = read::actor(c, scope.actor())?;
            Ok(now.is_some_and(|actor| actor.zone == *zone))
        }
        Test::PolicyIs(version) => Ok(read::heads(c)?.policy_version == *version),
        Test::PairingOpen {
            code_hash,
            vendor,
            at_ms,
        } => {
            let sql = "SELECT EXISTS (SELECT 1 FROM pairing WHERE code_hash = ?1 \
                       AND vendor = ?2 AND used_ms IS NULL AND expires_ms > ?3)";
            yes(c, sql, (code_hash, vendor, at_ms))
        }
        Test::DeviceIs { vendor, id, state } => {
            let found = read::device(c, vendor, id)?;
            Ok(found.map(|d| d.state()) == *state)
        }
        Test::AnchorIsNew {
            chain_id,
            transaction,
        } => anchor::is_new(c, *chain_id, transaction),
        Test::LogIs(number) => Ok(log::origin_number(c)? == *number),
        Test::NewestKeyIs { purpose, kid } => {
            let sql = "SELECT (SELECT kid FROM key_ring WHERE purpose = ?1 \
                       ORDER BY id DESC LIMIT 1) IS ?2";
            yes(c, sql, (purpose, kid))
        }
    }
}

fn yes(c: &Connection, sql: &str, params: impl rusqlite::Params) -> Result<bool> {
    rows::number(c, sql, params).map(|n| n == 1)
}

fn token_live(c: &Connection, id: &str, at_ms: i64) -> Result<bool> {
    let sql = "SELECT EXISTS (SELECT 1 FROM token \
               WHERE id = ?1 AND revoked_ms IS NULL AND expires_ms > ?2)";
    yes(c, sql, (id, at_ms))
}

fn token_not_replaced(c: &Connection, id: &str, at_ms: i64) -> Result<bool> {
    let sql = "SELECT EXISTS (SELECT 1 FROM token WHERE id = ?1 \
               AND revoked_ms IS NULL AND expires_ms > ?2 AND replaced_by IS NULL)";
    yes(c, sql, (id, at_ms))
}

fn version_is(
    c: &Connection,
    actor: &[u8; 32],
    namespace: Namespace,
    version: u64,
) -> Result<bool> {
    let sql = "SELECT coalesce((SELECT last_version FROM memory_head \
               WHERE actor = ?1 AND namespace = ?2), 0) = ?3";
    yes(c, sql, (actor, namespace.as_str(), rows::whole(version)?))
}

/// A sum that cannot be counted is over any limit, and nothing may lower it.
fn within(spent: i64, add_minor: i64, limit_minor: i64) -> bool {
    let sum = spent.checked_add(add_minor).filter(|_| add_minor >= 0);
    sum.is_some_and(|sum| sum <= limit_minor)
}

fn reference_free(c: &Connection, key: impl rusqlite::Params) -> Result<bool> {
    let sql = "SELECT NOT EXISTS (SELECT 1 FROM reservation WHERE actor = ?1 \
               AND vendor = ?2 AND scope = ?3 AND day = ?4 AND reference = ?5 \
               AND state <> 'released')";
    yes(c, sql, key)
}

fn cap_unspent(c: &Connection, cap_id: &str, now_ms: i64) -> Result<bool> {
    let sql = "SELECT EXISTS (SELECT 1 FROM cap c JOIN token t ON t.id = c.token_id \
               WHERE c.cap_id = ?1 AND c.spent IS NULL AND c.revoked_ms IS NULL \
               AND t.revoked_ms IS NULL AND t.expires_ms > ?2)";
    yes(c, sql, (cap_id, now_ms))
}

fn name_free(c: &Connection, kind: &str, name: &str) -> Result<bool> {
    match kind {
        "actor" => {
            let sql = "SELECT NOT EXISTS (SELECT 1 FROM actor WHERE alias = ?1)";
            yes(c, sql, [name])
        }
        "vendor" => {
            let sql = "SELECT NOT EXISTS (SELECT 1 FROM vendor WHERE name = ?1)";
            yes(c, sql, [name])
        }
        _ => Err(rows::broken("kind of name")),
    }
}
