//! Reading the log. Whoever asks has an `AuditReach`, and nothing outside it is found.

use super::rows::{self, EVENT};
use crate::authority::identity::Omni;
use crate::authority::ports::{AuditReach, EventFilter, LoggedEvent};
use rusqlite::types::Value;
use rusqlite::{Connection, Result, params_from_iter};

/// The most events one read gives.
const MOST: u32 = 10_000;

/// Conditions of a statement, and what is bound in them. Only fixed text is ever added.
#[derive(Default)]
struct Conditions {
    text: String,
    values: Vec<Value>,
}

impl Conditions {
    /// Adds a condition that ends in the place of its value.
    fn add(&mut self, text: &'static str, value: Option<impl Into<Value>>) {
        if let Some(value) = value {
            self.also(text, value.into());
            self.text.push('?');
        }
    }

    fn also(&mut self, text: &'static str, value: Value) {
        let word = if self.values.is_empty() {
            " WHERE "
        } else {
            " AND "
        };
        self.text.push_str(word);
        self.text.push_str(text);
        self.values.push(value);
    }

    /// Actors as one list, however many there are.
    fn reach(&mut self, reach: &AuditReach) {
        if let AuditReach::Actors(actors, _) = reach {
            let list: Vec<_> = actors.iter().map(Omni::bare).collect();
            let list = serde_json::Value::from(list).to_string();
            let text = "actor_omni IN (SELECT unhex(value) FROM json_each(?))";
            self.also(text, list.into());
        }
    }
}

/// Events that match, oldest first.
pub(super) fn find(
    c: &Connection,
    reach: &AuditReach,
    filter: &EventFilter,
) -> Result<Vec<LoggedEvent>> {
    let mut only = Conditions::default();
    only.reach(reach);
    let from = filter
        .from_seq
        .map(|s| i64::try_from(s).unwrap_or(i64::MAX));
    only.add("seq >= ", from);
    let actor = filter.actor.map(|a| a.as_bytes().to_vec());
    only.add("actor_omni = ", actor);
    only.add("vendor = ", filter.vendor.clone());
    only.add("rail = ", filter.rail.map(|r| r.as_str().to_owned()));
    only.add("tool = ", filter.tool.clone());
    only.add("verdict = ", filter.verdict.clone());
    let namespace = filter.namespace.map(|n| n.as_str().to_owned());
    only.add("namespace = ", namespace);
    only.add("ts_ms >= ", filter.since_ms);
    only.add("ts_ms < ", filter.until_ms);
    let order = if filter.newest { "DESC" } else { "ASC" };
    let sql = format!(
        "SELECT {EVENT} FROM audit_event{} ORDER BY seq {order} LIMIT ?",
        only.text
    );
    only.values.push(i64::from(filter.limit.min(MOST)).into());
    let mut found = rows::all(c, &sql, params_from_iter(only.values), rows::event)?;
    if filter.newest {
        found.reverse();
    }
    Ok(found)
}

/// One event.
pub(super) fn by_id(
    c: &Connection,
    reach: &AuditReach,
    event_id: &str,
) -> Result<Option<LoggedEvent>> {
    let mut only = Conditions::default();
    only.add("event_id = ", Some(event_id.to_owned()));
    only.reach(reach);
    let sql = format!("SELECT {EVENT} FROM audit_event{}", only.text);
    rows::one(c, &sql, params_from_iter(only.values), rows::event)
}
