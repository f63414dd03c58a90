//! What anyone may ask: is it alive, and with which keys is what it signs verified. And at which name
//! a monitor may ask more.

use super::knock::Visit;
use super::rest::{self, Asked};
use super::{App, edge};
use crate::authority::admit::Wants;
use crate::authority::refusal::Cause;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use http::StatusCode;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use serde_json::{Value, json};
use std::sync::Arc;

pub(super) async fn healthz(State(app): State<Arc<App>>) -> Response {
    let ok = app.authority.healthy().await;
    let status = if ok {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    // Every cap names it too: it is no secret, and says whose server this is.
    let body = json!({
        "ok": ok, "name": "agentkeys", "version": env!("CARGO_PKG_VERSION"),
        "authority": app.authority.issuer(),
    });
    (status, axum::Json(body)).into_response()
}

pub(super) async fn jwks(State(app): State<Arc<App>>) -> Response {
    match app.authority.jwks().await {
        Ok(keys) => {
            let cache = [(CACHE_CONTROL, "public, max-age=60")];
            (cache, axum::Json(keys)).into_response()
        }
        Err(refusal) => edge::respond(&refusal, refusal.to_body(&Value::Null)),
    }
}

pub(super) async fn revoked_caps(State(app): State<Arc<App>>) -> Response {
    match app.authority.revoked_caps().await {
        Ok(list) => ([(CONTENT_TYPE, "application/jwt")], list).into_response(),
        Err(refusal) => edge::respond(&refusal, refusal.to_body(&Value::Null)),
    }
}

/// What a row calls somebody who asks how the server is.
const MONITOR: &str = "monitor";

/// Lets a monitor through that knows whom it asks: a page in the operator's browser does not (DNS
/// rebinding).
pub(super) async fn monitor(
    State(app): State<Arc<App>>,
    visit: Visit,
    request: Request,
    next: Next,
) -> Response {
    let (parts, body) = request.into_parts();
    let misnamed = app.names.wrong_at_operator(&parts);
    if misnamed.is_none() {
        return next.run(Request::from_parts(parts, body)).await;
    }
    let visit = Visit { misnamed, ..visit };
    let asked = Asked {
        tool: MONITOR,
        wants: Wants::Anyone,
        call: Err(Cause::RequestMalformed),
    };
    rest::answer(&app, &visit, &parts, asked).await
}
