//! Durable before the answer (`design.md`, rule 3), seen from outside: the server runs under
//! `strace`, and in what it asked of the kernel no answer leaves before the sync that covers its
//! row. A `kill -9` cannot show this: what was written is in the kernel's cache all the same.

use super::support::{House, SERVE, command, send};
use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

#[test]
#[ignore = "needs strace"]
fn no_answer_leaves_before_the_sync_that_covers_its_row() {
    let house = House::demo();
    let trace = house.temp.path().join("trace");
    let calls = traced(&house, &trace);
    assert_eq!(calls.len(), 16 + 24);
    let steps = read(&String::from_utf8_lossy(&std::fs::read(&trace).unwrap()));
    assert_eq!(check(&steps, &calls), Vec::<String>::new());

    // The check can fail: the same trace without the syncs of the log …
    let mut without = steps.clone();
    without.retain(|s| !s.syncs("ledger.sqlite-wal>"));
    assert_eq!(check(&without, &calls).len(), calls.len());
    // … with syncs that failed …
    let mut failed = steps.clone();
    for step in &mut failed {
        step.ok &= !step.is_sync();
    }
    assert_eq!(check(&failed, &calls).len(), calls.len());
    // … and with each answer sent when its row was written and not synced yet.
    let mut early = steps;
    for call in &calls {
        let written = early.iter().position(|s| s.logs(&call.event_id)).unwrap();
        let at = early[written].to;
        let answer = early.iter_mut().find(|s| s.answers(&call.id)).unwrap();
        (answer.from, answer.to) = (at, at);
    }
    assert_eq!(check(&early, &calls).len(), calls.len());
}

/// A call that was answered.
#[derive(Debug)]
struct Called {
    /// Its JSON-RPC id, which no other call has.
    id: String,
    /// Its row.
    event_id: String,
    /// Whether it wrote a memory object.
    wrote: bool,
}

/// Runs a server under `strace` and calls it: writes and reads one by one, then eight hosts at the
/// same time, whose rows share commits.
fn traced(house: &House, trace: &Path) -> Vec<Called> {
    let server = Traced::start(house, trace);
    let host = Host {
        url: &server.url,
        token: house.token("magiclick"),
        actor: house.actor(),
    };
    for n in 0..8 {
        let content = format!("a line to be kept, number {n}");
        let put = json!({"namespace": "travel", "content": content});
        host.call("memory.put", &put, &format!("put-{n}"));
        let get = json!({"namespace": "travel"});
        let said = host.call("memory.get", &get, &format!("get-{n}"));
        assert!(said.ends_with(&content), "{said}");
    }
    // These answers name no row, but nobody else called: the rows are in the order of the calls.
    let mut rows = house.events(&["--vendor", "magiclick"]);
    rows.retain(|row| row["door"] == "http");
    assert_eq!(rows.len(), 16);
    let called = |(n, row): (usize, &Value)| {
        let word = if n % 2 == 0 { "put" } else { "get" };
        assert_eq!(row["tool"], format!("agentkeys.memory.{word}"));
        Called {
            id: format!("{word}-{}", n / 2),
            event_id: row["event_id"].as_str().unwrap().to_owned(),
            wrote: word == "put",
        }
    };
    let mut calls: Vec<_> = rows.iter().enumerate().map(called).collect();
    calls.extend(std::thread::scope(|scope| {
        let hosts: Vec<_> = (0..8)
            .map(|n| {
                scope.spawn({
                    let host = &host;
                    move || {
                        (0..3)
                            .map(|m| host.state(&format!("state-{n}-{m}")))
                            .collect::<Vec<_>>()
                    }
                })
            })
            .collect();
        let stated = hosts.into_iter().flat_map(|h| h.join().unwrap());
        stated.collect::<Vec<_>>()
    }));
    server.stop();
    calls
}

struct Host<'s> {
    url: &'s str,
    token: String,
    actor: String,
}

impl Host<'_> {
    /// Calls a tool and returns its text.
    fn call(&self, tool: &str, arguments: &Value, id: &str) -> String {
        let body = json!({
            "jsonrpc": "2.0", "id": id, "method": "tools/call",
            "params": {"name": format!("agentkeys.{tool}"), "arguments": arguments},
        });
        let request = reqwest::Client::new()
            .post(self.url)
            .bearer_auth(&self.token)
            .header("x-agentkeys-actor", &self.actor)
            .header("accept", "application/json, text/event-stream")
            .header("content-type", "application/json");
        let reply = send(request.body(body.to_string()));
        assert_eq!(reply.status, 200, "{}", reply.body);
        let text = &reply.json()["result"]["content"][0]["text"];
        text.as_str().unwrap().to_owned()
    }

    /// Puts a statement on record; the answer names its row.
    fn state(&self, id: &str) -> Called {
        let said = self.call("audit.append", &json!({"event": {"kind": "seen"}}), id);
        let event_id = said.strip_prefix("On record as ").unwrap();
        Called {
            id: id.to_owned(),
            event_id: event_id.to_owned(),
            wrote: false,
        }
    }
}

/// A server whose system calls are written down. Both are killed when dropped.
struct Traced {
    strace: Child,
    pid: String,
    url: String,
}

impl Traced {
    fn start(house: &House, trace: &Path) -> Self {
        let serve = command(&house.dir());
        let mut strace = Command::new("strace");
        strace
            .args(["-f", "-ttt", "-yy", "--strings-in-hex=non-ascii-chars"])
            // A page of the log, and an answer, in full.
            .args(["-s", "8192", "-e"])
            .arg("trace=fsync,fdatasync,write,pwrite64,writev,pwritev,sendto,sendmsg")
            .arg("-o")
            .arg(trace)
            .arg(serve.get_program())
            .args(SERVE)
            .arg("--json")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        for (name, value) in serve.get_envs() {
            match value {
                Some(value) => strace.env(name, value),
                None => strace.env_remove(name),
            };
        }
        let strace = strace.spawn();
        let mut strace = strace.expect("strace is needed: apt-get install strace");
        let mut ready = String::new();
        let mut stdout = BufReader::new(strace.stdout.take().unwrap());
        stdout.read_line(&mut ready).unwrap();
        let ready: Value = serde_json::from_str(&ready).expect("serve does not start in strace");
        Self {
            strace,
            pid: ready["pid"].to_string(),
            url: ready["mcp_url"].as_str().unwrap().to_owned(),
        }
    }

    /// Lets the server drain, and waits until the last line of the trace is written.
    fn stop(mut self) {
        self.signal("-TERM");
        assert!(self.strace.wait().unwrap().success());
    }

    fn signal(&self, signal: &str) {
        let mut kill = Command::new("kill");
        kill.args([signal, &self.pid]).stderr(Stdio::null());
        let _ = kill.status();
    }
}

impl Drop for Traced {
    fn drop(&mut self) {
        // The server first: it would go on without whoever traces it.
        if matches!(self.strace.try_wait(), Ok(None)) {
            self.signal("-KILL");
            let _ = self.strace.wait();
        }
    }
}

/// One system call.
#[derive(Debug, Clone)]
struct Step {
    /// The line of the trace in which it began.
    from: usize,
    /// The line in which it was over.
    to: usize,
    name: String,
    /// What it was called with, as `strace` writes it.
    args: String,
    /// The bytes it wrote.
    data: Vec<u8>,
    ok: bool,
}

impl Step {
    fn is_sync(&self) -> bool {
        matches!(self.name.as_str(), "fsync" | "fdatasync")
    }

    fn syncs(&self, file: &str) -> bool {
        self.is_sync() && self.args.contains(file)
    }

    fn writes_log(&self) -> bool {
        self.name.starts_with("pwrite") && self.args.contains("ledger.sqlite-wal>")
    }

    /// Whether it writes the page with a row to the log.
    fn logs(&self, event_id: &str) -> bool {
        self.writes_log() && has(&self.data, event_id.as_bytes())
    }

    /// Whether it is the header of a frame that ends a transaction: 24 bytes, of which the second
    /// four are the size of the database, or zero in any other frame (SQLite, WAL-mode file format).
    fn ends_commit(&self) -> bool {
        self.writes_log() && self.data.len() == 24 && self.data[4..8] != [0; 4]
    }

    /// Whether it sends the answer to a call.
    fn answers(&self, id: &str) -> bool {
        let mark = format!("\"id\":\"{id}\"");
        self.args.contains("<TCP:[") && has(&self.data, mark.as_bytes())
    }
}

fn has(data: &[u8], part: &[u8]) -> bool {
    data.windows(part.len()).any(|w| w == part)
}

/// What is wrong with a trace: nothing, or a sentence for each call that is.
fn check(steps: &[Step], calls: &[Called]) -> Vec<String> {
    let wrong = |call| covered(steps, call).err();
    calls.iter().filter_map(wrong).collect()
}

fn covered(steps: &[Step], call: &Called) -> Result<(), String> {
    let said = |what: &str| format!("{}: {what}", call.id);
    let answer = steps.iter().find(|s| s.answers(&call.id));
    let answer = answer.ok_or_else(|| said("no answer was sent"))?;
    let row = steps.iter().find(|s| s.logs(&call.event_id));
    let row = row.ok_or_else(|| said("its row was not written"))?;
    // A frame is its header and then its page: the row's own frame may be the last one.
    let in_log: Vec<&Step> = steps.iter().filter(|s| s.writes_log()).collect();
    let at = in_log.iter().position(|s| s.from == row.from).unwrap_or(0);
    let ends = |n: &usize| in_log[*n].ends_commit();
    let end = (at.saturating_sub(1)..in_log.len()).find(ends);
    let end = end.and_then(|n| in_log.get(n + 1));
    let end = end.ok_or_else(|| said("its transaction was not ended"))?;
    let synced = steps
        .iter()
        .any(|s| s.syncs("ledger.sqlite-wal>") && s.ok && s.from > end.to && s.to < answer.from);
    if !synced {
        return Err(said("it was answered before its row was synced"));
    }
    let object = format!("-{}.enc>", call.event_id);
    let kept = |s: &Step| s.syncs(&object) && s.ok && s.to < row.from;
    if call.wrote && !steps.iter().any(kept) {
        return Err(said("its row was written before its object was synced"));
    }
    Ok(())
}

/// The steps of a trace, in the order in which they began.
fn read(trace: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    for (line, text) in trace.lines().enumerate() {
        // `pid time name(args) = result`; one that others interrupt has two lines.
        let mut words = text.splitn(2, ' ');
        let pid = words.next().unwrap_or_default();
        let rest = words.next().unwrap_or_default().trim_start();
        let rest = rest.split_once(' ').map_or("", |(_, rest)| rest);
        let ok = |text: &str| {
            let result = text.rsplit_once(" = ").map_or("", |(_, r)| r);
            result.starts_with(|c: char| c.is_ascii_digit())
        };
        if rest.starts_with("<... ") {
            let own = format!("{pid} ");
            let begun = steps.iter_mut().rev().find(|s| s.name.starts_with(&own));
            if let Some(step) = begun {
                step.name = step.name.split_once(' ').unwrap().1.to_owned();
                (step.to, step.ok) = (line, ok(rest));
            }
            continue;
        }
        let Some((name, args)) = rest.split_once('(') else {
            continue;
        };
        let open = args.ends_with("<unfinished ...>");
        let name = if open {
            format!("{pid} {name}")
        } else {
            name.to_owned()
        };
        steps.push(Step {
            from: line,
            to: if open { usize::MAX } else { line },
            name,
            data: unquote(args),
            args: args.to_owned(),
            ok: !open && ok(args),
        });
    }
    steps
}

/// The bytes of every string in the arguments, one after the other.
fn unquote(args: &str) -> Vec<u8> {
    let mut data = Vec::new();
    let mut bytes = args.bytes();
    let mut inside = false;
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => inside = !inside,
            b'\\' if inside => data.push(match bytes.next() {
                Some(b'n') => b'\n',
                Some(b'r') => b'\r',
                Some(b't') => b'\t',
                Some(b'v') => 0x0b,
                Some(b'f') => 0x0c,
                Some(b'x') => {
                    let mut digit = || bytes.next().and_then(|b| char::from(b).to_digit(16));
                    let (high, low) = (digit().unwrap_or(0), digit().unwrap_or(0));
                    u8::try_from(high * 16 + low).unwrap_or(0)
                }
                Some(other) => other,
                None => break,
            }),
            other if inside => data.push(other),
            _ => {}
        }
    }
    data
}
