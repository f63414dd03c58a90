//! Puts back what a suite changed, as the actor's parent and its vendor may: consent, memory, and
//! what was set aside of a day's money. It goes by the kit and by the log, not by what this run
//! remembers, so it also puts back what a run left that was killed.

use std::collections::HashSet;

use serde_json::{Value, json};

use super::AcceptError;
use super::client::{Client, Headers, value};
use super::events::{Event, Log};
use super::kit::{Bound, Kit, Named, TokenKind, TokenState};
use super::mcp::{USUAL, credentials};
use super::report::Check;

const CHECK: &str = "agentkeys.permission.check";
const MINT: &str = "agentkeys.cap.mint";
const REDEEM: &str = "cap.redeem";
const RELEASE: &str = "budget.release";
const GRANT: &str = "actor.grant";
const UNGRANT: &str = "actor.ungrant";
const PUT: &str = "agentkeys.memory.put";
/// Spent, given back before, or of another day.
const NOT_RESERVED: &str = "agentkeys.budget.not_reserved";
const FIX: &str = "look with `agentkeys actor show` and `agentkeys budget show`; the next run tries again, or give back by hand: `actor grant`, `memory put`, `budget release`";

/// Puts the kit's grants, its memory and its money back, each whatever becomes of the others. What
/// was spent with a capability stays spent: nobody can take that back.
pub(super) async fn all(client: &Client, kit: &Kit) -> Result<(), AcceptError> {
    let mut end = Ok(());
    // A suite spends as these alone; who cannot spend was given nothing to be taken.
    for actor in [&kit.actors.main, &kit.actors.first_only] {
        let held = Log::accepted(client, kit.auditor()?, &actor.actor_omni).await;
        let back = match held {
            Ok(rows) => of_actor(client, kit, actor, &rows).await,
            Err(error) => Err(error),
        };
        end = end.and(back);
    }
    end.and(memory(client, kit).await)
}

/// A run that is over whatever became of it, with all of it put back: a check of its report, or a
/// further thing that went wrong.
pub(super) async fn after<T>(
    client: &Client,
    kit: &Kit,
    suite: &'static str,
    ran: Result<T, AcceptError>,
) -> Result<(T, Check), AcceptError> {
    match (ran, all(client, kit).await) {
        (Ok(ran), back) => {
            let as_before = "grants, memory and money as the kit has them";
            let got = back.as_ref().err().map(ToString::to_string);
            let got = got.as_deref().unwrap_or(as_before);
            let check = Check::of("put_back", back.is_ok(), as_before, got, FIX);
            Ok((ran, check))
        }
        (Err(error), Ok(())) => Err(error),
        (Err(error), Err(back)) => Err(AcceptError::Unrestored {
            step: suite,
            cause: format!("{back}; the run had ended: {error}"),
        }),
    }
}

async fn of_actor(
    client: &Client,
    kit: &Kit,
    actor: &Named,
    rows: &[Event],
) -> Result<(), AcceptError> {
    let bearer = format!("Bearer {}", kit.parent(&actor.actor_omni)?.expose());
    let parent = Parent {
        client,
        actor,
        headers: vec![("authorization", value(&bearer))],
    };
    let mut end = Ok(());
    if taken(rows) {
        let spend = |b: &&Bound| b.actor == actor.alias && !b.scopes.is_empty();
        for bound in kit.bindings.iter().filter(spend) {
            let body = json!({"vendor": bound.vendor, "scopes": bound.scopes});
            end = end.and(parent.change("grant", &body).await.map(|_| ()));
        }
    }
    let (held, mut many) = held(rows);
    for decision in held {
        if many == 0 {
            break;
        }
        match parent
            .change("release", &json!({"decision_id": decision}))
            .await
        {
            Ok(released) => many -= usize::from(released),
            Err(error) => end = end.and(Err(error)),
        }
    }
    end
}

/// The main actor remembers what the kit says.
async fn memory(client: &Client, kit: &Kit) -> Result<(), AcceptError> {
    let vendor = &kit.vendors.plain;
    let held = kit.token(vendor, TokenState::Active, TokenKind::Unpinned)?;
    let arguments = json!({"namespace": "travel", "content": kit.memories.travel});
    let (mut headers, body) = USUAL.call(PUT, &arguments, 1);
    headers.extend(credentials(
        held.text.expose(),
        Some(&kit.actors.main.alias),
    ));
    let reply = client.post("/mcp", &headers, &body).await?;
    let done = reply.json.pointer("/result/structuredContent/ok") == Some(&Value::Bool(true));
    done.then_some(())
        .ok_or_else(|| AcceptError::protocol(PUT, reply.told()))
}

struct Parent<'a> {
    client: &'a Client,
    actor: &'a Named,
    headers: Headers,
}

impl Parent<'_> {
    /// Whether it was done; what is so already is no error.
    async fn change(&self, change: &str, body: &Value) -> Result<bool, AcceptError> {
        let path = format!("/v1/actors/{}/{change}", self.actor.actor_omni);
        let reply = self.client.post(&path, &self.headers, body).await?;
        if reply.status != 200 && reply.code() != NOT_RESERVED {
            return Err(AcceptError::protocol(&format!("a {change}"), reply.told()));
        }
        Ok(reply.status == 200)
    }
}

/// Whether the last word about an actor's consent took some of it back.
fn taken(rows: &[Event]) -> bool {
    let last = rows
        .iter()
        .rfind(|r| matches!(r.text("tool"), Some(GRANT | UNGRANT)));
    last.is_some_and(|r| r.text("tool") == Some(UNGRANT))
}

/// The decisions that may still hold money, the newest first, and how many of them do: a row that
/// gives back does not say which it was.
fn held(rows: &[Event]) -> (Vec<&str>, usize) {
    let of = |tools: &'static [&str]| {
        let rows = rows.iter().rev();
        rows.filter(move |r| r.text("tool").is_some_and(|t| tools.contains(&t)))
    };
    let spent: HashSet<_> = of(&[REDEEM])
        .filter_map(|r| r.text("decision_id"))
        .collect();
    let mut seen = HashSet::new();
    let held: Vec<_> = of(&[CHECK, MINT])
        .filter(|r| r.number("amount_minor").is_some())
        .filter_map(|r| r.text("decision_id"))
        .filter(|d| !spent.contains(d) && seen.insert(*d))
        .collect();
    let many = held.len().saturating_sub(of(&[RELEASE]).count());
    (held, many)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(tool: &str, decision: Option<&str>) -> Event {
        Event(json!({"tool": tool, "decision_id": decision, "amount_minor": 1}))
    }

    #[test]
    fn money_is_held_until_it_is_spent_or_given_back() {
        let mut rows = vec![
            row(CHECK, Some("a")),
            row(MINT, Some("a")),
            row(MINT, Some("b")),
            row(REDEEM, Some("b")),
            row(CHECK, Some("c")),
            Event(json!({"tool": CHECK, "decision_id": "d"})),
        ];
        assert_eq!(held(&rows), (vec!["c", "a"], 2));
        rows.push(row(RELEASE, None));
        assert_eq!(held(&rows), (vec!["c", "a"], 1));
        rows.push(row(RELEASE, None));
        assert_eq!(held(&rows).1, 0);
    }

    #[test]
    fn the_last_word_about_consent_counts() {
        assert!(!taken(&[]));
        let mut rows = vec![row(GRANT, None), row(UNGRANT, None), row(CHECK, None)];
        assert!(taken(&rows));
        rows.push(row(GRANT, None));
        assert!(!taken(&rows));
    }
}
