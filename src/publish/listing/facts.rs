//! The words of every listing, in both languages side by side. Reading them fails when one language of
//! anything is missing.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};

use super::{Kind, Lang, broken};
use crate::mcp::tools::{TOOLS, Tool};
use crate::publish::wire::Flaw;

/// The same in both languages.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Both<T = String> {
    en: T,
    zh: T,
}

impl<T> Both<T> {
    pub(super) const fn get(&self, lang: Lang) -> &T {
        match lang {
            Lang::En => &self.en,
            Lang::Zh => &self.zh,
        }
    }
}

impl<T: serde::Serialize> Both<T> {
    pub(super) fn to_json(&self) -> Value {
        json!({"en": self.en, "zh": self.zh})
    }
}

/// What a listing says besides what the tools say of themselves.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Facts {
    pub(super) name: String,
    pub(super) short: Both,
    pub(super) long: Both,
    pub(super) category: Both,
    pub(super) tags: Both<Vec<String>>,
    pub(super) platforms: Both<Vec<String>>,
    tools: BTreeMap<String, Use>,
    pub(super) privacy: Vec<Both>,
    pub(super) terms: Vec<Both>,
    pub(super) screenshots: Vec<Screenshot>,
    #[serde(skip)]
    checklists: BTreeMap<String, Vec<Step>>,
    #[serde(skip)]
    pub(super) missing: BTreeMap<String, Both>,
}

/// How a tool comes to be used.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Use {
    /// What a user says so that a model calls it.
    pub(super) prompt: Both,
    /// What comes back.
    pub(super) answer: Both,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Screenshot {
    pub(super) file: Both,
    pub(super) alt: Both,
}

/// A line of a checklist.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Step {
    /// Whether it comes before what the operator has to tell.
    #[serde(default)]
    pub(super) first: bool,
    en: String,
    zh: String,
    pub(super) link: String,
    /// Who says so.
    pub(super) source: Both,
    /// When: a day or a month.
    pub(super) seen: String,
}

impl Step {
    pub(super) fn what(&self, lang: Lang) -> &str {
        match lang {
            Lang::En => &self.en,
            Lang::Zh => &self.zh,
        }
    }
}

#[derive(Deserialize)]
struct Checklists {
    missing: BTreeMap<String, Both>,
    #[serde(flatten)]
    of: BTreeMap<String, Vec<Step>>,
}

impl Facts {
    pub(super) fn read() -> Result<Self, Flaw> {
        Self::parse(
            include_str!("../../../templates/listing/facts.toml"),
            include_str!("../../../templates/listing/checklist.toml"),
        )
    }

    pub(super) fn parse(facts: &str, checklists: &str) -> Result<Self, Flaw> {
        let mut facts: Self = toml::from_str(facts).map_err(broken)?;
        let checklists: Checklists = toml::from_str(checklists).map_err(broken)?;
        facts.checklists = checklists.of;
        facts.missing = checklists.missing;
        for both in [&mut facts.short, &mut facts.long] {
            both.en = one_line(&both.en, " ");
            // Chinese is written without blanks between words.
            both.zh = one_line(&both.zh, "");
        }
        match TOOLS
            .iter()
            .find(|tool| !facts.tools.contains_key(tool.name))
        {
            Some(tool) => Err(broken(format!("nothing says how {} is used", tool.name))),
            None => Ok(facts),
        }
    }

    /// How a tool is used.
    pub(super) fn usage(&self, tool: &Tool) -> Result<&Use, Flaw> {
        self.tools.get(tool.name).ok_or_else(|| broken(tool.name))
    }

    /// The checklist of a marketplace.
    pub(super) fn steps(&self, kind: Kind) -> &[Step] {
        self.checklists
            .get(kind.as_str())
            .map_or(&[], Vec::as_slice)
    }
}

fn one_line(text: &str, between: &str) -> String {
    text.trim().lines().collect::<Vec<_>>().join(between)
}

/// What a tool says of itself in one language: its description has English first, then Chinese.
pub(super) fn about(tool: &Tool, lang: Lang) -> &'static str {
    let at = tool.about.find(is_chinese).unwrap_or(tool.about.len());
    let (en, zh) = tool.about.split_at(at);
    match lang {
        Lang::En => en.trim(),
        Lang::Zh => zh.trim(),
    }
}

/// Whether a character is a Chinese one; not punctuation.
pub(super) fn is_chinese(c: char) -> bool {
    ('\u{4e00}'..='\u{9fff}').contains(&c)
}
