//! `agentkeys` and nothing else: where you stand, and what to do next. It only looks: no key is opened,
//! nothing is written, no row is left.

mod next;
mod show;

use super::Ctx;
use super::health::{self, Alive, NotAlive};
use crate::acceptance::outside::who_answers;
use crate::audit::anchor::AnchorKind;
use crate::authority::ports::Clock as _;
use crate::config::{Config, Tls, reached};
use crate::finding::{Finding, Status};
use crate::folder::seen::{Seen, look};
use crate::folder::system::SystemClock;
use crate::folder::{Begun, other_owner};
use crate::problem::Problem;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long a server on this machine may take to say who it is.
const DEADLINE: Duration = Duration::from_secs(1);

/// All that is known.
struct Facts {
    /// Unix milliseconds.
    now_ms: i64,
    dir: PathBuf,
    why: Why,
    folder: Place,
    /// What the configuration says, or why it says nothing; not read in another's folder.
    config: Option<Result<Told, Problem>>,
    server: Server,
    /// The certificate that is or would be served, where the server has one.
    certificate: Option<Finding>,
}

/// Why it is this folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Why {
    /// It was typed.
    Flag,
    /// The environment names it.
    Environment,
    /// It is the platform's own.
    Usual,
}

/// What is in the folder.
enum Place {
    /// Nothing of ours.
    Missing,
    /// What a run of `init` left that was cut off.
    Unfinished(Begun),
    /// What another user, as `sudo -u` takes it, may look at.
    Others(String, Problem),
    /// What cannot be used.
    Unusable(Problem),
    /// An authority.
    Ready(Box<Seen>),
}

/// What of the configuration matters here.
#[derive(Debug, Clone)]
struct Told {
    public_url: Option<String>,
    behind_proxy: bool,
    tls: &'static str,
    anchor: AnchorKind,
}

/// Who answers where this folder's server would.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Server {
    /// Nobody was asked.
    Unknown,
    /// Nobody.
    Silent(SocketAddr),
    /// This folder's server, of a version.
    Ours(SocketAddr, String),
    /// Somebody else, in words.
    Another(SocketAddr, String),
}

/// Looks, and says it.
pub async fn run(ctx: &Ctx) -> Result<(), Problem> {
    let facts = gather(ctx).await?;
    let next = next::next(&facts);
    show::show(ctx.out, &facts, &next)
}

async fn gather(ctx: &Ctx) -> Result<Facts, Problem> {
    let dir = ctx.dir()?;
    let dir = std::path::absolute(&dir).unwrap_or(dir);
    let why = match (ctx.named_dir(), ctx.typed_dir()) {
        (_, Some(_)) => Why::Flag,
        (Some(_), None) => Why::Environment,
        (None, None) => Why::Usual,
    };
    let now_ms = SystemClock::default().now_ms();
    let folder = place(&dir, now_ms);
    let mut facts = Facts {
        now_ms,
        dir,
        why,
        folder,
        config: None,
        server: Server::Unknown,
        certificate: None,
    };
    let Place::Ready(seen) = &facts.folder else {
        return Ok(facts);
    };
    let config = match Config::load(&facts.dir, crate::config::Flags::default()) {
        Ok(config) => config,
        Err(problem) => {
            facts.config = Some(Err(problem));
            return Ok(facts);
        }
    };
    facts.server = server(config.server.operator_listen, &seen.issuer).await;
    facts.certificate = super::doctor::certificate(&facts.dir, &config);
    facts.config = Some(Ok(told(&config)));
    Ok(facts)
}

fn told(config: &Config) -> Told {
    let tls = match &config.tls {
        Tls::None => "none",
        Tls::Files(_) => "files",
        Tls::Acme(_) => "acme",
    };
    Told {
        public_url: config.server.public_url.as_ref().map(ToString::to_string),
        behind_proxy: !config.server.behind_proxy.is_empty(),
        tls,
        anchor: config.audit.anchor.kind(),
    }
}

fn place(dir: &Path, now_ms: i64) -> Place {
    if let (Some(owner), Err(problem)) = (other_owner(dir), crate::folder::owned(dir)) {
        return Place::Others(owner, problem);
    }
    let ledger = dir.join("ledger.sqlite").symlink_metadata();
    let closed = ledger
        .as_ref()
        .is_err_and(|e| e.kind() == ErrorKind::PermissionDenied);
    match Begun::left_in(dir) {
        Ok(Some(begun)) => return Place::Unfinished(begun),
        Err(problem) if !closed => return Place::Unusable(problem),
        Ok(None) | Err(_) => {}
    }
    match ledger {
        Err(e) if e.kind() == ErrorKind::PermissionDenied => Place::Unusable(Problem::new(
            crate::problem::Exit::Config,
            "agentkeys.folder.closed",
            format!("{} cannot be looked into: {e}", dir.display()),
            "run it as the folder's owner (`sudo -u agentkeys agentkeys`), or name another with --dir",
        )),
        Err(_) => Place::Missing,
        Ok(_) => match look(dir, now_ms) {
            Ok(seen) => Place::Ready(Box::new(seen)),
            Err(problem) => Place::Unusable(problem),
        },
    }
}

/// Who answers where the operator's tools connect.
async fn server(listen: SocketAddr, own: &str) -> Server {
    let at = reached(listen);
    match health::at(at, DEADLINE).await {
        Err(NotAlive::Silent(_)) => Server::Silent(at),
        Err(NotAlive::Strange(problem)) => Server::Another(at, problem.cause),
        Ok(Alive { authority, version }) if authority == own => Server::Ours(at, version),
        Ok(Alive { authority, .. }) => Server::Another(at, who_answers(&authority, at)),
    }
}

/// Whether something is wrong with the certificate that hosts get, or would get.
fn bad(certificate: Option<&Finding>) -> bool {
    certificate.is_some_and(|found| found.status == Status::Failed)
}
