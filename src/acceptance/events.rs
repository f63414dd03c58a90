//! The audit log as an auditor reads it over HTTP.

use serde_json::Value;

use super::AcceptError;
use super::client::{Client, Headers, value};
use crate::secret::Secret;

/// What reading the log leaves in it; no suite's business.
const OWN_READS: &str = "audit.read";
/// Rows asked for at once.
const PAGE: usize = 500;

/// One row.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Event(pub Value);

impl Event {
    pub fn seq(&self) -> u64 {
        self.0
            .get("seq")
            .and_then(Value::as_u64)
            .unwrap_or_default()
    }

    /// A text field; `None` for null and absent alike.
    pub fn text(&self, key: &str) -> Option<&str> {
        self.0.get(key).and_then(Value::as_str)
    }

    pub fn number(&self, key: &str) -> Option<u64> {
        self.0.get(key).and_then(Value::as_u64)
    }
}

/// A reader with a place in the log.
#[derive(Debug)]
pub(super) struct Log<'a> {
    client: &'a Client,
    headers: Headers,
    next: u64,
}

impl<'a> Log<'a> {
    fn new(client: &'a Client, token: &Secret<String>) -> Self {
        let bearer = value(&format!("Bearer {}", token.expose()));
        Self {
            client,
            headers: vec![("authorization", bearer)],
            next: 0,
        }
    }

    /// A reader that begins where the log ends now.
    pub async fn at_end(client: &'a Client, token: &Secret<String>) -> Result<Self, AcceptError> {
        let mut log = Self::new(client, token);
        log.next = log.newest().await?.map_or(0, |e| e.seq() + 1);
        Ok(log)
    }

    /// The place of an actor's newest row, reads of the log left out.
    pub async fn last_of(
        client: &Client,
        token: &Secret<String>,
        actor: &str,
    ) -> Result<Option<u64>, AcceptError> {
        let query = format!("actor={actor}&newest=true&limit={PAGE}");
        let rows = Log::new(client, token).page(&query).await?;
        let ours = rows.iter().rfind(|e| e.text("tool") != Some(OWN_READS));
        Ok(ours.map(Event::seq))
    }

    /// Where it reads on.
    pub const fn place(&self) -> u64 {
        self.next
    }

    /// What was written since the last call, without our own reads of the log.
    pub async fn fresh(&mut self) -> Result<Vec<Event>, AcceptError> {
        let mut all = Vec::new();
        loop {
            let page = self
                .page(&format!("from_seq={}&limit={PAGE}", self.next))
                .await?;
            // Each read leaves a row itself, so the log never ends; a page of nothing else does.
            let mut news = false;
            for event in page {
                self.next = self.next.max(event.seq() + 1);
                if event.text("tool") != Some(OWN_READS) {
                    news = true;
                    all.push(event);
                }
            }
            if !news {
                return Ok(all);
            }
        }
    }

    /// Rows written since a moment, oldest first, this and other reads of the log left out.
    pub async fn since(&self, at: jiff::Timestamp) -> Result<Vec<Event>, AcceptError> {
        let mut all = Vec::new();
        let mut from = 0;
        loop {
            let page = self
                .page(&format!("since={at}&from_seq={from}&limit={PAGE}"))
                .await?;
            let full = page.len() >= PAGE;
            for event in page {
                from = from.max(event.seq() + 1);
                if event.text("tool") != Some(OWN_READS) {
                    all.push(event);
                }
            }
            if !full {
                return Ok(all);
            }
        }
    }

    /// The server's clock, as the row that this very question leaves tells it.
    pub async fn now(&self) -> Result<jiff::Timestamp, AcceptError> {
        let newest = self.newest().await?;
        let at = newest.as_ref().and_then(|e| e.text("ts")?.parse().ok());
        at.ok_or_else(|| AcceptError::protocol("GET /v1/audit/events", "no row with a time"))
    }

    /// The newest row: the one that this very question leaves, or one after it.
    async fn newest(&self) -> Result<Option<Event>, AcceptError> {
        Ok(self.page("newest=true&limit=1").await?.pop())
    }

    async fn page(&self, query: &str) -> Result<Vec<Event>, AcceptError> {
        let path = format!("/v1/audit/events?{query}");
        let reply = self.client.get(&path, &self.headers).await?;
        let events = reply.json.get("events").and_then(Value::as_array);
        match events {
            Some(events) if reply.status == 200 => Ok(events.iter().cloned().map(Event).collect()),
            _ => Err(AcceptError::protocol("GET /v1/audit/events", reply.told())),
        }
    }
}
