//! What goes on while a suite or a proof runs.

use crate::acceptance::play::{Progress, Step};
use crate::acceptance::suites::Tell;
use crate::cli::out::Out;
use indicatif::ProgressBar;
use std::io::IsTerminal as _;
use std::time::Duration;

/// What is going on right now: a spinner on a terminal, plain lines on stderr off it.
pub struct Spinner {
    bar: ProgressBar,
    plain: Option<Out>,
}

impl Spinner {
    /// One that goes with how answers leave.
    pub fn new(out: Out) -> Self {
        if out.is_json() || !std::io::stderr().is_terminal() {
            let plain = (!out.is_json()).then_some(out);
            let bar = ProgressBar::hidden();
            return Self { bar, plain };
        }
        let bar = ProgressBar::new_spinner();
        bar.enable_steady_tick(Duration::from_millis(100));
        Self { bar, plain: None }
    }

    fn says(&self, what: &str) {
        self.shows(what);
        if let Some(out) = &self.plain {
            out.note(what);
        }
    }

    /// What a suite tells while it works.
    pub fn hears(&self, told: Tell<'_>) {
        match told {
            Tell::Looks(what) => self.says(what),
            Tell::Step(id) => self.shows(id),
        }
    }

    /// Only on a terminal: off it, the end of the step says enough.
    fn shows(&self, what: &str) {
        self.bar.set_message(crate::text::clean_to(what, 100));
    }

    /// What a proof tells while it works, `done` being what is printed of a step that is over.
    pub fn follows(&self, progress: Progress<'_>, done: impl FnOnce(&Step)) {
        match progress {
            Progress::Stage(_) => {}
            Progress::Begins(id) => self.shows(id),
            Progress::Done(step) => self.aside(|| done(step)),
        }
    }

    /// Prints without the spinner in between.
    fn aside(&self, print: impl FnOnce()) {
        self.bar.suspend(print);
    }

    /// Clears it for good.
    pub fn stop(&self) {
        self.bar.finish_and_clear();
    }
}

impl Drop for Spinner {
    fn drop(&mut self) {
        self.stop();
    }
}
