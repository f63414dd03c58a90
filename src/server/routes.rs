//! Which path leads where.

use super::knock::AtOperator;
use super::{App, audit, caps, devices, edge, endpoint, ops, parents, proof};
use axum::routing::{any, delete, get, post};
use axum::serve::ListenerExt as _;
use axum::{Extension, Router};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

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
        .with_state(Arc::clone(app))
}

/// What the operator's own tools reach.
pub(super) fn operator(app: &Arc<App>) -> Router {
    shared()
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

/// Serves a router until the token is cancelled.
pub(super) async fn serve(
    listener: TcpListener,
    router: Router,
    shutdown: CancellationToken,
) -> std::io::Result<()> {
    // With Nagle every streamed answer waits 40 ms for an acknowledgement (`formats/mcp.md` P1).
    let listener = listener.tap_io(|socket| {
        if let Err(error) = socket.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY was not set");
        }
    });
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    axum::serve(listener, service)
        .with_graceful_shutdown(shutdown.cancelled_owned())
        .await
}
