//! Money as exact integers, and which day of the actor a moment belongs to.
//!
//! The reservations themselves are ledger rows; here is only what decides about them, without I/O
//! and without a clock. The time zone database is the one compiled in, never the machine's, so
//! that replicas cannot disagree about a day.

use std::sync::LazyLock;

use jiff::civil::Date;
use jiff::tz::{TimeZone, TimeZoneDatabase};
use jiff::{Timestamp, ToSpan as _, Zoned};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The largest amount that is understood, in minor units (ten thousand million whole units). It
/// keeps sums of a day far from the end of an `i64`.
pub const MAX_MINOR: i64 = 1_000_000_000_000;

/// Why a text is not an amount. The text itself is not repeated: it came from a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidAmount {
    /// Not a JSON number or a plain decimal string.
    #[error("not a plain decimal number")]
    NotDecimal,
    /// More than two decimal places.
    #[error("more than two decimal places")]
    TooFine,
    /// Zero or negative.
    #[error("not more than zero")]
    NotPositive,
    /// More than [`MAX_MINOR`].
    #[error("too large")]
    TooLarge,
}

/// An amount that a caller sent, in minor units (hundredths), 1 to [`MAX_MINOR`].
///
/// Accepts a JSON number or a decimal string as JSON would write it, with at most two places:
/// `600`, `600.5`, `"600.50"`. No sign, exponent, blank, separator, leading zero or non-ASCII digit
/// in a string. Numbers are read from their shortest decimal text, never rounded; what the JSON
/// parser itself has normalised (`1e3` is `1000.0`) cannot be told apart.
///
/// # Errors
/// [`InvalidAmount`] says which rule was broken.
pub fn parse_amount(value: &Value) -> Result<i64, InvalidAmount> {
    let minor = match value {
        Value::Number(number) => parse_minor(&number.to_string())?,
        Value::String(text) => parse_minor(text)?,
        _ => return Err(InvalidAmount::NotDecimal),
    };
    if minor == 0 {
        return Err(InvalidAmount::NotPositive);
    }
    Ok(minor)
}

/// Reads a plain decimal as minor units; zero is allowed.
pub(in crate::authority) fn parse_minor(text: &str) -> Result<i64, InvalidAmount> {
    if let Some(rest) = text.strip_prefix('-') {
        // Told apart only so that "-5" is answered with the reason a person would give.
        return Err(match parse_minor(rest) {
            Ok(_) => InvalidAmount::NotPositive,
            Err(other) => other,
        });
    }
    let (whole, fraction) = match text.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (text, None),
    };
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    let fraction = fraction.unwrap_or("0");
    if !digits(whole) || !digits(fraction) || (whole.len() > 1 && whole.starts_with('0')) {
        return Err(InvalidAmount::NotDecimal);
    }
    if fraction.len() > 2 {
        return Err(InvalidAmount::TooFine);
    }
    let whole: i64 = whole.parse().map_err(|_| InvalidAmount::TooLarge)?;
    let fraction: i64 = format!("{fraction:0<2}")
        .parse()
        .map_err(|_| InvalidAmount::NotDecimal)?;
    whole
        .checked_mul(100)
        .and_then(|minor| minor.checked_add(fraction))
        .filter(|minor| *minor <= MAX_MINOR)
        .ok_or(InvalidAmount::TooLarge)
}

/// An amount with its currency.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Money {
    /// Minor units (hundredths), 0 to [`MAX_MINOR`].
    pub minor: i64,
    /// Three upper-case ASCII letters: `RMB`.
    pub currency: String,
}

/// Why an operator's money argument was not understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidMoney {
    /// The number in front of the currency.
    #[error("the amount is {0}")]
    Amount(#[from] InvalidAmount),
    /// No three upper-case letters at the end.
    #[error("no currency: write the amount and three upper-case letters, such as 500RMB")]
    Currency,
}

/// Money on the command line: `500RMB`, `0.50RMB`. Zero is allowed: a cap of nothing.
///
/// # Errors
/// [`InvalidMoney`] says what is wrong in words for an operator.
pub fn parse_money_arg(text: &str) -> Result<Money, InvalidMoney> {
    let at = text.len().checked_sub(3).ok_or(InvalidMoney::Currency)?;
    let (amount, currency) = text.split_at_checked(at).ok_or(InvalidMoney::Currency)?;
    if !currency.bytes().all(|b| b.is_ascii_uppercase()) {
        return Err(InvalidMoney::Currency);
    }
    Ok(Money {
        minor: parse_minor(amount)?,
        currency: currency.to_owned(),
    })
}

/// Minor units as people write them, without trailing zeros: 50000 → `500`, 60050 → `600.5`.
pub fn format_minor(minor: i64) -> String {
    let sign = if minor < 0 { "-" } else { "" };
    let (whole, cents) = (minor.unsigned_abs() / 100, minor.unsigned_abs() % 100);
    match cents {
        0 => format!("{sign}{whole}"),
        c if c % 10 == 0 => format!("{sign}{whole}.{}", c / 10),
        c => format!("{sign}{whole}.{c:02}"),
    }
}

/// A name that the embedded tz database does not have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name:?} is not a time zone; write an IANA name such as Asia/Shanghai or UTC")]
pub struct UnknownZone {
    /// What was asked for.
    pub name: String,
}

/// The zone that an actor's days are counted in: `name` from `from_unix` on, `previous` before.
///
/// One exists only with names that the embedded database knows, also when read back from a row.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(try_from = "ZoneRow", into = "ZoneRow")]
pub struct Zone {
    row: ZoneRow,
    now: TimeZone,
    before: Option<TimeZone>,
}

/// [`Zone`] as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ZoneRow {
    name: String,
    from_unix: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    previous: Option<String>,
}

impl TryFrom<ZoneRow> for Zone {
    type Error = UnknownZone;

    fn try_from(row: ZoneRow) -> Result<Self, UnknownZone> {
        Self::new(&row.name, row.from_unix, row.previous.as_deref())
    }
}

impl From<Zone> for ZoneRow {
    fn from(zone: Zone) -> Self {
        zone.row
    }
}

impl PartialEq for Zone {
    fn eq(&self, other: &Self) -> bool {
        self.row == other.row
    }
}

impl Eq for Zone {}

impl Default for Zone {
    /// UTC since ever.
    fn default() -> Self {
        Self {
            row: ZoneRow {
                name: "UTC".to_owned(),
                from_unix: 0,
                previous: None,
            },
            now: TimeZone::UTC,
            before: None,
        }
    }
}

impl Zone {
    /// A zone by IANA name (any letter case; kept in the database's own), effective from
    /// `from_unix` (seconds), and the one that counted before.
    ///
    /// # Errors
    /// [`UnknownZone`] names the one that does not exist.
    pub fn new(name: &str, from_unix: i64, previous: Option<&str>) -> Result<Self, UnknownZone> {
        let (name, now) = look_up(name)?;
        let (previous, before) = previous.map(look_up).transpose()?.unzip();
        Ok(Self {
            row: ZoneRow {
                name,
                from_unix,
                previous,
            },
            now,
            before,
        })
    }

    /// IANA name.
    pub fn name(&self) -> &str {
        &self.row.name
    }

    /// From when `name` counts, unix seconds.
    pub const fn from_unix(&self) -> i64 {
        self.row.from_unix
    }

    /// IANA name of the zone that counted before, when there was one.
    pub fn previous(&self) -> Option<&str> {
        self.row.previous.as_deref()
    }

    /// IANA name of the zone that counts at a moment (milliseconds since 1970).
    pub fn name_at(&self, now_unix_ms: i64) -> &str {
        self.at(timestamp(now_unix_ms)).0
    }

    /// IANA name of the zone that counts later than that moment and not yet, and from when on
    /// (unix seconds).
    pub fn next_at(&self, now_unix_ms: i64) -> Option<(&str, i64)> {
        let waits =
            self.before.is_some() && timestamp(now_unix_ms).as_second() < self.row.from_unix;
        waits.then_some((&self.row.name, self.row.from_unix))
    }

    fn at(&self, now: Timestamp) -> (&str, &TimeZone) {
        match (&self.row.previous, &self.before) {
            (Some(name), Some(zone)) if now.as_second() < self.row.from_unix => (name, zone),
            _ => (&self.row.name, &self.now),
        }
    }
}

/// The actor's local date at a moment (milliseconds since 1970). Reservations are keyed by it, so
/// that a clock set back finds the reservations it left.
pub fn day_of(now_unix_ms: i64, zone: &Zone) -> Date {
    local(now_unix_ms, zone).date()
}

/// The actor's local hour (0 to 23) and weekday (1 Monday to 7 Sunday) at a moment in milliseconds.
pub fn local_hour_weekday(now_unix_ms: i64, zone: &Zone) -> (u8, u8) {
    let now = local(now_unix_ms, zone);
    let hour = u8::try_from(now.hour()).unwrap_or(0);
    let weekday = u8::try_from(now.weekday().to_monday_one_offset()).unwrap_or(1);
    (hour, weekday)
}

/// A new zone for an actor, asked for at `now_unix_ms`. It starts at the later of both zones' next
/// midnights: were it to start at once, a move could begin a fresh day, and with it a fresh budget,
/// within the day that is being spent. A change that has not started yet is replaced by this one.
///
/// # Errors
/// [`UnknownZone`] when the name does not exist.
pub fn change_zone(current: &Zone, new_name: &str, now_unix_ms: i64) -> Result<Zone, UnknownZone> {
    let now = timestamp(now_unix_ms);
    let (name, zone) = look_up(new_name)?;
    let (old_name, old_zone) = current.at(now);
    if name == old_name {
        // Already counting: only a change that had not started is taken back.
        return if name == current.name() {
            Ok(current.clone())
        } else {
            Zone::new(&name, 0, None)
        };
    }
    let from = next_midnight(now, old_zone).max(next_midnight(now, &zone));
    Zone::new(&name, from, Some(old_name))
}

static ZONES: LazyLock<TimeZoneDatabase> = LazyLock::new(TimeZoneDatabase::bundled);

fn look_up(name: &str) -> Result<(String, TimeZone), UnknownZone> {
    let unknown = || UnknownZone {
        name: name.to_owned(),
    };
    let zone = ZONES.get(name).map_err(|_| unknown())?;
    if zone.is_unknown() {
        return Err(unknown());
    }
    let canonical = zone.iana_name().ok_or_else(unknown)?.to_owned();
    Ok((canonical, zone))
}

/// Out-of-range moments are the nearest that a calendar has.
fn timestamp(unix_ms: i64) -> Timestamp {
    Timestamp::from_millisecond(unix_ms).unwrap_or(if unix_ms < 0 {
        Timestamp::MIN
    } else {
        Timestamp::MAX
    })
}

fn local(unix_ms: i64, zone: &Zone) -> Zoned {
    let now = timestamp(unix_ms);
    now.to_zoned(zone.at(now).1.clone())
}

/// Unix seconds of the first moment of the next local date. At the end of the calendar there is
/// none, and a zone that starts then never does.
fn next_midnight(now: Timestamp, zone: &TimeZone) -> i64 {
    now.to_zoned(zone.clone())
        .date()
        .checked_add(1.day())
        .and_then(|tomorrow| tomorrow.to_zoned(zone.clone()))
        .map_or(i64::MAX, |midnight| midnight.timestamp().as_second())
}

#[cfg(test)]
mod tests;
