//! `agentkeys tls …`: the server's certificate.

mod confirm;
mod status;

use super::Ctx;
use crate::config::{self, Config, Tls};
use crate::folder::Folder;
use crate::jobs::renewal::{By, Desk};
use crate::problem::{Exit, Problem};
use crate::server::Answering;
use crate::tls::Facts;
use crate::tls::acme::{Kind, Reason, Stage, Step, Tell, Trouble, Wanted};
use clap::{Args, Subcommand};
use indicatif::ProgressBar;
use serde_json::{Value, json};
use std::io::IsTerminal as _;
use std::path::Path;
use std::time::{Duration, Instant};

/// The server's certificate, from an ACME server such as Let's Encrypt. `serve` gets and renews it by
/// itself; these do it by hand.
#[derive(Debug, Args)]
#[command(
    before_help = "Examples:
  agentkeys tls issue --staging
  agentkeys tls issue
  agentkeys tls status",
    after_help = "With [tls] mode = \"acme\" you agree to the terms of service of that authority."
)]
pub struct TlsCmd {
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// What can be done with the certificate.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Get a certificate for the names of this server, unless there is a good one.
    #[command(before_help = "Examples:
  agentkeys tls issue --staging
  agentkeys tls issue
  agentkeys tls issue --force")]
    Issue {
        /// Only rehearse: everything, at the authority's staging server, and keep nothing.
        #[arg(long)]
        staging: bool,
        /// Even if there is a good one; its authority counts these.
        #[arg(long, conflicts_with = "staging")]
        force: bool,
    },
    /// Renew the certificate if it is time.
    #[command(before_help = "Examples:
  agentkeys tls renew
  agentkeys tls renew --force")]
    Renew {
        /// Even if it is not.
        #[arg(long)]
        force: bool,
    },
    /// What is served, until when, and what stands in the way of another.
    #[command(before_help = "Examples:
  agentkeys tls status
  agentkeys tls status --json")]
    Status,
    /// Have the certificate revoked, and then get another with another key.
    #[command(before_help = "Examples:
  agentkeys tls revoke
  agentkeys tls revoke --reason keyCompromise --yes")]
    Revoke {
        /// Why, as the authority publishes it.
        #[arg(long, value_name = "R", default_value = "unspecified")]
        reason: Reason,
        /// Without being asked.
        #[arg(long)]
        yes: bool,
    },
}

/// Runs a `tls` command.
pub async fn run(cmd: TlsCmd, ctx: &Ctx) -> Result<(), Problem> {
    match cmd.verb {
        Verb::Issue { staging: true, .. } => rehearse(ctx).await,
        Verb::Issue { force, .. } => issue(ctx, force).await,
        Verb::Renew { force } => renew(ctx, force).await,
        Verb::Status => status::run(ctx).await,
        Verb::Revoke { reason, yes } => revoke(ctx, reason, yes).await,
    }
}

/// What the commands work with.
struct Work {
    config: Config,
    acme: config::Acme,
    desk: Desk,
    names: Vec<String>,
    dir: std::path::PathBuf,
    bar: ProgressBar,
}

/// Why nothing is to be got here, in words for whoever has to get it elsewhere.
fn not_ours(config: &Config, dir: &Path) -> Problem {
    let (cause, fix) = match &config.tls {
        Tls::Files(files) => (
            "tls.mode is \"files\": the certificate is somebody else's to get, renew and revoke"
                .to_owned(),
            format!(
                "do it where it comes from: the server serves what is in {} and {} at most {} s later; `agentkeys tls status` looks at it",
                dir.join(&files.certificate).display(),
                dir.join(&files.key).display(),
                files.look_every.as_secs()
            ),
        ),
        _ if !config.server.behind_proxy.is_empty() => (
            "tls.mode is \"none\": the proxy in front has the certificate".to_owned(),
            "get, renew or revoke it there".to_owned(),
        ),
        _ => (
            "tls.mode is \"none\": this server speaks plain HTTP and has no certificate".to_owned(),
            "set `mode = \"acme\"` under [tls], or run `agentkeys init --domain D` in a new folder"
                .to_owned(),
        ),
    };
    Problem::new(Exit::Config, "agentkeys.tls.not_acme", cause, fix)
}

/// The names a certificate has to be for.
pub(super) fn names(config: &Config) -> Vec<String> {
    crate::server::names(&super::serve::public_urls(config), &config.tls)
}

impl Work {
    async fn begin(ctx: &Ctx) -> Result<Self, Problem> {
        let config = ctx.config()?;
        let Tls::Acme(acme) = &config.tls else {
            return Err(not_ours(&config, &ctx.dir()?));
        };
        let acme = (**acme).clone();
        let folder: Folder = ctx.open().await?;
        let names = names(&config);
        let bar = progress(ctx);
        let desk = folder.certificates(&acme, &names, tell(ctx, &bar), By::Hand);
        desk.acme.check()?;
        Ok(Self {
            config,
            acme,
            desk,
            names,
            dir: folder.dir,
            bar,
        })
    }

    async fn obtain(&mut self, wanted: Wanted) -> Result<Facts, Problem> {
        let listen = self.config.server.listen;
        let answering = Answering::beside(&self.dir, &self.acme, &self.names, listen).await?;
        let got = self.desk.obtain(wanted).await;
        drop(answering);
        self.bar.finish_and_clear();
        got.map_err(Problem::from)
    }

    /// An authority that named a time is not asked before.
    fn may_ask(&self) -> Result<(), Problem> {
        let state = self.desk.state()?;
        let until = state.last.as_ref().and_then(|last| last.not_before);
        match until.filter(|until| *until > self.desk.acme.now()) {
            Some(until) => {
                let cause = format!(
                    "the authority does not want to be asked before {}",
                    time(until)
                );
                Err(Trouble::new(Kind::RateLimited, cause).into())
            }
            None => Ok(()),
        }
    }

    /// What is kept, if it is good: for all names, and holds now.
    fn good(&self) -> Option<Facts> {
        let facts = self.desk.live()?.facts;
        let names = self.desk.acme.names();
        let fits = names.iter().all(|name| facts.names.contains(name));
        (fits && facts.holds_at(self.desk.acme.now())).then_some(facts)
    }
}

async fn rehearse(ctx: &Ctx) -> Result<(), Problem> {
    let mut work = Work::begin(ctx).await?;
    let wanted = Wanted {
        stage: Stage::Staging,
        replaces: false,
        force: false,
    };
    let facts = work.obtain(wanted).await?;
    ctx.out.answer(&answer(&facts, false, true), || {
        ctx.out.line(&format!(
            "the rehearsal went well for {}",
            facts.names.join(", ")
        ))?;
        ctx.out
            .note("Nothing was kept: certificates of a rehearsal are trusted by nobody.");
        ctx.out.next("agentkeys tls issue");
        Ok(())
    })
}

/// How long the server may be at it itself, and how often its end is looked for.
const PATIENCE: Duration = Duration::from_mins(3);
const LOOK_AGAIN: Duration = Duration::from_millis(250);

async fn issue(ctx: &Ctx, force: bool) -> Result<(), Problem> {
    let mut work = Work::begin(ctx).await?;
    let started = Instant::now();
    loop {
        let state = work.desk.state()?;
        match work.good() {
            Some(facts) if !force && state.revoked.as_ref() != Some(&facts.fingerprint) => {
                return unchanged(ctx, &facts, "there is a certificate already");
            }
            _ => {}
        }
        match get(ctx, &mut work, force).await {
            // The server gets one when it starts: what comes of that is the answer.
            Err(busy)
                if busy.code == Kind::Busy.code() && !force && started.elapsed() < PATIENCE =>
            {
                tokio::time::sleep(LOOK_AGAIN).await;
            }
            ended => return ended,
        }
    }
}

async fn renew(ctx: &Ctx, force: bool) -> Result<(), Problem> {
    let mut work = Work::begin(ctx).await?;
    let state = work.desk.state()?;
    let live = work.desk.live().map(|chain| chain.facts);
    let due = match work.desk.plan(live.as_ref(), &state) {
        Step::Get { .. } => true,
        Step::Rest { wanted, .. } => wanted.is_some(),
        Step::Ask => false,
    };
    match live {
        Some(facts) if !due && !force => unchanged(ctx, &facts, "it is not time to renew yet"),
        _ => get(ctx, &mut work, force).await,
    }
}

async fn get(ctx: &Ctx, work: &mut Work, force: bool) -> Result<(), Problem> {
    if !force {
        work.may_ask()?;
    }
    let wanted = Wanted {
        stage: Stage::Production,
        replaces: true,
        force,
    };
    let facts = work.obtain(wanted).await?;
    ctx.out.answer(&answer(&facts, true, false), || {
        ctx.out
            .line(&format!("got a certificate for {}", facts.names.join(", ")))?;
        fields(ctx, &facts)?;
        ctx.out.next("agentkeys serve");
        Ok(())
    })
}

async fn revoke(ctx: &Ctx, reason: Reason, yes: bool) -> Result<(), Problem> {
    let mut work = Work::begin(ctx).await?;
    let chain = work.desk.live().ok_or_else(|| {
        Problem::new(
            Exit::Failed,
            "agentkeys.tls.nothing_to_revoke",
            "there is no certificate here",
            "look with `agentkeys tls status`",
        )
    })?;
    if !yes {
        let name = chain.facts.names.first().cloned().unwrap_or_default();
        confirm::typed(&name).await?;
    }
    work.desk.revoke(&chain, reason).await?;
    let revoked = &chain.facts.fingerprint;
    let mut value = json!({"revoked": revoked, "reason": reason.as_str()});
    if reason == Reason::CessationOfOperation {
        return ctx
            .out
            .answer(&value, || ctx.out.line("the certificate is revoked"));
    }
    // Hosts must not be left with one that is refused.
    let wanted = Wanted {
        stage: Stage::Production,
        replaces: true,
        force: true,
    };
    let facts = work.obtain(wanted).await?;
    value["replaced_by"] = answer(&facts, true, false);
    ctx.out.answer(&value, || {
        ctx.out
            .line("the certificate is revoked, and another with a new key is here")?;
        fields(ctx, &facts)
    })
}

fn unchanged(ctx: &Ctx, facts: &Facts, why: &str) -> Result<(), Problem> {
    ctx.out.answer(&answer(facts, false, false), || {
        ctx.out.line(why)?;
        fields(ctx, facts)
    })
}

fn answer(facts: &Facts, changed: bool, rehearsal: bool) -> Value {
    json!({
        "changed": changed, "rehearsal": rehearsal, "names": facts.names, "issuer": facts.issuer,
        "not_before": time(facts.not_before), "not_after": time(facts.not_after),
        "fingerprint": facts.fingerprint,
    })
}

fn fields(ctx: &Ctx, facts: &Facts) -> Result<(), Problem> {
    ctx.out.fields(&[
        ("names", facts.names.join(", ")),
        ("issuer", facts.issuer.clone()),
        ("ends", time(facts.not_after)),
    ])
}

fn time(seconds: i64) -> String {
    crate::authority::event::rfc3339(seconds.saturating_mul(1000))
}

/// On a terminal a line that moves; off it lines; with JSON nothing.
fn progress(ctx: &Ctx) -> ProgressBar {
    if ctx.out.is_json() || !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new_spinner();
    bar.enable_steady_tick(Duration::from_millis(100));
    bar
}

fn tell(ctx: &Ctx, bar: &ProgressBar) -> Tell {
    let (out, bar) = (ctx.out, bar.clone());
    Box::new(move |what| {
        if bar.is_hidden() {
            out.note(what);
        } else {
            bar.set_message(crate::text::clean(what));
        }
    })
}
