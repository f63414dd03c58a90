//! The file itself: made, opened, refused, erased from.

use super::*;
use crate::ledger::OpenError;
use rusqlite::Connection;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

fn open_error(path: &Path) -> OpenError {
    SqliteLedger::open(path).unwrap_err()
}

#[tokio::test]
async fn what_was_written_is_there_after_a_restart() {
    let f = Fixture::new().await;
    let path = f.path();
    let Fixture { dir, ledger } = f;
    ledger.commit(row(), Lane::Customer).await.unwrap();
    drop(ledger);
    assert!(!dir.path().join("ledger.sqlite-wal").exists());
    let again = SqliteLedger::open(&path).unwrap();
    assert_eq!(again.log_size().await.unwrap(), 2);
    assert_eq!(*again.watch().borrow(), 2);
    let next = again.commit(row(), Lane::Customer).await.unwrap();
    assert_eq!(next, Committed::Done { seq: 2 });
}

#[tokio::test]
async fn only_its_owner_can_read_it() {
    let f = Fixture::new().await;
    for file in ["ledger.sqlite", "ledger.sqlite-wal", "ledger.sqlite-shm"] {
        let mode = std::fs::metadata(f.dir.path().join(file))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
}

#[tokio::test]
async fn a_newer_schema_is_refused_and_left_alone() {
    let f = Fixture::new().await;
    let path = f.path();
    let Fixture { dir, ledger } = f;
    drop(ledger);
    let c = Connection::open(&path).unwrap();
    c.execute_batch(
        "INSERT INTO refinery_schema_history VALUES (7, 'later', 'no date at all', 'no sum')",
    )
    .unwrap();
    drop(c);
    let before = std::fs::read(&path).unwrap();
    let error = open_error(&path);
    assert!(matches!(error, OpenError::Newer { found: 7, known: 1 }));
    let text = error.to_string();
    assert!(
        text.contains("version 7") && text.contains("up to 1"),
        "{text}"
    );
    assert_eq!(std::fs::read(&path).unwrap(), before);
    drop(dir);
}

#[tokio::test]
async fn an_altered_schema_is_refused() {
    let f = Fixture::new().await;
    let c = Connection::open(f.path()).unwrap();
    c.execute_batch("UPDATE refinery_schema_history SET checksum = '1'")
        .unwrap();
    let error = open_error(&f.path());
    assert!(
        matches!(error, OpenError::Altered { version: 1 }),
        "{error}"
    );
}

#[test]
fn what_is_no_ledger_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ledger.sqlite");
    assert!(matches!(open_error(&path), OpenError::NotThere(_)));
    assert!(!path.exists());

    std::fs::write(
        &path,
        "not a database, and long enough to be seen as none".repeat(99),
    )
    .unwrap();
    assert!(matches!(open_error(&path), OpenError::Corrupt(_)));
    std::fs::remove_file(&path).unwrap();

    let c = Connection::open(&path).unwrap();
    c.execute_batch("CREATE TABLE somebody_elses (x)").unwrap();
    assert!(matches!(open_error(&path), OpenError::Corrupt(_)));

    let missing = dir.path().join("no such folder/ledger.sqlite");
    let error = SqliteLedger::create(&missing).unwrap_err();
    assert!(matches!(error, OpenError::Io { .. }));
}

#[test]
fn a_file_a_crash_left_empty_is_gone_on_with() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ledger.sqlite");
    std::fs::write(&path, "").unwrap();
    drop(SqliteLedger::create(&path).unwrap());
    drop(SqliteLedger::create(&path).unwrap());
}

#[test]
fn many_may_open_a_new_file_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ledger.sqlite");
    std::thread::scope(|s| {
        let threads: Vec<_> = (0..6)
            .map(|_| s.spawn(|| SqliteLedger::create(&path)))
            .collect();
        for thread in threads {
            thread.join().unwrap().unwrap();
        }
    });
}

#[tokio::test]
async fn settings_are_written_until_there_is_an_event() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = SqliteLedger::create(&dir.path().join("l")).unwrap();
    assert_eq!(ledger.setting("instance").unwrap(), None);
    ledger
        .found(&[("instance", "a".to_owned()), ("left", "b".to_owned())])
        .unwrap();
    // The founding was not finished; the next one begins anew.
    ledger.found(&[("instance", "c".to_owned())]).unwrap();
    assert_eq!(ledger.setting("instance").unwrap().as_deref(), Some("c"));
    assert_eq!(ledger.setting("left").unwrap(), None);
    ledger.commit(row(), Lane::Customer).await.unwrap();
    assert!(ledger.found(&[("instance", "d".to_owned())]).is_err());
    assert_eq!(ledger.setting("instance").unwrap().as_deref(), Some("c"));
}

fn holds_salt(f: &Fixture) -> bool {
    let salt = [0xab; 32];
    ["ledger.sqlite", "ledger.sqlite-wal"].iter().any(|file| {
        let bytes = std::fs::read(f.dir.path().join(file)).unwrap_or_default();
        bytes.windows(32).any(|w| w == salt)
    })
}

#[tokio::test]
async fn an_erased_salt_is_nowhere_in_the_files() {
    let f = Fixture::new().await;
    f.done(vec![use_salt(TRAVEL, 0)]).await;
    assert!(holds_salt(&f));
    let erase = Effect::Erase {
        scope: scope(1),
        slot: TRAVEL,
    };
    f.done(vec![erase]).await;
    assert!(!holds_salt(&f), "an old page was kept");
}

#[tokio::test]
async fn an_erasure_that_a_crash_cut_short_is_finished_at_the_next_start() {
    let f = Fixture::new().await;
    f.done(vec![use_salt(TRAVEL, 0)]).await;
    // What a process leaves that dies between the commit and the emptying of the log.
    let c = Connection::open(f.path()).unwrap();
    c.execute_batch("UPDATE salt SET bytes = NULL; UPDATE head SET erased = erased + 1")
        .unwrap();
    assert!(holds_salt(&f));
    let other = f.other();
    other.commit(row(), Lane::Customer).await.unwrap();
    assert!(!holds_salt(&f));
}
