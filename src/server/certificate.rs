//! The certificate in force: read at the start, and again whenever somebody renewed it.

use super::Options;
use crate::authority::ports::Clock;
use crate::config::Tls;
use crate::problem::{Exit, Problem};
use crate::tls::{
    Certificates, Looked, OF_AN_AUTHORITY, PemFiles, Store, exposed_key, server_config,
};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// How often the certificate that a command of ours may have renewed is looked at: whoever ran it tries
/// it next.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The certificate of this server, and who keeps it fresh.
pub(super) struct Keeper {
    pub(super) certificates: Arc<Certificates>,
    files: PemFiles,
    every: Duration,
    clock: Arc<dyn Clock>,
    /// Whoever renewed it, or was told so by SIGHUP.
    pub(super) renewed: Arc<Notify>,
    /// Where somebody else keeps its private key.
    pub(super) key: Option<PathBuf>,
}

impl Keeper {
    /// Reads what there is; nothing for a server that speaks plain HTTP.
    ///
    /// # Errors
    /// When somebody else's files cannot be served: there is nothing to go on with.
    pub(super) fn new(
        dir: &Path,
        options: &Options,
        clock: Arc<dyn Clock>,
    ) -> Result<Option<Self>, Problem> {
        let names = options.names();
        let mut key = None;
        let (files, every, proofs) = match &options.tls {
            Tls::None => return Ok(None),
            Tls::Files(files) => {
                let certificate = dir.join(&files.certificate);
                let path = dir.join(&files.key);
                key = Some(path.clone());
                (PemFiles::new(certificate, path), files.look_every, None)
            }
            Tls::Acme(_) => {
                let store = Store::of(dir);
                let files = PemFiles::new(store.live(), store.live());
                (files, LOOK_EVERY, Some(store))
            }
        };
        let own = proofs.is_none();
        let mut keeper = Self {
            certificates: Arc::new(Certificates::new(names, proofs)),
            files,
            every,
            clock,
            renewed: Arc::new(Notify::new()),
            key,
        };
        if !own && !Store::of(dir).live().exists() {
            tracing::warn!(
                "there is no certificate yet: hosts cannot connect until there is; `agentkeys tls status` says more"
            );
        }
        match keeper.look() {
            Some(error) if own => Err(Problem::new(
                Exit::Config,
                "agentkeys.tls.certificate_unusable",
                error,
                "put the certificate and its key there, or set tls.certificate and tls.key",
            )),
            _ => {
                if let Some(found) = keeper.key.as_deref().and_then(exposed_key) {
                    tracing::warn!(cause = found.cause, fix = found.fix, "the key is open");
                }
                Ok(Some(keeper))
            }
        }
    }

    /// What the listener speaks.
    pub(super) fn config(&self) -> Result<Arc<rustls::ServerConfig>, Problem> {
        let config = server_config(Arc::clone(&self.certificates)).map_err(|e| {
            Problem::new(
                Exit::Failed,
                "agentkeys.tls.setup",
                format!("TLS cannot be spoken: {e}"),
                "this is a fault of the program; report it",
            )
        })?;
        Ok(Arc::new(config))
    }

    /// Looks once; what is wrong with what is there, if it is new.
    fn look(&mut self) -> Option<String> {
        let now = self.clock.now_ms() / 1000;
        match self.files.look() {
            Looked::Same => None,
            Looked::Unusable(error) => Some(error),
            Looked::New(chain) => {
                let facts = chain.facts.clone();
                if let Err(worse) = self.certificates.offer(*chain, now) {
                    return Some(worse.to_string());
                }
                if facts.authority {
                    let (cause, fix) = OF_AN_AUTHORITY;
                    tracing::warn!(cause, fix, "hosts may refuse the certificate");
                }
                if facts.holds_at(now) {
                    let days = (facts.not_after - now) / 86_400;
                    tracing::info!(names = ?facts.names, days, "a certificate is served");
                } else {
                    tracing::error!(
                        names = ?facts.names,
                        "the certificate that is served does not hold now: hosts will refuse it"
                    );
                }
                None
            }
        }
    }

    /// Looks again and again, and when told.
    pub(super) async fn keep(mut self, shutdown: CancellationToken) {
        let mut tick = tokio::time::interval(self.every);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        // What tools that renew certificates send to servers.
        let mut hangup = match signal(SignalKind::hangup()) {
            Ok(hangup) => hangup,
            Err(error) => return tracing::error!(%error, "SIGHUP cannot be caught"),
        };
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                _ = tick.tick() => {}
                () = self.renewed.notified() => {}
                _ = hangup.recv() => {}
            }
            // The files are read where it may take its time.
            let looked = tokio::task::spawn_blocking(move || (self.look(), self)).await;
            let Ok((wrong, back)) = looked else { return };
            self = back;
            if let Some(error) = wrong {
                tracing::error!(%error, "the certificate was not replaced; the one that is served stays");
            }
        }
    }
}
