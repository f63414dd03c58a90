//! The audit log as an auditor reads it over HTTP.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::Value;

use super::AcceptError;
use super::client::{Client, Headers, value};
use crate::secret::Secret;
use crate::text::clean_to;

const WHERE: &str = "GET /v1/audit/events";

/// What reading the log leaves in it; no suite's business.
const OWN_READS: &str = "audit.read";
/// Rows asked for at once.
const PAGE: usize = 500;
/// One look at a log takes no longer, and no more of it: a busy server's is read in seconds, and one
/// that never ends is a finding.
const LONGEST: Duration = Duration::from_secs(30);
const MAX_BYTES: usize = 64 * 1024 * 1024;

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
        log.next = log.newest().await?.map_or(Ok(0), |e| after(&e))?;
        Ok(log)
    }

    /// The place of an actor's newest row, reads of the log left out.
    pub async fn last_of(
        client: &Client,
        token: &Secret<String>,
        actor: &str,
    ) -> Result<Option<u64>, AcceptError> {
        let query = format!("actor={actor}&newest=true&limit={PAGE}");
        let (rows, _) = Log::new(client, token).page(&query).await?;
        let ours = rows.iter().rfind(|e| e.text("tool") != Some(OWN_READS));
        Ok(ours.map(Event::seq))
    }

    /// Every row about an actor that let something happen.
    pub async fn accepted(
        client: &Client,
        token: &Secret<String>,
        actor: &str,
    ) -> Result<Vec<Event>, AcceptError> {
        let log = Log::new(client, token);
        log.of(&format!("actor={actor}&verdict=accept")).await
    }

    /// Where it reads on.
    pub const fn place(&self) -> u64 {
        self.next
    }

    /// What was written since the last call, without our own reads of the log.
    pub async fn fresh(&mut self) -> Result<Vec<Event>, AcceptError> {
        let mut read = Read::new(self.next);
        loop {
            let page = self
                .page(&format!("from_seq={}&limit={PAGE}", read.next))
                .await?;
            let had = read.rows.len();
            read.take(page)?;
            self.next = read.next;
            // Each read leaves a row itself, so the log never ends; a page of nothing else does.
            if read.rows.len() == had {
                return Ok(read.rows);
            }
        }
    }

    /// Rows that these filters let through, such as `since=`, oldest first; this and other reads of
    /// the log left out.
    pub async fn of(&self, filters: &str) -> Result<Vec<Event>, AcceptError> {
        let mut read = Read::new(0);
        loop {
            let page = format!("{filters}&limit={PAGE}&from_seq={}", read.next);
            let page = self.page(&page).await?;
            let full = page.0.len() >= PAGE;
            read.take(page)?;
            if !full {
                return Ok(read.rows);
            }
        }
    }

    /// The server's clock, as the row that this very question leaves tells it.
    pub async fn now(&self) -> Result<jiff::Timestamp, AcceptError> {
        let newest = self.newest().await?;
        let at = newest.as_ref().and_then(|e| e.text("ts")?.parse().ok());
        at.ok_or_else(|| AcceptError::protocol(WHERE, "no row with a time"))
    }

    /// The newest row: the one that this very question leaves, or one after it.
    async fn newest(&self) -> Result<Option<Event>, AcceptError> {
        Ok(self.page("newest=true&limit=1").await?.0.pop())
    }

    async fn page(&self, query: &str) -> Result<Page, AcceptError> {
        let path = format!("/v1/audit/events?{query}");
        let asked = self
            .client
            .bare(Method::GET, &path, &self.headers, Vec::new());
        let (mut reply, body) = asked.await?;
        match reply.json.get_mut("events").map(Value::take) {
            Some(Value::Array(events)) if reply.status == 200 => {
                Ok((events.into_iter().map(Event).collect(), body.len()))
            }
            _ if reply.status == 401 => Err(AcceptError::KitUnknown {
                url: self.client.base().to_owned(),
                cause: match reply.text("/error/message") {
                    Some(said) => clean_to(said, 300),
                    None => reply.told(),
                },
            }),
            _ => Err(AcceptError::protocol(WHERE, reply.told())),
        }
    }
}

/// Rows, and how many bytes they came in.
type Page = (Vec<Event>, usize);

/// The place after a row.
fn after(row: &Event) -> Result<u64, AcceptError> {
    let place = row.number("seq").and_then(|seq| seq.checked_add(1));
    place.ok_or_else(|| AcceptError::protocol(WHERE, "a row has no place after which one can come"))
}

/// One look at a log, page by page, and how much of it is enough.
struct Read {
    rows: Vec<Event>,
    next: u64,
    bytes: usize,
    began: Instant,
}

impl Read {
    fn new(next: u64) -> Self {
        Self {
            rows: Vec::new(),
            next,
            bytes: 0,
            began: Instant::now(),
        }
    }

    /// Takes a page, which leads further: no row in it is from before its place.
    fn take(&mut self, (rows, bytes): Page) -> Result<(), AcceptError> {
        self.bytes += bytes;
        if self.bytes > MAX_BYTES || self.began.elapsed() > LONGEST {
            let cause = format!(
                "the log does not end: {} rows, {} bytes in {} s",
                self.rows.len(),
                self.bytes,
                self.began.elapsed().as_secs()
            );
            return Err(AcceptError::protocol(WHERE, cause));
        }
        let from = self.next;
        for event in rows {
            let after = after(&event)?;
            if after <= from {
                let cause = format!(
                    "row {} was told when those from {from} on were asked",
                    after - 1
                );
                return Err(AcceptError::protocol(WHERE, cause));
            }
            self.next = self.next.max(after);
            if event.text("tool") != Some(OWN_READS) {
                self.rows.push(event);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    fn row(seq: impl Into<Value>) -> Event {
        Event(json!({"seq": seq.into(), "tool": "x"}))
    }

    #[test]
    fn a_page_leads_further_or_is_an_error() {
        let mut read = Read::new(5);
        read.take((vec![row(5), row(7)], 10)).unwrap();
        assert_eq!((read.next, read.rows.len()), (8, 2));
        // The same row for ever, one without a place, and the last there can be.
        for bad in [row(7), Event(json!({})), row(u64::MAX)] {
            assert!(
                Read::new(8).take((vec![bad.clone()], 10)).is_err(),
                "{bad:?}"
            );
        }
    }

    #[test]
    fn a_log_that_never_ends_is_an_error() {
        let mut read = Read::new(0);
        let pages = (0..100).map_while(|n| read.take((vec![row(n)], MAX_BYTES / 10)).ok());
        assert_eq!(pages.count(), 10);
        let mut read = Read::new(0);
        read.began = Instant::now().checked_sub(LONGEST * 2).unwrap();
        assert!(read.take((vec![row(1)], 10)).is_err());
    }
}
