//! Where the events of a feed go: to stdout as lines, or to a screen.

use super::line;
use crate::cli::out::{Out, json_line};
use crate::problem::Problem;
use serde_json::Value;

/// Takes events in as they come.
pub(in crate::cli) trait Sink {
    /// The next event of the log. Whoever cannot take it yet lets the feed wait.
    async fn event(&mut self, event: Value) -> Result<(), Problem>;

    /// The feed is cut, for this reason, and tried again; or it runs again.
    async fn cut(&mut self, why: Option<&str>) -> Result<(), Problem>;
}

/// Events as lines on stdout.
pub(super) struct Lines {
    pub(super) out: Out,
}

impl Sink for Lines {
    async fn event(&mut self, event: Value) -> Result<(), Problem> {
        print(&event, self.out)
    }

    async fn cut(&mut self, why: Option<&str>) -> Result<(), Problem> {
        if let Some(why) = why {
            self.out.note(why);
        }
        Ok(())
    }
}

/// Prints an event as a line.
pub(super) fn print(event: &Value, out: Out) -> Result<(), Problem> {
    if out.is_json() {
        json_line(event)
    } else {
        out.painted(&line::of(event, out))
    }
}
