//! What the proofs that a person watches have in common: who plays, the steps, and who is told.
//!
//! A proof puts back what it changed whatever becomes of it, so it is never dropped half-way: who
//! wants it to end says so through [`Audience::stop`], and it ends when everything is back.

pub(super) mod children;
pub(super) mod feed;
pub(super) mod parent;
pub(super) mod rail_one;
pub mod show;
pub(super) mod stage;

use std::path::Path;
use std::pin::Pin;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::AcceptError;
use super::kit::Kit;
use super::report::{Check, Report, Status};
use crate::secret::Secret;

/// Where a proof runs.
#[derive(Debug, Clone, Copy)]
pub enum Against<'a> {
    /// A server that is there, with a kit made for it.
    Server {
        /// Its address.
        url: &'a str,
        /// The kit.
        kit: &'a Kit,
        /// Its private certificate authority.
        ca_file: Option<&'a Path>,
    },
    /// A server of our own, in a folder that is gone afterwards.
    Fresh,
}

/// A proof on its way. Boxed: the compiler copies a large future into whatever polls it, and
/// several do.
pub type Played<'a, T> = Pin<Box<dyn Future<Output = Result<Over<T>, AcceptError>> + 'a>>;

/// A proof that is over and has put everything back. A server of its own still runs, so that
/// whoever watched can look at what it left.
#[derive(Debug)]
pub struct Over<T> {
    /// What it showed.
    pub proof: T,
    stage: stage::Stage,
}

impl<T> Over<T> {
    pub(super) const fn new(proof: T, stage: stage::Stage) -> Self {
        Self { proof, stage }
    }

    /// The place of the newest row about whom it was.
    pub async fn last_row(&self) -> Option<u64> {
        self.stage.last_row().await.ok().flatten()
    }

    /// The same with another view of what it showed.
    pub fn map<U>(self, view: impl FnOnce(T) -> U) -> Over<U> {
        Over::new(view(self.proof), self.stage)
    }

    /// Ends a server of the proof's own.
    pub async fn end(self) -> T {
        self.stage.end().await;
        self.proof
    }
}

/// Whose memory it is and where the id comes from.
#[derive(Debug, Clone, Default)]
pub struct Identity {
    /// The actor's id.
    pub actor_omni: String,
    /// Its registered name.
    pub alias: String,
    /// The node above it.
    pub parent_omni: Option<String>,
    /// The step from that node to it.
    pub derivation_path: Option<String>,
    /// The wallet that the node above comes from.
    pub wallet: Option<String>,
}

/// One step of a proof.
#[derive(Debug, Clone)]
pub struct Step {
    /// Stable; exit 6 names it.
    pub id: &'static str,
    /// How it ended.
    pub status: Status,
    /// How long it took.
    pub ms: u64,
    /// What should have been.
    pub expected: String,
    /// What was.
    pub got: String,
    /// Whether it could have failed: one that only had to end is no check.
    pub judged: bool,
}

/// What a run tells while it works.
#[derive(Debug, Clone, Copy)]
pub enum Progress<'a> {
    /// The server is up and the cast is known: whoever shows the feed can follow it from here.
    Stage(Setting<'a>),
    /// A step begins.
    Begins(&'a str),
    /// It is over.
    Done(&'a Step),
}

/// Where a proof plays, for who follows its feed (`/v1/audit/stream`).
#[derive(Debug, Clone, Copy)]
pub struct Setting<'a> {
    /// The server's address, without `/mcp`.
    pub url: &'a str,
    /// Its private certificate authority.
    pub ca_file: Option<&'a Path>,
    /// The token that reads all of its log. The proof itself holds one of its feeds.
    pub auditor: &'a Secret<String>,
    /// Whom it is about.
    pub identity: &'a Identity,
}

/// Who watches a proof, and may end it.
#[derive(Clone, Copy)]
pub struct Audience<'a> {
    /// Hears each step's id before and its end after.
    pub progress: &'a (dyn Fn(Progress<'_>) + Sync),
    /// Cancelled when the proof is to end early.
    pub stop: &'a CancellationToken,
    /// After each step, for people to read what it showed.
    pub rest: Duration,
}

impl Audience<'_> {
    /// An error as soon as the proof is to end.
    pub(super) fn going_on(&self) -> Result<(), AcceptError> {
        AcceptError::going_on(self.stop)
    }

    /// What comes of work that may be cut off anywhere, having changed nothing that stays.
    pub(super) async fn unless_stopped<T>(
        &self,
        work: impl Future<Output = Result<T, AcceptError>>,
    ) -> Result<T, AcceptError> {
        tokio::select! {
            done = work => done,
            () = self.stop.cancelled() => Err(AcceptError::Interrupted),
        }
    }
}

/// The JSON lines a child printed.
pub(super) type Lines = Vec<Value>;

/// The lines in which a host tells of its calls, in order.
pub(super) fn calls(lines: &Lines) -> impl Iterator<Item = &Value> {
    let told = |line: &&Value| line.get("event").and_then(Value::as_str) == Some("call");
    lines.iter().filter(told)
}

/// The line in which a host tells of its first call of a tool.
pub(super) fn call<'a>(lines: &'a Lines, tool: &str) -> Option<&'a Value> {
    calls(lines).find(|l| l.get("tool").and_then(Value::as_str) == Some(tool))
}

/// One thing that must hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Assertion {
    pub id: &'static str,
    pub holds: bool,
    pub expected: String,
    pub got: String,
    /// How long what it is about took.
    pub ms: u64,
}

pub(super) fn assert(
    id: &'static str,
    holds: bool,
    expected: impl Into<String>,
    got: impl Into<String>,
) -> Assertion {
    Assertion {
        id,
        holds,
        expected: expected.into(),
        got: got.into(),
        ms: 0,
    }
}

impl Assertion {
    /// The same about something that took this long.
    pub(super) const fn took(mut self, ms: u64) -> Self {
        self.ms = ms;
        self
    }
}

impl From<Assertion> for Step {
    fn from(assertion: Assertion) -> Self {
        Self {
            id: assertion.id,
            status: if assertion.holds {
                Status::Passed
            } else {
                Status::Failed
            },
            ms: assertion.ms,
            expected: assertion.expected,
            got: assertion.got,
            judged: true,
        }
    }
}

/// The steps so far, each told when it is over.
pub(super) struct Steps<'a> {
    pub all: Vec<Step>,
    audience: Audience<'a>,
}

impl<'a> Steps<'a> {
    pub(super) const fn new(audience: Audience<'a>) -> Self {
        Self {
            all: Vec::new(),
            audience,
        }
    }

    pub(super) fn begin(&self, id: &str) -> Instant {
        (self.audience.progress)(Progress::Begins(id));
        Instant::now()
    }

    /// A step that ended at all; one that could not is an error of the run.
    pub(super) async fn done(&mut self, id: &'static str, began: Instant) {
        let text = "done".to_owned();
        self.push(Step {
            id,
            status: Status::Passed,
            ms: since(began),
            expected: text.clone(),
            got: text,
            judged: false,
        })
        .await;
    }

    pub(super) async fn judged(&mut self, assertion: Assertion) {
        self.push(assertion.into()).await;
    }

    async fn push(&mut self, step: Step) {
        let Audience {
            progress,
            stop,
            rest,
        } = self.audience;
        progress(Progress::Done(&step));
        self.all.push(step);
        if !rest.is_zero() {
            // Ends by itself, or at once for who does not want to see more.
            let _ = tokio::time::timeout(rest, stop.cancelled()).await;
        }
    }
}

/// Milliseconds since then.
pub(super) fn since(began: Instant) -> u64 {
    u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX)
}

/// Whether every step and assertion held.
pub(super) fn passed(steps: &[Step]) -> bool {
    !steps.is_empty() && steps.iter().all(|s| s.status == Status::Passed)
}

/// A proof as a suite's report: a check for each step that was judged.
pub(super) fn report(suite: &'static str, url: &str, steps: &[Step], fix: &str) -> Report {
    let mut report = Report::new(suite, url);
    let check = |s: &Step| {
        let held = s.status == Status::Passed;
        Check::of(s.id, held, &s.expected, &s.got, fix)
    };
    report.checks = steps.iter().filter(|s| s.judged).map(check).collect();
    report
}

/// The steps as the contract has them.
pub(super) fn steps_json(steps: &[Step]) -> Value {
    let step = |s: &Step| json!({"id": s.id, "status": s.status, "ms": s.ms});
    steps.iter().map(step).collect()
}
