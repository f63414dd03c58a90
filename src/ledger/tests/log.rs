//! Reading events, within a reach.

use super::*;
use crate::authority::ports::{AuditProof, AuditReach, EventFilter};
use crate::ledger::events::Search;

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
async fn one_event_is_found_by_its_id_within_reach() {
    let f = Fixture::new().await;
    let event = Event {
        id: "evt_one".to_owned(),
        envelope: vec![7],
        ..event()
    };
    six(&f).await;
    f.commit(Unit { event, ..row() }).await.unwrap();
    let find = |reach: AuditReach, id: &'static str| {
        let ledger = &f.ledger;
        async move {
            let found = ledger.event(&reach, id).await.unwrap();
            found.map(|e| (e.seq, e.envelope))
        }
    };
    let one = Some((7, vec![7]));
    assert_eq!(find(all(), "evt_one").await, one);
    assert_eq!(find(some(&[1]), "evt_one").await, one);
    assert_eq!(find(some(&[2, 1]), "evt_one").await, one);
    for reach in [some(&[2]), some(&[2, 3]), some(&[])] {
        assert_eq!(find(reach, "evt_one").await, None);
    }
    for id in ["", "evt_two", "evt_one ", "%", "' OR 1=1 --"] {
        assert_eq!(find(all(), id).await, None, "{id}");
    }
}

#[tokio::test]
async fn every_filter_narrows() {
    let f = Fixture::new().await;
    six(&f).await;
    let cases: [(EventFilter, &[u8]); 14] = [
        (by(|_| ()), &[1, 2, 3, 4, 5, 6]),
        (by(|q| q.from_seq = Some(5)), &[5, 6]),
        (by(|q| q.from_seq = Some(u64::MAX)), &[]),
        (by(|q| q.until_seq = Some(3)), &[1, 2]),
        (by(|q| q.until_seq = Some(0)), &[]),
        (by(|q| q.until_seq = Some(u64::MAX)), &[1, 2, 3, 4, 5, 6]),
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
    let places = by(|q| (q.from_seq, q.until_seq) = (Some(2), Some(5)));
    assert_eq!(found(&f, &all(), places).await, [2, 3, 4]);
    let newest_before = by(|q| (q.newest, q.limit, q.until_seq) = (true, 2, Some(5)));
    assert_eq!(found(&f, &all(), newest_before).await, [3, 4]);
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
}

/// A log of 100 000 events of which only these are of vendor `rare`, by actors 1 and 2 in turn.
const RARE: [u64; 4] = [10, 30_000, 70_000, 99_990];

fn long(f: &Fixture) -> Connection {
    let c = Connection::open(f.path()).unwrap();
    let sql = "WITH RECURSIVE n (i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 99999)
         INSERT INTO audit_event SELECT i, 'e' || i, 0, ?1, 'acme', 'other', 't', 'accept', NULL, x'00'
         FROM n";
    c.execute(sql, [&[2; 32]]).unwrap();
    let sql = "UPDATE audit_event SET vendor = 'rare', actor_omni = iif(seq IN (10, 70000), ?1, ?2)
         WHERE seq IN (10, 30000, 70000, 99990)";
    assert_eq!(c.execute(sql, (&[1; 32], &[2; 32])).unwrap(), 4);
    c.execute("UPDATE audit_head SET next_seq = 100000", [])
        .unwrap();
    c
}

#[tokio::test]
async fn a_search_goes_through_a_long_log_in_stretches() {
    let f = Fixture::new().await;
    let c = long(&f);
    let rare = || by(|q| (q.vendor, q.limit) = (Some("rare".into()), 100));
    let cases: [(AuditReach, EventFilter, &[u64]); 6] = [
        (all(), rare(), &RARE),
        (all(), EventFilter { limit: 2, ..rare() }, &RARE[..2]),
        (
            all(),
            EventFilter {
                newest: true,
                ..rare()
            },
            &RARE,
        ),
        (
            all(),
            EventFilter {
                newest: true,
                limit: 3,
                ..rare()
            },
            &RARE[1..],
        ),
        (some(&[1]), rare(), &[10, 70_000]),
        (some(&[2, 7]), rare(), &[30_000, 99_990]),
    ];
    for (reach, filter, expected) in cases {
        let events = f.ledger.events(&reach, &filter).await.unwrap();
        let places: Vec<_> = events.iter().map(|e| e.seq).collect();
        assert_eq!(places, expected, "{filter:?}");

        let whole = EventFilter {
            limit: 100,
            vendor: Some("nobody".to_owned()),
            ..filter
        };
        let mut search = Search::new(reach, whole);
        assert!(search.step(&c).unwrap(), "all of it was one stretch");
        let mut steps = 1;
        while search.step(&c).unwrap() {
            steps += 1;
        }
        assert!((1..100).contains(&steps), "{steps}");
        assert!(search.found().is_empty());
    }
}

#[tokio::test]
async fn a_search_ends_where_the_log_ended_when_it_began() {
    let f = Fixture::new().await;
    let c = long(&f);
    let filter = by(|q| (q.vendor, q.limit) = (Some("rare".into()), 100));
    let mut search = Search::new(all(), filter);
    search.step(&c).unwrap();
    let late = Event {
        vendor: Some("rare".to_owned()),
        ..event()
    };
    f.commit(Unit {
        event: late,
        ..row()
    })
    .await
    .unwrap();
    while search.step(&c).unwrap() {}
    assert_eq!(search.found().len(), 4);
}

#[tokio::test]
async fn one_actors_events_are_found_in_order_without_sorting() {
    let f = Fixture::new().await;
    let c = Connection::open(f.path()).unwrap();
    let sql = |only: &str| {
        let sql = "SELECT seq, envelope FROM audit_event WHERE seq >= 1 AND seq < 9 AND";
        plan(&c, &format!("{sql} {only} ORDER BY seq LIMIT 9"))
    };
    let actor = sql("actor_omni = zeroblob(32)");
    assert!(actor.contains("INDEX audit_event_actor (actor_omni=? AND seq>? AND seq<?)"));
    assert!(!actor.contains("TEMP B-TREE"), "{actor}");
    let vendor = sql("vendor = 'acme' AND tool = 't'");
    assert!(vendor.contains("INTEGER PRIMARY KEY (rowid>? AND rowid<?)"));
    assert!(!vendor.contains("TEMP B-TREE"), "{vendor}");
}

#[tokio::test]
async fn a_lease_is_had_by_one_until_it_is_over() {
    use crate::authority::ports::{Lease, SealedLog as _};
    let f = Fixture::new().await;
    let asks = async |holder, now_ms: i64| {
        let lease = Lease {
            holder,
            now_ms,
            until_ms: now_ms + 10_000,
            latest_ms: now_ms + 70_000,
        };
        f.ledger.lease(lease).await.unwrap()
    };
    assert!(asks("a", 100_000).await);
    // Whoever looked at the clock before has no claim on it, nor has somebody later.
    assert!(!asks("b", 99_000).await);
    assert!(!asks("b", 109_999).await);
    assert!(asks("a", 105_000).await);
    assert!(!asks("b", 110_000).await);
    assert!(asks("b", 115_000).await);
    f.ledger.release("a").await.unwrap();
    assert!(!asks("a", 115_000).await, "it was not a's to give back");
    f.ledger.release("b").await.unwrap();
    assert!(asks("a", 115_000).await);
    // The clock was put back by an hour.
    assert!(asks("b", 115_000 - 3_600_000).await);
}
