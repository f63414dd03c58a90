#![allow(clippy::unwrap_used)]
use super::*;
use crate::audit::anchor::AnchorKind;
use crate::cli::parse;
use crate::finding::Finding;
use crate::ledger::Standing;
use crate::problem::{Exit, Problem};

fn problem() -> Problem {
    Problem::new(Exit::Config, "agentkeys.x.y", "cause", "fix")
}

fn host(vendor: &str, rail: &str, used: bool) -> HostState {
    HostState {
        vendor: vendor.to_owned(),
        rail: rail.to_owned(),
        actor: Some("kevin".to_owned()),
        used,
    }
}

/// An authority that hosts use, served on this machine only.
fn all_well() -> Facts {
    let standing = Standing {
        actors: 1,
        vendors: 2,
        bindings: 2,
        live_tokens: 2,
        hosts: vec![
            host("magiclick", "xiaozhi", true),
            host("folotoy", "volcano-ark", true),
        ],
        actor: Some("kevin".to_owned()),
        vendor: Some("magiclick".to_owned()),
        ..Standing::default()
    };
    let at = "127.0.0.1:8089".parse().unwrap();
    Facts {
        now_ms: 0,
        dir: "/data".into(),
        why: Why::Environment,
        folder: Place::Ready(Box::new(Seen {
            issuer: "urn:agentkeys:0".to_owned(),
            standing,
            copied: None,
        })),
        config: Some(Ok(Told {
            public_url: None,
            behind_proxy: false,
            tls: "none",
            anchor: AnchorKind::None,
        })),
        server: Server::Ours(at, "0.1.0".to_owned()),
        certificate: None,
    }
}

fn silent() -> Server {
    Server::Silent("127.0.0.1:8089".parse().unwrap())
}

/// What changes, and which commands follow from it.
type Case = (&'static str, fn(&mut Facts), &'static [&'static str]);

fn there(facts: &mut Facts) -> &mut Standing {
    match &mut facts.folder {
        Place::Ready(seen) => &mut seen.standing,
        _ => panic!("no authority"),
    }
}

fn public(facts: &mut Facts) {
    if let Some(Ok(told)) = &mut facts.config {
        told.public_url = Some("https://mcp.example.com/mcp".to_owned());
    }
}

const CASES: &[Case] = &[
    (
        "nothing at all",
        |f| f.folder = Place::Missing,
        &[
            "agentkeys init --demo",
            "agentkeys init --domain example.com",
            "agentkeys demo cross-rail",
        ],
    ),
    (
        "cut off",
        |f| f.folder = Place::Unfinished(Begun::Demo),
        &["agentkeys init --demo"],
    ),
    (
        "cut off, plain, and named by a flag",
        |f| {
            f.folder = Place::Unfinished(Begun::Plain);
            (f.why, f.dir) = (Why::Flag, "/my data/it's".into());
        },
        &["agentkeys init --dir '/my data/it'\\''s'"],
    ),
    (
        "another user's",
        |f| f.folder = Place::Others("agentkeys".to_owned(), problem()),
        &["sudo -u agentkeys agentkeys --dir /data"],
    ),
    (
        "damaged",
        |f| f.folder = Place::Unusable(problem()),
        &["agentkeys doctor"],
    ),
    (
        "a configuration that does not load",
        |f| f.config = Some(Err(problem())),
        &["agentkeys config show"],
    ),
    (
        "fresh from init",
        |f| {
            *there(f) = Standing::default();
            f.server = silent();
        },
        &[
            "agentkeys serve",
            "agentkeys actor create kevin",
            "agentkeys vendor create magiclick --rail xiaozhi",
        ],
    ),
    (
        "nobody consented",
        |f| (there(f).bindings, there(f).hosts) = (0, Vec::new()),
        &[
            "agentkeys actor grant kevin --vendor magiclick --read travel --write travel",
            "agentkeys doctor",
            "agentkeys watch kevin",
        ],
    ),
    (
        "no token that is good",
        |f| (there(f).live_tokens, there(f).hosts) = (0, Vec::new()),
        &[
            "agentkeys vendor token create --vendor magiclick --actor kevin",
            "agentkeys doctor",
            "agentkeys watch kevin",
        ],
    ),
    (
        "no host has asked, and none may from outside",
        |f| {
            there(f).hosts[0].used = false;
            there(f).hosts[1].used = false;
            f.server = silent();
        },
        &[
            "agentkeys serve",
            "agentkeys wire xiaozhi --dry-run --vendor magiclick --actor kevin",
            "agentkeys demo cross-rail",
        ],
    ),
    (
        "it serves, and no host of the toys has asked",
        |f| there(f).hosts[0].used = false,
        &[
            "agentkeys wire xiaozhi --dry-run --vendor magiclick --actor kevin",
            "agentkeys doctor",
            "agentkeys watch kevin",
        ],
    ),
    (
        "no host of Ark's has asked",
        |f| {
            public(f);
            there(f).hosts[1].used = false;
        },
        &[
            "agentkeys wire volcano-ark ./ark --actor kevin",
            "agentkeys doctor",
            "agentkeys demo cross-rail",
        ],
    ),
    (
        "somebody else's server",
        |f| f.server = Server::Another("127.0.0.1:8089".parse().unwrap(), "x".to_owned()),
        &["agentkeys doctor", "agentkeys demo cross-rail"],
    ),
    (
        "a certificate that ended",
        |f| {
            public(f);
            f.certificate = Some(Finding::new("certificate", Status::Failed, "it ended", ""));
        },
        &[
            "agentkeys tls status",
            "agentkeys doctor",
            "agentkeys demo cross-rail",
        ],
    ),
    (
        "none yet, which the server gets",
        |f| {
            f.server = silent();
            f.certificate = Some(Finding::new("certificate", Status::Warn, "none yet", ""));
        },
        &["agentkeys serve", "agentkeys demo cross-rail"],
    ),
    (
        "all is well here",
        |_| (),
        &[
            "agentkeys doctor",
            "agentkeys watch kevin",
            "agentkeys demo cross-rail",
        ],
    ),
    (
        "all is well in public",
        public,
        &[
            "agentkeys doctor",
            "agentkeys demo cross-rail",
            "agentkeys listing volcano-ark --out ./listing",
        ],
    ),
];

#[test]
fn what_is_missing_most_comes_first() {
    for (what, change, expected) in CASES {
        let mut facts = all_well();
        change(&mut facts);
        let next = next(&facts);
        let commands: Vec<_> = next.iter().map(|step| step.command.as_str()).collect();
        assert_eq!(commands, *expected, "{what}");
        for step in &next {
            assert!(!step.why.is_empty(), "{what}");
            let line = step.command.split(" agentkeys ").last().unwrap();
            let line = line.strip_prefix("agentkeys ").unwrap_or(line);
            let line = format!("agentkeys {line}");
            if !line.contains('\'') {
                parse(line.split(' ').map(Into::into)).unwrap_or_else(|e| panic!("{line}: {e}"));
            }
        }
    }
}

#[test]
fn a_folder_that_was_typed_is_typed_again_but_where_it_means_nothing() {
    let mut facts = all_well();
    facts.why = Why::Flag;
    let next = next(&facts);
    assert_eq!(next[0].command, "agentkeys doctor --dir /data");
    assert_eq!(next[1].command, "agentkeys watch kevin --dir /data");
    assert_eq!(next[2].command, "agentkeys demo cross-rail");
}
