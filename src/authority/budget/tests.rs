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
fn a_zone_says_which_counts_and_which_will() {
    let now = at("2026-04-13T14:00:00Z");
    let east = change_zone(&zone("America/New_York"), "Asia/Shanghai", now).unwrap();
    let from = at("2026-04-14T04:00:00Z");
    for early in [now, from - 1, i64::MIN] {
        assert_eq!(east.name_at(early), "America/New_York");
        assert_eq!(east.next_at(early), Some(("Asia/Shanghai", from / 1000)));
    }
    for late in [from, i64::MAX] {
        assert_eq!(
            (east.name_at(late), east.next_at(late)),
            ("Asia/Shanghai", None)
        );
    }
    let only = Zone::new("Asia/Shanghai", from, None).unwrap();
    assert_eq!(
        (only.name_at(now), only.next_at(now)),
        ("Asia/Shanghai", None)
    );
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
