//! A load that is cheap to make: prepared requests over kept connections on one thread, answers
//! parsed as far as is needed to find their end.

use crate::report::{Times, micros};
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// A request as bytes, and what its answer must have in it.
pub(crate) struct Prepared {
    pub(crate) bytes: Vec<u8>,
    pub(crate) expect: Vec<u8>,
}

/// One answer in this many is searched for what it must have in it; the status of each is looked at.
const SEARCHED: u64 = 16;

/// A POST of an MCP message.
pub(crate) fn post(
    address: SocketAddr,
    accept: &str,
    headers: &[(&str, &str)],
    body: &str,
    expect: &str,
) -> Prepared {
    let more = headers
        .iter()
        .fold(String::new(), |mut more, (name, value)| {
            let _ = write!(more, "{name}: {value}\r\n");
            more
        });
    let text = format!(
        "POST /mcp HTTP/1.1\r\nhost: {address}\r\naccept: {accept}\r\ncontent-type: application/json\r\n\
         mcp-protocol-version: 2025-06-18\r\n{more}content-length: {}\r\n\r\n{body}",
        body.len()
    );
    Prepared {
        bytes: text.into_bytes(),
        expect: expect.as_bytes().to_vec(),
    }
}

/// A `tools/call`.
pub(crate) fn tool_call(tool: &str, arguments: &serde_json::Value) -> String {
    serde_json::json!({
        "jsonrpc": "2.0", "id": 1, "method": "tools/call",
        "params": {"name": tool, "arguments": arguments},
    })
    .to_string()
}

/// What a round came to.
pub(crate) struct Round {
    pub(crate) per_second: f64,
    pub(crate) times: Times,
}

/// Runs a round: each connection sends the next request when it has its answer.
pub(crate) fn run(
    address: SocketAddr,
    requests: &'static [Prepared],
    connections: usize,
    seconds: f64,
) -> Round {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let start = Instant::now();
        let end = start + Duration::from_secs_f64(seconds);
        let tasks: Vec<_> = (0..connections)
            .map(|n| tokio::spawn(one(address, requests, n as u64 + 1, end)))
            .collect();
        let mut times = Vec::new();
        for task in tasks {
            times.extend(task.await.unwrap());
        }
        let passed = start.elapsed().as_secs_f64();
        Round {
            per_second: times.len() as f64 / passed,
            times: Times::new(times),
        }
    })
}

async fn one(
    address: SocketAddr,
    requests: &'static [Prepared],
    seed: u64,
    end: Instant,
) -> Vec<f64> {
    let mut line = Line::open(address).await;
    let mut random = Random::new(seed);
    let mut times = Vec::with_capacity(1 << 15);
    while Instant::now() < end {
        let request = &requests[random.below(requests.len())];
        let start = Instant::now();
        line.ask(&request.bytes).await;
        times.push(micros(start));
        line.check(200);
        if (times.len() as u64).is_multiple_of(SEARCHED) {
            line.must_have(&request.expect);
        }
    }
    times
}

/// A kept connection.
pub(crate) struct Line {
    stream: TcpStream,
    answer: Vec<u8>,
}

impl Line {
    pub(crate) async fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self {
            stream,
            answer: Vec::with_capacity(4096),
        }
    }

    /// Sends a request and reads its answer to the end.
    pub(crate) async fn ask(&mut self, request: &[u8]) {
        self.stream.write_all(request).await.unwrap();
        self.answer.clear();
        let mut length = None;
        loop {
            let read = self.stream.read_buf(&mut self.answer).await.unwrap();
            assert!(read > 0, "the connection was closed: {}", self.text());
            length = length.or_else(|| length_of(&self.answer));
            match length {
                Some(Length::Known(n)) if self.answer.len() >= n => return,
                Some(Length::Chunked) if self.answer.ends_with(b"0\r\n\r\n") => return,
                _ => {}
            }
        }
    }

    /// Panics unless the answer has this status.
    pub(crate) fn check(&self, status: u16) {
        let given = self.answer.get(9..12).unwrap_or_default();
        assert_eq!(given, status.to_string().as_bytes(), "{}", self.text());
    }

    fn must_have(&self, expected: &[u8]) {
        let found = self.answer.windows(expected.len()).any(|w| w == expected);
        assert!(found, "{}", self.text());
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.answer).into_owned()
    }
}

#[derive(Clone, Copy)]
enum Length {
    /// Of head and body together.
    Known(usize),
    Chunked,
}

/// How long the answer is, once its head is there.
fn length_of(answer: &[u8]) -> Option<Length> {
    let end = answer.windows(4).position(|w| w == b"\r\n\r\n")? + 4;
    for line in answer[..end].split(|b| *b == b'\n') {
        let Some(colon) = line.iter().position(|b| *b == b':') else {
            continue;
        };
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        if name.eq_ignore_ascii_case(b"content-length") {
            let body: usize = std::str::from_utf8(value).ok()?.parse().ok()?;
            return Some(Length::Known(end + body));
        }
        if name.eq_ignore_ascii_case(b"transfer-encoding") {
            return Some(Length::Chunked);
        }
    }
    Some(Length::Known(end))
}

/// Numbers without a pattern that the servers could profit from (xorshift64*).
pub(crate) struct Random(u64);

impl Random {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    #[allow(clippy::cast_possible_truncation)]
    pub(crate) const fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize % n
    }
}
