//! `/mcp`: the one outer layer around rmcp. Reads the body once, lets the authority decide every
//! refusal that carries a status, and closes what the SDK leaves open (`formats/mcp.md`, P2–P7).

use super::knock::{ACTOR, header};
use super::{App, Options};
use crate::authority::admit::{Knock, Turned, Wants};
use crate::authority::principal::Principal;
use crate::authority::refusal::{Cause, Refusal};
use crate::authority::words::{Door, HostProfile};
use crate::mcp::frame::Frame;
use crate::mcp::hosts;
use crate::mcp::service::{Face, Left, refusal_result};
use axum::body::Body;
use axum::extract::{ConnectInfo, State};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use http::header::{ACCEPT, ALLOW, AUTHORIZATION, CONTENT_TYPE, HOST, ORIGIN};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use rmcp::transport::streamable_http_server::session::never::NeverSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use serde_json::{Map, Value, json};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// The largest body, in bytes.
pub(super) const MAX_BODY: usize = 1024 * 1024;

/// How long a body may take to arrive.
const BODY_DEADLINE: Duration = Duration::from_secs(30);

/// How many bodies may be arriving at once.
pub(super) const MAX_READING: usize = 1024;

/// rmcp's service over our face: stateless, JSON answers.
pub(super) type Mcp = StreamableHttpService<Face, NeverSessionManager>;

/// What a message without a version speaks (MCP 2025-06-18, Protocol Version Header).
const UNNAMED_VERSION: &str = "2025-03-26";

pub(super) fn service(face: Face, shutdown: CancellationToken) -> Mcp {
    let config = StreamableHttpServerConfig::default()
        .with_legacy_session_mode(false)
        .with_json_response(true)
        .with_sse_keep_alive(None)
        // Host and Origin are checked here, with a message that names the setting to change.
        .disable_allowed_hosts()
        .disable_allowed_origins()
        .with_max_request_body_bytes(MAX_BODY)
        .with_cancellation_token(shutdown);
    StreamableHttpService::new(
        move || Ok(face.clone()),
        Arc::new(NeverSessionManager::default()),
        config,
    )
}

/// The names this server answers to (DNS rebinding).
pub(super) struct Names {
    hosts: Vec<String>,
    origins: Vec<String>,
}

impl Names {
    pub(super) fn new(options: &Options) -> Self {
        let mut hosts: Vec<String> = ["localhost", "127.0.0.1", "[::1]"]
            .map(str::to_owned)
            .into();
        hosts.extend(options.allowed_hosts.iter().map(|h| h.to_ascii_lowercase()));
        let mut origins = options.allowed_origins.clone();
        let public = options
            .public_url
            .as_deref()
            .and_then(|u| u.parse::<http::Uri>().ok());
        if let Some(uri) = public
            && let (Some(host), Some(scheme)) = (uri.authority(), uri.scheme_str())
        {
            hosts.push(host.host().to_ascii_lowercase());
            origins.push(format!("{scheme}://{host}"));
        }
        Self { hosts, origins }
    }

    /// The cause and what was seen, when a name is not one of ours.
    fn wrong(&self, parts: &http::request::Parts) -> Option<(Cause, String)> {
        let given = parts.headers.get(HOST).and_then(|h| h.to_str().ok());
        let given = given.or_else(|| parts.uri.authority().map(http::uri::Authority::as_str));
        let given = given.unwrap_or_default();
        if !self.host_allowed(given) {
            return Some((Cause::HostNotAllowed, given.to_owned()));
        }
        let origin = parts.headers.get(ORIGIN)?;
        let origin = origin.to_str().unwrap_or("unreadable");
        (!self.origin_allowed(origin)).then(|| (Cause::OriginNotAllowed, origin.to_owned()))
    }

    fn host_allowed(&self, given: &str) -> bool {
        let Ok(authority) = given.parse::<http::uri::Authority>() else {
            return false;
        };
        let (whole, host) = (
            given.to_ascii_lowercase(),
            authority.host().to_ascii_lowercase(),
        );
        self.hosts.iter().any(|h| *h == host || *h == whole)
    }

    fn origin_allowed(&self, origin: &str) -> bool {
        let same = self.origins.iter().any(|o| o.eq_ignore_ascii_case(origin));
        same || origin.split_once("://").is_some_and(|(scheme, rest)| {
            let host = rest.parse::<http::uri::Authority>();
            let local = |h: &str| ["localhost", "127.0.0.1", "[::1]"].contains(&h);
            ["http", "https"].contains(&scheme) && host.is_ok_and(|a| local(a.host()))
        })
    }
}

/// A body, or why there is none. Nothing is known of the sender yet, so what it may hold is
/// bounded in size, in time, and over all who send at once.
pub(super) async fn read(app: &App, body: Body) -> Result<Bytes, Cause> {
    let Ok(_slot) = app.reading.try_acquire() else {
        return Err(Cause::RateLimited);
    };
    let whole = Limited::new(body, MAX_BODY).collect();
    match tokio::time::timeout(BODY_DEADLINE, whole).await {
        Err(_) => Err(Cause::BodyTimeout),
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => {
            Err(Cause::BodyTooLarge)
        }
        Ok(Err(_)) => Err(Cause::RequestMalformed),
    }
}

pub(super) async fn handle(
    State(app): State<Arc<App>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    request: Request<Body>,
) -> Response {
    if request.method() != Method::POST {
        // No stream of the server's own and no session to end: both are optional (MCP, Transports).
        return (StatusCode::METHOD_NOT_ALLOWED, [(ALLOW, "POST")]).into_response();
    }
    let (parts, body) = request.into_parts();
    let read = read(&app, body).await;
    let mut frame = read.as_deref().map(Frame::read).unwrap_or_default();
    let wants_sse = wants_only_sse(&parts.headers);
    match admit(&app, peer, &parts, &read, &frame).await {
        Ok(principal) if is_plain(&parts.headers) && frame.plain.is_some() => {
            let arguments = frame.plain.take().unwrap_or_default();
            answer(&app, &frame, arguments, &principal, wants_sse).await
        }
        Ok(principal) => {
            let bytes = read.unwrap_or_default();
            pass_on(&app, parts, bytes, &frame, principal, wants_sse).await
        }
        Err(turned) => carry(&turned, &frame, wants_sse),
    }
}

async fn admit(
    app: &App,
    peer: SocketAddr,
    parts: &http::request::Parts,
    read: &Result<Bytes, Cause>,
    frame: &Frame,
) -> Result<Principal, Turned> {
    let named = app.names.wrong(parts);
    let broken = match read {
        Err(cause) => Some(*cause),
        Ok(_) => (!frame.sound).then_some(Cause::RequestMalformed),
    };
    let version = parts
        .headers
        .get("mcp-protocol-version")
        .and_then(|v| v.to_str().ok());
    let source = app.proxies.source(peer, &parts.headers).to_string();
    let knock = Knock {
        authorization: header(&parts.headers, AUTHORIZATION),
        actor: header(&parts.headers, ACTOR),
        argument: frame.actor.as_ref(),
        asked: frame.asked(),
        found: named.as_ref().map(|(cause, _)| *cause).or(broken),
        seen: named.as_ref().map(|(_, seen)| seen.as_str()),
        source: &source,
        protocol: version
            .or(frame.protocol.as_deref())
            .unwrap_or(UNNAMED_VERSION),
        door: Door::Http,
    };
    app.authority.admit(&knock, Wants::VendorForActor).await
}

/// The versions in which a tool call is a request and its answer, and no header repeats either.
const PLAIN_VERSIONS: [&[u8]; 4] = [b"2024-11-05", b"2025-03-26", b"2025-06-18", b"2025-11-25"];

/// Whether the version header leaves nothing for the SDK to check.
fn is_plain(headers: &HeaderMap) -> bool {
    let mut versions = headers.get_all("mcp-protocol-version").iter();
    let known = |v: &HeaderValue| PLAIN_VERSIONS.contains(&v.as_bytes());
    versions.next().is_none_or(known) && versions.next().is_none()
}

/// Answers a tool call that needs nothing of the SDK.
async fn answer(
    app: &App,
    frame: &Frame,
    arguments: Map<String, Value>,
    principal: &Principal,
    wants_sse: bool,
) -> Response {
    let name = frame.tool.as_deref().unwrap_or_default();
    let answered = app.face.answer_plain(principal, &frame.id, name, arguments);
    match answered.await {
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

async fn pass_on(
    app: &App,
    mut parts: http::request::Parts,
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
    let answer = app
        .mcp
        .handle(Request::from_parts(parts, Full::new(bytes)))
        .await;
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
        let noted = app
            .authority
            .note_protocol_refusal(&principal, frame.asked(), status)
            .await;
        if let Err(refusal) = noted {
            let profile = None;
            return carry(&Turned { refusal, profile }, frame, wants_sse);
        }
    }
    if head.status.is_client_error() && !is_json {
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

/// A refusal with its status, its body and the headers its status asks for.
pub(super) fn respond(refusal: &Refusal, body: Value) -> Response {
    let status = StatusCode::from_u16(refusal.cause.status());
    let status = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = (status, axum::Json(body)).into_response();
    let headers = response.headers_mut();
    if status == StatusCode::UNAUTHORIZED {
        // RFC 6750 §3: an error code only when a token was sent.
        let challenge = match refusal.cause {
            Cause::TokenMissing => "Bearer realm=\"agentkeys\"",
            _ => "Bearer realm=\"agentkeys\", error=\"invalid_token\"",
        };
        headers.insert(
            http::header::WWW_AUTHENTICATE,
            HeaderValue::from_static(challenge),
        );
    }
    if let Some(seconds) = refusal.retry_after_s {
        headers.insert(http::header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn names(hosts: &[&str]) -> Names {
        Names::new(&Options {
            listen: "127.0.0.1:0".parse().unwrap(),
            operator_listen: "127.0.0.1:0".parse().unwrap(),
            public_url: Some("https://mcp.example.com/mcp".into()),
            allowed_hosts: hosts.iter().map(|h| (*h).to_owned()).collect(),
            allowed_origins: vec!["https://console.example.com".into()],
            proxies: super::super::Proxies::default(),
        })
    }

    #[test]
    fn only_names_of_ours_are_answered() {
        let names = names(&["host.docker.internal"]);
        for host in [
            "127.0.0.1:8088",
            "localhost",
            "[::1]:1",
            "MCP.example.com",
            "host.docker.internal:8088",
        ] {
            assert!(names.host_allowed(host), "{host}");
        }
        for host in [
            "",
            "evil.example",
            "127.0.0.1.evil.example",
            "mcp.example.com.evil",
            "a b",
        ] {
            assert!(!names.host_allowed(host), "{host}");
        }
        for origin in [
            "https://mcp.example.com",
            "https://console.example.com",
            "http://localhost:3000",
        ] {
            assert!(names.origin_allowed(origin), "{origin}");
        }
        for origin in [
            "null",
            "https://evil.example",
            "http://localhost.evil.example",
            "file://localhost",
        ] {
            assert!(!names.origin_allowed(origin), "{origin}");
        }
    }

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
