//! The live feed: at once, resumable, ended with its token, blanked for viewers.

use super::support::{House, Server, wait};
use futures_util::StreamExt as _;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// Reads events of a stream as they come.
struct Reader {
    body: futures_util::stream::BoxStream<'static, reqwest::Result<bytes::Bytes>>,
    rest: String,
}

impl Reader {
    fn open(server: &Server, token: &str, query: &str, last: Option<u64>) -> Self {
        let url = format!("{}/v1/audit/stream{query}", server.base);
        let mut request = server.http.get(url).bearer_auth(token);
        if let Some(seq) = last {
            request = request.header("last-event-id", seq);
        }
        let response = wait(request.send()).unwrap();
        assert_eq!(response.status(), 200);
        let mut reader = Self {
            body: response.bytes_stream().boxed(),
            rest: String::new(),
        };
        assert_eq!(reader.frame().as_deref(), Some(": open"));
        reader
    }

    /// The next frame; none when the stream ended.
    fn frame(&mut self) -> Option<String> {
        loop {
            if let Some((frame, rest)) = self.rest.split_once("\n\n") {
                let frame = frame.to_owned();
                self.rest = rest.to_owned();
                return Some(frame);
            }
            let chunk = wait(tokio_timeout(self.body.next()))?;
            let Ok(bytes) = chunk else { return None };
            self.rest.push_str(std::str::from_utf8(&bytes).unwrap());
        }
    }

    fn event(&mut self) -> Option<(u64, Value)> {
        loop {
            let frame = self.frame()?;
            if frame.starts_with(':') {
                continue;
            }
            let mut lines = frame.lines();
            let id = lines.next()?.strip_prefix("id: ")?.parse().ok()?;
            assert_eq!(lines.next(), Some("event: audit"));
            let data = lines.next()?.strip_prefix("data: ")?;
            return Some((id, serde_json::from_str(data).unwrap()));
        }
    }
}

async fn tokio_timeout<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), future)
        .await
        .expect("the feed went silent")
}

#[test]
fn the_feed_is_resumed_without_a_gap_or_a_repeat() {
    let server = Server::demo();
    let token = server.reader("auditor", &[]);
    let mut first = Reader::open(&server, &token, "", None);
    let host = server.host("folotoy");
    host.call("agentkeys_identity_whoami", json!({}));
    let (seq, event) = first.event().unwrap();
    assert_eq!(
        (event["tool"].as_str(), event["seq"].as_u64()),
        (Some("agentkeys.identity.whoami"), Some(seq))
    );
    drop(first);
    for _ in 0..3 {
        host.call("agentkeys_identity_whoami", json!({}));
    }
    let mut second = Reader::open(
        &server,
        &token,
        "?tool=agentkeys.identity.whoami",
        Some(seq),
    );
    let seqs: Vec<_> = (0..3).map(|_| second.event().unwrap().0).collect();
    assert_eq!(seqs, [seq + 1, seq + 2, seq + 3]);
}

/// The answer to opening a feed, whatever it is.
fn knock(server: &Server, token: &str, query: &str, last: Option<&str>) -> reqwest::Response {
    let url = format!("{}/v1/audit/stream{query}", server.base);
    let mut request = server.http.get(url).bearer_auth(token);
    if let Some(last) = last {
        request = request.header("last-event-id", last);
    }
    wait(request.send()).unwrap()
}

/// The processor time a process has used, in clock ticks of 10 ms.
#[cfg(target_os = "linux")]
fn ticks(pid: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<_> = stat.rsplit(')').next().unwrap().split(' ').collect();
    fields[12].parse::<u64>().unwrap() + fields[13].parse::<u64>().unwrap()
}

#[cfg(target_os = "linux")]
#[test]
fn a_feed_that_matches_nothing_looks_at_each_event_once() {
    let house = House::demo();
    let ledger = rusqlite::Connection::open(house.dir().join("ledger.sqlite")).unwrap();
    let many = "INSERT INTO audit_event
         SELECT h.next_seq + n.value, 'evt_' || n.value, 0, NULL, NULL, NULL, 'filler', 'deny', NULL,
                zeroblob(200)
         FROM audit_head h, (WITH RECURSIVE c(value) AS
              (SELECT 0 UNION ALL SELECT value + 1 FROM c WHERE value < 199999)
              SELECT value FROM c) n;
         UPDATE audit_head SET next_seq = next_seq + 200000";
    ledger.execute_batch(many).unwrap();
    drop(ledger);
    let server = Server::over(house, &[("AGENTKEYS_LIMITS_CALLS_PER_SECOND", "0")]);
    let token = server.reader("auditor", &[]);
    let feeds: Vec<_> = (0..4)
        .map(|_| Reader::open(&server, &token, "?tool=nothing&from_seq=0", None))
        .collect();
    let host = server.host("folotoy");
    let work = || {
        for _ in 0..30 {
            host.call("agentkeys_identity_whoami", json!({}));
            std::thread::sleep(Duration::from_millis(25));
        }
    };
    // The first look, at all there is.
    std::thread::sleep(Duration::from_secs(1));
    work();
    let before = ticks(server.child.id());
    work();
    let watched = ticks(server.child.id()) - before;
    drop(feeds);
    std::thread::sleep(Duration::from_secs(1));
    let before = ticks(server.child.id());
    work();
    let alone = ticks(server.child.id()) - before;
    assert!(watched < alone + 100, "{watched} {alone}");
}

#[test]
fn what_is_committed_reaches_a_reader_at_once() {
    let server = Server::over(House::demo(), &[("AGENTKEYS_LIMITS_CALLS_PER_SECOND", "0")]);
    let token = server.reader("auditor", &[]);
    let mut feed = Reader::open(&server, &token, "?tool=agentkeys.identity.whoami", None);
    let host = server.host("folotoy");
    let (mut waits, mut paces): (Vec<_>, Vec<_>) = (0..50)
        .map(|_| {
            host.call("agentkeys_identity_whoami", json!({}));
            let committed = Instant::now();
            feed.event().unwrap();
            (committed.elapsed(), server.pace())
        })
        .unzip();
    waits.sort_unstable();
    paces.sort_unstable();
    // Nearly all, and at the machine's pace: other tests have it at the same time.
    let most = Duration::from_millis(100) + 3 * paces[44];
    assert!(waits[44] < most, "{waits:?} {paces:?}");
}

#[test]
fn open_feeds_are_bounded_on_record_and_a_closed_one_makes_room() {
    let server = Server::demo();
    let token = server.reader("auditor", &[]);
    let mut feeds: Vec<_> = (0..4)
        .map(|_| Reader::open(&server, &token, "?tool=nothing", None))
        .collect();
    let fifth = knock(&server, &token, "?tool=nothing", None);
    assert_eq!(fifth.status(), 429);
    assert!(fifth.headers().contains_key("retry-after"));
    let body: Value = wait(fifth.json()).unwrap();
    assert_eq!(body["error"]["data"]["code"], "agentkeys.http.rate_limited");
    let row = server.house.events(&["--tool", "audit.read"]);
    let row = row.iter().rfind(|r| r["status"] == 429).unwrap();
    assert_eq!(
        (&row["reason"], &row["by"]),
        (&json!("rate_limited"), &json!("auditor"))
    );
    let other = server.reader("auditor", &[]);
    drop(Reader::open(&server, &other, "", None));
    feeds.pop();
    let since = Instant::now();
    while knock(&server, &token, "?tool=nothing", None).status() != 200 {
        assert!(since.elapsed() < Duration::from_secs(15));
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn an_id_that_cannot_be_resumed_from_is_refused_on_record() {
    let server = Server::demo();
    let token = server.reader("auditor", &[]);
    for id in ["x", "-1", "1.5", "18446744073709551616", "1,2", "火"] {
        let reply = knock(&server, &token, "", Some(id));
        assert_eq!(reply.status(), 400, "{id}");
    }
    let rows = server.house.events(&["--tool", "audit.read"]);
    let refused = rows.iter().filter(|r| r["status"] == 400);
    assert_eq!(
        refused
            .clone()
            .filter(|r| r["reason"] == "request_malformed" && r["by"] == "auditor")
            .count(),
        6
    );
    // The largest there is: nothing comes after it, and nothing breaks.
    let mut last = Reader::open(&server, &token, "", Some(u64::MAX));
    server
        .host("folotoy")
        .call("agentkeys_identity_whoami", json!({}));
    let more =
        wait(async { tokio::time::timeout(Duration::from_millis(500), last.body.next()).await });
    assert!(more.is_err());
    assert_eq!(knock(&server, &token, "", Some("")).status(), 200);
}

#[test]
fn next_seq_never_skips_an_event() {
    let server = Server::over(House::demo(), &[("AGENTKEYS_LIMITS_CALLS_PER_SECOND", "0")]);
    let token = server.reader("auditor", &[]);
    let page = |query: &str| {
        let url = format!("{}/v1/audit/events?{query}", server.base);
        super::support::send(server.http.get(url).bearer_auth(&token)).json()
    };
    let end = |page: &Value| page["next_seq"].as_u64().unwrap();
    // A page of nothing moves on: its reader need not look at the same events again.
    let nothing = page("tool=nothing&from_seq=0");
    assert_eq!(nothing["events"], json!([]));
    let size = end(&page("newest=true&limit=1"));
    assert!(end(&nothing) + 1 == size, "{nothing} {size}");
    let cut = page("from_seq=0&limit=2");
    assert_eq!(end(&cut), 2);
    let host = server.host("folotoy");
    let tool = "tool=agentkeys.identity.whoami";
    for _ in 0..40 {
        std::thread::sleep(Duration::from_millis(2));
        let now = jiff::Timestamp::now();
        // A page is read while an event is written: it is in the page or still to come.
        let (page, call) = std::thread::scope(|scope| {
            let call = scope.spawn(|| host.call("agentkeys_identity_whoami", json!({})));
            let page = page(&format!("{tool}&since={now}"));
            (page, call.join().unwrap())
        });
        assert_eq!(call.status, 200);
        let read = page["events"].as_array().unwrap().len();
        let rest = self::rest(&server, &token, &format!("{tool}&from_seq={}", end(&page)));
        assert_eq!(read + rest, 1, "{page}");
    }
}

fn rest(server: &Server, token: &str, query: &str) -> usize {
    let url = format!("{}/v1/audit/events?{query}", server.base);
    let page = super::support::send(server.http.get(url).bearer_auth(token)).json();
    page["events"].as_array().unwrap().len()
}

#[test]
fn what_the_command_line_does_is_in_the_servers_feed() {
    let server = Server::demo();
    let token = server.reader("auditor", &[]);
    let mut feed = Reader::open(&server, &token, "?tool=vendor.create", None);
    server
        .house
        .ok(&["vendor", "create", "late", "--rail", "other"]);
    let (_, event) = server
        .within(Duration::from_secs(1), || feed.event())
        .unwrap();
    assert_eq!(
        (&event["tool"], &event["door"]),
        (&json!("vendor.create"), &json!("cli"))
    );
}

#[test]
fn a_revoked_token_loses_its_open_stream() {
    let server = Server::demo();
    let made = server
        .house
        .ok(&["operator", "token", "create", "--role", "auditor"]);
    let mut feed = Reader::open(
        &server,
        made["token"].as_str().unwrap(),
        "?tool=nothing",
        None,
    );
    server.house.ok(&[
        "operator",
        "token",
        "revoke",
        made["token_id"].as_str().unwrap(),
    ]);
    server.within(Duration::from_secs(1), || assert!(feed.event().is_none()));
}

/// Whether a name is anybody's is told to nobody who may not know: not by code, not by row, and not by
/// what is counted against whom.
#[test]
fn a_name_that_nobody_has_is_refused_as_one_out_of_reach() {
    let limits = [
        ("AGENTKEYS_LIMITS_CALLS_PER_SECOND", "1"),
        ("AGENTKEYS_LIMITS_BURST", "4"),
    ];
    let server = Server::over(House::demo(), &limits);
    server.house.ok(&["actor", "create", "O_other"]);
    let actor = server.house.actor();
    let viewer = server.reader("viewer", &["--actor", &actor, "--namespaces", "travel"]);
    let ask = |token: &str, name: &str| {
        let url = format!("{}/v1/audit/events?limit=1&actor={name}", server.base);
        let reply = super::support::send(server.http.get(url).bearer_auth(token));
        (reply.status, reply.code())
    };
    let vendor = server.house.token("magiclick");
    let [known, unknown] = ["O_kevin_001", "nobody"].map(|name| ask(&vendor, name));
    assert_eq!(known, unknown);
    assert_eq!(known.1, "agentkeys.auth.role_forbidden");
    let [known, unknown] = ["O_other", "nobody"].map(|name| ask(&viewer, name));
    assert_eq!(known, unknown);
    assert_eq!(known.1, "agentkeys.auth.actor_forbidden");
    let rows = server
        .house
        .events(&["--tool", "audit.read", "--verdict", "deny"]);
    let reasons: Vec<_> = rows.iter().map(|r| r["reason"].as_str().unwrap()).collect();
    assert_eq!(reasons[reasons.len() - 2..], ["actor_forbidden"; 2]);
    // Every asking counts, whoever it was for: with the allowance used up all are told so.
    while ask(&viewer, &actor).0 != 429 {}
    for name in ["O_other", "nobody", "O_other", "nobody"] {
        assert_eq!(ask(&viewer, name).0, 429, "{name}");
    }
}

#[test]
fn a_viewer_sees_one_actor_and_only_its_namespaces() {
    let server = Server::demo();
    let host = server.host("folotoy");
    for namespace in ["travel", "family"] {
        host.call("agentkeys_memory_get", json!({"namespace": namespace}));
    }
    server.house.ok(&["actor", "create", "O_other"]);
    let token = server.reader(
        "viewer",
        &["--actor", "O_kevin_001", "--namespaces", "travel"],
    );
    let get = |query: &str| {
        let url = format!("{}/v1/audit/events{query}", server.base);
        super::support::send(server.http.get(url).bearer_auth(&token))
    };
    let page = get("?tool=agentkeys.memory.get").json();
    let events = page["events"].as_array().unwrap();
    assert_eq!(events.len(), 2);
    assert_eq!(events[0]["namespace"], "travel");
    assert!(events[0]["content_tag"].is_string());
    for key in ["namespace", "token_id", "content_tag", "envelope_hash"] {
        assert!(
            events[1].get(key).is_none_or(Value::is_null),
            "{key}: {}",
            events[1]
        );
    }
    assert_eq!(get("?namespace=family").json()["events"], json!([]));
    let all = get("").json();
    let actor = json!(server.house.actor());
    assert!(
        all["events"]
            .as_array()
            .unwrap()
            .iter()
            .all(|e| e["actor_omni"] == actor)
    );
    let other = server.house.ok(&["actor", "show", "O_other"])["actor_omni"]
        .as_str()
        .unwrap()
        .to_owned();
    assert_eq!(get(&format!("?actor={other}")).status, 403);
}

#[test]
fn a_parent_changes_only_its_own_actors() {
    let server = Server::demo();
    server.house.ok(&["actor", "create", "O_other"]);
    let token = server.reader("parent", &["--actor", "O_kevin_001"]);
    let post = |path: &str, body: Value| {
        let url = format!("{}/v1/actors/{path}", server.base);
        super::support::send(server.http.post(url).bearer_auth(&token).json(&body))
    };
    let done = post(
        "O_kevin_001/ungrant",
        json!({"vendor": "magiclick", "scopes": ["payment.*"]}),
    );
    assert_eq!((done.status, &done.json()["scopes"]), (200, &json!([])));
    let said = server.host("magiclick").text(
        "agentkeys.permission.check",
        json!({"scope": "payment.spend", "amount_rmb": 1}),
    );
    assert!(said.starts_with("deny: scope_not_granted"), "{said}");
    let other = post(
        "O_other/grant",
        json!({"vendor": "magiclick", "read": ["travel"]}),
    );
    let nobody = post(
        "O_nobody/grant",
        json!({"vendor": "magiclick", "read": ["travel"]}),
    );
    assert_eq!((other.status, other.body), (404, nobody.body));
    let row = server
        .house
        .events(&["--tool", "actor.ungrant"])
        .pop()
        .unwrap();
    assert_eq!(
        (&row["by"], &row["door"]),
        (&json!("parent"), &json!("http"))
    );
}

/// An address that stays while the server behind it changes.
struct Front {
    address: std::net::SocketAddr,
    behind: std::sync::Arc<std::sync::Mutex<String>>,
}

impl Front {
    fn of(server: &Server) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let behind = std::sync::Arc::new(std::sync::Mutex::new(String::new()));
        let to = std::sync::Arc::clone(&behind);
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let to = to.lock().unwrap().clone();
                // Refused is cut: the server is away.
                if let Ok(server) = std::net::TcpStream::connect(to) {
                    pipe(client.try_clone().unwrap(), server.try_clone().unwrap());
                    pipe(server, client);
                }
            }
        });
        let front = Self { address, behind };
        front.leads_to(server);
        front
    }

    fn leads_nowhere(&self) {
        self.behind.lock().unwrap().clear();
    }

    fn leads_to(&self, server: &Server) {
        server.base["http://".len()..].clone_into(&mut self.behind.lock().unwrap());
    }
}

fn pipe(mut from: std::net::TcpStream, mut to: std::net::TcpStream) {
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut from, &mut to);
        let _ = to.shutdown(std::net::Shutdown::Both);
        let _ = from.shutdown(std::net::Shutdown::Both);
    });
}

#[test]
fn a_tail_elsewhere_goes_through_a_restart_without_a_gap_or_a_repeat() {
    use std::io::{BufRead as _, BufReader};
    let mut server = Server::demo();
    let front = Front::of(&server);
    let token = server.reader("auditor", &[]);
    let file = server.house.keep("auditor.token", &token);
    let url = format!("http://{}", front.address);
    let whoami = "agentkeys.identity.whoami";
    let call = |server: &Server| {
        server
            .host("folotoy")
            .call("agentkeys_identity_whoami", json!({}))
    };
    call(&server);
    let mut tail = super::support::command(&server.house.dir())
        .args([
            "audit",
            "tail",
            "-f",
            "--json",
            "--tool",
            whoami,
            "--url",
            &url,
            "--token-file",
        ])
        .arg(&file)
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(tail.stdout.take().unwrap()).lines();
    let mut seen = Vec::new();
    let mut next = |seen: &mut Vec<u64>| {
        let line = lines.next().expect("the tail ended").unwrap();
        let event: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(event["tool"], whoami);
        seen.push(event["seq"].as_u64().unwrap());
    };
    next(&mut seen);
    for _ in 0..2 {
        call(&server);
        next(&mut seen);
        // Not to the port that was free, which by then may be another test's.
        front.leads_nowhere();
        server = server.again();
        // While nobody listens.
        call(&server);
        front.leads_to(&server);
        next(&mut seen);
    }
    tail.kill().unwrap();
    tail.wait().unwrap();
    let rows = server.house.events(&["--tool", whoami]);
    let rows: Vec<u64> = rows.iter().map(|r| r["seq"].as_u64().unwrap()).collect();
    assert_eq!(seen, rows);

    let run = |args: &[&str]| {
        let base = ["audit", "tail", "--no-follow", "--token-file"];
        let args = [&base[..], &[file.to_str().unwrap()], args].concat();
        server.house.run(&args)
    };
    let code = |args: &[&str]| run(args).status.code();
    let secured = run(&["--url", &url.replacen("http", "https", 1)]);
    let told = super::support::text(&secured.stderr);
    assert_eq!(secured.status.code(), Some(8), "{told}");
    assert!(
        told.contains("this port speaks plain HTTP")
            && told.contains("write http:// before the address"),
        "{told}"
    );
    assert_eq!(code(&["--url", &url]), Some(0));
    assert_eq!(
        code(&["--url", "http://example.com"]),
        Some(3),
        "in the clear"
    );
    let id = server.house.actor();
    for (actor, ends) in [("O_kevin_001", 0), (id.as_str(), 0), ("nobody", 4)] {
        let args = ["--url", &url, "--actor", actor];
        assert_eq!(code(&args), Some(ends), "{actor}");
    }
    let tokens = server.house.ok(&["operator", "token", "list"]);
    let token = tokens["tokens"][0]["token_id"].as_str().unwrap();
    server.house.ok(&["operator", "token", "revoke", token]);
    assert_eq!(code(&["--url", &url]), Some(4));
    // A port that was free a moment ago.
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", nobody.local_addr().unwrap());
    drop(nobody);
    assert_eq!(code(&["--url", &url]), Some(8));
}
