//! Certificates in files: which TLS is spoken, and how a certificate is swapped while the server is
//! used.

use super::support::{House, SERVE, Server, command, free_port, send, text, wait};
use http_body_util::{BodyExt as _, Empty};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion, version};
use serde_json::json;
use std::os::unix::fs::PermissionsExt as _;
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
        self.issue_until(names, (until.0, until.1, 1))
    }

    /// The same to the day.
    pub(crate) fn issue_until(&self, names: &[&str], until: (i32, u8, u8)) -> String {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let mut params = rcgen::CertificateParams::new(names).unwrap();
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(until.0, until.1, until.2);
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

/// Settings of a server with its certificate and key in one file.
fn in_files(file: &Path) -> [(&'static str, String); 4] {
    let path = file.to_str().unwrap().to_owned();
    [
        ("AGENTKEYS_TLS_MODE", "files".to_owned()),
        ("AGENTKEYS_TLS_CERTIFICATE", path.clone()),
        ("AGENTKEYS_TLS_KEY", path),
        (
            "AGENTKEYS_SERVER_PUBLIC_URL",
            "https://mcp.example.com/mcp".to_owned(),
        ),
    ]
}

/// The exit code of `tls status`, what it found and its last words.
fn status(dir: &Path, file: &Path) -> (Option<i32>, serde_json::Value, serde_json::Value) {
    let mut command = command(dir);
    command
        .args(["tls", "status", "--json"])
        .envs(in_files(file));
    let output = command.output().unwrap();
    let read = |bytes: &[u8]| serde_json::from_slice(bytes).unwrap_or_default();
    let error: serde_json::Value = read(&output.stderr);
    (
        output.status.code(),
        read(&output.stdout),
        error["error"].clone(),
    )
}

fn found<'a>(said: &'a serde_json::Value, id: &str) -> &'a serde_json::Value {
    let findings = said["findings"].as_array().unwrap();
    let found = findings.iter().find(|f| f["id"] == id);
    found.unwrap_or_else(|| panic!("no {id} in {said}"))
}

#[test]
fn status_ends_as_doctor_does_and_says_so_in_the_same_words() {
    let ca = Ca::new();
    let house = House::demo();
    let file = house.temp.path().join("both.pem");
    put(&file, &ca.good());
    let (exit, said, _) = status(&house.dir(), &file);
    assert_eq!(exit, Some(0), "{said}");
    assert_eq!(found(&said, "certificate")["status"], "ok");
    put(&file, &ca.issue(&["mcp.example.com"], (2021, 1)));
    let (exit, said, error) = status(&house.dir(), &file);
    assert_eq!(
        (exit, &error["code"]),
        (Some(6), &"agentkeys.tls.found".into())
    );
    let certificate = found(&said, "certificate");
    assert_eq!(certificate["status"], "failed");
    assert!(
        error["cause"]
            .as_str()
            .unwrap()
            .contains("2021-01-01T00:00:00"),
        "{error}"
    );
    let nowhere = house.temp.path().join("nowhere");
    let (exit, said, error) = status(&nowhere, &file);
    assert_eq!((exit, said), (Some(3), serde_json::Value::Null));
    assert_eq!(error["code"], "agentkeys.folder.missing");
}

fn chmod(file: &Path, mode: u32) {
    std::fs::set_permissions(file, std::fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_key_that_everybody_can_read_is_told_of_until_it_is_shut() {
    let ca = Ca::new();
    let (server, file) = serving(&ca, &[]);
    let line = server.logged("the key is open");
    assert!(
        line.contains("both.pem") && line.contains("chmod 600"),
        "{line}"
    );
    let ready = || send(server.http.get(format!("{}/readyz", server.operator)));
    let told = |reply: &super::support::Reply| {
        let said = reply.json();
        let checks = said["checks"].as_array().unwrap();
        checks.iter().find(|c| c["id"] == "key_file").cloned()
    };
    let reply = ready();
    assert_eq!(
        (reply.status, &told(&reply).unwrap()["status"]),
        (200, &"warn".into())
    );
    let (exit, said, _) = status(&server.house.dir(), &file);
    let open = found(&said, "key_file");
    assert_eq!((exit, &open["status"]), (Some(0), &"warn".into()));
    assert!(
        open["fix"].as_str().unwrap().contains("chmod 600"),
        "{open}"
    );
    // A group may be how the server gets at it.
    for mode in [0o600, 0o640] {
        chmod(&file, mode);
        assert_eq!(told(&ready()), None, "{mode:o}");
        let (_, said, _) = status(&server.house.dir(), &file);
        assert!(!said.to_string().contains("key_file"), "{said}");
    }
    // Without a server, doctor looks itself.
    chmod(&file, 0o604);
    let house = House::demo();
    let mut command = command(&house.dir());
    command.args(["doctor", "--json"]).envs(in_files(&file));
    let said: serde_json::Value =
        serde_json::from_slice(&command.output().unwrap().stdout).unwrap();
    assert_eq!(found(&said, "key_file")["status"], "warn", "{said}");
}

#[test]
fn what_is_somebody_elses_to_renew_is_not_told_to_be_issued() {
    let ca = Ca::new();
    let house = House::demo();
    let file = house.temp.path().join("both.pem");
    put(&file, &ca.issue(&["other.example.com"], (2021, 1)));
    let (_, said, _) = status(&house.dir(), &file);
    for id in ["certificate", "names"] {
        let fix = found(&said, id)["fix"].as_str().unwrap();
        assert!(!fix.contains("tls issue"), "{fix}");
        assert!(
            fix.contains("both.pem") && fix.contains("where it comes from"),
            "{fix}"
        );
    }
    for verb in ["issue", "renew", "revoke"] {
        let mut command = command(&house.dir());
        command.args(["tls", verb, "--json"]).envs(in_files(&file));
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(3));
        let said: serde_json::Value = serde_json::from_slice(&output.stderr).unwrap();
        let error = &said["error"];
        assert_eq!(error["code"], "agentkeys.tls.not_acme");
        let told = format!("{} {}", error["cause"], error["fix"]);
        assert!(
            told.contains("files") && told.contains("both.pem"),
            "{told}"
        );
        assert!(!told.contains("acme"), "{told}");
    }
}

#[test]
fn an_authoritys_own_certificate_is_explained_on_both_sides() {
    let mut params = rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap().pem();
    let house = House::demo();
    let file = house.temp.path().join("both.pem");
    put(&file, &format!("{certificate}\n{}", key.serialize_pem()));
    let (_, said, _) = status(&house.dir(), &file);
    let authority = found(&said, "authority");
    assert_eq!(authority["status"], "warn", "{said}");
    assert!(
        authority["cause"]
            .as_str()
            .unwrap()
            .contains("openssl req -x509")
    );
    let settings = in_files(&file);
    let mut settings = settings
        .each_ref()
        .map(|(name, value)| (*name, value.as_str()));
    settings[3].1 = "https://127.0.0.1/mcp";
    let server = Server::over(house, &settings);
    server.logged("hosts may refuse the certificate");
    let mut command = command(&server.house.dir());
    command.args(["doctor", "--json", "--url", &server.base, "--ca-file"]);
    let output = command.arg(&file).output().unwrap();
    let said: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let refused = found(&said, "public certificate");
    assert_eq!(refused["status"], "failed", "{said}");
    assert!(
        refused["cause"]
            .as_str()
            .unwrap()
            .contains("openssl req -x509"),
        "{said}"
    );
}

/// Settings of a server whose certificates come from an ACME server that is not there.
fn from_nobody() -> Vec<(&'static str, String)> {
    let port = free_port();
    [
        ("AGENTKEYS_TLS_MODE", "acme".to_owned()),
        (
            "AGENTKEYS_TLS_DIRECTORY",
            "https://localhost:1/dir".to_owned(),
        ),
        (
            "AGENTKEYS_TLS_STAGING_DIRECTORY",
            "https://localhost:1/dir".to_owned(),
        ),
        ("AGENTKEYS_TLS_HTTP_LISTEN", format!("127.0.0.1:{port}")),
        (
            "AGENTKEYS_SERVER_PUBLIC_URL",
            "https://mcp.example.com/mcp".to_owned(),
        ),
    ]
    .into()
}

#[test]
fn a_rehearsal_by_hand_that_fails_puts_nothing_off() {
    let house = House::demo();
    let mut command = command(&house.dir());
    command
        .args(["tls", "issue", "--staging", "--json"])
        .envs(from_nobody());
    assert_eq!(command.output().unwrap().status.code(), Some(8));
    assert!(!house.dir().join("tls/renewal.json").exists());
    let rows = house.events(&["--tool", "tls.renew"]);
    assert!(rows.is_empty(), "{rows:?}");
    // The real one counts, and is on record.
    command = super::support::command(&house.dir());
    command.args(["tls", "issue", "--json"]).envs(from_nobody());
    assert_eq!(command.output().unwrap().status.code(), Some(8));
    assert!(house.dir().join("tls/renewal.json").exists());
    assert_eq!(house.events(&["--tool", "tls.renew"]).len(), 1);
}

#[test]
fn what_a_command_got_is_served_at_once() {
    let ca = Ca::new();
    let house = House::demo();
    let live = house.dir().join("tls/live.pem");
    std::fs::create_dir(live.parent().unwrap()).unwrap();
    put(&live, &ca.good());
    let settings = from_nobody();
    let settings: Vec<_> = settings.iter().map(|(n, v)| (*n, v.as_str())).collect();
    let server = Server::over(house, &settings);
    let started = std::time::Instant::now();
    for _ in 0..3 {
        let renewed = ca.good();
        put(&live, &renewed);
        while served(&server, &ca) != leaf(&renewed) {
            std::thread::yield_now();
        }
    }
    let took = started.elapsed();
    assert!(took.as_secs() < 9, "{took:?} for three");
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
