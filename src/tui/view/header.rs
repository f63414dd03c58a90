//! Who it is, whether both rails are heard of, and how the log stands.
//!
//! ```text
//!  AgentKeys  O_kevin_001  0x3c1f…(64 digits)
//!  ● xiaozhi 2 s ago   ○ Volcano Ark   log 128 · root 3f2a91bc · not on a chain
//! ```

use super::{ARK, XIAOZHI, fit, grouped, middle, span};
use crate::tui::app::App;
use crate::tui::news::Chain;
use crate::tui::play::Second;
use crate::tui::row::Lane;
use crate::tui::words::Word;
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;
use unicode_width::UnicodeWidthStr as _;

/// How long after its last event a rail's light is lit.
const LIT_MS: i64 = 60_000;

pub(super) fn draw(frame: &mut Frame<'_>, app: &App, area: Rect) {
    let lines = vec![who(app, area.width), state(app, area.width)];
    frame.render_widget(Paragraph::new(lines), area);
}

fn who(app: &App, width: u16) -> Line<'static> {
    let theme = &app.theme;
    let subject = &app.subject;
    let mut spans = vec![Span::styled(" AgentKeys  ", theme.strong)];
    if !subject.alias.is_empty() {
        spans.push(Span::styled(format!("{}  ", subject.alias), theme.strong));
    }
    let used: usize = spans.iter().map(Span::width).sum();
    let room = usize::from(width).saturating_sub(used + 1);
    spans.push(Span::raw(middle(&subject.actor_omni, room)));
    let used: usize = spans.iter().map(Span::width).sum();
    let left = usize::from(width).saturating_sub(used + 2);
    if left > 12 {
        let place = fit(&subject.place, left);
        let place = format!("  {:>left$}", place.trim_end());
        spans.push(Span::styled(place, theme.faint));
    }
    Line::from(spans)
}

fn state(app: &App, width: u16) -> Line<'static> {
    let theme = &app.theme;
    let [one, two] = app.heard();
    let mut spans = vec![Span::raw(" ")];
    spans.extend(light(app, XIAOZHI, one, theme.lane(Lane::One)));
    if app.second() != Second::Nobody {
        spans.push(Span::raw("   "));
        spans.extend(light(app, ARK, two, theme.lane(Lane::Two)));
    }
    let used: usize = spans.iter().map(Span::width).sum();
    let room = usize::from(width).saturating_sub(used + 4);
    spans.push(Span::raw("   "));
    match &app.cut {
        Some(why) => {
            let words = format!("{}{}{why}", app.say(Word::Cut), app.lang.colon());
            spans.push(Span::styled(fit(&words, room), theme.bad));
        }
        None => spans.push(Span::raw(log(app, room))),
    }
    Line::from(spans)
}

fn light(app: &App, rail: &str, last: Option<i64>, style: Style) -> [Span<'static>; 2] {
    let theme = &app.theme;
    match last {
        Some(at) if app.now_ms() - at < LIT_MS => [
            Span::styled("● ", style),
            Span::raw(format!("{rail} {}", since(app, at))),
        ],
        Some(at) => [
            Span::styled("○ ", style),
            Span::styled(format!("{rail} {}", since(app, at)), theme.faint),
        ],
        None => [
            Span::styled("○ ", theme.faint),
            Span::styled(format!("{rail} –"), theme.faint),
        ],
    }
}

fn since(app: &App, at_ms: i64) -> String {
    format!(
        "{}{}",
        span(app.lang, app.now_ms() - at_ms),
        app.say(Word::Ago)
    )
}

/// The facts of the log, as many as there is room for.
fn log(app: &App, room: usize) -> String {
    let seal = &app.seal;
    let Some(size) = seal.size else {
        return fit(
            &format!("{} · {}", app.say(Word::Log), app.say(Word::NotSealed)),
            room,
        );
    };
    let due = seal.at_ms + seal.every_ms - app.now_ms();
    let chain = match seal.chain {
        Chain::Evm(_) if seal.every_ms > 0 && due > 0 => {
            format!("{} {}", app.say(Word::NextAnchor), span(app.lang, due))
        }
        Chain::Evm(Some(upto)) => format!("{} {}", app.say(Word::OnChain), grouped(upto)),
        Chain::Evm(None) | Chain::None => app.say(Word::NotOnAChain).to_owned(),
        Chain::File => format!("{}, {}", app.say(Word::ToFile), app.say(Word::NotOnAChain)),
    };
    let facts = [
        format!("{} {}", app.say(Word::Log), grouped(size)),
        format!("{} {:.8}", app.say(Word::Root), seal.root),
        chain,
        format!("{} {}", app.say(Word::Sealed), since(app, seal.at_ms)),
    ];
    let mut text = String::new();
    // A server may not tell when it signed.
    let told = if seal.at_ms > 0 { 4 } else { 3 };
    for fact in facts.into_iter().take(told) {
        let gap = if text.is_empty() { "" } else { " · " };
        if text.width() + gap.width() + fact.width() > room {
            break;
        }
        text = format!("{text}{gap}{fact}");
    }
    text
}
