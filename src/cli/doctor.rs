//! `agentkeys doctor`: what is wrong, why, and what to do about it.

use super::Ctx;
use super::args::quoted;
use crate::acceptance::outside::{self, Credentials, Finding, Status};
use crate::acceptance::{AcceptError, Trust};
use crate::authority::ports::Clock as _;
use crate::config::{Challenge, Config, Tls, reached};
use crate::folder::system::SystemClock;
use crate::operate;
use crate::problem::{Exit, Problem};
use crate::rails::wire;
use crate::tls::{Looked, PemFiles, Store, exposed_key};
use clap::Args;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long our own server may take to say how it is.
const OWN: Duration = Duration::from_secs(10);

/// What is done about a server that does not run.
const SERVE: &str = "agentkeys serve";

/// Look for what keeps hosts from being served.
#[derive(Debug, Args)]
#[command(
    before_help = "Examples:
  agentkeys doctor
  agentkeys doctor --url https://mcp.example.com
  agentkeys doctor --url https://mcp.example.com --token-file kevin.token --json",
    after_help = "Without --url it looks at this machine: the folder, the configuration, the server, and the
public address as it is seen from here. With --url it looks at a server as hosts reach it, from
wherever it is run, and needs no folder. It exits 6 when something does not work."
)]
pub struct DoctorCmd {
    /// The server as hosts reach it, with or without `/mcp`.
    #[arg(long, value_name = "U")]
    url: Option<String>,
    /// A file with a vendor's token, to shake hands as its hosts do.
    #[arg(long, value_name = "FILE", env = "AGENTKEYS_TOKEN_FILE")]
    token_file: Option<PathBuf>,
    /// The actor to speak for, when the token is not one actor's own.
    #[arg(long, value_name = "A", requires = "token_file")]
    actor: Option<String>,
    /// A PEM file of a certificate authority to trust besides the usual ones.
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
}

/// Runs `doctor`.
pub async fn run(cmd: DoctorCmd, ctx: &Ctx) -> Result<(), Problem> {
    let trust = Trust::read(cmd.ca_file.as_deref()).map_err(|e| unusable(&e))?;
    let token = cmd.token_file.as_deref().map(super::args::token_file);
    let token = token.transpose()?;
    let (mut found, looked) = match cmd.url {
        Some(url) => (Vec::new(), Some((url, None))),
        None => here(ctx).await,
    };
    if let Some((url, own)) = looked {
        let who = token.as_ref().map(|token| Credentials {
            token: token.expose(),
            actor: cmd.actor.as_deref(),
        });
        let now_s = SystemClock::default().now_ms() / 1000;
        let looked = outside::look(&url, own.as_deref(), &trust, who.as_ref(), now_s).await;
        found.extend(looked.map_err(|e| unusable(&e))?);
    }
    // The folder that was typed is typed again.
    if let Some(dir) = ctx.typed_dir() {
        let dir = quoted(&dir.display().to_string());
        for finding in found.iter_mut().filter(|f| f.fix == SERVE) {
            finding.fix = format!("{SERVE} --dir {dir}");
        }
    }
    report(ctx, &found)
}

/// What was given and cannot be used; what the server does is found and no error.
fn unusable(error: &AcceptError) -> Problem {
    Problem::new(
        Exit::Config,
        "agentkeys.doctor.input_invalid",
        error.to_string(),
        "write an address such as https://mcp.example.com, and name a PEM file with --ca-file",
    )
}

fn report(ctx: &Ctx, found: &[Finding]) -> Result<(), Problem> {
    let told: Vec<Value> = found.iter().map(Finding::to_json).collect();
    let count = |status| found.iter().filter(|f| f.status == status).count();
    let (failed, warned) = (count(Status::Failed), count(Status::Warn));
    let answer = json!({"ok": failed == 0, "failed": failed, "warned": warned, "findings": told});
    ctx.out.answer(&answer, || {
        let keys = ["id", "status", "cause", "fix"];
        let row = |f: &Value| keys.map(|key| operate::text(f, key).to_owned()).to_vec();
        ctx.out.table(&keys, told.iter().map(row).collect())
    })?;
    let ids = found.iter().filter(|f| f.status == Status::Failed);
    let ids: Vec<&str> = ids.map(|f| f.id.as_str()).collect();
    if ids.is_empty() {
        return Ok(());
    }
    Err(Problem::new(
        Exit::Acceptance,
        "agentkeys.doctor.found",
        format!(
            "of {} things looked at, {} failed: {}",
            found.len(),
            failed,
            ids.join(", ")
        ),
        "each has its own fix above; begin with the first",
    ))
}

/// Looks at this machine; and the address to look at from outside, if there is one, with the authority
/// that has to answer there.
async fn here(ctx: &Ctx) -> (Vec<Finding>, Option<(String, Option<String>)>) {
    let (dir, config) = match ctx.dir().and_then(|dir| Ok((dir, ctx.config()?))) {
        Ok(both) => both,
        Err(problem) => return (vec![failed("config", problem)], None),
    };
    let mut found = vec![Finding::ok("config", dir.display().to_string())];
    let own = match ctx.open().await {
        Ok(folder) => folder.authority.issuer().to_owned(),
        Err(problem) => {
            found.push(failed("folder", problem));
            return (found, None);
        }
    };
    found.push(Finding::ok(
        "folder",
        "it opens, and nobody else can read it",
    ));
    let serving = server(&config, &own, &mut found).await;
    if !serving {
        // A server that hosts are told of is missed.
        if config.server.public_url.is_some()
            && let Some(server) = found.last_mut()
        {
            server.status = Status::Failed;
        }
        found.extend(sockets(&config).await);
        found.extend(certificate(&dir, &config));
        if let Tls::Files(files) = &config.tls {
            found.extend(exposed_key(&dir.join(&files.key)));
        }
    }
    let Some(url) = &config.server.public_url else {
        found.push(Finding::new(
            "public_url",
            Status::Warn,
            "no address for hosts is set: only this machine can use the server",
            "set [server] public_url, or run `agentkeys init --domain D` in a new folder",
        ));
        return (found, None);
    };
    if !serving {
        let cause = format!("{url} was not tried: no server runs here");
        found.push(Finding::new("public_url", Status::Skipped, cause, SERVE));
        return (found, None);
    }
    (found, Some((url.to_string(), Some(own))))
}

fn failed(id: &str, problem: Problem) -> Finding {
    Finding::new(id, Status::Failed, problem.cause, problem.fix)
}

/// What the server that runs over this folder says of itself; false when none does.
async fn server(config: &Config, own: &str, found: &mut Vec<Finding>) -> bool {
    let at = reached(config.server.operator_listen);
    let said = match ask(&format!("http://{at}/healthz")).await {
        Ok(said) => said,
        Err(cause) => {
            let cause = format!("no server answers at {at}: {cause}");
            found.push(Finding::new("server", Status::Warn, cause, SERVE));
            return false;
        }
    };
    if said["authority"] != own {
        let cause = if said["name"] == "agentkeys" {
            outside::who_answers(operate::text(&said, "authority"), at)
        } else {
            format!("something that is not AgentKeys answers at {at}")
        };
        let fix = "stop it, or give this folder's server another server.operator_listen and \
                   server.listen";
        found.push(Finding::new("server", Status::Failed, cause, fix));
        return false;
    }
    let said = match ask(&format!("http://{at}/readyz")).await {
        Ok(said) => said,
        Err(cause) => {
            let fix = "look at the server's log";
            found.push(Finding::new("server", Status::Failed, cause, fix));
            return true;
        }
    };
    found.push(Finding::ok("server", format!("it answers at {at}")));
    let checks = said["checks"].as_array().into_iter().flatten();
    found.extend(checks.map(|check| {
        let status = match operate::text(check, "status") {
            "ok" => Status::Ok,
            "warn" => Status::Warn,
            _ => Status::Failed,
        };
        let (id, cause) = (operate::text(check, "id"), operate::text(check, "cause"));
        Finding::new(id, status, cause, operate::text(check, "fix"))
    }));
    true
}

async fn ask(url: &str) -> Result<Value, String> {
    let url = wire::parse_url("the operator's listener", url).map_err(|e| e.to_string())?;
    let client = wire::client(&url, OWN, &wire::CaFile::default()).map_err(|e| e.to_string())?;
    let asked = client.get(url).timeout(OWN).send().await;
    let answer = asked.map_err(|e| wire::chain(&e))?;
    answer.json().await.map_err(|e| wire::chain(&e))
}

/// Whether a server could listen where it is told to.
async fn sockets(config: &Config) -> Vec<Finding> {
    let mut wanted = vec![
        ("server.listen", config.server.listen),
        ("server.operator_listen", config.server.operator_listen),
    ];
    if let Tls::Acme(acme) = &config.tls
        && acme.challenge == Challenge::Http01
    {
        wanted.push(("tls.http_listen", acme.http_listen));
    }
    let mut found = Vec::new();
    for (key, address) in wanted {
        let Err(error) = tokio::net::TcpListener::bind(address).await else {
            found.push(Finding::ok(key, format!("{address} is free")));
            continue;
        };
        let fix = match error.kind() {
            std::io::ErrorKind::PermissionDenied => {
                "run it as a service that may (agentkeys deploy systemd), or use ports from 1024 up"
            }
            std::io::ErrorKind::AddrInUse => "stop what listens there, or set another address",
            _ => "set an address of this machine",
        };
        found.push(Finding::new(
            key,
            Status::Failed,
            format!("{address}: {error}"),
            fix,
        ));
    }
    found
}

/// The certificate that a server would begin with.
pub(super) fn certificate(dir: &Path, config: &Config) -> Option<Finding> {
    let id = "certificate";
    let (mut files, absent) = match &config.tls {
        Tls::None => return None,
        Tls::Files(files) => {
            let (certificate, key) = (dir.join(&files.certificate), dir.join(&files.key));
            (PemFiles::new(certificate, key), Status::Failed)
        }
        Tls::Acme(_) => {
            let live = Store::of(dir).live();
            if !live.exists() {
                let cause = "there is none yet; the server gets one";
                return Some(Finding::new(id, Status::Warn, cause, SERVE));
            }
            (PemFiles::new(live.clone(), live), Status::Warn)
        }
    };
    let now = SystemClock::default().now_ms() / 1000;
    Some(match files.look() {
        Looked::New(chain) if chain.facts.holds_at(now) => {
            let mut lacking = super::tls::names(config);
            lacking.retain(|name| !chain.facts.is_for(name));
            if lacking.is_empty() {
                let days = (chain.facts.not_after - now) / 86_400;
                return Some(Finding::ok(id, format!("{days} days left")));
            }
            let cause = format!(
                "it is for {}, and not for {}",
                chain.facts.names.join(", "),
                lacking.join(", ")
            );
            Finding::new(id, absent, cause, "get one for every name hosts use")
        }
        Looked::New(_) => Finding::new(
            id,
            absent,
            "it does not hold now",
            "renew it, or look at this machine's clock",
        ),
        Looked::Unusable(cause) => {
            Finding::new(id, absent, cause, "put a certificate and its key there")
        }
        Looked::Same => return None,
    })
}
