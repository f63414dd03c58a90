//! The play for people: what was said in it, and the rows it left.

use super::Proof;
use crate::acceptance::captions::{Word, word};
use crate::acceptance::play::show::{self, time};
use crate::acceptance::report::Painter;
use crate::lang::Lang;

/// What the columns of [`rows`] hold.
pub fn headers(lang: Lang) -> [&'static str; 7] {
    [
        Word::Seq,
        Word::Time,
        Word::Vendor,
        Word::Tool,
        Word::Verdict,
        Word::Reason,
        Word::Explanation,
    ]
    .map(|name| word(lang, name))
}

/// Who it was about, and the answer that each act turns on.
pub fn facts(lang: Lang, proof: &Proof) -> Vec<(&'static str, String)> {
    let said = |id| {
        let step = proof.steps.iter().find(|s| s.id == id);
        step.map(|s| s.got.clone()).unwrap_or_default()
    };
    let who = &proof.identity;
    let word = |name| word(lang, name);
    vec![
        (
            word(Word::Actor),
            format!("{} ({})", who.actor_omni, who.alias),
        ),
        (word(Word::Vendor), proof.vendor.clone()),
        (word(Word::ActOne), said("act1.travel_remembered")),
        (word(Word::ActTwo), said("act2.600_denied")),
        (word(Word::ActThree), said("act3.next_check_denied")),
    ]
}

/// The rows that the acts left, in order.
pub fn rows(proof: &Proof) -> Vec<Vec<String>> {
    let cells = proof.rows.iter().map(|row| {
        let text = |key| row.text(key).unwrap_or_default().to_owned();
        vec![
            row.seq().to_string(),
            time(row),
            text("vendor"),
            text("tool").trim_start_matches("agentkeys.").to_owned(),
            text("verdict"),
            text("reason"),
            text("explanation"),
        ]
    });
    cells.collect()
}

/// The last line.
pub fn verdict(lang: Lang, proof: &Proof, paint: Painter<'_>) -> String {
    show::verdict(lang, &proof.steps, Word::ThreeActsShown, paint)
}
