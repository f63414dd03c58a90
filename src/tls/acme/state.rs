//! `DIR/tls/renewal.json`: what is remembered between two tries, so that a restart is no reason to ask
//! an authority again.

use super::trouble::{Kind, Trouble};
use crate::tls::Store;
use serde::{Deserialize, Serialize};

const FILE: &str = "renewal.json";

/// What is remembered. Times are Unix seconds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct State {
    /// Tries that failed one after the other, rehearsals too.
    pub failures: u32,
    /// When the first of them did.
    pub failing_since: Option<i64>,
    /// The last of them.
    pub last: Option<Failure>,
    /// Whether the next try goes to the authority for rehearsals.
    pub rehearse: bool,
    /// What the authority says about the certificate that is kept.
    pub window: Option<Window>,
    /// The SHA-256 of the certificate that was revoked, in hex.
    pub revoked: Option<String>,
    /// When the last one was got.
    pub got_at: Option<i64>,
}

/// A try that failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// When.
    pub at: i64,
    /// What stood in the way.
    pub kind: Kind,
    /// The same in words.
    pub cause: String,
    /// Not to be tried again before; the authority said so.
    pub not_before: Option<i64>,
}

/// When an authority would have its certificate renewed (RFC 9773).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// The SHA-256 of that certificate, in hex.
    pub certificate: String,
    /// Where it begins.
    pub start: i64,
    /// Where it ends.
    pub end: i64,
    /// The moment in it that was drawn, once.
    pub point: i64,
    /// When to ask again.
    pub ask_again: i64,
    /// A page that says why.
    pub explanation: Option<String>,
}

impl State {
    /// What is kept. What cannot be understood is worth nothing, and is begun anew.
    pub fn load(store: &Store) -> Result<Self, Trouble> {
        let text = store.read(FILE)?;
        Ok(text
            .and_then(|text| serde_json::from_str(&text).ok())
            .unwrap_or_default())
    }

    /// Keeps it.
    pub fn save(&self, store: &Store) -> Result<(), Trouble> {
        let text = serde_json::to_string_pretty(self)
            .map_err(|e| Trouble::new(Kind::Disk, e.to_string()))?;
        Ok(store.write(FILE, &text)?)
    }

    /// After a try that failed. Says whether that is news: another kind of trouble than before.
    pub fn failed(&mut self, trouble: &Trouble, now: i64) -> bool {
        let news = self
            .last
            .as_ref()
            .is_none_or(|last| last.kind != trouble.kind);
        self.failures = self.failures.saturating_add(1);
        self.failing_since.get_or_insert(now);
        self.rehearse = trouble.kind.is_worth_a_rehearsal();
        self.last = Some(Failure {
            at: now,
            kind: trouble.kind,
            cause: trouble.cause.clone(),
            not_before: trouble.not_before,
        });
        news
    }

    /// After a rehearsal that went well: the next try is the real one, and soon.
    pub fn rehearsed(&mut self) {
        self.rehearse = false;
        if let Some(last) = &mut self.last {
            last.not_before = None;
        }
    }

    /// After a certificate was kept.
    pub fn succeeded(&mut self, now: i64) {
        *self = Self {
            got_at: Some(now),
            ..Self::default()
        };
    }

    /// The window, if it is about this certificate.
    pub fn window_of(&self, fingerprint: &str) -> Option<&Window> {
        let window = self.window.as_ref();
        window.filter(|w| w.certificate == fingerprint)
    }
}
