//! `agentkeys health`: whether a server is alive, for a container's health check and for scripts.

use super::Ctx;
use crate::config::reached;
use crate::problem::{Exit, Problem};
use crate::rails::{CaFile, wire};
use clap::Args;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::time::Duration;

/// How long a server may take to say that it is alive.
const DEADLINE: Duration = Duration::from_secs(3);

/// Ask a server whether it is alive: exit 0, or 8 when it is not.
#[derive(Debug, Args)]
#[command(
    before_help = "Examples:
  agentkeys health
  agentkeys health --url https://mcp.example.com",
    after_help = "Without --url it asks the operator's listener of this folder's server."
)]
pub struct HealthCmd {
    /// The server's address [default: `server.operator_listen`].
    #[arg(long, value_name = "U")]
    pub url: Option<String>,
    /// A further certificate authority to trust, PEM.
    #[arg(long, value_name = "FILE", requires = "url")]
    pub ca_file: Option<PathBuf>,
}

/// Runs it.
pub async fn run(cmd: &HealthCmd, ctx: &Ctx) -> Result<(), Problem> {
    let base = match &cmd.url {
        Some(url) => url.clone(),
        None => format!("http://{}", reached(ctx.config()?.server.operator_listen)),
    };
    let mut url = wire::parse_url("--url", &base)?;
    url.set_path("/healthz");
    url.set_query(None);
    let ca = cmd.ca_file.as_deref().map(CaFile::read).transpose()?;
    let mut builder = wire::builder(&url, DEADLINE, &ca.unwrap_or_default());
    if url.scheme() == "http" {
        // Nobody is to be trusted then, and an image may have no certificates to load.
        builder = builder.tls_certs_only([]);
    }
    let client = wire::built(builder)?;
    let asked = client.get(url.clone()).timeout(DEADLINE).send().await;
    let reply = asked.map_err(|e| dead(&format!("{url} does not answer: {}", reason(&e))))?;
    let status = reply.status();
    let body: Value = reply.json().await.unwrap_or_default();
    if !status.is_success() || body["name"] != "agentkeys" {
        return Err(dead(&format!("{url} answers {status}")));
    }
    let version = body["version"].as_str().unwrap_or_default().to_owned();
    let answer = json!({"ok": true, "url": url.as_str(), "version": version});
    ctx.out.answer(&answer, || {
        ctx.out.line(&format!("{url} is alive, version {version}"))
    })
}

/// What is at the bottom of an error; the top only says that there was one.
fn reason(error: &reqwest::Error) -> String {
    let mut bottom: &dyn std::error::Error = error;
    while let Some(below) = bottom.source() {
        bottom = below;
    }
    bottom.to_string()
}

fn dead(cause: &str) -> Problem {
    Problem::new(
        Exit::Unreachable,
        "agentkeys.health.not_alive",
        cause,
        "look at the server's log; `agentkeys serve` starts one",
    )
}
