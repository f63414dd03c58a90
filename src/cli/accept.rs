//! `agentkeys accept …`: suites that hold any deployment to the contract, by its URL.

mod file;
mod flags;
mod kit;
mod spinner;

use super::Ctx;
use super::near::did_you_mean;
use super::out::Tone;
use crate::acceptance::cross_rail::{self, Ark};
use crate::acceptance::kit::load;
use crate::acceptance::report::whole::{ALL, Ended, Whole};
use crate::acceptance::report::{Report, Status, junit};
use crate::acceptance::suites::{self, SUITES, Setup, Suite, Watch};
use crate::acceptance::{
    AcceptError, Trust, address, handshake, negative_auth, three_acts, tls, tools,
};
use crate::problem::{Exit, Problem};
use crate::text::clean_to;
use clap::{Args, Subcommand};
use file::Junit;
use tokio_util::sync::CancellationToken;

pub use flags::{ArkFlags, PinFlags, PlainFlags, Target};
pub use kit::{KitArgs, KitVerb};
pub use spinner::Spinner;

/// Hold a deployment to the contract, from outside.
#[derive(Debug, Args)]
#[command(before_help = "Examples:
  agentkeys accept kit --out ./kit
  agentkeys accept all --url https://mcp.example.com --kit ./kit --junit accept.xml
  agentkeys accept cross-rail --url https://mcp.example.com --kit ./kit --json")]
pub struct AcceptCmd {
    /// Which suite.
    #[command(subcommand)]
    pub suite: Which,
}

/// The suites, and what they need.
#[derive(Debug, Subcommand)]
pub enum Which {
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
    /// Every suite in order, in one report.
    #[command(before_help = "Examples:
  agentkeys accept all --url https://mcp.example.com --kit ./kit --junit accept.xml
  agentkeys accept all --url http://127.0.0.1:8088 --kit ./kit --allow-skip tls/https")]
    All(AllArgs),
    /// What a host meets before its first call, in every protocol version; health and keys.
    #[command(before_help = "Examples:
  agentkeys accept handshake --url https://mcp.example.com --kit ./kit
  agentkeys accept handshake --url http://127.0.0.1:8088 --kit ./kit --json")]
    Handshake(Target),
    /// Certificate, versions, protocols, and what plain HTTP answers. Needs no kit.
    #[command(before_help = "Examples:
  agentkeys accept tls --url https://mcp.example.com
  agentkeys accept tls --url https://mcp.example.com --ca-file ca.pem --json")]
    Tls(TlsArgs),
    /// Everything that must be refused is, with its status, its code and exactly one row.
    #[command(before_help = "Examples:
  agentkeys accept negative-auth --url http://127.0.0.1:8088 --kit ./kit
  agentkeys accept negative-auth --url https://mcp.example.com --kit ./kit --junit out.xml")]
    NegativeAuth(Target),
    /// The ten tools as each host lists them, and what each answers, to the letter.
    #[command(before_help = "Examples:
  agentkeys accept tools --url http://127.0.0.1:8088 --kit ./kit
  agentkeys accept tools --url https://mcp.example.com --kit ./kit --pin-file tools.pin")]
    Tools(ToolsArgs),
    /// Written through one host, read byte for byte through another, one actor in both's rows.
    #[command(before_help = "Examples:
  agentkeys accept cross-rail --url http://127.0.0.1:8088 --kit ./kit
  agentkeys accept cross-rail --url https://mcp.example.com --kit ./kit --rail ark-live --ark-key-file ark.key")]
    CrossRail(CrossRailArgs),
    /// Memory by permission, denial by arithmetic, and a permission taken back and gone at once.
    #[command(before_help = "Examples:
  agentkeys accept three-acts --url http://127.0.0.1:8088 --kit ./kit
  agentkeys accept three-acts --url https://mcp.example.com --kit ./kit --junit out.xml")]
    ThreeActs(Target),
}

/// `accept all`.
#[derive(Debug, Args)]
pub struct AllArgs {
    /// The server.
    #[command(flatten)]
    pub target: Target,
    /// Its plain HTTP.
    #[command(flatten)]
    pub plain: PlainFlags,
    /// Its tools.
    #[command(flatten)]
    pub pins: PinFlags,
    /// The second rail.
    #[command(flatten)]
    pub ark: ArkFlags,
}

/// `accept tls`.
#[derive(Debug, Args)]
pub struct TlsArgs {
    /// The server.
    #[command(flatten)]
    pub target: Target,
    /// Its plain HTTP.
    #[command(flatten)]
    pub plain: PlainFlags,
}

/// `accept tools`.
#[derive(Debug, Args)]
pub struct ToolsArgs {
    /// The server.
    #[command(flatten)]
    pub target: Target,
    /// Its tools.
    #[command(flatten)]
    pub pins: PinFlags,
}

/// `accept cross-rail`.
#[derive(Debug, Args)]
pub struct CrossRailArgs {
    /// The server.
    #[command(flatten)]
    pub target: Target,
    /// The second rail.
    #[command(flatten)]
    pub ark: ArkFlags,
}

/// What was asked for: one suite of the table or all of it, and with what.
struct Asked {
    name: &'static str,
    target: Target,
    plain: PlainFlags,
    pins: PinFlags,
    ark: ArkFlags,
}

impl Asked {
    fn of(name: &'static str, target: Target) -> Self {
        Self {
            name,
            target,
            plain: PlainFlags::default(),
            pins: PinFlags::default(),
            ark: ArkFlags::default(),
        }
    }
}

impl Which {
    /// The kit's words, or a suite's.
    fn asked(self) -> Result<Asked, KitArgs> {
        Ok(match self {
            Self::Kit(args) => return Err(args),
            Self::Handshake(target) => Asked::of(handshake::SUITE, target),
            Self::NegativeAuth(target) => Asked::of(negative_auth::SUITE, target),
            Self::ThreeActs(target) => Asked::of(three_acts::SUITE, target),
            Self::Tls(args) => Asked {
                plain: args.plain,
                ..Asked::of(tls::SUITE, args.target)
            },
            Self::Tools(args) => Asked {
                pins: args.pins,
                ..Asked::of(tools::SUITE, args.target)
            },
            Self::CrossRail(args) => Asked {
                ark: args.ark,
                ..Asked::of(cross_rail::SUITE, args.target)
            },
            Self::All(args) => Asked {
                name: ALL,
                target: args.target,
                plain: args.plain,
                pins: args.pins,
                ark: args.ark,
            },
        })
    }
}

impl AcceptCmd {
    /// Whether it changes what it then puts back.
    pub const fn puts_back(&self) -> bool {
        !matches!(self.suite, Which::Kit(_))
    }
}

/// Runs `accept`; `stop` ends a suite that puts something back.
pub async fn run(cmd: AcceptCmd, ctx: &Ctx, stop: CancellationToken) -> Result<(), Problem> {
    let asked = match cmd.suite.asked() {
        Ok(asked) => asked,
        Err(args) => return kit::run(&args, ctx).await,
    };
    let target = &asked.target;
    skippable(asked.name, &target.allow_skip)?;
    // All that can be wrong on this side is told before a run of minutes.
    address(&target.url)?;
    let junit = Junit::open(target.junit.as_deref())?;
    let kit = target.kit.as_deref().map(load).transpose()?;
    let trust = Trust::read(target.ca_file.as_deref())?;
    let (pins, ark): (_, Ark) = (asked.pins.pins()?, asked.ark.ark()?);
    let setup = Setup {
        url: &target.url,
        kit: kit.as_ref(),
        trust: &trust,
        ca_file: target.ca_file.as_deref(),
        pins: &pins,
        ark: &ark,
        http_port: asked.plain.http_port,
    };
    let spinner = Spinner::new(ctx.out);
    let watch = Watch {
        tell: &|told| spinner.hears(told),
        stop: &stop,
    };
    let run = Run {
        setup,
        watch,
        spinner: &spinner,
        allowed: &target.allow_skip,
        junit,
        ctx,
    };
    match suites::named(asked.name) {
        Some(suite) => run.one(suite).await,
        None => run.all().await,
    }
}

/// A run with everything it needs.
struct Run<'a> {
    setup: Setup<'a>,
    watch: Watch<'a>,
    spinner: &'a Spinner,
    allowed: &'a [String],
    junit: Option<Junit>,
    ctx: &'a Ctx,
}

impl Run<'_> {
    /// Ends a run that would fail with all its checks, and the file for CI says why.
    fn ended(self, name: &str, error: AcceptError) -> Result<(), Problem> {
        self.spinner.stop();
        let problem = error.into();
        if let Some(file) = self.junit {
            file.write(&junit::of_broken(name, &problem)?)?;
        }
        Err(problem)
    }

    async fn one(self, suite: &Suite) -> Result<(), Problem> {
        let mut report = match self.measured(suite).await {
            Ok(report) => report,
            Err(error) => return self.ended(suite.name, error),
        };
        self.spinner.stop();
        report.allow_skips(self.allowed);
        if let Some(file) = self.junit {
            file.write(&junit::of(&report)?)?;
        }
        let out = self.ctx.out;
        out.answer(&report.to_json(), || {
            // Its parts are clean, and some are painted.
            let text = report.to_text(&|word, status| out.paint(word, tone(status)));
            out.painted(&text)
        })?;
        report.verdict()
    }

    async fn measured(&self, suite: &Suite) -> Result<Report, AcceptError> {
        if suite.needs_kit {
            self.setup.admitted(&self.watch).await?;
        }
        let mut report = suite.run(&self.setup, &self.watch).await?;
        match self.setup.timing(&self.watch).await {
            Ok(timing) => report.timing = Some(timing),
            // What a suite found is not lost to a connection that is.
            Err(error) => report.notes.push(untimed(&error)),
        }
        Ok(report)
    }

    async fn all(self) -> Result<(), Problem> {
        let admitted = self.setup.admitted(&self.watch).await;
        if let Some(error) = admitted.err().filter(AcceptError::ends_every_suite) {
            return self.ended(ALL, error);
        }
        let mut whole = Whole::new(self.setup.url);
        match self.setup.timing(&self.watch).await {
            Ok(timing) => whole.timing = Some(timing),
            Err(error) => self.ctx.out.note(&untimed(&error)),
        }
        for suite in &SUITES {
            let ended = match suite.run(&self.setup, &self.watch).await {
                Ok(report) => Ended::Report(Box::new(report)),
                Err(error) => Ended::Broken(error.into()),
            };
            let over = matches!(&ended, Ended::Broken(p) if p.exit == Exit::Interrupted);
            whole.add(suite.name, ended, self.allowed);
            if over {
                break;
            }
        }
        self.spinner.stop();
        if let Some(file) = self.junit {
            file.write(&junit::of_all(&whole)?)?;
        }
        let out = self.ctx.out;
        out.answer(&whole.to_json(), || {
            let text = whole.to_text(&|word, status| out.paint(word, tone(status)));
            out.painted(&text)
        })?;
        whole.verdict()
    }
}

/// A flag for what no check is called would let nothing be skipped, and nobody would see it.
fn skippable(name: &str, allowed: &[String]) -> Result<(), Problem> {
    let known = suites::may_skip(name);
    let Some(wrong) = allowed.iter().find(|id| !known.contains(id)) else {
        return Ok(());
    };
    let meant = did_you_mean(wrong, known.iter().map(String::as_str));
    Err(Problem::new(
        Exit::Usage,
        "agentkeys.usage",
        format!(
            "--allow-skip: no check that can be skipped is called `{}`",
            clean_to(wrong, 200)
        ),
        meant.unwrap_or_else(|| format!("name one of {}", known.join(", "))),
    ))
}

fn untimed(error: &AcceptError) -> String {
    format!("how long calls take could not be measured: {error}")
}

/// The colour of how a check ended.
pub(super) const fn tone(status: Status) -> Tone {
    match status {
        Status::Passed => Tone::Good,
        Status::Failed => Tone::Bad,
        Status::Skipped => Tone::Warn,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::cli::{Cli, Command, grammar};
    use clap::FromArgMatches as _;
    use std::os::unix::fs::PermissionsExt as _;

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
            Which::Kit(KitArgs {
                out: Some(_),
                verb: None
            })
        ));
        let remove = parse(&["kit", "remove", "k"]).unwrap();
        assert!(matches!(
            remove.suite,
            Which::Kit(KitArgs { verb: Some(_), .. })
        ));
        assert!(parse(&["kit"]).is_err());
        assert!(
            parse(&["tools", "--kit", "k"]).is_err(),
            "a suite needs a URL"
        );
        for suite in SUITES.iter().map(|s| s.name).chain([ALL]) {
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
    fn every_suite_of_the_table_is_a_command() {
        let words = |name: &'static str| [name, "--url", "http://h", "--kit", "k"];
        for suite in &SUITES {
            let asked = parse(&words(suite.name)).unwrap().suite.asked();
            assert_eq!(asked.map(|a| a.name).ok(), Some(suite.name));
        }
        let all = parse(&words(ALL)).unwrap().suite.asked();
        assert_eq!(all.map(|a| a.name).ok(), Some(ALL));
    }

    #[test]
    fn ark_itself_wants_a_key_and_the_stand_in_none() {
        let ark = |more: &[&str]| {
            let words = [&["cross-rail", "--url", "http://h", "--kit", "k"], more].concat();
            let asked = parse(&words).ok()?.suite.asked().ok()?;
            asked.ark.ark().ok()
        };
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("ark.key");
        std::fs::write(&file, "sk-1\n").unwrap();
        let mode = std::fs::Permissions::from_mode;
        std::fs::set_permissions(&file, mode(0o644)).unwrap();
        let exposed = file.to_str().unwrap();
        assert!(ark(&["--rail", "ark-live", "--ark-key-file", exposed]).is_none());
        std::fs::set_permissions(&file, mode(0o600)).unwrap();
        let file = file.to_str().unwrap();
        assert!(matches!(ark(&[]), Some(Ark::StandIn)));
        assert!(ark(&["--rail", "ark-live"]).is_none());
        assert!(ark(&["--ark-key-file", file]).is_none());
        let open = [
            "--rail",
            "ark-live",
            "--ark-key-file",
            file,
            "--ark-url",
            "http://192.0.2.1",
        ];
        assert!(ark(&open).is_none(), "its key would go in the clear");
        let live = ark(&["--rail", "ark-live", "--ark-key-file", file]);
        let Some(Ark::Live {
            base_url,
            key,
            model: None,
        }) = live
        else {
            panic!("{live:?}")
        };
        assert_eq!(
            (base_url.as_str(), key.expose().as_str()),
            (cross_rail::ARK_URL, "sk-1")
        );
    }
}
