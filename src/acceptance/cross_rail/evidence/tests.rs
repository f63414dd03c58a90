#![allow(clippy::unwrap_used)]
use super::*;
use serde_json::json;

const LINE: &str = "跨轨 🐼 0123";

fn row(seq: u64, rail: &str, tool: &str, more: &Value) -> Event {
    let vendor = if rail == "xiaozhi" {
        "magiclick"
    } else {
        "folotoy"
    };
    let mut row = json!({"seq": seq, "event_id": format!("evt_{seq}"), "rail": rail, "vendor": vendor,
        "tool": tool, "verdict": "accept", "actor_omni": omni()});
    for (key, value) in more.as_object().unwrap() {
        row[key] = value.clone();
    }
    Event(row)
}

fn parent() -> String {
    format!(
        "0x{}",
        hex::encode(sha256(&[b"agentkeys", b"evm", b"0xab"]))
    )
}

fn omni() -> String {
    let parent = sha256(&[b"agentkeys", b"evm", b"0xab"]);
    format!(
        "0x{}",
        hex::encode(sha256(&[b"agentkeys-hdkd-v1", &parent, b"//o-kevin-001/0"]))
    )
}

fn good() -> Evidence {
    let said = |tool: &str, text: String| json!({"event": "call", "ok": true, "tool": tool, "is_error": false, "text": text});
    let output =
        json!({"ok": true, "namespace": "travel", "content": LINE, "version": 4}).to_string();
    let memory = json!({"content_tag": "ab12", "version": 4});
    Evidence {
        identity: Identity {
            actor_omni: omni(),
            alias: "O_kevin_001".to_owned(),
            parent_omni: Some(parent()),
            derivation_path: Some("//o-kevin-001/0".to_owned()),
            wallet: Some("0xAb".to_owned()),
        },
        vendors: ["magiclick".to_owned(), "folotoy".to_owned()],
        line: LINE.to_owned(),
        first: vec![
            said(
                "agentkeys_identity_whoami",
                format!("You act for {}", omni()),
            ),
            said("agentkeys_memory_put", "Memory travel v4 saved".to_owned()),
        ],
        second: vec![json!({"via": "stand-in, scripted model", "output": [
            {"type": "mcp_list_tools", "tools": vec![json!({}); 10]},
            {"type": "mcp_call", "output": output},
        ]})],
        rows: vec![
            row(1, "xiaozhi", WHOAMI, &json!({})),
            row(
                2,
                "xiaozhi",
                GET,
                &json!({"content_tag": "ff", "version": 3}),
            ),
            row(3, "xiaozhi", PUT, &memory),
            row(4, "volcano-ark", GET, &memory),
        ],
        restored: vec![said(
            "agentkeys_memory_put",
            "Memory travel v5 saved".to_owned(),
        )],
        had: true,
        scripted: true,
    }
}

#[track_caller]
fn fails(evidence: &Evidence, ids: &[&str]) {
    let failed: Vec<_> = evidence
        .judge()
        .into_iter()
        .filter(|a| !a.holds)
        .map(|a| a.id)
        .collect();
    assert_eq!(failed, ids);
}

fn output(evidence: &mut Evidence, text: &str) {
    evidence.second[0]["output"][1]["output"] = text.into();
}

#[test]
fn good_evidence_convinces() {
    fails(&good(), &[]);
    let mut plain = good();
    output(&mut plain, LINE);
    fails(&plain, &[]);
}

#[test]
fn one_changed_byte_is_named() {
    let mut bad = good();
    output(
        &mut bad,
        &json!({"content": LINE.replace('3', "4")}).to_string(),
    );
    fails(&bad, &["rail2.bytes_equal"]);
    output(
        &mut bad,
        &json!({"content": format!("{LINE}\n")}).to_string(),
    );
    fails(&bad, &["rail2.bytes_equal"]);
}

#[test]
fn a_canned_answer_is_named() {
    let mut bad = good();
    output(
        &mut bad,
        &json!({"content": "Chengdu trip — Apr 12 to 16, hotpot at Yulin."}).to_string(),
    );
    fails(&bad, &["rail2.bytes_equal"]);
    // One that echoes the right line but never asked us leaves no row.
    let mut echo = good();
    echo.rows.pop();
    fails(
        &echo,
        &[
            "audit.rail2_get_row",
            "audit.same_content_tag",
            "audit.same_version",
        ],
    );
}

#[test]
fn a_missing_or_doubled_row_is_named() {
    let mut bad = good();
    bad.rows.remove(0);
    fails(&bad, &["audit.rail1_whoami_row"]);
    let mut twice = good();
    twice.rows.push(twice.rows[3].clone());
    fails(
        &twice,
        &[
            "audit.rail2_get_row",
            "audit.same_content_tag",
            "audit.same_version",
        ],
    );
}

#[test]
fn another_actor_in_a_row_is_named() {
    let mut bad = good();
    bad.rows[3].0["actor_omni"] = format!("0x{}", "1".repeat(64)).into();
    fails(&bad, &["audit.same_actor_omni"]);
    bad.rows[3].0["actor_omni"] = Value::Null;
    fails(&bad, &["audit.same_actor_omni"]);
}

#[test]
fn other_contents_versions_and_vendors_are_named() {
    let mut bad = good();
    bad.rows[3].0["content_tag"] = "cd".into();
    fails(&bad, &["audit.same_content_tag"]);
    bad.rows[3].0["content_tag"] = Value::Null;
    fails(&bad, &["audit.same_content_tag"]);
    let mut version = good();
    version.rows[3].0["version"] = 3.into();
    fails(&version, &["audit.same_version"]);
    let mut vendor = good();
    vendor.rows[3].0["vendor"] = "magiclick".into();
    fails(&vendor, &["audit.rails_and_vendors"]);
    let mut denied = good();
    denied.rows[3].0["verdict"] = "deny".into();
    fails(
        &denied,
        &[
            "audit.rail2_get_row",
            "audit.same_content_tag",
            "audit.same_version",
        ],
    );
}

#[test]
fn an_id_from_nowhere_and_a_lost_memory_are_named() {
    let mut bad = good();
    bad.identity.wallet = Some("0xcd".to_owned());
    fails(&bad, &["identity.derivation"]);
    let mut lost = good();
    lost.restored.clear();
    fails(&lost, &["restore.put_back"]);
    let mut refused = good();
    refused.first[1]["text"] = "deny: namespace_violation".into();
    fails(&refused, &["rail1.put_accepted"]);
}

#[test]
fn what_is_beside_an_answer_is_named() {
    let mut bad = good();
    bad.first[0]["result"] = json!({"content": [], "_meta": {"family": "x"}});
    bad.first[1]["result"] = json!({"content": [{"type": "text", "text": "", "_meta": {}}]});
    fails(&bad, &["rail1.whoami_is_the_actor", "rail1.put_accepted"]);
}

#[test]
fn who_answered_is_cleaned() {
    let lines = vec![json!({"via": format!("ark\u{1b}[2J{}", "x".repeat(200))})];
    let via = tail(&lines, "via").unwrap();
    assert!(
        !via.contains('\u{1b}') && via.chars().count() <= 81,
        "{via}"
    );
}

#[test]
fn a_model_of_its_own_mind_may_look_around_and_must_find_the_line() {
    let mut live = good();
    let read = live.second[0]["output"][1]["output"].clone();
    let call =
        |name: &str, output: &Value| json!({"type": "mcp_call", "name": name, "output": output});
    live.second[0]["output"] = json!([
        live.second[0]["output"][0],
        call("agentkeys_identity_whoami", &json!("{}")),
        call("agentkeys_memory_get", &json!("{\"content\": \"\"}")),
        call("agentkeys_memory_get", &read),
        {"type": "message", "content": [{"text": "whatever"}]},
    ]);
    let mut denied = row(5, "volcano-ark", GET, &json!({"namespace": "family"}));
    denied.0["verdict"] = json!("deny");
    live.rows[3].0["namespace"] = json!("travel");
    live.rows.insert(3, denied);
    // The scripted one makes one call.
    assert!(live.judge().iter().any(|a| !a.holds));
    live.scripted = false;
    fails(&live, &[]);
    live.second[0]["output"][3]["name"] = json!("another_tool");
    fails(&live, &["rail2.bytes_equal"]);
}
