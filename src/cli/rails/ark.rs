//! `agentkeys rails ark` and `agentkeys rails ark-standin`.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{ca, from_json, input, key, line, read, text};
use crate::cli::signals::Signals;
use crate::problem::{Exit, Problem};
use crate::rails::ark::{ArkClient, Event, Item, Request, Response};
use crate::rails::ark_standin::{Prompts, Standin};
use crate::text::clean_to;

/// As many approvals after one another as Ark's highest number of calls.
const MOST_TURNS: usize = 10;

/// `rails ark`.
#[derive(Debug, Args)]
pub struct ArkArgs {
    /// Base URL, key file, model, tools and prompt.
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// Instead of the config's prompt.
    #[arg(long, value_name = "TEXT")]
    pub prompt: Option<String>,
    /// Ask for a stream, and show its events.
    #[arg(long)]
    pub stream: bool,
    /// Answer approval requests; without it they are shown and nothing is called.
    #[arg(long, value_name = "yes|no", hide_possible_values = true)]
    pub approve: Option<Answer>,
    /// A further certificate authority to trust, PEM.
    #[arg(long, value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
}

/// An answer to approval requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Answer {
    /// Let the tool be called.
    Yes,
    /// Do not.
    No,
}

/// `rails ark-standin`.
#[derive(Debug, Args)]
pub struct StandinArgs {
    /// Where to listen; port 0 picks one.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0")]
    pub listen: SocketAddr,
    /// The one API key that callers must send; without it any will do, on loopback only.
    #[arg(long, value_name = "FILE")]
    pub key_file: Option<PathBuf>,
    /// A prompt table instead of the built-in one.
    #[arg(long, value_name = "FILE")]
    pub prompts: Option<PathBuf>,
    /// Dial MCP servers at private addresses too.
    #[arg(long)]
    pub dial_private: bool,
    /// Stop too when standard input ends, as it does when the program that started this one is gone.
    #[arg(long)]
    pub until_stdin_ends: bool,
    /// A further certificate authority to trust when dialling MCP servers, PEM.
    #[arg(long, value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
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

pub(super) async fn ask(args: &ArkArgs, as_json: bool) -> Result<(), Problem> {
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
    let mut request = Request::prompt(&config.model, prompt, config.tools.0.clone());
    for _ in 0..MOST_TURNS {
        let response = turn(&client, &request, args.stream, as_json).await?;
        shown(&response, as_json)?;
        judged(&response)?;
        if response.waiting().next().is_none() {
            return Ok(());
        }
        let Some(answer) = args.approve else {
            let hint = "nothing was called: run it again with --approve yes, or no";
            return if as_json { Ok(()) } else { text(hint) };
        };
        let yes = answer == Answer::Yes;
        let tools = config.tools.0.clone();
        let waiting = response.waiting();
        request = Request::approval(&config.model, &response.id, waiting, yes, tools);
    }
    Err(Problem::new(
        Exit::Failed,
        "agentkeys.rails.ark_keeps_asking",
        format!("{MOST_TURNS} responses asked for approvals, and there is no end of it"),
        "look at what it asks for, or set `require_approval` in the tool's entry",
    ))
}

async fn turn(
    client: &ArkClient,
    request: &Request,
    stream: bool,
    as_json: bool,
) -> Result<Response, Problem> {
    if !stream {
        return Ok(client.respond(request).await?);
    }
    let mut printed = Ok(());
    let show = |event: &Event<'_>| {
        if printed.is_ok() {
            printed = if as_json {
                line(&json!({"event": "stream", "type": event.kind, "data": event.raw}))
            } else {
                text(&format!("  {}", clean_to(event.kind, 80)))
            };
        }
    };
    let response = client.respond_streamed(request, show).await?;
    printed.map(|()| response)
}

fn shown(response: &Response, as_json: bool) -> Result<(), Problem> {
    if !as_json {
        return items(response);
    }
    line(
        &json!({"response_id": response.id, "model": response.model, "status": response.status, "via": response.via(),
        "output": response.raw.get("output"), "usage": response.raw.get("usage")}),
    )
}

/// A tool that answers with an error is an answer; a server that cannot be listed is a failure, and
/// so is a response that failed.
fn judged(response: &Response) -> Result<(), Problem> {
    if response.status == "failed" {
        let why = response.failure().unwrap_or_default();
        return Err(Problem::new(
            Exit::Failed,
            "agentkeys.rails.ark_failed",
            format!(
                "{} could not finish: {}",
                response.via(),
                clean_to(&why, 400)
            ),
            "calls that were made stay made; read the audit before trying again",
        ));
    }
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
                "{} could not list the tools of `{}`: {}",
                response.via(),
                clean_to(label, 80),
                clean_to(error, 400)
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

pub(super) async fn stand_in(args: &StandinArgs, as_json: bool) -> Result<(), Problem> {
    let prompts = match &args.prompts {
        None => Prompts::built_in()?,
        Some(path) => Prompts::parse(&path.display().to_string(), &read(path)?)?,
    };
    let wanted = args.key_file.as_deref().map(key).transpose()?;
    if wanted.is_none() && !args.listen.ip().is_loopback() {
        return Err(Problem::new(
            Exit::Config,
            "agentkeys.rails.key_missing",
            format!(
                "{} can be reached from outside, and any key would do",
                args.listen
            ),
            "give the one key with --key-file, or listen on 127.0.0.1",
        ));
    }
    let standin = Standin::new(wanted, prompts, ca(args.ca_file.as_deref())?)
        .dialling_private(args.dial_private);
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
    let ended = Signals::that_stop()?.or_stdin(args.until_stdin_ends);
    let running = standin.start(listener)?;
    let pid = std::process::id();
    if as_json {
        line(
            &json!({"event": "ready", "base_url": running.base_url(), "pid": pid,
            "via": "stand-in, scripted model"}),
        )?;
    } else {
        let key = if args.key_file.is_some() {
            "the key of --key-file"
        } else {
            "any key"
        };
        text(&format!(
            "stand-in for Ark (scripted model) at {}, for {key}, pid {pid}",
            running.base_url()
        ))?;
    }
    ended.await;
    running.stop().await;
    Ok(())
}
