//! The words of a rule: `cap={cap}, requested={requested}`, checked once, filled in per decision.

use super::{Question, money};
use crate::text::clean_to;

/// The longest explanation a rule may have, characters. Hosts read it aloud.
const MAX_CHARS: usize = 300;

/// The longest piece of a request that is repeated in an explanation, characters.
pub(super) const MAX_ECHO: usize = 64;

/// An `@explanation`, taken apart.
#[derive(Debug, Clone)]
pub(super) struct Words(Vec<Part>);

#[derive(Debug, Clone)]
enum Part {
    Text(String),
    Slot(Slot),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Slot {
    Cap,
    Requested,
    Spent,
    Currency,
    Scope,
    Namespace,
}

impl Slot {
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "cap" => Self::Cap,
            "requested" => Self::Requested,
            "spent" => Self::Spent,
            "currency" => Self::Currency,
            "scope" => Self::Scope,
            "namespace" => Self::Namespace,
            _ => return None,
        })
    }

    fn fill(self, q: &Question<'_>) -> String {
        match self {
            Self::Cap => money(q.cap_minor),
            Self::Requested => money(q.amount.minor()),
            Self::Spent => money(Some(q.spent_minor)),
            Self::Currency => clean_to(q.currency, MAX_ECHO),
            Self::Scope => clean_to(q.scope, MAX_ECHO),
            Self::Namespace => q
                .namespace
                .map_or_else(|| "none".to_owned(), |n| clean_to(n, MAX_ECHO)),
        }
    }
}

impl Words {
    /// Takes an explanation apart, or says what is wrong with it.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        if text.chars().count() > MAX_CHARS || crate::text::clean(text) != text {
            return Err(format!(
                "@explanation must be one line of at most {MAX_CHARS} characters"
            ));
        }
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(open) = rest.find(['{', '}']) {
            let (before, from_brace) = rest.split_at(open);
            let slot = from_brace.strip_prefix('{').and_then(|s| s.split_once('}'));
            let Some((name, after)) = slot else {
                return Err("a brace in @explanation is not part of a placeholder".to_owned());
            };
            let Some(slot) = Slot::named(name) else {
                return Err(format!(
                    "@explanation has the unknown placeholder {{{name}}} (there are {{cap}}, \
                     {{requested}}, {{spent}}, {{currency}}, {{scope}} and {{namespace}})"
                ));
            };
            if !before.is_empty() {
                parts.push(Part::Text(before.to_owned()));
            }
            parts.push(Part::Slot(slot));
            rest = after;
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_owned()));
        }
        Ok(Self(parts))
    }

    /// Whether the day's sum is among the words.
    pub(super) fn tells_spent(&self) -> bool {
        self.0
            .iter()
            .any(|part| matches!(part, Part::Slot(Slot::Spent)))
    }

    /// The words for a question. What came with the request is cleaned and cut.
    pub(super) fn fill(&self, q: &Question<'_>) -> String {
        self.0.iter().fold(String::new(), |mut out, part| {
            match part {
                Part::Text(text) => out.push_str(text),
                Part::Slot(slot) => out.push_str(&slot.fill(q)),
            }
            out
        })
    }
}
