//! Emptying the log after an erasure, on a clock of the test's own.

use super::*;
use crate::ledger::cut::Cutter;
use crate::ledger::open;
use std::sync::Arc;
use tokio::sync::oneshot;
use tokio::sync::oneshot::error::TryRecvError;

struct Bench {
    _dir: TempDir,
    writes: Connection,
    reads: Connection,
    start: Instant,
    passed_ms: Arc<AtomicU64>,
    cutter: Cutter,
}

impl Bench {
    /// Somebody erased, and somebody else reads what was before.
    async fn new() -> Self {
        let Fixture { dir, ledger } = Fixture::new().await;
        drop(ledger);
        let path = dir.path().join("ledger.sqlite");
        let writes = open::prepare(&path).unwrap();
        let reads = Connection::open(&path).unwrap();
        let read = "BEGIN; SELECT count(*) FROM audit_event";
        reads.execute_batch(read).unwrap();
        let erase = "UPDATE head SET erased = erased + 1";
        writes.execute_batch(erase).unwrap();
        let (start, passed_ms) = (Instant::now(), Arc::new(AtomicU64::new(0)));
        let passed = Arc::clone(&passed_ms);
        let clock = move || start + Duration::from_millis(passed.load(Ordering::Relaxed));
        let cutter = Cutter::new(Box::new(clock));
        Self {
            _dir: dir,
            writes,
            reads,
            start,
            passed_ms,
            cutter,
        }
    }

    /// What the writer does after a batch, so long after the start; tells when it is due next.
    fn batch(&mut self, at_ms: u64) -> u64 {
        self.passed_ms.store(at_ms, Ordering::Relaxed);
        self.cutter.work(&self.writes);
        let due = self.cutter.due() - self.start;
        due.as_millis().try_into().unwrap()
    }

    fn cut(&self) -> bool {
        let sql = "SELECT erased = cut FROM head";
        self.writes.query_row(sql, [], |r| r.get(0)).unwrap()
    }
}

#[tokio::test]
async fn a_reader_in_the_way_of_an_erasure_costs_the_others_nothing() {
    let mut b = Bench::new().await;
    // Each try puts the next one off, so they are counted by when that is: two in 149 ms, however
    // many batches there are.
    assert_eq!(b.batch(0), 50);
    for at_ms in 0..50 {
        assert_eq!(b.batch(at_ms), 50);
    }
    for at_ms in 50..150 {
        assert_eq!(b.batch(at_ms), 150);
    }
    // From then on half as often each time, down to once a second.
    for (at_ms, due_ms) in [(150, 350), (350, 750), (750, 1_550), (1_550, 2_550)] {
        assert_eq!(b.batch(at_ms), due_ms);
        assert_eq!(b.batch(due_ms - 1), due_ms);
    }
    assert_eq!(b.batch(2_550), 3_550);
    assert!(!b.cut());
    b.reads.execute_batch("COMMIT").unwrap();
    assert_eq!(b.batch(3_549), 3_550);
    assert!(!b.cut());
    assert_eq!(b.batch(3_550), 4_550);
    assert!(b.cut());
}

#[tokio::test]
async fn who_erased_is_answered_once_it_is_done_or_after_a_while() {
    let mut b = Bench::new().await;
    let hold = |b: &mut Bench| {
        let (asker, answer) = oneshot::channel();
        b.cutter.hold(asker, Ok(Committed::Done { seq: 7 }));
        answer
    };
    let mut answer = hold(&mut b);
    b.batch(0);
    b.batch(249);
    assert!(matches!(answer.try_recv(), Err(TryRecvError::Empty)));
    b.batch(250);
    assert!(matches!(answer.try_recv(), Ok(Ok(_))));
    assert!(!b.cut());

    // The try of 249 was the second, in vain: the next is 100 ms after it.
    let mut answer = hold(&mut b);
    b.reads.execute_batch("COMMIT").unwrap();
    b.batch(348);
    assert!(matches!(answer.try_recv(), Err(TryRecvError::Empty)));
    b.batch(349);
    assert!(matches!(answer.try_recv(), Ok(Ok(_))));
    assert!(b.cut());
}
