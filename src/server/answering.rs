//! The doors an ACME server knocks at, for a command that gets a certificate while no server runs.

use super::listener::Listener;
use super::{lock, port80};
use crate::config::{Acme, Challenge};
use crate::problem::{Exit, Problem};
use crate::tls::{Certificates, Store, server_config};
use axum::Router;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// Answers until it is dropped.
#[derive(Debug)]
pub struct Answering {
    stop: Option<CancellationToken>,
}

impl Answering {
    /// Answers for a data folder, unless its server does; `listen` is where that one would.
    pub async fn beside(
        dir: &Path,
        acme: &Acme,
        names: &[String],
        listen: SocketAddr,
    ) -> Result<Self, Problem> {
        // The server of this folder shares the files with us and holds the port.
        let lock = match lock::FolderLock::take(dir) {
            Ok(lock) => lock,
            Err(problem) if problem.code == lock::TAKEN => return Ok(Self { stop: None }),
            Err(problem) => return Err(problem),
        };
        let store = Store::of(dir);
        let (address, setting) = match acme.challenge {
            Challenge::Http01 => (acme.http_listen, "tls.http_listen"),
            Challenge::TlsAlpn01 => (listen, "server.listen"),
            Challenge::Dns01 => return Ok(Self { stop: None }),
        };
        let socket = TcpListener::bind(address)
            .await
            .map_err(|e| taken(setting, address, &e))?;
        let listener = match acme.challenge {
            Challenge::TlsAlpn01 => {
                let certificates = Certificates::new(names.to_vec(), Some(store));
                let config = server_config(Arc::new(certificates));
                Listener::new(socket, Router::new()).over_tls(config.ok().map(Arc::new))
            }
            _ => Listener::new(socket, port80::routes(store, names.to_vec())),
        };
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        tokio::spawn(async move {
            listener.run(stopped).await;
            drop(lock);
        });
        Ok(Self { stop: Some(stop) })
    }

    /// Whether this process answers, and no server.
    pub const fn is_ours(&self) -> bool {
        self.stop.is_some()
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        if let Some(stop) = &self.stop {
            stop.cancel();
        }
    }
}

fn taken(setting: &str, address: SocketAddr, error: &std::io::Error) -> Problem {
    let fix = match error.kind() {
        std::io::ErrorKind::PermissionDenied => {
            "run as root, give the program CAP_NET_BIND_SERVICE, or set another port that port 80 or 443 leads to"
        }
        _ => "stop what uses it, or set tls.challenge to another way",
    };
    Problem::new(
        Exit::Config,
        "agentkeys.tls.port_taken",
        format!("{setting} {address} cannot be listened at: {error}"),
        fix,
    )
}
