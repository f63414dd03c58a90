//! `agentkeys` alone: where an operator stands, and that looking leaves nothing behind.

use super::support::{House, Server, command, json_of, run_in, text};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// How things stand, of a folder whose server would be here.
fn standing(dir: &Path, operator: &str) -> Value {
    json_of(&ask(dir, operator).arg("--json").output().unwrap())
}

fn ask(dir: &Path, operator: &str) -> Command {
    let mut command = command(dir);
    command.env("AGENTKEYS_SERVER_OPERATOR_LISTEN", operator);
    command
}

/// Nobody listens there: only root may, and no test does.
const NOBODY: &str = "127.0.0.1:1";

/// Every file with its content and when it was last changed.
fn files(dir: &Path) -> Vec<(PathBuf, Vec<u8>, std::time::SystemTime)> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let changed = path.metadata().unwrap().modified().unwrap();
        if path.is_dir() {
            all.push((path.clone(), Vec::new(), changed));
            all.extend(files(&path));
        } else {
            all.push((path.clone(), std::fs::read(&path).unwrap(), changed));
        }
    }
    all.sort();
    all
}

#[test]
fn nothing_there_is_no_error_and_stays_so() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("none");
    let said = standing(&dir, NOBODY);
    assert_eq!(
        (&said["folder"], &said["dir_from"]),
        (&json!("missing"), &json!("AGENTKEYS_DIR"))
    );
    assert_eq!(said["next"][0], "agentkeys init --demo");
    assert!(said["counts"].is_null() && said["server"].is_null());
    assert!(!dir.exists());
    let plain = ask(&dir, NOBODY).output().unwrap();
    assert!(plain.status.success() && plain.stderr.is_empty());
    let plain = text(&plain.stdout);
    assert!(
        plain.contains("no authority in it yet") && plain.contains("\nnext:\n"),
        "{plain}"
    );
    assert!(plain.lines().all(|l| l.len() <= 80), "{plain}");
    // A folder with a long name sends the remarks to lines of their own.
    let deep = temp
        .path()
        .join("a folder with a name that takes most of the line");
    let mut typed = command(temp.path());
    let typed = typed
        .args(["--dir", deep.to_str().unwrap()])
        .output()
        .unwrap();
    let typed = text(&typed.stdout);
    assert!(
        typed.contains("\n      or see it first: needs no folder\n"),
        "{typed}"
    );
    // What was typed is typed again.
    let dir = dir.to_str().unwrap();
    let mut flag = command(temp.path());
    let flag = json_of(&flag.args(["--dir", dir, "--json"]).output().unwrap());
    assert_eq!(flag["dir_from"], "--dir");
    assert_eq!(
        flag["next"][0],
        format!("agentkeys init --demo --dir {dir}")
    );
    let help = command(temp.path()).arg("--help").output().unwrap();
    assert!(text(&help.stdout).starts_with("Examples:"));
}

#[test]
fn looking_writes_nothing_and_leaves_no_row() {
    let house = House::demo();
    let before = files(&house.dir());
    let said = standing(&house.dir(), NOBODY);
    assert_eq!(files(&house.dir()), before);
    assert_eq!(
        said["counts"],
        json!({"actors": 1, "vendors": 2, "bindings": 2, "live_tokens": 2})
    );
    assert_eq!(
        said["server"],
        json!({"state": "not_running", "at": NOBODY})
    );
    assert_eq!(said["log"]["sealed"], 0);
    assert_eq!(said["next"][0], "agentkeys serve");
    let wire = "agentkeys wire xiaozhi --dry-run --vendor magiclick --actor O_kevin_001";
    assert_eq!(said["next"][1], wire);
    // The next look sees what was done since, and what is over does not count.
    let tokens = house.ok(&["vendor", "token", "list"]);
    for token in tokens["tokens"].as_array().unwrap() {
        house.ok(&[
            "vendor",
            "token",
            "revoke",
            token["token_id"].as_str().unwrap(),
        ]);
    }
    house.ok(&[
        "actor",
        "ungrant",
        "O_kevin_001",
        "--vendor",
        "folotoy",
        "--read",
        "travel,work,family,personal",
        "--write",
        "travel,work,family,personal",
        "--scope",
        "payment.*",
    ]);
    let said = standing(&house.dir(), NOBODY);
    assert_eq!(
        said["counts"],
        json!({"actors": 1, "vendors": 2, "bindings": 1, "live_tokens": 0})
    );
}

#[test]
fn a_server_that_runs_is_told_from_another_and_is_not_written_to() {
    let server = Server::demo();
    let operator = server.operator.strip_prefix("http://").unwrap();
    server
        .host("magiclick")
        .text("agentkeys.identity.whoami", json!({}));
    let before = server.house.events(&[]).len();
    let said = standing(&server.house.dir(), operator);
    assert_eq!(
        (&said["server"]["state"], &said["server"]["version"]),
        (&json!("ours"), &json!(env!("CARGO_PKG_VERSION")))
    );
    assert_eq!(said["log"]["anchor"], "none");
    // That reading of the log is on record; this look is not.
    assert_eq!(server.house.events(&[]).len(), before + 1);
    let events = said["log"]["events"].as_u64().unwrap();
    assert_eq!(events, before as u64);
    // Its host has asked, so it is wired.
    let next: Vec<_> = said["next"].as_array().unwrap().iter().collect();
    assert!(
        !next
            .iter()
            .any(|n| n.as_str().unwrap().contains("wire xiaozhi")),
        "{next:?}"
    );
    assert_eq!(next[0], "agentkeys doctor");
    let other = House::demo();
    let said = standing(&other.dir(), operator);
    assert_eq!(said["server"]["state"], "other");
    assert_eq!(said["next"][0], "agentkeys doctor");
}

#[test]
fn what_cannot_be_used_is_said_with_its_fix() {
    let broken = |change: &dyn Fn(&Path)| {
        let house = House::demo();
        change(&house.dir());
        let said = standing(&house.dir(), NOBODY);
        let what = said["problem"]["code"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        assert!(
            !said["problem"]["fix"].as_str().unwrap().is_empty(),
            "{said}"
        );
        let plain = text(&ask(&house.dir(), NOBODY).output().unwrap().stdout);
        assert!(
            plain.contains("\n! ") && plain.contains("  fix: "),
            "{plain}"
        );
        (
            said["folder"].as_str().unwrap().to_owned(),
            what,
            said["next"][0].clone(),
        )
    };
    let ledger = |dir: &Path| std::fs::write(dir.join("ledger.sqlite"), "no ledger").unwrap();
    let case = broken(&ledger);
    assert_eq!(
        (case.0.as_str(), case.1.as_str()),
        ("unusable", "agentkeys.folder.ledger_unusable")
    );
    assert_eq!(case.2, "agentkeys doctor");
    let case = broken(&|dir| std::fs::remove_file(dir.join("keys/root.key")).unwrap());
    assert_eq!(case.1, "agentkeys.folder.root_key_unreadable");
    let case = broken(&|dir| {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o755)).unwrap();
    });
    assert_eq!(case.1, "agentkeys.folder.exposed");
    let case = broken(&|dir| std::fs::write(dir.join("agentkeys.toml"), "[server\n").unwrap());
    assert_eq!(
        (case.0.as_str(), case.2),
        ("ready", json!("agentkeys config show"))
    );
    let begun = House::demo();
    std::fs::write(begun.dir().join("init.unfinished"), "demo\n").unwrap();
    let said = standing(&begun.dir(), NOBODY);
    assert_eq!(
        (&said["folder"], &said["next"]),
        (&json!("unfinished"), &json!(["agentkeys init --demo"]))
    );
}

#[test]
fn another_users_folder_is_left_alone() {
    if !rustix::process::geteuid().is_root() {
        println!("NOT RUN: only root can give a folder away");
        return;
    }
    let house = House::init(&[]);
    let given = Command::new("chown")
        .args(["-R", "nobody"])
        .arg(house.dir())
        .status();
    assert!(given.unwrap().success());
    let before = files(&house.dir());
    let said = standing(&house.dir(), NOBODY);
    assert_eq!(files(&house.dir()), before);
    assert_eq!(said["folder"], "other_owner");
    let dir = house.dir();
    assert_eq!(
        said["next"],
        json!([format!("sudo -u nobody agentkeys --dir {}", dir.display())])
    );
    // Who may not look into it is told so, and not that there is nothing.
    let mut closed = Command::new("setpriv");
    closed.args(["--reuid=65533", "--regid=65533", "--clear-groups"]);
    let inside = house.dir().join("data");
    let closed = closed
        .arg(super::support::BIN)
        .arg("--json")
        .env("AGENTKEYS_DIR", &inside)
        .output();
    let closed = closed.unwrap();
    if closed.status.success() {
        assert_eq!(json_of(&closed)["folder"], "unusable");
    }
}

fn error(output: &Output) -> Value {
    serde_json::from_slice(&output.stderr)
        .unwrap_or_else(|e| panic!("{e}: {}", text(&output.stderr)))
}

#[test]
fn a_slip_in_a_name_is_recognised_by_every_command_here_and_by_no_door() {
    let server = Server::demo();
    let house = &server.house;
    let fix = |words: &[&str]| {
        let output = run_in(&house.dir(), words);
        assert_eq!(output.status.code(), Some(1), "{words:?}");
        error(&output)["error"]["fix"].as_str().unwrap().to_owned()
    };
    for words in [
        &["actor", "show", "O_kevn_001"][..],
        &["memory", "get", "o_kevin_001", "travel"],
        &["memory", "erase", "kevin", "travel", "--confirm", "kevin"],
        &["budget", "show", "O_kevin_01"],
        &["audit", "list", "--actor", "O_kevin_0001"],
        &[
            "vendor",
            "token",
            "create",
            "--vendor",
            "magiclick",
            "--actor",
            "O_keven_001",
        ],
        &[
            "policy",
            "check",
            "O_kevi_001",
            "payment.spend",
            "--vendor",
            "magiclick",
        ],
    ] {
        assert!(
            fix(words).starts_with("did you mean O_kevin_001? `agentkeys actor list`"),
            "{words:?}"
        );
    }
    for words in [
        &[
            "actor",
            "grant",
            "O_kevin_001",
            "--vendor",
            "magicklick",
            "--read",
            "travel",
        ][..],
        &["vendor", "token", "create", "--vendor", "Magiclick"],
    ] {
        assert!(
            fix(words).starts_with("did you mean magiclick? `agentkeys vendor list`"),
            "{words:?}"
        );
    }
    assert!(fix(&["actor", "show", "O_maria_001"]).starts_with("`agentkeys actor list`"));
    // Neither whether there is such a name nor which are like it leaves a door.
    let parent = server.reader("parent", &["--actor", "O_kevin_001"]);
    let url = format!("{}/v1/actors/O_kevn_001/grant", server.base);
    let body = json!({"vendor": "magiclick", "read": ["travel"]});
    let reply = super::support::send(server.http.post(url).bearer_auth(&parent).json(&body));
    assert_eq!(reply.status, 404);
    assert!(
        !reply.body.contains("did you mean") && !reply.body.contains("O_kev"),
        "{}",
        reply.body
    );
}

#[test]
fn a_scope_that_no_policy_has_is_noted() {
    let house = House::demo();
    let note = |words: &[&str]| {
        let output = command(&house.dir()).args(words).output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
        text(&output.stderr)
    };
    let grant = |scope| {
        note(&[
            "actor",
            "grant",
            "O_kevin_001",
            "--vendor",
            "magiclick",
            "--scope",
            scope,
        ])
    };
    assert!(grant("payment.spnd").contains("did you mean payment.spend"));
    assert!(grant("paymnt.*").contains("did you mean payment.*?"));
    for known in ["payment.spend", "payment.*"] {
        assert!(!grant(known).contains("policy in force"), "{known}");
    }
    let check = [
        "policy",
        "check",
        "O_kevin_001",
        "payment.spnd",
        "--vendor",
        "magiclick",
    ];
    assert!(note(&check).contains("did you mean payment.spend"));
}
