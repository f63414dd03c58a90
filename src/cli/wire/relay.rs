//! `agentkeys wire xiaozhi --relay`: the address of an MCP endpoint in xiaozhi-server's config.

use super::Doing;
use super::report::Proof;
use super::steps::{Target, open_to_others, unproved};
use super::token::{Door, Minted, PLACEHOLDER, Source, choose, id, missing};
use super::xiaozhi::{HOST, XiaozhiArgs, printed};
use crate::cli::Ctx;
use crate::config::Config;
use crate::folder::private_file;
use crate::problem::{Exit, Problem};
use crate::publish::wire::Document as _;
use crate::publish::wire::change::wired;
use crate::publish::wire::file::HostFile;
use crate::publish::wire::xiaozhi::{EndpointFile, EndpointUrl};
use crate::rails::CaFile;
use crate::rails::xiaozhi::EndpointHost;
use crate::secret::Secret;
use std::path::Path;

/// The endpoint that is wanted.
enum Wanted {
    /// All of it is known.
    Whole(EndpointUrl),
    /// The address is, the token comes from elsewhere.
    At(String),
}

/// Runs it.
pub(super) async fn run(args: &XiaozhiArgs, ctx: &Ctx) -> Result<(), Problem> {
    let place = args.place()?;
    let file = place.map(|p| HostFile::read(&p.config)).transpose()?;
    let there = match &file {
        Some(file) => current(file)?,
        None => None,
    };
    if let Some(file) = &file
        && args.mode.doing() == Doing::Remove
    {
        let token = there.as_ref().and_then(token_of);
        let id = token.and_then(|token| id(&token, Door::Endpoint));
        return target(&EndpointFile::without(), file).remove(id, ctx);
    }
    let (source, base) = match wanted(args, &ctx.config()?)? {
        Wanted::Whole(url) => (Whole::Have(url), String::new()),
        Wanted::At(base) => {
            let there = there.filter(|url| url.is_at(&base));
            let there = there.and_then(|url| token_of(&url));
            let choice = choose(&args.token, ctx, there.as_ref(), Door::Endpoint).await?;
            (Whole::With(choice.source), base)
        }
    };
    let Some(file) = file else {
        return print(args, ctx, source, &base).await;
    };
    let document = EndpointFile::new(source.draft(&base)?);
    match args.mode.doing() {
        Doing::Write => {
            // Whatever is wrong with the file is told before a token is made for it.
            wired(&document, &file)?;
            file.may_write()?;
            write(args, ctx, &file, source, &base).await
        }
        doing => target(&document, &file).look(doing, Vec::new(), ctx),
    }
}

fn target<'a>(document: &'a EndpointFile, file: &'a HostFile) -> Target<'a> {
    Target {
        host: HOST,
        words: "xiaozhi --relay",
        document,
        file,
        alive: &|text| EndpointFile::current(text).is_ok_and(|url| url.is_some()),
    }
}

fn current(file: &HostFile) -> Result<Option<EndpointUrl>, Problem> {
    let there = file.text().map(EndpointFile::current).transpose();
    Ok(there.map_err(|flaw| flaw.of(file.path()))?.flatten())
}

/// The endpoint, as far as it is known.
enum Whole {
    Have(EndpointUrl),
    With(Source),
}

impl Whole {
    /// The endpoint, with a placeholder where its token is not there yet.
    fn draft(&self, base: &str) -> Result<EndpointUrl, Problem> {
        match self {
            Self::Have(url) => Ok(url.clone()),
            Self::With(source) => at(base, &source.or_placeholder()),
        }
    }

    /// The endpoint, its token made if need be.
    async fn made(self, base: &str) -> Result<(EndpointUrl, Option<Minted>), Problem> {
        match self {
            Self::Have(url) => Ok((url, None)),
            Self::With(Source::Have(token)) => Ok((at(base, &token)?, None)),
            Self::With(Source::Nowhere) => Err(missing(Door::Endpoint)),
            Self::With(Source::Mint(mint)) => {
                let minted = mint.make().await?;
                Ok((at(base, &minted.text)?, Some(minted)))
            }
        }
    }
}

fn at(base: &str, token: &Secret<String>) -> Result<EndpointUrl, Problem> {
    Ok(EndpointUrl::at(base, token)?)
}

fn token_of(url: &EndpointUrl) -> Option<Secret<String>> {
    let (_, token) = url.expose().split_once("?token=")?;
    Some(Secret::new(token.to_owned()))
}

/// The endpoint as named, else that of the relay's public address, else of the server's own.
fn wanted(args: &XiaozhiArgs, config: &Config) -> Result<Wanted, Problem> {
    if let Some(path) = &args.endpoint_file {
        let text = private_file(path)?;
        return Ok(Wanted::Whole(EndpointUrl::parse(text.expose())?));
    }
    if let Some(url) = &args.endpoint {
        if url.contains('?') {
            return Ok(Wanted::Whole(EndpointUrl::parse(url)?));
        }
        EndpointUrl::parse(url)?;
        return Ok(Wanted::At(url.clone()));
    }
    let public = config
        .relay
        .public_url
        .as_ref()
        .or(config.server.public_url.as_ref());
    let public = match &args.url {
        Some(url) => url.clone(),
        None => public.map_or_else(|| super::here(config), ToString::to_string),
    };
    Ok(Wanted::At(EndpointUrl::base(&public)?))
}

async fn write(
    args: &XiaozhiArgs,
    ctx: &Ctx,
    file: &HostFile,
    source: Whole,
    base: &str,
) -> Result<(), Problem> {
    let ca = args.ca()?;
    let (url, minted) = source.made(base).await?;
    let document = EndpointFile::new(url.clone());
    let target = target(&document, file);
    let done = target.write(minted).await?;
    let mut warnings: Vec<String> = open_to_others(file).into_iter().collect();
    if args.endpoint.as_ref().is_some_and(|url| url.contains('?')) {
        warnings.push(
            "the endpoint's token is now in your shell's history; --endpoint-file reads it from a file".to_owned(),
        );
    }
    if !done.change.is_empty() {
        warnings.push("xiaozhi-server reads this file when it starts: restart it".to_owned());
    }
    let proof = if args.no_verify {
        Proof::NotAsked(Doing::Write.words())
    } else {
        prove(file.path(), &ca).await
    };
    let mut report = target.report(&done.change, proof, warnings);
    report.facts = vec![("url", url.told().into())];
    report.facts.extend(done.facts());
    report.tell(ctx.out, &done.words(file))
}

/// Reads the file as the host does, connects to the call side, and lists the tools.
async fn prove(path: &Path, ca: &CaFile) -> Proof {
    let failed = |problem: &Problem| Proof::No(unproved(path, problem));
    let read = HostFile::read(path).map_err(Problem::from);
    let url = match read.and_then(|file| current(&file)) {
        Ok(Some(url)) => url,
        Ok(None) => {
            return failed(&Problem::new(
                Exit::Failed,
                "agentkeys.wire.edit_failed",
                "what was written is no endpoint",
                "report this",
            ));
        }
        Err(problem) => return failed(&problem),
    };
    match EndpointHost::connect(url.expose(), ca).await {
        Ok(host) => {
            let tools = host.tools().len();
            Proof::Yes(format!(
                "{tools} tools over the endpoint, as xiaozhi-server connects"
            ))
        }
        Err(error) => failed(&error.into()),
    }
}

/// No server here: the line, and where it belongs.
async fn print(args: &XiaozhiArgs, ctx: &Ctx, source: Whole, base: &str) -> Result<(), Problem> {
    let (url, minted) = match source {
        _ if !args.with_token => (placeholder(&source.draft(base)?)?, None),
        Whole::With(Source::Nowhere) => (source.draft(base)?, None),
        source => source.made(base).await?,
    };
    let text = EndpointFile::new(url).wire(EndpointFile::without().blank())?;
    printed(
        ctx,
        &text,
        "data/.config.yaml of xiaozhi-server",
        minted.as_ref(),
    )
}

/// The same endpoint with nothing secret in it.
fn placeholder(url: &EndpointUrl) -> Result<EndpointUrl, Problem> {
    at(url.told(), &Secret::new(PLACEHOLDER.to_owned()))
}
