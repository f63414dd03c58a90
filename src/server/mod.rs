//! The doors that are sockets: wires listeners, routes and the authority together. Doors extract
//! and carry; they decide nothing.

mod audit;
mod caps;
mod devices;
mod edge;
mod endpoint;
mod exchange;
mod knock;
mod lock;
mod ops;
mod parents;
mod proof;
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
use crate::config::AnchorTo;
use crate::folder::Folder;
use crate::jobs::anchor;
use crate::jobs::sealer::{SealError, Sealer};
use crate::problem::{Exit, Problem};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

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
}

/// A server that listens.
pub struct Server {
    app: Arc<App>,
    public: TcpListener,
    operator: TcpListener,
    sealer: Sealer,
    seal_every: Duration,
    anchor: anchor::Job,
    clock: Arc<dyn Clock>,
    /// Held as long as the server lives: one `serve` per folder.
    _lock: lock::FolderLock,
    /// Where hosts connect: `http://…/mcp`.
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
        let public = listen(options.listen, "--listen").await?;
        let operator = listen(options.operator_listen, "--operator-listen").await?;
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
        };
        Ok(Self {
            app: Arc::new(app),
            public,
            operator,
            sealer: folder.sealer(),
            seal_every: options.seal_every,
            anchor,
            clock: folder.clock(),
            _lock: lock,
            mcp_url: format!("http://{public_addr}/mcp"),
            operator_url: format!("http://{operator_addr}"),
        })
    }

    /// Serves until `stop` resolves, then lets what is under way finish.
    ///
    /// # Errors
    /// When a listener breaks.
    pub async fn run(
        self,
        relays: Vec<relay::Connection>,
        stop: impl Future<Output = ()>,
    ) -> Result<(), Problem> {
        let shutdown = self.app.shutdown.clone();
        self.dial(relays);
        let public = routes::serve(self.public, routes::public(&self.app), shutdown.clone());
        let operator = routes::serve(self.operator, routes::operator(&self.app), shutdown.clone());
        let drained = CancellationToken::new();
        let folds = write_folds(Arc::clone(&self.app.authority), drained.clone());
        let folds = tokio::spawn(folds);
        let (newest, seen) = watch::channel(None);
        let sealing = seal(self.sealer, self.seal_every, newest, shutdown.clone());
        let sealing = tokio::spawn(sealing);
        let anchoring = tokio::spawn(self.anchor.run(self.clock, seen, shutdown.clone()));
        let sockets = self.app.sockets.clone();
        sockets.close();
        let serving = async {
            let ended = tokio::join!(public, operator);
            sockets.wait().await;
            ended
        };
        tokio::pin!(serving);
        let ended = tokio::select! {
            ended = &mut serving => ended,
            () = stop => {
                shutdown.cancel();
                let drained = tokio::time::timeout(DRAIN, serving).await;
                drained.unwrap_or_else(|_| {
                    tracing::warn!("some connections did not end in time");
                    (Ok(()), Ok(()))
                })
            }
        };
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
        ended.0.and(ended.1).map_err(|e| socket("a listener", &e))
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
        if !address.ip().is_loopback() && options.proxies.is_empty() {
            return Err(Problem::new(
                Exit::Config,
                "agentkeys.serve.plaintext_refused",
                format!(
                    "{flag} {address} is open to the network, and tokens would travel unencrypted"
                ),
                "listen on 127.0.0.1 behind a proxy that speaks TLS, or name that proxy with --behind-proxy CIDR",
            ));
        }
    }
    Ok(())
}

async fn listen(address: SocketAddr, flag: &str) -> Result<TcpListener, Problem> {
    TcpListener::bind(address)
        .await
        .map_err(|e| socket(&format!("{flag} {address}"), &e))
}

fn socket(what: &str, error: &std::io::Error) -> Problem {
    Problem::new(
        Exit::Failed,
        "agentkeys.serve.socket",
        format!("{what} failed: {error}"),
        "choose another address, or stop what uses it",
    )
}
