//! An actor that moves: a new zone starts at the later of both midnights, in the very day that
//! reservations are counted on, so that no budget is opened early.

use super::shop::{HOUR, MINUTE, Shop, at};
use serde_json::json;

#[test]
fn a_new_zone_in_the_east_waits_until_the_day_that_is_spent_is_over() {
    let shop = Shop::in_zone("America/New_York");
    // Monday 10:00 in New York, 22:00 in Shanghai.
    shop.set("2025-04-14T14:00:00Z");
    shop.spends(400);
    let told = shop.move_to("Asia/Shanghai");
    let next = json!({"time_zone": "Asia/Shanghai", "from": "2025-04-15T04:00:00.000Z"});
    assert_eq!(told["next_time_zone"], next);
    assert_eq!(told["time_zone"], "America/New_York");
    // Shanghai's Tuesday has begun; New York's Monday has not ended.
    for moment in ["2025-04-14T16:00:00Z", "2025-04-15T03:59:59.999Z"] {
        shop.set(moment);
        assert_eq!(shop.zone(), "America/New_York");
        assert_eq!(shop.day(), ("2025-04-14".to_owned(), 400));
        shop.refuses(101);
    }
    shop.spends(100);
    shop.set("2025-04-15T04:00:00Z");
    assert_eq!(shop.zone(), "Asia/Shanghai");
    assert_eq!(shop.day(), ("2025-04-15".to_owned(), 0));
    shop.spends(500);
    shop.set("2025-04-15T15:59:59.999Z");
    shop.refuses(1);
    shop.set("2025-04-15T16:00:00Z");
    shop.spends(500);
    // The clock goes back to where the old zone counted: its day is spent.
    shop.set("2025-04-15T03:00:00Z");
    assert_eq!(shop.zone(), "America/New_York");
    shop.refuses(1);
    let rows = shop.rows("actor.update");
    assert_eq!((rows.len(), &rows[0]["op_kind"]), (1, &json!(122)));
}

#[test]
fn a_new_zone_in_the_west_goes_on_with_the_budget_of_its_day() {
    let shop = Shop::in_zone("Asia/Shanghai");
    // Monday 10:00 in Shanghai, Sunday 22:00 in New York.
    shop.set("2025-04-14T02:00:00Z");
    shop.spends(400);
    let told = shop.move_to("America/New_York");
    assert_eq!(told["next_time_zone"]["from"], "2025-04-14T16:00:00.000Z");
    // New York's own Monday begins at 04:00, Shanghai's Monday ends at 16:00; in New York that is
    // still Monday, until 04:00.
    for moment in [
        "2025-04-14T04:00:00Z",
        "2025-04-14T15:59:59.999Z",
        "2025-04-14T16:00:00Z",
        "2025-04-15T03:59:59.999Z",
    ] {
        shop.set(moment);
        assert_eq!(shop.day(), ("2025-04-14".to_owned(), 400), "{moment}");
        shop.refuses(101);
    }
    assert_eq!(shop.zone(), "America/New_York");
    shop.set("2025-04-15T04:00:00Z");
    shop.spends(500);
    assert_eq!(shop.day(), ("2025-04-15".to_owned(), 500));
}

#[test]
fn changing_zones_again_and_again_opens_no_day_early() {
    let shop = Shop::in_zone("America/New_York");
    let start = at("2025-04-14T04:00:00Z");
    let zones = [
        "Asia/Shanghai",
        "Pacific/Auckland",
        "Europe/London",
        "America/New_York",
    ];
    // A whole Monday in New York: every hour another zone is asked for, and all is spent.
    shop.set_ms(start);
    shop.spends(500);
    for hour in 0..24 {
        shop.set_ms(start + hour * HOUR + MINUTE);
        shop.move_to(zones[usize::try_from(hour).unwrap() % 3]);
        assert_eq!(shop.zone(), "America/New_York", "hour {hour}");
        shop.refuses(1);
    }
    // London was asked for last, in its own Tuesday: it starts when that is over.
    shop.set_ms(start + 24 * HOUR);
    assert_eq!(shop.day(), ("2025-04-15".to_owned(), 0));
    shop.spends(500);
    shop.set("2025-04-15T22:59:59.999Z");
    assert_eq!(shop.zone(), "America/New_York");
    shop.refuses(1);
    shop.set("2025-04-15T23:00:00Z");
    assert_eq!(shop.zone(), "Europe/London");
    assert_eq!(shop.day(), ("2025-04-16".to_owned(), 0));
    // A change that has not started is taken back by naming the zone that counts.
    let told = shop.move_to("Asia/Shanghai");
    assert_eq!(told["next_time_zone"]["time_zone"], "Asia/Shanghai");
    let told = shop.move_to("Europe/London");
    assert_eq!(told.get("next_time_zone"), None, "{told}");
    shop.set("2025-04-16T22:59:59.999Z");
    assert_eq!(shop.day(), ("2025-04-16".to_owned(), 0));
    assert_eq!(shop.zone(), "Europe/London");
}
