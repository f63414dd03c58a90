//! One MCP message in, its answer out, whatever carried it: the one layer around rmcp. It lets the
//! authority decide every refusal that carries a status, answers plain tool calls itself, passes
//! the rest to the SDK and closes what that leaves open (`formats/mcp.md`, P2–P7).
//!
//! A door that is not HTTP makes the headers that a request would have had.

use super::edge::{MAX_BODY, respond};
use super::knock::{ACTOR, header};
use crate::authority::Authority;
use crate::authority::admit::{Header, Knock, Turned, Wants};
use crate::authority::ports::Later;
use crate::authority::principal::Principal;
use crate::authority::refusal::Cause;
use crate::authority::words::{Door, HostProfile};
use crate::mcp::frame::Frame;
use crate::mcp::hosts;
use crate::mcp::service::{Face, Left, refusal_result};
use axum::body::Body;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Request, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full};
use rmcp::transport::streamable_http_server::session::never::NeverSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use serde_json::{Map, Value, json};
use std::convert::Infallible;
use std::sync::Arc;

/// Answers what was let through, as far as that is not done here.
type Sdk = dyn Fn(Request<Full<Bytes>>) -> BoxFuture<'static, Response<BoxBody<Bytes, Infallible>>>
    + Send
    + Sync;

/// What a message without a version speaks (MCP 2025-06-18, Protocol Version Header).
const UNNAMED_VERSION: &str = "2025-03-26";

/// What stands behind the doors.
pub struct Behind {
    /// Answers plain tool calls.
    face: Option<Face>,
    /// Everything else of MCP.
    sdk: Box<Sdk>,
    /// Whether clients may open a stream with GET, and end it with DELETE.
    streams: bool,
}

impl Behind {
    /// Our tools.
    pub(super) fn tools(authority: &Arc<Authority>) -> Self {
        let face = Face::new(Arc::clone(authority));
        Self {
            sdk: sdk(face.clone()),
            face: Some(face),
            streams: false,
        }
    }

    /// The tools of the MCP conformance suite, which are no concern of an authority and keep
    /// sessions (`tests/it/conformance`). All that is before them stays as it is.
    #[doc(hidden)]
    pub fn fixture<F>(serve: impl Fn(Request<Full<Bytes>>) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Response<BoxBody<Bytes, Infallible>>> + Send + 'static,
    {
        Self {
            face: None,
            sdk: Box::new(move |request| Box::pin(serve(request))),
            streams: true,
        }
    }
}

/// rmcp's service over our face: stateless, JSON answers. It is not told of a shutdown: it would
/// drop what is being answered, and no answer here lasts.
fn sdk(face: Face) -> Box<Sdk> {
    let config = StreamableHttpServerConfig::default()
        .with_legacy_session_mode(false)
        .with_json_response(true)
        .with_sse_keep_alive(None)
        // Host and Origin are checked here, with a message that names the setting to change.
        .disable_allowed_hosts()
        .disable_allowed_origins()
        .with_max_request_body_bytes(MAX_BODY);
    let service = Arc::new(StreamableHttpService::new(
        move || Ok(face.clone()),
        Arc::new(NeverSessionManager::default()),
        config,
    ));
    Box::new(move |request| {
        let service = Arc::clone(&service);
        Box::pin(async move { service.handle(request).await })
    })
}

/// What a door knows of a message besides its bytes.
#[derive(Clone, Copy)]
pub(super) struct Came<'a> {
    /// The door.
    pub(super) door: Door,
    /// Where it came from.
    pub(super) source: &'a str,
    /// A cause the door found, and what it saw.
    pub(super) found: Option<(Cause, &'a str)>,
}

/// What a row says was asked for by a bearer that has not said anything yet.
pub(super) const CONNECT: &str = "connect";

/// Whether a bearer may speak, before it says anything; a refusal is on record.
pub(super) async fn knock(
    authority: &Authority,
    headers: &HeaderMap,
    came: Came<'_>,
) -> Result<Principal, Cause> {
    let knock = Knock {
        authorization: header(headers, AUTHORIZATION),
        actor: Header::Absent,
        argument: None,
        asked: CONNECT,
        found: came.found.map(|(cause, _)| cause),
        seen: came.found.map(|(_, seen)| seen).filter(|s| !s.is_empty()),
        source: came.source,
        protocol: UNNAMED_VERSION,
        door: came.door,
    };
    let admitted = authority.admit(&knock, Wants::VendorForActor).await;
    admitted.map_err(|turned| turned.refusal.cause)
}

/// Where messages become answers.
pub(super) struct Exchange {
    authority: Arc<Authority>,
    behind: Behind,
}

impl Exchange {
    pub(super) fn new(authority: Arc<Authority>) -> Self {
        let behind = Behind::tools(&authority);
        Self::before(authority, behind)
    }

    pub(super) const fn before(authority: Arc<Authority>, behind: Behind) -> Self {
        Self { authority, behind }
    }

    /// Whether there is anything but messages to ask for.
    pub(super) const fn has_streams(&self) -> bool {
        self.behind.streams
    }

    /// Answers a message. `frame` is what `body` was read as. Boxed, so that its code is not
    /// copied into each door's future.
    pub(super) fn handle<'a>(
        &'a self,
        parts: Parts,
        body: Result<Bytes, Cause>,
        frame: Frame,
        came: Came<'a>,
    ) -> Later<'a, Response> {
        Box::pin(self.exchange(parts, body, frame, came))
    }

    async fn exchange(
        &self,
        parts: Parts,
        body: Result<Bytes, Cause>,
        mut frame: Frame,
        came: Came<'_>,
    ) -> Response {
        let wants_sse = wants_only_sse(&parts.headers);
        let principal = match self.admit(&parts, &body, &frame, came).await {
            Ok(principal) => principal,
            Err(turned) => return carry(&turned, &frame, wants_sse),
        };
        if let Some(face) = &self.behind.face
            && is_plain(&parts.headers)
            && let Some(arguments) = frame.plain.take()
        {
            return answer(face, &frame, arguments, &principal, wants_sse).await;
        }
        let bytes = body.unwrap_or_default();
        self.pass_on(parts, bytes, &frame, principal, wants_sse)
            .await
    }

    async fn admit(
        &self,
        parts: &Parts,
        body: &Result<Bytes, Cause>,
        frame: &Frame,
        came: Came<'_>,
    ) -> Result<Principal, Turned> {
        let broken = match body {
            Err(cause) => Some(*cause),
            Ok(_) => (!frame.sound).then_some(Cause::RequestMalformed),
        };
        let version = parts
            .headers
            .get("mcp-protocol-version")
            .and_then(|v| v.to_str().ok());
        let knock = Knock {
            authorization: header(&parts.headers, AUTHORIZATION),
            actor: header(&parts.headers, ACTOR),
            argument: frame.actor.as_ref(),
            asked: frame.asked(),
            found: came.found.map(|(cause, _)| cause).or(broken),
            seen: came.found.map(|(_, seen)| seen),
            source: came.source,
            protocol: version
                .or(frame.protocol.as_deref())
                .unwrap_or(UNNAMED_VERSION),
            door: came.door,
        };
        self.authority.admit(&knock, Wants::VendorForActor).await
    }

    async fn pass_on(
        &self,
        mut parts: Parts,
        bytes: Bytes,
        frame: &Frame,
        principal: Principal,
        wants_sse: bool,
    ) -> Response {
        let left = Left::default();
        parts.extensions.insert(principal.clone());
        parts.extensions.insert(left.clone());
        // Hosts send all kinds of these; the SDK wants exactly this (P2, P4).
        let accept = HeaderValue::from_static("application/json, text/event-stream");
        parts.headers.insert(ACCEPT, accept);
        parts
            .headers
            .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let answer = (self.behind.sdk)(Request::from_parts(parts, Full::new(bytes))).await;
        if let Some(refusal) = left.take() {
            let profile = Some(principal.frame().profile);
            return carry(&Turned { refusal, profile }, frame, wants_sse);
        }
        let (mut head, body) = answer.into_parts();
        let is_json = head
            .headers
            .get(CONTENT_TYPE)
            .is_some_and(|t| t.as_bytes().starts_with(b"application/json"));
        // What the SDK refused on its own has no row yet; nor has a tool call it did not pass on.
        let uncalled = frame.tool.is_some() && !left.called();
        let refused = head.status == StatusCode::BAD_REQUEST;
        if refused || uncalled || (head.status.is_client_error() && !is_json) {
            let status = head.status.as_u16();
            let noted = self
                .authority
                .note_protocol_refusal(&principal, frame.asked(), status)
                .await;
            if let Err(refusal) = noted {
                let profile = None;
                return carry(&Turned { refusal, profile }, frame, wants_sse);
            }
        }
        let failed = head.status.is_client_error() || head.status.is_server_error();
        if failed && !is_json {
            return plain_error(head.status, body, frame).await;
        }
        if !(wants_sse && is_json && head.status.is_success()) {
            return Response::from_parts(head, Body::new(body));
        }
        let collected = body
            .collect()
            .await
            .map(http_body_util::Collected::to_bytes)
            .unwrap_or_default();
        head.headers.remove(http::header::CONTENT_LENGTH);
        head.headers
            .insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
        Response::from_parts(head, Body::from(as_sse(&collected)))
    }
}

/// Answers a tool call that needs nothing of the SDK.
async fn answer(
    face: &Face,
    frame: &Frame,
    arguments: Map<String, Value>,
    principal: &Principal,
    wants_sse: bool,
) -> Response {
    let name = frame.tool.as_deref().unwrap_or_default();
    match face
        .answer_plain(principal, &frame.id, name, arguments)
        .await
    {
        Ok(message) if wants_sse => {
            ([(CONTENT_TYPE, "text/event-stream")], as_sse(&message)).into_response()
        }
        Ok(message) => ([(CONTENT_TYPE, "application/json")], message).into_response(),
        Err(refusal) => {
            let profile = Some(principal.frame().profile);
            carry(&Turned { refusal, profile }, frame, wants_sse)
        }
    }
}

/// The versions in which a tool call is a request and its answer, and no header repeats either.
const PLAIN_VERSIONS: [&[u8]; 4] = [b"2024-11-05", b"2025-03-26", b"2025-06-18", b"2025-11-25"];

/// Whether the version header leaves nothing for the SDK to check.
fn is_plain(headers: &HeaderMap) -> bool {
    let mut versions = headers.get_all("mcp-protocol-version").iter();
    let known = |v: &HeaderValue| PLAIN_VERSIONS.contains(&v.as_bytes());
    versions.next().is_none_or(known) && versions.next().is_none()
}

/// The SDK's own refusals are plain text; a JSON-RPC client expects an error object (P3).
async fn plain_error<B>(status: StatusCode, body: B, frame: &Frame) -> Response
where
    B: http_body::Body<Data = Bytes>,
{
    let text = body
        .collect()
        .await
        .map(http_body_util::Collected::to_bytes)
        .unwrap_or_default();
    let message = crate::text::clean_to(&String::from_utf8_lossy(&text), 200);
    let data = json!({
        "code": "agentkeys.http.protocol",
        "fix": "speak MCP over streamable HTTP as the version you name says",
    });
    let error = json!({"code": status.as_u16(), "message": message, "data": data});
    let body = json!({"jsonrpc": "2.0", "id": frame.id, "error": error});
    (status, axum::Json(body)).into_response()
}

/// One message as a server-sent event.
fn as_sse(message: &[u8]) -> Vec<u8> {
    [b"event: message\ndata: ", message, b"\n\n"].concat()
}

/// Whether the client can read nothing but an event stream.
fn wants_only_sse(headers: &HeaderMap) -> bool {
    let types = headers
        .get_all(ACCEPT)
        .iter()
        .filter_map(|v| v.to_str().ok());
    let types: Vec<&str> = types
        .flat_map(|v| v.split(','))
        .map(|t| t.split(';').next().unwrap_or_default().trim())
        .collect();
    let json = ["application/json", "application/*", "*/*"];
    types.contains(&"text/event-stream") && !types.iter().any(|t| json.contains(t))
}

/// A refusal on the wire, the way this host can bear it.
fn carry(turned: &Turned, frame: &Frame, wants_sse: bool) -> Response {
    let refusal = &turned.refusal;
    let profile = turned.profile.unwrap_or(HostProfile::Default);
    let in_result = refusal.cause == Cause::ActorMismatch
        && frame.tool.is_some()
        && hosts::profile(profile).refusal_in_result;
    if !in_result {
        return respond(refusal, refusal.to_body(&frame.id));
    }
    let result = refusal_result(profile, refusal);
    let body = json!({"jsonrpc": "2.0", "id": frame.id, "result": result});
    if wants_sse {
        let stream = as_sse(body.to_string().as_bytes());
        return ([(CONTENT_TYPE, "text/event-stream")], stream).into_response();
    }
    axum::Json(body).into_response()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_stream_is_given_only_to_who_reads_nothing_else() {
        let only = |accept: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT, accept.parse().unwrap());
            wants_only_sse(&headers)
        };
        assert!(only("text/event-stream"));
        assert!(!only("application/json, text/event-stream"));
        assert!(!only("text/event-stream, */*;q=0.1"));
        assert!(!only("*/*"));
        assert!(!wants_only_sse(&HeaderMap::new()));
    }
}
