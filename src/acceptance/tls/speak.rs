//! TLS by hand: as careful hosts speak it, and to look at what they would refuse.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use reqwest::Url;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, aws_lc_rs};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, DigitallySignedStruct, Error, SignatureScheme, SupportedProtocolVersion,
};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::client::TlsStream;

use crate::acceptance::Trust;
use crate::text::clean_to;

/// How long one step may take.
pub(super) const STEP: Duration = Duration::from_secs(10);
/// No head of an answer is longer.
const MAX_HEAD: usize = 32 * 1024;

/// Somebody at an address.
pub(super) struct Peer {
    host: String,
    pub(super) address: SocketAddr,
}

/// The head of an HTTP answer.
pub(super) struct Head {
    pub(super) status: u16,
    lines: Vec<(String, String)>,
}

impl Head {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let mut found = self.lines.iter().filter(|(n, _)| n == name);
        found.next().map(|(_, value)| value.as_str())
    }
}

impl Peer {
    pub(super) fn new(url: &Url, address: SocketAddr) -> Self {
        let host = url.host_str().unwrap_or_default();
        Self {
            host: host.trim_matches(['[', ']']).to_owned(),
            address,
        }
    }

    /// The name, without a port.
    pub(super) fn host(&self) -> &str {
        &self.host
    }

    /// Shakes hands as a host does that means it.
    pub(super) async fn verified(&self, trust: &Trust) -> Result<(), String> {
        let config = crate::tls::client_config(trust.der())?;
        self.shake(config).await.map(|_| ())
    }

    /// The certificate that is shown, whoever it is for.
    pub(super) async fn certificate(&self) -> Result<Vec<u8>, String> {
        let stream = self.shake(looking(rustls::ALL_VERSIONS, &[])?).await?;
        let shown = stream.get_ref().1.peer_certificates();
        let first = shown.and_then(|c| c.first()).map(|c| c.to_vec());
        first.ok_or_else(|| "there is no certificate".to_owned())
    }

    /// Whether one of these versions is spoken; with the protocol that was chosen.
    pub(super) async fn speaks(
        &self,
        versions: &[&'static SupportedProtocolVersion],
        protocols: &[&str],
    ) -> Result<Option<Vec<u8>>, String> {
        let stream = self.shake(looking(versions, protocols)?).await?;
        Ok(stream.get_ref().1.alpn_protocol().map(<[u8]>::to_vec))
    }

    pub(super) async fn get(&self, path: &str) -> Result<Head, String> {
        let stream = self.shake(looking(rustls::ALL_VERSIONS, &[])?);
        ask(stream.await?, &self.request("GET", path, "")).await
    }

    /// A message with nobody's bearer.
    pub(super) async fn post(&self, path: &str) -> Result<Head, String> {
        let stream = self.shake(looking(rustls::ALL_VERSIONS, &[])?);
        ask(stream.await?, &self.with_bearer(path)).await
    }

    pub(super) fn request(&self, method: &str, path: &str, more: &str) -> String {
        let host = if self.host.contains(':') {
            format!("[{}]", self.host)
        } else {
            self.host.clone()
        };
        format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{more}\r\n")
    }

    pub(super) fn with_bearer(&self, path: &str) -> String {
        let body = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
        let more = format!(
            "Authorization: Bearer nobodys\r\nContent-Type: application/json\r\nContent-Length: {}\r\n",
            body.len()
        );
        format!("{}{body}", self.request("POST", path, &more))
    }

    async fn shake(&self, config: ClientConfig) -> Result<TlsStream<TcpStream>, String> {
        let name = ServerName::try_from(self.host.clone()).map_err(|e| e.to_string())?;
        let work = async {
            let socket = TcpStream::connect(self.address).await?;
            let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
            connector.connect(name, socket).await
        };
        match timeout(STEP, work).await {
            Ok(Ok(stream)) => Ok(stream),
            Ok(Err(error)) => {
                let said = crate::tls::said(&error).unwrap_or_else(|| error.to_string());
                Err(clean_to(&said, 400))
            }
            Err(_) => Err("no handshake within 10 s".to_owned()),
        }
    }
}

/// Sends a request and reads the head of its answer.
pub(super) async fn ask(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    request: &str,
) -> Result<Head, String> {
    let asked = async {
        stream.write_all(request.as_bytes()).await?;
        stream.flush().await?;
        let mut head = Vec::new();
        let mut piece = [0; 4096];
        while !head.windows(4).any(|w| w == b"\r\n\r\n") {
            let read = stream.read(&mut piece).await?;
            if read == 0 || head.len() > MAX_HEAD {
                break;
            }
            head.extend_from_slice(&piece[..read]);
        }
        io::Result::Ok(head)
    };
    let head = timeout(STEP, asked).await;
    let head = head.map_err(|_| "no answer within 10 s".to_owned())?;
    let head = head.map_err(|e| e.to_string())?;
    let text = String::from_utf8_lossy(&head).into_owned();
    let text = text.split("\r\n\r\n").next().unwrap_or_default();
    parse(text).ok_or_else(|| format!("no HTTP: {}", clean_to(text, 80)))
}

fn parse(text: &str) -> Option<Head> {
    let mut lines = text.split("\r\n");
    let first = lines.next()?.strip_prefix("HTTP/1.")?;
    let status = first.split(' ').nth(1)?.parse().ok()?;
    let lines = lines.filter_map(|line| {
        let (name, value) = line.split_once(':')?;
        Some((name.trim().to_ascii_lowercase(), value.trim().to_owned()))
    });
    Some(Head {
        status,
        lines: lines.collect(),
    })
}

/// Takes whatever certificate is shown, to look at what else there is. Nothing secret goes over it.
fn looking(
    versions: &[&'static SupportedProtocolVersion],
    protocols: &[&str],
) -> Result<ClientConfig, String> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let known = provider.signature_verification_algorithms;
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .map_err(|e| e.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody(known)))
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|p| p.as_bytes().to_vec()).collect();
    Ok(config)
}

/// Believes every certificate; that its key is there is verified all the same.
#[derive(Debug)]
struct Anybody(WebPkiSupportedAlgorithms);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls12_signature(message, certificate, signed, &self.0)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls13_signature(message, certificate, signed, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_head_is_read() {
        let head = parse("HTTP/1.1 301 Moved\r\nLocation:  https://h/ \r\nX: 1").unwrap();
        assert_eq!(
            (head.status, head.header("location")),
            (301, Some("https://h/"))
        );
        assert!(parse("SSH-2.0-x").is_none() && parse("").is_none());
    }
}
