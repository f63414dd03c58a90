//! Days and clocks: money accumulates over the actor's own day, and nothing is spent twice because
//! the clock moved.

use super::shop::{HOUR, MINUTE, Shop, at};
use agentkeys::authority::Cause;
use serde_json::json;

const CHECK: &str = "agentkeys.permission.check";

#[test]
fn a_day_accumulates_from_local_midnight_to_local_midnight() {
    let shop = Shop::in_zone("Asia/Shanghai");
    // 00:00 in Shanghai is 16:00 UTC of the day before.
    let moments = [
        "2025-04-10T15:59:59.999Z",
        "2025-04-10T16:00:00Z",
        "2025-04-11T00:00:00Z",
        "2025-04-11T04:00:00Z",
        "2025-04-11T15:59:59.999Z",
        "2025-04-11T16:00:00Z",
    ];
    let [eve, first, utc_midnight, noon, last, next] = moments;
    shop.set(eve);
    shop.spends(500);
    shop.set(first);
    assert_eq!(shop.day(), ("2025-04-11".to_owned(), 0));
    shop.spends(400);
    shop.set(utc_midnight);
    shop.refuses(101);
    shop.set(noon);
    shop.spends(100);
    shop.set(last);
    shop.refuses(1);
    assert_eq!(shop.day(), ("2025-04-11".to_owned(), 500));
    shop.set(next);
    shop.spends(500);
    shop.refuses(1);
    assert_eq!(shop.day(), ("2025-04-12".to_owned(), 500));

    let rows = shop.rows(CHECK);
    let said: Vec<_> = rows.iter().map(|r| at(r["ts"].as_str().unwrap())).collect();
    let clock = [
        eve,
        first,
        utc_midnight,
        noon,
        last,
        next,
        // The last one was refused at the same moment.
        next,
    ];
    assert_eq!(said, clock.map(at));
}

#[test]
fn days_of_23_and_25_hours_have_one_budget() {
    for (start, hours, day, next) in [
        ("2025-03-09T05:00:00Z", 23, "2025-03-09", "2025-03-10"),
        ("2025-11-02T04:00:00Z", 25, "2025-11-02", "2025-11-03"),
    ] {
        let shop = Shop::in_zone("America/New_York");
        let start = at(start);
        shop.set_ms(start - 1);
        shop.spends(500);
        shop.set_ms(start);
        shop.spends(499);
        for hour in 1..hours {
            shop.set_ms(start + hour * HOUR);
            shop.refuses(2);
            assert_eq!(shop.day(), (day.to_owned(), 499), "hour {hour}");
        }
        shop.spends(1);
        let end = start + hours * HOUR;
        shop.set_ms(end - 1);
        shop.refuses(1);
        shop.set_ms(end);
        assert_eq!(shop.day(), (next.to_owned(), 0));
        shop.spends(500);
        shop.refuses(1);
        // Back into the long or the short day, which is spent.
        shop.set_ms(end - 1);
        shop.refuses(1);
    }
}

#[test]
fn a_clock_set_back_finds_what_was_spent() {
    let shop = Shop::in_zone("Asia/Shanghai");
    let noon = at("2025-04-11T04:00:00Z");
    // Minutes back: the day goes on with what is left of it.
    shop.set_ms(noon);
    shop.spends(300);
    let moved = [noon - 10 * MINUTE, noon - 11 * HOUR, noon];
    for now in moved {
        shop.set_ms(now);
        shop.refuses(201);
        assert_eq!(shop.day().1, 300);
    }
    shop.set_ms(noon - MINUTE);
    shop.spends(200);
    for now in moved {
        shop.set_ms(now);
        shop.refuses(1);
    }
    // Over midnight and back: each day was spent once, whichever came first.
    let midnight = at("2025-04-11T16:00:00Z");
    shop.set_ms(midnight + 10 * MINUTE);
    shop.spends(400);
    shop.set_ms(midnight - 5 * MINUTE);
    shop.refuses(1);
    assert_eq!(shop.day(), ("2025-04-11".to_owned(), 500));
    shop.set_ms(midnight + 5 * MINUTE);
    shop.refuses(101);
    shop.spends(100);
    shop.set_ms(midnight + 23 * HOUR);
    shop.refuses(1);
    assert_eq!(shop.day(), ("2025-04-12".to_owned(), 500));

    // The record has them in the order of the commits, each with what the clock said then.
    let rows = shop.rows(CHECK);
    let said: Vec<_> = rows.iter().map(|r| at(r["ts"].as_str().unwrap())).collect();
    let mut clock = vec![noon];
    clock.extend(moved);
    clock.push(noon - MINUTE);
    clock.extend(moved);
    for minutes in [10, -5, 5, 5, 23 * 60] {
        clock.push(midnight + minutes * MINUTE);
    }
    assert_eq!(said, clock);
    let places: Vec<_> = rows.iter().map(|r| r["seq"].as_u64().unwrap()).collect();
    assert!(places.is_sorted());
}

#[test]
fn a_reference_repeated_after_the_clock_moved_reserves_nothing_more() {
    let shop = Shop::in_zone("Asia/Shanghai");
    shop.set("2025-04-11T04:00:00Z");
    let first = shop.check(300, Some("order"));
    for moment in [
        "2025-04-11T03:50:00Z",
        "2025-04-10T16:00:00Z",
        "2025-04-11T15:59:59Z",
    ] {
        shop.set(moment);
        let again = shop.check(300, Some("order"));
        assert_eq!(again["decision_id"], first["decision_id"]);
        assert_eq!(shop.day(), ("2025-04-11".to_owned(), 300));
        let other = shop.check(299, Some("order"));
        assert_eq!(other["reason"], "reference_conflict");
    }
}

#[test]
fn a_payment_is_made_once_however_the_clock_moves() {
    let shop = Shop::in_zone("Asia/Shanghai");
    let midnight = at("2025-04-11T16:00:00Z");
    let before = midnight - 20_000;
    shop.set_ms(before);
    let minted = shop.mint(json!({"amount_rmb": 200}));
    let cap = minted["cap"].as_str().unwrap();
    let first = shop.redeem(cap, 200).unwrap();
    // Its life is over, begins again, has not begun: it stays spent on one thing.
    for (moved, expected) in [
        (61_000, Err(Cause::CapExpired)),
        (30_000, Ok(first.clone())),
        (-10 * MINUTE, Err(Cause::CapInvalid)),
        (0, Ok(first.clone())),
    ] {
        shop.set_ms(before + moved);
        assert_eq!(shop.redeem(cap, 200), expected, "{moved} ms");
        if expected.is_ok() {
            assert_eq!(shop.redeem(cap, 100), Err(Cause::CapSpent));
        }
    }
    shop.set_ms(before);
    assert_eq!(shop.day(), ("2025-04-11".to_owned(), 200));
    // A decision of one day is no money on another, before or after.
    let held = shop.check(300, None);
    let decision = json!({"decision_id": held["decision_id"]});
    for day in [midnight, midnight - 25 * HOUR] {
        shop.set_ms(day);
        assert_eq!(shop.mint(decision.clone())["reason"], "decision_not_found");
        assert_eq!(shop.day().1, 0);
    }
    shop.set_ms(before);
    assert_eq!(shop.mint(decision)["ok"], true);
    let rows = shop.rows("cap.redeem");
    let redeemed = rows.iter().filter(|r| r["reason"] == "redeemed");
    assert_eq!(redeemed.count(), 1);
}
