//! What to do next, from how things stand: pure, and told of in a table.

use super::{Facts, Place, Server, Told, Why, bad};
use crate::cli::args::quoted;
use crate::finding::Status;
use crate::folder::Begun;
use crate::folder::seen::Seen;
use crate::ledger::HostState;

/// No more than this many steps are told: the others follow from them.
const MOST: usize = 3;

/// A command, and why it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Next {
    /// As it is typed.
    pub(super) command: String,
    /// Half a sentence.
    pub(super) why: &'static str,
}

/// The next commands, the one that is missing most first.
pub(super) fn next(facts: &Facts) -> Vec<Next> {
    let mut steps = Steps(Vec::new());
    match &facts.folder {
        Place::Missing => {
            steps.add(
                "agentkeys init --demo",
                "a folder with an actor, two vendors and tokens to try",
            );
            steps.add(
                "agentkeys init --domain example.com",
                "or one for a public host with a name",
            );
            steps.add(
                "agentkeys demo cross-rail",
                "or see it first: needs no folder",
            );
        }
        Place::Unfinished(begun) => {
            let flag = match begun {
                Begun::Demo => " --demo",
                Begun::Plain => "",
            };
            let command = format!("agentkeys init{flag}");
            steps.add(command, "goes on with the run that was cut off");
        }
        // The other user's environment and usual folder are not these.
        Place::Others(owner, _) => {
            let dir = quoted(&facts.dir.display().to_string());
            let command = format!("sudo -u {owner} agentkeys --dir {dir}");
            return vec![Next {
                command,
                why: "the folder is another user's",
            }];
        }
        Place::Unusable(_) => steps.add("agentkeys doctor", "looks at all of it"),
        Place::Ready(seen) => match &facts.config {
            Some(Err(_)) => steps.add(
                "agentkeys config show",
                "says what is wrong with agentkeys.toml",
            ),
            Some(Ok(told)) => ready(&mut steps, facts, seen, told),
            None => {}
        },
    }
    let mut next = steps.0;
    next.truncate(MOST);
    if facts.why == Why::Flag {
        let dir = quoted(&facts.dir.display().to_string());
        for step in &mut next {
            // The demo has a folder of its own.
            if !step.command.starts_with("agentkeys demo") {
                step.command.push_str(" --dir ");
                step.command.push_str(&dir);
            }
        }
    }
    next
}

struct Steps(Vec<Next>);

impl Steps {
    fn add(&mut self, command: impl Into<String>, why: &'static str) {
        let command = command.into();
        self.0.push(Next { command, why });
    }
}

fn ready(steps: &mut Steps, facts: &Facts, seen: &Seen, told: &Told) {
    match &facts.server {
        Server::Silent(_) => steps.add("agentkeys serve", "no server runs over this folder"),
        Server::Another(..) => {
            steps.add("agentkeys doctor", "somebody else's server is in its place");
        }
        Server::Ours(..) | Server::Unknown => {}
    }
    let serves = matches!(facts.server, Server::Ours(..));
    let certificate = facts.certificate.as_ref();
    let soon = serves && certificate.is_some_and(|found| found.status == Status::Warn);
    if bad(certificate) || soon {
        steps.add("agentkeys tls status", "the certificate wants attention");
    }
    people(steps, seen);
    for host in seen.standing.hosts.iter().filter(|host| !host.used) {
        wire(steps, host, told);
    }
    if serves {
        steps.add(
            "agentkeys doctor",
            "looks for what keeps hosts from being served",
        );
    }
    let public = told.public_url.is_some();
    if let (true, false, Some(actor)) = (serves, public, &seen.standing.actor) {
        steps.add(
            format!("agentkeys watch {}", quoted(actor)),
            "what its hosts do, as they do it",
        );
    }
    steps.add(
        "agentkeys demo cross-rail",
        "two hosts, one authority, proved in a minute",
    );
    if public {
        steps.add(
            "agentkeys listing volcano-ark --out ./listing",
            "what a marketplace is given",
        );
    }
}

/// Who is missing.
fn people(steps: &mut Steps, seen: &Seen) {
    let there = &seen.standing;
    if there.actors == 0 {
        steps.add("agentkeys actor create kevin", "nobody is there to act for");
    }
    if there.vendors == 0 {
        steps.add(
            "agentkeys vendor create magiclick --rail xiaozhi",
            "no vendor is there whose hosts may ask",
        );
    }
    let (Some(actor), Some(vendor)) = (&there.actor, &there.vendor) else {
        return;
    };
    let (actor, vendor) = (quoted(actor), quoted(vendor));
    if there.bindings == 0 {
        steps.add(
            format!("agentkeys actor grant {actor} --vendor {vendor} --read travel --write travel"),
            "no vendor may do anything yet",
        );
    } else if there.live_tokens == 0 {
        steps.add(
            format!("agentkeys vendor token create --vendor {vendor} --actor {actor}"),
            "no host has a token that is good",
        );
    }
}

/// How the hosts of a vendor get to know us, for those that we can write the settings of.
fn wire(steps: &mut Steps, host: &HostState, told: &Told) {
    let Some(actor) = &host.actor else { return };
    let who = format!(
        "--vendor {} --actor {}",
        quoted(&host.vendor),
        quoted(actor)
    );
    match host.rail.as_str() {
        "xiaozhi" => steps.add(
            // Works without a checkout of it too, and changes nothing.
            format!("agentkeys wire xiaozhi --dry-run {who}"),
            "the entry its server needs: its tokens were never used",
        ),
        // Ark reaches nothing without a public address.
        "volcano-ark" if told.public_url.is_some() => {
            steps.add(
                format!("agentkeys wire volcano-ark ./ark --actor {}", quoted(actor)),
                "its tokens were never used",
            );
        }
        _ => {}
    }
}

#[cfg(test)]
#[path = "next_tests.rs"]
mod tests;
