//! `agentkeys deploy`: what it writes is read by the programs it is for, run behind them, and left
//! alone or kept where somebody else wrote it.

mod proxies;
mod read;
mod tree;

use super::installed::installed;
use super::support::{House, SERVE, command, json_of, run_in, text};
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

    // An older one of ours is shown and replaced.
    let config = dir.path().join("agentkeys.toml");
    let before = std::fs::read_to_string(&config).unwrap();
    std::fs::write(
        &config,
        before.replace("mcp.example.com", "keys.example.com"),
    )
    .unwrap();
    let ours = std::fs::read_to_string(&file).unwrap();
    let third = deploy(dir.path(), &out, &["caddy"]);
    let kept = |name: &str| std::fs::read_to_string(out.join(name)).unwrap();
    assert_eq!(
        third["backups"],
        json!([out.join("Caddyfile.before-agentkeys")])
    );
    let diff = third["diff"].as_str().unwrap();
    assert!(diff.contains("keys.example.com"), "{diff}");
    assert_eq!(kept("Caddyfile.before-agentkeys"), ours);

    // One that somebody edited is theirs: neither shown nor replaced until that is asked for.
    let newer = std::fs::read_to_string(&file).unwrap();
    let edited = format!("{newer}example.org {{\n\tbasic_auth hunter2\n}}\n");
    std::fs::write(&file, &edited).unwrap();
    let refused = run_in(
        dir.path(),
        &["deploy", "caddy", "--out", out.to_str().unwrap()],
    );
    let (code, error) = error_of(&refused);
    assert_eq!(
        (code, &error["code"]),
        (Some(3), &json!("agentkeys.deploy.edited_file"))
    );
    assert_eq!(std::fs::read_to_string(&file).unwrap(), edited);
    let fourth = deploy(dir.path(), &out, &["caddy", "--replace"]);
    assert_eq!(
        fourth["backups"],
        json!([out.join("Caddyfile.before-agentkeys.1")])
    );
    assert!(!fourth.to_string().contains("hunter2"), "{fourth}");
    assert_eq!(kept("Caddyfile.before-agentkeys.1"), edited);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), newer);
    assert_eq!(
        std::fs::read_dir(&out).unwrap().count(),
        3,
        "nothing else is left"
    );
}

#[test]
fn a_file_of_somebody_elses_is_neither_shown_nor_replaced_unasked() {
    const SECRET: &str = "basicauth hunter2";
    let dir = configured();
    let tunnel = "6ff42ae2-765d-4adf-8112-31c55c1551ef";
    for (words, name, all) in [
        (
            &["systemd", "--program", "/usr/bin/env", "--dir", "/srv/a"][..],
            "agentkeys.service",
            1,
        ),
        (&["container"], "Containerfile", 1),
        (&["compose"], "Caddyfile", 3),
        (&["caddy"], "Caddyfile", 1),
        (&["nginx"], "agentkeys.conf", 1),
        (&["cloudflared", "--tunnel", tunnel], "config.yml", 1),
        (&["monitoring"], "agentkeys-board.json", 3),
    ] {
        let out = tempfile::tempdir().unwrap();
        let file = out.path().join(name);
        std::fs::write(&file, SECRET).unwrap();
        let private = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(&file, private).unwrap();
        let to = ["--out", out.path().to_str().unwrap()];
        let run = |more: &[&str]| run_in(dir.path(), &[&["deploy"], words, &to, more].concat());
        let refused = run(&[]);
        let (exit, error) = error_of(&refused);
        assert_eq!(
            (exit, &error["code"]),
            (Some(3), &json!("agentkeys.deploy.foreign_file"))
        );
        assert!(
            error["cause"]
                .as_str()
                .unwrap()
                .contains(file.to_str().unwrap())
        );
        let fix = error["fix"].as_str().unwrap();
        assert!(fix.contains("--replace") && fix.contains("--out"), "{fix}");
        assert_eq!(std::fs::read_to_string(&file).unwrap(), SECRET);
        let count = || std::fs::read_dir(out.path()).unwrap().count();
        assert_eq!(count(), 1, "{words:?} wrote something");
        let done = run(&["--replace"]);
        let kept = out.path().join(format!("{name}.before-agentkeys"));
        assert_eq!(json_of(&done)["backups"], json!([kept]));
        assert!(
            !text(&done.stdout).contains("hunter2"),
            "{words:?} shows it"
        );
        assert_eq!(std::fs::read_to_string(&kept).unwrap(), SECRET);
        let mode = std::fs::metadata(&kept).unwrap().permissions().mode();
        assert_eq!((mode & 0o777, count()), (0o600, all + 1));
        // What was just written is known again.
        assert_eq!(json_of(&run(&[]))["changed"], json!([]), "{words:?}");
    }
}

#[test]
fn what_cannot_be_written_has_a_code_of_this_command() {
    let (dir, temp) = (configured(), tempfile::tempdir().unwrap());
    let code = |out: &Path| {
        let words = [
            "deploy",
            "caddy",
            "--replace",
            "--out",
            out.to_str().unwrap(),
        ];
        let (exit, error) = error_of(&run_in(dir.path(), &words));
        assert_eq!(exit, Some(3), "{error}");
        error["code"].as_str().unwrap().to_owned()
    };
    let file = temp.path().join("Caddyfile");
    std::fs::write(&file, b"\xff").unwrap();
    assert_eq!(code(temp.path()), "agentkeys.deploy.foreign_file");
    assert_eq!(code(&file), "agentkeys.deploy.not_a_folder");
    std::fs::remove_file(&file).unwrap();
    std::os::unix::fs::symlink("/nowhere", &file).unwrap();
    assert_eq!(code(temp.path()), "agentkeys.deploy.dangling_link");
    std::fs::remove_file(&file).unwrap();
    std::fs::create_dir(&file).unwrap();
    assert_eq!(code(temp.path()), "agentkeys.deploy.not_a_file");
    std::fs::remove_dir(&file).unwrap();
    std::fs::write(&file, "# Written by `agentkeys deploy caddy`.").unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o444)).unwrap();
    assert_eq!(code(temp.path()), "agentkeys.deploy.read_only");
    assert_eq!(
        code(Path::new("/proc/agentkeys")),
        "agentkeys.deploy.not_writable"
    );
}

#[test]
fn the_next_step_is_where_the_files_are() {
    let (dir, out) = (configured(), tempfile::tempdir().unwrap());
    let out = out.path().join("two words");
    let to = out.display().to_string();
    let last = |words: &[&str]| {
        let said = deploy(dir.path(), &out, words);
        let next = said["next"].as_array().unwrap().last().unwrap();
        next.as_str().unwrap().to_owned()
    };
    for (words, step) in [
        (
            &["compose"][..],
            format!("docker compose --file '{to}/compose.yaml' up --detach"),
        ),
        (
            &["container"],
            format!("podman build --format docker --tag agentkeys '{to}'"),
        ),
        (
            &["monitoring"],
            format!("promtool check config '{to}/prometheus.yml'"),
        ),
        (
            &["nginx"],
            format!(
                "install -m 0644 '{to}/agentkeys.conf' /etc/nginx/conf.d/ && nginx -t && systemctl reload nginx"
            ),
        ),
    ] {
        assert_eq!(last(words), step);
    }
    let step = last(&["caddy"]);
    assert!(
        step.contains(&format!("'{to}/Caddyfile' over into /etc/caddy/Caddyfile")),
        "{step}"
    );
    let printed = json_of(&run_in(dir.path(), &["deploy", "nginx"]));
    let step = printed["next"].as_array().unwrap().last().unwrap();
    assert_eq!(
        step,
        "save it as /etc/nginx/conf.d/agentkeys.conf, then: nginx -t && systemctl reload nginx"
    );
    // A person is told of a new file, and not shown all of it.
    let other = to.replace("two words", "other");
    let told = command(dir.path())
        .args(["deploy", "caddy", "--out", &other])
        .output()
        .unwrap();
    let told = text(&told.stdout);
    assert!(
        told.contains("Caddyfile: a new file, ") && told.lines().count() < 3,
        "{told}"
    );
}

#[test]
fn a_unit_rests_on_nothing_that_its_service_may_change() {
    use std::os::unix::fs::chown;
    let out = tempfile::tempdir().unwrap();
    let units = out.path().join("units");
    let run = |program: &Path, more: &[&str]| {
        let words = [
            "deploy",
            "systemd",
            "--dir",
            "/srv/agentkeys",
            "--out",
            units.to_str().unwrap(),
        ];
        let mut deploy = command(Path::new("/nowhere"));
        deploy
            .args(words)
            .arg("--program")
            .arg(program)
            .args(more)
            .arg("--json");
        deploy.env("AGENTKEYS_AUDIT_ANCHOR", "file");
        deploy.env("AGENTKEYS_AUDIT_ANCHOR_FILE", "/var/log/agentkeys/anchor");
        deploy.output().unwrap()
    };
    let env = Path::new("/usr/bin/env");
    let (_, error) = error_of(&run(env, &[]));
    assert_eq!(error["code"], "agentkeys.deploy.writes_elsewhere");
    assert!(
        error["fix"]
            .as_str()
            .unwrap()
            .contains("--writable /var/log/agentkeys"),
        "{error}"
    );
    let done = json_of(&run(env, &["--writable", "/var/log/agentkeys"]));
    let assumed = done["assumed"].as_str().unwrap();
    assert!(
        assumed.contains("/srv/agentkeys/agentkeys.toml") && assumed.contains("1024"),
        "{done}"
    );
    let unit = std::fs::read_to_string(units.join("agentkeys.service")).unwrap();
    assert!(
        unit.contains("\nReadWritePaths=/srv/agentkeys /var/log/agentkeys\n"),
        "{unit}"
    );
    if !root("programs of other users") {
        return;
    }
    // A folder that a service can see, since the temporary one is none.
    let place = tempfile::tempdir_in("/opt").unwrap();
    let bin = place.path().join("bin");
    let program = bin.join("agentkeys");
    let set = |path: &Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    set(place.path(), 0o755);
    std::fs::create_dir(&bin).unwrap();
    std::fs::write(&program, "").unwrap();
    let more = ["--writable", "/var/log/agentkeys", "--user", "nobody"];
    let refused = |path: &Path| {
        let (_, error) = error_of(&run(&program, &more));
        assert_eq!(error["code"], "agentkeys.deploy.program_writable");
        let cause = error["cause"].as_str().unwrap();
        assert!(
            cause.starts_with(&format!("{} can be", path.display())),
            "{cause}"
        );
    };
    set(&bin, 0o755);
    set(&program, 0o755);
    json_of(&run(&program, &more));
    set(&program, 0o757);
    refused(&program);
    set(&program, 0o755);
    set(&bin, 0o777);
    refused(&bin);
    set(&bin, 0o755);
    chown(&bin, Some(65_534), None).unwrap();
    refused(&bin);
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
        json!([format!(
            "install -m 0644 {to}/agentkeys.conf /etc/nginx/conf.d/ && nginx -t && systemctl reload nginx"
        )])
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
        SERVE,
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
