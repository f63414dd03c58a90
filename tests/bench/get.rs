//! `memory.get` through the real server, over random memories, with its row durable before each
//! answer. Beside it, in alternating rounds, what rmcp does with a tool that does nothing.

use crate::house::{House, NAMESPACES, first_words};
use crate::load::{self, Prepared, Round};
use crate::program::Running;
use crate::report::{Report, Target, Times};
use crate::{Options, bare_rmcp};
use serde_json::json;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

const BOTH: &str = "application/json, text/event-stream";
const SSE: &str = "text/event-stream";

/// Bare rmcp that appends a durable row for each call.
const FLOOR: &str = "bare rmcp with a row";

struct Rival {
    name: String,
    address: SocketAddr,
    requests: &'static [Prepared],
    rounds: Vec<Round>,
    cpu_s: f64,
    server: usize,
}

pub(crate) fn measure(options: &Options, house: &House, report: &mut Report) {
    let ours = Running::agentkeys(options, &house.dir);
    let mut bare = Command::new(std::env::current_exe().unwrap());
    bare.arg(bare_rmcp::WORD);
    let bare = Running::start(bare);
    let rows = tempfile::tempdir_in(house.dir.parent().unwrap()).unwrap();
    let mut floor = Command::new(std::env::current_exe().unwrap());
    floor.arg(bare_rmcp::WORD).arg(rows.path());
    let floor = Running::start(floor);
    let mut servers = vec![ours, bare, floor];
    match python(options) {
        Some(python) => {
            let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/bench/bare_fastmcp.py");
            let mut command = Command::new(python);
            command.arg(script);
            servers.push(Running::start(command));
        }
        None => report.skip(
            "FastMCP",
            "no python with fastmcp or mcp; python3 -m venv .venv/fastmcp && .venv/fastmcp/bin/pip install fastmcp==4.1.2",
        ),
    }
    let mut rivals = rivals(house, &servers);
    if let Some(word) = &options.only {
        rivals.retain(|r| r.name.contains(word.as_str()));
        assert!(!rivals.is_empty(), "nothing is called {word}");
    }
    let warm_up = if options.quick { 0.1 } else { 2.0 };
    for rival in &rivals {
        run(rival, options.connections, warm_up);
    }
    for _ in 0..options.rounds {
        for rival in &mut rivals {
            let before = servers[rival.server].cpu_s();
            let round = run(rival, options.connections, options.seconds);
            rival.cpu_s += servers[rival.server].cpu_s() - before;
            rival.rounds.push(round);
        }
    }
    tell(options, &rivals, &servers, report);
}

fn run(rival: &Rival, connections: usize, seconds: f64) -> Round {
    load::run(rival.address, rival.requests, connections, seconds)
}

fn rivals(house: &House, servers: &[Running]) -> Vec<Rival> {
    let rival = |name: &str, server: usize, requests: Vec<Prepared>| Rival {
        name: name.to_owned(),
        address: servers[server].address,
        // For as long as the process lives, so that tasks can share them.
        requests: requests.leak(),
        rounds: Vec::new(),
        cpu_s: 0.0,
        server,
    };
    let nothing = |server: usize| {
        let body = load::tool_call("nothing", &json!({}));
        let address = servers[server].address;
        vec![load::post(address, BOTH, &[], &body, "nothing done")]
    };
    let ours = servers[0].address;
    let mut rivals = vec![
        rival("bare rmcp", 1, nothing(1)),
        rival(FLOOR, 2, nothing(2)),
        rival("memory.get", 0, gets(house, ours, BOTH)),
        rival("memory.get as SSE", 0, gets(house, ours, SSE)),
    ];
    if let Some(python) = servers.get(3) {
        let name = python.name.as_deref().unwrap_or("FastMCP");
        rivals.push(rival(name, 3, nothing(3)));
    }
    rivals
}

/// A request for each memory of each actor.
pub(crate) fn gets(house: &House, address: SocketAddr, accept: &str) -> Vec<Prepared> {
    let bearer = format!("Bearer {}", house.token);
    let mut requests = Vec::new();
    for (n, actor) in house.actors.iter().enumerate() {
        for namespace in NAMESPACES {
            let headers = [
                ("authorization", bearer.as_str()),
                ("x-agentkeys-actor", actor.as_str()),
            ];
            let arguments = json!({"namespace": namespace.as_str()});
            let body = load::tool_call("agentkeys.memory.get", &arguments);
            let expect = first_words(n, namespace);
            requests.push(load::post(address, accept, &headers, &body, &expect));
        }
    }
    requests
}

fn python(options: &Options) -> Option<PathBuf> {
    if let Some(python) = &options.python {
        return Some(python.clone());
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    [".venv/fastmcp", ".venv/mcp-xiaozhi"]
        .iter()
        .map(|venv| root.join(venv).join("bin/python"))
        .find(|python| python.exists())
}

/// Medians over rounds. Ratios are taken within a round, where both had the same neighbours.
fn tell(options: &Options, rivals: &[Rival], servers: &[Running], report: &mut Report) {
    let find = |word: &str| rivals.iter().find(|r| r.name == word);
    for rival in rivals {
        let all = |f: &dyn Fn(&Round) -> f64| Times::new(rival.rounds.iter().map(f).collect());
        let rates = all(&|r| r.per_second);
        let answers: f64 = rival.rounds.iter().map(|r| r.per_second).sum::<f64>() * options.seconds;
        let note = format!(
            "p50 {:.2} ms, p99 {:.2} ms, {:.0} us of its processor time a call; rounds {:.0} to {:.0}",
            all(&|r| r.times.median()).median() / 1e3,
            all(&|r| r.times.at(0.99)).median() / 1e3,
            rival.cpu_s * 1e6 / answers,
            rates.at(0.0),
            rates.most(),
        );
        let name = format!("{}, {} connections", rival.name, options.connections);
        report.add(name, rates.median(), "calls/s", Target::None, note);
    }
    let ratio = |a: &Rival, b: &Rival| {
        let pairs = a.rounds.iter().zip(&b.rounds);
        Times::new(pairs.map(|(a, b)| a.per_second / b.per_second).collect()).median()
    };
    let Some(get) = find("memory.get") else {
        return;
    };
    let p99 = get.rounds.iter().map(|r| r.times.at(0.99) / 1e3).collect();
    let p99 = Times::new(p99).median();
    report.add("memory.get, p99", p99, "ms", Target::AtMost(10.0), "");
    if let Some(bare) = find("bare rmcp") {
        let note = "median of the rounds' ratios";
        let name = "memory.get / bare rmcp";
        report.add(name, ratio(get, bare), "x", Target::AtLeast(0.5), note);
    }
    if let Some(floor) = find(FLOOR) {
        let name = "memory.get / bare rmcp with a row";
        report.add(name, ratio(get, floor), "x", Target::None, "");
        if let Some(bare) = find("bare rmcp") {
            let name = "bare rmcp with a row / bare rmcp";
            report.add(
                name,
                ratio(floor, bare),
                "x",
                Target::None,
                "the most it can be",
            );
        }
    }
    if let Some(sse) = find("memory.get as SSE") {
        let name = "SSE answers / JSON answers";
        report.add(name, ratio(sse, get), "x", Target::AtLeast(0.65), "");
    }
    if let Some(fast) = rivals.iter().find(|r| r.server == 3) {
        let name = format!("memory.get / {}", fast.name);
        report.add(name, ratio(get, fast), "x", Target::AtLeast(20.0), "");
    }
    let rss = servers[0].rss_mib();
    report.add(
        "serve, memory after this load",
        rss,
        "MiB",
        Target::None,
        "",
    );
}
