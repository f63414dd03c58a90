//! Tests that travel with a policy: questions and the decisions they must have.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::engine::PolicyEngine;
use super::source::PolicySource;
use super::{Amount, Decision, Inputs, Verdict};
use crate::authority::budget::parse_minor;

/// One test of a policy, run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TestResult {
    /// As the test is called; `(file)` where the file itself is wrong.
    pub name: String,
    /// `tests/….json`.
    pub file: String,
    /// Whether the decision was the expected one.
    pub passed: bool,
    /// What was expected: `deny: reason (explanation)`; without parentheses any explanation will do.
    pub expected: String,
    /// The decision, or what is wrong with the file.
    pub got: String,
}

/// A test as written. Money is in whole units, as people write it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Test {
    name: String,
    question: TestQuestion,
    expect: Expect,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TestQuestion {
    scope: String,
    granted: bool,
    #[serde(default = "any_vendor")]
    vendor: String,
    #[serde(default = "any_rail")]
    rail: String,
    #[serde(default = "any_actor")]
    actor: String,
    namespace: Option<String>,
    /// As the caller would send it, so that invalid amounts can be tested.
    amount: Option<Value>,
    #[serde(default = "any_currency")]
    currency: String,
    spent: Option<Value>,
    cap: Option<Value>,
    #[serde(default = "noon")]
    hour: u8,
    #[serde(default = "monday")]
    weekday: u8,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Expect {
    verdict: Verdict,
    reason: String,
    explanation: Option<String>,
}

fn any_vendor() -> String {
    "example".to_owned()
}

fn any_rail() -> String {
    "other".to_owned()
}

fn any_actor() -> String {
    format!("0x{}", "0".repeat(64))
}

fn any_currency() -> String {
    "RMB".to_owned()
}

const fn noon() -> u8 {
    12
}

const fn monday() -> u8 {
    1
}

impl TestQuestion {
    fn inputs(self) -> Result<Inputs, String> {
        if self.hour > 23 || !(1..=7).contains(&self.weekday) {
            return Err("hour is 0 to 23 and weekday 1 to 7".to_owned());
        }
        Ok(Inputs {
            spent_minor: units("spent", self.spent.as_ref())?.unwrap_or(0),
            cap_minor: units("cap", self.cap.as_ref())?,
            amount: Amount::from_param(self.amount.as_ref()),
            vendor: self.vendor,
            rail: self.rail,
            actor: self.actor,
            scope: self.scope,
            granted: self.granted,
            namespace: self.namespace,
            currency: self.currency,
            hour: self.hour,
            weekday: self.weekday,
        })
    }
}

/// Money that the test itself states; here zero is fine and a mistake is the test's.
fn units(what: &str, value: Option<&Value>) -> Result<Option<i64>, String> {
    let text = match value {
        None => return Ok(None),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    };
    parse_minor(&text)
        .map(Some)
        .map_err(|e| format!("{what} is {e}"))
}

impl Expect {
    fn shown(&self) -> String {
        match &self.explanation {
            Some(words) => format!("{}: {} ({words})", self.verdict, self.reason),
            None => format!("{}: {}", self.verdict, self.reason),
        }
    }

    fn met_by(&self, got: &Decision) -> bool {
        self.verdict == got.verdict
            && self.reason == got.reason
            && self
                .explanation
                .as_ref()
                .is_none_or(|words| *words == got.explanation)
    }
}

/// Runs all tests of a source.
pub(super) fn run(engine: &PolicyEngine, source: &PolicySource) -> Vec<TestResult> {
    let mut results = Vec::new();
    for (file, text) in source.tests() {
        match serde_json::from_str::<Vec<Test>>(text) {
            Ok(tests) => results.extend(tests.into_iter().map(|test| one(engine, file, test))),
            // Serde names the unknown key, its line and column.
            Err(e) => results.push(broken(
                "(file)".to_owned(),
                file,
                String::new(),
                e.to_string(),
            )),
        }
    }
    results
}

fn one(engine: &PolicyEngine, file: &str, test: Test) -> TestResult {
    let expected = test.expect.shown();
    let inputs = match test.question.inputs() {
        Ok(inputs) => inputs,
        Err(what) => return broken(test.name, file, expected, what),
    };
    let got = engine.decide(&inputs.question());
    TestResult {
        name: test.name,
        file: file.to_owned(),
        passed: test.expect.met_by(&got),
        expected,
        got: format!("{}: {} ({})", got.verdict, got.reason, got.explanation),
    }
}

fn broken(name: String, file: &str, expected: String, got: String) -> TestResult {
    TestResult {
        name,
        file: file.to_owned(),
        passed: false,
        expected,
        got,
    }
}
