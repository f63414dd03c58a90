//! What a person types to see less: `rail:ark verdict:deny tool:memory.* since:5m !list`.
//!
//! Words stand side by side and all must hold. `key:value` looks into one field, `*` stands for
//! anything, a value without it may stand anywhere in the field; a word without a key looks into all
//! fields; `!` before either says the opposite.

use super::row::{Row, Verdict};

/// Leaves out what looking at the log leaves in it; a screen begins with it.
pub const NO_READS: &str = "!tool:audit.read";

/// A filter that was understood. The empty one lets everything through.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    terms: Vec<Term>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Term {
    not: bool,
    what: What,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum What {
    /// Any field.
    Anywhere(Pattern),
    /// One field, by its place in [`FIELDS`].
    Field(usize, Pattern),
    /// How it ended.
    Verdict(Verdict),
    /// Not older than so many milliseconds.
    Since(i64),
    /// From this place in the log on.
    From(u64),
}

type Read = fn(&Row) -> &str;

/// The fields that have names, and how each is read.
const FIELDS: &[(&str, Read)] = &[
    ("rail", |row| &row.rail),
    ("vendor", |row| &row.who),
    ("tool", |row| &row.tool),
    ("ns", |row| &row.about),
    ("scope", |row| &row.about),
    ("reason", |row| &row.reason),
    ("door", |row| &row.door),
];

/// The keys that are no fields.
const OTHERS: &[&str] = &["verdict", "since", "seq"];

const VERDICTS: &[&str] = &["accept", "deny", "ask_parent", "error"];

/// Longest filter that is read.
pub const MOST: usize = 200;

/// What was not understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotUnderstood {
    /// The word.
    pub word: String,
    /// What could stand there.
    pub instead: String,
}

impl Filter {
    /// Reads what was typed.
    pub fn parse(text: &str) -> Result<Self, NotUnderstood> {
        let terms = text
            .split_whitespace()
            .map(term)
            .collect::<Result<_, _>>()?;
        Ok(Self { terms })
    }

    /// Whether it lets everything through.
    pub const fn is_empty(&self) -> bool {
        self.terms.is_empty()
    }

    /// Whether what it lets through changes while time passes.
    pub fn ages(&self) -> bool {
        self.terms.iter().any(|t| matches!(t.what, What::Since(_)))
    }

    /// Whether it lets a row through now.
    pub fn admits(&self, row: &Row, now_ms: i64) -> bool {
        self.terms.iter().all(|term| {
            let holds = match &term.what {
                What::Anywhere(pattern) => FIELDS.iter().any(|(_, read)| pattern.is_in(read(row))),
                What::Field(at, pattern) => pattern.is_in(FIELDS[*at].1(row)),
                What::Verdict(verdict) => row.verdict == *verdict,
                What::Since(span) => row.at_ms >= now_ms.saturating_sub(*span),
                What::From(seq) => row.seq >= *seq,
            };
            holds != term.not
        })
    }
}

/// What was typed without a last word that is only begun: without its key's value, or without a key.
pub fn finished(text: &str) -> &str {
    let last = text.rfind(char::is_whitespace).map_or(0, |at| at + 1);
    match text.get(last..) {
        Some(word) if word.ends_with(':') || !word.contains(':') => &text[..last],
        _ => text,
    }
}

fn term(word: &str) -> Result<Term, NotUnderstood> {
    let (not, rest) = match word.strip_prefix('!') {
        Some(rest) => (true, rest),
        None => (false, word),
    };
    let bad = |instead: String| NotUnderstood {
        word: word.to_owned(),
        instead,
    };
    let what = match rest.split_once(':') {
        None if rest.is_empty() => return Err(bad("!word".to_owned())),
        None => What::Anywhere(Pattern::new(rest)),
        Some((_, "")) => return Err(bad(format!("{rest}…"))),
        Some(("verdict", value)) => {
            let known = VERDICTS.iter().find(|known| known.starts_with(value));
            let known = known.ok_or_else(|| bad(VERDICTS.join(" ")))?;
            What::Verdict(Verdict::of(known))
        }
        Some(("since", value)) => {
            let span =
                span_ms(value).ok_or_else(|| bad("since:30s since:5m since:2h".to_owned()))?;
            What::Since(span)
        }
        Some(("seq", value)) => What::From(value.parse().map_err(|_| bad("seq:1200".to_owned()))?),
        Some((key, value)) => {
            let at = FIELDS.iter().position(|(name, _)| *name == key);
            let keys = || {
                let names = FIELDS.iter().map(|(name, _)| *name);
                names
                    .chain(OTHERS.iter().copied())
                    .map(|n| format!("{n}:"))
                    .collect::<Vec<_>>()
                    .join(" ")
            };
            What::Field(at.ok_or_else(|| bad(keys()))?, Pattern::new(value))
        }
    };
    Ok(Term { not, what })
}

/// `30s`, `5m`, `2h`, `1d` as milliseconds.
fn span_ms(text: &str) -> Option<i64> {
    let unit = text.chars().last()?;
    let number: i64 = text[..text.len() - unit.len_utf8()].parse().ok()?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        _ => return None,
    };
    (number >= 0).then(|| number.saturating_mul(seconds * 1_000))
}

/// Pieces of text that follow each other, whatever is between.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Pattern {
    pieces: Vec<String>,
    /// Bound to both ends of the field: there was a `*` in it.
    whole: bool,
}

impl Pattern {
    fn new(text: &str) -> Self {
        Self {
            whole: text.contains('*'),
            pieces: text.to_lowercase().split('*').map(str::to_owned).collect(),
        }
    }

    fn is_in(&self, field: &str) -> bool {
        let field = field.to_lowercase();
        let [first, between @ .., last] = self.pieces.as_slice() else {
            return self
                .pieces
                .iter()
                .all(|piece| field.contains(piece.as_str()));
        };
        debug_assert!(self.whole);
        let Some(mut rest) = field.strip_prefix(first.as_str()) else {
            return false;
        };
        for piece in between {
            let Some(at) = rest.find(piece.as_str()) else {
                return false;
            };
            rest = &rest[at + piece.len()..];
        }
        rest.ends_with(last.as_str())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    fn row() -> Row {
        let event = json!({
            "seq": 40, "ts": "1970-01-01T00:10:00Z", "rail": "volcano-ark", "vendor": "folotoy",
            "tool": "agentkeys.memory.get", "namespace": "family", "verdict": "deny",
            "reason": "namespace_not_allowed", "door": "http",
        });
        Row::read(&event).unwrap()
    }

    #[test]
    fn each_word_must_hold() {
        let now_ms = 11 * 60_000;
        for (text, admits) in [
            ("", true),
            ("rail:ark", true),
            ("rail:xiao", false),
            ("!rail:xiao", true),
            ("tool:memory.*", true),
            ("tool:*.put", false),
            ("tool:mem*get", true),
            ("tool:*", true),
            ("tool:emory.*", false),
            ("verdict:deny", true),
            ("verdict:d", true),
            ("verdict:accept", false),
            ("!verdict:accept ns:fam vendor:FOLO", true),
            ("since:2m", true),
            ("since:59s", false),
            ("seq:40", true),
            ("seq:41", false),
            ("not_allowed", true),
            ("!not_allowed", false),
            ("rail:ark verdict:accept", false),
        ] {
            let filter = Filter::parse(text).unwrap();
            assert_eq!(filter.admits(&row(), now_ms), admits, "{text:?}");
        }
        assert!(Filter::parse("since:5m").unwrap().ages());
        assert!(!Filter::parse("rail:ark").unwrap().ages());
    }

    #[test]
    fn a_word_that_is_only_begun_does_not_count_yet() {
        for (text, counts) in [
            ("", ""),
            ("ra", ""),
            ("rail:", ""),
            ("rail:a", "rail:a"),
            ("rail:a ver", "rail:a "),
            ("rail:a 火锅", "rail:a "),
            ("火锅 ", "火锅 "),
        ] {
            assert_eq!(finished(text), counts);
        }
    }

    #[test]
    fn what_is_not_understood_is_named_with_what_could_stand_there() {
        for (text, word, instead) in [
            ("rail:ark colour:red", "colour:red", "rail: vendor: tool:"),
            (
                "verdict:maybe",
                "verdict:maybe",
                "accept deny ask_parent error",
            ),
            ("since:soon", "since:soon", "since:5m"),
            ("since:-5m", "since:-5m", "since:5m"),
            ("since:", "since:", "since:…"),
            ("seq:x", "seq:x", "seq:1200"),
            ("!", "!", "!word"),
        ] {
            let error = Filter::parse(text).unwrap_err();
            assert_eq!(error.word, word);
            assert!(error.instead.contains(instead), "{error:?}");
        }
        // The last letter of a span may be of any length in bytes.
        assert!(Filter::parse("since:5分").is_err());
    }
}
