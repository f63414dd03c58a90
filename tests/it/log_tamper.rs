//! A log that somebody who owns the machine edits, in every way there is: `audit verify --log` finds
//! each against a checkpoint that was kept elsewhere, and names where.

mod cases;
mod repair;

use super::support::{House, Server, run_in, text};
use agentkeys::audit::checkpoint::Checkpoint;
use agentkeys::audit::envelope::Envelope;
use agentkeys::audit::note::{LogKey, SignedNote, VerifierKey};
use agentkeys::audit::tree::{Frontier, leaf_hash};
use agentkeys::authority::found::purpose;
use agentkeys::authority::keys::RootKey;
use agentkeys::authority::ports::SealedKey;
use agentkeys::secret::Secret;
use rusqlite::{Connection, params};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// A demo folder with a sealed log that goes on after what was kept.
struct Log {
    house: House,
    kept: PathBuf,
    /// Entries of the kept checkpoint, of the last, and in all.
    k: u64,
    sealed: u64,
    size: u64,
}

impl Log {
    fn new() -> Self {
        let house = calls(House::demo(), 5);
        house.ok(&["audit", "checkpoint"]);
        let house = calls(house, 280);
        house.ok(&["audit", "checkpoint"]);
        let house = calls(house, 20);
        let kept = house.temp.path().join("kept.checkpoint");
        let signed = house.ok(&["audit", "checkpoint", "--out", kept.to_str().unwrap()]);
        let k = signed["size"].as_u64().unwrap();
        let house = calls(house, 20);
        let sealed = house.ok(&["audit", "checkpoint"])["size"].as_u64().unwrap();
        for _ in 0..3 {
            house.ok(&["memory", "get", "O_kevin_001", "travel"]);
        }
        let size = number(&open(&house.dir()), "SELECT next_seq FROM audit_head");
        assert!(
            k > 300 && sealed > k + 10 && size > sealed + 2,
            "{k} {sealed} {size}"
        );
        Self {
            house,
            kept,
            k,
            sealed,
            size,
        }
    }

    /// A copy of the ledger alone, changed.
    fn changed(&self, name: &str, change: impl FnOnce(&Connection)) -> PathBuf {
        let dir = self.house.temp.path().join(name);
        copy(&self.house.dir(), &dir);
        let connection = open(&dir);
        change(&connection);
        drop(connection);
        dir
    }

    fn key(&self) -> LogKey {
        let root = std::fs::read_to_string(self.house.dir().join("keys/root.key")).unwrap();
        let root = RootKey::new(hex::decode(root.trim()).unwrap().try_into().unwrap());
        let c = open(&self.house.dir());
        let sql = "SELECT kid, sealed, created_ms FROM key_ring WHERE purpose = 'log'";
        let sealed = c.query_row(sql, [], |r| {
            Ok(SealedKey {
                purpose: purpose::LOG.to_owned(),
                kid: r.get(0)?,
                sealed: r.get(1)?,
                created_ms: r.get(2)?,
            })
        });
        let sealed = sealed.unwrap();
        let seed = root.open(purpose::LOG, &sealed).unwrap();
        let seed = Secret::new(seed.expose().as_slice().try_into().unwrap());
        let public: VerifierKey = sealed.kid.parse().unwrap();
        LogKey::from_seed(public.name(), &seed).unwrap()
    }

    /// The largest signed size up to a place.
    fn signed_before(&self, place: u64) -> u64 {
        let sql = format!("SELECT max(size) FROM log_checkpoint WHERE size <= {place}");
        number(&open(&self.house.dir()), &sql)
    }
}

/// Calls over HTTP, and the server's own end. A server seals at its start, beside its first calls:
/// there is something for it to seal, and that is waited for, so that places are the same in each run.
fn calls(house: House, many: u64) -> House {
    house.ok(&["memory", "get", "O_kevin_001", "travel"]);
    let mut server = Server::over(house, &[("AGENTKEYS_LIMITS_CALLS_PER_SECOND", "0")]);
    let ledger = open(&server.house.dir());
    let found = number(&ledger, "SELECT next_seq FROM audit_head");
    while number(&ledger, "SELECT coalesce(max(size), 0) FROM log_checkpoint") < found {
        std::thread::yield_now();
    }
    drop(ledger);
    let host = server.host("magiclick");
    for _ in 0..many {
        host.structured("agentkeys.memory.get", json!({"namespace": "travel"}));
    }
    let empty = House {
        temp: tempfile::tempdir().unwrap(),
        init: Value::Null,
    };
    let house = std::mem::replace(&mut server.house, empty);
    assert!(server.stop().success());
    house
}

fn copy(from: &Path, to: &Path) {
    assert!(!from.join("ledger.sqlite-wal").exists());
    std::fs::create_dir(to).unwrap();
    std::fs::copy(from.join("ledger.sqlite"), to.join("ledger.sqlite")).unwrap();
}

fn open(dir: &Path) -> Connection {
    Connection::open(dir.join("ledger.sqlite")).unwrap()
}

fn number(c: &Connection, sql: &str) -> u64 {
    let number: i64 = c.query_row(sql, [], |r| r.get(0)).unwrap();
    number.cast_unsigned()
}

/// Runs the check; its exit code and its one object.
fn verify(dir: &Path, more: &[&str]) -> (i32, Value) {
    let words = [&["audit", "verify", "--log"], more].concat();
    let output = run_in(dir, &words);
    let said = serde_json::from_slice(&output.stdout);
    let said = said.unwrap_or_else(|_| json!({ "stderr": text(&output.stderr) }));
    (output.status.code().unwrap(), said)
}

/// Builds the tree anew over what the rows hold now.
fn rebuild(c: &Connection) {
    let mut frontier = Frontier::new();
    let integrated = number(c, "SELECT integrated FROM log_head");
    let sql = "SELECT envelope FROM audit_event WHERE seq < ?1 ORDER BY seq";
    let mut rows = c.prepare(sql).unwrap();
    let rows = rows.query_map([integrated.cast_signed()], |r| r.get::<_, Vec<u8>>(0));
    let leaves: Vec<_> = rows.unwrap().map(|e| leaf_hash(&e.unwrap())).collect();
    c.execute("DELETE FROM log_tile", []).unwrap();
    for tile in frontier.append(leaves) {
        let sql = "INSERT INTO log_tile VALUES (?1, ?2, ?3)";
        let id = tile.id();
        let index = i64::try_from(id.index).unwrap();
        c.execute(sql, params![id.level, index, tile.to_bytes()])
            .unwrap();
    }
}

/// Signs every checkpoint of more than `from` entries anew over what the rows hold now.
fn sign_again(c: &Connection, from: u64, key: &LogKey) {
    rebuild(c);
    let sql = "SELECT size, note FROM log_checkpoint WHERE size > ?1";
    let mut rows = c.prepare(sql).unwrap();
    let rows = rows.query_map([from.cast_signed()], |r| {
        Ok((r.get::<_, i64>(0)?, r.get::<_, String>(1)?))
    });
    let rows: Vec<_> = rows.unwrap().map(Result::unwrap).collect();
    for (size, note) in rows {
        let note = SignedNote::parse(note.as_bytes()).unwrap();
        let origin = Checkpoint::from_text(note.text()).unwrap();
        let now = root(c, size.cast_unsigned());
        let note = signed(origin.origin(), size.cast_unsigned(), now, key);
        let sql = "UPDATE log_checkpoint SET note = ?2 WHERE size = ?1";
        c.execute(sql, params![size, note]).unwrap();
    }
}

fn root(c: &Connection, size: u64) -> [u8; 32] {
    let sql = "SELECT envelope FROM audit_event WHERE seq < ?1 ORDER BY seq";
    let mut rows = c.prepare(sql).unwrap();
    let rows = rows
        .query_map([size.cast_signed()], |r| r.get::<_, Vec<u8>>(0))
        .unwrap();
    let mut frontier = Frontier::new();
    rows.for_each(|e| frontier.push(leaf_hash(&e.unwrap())));
    frontier.root()
}

fn signed(origin: &str, size: u64, root: [u8; 32], key: &LogKey) -> String {
    let checkpoint = Checkpoint::new(origin, size, root).unwrap();
    let note = checkpoint.sign_after(None, &[], std::slice::from_ref(key));
    note.unwrap().to_string()
}

/// Another key under the log's own name, in the store's ring as if it belonged there.
fn intruder(c: &Connection, own: &LogKey) -> LogKey {
    let key = LogKey::from_seed(own.verifier().name(), &Secret::new([66; 32])).unwrap();
    let sql =
        "INSERT INTO key_ring (purpose, kid, sealed, created_ms) VALUES ('log', ?1, x'00', 0)";
    c.execute(sql, [key.verifier().to_string()]).unwrap();
    key
}

/// Writes an entry anew with another body; its columns agree with it.
fn rewrite(c: &Connection, place: u64, change: impl FnOnce(&mut Envelope)) {
    let sql = "SELECT envelope FROM audit_event WHERE seq = ?1";
    let bytes: Vec<u8> = c
        .query_row(sql, [place.cast_signed()], |r| r.get(0))
        .unwrap();
    let mut envelope = Envelope::decode(&bytes).unwrap();
    change(&mut envelope);
    let ts_ms = envelope.op_body["ts_ms"].as_i64().unwrap();
    envelope.ts_unix = u64::try_from(ts_ms / 1000).unwrap();
    let sql = "UPDATE audit_event SET envelope = ?2, ts_ms = ?3 WHERE seq = ?1";
    c.execute(
        sql,
        params![place.cast_signed(), envelope.encode().unwrap(), ts_ms],
    )
    .unwrap();
}

fn another_reason(envelope: &mut Envelope) {
    envelope.op_body["reason"] = json!("another");
}

fn run(c: &Connection, sql: &str) {
    c.execute_batch(sql).unwrap();
}

/// Lets two entries change places.
fn swap(c: &Connection, a: u64, b: u64) {
    run(
        c,
        &format!(
            "UPDATE audit_event SET seq = -1 WHERE seq = {a};
             UPDATE audit_event SET seq = {a} WHERE seq = {b};
             UPDATE audit_event SET seq = {b} WHERE seq = -1;"
        ),
    );
}

#[test]
fn every_edit_is_found_against_a_kept_checkpoint_and_its_first_place_named() {
    let log = Log::new();
    let since = log.kept.to_str().unwrap();
    let (code, said) = verify(&log.changed("as-it-is", |_| ()), &["--since", since]);
    assert_eq!((code, &said["verified"]), (0, &json!(true)), "{said}");
    assert_eq!(said["sealed"], log.sealed);
    assert!(
        said["sentence"]
            .as_str()
            .unwrap()
            .contains("which you have not pinned")
    );
    let cases = cases::all(&log);
    let mut wrong = Vec::new();
    for (name, change, first_bad, called) in cases {
        let dir = log.changed(name, change);
        let (code, said) = verify(&dir, &["--since", since]);
        let called = format!("agentkeys.audit.{called}");
        let expected = (7, json!(false), json!(first_bad), json!(called));
        let found = (
            code,
            said["verified"].clone(),
            said["first_bad"].clone(),
            said["code"].clone(),
        );
        if found != expected {
            wrong.push(format!("{name}: {found:?} instead of {expected:?}: {said}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A forger with a key of its own, put into the store's ring, is consistent in itself.
#[test]
fn what_only_a_pinned_key_shows_is_found_with_it() {
    let log = Log::new();
    let (k, own) = (log.k, log.key());
    let pinned = own.verifier().to_string();
    let since = log.kept.to_str().unwrap();
    let forged = log.changed("forged", |c| {
        rewrite(c, k + 5, another_reason);
        let key = intruder(c, &own);
        sign_again(c, k, &key);
    });
    let (code, said) = verify(&forged, &["--since", since]);
    assert_eq!((code, &said["signer_pinned"]), (0, &json!(false)), "{said}");
    for more in [&["--since", since][..], &[]] {
        let (code, said) = verify(&forged, &[more, &["--trust-key", &pinned]].concat());
        assert_eq!(code, 7);
        assert_eq!(said["code"], "agentkeys.audit.not_trusted", "{said}");
        assert_eq!(said["first_bad"], k, "{said}");
    }
    let whole = log.changed("whole", |_| ());
    let (code, said) = verify(&whole, &["--since", since, "--trust-key", &pinned]);
    assert_eq!((code, &said["signer_pinned"]), (0, &json!(true)), "{said}");
    assert!(
        said["sentence"]
            .as_str()
            .unwrap()
            .starts_with("under the trusted key ")
    );
    let other = LogKey::from_seed(own.verifier().name(), &Secret::new([66; 32])).unwrap();
    let other = other.verifier().to_string();
    let (code, said) = verify(&whole, &["--trust-key", &other]);
    assert_eq!((code, &said["first_bad"]), (7, &json!(0)), "{said}");
    let (code, said) = verify(&whole, &["--since", since, "--trust-key", &other]);
    assert_eq!(
        (code, &said["code"]),
        (7, &json!("agentkeys.audit.kept_checkpoint")),
        "{said}"
    );
}

#[test]
fn nothing_signed_is_nothing_proved_and_a_table_without_its_constraints_is_none() {
    let log = Log::new();
    let unsigned = log.changed("unsigned", |c| {
        run(
            c,
            "DELETE FROM log_checkpoint; DELETE FROM log_tile; UPDATE log_head SET integrated = 0",
        );
    });
    let (code, said) = verify(&unsigned, &[]);
    assert_eq!(
        (code, &said["code"]),
        (7, &json!("agentkeys.audit.not_sealed")),
        "{said}"
    );
    let loose = log.changed("loose", |c| {
        run(
            c,
            "CREATE TABLE other AS SELECT * FROM audit_event; DROP TABLE audit_event;
             ALTER TABLE other RENAME TO audit_event; INSERT INTO audit_event SELECT * FROM audit_event",
        );
    });
    let (code, said) = verify(&loose, &[]);
    assert_eq!(code, 7);
    assert!(
        said["stderr"]
            .as_str()
            .unwrap()
            .contains("agentkeys.audit.unreadable"),
        "{said}"
    );
}

#[test]
fn a_log_that_was_put_back_says_so_and_does_not_pass_for_the_one_that_was_kept() {
    let log = Log::new();
    let (dir, since) = (log.house.dir(), log.kept.to_str().unwrap());
    log.house.ok(&["audit", "checkpoint"]);
    let size = log.signed_before(1_000);
    let older = log.house.temp.path().join("older");
    copy(&dir, &older);
    for _ in 0..4 {
        log.house.ok(&["memory", "get", "O_kevin_001", "travel"]);
    }
    let lost = log.house.temp.path().join("lost.checkpoint");
    log.house
        .ok(&["audit", "checkpoint", "--out", lost.to_str().unwrap()]);
    std::fs::copy(older.join("ledger.sqlite"), dir.join("ledger.sqlite")).unwrap();
    log.house.ok(&["memory", "get", "O_kevin_001", "travel"]);
    let again = log.house.ok(&["audit", "checkpoint"]);
    assert!(again["closed"].is_string(), "{again}");
    let (code, said) = verify(&dir, &["--since", since]);
    assert_eq!(
        code, 0,
        "what was signed before the copy is still there: {said}"
    );
    assert_eq!(said["origin"], again["origin"]);
    let (code, said) = verify(&dir, &["--since", lost.to_str().unwrap()]);
    assert_eq!(
        (code, &said["code"]),
        (7, &json!("agentkeys.audit.put_back")),
        "{said}"
    );
    assert_eq!(said["first_bad"], size);
    assert!(
        said["sentence"]
            .as_str()
            .unwrap()
            .contains("put back from an older copy")
    );
    // Grown over what was lost, it is still another log.
    for _ in 0..10 {
        log.house.ok(&["memory", "get", "O_kevin_001", "travel"]);
    }
    log.house.ok(&["audit", "checkpoint"]);
    let (code, said) = verify(&dir, &["--since", lost.to_str().unwrap()]);
    assert_eq!(
        (code, &said["code"]),
        (7, &json!("agentkeys.audit.put_back")),
        "{said}"
    );
}

#[test]
fn a_pruned_log_verifies_by_its_hashes_and_says_so() {
    let log = Log::new();
    let since = log.kept.to_str().unwrap();
    let pruned = log.house.ok(&["audit", "prune", "--before", "0s"]);
    let gone = pruned["first_kept"].as_u64().unwrap();
    assert!(gone >= log.size);
    let whole = log.changed("pruned", |_| ());
    let (code, said) = verify(&whole, &["--since", since]);
    assert_eq!((code, &said["hashes_only"]), (0, &json!(gone)), "{said}");
    log.house.ok(&["memory", "get", "O_kevin_001", "travel"]);
    log.house.ok(&["audit", "checkpoint"]);
    let tile = "UPDATE log_tile SET hashes = CAST(
                    iif(substr(hashes, 1, 1) = x'00', x'01', x'00') || substr(hashes, 2) AS BLOB)
                WHERE level = 0 AND place = 1";
    let altered = log.changed("pruned-tile", |c| run(c, tile));
    let (code, said) = verify(&altered, &["--since", since]);
    assert_eq!(code, 7);
    assert!(said["first_bad"].as_u64().unwrap() <= 256, "{said}");
    let shorter = log.changed("pruned-short", |c| {
        run(c, "DELETE FROM log_tile WHERE level = 0 AND place = 1");
    });
    let (code, said) = verify(&shorter, &[]);
    assert_eq!((code, &said["first_bad"]), (7, &json!(256)), "{said}");
}

#[test]
fn a_log_and_files_are_not_checked_at_once() {
    let house = House::demo();
    for words in [
        &["--log", "x"][..],
        &["--since", "k", "x"],
        &["--since", "k"],
        &[],
    ] {
        let output = house.run(&[&["audit", "verify"], words].concat());
        assert_eq!(output.status.code(), Some(2), "{words:?}");
    }
}

/// The check writes nothing and puts nothing beside the file, and asks nothing of the folder.
#[test]
fn it_only_reads_and_a_server_may_run_beside_it() {
    use std::os::unix::fs::PermissionsExt as _;
    let log = Log::new();
    let dir = log.changed("alone", |_| ());
    std::fs::set_permissions(&dir, std::fs::Permissions::from_mode(0o500)).unwrap();
    assert_eq!(verify(&dir, &[]).0, 0);
    let names: Vec<_> = std::fs::read_dir(&dir).unwrap().collect();
    assert_eq!(names.len(), 1, "{names:?}");
    std::fs::set_permissions(&dir, std::fs::Permissions::from_mode(0o700)).unwrap();
    let server = Server::over(log.house, &[("AGENTKEYS_AUDIT_BATCH_SECONDS", "1")]);
    let host = server.host("magiclick");
    for _ in 0..10 {
        host.structured("agentkeys.memory.get", json!({"namespace": "travel"}));
        let (code, said) = verify(
            &server.house.dir(),
            &["--since", log.kept.to_str().unwrap()],
        );
        assert_eq!(code, 0, "{said}");
    }
}
