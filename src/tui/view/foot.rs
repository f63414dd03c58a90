//! The line at the foot: what is typed, what was just done, or the keys that matter now.

use super::{fit, grouped};
use crate::tui::app::{App, Mode};
use crate::tui::keys::{Action, KEYS};
use crate::tui::words::Word;
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;
use unicode_width::UnicodeWidthStr as _;

/// Keys that are always offered, the next act's first where there is one.
const OFFERED: &[Action] = &[
    Action::Help,
    Action::Detail,
    Action::Filter,
    Action::Pause,
    Action::Twin,
    Action::Quit,
];

pub(super) fn draw(frame: &mut Frame<'_>, app: &App, area: Rect) {
    let width = usize::from(area.width);
    frame.render_widget(Paragraph::new(line(app, width)), area);
}

fn line(app: &App, width: usize) -> Line<'static> {
    let theme = &app.theme;
    if let Mode::Typing { text, error } = &app.mode {
        let mut spans = vec![Span::styled(format!(" /{text}▏ "), theme.strong)];
        if let Some(error) = error {
            let words = format!(
                "{} {} · {} {}",
                app.say(Word::NotUnderstood),
                error.word,
                app.say(Word::Instead),
                error.instead
            );
            spans.push(Span::styled(words, theme.warn));
        }
        return Line::from(spans);
    }
    if let Some(toast) = app.toast_text() {
        return Line::styled(fit(&format!(" {toast}"), width), theme.strong);
    }
    let mut spans = vec![Span::raw(" ")];
    if let Some(unseen) = app.unseen() {
        let words = format!("{} +{unseen} {}  ", app.say(Word::Held), app.say(Word::New));
        spans.push(Span::styled(words, theme.warn));
    }
    if !app.filter_text().is_empty() {
        let words = format!("/{}  ", app.filter_text());
        spans.push(Span::styled(words, theme.strong));
    }
    if app.dropped() > 0 {
        let words = format!("{} {}  ", grouped(app.dropped()), app.say(Word::Dropped));
        spans.push(Span::styled(words, theme.faint));
    }
    let waits = app.play.as_ref().is_some_and(|play| play.waits().is_some());
    let next = waits.then_some(Action::Next);
    for action in next.iter().chain(OFFERED) {
        let Some(key) = KEYS.iter().find(|key| key.action == *action) else {
            continue;
        };
        let name = key.name.split(' ').next().unwrap_or(key.name);
        let words = app.say(key.help);
        let used: usize = spans.iter().map(Span::width).sum();
        if used + name.width() + words.width() + 3 > width {
            break;
        }
        spans.push(Span::styled(format!("{name} "), theme.strong));
        spans.push(Span::styled(format!("{words}  "), theme.bar));
    }
    Line::from(spans)
}
