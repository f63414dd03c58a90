//! Rows against refusals: each must have left exactly one, and it must say the same.

use super::events::Event;
use super::kit::Kit;
use super::matrix::RowExpect;

/// A refusal that was seen, waiting for its row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Awaited {
    /// Of its check.
    pub id: String,
    pub row: RowExpect,
    /// The last word of the code that the caller got.
    pub reason: String,
}

/// What was wrong with the rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Amiss {
    /// No row fits this refusal.
    Missing { id: String, nearest: String },
    /// A row of the kit's that no refusal accounts for.
    Extra { row: String },
}

/// Matches rows and refusals one to one, in order. Rows of other vendors and other strangers, and
/// those about the bound on refusals, are not this suite's.
pub(super) fn compare(kit: &Kit, awaited: &[Awaited], rows: &[Event]) -> Vec<Amiss> {
    let source = awaited
        .iter()
        .find(|a| a.row.vendor.is_none())
        .and_then(|a| {
            let ours = rows.iter().find(|r| fits(a, r));
            ours.and_then(source_of)
        });
    let ours: Vec<&Event> = rows.iter().filter(|r| is_ours(kit, r, source)).collect();
    let mut amiss = Vec::new();
    let mut next = 0;
    for one in awaited {
        let found = ours.iter().skip(next).position(|row| fits(one, row));
        if let Some(skipped) = found {
            amiss.extend(
                ours.iter()
                    .skip(next)
                    .take(skipped)
                    .map(|row| Amiss::Extra { row: told(row) }),
            );
            next += skipped + 1;
        } else {
            let nearest = ours
                .get(next)
                .map_or_else(|| "no further row".to_owned(), |row| told(row));
            amiss.push(Amiss::Missing {
                id: one.id.clone(),
                nearest,
            });
        }
    }
    amiss.extend(
        ours.iter()
            .skip(next)
            .map(|row| Amiss::Extra { row: told(row) }),
    );
    amiss
}

/// A stranger's row is ours if it comes from where our first one came from.
fn is_ours(kit: &Kit, row: &Event, source: Option<&str>) -> bool {
    if row.text("reason") == Some("rate_limited") {
        return false;
    }
    match row.text("vendor") {
        Some(vendor) => kit.owns(vendor),
        None => row.text("token_id").is_none() && source.is_some() && source_of(row) == source,
    }
}

fn source_of(row: &Event) -> Option<&str> {
    row.0
        .pointer("/claimed/source")
        .and_then(serde_json::Value::as_str)
}

/// Whether a row is the row of this refusal.
pub(super) fn fits(awaited: &Awaited, row: &Event) -> bool {
    let expect = &awaited.row;
    row.text("actor_omni") == expect.actor.as_deref()
        && row.text("vendor") == expect.vendor.as_deref()
        && row.text("token_id") == expect.token_id.as_deref()
        && row.text("reason") == Some(awaited.reason.as_str())
        && row.number("status") == Some(u64::from(expect.status))
        && row.text("tool") == Some(expect.tool.as_str())
        && row.text("verdict") == Some(expect.verdict)
}

/// A row in one line.
pub(super) fn told(row: &Event) -> String {
    let text = |key| row.text(key).unwrap_or("null");
    format!(
        "seq {} tool {} actor {} vendor {} token {} verdict {} reason {} status {}",
        row.seq(),
        text("tool"),
        text("actor_omni"),
        text("vendor"),
        text("token_id"),
        text("verdict"),
        text("reason"),
        row.number("status").unwrap_or_default()
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::acceptance::kit::tests::paper;
    use serde_json::{Value, json};

    fn awaited(id: &str, vendor: Option<&str>, reason: &str) -> Awaited {
        Awaited {
            id: id.to_owned(),
            row: RowExpect {
                actor: None,
                vendor: vendor.map(str::to_owned),
                token_id: vendor.map(|_| "t1".to_owned()),
                tool: "t".to_owned(),
                verdict: "deny",
                status: 403,
            },
            reason: reason.to_owned(),
        }
    }

    fn row(vendor: &Value, reason: &str, source: &str) -> Event {
        let token = if vendor.is_null() {
            Value::Null
        } else {
            json!("t1")
        };
        Event(
            json!({"seq": 1, "tool": "t", "actor_omni": null, "vendor": vendor, "token_id": token,
            "reason": reason, "status": 403, "verdict": "deny", "claimed": {"source": source}}),
        )
    }

    fn ours(reason: &str) -> Event {
        row(&json!("kit-paper-x"), reason, "")
    }

    #[test]
    fn rows_that_fit_one_to_one_are_silent_about_others() {
        let rows = [
            row(&Value::Null, "a", "10.0.0.1"),
            row(&Value::Null, "b", "10.9.9.9"),
            row(&json!("magiclick"), "b", ""),
            ours("rate_limited"),
            ours("b"),
        ];
        let wanted = [
            awaited("1", None, "a"),
            awaited("2", Some("kit-paper-x"), "b"),
        ];
        assert_eq!(compare(&paper(), &wanted, &rows), []);
    }

    #[test]
    fn a_missing_a_doubled_and_a_wrong_row_are_told() {
        let wanted = [
            awaited("1", Some("kit-paper-x"), "a"),
            awaited("2", Some("kit-paper-x"), "b"),
        ];
        let missing = compare(&paper(), &wanted, &[ours("a")]);
        assert!(matches!(&missing[..], [Amiss::Missing { id, .. }] if id == "2"));
        let doubled = compare(&paper(), &wanted, &[ours("a"), ours("a"), ours("b")]);
        assert!(matches!(&doubled[..], [Amiss::Extra { .. }]));
        let wrong = compare(&paper(), &wanted, &[ours("a"), ours("c")]);
        assert_eq!(wrong.len(), 2);
        let stranger = compare(
            &paper(),
            &[awaited("1", None, "a")],
            &[row(&Value::Null, "a", "me"), row(&Value::Null, "a", "me")],
        );
        assert!(matches!(&stranger[..], [Amiss::Extra { .. }]));
    }
}
