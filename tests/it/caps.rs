//! Capabilities: minted under the policy, spent once, dead with what they rest on.

use super::support::{Host, Reply, Server, TRAVEL_AND_SPEND, send};
use base64::Engine as _;
use serde_json::{Value, json};

const MINT: &str = "agentkeys.cap.mint";

/// A vendor with structured answers that may read and write travel and spend.
fn desk(server: &Server) -> (Host<'_>, String) {
    let token = server.house.vendor("desk", TRAVEL_AND_SPEND);
    (server.host_of(&token), token)
}

fn post(server: &Server, path: &str, token: &str, body: &Value) -> Reply {
    let url = format!("{}{path}", server.base);
    send(server.http.post(url).bearer_auth(token).json(body))
}

fn mint(host: &Host<'_>, args: Value) -> (String, String) {
    let minted = host.structured(MINT, args);
    assert_eq!(minted["ok"], true, "{minted}");
    let text = |key: &str| minted[key].as_str().unwrap().to_owned();
    (text("cap"), text("cap_id"))
}

#[track_caller]
fn refused(reply: &Reply, code: &str) {
    assert_eq!(
        (reply.status, reply.code()),
        (403, format!("agentkeys.cap.{code}")),
        "{}",
        reply.body
    );
}

#[test]
fn a_memory_cap_reads_and_a_write_cap_writes_once() {
    let server = Server::demo();
    let (desk, token) = desk(&server);
    let (cap, _) = mint(
        &desk,
        json!({"op": "memory_get", "params": {"namespace": "travel"}, "ttl": 60}),
    );
    let read = post(&server, "/v1/memory/get", &token, &json!({"cap": cap})).json();
    let text = base64::engine::general_purpose::STANDARD
        .decode(read["plaintext_b64"].as_str().unwrap())
        .unwrap();
    assert_eq!(
        String::from_utf8(text).unwrap(),
        "Chengdu trip — Apr 12 to 16, hotpot at Yulin."
    );

    let encode = |t: &str| base64::engine::general_purpose::STANDARD.encode(t);
    let (cap, _) = mint(
        &desk,
        json!({"op": "memory_put", "params": {"namespace": "travel"}}),
    );
    let put = |text: &str| {
        post(
            &server,
            "/v1/memory/put",
            &token,
            &json!({"cap": cap, "plaintext_b64": encode(text)}),
        )
    };
    let first = put("new plan");
    assert_eq!(first.status, 200, "{}", first.body);
    assert_eq!(put("new plan").json(), first.json());
    refused(&put("another plan"), "spent");
    refused(
        &post(&server, "/v1/memory/get", &token, &json!({"cap": cap})),
        "mismatch",
    );
    let history = server
        .house
        .ok(&["memory", "history", "O_kevin_001", "travel"]);
    assert_eq!(history["versions"].as_array().unwrap().len(), 2);
}

#[test]
fn a_payment_cap_dies_with_the_grant_it_rests_on() {
    let server = Server::demo();
    let (desk, token) = desk(&server);
    let (cap, cap_id) = mint(
        &desk,
        json!({"op": "payment_spend", "params": {"amount_rmb": 100}}),
    );
    let introspect = || post(&server, "/v1/cap/introspect", &token, &json!({"cap": cap})).json();
    assert_eq!(
        (introspect()["active"].clone(), introspect()["jti"].clone()),
        (json!(true), json!(cap_id))
    );
    server.house.ok(&[
        "actor",
        "ungrant",
        "O_kevin_001",
        "--vendor",
        "desk",
        "--scope",
        "payment.*",
    ]);
    refused(
        &post(
            &server,
            "/v1/cap/redeem",
            &token,
            &json!({"cap": cap, "amount_rmb": 100}),
        ),
        "revoked",
    );
    assert_eq!(introspect(), json!({"active": false}));
    let list = send(server.http.get(format!(
        "{}/.well-known/agentkeys/revoked-caps",
        server.base
    )));
    let payload = list.body.split('.').nth(1).unwrap();
    let payload = base64::engine::general_purpose::URL_SAFE_NO_PAD
        .decode(payload)
        .unwrap();
    assert!(String::from_utf8(payload).unwrap().contains(&cap_id));
}

#[test]
fn a_payment_is_redeemed_once_and_within_its_amount() {
    let server = Server::demo();
    let (desk, token) = desk(&server);
    let check = desk.structured(
        "agentkeys.permission.check",
        json!({"scope": "payment.spend", "params": {"amount_rmb": 200}}),
    );
    let decision = check["decision_id"].as_str().unwrap();
    let (cap, _) = mint(
        &desk,
        json!({"op": "payment_spend", "params": {"decision_id": decision}}),
    );
    let redeem = |amount: u32| {
        post(
            &server,
            "/v1/cap/redeem",
            &token,
            &json!({"cap": cap, "amount_rmb": amount}),
        )
    };
    refused(&redeem(201), "mismatch");
    assert_eq!(redeem(150).status, 200);
    assert_eq!(redeem(150).status, 200);
    refused(&redeem(151), "spent");
    assert_eq!(
        server.house.ok(&["budget", "show", "O_kevin_001"])["spent_minor"],
        20_000
    );
}

#[test]
fn a_cap_needs_its_own_vendors_token_and_every_bit() {
    let server = Server::demo();
    let (desk, token) = desk(&server);
    let (cap, cap_id) = mint(
        &desk,
        json!({"op": "memory_get", "params": {"namespace": "travel"}}),
    );
    let get = |token: &str, cap: &str| post(&server, "/v1/memory/get", token, &json!({"cap": cap}));
    refused(&get(&server.house.token("folotoy"), &cap), "mismatch");
    assert_eq!(get("akv_x", &cap).status, 401);
    let mut bytes = cap.clone().into_bytes();
    for at in [5, bytes.len() / 2, bytes.len() - 2] {
        bytes[at] ^= 1;
        refused(&get(&token, &String::from_utf8_lossy(&bytes)), "invalid");
        bytes[at] ^= 1;
    }
    assert_eq!(get(&token, &cap).status, 200);
    assert_eq!(
        desk.structured("agentkeys.cap.revoke", json!({"cap_id": "cap_nope"}))["error"],
        "agentkeys.cap.not_found"
    );
    let ark = server
        .host("folotoy")
        .structured("agentkeys_cap_revoke", json!({"cap_id": cap_id}));
    assert_eq!(ark["error"], "agentkeys.cap.not_found");
    assert_eq!(
        desk.structured("agentkeys.cap.revoke", json!({"cap_id": cap_id}))["revocation"],
        "online_immediate"
    );
    refused(&get(&token, &cap), "revoked");
}

#[test]
fn minting_is_denied_as_the_act_itself_would_be() {
    let server = Server::demo();
    let (desk, _) = desk(&server);
    let denied = desk.structured(
        MINT,
        json!({"op": "payment_spend", "params": {"amount_rmb": 600}}),
    );
    assert_eq!(
        (&denied["verdict"], &denied["reason"]),
        (&json!("deny"), &json!("daily_spend_cap_exceeded"))
    );
    let denied = desk.structured(
        MINT,
        json!({"op": "memory_get", "params": {"namespace": "family"}}),
    );
    assert_eq!(
        (&denied["verdict"], &denied["reason"]),
        (&json!("deny"), &json!("scope_not_granted"))
    );
    let clamped = desk.structured(
        MINT,
        json!({"op": "payment_spend", "params": {"amount_rmb": 1}, "ttl": 9999}),
    );
    assert_eq!(clamped["ttl_seconds"], 60);
    let zero = desk.structured(
        MINT,
        json!({"op": "memory_get", "params": {"namespace": "travel"}, "ttl": 0}),
    );
    assert_eq!(zero["error"], "agentkeys.cap.ttl_invalid");
}

#[test]
fn anyone_can_verify_a_cap_with_the_published_keys() {
    let server = Server::demo();
    let (desk, _) = desk(&server);
    let (cap, _) = mint(
        &desk,
        json!({"op": "memory_get", "params": {"namespace": "travel"}}),
    );
    let jwks = send(
        server
            .http
            .get(format!("{}/.well-known/jwks.json", server.base)),
    )
    .json();
    let set: jsonwebtoken::jwk::JwkSet = serde_json::from_value(jwks).unwrap();
    let kid = jsonwebtoken::decode_header(&cap).unwrap().kid.unwrap();
    let key = jsonwebtoken::DecodingKey::from_jwk(set.find(&kid).unwrap()).unwrap();
    let mut rules = jsonwebtoken::Validation::new(jsonwebtoken::Algorithm::ES256);
    rules.set_audience(&["agentkeys:memory"]);
    let claims = jsonwebtoken::decode::<Value>(&cap, &key, &rules)
        .unwrap()
        .claims;
    assert_eq!(claims["vendor"], "desk");
    assert_eq!(claims["sub"].as_str().unwrap(), &server.house.actor()[2..]);
}

#[test]
fn bodies_that_are_no_request_are_refused_under_the_endpoints_own_name() {
    let server = Server::demo();
    let (_, token) = desk(&server);
    for (path, tool) in [
        ("/v1/memory/get", "cap.memory_get"),
        ("/v1/memory/put", "cap.memory_put"),
        ("/v1/cap/redeem", "cap.redeem"),
        ("/v1/cap/introspect", "cap.introspect"),
    ] {
        for body in [
            json!({}),
            json!([]),
            json!({"cap": 7}),
            json!({"plaintext_b64": "eA=="}),
        ] {
            let reply = post(&server, path, &token, &body);
            assert_eq!(
                (reply.status, reply.code()),
                (400, "agentkeys.http.request_malformed".into()),
                "{path} {body}"
            );
        }
        let rows = server.house.events(&["--tool", tool]);
        assert_eq!(rows.len(), 4, "{tool}");
        assert!(
            rows.iter()
                .all(|r| r["vendor"] == "desk" && r["status"] == 400)
        );
    }
}

#[test]
fn the_same_write_and_the_same_payment_at_once_get_the_first_answer() {
    let server = Server::demo();
    let (desk, token) = desk(&server);
    let (write, _) = mint(
        &desk,
        json!({"op": "memory_put", "params": {"namespace": "travel"}}),
    );
    let (pay, _) = mint(
        &desk,
        json!({"op": "payment_spend", "params": {"amount_rmb": 5}}),
    );
    let bodies = [
        (
            "/v1/memory/put",
            json!({"cap": write, "plaintext_b64": "eA=="}),
        ),
        ("/v1/cap/redeem", json!({"cap": pay, "amount_rmb": 5})),
    ];
    for (path, body) in &bodies {
        let url = format!("{}{path}", server.base);
        let replies = super::support::wait(async {
            let one = || async {
                let sent = server
                    .http
                    .post(&url)
                    .bearer_auth(&token)
                    .json(body)
                    .send()
                    .await;
                sent.unwrap().text().await.unwrap()
            };
            futures_util::future::join_all((0..6).map(|_| one())).await
        });
        assert!(replies.iter().all(|r| *r == replies[0]), "{replies:?}");
        assert!(replies[0].contains("\"ok\":true"), "{}", replies[0]);
    }
}

#[test]
fn only_its_vendor_and_the_operator_learn_that_a_cap_is_active() {
    let server = Server::demo();
    let (desk, token) = desk(&server);
    let (cap, _) = mint(
        &desk,
        json!({"op": "memory_get", "params": {"namespace": "travel"}}),
    );
    let active = |token: &str, cap: &str| {
        let reply = post(&server, "/v1/cap/introspect", token, &json!({"cap": cap}));
        assert_eq!(reply.status, 200, "{}", reply.body);
        reply.json()["active"].clone()
    };
    assert_eq!(active(&token, &cap), true);
    assert_eq!(active(&server.reader("operator", &[]), &cap), true);
    assert_eq!(active(&server.house.token("folotoy"), &cap), false);
    assert_eq!(active(&server.reader("auditor", &[]), &cap), false);
    assert_eq!(active(&token, "nonsense"), false);
}
