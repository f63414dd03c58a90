//! `agentkeys audit …`: what happened, and what happens.

mod anchors;
mod export;
mod fsck;
mod line;
mod on_chain;
pub(super) mod remote;
mod sealed;
pub(super) mod sink;
pub(super) mod verify;
mod whole;

use super::Ctx;
use super::args::{When, namespace, rail, verdict};
use super::out::Out;
use crate::authority::calls::admin::AdminCall;
use crate::authority::calls::audit::Reading;
use crate::authority::event::rfc3339;
use crate::authority::identity::Omni;
use crate::authority::ports::{Clock as _, EventFilter};
use crate::authority::words::{Namespace, Rail};
use crate::authority::{Authority, Call};
use crate::folder::Folder;
use crate::folder::system::SystemClock;
use crate::operate::{self, text};
use crate::problem::{Exit, Problem};
use clap::{Args, Subcommand};
use serde_json::Value;
use sink::{Lines, Sink};
use std::path::PathBuf;

/// The record of every decision.
#[derive(Debug, Args)]
#[command(before_help = "Examples:
  agentkeys audit tail --actor O_kevin_001
  agentkeys audit list --verdict deny --since 24h
  agentkeys audit checkpoint
  agentkeys audit prove evt_019a3c5e8f1072b4a6d8c0e2f4a6b8d0 --out event.proof
  agentkeys audit verify event.proof")]
pub struct AuditCmd {
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// What can be done with the record.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// List events, oldest first.
    #[command(before_help = "Examples:
  agentkeys audit list --actor O_kevin_001 --limit 20
  agentkeys audit list --rail xiaozhi --tool agentkeys.memory.get --verdict deny
  agentkeys audit list --since 2026-04-12T00:00:00Z --until 2026-04-13T00:00:00Z --json")]
    List {
        /// Which events.
        #[command(flatten)]
        filters: Filters,
        /// Only the newest N [default: all].
        #[arg(long, value_name = "N")]
        limit: Option<u32>,
    },
    /// Read what an agent stated for the record; reading it is on record too.
    #[command(before_help = "Examples:
  agentkeys audit statement evt_019a3c5e8f1072b4a6d8c0e2f4a6b8d0
  agentkeys audit statement evt_019a3c5e8f1072b4a6d8c0e2f4a6b8d0 --json")]
    Statement {
        /// The event: `agentkeys audit list --tool agentkeys.audit.append` shows them.
        #[arg(value_name = "EVENT_ID")]
        event_id: String,
    },
    /// Seal the log now: sign its size and root, whether or not a server runs.
    #[command(before_help = "Examples:
  agentkeys audit checkpoint
  agentkeys audit checkpoint --out kept.checkpoint --json")]
    Checkpoint {
        /// Write the signed checkpoint to this file, to keep it somewhere else.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Show what of the log is on a chain, what is on its way, and what stands in the way.
    #[command(before_help = "Examples:
  agentkeys audit anchors
  agentkeys audit anchors --limit 100 --json")]
    Anchors {
        /// How many of the newest.
        #[arg(long, value_name = "N", default_value_t = 20)]
        limit: u32,
    },
    /// Write a proof of one event that anyone can check without this machine.
    #[command(before_help = "Examples:
  agentkeys audit prove evt_019a3c5e8f1072b4a6d8c0e2f4a6b8d0 --out event.proof
  agentkeys audit prove evt_019a3c5e8f1072b4a6d8c0e2f4a6b8d0 > event.proof")]
    Prove {
        /// The event: `agentkeys audit list --json` shows their ids.
        #[arg(value_name = "EVENT")]
        event: String,
        /// Where to write it [default: stdout].
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Write events to a file for a spreadsheet or another program, oldest first.
    #[command(before_help = "Examples:
  agentkeys audit export --out events.jsonl
  agentkeys audit export --format csv --since 30d --out events.csv
  agentkeys audit export --actor O_kevin_001 > kevin.jsonl")]
    Export {
        /// Which events.
        #[command(flatten)]
        filters: Filters,
        /// One JSON object a line, or comma-separated values.
        #[arg(long, value_name = "F", default_value = "jsonl")]
        format: export::Format,
        /// Where to write them [default: stdout].
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Remove the bodies of old events, for good; their hashes and the proofs taken before stay.
    #[command(before_help = "Examples:
  agentkeys audit prune --before 365d
  agentkeys audit prune --before 2026-01-01T00:00:00Z --json")]
    Prune {
        /// Those before this: a time, or how long ago.
        #[arg(long, value_name = "T")]
        before: When,
    },
    /// Check proofs, without a server and without a ledger; or a whole log.
    #[command(before_help = "Examples:
  agentkeys audit verify event.proof
  agentkeys audit verify --log --since kept.checkpoint --trust-key log.key
  agentkeys audit verify *.proof --trust-key log.key --json
  agentkeys audit verify event.proof --rpc https://node.example.com")]
    Verify(verify::VerifyArgs),
    /// Look at the log and repair what can be: seal what waits, sweep what was pruned, make a damaged
    /// tree again if what was signed proves the entries. What it did is on record.
    #[command(before_help = "Examples:
  agentkeys audit fsck
  agentkeys audit fsck --json")]
    Fsck,
    /// Show the newest events, then each as it happens.
    #[command(before_help = "Examples:
  agentkeys audit tail
  agentkeys audit tail --actor O_kevin_001 --verdict deny
  agentkeys audit tail --no-follow --limit 50 --json
  agentkeys audit tail --url https://mcp.example.com --token-file auditor.token")]
    Tail {
        /// Where the log is.
        #[command(flatten)]
        elsewhere: remote::Elsewhere,
        /// Which events.
        #[command(flatten)]
        filters: Filters,
        /// How many of the newest to begin with.
        #[arg(long, value_name = "N", default_value_t = 10)]
        limit: u32,
        /// Go on with each event as it happens (it does without asking).
        #[arg(long, short, conflicts_with = "no_follow", hide = true)]
        follow: bool,
        /// End after the newest.
        #[arg(long)]
        no_follow: bool,
    },
}

/// Which events.
#[derive(Debug, Default, Args)]
pub struct Filters {
    /// Of this actor.
    #[arg(long, value_name = "A")]
    pub actor: Option<String>,
    /// Of this vendor.
    #[arg(long, value_name = "V")]
    pub vendor: Option<String>,
    /// Of this rail.
    #[arg(long, value_name = "R", value_parser = rail())]
    pub rail: Option<Rail>,
    /// Of this tool.
    #[arg(long, value_name = "T")]
    pub tool: Option<String>,
    /// With this verdict.
    #[arg(long, value_name = "X", value_parser = verdict())]
    pub verdict: Option<String>,
    /// In this namespace.
    #[arg(long, value_name = "NS", value_parser = namespace())]
    pub namespace: Option<Namespace>,
    /// Not before: a time, or how long ago.
    #[arg(long, value_name = "T")]
    pub since: Option<When>,
    /// Before: a time, or how long ago.
    #[arg(long, value_name = "T")]
    pub until: Option<When>,
}

/// A line has no room for it.
const IDS: &str =
    "With --json each event has its id, which `audit prove` and `audit statement` take.";

/// Events read at a time.
const PAGE: u32 = 1_000;

/// Runs an `audit` command.
pub async fn run(cmd: AuditCmd, ctx: &Ctx) -> Result<(), Problem> {
    match cmd.verb {
        Verb::List { filters, limit } => {
            let log = Log::open(ctx, &filters, "list").await?;
            let mut lines = log.lines();
            let next = match limit {
                Some(limit) => log.newest(&mut lines, limit).await?,
                None => log.from(&mut lines, 0).await?,
            };
            if next > 0 && !ctx.out.is_json() {
                ctx.out.note(IDS);
            }
            Ok(())
        }
        Verb::Statement { event_id } => statement(ctx, event_id).await,
        Verb::Checkpoint { out } => sealed::checkpoint(ctx, out.as_deref()).await,
        Verb::Anchors { limit } => anchors::run(ctx, limit).await,
        Verb::Prove { event, out } => sealed::prove(ctx, &event, out.as_deref()).await,
        Verb::Export {
            filters,
            format,
            out,
        } => export::run(ctx, &filters, format, out.as_deref()).await,
        Verb::Prune { before } => sealed::prune(ctx, before).await,
        Verb::Verify(args) => verify::run(&args, ctx).await,
        Verb::Fsck => fsck::run(ctx).await,
        Verb::Tail {
            elsewhere,
            filters,
            limit,
            no_follow,
            ..
        } => tail(ctx, &elsewhere, &filters, limit, !no_follow).await,
    }
}

/// Shows the newest events, then each as it happens, on this machine or of a server elsewhere.
pub(super) async fn tail(
    ctx: &Ctx,
    elsewhere: &remote::Elsewhere,
    filters: &Filters,
    limit: u32,
    follow: bool,
) -> Result<(), Problem> {
    let mut lines = Lines { out: ctx.out };
    if let Some(url) = &elsewhere.url {
        let mut feed = remote::Feed::open(elsewhere, url, filters)?;
        return feed.tail(&mut lines, limit, follow).await;
    }
    let log = Log::open(ctx, filters, "tail").await?;
    log.tail(&mut lines, limit, follow).await
}

async fn statement(ctx: &Ctx, event_id: String) -> Result<(), Problem> {
    let answer = ctx.admin(AdminCall::AuditStatement { event_id }).await?;
    let out = ctx.out;
    out.answer(&answer, || {
        let field = |key: &str| text(&answer, key).to_owned();
        out.fields(&[
            ("event", field("event_id")),
            ("time", field("ts")),
            ("actor", field("actor_omni")),
            ("vendor", field("vendor")),
            ("token", field("token_id")),
        ])?;
        out.line("stated:")?;
        // In an agent's own words, so a line of it is cleaned like anybody's.
        let stated = serde_json::to_string_pretty(&answer["statement"]);
        out.lines(&stated.unwrap_or_default())
    })
}

/// The log, opened for one reading that is on record.
pub(super) struct Log {
    out: Out,
    /// The folder it is in.
    pub(super) folder: Folder,
    reading: Reading,
    filter: EventFilter,
}

impl Log {
    pub(super) async fn open(ctx: &Ctx, filters: &Filters, verb: &str) -> Result<Self, Problem> {
        let folder = ctx.open().await?;
        let operator = folder.operator();
        let actor = match &filters.actor {
            Some(name) => Some(actor(&folder, name).await?),
            None => None,
        };
        let call = Call::AuditRead {
            what: format!("audit {verb}{}", filters.words()),
            actor,
        };
        operate::ask(&folder.authority, &operator, call).await?;
        let reading = folder.authority.reading(&operator, actor).await?;
        let pruned = folder.authority.pruned().await?;
        if pruned > 0 {
            let note = format!(
                "The first {pruned} events were pruned; of those only their hashes are left."
            );
            ctx.out.note(&note);
        }
        let now_ms = folder.now_ms();
        let filter = EventFilter {
            from_seq: None,
            until_seq: None,
            actor,
            vendor: filters.vendor.clone(),
            rail: filters.rail,
            tool: filters.tool.clone(),
            verdict: filters.verdict.clone(),
            namespace: filters.namespace,
            since_ms: filters.since.map(|t| t.unix_ms(now_ms)),
            until_ms: filters.until.map(|t| t.unix_ms(now_ms)),
            limit: PAGE,
            newest: false,
        };
        Ok(Self {
            out: ctx.out,
            folder,
            reading,
            filter,
        })
    }

    fn authority(&self) -> &Authority {
        &self.folder.authority
    }

    /// The registered name and the id of an actor.
    pub(super) async fn subject(&self, name: &str) -> Result<(String, String), Problem> {
        let show = AdminCall::ActorShow {
            actor: name.to_owned(),
            verify: false,
        };
        let shown = operate::admin(self.authority(), &self.folder.operator(), show).await?;
        let field = |key: &str| crate::text::clean_to(text(&shown, key), 80);
        Ok((field("alias"), field("actor_omni")))
    }

    /// The bytes of an event, if they are still there.
    pub(super) async fn envelope(&self, event_id: &str) -> Result<Option<Vec<u8>>, Problem> {
        let found = self.authority().envelope(&self.reading, event_id).await?;
        Ok(found)
    }

    fn lines(&self) -> Lines {
        Lines { out: self.out }
    }

    /// The newest `limit`; says where the next one would be.
    pub(super) async fn newest(&self, to: &mut impl Sink, limit: u32) -> Result<u64, Problem> {
        if limit == 0 {
            return Ok(0);
        }
        let filter = EventFilter {
            limit,
            newest: true,
            ..self.filter.clone()
        };
        let events = self.authority().events(&self.reading, &filter).await?;
        give(to, events).await
    }

    /// Everything from a place on; says where the next one would be.
    async fn from(&self, to: &mut impl Sink, seq: u64) -> Result<u64, Problem> {
        let mut next = seq;
        loop {
            let filter = EventFilter {
                from_seq: Some(next),
                ..self.filter.clone()
            };
            let events = self.authority().events(&self.reading, &filter).await?;
            let full = events.len() >= PAGE as usize;
            next = next.max(give(to, events).await?);
            if !full {
                return Ok(next);
            }
        }
    }

    /// The newest and then each as it happens. The log's size is read before the events: what was
    /// committed up to it was then either handed on or does not match, and what comes later has a
    /// higher place. So there is neither a gap nor a repeat.
    pub(super) async fn tail(
        &self,
        to: &mut impl Sink,
        limit: u32,
        follow: bool,
    ) -> Result<(), Problem> {
        let mut size = self.authority().watch();
        let before = *size.borrow_and_update();
        let mut next = self.newest(to, limit).await?.max(before);
        if !follow {
            return Ok(());
        }
        loop {
            size.changed().await.map_err(|_| gone())?;
            let before = *size.borrow_and_update();
            next = self.from(to, next).await?.max(before);
        }
    }
}

/// Hands events on; says where the next one would be.
async fn give(to: &mut impl Sink, events: Vec<Value>) -> Result<u64, Problem> {
    let mut next = 0;
    for event in events {
        next = event["seq"].as_u64().map_or(next, |seq| seq + 1);
        to.event(event).await?;
    }
    Ok(next)
}

/// What stands in the way of a file that somebody named, and not of the data folder.
fn unwritable(problem: Problem) -> Problem {
    if problem.code != "agentkeys.folder.not_writable" {
        return problem;
    }
    Problem::new(
        Exit::Failed,
        "agentkeys.file.unwritable",
        problem.cause,
        "name a file in a folder you may write, on a disk with room",
    )
}

/// The id of an actor named by alias or id.
async fn actor(folder: &Folder, name: &str) -> Result<Omni, Problem> {
    let show = AdminCall::ActorShow {
        actor: name.to_owned(),
        verify: false,
    };
    let shown = operate::admin(&folder.authority, &folder.operator(), show).await?;
    text(&shown, "actor_omni").parse().map_err(|_| gone())
}

fn gone() -> Problem {
    Problem::new(
        Exit::Failed,
        "agentkeys.audit.feed_ended",
        "the ledger no longer tells of new events",
        "run it again; the reason is in the lines above",
    )
}

impl Filters {
    /// As the query of a server elsewhere, which knows no times ago.
    fn query(&self) -> Vec<(&'static str, String)> {
        let now_ms = SystemClock::default().now_ms();
        let time = |when: Option<When>| when.map(|when| rfc3339(when.unix_ms(now_ms)));
        let all = [
            ("actor", self.actor.clone()),
            ("vendor", self.vendor.clone()),
            ("rail", self.rail.map(|rail| rail.as_str().to_owned())),
            ("tool", self.tool.clone()),
            ("verdict", self.verdict.clone()),
            ("namespace", self.namespace.map(|n| n.as_str().to_owned())),
            ("since", time(self.since)),
            ("until", time(self.until)),
        ];
        let given = all
            .into_iter()
            .filter_map(|(key, value)| Some((key, value?)));
        given.collect()
    }

    /// As the record of the reading says it.
    fn words(&self) -> String {
        let mut words = String::new();
        let mut add = |name: &str, value: Option<&str>| {
            for part in value.map(|v| [" ", name, "=", v]).into_iter().flatten() {
                words.push_str(part);
            }
        };
        add("actor", self.actor.as_deref());
        add("vendor", self.vendor.as_deref());
        add("rail", self.rail.map(Rail::as_str));
        add("tool", self.tool.as_deref());
        add("verdict", self.verdict.as_deref());
        add("namespace", self.namespace.map(Namespace::as_str));
        words
    }
}
