//! `agentkeys accept …`: suites that hold any deployment to the contract, by its URL.

use super::Ctx;
use super::out::{Out, Tone};
use crate::acceptance::kit::{self, Kit};
use crate::acceptance::play::{Against, Audience, Progress, Step};
use crate::acceptance::report::{Check, Report, Status};
use crate::acceptance::{Trust, cross_rail, negative_auth, three_acts, tools};
use crate::problem::{Exit, Problem};
use clap::{Args, Subcommand};
use indicatif::ProgressBar;
use serde_json::json;
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Hold a deployment to the contract, from outside.
#[derive(Debug, Args)]
#[command(before_help = "Examples:
  agentkeys accept kit --out ./kit
  agentkeys accept negative-auth --url http://127.0.0.1:8088 --kit ./kit
  agentkeys accept cross-rail --url https://mcp.example.com --kit ./kit --json")]
pub struct AcceptCmd {
    /// Which suite.
    #[command(subcommand)]
    pub suite: Suite,
}

/// The suites, and what they need.
#[derive(Debug, Subcommand)]
pub enum Suite {
    /// Make a kit, or remove one: throw-away actors, vendors and tokens in every state.
    #[command(
        args_conflicts_with_subcommands = true,
        subcommand_negates_reqs = true,
        before_help = "Examples:
  agentkeys accept kit --out ./kit
  agentkeys accept kit --out ./kit --dir /var/lib/agentkeys
  agentkeys accept kit remove ./kit

Make it in the data folder of the server under proof. It lives for 24 hours."
    )]
    Kit(KitArgs),
    /// Everything that must be refused is, with its status, its code and exactly one row.
    #[command(before_help = "Examples:
  agentkeys accept negative-auth --url http://127.0.0.1:8088 --kit ./kit
  agentkeys accept negative-auth --url https://mcp.example.com --kit ./kit --junit out.xml")]
    NegativeAuth(Target),
    /// Written through one host, read byte for byte through another, one actor in both's rows.
    #[command(before_help = "Examples:
  agentkeys accept cross-rail --url http://127.0.0.1:8088 --kit ./kit
  agentkeys accept cross-rail --url https://mcp.example.com --kit ./kit --json")]
    CrossRail(Target),
    /// Memory by permission, denial by arithmetic, and a permission taken back and gone at once.
    #[command(before_help = "Examples:
  agentkeys accept three-acts --url http://127.0.0.1:8088 --kit ./kit
  agentkeys accept three-acts --url https://mcp.example.com --kit ./kit --junit out.xml")]
    ThreeActs(Target),
    /// The ten tools as each host lists them, and what each answers, to the letter.
    #[command(before_help = "Examples:
  agentkeys accept tools --url http://127.0.0.1:8088 --kit ./kit
  agentkeys accept tools --url http://127.0.0.1:8088 --kit ./kit --json")]
    Tools(Target),
}

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
    /// Take it back: bindings, tokens, memories and files. Its rows stay.
    #[command(before_help = "Examples:
  agentkeys accept kit remove ./kit")]
    Remove {
        /// The kit's folder.
        #[arg(value_name = "DIR")]
        kit: PathBuf,
    },
}

/// The server under proof.
#[derive(Debug, Args)]
pub struct Target {
    /// The server, with or without `/mcp`.
    #[arg(long, value_name = "U")]
    pub url: String,
    /// A kit made in that server's data folder.
    #[arg(long, value_name = "DIR")]
    pub kit: Option<PathBuf>,
    /// Also write the report as `JUnit` XML.
    #[arg(long, value_name = "FILE")]
    pub junit: Option<PathBuf>,
    /// A check that may be skipped; may be given several times.
    #[arg(long, value_name = "ID")]
    pub allow_skip: Vec<String>,
    /// A further certificate authority to trust, PEM.
    #[arg(long, value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
}

impl AcceptCmd {
    /// Whether it changes what it then puts back.
    pub const fn puts_back(&self) -> bool {
        matches!(self.suite, Suite::CrossRail(_) | Suite::ThreeActs(_))
    }
}

/// Runs `accept`; `stop` ends a suite that puts something back.
pub async fn run(cmd: AcceptCmd, ctx: &Ctx, stop: CancellationToken) -> Result<(), Problem> {
    let (name, target) = match &cmd.suite {
        Suite::Kit(args) => return kit_of(args, ctx).await,
        Suite::NegativeAuth(target) => ("negative-auth", target),
        Suite::CrossRail(target) => (cross_rail::SUITE, target),
        Suite::ThreeActs(target) => (three_acts::SUITE, target),
        Suite::Tools(target) => ("tools", target),
    };
    let mut report = match &target.kit {
        None => without_kit(name, &target.url),
        Some(dir) => suite(&cmd.suite, target, &kit::load(dir)?, ctx.out, &stop).await?,
    };
    report.allow_skips(&target.allow_skip);
    if let Some(file) = &target.junit {
        let xml = report.to_junit()?;
        std::fs::write(file, xml).map_err(|e| unwritable(file, &e))?;
    }
    let out = ctx.out;
    out.answer(&report.to_json(), || {
        // Its parts are clean, and some are painted.
        let text = report.to_text(&|word, status| out.paint(word, tone(status)));
        out.painted(&text)
    })?;
    report.verdict()
}

async fn suite(
    which: &Suite,
    target: &Target,
    kit: &Kit,
    out: Out,
    stop: &CancellationToken,
) -> Result<Report, Problem> {
    let trust = Trust::read(target.ca_file.as_deref())?;
    let spinner = Spinner::new(out);
    let progress = |what: &str| spinner.says(what);
    let against = Against::Server {
        url: &target.url,
        kit,
        ca_file: target.ca_file.as_deref(),
    };
    let steps = |step: Progress<'_>| spinner.follows(step, |_| ());
    let audience = Audience {
        progress: &steps,
        stop,
    };
    let report = match which {
        Suite::NegativeAuth(_) => negative_auth::run(&target.url, kit, &trust, &progress).await?,
        Suite::Tools(_) => tools::run(&target.url, kit, &trust, &progress).await?,
        Suite::ThreeActs(_) => three_acts::run(against, audience, &three_acts::open)
            .await?
            .report(),
        Suite::CrossRail(_) | Suite::Kit(_) => cross_rail::run(against, audience).await?.report(),
    };
    spinner.stop();
    Ok(report)
}

/// A suite without credentials shows nothing, and says so.
fn without_kit(name: &'static str, url: &str) -> Report {
    let mut report = Report::new(name, url);
    report.checks.push(Check::skipped(
        format!("{name}.kit"),
        "no kit was given, so there are no credentials to try",
        "make one with `agentkeys accept kit --out DIR` and pass it with `--kit DIR`",
    ));
    report
}

async fn kit_of(args: &KitArgs, ctx: &Ctx) -> Result<(), Problem> {
    let folder = ctx.open().await?;
    let operator = || folder.operator();
    let out = ctx.out;
    match (&args.verb, &args.out) {
        (Some(KitVerb::Remove { kit: dir }), _) => {
            kit::remove(&folder.authority, &operator, dir).await?;
            let answer = json!({"dir": dir.display().to_string(), "removed": true});
            out.answer(&answer, || {
                out.line(&format!("removed the kit in {}", dir.display()))
            })
        }
        (None, Some(dir)) => {
            let made = kit::make(&folder.authority, &operator, dir).await?;
            out.answer(&made.to_json(dir), || {
                out.line(&format!("kit {} in {}", made.id, dir.display()))?;
                out.line("three vendors, four actors, tokens in every state, an auditor token; good for 24 hours")
            })?;
            out.next(&format!(
                "agentkeys accept negative-auth --url http://127.0.0.1:8088 --kit {}",
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

fn unwritable(file: &Path, error: &std::io::Error) -> Problem {
    Problem::new(
        Exit::Failed,
        "agentkeys.accept.junit",
        format!("{} cannot be written: {error}", file.display()),
        "name a file in a folder that is there and that this user may write",
    )
}

/// The colour of how a check ended.
pub(super) const fn tone(status: Status) -> Tone {
    match status {
        Status::Passed => Tone::Good,
        Status::Failed => Tone::Bad,
        Status::Skipped => Tone::Warn,
    }
}

/// What is going on right now: a spinner on a terminal, plain lines on stderr off it.
pub(super) struct Spinner {
    bar: ProgressBar,
    plain: Option<Out>,
}

impl Spinner {
    pub(super) fn new(out: Out) -> Self {
        if out.is_json() || !std::io::stderr().is_terminal() {
            let plain = (!out.is_json()).then_some(out);
            let bar = ProgressBar::hidden();
            return Self { bar, plain };
        }
        let bar = ProgressBar::new_spinner();
        bar.enable_steady_tick(Duration::from_millis(100));
        Self { bar, plain: None }
    }

    fn says(&self, what: &str) {
        self.shows(what);
        if let Some(out) = &self.plain {
            out.note(what);
        }
    }

    /// Only on a terminal: off it, the end of the step says enough.
    fn shows(&self, what: &str) {
        self.bar.set_message(crate::text::clean_to(what, 100));
    }

    /// What a proof tells while it works, `done` being what is printed of a step that is over.
    pub(super) fn follows(&self, progress: Progress<'_>, done: impl FnOnce(&Step)) {
        match progress {
            Progress::Stage(_) => {}
            Progress::Begins(id) => self.shows(id),
            Progress::Done(step) => self.aside(|| done(step)),
        }
    }

    /// Prints without the spinner in between.
    fn aside(&self, print: impl FnOnce()) {
        self.bar.suspend(print);
    }

    pub(super) fn stop(&self) {
        self.bar.finish_and_clear();
    }
}

impl Drop for Spinner {
    fn drop(&mut self) {
        self.stop();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::cli::{Cli, Command, grammar};
    use clap::FromArgMatches as _;

    fn parse(words: &[&str]) -> Result<AcceptCmd, clap::Error> {
        let matches = grammar().try_get_matches_from([&["agentkeys", "accept"], words].concat())?;
        match Cli::from_arg_matches(&matches)?.command {
            Some(Command::Accept(cmd)) => Ok(cmd),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_commands_of_the_contract_parse() {
        let kit = parse(&["kit", "--out", "k"]).unwrap();
        assert!(matches!(
            kit.suite,
            Suite::Kit(KitArgs {
                out: Some(_),
                verb: None
            })
        ));
        let remove = parse(&["kit", "remove", "k"]).unwrap();
        assert!(matches!(
            remove.suite,
            Suite::Kit(KitArgs { verb: Some(_), .. })
        ));
        assert!(parse(&["kit"]).is_err());
        assert!(
            parse(&["tools", "--kit", "k"]).is_err(),
            "a suite needs a URL"
        );
        for suite in ["negative-auth", "cross-rail", "three-acts", "tools"] {
            parse(&[
                suite,
                "--url",
                "http://h",
                "--kit",
                "k",
                "--junit",
                "f",
                "--allow-skip",
                "a",
                "--allow-skip",
                "b",
                "--json",
            ])
            .unwrap();
        }
    }

    #[test]
    fn a_suite_without_a_kit_never_passes() {
        let mut report = without_kit("tools", "http://h");
        assert_eq!(report.verdict().unwrap_err().exit, Exit::Acceptance);
        report.allow_skips(&["tools.kit".to_owned()]);
        assert!(report.verdict().is_err());
    }
}
