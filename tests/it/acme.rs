//! Certificates from a real ACME server, by command and by the server alone; and bad days.

mod faults;
pub(crate) mod pebble;
mod time;

use crate::it::support::send;
use agentkeys::jobs::renewal::Done;
use agentkeys::tls::Facts;
use agentkeys::tls::acme::Kind;
use faults::{Fault, Faults};
use pebble::{Edition, HOST, Pebble, Place, answers};
use serde_json::json;
use std::os::unix::fs::PermissionsExt as _;
use time::Worker;

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

/// Whether a wait is that long, but for what the test itself took.
fn near(seconds: i64, wanted: i64) -> bool {
    (wanted - 3..=wanted + 3).contains(&seconds)
}

#[test]
#[ignore = "needs tests/sdk/install"]
fn an_authority_that_is_down_or_slow_down_is_asked_again_when_it_makes_sense() {
    let mut pebble = Pebble::start();
    let faults = Faults::before(&pebble);
    let mut worker = Worker::new(&pebble, Some(&faults));
    for (path, fault, kind) in [
        ("/dir", Fault::Status(503, None), Kind::Unreachable),
        ("/sign-me-up", Fault::Status(500, None), Kind::Unreachable),
        ("/dir", Fault::Half, Kind::Unreachable),
    ] {
        faults.set(path, fault, 1);
        worker.fails(kind);
        let wait = worker.comes_again();
        assert!(near(wait, 60) || near(wait, 120), "{wait}");
    }
    // What it asks for goes before the ladder, as a number and as a date.
    faults.set("/order-plz", Fault::Status(429, Some("5400".to_owned())), 1);
    worker.fails(Kind::RateLimited);
    let wait = worker.comes_again();
    assert!(near(wait, 5400), "{wait}");
    let later = std::time::SystemTime::now() + std::time::Duration::from_mins(220);
    let date = httpdate::fmt_http_date(later);
    faults.set("/order-plz", Fault::Status(503, Some(date)), 1);
    worker.fails(Kind::Unreachable);
    let wait = worker.comes_again();
    assert!(near(wait, 13_200), "{wait}");
    // Nobody there at all: whatever was begun waits, and then goes on by itself.
    pebble.kill();
    worker.fails(Kind::Unreachable);
    worker.comes_again();
    pebble.run();
    let got = worker.gets();
    assert_eq!(worker.live(), got);
    assert!(!worker.path("order.json").exists());
    // The clock of this worker is ahead by hours now, which is said when something fails.
    assert!(worker.rests() > 0);
}

#[test]
#[ignore = "needs tests/sdk/install"]
fn a_request_that_hangs_ends() {
    let pebble = Pebble::start();
    let faults = Faults::before(&pebble);
    let mut worker = Worker::new(&pebble, Some(&faults));
    faults.set("/nonce-plz", Fault::Hang, 1);
    let started = std::time::Instant::now();
    let trouble = worker.fails(Kind::Unreachable);
    assert!(started.elapsed().as_secs() < 40, "{trouble}");
    worker.comes_again();
    worker.gets();
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
fn an_authority_that_forgot_the_account_gets_another() {
    let mut pebble = Pebble::start();
    let mut worker = Worker::new(&pebble, None);
    let first = worker.gets();
    pebble.kill();
    pebble.run();
    worker.move_clock(61 * 86_400);
    let second = match worker.step() {
        Done::Asked => worker.gets(),
        Done::Got(facts) => facts,
        other => panic!("{other:?}"),
    };
    assert_ne!(first.fingerprint, second.fingerprint);
}

#[test]
#[ignore = "needs tests/sdk/install"]
fn what_is_wrong_is_told_apart_and_recovered_from() {
    let pebble = Pebble::start();
    let faults = Faults::before(&pebble);
    let mut worker = Worker::new(&pebble, Some(&faults));
    let host = json!({"host": format!("{HOST}.")});
    // No such name. A row says so once, however often it is tried.
    pebble.dns("set-servfail", &host);
    for _ in 0..3 {
        let trouble = worker.fails(Kind::Dns);
        assert!(trouble.cause.contains(HOST), "{trouble}");
        worker.comes_again();
    }
    pebble.dns("clear-servfail", &host);
    // It leads elsewhere.
    let elsewhere = json!({"host": format!("{HOST}."), "addresses": ["127.0.0.2"]});
    pebble.dns("add-a", &elsewhere);
    worker.fails(Kind::Connection);
    worker.comes_again();
    pebble.dns("clear-a", &host);
    // Nobody answers.
    worker.shut(&pebble);
    worker.fails(Kind::Connection);
    worker.comes_again();
    worker.open(&pebble);
    // Nothing can be written: nothing is asked for.
    let before = faults.orders();
    let order = worker.path("order.json");
    std::fs::remove_file(&order).unwrap();
    std::fs::create_dir_all(order.join("in the way")).unwrap();
    worker.fails(Kind::Disk);
    worker.comes_again();
    assert_eq!(faults.orders(), before);
    std::fs::remove_dir_all(&order).unwrap();
    let good = worker.gets();
    // A name that it does not issue for: what is served stays.
    worker.change(|config| config.names = vec!["www.blocked.test".to_owned()]);
    worker.fails(Kind::Rejected);
    assert_eq!(worker.live(), good);
    let mut rows: Vec<_> = worker
        .rows()
        .into_iter()
        .map(|(_, _, reason)| reason)
        .collect();
    rows.dedup();
    assert_eq!(
        rows,
        ["dns", "connection", "files", "issued", "name_rejected"]
    );
    // Changed names are a reason for another.
    worker.change(|config| config.names = vec!["relay.agents.test".to_owned()]);
    worker.comes_again();
    assert_eq!(worker.gets().names, [HOST, "relay.agents.test"]);
}

#[test]
#[ignore = "needs tests/sdk/install"]
fn what_an_authority_forbids_is_told_in_its_own_words() {
    let pebble = Pebble::start();
    let faults = Faults::before(&pebble);
    let mut worker = Worker::new(&pebble, Some(&faults));
    // Pebble looks at no CAA record; Let's Encrypt does, at this place and with these words.
    let words = "CAA record for mcp.agents.test prevents issuance";
    for (path, word, kind) in [
        ("/order-plz", "rejectedIdentifier", Kind::Rejected),
        ("/order-plz", "userActionRequired", Kind::Account),
        ("/finalize-order/", "caa", Kind::Caa),
    ] {
        faults.set(path, Fault::Refusal(word, words), 1);
        let trouble = worker.fails(kind);
        assert!(trouble.cause.contains(words), "{trouble}");
        worker.comes_again();
    }
    worker.gets();
    assert_eq!(faults.orders(), 3, "the last one was gone on with");
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

/// One profile, so that pebble has none to choose.
fn profiles() -> serde_json::Value {
    json!({"profiles": {"default": {"description": "90 d", "validityPeriod": 7_776_000}}})
}

#[test]
#[ignore = "needs tests/sdk/install"]
fn a_clock_that_is_behind_costs_one_order_and_recovers() {
    let pebble = Pebble::start();
    let faults = Faults::before(&pebble);
    let mut worker = Worker::new(&pebble, Some(&faults));
    worker.move_clock(-86_400);
    for _ in 0..2 {
        let trouble = worker.fails(Kind::Clock);
        assert!(
            trouble.cause.contains("minutes behind the ACME server"),
            "{trouble}"
        );
        worker.comes_again();
    }
    assert!(!worker.path("live.pem").exists());
    worker.move_clock(86_400);
    worker.gets();
    assert_eq!(faults.orders(), 1);
}

#[test]
#[ignore = "needs tests/sdk/install"]
fn a_refusal_is_rehearsed_before_the_next_real_order() {
    let (pebble, staging) = (Pebble::start(), Pebble::start());
    let faults = Faults::before(&pebble);
    let mut worker = Worker::new(&pebble, Some(&faults));
    // Both trust files in one, and both look at one door.
    let both = worker.outside("both.pem");
    std::fs::write(&both, format!("{}{}", pebble.own.ca, staging.own.ca)).unwrap();
    worker.change(|config| {
        config.ca_file = Some(both);
        config.staging = Some(staging.directory().parse().unwrap());
    });
    worker.shut(&pebble);
    worker.fails(Kind::Connection);
    worker.comes_again();
    worker.fails(Kind::Connection);
    assert_eq!(faults.orders(), 1, "the second was a rehearsal");
    worker.comes_again();
    worker.config.http_listen.set_port(staging.http);
    worker.open(&staging);
    assert!(matches!(worker.step(), Done::Rehearsed));
    assert!(!worker.path("live.pem").exists() && faults.orders() == 1);
    worker.shut(&staging);
    worker.config.http_listen.set_port(pebble.http);
    worker.open(&pebble);
    worker.gets();
    assert_eq!(faults.orders(), 2);
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
    let status = place.ok(&["tls", "status"]);
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
    let (exit, error) = place.fails(&["tls", "issue"]);
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
    let status = place.ok(&["tls", "status"]);
    let findings = status["findings"].as_array().unwrap();
    assert!(
        findings
            .iter()
            .any(|f| f["id"] == "revoked" && f["status"] == "bad"),
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

#[test]
#[ignore = "needs tests/sdk/install"]
fn the_authority_says_when_to_renew_and_hears_what_is_replaced() {
    let Some(pebble) = Pebble::with(Edition::Unstable, &[], &profiles()) else {
        return;
    };
    let faults = Faults::before(&pebble);
    let mut worker = Worker::new(&pebble, Some(&faults));
    let first = worker.gets();
    assert!(matches!(worker.step(), Done::Asked));
    // Two thirds of its life, by what it says itself.
    let rest = worker.rests();
    assert!(rest > 0 && rest <= 12 * 3600, "{rest}");
    let leaf = std::fs::read_to_string(worker.path("live.pem")).unwrap();
    let end = "-----END CERTIFICATE-----";
    let leaf = format!("{}{end}\n", leaf.split(end).next().unwrap());
    let past = json!({"suggestedWindow": {"start": "2020-01-01T00:00:00Z", "end": "2020-01-02T00:00:00Z"}});
    let told = json!({"Certificate": leaf, "ARIResponse": past.to_string()});
    pebble.manage("set-renewal-info/", Some(&told));
    worker.move_clock(rest);
    assert!(matches!(worker.step(), Done::Asked));
    // Not so soon after the one before.
    let pause = worker.comes_again();
    assert!(pause < 3600, "{pause}");
    let second = worker.gets();
    assert_ne!(first.fingerprint, second.fingerprint);
    let orders = faults.asked("/order-plz");
    assert!(orders[0].get("replaces").is_none());
    assert!(
        orders[1]["replaces"].as_str().unwrap().contains('.'),
        "{orders:?}"
    );
    // A window that makes no sense is none: age decides.
    let leaf = std::fs::read_to_string(worker.path("live.pem")).unwrap();
    let leaf = format!("{}{end}\n", leaf.split(end).next().unwrap());
    let told = json!({"Certificate": leaf, "ARIResponse": "{\"suggestedWindow\":"});
    pebble.manage("set-renewal-info/", Some(&told));
    assert!(worker.rests() > 0);
    worker.move_clock(60 * 86_400);
    match worker.step() {
        Done::Got(_) => {}
        Done::Asked => drop(worker.gets()),
        other => panic!("{other:?}"),
    }
}

#[test]
#[ignore = "needs tests/sdk/install"]
fn a_profile_is_asked_for_only_where_it_is_offered() {
    let stable = Pebble::start();
    let mut worker = Worker::new(&stable, None);
    worker.change(|config| config.profile = Some("shortlived".to_owned()));
    let trouble = worker.fails(Kind::Profile);
    assert!(trouble.cause.ends_with("offers none"), "{trouble}");
    let profiles = json!({"profiles": {
        "classic": {"description": "90 d", "validityPeriod": 7_776_000},
        "shortlived": {"description": "6 d", "validityPeriod": 518_400},
    }});
    let Some(pebble) = Pebble::with(Edition::Unstable, &[], &profiles) else {
        return;
    };
    let mut worker = Worker::new(&pebble, None);
    worker.change(|config| config.profile = Some("classic".to_owned()));
    let long = worker.gets();
    // Shorter than what there is, and on purpose.
    worker.change(|config| {
        config.profile = Some("shortlived".to_owned());
        config.names = vec!["relay.agents.test".to_owned()];
    });
    let short = worker.gets();
    assert_eq!((short.not_after - short.not_before + 59) / 3600, 144);
    assert!(long.not_after > short.not_after);
    worker.change(|config| {
        config.profile = Some("other".to_owned());
        config.names.push("a.agents.test".to_owned());
    });
    let trouble = worker.fails(Kind::Profile);
    assert!(
        trouble.cause.ends_with("offers classic, shortlived"),
        "{trouble}"
    );
    assert_eq!(worker.live(), short);
}

#[test]
#[ignore = "needs tests/sdk/install"]
fn an_account_is_bound_to_a_contract_and_an_address_is_a_name() {
    use std::os::unix::fs::OpenOptionsExt as _;
    let key = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W";
    let settings = json!({
        "externalAccountBindingRequired": true, "externalAccountMACKeys": {"kid-1": key},
    });
    let pebble = Pebble::with(Edition::Stable, &[], &settings).unwrap();
    let mut worker = Worker::new(&pebble, None);
    worker.fails(Kind::ExternalAccount);
    worker.comes_again();
    let file = worker.outside("eab.key");
    let mut options = std::fs::OpenOptions::new();
    let mut written = options
        .create(true)
        .write(true)
        .mode(0o600)
        .open(&file)
        .unwrap();
    std::io::Write::write_all(&mut written, format!("{key}\n").as_bytes()).unwrap();
    worker.change(|config| {
        config.eab_kid = Some("kid-1".to_owned());
        config.eab_key_file = Some(file);
        config.names = vec!["127.0.0.1".to_owned()];
    });
    let names = |facts: Facts| {
        let mut names = facts.names;
        names.sort();
        names
    };
    assert_eq!(names(worker.gets()), ["127.0.0.1", HOST]);
    // The same by a handshake, where an address is asked about backwards.
    worker.shut(&pebble);
    worker.change(|config| {
        config.challenge = agentkeys::config::Challenge::TlsAlpn01;
        config.names = vec!["127.0.0.1".to_owned(), "a.agents.test".to_owned()];
    });
    worker.open(&pebble);
    assert_eq!(names(worker.gets()), ["127.0.0.1", "a.agents.test", HOST]);
}
