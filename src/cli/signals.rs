//! What ends a command that goes on: a signal, or the end of the program that started it.

use crate::problem::{Exit, Problem};
use futures_util::FutureExt as _;
use futures_util::future::select_all;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Signals that are caught from its making on.
pub struct Signals(Vec<(&'static str, Signal)>);

impl Signals {
    /// What tells a server to stop. A hang-up does not: to a server it means to look again.
    ///
    /// # Errors
    /// Where signals cannot be caught.
    pub fn that_stop() -> Result<Self, Problem> {
        Self::catch(&[
            ("SIGTERM", SignalKind::terminate()),
            ("ctrl-c", SignalKind::interrupt()),
        ])
    }

    /// What tells anything else to end: those, and that its terminal is gone.
    ///
    /// # Errors
    /// Where signals cannot be caught.
    pub fn that_end() -> Result<Self, Problem> {
        let mut signals = Self::that_stop()?;
        let hang_up = Self::catch(&[("SIGHUP", SignalKind::hangup())])?;
        signals.0.extend(hang_up.0);
        Ok(signals)
    }

    fn catch(kinds: &[(&'static str, SignalKind)]) -> Result<Self, Problem> {
        let caught = kinds.iter().map(|(name, kind)| Ok((*name, signal(*kind)?)));
        let caught: std::io::Result<_> = caught.collect();
        caught.map(Self).map_err(|error| {
            Problem::new(
                Exit::Failed,
                "agentkeys.signals",
                format!("signals cannot be caught: {error}"),
                "this is a fault of the machine; report it",
            )
        })
    }

    /// Until one of them comes; its name.
    pub async fn next(&mut self) -> &'static str {
        let each = self.0.iter_mut().map(|(name, signal)| {
            let name = *name;
            async move {
                signal.recv().await;
                name
            }
            .boxed()
        });
        select_all(each).await.0
    }

    /// Until one of them comes or, where the program that started this one is to be outlived by
    /// nothing, standard input ends: it does so however that program ended.
    pub async fn or_stdin(mut self, until_stdin_ends: bool) {
        let ended = async {
            if !until_stdin_ends {
                std::future::pending::<()>().await;
            }
            // What is written to it means nothing; an error is an end too.
            let _ = tokio::io::copy(&mut tokio::io::stdin(), &mut tokio::io::sink()).await;
        };
        let why = tokio::select! {
            name = self.next() => name,
            () = ended => "the end of standard input",
        };
        tracing::info!("{why}: draining");
    }
}
