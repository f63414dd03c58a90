//! Suite `tls`: a listener that speaks TLS in a wrong way for each check.

use super::front::{Front, lie};
use super::{Ids, Stage, all_seen, judged, one};
use crate::it::support::{free_port, wait};
use crate::it::tls::Ca;
use agentkeys::acceptance::tls::SUITE;
use axum::Router;
use axum::http::{HeaderValue, StatusCode, Uri, header};
use axum::middleware::map_response;
use axum::response::{IntoResponse as _, Redirect, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::version::{TLS12, TLS13};
use rustls::{ServerConfig, SupportedProtocolVersion};
use std::sync::Arc;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};

/// What a listener shows and speaks.
struct Way {
    pem: String,
    versions: Vec<&'static SupportedProtocolVersion>,
    protocols: Vec<&'static str>,
    /// Versions that it still says hello in.
    old: Option<u8>,
    hsts: &'static str,
}

impl Way {
    fn good(ca: &Ca) -> Self {
        Self {
            pem: ca.good(),
            versions: vec![&TLS12, &TLS13],
            protocols: vec!["h2", "http/1.1"],
            old: None,
            hsts: "max-age=31536000",
        }
    }

    fn config(&self) -> ServerConfig {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let chain = CertificateDer::pem_slice_iter(self.pem.as_bytes());
        let key = PrivateKeyDer::from_pem_slice(self.pem.as_bytes()).unwrap();
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&self.versions)
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain.map(Result::unwrap).collect(), key)
            .unwrap();
        config.alpn_protocols = self
            .protocols
            .iter()
            .map(|p| p.as_bytes().to_vec())
            .collect();
        config
    }

    /// Listens, and returns its address.
    fn serve(self, app: Router) -> String {
        let config = tokio_rustls::TlsAcceptor::from(Arc::new(self.config()));
        let hsts = HeaderValue::from_static(self.hsts);
        let app = app.layer(map_response(move |mut response: Response| {
            let hsts = hsts.clone();
            async move {
                let headers = response.headers_mut();
                headers.insert(header::STRICT_TRANSPORT_SECURITY, hsts);
                response
            }
        }));
        wait(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let url = format!("https://{}", listener.local_addr().unwrap());
            tokio::spawn(async move {
                loop {
                    let (socket, _) = listener.accept().await.unwrap();
                    tokio::spawn(one_of(socket, config.clone(), app.clone(), self.old));
                }
            });
            url
        })
    }
}

/// A TLS listener as it should be, before a server that speaks none.
pub(crate) fn before(ca: &Ca, upstream: &str) -> String {
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    Way::good(ca).serve(Front::of(upstream.to_owned(), http).app())
}

async fn one_of(
    mut socket: TcpStream,
    config: tokio_rustls::TlsAcceptor,
    app: Router,
    old: Option<u8>,
) {
    let mut first = [0; 11];
    while socket.peek(&mut first).await.unwrap_or_default() < first.len() {
        if socket.readable().await.is_err() || socket.peek(&mut first).await.unwrap_or(0) == 0 {
            return;
        }
    }
    // Where a hello names its version. TLS 1.2 and newer say 1.2 there.
    if old == Some(first[10]) {
        let _ = socket
            .write_all(&[22, 3, first[10], 0, 4, 2, 0, 0, 0])
            .await;
        return;
    }
    let Ok(stream) = config.accept(socket).await else {
        return;
    };
    let service = TowerToHyperService::new(app);
    let _ = Builder::new(TokioExecutor::new())
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

/// Plain HTTP on a port of its own.
fn plain(app: Router) -> u16 {
    wait(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move { axum::serve(listener, app).await });
        port
    })
}

struct Row<'a> {
    id: &'a str,
    url: String,
    http_port: u16,
}

/// Three days from now.
fn soon() -> (i32, u8, u8) {
    let day = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(72);
    let day = day.to_zoned(jiff::tz::TimeZone::UTC).date();
    let small = |n: i8| u8::try_from(n).unwrap();
    (day.year().into(), small(day.month()), small(day.day()))
}

fn ways(ca: &Ca, front: &Front) -> Vec<Row<'static>> {
    let closed = free_port();
    let mut all = Vec::new();
    let mut add = |id, change: &dyn Fn(&mut Way)| {
        let mut way = Way::good(ca);
        change(&mut way);
        let url = way.serve(front.app());
        all.push(Row {
            id,
            url,
            http_port: closed,
        });
    };
    add("chain", &|way| {
        way.pem = ca.issue(&["other.example"], (2100, 1));
    });
    add("days_left", &|way| {
        way.pem = ca.issue_until(&["127.0.0.1"], soon());
    });
    add("version/1.3", &|way| way.versions = vec![&TLS12]);
    add("version/1.2", &|way| way.versions = vec![&TLS13]);
    add("version/1.1_refused", &|way| way.old = Some(2));
    add("version/1.0_refused", &|way| way.old = Some(1));
    add("alpn/h2", &|way| way.protocols = vec!["http/1.1"]);
    add("alpn/http1.1", &|way| way.protocols = vec!["h2"]);
    add("hsts", &|way| way.hsts = "max-age=300");
    let good = Way::good(ca).serve(front.app());
    let open = plain(Router::new().fallback(|uri: Uri| async move {
        if uri.path() == "/healthz" {
            StatusCode::OK
        } else {
            StatusCode::NOT_FOUND
        }
    }));
    let to = good.clone();
    let home = plain(Router::new().fallback(move |uri: Uri| async move {
        Redirect::permanent(&format!("{to}{}", uri.path()))
    }));
    // Another port of the same host is somebody else.
    let other = plain(Router::new().fallback(|uri: Uri| async move {
        if uri.path() == "/healthz" {
            Redirect::permanent("https://127.0.0.1:8443/healthz").into_response()
        } else {
            StatusCode::NOT_FOUND.into_response()
        }
    }));
    for (id, http_port) in [
        ("plain/healthz", open),
        ("plain/healthz", other),
        ("plain/with_token", home),
    ] {
        all.push(Row {
            id,
            url: good.clone(),
            http_port,
        });
    }
    all
}

#[test]
fn each_check_of_tls_is_seen_to_fail() {
    let stage = Stage::new();
    let house = &stage.server.house;
    let ca = Ca::new();
    let file = house.temp.path().join("ca.pem");
    std::fs::write(&file, &ca.pem).unwrap();
    let file = file.display().to_string();
    let run = |url: &str, http_port: u16| {
        let port = http_port.to_string();
        let words = ["accept", SUITE, "--url", url, "--ca-file", &file];
        judged(&house.run(&[&words[..], &["--http-port", &port]].concat()))
    };
    let good = Way::good(&ca).serve(stage.front.app());
    let (clean, failed) = run(&good, free_port());
    assert_eq!(failed, Ids::new());
    let mut seen = Ids::new();
    for way in ways(&ca, &stage.front) {
        let (_, failed) = run(&way.url, way.http_port);
        assert_eq!(failed, one(&format!("tls/{}", way.id)));
        seen.extend(failed);
    }
    for (id, path) in [
        ("no_redirect/mcp", "/mcp"),
        ("no_redirect/mcp_slash", "/mcp/"),
    ] {
        stage.front.tells(lie(move |asked, said| {
            if asked.path == path {
                said.status = 307;
                said.put("location", "/elsewhere");
            }
        }));
        let (_, failed) = run(&good, free_port());
        assert_eq!(failed, one(&format!("tls/{id}")));
        seen.extend(failed);
    }
    let (_, failed) = run(&stage.front.url, free_port());
    assert_eq!(failed, one("tls/https"));
    seen.extend(failed);
    // No name here has two addresses: `acceptance::tls::tests` has lists of them.
    seen.extend(one("tls/addresses"));
    all_seen(&clean, &seen);
}

/// The server itself, without anything in front.
#[test]
fn the_server_s_own_tls_is_as_hosts_take_it() {
    let ca = Ca::new();
    let (server, _) = crate::it::tls::serving(&ca, &[]);
    let file = server.house.temp.path().join("ca.pem");
    std::fs::write(&file, &ca.pem).unwrap();
    let (file, port) = (file.display().to_string(), free_port().to_string());
    let words = [
        "accept",
        SUITE,
        "--url",
        &server.base,
        "--ca-file",
        &file,
        "--http-port",
        &port,
    ];
    let (passed, failed) = judged(&server.house.run(&words));
    assert_eq!(failed, Ids::new());
    assert!(passed.len() >= 12, "{passed:?}");
    // Without that authority hosts refuse it, and only that is wrong.
    let words = ["accept", SUITE, "--url", &server.base, "--http-port", &port];
    let (_, failed) = judged(&server.house.run(&words));
    assert_eq!(failed, one("tls/chain"));
}
