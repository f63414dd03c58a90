//! The official MCP conformance suite, against two servers: tools of the suite's own behind our
//! doors, where every scenario must pass, and our own tools, where `tests/sdk/conformance-*.yml`
//! lists the checks that fail because they are about something this server does not offer.

mod fixture;

use super::installed::{installed, newer_node, root};
use super::support::{House, Server, spawn, text, wait};
use agentkeys::authority::Limits;
use agentkeys::authority::limits::Rate;
use agentkeys::folder::Folder;
use agentkeys::server::{self, Options, Proxies};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::Path;
use std::process::Output;
use tokio_util::sync::CancellationToken;

const BEFORE: &str = "2025-11-25";
const NEWEST: &str = "2026-07-28";

/// The suite is one client that asks hundreds of things at once.
const ENDLESS: Limits = {
    let none = Rate {
        per_second: 0,
        burst: 0,
    };
    Limits {
        calls: none,
        refusals: none,
    }
};

/// What a run of the suite found.
struct Run {
    output: Output,
    /// Checks by scenario, as the suite writes them down.
    checks: Vec<(String, Value)>,
}

impl Run {
    /// Runs every scenario of a version.
    fn of(url: &str, house: &House, version: &str, more: &[&str]) -> Self {
        const SUITE: &str = "node_modules/agentkeys-conformance";
        let results = tempfile::tempdir().unwrap();
        let headers = json!({
            "authorization": format!("Bearer {}", house.token("magiclick")),
            "x-agentkeys-actor": house.actor(),
        });
        let preload = format!("--import {}", root("tests/sdk/mcp-headers.mjs").display());
        let output = newer_node(SUITE, "@modelcontextprotocol/conformance/dist/index.js")
            .args(["server", "--suite", "all", "--url", url])
            .args(["--spec-version", version, "--output-dir"])
            .arg(results.path())
            .args(more)
            .env("NODE_OPTIONS", preload)
            .env("UNDICI_FROM", installed(SUITE).join("package.json"))
            .env("MCP_HEADERS", headers.to_string())
            .output()
            .unwrap();
        Self {
            checks: read(results.path()),
            output,
        }
    }

    fn count(&self, status: &str) -> usize {
        let same = |(_, check): &&(String, Value)| check["status"] == status;
        self.checks.iter().filter(same).count()
    }

    /// What did not pass, as `scenario:check`, and why.
    fn failed(&self) -> Vec<(String, &str)> {
        let bad =
            |check: &Value| ["FAILURE", "WARNING"].contains(&check["status"].as_str().unwrap());
        self.checks
            .iter()
            .filter(|(_, check)| bad(check))
            .map(|(scenario, check)| {
                let id = check["id"].as_str().unwrap();
                let why = check["errorMessage"].as_str().unwrap_or_default();
                (format!("{scenario}:{id}"), why)
            })
            .collect()
    }

    fn scenarios(&self) -> BTreeSet<&str> {
        self.checks.iter().map(|(s, _)| s.as_str()).collect()
    }
}

/// The checks of a results folder, which holds one folder for each scenario.
fn read(results: &Path) -> Vec<(String, Value)> {
    let mut checks = Vec::new();
    for folder in std::fs::read_dir(results).unwrap() {
        let folder = folder.unwrap();
        let name = folder.file_name().into_string().unwrap();
        // `server-<scenario>-<time>`, and times begin with the year.
        let name = name.strip_prefix("server-").unwrap();
        let end = name
            .rmatch_indices("-20")
            .find(|(at, _)| name[*at..].contains('T'));
        let scenario = &name[..end.unwrap().0];
        let text = std::fs::read_to_string(folder.path().join("checks.json")).unwrap();
        let found: Vec<Value> = serde_json::from_str(&text).unwrap();
        checks.extend(found.into_iter().map(|c| (scenario.to_owned(), c)));
    }
    checks
}

/// The suite's own tools behind our doors. Ends when it is dropped.
struct Fixture {
    house: House,
    url: String,
    stop: CancellationToken,
}

impl Fixture {
    fn start() -> Self {
        let house = House::demo();
        let options = Options {
            listen: "127.0.0.1:0".parse().unwrap(),
            operator_listen: "127.0.0.1:0".parse().unwrap(),
            public_urls: vec![],
            allowed_hosts: vec![],
            allowed_origins: vec![],
            proxies: Proxies::default(),
            seal_every: std::time::Duration::from_mins(2),
            tls: agentkeys::config::Tls::None,
            anchor: agentkeys::config::AnchorTo::None,
        };
        let server = wait(async {
            let folder = Folder::open(&house.dir(), ENDLESS).await?;
            let ends = CancellationToken::new();
            server::Server::bind_before(&folder, &options, fixture::behind(), ends).await
        });
        let server = server.unwrap_or_else(|problem| panic!("{problem:?}"));
        let (url, stop) = (server.mcp_url.clone(), CancellationToken::new());
        spawn(server.run(vec![], stop.clone().cancelled_owned()));
        Self { house, url, stop }
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

#[track_caller]
fn every_scenario_passes(version: &str, scenarios: usize, passed: usize) {
    let fixture = Fixture::start();
    let run = Run::of(&fixture.url, &fixture.house, version, &[]);
    let said = text(&run.output.stdout);
    assert_eq!(run.failed(), [], "{said}");
    assert!(
        run.output.status.success(),
        "{said}{}",
        text(&run.output.stderr)
    );
    // Of a suite that is pinned, so that one which runs nothing is not taken for a pass.
    assert_eq!(
        (run.scenarios().len(), run.count("SUCCESS")),
        (scenarios, passed),
        "{said}"
    );
}

#[test]
#[ignore = "needs tests/sdk/install"]
fn behind_our_doors_every_scenario_of_2025_11_25_passes() {
    every_scenario_passes(BEFORE, 33, 83);
}

#[test]
#[ignore = "needs tests/sdk/install"]
fn behind_our_doors_every_scenario_of_2026_07_28_passes() {
    every_scenario_passes(NEWEST, 40, 153);
}

/// What a check may fail for: it is about something that this server neither offers nor declares.
/// By the start of the check's name and the suite's own words.
const NOT_OFFERED: &[(&str, &str)] = &[
    // The suite's own tools.
    ("tools-call-", "unknown tool: test_"),
    (
        "json-schema-2020-12",
        "Tool 'json_schema_2020_12_tool' not found",
    ),
    (
        "server-stateless",
        "server does not list the diagnostic tool 'test_",
    ),
    // Asking the client back.
    ("elicitation-", "unknown tool: test_elicitation"),
    (
        "input-required-result-",
        "unknown tool: test_input_required_result",
    ),
    (
        "input-required-result-multi-round",
        "Expected InputRequiredResult",
    ),
    (
        "input-required-result-tampered-state",
        "could not get initial InputRequiredResult",
    ),
    (
        "input-required-result-non-tool-request",
        "JSON-RPC error: prompts/get",
    ),
    (
        "input-required-result-missing-input-response",
        "Server returned JSON-RPC error",
    ),
    // Sessions: the suite warns of these without words.
    ("server-sse-polling:server-sse-polling-session", ""),
    (
        "server-sse-multiple-streams:server-sse-multiple-streams-session",
        "",
    ),
    (
        "http-custom-header-server-validation",
        "server exposes no tool with x-mcp-header",
    ),
    ("logging-set-level", "Failed: logging/setLevel"),
    (
        "tools-call-with-logging",
        "MCP error -32601: logging/setLevel",
    ),
    ("completion-complete", "Failed: completion/complete"),
    ("resources-", "Failed: resources/"),
    ("sep-2164-resource-not-found", "got -32601"),
    ("sep-2164-resource-not-found", "Error data.uri is undefined"),
    ("caching", "resources/list returned JSON-RPC error -32601"),
    (
        "caching",
        "resources/templates/list returned JSON-RPC error -32601",
    ),
    ("prompts-", "Failed: prompts/"),
    ("caching", "prompts/list returned JSON-RPC error -32601"),
];

/// What no line may excuse.
const ALWAYS: &[&str] = &[
    "server-initialize",
    "server-session-lifecycle",
    "ping",
    "tools-list",
    "dns-rebinding-protection",
    "http-header-validation",
];

/// The lines of a baseline.
fn baseline(file: &Path) -> BTreeSet<String> {
    let text = std::fs::read_to_string(file).unwrap();
    let lines = text.lines().filter_map(|l| l.trim().strip_prefix("- "));
    lines.map(str::to_owned).collect()
}

#[track_caller]
fn our_tools_fail_only_what_they_do_not_offer(version: &str, most: usize) {
    let house = House::demo();
    let endless = [
        ("AGENTKEYS_LIMITS_CALLS_PER_SECOND", "0"),
        ("AGENTKEYS_LIMITS_REFUSALS_PER_SECOND", "0"),
    ];
    let server = Server::over(house, &endless);
    let file = root("tests/sdk").join(format!("conformance-{version}.yml"));
    let url = format!("{}/mcp", server.base);
    let more = ["--expected-failures", file.to_str().unwrap()];
    let run = Run::of(&url, &server.house, version, &more);
    // By the suite's own rule: nothing else fails, and nothing on the list passes.
    let said = text(&run.output.stdout);
    assert!(
        run.output.status.success(),
        "{said}{}",
        text(&run.output.stderr)
    );
    // By ours: nothing is on the list that the suite did not come to.
    let listed = baseline(&file);
    let failed: BTreeSet<_> = run.failed().into_iter().map(|(check, _)| check).collect();
    assert_eq!(listed, failed);
    // It may only shrink.
    assert!(listed.len() <= most, "{}", listed.len());
    for (check, why) in run.failed() {
        let named =
            |(start, words): &&(&str, &str)| check.starts_with(start) && why.contains(words);
        assert!(NOT_OFFERED.iter().any(|row| named(&row)), "{check}: {why}");
    }
    for scenario in ALWAYS {
        let excused = listed.iter().any(|l| l.split(':').next() == Some(scenario));
        assert!(!excused, "{scenario}");
    }
    // What the list is for is not declared.
    let declared = declared(&server, version);
    assert_eq!(declared, json!({"tools": {}}));
}

/// The capabilities a client of a version is told.
fn declared(server: &Server, version: &str) -> Value {
    let host = server.host("magiclick");
    let client = json!({"name": "x", "version": "1"});
    let reply = if version == NEWEST {
        let meta = json!({
            "io.modelcontextprotocol/protocolVersion": version,
            "io.modelcontextprotocol/clientInfo": client,
            "io.modelcontextprotocol/clientCapabilities": {},
        });
        host.with("mcp-protocol-version", version)
            .with("mcp-method", "server/discover")
            .method("server/discover", &json!({"_meta": meta}))
    } else {
        let hello = json!({"protocolVersion": version, "capabilities": {}, "clientInfo": client});
        host.method("initialize", &hello)
    };
    reply.json()["result"]["capabilities"].take()
}

#[test]
#[ignore = "needs tests/sdk/install"]
fn our_tools_fail_only_what_they_do_not_offer_in_2025_11_25() {
    our_tools_fail_only_what_they_do_not_offer(BEFORE, 28);
}

#[test]
#[ignore = "needs tests/sdk/install"]
fn our_tools_fail_only_what_they_do_not_offer_in_2026_07_28() {
    our_tools_fail_only_what_they_do_not_offer(NEWEST, 44);
}
