//! JWTs as others see them: verified with the published keys, by libraries that are not ours.

use super::{RIGHTS, WHOAMI, device, host, pair, refused, register, remove, text};
use crate::it::sdk::interpreter;
use crate::it::support::{Server, send, text as utf8};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use std::io::Write as _;
use std::process::Stdio;

/// The published keys, as anyone else's program reads them.
fn published(server: &Server) -> jsonwebtoken::jwk::JwkSet {
    let url = format!("{}/.well-known/jwks.json", server.base);
    serde_json::from_value(send(server.http.get(url)).json()).unwrap()
}

fn verified(keys: &jsonwebtoken::jwk::JwkSet, jwt: &str) -> Value {
    let head = jsonwebtoken::decode_header(jwt).unwrap();
    assert_eq!(head.typ.as_deref(), Some("agentkeys-actor+jwt"));
    let key = keys.find(&head.kid.unwrap()).unwrap();
    let key = jsonwebtoken::DecodingKey::from_jwk(key).unwrap();
    let mut rules = jsonwebtoken::Validation::new(jsonwebtoken::Algorithm::ES256);
    rules.set_audience(&["agentkeys"]);
    rules.set_required_spec_claims(&["exp", "iss", "sub", "aud"]);
    jsonwebtoken::decode::<Value>(jwt, &key, &rules)
        .unwrap()
        .claims
}

#[test]
fn anyone_can_verify_a_jwt_and_its_keys_rotate_with_overlap() {
    let server = Server::demo();
    let house = &server.house;
    let old = device(&server, "folotoy", "bear-01");
    let keys = published(&server);
    assert_eq!(keys.keys.len(), 2, "one for caps, one for actors");
    let claims = verified(&keys, &text(&old, "jwt"));
    let omni = &text(&old, "actor_omni")[2..];
    assert_eq!(
        claims["agentkeys"],
        json!({"omni_account": omni, "vendor": "folotoy"})
    );
    assert_eq!(
        (
            &claims["agentkeys.omni_account"],
            &claims["agentkeys.vendor"]
        ),
        (&json!(omni), &json!("folotoy"))
    );
    assert_eq!(
        (&claims["sub"], &claims["jti"]),
        (&json!(omni), &old["token_id"])
    );
    assert!(text(&claims, "iss").starts_with("urn:agentkeys:"));

    let rotated = house.ok(&["keys", "rotate", "--purpose", "actor-jwt"]);
    let new = device(&server, "folotoy", "bear-02");
    let kid = |d: &Value| {
        jsonwebtoken::decode_header(text(d, "jwt"))
            .unwrap()
            .kid
            .unwrap()
    };
    assert_eq!(
        (json!(kid(&old)), json!(kid(&new))),
        (rotated["replaces"].clone(), rotated["kid"].clone())
    );
    let keys = published(&server);
    assert_eq!(keys.keys.len(), 3);
    for bear in [&old, &new] {
        verified(&keys, &text(bear, "jwt"));
        assert_eq!(host(&server, bear).call(WHOAMI, json!({})).status, 200);
    }
    let listed = house.ok(&["keys", "list"]);
    let states: Vec<_> = listed["keys"]
        .as_array()
        .unwrap()
        .iter()
        .map(|k| (text(k, "purpose"), text(k, "state")))
        .collect();
    let wanted = [
        ("cap", "signs"),
        ("actor-jwt", "verifies"),
        ("actor-jwt", "signs"),
        ("log", "signs"),
    ];
    assert_eq!(states, wanted.map(|(p, s)| (p.to_owned(), s.to_owned())));
    let rows = house.events(&["--tool", "keys.rotate"]);
    assert_eq!((rows.len(), &rows[0]["op_kind"]), (1, &json!(125)));
    assert!(
        !house
            .run(&["keys", "rotate", "--purpose", "cap"])
            .status
            .success()
    );
}

#[test]
fn what_is_signed_for_one_use_is_not_taken_for_another() {
    let server = Server::demo();
    let vendor = server.house.vendor("desk", &["--read", "travel"]);
    let code = pair(&server.house, "O_kevin_001", "desk", RIGHTS);
    let bear = register(&server, &vendor, "bear-01", &code).json();
    let ask = json!({"op": "memory_get", "params": {"namespace": "travel"}});
    let cap = text(
        &host(&server, &bear).structured("agentkeys.cap.mint", ask),
        "cap",
    );
    let as_bearer = server.host_with(&[("authorization", &format!("Bearer {cap}"))]);
    refused(
        &as_bearer.call(WHOAMI, json!({})),
        401,
        "auth.token_malformed",
    );

    let spend = |cap: &str, bearer: &str| {
        let url = format!("{}/v1/memory/get", server.base);
        send(
            server
                .http
                .post(url)
                .bearer_auth(bearer)
                .json(&json!({"cap": cap})),
        )
    };
    let jwt = text(&bear, "jwt");
    refused(&spend(&jwt, &jwt), 403, "cap.invalid");
    assert_eq!(
        spend(&cap, &jwt).status,
        200,
        "the JWT is a bearer where caps are spent, too"
    );
    remove(&server, &vendor, "bear-01");
    refused(&spend(&cap, &vendor), 403, "cap.revoked");
}

/// The same JWT with the other signature that ECDSA has for it: r and n − s.
fn respelled(jwt: &str) -> String {
    const ORDER: &str = "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551";
    let (signed, signature) = jwt.rsplit_once('.').unwrap();
    let mut bytes = URL_SAFE_NO_PAD.decode(signature).unwrap();
    let order = hex::decode(ORDER).unwrap();
    let mut borrow = 0;
    for (s, n) in bytes[32..].iter_mut().zip(&order).rev() {
        let left = i16::from(*n) - i16::from(*s) - borrow;
        borrow = i16::from(left < 0);
        *s = u8::try_from(left.rem_euclid(256)).unwrap();
    }
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(bytes))
}

#[test]
fn a_jwt_has_one_spelling() {
    let server = Server::demo();
    let bear = device(&server, "folotoy", "bear-01");
    let jwt = text(&bear, "jwt");
    let other = respelled(&jwt);
    assert_ne!(jwt, other);
    // Other verifiers take it for good …
    verified(&published(&server), &other);
    // … and here it is nobody's.
    let with = |jwt: &str| server.host_with(&[("authorization", &format!("Bearer {jwt}"))]);
    refused(
        &with(&other).call(WHOAMI, json!({})),
        401,
        "auth.token_unknown",
    );
    assert_eq!(with(&respelled(&other)).call(WHOAMI, json!({})).status, 200);
}

#[test]
#[ignore = "needs PyJWT: tests/sdk/install"]
fn pyjwt_verifies_it_with_the_published_keys() {
    let server = Server::demo();
    let vendor = server.house.vendor("desk", &["--read", "travel"]);
    let code = pair(&server.house, "O_kevin_001", "desk", RIGHTS);
    let bear = register(&server, &vendor, "bear-01", &code).json();
    let jwt = text(&bear, "jwt");
    server
        .house
        .ok(&["keys", "rotate", "--purpose", "actor-jwt"]);
    let ask = json!({"op": "memory_get", "params": {"namespace": "travel"}});
    let cap = text(
        &host(&server, &bear).structured("agentkeys.cap.mint", ask),
        "cap",
    );
    let over = super::clock::registered_hours_ago(&server.house, 2, "desk", "brief");
    // Another claim, under the same signature.
    let parts: Vec<&str> = jwt.split('.').collect();
    let claims = URL_SAFE_NO_PAD.decode(parts[1]).unwrap();
    let mut claims: Value = serde_json::from_slice(&claims).unwrap();
    claims["jti"] = json!("another");
    let claims = URL_SAFE_NO_PAD.encode(claims.to_string());
    let changed = [parts[0], &claims, parts[2]].join(".");

    let mut child = interpreter(".venv/jwt/bin/python", "verify_jwt.py")
        .arg(format!("{}/.well-known/jwks.json", server.base))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    for text in [&jwt, &changed, &cap, &text(&over, "jwt")] {
        writeln!(stdin, "{text}").unwrap();
    }
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", utf8(&output.stderr));
    let out = utf8(&output.stdout);
    let said: Vec<Value> = out
        .lines()
        .map(|l| serde_json::from_str(l).unwrap())
        .collect();
    assert_eq!(said[0]["header"]["typ"], "agentkeys-actor+jwt");
    let omni = &text(&bear, "actor_omni")[2..];
    assert_eq!(said[0]["claims"]["sub"], json!(omni));
    assert_eq!(
        said[0]["claims"]["agentkeys"],
        json!({"omni_account": omni, "vendor": "desk"})
    );
    assert_eq!(said[0]["claims"]["jti"], bear["token_id"]);
    let errors = [
        "InvalidSignatureError",
        "InvalidAudienceError",
        "ExpiredSignatureError",
    ];
    for (said, error) in said[1..].iter().zip(errors) {
        assert_eq!(said["error"], error);
    }
}
