//! The audit log over HTTP: a page of events, or the live feed.

use super::knock::header;
use super::{App, edge};
use crate::authority::admit::{Header, Knock, Wants};
use crate::authority::calls::Call;
use crate::authority::calls::audit::Reading;
use crate::authority::identity::Omni;
use crate::authority::ports::EventFilter;
use crate::authority::principal::Principal;
use crate::authority::refusal::{Cause, Refusal};
use crate::authority::words::{Door, Namespace, Rail};
use axum::body::Body;
use axum::extract::{ConnectInfo, Query, State};
use axum::response::{IntoResponse as _, Response};
use futures_util::stream;
use http::header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderMap, Uri};
use serde::Deserialize;
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// The filters a reader may set.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Filters {
    from_seq: Option<u64>,
    limit: Option<u32>,
    newest: Option<bool>,
    actor: Option<Omni>,
    vendor: Option<String>,
    rail: Option<Rail>,
    tool: Option<String>,
    verdict: Option<String>,
    namespace: Option<Namespace>,
    since: Option<jiff::Timestamp>,
    until: Option<jiff::Timestamp>,
}

/// Events in one answer unless asked otherwise, and at most.
const PAGE: (u32, u32) = (100, 1_000);

/// How long a revoked token may keep a stream: checked twice a second.
const RECHECK: Duration = Duration::from_millis(500);

/// How often a silent stream shows that it lives, in rechecks.
const KEEP_ALIVE: u32 = 20;

type Given = Result<Query<Filters>, axum::extract::rejection::QueryRejection>;

impl Filters {
    fn to_filter(&self) -> EventFilter {
        EventFilter {
            from_seq: self.from_seq,
            actor: self.actor,
            vendor: self.vendor.clone(),
            rail: self.rail,
            tool: self.tool.clone(),
            verdict: self.verdict.clone(),
            namespace: self.namespace,
            since_ms: self.since.map(jiff::Timestamp::as_millisecond),
            until_ms: self.until.map(jiff::Timestamp::as_millisecond),
            limit: self.limit.unwrap_or(PAGE.0).min(PAGE.1),
            newest: self.newest.unwrap_or(false),
        }
    }
}

/// Lets a reader in and puts the read on record.
async fn open(
    app: &App,
    peer: SocketAddr,
    headers: &HeaderMap,
    uri: &Uri,
    given: &Given,
) -> Result<(Principal, Reading, EventFilter), Refusal> {
    let source = app.proxies.source(peer, headers).to_string();
    let knock = Knock {
        authorization: header(headers, AUTHORIZATION),
        actor: Header::Absent,
        argument: None,
        asked: "audit.read",
        found: given.is_err().then_some(Cause::RequestMalformed),
        seen: None,
        source: &source,
        protocol: "http",
        door: Door::Http,
    };
    let admitted = app.authority.admit(&knock, Wants::Reader).await;
    let principal = admitted.map_err(|turned| turned.refusal)?;
    let Ok(Query(filters)) = given else {
        return Err(Cause::RequestMalformed.into());
    };
    let reading = match app.authority.reading(&principal, filters.actor).await {
        Ok(reading) => reading,
        Err(refusal) => return Err(app.authority.refuse_read(&principal, refusal).await),
    };
    let what = format!("{}?{}", uri.path(), uri.query().unwrap_or_default());
    let actor = filters.actor;
    app.authority
        .perform(&principal, Call::AuditRead { what, actor })
        .await?;
    Ok((principal, reading, filters.to_filter()))
}

fn refuse(refusal: &Refusal) -> Response {
    edge::respond(refusal, refusal.to_body(&Value::Null))
}

pub(super) async fn events(
    State(app): State<Arc<App>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    uri: Uri,
    headers: HeaderMap,
    given: Given,
) -> Response {
    let page = async {
        let (_, reading, filter) = open(&app, peer, &headers, &uri, &given).await?;
        let events = app.authority.events(&reading, &filter).await?;
        let last = events.last().and_then(|e| e["seq"].as_u64());
        let next = match last {
            Some(seq) => seq + 1,
            None => match filter.from_seq {
                Some(seq) => seq,
                None => app.authority.log_size().await?,
            },
        };
        Ok::<_, Refusal>(json!({"events": events, "next_seq": next}))
    };
    match page.await {
        Ok(page) => axum::Json(page).into_response(),
        Err(refusal) => refuse(&refusal),
    }
}

pub(super) async fn stream(
    State(app): State<Arc<App>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    uri: Uri,
    headers: HeaderMap,
    given: Given,
) -> Response {
    let opened = async {
        let (principal, reading, mut filter) = open(&app, peer, &headers, &uri, &given).await?;
        let last = headers.get("last-event-id").and_then(|v| v.to_str().ok());
        let resumed = last.and_then(|v| v.parse::<u64>().ok()).map(|seq| seq + 1);
        let size = app.authority.log_size().await?;
        filter.from_seq = Some(resumed.or(filter.from_seq).unwrap_or(size));
        filter.limit = PAGE.1;
        filter.newest = false;
        Ok::<_, Refusal>(Feed {
            grown: app.authority.watch(),
            app: Arc::clone(&app),
            principal,
            reading,
            filter,
            silent: 0,
            greeted: false,
        })
    };
    match opened.await {
        Ok(feed) => {
            let chunks = stream::unfold(feed, |mut feed| async move {
                let chunk = feed.next().await?;
                Some((Ok::<_, std::convert::Infallible>(chunk), feed))
            });
            let head = [
                (CONTENT_TYPE, "text/event-stream"),
                (CACHE_CONTROL, "no-store"),
            ];
            (head, Body::from_stream(chunks)).into_response()
        }
        Err(refusal) => refuse(&refusal),
    }
}

/// One reader's place in the log.
struct Feed {
    app: Arc<App>,
    principal: Principal,
    reading: Reading,
    filter: EventFilter,
    grown: tokio::sync::watch::Receiver<u64>,
    silent: u32,
    greeted: bool,
}

impl Feed {
    /// The next chunk; `None` ends the stream: the token went, the server stops, or the log cannot
    /// be read.
    async fn next(&mut self) -> Option<String> {
        if !self.greeted {
            self.greeted = true;
            // Proxies and clients learn at once that the stream is open.
            return Some(": open\n\n".to_owned());
        }
        loop {
            if !self.app.authority.still_good(&self.principal).await {
                return None;
            }
            self.grown.mark_unchanged();
            let events = self
                .app
                .authority
                .events(&self.reading, &self.filter)
                .await
                .ok()?;
            if !events.is_empty() {
                self.silent = 0;
                return Some(self.chunk(&events));
            }
            tokio::select! {
                changed = self.grown.changed() => changed.ok()?,
                () = self.app.shutdown.cancelled() => return None,
                () = tokio::time::sleep(RECHECK) => {
                    self.silent += 1;
                    if self.silent.is_multiple_of(KEEP_ALIVE) {
                        return Some(": alive\n\n".to_owned());
                    }
                }
            }
        }
    }

    fn chunk(&mut self, events: &[Value]) -> String {
        let mut chunk = String::new();
        for event in events {
            let seq = event["seq"].as_u64().unwrap_or(0);
            self.filter.from_seq = Some(seq + 1);
            // Writing to a string cannot fail.
            let _ = write!(chunk, "id: {seq}\nevent: audit\ndata: {event}\n\n");
        }
        chunk
    }
}
