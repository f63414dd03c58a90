//! Days through the whole authority, with a clock that the test moves: money accumulates over the
//! actor's own day, and nothing is spent twice because the clock moved. The ledger, the vault and
//! the keys are a real folder's.

use super::support::{House, TRAVEL_AND_SPEND, wait};
use agentkeys::authority::admit::{Header, Knock, Wants};
use agentkeys::authority::calls::admin::AdminCall;
use agentkeys::authority::calls::cap::Mint;
use agentkeys::authority::calls::permission::Check;
use agentkeys::authority::calls::spend::{Act, Endpoint};
use agentkeys::authority::calls::{Answer, Call};
use agentkeys::authority::cap::CapOp;
use agentkeys::authority::limits::Rate;
use agentkeys::authority::ports::{Clock, EventFilter};
use agentkeys::authority::words::Door;
use agentkeys::authority::{Cause, Limits};
use agentkeys::folder::Folder;
use serde_json::{Map, Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

/// A wall clock that says what the test set it to, and a monotonic one that only goes on.
#[derive(Default)]
struct Hand {
    now_ms: AtomicI64,
    ticks: AtomicU64,
}

impl Clock for Hand {
    fn now_ms(&self) -> i64 {
        self.now_ms.load(Ordering::SeqCst)
    }

    fn monotonic_us(&self) -> u64 {
        self.ticks.fetch_add(1, Ordering::SeqCst)
    }
}

/// A vendor that may spend 500 a day for one actor, and the authority it asks.
struct Shop {
    /// Keeps the folder there.
    _house: House,
    folder: Folder,
    hand: Arc<Hand>,
    token: String,
}

/// The actor whose money it is.
const ACTOR: &str = "O_buyer";

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;

/// Unix milliseconds of a moment. All are before the tokens of a test were made: those must not
/// run out.
fn at(moment: &str) -> i64 {
    let moment: jiff::Timestamp = moment.parse().unwrap();
    moment.as_millisecond()
}

const ENDLESS: Limits = {
    let none = Rate {
        per_second: 0,
        burst: 0,
    };
    Limits {
        calls: none,
        refusals: none,
    }
};

impl Shop {
    /// An actor whose days are counted in `zone`.
    fn in_zone(zone: &str) -> Self {
        let house = House::init(&[]);
        house.ok(&["actor", "create", ACTOR, "--time-zone", zone]);
        house.ok(&["vendor", "create", "shop", "--rail", "other"]);
        let mut grant = vec!["actor", "grant", ACTOR, "--vendor", "shop"];
        grant.extend(TRAVEL_AND_SPEND);
        house.ok(&grant);
        let token = house.ok(&["vendor", "token", "create"])["token"]
            .as_str()
            .unwrap()
            .to_owned();
        let hand = Arc::new(Hand::default());
        let folder = wait(Folder::open_with(&house.dir(), ENDLESS, hand.clone())).unwrap();
        Self {
            _house: house,
            folder,
            hand,
            token,
        }
    }

    fn set(&self, moment: &str) {
        self.set_ms(at(moment));
    }

    fn set_ms(&self, now_ms: i64) {
        self.hand.now_ms.store(now_ms, Ordering::SeqCst);
    }

    /// The vendor's host calls.
    fn call(&self, call: Call) -> Answer {
        let bearer = format!("Bearer {}", self.token);
        let knock = knock(&bearer, Header::One(ACTOR));
        let authority = &self.folder.authority;
        wait(async {
            let caller = authority.admit(&knock, Wants::VendorForActor).await;
            let outcome = authority.perform(&caller.unwrap(), call).await;
            outcome.unwrap().answer
        })
    }

    /// Asks to spend: the verdict, its reason and its decision.
    fn check(&self, amount: u64, reference: Option<&str>) -> Value {
        let mut params = Map::new();
        params.insert("amount_rmb".to_owned(), amount.into());
        if let Some(reference) = reference {
            params.insert("reference".to_owned(), reference.into());
        }
        let scope = "payment.spend".to_owned();
        let answer = self.call(Call::PermissionCheck(Check { scope, params }));
        answer.to_json()
    }

    #[track_caller]
    fn spends(&self, amount: u64) {
        let said = self.check(amount, None);
        assert_eq!(said["verdict"], "accept", "{said} at {}", self.clock());
    }

    /// That what is left of the day is less.
    #[track_caller]
    fn refuses(&self, amount: u64) {
        let said = self.check(amount, None);
        let reason = "daily_spend_cap_exceeded";
        assert_eq!(said["reason"], reason, "{said} at {}", self.clock());
    }

    fn clock(&self) -> String {
        let now = jiff::Timestamp::from_millisecond(self.hand.now_ms());
        now.unwrap().to_string()
    }

    /// The day by the clock, and what is set aside on it.
    fn day(&self) -> (String, i64) {
        let actor = ACTOR.to_owned();
        let day = self.operate(AdminCall::BudgetShow { actor });
        let name = day["day"].as_str().unwrap().to_owned();
        (name, day["spent_minor"].as_i64().unwrap() / 100)
    }

    /// What a command of the operator's would answer.
    fn operate(&self, call: AdminCall) -> Value {
        let operator = self.folder.operator();
        let call = Call::Admin(Box::new(call));
        let outcome = wait(self.folder.authority.perform(&operator, call)).unwrap();
        outcome.answer.to_json()
    }

    /// A cap for a payment, of a new reservation or of an earlier decision's.
    fn mint(&self, params: Value) -> Value {
        let Value::Object(params) = params else {
            panic!("{params}")
        };
        let op = CapOp::PaymentSpend;
        let mint = Mint {
            op,
            params,
            ttl: None,
        };
        self.call(Call::CapMint(Box::new(mint))).to_json()
    }

    fn redeem(&self, cap: &str, amount: u64) -> Result<Value, Cause> {
        let bearer = format!("Bearer {}", self.token);
        let knock = knock(&bearer, Header::Absent);
        let act = Act::Redeem {
            amount: amount.into(),
        };
        let authority = &self.folder.authority;
        let spent = wait(authority.spend(&knock, Endpoint::Redeem, Ok((cap, act))));
        match spent {
            Ok(outcome) => Ok(outcome.answer.to_json()),
            Err(turned) => Err(turned.refusal.cause),
        }
    }

    /// Rows of a tool, oldest first.
    fn rows(&self, tool: &str) -> Vec<Value> {
        let operator = self.folder.operator();
        let authority = &self.folder.authority;
        let filter = EventFilter {
            tool: Some(tool.to_owned()),
            limit: 1_000,
            ..EventFilter::default()
        };
        wait(async {
            let reading = authority.reading(&operator, None).await.unwrap();
            authority.events(&reading, &filter).await.unwrap()
        })
    }
}

const fn knock<'a>(bearer: &'a str, actor: Header<'a>) -> Knock<'a> {
    Knock {
        authorization: Header::One(bearer),
        actor,
        argument: None,
        asked: "test",
        found: None,
        seen: None,
        source: "test",
        protocol: "test",
        door: Door::Http,
    }
}

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
