//! Time: how long a code can be used, and a JWT.

use super::text;
use crate::it::shop::Hand;
use crate::it::support::{House, wait};
use agentkeys::authority::admit::{Header, Knock, Wants};
use agentkeys::authority::calls::admin::{AdminCall, DeviceRequest, GrantRequest, PairRequest};
use agentkeys::authority::calls::device::DeviceCall;
use agentkeys::authority::calls::{Answer, Call};
use agentkeys::authority::principal::Principal;
use agentkeys::authority::words::{Door, Namespace, NamespaceSet};
use agentkeys::authority::{Cause, Limits};
use agentkeys::folder::Folder;
use agentkeys::secret::Secret;
use serde_json::Value;
use std::sync::Arc;

/// The authority over a demo house at a time of its own.
struct Hall {
    house: House,
    folder: Folder,
    clock: Arc<Hand>,
}

impl Hall {
    fn at(now_ms: i64) -> Self {
        let house = House::demo();
        let clock = Arc::new(Hand::default());
        clock.set(now_ms);
        let dir = house.dir();
        let folder = Folder::open_with(&dir, Limits::default(), clock.clone());
        Self {
            folder: wait(folder).unwrap(),
            house,
            clock,
        }
    }

    fn admit(&self, bearer: &str, wants: Wants<'_>) -> Result<Principal, Cause> {
        let bearer = format!("Bearer {bearer}");
        let knock = Knock {
            authorization: Header::One(&bearer),
            actor: Header::Absent,
            argument: None,
            asked: "test",
            found: None,
            seen: None,
            source: "test",
            protocol: "test",
            door: Door::Http,
        };
        wait(self.folder.authority.admit(&knock, wants)).map_err(|turned| turned.refusal.cause)
    }

    fn pair(&self, ttl_ms: i64) -> String {
        let rights = GrantRequest {
            actor: "O_kevin_001".to_owned(),
            vendor: "magiclick".to_owned(),
            read: NamespaceSet::NONE.with(Namespace::Travel),
            ..GrantRequest::default()
        };
        let call = AdminCall::Pair(Box::new(PairRequest { rights, ttl_ms }));
        let operator = self.folder.operator();
        let call = Call::Admin(Box::new(call));
        let done = self.folder.authority.perform(&operator, call);
        text(&wait(done).unwrap().answer.to_json(), "pairing_code")
    }

    fn register(&self, code: &str) -> Result<Value, Cause> {
        let vendor = self.admit(&self.house.token("magiclick"), Wants::Vendor)?;
        let call = DeviceCall::Register {
            device_id: "bear-01".to_owned(),
            pairing_code: Secret::new(code.to_owned()),
        };
        let done = self
            .folder
            .authority
            .perform(&vendor, Call::Device(Box::new(call)));
        match wait(done).map_err(|refusal| refusal.cause)?.answer {
            Answer::Json(answer) => Ok(answer),
            other => panic!("{other:?}"),
        }
    }
}

/// A device whose JWT was signed so many hours ago, for one.
pub(super) fn registered_hours_ago(house: &House, hours: i64, vendor: &str, id: &str) -> Value {
    let then = jiff::Timestamp::now().as_millisecond() - hours * 3_600_000;
    let clock = Arc::new(Hand::default());
    clock.set(then);
    let dir = house.dir();
    let folder = wait(Folder::open_with(&dir, Limits::default(), clock)).unwrap();
    let request = DeviceRequest {
        vendor: vendor.to_owned(),
        device_id: id.to_owned(),
        parent: None,
        rights: None,
        ttl_ms: 3_600_000,
    };
    let call = Call::Admin(Box::new(AdminCall::DeviceRegister(Box::new(request))));
    let operator = folder.operator();
    let done = wait(folder.authority.perform(&operator, call)).unwrap();
    done.answer.to_json()
}

#[test]
fn a_code_lives_ten_minutes_and_a_jwt_as_long_as_it_says() {
    const MINUTE: i64 = 60_000;
    // The demo tokens were made by the machine's clock and live for 90 days. Half a second past a
    // whole one: claims count in seconds.
    let start = jiff::Timestamp::now().as_second() * 1000 + 500;
    let hall = Hall::at(start);
    let at = |ms: i64| hall.clock.set(start + ms);
    at(0);
    let (late, good) = (hall.pair(3_600_000), hall.pair(3_600_000));
    at(10 * MINUTE - 1);
    let bear = hall.register(&good).unwrap();
    at(10 * MINUTE);
    assert_eq!(hall.register(&late).unwrap_err(), Cause::PairingRefused);

    let jwt = text(&bear, "jwt");
    let end: jiff::Timestamp = text(&bear, "expires_at").parse().unwrap();
    let end = end.as_millisecond() - start;
    at(end - 1);
    assert!(hall.admit(&jwt, Wants::VendorForActor).is_ok());
    at(end);
    assert_eq!(
        hall.admit(&jwt, Wants::VendorForActor).unwrap_err(),
        Cause::TokenExpired
    );
    assert!(
        (3_598_000..=3_600_000).contains(&(end - (10 * MINUTE - 1))),
        "{end}"
    );
}
