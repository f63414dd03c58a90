//! Port 80 beside TLS: the proofs an ACME server asks for, and the way to https for all else.

use crate::tls::Store;
use axum::Router;
use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use http::header::{CONTENT_TYPE, HOST, LOCATION};
use http::{HeaderMap, Method, StatusCode, Uri};
use std::sync::Arc;

struct Port80 {
    proofs: Store,
    /// Names hosts use, in lower case.
    names: Vec<String>,
}

pub(super) fn routes(proofs: Store, names: Vec<String>) -> Router {
    Router::new()
        .route("/.well-known/acme-challenge/{token}", get(proof))
        .fallback(secured)
        .with_state(Arc::new(Port80 { proofs, names }))
}

async fn proof(State(port): State<Arc<Port80>>, Path(token): Path<String>) -> Response {
    let proofs = port.proofs.clone();
    let read = tokio::task::spawn_blocking(move || proofs.http_proof(&token)).await;
    match read.ok().flatten() {
        Some(proof) => ([(CONTENT_TYPE, "application/octet-stream")], proof).into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

/// Only to a name of ours, so that nobody is led elsewhere; and only what carries nothing: whoever
/// sends a token here has to hear that, and not to be helped.
async fn secured(
    State(port): State<Arc<Port80>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    let host = headers.get(HOST).and_then(|h| h.to_str().ok());
    let host = host.and_then(|h| h.parse::<http::uri::Authority>().ok());
    let host = host.map(|h| h.host().to_ascii_lowercase());
    let known = host.filter(|host| port.names.iter().any(|n| n == host));
    let carries = headers.contains_key(http::header::AUTHORIZATION);
    match known {
        Some(host) if !carries && (method == Method::GET || method == Method::HEAD) => {
            let path = uri.path_and_query().map_or("/", |p| p.as_str());
            let to = format!("https://{host}{path}");
            (StatusCode::PERMANENT_REDIRECT, [(LOCATION, to)]).into_response()
        }
        _ => (
            StatusCode::FORBIDDEN,
            "this server speaks https; what was sent here crossed the network in the clear\n",
        )
            .into_response(),
    }
}
