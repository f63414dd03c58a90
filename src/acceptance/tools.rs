//! Suite `tools`: the ten tools as each profile lists them, and what each answers, to the letter.

mod cases;
mod leak;
mod lint;
mod lists;
mod pattern;
mod pin;

use std::collections::HashMap;

use reqwest::Method;
use serde_json::{Map, Value};
use tokio_util::sync::CancellationToken;

use super::answer::hidden;
use super::client::{Client, Headers, Reply, value};
use super::events::{Event, Log};
use super::kit::{Kit, TokenKind, TokenState, VendorRef};
use super::mcp::{TOOLS, USUAL, credentials};
use super::report::{Check, Report};
use super::{AcceptError, Trust, rows, undo};
use cases::{Case, From, Want};

pub use pin::Pins;

/// The suite's name.
pub const SUITE: &str = "tools";
const FIX_LIST: &str = "the names, schemas and descriptions come from one table; make it fit `formats/ark.md` §4 and the host's profile";
const FIX_PIN: &str = "somebody or something between the program and its hosts changed what models are told of the tools, or the server is of another version: compare its tools/list with `agentkeys` of that version, and pin what you looked at (`--pin`)";
const FIX_ANSWER: &str = "compare with the Tools table of contract.md; what a host gets to see is decided by its profile";
const FIX_ROW: &str =
    "each call is one row, committed before its answer; `agentkeys audit list` shows what is there";

/// Runs the suite. It ends early when `stop` is cancelled, with everything put back.
pub async fn run(
    url: &str,
    kit: &Kit,
    trust: &Trust,
    pins: &Pins,
    progress: &(dyn Fn(&str) + Sync),
    stop: &CancellationToken,
) -> Result<Report, AcceptError> {
    let client = Client::new(url, trust, kit.authority()).await?;
    let mut report = Report::new(SUITE, client.base());
    // What a run left that was killed; what cannot be put back now is told at the end.
    let _ = undo::all(&client, kit).await;
    let mut log = Log::at_end(&client, kit.auditor()?).await?;
    let mut suite = Suite {
        kit,
        client: &client,
        stop,
        pins,
        checks: Vec::new(),
        fingerprints: Map::new(),
        known: HashMap::new(),
    };
    let ran = suite.all(&mut log, progress).await;
    let (calls, put_back) = undo::after(&client, kit, SUITE, ran).await?;
    report.checks = suite.checks;
    report.checks.push(put_back);
    for (profile, hash) in &suite.fingerprints {
        let hash = hash.as_str().unwrap_or_default();
        report.notes.push(format!(
            "tools/list as {profile} has it: --pin {profile}={hash}"
        ));
    }
    let fingerprints = Value::Object(suite.fingerprints);
    report.facts.insert("fingerprints".to_owned(), fingerprints);
    report.notes.push(format!("{calls} calls, one row each"));
    Ok(report)
}

struct Suite<'a> {
    kit: &'a Kit,
    client: &'a Client,
    stop: &'a CancellationToken,
    pins: &'a Pins,
    checks: Vec<Check>,
    /// Of the list as each profile gets it.
    fingerprints: Map<String, Value>,
    /// What earlier answers told, for later arguments: `$cap_id`.
    known: HashMap<&'static str, Value>,
}

impl Suite<'_> {
    /// Lists, calls and their rows; how many calls there were.
    async fn all(
        &mut self,
        log: &mut Log<'_>,
        progress: &(dyn Fn(&str) + Sync),
    ) -> Result<usize, AcceptError> {
        for from in [From::Plain, From::First, From::Second] {
            progress(&format!(
                "tools/list as {} gets it",
                from.profile().as_str()
            ));
            self.lists(from).await?;
        }
        // An accepted list leaves no row, and neither does a hello.
        let idle = log.fresh().await?;
        self.no_rows(&idle);
        let cases = cases::all(self.kit);
        for case in &cases {
            AcceptError::going_on(self.stop)?;
            progress(&format!("{} ({})", case.id, case.from.profile().as_str()));
            self.case(case).await?;
        }
        let fresh = log.fresh().await?;
        self.rows(&cases, &fresh)?;
        Ok(cases.len())
    }

    fn vendor(&self, from: From) -> &VendorRef {
        match from {
            From::Plain => &self.kit.vendors.plain,
            From::First => &self.kit.vendors.first,
            From::Second => &self.kit.vendors.second,
        }
    }

    fn headers(&self, from: From, actor: Option<&str>) -> Result<Headers, AcceptError> {
        let kind = match actor {
            Some(_) => TokenKind::Unpinned,
            None => TokenKind::Pinned,
        };
        let held = self
            .kit
            .token(self.vendor(from), TokenState::Active, kind)?;
        Ok(credentials(held.text.expose(), actor))
    }

    fn check(&mut self, id: String, amiss: Option<String>, expected: &str, fix: &str) {
        let passed = amiss.is_none();
        let got = amiss.unwrap_or_else(|| expected.to_owned());
        self.checks.push(Check::of(id, passed, expected, &got, fix));
    }

    /// Posts a message; what comes must not hold what nobody granted.
    async fn post(
        &self,
        mut headers: Headers,
        body: &Value,
    ) -> Result<(Reply, Option<String>), AcceptError> {
        headers.push(("content-type", value("application/json")));
        let body = body.to_string().into_bytes();
        let came = self.client.bare(Method::POST, "/mcp", &headers, body);
        let (reply, raw) = came.await?;
        let leaked = leak::found(&self.kit.memories, &reply, &raw);
        Ok((reply, leaked))
    }

    fn no_rows(&mut self, rows: &[Event]) {
        let own = rows
            .iter()
            .find(|r| r.text("vendor").is_some_and(|v| self.kit.owns(v)));
        let amiss = own.map(rows::told);
        self.check(
            "lists.leave_no_row".to_owned(),
            amiss,
            "no row for hellos and lists",
            FIX_ROW,
        );
    }

    async fn case(&mut self, case: &Case) -> Result<(), AcceptError> {
        let tool = if case.from == From::Second {
            case.tool.replace('.', "_")
        } else {
            case.tool.to_owned()
        };
        let mut arguments = case.arguments.clone();
        pattern::fill(&mut arguments, &self.known);
        let (mut headers, body) = USUAL.call(&tool, &arguments, 7);
        headers.extend(self.headers(case.from, Some(&case.actor))?);
        let (reply, leaked) = self.post(headers, &body).await?;
        let result = &reply.json["result"];
        if let Some(cap) = result.pointer("/structuredContent/cap_id") {
            self.known.insert("$cap_id", cap.clone());
        }
        let amiss = judge(case, &self.known, &reply);
        let id = format!("{}/{:?}", case.id, case.from).to_lowercase();
        let amiss = leaked.or(amiss.map(|what| format!("{what}: {}", reply.told())));
        self.check(id, amiss, &case.want.told(), FIX_ANSWER);
        Ok(())
    }

    /// One row for each call, in order, and none besides.
    fn rows(&mut self, cases: &[Case], fresh: &[Event]) -> Result<(), AcceptError> {
        let own: Vec<_> = fresh
            .iter()
            .filter(|r| r.text("vendor").is_some_and(|v| self.kit.owns(v)))
            .collect();
        for (at, case) in cases.iter().enumerate() {
            let vendor = self.vendor(case.from);
            let token = self
                .kit
                .token(vendor, TokenState::Active, TokenKind::Unpinned)?
                .id
                .to_owned();
            let omni = cases::omni(self.kit, &case.actor).to_owned();
            let wanted = [
                ("tool", case.tool),
                ("vendor", &vendor.vendor),
                ("rail", &vendor.rail),
                ("token_id", &token),
                ("actor_omni", &omni),
                ("verdict", case.verdict),
                ("reason", case.reason),
            ];
            let expected = format!("one row: {wanted:?}");
            let row = own.get(at);
            let fits =
                row.is_some_and(|r| wanted.iter().all(|(key, word)| r.text(key) == Some(word)));
            let got = row.map_or_else(|| "no row".to_owned(), |r| rows::told(r));
            let id = format!("{}.row/{:?}", case.id, case.from).to_lowercase();
            self.check(id, (!fits).then_some(got), &expected, FIX_ROW);
        }
        let amiss = own.get(cases.len()).map(|r| rows::told(r));
        self.check("rows.no_more".to_owned(), amiss, "no row besides", FIX_ROW);
        Ok(())
    }
}

/// What is wrong with an answer.
fn judge(case: &Case, known: &HashMap<&'static str, Value>, reply: &Reply) -> Option<String> {
    let Some(result) = reply.json.get("result") else {
        return Some("no result".to_owned());
    };
    if reply.status != 200 {
        return Some("the status".to_owned());
    }
    let blocks = result.get("content").and_then(Value::as_array);
    let block = match blocks.map(Vec::as_slice) {
        Some([block]) if block.get("type").and_then(Value::as_str) == Some("text") => block,
        _ => return Some("not one text block".to_owned()),
    };
    if let Some(more) = hidden(result) {
        return Some(more);
    }
    let text = block.get("text").and_then(Value::as_str);
    let text = text.unwrap_or_default();
    let is_error = result.get("isError") == Some(&Value::Bool(true));
    if is_error != case.is_error {
        return Some(format!("isError is {is_error}"));
    }
    let structured = result.get("structuredContent").filter(|v| !v.is_null());
    match &case.want {
        Want::Json(wanted) => {
            let Some(structured) = structured else {
                return Some("no structured content".to_owned());
            };
            if serde_json::from_str::<Value>(text).ok().as_ref() != Some(structured) {
                return Some("the text is not the structured content as JSON".to_owned());
            }
            let mut wanted = wanted.clone();
            pattern::fill(&mut wanted, known);
            pattern::differs(&wanted, structured, "")
        }
        Want::Preview(wanted) => (serde_json::from_str::<Value>(text).ok().as_ref()
            != Some(wanted))
        .then(|| "the preview's JSON".to_owned()),
        Want::Sentence(glob) => {
            if structured.is_some() {
                return Some("structured content, which this host does not read".to_owned());
            }
            (!pattern::glob(glob, text)).then(|| "the sentence".to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::acceptance::kit::tests::paper;
    use serde_json::json;

    fn reply(result: &Value) -> Reply {
        Reply {
            status: 200,
            json: json!({"id": 7, "result": result}),
            ..Reply::default()
        }
    }

    #[test]
    fn every_tool_has_a_case_and_ids_are_unique() {
        let cases = cases::all(&paper());
        for tool in TOOLS {
            assert!(cases.iter().any(|c| c.tool == tool), "{tool}");
        }
        let mut ids: Vec<_> = cases
            .iter()
            .map(|c| format!("{}/{:?}", c.id, c.from))
            .collect();
        ids.sort_unstable();
        let all = ids.len();
        ids.dedup();
        assert_eq!(ids.len(), all);
    }

    #[test]
    fn an_answer_must_say_the_same_twice_and_nothing_else() {
        let kit = paper();
        let cases = cases::all(&kit);
        let denied = cases
            .iter()
            .find(|c| c.id == "memory.get.denied" && c.from == From::Plain);
        let Some(case) = denied else {
            panic!("there is such a case")
        };
        let answer =
            json!({"ok": false, "namespace": "family", "namespace_violation": true, "content": ""});
        let good = json!({"content": [{"type": "text", "text": answer.to_string()}], "structuredContent": answer});
        let known = HashMap::new();
        assert_eq!(judge(case, &known, &reply(&good)), None);
        let mut more = good.clone();
        more["structuredContent"]["hint"] = "there is something".into();
        assert!(judge(case, &known, &reply(&more)).is_some());
        let mut loud = good.clone();
        loud["isError"] = true.into();
        assert!(judge(case, &known, &reply(&loud)).is_some());
        for hidden in ["", "/content/0"] {
            let mut hiding = good.clone();
            if let Some(place) = hiding.pointer_mut(hidden) {
                place["_meta"] = json!({"x": 1});
            }
            let told = judge(case, &known, &reply(&hiding));
            assert!(told.is_some_and(|t| t.contains("_meta")), "{hidden}");
        }
        let nothing = Reply {
            status: 500,
            json: json!({}),
            ..Reply::default()
        };
        assert!(judge(case, &known, &nothing).is_some());
    }
}
