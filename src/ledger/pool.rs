//! Connections to read with.

use super::open;
use parking_lot::Mutex;
use rusqlite::Connection;
use std::path::PathBuf;

/// Connections that are lent for one read. A read runs to its end on the thread that borrowed,
/// so there are never more of them than threads; `keep` is how many stay open between reads.
pub(super) struct Pool {
    path: PathBuf,
    idle: Mutex<Vec<Connection>>,
    keep: usize,
}

impl Pool {
    pub(super) const fn new(path: PathBuf, keep: usize) -> Self {
        Self {
            path,
            idle: Mutex::new(Vec::new()),
            keep,
        }
    }

    /// Runs a read of one statement.
    pub(super) fn read<T>(
        &self,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<T> {
        let idle = self.idle.lock().pop();
        let connection = match idle {
            Some(connection) => connection,
            None => open::reading(&self.path)?,
        };
        // After an error the connection is closed rather than trusted.
        let found = read(&connection)?;
        let mut idle = self.idle.lock();
        if idle.len() < self.keep {
            idle.push(connection);
        }
        Ok(found)
    }

    /// Runs a read of several statements, all of which see the same moment.
    pub(super) fn snapshot<T>(
        &self,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<T> {
        self.read(|connection| {
            connection.prepare_cached("BEGIN")?.execute([])?;
            let found = read(connection)?;
            connection.prepare_cached("COMMIT")?.execute([])?;
            Ok(found)
        })
    }
}
