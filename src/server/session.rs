//! A connection over which whole messages come and go: standard input and output, or a WebSocket.
//! Who speaks was settled by its token; that token and what it may do are read again for each
//! message.

use super::edge::MAX_BODY;
use super::exchange::{Came, Exchange};
use crate::authority::Authority;
use crate::authority::principal::Principal;
use crate::authority::refusal::Cause;
use crate::authority::words::Door;
use crate::mcp::frame::Frame;
use crate::secret::Secret;
use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, HOST};
use http::{HeaderMap, HeaderValue, Request};
use http_body_util::BodyExt as _;
use parking_lot::Mutex;
use serde_json::Value;
use std::sync::Arc;

/// The first version whose requests repeat method and name in headers (SEP-2243).
const STANDARD_HEADERS: &str = "2026-07-28";

/// A token as the header that carries it; `None` when no header can.
pub(super) fn bearer(token: &Secret<String>) -> Option<HeaderValue> {
    let mut value = HeaderValue::try_from(format!("Bearer {}", token.expose())).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// A message as it came in, read once.
pub(super) struct Message {
    /// What it was read as.
    pub(super) frame: Frame,
    /// Its bytes; of one that is too long, perhaps not all.
    pub(super) bytes: Bytes,
}

impl Message {
    pub(super) fn read(bytes: Bytes) -> Self {
        // A door that is not bounded by the protocol hands over what is too long, to be refused.
        let frame = if bytes.len() > MAX_BODY {
            Frame::default()
        } else {
            Frame::read(&bytes)
        };
        Self { frame, bytes }
    }

    /// Whether it calls a tool, which may take its time while others are answered.
    pub(super) const fn is_call(&self) -> bool {
        self.frame.tool.is_some()
    }
}

/// The headers of a conversation that has none: what an HTTP client would send with each message.
pub(super) struct Headers {
    authorization: HeaderValue,
    /// What the last `initialize` agreed on.
    version: Mutex<Option<HeaderValue>>,
}

impl Headers {
    pub(super) const fn new(authorization: HeaderValue) -> Self {
        Self {
            authorization,
            version: Mutex::new(None),
        }
    }

    /// Those of a message.
    pub(super) fn of(&self, frame: &Frame) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, self.authorization.clone());
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        if opens(frame) {
            return headers;
        }
        let named = frame.protocol.as_deref();
        let version = match named {
            Some(version) => HeaderValue::try_from(version).ok(),
            None => self.version.lock().clone(),
        };
        if let Some(version) = version {
            headers.insert("mcp-protocol-version", version);
        }
        if named.is_some_and(|v| v >= STANDARD_HEADERS) {
            for (name, word) in [
                ("mcp-method", Some(&frame.method)),
                ("mcp-name", frame.tool.as_ref()),
            ] {
                if let Some(value) = word.and_then(|w| HeaderValue::try_from(w).ok()) {
                    headers.insert(name, value);
                }
            }
        }
        headers
    }

    /// Learns from an answer which version was agreed on.
    pub(super) fn learn(&self, frame_opens: bool, answer: &[u8]) {
        if !frame_opens {
            return;
        }
        let answer: Value = serde_json::from_slice(answer).unwrap_or_default();
        let version = answer.pointer("/result/protocolVersion");
        let version = version.and_then(Value::as_str);
        if let Some(version) = version.and_then(|v| HeaderValue::try_from(v).ok()) {
            *self.version.lock() = Some(version);
        }
    }
}

/// Whether a message opens a conversation, so that those after it speak the version agreed on.
pub(super) fn opens(frame: &Frame) -> bool {
    frame.method == "initialize"
}

/// Whether a message is one that is never answered: it names no id to answer to, or the id of what
/// it answers itself.
pub(super) fn is_unanswered(frame: &Frame) -> bool {
    frame.sound && (frame.id.is_null() || frame.answers)
}

/// A conversation with the authority in this process.
pub(super) struct Session {
    exchange: Arc<Exchange>,
    headers: Headers,
    door: Door,
    source: String,
}

impl Session {
    pub(super) const fn new(
        exchange: Arc<Exchange>,
        authorization: HeaderValue,
        door: Door,
        source: String,
    ) -> Self {
        Self {
            exchange,
            headers: Headers::new(authorization),
            door,
            source,
        }
    }

    /// Whether the token may speak at all, before anything is said; a refusal is on record.
    pub(super) async fn knock(&self, authority: &Authority) -> Result<Principal, Cause> {
        let headers = self.headers.of(&Frame::default());
        let came = self.came();
        super::exchange::knock(authority, &headers, came).await
    }

    fn came(&self) -> Came<'_> {
        Came {
            door: self.door,
            source: &self.source,
            found: None,
        }
    }

    /// Answers a message; nothing when it is one that is never answered.
    pub(super) async fn answer(&self, message: Message) -> Option<Bytes> {
        let Message { frame, bytes } = message;
        let body = if bytes.len() > MAX_BODY {
            Err(Cause::BodyTooLarge)
        } else {
            Ok(bytes)
        };
        let (opens, silent) = (opens(&frame), is_unanswered(&frame));
        let mut parts = Request::new(()).into_parts().0;
        parts.method = http::Method::POST;
        parts.headers = self.headers.of(&frame);
        // The SDK wants one, and there is no name to be wrong about.
        parts
            .headers
            .insert(HOST, HeaderValue::from_static("localhost"));
        let answer = self.exchange.handle(parts, body, frame, self.came()).await;
        // It comes from memory, and cannot fail.
        let answer = answer.into_body().collect().await.ok()?.to_bytes();
        self.headers.learn(opens, &answer);
        (!silent && !answer.is_empty()).then_some(answer)
    }
}
