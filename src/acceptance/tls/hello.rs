//! The first message of TLS 1.0 and 1.1, which no library here speaks any more: what answers it with
//! anything but a refusal still does (RFC 8996).

use std::io;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::speak::{Peer, STEP};
use crate::acceptance::random;

/// A version that must not be spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Old {
    /// 1999.
    Tls10,
    /// 2006.
    Tls11,
}

impl Old {
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Tls10 => "TLS 1.0",
            Self::Tls11 => "TLS 1.1",
        }
    }

    const fn version(self) -> [u8; 2] {
        match self {
            Self::Tls10 => [3, 1],
            Self::Tls11 => [3, 2],
        }
    }
}

/// What came back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    /// An alert, or the end of the connection.
    Refused,
    /// A server's own hello.
    Taken,
}

const HANDSHAKE: u8 = 22;
const SERVER_HELLO: u8 = 2;

/// Says hello in that version.
pub(super) async fn try_it(peer: &Peer, old: Old) -> Result<Answer, String> {
    let asked = async {
        let mut socket = TcpStream::connect(peer.address).await?;
        socket.write_all(&client_hello(old, peer.host())).await?;
        let mut first = Vec::new();
        // The head of a record, and the kind of the message in it.
        socket.take(6).read_to_end(&mut first).await?;
        io::Result::Ok(first)
    };
    match timeout(STEP, asked).await {
        Ok(Ok(first)) => Ok(judged(&first)),
        Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionReset => Ok(Answer::Refused),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("no answer within 10 s".to_owned()),
    }
}

fn judged(first: &[u8]) -> Answer {
    let hello = first.first() == Some(&HANDSHAKE) && first.get(5) == Some(&SERVER_HELLO);
    if hello {
        Answer::Taken
    } else {
        Answer::Refused
    }
}

/// RFC 4346 §7.4.1.2, with the suites and extensions that servers of its time know.
fn client_hello(old: Old, host: &str) -> Vec<u8> {
    // ECDHE and RSA with AES-CBC-SHA, ECDSA certificates included; 3DES last.
    let suites: [u16; 7] = [0xc009, 0xc00a, 0xc013, 0xc014, 0x002f, 0x0035, 0x000a];
    let suites: Vec<u8> = suites.iter().flat_map(|s| s.to_be_bytes()).collect();
    let mut extensions = Vec::new();
    // An address is no name (RFC 6066 §3).
    if host.parse::<std::net::IpAddr>().is_err() {
        let name = [&[0], &sized(host.as_bytes())[..]].concat();
        extensions.extend(extension(0, &sized(&name)));
    }
    // Curves P-256, P-384, P-521 and their plain points (RFC 8422).
    extensions.extend(extension(10, &sized(&[0, 23, 0, 24, 0, 25])));
    extensions.extend(extension(11, &[1, 0]));
    // Signatures, which newer servers want before they look at the version: ECDSA and RSA over
    // SHA-256, RSA over SHA-1.
    extensions.extend(extension(13, &sized(&[4, 3, 4, 1, 2, 1])));
    let mut hello = old.version().to_vec();
    hello.extend(random::<32>());
    hello.push(0);
    hello.extend(sized(&suites));
    hello.extend([1, 0]);
    hello.extend(sized(&extensions));
    let length = u32::try_from(hello.len()).unwrap_or_default().to_be_bytes();
    let message = [&[1], &length[1..], &hello].concat();
    [&[HANDSHAKE, 3, 1], &sized(&message)[..]].concat()
}

fn extension(kind: u16, data: &[u8]) -> Vec<u8> {
    [&kind.to_be_bytes()[..], &sized(data)].concat()
}

/// With its length before it, in two bytes. Nothing here is longer: a name has at most 253.
fn sized(bytes: &[u8]) -> Vec<u8> {
    let length = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
    [&length.to_be_bytes()[..], bytes].concat()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::sync::Arc;

    struct Nobody;
    impl rustls::server::ResolvesServerCert for Nobody {
        fn resolve(
            &self,
            _: rustls::server::ClientHello<'_>,
        ) -> Option<Arc<rustls::sign::CertifiedKey>> {
            None
        }
    }
    impl std::fmt::Debug for Nobody {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("Nobody")
        }
    }

    /// A library reads it as what it is meant to be, and refuses it for its version.
    #[test]
    fn it_is_a_hello_that_is_refused_for_its_version() {
        for old in [Old::Tls10, Old::Tls11] {
            for host in ["mcp.example.com", "127.0.0.1"] {
                let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
                let config = rustls::ServerConfig::builder_with_provider(provider)
                    .with_safe_default_protocol_versions()
                    .unwrap()
                    .with_no_client_auth()
                    .with_cert_resolver(Arc::new(Nobody));
                let mut server = rustls::ServerConnection::new(Arc::new(config)).unwrap();
                server.read_tls(&mut &client_hello(old, host)[..]).unwrap();
                let error = server.process_new_packets().unwrap_err();
                let rustls::Error::PeerIncompatible(why) = &error else {
                    panic!("{old:?} {host}: {error}")
                };
                let why = format!("{why:?}");
                assert!(why.contains("Tls12"), "{why}");
                let mut answer = Vec::new();
                server.write_tls(&mut answer).unwrap();
                assert_eq!(judged(&answer), Answer::Refused);
            }
        }
    }

    #[test]
    fn a_servers_hello_is_an_answer() {
        assert_eq!(judged(&[22, 3, 1, 0, 50, 2]), Answer::Taken);
        for refused in [&[21, 3, 1, 0, 2, 2][..], &[], b"HTTP/1", &[22, 3, 1]] {
            assert_eq!(judged(refused), Answer::Refused);
        }
    }
}
