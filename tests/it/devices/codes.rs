//! Codes: once, by their vendor, and nothing told about those that are no good.

use super::{RIGHTS, WHOAMI, actors, host, pair, refused, register, text};
use crate::it::support::{Server, wait};
use agentkeys::authority::calls::device::REGISTER;
use serde_json::{Value, json};

#[test]
fn every_code_that_cannot_be_used_is_refused_alike() {
    let server = Server::demo();
    let house = &server.house;
    let ours = house.token("magiclick");
    let used = pair(house, "O_kevin_001", "magiclick", RIGHTS);
    assert_eq!(register(&server, &ours, "bear-01", &used).status, 200);
    let theirs = pair(house, "O_kevin_001", "folotoy", RIGHTS);
    let before = (actors(house), house.events(&["--tool", REGISTER]).len());

    let wrong = used.chars().rev().collect::<String>();
    let codes = [
        used.as_str(),
        &theirs,
        &wrong,
        "BBBB-BBBB-BBBB",
        "nonsense",
        "",
    ];
    let replies: Vec<_> = codes
        .iter()
        .map(|code| register(&server, &ours, "bear-02", code))
        .collect();
    for (code, reply) in codes.iter().zip(&replies) {
        refused(reply, 403, "device.pairing_refused");
        assert_eq!(reply.body, replies[0].body, "{code}");
    }
    let rows = house.events(&["--tool", REGISTER]);
    assert_eq!(rows.len(), before.1 + codes.len(), "every try is a row");
    for row in &rows[before.1..] {
        let told = (
            &row["reason"],
            &row["status"],
            &row["verdict"],
            &row["op_kind"],
        );
        let wanted = (
            &json!("pairing_refused"),
            &json!(403),
            &json!("deny"),
            &json!(122),
        );
        assert_eq!(told, wanted);
        assert_eq!(
            (&row["vendor"], &row["actor_omni"]),
            (&json!("magiclick"), &Value::Null)
        );
    }
    assert_eq!(actors(house), before.0, "nothing was created");
    let devices = house.ok(&["vendor", "device", "list"]);
    assert_eq!(devices["devices"].as_array().unwrap().len(), 1);
    // A code that was tried by the wrong vendor is still the right one's.
    assert_eq!(
        register(&server, &house.token("folotoy"), "bear-02", &theirs).status,
        200
    );
}

#[test]
fn wrong_codes_are_counted_against_their_token() {
    let server = Server::demo();
    let house = &server.house;
    let ours = house.token("magiclick");
    for _ in 0..10 {
        let reply = register(&server, &ours, "bear-01", "BBBB-BBBB-BBBB");
        refused(&reply, 403, "device.pairing_refused");
    }
    let good = pair(house, "O_kevin_001", "magiclick", RIGHTS);
    let limited = register(&server, &ours, "bear-01", &good);
    refused(&limited, 429, "http.rate_limited");
    let wait: u64 = limited.headers["retry-after"]
        .to_str()
        .unwrap()
        .parse()
        .unwrap();
    assert!((1..=60).contains(&wait), "{wait}");
    let rows = house.events(&["--tool", REGISTER]);
    assert_eq!((rows.len(), &rows[10]["status"]), (11, &json!(429)));

    // Neither another token of the vendor nor good codes are touched by it.
    let other = house.ok(&["vendor", "token", "create", "--vendor", "magiclick"]);
    let other = text(&other, "token");
    assert_eq!(register(&server, &other, "bear-01", &good).status, 200);
    for n in 0..12 {
        let code = pair(house, "O_kevin_001", "magiclick", RIGHTS);
        assert_eq!(
            register(&server, &other, &format!("b{n}"), &code).status,
            200
        );
    }
}

#[test]
fn of_many_registrations_with_one_code_exactly_one_wins() {
    let server = Server::demo();
    let house = &server.house;
    let code = pair(house, "O_kevin_001", "magiclick", RIGHTS);
    let before = actors(house);
    let url = format!("{}/v1/vendor/devices/register", server.base);
    let token = house.token("magiclick");
    let statuses = wait(async {
        let one = |n: usize| {
            // Half for the same device, half for others.
            let device = format!("bear-{}", if n.is_multiple_of(2) { 0 } else { n });
            let body = json!({"device_id": device, "pairing_code": code});
            let request = server.http.post(&url).bearer_auth(&token).json(&body);
            async move { request.send().await.unwrap().status().as_u16() }
        };
        futures_util::future::join_all((0..8).map(one)).await
    });
    assert_eq!(
        statuses.iter().filter(|s| **s == 200).count(),
        1,
        "{statuses:?}"
    );
    assert_eq!(
        statuses.iter().filter(|s| **s == 403).count(),
        7,
        "{statuses:?}"
    );
    assert_eq!(actors(house), before + 1);
    let rows = house.events(&["--tool", REGISTER]);
    assert_eq!(rows.len(), 8);
    assert_eq!(rows.iter().filter(|r| r["verdict"] == "accept").count(), 1);
    let devices = house.ok(&["vendor", "device", "list"]);
    assert_eq!(devices["devices"].as_array().unwrap().len(), 1);
    let jwts = house.ok(&["vendor", "token", "list"]);
    let jwts = jwts["tokens"].as_array().unwrap().iter();
    assert_eq!(jwts.filter(|t| !t["device_id"].is_null()).count(), 1);
}

#[test]
fn one_device_with_many_codes_ends_with_one_jwt_that_works() {
    let server = Server::demo();
    let house = &server.house;
    let codes: Vec<_> = (0..6)
        .map(|_| pair(house, "O_kevin_001", "magiclick", RIGHTS))
        .collect();
    let url = format!("{}/v1/vendor/devices/register", server.base);
    let token = house.token("magiclick");
    let answers = wait(async {
        let one = |code: &String| {
            let body = json!({"device_id": "bear-01", "pairing_code": code});
            let request = server.http.post(&url).bearer_auth(&token).json(&body);
            async move { request.send().await.unwrap().json::<Value>().await.unwrap() }
        };
        futures_util::future::join_all(codes.iter().map(one)).await
    });
    let mut generations: Vec<_> = answers.iter().map(|a| a["generation"].as_u64()).collect();
    generations.sort_unstable();
    assert_eq!(
        generations,
        (0..6).map(Some).collect::<Vec<_>>(),
        "{answers:?}"
    );
    for answer in &answers {
        let status = host(&server, answer).call(WHOAMI, json!({})).status;
        let newest = answer["generation"] == 5;
        assert_eq!(status, if newest { 200 } else { 401 });
    }
}
