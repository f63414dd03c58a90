//! `agentkeys rails …`: drive a server as a host does, by hand or from a script.

mod ark;
mod parent;

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::problem::Problem;
use crate::rails::xiaozhi::{CallSeen, Settings, XiaozhiHost};
use crate::rails::{CaFile, RailError};
use crate::secret::Secret;
use crate::text::{clean, clean_to};

pub use ark::{Answer, ArkArgs, StandinArgs};
pub use parent::ParentArgs;

/// Drive a server exactly as a host does.
#[derive(Debug, Args)]
#[command(before_help = "Examples:
  agentkeys rails xiaozhi --settings data/.mcp_server_settings.json --plan plan.json --json
  agentkeys rails ark --config ark.json
  agentkeys rails ark-standin --listen 127.0.0.1:9090")]
pub struct RailsCmd {
    /// Which host.
    #[command(subcommand)]
    pub rail: Rail,
}

/// The hosts.
#[derive(Debug, Subcommand)]
pub enum Rail {
    /// Connect, list and call as xiaozhi-server does, from its own settings file.
    #[command(
        before_help = "Examples:
  agentkeys rails xiaozhi --settings data/.mcp_server_settings.json
  agentkeys rails xiaozhi --settings s.json --plan plan.json --json",
        after_help = "A plan is a JSON list: [{\"tool\":\"agentkeys_memory_get\",\"arguments\":{\"namespace\":\"travel\"}}]
Tools go by the name this host shows its model; a failed call is shown, never repeated."
    )]
    Xiaozhi(XiaozhiArgs),
    /// Ask Ark's Responses API (or the stand-in) with remote MCP tools.
    #[command(
        before_help = "Examples:
  agentkeys rails ark --config ark.json
  agentkeys rails ark --config ark.json --prompt '周末我要去哪儿？' --stream
  agentkeys rails ark --config ark.json --approve yes --json",
        after_help = "Config: {\"base_url\":\"https://ark.cn-beijing.volces.com/api/v3\",\"key_file\":\"ark.key\",
         \"model\":\"…\",\"tools\":[{\"type\":\"mcp\",…}],\"prompt\":\"…\"}
`tools` goes out verbatim; a relative key_file is beside the config.
Ark asks before it calls a tool unless its entry says \"require_approval\":\"never\"."
    )]
    Ark(ArkArgs),
    /// Serve a stand-in for Ark: its API and a real MCP client, with a scripted model.
    #[command(
        before_help = "Examples:
  agentkeys rails ark-standin --listen 127.0.0.1:9090
  agentkeys rails ark-standin --key-file ark.key --prompts rows.json --json",
        after_help = "Give its base URL to any Ark SDK, with any key or the one of --key-file.
It dials the MCP servers that callers name, public and on this machine: keep it on loopback.
What it plays of Ark, and what it does not: docs/hosts.md."
    )]
    ArkStandin(StandinArgs),
    /// Change what a vendor may do as a parent's app does: over HTTP, with a parent's token.
    #[command(
        before_help = "Examples:
  agentkeys rails parent --config ungrant.json
  agentkeys rails parent --config release.json --json",
        after_help = "Config: {\"url\":\"https://mcp.example.com\",\"token_file\":\"parent.token\",\"actor\":\"O_kevin_001\",
         \"change\":\"ungrant\",\"body\":{\"vendor\":\"magiclick\",\"scopes\":[\"payment.*\"]}}
`change` is grant, ungrant, release or erase; a relative token_file is beside the config."
    )]
    Parent(ParentArgs),
}

/// `rails xiaozhi`.
#[derive(Debug, Args)]
pub struct XiaozhiArgs {
    /// A settings file in xiaozhi-server's format.
    #[arg(long, value_name = "FILE")]
    pub settings: PathBuf,
    /// The calls to make; without it only connect and list.
    #[arg(long, value_name = "FILE")]
    pub plan: Option<PathBuf>,
    /// The entry to drive [default: `agentkeys`, else the only one].
    #[arg(long, value_name = "NAME")]
    pub entry: Option<String>,
    /// A further certificate authority to trust, PEM.
    #[arg(long, value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
}

/// Runs a `rails` command.
pub async fn run(cmd: RailsCmd, as_json: bool) -> Result<(), Problem> {
    match cmd.rail {
        Rail::Xiaozhi(args) => xiaozhi(&args, as_json).await,
        Rail::Ark(args) => ark::ask(&args, as_json).await,
        Rail::ArkStandin(args) => ark::stand_in(&args, as_json).await,
        Rail::Parent(args) => parent::change(&args, as_json).await,
    }
}

/// One call of a plan.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Step {
    tool: String,
    #[serde(default)]
    arguments: Map<String, Value>,
}

async fn xiaozhi(args: &XiaozhiArgs, as_json: bool) -> Result<(), Problem> {
    let settings = Settings::from_file(&args.settings, args.entry.as_deref())?
        .with_ca(ca(args.ca_file.as_deref())?);
    let plan: Vec<Step> = match &args.plan {
        Some(path) => from_json(path)?,
        None => Vec::new(),
    };
    let host = match XiaozhiHost::connect(&settings).await {
        Ok(host) => host,
        Err(error) => {
            failed("connect", None, &error, as_json)?;
            return Err(error.into());
        }
    };
    connected(&host, as_json)?;
    let mut first: Option<RailError> = None;
    for step in &plan {
        // A device goes on after a failed call, so a plan does too; its end tells of the first.
        match host.call(&step.tool, &step.arguments).await {
            Ok(seen) => called(&seen, as_json)?,
            Err(error) => {
                failed("call", Some(&step.tool), &error, as_json)?;
                first.get_or_insert(error);
            }
        }
    }
    host.close().await?;
    first.map_or(Ok(()), |error| Err(error.into()))
}

fn connected(host: &XiaozhiHost, as_json: bool) -> Result<(), Problem> {
    let c = host.connected();
    let findings: Vec<String> = host.findings().iter().map(ToString::to_string).collect();
    if as_json {
        line(
            &json!({"event": "connect", "ok": true, "protocol_version": c.protocol_version, "server_info": c.server_info,
            "session": c.session, "http_status": c.http_status, "ms": c.ms}),
        )?;
        let tools: Vec<Value> = host
            .tools()
            .iter()
            .map(|t| json!({"tool": t.tool, "wire_name": t.wire_name}))
            .collect();
        return line(
            &json!({"event": "tools", "count": tools.len(), "tools": tools, "findings": findings}),
        );
    }
    text(&format!(
        "connected, protocol {}, {} tools, {} ms",
        c.protocol_version,
        host.tools().len(),
        c.ms
    ))?;
    for tool in host.tools() {
        text(&format!("  {}", tool.tool))?;
    }
    for finding in &findings {
        text(&format!("  warning: {finding}"))?;
    }
    Ok(())
}

fn called(seen: &CallSeen, as_json: bool) -> Result<(), Problem> {
    if as_json {
        return line(
            &json!({"event": "call", "ok": true, "tool": seen.tool, "wire_name": seen.wire_name,
            "is_error": seen.is_error, "text": seen.text, "result": seen.result,
            "http_status": seen.http_status, "ms": seen.ms}),
        );
    }
    let mark = if seen.is_error { " (isError)" } else { "" };
    text(&format!(
        "{}{mark}, {} ms: {}",
        seen.tool,
        seen.ms,
        clean_to(&seen.text, 500)
    ))
}

fn failed(
    event: &str,
    tool: Option<&str>,
    error: &RailError,
    as_json: bool,
) -> Result<(), Problem> {
    if as_json {
        return line(
            &json!({"event": event, "ok": false, "tool": tool, "error": error.to_string(),
            "http_status": error.http_status(), "code": error.server_code()}),
        );
    }
    text(&format!("{}: {error}", tool.unwrap_or(event)))
}

fn ca(path: Option<&Path>) -> Result<CaFile, RailError> {
    path.map_or_else(|| Ok(CaFile::default()), CaFile::read)
}

/// An API key out of its file.
pub(super) fn key(path: &Path) -> Result<Secret<String>, RailError> {
    let text = read(path)?;
    let key = text.trim();
    if key.is_empty() || !key.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(input(path, "does not hold one printable API key"));
    }
    Ok(Secret::new(key.to_owned()))
}

fn read(path: &Path) -> Result<String, RailError> {
    std::fs::read_to_string(path).map_err(|e| input(path, &e.to_string()))
}

fn from_json<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T, RailError> {
    // serde's message tells place and expectation; the parts that hold secrets are free-form, so
    // it never has a reason to quote them.
    serde_json::from_str(&read(path)?)
        .map_err(|e| input(path, &format!("is not what is expected: {e}")))
}

fn input(path: &Path, cause: &str) -> RailError {
    RailError::Input {
        what: path.display().to_string(),
        cause: cause.to_owned(),
    }
}

/// One JSON object on stdout.
fn line(value: &Value) -> Result<(), Problem> {
    super::out::json_line(value)
}

/// Human text. Each line is cleaned: most of it comes from the other side.
fn text(words: &str) -> Result<(), Problem> {
    words
        .split('\n')
        .try_for_each(|l| super::out::write_line(&clean(l)))
}

#[cfg(test)]
mod tests;
