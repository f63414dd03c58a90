//! What things look like. Colour says nothing that a glyph or a word does not say too.

use super::row::{Lane, Verdict};
use ratatui::style::{Color, Modifier, Style};

/// A set of looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Theme {
    /// What the reader calls it.
    pub name: &'static str,
    /// Beside the point.
    pub faint: Style,
    /// To the point.
    pub strong: Style,
    /// Allowed, done, proved.
    pub good: Style,
    /// Refused, failed.
    pub bad: Style,
    /// Wants attention.
    pub warn: Style,
    /// The first rail.
    pub one: Style,
    /// The second rail.
    pub two: Style,
    /// The row under the cursor.
    pub selected: Style,
    /// The line at the foot.
    pub bar: Style,
    /// Marks of contents that are one, in turn.
    pub links: [Style; 4],
    /// Ground and text where a picture is made of it; on a terminal they are the terminal's own.
    pub paper: (&'static str, &'static str),
}

const PLAIN: Style = Style::new();
const BOLD: Style = PLAIN.add_modifier(Modifier::BOLD);
const DIM: Style = PLAIN.add_modifier(Modifier::DIM);
const REVERSED: Style = PLAIN.add_modifier(Modifier::REVERSED);

/// On a dark ground; of the sixteen colours that every terminal has.
pub const DARK: Theme = Theme {
    name: "dark",
    faint: PLAIN.fg(Color::DarkGray),
    strong: BOLD,
    good: PLAIN.fg(Color::Green),
    bad: BOLD.fg(Color::LightRed),
    warn: PLAIN.fg(Color::Yellow),
    one: PLAIN.fg(Color::Cyan),
    two: PLAIN.fg(Color::LightMagenta),
    selected: REVERSED,
    bar: PLAIN.fg(Color::Gray),
    links: [
        BOLD.fg(Color::Black).bg(Color::Yellow),
        BOLD.fg(Color::Black).bg(Color::Cyan),
        BOLD.fg(Color::Black).bg(Color::LightMagenta),
        BOLD.fg(Color::Black).bg(Color::LightGreen),
    ],
    paper: ("#1e2127", "#d7dae0"),
};

/// On a light ground.
pub const LIGHT: Theme = Theme {
    name: "light",
    faint: PLAIN.fg(Color::DarkGray),
    strong: BOLD,
    good: PLAIN.fg(Color::Green),
    bad: BOLD.fg(Color::Red),
    warn: BOLD.fg(Color::Cyan),
    one: PLAIN.fg(Color::Blue),
    two: PLAIN.fg(Color::Magenta),
    selected: REVERSED,
    bar: PLAIN.fg(Color::DarkGray),
    links: [
        BOLD.fg(Color::White).bg(Color::Blue),
        BOLD.fg(Color::White).bg(Color::Magenta),
        BOLD.fg(Color::White).bg(Color::Green),
        BOLD.fg(Color::White).bg(Color::Red),
    ],
    paper: ("#fbfbf9", "#24292f"),
};

/// Without any colour (`NO_COLOR`).
pub const MONO: Theme = Theme {
    name: "mono",
    faint: DIM,
    strong: BOLD,
    good: PLAIN,
    bad: BOLD.add_modifier(Modifier::UNDERLINED),
    warn: BOLD,
    one: BOLD,
    two: PLAIN.add_modifier(Modifier::ITALIC),
    selected: REVERSED,
    bar: DIM,
    links: [BOLD.add_modifier(Modifier::REVERSED); 4],
    paper: ("#ffffff", "#000000"),
};

/// In the order in which a key turns them.
pub const THEMES: [Theme; 3] = [DARK, LIGHT, MONO];

impl Theme {
    /// The one after this.
    #[must_use]
    pub fn next(&self) -> Self {
        let at = THEMES.iter().position(|theme| theme.name == self.name);
        THEMES[at.map_or(0, |at| (at + 1) % THEMES.len())]
    }

    /// The one with this name.
    pub fn named(name: &str) -> Option<Self> {
        THEMES.into_iter().find(|theme| theme.name == name)
    }

    /// How a verdict looks.
    pub const fn verdict(&self, verdict: Verdict) -> Style {
        match verdict {
            Verdict::Accept => self.good,
            Verdict::Deny => self.bad,
            Verdict::AskParent | Verdict::Error => self.warn,
        }
    }

    /// How a rail looks.
    pub const fn lane(&self, lane: Lane) -> Style {
        match lane {
            Lane::One => self.one,
            Lane::Two => self.two,
            Lane::Beside => self.warn,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mono_has_no_colour_and_the_key_turns_through_all() {
        let looks = [
            MONO.faint,
            MONO.strong,
            MONO.good,
            MONO.bad,
            MONO.warn,
            MONO.one,
            MONO.two,
        ];
        let looks = looks
            .into_iter()
            .chain([MONO.selected, MONO.bar])
            .chain(MONO.links);
        for look in looks {
            assert!(look.fg.is_none() && look.bg.is_none());
        }
        for theme in [DARK, LIGHT] {
            let lanes = [Lane::One, Lane::Two, Lane::Beside].map(|lane| theme.lane(lane).fg);
            assert!(lanes[0] != lanes[1] && lanes[1] != lanes[2] && lanes[0] != lanes[2]);
        }
        assert_eq!(DARK.next().next().next(), DARK);
        assert_eq!(Theme::named("light"), Some(LIGHT));
        assert_eq!(Theme::named("pink"), None);
    }
}
