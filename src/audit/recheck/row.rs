//! One row: whether the columns say what the envelope says, and what it tells of the log itself.

use super::stretch::Row;
use super::verdict::What;
use crate::audit::checkpoint::Checkpoint;
use crate::audit::envelope::kind::OpKind;
use crate::audit::envelope::{Envelope, peek};
use serde_json::Value;

/// A row that is what it says it is.
pub(super) struct Seen {
    op_kind: u8,
}

/// What a row tells of the log.
pub(super) enum Says {
    Nothing,
    /// Bodies were pruned up to this place.
    Pruned {
        first_kept: u64,
    },
    /// The log goes on under another name.
    Restarted {
        closed: String,
        origin: String,
        last: Checkpoint,
    },
}

/// Checks a row against its envelope: the feed's filters believe the columns.
pub(super) fn check(place: u64, row: &Row<'_>) -> Result<Seen, (What, String)> {
    let column = |name: &str| {
        let cause =
            format!("the column {name} of entry seq {place} does not say what the entry says");
        Err((What::Column, cause))
    };
    if let Some(name) = row.malformed {
        return column(name);
    }
    let Some(seen) = peek(row.envelope) else {
        let cause = format!("entry seq {place} is not an event as this log writes them");
        return Err((What::Form, cause));
    };
    let stranger = *seen.actor_omni == [0; 32];
    let actor = (!stranger).then_some(&seen.actor_omni[..]);
    let text = |field: Option<&'_ str>, column: Option<&[u8]>| field.map(str::as_bytes) == column;
    let columns = [
        ("actor_omni", row.actor_omni == actor),
        ("event_id", text(seen.event_id, Some(row.event_id))),
        ("ts_ms", seen.ts_ms == Some(row.ts_ms)),
        ("vendor", text(seen.vendor, row.vendor)),
        ("rail", text(seen.rail, row.rail)),
        ("tool", text(seen.tool, Some(row.tool))),
        ("verdict", text(seen.verdict, Some(row.verdict))),
        ("namespace", text(seen.namespace, row.namespace)),
    ];
    if let Some((name, _)) = columns.iter().find(|(_, same)| !same) {
        return column(name);
    }
    let seconds = u64::try_from(row.ts_ms / 1_000).unwrap_or(0);
    if seen.ts_unix != seconds {
        let cause = format!("entry seq {place} says two different times");
        return Err((What::Form, cause));
    }
    Ok(Seen {
        op_kind: seen.op_kind,
    })
}

impl Seen {
    /// What it tells of the log; only of the few kinds that do is more than a look taken.
    pub(super) fn says(&self, envelope: &[u8]) -> Says {
        let about_the_log = [OpKind::Prune.as_byte(), OpKind::Backup.as_byte()];
        if !about_the_log.contains(&self.op_kind) {
            return Says::Nothing;
        }
        says(envelope).unwrap_or(Says::Nothing)
    }
}

fn says(envelope: &[u8]) -> Option<Says> {
    let event = Envelope::decode(envelope).ok()?;
    let body = |key: &str| event.op_body.get(key).and_then(Value::as_str);
    if body("verdict") != Some("accept") {
        return None;
    }
    let detail = event.op_body.get("detail")?;
    let text = |key: &str| detail.get(key).and_then(Value::as_str);
    match body("tool")? {
        "audit.prune" => detail
            .get("first_kept")
            .and_then(Value::as_u64)
            .map(|first_kept| Says::Pruned { first_kept }),
        "audit.restart" => Some(Says::Restarted {
            closed: text("closed")?.to_owned(),
            origin: text("origin")?.to_owned(),
            last: Checkpoint::from_text(text("last_checkpoint")?).ok()?,
        }),
        _ => None,
    }
}
