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
    let ms = match step.ms {
        0 => String::new(),
        ms => format!("{ms} ms"),
    };
    let (id, caption) = (step.id, caption(step.id));
    let mut line = format!("{} {id:<26} {ms:>7}  {caption}", paint(word, step.status));
    if step.status == Status::Failed {
        let (expected, got) = (clean_to(&step.expected, 300), clean_to(&step.got, 300));
        line = format!("{line}\n     expected: {expected}\n     got:      {got}");
    }
    line.trim_end().to_owned()
}

/// What a step does or proves, for who watches.
const CAPTIONS: &[(&str, &str)] = &[
    (
        "setup",
        "a server, an actor, two vendors with their own tokens and consent",
    ),
    (
        "rail1.write",
        "a host like xiaozhi-server asks who it acts for, and writes a memory",
    ),
    (
        "rail2.read",
        "an agent behind Ark's API is asked about the trip, and reads it",
    ),
    ("audit.read", "an auditor reads what both did"),
    ("restore", "the memory is put back as it was"),
    (
        "rail1.whoami_is_the_actor",
        "the first host was told the right actor",
    ),
    (
        "identity.derivation",
        "the actor's id recomputes from its parent and label",
    ),
    ("rail1.put_accepted", "the write was accepted and versioned"),
    (
        "rail2.tools_listed",
        "the second host found the tools by itself",
    ),
    (
        "rail2.bytes_equal",
        "byte for byte what was written, through another host",
    ),
    ("audit.rail1_whoami_row", "the question is on record, once"),
    ("audit.rail1_put_row", "the write is on record, once"),
    ("audit.rail2_get_row", "the read is on record, once"),
    (
        "audit.same_actor_omni",
        "both hosts' rows carry one actor_omni",
    ),
    (
        "audit.rails_and_vendors",
        "each row names its own rail and vendor",
    ),
    (
        "audit.same_content_tag",
        "one content, by a tag that tells nothing of it",
    ),
    (
        "audit.same_version",
        "the version read is the version written",
    ),
    ("restore.put_back", "and nothing is left changed"),
];

fn caption(id: &str) -> &'static str {
    let found = CAPTIONS.iter().find(|(step, _)| *step == id);
    found.map_or("", |(_, caption)| *caption)
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
