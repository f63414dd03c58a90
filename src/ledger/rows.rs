//! Between rows and the types of the ports. A row that does not hold what its column promises is
//! an error, never a default: an unknown word was written by another program.

use crate::authority::budget::Zone;
use crate::authority::device::{DeviceRow, ListedDevice, PairingRow};
use crate::authority::identity::Omni;
use crate::authority::ports::{
    CapRow, LoggedEvent, Reservation, Salt, SaltFacts, SealedKey, Stored, TokenRow, VendorRow,
};
use crate::authority::principal::{Actor, Binding};
use crate::authority::words::NamespaceSet;
use crate::secret::Secret;
use rusqlite::types::{FromSql, Type};
use rusqlite::{Connection, Error, OptionalExtension as _, Params, Result, Row};
use std::str::FromStr;

/// What a column holds is not what it should; names the column, never the content.
#[derive(Debug, thiserror::Error)]
#[error("a stored {0} is not one")]
struct Unreadable(&'static str);

pub(super) fn broken(what: &'static str) -> Error {
    Error::FromSqlConversionFailure(0, Type::Null, Box::new(Unreadable(what)))
}

/// A number as `SQLite` keeps it.
pub(super) fn whole(number: u64) -> Result<i64> {
    i64::try_from(number).map_err(|_| broken("number"))
}

/// The columns of a row, taken one after the other in the order of the lists below. By place
/// and not by name, because a look-up by name walks all names.
pub(super) struct Columns<'r, 's> {
    row: &'r Row<'s>,
    at: usize,
}

impl<'r, 's> Columns<'r, 's> {
    pub(super) const fn of(row: &'r Row<'s>) -> Self {
        Self { row, at: 0 }
    }

    pub(super) fn take<T: FromSql>(&mut self) -> Result<T> {
        self.at += 1;
        self.row.get(self.at - 1)
    }

    fn text(&mut self, what: &'static str) -> Result<&'r str> {
        self.at += 1;
        let value = self.row.get_ref(self.at - 1)?;
        value.as_str().map_err(|_| broken(what))
    }

    fn word<T: FromStr>(&mut self, what: &'static str) -> Result<T> {
        self.text(what)?.parse().map_err(|_| broken(what))
    }

    fn maybe_word<T: FromStr>(&mut self, what: &'static str) -> Result<Option<T>> {
        let word: Option<String> = self.take()?;
        let word = word.map(|w| w.parse().map_err(|_| broken(what)));
        word.transpose()
    }

    fn list(&mut self, what: &'static str) -> Result<Vec<String>> {
        serde_json::from_str(self.text(what)?).map_err(|_| broken(what))
    }

    pub(super) fn unsigned(&mut self) -> Result<u64> {
        u64::try_from(self.take::<i64>()?).map_err(|_| broken("number"))
    }

    fn omni(&mut self) -> Result<Omni> {
        self.take().map(Omni::from_bytes)
    }

    fn maybe_omni(&mut self) -> Result<Option<Omni>> {
        Ok(self.take::<Option<[u8; 32]>>()?.map(Omni::from_bytes))
    }

    fn set(&mut self) -> Result<NamespaceSet> {
        self.take().map(NamespaceSet::from_bits)
    }

    /// What a joined table has, if it had a row: its first column is never null.
    pub(super) fn joined<T>(
        &mut self,
        columns: usize,
        read: impl FnOnce(&mut Self) -> Result<T>,
    ) -> Result<Option<T>> {
        if self.row.get_ref(self.at)?.data_type() == Type::Null {
            self.at += columns;
            return Ok(None);
        }
        read(self).map(Some)
    }
}

/// Columns of [`actor`], from a table called `a`.
pub(super) const ACTOR: &str = "a.omni, a.alias, a.display_name, a.parent, a.derivation_path, \
     a.wallet, a.zone_name, a.zone_from, a.zone_previous";
/// How many those are.
pub(super) const ACTOR_COLUMNS: usize = 9;

pub(super) fn actor(c: &mut Columns<'_, '_>) -> Result<Actor> {
    Ok(Actor {
        omni: c.omni()?,
        alias: c.word("alias")?,
        display_name: c.take()?,
        parent: c.maybe_omni()?,
        derivation_path: c.take()?,
        wallet: c.take()?,
        zone: {
            let (name, from, previous): (String, _, Option<String>) =
                (c.take()?, c.take()?, c.take()?);
            Zone::new(&name, from, previous.as_deref()).map_err(|_| broken("zone"))?
        },
    })
}

/// Columns of [`vendor`], from a table called `v`.
pub(super) const VENDOR: &str = "v.name, v.rail, v.profile";
const VENDOR_COLUMNS: usize = 3;

pub(super) fn vendor(c: &mut Columns<'_, '_>) -> Result<VendorRow> {
    Ok(VendorRow {
        name: c.take()?,
        rail: c.word("rail")?,
        profile: c.word("host profile")?,
    })
}

/// Columns of [`token`], from tables called `t` and `v`.
pub(super) const TOKEN: &str = "t.id, t.hash, t.role, v.name, v.rail, v.profile, t.actor, \
     t.namespaces, t.created_ms, t.expires_ms, t.revoked_ms, t.last_used_ms, t.replaced_by, \
     t.device, t.endpoint";
/// How many those are.
pub(super) const TOKEN_COLUMNS: usize = 15;

pub(super) fn token(c: &mut Columns<'_, '_>) -> Result<TokenRow> {
    Ok(TokenRow {
        id: c.take()?,
        hash: c.take()?,
        role: c.word("role")?,
        vendor: c.joined(VENDOR_COLUMNS, vendor)?,
        actor: c.maybe_omni()?,
        namespaces: c.set()?,
        created_ms: c.take()?,
        expires_ms: c.take()?,
        revoked_ms: c.take()?,
        last_used_ms: c.take()?,
        replaced_by: c.take()?,
        device: c.maybe_word("device")?,
        endpoint: c.take()?,
    })
}

/// Columns of [`binding`], from a table called `b`.
pub(super) const BINDING: &str = "b.read_set, b.write_set, b.scopes, b.exclusions, \
     b.daily_cap_minor, b.currency, b.revision, b.standing";
/// How many those are.
pub(super) const BINDING_COLUMNS: usize = 8;

pub(super) fn binding(c: &mut Columns<'_, '_>) -> Result<Binding> {
    Ok(Binding {
        read: c.set()?,
        write: c.set()?,
        scopes: c.list("scopes")?,
        exclusions: c.list("exclusions")?,
        daily_cap_minor: c.take()?,
        currency: c.take()?,
        revision: c.take()?,
        standing: c.take()?,
    })
}

/// Columns of [`device`], from a table called `d`.
pub(super) const DEVICE: &str =
    "d.vendor, d.device_id, d.actor, d.token_id, d.generation, d.paired_ms, d.removed_ms";

pub(super) fn device(c: &mut Columns<'_, '_>) -> Result<DeviceRow> {
    Ok(DeviceRow {
        vendor: c.take()?,
        device_id: c.word("device")?,
        actor: c.omni()?,
        token_id: c.take()?,
        generation: c.take()?,
        paired_ms: c.take()?,
        removed_ms: c.take()?,
    })
}

/// [`DEVICE`], then [`ACTOR`], then [`TOKEN`].
pub(super) fn listed_device(c: &mut Columns<'_, '_>) -> Result<ListedDevice> {
    Ok(ListedDevice {
        device: device(c)?,
        actor: actor(c)?,
        token: token(c)?,
    })
}

/// Columns of [`pairing`].
pub(super) const PAIRING: &str = "code_hash, id, parent, vendor, read_set, write_set, scopes, \
     daily_cap_minor, currency, jwt_ttl_ms, expires_ms, used_ms";

pub(super) fn pairing(c: &mut Columns<'_, '_>) -> Result<PairingRow> {
    Ok(PairingRow {
        code_hash: c.take()?,
        id: c.take()?,
        parent: c.omni()?,
        vendor: c.take()?,
        rights: Binding {
            read: c.set()?,
            write: c.set()?,
            scopes: c.list("scopes")?,
            daily_cap_minor: c.take()?,
            currency: c.take()?,
            ..Binding::default()
        },
        jwt_ttl_ms: c.take()?,
        expires_ms: c.take()?,
        used_ms: c.take()?,
    })
}

/// Columns of [`salt`], from a table called `s`.
pub(super) const SALT: &str = "s.epoch, s.bytes";
/// How many those are.
pub(super) const SALT_COLUMNS: usize = 2;

pub(super) fn salt(c: &mut Columns<'_, '_>) -> Result<SaltFacts> {
    let epoch: u32 = c.take()?;
    let bytes: Option<[u8; 32]> = c.take()?;
    Ok(SaltFacts {
        salt: bytes.map(|bytes| Salt {
            epoch,
            bytes: Secret::new(bytes),
        }),
        next_epoch: epoch.checked_add(1).ok_or_else(|| broken("epoch"))?,
    })
}

/// Columns of [`stored`], from a table called `m`.
pub(super) const STORED: &str = "m.version, m.event_id, m.object_key, m.length, \
     m.envelope_size, m.tag, m.piece_tag, m.epoch, m.token_id, m.written_ms, m.appended";
/// How many those are.
pub(super) const STORED_COLUMNS: usize = 11;

pub(super) fn stored(c: &mut Columns<'_, '_>) -> Result<Stored> {
    Ok(Stored {
        version: c.unsigned()?,
        event_id: c.take()?,
        object_key: c.take()?,
        length: c.unsigned()?,
        envelope_size: c.unsigned()?,
        tag: c.take()?,
        piece_tag: c.take()?,
        epoch: c.take()?,
        token_id: c.take()?,
        written_ms: c.take()?,
        appended: c.take()?,
    })
}

/// Columns of [`reservation`].
pub(super) const RESERVATION: &str =
    "decision_id, vendor, scope, day, amount_minor, currency, reference, state";

pub(super) fn reservation(c: &mut Columns<'_, '_>) -> Result<Reservation> {
    Ok(Reservation {
        decision_id: c.take()?,
        vendor: c.take()?,
        scope: c.take()?,
        day: c.take()?,
        amount_minor: c.take()?,
        currency: c.take()?,
        reference: c.take()?,
        state: c.take()?,
    })
}

/// Columns of [`cap`], from tables called `c` and `t`; `?3` is now.
pub(super) const CAP: &str = "c.cap_id, c.vendor, c.token_id, c.op, c.exp, c.revoked_ms, \
     c.rests_on, c.spent, t.id IS NOT NULL AND t.revoked_ms IS NULL AND t.expires_ms > ?3";

pub(super) fn cap(c: &mut Columns<'_, '_>) -> Result<CapRow> {
    Ok(CapRow {
        cap_id: c.take()?,
        vendor: c.take()?,
        token_id: c.take()?,
        op: c.take()?,
        exp: c.unsigned()?,
        revoked_ms: c.take()?,
        grant: c.take()?,
        spent: c.take()?,
        token_live: c.take()?,
    })
}

/// Columns of [`key`].
pub(super) const KEY: &str = "purpose, kid, sealed, created_ms";

pub(super) fn key(c: &mut Columns<'_, '_>) -> Result<SealedKey> {
    Ok(SealedKey {
        purpose: c.take()?,
        kid: c.take()?,
        sealed: c.take()?,
        created_ms: c.take()?,
    })
}

/// Columns of [`event`].
pub(super) const EVENT: &str = "seq, envelope";

pub(super) fn event(c: &mut Columns<'_, '_>) -> Result<LoggedEvent> {
    Ok(LoggedEvent {
        seq: c.unsigned()?,
        envelope: c.take()?,
    })
}

/// The only column there is.
pub(super) fn single<T: FromSql>(c: &mut Columns<'_, '_>) -> Result<T> {
    c.take()
}

/// Only an actor's id.
pub(super) fn omni(c: &mut Columns<'_, '_>) -> Result<Omni> {
    c.omni()
}

/// `(cap_id, exp)`.
pub(super) fn cap_end(c: &mut Columns<'_, '_>) -> Result<(String, u64)> {
    Ok((c.take()?, c.unsigned()?))
}

/// A vendor's name, then [`BINDING`].
pub(super) fn vendor_binding(c: &mut Columns<'_, '_>) -> Result<(String, Binding)> {
    Ok((c.take()?, binding(c)?))
}

/// Finds at most one row.
pub(super) fn one<T>(
    connection: &Connection,
    sql: &str,
    params: impl Params,
    read: impl FnOnce(&mut Columns<'_, '_>) -> Result<T>,
) -> Result<Option<T>> {
    let mut statement = connection.prepare_cached(sql)?;
    statement
        .query_row(params, |row| read(&mut Columns::of(row)))
        .optional()
}

/// Finds every row.
pub(super) fn all<T>(
    connection: &Connection,
    sql: &str,
    params: impl Params,
    read: impl Fn(&mut Columns<'_, '_>) -> Result<T>,
) -> Result<Vec<T>> {
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map(params, |row| read(&mut Columns::of(row)))?;
    rows.collect()
}

/// The single number of a statement that always has one.
pub(super) fn number(connection: &Connection, sql: &str, params: impl Params) -> Result<i64> {
    connection
        .prepare_cached(sql)?
        .query_row(params, |row| row.get(0))
}

/// The next place in the log, which is its size.
pub(super) fn log_size(connection: &Connection) -> Result<u64> {
    let size = number(
        connection,
        "SELECT next_seq FROM audit_head WHERE id = 1",
        [],
    )?;
    u64::try_from(size).map_err(|_| broken("number"))
}
