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
