//! xiaozhi's MCP endpoint (接入点), hosted: an unmodified xiaozhi-server connects to
//! `/mcp_endpoint/call/?token=…` and is answered in this process, with no relay between
//! (`formats/xiaozhi.md` §3).
//!
//! The token is in the query because that protocol has no other place for it. It is never logged.

use super::App;
use super::exchange::{CONNECT, Came, knock};
use super::knock::Visit;
use super::session::{Session, bearer};
use super::socket::{Ended, Got, MAX_FRAME, Put, Socket, Talk, code, farewell};
use crate::authority::refusal::Cause;
use crate::authority::words::Door;
use crate::secret::Secret;
use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket, WebSocketUpgrade};
use axum::extract::{FromRequestParts as _, Query, Request, State};
use axum::response::Response;
use bytes::Bytes;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use serde_json::Value;
use std::sync::Arc;

/// The side of the robots: its messages are answered.
pub(super) async fn call(State(app): State<Arc<App>>, visit: Visit, request: Request) -> Response {
    accept(app, visit, request, None).await
}

/// The side of the tools, which is taken: whoever opens it could shadow ours.
pub(super) async fn tools(State(app): State<Arc<App>>, visit: Visit, request: Request) -> Response {
    accept(app, visit, request, Some(Cause::RoleForbidden)).await
}

async fn accept(app: Arc<App>, visit: Visit, request: Request, found: Option<Cause>) -> Response {
    let (mut parts, _) = request.into_parts();
    let headers = tokens(&parts.uri);
    let upgrade = WebSocketUpgrade::from_request_parts(&mut parts, &app).await;
    // A browser of a stranger's page, and what is no socket, get none to read a reason from.
    let broken = upgrade.is_err().then_some((Cause::RequestMalformed, ""));
    let wrong = visit.found();
    let (Ok(upgrade), None) = (upgrade, wrong) else {
        let (cause, seen) = wrong.or(broken).unwrap_or((Cause::RequestMalformed, ""));
        let found = Some((cause, seen));
        let came = Came {
            door: Door::Relay,
            source: &visit.source,
            found,
        };
        let refused = knock(&app.authority, &headers, came).await;
        let refusal = refused.err().unwrap_or(cause).into();
        return super::edge::respond(&refusal, refusal.to_body(&Value::Null));
    };
    let upgrade: WebSocketUpgrade = upgrade
        .max_message_size(MAX_FRAME)
        .max_frame_size(MAX_FRAME);
    upgrade.on_upgrade(move |socket| async move {
        let tasks = app.sockets.clone();
        tasks
            .track_future(serve(app, socket, headers, visit.source, found))
            .await;
    })
}

/// The tokens of a query as the headers they would have come in, so that none and several are told
/// apart where all tokens are read.
fn tokens(uri: &http::Uri) -> HeaderMap {
    let query = Query::<Vec<(String, String)>>::try_from_uri(uri);
    let pairs = query.map(|Query(pairs)| pairs).unwrap_or_default();
    let tokens = pairs.into_iter().filter(|(name, _)| name == "token");
    let mut headers = HeaderMap::new();
    // Two are as wrong as many.
    for header in tokens
        .take(2)
        .filter_map(|(_, token)| bearer(&Secret::new(token)))
    {
        headers.append(AUTHORIZATION, header);
    }
    headers
}

async fn serve(
    app: Arc<App>,
    mut socket: WebSocket,
    headers: HeaderMap,
    source: String,
    found: Option<Cause>,
) {
    let came = Came {
        door: Door::Relay,
        source: &source,
        found: found.map(|cause| (cause, "")),
    };
    let principal = match knock(&app.authority, &headers, came).await {
        Ok(principal) => principal,
        Err(cause) => {
            farewell(&mut socket, code::REFUSED, cause.code()).await;
            return;
        }
    };
    let Some(header) = headers.get(AUTHORIZATION).cloned() else {
        return;
    };
    let Some(_seat) = app.endpoints.seat(principal.token_id().unwrap_or_default()) else {
        let refusal = app.authority.too_many(&principal, CONNECT, 1).await;
        farewell(&mut socket, code::REFUSED, refusal.cause.code()).await;
        return;
    };
    let session = Session::new(Arc::clone(&app.exchange), header, Door::Relay, source);
    let talk = Talk {
        authority: &app.authority,
        principal: &principal,
        session: &session,
        max_answer: MAX_FRAME,
        shutdown: &app.shutdown,
    };
    let ended = talk.run(&mut socket).await;
    if !matches!(ended, Ended::Closed(_) | Ended::Stopped) {
        tracing::info!(
            token_id = principal.token_id(),
            ?ended,
            "an endpoint's socket ended"
        );
    }
}

impl Socket for WebSocket {
    async fn next(&mut self) -> Option<Got> {
        Some(match self.recv().await?.ok()? {
            Message::Text(text) => Got::Text(Bytes::from(text)),
            Message::Binary(_) => Got::Binary,
            Message::Ping(_) | Message::Pong(_) => Got::Alive,
            Message::Close(why) => Got::Close(why.map(|f| (f.code, f.reason.as_str().to_owned()))),
        })
    }

    async fn put(&mut self, frame: Put) -> bool {
        let message = match frame {
            Put::Text(bytes) => match Utf8Bytes::try_from(bytes) {
                Ok(text) => Message::Text(text),
                Err(_) => return false,
            },
            Put::Ping => Message::Ping(Bytes::new()),
            Put::Close(code, reason) => Message::Close(Some(CloseFrame {
                code,
                reason: Utf8Bytes::from_static(reason),
            })),
        };
        self.send(message).await.is_ok()
    }
}
