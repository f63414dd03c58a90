//! `demo … --observe`: the steps tick when hosts cause the events, and only then.

use super::support::{BIN, House, Server, text};
use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, Command, Stdio};

/// Looks on in a process of its own, from when it says that it waits.
fn observe(house: &House, proof: &str, more: &[&str]) -> Child {
    let mut child = Command::new(BIN)
        .args(["demo", proof, "--observe", "O_kevin_001", "--lang", "en"])
        .args(more)
        .env("AGENTKEYS_DIR", house.dir())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    stderr.read_line(&mut line).unwrap();
    assert!(line.starts_with("Waiting for events"), "{line}");
    std::thread::spawn(move || std::io::copy(&mut stderr, &mut std::io::sink()));
    child
}

fn ended(mut child: Child) -> (Option<i32>, String) {
    let mut said = String::new();
    child
        .stdout
        .take()
        .unwrap()
        .read_to_string(&mut said)
        .unwrap();
    (child.wait().unwrap().code(), said)
}

#[test]
fn a_memory_that_goes_over_both_rails_is_seen_and_what_was_before_is_not() {
    let server = Server::demo();
    let put = |words: &str| {
        let line = json!({"namespace": "travel", "content": words});
        server
            .host("magiclick")
            .structured("agentkeys.memory.put", line);
    };
    let get = |namespace: &str| {
        server
            .host("folotoy")
            .call("agentkeys.memory.get", json!({"namespace": namespace}));
    };
    put("before");
    get("travel");
    let looking = observe(&server.house, "cross-rail", &[]);
    get("travel");
    put("跨轨");
    get("family");
    get("travel");
    let (code, said) = ended(looking);
    assert_eq!(code, Some(0), "{said}");
    for id in [
        "rail1_put_row",
        "rail2_get_row",
        "same_content_tag",
        "same_version",
    ] {
        assert!(said.contains(&format!("ok   audit.{id}")), "{said}");
    }
    assert!(said.trim_end().ends_with("proved"), "{said}");
}

#[test]
fn the_acts_tick_as_a_device_plays_them() {
    let server = Server::demo();
    let looking = observe(&server.house, "three-acts", &[]);
    let toy = server.host("magiclick");
    for namespace in ["travel", "family", "personal"] {
        toy.call("agentkeys.memory.get", json!({"namespace": namespace}));
    }
    let spend = |amount: u64| {
        let ask = json!({"scope": "payment.spend", "params": {"amount_rmb": amount}});
        toy.call("agentkeys.permission.check", ask);
    };
    spend(600);
    spend(200);
    toy.call(
        "agentkeys.permission.check",
        json!({"scope": "nuke.launch"}),
    );
    let scope = ["--vendor", "magiclick", "--scope", "payment.*"];
    server
        .house
        .ok(&[&["actor", "ungrant", "O_kevin_001"], scope.as_slice()].concat());
    spend(1);
    let (code, said) = ended(looking);
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(said.matches("ok   act").count(), 8, "{said}");
}

#[test]
fn far_away_with_a_viewers_token_and_a_wrong_answer_is_named() {
    let server = Server::demo();
    let actor = server.house.actor();
    let token = server.reader(
        "viewer",
        &["--actor", &actor, "--namespaces", "travel,family"],
    );
    let file = server.house.temp.path().join("viewer.token");
    std::fs::write(&file, token).unwrap();
    let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(&file, private).unwrap();
    // Consent to what the act says is withheld.
    let family = ["--vendor", "magiclick", "--read", "travel,family"];
    server
        .house
        .ok(&[&["actor", "grant", "O_kevin_001"], family.as_slice()].concat());
    let path = file.display().to_string();
    let looking = observe(
        &server.house,
        "three-acts",
        &["--url", &server.base, "--token-file", &path],
    );
    let toy = server.host("magiclick");
    // The feed may open a moment after it is waited for: the device asks until it is seen.
    let mut child = looking;
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        tell.send(line).unwrap();
    });
    let line = loop {
        toy.call("agentkeys.memory.get", json!({"namespace": "family"}));
        if let Ok(line) = told.try_recv() {
            break line;
        }
    };
    assert!(line.starts_with("FAIL act1.family_withheld"), "{line}");
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn nothing_seen_is_nothing_shown() {
    let server = Server::demo();
    let mut child = observe(&server.house, "cross-rail", &[]);
    let pid = child.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-INT", &pid])
            .status()
            .unwrap()
            .success()
    );
    let output = child
        .stdout
        .take()
        .map(std::io::read_to_string)
        .unwrap()
        .unwrap();
    assert_ne!(child.wait().unwrap().code(), Some(0), "{output}");
    let json = Command::new(BIN)
        .args(["demo", "cross-rail", "--observe", "nobody", "--json"])
        .env("AGENTKEYS_DIR", server.house.dir())
        .output()
        .unwrap();
    let said: Value = serde_json::from_slice(&json.stderr).unwrap();
    assert_eq!(
        said["error"]["code"],
        "agentkeys.actor.not_found",
        "{}",
        text(&json.stderr)
    );
}
