//! `agentkeys serve`: the HTTP server, until it is told to stop.

use super::Ctx;
use super::out::json_line;
use crate::config::{Config, Flags, LogFormat};
use crate::folder::Folder;
use crate::problem::{Exit, Problem};
use crate::server::{Options, Proxies, Server};
use clap::Args;
use ipnet::IpNet;
use serde_json::json;
use std::net::SocketAddr;
use std::path::Path;
use tokio::signal::unix::{SignalKind, signal};
use tracing::level_filters::LevelFilter;

/// What `serve` takes.
#[derive(Debug, Args)]
#[command(
    about = "Serve the authority to hosts over HTTP",
    before_help = "Examples:
  agentkeys serve
  agentkeys serve --listen 127.0.0.1:8088
  agentkeys serve --listen 0.0.0.0:8088 --behind-proxy 10.0.0.0/8"
)]
pub struct ServeCmd {
    /// Where hosts connect [default: 127.0.0.1:8088].
    #[arg(long, value_name = "ADDR:PORT")]
    listen: Option<SocketAddr>,
    /// Where the operator's own tools connect [default: 127.0.0.1:8089].
    #[arg(long, value_name = "ADDR:PORT")]
    operator_listen: Option<SocketAddr>,
    /// Networks of the proxies that speak TLS in front of this server.
    #[arg(long, value_name = "CIDR", value_delimiter = ',')]
    behind_proxy: Vec<IpNet>,
}

impl ServeCmd {
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
    let dir = ctx.dir()?;
    let config = Config::load(&dir, cmd.flags())?;
    log(&config);
    let folder = open_or_create(&dir, &config).await?;
    let options = Options {
        listen: config.server.listen,
        operator_listen: config.server.operator_listen,
        public_url: config.server.public_url.as_ref().map(ToString::to_string),
        allowed_hosts: config.server.allowed_hosts.clone(),
        allowed_origins: config.server.allowed_origins.clone(),
        proxies: Proxies::new(config.server.behind_proxy.clone()),
    };
    let server = Server::bind(&folder, &options).await?;
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
        ctx.out.next("agentkeys vendor token create");
    }
    let hangs = |e: std::io::Error| {
        Problem::new(
            Exit::Failed,
            "agentkeys.serve.signals",
            format!("signals cannot be caught: {e}"),
            "this is a fault of the machine; report it",
        )
    };
    let mut terminate = signal(SignalKind::terminate()).map_err(hangs)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(hangs)?;
    let stop = async move {
        tokio::select! {
            _ = terminate.recv() => tracing::info!("SIGTERM: draining"),
            _ = interrupt.recv() => tracing::info!("ctrl-c: draining"),
        }
    };
    server.run(stop).await
}

/// Log lines go to stderr. The SDK's own stop at warnings: below that it logs what tools are
/// called with and what they answer (`formats/mcp.md` P11).
fn log(config: &Config) {
    use tracing_subscriber::prelude::*;
    let level = config.log.level;
    let filter = tracing_subscriber::filter::Targets::new()
        .with_default(level.min(LevelFilter::WARN))
        .with_target("agentkeys", level);
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

async fn open_or_create(dir: &Path, config: &Config) -> Result<Folder, Problem> {
    match Folder::open(dir, config.limits()).await {
        Err(problem) if problem.code == "agentkeys.folder.missing" => {
            eprintln!("no authority in {} yet: creating one", dir.display());
            Folder::create(dir, config.limits()).await
        }
        opened => opened,
    }
}
