//! The operator does it without a code.

use super::{WHOAMI, host, refused, text};
use crate::it::support::{House, Server};
use serde_json::{Value, json};

fn register(house: &House, vendor: &str, more: &[&str]) -> Value {
    let mut args = vec!["vendor", "device", "register", "--vendor", vendor];
    args.extend(["--device", "bear-01"]);
    args.extend(more);
    house.ok(&args)
}

#[test]
fn a_device_without_rights_may_ask_who_it_is_until_the_last_right_is_taken_back() {
    let server = Server::demo();
    let house = &server.house;
    let plain = register(house, "folotoy", &[]);
    let me = host(&server, &plain).structured(WHOAMI, json!({}));
    assert_eq!(
        (&me["scopes"], &me["namespaces"]["read"]),
        (&json!([]), &json!([]))
    );
    let operator = house.ok(&["actor", "show", "operator"]);
    assert_eq!(me["parent_omni"], operator["actor_omni"]);

    let alias = text(&plain, "alias");
    let change = |verb| {
        house.ok(&[
            "actor", verb, &alias, "--vendor", "folotoy", "--read", "travel",
        ])
    };
    change("grant");
    let again = register(house, "folotoy", &[]);
    assert_eq!(again["actor_omni"], plain["actor_omni"]);
    assert_eq!(again["generation"], 1);
    refused(
        &host(&server, &plain).call(WHOAMI, json!({})),
        401,
        "auth.token_revoked",
    );
    let me = host(&server, &again).structured(WHOAMI, json!({}));
    assert_eq!(
        me["namespaces"]["read"],
        json!(["travel"]),
        "it keeps the rights it has"
    );
    change("ungrant");
    refused(
        &host(&server, &again).call(WHOAMI, json!({})),
        403,
        "auth.actor_forbidden",
    );
}

#[test]
fn devices_are_listed_and_their_jwts_are_tokens_like_others() {
    let server = Server::demo();
    let house = &server.house;
    let bear = register(
        house,
        "magiclick",
        &["--parent", "O_kevin_001", "--read", "travel", "--ttl", "1h"],
    );
    let listed = || {
        let list = house.ok(&["vendor", "device", "list", "--vendor", "magiclick"]);
        let devices = list["devices"].as_array().unwrap();
        assert_eq!(devices.len(), 1);
        devices[0].clone()
    };
    assert_eq!(listed()["state"], "active");
    assert_eq!(listed()["parent_omni"], json!(house.actor()));
    let tokens = house.ok(&["vendor", "token", "list"]);
    let tokens = tokens["tokens"].as_array().unwrap();
    let row = tokens.iter().find(|t| t["token_id"] == bear["token_id"]);
    let row = row.unwrap();
    assert_eq!(
        (&row["device_id"], &row["state"]),
        (&json!("bear-01"), &json!("active"))
    );
    assert_eq!(row["expires_at"], bear["expires_at"]);

    let id = text(&bear, "token_id");
    assert!(
        !house
            .run(&["vendor", "token", "rotate", &id])
            .status
            .success()
    );
    house.ok(&["vendor", "token", "revoke", &id]);
    assert_eq!(listed()["state"], "revoked");
    refused(
        &host(&server, &bear).call(WHOAMI, json!({})),
        401,
        "auth.token_revoked",
    );
    house.ok(&[
        "vendor",
        "device",
        "remove",
        "--vendor",
        "magiclick",
        "--device",
        "bear-01",
    ]);
    assert_eq!(listed()["state"], "removed");
    // Registered again without a parent it goes where it was.
    let again = register(house, "magiclick", &["--read", "travel"]);
    assert_eq!(again["actor_omni"], bear["actor_omni"]);
}

#[test]
fn what_cannot_be_done_says_why_and_changes_nothing() {
    let house = House::demo();
    let register = ["vendor", "device", "register", "--vendor"];
    for (args, code, exit) in [
        (&["nobody", "--device", "b"][..], "vendor.not_found", 1),
        (
            &["magiclick", "--device", "b", "--parent", "O_x"],
            "actor.not_found",
            1,
        ),
        (
            &["magiclick", "--device", "b", "--ttl", "0s"],
            "token.ttl_invalid",
            2,
        ),
        (&["magiclick", "--device", "a/b"], "device.id_invalid", 2),
        (
            &["magiclick", "--device", "b", "--scope", "Nope"],
            "grant.scope_invalid",
            2,
        ),
    ] {
        let output = house.run(&[&register, args].concat());
        let said: Value = serde_json::from_slice(&output.stderr).unwrap();
        assert_eq!(said["error"]["code"], format!("agentkeys.{code}"));
        assert_eq!(output.status.code(), Some(exit), "{code}");
    }
    for args in [
        &[
            "vendor",
            "device",
            "remove",
            "--vendor",
            "magiclick",
            "--device",
            "b",
        ][..],
        &["vendor", "device", "list", "--vendor", "nobody"],
        &["actor", "pair", "O_kevin_001", "--vendor", "magiclick"],
        &[
            "actor",
            "pair",
            "O_kevin_001",
            "--vendor",
            "magiclick",
            "--scope",
            "Nope",
        ],
        &[
            "actor",
            "pair",
            "O_kevin_001",
            "--vendor",
            "nobody",
            "--read",
            "travel",
        ],
        &[
            "actor",
            "pair",
            "O_x",
            "--vendor",
            "magiclick",
            "--read",
            "travel",
        ],
        &["keys", "rotate", "--purpose", "vault"],
    ] {
        assert!(!house.run(args).status.success(), "{args:?}");
    }
    assert_eq!(
        house.ok(&["vendor", "device", "list"])["devices"],
        json!([])
    );
}
