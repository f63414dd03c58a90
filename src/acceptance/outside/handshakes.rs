//! The handshake of each protocol version, as its hosts do it.

use super::{Credentials, Finding, Status};
use crate::acceptance::client::{Client, Reply};
use crate::acceptance::mcp::{Ask, HANDSHAKES, Handshake, credentials};
use serde_json::json;

/// Why a handshake failed.
enum Wrong {
    /// The server refused whoever calls, which every version would meet.
    Refused(Box<Reply>),
    /// No answer came, which every version would meet too.
    Silent(String),
    /// Something else.
    Other(String),
}

/// Shakes hands in every version.
pub(super) async fn shake_hands(client: &Client, who: Option<&Credentials<'_>>) -> Vec<Finding> {
    let Some(who) = who else {
        let cause = "without a token no handshake gets further";
        return vec![Finding::new(
            "mcp",
            Status::Skipped,
            cause,
            "give --token-file",
        )];
    };
    let mut found = Vec::new();
    for (at, handshake) in HANDSHAKES.into_iter().enumerate() {
        let id = format!("mcp {}", handshake.version);
        let failed = |cause: String, fix: String| Finding::new(&id, Status::Failed, cause, fix);
        let rest = &HANDSHAKES[at + 1..];
        match one(client, handshake, who).await {
            Ok(tools) => found.push(Finding::ok(id, format!("{tools} tools are listed"))),
            Err(Wrong::Refused(reply)) => {
                let (cause, fix) = refusal(&reply);
                found.push(failed(cause, fix));
                found.extend(not_tried(rest, "the refusal is about who calls"));
                break;
            }
            Err(Wrong::Silent(cause)) => {
                found.push(failed(cause, "look at the server's log".to_owned()));
                found.extend(not_tried(rest, "nobody answered"));
                break;
            }
            Err(Wrong::Other(cause)) => {
                let fix = "`agentkeys accept tools` looks closer";
                found.push(failed(cause, fix.to_owned()));
            }
        }
    }
    found
}

fn not_tried(rest: &[Handshake], why: &str) -> Option<Finding> {
    let versions: Vec<&str> = rest.iter().map(|h| h.version).collect();
    let cause = format!("not tried: {why}");
    (!versions.is_empty()).then(|| {
        let id = format!("mcp {}", versions.join(", "));
        Finding::new(id, Status::Skipped, cause, "")
    })
}

/// The server's own words, and where the actor is named when it is about that.
fn refusal(reply: &Reply) -> (String, String) {
    let said = |pointer| reply.text(pointer).unwrap_or_default();
    let cause = format!("{} ({})", said("/error/message"), reply.code());
    let fix = crate::text::clean_to(said("/error/data/fix"), 300);
    let fix = match reply.code() {
        "agentkeys.auth.actor_missing" => {
            format!("name the actor with --actor, which hosts do: {fix}")
        }
        "agentkeys.auth.actor_forbidden" => format!("look at --actor: {fix}"),
        _ => fix,
    };
    (cause, fix)
}

/// One version: greets and lists; how many tools there are.
async fn one(client: &Client, handshake: Handshake, who: &Credentials<'_>) -> Result<usize, Wrong> {
    let mut tools = 0;
    for ask in [Ask::Hello, Ask::List] {
        let (mut headers, body) = handshake.request(ask, &json!({}), 1);
        headers.extend(credentials(who.token, who.actor));
        let reply = client.post("/mcp", &headers, &body).await;
        let reply = reply.map_err(|e| Wrong::Silent(e.to_string()))?;
        if !reply.json["result"].is_object() {
            let refused = matches!(reply.status, 401 | 403) && !reply.code().is_empty();
            return Err(if refused {
                Wrong::Refused(Box::new(reply))
            } else {
                Wrong::Other(format!("{}: {}", ask.word(), reply.told()))
            });
        }
        let listed = reply.json["result"]["tools"].as_array();
        tools = listed.map_or(0, Vec::len);
    }
    Ok(tools)
}
