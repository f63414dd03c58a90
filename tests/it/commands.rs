//! The commands as scripts use them: their JSON, their exit codes, their help.

use super::support::{House, json_of, run_in, text};
use serde_json::json;

#[test]
fn init_says_what_it_made_and_refuses_to_do_it_twice() {
    let house = House::demo();
    let made = &house.init;
    assert_eq!(made["actors"][0]["alias"], "O_kevin_001");
    let vendors: Vec<_> = made["vendors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|v| (v["vendor"].clone(), v["rail"].clone()))
        .collect();
    assert_eq!(
        vendors,
        [
            (json!("magiclick"), json!("xiaozhi")),
            (json!("folotoy"), json!("volcano-ark"))
        ]
    );
    assert!(
        made["vendors"][0]["token"]
            .as_str()
            .unwrap()
            .starts_with("akv_")
    );
    let again = house.run(&["init"]);
    assert_eq!(again.status.code(), Some(3));
    let empty = House::init(&[]);
    assert_eq!(
        (&empty.init["actors"], &empty.init["vendors"]),
        (&json!([]), &json!([]))
    );
}

#[test]
fn a_folder_made_beforehand_is_shut_while_it_is_empty() {
    use std::os::unix::fs::PermissionsExt as _;
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("made");
    std::fs::create_dir(&dir).unwrap();
    std::fs::set_permissions(&dir, std::fs::Permissions::from_mode(0o755)).unwrap();
    assert!(run_in(&dir, &["init"]).status.success());
    let mode = std::fs::metadata(&dir).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o700);
    std::fs::set_permissions(&dir, std::fs::Permissions::from_mode(0o755)).unwrap();
    let open = run_in(&dir, &["actor", "list"]);
    assert_eq!(open.status.code(), Some(3));
    assert!(text(&open.stderr).contains("agentkeys.folder.exposed"));
}

#[test]
fn secrets_are_for_their_owner_only() {
    use std::os::unix::fs::PermissionsExt as _;
    let house = House::demo();
    let mode = |path: &str| {
        std::fs::metadata(house.dir().join(path))
            .unwrap()
            .permissions()
            .mode()
            & 0o777
    };
    assert_eq!(
        (mode("keys"), mode("keys/root.key"), mode("ledger.sqlite")),
        (0o700, 0o600, 0o600)
    );
    let token = house.token("magiclick");
    let secret = token.split('_').nth(2).unwrap();
    let ledger = std::fs::read(house.dir().join("ledger.sqlite")).unwrap();
    assert!(!ledger.windows(secret.len()).any(|w| w == secret.as_bytes()));
}

#[test]
fn an_actor_is_derived_from_the_operator_and_verifies() {
    let house = House::init(&[]);
    let operator = house.ok(&["actor", "show", "operator", "--verify"]);
    assert_eq!(operator["verified"], true);
    let made = house.ok(&[
        "actor",
        "create",
        "O_alice_001",
        "--time-zone",
        "Asia/Shanghai",
    ]);
    assert_eq!(made["parent_omni"], operator["actor_omni"]);
    assert_eq!(made["derivation_path"], "//o-alice-001/0");
    let shown = house.ok(&["actor", "show", "O_alice_001", "--verify"]);
    assert_eq!(
        (&shown["verified"], &shown["actor_omni"]),
        (&json!(true), &made["actor_omni"])
    );
    let zero = house.ok(&[
        "actor",
        "create",
        "O_zero",
        "--wallet",
        "0x0000000000000000000000000000000000000000",
    ]);
    assert_eq!(
        zero["actor_omni"],
        "0xc3f7249ad2f03d898a95fdbe95113041282dd1f5a115d14a65d7e7ede4afee5f"
    );
    let twice = house.run(&["actor", "create", "O_alice_001"]);
    assert_eq!(twice.status.code(), Some(1));
    assert!(text(&twice.stderr).contains("agentkeys.actor.exists"));
}

#[test]
fn an_actor_is_renamed_and_moved_and_each_change_is_on_record() {
    let house = House::demo();
    let update = |more: &[&str]| {
        let args = [&["actor", "update", "O_kevin_001"], more].concat();
        house.run(&args)
    };
    let renamed = json_of(&update(&["--display-name", "凯文 Lin"]));
    assert_eq!(
        (&renamed["display_name"], &renamed["time_zone"]),
        (&json!("凯文 Lin"), &json!("Asia/Shanghai"))
    );
    let moved = json_of(&update(&["--time-zone", "america/new_york"]));
    assert_eq!(moved["time_zone"], "Asia/Shanghai");
    assert_eq!(moved["next_time_zone"]["time_zone"], "America/New_York");
    assert_eq!(moved["display_name"], "凯文 Lin");
    let shown = house.ok(&["actor", "show", "O_kevin_001"]);
    assert_eq!(shown["next_time_zone"], moved["next_time_zone"]);

    for (flags, code, exit) in [
        (["--time-zone", "Mars/Olympus"], "time_zone_unknown", 2),
        (["--time-zone", ""], "time_zone_unknown", 2),
        (["--display-name", ""], "display_name_invalid", 2),
        (["--display-name", "a\u{202e}b"], "display_name_invalid", 2),
        (
            ["--display-name", &"x".repeat(81)],
            "display_name_invalid",
            2,
        ),
    ] {
        let refused = update(&flags);
        assert_eq!(refused.status.code(), Some(exit), "{flags:?}");
        let error = text(&refused.stderr);
        assert!(
            error.contains(&format!("agentkeys.actor.{code}")),
            "{error}"
        );
    }
    let nobody = house.run(&["actor", "update", "O_nobody", "--time-zone", "UTC"]);
    assert_eq!(nobody.status.code(), Some(1));
    assert!(text(&nobody.stderr).contains("agentkeys.actor.not_found"));
    assert_eq!(update(&[]).status.code(), Some(2));
    let still = house.ok(&["actor", "show", "O_kevin_001"]);
    assert_eq!(still, shown);

    let rows = house.events(&["--tool", "actor.update"]);
    let said: Vec<_> = rows
        .iter()
        .map(|r| {
            (
                r["op_kind"].as_u64().unwrap(),
                r["reason"].as_str().unwrap(),
            )
        })
        .collect();
    let unknown = (108, "time_zone_unknown");
    let invalid = (108, "display_name_invalid");
    let expected = [
        (122, "updated"),
        (122, "updated"),
        unknown,
        unknown,
        invalid,
        invalid,
        invalid,
        (108, "not_found"),
    ];
    assert_eq!(said, expected);
    assert_eq!(rows[0]["by"], "operator");
    assert_eq!(rows[0]["actor_omni"], house.actor());
    assert_eq!(rows[1]["detail"]["time_zone"], "America/New_York");
    // A name is a person's; the log forgets nothing.
    assert!(!rows[0].to_string().contains("Lin"));
}

#[test]
fn a_token_without_a_vendor_takes_the_only_one_or_asks() {
    let house = House::init(&[]);
    house.ok(&["vendor", "create", "one", "--rail", "other"]);
    assert_eq!(house.ok(&["vendor", "token", "create"])["vendor"], "one");
    house.ok(&["vendor", "create", "two", "--rail", "other"]);
    let asked = house.run(&["vendor", "token", "create"]);
    assert_eq!(asked.status.code(), Some(2));
    assert!(text(&asked.stderr).contains("one, two"));
}

#[test]
fn policies_are_checked_tested_and_put_in_force() {
    let house = House::demo();
    let params = r#"{"amount_rmb": 600}"#;
    let denied = house.ok(&[
        "policy",
        "check",
        "O_kevin_001",
        "payment.spend",
        "--vendor",
        "magiclick",
        "--params",
        params,
    ]);
    assert_eq!(denied["reason"], "daily_spend_cap_exceeded");
    assert_eq!(
        house.ok(&["budget", "show", "O_kevin_001"])["reservations"],
        json!([])
    );
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/templates/policy");
    let tested = house.run(&["policy", "test", dir]);
    assert!(tested.status.success(), "{}", text(&tested.stderr));
    let applied = house.ok(&["policy", "apply", dir]);
    assert_eq!(applied["policy_version"], 2);
}

#[test]
fn a_decision_is_explained_with_the_inputs_it_had() {
    let server = super::support::Server::demo();
    let said = server.host("magiclick").text(
        "agentkeys.permission.check",
        json!({"scope": "payment.spend", "params": {"amount_rmb": 600}}),
    );
    assert!(said.starts_with("deny"), "{said}");
    let row = server
        .house
        .events(&["--tool", "agentkeys.permission.check"])
        .pop()
        .unwrap();
    let decision = row["decision_id"].as_str().unwrap();
    let why = server.house.ok(&["policy", "explain", decision]);
    assert_eq!(why["verdict"], "deny");
    assert_eq!(why["inputs"]["amount"], json!({"minor": 60_000}));
    assert_eq!(why["inputs"]["cap_minor"], 50_000);
    assert_eq!(why["rules"][0]["effect"], "forbid");
    let none = server.house.run(&["policy", "explain", "dec_none"]);
    assert_eq!(none.status.code(), Some(1));
}

#[test]
fn ungranting_a_part_of_a_wider_grant_leaves_an_exclusion() {
    let house = House::demo();
    house.ok(&[
        "actor",
        "grant",
        "O_kevin_001",
        "--vendor",
        "magiclick",
        "--scope",
        "payment.*",
    ]);
    house.ok(&[
        "actor",
        "ungrant",
        "O_kevin_001",
        "--vendor",
        "magiclick",
        "--scope",
        "payment.spend",
    ]);
    let shown = house.ok(&["actor", "show", "O_kevin_001"]);
    let binding = &shown["bindings"]
        .as_array()
        .unwrap()
        .iter()
        .find(|b| b["vendor"] == "magiclick")
        .unwrap()
        .clone();
    assert_eq!(
        (&binding["scopes"], &binding["exclusions"]),
        (&json!(["payment.*"]), &json!(["payment.spend"]))
    );
}

#[test]
fn reading_memory_or_the_log_is_on_record() {
    let house = House::demo();
    let read = house.ok(&["memory", "get", "O_kevin_001", "family"]);
    assert_eq!(
        read["content"],
        "Wife's bday Aug 3 (gift idea: hiking boots)."
    );
    let rows = house.events(&["--tool", "memory.get"]);
    assert_eq!(
        (rows.len(), &rows[0]["by"], &rows[0]["reason"]),
        (1, &json!("operator"), &json!("operator"))
    );
    let reads = house.events(&["--tool", "audit.read"]);
    assert!(!reads.is_empty());
}

#[test]
fn wrong_usage_exits_two_and_an_absent_folder_three() {
    let temp = tempfile::tempdir().unwrap();
    assert_eq!(
        run_in(temp.path(), &["vendor", "crate"]).status.code(),
        Some(2)
    );
    let absent = run_in(&temp.path().join("none"), &["actor", "list"]);
    assert_eq!(absent.status.code(), Some(3));
    let error: serde_json::Value = serde_json::from_slice(&absent.stderr).unwrap();
    assert_eq!(error["error"]["code"], "agentkeys.folder.missing");
}
