//! `agentkeys serve`: the server, until it is told to stop.

use super::Ctx;
use super::args::network;
use super::out::json_line;
use super::signals::Signals;
use crate::config::{Config, Flags, LogFormat};
use crate::folder::Folder;
use crate::problem::{Exit, Problem};
use crate::rails::CaFile;
use crate::server::relay::Connection;
use crate::server::{self, Options, Proxies, Server};
use clap::Args;
use ipnet::IpNet;
use serde_json::json;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// What `serve` takes.
#[derive(Debug, Args)]
#[command(
    about = "Serve the authority to hosts",
    before_help = "Examples:
  agentkeys serve
  agentkeys serve --listen 127.0.0.1:8088
  agentkeys serve --listen 0.0.0.0:8088 --behind-proxy 10.0.0.0/8
  agentkeys serve --transport stdio --token-file kevin.token
  agentkeys serve --transport stdio --token-file kevin.token --remote https://mcp.example.com/mcp",
    after_help = "Where there is no authority yet it makes one and says so; but not in a folder that --dir names
and that is not there."
)]
pub struct ServeCmd {
    /// http: until stopped, for all hosts. stdio: for the one host that starts this process.
    #[arg(long, value_enum, default_value_t = Transport::Http)]
    transport: Transport,
    /// For stdio: the file with the token of the one actor this process speaks for.
    #[arg(long, value_name = "FILE", env = "AGENTKEYS_TOKEN_FILE")]
    token_file: Option<PathBuf>,
    /// For stdio: the `/mcp` of an authority elsewhere, instead of this folder's.
    #[arg(long, value_name = "URL")]
    remote: Option<String>,
    /// With --remote: a PEM file of a certificate authority to trust besides the usual ones.
    #[arg(long, value_name = "FILE", requires = "remote")]
    ca_file: Option<PathBuf>,
    /// Where hosts connect [default: 127.0.0.1:8088].
    #[arg(long, value_name = "ADDR:PORT")]
    listen: Option<SocketAddr>,
    /// Where the operator's own tools connect [default: 127.0.0.1:8089].
    #[arg(long, value_name = "ADDR:PORT")]
    operator_listen: Option<SocketAddr>,
    /// Networks of the proxies that speak TLS in front of this server.
    #[arg(long, value_name = "CIDR", value_delimiter = ',', value_parser = network)]
    behind_proxy: Vec<IpNet>,
    /// Stop too when standard input ends, as it does when the program that started this one is gone.
    #[arg(long)]
    until_stdin_ends: bool,
}

/// How hosts talk to this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Transport {
    /// Streamable HTTP.
    Http,
    /// Standard input and output.
    Stdio,
}

impl ServeCmd {
    /// What only the other transport takes.
    fn misplaced(&self) -> Option<&'static str> {
        match self.transport {
            Transport::Http => self.remote.as_ref().map(|_| "--remote"),
            Transport::Stdio if self.listen.is_some() => Some("--listen"),
            Transport::Stdio if self.operator_listen.is_some() => Some("--operator-listen"),
            Transport::Stdio if !self.behind_proxy.is_empty() => Some("--behind-proxy"),
            Transport::Stdio if self.until_stdin_ends => Some("--until-stdin-ends"),
            Transport::Stdio => None,
        }
    }

    /// Flags go before the environment and the file.
    fn flags(&self) -> Flags {
        let list = |nets: &[IpNet]| {
            nets.iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join(",")
        };
        let proxies = (!self.behind_proxy.is_empty()).then(|| list(&self.behind_proxy));
        Flags::default()
            .with("server.listen", "--listen", self.listen)
            .with(
                "server.operator_listen",
                "--operator-listen",
                self.operator_listen,
            )
            .with("server.behind_proxy", "--behind-proxy", proxies)
    }
}

/// Runs the server until SIGTERM or ctrl-c, then lets what is under way finish.
pub async fn run(cmd: ServeCmd, ctx: &Ctx) -> Result<(), Problem> {
    if let Some(flag) = cmd.misplaced() {
        return Err(Problem::new(
            Exit::Usage,
            "agentkeys.usage",
            format!("{flag} means nothing with this --transport"),
            "leave it out, or choose the other transport",
        ));
    }
    match cmd.transport {
        Transport::Http => http(cmd, ctx).await,
        Transport::Stdio => stdio(cmd, ctx).await,
    }
}

/// Nothing but messages goes to stdout here.
async fn stdio(cmd: ServeCmd, ctx: &Ctx) -> Result<(), Problem> {
    let file = cmd.token_file.ok_or_else(|| {
        Problem::new(
            Exit::Usage,
            "agentkeys.usage",
            "--transport stdio needs --token-file: the token says for which actor it speaks",
            "agentkeys vendor token create --vendor V --actor A, and keep it in a file of your own",
        )
    })?;
    let token = super::args::token_file(&file)?;
    let stopped = Signals::that_stop()?.or_stdin(false);
    if let Some(url) = &cmd.remote {
        let ca = cmd.ca_file.as_deref().map(CaFile::read).transpose()?;
        return server::remote::serve(url, &ca.unwrap_or_default(), &token, stopped).await;
    }
    let folder = ctx.open().await?;
    let authority = Arc::clone(&folder.authority);
    server::stdio::serve(authority, &token, stopped).await
}

async fn http(cmd: ServeCmd, ctx: &Ctx) -> Result<(), Problem> {
    let dir = ctx.dir()?;
    crate::folder::owned(&dir)?;
    let config = Config::load(&dir, cmd.flags())?;
    log(&config);
    let (folder, fresh) = open_or_create(ctx, &dir, &config).await?;
    let options = Options {
        listen: config.server.listen,
        operator_listen: config.server.operator_listen,
        public_urls: public_urls(&config),
        allowed_hosts: config.server.allowed_hosts.clone(),
        allowed_origins: config.server.allowed_origins.clone(),
        proxies: Proxies::new(config.server.behind_proxy.clone()),
        seal_every: Duration::from_secs(config.audit.batch_seconds.into()),
        anchor: config.audit.anchor.clone(),
        tls: config.tls.clone(),
    };
    let relays = config.relay.connect.iter();
    let relays: Result<Vec<_>, _> = relays.map(|file| Connection::read(file)).collect();
    let relays = relays?;
    warn_of_endpoint(&config);
    let server = Server::bind(&folder, &options).await?;
    if crate::folder::copied::mark(&folder.dir)? {
        use crate::folder::copied::{COPIED, FIX};
        tracing::warn!("{COPIED}; {FIX}");
    }
    // Before the ready line, so that a signal sent at once already finds its handler.
    let stopped = Signals::that_stop()?.or_stdin(cmd.until_stdin_ends);
    let pid = std::process::id();
    let (mcp, operator) = (&server.mcp_url, &server.operator_url);
    if ctx.out.is_json() {
        let ready = json!({"event": "ready", "mcp_url": mcp, "operator_url": operator, "pid": pid});
        json_line(&ready)?;
    } else {
        let lines = format!(
            "serving {mcp}\noperator {operator}\nfolder {}",
            folder.dir.display()
        );
        ctx.out.lines(&lines)?;
        if fresh {
            ctx.out.next("agentkeys vendor create NAME --rail xiaozhi");
        }
    }
    server.run(relays, stopped).await;
    Ok(())
}

/// The addresses hosts use, as far as they were set.
pub(super) fn public_urls(config: &Config) -> Vec<String> {
    let urls = [&config.server.public_url, &config.relay.public_url];
    urls.into_iter()
        .flatten()
        .map(ToString::to_string)
        .collect()
}

/// xiaozhi would refuse the address of the endpoint that is hosted here, and say so nowhere we see.
fn warn_of_endpoint(config: &Config) {
    let Some(url) = &config.server.public_url else {
        return;
    };
    let refused = crate::config::forbidden_at_xiaozhi(url.host().unwrap_or_default());
    if let (Some(word), None) = (refused, &config.relay.public_url) {
        tracing::warn!(
            "xiaozhi refuses endpoint addresses with \"{word}\" in them, and {url} has it: \
             set [relay] public_url to another name of this server to use /mcp_endpoint/"
        );
    }
}

/// Log lines go to stderr.
fn log(config: &Config) {
    use tracing_subscriber::prelude::*;
    let filter = super::log_levels(config.log.level);
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(false);
    let registry = tracing_subscriber::registry();
    // Fails only when there is one already, which is as good.
    let _ = match config.log.format {
        LogFormat::Json => registry.with(lines.json().with_filter(filter)).try_init(),
        LogFormat::Human => registry.with(lines.with_filter(filter)).try_init(),
    };
}

/// The folder, and whether it was made just now.
async fn open_or_create(ctx: &Ctx, dir: &Path, config: &Config) -> Result<(Folder, bool), Problem> {
    match Folder::open(dir, config.limits()).await {
        Err(problem) if problem.code == "agentkeys.folder.missing" => {
            if ctx.typed_dir().is_some() && !dir.exists() {
                return Err(Problem::new(
                    Exit::Config,
                    "agentkeys.serve.folder_missing",
                    format!("there is no folder {}", dir.display()),
                    "look whether --dir is spelled right; `agentkeys init` makes a new one",
                ));
            }
            eprintln!("no authority in {} yet: creating one", dir.display());
            Ok((Folder::create(dir, config.limits()).await?, true))
        }
        opened => Ok((opened?, false)),
    }
}
