//! TLS as a host meets it: its certificate, and one side that speaks it where the other does not.

use super::{Finding, STEP, Status};
use crate::acceptance::Trust;
use crate::tls::Facts;
use reqwest::Url;
use rustls::pki_types::ServerName;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// What the certificate's finding is called.
const ID: &str = "public certificate";

/// Whether the certificate is one that hosts take.
pub(super) async fn certificate(
    url: &Url,
    address: SocketAddr,
    trust: &Trust,
    now_s: i64,
    found: &mut Vec<Finding>,
) -> bool {
    let fix = "agentkeys tls status, on the server";
    let host = url.host_str().unwrap_or_default();
    let failed = |cause: String| Finding::new(ID, Status::Failed, cause, fix);
    let certificate = match timeout(STEP, shake_hands(host, address, trust)).await {
        Ok(Ok(certificate)) => certificate,
        Ok(Err(error)) if is_of_tls(&error) => {
            let why = crate::tls::said(&error).unwrap_or_else(|| error.to_string());
            found.push(failed(format!(
                "hosts refuse the certificate of {host}: {why}"
            )));
            return false;
        }
        other => {
            found.push(if speaks_http(host, address).await {
                plain(url, address)
            } else if let Ok(Err(error)) = other {
                failed(format!("no TLS with {address}: {error}"))
            } else {
                failed(format!("{address} does not speak TLS within 10 seconds"))
            });
            return false;
        }
    };
    let Ok(facts) = Facts::read(&certificate) else {
        let cause = "the certificate cannot be read, and yet is taken";
        found.push(Finding::new(ID, Status::Warn, cause, fix));
        return true;
    };
    let left = facts.not_after - now_s;
    let told = format!(
        "{} days left, for {}, from {}",
        left.div_euclid(86_400),
        facts.names.join(", "),
        facts.issuer
    );
    found.push(if facts.ends_soon(now_s) {
        Finding::new(ID, Status::Warn, told, fix)
    } else {
        Finding::ok(ID, told)
    });
    true
}

/// What is wrong when plain HTTP was meant, and TLS is spoken there.
pub(super) async fn instead(url: &Url, address: SocketAddr, trust: &Trust) -> Option<Finding> {
    let host = url.host_str().unwrap_or_default();
    let shaken = timeout(STEP, shake_hands(host, address, trust))
        .await
        .ok()?;
    if !shaken.as_ref().err().is_none_or(is_of_tls) {
        return None;
    }
    let cause = format!("TLS is spoken at {address}, and {} says http", base(url));
    let fix = format!(
        "write {}, in server.public_url too; or, with a proxy that speaks TLS in front, set \
         `[tls] mode = \"none\"`",
        base(url).replacen("http", "https", 1)
    );
    Some(Finding::new("health", Status::Failed, cause, fix))
}

/// What is wrong when TLS was meant, and plain HTTP is spoken there.
fn plain(url: &Url, address: SocketAddr) -> Finding {
    let cause = format!(
        "plain HTTP is spoken at {address}, and {} says https",
        base(url)
    );
    let fix = format!(
        "let this port speak TLS (`[tls] mode = \"acme\"`, or a proxy in front), or name the port that \
         does in server.public_url; {} looks at this one as it is",
        base(url).replacen("https", "http", 1)
    );
    Finding::new(ID, Status::Failed, cause, fix)
}

/// Scheme, host and port, and nothing that may be secret.
fn base(url: &Url) -> String {
    let (host, port) = (url.host_str(), url.port_or_known_default());
    let (host, port) = (host.unwrap_or_default(), port.unwrap_or_default());
    format!("{}://{host}:{port}", url.scheme())
}

/// Shakes hands as a careful host does; the server's certificate.
async fn shake_hands(host: &str, address: SocketAddr, trust: &Trust) -> io::Result<Vec<u8>> {
    let config = crate::tls::client_config(trust.der()).map_err(io::Error::other)?;
    let name = host.trim_matches(['[', ']']).to_owned();
    let name = ServerName::try_from(name).map_err(io::Error::other)?;
    let socket = TcpStream::connect(address).await?;
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let stream = connector.connect(name, socket).await?;
    let chain = stream.get_ref().1.peer_certificates().unwrap_or_default();
    let first = chain.first().map(|c| c.to_vec());
    first.ok_or_else(|| io::Error::other("there is no certificate"))
}

/// Whether it was TLS that failed, and not something else that answered.
fn is_of_tls(error: &io::Error) -> bool {
    let inner = error.get_ref().and_then(|e| e.downcast_ref());
    inner.is_some_and(|e| !matches!(e, rustls::Error::InvalidMessage(_)))
}

/// Whether plain HTTP is answered with HTTP.
async fn speaks_http(host: &str, address: SocketAddr) -> bool {
    let asked = async {
        let mut socket = TcpStream::connect(address).await?;
        let request =
            format!("HEAD /healthz HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        socket.write_all(request.as_bytes()).await?;
        let mut first = [0; 5];
        socket.read_exact(&mut first).await?;
        io::Result::Ok(first == *b"HTTP/")
    };
    matches!(timeout(STEP, asked).await, Ok(Ok(true)))
}
