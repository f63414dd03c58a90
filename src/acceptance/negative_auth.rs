//! Suite `negative-auth`: everything that must be refused is, with its status, its code and
//! exactly one row.

mod caps;
mod jwts;
mod pace;

use std::collections::HashMap;
use std::time::Duration;

use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::client::{Client, Reply};
use super::events::Log;
use super::kit::Kit;
use super::matrix::{self, Cell, Expect, Form};
use super::report::{Check, Report};
use super::rows::{self, Amiss, Awaited};
use super::{AcceptError, Trust, undo};

/// The suite's name.
pub const SUITE: &str = "negative-auth";
const LOOK: &str = "look at the row of this request with `agentkeys audit list`, and at what design.md fixes for this cause";
const FIX_ROWS: &str = "every refusal is one row, durable before the answer leaves; look at the log around it with `agentkeys audit list`";
/// The short-lived token of a new kit is over within a second; a longer wait means wrong clocks.
const MAX_WAIT: Duration = Duration::from_secs(10);

/// Runs the suite. It ends early when `stop` is cancelled, with everything put back.
pub async fn run(
    url: &str,
    kit: &Kit,
    trust: &Trust,
    progress: &(dyn Fn(&str) + Sync),
    stop: &CancellationToken,
) -> Result<Report, AcceptError> {
    let client = Client::new(url, trust, kit.authority()).await?;
    let mut report = Report::new(SUITE, client.base());
    let cells = matrix::cells(kit)?;
    for at in kit.expiring() {
        passed(at).await?;
    }
    // What a run left that was killed; what cannot be put back now is told at the end.
    let _ = undo::all(&client, kit).await;
    let log = Log::at_end(&client, kit.auditor()?).await?;
    tokio::select! {
        waited = pace::wait(&log, &cells, progress) => waited?,
        () = stop.cancelled() => return Err(AcceptError::Interrupted),
    }
    let mut suite = Suite {
        kit,
        log,
        client: &client,
        stop,
        twins: HashMap::new(),
        checks: Vec::new(),
    };
    let ran = suite.all(&cells, progress).await;
    let ((spent, signed), put_back) = undo::after(&client, kit, SUITE, ran).await?;
    report.checks = suite.checks;
    report.checks.push(put_back);
    report.notes.push(format!(
        "{} cells: {} of cause × tool × handshake × token kind, {spent} of capabilities, {signed} of JWTs",
        cells.len() + spent + signed,
        cells.len()
    ));
    Ok(report)
}

struct Suite<'a> {
    kit: &'a Kit,
    client: &'a Client,
    stop: &'a CancellationToken,
    log: Log<'a>,
    /// The first answer of each pair that must be alike.
    twins: HashMap<String, Value>,
    checks: Vec<Check>,
}

impl Suite<'_> {
    /// All of it; how many cells there were of capabilities and of JWTs.
    async fn all(
        &mut self,
        cells: &[Cell],
        progress: &(dyn Fn(&str) + Sync),
    ) -> Result<(usize, usize), AcceptError> {
        // One window of the log for each cause: small enough to name what is wrong with it.
        for batch in cells.chunk_by(|a, b| a.cause == b.cause) {
            let cause = batch[0].cause;
            progress(&format!("{cause} ({} cells)", batch.len()));
            self.batch(cause, batch).await?;
        }
        progress("capabilities");
        let spent = self.caps().await?;
        progress("JWTs of devices");
        Ok((spent, self.jwts().await?))
    }

    /// Sends a batch one after the other, then holds its rows against what was seen.
    async fn batch(&mut self, name: &str, cells: &[Cell]) -> Result<(), AcceptError> {
        let mut awaited = Vec::new();
        let first = self.checks.len();
        for cell in cells {
            AcceptError::going_on(self.stop)?;
            let reply = self
                .client
                .post(&cell.path, &cell.headers, &cell.body)
                .await?;
            let amiss = judge(&cell.expect, &cell.body, &reply);
            self.checks
                .push(refused(&cell.id, &cell.expect, amiss.as_deref(), &reply));
            if let Some(twin) = &cell.twin {
                self.twin(twin, &reply);
            }
            awaited.push(self::awaited(&cell.id, &cell.expect, &reply));
        }
        self.hold(name, first, &awaited).await
    }

    /// Reads the rows of a batch and fails the checks whose row is not there.
    async fn hold(
        &mut self,
        name: &str,
        first: usize,
        awaited: &[Awaited],
    ) -> Result<(), AcceptError> {
        let rows = self.log.fresh().await?;
        let mut extra = Vec::new();
        for amiss in rows::compare(self.kit, awaited, &rows) {
            match amiss {
                Amiss::Missing { id, nearest } => {
                    let mine = self.checks.iter_mut().skip(first).find(|c| c.id == id);
                    let awaited = awaited.iter().find(|a| a.id == id);
                    if let Some(check) = mine {
                        let expected = format!("one row: {awaited:?}");
                        *check = Check::of(id, false, &expected, &nearest, FIX_ROWS);
                    }
                }
                Amiss::Extra { row } => extra.push(row),
            }
        }
        let expected = format!("{} rows, one for each", awaited.len());
        let got = match extra.first() {
            None => expected.clone(),
            Some(row) => format!("{} rows too many, the first: {row}", extra.len()),
        };
        let id = format!("{name}.rows");
        self.checks
            .push(Check::of(id, extra.is_empty(), &expected, &got, FIX_ROWS));
        Ok(())
    }

    /// An actor that does not exist and one that is not bound must answer alike.
    fn twin(&mut self, place: &str, reply: &Reply) {
        let body = without_ids(&reply.json);
        let Some(first) = self.twins.remove(place) else {
            self.twins.insert(place.to_owned(), body);
            return;
        };
        let id = format!("actor.unknown_like_not_bound/{place}");
        let fix = "answer both from one place, so that nobody can ask which actors exist";
        let alike = first == body;
        self.checks.push(Check::of(
            id,
            alike,
            &first.to_string(),
            &body.to_string(),
            fix,
        ));
    }
}

fn awaited(id: &str, expect: &Expect, reply: &Reply) -> Awaited {
    let code = expect
        .codes
        .iter()
        .find(|code| carries(expect, reply, code));
    let code = code.or(expect.codes.first()).copied().unwrap_or_default();
    Awaited {
        id: id.to_owned(),
        row: expect.row.clone(),
        reason: code.rsplit('.').next().unwrap_or_default().to_owned(),
    }
}

/// The body but for what identifies the request.
fn without_ids(json: &Value) -> Value {
    let mut json = json.clone();
    if let Some(map) = json.as_object_mut() {
        map.remove("id");
    }
    if let Some(data) = json
        .pointer_mut("/error/data")
        .and_then(Value::as_object_mut)
    {
        data.remove("request_id");
    }
    json
}

fn carries(expect: &Expect, reply: &Reply, code: &str) -> bool {
    match expect.form {
        Form::Refusal | Form::Rpc(_) => return reply.code() == code,
        Form::Good => {
            let refused = reply.json.pointer("/result/isError") == Some(&Value::Bool(true));
            return reply.json.get("result").is_some() && !refused;
        }
        Form::Result => {}
    }
    let blocks = reply
        .json
        .pointer("/result/content")
        .and_then(Value::as_array);
    let mut texts = blocks
        .into_iter()
        .flatten()
        .filter_map(|b| b.get("text").and_then(Value::as_str));
    texts.any(|text| text.contains(code))
}

/// What is wrong with a refusal; nothing when it is as the contract says.
fn judge(expect: &Expect, body: &Value, reply: &Reply) -> Option<String> {
    let id = reply.json.get("id").cloned().unwrap_or_default();
    let asked = body.get("id").cloned().unwrap_or_default();
    let rules = [
        (reply.status == expect.status, "the status"),
        (
            expect.codes.iter().any(|c| carries(expect, reply, c)),
            "the code",
        ),
        (
            id == asked || (id.is_null() && expect.form == Form::Refusal),
            "the request's id",
        ),
    ];
    if let Some((_, what)) = rules.iter().find(|(holds, _)| !holds) {
        return Some((*what).to_owned());
    }
    let number = reply.json.pointer("/error/code").and_then(Value::as_i64);
    match expect.form {
        Form::Result | Form::Good => return None,
        Form::Rpc(code) => {
            return (number != Some(code)).then(|| format!("`error.code`, which is {code}"));
        }
        Form::Refusal => {}
    }
    let challenge = reply
        .headers
        .get("www-authenticate")
        .and_then(|v| v.to_str().ok());
    let bearer =
        challenge.is_some_and(|c| c.starts_with("Bearer") && !c.contains("resource_metadata"));
    let json = &reply.json;
    let rules = [
        (
            json.get("jsonrpc").and_then(Value::as_str) == Some("2.0"),
            "`jsonrpc`",
        ),
        (
            number == Some(i64::from(expect.status)),
            "`error.code`, which equals the status",
        ),
        (
            reply.text("/error/message").is_some_and(|m| !m.is_empty()),
            "`error.message`",
        ),
        (
            reply.text("/error/data/fix").is_some_and(|f| !f.is_empty()),
            "`error.data.fix`",
        ),
        (
            bearer == (expect.status == 401),
            "`WWW-Authenticate: Bearer` on 401 and only there",
        ),
    ];
    let broken = rules.iter().find(|(holds, _)| !holds);
    broken.map(|(_, what)| (*what).to_owned())
}

fn refused(id: &str, expect: &Expect, amiss: Option<&str>, reply: &Reply) -> Check {
    let place = match expect.form {
        Form::Result => "in the result",
        Form::Good => "as its row's reason",
        Form::Refusal | Form::Rpc(_) => "in error.data.code",
    };
    let expected = format!(
        "HTTP {} with {} {place}",
        expect.status,
        expect.codes.join(" or ")
    );
    let got = match amiss {
        None => expected.clone(),
        Some(what) => format!("{what} is wrong: {}", reply.told()),
    };
    Check::of(id, amiss.is_none(), &expected, &got, LOOK)
}

/// Waits until a moment that the server named has passed here and, within a second, there.
async fn passed(at: &str) -> Result<(), AcceptError> {
    let when: jiff::Timestamp = at
        .parse()
        .map_err(|_| AcceptError::protocol("expires_at", format!("`{at}` is not RFC 3339")))?;
    let left = when.as_millisecond() - jiff::Timestamp::now().as_millisecond() + 1_000;
    let Ok(left) = u64::try_from(left) else {
        return Ok(());
    };
    let left = Duration::from_millis(left);
    if left > MAX_WAIT {
        return Err(AcceptError::protocol(
            "expires_at",
            format!("{at} is far ahead: the clocks of server and suite differ"),
        ));
    }
    tokio::time::sleep(left).await;
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::acceptance::kit::tests::paper;
    use crate::authority::{Cause, Refusal};
    use reqwest::header::HeaderMap;

    fn cell(cause: &str, end: &str) -> Cell {
        let cells = matrix::cells(&paper()).unwrap();
        cells
            .into_iter()
            .find(|c| c.cause == cause && c.id.ends_with(end))
            .unwrap()
    }

    fn reply(cause: Cause, id: &Value) -> Reply {
        let mut headers = HeaderMap::new();
        if cause.status() == 401 {
            headers.insert(
                "www-authenticate",
                "Bearer realm=\"agentkeys\"".parse().unwrap(),
            );
        }
        Reply {
            status: cause.status(),
            headers,
            json: Refusal::from(cause).to_body(id),
            amiss: None,
        }
    }

    #[test]
    fn the_authoritys_own_refusal_is_what_is_expected() {
        let cell = cell("token.expired", "");
        let good = reply(Cause::TokenExpired, &cell.body["id"]);
        assert_eq!(judge(&cell.expect, &cell.body, &good), None);
        assert_eq!(awaited("x", &cell.expect, &good).reason, "token_expired");
        let other = reply(Cause::TokenRevoked, &cell.body["id"]);
        assert_eq!(judge(&cell.expect, &cell.body, &other).unwrap(), "the code");
        let mut bare = good.clone();
        bare.headers.clear();
        assert!(
            judge(&cell.expect, &cell.body, &bare)
                .unwrap()
                .contains("WWW-Authenticate")
        );
        let mut stray = good;
        stray.json["id"] = 999_999.into();
        assert_eq!(
            judge(&cell.expect, &cell.body, &stray).unwrap(),
            "the request's id"
        );
    }

    #[test]
    fn a_good_answer_is_a_result_and_no_error() {
        let mut cell = cell("token.expired", "");
        cell.expect.form = Form::Good;
        cell.expect.status = 200;
        let with = |json: Value| Reply {
            status: 200,
            json,
            ..Reply::default()
        };
        let id = &cell.body["id"];
        let good = with(serde_json::json!({"id": id, "result": {"content": []}}));
        assert_eq!(judge(&cell.expect, &cell.body, &good), None);
        for bad in [
            serde_json::json!({"id": id, "result": {"content": [], "isError": true}}),
            serde_json::json!({"id": id, "error": {"code": 200}}),
        ] {
            assert!(judge(&cell.expect, &cell.body, &with(bad)).is_some());
        }
    }

    #[test]
    fn xiaozhi_gets_the_code_in_words() {
        let cell = cell("actor.argument_differs", "/xiaozhi");
        let words = |text: &str| Reply {
            status: 200,
            json: serde_json::json!({"id": cell.body["id"], "result": {"content": [{"type": "text", "text": text}]}}),
            ..Reply::default()
        };
        let good = words("refused: agentkeys.auth.actor_mismatch");
        assert_eq!(judge(&cell.expect, &cell.body, &good), None);
        assert!(judge(&cell.expect, &cell.body, &words("no")).is_some());
        assert!(
            judge(
                &cell.expect,
                &cell.body,
                &reply(Cause::ActorMismatch, &Value::Null)
            )
            .is_some()
        );
    }

    #[test]
    fn bodies_are_compared_but_for_their_ids() {
        let a = Refusal::from(Cause::ActorForbidden).to_body(&1.into());
        let b = Refusal::from(Cause::ActorForbidden).to_body(&2.into());
        assert_ne!(a, b);
        assert_eq!(without_ids(&a), without_ids(&b));
        assert_ne!(
            without_ids(&a),
            without_ids(&Refusal::from(Cause::ActorMissing).to_body(&1.into()))
        );
    }
}
