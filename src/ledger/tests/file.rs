//! The file itself: made, opened, refused, erased from.

use super::*;
use crate::ledger::{Offline, OpenError};
use std::path::Path;
use std::time::Duration;

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
async fn a_copy_with_its_log_is_read_whole_and_not_touched() {
    let f = Fixture::new().await;
    f.ledger.commit(row(), Lane::Customer).await.unwrap();
    let copy = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(f.dir.path()).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
    }
    let files = || -> std::collections::BTreeMap<_, _> {
        let entries = std::fs::read_dir(copy.path()).unwrap().map(Result::unwrap);
        let read = |e: std::fs::DirEntry| (e.file_name(), std::fs::read(e.path()).unwrap());
        entries.map(read).collect()
    };
    let before = files();
    assert!(before.contains_key(std::ffi::OsStr::new("ledger.sqlite-wal")));
    let offline = Offline::open(&copy.path().join("ledger.sqlite")).unwrap();
    assert_eq!(offline.head().unwrap().size, 2);
    drop(offline);
    assert!(files() == before, "something was written");
    // What is open is seen as it is now, and goes on being written.
    let offline = Offline::open(&f.path()).unwrap();
    assert_eq!(offline.head().unwrap().size, 2);
    f.ledger.commit(row(), Lane::Customer).await.unwrap();
    assert_eq!(offline.head().unwrap().size, 2);
    assert_eq!(Offline::open(&f.path()).unwrap().head().unwrap().size, 3);
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

fn allow(path: &Path, mode: u32) {
    std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

fn write(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
    allow(path, 0o600);
}

#[tokio::test]
async fn what_others_can_read_or_change_is_refused_and_left_as_it_is() {
    let f = Fixture::new().await;
    let file = |end: &str| f.dir.path().join(format!("ledger.sqlite{end}"));
    let folder = f.dir.path().to_owned();
    let cases = [
        (folder, 0o755, 0o700),
        (file(""), 0o640, 0o600),
        (file(""), 0o602, 0o600),
        (file("-wal"), 0o644, 0o600),
        (file("-shm"), 0o660, 0o600),
    ];
    let real = f.dir.path().canonicalize().unwrap();
    for (path, open, shut) in cases {
        allow(&path, open);
        let error = open_error(&f.path());
        let OpenError::Exposed { path: named, mode } = &error else {
            panic!("{error}")
        };
        assert_eq!((named.file_name(), *mode), (path.file_name(), open));
        assert!(named.starts_with(&real));
        let text = error.to_string();
        assert!(
            text.contains(&format!("{open:o}")) && text.contains("chmod go= /"),
            "{text}"
        );
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, open);
        allow(&path, shut);
    }
    // A link to it from a folder that nobody else can enter changes nothing.
    let elsewhere = super::folder();
    let link = elsewhere.path().join("ledger.sqlite");
    std::os::unix::fs::symlink(f.path(), &link).unwrap();
    allow(f.dir.path(), 0o750);
    assert!(matches!(
        open_error(&link),
        OpenError::Exposed { mode: 0o750, .. }
    ));
    allow(f.dir.path(), 0o700);
    f.other();
}

#[test]
fn nothing_is_made_in_an_open_folder() {
    let dir = folder();
    allow(dir.path(), 0o755);
    let path = dir.path().join("ledger.sqlite");
    let error = SqliteLedger::create(&path).unwrap_err();
    assert!(matches!(error, OpenError::Exposed { mode: 0o755, .. }));
    assert!(!path.exists());
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
    assert!(matches!(error, OpenError::Newer { found: 7, known: 4 }));
    let text = error.to_string();
    assert!(
        text.contains("version 7") && text.contains("up to 4"),
        "{text}"
    );
    assert_eq!(std::fs::read(&path).unwrap(), before);
    drop(dir);
}

#[tokio::test]
async fn a_ledger_of_the_first_version_is_brought_up_to_date_with_what_is_in_it() {
    let dir = folder();
    let path = dir.path().join("ledger.sqlite");
    let c = Connection::open(&path).unwrap();
    allow(&path, 0o600);
    let first = include_str!("../migrations/V1__first.sql");
    let migration = refinery::Migration::unapplied("V1__first", first).unwrap();
    let mut c = c;
    refinery::Runner::new(&[migration]).run(&mut c).unwrap();
    c.execute_batch(
        "INSERT INTO actor VALUES (x'0101010101010101010101010101010101010101010101010101010101010101',
            'O_kevin_001', 'Kevin', NULL, NULL, 0, NULL, 'UTC', 0, NULL);
         INSERT INTO vendor VALUES ('acme', 'xiaozhi', 'xiaozhi');
         INSERT INTO binding VALUES (x'0101010101010101010101010101010101010101010101010101010101010101',
            'acme', 8, 0, '[]', '[]', NULL, 'RMB', 3);
         INSERT INTO token VALUES ('tok', zeroblob(32), 'vendor', 'acme', NULL, 0, 0, 9, NULL, NULL, NULL);",
    )
    .unwrap();
    drop(c);
    let ledger = SqliteLedger::open(&path).unwrap();
    let found = ledger
        .admission(
            "tok",
            Some(crate::authority::ports::ActorName::Omni(omni(1))),
        )
        .await
        .unwrap();
    assert_eq!(found.token.unwrap().device, None);
    let binding = found.binding.unwrap();
    assert_eq!((binding.revision, binding.standing), (3, false));
}

#[tokio::test]
async fn an_altered_schema_is_refused() {
    let f = Fixture::new().await;
    let c = Connection::open(f.path()).unwrap();
    c.execute_batch("UPDATE refinery_schema_history SET checksum = '1' WHERE version = 1")
        .unwrap();
    let error = open_error(&f.path());
    assert!(
        matches!(error, OpenError::Altered { version: 1 }),
        "{error}"
    );
}

#[test]
fn what_is_no_ledger_is_refused() {
    let dir = folder();
    let path = dir.path().join("ledger.sqlite");
    assert!(matches!(open_error(&path), OpenError::NotThere(_)));
    assert!(!path.exists());

    let text = "not a database, and long enough to be seen as none".repeat(99);
    write(&path, &text);
    assert!(matches!(open_error(&path), OpenError::Corrupt(_)));
    std::fs::remove_file(&path).unwrap();

    write(&path, "");
    let c = Connection::open(&path).unwrap();
    c.execute_batch("CREATE TABLE somebody_elses (x)").unwrap();
    assert!(matches!(open_error(&path), OpenError::Corrupt(_)));

    let missing = dir.path().join("no such folder/ledger.sqlite");
    let error = SqliteLedger::create(&missing).unwrap_err();
    assert!(matches!(error, OpenError::Io { .. }));
}

#[test]
fn a_file_a_crash_left_empty_is_gone_on_with() {
    let dir = folder();
    let path = dir.path().join("ledger.sqlite");
    write(&path, "");
    drop(SqliteLedger::create(&path).unwrap());
    drop(SqliteLedger::create(&path).unwrap());
}

#[test]
fn many_may_open_a_new_file_at_once() {
    let dir = folder();
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
    let dir = folder();
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
    f.done(vec![ERASE]).await;
    assert!(!holds_salt(&f), "an old page was kept");
}

/// Somebody who reads, and goes when told to.
fn reader(f: &Fixture) -> Connection {
    let c = Connection::open(f.path()).unwrap();
    let sql = "BEGIN; SELECT count(*) FROM audit_event";
    c.execute_batch(sql).unwrap();
    c
}

const ERASE: Effect = Effect::Erase {
    scope: scope(1),
    slot: TRAVEL,
};

#[tokio::test]
async fn an_erasure_by_another_process_is_finished_once_nobody_reads() {
    let f = Fixture::new().await;
    f.done(vec![use_salt(TRAVEL, 0)]).await;
    let reader = reader(&f);
    let other = f.other();
    let erase = unit(Vec::new(), vec![ERASE]);
    other.commit(erase, Lane::Customer).await.unwrap();
    drop(other);
    assert!(holds_salt(&f), "the reader should have been in the way");
    // Nobody writes any more, and this process did not erase.
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    assert!(holds_salt(&f));
    drop(reader);
    until("the salt is gone", async || !holds_salt(&f)).await;
}

#[tokio::test]
async fn a_reader_in_the_way_of_an_erasure_keeps_nobody_from_an_answer() {
    let f = Fixture::new().await;
    f.done(vec![use_salt(TRAVEL, 0)]).await;
    let reader = reader(&f);
    let others = async {
        for _ in 0..20 {
            f.done(Vec::new()).await;
        }
    };
    // As long as the reader stays. What that costs is counted in `cut`.
    let erase = f.done(vec![ERASE]);
    tokio::time::timeout(PATIENCE, async { tokio::join!(erase, others) })
        .await
        .unwrap();
    assert!(holds_salt(&f));
    drop(reader);
    until("the salt is gone", async || !holds_salt(&f)).await;
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
