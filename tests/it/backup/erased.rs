//! What was erased does not come back.

use super::{PASSPHRASE, Pair, arg};
use crate::it::support::{House, text};
use serde_json::{Value, json};
use std::path::PathBuf;

fn erase(house: &House, namespace: Option<&str>) {
    let mut args = vec!["memory", "erase", "O_kevin_001"];
    args.extend(namespace);
    args.extend(["--confirm", "O_kevin_001"]);
    house.ok(&args);
}

fn memory(house: &House, namespace: &str) -> String {
    let read = house.ok(&["memory", "get", "O_kevin_001", namespace]);
    read["content"].as_str().unwrap().to_owned()
}

fn put(house: &House, namespace: &str, content: &str) {
    let file = house.temp.path().join("content");
    std::fs::write(&file, content).unwrap();
    house.ok(&[
        "memory",
        "put",
        "O_kevin_001",
        namespace,
        "--file",
        arg(&file),
    ]);
}

/// The rows of erasures, as a mirror of the log would have them.
fn rows(house: &House, name: &str) -> PathBuf {
    let path = house.temp.path().join(name);
    house.ok(&["audit", "export", "--out", arg(&path)]);
    path
}

fn warned(said: &Value) -> bool {
    let warnings = said["warnings"].as_array().unwrap().iter();
    let mut warnings = warnings.map(|w| w.as_str().unwrap());
    warnings.any(|w| w.starts_with("no --erasures were given"))
}

#[test]
fn what_was_erased_before_the_backup_stays_erased() {
    let house = House::demo();
    erase(&house, Some("travel"));
    put(&house, "travel", "written after the erasure");
    let pair = Pair::of(&house, "monday");
    let rows = rows(&house, "rows");
    let (other, said) = pair.restored(&house, &["--erasures", arg(&rows)]);
    // The row is in the snapshot, so it is not done again: what came after it would be lost.
    let counts = json!({
        "given": true, "replayed": 0, "passed_over": 1, "by_keys": 0, "erased": [],
    });
    assert_eq!(said["erasures"], counts);
    assert_eq!(memory(&other, "travel"), "written after the erasure");
    assert!(memory(&other, "family").starts_with("Wife"));
    assert!(!warned(&said));
}

#[test]
fn what_was_erased_after_it_is_erased_again_and_warned_of_otherwise() {
    let house = House::demo();
    let pair = Pair::of(&house, "monday");
    erase(&house, Some("travel"));
    house.ok(&["actor", "create", "later"]);
    house.ok(&["memory", "erase", "later", "--confirm", "later"]);
    let some = rows(&house, "some");
    let (other, said) = pair.restored(&house, &["--erasures", arg(&some), "--yes"]);
    let first = &house.events(&["--tool", "memory.erase"])[0];
    let counts = json!({
        "given": true, "replayed": 1, "passed_over": 1, "by_keys": 0,
        "erased": [{
            "actor_omni": house.actor(), "alias": "O_kevin_001", "namespaces": ["travel"],
            "statements": false, "event_id": first["event_id"],
        }],
    });
    assert_eq!(said["erasures"], counts);
    assert_eq!(memory(&other, "travel"), "");
    assert!(memory(&other, "family").starts_with("Wife"));
    let erased = &other.events(&["--tool", "memory.erase"])[0];
    assert_eq!(erased["detail"]["replays"], first["event_id"]);
    assert_eq!(
        (&erased["op_kind"], &erased["door"]),
        (&json!(12), &json!("cli"))
    );
    assert_eq!(other.ok(&["audit", "verify", "--log"])["verified"], true);

    // A backup of that one knows it, also by the name of the first.
    put(&other, "travel", "new");
    let next = Pair::of(&other, "tuesday");
    let (third, said) = next.restored(&other, &["--erasures", arg(&some), "--yes"]);
    assert_eq!(said["erasures"]["replayed"], 0);
    assert_eq!(memory(&third, "travel"), "new");

    let (other, said) = pair.restored(&house, &[]);
    assert!(warned(&said));
    assert!(memory(&other, "travel").starts_with("Chengdu"));
    erase(&house, None);
    let all = rows(&house, "all");
    let (other, said) = pair.restored(&house, &["--erasures", arg(&all), "--yes"]);
    assert_eq!(said["erasures"]["replayed"], 2);
    for namespace in ["travel", "family", "personal"] {
        assert_eq!(memory(&other, namespace), "");
    }
}

#[test]
fn keys_that_are_newer_erase_in_older_snapshots() {
    let house = House::demo();
    let mut pair = Pair::of(&house, "monday");
    erase(&house, Some("travel"));
    put(&house, "travel", "written after the erasure");
    let newer = house.temp.path().join("newer.keys.age");
    let passphrase = house.keep("other", &format!("another one: {PASSPHRASE}"));
    let words = ["backup", "--keys-only", "--keys-out", arg(&newer)];
    let said = house.ok(&[&words[..], &["--passphrase-file", arg(&passphrase)]].concat());
    assert_eq!(said["snapshot"], Value::Null);
    let old = std::mem::replace(&mut pair.keys, newer);
    pair.passphrase = passphrase;
    let (other, said) = pair.restored(&house, &[]);
    assert_eq!(said["erasures"]["by_keys"], 1);
    assert_eq!(memory(&other, "travel"), "");
    assert!(memory(&other, "family").starts_with("Wife"));
    let erased = &other.events(&["--tool", "memory.erase"])[0];
    assert_eq!(erased["detail"]["salt_gone"], true);
    assert_eq!(erased["detail"]["namespaces"], json!(["travel"]));
    let history = other.ok(&["memory", "history", "O_kevin_001", "travel"]);
    assert_eq!(history["versions"], json!([]));
    put(&other, "travel", "goes on");
    assert_eq!(memory(&other, "travel"), "goes on");

    // Older keys lack what was sealed since.
    let next = Pair::of(&house, "tuesday");
    let older = Pair { keys: old, ..next };
    older.refused(&[], 3, "agentkeys.restore.keys_older");
}

#[test]
fn rows_that_do_not_say_what_was_erased_are_refused() {
    let house = House::demo();
    let pair = Pair::of(&house, "monday");
    erase(&house, Some("travel"));
    let rows = rows(&house, "rows");
    let good = std::fs::read_to_string(&rows).unwrap();
    let row = good.lines().find(|l| l.contains("memory.erase")).unwrap();
    let mut row: Value = serde_json::from_str(row).unwrap();
    let mut with = |edit: &dyn Fn(&mut Value), code: &str| {
        let kept = row.clone();
        edit(&mut row);
        std::fs::write(&rows, format!("{row}\n")).unwrap();
        row = kept;
        pair.refused(&["--erasures", arg(&rows)], 2, code);
    };
    with(
        &|row| row["detail"] = Value::Null,
        "agentkeys.restore.erasures_invalid",
    );
    let another = House::demo();
    let operator = another.events(&[])[0]["operator_omni"].clone();
    let code = "agentkeys.restore.erasures_of_another";
    with(&|row| row["operator_omni"] = operator.clone(), code);
    with(&|row| row["operator_omni"] = Value::Null, code);
    // What is true is not done either before somebody looked at it.
    with(&|_| {}, "agentkeys.restore.erasures_not_confirmed");
    std::fs::write(&rows, "event_id,seq,ts\n").unwrap();
    let output = pair.restore(
        &house.temp.path().join("never"),
        &["--erasures", arg(&rows)],
    );
    assert!(text(&output.stderr).contains("erasures_invalid"));
}

#[test]
fn a_made_up_row_hides_no_real_one() {
    let house = House::demo();
    let pair = Pair::of(&house, "monday");
    erase(&house, Some("travel"));
    let rows = rows(&house, "rows");
    let good = std::fs::read_to_string(&rows).unwrap();
    let row = good.lines().find(|l| l.contains("memory.erase")).unwrap();
    let real: Value = serde_json::from_str(row).unwrap();
    let nobody = format!("0x{}", "7".repeat(64));
    // Said to be the first of what the real one repeats, and of somebody who is not there.
    let mut made = real.clone();
    made["event_id"] = "evt_made".into();
    made["detail"]["replays"] = real["event_id"].clone();
    made["actor_omni"] = nobody.clone().into();
    std::fs::write(&rows, format!("{made}\n{row}\n")).unwrap();
    let (other, said) = pair.restored(&house, &["--erasures", arg(&rows), "--yes"]);
    assert_eq!(said["erasures"]["replayed"], 1);
    assert_eq!(memory(&other, "travel"), "");
    // Of the same event: one of the two lies.
    made["event_id"] = real["event_id"].clone();
    std::fs::write(&rows, format!("{made}\n{row}\n")).unwrap();
    let more = ["--erasures", arg(&rows), "--yes"];
    pair.refused(&more, 2, "agentkeys.restore.erasures_invalid");
}
