//! `agentkeys demo …`: the proofs that a person watches.

use super::Ctx;
use super::accept::{Spinner, prove, tone};
use crate::acceptance::cross_rail::{Against, Proof, show};
use crate::acceptance::kit;
use crate::problem::Problem;
use clap::{Args, Subcommand};
use std::path::PathBuf;

/// Prove it, live.
#[derive(Debug, Args)]
#[command(before_help = "Examples:
  agentkeys demo cross-rail
  agentkeys demo cross-rail --json")]
pub struct DemoCmd {
    /// Which proof.
    #[command(subcommand)]
    pub proof: Which,
}

/// The proofs.
#[derive(Debug, Subcommand)]
pub enum Which {
    /// What an actor remembers through one host comes back byte for byte through another.
    #[command(before_help = "Examples:
  agentkeys demo cross-rail
  agentkeys demo cross-rail --json
  agentkeys demo cross-rail --url https://mcp.example.com --kit ./kit

Without --url it starts a server of its own, in a folder that is gone afterwards.
Rail 1 speaks as xiaozhi-server does; rail 2 is Ark's API, played by a stand-in with a
scripted model. Both are processes of their own that get a config file and nothing else.")]
    CrossRail(CrossRail),
}

/// `demo cross-rail`.
#[derive(Debug, Args)]
pub struct CrossRail {
    /// A server that runs already, with or without `/mcp`.
    #[arg(long, value_name = "U", requires = "kit")]
    pub url: Option<String>,
    /// A kit made in that server's data folder with `agentkeys accept kit`.
    #[arg(long, value_name = "DIR", requires = "url")]
    pub kit: Option<PathBuf>,
    /// A further certificate authority to trust, PEM.
    #[arg(long, value_name = "FILE", requires = "url")]
    pub ca_file: Option<PathBuf>,
}

/// Runs `demo`.
pub async fn run(cmd: DemoCmd, ctx: &Ctx) -> Result<(), Problem> {
    let Which::CrossRail(args) = cmd.proof;
    let kit = args.kit.as_deref().map(kit::load).transpose()?;
    let against = match (&args.url, &kit) {
        (Some(url), Some(kit)) => Against::Server {
            url,
            kit,
            ca_file: args.ca_file.as_deref(),
        },
        _ => Against::Fresh,
    };
    let out = ctx.out;
    let spinner = Spinner::new(out);
    let proof = prove(against, &spinner, |step| {
        if !out.is_json() {
            let line = show::step(step, &|word, status| out.paint(word, tone(status)));
            // That nobody reads it any more is found at the end.
            let _ = out.painted(&line);
        }
    })
    .await?;
    spinner.stop();
    out.answer(&proof.to_json(), || tell(&proof, ctx))?;
    proof.report().verdict()
}

fn tell(proof: &Proof, ctx: &Ctx) -> Result<(), Problem> {
    let out = ctx.out;
    out.line("")?;
    out.fields(&show::facts(proof))?;
    out.line("")?;
    out.table(show::HEADERS, show::rows(proof))?;
    out.line("")?;
    out.painted(&show::verdict(proof, &|word, status| {
        out.paint(word, tone(status))
    }))
}

#[cfg(test)]
mod tests {
    use crate::cli::grammar;

    #[test]
    fn a_url_needs_its_kit() {
        let parse = |words: &[&str]| {
            let words = [&["agentkeys", "demo", "cross-rail"], words].concat();
            grammar().try_get_matches_from(words).is_ok()
        };
        assert!(parse(&[]) && parse(&["--json"]));
        assert!(parse(&["--url", "http://h", "--kit", "k"]));
        assert!(!parse(&["--url", "http://h"]) && !parse(&["--kit", "k"]));
    }
}
