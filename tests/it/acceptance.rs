//! The suites against a live server, as an operator runs them.

use super::support::{House, Server, json_of, text};
use serde_json::Value;

fn suite(server: &Server, name: &str, kit: &str) -> Value {
    let url = server.base.clone();
    json_of(
        &server
            .house
            .run(&["accept", name, "--url", &url, "--kit", kit]),
    )
}

#[test]
fn negative_auth_and_tools_pass_and_the_kit_goes_away_again() {
    let server = Server::over(House::demo(), &[]);
    let dir = server.house.temp.path().join("kit");
    let kit = dir.display().to_string();
    server.house.ok(&["accept", "kit", "--out", &kit]);

    let report = suite(&server, "negative-auth", &kit);
    assert_eq!(report["passed"], true);
    let cells = report["counts"]["passed"].as_u64().unwrap();
    println!("negative-auth: {cells} cells");
    assert!(cells >= 600, "{cells}");
    assert_eq!(report["counts"]["failed"], 0);
    assert_eq!(report["counts"]["skipped"], 0);
    let checks = report["checks"].as_array().unwrap();
    let of = |part: &str| {
        let ids = checks.iter().filter_map(|c| c["id"].as_str());
        ids.filter(|id| id.contains(part)).count()
    };
    // A JWT as one kind of token among three, and what only a JWT can be.
    for (part, least) in [
        ("token.expired/", 180),
        ("/jwt/", 600),
        ("token.registered_again/", 60),
        ("jwt.good/", 30),
        ("jwt.bit_flipped/", 48),
        ("jwt.a_cap/", 3),
        ("jwt.rewritten/", 6),
    ] {
        assert!(of(part) >= least, "{part}: {}", of(part));
    }

    let report = suite(&server, "tools", &kit);
    assert_eq!(report["passed"], true);
    let report = suite(&server, "cross-rail", &kit);
    assert_eq!(report["passed"], true);

    server.house.ok(&["accept", "kit", "remove", &kit]);
    assert!(!dir.join("kit.json").exists());
    let tokens = server.house.ok(&["vendor", "token", "list"]);
    let live = tokens["tokens"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|t| t["state"] == "active");
    assert!(
        live.clone()
            .all(|t| !t["vendor"].as_str().unwrap().starts_with("kit"))
    );
}

#[test]
fn a_suite_without_its_credentials_does_not_pass() {
    let server = Server::demo();
    let output = server
        .house
        .run(&["accept", "tools", "--url", &server.base]);
    assert_eq!(output.status.code(), Some(6), "{}", text(&output.stderr));
    let unreachable = server.house.run(&[
        "accept",
        "tools",
        "--url",
        "http://127.0.0.1:9",
        "--kit",
        "/nonexistent",
    ]);
    assert_ne!(unreachable.status.code(), Some(0));
}
