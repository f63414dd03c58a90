//! Erasures that happened after a snapshot was taken, from rows that somebody kept elsewhere.

use crate::authority::identity::Omni;
use crate::authority::words::Namespace;
use crate::problem::{Exit, Problem};
use serde_json::Value;
use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;

/// What the row of an erasure is called.
pub(super) const TOOL: &str = "memory.erase";

/// How a row may end.
const VERDICTS: [&str; 4] = ["accept", "deny", "ask_parent", "error"];

/// No row of ours is longer.
const MAX_LINE: u64 = 1024 * 1024;

/// More erasures than that are no accident.
const MAX_ERASURES: usize = 1_000_000;

/// A row of the log that says that something was erased.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Erasure {
    /// The row's id.
    pub event_id: String,
    /// Its place in the log.
    pub seq: u64,
    /// Whose memories.
    pub actor: Omni,
    /// The operator that actor is of.
    pub operator: Option<Omni>,
    /// Which memories.
    pub namespaces: Vec<Namespace>,
    /// Whether what was stated for the record went too.
    pub statements: bool,
    /// The row that it repeats, after another restore.
    pub replays: Option<String>,
}

impl Erasure {
    /// From a row as a listing shows it; none for a row of anything else, or of what did not happen.
    pub(super) fn of(row: &Value) -> Option<Result<Self, &'static str>> {
        let text = |key: &str| row[key].as_str();
        (text("tool") == Some(TOOL) && text("verdict") == Some("accept"))
            .then(|| Self::read(row).ok_or("it does not say what was erased"))
    }

    fn read(row: &Value) -> Option<Self> {
        let detail = &row["detail"];
        let words = detail["namespaces"].as_array()?.iter();
        let namespaces = words.map(|word| word.as_str()?.parse().ok());
        let namespaces: Vec<Namespace> = namespaces.collect::<Option<_>>()?;
        // Older rows do not say it, and mean everything when they name every namespace.
        let all = namespaces.len() == Namespace::ALL.len();
        let omni = |key: &str| row[key].as_str()?.parse().ok();
        let told = |value: &Value| value.as_str().map(ToOwned::to_owned);
        Some(Self {
            event_id: told(&row["event_id"])?,
            seq: row["seq"].as_u64()?,
            actor: omni("actor_omni")?,
            operator: omni("operator_omni"),
            statements: detail["statements"].as_bool().unwrap_or(all),
            namespaces,
            replays: told(&detail["replays"]),
        })
    }

    /// Those in a file of rows, one JSON object a line, as `agentkeys audit list --json` prints them and
    /// `agentkeys audit export` and a tail of the feed write them. Other rows are passed over.
    pub fn all_in(path: &Path) -> Result<Vec<Self>, Problem> {
        let shown = path.display();
        let unusable = |cause: String| {
            Problem::new(
                Exit::Usage,
                "agentkeys.restore.erasures_invalid",
                cause,
                "give rows as `agentkeys audit export --tool memory.erase` writes them, all of them and \
                 not blanked for a viewer",
            )
        };
        let opened = std::fs::File::open(path);
        let opened = opened.map_err(|error| unusable(format!("{shown}: {error}")))?;
        let mut from = BufReader::new(opened);
        let mut found: Vec<Self> = Vec::new();
        let mut seen = HashMap::new();
        let mut line = Vec::new();
        for number in 1_u64.. {
            line.clear();
            let read = (&mut from).take(MAX_LINE).read_until(b'\n', &mut line);
            let read = read.map_err(|error| unusable(format!("{shown}: {error}")))?;
            if read == 0 {
                break;
            }
            if line.trim_ascii().is_empty() {
                continue;
            }
            let here = |what: &str| unusable(format!("{shown}, line {number}: {what}"));
            let row: Value = serde_json::from_slice(&line).map_err(|_| here("it is no JSON"))?;
            if !row.is_object() || row.get("tool").is_none() {
                return Err(here("it is no row of the log"));
            }
            let verdict = row["verdict"].as_str().unwrap_or_default();
            if row["tool"] == TOOL && !VERDICTS.contains(&verdict) {
                return Err(here("it does not say whether it was done"));
            }
            let Some(erasure) = Self::of(&row) else {
                continue;
            };
            let erasure = erasure.map_err(here)?;
            match seen.get(&erasure.event_id) {
                None => {
                    seen.insert(erasure.event_id.clone(), found.len());
                    found.push(erasure);
                }
                Some(&at) if found.get(at) == Some(&erasure) => {}
                // Believing the first would let a made-up line hide a real one.
                Some(_) => return Err(here("an earlier line says another thing of this event")),
            }
            if found.len() > MAX_ERASURES {
                return Err(here("there are too many"));
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    fn row(detail: &Value) -> Value {
        json!({
            "event_id": "evt_1", "seq": 7, "tool": TOOL, "verdict": "accept",
            "actor_omni": Omni::from_bytes([1; 32]).to_string(), "detail": detail,
        })
    }

    #[test]
    fn a_row_says_what_was_erased() {
        let of = |detail: Value| Erasure::of(&row(&detail)).unwrap();
        let one = of(json!({"namespaces": ["travel"]})).unwrap();
        assert_eq!((one.statements, one.namespaces.len()), (false, 1));
        let all = json!({"namespaces": ["personal", "family", "work", "travel"]});
        assert!(of(all).unwrap().statements);
        let again = json!({"namespaces": ["work"], "statements": true, "replays": "evt_0"});
        let again = of(again).unwrap();
        assert_eq!(
            (again.statements, again.replays.as_deref()),
            (true, Some("evt_0"))
        );
        for blank in [json!(null), json!({}), json!({"namespaces": ["cooking"]})] {
            assert!(of(blank).is_err());
        }
        let mut refused = row(&json!({"namespaces": ["travel"]}));
        refused["verdict"] = "error".into();
        assert!(Erasure::of(&refused).is_none());
    }

    #[test]
    fn a_file_of_rows_is_read_whole_or_not_at_all() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("rows");
        let good = row(&json!({"namespaces": ["travel"]}));
        let other = json!({"tool": "vendor.create"});
        std::fs::write(&path, format!("{other}\n{good}\n\n")).unwrap();
        assert_eq!(Erasure::all_in(&path).unwrap().len(), 1);
        // The same row twice is one.
        std::fs::write(&path, format!("{good}\n{good}\n")).unwrap();
        assert_eq!(Erasure::all_in(&path).unwrap().len(), 1);
        let other = row(&json!({"namespaces": ["work"]})).to_string() + "\n";
        let unsaid = json!({"tool": TOOL}).to_string() + "\n";
        let bad = [
            "event_id,seq\n",
            "[]\n",
            "{}\n",
            "{\"tool\":",
            &other,
            &unsaid,
        ];
        for bad in bad {
            std::fs::write(&path, format!("{good}\n{bad}")).unwrap();
            let problem = Erasure::all_in(&path).unwrap_err();
            assert_eq!(problem.code, "agentkeys.restore.erasures_invalid");
            assert!(problem.cause.contains("line 2"), "{problem}");
        }
    }
}
