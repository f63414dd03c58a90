//! An event as a screen needs it: read and cleaned once, when it comes in.

use super::news::Shown;
use crate::operate::text;
use crate::text::{clean_to, escaped};
use jiff::Timestamp;
use serde_json::Value;

/// Where an event stands on the screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Lane {
    /// The xiaozhi rail.
    One,
    /// The Volcano Ark rail.
    Two,
    /// Neither: an operator, a parent, a stranger, another rail.
    Beside,
}

impl Lane {
    fn of(rail: &str) -> Self {
        match rail {
            "xiaozhi" => Self::One,
            "volcano-ark" => Self::Two,
            _ => Self::Beside,
        }
    }
}

/// How an event ended. Shown by a glyph, and by colour only besides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Allowed and done.
    Accept,
    /// Refused.
    Deny,
    /// Needs a parent's yes.
    AskParent,
    /// Not decided: the call itself was wrong.
    Error,
}

impl Verdict {
    /// Of the word in a row; a word that is none of ours is an error.
    pub fn of(word: &str) -> Self {
        match word {
            "accept" => Self::Accept,
            "deny" => Self::Deny,
            "ask_parent" => Self::AskParent,
            _ => Self::Error,
        }
    }

    /// One column wide in every font.
    pub const fn glyph(self) -> &'static str {
        match self {
            Self::Accept => "\u{2713}",
            Self::Deny => "\u{2717}",
            Self::AskParent => "?",
            Self::Error => "!",
        }
    }
}

/// An event, ready to be shown, filtered and exported. Every text in it is clean.
#[derive(Debug, Clone)]
pub struct Row {
    /// Its place in the log.
    pub seq: u64,
    /// When it was decided, Unix milliseconds.
    pub at_ms: i64,
    /// Where it is shown.
    pub lane: Lane,
    /// The rail's own name, or nothing.
    pub rail: String,
    /// The vendor, else the role, else a stranger.
    pub who: String,
    /// The way it came in.
    pub door: String,
    /// The tool, without the prefix that all have.
    pub tool: String,
    /// The namespace or the scope.
    pub about: String,
    /// How it ended.
    pub verdict: Verdict,
    /// Why.
    pub reason: String,
    /// Why, in the policy's words.
    pub explanation: String,
    /// From the door to the decision.
    pub latency_us: Option<u64>,
    /// What says that two contents are one and tells nothing of them.
    pub tag: Option<String>,
    /// The whole event on one line, for a file.
    pub json: Box<str>,
}

/// Money, as people write it.
fn amount(event: &Value) -> String {
    // Of a decision, or of one that was given back.
    let minor = |of: &Value| of["amount_minor"].as_u64();
    let (of, minor) = match (minor(event), minor(&event["detail"])) {
        (Some(own), _) => (event, own),
        (None, Some(given_back)) => (&event["detail"], given_back),
        (None, None) => return String::new(),
    };
    let sum = match minor % 100 {
        0 => (minor / 100).to_string(),
        rest => format!("{}.{rest:02}", minor / 100),
    };
    match text(of, "currency") {
        "RMB" => format!("\u{a5}{sum}"),
        other => format!("{sum} {}", clean_to(other, 8)),
    }
}

/// What was given to or taken from whom.
fn taken(event: &Value) -> String {
    let detail = &event["detail"];
    let scopes = detail["scopes"].as_array().into_iter().flatten();
    let scopes: Vec<&str> = scopes.filter_map(Value::as_str).collect();
    let vendor = text(&detail["binding"], "vendor");
    clean_to(format!("{} {vendor}", scopes.join(",")).trim(), 60)
}

impl Row {
    /// Reads an event; one without a place in the log is none.
    pub fn read(event: &Value) -> Option<Self> {
        let word = |key: &str, max: usize| clean_to(text(event, key), max);
        let rail = word("rail", 24);
        let who = match (text(event, "vendor"), text(event, "by")) {
            ("", "") => "stranger".to_owned(),
            ("", role) => clean_to(role, 24),
            (vendor, _) => clean_to(vendor, 40),
        };
        let tool = word("tool", 60);
        let about = [word("namespace", 40), word("scope", 40), taken(event)];
        let about = about.into_iter().find(|about| !about.is_empty());
        // The sum first: it is what is left where there is little room.
        let parts = [amount(event), about.unwrap_or_default()];
        let about = parts.join(" ").trim().to_owned();
        let at_ms = text(event, "ts").parse::<Timestamp>();
        Some(Self {
            seq: event["seq"].as_u64()?,
            at_ms: at_ms.map_or(0, Timestamp::as_millisecond),
            lane: Lane::of(&rail),
            who,
            door: word("door", 16),
            tool: tool.strip_prefix("agentkeys.").unwrap_or(&tool).to_owned(),
            about,
            verdict: Verdict::of(text(event, "verdict")),
            reason: word("reason", 80),
            explanation: word("explanation", 160),
            latency_us: event["latency_us"].as_u64(),
            tag: event["content_tag"].as_str().map(|tag| clean_to(tag, 80)),
            rail,
            json: escaped(&event.to_string()).into(),
        })
    }

    /// The event's id.
    pub fn event_id(&self) -> Option<String> {
        self.shown().map(|shown| shown.event_id)
    }

    /// The event, to be proved.
    pub fn shown(&self) -> Option<Shown> {
        let event: Value = serde_json::from_str(&self.json).ok()?;
        Some(Shown {
            seq: self.seq,
            event_id: clean_to(event["event_id"].as_str()?, 60),
            event,
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    #[test]
    fn what_comes_from_outside_is_clean_and_kept_whole_in_the_json() {
        let event = json!({
            "seq": 7, "ts": "2026-04-12T09:10:11.123Z", "rail": "volcano-ark", "vendor": "f\u{1b}[2J",
            "tool": "agentkeys.memory.get", "namespace": "travel", "verdict": "accept",
            "reason": "\u{202e}x", "latency_us": 2100, "content_tag": "ab",
        });
        let row = Row::read(&event).unwrap();
        assert_eq!((row.lane, row.tool.as_str()), (Lane::Two, "memory.get"));
        assert!(!row.who.contains('\u{1b}') && !row.reason.contains('\u{202e}'));
        assert!(!row.json.contains('\u{1b}'));
        let back: Value = serde_json::from_str(&row.json).unwrap();
        assert_eq!(back, event);
    }

    #[test]
    fn a_row_of_nobody_is_a_strangers_and_no_place_is_no_row() {
        let row = Row::read(&json!({"seq": 0, "verdict": "deny"})).unwrap();
        assert_eq!((row.lane, row.who.as_str()), (Lane::Beside, "stranger"));
        assert!(Row::read(&json!({"verdict": "deny"})).is_none());
    }
}
