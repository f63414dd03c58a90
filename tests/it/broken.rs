//! Every suite against a server that is broken on purpose: in front of a true one stands a liar, and
//! for every check there is a lie that fails it and nothing else. A check without one fails here.

mod front;
mod handshake;
mod left;
mod negative_auth;
mod proofs;
pub(crate) mod tls;
mod tokens;
mod tools;

use super::support::{House, Server, text};
use front::{Asked, Front, Said, lie};
use serde_json::Value;
use std::collections::BTreeSet;
use std::process::Output;

/// No suite meets a bound on calls here: what is shown is about the checks.
const ENDLESS: &[(&str, &str)] = &[
    ("AGENTKEYS_LIMITS_CALLS_PER_SECOND", "0"),
    ("AGENTKEYS_LIMITS_REFUSALS_PER_SECOND", "0"),
];

/// A true server with a kit, and a liar in front of it that says the truth until it is told not to.
struct Stage {
    server: Server,
    kit: String,
    front: Front,
}

type Ids = BTreeSet<String>;

impl Stage {
    fn new() -> Self {
        let server = Server::over(House::demo(), ENDLESS);
        let kit = super::cross_rail::kit(&server);
        let front = Front::before(&server);
        Self { server, kit, front }
    }

    fn kit(&self) -> Value {
        let json = std::fs::read(format!("{}/kit.json", self.kit)).unwrap();
        serde_json::from_slice(&json).unwrap()
    }

    fn accept(&self, suite: &str, more: &[&str]) -> Output {
        let words = [
            "accept",
            suite,
            "--url",
            &self.front.url,
            "--kit",
            &self.kit,
        ];
        self.server.house.run(&[&words[..], more].concat())
    }

    /// The ids of a run's checks that passed and that did not. The exit code says the same.
    #[track_caller]
    fn run(&self, suite: &str, more: &[&str]) -> (Ids, Ids) {
        judged(&self.accept(suite, more))
    }

    /// Runs a suite through a lie: exactly these checks fail.
    #[track_caller]
    fn fails(&self, suite: &str, told: front::Lie, expected: &Ids, seen: &mut Ids) {
        self.front.tells(told);
        let (_, failed) = self.run(suite, &[]);
        self.front.tells(lie(|_, _| ()));
        assert_eq!(&failed, expected);
        seen.extend(failed);
    }
}

#[track_caller]
fn judged(output: &Output) -> (Ids, Ids) {
    let report: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|e| panic!("{e}: {}{}", text(&output.stdout), text(&output.stderr)));
    let (mut passed, mut failed) = (Ids::new(), Ids::new());
    for check in report["checks"].as_array().unwrap() {
        let ids = match check["status"].as_str().unwrap() {
            "passed" => &mut passed,
            _ => &mut failed,
        };
        let new = ids.insert(check["id"].as_str().unwrap().to_owned());
        assert!(new, "{check} is there twice");
    }
    let code = output.status.code();
    assert_eq!(
        code,
        Some(if failed.is_empty() { 0 } else { 6 }),
        "{failed:?}"
    );
    if let Some(first) = failed.first() {
        // Whoever fixes it is told which, and how.
        let said = text(&output.stderr);
        assert!(
            failed.iter().any(|id| said.contains(id)),
            "{said} names not even {first}"
        );
        assert!(said.contains("fix"), "{said}");
    }
    (passed, failed)
}

/// Those of these ids that a lie is about.
#[track_caller]
fn ids(all: &Ids, about: impl Fn(&str) -> bool) -> Ids {
    let found: Ids = all.iter().filter(|id| about(id)).cloned().collect();
    assert!(!found.is_empty(), "the lie is about no check");
    found
}

fn one(id: &str) -> Ids {
    Ids::from([id.to_owned()])
}

/// Asserts that every check of a clean run was seen to fail.
#[track_caller]
fn all_seen(clean: &Ids, seen: &Ids) {
    let never: Vec<_> = clean.difference(seen).collect();
    assert!(never.is_empty(), "never seen to fail: {never:?}");
}

/// A release that fails.
fn unreleased(asked: &Asked, said: &mut Said) {
    if asked.path.ends_with("/release") {
        said.status = 500;
    }
}

/// Replaces a piece of what was said, which must be there.
fn swap(said: &mut Said, from: &str, to: &str) {
    said.body = said.body.replace(from, to);
}

/// Whether a message is the call of a tool, by either of its names.
fn calls(asked: &Asked, tool: &str) -> bool {
    let json = asked.json();
    let name = json["params"]["name"].as_str().unwrap_or_default();
    json["method"] == "tools/call" && name.replace('_', ".") == tool.replace('_', ".")
}

/// Changes every row of a page of the log, or takes it away.
fn rows(asked: &Asked, said: &mut Said, change: impl Fn(&mut Value) -> bool) {
    if !asked.path.starts_with("/v1/audit/events") {
        return;
    }
    let mut page: Value = serde_json::from_str(&said.body).unwrap();
    if let Some(events) = page["events"].as_array_mut() {
        events.retain_mut(|event| change(event));
    }
    said.body = page.to_string();
}

/// A stand-in for Ark that does not say that it is one.
pub(crate) fn nameless(base_url: &str) -> String {
    let origin = base_url.strip_suffix("/api/v3").unwrap();
    let http = reqwest::Client::builder()
        .no_proxy()
        .tls_danger_accept_invalid_certs(true)
        .build()
        .unwrap();
    let front = Front::of(origin.to_owned(), http);
    front.tells(lie(|_, said| {
        drop(said.headers.remove("x-agentkeys-stand-in"));
    }));
    format!("{}/api/v3", front.url)
}
