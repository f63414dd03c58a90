//! `agentkeys wire xiaozhi`: our entry in xiaozhi-server's MCP settings.

use super::report::Proof;
use super::steps::{Target, open_to_others, unproved};
use super::token::{Door, Minted, PLACEHOLDER, Source, choose, id, missing};
use super::{Doing, Mode, TokenArgs, mcp_url};
use crate::cli::Ctx;
use crate::problem::{Exit, Problem};
use crate::publish::wire::change::{Change, wired};
use crate::publish::wire::file::HostFile;
use crate::publish::wire::xiaozhi::{Found, SettingsFile, find, settings};
use crate::publish::wire::{Access, Document as _};
use crate::rails::CaFile;
use crate::rails::xiaozhi::{Settings, XiaozhiHost};
use crate::secret::Secret;
use clap::Args;
use serde_json::json;
use std::path::{Path, PathBuf};

pub(super) const HOST: &str = "xiaozhi";

/// `wire xiaozhi`.
#[derive(Debug, Args)]
pub struct XiaozhiArgs {
    /// A checkout, the folder with `data` in it, or the file itself.
    #[arg(value_name = "PATH")]
    pub path: Option<PathBuf>,
    #[allow(missing_docs)]
    #[command(flatten)]
    pub mode: Mode,
    /// The address of the authority as xiaozhi-server sees it [default: `server.public_url`].
    #[arg(long, value_name = "U")]
    pub url: Option<String>,
    #[allow(missing_docs)]
    #[command(flatten)]
    pub token: TokenArgs,
    /// The entry's name, where there is none of ours yet.
    #[arg(long, value_name = "NAME", default_value = "agentkeys")]
    pub entry: String,
    /// Wire the MCP endpoint in data/.config.yaml instead.
    #[arg(long)]
    pub relay: bool,
    /// The endpoint's address, with its token or without; implies --relay.
    #[arg(long, value_name = "WS-URL", conflicts_with = "endpoint_file")]
    pub endpoint: Option<String>,
    /// A file with the endpoint's whole address, which only you can read; implies --relay.
    #[arg(long, value_name = "F", conflicts_with_all = ["token_file", "vendor"])]
    pub endpoint_file: Option<PathBuf>,
    /// Print the token too, where there is nothing to write into.
    #[arg(long)]
    pub with_token: bool,
    /// Do not connect: the server cannot be reached from here.
    #[arg(long)]
    pub no_verify: bool,
    /// A further certificate authority to trust while connecting, PEM.
    #[arg(long, value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
}

impl XiaozhiArgs {
    pub(super) const fn is_relay(&self) -> bool {
        self.relay || self.endpoint.is_some() || self.endpoint_file.is_some()
    }

    /// The server's files; none when there is no server here and nobody named one.
    pub(super) fn place(&self) -> Result<Option<Found>, Problem> {
        let here = std::env::current_dir().unwrap_or_default();
        let found = find(self.path.as_deref(), &here)?;
        if found.is_none() && matches!(self.mode.doing(), Doing::Check | Doing::Remove) {
            return Err(Problem::new(
                Exit::Usage,
                "agentkeys.wire.not_the_host",
                "there is no xiaozhi-server in this folder or around it",
                "name its folder",
            ));
        }
        Ok(found)
    }

    pub(super) fn ca(&self) -> Result<CaFile, Problem> {
        let read = self.ca_file.as_deref().map(CaFile::read).transpose();
        Ok(read?.unwrap_or_default())
    }
}

/// Runs it.
pub(super) async fn run(args: &XiaozhiArgs, ctx: &Ctx) -> Result<(), Problem> {
    let url = mcp_url(args.url.as_deref(), &ctx.config()?);
    let Some(place) = args.place()? else {
        return print(args, ctx, &url).await;
    };
    let file = HostFile::read(&place.settings)?;
    let document = SettingsFile::new(&args.entry, access(&url, PLACEHOLDER, None));
    let there = file.text().map(|t| document.credentials(t)).transpose();
    let there = there.map_err(|f| f.of(file.path()))?.flatten();
    let there = there.map(|c| c.token);
    if args.mode.doing() == Doing::Remove {
        let id = there.and_then(|token| id(&token, Door::Header));
        return target(&document, &file, &alive(&document)).remove(id, ctx);
    }
    let choice = choose(&args.token, ctx, there.as_ref(), Door::Header).await?;
    let draft = choice.source.or_placeholder();
    let document = SettingsFile::new(&args.entry, access(&url, draft.expose(), choice.actor));
    match args.mode.doing() {
        Doing::Write => write(args, ctx, &file, &url, document, choice.source).await,
        doing => {
            let change = wired(&document, &file)?;
            let warnings = rivals(&document, &change)?;
            target(&document, &file, &alive(&document)).look(doing, warnings, ctx)
        }
    }
}

fn access(url: &str, token: &str, actor: Option<String>) -> Access {
    Access {
        url: url.to_owned(),
        token: Secret::new(token.to_owned()),
        actor,
    }
}

fn target<'a>(
    document: &'a SettingsFile,
    file: &'a HostFile,
    alive: &'a dyn Fn(&str) -> bool,
) -> Target<'a> {
    Target {
        host: HOST,
        words: HOST,
        document,
        file,
        alive,
    }
}

/// Whether a text has an entry for this server.
fn alive(document: &SettingsFile) -> impl Fn(&str) -> bool {
    |text| document.piece(text).is_ok_and(|piece| piece.is_some())
}

async fn write(
    args: &XiaozhiArgs,
    ctx: &Ctx,
    file: &HostFile,
    url: &str,
    document: SettingsFile,
    source: Source,
) -> Result<(), Problem> {
    // Whatever is wrong with the file is told before a token is made for it.
    wired(&document, file)?;
    file.may_write()?;
    let ca = args.ca()?;
    let (document, minted) = match source {
        Source::Nowhere => return Err(missing(Door::Header)),
        Source::Have(_) => (document, None),
        Source::Mint(mint) => {
            let minted = mint.make().await?;
            (document.with_token(minted.text.clone()), Some(minted))
        }
    };
    let alive = alive(&document);
    let target = target(&document, file, &alive);
    let done = target.write(minted).await?;
    let entry = document.entry(done.change.after.as_deref().unwrap_or_default())?;
    let mut warnings = rivals(&document, &done.change)?;
    warnings.extend(open_to_others(file));
    if is_here(url) {
        warnings.push(format!(
            "{url} is this machine only; from inside docker it is another one, so name an address with --url"
        ));
    }
    let proof = if args.no_verify {
        Proof::NotAsked(Doing::Write.words())
    } else {
        let (proof, found) = prove(file.path(), &entry, ca).await;
        warnings.extend(found);
        proof
    };
    let mut report = target.report(&done.change, proof, warnings);
    report.facts = vec![("entry", entry.into()), ("url", url.into())];
    report.facts.extend(done.facts());
    report.tell(ctx.out, &done.words(file))
}

fn rivals(document: &SettingsFile, change: &Change) -> Result<Vec<String>, Problem> {
    let rivals = document.rivals(change.after.as_deref().unwrap_or_default())?;
    let warning = |name: &String| {
        format!(
            "the entry `{name}` looks like an authority too; its tools have the names of ours, and xiaozhi-server calls now one, now the other"
        )
    };
    Ok(rivals.iter().map(warning).collect())
}

fn is_here(url: &str) -> bool {
    ["://127.", "://localhost", "://[::1]"]
        .iter()
        .any(|here| url.contains(here))
}

/// Reads the file by the host's own rules, connects as it does, and lists the tools.
async fn prove(path: &Path, entry: &str, ca: CaFile) -> (Proof, Vec<String>) {
    let connected = async {
        let settings = Settings::from_file(path, Some(entry))?.with_ca(ca);
        XiaozhiHost::connect(&settings).await
    };
    let host = match connected.await {
        Ok(host) => host,
        Err(error) => return (Proof::No(unproved(path, &error.into())), Vec::new()),
    };
    let found = host.findings().iter().map(ToString::to_string).collect();
    let c = host.connected();
    let (tools, version, ms) = (host.tools().len(), c.protocol_version.clone(), c.ms);
    // The proof is made; a server that does not take a farewell is none the worse.
    let _ = host.close().await;
    if tools == 0 {
        let problem = Problem::new(
            Exit::Failed,
            "agentkeys.wire.no_tools",
            "the server listed no tool",
            "look at the server's log",
        );
        return (Proof::No(unproved(path, &problem)), found);
    }
    (
        Proof::Yes(format!(
            "{tools} tools, protocol {version}, {ms} ms, as xiaozhi-server connects"
        )),
        found,
    )
}

/// No server here: what would be in the file, and where that belongs.
async fn print(args: &XiaozhiArgs, ctx: &Ctx, url: &str) -> Result<(), Problem> {
    let choice = choose(&args.token, ctx, None, Door::Header).await?;
    let (token, minted) = match choice.source {
        Source::Have(token) if args.with_token => (token, None),
        Source::Mint(mint) if args.with_token => {
            let minted = mint.make().await?;
            (minted.text.clone(), Some(minted))
        }
        _ => (Secret::new(PLACEHOLDER.to_owned()), None),
    };
    let text = settings(&access(url, token.expose(), choice.actor))?;
    let belongs = "data/.mcp_server_settings.json of xiaozhi-server";
    printed(ctx, &text, belongs, minted.as_ref())
}

pub(super) fn printed(
    ctx: &Ctx,
    text: &str,
    belongs: &str,
    minted: Option<&Minted>,
) -> Result<(), Problem> {
    let json = json!({
        "host": HOST, "path": null, "changed": false, "diff": "", "verified": false,
        "reason": "there is no xiaozhi-server here to write into", "text": text, "belongs": belongs,
        "token_id": minted.map(|m| m.id.clone()), "warnings": [],
    });
    ctx.out.answer(&json, || {
        ctx.out.lines(text)?;
        ctx.out.note(&format!(
            "There is no xiaozhi-server in this folder or around it; this belongs into {belongs}."
        ));
        if text.contains(PLACEHOLDER) {
            ctx.out.note(&format!(
                "{PLACEHOLDER} stands for the token; --with-token with --token-file or --vendor puts one in."
            ));
        }
        Ok(())
    })
}
