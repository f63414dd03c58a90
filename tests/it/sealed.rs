//! The sealed log, over real files and sockets: checkpoints, proofs, keys, a store put back from an
//! older copy, and events that are no longer kept.

use super::support::{House, Server, run_in, send, text};
use agentkeys::audit::checkpoint::Checkpoint;
use agentkeys::audit::note::{SignedNote, VerifierKey};
use agentkeys::audit::tree::{Hash, leaf_hash, verify_consistency, verify_inclusion};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// A signed checkpoint, read and checked under the keys that a log publishes.
fn opened(note: &Value, keys: &[VerifierKey]) -> (Checkpoint, usize) {
    let note = SignedNote::parse(note.as_str().unwrap().as_bytes()).unwrap();
    let (checkpoint, signers) = Checkpoint::open(&note, keys).unwrap();
    (checkpoint, signers.len())
}

fn hash(value: &Value) -> Hash {
    let bytes = STANDARD.decode(value.as_str().unwrap()).unwrap();
    bytes.try_into().unwrap()
}

fn hashes(value: &Value) -> Vec<Hash> {
    value.as_array().unwrap().iter().map(hash).collect()
}

/// The log's keys as an operator lists them, oldest first.
fn ring(house: &House) -> Vec<VerifierKey> {
    let keys = house.ok(&["keys", "list"]);
    let keys = keys["keys"].as_array().unwrap().iter();
    keys.filter(|k| k["purpose"] == "log")
        .map(|k| k["kid"].as_str().unwrap().parse().unwrap())
        .collect()
}

fn prove(house: &House, event: &Value, name: &str) -> PathBuf {
    let file = house.temp.path().join(name);
    let event = event["event_id"].as_str().unwrap();
    house.ok(&["audit", "prove", event, "--out", file.to_str().unwrap()]);
    file
}

/// Checks proofs as somebody who has nothing but the files.
fn verify(files: &[&Path], trusted: &[&str]) -> (Option<i32>, Value) {
    let nothing = tempfile::tempdir().unwrap();
    let mut args = vec!["audit", "verify"];
    args.extend(files.iter().map(|f| f.to_str().unwrap()));
    args.extend(trusted.iter().flat_map(|key| ["--trust-key", key]));
    let output = run_in(&nothing.path().join("none"), &args);
    let answer = serde_json::from_slice(&output.stdout);
    (output.status.code(), answer.unwrap_or(Value::Null))
}

#[test]
fn a_proof_is_checked_by_somebody_who_has_nothing_else() {
    let house = House::demo();
    let events = house.events(&[]);
    let key = ring(&house)[0].to_string();
    // Nothing is sealed yet: proving seals.
    let early = prove(&house, &events[0], "early");
    let (exit, verdict) = verify(&[&early], &[]);
    assert_eq!((exit, &verdict["verified"]), (Some(0), &json!(true)));
    assert_eq!(verdict["signer_pinned"], false);
    for field in ["event_id", "seq", "ts", "tool", "verdict", "envelope_hash"] {
        assert_eq!(verdict["event"][field], events[0][field], "{field}");
    }
    let sentence = verdict["sentence"].as_str().unwrap();
    let fingerprint = ring(&house)[0].fingerprint();
    let unpinned = format!("under key {fingerprint}, which you have not pinned");
    assert!(sentence.starts_with(&unpinned), "{sentence}");

    // An older event against a newer tree: the way from the first checkpoint to it is in there.
    house.ok(&["actor", "create", "later"]);
    house.ok(&["audit", "checkpoint"]);
    let late = prove(&house, &events[3], "late");
    let proof = std::fs::read_to_string(&late).unwrap();
    assert!(proof.contains("\nnewer ") && proof.contains("\nconsistency "));
    let keys = house.temp.path().join("log.key");
    std::fs::write(&keys, format!("{key}\n")).unwrap();
    for trusted in [key.as_str(), keys.to_str().unwrap()] {
        let (exit, verdict) = verify(&[&early, &late], &[trusted]);
        let held = (&verdict["verified"], &verdict["signer_pinned"]);
        assert_eq!((exit, held), (Some(0), (&json!(true), &json!(true))));
        assert_eq!(verdict["files"].as_array().unwrap().len(), 2);
    }

    // Another log's key, and a byte of the event.
    let stranger = ring(&House::demo())[0].to_string();
    let (exit, verdict) = verify(&[&late], &[&stranger]);
    assert_eq!((exit, &verdict["verified"]), (Some(7), &json!(false)));
    let changed = house.temp.path().join("changed");
    std::fs::write(&changed, proof.replace("\nseq 3\n", "\nseq 4\n")).unwrap();
    let (exit, verdict) = verify(&[&late, &changed], &[&key]);
    assert_eq!((exit, &verdict["verified"]), (Some(7), &json!(false)));
    assert_eq!(verdict["first_bad"], changed.to_str().unwrap());
    assert_eq!(verify(&[&early], &["neither key nor file"]).0, Some(2));
    let missing = house.temp.path().join("missing");
    assert_eq!(verify(&[&missing], &[]).0, Some(1));

    let unknown = house.run(&["audit", "prove", "evt_0"]);
    assert_eq!(unknown.status.code(), Some(1));
    assert!(text(&unknown.stderr).contains("agentkeys.audit.event_not_found"));
}

/// Asks the server as the bearer of a token.
fn get(server: &Server, token: &str, path: &str) -> (u16, Value) {
    let url = format!("{}{path}", server.base);
    let reply = send(server.http.get(url).bearer_auth(token));
    (reply.status, reply.json())
}

#[test]
fn a_server_seals_by_itself_and_proves_over_http() {
    let settings = [
        ("AGENTKEYS_AUDIT_BATCH_SECONDS", "1"),
        ("AGENTKEYS_LIMITS_CALLS_PER_SECOND", "0"),
    ];
    let server = Server::over(House::demo(), &settings);
    let auditor = server.reader("auditor", &[]);
    let host = server.host("magiclick");
    host.result("agentkeys_identity_whoami", json!({}));
    let filters = ["--tool", "agentkeys.identity.whoami"];
    let event = server.house.events(&filters)[0].clone();
    let seq = event["seq"].as_u64().unwrap();
    // The next checkpoint takes it in, without anybody asking for one.
    let newest = loop {
        let (status, newest) = get(&server, &auditor, "/v1/audit/checkpoint");
        // Of a log that was never sealed there is none.
        assert!([200, 409].contains(&status), "{newest}");
        if newest["size"].as_u64() > Some(seq) {
            break newest;
        }
    };

    let url = format!("{}/.well-known/agentkeys/log-key", server.base);
    let published = send(server.http.get(url)).json();
    assert_eq!(published["origin"], newest["origin"]);
    let key = &published["keys"][0];
    assert_eq!(
        (&key["state"], &key["key"]),
        (&json!("signs"), &newest["key"])
    );
    let keys: Vec<VerifierKey> = vec![key["key"].as_str().unwrap().parse().unwrap()];
    assert_eq!(key["fingerprint"], keys[0].fingerprint());
    let (checkpoint, _) = opened(&newest["note"], &keys);
    assert_eq!(checkpoint.size(), newest["size"].as_u64().unwrap());

    let id = event["event_id"].as_str().unwrap();
    for which in [format!("event_id={id}"), format!("seq={seq}")] {
        let path = format!("/v1/audit/proof/inclusion?{which}");
        let (status, proof) = get(&server, &auditor, &path);
        assert_eq!(status, 200, "{proof}");
        let (checkpoint, _) = opened(&proof["note"], &keys);
        let (leaf, path) = (hash(&proof["leaf_hash"]), hashes(&proof["proof"]));
        let (size, root) = (checkpoint.size(), checkpoint.root());
        verify_inclusion(&leaf, proof["seq"].as_u64().unwrap(), size, &path, root).unwrap();
        let bytes = STANDARD.decode(proof["envelope"].as_str().unwrap());
        assert_eq!(leaf_hash(&bytes.unwrap()), leaf, "the auditor has it all");
    }
    let first = newest["size"].as_u64().unwrap();
    server.house.ok(&["audit", "checkpoint"]);
    let path = format!("/v1/audit/proof/consistency?from={first}");
    let (status, growth) = get(&server, &auditor, &path);
    assert_eq!(status, 200, "{growth}");
    let (to, _) = opened(&growth["note"], &keys);
    let proof = hashes(&growth["proof"]);
    verify_consistency(first, checkpoint.root(), to.size(), to.root(), &proof).unwrap();
    let shown = &server
        .house
        .events(&["--tool", "agentkeys.identity.whoami"])[0];
    assert_eq!(shown["leaf_index"], seq);

    for (path, wanted) in [
        ("inclusion?event_id=evt_0", 404),
        ("inclusion?seq=99999999", 409),
        ("inclusion?seq=0&size=99999999", 404),
        ("inclusion?seq=-1", 400),
        ("inclusion?seq=0&event_id=evt_0", 400),
        ("inclusion", 400),
        ("consistency?from=99999999", 404),
        ("consistency", 400),
        ("consistency?from=0&more=1", 400),
    ] {
        let rows = server.house.events(&["--tool", "audit.read"]).len();
        let (status, answer) = get(&server, &auditor, &format!("/v1/audit/proof/{path}"));
        assert_eq!(status, wanted, "{path}: {answer}");
        // Its own row, and that of the look at the rows before it.
        let now = server.house.events(&["--tool", "audit.read"]).len();
        assert_eq!(now, rows + 2, "{path}");
    }
}

#[test]
fn proofs_are_for_readers_and_only_of_what_they_may_see() {
    let server = Server::demo();
    let house = &server.house;
    house.ok(&["actor", "create", "other"]);
    house.ok(&["audit", "checkpoint"]);
    let own = &house.events(&["--actor", "O_kevin_001"])[0];
    let others = &house.events(&["--actor", "other"])[0];
    let path = |event: &Value| {
        let id = event["event_id"].as_str().unwrap();
        let seq = event["seq"].as_u64().unwrap();
        [
            format!("/v1/audit/proof/inclusion?event_id={id}"),
            format!("/v1/audit/proof/inclusion?seq={seq}"),
        ]
    };
    let kevin = ["--actor", "O_kevin_001"];
    let viewer = [&kevin[..], &["--namespaces", "travel"]].concat();
    for (role, more) in [
        ("viewer", &viewer[..]),
        ("parent", &kevin),
        ("auditor", &[]),
    ] {
        let token = server.reader(role, more);
        assert_eq!(
            get(&server, &token, "/v1/audit/checkpoint").0,
            200,
            "{role}"
        );
        let sees_all = role == "auditor";
        for path in path(own) {
            let (status, proof) = get(&server, &token, &path);
            assert_eq!(status, 200, "{role} {path}");
            // The bytes speak of everything: with them a blanked word could be read.
            assert_eq!(proof["envelope"].is_string(), sees_all, "{role} {path}");
        }
        let wanted = if sees_all { 200 } else { 404 };
        for path in path(others) {
            assert_eq!(get(&server, &token, &path).0, wanted, "{role} {path}");
        }
        let growth = "/v1/audit/proof/consistency?from=3";
        assert_eq!(get(&server, &token, growth).0, 200, "{role}");
    }
    let vendor = house.token("magiclick");
    for path in [
        "/v1/audit/checkpoint",
        "/v1/audit/proof/inclusion?seq=0",
        "/v1/audit/proof/consistency?from=0",
    ] {
        assert_eq!(get(&server, &vendor, path).0, 403, "{path}");
        let url = format!("{}{path}", server.base);
        assert_eq!(send(server.http.get(url)).status, 401, "{path}");
    }
}

#[test]
fn a_new_key_signs_beside_the_old_one_and_both_are_published() {
    let server = Server::demo();
    let house = &server.house;
    let event = house.events(&[])[0].clone();
    house.ok(&["audit", "checkpoint"]);
    let before = prove(house, &event, "before");
    let rotated = house.ok(&["keys", "rotate", "--purpose", "log"]);
    let keys = ring(house);
    assert_eq!(rotated["kid"], keys[1].to_string());
    assert_eq!(rotated["replaces"], keys[0].to_string());
    let newest = house.ok(&["audit", "checkpoint"]);
    for key in &keys {
        assert_eq!(opened(&newest["note"], std::slice::from_ref(key)).1, 1);
    }
    assert_eq!(newest["key"], keys[1].to_string());
    let after = prove(house, &event, "after");
    for key in &keys {
        let (exit, verdict) = verify(&[&after], &[&key.to_string()]);
        assert_eq!(exit, Some(0), "{verdict}");
    }
    let (exit, _) = verify(&[&before], &[&keys[1].to_string()]);
    assert_eq!(exit, Some(7), "the new key never signed this");

    let url = format!("{}/.well-known/agentkeys/log-key", server.base);
    let published = send(server.http.get(url)).json();
    // As it was fetched it can be pinned.
    let fetched = house.temp.path().join("log-key.json");
    std::fs::write(&fetched, published.to_string()).unwrap();
    let (exit, verdict) = verify(&[&before, &after], &[fetched.to_str().unwrap()]);
    assert_eq!(exit, Some(0), "{verdict}");
    let published = published["keys"].as_array().unwrap();
    assert!(published.iter().all(|k| k["state"] == "signs"));
    assert_eq!(published.len(), 2);

    // Another rotation does not cut the first key's time short.
    house.ok(&["keys", "rotate", "--purpose", "log"]);
    let newest = house.ok(&["audit", "checkpoint"]);
    assert_eq!(opened(&newest["note"], &ring(house)).1, 3);
}

fn copy(from: &Path, to: &Path) {
    for name in ["ledger.sqlite", "ledger.sqlite-wal", "ledger.sqlite-shm"] {
        let (from, to) = (from.join(name), to.join(name));
        let _ = std::fs::remove_file(&to);
        if from.exists() {
            std::fs::copy(from, to).unwrap();
        }
    }
}

#[test]
fn a_store_that_was_put_back_goes_on_under_another_name() {
    let house = House::demo();
    house.ok(&["audit", "checkpoint"]);
    let backup = tempfile::tempdir().unwrap();
    copy(&house.dir(), backup.path());
    house.ok(&["actor", "create", "lost"]);
    let last = house.ok(&["audit", "checkpoint"]);
    copy(backup.path(), &house.dir());
    // A row where the lost one was, so that the sizes would even fit.
    house.ok(&["actor", "create", "other"]);
    house.ok(&["actor", "create", "another"]);

    let next = house.ok(&["audit", "checkpoint"]);
    assert_eq!(next["closed"], last["origin"]);
    assert_ne!(next["origin"], last["origin"]);
    let restart = &house.events(&["--tool", "audit.restart"])[0];
    assert_eq!(restart["op_kind"], 133);
    let (signed, _) = last["note"].as_str().unwrap().split_once("\n\n").unwrap();
    let named = restart["detail"]["last_checkpoint"].as_str().unwrap();
    assert_eq!(named, format!("{signed}\n"));
    assert_eq!(restart["detail"]["closed"], last["origin"]);
    // The new name's first checkpoint has that event, and the old key signs nothing any more.
    assert_eq!(next["size"], restart["seq"].as_u64().unwrap() + 1);
    let keys = ring(&house);
    assert_eq!(opened(&next["note"], &keys).1, 1);
    assert_eq!(next["key"], keys[1].to_string());

    // It stays so, and a second copy put back is a third name.
    let again = house.ok(&["audit", "checkpoint"]);
    assert_eq!(again["origin"], next["origin"]);
    copy(backup.path(), &house.dir());
    let third = house.ok(&["audit", "checkpoint"]);
    assert!(
        third["origin"].as_str().unwrap().contains(":log:3:"),
        "{third}"
    );
    assert_eq!(house.events(&["--tool", "audit.restart"]).len(), 1);
}

#[test]
fn nothing_is_signed_beside_a_kept_checkpoint_that_cannot_be_read() {
    let house = House::demo();
    let last = house.ok(&["audit", "checkpoint"]);
    let kept = house.dir().join("checkpoint");
    assert_eq!(
        std::fs::read_to_string(&kept).unwrap(),
        last["note"].as_str().unwrap()
    );
    std::fs::write(&kept, "nonsense").unwrap();
    house.ok(&["actor", "create", "other"]);
    let output = house.run(&["audit", "checkpoint"]);
    assert_eq!(output.status.code(), Some(3));
    assert!(text(&output.stderr).contains("agentkeys.audit.checkpoint_unreadable"));
    // Without the file the ledger's own is what counts, and it is written again.
    std::fs::remove_file(&kept).unwrap();
    let next = house.ok(&["audit", "checkpoint"]);
    assert_eq!(next["origin"], last["origin"]);
    assert_eq!(
        std::fs::read_to_string(&kept).unwrap(),
        next["note"].as_str().unwrap()
    );
}

#[test]
fn many_who_seal_at_once_sign_one_log() {
    let every_second = [("AGENTKEYS_AUDIT_BATCH_SECONDS", "1")];
    let server = Server::over(House::demo(), &every_second);
    let house = &server.house;
    std::thread::scope(|scope| {
        for number in 0..4 {
            scope.spawn(move || {
                let actor = format!("many-{number}");
                house.ok(&["actor", "create", &actor]);
                house.ok(&["audit", "checkpoint"]);
            });
        }
    });
    let keys = ring(house);
    let ledger = rusqlite::Connection::open(house.dir().join("ledger.sqlite")).unwrap();
    let mut notes = ledger
        .prepare("SELECT note FROM log_checkpoint ORDER BY size")
        .unwrap();
    let notes = notes.query_map([], |r| r.get::<_, String>(0)).unwrap();
    let signed: Vec<Checkpoint> = notes.map(|n| opened(&n.unwrap().into(), &keys).0).collect();
    assert!(!signed.is_empty());
    let auditor = server.reader("auditor", &[]);
    for pair in signed.windows(2) {
        let path = format!(
            "/v1/audit/proof/consistency?from={}&to={}",
            pair[0].size(),
            pair[1].size()
        );
        let (status, growth) = get(&server, &auditor, &path);
        assert_eq!(status, 200, "{growth}");
        let proof = hashes(&growth["proof"]);
        let (old, new) = (&pair[0], &pair[1]);
        verify_consistency(old.size(), old.root(), new.size(), new.root(), &proof).unwrap();
    }
}

#[test]
fn what_is_pruned_is_gone_and_what_was_proved_stays_proved() {
    let server = Server::demo();
    let house = &server.house;
    let event = house.events(&[])[0].clone();
    let kept = prove(house, &event, "kept");
    let pruned = house.ok(&["audit", "prune", "--before", "0s"]);
    let first = pruned["first_kept"].as_u64().unwrap();
    assert_eq!(pruned["pruned"], first);
    let rows = house.events(&[]);
    assert_eq!(rows[0]["seq"], first);
    assert_eq!(
        (
            &rows[0]["tool"],
            &rows[0]["op_kind"],
            &rows[0]["detail"]["first_kept"]
        ),
        (&json!("audit.prune"), &json!(132), &json!(first))
    );
    let bytes = |name: &str| std::fs::read(house.dir().join(name)).unwrap_or_default();
    let id = event["event_id"].as_str().unwrap();
    let ledger = rusqlite::Connection::open(house.dir().join("ledger.sqlite")).unwrap();
    ledger
        .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
        .unwrap();
    for name in ["ledger.sqlite", "ledger.sqlite-wal"] {
        let there = bytes(name);
        assert!(
            !there.windows(id.len()).any(|w| w == id.as_bytes()),
            "{name}"
        );
    }
    let key = ring(house)[0].to_string();
    assert_eq!(verify(&[&kept], &[&key]).0, Some(0));
    assert_eq!(house.run(&["audit", "prove", id]).status.code(), Some(1));
    // Its place in the tree is still proved, and so is what comes after it.
    let auditor = server.reader("auditor", &[]);
    assert_eq!(
        get(&server, &auditor, "/v1/audit/proof/inclusion?seq=0").0,
        200
    );
    let late = prove(house, &rows[0], "late");
    assert_eq!(verify(&[&late], &[&key]).0, Some(0));
    let future = house.run(&["audit", "prune", "--before", "2999-01-01T00:00:00Z"]);
    assert_eq!(future.status.code(), Some(1));
    assert!(text(&future.stderr).contains("agentkeys.audit.prune_future"));
    let again = house.ok(&["audit", "prune", "--before", "1h"]);
    assert_eq!(again["pruned"], 0);
}

#[test]
fn events_are_exported_for_programs_and_spreadsheets() {
    let server = Server::demo();
    let house = &server.house;
    // A stranger who would like to be run.
    let hostile = server
        .host("magiclick")
        .with("x-agentkeys-actor", "=HYPERLINK(1)");
    assert_eq!(hostile.method("ping", &json!({})).status, 403);
    // The server seals when it starts, and what it has sealed shows in the rows.
    house.ok(&["audit", "checkpoint"]);
    let listed = house.events(&[]);
    let file = house.temp.path().join("events.jsonl");
    let told = house.ok(&["audit", "export", "--out", file.to_str().unwrap()]);
    let lines = std::fs::read_to_string(&file).unwrap();
    let exported: Vec<Value> = lines
        .lines()
        .map(|l| serde_json::from_str(l).unwrap())
        .collect();
    assert_eq!(told["events"], exported.len());
    let sealed = |row: &&Value| !row["leaf_index"].is_null();
    let listed: Vec<_> = listed.iter().filter(sealed).collect();
    assert!(listed.len() > 10);
    assert!(exported.iter().zip(listed).all(|(one, other)| one == other));

    let file = house.temp.path().join("events.csv");
    let words = [
        "audit",
        "export",
        "--format",
        "csv",
        "--verdict",
        "deny",
        "--out",
    ];
    house.ok(&[&words[..], &[file.to_str().unwrap()]].concat());
    let mut csv = csv::Reader::from_path(&file).unwrap();
    let names = csv.headers().unwrap().clone();
    let row = csv.records().next().unwrap().unwrap();
    let cell = |name: &str| &row[names.iter().position(|n| n == name).unwrap()];
    assert_eq!((cell("verdict"), cell("status")), ("deny", "403"));
    assert!(cell("claimed").contains("HYPERLINK"), "{row:?}");
    assert!(row.iter().all(|cell| !cell.starts_with(['=', '+', '@'])));
    let nowhere = house.run(&["audit", "export", "--out", "/nowhere/x"]);
    assert_eq!(nowhere.status.code(), Some(1));
    assert!(text(&nowhere.stderr).contains("agentkeys.file.unwritable"));
}

#[test]
fn nothing_is_removed_because_a_number_in_the_file_says_so() {
    let house = House::demo();
    house.ok(&["audit", "checkpoint"]);
    let ledger = rusqlite::Connection::open(house.dir().join("ledger.sqlite")).unwrap();
    let rows = || -> i64 {
        let sql = "SELECT count(*) FROM audit_event WHERE seq < 5";
        ledger.query_row(sql, [], |r| r.get(0)).unwrap()
    };
    ledger
        .execute("UPDATE log_head SET pruned = 5", [])
        .unwrap();
    assert_eq!(house.run(&["audit", "fsck"]).status.code(), Some(7));
    let prune = house.run(&["audit", "prune", "--before", "2020-01-01T00:00:00Z"]);
    assert_eq!(prune.status.code(), Some(1));
    // A server seals and sweeps when it starts: its first checkpoint is of after that.
    let server = Server::over(house, &[]);
    let auditor = server.reader("auditor", &[]);
    get(&server, &auditor, "/v1/audit/checkpoint");
    server.house.ok(&["audit", "checkpoint"]);
    assert_eq!(rows(), 5);
    let verified = server.house.run(&["audit", "verify", "--log"]);
    assert_eq!(verified.status.code(), Some(7));
}

#[test]
fn a_file_runs_nothing() {
    let house = House::demo();
    let ledger = rusqlite::Connection::open(house.dir().join("ledger.sqlite")).unwrap();
    ledger
        .execute_batch(
            "CREATE TRIGGER falsify AFTER INSERT ON audit_event BEGIN
                UPDATE audit_event SET tool = 'audit.none' WHERE seq = new.seq;
             END",
        )
        .unwrap();
    house.events(&[]);
    assert_eq!(house.events(&["--tool", "audit.read"]).len(), 2);
    assert!(house.events(&["--tool", "audit.none"]).is_empty());
    house.ok(&["audit", "checkpoint"]);
    // And whoever checks such a file is told that it is not as this program makes it.
    assert_ne!(
        house.run(&["audit", "verify", "--log"]).status.code(),
        Some(0)
    );
}

#[test]
fn a_kept_checkpoint_of_nowhere_is_not_gone_on_from() {
    let house = House::demo();
    let last = house.ok(&["audit", "checkpoint"]);
    let kept = house.dir().join("checkpoint");
    let note = last["note"].as_str().unwrap();
    let far = format!(":log:{}\n", u32::MAX);
    std::fs::write(&kept, note.replacen(":log:1\n", &far, 1)).unwrap();
    assert_eq!(house.run(&["audit", "checkpoint"]).status.code(), Some(3));
    std::fs::remove_file(&kept).unwrap();
    std::fs::create_dir(&kept).unwrap();
    assert_eq!(house.run(&["audit", "checkpoint"]).status.code(), Some(3));
    std::fs::remove_dir(&kept).unwrap();
    let next = house.ok(&["audit", "checkpoint"]);
    assert_eq!(next["origin"], last["origin"]);
    assert_eq!(
        house.run(&["audit", "verify", "--log"]).status.code(),
        Some(0)
    );
}

#[test]
fn nothing_but_a_file_gives_way_to_what_is_written() {
    let house = House::demo();
    let first = house.events(&[])[0]["event_id"].clone();
    let pipe = house.temp.path().join("pipe");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    assert!(made.unwrap().success());
    let out = pipe.to_str().unwrap();
    for verb in [
        &["audit", "checkpoint"][..],
        &["audit", "export"],
        &["audit", "prove", first.as_str().unwrap()],
    ] {
        let output = house.run(&[verb, &["--out", out]].concat());
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(
            said.contains("agentkeys.file.not_a_file"),
            "{verb:?} {said}"
        );
        let kind = pipe.symlink_metadata().unwrap().file_type();
        assert!(std::os::unix::fs::FileTypeExt::is_fifo(&kind), "{verb:?}");
    }
}
