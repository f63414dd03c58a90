//! The one that writes. A thread takes every Unit that waits, commits them in one transaction
//! with one sync, and only then answers them all.

use super::cut::Cutter;
use super::turn::Door;
use super::{apply, guard, rows};
use crate::authority::event::Event;
use crate::authority::ports::{Committed, Effect, Lane, LedgerError, Meter, Unit};
use parking_lot::{Condvar, Mutex, MutexGuard};
use rusqlite::{Connection, Result};
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::{oneshot, watch};

/// The most Units in one transaction.
const BATCH: usize = 256;

/// Strangers get at most this many of them.
const STRANGERS: usize = BATCH / 4;

/// How long a noted use of a token waits for somebody else's commit.
const TOUCH_WAIT: Duration = Duration::from_secs(1);

/// The most tokens whose use waits to be noted.
const TOUCHES: usize = 4096;

/// What whoever asked for a commit is told.
pub(super) type Answer = Result<Committed, LedgerError>;

/// The way back to whoever asked.
pub(super) type Asker = oneshot::Sender<Answer>;

struct Job {
    unit: Unit,
    answer: Asker,
}

#[derive(Default)]
struct Waiting {
    customers: VecDeque<Job>,
    strangers: VecDeque<Job>,
    touches: HashMap<String, i64>,
    /// No more Units are taken: the ledger is being closed, or the thread has died.
    closed: bool,
}

impl Waiting {
    /// The next batch, customers first.
    fn take(&mut self) -> (Vec<Job>, HashMap<String, i64>) {
        let strangers = self.strangers.len().min(STRANGERS);
        let customers = self.customers.len().min(BATCH - strangers);
        let mut jobs: Vec<Job> = self.customers.drain(..customers).collect();
        jobs.extend(self.strangers.drain(..strangers));
        (jobs, std::mem::take(&mut self.touches))
    }

    fn units(&self) -> bool {
        !self.customers.is_empty() || !self.strangers.is_empty()
    }
}

#[derive(Default)]
struct Shared {
    waiting: Mutex<Waiting>,
    wake: Condvar,
}

/// How many Units may wait in each lane.
#[derive(Debug, Clone, Copy)]
pub(super) struct Room {
    pub(super) customers: usize,
    pub(super) strangers: usize,
}

/// Who is told of each row, if anybody.
pub(super) type Metered = Arc<OnceLock<Arc<dyn Meter>>>;

/// The way to the writing thread. Dropping it finishes what waits.
pub(super) struct Writer {
    shared: Arc<Shared>,
    meter: Metered,
    room: Room,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    pub(super) fn start(
        connection: Connection,
        door: Door,
        room: Room,
        size: watch::Sender<u64>,
    ) -> std::io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let meter = Metered::default();
        let told = Arc::clone(&meter);
        let alive = Alive(Arc::clone(&shared));
        let thread = std::thread::Builder::new()
            .name("ledger-writer".to_owned())
            .spawn(move || {
                let alive = alive;
                let batches = Batches {
                    connection,
                    door,
                    size,
                    cutter: Cutter::new(Box::new(Instant::now)),
                    meter: told,
                };
                batches.run(&alive.0);
            })?;
        Ok(Self {
            shared,
            meter,
            room,
            thread: Some(thread),
        })
    }

    /// Who is told of each row from now on; the first stays.
    pub(super) fn metered_by(&self, meter: Arc<dyn Meter>) {
        let _ = self.meter.set(meter);
    }

    /// Queues a Unit; the receiver gets its answer once it is on disk.
    pub(super) fn submit(
        &self,
        unit: Unit,
        lane: Lane,
    ) -> Result<oneshot::Receiver<Answer>, LedgerError> {
        let mut waiting = self.open()?;
        let (queue, room) = match lane {
            Lane::Customer => (&mut waiting.customers, self.room.customers),
            Lane::Stranger => (&mut waiting.strangers, self.room.strangers),
        };
        if queue.len() >= room {
            return Err(LedgerError::Full);
        }
        let (answer, receiver) = oneshot::channel();
        queue.push_back(Job { unit, answer });
        drop(waiting);
        self.shared.wake.notify_one();
        Ok(receiver)
    }

    /// Queues a note that a token was used.
    pub(super) fn touch(&self, token_id: &str, at_ms: i64) -> Result<(), LedgerError> {
        let mut waiting = self.open()?;
        if waiting.touches.len() >= TOUCHES && !waiting.touches.contains_key(token_id) {
            return Err(LedgerError::Full);
        }
        note(&mut waiting.touches, token_id.to_owned(), at_ms);
        let alone = !waiting.units();
        drop(waiting);
        if alone {
            // It starts to wait with a limit.
            self.shared.wake.notify_one();
        }
        Ok(())
    }

    fn open(&self) -> Result<MutexGuard<'_, Waiting>, LedgerError> {
        let waiting = self.shared.waiting.lock();
        if waiting.closed {
            return Err(stopped());
        }
        Ok(waiting)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.shared.waiting.lock().closed = true;
        self.shared.wake.notify_one();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the ledger's writer died");
        }
    }
}

/// What a commit is told when there is nobody to make it durable.
pub(super) fn stopped() -> LedgerError {
    LedgerError::Failed("its writer has stopped".to_owned())
}

fn note(touches: &mut HashMap<String, i64>, token_id: String, at_ms: i64) {
    let last = touches.entry(token_id).or_insert(at_ms);
    *last = at_ms.max(*last);
}

/// However the thread ends, nobody waits for it for ever: dropping a job answers it.
struct Alive(Arc<Shared>);

impl Drop for Alive {
    fn drop(&mut self) {
        let mut waiting = self.0.waiting.lock();
        waiting.closed = true;
        waiting.customers.clear();
        waiting.strangers.clear();
    }
}

/// What one Unit came to inside the transaction.
struct Applied {
    committed: Committed,
    /// It wrote an event.
    logged: bool,
    /// It destroyed a salt.
    erased: bool,
}

/// What one of a batch is told.
struct Told {
    answer: Answer,
    /// It destroyed a salt.
    erased: bool,
}

/// The row that a Unit came to.
fn written<'u>(unit: &'u Unit, answer: &Answer) -> Option<&'u Event> {
    match answer {
        Ok(Committed::Done { .. }) => Some(&unit.event),
        Ok(Committed::Refused { guard, .. }) => unit.guards.get(*guard)?.refused.as_ref(),
        Ok(Committed::Stale) | Err(_) => None,
    }
}

struct Batches {
    connection: Connection,
    door: Door,
    size: watch::Sender<u64>,
    cutter: Cutter,
    meter: Metered,
}

impl Batches {
    fn run(mut self, shared: &Shared) {
        // Whoever erased last may have died before the log was emptied.
        self.cutter.work(&self.connection);
        loop {
            let mut waiting = shared.waiting.lock();
            while !waiting.units() && !waiting.closed {
                let mut until = self.cutter.due();
                if !waiting.touches.is_empty() {
                    until = until.min(Instant::now() + TOUCH_WAIT);
                }
                if shared.wake.wait_until(&mut waiting, until).timed_out() {
                    break;
                }
            }
            let (jobs, touches) = waiting.take();
            let closed = waiting.closed;
            drop(waiting);
            if jobs.is_empty() && touches.is_empty() {
                if closed {
                    return self.cutter.finish(&self.connection);
                }
                self.cutter.work(&self.connection);
                continue;
            }
            if let Err(touches) = self.batch(jobs, touches)
                && !closed
            {
                let mut waiting = shared.waiting.lock();
                for (token_id, at_ms) in touches {
                    note(&mut waiting.touches, token_id, at_ms);
                }
            }
        }
    }

    /// Commits a batch and answers it. Hands back the uses that could not be noted.
    fn batch(
        &mut self,
        jobs: Vec<Job>,
        touches: HashMap<String, i64>,
    ) -> Result<(), HashMap<String, i64>> {
        let (units, askers): (Vec<_>, Vec<_>) =
            jobs.into_iter().map(|j| (j.unit, j.answer)).unzip();
        match self.commit(&units, &touches) {
            Ok((answers, size)) => {
                self.size.send_if_modified(|seen| grow(seen, size));
                if let Some(meter) = self.meter.get() {
                    let rows = units.iter().zip(&answers);
                    rows.filter_map(|(unit, told)| written(unit, &told.answer))
                        .for_each(|event| meter.wrote(event));
                }
                for (asker, told) in askers.into_iter().zip(answers) {
                    if told.erased {
                        self.cutter.hold(asker, told.answer);
                    } else {
                        // Whoever asked may have gone; what it asked for is done all the same.
                        let _ = asker.send(told.answer);
                    }
                }
                self.cutter.work(&self.connection);
                Ok(())
            }
            Err(error) => {
                tracing::error!(%error, "a batch was not committed");
                if !self.connection.is_autocommit()
                    && let Err(error) = self.connection.execute_batch("ROLLBACK")
                {
                    tracing::error!(%error, "a batch was not rolled back");
                }
                let failed = LedgerError::Failed(error.to_string());
                for asker in askers {
                    let _ = asker.send(Err(failed.clone()));
                }
                Err(touches)
            }
        }
    }

    /// One transaction, one sync. An error here is everybody's.
    fn commit(
        &mut self,
        units: &[Unit],
        touches: &HashMap<String, i64>,
    ) -> Result<(Vec<Told>, u64)> {
        let c = &self.connection;
        // The write lock is held from here to the commit, against other processes too, so the
        // places taken below are the next ones.
        let turn = self.door.turn();
        c.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        drop(turn);
        let first = rows::whole(rows::log_size(c)?)?;
        let mut next = first;
        let mut answers = Vec::with_capacity(units.len());
        for unit in units {
            answers.push(match perform(c, unit, next) {
                Ok(applied) => {
                    next += i64::from(applied.logged);
                    Told {
                        answer: Ok(applied.committed),
                        erased: applied.erased,
                    }
                }
                Err(Trouble::Everybodys(error)) => return Err(error),
                // A full disk and its like end the whole transaction, not one statement.
                Err(Trouble::Units(error)) if c.is_autocommit() => return Err(error),
                Err(Trouble::Units(error)) => {
                    tracing::error!(%error, "a Unit was not applied");
                    Told {
                        answer: Err(LedgerError::Failed(error.to_string())),
                        erased: false,
                    }
                }
            });
        }
        for (token_id, at_ms) in touches {
            apply::touch_token(c, token_id, *at_ms)?;
        }
        if next != first {
            let sql = "UPDATE audit_head SET next_seq = next_seq + ?1 WHERE id = 1 \
                       RETURNING next_seq";
            if rows::number(c, sql, [next - first])? != next {
                return Err(rows::broken("size of the log"));
            }
        }
        c.prepare_cached("COMMIT")?.execute([])?;
        let size = u64::try_from(next).map_err(|_| rows::broken("size of the log"))?;
        Ok((answers, size))
    }
}

/// Moves a size that was seen forward, never back; says whether it moved.
pub(super) const fn grow(seen: &mut u64, size: u64) -> bool {
    let grown = size > *seen;
    if grown {
        *seen = size;
    }
    grown
}

/// Whose failure it is.
enum Trouble {
    /// The Unit's alone; it left nothing behind.
    Units(rusqlite::Error),
    /// The batch's: the Unit may have left something behind.
    Everybodys(rusqlite::Error),
}

impl From<rusqlite::Error> for Trouble {
    fn from(error: rusqlite::Error) -> Self {
        Self::Units(error)
    }
}

/// Tests a Unit's guards and does what follows, at the given place in the log.
fn perform(c: &Connection, unit: &Unit, seq: i64) -> Result<Applied, Trouble> {
    let place = u64::try_from(seq).map_err(|_| rows::broken("size of the log"))?;
    let done = |committed, logged| Applied {
        committed,
        logged,
        erased: false,
    };
    if let Some(guard) = guard::first_broken(c, &unit.guards, unit.event.ts_ms)? {
        let refused = unit.guards.get(guard).and_then(|g| g.refused.as_ref());
        let Some(event) = refused else {
            return Ok(done(Committed::Stale, false));
        };
        apply::append(c, seq, event)?;
        return Ok(done(Committed::Refused { guard, seq: place }, true));
    }
    if unit.effects.is_empty() {
        // One statement undoes itself when it fails.
        apply::append(c, seq, &unit.event)?;
        return Ok(done(Committed::Done { seq: place }, true));
    }
    savepoint(c, "SAVEPOINT unit")?;
    if let Err(error) = all(c, &unit.effects, &unit.event, seq) {
        if !c.is_autocommit() {
            savepoint(c, "ROLLBACK TO unit").map_err(Trouble::Everybodys)?;
            savepoint(c, "RELEASE unit").map_err(Trouble::Everybodys)?;
        }
        return Err(error.into());
    }
    savepoint(c, "RELEASE unit").map_err(Trouble::Everybodys)?;
    let erases = |e: &Effect| matches!(e, Effect::Erase { .. });
    Ok(Applied {
        erased: unit.effects.iter().any(erases),
        ..done(Committed::Done { seq: place }, true)
    })
}

fn savepoint(c: &Connection, sql: &str) -> Result<()> {
    c.prepare_cached(sql)?.execute([]).map(|_| ())
}

fn all(c: &Connection, effects: &[Effect], event: &Event, seq: i64) -> Result<()> {
    for effect in effects {
        apply::effect(c, effect)?;
    }
    apply::append(c, seq, event)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authority::event::{Counts, Event};

    fn job() -> Job {
        let event = Event {
            id: String::new(),
            ts_ms: 0,
            actor: None,
            vendor: None,
            rail: None,
            tool: String::new(),
            verdict: "deny",
            namespace: None,
            envelope: Vec::new(),
            counts: Counts::NONE,
        };
        let unit = Unit {
            guards: Vec::new(),
            effects: Vec::new(),
            event,
        };
        Job {
            unit,
            answer: oneshot::channel().0,
        }
    }

    #[test]
    fn strangers_get_at_most_a_quarter_of_a_batch() {
        let taken = |customers: usize, strangers: usize| {
            let mut waiting = Waiting::default();
            waiting.customers.extend((0..customers).map(|_| job()));
            waiting.strangers.extend((0..strangers).map(|_| job()));
            let jobs = waiting.take().0.len();
            let left = (waiting.customers.len(), waiting.strangers.len());
            (jobs, customers - left.0, strangers - left.1)
        };
        assert_eq!(taken(1000, 256), (256, 192, 64));
        assert_eq!(taken(0, 256), (64, 0, 64));
        assert_eq!(taken(1000, 0), (256, 256, 0));
        assert_eq!(taken(3, 2), (5, 3, 2));
    }
}
