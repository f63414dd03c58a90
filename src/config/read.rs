//! Flag > environment > file > default, key by key, with where each value came from.

use super::keys::{Fallback, KEYS};
use crate::problem::{Exit, Problem};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use toml::de::{DeTable, DeValue};

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A flag of this command.
    Flag(&'static str),
    /// An environment variable.
    Env(String),
    /// A line of the file.
    File(PathBuf, usize),
    /// Nobody gave one.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(flag) => write!(f, "flag {flag}"),
            Self::Env(name) => write!(f, "env {name}"),
            Self::File(path, line) => write!(f, "file {}:{line}", path.display()),
            Self::Default => f.write_str("default"),
        }
    }
}

/// A key as it is in force.
#[derive(Debug, Clone)]
pub struct Setting {
    /// `section.key`
    pub key: &'static str,
    /// Its value.
    pub value: Value,
    /// Where that came from.
    pub origin: Origin,
}

/// What flags of a command say: key, flag, value.
#[derive(Debug, Clone, Default)]
pub struct Flags(Vec<(&'static str, &'static str, String)>);

impl Flags {
    /// Adds a flag's value, if it was given.
    #[must_use]
    pub fn with(
        mut self,
        key: &'static str,
        flag: &'static str,
        value: Option<impl fmt::Display>,
    ) -> Self {
        if let Some(value) = value {
            self.0.push((key, flag, value.to_string()));
        }
        self
    }
}

/// Everything a configuration is made of, so that tests need neither files nor an environment.
#[derive(Debug, Default)]
pub(super) struct Sources {
    pub(super) flags: Flags,
    pub(super) env: BTreeMap<String, String>,
    pub(super) file: Option<(PathBuf, String)>,
}

/// Reads keys one by one and remembers where each came from.
pub(super) struct Reader {
    flags: Flags,
    env: BTreeMap<String, String>,
    file: BTreeMap<String, (Raw, usize)>,
    path: PathBuf,
    pub(super) settings: Vec<Setting>,
}

/// A value before it is checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Raw {
    Text(String),
    Number(i64),
    List(Vec<String>),
}

impl Reader {
    pub(super) fn new(sources: Sources) -> Result<Self, Problem> {
        let (path, text) = sources.file.unwrap_or_default();
        let file = parse(&path, &text)?;
        for name in sources.env.keys() {
            known_variable(name)?;
        }
        Ok(Self {
            flags: sources.flags,
            env: sources.env,
            file,
            path,
            settings: Vec::new(),
        })
    }

    /// The value of a key, checked.
    pub(super) fn read<T>(
        &mut self,
        key: &'static str,
        check: fn(Raw) -> Result<T, String>,
    ) -> Result<T, Problem> {
        let fallback = KEYS.iter().find(|(name, _)| *name == key).map(|(_, f)| *f);
        let fallback = fallback.unwrap_or(Fallback::Text(""));
        let (raw, origin) = self.raw(key, fallback);
        let wrong = |what: String| {
            Problem::new(
                Exit::Config,
                "agentkeys.config.value_invalid",
                format!("{key} ({origin}) {what}"),
                "correct it; `agentkeys config show --origin` shows what is in force",
            )
        };
        let raw = raw.shaped(fallback).map_err(wrong)?;
        let value = raw.to_json();
        let checked = check(raw).map_err(wrong)?;
        self.settings.push(Setting { key, value, origin });
        Ok(checked)
    }

    fn raw(&self, key: &str, fallback: Fallback) -> (Raw, Origin) {
        if let Some((_, flag, value)) = self.flags.0.iter().find(|(name, ..)| *name == key) {
            return (Raw::Text(value.clone()), Origin::Flag(flag));
        }
        let variable = variable(key);
        if let Some(value) = self.env.get(&variable) {
            return (Raw::Text(value.clone()), Origin::Env(variable));
        }
        if let Some((raw, line)) = self.file.get(key) {
            return (raw.clone(), Origin::File(self.path.clone(), *line));
        }
        let raw = match fallback {
            Fallback::Text(text) => Raw::Text(text.to_owned()),
            Fallback::Number(number) => Raw::Number(number),
            Fallback::EmptyList => Raw::List(Vec::new()),
        };
        (raw, Origin::Default)
    }
}

impl Raw {
    /// Flags and the environment know only texts; a file says what it means.
    fn shaped(self, like: Fallback) -> Result<Self, String> {
        match (like, self) {
            (Fallback::Number(_), Self::Text(text)) => match text.trim().parse() {
                Ok(number) => Ok(Self::Number(number)),
                Err(_) => Err("is not a whole number".to_owned()),
            },
            (Fallback::EmptyList, Self::Text(text)) => {
                let parts = text.split(',').map(str::trim).filter(|p| !p.is_empty());
                Ok(Self::List(parts.map(str::to_owned).collect()))
            }
            (Fallback::Number(_), raw @ Self::Number(_))
            | (Fallback::Text(_), raw @ Self::Text(_))
            | (Fallback::EmptyList, raw @ Self::List(_)) => Ok(raw),
            (Fallback::Number(_), _) => Err("is not a whole number".to_owned()),
            (Fallback::Text(_), _) => Err("is not a text in quotes".to_owned()),
            (Fallback::EmptyList, _) => Err("is not a list of texts".to_owned()),
        }
    }

    fn to_json(&self) -> Value {
        match self {
            Self::Text(text) if text.is_empty() => Value::Null,
            Self::Text(text) => text.as_str().into(),
            Self::Number(number) => (*number).into(),
            Self::List(list) => list.clone().into(),
        }
    }
}

/// `server.listen` → `AGENTKEYS_SERVER_LISTEN`.
pub(super) fn variable(key: &str) -> String {
    format!("AGENTKEYS_{}", key.replace('.', "_").to_ascii_uppercase())
}

/// A variable of one of our sections that is no key is a typo that would silently not count.
fn known_variable(name: &str) -> Result<(), Problem> {
    if KEYS.iter().any(|(key, _)| variable(key) == name) {
        return Ok(());
    }
    let section = KEYS.iter().find_map(|(key, _)| {
        let section = key.split('.').next().unwrap_or_default();
        name.starts_with(&format!("{}_", variable(section)))
            .then_some(section)
    });
    let Some(section) = section else {
        return Ok(());
    };
    Err(Problem::new(
        Exit::Config,
        "agentkeys.config.key_unknown",
        format!("the environment variable {name} is no key of [{section}]"),
        format!("unset it, or use one of: {}", join(&variables_of(section))),
    ))
}

fn keys_of(section: &str) -> Vec<&'static str> {
    let own = |key: &&'static str| key.split('.').next() == Some(section);
    let keys = KEYS.iter().map(|(key, _)| *key).filter(own);
    keys.filter_map(|key| key.split_once('.').map(|(_, k)| k))
        .collect()
}

fn variables_of(section: &str) -> Vec<String> {
    let keys = keys_of(section).into_iter();
    keys.map(|key| variable(&format!("{section}.{key}")))
        .collect()
}

fn sections() -> Vec<&'static str> {
    let mut sections: Vec<_> = KEYS
        .iter()
        .filter_map(|(key, _)| key.split_once('.').map(|(s, _)| s))
        .collect();
    sections.dedup();
    sections
}

fn join<S: AsRef<str>>(words: &[S]) -> String {
    let words: Vec<_> = words.iter().map(AsRef::as_ref).collect();
    words.join(", ")
}

/// Reads the file into `section.key` → value and line.
fn parse(path: &Path, text: &str) -> Result<BTreeMap<String, (Raw, usize)>, Problem> {
    let line = |offset: usize| 1 + text.bytes().take(offset).filter(|b| *b == b'\n').count();
    let wrong = |offset: usize, what: String, fix: String| {
        Problem::new(
            Exit::Config,
            "agentkeys.config.file_invalid",
            format!("{}:{}: {what}", path.display(), line(offset)),
            fix,
        )
    };
    let unknown = |offset: usize, what: String, known: &[&str]| {
        let mut problem = wrong(offset, what, format!("use one of: {}", join(known)));
        problem.code = "agentkeys.config.key_unknown";
        problem
    };
    let table = DeTable::parse(text).map_err(|e| {
        let at = e.span().map_or(0, |s| s.start);
        wrong(at, e.message().to_owned(), "write it as TOML".to_owned())
    })?;
    let mut found = BTreeMap::new();
    for (section, value) in table.get_ref() {
        let name = section.get_ref().as_ref();
        let at = section.span().start;
        let known = keys_of(name);
        let Some(keys) = value.get_ref().as_table().filter(|_| !known.is_empty()) else {
            return Err(unknown(
                at,
                format!("{name:?} is not a section"),
                &sections(),
            ));
        };
        for (key, value) in keys {
            let (word, at) = (key.get_ref().as_ref(), key.span().start);
            if !known.contains(&word) {
                return Err(unknown(
                    at,
                    format!("{word:?} is not a key of [{name}]"),
                    &known,
                ));
            }
            let raw = raw(value.get_ref()).ok_or_else(|| {
                let fix = "write a text in quotes, a whole number, or a list of texts".to_owned();
                wrong(
                    at,
                    format!("{name}.{word} has a value of the wrong kind"),
                    fix,
                )
            })?;
            found.insert(format!("{name}.{word}"), (raw, line(at)));
        }
    }
    Ok(found)
}

fn raw(value: &DeValue<'_>) -> Option<Raw> {
    let text = |value: &DeValue<'_>| value.as_str().map(str::to_owned);
    match value {
        DeValue::String(text) => Some(Raw::Text(text.to_string())),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
            .ok()
            .map(Raw::Number),
        DeValue::Array(items) => {
            let texts: Option<Vec<_>> = items.iter().map(|i| text(i.get_ref())).collect();
            texts.map(Raw::List)
        }
        _ => None,
    }
}
