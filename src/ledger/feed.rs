//! Who waits for the log to grow is woken, whoever wrote: this process tells itself, and another
//! process is noticed by the file's data version.

use super::writer::grow;
use super::{open, rows};
use rusqlite::Connection;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::watch;

/// How often it looks.
const EVERY: Duration = Duration::from_millis(25);

/// Looks for other processes' commits until it is dropped.
pub(super) struct Poller {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Poller {
    pub(super) fn start(path: PathBuf, size: watch::Sender<u64>) -> std::io::Result<Self> {
        let (stop, stopped) = channel();
        let thread = std::thread::Builder::new()
            .name("ledger-feed".to_owned())
            .spawn(move || poll(&path, &size, &stopped))?;
        Ok(Self {
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}

impl Drop for Poller {
    fn drop(&mut self) {
        // The thread sees the other end go.
        self.stop = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the ledger's feed died");
        }
    }
}

fn poll(path: &std::path::Path, size: &watch::Sender<u64>, stopped: &Receiver<()>) {
    let mut look = None;
    while stopped.recv_timeout(EVERY) == Err(RecvTimeoutError::Timeout) {
        let mut eye = match look.take() {
            Some(eye) => eye,
            None => match open::reading(path) {
                Ok(connection) => Eye {
                    connection,
                    version: None,
                },
                Err(error) => {
                    tracing::warn!(%error, "the feed cannot open the ledger; again");
                    continue;
                }
            },
        };
        match eye.moved() {
            Ok(Some(now)) => {
                size.send_if_modified(|seen| grow(seen, now));
                look = Some(eye);
            }
            Ok(None) => look = Some(eye),
            // It is opened anew, and whatever was missed is seen then.
            Err(error) => tracing::warn!(%error, "the feed cannot read the ledger; again"),
        }
    }
}

struct Eye {
    connection: Connection,
    version: Option<i64>,
}

impl Eye {
    /// The log's size, if anybody committed since the last look.
    fn moved(&mut self) -> rusqlite::Result<Option<u64>> {
        let version = Some(rows::number(&self.connection, "PRAGMA data_version", [])?);
        if version == self.version {
            return Ok(None);
        }
        let size = rows::log_size(&self.connection)?;
        self.version = version;
        Ok(Some(size))
    }
}
