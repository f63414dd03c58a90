//! What `agentkeys doctor` finds, here and from outside.

use super::support::{House, Server, run_in, spawn, text, wait};
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

/// Something else at an address of its own.
fn standing_in(router: Router) -> String {
    let listener = wait(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    spawn(async move {
        let _ = axum::serve(listener, router).await;
    });
    base
}
