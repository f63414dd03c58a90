//! Backups: that one is taken, that one was put back, and what was erased since then.

use super::Change;
use super::memories::{Erasing, erase_all};
use crate::authority::calls::{Answer, Cx, Done, OpKind};
use crate::authority::identity::Omni;
use crate::authority::words::Namespace;
use serde_json::{Map, Value, json};

pub(super) const TAKE: &str = "backup.create";
pub(super) const RESTORE: &str = "backup.restore";

/// Which backup a row is about.
#[derive(Debug, Clone)]
pub struct BackupRow {
    /// Its id.
    pub id: String,
    /// Whether it has the data, or the keys alone.
    pub keys_only: bool,
}

/// What was put back, and what is known to be lost.
#[derive(Debug, Clone)]
pub struct RestoreRow {
    /// The id of the snapshot.
    pub id: String,
    /// The id of the backup that its keys came from.
    pub keys: String,
    /// How many events the snapshot has.
    pub events: u64,
    /// How many later ones a kept checkpoint tells of.
    pub lost: Option<u64>,
}

/// An erasure that the snapshot does not know of yet.
#[derive(Debug, Clone)]
pub struct ErasureAgain {
    /// Whose memories.
    pub actor: Omni,
    /// Which.
    pub namespaces: Vec<Namespace>,
    /// Whether what was stated for the record goes too.
    pub statements: bool,
    /// The event that erased it first; none when only the salt's absence tells.
    pub replays: Option<String>,
}

/// Everything leaves the house with a backup, so its row comes first.
pub(super) async fn take(cx: &Cx<'_>, row: &BackupRow) -> Done {
    let detail = json!({"backup": row.id, "keys_only": row.keys_only});
    Change::new(cx, OpKind::Backup, TAKE, detail)
        .commit(cx, "backed_up", Answer::Json(Value::Null))
        .await
}

pub(super) async fn restored(cx: &Cx<'_>, row: &RestoreRow) -> Done {
    let detail = json!({
        "snapshot": row.id, "keys": row.keys, "events": row.events, "entries_lost": row.lost,
    });
    Change::new(cx, OpKind::Backup, RESTORE, detail)
        .commit(cx, "restored", Answer::Json(Value::Null))
        .await
}

pub(super) async fn erase_again(cx: &Cx<'_>, again: &ErasureAgain) -> Done {
    let mut more = Map::new();
    match &again.replays {
        Some(event_id) => more.insert("replays".to_owned(), event_id.as_str().into()),
        None => more.insert("salt_gone".to_owned(), true.into()),
    };
    let erasing = Erasing {
        namespaces: &again.namespaces,
        statements: again.statements,
        reason: "erased_again",
        more,
    };
    erase_all(cx, &again.actor.to_string(), erasing).await
}
