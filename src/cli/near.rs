//! Whether a name that nobody has looks like one that somebody has.

use clap::error::{ContextKind, ContextValue};
use strsim::osa_distance;

/// No more than this many are told.
const MOST: usize = 3;

/// Shorter than this, a name is part of too many others.
const SHORT: usize = 3;

/// The names that were probably meant, nearest first: those that differ by a slip or two, or that the
/// typed one is a part of.
fn near<'n>(typed: &str, names: impl IntoIterator<Item = &'n str>) -> Vec<&'n str> {
    let typed = typed.to_lowercase();
    let length = typed.chars().count();
    let mut found: Vec<(usize, &str)> = Vec::new();
    for name in names {
        let folded = name.to_lowercase();
        let slips = osa_distance(&typed, &folded);
        let part = length >= SHORT && folded.contains(&typed);
        if slips <= length / 3 || part {
            found.push((slips, name));
        }
    }
    found.sort_unstable();
    found.into_iter().take(MOST).map(|(_, name)| name).collect()
}

/// The question whether one of the names was meant; nothing when none is like what was typed.
pub fn did_you_mean<'n>(typed: &str, names: impl IntoIterator<Item = &'n str>) -> Option<String> {
    let near = near(typed, names);
    let (last, first) = near.split_last()?;
    Some(match first {
        [] => format!("did you mean {last}?"),
        first => format!("did you mean {} or {last}?", first.join(", ")),
    })
}

/// Clap's tip about a mistyped command of which it finds several alike: it names the nearest last.
pub fn tip(error: &clap::Error) -> Option<String> {
    let Some(ContextValue::String(typed)) = error.get(ContextKind::InvalidSubcommand) else {
        return None;
    };
    let Some(ContextValue::Strings(like)) = error.get(ContextKind::SuggestedSubcommand) else {
        return None;
    };
    let mut like: Vec<&str> = like.iter().map(String::as_str).collect();
    like.sort_by_key(|name| osa_distance(typed, name));
    match like.as_slice() {
        [] | [_] => None,
        like => Some(format!(
            "similar subcommands exist: '{}'",
            like.join("', '")
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACTORS: &[&str] = &["O_alice_001", "O_kevin_001", "O_kevin_002", "operator"];

    #[test]
    fn a_slip_is_recognised_and_a_stranger_is_not() {
        for (typed, meant) in [
            ("O_kevn_001", "did you mean O_kevin_001 or O_kevin_002?"),
            ("o_alice_001", "did you mean O_alice_001?"),
            ("alice", "did you mean O_alice_001?"),
            ("kevin", "did you mean O_kevin_001 or O_kevin_002?"),
            ("oprator", "did you mean operator?"),
        ] {
            assert_eq!(
                did_you_mean(typed, ACTORS.iter().copied()).as_deref(),
                Some(meant)
            );
        }
        // What begins and ends alike is another person all the same.
        for typed in ["O_maria_001", "bob", "", "_0", "magiclick"] {
            assert_eq!(did_you_mean(typed, ACTORS.iter().copied()), None, "{typed}");
        }
    }

    #[test]
    fn no_list_is_long() {
        let names: Vec<String> = (0..100).map(|n| format!("toy_{n:03}")).collect();
        let said = did_you_mean("toy", names.iter().map(String::as_str)).unwrap_or_default();
        assert_eq!(said, "did you mean toy_000, toy_001 or toy_002?");
    }
}
