//! The live feed as an auditor follows it, with when each row came.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio_util::task::AbortOnDropHandle;

use crate::acceptance::AcceptError;
use crate::acceptance::client::{Client, value};
use crate::acceptance::events::Event;
use crate::rails::wire::SseEvents;
use crate::secret::Secret;

/// Rows that are kept: a proof looks back over its own few.
const KEPT: usize = 4096;
/// The largest piece of a row that is kept until the rest comes.
const MAX_BYTES: usize = 4 * 1024 * 1024;
/// How long the feed may be followed.
const LONGEST: Duration = Duration::from_hours(2);

/// An open feed. Dropping it closes it.
#[derive(Debug)]
pub(in crate::acceptance) struct Feed {
    seen: Arc<Seen>,
    _reader: AbortOnDropHandle<()>,
}

#[derive(Debug, Default)]
struct Seen {
    rows: Mutex<VecDeque<(Instant, Event)>>,
    news: Notify,
}

impl Seen {
    fn came(&self, event: Event) {
        let mut rows = self.rows.lock();
        if rows.len() == KEPT {
            rows.pop_front();
        }
        rows.push_back((Instant::now(), event));
        drop(rows);
        self.news.notify_waiters();
    }

    fn find(&self, wanted: &impl Fn(&Event) -> bool) -> Option<Instant> {
        let rows = self.rows.lock();
        let found = rows.iter().find(|(_, event)| wanted(event));
        found.map(|(at, _)| *at)
    }
}

impl Feed {
    /// Opens the feed at a place in the log.
    pub(in crate::acceptance) async fn open(
        client: &Client,
        token: &Secret<String>,
        from_seq: u64,
    ) -> Result<Self, AcceptError> {
        let bearer = value(&format!("Bearer {}", token.expose()));
        let path = format!("/v1/audit/stream?from_seq={from_seq}");
        let headers = vec![("authorization", bearer)];
        let mut answer = client.stream(&path, &headers, LONGEST).await?;
        if answer.status().as_u16() != 200 {
            let cause = format!("HTTP {}", answer.status());
            return Err(AcceptError::protocol("GET /v1/audit/stream", cause));
        }
        let seen = Arc::new(Seen::default());
        let rows = Arc::clone(&seen);
        let reader = AbortOnDropHandle::new(tokio::spawn(async move {
            let mut events = SseEvents::default();
            // A feed that ends early brings no more rows, which is what the proof then finds.
            while let Ok(Some(chunk)) = answer.chunk().await {
                for data in events.push(&chunk) {
                    if let Ok(event) = serde_json::from_slice(&data) {
                        rows.came(Event(event));
                    }
                }
                if events.pending() > MAX_BYTES {
                    return;
                }
            }
        }));
        Ok(Self {
            seen,
            _reader: reader,
        })
    }

    /// When a row came, if it comes before `until`.
    pub(in crate::acceptance) async fn when(
        &self,
        until: Instant,
        wanted: impl Fn(&Event) -> bool,
    ) -> Option<Instant> {
        loop {
            let news = self.seen.news.notified();
            tokio::pin!(news);
            // From here on no row is missed, so that none can come between the look and the wait.
            news.as_mut().enable();
            if let Some(at) = self.seen.find(&wanted) {
                return Some(at);
            }
            tokio::time::timeout_at(until.into(), news).await.ok()?;
        }
    }
}
