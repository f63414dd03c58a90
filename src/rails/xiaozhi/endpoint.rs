//! The other way in: xiaozhi-server as a client of an MCP endpoint (接入点), over a web socket.

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use http::StatusCode;
use http::header::{CONNECTION, SEC_WEBSOCKET_ACCEPT, UPGRADE};
use reqwest::Url;
use serde_json::{Value, json};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::{client::generate_key, derive_accept_key};
use tokio_tungstenite::tungstenite::protocol::{Message, Role, WebSocketConfig};

use super::link::{protocol, unwrap_reply};
use super::{CONNECT_DEADLINE, ToolSeen, names, within};
use crate::config::forbidden_at_xiaozhi;
use crate::rails::{CaFile, RailError, wire};
use crate::text::clean_to;

/// The receive limit of the Python `websockets` package.
const MAX_FRAME: usize = 1024 * 1024;
/// More pages than any list of ours has; a server that goes on is broken.
const MAX_PAGES: usize = 16;

/// One device session of xiaozhi-server at an endpoint, as far as its list of tools.
#[derive(Debug)]
pub struct EndpointHost {
    tools: Vec<ToolSeen>,
}

impl EndpointHost {
    /// Connects to the call side of an endpoint, as xiaozhi-server makes it of what is in its
    /// config (`ws://…/mcp/?token=…`), and lists the tools.
    pub async fn connect(endpoint: &str, ca: &CaFile) -> Result<Self, RailError> {
        let what = "connecting to the endpoint and listing tools";
        within(what, CONNECT_DEADLINE, Self::open(endpoint, ca)).await
    }

    /// The tools in the server's order.
    pub fn tools(&self) -> &[ToolSeen] {
        &self.tools
    }

    async fn open(endpoint: &str, ca: &CaFile) -> Result<Self, RailError> {
        let bad = |cause: String| RailError::Input {
            what: "mcp_endpoint".to_owned(),
            cause,
        };
        if !endpoint.starts_with("ws") || !endpoint.contains("/mcp/") {
            return Err(bad(
                "is not ws(s)://…/mcp/…: xiaozhi-server ignores it".to_owned()
            ));
        }
        if let Some(word) = forbidden_at_xiaozhi(endpoint) {
            return Err(bad(format!(
                "has \"{word}\" in it: xiaozhi-server ignores it"
            )));
        }
        let url = endpoint
            .replace("/mcp/", "/call/")
            .replacen("ws", "http", 1);
        let url = wire::parse_url("mcp_endpoint", &url)?;
        let mut socket = dial(&url, ca).await?;
        // Sent back to back, without waiting for an answer. What closed the socket meanwhile is read
        // from it, and says more than that nothing more could be sent.
        for message in hello() {
            let _ = socket.send(Message::text(message.to_string())).await;
        }
        let mut tools = Vec::new();
        for _ in 0..MAX_PAGES {
            let reply = answer(&mut socket, &url, 2).await?;
            let result = unwrap_reply("tools/list", reply, 2)?;
            let cause = |cause: String| protocol("tools/list", &cause);
            tools.extend(names::read(&result).map_err(cause)?.0);
            let Some(cursor) = result.get("nextCursor").and_then(Value::as_str) else {
                let _ = socket.close(None).await;
                return Ok(Self { tools });
            };
            let next = list(Some(cursor)).to_string();
            let _ = socket.send(Message::text(next)).await;
        }
        Err(protocol("tools/list", "the list has no end"))
    }
}

fn hello() -> [Value; 3] {
    let initialize = json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
        "protocolVersion": "2024-11-05",
        "capabilities": {"roots": {"listChanged": true}, "sampling": {}},
        "clientInfo": {"name": "XiaozhiMCPEndpointClient", "version": "1.0.0"},
    }});
    let initialized =
        json!({"jsonrpc": "2.0", "method": "notifications/initialized", "params": {}});
    [initialize, initialized, list(None)]
}

fn list(cursor: Option<&str>) -> Value {
    let mut list = json!({"jsonrpc": "2.0", "id": 2, "method": "tools/list"});
    if let Some(cursor) = cursor {
        list["params"] = json!({"cursor": cursor});
    }
    list
}

type Socket = WebSocketStream<reqwest::Upgraded>;

/// Opens the socket through the room's own HTTP client, so that proxies, certificates and
/// redirects are what they are everywhere here (RFC 6455 §4.1).
async fn dial(url: &Url, ca: &CaFile) -> Result<Socket, RailError> {
    let connect = Duration::from_secs(10);
    let key = generate_key();
    let answer = wire::client(url, connect, ca)?
        .get(url.clone())
        .header(CONNECTION, "Upgrade")
        .header(UPGRADE, "websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", &key)
        .send()
        .await
        .map_err(|e| wire::unreachable(url, &e))?;
    let what = "the web socket";
    if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
        return Err(RailError::Http {
            what: what.to_owned(),
            status: answer.status().as_u16(),
            message: "no web socket there".to_owned(),
            code: None,
        });
    }
    let accept = answer.headers().get(SEC_WEBSOCKET_ACCEPT);
    if accept.is_none_or(|a| a.as_bytes() != derive_accept_key(key.as_bytes()).as_bytes()) {
        return Err(protocol(what, "the answer to its key is wrong"));
    }
    let stream = answer
        .upgrade()
        .await
        .map_err(|e| wire::unreachable(url, &e))?;
    let limits = WebSocketConfig::default()
        .max_message_size(Some(MAX_FRAME))
        .max_frame_size(Some(MAX_FRAME));
    Ok(WebSocketStream::from_raw_socket(stream, Role::Client, Some(limits)).await)
}

/// The answer with this id; everything else that comes is passed over, as there.
async fn answer(socket: &mut Socket, url: &Url, id: u64) -> Result<Value, RailError> {
    while let Some(message) = socket.next().await {
        let message = message.map_err(|e| RailError::Unreachable {
            url: wire::bare(url),
            cause: e.to_string(),
        })?;
        match message {
            Message::Text(text) => {
                let reply: Value = serde_json::from_str(text.as_str()).unwrap_or_default();
                if reply.get("id").and_then(Value::as_u64) == Some(id) {
                    return Ok(reply);
                }
            }
            Message::Close(frame) => {
                let (code, reason) = frame.map_or((1005, String::new()), |f| {
                    (u16::from(f.code), clean_to(f.reason.as_str(), 120))
                });
                return Err(refused(code, &reason));
            }
            _ => {}
        }
    }
    Err(protocol(
        "the endpoint",
        "it closed the socket without an answer",
    ))
}

/// What a closed socket means. 1008 is the endpoint server's word for a token it does not know.
fn refused(code: u16, reason: &str) -> RailError {
    let message = format!("closed with {code} {reason}");
    if code == 1008 {
        return RailError::Http {
            what: "the endpoint".to_owned(),
            status: 401,
            message,
            code: reason.starts_with("agentkeys.").then(|| reason.to_owned()),
        };
    }
    protocol("the endpoint", &message)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use tokio::net::TcpListener;
    use tokio_tungstenite::accept_hdr_async;
    use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
    use tokio_tungstenite::tungstenite::protocol::CloseFrame;

    /// What an endpoint does with each message: answers, or closes.
    type Script = fn(&Value) -> Option<Message>;

    /// A small endpoint on loopback for one connection: its address, and the path asked and the
    /// messages heard once that is over.
    async fn endpoint(script: Script) -> (String, tokio::task::JoinHandle<(String, Vec<Value>)>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!(
            "ws://{}/mcp_endpoint/mcp/?token=0af3",
            listener.local_addr().unwrap()
        );
        let task = tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let mut path = String::new();
            #[allow(clippy::result_large_err, reason = "the callback's own type")]
            let seen = |request: &Request, response: Response| {
                path = request.uri().to_string();
                Ok(response)
            };
            let mut socket = accept_hdr_async(stream, seen).await.unwrap();
            let mut heard = Vec::new();
            while let Some(Ok(Message::Text(text))) = socket.next().await {
                let message: Value = serde_json::from_str(text.as_str()).unwrap();
                if let Some(said) = script(&message) {
                    let _ = socket.send(said).await;
                }
                heard.push(message);
            }
            (path, heard)
        });
        (url, task)
    }

    fn tools(message: &Value, names: &[&str], next: Option<&str>) -> Message {
        let tools: Vec<Value> = names
            .iter()
            .map(|n| json!({"name": n, "inputSchema": {"type": "object", "properties": {}}}))
            .collect();
        let mut result = json!({"tools": tools});
        if let Some(next) = next {
            result["nextCursor"] = next.into();
        }
        Message::text(json!({"jsonrpc": "2.0", "id": message["id"], "result": result}).to_string())
    }

    #[tokio::test]
    async fn the_call_side_is_asked_as_xiaozhi_asks_it() {
        let (url, task) = endpoint(|message| match message["method"].as_str() {
            Some("initialize") => Some(Message::text(r#"{"jsonrpc":"2.0","id":1,"result":{}}"#)),
            Some("tools/list") if message.get("params").is_none() => {
                Some(tools(message, &["agentkeys.memory.get"], Some("c1")))
            }
            Some("tools/list") => Some(tools(message, &["agentkeys.memory.put"], None)),
            _ => None,
        })
        .await;
        let host = EndpointHost::connect(&url, &CaFile::default())
            .await
            .unwrap();
        let names: Vec<&str> = host.tools().iter().map(|t| t.tool.as_str()).collect();
        assert_eq!(names, ["agentkeys_memory_get", "agentkeys_memory_put"]);
        let (path, heard) = task.await.unwrap();
        assert_eq!(path, "/mcp_endpoint/call/?token=0af3");
        let mut wanted: Vec<Value> = hello().to_vec();
        wanted.push(list(Some("c1")));
        assert_eq!(heard, wanted);
        assert_eq!(heard[0]["params"]["protocolVersion"], "2024-11-05");
    }

    #[tokio::test]
    async fn a_refused_token_and_a_closed_socket_are_told() {
        let (url, _task) = endpoint(|_| {
            Some(Message::Close(Some(CloseFrame {
                code: 1008.into(),
                reason: "token解密失败".into(),
            })))
        })
        .await;
        let error = EndpointHost::connect(&url, &CaFile::default())
            .await
            .unwrap_err();
        assert_eq!(error.http_status(), Some(401), "{error}");
        assert!(
            error.to_string().contains("1008") && !error.to_string().contains("0af3"),
            "{error}"
        );

        let (url, _task) = endpoint(|message| {
            let error = json!({"jsonrpc": "2.0", "id": message["id"], "error": {"code": -32001, "message": "工具端未连接"}});
            (message["id"] == 2).then(|| Message::text(error.to_string()))
        })
        .await;
        let error = EndpointHost::connect(&url, &CaFile::default())
            .await
            .unwrap_err();
        assert!(
            matches!(error, RailError::Rpc { code: -32001, .. }),
            "{error}"
        );

        let ca = CaFile::default();
        let gone = EndpointHost::connect("ws://127.0.0.1:1/mcp_endpoint/mcp/?token=1", &ca);
        let error = gone.await.unwrap_err();
        assert!(matches!(error, RailError::Unreachable { .. }), "{error}");
        assert!(!error.to_string().contains("token"), "{error}");
    }

    #[tokio::test]
    async fn an_address_that_xiaozhi_ignores_is_not_dialled() {
        for url in [
            "http://h/mcp_endpoint/mcp/?token=1",
            "ws://h/mcp_endpoint/call/?token=1",
            "ws://agentKEYs/mcp_endpoint/mcp/?token=1",
        ] {
            let error = EndpointHost::connect(url, &CaFile::default()).await;
            assert!(matches!(error, Err(RailError::Input { .. })), "{url}");
        }
    }
}
