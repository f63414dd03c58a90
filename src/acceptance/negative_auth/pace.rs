//! Keeps the suite under the bounds that a server sets on refusals, since what it shows is about
//! the refusals and not about the bounds: strangers fold after 600 a minute for one reason, and a
//! token may be refused 1 000 times at once and ten times a second (`design.md`, Floods).

use std::collections::HashMap;
use std::time::Duration;

use jiff::Timestamp;

use crate::acceptance::AcceptError;
use crate::acceptance::events::{Event, Log};
use crate::acceptance::matrix::Cell;

const STRANGERS_A_MINUTE: usize = 600;
/// Of one token, within the time in which its bound refills.
const OF_A_TOKEN: usize = 1_000;
const REFILL_S: i64 = 100;
/// By when every bound has refilled.
const MAX_WAIT_S: i64 = 120;

/// How many refusals there are under each bound: by reason for strangers, by id for tokens.
#[derive(Debug, Default, PartialEq, Eq)]
struct Load {
    strangers: HashMap<String, usize>,
    tokens: HashMap<String, usize>,
}

impl Load {
    fn planned(cells: &[Cell]) -> Self {
        let mut load = Self::default();
        for cell in cells {
            let code = cell.expect.codes.first().copied().unwrap_or_default();
            let reason = code.rsplit('.').next().unwrap_or_default();
            load.add(cell.expect.row.token_id.as_deref(), reason);
        }
        load
    }

    /// Strangers count by the clock's minute, tokens by when their bound is full again.
    fn recent(rows: &[Event], minute: Timestamp) -> Self {
        let mut load = Self::default();
        for row in rows
            .iter()
            .filter(|r| r.number("status").unwrap_or_default() >= 400)
        {
            let at: Option<Timestamp> = row.text("ts").and_then(|t| t.parse().ok());
            let token = row.text("token_id");
            if token.is_some() || at.is_some_and(|at| at >= minute) {
                load.add(token, row.text("reason").unwrap_or_default());
            }
        }
        load
    }

    fn add(&mut self, token: Option<&str>, reason: &str) {
        let count = match token {
            Some(id) => self.tokens.entry(id.to_owned()),
            None => self.strangers.entry(reason.to_owned()),
        };
        *count.or_default() += 1;
    }

    /// Whether both together stay under every bound that the plan touches.
    fn fits(&self, recent: &Self) -> bool {
        let under = |planned: &HashMap<String, usize>, recent: &HashMap<String, usize>, most| {
            planned
                .iter()
                .all(|(key, n)| n + recent.get(key).copied().unwrap_or(0) <= most)
        };
        under(&self.strangers, &recent.strangers, STRANGERS_A_MINUTE)
            && under(&self.tokens, &recent.tokens, OF_A_TOKEN)
    }
}

/// Waits, when the suite ran a moment ago, until it can run without meeting a bound.
pub(super) async fn wait(
    log: &Log<'_>,
    cells: &[Cell],
    progress: &(dyn Fn(&str) + Sync),
) -> Result<(), AcceptError> {
    let planned = Load::planned(cells);
    let mut waited = 0;
    loop {
        let now = log.now().await?;
        let minute = start_of_minute(now);
        let since = Timestamp::from_second(now.as_second() - REFILL_S).unwrap_or(minute);
        let recent = Load::recent(
            &log.of(&format!("since={}", since.min(minute))).await?,
            minute,
        );
        if planned.fits(&recent) || waited >= MAX_WAIT_S {
            return Ok(());
        }
        // Both bounds move by the server's clock, so its next minute is what there is to wait for.
        let left = 60 - now.as_second().rem_euclid(60);
        progress(&format!(
            "the last run is too recent: waiting {left} s for the bound on refusals"
        ));
        let left_s = u64::try_from(left).unwrap_or(60);
        tokio::time::sleep(Duration::from_secs(left_s)).await;
        waited += left;
    }
}

fn start_of_minute(at: Timestamp) -> Timestamp {
    let second = at.as_second();
    Timestamp::from_second(second - second.rem_euclid(60)).unwrap_or(at)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::acceptance::kit::tests::paper;
    use crate::acceptance::matrix;
    use serde_json::json;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn strangers_count_by_the_minute_and_tokens_longer() {
        let minute = start_of_minute(at("2026-01-01T00:01:59.9Z"));
        assert_eq!(minute, at("2026-01-01T00:01:00Z"));
        let row = |ts: &str, token: Option<&str>, status: u64| {
            Event(json!({"ts": ts, "token_id": token, "reason": "token_missing", "status": status}))
        };
        let load = Load::recent(
            &[
                row("2026-01-01T00:00:59Z", None, 401),
                row("2026-01-01T00:01:00Z", None, 401),
                row("2026-01-01T00:00:59Z", Some("t"), 403),
                row("2026-01-01T00:01:30Z", Some("t"), 200),
            ],
            minute,
        );
        assert_eq!(load.strangers["token_missing"], 1);
        assert_eq!(load.tokens["t"], 1);
    }

    #[test]
    fn one_run_fits_and_what_came_before_counts() {
        let planned = Load::planned(&matrix::cells(&paper()).unwrap());
        assert!(planned.fits(&Load::default()));
        let mut recent = Load::default();
        recent.strangers.insert("token_missing".to_owned(), 500);
        assert!(!planned.fits(&recent));
        let mut other = Load::default();
        other.strangers.insert("host_not_allowed".to_owned(), 5_000);
        assert!(planned.fits(&other), "a bound that the plan does not touch");
    }
}
