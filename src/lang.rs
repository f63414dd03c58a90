//! The languages that screens and demos speak.

use clap::ValueEnum;

/// A language.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Lang {
    /// English.
    #[default]
    En,
    /// Simplified Chinese.
    Zh,
}

impl Lang {
    /// The language that an environment asks for: its first variable about messages that is set
    /// (POSIX, 8.2).
    pub fn of(variable: impl Fn(&str) -> Option<String>) -> Self {
        let set = ["LC_ALL", "LC_MESSAGES", "LANG"].into_iter();
        let named = set.filter_map(variable).find(|value| !value.is_empty());
        match named {
            Some(name) if name.to_ascii_lowercase().starts_with("zh") => Self::Zh,
            _ => Self::En,
        }
    }

    /// What stands between a word and what it is about.
    pub const fn colon(self) -> &'static str {
        match self {
            Self::En => ": ",
            Self::Zh => "\u{ff1a}",
        }
    }

    /// The language that this process's environment asks for.
    pub fn of_environment() -> Self {
        Self::of(|name| std::env::var(name).ok())
    }
}
