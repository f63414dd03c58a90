//! Opening a WebSocket to a relay, and asking whether what is sent there arrives here.

use super::super::socket::{Got, MAX_FRAME, Put, Socket};
use super::Connection;
use crate::secret::Secret;
use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message, Utf8Bytes};
use tokio_tungstenite::{Connector, MaybeTlsStream, WebSocketStream};

/// How long the relay may take to accept.
const CONNECT: Duration = Duration::from_secs(10);

/// How long a probe may take to come back.
const PROBE: Duration = Duration::from_secs(5);

/// A WebSocket we dialled.
pub(super) struct Dialled(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Dialled {
    /// Opens one. The error never has the address in it.
    pub(super) async fn open(
        connection: &Connection,
        address: &Secret<String>,
    ) -> Result<Self, String> {
        let config = WebSocketConfig::default()
            .max_message_size(Some(MAX_FRAME))
            .max_frame_size(Some(MAX_FRAME));
        let connector = Connector::Rustls(Arc::new(tls(connection)?));
        let dialled = tokio_tungstenite::connect_async_tls_with_config(
            address.expose().as_str(),
            Some(config),
            true,
            Some(connector),
        );
        match timeout(CONNECT, dialled).await {
            Err(_) => Err("it did not accept within 10 seconds".to_owned()),
            Ok(Err(Error::Http(answer))) => Err(format!("it answered HTTP {}", answer.status())),
            Ok(Err(error)) => Err(crate::text::clean_to(&error.to_string(), 200)),
            Ok(Ok((socket, _))) => Ok(Self(socket)),
        }
    }
}

fn tls(connection: &Connection) -> Result<rustls::ClientConfig, String> {
    let pem = connection.ca.as_deref().unwrap_or_default();
    let more: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    crate::tls::client_config(&more.map_err(|e| e.to_string())?)
}

impl Socket for Dialled {
    async fn next(&mut self) -> Option<Got> {
        Some(match self.0.next().await?.ok()? {
            Message::Text(text) => Got::Text(Bytes::from(text)),
            Message::Binary(_) | Message::Frame(_) => Got::Binary,
            Message::Ping(_) | Message::Pong(_) => Got::Alive,
            Message::Close(why) => {
                Got::Close(why.map(|f| (f.code.into(), f.reason.as_str().to_owned())))
            }
        })
    }

    async fn put(&mut self, frame: Put) -> bool {
        let message = match frame {
            Put::Text(bytes) => match Utf8Bytes::try_from(bytes) {
                Ok(text) => Message::Text(text),
                Err(_) => return false,
            },
            Put::Ping => Message::Ping(Bytes::new()),
            Put::Close(code, reason) => Message::Close(Some(CloseFrame {
                code: CloseCode::from(code),
                reason: Utf8Bytes::from_static(reason),
            })),
        };
        self.0.send(message).await.is_ok()
    }
}

/// What a probe found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Probe {
    /// The tool side answered.
    Arrived,
    /// The relay has no side that we could ask from.
    NoOtherSide,
    /// No answer came, and what came instead.
    NotArrived(String),
}

/// Asks, as a robot would, whether the tool side of this agent answers. A relay that has lost its
/// tool side keeps that socket open and answers pings on it, so nothing else tells.
pub async fn probe(connection: &Connection) -> Probe {
    let Some(address) = connection.other_side() else {
        return Probe::NoOtherSide;
    };
    let asked = async {
        let mut socket = Dialled::open(connection, &address).await?;
        let ping = Bytes::from_static(br#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#);
        if !socket.put(Put::Text(ping)).await {
            return Err("the probe could not be sent".to_owned());
        }
        loop {
            match socket.next().await {
                Some(Got::Text(text)) => {
                    let answer: Value = serde_json::from_slice(&text).unwrap_or_default();
                    if answer["result"].is_object() {
                        socket.put(Put::Close(1000, "")).await;
                        return Ok(());
                    }
                    let message = answer.pointer("/error/message").and_then(Value::as_str);
                    return Err(message.unwrap_or("an answer that is none").to_owned());
                }
                Some(Got::Alive) => {}
                Some(Got::Close(Some((code, why)))) => {
                    return Err(format!("closed with {code} {why}"));
                }
                Some(Got::Binary | Got::Close(None)) | None => {
                    return Err("it was closed".to_owned());
                }
            }
        }
    };
    match timeout(PROBE, asked).await {
        Ok(Ok(())) => Probe::Arrived,
        Ok(Err(cause)) => Probe::NotArrived(crate::text::clean_to(&cause, 120)),
        Err(_) => Probe::NotArrived("nothing came back within 5 seconds".to_owned()),
    }
}
