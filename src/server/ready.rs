//! Whether the server can do its work, and if not, why not.

use super::App;
use super::door::Door;
use crate::audit::anchor::AnchorKind;
use crate::authority::Refusal;
use crate::authority::ports::LogState;
use crate::finding::{Finding, Status};
use crate::tls::OF_AN_AUTHORITY;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::StatusCode;
use serde_json::json;
use std::path::Path;
use std::sync::Arc;

/// Less room than this, and rows will soon not be kept: in bytes.
const FULL: u64 = 64 * 1024 * 1024;

/// Less than this, and somebody should make room.
const NEARLY_FULL: u64 = 1024 * 1024 * 1024;

/// How many seals may be missed before somebody should look.
const MISSED_SEALS: i64 = 3;

/// What to do about connections that nearly fill a listener.
const CROWDED: &str = "block that network in the firewall if it is none of your hosts'";

/// The count of events, which only grows.
pub(super) const EVENTS: &str = "audit_events";

/// How one part is, and what was measured.
pub(super) struct Reading {
    pub(super) id: &'static str,
    pub(super) found: Finding,
    /// Name, meaning and value, for a monitor.
    pub(super) measured: Vec<(&'static str, &'static str, i64)>,
}

impl Reading {
    fn new(
        id: &'static str,
        status: Status,
        cause: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        Self {
            id,
            found: Finding::new(id, status, cause, fix),
            measured: Vec::new(),
        }
    }

    fn measuring(mut self, name: &'static str, help: &'static str, value: i64) -> Self {
        self.measured.push((name, help, value));
        self
    }
}

/// All parts.
pub(super) async fn readings(app: &Arc<App>) -> Vec<Reading> {
    let state = app.authority.log_state().await;
    let dir = app.dir.clone();
    let probed =
        tokio::task::spawn_blocking(move || (objects(&dir), disk(&dir), copied(&dir))).await;
    let (objects, disk, copied) = probed.unwrap_or_else(|error| {
        let broken = |id| Reading::new(id, Status::Failed, error.to_string(), "restart the server");
        (broken("objects"), broken("disk"), None)
    });
    let mut readings = vec![ledger(&state), objects, disk];
    readings.extend(copied);
    if let Ok(state) = &state {
        readings.push(audit(app, state).await);
        if app.anchor == AnchorKind::Evm {
            readings.push(anchor(app, state).await);
        }
    }
    readings.extend(certificate(app));
    let exposed = app.key_file.as_deref().and_then(crate::tls::exposed_key);
    readings.extend(exposed.map(|found| Reading {
        id: "key_file",
        found,
        measured: Vec::new(),
    }));
    readings.push(connections(app.doors.each()));
    readings
}

fn connections<'a>(doors: impl Iterator<Item = (&'static str, &'a Arc<Door>)>) -> Reading {
    let (mut told, mut status, mut fix) = (Vec::new(), Status::Ok, "");
    for (listener, door) in doors {
        let (open, room) = door.open();
        if open * 4 <= room * 3 {
            told.push(format!("{open} at {listener}"));
            continue;
        }
        (status, fix) = (Status::Warn, CROWDED);
        let most = door.most();
        let most = most.map(|(network, number)| format!(", {number} of them from {network}"));
        let most = most.unwrap_or_default();
        told.push(format!("{open} of {room} at {listener}{most}"));
    }
    Reading::new("connections", status, told.join("; "), fix)
}

fn ledger(state: &Result<LogState, Refusal>) -> Reading {
    match state {
        Ok(state) => Reading::new("ledger", Status::Ok, "it answers", "").measuring(
            EVENTS,
            "Events in the audit log",
            whole(state.size),
        ),
        Err(_) => Reading::new(
            "ledger",
            Status::Failed,
            "the ledger does not answer: nothing is decided",
            "look at the log lines of the server, and at the disk",
        ),
    }
}

/// Objects are written as this is.
fn objects(dir: &Path) -> Reading {
    use std::io::Write as _;
    // Without a name: another one who asks at the same moment does not meet it.
    let probe = tempfile::tempfile_in(dir.join("vault"));
    let wrote = probe.and_then(|mut file| file.write_all(b"ready").and_then(|()| file.sync_all()));
    match wrote {
        Ok(()) => Reading::new("objects", Status::Ok, "they can be written", ""),
        Err(error) => Reading::new(
            "objects",
            Status::Failed,
            format!("no object can be written: {error}"),
            "make room on the disk, or give the folder back to the user who runs the server",
        ),
    }
}

/// Only where there is something to say: two servers may sign as one log.
fn copied(dir: &Path) -> Option<Reading> {
    use crate::folder::copied::{COPIED, FIX, is_copy};
    is_copy(dir).then(|| Reading::new("place", Status::Warn, COPIED, FIX))
}

fn disk(dir: &Path) -> Reading {
    let found = match rustix::fs::statvfs(dir) {
        Ok(found) => found,
        Err(error) => {
            let cause = format!("the disk cannot be measured: {error}");
            return Reading::new("disk", Status::Warn, cause, "look at the file system");
        }
    };
    let (free, size) = (
        found.f_bavail.saturating_mul(found.f_frsize),
        found.f_blocks.saturating_mul(found.f_frsize),
    );
    let mib = free / (1024 * 1024);
    let (status, fix) = match free {
        ..FULL => (
            Status::Failed,
            "make room: what cannot be recorded is refused",
        ),
        FULL..NEARLY_FULL => (Status::Warn, "make room before it is full"),
        _ => (Status::Ok, ""),
    };
    Reading::new("disk", status, format!("{mib} MiB free"), fix)
        .measuring("disk_free_bytes", "Room on the folder's disk", whole(free))
        .measuring("disk_size_bytes", "Size of the folder's disk", whole(size))
}

async fn audit(app: &App, state: &LogState) -> Reading {
    let unsealed = state.size.saturating_sub(state.integrated);
    let signed_ms = app.authority.signed_at(state).await.ok().flatten();
    let now_ms = app.clock.now_ms();
    let every_ms = i64::try_from(app.seal_every.as_millis()).unwrap_or(i64::MAX);
    // Of a log that was never signed, as long as this server runs.
    let since_ms = signed_ms.unwrap_or_else(|| app.metrics.started_ms());
    let late = unsealed > 0 && now_ms - since_ms > every_ms.saturating_mul(MISSED_SEALS);
    let (status, fix) = if late {
        (Status::Warn, "agentkeys audit fsck")
    } else {
        (Status::Ok, "")
    };
    let reading = Reading::new(
        "audit",
        status,
        format!("{unsealed} events are not sealed yet"),
        fix,
    )
    .measuring(
        "audit_unsealed_events",
        "Events no checkpoint covers yet",
        whole(unsealed),
    );
    match signed_ms {
        Some(at) => reading.measuring(
            "audit_checkpoint_timestamp_seconds",
            "When the newest checkpoint was signed, Unix time",
            at / 1000,
        ),
        None => reading,
    }
}

async fn anchor(app: &App, state: &LogState) -> Reading {
    let newest = app.authority.last_anchor().await.ok().flatten();
    let anchored = newest.as_ref().map_or(0, |a| a.anchor.anchored.entry_count);
    let behind = state.integrated.saturating_sub(anchored);
    let reading = Reading::new(
        "anchor",
        Status::Ok,
        format!("{behind} sealed events are not anchored yet"),
        "",
    )
    .measuring(
        "anchor_behind_events",
        "Sealed events that no anchor covers yet",
        whole(behind),
    );
    match newest {
        Some(newest) => reading.measuring(
            "anchor_timestamp_seconds",
            "When the newest anchor was confirmed, Unix time",
            newest.at_ms / 1000,
        ),
        None => reading,
    }
}

fn certificate(app: &App) -> Option<Reading> {
    let certificates = app.certificates.as_ref()?;
    let fix = "agentkeys tls status";
    let Some(facts) = certificates.facts() else {
        let cause = "there is no certificate yet: hosts cannot connect";
        return Some(Reading::new("certificate", Status::Failed, cause, fix));
    };
    let now = app.clock.now_ms() / 1000;
    let left = facts.not_after - now;
    let days = left.div_euclid(86_400);
    let (status, cause, fix) = if !facts.holds_at(now) {
        let cause = "it does not hold now: hosts refuse it".to_owned();
        (Status::Failed, cause, fix)
    } else if facts.ends_soon(now) {
        (Status::Warn, format!("it ends in {days} days"), fix)
    } else if facts.authority {
        let (cause, fix) = OF_AN_AUTHORITY;
        (Status::Warn, cause.to_owned(), fix)
    } else {
        (Status::Ok, format!("{days} days left"), "")
    };
    Some(Reading::new("certificate", status, cause, fix).measuring(
        "certificate_expiry_timestamp_seconds",
        "When the certificate ends, Unix time",
        facts.not_after,
    ))
}

fn whole(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

/// 200 when requests can be served, 503 when not; each part with its reason.
pub(super) async fn readyz(State(app): State<Arc<App>>) -> Response {
    let readings = readings(&app).await;
    let ready = readings.iter().all(|r| r.found.status != Status::Failed);
    let checks: Vec<_> = readings.iter().map(|r| r.found.to_json()).collect();
    let status = if ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (
        status,
        axum::Json(json!({"ready": ready, "checks": checks})),
    )
        .into_response()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::door::Bounds;
    use super::*;

    #[test]
    fn a_listener_that_is_nearly_full_is_told_of_and_by_whom() {
        let bounds = Bounds {
            address: 8,
            network: 8,
            in_all: 8,
        };
        let door = Arc::new(Door::new(bounds));
        let seat = || door.seat("192.0.2.7".parse().unwrap()).unwrap();
        let mut seats: Vec<_> = (0..6).map(|_| seat()).collect();
        let read = || connections([("public", &door)].into_iter()).found;
        assert_eq!(
            (read().status, read().cause.as_str()),
            (Status::Ok, "6 at public")
        );
        seats.push(seat());
        let told = "7 of 8 at public, 7 of them from 192.0.2.0/24";
        assert_eq!((read().status, read().cause.as_str()), (Status::Warn, told));
    }
}
