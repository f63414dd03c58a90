//! What a suite found, for people, for scripts and for CI.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::timing::Timing;
use crate::problem::{Exit, Problem};
use crate::text::clean_to;

pub mod junit;
pub mod whole;

/// The longest id that is shown: a part of one may be what a server said.
const MAX_ID: usize = 200;

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// As expected.
    Passed,
    /// Otherwise than expected.
    Failed,
    /// Not run, for want of something it needs.
    Skipped,
}

/// Shows a word in the colour of what it means; whoever prints decides whether there is colour.
pub type Painter<'a> = &'a dyn Fn(&str, Status) -> String;

/// One check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// Stable; what `--allow-skip` names.
    pub id: String,
    /// How it ended.
    pub status: Status,
    /// What should have been.
    pub expected: String,
    /// What was.
    pub got: String,
    /// What to do about it; empty when nothing.
    pub fix: String,
}

impl Check {
    /// A check that passed if `passed`.
    pub fn of(id: impl Into<String>, passed: bool, expected: &str, got: &str, fix: &str) -> Self {
        Self {
            id: clean_to(&id.into(), MAX_ID),
            status: if passed {
                Status::Passed
            } else {
                Status::Failed
            },
            expected: clean_to(expected, 600),
            got: clean_to(got, 600),
            fix: if passed {
                String::new()
            } else {
                fix.to_owned()
            },
        }
    }

    /// A check that could not be made.
    pub fn skipped(id: impl Into<String>, why: &str, fix: &str) -> Self {
        Self {
            id: clean_to(&id.into(), MAX_ID),
            status: Status::Skipped,
            expected: "the check to run".to_owned(),
            got: clean_to(why, 600),
            fix: fix.to_owned(),
        }
    }
}

/// A suite's result against one server.
#[derive(Debug, Clone)]
pub struct Report {
    /// Its name.
    pub suite: &'static str,
    /// The server.
    pub url: String,
    /// Every check, in the order they ran.
    pub checks: Vec<Check>,
    /// Facts to print above the sum: counts, who answered.
    pub notes: Vec<String>,
    /// The same for scripts, beside what every report has.
    pub facts: Map<String, Value>,
    /// How far away the server is.
    pub timing: Option<Timing>,
    allowed: Vec<String>,
}

impl Report {
    /// An empty report, which has not passed.
    pub fn new(suite: &'static str, url: &str) -> Self {
        Self {
            suite,
            url: clean_to(url, 300),
            checks: Vec::new(),
            notes: Vec::new(),
            facts: Map::new(),
            timing: None,
            allowed: Vec::new(),
        }
    }

    /// Lets these checks be skipped without failing the suite.
    pub fn allow_skips(&mut self, ids: &[String]) {
        self.allowed = ids.to_vec();
    }

    /// Checks by how they ended: passed, failed, skipped.
    pub fn counts(&self) -> (usize, usize, usize) {
        let count = |status| self.checks.iter().filter(|c| c.status == status).count();
        (
            count(Status::Passed),
            count(Status::Failed),
            count(Status::Skipped),
        )
    }

    /// Nothing failed, nothing was skipped that had to run, and something passed.
    pub fn passed(&self) -> bool {
        self.counts().0 > 0 && self.blocking().next().is_none()
    }

    fn blocking(&self) -> impl Iterator<Item = &Check> {
        self.checks.iter().filter(|c| match c.status {
            Status::Passed => false,
            Status::Failed => true,
            Status::Skipped => !self.allowed.contains(&c.id),
        })
    }

    /// Whether all of it was skipped with leave: it shows nothing, and fails nothing.
    fn left_out(&self) -> bool {
        !self.checks.is_empty() && self.counts().0 == 0 && self.blocking().next().is_none()
    }

    /// Exit 6 with the first check that keeps the suite from passing. Alone, leave to skip helps no
    /// suite of which nothing else is seen.
    pub fn verdict(&self) -> Result<(), Problem> {
        if self.passed() {
            return Ok(());
        }
        let (passed, failed, _) = self.counts();
        let blocked = match (passed, failed) {
            (0, 0) => None,
            _ => self.blocked(),
        };
        Err(blocked.unwrap_or_else(|| self.nothing()))
    }

    /// What the first check says that keeps the suite from passing, among others.
    fn blocked(&self) -> Option<Problem> {
        let check = self.blocking().next()?;
        let (suite, id) = (self.suite, &check.id);
        Some(if check.status == Status::Skipped {
            let fix = format!("{}, or allow it with `--allow-skip {id}`", check.fix);
            unpassed(format!("{suite}: `{id}` was skipped: {}", check.got), fix)
        } else {
            let all = self.blocking().count();
            let cause = format!(
                "{suite}: `{id}` failed ({all} in all): expected {}, got {}",
                check.expected, check.got
            );
            unpassed(cause, check.fix.clone())
        })
    }

    fn nothing(&self) -> Problem {
        let suite = self.suite;
        let Some(check) = self.checks.first() else {
            return unpassed(
                format!("{suite}: no check ran, so nothing is shown"),
                "give the suite what it needs: `--kit DIR` and a server that answers".to_owned(),
            );
        };
        let own = format!("{suite}/");
        let id = check.id.strip_prefix(&own).unwrap_or(&check.id);
        unpassed(
            format!(
                "{suite}: all of it was skipped, so nothing is shown: {}",
                check.got
            ),
            format!(
                "{}; `accept all` goes without this suite with `--allow-skip {own}{id}`",
                check.fix
            ),
        )
    }

    /// The shape that scripts rely on: `docs/accept.schema.json`.
    pub fn to_json(&self) -> Value {
        let mut json = self.summary();
        json["url"] = self.url.as_str().into();
        json["checks"] = json!(self.checks);
        json
    }

    /// The same without the checks.
    fn summary(&self) -> Value {
        let (passed, failed, skipped) = self.counts();
        let mut json = json!({
            "suite": self.suite, "passed": self.passed(),
            "counts": {"passed": passed, "failed": failed, "skipped": skipped},
            "timing": self.timing.as_ref().map(Timing::to_json),
        });
        for (key, value) in &self.facts {
            json[key] = value.clone();
        }
        json
    }

    /// For people: passed checks by group, the others one by one.
    pub fn to_text(&self, paint: Painter<'_>) -> String {
        let mut out = format!("{} against {}\n", self.suite, self.url);
        for (group, count) in self.groups() {
            let ok = paint("ok  ", Status::Passed);
            let _ = writeln!(out, "  {ok} {group} ({count})");
        }
        self.tell(&mut out, paint);
        if let Some(timing) = &self.timing {
            let _ = writeln!(out, "  {}", timing.to_text());
        }
        out.push_str(&self.sum(paint));
        out
    }

    /// What did not pass, and what is to be known besides.
    fn tell(&self, out: &mut String, paint: Painter<'_>) {
        for check in self.checks.iter().filter(|c| c.status != Status::Passed) {
            let word = if check.status == Status::Skipped {
                "skip"
            } else {
                "FAIL"
            };
            let _ = writeln!(out, "  {} {}", paint(word, check.status), check.id);
            let _ = writeln!(out, "       expected: {}", check.expected);
            let _ = writeln!(out, "       got:      {}", check.got);
            let _ = writeln!(out, "       fix:      {}", check.fix);
        }
        for note in &self.notes {
            let _ = writeln!(out, "  {note}");
        }
    }

    fn sum(&self, paint: Painter<'_>) -> String {
        summed(ended(self.passed()), self.counts(), paint)
    }

    /// Passed checks by the part of their id before the first `/`, in the order they ran.
    fn groups(&self) -> Vec<(&str, usize)> {
        let mut place = BTreeMap::new();
        let mut groups: Vec<(&str, usize)> = Vec::new();
        for check in self.checks.iter().filter(|c| c.status == Status::Passed) {
            let own = check.id.strip_prefix(self.suite);
            let id = own.and_then(|id| id.strip_prefix('/')).unwrap_or(&check.id);
            let name = id.split('/').next().unwrap_or(id);
            let at = *place.entry(name).or_insert_with(|| {
                groups.push((name, 0));
                groups.len() - 1
            });
            groups[at].1 += 1;
        }
        groups
    }
}

const fn ended(passed: bool) -> Status {
    if passed {
        Status::Passed
    } else {
        Status::Failed
    }
}

fn unpassed(cause: String, fix: String) -> Problem {
    let exit = Exit::Acceptance;
    Problem::new(exit, "agentkeys.accept.failed", cause, fix)
}

/// The last line of a report.
fn summed(ended: Status, counts: (usize, usize, usize), paint: Painter<'_>) -> String {
    let word = match ended {
        Status::Passed => "passed",
        Status::Failed => "FAILED",
        Status::Skipped => "skipped",
    };
    let word = paint(word, ended);
    let (passed, failed, skipped) = counts;
    format!("{word}: {passed} passed, {failed} failed, {skipped} skipped")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn report(checks: Vec<Check>) -> Report {
        let mut report = Report::new("tools", "http://127.0.0.1:1");
        report.checks = checks;
        report
    }

    fn passed(id: &str) -> Check {
        Check::of(id, true, "a", "a", "")
    }

    #[test]
    fn the_json_is_the_contract() {
        let json = report(vec![passed("a/1"), Check::of("b", false, "x", "y", "z")]).to_json();
        assert_eq!(
            json,
            json!({"suite": "tools", "url": "http://127.0.0.1:1", "passed": false,
            "counts": {"passed": 1, "failed": 1, "skipped": 0}, "timing": null,
            "checks": [
                {"id": "a/1", "status": "passed", "expected": "a", "got": "a", "fix": ""},
                {"id": "b", "status": "failed", "expected": "x", "got": "y", "fix": "z"},
            ]})
        );
    }

    #[test]
    fn nothing_and_skips_do_not_pass() {
        assert_eq!(report(vec![]).verdict().unwrap_err().exit, Exit::Acceptance);
        let mut skipping = report(vec![
            passed("a"),
            Check::skipped("b", "no key", "get a key"),
        ]);
        let problem = skipping.verdict().unwrap_err();
        assert!(
            problem.cause.contains("`b` was skipped") && problem.fix.contains("--allow-skip b")
        );
        skipping.allow_skips(&["b".to_owned()]);
        skipping.verdict().unwrap();
        skipping.checks.remove(0);
        assert!(!skipping.passed(), "only skips show nothing");
        // Leave would not help, so it is not what to do; where it does, is told.
        for leave in [&["b".to_owned()][..], &[]] {
            skipping.allow_skips(leave);
            let problem = skipping.verdict().unwrap_err();
            assert!(problem.cause.contains("no key"), "{problem:?}");
            let told =
                "get a key; `accept all` goes without this suite with `--allow-skip tools/b`";
            assert_eq!(problem.fix, told);
        }
    }

    #[test]
    fn text_groups_what_passed_and_shows_what_did_not() {
        let text = report(vec![
            passed("g/1"),
            passed("g/2"),
            Check::of("h", false, "one row", "two", "look"),
        ])
        .to_text(&|word, _| word.to_owned());
        assert!(
            text.contains("ok   g (2)") && text.contains("FAIL h"),
            "{text}"
        );
        assert!(
            text.ends_with("FAILED: 2 passed, 1 failed, 0 skipped"),
            "{text}"
        );
    }
}
