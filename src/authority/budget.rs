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
    zone: TimeZone,
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
            zone: TimeZone::UTC,
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
        let (name, zone) = look_up(name)?;
        let (previous, before) = previous.map(look_up).transpose()?.unzip();
        Ok(Self {
            row: ZoneRow {
                name,
                from_unix,
                previous,
            },
            zone,
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

    fn at(&self, now: Timestamp) -> (&str, &TimeZone) {
        match (&self.row.previous, &self.before) {
            (Some(name), Some(zone)) if now.as_second() < self.row.from_unix => (name, zone),
            _ => (&self.row.name, &self.zone),
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
mod tests {
    #![allow(clippy::unwrap_used)]

    use jiff::civil::date;
    use serde_json::json;

    use super::InvalidAmount::{NotDecimal, NotPositive, TooFine, TooLarge};
    use super::*;

    const HOUR: i64 = 3_600_000;

    fn at(text: &str) -> i64 {
        text.parse::<Timestamp>().unwrap().as_millisecond()
    }

    fn zone(name: &str) -> Zone {
        Zone::new(name, 0, None).unwrap()
    }

    #[test]
    fn amounts_are_read_exactly_or_not_at_all() {
        let accepted = [
            (json!(600), 60_000),
            (json!("600"), 60_000),
            (json!("600.50"), 60_050),
            (json!(600.5), 60_050),
            (json!("600.5"), 60_050),
            (json!("0.01"), 1),
            (json!(0.29), 29),
            (json!(1.15), 115),
            (json!(8.2), 820),
            (json!("10000000000"), MAX_MINOR),
            (serde_json::from_str("1e3").unwrap(), 100_000),
            (json!(9_999_999_999.99), 999_999_999_999),
        ];
        for (value, minor) in accepted {
            assert_eq!(parse_amount(&value), Ok(minor), "{value}");
        }
        let refused = [
            (json!(600.005), TooFine),
            (json!("600.005"), TooFine),
            (json!("600.500"), TooFine),
            (json!(0.1 + 0.2), TooFine),
            (json!("1e3"), NotDecimal),
            (json!("６００"), NotDecimal),
            (json!("６.5"), NotDecimal),
            (json!(" 600"), NotDecimal),
            (json!("600 "), NotDecimal),
            (json!("600\n"), NotDecimal),
            (json!("+5"), NotDecimal),
            (json!("0x10"), NotDecimal),
            (json!("1,000"), NotDecimal),
            (json!("1_000"), NotDecimal),
            (json!("¥600"), NotDecimal),
            (json!("600RMB"), NotDecimal),
            (json!("0600"), NotDecimal),
            (json!(".5"), NotDecimal),
            (json!("5."), NotDecimal),
            (json!("1.2.3"), NotDecimal),
            (json!("1.-5"), NotDecimal),
            (json!("NaN"), NotDecimal),
            (json!(""), NotDecimal),
            (json!("-"), NotDecimal),
            (json!(true), NotDecimal),
            (json!(null), NotDecimal),
            (json!([600]), NotDecimal),
            (json!({"amount": 600}), NotDecimal),
            (json!(0), NotPositive),
            (json!("0.00"), NotPositive),
            (json!(-5), NotPositive),
            (json!("-5"), NotPositive),
            (json!(-0.0), NotPositive),
            (json!("10000000000.01"), TooLarge),
            (json!(u64::MAX), TooLarge),
            (json!("99999999999999999999999999"), TooLarge),
            (json!(1e300), NotDecimal),
        ];
        for (value, why) in refused {
            assert_eq!(parse_amount(&value), Err(why), "{value}");
        }
    }

    #[test]
    fn money_on_the_command_line() {
        let money = parse_money_arg("500RMB").unwrap();
        assert_eq!((money.minor, money.currency.as_str()), (50_000, "RMB"));
        assert_eq!(parse_money_arg("0RMB").unwrap().minor, 0);
        for bad in [
            "", "RMB", "500", "500rmb", "500 RMB", "-5RMB", "¥500", "500元", "5元RMB",
        ] {
            assert!(parse_money_arg(bad).is_err(), "{bad}");
        }
        for (minor, text) in [
            (50_000, "500"),
            (60_050, "600.5"),
            (60_005, "600.05"),
            (1, "0.01"),
            (0, "0"),
            (-150, "-1.5"),
        ] {
            assert_eq!(format_minor(minor), text);
        }
        assert_eq!(format_minor(i64::MIN), "-92233720368547758.08");
    }

    #[test]
    fn the_day_turns_at_the_actors_midnight() {
        let shanghai = zone("asia/shanghai");
        assert_eq!(shanghai.name(), "Asia/Shanghai");
        let midnight = at("2026-04-11T16:00:00Z");
        assert_eq!(day_of(midnight - 1, &shanghai), date(2026, 4, 11));
        assert_eq!(day_of(midnight, &shanghai), date(2026, 4, 12));
        assert_eq!(day_of(midnight, &Zone::default()), date(2026, 4, 11));
        assert_eq!(local_hour_weekday(midnight - 1, &shanghai), (23, 6));
        assert_eq!(local_hour_weekday(midnight, &shanghai), (0, 7));
        for moment in [i64::MIN, i64::MAX] {
            let _ = (
                day_of(moment, &shanghai),
                local_hour_weekday(moment, &shanghai),
            );
            let _ = change_zone(&shanghai, "UTC", moment).unwrap();
        }
    }

    #[test]
    fn days_of_23_and_25_hours_are_one_day() {
        let york = zone("America/New_York");
        // 2026-03-08 loses an hour, 2026-11-01 gains one.
        for (start, hours, day) in [
            ("2026-03-08T05:00:00Z", 23, date(2026, 3, 8)),
            ("2026-11-01T04:00:00Z", 25, date(2026, 11, 1)),
        ] {
            let start = at(start);
            assert_eq!(day_of(start - 1, &york), day.yesterday().unwrap());
            for hour in 0..hours {
                assert_eq!(day_of(start + hour * HOUR, &york), day, "hour {hour}");
            }
            assert_eq!(day_of(start + hours * HOUR, &york), day.tomorrow().unwrap());
        }
        assert_eq!(
            local_hour_weekday(at("2026-11-01T06:30:00Z"), &york),
            (1, 7)
        );
    }

    #[test]
    fn a_change_of_zone_never_opens_a_day_early() {
        let names = [
            "UTC",
            "Asia/Shanghai",
            "America/New_York",
            "Pacific/Auckland",
            "Asia/Kathmandu",
            "America/Los_Angeles",
            "Africa/Cairo",
            "Europe/London",
        ];
        for old in names {
            for new in names.into_iter().filter(|new| *new != old) {
                for start in ["2026-04-11T00:30:00Z", "2026-10-31T15:59:59Z"] {
                    let start = at(start);
                    for hour in 0..24 {
                        one_change(&zone(old), new, start + hour * HOUR);
                    }
                }
            }
        }
    }

    fn one_change(old: &Zone, new: &str, now: i64) {
        let changed = change_zone(old, new, now).unwrap();
        let target = zone(new);
        let from = changed.from_unix() * 1000;
        assert!(from > now);
        // Not before the day being spent has ended, in either zone's eyes.
        assert_ne!(day_of(from, old), day_of(now, old));
        assert_ne!(day_of(from, &target), day_of(now, &target));
        let mut last = day_of(now, &changed);
        assert_eq!(last, day_of(now, old));
        for step in 0..(72 * 4) {
            let moment = now + step * HOUR / 4;
            let day = day_of(moment, &changed);
            // Days follow each other; none comes twice, none is opened before its zone opens it.
            assert!(day >= last, "{old:?} → {new} at {now}: {last} then {day}");
            let counting = if moment < from { old } else { &target };
            assert_eq!(day, day_of(moment, counting));
            last = day;
        }
    }

    #[test]
    fn going_east_and_west_by_hand() {
        // Monday 10:00 in New York is Monday 22:00 in Shanghai. Shanghai's Tuesday must wait until
        // New York's Monday is over.
        let now = at("2026-04-13T14:00:00Z");
        let east = change_zone(&zone("America/New_York"), "Asia/Shanghai", now).unwrap();
        assert_eq!(east.from_unix() * 1000, at("2026-04-14T04:00:00Z"));
        assert_eq!(day_of(at("2026-04-13T16:00:00Z"), &east), date(2026, 4, 13));
        assert_eq!(day_of(at("2026-04-14T04:00:00Z"), &east), date(2026, 4, 14));
        // Monday 10:00 in Shanghai is Sunday 22:00 in New York: Monday goes on there, on the same
        // budget, until New York's Tuesday.
        let now = at("2026-04-13T02:00:00Z");
        let west = change_zone(&zone("Asia/Shanghai"), "America/New_York", now).unwrap();
        assert_eq!(west.from_unix() * 1000, at("2026-04-13T16:00:00Z"));
        assert_eq!(day_of(at("2026-04-13T16:00:00Z"), &west), date(2026, 4, 13));
        assert_eq!(day_of(at("2026-04-14T03:59:59Z"), &west), date(2026, 4, 13));
        assert_eq!(day_of(at("2026-04-14T04:00:00Z"), &west), date(2026, 4, 14));
    }

    #[test]
    fn changing_there_and_back_gains_nothing() {
        let now = at("2026-04-13T14:00:00Z");
        let york = zone("America/New_York");
        let east = change_zone(&york, "Asia/Shanghai", now).unwrap();
        let back = change_zone(&east, "America/New_York", now + HOUR).unwrap();
        for hour in 0..48 {
            let moment = now + hour * HOUR;
            assert_eq!(day_of(moment, &back), day_of(moment, &york));
        }
        // A pending change is replaced, and the zone that counts today goes on counting today.
        let other = change_zone(&east, "Europe/London", now + HOUR).unwrap();
        assert_eq!(other.previous(), Some("America/New_York"));
        assert_eq!(change_zone(&york, "america/new_york", now).unwrap(), york);
    }

    #[test]
    fn a_clock_set_back_finds_the_same_day_again() {
        let now = at("2026-04-13T14:00:00Z");
        let east = change_zone(&zone("America/New_York"), "Asia/Shanghai", now).unwrap();
        let after = east.from_unix() * 1000 + HOUR;
        assert_eq!(day_of(after, &east), date(2026, 4, 14));
        assert_eq!(day_of(now, &east), date(2026, 4, 13));
        assert_eq!(day_of(after, &east), date(2026, 4, 14));
    }

    #[test]
    fn only_zones_that_exist_come_out_of_a_row() {
        let zone = Zone::new("Asia/Shanghai", 5, Some("UTC")).unwrap();
        let row = serde_json::to_string(&zone).unwrap();
        assert_eq!(
            row,
            r#"{"name":"Asia/Shanghai","from_unix":5,"previous":"UTC"}"#
        );
        assert_eq!(serde_json::from_str::<Zone>(&row).unwrap(), zone);
        for bad in ["Mars/Olympus", "", "Etc/Unknown", "../UTC", "+08:00"] {
            assert!(Zone::new(bad, 0, None).is_err(), "{bad}");
            assert!(Zone::new("UTC", 0, Some(bad)).is_err(), "{bad}");
            let row = json!({"name": bad, "from_unix": 0});
            assert!(serde_json::from_value::<Zone>(row).is_err(), "{bad}");
        }
    }
}
