//! Every suite's report in one.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::{Painter, Report, Status, ended, summed};
use crate::acceptance::timing::Timing;
use crate::problem::{Exit, Problem};
use crate::text::clean_to;

/// What all of them are called together.
pub const ALL: &str = "all";

/// How a suite ended.
#[derive(Debug, Clone)]
pub enum Ended {
    /// It ran; whether it passed is in its report.
    Report(Box<Report>),
    /// It could not run, or not to its end.
    Broken(Problem),
}

/// Every suite, in the order they ran.
#[derive(Debug, Clone)]
pub struct Whole {
    /// The server.
    pub url: String,
    /// Each by its name.
    pub suites: Vec<(&'static str, Ended)>,
    /// How far away the server is.
    pub timing: Option<Timing>,
}

impl Whole {
    /// Nothing yet, which has not passed.
    pub fn new(url: &str) -> Self {
        Self {
            url: clean_to(url, 300),
            suites: Vec::new(),
            timing: None,
        }
    }

    /// Adds a suite. Its checks' ids begin with its name from now on.
    pub fn add(&mut self, name: &'static str, mut ended: Ended, allowed: &[String]) {
        if let Ended::Report(report) = &mut ended {
            let prefix = format!("{name}/");
            for check in &mut report.checks {
                if !check.id.starts_with(&prefix) {
                    check.id.insert_str(0, &prefix);
                }
            }
            report.allow_skips(allowed);
        }
        self.suites.push((name, ended));
    }

    /// Every suite ran and passed, but for those of which all was skipped with leave.
    pub fn passed(&self) -> bool {
        let good = |ended: &Ended| matches!(ended, Ended::Report(r) if r.passed() || r.left_out());
        self.reports().any(Report::passed) && self.suites.iter().all(|(_, ended)| good(ended))
    }

    fn reports(&self) -> impl Iterator<Item = &Report> {
        self.suites.iter().filter_map(|(_, ended)| match ended {
            Ended::Report(report) => Some(&**report),
            Ended::Broken(_) => None,
        })
    }

    fn counts(&self) -> (usize, usize, usize) {
        let counts = self.reports().map(Report::counts);
        counts.fold((0, 0, 0), |a, b| (a.0 + b.0, a.1 + b.1, a.2 + b.2))
    }

    /// What keeps all of it from passing: what could not be reached before what failed, since that
    /// is where to look first.
    pub fn verdict(&self) -> Result<(), Problem> {
        let broken = || {
            self.suites.iter().filter_map(|(name, ended)| match ended {
                Ended::Broken(problem) => Some((name, problem)),
                Ended::Report(_) => None,
            })
        };
        let unreachable = broken().find(|(_, p)| p.exit == Exit::Unreachable);
        if let Some((name, problem)) = unreachable.or_else(|| broken().next()) {
            let cause = format!("{name} could not run to its end: {}", problem.cause);
            return Err(Problem::new(
                problem.exit,
                problem.code,
                cause,
                problem.fix.as_str(),
            ));
        }
        if let Some(problem) = self.reports().find_map(Report::blocked) {
            return Err(problem);
        }
        if self.passed() {
            return Ok(());
        }
        Report::new(ALL, &self.url).verdict()
    }

    /// The shape that scripts rely on: `docs/accept.schema.json`.
    pub fn to_json(&self) -> Value {
        let (passed, failed, skipped) = self.counts();
        let checks: Vec<_> = self.reports().flat_map(|r| &r.checks).collect();
        let suites = self.suites.iter().map(|(name, ended)| match ended {
            Ended::Report(report) => report.summary(),
            Ended::Broken(problem) => json!({
                "suite": name, "passed": false,
                "counts": {"passed": 0, "failed": 0, "skipped": 0}, "timing": null,
                "error": {
                    "code": problem.code, "cause": clean_to(&problem.cause, 600),
                    "fix": clean_to(&problem.fix, 600), "exit": problem.exit as u8,
                },
            }),
        });
        json!({
            "suite": ALL, "passed": self.passed(),
            "counts": {"passed": passed, "failed": failed, "skipped": skipped},
            "timing": self.timing.as_ref().map(Timing::to_json),
            "url": self.url, "checks": checks, "suites": suites.collect::<Vec<_>>(),
        })
    }

    /// For people: each suite with its own sum, and all of them.
    pub fn to_text(&self, paint: Painter<'_>) -> String {
        let mut out = format!("{ALL} against {}\n", self.url);
        for (name, ended) in &self.suites {
            match ended {
                Ended::Report(report) => {
                    let _ = writeln!(
                        out,
                        "{name}: {}",
                        summed(how(report), report.counts(), paint)
                    );
                    report.tell(&mut out, paint);
                }
                Ended::Broken(problem) => {
                    let word = paint("FAILED", Status::Failed);
                    let _ = writeln!(out, "{name}: {word}: it could not run to its end");
                    let _ = writeln!(out, "       cause:    {}", clean_to(&problem.cause, 600));
                    let _ = writeln!(out, "       fix:      {}", clean_to(&problem.fix, 600));
                }
            }
        }
        if let Some(timing) = &self.timing {
            let _ = writeln!(out, "{}", timing.to_text());
        }
        out.push_str(&summed(ended(self.passed()), self.counts(), paint));
        out
    }
}

fn how(report: &Report) -> Status {
    if report.left_out() {
        Status::Skipped
    } else {
        ended(report.passed())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::acceptance::report::Check;

    fn report(suite: &'static str, checks: Vec<Check>) -> Ended {
        let mut report = Report::new(suite, "http://h");
        report.checks = checks;
        Ended::Report(Box::new(report))
    }

    fn check(id: &str, good: bool) -> Check {
        Check::of(id, good, "a", "b", "look")
    }

    #[test]
    fn ids_carry_their_suite_once() {
        let mut whole = Whole::new("http://h");
        whole.add("tls", report("tls", vec![check("tls/chain", true)]), &[]);
        whole.add("tools", report("tools", vec![check("a/b", true)]), &[]);
        let json = whole.to_json();
        assert_eq!(json["checks"][0]["id"], "tls/chain");
        assert_eq!(json["checks"][1]["id"], "tools/a/b");
        assert_eq!(json["suites"][1]["counts"]["passed"], 1);
        assert!(whole.passed() && whole.verdict().is_ok());
        let text = whole.to_text(&|word, _| word.to_owned());
        assert!(text.contains("tools: passed: 1 passed"), "{text}");
        assert!(
            text.ends_with("passed: 2 passed, 0 failed, 0 skipped"),
            "{text}"
        );
    }

    #[test]
    fn a_suite_that_could_not_run_is_told_first() {
        let mut whole = Whole::new("http://h");
        assert_eq!(whole.verdict().unwrap_err().exit, Exit::Acceptance);
        whole.add("tools", report("tools", vec![check("a", false)]), &[]);
        assert_eq!(whole.verdict().unwrap_err().exit, Exit::Acceptance);
        let lost = Problem::new(
            Exit::Unreachable,
            "agentkeys.accept.unreachable",
            "gone",
            "look",
        );
        whole.add("cross-rail", Ended::Broken(lost), &[]);
        let problem = whole.verdict().unwrap_err();
        assert_eq!(problem.exit, Exit::Unreachable);
        assert!(problem.cause.contains("cross-rail"));
        assert_eq!(whole.to_json()["suites"][1]["error"]["exit"], 8);
        assert!(!whole.passed());
    }

    #[test]
    fn a_skip_is_allowed_by_the_id_that_is_shown() {
        let skipped = || {
            report(
                "tools",
                vec![check("b", true), Check::skipped("a", "w", "f")],
            )
        };
        let mut whole = Whole::new("http://h");
        whole.add("tools", skipped(), &["a".to_owned()]);
        assert!(!whole.passed());
        let mut whole = Whole::new("http://h");
        whole.add("tools", skipped(), &["tools/a".to_owned()]);
        assert!(whole.passed());
    }

    #[test]
    fn a_suite_all_of_which_was_skipped_with_leave_keeps_nothing_from_passing() {
        let skipped = || report("tls", vec![Check::skipped("tls/https", "no TLS", "f")]);
        let leave = ["tls/https".to_owned()];
        let mut whole = Whole::new("http://h");
        whole.add("tls", skipped(), &leave);
        assert!(whole.verdict().is_err(), "only skips show nothing");
        whole.add("tools", report("tools", vec![check("a", true)]), &[]);
        whole.verdict().unwrap();
        assert_eq!(whole.to_json()["passed"], true);
        assert_eq!(whole.to_json()["suites"][0]["passed"], false);
        let text = whole.to_text(&|word, _| word.to_owned());
        assert!(text.contains("tls: skipped: 0 passed"), "{text}");
        whole.add("tls", skipped(), &[]);
        let problem = whole.verdict().unwrap_err();
        assert!(
            problem.fix.contains("--allow-skip tls/https"),
            "{problem:?}"
        );
        // A suite that found nothing at all was not left out by anybody.
        let mut whole = Whole::new("http://h");
        whole.add("tools", report("tools", vec![check("a", true)]), &[]);
        whole.add("tls", report("tls", vec![]), &leave);
        assert!(!whole.passed() && whole.verdict().is_err());
    }
}
