//! What a parent changes over HTTP for its own actors: grants, money set aside, and what they
//! remember. Nobody else changes anything here; the operator has the command line.

use super::knock::Visit;
use super::rest::{self, Asked, object};
use super::{App, edge};
use crate::authority::admit::Wants;
use crate::authority::budget::parse_money_arg;
use crate::authority::calls::Call;
use crate::authority::calls::admin::{AdminCall, GrantRequest};
use crate::authority::refusal::Cause;
use crate::authority::words::{Namespace, NamespaceSet};
use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Response};
use http::{Request, StatusCode};
use serde::Deserialize;
use serde_json::{Map, Value};
use std::sync::Arc;

/// What is done to an actor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    Grant,
    Ungrant,
    Release,
    Erase,
}

impl Change {
    fn named(word: &str) -> Option<Self> {
        match word {
            "grant" => Some(Self::Grant),
            "ungrant" => Some(Self::Ungrant),
            "release" => Some(Self::Release),
            "erase" => Some(Self::Erase),
            _ => None,
        }
    }

    /// What the row calls it.
    const fn tool(self) -> &'static str {
        match self {
            Self::Grant => "actor.grant",
            Self::Ungrant => "actor.ungrant",
            Self::Release => "budget.release",
            Self::Erase => "memory.erase",
        }
    }
}

/// The body of a grant or an ungrant.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rights {
    vendor: String,
    #[serde(default)]
    read: Vec<Namespace>,
    #[serde(default)]
    write: Vec<Namespace>,
    #[serde(default)]
    scopes: Vec<String>,
    #[serde(default)]
    daily_cap: Option<String>,
}

/// The body of a release.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Release {
    decision_id: String,
}

pub(super) async fn change(
    State(app): State<Arc<App>>,
    visit: Visit,
    path: Result<Path<(String, String)>, PathRejection>,
    request: Request<Body>,
) -> Response {
    // The last segment as it was sent, also when the one before it cannot be decoded.
    let word = request.uri().path().rsplit('/').next().unwrap_or_default();
    let Some(change) = Change::named(word) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let (parts, body) = request.into_parts();
    let call = match path {
        Ok(Path((actor, _))) => edge::read(&app, &visit.source, body)
            .await
            .and_then(|bytes| call(actor, change, &bytes)),
        Err(_) => Err(Cause::RequestMalformed),
    };
    let asked = Asked {
        tool: change.tool(),
        wants: Wants::Parent,
        call: call.map(|call| Call::Admin(Box::new(call))),
    };
    rest::answer(&app, &visit, &parts, asked).await
}

fn call(actor: String, change: Change, bytes: &[u8]) -> Result<AdminCall, Cause> {
    let body = object(bytes)?;
    if change == Change::Erase {
        let namespace = erased(&body)?;
        return Ok(AdminCall::MemoryErase { actor, namespace });
    }
    if change == Change::Release {
        let release = serde_json::from_value::<Release>(Value::Object(body));
        let release = release.map_err(|_| Cause::RequestMalformed)?;
        return Ok(AdminCall::BudgetRelease {
            actor: Some(actor),
            decision_id: release.decision_id,
        });
    }
    let rights = serde_json::from_value::<Rights>(Value::Object(body));
    let rights = rights.map_err(|_| Cause::RequestMalformed)?;
    let money = rights.daily_cap.as_deref().map(parse_money_arg);
    let money = money.transpose().map_err(|_| Cause::RequestMalformed)?;
    let request = Box::new(GrantRequest {
        actor,
        vendor: rights.vendor,
        read: rights.read.into_iter().collect::<NamespaceSet>(),
        write: rights.write.into_iter().collect::<NamespaceSet>(),
        scopes: rights.scopes,
        daily_cap: money.map(|m| (m.minor, m.currency)),
    });
    Ok(if change == Change::Grant {
        AdminCall::Grant(request)
    } else {
        AdminCall::Ungrant(request)
    })
}

/// One namespace, or none for all of them; never all because something was left out.
fn erased(body: &Map<String, Value>) -> Result<Option<Namespace>, Cause> {
    match (body.get("namespace"), body.get("all"), body.len()) {
        (Some(Value::String(word)), None, 1) => match word.parse() {
            Ok(namespace) => Ok(Some(namespace)),
            Err(_) => Err(Cause::RequestMalformed),
        },
        (None, Some(Value::Bool(true)), 1) => Ok(None),
        _ => Err(Cause::RequestMalformed),
    }
}
