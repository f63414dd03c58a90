//! A vendor that spends for one actor, through the whole authority over a real folder's ledger,
//! vault and keys, with a clock that the test moves.

use super::support::{House, TRAVEL_AND_SPEND, wait};
use agentkeys::authority::admit::{Header, Knock, Wants};
use agentkeys::authority::calls::admin::{ActorUpdate, AdminCall};
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
use serde_json::{Map, Value};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

/// A wall clock that says what the test set it to, and a monotonic one that only goes on.
#[derive(Default)]
pub(crate) struct Hand {
    now_ms: AtomicI64,
    ticks: AtomicU64,
}

impl Hand {
    pub(crate) fn set(&self, now_ms: i64) {
        self.now_ms.store(now_ms, Ordering::SeqCst);
    }
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
pub(crate) struct Shop {
    /// Keeps the folder there.
    _house: House,
    folder: Folder,
    hand: Arc<Hand>,
    token: String,
}

/// The actor whose money it is.
const ACTOR: &str = "O_buyer";

pub(crate) const MINUTE: i64 = 60_000;
pub(crate) const HOUR: i64 = 60 * MINUTE;

/// Unix milliseconds of a moment. All are before the tokens of a test were made: those must not
/// run out.
pub(crate) fn at(moment: &str) -> i64 {
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
    pub(crate) fn in_zone(zone: &str) -> Self {
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

    pub(crate) fn set(&self, moment: &str) {
        self.set_ms(at(moment));
    }

    pub(crate) fn set_ms(&self, now_ms: i64) {
        self.hand.set(now_ms);
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
    pub(crate) fn check(&self, amount: u64, reference: Option<&str>) -> Value {
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
    pub(crate) fn spends(&self, amount: u64) {
        let said = self.check(amount, None);
        assert_eq!(said["verdict"], "accept", "{said} at {}", self.clock());
    }

    /// That what is left of the day is less.
    #[track_caller]
    pub(crate) fn refuses(&self, amount: u64) {
        let said = self.check(amount, None);
        let reason = "daily_spend_cap_exceeded";
        assert_eq!(said["reason"], reason, "{said} at {}", self.clock());
    }

    fn clock(&self) -> String {
        let now = jiff::Timestamp::from_millisecond(self.hand.now_ms());
        now.unwrap().to_string()
    }

    /// The day by the clock, and what is set aside on it.
    pub(crate) fn day(&self) -> (String, i64) {
        let actor = ACTOR.to_owned();
        let day = self.operate(AdminCall::BudgetShow { actor });
        let name = day["day"].as_str().unwrap().to_owned();
        (name, day["spent_minor"].as_i64().unwrap() / 100)
    }

    /// Counts the actor's days in another zone; what it is told about it.
    pub(crate) fn move_to(&self, zone: &str) -> Value {
        self.operate(AdminCall::ActorUpdate(ActorUpdate {
            actor: ACTOR.to_owned(),
            display_name: None,
            time_zone: Some(zone.to_owned()),
        }))
    }

    /// The zone that the day is counted in by the clock.
    pub(crate) fn zone(&self) -> String {
        let actor = ACTOR.to_owned();
        let day = self.operate(AdminCall::BudgetShow { actor });
        day["time_zone"].as_str().unwrap().to_owned()
    }

    /// What a command of the operator's would answer.
    fn operate(&self, call: AdminCall) -> Value {
        let operator = self.folder.operator();
        let call = Call::Admin(Box::new(call));
        let outcome = wait(self.folder.authority.perform(&operator, call)).unwrap();
        outcome.answer.to_json()
    }

    /// A cap for a payment, of a new reservation or of an earlier decision's.
    pub(crate) fn mint(&self, params: Value) -> Value {
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

    pub(crate) fn redeem(&self, cap: &str, amount: u64) -> Result<Value, Cause> {
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
    pub(crate) fn rows(&self, tool: &str) -> Vec<Value> {
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
