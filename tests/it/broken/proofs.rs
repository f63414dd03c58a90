//! Suites `cross-rail` and `three-acts`: a lie for each check. What rests on a row that is missing
//! fails with it.

use super::front::{Asked, Lie, Said, lie};
use super::{Ids, Stage, all_seen, calls, one, rows, swap};
use agentkeys::acceptance::{cross_rail, three_acts};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicUsize, Ordering};

const WHOAMI: &str = "agentkeys.identity.whoami";
const GET: &str = "agentkeys.memory.get";
const PUT: &str = "agentkeys.memory.put";
const CHECK: &str = "agentkeys.permission.check";

/// Says something else in answer to the calls of a tool that have this in them.
fn instead(tool: &'static str, with: &'static str, from: &'static str, to: &'static str) -> Lie {
    lie(move |asked, said| {
        if calls(asked, tool) && asked.body.contains(with) {
            swap(said, from, to);
        }
    })
}

/// The same, about the second such call only.
fn second(tool: &'static str, with: &'static str, from: &'static str, to: &'static str) -> Lie {
    let count = AtomicUsize::new(0);
    lie(move |asked, said| {
        let own = calls(asked, tool) && asked.body.contains(with);
        if own && count.fetch_add(1, Ordering::Relaxed) == 1 {
            swap(said, from, to);
        }
    })
}

/// Changes the rows of a rail and a tool, or takes them away.
fn row(
    rail: &'static str,
    tool: &'static str,
    change: impl Fn(&mut Value) -> bool + Send + Sync + 'static,
) -> Lie {
    lie(move |asked, said| {
        rows(asked, said, |row| {
            row["rail"] != rail || row["tool"] != tool || change(row)
        });
    })
}

fn set(key: &'static str, to: Value) -> impl Fn(&mut Value) -> bool + Send + Sync {
    move |row| {
        row[key] = to.clone();
        true
    }
}

fn failing(asked: &Asked, said: &mut Said, tool: &str, with: &str) {
    if calls(asked, tool) && asked.body.contains(with) {
        said.edit(|json| json["result"]["isError"] = json!(true));
    }
}

fn cross_rail(stage: &Stage) -> Vec<(Vec<&'static str>, Lie)> {
    let kit = stage.kit();
    let omni = kit["actors"]["main"]["actor_omni"]
        .as_str()
        .unwrap()
        .to_owned();
    let travel = kit["memories"]["travel"].as_str().unwrap().to_owned();
    let other = json!(format!("0x{}", "ab".repeat(32)));
    let (first, ark) = ("xiaozhi", "volcano-ark");
    vec![
        (
            vec!["rail1.whoami_is_the_actor"],
            lie(move |asked, said| {
                if calls(asked, WHOAMI) {
                    swap(said, &omni, "0xabab");
                }
            }),
        ),
        (
            vec!["rail1.put_accepted"],
            lie(|asked, said| failing(asked, said, PUT, "跨轨")),
        ),
        (
            vec!["rail2.tools_listed"],
            lie(|asked, said| {
                if asked.json()["method"] == "tools/list"
                    && said.body.contains("agentkeys_memory_get")
                {
                    said.edit(|json| drop(json["result"]["tools"].as_array_mut().map(Vec::pop)));
                }
            }),
        ),
        (
            vec!["rail2.bytes_equal"],
            lie(|asked, said| {
                if asked.body.contains("tools/call") && asked.body.contains("agentkeys_memory_get")
                {
                    swap(said, "🐼", "🐻");
                }
            }),
        ),
        (
            vec!["audit.rail1_whoami_row"],
            row(first, WHOAMI, |_| false),
        ),
        (
            vec![
                "audit.rail1_put_row",
                "audit.same_content_tag",
                "audit.same_version",
            ],
            row(first, PUT, |_| false),
        ),
        (
            vec![
                "audit.rail2_get_row",
                "audit.same_content_tag",
                "audit.same_version",
            ],
            row(ark, GET, |_| false),
        ),
        (
            vec!["audit.same_actor_omni"],
            row(ark, GET, set("actor_omni", other)),
        ),
        (
            vec!["audit.rails_and_vendors"],
            row(first, WHOAMI, set("vendor", json!("who"))),
        ),
        (
            vec!["audit.same_content_tag"],
            row(ark, GET, set("content_tag", json!("ab"))),
        ),
        (
            vec!["audit.same_version"],
            row(ark, GET, set("version", json!(0))),
        ),
        (
            vec!["restore.put_back"],
            lie(move |asked, said| failing(asked, said, PUT, &travel)),
        ),
    ]
}

#[test]
fn each_check_of_cross_rail_is_seen_to_fail() {
    let stage = Stage::new();
    let (clean, failed) = stage.run(cross_rail::SUITE, &[]);
    assert!(failed.is_empty(), "{failed:?}");
    let mut seen = Ids::new();
    for (ids, told) in cross_rail(&stage) {
        let ids = ids.into_iter().map(str::to_owned).collect();
        stage.fails(cross_rail::SUITE, told, &ids, &mut seen);
    }
    // Who the actor is to be, a kit says.
    let path = format!("{}/kit.json", stage.kit);
    let true_kit = std::fs::read_to_string(&path).unwrap();
    let mut kit = stage.kit();
    kit["actors"]["main"]["derivation_path"] = json!("//somebody/else");
    std::fs::write(&path, kit.to_string()).unwrap();
    let (_, failed) = stage.run(cross_rail::SUITE, &[]);
    std::fs::write(&path, true_kit).unwrap();
    assert_eq!(failed, one("identity.derivation"));
    seen.extend(failed);
    all_seen(&clean, &seen);
    // What cannot be done at all ends the run, and is no check.
    stage.front.tells(lie(|asked, said| {
        if asked.path.starts_with("/v1/audit/events") {
            said.status = 500;
        }
    }));
    let output = stage.accept(cross_rail::SUITE, &[]);
    assert_eq!(output.status.code(), Some(6));
    assert!(output.stdout.is_empty());
}

fn acts() -> Vec<(&'static str, Lie)> {
    let without = |namespace: &'static str| {
        lie(move |asked, said| rows(asked, said, |row| row["namespace"] != namespace))
    };
    vec![
        (
            "act1.travel_remembered",
            instead(GET, "travel", "Apr 12", "Apr 13"),
        ),
        (
            "act1.family_withheld",
            instead(GET, "family", "is not allowed here", "is there"),
        ),
        (
            "act1.personal_withheld",
            instead(GET, "personal", "is not allowed here", "is there"),
        ),
        ("act1.one_row_each", without("personal")),
        (
            "act2.600_denied",
            instead(CHECK, "600", "cap=500", "cap=599"),
        ),
        (
            "act2.200_accepted",
            instead(CHECK, "200", "within_daily_cap", "because"),
        ),
        (
            "act2.400_then_400_denied",
            instead(
                CHECK,
                "400",
                "deny: daily_spend_cap_exceeded",
                "accept: within_daily_cap",
            ),
        ),
        (
            "act2.unknown_scope",
            instead(CHECK, "nuke", "scope_not_in_policy_table", "because"),
        ),
        (
            "act2.one_row_each",
            lie(|asked, said| {
                rows(asked, said, |row| {
                    row["reason"] != "scope_not_in_policy_table"
                });
            }),
        ),
        (
            "act3.cap_minted",
            lie(|asked, said| {
                if asked.path == "/v1/cap/introspect" {
                    swap(said, "\"active\":true", "\"active\":false");
                }
            }),
        ),
        (
            "act3.revoked_by_second_process",
            lie(|asked, said| {
                if asked.path.ends_with("/ungrant") {
                    said.edit(|json| json["scopes"] = json!(["payment.spend"]));
                }
            }),
        ),
        (
            "act3.next_check_denied",
            instead(CHECK, "\"amount_rmb\":1}", "scope_not_granted", "because"),
        ),
        (
            "act3.cap_dead",
            lie(|asked, said| {
                if asked.path == "/v1/cap/redeem" {
                    said.status = 200;
                }
            }),
        ),
        (
            "act3.row_in_feed",
            lie(|asked, said| {
                if asked.path.starts_with("/v1/audit/stream") {
                    swap(said, "actor.ungrant", "actor.granted");
                }
            }),
        ),
        (
            "restore.grants",
            second(WHOAMI, "", "payment.spend", "nothing"),
        ),
        ("restore.budget", unreleased()),
        ("restore.memory", second(GET, "travel", "Apr 12", "Apr 13")),
    ]
}

/// Money that is not given back, once the acts are over.
fn unreleased() -> Lie {
    let over = AtomicUsize::new(0);
    lie(move |asked, said| {
        if asked.path.ends_with("/grant") {
            over.store(1, Ordering::Relaxed);
        }
        if asked.path.ends_with("/release") && over.load(Ordering::Relaxed) == 1 {
            swap(said, "\"released\"", "\"reserved\"");
        }
    })
}

#[test]
fn each_check_of_three_acts_is_seen_to_fail() {
    let stage = Stage::new();
    let (clean, failed) = stage.run(three_acts::SUITE, &[]);
    assert!(failed.is_empty(), "{failed:?}");
    let mut seen = Ids::new();
    for (id, told) in acts() {
        stage.fails(three_acts::SUITE, told, &one(id), &mut seen);
    }
    all_seen(&clean, &seen);
}

#[test]
fn all_of_it_tells_which_suite() {
    let stage = Stage::new();
    stage.front.tells(instead(
        CHECK,
        "nuke",
        "scope_not_in_policy_table",
        "because",
    ));
    let output = stage.accept("all", &["--allow-skip", "tls/https"]);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["passed"], false);
    let failed = |suite: &str| {
        let suites = report["suites"].as_array().unwrap();
        let found = suites.iter().find(|s| s["suite"] == suite).unwrap();
        found["counts"]["failed"].as_u64().unwrap()
    };
    assert_eq!((failed("handshake"), failed("cross-rail")), (0, 0));
    assert_eq!(failed("three-acts"), 1);
    // The answers of the plain vendor say the same, and the suite that is about answers sees it.
    assert_eq!(failed("tools"), 1);
    let ids: Vec<_> = report["checks"].as_array().unwrap().iter().collect();
    let failed = ids.iter().filter(|c| c["status"] == "failed");
    let failed: Vec<_> = failed.map(|c| c["id"].as_str().unwrap()).collect();
    assert_eq!(
        failed,
        [
            "tools/permission.check.unknown_scope/plain",
            "three-acts/act2.unknown_scope"
        ]
    );
    assert_eq!(output.status.code(), Some(6));
}
