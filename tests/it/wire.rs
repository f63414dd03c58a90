//! `agentkeys wire` as scripts use it: what is written, what it proves, and how it ends.

use super::ark::{Ark, KEY};
use super::sdk::interpreter;
use super::support::{House, Server, command, json_of, run_in, text};
use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const ACTOR: &str = "O_kevin_001";

fn fixture(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fixtures/wire")
        .join(name);
    fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// A xiaozhi-server's folder with these two files.
struct Checkout(tempfile::TempDir);

impl Checkout {
    fn new() -> Self {
        let temp = tempfile::tempdir().unwrap();
        let data = temp.path().join("data");
        fs::create_dir(&data).unwrap();
        fs::write(
            data.join(".mcp_server_settings.json"),
            fixture("xiaozhi/template/original.json"),
        )
        .unwrap();
        fs::write(
            data.join(".config.yaml"),
            fixture("xiaozhi-relay/sample/original.yaml"),
        )
        .unwrap();
        for name in [".mcp_server_settings.json", ".config.yaml"] {
            fs::set_permissions(data.join(name), fs::Permissions::from_mode(0o600)).unwrap();
        }
        Self(temp)
    }

    fn path(&self) -> &str {
        self.0.path().to_str().unwrap()
    }

    fn settings(&self) -> PathBuf {
        self.0.path().join("data/.mcp_server_settings.json")
    }

    fn config(&self) -> PathBuf {
        self.0.path().join("data/.config.yaml")
    }

    fn files(&self) -> usize {
        fs::read_dir(self.0.path().join("data")).unwrap().count()
    }
}

/// `wire xiaozhi` on a checkout.
fn wire(house: &House, checkout: &Checkout, words: &[&str]) -> Output {
    let args = [&["wire", "xiaozhi", checkout.path()], words].concat();
    house.run(&args)
}

#[track_caller]
fn code(output: &Output) -> (Option<i32>, String) {
    let error: Value = serde_json::from_slice(&output.stderr).unwrap_or_default();
    let code = error["error"]["code"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    (output.status.code(), code)
}

/// A file with a token that only we can read.
fn token_file(dir: &Path, token: &str) -> String {
    let path = dir.join("token");
    fs::write(&path, token).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    path.display().to_string()
}

/// How many tokens were ever made.
fn minted(house: &House) -> usize {
    house.events(&["--tool", "token.create"]).len()
}

#[test]
fn a_checkout_is_wired_proved_looked_at_and_unwired() {
    let server = Server::demo();
    let house = &server.house;
    let checkout = Checkout::new();
    let before = minted(house);
    let wanted = [
        "--url",
        &server.base,
        "--vendor",
        "magiclick",
        "--actor",
        ACTOR,
    ];

    let shown = wire(house, &checkout, &[&wanted[..], &["--dry-run"]].concat());
    let shown = json_of(&shown);
    assert_eq!(
        (&shown["changed"], &shown["verified"]),
        (&false.into(), &false.into())
    );
    assert_eq!(
        fs::read(checkout.settings()).unwrap(),
        fixture("xiaozhi/template/original.json")
    );
    let drift = wire(house, &checkout, &[&wanted[..], &["--check"]].concat());
    assert_eq!(code(&drift), (Some(6), "agentkeys.wire.drift".to_owned()));
    assert_eq!(minted(house), before, "looking makes no token");

    let wired = json_of(&wire(house, &checkout, &wanted));
    assert_eq!(wired["host"], "xiaozhi");
    assert_eq!(
        (&wired["changed"], &wired["verified"]),
        (&true.into(), &true.into()),
        "{wired}"
    );
    assert_eq!(wired["entry"], "agentkeys");
    let file: Value = serde_json::from_slice(&fs::read(checkout.settings()).unwrap()).unwrap();
    let entry = &file["mcpServers"]["agentkeys"];
    let token = entry["headers"]["Authorization"]
        .as_str()
        .unwrap()
        .strip_prefix("Bearer ")
        .unwrap();
    assert_eq!(entry["headers"]["X-AgentKeys-Actor"], house.actor());
    let diff = wired["diff"].as_str().unwrap();
    assert!(
        diff.contains("+        \"agentkeys\": {") && diff.contains("@@"),
        "{diff}"
    );
    let id = wired["token_id"].as_str().unwrap();
    assert!(diff.contains(&format!("Bearer akv_{id}_•••")) && !wired.to_string().contains(token));

    // Again: the same bytes, no other token, and the proof anew.
    let bytes = fs::read(checkout.settings()).unwrap();
    for words in [&wanted[..], &wanted[..2]] {
        let again = json_of(&wire(house, &checkout, words));
        assert_eq!(
            (&again["changed"], &again["verified"]),
            (&false.into(), &true.into()),
            "{again}"
        );
        assert_eq!(again["diff"], "");
    }
    assert_eq!(fs::read(checkout.settings()).unwrap(), bytes);
    assert_eq!(minted(house), before + 1);
    assert_eq!(
        code(&wire(house, &checkout, &["--url", &server.base, "--check"])).0,
        Some(0)
    );
}

/// A token that is not good any more is drift, and wiring again makes another.
#[test]
fn a_revoked_token_is_found_renewed_and_taken_out() {
    let server = Server::demo();
    let house = &server.house;
    let checkout = Checkout::new();
    let wanted = [
        "--url",
        &server.base,
        "--vendor",
        "magiclick",
        "--actor",
        ACTOR,
    ];
    let wired = json_of(&wire(house, &checkout, &wanted));
    let id = wired["token_id"].as_str().unwrap();
    house.ok(&["vendor", "token", "revoke", id]);
    let revoked = wire(house, &checkout, &wanted[..2]);
    assert_eq!(
        code(&revoked),
        (Some(4), "agentkeys.rails.refused".to_owned())
    );
    assert_eq!(
        code(&wire(
            house,
            &checkout,
            &[&wanted[..], &["--check"]].concat()
        ))
        .0,
        Some(6)
    );
    let renewed = json_of(&wire(house, &checkout, &wanted));
    assert_eq!(renewed["verified"], true, "{renewed}");

    let removed = json_of(&wire(
        house,
        &checkout,
        &["--url", &server.base, "--remove"],
    ));
    assert_eq!(removed["changed"], true);
    assert!(
        removed["warnings"][0]
            .as_str()
            .unwrap()
            .contains("vendor token revoke"),
        "{removed}"
    );
    assert_eq!(
        fs::read(checkout.settings()).unwrap(),
        fixture("xiaozhi/template/original.json")
    );
    assert_eq!(checkout.files(), 2, "nothing else is left");
    let again = json_of(&wire(
        house,
        &checkout,
        &["--url", &server.base, "--remove"],
    ));
    assert_eq!(again["changed"], false);
}

#[test]
fn a_proof_that_fails_is_told_and_the_file_is_written_all_the_same() {
    let server = Server::demo();
    let checkout = Checkout::new();
    let file = token_file(checkout.0.path(), &server.house.token("magiclick"));
    // A port where nobody listens: the server's own, once it is gone.
    let gone = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://{}", listener.local_addr().unwrap())
    };
    let words = ["--url", &gone, "--token-file", &file, "--actor", ACTOR];
    let output = wire(&server.house, &checkout, &words);
    assert_eq!(
        code(&output),
        (Some(8), "agentkeys.rails.unreachable".to_owned())
    );
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (&told["changed"], &told["verified"]),
        (&true.into(), &false.into())
    );
    assert!(
        told["reason"]
            .as_str()
            .unwrap()
            .contains("cannot be reached"),
        "{told}"
    );
    let honest = json_of(&wire(
        &server.house,
        &checkout,
        &[&words[..], &["--no-verify"]].concat(),
    ));
    assert_eq!(
        (&honest["verified"], &honest["reason"]),
        (&false.into(), &"--no-verify".into())
    );

    // An unpinned token without its actor: the server refuses, and says why.
    let words = ["--url", &server.base, "--token-file", &file];
    let other = Checkout::new();
    let refused = wire(&server.house, &other, &words);
    assert_eq!(
        code(&refused),
        (Some(4), "agentkeys.rails.refused".to_owned())
    );
    assert!(text(&refused.stderr).contains("403"));
    let none = wire(&server.house, &Checkout::new(), &["--url", &server.base]);
    assert_eq!(
        code(&none),
        (Some(2), "agentkeys.wire.token_missing".to_owned())
    );
}

/// Every file that is refused: exit 3, its code, and no token made for it.
#[test]
fn hostile_files_are_refused_before_anything_is_made() {
    let house = House::demo();
    let before = minted(&house);
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/wire/refused");
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap();
        let bytes = fs::read(&path).unwrap();
        let checkout = Checkout::new();
        let yaml = path.extension().unwrap() == "yaml";
        let (file, relay) = if yaml {
            (checkout.config(), &["--relay"][..])
        } else {
            (checkout.settings(), &[][..])
        };
        fs::write(&file, &bytes).unwrap();
        let words = ["--vendor", "magiclick", "--actor", ACTOR];
        let output = wire(&house, &checkout, &[relay, &words].concat());
        let word = name.split('-').next().unwrap();
        assert_eq!(
            code(&output),
            (Some(3), format!("agentkeys.wire.{word}")),
            "{name}"
        );
        assert_eq!(text(&output.stdout), "");
        let error: Value = serde_json::from_slice(&output.stderr).unwrap();
        for key in ["cause", "fix"] {
            assert!(!error["error"][key].as_str().unwrap().is_empty(), "{name}");
        }
        assert_eq!(fs::read(&file).unwrap(), bytes, "{name}");
        assert_eq!(checkout.files(), 2, "{name}");
    }
    assert_eq!(minted(&house), before);
}

#[test]
fn links_are_followed_and_read_only_files_are_left_alone() {
    let house = House::demo();
    let checkout = Checkout::new();
    let real = checkout.0.path().join("elsewhere.json");
    fs::rename(checkout.settings(), &real).unwrap();
    std::os::unix::fs::symlink("../elsewhere.json", checkout.settings()).unwrap();
    let words = ["--vendor", "magiclick", "--actor", ACTOR, "--no-verify"];
    json_of(&wire(&house, &checkout, &words));
    assert!(
        fs::symlink_metadata(checkout.settings())
            .unwrap()
            .is_symlink()
    );
    assert!(text(&fs::read(&real).unwrap()).contains("akv_"));
    assert_eq!(
        fs::metadata(&real).unwrap().permissions().mode() & 0o777,
        0o600
    );
    json_of(&wire(&house, &checkout, &["--remove"]));
    assert_eq!(
        fs::read(&real).unwrap(),
        fixture("xiaozhi/template/original.json")
    );

    fs::set_permissions(&real, fs::Permissions::from_mode(0o400)).unwrap();
    let before = minted(&house);
    let output = wire(&house, &checkout, &words);
    assert_eq!(
        code(&output),
        (Some(3), "agentkeys.wire.read_only".to_owned())
    );
    assert_eq!(
        fs::read(&real).unwrap(),
        fixture("xiaozhi/template/original.json")
    );
    assert_eq!(minted(&house), before);

    fs::remove_file(&real).unwrap();
    let dangling = wire(&house, &checkout, &words);
    assert_eq!(
        code(&dangling),
        (Some(3), "agentkeys.wire.dangling_link".to_owned())
    );
}

#[test]
fn an_entry_by_hand_is_taken_over_and_given_back() {
    let server = Server::demo();
    let checkout = Checkout::new();
    let by_hand = format!(
        "{{\"mcpServers\": {{\"mine\": {{\"url\": \"{}/mcp/\", \"des\": \"x\"}}}}}}\n",
        server.base.replace("127.0.0.1", "localhost")
    );
    fs::write(checkout.settings(), &by_hand).unwrap();
    let words = [
        "--url",
        &server.base,
        "--vendor",
        "magiclick",
        "--actor",
        ACTOR,
    ];
    let wired = json_of(&wire(&server.house, &checkout, &words));
    assert_eq!(
        (&wired["entry"], &wired["verified"]),
        (&"mine".into(), &true.into()),
        "{wired}"
    );
    let file: Value = serde_json::from_slice(&fs::read(checkout.settings()).unwrap()).unwrap();
    assert_eq!(file["mcpServers"].as_object().unwrap().len(), 1);
    assert_eq!(file["mcpServers"]["mine"]["des"], "x");
    let removed = json_of(&wire(
        &server.house,
        &checkout,
        &["--url", &server.base, "--remove"],
    ));
    assert!(
        removed["warnings"][0].as_str().unwrap().contains("is back"),
        "{removed}"
    );
    assert_eq!(text(&fs::read(checkout.settings()).unwrap()), by_hand);
    // What this program did not write it does not take out.
    let again = json_of(&wire(
        &server.house,
        &checkout,
        &["--url", &server.base, "--remove"],
    ));
    assert_eq!(again["changed"], false);
    assert!(
        again["warnings"][0].as_str().unwrap().contains("by hand"),
        "{again}"
    );
    assert_eq!(text(&fs::read(checkout.settings()).unwrap()), by_hand);
}

#[test]
fn the_endpoint_is_wired_proved_and_unwired() {
    let server = Server::demo();
    let house = &server.house;
    let checkout = Checkout::new();
    let words = [
        "--relay",
        "--url",
        &server.base,
        "--vendor",
        "magiclick",
        "--actor",
        ACTOR,
    ];
    let wired = json_of(&wire(house, &checkout, &words));
    assert_eq!(
        (&wired["changed"], &wired["verified"]),
        (&true.into(), &true.into()),
        "{wired}"
    );
    let config = text(&fs::read(checkout.config()).unwrap());
    let line = config
        .lines()
        .find(|l| l.starts_with("mcp_endpoint: "))
        .unwrap();
    let url = line.split_whitespace().nth(1).unwrap().to_owned();
    let base = server.base.replacen("http", "ws", 1);
    let token = url
        .strip_prefix(&format!("{base}/mcp_endpoint/mcp/?token="))
        .unwrap();
    assert!(line.contains("# 例如"), "the comment stays: {line}");
    assert!(
        !wired.to_string().contains(token)
            && token.starts_with(wired["token_id"].as_str().unwrap())
    );
    let again = json_of(&wire(house, &checkout, &words));
    assert_eq!(
        (&again["changed"], &again["verified"]),
        (&false.into(), &true.into())
    );
    assert_eq!(
        code(&wire(
            house,
            &checkout,
            &["--relay", "--url", &server.base, "--check"]
        ))
        .0,
        Some(0)
    );

    // The whole address, from a file: another host's, to which nobody answers.
    let other = Checkout::new();
    let file = token_file(
        other.0.path(),
        "ws://127.0.0.1:9/mcp_endpoint/mcp/?token=0af3",
    );
    let unproved = wire(house, &other, &["--endpoint-file", &file]);
    assert_eq!(code(&unproved).0, Some(8));
    assert!(!text(&unproved.stdout).contains("0af3") && !text(&unproved.stderr).contains("0af3"));
    assert!(text(&fs::read(other.config()).unwrap()).contains("token=0af3"));

    house.ok(&[
        "vendor",
        "token",
        "revoke",
        wired["token_id"].as_str().unwrap(),
    ]);
    let refused = wire(house, &checkout, &["--relay", "--url", &server.base]);
    assert_eq!(
        code(&refused),
        (Some(4), "agentkeys.rails.refused".to_owned())
    );
    json_of(&wire(
        house,
        &checkout,
        &["--relay", "--url", &server.base, "--remove"],
    ));
    assert_eq!(
        fs::read(checkout.config()).unwrap(),
        fixture("xiaozhi-relay/sample/original.yaml")
    );
    assert_eq!(checkout.files(), 2);
}

#[test]
fn a_host_name_that_xiaozhi_refuses_is_refused_and_the_setting_is_named() {
    let house = House::demo();
    let checkout = Checkout::new();
    let words = [
        "wire",
        "xiaozhi",
        checkout.path(),
        "--relay",
        "--vendor",
        "magiclick",
        "--actor",
        ACTOR,
    ];
    let run = |env: &[(&str, &str)], more: &[&str]| {
        let mut command = command(&house.dir());
        command
            .args(words)
            .args(more)
            .arg("--json")
            .envs(env.iter().copied());
        command.output().unwrap()
    };
    let public = (
        "AGENTKEYS_SERVER_PUBLIC_URL",
        "https://AgentKeys.example.com/mcp",
    );
    let before = minted(&house);
    let refused = run(&[public], &[]);
    assert_eq!(
        code(&refused),
        (Some(3), "agentkeys.wire.endpoint_refused".to_owned())
    );
    assert!(text(&refused.stderr).contains("[relay] public_url"));
    assert_eq!(minted(&house), before);
    let relay = ("AGENTKEYS_RELAY_PUBLIC_URL", "https://relay.example.com");
    let shown = json_of(&run(&[public, relay], &["--dry-run"]));
    let diff = shown["diff"].as_str().unwrap();
    assert!(
        diff.contains("+mcp_endpoint: wss://relay.example.com/mcp_endpoint/mcp/?"),
        "{diff}"
    );
}

#[test]
fn without_a_server_around_the_text_is_printed() {
    let house = House::demo();
    let nowhere = tempfile::tempdir().unwrap();
    let run = |words: &[&str]| {
        let mut command = command(&house.dir());
        command
            .current_dir(nowhere.path())
            .args(["wire", "xiaozhi"])
            .args(words);
        command.output().unwrap()
    };
    let printed = json_of(&run(&["--json", "--actor", ACTOR]));
    assert_eq!(
        (&printed["path"], &printed["changed"]),
        (&Value::Null, &false.into())
    );
    assert_eq!(
        printed["belongs"],
        "data/.mcp_server_settings.json of xiaozhi-server"
    );
    let text_of: Value = serde_json::from_str(printed["text"].as_str().unwrap()).unwrap();
    assert_eq!(
        text_of["mcpServers"]["agentkeys"]["headers"]["Authorization"],
        "Bearer TOKEN"
    );
    let before = minted(&house);
    run(&["--vendor", "magiclick", "--actor", ACTOR]);
    assert_eq!(
        minted(&house),
        before,
        "a token that nobody is shown is not made"
    );
    let shown = run(&["--vendor", "magiclick", "--actor", ACTOR, "--with-token"]);
    assert!(text(&shown.stdout).contains("Bearer akv_"));
    assert_eq!(code(&run(&["--json", "--check"])).0, Some(2));
    assert_eq!(
        code(&run(&["--json", "/none/at/all"])),
        (Some(2), "agentkeys.wire.not_the_host".to_owned())
    );

    // From a folder inside a checkout it is found; --dry-run prints the difference and no more.
    let checkout = Checkout::new();
    let mut inside = command(&house.dir());
    inside
        .current_dir(checkout.0.path().join("data"))
        .args(["wire", "xiaozhi", "--dry-run"]);
    let output = inside.output().unwrap();
    let shown = text(&output.stdout);
    assert!(
        shown.starts_with("--- a/") && shown.trim_end().ends_with(" }"),
        "{shown}"
    );
}

#[test]
fn an_entry_for_ark_is_printed_written_proved_and_taken_back() {
    let server = Server::demo();
    let house = &server.house;
    let temp = tempfile::tempdir().unwrap();
    let file = token_file(temp.path(), &house.token("folotoy"));
    let folder = temp.path().join("ark");
    let path = folder.to_str().unwrap();
    let ark = |words: &[&str]| house.run(&[&["wire", "volcano-ark"], words].concat());
    let secret = house.token("folotoy").split('_').nth(2).unwrap().to_owned();

    let printed = json_of(&ark(&["--url", &server.base, "--actor", ACTOR]));
    assert_eq!(
        (&printed["path"], &printed["verified"]),
        (&Value::Null, &false.into())
    );
    assert_eq!(
        printed["entry"]["server_url"],
        format!("{}/mcp", server.base)
    );
    assert_eq!(printed["entry"]["require_approval"], "never");
    assert_eq!(
        printed["entry"]["headers"]["Authorization"],
        "Bearer ${AGENTKEYS_TOKEN}"
    );
    let mut bare = command(&house.dir());
    bare.args([
        "wire",
        "volcano-ark",
        "--only",
        "tool",
        "--url",
        &server.base,
        "--actor",
        ACTOR,
    ]);
    let alone: Value = serde_json::from_slice(&bare.output().unwrap().stdout).unwrap();
    assert_eq!(alone, printed["entry"]);

    let words = [
        "--url",
        &server.base,
        "--actor",
        ACTOR,
        "--token-file",
        &file,
    ];
    let proved = json_of(&ark(&[&[path], &words[..], &["--verify"]].concat()));
    assert_eq!(
        (&proved["changed"], &proved["verified"]),
        (&true.into(), &true.into()),
        "{proved}"
    );
    assert!(
        proved["reason"]
            .as_str()
            .unwrap()
            .contains("stand-in, scripted model"),
        "{proved}"
    );
    for file in fs::read_dir(&folder).unwrap() {
        assert!(!text(&fs::read(file.unwrap().path()).unwrap()).contains(&secret));
    }
    let rows = house.events(&["--vendor", "folotoy", "--tool", "agentkeys.identity.whoami"]);
    assert_eq!(rows.len(), 1, "the proof really called");
    let words = &words[..4];
    assert_eq!(json_of(&ark(&[&[path], words].concat()))["changed"], false);
    assert_eq!(
        code(&ark(&[&[path], words, &["--check"]].concat())).0,
        Some(0)
    );
    let other = [&[path], words, &["--require-approval", "always", "--check"]].concat();
    assert_eq!(
        code(&ark(&other)),
        (Some(6), "agentkeys.wire.drift".to_owned())
    );
    fs::write(
        folder.join("ark.py"),
        "# `agentkeys wire volcano-ark`, and mine\n",
    )
    .unwrap();
    let left = ark(&[&[path], words, &["--remove"]].concat());
    assert_eq!(code(&left).0, Some(6));
    let names: Vec<_> = fs::read_dir(&folder)
        .unwrap()
        .map(|f| f.unwrap().file_name())
        .collect();
    assert_eq!(names, ["ark.py"]);
}

#[test]
fn an_entry_for_ark_takes_the_token_when_asked_and_a_failed_proof_is_told() {
    let server = Server::demo();
    let house = &server.house;
    let temp = tempfile::tempdir().unwrap();
    let file = token_file(temp.path(), &house.token("folotoy"));
    let ark = |words: &[&str]| house.run(&[&["wire", "volcano-ark"], words].concat());
    let secret = house.token("folotoy").split('_').nth(2).unwrap().to_owned();
    let alone = temp.path().join("tool.json");
    let alone = alone.to_str().unwrap();
    json_of(&ark(&[
        alone,
        "--url",
        &server.base,
        "--token-file",
        &file,
        "--actor",
        ACTOR,
        "--with-token",
    ]));
    assert!(text(&fs::read(alone).unwrap()).contains(&secret));
    assert_eq!(
        fs::metadata(alone).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let wrong = ark(&["--url", &server.base, "--token-file", &file, "--verify"]);
    assert_eq!(
        code(&wrong),
        (Some(1), "agentkeys.wire.not_proved".to_owned())
    );
    let lost = ark(&["--vendor", "folotoy", "--actor", ACTOR]);
    assert_eq!(code(&lost).0, Some(2));
    let near = ark(&[
        "--url",
        &server.base,
        "--verify",
        "--ark-key-file",
        &file,
        "--token-file",
        &file,
    ]);
    assert_eq!(
        code(&near),
        (Some(3), "agentkeys.wire.not_public".to_owned())
    );
}

#[test]
#[ignore = "needs tests/sdk/install"]
fn the_sdk_that_xiaozhi_pins_reads_what_was_written() {
    let server = Server::demo();
    let checkout = Checkout::new();
    let words = [
        "--url",
        &server.base,
        "--vendor",
        "magiclick",
        "--actor",
        ACTOR,
    ];
    json_of(&wire(&server.house, &checkout, &words));
    let output = interpreter(".venv/mcp-xiaozhi/bin/python", "xiaozhi_settings.py")
        .arg(checkout.settings())
        .output()
        .unwrap();
    let tools = json_of(&output);
    assert_eq!(tools["agentkeys"].as_array().unwrap().len(), 10, "{tools}");
}

/// The scripts are what people copy, so both are run: with Ark's own SDK, and with curl.
#[test]
#[ignore = "needs tests/sdk/install"]
fn the_scripts_that_are_written_run_as_they_are() {
    let server = Server::demo();
    let ark = Ark::start(None);
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().to_str().unwrap();
    let words = [
        "wire",
        "volcano-ark",
        path,
        "--url",
        &server.base,
        "--actor",
        ACTOR,
    ];
    server.house.ok(&words);
    let python = temp.path().join("ark.py");
    let scripts = [
        interpreter(".venv/ark/bin/python", python.to_str().unwrap()),
        {
            let mut bash = Command::new("bash");
            bash.arg(temp.path().join("ark.sh"));
            bash
        },
    ];
    for mut script in scripts {
        let output = script
            .env("ARK_BASE_URL", &ark.base_url)
            .env("ARK_API_KEY", KEY)
            .env("AGENTKEYS_TOKEN", server.house.token("folotoy"))
            .output()
            .unwrap();
        assert_eq!(text(&output.stderr), "");
        assert!(output.status.success());
        let said = text(&output.stdout);
        assert!(
            said.contains("mcp_call") && said.contains("hotpot at Yulin"),
            "{said}"
        );
        assert!(!said.contains(&server.house.token("folotoy")), "{said}");
    }
    let without = Command::new("bash")
        .arg(temp.path().join("ark.sh"))
        .env_remove("ARK_API_KEY")
        .output()
        .unwrap();
    assert!(!without.status.success() && text(&without.stderr).contains("ARK_API_KEY"));
}

#[test]
fn wiring_needs_no_data_folder_for_what_it_does_not_keep() {
    let temp = tempfile::tempdir().unwrap();
    let checkout = Checkout::new();
    let file = token_file(temp.path(), "eyJhbGciOi.eyJzdWIi.c2ln");
    let words = [
        "wire",
        "xiaozhi",
        checkout.path(),
        "--token-file",
        &file,
        "--no-verify",
    ];
    json_of(&run_in(&temp.path().join("none"), &words));
    assert!(!temp.path().join("none").exists());
    let mint = [
        "wire",
        "xiaozhi",
        checkout.path(),
        "--vendor",
        "v",
        "--actor",
        "a",
    ];
    let absent = run_in(&temp.path().join("none"), &mint);
    assert_eq!(
        code(&absent),
        (Some(3), "agentkeys.folder.missing".to_owned())
    );
}
