//! Batches, lanes, places in the log.

use super::*;
use crate::ledger::Options;
use std::sync::Arc;
use std::time::Duration;

fn refusing(test: Test) -> (Guard, String) {
    let refusal = event();
    let id = refusal.id.clone();
    let guard = Guard {
        test,
        refused: Some(refusal),
    };
    (guard, id)
}

async fn id_at(f: &Fixture, seq: u64) -> String {
    let reach =
        crate::authority::ports::AuditReach::All(crate::authority::ports::AuditProof::for_test());
    let filter = crate::authority::ports::EventFilter {
        from_seq: Some(seq),
        limit: 1,
        ..Default::default()
    };
    let found = f.ledger.events(&reach, &filter).await.unwrap();
    String::from_utf8(found.first().unwrap().envelope.clone()).unwrap()
}

#[tokio::test]
async fn a_broken_guard_writes_its_refusal_or_nothing() {
    let f = Fixture::new().await;
    let effect = || vec![Effect::AddVendor(vendor("new"))];
    let stale = unit(vec![Guard::fresh(Test::PolicyIs(7))], effect());
    assert_eq!(f.commit(stale).await.unwrap(), Committed::Stale);
    assert_eq!(f.ledger.log_size().await.unwrap(), 1);

    let (guard, refusal) = refusing(Test::PolicyIs(7));
    let guards = vec![Guard::fresh(Test::PolicyIs(0)), guard];
    let refused = f.commit(unit(guards, effect())).await.unwrap();
    assert_eq!(refused, Committed::Refused { guard: 1, seq: 1 });
    assert_eq!(id_at(&f, 1).await, refusal);
    assert_eq!(f.ledger.vendors().await.unwrap().len(), 1);

    // The first that fails decides.
    let (guard, _) = refusing(Test::PolicyIs(7));
    let both = vec![Guard::fresh(Test::PolicyIs(8)), guard];
    assert_eq!(
        f.commit(unit(both, effect())).await.unwrap(),
        Committed::Stale
    );

    assert_eq!(f.done(effect()).await, 2);
    assert_eq!(f.ledger.vendors().await.unwrap().len(), 2);
}

#[tokio::test]
async fn a_unit_that_fails_leaves_nothing_and_costs_nobody_else() {
    let f = Fixture::new().await;
    // The second effect fails, so the first must not stay.
    let half = vec![
        Effect::AddVendor(vendor("half")),
        Effect::AddVendor(vendor("acme")),
    ];
    let (bad, before, after) = tokio::join!(
        f.commit(unit(Vec::new(), half)),
        f.commit(row()),
        f.commit(row())
    );
    assert!(matches!(bad, Err(LedgerError::Failed(_))));
    let mut places = [before.unwrap(), after.unwrap()].map(|c| match c {
        Committed::Done { seq } => seq,
        other => panic!("{other:?}"),
    });
    places.sort_unstable();
    assert_eq!(places, [1, 2]);
    assert_eq!(f.ledger.vendors().await.unwrap().len(), 1);

    let once = event();
    let twice = || Unit {
        event: once.clone(),
        ..row()
    };
    assert!(f.commit(twice()).await.is_ok());
    assert!(matches!(
        f.commit(twice()).await,
        Err(LedgerError::Failed(_))
    ));
    assert_eq!(f.ledger.log_size().await.unwrap(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_budget_is_spent_once_however_many_ask() {
    let f = Arc::new(Fixture::new().await);
    let tasks: Vec<_> = (0..64)
        .map(|_| {
            let f = Arc::clone(&f);
            tokio::spawn(async move {
                let (guard, _) = refusing(budget(100, 500));
                f.commit(unit(vec![guard], vec![reserve(reservation(100))]))
                    .await
                    .unwrap()
            })
        })
        .collect();
    let mut done = 0;
    for task in tasks {
        match task.await.unwrap() {
            Committed::Done { .. } => done += 1,
            Committed::Refused { guard: 0, .. } => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(done, 5);
    assert_eq!(f.ledger.log_size().await.unwrap(), 65);
}

/// Two handles have their own writers, connections and locks: to `SQLite` they are two processes.
#[test]
fn two_writers_leave_no_gap_in_the_log() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let f = runtime.block_on(Fixture::new());
    let other = f.other();
    let write = |ledger: &SqliteLedger| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        runtime.block_on(async {
            let mut mine = Vec::new();
            for _ in 0..40 {
                let both = tokio::join!(
                    ledger.commit(row(), Lane::Customer),
                    ledger.commit(row(), Lane::Stranger)
                );
                for committed in [both.0.unwrap(), both.1.unwrap()] {
                    let Committed::Done { seq } = committed else {
                        panic!("{committed:?}")
                    };
                    mine.push(seq);
                }
            }
            mine
        })
    };
    let mut places = std::thread::scope(|s| {
        let threads = [
            s.spawn(|| write(&f.ledger)),
            s.spawn(|| write(&other)),
            s.spawn(|| write(&f.ledger)),
        ];
        threads
            .into_iter()
            .flat_map(|t| t.join().unwrap())
            .collect::<Vec<_>>()
    });
    places.sort_unstable();
    assert_eq!(places, (1..=240).collect::<Vec<_>>());
    let seqs: Vec<i64> = Connection::open(f.path())
        .unwrap()
        .prepare("SELECT seq FROM audit_event ORDER BY seq")
        .unwrap()
        .query_map([], |r| r.get(0))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    assert_eq!(seqs, (0..=240).collect::<Vec<_>>());
}

/// `SQLite` asks for its lock again after up to 100 ms: without a door, whoever came later and asks
/// more often would have it first.
#[tokio::test]
async fn who_came_first_writes_first() {
    let f = Fixture::new().await;
    let others: Vec<_> = (0..4).map(|_| f.other()).collect();
    let blocker = Connection::open(f.path()).unwrap();
    blocker.execute_batch("BEGIN IMMEDIATE").unwrap();
    let Step::Waits(first) = step(f.ledger.commit(row(), Lane::Customer)).await else {
        panic!("it did not wait")
    };
    let door = std::fs::File::open(f.dir.path()).unwrap();
    until("the first is at the door", async || {
        let free = door.try_lock().is_ok();
        if free {
            door.unlock().unwrap();
        }
        !free
    })
    .await;
    // Long enough that it asks only now and then, and well within what a writer waits.
    tokio::time::sleep(Duration::from_millis(400)).await;
    let mut later = Vec::new();
    for other in &others {
        match step(other.commit(row(), Lane::Customer)).await {
            Step::Waits(commit) => later.push(commit),
            Step::Done(done) => panic!("{done:?}"),
        }
    }
    blocker.execute_batch("ROLLBACK").unwrap();
    assert_eq!(first.await.unwrap(), Committed::Done { seq: 1 });
    for commit in later {
        assert!(matches!(commit.await, Ok(Committed::Done { .. })));
    }
}

#[tokio::test]
async fn an_answer_comes_after_the_commit() {
    let f = Fixture::new().await;
    let blocker = Connection::open(f.path()).unwrap();
    blocker.execute_batch("BEGIN IMMEDIATE").unwrap();
    let commit = f.commit(row());
    tokio::pin!(commit);
    let early = tokio::time::timeout(Duration::from_millis(150), &mut commit).await;
    assert!(early.is_err(), "answered while it could not be on disk");
    blocker.execute_batch("ROLLBACK").unwrap();
    assert_eq!(commit.await.unwrap(), Committed::Done { seq: 1 });
    let sql = "SELECT count(*) FROM audit_event";
    let rows: i64 = blocker.query_row(sql, [], |r| r.get(0)).unwrap();
    assert_eq!(rows, 2);
}

#[tokio::test]
async fn strangers_fill_only_their_own_lane() {
    let f = Fixture::new().await;
    let options = Options {
        stranger_queue: 4,
        customer_queue: 300,
        ..Options::default()
    };
    let ledger = SqliteLedger::open_with(&f.path(), options).unwrap();
    let blocker = Connection::open(f.path()).unwrap();
    blocker.execute_batch("BEGIN IMMEDIATE").unwrap();
    let mut waiting = Vec::new();
    let mut strangers = 0;
    let mut full = 0;
    // The writer holds a batch of what came first; behind it the lane fills.
    for _ in 0..20 {
        let commit = ledger.commit(row(), Lane::Stranger);
        match step(commit).await {
            Step::Waits(commit) => {
                strangers += 1;
                waiting.push(commit);
            }
            Step::Done(Err(LedgerError::Full)) => full += 1,
            Step::Done(other) => panic!("{other:?}"),
        }
    }
    assert!(
        full > 0 && (4..20).contains(&strangers),
        "{strangers} {full}"
    );
    for _ in 0..10 {
        match step(ledger.commit(row(), Lane::Customer)).await {
            Step::Waits(commit) => waiting.push(commit),
            Step::Done(other) => panic!("{other:?}"),
        }
    }
    blocker.execute_batch("ROLLBACK").unwrap();
    for commit in waiting {
        assert!(matches!(commit.await, Ok(Committed::Done { .. })));
    }
}

type Commit<'a> = crate::authority::ports::Later<'a, Result<Committed, LedgerError>>;

enum Step<'a> {
    Waits(Commit<'a>),
    Done(Result<Committed, LedgerError>),
}

/// Lets a commit queue itself.
async fn step(mut commit: Commit<'_>) -> Step<'_> {
    let polled = std::future::poll_fn(|cx| std::task::Poll::Ready(commit.as_mut().poll(cx))).await;
    match polled {
        std::task::Poll::Pending => Step::Waits(commit),
        std::task::Poll::Ready(result) => Step::Done(result),
    }
}

#[tokio::test]
async fn what_waits_is_written_before_the_ledger_goes() {
    let f = Fixture::new().await;
    let ledger = f.other();
    for _ in 0..5 {
        // Whoever asked goes away at once.
        assert!(matches!(
            step(ledger.commit(row(), Lane::Customer)).await,
            Step::Waits(_) | Step::Done(Ok(_))
        ));
    }
    ledger.touch_token("tok", 125_000).await.unwrap();
    drop(ledger);
    assert_eq!(f.ledger.log_size().await.unwrap(), 6);
    let tokens = f.ledger.tokens().await.unwrap();
    assert_eq!(tokens[0].last_used_ms, Some(120_000));
}

#[tokio::test]
async fn a_use_is_noted_without_anybodys_commit_and_never_goes_back() {
    let f = Fixture::new().await;
    f.ledger.touch_token("tok", 600_000).await.unwrap();
    f.ledger.touch_token("tok", 60_000).await.unwrap();
    f.ledger.touch_token("nobody", 60_000).await.unwrap();
    let mut last = None;
    until("the use is noted", async || {
        last = f.ledger.tokens().await.unwrap()[0].last_used_ms;
        last.is_some()
    })
    .await;
    assert_eq!(last, Some(600_000));
    assert_eq!(f.ledger.log_size().await.unwrap(), 1);
}

#[tokio::test]
async fn a_feed_wakes_on_anybodys_write() {
    let f = Fixture::new().await;
    let mut own = f.ledger.watch();
    assert_eq!(*own.borrow_and_update(), 1);
    f.commit(row()).await.unwrap();
    tokio::time::timeout(PATIENCE, own.changed())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(*own.borrow_and_update(), 2);
    let other = f.other();
    other.commit(row(), Lane::Customer).await.unwrap();
    tokio::time::timeout(PATIENCE, own.changed())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(*own.borrow_and_update(), 3);
}
