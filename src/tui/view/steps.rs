//! The steps of a proof, how far it is, and what was just shown.

use super::fit;
use crate::text::clean_to;
use crate::tui::app::App;
use crate::tui::play::{Mark, Play, Step};
use crate::tui::words::Word;
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Borders, Paragraph};
use unicode_width::UnicodeWidthStr as _;

/// Columns of the bar.
const BAR: usize = 20;

/// Lines it takes with the rules above and below, of so many that nothing else needs.
pub(super) fn height(play: &Play, area: Rect, spare: u16) -> u16 {
    let all = u16::try_from(play.steps().len()).unwrap_or(u16::MAX);
    match spare.min(all) {
        list @ LEAST.. => 4 + list,
        _ if area.height < 20 => 4,
        _ => 5,
    }
}

/// The fewest steps that are told one a line.
const LEAST: u16 = 3;

pub(super) fn draw(frame: &mut Frame<'_>, app: &App, play: &Play, area: Rect) {
    let width = usize::from(area.width);
    let mut lines = vec![bar(app, play, width)];
    match area.height.saturating_sub(4) {
        0 => {}
        1 => lines.push(strip(app, play, width)),
        room => lines.extend(list(app, play, width, room.into())),
    }
    lines.push(caption(app, play, width));
    let block = Block::new()
        .borders(Borders::TOP | Borders::BOTTOM)
        .border_style(app.theme.faint);
    frame.render_widget(Paragraph::new(lines).block(block), area);
}

fn bar(app: &App, play: &Play, width: usize) -> Line<'static> {
    let theme = &app.theme;
    let (over, all) = (play.over(), play.steps().len().max(1));
    let full = over * BAR / all;
    let (state, style) = match (play.ended(), play.waits(), play.observing) {
        (Some((true, _)), ..) => (app.say(Word::Passed).to_owned(), theme.good),
        (Some((false, _)), ..) => (app.say(Word::Failed).to_owned(), theme.bad),
        (None, Some(act), _) => (format!("{} {act}", app.say(Word::PressNext)), theme.warn),
        (None, None, true) => (app.say(Word::Observing).to_owned(), theme.faint),
        (None, None, false) => (app.say(Word::Running).to_owned(), theme.faint),
    };
    let count = format!(" {over}/{} ", play.steps().len());
    let used = BAR + count.width() + state.width() + 4;
    let title = fit(&format!(" {}", play.title), width.saturating_sub(used));
    Line::from(vec![
        Span::styled(title, theme.strong),
        Span::styled("━".repeat(full), theme.good),
        Span::styled("─".repeat(BAR - full), theme.faint),
        Span::raw(count),
        Span::styled(state, style),
    ])
}

/// As many steps as there is room for, one a line, up to the one to look at and what is to come.
fn list(app: &App, play: &Play, width: usize, room: usize) -> Vec<Line<'static>> {
    let steps = play.steps();
    let first = (play.here() + 2).saturating_sub(room);
    let first = first.min(steps.len().saturating_sub(room));
    let line = |step: &Step| {
        let (mark, words) = looks(app, step);
        let ms = match step.ms {
            0 => String::new(),
            ms => format!("{ms} ms"),
        };
        let room = width.saturating_sub(ms.width() + 6);
        Line::from(vec![
            Span::styled(format!(" {} ", step.mark.glyph()), mark),
            Span::styled(fit(&step.caption, room), words),
            Span::styled(format!(" {ms}"), app.theme.faint),
        ])
    };
    steps.iter().skip(first).take(room).map(line).collect()
}

/// How a step's glyph and its words look.
const fn looks(app: &App, step: &Step) -> (Style, Style) {
    match step.mark {
        Mark::Due => (app.theme.faint, app.theme.faint),
        Mark::Now => (app.theme.strong, app.theme.strong),
        Mark::Passed => (app.theme.good, Style::new()),
        Mark::Failed => (app.theme.bad, app.theme.bad),
    }
}

/// As many steps as there is room for, around the one to look at.
fn strip(app: &App, play: &Play, width: usize) -> Line<'static> {
    let steps = play.steps();
    let wide = |step: &Step| step.id.width() + 4;
    let here = play.here().min(steps.len().saturating_sub(1));
    let (mut first, mut last, mut used) = (here, here, steps.get(here).map_or(0, wide));
    loop {
        let after = steps.get(last + 1).map(wide);
        let before = first.checked_sub(1).map(|at| wide(&steps[at]));
        let room = width.saturating_sub(used + 4);
        match (before, after) {
            (_, Some(w)) if w <= room && (last - here <= here - first || before.is_none()) => {
                last += 1;
                used += w;
            }
            (Some(w), _) if w <= room => {
                first -= 1;
                used += w;
            }
            (_, Some(w)) if w <= room => {
                last += 1;
                used += w;
            }
            _ => break,
        }
    }
    let mut spans = vec![Span::raw(if first > 0 { " …" } else { " " })];
    for step in steps.iter().take(last + 1).skip(first) {
        let (mark, words) = looks(app, step);
        spans.push(Span::styled(format!("{} ", step.mark.glyph()), mark));
        spans.push(Span::styled(format!("{}  ", step.id), words));
    }
    if last + 1 < steps.len() {
        spans.push(Span::raw("…"));
    }
    Line::from(spans)
}

fn caption(app: &App, play: &Play, width: usize) -> Line<'static> {
    let theme = &app.theme;
    let room = width.saturating_sub(2);
    if let Some(failed) = play.failed() {
        let (expected, got) = failed.told.clone().unwrap_or_default();
        let words = format!(
            "{}{}{} {}, {} {}",
            failed.id,
            app.lang.colon(),
            app.say(Word::Expected),
            clean_to(&expected, 200),
            app.say(Word::Got),
            clean_to(&got, 200)
        );
        return Line::styled(format!(" {}", fit(&words, room)), theme.bad);
    }
    if let Some((_, sentence)) = play.ended() {
        let words = fit(&clean_to(sentence, 300), room);
        return Line::styled(format!(" {words}"), theme.strong);
    }
    let find = |mark| play.steps().iter().find(|s| s.mark == mark);
    let words = match play.shown_last().or_else(|| find(Mark::Now)) {
        Some(step) => step.caption.clone(),
        // Nothing is driven: whoever has the device is told what to do with it.
        None => find(Mark::Due).map_or_else(String::new, |step| {
            format!(
                "{}{}{}",
                app.say(Word::NextStep),
                app.lang.colon(),
                step.caption
            )
        }),
    };
    Line::styled(format!(" {}", fit(&words, room)), theme.strong)
}
