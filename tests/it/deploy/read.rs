//! Each file is read by the program it is for, or by a checker of its format; and each of them finds
//! a mistake that is put in.

use super::super::installed::{installed, root};
use super::super::support::text;
use super::{configured, deploy, program};
use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const TUNNEL: &str = "6ff42ae2-765d-4adf-8112-31c55c1551ef";

/// What `deploy` writes for a kind, in a folder of its own.
fn written(words: &[&str]) -> tempfile::TempDir {
    let (dir, out) = (configured(), tempfile::tempdir().unwrap());
    deploy(dir.path(), out.path(), words);
    out
}

/// Copies a file with one piece of it put in another's place.
fn spoilt(file: &Path, piece: &str, wrong: &str) -> PathBuf {
    let good = std::fs::read_to_string(file).unwrap();
    let bad = good.replacen(piece, wrong, 1);
    assert_ne!(good, bad, "{piece} is not in {}", file.display());
    let folder = file.parent().unwrap().join("spoilt");
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join(file.file_name().unwrap());
    std::fs::write(&path, bad).unwrap();
    path
}

fn run(command: &mut Command) -> (bool, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = command.output().unwrap();
    (status.success(), text(&stdout) + &text(&stderr))
}

#[track_caller]
fn passes(command: &mut Command) {
    let (passed, said) = run(command);
    assert!(passed, "{said}");
}

#[track_caller]
fn fails(command: &mut Command, because: &str) {
    let (passed, said) = run(command);
    assert!(!passed && said.contains(because), "{said}");
}

fn systemd(verb: &str, unit: &Path) -> Command {
    let mut command = Command::new("systemd-analyze");
    command.arg(verb);
    if verb == "security" {
        command.args(["--offline=true", "--threshold=20"]);
    }
    command.arg(unit);
    command
}

#[test]
#[ignore = "needs systemd-analyze"]
fn systemd_finds_nothing_wrong_with_the_unit_and_little_exposed() {
    // Root's default folder is one that no service sees; a service's own is the default here.
    for (name, dir) in [
        ("state", "/var/lib/agentkeys"),
        ("elsewhere", "/srv/agent keys"),
    ] {
        let out = tempfile::tempdir().unwrap();
        let words = ["systemd", "--program", "/usr/bin/env", "--dir", dir];
        deploy(Path::new("/nowhere"), out.path(), &words);
        let unit = out.path().join("agentkeys.service");
        let (passed, said) = run(&mut systemd("verify", &unit));
        // It says what it does not know and goes on.
        assert!(passed && said.is_empty(), "{name}: {said}");
        passes(&mut systemd("security", &unit));
        let (_, said) = run(&mut systemd(
            "verify",
            &spoilt(&unit, "ProtectHome=", "ProtectHouse="),
        ));
        assert!(said.contains("ProtectHouse"), "{said}");
        let bare = spoilt(&unit, "SystemCallFilter=@system-service\n", "");
        std::fs::write(
            &bare,
            std::fs::read_to_string(&bare)
                .unwrap()
                .replace("Protect", "#"),
        )
        .unwrap();
        fails(&mut systemd("security", &bare), "Overall exposure level");
    }
}

/// System calls of a set, as this systemd has them.
fn calls_of(set: &str) -> BTreeSet<String> {
    let output = Command::new("systemd-analyze")
        .args(["syscall-filter", set])
        .output()
        .unwrap();
    let mut calls = BTreeSet::new();
    for line in text(&output.stdout).lines().skip(1).map(str::trim) {
        if line.starts_with('@') {
            calls.extend(calls_of(line));
        } else if !line.is_empty() && !line.starts_with('#') {
            calls.insert(line.to_owned());
        }
    }
    assert!(!calls.is_empty(), "{set}");
    calls
}

#[test]
#[ignore = "needs systemd-analyze and strace"]
fn the_server_needs_no_system_call_that_the_unit_forbids() {
    use super::super::support::{BIN, House, SERVE};
    use std::io::{BufRead as _, BufReader};
    let house = House::demo();
    let trace = house.temp.path().join("trace");
    let mut strace = Command::new("strace");
    strace
        .args(["--follow-forks", "--quiet=all", "--output"])
        .arg(&trace);
    if super::root("the server as a user of its own") {
        // Root's SQLite gives files away, which no service's does.
        strace.arg("--user=nobody");
        let done = Command::new("chown")
            .args(["-R", "nobody"])
            .arg(house.dir())
            .status();
        assert!(done.unwrap().success());
        let passable = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(house.temp.path(), passable).unwrap();
    }
    let mut child = strace
        .arg(BIN)
        .args(SERVE)
        .arg("--json")
        .env("AGENTKEYS_DIR", house.dir())
        .env("AGENTKEYS_AUDIT_BATCH_SECONDS", "1")
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    let ready: serde_json::Value = serde_json::from_str(&line).unwrap();
    let (url, token) = (ready["mcp_url"].as_str().unwrap(), house.token("magiclick"));
    let calls = [
        (
            "memory_put",
            "{\"namespace\":\"travel\",\"content\":\"by boat\"}",
        ),
        ("memory_get", "{\"namespace\":\"travel\"}"),
        (
            "permission_check",
            "{\"scope\":\"payment.spend\",\"amount_rmb\":1}",
        ),
    ];
    for (tool, arguments) in calls {
        let body = format!(
            "{{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{{\"name\":\"agentkeys_{tool}\",\"arguments\":{arguments}}}}}"
        );
        let request = reqwest::Client::new()
            .post(url)
            .bearer_auth(&token)
            .header("x-agentkeys-actor", house.actor())
            .header("accept", "application/json, text/event-stream")
            .header("content-type", "application/json")
            .body(body);
        let reply = super::super::support::send(request);
        assert!(
            reply.status == 200 && !reply.body.contains("\"error\""),
            "{}",
            reply.body
        );
    }
    // The pid strace was told is its own child's.
    let server = ready["pid"].to_string();
    assert!(
        Command::new("kill")
            .args(["-TERM", &server])
            .status()
            .unwrap()
            .success()
    );
    child.wait().unwrap();

    let trace = std::fs::read_to_string(&trace).unwrap();
    let name = |line: &str| {
        let rest = line.split_once(' ')?.1.trim_start();
        let (name, _) = rest
            .strip_prefix("<... ")
            .unwrap_or(rest)
            .split_once(['(', ' '])?;
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        (!name.is_empty() && name.chars().all(plain)).then(|| name.to_owned())
    };
    let used: BTreeSet<String> = trace.lines().filter_map(name).collect();
    assert!(used.contains("fsync") && used.len() > 30, "{used:?}");
    let mut allowed = calls_of("@system-service");
    for set in ["@privileged", "@resources"] {
        for call in calls_of(set) {
            allowed.remove(&call);
        }
    }
    // The first is how the program is started, before the filter asks.
    allowed.insert("execve".to_owned());
    let refused: Vec<_> = used.difference(&allowed).collect();
    assert!(refused.is_empty(), "{refused:?}");
    assert!(!allowed.contains("reboot"));
}

#[test]
#[ignore = "needs hadolint: tests/sdk/install"]
fn hadolint_finds_nothing_wrong_with_the_containerfile() {
    let hadolint = installed(".venv/lint").join("bin/hadolint");
    let lint = |file: &Path| {
        let mut command = Command::new(&hadolint);
        command.arg("--no-color").arg(file);
        command
    };
    let out = written(&["container"]);
    let file = out.path().join("Containerfile");
    passes(&mut lint(&file));
    fails(
        &mut lint(&spoilt(&file, "debian:bookworm-slim", "debian:latest")),
        "DL3007",
    );
}

/// Checks a file against a schema that the checker brings along.
fn schema(schema: &str, file: &Path) -> Command {
    let mut command = Command::new(installed(".venv/lint").join("bin/check-jsonschema"));
    command.args(["--builtin-schema", schema]).arg(file);
    command
}

#[test]
#[ignore = "needs check-jsonschema: tests/sdk/install"]
fn the_compose_file_is_one() {
    let out = written(&["compose"]);
    let file = out.path().join("compose.yaml");
    passes(&mut schema("vendor.compose-spec", &file));
    fails(
        &mut schema(
            "vendor.compose-spec",
            &spoilt(&file, "read_only: true", "read_only: [1]"),
        ),
        "read_only",
    );
    let compose = std::fs::read_to_string(&file).unwrap();
    for service in compose.split("\n  caddy:\n") {
        for line in [
            "read_only: true",
            "cap_drop: [ALL]",
            "no-new-privileges:true",
        ] {
            assert!(service.contains(line), "{line}\n{service}");
        }
    }
    // What the server is told there, it takes.
    let dir = tempfile::tempdir().unwrap();
    let mut command = super::command(dir.path());
    let told: Vec<_> = compose
        .lines()
        .filter_map(|l| l.trim().strip_prefix("AGENTKEYS_")?.split_once(": "))
        .collect();
    assert_eq!(told.len(), 4);
    command.envs(
        told.iter()
            .map(|(n, v)| (format!("AGENTKEYS_{n}"), v.trim_matches('"'))),
    );
    passes(command.args(["config", "show"]));
}

#[test]
fn nothing_is_called_latest_before_all_is_signed() {
    let workflow = std::fs::read_to_string(root(".github/workflows/release.yml")).unwrap();
    let jobs: Vec<&str> = workflow.split("\n\n  ").collect();
    let (last, others) = jobs.split_last().unwrap();
    assert!(last.contains("needs: [image, release]"), "{last}");
    assert!(
        last.contains("--tag \"$IMAGE:latest\" \"$IMAGE@$DIGEST\""),
        "{last}"
    );
    assert!(!others.iter().any(|job| job.contains(":latest")));
    for job in ["image:", "release:"] {
        let job = others.iter().find(|j| j.starts_with(job)).unwrap();
        assert!(job.contains("cosign sign"), "{job}");
    }
}

#[test]
#[ignore = "needs actionlint: tests/sdk/install"]
fn the_release_workflow_is_one() {
    let bin = installed(".venv/lint").join("bin");
    let workflow = root(".github/workflows/release.yml");
    let lint = |file: &Path| {
        let mut command = Command::new(bin.join("actionlint"));
        command.arg("-no-color").arg(file);
        command
    };
    passes(&mut lint(&workflow));
    passes(&mut schema("vendor.github-workflows", &workflow));
    let updates = root(".github/dependabot.yml");
    passes(&mut schema("vendor.dependabot", &updates));
    let copy = tempfile::tempdir().unwrap();
    let copied = copy.path().join("release.yml");
    std::fs::copy(&workflow, &copied).unwrap();
    fails(
        &mut lint(&spoilt(&copied, "needs: binaries", "needs: binary")),
        "binary",
    );
}

#[test]
#[ignore = "needs promtool: tests/sdk/install"]
fn prometheus_takes_the_alerts_and_they_fire_when_they_should() {
    let promtool = program("usr/bin/promtool");
    let out = written(&["monitoring"]);
    let check = |words: &[&str], file: &Path| {
        let mut command = Command::new(&promtool);
        command.args(words).arg(file);
        command
    };
    let (rules, config) = (
        out.path().join("agentkeys.rules.yml"),
        out.path().join("prometheus.yml"),
    );
    passes(&mut check(&["check", "config"], &config));
    fails(
        &mut check(
            &["check", "rules"],
            &spoilt(&rules, "sum(rate(", "sum(rat("),
        ),
        "unknown function",
    );
    let cases = out.path().join("cases.yml");
    std::fs::copy(root("tests/it/deploy/alerts.test.yml"), &cases).unwrap();
    passes(&mut check(&["test", "rules"], &cases));
    // The cases can fail: the same with one bound moved.
    for (bound, other) in [
        ("14 * 86400", "13 * 86400"),
        ("> 600", "> 6000"),
        ("6 * 3600", "60 * 3600"),
        ("> 10 * sum", "> 1000 * sum"),
        ("< 0.1\n", "< 0.01\n"),
    ] {
        let good = std::fs::read_to_string(&rules).unwrap();
        let moved = good.replacen(bound, other, 1);
        assert_ne!(good, moved, "{bound}");
        std::fs::write(&rules, moved).unwrap();
        fails(&mut check(&["test", "rules"], &cases), "FAILED");
        std::fs::write(&rules, good).unwrap();
    }
}

#[test]
#[ignore = "needs promtool: tests/sdk/install"]
fn every_query_of_the_board_is_one() {
    let out = written(&["monitoring"]);
    let board = std::fs::read(out.path().join("agentkeys-board.json")).unwrap();
    let board: serde_json::Value = serde_json::from_slice(&board).unwrap();
    let panels = board["panels"].as_array().unwrap().iter();
    let targets = panels.flat_map(|p| p["targets"].as_array().unwrap());
    // As rules, since that is what promtool reads.
    let rules: Vec<_> = targets
        .enumerate()
        .map(|(n, t)| serde_json::json!({"record": format!("q{n}"), "expr": t["expr"]}))
        .collect();
    assert!(rules.len() > 10);
    let file = out.path().join("board.yml");
    let rules = serde_json::json!({"groups": [{"name": "board", "rules": rules}]});
    std::fs::write(&file, rules.to_string()).unwrap();
    passes(
        Command::new(program("usr/bin/promtool"))
            .args(["check", "rules"])
            .arg(&file),
    );
}

#[test]
fn the_tunnels_file_has_the_shape_its_documents_give() {
    let out = written(&["cloudflared", "--tunnel", TUNNEL]);
    let file = std::fs::read_to_string(out.path().join("config.yml")).unwrap();
    assert!(file.contains("written from documents"));
    let lines: Vec<&str> = file
        .lines()
        .filter(|l| !l.starts_with('#') && !l.is_empty())
        .collect();
    assert_eq!(
        lines,
        [
            "tunnel: 6ff42ae2-765d-4adf-8112-31c55c1551ef",
            "credentials-file: /etc/cloudflared/6ff42ae2-765d-4adf-8112-31c55c1551ef.json",
            "loglevel: info",
            "ingress:",
            "  - hostname: mcp.example.com",
            "    service: http://127.0.0.1:8088",
            "    originRequest:",
            "      connectTimeout: 5s",
            "  - hostname: endpoint.example.com",
            "    service: http://127.0.0.1:8088",
            "    originRequest:",
            "      connectTimeout: 5s",
            "  - service: http_status:404",
        ]
    );
}
