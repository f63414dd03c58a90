//! What is put right again, and what a crash leaves.

use super::{Log, another_reason, number, open, rebuild, rewrite, run, verify};
use crate::it::support::{House, Server, text};
use rusqlite::Connection;
use serde_json::{Value, json};
use std::path::PathBuf;

/// The findings of `audit fsck` that are not ok, and its exit code.
fn fsck(log: &Log) -> (i32, Vec<(String, String)>) {
    let output = log.house.run(&["audit", "fsck"]);
    let said: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|e| panic!("{e}: {}", text(&output.stderr)));
    let findings = said["findings"].as_array().unwrap().iter();
    let findings = findings.map(|f| {
        let word = |key: &str| f[key].as_str().unwrap().to_owned();
        (word("id"), word("status"))
    });
    let row = log.house.events(&["--tool", "audit.check"]);
    let row = row.last().unwrap();
    assert_eq!(
        (&row["op_kind"], &row["by"]),
        (&json!(134), &json!("operator"))
    );
    let told = row["detail"]["findings"].as_array().unwrap().len();
    assert_eq!(told, findings.len());
    (
        output.status.code().unwrap(),
        findings.filter(|(_, status)| status != "ok").collect(),
    )
}

fn repaired(id: &str) -> (i32, Vec<(String, String)>) {
    (0, vec![(id.to_owned(), "repaired".to_owned())])
}

#[test]
fn what_can_be_repaired_is_and_leaves_a_row() {
    let log = Log::new();
    let dir = log.house.dir();
    let since = log.kept.to_str().unwrap();
    let holds = || {
        let (code, said) = verify(&dir, &["--since", since]);
        assert_eq!(code, 0, "{said}");
    };
    assert_eq!(fsck(&log), (0, vec![]));
    let damages = [
        "DELETE FROM log_tile",
        "DELETE FROM log_tile WHERE level = 0 AND place = 0",
        "UPDATE log_tile SET hashes = CAST(x'0000' || substr(hashes, 3) AS BLOB) WHERE place = 1",
        "UPDATE log_tile SET hashes = CAST(x'0000' || substr(hashes, 3) AS BLOB) WHERE level = 1",
        "INSERT INTO log_tile VALUES (0, 9, zeroblob(64)), (4, 0, zeroblob(32))",
        "UPDATE log_head SET integrated = 7",
    ];
    for damage in damages {
        run(&open(&dir), damage);
        assert_eq!(verify(&dir, &[]).0, 7, "{damage}");
        assert_eq!(fsck(&log), repaired("tree"), "{damage}");
        holds();
    }
    run(
        &open(&dir),
        "UPDATE log_head SET lease_holder = 'gone', lease_until_ms = 1",
    );
    assert_eq!(fsck(&log), repaired("lease"));
    std::fs::remove_file(dir.join("checkpoint")).unwrap();
    assert_eq!(fsck(&log), repaired("kept"));
    assert!(dir.join("checkpoint").exists());
    // The tree was built and the process ended before it was signed.
    log.house.ok(&["memory", "get", "O_kevin_001", "travel"]);
    let before = std::fs::read(dir.join("checkpoint")).unwrap();
    log.house.ok(&["audit", "checkpoint"]);
    run(
        &open(&dir),
        "DELETE FROM log_checkpoint WHERE size = (SELECT max(size) FROM log_checkpoint)",
    );
    std::fs::write(dir.join("checkpoint"), before).unwrap();
    assert_eq!(fsck(&log), repaired("batch"));
    holds();
    log.house.ok(&["audit", "prune", "--before", "0s"]);
    let rows = "INSERT INTO audit_event (seq, event_id, ts_ms, tool, verdict, envelope)
                SELECT 5, 'evt_5', 0, 't', 'deny', x'00'; UPDATE log_head SET swept = 5";
    run(&open(&dir), rows);
    let unswept = |c: &Connection| number(c, "SELECT count(*) FROM audit_event WHERE seq = 5");
    assert_eq!(unswept(&open(&dir)), 1);
    let (_, findings) = fsck(&log);
    assert!(
        findings.contains(&("pruned".to_owned(), "repaired".to_owned())),
        "{findings:?}"
    );
    assert_eq!(unswept(&open(&dir)), 0);
    // A tree whose bodies are gone is made again as far as it proves itself.
    run(&open(&dir), "DELETE FROM log_tile WHERE level > 0");
    assert_eq!(fsck(&log), repaired("tree"));
    holds();
    run(
        &open(&dir),
        "DELETE FROM log_tile WHERE level = 0 AND place = 0",
    );
    let (code, findings) = fsck(&log);
    assert_eq!(code, 7);
    let bad = |id: &str| (id.to_owned(), "bad".to_owned());
    assert_eq!(findings, [bad("tree"), bad("entries")]);
}

/// A damaged tree is no reason to close the log's name, and altered entries are not signed over.
#[test]
fn what_is_not_proved_is_not_repaired() {
    let log = Log::new();
    let dir = log.house.dir();
    run(
        &open(&dir),
        "UPDATE log_tile SET hashes = CAST(\
            iif(substr(hashes, 1, 1) = x'00', x'01', x'00') || substr(hashes, 2) AS BLOB)",
    );
    let output = log.house.run(&["audit", "checkpoint"]);
    assert_eq!(output.status.code(), Some(7), "{}", text(&output.stdout));
    // What waited was added to the tree before that was seen.
    let was = |id: &str| (id.to_owned(), "repaired".to_owned());
    assert_eq!(fsck(&log), (0, vec![was("tree"), was("batch")]));
    rewrite(&open(&dir), 100, another_reason);
    let (code, findings) = fsck(&log);
    assert_eq!(
        (code, findings),
        (7, vec![("entries".to_owned(), "bad".to_owned())])
    );
    rebuild(&open(&dir));
    let (code, findings) = fsck(&log);
    assert_eq!(
        (code, findings),
        (7, vec![("entries".to_owned(), "bad".to_owned())])
    );
}

#[test]
fn a_server_that_is_killed_while_it_seals_leaves_a_log_that_opens_and_verifies() {
    let mut house = House::demo();
    let kept = house.temp.path().join("kept.checkpoint");
    for round in 0..6_u64 {
        let settings = [("AGENTKEYS_AUDIT_BATCH_SECONDS", "1")];
        let mut server = Server::over(house, &settings);
        let host = server.host("magiclick");
        for _ in 0..round * 20 {
            host.structured("agentkeys.memory.get", json!({"namespace": "travel"}));
        }
        server.child.kill().unwrap();
        server.child.wait().unwrap();
        let empty = House {
            temp: tempfile::tempdir().unwrap(),
            init: Value::Null,
        };
        house = std::mem::replace(&mut server.house, empty);
        house.ok(&["audit", "checkpoint"]);
        let since: &[&str] = match round {
            0 => &[],
            _ => &["--since", kept.to_str().unwrap()],
        };
        let (code, said) = verify(&house.dir(), since);
        assert_eq!(code, 0, "{said}");
        house.ok(&["audit", "checkpoint", "--out", kept.to_str().unwrap()]);
    }
}

#[test]
fn a_bundle_with_any_byte_changed_is_refused() {
    let house = House::demo();
    let event = house.events(&[])[0]["event_id"].clone();
    let file = house.temp.path().join("event.proof");
    let words = [
        "audit",
        "prove",
        event.as_str().unwrap(),
        "--out",
        file.to_str().unwrap(),
    ];
    house.ok(&words);
    let bytes = std::fs::read(&file).unwrap();
    let altered: Vec<PathBuf> = (0..bytes.len())
        .map(|at| {
            let mut bytes = bytes.clone();
            bytes[at] ^= 1;
            let path = house.temp.path().join(format!("{at}.proof"));
            std::fs::write(&path, bytes).unwrap();
            path
        })
        .collect();
    let good = [file];
    for (files, code) in [(&good[..], 0), (&altered[..], 7)] {
        for files in files.chunks(500) {
            let words = files.iter().map(|f| f.to_str().unwrap());
            let words: Vec<&str> = ["audit", "verify"].into_iter().chain(words).collect();
            let output = house.run(&words);
            assert_eq!(output.status.code(), Some(code));
            let said: Value = serde_json::from_slice(&output.stdout).unwrap();
            if code != 0 {
                let each = said["files"].as_array().unwrap();
                assert!(each.iter().all(|file| file["verified"] == false));
            }
        }
    }
}
