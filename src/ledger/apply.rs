//! Effects: what a commit changes besides the log.
//!
//! Every effect that is about a row that must be there fails when it is not, and takes its Unit
//! with it: a row of the log never says that something happened to nothing.

use super::{anchor, rows};
use crate::authority::budget::Zone;
use crate::authority::device::{DeviceId, DeviceRow, PairingRow};
use crate::authority::event::Event;
use crate::authority::identity::Omni;
use crate::authority::ports::{
    CapRow, Effect, Reservation, Salt, SealedKey, Slot, Stored, TokenRow, VendorRow,
};
use crate::authority::principal::{Actor, ActorScope, Binding};
use crate::authority::words::{Namespace, Rail};
use rusqlite::{Connection, Params, Result};

/// Appends an event at a place.
pub(super) fn append(c: &Connection, seq: i64, event: &Event) -> Result<()> {
    let sql = "INSERT INTO audit_event \
               (seq, event_id, ts_ms, actor_omni, vendor, rail, tool, verdict, namespace, envelope) \
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";
    let params = rusqlite::params![
        seq,
        event.id,
        event.ts_ms,
        event.actor.as_ref().map(Omni::as_bytes),
        event.vendor,
        event.rail.map(Rail::as_str),
        event.tool,
        event.verdict,
        event.namespace.map(Namespace::as_str),
        event.envelope,
    ];
    exactly_one(c, sql, params)
}

/// Applies one effect.
pub(super) fn effect(c: &Connection, effect: &Effect) -> Result<()> {
    match effect {
        Effect::PutMemory {
            scope,
            namespace,
            stored,
        } => put_memory(c, scope, *namespace, stored),
        Effect::UseSalt { scope, slot, salt } => use_salt(c, scope, *slot, salt),
        Effect::KeepStatement {
            scope,
            event_id,
            sealed,
        } => {
            let sql = "INSERT INTO statement (actor, event_id, sealed) VALUES (?1, ?2, ?3)";
            exactly_one(c, sql, (scope.actor().as_bytes(), event_id, sealed))
        }
        Effect::Erase { scope, slot } => erase(c, scope, *slot),
        Effect::Reserve { scope, reservation } => reserve(c, scope, reservation),
        Effect::SetReservation { decision_id, state } => {
            let sql = "UPDATE reservation SET state = ?2 WHERE decision_id = ?1";
            exactly_one(c, sql, (decision_id, state))
        }
        Effect::MintCap { scope, cap } => mint_cap(c, scope, cap),
        Effect::RevokeCap { cap_id, at_ms } => {
            let sql = "UPDATE cap SET revoked_ms = coalesce(revoked_ms, ?2) WHERE cap_id = ?1";
            exactly_one(c, sql, (cap_id, at_ms))
        }
        Effect::RevokeCapsOn {
            scope,
            vendor,
            grants,
            at_ms,
        } => revoke_caps_on(c, scope, vendor.as_deref(), grants, *at_ms),
        Effect::SpendCap { cap_id, answer } => {
            let sql = "UPDATE cap SET spent = ?2 WHERE cap_id = ?1 AND spent IS NULL";
            exactly_one(c, sql, (cap_id, answer))
        }
        Effect::AddVendor(vendor) => add_vendor(c, vendor),
        Effect::AddToken(token) => add_token(c, token),
        Effect::RevokeToken { id, at_ms } => revoke_token(c, id, *at_ms),
        Effect::ReplaceToken {
            id,
            by,
            valid_until_ms,
        } => {
            let sql = "UPDATE token SET replaced_by = ?2, expires_ms = min(expires_ms, ?3) \
                       WHERE id = ?1";
            exactly_one(c, sql, (id, by, valid_until_ms))
        }
        Effect::AddActor { actor, generation } => add_actor(c, actor, *generation),
        Effect::SetActor {
            scope,
            display_name,
            zone,
        } => set_actor(c, scope, display_name.as_deref(), zone.as_ref()),
        Effect::SetBinding {
            scope,
            vendor,
            binding,
        } => set_binding(c, scope, vendor, binding),
        Effect::ApplyPolicy {
            version,
            hash,
            source,
            at_ms,
        } => apply_policy(c, *version, hash, source, *at_ms),
        Effect::AddKey(key) => add_key(c, key),
        Effect::BeginLog { origin, at_ms } => {
            let sql = "INSERT INTO log_origin (number, name, at_ms) VALUES (?1, ?2, ?3)";
            exactly_one(c, sql, (origin.number, &origin.name, at_ms))
        }
        Effect::KeepAnchor(new) => anchor::keep(c, new),
        Effect::PruneEvents { until } => {
            // Only what the tree has: of the rest nothing would be left.
            let sql = "UPDATE log_head SET pruned = ?1 \
                       WHERE id = 1 AND pruned <= ?1 AND ?1 <= integrated";
            exactly_one(c, sql, [rows::whole(*until)?])
        }
        Effect::AddPairing { pairing, at_ms } => add_pairing(c, pairing, *at_ms),
        Effect::UsePairing { code_hash, at_ms } => {
            let sql = "UPDATE pairing SET used_ms = ?2 WHERE code_hash = ?1 AND used_ms IS NULL";
            exactly_one(c, sql, (code_hash, at_ms))
        }
        Effect::SetDevice(device) => set_device(c, device),
        Effect::RemoveDevice { vendor, id, at_ms } => {
            let sql = "UPDATE device SET removed_ms = ?3 \
                       WHERE vendor = ?1 AND device_id = ?2 AND removed_ms IS NULL";
            exactly_one(c, sql, (vendor, id.as_str(), at_ms))
        }
    }
}

fn run(c: &Connection, sql: &str, params: impl Params) -> Result<usize> {
    c.prepare_cached(sql)?.execute(params)
}

fn exactly_one(c: &Connection, sql: &str, params: impl Params) -> Result<()> {
    match run(c, sql, params)? {
        1 => Ok(()),
        n => Err(rusqlite::Error::StatementChangedRows(n)),
    }
}

fn put_memory(
    c: &Connection,
    scope: &ActorScope,
    namespace: Namespace,
    stored: &Stored,
) -> Result<()> {
    let actor = scope.actor();
    let version = rows::whole(stored.version)?;
    let sql = "INSERT INTO memory_version (actor, namespace, version, event_id, object_key, \
               length, envelope_size, tag, piece_tag, epoch, token_id, written_ms, appended) \
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)";
    let params = rusqlite::params![
        actor.as_bytes(),
        namespace.as_str(),
        version,
        stored.event_id,
        stored.object_key,
        rows::whole(stored.length)?,
        rows::whole(stored.envelope_size)?,
        stored.tag,
        stored.piece_tag,
        stored.epoch,
        stored.token_id,
        stored.written_ms,
        stored.appended,
    ];
    exactly_one(c, sql, params)?;
    // A version never comes twice, not even after an erasure.
    let sql = "INSERT INTO memory_head (actor, namespace, last_version, current) \
               VALUES (?1, ?2, ?3, ?3) ON CONFLICT (actor, namespace) DO UPDATE \
               SET last_version = excluded.last_version, current = excluded.current \
               WHERE excluded.last_version > memory_head.last_version";
    exactly_one(c, sql, (actor.as_bytes(), namespace.as_str(), version))
}

fn use_salt(c: &Connection, scope: &ActorScope, slot: Slot, salt: &Salt) -> Result<()> {
    // A live salt is never overwritten: that would be an erasure nobody asked for. An epoch never
    // comes twice.
    let sql = "INSERT INTO salt (actor, slot, epoch, bytes) VALUES (?1, ?2, ?3, ?4) \
               ON CONFLICT (actor, slot) DO UPDATE \
               SET epoch = excluded.epoch, bytes = excluded.bytes \
               WHERE salt.bytes IS NULL AND excluded.epoch > salt.epoch";
    let actor = scope.actor();
    let bytes = salt.bytes.expose();
    exactly_one(c, sql, (actor.as_bytes(), slot.as_str(), salt.epoch, bytes))
}

fn erase(c: &Connection, scope: &ActorScope, slot: Slot) -> Result<()> {
    let actor = scope.actor();
    let actor = actor.as_bytes();
    let sql = "UPDATE salt SET bytes = NULL WHERE actor = ?1 AND slot = ?2";
    run(c, sql, (actor, slot.as_str()))?;
    let sql = "UPDATE head SET erased = erased + 1 WHERE id = 1";
    exactly_one(c, sql, [])?;
    match slot {
        Slot::Memory(namespace) => {
            let key = (actor, namespace.as_str());
            let sql = "DELETE FROM memory_version WHERE actor = ?1 AND namespace = ?2";
            run(c, sql, key)?;
            let sql = "UPDATE memory_head SET current = NULL WHERE actor = ?1 AND namespace = ?2";
            run(c, sql, key)?;
        }
        Slot::Statements => {
            run(c, "DELETE FROM statement WHERE actor = ?1", [actor])?;
        }
    }
    Ok(())
}

fn reserve(c: &Connection, scope: &ActorScope, r: &Reservation) -> Result<()> {
    let sql = "INSERT INTO reservation (decision_id, actor, vendor, scope, day, currency, \
               amount_minor, reference, state) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
    let actor = scope.actor();
    let params = rusqlite::params![
        r.decision_id,
        actor.as_bytes(),
        r.vendor,
        r.scope,
        r.day,
        r.currency,
        r.amount_minor,
        r.reference,
        r.state,
    ];
    exactly_one(c, sql, params)
}

fn mint_cap(c: &Connection, scope: &ActorScope, cap: &CapRow) -> Result<()> {
    let sql = "INSERT INTO cap (cap_id, actor, vendor, token_id, op, exp, revoked_ms, rests_on, \
               spent) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
    let actor = scope.actor();
    let params = rusqlite::params![
        cap.cap_id,
        actor.as_bytes(),
        cap.vendor,
        cap.token_id,
        cap.op,
        rows::whole(cap.exp)?,
        cap.revoked_ms,
        cap.grant,
        cap.spent,
    ];
    exactly_one(c, sql, params)
}

/// The end, in seconds, from which on a cap may still be live for somebody. Whoever revokes may
/// have a clock that is ahead of those who check; this bound is there for speed alone.
const fn oldest_end(at_ms: i64) -> i64 {
    const SKEW_S: i64 = 3_600;
    at_ms / 1_000 - SKEW_S
}

fn revoke_caps_on(
    c: &Connection,
    scope: &ActorScope,
    vendor: Option<&str>,
    grants: &[String],
    at_ms: i64,
) -> Result<()> {
    let sql = "UPDATE cap SET revoked_ms = ?4 WHERE actor = ?1 AND exp >= ?5 \
               AND revoked_ms IS NULL AND rests_on = ?2 AND (?3 IS NULL OR vendor = ?3)";
    let actor = scope.actor();
    for grant in grants {
        let params = (actor.as_bytes(), grant, vendor, at_ms, oldest_end(at_ms));
        run(c, sql, params)?;
    }
    Ok(())
}

fn add_vendor(c: &Connection, vendor: &VendorRow) -> Result<()> {
    let sql = "INSERT INTO vendor (name, rail, profile) VALUES (?1, ?2, ?3)";
    let words = (&vendor.name, vendor.rail.as_str(), vendor.profile.as_str());
    exactly_one(c, sql, words)
}

fn add_token(c: &Connection, t: &TokenRow) -> Result<()> {
    let sql = "INSERT INTO token (id, hash, role, vendor, actor, namespaces, created_ms, \
               expires_ms, revoked_ms, last_used_ms, replaced_by, device, endpoint) \
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)";
    let params = rusqlite::params![
        t.id,
        t.hash,
        t.role.as_str(),
        t.vendor.as_ref().map(|v| &v.name),
        t.actor.as_ref().map(Omni::as_bytes),
        t.namespaces.bits(),
        t.created_ms,
        t.expires_ms,
        t.revoked_ms,
        t.last_used_ms,
        t.replaced_by,
        t.device.as_ref().map(DeviceId::as_str),
        t.endpoint,
    ];
    exactly_one(c, sql, params)
}

fn revoke_token(c: &Connection, id: &str, at_ms: i64) -> Result<()> {
    let sql = "UPDATE token SET revoked_ms = coalesce(revoked_ms, ?2) WHERE id = ?1";
    exactly_one(c, sql, (id, at_ms))?;
    let sql = "UPDATE cap SET revoked_ms = ?2 \
               WHERE token_id = ?1 AND exp >= ?3 AND revoked_ms IS NULL";
    run(c, sql, (id, at_ms, oldest_end(at_ms)))?;
    Ok(())
}

/// Notes that a token was used, to the minute.
pub(super) fn touch_token(c: &Connection, id: &str, at_ms: i64) -> Result<()> {
    let minute = at_ms - at_ms.rem_euclid(60_000);
    let sql = "UPDATE token SET last_used_ms = ?2 \
               WHERE id = ?1 AND coalesce(last_used_ms, 0) < ?2";
    run(c, sql, (id, minute)).map(|_| ())
}

fn add_actor(c: &Connection, a: &Actor, generation: u32) -> Result<()> {
    let sql = "INSERT INTO actor (omni, alias, display_name, parent, derivation_path, \
               generation, wallet, zone_name, zone_from, zone_previous) \
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";
    let params = rusqlite::params![
        a.omni.as_bytes(),
        a.alias.as_str(),
        a.display_name,
        a.parent.as_ref().map(Omni::as_bytes),
        a.derivation_path,
        generation,
        a.wallet,
        a.zone.name(),
        a.zone.from_unix(),
        a.zone.previous(),
    ];
    exactly_one(c, sql, params)
}

fn set_actor(
    c: &Connection,
    scope: &ActorScope,
    display_name: Option<&str>,
    zone: Option<&Zone>,
) -> Result<()> {
    let actor = scope.actor();
    let actor = actor.as_bytes();
    let sql = "UPDATE actor SET display_name = coalesce(?2, display_name) WHERE omni = ?1";
    exactly_one(c, sql, (actor, display_name))?;
    let Some(zone) = zone else { return Ok(()) };
    let sql = "UPDATE actor SET zone_name = ?2, zone_from = ?3, zone_previous = ?4 \
               WHERE omni = ?1";
    let zone = (actor, zone.name(), zone.from_unix(), zone.previous());
    exactly_one(c, sql, zone)
}

fn set_binding(c: &Connection, scope: &ActorScope, vendor: &str, b: &Binding) -> Result<()> {
    // A revision only ever grows; one that does not would let a stale decision pass.
    let sql = "INSERT INTO binding (actor, vendor, read_set, write_set, scopes, exclusions, \
               daily_cap_minor, currency, revision, standing) \
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10) \
               ON CONFLICT (actor, vendor) DO UPDATE SET read_set = excluded.read_set, \
               write_set = excluded.write_set, scopes = excluded.scopes, \
               exclusions = excluded.exclusions, daily_cap_minor = excluded.daily_cap_minor, \
               currency = excluded.currency, revision = excluded.revision, \
               standing = excluded.standing \
               WHERE excluded.revision > binding.revision";
    let actor = scope.actor();
    let params = rusqlite::params![
        actor.as_bytes(),
        vendor,
        b.read.bits(),
        b.write.bits(),
        json(&b.scopes),
        json(&b.exclusions),
        b.daily_cap_minor,
        b.currency,
        b.revision,
        b.standing,
    ];
    exactly_one(c, sql, params)
}

fn json(list: &[String]) -> String {
    serde_json::Value::from(list).to_string()
}

/// How long a code that can no longer be used is kept.
const PAIRING_KEPT_MS: i64 = 24 * 60 * 60 * 1000;

fn add_pairing(c: &Connection, p: &PairingRow, at_ms: i64) -> Result<()> {
    // Codes that are over answer like codes that never were, so that nobody misses them.
    let sql = "DELETE FROM pairing WHERE expires_ms < ?1";
    run(c, sql, [at_ms.saturating_sub(PAIRING_KEPT_MS)])?;
    let sql = "INSERT INTO pairing (code_hash, id, parent, vendor, read_set, write_set, scopes, \
               daily_cap_minor, currency, jwt_ttl_ms, expires_ms, used_ms) \
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)";
    let params = rusqlite::params![
        p.code_hash,
        p.id,
        p.parent.as_bytes(),
        p.vendor,
        p.rights.read.bits(),
        p.rights.write.bits(),
        json(&p.rights.scopes),
        p.rights.daily_cap_minor,
        p.rights.currency,
        p.jwt_ttl_ms,
        p.expires_ms,
        p.used_ms,
    ];
    exactly_one(c, sql, params)
}

fn set_device(c: &Connection, d: &DeviceRow) -> Result<()> {
    // A generation only ever grows; one that does not was decided on an older one.
    let sql = "INSERT INTO device (vendor, device_id, actor, token_id, generation, paired_ms, \
               removed_ms) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) \
               ON CONFLICT (vendor, device_id) DO UPDATE SET actor = excluded.actor, \
               token_id = excluded.token_id, generation = excluded.generation, \
               paired_ms = excluded.paired_ms, removed_ms = excluded.removed_ms \
               WHERE excluded.generation > device.generation";
    let params = rusqlite::params![
        d.vendor,
        d.device_id.as_str(),
        d.actor.as_bytes(),
        d.token_id,
        d.generation,
        d.paired_ms,
        d.removed_ms,
    ];
    exactly_one(c, sql, params)
}

fn apply_policy(
    c: &Connection,
    version: i64,
    hash: &[u8; 32],
    source: &str,
    at_ms: i64,
) -> Result<()> {
    let sql = "INSERT INTO policy_version (version, hash, source, at_ms) VALUES (?1, ?2, ?3, ?4)";
    exactly_one(c, sql, (version, hash, source, at_ms))?;
    let sql = "UPDATE head SET policy_version = ?1 WHERE id = 1";
    exactly_one(c, sql, [version])
}

fn add_key(c: &Connection, key: &SealedKey) -> Result<()> {
    let sql = "INSERT INTO key_ring (purpose, kid, sealed, created_ms) VALUES (?1, ?2, ?3, ?4)";
    let params = (&key.purpose, &key.kid, &key.sealed, key.created_ms);
    exactly_one(c, sql, params)
}
