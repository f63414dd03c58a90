//! `agentkeys listing`: what it writes follows the registry's schema, is checked against the server
//! that runs, and breaks when that lists something else.

use super::installed::installed;
use super::support::{House, Server, command, json_of, run_in, text};
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;

#[track_caller]
fn listing(dir: &Path, kind: &str, out: &Path, words: &[&str]) -> Value {
    let out = out.to_str().unwrap();
    json_of(&run_in(
        dir,
        &[&["listing", kind, "--out", out], words].concat(),
    ))
}

#[test]
fn every_kind_is_written_without_a_question_and_passes_its_check() {
    let temp = tempfile::tempdir().unwrap();
    let none = temp.path().join("none");
    for (kind, files) in [
        (
            "volcano-ark",
            &["README.md", "README_zh.md", "ark-tool.json", "CHECKLIST.md"][..],
        ),
        ("mcp-registry", &["server.json", "CHECKLIST_zh.md"]),
        ("mcp-so", &["README.md", "README_zh.md", "submission.json"]),
    ] {
        let out = temp.path().join("a folder deeper").join(kind);
        let answer = listing(&none, kind, &out, &[]);
        let written = answer["files"].as_array().unwrap();
        for file in files {
            assert!(written.contains(&json!(out.join(file))), "{kind} {file}");
        }
        assert_eq!(written, answer["changed"].as_array().unwrap());
        assert_eq!(listing(&none, kind, &out, &[])["changed"], json!([]));
        let checked = json_of(&run_in(&none, &["listing", "check", out.to_str().unwrap()]));
        assert_eq!(checked["ok"], true, "{checked}");
        let plain = command(&none).args(["listing", "check"]).arg(&out).output();
        let plain = text(&plain.unwrap().stdout);
        assert!(plain.contains("fix: ") && !plain.contains("FIX"), "{plain}");
        assert!(plain.lines().all(|l| l.chars().count() <= 120), "{plain}");
    }
    assert!(!none.exists(), "no data folder is needed, and none is made");
}

#[test]
fn the_listing_is_held_to_what_the_live_server_lists() {
    let house = House::demo();
    let (ark, toys) = (house.pin("folotoy"), house.pin("magiclick"));
    let server = Server::over(house, &[]);
    let (house, url) = (&server.house, server.base.clone());
    let out = house.temp.path().join("listing");
    let place = out.to_str().unwrap().to_owned();
    listing(&house.dir(), "volcano-ark", &out, &[]);
    let check = |token: Option<&Path>| {
        let mut words = vec!["listing", "check", &place, "--url", &url];
        if let Some(token) = token {
            words.extend(["--token-file", token.to_str().unwrap()]);
        }
        let output = house.run(&words);
        let said: Value = serde_json::from_slice(&output.stdout).unwrap();
        let live = said["findings"].as_array().unwrap();
        let live = live.iter().find(|f| f["id"] == "tools.live").cloned();
        (output.status.code(), live.unwrap())
    };
    let (code, live) = check(Some(&ark));
    assert_eq!((code, &live["status"]), (Some(0), &json!("ok")), "{live}");
    let (code, live) = check(Some(&toys));
    assert_eq!(code, Some(6));
    assert!(
        live["fix"].as_str().unwrap().contains("rail volcano-ark"),
        "{live}"
    );
    let several = house.token("folotoy");
    let several = house.keep("folotoy.token", &several);
    let (code, live) = check(Some(&several));
    assert_eq!(code, Some(6));
    assert!(live["fix"].as_str().unwrap().contains("--actor"), "{live}");
    let (code, live) = check(None);
    assert_eq!(code, Some(6));
    assert!(
        live["fix"].as_str().unwrap().contains("--token-file"),
        "{live}"
    );

    // A server of another version, as the listing sees it.
    let path = out.join("listing.json");
    let kept = std::fs::read_to_string(&path).unwrap();
    let mut manifest: Value = serde_json::from_str(&kept).unwrap();
    manifest["tools"]["sha256"] = "0".repeat(64).into();
    std::fs::write(&path, manifest.to_string()).unwrap();
    let (code, live) = check(Some(&ark));
    assert_eq!((code, &live["status"]), (Some(6), &json!("failed")));
}

#[test]
fn a_folder_of_somebody_else_is_refused() {
    let temp = tempfile::tempdir().unwrap();
    std::fs::write(temp.path().join("README.md"), "mine\n").unwrap();
    let place = temp.path().to_str().unwrap();
    let output = run_in(
        &temp.path().join("none"),
        &["listing", "mcp-so", "--out", place],
    );
    assert_eq!(output.status.code(), Some(3));
    assert!(text(&output.stderr).contains("agentkeys.listing.not_ours"));
    assert_eq!(
        std::fs::read_to_string(temp.path().join("README.md")).unwrap(),
        "mine\n"
    );
    let output = run_in(&temp.path().join("none"), &["listing", "check", place]);
    assert_eq!(output.status.code(), Some(6), "that is no listing");
}

#[test]
#[ignore = "needs tests/sdk/install"]
fn server_json_follows_the_schema_of_the_registry() {
    let program = installed(".venv/lint").join("bin/check-jsonschema");
    let schema = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/registry/server.schema.json");
    let temp = tempfile::tempdir().unwrap();
    let validate = |file: &Path| {
        let mut command = Command::new(&program);
        command.arg("--schemafile").arg(&schema).arg(file);
        command.output().unwrap()
    };
    let file = "[listing]\nicon_url = \"https://example.com/icon.png\"\n";
    std::fs::write(temp.path().join("agentkeys.toml"), file).unwrap();
    for (number, words) in [
        &[][..],
        &["--url", "https://mcp.example.com/mcp"],
        &[
            "--url",
            "https://mcp.example.com/mcp",
            "--publisher",
            "io.github.octocat",
        ],
    ]
    .into_iter()
    .enumerate()
    {
        let out = temp.path().join(number.to_string());
        listing(temp.path(), "mcp-registry", &out, words);
        let done = validate(&out.join("server.json"));
        assert!(done.status.success(), "{}", text(&done.stdout));
    }
    let path = temp.path().join("0/server.json");
    let good = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, good.replace("streamable-http", "websocket")).unwrap();
    assert!(!validate(&path).status.success(), "nothing is refused");
}
