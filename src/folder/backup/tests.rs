#![allow(clippy::unwrap_used)]
use super::*;
use crate::authority::Limits;
use crate::authority::calls::admin::{AdminCall, NewActor};
use crate::authority::words::Namespace;
use crate::folder::Folder;
use crate::operate::admin;
use serde_json::Value;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

async fn perform(folder: &Folder, call: AdminCall) -> Value {
    admin(&folder.authority, &folder.operator(), call)
        .await
        .unwrap()
}

fn get(namespace: Namespace) -> AdminCall {
    AdminCall::MemoryGet {
        actor: "kevin".to_owned(),
        namespace,
        version: None,
    }
}

/// A folder with an actor that remembers something in two places.
async fn remembering(dir: &Path) -> Folder {
    let folder = Folder::create(dir, Limits::default()).await.unwrap();
    let new = NewActor {
        alias: "kevin".parse().unwrap(),
        wallet: None,
        parent: None,
        label: None,
        display_name: None,
        time_zone: None,
    };
    perform(&folder, AdminCall::ActorCreate(Box::new(new))).await;
    for namespace in [Namespace::Travel, Namespace::Work] {
        let put = AdminCall::MemoryPut {
            actor: "kevin".to_owned(),
            namespace,
            content: Secret::new(format!("about {namespace}")),
        };
        perform(&folder, put).await;
    }
    folder
}

/// Erases one memory as soon as a backup says that it is so far.
fn erasing(
    folder: &Arc<Folder>,
    when: &'static str,
    done: &Arc<AtomicU64>,
) -> Box<Progress<'static>> {
    let runtime = tokio::runtime::Handle::current();
    let (folder, done) = (Arc::clone(folder), Arc::clone(done));
    Box::new(move |what, at, _| {
        // The first of two objects is written then, and the other not.
        let now = what == when && (what != "objects" || at == 1);
        if now && done.fetch_add(1, Ordering::Relaxed) == 0 {
            let erase = AdminCall::MemoryErase {
                actor: "kevin".to_owned(),
                namespace: Some(Namespace::Work),
            };
            runtime.block_on(perform(&folder, erase));
        }
    })
}

#[tokio::test]
async fn what_is_erased_while_a_backup_is_taken_does_not_come_back() {
    for when in ["events", "objects"] {
        let temp = tempfile::tempdir().unwrap();
        let at = |name: &str| temp.path().join(name);
        let folder = Arc::new(remembering(&at("data")).await);
        let passphrase = Secret::new("correct horse battery".to_owned());
        let take = Take {
            snapshot: Some(at("a.tar")),
            keys: at("a.age"),
            passphrase: passphrase.clone(),
        };
        let done = Arc::new(AtomicU64::new(0));
        let progress = erasing(&folder, when, &done);
        let taken = folder.backup(take, progress).await.unwrap();
        assert!(done.load(Ordering::Relaxed) > 0);
        // It was in the ledger that was copied, and its object is gone; nothing is said to be lost.
        assert_eq!((taken.objects, taken.missing.len()), (1, 0), "{when}");
        let restore = Restore {
            snapshot: at("a.tar"),
            keys: at("a.age"),
            passphrase,
            dir: at("restored"),
            kept: None,
            trusted: Vec::new(),
            erasures: None,
        };
        let restored = restore.prepare(Box::new(|_, _, _| ())).await.unwrap();
        let restored = restored.finish().await.unwrap();
        assert_eq!(restored.erased_by_keys.len(), 1, "{when}");
        let other = Folder::open(&at("restored"), Limits::default())
            .await
            .unwrap();
        let content = perform(&other, get(Namespace::Travel)).await;
        assert_eq!(content["content"], "about travel");
        let content = perform(&other, get(Namespace::Work)).await;
        assert_eq!(content["version"], 0, "{when}: {content}");
    }
}
