//! The events, one a line in the log's order: each in its rail's column, what is linked to it or why
//! it was refused beside it in the other. Where there is one rail, or no room for two columns, all
//! are in one, with the reason behind.
//!
//! ```text
//!  xiaozhi                                  │ Volcano Ark
//!  09:10:11.123 memory.put  travel  ✓ A 2ms │
//!  ◂─────────────────────── ≡A same content │ 09:10:12.001 memory.get travel  ✓ A 1ms
//! ```

use super::{ARK, XIAOZHI, fit, grouped, pad};
use crate::tui::app::App;
use crate::tui::play::Second;
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

/// The least and the most that a tool's name and what it is about take.
const TOOL: (usize, usize) = (12, 26);
const ABOUT: (usize, usize) = (6, 30);

/// How wide the parts of a line are that differ from row to row.
#[derive(Clone, Copy)]
struct Columns {
    tool: usize,
    about: usize,
}

impl Columns {
    /// For these rows, in a column of this width: what a tool is about gives way first.
    fn of(rows: &[&Row], width: usize, fixed: usize, named: bool) -> Self {
        let widest = |of: fn(&Row) -> usize| rows.iter().map(|row| of(row)).max().unwrap_or(0);
        let own = widest(|row| row.tool.width());
        let tool = if named {
            own.max(widest(|row| beside_name(row).width()))
        } else {
            own
        };
        let tool = tool.clamp(TOOL.0, TOOL.1);
        let about = widest(|row| row.about.width()).clamp(ABOUT.0, ABOUT.1);
        let room = width.saturating_sub(fixed);
        let about = about.min(room.saturating_sub(tool)).max(ABOUT.0);
        let tool = tool.min(room.saturating_sub(about));
        Self { tool, about }
    }
}

pub(super) fn draw(frame: &mut Frame<'_>, app: &App, area: Rect) {
    let two = area.width >= TWO_COLUMNS && app.second() != Second::Nobody;
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
    let sight: Vec<(usize, &Row)> = (first..(first + room).min(app.count()))
        .filter_map(|at| Some((at, app.nth(at)?)))
        .collect();
    let rows: Vec<&Row> = sight.iter().map(|(_, row)| *row).collect();
    let columns = if two {
        let railed: Vec<&Row> = rows
            .iter()
            .filter(|row| row.lane != Lane::Beside)
            .copied()
            .collect();
        let (left, _) = halves(area.width);
        Columns::of(&railed, left, fixed(roomy(left)), false)
    } else {
        let width = usize::from(area.width);
        Columns::of(&rows, width, fixed(roomy(width)) + 2, true)
    };
    for (at, row) in sight {
        let chosen = app.cursor() == Some(at) && (!app.is_following() || app.detail);
        let mut line = if two {
            across(app, row, area.width, columns)
        } else {
            alone(app, row, area.width, columns)
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
        Span::styled(name(XIAOZHI, left), strong(Lane::One)),
        Span::styled("│", theme.faint),
        Span::styled(name(&second(app), right), strong(Lane::Two)),
    ])
}

/// Who is on the second rail, as far as it is known not to be Ark itself.
fn second(app: &App) -> String {
    match app.second() {
        Second::StandIn => format!("{ARK} · {}", app.say(Word::StandIn)),
        Second::Ark | Second::Nobody => ARK.to_owned(),
    }
}

fn head(app: &App, width: u16) -> Line<'static> {
    let words = if app.second() == Second::Nobody {
        format!(" {XIAOZHI}")
    } else {
        let count = grouped(app.count() as u64);
        format!(" 1 {XIAOZHI} · 2 {} · {count}", second(app))
    };
    Line::styled(fit(&words, usize::from(width)), app.theme.faint)
}

/// A row in its column.
fn across(app: &App, row: &Row, width: u16, columns: Columns) -> Line<'static> {
    let (left, right) = halves(width);
    let rule = Span::styled("│", app.theme.faint);
    let mut spans = Vec::new();
    match row.lane {
        Lane::One => {
            spans.extend(cell(app, row, left, columns));
            spans.push(rule);
            spans.push(beside(app, row, right));
        }
        Lane::Two => {
            spans.push(beside(app, row, left));
            spans.push(rule);
            spans.extend(cell(app, row, right, columns));
        }
        // What neither rail did concerns both: a parent's change, a stranger at the door.
        Lane::Beside => spans.extend(wide(app, row, usize::from(width))),
    }
    Line::from(spans)
}

/// Whether there is room for the time to the millisecond.
const fn roomy(width: usize) -> bool {
    width >= 52
}

/// What a line takes besides the tool and what it is about.
const fn fixed(roomy: bool) -> usize {
    // Time, verdict, mark, latency and the blanks around them.
    if roomy {
        14 + 2 + 4 + 8
    } else {
        10 + 2 + 3 + 8
    }
}

/// Time, tool, namespace, verdict, mark and latency, in so many columns.
fn cell(app: &App, row: &Row, width: usize, columns: Columns) -> Vec<Span<'static>> {
    let mut spans = parts(app, row, &row.tool, columns, roomy(width));
    let used: usize = spans.iter().map(Span::width).sum();
    spans.push(Span::raw(" ".repeat(width.saturating_sub(used))));
    spans
}

fn parts(app: &App, row: &Row, tool: &str, columns: Columns, roomy: bool) -> Vec<Span<'static>> {
    let theme = &app.theme;
    let time = format!(" {} ", time(app, row, roomy));
    let about = format!(" {} ", fit(&row.about, columns.about));
    vec![
        Span::styled(time, theme.faint),
        Span::styled(fit(tool, columns.tool), theme.lane(row.lane)),
        Span::styled(about, theme.faint),
        Span::styled(row.verdict.glyph(), theme.verdict(row.verdict)),
        Span::raw(if roomy { " " } else { "" }),
        mark(app, row),
        Span::styled(format!(" {:>6} ", latency(row)), theme.faint),
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

/// Who did it and what, where neither rail did.
fn beside_name(row: &Row) -> String {
    match row.lane {
        Lane::Beside => format!("{} · {}", row.who, row.tool),
        Lane::One | Lane::Two => String::new(),
    }
}

/// A row of whatever rail in the one column there is, with why it ended so.
fn alone(app: &App, row: &Row, width: u16, columns: Columns) -> Line<'static> {
    let theme = &app.theme;
    let rail = match (row.lane, app.second()) {
        (_, Second::Nobody) => "",
        (Lane::One, _) => " 1",
        (Lane::Two, _) => " 2",
        (Lane::Beside, _) => " ·",
    };
    let width = usize::from(width);
    let name = beside_name(row);
    let tool = if name.is_empty() { &row.tool } else { &name };
    let mut spans = vec![Span::styled(rail, theme.lane(row.lane))];
    spans.extend(parts(app, row, tool, columns, roomy(width)));
    let style = match row.verdict {
        Verdict::Accept => theme.faint,
        verdict => theme.verdict(verdict),
    };
    let mut why = why(row);
    if width < usize::from(TWO_COLUMNS) && row.verdict != Verdict::Accept {
        // Where there is no room for both, why it was refused is worth more than how long it took.
        spans.pop();
        why.clone_from(&row.reason);
    }
    let used: usize = spans.iter().map(Span::width).sum();
    let why = fit(&format!(" {why}"), width.saturating_sub(used));
    spans.push(Span::styled(why, style));
    Line::from(spans)
}

/// What the other column says of a row.
fn beside(app: &App, row: &Row, width: usize) -> Span<'static> {
    let theme = &app.theme;
    let to = if row.lane == Lane::One { "◂" } else { "▸" };
    if row.verdict != Verdict::Accept {
        let words = match row.lane {
            Lane::One => fit(&format!(" {to} {}", why(row)), width),
            _ => format!(
                "{} {to}",
                fit(&format!(" {}", why(row)), width.saturating_sub(2))
            ),
        };
        return Span::styled(words, theme.verdict(row.verdict));
    }
    let is_later = app.twin(row).is_some_and(|twin| twin.seq < row.seq);
    let Some(mark) = app.mark(row).filter(|_| is_later) else {
        return Span::raw(pad("", width));
    };
    let words = format!("{} {} ", letters(mark), app.say(Word::SameContent));
    let line = width.saturating_sub(words.width() + 2);
    let text = match row.lane {
        Lane::One => format!(" {}◂ {words}", "─".repeat(line.saturating_sub(1))),
        _ => format!(" {words}{}▸", "─".repeat(line)),
    };
    Span::styled(fit(&text, width), theme.good)
}

/// Why, for people: the policy's own words where it has some.
fn why(row: &Row) -> String {
    if row.explanation.is_empty() {
        return row.reason.clone();
    }
    format!("{} · {}", row.explanation, row.reason)
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
