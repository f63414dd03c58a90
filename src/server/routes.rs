//! Which path leads where.

use super::knock::AtOperator;
use super::{App, audit, caps, devices, edge, endpoint, metrics, ops, parents, proof, ready};
use axum::middleware::from_fn_with_state;
use axum::routing::{any, delete, get, post};
use axum::{Extension, Router};
use std::sync::Arc;

/// What hosts, vendors, parents and auditors reach.
pub(super) fn public(app: &Arc<App>) -> Router {
    Router::new()
        // Alike with and without the slash; a redirect would lose the token (`formats/ark.md` §4).
        .route("/mcp", any(edge::handle))
        .route("/mcp/", any(edge::handle))
        .route("/mcp_endpoint/call/", any(endpoint::call))
        .route("/mcp_endpoint/mcp/", any(endpoint::tools))
        .route("/v1/memory/get", post(caps::memory_get))
        .route("/v1/memory/put", post(caps::memory_put))
        .route("/v1/cap/redeem", post(caps::redeem))
        .route("/v1/cap/introspect", post(caps::introspect))
        .route("/v1/actors/{actor}/{change}", post(parents::change))
        .route(
            "/v1/vendor/devices/register",
            post(devices::register).delete(devices::remove_register),
        )
        .route("/v1/vendor/devices/{device_id}", delete(devices::remove))
        .route("/.well-known/jwks.json", get(ops::jwks))
        .route(
            "/.well-known/agentkeys/revoked-caps",
            get(ops::revoked_caps),
        )
        .merge(shared())
        .route_layer(from_fn_with_state(Arc::clone(app), metrics::count))
        .with_state(Arc::clone(app))
}

/// What the operator's own tools reach.
pub(super) fn operator(app: &Arc<App>) -> Router {
    let monitored = Router::new()
        .route("/readyz", get(ready::readyz))
        .route("/metrics", get(metrics::show))
        .route_layer(from_fn_with_state(Arc::clone(app), ops::monitor));
    shared()
        .merge(monitored)
        .route_layer(from_fn_with_state(Arc::clone(app), metrics::count))
        .layer(Extension(AtOperator))
        .with_state(Arc::clone(app))
}

fn shared() -> Router<Arc<App>> {
    Router::new()
        .route("/v1/audit/events", get(audit::events))
        .route("/v1/audit/stream", get(audit::stream))
        .route("/v1/audit/checkpoint", get(proof::checkpoint))
        .route("/v1/audit/proof/inclusion", get(proof::inclusion))
        .route("/v1/audit/proof/consistency", get(proof::consistency))
        .route("/.well-known/agentkeys/log-key", get(proof::log_key))
        .route("/healthz", get(ops::healthz))
}
