//! A proxy in front of pebble that misbehaves when it is told to, and counts.

use super::pebble::Pebble;
use crate::it::support::{spawn, wait};
use axum::body::Body;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::Value;
use std::convert::Infallible;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// What is done in place of what was asked.
#[derive(Debug, Clone)]
pub(crate) enum Fault {
    /// An answer that is no answer, and when to come back.
    Status(u16, Option<String>),
    /// A refusal with this type (RFC 8555 §6.7) and reason.
    Refusal(&'static str, &'static str),
    /// Nothing, for ever.
    Hang,
    /// Half an answer.
    Half,
    /// What was asked is done, and the answer lost.
    Lost,
}

struct Shared {
    /// At which path, and how often.
    faults: Mutex<Vec<(&'static str, Fault, u32)>>,
    /// Path and payload of what was asked.
    asked: Mutex<Vec<(String, Value)>>,
    /// Tells that a fault was met.
    met: Mutex<Sender<String>>,
    client: reqwest::Client,
    behind: u16,
}

/// The proxy.
pub(crate) struct Faults {
    shared: Arc<Shared>,
    pub(crate) port: u16,
    met: Mutex<Receiver<String>>,
}

impl Faults {
    pub(crate) fn before(pebble: &Pebble) -> Self {
        let ca = reqwest::Certificate::from_pem(pebble.own.ca.as_bytes()).unwrap();
        let client = reqwest::Client::builder()
            .no_proxy()
            .tls_certs_only(vec![ca])
            .build();
        let (tell, met) = channel();
        let shared = Arc::new(Shared {
            faults: Mutex::default(),
            asked: Mutex::default(),
            met: Mutex::new(tell),
            client: client.unwrap(),
            behind: pebble.port,
        });
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let certificate =
            CertificateDer::from_pem_slice(pebble.own.certificate.as_bytes()).unwrap();
        let key = PrivateKeyDer::from_pem_slice(pebble.own.key.as_bytes()).unwrap();
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let socket = wait(TcpListener::bind("127.0.0.1:0")).unwrap();
        let port = socket.local_addr().unwrap().port();
        let served = Arc::clone(&shared);
        spawn(async move {
            loop {
                let (stream, _) = socket.accept().await.unwrap();
                let (acceptor, shared) = (acceptor.clone(), Arc::clone(&served));
                tokio::spawn(async move {
                    let Ok(stream) = acceptor.accept(stream).await else {
                        return;
                    };
                    let answer = service_fn(move |request| answer(Arc::clone(&shared), request));
                    let connection = http1::Builder::new();
                    let _ = connection
                        .serve_connection(TokioIo::new(stream), answer)
                        .await;
                });
            }
        });
        Self {
            shared,
            port,
            met: Mutex::new(met),
        }
    }

    pub(crate) fn directory(&self) -> String {
        format!("https://localhost:{}/dir", self.port)
    }

    /// From now on, at paths that begin so, as often.
    pub(crate) fn set(&self, path: &'static str, fault: Fault, times: u32) {
        self.shared
            .faults
            .lock()
            .unwrap()
            .push((path, fault, times));
    }

    /// Waits until a fault was met.
    #[track_caller]
    pub(crate) fn met(&self) -> String {
        let most = std::time::Duration::from_secs(40);
        self.met
            .lock()
            .unwrap()
            .recv_timeout(most)
            .expect("no fault was met")
    }

    /// The payloads sent to paths that begin so.
    pub(crate) fn asked(&self, path: &str) -> Vec<Value> {
        let asked = self.shared.asked.lock().unwrap();
        let those = asked.iter().filter(|(p, _)| p.starts_with(path));
        those.map(|(_, payload)| payload.clone()).collect()
    }

    /// How many orders were asked for.
    pub(crate) fn orders(&self) -> usize {
        self.asked("/order-plz").len()
    }
}

impl Shared {
    fn fault(&self, path: &str) -> Option<Fault> {
        let mut faults = self.faults.lock().unwrap();
        let (_, fault, times) = faults
            .iter_mut()
            .find(|(at, _, times)| path.starts_with(at) && *times > 0)?;
        *times -= 1;
        Some(fault.clone())
    }
}

async fn answer(
    shared: Arc<Shared>,
    request: Request<Incoming>,
) -> Result<Response<Body>, Infallible> {
    let (parts, body) = request.into_parts();
    let body = body
        .collect()
        .await
        .map(http_body_util::Collected::to_bytes)
        .unwrap_or_default();
    let path = parts.uri.path().to_owned();
    shared
        .asked
        .lock()
        .unwrap()
        .push((path.clone(), payload(&body)));
    let fault = shared.fault(&path);
    if fault.is_some() {
        shared.met.lock().unwrap().send(path.clone()).unwrap();
    }
    match &fault {
        Some(Fault::Status(status, retry_after)) => {
            let mut response = Response::new(Body::from("<html>not now</html>"));
            *response.status_mut() = StatusCode::from_u16(*status).unwrap();
            if let Some(when) = retry_after {
                response
                    .headers_mut()
                    .insert("retry-after", when.parse().unwrap());
            }
            return Ok(response);
        }
        Some(Fault::Refusal(word, reason)) => {
            let kind = format!("urn:ietf:params:acme:error:{word}");
            let problem = serde_json::json!({"type": kind, "detail": reason, "status": 403});
            let mut response = Response::new(Body::from(problem.to_string()));
            *response.status_mut() = StatusCode::FORBIDDEN;
            return Ok(response);
        }
        Some(Fault::Hang) => std::future::pending::<()>().await,
        Some(Fault::Half | Fault::Lost) | None => {}
    }
    let url = format!("https://localhost:{}{path}", shared.behind);
    let mut asked = shared.client.request(parts.method, url);
    for (name, value) in &parts.headers {
        asked = asked.header(name, value);
    }
    let Ok(replied) = asked.body(body).send().await else {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::BAD_GATEWAY;
        return Ok(response);
    };
    let (status, headers) = (replied.status(), replied.headers().clone());
    let bytes = replied.bytes().await.unwrap_or_default();
    if matches!(fault, Some(Fault::Lost)) {
        std::future::pending::<()>().await;
    }
    let body = if matches!(fault, Some(Fault::Half)) {
        let half = bytes.slice(..bytes.len() / 2);
        let broken = std::io::Error::other("cut");
        Body::from_stream(futures_util::stream::iter([
            Ok::<Bytes, _>(half),
            Err(broken),
        ]))
    } else {
        Body::from(bytes)
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    Ok(response)
}

/// What is in a signed request.
fn payload(body: &[u8]) -> Value {
    let jws: Value = serde_json::from_slice(body).unwrap_or_default();
    let payload = jws["payload"].as_str().unwrap_or_default();
    let payload = BASE64_URL_SAFE_NO_PAD.decode(payload).unwrap_or_default();
    serde_json::from_slice(&payload).unwrap_or_default()
}
