//! `agentkeys health`: whether a server is alive, for a container's health check and for scripts.

use super::Ctx;
use crate::acceptance::outside::who_answers;
use crate::config::reached;
use crate::folder::Folder;
use crate::operate::text;
use crate::problem::{Exit, Problem};
use crate::rails::{CaFile, RailError, wire};
use clap::Args;
use reqwest::Url;
use serde_json::{Value, json};
use std::net::SocketAddr;
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
    after_help = "Without --url it asks the operator's listener of this folder's server, and another folder's server
there is not alive."
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
    let (base, own) = if let Some(url) = &cmd.url {
        (url.clone(), None)
    } else {
        let own = Folder::issuer_in(&ctx.dir()?)?;
        let at = reached(ctx.config()?.server.operator_listen);
        (format!("http://{at}"), own)
    };
    let mut url = wire::parse_url("--url", &base).map_err(|e| unusable(&e))?;
    url.set_path("/healthz");
    url.set_query(None);
    let ca = cmd.ca_file.as_deref().map(CaFile::read).transpose();
    let ca = ca.map_err(|e| unusable(&e))?;
    let asked = ask(&url, &ca.unwrap_or_default(), DEADLINE).await;
    let Alive { authority, version } = asked.map_err(NotAlive::problem)?;
    if own.is_some_and(|own| own != authority) {
        return Err(Problem::new(
            Exit::Unreachable,
            "agentkeys.health.other_authority",
            who_answers(&authority, &url),
            "stop that server, or give this folder's another server.operator_listen",
        ));
    }
    let answer =
        json!({"ok": true, "url": url.as_str(), "version": version, "authority": authority});
    ctx.out.answer(&answer, || {
        ctx.out.line(&format!("{url} is alive, version {version}"))
    })
}

/// A server that is alive.
pub(super) struct Alive {
    /// The authority it serves.
    pub(super) authority: String,
    /// The program's version.
    pub(super) version: String,
}

/// Why none is.
pub(super) enum NotAlive {
    /// Nobody answers.
    Silent(Problem),
    /// What answers is none of ours, or not well.
    Strange(Problem),
}

impl NotAlive {
    fn problem(self) -> Problem {
        match self {
            Self::Silent(problem) | Self::Strange(problem) => problem,
        }
    }
}

/// The server that answers on this machine.
pub(super) async fn at(listen: SocketAddr, deadline: Duration) -> Result<Alive, NotAlive> {
    let url = format!("http://{listen}/healthz");
    let url = wire::parse_url("server.operator_listen", &url);
    let url = url.map_err(|e| NotAlive::Strange(unusable(&e)))?;
    ask(&url, &CaFile::default(), deadline).await
}

async fn ask(url: &Url, ca: &CaFile, deadline: Duration) -> Result<Alive, NotAlive> {
    let mut builder = wire::builder(url, deadline, ca);
    if url.scheme() == "http" {
        // Nobody is to be trusted then, and an image may have no certificates to load.
        builder = builder.tls_certs_only([]);
    }
    let client = wire::built(builder).map_err(|e| NotAlive::Strange(unusable(&e)))?;
    let asked = client.get(url.clone()).timeout(deadline).send().await;
    let reply = asked
        .map_err(|e| NotAlive::Silent(dead(&format!("{url} does not answer: {}", reason(&e)))))?;
    let status = reply.status();
    let body: Value = reply.json().await.unwrap_or_default();
    if !status.is_success() || body["name"] != "agentkeys" {
        return Err(NotAlive::Strange(dead(&format!("{url} answers {status}"))));
    }
    Ok(Alive {
        authority: text(&body, "authority").to_owned(),
        version: text(&body, "version").to_owned(),
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

/// What was given and cannot be used.
fn unusable(error: &RailError) -> Problem {
    Problem::new(
        Exit::Config,
        "agentkeys.health.input_invalid",
        error.to_string(),
        "write an address such as https://mcp.example.com, and name a PEM file with --ca-file",
    )
}

fn dead(cause: &str) -> Problem {
    Problem::new(
        Exit::Unreachable,
        "agentkeys.health.not_alive",
        cause,
        "look at the server's log; `agentkeys serve` starts one",
    )
}
