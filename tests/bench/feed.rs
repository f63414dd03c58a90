//! From a commit to a reader of the audit stream. The clock starts before the call that commits
//! is sent, so every number here is a little more than what it bounds.

use crate::Options;
use crate::get::gets;
use crate::house::{House, NAMESPACES, UNLIMITED, perform};
use crate::load::Line;
use crate::program::Running;
use crate::report::{Report, Target, Times};
use agentkeys::authority::calls::admin::AdminCall;
use agentkeys::folder::Folder;
use serde_json::Value;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

/// Between two events: a reader is to be measured, not a queue.
const PAUSE: Duration = Duration::from_millis(2);

pub(crate) fn measure(options: &Options, house: &House, report: &mut Report) {
    let count = if options.quick { 30 } else { 1_000 };
    let server = Running::agentkeys(options, &house.dir);
    let operator = server.operator.unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let mut seen = subscribe(operator, &house.auditor).await;
        let requests = gets(house, server.address, "application/json");
        let mut line = Line::open(server.address).await;
        let mut times = Vec::new();
        for request in requests.iter().cycle().take(count) {
            let start = Instant::now();
            line.ask(&request.bytes).await;
            line.check(200);
            times.push(arrived(&mut seen, start).await);
            tokio::time::sleep(PAUSE).await;
        }
        tell(report, "feed, the server's own commits", times);
        let folder = Folder::open(&house.dir, UNLIMITED).await.unwrap();
        let mut times = Vec::new();
        for n in 0..count {
            let start = Instant::now();
            let get = AdminCall::MemoryGet {
                actor: house.actors[n % house.actors.len()].clone(),
                namespace: NAMESPACES[n % 4],
                version: None,
            };
            perform(&folder, get).await;
            times.push(arrived(&mut seen, start).await);
            tokio::time::sleep(PAUSE).await;
        }
        tell(report, "feed, another process's commits", times);
    });
}

fn tell(report: &mut Report, name: &str, times: Vec<f64>) {
    let count = times.len();
    let times = Times::new(times);
    let note = format!(
        "{count} events, from before the call is sent; p50 {:.2} ms, max {:.1} ms",
        times.median() / 1e3,
        times.most() / 1e3
    );
    let name = format!("{name}, p99");
    report.add(
        name,
        times.at(0.99) / 1e3,
        "ms",
        Target::AtMost(100.0),
        note,
    );
}

/// The next event, as microseconds since a moment.
async fn arrived(seen: &mut mpsc::UnboundedReceiver<Instant>, start: Instant) -> f64 {
    let wait = tokio::time::timeout(Duration::from_secs(10), seen.recv());
    let at = wait.await.expect("no event came").unwrap();
    at.saturating_duration_since(start).as_secs_f64() * 1e6
}

/// Opens the stream; the moment of each event that arrives.
async fn subscribe(address: SocketAddr, token: &str) -> mpsc::UnboundedReceiver<Instant> {
    stream(address, token, |_, now| Some(now)).await
}

/// Opens the stream; each event that arrives.
pub(crate) async fn events(address: SocketAddr, token: &str) -> mpsc::UnboundedReceiver<Value> {
    stream(address, token, |data, _| serde_json::from_slice(data).ok()).await
}

/// Opens the stream; what `read` makes of each event's data.
async fn stream<T: Send + 'static>(
    address: SocketAddr,
    token: &str,
    read: fn(&[u8], Instant) -> Option<T>,
) -> mpsc::UnboundedReceiver<T> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!(
        "GET /v1/audit/stream HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {token}\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let (tell, seen) = mpsc::unbounded_channel();
    let (opened, open) = tokio::sync::oneshot::channel();
    tokio::spawn(async move {
        let mut opened = Some(opened);
        let mut text = Vec::new();
        while stream.read_buf(&mut text).await.unwrap() > 0 {
            let now = Instant::now();
            let mut rest = 0;
            for (at, _) in text.iter().enumerate().filter(|(_, b)| **b == b'\n') {
                let line = &text[rest..at];
                rest = at + 1;
                if line.starts_with(b": open")
                    && let Some(opened) = opened.take()
                {
                    opened.send(()).unwrap();
                }
                if let Some(told) = line.strip_prefix(b"data: ").and_then(|d| read(d, now))
                    && tell.send(told).is_err()
                {
                    return;
                }
            }
            text.drain(..rest);
        }
    });
    open.await.expect("the stream did not open");
    seen
}
