//! Running it: one server per folder, refusals to start, crashes, command line beside the server.

use super::support::{House, SERVE, Server, command, run_in, send, text};
use serde_json::{Value, json};
use std::process::Stdio;

#[test]
fn a_second_server_on_the_same_folder_is_refused_and_names_the_first() {
    let server = Server::demo();
    let second = server.house.run(SERVE);
    assert_eq!(second.status.code(), Some(3));
    let error = text(&second.stderr);
    assert!(
        error.contains("already_running") && error.contains(&server.child.id().to_string()),
        "{error}"
    );
}

#[test]
fn an_open_address_without_tls_is_refused() {
    let house = House::init(&[]);
    let output = house.run(&[
        "serve",
        "--listen",
        "0.0.0.0:0",
        "--operator-listen",
        "127.0.0.1:0",
    ]);
    assert_eq!(output.status.code(), Some(3));
    assert!(text(&output.stderr).contains("plaintext_refused"));
}

#[test]
fn sigterm_drains_and_ends_with_zero() {
    let server = Server::demo();
    assert_eq!(
        server
            .host("folotoy")
            .call("agentkeys_identity_whoami", json!({}))
            .status,
        200
    );
    assert!(server.stop().success());
}

#[test]
fn a_folder_of_a_newer_program_is_refused_with_its_version() {
    let house = House::init(&[]);
    let db = rusqlite::Connection::open(house.dir().join("ledger.sqlite")).unwrap();
    let newer = "INSERT INTO refinery_schema_history (version, name, applied_on, checksum) VALUES (99, 'future', '2030-01-01T00:00:00Z', '1')";
    db.execute(newer, []).unwrap();
    drop(db);
    let output = house.run(&["actor", "list"]);
    assert_eq!(output.status.code(), Some(3));
    assert!(
        text(&output.stderr).contains("99"),
        "{}",
        text(&output.stderr)
    );
}

#[test]
fn the_command_line_takes_effect_on_the_servers_next_request() {
    let server = Server::demo();
    let host = server.host("magiclick");
    assert_eq!(
        host.call("agentkeys.identity.whoami", json!({})).status,
        200
    );
    let id = server.house.init["vendors"][0]["token_id"]
        .as_str()
        .unwrap();
    server.house.ok(&["vendor", "token", "revoke", id]);
    assert_eq!(
        host.call("agentkeys.identity.whoami", json!({})).status,
        401
    );
}

/// Kills the server at random moments under writers: nothing acknowledged may be lost, nothing
/// doubled, and each write has its row.
#[test]
fn nothing_acknowledged_is_lost_by_kill_nine() {
    let mut house = House::demo();
    let token = house.vendor("desk", &["--read", "work", "--write", "work"]);
    let bearer = format!("Bearer {token}");
    let rounds = std::env::var("AGENTKEYS_TEST_KILLS").map_or(8, |n| n.parse().unwrap());
    let mut acknowledged = 0;
    for round in 0..rounds {
        let mut server = Server::over(house, &[("AGENTKEYS_LIMITS_CALLS_PER_SECOND", "0")]);
        let host = server.host("magiclick").with("authorization", &bearer);
        // The moment differs each round: after as many writes as the round says, in mid-write.
        let stop_after = 3 + round * 5;
        let (pid, done) = (server.child.id(), std::sync::atomic::AtomicU32::new(0));
        let seen = std::thread::scope(|scope| {
            let writer = scope.spawn(|| write_until_dead(&host, round, &done));
            while done.load(std::sync::atomic::Ordering::Acquire) < stop_after {
                std::thread::yield_now();
            }
            std::process::Command::new("kill")
                .args(["-9", &pid.to_string()])
                .status()
                .unwrap();
            writer.join().unwrap()
        });
        acknowledged += seen.len();
        server.child.wait().unwrap();
        house = take(server);
        let history = house.ok(&["memory", "history", "O_kevin_001", "work"]);
        let versions: Vec<u64> = history["versions"]
            .as_array()
            .unwrap()
            .iter()
            .map(|v| v["version"].as_u64().unwrap())
            .collect();
        let mut unique = versions.clone();
        unique.sort_unstable();
        unique.dedup();
        assert_eq!(unique.len(), versions.len());
        for version in seen {
            assert!(
                versions.contains(&version),
                "version {version} was acknowledged and is gone"
            );
        }
        let rows = house.events(&["--tool", "agentkeys.memory.put"]);
        assert_eq!(rows.len(), versions.len());
    }
    assert!(acknowledged > 0);
}

fn write_until_dead(
    host: &super::support::Host<'_>,
    round: u32,
    done: &std::sync::atomic::AtomicU32,
) -> Vec<u64> {
    let mut versions = Vec::new();
    for n in 0.. {
        let arguments = json!({"namespace": "work", "content": format!("round {round} line {n}")});
        let body = json!({"jsonrpc": "2.0", "id": n, "method": "tools/call", "params": {"name": "agentkeys.memory.put", "arguments": arguments}});
        let mut request = host.server.http.post(format!("{}/mcp", host.server.base));
        for (name, value) in &host.headers {
            request = request.header(name, value);
        }
        let answer: Option<Value> = super::support::wait(async {
            request.json(&body).send().await.ok()?.json().await.ok()
        });
        let Some(answer) = answer else { break };
        versions.push(
            answer["result"]["structuredContent"]["version"]
                .as_u64()
                .unwrap(),
        );
        done.fetch_add(1, std::sync::atomic::Ordering::Release);
    }
    versions
}

/// The folder of a server that is gone.
fn take(server: Server) -> House {
    let temp = tempfile::tempdir().unwrap();
    let house = House {
        temp,
        init: server.house.init.clone(),
    };
    std::fs::rename(server.house.dir(), house.dir()).unwrap();
    house
}

#[test]
fn serve_makes_its_folder_on_a_fresh_machine_and_says_so() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("fresh");
    let mut command = command(&dir);
    command.args(SERVE).arg("--json");
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let mut out = std::io::BufReader::new(child.stdout.take().unwrap());
    std::io::BufRead::read_line(&mut out, &mut line).unwrap();
    child.kill().unwrap();
    let output = child.wait_with_output().unwrap();
    let ready: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(ready["event"], "ready");
    assert!(
        text(&output.stderr).contains("creating one"),
        "{}",
        text(&output.stderr)
    );
    let again = run_in(&dir, &["actor", "list"]);
    assert!(again.status.success());
}

#[test]
fn a_folder_that_was_typed_and_is_not_there_is_refused() {
    let house = House::init(&[]);
    let typo = house.temp.path().join("dat");
    // An address that would be refused later: this ends in any case.
    let words = ["serve", "--listen", "0.0.0.0:0", "--dir"];
    let output = house.run(&[&words[..], &[typo.to_str().unwrap()]].concat());
    let error = text(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{error}");
    assert!(
        error.contains("agentkeys.serve.folder_missing") && error.contains("agentkeys init"),
        "{error}"
    );
    assert!(!typo.exists());
}

#[test]
fn only_a_server_that_made_its_folder_says_what_is_next() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("fresh");
    for fresh in [true, false] {
        let mut serve = command(&dir);
        serve
            .args(SERVE)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = serve.spawn().unwrap();
        let out = std::io::BufReader::new(child.stdout.take().unwrap());
        let mut lines = std::io::BufRead::lines(out).map_while(Result::ok);
        let url = lines.find_map(|line| Some(line.strip_prefix("operator ")?.to_owned()));
        // It answers when everything was said, and when it heeds signals.
        let health = format!("{}/healthz", url.unwrap());
        assert_eq!(send(reqwest::Client::new().get(health)).status, 200);
        let pid = child.id().to_string();
        let ended = std::process::Command::new("kill")
            .args(["-TERM", &pid])
            .status();
        assert!(ended.unwrap().success());
        let output = child.wait_with_output().unwrap();
        let said = text(&output.stderr);
        assert_eq!(
            said.contains("next: agentkeys vendor create"),
            fresh,
            "{said}"
        );
    }
}

#[test]
fn keys_that_others_can_reach_are_refused_with_the_command_that_mends_it() {
    use std::os::unix::fs::PermissionsExt as _;
    let house = House::init(&[]);
    for (name, open, closed) in [("keys", 0o750, 0o700), ("keys/root.key", 0o604, 0o600)] {
        let path = house.dir().join(name);
        let set = |mode| {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        };
        set(open);
        for command in [
            &["actor", "list"] as &[_],
            &["init"],
            &["serve", "--listen", "127.0.0.1:0"],
        ] {
            let output = house.run(command);
            let error = text(&output.stderr);
            assert_eq!(output.status.code(), Some(3), "{error}");
            assert!(error.contains("agentkeys.folder.permissions"), "{error}");
            let mend = format!("chmod {closed:o} {}", path.display());
            assert!(error.contains(&mend), "{error}");
        }
        set(closed);
        house.ok(&["actor", "list"]);
    }
}

#[test]
fn systemd_is_told_when_it_serves_and_when_it_stops() {
    let house = House::demo();
    let path = house.temp.path().join("notify");
    let socket = std::os::unix::net::UnixDatagram::bind(&path).unwrap();
    let wait = std::time::Duration::from_mins(2);
    socket.set_read_timeout(Some(wait)).unwrap();
    let next = || {
        let mut bytes = [0; 256];
        let length = socket.recv(&mut bytes).unwrap();
        text(&bytes[..length])
    };
    let server = Server::over(house, &[("NOTIFY_SOCKET", path.to_str().unwrap())]);
    assert_eq!(next().trim(), "READY=1");
    assert!(server.stop().success());
    assert_eq!(next().trim(), "STOPPING=1");
}

/// Unmounts when dropped.
pub(crate) struct SmallDisk(pub(crate) tempfile::TempDir);

impl SmallDisk {
    /// A file system of so many kilobytes; none where this user may not mount one.
    pub(crate) fn mounted(kib: u32) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let mount = std::process::Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={kib}k"), "tmpfs"])
            .arg(dir.path())
            .stderr(Stdio::null())
            .status();
        let mounted = mount.is_ok_and(|status| status.success());
        mounted.then_some(Self(dir))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let umount = std::process::Command::new("umount")
            .arg("--lazy")
            .arg(self.0.path())
            .status();
        assert!(umount.unwrap().success());
    }
}

#[test]
fn on_a_full_disk_nothing_is_done_that_is_not_recorded_and_room_mends_it() {
    let Some(disk) = SmallDisk::mounted(6 * 1024) else {
        println!("skipped: this user may not mount a file system");
        return;
    };
    let full = disk.0.path().join("data");
    let house = House {
        temp: tempfile::tempdir().unwrap(),
        init: demo_in(&full),
    };
    std::os::unix::fs::symlink(&full, house.dir()).unwrap();
    let server = Server::over(house, &[("AGENTKEYS_LIMITS_CALLS_PER_SECOND", "0")]);
    let host = server.host("magiclick");
    let put = |n: u64| {
        let content = format!("{n} {}", "x".repeat(1000));
        host.call(
            "agentkeys.memory.put",
            json!({"namespace": "travel", "content": content}),
        )
    };
    // Somebody else's file takes what room there is.
    let hog = disk.0.path().join("hog");
    let mut file = std::fs::File::create(&hog).unwrap();
    while std::io::Write::write_all(&mut file, &[7; 4096]).is_ok() {}
    let refused = (0..1_000_000)
        .map(put)
        .find(|reply| reply.status != 200)
        .unwrap();
    assert_eq!(refused.status, 503, "{refused:?}");
    assert_eq!(refused.code(), "agentkeys.http.audit_unavailable");
    let ready = super::support::send(server.http.get(format!("{}/readyz", server.operator)));
    assert_eq!(ready.status, 503, "{}", ready.body);
    assert!(ready.body.contains("\"disk\"") && ready.body.contains("make room"));
    drop(file);
    std::fs::remove_file(&hog).unwrap();
    assert_eq!(put(u64::MAX).status, 200);
    let kept = host.text("agentkeys.memory.get", json!({"namespace": "travel"}));
    assert!(kept.contains(&u64::MAX.to_string()), "{kept}");
    let rows = server.house.events(&["--tool", "agentkeys.memory.put"]);
    let seqs: Vec<_> = rows.iter().map(|r| r["seq"].as_u64().unwrap()).collect();
    assert!(seqs.is_sorted());
    assert!(server.stop().success());
}

fn demo_in(dir: &std::path::Path) -> Value {
    super::support::json_of(&run_in(dir, &["init", "--demo"]))
}
