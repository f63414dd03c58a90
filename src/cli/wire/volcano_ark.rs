//! `agentkeys wire volcano-ark`: the tool entry for Ark's Responses API, and a proof of it.

mod prove;

use super::report::{Proof, Report};
use super::token::{Door, Minted, Source, choose, id, missing};
use super::{Doing, Mode, TokenArgs, drift, mcp_url};
use crate::cli::Ctx;
use crate::problem::{Exit, Problem};
use crate::publish::wire::volcano_ark::{
    Approval, BASE_URL, Entry, Folder, MODEL, token_in, tool_named,
};
use crate::secret::Secret;
use clap::{Args, ValueEnum};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

const HOST: &str = "volcano-ark";

/// `wire volcano-ark`.
#[derive(Debug, Args)]
pub struct VolcanoArkArgs {
    /// A folder for all of it, or a .json file for the entry alone.
    #[arg(value_name = "PATH")]
    pub path: Option<PathBuf>,
    #[allow(missing_docs)]
    #[command(flatten)]
    pub mode: Mode,
    /// The public address of the authority, as Ark's cloud sees it [default: `server.public_url`].
    #[arg(long, value_name = "U")]
    pub url: Option<String>,
    #[allow(missing_docs)]
    #[command(flatten)]
    pub token: TokenArgs,
    /// Write the token into the entry.
    #[arg(long)]
    pub with_token: bool,
    /// The server's name in Ark's answers.
    #[arg(long, value_name = "NAME", default_value = "agentkeys")]
    pub label: String,
    /// The tools the model may see [default: all that do something].
    #[arg(long, value_name = "T,…", value_delimiter = ',')]
    pub tools: Vec<String>,
    /// When Ark asks back before it calls a tool; the authority decides in any case.
    #[arg(long, value_name = "WHEN", value_enum, default_value_t = Asks::Never)]
    pub require_approval: Asks,
    /// The model the scripts and the proof ask.
    #[arg(long, value_name = "M", default_value = MODEL)]
    pub model: String,
    /// Print one of the pieces only.
    #[arg(long, value_name = "PIECE", value_enum, conflicts_with = "path")]
    pub only: Option<Piece>,
    /// Let Ark, or the stand-in, connect to the server and use a tool.
    #[arg(long, conflicts_with_all = ["check", "remove", "dry_run", "only"])]
    pub verify: bool,
    /// A file with an Ark API key, which only you can read: ask Ark itself.
    #[arg(long, value_name = "F", requires = "verify")]
    pub ark_key_file: Option<PathBuf>,
    /// Where Ark's API is.
    #[arg(long, value_name = "U", default_value = BASE_URL, requires = "ark_key_file")]
    pub ark_url: String,
    /// A further certificate authority for the stand-in to trust, PEM.
    #[arg(long, value_name = "FILE", requires = "verify")]
    pub ca_file: Option<PathBuf>,
}

/// When Ark asks back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Asks {
    /// Never.
    Never,
    /// Before each call.
    Always,
    /// Before calls that change something.
    Writes,
}

/// A piece of what there is to print.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Piece {
    /// The tool entry.
    Tool,
    /// The shell script.
    Curl,
    /// The Python script.
    Python,
    /// The console's steps in English.
    Console,
    /// The console's steps in Chinese.
    ConsoleZh,
}

impl Piece {
    const fn file(self) -> &'static str {
        match self {
            Self::Tool => "ark-tool.json",
            Self::Curl => "ark.sh",
            Self::Python => "ark.py",
            Self::Console => "CONSOLE.md",
            Self::ConsoleZh => "CONSOLE_zh.md",
        }
    }
}

/// Runs it.
pub(super) async fn run(args: &VolcanoArkArgs, ctx: &Ctx) -> Result<(), Problem> {
    let doing = args.mode.doing();
    if args.token.vendor.is_some() && !args.with_token && !args.verify {
        return Err(Problem::new(
            Exit::Usage,
            "agentkeys.usage",
            "a token made here would be written nowhere and be lost",
            "add --with-token, or make it with `agentkeys vendor token create` and keep it",
        ));
    }
    let path = args.path.as_deref().map(std::path::absolute).transpose();
    let path = path.map_err(|e| {
        Problem::new(
            Exit::Usage,
            "agentkeys.usage",
            format!("PATH is no path: {e}"),
            "name a folder or a .json file",
        )
    })?;
    let there = path.as_deref().and_then(token_in);
    let choice = choose(&args.token, ctx, there.as_ref(), Door::Header).await?;
    let entry = entry(args, ctx, choice.actor.as_deref())?;
    entry.check()?;
    prove::possible(args, &entry)?;
    let Some(path) = path else {
        return match doing {
            Doing::Write | Doing::DryRun => print(args, ctx, entry, choice.source).await,
            Doing::Check | Doing::Remove => Err(Problem::new(
                Exit::Usage,
                "agentkeys.usage",
                "there is no PATH to look at",
                "name the folder or the .json file that was written",
            )),
        };
    };
    match doing {
        Doing::Write => write(args, ctx, &path, entry, choice.source).await,
        Doing::Remove => remove(ctx, &path, &kept(entry, there)),
        Doing::Check | Doing::DryRun => look(ctx, &path, &kept(entry, there), doing),
    }
}

/// The entry as asked for; its token comes later.
fn entry(args: &VolcanoArkArgs, ctx: &Ctx, actor: Option<&str>) -> Result<Entry, Problem> {
    let url = mcp_url(args.url.as_deref(), &ctx.config()?);
    let mut entry = Entry::new(&url, actor, None);
    entry.label.clone_from(&args.label);
    entry.model.clone_from(&args.model);
    entry.approval = match args.require_approval {
        Asks::Never => Approval::Never,
        Asks::Always => Approval::Always,
        Asks::Writes => Approval::Writes,
    };
    if !args.tools.is_empty() {
        let named = |name: &String| {
            tool_named(name).ok_or_else(|| {
                let all = crate::publish::wire::volcano_ark::active_tools().join(", ");
                Problem::new(
                    Exit::Usage,
                    "agentkeys.usage",
                    format!("there is no tool {name:?}"),
                    format!("choose among {all}"),
                )
            })
        };
        entry.tools = args.tools.iter().map(named).collect::<Result<_, _>>()?;
    }
    Ok(entry)
}

/// The entry with the token that is there already, to look at or to take out.
fn kept(entry: Entry, there: Option<Secret<String>>) -> Entry {
    Entry {
        token: there,
        ..entry
    }
}

fn warnings(entry: &Entry) -> Vec<String> {
    entry
        .unreachable_from_ark()
        .map(str::to_owned)
        .into_iter()
        .collect()
}

fn look(ctx: &Ctx, path: &Path, entry: &Entry, doing: Doing) -> Result<(), Problem> {
    let folder = Folder::read(path, entry)?;
    let shown = path.display().to_string();
    let report = Report {
        host: HOST,
        path: Some(shown.clone()),
        changed: false,
        diff: folder.diff(false),
        proof: Proof::Nothing(doing.words()),
        facts: Vec::new(),
        warnings: warnings(entry),
    };
    if doing == Doing::DryRun {
        return report.tell_diff(ctx.out);
    }
    report.tell(ctx.out, &format!("looked at {shown}"))?;
    if folder.is_wired() {
        Ok(())
    } else {
        Err(drift(&shown, HOST))
    }
}

fn remove(ctx: &Ctx, path: &Path, entry: &Entry) -> Result<(), Problem> {
    let folder = Folder::read(path, entry)?;
    let diff = folder.diff(true);
    let left = folder.remove()?;
    let mut warnings: Vec<String> = left
        .iter()
        .map(|p| {
            format!(
                "{} was edited or written with other options, so it was left",
                p.display()
            )
        })
        .collect();
    let gone = entry.token.as_ref().filter(|_| !diff.is_empty());
    if let Some(id) = gone.and_then(|t| id(t, Door::Header)) {
        warnings.push(format!(
            "its token still works; end it with `agentkeys vendor token revoke {id}`"
        ));
    }
    let shown = path.display().to_string();
    let report = Report {
        host: HOST,
        path: Some(shown.clone()),
        changed: !diff.is_empty(),
        diff,
        proof: Proof::Nothing(Doing::Remove.words()),
        facts: Vec::new(),
        warnings,
    };
    let done = if report.changed {
        "took back"
    } else {
        "nothing of ours is in"
    };
    let drifted = !left.is_empty();
    report.tell(ctx.out, &format!("{done} {shown}"))?;
    if drifted {
        Err(drift(&shown, HOST))
    } else {
        Ok(())
    }
}

/// The token, where it is needed at all.
#[derive(Default)]
struct Held {
    token: Option<Secret<String>>,
    minted: Option<Minted>,
}

impl Held {
    async fn get(args: &VolcanoArkArgs, source: Source) -> Result<Self, Problem> {
        if !args.with_token && !args.verify {
            return Ok(Self::default());
        }
        match source {
            Source::Have(token) => Ok(Self {
                token: Some(token),
                minted: None,
            }),
            Source::Nowhere => Err(missing(Door::Header)),
            Source::Mint(mint) => {
                let minted = mint.make().await?;
                Ok(Self {
                    token: Some(minted.text.clone()),
                    minted: Some(minted),
                })
            }
        }
    }

    /// The entry as it is written: with the token only when that was asked for.
    fn written(&self, args: &VolcanoArkArgs, entry: Entry) -> Entry {
        let token = self.token.clone().filter(|_| args.with_token);
        Entry { token, ..entry }
    }

    /// What is told of a token that was made. One that is written nowhere is taken back.
    async fn settle(self, kept: bool) -> Vec<(&'static str, Value)> {
        let Some(minted) = self.minted else {
            return Vec::new();
        };
        if !kept {
            minted.revoke().await;
            return Vec::new();
        }
        vec![
            ("token_id", json!(minted.id)),
            ("expires_at", json!(minted.expires_at)),
        ]
    }
}

async fn write(
    args: &VolcanoArkArgs,
    ctx: &Ctx,
    path: &Path,
    entry: Entry,
    source: Source,
) -> Result<(), Problem> {
    // What is wrong with the folder is told before a token is made for it.
    Folder::read(path, &entry)?;
    let held = Held::get(args, source).await?;
    let entry = held.written(args, entry);
    let folder = Folder::read(path, &entry)?;
    let (diff, changed) = (folder.diff(false), !folder.is_wired());
    let backups = match folder.write() {
        Ok(written) => written.into_iter().filter_map(|w| w.backup),
        Err(error) => {
            held.settle(false).await;
            return Err(error.into());
        }
    };
    let backups: Vec<String> = backups.map(|p| p.display().to_string()).collect();
    let proof = prove::prove(args, &entry, held.token.clone()).await;
    let shown = path.display().to_string();
    let files = folder.paths();
    let files: Vec<String> = files.iter().map(|p| p.display().to_string()).collect();
    let mut facts = vec![("files", json!(files))];
    if !backups.is_empty() {
        facts.push(("backups", json!(backups)));
    }
    facts.extend(held.settle(args.with_token).await);
    let report = Report {
        host: HOST,
        path: Some(shown.clone()),
        changed,
        diff,
        proof,
        facts,
        warnings: warnings(&entry),
    };
    let done = if changed {
        "wrote"
    } else {
        "is as it has to be:"
    };
    report.tell(ctx.out, &format!("{done} {shown}"))
}

async fn print(
    args: &VolcanoArkArgs,
    ctx: &Ctx,
    entry: Entry,
    source: Source,
) -> Result<(), Problem> {
    let held = Held::get(args, source).await?;
    let entry = held.written(args, entry);
    let files = entry.files()?;
    let proof = prove::prove(args, &entry, held.token.clone()).await;
    let mut facts = held.settle(args.with_token).await;
    if ctx.out.is_json() {
        facts.push(("entry", entry.to_json()));
        for (name, text) in &files {
            facts.push((*name, text.as_str().into()));
        }
        let report = Report {
            host: HOST,
            path: None,
            changed: false,
            diff: String::new(),
            proof,
            facts,
            warnings: warnings(&entry),
        };
        return report.tell(ctx.out, "");
    }
    for (name, text) in &files {
        match args.only {
            Some(piece) if piece.file() != *name => continue,
            Some(_) => {}
            None => ctx.out.line(&format!("# ---- {name}"))?,
        }
        ctx.out.lines(text)?;
    }
    for warning in warnings(&entry) {
        ctx.out.note(&format!("warning: {warning}"));
    }
    match proof {
        Proof::Yes(how) => {
            ctx.out.note(&format!("verified: {how}"));
            Ok(())
        }
        Proof::No(problem) => Err(problem),
        Proof::NotAsked(_) | Proof::Nothing(_) => Ok(()),
    }
}
