//! What anyone may ask: is it alive, and with which keys is what it signs verified.

use super::{App, edge};
use axum::extract::State;
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
