//! Ark's own SDKs against the stand-in, which calls the real server as a stranger: what a vendor's
//! program sees of approvals, streams, conversations, choices and errors, and what is on record here
//! afterwards.

use super::ark::{
    Ark, KEY, NEWEST, SDKS, about, called, create, item, on_record, output, reply, streamed, tools,
    with, words,
};
use super::sdk::{CALLS, PREVIEWS, TRIP, preview, written};
use super::support::Server;
use serde_json::{Value, json};
use std::io::Write as _;

#[test]
#[ignore = "needs tests/sdk/install"]
fn arks_own_sdk_reaches_every_tool() {
    let server = Server::demo();
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(written().as_bytes()).unwrap();
    let path = file.path().to_str().unwrap();
    server
        .house
        .ok(&["memory", "put", "O_kevin_001", "travel", "--file", path]);

    // One row for each call whose arguments are known; the vendor differs, so answers do too.
    let plain: Vec<_> = CALLS
        .iter()
        .filter(|c| !["take_back", "wrong_tool"].contains(&c.name.as_str()))
        .collect();
    let words: Vec<String> = plain.iter().map(|c| format!("#{}#", c.name)).collect();
    let rows: Vec<Value> = plain
        .iter()
        .zip(&words)
        .map(|(c, word)| json!({"match": [word], "tool": c.tool, "arguments": c.arguments}))
        .collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let out = Ark::start(Some(&json!(rows))).ask(&server, &words);
    let item = |name: &str| called(&out[format!("#{name}#")]);
    for call in &plain {
        assert_eq!(item(&call.name)["name"], json!(call.tool.replace('.', "_")));
    }

    let who = output(item("whoami"));
    assert_eq!(
        (&who["omni"], &who["vendor"]),
        (&json!(server.house.actor()), &json!("folotoy"))
    );
    assert_eq!(
        (&who["rail"], &who["scopes"]),
        (&json!("volcano-ark"), &json!([]))
    );
    assert_eq!(output(item("read_back"))["content"], json!(written()));
    assert_eq!(output(item("read_older"))["content"], TRIP);
    assert_eq!(
        output(item("read_not_granted")),
        json!({"ok": false, "namespace": "family", "namespace_violation": true, "content": ""})
    );
    assert_eq!(
        output(item("write")),
        json!({"ok": false, "namespace": "travel", "namespace_violation": true, "reason": "namespace_not_allowed"})
    );
    let spend = output(item("spend"));
    assert_eq!(
        (&spend["verdict"], &spend["reason"]),
        (&json!("deny"), &json!("scope_not_granted"))
    );
    let cap = output(item("mint"));
    assert_eq!(
        (&cap["ok"], &cap["op"]),
        (&json!(true), &json!("memory_get"))
    );
    let revoke = json!({"cap_id": cap["cap_id"]});
    let gone = Ark::call(&server, "agentkeys.cap.revoke", &revoke);
    assert_eq!(output(&gone)["revocation"], "online_immediate");
    assert_eq!(
        output(item("take_back_nothing"))["error"],
        "agentkeys.cap.not_found"
    );
    let stated = output(item("state"));
    for name in PREVIEWS {
        let said = item(name);
        assert_eq!(said["output"], Value::Null);
        let error: Value = serde_json::from_str(said["error"].as_str().unwrap()).unwrap();
        assert_eq!(error, preview());
    }

    let rows = server.house.events(&["--vendor", "folotoy"]);
    let rows: Vec<_> = rows.iter().filter(|r| r["door"] == "http").collect();
    assert_eq!(rows.len(), plain.len() + 1);
    for row in &rows {
        assert_eq!(row["protocol"], "2025-11-25", "{row}");
        assert_eq!(
            (&row["host_profile"], &row["rail"]),
            (&json!("volcano-ark"), &json!("volcano-ark"))
        );
    }
    let stated_row = rows
        .iter()
        .find(|r| r["event_id"] == stated["event_id"])
        .unwrap();
    assert_eq!(stated_row["tool"], "agentkeys.audit.append");
}

#[test]
#[ignore = "needs tests/sdk/install"]
fn arks_own_sdk_plays_the_scenes_in_both_languages() {
    let server = Server::demo();
    let prompts = [
        "Where am I going this weekend?",
        "周末我要去哪儿？",
        "太太的生日是哪天？",
        "点一份火锅，600元",
    ];
    let out = Ark::start(None).ask(&server, &prompts);
    for prompt in &prompts[..2] {
        assert_eq!(output(called(&out[prompt]))["content"], TRIP);
    }
    let family = output(called(&out[prompts[2]]));
    assert_eq!(
        (&family["namespace_violation"], &family["content"]),
        (&json!(true), &json!(""))
    );
    assert_eq!(output(called(&out[prompts[3]]))["verdict"], "deny");
    assert!(!out.to_string().contains("hiking"));
}

/// Ark asks before it calls unless told otherwise, and then nothing has happened here.
#[test]
#[ignore = "needs tests/sdk/install"]
fn nothing_happens_here_before_an_approval_and_once_after_it() {
    let ark = Ark::start(None);
    for sdk in &SDKS {
        let server = Server::demo();
        let always = tools(&server, json!({}));
        let ask = |name: &str| create(name, "周末我要去哪儿？", json!({"tools": always}));
        let out = ark.play(sdk, KEY, &[ask("first"), ask("second")]);
        for name in ["first", "second"] {
            assert_eq!(out[name]["class"], json!([sdk.list, sdk.request]), "{out}");
            assert_eq!(out[name]["mcp_calls"], 0);
            let request = item(&out[name], 1);
            assert_eq!(request["name"], "agentkeys_memory_get");
            assert_eq!(request["arguments"], r#"{"namespace":"travel"}"#);
        }
        assert_eq!(on_record(&server), [""; 0]);

        let out = ark.play(
            sdk,
            KEY,
            &[
                ask("first"),
                ask("second"),
                reply("no", "first", false, &always),
                reply("yes", "second", true, &always),
                // A second branch from the same turn, and a request of another conversation.
                reply("branch", "second", true, &always),
                create(
                    "stray",
                    "",
                    json!({"tools": always, "input": [{
                        "type": "mcp_approval_response", "approve": true, "approval_request_id": "$first?",
                    }]}),
                ),
            ],
        );
        assert_eq!(out["no"]["class"], json!([sdk.list, sdk.message]), "{out}");
        assert!(words(&out["no"]).contains("was not approved (so says the test)"));
        assert_eq!(
            out["yes"]["class"],
            json!([sdk.list, sdk.call, sdk.message])
        );
        assert_eq!(output(item(&out["yes"], 1))["content"], TRIP);
        assert_eq!(out["yes"]["mcp_calls"], 1);
        let first = &out["yes"]["response"]["previous_response_id"];
        assert_eq!(first, &out["second"]["response"]["id"]);
        assert_eq!(out["branch"]["class"], out["yes"]["class"]);
        assert_eq!(out["stray"]["error"]["class"], "ArkBadRequestError");
        assert_eq!(on_record(&server), ["memory.get", "memory.get"]);
    }
}

/// Events of a stream, without `response.`, in the order of what happens.
const BEGUN: &[&str] = &["created", "in_progress"];
const LISTING: &[&str] = &["output_item.added", "mcp_list_tools.in_progress"];
const LISTED: &[&str] = &["mcp_list_tools.completed", "output_item.done"];
const NOT_LISTED: &[&str] = &["mcp_list_tools.failed", "output_item.done"];
const CALLED: &[&str] = &[
    "output_item.added",
    "mcp_call.in_progress",
    "mcp_call_arguments.delta",
    "mcp_call_arguments.done",
    "mcp_call.completed",
    "output_item.done",
];
const ASKED: &[&str] = &[
    "output_item.added",
    "mcp_approval_request",
    "output_item.done",
    "completed",
];
const SAID: &[&str] = &[
    "output_item.added",
    "content_part.added",
    "output_text.delta",
    "output_text.done",
    "content_part.done",
    "output_item.done",
    "completed",
];

/// The events of one step. How many pieces a text comes in says nothing.
fn events(step: &Value) -> Vec<String> {
    let all = step["events"].as_array().unwrap().iter();
    let kinds = all.map(|e| e.as_str().unwrap().replace("response.", ""));
    let mut kinds: Vec<String> = kinds.collect();
    kinds.dedup();
    kinds
}

/// The SDK's class of an event.
fn class<'a>(step: &'a Value, kind: &str) -> &'a Value {
    let mut all = step["events"].as_array().unwrap().iter();
    let at = all.position(|e| e == kind).unwrap();
    &step["event_classes"][at]
}

#[test]
#[ignore = "needs tests/sdk/install"]
fn a_stream_tells_each_step_in_order() {
    let ark = Ark::start(None);
    for sdk in &SDKS {
        let server = Server::demo();
        let never = tools(&server, json!({"require_approval": "never"}));
        let always = tools(&server, json!({}));
        let stranger = tools(
            &server,
            json!({"headers": {"Authorization": "Bearer nobody"}}),
        );
        let ask =
            |name: &str, tools: &Value| streamed(create(name, "my trip?", json!({"tools": tools})));
        let plan = [
            ask("call", &never),
            ask("ask", &always),
            streamed(reply("approved", "ask", true, &always)),
            ask("refused", &stranger),
        ];
        let out = ark.play(sdk, KEY, &plan);
        let called = [BEGUN, LISTING, LISTED, CALLED, SAID].concat();
        assert_eq!(events(&out["call"]), called);
        assert_eq!(events(&out["approved"]), called);
        let asked = [BEGUN, LISTING, LISTED, ASKED].concat();
        assert_eq!(events(&out["ask"]), asked);
        let refused = [BEGUN, LISTING, NOT_LISTED, SAID].concat();
        assert_eq!(events(&out["refused"]), refused);

        let call = &out["call"];
        let (arguments, text) = (
            "response.mcp_call_arguments.delta",
            "response.output_text.delta",
        );
        assert_eq!(call["whole"][arguments], item(call, 1)["arguments"]);
        assert_eq!(call["whole"][text], words(call));
        assert_eq!(output(item(call, 1))["content"], TRIP);
        let error = item(&out["refused"], 0)["error"].as_str().unwrap();
        assert!(error.contains("401"), "{error}");

        // What the older SDK has no class for comes as another one, with the right `type`.
        let knows = sdk.module == NEWEST.module;
        let mut wanted = [
            "ResponseMcpListToolsFailedEvent",
            "ResponseMcpApprovalRequestEvent",
        ];
        if !knows {
            wanted = ["ResponseCreatedEvent"; 2];
        }
        let got = [
            class(&out["refused"], "response.mcp_list_tools.failed"),
            class(&out["ask"], "response.mcp_approval_request"),
        ];
        assert_eq!(got, wanted);
        let done = class(call, "response.mcp_call.completed");
        assert_eq!(done, "ResponseMcpCallCompletedEvent");
        assert_eq!(on_record(&server), ["memory.get", "memory.get"]);
    }
}

#[test]
#[ignore = "needs tests/sdk/install"]
fn a_conversation_is_kept_read_and_forgotten() {
    let server = Server::demo();
    let ark = Ark::for_all();
    let never = tools(&server, json!({"require_approval": "never"}));
    let go_on = |name: &str, after: &str| {
        create(
            name,
            "who am I",
            json!({"previous_response_id": after, "tools": never}),
        )
    };
    let ask =
        |name: &str, more: Value| create(name, "my trip?", with(json!({"tools": never}), &more));
    for sdk in &SDKS {
        let out = ark.play(
            sdk,
            "my key",
            &[
                ask("first", json!({})),
                go_on("next", "$first"),
                about("read", "retrieve", "$first"),
                ask("passing", json!({"store": false})),
                go_on("after passing", "$passing"),
                about("gone", "delete", "$first"),
                about("read again", "retrieve", "$first"),
                go_on("after gone", "$first"),
                go_on("after next", "$next"),
            ],
        );
        let first = &out["first"]["response"];
        assert_eq!(&out["read"]["response"], first, "{}", sdk.module);
        let kept = first["expire_at"].as_i64().unwrap() - first["created_at"].as_i64().unwrap();
        assert_eq!((&first["store"], kept), (&json!(true), 259_200));
        assert_eq!(out["passing"]["response"]["store"], false);
        assert_eq!(out["next"]["response"]["previous_response_id"], first["id"]);
        assert_eq!(item(&out["next"], 1)["name"], "agentkeys_identity_whoami");
        assert_eq!(out["gone"], json!({"deleted": null}));
        assert_eq!(
            out["after next"]["class"],
            json!([sdk.list, sdk.call, sdk.message])
        );
        for name in ["after passing", "after gone"] {
            let error = &out[name]["error"];
            assert_eq!(error["class"], "ArkBadRequestError");
            assert_eq!(error["code"], "InvalidParameter.PreviousResponseNotFound");
            assert_eq!(error["param"], "previous_response_id");
        }
        assert_eq!(out["read again"]["error"]["class"], "ArkNotFoundError");

        // Another key has not seen any of it.
        let id = out["next"]["response"]["id"].as_str().unwrap();
        let out = ark.play(
            sdk,
            "another key",
            &[
                about("read", "retrieve", id),
                go_on("next", id),
                about("gone", "delete", id),
            ],
        );
        assert_eq!(out["read"]["error"]["status_code"], 404);
        assert_eq!(out["next"]["error"]["status_code"], 400);
        assert_eq!(out["gone"]["error"]["status_code"], 404);
    }
}

#[test]
#[ignore = "needs tests/sdk/install"]
fn choices_decide_what_is_shown_and_called() {
    let ark = Ark::start(None);
    for sdk in &SDKS {
        let server = Server::demo();
        let entry = |more: Value| tools(&server, with(json!({"require_approval": "never"}), &more));
        let all = entry(json!({}));
        let only = entry(json!({"allowed_tools": {"tool_names": ["agentkeys_memory_get"]}}));
        let filter = entry(json!({"require_approval": {
            "never": {"tool_names": ["agentkeys_memory_get"]},
            "always": {"tool_names": ["agentkeys_permission_check"]},
        }}));
        let mcp = |more: Value| with(json!({"type": "mcp", "server_label": "agentkeys"}), &more);
        let (trip, weekend, song) = ("my trip?", "plan my weekend", "sing a song");
        let plan = [
            create("allowed", trip, json!({"tools": only})),
            create("not allowed", "who am I", json!({"tools": only})),
            create("filter", weekend, json!({"tools": filter})),
            create("both", weekend, json!({"tools": all})),
            create(
                "at most one",
                weekend,
                json!({"tools": all, "max_tool_calls": 1}),
            ),
            create("none", trip, json!({"tools": all, "tool_choice": "none"})),
            create("auto", song, json!({"tools": all, "tool_choice": "auto"})),
            create(
                "required",
                song,
                json!({"tools": all, "tool_choice": "required"}),
            ),
            create(
                "server",
                song,
                json!({"tools": all, "tool_choice": mcp(json!({}))}),
            ),
            create(
                "tool",
                trip,
                json!({"tools": all, "tool_choice": mcp(json!({"name": "agentkeys_identity_whoami"}))}),
            ),
        ];
        let out = ark.play(sdk, KEY, &plan);
        let calls = |name: &str| -> Vec<String> {
            let items = out[name]["response"]["output"].as_array().unwrap();
            let calls = items.iter().filter(|i| i["type"] == "mcp_call");
            let name = |i: &Value| i["name"].as_str().unwrap().replace("agentkeys_", "");
            calls.map(name).collect()
        };
        for (name, called, listed) in [
            ("allowed", &["memory_get"][..], 1),
            ("not allowed", &[], 1),
            ("filter", &["memory_get"], 10),
            ("both", &["memory_get", "permission_check"], 10),
            ("at most one", &["memory_get"], 10),
            ("none", &[], 10),
            ("auto", &[], 10),
            ("required", &["identity_whoami"], 10),
            ("server", &["identity_whoami"], 10),
            ("tool", &["identity_whoami"], 10),
        ] {
            assert_eq!(calls(name), called, "{}: {name}", sdk.module);
            assert_eq!(out[name]["mcp_calls"], called.len(), "{name}");
            assert_eq!(
                item(&out[name], 0)["tools"].as_array().unwrap().len(),
                listed,
                "{name}"
            );
        }
        assert_eq!(item(&out["filter"], 2)["type"], "mcp_approval_request");
        assert!(words(&out["at most one"]).contains("max_tool_calls is 1"));
        assert_eq!(out["at most one"]["response"]["max_tool_calls"], 1);
        let details = &out["both"]["response"]["usage"]["tool_usage_details"]["mcp"];
        assert_eq!(details, &json!({"agentkeys": 2}));
        assert_eq!(
            on_record(&server),
            [
                "memory.get",
                "memory.get",
                "memory.get",
                "permission.check",
                "memory.get",
                "identity.whoami",
                "identity.whoami",
                "identity.whoami",
            ]
        );
    }
}

#[test]
#[ignore = "needs tests/sdk/install"]
fn errors_are_the_sdks_own_classes() {
    let server = Server::demo();
    let ark = Ark::start(None);
    let tools = tools(&server, json!({"require_approval": "never"}));
    for sdk in &SDKS {
        let ask = |name: &str, more: Value| create(name, "my trip?", more);
        let plan = [
            ask("model", json!({"model": "", "tools": tools})),
            ask(
                "caching",
                json!({"tools": tools, "caching": {"type": "enabled"}}),
            ),
            ask("calls", json!({"tools": tools, "max_tool_calls": 11})),
            ask(
                "choice",
                json!({"tools": tools, "tool_choice": {"type": "mcp", "server_label": "other"}}),
            ),
            streamed(ask(
                "stream",
                json!({"previous_response_id": "resp_0", "tools": tools}),
            )),
            about("read", "retrieve", "resp_0"),
        ];
        let out = ark.play(sdk, KEY, &plan);
        for (name, code, param) in [
            ("model", "MissingParameter", "model"),
            ("caching", "InvalidParameter", "caching"),
            ("calls", "InvalidParameter", "max_tool_calls"),
            ("choice", "InvalidParameter", "tool_choice.server_label"),
            (
                "stream",
                "InvalidParameter.PreviousResponseNotFound",
                "previous_response_id",
            ),
        ] {
            let error = &out[name]["error"];
            assert_eq!(error["class"], "ArkBadRequestError", "{name}: {out}");
            assert_eq!(
                (&error["code"], &error["param"]),
                (&json!(code), &json!(param))
            );
            assert_eq!(
                (&error["status_code"], &error["type"]),
                (&json!(400), &json!("BadRequest"))
            );
            assert!(
                error["message"]
                    .as_str()
                    .unwrap()
                    .contains("Request id: standin-")
            );
            assert!(!error["request_id"].as_str().unwrap().is_empty());
        }
        assert_eq!(out["read"]["error"]["class"], "ArkNotFoundError");
        let out = ark.play(sdk, "wrong", &[ask("key", json!({"tools": tools}))]);
        let error = &out["key"]["error"];
        assert_eq!(
            (&error["class"], &error["code"], &error["status_code"]),
            (
                &json!("ArkAuthenticationError"),
                &json!("AuthenticationError"),
                &json!(401)
            )
        );
    }
    assert_eq!(on_record(&server), [""; 0]);
}
