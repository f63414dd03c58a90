//! The proof for people: its steps as they happen, who it was about, and both rails' rows.

use super::{Proof, Step};
use crate::acceptance::report::{Painter, Status};
use crate::text::clean_to;

/// What the columns of [`rows`] hold.
pub const HEADERS: &[&str] = &[
    "seq",
    "time",
    "rail",
    "vendor",
    "tool",
    "verdict",
    "v",
    "content tag",
    "actor_omni",
];

/// A step in a line; one that failed says what it wanted and what it got.
pub fn step(step: &Step, paint: Painter<'_>) -> String {
    let word = match step.status {
        Status::Passed => "ok  ",
        Status::Skipped => "skip",
        Status::Failed => "FAIL",
    };
    let mut line = format!("{} {:<26}", paint(word, step.status), step.id);
    if step.ms > 0 {
        line = format!("{line} {:>6} ms", step.ms);
    }
    if step.status == Status::Failed {
        let (expected, got) = (clean_to(&step.expected, 300), clean_to(&step.got, 300));
        line = format!("{line}\n     expected: {expected}\n     got:      {got}");
    }
    line.trim_end().to_owned()
}

/// Who it was about and what travelled.
pub fn facts(proof: &Proof) -> Vec<(&'static str, String)> {
    let who = &proof.identity;
    let derived = match (&who.derivation_path, &who.parent_omni) {
        (Some(path), Some(parent)) => format!("{path} of {parent}"),
        _ => String::new(),
    };
    vec![
        ("actor", format!("{} ({})", who.actor_omni, who.alias)),
        ("derived", derived),
        ("wallet", who.wallet.clone().unwrap_or_default()),
        ("content", format!("sha256 {}", proof.content_sha256)),
        ("rail 1", "xiaozhi, as xiaozhi-server speaks".to_owned()),
        ("rail 2", format!("volcano-ark, {}", proof.via)),
    ]
}

/// Both rails' rows in the log, in order.
pub fn rows(proof: &Proof) -> Vec<Vec<String>> {
    let cells = proof.rows.iter().map(|row| {
        let text = |key| row.text(key).unwrap_or_default().to_owned();
        let short = |key| clean_to(row.text(key).unwrap_or_default(), 14);
        let time = text("ts");
        let time = time
            .split('T')
            .nth(1)
            .unwrap_or(&time)
            .trim_end_matches('Z');
        let version = row.number("version").map(|v| v.to_string());
        vec![
            row.seq().to_string(),
            time.to_owned(),
            text("rail"),
            text("vendor"),
            text("tool").trim_start_matches("agentkeys.").to_owned(),
            text("verdict"),
            version.unwrap_or_default(),
            short("content_tag"),
            short("actor_omni"),
        ]
    });
    cells.collect()
}

/// The last line.
pub fn verdict(proof: &Proof, paint: Painter<'_>) -> String {
    let ms: u64 = proof.steps.iter().map(|s| s.ms).sum();
    match proof.steps.iter().find(|s| s.status != Status::Passed) {
        None => format!(
            "{} in {ms} ms: written on one rail, read byte for byte on the other, one actor in both rails' rows",
            paint("proved", Status::Passed)
        ),
        Some(step) => format!("{}: {}", paint("NOT PROVED", Status::Failed), step.id),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_step_says_what_it_wanted_and_text_from_outside_is_clean() {
        let one = Step {
            id: "rail2.bytes_equal",
            status: Status::Failed,
            ms: 0,
            expected: "a".to_owned(),
            got: "\u{1b}[31mb".to_owned(),
        };
        let text = step(&one, &|word, _| word.to_owned());
        assert!(text.starts_with("FAIL rail2.bytes_equal"), "{text}");
        assert!(
            text.contains("\n     expected: a\n") && !text.contains('\u{1b}'),
            "{text}"
        );
    }
}
