//! `agentkeys memory …`: an actor's memory from the operator's side. Every read is a row too.

use super::Ctx;
use super::args::{Input, input, namespace};
use super::tokens::minute;
use crate::authority::calls::admin::AdminCall;
use crate::authority::calls::memory::MAX_CONTENT;
use crate::authority::words::Namespace;
use crate::operate::{admin, text};
use crate::problem::{Exit, Problem};
use clap::{Args, Subcommand};
use serde_json::{Value, json};

/// Memories of an actor, from the operator's side.
#[derive(Debug, Args)]
#[command(before_help = "Examples:
  agentkeys memory put O_kevin_001 travel --file trip.txt
  agentkeys memory get O_kevin_001 travel
  agentkeys memory erase O_kevin_001 travel")]
pub struct MemoryCmd {
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// What can be done with memories.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Write a memory.
    #[command(before_help = "Examples:
  agentkeys memory put O_kevin_001 travel --file trip.txt
  agentkeys memory put O_kevin_001 travel --file - --json")]
    Put {
        /// The actor's alias or omni.
        actor: String,
        /// Where.
        #[arg(value_name = "NS", value_parser = namespace())]
        namespace: Namespace,
        /// What: a file, or - for stdin. At most 256 KiB of text.
        #[arg(long, value_name = "F", value_parser = input)]
        file: Input,
    },
    /// Read a memory; that you did is on record.
    #[command(
        before_help = "Examples:
  agentkeys memory get O_kevin_001 travel
  agentkeys memory get O_kevin_001 travel --version 3 --json",
        after_help = "On a screen, control characters are replaced; --json has the text exactly."
    )]
    Get {
        /// The actor's alias or omni.
        actor: String,
        /// Where.
        #[arg(value_name = "NS", value_parser = namespace())]
        namespace: Namespace,
        /// An older version.
        #[arg(long, value_name = "N")]
        version: Option<u64>,
    },
    /// List the versions of a memory, without what they say.
    #[command(before_help = "Examples:
  agentkeys memory history O_kevin_001 travel
  agentkeys memory history O_kevin_001 travel --json")]
    History {
        /// The actor's alias or omni.
        actor: String,
        /// Where.
        #[arg(value_name = "NS", value_parser = namespace())]
        namespace: Namespace,
    },
    /// Destroy a memory with all its versions, or everything an actor remembers.
    #[command(
        before_help = "Examples:
  agentkeys memory erase O_kevin_001 travel
  agentkeys memory erase O_kevin_001 --confirm O_kevin_001",
        after_help = "Nothing brings it back. On a terminal you are asked to type the actor's name."
    )]
    Erase {
        /// The actor's alias or omni.
        actor: String,
        /// Where [default: everywhere].
        #[arg(value_name = "NS", value_parser = namespace())]
        namespace: Option<Namespace>,
        /// The actor's name again, instead of typing it when asked.
        #[arg(long, value_name = "NAME")]
        confirm: Option<String>,
    },
}

/// Runs a `memory` command.
pub async fn run(cmd: MemoryCmd, ctx: &Ctx) -> Result<(), Problem> {
    match cmd.verb {
        Verb::Put {
            actor,
            namespace,
            file,
        } => put(ctx, actor, namespace, &file).await,
        Verb::Get {
            actor,
            namespace,
            version,
        } => get(ctx, actor, namespace, version).await,
        Verb::History { actor, namespace } => history(ctx, actor, namespace).await,
        Verb::Erase {
            actor,
            namespace,
            confirm,
        } => erase(ctx, actor, namespace, confirm).await,
    }
}

async fn put(ctx: &Ctx, actor: String, namespace: Namespace, file: &Input) -> Result<(), Problem> {
    let content = file.read(MAX_CONTENT)?;
    let call = AdminCall::MemoryPut {
        actor,
        namespace,
        content,
    };
    let answer = ctx.admin(call).await?;
    ctx.out.answer(&answer, || {
        let version = &answer["version"];
        let how = match answer.get("unchanged") {
            Some(Value::Bool(true)) => "it was so already",
            _ => "written",
        };
        ctx.out
            .line(&format!("{namespace} is at version {version}: {how}"))?;
        ctx.out.fields(&[
            ("sha256", text(&answer, "sha256").to_owned()),
            ("object", text(&answer, "object_key").to_owned()),
        ])
    })
}

async fn get(
    ctx: &Ctx,
    actor: String,
    namespace: Namespace,
    version: Option<u64>,
) -> Result<(), Problem> {
    let call = AdminCall::MemoryGet {
        actor,
        namespace,
        version,
    };
    let answer = ctx.admin(call).await?;
    ctx.out.answer(&answer, || {
        if answer["version"] == 0 {
            ctx.out.note(&format!("{namespace} was never written"));
            return Ok(());
        }
        ctx.out.lines(text(&answer, "content"))?;
        ctx.out.note(&format!(
            "({namespace} version {}, {}, sha256 {})",
            answer["version"],
            minute(text(&answer, "updated_at")),
            text(&answer, "sha256")
        ));
        Ok(())
    })
}

async fn history(ctx: &Ctx, actor: String, namespace: Namespace) -> Result<(), Problem> {
    let call = AdminCall::MemoryHistory { actor, namespace };
    let rows = ctx.admin(call).await?;
    let none = Vec::new();
    let versions = rows.as_array().unwrap_or(&none);
    ctx.out.answer(&json!({"versions": rows}), || {
        if versions.is_empty() {
            return ctx.out.line(&format!("{namespace} holds nothing"));
        }
        let row = |v: &Value| {
            let how = if v["appended"] == true {
                "append"
            } else {
                "replace"
            };
            vec![
                v["version"].to_string(),
                minute(text(v, "written_at")),
                v["length"].to_string(),
                how.to_owned(),
                text(v, "token_id").to_owned(),
                text(v, "event_id").to_owned(),
            ]
        };
        ctx.out.table(
            &["version", "written", "bytes", "how", "token", "event"],
            versions.iter().map(row).collect(),
        )
    })
}

async fn erase(
    ctx: &Ctx,
    actor: String,
    namespace: Option<Namespace>,
    confirm: Option<String>,
) -> Result<(), Problem> {
    let folder = ctx.open().await?;
    let show = AdminCall::ActorShow {
        actor: actor.clone(),
        verify: false,
    };
    let shown = admin(&folder.authority, &folder.operator(), show).await?;
    let alias = text(&shown, "alias").to_owned();
    let what = namespace.map_or_else(
        || format!("everything {alias} remembers and stated"),
        |n| format!("what {alias} remembers in {n}"),
    );
    let typed = match confirm {
        Some(name) => name,
        None => prompt(&alias, &what).await?,
    };
    if typed != alias && typed != text(&shown, "actor_omni") {
        return Err(not_confirmed("the name that was typed is another", &alias));
    }
    let call = AdminCall::MemoryErase { actor, namespace };
    let answer = admin(&folder.authority, &folder.operator(), call).await?;
    ctx.out.answer(&answer, || {
        ctx.out.line(&format!(
            "erased {what}: {} versions, unreadable from now on; caps that rested on it are revoked",
            answer["objects"]
        ))
    })
}

/// Asks for the actor's name on the terminal.
async fn prompt(alias: &str, what: &str) -> Result<String, Problem> {
    let question = format!("This destroys {what}, for good. Type {alias} to go on: ");
    let line = super::ask::line(&question).await;
    let line = line.map_err(|cause| not_confirmed(cause, alias))?;
    Ok(line.trim().to_owned())
}

fn not_confirmed(cause: &str, alias: &str) -> Problem {
    Problem::new(
        Exit::Usage,
        "agentkeys.memory.not_confirmed",
        format!("nothing was erased: {cause}"),
        format!("add --confirm {alias}"),
    )
}
