//! The proof of an entry: Ark, or its stand-in, connects to the server and uses a tool.

use super::VolcanoArkArgs;
use crate::cli::wire::report::Proof;
use crate::problem::{Exit, Problem};
use crate::publish::wire::volcano_ark::Entry;
use crate::rails::CaFile;
use crate::rails::ark::{ArkClient, Item, Request, Response};
use crate::rails::ark_standin::{Prompts, Standin};
use crate::secret::Secret;
use serde_json::json;
use std::path::Path;

/// What the proof makes the model do: it changes nothing.
const ASKED: &str = "agentkeys_identity_whoami";

/// Lets Ark, or its stand-in, find the server's tools and use one of them.
pub(super) async fn prove(
    args: &VolcanoArkArgs,
    entry: &Entry,
    token: Option<Secret<String>>,
) -> Proof {
    if !args.verify {
        return Proof::NotAsked("--verify was not asked for");
    }
    let entry = Entry {
        token,
        ..entry.clone()
    };
    let answer = match &args.ark_key_file {
        Some(path) => live(args, path, &entry).await,
        None => standin(args, &entry).await,
    };
    answer.map_or_else(Proof::No, |response| judge(&response, &entry))
}

/// Refuses, before anything is made or written, to ask Ark itself about a server it cannot reach.
pub(super) fn possible(args: &VolcanoArkArgs, entry: &Entry) -> Result<(), Problem> {
    let wanted = entry
        .unreachable_from_ark()
        .filter(|_| args.ark_key_file.is_some());
    wanted.map_or(Ok(()), |why| {
        Err(Problem::new(
            Exit::Config,
            "agentkeys.wire.not_public",
            format!("{} cannot be verified with Ark itself: {why}", entry.url),
            "use a public address, or leave --ark-key-file out to ask the stand-in",
        ))
    })
}

async fn live(args: &VolcanoArkArgs, key: &Path, entry: &Entry) -> Result<Response, Problem> {
    let key = crate::cli::args::token_file(key)?;
    let client = ArkClient::new(&args.ark_url, key)?;
    ask(&client, entry).await
}

/// A stand-in of our own for one question.
async fn standin(args: &VolcanoArkArgs, entry: &Entry) -> Result<Response, Problem> {
    let ca = args.ca_file.as_deref().map(CaFile::read).transpose()?;
    let key = Secret::new(hex::encode(random()));
    let standin = Standin::new(
        Some(key.clone()),
        Prompts::built_in()?,
        ca.unwrap_or_default(),
    );
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .map_err(|e| {
            Problem::new(
                Exit::Failed,
                "agentkeys.rails.listen",
                format!("the stand-in cannot listen on this machine: {e}"),
                "look at the limits on open files",
            )
        })?;
    let running = standin.start(listener)?;
    let client = ArkClient::new(running.base_url(), key)?;
    let answer = ask(&client, entry).await;
    running.stop().await;
    answer
}

fn random() -> [u8; 16] {
    use crate::authority::ports::Entropy as _;
    let mut bytes = [0; 16];
    crate::folder::system::SystemEntropy.fill(&mut bytes);
    bytes
}

async fn ask(client: &ArkClient, entry: &Entry) -> Result<Response, Problem> {
    let mut request = Request::prompt(&entry.model, "Who am I? 我是谁？", vec![entry.to_json()]);
    if entry.tools.iter().any(|t| t == ASKED) {
        request.tool_choice =
            Some(json!({"type": "mcp", "server_label": entry.label, "name": ASKED}));
    }
    Ok(client.respond(&request).await?)
}

/// The tools have to be listed, and a call that was made must not have failed.
fn judge(response: &Response, entry: &Entry) -> Proof {
    let via = response.via();
    let failed = |cause: String| {
        Proof::No(Problem::new(
            Exit::Failed,
            "agentkeys.wire.not_proved",
            format!("{via}: {cause}"),
            "look at the server's log and at the entry's address, token and actor",
        ))
    };
    let mut listed = None;
    let mut used = "";
    for item in &response.output {
        match item {
            Item::ListTools {
                error: Some(error), ..
            } => {
                return failed(format!("the tools could not be listed: {error}"));
            }
            Item::ListTools { tools, .. } => listed = Some(tools.len()),
            Item::Call {
                name,
                error: Some(error),
                ..
            } => {
                return failed(format!("{name} failed: {error}"));
            }
            Item::Call { .. } => used = ", one was used",
            Item::ApprovalRequest { .. } => used = ", and approval is asked for before one is used",
            Item::Message { .. } | Item::Other { .. } => {}
        }
    }
    match listed {
        Some(tools) if tools == entry.tools.len() => {
            Proof::Yes(format!("{tools} tools were listed{used}; via {via}"))
        }
        Some(tools) => failed(format!(
            "{tools} tools were listed, and {} are allowed",
            entry.tools.len()
        )),
        None => failed("it did not look at the server at all".to_owned()),
    }
}
