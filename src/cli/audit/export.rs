//! Events for a spreadsheet or another program.

use super::{Filters, Log, PAGE, unwritable};
use crate::authority::event::columns;
use crate::authority::ports::EventFilter;
use crate::cli::Ctx;
use crate::cli::out::CLOSED;
use crate::folder::Beside;
use crate::problem::{Exit, Problem};
use clap::ValueEnum;
use indicatif::ProgressBar;
use serde_json::{Value, json};
use std::io::{IsTerminal as _, Write};
use std::path::Path;

/// How events are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// One JSON object a line, as `audit list --json` prints them.
    Jsonl,
    /// Comma-separated values with a line of names (RFC 4180).
    Csv,
}

pub(super) async fn run(
    ctx: &Ctx,
    filters: &Filters,
    format: Format,
    out: Option<&Path>,
) -> Result<(), Problem> {
    let log = Log::open(ctx, filters, "export").await?;
    let Some(file) = out else {
        let stdout = std::io::stdout().lock();
        return write(&log, format, stdout, &ProgressBar::hidden())
            .await
            .map(|_| ());
    };
    // Beside its place until it is whole: an export that was cut off is none.
    let beside = Beside::of(file).map_err(unwritable)?;
    let bar = if std::io::stderr().is_terminal() && !ctx.out.is_json() {
        ProgressBar::new_spinner()
    } else {
        ProgressBar::hidden()
    };
    let events = write(&log, format, beside.file(), &bar).await?;
    bar.finish_and_clear();
    beside.replace().map_err(unwritable)?;
    let shown = file.display().to_string();
    let answer = json!({"file": shown, "events": events});
    ctx.out.answer(&answer, || {
        ctx.out.line(&format!("{events} events are in {shown}"))
    })
}

/// Writes what matches of the log as it was at the beginning: an export of what an export adds
/// would have no end.
async fn write(
    log: &Log,
    format: Format,
    to: impl Write,
    bar: &ProgressBar,
) -> Result<u64, Problem> {
    let mut lines = Lines::new(format, to)?;
    let until = log.authority().log_size().await?;
    let mut next = 0;
    loop {
        let filter = EventFilter {
            from_seq: Some(next),
            until_seq: Some(until),
            ..log.filter.clone()
        };
        let events = log.authority().events(&log.reading, &filter).await?;
        for event in &events {
            lines.write(event)?;
            next = event["seq"].as_u64().map_or(next, |seq| seq + 1);
        }
        bar.inc(events.len() as u64);
        bar.set_message(format!("{} events", bar.position()));
        if events.len() < PAGE as usize {
            return lines.finish();
        }
    }
}

enum Lines<W: Write> {
    Json(W, u64),
    Csv(Box<csv::Writer<W>>, u64),
}

impl<W: Write> Lines<W> {
    fn new(format: Format, to: W) -> Result<Self, Problem> {
        if format == Format::Jsonl {
            return Ok(Self::Json(to, 0));
        }
        let mut csv = csv::Writer::from_writer(to);
        csv.write_record(columns()).map_err(|e| broken(&e))?;
        Ok(Self::Csv(Box::new(csv), 0))
    }

    fn write(&mut self, event: &Value) -> Result<(), Problem> {
        match self {
            Self::Json(to, events) => {
                *events += 1;
                writeln!(to, "{event}").map_err(|e| unwritten(&e))
            }
            Self::Csv(csv, events) => {
                *events += 1;
                let cells = columns().map(|name| cell(&event[name]));
                csv.write_record(cells).map_err(|e| broken(&e))
            }
        }
    }

    fn finish(self) -> Result<u64, Problem> {
        match self {
            Self::Json(mut to, events) => to.flush().map(|()| events),
            Self::Csv(mut csv, events) => csv.flush().map(|()| events),
        }
        .map_err(|e| unwritten(&e))
    }
}

/// A value as a cell. Texts of strangers are among them, and a spreadsheet runs what begins like a
/// formula (OWASP, CSV injection): an apostrophe makes it text again.
fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) if text.starts_with(['=', '+', '-', '@', '\t', '\r']) => {
            format!("'{text}")
        }
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn unwritten(error: &std::io::Error) -> Problem {
    let code = if error.kind() == std::io::ErrorKind::BrokenPipe {
        CLOSED
    } else {
        "agentkeys.file.unwritable"
    };
    Problem::new(
        Exit::Failed,
        code,
        format!("the events could not be written: {error}"),
        "name a file in a folder you may write, on a disk with room",
    )
}

fn broken(error: &csv::Error) -> Problem {
    match error.kind() {
        csv::ErrorKind::Io(error) => unwritten(error),
        _ => Problem::new(
            Exit::Failed,
            "agentkeys.file.unwritable",
            format!("the events could not be written: {error}"),
            "export them as jsonl",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_is_never_a_formula() {
        for text in ["=1+1", "+1", "-1", "@x", "\t=1", "\r=1"] {
            assert_eq!(cell(&text.into()), format!("'{text}"));
        }
        assert_eq!(cell(&(-1).into()), "-1");
        assert_eq!(cell(&"a=1".into()), "a=1");
        assert_eq!(cell(&Value::Null), "");
        assert_eq!(cell(&json!(["a", "b"])), r#"["a","b"]"#);
    }
}
