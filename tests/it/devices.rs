//! A device comes to an actor by a parent's code, speaks for it with a JWT, and goes again.

mod clock;
mod codes;
mod jwts;
mod operator;

use super::support::{Host, House, Reply, Server, send};
use agentkeys::authority::calls::device::REGISTER;
use serde_json::{Value, json};

const WHOAMI: &str = "agentkeys.identity.whoami";
const GET: &str = "agentkeys.memory.get";
const PUT: &str = "agentkeys.memory.put";

/// What the demo parent consents to unless a test says otherwise.
const RIGHTS: &[&str] = &["--read", "travel", "--write", "travel"];

fn pair(house: &House, parent: &str, vendor: &str, rights: &[&str]) -> String {
    let mut args = vec!["actor", "pair", parent, "--vendor", vendor];
    args.extend(rights);
    let made = house.ok(&args);
    made["pairing_code"].as_str().unwrap().to_owned()
}

fn register(server: &Server, token: &str, device: &str, code: &str) -> Reply {
    let body = json!({"device_id": device, "pairing_code": code});
    let url = format!("{}/v1/vendor/devices/register", server.base);
    send(server.http.post(url).bearer_auth(token).json(&body))
}

fn remove(server: &Server, token: &str, device: &str) -> Reply {
    let url = format!("{}/v1/vendor/devices/{device}", server.base);
    send(server.http.delete(url).bearer_auth(token))
}

/// A device of a demo vendor under the demo actor, registered with a fresh code.
fn device(server: &Server, vendor: &str, id: &str) -> Value {
    let code = pair(&server.house, "O_kevin_001", vendor, RIGHTS);
    let reply = register(server, &server.house.token(vendor), id, &code);
    assert_eq!(reply.status, 200, "{}", reply.body);
    reply.json()
}

fn text(value: &Value, key: &str) -> String {
    value[key]
        .as_str()
        .unwrap_or_else(|| panic!("{key}: {value}"))
        .to_owned()
}

/// A host that sends nothing but its JWT.
fn host<'s>(server: &'s Server, device: &Value) -> Host<'s> {
    let bearer = format!("Bearer {}", text(device, "jwt"));
    server.host_with(&[("authorization", &bearer)])
}

#[track_caller]
fn refused(reply: &Reply, status: u16, code: &str) {
    let got = (reply.status, reply.code());
    assert_eq!(got, (status, format!("agentkeys.{code}")), "{}", reply.body);
}

fn actors(house: &House) -> usize {
    house.ok(&["actor", "list"])["actors"]
        .as_array()
        .unwrap()
        .len()
}

#[test]
fn a_device_is_paired_speaks_is_paired_again_and_goes() {
    let server = Server::demo();
    let house = &server.house;
    let vendor = house.vendor("desk", &["--read", "travel"]);
    let code = pair(house, "O_kevin_001", "desk", RIGHTS);
    let first = register(&server, &vendor, "bear-01", &code).json();
    let keys: Vec<_> = first.as_object().unwrap().keys().cloned().collect();
    for key in ["actor_omni", "alias", "jwt", "token_id", "expires_at"] {
        assert!(keys.iter().any(|k| k == key), "{keys:?}");
    }

    // It is the parent's child by the published derivation, and whoami needs no header.
    let bear = host(&server, &first);
    let me = bear.structured(WHOAMI, json!({}));
    assert_eq!(me["omni"], first["actor_omni"]);
    assert_eq!(me["parent_omni"], json!(house.actor()));
    assert_eq!(
        me["namespaces"],
        json!({"read": ["travel"], "write": ["travel"]})
    );
    let shown = house.ok(&["actor", "show", &text(&first, "alias"), "--verify"]);
    assert_eq!(shown["verified"], true);
    assert_eq!(
        shown["derivation_path"],
        "//d-28ddb47affd3fdc56d94916b2d5cc0/0"
    );

    // A header may repeat who it is, and nobody else.
    for name in [text(&first, "alias"), text(&first, "actor_omni")] {
        assert_eq!(
            bear.with("x-agentkeys-actor", &name)
                .call(WHOAMI, json!({}))
                .status,
            200
        );
    }
    let other = bear.with("x-agentkeys-actor", "O_kevin_001");
    refused(&other.call(WHOAMI, json!({})), 403, "auth.actor_forbidden");
    let argument = bear.call(WHOAMI, json!({"actor": "O_kevin_001"}));
    refused(&argument, 403, "auth.actor_mismatch");

    // What it remembers is its own, and within what the code fixed.
    bear.structured(PUT, json!({"namespace": "travel", "content": "picnic"}));
    let family = bear.structured(GET, json!({"namespace": "family"}));
    assert_eq!(family["namespace_violation"], true);

    // Paired again: the actor stays with what it remembers, the JWT before is dead.
    let code = pair(house, "O_kevin_001", "desk", &["--read", "travel"]);
    let second = register(&server, &vendor, "bear-01", &code).json();
    assert_eq!(second["actor_omni"], first["actor_omni"]);
    assert_eq!(
        (&first["generation"], &second["generation"]),
        (&json!(0), &json!(1))
    );
    refused(&bear.call(WHOAMI, json!({})), 401, "auth.token_revoked");
    let again = host(&server, &second);
    let read = again.structured(GET, json!({"namespace": "travel"}));
    assert_eq!(read["content"], "picnic");
    let write = again.structured(PUT, json!({"namespace": "travel", "content": "x"}));
    assert_eq!(
        write["namespace_violation"], true,
        "the new consent fixes the rights"
    );

    let gone = remove(&server, &vendor, "bear-01");
    assert_eq!(gone.status, 200, "{}", gone.body);
    refused(&again.call(WHOAMI, json!({})), 401, "auth.token_revoked");
    let alias = text(&second, "alias");
    let unpinned = server.host_of(&vendor).with("x-agentkeys-actor", &alias);
    refused(
        &unpinned.call(WHOAMI, json!({})),
        403,
        "auth.actor_forbidden",
    );

    let tools = ["actor.pair", REGISTER, "vendor.device.remove"];
    let rows = tools.map(|tool| house.events(&["--tool", tool]));
    assert_eq!(rows.each_ref().map(Vec::len), [2, 2, 1]);
    let paired = &rows[1][0];
    assert_eq!(
        (&paired["op_kind"], &paired["vendor"]),
        (&json!(122), &json!("desk"))
    );
    assert_eq!(paired["actor_omni"], first["actor_omni"]);
    assert_eq!(paired["detail"]["token_id"], first["token_id"]);
    assert_eq!(rows[0][0]["op_kind"], 123);
    let all = house
        .events(&[])
        .iter()
        .map(Value::to_string)
        .collect::<String>();
    assert!(!all.contains(&code) && !all.contains(&text(&second, "jwt")));
}

#[test]
fn a_device_that_moves_to_another_family_leaves_everything_behind() {
    let server = Server::demo();
    let house = &server.house;
    house.ok(&["actor", "create", "O_lily_002", "--time-zone", "Asia/Tokyo"]);
    let token = house.token("folotoy");
    let kevins = device(&server, "folotoy", "bear-01");
    let bear = host(&server, &kevins);
    bear.structured(
        "agentkeys_memory_put",
        json!({"namespace": "travel", "content": "secret"}),
    );

    let code = pair(house, "O_lily_002", "folotoy", RIGHTS);
    let lilys = register(&server, &token, "bear-01", &code).json();
    assert_ne!(lilys["actor_omni"], kevins["actor_omni"]);
    refused(&bear.call(WHOAMI, json!({})), 401, "auth.token_revoked");
    let read =
        host(&server, &lilys).structured("agentkeys_memory_get", json!({"namespace": "travel"}));
    assert_eq!(
        (&read["content"], &read["version"]),
        (&json!(""), &json!(0))
    );
    let shown = house.ok(&["actor", "show", &text(&lilys, "alias")]);
    assert_eq!(shown["time_zone"], "Asia/Tokyo");
    let left = server
        .host_of(&token)
        .with("x-agentkeys-actor", &text(&kevins, "alias"));
    refused(&left.call(WHOAMI, json!({})), 403, "auth.actor_forbidden");

    // Back with its first family it finds what it left there.
    let back = device(&server, "folotoy", "bear-01");
    assert_eq!(back["actor_omni"], kevins["actor_omni"]);
    let read =
        host(&server, &back).structured("agentkeys_memory_get", json!({"namespace": "travel"}));
    assert_eq!(read["content"], "secret");
}

#[test]
fn only_a_vendors_own_backend_has_devices_and_only_its_own() {
    let server = Server::demo();
    let house = &server.house;
    let bear = device(&server, "magiclick", "bear-01");
    let code = pair(house, "O_kevin_001", "magiclick", RIGHTS);
    let pinned = house.ok(&[
        "vendor",
        "token",
        "create",
        "--vendor",
        "magiclick",
        "--actor",
        "O_kevin_001",
    ]);
    for token in [
        text(&pinned, "token"),
        text(&bear, "jwt"),
        server.reader("operator", &[]),
        server.reader("parent", &["--actor", "O_kevin_001"]),
    ] {
        refused(
            &register(&server, &token, "bear-02", &code),
            403,
            "auth.role_forbidden",
        );
        refused(
            &remove(&server, &token, "bear-01"),
            403,
            "auth.role_forbidden",
        );
    }
    refused(
        &register(&server, "akv_x", "bear-02", &code),
        401,
        "auth.token_malformed",
    );

    let theirs = house.token("folotoy");
    let foreign = remove(&server, &theirs, "bear-01");
    refused(&foreign, 404, "device.not_found");
    for unknown in ["bear-99", "a%20b", "%F0%9F%90%BB"] {
        assert_eq!(remove(&server, &theirs, unknown).body, foreign.body);
    }
    assert_eq!(host(&server, &bear).call(WHOAMI, json!({})).status, 200);
    let ours = house.token("magiclick");
    assert_eq!(remove(&server, &ours, "bear-01").status, 200);
    refused(&remove(&server, &ours, "bear-01"), 404, "device.not_found");
    assert_eq!(register(&server, &ours, "register", &code).status, 200);
    assert_eq!(remove(&server, &ours, "register").status, 200);
    let rows = house.events(&["--tool", "vendor.device.remove"]);
    assert_eq!(rows.len(), 4 + 4 + 3, "every try is a row");
}

#[test]
fn a_registration_that_is_no_request_uses_nothing_up() {
    let server = Server::demo();
    let house = &server.house;
    let (token, code) = (
        house.token("magiclick"),
        pair(house, "O_kevin_001", "magiclick", RIGHTS),
    );
    let url = format!("{}/v1/vendor/devices/register", server.base);
    let post = |body: String| send(server.http.post(&url).bearer_auth(&token).body(body));
    for body in [
        String::new(),
        "[]".to_owned(),
        json!({"device_id": "bear-01"}).to_string(),
        json!({"pairing_code": code}).to_string(),
        json!({"device_id": 1, "pairing_code": code}).to_string(),
        json!({"device_id": "bear-01", "pairing_code": code, "read": ["family"]}).to_string(),
        format!(r#"{{"device_id": "a", "device_id": "b", "pairing_code": "{code}"}}"#),
    ] {
        refused(&post(body), 400, "http.request_malformed");
    }
    let long = "x".repeat(129);
    for id in ["", "a b", "../x", &long] {
        refused(
            &register(&server, &token, id, &code),
            400,
            "device.id_invalid",
        );
    }
    assert_eq!(
        register(&server, &token, "aa:bb:cc:dd:ee:ff", &code.to_lowercase()).status,
        200
    );
    let rows = house.events(&["--tool", REGISTER]);
    assert_eq!(rows.len(), 7 + 4 + 1);
}
