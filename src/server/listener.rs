//! Connections: accepted, perhaps through TLS, and served until they end or the server does. Nobody
//! is known here yet, so what one may hold is bounded by where it comes from, and in time.

use super::door::{Asked, CONNECTIONS, Door, Seat, Work};
use super::knock::{CameTo, Proxies};
use axum::Router;
use axum::extract::ConnectInfo;
use http::header::STRICT_TRANSPORT_SECURITY;
use http::{HeaderValue, Request, Response};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
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
    door: Arc<Door>,
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
            door: Arc::new(Door::new(CONNECTIONS)),
            patience: PATIENCE,
        }
    }

    /// The same with room that somebody else looks at too.
    pub(super) fn through(self, door: Arc<Door>) -> Self {
        Self { door, ..self }
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
        let seat = if self.proxies.has(ip) {
            self.door.seat_of_proxy()
        } else {
            self.door.seat(ip)
        };
        if seat.is_none() {
            // Not louder: whoever floods would fill the journal too.
            tracing::debug!(peer = %ip, "too many connections: one is closed");
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
            own: socket.local_addr().ok(),
            head,
            secure: tls.is_some(),
            work: Arc::clone(&seat.work),
            shutdown,
        };
        async move {
            let cut = seat.work.cut.clone();
            let served = connection.serve(socket, tls, patience.handshake);
            if cut.run_until_cancelled(served).await.is_none() {
                tracing::debug!(%peer, "a connection is closed to make room");
            }
            drop(seat);
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
    /// The address it came to.
    own: Option<SocketAddr>,
    head: Duration,
    secure: bool,
    work: Arc<Work>,
    shutdown: CancellationToken,
}

/// Serves a connection to its end. Told to stop, no further request is taken; when nothing is asked for
/// too long, or what was answered is not taken, it is cut.
macro_rules! drive {
    ($connection:expr, $shutdown:expr, $work:expr, $most:expr) => {{
        let mut connection = pin!($connection);
        tokio::select! {
            ended = connection.as_mut() => ended,
            () = $work.rests($most) => Ok(()),
            () = $shutdown.cancelled() => {
                connection.as_mut().graceful_shutdown();
                tokio::select! {
                    ended = connection => ended,
                    () = $work.rests($most) => Ok(()),
                }
            }
        }
    }};
}

impl Connection {
    /// To its end, perhaps through TLS.
    async fn serve(self, socket: TcpStream, tls: Option<TlsAcceptor>, handshake: Duration) {
        let Some(acceptor) = tls else {
            return self.http1(socket).await;
        };
        let peer = self.peer;
        let accepting = tokio::time::timeout(handshake, acceptor.accept(socket));
        let Some(accepted) = self.shutdown.run_until_cancelled(accepting).await else {
            return;
        };
        match accepted {
            Ok(Ok(stream)) => match stream.get_ref().1.alpn_protocol() {
                Some(b"h2") => self.http2(stream).await,
                // The handshake was the answer (RFC 8737 §3).
                Some(crate::tls::ACME_TLS) => {}
                _ => self.http1(stream).await,
            },
            Ok(Err(error)) => tracing::debug!(%peer, %error, "no TLS"),
            Err(_) => tracing::debug!(%peer, "no TLS in time"),
        }
    }

    async fn http1(self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
        let (shutdown, peer, head) = (self.shutdown.clone(), self.peer, self.head);
        let work = Arc::clone(&self.work);
        let served = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.head)
            .max_headers(MAX_HEADERS)
            .max_header_size(MAX_HEAD)
            .serve_connection(TokioIo::new(stream), self.service())
            .with_upgrades();
        if let Err(error) = drive!(served, shutdown, work, head) {
            tracing::debug!(%peer, %error, "a connection broke");
        }
    }

    async fn http2(self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
        let (shutdown, peer, head) = (self.shutdown.clone(), self.peer, self.head);
        let work = Arc::clone(&self.work);
        let served = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .keep_alive_interval(PING_EVERY)
            .keep_alive_timeout(PING_WITHIN)
            .max_concurrent_streams(AT_ONCE)
            .max_header_list_size(u32::try_from(MAX_HEAD).unwrap_or(u32::MAX))
            .serve_connection(TokioIo::new(stream), self.service());
        if let Err(error) = drive!(served, shutdown, work, head) {
            tracing::debug!(%peer, %error, "a connection broke");
        }
    }

    fn service(
        self,
    ) -> impl hyper::service::Service<
        Request<Incoming>,
        Response = Response<Answer>,
        Error = Infallible,
        Future: Send + 'static,
    > + Send
    + 'static {
        let (peer, secure) = (ConnectInfo(self.peer), self.secure);
        let own = self.own.map(CameTo);
        let routes = TowerToHyperService::new(self.router);
        let work = self.work;
        service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(peer);
            own.map(|own| request.extensions_mut().insert(own));
            let asked = work.begin();
            let answering = routes.call(request);
            async move {
                let answer = answering.await?;
                let mut answer = answer.map(|body| Answer {
                    body,
                    _asked: asked,
                });
                if secure {
                    answer.headers_mut().insert(STRICT_TRANSPORT_SECURITY, HSTS);
                }
                Ok(answer)
            }
        })
    }
}

/// An answer that is under way until its last byte was handed over.
struct Answer {
    body: axum::body::Body,
    _asked: Asked,
}

impl Body for Answer {
    type Data = bytes::Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::door::Bounds;
    use super::*;
    use crate::tls::{Certificates, server_config};
    use axum::routing::get;
    use std::sync::LazyLock;
    use std::time::Instant;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    type Listening = (SocketAddr, CancellationToken, tokio::task::JoinHandle<()>);

    const SHORT: Patience = Patience {
        handshake: Duration::from_millis(100),
        head: Duration::from_millis(100),
        head_of_proxy: Duration::from_mins(1),
    };

    /// Longer than any test.
    const AGES: Patience = Patience {
        handshake: Duration::from_mins(10),
        head: Duration::from_mins(10),
        head_of_proxy: Duration::from_mins(10),
    };

    /// A listener whose patience is short, and how it is stopped and waited for.
    async fn listening(tls: bool, seats: usize) -> Listening {
        let bounds = Bounds {
            address: seats,
            ..CONNECTIONS
        };
        listening_with(tls, bounds, SHORT).await
    }

    async fn listening_with(tls: bool, bounds: Bounds, patience: Patience) -> Listening {
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let slow = || async {
            tokio::time::sleep(Duration::from_millis(300)).await;
            "done"
        };
        let router = Router::new()
            .route("/", get(|| async { "here" }))
            .route("/slow", get(slow));
        let door = Arc::new(Door::new(bounds));
        let mut listener = Listener::new(socket, router).through(door);
        listener.patience = patience;
        if tls {
            let certificates = Arc::new(Certificates::new(Vec::new(), None));
            let chain = CERTIFIED.0.clone();
            certificates.offer(chain, 0).unwrap();
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

    /// Shakes hands as an h2 client does, and says this.
    async fn over_h2(address: SocketAddr, said: &[u8]) -> String {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(CERTIFIED.1.clone())
            .with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec()];
        let socket = TcpStream::connect(address).await.unwrap();
        let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
        let name = "localhost".try_into().unwrap();
        let mut stream = connector.connect(name, socket).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
        stream.write_all(said).await.unwrap();
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest).await;
        String::from_utf8_lossy(&rest).into_owned()
    }

    static CERTIFIED: LazyLock<(crate::tls::Chain, rustls::RootCertStore)> = LazyLock::new(|| {
        let key = rcgen::KeyPair::generate().unwrap();
        let params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let mut roots = rustls::RootCertStore::empty();
        roots.add(certificate.der().clone()).unwrap();
        let (pem, key) = (certificate.pem(), key.serialize_pem());
        let chain = crate::tls::Chain::from_pem(pem.as_bytes(), key.as_bytes());
        (chain.unwrap(), roots)
    });

    #[tokio::test]
    async fn an_h2_client_that_asks_for_nothing_is_cut() {
        let (address, _shutdown, _running) = listening(true, 10).await;
        let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
        for said in [&b""[..], preface] {
            over_h2(address, said).await;
        }
    }

    #[tokio::test]
    async fn a_client_that_never_reads_is_cut_and_one_that_waits_is_not() {
        let (address, _shutdown, running) = listening(false, 10).await;
        // What is slow takes longer than silence may.
        let mut waits = TcpStream::connect(address).await.unwrap();
        let close = b"GET /slow HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
        waits.write_all(close).await.unwrap();
        assert!(rest(&mut waits).await.ends_with("done"));
        let mut greedy = TcpStream::connect(address).await.unwrap();
        let asks = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n".repeat(1000);
        // Until it is cut, however much the kernel takes in between.
        while greedy.write_all(&asks).await.is_ok() {}
        running.abort();
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
    async fn a_newcomer_is_served_though_one_network_fills_the_door() {
        let bounds = Bounds {
            in_all: 3,
            ..CONNECTIONS
        };
        let (address, _shutdown, _running) = listening_with(false, bounds, AGES).await;
        let mut idle = Vec::new();
        for _ in 0..3 {
            let mut socket = TcpStream::connect(address).await.unwrap();
            let whole = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n";
            socket.write_all(whole).await.unwrap();
            let mut answer = [0; 15];
            socket.read_exact(&mut answer).await.unwrap();
            idle.push(socket);
        }
        // All of 127.0.0.0/8 is this machine, and this is another network of it.
        let newcomer = tokio::net::TcpSocket::new_v4().unwrap();
        newcomer.bind("127.0.9.1:0".parse().unwrap()).unwrap();
        let mut newcomer = newcomer.connect(address).await.unwrap();
        let close = b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
        newcomer.write_all(close).await.unwrap();
        assert!(rest(&mut newcomer).await.ends_with("here"));
        // The oldest made room, long before its time.
        assert!(rest(&mut idle[0]).await.ends_with("here"));
        let again = b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
        idle[1].write_all(again).await.unwrap();
        assert!(rest(&mut idle[1]).await.contains("200 OK"));
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
