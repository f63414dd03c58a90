//! `agentkeys demo …`: the proofs that a person watches.

mod observe;
mod screen;

use super::Ctx;
use super::accept::{ArkFlags, Spinner, tone};
use super::live::ThemeName;
use super::out::Out;
use crate::acceptance::cross_rail::Ark;
use crate::acceptance::kit::{self, Kit};
use crate::acceptance::play::{self, Against, Audience, Over, Progress};
use crate::acceptance::report::Painter;
use crate::acceptance::three_acts::Gate;
use crate::acceptance::{AcceptError, Status, cross_rail, three_acts};
use crate::lang::Lang;
use crate::problem::{Exit, Problem};
use clap::{Args, Subcommand};
use std::path::PathBuf;
use std::time::Duration;
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
  agentkeys demo cross-rail --url https://mcp.example.com --kit ./kit --rail ark-live --ark-key-file ark.key
  agentkeys demo cross-rail --observe O_kevin_001

Without --url it starts a server of its own, in a folder that is gone afterwards.
Rail 1 speaks as xiaozhi-server does; rail 2 is Ark's API, played by a stand-in with a
scripted model. Both are processes of their own that get a config file and nothing else.")]
    CrossRail(CrossRail),
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

/// `demo cross-rail`.
#[derive(Debug, Args)]
pub struct CrossRail {
    /// Where it runs.
    #[command(flatten)]
    pub live: Live,
    /// The second rail.
    #[command(flatten)]
    pub ark: ArkFlags,
}

/// Where a proof runs, and how it is told.
#[derive(Debug, Args)]
pub struct Live {
    /// A server that runs already, with or without `/mcp`.
    #[arg(long, value_name = "U", requires = "means")]
    pub url: Option<String>,
    /// A kit made in that server's data folder with `agentkeys accept kit`.
    #[arg(long, value_name = "DIR", requires = "url", group = "means")]
    pub kit: Option<PathBuf>,
    /// Drive nothing: tick the steps when a real device and a real agent cause this actor's events,
    /// here or on the server after --url.
    #[arg(long, value_name = "A", conflicts_with_all = ["kit", "screenshot"])]
    pub observe: Option<String>,
    /// For --observe with --url: a viewer's or auditor's token, alone in a file of your own.
    #[arg(long, value_name = "F", requires_all = ["url", "observe"], group = "means")]
    pub token_file: Option<PathBuf>,
    /// A further certificate authority to trust, PEM.
    #[arg(long, value_name = "FILE", requires = "url")]
    pub ca_file: Option<PathBuf>,
    /// The language to tell it in [default: as the environment has it].
    #[arg(long, value_name = "zh|en", hide_possible_values = true)]
    pub lang: Option<Lang>,
    /// Tell it line by line on a terminal too, not on a screen of its own.
    #[arg(long)]
    pub plain: bool,
    /// The looks of the screen; the key `t` turns them.
    #[arg(long, value_name = "T", default_value = "dark")]
    pub theme: ThemeName,
    /// Write what the screen shows at the end to this SVG file.
    #[arg(long, value_name = "FILE", conflicts_with = "plain")]
    pub screenshot: Option<PathBuf>,
    /// The size of that picture in columns and lines.
    #[arg(long, value_name = "CxL", default_value = "120x40", value_parser = super::watch::size, requires = "screenshot")]
    pub size: (u16, u16),
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
        let asked = Lang::of_environment;
        self.lang.unwrap_or_else(asked)
    }
}

/// A proof that was played to its end.
enum Proved {
    CrossRail(cross_rail::Proof),
    ThreeActs(three_acts::Proof),
}

impl Proved {
    fn to_json(&self) -> serde_json::Value {
        match self {
            Self::CrossRail(proof) => proof.to_json(),
            Self::ThreeActs(proof) => proof.to_json(),
        }
    }

    fn verdict(&self) -> Result<(), Problem> {
        match self {
            Self::CrossRail(proof) => proof.report().verdict(),
            Self::ThreeActs(proof) => proof.report().verdict(),
        }
    }

    fn steps(&self) -> &[play::Step] {
        match self {
            Self::CrossRail(proof) => &proof.steps,
            Self::ThreeActs(proof) => &proof.steps,
        }
    }

    fn passed(&self) -> bool {
        match self {
            Self::CrossRail(proof) => proof.passed(),
            Self::ThreeActs(proof) => proof.passed(),
        }
    }

    /// The last line.
    fn sentence(&self, lang: Lang, paint: Painter<'_>) -> String {
        match self {
            Self::CrossRail(proof) => cross_rail::show::verdict(lang, proof, paint),
            Self::ThreeActs(proof) => three_acts::show::verdict(lang, proof, paint),
        }
    }

    fn tell(&self, lang: Lang, out: Out) -> Result<(), Problem> {
        let paint = |word: &str, status: Status| out.paint(word, tone(status));
        let verdict = self.sentence(lang, &paint);
        match self {
            Self::CrossRail(proof) => {
                use cross_rail::show;
                let telling = Telling {
                    facts: show::facts(lang, proof),
                    headers: &show::headers(lang),
                    rows: show::rows(proof),
                    verdict,
                };
                telling.tell(out)
            }
            Self::ThreeActs(proof) => {
                use three_acts::show;
                let telling = Telling {
                    facts: show::facts(lang, proof),
                    headers: &show::headers(lang),
                    rows: show::rows(proof),
                    verdict,
                };
                telling.tell(out)
            }
        }
    }
}

impl Which {
    const fn live(&self) -> &Live {
        match self {
            Self::CrossRail(CrossRail { live, .. }) | Self::ThreeActs(live) => live,
        }
    }

    /// Who answers on the second rail. A server of the demo's own is on loopback, where nobody's
    /// cloud gets to; and nothing is driven where somebody only looks on.
    fn ark(&self) -> Result<Ark, Problem> {
        let Self::CrossRail(args) = self else {
            return Ok(Ark::StandIn);
        };
        if args.ark.is_live() && args.live.kit.is_none() {
            return Err(Problem::new(
                Exit::Usage,
                "agentkeys.usage",
                "Ark itself cannot reach a server of the demo's own",
                "name one that it can: --url https://… --kit DIR",
            ));
        }
        args.ark.ark()
    }

    async fn play(
        &self,
        against: Against<'_>,
        ark: &Ark,
        audience: Audience<'_>,
        gate: Gate<'_>,
    ) -> Result<Over<Proved>, AcceptError> {
        Ok(match self {
            Self::CrossRail(_) => {
                let over = cross_rail::run(against, ark, audience).await?;
                over.map(Proved::CrossRail)
            }
            Self::ThreeActs(_) => {
                let over = three_acts::run(against, audience, gate).await?;
                over.map(Proved::ThreeActs)
            }
        })
    }
}

/// Runs `demo`; it ends early, with everything put back, when `stop` is cancelled.
pub async fn run(cmd: DemoCmd, ctx: &Ctx, stop: CancellationToken) -> Result<(), Problem> {
    let live = cmd.proof.live();
    // What is wrong with a flag is told before anything begins.
    cmd.proof.ark()?;
    if let Some(actor) = &live.observe {
        return Box::pin(observe::run(&cmd.proof, actor, ctx, stop)).await;
    }
    let (lang, out) = (live.lang(), ctx.out);
    let screen = live.screenshot.is_some() || (out.is_terminal() && !out.is_json());
    let proved = if screen && !live.plain {
        let proved = Box::pin(screen::run(&cmd.proof, ctx, stop)).await?;
        if !out.is_json() {
            // What stood on the screen stays readable above the prompt.
            let paint = |word: &str, status: Status| out.paint(word, tone(status));
            for step in proved.steps() {
                out.painted(&play::show::step(lang, step, &paint))?;
            }
        }
        proved
    } else {
        lines(&cmd.proof, out, stop).await?
    };
    out.answer(&proved.to_json(), || proved.tell(lang, out))?;
    proved.verdict()
}

/// Plays it with each step told on a line.
async fn lines(which: &Which, out: Out, stop: CancellationToken) -> Result<Proved, Problem> {
    let live = which.live();
    let (kit, ark, lang) = (live.kit()?, which.ark()?, live.lang());
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
        rest: Duration::ZERO,
    };
    let against = live.against(kit.as_ref());
    let over = which
        .play(against, &ark, audience, &three_acts::open)
        .await?;
    spinner.stop();
    Ok(over.end().await)
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
            let far = ["--observe", "A", "--url", "http://h", "--token-file", "f"];
            assert!(parse(&far) && parse(&far[..2]));
            assert!(!parse(&far[..4]) && !parse(&far[2..]));
            assert!(parse(&["--lang", "zh"]) && !parse(&["--lang", "fr"]));
        }
    }
}
