//! What agents state for the record: sealed, read by the operator alone, gone when it is erased.

use super::support::{Host, House, Server, TRAVEL_AND_SPEND, text};
use serde_json::{Value, json};

fn desk(server: &Server) -> Host<'_> {
    let token = server.house.vendor("desk", TRAVEL_AND_SPEND);
    server.host_of(&token)
}

fn state(host: &Host<'_>, event: &Value) -> String {
    let said = host.structured("agentkeys.audit.append", json!({"event": event}));
    assert_eq!(said["ok"], true, "{said}");
    said["event_id"].as_str().unwrap().to_owned()
}

/// The stable code that reading an event's statement is refused with.
#[track_caller]
fn refused(house: &House, event_id: &str) -> String {
    let output = house.run(&["audit", "statement", event_id]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stdout));
    // What failed deep inside is logged before it.
    let error = text(&output.stderr);
    let error: Value = serde_json::from_str(error.lines().last().unwrap()).unwrap();
    error["error"]["code"].as_str().unwrap().to_owned()
}

#[test]
fn the_operator_reads_what_an_agent_stated_and_that_is_on_record() {
    let server = Server::demo();
    let desk = desk(&server);
    let stated = json!({"kind": "order", "body": {"dish": "火锅 🍲", "n": 2}, "result": "ok"});
    let event = state(&desk, &stated);
    let other = state(&desk, &json!({"kind": "other"}));
    let house = &server.house;
    let read = house.ok(&["audit", "statement", &event]);
    assert_eq!(read["statement"], stated);
    let row = &house.events(&["--tool", "agentkeys.audit.append"])[0];
    for key in [
        "event_id",
        "seq",
        "ts",
        "actor_omni",
        "vendor",
        "rail",
        "token_id",
    ] {
        assert_eq!(read[key], row[key], "{key}");
    }
    assert_eq!(
        house.ok(&["audit", "statement", &other])["statement"]["kind"],
        "other"
    );
    let rows = house.events(&["--tool", "audit.statement"]);
    assert_eq!(rows.len(), 2);
    let first = &rows[0];
    assert_eq!(
        (&first["op_kind"], &first["verdict"], &first["by"]),
        (&json!(130), &json!("accept"), &json!("operator"))
    );
    assert_eq!(first["detail"], json!({"event_id": event}));
    assert_eq!(first["actor_omni"], house.actor());
    // The record of the reading does not say what was read.
    assert!(!first.to_string().contains("火锅"));
}

#[test]
fn a_statement_for_people_is_clean() {
    let server = Server::demo();
    let hostile = json!({"kind": "a\u{1b}[31m", "body": {"b\u{202e}c": "d"}});
    let event = state(&desk(&server), &hostile);
    let mut command = super::support::command(&server.house.dir());
    let output = command
        .args(["audit", "statement", &event])
        .output()
        .unwrap();
    let shown = text(&output.stdout);
    assert!(output.status.success() && shown.contains(&event), "{shown}");
    assert!(shown.contains("\"b\u{fffd}c\": \"d\""), "{shown}");
    assert!(!shown.contains('\u{1b}') && !shown.contains('\u{202e}'));
}

#[test]
fn events_that_state_nothing_and_what_is_erased_are_told_apart() {
    let server = Server::demo();
    let desk = desk(&server);
    let house = &server.house;
    let event = state(&desk, &json!({"kind": "order"}));
    desk.structured("agentkeys.memory.get", json!({"namespace": "travel"}));
    let read = house.events(&["--tool", "agentkeys.memory.get", "--vendor", "desk"]);
    let read = read[0]["event_id"].as_str().unwrap();
    assert_eq!(
        refused(house, "evt_none"),
        "agentkeys.audit.event_not_found"
    );
    assert_eq!(
        refused(house, "' OR 1=1"),
        "agentkeys.audit.event_not_found"
    );
    assert_eq!(refused(house, read), "agentkeys.audit.not_a_statement");

    // Memory alone is erased: statements stay. All is erased: they are gone for good.
    let erase = ["memory", "erase", "O_kevin_001", "--confirm", "O_kevin_001"];
    house.ok(&[&erase[..3], &["travel"], &erase[3..]].concat());
    assert_eq!(
        house.ok(&["audit", "statement", &event])["statement"]["kind"],
        "order"
    );
    house.ok(&erase);
    assert_eq!(refused(house, &event), "agentkeys.audit.statement_erased");
    // What is stated after that has a salt of its own.
    let later = state(&desk, &json!({"kind": "later"}));
    assert_eq!(
        house.ok(&["audit", "statement", &later])["statement"]["kind"],
        "later"
    );
    assert_eq!(refused(house, &event), "agentkeys.audit.statement_erased");

    let rows = house.events(&["--tool", "audit.statement"]);
    let reasons: Vec<_> = rows.iter().map(|r| r["reason"].as_str().unwrap()).collect();
    let (unknown, erased) = ("event_not_found", "statement_erased");
    assert_eq!(
        reasons,
        [
            unknown,
            unknown,
            "not_a_statement",
            "read",
            erased,
            "read",
            erased
        ]
    );
    assert_eq!(rows[4]["actor_omni"], house.actor());
}

#[test]
fn a_statement_in_anothers_place_or_changed_reads_as_damage() {
    let server = Server::demo();
    let desk = desk(&server);
    let house = &server.house;
    let mine = state(&desk, &json!({"kind": "mine"}));
    let theirs = state(&desk, &json!({"kind": "theirs"}));
    let db = rusqlite::Connection::open(house.dir().join("ledger.sqlite")).unwrap();
    let swap = "UPDATE statement SET sealed = (SELECT sealed FROM statement WHERE event_id = ?2) \
                WHERE event_id = ?1";
    assert_eq!(db.execute(swap, [&mine, &theirs]).unwrap(), 1);
    assert_eq!(refused(house, &mine), "agentkeys.audit.integrity_error");
    let cut = "UPDATE statement SET sealed = substr(sealed, 1, 20) WHERE event_id = ?1";
    assert_eq!(db.execute(cut, [&theirs]).unwrap(), 1);
    assert_eq!(refused(house, &theirs), "agentkeys.audit.integrity_error");
}
