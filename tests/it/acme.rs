//! Certificates from a real ACME server, by command and by the server alone; and bad days.

pub(crate) mod pebble;

use pebble::{Edition, HOST, Pebble, Place, answers};
use serde_json::json;
use std::os::unix::fs::PermissionsExt as _;

#[test]
#[ignore = "needs tests/sdk/install"]
fn a_certificate_is_got_by_command_over_each_challenge() {
    let pebble = Pebble::start();
    let hook = pebble.hook().display().to_string();
    for (challenge, more) in [
        ("http-01", ""),
        ("tls-alpn-01", ""),
        ("dns-01", "*.agents.test,agents.test"),
    ] {
        let mut names = vec![HOST.to_owned()];
        names.extend(more.split(',').filter(|n| !n.is_empty()).map(str::to_owned));
        names.sort();
        let place = Place::new(
            &pebble,
            &[("TLS_CHALLENGE", challenge), ("TLS_NAMES", more), ("TLS_DNS_HOOK", &hook)],
        );
        let got = place.ok(&["tls", "issue"]);
        assert_eq!((&got["changed"], &got["names"]), (&json!(true), &json!(names)), "{challenge}");
        let status = place.ok(&["tls", "status"]);
        assert_eq!(status["fingerprint"], got["fingerprint"]);
        let findings = status["findings"].as_array().unwrap();
        assert!(findings.iter().all(|f| f["status"] == "ok"), "{status}");
        // There is one: another would cost, and is not asked for.
        let again = place.ok(&["tls", "issue"]);
        assert_eq!((&again["changed"], &again["fingerprint"]), (&json!(false), &got["fingerprint"]));
        let row = |reason: &str| ("tls.issue".to_owned(), "accept".to_owned(), reason.to_owned());
        assert_eq!(place.rows(), [row("issued")]);
        for entry in std::fs::read_dir(place.tls("")).unwrap() {
            let entry = entry.unwrap();
            let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
            let wanted = if entry.path().is_dir() { 0o700 } else { 0o600 };
            assert_eq!(mode, wanted, "{:?}", entry.path());
        }
        assert!(!place.tls("order.json").exists() && !place.tls("http-01").exists());
    }
    // What was set was taken away, both values of the one name too.
    let calls = pebble.hooked();
    let of = |verb: &str| {
        let mut names: Vec<_> = calls.iter().filter_map(|c| c.strip_prefix(verb)).collect();
        names.sort_unstable();
        names.join(" ")
    };
    let wanted = "_acme-challenge.agents.test _acme-challenge.agents.test _acme-challenge.mcp.agents.test";
    assert_eq!((of("set ").as_str(), of("remove ").as_str()), (wanted, wanted));
}

#[test]
#[ignore = "needs tests/sdk/install"]
fn the_server_gets_one_by_itself_over_each_challenge_and_bad_nonces() {
    let env = [("PEBBLE_WFE_NONCEREJECT", "50")];
    let pebble = Pebble::with(Edition::Stable, &env, &json!({})).unwrap();
    let hook = pebble.hook().display().to_string();
    let client = pebble.client(HOST, pebble.tls);
    for challenge in ["http-01", "tls-alpn-01", "dns-01"] {
        let place = Place::new(&pebble, &[("TLS_CHALLENGE", challenge), ("TLS_DNS_HOOK", &hook)]);
        let serving = place.serve();
        serving.says("a certificate is served");
        assert!(answers(&client, HOST, pebble.tls), "{challenge}");
        let rows = place.rows();
        assert_eq!(rows.len(), 1, "{rows:?}");
    }
}
