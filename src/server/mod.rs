//! The doors that are sockets: wires listeners, routes and the authority together. Doors extract
//! and carry; they decide nothing.

mod answering;
mod audit;
mod caps;
mod certificate;
mod devices;
mod door;
mod edge;
mod endpoint;
mod exchange;
mod knock;
mod listener;
mod lock;
mod metrics;
mod ops;
mod parents;
mod port80;
mod proof;
mod ready;
pub mod relay;
pub mod remote;
mod rest;
mod routes;
mod session;
mod socket;
pub mod stdio;
mod streams;

use crate::audit::anchor::AnchorKind;
use crate::audit::note::SignedNote;
use crate::authority::Authority;
use crate::authority::ports::Clock;
use crate::config::{AnchorTo, Challenge, Tls};
use crate::folder::Folder;
use crate::jobs::anchor;
use crate::jobs::renewal::{By, Desk};
use crate::jobs::sealer::{SealError, Sealer};
use crate::problem::{Exit, Problem};
use crate::tls::{Certificates, Store};
use certificate::Keeper;
use door::Door;
use futures_util::future::{OptionFuture, join_all};
use listener::Listener;
use sd_notify::NotifyState;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use answering::Answering;
#[doc(hidden)]
pub use exchange::Behind;
pub use knock::Proxies;

/// What `serve` was told.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where hosts connect.
    pub listen: SocketAddr,
    /// Where the operator's tools connect.
    pub operator_listen: SocketAddr,
    /// The addresses hosts use, of the server and of the endpoint, as far as they were set.
    pub public_urls: Vec<String>,
    /// Names a `Host` header may have besides loopback and the public name.
    pub allowed_hosts: Vec<String>,
    /// Values an `Origin` header may have besides the public one.
    pub allowed_origins: Vec<String>,
    /// Proxies in front, if there are any.
    pub proxies: Proxies,
    /// How often the log is sealed.
    pub seal_every: Duration,
    /// Where checkpoints go besides.
    pub anchor: AnchorTo,
    /// Where the certificate comes from.
    pub tls: Tls,
}

impl Options {
    /// The names and addresses hosts use, in lower case: what a certificate has to be for.
    pub fn names(&self) -> Vec<String> {
        names(&self.public_urls, &self.tls)
    }
}

/// The names and addresses of these addresses, and those that are asked for besides.
pub fn names(public_urls: &[String], tls: &Tls) -> Vec<String> {
    let urls = public_urls.iter().filter_map(|u| u.parse().ok());
    let mut names: Vec<String> = urls
        .filter_map(|u: http::Uri| Some(u.host()?.to_ascii_lowercase()))
        .map(|h| h.trim_matches(['[', ']']).to_owned())
        .collect();
    if let Tls::Acme(acme) = tls {
        names.extend(acme.names.iter().cloned());
    }
    names.sort();
    names.dedup();
    names
}

/// What every handler needs.
pub(crate) struct App {
    authority: Arc<Authority>,
    names: edge::Names,
    proxies: Proxies,
    exchange: Arc<exchange::Exchange>,
    /// Where checkpoints go besides.
    anchor: AnchorKind,
    streams: Arc<streams::Streams>,
    /// Sockets of the endpoint, by token: a device each.
    endpoints: Arc<streams::Streams>,
    /// What still runs on sockets that HTTP has let go of.
    sockets: TaskTracker,
    /// Room for bodies that are arriving.
    reading: Arc<streams::Streams>,
    shutdown: CancellationToken,
    /// What the server is over, and how it is kept: for whoever asks whether it can work.
    dir: PathBuf,
    clock: Arc<dyn Clock>,
    seal_every: Duration,
    certificates: Option<Arc<Certificates>>,
    /// The file of its private key, when somebody else keeps it.
    key_file: Option<PathBuf>,
    metrics: Arc<metrics::Metrics>,
    /// Who is connected, by listener.
    doors: Doors,
}

/// Room for connections at each listener.
struct Doors {
    public: Arc<Door>,
    operator: Arc<Door>,
    port80: Option<Arc<Door>>,
}

impl Doors {
    fn new(port80: bool) -> Self {
        let door = || Arc::new(Door::new(door::CONNECTIONS));
        Self {
            public: door(),
            operator: door(),
            port80: port80.then(door),
        }
    }

    fn each(&self) -> impl Iterator<Item = (&'static str, &Arc<Door>)> {
        let port80 = self.port80.as_ref();
        [("public", &self.public), ("operator", &self.operator)]
            .into_iter()
            .chain(port80.map(|door| ("port80", door)))
    }
}

/// A server that listens.
pub struct Server {
    app: Arc<App>,
    public: Listener,
    operator: Listener,
    /// Answers at port 80, where TLS needs that.
    port80: Option<Listener>,
    keeper: Option<Keeper>,
    renewal: Option<Desk>,
    sealer: Sealer,
    anchor: anchor::Job,
    /// Held as long as the server lives: one `serve` per folder.
    _lock: lock::FolderLock,
    /// Where hosts connect: `http://…/mcp`, or `https://…/mcp`.
    pub mcp_url: String,
    /// Where the operator's tools connect: `http://…`.
    pub operator_url: String,
}

impl Server {
    /// Takes the folder's lock and the sockets.
    pub async fn bind(folder: &Folder, options: &Options) -> Result<Self, Problem> {
        let tools = Behind::tools(&folder.authority);
        Self::bind_before(folder, options, tools, CancellationToken::new()).await
    }

    /// The same doors, with something else behind them.
    #[doc(hidden)]
    pub async fn bind_before(
        folder: &Folder,
        options: &Options,
        behind: Behind,
        shutdown: CancellationToken,
    ) -> Result<Self, Problem> {
        refuse_open_plaintext(options)?;
        let lock = lock::FolderLock::take(&folder.dir)?;
        let anchor = folder.anchor(&options.anchor).await?;
        let keeper = Keeper::new(&folder.dir, options, folder.clock())?;
        let renewal = renewal(folder, options)?;
        let public = listen(options.listen, "--listen").await?;
        let operator = listen(options.operator_listen, "--operator-listen").await?;
        let port80 = port80(options).await?;
        let local = |l: &TcpListener| l.local_addr().map_err(|e| socket("a socket", &e));
        let (public_addr, operator_addr) = (local(&public)?, local(&operator)?);
        let exchange = exchange::Exchange::before(Arc::clone(&folder.authority), behind);
        let app = App {
            authority: Arc::clone(&folder.authority),
            names: edge::Names::new(options),
            proxies: options.proxies.clone(),
            exchange: Arc::new(exchange),
            anchor: options.anchor.kind(),
            streams: Arc::new(streams::Streams::new(streams::FEEDS)),
            endpoints: Arc::new(streams::Streams::new(streams::SOCKETS)),
            sockets: TaskTracker::new(),
            reading: Arc::new(streams::Streams::new(streams::BODIES)),
            shutdown,
            dir: folder.dir.clone(),
            clock: folder.clock(),
            seal_every: options.seal_every,
            certificates: keeper.as_ref().map(|k| Arc::clone(&k.certificates)),
            key_file: keeper.as_ref().and_then(|k| k.key.clone()),
            metrics: Arc::new(metrics::Metrics::new(folder.clock())),
            doors: Doors::new(port80.is_some()),
        };
        let meter: Arc<metrics::Metrics> = Arc::clone(&app.metrics);
        app.authority.metered_by(meter);
        let app = Arc::new(app);
        let scheme = if keeper.is_some() { "https" } else { "http" };
        let tls = keeper.as_ref().map(Keeper::config).transpose()?;
        let doors = &app.doors;
        let port80 = port80.zip(doors.port80.clone()).map(|(socket, door)| {
            let routes = port80::routes(Store::of(&folder.dir), options.names());
            Listener::new(socket, routes).through(door)
        });
        Ok(Self {
            public: Listener::new(public, routes::public(&app))
                .through(Arc::clone(&doors.public))
                .over_tls(tls)
                .behind(options.proxies.clone()),
            operator: Listener::new(operator, routes::operator(&app))
                .through(Arc::clone(&doors.operator)),
            port80,
            keeper,
            renewal,
            app,
            sealer: folder.sealer(),
            anchor,
            _lock: lock,
            mcp_url: format!("{scheme}://{public_addr}/mcp"),
            operator_url: format!("http://{operator_addr}"),
        })
    }

    /// Serves until `stop` resolves, then lets what is under way finish.
    pub async fn run(self, relays: Vec<relay::Connection>, stop: impl Future<Output = ()>) {
        let shutdown = self.app.shutdown.clone();
        self.dial(relays);
        let doors = [Some(self.public), Some(self.operator), self.port80];
        let doors = doors.into_iter().flatten();
        let doors = join_all(doors.map(|d| d.run(shutdown.clone())));
        let drained = CancellationToken::new();
        let folds = write_folds(Arc::clone(&self.app.authority), drained.clone());
        let folds = tokio::spawn(folds);
        let (newest, seen) = watch::channel(None);
        let sealing = seal(self.sealer, self.app.seal_every, newest, shutdown.clone());
        let sealing = tokio::spawn(sealing);
        let anchoring = tokio::spawn(self.anchor.run(
            Arc::clone(&self.app.clock),
            seen,
            shutdown.clone(),
        ));
        let sockets = self.app.sockets.clone();
        sockets.close();
        let renewed = self.keeper.as_ref().map(|k| Arc::clone(&k.renewed));
        let renewing = self.renewal.zip(renewed);
        let renewing = renewing.map(|(desk, renewed)| desk.run(renewed, shutdown.clone()));
        let renewing = renewing.map(tokio::spawn);
        let keeping = self.keeper.map(|k| tokio::spawn(k.keep(shutdown.clone())));
        let serving = tokio::spawn(async move {
            doors.await;
            sockets.wait().await;
        });
        notify(&NotifyState::Ready);
        stop.await;
        notify(&NotifyState::Stopping);
        shutdown.cancel();
        match tokio::time::timeout(DRAIN, serving).await {
            Err(_) => tracing::warn!("some connections did not end in time"),
            Ok(Err(error)) => tracing::error!(%error, "a listener did not end as it should"),
            Ok(Ok(())) => {}
        }
        if let Some(Err(error)) = OptionFuture::from(renewing).await {
            tracing::error!(%error, "the certificate was not renewed to the end; what was begun is kept");
        }
        if let Some(Err(error)) = OptionFuture::from(keeping).await {
            tracing::error!(%error, "the certificate was not looked after to the end");
        }
        // What was refused while draining is counted too.
        drained.cancel();
        if let Err(error) = folds.await {
            tracing::error!(%error, "the last folded refusals were not written");
        }
        if let Err(error) = sealing.await {
            tracing::error!(%error, "the log was not sealed at the end");
        }
        if let Err(error) = anchoring.await {
            tracing::error!(%error, "the anchor did not end as it should; what it sent is kept");
        }
    }
}

impl Server {
    /// Keeps connections to relays until the shutdown.
    fn dial(&self, relays: Vec<relay::Connection>) {
        if relays.is_empty() {
            return;
        }
        let tell: relay::Tell = Arc::new(|name, news| match news {
            relay::News::Serving => tracing::info!(connection = name, "served through its relay"),
            relay::News::Waiting {
                code, cause, fix, ..
            } => {
                tracing::warn!(
                    connection = name,
                    code,
                    cause,
                    fix,
                    "not served through its relay"
                );
            }
        });
        let relay = Arc::new(relay::Relay::over(
            Arc::clone(&self.app.authority),
            Arc::clone(&self.app.exchange),
            self.app.shutdown.clone(),
            tell,
        ));
        for connection in relays {
            let relay = Arc::clone(&relay);
            let kept = Box::pin(async move { relay.keep(&connection).await });
            self.app.sockets.spawn(kept);
        }
    }
}

/// How long open requests may take to end after a stop.
const DRAIN: Duration = Duration::from_secs(10);

/// How often folded refusals are written.
const FOLD_EVERY: Duration = Duration::from_secs(5);

/// Writes folded refusals until nobody can be refused any more.
async fn write_folds(authority: Arc<Authority>, drained: CancellationToken) {
    let mut tick = tokio::time::interval(FOLD_EVERY);
    loop {
        tokio::select! {
            _ = tick.tick() => authority.write_folds(false).await,
            () = drained.cancelled() => return authority.write_folds(true).await,
        }
    }
}

/// Seals the log again and again: at once, for what was left when the process before this one ended.
async fn seal(
    sealer: Sealer,
    every: Duration,
    newest: watch::Sender<Option<SignedNote>>,
    shutdown: CancellationToken,
) {
    let mut tick = tokio::time::interval(every);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            () = shutdown.cancelled() => return,
        }
        let ended = sealer.seal(Duration::ZERO).await;
        if let Ok(done) = &ended {
            newest.send_if_modified(|newest| {
                newest.replace(done.note.clone()).as_ref() != Some(&done.note)
            });
        }
        match ended {
            Ok(done) if done.added > 0 => {
                tracing::info!(
                    size = done.checkpoint.size(),
                    added = done.added,
                    "the log is sealed"
                );
            }
            // Somebody else is at it, which is as good.
            Ok(_) | Err(SealError::Busy) => {}
            Err(error) => {
                tracing::error!(%error, "the log was not sealed; `agentkeys audit fsck` looks");
            }
        }
        if let Err(error) = sealer.sweep().await {
            tracing::error!(%error, "pruned events are still on the disk");
        }
    }
}

/// Tokens would cross the network in the clear.
fn refuse_open_plaintext(options: &Options) -> Result<(), Problem> {
    for (address, flag) in [
        (options.listen, "--listen"),
        (options.operator_listen, "--operator-listen"),
    ] {
        let secure = flag == "--listen" && options.tls != Tls::None;
        if !secure && !address.ip().is_loopback() && options.proxies.is_empty() {
            let fix = if flag == "--operator-listen" {
                "keep it on 127.0.0.1: whoever is elsewhere comes through a tunnel such as ssh's"
            } else {
                "set tls.mode, or listen on 127.0.0.1 behind a proxy that speaks TLS, or name that proxy with --behind-proxy CIDR"
            };
            return Err(Problem::new(
                Exit::Config,
                "agentkeys.serve.plaintext_refused",
                format!(
                    "{flag} {address} is open to the network, and tokens would travel unencrypted"
                ),
                fix,
            ));
        }
    }
    Ok(())
}

/// What gets the certificate, if that is ours to get.
///
/// # Errors
/// When it can never be got as things are configured.
fn renewal(folder: &Folder, options: &Options) -> Result<Option<Desk>, Problem> {
    let Tls::Acme(acme) = &options.tls else {
        return Ok(None);
    };
    let tell: crate::tls::acme::Tell = Box::new(|what| tracing::info!("{what}"));
    let desk = folder.certificates(acme, &options.names(), tell, By::Work);
    desk.acme.check()?;
    Ok(Some(desk))
}

/// The socket at port 80, when the ACME server comes there.
async fn port80(options: &Options) -> Result<Option<TcpListener>, Problem> {
    let Tls::Acme(acme) = &options.tls else {
        return Ok(None);
    };
    if acme.challenge != Challenge::Http01 {
        return Ok(None);
    }
    let socket = listen(acme.http_listen, "tls.http_listen").await?;
    Ok(Some(socket))
}

/// Tells systemd, if it started this process.
fn notify(state: &NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(std::slice::from_ref(state)) {
        tracing::warn!(%error, "systemd was not told");
    }
}

async fn listen(address: SocketAddr, flag: &str) -> Result<TcpListener, Problem> {
    TcpListener::bind(address)
        .await
        .map_err(|e| socket(&format!("{flag} {address}"), &e))
}

fn socket(what: &str, error: &std::io::Error) -> Problem {
    let fix = match error.kind() {
        std::io::ErrorKind::PermissionDenied => {
            "ports below 1024 need CAP_NET_BIND_SERVICE: `agentkeys deploy systemd` gives it; or choose another port"
        }
        _ => "choose another address, or stop what uses it",
    };
    let cause = format!("{what} failed: {error}");
    Problem::new(Exit::Failed, "agentkeys.serve.socket", cause, fix)
}
