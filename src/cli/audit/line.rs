//! An event as one line of columns.
//!
//! ```text
//! 04-12 09:10:11.123  xiaozhi      magiclick     memory.get         family         ✗ scope_not_granted
//! time                rail         vendor        tool               namespace      verdict and reason
//! ```

use crate::cli::out::{Out, Tone};
use crate::operate::text;
use crate::text::{clean_to, pad};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::Value;

/// An event as a line; colour and a glyph both say how it ended.
pub fn of(event: &Value, out: Out) -> String {
    let (glyph, tone) = verdict(text(event, "verdict"));
    let rail = text(event, "rail");
    let rail_tone = match rail {
        "xiaozhi" => Tone::RailOne,
        "volcano-ark" => Tone::RailTwo,
        _ => Tone::Faint,
    };
    let who = match (text(event, "vendor"), text(event, "by")) {
        ("", "") => "stranger",
        ("", role) => role,
        (vendor, _) => vendor,
    };
    let tool = text(event, "tool");
    let tool = tool.strip_prefix("agentkeys.").unwrap_or(tool);
    let about = match text(event, "namespace") {
        "" => text(event, "scope"),
        namespace => namespace,
    };
    let explanation = match text(event, "explanation") {
        "" => String::new(),
        words => format!("  {}", out.paint(&clean_to(words, 120), Tone::Faint)),
    };
    format!(
        "{}  {}  {}  {}  {}  {} {}{explanation}",
        out.paint(&time(text(event, "ts"), &TimeZone::system()), Tone::Faint),
        out.paint(
            &column(if rail.is_empty() { "-" } else { rail }, 11),
            rail_tone
        ),
        out.paint(&column(who, 12), Tone::Strong),
        out.paint(&column(tool, 18), Tone::Strong),
        out.paint(&column(about, 14), Tone::Faint),
        out.paint(glyph, tone),
        out.paint(&clean_to(text(event, "reason"), 60), tone),
    )
}

/// How a verdict looks without colour, and with.
const fn verdict(word: &str) -> (&'static str, Tone) {
    match word.as_bytes() {
        b"accept" => ("\u{2713}", Tone::Good),
        b"deny" => ("\u{2717}", Tone::Bad),
        b"ask_parent" => ("?", Tone::Warn),
        _ => ("!", Tone::Warn),
    }
}

fn column(value: &str, width: usize) -> String {
    pad(&clean_to(value, 40), width)
}

/// The moment in the reader's own zone.
fn time(ts: &str, zone: &TimeZone) -> String {
    let local = ts.parse::<Timestamp>().map(|t| t.to_zoned(zone.clone()));
    local.map_or_else(
        |_| column(ts, 18),
        |t| t.strftime("%m-%d %H:%M:%S%.3f").to_string(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::out::ColorWhen;
    use serde_json::json;

    fn line(event: &Value) -> String {
        of(event, Out::new(false, ColorWhen::Never))
    }

    #[test]
    fn columns_hold_what_happened() {
        let event = json!({
            "ts": "2026-04-12T09:10:11.123Z", "rail": "xiaozhi", "vendor": "magiclick",
            "tool": "agentkeys.memory.get", "namespace": "family", "verdict": "deny",
            "reason": "scope_not_granted",
        });
        let line = line(&event);
        assert!(
            line.ends_with(
                "  xiaozhi      magiclick     memory.get          family          ✗ scope_not_granted"
            ),
            "{line:?}"
        );
    }

    #[test]
    fn a_strangers_row_cannot_move_the_cursor() {
        let event = json!({
            "ts": "\u{1b}[2J", "rail": null, "vendor": null, "tool": "\u{1b}]0;x\u{7}",
            "verdict": "deny", "reason": "token_unknown",
        });
        let line = line(&event);
        assert!(
            !line.contains('\u{1b}') && line.contains("stranger"),
            "{line:?}"
        );
    }

    #[test]
    fn time_is_the_readers() {
        let zone = TimeZone::get("Asia/Shanghai").unwrap_or(TimeZone::UTC);
        assert_eq!(
            time("2026-04-12T23:10:11.120Z", &zone),
            "04-13 07:10:11.120"
        );
    }

    #[test]
    fn verdicts_differ_without_colour() {
        let glyphs = ["accept", "deny", "ask_parent", "error"].map(|v| verdict(v).0);
        assert_eq!(glyphs, ["✓", "✗", "?", "!"]);
    }
}
