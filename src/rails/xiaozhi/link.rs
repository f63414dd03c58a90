//! The HTTP side of a device session: each message as the Python SDK sends it.

use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde_json::{Map, Value};
use tokio_util::task::AbortOnDropHandle;

use super::Settings;
use crate::rails::{RailError, wire};
use crate::text::clean_to;

pub(super) const SESSION: &str = "mcp-session-id";
pub(super) const VERSION: &str = "mcp-protocol-version";

/// An answer to a request.
pub(super) struct Answer {
    pub result: Value,
    pub status: u16,
    pub session: Option<String>,
}

/// The HTTP side of the session.
#[derive(Debug)]
pub(super) struct Link {
    http: reqwest::Client,
    url: reqwest::Url,
    headers: HeaderMap,
    pub session: bool,
}

impl Link {
    pub(super) fn new(settings: &Settings) -> Result<Self, RailError> {
        let mut headers = HeaderMap::new();
        headers.insert(
            "user-agent",
            HeaderValue::from_static("python-httpx/0.28.1"),
        );
        headers.insert(
            "accept",
            HeaderValue::from_static("application/json, text/event-stream"),
        );
        headers.insert("content-type", HeaderValue::from_static("application/json"));
        for (name, value) in &settings.headers {
            let bad = |cause: &str| RailError::Input {
                what: format!("entry `{}`", settings.entry),
                cause: format!("header `{name}` {cause}"),
            };
            let key: HeaderName = name.parse().map_err(|_| bad("has an invalid name"))?;
            let mut value: HeaderValue = value
                .expose()
                .parse()
                .map_err(|_| bad("has a value that HTTP cannot carry"))?;
            value.set_sensitive(true);
            // Append: two keys of the file that differ in case are two headers there as well.
            headers.append(key, value);
        }
        Ok(Self {
            http: wire::client(&settings.url, settings.timeout, &settings.ca)?,
            url: settings.url.clone(),
            headers,
            session: false,
        })
    }

    /// What every request after `initialize` carries, in the SDK's order.
    pub(super) fn settle(&mut self, session: Option<&str>, version: &str) -> Result<(), RailError> {
        if let Some(id) = session {
            self.set(SESSION, id)?;
            self.session = true;
        }
        self.set(VERSION, version)
    }

    fn set(&mut self, name: &'static str, value: &str) -> Result<(), RailError> {
        let value = value.parse().map_err(|_| RailError::Protocol {
            what: "initialize".to_owned(),
            cause: format!("the answer's {name} cannot be sent back"),
        })?;
        self.headers.insert(name, value);
        Ok(())
    }

    pub(super) fn builder(&self, method: Method) -> RequestBuilder {
        self.http
            .request(method, self.url.clone())
            .headers(self.headers.clone())
    }

    pub(super) async fn send(&self, request: RequestBuilder) -> Result<Response, RailError> {
        request
            .send()
            .await
            .map_err(|e| wire::unreachable(&self.url, &e))
    }

    /// One JSON-RPC request. The key order of the body is the Python SDK's.
    pub(super) async fn request(
        &self,
        method: &str,
        params: Option<Value>,
        id: u64,
    ) -> Result<Answer, RailError> {
        let mut response = self
            .post(method, &message(method, params, Some(id)))
            .await?;
        let status = response.status();
        if !status.is_success() {
            return Err(self.refusal(method, &mut response).await);
        }
        if status == StatusCode::ACCEPTED {
            return Err(protocol(
                method,
                "202 to a request: this host waits until its deadline",
            ));
        }
        let header = |name| {
            response
                .headers()
                .get(name)
                .and_then(|v| v.to_str().ok())
                .map(str::to_owned)
        };
        let session = header(SESSION);
        let kind = header("content-type")
            .unwrap_or_default()
            .to_ascii_lowercase();
        let reply = if kind.starts_with("application/json") {
            let bytes = wire::body(method, &self.url, &mut response).await?;
            serde_json::from_slice(&bytes).map_err(|e| {
                protocol(
                    method,
                    &format!("the answer is not JSON ({e}): this host waits until its deadline"),
                )
            })?
        } else if kind.starts_with("text/event-stream") {
            let ours = |v: &Value| v.get("id").is_some() && v.get("method").is_none();
            wire::sse_until(method, &self.url, &mut response, ours).await?
        } else {
            return Err(protocol(
                method,
                &format!(
                    "content type `{}`: this host waits until its deadline",
                    clean_to(&kind, 80)
                ),
            ));
        };
        Ok(Answer {
            result: unwrap_reply(method, reply, id)?,
            status: status.as_u16(),
            session,
        })
    }

    pub(super) async fn notify(&self, method: &str) -> Result<(), RailError> {
        let mut response = self.post(method, &message(method, None, None)).await?;
        if response.status().is_success() || response.status() == StatusCode::NOT_FOUND {
            return Ok(());
        }
        Err(self.refusal(method, &mut response).await)
    }

    async fn post(&self, method: &str, body: &Value) -> Result<Response, RailError> {
        let bytes = serde_json::to_vec(body).map_err(|e| protocol(method, &e.to_string()))?;
        self.send(self.builder(Method::POST).body(bytes)).await
    }

    /// The stream for the server's own messages. The SDK starts it between `initialized` and the
    /// list; waiting shortly for its headers keeps that order without hanging on a silent server.
    pub(super) async fn open_stream(&self) -> Option<AbortOnDropHandle<()>> {
        let mut request = self
            .builder(Method::GET)
            .header("cache-control", "no-store");
        // The SDK really sends two `Accept` headers here.
        request = request.header("accept", "text/event-stream");
        let request = request.build().ok()?;
        let http = self.http.clone();
        let (seen, headers_seen) = tokio::sync::oneshot::channel();
        let task = tokio::spawn(async move {
            let answer = http.execute(request).await;
            let _ = seen.send(());
            if let Ok(mut response) = answer
                && response.status().is_success()
            {
                while let Ok(Some(_)) = response.chunk().await {}
            }
        });
        let _ = tokio::time::timeout(Duration::from_secs(1), headers_seen).await;
        Some(AbortOnDropHandle::new(task))
    }

    async fn refusal(&self, what: &str, response: &mut Response) -> RailError {
        let status = response.status().as_u16();
        if response.status().is_redirection() {
            return RailError::Http {
                what: what.to_owned(),
                status,
                message: "a redirect; xiaozhi-server would follow it with the token".to_owned(),
                code: None,
            };
        }
        let bytes = wire::body(what, &self.url, response)
            .await
            .unwrap_or_default();
        let json: Value = serde_json::from_slice(&bytes).unwrap_or_default();
        let error = json.get("error");
        let message = error
            .and_then(|e| e.get("message"))
            .and_then(Value::as_str)
            .map_or_else(
                || String::from_utf8_lossy(&bytes).into_owned(),
                str::to_owned,
            );
        RailError::Http {
            what: what.to_owned(),
            status,
            message: clean_to(&message, 300),
            code: data_code(error),
        }
    }
}

fn message(method: &str, params: Option<Value>, id: Option<u64>) -> Value {
    let mut out = Map::new();
    out.insert("method".to_owned(), method.into());
    if let Some(params) = params {
        out.insert("params".to_owned(), params);
    }
    out.insert("jsonrpc".to_owned(), "2.0".into());
    if let Some(id) = id {
        out.insert("id".to_owned(), id.into());
    }
    Value::Object(out)
}

/// The `result` of a reply to `id`.
pub(super) fn unwrap_reply(method: &str, mut reply: Value, id: u64) -> Result<Value, RailError> {
    if reply.get("id").and_then(Value::as_u64) != Some(id) {
        return Err(protocol(
            method,
            &format!("the answer's id is not the number {id}: this host waits until its deadline"),
        ));
    }
    if let Some(error) = reply.get("error") {
        return Err(RailError::Rpc {
            what: method.to_owned(),
            code: error
                .get("code")
                .and_then(Value::as_i64)
                .unwrap_or_default(),
            message: clean_to(
                error
                    .get("message")
                    .and_then(Value::as_str)
                    .unwrap_or_default(),
                300,
            ),
            data_code: data_code(Some(error)),
        });
    }
    match reply.get_mut("result").map(Value::take) {
        Some(result @ Value::Object(_)) => Ok(result),
        _ => Err(protocol(method, "the answer has no object `result`")),
    }
}

fn data_code(error: Option<&Value>) -> Option<String> {
    error?
        .get("data")?
        .get("code")?
        .as_str()
        .map(|c| clean_to(c, 120))
}

pub(super) fn protocol(what: &str, cause: &str) -> RailError {
    RailError::Protocol {
        what: what.to_owned(),
        cause: cause.to_owned(),
    }
}
