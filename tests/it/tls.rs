//! Certificates in files: which TLS is spoken, and how a certificate is swapped while the server is
//! used.

use super::support::{House, SERVE, Server, command, send, text, wait};
use http_body_util::{BodyExt as _, Empty};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion, version};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// A certificate authority, and what hosts need to trust it.
pub(crate) struct Ca {
    issuer: rcgen::Issuer<'static, rcgen::KeyPair>,
    pub(crate) pem: String,
}

impl Ca {
    pub(crate) fn new() -> Self {
        let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
        // One and the same name would make what it issues look self-signed.
        let name = rcgen::DnType::CommonName;
        params
            .distinguished_name
            .push(name, "an authority of tests");
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let key = rcgen::KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        let issuer = rcgen::Issuer::new(params, key);
        Self { issuer, pem }
    }

    /// A certificate and its key in one text.
    pub(crate) fn issue(&self, names: &[&str], until: (i32, u8)) -> String {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let mut params = rcgen::CertificateParams::new(names).unwrap();
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(until.0, until.1, 1);
        params.use_authority_key_identifier_extension = true;
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        format!("{}\n{}", certificate.pem(), key.serialize_pem())
    }

    pub(crate) fn good(&self) -> String {
        self.issue(&["127.0.0.1", "mcp.example.com"], (2100, 1))
    }

    fn trusted(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        let ca = CertificateDer::from_pem_slice(self.pem.as_bytes()).unwrap();
        roots.add(ca).unwrap();
        roots
    }

    fn client(
        &self,
        protocols: &[&[u8]],
        versions: &[&'static SupportedProtocolVersion],
    ) -> ClientConfig {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(self.trusted())
            .with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|p| p.to_vec()).collect();
        config
    }

    fn http(&self) -> reqwest::Client {
        let ca = reqwest::Certificate::from_pem(self.pem.as_bytes()).unwrap();
        reqwest::Client::builder()
            .tls_certs_only([ca])
            .build()
            .unwrap()
    }
}

/// A server with a certificate in a file, and that file.
pub(crate) fn serving(ca: &Ca, more: &[(&str, &str)]) -> (Server, PathBuf) {
    let house = House::demo();
    let file = house.temp.path().join("both.pem");
    put(&file, &ca.good());
    let path = file.to_str().unwrap().to_owned();
    let settings = [
        ("AGENTKEYS_TLS_MODE", "files"),
        ("AGENTKEYS_TLS_CERTIFICATE", &path),
        ("AGENTKEYS_TLS_KEY", &path),
        ("AGENTKEYS_SERVER_PUBLIC_URL", "https://mcp.example.com/mcp"),
    ];
    let mut server = Server::over(house, &[&settings, more].concat());
    server.http = ca.http();
    (server, file)
}

/// Replaces a file as whoever renews certificates does.
fn put(file: &Path, pem: &str) {
    let beside = file.with_extension("new");
    std::fs::write(&beside, pem).unwrap();
    std::fs::rename(beside, file).unwrap();
}

async fn connect(server: &str, config: ClientConfig) -> std::io::Result<TlsStream<TcpStream>> {
    let address = server.strip_prefix("https://").unwrap();
    let socket = TcpStream::connect(address).await?;
    let name = ServerName::try_from("127.0.0.1").unwrap();
    TlsConnector::from(Arc::new(config))
        .connect(name, socket)
        .await
}

/// What is served at a handshake now.
fn served(server: &Server, ca: &Ca) -> Vec<u8> {
    let stream = wait(connect(&server.base, ca.client(&[], rustls::ALL_VERSIONS))).unwrap();
    let certificates = stream.get_ref().1.peer_certificates().unwrap();
    certificates[0].to_vec()
}

fn leaf(pem: &str) -> Vec<u8> {
    CertificateDer::from_pem_slice(pem.as_bytes())
        .unwrap()
        .to_vec()
}

#[test]
fn both_versions_and_both_protocols_are_spoken_and_https_is_remembered() {
    let ca = Ca::new();
    let (server, _) = serving(&ca, &[]);
    assert!(server.base.starts_with("https://"), "{}", server.base);
    for (version, protocol) in [
        (&version::TLS12, &b"h2"[..]),
        (&version::TLS13, b"h2"),
        (&version::TLS12, b"http/1.1"),
        (&version::TLS13, b"http/1.1"),
    ] {
        let stream = wait(connect(&server.base, ca.client(&[protocol], &[version]))).unwrap();
        let session = stream.get_ref().1;
        assert_eq!(session.protocol_version(), Some(version.version));
        assert_eq!(session.alpn_protocol(), Some(protocol));
        let request = http::Request::get(format!("{}/healthz", server.base))
            .header("host", "mcp.example.com")
            .body(Empty::<bytes::Bytes>::new())
            .unwrap();
        let answer = wait(async {
            if protocol == b"h2" {
                let io = TokioIo::new(stream);
                let made = hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await;
                let (mut sender, connection) = made.unwrap();
                tokio::spawn(connection);
                sender.send_request(request).await.unwrap()
            } else {
                let made = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
                let (mut sender, connection) = made.unwrap();
                tokio::spawn(connection);
                sender.send_request(request).await.unwrap()
            }
        });
        assert_eq!(answer.status(), 200);
        assert_eq!(
            answer.headers()["strict-transport-security"],
            "max-age=31536000"
        );
        let body = wait(answer.into_body().collect()).unwrap().to_bytes();
        assert!(text(&body).contains("\"ok\":true"));
    }
    // A tool is called as it is without TLS, and who did it is on record with an address.
    let host = server.host("magiclick");
    let heard = host.text("agentkeys.memory.get", json!({"namespace": "travel"}));
    assert!(heard.contains("Chengdu"), "{heard}");
    // The operator's listener is on loopback and speaks plain HTTP.
    let health = send(server.http.get(format!("{}/healthz", server.operator)));
    assert_eq!(health.status, 200);
    // Nobody who comes for an ACME proof finds one here.
    let proof = ca.client(&[b"acme-tls/1"], rustls::ALL_VERSIONS);
    assert!(wait(connect(&server.base, proof)).is_err());
}

#[test]
fn a_renewed_certificate_is_served_while_a_stream_stays_open() {
    let ca = Ca::new();
    let (server, file) = serving(&ca, &[]);
    let auditor = server.reader("auditor", &[]);
    let feed = server
        .http
        .get(format!("{}/v1/audit/stream", server.base))
        .bearer_auth(&auditor);
    let mut feed = wait(feed.send()).unwrap();
    assert_eq!(feed.status(), 200);
    let renewed = ca.good();
    assert_ne!(served(&server, &ca), leaf(&renewed));
    put(&file, &renewed);
    server.signal("-HUP");
    server.logged("a certificate is served");
    while served(&server, &ca) != leaf(&renewed) {}
    let host = server.host("magiclick");
    host.structured("agentkeys.memory.get", json!({"namespace": "travel"}));
    let mut heard = String::new();
    while !heard.contains("agentkeys.memory.get") {
        let chunk = wait(feed.chunk()).unwrap();
        heard.push_str(&text(&chunk.expect("the stream ended")));
    }
}

#[test]
fn a_working_certificate_outlives_what_somebody_broke() {
    let ca = Ca::new();
    let (server, file) = serving(&ca, &[]);
    let good = served(&server, &ca);
    let other_key = ca.good().split_once("\n\n").unwrap().1.to_owned();
    let certificate = ca.good().split_once("\n\n").unwrap().0.to_owned();
    for (broken, said) in [
        (String::new(), "there is no certificate in it"),
        (
            format!("{certificate}\n{other_key}"),
            "is not the one of the certificate",
        ),
        (
            ca.issue(&["127.0.0.1", "mcp.example.com"], (2021, 1)),
            "does not hold now",
        ),
        (
            ca.issue(&["127.0.0.1", "other.example.com"], (2100, 1)),
            "not for mcp.example.com",
        ),
    ] {
        put(&file, &broken);
        server.signal("-HUP");
        let line = server.logged("was not replaced");
        assert!(line.contains(said), "{line}");
        assert!(!line.contains("PRIVATE"), "{line}");
        assert_eq!(served(&server, &ca), good);
    }
    let renewed = ca.good();
    put(&file, &renewed);
    server.signal("-HUP");
    server.logged("a certificate is served");
    assert_eq!(served(&server, &ca), leaf(&renewed));
}

#[test]
fn files_that_cannot_be_served_are_refused_at_the_start() {
    let ca = Ca::new();
    let house = House::demo();
    let file = house.temp.path().join("both.pem");
    let start = || {
        let mut command = command(&house.dir());
        command.args(SERVE);
        let settings = [
            ("MODE", "files".as_ref()),
            ("CERTIFICATE", file.as_os_str()),
            ("KEY", file.as_os_str()),
        ];
        for (name, value) in settings {
            command.env(format!("AGENTKEYS_TLS_{name}"), value);
        }
        let output = command.arg("--json").output().unwrap();
        let said: serde_json::Value = serde_json::from_slice(&output.stderr).unwrap();
        (output.status.code(), said["error"].clone())
    };
    let (code, error) = start();
    assert_eq!(
        (code, &error["code"]),
        (Some(3), &"agentkeys.tls.certificate_unusable".into())
    );
    assert!(
        error["cause"].as_str().unwrap().contains("both.pem"),
        "{error}"
    );
    put(&file, ca.good().split_once("\n\n").unwrap().0);
    let (code, error) = start();
    assert_eq!(code, Some(3));
    assert!(
        error["cause"].as_str().unwrap().contains("no private key"),
        "{error}"
    );
}

/// Under load from two sides, one that keeps its connection and one that makes a new one each time.
#[test]
fn a_thousand_swaps_fail_no_request() {
    const SWAPS: usize = 1_000;
    let ca = Ca::new();
    let (server, file) = serving(&ca, &[("AGENTKEYS_LOG_LEVEL", "error")]);
    let certificates: Vec<String> = (0..8).map(|_| ca.good()).collect();
    let (over, asked) = (AtomicBool::new(false), AtomicU64::new(0));
    let url = format!("{}/healthz", server.base);
    let ask = |keeps: bool| {
        let mut client = ca.http();
        while !over.load(Ordering::Relaxed) {
            if !keeps {
                client = ca.http();
            }
            let status = wait(client.get(&url).send()).map(|r| r.status().as_u16());
            assert!(matches!(status, Ok(200)), "{status:?}");
            asked.fetch_add(1, Ordering::Relaxed);
        }
    };
    std::thread::scope(|scope| {
        let askers = [scope.spawn(|| ask(true)), scope.spawn(|| ask(false))];
        for n in 0..SWAPS {
            let next = &certificates[n % certificates.len()];
            put(&file, next);
            server.signal("-HUP");
            while served(&server, &ca) != leaf(next) {
                assert!(askers.iter().all(|a| !a.is_finished()));
            }
        }
        over.store(true, Ordering::Relaxed);
    });
    let asked = asked.into_inner();
    println!("{SWAPS} swaps, {asked} requests, none failed");
    assert!(asked >= 100, "{asked}");
}
