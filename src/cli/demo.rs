//! `agentkeys demo …`: the proofs that a person watches.

use super::Ctx;
use super::accept::{Spinner, tone};
use super::out::Out;
use crate::acceptance::captions::Lang;
use crate::acceptance::kit::{self, Kit};
use crate::acceptance::play::{self, Against, Audience, Progress};
use crate::acceptance::{Status, cross_rail, three_acts};
use crate::problem::Problem;
use clap::{Args, Subcommand};
use std::path::PathBuf;
use tokio_util::sync::CancellationToken;

/// Prove it, live.
#[derive(Debug, Args)]
#[command(before_help = "Examples:
  agentkeys demo cross-rail
  agentkeys demo three-acts --lang zh
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
    CrossRail(Live),
    /// Memory by permission, denial by arithmetic, and a permission taken back and gone at once.
    #[command(before_help = "Examples:
  agentkeys demo three-acts
  agentkeys demo three-acts --lang zh
  agentkeys demo three-acts --url https://mcp.example.com --kit ./kit --json

Without --url it starts a server of its own, in a folder that is gone afterwards.
The vendor's host speaks as xiaozhi-server does; the parent is a process of its own. Grants,
budget and memory are put back, also when it is interrupted.")]
    ThreeActs(Live),
}

/// Where a proof runs, and how it is told.
#[derive(Debug, Args)]
pub struct Live {
    /// A server that runs already, with or without `/mcp`.
    #[arg(long, value_name = "U", requires = "kit")]
    pub url: Option<String>,
    /// A kit made in that server's data folder with `agentkeys accept kit`.
    #[arg(long, value_name = "DIR", requires = "url")]
    pub kit: Option<PathBuf>,
    /// A further certificate authority to trust, PEM.
    #[arg(long, value_name = "FILE", requires = "url")]
    pub ca_file: Option<PathBuf>,
    /// The language to tell it in [default: as the environment has it].
    #[arg(long, value_name = "zh|en", hide_possible_values = true)]
    pub lang: Option<Lang>,
}

impl Live {
    fn kit(&self) -> Result<Option<Kit>, Problem> {
        Ok(self.kit.as_deref().map(kit::load).transpose()?)
    }

    fn against<'a>(&'a self, kit: Option<&'a Kit>) -> Against<'a> {
        match (&self.url, kit) {
            (Some(url), Some(kit)) => Against::Server {
                url,
                kit,
                ca_file: self.ca_file.as_deref(),
            },
            _ => Against::Fresh,
        }
    }

    fn lang(&self) -> Lang {
        let asked = || Lang::of(|name| std::env::var(name).ok());
        self.lang.unwrap_or_else(asked)
    }
}

/// Runs `demo`; it ends early, with everything put back, when `stop` is cancelled.
pub async fn run(cmd: DemoCmd, ctx: &Ctx, stop: CancellationToken) -> Result<(), Problem> {
    let (Which::CrossRail(live) | Which::ThreeActs(live)) = &cmd.proof;
    let (kit, lang, out) = (live.kit()?, live.lang(), ctx.out);
    let against = live.against(kit.as_ref());
    let spinner = Spinner::new(out);
    let paint = |word: &str, status: Status| out.paint(word, tone(status));
    let progress = |progress: Progress<'_>| {
        spinner.follows(progress, |step| {
            if !out.is_json() {
                let told = play::show::step(lang, step, &paint);
                // That nobody reads it any more is found at the end.
                let _ = out.painted(&told);
            }
        });
    };
    let audience = Audience {
        progress: &progress,
        stop: &stop,
    };
    match &cmd.proof {
        Which::CrossRail(_) => {
            let proof = cross_rail::run(against, audience).await?;
            spinner.stop();
            out.answer(&proof.to_json(), || {
                use cross_rail::show;
                let telling = Telling {
                    facts: show::facts(lang, &proof),
                    headers: &show::headers(lang),
                    rows: show::rows(&proof),
                    verdict: show::verdict(lang, &proof, &paint),
                };
                telling.tell(out)
            })?;
            proof.report().verdict()
        }
        Which::ThreeActs(_) => {
            let proof = three_acts::run(against, audience, &three_acts::open).await?;
            spinner.stop();
            out.answer(&proof.to_json(), || {
                use three_acts::show;
                let telling = Telling {
                    facts: show::facts(lang, &proof),
                    headers: &show::headers(lang),
                    rows: show::rows(&proof),
                    verdict: show::verdict(lang, &proof, &paint),
                };
                telling.tell(out)
            })?;
            proof.report().verdict()
        }
    }
}

/// What is told of a proof once it is over: facts, rows and the last line.
struct Telling<'a> {
    facts: Vec<(&'static str, String)>,
    headers: &'a [&'a str],
    rows: Vec<Vec<String>>,
    verdict: String,
}

impl Telling<'_> {
    fn tell(self, out: Out) -> Result<(), Problem> {
        out.line("")?;
        out.fields(&self.facts)?;
        out.line("")?;
        out.table(self.headers, self.rows)?;
        out.line("")?;
        out.painted(&self.verdict)
    }
}

#[cfg(test)]
mod tests {
    use crate::cli::grammar;

    #[test]
    fn a_url_needs_its_kit() {
        for proof in ["cross-rail", "three-acts"] {
            let parse = |words: &[&str]| {
                let words = [&["agentkeys", "demo", proof], words].concat();
                grammar().try_get_matches_from(words).is_ok()
            };
            assert!(parse(&[]) && parse(&["--json"]));
            assert!(parse(&["--url", "http://h", "--kit", "k"]));
            assert!(!parse(&["--url", "http://h"]) && !parse(&["--kit", "k"]));
            assert!(parse(&["--lang", "zh"]) && !parse(&["--lang", "fr"]));
        }
    }
}
