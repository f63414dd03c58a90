//! Reading events, within a reach.

use super::*;
use crate::authority::ports::{AuditProof, AuditReach, EventFilter};

const fn all() -> AuditReach {
    AuditReach::All(AuditProof::for_test())
}

fn some(actors: &[u8]) -> AuditReach {
    AuditReach::Actors(
        actors.iter().map(|a| omni(*a)).collect(),
        AuditProof::for_test(),
    )
}

/// Events 1 to 6, told apart by every column.
async fn six(f: &Fixture) {
    for at in 1..=6_u8 {
        let odd = at % 2 == 1;
        let event = Event {
            ts_ms: i64::from(at) * 100,
            actor: (at != 6).then(|| omni(if odd { 1 } else { 2 })),
            vendor: Some(if at < 4 { "acme" } else { "other" }.to_owned()),
            rail: Some(if odd { Rail::Xiaozhi } else { Rail::Other }),
            tool: format!("tool{at}"),
            verdict: if at == 2 { "deny" } else { "accept" },
            namespace: (at == 3).then_some(Namespace::Family),
            envelope: vec![at],
            ..event()
        };
        let committed = f.commit(Unit { event, ..row() }).await.unwrap();
        assert_eq!(committed, Committed::Done { seq: u64::from(at) });
    }
}

async fn found(f: &Fixture, reach: &AuditReach, filter: EventFilter) -> Vec<u8> {
    let filter = EventFilter {
        from_seq: filter.from_seq.or(Some(1)),
        limit: if filter.limit == 0 { 100 } else { filter.limit },
        ..filter
    };
    let events = f.ledger.events(reach, &filter).await.unwrap();
    assert!(
        events
            .iter()
            .all(|e| e.envelope == [u8::try_from(e.seq).unwrap()])
    );
    events.iter().map(|e| e.envelope[0]).collect()
}

fn by(change: impl FnOnce(&mut EventFilter)) -> EventFilter {
    let mut filter = EventFilter::default();
    change(&mut filter);
    filter
}

#[tokio::test]
async fn every_filter_narrows() {
    let f = Fixture::new().await;
    six(&f).await;
    let cases: [(EventFilter, &[u8]); 11] = [
        (by(|_| ()), &[1, 2, 3, 4, 5, 6]),
        (by(|q| q.from_seq = Some(5)), &[5, 6]),
        (by(|q| q.from_seq = Some(u64::MAX)), &[]),
        (by(|q| q.actor = Some(omni(2))), &[2, 4]),
        (by(|q| q.vendor = Some("other".into())), &[4, 5, 6]),
        (by(|q| q.rail = Some(Rail::Other)), &[2, 4, 6]),
        (by(|q| q.tool = Some("tool3".into())), &[3]),
        (by(|q| q.tool = Some("' OR 1=1 --".into())), &[]),
        (by(|q| q.verdict = Some("deny".into())), &[2]),
        (by(|q| q.namespace = Some(Namespace::Family)), &[3]),
        (by(|q| q.limit = 2), &[1, 2]),
    ];
    for (filter, expected) in cases {
        let label = format!("{filter:?}");
        assert_eq!(found(&f, &all(), filter).await, expected, "{label}");
    }
    let nothing = EventFilter::default();
    assert!(f.ledger.events(&all(), &nothing).await.unwrap().is_empty());
}

#[tokio::test]
async fn filters_go_together() {
    let f = Fixture::new().await;
    six(&f).await;
    let between = by(|q| (q.since_ms, q.until_ms) = (Some(300), Some(500)));
    assert_eq!(found(&f, &all(), between).await, [3, 4]);
    let newest = |limit, actor| by(|q| (q.newest, q.limit, q.actor) = (true, limit, actor));
    assert_eq!(found(&f, &all(), newest(2, None)).await, [5, 6]);
    assert_eq!(found(&f, &all(), newest(1, Some(omni(1)))).await, [5]);
}

#[tokio::test]
async fn a_reach_hides_everybody_else() {
    let f = Fixture::new().await;
    six(&f).await;
    let none = EventFilter::default;
    assert_eq!(found(&f, &some(&[1]), none()).await, [1, 3, 5]);
    assert_eq!(found(&f, &some(&[1, 2]), none()).await, [1, 2, 3, 4, 5]);
    assert_eq!(found(&f, &some(&[]), none()).await, Vec::<u8>::new());
    let other = EventFilter {
        actor: Some(omni(2)),
        ..none()
    };
    assert_eq!(found(&f, &some(&[1]), other).await, Vec::<u8>::new());
    let newest = EventFilter {
        newest: true,
        limit: 1,
        ..none()
    };
    assert_eq!(found(&f, &some(&[2, 9]), newest).await, [4]);

    let named = event();
    let id = named.id.clone();
    f.commit(Unit {
        event: named,
        ..row()
    })
    .await
    .unwrap();
    for (reach, there) in [(all(), true), (some(&[1]), true), (some(&[2]), false)] {
        let event = f.ledger.event(&reach, &id).await.unwrap();
        assert_eq!(event.map(|e| e.seq), there.then_some(7), "{reach:?}");
    }
    assert!(f.ledger.event(&all(), "evt_none").await.unwrap().is_none());
}
