//! `/mcp`: what is particular to HTTP. Which names this server answers to, how a body is read, and
//! how a refusal looks in HTTP; the message itself goes through the [`exchange`](super::exchange).

use super::exchange::Came;
use super::knock::{CameTo, Visit};
use super::{App, Options};
use crate::authority::refusal::{Cause, Refusal};
use crate::authority::words::Door;
use crate::mcp::frame::Frame;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use http::header::{ALLOW, HOST, ORIGIN};
use http::{HeaderValue, Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Limited};
use serde_json::Value;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// The largest body, in bytes.
pub(super) const MAX_BODY: usize = 1024 * 1024;

/// How long a body may take to arrive.
const BODY_DEADLINE: Duration = Duration::from_secs(30);

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
        for url in &options.public_urls {
            if let Ok(uri) = url.parse::<http::Uri>()
                && let (Some(host), Some(scheme)) = (uri.authority(), uri.scheme_str())
            {
                hosts.push(host.host().to_ascii_lowercase());
                origins.push(format!("{scheme}://{host}"));
            }
        }
        Self { hosts, origins }
    }

    /// The cause and what was seen, when a name is not one of ours.
    pub(super) fn wrong(&self, parts: &http::request::Parts) -> Option<(Cause, String)> {
        let given = host(parts);
        if !self.host_allowed(given) {
            return Some((Cause::HostNotAllowed, given.to_owned()));
        }
        self.wrong_origin(parts)
    }

    /// The same where the operator's tools come, which may know the server by the address alone.
    pub(super) fn wrong_at_operator(
        &self,
        parts: &http::request::Parts,
    ) -> Option<(Cause, String)> {
        let given = host(parts);
        let own = parts.extensions.get().map(|CameTo(own)| own);
        let asked = given.parse::<SocketAddr>().ok();
        let is_own = asked.is_some_and(|asked| Some(&asked) == own);
        if !is_own && !self.host_allowed(given) {
            return Some((Cause::HostNotAllowed, given.to_owned()));
        }
        self.wrong_origin(parts)
    }

    fn wrong_origin(&self, parts: &http::request::Parts) -> Option<(Cause, String)> {
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

/// The name a request was sent to.
fn host(parts: &http::request::Parts) -> &str {
    let given = parts.headers.get(HOST).and_then(|h| h.to_str().ok());
    let given = given.or_else(|| parts.uri.authority().map(http::uri::Authority::as_str));
    given.unwrap_or_default()
}

/// A body, or why there is none. Nothing is known of the sender yet, so what it may hold is
/// bounded in size, in time, by where it comes from, and over all who send at once.
pub(super) async fn read(app: &App, source: &str, body: Body) -> Result<Bytes, Cause> {
    let _seat = app.reading.seat(source).ok_or(Cause::RateLimited)?;
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
    visit: Visit,
    request: Request<Body>,
) -> Response {
    let stream = request.method() != Method::POST;
    if stream && !app.exchange.has_streams() {
        // No stream of the server's own and no session to end: both are optional (MCP, Transports).
        return (StatusCode::METHOD_NOT_ALLOWED, [(ALLOW, "POST")]).into_response();
    }
    let (parts, body) = request.into_parts();
    let read = read(&app, &visit.source, body).await;
    let came = Came {
        door: Door::Http,
        source: &visit.source,
        found: visit.found(),
    };
    let frame = match &read {
        Ok(_) if stream => Frame::of_stream(),
        Ok(body) => Frame::read(body),
        Err(_) => Frame::default(),
    };
    app.exchange.handle(parts, read, frame, came).await
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
            public_urls: vec!["https://mcp.example.com/mcp".into()],
            allowed_hosts: hosts.iter().map(|h| (*h).to_owned()).collect(),
            allowed_origins: vec!["https://console.example.com".into()],
            proxies: super::super::Proxies::default(),
            seal_every: std::time::Duration::from_mins(2),
            tls: crate::config::Tls::None,
            anchor: crate::config::AnchorTo::None,
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
}
