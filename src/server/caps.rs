//! Where caps are spent: the memory worker's own RPC shapes, with our JWS in `cap`.

use super::knock::header;
use super::{App, edge};
use crate::authority::Answer;
use crate::authority::admit::{Header, Knock, Turned};
use crate::authority::calls::spend::Act;
use crate::authority::refusal::Cause;
use crate::authority::words::Door;
use crate::secret::Secret;
use axum::body::Body;
use axum::extract::{ConnectInfo, State};
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use http::header::AUTHORIZATION;
use http::{Request, StatusCode};
use serde_json::{Map, Value, json};
use std::net::SocketAddr;
use std::sync::Arc;

type Peer = ConnectInfo<SocketAddr>;

pub(super) async fn memory_get(
    app: State<Arc<App>>,
    peer: Peer,
    request: Request<Body>,
) -> Response {
    spend(app, peer, request, |_| Some(Act::Get)).await
}

pub(super) async fn memory_put(
    app: State<Arc<App>>,
    peer: Peer,
    request: Request<Body>,
) -> Response {
    let act = |body: &Map<String, Value>| {
        let text = body.get("plaintext_b64")?.as_str()?;
        let bytes = base64::engine::general_purpose::STANDARD
            .decode(text)
            .ok()?;
        let content = Secret::new(String::from_utf8(bytes).ok()?);
        Some(Act::Put { content })
    };
    spend(app, peer, request, act).await
}

pub(super) async fn redeem(app: State<Arc<App>>, peer: Peer, request: Request<Body>) -> Response {
    let act = |body: &Map<String, Value>| {
        let amount = body.get("amount_rmb")?.clone();
        Some(Act::Redeem { amount })
    };
    spend(app, peer, request, act).await
}

pub(super) async fn introspect(
    app: State<Arc<App>>,
    peer: Peer,
    request: Request<Body>,
) -> Response {
    spend(app, peer, request, |_| Some(Act::Introspect)).await
}

async fn spend(
    State(app): State<Arc<App>>,
    ConnectInfo(peer): Peer,
    request: Request<Body>,
    act: impl Fn(&Map<String, Value>) -> Option<Act> + Send,
) -> Response {
    let (parts, body) = request.into_parts();
    let body = edge::read(body).await;
    let parsed = body.and_then(|bytes| match crate::mcp::frame::strict(&bytes) {
        Ok(Value::Object(map)) => Ok(map),
        _ => Err(Cause::RequestMalformed),
    });
    let (found, body) = match parsed {
        Ok(body) => (None, body),
        Err(cause) => (Some(cause), Map::new()),
    };
    let cap = body.get("cap").and_then(Value::as_str);
    let act = act(&body);
    let source = app.proxies.source(peer, &parts.headers).to_string();
    let incomplete = (cap.is_none() || act.is_none()).then_some(Cause::RequestMalformed);
    let knock = Knock {
        authorization: header(&parts.headers, AUTHORIZATION),
        actor: Header::Absent,
        argument: None,
        asked: parts.uri.path(),
        found: found.or(incomplete),
        seen: None,
        source: &source,
        protocol: "worker",
        door: Door::Worker,
    };
    let act = act.unwrap_or(Act::Introspect);
    match app
        .authority
        .spend(&knock, cap.unwrap_or_default(), act)
        .await
    {
        Ok(outcome) => answer(&outcome.answer),
        Err(Turned { refusal, .. }) => {
            let mut body = refusal.to_body(&Value::Null);
            body["reason"] = refusal.cause.reason().into();
            edge::respond(&refusal, body)
        }
    }
}

/// An answer outside MCP: the call's own problems become a status.
pub(super) fn answer(answer: &Answer) -> Response {
    let Answer::Invalid(problem) = answer else {
        return axum::Json(answer.to_json()).into_response();
    };
    let status = match problem.code.rsplit('.').next() {
        Some("not_found" | "version_not_found") => StatusCode::NOT_FOUND,
        Some("content_too_large") => StatusCode::PAYLOAD_TOO_LARGE,
        Some("integrity_error") => StatusCode::INTERNAL_SERVER_ERROR,
        Some("busy" | "exists") => StatusCode::CONFLICT,
        _ => StatusCode::BAD_REQUEST,
    };
    let error = json!({
        "code": status.as_u16(), "message": problem.message, "data": {"code": problem.code},
    });
    (status, axum::Json(json!({"error": error}))).into_response()
}
