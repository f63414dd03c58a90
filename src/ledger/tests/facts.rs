//! Facts as they are read back.

use super::*;
use crate::authority::ports::{ActorName, SpendQuery};

#[tokio::test]
async fn admission_finds_token_actor_and_binding_or_says_what_is_not_there() {
    let f = Fixture::new().await;
    let consent = Binding {
        read: NamespaceSet::NONE.with(Namespace::Travel),
        exclusions: vec!["payment.spend".into()],
        daily_cap_minor: Some(50_000),
        ..binding(1, &["payment.*", "memory.read"])
    };
    f.done(vec![set_binding(1, "acme", consent.clone())]).await;
    let by_omni = Some(ActorName::Omni(omni(1)));
    for name in [by_omni, Some(ActorName::Alias("O_kevin_001"))] {
        let found = f.ledger.admission("tok", name).await.unwrap();
        let token = found.token.unwrap();
        assert_eq!(
            (token.id.as_str(), token.hash, token.role),
            ("tok", [3; 32], Role::Vendor)
        );
        assert_eq!(token.vendor, Some(vendor("acme")));
        assert_eq!((token.created_ms, token.expires_ms), (0, NOW * 2));
        let actor = found.actor.unwrap();
        assert_eq!((actor.omni, actor.alias.as_str()), (omni(1), "O_kevin_001"));
        assert_eq!(
            actor.zone,
            Zone::new("Asia/Shanghai", 5, Some("UTC")).unwrap()
        );
        assert_eq!(found.binding, Some(consent.clone()));
    }
    let unbound = f
        .ledger
        .admission("tok", Some(ActorName::Omni(omni(2))))
        .await
        .unwrap();
    assert!(unbound.token.is_some() && unbound.actor.is_some() && unbound.binding.is_none());
    for name in [ActorName::Omni(omni(9)), ActorName::Alias("o_kevin_001")] {
        let nobody = f.ledger.admission("tok", Some(name)).await.unwrap();
        assert!(nobody.token.is_some() && nobody.actor.is_none() && nobody.binding.is_none());
    }
    let stranger = f.ledger.admission("none", by_omni).await.unwrap();
    assert!(stranger.token.is_none() && stranger.actor.is_some() && stranger.binding.is_none());
    let unnamed = f.ledger.admission("tok", None).await.unwrap();
    assert!(unnamed.token.is_some() && unnamed.actor.is_none());
    assert_eq!(unnamed.heads.policy_version, 0);
}

#[tokio::test]
async fn a_token_without_a_name_in_the_request_stands_for_its_own_actor() {
    let f = Fixture::new().await;
    let pinned = TokenRow {
        role: Role::Viewer,
        vendor: None,
        actor: Some(omni(2)),
        namespaces: NamespaceSet::NONE.with(Namespace::Work),
        replaced_by: Some("tok".into()),
        ..token("pin")
    };
    f.done(vec![Effect::AddToken(pinned)]).await;
    let found = f.ledger.admission("pin", None).await.unwrap();
    assert_eq!(found.actor.unwrap().omni, omni(2));
    let token = found.token.unwrap();
    assert_eq!((token.vendor, token.actor), (None, Some(omni(2))));
    assert!(token.namespaces.has(Namespace::Work));
    assert_eq!(token.replaced_by.as_deref(), Some("tok"));
    assert_eq!(f.ledger.tokens().await.unwrap().len(), 2);
    assert_eq!(f.ledger.actors().await.unwrap().len(), 2);
}

#[tokio::test]
async fn a_binding_that_says_yes_to_nothing_is_none_and_keeps_its_revision() {
    let f = Fixture::new().await;
    f.done(vec![set_binding(1, "acme", binding(1, &["a"]))])
        .await;
    f.done(vec![set_binding(1, "acme", binding(2, &[]))]).await;
    let name = Some(ActorName::Omni(omni(1)));
    let found = f.ledger.admission("tok", name).await.unwrap();
    assert_eq!(found.binding, None);
    let all = f.ledger.bindings(&scope(1)).await.unwrap();
    assert_eq!(all, [("acme".to_owned(), binding(2, &[]))]);
    let is = |revision| Test::BindingIs {
        scope: scope(1),
        vendor: "acme".to_owned(),
        revision,
    };
    assert!(f.holds(is(2)).await && !f.holds(is(0)).await);
    // A revision never goes back.
    assert!(
        f.fails(vec![set_binding(1, "acme", binding(2, &["a"]))])
            .await
    );
    assert!(f.ledger.bindings(&scope(2)).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_subtree_is_found_however_wide_and_deep() {
    let f = Fixture::new().await;
    let c = Connection::open(f.path()).unwrap();
    // Actor 2 has a chain of 1 000 below it, and at its end 4 000 beside each other.
    let sql = "WITH RECURSIVE n (i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 5000)
         INSERT INTO actor SELECT unhex(printf('%064x', i)), 'a' || i, '',
             CASE i WHEN 1 THEN ?1 ELSE unhex(printf('%064x', min(i - 1, 1000))) END,
             NULL, 0, NULL, 'UTC', 0, NULL FROM n";
    assert_eq!(c.execute(sql, [omni(2).as_bytes()]).unwrap(), 5_000);
    let nth = |i: u16| {
        let mut bytes = [0; 32];
        bytes[30..].copy_from_slice(&i.to_be_bytes());
        Omni::from_bytes(bytes)
    };
    let ledger = &f.ledger;
    let subtree = |root| async move { ledger.subtree(root).await.unwrap() };
    let all = subtree(omni(2)).await;
    assert_eq!(all.len(), 5_001);
    assert_eq!(all[..3], [omni(2), nth(1), nth(2)]);
    assert_eq!(subtree(nth(5_000)).await, [nth(5_000)]);
    assert_eq!(subtree(omni(1)).await, [omni(1)]);
    // Every actor is looked up by its parent; walking all of them for each is what took so long.
    let plan = plan(&c, crate::ledger::read::SUBTREE);
    assert!(
        plan.contains("USING INDEX actor_parent")
            || plan.contains("USING COVERING INDEX actor_parent"),
        "{plan}"
    );
    // A circle, which no call can make, ends.
    let sql = "UPDATE actor SET parent = ?1 WHERE omni = ?2";
    let (end, start) = (nth(5_000), omni(2));
    let circle = (end.as_bytes(), start.as_bytes());
    assert_eq!(c.execute(sql, circle).unwrap(), 1);
    assert_eq!(subtree(omni(2)).await.len(), 5_001);
}

#[tokio::test]
async fn a_memorys_facts_are_its_own() {
    let f = Fixture::new().await;
    f.done(vec![use_salt(TRAVEL, 0), put(stored(1, "tok", true))])
        .await;
    f.done(vec![put(stored(2, "else", true))]).await;
    f.done(vec![put(stored(3, "tok", false))]).await;
    let read = |who: u8, ns, version, token| {
        let ledger = &f.ledger;
        async move {
            ledger
                .memory(&scope(who), ns, version, token)
                .await
                .unwrap()
        }
    };
    let facts = read(1, Namespace::Travel, Some(2), Some("tok")).await;
    assert_eq!(facts.last_version, 3);
    assert_eq!(facts.current, Some(stored(3, "tok", false)));
    assert_eq!(facts.wanted, Some(stored(2, "else", true)));
    assert_eq!(facts.last_piece, Some(stored(1, "tok", true)));
    assert_eq!(
        facts.salt.salt.unwrap().bytes.expose(),
        salt(0).bytes.expose()
    );
    let history = f
        .ledger
        .history(&scope(1), Namespace::Travel)
        .await
        .unwrap();
    assert_eq!(
        history.iter().map(|s| s.version).collect::<Vec<_>>(),
        [3, 2, 1]
    );
    for (who, ns) in [(2, Namespace::Travel), (1, Namespace::Family)] {
        let facts = read(who, ns, Some(1), Some("tok")).await;
        assert_eq!(facts.last_version, 0);
        assert!(facts.current.is_none() && facts.wanted.is_none() && facts.last_piece.is_none());
        assert!(facts.salt.salt.is_none() && facts.salt.next_epoch == 0);
    }
    let facts = read(1, Namespace::Travel, Some(u64::MAX), None).await;
    assert!(facts.wanted.is_none() && facts.last_piece.is_none());
}

#[tokio::test]
async fn a_statement_is_found_for_its_actor_and_event() {
    let f = Fixture::new().await;
    let read = |who: u8, event: &'static str| {
        let ledger = &f.ledger;
        async move {
            let facts = ledger.statement(&scope(who), event).await.unwrap();
            (facts.salt.salt.map(|s| s.epoch), facts.sealed)
        }
    };
    assert_eq!(read(1, "evt_x").await, (None, None));
    let keep = Effect::KeepStatement {
        scope: scope(1),
        event_id: "evt_x".to_owned(),
        sealed: vec![1, 2],
    };
    f.done(vec![use_salt(Slot::Statements, 0), keep]).await;
    assert_eq!(read(1, "evt_x").await, (Some(0), Some(vec![1, 2])));
    assert_eq!(read(1, "evt_y").await, (Some(0), None));
    assert_eq!(read(2, "evt_x").await, (None, None));
    f.done(vec![Effect::Erase {
        scope: scope(1),
        slot: Slot::Statements,
    }])
    .await;
    assert_eq!(read(1, "evt_x").await, (None, None));
}

#[tokio::test]
async fn a_days_spending_counts_all_vendors_and_only_its_own() {
    let f = Fixture::new().await;
    let base = reservation(100);
    let with = |change: fn(&mut Reservation)| {
        let mut r = reservation(7);
        change(&mut r);
        reserve(r)
    };
    let referenced = Reservation {
        reference: Some("order 1".to_owned()),
        ..reservation(50)
    };
    f.done(vec![
        reserve(base.clone()),
        reserve(referenced.clone()),
        with(|r| r.vendor = "other".to_owned()),
        with(|r| r.state = "redeemed".to_owned()),
        with(|r| r.state = "released".to_owned()),
        with(|r| r.day = "2026-05-02".to_owned()),
        with(|r| r.scope = "payment.other".to_owned()),
        with(|r| r.currency = "USD".to_owned()),
        Effect::Reserve {
            scope: scope(2),
            reservation: reservation(7),
        },
    ])
    .await;
    let query = SpendQuery {
        spend_scope: "payment.spend",
        currency: "RMB",
        day: "2026-05-01",
        vendor: "acme",
        reference: Some("order 1"),
        decision_id: Some(&base.decision_id),
    };
    let facts = f.ledger.spend(&scope(1), query).await.unwrap();
    assert_eq!(facts.spent_minor, 164);
    assert_eq!(facts.same_reference, Some(referenced));
    assert_eq!(facts.by_decision, Some(base.clone()));
    let others = f.ledger.spend(&scope(2), query).await.unwrap();
    assert_eq!((others.spent_minor, others.by_decision), (7, None));
    let elsewhere = SpendQuery {
        vendor: "other",
        ..query
    };
    let elsewhere = f.ledger.spend(&scope(1), elsewhere).await.unwrap();
    assert_eq!(elsewhere.same_reference, None);
    let day = f
        .ledger
        .reservations(&scope(1), "2026-05-01")
        .await
        .unwrap();
    assert_eq!(day.len(), 7);
    assert_eq!(day.first(), Some(&base));
}

#[tokio::test]
async fn policies_are_kept_by_version_and_keys_in_the_order_they_came_in() {
    let f = Fixture::new().await;
    let apply = |version| Effect::ApplyPolicy {
        version,
        hash: [1; 32],
        source: format!("v{version}"),
        at_ms: NOW,
    };
    f.done(vec![apply(1)]).await;
    f.done(vec![apply(2)]).await;
    assert_eq!(f.ledger.heads().await.unwrap().policy_version, 2);
    assert_eq!(f.ledger.policy(1).await.unwrap().as_deref(), Some("v1"));
    assert_eq!(f.ledger.policy(3).await.unwrap(), None);
    assert!(f.fails(vec![apply(2)]).await);
    assert!(f.holds(Test::PolicyIs(2)).await);

    let key = |kid: &str, created_ms| {
        Effect::AddKey(crate::authority::ports::SealedKey {
            purpose: "cap".to_owned(),
            kid: kid.to_owned(),
            sealed: vec![1],
            created_ms,
        })
    };
    // The clock was set back between the two.
    f.done(vec![key("old", 9), key("new", 1)]).await;
    let kids: Vec<_> = f
        .ledger
        .keys("cap")
        .await
        .unwrap()
        .into_iter()
        .map(|k| k.kid)
        .collect();
    assert_eq!(kids, ["old", "new"]);
    assert!(f.ledger.keys("vault").await.unwrap().is_empty());
    assert!(f.fails(vec![key("new", 10)]).await);
}
