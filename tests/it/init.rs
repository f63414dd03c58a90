//! `init` that was cut off: another run goes on with it, wherever it was.

use super::support::{House, command, json_of, run_in, text, wait};
use agentkeys::authority::Limits;
use agentkeys::folder::{Begun, Folder};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Stdio;

const DEMO: &[&str] = &["init", "--demo"];

fn fresh() -> (tempfile::TempDir, PathBuf) {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("data");
    (temp, dir)
}

/// The stable code that a run is refused with.
#[track_caller]
fn refused(dir: &Path, args: &[&str]) -> String {
    let output = run_in(dir, args);
    assert_eq!(output.status.code(), Some(3), "{}", text(&output.stdout));
    let error = text(&output.stderr);
    let error: Value = serde_json::from_str(error.lines().last().unwrap()).unwrap();
    error["error"]["code"].as_str().unwrap().to_owned()
}

/// That the demo set is there, once, with the tokens of this answer and no others.
#[track_caller]
fn whole(house: &House) {
    let each = |answer: &Value, list: &str, key: &str| {
        let rows = answer[list].as_array().unwrap().iter();
        rows.map(|r| r[key].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let actors = house.ok(&["actor", "list"]);
    assert_eq!(
        each(&actors, "actors", "alias"),
        ["O_kevin_001", "operator"]
    );
    assert_eq!(actors["actors"][0]["actor_omni"], house.actor());
    for (namespace, content) in [
        ("travel", "Chengdu trip — Apr 12 to 16, hotpot at Yulin."),
        ("family", "Wife's bday Aug 3 (gift idea: hiking boots)."),
        (
            "personal",
            "Allergic to shellfish. Prefers windowed flights.",
        ),
    ] {
        let memory = house.ok(&["memory", "get", "O_kevin_001", namespace]);
        assert_eq!(
            (&memory["content"], &memory["version"]),
            (&json!(content), &json!(1))
        );
    }
    let vendors = house.ok(&["vendor", "list"]);
    assert_eq!(
        each(&vendors, "vendors", "vendor"),
        ["folotoy", "magiclick"]
    );
    let shown = house.ok(&["actor", "show", "O_kevin_001"]);
    let bound = |n: usize, key: &str| shown["bindings"][n][key].clone();
    assert_eq!(
        (bound(0, "read"), bound(0, "write")),
        (json!(["travel"]), json!([]))
    );
    assert_eq!(
        (bound(1, "read"), bound(1, "write")),
        (json!(["travel"]), json!(["travel"]))
    );
    assert_eq!(
        (bound(1, "scopes"), bound(1, "daily_cap_minor")),
        (json!(["payment.spend"]), json!(50_000))
    );
    let tokens = house.ok(&["vendor", "token", "list"]);
    let tokens = tokens["tokens"].as_array().unwrap().iter();
    let mut active: Vec<_> = tokens
        .filter(|t| t["state"] == "active")
        .map(|t| t["token_id"].as_str().unwrap().to_owned())
        .collect();
    let mut told = each(&house.init, "vendors", "token_id");
    active.sort();
    told.sort();
    assert_eq!(active, told);
    let rest = std::fs::read_dir(house.dir()).unwrap();
    let rest = rest.map(|e| e.unwrap().file_name().into_string().unwrap());
    let mut rest: Vec<_> = rest.filter(|n| !n.starts_with("ledger.")).collect();
    rest.sort();
    assert_eq!(rest, ["agentkeys.toml", "keys", "vault"]);
    let keys = std::fs::read_dir(house.dir().join("keys")).unwrap();
    assert_eq!(keys.count(), 1);
    // It is finished now, and said once.
    assert_eq!(refused(&house.dir(), DEMO), "agentkeys.folder.exists");
}

/// Another run goes on, and the demo set is whole.
#[track_caller]
fn goes_on(temp: tempfile::TempDir) {
    let dir = temp.path().join("data");
    let init = json_of(&run_in(&dir, DEMO));
    whole(&House { temp, init });
}

#[test]
fn a_network_that_is_none_is_told_how_one_is_written() {
    let (_temp, dir) = fresh();
    let init = ["init", "--domain", "example.com"];
    for words in [&init[..], &["serve"]] {
        let output = run_in(&dir, &[words, &["--behind-proxy", "foo"]].concat());
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{error}");
        assert!(
            error.contains("'foo'") && error.contains("such as 10.0.0.0/8, or 127.0.0.1/32"),
            "{error}"
        );
    }
    assert!(!dir.exists());
}

#[test]
fn a_folder_that_was_founded_and_no_more_gets_its_demo_set() {
    let (temp, dir) = fresh();
    drop(wait(Folder::begin(&dir, Limits::default(), Begun::Demo)).unwrap());
    // Without the flag it would be neither the one nor the other.
    assert_eq!(refused(&dir, &["init"]), "agentkeys.folder.unfinished");
    goes_on(temp);
}

#[test]
fn a_run_without_the_demo_set_is_gone_on_with_and_may_add_it() {
    let (temp, dir) = fresh();
    drop(wait(Folder::begin(&dir, Limits::default(), Begun::Plain)).unwrap());
    let made = json_of(&run_in(&dir, &["init", "--domain", "example.com"]));
    assert_eq!(made["vendors"], json!([]));
    let config = std::fs::read_to_string(dir.join("agentkeys.toml")).unwrap();
    assert!(config.contains("https://mcp.example.com/mcp"), "{config}");
    assert_eq!(refused(&dir, &["init"]), "agentkeys.folder.exists");
    drop(temp);

    let (temp, dir) = fresh();
    drop(wait(Folder::begin(&dir, Limits::default(), Begun::Plain)).unwrap());
    goes_on(temp);
}

#[test]
fn a_run_that_failed_in_the_middle_of_the_demo_set_is_gone_on_with() {
    use std::os::unix::fs::DirBuilderExt as _;
    let (temp, dir) = fresh();
    // Where the first object's folder would be there is a file.
    let mut private = std::fs::DirBuilder::new();
    private
        .recursive(true)
        .mode(0o700)
        .create(dir.join("vault"))
        .unwrap();
    std::fs::write(dir.join("vault/bots"), "in the way").unwrap();
    let failed = run_in(&dir, DEMO);
    assert!(!failed.status.success(), "{}", text(&failed.stdout));
    assert!(
        run_in(&dir, &["actor", "show", "O_kevin_001"])
            .status
            .success()
    );
    std::fs::remove_file(dir.join("vault/bots")).unwrap();
    // What a kill in mid-write leaves goes, too.
    for name in ["keys/root.key", "init.unfinished"] {
        std::fs::write(dir.join(format!("{name}.1.half-written")), "ha").unwrap();
    }
    goes_on(temp);
}

#[test]
fn tokens_that_nobody_was_told_end_and_others_are_told() {
    let (temp, dir) = fresh();
    let mut init = command(&dir);
    let init = init.args(DEMO).arg("--json").stdout(Stdio::piped());
    let mut child = init.spawn().unwrap();
    // Nobody reads the answer.
    drop(child.stdout.take());
    child.wait().unwrap();
    let before = json_of(&run_in(&dir, &["vendor", "token", "list"]));
    assert_eq!(before["tokens"].as_array().unwrap().len(), 2);
    goes_on(temp);
}

#[test]
fn what_was_changed_in_between_stays() {
    let (temp, dir) = fresh();
    drop(wait(Folder::begin(&dir, Limits::default(), Begun::Demo)).unwrap());
    let house = House {
        temp,
        init: Value::Null,
    };
    house.ok(&[
        "actor",
        "create",
        "O_kevin_001",
        "--time-zone",
        "Asia/Shanghai",
    ]);
    let file = house.temp.path().join("text");
    std::fs::write(&file, "written in between").unwrap();
    let file = file.to_str().unwrap();
    house.ok(&["memory", "put", "O_kevin_001", "travel", "--file", file]);
    house.ok(&["vendor", "create", "magiclick", "--rail", "xiaozhi"]);
    house.ok(&[
        "actor",
        "grant",
        "O_kevin_001",
        "--vendor",
        "magiclick",
        "--read",
        "work",
    ]);
    let made = house.ok(DEMO);
    assert_eq!(made["vendors"].as_array().unwrap().len(), 2);
    let memory = house.ok(&["memory", "get", "O_kevin_001", "travel"]);
    assert_eq!(memory["content"], "written in between");
    let shown = house.ok(&["actor", "show", "O_kevin_001"]);
    assert_eq!(shown["bindings"][1]["read"], json!(["work"]));
    assert_eq!(shown["bindings"][1]["scopes"], json!([]));
}

/// Runs `init --demo` and kills it when the ledger's log has come to this length; how long it
/// ever was.
fn killed_at(dir: &Path, length: u64) -> u64 {
    let mut init = command(dir);
    let init = init.args(DEMO).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = init.spawn().unwrap();
    let log = dir.join("ledger.sqlite-wal");
    let mut longest = 0;
    while child.try_wait().unwrap().is_none() {
        longest = longest.max(std::fs::metadata(&log).map_or(0, |m| m.len()));
        if longest >= length {
            break;
        }
        std::thread::yield_now();
    }
    child.kill().unwrap();
    child.wait().unwrap();
    longest
}

#[test]
fn a_run_killed_anywhere_is_gone_on_with() {
    let (_temp, dir) = fresh();
    let longest = killed_at(&dir, u64::MAX);
    // A look at what is there must not make it.
    let there = rusqlite::OpenFlags::SQLITE_OPEN_READ_WRITE;
    let mut between = 0;
    // Most of the log is the schema; the demo set is the end of it.
    for percent in [0, 30, 60, 80, 81, 82, 83, 85, 88, 91, 100] {
        let (temp, dir) = fresh();
        killed_at(&dir, longest * percent / 100);
        let rows = rusqlite::Connection::open_with_flags(dir.join("ledger.sqlite"), there)
            .and_then(|c| {
                let sql = "SELECT next_seq FROM audit_head";
                c.query_row(sql, [], |r| r.get::<_, i64>(0))
            });
        // The founding is one row, the demo set ten.
        if rows.is_ok_and(|n| (1..11).contains(&n)) {
            between += 1;
        }
        if dir.exists()
            && !dir.join("init.unfinished").exists()
            && dir.join("keys/root.key").exists()
        {
            // It came to its end before the kill.
            assert_eq!(refused(&dir, DEMO), "agentkeys.folder.exists");
            continue;
        }
        goes_on(temp);
    }
    assert!(between > 0, "no kill hit between the founding and the end");
}

#[test]
fn what_comes_next_is_done_in_the_folder_just_made() {
    let (temp, dir) = fresh();
    let dir = dir.to_str().unwrap();
    let mut made = command(temp.path());
    let made = made
        .args(["init", "--demo", "--dir", dir])
        .output()
        .unwrap();
    let told = text(&made.stderr);
    let next = format!("next: agentkeys serve --dir {dir}\n");
    assert!(told.ends_with(&next), "{told}");
}
