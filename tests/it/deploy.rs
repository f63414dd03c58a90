//! `agentkeys deploy`: what it writes is read by the programs it is for, run behind them, and left
//! alone or kept where somebody else wrote it.

mod proxies;
mod read;
mod tree;

use super::installed::installed;
use super::support::{House, command, json_of, run_in, text};
use serde_json::{Value, json};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A program that `tests/sdk/install` took out of a Debian package.
fn program(path: &str) -> PathBuf {
    installed(".venv/debian").join(path)
}

/// Runs `agentkeys deploy … --out OUT` on a folder.
#[track_caller]
fn deploy(dir: &Path, out: &Path, words: &[&str]) -> Value {
    let out = out.to_str().unwrap();
    json_of(&run_in(
        dir,
        &[&["deploy"], words, &["--out", out]].concat(),
    ))
}

/// A data folder with nothing in it but a configuration with two names.
fn configured() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let file = "[server]\npublic_url = \"https://mcp.example.com/mcp\"\n[relay]\npublic_url = \"https://endpoint.example.com/\"\n";
    std::fs::write(dir.path().join("agentkeys.toml"), file).unwrap();
    dir
}

#[track_caller]
fn error_of(output: &Output) -> (Option<i32>, Value) {
    let error: Value = serde_json::from_slice(&output.stderr)
        .unwrap_or_else(|e| panic!("{e}: {}", text(&output.stderr)));
    (output.status.code(), error["error"].clone())
}

#[test]
fn what_differs_is_shown_and_kept_and_what_does_not_is_left_alone() {
    let (dir, out) = (configured(), tempfile::tempdir().unwrap());
    let out = out.path().join("a/b");
    let first = deploy(dir.path(), &out, &["caddy"]);
    let file = out.join("Caddyfile");
    assert_eq!(first["files"], json!([file]));
    assert_eq!(
        (&first["changed"], &first["backups"]),
        (&json!([file]), &json!([]))
    );
    assert_eq!(first["behind_proxy"], "127.0.0.1/32");
    assert!(
        first["next"][0]
            .as_str()
            .unwrap()
            .contains("--behind-proxy 127.0.0.1/32")
    );
    let mode = std::fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o644, "the proxy has to read it");

    let again = deploy(dir.path(), &out, &["caddy"]);
    assert_eq!(
        (&again["files"], &again["changed"]),
        (&first["files"], &json!([]))
    );
    assert_eq!(again["diff"], "");

    std::fs::write(&file, "example.org {\n}\n").unwrap();
    let third = deploy(dir.path(), &out, &["caddy"]);
    let backup = out.join("Caddyfile.before-agentkeys");
    assert_eq!(third["backups"], json!([backup]));
    assert!(
        third["diff"]
            .as_str()
            .unwrap()
            .contains("\n-example.org {\n")
    );
    assert_eq!(
        std::fs::read_to_string(backup).unwrap(),
        "example.org {\n}\n"
    );
    assert_eq!(
        std::fs::read_dir(&out).unwrap().count(),
        2,
        "nothing else is left"
    );
}

#[test]
fn without_a_folder_it_is_printed_as_it_would_be_written() {
    let (dir, out) = (configured(), tempfile::tempdir().unwrap());
    deploy(dir.path(), out.path(), &["caddy"]);
    let printed = command(dir.path())
        .args(["deploy", "caddy"])
        .output()
        .unwrap();
    let written = std::fs::read(out.path().join("Caddyfile")).unwrap();
    assert_eq!(text(&printed.stdout), text(&written));
    let json = json_of(&run_in(dir.path(), &["deploy", "caddy"]));
    assert_eq!(
        json["texts"]["Caddyfile"].as_str().unwrap().trim_end(),
        text(&written).trim_end()
    );
}

#[test]
fn what_cannot_be_deployed_is_told_and_nothing_is_written() {
    let (dir, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let to = out.path().to_str().unwrap();
    for (words, code) in [
        (&["nginx"][..], "agentkeys.deploy.no_name"),
        (
            &["systemd", "--user", "root"],
            "agentkeys.deploy.user_unusable",
        ),
        (
            &["systemd", "--program", "/usr/bin/a;b"],
            "agentkeys.deploy.path_unusable",
        ),
        (
            &["cloudflared", "--domain", "example.com", "--tunnel", "x"],
            "agentkeys.deploy.tunnel_unusable",
        ),
    ] {
        let output = run_in(dir.path(), &[&["deploy"], words, &["--out", to]].concat());
        let (exit, error) = error_of(&output);
        assert_eq!((exit, error["code"].as_str()), (Some(3), Some(code)));
    }
    assert_eq!(std::fs::read_dir(out.path()).unwrap().count(), 0);
    let named = deploy(
        dir.path(),
        out.path(),
        &["nginx", "--domain", "example.com"],
    );
    assert_eq!(named["kind"], "nginx");
    let site = std::fs::read_to_string(out.path().join("agentkeys.conf")).unwrap();
    assert!(site.contains("server_name mcp.example.com;"), "{site}");
}

#[test]
fn a_proxy_that_is_believed_already_is_no_step() {
    let (dir, out) = (configured(), tempfile::tempdir().unwrap());
    let to = out.path().to_str().unwrap();
    let mut command = command(dir.path());
    command.env("AGENTKEYS_SERVER_BEHIND_PROXY", "127.0.0.0/8");
    let output = command
        .args(["deploy", "nginx", "--out", to, "--json"])
        .output()
        .unwrap();
    assert_eq!(
        json_of(&output)["next"],
        json!(["nginx -t && systemctl reload nginx"])
    );
}

/// Whether this is root, who alone can make something belong to somebody else.
fn root(what: &str) -> bool {
    let root = std::fs::metadata("/proc/self").is_ok_and(|m| m.uid() == 0);
    if !root {
        eprintln!("skipped, since this is not root: {what}");
    }
    root
}

/// Everything in a folder: path, owner and what it holds.
fn all(dir: &Path) -> Vec<(PathBuf, u32, Vec<u8>)> {
    let mut found = Vec::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let owner = std::fs::metadata(&path).unwrap().uid();
            if path.is_dir() {
                folders.push(path.clone());
            }
            let bytes = std::fs::read(&path).unwrap_or_default();
            found.push((path, owner, bytes));
        }
    }
    found.sort();
    found
}

#[test]
fn a_folder_of_another_user_is_left_alone() {
    const NOBODY: u32 = 65534;
    if !root("a folder of another user") {
        return;
    }
    let house = House::init(&[]);
    let dir = house.dir();
    let chown = |owner: &str| {
        let done = Command::new("chown").args(["-R", owner]).arg(&dir).status();
        assert!(done.unwrap().success());
    };
    chown("nobody");
    let before = all(&dir);
    assert!(before.iter().all(|f| f.1 == NOBODY));
    let commands: [&[&str]; 5] = [
        &["vendor", "list"],
        &["init"],
        &[
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--operator-listen",
            "127.0.0.1:0",
        ],
        &["audit", "verify", "--log"],
        &["memory", "get", "O_kevin_001", "travel"],
    ];
    let refused = |output: Output, owner: &str| {
        let (exit, error) = error_of(&output);
        assert_eq!(
            (exit, &error["code"]),
            (Some(3), &json!("agentkeys.folder.other_owner"))
        );
        let fix = error["fix"].as_str().unwrap();
        assert!(
            fix.contains(&format!("`sudo -u {owner} agentkeys …`")),
            "{fix}"
        );
    };
    for words in commands {
        refused(house.run(words), "nobody");
    }
    assert_eq!(all(&dir), before, "nothing was made, and nothing written");
    // A proxy's files are made by root from its configuration all the same.
    let out = house.temp.path().join("out");
    deploy(&dir, &out, &["nginx", "--domain", "example.com"]);

    // The other way round: root's folder, and somebody else who may look into the one above it.
    chown("root");
    let shared = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(house.temp.path(), shared).unwrap();
    let as_nobody = |words: &[&str]| {
        let mut setpriv = Command::new("setpriv");
        setpriv.args(["--reuid=nobody", "--clear-groups", super::support::BIN]);
        setpriv.args(words).arg("--json").env("AGENTKEYS_DIR", &dir);
        setpriv.output().unwrap()
    };
    for words in commands {
        refused(as_nobody(words), "root");
    }
    assert!(house.run(&["vendor", "list"]).status.success());
}

#[test]
fn health_says_whether_a_server_is_alive() {
    let server = super::support::Server::demo();
    let asked = server.house.ok(&["health", "--url", &server.base]);
    assert_eq!(asked["ok"], true);
    let version = asked["version"].as_str().unwrap();
    assert_eq!(version, env!("CARGO_PKG_VERSION"));
    let mut own = command(&server.house.dir());
    let operator = server.operator.strip_prefix("http://").unwrap().to_owned();
    own.env("AGENTKEYS_SERVER_OPERATOR_LISTEN", &operator);
    let own = own.args(["health", "--json"]).output().unwrap();
    assert_eq!(json_of(&own)["url"], format!("http://{operator}/healthz"));
    let (base, house) = (server.base.clone(), server.house.dir());
    drop(server);
    let (exit, error) = error_of(&run_in(&house, &["health", "--url", &base]));
    assert_eq!(
        (exit, &error["code"]),
        (Some(8), &json!("agentkeys.health.not_alive"))
    );
}

/// The table that alerts and board are held to, against what a server really says.
#[test]
fn the_server_has_the_metrics_of_the_table() {
    use agentkeys::publish::deploy::METRICS;
    use std::collections::{BTreeMap, BTreeSet};
    let house = super::support::House::demo();
    // A server seals beside its first calls: what that leaves is here before it.
    house.ok(&["audit", "checkpoint"]);
    let server = super::support::Server::over(house, &[]);
    let host = server.host("magiclick");
    host.call("agentkeys_memory_get", json!({"namespace": "travel"}));
    host.call(
        "agentkeys_permission_check",
        json!({"scope": "nuke.launch"}),
    );
    let reply = super::support::send(server.http.get(format!("{}/metrics", server.operator)));
    let mut said: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for line in reply.body.lines().filter(|l| !l.starts_with('#')) {
        let (sample, _) = line.rsplit_once(' ').unwrap();
        let (name, labels) = sample.split_once('{').unwrap_or((sample, ""));
        let parts = ["_bucket", "_sum", "_count"];
        let name = parts
            .iter()
            .find_map(|p| name.strip_suffix(p))
            .unwrap_or(name);
        let labels = labels.split("\",").filter_map(|l| l.split_once('='));
        let labels = labels
            .map(|(label, _)| label.to_owned())
            .filter(|l| l != "le");
        said.entry(name.to_owned()).or_default().extend(labels);
    }
    let mut wanted = BTreeMap::new();
    for line in METRICS.lines().filter(|l| !l.starts_with('#')) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let labels = words
            .get(2)
            .map(|l| l.split(',').map(str::to_owned).collect());
        wanted.insert(words[0].to_owned(), labels.unwrap_or_default());
    }
    // There is neither TLS nor an anchor here.
    for absent in [
        "agentkeys_certificate_expiry_timestamp_seconds",
        "agentkeys_anchor_behind_events",
        "agentkeys_anchor_timestamp_seconds",
    ] {
        if !said.contains_key(absent) {
            assert!(wanted.remove(absent).is_some());
        }
    }
    assert_eq!(said, wanted, "{}", reply.body);
}
