//! The line at the foot: what is typed, what was just done, or the keys that matter now.

use super::{fit, grouped};
use crate::tui::app::{App, Mode};
use crate::tui::filter::NO_READS;
use crate::tui::keys::Action;
use crate::tui::play::Second;
use crate::tui::words::Word;
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;
use unicode_width::UnicodeWidthStr as _;

/// Keys that are offered, the next act's first where there is one. What leaves always is.
const OFFERED: &[(Action, &str, Word)] = &[
    (Action::Help, "?", Word::KeyHelp),
    (Action::Up, "\u{2191}\u{2193}", Word::KeyMove),
    (Action::Detail, "Enter", Word::KeyDetail),
    (Action::Filter, "/", Word::KeyFilter),
    (Action::Pause, "Space", Word::KeyPause),
    (Action::Twin, "Tab", Word::KeyTwin),
];
const NEXT: (Action, &str, Word) = (Action::Next, "n", Word::KeyNext);
const LEAVE: (Action, &str, Word) = (Action::Quit, "q", Word::KeyQuit);

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
    match app.filter_text() {
        "" => {}
        NO_READS => {
            let words = format!("{}  ", app.say(Word::ReadsHidden));
            spans.push(Span::styled(words, theme.faint));
        }
        typed => spans.push(Span::styled(format!("/{typed}  "), theme.strong)),
    }
    if app.dropped() > 0 {
        let words = format!("{} {}  ", grouped(app.dropped()), app.say(Word::Dropped));
        spans.push(Span::styled(words, theme.faint));
    }
    let waits = app.play.as_ref().is_some_and(|play| play.waits().is_some());
    let next = waits.then_some(NEXT);
    let key = |(_, name, word): &(Action, &'static str, Word)| {
        let words = app.say(*word);
        let spans = [
            Span::styled(format!("{name} "), theme.strong),
            Span::styled(format!("{words}  "), theme.bar),
        ];
        (spans, name.width() + words.width() + 3)
    };
    let (leave, kept) = key(&LEAVE);
    let alone = app.second() == Second::Nobody;
    let fits = |(action, ..): &&(Action, _, _)| !alone || *action != Action::Twin;
    for offered in next.iter().chain(OFFERED).filter(fits) {
        let (spelled, wide) = key(offered);
        let used: usize = spans.iter().map(Span::width).sum();
        if used + wide + kept > width {
            break;
        }
        spans.extend(spelled);
    }
    spans.extend(leave);
    Line::from(spans)
}
