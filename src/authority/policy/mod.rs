//! What may be done, decided by declared rules and nothing else.
//!
//! A [`PolicySource`] (a schema, rules in Cedar, tests) compiles into a [`PolicyEngine`], which
//! answers a [`Question`] with a [`Decision`]. The same question has the same decision on every
//! replica: nothing here reads a clock, draws a number, or does I/O, except
//! [`PolicySource::read_dir`] for `agentkeys policy apply`. It must never cache, ask a model, or
//! let a rule that could not be evaluated count as a rule that did not apply.

mod compile;
mod engine;
mod error;
mod schema;
mod slices;
mod source;
mod suite;
#[cfg(test)]
mod tests;
mod words;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::authority::budget::{format_minor, parse_amount};

pub use engine::{ExplainedRule, Explanation, PolicyEngine};
pub use error::{PolicyError, PolicyErrorKind};
pub use source::{MAX_SOURCE_BYTES, PolicySource, SCHEMA_FILE};
pub use suite::TestResult;

/// What a decision comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It may be done.
    Accept,
    /// It may not.
    Deny,
    /// Not without the parent's word.
    AskParent,
}

impl Verdict {
    /// As it is written in answers and rows.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Accept => "accept",
            Self::Deny => "deny",
            Self::AskParent => "ask_parent",
        }
    }
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The amount in a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Amount {
    /// None was sent.
    Missing,
    /// What was sent is not an amount (`budget::parse_amount`).
    Invalid,
    /// Minor units (hundredths).
    Minor(i64),
}

impl Amount {
    /// Reads the caller's parameter; absent and `null` are the same.
    pub fn from_param(value: Option<&Value>) -> Self {
        match value {
            None | Some(Value::Null) => Self::Missing,
            Some(value) => parse_amount(value).map_or(Self::Invalid, Self::Minor),
        }
    }

    /// The amount, when there is one.
    pub const fn minor(self) -> Option<i64> {
        match self {
            Self::Minor(minor) => Some(minor),
            Self::Missing | Self::Invalid => None,
        }
    }
}

/// Everything a decision may depend on. Who asks comes from the verified token and binding, never
/// from the request; `scope`, `namespace` and `amount` are the request's and may be anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Question<'a> {
    /// The tenant that asks.
    pub vendor: &'a str,
    /// The rail of that tenant: `xiaozhi`, `volcano-ark`, `other`.
    pub rail: &'a str,
    /// The actor's omni, `0x` and 64 hex digits.
    pub actor: &'a str,
    /// What is to be done: `memory.read`, `payment.spend`.
    pub scope: &'a str,
    /// Whether the binding grants this scope (for memory: this namespace) to this vendor.
    pub granted: bool,
    /// The namespace asked for, when the scope is about memory.
    pub namespace: Option<&'a str>,
    /// The amount asked for.
    pub amount: Amount,
    /// Three upper-case letters: `RMB`.
    pub currency: &'a str,
    /// What the actor has reserved today over all vendors, minor units.
    pub spent_minor: i64,
    /// The binding's daily cap, minor units.
    pub cap_minor: Option<i64>,
    /// The actor's local hour, 0 to 23.
    pub hour: u8,
    /// The actor's local weekday, 1 (Monday) to 7 (Sunday).
    pub weekday: u8,
}

/// A [`Question`] that owns its texts: what a decision is kept with, so that it can be explained
/// again later.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "field by field the same as Question")]
pub struct Inputs {
    pub vendor: String,
    pub rail: String,
    pub actor: String,
    pub scope: String,
    pub granted: bool,
    pub namespace: Option<String>,
    pub amount: Amount,
    pub currency: String,
    pub spent_minor: i64,
    pub cap_minor: Option<i64>,
    pub hour: u8,
    pub weekday: u8,
}

impl Inputs {
    /// The question these inputs ask.
    pub fn question(&self) -> Question<'_> {
        Question {
            vendor: &self.vendor,
            rail: &self.rail,
            actor: &self.actor,
            scope: &self.scope,
            granted: self.granted,
            namespace: self.namespace.as_deref(),
            amount: self.amount,
            currency: &self.currency,
            spent_minor: self.spent_minor,
            cap_minor: self.cap_minor,
            hour: self.hour,
            weekday: self.weekday,
        }
    }
}

impl From<&Question<'_>> for Inputs {
    fn from(q: &Question<'_>) -> Self {
        Self {
            vendor: q.vendor.to_owned(),
            rail: q.rail.to_owned(),
            actor: q.actor.to_owned(),
            scope: q.scope.to_owned(),
            granted: q.granted,
            namespace: q.namespace.map(str::to_owned),
            amount: q.amount,
            currency: q.currency.to_owned(),
            spent_minor: q.spent_minor,
            cap_minor: q.cap_minor,
            hour: q.hour,
            weekday: q.weekday,
        }
    }
}

/// A verdict with its words. Reasons are stable codes: those of the rules, and three that the engine
/// gives itself, all of them denies: `scope_not_in_policy_table`, `policy_error` (a rule could not
/// be evaluated) and `no_policy_permits`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// What it comes to.
    pub verdict: Verdict,
    /// Stable code for programs: `daily_spend_cap_exceeded`.
    pub reason: String,
    /// For people: `cap=500, requested=600, period=daily`. May repeat cleaned text of the request.
    pub explanation: String,
    /// Ids of all rules that decided, sorted.
    pub policies: Vec<String>,
    /// What has to hold when the decision is committed. Only ever on an accept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub obligation: Option<Obligation>,
}

/// A condition that the ledger tests again, inside the transaction that writes the decision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Obligation {
    /// Add `amount_minor` to the actor's day if the sum stays at or below `limit_minor`. If it does
    /// not, the decision is a deny with the refusal's words instead.
    ReserveDaily {
        /// What to reserve, minor units, at least 1.
        amount_minor: i64,
        /// The most the day's sum may come to, minor units.
        limit_minor: i64,
        /// `reason` of the refusal.
        refused_reason: String,
        /// `explanation` of the refusal.
        refused_explanation: String,
        /// `policies` of the refusal.
        refused_policies: Vec<String>,
    },
}

/// An amount in whole units for a person, or `none`.
fn money(minor: Option<i64>) -> String {
    minor.map_or_else(|| "none".to_owned(), format_minor)
}
