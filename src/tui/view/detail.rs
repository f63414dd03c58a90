//! How one event was decided, in the order in which it was: caller, binding, policy, cap, object,
//! row, proof.

use super::{fit, middle, pad};
use crate::operate::text;
use crate::text::clean_to;
use crate::tui::app::App;
use crate::tui::news::Proof;
use crate::tui::words::Word;
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Borders, Paragraph};
use serde_json::Value;
use unicode_width::UnicodeWidthStr as _;

/// A rule and seven facts.
pub(super) const HEIGHT: u16 = 8;

pub(super) fn draw(frame: &mut Frame<'_>, app: &App, area: Rect) {
    let theme = &app.theme;
    let Some(row) = app.under_cursor() else {
        return;
    };
    let event: Value = serde_json::from_str(&row.json).unwrap_or_default();
    let facts = facts(app, &event);
    let widest = facts.iter().map(|(word, ..)| app.say(*word).width()).max();
    let names = widest.unwrap_or(0);
    let room = usize::from(area.width).saturating_sub(names + 4);
    let lines: Vec<Line<'_>> = facts
        .into_iter()
        .map(|(word, value, style)| {
            let name = pad(app.say(word), names);
            Line::from(vec![
                Span::styled(format!(" {name}  "), theme.faint),
                Span::styled(fit(&value, room), style),
            ])
        })
        .collect();
    let title = format!(" #{} {} {} ", row.seq, row.tool, row.verdict.glyph());
    let block = Block::new()
        .borders(Borders::TOP)
        .border_style(theme.faint)
        .title(Span::styled(title, theme.verdict(row.verdict)));
    frame.render_widget(Paragraph::new(lines).block(block), area);
}

type Fact = (Word, String, Style);

fn facts(app: &App, event: &Value) -> [Fact; 7] {
    let plain = Style::new();
    [
        (Word::Caller, caller(event), plain),
        (Word::Binding, binding(app, event), plain),
        policy(app, event),
        (
            Word::Cap,
            said(event, "cap_id", app.say(Word::NoCap)),
            plain,
        ),
        (Word::Object, object(app, event), plain),
        (Word::AuditRow, audit_row(event), plain),
        proof(app),
    ]
}

fn word(event: &Value, key: &str) -> String {
    clean_to(text(event, key), 160)
}

fn said(event: &Value, key: &str, otherwise: &str) -> String {
    match word(event, key) {
        none if none.is_empty() => otherwise.to_owned(),
        value => value,
    }
}

/// Those that are not empty, with points between.
fn joined(parts: &[String]) -> String {
    let there: Vec<_> = parts.iter().filter(|p| !p.is_empty()).cloned().collect();
    there.join(" · ")
}

fn caller(event: &Value) -> String {
    joined(&[
        word(event, "rail"),
        said(event, "vendor", &said(event, "by", "stranger")),
        word(event, "token_id"),
        word(event, "door"),
        word(event, "host_profile"),
        word(event, "protocol"),
    ])
}

fn binding(app: &App, event: &Value) -> String {
    let vendor = word(event, "vendor");
    if vendor.is_empty() || event["actor_omni"].is_null() {
        return app.say(Word::NoBinding).to_owned();
    }
    let id = middle(&word(event, "actor_omni"), 22);
    let who = match app.subject.alias.as_str() {
        "" => id,
        alias => format!("{alias} {id}"),
    };
    let about = joined(&[word(event, "namespace"), word(event, "scope")]);
    joined(&[format!("{who} → {vendor}"), about])
}

fn policy(app: &App, event: &Value) -> Fact {
    let ids = event["policy_ids"].as_array().into_iter().flatten();
    let ids: Vec<String> = ids
        .filter_map(Value::as_str)
        .map(|id| clean_to(id, 60))
        .collect();
    let version = event["policy_version"].as_u64().map(|v| format!("v{v}"));
    let how = joined(&[
        version.unwrap_or_default(),
        ids.join(", "),
        format!("{}: {}", word(event, "verdict"), word(event, "reason")),
        word(event, "explanation"),
    ]);
    let verdict = crate::tui::row::Verdict::of(text(event, "verdict"));
    (Word::Policy, how, app.theme.verdict(verdict))
}

fn object(app: &App, event: &Value) -> String {
    let key = word(event, "object_key");
    let tag = word(event, "content_tag");
    if key.is_empty() && tag.is_empty() {
        // What was changed, or what was reckoned with.
        let told = [&event["detail"], &event["inputs"]].map(told);
        return match joined(&told) {
            none if none.is_empty() => app.say(Word::NoObject).to_owned(),
            told => told,
        };
    }
    // The actor's own id in the key says nothing new.
    let key = key.rsplit("/memory/").next().unwrap_or(&key).to_owned();
    let number = |name: &str, unit: &str| match event[name].as_u64() {
        Some(n) if unit == "v" => format!("v{n}"),
        Some(n) => format!("{n} {unit}"),
        None => String::new(),
    };
    let tag = tag.get(..16).map_or(tag.clone(), |head| format!("{head}…"));
    joined(&[
        number("version", "v"),
        number("content_length", "bytes"),
        if tag.is_empty() {
            tag
        } else {
            format!("tag {tag}")
        },
        key,
    ])
}

/// A small object in one line: names and values without quotes.
fn told(object: &Value) -> String {
    let Value::Object(fields) = object else {
        return String::new();
    };
    let field = |(name, value): (&String, &Value)| match value {
        Value::Null => String::new(),
        Value::Object(_) => told(value),
        Value::String(text) => format!("{name} {text}"),
        Value::Array(all) if all.is_empty() => format!("{name} \u{2013}"),
        Value::Array(all) => {
            let all = all
                .iter()
                .map(|v| v.as_str().map_or_else(|| v.to_string(), str::to_owned));
            format!("{name} {}", all.collect::<Vec<_>>().join(", "))
        }
        other => format!("{name} {other}"),
    };
    let fields: Vec<String> = fields.iter().map(field).collect();
    clean_to(&joined(&fields), 300)
}

fn audit_row(event: &Value) -> String {
    joined(&[word(event, "event_id"), word(event, "envelope_hash")])
}

fn proof(app: &App) -> Fact {
    let theme = &app.theme;
    let (words, style) = match app.proof() {
        None | Some(Proof::Coming) => (app.say(Word::ProofComing).to_owned(), theme.faint),
        Some(Proof::Soon) => (app.say(Word::ProofSoon).to_owned(), theme.faint),
        Some(Proof::Holds {
            whole,
            size,
            root,
            hashes,
        }) => {
            let root = root.get(..16).unwrap_or(root);
            let words = app.say(if *whole {
                Word::Proved
            } else {
                Word::ProvedThere
            });
            let words = format!("✓ {words} · {size} · {root}… · {hashes} hashes");
            (words, theme.good)
        }
        Some(Proof::Unknown(why)) => {
            let words = format!(
                "{}{}{}",
                app.say(Word::NoProof),
                app.lang.colon(),
                clean_to(why, 120)
            );
            (words, theme.warn)
        }
        Some(Proof::Fails(why)) => {
            let words = format!(
                "✗ {}{}{}",
                app.say(Word::NotProved),
                app.lang.colon(),
                clean_to(why, 120)
            );
            (words, theme.bad)
        }
    };
    (Word::Proof, words, style)
}
