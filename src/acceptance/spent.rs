//! Gives back what a suite's own decisions set aside of a day's money, as the actor's parent may.

use serde_json::json;

use super::AcceptError;
use super::client::{Client, value};
use super::events::Event;
use super::kit::Kit;

const CHECK: &str = "agentkeys.permission.check";
const MINT: &str = "agentkeys.cap.mint";
/// Spent, given back before, or of another day.
const NOT_RESERVED: &str = "agentkeys.budget.not_reserved";

/// Releases what these rows of the kit's vendors reserved, and tries all of it. What was spent with
/// a capability stays spent: nobody can take that back.
pub(super) async fn give_back(
    client: &Client,
    kit: &Kit,
    rows: &[Event],
) -> Result<(), AcceptError> {
    let mut end = Ok(());
    for row in rows.iter().filter(|row| reserves(kit, row)) {
        let (Some(actor), Some(decision)) = (row.text("actor_omni"), row.text("decision_id"))
        else {
            continue;
        };
        let bearer = format!("Bearer {}", kit.parent(actor)?.expose());
        let headers = vec![("authorization", value(&bearer))];
        let path = format!("/v1/actors/{actor}/release");
        let body = json!({"decision_id": decision});
        let reply = client.post(&path, &headers, &body).await?;
        if reply.status != 200 && reply.code() != NOT_RESERVED {
            end = Err(AcceptError::protocol("a release", reply.told()));
        }
    }
    end
}

fn reserves(kit: &Kit, row: &Event) -> bool {
    matches!(row.text("tool"), Some(CHECK | MINT))
        && row.text("verdict") == Some("accept")
        && row.text("vendor").is_some_and(|v| kit.owns(v))
        && row.number("amount_minor").is_some()
}
