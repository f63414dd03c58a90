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

/// How long somebody may take.
#[derive(Debug, Clone, Copy)]
struct Patience {
    /// For a TLS handshake.
    handshake: Duration,
    /// For the head of a request, and for silence between two.
    head: Duration,
    /// The same of a proxy of ours: it keeps connections, and would send into one that ends.
    head_of_proxy: Duration,
}

const PATIENCE: Patience = Patience {
    handshake: Duration::from_secs(10),
    head: Duration::from_secs(30),
    head_of_proxy: Duration::from_mins(5),
};

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
    patience: Patience,
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
            patience: PATIENCE,
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
        let patience = self.patience;
        let head = if self.proxies.has(peer.ip().to_canonical()) {
            patience.head_of_proxy
        } else {
            patience.head
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
            let accepting = tokio::time::timeout(patience.handshake, acceptor.accept(socket));
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
            .max_header_size(MAX_HEAD)
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::tls::{Certificates, server_config};
    use axum::routing::get;
    use std::time::Instant;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    /// A listener whose patience is short, and how it is stopped and waited for.
    async fn listening(
        tls: bool,
        seats: usize,
    ) -> (SocketAddr, CancellationToken, tokio::task::JoinHandle<()>) {
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let slow = || async {
            tokio::time::sleep(Duration::from_millis(300)).await;
            "done"
        };
        let router = Router::new()
            .route("/", get(|| async { "here" }))
            .route("/slow", get(slow));
        let mut listener = Listener::new(socket, router);
        listener.patience = Patience {
            handshake: Duration::from_millis(100),
            head: Duration::from_millis(100),
            head_of_proxy: Duration::from_mins(1),
        };
        let bounds = super::super::streams::Bounds {
            per_token: seats,
            in_all: 100,
        };
        listener.seats = Arc::new(Streams::new(bounds));
        if tls {
            let certificates = Arc::new(Certificates::new(Vec::new(), None));
            let config = server_config(certificates).unwrap();
            listener = listener.over_tls(Some(Arc::new(config)));
        }
        let shutdown = CancellationToken::new();
        let running = tokio::spawn(listener.run(shutdown.clone()));
        (address, shutdown, running)
    }

    async fn rest(socket: &mut TcpStream) -> String {
        let mut rest = Vec::new();
        // A reset is an end too.
        let _ = socket.read_to_end(&mut rest).await;
        String::from_utf8_lossy(&rest).into_owned()
    }

    #[tokio::test]
    async fn who_says_nothing_or_stops_in_the_middle_is_cut() {
        for tls in [true, false] {
            for said in [&b""[..], b"GET / HTTP/1.1\r\nhost: x\r\n", b"\x16\x03\x01"] {
                let (address, _shutdown, _running) = listening(tls, 10).await;
                let mut socket = TcpStream::connect(address).await.unwrap();
                socket.write_all(said).await.unwrap();
                let rest = rest(&mut socket).await;
                assert!(!rest.contains("here"), "{tls} {said:?}: {rest}");
            }
        }
        // Between two requests too.
        let (address, _shutdown, _running) = listening(false, 10).await;
        let mut socket = TcpStream::connect(address).await.unwrap();
        let whole = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n";
        socket.write_all(whole).await.unwrap();
        assert!(rest(&mut socket).await.ends_with("here"));
    }

    #[tokio::test]
    async fn a_head_has_a_bound() {
        let (address, _shutdown, _running) = listening(false, 10).await;
        for head in [
            format!("x: {}\r\n", "a".repeat(MAX_HEAD)),
            "x: a\r\n".repeat(MAX_HEADERS + 1),
        ] {
            let mut socket = TcpStream::connect(address).await.unwrap();
            let whole = format!("GET / HTTP/1.1\r\nhost: x\r\n{head}\r\n");
            // It may be closed before all of it is taken.
            let _ = socket.write_all(whole.as_bytes()).await;
            let answer = rest(&mut socket).await;
            assert!(!answer.contains("here"), "{answer}");
        }
    }

    #[tokio::test]
    async fn one_address_has_a_bound_of_connections() {
        let (address, _shutdown, _running) = listening(false, 2).await;
        let first = TcpStream::connect(address).await.unwrap();
        let _second = TcpStream::connect(address).await.unwrap();
        let mut third = TcpStream::connect(address).await.unwrap();
        assert_eq!(rest(&mut third).await, "");
        drop(first);
        // Its seat is free once the server has seen it go.
        loop {
            let mut again = TcpStream::connect(address).await.unwrap();
            let whole = b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
            let _ = again.write_all(whole).await;
            if rest(&mut again).await.ends_with("here") {
                break;
            }
        }
    }

    #[tokio::test]
    async fn what_was_begun_is_finished_and_nothing_is_taken_any_more() {
        let (address, shutdown, running) = listening(false, 10).await;
        let mut idle = TcpStream::connect(address).await.unwrap();
        let mut busy = TcpStream::connect(address).await.unwrap();
        let whole = b"GET /slow HTTP/1.1\r\nhost: x\r\n\r\n";
        busy.write_all(whole).await.unwrap();
        // It is at work when another one that came later was answered.
        let mut later = TcpStream::connect(address).await.unwrap();
        let close = b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
        later.write_all(close).await.unwrap();
        assert!(rest(&mut later).await.ends_with("here"));
        let stopped = Instant::now();
        shutdown.cancel();
        assert!(rest(&mut busy).await.ends_with("done"));
        assert_eq!(rest(&mut idle).await, "");
        running.await.unwrap();
        assert!(stopped.elapsed() < Duration::from_mins(1));
        assert!(TcpStream::connect(address).await.is_err());
    }
}
