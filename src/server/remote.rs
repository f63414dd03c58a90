//! A line's messages handed on to an authority elsewhere, over its `/mcp`. Nothing is decided,
//! kept or tried again here.

use super::edge::MAX_BODY;
use super::session::{Headers, Message, bearer, is_unanswered, opens};
use super::stdio::{self, Answers};
use crate::mcp::frame::Frame;
use crate::problem::{Exit, Problem};
use crate::rails::{CaFile, wire};
use crate::secret::Secret;
use bytes::{Bytes, BytesMut};
use http::HeaderValue;
use http::header::CONTENT_TYPE;
use serde_json::{Value, json};
use std::time::Duration;

/// How long the other side may take to be reached, and to answer.
const CONNECT: Duration = Duration::from_secs(10);
const ANSWER: Duration = Duration::from_mins(1);

/// The largest answer that is passed on: a memory, its escapes, and room.
const MAX_ANSWER: usize = 4 * MAX_BODY;

struct Remote {
    http: reqwest::Client,
    url: reqwest::Url,
    headers: Headers,
}

/// Serves a remote authority's `/mcp` over standard input and output until the input ends.
///
/// # Errors
/// When the token is no token, or the pipe breaks. What the other side refuses is an answer.
pub async fn serve(
    url: &str,
    ca: &CaFile,
    token: &Secret<String>,
    stop: impl Future<Output = ()>,
) -> Result<(), Problem> {
    let url = wire::parse_url("--remote", url)?;
    if url.scheme() == "http" && !url.host_str().is_some_and(wire::is_loopback) {
        return Err(Problem::new(
            Exit::Config,
            "agentkeys.serve.plaintext_refused",
            "the token would travel unencrypted to the address after --remote",
            "give its https:// address",
        ));
    }
    let http = wire::client(&url, CONNECT, ca)?;
    let authorization = bearer(token).ok_or_else(stdio::no_token)?;
    let remote = Remote {
        http,
        url,
        headers: Headers::new(authorization),
    };
    let input = tokio::io::BufReader::new(tokio::io::stdin());
    stdio::run(remote, input, tokio::io::stdout(), stop).await
}

impl Answers for Remote {
    async fn answer(&self, message: Message) -> Option<Bytes> {
        let Message { frame, bytes } = message;
        let answered = self.ask(bytes, &frame).await;
        let answer = answered.unwrap_or_else(|trouble| trouble.to_body(&frame.id));
        self.headers.learn(opens(&frame), &answer);
        (!is_unanswered(&frame) && !answer.is_empty()).then_some(answer)
    }
}

impl Remote {
    async fn ask(&self, message: Bytes, frame: &Frame) -> Result<Bytes, Trouble> {
        let json = HeaderValue::from_static("application/json");
        let request = self
            .http
            .post(self.url.clone())
            .headers(self.headers.of(frame))
            .header(CONTENT_TYPE, json)
            .timeout(ANSWER)
            .body(message);
        let unreachable = |e: reqwest::Error| Trouble::unreachable(&e);
        let mut answer = request.send().await.map_err(unreachable)?;
        let status = answer.status();
        let mut body = BytesMut::new();
        while let Some(piece) = answer.chunk().await.map_err(unreachable)? {
            body.extend_from_slice(&piece);
            if body.len() > MAX_ANSWER {
                return Err(Trouble::foreign(502, "its answer is too large"));
            }
        }
        let is_json = || serde_json::from_slice::<Value>(&body).is_ok_and(|v| v.is_object());
        if body.is_empty() && status.is_success() || is_json() {
            // On one line, whatever it was laid out like.
            body.iter_mut()
                .filter(|b| **b == b'\n')
                .for_each(|b| *b = b' ');
            return Ok(body.freeze());
        }
        let what = format!("it answered {status} and not JSON");
        Err(Trouble::foreign(status.as_u16(), &what))
    }
}

/// Why there is no answer of the other side's own.
struct Trouble {
    status: u16,
    code: &'static str,
    message: String,
    fix: &'static str,
}

impl Trouble {
    fn unreachable(error: &reqwest::Error) -> Self {
        Self {
            status: 502,
            code: "agentkeys.remote.unreachable",
            message: wire::chain(error),
            fix: "look at the address after --remote and at the network; the call may have been done",
        }
    }

    fn foreign(status: u16, what: &str) -> Self {
        Self {
            status,
            code: "agentkeys.remote.not_mcp",
            message: format!("the address after --remote does not speak MCP: {what}"),
            fix: "give the address that ends in /mcp, as `agentkeys serve` prints it",
        }
    }

    fn to_body(&self, id: &Value) -> Bytes {
        let data = json!({"code": self.code, "fix": self.fix});
        let error = json!({"code": self.status, "message": self.message, "data": data});
        Bytes::from(json!({"jsonrpc": "2.0", "id": id, "error": error}).to_string())
    }
}
