//! Rail 1: a child process that speaks as xiaozhi-server does, from a settings file of its format.

use std::path::Path;

use serde_json::{Value, json};

use super::Lines;
use super::stage::Stage;
use crate::acceptance::AcceptError;
use crate::publish::wire;

/// Lets the first host make these calls, in a folder of this name.
pub(in crate::acceptance) async fn play(
    stage: &Stage,
    name: &str,
    plan: &[(&str, Value)],
) -> Result<Lines, AcceptError> {
    let dir = stage.scratch.folder(name)?;
    let settings = wire::xiaozhi::settings(&stage.xiaozhi.access(&stage.url));
    let settings = settings.map_err(unwired)?;
    let steps: Vec<Value> = plan
        .iter()
        .map(|(tool, arguments)| json!({"tool": tool, "arguments": arguments}))
        .collect();
    let settings = dir.write("mcp_server_settings.json", &settings)?;
    let plan = dir.write("plan.json", &json!(steps).to_string())?;
    let mut words = vec![
        "rails",
        "xiaozhi",
        "--settings",
        &settings,
        "--plan",
        &plan,
        "--json",
    ];
    let ca = stage.ca_file.as_ref().map(|p| p.display().to_string());
    if let Some(ca) = &ca {
        words.extend(["--ca-file", ca]);
    }
    stage.agentkeys.lines(&words).await
}

/// An address or a token that no host's config could carry.
pub(in crate::acceptance) fn unwired(flaw: wire::Flaw) -> AcceptError {
    AcceptError::input(Path::new("a host's config"), flaw.cause)
}
