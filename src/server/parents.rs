//! What a parent changes over HTTP: grants and erasure of its own actors.

use super::knock::header;
use super::{App, caps, edge};
use crate::authority::admit::{Header, Knock, Wants};
use crate::authority::calls::Call;
use crate::authority::calls::admin::{AdminCall, GrantRequest};
use crate::authority::refusal::{Cause, Refusal};
use crate::authority::words::{Door, NamespaceSet};
use axum::body::Body;
use axum::extract::{ConnectInfo, Path, State};
use axum::response::{IntoResponse as _, Response};
use http::header::AUTHORIZATION;
use http::{Request, StatusCode};
use serde::Deserialize;
use serde_json::Value;
use std::net::SocketAddr;
use std::sync::Arc;

/// The body of a grant or an ungrant.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Change {
    vendor: String,
    read: Vec<crate::authority::words::Namespace>,
    write: Vec<crate::authority::words::Namespace>,
    scopes: Vec<String>,
    daily_cap: Option<String>,
    namespace: Option<crate::authority::words::Namespace>,
}

pub(super) async fn change(
    State(app): State<Arc<App>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    Path((actor, change)): Path<(String, String)>,
    request: Request<Body>,
) -> Response {
    if !["grant", "ungrant", "erase"].contains(&change.as_str()) {
        return StatusCode::NOT_FOUND.into_response();
    }
    let (parts, body) = request.into_parts();
    let call = edge::read(body)
        .await
        .and_then(|bytes| call(&actor, &change, &bytes).ok_or(Cause::RequestMalformed));
    let source = app.proxies.source(peer, &parts.headers).to_string();
    let knock = Knock {
        authorization: header(&parts.headers, AUTHORIZATION),
        actor: Header::Absent,
        argument: None,
        asked: &format!("actor.{change}"),
        found: call.as_ref().err().copied(),
        seen: None,
        source: &source,
        protocol: "http",
        door: Door::Http,
    };
    let refuse = |refusal: &Refusal| edge::respond(refusal, refusal.to_body(&Value::Null));
    let principal = match app.authority.admit(&knock, Wants::Reader).await {
        Ok(principal) => principal,
        Err(turned) => return refuse(&turned.refusal),
    };
    let Ok(call) = call else {
        return refuse(&Cause::RequestMalformed.into());
    };
    match app
        .authority
        .perform(&principal, Call::Admin(Box::new(call)))
        .await
    {
        Ok(outcome) => caps::answer(&outcome.answer),
        Err(refusal) => refuse(&refusal),
    }
}

fn call(actor: &str, change: &str, bytes: &[u8]) -> Option<AdminCall> {
    let body = if bytes.is_empty() {
        Change::default()
    } else {
        serde_json::from_slice(bytes).ok()?
    };
    let actor = actor.to_owned();
    if change == "erase" {
        return Some(AdminCall::MemoryErase {
            actor,
            namespace: body.namespace,
        });
    }
    let daily_cap = match body.daily_cap {
        None => None,
        Some(text) => {
            let money = crate::authority::budget::parse_money_arg(&text).ok()?;
            Some((money.minor, money.currency))
        }
    };
    let request = Box::new(GrantRequest {
        actor,
        vendor: body.vendor,
        read: body.read.into_iter().collect::<NamespaceSet>(),
        write: body.write.into_iter().collect::<NamespaceSet>(),
        scopes: body.scopes,
        daily_cap,
    });
    Some(if change == "grant" {
        AdminCall::Grant(request)
    } else {
        AdminCall::Ungrant(request)
    })
}
