//! Draws an [`App`]. One function a panel; each gets its place and decides nothing.
//!
//! ```text
//!  AgentKeys  O_kevin_001  0x…                                      header
//!  ● xiaozhi 2 s   ● Volcano Ark 1 s   log 128 · root 3f2a…
//! ┌ the proof ───────────────────────────────────────────────┐      steps, while a proof runs
//! │ ✓ rail1.write  ▸ rail2.read  · audit.read         7/18    │
//! └───────────────────────────────────────────────────────────┘
//!  xiaozhi                     │ Volcano Ark                        lanes
//!  09:10:11 memory.put    ✓ A  │
//!                              │ 09:10:12 memory.get   ✓ A
//! ─────────────────────────────────────────────────────────────     detail, when asked for
//!  policy   version 1 …
//!  ? help  / filter  q leave                                        foot
//! ```

mod detail;
mod foot;
mod header;
mod lanes;
mod steps;

use super::app::{App, Mode};
use super::keys::{Action, KEYS};
use super::words::Word;
use crate::lang::Lang;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Clear, Paragraph, Wrap};
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

/// The rails, as people write them.
const XIAOZHI: &str = "xiaozhi";
const ARK: &str = "Volcano Ark";

/// The smallest window that shows anything but a sentence.
pub const LEAST: (u16, u16) = (60, 15);

/// Draws everything.
pub fn draw(frame: &mut Frame<'_>, app: &App) {
    let area = frame.area();
    if area.width < LEAST.0 || area.height < LEAST.1 {
        let words = format!("{} {}×{}.", app.say(Word::Enlarge), area.width, area.height);
        frame.render_widget(Paragraph::new(words).wrap(Wrap { trim: true }), area);
        return;
    }
    // Where there is no room for both, what was asked for has it all.
    let alone = app.detail && area.height < 24;
    let low = if app.detail { detail::HEIGHT } else { 0 };
    let detail = match (app.detail, alone) {
        (false, _) => Constraint::Length(0),
        (true, true) => Constraint::Min(3),
        (true, false) => Constraint::Length(low),
    };
    let steps = app.play.as_ref().map_or(0, |play| {
        // The events have what they need, up to half of it.
        let free = area.height.saturating_sub(low + 2 + 1 + 4);
        let events = u16::try_from(app.count() + 1).unwrap_or(u16::MAX);
        steps::height(
            play,
            area,
            free.saturating_sub(events.clamp(3, free.div_ceil(2).max(3))),
        )
    });
    let lanes = if alone {
        Constraint::Length(0)
    } else {
        Constraint::Min(3)
    };
    let parts = Layout::vertical([
        Constraint::Length(2),
        Constraint::Length(steps),
        lanes,
        detail,
        Constraint::Length(1),
    ]);
    let [head, play, body, low, foot] = parts.areas(area);
    header::draw(frame, app, head);
    if let Some(play_now) = &app.play {
        steps::draw(frame, app, play_now, play);
    }
    if !alone {
        lanes::draw(frame, app, body);
    }
    if app.detail {
        detail::draw(frame, app, low);
    }
    foot::draw(frame, app, foot);
    if app.mode == Mode::Help {
        help(frame, app, area);
    }
}

/// The table of keys, over everything.
fn help(frame: &mut Frame<'_>, app: &App, area: Rect) {
    let in_acts = app.play.as_ref().is_some_and(|play| play.in_acts);
    let keys = || {
        KEYS.iter()
            .filter(|key| in_acts || key.action != Action::Next)
    };
    let width = keys().map(|key| key.name.width()).max().unwrap_or(0);
    let shown = keys().map(|key| {
        let name = pad(key.name, width);
        Line::from(vec![
            Span::styled(format!(" {name}  "), app.theme.strong),
            Span::raw(app.say(key.help)),
        ])
    });
    let mut lines: Vec<Line<'_>> = shown.collect();
    // Two columns where the window is low.
    let room = usize::from(area.height.saturating_sub(6));
    if lines.len() > room {
        let half = lines.len().div_ceil(2);
        let right = lines.split_off(half);
        let column = lines.iter().map(Line::width).max().unwrap_or(0) + 2;
        for (line, more) in lines.iter_mut().zip(right) {
            let gap = column.saturating_sub(line.width());
            line.spans.push(Span::raw(" ".repeat(gap)));
            line.spans.extend(more.spans);
        }
    }
    lines.push(Line::default());
    for word in [Word::FilterHelp, Word::FilterMore] {
        let words = format!(" {}", app.say(word));
        lines.push(Line::styled(words, app.theme.faint));
    }
    let widest = lines.iter().map(Line::width).max().unwrap_or(0) + 3;
    let place = centred(area, widest, lines.len() + 2);
    frame.render_widget(Clear, place);
    let title = format!(" {} ", app.say(Word::Help));
    let block = Block::bordered().title(title).border_style(app.theme.faint);
    frame.render_widget(Paragraph::new(lines).block(block), place);
}

fn centred(area: Rect, width: usize, height: usize) -> Rect {
    let fit = |wanted: usize, room: u16| u16::try_from(wanted).unwrap_or(room).min(room);
    let (width, height) = (fit(width, area.width), fit(height, area.height));
    Rect {
        x: area.x + (area.width - width) / 2,
        y: area.y + (area.height - height) / 2,
        width,
        height,
    }
}

/// An id, whole or with its middle left out: its ends tell it from others.
fn middle(id: &str, room: usize) -> String {
    if id.width() <= room || !id.is_ascii() {
        return fit(id, room.min(id.width()));
    }
    let keep = room.saturating_sub(1);
    let (head, tail) = (keep.div_ceil(2), keep / 2);
    format!("{}…{}", &id[..head], &id[id.len() - tail..])
}

/// Blanks up to a width as a terminal counts it, or cut to it with an ellipsis.
fn fit(text: &str, width: usize) -> String {
    if text.width() <= width {
        return pad(text, width);
    }
    let mut out = String::new();
    let mut used = 0;
    for c in text.chars() {
        let wide = c.width().unwrap_or(0);
        if used + wide + 1 > width {
            break;
        }
        out.push(c);
        used += wide;
    }
    if width > 0 {
        out.push('…');
    }
    pad(&out, width)
}

fn pad(text: &str, width: usize) -> String {
    let missing = width.saturating_sub(text.width());
    format!("{text}{}", " ".repeat(missing))
}

/// A span of time as people say it.
fn span(lang: Lang, ms: i64) -> String {
    let seconds = ms.max(0) / 1_000;
    let (number, unit) = match seconds {
        0..60 => (seconds, Word::Seconds),
        60..3_600 => (seconds / 60, Word::Minutes),
        3_600..86_400 => (seconds / 3_600, Word::Hours),
        _ => (seconds / 86_400, Word::Days),
    };
    format!("{number} {}", unit.say(lang))
}

/// A number as people read it.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push('\u{2009}');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_fit_by_what_a_terminal_shows() {
        assert_eq!(fit("火锅火锅", 5), "火锅…");
        assert_eq!(fit("火锅火锅", 6), "火锅… ");
        assert_eq!(fit("火锅", 6), "火锅  ");
        assert_eq!(fit("🐼🐼", 3), "🐼…");
        assert_eq!((fit("ab", 1).as_str(), fit("ab", 0).as_str()), ("…", ""));
    }

    #[test]
    fn ages_and_numbers_are_short() {
        let ages = [-5, 59_999, 60_000, 3_600_000, 90_000_000].map(|ms| span(Lang::En, ms));
        assert_eq!(ages, ["0 s", "59 s", "1 min", "1 h", "1 d"]);
        assert_eq!(grouped(1_234_567), "1\u{2009}234\u{2009}567");
    }
}
