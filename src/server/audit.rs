//! The audit log over HTTP: a page of events, or the live feed.

use super::knock::{Visit, header};
use super::streams::Seat;
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
use axum::extract::{FromRequestParts, Query, State};
use axum::response::{IntoResponse as _, Response};
use futures_util::stream;
use http::header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, HeaderName};
use http::request::Parts;
use http::{HeaderMap, Uri};
use serde::Deserialize;
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// The filters a reader may set.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Filters {
    from_seq: Option<u64>,
    limit: Option<u32>,
    newest: Option<bool>,
    /// Its id or its registered name.
    actor: Option<String>,
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

/// Events in one piece of a feed: no more than this goes out after a revoke that a slow reader
/// was not told of yet.
const CHUNK: u32 = 64;

/// How often a feed looks, however often the log grows.
const SCAN_EVERY: Duration = Duration::from_millis(20);

/// How long a revoked token may keep a feed.
const RECHECK: Duration = Duration::from_millis(500);

/// How often a silent feed shows that it lives.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// Where a reader of the feed stopped.
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

type Given = Result<Query<Filters>, axum::extract::rejection::QueryRejection>;

impl Filters {
    fn to_filter(&self, actor: Option<Omni>) -> EventFilter {
        EventFilter {
            from_seq: self.from_seq,
            until_seq: None,
            actor,
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

/// A reader at the door.
pub(super) struct Asking {
    app: Arc<App>,
    visit: Visit,
    uri: Uri,
    headers: HeaderMap,
}

impl FromRequestParts<Arc<App>> for Asking {
    type Rejection = <Visit as FromRequestParts<Arc<App>>>::Rejection;

    async fn from_request_parts(
        parts: &mut Parts,
        app: &Arc<App>,
    ) -> Result<Self, Self::Rejection> {
        Ok(Self {
            app: Arc::clone(app),
            visit: Visit::from_request_parts(parts, app).await?,
            uri: parts.uri.clone(),
            headers: parts.headers.clone(),
        })
    }
}

/// A reader let in, its read on record.
pub(super) struct Reader {
    principal: Principal,
    pub(super) reading: Reading,
    /// The one it asked about, if it did.
    actor: Option<Omni>,
    /// A feed's, held as long as it is open.
    _seat: Option<Seat>,
}

impl Asking {
    /// Lets a reader in and puts the read on record: one about all actors, or about one.
    /// Whom a name is of is looked up only for somebody who was let in, and one that nobody has is
    /// refused as one that this reader may not see.
    pub(super) async fn enter(
        self,
        named: Result<Option<&str>, Cause>,
        feed: bool,
    ) -> Result<Reader, Refusal> {
        let authority = &self.app.authority;
        let found = self.visit.found();
        let knock = Knock {
            authorization: header(&self.headers, AUTHORIZATION),
            actor: Header::Absent,
            argument: None,
            asked: "audit.read",
            found: found.map(|(cause, _)| cause).or(named.err()),
            seen: found.map(|(_, seen)| seen),
            source: &self.visit.source,
            protocol: "http",
            door: Door::Http,
        };
        let admitted = authority.admit(&knock, Wants::Reader).await;
        let principal = admitted.map_err(|turned| turned.refusal)?;
        let actor = match named? {
            None => Ok(None),
            Some(name) => {
                let known = authority.omni_of(name).await?;
                known.map(Some).ok_or(Cause::ActorForbidden.into())
            }
        };
        let read = match actor {
            Ok(actor) => authority
                .reading(&principal, actor)
                .await
                .map(|r| (r, actor)),
            Err(unknown) => Err(unknown),
        };
        let (reading, actor) = match read {
            Ok(read) => read,
            Err(refusal) => return Err(authority.refuse_read(&principal, refusal).await),
        };
        let seat = if feed {
            let token = principal.token_id().unwrap_or_default();
            let seat = self.app.streams.seat(token);
            if seat.is_none() {
                return Err(authority.too_many(&principal, knock.asked, 1).await);
            }
            seat
        } else {
            None
        };
        let (path, query) = (self.uri.path(), self.uri.query().unwrap_or_default());
        let what = format!("{path}?{query}");
        authority
            .perform(&principal, Call::AuditRead { what, actor })
            .await?;
        Ok(Reader {
            principal,
            reading,
            actor,
            _seat: seat,
        })
    }

    /// The same for events: with what to look for.
    async fn open(self, given: &Given, feed: bool) -> Result<(Reader, EventFilter), Refusal> {
        let resumed = if feed {
            resumed(&self.headers)
        } else {
            Ok(None)
        };
        let asked = match (given, resumed) {
            (Ok(Query(filters)), Ok(resumed)) => Ok((filters, resumed)),
            _ => Err(Cause::RequestMalformed),
        };
        let named = match &asked {
            Ok((filters, _)) => Ok(filters.actor.as_deref()),
            Err(cause) => Err(*cause),
        };
        let reader = self.enter(named, feed).await?;
        let (filters, resumed) = asked?;
        let mut filter = filters.to_filter(reader.actor);
        filter.from_seq = resumed.or(filter.from_seq);
        Ok((reader, filter))
    }
}

/// Where a feed goes on: after the last event its reader saw.
fn resumed(headers: &HeaderMap) -> Result<Option<u64>, Cause> {
    match header(headers, LAST_EVENT_ID) {
        Header::Absent | Header::One("") => Ok(None),
        Header::One(text) => match text.parse::<u64>() {
            Ok(seq) => Ok(Some(seq.saturating_add(1))),
            Err(_) => Err(Cause::RequestMalformed),
        },
        Header::Several | Header::Unreadable => Err(Cause::RequestMalformed),
    }
}

/// Where to read on after a read of the log up to `size`: when nothing was cut off, nothing else
/// matches below it.
fn next_place(events: &[Value], filter: &EventFilter, size: u64) -> u64 {
    let last = events.last().and_then(|e| e["seq"].as_u64());
    let from = filter.from_seq.unwrap_or(0);
    let next = last.map_or(from, |seq| seq.saturating_add(1));
    let cut = !filter.newest && events.len() >= filter.limit as usize && filter.limit > 0;
    if cut { next } else { next.max(size) }
}

pub(super) fn refuse(refusal: &Refusal) -> Response {
    edge::respond(refusal, refusal.to_body(&Value::Null))
}

pub(super) async fn events(State(app): State<Arc<App>>, asking: Asking, given: Given) -> Response {
    let page = async {
        let (reader, mut filter) = asking.open(&given, false).await?;
        let size = app.authority.log_size().await?;
        filter.until_seq = Some(size);
        let events = app.authority.events(&reader.reading, &filter).await?;
        let next = next_place(&events, &filter, size);
        Ok::<_, Refusal>(json!({"events": events, "next_seq": next}))
    };
    match page.await {
        Ok(page) => axum::Json(page).into_response(),
        Err(refusal) => refuse(&refusal),
    }
}

pub(super) async fn stream(State(app): State<Arc<App>>, asking: Asking, given: Given) -> Response {
    let opened = async {
        let (reader, mut filter) = asking.open(&given, true).await?;
        let size = app.authority.log_size().await?;
        filter.from_seq = Some(filter.from_seq.unwrap_or(size));
        filter.limit = CHUNK;
        filter.newest = false;
        let now = Instant::now();
        Ok::<_, Refusal>(Feed {
            grown: app.authority.watch(),
            app: Arc::clone(&app),
            reader,
            filter,
            more: true,
            scanned: now,
            checked: now,
            spoke: now,
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
    reader: Reader,
    filter: EventFilter,
    grown: tokio::sync::watch::Receiver<u64>,
    /// The last look was cut off: the rest is due at once.
    more: bool,
    /// When it last looked into the log, at its token, and said something.
    scanned: Instant,
    checked: Instant,
    spoke: Instant,
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
            // What was committed before the server began to stop is still sent.
            let stopping = self.app.shutdown.is_cancelled();
            let events = self.look().await?;
            if !events.is_empty() || self.checked.elapsed() >= RECHECK {
                let principal = &self.reader.principal;
                if !self.app.authority.still_good(principal).await {
                    return None;
                }
                self.checked = Instant::now();
            }
            if !events.is_empty() {
                self.spoke = Instant::now();
                return Some(chunk(&events));
            }
            if stopping {
                return None;
            }
            if self.spoke.elapsed() >= KEEP_ALIVE {
                self.spoke = Instant::now();
                return Some(": alive\n\n".to_owned());
            }
            tokio::select! {
                changed = self.grown.changed() => changed.ok()?,
                () = self.app.shutdown.cancelled() => {}
                () = tokio::time::sleep(RECHECK) => {}
            }
        }
    }

    /// What is new. Looks only at what was not looked at before, whether or not it matched, and
    /// takes commits that follow each other closely in one look.
    async fn look(&mut self) -> Option<Vec<Value>> {
        if !self.more {
            tokio::time::sleep_until(self.scanned + SCAN_EVERY).await;
        }
        self.scanned = Instant::now();
        let size = *self.grown.borrow_and_update();
        let filter = &mut self.filter;
        if filter.from_seq.is_some_and(|from| from >= size) {
            self.more = false;
            return Some(Vec::new());
        }
        filter.until_seq = Some(size);
        let authority = &self.app.authority;
        let events = authority.events(&self.reader.reading, filter).await.ok()?;
        self.more = events.len() >= filter.limit as usize;
        filter.from_seq = Some(next_place(&events, filter, size));
        Some(events)
    }
}

fn chunk(events: &[Value]) -> String {
    let mut chunk = String::new();
    for event in events {
        // Writing to a string cannot fail.
        let _ = write!(
            chunk,
            "id: {}\nevent: audit\ndata: {event}\n\n",
            event["seq"]
        );
    }
    chunk
}
