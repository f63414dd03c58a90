//! Kits, and what a run says that cannot begin.

use super::support::{House, Server, command, run_in, text};
use serde_json::Value;
use std::path::Path;
use std::process::Output;

/// A command as a person types it, in a folder of their own.
fn typed(server: &Server, words: &str) -> Output {
    let words = words.strip_prefix("agentkeys ").unwrap().split(' ');
    let mut command = command(&server.house.dir());
    let command = command.current_dir(server.house.temp.path()).args(words);
    command.output().unwrap()
}

#[track_caller]
fn refused(output: &Output, exit: i32, cause: &str, fix: &str) {
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(exit), "{said}");
    let line = |word: &str| {
        let lines = said.lines().filter_map(|l| l.trim().strip_prefix(word));
        lines.collect::<String>()
    };
    assert!(line("cause:").contains(cause), "{said}");
    assert!(line("fix:").contains(fix), "{said}");
}

#[test]
fn all_of_it_passes_on_a_machine_of_ones_own_by_the_words_of_the_page() {
    let server = Server::demo();
    let made = typed(&server, "agentkeys accept kit --out ./kit");
    let said = text(&made.stderr);
    let next = said.lines().find_map(|l| l.strip_prefix("next: ")).unwrap();
    let page = std::fs::read_to_string("docs/acceptance.md").unwrap();
    let local = page.lines().find(|l| l.contains("--allow-skip tls/https"));
    let own = local.unwrap().split('`').nth(1).unwrap();
    assert_eq!(next, format!("agentkeys {own}"));
    let help = text(&typed(&server, "agentkeys accept all --help").stdout);
    assert!(help.contains(next), "{help}");

    let output = typed(
        &server,
        &next.replace("http://127.0.0.1:8088", &server.base),
    );
    let (said, amiss) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{said}{amiss}");
    assert!(
        said.contains("tls: skipped: 0 passed, 0 failed, 1 skipped"),
        "{said}"
    );
    assert!(said.trim_end().ends_with("1 skipped"), "{said}");

    // What goes on is told by the names that hosts' profiles have.
    for told in ["tools/list as xiaozhi gets it", "memory.get (volcano-ark)"] {
        assert!(amiss.contains(told), "{amiss}");
    }
    assert!(
        !amiss.contains("(Plain)") && !amiss.contains("as First"),
        "{amiss}"
    );

    // Alone it shows nothing, whatever is allowed, and says what would.
    let alone = next.replace("accept all", "accept tls");
    let output = typed(
        &server,
        &alone.replace("http://127.0.0.1:8088", &server.base),
    );
    let fix = "`accept all` goes without this suite with `--allow-skip tls/https`";
    refused(&output, 6, "there is no TLS to look at", fix);
}

#[test]
fn leave_to_skip_is_for_checks_that_there_are() {
    let house = House::init(&[]);
    let accept = |suite: &str, id: &str| {
        let words = [
            "accept",
            suite,
            "--url",
            "http://127.0.0.1:9",
            "--allow-skip",
            id,
        ];
        command(&house.dir()).args(words).output().unwrap()
    };
    for suite in ["tools", "all"] {
        let output = accept(suite, "tls/http");
        refused(&output, 2, "`tls/http`", "did you mean tls/https?");
        refused(
            &accept(suite, "nosuch"),
            2,
            "`nosuch`",
            "name one of tls/https, ",
        );
        // One that can be skipped, of this suite or another.
        assert_ne!(accept(suite, "tls/https").status.code(), Some(2));
        assert_ne!(accept(suite, "tools/tools.kit").status.code(), Some(2));
    }
    // As the suite alone shows it, and as all of them do.
    assert_ne!(accept("tools", "tools.kit").status.code(), Some(2));
    refused(
        &accept("all", "tools.kit"),
        2,
        "`tools.kit`",
        "did you mean tools/tools.kit?",
    );
}

#[test]
fn a_kit_that_the_server_does_not_know_is_told_once_and_before_the_run() {
    let (server, other) = (Server::demo(), House::demo());
    let path = |name: &str| server.house.temp.path().join(name);
    let kit = path("kit").display().to_string();
    other.ok(&["accept", "kit", "--out", &kit]);
    // By its name it would be told to be another's: a kit of an earlier program has none.
    let file = path("kit").join("kit.json");
    let mut made: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    made["operator"]["authority"] = Value::Null;
    std::fs::write(&file, made.to_string()).unwrap();
    let junit = path("out.xml");
    for suite in [
        "all",
        "handshake",
        "negative-auth",
        "tools",
        "cross-rail",
        "three-acts",
    ] {
        let mut command = command(&server.house.dir());
        let words = [
            "accept",
            suite,
            "--url",
            &server.base,
            "--kit",
            &kit,
            "--junit",
        ];
        let output = command.args(words).arg(&junit).output().unwrap();
        let cause = "does not take this kit's tokens: this token does not exist here";
        refused(
            &output,
            3,
            cause,
            "make one in the data folder of that server",
        );
        assert!(output.stdout.is_empty(), "{}", text(&output.stdout));
        let xml = std::fs::read_to_string(&junit).unwrap();
        assert!(xml.contains("agentkeys.accept.kit_unknown"), "{xml}");
    }
    // One row for each: no suite began.
    let rows = server.house.events(&["--verdict", "deny"]);
    assert_eq!(rows.len(), 6, "{rows:?}");
}

#[test]
fn the_operators_port_is_told_from_one_that_hosts_call() {
    let server = Server::demo();
    let kit = server.house.temp.path().join("kit").display().to_string();
    server.house.ok(&["accept", "kit", "--out", &kit]);
    for suite in ["handshake", "all"] {
        let mut command = command(&server.house.dir());
        let words = ["accept", suite, "--url", &server.operator, "--kit", &kit];
        let output = command.args(words).output().unwrap();
        refused(
            &output,
            3,
            "the operator's port",
            "give the address that hosts call",
        );
        assert!(output.stdout.is_empty(), "{}", text(&output.stdout));
    }
}

#[test]
fn what_is_wrong_on_this_side_is_told_with_what_helps() {
    let house = House::init(&[]);
    let kit = house.temp.path().join("kit").display().to_string();
    let run = |words: &[&str]| command(&house.dir()).args(words).output().unwrap();
    let again = ["accept", "kit", "--out", &kit];
    assert!(run(&again).status.success());
    refused(
        &run(&again),
        3,
        "holds a kit already",
        "choose another folder",
    );
    let none = house.dir().display().to_string();
    let output = run(&["accept", "kit", "remove", &none]);
    refused(
        &output,
        3,
        "kit.json",
        "name a folder made by `agentkeys accept kit --out DIR`",
    );
    assert!(
        !text(&output.stderr).contains("URL"),
        "{}",
        text(&output.stderr)
    );
    let tls = |url: &str| run(&["accept", "tls", "--url", url]);
    for url in [
        "nohost.invalid",
        "localhost:8088",
        "ftp://h",
        "//h",
        "127.0.0.1:8088",
    ] {
        let fix = "write http:// or https:// before it";
        refused(&tls(url), 3, "does not begin with http:// or https://", fix);
    }
    let output = tls("https://");
    refused(
        &output,
        3,
        "--url: ",
        "give an address such as https://mcp.example.com",
    );
    let output = run(&["accept", "tls", "--url", "https://h", "--ca-file", &none]);
    refused(&output, 3, &none, "certificates in PEM");
}

#[test]
fn what_stays_of_a_kit_is_told() {
    let house = House::init(&[]);
    let kit = house.temp.path().join("kit").display().to_string();
    let run = |words: &[&str]| text(&command(&house.dir()).args(words).output().unwrap().stdout);
    let listed = |what: &str, key: &str| {
        let listed = house.ok(&[what, "list"]);
        let names = listed[key].as_array().unwrap().iter();
        names.filter(|n| n.to_string().contains("kit")).count()
    };
    let made = run(&["accept", "kit", "--out", &kit]);
    let (actors, vendors) = (listed("actor", "actors"), listed("vendor", "vendors"));
    let told = format!("{vendors} vendors, {actors} actors (12 of them devices)");
    assert!(
        made.contains(&told) && made.contains("stay in the lists"),
        "{made}"
    );
    let gone = run(&["accept", "kit", "remove", &kit]);
    let told = format!("its {actors} actors and {vendors} vendors stay in the lists");
    assert!(gone.contains(&told), "{gone}");
    assert!(!Path::new(&kit).exists());
    let after = (listed("actor", "actors"), listed("vendor", "vendors"));
    assert_eq!(after, (actors, vendors));
    run(&["accept", "kit", "--out", &kit]);
    let gone = super::support::json_of(&run_in(&house.dir(), &["accept", "kit", "remove", &kit]));
    assert_eq!(
        gone["left"],
        serde_json::json!({"actors": actors, "vendors": vendors})
    );
}
