//! `agentkeys listing …`: what marketplaces are given, and whether it can be given to them.

use super::Ctx;
use super::out::Tone;
use crate::acceptance::outside::{Finding, Status};
use crate::acceptance::{AcceptError, Trust, listed};
use crate::config::{Config, Flags};
use crate::operate;
use crate::problem::{Exit, Problem};
use crate::publish::listing::{Folder, Kind, Listing, Outcome, check, fault};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use std::mem::take;
use std::path::{Path, PathBuf};
use unicode_width::UnicodeWidthStr as _;

/// Write what a marketplace is given of this server, or check it.
#[derive(Debug, Args)]
#[command(
    before_help = "Examples:
  agentkeys listing volcano-ark --out ./listing
  agentkeys listing mcp-registry --url https://mcp.example.com/mcp --out ./registry
  agentkeys listing check ./listing",
    after_help = "It reads [server] public_url and [listing] of agentkeys.toml. It asks nothing before it writes
into a new folder or one of its own; what differs is shown. CHECKLIST.md says what to do with the
files, in order. Nothing is sent anywhere."
)]
pub struct ListingCmd {
    /// For which marketplace.
    #[command(subcommand)]
    pub verb: Verb,
}

/// The marketplaces, and the check.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Pages in Chinese and English in the order of Volcano Engine's marketplace, with the tool entry.
    #[command(before_help = "Examples:
  agentkeys listing volcano-ark --out ./listing
  agentkeys listing volcano-ark --url https://mcp.example.com/mcp --out ./listing")]
    VolcanoArk(To),
    /// `server.json` for the official MCP registry.
    #[command(before_help = "Examples:
  agentkeys listing mcp-registry --out ./registry
  agentkeys listing mcp-registry --publisher io.github.octocat --out ./registry")]
    McpRegistry {
        #[allow(missing_docs)]
        #[command(flatten)]
        to: To,
        /// The namespace to publish under [default: `listing.publisher`, else the public host's].
        #[arg(long, value_name = "NS")]
        publisher: Option<String>,
    },
    /// Pages and the fields of mcp.so's form.
    #[command(before_help = "Examples:
  agentkeys listing mcp-so --out ./mcp-so")]
    McpSo(To),
    /// Look for what keeps a listing from being submitted; exit 6 when something does.
    #[command(
        before_help = "Examples:
  agentkeys listing check ./listing
  agentkeys listing check ./listing --url https://mcp.example.com --token-file folotoy.token --actor O_kevin_001",
        after_help = "With --url the tools that the server lists are compared with those of the listing; a server lists
them only to a token. What the operator has not told is a warning."
    )]
    Check(CheckArgs),
}

/// Where to, and which server.
#[derive(Debug, Clone, Args)]
pub struct To {
    /// The folder to write into.
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// The server's address, as hosts see it [default: `server.public_url`].
    #[arg(long, value_name = "U")]
    pub url: Option<String>,
}

/// What is checked, and against what.
#[derive(Debug, Clone, Args)]
pub struct CheckArgs {
    /// The folder with the listing.
    #[arg(value_name = "DIR")]
    pub dir: PathBuf,
    /// Also compare with this server.
    #[arg(long, value_name = "U")]
    pub url: Option<String>,
    /// A file with a vendor's token, to be shown the tools.
    #[arg(long, value_name = "FILE", env = "AGENTKEYS_TOKEN_FILE")]
    pub token_file: Option<PathBuf>,
    /// The actor to speak for, when the token is not one actor's own.
    #[arg(long, value_name = "A", requires = "url")]
    pub actor: Option<String>,
    /// A PEM file of a certificate authority to trust besides the usual ones.
    #[arg(long, value_name = "FILE", requires = "url")]
    pub ca_file: Option<PathBuf>,
}

/// Runs it. The data folder is not opened: only its configuration is read.
pub async fn run(cmd: ListingCmd, ctx: &Ctx) -> Result<(), Problem> {
    match cmd.verb {
        Verb::VolcanoArk(to) => write(ctx, Kind::VolcanoArk, &to, None),
        Verb::McpRegistry { to, publisher } => write(ctx, Kind::McpRegistry, &to, publisher),
        Verb::McpSo(to) => write(ctx, Kind::McpSo, &to, None),
        Verb::Check(args) => check_folder(ctx, &args).await,
    }
}

fn write(ctx: &Ctx, kind: Kind, to: &To, publisher: Option<String>) -> Result<(), Problem> {
    let flags = Flags::default()
        .with("server.public_url", "--url", to.url.as_ref())
        .with("listing.publisher", "--publisher", publisher);
    let config = Config::load(&ctx.dir()?, flags)?;
    let out = absolute(&to.out)?;
    let files = Listing::of(kind, &config).files().map_err(fault)?;
    let folder = Folder::read(&out, files)?;
    let diff = folder.diff();
    let done = folder.write()?;
    let next = [
        format!("agentkeys listing check {}", to.out.display()),
        format!("read {}", to.out.join("CHECKLIST.md").display()),
    ];
    let answer = json!({
        "kind": kind.as_str(), "files": done.files, "changed": done.changed,
        "backups": done.backups, "diff": diff, "next": next,
    });
    // A page that was not there before is no difference anybody reads.
    let fresh = done.backups.is_empty();
    ctx.out.answer(&answer, || {
        if !fresh {
            tell_diff(ctx, &diff)?;
        }
        tell(ctx, &done)
    })?;
    for step in &next {
        ctx.out.next(step);
    }
    Ok(())
}

fn tell_diff(ctx: &Ctx, diff: &str) -> Result<(), Problem> {
    for line in diff.lines() {
        let tone = match line.as_bytes().first() {
            Some(b'+') => Tone::Good,
            Some(b'-') => Tone::Bad,
            _ => Tone::Faint,
        };
        ctx.out
            .painted(&ctx.out.paint(&line.replace('\t', "    "), tone))?;
    }
    Ok(())
}

fn tell(ctx: &Ctx, done: &Outcome) -> Result<(), Problem> {
    for file in &done.files {
        let word = if done.changed.contains(file) {
            "wrote"
        } else {
            "is as it has to be:"
        };
        ctx.out.line(&format!("{word} {}", file.display()))?;
    }
    for backup in &done.backups {
        let line = format!("what was there before: {}", backup.display());
        ctx.out.line(&line)?;
    }
    Ok(())
}

fn absolute(path: &Path) -> Result<PathBuf, Problem> {
    std::path::absolute(path).map_err(|e| {
        let cause = format!("{} is no path: {e}", path.display());
        Problem::new(Exit::Usage, "agentkeys.usage", cause, "name a folder")
    })
}

/// How long a line of prose is.
const COLUMNS: usize = 80;

/// A finding, and its fix below it: side by side they are wider than any terminal.
fn rows(found: &Value, columns: usize) -> Vec<Vec<String>> {
    let text = |key| operate::text(found, key);
    let mut lines = broken(text("cause"), columns);
    if !text("fix").is_empty() {
        lines.extend(broken(&format!("fix: {}", text("fix")), columns));
    }
    let (mut id, mut status) = (text("id").to_owned(), text("status").to_owned());
    let row = |line| vec![take(&mut id), take(&mut status), line];
    lines.into_iter().map(row).collect()
}

/// A text in lines that are broken between words; a word that is too long stands alone.
fn broken(text: &str, columns: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let last = lines.last().map_or(0, |line| line.width());
        if last > 0 && last.saturating_add(1 + word.width()) > columns {
            lines.push(String::new());
        }
        if let Some(line) = lines.last_mut() {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines
}

/// Why a server listed nothing, and what to do; what lies in the folder is told of all the same.
fn not_listed(error: AcceptError) -> (String, String) {
    let Problem { cause, fix, .. } = error.into();
    if cause.contains("agentkeys.auth.actor_missing") {
        return (
            "the token is not one actor's own, and no actor is named".to_owned(),
            "name one that its vendor may act for: --actor A".to_owned(),
        );
    }
    (cause, fix)
}

async fn check_folder(ctx: &Ctx, args: &CheckArgs) -> Result<(), Problem> {
    let mut looked = check::look(&args.dir).map_err(fault)?;
    if let Some(url) = &args.url {
        match &args.token_file {
            None => looked.not_compared(
                "a server lists its tools to a token only",
                "name one with --token-file, of a vendor of the rail that the listing is for",
            ),
            Some(file) => {
                let token = super::args::token_file(file)?;
                let trust = Trust::read(args.ca_file.as_deref())?;
                let actor = args.actor.as_deref();
                match listed::tools(url, &trust, token.expose(), actor).await {
                    Ok(live) => looked.compare(url, &live),
                    Err(
                        error @ (AcceptError::Protocol { .. } | AcceptError::Unreachable { .. }),
                    ) => {
                        let (cause, fix) = not_listed(error);
                        looked.not_compared(cause, &fix);
                    }
                    Err(error) => return Err(error.into()),
                }
            }
        }
    }
    let found = &looked.findings;
    let count = |status| found.iter().filter(|f| f.status == status).count();
    let (failed, warned) = (count(Status::Failed), count(Status::Warn));
    let told: Vec<Value> = found.iter().map(Finding::to_json).collect();
    let answer = json!({"ok": failed == 0, "failed": failed, "warned": warned, "findings": told});
    ctx.out.answer(&answer, || {
        // A terminal breaks the lines of its table itself.
        let columns = if ctx.out.is_terminal() {
            usize::MAX
        } else {
            COLUMNS
        };
        let rows = told.iter().flat_map(|found| rows(found, columns)).collect();
        ctx.out
            .table(&["id", "status", "cause, and what to do"], rows)
    })?;
    match found.iter().find(|f| f.status == Status::Failed) {
        None => Ok(()),
        Some(first) => Err(Problem::new(
            Exit::Acceptance,
            "agentkeys.listing.found",
            format!("{}: {}", first.id, first.cause),
            first.fix.clone(),
        )),
    }
}
