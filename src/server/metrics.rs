//! What a monitor asks for: counts of what was decided here, and how the server is. No label says
//! whom anything is about.

use super::App;
use super::ready::{self, Reading};
use crate::audit::envelope::kind::OpKind;
use crate::authority::event::Event;
use crate::authority::ports::{Clock, Meter};
use crate::finding::Status;
use crate::mcp::tools::TOOLS;
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use http::StatusCode;
use http::header::CONTENT_TYPE;
use parking_lot::Mutex;
use prometheus_client::encoding::{EncodeLabelSet, text::encode};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;
use std::collections::BTreeSet;
use std::sync::Arc;

/// The text format of `OpenMetrics` 1.0.
const TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The most reasons that are told apart: policies may have any.
const MAX_REASONS: usize = 200;

/// What stands for all others.
const OTHER: &str = "other";

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Decided {
    tool: String,
    rail: &'static str,
    verdict: &'static str,
    door: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Took {
    tool: String,
    rail: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Refused {
    reason: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answered {
    route: String,
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Kind {
    kind: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct At {
    listener: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Check {
    check: &'static str,
}

type Times = Family<Took, Histogram, fn() -> Histogram>;

/// Counts since the start.
pub(super) struct Metrics {
    clock: Arc<dyn Clock>,
    started_ms: i64,
    calls: Family<Decided, Counter>,
    seconds: Times,
    refusals: Family<Refused, Counter>,
    requests: Family<Answered, Counter>,
    reasons: Mutex<BTreeSet<String>>,
}

impl Metrics {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        // From half a millisecond to eight seconds.
        let buckets = || Histogram::new(exponential_buckets(0.000_5, 2.0, 15));
        Self {
            started_ms: clock.now_ms(),
            clock,
            calls: Family::default(),
            seconds: Family::new_with_constructor(buckets),
            refusals: Family::default(),
            requests: Family::default(),
            reasons: Mutex::default(),
        }
    }

    /// When the server started, Unix milliseconds.
    pub(super) const fn started_ms(&self) -> i64 {
        self.started_ms
    }

    /// A reason, if there is room for it.
    fn reason(&self, reason: &str) -> String {
        let mut reasons = self.reasons.lock();
        if reasons.contains(reason) {
            return reason.to_owned();
        }
        if reasons.len() >= MAX_REASONS {
            return OTHER.to_owned();
        }
        reasons.insert(reason.to_owned());
        reason.to_owned()
    }

    /// Everything as text, with how the server is now.
    fn text(&self, readings: &[Reading], app: &App) -> Result<String, std::fmt::Error> {
        let mut all = Registry::with_prefix("agentkeys");
        let version = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        all.register("build", "The program that runs", version);
        all.register(
            "calls",
            "Rows of the audit log written here",
            self.calls.clone(),
        );
        all.register(
            "call_seconds",
            "From the request to its durable row",
            self.seconds.clone(),
        );
        all.register(
            "refusals",
            "Refusals, folded ones counted each",
            self.refusals.clone(),
        );
        all.register("http_requests", "Answers over HTTP", self.requests.clone());
        let seconds = |ms: i64| ms / 1000;
        gauge(
            &mut all,
            "process_start_time_seconds",
            "When the server started, Unix time",
            seconds(self.started_ms),
        );
        let open = Family::<Kind, Gauge>::default();
        for (kind, streams) in [("feed", &app.streams), ("endpoint", &app.endpoints)] {
            open.get_or_create(&Kind { kind })
                .set(whole(streams.open()));
        }
        all.register("open_streams", "Feeds and sockets that are open", open);
        let connections = Family::<At, Gauge>::default();
        let mut most = 0;
        for (listener, door) in app.doors.each() {
            let (open, room) = door.open();
            most = room;
            let at = At { listener };
            connections.get_or_create(&at).set(whole(open));
        }
        all.register("open_connections", "Connections that are open", connections);
        gauge(
            &mut all,
            "open_connections_most",
            "Connections that one listener has room for",
            whole(most),
        );
        let ready = Family::<Check, Gauge>::default();
        for reading in readings {
            let works = i64::from(reading.found.status != Status::Failed);
            ready.get_or_create(&Check { check: reading.id }).set(works);
        }
        all.register(
            "ready",
            "1 unless this keeps the server from serving",
            ready,
        );
        let measured = readings.iter().flat_map(|r| &r.measured);
        for (name, help, value) in measured {
            // The log only grows.
            if *name == ready::EVENTS {
                let events: Counter = Counter::default();
                events.inc_by(u64::try_from(*value).unwrap_or_default());
                all.register(*name, *help, events);
            } else {
                gauge(&mut all, name, help, *value);
            }
        }
        let mut text = String::new();
        encode(&mut text, &all)?;
        Ok(text)
    }
}

fn whole(n: usize) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

fn gauge(registry: &mut Registry, name: &str, help: &str, value: i64) {
    let gauge: Gauge = Gauge::default();
    gauge.set(value);
    registry.register(name, help, gauge);
}

impl Meter for Metrics {
    fn wrote(&self, event: &Event) {
        let counts = &event.counts;
        // What was asked for in these is the asker's word.
        let asked = matches!(
            counts.kind,
            OpKind::ToolInvalid | OpKind::AuthRefused | OpKind::RefusalsFolded
        );
        let is_known = || TOOLS.iter().any(|t| t.name == event.tool);
        let name = if asked && !is_known() {
            OTHER
        } else {
            &event.tool
        }
        .to_owned();
        let rail = event.rail.map_or("none", |r| r.as_str());
        if matches!(event.verdict, "deny" | "ask_parent") {
            let reason = self.reason(&counts.reason);
            self.refusals
                .get_or_create(&Refused { reason })
                .inc_by(counts.times);
        }
        if counts.kind != OpKind::RefusalsFolded {
            let micros = self.clock.monotonic_us().saturating_sub(counts.started_us);
            #[allow(clippy::cast_precision_loss, reason = "a time in a histogram")]
            let seconds = micros as f64 / 1e6;
            let tool = name.clone();
            self.seconds
                .get_or_create(&Took { tool, rail })
                .observe(seconds);
        }
        let decided = Decided {
            tool: name,
            rail,
            verdict: event.verdict,
            door: counts.door.as_str(),
        };
        self.calls.get_or_create(&decided).inc();
    }
}

/// Counts an answer by the route that gave it.
pub(super) async fn count(
    State(app): State<Arc<App>>,
    path: MatchedPath,
    request: Request,
    next: Next,
) -> Response {
    let answer = next.run(request).await;
    let answered = Answered {
        route: path.as_str().to_owned(),
        status: answer.status().as_u16(),
    };
    app.metrics.requests.get_or_create(&answered).inc();
    answer
}

pub(super) async fn show(State(app): State<Arc<App>>) -> Response {
    let readings = ready::readings(&app).await;
    match app.metrics.text(&readings, &app) {
        Ok(text) => ([(CONTENT_TYPE, TYPE)], text).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}
