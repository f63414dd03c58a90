//! Memory over the socket: versions, conflicts, repeats, erasure, isolation on disk.

use super::support::Server;
use serde_json::json;

const PUT: &str = "agentkeys.memory.put";
const GET: &str = "agentkeys.memory.get";

/// Rights over travel with structured answers.
fn desk(server: &Server) -> super::support::Host<'_> {
    let grants = ["--read", "travel,work", "--write", "travel,work"];
    let token = server.house.vendor("desk", &grants);
    server.host_of(&token)
}

#[test]
fn what_one_rail_writes_the_other_reads_byte_for_byte() {
    let server = Server::demo();
    let line = "跨轨 🐼 \"quoted\" \\ back\u{0}slash\tтест";
    let said = server
        .host("magiclick")
        .text(PUT, json!({"namespace": "travel", "content": line}));
    assert_eq!(said, "Memory travel v2 saved");
    let read = server
        .host("folotoy")
        .structured(GET, json!({"namespace": "travel"}));
    assert_eq!(read["content"], line);
    let rows = server.house.events(&["--namespace", "travel"]);
    let tags: Vec<_> = rows
        .iter()
        .rev()
        .take(2)
        .map(|r| r["content_tag"].clone())
        .collect();
    assert_eq!(tags[0], tags[1]);
    assert!(tags[0].is_string());
}

#[test]
fn repeated_writes_change_nothing() {
    let server = Server::demo();
    let desk = desk(&server);
    let put = |args| desk.structured(PUT, args);
    let first = put(json!({"namespace": "work", "content": "a"}));
    assert_eq!(
        (&first["version"], &first.get("unchanged")),
        (&json!(1), &None)
    );
    let again = put(json!({"namespace": "work", "content": "a"}));
    assert_eq!(
        (&again["version"], &again["unchanged"]),
        (&json!(1), &json!(true))
    );
    let piece = json!({"namespace": "work", "content": "b", "mode": "append"});
    assert_eq!(put(piece.clone())["version"], 2);
    assert_eq!(put(piece)["unchanged"], true);
    assert_eq!(
        desk.structured(GET, json!({"namespace": "work"}))["content"],
        "a\nb"
    );
    assert_eq!(
        desk.structured(GET, json!({"namespace": "work", "version": 1}))["content"],
        "a"
    );
}

#[test]
fn if_version_finds_the_conflict() {
    let server = Server::demo();
    let desk = desk(&server);
    let put = |content: &str, version: u64| {
        desk.structured(
            PUT,
            json!({"namespace": "work", "content": content, "if_version": version}),
        )
    };
    assert_eq!(put("a", 0)["version"], 1);
    let conflict = json!({"ok": false, "error": "agentkeys.memory.version_conflict", "version": 1});
    assert_eq!(put("b", 0), conflict);
    assert_eq!(put("b", 1)["version"], 2);
    let history = server
        .house
        .ok(&["memory", "history", "O_kevin_001", "work"]);
    assert_eq!(history["versions"].as_array().unwrap().len(), 2);
}

#[test]
fn concurrent_writers_lose_nothing() {
    let server = Server::demo();
    let desk = desk(&server);
    std::thread::scope(|scope| {
        for n in 0..4 {
            let desk = &desk;
            scope.spawn(move || {
                let args =
                    json!({"namespace": "work", "content": format!("line {n}"), "mode": "append"});
                loop {
                    let answer = desk.structured(PUT, args.clone());
                    if answer["ok"] == true {
                        break;
                    }
                    assert_eq!(answer["error"], "agentkeys.memory.busy");
                }
            });
        }
    });
    let all = desk.structured(GET, json!({"namespace": "work"}));
    let content = all["content"].as_str().unwrap();
    let mut lines: Vec<_> = content.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["line 0", "line 1", "line 2", "line 3"]);
    assert_eq!(all["version"], 4);
}

#[test]
fn erasure_destroys_the_salt_and_what_was_sealed_under_it() {
    let server = Server::demo();
    let desk = desk(&server);
    desk.structured(PUT, json!({"namespace": "work", "content": "secret"}));
    let objects = || walk(&server.house.dir().join("vault")).len();
    assert_eq!(objects(), 4);
    server.house.ok(&[
        "memory",
        "erase",
        "O_kevin_001",
        "work",
        "--confirm",
        "O_kevin_001",
    ]);
    let read = desk.structured(GET, json!({"namespace": "work"}));
    assert_eq!(
        (&read["content"], &read["version"]),
        (&json!(""), &json!(0))
    );
    assert_eq!(objects(), 3);
    let next = desk.structured(PUT, json!({"namespace": "work", "content": "new"}));
    assert_eq!(next["version"], 2);
    let rows = server.house.events(&["--tool", "memory.erase"]);
    assert_eq!(rows.len(), 1);
}

fn walk(dir: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(walk(&path));
        } else {
            files.push(path);
        }
    }
    files
}

#[test]
fn another_actors_object_in_place_of_ones_own_reads_as_damage() {
    let server = Server::demo();
    let desk = desk(&server);
    let ours = desk.structured(PUT, json!({"namespace": "work", "content": "ours"}));
    server.house.ok(&["actor", "create", "O_other"]);
    let file = server.house.temp.path().join("theirs");
    std::fs::write(&file, "theirs").unwrap();
    let theirs = server.house.ok(&[
        "memory",
        "put",
        "O_other",
        "work",
        "--file",
        file.to_str().unwrap(),
    ]);
    let path =
        |key: &serde_json::Value| server.house.dir().join("vault").join(key.as_str().unwrap());
    std::fs::copy(path(&theirs["object_key"]), path(&ours["object_key"])).unwrap();
    let result = desk.result(GET, json!({"namespace": "work"}));
    assert_eq!(result["isError"], true);
    assert_eq!(
        result["structuredContent"]["error"],
        "agentkeys.memory.integrity_error"
    );
    assert!(!result.to_string().contains("theirs"));
    let rows = server.house.events(&["--tool", GET]);
    assert_eq!(rows.last().unwrap()["reason"], "integrity_error");
}

#[test]
fn content_over_256_kib_is_refused_and_changes_nothing() {
    let server = Server::demo();
    let desk = desk(&server);
    let put =
        |n: usize| desk.structured(PUT, json!({"namespace": "work", "content": "x".repeat(n)}));
    assert_eq!(
        put(256 * 1024 + 1)["error"],
        "agentkeys.memory.content_too_large"
    );
    assert_eq!(
        desk.structured(GET, json!({"namespace": "work"}))["version"],
        0
    );
    assert_eq!(put(256 * 1024)["version"], 1);
}

#[test]
fn a_writer_that_may_not_read_learns_nothing_of_what_is_there() {
    let server = Server::demo();
    let token = server.house.vendor("blind", &["--write", "travel"]);
    let blind = server.host_of(&token);
    let there = "Chengdu trip — Apr 12 to 16, hotpot at Yulin.";
    let appended = blind.structured(
        PUT,
        json!({"namespace": "travel", "content": "", "mode": "append"}),
    );
    let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    assert_eq!(
        (&appended["sha256"], &appended.get("envelope_size")),
        (&json!(empty), &None)
    );
    let guessed = blind.structured(PUT, json!({"namespace": "travel", "content": there}));
    assert_eq!(guessed.get("unchanged"), None, "{guessed}");
    let own = blind.structured(PUT, json!({"namespace": "travel", "content": there}));
    assert_eq!(own["unchanged"], true);
}
