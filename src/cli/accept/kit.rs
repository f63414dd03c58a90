//! `agentkeys accept kit …`: what the suites speak with.

use crate::acceptance::kit;
use crate::cli::Ctx;
use crate::problem::{Exit, Problem};
use clap::{Args, Subcommand};
use serde_json::json;
use std::path::PathBuf;

/// `accept kit`.
#[derive(Debug, Args)]
pub struct KitArgs {
    /// A new folder for the kit.
    #[arg(long, value_name = "DIR", required = true)]
    pub out: Option<PathBuf>,
    /// What else to do with a kit.
    #[command(subcommand)]
    pub verb: Option<KitVerb>,
}

/// What else can be done with a kit.
#[derive(Debug, Subcommand)]
pub enum KitVerb {
    /// Take it back: bindings, devices, tokens, memories and files. Its rows stay, and in the lists
    /// the actors and vendors that they name.
    #[command(before_help = "Examples:
  agentkeys accept kit remove ./kit")]
    Remove {
        /// The kit's folder.
        #[arg(value_name = "DIR")]
        kit: PathBuf,
    },
}

/// Makes one, or takes it back.
pub(super) async fn run(args: &KitArgs, ctx: &Ctx) -> Result<(), Problem> {
    let folder = ctx.open().await?;
    let operator = || folder.operator();
    let out = ctx.out;
    match (&args.verb, &args.out) {
        (Some(KitVerb::Remove { kit: dir }), _) => {
            let gone = kit::remove(&folder.authority, &operator, dir).await?;
            let (actors, vendors) = gone.names();
            let left = json!({"actors": actors, "vendors": vendors});
            let answer = json!({"dir": dir.display().to_string(), "removed": true, "left": left});
            out.answer(&answer, || {
                out.line(&format!(
                    "removed the kit in {}: bindings, devices, tokens, memories and files",
                    dir.display()
                ))?;
                out.line(&format!(
                    "its {actors} actors and {vendors} vendors stay in the lists, with nothing allowed: rows of the log name them"
                ))
            })
        }
        (None, Some(dir)) => {
            let made = kit::make(&folder.authority, &operator, dir).await?;
            out.answer(&made.to_json(dir), || {
                out.line(&format!("kit {} in {}", made.id, dir.display()))?;
                let (actors, vendors) = made.names();
                out.line(&format!(
                    "{vendors} vendors, {actors} actors ({} of them devices), tokens in every state, an auditor token; good for 24 hours",
                    made.devices.len()
                ))?;
                out.line("`accept kit remove` takes it back; its actors and vendors stay in the lists, since rows of the log name them")
            })?;
            out.next(&format!(
                "agentkeys accept all --url http://127.0.0.1:8088 --kit {} --allow-skip tls/https",
                dir.display()
            ));
            Ok(())
        }
        (None, None) => Err(Problem::new(
            Exit::Usage,
            "agentkeys.usage",
            "no folder was named",
            "say where to make the kit: `agentkeys accept kit --out DIR`",
        )),
    }
}
