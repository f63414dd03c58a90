//! How answers leave: one JSON object, or text for a person, on stdout; everything else on stderr.

use crate::problem::{Exit, Problem};
use crate::text::{clean, escaped, pad};
use clap::ValueEnum;
use comfy_table::{ContentArrangement, presets};
use owo_colors::{OwoColorize as _, Style};
use serde_json::{Value, json};
use std::io::{ErrorKind, IsTerminal as _, Write as _};
use unicode_width::UnicodeWidthStr as _;

/// When to use colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum ColorWhen {
    /// On a terminal, unless `NO_COLOR` is set.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// What a piece of text means, which decides its colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// Allowed, done.
    Good,
    /// Refused, failed.
    Bad,
    /// Wants attention.
    Warn,
    /// Beside the point.
    Faint,
    /// To the point.
    Strong,
    /// The first rail.
    RailOne,
    /// The second rail.
    RailTwo,
    /// Black on white, whatever the terminal's own colours are: for cameras.
    Ink,
}

/// The way out, as the command line asked for it.
#[derive(Debug, Clone, Copy)]
pub struct Out {
    json: bool,
    terminal: bool,
    color: bool,
    messages: Messages,
}

/// Whether messages on stderr are in colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Messages {
    Plain,
    Colored,
}

/// The code of the problem that is none: nobody reads our output any more.
pub const CLOSED: &str = "agentkeys.stdout.closed";

impl Out {
    /// Looks at stdout once.
    pub fn new(json: bool, when: ColorWhen) -> Self {
        let terminal = std::io::stdout().is_terminal();
        let no_color = std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty());
        Self {
            json,
            terminal,
            color: colors(when, terminal, no_color),
            messages: if colors(when, std::io::stderr().is_terminal(), no_color) {
                Messages::Colored
            } else {
                Messages::Plain
            },
        }
    }

    /// Whether answers are JSON.
    pub const fn is_json(&self) -> bool {
        self.json
    }

    /// Whether a person looks at stdout.
    pub const fn is_terminal(&self) -> bool {
        self.terminal
    }

    /// Whether answers are in colour.
    pub const fn is_colored(&self) -> bool {
        self.color
    }

    /// One answer: the JSON, or what `human` prints.
    pub fn answer(
        &self,
        value: &Value,
        human: impl FnOnce() -> Result<(), Problem>,
    ) -> Result<(), Problem> {
        if self.json { json_line(value) } else { human() }
    }

    /// A line of text, cleaned.
    pub fn line(&self, text: &str) -> Result<(), Problem> {
        write_line(&clean(text))
    }

    /// Text of several lines, each cleaned.
    pub fn lines(&self, text: &str) -> Result<(), Problem> {
        text.lines().try_for_each(|line| self.line(line))
    }

    /// A line put together from [`Out::paint`]ed and cleaned pieces.
    pub fn painted(&self, line: &str) -> Result<(), Problem> {
        write_line(line)
    }

    /// Named values, one a line; empty ones are left out.
    pub fn fields(&self, fields: &[(&str, String)]) -> Result<(), Problem> {
        let width = fields.iter().map(|(name, _)| name.width()).max();
        let shown = fields.iter().filter(|(_, value)| !value.is_empty());
        for (name, value) in shown {
            let name = pad(name, width.unwrap_or(0));
            let name = self.paint(&name, Tone::Faint);
            write_line(&format!("{name}  {}", clean(value)))?;
        }
        Ok(())
    }

    /// Rows under headers: ruled on a terminal, plain and aligned elsewhere.
    pub fn table(&self, headers: &[&str], rows: Vec<Vec<String>>) -> Result<(), Problem> {
        let rows = rows
            .into_iter()
            .map(|row| row.iter().map(|cell| clean(cell)).collect::<Vec<_>>());
        if self.terminal {
            let mut table = comfy_table::Table::new();
            // A terminal that knows no width, or hardly any, would break every word.
            let arrangement = match table.width() {
                Some(width) if width >= 40 => ContentArrangement::Dynamic,
                _ => ContentArrangement::Disabled,
            };
            table
                .load_style(presets::UTF8_FULL_CONDENSED)
                .set_content_arrangement(arrangement)
                .set_header(headers.to_vec())
                .add_rows(rows);
            return write_line(&table.to_string());
        }
        aligned(headers, &rows.collect::<Vec<_>>())
            .iter()
            .try_for_each(|line| write_line(line))
    }

    /// What an operator will want to do next.
    pub fn next(&self, command: &str) {
        self.note(&format!("next: {command}"));
    }

    /// A message to a person beside the answer; on stderr, and not with JSON.
    pub fn note(&self, text: &str) {
        if !self.json {
            message(&clean(text));
        }
    }

    /// A problem, on stderr: three lines, or one JSON object. Nothing for what is none.
    pub fn problem(&self, problem: &Problem) {
        if problem.code == CLOSED || problem.exit == Exit::Interrupted {
            return;
        }
        if self.json {
            message(&problem_json(problem).to_string());
            return;
        }
        let error = Self {
            color: self.messages == Messages::Colored,
            ..*self
        };
        let error = error.paint("error:", Tone::Bad);
        message(&format!(
            "{error} {}\n  cause: {}\n  fix:   {}",
            problem.code,
            clean(&problem.cause),
            clean(&problem.fix)
        ));
    }

    /// A piece of text, cleaned, in the colour of what it means.
    pub fn paint(&self, text: &str, tone: Tone) -> String {
        let text = clean(text);
        if !self.color {
            return text;
        }
        let style = match tone {
            Tone::Good => Style::new().green(),
            Tone::Bad => Style::new().red().bold(),
            Tone::Warn => Style::new().yellow(),
            Tone::Faint => Style::new().dimmed(),
            Tone::Strong => Style::new().bold(),
            Tone::RailOne => Style::new().cyan(),
            Tone::RailTwo => Style::new().magenta(),
            Tone::Ink => Style::new().black().on_bright_white(),
        };
        text.style(style).to_string()
    }
}

/// The one place that decides about colour.
const fn colors(when: ColorWhen, terminal: bool, no_color: bool) -> bool {
    match when {
        ColorWhen::Always => true,
        ColorWhen::Never => false,
        ColorWhen::Auto => terminal && !no_color,
    }
}

/// A problem as `--json` shows it.
pub fn problem_json(problem: &Problem) -> Value {
    json!({"error": {
        "code": problem.code, "cause": clean(&problem.cause), "fix": clean(&problem.fix),
    }})
}

/// One JSON object on one line of stdout. Scripts wait for it, so it is flushed.
pub fn json_line(value: &Value) -> Result<(), Problem> {
    write_line(&escaped(&value.to_string()))
}

/// A line on stdout, written through at once.
pub fn write_line(line: &str) -> Result<(), Problem> {
    let mut out = std::io::stdout().lock();
    let written = writeln!(out, "{line}").and_then(|()| out.flush());
    written.map_err(|e| {
        // Whoever read us has seen enough (`| head`): a quiet, good end.
        let exit = match e.kind() {
            ErrorKind::BrokenPipe => Exit::Ok,
            _ => Exit::Failed,
        };
        let code = match exit {
            Exit::Ok => CLOSED,
            _ => "agentkeys.stdout.failed",
        };
        let cause = format!("the answer cannot be written: {e}");
        Problem::new(
            exit,
            code,
            cause,
            "look at where the output goes: is the disk full?",
        )
    })
}

/// A line on stderr. That nobody reads it is no reason to fail.
fn message(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// Columns as wide as their widest cell, two blanks between, nothing at line ends.
fn aligned(headers: &[&str], rows: &[Vec<String>]) -> Vec<String> {
    let cell = |row: &[String], at: usize| row.get(at).map_or(0, |c| c.width());
    let widths: Vec<usize> = headers
        .iter()
        .enumerate()
        .map(|(at, h)| rows.iter().map(|r| cell(r, at)).fold(h.width(), usize::max))
        .collect();
    let line = |cells: &[String]| {
        let padded: Vec<_> = cells.iter().zip(&widths).map(|(c, w)| pad(c, *w)).collect();
        padded.join("  ").trim_end().to_owned()
    };
    let headers: Vec<_> = headers.iter().map(|h| h.to_uppercase()).collect();
    let all = std::iter::once(line(&headers));
    all.chain(rows.iter().map(|row| line(row))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colour_is_for_terminals_that_want_it() {
        assert!(colors(ColorWhen::Auto, true, false));
        assert!(!colors(ColorWhen::Auto, true, true));
        assert!(!colors(ColorWhen::Auto, false, false));
        assert!(colors(ColorWhen::Always, false, true));
        assert!(!colors(ColorWhen::Never, true, false));
    }

    #[test]
    fn columns_align_by_what_a_terminal_shows() {
        let rows = vec![
            vec!["火锅".to_owned(), "1".to_owned()],
            vec!["a".to_owned(), String::new()],
        ];
        assert_eq!(aligned(&["name", "n"], &rows), ["NAME  N", "火锅  1", "a"]);
    }

    #[test]
    fn painted_text_is_clean_and_only_painted_when_asked() {
        let mut out = Out {
            json: false,
            terminal: false,
            color: false,
            messages: Messages::Plain,
        };
        assert_eq!(out.paint("a\u{1b}[31m", Tone::Bad), "a\u{fffd}[31m");
        out.color = true;
        assert!(out.paint("a", Tone::Good).starts_with("\u{1b}["));
    }
}
