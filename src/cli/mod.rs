//! What an operator types. A file per command family: each parses, builds a call, lets
//! `authority` perform it, and prints. It must never decide anything, nor take a secret from a
//! flag.

pub mod accept;
pub mod actor;
pub mod args;
mod ask;
pub mod audit;
pub mod backup;
pub mod budget;
pub mod cap;
pub mod completions;
pub mod config;
pub mod demo;
pub mod deploy;
pub mod device;
mod doctor;
pub mod health;
pub mod init;
pub mod keys;
pub mod listing;
mod live;
pub mod man;
pub mod memory;
mod near;
pub mod operator;
pub mod out;
pub mod pair;
pub mod passphrase;
pub mod policy;
pub mod qr;
pub mod rails;
pub mod relay;
pub mod restore;
pub mod serve;
pub mod signals;
mod standing;
pub mod tls;
pub mod tokens;
pub mod vendor;
pub mod watch;
pub mod wire;

#[cfg(test)]
mod tests;

use crate::authority::calls::admin::AdminCall;
use crate::authority::words::scope_matches;
use crate::config::{Config, Flags};
use crate::folder::Folder;
use crate::folder::seen::{Kind, names};
use crate::operate;
use crate::problem::{Exit, Problem};
use clap::error::ErrorKind;
use clap::{Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use out::{ColorWhen, Out};
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::process::ExitCode;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;

/// Examples lead, since they are what people copy. Every command gets this template.
const HELP: &str =
    "{before-help}{about-with-newline}\n{usage-heading} {usage}\n\n{all-args}{after-help}";

/// The authority for AI devices: who an agent is, what it may remember, read and spend, and a
/// record of every decision.
#[derive(Debug, Parser)]
#[command(
    name = "agentkeys",
    bin_name = "agentkeys",
    version,
    before_help = "Examples:
  agentkeys
  agentkeys init --demo
  agentkeys vendor token create --vendor magiclick
  agentkeys audit tail --actor O_kevin_001",
    after_help = "Without a command it says where you stand and what to do next.
Exit codes: 0 ok, 1 failed, 2 usage, 3 configuration, 4 authentication, 5 refused by policy,
6 acceptance failed or drift, 7 audit does not verify, 8 unreachable, 130 interrupted."
)]
pub struct Cli {
    /// What holds for every command.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// What holds for every command.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Everywhere")]
pub struct Global {
    /// The data folder [default: the platform's own; for `deploy` /var/lib/agentkeys].
    #[arg(
        long,
        global = true,
        value_name = "D",
        env = "AGENTKEYS_DIR",
        hide_env_values = true
    )]
    pub dir: Option<PathBuf>,
    /// Answer with JSON: one object, or one a line for what goes on.
    #[arg(long, global = true)]
    pub json: bool,
    /// Colour: auto, always or never; `NO_COLOR` turns it off too.
    #[arg(
        long,
        global = true,
        value_name = "WHEN",
        default_value = "auto",
        hide_possible_values = true
    )]
    pub color: ColorWhen,
}

/// The command families, the common ones first.
#[derive(Debug, Subcommand)]
pub enum Command {
    #[allow(missing_docs)]
    Init(init::InitCmd),
    #[allow(missing_docs)]
    Serve(serve::ServeCmd),
    #[allow(missing_docs)]
    Tls(tls::TlsCmd),
    #[allow(missing_docs)]
    Vendor(vendor::VendorCmd),
    #[allow(missing_docs)]
    Actor(actor::ActorCmd),
    #[allow(missing_docs)]
    Audit(audit::AuditCmd),
    #[allow(missing_docs)]
    Watch(watch::WatchCmd),
    #[allow(missing_docs)]
    Memory(memory::MemoryCmd),
    #[allow(missing_docs)]
    Budget(budget::BudgetCmd),
    #[allow(missing_docs)]
    Cap(cap::CapCmd),
    #[allow(missing_docs)]
    Policy(policy::PolicyCmd),
    #[allow(missing_docs)]
    Relay(relay::RelayCmd),
    #[allow(missing_docs)]
    Operator(operator::OperatorCmd),
    #[allow(missing_docs)]
    Keys(keys::KeysCmd),
    #[allow(missing_docs)]
    Backup(backup::BackupCmd),
    #[allow(missing_docs)]
    Restore(restore::RestoreCmd),
    #[allow(missing_docs)]
    Config(config::ConfigCmd),
    #[allow(missing_docs)]
    Wire(wire::WireCmd),
    #[allow(missing_docs)]
    Deploy(deploy::DeployCmd),
    #[allow(missing_docs)]
    Listing(listing::ListingCmd),
    #[allow(missing_docs)]
    Health(health::HealthCmd),
    #[allow(missing_docs)]
    Doctor(doctor::DoctorCmd),
    #[allow(missing_docs)]
    Demo(demo::DemoCmd),
    #[allow(missing_docs)]
    Accept(accept::AcceptCmd),
    #[allow(missing_docs)]
    Rails(rails::RailsCmd),
    #[allow(missing_docs)]
    Completions(completions::CompletionsCmd),
    #[allow(missing_docs)]
    Man(man::ManCmd),
}

/// What a command is handed: where the data is and how answers leave.
#[derive(Debug, Clone)]
pub struct Ctx {
    dir: Option<PathBuf>,
    /// How answers leave.
    pub out: Out,
}

impl Ctx {
    fn new(global: &Global) -> Self {
        // An empty variable means what an absent one means.
        let dir = global.dir.clone().filter(|d| !d.as_os_str().is_empty());
        Self {
            dir,
            out: Out::new(global.json, global.color),
        }
    }

    /// The data folder: as given, else the platform's.
    pub fn dir(&self) -> Result<PathBuf, Problem> {
        if let Some(dir) = &self.dir {
            return Ok(dir.clone());
        }
        let dirs = directories::ProjectDirs::from("", "", "agentkeys");
        dirs.map(|d| d.data_dir().to_owned()).ok_or_else(|| {
            Problem::new(
                Exit::Config,
                "agentkeys.folder.no_home",
                "this user has no home folder to keep the data in",
                "name a folder with --dir or AGENTKEYS_DIR",
            )
        })
    }

    /// The data folder, if one was named.
    pub fn named_dir(&self) -> Option<&Path> {
        self.dir.as_deref()
    }

    /// The data folder, if somebody typed it: what the environment says was written once, and is the
    /// default there.
    pub fn typed_dir(&self) -> Option<&Path> {
        let usual = std::env::var_os("AGENTKEYS_DIR");
        self.named_dir()
            .filter(|dir| usual.as_deref() != Some(dir.as_os_str()))
    }

    /// The configuration in force, without flags of a command.
    pub fn config(&self) -> Result<Config, Problem> {
        Config::load(&self.dir()?, Flags::default())
    }

    /// Opens the data folder.
    pub async fn open(&self) -> Result<Folder, Problem> {
        log_to_stderr();
        let dir = self.dir()?;
        // Before the configuration, which nobody but its owner can read either.
        crate::folder::owned(&dir)?;
        let config = Config::load(&dir, Flags::default())?;
        Folder::open(&dir, config.limits()).await
    }

    /// Whether another name of this folder was meant, as a question.
    fn meant(&self, kind: Kind, typed: &str) -> Option<String> {
        let names = names(&self.dir().ok()?, kind);
        near::did_you_mean(typed, names.iter().map(String::as_str))
    }

    /// Notes scopes that no action of the policy in force has: nothing would ever ask for them.
    pub fn note_strange_scopes(&self, scopes: &[String]) {
        let Ok(dir) = self.dir() else { return };
        let known = names(&dir, Kind::Scope);
        // Of a policy that cannot be read, nothing is known to be strange.
        if known.is_empty() {
            return;
        }
        let families = known
            .iter()
            .filter_map(|s| Some(format!("{}.*", s.split_once('.')?.0)));
        let families: BTreeSet<String> = families.collect();
        for scope in scopes {
            if known.iter().any(|s| scope_matches(scope, s)) {
                continue;
            }
            let all = known.iter().chain(&families).map(String::as_str);
            let question = near::did_you_mean(scope, all).map(|q| format!("; {q}"));
            self.out.note(&format!(
                "The policy in force has no action {scope}, and denies what it does not know{}",
                question.unwrap_or_default()
            ));
        }
    }

    /// Opens the data folder for one administrative call.
    pub async fn admin(&self, call: AdminCall) -> Result<Value, Problem> {
        let folder = self.open().await?;
        operate::admin(&folder.authority, &folder.operator(), call).await
    }
}

/// What fails deep inside says why on stderr; a command has no other log. `serve` has its own.
pub fn log_to_stderr() {
    use tracing_subscriber::prelude::*;
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .without_time()
        .with_filter(log_levels(LevelFilter::WARN));
    // Fails only when there is one already, which is as good.
    let _ = tracing_subscriber::registry().with(lines).try_init();
}

/// How much is logged: `ours`, warnings of libraries, and of the MCP SDK errors only. Below that it
/// tells of every error that a caller is answered with, which has its row, and below warnings even
/// what tools are called with and what they answer (`formats/mcp.md` P11).
pub fn log_levels(ours: LevelFilter) -> Targets {
    Targets::new()
        .with_default(ours.min(LevelFilter::WARN))
        .with_target("rmcp", ours.min(LevelFilter::ERROR))
        .with_target("agentkeys", ours)
}

/// Parses the command line, runs the command and turns its end into an exit code.
pub fn run() -> ExitCode {
    let cli = match parse(std::env::args_os()) {
        Ok(cli) => cli,
        Err(error) => return unparsed(&error),
    };
    let ctx = Ctx::new(&cli.global);
    let mut done = match cli.command {
        None => interruptible(standing::run(&ctx)),
        Some(command) => dispatch(command, &ctx),
    };
    if let Err(problem) = &mut done {
        suggest(problem, &ctx);
    }
    let exit = match &done {
        Ok(()) => Exit::Ok,
        Err(problem) => {
            ctx.out.problem(problem);
            problem.exit
        }
    };
    ExitCode::from(exit as u8)
}

/// Asks whether another name was meant, where somebody typed one that nobody in this folder has.
fn suggest(problem: &mut Problem, ctx: &Ctx) {
    let kind = match problem.code {
        "agentkeys.actor.not_found" => Kind::Actor,
        "agentkeys.vendor.not_found" => Kind::Vendor,
        _ => return,
    };
    if let Some(question) = problem.typed.as_deref().and_then(|t| ctx.meant(kind, t)) {
        problem.fix = format!("{question} {}", problem.fix);
    }
}

/// The command line's grammar, every help in the same shape.
fn grammar() -> clap::Command {
    fn shaped(command: clap::Command) -> clap::Command {
        command.help_template(HELP).mut_subcommands(shaped)
    }
    shaped(Cli::command())
}

fn parse(words: impl IntoIterator<Item = std::ffi::OsString>) -> Result<Cli, clap::Error> {
    let mut grammar = grammar();
    let matches = grammar.try_get_matches_from_mut(words)?;
    Cli::from_arg_matches(&matches).map_err(|e| e.format(&mut grammar))
}

/// Help and versions go to stdout and are no error; everything else is usage.
fn unparsed(error: &clap::Error) -> ExitCode {
    let wants_json = std::env::args_os().any(|word| word == "--json");
    let help = error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand;
    if error.use_stderr() && (wants_json || !help) {
        Out::new(wants_json, ColorWhen::Auto).problem(&usage(error));
    } else {
        // Nobody there to read the help is no reason to fail.
        let _ = error.print();
    }
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(Exit::Usage as u8))
}

/// A complaint of clap's as a problem: what is wrong, and what was probably meant, else what it would
/// take.
fn usage(error: &clap::Error) -> Problem {
    let text = error.to_string();
    // Up to the first empty line: a sentence, and the arguments or values it is about.
    let said: Vec<&str> = text
        .lines()
        .map(str::trim)
        .take_while(|l| !l.is_empty())
        .collect();
    let (values, said): (Vec<_>, Vec<_>) = said.into_iter().partition(|l| l.starts_with('['));
    let said = said.join(" ");
    let cause = said.strip_prefix("error: ").unwrap_or(&said);
    if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        let fix = "look at `--help` of this command";
        return Problem::new(
            Exit::Usage,
            "agentkeys.usage",
            "a command or an argument is missing",
            fix,
        );
    }
    let (cause, how) = match cause.split_once(": write ") {
        Some((cause, how)) => (cause, Some(format!("write {how}"))),
        None => (cause, None),
    };
    let lines = || text.lines().map(str::trim);
    let tip = near::tip(error).or_else(|| {
        let tip = lines().find_map(|line| line.strip_prefix("tip: "));
        tip.map(str::to_owned)
    });
    let values = values.first().map(|v| v.trim_matches(['[', ']']));
    let form = lines().find_map(|line| line.strip_prefix("Usage: "));
    let fix = tip
        .or(how)
        .or_else(|| values.map(str::to_owned))
        .or_else(|| form.map(|form| format!("type {form}")))
        .unwrap_or_else(|| "look at `--help` of this command".to_owned());
    Problem::new(Exit::Usage, "agentkeys.usage", cause, fix)
}

fn dispatch(command: Command, ctx: &Ctx) -> Result<(), Problem> {
    match command {
        Command::Config(cmd) => config::run(&cmd, ctx),
        Command::Completions(cmd) => completions::run(&cmd, ctx),
        Command::Man(cmd) => man::run(&cmd, ctx),
        Command::Deploy(cmd) => deploy::run(&cmd, ctx),
        Command::Policy(cmd) if cmd.is_offline() => policy::offline(&cmd, ctx),
        Command::Init(cmd) => interruptible(init::run(&cmd, ctx)),
        Command::Tls(cmd) => interruptible(tls::run(cmd, ctx)),
        Command::Vendor(cmd) => interruptible(vendor::run(cmd, ctx)),
        Command::Actor(cmd) => interruptible(actor::run(cmd, ctx)),
        Command::Audit(cmd) => interruptible(audit::run(cmd, ctx)),
        Command::Watch(cmd) => interruptible(watch::run(cmd, ctx)),
        Command::Memory(cmd) => interruptible(memory::run(cmd, ctx)),
        Command::Budget(cmd) => interruptible(budget::run(cmd, ctx)),
        Command::Cap(cmd) => interruptible(cap::run(cmd, ctx)),
        Command::Policy(cmd) => interruptible(policy::run(cmd, ctx)),
        Command::Operator(cmd) => interruptible(operator::run(cmd, ctx)),
        Command::Keys(cmd) => interruptible(keys::run(cmd, ctx)),
        Command::Backup(cmd) => interruptible(backup::run(cmd, ctx)),
        Command::Restore(cmd) => interruptible(restore::run(cmd, ctx)),
        Command::Wire(cmd) => interruptible(wire::run(cmd, ctx)),
        Command::Listing(cmd) => interruptible(listing::run(cmd, ctx)),
        Command::Doctor(cmd) => interruptible(doctor::run(cmd, ctx)),
        Command::Health(cmd) => interruptible(health::run(&cmd, ctx)),
        Command::Demo(cmd) => stoppable(|stop| demo::run(cmd, ctx, stop)),
        Command::Accept(cmd) if cmd.puts_back() => stoppable(|stop| accept::run(cmd, ctx, stop)),
        Command::Accept(cmd) => interruptible(accept::run(cmd, ctx, CancellationToken::new())),
        // These listen for signals themselves.
        Command::Relay(cmd) => block_on(relay::run(cmd, ctx)),
        Command::Serve(cmd) => block_on(serve::run(cmd, ctx)),
        Command::Rails(cmd) => block_on(rails::run(cmd, ctx.out.is_json())),
    }
}

/// Runs what ctrl-c may end at any moment: what is committed stays, what is not never was.
pub fn interruptible(work: impl Future<Output = Result<(), Problem>>) -> Result<(), Problem> {
    until_interrupted(Box::pin(work))
}

/// Runs what has something to put back before it ends: a signal asks it to, and a second one does not
/// wait for it.
pub fn stoppable<F>(work: impl FnOnce(CancellationToken) -> F) -> Result<(), Problem>
where
    F: Future<Output = Result<(), Problem>>,
{
    let stop = CancellationToken::new();
    let mut work: Work<'_, ()> = Box::pin(work(stop.clone()));
    block_on(async move {
        let mut signals = signals::Signals::that_end()?;
        tokio::select! {
            done = &mut work => return done,
            _ = signals.next() => stop.cancel(),
        }
        tokio::select! {
            done = work => done,
            _ = signals.next() => Err(interrupted()),
        }
    })
}

fn until_interrupted(work: Work<'_, ()>) -> Result<(), Problem> {
    block_on(async {
        tokio::select! {
            done = work => done,
            Ok(()) = tokio::signal::ctrl_c() => Err(interrupted()),
        }
    })
}

fn interrupted() -> Problem {
    Problem::new(
        Exit::Interrupted,
        "agentkeys.interrupted",
        "interrupted",
        "run it again",
    )
}

/// A command on its way. Boxed, so that there is one copy of the runtime's code and not one for each.
type Work<'a, T> = Pin<Box<dyn Future<Output = Result<T, Problem>> + 'a>>;

/// Runs a command on a runtime of its own.
pub fn block_on<T>(work: impl Future<Output = Result<T, Problem>>) -> Result<T, Problem> {
    on_a_runtime(Box::pin(work))
}

fn on_a_runtime<T>(work: Work<'_, T>) -> Result<T, Problem> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|e| {
            Problem::new(
                Exit::Failed,
                "agentkeys.runtime",
                format!("the runtime does not start: {e}"),
                "look at the limits on threads and open files",
            )
        })?;
    let done = runtime.block_on(work);
    // A prompt that waits on a terminal must not keep an interrupted process alive.
    runtime.shutdown_timeout(Duration::from_millis(100));
    done
}
