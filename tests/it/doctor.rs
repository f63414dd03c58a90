//! What `agentkeys doctor` finds, here and from outside.

use super::support::{House, Server, run_in, send, spawn, text, wait};
use super::tls::{Ca, serving};
use axum::Router;
use axum::response::Redirect;
use axum::routing::{any, get};
use serde_json::{Value, json};

/// Its exit code, and its findings as `id status`.
fn doctor(house: &House, args: &[&str]) -> (i32, Value) {
    let output = run_in(&house.dir(), &[&["doctor"], args].concat());
    let said = serde_json::from_slice(&output.stdout);
    let said = said.unwrap_or_else(|e| panic!("{e}: {}", text(&output.stderr)));
    (output.status.code().unwrap(), said)
}

/// A finding: its status, cause and fix.
fn finding<'a>(said: &'a Value, id: &str) -> (&'a str, &'a str, &'a str) {
    let findings = said["findings"].as_array().unwrap();
    let found = findings.iter().find(|f| f["id"] == id);
    let found = found.unwrap_or_else(|| panic!("{id}: {said}"));
    ["status", "cause", "fix"]
        .map(|key| found[key].as_str().unwrap())
        .into()
}

#[test]
fn a_folder_without_a_server_is_looked_at() {
    let temp = tempfile::tempdir().unwrap();
    let house = House {
        temp,
        init: Value::Null,
    };
    let (code, said) = doctor(&house, &[]);
    assert_eq!((code, finding(&said, "folder").0), (6, "failed"));
    assert!(finding(&said, "folder").2.contains("agentkeys init"));
    let house = House::demo();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = listener.local_addr().unwrap();
    std::fs::write(
        house.dir().join("agentkeys.toml"),
        format!(
            "[server]\nlisten = \"{taken}\"\noperator_listen = \"127.0.0.1:1\"\n\
             [tls]\nmode = \"files\"\ncertificate = \"c.pem\"\nkey = \"k.pem\"\n"
        ),
    )
    .unwrap();
    let (code, said) = doctor(&house, &[]);
    assert_eq!(code, 6, "{said}");
    assert_eq!(finding(&said, "folder").0, "ok");
    let (status, _, fix) = finding(&said, "server");
    assert_eq!((status, fix), ("warn", "agentkeys serve"));
    let typed = run_in(
        &house.temp.path().join("none"),
        &["doctor", "--dir", house.dir().to_str().unwrap()],
    );
    let typed: Value = serde_json::from_slice(&typed.stdout).unwrap();
    let again = format!("agentkeys serve --dir {}", house.dir().display());
    assert_eq!(finding(&typed, "server").2, again);
    let (status, cause, _) = finding(&said, "server.listen");
    assert!(
        status == "failed" && cause.contains(&taken.to_string()),
        "{said}"
    );
    let (status, cause, _) = finding(&said, "certificate");
    assert!(status == "failed" && cause.contains("c.pem"), "{said}");
    assert_eq!(finding(&said, "public_url").0, "warn");
}

#[test]
fn a_certificate_is_to_be_for_every_name_hosts_use() {
    let (ca, house) = (Ca::new(), House::init(&[]));
    std::fs::write(house.dir().join("c.pem"), ca.good()).unwrap();
    let looked = |relay: &str| {
        configure(
            &house,
            &format!(
                "[server]\npublic_url = \"https://mcp.example.com/mcp\"\nlisten = \"127.0.0.1:0\"\n\
                 operator_listen = \"127.0.0.1:1\"\n[relay]\npublic_url = \"https://{relay}/\"\n\
                 [tls]\nmode = \"files\"\ncertificate = \"c.pem\"\nkey = \"c.pem\"\n"
            ),
        );
        doctor(&house, &[]).1
    };
    let said = looked("mcp.example.com");
    assert_eq!(finding(&said, "certificate").0, "ok", "{said}");
    let said = looked("relay.example.org");
    let (status, cause, _) = finding(&said, "certificate");
    assert_eq!(status, "failed", "{said}");
    assert!(cause.ends_with("not for relay.example.org"), "{cause}");
}

#[test]
fn a_server_is_looked_at_as_its_hosts_reach_it() {
    let ca = Ca::new();
    let (server, _) = serving(&ca, &[]);
    let ca_file = server.house.temp.path().join("ca.pem");
    std::fs::write(&ca_file, &ca.pem).unwrap();
    let token = server.house.pin("magiclick");
    let args = [
        ["--url", &server.base],
        ["--ca-file", ca_file.to_str().unwrap()],
        ["--token-file", token.to_str().unwrap()],
    ];
    let (code, said) = doctor(&server.house, &args.concat());
    assert_eq!((code, &said["failed"]), (0, &json!(0)), "{said}");
    for id in [
        "dns",
        "port",
        "public certificate",
        "clock",
        "health",
        "name",
        "endpoint",
    ] {
        assert_eq!(finding(&said, id).0, "ok", "{said}");
    }
    for version in ["2024-11-05", "2025-06-18", "2026-07-28"] {
        let (status, cause, _) = finding(&said, &format!("mcp {version}"));
        assert_eq!((status, cause), ("ok", "10 tools are listed"), "{said}");
    }
    // A host that does not know the authority.
    let (code, said) = doctor(&server.house, &["--url", &server.base]);
    assert_eq!(
        (code, finding(&said, "public certificate").0),
        (6, "failed"),
        "{said}"
    );
    // The folder's own server says how it is.
    let settings = format!(
        "[server]\noperator_listen = \"{}\"\n",
        server.operator.strip_prefix("http://").unwrap()
    );
    std::fs::write(server.house.dir().join("agentkeys.toml"), settings).unwrap();
    let (code, said) = doctor(&server.house, &[]);
    assert_eq!(code, 0, "{said}");
    for id in ["server", "ledger", "objects", "certificate"] {
        assert_eq!(finding(&said, id).0, "ok", "{said}");
    }
}

#[test]
fn what_stands_between_a_host_and_the_server_is_named() {
    let server = Server::demo();
    let house = &server.house;
    let look = |url: &str| doctor(house, &["--url", url]);
    let (code, said) = look(&server.base);
    assert_eq!((code, finding(&said, "mcp").0), (0, "skipped"), "{said}");
    // A name that the server does not have.
    let port = server.base.rsplit_once(':').unwrap().1;
    let (code, said) = look(&format!("http://[::ffff:127.0.0.1]:{port}"));
    assert_eq!(code, 6);
    let (status, _, fix) = finding(&said, "name");
    assert!(status == "failed" && fix.contains("public_url"), "{said}");
    let (code, said) = look("http://127.0.0.1:1");
    assert_eq!((code, finding(&said, "port").0), (6, "failed"), "{said}");
    let (code, said) = look("https://no.such.invalid");
    assert_eq!((code, finding(&said, "dns").0), (6, "failed"), "{said}");
    // Plain HTTP where TLS is spoken of.
    let (code, said) = look(&server.base.replacen("http", "https", 1));
    assert_eq!(
        (code, finding(&said, "public certificate").0),
        (6, "failed"),
        "{said}"
    );
    let (_, said) = look(&standing_in(
        Router::new().fallback(any(|| async { "hello" })),
    ));
    assert_eq!(finding(&said, "health").0, "failed", "{said}");
    let health = get(|| async { axum::Json(json!({"name": "agentkeys", "ok": true})) });
    let proxy = Router::new()
        .route("/healthz", health)
        .route("/mcp", any(|| async { Redirect::permanent("/mcp/") }));
    let (_, said) = look(&standing_in(proxy));
    let (status, cause, _) = finding(&said, "name");
    assert!(status == "failed" && cause.contains("redirect"), "{said}");
    let (status, cause, _) = finding(&said, "endpoint");
    assert!(status == "failed" && cause.contains("404"), "{said}");
}

/// Puts a configuration into a folder.
fn configure(house: &House, text: &str) {
    std::fs::write(house.dir().join("agentkeys.toml"), text).unwrap();
}

/// The authority that answers there.
fn authority(server: &Server) -> String {
    let health = send(server.http.get(format!("{}/healthz", server.base)));
    let health: Value = serde_json::from_str(&health.body).unwrap();
    health["authority"].as_str().unwrap().to_owned()
}

#[test]
fn another_folders_server_is_not_taken_for_ours() {
    let theirs = Server::demo();
    let urn = authority(&theirs);
    assert!(urn.starts_with("urn:agentkeys:"), "{urn}");
    let ours = House::demo();
    let at = theirs.operator.strip_prefix("http://").unwrap();
    configure(&ours, &format!("[server]\noperator_listen = \"{at}\"\n"));
    let (code, said) = doctor(&ours, &[]);
    let (status, cause, fix) = finding(&said, "server");
    assert_eq!((code, status), (6, "failed"), "{said}");
    assert!(cause.contains(&urn) && cause.contains(at), "{cause}");
    assert!(fix.contains("operator_listen"), "{fix}");
    let health = ours.run(&["health"]);
    assert_eq!(health.status.code(), Some(8));
    let error = text(&health.stderr);
    assert!(
        error.contains("agentkeys.health.other_authority") && error.contains(&urn),
        "{error}"
    );
    // Nor where hosts are sent.
    let ours = Server::over(ours, &[]);
    let own = ours.operator.strip_prefix("http://").unwrap();
    configure(
        &ours.house,
        &format!(
            "[server]\noperator_listen = \"{own}\"\npublic_url = \"{}\"\n",
            theirs.base
        ),
    );
    let token = ours.house.pin("magiclick");
    let (code, said) = doctor(&ours.house, &["--token-file", token.to_str().unwrap()]);
    assert_eq!((code, finding(&said, "server").0), (6, "ok"), "{said}");
    let (status, cause, _) = finding(&said, "health");
    assert!(status == "failed" && cause.contains(&urn), "{said}");
    assert!(!said.to_string().contains("tools are listed"), "{said}");
    let health = ours.house.ok(&["health"]);
    assert_eq!(health["authority"], authority(&ours));
}

#[test]
fn tls_on_one_side_only_is_said_in_words_that_help() {
    let ca = Ca::new();
    let (server, _) = serving(&ca, &[]);
    let secured = server.base.strip_prefix("https://").unwrap();
    let (code, said) = doctor(&server.house, &["--url", &format!("http://{secured}")]);
    let (status, cause, fix) = finding(&said, "health");
    assert_eq!((code, status), (6, "failed"), "{said}");
    assert!(cause.contains("TLS is spoken"), "{cause}");
    assert!(
        fix.contains(&server.base) && fix.contains("[tls] mode"),
        "{fix}"
    );
    drop(server);
    let server = Server::demo();
    let url = server.base.replacen("http", "https", 1);
    let (code, said) = doctor(&server.house, &["--url", &url]);
    let (status, cause, fix) = finding(&said, "public certificate");
    assert_eq!((code, status), (6, "failed"), "{said}");
    assert!(cause.contains("plain HTTP is spoken"), "{cause}");
    for word in ["[tls] mode", "public_url", &server.base] {
        assert!(fix.contains(word), "{fix}");
    }
}

#[test]
fn a_refusal_is_told_once_with_its_own_fix() {
    let server = Server::demo();
    let house = &server.house;
    let look = |token: &str, more: &[&str]| {
        let token = house.keep("some.token", token);
        let args = [
            "--url",
            &server.base,
            "--token-file",
            token.to_str().unwrap(),
        ];
        let output = house.run(&[&["doctor"], &args[..], more].concat());
        let said: Value = serde_json::from_slice(&output.stdout).unwrap();
        let error: Value = serde_json::from_slice(&output.stderr).unwrap();
        (said, error["error"]["cause"].as_str().unwrap().to_owned())
    };
    let unpinned = house.token("magiclick");
    for (token, more, code, hint) in [
        (
            &unpinned,
            &[][..],
            "agentkeys.auth.actor_missing",
            "--actor",
        ),
        (
            &unpinned,
            &["--actor", "O_nobody"],
            "agentkeys.auth.actor_forbidden",
            "--actor",
        ),
        (
            &format!("akv_{}", "a".repeat(43)),
            &[],
            "agentkeys.auth.token_malformed",
            "token",
        ),
    ] {
        let (said, end) = look(token, more);
        let (status, cause, fix) = finding(&said, "mcp 2024-11-05");
        assert!(status == "failed" && cause.contains(code), "{said}");
        assert!(!cause.contains("jsonrpc") && fix.contains(hint), "{said}");
        assert_eq!(said.to_string().matches(code).count(), 1, "{said}");
        let rest = "mcp 2025-03-26, 2025-06-18, 2025-11-25, 2026-07-28";
        let (status, cause, _) = finding(&said, rest);
        assert!(
            status == "skipped" && cause.starts_with("not tried: "),
            "{said}"
        );
        assert!(end.ends_with("1 failed: mcp 2024-11-05"), "{end}");
    }
}

#[test]
fn what_is_given_wrongly_is_told_in_the_commands_own_codes() {
    let house = House::init(&[]);
    for command in ["doctor", "health"] {
        for words in [
            &["--url", "ftp://example.com"][..],
            &["--url", "https://example.com", "--ca-file", "/nowhere"],
        ] {
            let output = house.run(&[&[command], words].concat());
            let error = text(&output.stderr);
            let code = format!("agentkeys.{command}.input_invalid");
            assert!(error.contains(&code), "{error}");
            assert_eq!(output.status.code(), Some(3), "{error}");
        }
    }
}

/// Something else at an address of its own.
fn standing_in(router: Router) -> String {
    let listener = wait(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    spawn(async move {
        let _ = axum::serve(listener, router).await;
    });
    base
}
