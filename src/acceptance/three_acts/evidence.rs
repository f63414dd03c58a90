//! Whether what was said and what the log has of it is what the acts should show. Pure, so that
//! every way to fail is a test.

use std::time::Instant;

use serde_json::Value;

use crate::acceptance::AcceptError;
use crate::acceptance::answer::hidden;
use crate::acceptance::client::Reply;
use crate::acceptance::events::Event;
use crate::acceptance::play::{Assertion, Lines, assert, calls};
use crate::demo_set;
use crate::text::clean_to;

const GET: &str = "agentkeys.memory.get";
const CHECK: &str = "agentkeys.permission.check";
const MINT: &str = "agentkeys.cap.mint";
/// In place of what a host never told.
const SILENCE: &str = "the host made no such call";

/// What a host heard in answer to a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Said {
    pub text: String,
    pub ms: u64,
    /// What came with it that another host could show its model.
    hidden: Option<String>,
}

/// What a host heard, call by call.
pub(super) fn said(lines: &Lines) -> Vec<Said> {
    let heard = calls(lines).map(|line| {
        let text = line.get("text").or_else(|| line.get("error"));
        Said {
            text: text.and_then(Value::as_str).unwrap_or(SILENCE).to_owned(),
            ms: line.get("ms").and_then(Value::as_u64).unwrap_or_default(),
            hidden: line.get("result").and_then(hidden),
        }
    });
    heard.collect()
}

fn text(said: Option<&Said>) -> &str {
    said.map_or(SILENCE, |s| s.hidden.as_deref().unwrap_or(&s.text))
}

fn ms(said: Option<&Said>) -> u64 {
    said.map_or(0, |s| s.ms)
}

/// Act 1.
pub(super) struct Memories<'a> {
    /// Of travel, family and personal.
    pub said: &'a [Said],
    pub rows: &'a [Event],
}

impl Memories<'_> {
    pub(super) fn judge(&self) -> Vec<Assertion> {
        vec![
            self.remembered(),
            self.withheld("act1.family_withheld", "family", 1),
            self.withheld("act1.personal_withheld", "personal", 2),
            self.rows(),
        ]
    }

    fn remembered(&self) -> Assertion {
        let travel = demo_set::MEMORIES[0].1;
        let said = self.said.first();
        let got = text(said);
        let content = got.split_once(": ");
        let holds = content.is_some_and(|(head, content)| {
            head.starts_with("Memory travel v") && content == travel
        });
        assert("act1.travel_remembered", holds, travel, got).took(ms(said))
    }

    /// The whole answer is fixed: nothing in it can depend on what is there.
    fn withheld(&self, id: &'static str, namespace: &str, at: usize) -> Assertion {
        let wanted = format!("deny: namespace_violation ({namespace} is not allowed here)");
        let said = self.said.get(at);
        let got = text(said);
        assert(id, got == wanted, wanted.as_str(), got).took(ms(said))
    }

    fn rows(&self) -> Assertion {
        let wanted = [
            ("travel", "accept"),
            ("family", "deny"),
            ("personal", "deny"),
        ];
        let reads = self.rows.iter().filter(|r| r.text("tool") == Some(GET));
        let told: Vec<String> = reads
            .map(|r| {
                let word = |key| r.text(key).unwrap_or("none");
                format!("{} {}", word("namespace"), word("verdict"))
            })
            .collect();
        let wanted: Vec<String> = wanted.iter().map(|(n, v)| format!("{n} {v}")).collect();
        assert(
            "act1.one_row_each",
            told == wanted,
            wanted.join(", "),
            told.join(", "),
        )
    }
}

/// Act 2.
pub(super) struct Spending<'a> {
    /// Of 600, 200, 400, 400 and the unknown scope.
    pub said: &'a [Said],
    pub rows: &'a [Event],
    /// What kept the 200 from being given back.
    pub freed: Option<AcceptError>,
}

fn over(amount: u32) -> String {
    format!("deny: daily_spend_cap_exceeded (cap=500, requested={amount}, period=daily)")
}

impl Spending<'_> {
    pub(super) fn judge(&self) -> Vec<Assertion> {
        let [six, two, four, again, unknown] = std::array::from_fn(|at| self.said.get(at));
        let accepted = "accept: within_daily_cap";
        let denied = "deny: scope_not_in_policy_table";
        let id = "act2.400_then_400_denied";
        let wanted = format!("{accepted} …, then {}", over(400));
        let twice = if let Some(error) = &self.freed {
            let got = format!("the 200 could not be given back first: {error}");
            assert(id, false, wanted, got)
        } else {
            let holds = text(four).starts_with(accepted) && text(again) == over(400);
            let got = format!("{}, then {}", text(four), text(again));
            assert(id, holds, wanted, got)
        };
        vec![
            assert(
                "act2.600_denied",
                text(six) == over(600),
                over(600),
                text(six),
            )
            .took(ms(six)),
            assert(
                "act2.200_accepted",
                text(two).starts_with(accepted),
                accepted,
                text(two),
            )
            .took(ms(two)),
            twice.took(ms(four) + ms(again)),
            assert(
                "act2.unknown_scope",
                text(unknown).starts_with(denied),
                denied,
                text(unknown),
            )
            .took(ms(unknown)),
            self.rows(),
        ]
    }

    fn rows(&self) -> Assertion {
        let over = "deny daily_spend_cap_exceeded";
        let within = "accept within_daily_cap";
        let unknown = "deny scope_not_in_policy_table";
        let wanted = [over, within, within, over, unknown];
        let checks = self.rows.iter().filter(|r| r.text("tool") == Some(CHECK));
        let told: Vec<String> = checks
            .map(|r| {
                let word = |key| r.text(key).unwrap_or("none");
                format!("{} {}", word("verdict"), word("reason"))
            })
            .collect();
        assert(
            "act2.one_row_each",
            told == wanted,
            wanted.join(", "),
            told.join(", "),
        )
    }
}

/// The decisions among rows that set money aside.
pub(super) fn reservations(rows: &[Event]) -> Vec<String> {
    let held = rows.iter().filter(|r| {
        matches!(r.text("tool"), Some(CHECK | MINT))
            && r.text("verdict") == Some("accept")
            && r.number("amount_minor").is_some()
    });
    held.filter_map(|r| r.text("decision_id").map(str::to_owned))
        .collect()
}

/// Whether money was given back.
pub(super) fn released(answer: &Value) -> Result<(), AcceptError> {
    match answer.get("state").and_then(Value::as_str) {
        Some("released") => Ok(()),
        _ => Err(AcceptError::protocol(
            "a release",
            clean_to(&answer.to_string(), 200),
        )),
    }
}

/// A capability as the host's sentence carries it; empty when it carries none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Cap {
    /// The signed text, which spends money: never to be shown.
    pub text: String,
    /// The sentence without it.
    pub shown: String,
}

/// The capability that a host was handed: `Capability cap_… for … holds until …: <cap>`.
pub(super) fn cap(lines: &Lines) -> Cap {
    let heard = said(lines);
    let text = text(heard.first());
    match text.rsplit_once(": ") {
        Some((shown, cap)) if text.starts_with("Capability cap_") => Cap {
            text: cap.to_owned(),
            shown: shown.to_owned(),
        },
        _ => Cap {
            text: String::new(),
            shown: text.to_owned(),
        },
    }
}

/// A cap that is live before it is taken back, or its end would show nothing.
pub(super) fn minted(lines: &Lines, cap: &Cap, live: &Reply) -> Assertion {
    let active = live.json.get("active") == Some(&Value::Bool(true));
    let parts = cap.text.split('.').count();
    let got = if active {
        format!("{}; active", cap.shown)
    } else {
        format!("{}; not active: {}", cap.shown, live.told())
    };
    let wanted = "a signed capability for payment_spend that introspection calls active";
    let heard = said(lines);
    let holds = parts == 3 && active;
    assert("act3.cap_minted", holds, wanted, got).took(ms(heard.first()))
}

/// The binding without any scope for money.
pub(super) fn revoked(ungranted: Result<&Value, &AcceptError>) -> Assertion {
    let id = "act3.revoked_by_second_process";
    let wanted = "a binding without payment scopes";
    match ungranted {
        Err(error) => assert(id, false, wanted, error.to_string()),
        Ok(binding) => {
            let scopes = binding.get("scopes").and_then(Value::as_array);
            let of_money = |s: &Value| s.as_str().is_some_and(|s| s.starts_with("payment."));
            let holds = scopes.is_some_and(|scopes| !scopes.iter().any(of_money));
            let got = format!("scopes {}", binding.get("scopes").unwrap_or(&Value::Null));
            assert(id, holds, wanted, got)
        }
    }
}

pub(super) fn next_denied(lines: &Lines) -> Assertion {
    let heard = said(lines);
    let got = text(heard.first());
    let wanted = "deny: scope_not_granted";
    let holds = got.starts_with(wanted);
    assert("act3.next_check_denied", holds, wanted, got).took(ms(heard.first()))
}

pub(super) fn cap_dead(redeemed: &Reply) -> Assertion {
    let holds = redeemed.status == 403 && redeemed.code() == "agentkeys.cap.revoked";
    let wanted = "HTTP 403 agentkeys.cap.revoked";
    assert("act3.cap_dead", holds, wanted, redeemed.told())
}

/// The row of the check that came after the revocation.
pub(super) fn is_denial(row: &Event) -> bool {
    row.text("tool") == Some(CHECK) && row.text("reason") == Some("scope_not_granted")
}

/// When a row came, and when its answer was out.
pub(super) type Arrival = (Option<Instant>, Instant);

pub(super) fn in_feed(rows: [Arrival; 2]) -> Assertion {
    let late = rows
        .map(|(came, answered)| came.map(|at| at.saturating_duration_since(answered).as_millis()));
    let [taken, refused] = late.map(|ms| match ms {
        Some(ms) => format!("{ms} ms after its answer"),
        None => "not within a second".to_owned(),
    });
    let holds = late.iter().all(Option::is_some);
    assert(
        "act3.row_in_feed",
        holds,
        "actor.ungrant and the denial, each within a second",
        format!("actor.ungrant {taken}; the denial {refused}"),
    )
}

/// What a host hears now, against what it heard before.
pub(super) fn as_before(
    id: &'static str,
    before: &str,
    now: Result<Vec<Said>, &AcceptError>,
    at: usize,
) -> Assertion {
    match now {
        Err(error) => assert(id, false, before, error.to_string()),
        Ok(now) => {
            let now = text(now.get(at));
            assert(id, now == before && now != SILENCE, before, now)
        }
    }
}

/// The same, where what is there is also what was granted to begin with: an earlier run may have
/// left less.
pub(super) fn granted(scopes: &[String], judged: Assertion) -> Assertion {
    let told = judged.got.rsplit_once("; scopes ").map_or("", |t| t.1);
    let missing = scopes.iter().find(|s| !told.split(", ").any(|t| t == *s));
    match missing {
        Some(scope) if judged.holds => {
            let expected = format!("{scope} among the scopes");
            assert(judged.id, false, expected, judged.got)
        }
        _ => judged,
    }
}

/// The same, unless something failed before it.
pub(super) fn unless(error: Option<AcceptError>, judged: Assertion) -> Assertion {
    match error {
        None => judged,
        Some(error) => assert(judged.id, false, judged.expected, error.to_string()),
    }
}

#[cfg(test)]
mod tests;
