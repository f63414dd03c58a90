//! A STAND-IN for Volcano Ark, for proofs and tests without an Ark account. It is not Ark, and says
//! so in every answer (header `x-agentkeys-stand-in`, and the words of its messages).
//!
//! What is real: Ark's request and answer shapes, and that it is itself an MCP client of the
//! entry's `server_url` with the entry's own headers, so the server under proof meets a stranger
//! over HTTP. What is scripted: the model. It chooses by a table of words (`Prompts`), only among
//! the tools that the server listed, and it says so when it knows no answer.
//!
//! What it knows of a conversation is in memory, bounded and gone with it. It dials what a caller
//! names, as far as `reach` lets it, so it belongs on loopback.

mod error;
mod input;
mod items;
mod mcp;
mod model;
mod prompts;
mod reach;
mod request;
mod store;
mod stream;
mod tools;
mod turn;

#[cfg(test)]
mod tests;

use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::serve::ListenerExt;
use futures_util::stream::unfold;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HOST};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use http_body_util::{BodyExt, Limited};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

pub use prompts::{Prompts, Row, Step};

use super::ark::STANDIN_HEADER;
use super::{CaFile, RailError, wire};
use crate::digest::sha256;
use crate::secret::{Secret, same};
use crate::text::clean_to;
use error::ArkError;
use input::Past;
use mcp::{Deadlines, Dial};
use reach::Reach;
use store::{Kept, MOST_ITEMS, Owner, Store};
use stream::Events;
use turn::Job;

const MAX_BODY: usize = 1024 * 1024;
const BODY_DEADLINE: Duration = Duration::from_secs(10);
/// Bodies being read at once.
const MOST_READING: usize = 64;
/// Responses being made at once; one may hold a call of 30 s open.
const MOST_AT_ONCE: usize = 32;
/// Events waiting for a slow reader.
const MOST_WAITING: usize = 32;

/// The stand-in before it listens.
#[derive(Debug, Clone)]
pub struct Standin {
    key: Option<Secret<String>>,
    prompts: Prompts,
    ca: CaFile,
    dial_private: bool,
    deadlines: Deadlines,
    clock: Clock,
}

/// Unix time in seconds.
#[derive(Clone)]
struct Clock(Arc<dyn Fn() -> u64 + Send + Sync>);

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}

fn system_time() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |d| d.as_secs())
}

impl Standin {
    /// A stand-in that takes this API key, plays this table, and trusts this further certificate
    /// authority when it dials MCP servers. Without a key it takes any, and serves on loopback only.
    pub fn new(key: Option<Secret<String>>, prompts: Prompts, ca: CaFile) -> Self {
        Self {
            key,
            prompts,
            ca,
            dial_private: false,
            deadlines: Deadlines::default(),
            clock: Clock(Arc::new(system_time)),
        }
    }

    /// Whether MCP servers at private addresses are dialled too.
    #[must_use]
    pub const fn dialling_private(mut self, yes: bool) -> Self {
        self.dial_private = yes;
        self
    }

    fn router(&self, reach: Reach) -> Router {
        let app = App {
            key: self.key.clone(),
            prompts: self.prompts.clone(),
            dial: Dial {
                ca: self.ca.clone(),
                reach,
                deadlines: self.deadlines,
            },
            clock: self.clock.clone(),
            requests: AtomicU64::new(0),
            responses: AtomicU64::new(0),
            store: Store::default(),
            reading: Semaphore::new(MOST_READING),
            at_once: Arc::new(Semaphore::new(MOST_AT_ONCE)),
        };
        Router::new()
            .route("/api/v3/responses", post(create).fallback(no_route))
            .route(
                "/api/v3/responses/{id}",
                get(retrieve).delete(delete).fallback(no_route),
            )
            .fallback(no_route)
            .with_state(Arc::new(app))
    }

    /// Serves on a bound listener until stopped or dropped.
    pub fn start(&self, listener: TcpListener) -> Result<Running, RailError> {
        let bad = |cause: String| RailError::Input {
            what: "the listener".to_owned(),
            cause,
        };
        let address = listener.local_addr().map_err(|e| bad(e.to_string()))?;
        let near = address.ip().is_loopback();
        if self.key.is_none() && !near {
            return Err(bad(
                "without a key only a loopback address may be used".to_owned()
            ));
        }
        let reach = match (self.dial_private, near) {
            (true, _) => Reach::All,
            (false, true) => Reach::Loopback,
            (false, false) => Reach::Public,
        };
        let stop = CancellationToken::new();
        let stopped = stop.clone().cancelled_owned();
        // Nagle would cost each answer 40 ms.
        let listener = listener.tap_io(|socket| {
            let _ = socket.set_nodelay(true);
        });
        let router = self.router(reach);
        let task = tokio::spawn(async move {
            let _ = axum::serve(listener, router)
                .with_graceful_shutdown(stopped)
                .await;
        });
        Ok(Running {
            base_url: format!("http://{address}/api/v3"),
            stop,
            task: AbortOnDropHandle::new(task),
        })
    }
}

/// A listening stand-in; dropping it ends it at once.
#[derive(Debug)]
pub struct Running {
    base_url: String,
    stop: CancellationToken,
    task: AbortOnDropHandle<()>,
}

impl Running {
    /// What goes into an Ark client as base URL.
    pub fn base_url(&self) -> &str {
        &self.base_url
    }

    /// Finishes the answers under way, for at most two seconds, and ends.
    pub async fn stop(self) {
        self.stop.cancel();
        let _ = tokio::time::timeout(Duration::from_secs(2), self.task).await;
    }
}

/// The stand-in at work.
struct App {
    key: Option<Secret<String>>,
    prompts: Prompts,
    dial: Dial,
    clock: Clock,
    requests: AtomicU64,
    responses: AtomicU64,
    store: Store,
    reading: Semaphore,
    at_once: Arc<Semaphore>,
}

async fn create(State(app): State<Arc<App>>, request: Request) -> Response {
    let tag = app.tag(request.headers());
    let made = app.clone().create(request).await;
    tag.on(made)
}

async fn retrieve(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Response {
    app.tag(&headers).on(app.retrieve(&headers, &id))
}

async fn delete(State(app): State<Arc<App>>, Path(id): Path<String>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    // Ark's SDKs send one with a DELETE too.
    let read = app.read(body).await;
    let done = read.and_then(|_| app.delete(&parts.headers, &id));
    app.tag(&parts.headers).on(done)
}

async fn no_route(State(app): State<Arc<App>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let read = app.read(body).await;
    let refused = read.and_then(|_| Err(ArkError::no_route()));
    app.tag(&parts.headers).on(refused)
}

/// What every answer to one request carries.
struct Tag {
    id: String,
    /// The caller's own id of the request, which Ark sends back.
    client: Option<HeaderValue>,
}

const CLIENT_REQUEST_ID: HeaderName = HeaderName::from_static("x-client-request-id");

impl Tag {
    fn on(self, answer: Result<Response, ArkError>) -> Response {
        let mut response =
            answer.unwrap_or_else(|error| error.of_request(&self.id).into_response());
        let headers = response.headers_mut();
        headers.insert(
            HeaderName::from_static(STANDIN_HEADER),
            HeaderValue::from_static("ark, scripted model"),
        );
        if let Ok(id) = self.id.try_into() {
            headers.insert(HeaderName::from_static("x-request-id"), id);
        }
        if let Some(client) = self.client {
            headers.insert(CLIENT_REQUEST_ID, client);
        }
        response
    }
}

impl App {
    fn tag(&self, headers: &HeaderMap) -> Tag {
        let number = self.requests.fetch_add(1, Ordering::Relaxed) + 1;
        let client = headers.get(CLIENT_REQUEST_ID);
        Tag {
            id: format!("standin-{number}"),
            client: client.filter(|v| v.len() <= 128).cloned(),
        }
    }

    fn now(&self) -> u64 {
        (self.clock.0)()
    }

    /// Lets a caller in, and says whose responses it may see.
    fn admit(&self, headers: &HeaderMap) -> Result<Owner, ArkError> {
        let given = headers.get("authorization").map(HeaderValue::as_bytes);
        let key = given
            .and_then(|g| g.strip_prefix(b"Bearer "))
            .unwrap_or_default();
        let good = match &self.key {
            Some(wanted) => same(key, wanted.expose().as_bytes()),
            None => !key.is_empty(),
        };
        if !good {
            return Err(ArkError::unauthorized());
        }
        // Where any key will do, a web page must not come in by a name of its own for loopback.
        if self.key.is_none() && !came_to_loopback(headers) {
            return Err(ArkError::host());
        }
        Ok(sha256(&[key]))
    }

    /// Reads a body, also for a refusal: a connection that is closed on a body still coming hides
    /// the answer from the caller, and breaks its next request.
    async fn read(&self, body: Body) -> Result<Bytes, ArkError> {
        let _slot = self.reading.try_acquire().map_err(|_| ArkError::busy())?;
        let whole = Limited::new(body, MAX_BODY).collect();
        match tokio::time::timeout(BODY_DEADLINE, whole).await {
            Ok(Ok(collected)) => Ok(collected.to_bytes()),
            Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => {
                let why = format!("the body is larger than {MAX_BODY} bytes");
                Err(ArkError::invalid("", &why))
            }
            Ok(Err(_)) | Err(_) => Err(ArkError::invalid("", "the body did not arrive")),
        }
    }

    async fn create(self: Arc<Self>, request: Request) -> Result<Response, ArkError> {
        let (parts, body) = request.into_parts();
        let body = self.read(body).await?;
        let owner = self.admit(&parts.headers)?;
        let permit = self.at_once.clone().try_acquire_owned();
        let permit = permit.map_err(|_| ArkError::busy())?;
        let body: Value = serde_json::from_slice(&body)
            .map_err(|e| ArkError::invalid("", &format!("the body is not JSON: {e}")))?;
        let job = self.prepare(&body, &parts.headers, &owner)?;
        if job.asked.stream {
            return Ok(self.stream(job, owner, permit));
        }
        let response = turn::play(&self, &job, &owner, &mut Events::none()).await?;
        Ok(json_response(response.to_string().into()))
    }

    /// Reads the request and what it refers to; what is wrong with it is known before a server is
    /// dialled or a stream begun.
    fn prepare(&self, body: &Value, headers: &HeaderMap, owner: &Owner) -> Result<Job, ArkError> {
        let now = self.now();
        let asked = request::read(body, request::beta(headers), now)?;
        let mut past = match &asked.previous {
            None => Vec::new(),
            Some(id) => self
                .store
                .conversation(owner, id, now)
                .ok_or_else(|| ArkError::no_previous(&clean_to(id, 80)))?,
        };
        let answered = input::answered(&past, &asked.input)?;
        for one in answered.iter().filter(|a| a.approve) {
            if !asked.servers.iter().any(|s| s.label == one.label) {
                let label = clean_to(&one.label, 80);
                let why =
                    format!("the server {label} must be sent again, its headers are not kept");
                return Err(ArkError::invalid("tools", &why));
            }
        }
        let speaks = |p: &Past| matches!(p, Past::User(_) | Past::Reply(_));
        if !asked.input.iter().any(speaks) {
            let why = "holds neither a user's text nor an approval";
            return Err(ArkError::invalid("input", why));
        }
        past.extend(asked.input.iter().cloned());
        if past.len() > MOST_ITEMS {
            let why = format!("the conversation holds more than {MOST_ITEMS} items");
            return Err(ArkError::invalid("previous_response_id", &why));
        }
        Ok(Job {
            asked,
            past,
            answered,
            number: self.responses.fetch_add(1, Ordering::Relaxed) + 1,
            created_at: now,
        })
    }

    /// Streams a response. Whoever stops reading ends the work too.
    fn stream(self: Arc<Self>, job: Job, owner: Owner, permit: OwnedSemaphorePermit) -> Response {
        let (to, from) = mpsc::channel::<Bytes>(MOST_WAITING);
        let task = tokio::spawn(async move {
            let _permit = permit;
            let mut events = Events::to(to);
            // What went wrong is told in the stream.
            let _ = turn::play(&self, &job, &owner, &mut events).await;
            events.done().await;
        });
        let task = AbortOnDropHandle::new(task);
        let body = unfold((from, task), |(mut from, task)| async move {
            let frame = from.recv().await?;
            Some((Ok::<_, Infallible>(frame), (from, task)))
        });
        let headers = [
            (CONTENT_TYPE, HeaderValue::from_static("text/event-stream")),
            (CACHE_CONTROL, HeaderValue::from_static("no-cache")),
        ];
        (headers, Body::from_stream(body)).into_response()
    }

    fn keep(&self, job: &Job, owner: &Owner, items: &[Value], response: &Value) {
        let Some(expires_at) = job.asked.keep_until else {
            return;
        };
        let mut past = job.asked.input.clone();
        past.extend(Past::of_output(items));
        let kept = Kept {
            owner: *owner,
            id: job.id(),
            previous: job.asked.previous.clone(),
            past,
            body: response.to_string().into(),
            expires_at,
        };
        self.store.keep(kept, self.now());
    }

    fn retrieve(&self, headers: &HeaderMap, id: &str) -> Result<Response, ArkError> {
        let owner = self.admit(headers)?;
        let body = self.store.body(&owner, id, self.now());
        let body = body.ok_or_else(|| ArkError::no_response(&clean_to(id, 80)))?;
        Ok(json_response(body))
    }

    fn delete(&self, headers: &HeaderMap, id: &str) -> Result<Response, ArkError> {
        let owner = self.admit(headers)?;
        if !self.store.delete(&owner, id, self.now()) {
            return Err(ArkError::no_response(&clean_to(id, 80)));
        }
        let body = json!({"id": id, "object": "response", "deleted": true});
        Ok(json_response(body.to_string().into()))
    }
}

fn json_response(body: Bytes) -> Response {
    let json = HeaderValue::from_static("application/json");
    (StatusCode::OK, [(CONTENT_TYPE, json)], body).into_response()
}

fn came_to_loopback(headers: &HeaderMap) -> bool {
    let host = headers.get(HOST).and_then(|h| h.to_str().ok());
    host.and_then(|h| h.parse::<http::uri::Authority>().ok())
        .is_some_and(|a| wire::is_loopback(a.host()))
}
