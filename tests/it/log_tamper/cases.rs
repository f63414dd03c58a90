//! What can be done to the file.

use super::{Log, another_reason, intruder, rebuild, rewrite, root, run, sign_again, signed, swap};
use agentkeys::audit::note::LogKey;
use agentkeys::secret::Secret;
use rusqlite::{Connection, params};
use serde_json::json;

/// What is done to a ledger, the first bad place, and what it is called.
pub(super) type Case = (
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

/// What is done to rows.
fn rows(log: &Log) -> Vec<Case> {
    let n = log.size;
    let flip = |at: u64| {
        format!(
            "UPDATE audit_event SET envelope = CAST(substr(envelope, 1, 199) || \
             char(1 + (unicode(substr(envelope, 200, 1)) % 100)) || substr(envelope, 201) AS BLOB) \
             WHERE seq = {at}"
        )
    };
    vec![
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
        // As far as a place can be: nobody may walk to it.
        sql(
            "far",
            n,
            "entry_missing",
            "INSERT INTO audit_event SELECT 4000000000000000000, 'evt_far', ts_ms, actor_omni, \
             vendor, rail, tool, verdict, namespace, envelope FROM audit_event WHERE seq = 3"
                .into(),
        ),
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
    ]
}

/// What is done to the log's end and to the counts.
fn ends(log: &Log) -> Vec<Case> {
    let (n, k, sealed) = (log.size, log.k, log.sealed);
    vec![
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
    ]
}

fn columns() -> Vec<Case> {
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
    let cases = columns.map(|(column, value)| {
        let text = format!("UPDATE audit_event SET {column} = {value} WHERE seq = 301");
        sql(column, 301, "column_altered", text)
    });
    cases.into()
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
    let between = k + 3;
    let before_between = log.signed_before(between);
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
            before_between,
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
    let [first, second, third, fourth, fifth] = [(); 5].map(|()| log.key());
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
                let key = intruder(c, &first);
                sign_again(c, 100, &key);
            },
        ),
        case(
            "fork-by-the-operator",
            before_k,
            "checkpoints_contradict",
            move |c| {
                rewrite(c, k - 1, another_reason);
                sign_again(c, k - 1, &second);
            },
        ),
        case(
            "fork-later-by-a-stranger",
            k,
            "checkpoint_by_stranger",
            move |c| {
                rewrite(c, k + 5, another_reason);
                let key =
                    LogKey::from_seed(third.verifier().name(), &Secret::new([66; 32])).unwrap();
                sign_again(c, k, &key);
            },
        ),
        case("back-dated", k + 5, "back_dated", move |c| {
            rewrite(c, k + 5, |e| {
                let ts = e.op_body["ts_ms"].as_i64().unwrap() - 2 * 3_600_000;
                e.op_body["ts_ms"] = json!(ts);
            });
            sign_again(c, k, &fourth);
        }),
        case("inserted", k + 1, "entry_malformed", move |c| {
            let sql = "UPDATE audit_event SET envelope = x'00' WHERE seq = ?1";
            c.execute(sql, [(k + 1).cast_signed()]).unwrap();
            sign_again(c, k, &fifth);
        }),
    ]
}

/// All of it.
pub(super) fn all(log: &Log) -> impl Iterator<Item = Case> {
    let cases = [rows(log), ends(log), columns(), trees(log), forks(log)];
    cases.into_iter().flatten()
}
