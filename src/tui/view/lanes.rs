//! The events, one a line in the log's order: each in its rail's column, what is linked to it or why
//! it was refused beside it in the other.
//!
//! ```text
//!  xiaozhi                                  │ volcano-ark
//!  09:10:11.123 memory.put  travel  ✓ A 2ms │
//!  ◂ same content as #41                    │ 09:10:12.001 memory.get travel  ✓ A 1ms
//! ```

use super::{fit, grouped, pad};
use crate::tui::app::App;
use crate::tui::row::{Lane, Row, Verdict};
use crate::tui::words::Word;
use jiff::Timestamp;
use ratatui::Frame;
use ratatui::layout::{Margin, Rect};
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Paragraph, Wrap};
use unicode_width::UnicodeWidthStr as _;

/// Below this width all rails share one column.
const TWO_COLUMNS: u16 = 80;

pub(super) fn draw(frame: &mut Frame<'_>, app: &App, area: Rect) {
    let two = area.width >= TWO_COLUMNS;
    let mut lines = vec![if two {
        heads(app, area.width)
    } else {
        head(app, area.width)
    }];
    let room = usize::from(area.height.saturating_sub(1));
    if app.count() == 0 {
        let word = if app.is_silent() {
            Word::Waiting
        } else {
            Word::NothingMatches
        };
        frame.render_widget(Paragraph::new(lines), area);
        let place = area.inner(Margin::new(2, 2));
        let words = Paragraph::new(app.say(word)).style(app.theme.faint);
        frame.render_widget(words.wrap(Wrap { trim: true }), place);
        return;
    }
    let first = first_in_sight(app, room);
    for at in first..(first + room).min(app.count()) {
        let Some(row) = app.nth(at) else { continue };
        let chosen = app.cursor() == Some(at) && (!app.is_following() || app.detail);
        let mut line = if two {
            across(app, row, area.width)
        } else {
            alone(app, row, area.width)
        };
        if chosen {
            line = line.style(app.theme.selected);
            for span in &mut line.spans {
                span.style = Style::new().patch(app.theme.selected);
            }
        }
        lines.push(line);
    }
    frame.render_widget(Paragraph::new(lines), area);
}

/// The newest while following; else the picture moves only as far as the cursor needs it to.
fn first_in_sight(app: &App, room: usize) -> usize {
    let count = app.count();
    let lowest = count.saturating_sub(room);
    let first = match app.cursor() {
        Some(cursor) if !app.is_following() => {
            let (before, _) = app.sight.get();
            before
                .min(cursor)
                .max((cursor + 1).saturating_sub(room))
                .min(lowest)
        }
        _ => lowest,
    };
    app.sight.set((first, room));
    first
}

/// The widths of both columns; one between them is the rule.
fn halves(width: u16) -> (usize, usize) {
    let width = usize::from(width);
    let left = (width - 1) / 2;
    (left, width - 1 - left)
}

fn heads(app: &App, width: u16) -> Line<'static> {
    let (left, right) = halves(width);
    let theme = &app.theme;
    let name = |name: &str, room: usize| fit(&format!(" {name}"), room);
    let strong = |lane| theme.lane(lane).patch(theme.strong);
    Line::from(vec![
        Span::styled(name("xiaozhi", left), strong(Lane::One)),
        Span::styled("│", theme.faint),
        Span::styled(name("volcano-ark", right), strong(Lane::Two)),
    ])
}

fn head(app: &App, width: u16) -> Line<'static> {
    let words = format!(
        " 1 xiaozhi · 2 volcano-ark · {}",
        grouped(app.count() as u64)
    );
    Line::styled(fit(&words, usize::from(width)), app.theme.faint)
}

/// A row in its column.
fn across(app: &App, row: &Row, width: u16) -> Line<'static> {
    let (left, right) = halves(width);
    let rule = Span::styled("│", app.theme.faint);
    let mut spans = Vec::new();
    match row.lane {
        Lane::One => {
            spans.extend(cell(app, row, left));
            spans.push(rule);
            spans.push(beside(app, row, right));
        }
        Lane::Two => {
            spans.push(beside(app, row, left));
            spans.push(rule);
            spans.extend(cell(app, row, right));
        }
        // What neither rail did concerns both: a parent's change, a stranger at the door.
        Lane::Beside => spans.extend(wide(app, row, usize::from(width))),
    }
    Line::from(spans)
}

/// Time, tool, namespace, verdict, mark and latency, in so many columns.
fn cell(app: &App, row: &Row, width: usize) -> Vec<Span<'static>> {
    let theme = &app.theme;
    let roomy = width >= 52;
    let time = time(app, row, roomy);
    let time = format!(" {time} ");
    let (about, gap) = if roomy { (9, " ") } else { (6, "") };
    let about = format!(" {} ", fit(&row.about, about));
    let latency = format!(" {:>6} ", latency(row));
    // All but the tool is there at any width; the tool gets what is left.
    let fixed = time.width() + about.width() + 1 + gap.len() + 2 + latency.width();
    vec![
        Span::styled(time, theme.faint),
        Span::styled(
            fit(&row.tool, width.saturating_sub(fixed)),
            theme.lane(row.lane),
        ),
        Span::styled(about, theme.faint),
        Span::styled(row.verdict.glyph(), theme.verdict(row.verdict)),
        Span::raw(gap),
        mark(app, row),
        Span::styled(latency, theme.faint),
    ]
}

/// A row over both columns.
fn wide(app: &App, row: &Row, width: usize) -> Vec<Span<'static>> {
    let theme = &app.theme;
    let time = time(app, row, true);
    let why = why(row);
    let head = format!(" {time} ");
    let tool = format!("{} · {} ", row.who, row.tool);
    let about = match row.about.as_str() {
        "" => String::new(),
        about => format!("{about} "),
    };
    let used = head.width() + tool.width() + about.width() + 2;
    vec![
        Span::styled(head, theme.faint),
        Span::styled(tool, theme.lane(row.lane)),
        Span::styled(about, theme.faint),
        Span::styled(row.verdict.glyph(), theme.verdict(row.verdict)),
        Span::styled(
            fit(&format!(" {why}"), width.saturating_sub(used - 1)),
            theme.faint,
        ),
    ]
}

/// A row of whatever rail in the one column there is.
fn alone(app: &App, row: &Row, width: u16) -> Line<'static> {
    let theme = &app.theme;
    let rail = match row.lane {
        Lane::One => "1",
        Lane::Two => "2",
        Lane::Beside => "·",
    };
    let mut spans = vec![Span::styled(format!(" {rail}"), theme.lane(row.lane))];
    spans.extend(cell(app, row, usize::from(width) - 2));
    Line::from(spans)
}

/// What the other column says of a row.
fn beside(app: &App, row: &Row, width: usize) -> Span<'static> {
    let theme = &app.theme;
    let to = if row.lane == Lane::One { "◂" } else { "▸" };
    if row.verdict != Verdict::Accept {
        let words = match row.lane {
            Lane::One => format!(" {to} {}", why(row)),
            _ => format!(" {} {to}", why(row)),
        };
        return Span::styled(fit(&words, width), theme.verdict(row.verdict));
    }
    let earlier = app.twin(row).filter(|twin| twin.seq < row.seq);
    let Some(twin) = earlier else {
        return Span::raw(pad("", width));
    };
    let words = format!("{} #{} ", app.say(Word::SameContent), twin.seq);
    let line = width.saturating_sub(words.width() + 2);
    let text = match row.lane {
        Lane::One => format!(" {}{}◂ {words}", "", "─".repeat(line.saturating_sub(1))),
        _ => format!(" {words}{}▸", "─".repeat(line)),
    };
    let style = app.mark(row).map_or(theme.faint, |_| theme.good);
    Span::styled(fit(&text, width), style)
}

/// Why, for people: the policy's own words where it has some.
fn why(row: &Row) -> String {
    if row.explanation.is_empty() {
        return row.reason.clone();
    }
    format!("{} · {}", row.reason, row.explanation)
}

fn mark(app: &App, row: &Row) -> Span<'static> {
    let Some(at) = app.mark(row) else {
        return Span::raw("  ");
    };
    let looks = app.theme.links[at % app.theme.links.len()];
    Span::styled(letters(at), looks)
}

/// A to Z, then in pairs; always two columns.
fn letters(at: usize) -> String {
    let letter = |n: usize| char::from(b'A' + u8::try_from(n % 26).unwrap_or(0));
    match at {
        0..26 => format!("≡{}", letter(at)),
        _ => format!("{}{}", letter(at / 26 - 1), letter(at)),
    }
}

fn time(app: &App, row: &Row, exact: bool) -> String {
    let at = Timestamp::from_millisecond(row.at_ms).map(|t| t.to_zoned(app.zone.clone()));
    let form = if exact { "%H:%M:%S%.3f" } else { "%H:%M:%S" };
    at.map_or_else(|_| pad("", 8), |t| t.strftime(form).to_string())
}

fn latency(row: &Row) -> String {
    match row.latency_us {
        None => String::new(),
        Some(us @ 0..1_000) => format!("{us}µs"),
        Some(us @ 1_000..100_000) => format!("{}.{}ms", us / 1_000, us % 1_000 / 100),
        Some(us @ 100_000..10_000_000) => format!("{}ms", us / 1_000),
        Some(us @ 10_000_000..1_000_000_000) => format!("{}s", us / 1_000_000),
        Some(_) => ">999s".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_two_columns_wide_and_do_not_repeat_soon() {
        let all: std::collections::BTreeSet<_> = (0..26 * 27).map(letters).collect();
        assert_eq!(all.len(), 26 * 27);
        assert!(all.iter().all(|mark| mark.width() == 2));
        assert_eq!([letters(0), letters(26)], ["≡A", "AA"]);
    }
}
