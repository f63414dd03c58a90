#![allow(clippy::unwrap_used)]
use super::answer::read;
use super::*;

/// What Ark's own SDK put on the wire.
const CAPTURED: &str = include_str!("../../../fixtures/ark-wire-example.json");

fn captured(index: usize) -> Value {
    let all: Value = serde_json::from_str(CAPTURED).unwrap();
    all["requests"][index]["body"].clone()
}

#[test]
fn a_prompt_is_byte_for_byte_what_the_sdk_sends() {
    let body = captured(0);
    let tools = body["tools"].as_array().unwrap().clone();
    let request = Request::prompt(
        "doubao-seed-2-1-pro-260628",
        "What do you remember about my trip?",
        tools,
    );
    assert_eq!(serde_json::to_string(&request).unwrap(), body.to_string());
    // The Content-Length of the capture.
    assert_eq!(serde_json::to_vec(&request).unwrap().len(), 819);
    assert!(!format!("{request:?}").contains("vendor-token-xyz"));
}

#[test]
fn an_approval_is_byte_for_byte_what_the_sdk_sends() {
    let body = captured(3);
    let tools = body["tools"].as_array().unwrap().clone();
    let request = Request::approval("m", "resp_3", ["mcpr_1"], true, tools);
    assert_eq!(serde_json::to_string(&request).unwrap(), body.to_string());
}

#[test]
fn an_answer_that_repeats_the_key_is_told_without_it() {
    let client = |url| ArkClient::new(url, Secret::new("sk-\"of\\tests".to_owned()));
    let ark = client("https://ark.invalid").unwrap();
    let said = json!({"error": {"message": "no: Bearer sk-\"of\\tests!", "sk-\"of\\tests": 1}});
    for raw in [said.clone(), json!("<p>no: Bearer sk-\"of\\tests!")] {
        let error = refusal(401, &ark.veiled(raw)).to_string();
        assert!(error.contains("no: Bearer •••!"), "{error}");
    }
    assert!(!ark.veiled(said).to_string().contains("of"));
    let kept = json!({"object": "response"});
    assert_eq!(ark.veiled(kept.clone()), kept);
    assert!(client("http://192.0.2.1/api/v3").is_err(), "in the clear");
    assert!(client("http://127.0.0.1:1/api/v3").is_ok());
}

#[test]
fn items_are_read_by_type_and_absent_fields_are_tolerated() {
    let raw = json!({"object":"response","id":"resp_1","output":[
        {"type":"mcp_list_tools","server_label":"a","tools":[{"name":"x"}]},
        {"type":"mcp_list_tools","error":{"code":401}},
        {"type":"mcp_approval_request","id":"mcpr_1","name":"x"},
        {"type":"mcp_call","name":"x","arguments":"{}","output":"火锅 🍲\n"},
        {"type":"message","content":[{"type":"output_text","text":"a"},{"type":"output_text","text":"b"}]},
        {"type":"reasoning","summary":[]},
        {}
    ]});
    let got = read(raw, false);
    assert_eq!(got.via(), "ark");
    assert!(
        matches!(&got.output[0], Item::ListTools { tools, error: None, .. } if tools[0].name == "x")
    );
    assert!(
        matches!(&got.output[1], Item::ListTools { error: Some(e), .. } if e == r#"{"code":401}"#)
    );
    assert!(
        matches!(&got.output[2], Item::ApprovalRequest { id, arguments, .. } if id == "mcpr_1" && arguments.is_empty())
    );
    assert!(
        matches!(&got.output[3], Item::Call { output: Some(o), error: None, .. } if o == "火锅 🍲\n")
    );
    assert_eq!(
        got.output[4],
        Item::Message {
            text: "ab".to_owned()
        }
    );
    assert_eq!(
        got.output[5],
        Item::Other {
            kind: "reasoning".to_owned()
        }
    );
    assert_eq!(
        got.output[6],
        Item::Other {
            kind: String::new()
        }
    );
}
