//! Certificates from a real ACME server, by command and by the server alone; and bad days.

mod bad_days;
mod faults;
pub(crate) mod pebble;
mod time;

use crate::it::support::send;
use faults::{Fault, Faults};
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
            &[
                ("TLS_CHALLENGE", challenge),
                ("TLS_NAMES", more),
                ("TLS_DNS_HOOK", &hook),
            ],
        );
        let got = place.ok(&["tls", "issue"]);
        assert_eq!(
            (&got["changed"], &got["names"]),
            (&json!(true), &json!(names)),
            "{challenge}"
        );
        let status = place.ok(&["tls", "status"]);
        assert_eq!(status["fingerprint"], got["fingerprint"]);
        let findings = status["findings"].as_array().unwrap();
        assert!(findings.iter().all(|f| f["status"] == "ok"), "{status}");
        // There is one: another would cost, and is not asked for.
        let again = place.ok(&["tls", "issue"]);
        assert_eq!(
            (&again["changed"], &again["fingerprint"]),
            (&json!(false), &got["fingerprint"])
        );
        let row = |reason: &str| {
            (
                "tls.issue".to_owned(),
                "accept".to_owned(),
                reason.to_owned(),
            )
        };
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
    let wanted =
        "_acme-challenge.agents.test _acme-challenge.agents.test _acme-challenge.mcp.agents.test";
    assert_eq!(
        (of("set ").as_str(), of("remove ").as_str()),
        (wanted, wanted)
    );
}

#[test]
#[ignore = "needs tests/sdk/install"]
fn the_server_gets_one_by_itself_over_each_challenge_and_bad_nonces() {
    let env = [("PEBBLE_WFE_NONCEREJECT", "50")];
    let pebble = Pebble::with(Edition::Stable, &env, &json!({})).unwrap();
    let hook = pebble.hook().display().to_string();
    let client = pebble.client(HOST, pebble.tls);
    for challenge in ["http-01", "tls-alpn-01", "dns-01"] {
        let place = Place::new(
            &pebble,
            &[("TLS_CHALLENGE", challenge), ("TLS_DNS_HOOK", &hook)],
        );
        let serving = place.serve();
        serving.says("a certificate is served");
        assert!(answers(&client, HOST, pebble.tls), "{challenge}");
        let rows = place.rows();
        assert_eq!(rows.len(), 1, "{rows:?}");
    }
}

#[test]
#[ignore = "needs tests/sdk/install"]
fn a_run_that_is_killed_is_gone_on_with_and_orders_once() {
    let pebble = Pebble::start();
    for (path, fault) in [
        ("/finalize-order/", Fault::Hang),
        ("/finalize-order/", Fault::Lost),
        ("/certZ/", Fault::Hang),
    ] {
        let faults = Faults::before(&pebble);
        let place = Place::new(&pebble, &[("TLS_DIRECTORY", &faults.directory())]);
        faults.set(path, fault.clone(), 1);
        let mut child = place.begin(&["tls", "issue"]);
        faults.met();
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(
            (faults.orders(), place.tls("live.pem").exists()),
            (1, false)
        );
        place.ok(&["tls", "issue"]);
        assert_eq!(faults.orders(), 1, "{path} {fault:?}");
        assert!(place.tls("live.pem").exists() && !place.tls("order.json").exists());
    }
}

#[test]
#[ignore = "needs tests/sdk/install"]
fn from_an_empty_folder_to_an_answered_host_in_four_commands() {
    let pebble = Pebble::start();
    let mut place = Place::empty(&pebble, &[]);
    // What a public host would not have to say: another authority, and ports that a test may open.
    for key in ["SERVER_PUBLIC_URL", "TLS_MODE"] {
        place
            .env
            .retain(|(name, _)| *name != format!("AGENTKEYS_{key}"));
    }
    place.set("TLS_STAGING_DIRECTORY", &pebble.directory());
    place.house.init = place.ok(&[
        "init",
        "--demo",
        "--domain",
        "agents.test",
        "--email",
        "ops@agents.test",
    ]);
    place.ok(&["tls", "issue", "--staging"]);
    place.ok(&["tls", "issue"]);
    let serving = place.serve();
    serving.says("\"ready\"");
    let client = pebble.client(HOST, pebble.tls);
    let url = format!("https://{HOST}:{}/mcp", pebble.tls);
    let whoami = json!({"name": "agentkeys.identity.whoami", "arguments": {}});
    let call = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": whoami});
    let request = client.post(url);
    let request = request.header("accept", "application/json, text/event-stream");
    let request = request.header("content-type", "application/json");
    let request = request.header("x-agentkeys-actor", place.house.actor());
    let reply = send(
        request
            .bearer_auth(place.house.token("magiclick"))
            .body(call.to_string()),
    );
    assert_eq!(reply.status, 200, "{}", reply.body);
    assert!(reply.body.contains(&place.house.actor()), "{}", reply.body);
}

#[test]
#[ignore = "needs tests/sdk/install"]
fn a_certificate_that_ended_is_replaced_at_the_start_and_names_are_looked_at() {
    let pebble = Pebble::start();
    let mut place = Place::new(&pebble, &[]);
    std::fs::create_dir_all(place.tls("")).unwrap();
    let mut params = rcgen::CertificateParams::new(vec![HOST.to_owned()]).unwrap();
    params.not_before = rcgen::date_time_ymd(2024, 1, 1);
    params.not_after = rcgen::date_time_ymd(2024, 3, 1);
    let key = rcgen::KeyPair::generate().unwrap();
    let ended = params.self_signed(&key).unwrap();
    let both = format!("{}{}", ended.pem(), key.serialize_pem());
    std::fs::write(place.tls("live.pem"), both).unwrap();
    let status = place.unwell();
    let open: Vec<_> = status["findings"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|f| f["status"] != "ok")
        .collect();
    assert_eq!(open[0]["id"], "certificate");
    assert!(
        open[0]["cause"].as_str().unwrap().contains("ended"),
        "{status}"
    );
    let client = pebble.client(HOST, pebble.tls);
    let serving = place.serve();
    serving.says("does not hold now");
    serving.says("a certificate is served");
    assert!(answers(&client, HOST, pebble.tls));
    drop(serving);
    // Another name in the configuration.
    place.set(
        "RELAY_PUBLIC_URL",
        "wss://relay.agents.test/mcp_endpoint/mcp/"
            .replace("wss", "https")
            .as_str(),
    );
    let serving = place.serve();
    serving.says("a certificate was got");
    serving.says("a certificate is served");
    let client = pebble.client("relay.agents.test", pebble.tls);
    assert!(answers(&client, "relay.agents.test", pebble.tls));
    let rows: Vec<_> = place.rows().into_iter().map(|(tool, ..)| tool).collect();
    assert_eq!(rows, ["tls.renew", "tls.renew"]);
}

#[test]
#[ignore = "needs tests/sdk/install"]
fn a_renewal_costs_no_request() {
    let pebble = Pebble::start();
    let place = Place::new(&pebble, &[]);
    let serving = place.serve();
    serving.says("a certificate is served");
    let client = pebble.client(HOST, pebble.tls);
    let done = std::sync::atomic::AtomicBool::new(false);
    let before = place.ok(&["tls", "status"])["fingerprint"].clone();
    let answered = std::thread::scope(|scope| {
        let asking = scope.spawn(|| {
            let mut answered = 0;
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                assert!(answers(&client, HOST, pebble.tls));
                answered += 1;
            }
            answered
        });
        // Through the server, which has the port; it sees the file.
        let renewed = place.run(&["tls", "renew", "--force"]);
        serving.says("a certificate is served");
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        assert!(renewed.status.success());
        asking.join().unwrap()
    });
    assert!(answered > 10, "{answered}");
    assert_ne!(place.ok(&["tls", "status"])["fingerprint"], before);
    assert_eq!(place.ok(&["tls", "renew"])["changed"], false);
}

#[test]
#[ignore = "needs tests/sdk/install"]
fn a_rehearsal_keeps_nothing_and_one_process_at_a_time_asks() {
    let pebble = Pebble::start();
    let faults = Faults::before(&pebble);
    let mut place = Place::new(&pebble, &[("TLS_STAGING_DIRECTORY", &pebble.directory())]);
    let rehearsed = place.ok(&["tls", "issue", "--staging"]);
    assert_eq!(rehearsed["rehearsal"], true);
    assert!(!place.tls("live.pem").exists() && !place.tls("rehearsal.json").exists());
    assert!(place.rows().is_empty());
    // A server without a certificate that waits for an answer, and a command beside it.
    place.set("TLS_DIRECTORY", &faults.directory());
    faults.set("/order-plz", Fault::Hang, 1);
    let serving = place.serve();
    faults.met();
    let (exit, error) = place.fails(&["tls", "issue", "--force"]);
    assert_eq!((exit, &error["code"]), (1, &json!("agentkeys.tls.busy")));
    let pid = format!("process {} ", serving.child.id());
    assert!(
        error["cause"].as_str().unwrap().starts_with(&pid),
        "{error}"
    );
    drop(serving);
    place.set("TLS_STAGING_DIRECTORY", "");
    let code = |place: &Place, args: &[&str]| place.refused(args);
    assert_eq!(
        code(&place, &["tls", "issue", "--staging"]),
        (3, "agentkeys.tls.configuration".to_owned())
    );
    place.set("TLS_NAMES", "*.agents.test");
    assert_eq!(
        code(&place, &["tls", "issue"]),
        (3, "agentkeys.tls.configuration".to_owned())
    );
    place.set("TLS_NAMES", "");
    place.set("TLS_DIRECTORY", "https://localhost:1/dir");
    assert_eq!(
        code(&place, &["tls", "issue"]),
        (8, "agentkeys.tls.ca_unreachable".to_owned())
    );
    place.set("TLS_MODE", "none");
    assert_eq!(
        code(&place, &["tls", "issue"]),
        (3, "agentkeys.tls.not_acme".to_owned())
    );
}

#[test]
#[ignore = "needs tests/sdk/install"]
fn a_revoked_certificate_is_replaced_at_once_by_one_with_another_key() {
    let pebble = Pebble::start();
    let mut place = Place::new(&pebble, &[]);
    let first = place.ok(&["tls", "issue"]);
    assert_eq!(
        place.refused(&["tls", "revoke"]),
        (2, "agentkeys.tls.not_confirmed".to_owned())
    );
    // An authority that does not answer: the record says that nothing came of it.
    place.set("TLS_DIRECTORY", "https://localhost:1/dir");
    let revoke = ["tls", "revoke", "--reason", "keyCompromise", "--yes"];
    assert_eq!(place.refused(&revoke).1, "agentkeys.tls.account");
    place.set("TLS_DIRECTORY", &pebble.directory());
    let revoked = place.ok(&revoke);
    assert_eq!(revoked["revoked"], first["fingerprint"]);
    assert_ne!(revoked["replaced_by"]["fingerprint"], first["fingerprint"]);
    let key = |name: &str| {
        let pem = std::fs::read_to_string(place.tls(name)).unwrap();
        pem.split("PRIVATE KEY").nth(1).unwrap().to_owned()
    };
    assert_ne!(key("live.pem"), key("previous.pem"));
    // Without another the names are given up; a server would get one all the same.
    place.ok(&["tls", "revoke", "--reason", "cessationOfOperation", "--yes"]);
    let status = place.unwell();
    let findings = status["findings"].as_array().unwrap();
    assert!(
        findings
            .iter()
            .any(|f| f["id"] == "revoked" && f["status"] == "failed"),
        "{status}"
    );
    assert_eq!(place.ok(&["tls", "issue"])["changed"], true);
    let rows = place.rows().into_iter();
    let rows: Vec<_> = rows
        .map(|(tool, verdict, _)| format!("{tool} {verdict}"))
        .collect();
    assert_eq!(
        rows,
        [
            "tls.issue accept",
            "tls.revoke accept",
            "tls.revoke error",
            "tls.revoke accept",
            "tls.renew accept",
            "tls.revoke accept",
            "tls.renew accept",
        ]
    );
}
