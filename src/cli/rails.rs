//! `agentkeys rails …`: drive a server as a host does, by hand or from a script.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::problem::{Exit, Problem};
use crate::rails::ark::{ArkClient, Item, Request, Response};
use crate::rails::ark_standin::{Prompts, Standin};
use crate::rails::xiaozhi::{CallSeen, Settings, XiaozhiHost};
use crate::rails::{CaFile, RailError};
use crate::secret::Secret;
use crate::text::{clean, clean_to};

/// Drive a server exactly as a host does.
#[derive(Debug, Args)]
#[command(before_help = "Examples:
  agentkeys rails xiaozhi --settings data/.mcp_server_settings.json --plan plan.json --json
  agentkeys rails ark --config ark.json
  agentkeys rails ark-standin --listen 127.0.0.1:0 --key-file ark.key --json")]
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
  agentkeys rails ark --config ark.json --prompt '周末我要去哪儿？' --json",
        after_help = "Config: {\"base_url\":\"https://ark.cn-beijing.volces.com/api/v3\",\"key_file\":\"ark.key\",
         \"model\":\"…\",\"tools\":[{\"type\":\"mcp\",…}],\"prompt\":\"…\"}
`tools` goes out verbatim; a relative key_file is beside the config."
    )]
    Ark(ArkArgs),
    /// Serve a stand-in for Ark: its API and a real MCP client, with a scripted model.
    #[command(
        before_help = "Examples:
  agentkeys rails ark-standin --key-file ark.key
  agentkeys rails ark-standin --listen 127.0.0.1:9090 --key-file ark.key --prompts rows.json --json",
        after_help = "It dials whatever address a caller with the key names: keep it on loopback."
    )]
    ArkStandin(StandinArgs),
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

/// `rails ark`.
#[derive(Debug, Args)]
pub struct ArkArgs {
    /// Base URL, key file, model, tools and prompt.
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// Instead of the config's prompt.
    #[arg(long, value_name = "TEXT")]
    pub prompt: Option<String>,
    /// A further certificate authority to trust, PEM.
    #[arg(long, value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
}

/// `rails ark-standin`.
#[derive(Debug, Args)]
pub struct StandinArgs {
    /// Where to listen; port 0 picks one.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0")]
    pub listen: SocketAddr,
    /// The API key that callers must send.
    #[arg(long, value_name = "FILE")]
    pub key_file: PathBuf,
    /// A prompt table instead of the built-in one.
    #[arg(long, value_name = "FILE")]
    pub prompts: Option<PathBuf>,
    /// A further certificate authority to trust when dialling MCP servers, PEM.
    #[arg(long, value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
}

/// Runs a `rails` command.
pub async fn run(cmd: RailsCmd, as_json: bool) -> Result<(), Problem> {
    match cmd.rail {
        Rail::Xiaozhi(args) => xiaozhi(&args, as_json).await,
        Rail::Ark(args) => ark(&args, as_json).await,
        Rail::ArkStandin(args) => ark_standin(&args, as_json).await,
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

/// `rails ark --config`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ArkConfig {
    base_url: String,
    key_file: PathBuf,
    model: String,
    tools: Tools,
    #[serde(default)]
    prompt: Option<String>,
}

/// Tool entries, whose headers are credentials and must not print.
#[derive(Deserialize)]
#[serde(transparent)]
struct Tools(Vec<Value>);

impl std::fmt::Debug for Tools {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} tools", self.0.len())
    }
}

async fn ark(args: &ArkArgs, as_json: bool) -> Result<(), Problem> {
    let config: ArkConfig = from_json(&args.config)?;
    let beside = args.config.parent().unwrap_or(Path::new("."));
    let key = key(&beside.join(&config.key_file))?;
    let Some(prompt) = args.prompt.as_ref().or(config.prompt.as_ref()) else {
        return Err(input(
            &args.config,
            "has no `prompt`, and none was given with --prompt",
        )
        .into());
    };
    let client = ArkClient::with_ca(&config.base_url, key, &ca(args.ca_file.as_deref())?)?;
    let request = Request::prompt(&config.model, prompt, config.tools.0);
    let response = client.respond(&request).await?;
    if as_json {
        line(
            &json!({"response_id": response.id, "model": response.model, "status": response.status, "via": response.via(),
            "output": response.raw.get("output"), "usage": response.raw.get("usage")}),
        )?;
    } else {
        items(&response)?;
    }
    // A tool that answers with an error is an answer; a server that cannot be listed is a failure.
    let unlisted = response.output.iter().find_map(|item| match item {
        Item::ListTools {
            server_label,
            error: Some(error),
            ..
        } => Some((server_label, error)),
        _ => None,
    });
    match unlisted {
        None => Ok(()),
        Some((label, error)) => Err(Problem::new(
            Exit::Failed,
            "agentkeys.rails.ark_cannot_list",
            format!(
                "{} could not list the tools of `{label}`: {error}",
                response.via()
            ),
            "check server_url (public HTTPS for Ark itself) and the entry's headers",
        )),
    }
}

fn items(response: &Response) -> Result<(), Problem> {
    text(&format!(
        "{} ({}, via {})",
        response.id,
        response.status,
        response.via()
    ))?;
    for item in &response.output {
        text(&match item {
            Item::ListTools {
                server_label,
                tools,
                error: None,
            } => format!("  mcp_list_tools {server_label}: {} tools", tools.len()),
            Item::ListTools {
                server_label,
                error: Some(error),
                ..
            } => format!("  mcp_list_tools {server_label}: error: {error}"),
            Item::ApprovalRequest {
                id,
                name,
                arguments,
                ..
            } => format!("  mcp_approval_request {id}: {name} {arguments}"),
            Item::Call {
                name,
                arguments,
                output,
                error,
                ..
            } => format!(
                "  mcp_call {name} {arguments}\n    {}: {}",
                if error.is_some() { "error" } else { "output" },
                clean_to(
                    error
                        .as_ref()
                        .or(output.as_ref())
                        .map_or("", String::as_str),
                    500
                ),
            ),
            Item::Message { text } => format!("  message: {}", clean_to(text, 500)),
            Item::Other { kind } => format!("  {kind}"),
        })?;
    }
    Ok(())
}

async fn ark_standin(args: &StandinArgs, as_json: bool) -> Result<(), Problem> {
    let prompts = match &args.prompts {
        None => Prompts::built_in()?,
        Some(path) => Prompts::parse(&path.display().to_string(), &read(path)?)?,
    };
    let standin = Standin::new(key(&args.key_file)?, prompts, ca(args.ca_file.as_deref())?);
    let listener = tokio::net::TcpListener::bind(args.listen)
        .await
        .map_err(|e| {
            Problem::new(
                Exit::Config,
                "agentkeys.rails.listen",
                format!("cannot listen on {}: {e}", args.listen),
                "choose a free address, or port 0",
            )
        })?;
    // Before the ready line, so that a signal sent at once already finds its handler.
    let ended = ended()?;
    let running = standin.start(listener)?;
    let pid = std::process::id();
    if as_json {
        line(&json!({"event": "ready", "base_url": running.base_url(), "pid": pid}))?;
    } else {
        text(&format!(
            "stand-in for Ark (scripted model) at {}, pid {pid}",
            running.base_url()
        ))?;
    }
    ended.await;
    running.stop().await;
    Ok(())
}

/// Resolves at ctrl-c or SIGTERM.
fn ended() -> Result<impl Future<Output = ()>, Problem> {
    let no_signals = |e: std::io::Error| {
        Problem::new(
            Exit::Failed,
            "agentkeys.rails.signals",
            format!("cannot watch for signals: {e}"),
            "run it where signals can be watched",
        )
    };
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let mut term = signal(SignalKind::terminate()).map_err(no_signals)?;
        let mut int = signal(SignalKind::interrupt()).map_err(no_signals)?;
        Ok(async move {
            tokio::select! {
                _ = term.recv() => {}
                _ = int.recv() => {}
            }
        })
    }
    #[cfg(not(unix))]
    {
        let _ = no_signals;
        Ok(async {
            let _ = tokio::signal::ctrl_c().await;
        })
    }
}

fn ca(path: Option<&Path>) -> Result<CaFile, RailError> {
    path.map_or_else(|| Ok(CaFile::default()), CaFile::read)
}

fn key(path: &Path) -> Result<Secret<String>, RailError> {
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
