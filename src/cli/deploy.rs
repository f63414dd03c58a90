//! `agentkeys deploy …`: what the machines around the server read, made to fit its configuration.

mod steps;

use super::Ctx;
use super::args::{domain, public_url};
use super::out::{Tone, write_line};
use crate::config::{Config, Flags};
use crate::problem::{Exit, Problem};
use crate::publish::deploy::{
    Bundle, Certificate, Files, Outcome, Service, Site, State, Told, Watch, guarded, tunnel,
};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// Where a service keeps its data, unless told otherwise.
const DIR: &str = "/var/lib/agentkeys";

/// Write what runs the server, stands in front of it or watches it.
#[derive(Debug, Args)]
#[command(
    before_help = "Examples:
  agentkeys deploy systemd --out /etc/systemd/system
  agentkeys deploy caddy --out /etc/caddy --replace
  agentkeys deploy compose --domain example.com --out ./agentkeys",
    after_help = "It reads agentkeys.toml of --dir. Without --out the files are printed; with it they are
written without a question. A file that is as it has to be is left alone; an older one of ours is
shown as a difference, replaced, and kept beside it (.before-agentkeys, then .1, .2, …). A file
that somebody else wrote is not touched, unless --replace puts it aside in the same way."
)]
pub struct DeployCmd {
    /// What to write.
    #[command(subcommand)]
    pub kind: Kind,
}

/// What can be written.
#[derive(Debug, Subcommand)]
pub enum Kind {
    /// A hardened systemd unit.
    #[command(before_help = "Examples:
  agentkeys deploy systemd --out /etc/systemd/system
  agentkeys deploy systemd --program /usr/local/bin/agentkeys --user agentkeys")]
    Systemd {
        #[allow(missing_docs)]
        #[command(flatten)]
        to: To,
        /// Whom it runs as; the data folder is theirs.
        #[arg(long, value_name = "USER", default_value = "agentkeys")]
        user: String,
        /// The program to run [default: this one].
        #[arg(long, value_name = "PATH")]
        program: Option<PathBuf>,
        /// A folder besides the data folder that it may write to; can be repeated.
        #[arg(long, value_name = "DIR")]
        writable: Vec<PathBuf>,
    },
    /// A Containerfile: no root, no shell, a health check.
    #[command(before_help = "Examples:
  agentkeys deploy container --out ./image")]
    Container {
        #[allow(missing_docs)]
        #[command(flatten)]
        to: To,
    },
    /// A compose file: the server, and Caddy in front of it.
    #[command(before_help = "Examples:
  agentkeys deploy compose --domain example.com --out ./agentkeys")]
    Compose {
        #[allow(missing_docs)]
        #[command(flatten)]
        to: To,
        #[allow(missing_docs)]
        #[command(flatten)]
        named: Named,
    },
    /// A Caddyfile; Caddy gets its certificate itself.
    #[command(before_help = "Examples:
  agentkeys deploy caddy --out /etc/caddy --replace
  agentkeys deploy caddy --certificate /etc/tls/mcp.pem --certificate-key /etc/tls/mcp.key")]
    Caddy {
        #[allow(missing_docs)]
        #[command(flatten)]
        to: To,
        #[allow(missing_docs)]
        #[command(flatten)]
        named: Named,
        #[allow(missing_docs)]
        #[command(flatten)]
        tls: Pair,
    },
    /// A site for nginx.
    #[command(before_help = "Examples:
  agentkeys deploy nginx --out /etc/nginx/conf.d
  agentkeys deploy nginx --certificate /etc/tls/mcp.pem --certificate-key /etc/tls/mcp.key")]
    Nginx {
        #[allow(missing_docs)]
        #[command(flatten)]
        to: To,
        #[allow(missing_docs)]
        #[command(flatten)]
        named: Named,
        #[allow(missing_docs)]
        #[command(flatten)]
        tls: Pair,
    },
    /// The configuration of a Cloudflare Tunnel; written from documents.
    #[command(before_help = "Examples:
  agentkeys deploy cloudflared --tunnel 6ff42ae2-765d-4adf-8112-31c55c1551ef --out /etc/cloudflared")]
    Cloudflared {
        #[allow(missing_docs)]
        #[command(flatten)]
        to: To,
        #[allow(missing_docs)]
        #[command(flatten)]
        named: Named,
        /// The tunnel's id, as `cloudflared tunnel create` says it.
        #[arg(long, value_name = "UUID")]
        tunnel: String,
    },
    /// What Prometheus scrapes, its alerts, and a board for Grafana.
    #[command(before_help = "Examples:
  agentkeys deploy monitoring --out /etc/prometheus/agentkeys")]
    Monitoring {
        #[allow(missing_docs)]
        #[command(flatten)]
        to: To,
    },
}

/// Where to.
#[derive(Debug, Clone, Args)]
pub struct To {
    /// The folder to write into [default: stdout].
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Put a file that somebody else wrote aside, and write ours in its place.
    #[arg(long, requires = "out")]
    pub replace: bool,
}

/// Under which name.
#[derive(Debug, Clone, Args)]
pub struct Named {
    /// Hosts call `https://mcp.D/mcp` (`https://D/mcp` when D begins with `mcp.`), where the
    /// configuration does not say so.
    #[arg(long, value_name = "D", value_parser = domain)]
    pub domain: Option<String>,
}

/// A certificate that somebody renews.
#[derive(Debug, Clone, Args)]
pub struct Pair {
    /// The certificate, PEM [default: Caddy gets one, nginx takes certbot's].
    #[arg(long, value_name = "FILE", requires = "certificate_key")]
    pub certificate: Option<PathBuf>,
    /// Its private key, PEM.
    #[arg(long, value_name = "FILE", requires = "certificate")]
    pub certificate_key: Option<PathBuf>,
}

impl Pair {
    fn files(&self) -> Result<Option<Certificate>, Problem> {
        let (Some(chain), Some(key)) = (&self.certificate, &self.certificate_key) else {
            return Ok(None);
        };
        Ok(Some(Certificate::new(&absolute(chain)?, &absolute(key)?)?))
    }
}

impl Kind {
    const fn name(&self) -> &'static str {
        match self {
            Self::Systemd { .. } => "systemd",
            Self::Container { .. } => "container",
            Self::Compose { .. } => "compose",
            Self::Caddy { .. } => "caddy",
            Self::Nginx { .. } => "nginx",
            Self::Cloudflared { .. } => "cloudflared",
            Self::Monitoring { .. } => "monitoring",
        }
    }

    const fn to(&self) -> &To {
        match self {
            Self::Systemd { to, .. }
            | Self::Container { to }
            | Self::Compose { to, .. }
            | Self::Caddy { to, .. }
            | Self::Nginx { to, .. }
            | Self::Cloudflared { to, .. }
            | Self::Monitoring { to } => to,
        }
    }

    fn bundle(&self, config: &Config, dir: &Path) -> Result<Bundle, Problem> {
        let site = |named: &Named| {
            let url = named.domain.as_deref().map(public_url);
            Site::read(config, url.as_deref())
        };
        Ok(match self {
            Self::Systemd {
                user,
                program,
                writable,
                ..
            } => {
                let program = match program {
                    Some(program) => absolute(program)?,
                    None => std::env::current_exe().map_err(|e| nameless(&e))?,
                };
                let writable: Result<Vec<_>, _> = writable.iter().map(|w| absolute(w)).collect();
                let service = Service::new(config, dir, &program, user, &writable?)?;
                guarded(&program, user)?;
                Bundle::Systemd(service)
            }
            Self::Container { .. } => Bundle::Container,
            Self::Compose { named, .. } => Bundle::Compose(site(named)?),
            Self::Caddy { named, tls, .. } => Bundle::Caddy(site(named)?, tls.files()?),
            Self::Nginx { named, tls, .. } => {
                let site = site(named)?;
                let certbot = || Certificate::of_certbot(&site.names[0]);
                let certificate = tls.files()?.unwrap_or_else(certbot);
                Bundle::Nginx(site, certificate)
            }
            Self::Cloudflared {
                named, tunnel: id, ..
            } => Bundle::Cloudflared(site(named)?, tunnel(id)?),
            Self::Monitoring { .. } => Bundle::Monitoring(Watch::of(config)),
        })
    }
}

fn absolute(path: &Path) -> Result<PathBuf, Problem> {
    std::path::absolute(path).map_err(|e| {
        Problem::new(
            Exit::Usage,
            "agentkeys.usage",
            format!("{} is no path: {e}", path.display()),
            "name a file",
        )
    })
}

fn nameless(error: &std::io::Error) -> Problem {
    Problem::new(
        Exit::Failed,
        "agentkeys.deploy.program_unknown",
        format!("where this program lies cannot be found out: {error}"),
        "name it with --program",
    )
}

/// Runs it. The folder is not opened: only its configuration is read.
pub fn run(cmd: &DeployCmd, ctx: &Ctx) -> Result<(), Problem> {
    let dir = absolute(ctx.named_dir().unwrap_or(Path::new(DIR)))?;
    let config = Config::load(&dir, Flags::default())?;
    let bundle = cmd.kind.bundle(&config, &dir)?;
    let to = cmd.kind.to();
    let out = to.out.as_deref().map(absolute).transpose()?;
    let next = steps::next(&cmd.kind, &config, &bundle, out.as_deref());
    let mut answer = json!({
        "kind": cmd.kind.name(), "behind_proxy": bundle.behind_proxy(), "next": next,
    });
    let assumed = assumed(&cmd.kind, &dir);
    if let Some(assumed) = &assumed {
        answer["assumed"] = assumed.as_str().into();
    }
    match out {
        Some(out) => write(ctx, &out, &bundle, to.replace, answer)?,
        None => print(ctx, &bundle, answer)?,
    }
    if let Some(assumed) = assumed {
        ctx.out.note(&assumed);
    }
    for step in next {
        ctx.out.next(&step);
    }
    Ok(())
}

/// What a unit rests on that nobody said.
fn assumed(kind: &Kind, dir: &Path) -> Option<String> {
    let file = dir.join(crate::config::FILE);
    let says = matches!(kind, Kind::Systemd { .. }) && !file.exists();
    says.then(|| {
        format!(
            "There is no {}, so what is not set otherwise is as usual: it listens on 127.0.0.1:8088, without \
             TLS and without the right to ports below 1024. Run this again when there is one.",
            file.display()
        )
    })
}

fn write(
    ctx: &Ctx,
    folder: &Path,
    bundle: &Bundle,
    replace: bool,
    mut answer: Value,
) -> Result<(), Problem> {
    let files = Files::read(folder, bundle, replace)?;
    let told = files.told();
    let done = files.write()?;
    answer["files"] = json!(done.files);
    answer["changed"] = json!(done.changed);
    answer["backups"] = json!(done.backups);
    let diffs: String = told.iter().map(|t| t.diff.as_str()).collect();
    answer["diff"] = diffs.into();
    ctx.out.answer(&answer, || tell(ctx, &done, &told))
}

fn tell(ctx: &Ctx, done: &Outcome, told: &[Told]) -> Result<(), Problem> {
    for file in told {
        let (path, lines) = (file.path.display(), file.lines);
        let line = match file.state {
            State::New => format!("wrote {path}: a new file, {lines} lines"),
            State::Same => format!("is as it has to be: {path}"),
            State::Ours => {
                show(ctx, &file.diff)?;
                format!("wrote {path}")
            }
            State::Edited => format!("wrote {path} in the place of one that somebody had edited"),
            State::Foreign => format!("wrote {path} in the place of a file that was not ours"),
        };
        ctx.out.line(&line)?;
    }
    for backup in &done.backups {
        let line = format!("what was there before: {}", backup.display());
        ctx.out.line(&line)?;
    }
    Ok(())
}

fn show(ctx: &Ctx, diff: &str) -> Result<(), Problem> {
    for line in diff.lines() {
        let tone = match line.as_bytes().first() {
            Some(b'+') => Tone::Good,
            Some(b'-') => Tone::Bad,
            _ => Tone::Faint,
        };
        let line = line.replace('\t', "    ");
        ctx.out.painted(&ctx.out.paint(&line, tone))?;
    }
    Ok(())
}

fn print(ctx: &Ctx, bundle: &Bundle, mut answer: Value) -> Result<(), Problem> {
    let files = bundle.files()?;
    let texts = files
        .iter()
        .map(|(name, text)| ((*name).to_owned(), text.as_str().into()));
    answer["files"] = json!([]);
    answer["texts"] = Value::Object(texts.collect());
    ctx.out.answer(&answer, || {
        for (name, text) in &files {
            if files.len() > 1 {
                ctx.out.line(&format!("# ---- {name}"))?;
            }
            // What came from outside was checked; the rest is ours, tabs too.
            write_line(text.trim_end())?;
        }
        Ok(())
    })
}
