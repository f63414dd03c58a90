//! What an authority, DNS, a clock or a disk may do to the job beside the server, and what the job then
//! does when its time comes; and what only some authorities have.

use super::faults::{Fault, Faults};
use super::pebble::{Edition, HOST, Pebble};
use super::time::Worker;
use agentkeys::jobs::renewal::Done;
use agentkeys::tls::Facts;
use agentkeys::tls::acme::Kind;
use serde_json::json;

/// Whether a wait is that long, but for what the test itself took.
fn near(seconds: i64, wanted: i64) -> bool {
    (wanted - 3..=wanted + 3).contains(&seconds)
}

/// One profile, so that pebble has none to choose.
fn profiles() -> serde_json::Value {
    json!({"profiles": {"default": {"description": "90 d", "validityPeriod": 7_776_000}}})
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
fn a_run_that_is_dragged_out_ends_and_the_next_goes_on_with_it() {
    let pebble = Pebble::start();
    let faults = Faults::before(&pebble);
    let mut worker = Worker::new(&pebble, Some(&faults));
    let whole = worker.desk.acme.run;
    worker.desk.acme.run = std::time::Duration::from_secs(3);
    // Within what one request may take.
    faults.set("/finalize-order/", Fault::Hang, 1);
    let started = std::time::Instant::now();
    let trouble = worker.fails(Kind::Overdue);
    assert!(started.elapsed().as_secs() < 20, "{trouble}");
    assert!(!worker.path("http-01").exists(), "proofs are left behind");
    worker.desk.acme.run = whole;
    // Nobody holds the lock, and the order is still there.
    worker.comes_again();
    worker.gets();
    assert_eq!(faults.orders(), 1);
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
