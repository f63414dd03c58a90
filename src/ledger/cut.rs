//! Emptying the write-ahead log after an erasure: pages from before it are still there, and the
//! salt with them. Whoever erased, in this process or another, whoever writes finishes it.
//!
//! The log cannot be emptied while anybody reads from it. So it is tried for a moment, and again
//! later, and nobody's commit waits for it longer than that moment.

use super::writer::{Answer, Asker};
use super::{open, rows};
use rusqlite::{Connection, ErrorCode, Result};
use std::time::{Duration, Instant};

/// How long one try waits for readers.
const TRY: Duration = Duration::from_millis(50);

/// How long after a try in vain the next one comes; it doubles up to [`LOOK`].
const PAUSE: Duration = Duration::from_millis(50);

/// How often it is looked whether another process erased and went, and tried while it is in vain.
const LOOK: Duration = Duration::from_secs(1);

/// How long whoever erased waits for the old pages to be gone.
const HOLD: Duration = Duration::from_millis(250);

/// Somebody who erased, and is answered once the log is empty, or at the latest then.
struct Held {
    until: Instant,
    asker: Asker,
    answer: Answer,
}

/// What time it is.
pub(super) type Clock = Box<dyn Fn() -> Instant + Send>;

/// What is left to do of erasures.
pub(super) struct Cutter {
    clock: Clock,
    /// When it is looked or tried next.
    due: Instant,
    /// The pause after the last try, while tries are in vain.
    pause: Option<Duration>,
    /// In the order of their times.
    held: Vec<Held>,
}

impl Cutter {
    pub(super) fn new(clock: Clock) -> Self {
        Self {
            due: clock(),
            clock,
            pause: None,
            held: Vec::new(),
        }
    }

    /// Holds an answer back until the erasure it tells of is complete, for a while.
    pub(super) fn hold(&mut self, asker: Asker, answer: Answer) {
        // The next try is not brought forward: many erasures would take the writer's whole time.
        self.held.push(Held {
            until: (self.clock)() + HOLD,
            asker,
            answer,
        });
    }

    /// When there is something to do.
    pub(super) fn due(&self) -> Instant {
        let first = self.held.first().map_or(self.due, |h| h.until);
        first.min(self.due)
    }

    /// Empties the log if somebody erased since it was last empty. To be called after each batch
    /// and when it is due.
    pub(super) fn work(&mut self, c: &Connection) {
        if self.pause.is_none() || (self.clock)() >= self.due {
            self.attempt(c);
        }
        let now = (self.clock)();
        let over = self.held.iter().take_while(|h| h.until <= now).count();
        self.answer(over);
    }

    /// Tries a last time.
    pub(super) fn finish(mut self, c: &Connection) {
        self.attempt(c);
        self.answer(self.held.len());
    }

    fn attempt(&mut self, c: &Connection) {
        let done = empty_log(c).unwrap_or_else(|error| {
            tracing::error!(%error, "the log from before an erasure was not emptied");
            false
        });
        let pause = match (done, self.pause) {
            (true, _) => None,
            (false, None) => {
                tracing::warn!("others read; the log from before an erasure is emptied later");
                Some(PAUSE)
            }
            (false, Some(last)) => Some((last * 2).min(LOOK)),
        };
        self.pause = pause;
        self.due = (self.clock)() + pause.unwrap_or(LOOK);
        if done {
            self.answer(self.held.len());
        }
    }

    fn answer(&mut self, first: usize) {
        for held in self.held.drain(..first) {
            // Whoever asked may have gone.
            let _ = held.asker.send(held.answer);
        }
    }
}

/// Empties the log if somebody erased since it was last empty; says whether nothing is left to do.
fn empty_log(c: &Connection) -> Result<bool> {
    let sql = "SELECT erased FROM head WHERE id = 1 AND erased > cut";
    let Some(erased) = rows::one(c, sql, [], rows::single::<i64>)? else {
        return Ok(true);
    };
    c.busy_timeout(TRY)?;
    let cut = cut(c, erased);
    c.busy_timeout(open::BUSY)?;
    match cut {
        Err(e) if e.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) => Ok(false),
        cut => cut,
    }
}

fn cut(c: &Connection, erased: i64) -> Result<bool> {
    let busy: i64 = c.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |r| r.get(0))?;
    if busy == 0 {
        let sql = "UPDATE head SET cut = max(cut, ?1) WHERE id = 1";
        c.prepare_cached(sql)?.execute([erased])?;
    }
    Ok(busy == 0)
}
