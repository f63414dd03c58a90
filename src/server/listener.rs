//! Connections: accepted, perhaps through TLS, and served until they end or the server does. Nobody
//! is known here yet, so what one may hold is bounded by where it comes from, and in time.

use super::knock::Proxies;
use super::streams::{CONNECTIONS, Seat, Streams};
use axum::Router;
use axum::extract::ConnectInfo;
use http::header::STRICT_TRANSPORT_SECURITY;
use http::{HeaderValue, Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long a TLS handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// How long the head of a request may take, and a connection be silent between two.
const HEAD: Duration = Duration::from_secs(30);

/// The same of a proxy of ours: it keeps connections, and would send into one that ends.
const HEAD_OF_PROXY: Duration = Duration::from_mins(5);

/// The most headers of a request, and their bytes.
const MAX_HEADERS: usize = 64;
const MAX_HEAD: usize = 32 * 1024;

/// h2: requests at once on one connection, and how often a silent peer is asked whether it lives.
const AT_ONCE: u32 = 128;
const PING_EVERY: Duration = Duration::from_secs(30);
const PING_WITHIN: Duration = Duration::from_secs(20);

/// How long nothing is accepted after it failed: for want of file descriptors it fails again.
const BREATH: Duration = Duration::from_millis(100);

/// A year: whoever was here by https once does not come by http.
const HSTS: HeaderValue = HeaderValue::from_static("max-age=31536000");

/// Where connections come in.
pub(super) struct Listener {
    socket: TcpListener,
    tls: Option<TlsAcceptor>,
    router: Router,
    proxies: Proxies,
    seats: Arc<Streams>,
}

impl Listener {
    /// Serves a router at a socket.
    pub(super) fn new(socket: TcpListener, router: Router) -> Self {
        Self {
            socket,
            tls: None,
            router,
            proxies: Proxies::default(),
            seats: Arc::new(Streams::new(CONNECTIONS)),
        }
    }

    /// The same through TLS.
    pub(super) fn over_tls(self, config: Option<Arc<rustls::ServerConfig>>) -> Self {
        Self {
            tls: config.map(TlsAcceptor::from),
            ..self
        }
    }

    /// The same with proxies in front, which hold connections for many.
    pub(super) fn behind(self, proxies: Proxies) -> Self {
        Self { proxies, ..self }
    }

    /// Serves until the token is cancelled, and what was begun to its end.
    pub(super) async fn run(self, shutdown: CancellationToken) {
        let open = TaskTracker::new();
        while let Some(accepted) = shutdown.run_until_cancelled(self.socket.accept()).await {
            match accepted {
                Ok((socket, peer)) => {
                    if let Some(seat) = self.seat(peer) {
                        let served = self.serve(socket, peer, seat, shutdown.clone());
                        open.spawn(served);
                    }
                }
                Err(error) if ended_already(&error) => {}
                Err(error) => {
                    tracing::error!(%error, "a connection was not accepted");
                    shutdown
                        .run_until_cancelled(tokio::time::sleep(BREATH))
                        .await;
                }
            }
        }
        // From here on nobody can connect: those who try are refused, and not left waiting.
        drop(self);
        open.close();
        open.wait().await;
    }

    /// Room for one more connection; without it the connection is closed at once.
    fn seat(&self, peer: SocketAddr) -> Option<Seat> {
        let ip = peer.ip().to_canonical();
        let whose = match ip {
            _ if self.proxies.has(ip) => return self.seats.seat_of_many(),
            // Whoever has one address of a v6 network has all of them.
            IpAddr::V6(v6) => format!("{:x?}", &v6.segments()[..4]),
            IpAddr::V4(v4) => v4.to_string(),
        };
        let seat = self.seats.seat(&whose);
        if seat.is_none() {
            tracing::warn!(peer = %ip, "too many connections: one is closed");
        }
        seat
    }

    fn serve(
        &self,
        socket: TcpStream,
        peer: SocketAddr,
        seat: Seat,
        shutdown: CancellationToken,
    ) -> impl Future<Output = ()> + 'static {
        // With Nagle every streamed answer waits 40 ms for an acknowledgement (`formats/mcp.md` P1).
        if let Err(error) = socket.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY was not set");
        }
        let head = if self.proxies.has(peer.ip().to_canonical()) {
            HEAD_OF_PROXY
        } else {
            HEAD
        };
        let tls = self.tls.clone();
        let connection = Connection {
            router: self.router.clone(),
            peer,
            head,
            secure: tls.is_some(),
            shutdown,
        };
        async move {
            let _seat = seat;
            let Some(acceptor) = tls else {
                return connection.http1(socket).await;
            };
            let accepting = tokio::time::timeout(HANDSHAKE, acceptor.accept(socket));
            let Some(accepted) = connection.shutdown.run_until_cancelled(accepting).await else {
                return;
            };
            match accepted {
                Ok(Ok(stream)) => match stream.get_ref().1.alpn_protocol() {
                    Some(b"h2") => connection.http2(stream).await,
                    // The handshake was the answer (RFC 8737 §3).
                    Some(crate::tls::ACME_TLS) => {}
                    _ => connection.http1(stream).await,
                },
                Ok(Err(error)) => tracing::debug!(%peer, %error, "no TLS"),
                Err(_) => tracing::debug!(%peer, "no TLS in time"),
            }
        }
    }
}

/// Whether the other side was gone before it was accepted.
fn ended_already(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset
    )
}

/// One connection.
struct Connection {
    router: Router,
    peer: SocketAddr,
    head: Duration,
    secure: bool,
    shutdown: CancellationToken,
}

/// Serves a connection to its end; told to stop, no further request is taken.
macro_rules! drive {
    ($connection:expr, $shutdown:expr) => {{
        let mut connection = pin!($connection);
        tokio::select! {
            ended = connection.as_mut() => ended,
            () = $shutdown.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        }
    }};
}

impl Connection {
    async fn http1(self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
        let (shutdown, peer) = (self.shutdown.clone(), self.peer);
        let served = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.head)
            .max_headers(MAX_HEADERS)
            .max_buf_size(MAX_HEAD)
            .serve_connection(TokioIo::new(stream), self.service())
            .with_upgrades();
        if let Err(error) = drive!(served, shutdown) {
            tracing::debug!(%peer, %error, "a connection broke");
        }
    }

    async fn http2(self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
        let (shutdown, peer) = (self.shutdown.clone(), self.peer);
        let served = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .keep_alive_interval(PING_EVERY)
            .keep_alive_timeout(PING_WITHIN)
            .max_concurrent_streams(AT_ONCE)
            .max_header_list_size(u32::try_from(MAX_HEAD).unwrap_or(u32::MAX))
            .serve_connection(TokioIo::new(stream), self.service());
        if let Err(error) = drive!(served, shutdown) {
            tracing::debug!(%peer, %error, "a connection broke");
        }
    }

    fn service(
        self,
    ) -> impl hyper::service::Service<
        Request<Incoming>,
        Response = Response<axum::body::Body>,
        Error = Infallible,
        Future: Send + 'static,
    > + Send
    + 'static {
        let (peer, secure) = (ConnectInfo(self.peer), self.secure);
        let routes = TowerToHyperService::new(self.router);
        service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(peer);
            let answering = routes.call(request);
            async move {
                let mut answer = answering.await?;
                if secure {
                    answer.headers_mut().insert(STRICT_TRANSPORT_SECURITY, HSTS);
                }
                Ok(answer)
            }
        })
    }
}
