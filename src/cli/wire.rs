//! `agentkeys wire …`: a host's config with the authority in it, shown, written and proved.

mod relay;
mod report;
mod steps;
mod token;
mod volcano_ark;
mod xiaozhi;

use super::Ctx;
use super::args::Span;
use crate::config::Config;
use crate::problem::{Exit, Problem};
use clap::{Args, Subcommand};
use std::path::PathBuf;

/// Wire a host to the authority: write its config, and prove it as that host would.
#[derive(Debug, Args)]
#[command(before_help = "Examples:
  agentkeys wire xiaozhi ./xiaozhi-server --vendor magiclick --actor O_kevin_001
  agentkeys wire xiaozhi ./xiaozhi-server --check
  agentkeys wire volcano-ark ./ark --url https://mcp.example.com/mcp")]
pub struct WireCmd {
    /// Which host.
    #[command(subcommand)]
    pub host: Host,
}

/// The hosts.
#[derive(Debug, Subcommand)]
pub enum Host {
    /// xiaozhi-server: an entry of its MCP settings, or the address of an MCP endpoint.
    #[command(
        before_help = "Examples:
  agentkeys wire xiaozhi ./xiaozhi-server --vendor magiclick --actor O_kevin_001
  agentkeys wire xiaozhi --url http://192.168.1.20:8088 --token-file magiclick.token
  agentkeys wire xiaozhi ./xiaozhi-server --relay --vendor magiclick --actor O_kevin_001
  agentkeys wire xiaozhi ./xiaozhi-server --dry-run
  agentkeys wire xiaozhi ./xiaozhi-server --check
  agentkeys wire xiaozhi ./xiaozhi-server --remove",
        after_help = "PATH is a checkout, the folder with `data` in it, or the file itself; without it the one around
the current folder is taken. data/.mcp_server_settings.json gets one entry; everything else in it
stays as it is, byte for byte, and a backup lies beside it (.before-agentkeys: the file without us).
With --relay it is the line `mcp_endpoint:` of data/.config.yaml.
The token is made on the spot (--vendor, --actor), read from a file, or kept as it is there. Then
it connects as xiaozhi-server does, and lists the tools.
A server in docker sees another 127.0.0.1: use --url."
    )]
    Xiaozhi(xiaozhi::XiaozhiArgs),
    /// Doubao on Volcano Ark: the tool entry of the Responses API, scripts and console steps.
    #[command(
        before_help = "Examples:
  agentkeys wire volcano-ark
  agentkeys wire volcano-ark ./ark --url https://mcp.example.com/mcp --actor O_kevin_001
  agentkeys wire volcano-ark --only curl
  agentkeys wire volcano-ark tool.json --vendor folotoy --actor O_kevin_001 --with-token
  agentkeys wire volcano-ark --verify --token-file folotoy.token --actor O_kevin_001
  agentkeys wire volcano-ark --verify --ark-key-file ark.key --token-file folotoy.token",
        after_help = "PATH is a folder that gets ark-tool.json, ark.sh, ark.py, CONSOLE.md and CONSOLE_zh.md, or a .json
file that gets the entry alone; without it everything is printed. The token goes into the entry
only --with-token; the scripts read it from AGENTKEYS_TOKEN, and Ark's key from ARK_API_KEY.
--verify asks Ark itself with --ark-key-file, else the built-in stand-in with its scripted model."
    )]
    VolcanoArk(volcano_ark::VolcanoArkArgs),
}

/// What is done with the config.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Doing {
    /// It is written.
    Write,
    /// It is looked at.
    Check,
    /// What was put in is taken out.
    Remove,
    /// It is shown what would be written.
    DryRun,
}

impl Doing {
    /// Why nothing was proved.
    const fn words(self) -> &'static str {
        match self {
            Self::Write => "--no-verify",
            Self::Check => "--check looks at what is written only",
            Self::Remove => "--remove connects to nothing",
            Self::DryRun => "--dry-run writes nothing",
        }
    }
}

/// One of the four.
#[derive(Debug, Clone, Args)]
#[group(multiple = false)]
pub struct Mode {
    /// Only look: exit 6 if the config is not what it has to be.
    #[arg(long)]
    pub check: bool,
    /// Take out exactly what was put in.
    #[arg(long)]
    pub remove: bool,
    /// Print the difference, and write nothing.
    #[arg(long)]
    pub dry_run: bool,
}

impl Mode {
    const fn doing(&self) -> Doing {
        match (self.check, self.remove, self.dry_run) {
            (true, ..) => Doing::Check,
            (_, true, _) => Doing::Remove,
            (.., true) => Doing::DryRun,
            _ => Doing::Write,
        }
    }
}

/// Where the token comes from, and for whom it speaks.
#[derive(Debug, Clone, Args)]
pub struct TokenArgs {
    /// A file with the token, which only you can read.
    #[arg(long, value_name = "F", conflicts_with = "vendor")]
    pub token_file: Option<PathBuf>,
    /// Make a token of this vendor on the spot, in the local data folder.
    #[arg(long, value_name = "V", requires = "actor")]
    pub vendor: Option<String>,
    /// The actor the host acts for: an alias or an omni.
    #[arg(long, value_name = "A")]
    pub actor: Option<String>,
    /// How long a token made on the spot lives.
    #[arg(long, value_name = "TIME", default_value = "90d")]
    pub ttl: Span,
}

/// Runs a `wire` command.
pub async fn run(cmd: WireCmd, ctx: &Ctx) -> Result<(), Problem> {
    match cmd.host {
        Host::Xiaozhi(args) if args.is_relay() => relay::run(&args, ctx).await,
        Host::Xiaozhi(args) => xiaozhi::run(&args, ctx).await,
        Host::VolcanoArk(args) => volcano_ark::run(&args, ctx).await,
    }
}

/// The address of MCP as a host sees it: as named, else the public one, else that of this machine.
fn mcp_url(named: Option<&str>, config: &Config) -> String {
    let url = match (named, &config.server.public_url) {
        (Some(url), _) => url.to_owned(),
        (None, Some(url)) => url.to_string(),
        (None, None) => here(config),
    };
    let rest = url.split_once("://").map_or("", |(_, rest)| rest);
    match rest.split_once('/') {
        None | Some((_, "")) => format!("{}/mcp", url.trim_end_matches('/')),
        Some(_) => url,
    }
}

/// Where the server listens, as this machine reaches it.
fn here(config: &Config) -> String {
    format!("http://{}", crate::config::reached(config.server.listen))
}

/// A config that is not what it has to be.
fn drift(path: &str, host: &str) -> Problem {
    Problem::new(
        Exit::Acceptance,
        "agentkeys.wire.drift",
        format!("{path} is not what it has to be; the difference is above"),
        format!("run `agentkeys wire {host}` again without --check"),
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::config::Flags;

    fn config(file: &str) -> Config {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(crate::config::FILE), file).unwrap();
        Config::load(dir.path(), Flags::default()).unwrap()
    }

    #[test]
    fn the_address_is_named_public_or_here_and_ends_with_mcp() {
        let public = config("[server]\npublic_url = \"https://mcp.example.com\"\n");
        let named = |url| mcp_url(Some(url), &public);
        assert_eq!(named("http://h:1"), "http://h:1/mcp");
        assert_eq!(named("http://h:1/"), "http://h:1/mcp");
        assert_eq!(named("http://h:1/mcp"), "http://h:1/mcp");
        assert_eq!(named("http://h:1/x/mcp/"), "http://h:1/x/mcp/");
        assert_eq!(mcp_url(None, &public), "https://mcp.example.com/mcp");
        let open = config("[server]\nlisten = \"0.0.0.0:8088\"\n");
        assert_eq!(mcp_url(None, &open), "http://127.0.0.1:8088/mcp");
    }
}
