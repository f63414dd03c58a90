//! Where caps are spent: the memory worker's own RPC shapes, with our JWS in `cap`.

use super::knock::{Visit, header};
use super::{App, edge, rest};
use crate::authority::Answer;
use crate::authority::admit::{Header, Knock, Turned};
use crate::authority::calls::spend::{Act, Endpoint};
use crate::authority::refusal::Cause;
use crate::authority::words::Door;
use crate::secret::Secret;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use http::header::AUTHORIZATION;
use http::{Request, StatusCode};
use serde_json::{Map, Value, json};
use std::sync::Arc;

pub(super) async fn memory_get(
    app: State<Arc<App>>,
    visit: Visit,
    request: Request<Body>,
) -> Response {
    spend(app, visit, request, Endpoint::MemoryGet).await
}

pub(super) async fn memory_put(
    app: State<Arc<App>>,
    visit: Visit,
    request: Request<Body>,
) -> Response {
    spend(app, visit, request, Endpoint::MemoryPut).await
}

pub(super) async fn redeem(app: State<Arc<App>>, visit: Visit, request: Request<Body>) -> Response {
    spend(app, visit, request, Endpoint::Redeem).await
}

pub(super) async fn introspect(
    app: State<Arc<App>>,
    visit: Visit,
    request: Request<Body>,
) -> Response {
    spend(app, visit, request, Endpoint::Introspect).await
}

/// What an endpoint's body asks for; nothing when a part is missing or is not what it must be.
fn act(endpoint: Endpoint, body: &Map<String, Value>) -> Option<Act> {
    Some(match endpoint {
        Endpoint::MemoryGet => Act::Get,
        Endpoint::MemoryPut => {
            let text = body.get("plaintext_b64")?.as_str()?;
            let bytes = base64::engine::general_purpose::STANDARD
                .decode(text)
                .ok()?;
            let content = Secret::new(String::from_utf8(bytes).ok()?);
            Act::Put { content }
        }
        Endpoint::Redeem => Act::Redeem {
            amount: body.get("amount_rmb")?.clone(),
        },
        Endpoint::Introspect => Act::Introspect,
    })
}

async fn spend(
    State(app): State<Arc<App>>,
    visit: Visit,
    request: Request<Body>,
    endpoint: Endpoint,
) -> Response {
    let (parts, body) = request.into_parts();
    let body = edge::read(&app, &visit.source, body).await;
    let body = body.and_then(|bytes| rest::object(&bytes));
    let asked = body.as_ref().map_err(|cause| *cause).and_then(|body| {
        let cap = body.get("cap").and_then(Value::as_str);
        cap.zip(act(endpoint, body)).ok_or(Cause::RequestMalformed)
    });
    let named = visit.found();
    let knock = Knock {
        authorization: header(&parts.headers, AUTHORIZATION),
        actor: Header::Absent,
        argument: None,
        asked: endpoint.name(),
        found: named.map(|(cause, _)| cause),
        seen: named.map(|(_, seen)| seen),
        source: &visit.source,
        protocol: "worker",
        door: Door::Worker,
    };
    match app.authority.spend(&knock, endpoint, asked).await {
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
    let status = StatusCode::from_u16(problem.status()).unwrap_or(StatusCode::BAD_REQUEST);
    let error = json!({
        "code": status.as_u16(), "message": problem.message, "data": {"code": problem.code},
    });
    (status, axum::Json(json!({"error": error}))).into_response()
}
