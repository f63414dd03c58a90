//! Reports for CI, as `JUnit` XML: a suite for each, a case for each check.

use quick_junit::{NonSuccessKind, TestCase, TestCaseStatus, TestSuite};

use super::whole::{Ended, Whole};
use super::{Check, Report, Status};
use crate::problem::{Exit, Problem};
use crate::text::clean_to;

/// The longest message of a case.
const MAX_MESSAGE: usize = 2_000;

/// One suite that ran.
pub fn of(report: &Report) -> Result<String, Problem> {
    written([suite(report)])
}

/// One suite that could not.
pub fn of_broken(suite: &str, problem: &Problem) -> Result<String, Problem> {
    written([broken(suite, problem)])
}

/// Every suite.
pub fn of_all(whole: &Whole) -> Result<String, Problem> {
    written(whole.suites.iter().map(|(name, ended)| match ended {
        Ended::Report(report) => suite(report),
        Ended::Broken(problem) => broken(name, problem),
    }))
}

fn suite(report: &Report) -> TestSuite {
    let mut suite = TestSuite::new(report.suite);
    for check in &report.checks {
        let mut case = TestCase::new(check.id.as_str(), status(report, check));
        case.set_classname(class(report.suite));
        suite.add_test_case(case);
    }
    suite
}

fn status(report: &Report, check: &Check) -> TestCaseStatus {
    match check.status {
        Status::Passed => TestCaseStatus::success(),
        Status::Skipped => {
            let mut status = if report.allowed.contains(&check.id) {
                TestCaseStatus::skipped()
            } else {
                TestCaseStatus::non_success(NonSuccessKind::Failure)
            };
            let why = said(&format!("skipped: {}", check.got));
            // Jenkins' schema gives a skip its words, and no attribute for them.
            if report.allowed.contains(&check.id) {
                status.set_description(why);
            } else {
                status.set_message(why);
                status.set_description(said(&check.fix));
            }
            status
        }
        Status::Failed => failed(
            NonSuccessKind::Failure,
            &format!("expected {}, got {}", check.expected, check.got),
            &check.fix,
        ),
    }
}

fn broken(name: &str, problem: &Problem) -> TestSuite {
    let mut suite = TestSuite::new(name);
    let status = failed(
        NonSuccessKind::Error,
        &format!("{}: {}", problem.code, problem.cause),
        &problem.fix,
    );
    let mut case = TestCase::new("run", status);
    case.set_classname(class(name));
    suite.add_test_case(case);
    suite
}

fn failed(kind: NonSuccessKind, message: &str, fix: &str) -> TestCaseStatus {
    let mut status = TestCaseStatus::non_success(kind);
    status.set_message(said(message));
    status.set_description(said(fix));
    status
}

fn class(suite: &str) -> String {
    format!("agentkeys.accept.{suite}")
}

fn said(text: &str) -> String {
    clean_to(text, MAX_MESSAGE)
}

fn written(suites: impl IntoIterator<Item = TestSuite>) -> Result<String, Problem> {
    let mut report = quick_junit::Report::new("agentkeys accept");
    report.add_test_suites(suites);
    report
        .to_string()
        .map(|xml| without_skips(&xml))
        .map_err(|e| {
            Problem::new(
                Exit::Failed,
                "agentkeys.accept.junit",
                format!("the JUnit report cannot be written: {e}"),
                "leave `--junit` out and use `--json`",
            )
        })
}

/// Jenkins' schema knows how many were skipped of each suite only, and not of all.
fn without_skips(xml: &str) -> String {
    let of_all = xml.find("<testsuites ").and_then(|start| {
        let end = start + xml[start..].find('>')?;
        let at = start + xml[start..end].find(" skipped=\"")?;
        let value = at + " skipped=\"".len();
        Some((at, value + xml[value..end].find('"')? + 1))
    });
    match of_all {
        Some((from, to)) => format!("{}{}", &xml[..from], &xml[to..]),
        None => xml.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn it_counts_failures_and_unallowed_skips() {
        let mut report = Report::new("tools", "http://127.0.0.1:1");
        report.checks = vec![
            Check::of("a", true, "a", "a", ""),
            Check::of("b\u{1b}[2J\u{202e}", false, "<x>", "\u{1b}\u{9b}y", "z"),
            Check::skipped("c", "w", "f"),
        ];
        let xml = of(&report).unwrap();
        assert!(
            xml.contains(r#"tests="3" "#) && xml.contains(r#"failures="2""#),
            "{xml}"
        );
        assert!(xml.contains("&lt;x&gt;"));
        let hostile = |c: char| c != '\n' && crate::text::clean(&c.to_string()) != c.to_string();
        assert!(!xml.contains(hostile), "{xml}");
        report.allow_skips(&["c".to_owned()]);
        let xml = of(&report).unwrap();
        assert!(
            xml.contains(r#"failures="1""#) && xml.contains("<skipped"),
            "{xml}"
        );
    }

    #[test]
    fn what_could_not_run_is_an_error() {
        let problem = Problem::new(
            Exit::Unreachable,
            "agentkeys.x.y",
            "no\u{1b} answer",
            "look",
        );
        let xml = of_broken("tools", &problem).unwrap();
        assert!(
            xml.contains(r#"errors="1""#) && xml.contains("agentkeys.x.y"),
            "{xml}"
        );
        assert!(!xml.contains('\u{1b}'));
    }
}
