//! Port 80 beside TLS: the proofs an ACME server asks for, and the way to https for all else.

use super::knock::header;
use crate::authority::admit::Header;
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
/// sends a token here, in a header, a body or an address, has to hear that, and not to be helped.
async fn secured(
    State(port): State<Arc<Port80>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    let Header::One(host) = header(&headers, HOST) else {
        return (StatusCode::BAD_REQUEST, "a request names one host\n").into_response();
    };
    let host = host.parse::<http::uri::Authority>().ok();
    let host = host.map(|h| h.host().to_ascii_lowercase());
    let known = host.filter(|host| port.names.iter().any(|n| n == host));
    let empty = |length: &http::HeaderValue| length == "0";
    let carries = uri.query().is_some()
        || !uri.path().starts_with('/')
        || uri.path().starts_with("/mcp")
        || headers.contains_key(http::header::AUTHORIZATION)
        || headers.contains_key(http::header::COOKIE)
        || headers.contains_key(http::header::TRANSFER_ENCODING)
        || headers
            .get(http::header::CONTENT_LENGTH)
            .is_some_and(|l| !empty(l));
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::listener::Listener;
    use super::*;
    use tokio::net::TcpListener;
    use tokio_util::sync::CancellationToken;

    #[tokio::test]
    async fn proofs_are_shown_and_all_else_is_sent_to_https_or_refused() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::of(dir.path());
        store.set_http_proof("t0", "t0.thumb").unwrap();
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", socket.local_addr().unwrap());
        let routes = routes(store, vec!["mcp.example.com".to_owned()]);
        tokio::spawn(Listener::new(socket, routes).run(CancellationToken::new()));
        let client = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .unwrap();
        let get = |path: &str| client.get(format!("{base}{path}"));
        let ours = |path: &str| get(path).header(HOST, "MCP.example.com:80");
        let shown = get("/.well-known/acme-challenge/t0").send().await.unwrap();
        assert_eq!(shown.text().await.unwrap(), "t0.thumb");
        for (request, status, to) in [
            (get("/.well-known/acme-challenge/t1"), 404, None),
            (get("/.well-known/acme-challenge/..%2Flive.pem"), 404, None),
            (ours("/a"), 308, Some("https://mcp.example.com/a")),
            (ours("/a?b=c"), 403, None),
            (ours("/mcp"), 403, None),
            (ours("/mcp_endpoint/mcp/?token=x"), 403, None),
            (ours("/a").body("x"), 403, None),
            (ours("/a").header("cookie", "a=b"), 403, None),
            (get("/"), 403, None),
            (get("/").header(HOST, "evil.example"), 403, None),
            (ours("/").header(HOST, "evil.example"), 400, None),
            (ours("/mcp").bearer_auth("x"), 403, None),
            (
                client
                    .post(format!("{base}/mcp"))
                    .header(HOST, "mcp.example.com"),
                403,
                None,
            ),
        ] {
            let answer = request.send().await.unwrap();
            let location = answer.headers().get(LOCATION);
            assert_eq!(
                (
                    answer.status().as_u16(),
                    location.map(|l| l.to_str().unwrap())
                ),
                (status, to),
                "{}",
                answer.url()
            );
        }
    }
}
