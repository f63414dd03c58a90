//! What machines read: every byte of it is what the program writes for what `listing.json` says.

use serde_json::Value;

use super::super::facts::{Both, Facts};
use super::super::page::json_texts;
use super::super::{Files, Lang, Listing, MANIFEST, NO_URL};
use super::Read;
use crate::config::{Config, Flags};

pub(super) fn problems(read: &Read) -> Vec<String> {
    let files = match files(read) {
        Ok(files) => files,
        Err(cause) => return vec![format!("{MANIFEST}: {cause}")],
    };
    let mut complaints = Vec::new();
    let machines = files.texts.iter().filter(|(name, _)| is_json(name));
    for (name, wanted) in machines {
        let there = read.bytes.get(name);
        if there.is_some_and(|there| there != wanted.as_bytes()) {
            complaints.push(format!(
                "{name} is not what this program writes for the address, words and operator of {MANIFEST}"
            ));
        }
    }
    for page in Lang::BOTH.map(|lang| lang.file("README")) {
        let wanted = files.text(&page).unwrap_or_default();
        if json_texts(read.text(&page)) != json_texts(wanted) {
            complaints.push(format!(
                "the JSON in {page} is not what this program writes for {MANIFEST}"
            ));
        }
    }
    complaints
}

fn is_json(name: &str) -> bool {
    let path = std::path::Path::new(name);
    path.extension().is_some_and(|end| end == "json")
}

/// The listing as it is written for the words, address and operator that a manifest says.
pub(super) fn files(read: &Read) -> Result<Files, String> {
    let words = |key: &str| read.manifest[key].clone();
    let mut facts = Facts::read().map_err(|flaw| flaw.cause)?;
    facts.short = both(words("short"))?;
    facts.long = both(words("long"))?;
    facts.category = both(words("category"))?;
    facts.tags = serde_json::from_value(words("tags")).map_err(|e| e.to_string())?;
    let listing = Listing::of(read.kind, &config(read)?);
    listing.files_with(&facts).map_err(|flaw| flaw.cause)
}

fn both(words: Value) -> Result<Both, String> {
    serde_json::from_value(words).map_err(|e| e.to_string())
}

/// What it says of the operator, held to what a configuration may say.
fn config(read: &Read) -> Result<Config, String> {
    let told = |pointer| Some(read.told(pointer)).filter(|text| !text.is_empty());
    let url = told("/url").filter(|url| *url != NO_URL);
    let flags = Flags::default()
        .with("server.public_url", MANIFEST, url)
        .with("listing.publisher", MANIFEST, told("/publisher"))
        .with("listing.company", MANIFEST, told("/operator/company"))
        .with("listing.support", MANIFEST, told("/operator/support"))
        .with(
            "listing.privacy_url",
            MANIFEST,
            told("/operator/privacy_url"),
        )
        .with("listing.terms_url", MANIFEST, told("/operator/terms_url"))
        .with("listing.icon_url", MANIFEST, told("/operator/icon_url"));
    Config::of(flags).map_err(|problem| problem.cause)
}
