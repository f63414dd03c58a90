//! What a run leaves behind that did not come to its end: nothing, or what the next one puts back.

use super::front::lie;
use super::{Stage, calls};
use crate::it::acceptance::state;
use crate::it::support::command;
use serde_json::{Value, json};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, mpsc};
use std::time::Duration;

/// An answer that is lost: larger than any is read.
fn lost() -> String {
    " ".repeat(9 << 20)
}

#[test]
fn a_lost_answer_ends_a_run_and_leaves_nothing() {
    let stage = Stage::new();
    let before = state(&stage.server, &stage.kit);
    // The memory was written, and the money set aside.
    for (suite, tool, at) in [
        ("tools", "agentkeys.memory.put", 1),
        ("tools", "agentkeys.permission.check", 3),
        ("negative-auth", "agentkeys.cap.mint", 5),
    ] {
        let seen = AtomicUsize::new(0);
        stage.front.tells(lie(move |asked, said| {
            if calls(asked, tool) && seen.fetch_add(1, Ordering::Relaxed) == at {
                said.body = lost();
            }
        }));
        let said = stage.accept(suite, &[]);
        assert_eq!(said.status.code(), Some(6), "{suite}");
        let said = super::text(&said.stderr);
        assert!(said.contains("larger than"), "{said}");
        assert_eq!(state(&stage.server, &stage.kit), before, "{suite}, {tool}");
    }
}

#[test]
fn a_ctrl_c_is_heard_between_two_calls() {
    let stage = Stage::new();
    let before = state(&stage.server, &stage.kit);
    let (asks, asked_for) = mpsc::channel();
    let (told, hears) = mpsc::channel::<()>();
    let ends = Mutex::new((asks, hears));
    stage.front.tells(lie(move |asked, _| {
        if calls(asked, "agentkeys.memory.put") && asked.body.contains("tools suite") {
            let ends = ends.lock().unwrap();
            // Nobody listens any more once it was told.
            if ends.0.send(()).is_ok() {
                let _ = ends.1.recv();
            }
        }
    }));
    let url = stage.front.url.as_str();
    let mut run = command(&stage.server.house.dir())
        .args(["accept", "tools", "--url", url, "--kit", &stage.kit])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    asked_for.recv_timeout(Duration::from_mins(1)).unwrap();
    drop(asked_for);
    let pid = run.id().to_string();
    let sent = Command::new("kill").args(["-INT", &pid]).status();
    assert!(sent.unwrap().success());
    drop(told);
    assert_eq!(run.wait().unwrap().code(), Some(130));
    assert_eq!(state(&stage.server, &stage.kit), before);
}

#[test]
fn what_a_killed_run_left_is_put_back_by_the_next() {
    let stage = Stage::new();
    let before = state(&stage.server, &stage.kit);
    let kit = stage.kit();
    let house = &stage.server.house;
    let main = kit["actors"]["main"]["alias"].as_str().unwrap();
    let vendor = |name: &str| kit["vendors"][name]["vendor"].as_str().unwrap();
    let token = |vendor: &str| {
        let tokens = kit["tokens"].as_array().unwrap();
        let own = |t: &&Value| {
            let is = |key: &str, word: &str| t[key] == word;
            is("vendor", vendor) && is("state", "active") && is("kind", "unpinned")
        };
        let file = tokens.iter().find(own).unwrap()["file"].as_str().unwrap();
        std::fs::read_to_string(format!("{}/{file}", stage.kit)).unwrap()
    };
    let left = house.temp.path().join("left").display().to_string();
    std::fs::write(&left, "left over").unwrap();
    for suite in ["three-acts", "tools"] {
        let spend = json!({"scope": "payment.spend", "params": {"amount_rmb": 400}});
        let plain = token(vendor("plain"));
        let plain = format!("Bearer {plain}");
        let host = stage
            .server
            .host_with(&[("authorization", &plain), ("x-agentkeys-actor", main)]);
        let held = host.structured("agentkeys.permission.check", spend);
        assert_eq!(held["verdict"], "accept", "{held}");
        house.ok(&["memory", "put", main, "travel", "--file", &left]);
        let first = vendor("first");
        house.ok(&[
            "actor",
            "ungrant",
            main,
            "--vendor",
            first,
            "--scope",
            "payment.*",
        ]);
        assert_ne!(state(&stage.server, &stage.kit), before);
        let report = stage.accept(suite, &[]);
        assert_eq!(
            report.status.code(),
            Some(0),
            "{}",
            super::text(&report.stderr)
        );
        assert_eq!(state(&stage.server, &stage.kit), before, "{suite}");
    }
}
