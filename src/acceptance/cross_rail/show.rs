//! The proof for people: who it was about, and both rails' rows.

use super::Proof;
use crate::acceptance::captions::{Word, word};
use crate::acceptance::play::show::{self, time};
use crate::acceptance::report::Painter;
use crate::lang::Lang;
use crate::text::clean_to;

/// What the columns of [`rows`] hold.
pub fn headers(lang: Lang) -> [&'static str; 9] {
    let word = |name| word(lang, name);
    [
        word(Word::Seq),
        word(Word::Time),
        word(Word::Rail),
        word(Word::Vendor),
        word(Word::Tool),
        word(Word::Verdict),
        word(Word::Version),
        word(Word::ContentTag),
        "actor_omni",
    ]
}

/// Who it was about and what travelled.
pub fn facts(lang: Lang, proof: &Proof) -> Vec<(&'static str, String)> {
    let who = &proof.identity;
    let derived = match (&who.derivation_path, &who.parent_omni) {
        (Some(path), Some(parent)) => match lang {
            Lang::En => format!("{path} of {parent}"),
            Lang::Zh => format!("{parent} 的 {path}"),
        },
        _ => String::new(),
    };
    let word = |name| word(lang, name);
    let stand_in = crate::acceptance::captions::word(Lang::En, Word::StandIn);
    let via = if proof.via == stand_in {
        word(Word::StandIn)
    } else {
        &proof.via
    };
    let comma = match lang {
        Lang::En => ", ",
        Lang::Zh => "，",
    };
    vec![
        (
            word(Word::Actor),
            format!("{} ({})", who.actor_omni, who.alias),
        ),
        (word(Word::Derived), derived),
        (word(Word::Wallet), who.wallet.clone().unwrap_or_default()),
        (
            word(Word::Content),
            format!("sha256 {}", proof.content_sha256),
        ),
        (word(Word::RailOne), word(Word::RailOneHost).to_owned()),
        (word(Word::RailTwo), format!("volcano-ark{comma}{via}")),
    ]
}

/// Both rails' rows in the log, in order.
pub fn rows(proof: &Proof) -> Vec<Vec<String>> {
    let cells = proof.rows.iter().map(|row| {
        let text = |key| row.text(key).unwrap_or_default().to_owned();
        let short = |key| clean_to(row.text(key).unwrap_or_default(), 14);
        let version = row.number("version").map(|v| v.to_string());
        vec![
            row.seq().to_string(),
            time(row),
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
pub fn verdict(lang: Lang, proof: &Proof, paint: Painter<'_>) -> String {
    show::verdict(lang, &proof.steps, Word::CrossRailShown, paint)
}
