//! A log that somebody who owns the machine edits, in every way there is: `audit verify --log` finds
//! each against a checkpoint that was kept elsewhere, and names where.

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

/// Calls over HTTP, and the server's own end.
fn calls(house: House, many: u64) -> House {
    let mut server = Server::over(house, &[("AGENTKEYS_LIMITS_CALLS_PER_SECOND", "0")]);
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

/// Moves entries from a place on by one, to make room or to close a gap.
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

/// What is done to a ledger, the first bad place, and what it is called.
type Case = (
    &'static str,
    Box<dyn FnOnce(&Connection)>,
    u64,
    &'static str,
);

fn case(
    name: &'static str,
    first_bad: u64,
    code: &'static str,
    change: impl FnOnce(&Connection) + 'static,
) -> Case {
    (name, Box::new(change), first_bad, code)
}

fn sql(name: &'static str, first_bad: u64, code: &'static str, text: String) -> Case {
    case(name, first_bad, code, move |c| run(c, &text))
}

fn rows(log: &Log) -> Vec<Case> {
    let (n, k, sealed) = (log.size, log.k, log.sealed);
    let flip = |at: u64| {
        format!(
            "UPDATE audit_event SET envelope = CAST(substr(envelope, 1, 199) || \
             char(1 + (unicode(substr(envelope, 200, 1)) % 100)) || substr(envelope, 201) AS BLOB) \
             WHERE seq = {at}"
        )
    };
    let mut cases = vec![
        sql("byte", 270, "entry_altered", flip(270)),
        sql("byte-first", 0, "entry_altered", flip(0)),
        sql("byte-unsealed", n - 1, "column_altered", flip(n - 1)),
        sql(
            "gone",
            9,
            "entry_missing",
            "DELETE FROM audit_event WHERE seq = 9".into(),
        ),
        sql(
            "gone-first",
            0,
            "entry_missing",
            "DELETE FROM audit_event WHERE seq = 0".into(),
        ),
        sql("gone-all", 0, "truncated", "DELETE FROM audit_event".into()),
        sql(
            "tail",
            n - 2,
            "truncated",
            format!("DELETE FROM audit_event WHERE seq >= {}", n - 2),
        ),
        sql(
            "tail-and-count",
            sealed - 3,
            "truncated",
            format!(
                "DELETE FROM audit_event WHERE seq >= {0}; UPDATE audit_head SET next_seq = {0};
                 UPDATE log_head SET integrated = {0}",
                sealed - 3
            ),
        ),
        case("tail-tree-and-checkpoints", k - 3, "truncated", move |c| {
            let less = k - 3;
            run(
                c,
                &format!(
                    "DELETE FROM audit_event WHERE seq >= {less};
                     UPDATE audit_head SET next_seq = {less};
                     UPDATE log_head SET integrated = {less};
                     DELETE FROM log_checkpoint WHERE size > {less}"
                ),
            );
            rebuild(c);
        }),
        case("swapped", 3, "entry_altered", |c| swap(c, 3, 4)),
        case("swapped-far", 5, "entry_altered", |c| swap(c, 5, 290)),
        sql(
            "swapped-envelopes",
            3,
            "entry_altered",
            "UPDATE audit_event SET envelope = (SELECT envelope FROM audit_event e
                WHERE e.seq = 7 - audit_event.seq) WHERE seq IN (3, 4)"
                .into(),
        ),
        case("moved-up", 20, "entry_altered", move |c| {
            run(c, "UPDATE audit_event SET seq = -7 WHERE seq = 20");
            for seq in 21..=30 {
                run(
                    c,
                    &format!("UPDATE audit_event SET seq = {} WHERE seq = {seq}", seq - 1),
                );
            }
            run(c, "UPDATE audit_event SET seq = 30 WHERE seq = -7");
        }),
        sql(
            "before-the-first",
            0,
            "entry_extra",
            "UPDATE audit_event SET seq = -1 WHERE seq = 3".into(),
        ),
        sql("duplicate", n, "entry_extra", duplicate(3, n)),
        sql(
            "duplicate-and-count",
            n,
            "column_altered",
            format!(
                "{}; UPDATE audit_head SET next_seq = {}",
                duplicate(3, n),
                n + 1
            ),
        ),
        sql(
            "fewer-counted",
            sealed,
            "entry_extra",
            format!("UPDATE audit_head SET next_seq = {sealed}"),
        ),
        sql(
            "disguised-as-pruned",
            0,
            "entry_missing",
            "DELETE FROM audit_event WHERE seq < 12; UPDATE log_head SET pruned = 12, swept = 12"
                .into(),
        ),
        sql(
            "more-swept-than-pruned",
            0,
            "head_damaged",
            "UPDATE log_head SET swept = 5".into(),
        ),
    ];
    let columns = [
        ("event_id", "'evt_x'"),
        ("ts_ms", "ts_ms + 1"),
        ("actor_omni", "NULL"),
        ("vendor", "'folotoy'"),
        ("rail", "NULL"),
        ("tool", "'agentkeys.memory.put'"),
        ("verdict", "'deny'"),
        ("namespace", "'family'"),
    ];
    for (column, value) in columns {
        let text = format!("UPDATE audit_event SET {column} = {value} WHERE seq = 301");
        cases.push(sql(column, 301, "column_altered", text));
    }
    cases
}

fn duplicate(place: u64, at: u64) -> String {
    format!(
        "INSERT INTO audit_event SELECT {at}, event_id || 'x', ts_ms, actor_omni, vendor, rail, tool, \
         verdict, namespace, envelope FROM audit_event WHERE seq = {place}"
    )
}

fn trees(log: &Log) -> Vec<Case> {
    let (k, sealed) = (log.k, log.sealed);
    let (before_k, before_sealed) = (log.signed_before(k - 1), log.signed_before(sealed - 1));
    let byte = |level: u8, place: u64, hash: u64| {
        format!(
            "UPDATE log_tile SET hashes = CAST(substr(hashes, 1, {0}) || x'0102' || \
             substr(hashes, {0} + 3) AS BLOB) WHERE level = {level} AND place = {place}",
            hash * 32 + 5
        )
    };
    let own = log.key();
    let name = own.verifier().name().to_owned();
    let stranger = LogKey::from_seed(&name, &Secret::new([9; 32])).unwrap();
    let between = k + 2;
    vec![
        sql("tile", 17, "tree_damaged", byte(0, 0, 17)),
        sql("tile-second", 256 + 40, "tree_damaged", byte(0, 1, 40)),
        sql("tile-unfinished-top", 0, "tree_damaged", byte(1, 0, 0)),
        sql(
            "tile-gone",
            256,
            "tree_damaged",
            "DELETE FROM log_tile WHERE level = 0 AND place = 1".into(),
        ),
        sql(
            "tiles-gone",
            0,
            "tree_damaged",
            "DELETE FROM log_tile".into(),
        ),
        sql(
            "tile-extra",
            sealed,
            "tree_damaged",
            "INSERT INTO log_tile VALUES (3, 0, zeroblob(32))".into(),
        ),
        sql(
            "tree-shorter",
            sealed - 4,
            "tree_damaged",
            format!("UPDATE log_head SET integrated = {}", sealed - 4),
        ),
        sql(
            "checkpoint-byte",
            before_k,
            "checkpoint_damaged",
            format!(
                "UPDATE log_checkpoint SET note = replace(note, '{k}', '{}') WHERE size = {k}",
                k - 1
            ),
        ),
        sql(
            "checkpoint-gone",
            before_k,
            "checkpoint_missing",
            format!("DELETE FROM log_checkpoint WHERE size = {k}"),
        ),
        sql(
            "checkpoint-elsewhere",
            before_sealed,
            "checkpoint_damaged",
            format!("UPDATE log_checkpoint SET size = size - 1 WHERE size = {sealed}"),
        ),
        case(
            "checkpoint-by-stranger",
            before_sealed,
            "checkpoint_by_stranger",
            move |c| {
                let note = signed(&name, sealed, root(c, sealed), &stranger);
                c.execute(
                    "UPDATE log_checkpoint SET note = ?1 WHERE size = ?2",
                    params![note, sealed.cast_signed()],
                )
                .unwrap();
            },
        ),
        case(
            "checkpoints-contradict",
            k,
            "checkpoints_contradict",
            move |c| {
                let note = signed(own.verifier().name(), between, [5; 32], &own);
                let sql = "INSERT INTO log_checkpoint VALUES (1, ?1, ?2, 0)";
                c.execute(sql, params![between.cast_signed(), note])
                    .unwrap();
            },
        ),
    ]
}

fn forks(log: &Log) -> Vec<Case> {
    let k = log.k;
    let (early, before_k) = (log.signed_before(100), log.signed_before(k - 1));
    let [a, b, c, d, e] = [(); 5].map(|()| log.key());
    vec![
        case("tree-with-row", early, "forked", |c| {
            rewrite(c, 100, another_reason);
            rebuild(c);
        }),
        case(
            "fork-by-intruder",
            early,
            "checkpoints_contradict",
            move |c| {
                rewrite(c, 100, another_reason);
                let key = intruder(c, &a);
                sign_again(c, 100, &key);
            },
        ),
        case(
            "fork-by-the-operator",
            before_k,
            "checkpoints_contradict",
            move |c| {
                rewrite(c, k - 1, another_reason);
                sign_again(c, k - 1, &b);
            },
        ),
        case(
            "fork-later-by-a-stranger",
            k,
            "checkpoint_by_stranger",
            move |c_| {
                rewrite(c_, k + 5, another_reason);
                let key = LogKey::from_seed(c.verifier().name(), &Secret::new([66; 32])).unwrap();
                sign_again(c_, k, &key);
            },
        ),
        case("back-dated", k + 5, "back_dated", move |c| {
            rewrite(c, k + 5, |e| {
                let ts = e.op_body["ts_ms"].as_i64().unwrap() - 2 * 3_600_000;
                e.op_body["ts_ms"] = json!(ts);
            });
            sign_again(c, k, &d);
        }),
        case("inserted", k + 1, "entry_malformed", move |c| {
            let sql = "UPDATE audit_event SET envelope = x'00' WHERE seq = ?1";
            c.execute(sql, [(k + 1).cast_signed()]).unwrap();
            sign_again(c, k, &e);
        }),
    ]
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
    let cases = rows(&log).into_iter().chain(trees(&log)).chain(forks(&log));
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
    let pruned = log
        .house
        .ok(&["audit", "prune", "--before", "2100-01-01T00:00:00Z"]);
    let gone = pruned["first_kept"].as_u64().unwrap();
    assert!(gone >= log.size);
    let whole = log.changed("pruned", |_| ());
    let (code, said) = verify(&whole, &["--since", since]);
    assert_eq!((code, &said["hashes_only"]), (0, &json!(gone)), "{said}");
    log.house.ok(&["memory", "get", "O_kevin_001", "travel"]);
    log.house.ok(&["audit", "checkpoint"]);
    let tile = "UPDATE log_tile SET hashes = CAST(x'00' || substr(hashes, 2) AS BLOB)
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

/// The findings of `audit fsck` that are not ok, and its exit code.
fn fsck(log: &Log) -> (i32, Vec<(String, String)>) {
    let output = log.house.run(&["audit", "fsck"]);
    let said: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|e| panic!("{e}: {}", text(&output.stderr)));
    let findings = said["findings"].as_array().unwrap().iter();
    let findings = findings.map(|f| {
        let word = |key: &str| f[key].as_str().unwrap().to_owned();
        (word("id"), word("status"))
    });
    let row = log.house.events(&["--tool", "audit.check"]);
    let row = row.last().unwrap();
    assert_eq!(
        (&row["op_kind"], &row["by"]),
        (&json!(134), &json!("operator"))
    );
    let told = row["detail"]["findings"].as_array().unwrap().len();
    assert_eq!(told, findings.len());
    (
        output.status.code().unwrap(),
        findings.filter(|(_, status)| status != "ok").collect(),
    )
}

fn repaired(id: &str) -> (i32, Vec<(String, String)>) {
    (0, vec![(id.to_owned(), "repaired".to_owned())])
}

#[test]
fn what_can_be_repaired_is_and_leaves_a_row() {
    let log = Log::new();
    let dir = log.house.dir();
    let since = log.kept.to_str().unwrap();
    let holds = || {
        let (code, said) = verify(&dir, &["--since", since]);
        assert_eq!(code, 0, "{said}");
    };
    assert_eq!(fsck(&log), (0, vec![]));
    let damages = [
        "DELETE FROM log_tile",
        "DELETE FROM log_tile WHERE level = 0 AND place = 0",
        "UPDATE log_tile SET hashes = CAST(x'0000' || substr(hashes, 3) AS BLOB) WHERE place = 1",
        "UPDATE log_tile SET hashes = CAST(x'0000' || substr(hashes, 3) AS BLOB) WHERE level = 1",
        "INSERT INTO log_tile VALUES (0, 9, zeroblob(64)), (4, 0, zeroblob(32))",
        "UPDATE log_head SET integrated = 7",
    ];
    for damage in damages {
        run(&open(&dir), damage);
        assert_eq!(verify(&dir, &[]).0, 7, "{damage}");
        assert_eq!(fsck(&log), repaired("tree"), "{damage}");
        holds();
    }
    run(
        &open(&dir),
        "UPDATE log_head SET lease_holder = 'gone', lease_until_ms = 1",
    );
    assert_eq!(fsck(&log), repaired("lease"));
    std::fs::remove_file(dir.join("checkpoint")).unwrap();
    assert_eq!(fsck(&log), repaired("kept"));
    assert!(dir.join("checkpoint").exists());
    // The tree was built and the process ended before it was signed.
    log.house.ok(&["memory", "get", "O_kevin_001", "travel"]);
    let before = std::fs::read(dir.join("checkpoint")).unwrap();
    log.house.ok(&["audit", "checkpoint"]);
    run(
        &open(&dir),
        "DELETE FROM log_checkpoint WHERE size = (SELECT max(size) FROM log_checkpoint)",
    );
    std::fs::write(dir.join("checkpoint"), before).unwrap();
    assert_eq!(fsck(&log), repaired("batch"));
    holds();
    log.house
        .ok(&["audit", "prune", "--before", "2100-01-01T00:00:00Z"]);
    let rows = "INSERT INTO audit_event (seq, event_id, ts_ms, tool, verdict, envelope)
                SELECT 5, 'evt_5', 0, 't', 'deny', x'00'; UPDATE log_head SET swept = 5";
    run(&open(&dir), rows);
    let unswept = |c: &Connection| number(c, "SELECT count(*) FROM audit_event WHERE seq = 5");
    assert_eq!(unswept(&open(&dir)), 1);
    let (_, findings) = fsck(&log);
    assert!(
        findings.contains(&("pruned".to_owned(), "repaired".to_owned())),
        "{findings:?}"
    );
    assert_eq!(unswept(&open(&dir)), 0);
    // A tree whose bodies are gone is made again as far as it proves itself.
    run(&open(&dir), "DELETE FROM log_tile WHERE level > 0");
    assert_eq!(fsck(&log), repaired("tree"));
    holds();
    run(
        &open(&dir),
        "DELETE FROM log_tile WHERE level = 0 AND place = 0",
    );
    let (code, findings) = fsck(&log);
    assert_eq!(code, 7);
    let bad = |id: &str| (id.to_owned(), "bad".to_owned());
    assert_eq!(findings, [bad("tree"), bad("entries")]);
}

/// A damaged tree is no reason to close the log's name, and altered entries are not signed over.
#[test]
fn what_is_not_proved_is_not_repaired() {
    let log = Log::new();
    let dir = log.house.dir();
    run(
        &open(&dir),
        "UPDATE log_tile SET hashes = CAST(x'00' || substr(hashes, 2) AS BLOB)",
    );
    let output = log.house.run(&["audit", "checkpoint"]);
    assert_eq!(output.status.code(), Some(7), "{}", text(&output.stdout));
    // What waited was added to the tree before that was seen.
    let was = |id: &str| (id.to_owned(), "repaired".to_owned());
    assert_eq!(fsck(&log), (0, vec![was("tree"), was("batch")]));
    rewrite(&open(&dir), 100, another_reason);
    let (code, findings) = fsck(&log);
    assert_eq!(
        (code, findings),
        (7, vec![("entries".to_owned(), "bad".to_owned())])
    );
    rebuild(&open(&dir));
    let (code, findings) = fsck(&log);
    assert_eq!(
        (code, findings),
        (7, vec![("entries".to_owned(), "bad".to_owned())])
    );
}

#[test]
fn a_server_that_is_killed_while_it_seals_leaves_a_log_that_opens_and_verifies() {
    let mut house = House::demo();
    let kept = house.temp.path().join("kept.checkpoint");
    for round in 0..6_u64 {
        let settings = [("AGENTKEYS_AUDIT_BATCH_SECONDS", "1")];
        let mut server = Server::over(house, &settings);
        let host = server.host("magiclick");
        for _ in 0..round * 20 {
            host.structured("agentkeys.memory.get", json!({"namespace": "travel"}));
        }
        server.child.kill().unwrap();
        server.child.wait().unwrap();
        let empty = House {
            temp: tempfile::tempdir().unwrap(),
            init: Value::Null,
        };
        house = std::mem::replace(&mut server.house, empty);
        house.ok(&["audit", "checkpoint"]);
        let since: &[&str] = match round {
            0 => &[],
            _ => &["--since", kept.to_str().unwrap()],
        };
        let (code, said) = verify(&house.dir(), since);
        assert_eq!(code, 0, "{said}");
        house.ok(&["audit", "checkpoint", "--out", kept.to_str().unwrap()]);
    }
}

#[test]
fn a_bundle_with_any_byte_changed_is_refused() {
    let house = House::demo();
    let event = house.events(&[])[0]["event_id"].clone();
    let file = house.temp.path().join("event.proof");
    let words = [
        "audit",
        "prove",
        event.as_str().unwrap(),
        "--out",
        file.to_str().unwrap(),
    ];
    house.ok(&words);
    let bytes = std::fs::read(&file).unwrap();
    let altered: Vec<PathBuf> = (0..bytes.len())
        .map(|at| {
            let mut bytes = bytes.clone();
            bytes[at] ^= 1;
            let path = house.temp.path().join(format!("{at}.proof"));
            std::fs::write(&path, bytes).unwrap();
            path
        })
        .collect();
    let good = [file];
    for (files, code) in [(&good[..], 0), (&altered[..], 7)] {
        for files in files.chunks(500) {
            let words = files.iter().map(|f| f.to_str().unwrap());
            let words: Vec<&str> = ["audit", "verify"].into_iter().chain(words).collect();
            let output = house.run(&words);
            assert_eq!(output.status.code(), Some(code));
            let said: Value = serde_json::from_slice(&output.stdout).unwrap();
            if code != 0 {
                let each = said["files"].as_array().unwrap();
                assert!(each.iter().all(|file| file["verified"] == false));
            }
        }
    }
}
