//! The keys: one table, from which keys are read, the help is drawn and the foot is chosen.

use super::words::Word;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

/// What a key does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// One event up.
    Up,
    /// One event down.
    Down,
    /// A screen up.
    PageUp,
    /// A screen down.
    PageDown,
    /// To the oldest.
    First,
    /// To the newest, and stay there.
    Follow,
    /// To the same content on the other rail.
    Twin,
    /// Show or hide how it was decided.
    Detail,
    /// Type a filter.
    Filter,
    /// Away with whatever is open: help, detail, filter.
    Back,
    /// Hold the picture; events come in all the same.
    Pause,
    /// Start the next act.
    Next,
    /// Write what the filter shows to a file.
    Export,
    /// Hand the event's id to the terminal's clipboard.
    Copy,
    /// The next theme.
    Theme,
    /// This table.
    Help,
    /// Leave.
    Quit,
}

/// A key, by how it is called and what it is.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// What the help calls it.
    pub name: &'static str,
    codes: &'static [KeyCode],
    /// What it does.
    pub action: Action,
    /// The same in words.
    pub help: Word,
}

const fn key(name: &'static str, codes: &'static [KeyCode], action: Action, help: Word) -> Key {
    Key {
        name,
        codes,
        action,
        help,
    }
}

use KeyCode::Char;

/// All of them, in the order of the help.
pub const KEYS: &[Key] = &[
    key(
        "j ↓",
        &[Char('j'), KeyCode::Down],
        Action::Down,
        Word::KeyDown,
    ),
    key("k ↑", &[Char('k'), KeyCode::Up], Action::Up, Word::KeyUp),
    key(
        "PgDn",
        &[KeyCode::PageDown],
        Action::PageDown,
        Word::KeyPageDown,
    ),
    key("PgUp", &[KeyCode::PageUp], Action::PageUp, Word::KeyPageUp),
    key(
        "g",
        &[Char('g'), KeyCode::Home],
        Action::First,
        Word::KeyFirst,
    ),
    key(
        "G",
        &[Char('G'), KeyCode::End, Char('f')],
        Action::Follow,
        Word::KeyFollow,
    ),
    key("Tab", &[KeyCode::Tab], Action::Twin, Word::KeyTwin),
    key("Enter", &[KeyCode::Enter], Action::Detail, Word::KeyDetail),
    key("/", &[Char('/')], Action::Filter, Word::KeyFilter),
    key("Space", &[Char(' ')], Action::Pause, Word::KeyPause),
    key("n", &[Char('n')], Action::Next, Word::KeyNext),
    key("e", &[Char('e')], Action::Export, Word::KeyExport),
    key("y", &[Char('y')], Action::Copy, Word::KeyCopy),
    key("t", &[Char('t')], Action::Theme, Word::KeyTheme),
    key("?", &[Char('?'), Char('h')], Action::Help, Word::KeyHelp),
    key("Esc", &[KeyCode::Esc], Action::Back, Word::KeyBack),
    key("q", &[Char('q')], Action::Quit, Word::KeyQuit),
];

/// What a key does while nothing is typed.
pub fn action(event: KeyEvent) -> Option<Action> {
    let held = event.modifiers - KeyModifiers::SHIFT;
    if held == KeyModifiers::CONTROL && event.code == Char('c') {
        return Some(Action::Quit);
    }
    if !held.is_empty() {
        return None;
    }
    let key = KEYS.iter().find(|key| key.codes.contains(&event.code));
    key.map(|key| key.action)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn no_key_means_two_things_and_every_action_has_one() {
        let mut seen = BTreeSet::new();
        for key in KEYS {
            for code in key.codes {
                assert!(seen.insert(format!("{code:?}")), "{code:?} twice");
                let event = KeyEvent::new(*code, KeyModifiers::NONE);
                assert_eq!(action(event), Some(key.action));
            }
        }
        let upper = KeyEvent::new(Char('G'), KeyModifiers::SHIFT);
        assert_eq!(action(upper), Some(Action::Follow));
        let ctrl = |c| action(KeyEvent::new(Char(c), KeyModifiers::CONTROL));
        assert_eq!((ctrl('c'), ctrl('j')), (Some(Action::Quit), None));
    }
}
