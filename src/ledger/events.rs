//! Reading the log. Whoever asks has an `AuditReach`, and nothing outside it is found.

use super::log;
use super::rows::{self, EVENT};
use crate::authority::identity::Omni;
use crate::authority::ports::{AuditReach, EventFilter, LoggedEvent};
use rusqlite::types::Value;
use rusqlite::{Connection, Result, params_from_iter};
use std::time::{Duration, Instant};

/// The most events one read gives.
const MOST: u32 = 10_000;

/// Places looked at in a first stretch.
const WIDTH: i64 = 16_384;

/// A stretch that took less is followed by one twice as wide: few rows of it were touched.
const BRIEF: Duration = Duration::from_millis(5);

/// A stretch that took more is followed by one half as wide.
const LONG: Duration = Duration::from_millis(20);

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

    /// Actors as one list, however many there are. One alone is read in the order of the log,
    /// without sorting.
    fn reach(&mut self, reach: &AuditReach) {
        match reach {
            AuditReach::All(_) => {}
            AuditReach::Actors(actors, _) if actors.len() == 1 => {
                let only = actors.first().map(|a| a.as_bytes().to_vec());
                self.add("actor_omni = ", only);
            }
            AuditReach::Actors(actors, _) => {
                let list: Vec<_> = actors.iter().map(Omni::bare).collect();
                let list = serde_json::Value::from(list).to_string();
                let text = "actor_omni IN (SELECT unhex(value) FROM json_each(?))";
                self.also(text, list.into());
            }
        }
    }
}

/// One event, if it is within reach.
pub(super) fn one(
    c: &Connection,
    reach: &AuditReach,
    event_id: &str,
) -> Result<Option<LoggedEvent>> {
    let mut only = Conditions::default();
    only.add("event_id = ", Some(event_id.to_owned()));
    only.add("seq >= ", Some(log::pruned(c)?));
    only.reach(reach);
    let sql = format!("SELECT {EVENT} FROM audit_event{}", only.text);
    rows::one(c, &sql, params_from_iter(only.values), rows::event)
}

/// A search of the log, one stretch of it after the other. Most filters have no index and may
/// match nothing: looked for in one statement, that would keep a connection, and every page of
/// the write-ahead log, for as long as a walk through all of it takes.
pub(super) struct Search {
    reach: AuditReach,
    filter: EventFilter,
    /// What was not looked at yet.
    from: i64,
    until: i64,
    width: i64,
    found: Vec<LoggedEvent>,
}

impl Search {
    pub(super) fn new(reach: AuditReach, filter: EventFilter) -> Self {
        let place = |seq: Option<u64>| seq.map(|s| i64::try_from(s).unwrap_or(i64::MAX));
        Self {
            from: place(filter.from_seq).unwrap_or(0),
            until: place(filter.until_seq).unwrap_or(i64::MAX),
            width: WIDTH,
            found: Vec::new(),
            reach,
            filter,
        }
    }

    /// Looks through the next stretch; says whether there is another.
    pub(super) fn step(&mut self, c: &Connection) -> Result<bool> {
        // The first time this ends the search where the log ends now.
        self.until = self.until.min(rows::whole(rows::log_size(c)?)?);
        self.from = self.from.max(log::pruned(c)?);
        if !self.goes_on() {
            return Ok(false);
        }
        let begun = Instant::now();
        if self.filter.newest {
            let from = self.from.max(self.until.saturating_sub(self.width));
            self.stretch(c, from, self.until)?;
            self.until = from;
        } else {
            let until = self.until.min(self.from.saturating_add(self.width));
            self.stretch(c, self.from, until)?;
            self.from = until;
        }
        let took = begun.elapsed();
        if took < BRIEF {
            self.width = self.width.saturating_mul(2);
        } else if took > LONG {
            self.width = (self.width / 2).max(1);
        }
        Ok(self.goes_on())
    }

    /// What was found, oldest first.
    pub(super) fn found(mut self) -> Vec<LoggedEvent> {
        if self.filter.newest {
            self.found.reverse();
        }
        self.found
    }

    /// How many more are wanted.
    fn left(&self) -> usize {
        let most = usize::try_from(self.filter.limit.min(MOST)).unwrap_or(usize::MAX);
        most.saturating_sub(self.found.len())
    }

    fn goes_on(&self) -> bool {
        self.from < self.until && self.left() > 0
    }

    fn stretch(&mut self, c: &Connection, from: i64, until: i64) -> Result<()> {
        let filter = &self.filter;
        let mut only = Conditions::default();
        only.add("seq >= ", Some(from));
        only.add("seq < ", Some(until));
        only.reach(&self.reach);
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
        let left = i64::try_from(self.left()).unwrap_or(i64::MAX);
        only.values.push(left.into());
        let found = rows::all(c, &sql, params_from_iter(only.values), rows::event)?;
        self.found.extend(found);
        Ok(())
    }
}
