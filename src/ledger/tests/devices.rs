//! Pairing codes, devices and the rings that sign.

use super::*;
use crate::authority::device::{DeviceId, DeviceRow, PairingRow};
use crate::authority::ports::SealedKey;

fn pairing(byte: u8, expires_ms: i64) -> Effect {
    Effect::AddPairing {
        pairing: row_of(byte, expires_ms),
        at_ms: NOW,
    }
}

fn row_of(byte: u8, expires_ms: i64) -> PairingRow {
    PairingRow {
        code_hash: [byte; 32],
        id: format!("pair_{byte}"),
        parent: omni(1),
        vendor: "acme".to_owned(),
        rights: Binding {
            read: NamespaceSet::NONE.with(Namespace::Travel),
            daily_cap_minor: Some(7),
            revision: 0,
            ..binding(0, &["payment.*"])
        },
        jwt_ttl_ms: 60_000,
        expires_ms,
        used_ms: None,
    }
}

fn used(byte: u8) -> Effect {
    Effect::UsePairing {
        code_hash: [byte; 32],
        at_ms: NOW,
    }
}

fn open(byte: u8, vendor: &str, at_ms: i64) -> Test {
    Test::PairingOpen {
        code_hash: [byte; 32],
        vendor: vendor.to_owned(),
        at_ms,
    }
}

fn bear() -> DeviceId {
    "bear:01".parse().unwrap()
}

fn device(generation: u32) -> DeviceRow {
    DeviceRow {
        vendor: "acme".to_owned(),
        device_id: bear(),
        actor: omni(2),
        token_id: "tok".to_owned(),
        generation,
        paired_ms: NOW,
        removed_ms: None,
    }
}

fn is(row: Option<&DeviceRow>) -> Test {
    Test::DeviceIs {
        vendor: "acme".to_owned(),
        id: bear(),
        state: row.map(DeviceRow::state),
    }
}

#[tokio::test]
async fn a_code_is_open_to_its_vendor_until_it_is_used_or_over() {
    let f = Fixture::new().await;
    f.done(vec![pairing(1, NOW + 10)]).await;
    let found = f.ledger.pairing(&[1; 32]).await.unwrap().unwrap();
    assert_eq!(found, row_of(1, NOW + 10));
    assert!(f.ledger.pairing(&[2; 32]).await.unwrap().is_none());
    assert!(f.holds(open(1, "acme", NOW + 9)).await);
    assert!(!f.holds(open(1, "acme", NOW + 10)).await, "over");
    assert!(!f.holds(open(1, "other", NOW)).await, "another vendor's");
    assert!(!f.holds(open(2, "acme", NOW)).await, "unknown");
    f.done(vec![used(1)]).await;
    assert!(!f.holds(open(1, "acme", NOW)).await, "used");
    assert!(f.fails(vec![used(1)]).await && f.fails(vec![used(2)]).await);
}

#[tokio::test]
async fn a_registration_that_fails_in_one_part_leaves_nothing_of_the_others() {
    let f = Fixture::new().await;
    f.done(vec![pairing(1, NOW + 10), Effect::SetDevice(device(3))])
        .await;
    let mut new = token("jwt");
    new.device = Some(bear());
    // The generation does not grow, so the last part fails.
    let parts = vec![
        used(1),
        actor(9, "O_new_009"),
        set_binding(9, "acme", binding(1, &["payment.spend"])),
        Effect::AddToken(new.clone()),
        Effect::SetDevice(device(3)),
    ];
    assert!(f.fails(parts).await);
    assert!(f.holds(open(1, "acme", NOW)).await);
    let name = Some(crate::authority::ports::ActorName::Omni(omni(9)));
    let found = f.ledger.admission("jwt", name).await.unwrap();
    assert!(found.token.is_none() && found.actor.is_none());
    f.done(vec![Effect::AddToken(new)]).await;
    let found = f.ledger.admission("jwt", None).await.unwrap();
    assert_eq!(found.token.unwrap().device, Some(bear()));
}

#[tokio::test]
async fn codes_that_are_long_over_go_with_the_next_one() {
    let f = Fixture::new().await;
    let day = 24 * 60 * 60 * 1000;
    f.done(vec![pairing(1, NOW - day - 1), pairing(2, NOW - day)])
        .await;
    f.done(vec![pairing(3, NOW + 1)]).await;
    let f = &f;
    let there = |byte| async move { f.ledger.pairing(&[byte; 32]).await.unwrap().is_some() };
    assert!(!there(1).await && there(2).await && there(3).await);
}

#[tokio::test]
async fn a_device_is_what_was_written_last_and_its_generation_only_grows() {
    let f = Fixture::new().await;
    assert!(f.holds(is(None)).await);
    f.done(vec![Effect::SetDevice(device(0))]).await;
    assert!(f.holds(is(Some(&device(0)))).await && !f.holds(is(None)).await);
    assert!(f.fails(vec![Effect::SetDevice(device(0))]).await);
    let remove = Effect::RemoveDevice {
        vendor: "acme".to_owned(),
        id: bear(),
        at_ms: NOW + 5,
    };
    f.done(vec![remove.clone()]).await;
    assert!(!f.holds(is(Some(&device(0)))).await, "it was removed");
    assert!(f.fails(vec![remove]).await, "once");
    let found = f.ledger.device("acme", &bear()).await.unwrap().unwrap();
    assert_eq!(found.removed_ms, Some(NOW + 5));
    f.done(vec![Effect::SetDevice(device(1))]).await;
    assert_eq!(
        f.ledger.device("acme", &bear()).await.unwrap(),
        Some(device(1))
    );
    assert_eq!(f.ledger.device("other", &bear()).await.unwrap(), None);
    let listed = f.ledger.devices(Some("acme")).await.unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].device, device(1));
    assert_eq!(listed[0].actor.alias.as_str(), "O_lily_002");
    assert_eq!(listed[0].token.id, "tok");
    assert!(f.ledger.devices(Some("other")).await.unwrap().is_empty());
    assert_eq!(f.ledger.devices(None).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_binding_that_stands_is_one_without_rights() {
    let f = Fixture::new().await;
    let bound = || async {
        let name = Some(crate::authority::ports::ActorName::Omni(omni(1)));
        f.ledger.admission("tok", name).await.unwrap().binding
    };
    f.done(vec![set_binding(1, "acme", binding(1, &[]))]).await;
    assert_eq!(bound().await, None);
    let standing = Binding {
        standing: true,
        ..binding(2, &[])
    };
    f.done(vec![set_binding(1, "acme", standing.clone())]).await;
    assert_eq!(bound().await, Some(standing));
    f.done(vec![set_binding(1, "acme", binding(3, &[]))]).await;
    assert_eq!(bound().await, None);
}

#[tokio::test]
async fn a_ring_has_a_newest_key() {
    let f = Fixture::new().await;
    let newest = |kid: Option<&str>| Test::NewestKeyIs {
        purpose: "actor-jwt",
        kid: kid.map(str::to_owned),
    };
    let key = |purpose: &str, kid: &str, created_ms| {
        Effect::AddKey(SealedKey {
            purpose: purpose.to_owned(),
            kid: kid.to_owned(),
            sealed: vec![1],
            created_ms,
        })
    };
    f.done(vec![key("cap", "c", 9)]).await;
    assert!(f.holds(newest(None)).await);
    f.done(vec![key("actor-jwt", "a", 5)]).await;
    // Written later, whatever the clock says by then.
    f.done(vec![key("actor-jwt", "b", 4)]).await;
    assert!(f.holds(newest(Some("b"))).await);
    assert!(!f.holds(newest(Some("a"))).await && !f.holds(newest(None)).await);
    let ring = f.ledger.keys("actor-jwt").await.unwrap();
    assert_eq!(ring.last().map(|k| k.kid.as_str()), Some("b"));
    let found = f.ledger.key("actor-jwt", "a").await.unwrap();
    assert_eq!(found.unwrap().kid, "a");
    assert!(f.ledger.key("actor-jwt", "c").await.unwrap().is_none());
}
