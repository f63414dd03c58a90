//! The log in its file: what sealing costs, what a proof costs, and how fast all of it is checked. Rows
//! are written straight into the ledger, since a decision each would take longer than all of that.

use crate::Options;
use crate::house::UNLIMITED;
use crate::report::{Report, Target, Times, micros};
use agentkeys::audit::envelope::{Envelope, ResultByte};
use agentkeys::folder::Folder;
use agentkeys::jobs::recheck::{Against, recheck};
use rusqlite::{Connection, params};
use serde_json::json;
use std::path::Path;
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;

/// Rows at which a checkpoint is measured first, and the check's memory.
const SMALL: u64 = 10_000;

/// Rows in all, and in `--quick` runs.
const ROWS: (u64, u64) = (1_000_000, 60_000);

/// Rows of one transaction.
const BATCH: u64 = 10_000;

/// Rows between two checkpoints that are measured.
const BETWEEN: u64 = 1_000;

const PATIENCE: Duration = Duration::from_secs(1);

pub(crate) fn measure(options: &Options, report: &mut Report) {
    let rows = if options.quick { ROWS.1 } else { ROWS.0 };
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("data");
    let runtime = Runtime::new().unwrap();
    let folder = runtime.block_on(Folder::create(&dir, UNLIMITED)).unwrap();
    report.machine(&dir);
    let log = Log {
        ledger: Connection::open(dir.join("ledger.sqlite")).unwrap(),
        folder,
        runtime,
    };
    log.grow(SMALL);
    log.seal();
    let small = log.checkpoints();
    let (_, memory_small) = check(&dir);

    let first = log.size();
    log.grow(rows);
    let added = log.size() - first;
    let start = Instant::now();
    log.seal();
    let rate = added as f64 / start.elapsed().as_secs_f64();
    let note = format!("{added} rows in the file, read, hashed, tiles kept, root signed");
    let target = Target::AtLeast(200_000.0);
    report.add("log: integrate", rate, "leaves/s", target, note);

    let large = log.checkpoints();
    let note = format!(
        "median, {BETWEEN} new rows each; {:.1} ms at {SMALL} to 19000 rows",
        small.median()
    );
    // As much again is noise; growing with the log would be a hundred times.
    let target = Target::AtMost(small.median() * 2.0 + 5.0);
    let name = format!("log: checkpoint at {} rows", log.size());
    report.add(name, large.median(), "ms", target, note);
    log.proofs(report, if options.quick { 200 } else { 5_000 });

    // Once for the pages of the file, as every check after the first finds them.
    check(&dir);
    let runs: Vec<(f64, f64)> = (0..3).map(|_| check(&dir)).collect();
    let rates = Times::new(runs.iter().map(|(rate, _)| *rate).collect());
    let note = format!(
        "median of 3, the file in the page cache; {} rows of 800 bytes or so",
        log.size()
    );
    let target = Target::AtLeast(300_000.0);
    report.add("log: verify --log", rates.median(), "rows/s", target, note);
    let memory = runs.iter().map(|(_, m)| *m).fold(0.0, f64::max);
    let note = format!("above what was there; {memory_small:.1} MiB for {SMALL} rows");
    let target = Target::AtMost(memory_small + 32.0);
    report.add("log: verify --log, memory", memory, "MiB", target, note);
}

struct Log {
    ledger: Connection,
    folder: Folder,
    runtime: Runtime,
}

impl Log {
    fn size(&self) -> u64 {
        let sql = "SELECT next_seq FROM audit_head";
        let size: i64 = self.ledger.query_row(sql, [], |r| r.get(0)).unwrap();
        size.cast_unsigned()
    }

    /// Appends rows until there are so many.
    fn grow(&self, rows: u64) {
        let mut from = self.size();
        while from < rows {
            let until = rows.min(from + BATCH);
            let transaction = self.ledger.unchecked_transaction().unwrap();
            let sql = "INSERT INTO audit_event (seq, event_id, ts_ms, actor_omni, vendor, rail, tool, \
                       verdict, namespace, envelope) \
                       VALUES (?1, ?2, ?3, ?4, 'magiclick', 'xiaozhi', 'agentkeys.memory.get', \
                       'accept', 'travel', ?5)";
            let mut insert = transaction.prepare_cached(sql).unwrap();
            for seq in from..until {
                let (id, ts_ms, actor, envelope) = row(seq);
                insert
                    .execute(params![seq.cast_signed(), id, ts_ms, actor, envelope])
                    .unwrap();
            }
            drop(insert);
            let sql = "UPDATE audit_head SET next_seq = ?1";
            transaction.execute(sql, [until.cast_signed()]).unwrap();
            transaction.commit().unwrap();
            from = until;
        }
    }

    fn seal(&self) {
        let sealed = self.runtime.block_on(self.folder.sealer().seal(PATIENCE));
        assert_eq!(sealed.unwrap().checkpoint.size(), self.size());
    }

    /// Milliseconds of some checkpoints, a few rows each.
    fn checkpoints(&self) -> Times {
        let took = (0..9).map(|_| {
            self.grow(self.size() + BETWEEN);
            let start = Instant::now();
            self.seal();
            micros(start) / 1e3
        });
        Times::new(took.collect())
    }

    fn proofs(&self, report: &mut Report, count: u64) {
        let size = self.size();
        // Places all over the log: the golden ratio's multiples.
        let places = (1..=count).map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15) % size);
        let took = places.map(|place| {
            let start = Instant::now();
            let proof = self.folder.authority.inclusion(place, None);
            let proof = self.runtime.block_on(proof).unwrap();
            let took = micros(start) / 1e3;
            assert_eq!(proof["seq"], place);
            took
        });
        let took = Times::new(took.collect());
        let note = format!(
            "from the file's tiles; p50 {:.3} ms, max {:.3} ms of {count}",
            took.median(),
            took.most()
        );
        let name = format!("log: inclusion proof over {size} rows, p99");
        report.add(name, took.at(0.99), "ms", Target::AtMost(1.0), note);
    }
}

/// A row as a read of a memory leaves it.
fn row(seq: u64) -> (String, i64, [u8; 32], Vec<u8>) {
    let id = format!("evt_{seq:032x}");
    let ts_ms = 1_765_000_000_000 + seq.cast_signed();
    let actor = [0xa7; 32];
    let envelope = Envelope {
        ts_unix: (ts_ms / 1_000).cast_unsigned(),
        actor_omni: actor,
        operator_omni: [0x11; 32],
        op_kind: 11,
        op_body: json!({
            "event_id": id, "ts_ms": ts_ms, "vendor": "magiclick", "rail": "xiaozhi",
            "token_id": "0123456789abcdef", "door": "http", "tool": "agentkeys.memory.get",
            "verdict": "accept", "reason": "default_allow_memory", "status": 200,
            "policy_version": 1, "policy_ids": ["memory-read"], "namespace": "travel",
            "object_key": format!("bots/{}/memory/memory:travel.enc", hex::encode(actor)),
            "version": 1, "content_tag": "5a".repeat(32), "content_length": 41,
            "host_profile": "xiaozhi", "protocol": "2025-06-18",
            "request_id": "00112233445566778899aabbccddeeff", "latency_us": 812,
            "blind": format!("{:032x}", seq.wrapping_mul(0x9e37_79b9_7f4a_7c15)),
        }),
        result: ResultByte::Success,
        intent_text: None,
        intent_commitment: None,
    };
    (id, ts_ms, actor, envelope.encode().unwrap())
}

/// Checks all of it: rows a second, and MiB above what the process had.
fn check(dir: &Path) -> (f64, f64) {
    // Where the kernel lets nobody do this, the peak is that of the whole run.
    let _ = std::fs::write("/proc/self/clear_refs", "5");
    let before = status_mib("VmRSS:");
    let start = Instant::now();
    let mut rows = 0;
    let path = dir.join("ledger.sqlite");
    let verdict = recheck(&path, &Against::default(), |at, _| rows = at).unwrap();
    let rate = rows as f64 / start.elapsed().as_secs_f64();
    assert!(verdict.verified(), "{}", verdict.sentence());
    (rate, (status_mib("VmHWM:") - before).max(0.0))
}

fn status_mib(field: &str) -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with(field));
    let kib = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<f64>().ok());
    kib.unwrap_or(0.0) / 1024.0
}
