//! An endpoint outside MCP: one request, one call, one answer.

use super::knock::{Visit, header};
use super::{App, caps, edge};
use crate::authority::admit::{Header, Knock, Wants};
use crate::authority::calls::Call;
use crate::authority::refusal::{Cause, Refusal};
use crate::authority::words::Door;
use axum::response::Response;
use http::header::AUTHORIZATION;
use http::request::Parts;
use serde_json::{Map, Value};

/// What an endpoint made of a request.
pub(super) struct Asked {
    /// What the row calls it.
    pub tool: &'static str,
    /// Who may ask.
    pub wants: Wants<'static>,
    /// The call, or why there is none.
    pub call: Result<Call, Cause>,
}

/// Lets the caller in, performs the call and answers.
pub(super) async fn answer(app: &App, visit: &Visit, parts: &Parts, asked: Asked) -> Response {
    let named = visit.found();
    let knock = Knock {
        authorization: header(&parts.headers, AUTHORIZATION),
        actor: Header::Absent,
        argument: None,
        asked: asked.tool,
        found: named.map(|(c, _)| c).or(asked.call.as_ref().err().copied()),
        seen: named.map(|(_, seen)| seen),
        source: &visit.source,
        protocol: "http",
        door: Door::Http,
    };
    let refuse = |refusal: &Refusal| edge::respond(refusal, refusal.to_body(&Value::Null));
    let principal = match app.authority.admit(&knock, asked.wants).await {
        Ok(principal) => principal,
        Err(turned) => return refuse(&turned.refusal),
    };
    let Ok(call) = asked.call else {
        return refuse(&Cause::RequestMalformed.into());
    };
    match app.authority.perform(&principal, call).await {
        Ok(outcome) => caps::answer(&outcome.answer),
        Err(refusal) => refuse(&refusal),
    }
}

/// A body that is one JSON object.
pub(super) fn object(bytes: &[u8]) -> Result<Map<String, Value>, Cause> {
    match crate::mcp::frame::strict(bytes) {
        Ok(Value::Object(body)) => Ok(body),
        _ => Err(Cause::RequestMalformed),
    }
}
