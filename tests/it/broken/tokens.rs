//! To whom tokens go: to nobody but the server that they are for.

use super::Stage;
use super::front::{Lie, lie};
use crate::it::support::House;
use agentkeys::acceptance::suites::SUITES;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Somebody else in a server's place, and how many tokens it was sent.
fn stranger(name: &'static str, authority: &'static str) -> (Lie, Arc<AtomicUsize>) {
    let tokens = Arc::new(AtomicUsize::new(0));
    let heard = Arc::clone(&tokens);
    let told = lie(move |asked, said| {
        if !asked.header("authorization").is_empty() {
            heard.fetch_add(1, Ordering::Relaxed);
        }
        if asked.path == "/healthz" {
            said.edit(|json| {
                json["name"] = name.into();
                if !authority.is_empty() {
                    json["authority"] = authority.into();
                }
            });
        }
    });
    (told, tokens)
}

#[test]
fn a_password_in_an_address_is_told_nowhere() {
    let house = House::demo();
    for suite in ["all", "tls", "tools"] {
        let said = house.run(&[
            "accept",
            suite,
            "--url",
            "https://me:pw-of-mine@127.0.0.1:9",
        ]);
        assert_eq!(said.status.code(), Some(3), "{suite}");
        let said = super::text(&said.stdout) + &super::text(&said.stderr);
        assert!(!said.contains("pw-of-mine"), "{said}");
    }
}

#[test]
fn no_token_goes_to_somebody_else() {
    let stage = Stage::new();
    for (name, authority) in [("nginx", ""), ("agentkeys", "urn:agentkeys:another")] {
        let (told, tokens) = stranger(name, authority);
        stage.front.tells(told);
        let suites = SUITES.iter().filter(|s| s.needs_kit).map(|s| s.name);
        for suite in suites.chain(["all"]) {
            let said = stage.accept(suite, &[]);
            assert_eq!(said.status.code(), Some(6), "{suite}");
            let said = super::text(&said.stderr);
            assert!(
                said.contains("agentkeys.accept.another_server"),
                "{suite}: {said}"
            );
            assert_eq!(tokens.load(Ordering::Relaxed), 0, "{suite} for {name}");
        }
    }
    // Who it is was not in the kits of earlier programs: then any AgentKeys will do.
    let mut kit = stage.kit();
    kit["operator"].as_object_mut().unwrap().remove("authority");
    std::fs::write(format!("{}/kit.json", stage.kit), kit.to_string()).unwrap();
    let (told, tokens) = stranger("agentkeys", "urn:agentkeys:another");
    stage.front.tells(told);
    let said = stage.accept("three-acts", &[]);
    assert_eq!(said.status.code(), Some(0), "{}", super::text(&said.stderr));
    assert!(tokens.load(Ordering::Relaxed) > 0);
}
