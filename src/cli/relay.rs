//! `agentkeys relay …`: reaching xiaozhi through a relay of its MCP endpoint.

use super::Ctx;
use super::out::json_line;
use crate::problem::{Exit, Problem};
use crate::server::relay::{Connection, News, Probe, Relay, Tell, probe};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// Relays of xiaozhi's MCP endpoint (接入点), one connection for each agent.
#[derive(Debug, Args)]
#[command(
    before_help = "Examples:
  agentkeys relay connect kevin.relay.json
  agentkeys relay status kevin.relay.json --json",
    after_help = "A connection is a file that only you can read (chmod 600):
  {\"endpoint\": \"wss://…/mcp_endpoint/mcp/?token=…\", \"token\": \"…\"}
endpoint: the address xiaozhi's console shows for the agent. token: for which actor it speaks,
from `agentkeys vendor token create --endpoint --vendor V --actor A`.
Without files those of `[relay] connect` in the configuration are taken. `agentkeys serve` keeps
them connected too; and it hosts an endpoint of its own, which needs no relay."
)]
pub struct RelayCmd {
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// What can be done with relays.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Serve the tools over these connections until stopped.
    #[command(before_help = "Examples:
  agentkeys relay connect kevin.relay.json emma.relay.json")]
    Connect {
        /// Connection files [default: those of `[relay] connect`].
        files: Vec<PathBuf>,
        /// A PEM file of a certificate authority to trust besides the usual ones.
        #[arg(long, value_name = "FILE")]
        ca_file: Option<PathBuf>,
    },
    /// Ask, as xiaozhi would, whether the tools of each connection answer.
    #[command(before_help = "Examples:
  agentkeys relay status
  agentkeys relay status kevin.relay.json --json")]
    Status {
        /// Connection files [default: those of `[relay] connect`].
        files: Vec<PathBuf>,
        /// A PEM file of a certificate authority to trust besides the usual ones.
        #[arg(long, value_name = "FILE")]
        ca_file: Option<PathBuf>,
    },
}

/// Runs a `relay` command.
pub async fn run(cmd: RelayCmd, ctx: &Ctx) -> Result<(), Problem> {
    match cmd.verb {
        Verb::Connect { files, ca_file } => {
            let connections = connections(ctx, &files, ca_file.as_deref())?;
            Box::pin(connect(ctx, &connections)).await
        }
        Verb::Status { files, ca_file } => {
            let connections = connections(ctx, &files, ca_file.as_deref())?;
            Box::pin(status(ctx, &connections)).await
        }
    }
}

/// The connections named, or those of the configuration.
fn connections(
    ctx: &Ctx,
    files: &[PathBuf],
    ca_file: Option<&Path>,
) -> Result<Vec<Connection>, Problem> {
    let configured;
    let files = if files.is_empty() {
        configured = ctx.config()?.relay.connect;
        &configured
    } else {
        files
    };
    if files.is_empty() {
        return Err(Problem::new(
            Exit::Usage,
            "agentkeys.usage",
            "no connection is named, and `[relay] connect` names none",
            "write a connection file; `agentkeys relay --help` shows one",
        ));
    }
    let ca = ca_file.map(std::fs::read).transpose().map_err(|e| {
        Problem::new(
            Exit::Config,
            "agentkeys.file.unreadable",
            format!("the file after --ca-file cannot be read: {e}"),
            "name a PEM file with certificates",
        )
    })?;
    let read = |file: &PathBuf| {
        let connection = Connection::read(file)?;
        Ok(Connection {
            ca: ca.clone(),
            ..connection
        })
    };
    files.iter().map(read).collect()
}

/// Says what happens to connections: events on stdout for scripts, lines on stderr for people.
fn teller(json: bool) -> Tell {
    Arc::new(move |name, news| {
        if json {
            let event = match news {
                News::Serving => json!({"event": "serving", "connection": name}),
                News::Waiting {
                    code,
                    cause,
                    fix,
                    wait,
                } => json!({
                    "event": "waiting", "connection": name, "code": code, "cause": cause,
                    "fix": fix, "wait_seconds": wait.as_secs_f64(),
                }),
            };
            // Whoever read it has gone; the connections go on.
            let _ = json_line(&event);
            return;
        }
        match news {
            News::Serving => eprintln!("{name}: serving"),
            News::Waiting {
                code,
                cause,
                fix,
                wait,
            } => {
                let wait = wait.as_secs_f64();
                eprintln!("{name}: {cause} ({code}); {fix}; next try in {wait:.0} s");
            }
        }
    })
}

async fn connect(ctx: &Ctx, connections: &[Connection]) -> Result<(), Problem> {
    let folder = ctx.open().await?;
    let stop = super::signals::Signals::that_stop()?.or_stdin(false);
    let shutdown = CancellationToken::new();
    let authority = Arc::clone(&folder.authority);
    let relay = Relay::new(authority, shutdown.clone(), teller(ctx.out.is_json()));
    let kept = futures_util::future::join_all(connections.iter().map(|c| relay.keep(c)));
    tokio::pin!(kept);
    tokio::select! {
        _ = &mut kept => {}
        () = stop => {
            shutdown.cancel();
            kept.await;
        }
    }
    Ok(())
}

async fn status(ctx: &Ctx, connections: &[Connection]) -> Result<(), Problem> {
    let probed = futures_util::future::join_all(connections.iter().map(probe)).await;
    let finding = |(connection, probe): (&Connection, &Probe)| {
        let (status, cause, fix) = match probe {
            Probe::Arrived => ("ok", "its tools answer".to_owned(), ""),
            Probe::NoOtherSide => (
                "unknown",
                "this relay has no side that can be asked from here".to_owned(),
                "look at the agent in xiaozhi's console",
            ),
            Probe::NotArrived(cause) => (
                "failed",
                cause.clone(),
                "start `agentkeys relay connect` with it, or look at its messages",
            ),
        };
        json!({"id": connection.name, "status": status, "cause": cause, "fix": fix})
    };
    let findings: Vec<Value> = connections.iter().zip(&probed).map(finding).collect();
    let failed = probed.iter().any(|p| matches!(p, Probe::NotArrived(_)));
    let out = ctx.out;
    let cell = |f: &Value, key: &str| crate::operate::text(f, key).to_owned();
    let keys = ["id", "status", "cause", "fix"];
    out.answer(&json!({"findings": findings}), || {
        let rows = findings.iter().map(|f| keys.map(|k| cell(f, k)).to_vec());
        out.table(&["connection", "status", "cause", "fix"], rows.collect())
    })?;
    if failed {
        return Err(Problem::new(
            Exit::Unreachable,
            "agentkeys.relay.not_reached",
            "at least one connection's tools do not answer",
            "look at its cause above",
        ));
    }
    Ok(())
}
