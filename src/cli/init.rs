//! `agentkeys init`: a new data folder.

use super::args::{domain, public_url};
use super::{Ctx, log_to_stderr};
use crate::config::{self, Config, Flags};
use crate::demo_set::{self, DemoSet};
use crate::folder::{self, Begun, Folder, write_private};
use crate::problem::{Exit, Problem};
use clap::Args;
use serde_json::json;
use std::path::Path;

/// Create the data folder: keys, ledger, vault, default policy.
#[derive(Debug, Args)]
#[command(
    before_help = "Examples:
  agentkeys init
  agentkeys init --demo
  agentkeys init --domain example.com --dir /var/lib/agentkeys",
    after_help = "A run that was cut off is gone on with by running it again."
)]
pub struct InitCmd {
    /// Also make the demo set: one actor with three memories, two vendors with a token each.
    #[arg(long)]
    pub demo: bool,
    /// Hosts will call `https://mcp.D/mcp` (`https://D/mcp` when D begins with `mcp.`).
    #[arg(long, value_name = "D", value_parser = domain)]
    pub domain: Option<String>,
}

/// Runs `init`.
pub async fn run(cmd: &InitCmd, ctx: &Ctx) -> Result<(), Problem> {
    log_to_stderr();
    let dir = ctx.dir()?;
    let dir = std::path::absolute(&dir).unwrap_or(dir);
    let url = cmd.domain.as_deref().map(public_url);
    let file = dir.join(config::FILE);
    folder::owned(&dir)?;
    // A file that is there stays as it is, so what it says must fit what is asked for.
    let config = Config::load(&dir, Flags::default())?;
    if file.exists() {
        keeps(&file, &config, url.as_deref())?;
    }
    let went_on = Begun::left_in(&dir)?.is_some();
    let begun = if cmd.demo { Begun::Demo } else { Begun::Plain };
    let folder = Folder::begin(&dir, config.limits(), begun).await?;
    if went_on {
        ctx.out
            .note("An earlier run was cut off here; this one goes on with it.");
    }
    if !file.exists() {
        write_private(&file, config::default_file(url.as_deref()).as_bytes())?;
    }
    let demo = if cmd.demo {
        Some(demo_set::create(&folder.authority, &folder.operator()).await?)
    } else {
        None
    };
    report(ctx, &folder, &file, url.as_deref(), demo.as_ref())?;
    // Not before: of an answer that nobody got, another run gives the tokens anew.
    folder.finish()
}

fn keeps(file: &Path, config: &Config, url: Option<&str>) -> Result<(), Problem> {
    let there = config.server.public_url.as_ref().map(ToString::to_string);
    match url {
        Some(url) if there.as_deref() != Some(url) => Err(Problem::new(
            Exit::Config,
            "agentkeys.config.exists",
            format!(
                "{} is there already and has another public_url",
                file.display()
            ),
            format!(
                "set `public_url = \"{url}\"` under [server] in it and run init without --domain"
            ),
        )),
        _ => Ok(()),
    }
}

fn report(
    ctx: &Ctx,
    folder: &Folder,
    file: &Path,
    url: Option<&str>,
    demo: Option<&DemoSet>,
) -> Result<(), Problem> {
    let out = ctx.out;
    let (actors, vendors) = demo.map_or_else(|| (json!([]), json!([])), DemoSet::to_json);
    let answer = json!({
        "dir": folder.dir.display().to_string(), "config": file.display().to_string(),
        "actors": actors, "vendors": vendors,
    });
    out.answer(&answer, || {
        out.line(&format!("created {}", folder.dir.display()))?;
        out.fields(&[
            ("operator", folder.authority.operator().to_string()),
            ("config", file.display().to_string()),
            ("public url", url.unwrap_or_default().to_owned()),
        ])?;
        let Some(demo) = demo else { return Ok(()) };
        out.line(&format!(
            "demo set: actor {} {}, three memories, daily cap 500 RMB",
            demo_set::ACTOR,
            demo.actor_omni
        ))?;
        // Not a table: a token that is broken over lines cannot be copied.
        let names: Vec<_> = demo
            .vendors
            .iter()
            .map(|v| format!("{} ({})", v.vendor, v.rail))
            .collect();
        let tokens = demo.vendors.iter().map(|v| v.token.expose().clone());
        let fields: Vec<_> = names.iter().map(String::as_str).zip(tokens).collect();
        out.fields(&fields)?;
        out.note("These tokens are shown this once; only their hashes are kept.");
        Ok(())
    })?;
    out.note("Without keys/root.key nothing in this folder can be opened; `agentkeys backup` takes it too.");
    out.next(match (demo, url) {
        (Some(_), _) => "agentkeys demo cross-rail",
        (None, Some(_)) => "agentkeys serve",
        (None, None) => "agentkeys vendor create NAME --rail xiaozhi",
    });
    Ok(())
}
