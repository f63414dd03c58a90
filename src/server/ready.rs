//! Whether the server can do its work, and if not, why not.

use super::App;
use crate::audit::anchor::AnchorKind;
use crate::authority::Refusal;
use crate::authority::ports::LogState;
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

/// A certificate that ends in less should have been renewed.
const SOON_S: i64 = 14 * 86_400;

/// How many seals may be missed before somebody should look.
const MISSED_SEALS: i64 = 3;

/// The count of events, which only grows.
pub(super) const EVENTS: &str = "audit_events";

/// How a part is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Status {
    Ok,
    /// It works, and somebody should look.
    Warn,
    /// Requests will fail.
    Failed,
}

impl Status {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Failed => "failed",
        }
    }
}

/// How one part is, and what was measured.
pub(super) struct Reading {
    pub(super) id: &'static str,
    pub(super) status: Status,
    cause: String,
    fix: &'static str,
    /// Name, meaning and value, for a monitor.
    pub(super) measured: Vec<(&'static str, &'static str, i64)>,
}

impl Reading {
    fn new(id: &'static str, status: Status, cause: impl Into<String>, fix: &'static str) -> Self {
        Self {
            id,
            status,
            cause: cause.into(),
            fix,
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
    readings
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
    let (status, cause) = if !facts.holds_at(now) {
        (
            Status::Failed,
            "it does not hold now: hosts refuse it".to_owned(),
        )
    } else if left < SOON_S.min((facts.not_after - facts.not_before) / 4) {
        (Status::Warn, format!("it ends in {days} days"))
    } else {
        (Status::Ok, format!("{days} days left"))
    };
    Some(
        Reading::new(
            "certificate",
            status,
            cause,
            if status == Status::Ok { "" } else { fix },
        )
        .measuring(
            "certificate_expiry_timestamp_seconds",
            "When the certificate ends, Unix time",
            facts.not_after,
        ),
    )
}

fn whole(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

/// 200 when requests can be served, 503 when not; each part with its reason.
pub(super) async fn readyz(State(app): State<Arc<App>>) -> Response {
    let readings = readings(&app).await;
    let ready = readings.iter().all(|r| r.status != Status::Failed);
    let checks: Vec<_> = readings
        .iter()
        .map(|r| json!({"id": r.id, "status": r.status.as_str(), "cause": r.cause, "fix": r.fix}))
        .collect();
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
