//! Copies for backups: what is in them, and what is not.

use super::*;
use crate::ledger::backup::{Copied, Erased, copy, openers};

const SALTED: [u8; 32] = [0xa5; 32];

fn salted(slot: Slot, epoch: u32, byte: u8) -> Effect {
    Effect::UseSalt {
        scope: scope(1),
        slot,
        salt: Salt {
            epoch,
            bytes: Secret::new([byte; 32]),
        },
    }
}

fn erase(slot: Slot) -> Effect {
    let scope = scope(1);
    Effect::Erase { scope, slot }
}

fn state(path: &std::path::Path) -> (i64, i64, i64, Option<String>) {
    let c = Connection::open(path).unwrap();
    let sql =
        "SELECT (SELECT count(*) FROM audit_event), swept, pruned, lease_holder FROM log_head";
    c.query_row(sql, [], |r| {
        Ok((r.get(0)?, r.get(1)?, r.get(2)?, r.get(3)?))
    })
    .unwrap()
}

#[tokio::test]
async fn what_is_erased_between_the_copy_and_the_salts_is_known_to_be() {
    let f = Fixture::new().await;
    let statements = Slot::Statements;
    f.done(vec![salted(TRAVEL, 1, 0xa5), put(stored(1, "tok", false))])
        .await;
    f.done(vec![
        salted(statements, 1, 0xb6),
        Effect::KeepStatement {
            scope: scope(1),
            event_id: "evt_9".to_owned(),
            sealed: vec![1, 2, 3],
        },
    ])
    .await;
    let to = f.dir.path().join("copy.sqlite");
    let mut told = Vec::new();
    let taken = copy(&f.path(), &to, |at, of| told.push((at, of))).unwrap();
    assert_eq!(told, [(3, 3)]);
    assert_eq!(
        (taken.events().unwrap(), taken.objects().unwrap().len()),
        (3, 1)
    );
    drop(taken);
    let bytes = std::fs::read(&to).unwrap();
    assert!(!bytes.windows(32).any(|w| w == SALTED));
    let whole = openers(&f.path()).unwrap();
    assert_eq!((whole.events, whole.salts.len()), (3, 2));

    // One gets another salt at once, the other none.
    f.done(vec![
        erase(TRAVEL),
        salted(TRAVEL, 2, 0xc7),
        erase(statements),
    ])
    .await;
    let later = openers(&f.path()).unwrap();
    assert_eq!((later.events, later.salts.len()), (4, 1));
    let mut taken = Copied::open(&to).unwrap();
    let both = Erased {
        actor: omni(1),
        namespaces: vec![Namespace::Travel],
        statements: true,
    };
    assert_eq!(taken.open_with(&later).unwrap(), (0, vec![both]));
    // With the salts of its own moment all of it opens.
    assert_eq!(taken.open_with(&whole).unwrap(), (0, Vec::new()));
}

#[tokio::test]
async fn bodies_that_were_pruned_and_who_seals_are_not_copied() {
    let f = Fixture::new().await;
    f.done(Vec::new()).await;
    f.done(Vec::new()).await;
    let c = Connection::open(f.path()).unwrap();
    let sql = "UPDATE log_head SET integrated = 3, pruned = 2, lease_holder = 'server', \
               lease_until_ms = 9";
    c.execute(sql, []).unwrap();
    assert_eq!(state(&f.path()), (3, 0, 2, Some("server".to_owned())));
    let to = f.dir.path().join("copy.sqlite");
    copy(&f.path(), &to, |_, _| ()).unwrap();
    assert_eq!(state(&to), (1, 2, 2, None));
    // It is made as this program makes one.
    assert!(Copied::open(&to).is_ok());
}
