//! What effects change, and the guards that stand before them.

use super::*;
use crate::authority::ports::SpendQuery;
use rusqlite::OptionalExtension as _;

async fn cap_row(f: &Fixture, cap_id: &str) -> CapRow {
    f.ledger.cap(&scope(1), cap_id, NOW).await.unwrap().unwrap()
}

fn unspent(cap_id: &str) -> Test {
    Test::CapUnspent {
        cap_id: cap_id.to_owned(),
    }
}

fn live(at_ms: i64) -> Test {
    Test::TokenLive {
        id: "tok".to_owned(),
        at_ms,
    }
}

fn bound(revision: i64, token_id: &str, at_ms: i64) -> Test {
    Test::StillBound {
        scope: scope(1),
        vendor: "acme".to_owned(),
        revision,
        token_id: token_id.to_owned(),
        at_ms,
    }
}

#[tokio::test]
async fn still_bound_is_the_binding_and_the_token_together() {
    let f = Fixture::new().await;
    assert!(!f.holds(bound(0, "tok", NOW)).await, "there is no binding");
    f.done(vec![set_binding(1, "acme", binding(1, &["a"]))])
        .await;
    assert!(f.holds(bound(1, "tok", NOW)).await);
    assert!(!f.holds(bound(2, "tok", NOW)).await, "another revision");
    assert!(!f.holds(bound(1, "other", NOW)).await, "no such token");
    assert!(!f.holds(bound(1, "tok", i64::MAX)).await, "expired");
    f.done(vec![Effect::RevokeToken {
        id: "tok".to_owned(),
        at_ms: NOW,
    }])
    .await;
    assert!(!f.holds(bound(1, "tok", NOW)).await, "revoked");
}

#[tokio::test]
async fn erasing_destroys_the_salt_and_the_next_has_another_epoch() {
    let f = Fixture::new().await;
    let is = |epoch| Test::SaltIs {
        scope: scope(1),
        slot: TRAVEL,
        epoch,
    };
    assert!(f.holds(is(None)).await);
    f.done(vec![use_salt(TRAVEL, 0), put(stored(1, "tok", true))])
        .await;
    assert!(f.holds(is(Some(0))).await && !f.holds(is(None)).await);
    // A live salt is not overwritten, whatever its epoch.
    assert!(f.fails(vec![use_salt(TRAVEL, 1)]).await);
    let erase = Effect::Erase {
        scope: scope(1),
        slot: TRAVEL,
    };
    f.done(vec![erase.clone()]).await;
    let facts = f
        .ledger
        .memory(&scope(1), Namespace::Travel, Some(1), Some("tok"))
        .await
        .unwrap();
    assert!(facts.salt.salt.is_none());
    assert_eq!((facts.salt.next_epoch, facts.last_version), (1, 1));
    assert!(facts.current.is_none() && facts.wanted.is_none() && facts.last_piece.is_none());
    assert!(f.holds(is(None)).await);
    let version = |version| Test::VersionIs {
        scope: scope(1),
        namespace: Namespace::Travel,
        version,
    };
    assert!(f.holds(version(1)).await && !f.holds(version(0)).await);
    // Neither an epoch nor a version comes twice.
    assert!(f.fails(vec![use_salt(TRAVEL, 0)]).await);
    assert!(f.fails(vec![put(stored(1, "tok", true))]).await);
    f.done(vec![use_salt(TRAVEL, 1), put(stored(2, "tok", true))])
        .await;
    assert!(f.holds(is(Some(1))).await);
    f.done(vec![erase]).await;
    let salt = f.ledger.salt(&scope(1), TRAVEL).await.unwrap();
    assert_eq!(salt.next_epoch, 2);
}

#[tokio::test]
async fn statements_are_erased_with_their_salt_and_only_they() {
    let f = Fixture::new().await;
    let keep = Effect::KeepStatement {
        scope: scope(1),
        event_id: "evt_x".to_owned(),
        sealed: vec![1, 2],
    };
    f.done(vec![
        use_salt(Slot::Statements, 0),
        use_salt(TRAVEL, 0),
        keep,
    ])
    .await;
    let c = Connection::open(f.path()).unwrap();
    let kept = || -> Option<Vec<u8>> {
        let sql = "SELECT sealed FROM statement WHERE actor = ?1 AND event_id = 'evt_x'";
        let row = c.query_row(sql, [&[1; 32]], |r| r.get(0));
        row.optional().unwrap()
    };
    assert_eq!(kept(), Some(vec![1, 2]));
    f.done(vec![Effect::Erase {
        scope: scope(1),
        slot: Slot::Statements,
    }])
    .await;
    assert_eq!(kept(), None);
    let salt = |slot| async move { f.ledger.salt(&scope(1), slot).await.unwrap().salt };
    assert!(salt(Slot::Statements).await.is_none());
}

#[tokio::test]
async fn an_actor_gets_another_name_and_zone_and_keeps_what_is_not_named() {
    let f = Fixture::new().await;
    let set = |who, name: Option<&str>, zone| Effect::SetActor {
        scope: scope(who),
        display_name: name.map(str::to_owned),
        zone,
    };
    let is = |zone| Test::ZoneIs {
        scope: scope(1),
        zone,
    };
    let kevin = || async {
        let all = f.ledger.actors().await.unwrap();
        let kevin = all.into_iter().find(|a| a.omni == omni(1)).unwrap();
        (kevin.display_name, kevin.zone)
    };
    let old = Zone::new("Asia/Shanghai", 5, Some("UTC")).unwrap();
    let new = Zone::new("America/New_York", 9, Some("Asia/Shanghai")).unwrap();
    f.done(vec![set(1, Some("Lin"), None)]).await;
    assert_eq!(kevin().await, ("Lin".to_owned(), old.clone()));
    assert!(f.holds(is(old.clone())).await && !f.holds(is(new.clone())).await);
    f.done(vec![set(1, None, Some(new.clone()))]).await;
    assert_eq!(kevin().await, ("Lin".to_owned(), new.clone()));
    assert!(f.holds(is(new)).await && !f.holds(is(old.clone())).await);
    // The same name with another zone before it is another way of counting.
    let alone = Zone::new("America/New_York", 9, None).unwrap();
    assert!(!f.holds(is(alone.clone())).await);
    f.done(vec![set(1, None, Some(alone.clone()))]).await;
    assert!(f.holds(is(alone)).await);
    let other = f.ledger.actors().await.unwrap();
    let other = other.into_iter().find(|a| a.omni == omni(2)).unwrap();
    assert_eq!((other.display_name.as_str(), other.zone), ("Kevin", old));
    assert!(f.fails(vec![set(7, Some("nobody"), None)]).await);
}

#[tokio::test]
async fn a_revoked_token_is_dead_at_once_and_takes_its_caps_along() {
    let f = Fixture::new().await;
    f.done(vec![
        Effect::AddToken(token("tok2")),
        cap("mine", "tok", "memory.read:travel"),
        cap("theirs", "tok2", "memory.read:travel"),
    ])
    .await;
    assert!(f.holds(live(NOW)).await && !f.holds(live(NOW * 2)).await);
    assert!(f.holds(unspent("mine")).await);
    let revoke = |at_ms| Effect::RevokeToken {
        id: "tok".to_owned(),
        at_ms,
    };
    f.done(vec![revoke(NOW)]).await;
    f.done(vec![revoke(NOW + 9)]).await;
    let token = f
        .ledger
        .admission("tok", None)
        .await
        .unwrap()
        .token
        .unwrap();
    assert_eq!(token.revoked_ms, Some(NOW));
    let mine = cap_row(&f, "mine").await;
    assert_eq!((mine.revoked_ms, mine.token_live), (Some(NOW), false));
    let theirs = cap_row(&f, "theirs").await;
    assert_eq!((theirs.revoked_ms, theirs.token_live), (None, true));
    assert!(!f.holds(live(NOW)).await && !f.holds(unspent("mine")).await);
    assert!(f.holds(unspent("theirs")).await);
    let missing = Effect::RevokeToken {
        id: "none".to_owned(),
        at_ms: NOW,
    };
    assert!(f.fails(vec![missing]).await);
    assert_eq!(
        f.ledger.revoked_caps(1_099).await.unwrap(),
        [("mine".to_owned(), 1_100)]
    );
    assert!(f.ledger.revoked_caps(1_100).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_token_is_replaced_once() {
    let f = Fixture::new().await;
    f.done(vec![Effect::AddToken(token("gone"))]).await;
    let first = |id: &str, at_ms| Test::TokenNotReplaced {
        id: id.to_owned(),
        at_ms,
    };
    assert!(f.holds(first("tok", NOW)).await);
    assert!(!f.holds(first("tok", NOW * 2)).await && !f.holds(first("none", NOW)).await);
    let replaced = Effect::ReplaceToken {
        id: "tok".to_owned(),
        by: "tok2".to_owned(),
        valid_until_ms: NOW * 2,
    };
    let revoked = Effect::RevokeToken {
        id: "gone".to_owned(),
        at_ms: NOW,
    };
    f.done(vec![replaced, revoked]).await;
    // Both tokens still live in their overlap, and only the new one may be replaced.
    assert!(f.holds(live(NOW)).await && !f.holds(first("tok", NOW)).await);
    assert!(!f.holds(first("gone", NOW)).await);
}

#[tokio::test]
async fn a_revocation_holds_whatever_its_clock_said() {
    let f = Fixture::new().await;
    f.done(vec![cap("c", "tok", "payment.spend")]).await;
    // Another machine's clock is ahead by more than a cap lasts.
    let ahead = NOW + 600_000;
    let revoke = Effect::RevokeToken {
        id: "tok".to_owned(),
        at_ms: ahead,
    };
    f.done(vec![revoke]).await;
    assert!(!f.holds(live(NOW)).await && !f.holds(unspent("c")).await);
    let not_replaced = Test::TokenNotReplaced {
        id: "tok".to_owned(),
        at_ms: NOW,
    };
    assert!(!f.holds(not_replaced).await);
    assert!(!cap_row(&f, "c").await.token_live);

    f.done(vec![
        Effect::AddToken(token("tok2")),
        cap("d", "tok2", "payment.spend"),
    ])
    .await;
    let revoke = Effect::RevokeCap {
        cap_id: "d".to_owned(),
        at_ms: ahead,
    };
    f.done(vec![revoke]).await;
    assert!(!f.holds(unspent("d")).await);
    let listed = f.ledger.revoked_caps(1_000).await.unwrap();
    assert_eq!(listed, [("c".to_owned(), 1_100), ("d".to_owned(), 1_100)]);
}

#[tokio::test]
async fn a_replaced_token_ends_early_and_never_later() {
    let f = Fixture::new().await;
    let replace = |valid_until_ms| Effect::ReplaceToken {
        id: "tok".to_owned(),
        by: "tok2".to_owned(),
        valid_until_ms,
    };
    f.done(vec![cap("c", "tok", "payment.spend"), replace(NOW)])
        .await;
    f.done(vec![replace(NOW * 9)]).await;
    let token = f
        .ledger
        .admission("tok", None)
        .await
        .unwrap()
        .token
        .unwrap();
    assert_eq!(
        (token.expires_ms, token.replaced_by.as_deref()),
        (NOW, Some("tok2"))
    );
    assert!(!f.holds(live(NOW)).await && f.holds(live(NOW - 1)).await);
    // The token that minted it has run out by the time of the Unit's event.
    assert!(!f.holds(unspent("c")).await);
    assert!(!cap_row(&f, "c").await.token_live);
    let before = f.ledger.cap(&scope(1), "c", NOW - 1).await.unwrap();
    assert!(before.unwrap().token_live);
}

#[tokio::test]
async fn a_cap_is_spent_once_and_is_nobody_elses() {
    let f = Fixture::new().await;
    f.done(vec![
        cap("c", "tok", "payment.spend"),
        cap("d", "gone", "payment.spend"),
    ])
    .await;
    assert!(f.ledger.cap(&scope(2), "c", NOW).await.unwrap().is_none());
    let spend = || Effect::SpendCap {
        cap_id: "c".to_owned(),
        answer: "{}".to_owned(),
    };
    f.done(vec![spend()]).await;
    assert_eq!(cap_row(&f, "c").await.spent.as_deref(), Some("{}"));
    assert!(!f.holds(unspent("c")).await);
    assert!(f.fails(vec![spend()]).await);
    // A cap whose token is not there rests on nothing.
    assert!(!cap_row(&f, "d").await.token_live && !f.holds(unspent("d")).await);
}

#[tokio::test]
async fn taking_a_grant_back_takes_exactly_its_caps() {
    let f = Fixture::new().await;
    f.done(vec![
        cap("travel", "tok", "memory.read:travel"),
        cap("family", "tok", "memory.read:family"),
        cap("pay", "tok", "payment.spend"),
    ])
    .await;
    let on = |vendor: Option<&str>, grant: &str, at_ms| Effect::RevokeCapsOn {
        scope: scope(1),
        vendor: vendor.map(str::to_owned),
        grants: vec![grant.to_owned(), "none".to_owned()],
        at_ms,
    };
    f.done(vec![
        on(Some("acme"), "memory.read:travel", NOW),
        on(Some("other"), "payment.spend", NOW),
        on(None, "memory.read:family", 4_701_000),
    ])
    .await;
    for (id, revoked) in [("travel", Some(NOW)), ("family", None), ("pay", None)] {
        assert_eq!(cap_row(&f, id).await.revoked_ms, revoked, "{id}");
    }
    f.done(vec![on(None, "payment.spend", NOW + 1)]).await;
    assert_eq!(cap_row(&f, "pay").await.revoked_ms, Some(NOW + 1));
    let again = Effect::RevokeCap {
        cap_id: "pay".to_owned(),
        at_ms: NOW + 5,
    };
    f.done(vec![again]).await;
    assert_eq!(cap_row(&f, "pay").await.revoked_ms, Some(NOW + 1));
}

#[tokio::test]
async fn money_is_set_aside_moved_and_never_counted_past_its_limit() {
    let f = Fixture::new().await;
    let first = Reservation {
        reference: Some("order 1".to_owned()),
        ..reservation(400)
    };
    f.done(vec![reserve(first.clone())]).await;
    assert!(f.holds(budget(100, 500)).await && !f.holds(budget(101, 500)).await);
    assert!(!f.holds(budget(i64::MAX, i64::MAX)).await && !f.holds(budget(-1, 500)).await);
    let free = |vendor: &str, day: &str| Test::ReferenceFree {
        scope: scope(1),
        vendor: vendor.to_owned(),
        spend_scope: "payment.spend".to_owned(),
        day: day.to_owned(),
        reference: "order 1".to_owned(),
    };
    assert!(!f.holds(free("acme", "2026-05-01")).await);
    assert!(f.holds(free("other", "2026-05-01")).await);
    assert!(f.holds(free("acme", "2026-05-02")).await);
    let same = Reservation {
        reference: first.reference.clone(),
        ..reservation(1)
    };
    assert!(f.fails(vec![reserve(same)]).await);
    assert!(f.fails(vec![reserve(reservation(0))]).await);
    let set = |decision_id: &str, state| Effect::SetReservation {
        decision_id: decision_id.to_owned(),
        state,
    };
    let is = |state| Test::ReservationIs {
        decision_id: first.decision_id.clone(),
        state,
    };
    f.done(vec![set(&first.decision_id, "redeemed")]).await;
    assert!(f.holds(is("redeemed")).await && !f.holds(is("reserved")).await);
    assert!(!f.holds(budget(101, 500)).await);
    f.done(vec![set(&first.decision_id, "released")]).await;
    assert!(f.holds(budget(500, 500)).await);
    assert!(f.fails(vec![set(&first.decision_id, "lost")]).await);
    assert!(f.fails(vec![set("none", "redeemed")]).await);
}

#[tokio::test]
async fn a_released_reference_is_free_again() {
    let f = Fixture::new().await;
    let again = || Reservation {
        reference: Some("order 1".to_owned()),
        ..reservation(400)
    };
    let (first, second) = (again(), again());
    let release = |r: &Reservation| Effect::SetReservation {
        decision_id: r.decision_id.clone(),
        state: "released",
    };
    let query = SpendQuery {
        spend_scope: "payment.spend",
        currency: "RMB",
        day: "2026-05-01",
        vendor: "acme",
        reference: Some("order 1"),
        decision_id: None,
    };
    let same = || async {
        let facts = f.ledger.spend(&scope(1), query).await.unwrap();
        (facts.spent_minor, facts.same_reference)
    };
    let free = || Test::ReferenceFree {
        scope: scope(1),
        vendor: "acme".to_owned(),
        spend_scope: "payment.spend".to_owned(),
        day: "2026-05-01".to_owned(),
        reference: "order 1".to_owned(),
    };
    f.done(vec![reserve(first.clone())]).await;
    assert!(!f.holds(free()).await);
    f.done(vec![release(&first)]).await;
    assert_eq!(same().await, (0, None));
    assert!(f.holds(free()).await);
    f.done(vec![reserve(second.clone())]).await;
    assert_eq!(same().await, (400, Some(second.clone())));
    assert!(!f.holds(free()).await && f.fails(vec![reserve(again())]).await);
    // What was released stays so: the reference is somebody else's now.
    let back = Effect::SetReservation {
        decision_id: first.decision_id.clone(),
        state: "reserved",
    };
    assert!(f.fails(vec![back]).await);
    f.done(vec![release(&second)]).await;
    assert!(f.holds(free()).await);
}

#[tokio::test]
async fn names_and_ids_are_given_once() {
    let f = Fixture::new().await;
    let free = |kind, name: &str| Test::NameFree {
        kind,
        name: name.to_owned(),
    };
    assert!(!f.holds(free("actor", "O_kevin_001")).await);
    assert!(f.holds(free("actor", "acme")).await);
    assert!(!f.holds(free("vendor", "acme")).await);
    assert!(f.holds(free("vendor", "O_kevin_001")).await);
    let guards = vec![Guard::fresh(free("planet", "x"))];
    assert!(f.commit(unit(guards, Vec::new())).await.is_err());
    assert!(!f.holds(Test::OmniFree(omni(1))).await);
    assert!(f.holds(Test::OmniFree(omni(3))).await);
    assert!(f.fails(vec![actor(3, "O_kevin_001")]).await);
    assert!(f.fails(vec![actor(1, "O_new")]).await);
    assert!(f.fails(vec![Effect::AddVendor(vendor("acme"))]).await);
    let unknown = TokenRow {
        vendor: Some(vendor("nobody")),
        ..token("t")
    };
    assert!(f.fails(vec![Effect::AddToken(unknown)]).await);
}
