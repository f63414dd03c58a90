//! Budgets that accumulate, also when everybody asks at once.

use super::support::Server;
use serde_json::{Value, json};

#[test]
fn sixty_four_checks_at_once_spend_the_cap_once() {
    let house = super::support::House::demo();
    let server = Server::over(house, &[("AGENTKEYS_LIMITS_CALLS_PER_SECOND", "0")]);
    let host = server.host("magiclick");
    let accepted = std::sync::atomic::AtomicU32::new(0);
    std::thread::scope(|scope| {
        for _ in 0..64 {
            scope.spawn(|| {
                let said = host.text(
                    "agentkeys.permission.check",
                    json!({"scope": "payment.spend", "params": {"amount_rmb": 100}}),
                );
                if said.starts_with("accept") {
                    accepted.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                } else {
                    assert_eq!(
                        said,
                        "deny: daily_spend_cap_exceeded (cap=500, requested=100, period=daily)"
                    );
                }
            });
        }
    });
    assert_eq!(accepted.into_inner(), 5);
    let day = server.house.ok(&["budget", "show", "O_kevin_001"]);
    assert_eq!(day["spent_minor"], 50_000);
    assert_eq!(day["reservations"].as_array().unwrap().len(), 5);
    assert_eq!(day["time_zone"], "Asia/Shanghai");
    let rows = server
        .house
        .events(&["--tool", "agentkeys.permission.check"]);
    let count = |verdict: &str| rows.iter().filter(|r| r["verdict"] == verdict).count();
    assert_eq!((rows.len(), count("accept"), count("deny")), (64, 5, 59));
}

#[test]
fn a_reference_makes_one_reservation_and_a_release_gives_it_back() {
    let server = Server::demo();
    let host = server.host("magiclick");
    let check = |amount: Value, reference: &str| {
        let params = json!({"amount_rmb": amount, "reference": reference});
        host.text(
            "agentkeys.permission.check",
            json!({"scope": "payment.spend", "params": params}),
        )
    };
    for _ in 0..3 {
        assert!(check(json!(300), "order-1").starts_with("accept"));
    }
    assert_eq!(
        server.house.ok(&["budget", "show", "O_kevin_001"])["spent_minor"],
        30_000
    );
    assert!(check(json!(200), "order-1").starts_with("deny: reference_conflict"));
    assert!(check(json!(300), "order-2").starts_with("deny: daily_spend_cap_exceeded"));
    let day = server.house.ok(&["budget", "show", "O_kevin_001"]);
    let decision = day["reservations"][0]["decision_id"].as_str().unwrap();
    server.house.ok(&["budget", "release", decision]);
    assert!(check(json!(300), "order-2").starts_with("accept"));
    server.house.ok(&["budget", "release", &last(&server)]);
    let again = check(json!(300), "order-1");
    assert!(again.starts_with("accept"), "{again}");
}

#[test]
fn a_parent_gives_back_what_its_own_actors_set_aside_and_no_other() {
    let server = Server::demo();
    server.house.ok(&["actor", "create", "O_other"]);
    let host = server.host("magiclick");
    let check = json!({"scope": "payment.spend", "params": {"amount_rmb": 400}});
    let said = host.text("agentkeys.permission.check", check.clone());
    assert!(said.starts_with("accept"), "{said}");
    let decision = last(&server);
    let release = |parent_of: &str, actor: &str, body: Value| {
        let token = server.reader("parent", &["--actor", parent_of]);
        let url = format!("{}/v1/actors/{actor}/release", server.base);
        super::support::send(server.http.post(url).bearer_auth(token).json(&body))
    };
    let named = json!({"decision_id": decision});
    // Another's parent, for either actor.
    let reply = release("O_other", "O_kevin_001", named.clone());
    assert_eq!(reply.status, 404, "{}", reply.body);
    let reply = release("O_other", "O_other", named.clone());
    assert_eq!(
        (reply.status, reply.code().as_str()),
        (409, "agentkeys.budget.not_reserved")
    );
    let reply = release("O_kevin_001", "O_kevin_001", json!({"decision": decision}));
    assert_eq!(reply.status, 400, "{}", reply.body);
    let day = || server.house.ok(&["budget", "show", "O_kevin_001"])["spent_minor"].clone();
    assert_eq!(day(), 40_000);
    let reply = release("O_kevin_001", "O_kevin_001", named.clone());
    assert_eq!(
        (reply.status, &reply.json()["state"]),
        (200, &json!("released"))
    );
    assert_eq!(day(), 0);
    let again = release("O_kevin_001", "O_kevin_001", named);
    assert_eq!(
        (again.status, again.code().as_str()),
        (409, "agentkeys.budget.not_reserved")
    );
    let said = host.text("agentkeys.permission.check", check);
    assert!(said.starts_with("accept"), "{said}");
    let rows = server.house.events(&["--tool", "budget.release"]);
    let done: Vec<_> = rows.iter().filter(|r| r["verdict"] == "accept").collect();
    assert_eq!(done.len(), 1, "{rows:?}");
    assert_eq!(done[0]["actor_omni"], server.house.actor());
    let statuses: Vec<_> = rows.iter().map(|r| r["status"].as_u64().unwrap()).collect();
    assert_eq!(
        statuses,
        [404, 409, 400, 200, 409],
        "each refusal is a row too"
    );
}

/// The newest decision that holds money.
fn last(server: &Server) -> String {
    let day = server.house.ok(&["budget", "show", "O_kevin_001"]);
    let all = day["reservations"].as_array().unwrap();
    let held = all.iter().rfind(|r| r["state"] == "reserved").unwrap();
    held["decision_id"].as_str().unwrap().to_owned()
}

#[test]
fn another_vendors_spending_counts_too() {
    let server = Server::demo();
    server.house.ok(&[
        "actor",
        "grant",
        "O_kevin_001",
        "--vendor",
        "folotoy",
        "--scope",
        "payment.spend",
        "--daily-cap",
        "400RMB",
    ]);
    let args = |amount: u32| json!({"scope": "payment.spend", "params": {"amount_rmb": amount}});
    assert!(
        server
            .host("magiclick")
            .text("agentkeys.permission.check", args(300))
            .starts_with("accept")
    );
    let ark = |amount| {
        server
            .host("folotoy")
            .structured("agentkeys_permission_check", args(amount))
    };
    assert_eq!(
        ark(200)["explanation"],
        "cap=400, requested=200, period=daily"
    );
    assert_eq!(ark(100)["verdict"], "accept");
}

#[test]
fn wrong_amounts_are_denied_and_reserve_nothing() {
    let server = Server::demo();
    let host = server.host("magiclick");
    for amount in [
        json!(-1),
        json!(0),
        json!(1.005),
        json!("600.005"),
        json!("abc"),
        json!(true),
        json!([1]),
    ] {
        let said = host.text(
            "agentkeys.permission.check",
            json!({"scope": "payment.spend", "params": {"amount_rmb": amount}}),
        );
        assert!(said.starts_with("deny: invalid_amount"), "{amount}: {said}");
    }
    let said = host.text(
        "agentkeys.permission.check",
        json!({"scope": "payment.spend"}),
    );
    assert!(said.starts_with("deny: missing_amount"), "{said}");
    assert_eq!(
        server.house.ok(&["budget", "show", "O_kevin_001"])["spent_minor"],
        0
    );
}
