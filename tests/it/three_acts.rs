//! The three acts on a server of their own, on a running one, against one that lies, and cut off.
//! Whatever becomes of a run, grants, budget and memory are as they were.

use super::cross_rail::{Lie, failed_of, kit, liar};
use super::support::{House, Server, command, json_of, run_in, send, text};
use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

const STEPS: [&str; 18] = [
    "setup",
    "act1.travel_remembered",
    "act1.family_withheld",
    "act1.personal_withheld",
    "act1.one_row_each",
    "act2.600_denied",
    "act2.200_accepted",
    "act2.400_then_400_denied",
    "act2.unknown_scope",
    "act2.one_row_each",
    "act3.cap_minted",
    "act3.revoked_by_second_process",
    "act3.next_check_denied",
    "act3.cap_dead",
    "act3.row_in_feed",
    "restore.grants",
    "restore.budget",
    "restore.memory",
];

/// The words of a run by URL.
fn words<'a>(url: &'a str, kit: &'a str) -> [&'a str; 6] {
    ["demo", "three-acts", "--url", url, "--kit", kit]
}

fn ids(proof: &Value) -> Vec<&str> {
    let steps = proof["steps"].as_array().unwrap().iter();
    steps.map(|s| s["id"].as_str().unwrap()).collect()
}

/// What an actor of a kit remembers, has granted and has set aside.
pub(crate) fn state(server: &Server, kit: &str) -> Value {
    let kit: Value =
        serde_json::from_slice(&std::fs::read(format!("{kit}/kit.json")).unwrap()).unwrap();
    let main = kit["actors"]["main"]["alias"].as_str().unwrap();
    let mut bindings = server.house.ok(&["actor", "show", main])["bindings"].clone();
    for binding in bindings.as_array_mut().unwrap() {
        // How often it was changed is not what it says.
        binding.as_object_mut().unwrap().remove("revision");
    }
    let memories = ["travel", "family", "personal", "work"]
        .map(|namespace| server.house.ok(&["memory", "history", main, namespace]));
    let spent = server.house.ok(&["budget", "show", main])["spent_minor"].clone();
    json!({"bindings": bindings, "memories": memories, "spent": spent})
}

#[test]
fn the_acts_play_on_a_server_of_their_own() {
    let temp = tempfile::tempdir().unwrap();
    let proof = json_of(&run_in(&temp.path().join("none"), &["demo", "three-acts"]));
    assert_eq!(proof["passed"], true);
    assert_eq!(ids(&proof), STEPS);
    assert_eq!(proof.as_object().unwrap().len(), 2);
    assert!(!temp.path().join("none").exists());
}

#[test]
fn three_plays_in_a_row_leave_a_running_server_as_it_was() {
    // Four plays within a second or two are more than one host's allowance.
    let unlimited = [("AGENTKEYS_LIMITS_CALLS_PER_SECOND", "0")];
    let server = Server::over(House::demo(), &unlimited);
    let kit = kit(&server);
    let before = state(&server, &kit);
    for _ in 0..3 {
        let proof = json_of(&server.house.run(&words(&server.base, &kit)));
        assert_eq!(proof["passed"], true);
        assert_eq!(ids(&proof), STEPS);
        assert_eq!(state(&server, &kit), before);
    }
    let junit = server
        .house
        .temp
        .path()
        .join("acts.xml")
        .display()
        .to_string();
    let report = server.house.ok(&[
        "accept",
        "three-acts",
        "--url",
        &server.base,
        "--kit",
        &kit,
        "--junit",
        &junit,
    ]);
    assert_eq!(
        (&report["passed"], &report["counts"]["passed"]),
        (&json!(true), &json!(17))
    );
    let xml = std::fs::read_to_string(junit).unwrap();
    assert!(xml.contains("act3.cap_dead"), "{xml}");
    assert_eq!(state(&server, &kit), before);
}

#[test]
fn it_is_told_in_chinese_and_in_english() {
    let temp = tempfile::tempdir().unwrap();
    let told = |words: &[&str], locale: &str| {
        let mut demo = command(&temp.path().join("none"));
        demo.args(words).env("LC_ALL", locale);
        let output = demo.output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
        text(&output.stdout)
    };
    let zh = told(&["demo", "three-acts"], "zh_CN.UTF-8");
    let en = told(&["demo", "three-acts", "--lang", "en"], "zh_CN.UTF-8");
    let han = |c: char| ('\u{4e00}'..='\u{9fff}').contains(&c);
    for id in STEPS {
        let line = |text: &str| {
            let found = text.lines().find(|l| l.contains(&format!(" {id} ")));
            found.unwrap_or_else(|| panic!("{id}: {text}")).to_owned()
        };
        assert!(
            line(&zh).starts_with("通过") && line(&zh).matches(han).count() > 4,
            "{zh}"
        );
        assert!(
            line(&en).starts_with("ok") && !line(&en).contains(han),
            "{en}"
        );
    }
    assert!(zh.contains("证明成立") && zh.contains("裁决"), "{zh}");
    assert!(en.contains("proved in") && !en.contains(han), "{en}");
    for said in [&zh, &en] {
        assert!(said.contains("Chengdu trip — Apr 12 to 16, hotpot at Yulin."));
        assert!(said.contains("cap=500, requested=600, period=daily"));
        // A capability spends money: its text is never printed.
        assert!(!said.contains("eyJ"), "{said}");
    }
}

/// Plays through a lie: the failed steps' ids, and that all was put back.
#[track_caller]
fn failed(lie: Lie) -> Vec<String> {
    let server = Server::over(House::demo(), &[]);
    let kit = kit(&server);
    let before = state(&server, &kit);
    let url = liar(&server, lie);
    let ids = failed_of(&server.house.run(&words(&url, &kit)));
    assert_eq!(state(&server, &kit), before);
    ids
}

/// Says something else in answer to the calls of a tool that have this in them.
fn instead(tool: &'static str, with: &'static str, from: &'static str, to: &'static str) -> Lie {
    Box::new(move |_, asked, said| {
        if asked.contains("tools/call") && asked.contains(tool) && asked.contains(with) {
            said.replace(from, to)
        } else {
            said
        }
    })
}

#[test]
fn a_memory_that_is_not_quite_it_is_found() {
    let lie = instead("memory", "travel", "Apr 12", "Apr 13");
    // The look back is through the same lie, so that only the first act is wrong.
    assert_eq!(failed(lie), ["act1.travel_remembered"]);
}

#[test]
fn an_answer_that_tells_there_is_something_is_found() {
    let lie = instead(
        "memory",
        "family",
        "is not allowed here",
        "is there, and not allowed",
    );
    assert_eq!(failed(lie), ["act1.family_withheld"]);
}

#[test]
fn a_cap_that_is_another_or_not_daily_is_found() {
    let lie = instead("permission", "600", "cap=500", "cap=599");
    assert_eq!(failed(lie), ["act2.600_denied"]);
    let lie = instead(
        "permission",
        "400",
        "deny: daily_spend_cap_exceeded",
        "accept: within_daily_cap",
    );
    assert_eq!(failed(lie), ["act2.400_then_400_denied"]);
}

#[test]
fn a_cap_that_outlives_its_consent_is_found() {
    let ids = failed(Box::new(|path, _, said| {
        if path == "/v1/cap/redeem" {
            return json!({"ok": true}).to_string();
        }
        said
    }));
    assert_eq!(ids, ["act3.cap_dead"]);
}

#[test]
fn a_row_that_is_missing_in_the_log_or_the_feed_is_found() {
    let ids = failed(Box::new(|path, _, said| {
        if !path.starts_with("/v1/audit/events") {
            return said;
        }
        let mut page: Value = serde_json::from_str(&said).unwrap();
        let events = page["events"].as_array_mut().unwrap();
        events.retain(|e| e["namespace"] != "personal");
        page.to_string()
    }));
    assert_eq!(ids, ["act1.one_row_each"]);
    let ids = failed(Box::new(|path, _, said| {
        if path.starts_with("/v1/audit/stream") {
            return said.replace("actor.ungrant", "actor.granted");
        }
        said
    }));
    assert_eq!(ids, ["act3.row_in_feed"]);
}

#[test]
fn a_revocation_that_left_something_is_found() {
    let server = Server::over(House::demo(), &[]);
    let kit_dir = kit(&server);
    let before = state(&server, &kit_dir);
    let url = liar(
        &server,
        Box::new(|path, _, said| {
            if path.ends_with("/ungrant") {
                return said.replace("[]", "[\"payment.spend\"]");
            }
            said
        }),
    );
    let ids = failed_of(&server.house.run(&words(&url, &kit_dir)));
    assert!(
        ids.contains(&"act3.revoked_by_second_process".to_owned()),
        "{ids:?}"
    );
    assert_eq!(state(&server, &kit_dir), before);
}

/// Starts a run that prints each step, sends it a signal when this step is over, and waits for it.
fn interrupted(server: &Server, kit: &str, proof: &str, after: &str, signal: &str) -> Output {
    let mut demo = command(&server.house.dir());
    demo.args([
        "demo",
        proof,
        "--url",
        &server.base,
        "--kit",
        kit,
        "--lang",
        "en",
    ]);
    let mut child = demo
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let seen = lines.find(|line| line.as_ref().unwrap().contains(after));
    assert!(seen.is_some(), "{after} was never over");
    let pid = child.id().to_string();
    let mut kill = Command::new("kill");
    assert!(kill.args([signal, &pid]).status().unwrap().success());
    let rest: Vec<String> = lines.map(Result::unwrap).collect();
    let mut output = child.wait_with_output().unwrap();
    output.stdout = rest.join("\n").into_bytes();
    output
}

#[test]
fn a_signal_in_the_middle_puts_everything_back() {
    let server = Server::over(House::demo(), &[]);
    let kit = kit(&server);
    let before = state(&server, &kit);
    for (after, signal) in [
        ("act1.one_row_each", "-INT"),
        ("act2.one_row_each", "-HUP"),
        ("act3.revoked_by_second_process", "-TERM"),
    ] {
        let output = interrupted(&server, &kit, "three-acts", after, signal);
        assert_eq!(
            output.status.code(),
            Some(130),
            "{after}: {}",
            text(&output.stderr)
        );
        let told = text(&output.stdout);
        assert!(
            told.contains("restore.grants") && !told.contains("FAIL"),
            "{after}: {told}"
        );
        assert_eq!(state(&server, &kit), before, "{after}");
    }
    let proof = json_of(&server.house.run(&words(&server.base, &kit)));
    assert_eq!(proof["passed"], true);
}

#[test]
fn the_cross_rail_demo_puts_the_memory_back_when_it_is_interrupted() {
    let server = Server::over(House::demo(), &[]);
    let kit = kit(&server);
    let actor: Value =
        serde_json::from_slice(&std::fs::read(format!("{kit}/kit.json")).unwrap()).unwrap();
    let alias = actor["actors"]["main"]["alias"]
        .as_str()
        .unwrap()
        .to_owned();
    let content = || server.house.ok(&["memory", "get", &alias, "travel"])["content"].clone();
    let before = content();
    let output = interrupted(&server, &kit, "cross-rail", "rail1.write", "-INT");
    assert_eq!(output.status.code(), Some(130), "{}", text(&output.stderr));
    assert_eq!(content(), before);
    // Nothing of the demo listens any more, and its server does.
    assert_eq!(
        send(server.http.get(format!("{}/healthz", server.base))).status,
        200
    );
}

#[test]
fn a_killed_demo_leaves_no_server_and_the_next_one_removes_its_folder() {
    let temp = tempfile::tempdir().unwrap();
    let demo = || {
        let mut demo = command(&temp.path().join("none"));
        demo.env("TMPDIR", temp.path()).arg("demo");
        demo
    };
    let left = || std::fs::read_dir(temp.path()).unwrap().count();
    let mut child = demo()
        .args(["three-acts", "--lang", "en"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let seen = lines.find(|line| line.as_ref().unwrap().contains("act1.one_row_each"));
    assert!(seen.is_some());
    let of = child.id();
    let children = std::fs::read_to_string(format!("/proc/{of}/task/{of}/children")).unwrap();
    let is_serve = |pid: &&str| {
        let words = std::fs::read_to_string(format!("/proc/{pid}/cmdline"));
        words.is_ok_and(|words| words.contains("\0serve\0"))
    };
    let server = children.split_whitespace().find(is_serve).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    let end = Instant::now() + Duration::from_mins(1);
    while is_serve(&server) {
        assert!(Instant::now() < end, "its server runs on");
        std::thread::yield_now();
    }
    assert_eq!(left(), 1, "nobody was there to remove it");
    let proof = json_of(&demo().args(["cross-rail", "--json"]).output().unwrap());
    assert_eq!(proof["passed"], true);
    assert_eq!(left(), 0);
}
