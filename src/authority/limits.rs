//! Bounds on what one caller may ask, and folding of what strangers repeat. Time comes in.

use super::event::Subject;
use super::refusal::Cause;
use parking_lot::Mutex;
use std::collections::HashMap;

/// Calls per second and burst; zero means no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Steady rate.
    pub per_second: u32,
    /// What may come at once.
    pub burst: u32,
}

#[derive(Debug, Clone, Copy)]
struct Bucket {
    tokens: f64,
    at_us: u64,
}

/// Token buckets by key, bounded in number.
#[derive(Debug)]
pub struct Buckets {
    /// What comes back each second; zero means no limit.
    rate: f64,
    burst: f64,
    by_key: Mutex<HashMap<String, Bucket>>,
}

/// More keys than this and the full buckets are forgotten: forgetting a full one changes nothing.
const MAX_BUCKETS: usize = 100_000;

impl Buckets {
    /// Buckets of one rate.
    pub fn new(rate: Rate) -> Self {
        Self::filling(f64::from(rate.per_second), rate.burst)
    }

    /// Buckets of `burst` that get one back every so many seconds.
    pub fn slow(seconds: u32, burst: u32) -> Self {
        Self::filling(1.0 / f64::from(seconds.max(1)), burst)
    }

    fn filling(rate: f64, burst: u32) -> Self {
        Self {
            rate,
            burst: f64::from(burst.max(1)),
            by_key: Mutex::new(HashMap::new()),
        }
    }

    /// Takes one; else says how many whole seconds to wait.
    pub fn take(&self, key: &str, now_us: u64) -> Result<(), u64> {
        self.change(key, now_us, |tokens| {
            if tokens < 1.0 {
                Err(tokens)
            } else {
                Ok(Some(tokens - 1.0))
            }
        })
    }

    /// Whether there is one left, taking none; else says how many whole seconds to wait.
    pub fn look(&self, key: &str, now_us: u64) -> Result<(), u64> {
        self.change(key, now_us, |tokens| {
            if tokens < 1.0 { Err(tokens) } else { Ok(None) }
        })
    }

    /// Takes one whether or not there is one: what went wrong at the same moment is paid for later.
    pub fn charge(&self, key: &str, now_us: u64) {
        // Too many keys, and nothing can be noted: then nothing is let in either.
        let _ = self.change(key, now_us, |tokens| Ok(Some(tokens - 1.0)));
    }

    /// What a bucket holds, and what `change` makes of it: the tokens to keep, nothing to leave it
    /// as it is, or the tokens that are too few.
    fn change(
        &self,
        key: &str,
        now_us: u64,
        change: impl FnOnce(f64) -> Result<Option<f64>, f64>,
    ) -> Result<(), u64> {
        if self.rate <= 0.0 {
            return Ok(());
        }
        let mut buckets = self.by_key.lock();
        let filled = |b: &Bucket| {
            #[allow(clippy::cast_precision_loss)]
            let passed = now_us.saturating_sub(b.at_us) as f64 / 1e6;
            (passed.mul_add(self.rate, b.tokens)).min(self.burst)
        };
        if buckets.len() >= MAX_BUCKETS && !buckets.contains_key(key) {
            buckets.retain(|_, b| filled(b) < self.burst);
            if buckets.len() >= MAX_BUCKETS {
                return Err(1);
            }
        }
        let tokens = buckets.get(key).map_or(self.burst, filled);
        let kept = change(tokens).map_err(|tokens| {
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
            let wait = ((1.0 - tokens) / self.rate).ceil() as u64;
            wait.max(1)
        })?;
        let Some(tokens) = kept else {
            return Ok(());
        };
        let bucket = Bucket {
            tokens,
            at_us: now_us,
        };
        if let Some(slot) = buckets.get_mut(key) {
            *slot = bucket;
        } else {
            buckets.insert(key.to_owned(), bucket);
        }
        Ok(())
    }
}

/// What repeated refusals are counted under once they fold.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FoldKey {
    /// The address it came from, or the token it came with.
    pub source: String,
    /// Why it was refused.
    pub cause: Cause,
}

/// Refusals that were counted instead of written one by one.
#[derive(Debug, Clone)]
pub struct Folded {
    /// What they have in common.
    pub key: FoldKey,
    /// Whose token they came with; nobody's for strangers.
    pub subject: Subject,
    /// How many.
    pub count: u64,
    /// The minute, Unix.
    pub minute: i64,
}

/// Rows a minute one source may cause for one reason before they fold.
const PER_SOURCE: u64 = 600;
/// Rows a minute all strangers together may cause before they fold.
const GLOBAL: u64 = 5_000;
/// Sources counted apart; beyond it they share one line.
const MAX_SOURCES: usize = 10_000;

/// Decides which refusals get a row of their own. Sums are exact: what is not written is counted,
/// and [`Folds::drain`] hands the counts over to be written.
#[derive(Debug, Default)]
pub struct Folds {
    state: Mutex<FoldState>,
}

#[derive(Debug, Default)]
struct FoldState {
    minute: i64,
    all: u64,
    seen: HashMap<FoldKey, u64>,
    folded: HashMap<FoldKey, (u64, Subject)>,
    due: Vec<Folded>,
}

/// What sources share that are too many to be counted apart.
const OTHERS: &str = "others";

impl Folds {
    /// Whether this refusal of a stranger gets its own row.
    pub fn stranger(&self, key: FoldKey, now_ms: i64) -> bool {
        let mut state = self.state.lock();
        state.turn(now_ms / 60_000);
        state.all += 1;
        let own_row = state.all <= GLOBAL;
        state.count(key, PER_SOURCE, own_row, Subject::default)
    }

    /// Whether this 429 of a token gets its own row: the first of each minute does.
    pub fn limited(&self, key: FoldKey, subject: &Subject, now_ms: i64) -> bool {
        let mut state = self.state.lock();
        state.turn(now_ms / 60_000);
        state.count(key, 1, true, || Subject {
            actor: None,
            ..subject.clone()
        })
    }

    /// Counts a refusal of a stranger whose row could not be queued.
    pub fn unwritten(&self, key: FoldKey, now_ms: i64) {
        let mut state = self.state.lock();
        state.turn(now_ms / 60_000);
        state.count(key, u64::MAX, false, Subject::default);
    }

    /// The counts of past minutes (of the running one too when `all`), to be written as rows.
    pub fn drain(&self, now_ms: i64, all: bool) -> Vec<Folded> {
        let mut state = self.state.lock();
        state.turn(now_ms / 60_000);
        if all {
            state.close();
        }
        std::mem::take(&mut state.due)
    }

    /// Puts back what could not be written.
    pub fn restore(&self, folded: Folded) {
        self.state.lock().due.push(folded);
    }
}

impl FoldState {
    /// Whether it gets its own row; else it is counted.
    fn count(
        &mut self,
        mut key: FoldKey,
        own_limit: u64,
        own_row: bool,
        subject: impl FnOnce() -> Subject,
    ) -> bool {
        if self.seen.len() >= MAX_SOURCES && !self.seen.contains_key(&key) {
            OTHERS.clone_into(&mut key.source);
        }
        let seen = self.seen.entry(key.clone()).or_insert(0);
        *seen += 1;
        if own_row && *seen <= own_limit {
            return true;
        }
        let shared = key.source == OTHERS;
        let folded = self.folded.entry(key).or_insert_with(|| {
            let subject = if shared {
                Subject::default()
            } else {
                subject()
            };
            (0, subject)
        });
        folded.0 += 1;
        false
    }

    fn turn(&mut self, minute: i64) {
        if minute != self.minute {
            self.close();
            self.minute = minute;
            self.all = 0;
            self.seen.clear();
        }
    }

    fn close(&mut self) {
        let minute = self.minute;
        let mut due: Vec<_> = self
            .folded
            .drain()
            .map(|(key, (count, subject))| Folded {
                key,
                subject,
                count,
                minute,
            })
            .collect();
        due.sort_by(|a, b| a.key.source.cmp(&b.key.source));
        self.due.append(&mut due);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_empties_and_fills() {
        let buckets = Buckets::new(Rate {
            per_second: 2,
            burst: 3,
        });
        for _ in 0..3 {
            assert_eq!(buckets.take("a", 0), Ok(()));
        }
        assert_eq!(buckets.take("a", 0), Err(1));
        assert_eq!(buckets.take("b", 0), Ok(()));
        assert_eq!(buckets.take("a", 500_000), Ok(()));
        assert_eq!(buckets.take("a", 500_000), Err(1));
    }

    #[test]
    fn what_goes_wrong_is_charged_afterwards_and_may_go_into_debt() {
        let buckets = Buckets::slow(60, 2);
        let minutes = |n: u64| n * 60_000_000;
        for _ in 0..100 {
            assert_eq!(buckets.look("a", 0), Ok(()));
        }
        for _ in 0..4 {
            buckets.charge("a", 0);
        }
        assert_eq!(buckets.look("a", 0), Err(180));
        assert_eq!(buckets.look("a", minutes(2)), Err(60));
        assert_eq!(buckets.look("a", minutes(3)), Ok(()));
        assert_eq!(buckets.look("b", 0), Ok(()));
    }

    #[test]
    fn no_rate_means_no_limit() {
        let buckets = Buckets::new(Rate {
            per_second: 0,
            burst: 0,
        });
        assert!((0..10_000).all(|_| buckets.take("a", 0).is_ok()));
    }

    #[test]
    fn a_flood_folds_and_the_sum_stays_exact() {
        let folds = Folds::default();
        let key = |s: &str| FoldKey {
            source: s.into(),
            cause: Cause::TokenUnknown,
        };
        let rows = (0..1_000)
            .filter(|_| folds.stranger(key("1.2.3.4"), 0))
            .count();
        assert_eq!(rows, 600);
        assert!(folds.stranger(key("5.6.7.8"), 0));
        assert!(folds.drain(0, false).is_empty());
        let folded = folds.drain(60_000, false);
        assert_eq!(folded.len(), 1);
        assert_eq!(folded[0].count, 400);
        assert!(folds.drain(60_000, true).is_empty());
    }

    #[test]
    fn what_could_not_be_written_is_counted() {
        let folds = Folds::default();
        let key = FoldKey {
            source: "1.2.3.4".into(),
            cause: Cause::RateLimited,
        };
        folds.unwritten(key.clone(), 0);
        folds.unwritten(key, 0);
        assert_eq!(folds.drain(0, true)[0].count, 2);
    }

    #[test]
    fn strangers_together_have_a_limit_too() {
        let folds = Folds::default();
        let rows = (0..6_000)
            .filter(|i| {
                folds.stranger(
                    FoldKey {
                        source: (i / 100).to_string(),
                        cause: Cause::TokenUnknown,
                    },
                    0,
                )
            })
            .count();
        assert_eq!(rows, 5_000);
        assert_eq!(
            folds.drain(0, true).iter().map(|f| f.count).sum::<u64>(),
            1_000
        );
    }
}
