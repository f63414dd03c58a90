//! Suite `handshake`: a lie for each check.

use super::front::{Asked, Lie, Said, lie};
use super::{Ids, Stage, all_seen, one, swap};
use agentkeys::acceptance::handshake::SUITE;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;
use std::sync::atomic::{AtomicUsize, Ordering};

const LEGACY: [&str; 4] = ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"];
const MODERN: &str = "2026-07-28";
const BOTH: &str = "application/json, text/event-stream";

/// A lie about the answers to some messages.
fn when(
    asks: impl Fn(&Asked) -> bool + Send + Sync + 'static,
    change: impl Fn(&mut Said) + Send + Sync + 'static,
) -> Lie {
    lie(move |asked, said| {
        if asks(asked) {
            change(said);
        }
    })
}

fn at(path: &'static str, change: impl Fn(&mut Said) + Send + Sync + 'static) -> Lie {
    when(move |asked| asked.path == path, change)
}

/// The same from the third time on.
fn later(path: &'static str, change: impl Fn(&mut Said) + Send + Sync + 'static) -> Lie {
    let before = AtomicUsize::new(0);
    when(
        move |asked| asked.path == path && before.fetch_add(1, Ordering::Relaxed) >= 2,
        change,
    )
}

fn method(asked: &Asked, method: &str) -> bool {
    asked.json()["method"] == method
}

fn version(asked: &Asked, version: &str) -> bool {
    asked.header("mcp-protocol-version") == version
}

/// The suite's own numbers of its messages.
fn id(asked: &Asked, id: &serde_json::Value) -> bool {
    asked.json()["id"] == *id
}

fn broken(said: &mut Said) {
    said.status = 500;
}

fn redirected(said: &mut Said) {
    said.status = 308;
    said.put("location", "/elsewhere");
}

/// In every version.
fn versions() -> Vec<(String, Lie)> {
    let mut all = Vec::new();
    for v in LEGACY {
        let hello = move |asked: &Asked| {
            method(asked, "initialize") && asked.json()["params"]["protocolVersion"] == v
        };
        all.extend([
            (
                format!("initialize/{v}"),
                when(hello, |said| {
                    swap(said, "\"name\":\"agentkeys\"", "\"name\":\"other\"");
                }),
            ),
            (
                format!("no_session/{v}"),
                when(hello, |said| said.put("mcp-session-id", "s1")),
            ),
            (
                format!("initialized/{v}"),
                when(
                    move |asked| method(asked, "notifications/initialized") && version(asked, v),
                    |said| said.status = 200,
                ),
            ),
            (
                format!("ping/{v}"),
                when(
                    move |asked| id(asked, &json!("p")) && version(asked, v),
                    |said| swap(said, "\"result\":{}", "\"result\":{\"late\":1}"),
                ),
            ),
        ]);
    }
    for v in LEGACY.into_iter().chain([MODERN]) {
        let listed = move |asked: &Asked| {
            let name = if v == MODERN { MODERN } else { "" };
            let meta = &asked.json()["params"]["_meta"]["io.modelcontextprotocol/protocolVersion"];
            method(asked, "tools/list")
                && version(asked, v)
                && meta.as_str().unwrap_or_default() == name
        };
        let fewer = |said: &mut Said| {
            said.edit(|json| drop(json["result"]["tools"].as_array_mut().map(Vec::pop)));
        };
        all.push((format!("tools_list/{v}"), when(listed, fewer)));
        let paged = |said: &mut Said| {
            said.edit(|json| json["result"]["nextCursor"] = json!("2"));
        };
        all.push((format!("tools_list/{v}"), when(listed, paged)));
    }
    all
}

/// What is particular to one version, or to none.
fn particular() -> Vec<(String, Lie)> {
    let modern =
        |name: &'static str| move |asked: &Asked| method(asked, name) && version(asked, MODERN);
    [
        (
            "discover/2026-07-28",
            when(modern("server/discover"), |said| {
                swap(said, "2024-11-05", "2024-11-06");
            }),
        ),
        (
            "no_ping/2026-07-28",
            when(modern("ping"), |said| said.status = 200),
        ),
        (
            "initialize/unknown",
            when(
                |asked| asked.json()["params"]["protocolVersion"] == "1999-01-01",
                |said| swap(said, "2025-11-25", "1999-01-01"),
            ),
        ),
        (
            "initialize/unknown",
            when(
                |asked| asked.json()["params"]["protocolVersion"] == "1999-01-01",
                broken,
            ),
        ),
        (
            "version_header/differs",
            when(|_| true, |said| swap(said, "-32020", "-32021")),
        ),
        (
            "version_header/absent",
            when(|asked| id(asked, &json!(3)) && version(asked, ""), broken),
        ),
        (
            "version_header/unknown",
            when(
                |asked| version(asked, "1999-01-01"),
                |said| said.status = 200,
            ),
        ),
    ]
    .map(|(id, lie)| (id.to_owned(), lie))
    .into()
}

/// Headers, paths and methods.
fn door() -> Vec<(String, Lie)> {
    let mut all = Vec::new();
    for (word, name) in [("initialize", "initialize"), ("tools_list", "tools/list")] {
        let numbered = move |asked: &Asked| id(asked, &json!(5)) && method(asked, name);
        all.push((
            format!("json/{word}"),
            when(
                move |asked| numbered(asked) && asked.header("accept") == BOTH,
                |said| said.put("content-type", "text/plain"),
            ),
        ));
        all.push((
            format!("sse/{word}"),
            when(
                move |asked| numbered(asked) && asked.header("accept") != BOTH,
                |said| said.put("content-type", "application/json"),
            ),
        ));
    }
    for (word, path) in [("mcp", "/mcp"), ("mcp_slash", "/mcp/")] {
        let plain = move |asked: &Asked| {
            id(asked, &json!(4))
                && asked.path == path
                && asked.header("accept") == BOTH
                && asked.header("content-type") == "application/json"
        };
        all.push((format!("path/{word}"), when(plain, redirected)));
    }
    for word in ["GET", "DELETE"] {
        all.push((
            format!("method/{}", word.to_lowercase()),
            when(
                move |asked| asked.method == word && asked.path == "/mcp",
                |said| drop(said.headers.remove("allow")),
            ),
        ));
    }
    let headers = [
        ("accept/json", "accept", "application/json"),
        ("accept/anything", "accept", "*/*"),
        ("accept/neither", "accept", "text/html"),
        (
            "content_type/charset",
            "content-type",
            "application/json; charset=utf-8",
        ),
        ("content_type/text", "content-type", "text/plain"),
        ("content_type/absent", "content-type", ""),
    ];
    for (word, name, value) in headers {
        let sent = move |asked: &Asked| id(asked, &json!(4)) && asked.header(name) == value;
        all.push((word.to_owned(), when(sent, |said| said.status = 415)));
    }
    all
}

/// What anyone may ask.
fn published() -> Vec<(String, Lie)> {
    const JWKS: &str = "/.well-known/jwks.json";
    const REVOKED: &str = "/.well-known/agentkeys/revoked-caps";
    let forged = |said: &mut Said| {
        let (signed, signature) = said.body.rsplit_once('.').unwrap();
        let other = if signature.starts_with('A') { "B" } else { "A" };
        said.body = format!("{signed}.{other}{}", &signature[1..]);
    };
    [
        (
            "healthz",
            at("/healthz", |said| swap(said, "\"ok\":true", "\"ok\":false")),
        ),
        (
            "healthz/authority",
            // Before tokens are sent it is looked whether this is the server that is meant: for the
            // kit, and by the suite.
            later("/healthz", |said| {
                swap(said, "urn:agentkeys:", "urn:other:");
            }),
        ),
        (
            "jwks",
            at(JWKS, |said| {
                said.edit(|json| json["keys"][0]["d"] = json!("AAAA"));
            }),
        ),
        (
            "log_key",
            at("/.well-known/agentkeys/log-key", |said| {
                swap(said, "\"signs\"", "\"retired\"");
            }),
        ),
        (
            "revoked_caps",
            at(REVOKED, |said| said.put("content-type", "text/plain")),
        ),
        ("revoked_caps/signature", at(REVOKED, forged)),
        ("revoked_caps/claims", old_list()),
    ]
    .map(|(id, lie)| (id.to_owned(), lie))
    .into()
}

/// A list that was good a year ago, signed by a key that is published.
fn old_list() -> Lie {
    let random = SystemRandom::new();
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
    let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref()).unwrap();
    let b64 = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let point = key.public_key().as_ref().to_vec();
    let jwk = json!({"kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": "old",
        "x": b64(&point[1..33]), "y": b64(&point[33..])});
    lie(move |asked, said| match asked.path.as_str() {
        "/.well-known/jwks.json" => {
            said.edit(|json| json["keys"].as_array_mut().unwrap().push(jwk.clone()));
        }
        "/.well-known/agentkeys/revoked-caps" => {
            let claims = said.body.split('.').nth(1).unwrap();
            let claims = URL_SAFE_NO_PAD.decode(claims).unwrap();
            let mut claims: serde_json::Value = serde_json::from_slice(&claims).unwrap();
            for time in ["iat", "exp"] {
                claims[time] = json!(claims[time].as_u64().unwrap() - 31_536_000);
            }
            let head = json!({"alg": "ES256", "typ": "agentkeys-revoked-caps+jwt", "kid": "old"});
            let signed = format!(
                "{}.{}",
                b64(head.to_string().as_bytes()),
                b64(claims.to_string().as_bytes())
            );
            let signature = key.sign(&random, signed.as_bytes()).unwrap();
            said.body = format!("{signed}.{}", b64(signature.as_ref()));
        }
        _ => {}
    })
}

#[test]
fn each_check_of_handshake_is_seen_to_fail() {
    let stage = Stage::new();
    let (clean, failed) = stage.run(SUITE, &[]);
    assert!(failed.is_empty(), "{failed:?}");
    let mut seen = Ids::new();
    let all = [published(), versions(), particular(), door()].concat();
    for (id, told) in all {
        stage.fails(SUITE, told, &one(&format!("{SUITE}/{id}")), &mut seen);
    }
    all_seen(&clean, &seen);
}
