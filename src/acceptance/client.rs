//! HTTP as a stranger speaks it: every header as the caller wants it, wrong ones included.

use std::path::Path;
use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, Url};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::Value;

use super::outside::who_answers;
use super::{AcceptError, answer};
use crate::rails::wire;
use crate::text::clean_to;

/// No call of a suite may take longer.
const DEADLINE: Duration = Duration::from_secs(15);
/// No answer of ours is larger; a larger one is cut off.
const MAX_BODY: usize = 8 * 1024 * 1024;

/// A further certificate authority to trust, for servers with a private certificate.
#[derive(Debug, Clone, Default)]
pub struct Trust {
    certificates: Vec<reqwest::Certificate>,
    der: Vec<CertificateDer<'static>>,
}

impl Trust {
    /// Reads a PEM file; nothing when none is named.
    pub fn read(path: Option<&Path>) -> Result<Self, AcceptError> {
        let Some(path) = path else {
            return Ok(Self::default());
        };
        let unread = |cause: &dyn std::fmt::Display| AcceptError::input_with(path, cause, FIX_PEM);
        let pem = std::fs::read(path).map_err(|e| unread(&e))?;
        let certs = reqwest::Certificate::from_pem_bundle(&pem).map_err(|e| unread(&e))?;
        if certs.is_empty() {
            return Err(unread(&"holds no PEM certificate"));
        }
        let der: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
        Ok(Self {
            certificates: certs,
            der: der.map_err(|e| unread(&e))?,
        })
    }

    /// The same as certificates in DER.
    pub(super) fn der(&self) -> &[CertificateDer<'static>] {
        &self.der
    }
}

const FIX_PEM: &str = "give --ca-file a file with certificates in PEM";
const FIX_SCHEME: &str = "write http:// or https:// before it";
const FIX_ADDRESS: &str = "give an address such as https://mcp.example.com";

/// Headers of one request, in order; a name may come twice.
pub(super) type Headers = Vec<(&'static str, HeaderValue)>;

/// An answer, whatever its status.
#[derive(Debug, Clone, Default)]
pub(super) struct Reply {
    pub status: u16,
    pub headers: HeaderMap,
    /// The JSON that came, out of its SSE event if it rode in one; null when none did, and when it
    /// could be read in more than one way.
    pub json: Value,
    /// Why there is none.
    pub amiss: Option<&'static str>,
}

impl Reply {
    /// A JSON string inside.
    pub fn text(&self, pointer: &str) -> Option<&str> {
        self.json.pointer(pointer).and_then(Value::as_str)
    }

    /// The stable code of a refusal.
    pub fn code(&self) -> &str {
        self.text("/error/data/code").unwrap_or_default()
    }

    /// How long to wait where the bound on calls was met; nothing where another answer came, or one
    /// that wants to be waited for too long.
    pub fn retry_after(&self) -> Option<Duration> {
        let after = self.headers.get("retry-after")?.to_str().ok()?;
        let left = Duration::from_secs(after.parse().ok()?);
        (self.status == 429 && left <= DEADLINE).then_some(left)
    }

    /// In one line for a report.
    pub fn told(&self) -> String {
        match self.amiss {
            Some(what) => format!("HTTP {}, and its body is not taken: {what}", self.status),
            None => format!(
                "HTTP {} {}",
                self.status,
                clean_to(&self.json.to_string(), 400)
            ),
        }
    }
}

/// A server's address, which reports name.
pub fn address(url: &str) -> Result<Url, AcceptError> {
    let what = Path::new("--url");
    let wrong = |cause: &dyn std::fmt::Display, fix| AcceptError::input_with(what, cause, fix);
    let scheme = url.split_once("://").map(|(scheme, _)| scheme);
    if !scheme.is_some_and(|s| {
        ["http", "https"]
            .iter()
            .any(|own| s.eq_ignore_ascii_case(own))
    }) {
        return Err(wrong(
            &"does not begin with http:// or https://",
            FIX_SCHEME,
        ));
    }
    let parsed = Url::parse(url).map_err(|e| wrong(&e, FIX_ADDRESS))?;
    if !parsed.username().is_empty() || parsed.password().is_some() {
        let cause = "has a user or a password in it, which every report would tell";
        return Err(wrong(&cause, "leave user and password out"));
    }
    Ok(parsed)
}

/// An error where a secret could be read on its way to the address after a flag.
pub fn in_the_clear(url: &str, what: &'static str, flag: &'static str) -> Result<(), AcceptError> {
    match Url::parse(url) {
        Ok(url) if url.scheme() == "http" && !url.host_str().is_some_and(wire::is_loopback) => {
            Err(AcceptError::Plaintext { what, flag })
        }
        _ => Ok(()),
    }
}

/// A server under proof.
#[derive(Debug, Clone)]
pub(super) struct Client {
    http: reqwest::Client,
    base: String,
}

impl Client {
    /// For calls without a token. `url` is the server's address, with or without `/mcp`.
    pub fn of_nobody(url: &str, trust: &Trust) -> Result<Self, AcceptError> {
        let parsed = address(url)?;
        let base = parsed.as_str().trim_end_matches('/');
        let base = base.strip_suffix("/mcp").unwrap_or(base).to_owned();
        // A redirect is a finding, and would carry the token on.
        let mut builder = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(DEADLINE)
            .tcp_nodelay(true);
        if parsed.host_str().is_some_and(wire::is_loopback) {
            builder = builder.no_proxy();
        }
        if !trust.certificates.is_empty() {
            builder = builder.tls_certs_merge(trust.certificates.clone());
        }
        let http = builder
            .build()
            .map_err(|e| AcceptError::input(Path::new("--url"), e))?;
        Ok(Self { http, base })
    }

    /// For calls with tokens: they go to nobody on the way, and to nobody but `AgentKeys`, of this
    /// authority where it is known.
    pub async fn new(
        url: &str,
        trust: &Trust,
        authority: Option<&str>,
    ) -> Result<Self, AcceptError> {
        let client = Self::of_nobody(url, trust)?;
        in_the_clear(url, "the token", "--url")?;
        let health = client.get("/healthz", &Headers::new()).await?;
        if health.text("/name") != Some("agentkeys") {
            let cause = format!(
                "something else answers at {}: {}",
                client.base,
                health.told()
            );
            return Err(AcceptError::Stranger(cause));
        }
        let live = health.text("/authority").unwrap_or_default();
        if authority.is_some_and(|own| own != live) {
            return Err(AcceptError::Stranger(who_answers(live, &client.base)));
        }
        Ok(client)
    }

    /// Whether this is the port of the operator's tools: it says whether it is ready, and has nothing
    /// that hosts call.
    pub async fn is_operators(&self) -> Result<bool, AcceptError> {
        let none = Headers::new();
        let has = async |path| Ok::<_, AcceptError>(self.get(path, &none).await?.status != 404);
        Ok(!has("/.well-known/jwks.json").await? && has("/readyz").await?)
    }

    /// The server's address, without `/mcp`.
    pub fn base(&self) -> &str {
        &self.base
    }

    pub async fn post(
        &self,
        path: &str,
        headers: &Headers,
        body: &Value,
    ) -> Result<Reply, AcceptError> {
        let request = self
            .http
            .post(format!("{}{path}", self.base))
            .header("content-type", "application/json");
        let body = body.to_string().into_bytes();
        Ok(self.whole(request, headers, body).await?.0)
    }

    pub async fn get(&self, path: &str, headers: &Headers) -> Result<Reply, AcceptError> {
        let request = self.http.get(format!("{}{path}", self.base));
        Ok(self.whole(request, headers, Vec::new()).await?.0)
    }

    /// A request with exactly these headers, no `content-type` unless it is among them; with the
    /// answer's body as it came.
    pub async fn bare(
        &self,
        method: Method,
        path: &str,
        headers: &Headers,
        body: Vec<u8>,
    ) -> Result<(Reply, Vec<u8>), AcceptError> {
        let request = self.http.request(method, format!("{}{path}", self.base));
        self.whole(request, headers, body).await
    }

    /// Opens an answer that goes on, for as long as `longest`.
    pub async fn stream(
        &self,
        path: &str,
        headers: &Headers,
        longest: Duration,
    ) -> Result<reqwest::Response, AcceptError> {
        let request = self.http.get(format!("{}{path}", self.base));
        let open = self.execute(request.timeout(longest), headers);
        let opened = tokio::time::timeout(DEADLINE, open).await;
        opened.unwrap_or_else(|_| {
            Err(AcceptError::Unreachable {
                url: self.base.clone(),
                cause: format!("no answer within {} s", DEADLINE.as_secs()),
            })
        })
    }

    fn lost(&self, error: &reqwest::Error) -> AcceptError {
        AcceptError::Unreachable {
            url: self.base.clone(),
            cause: why(error),
        }
    }

    async fn execute(
        &self,
        request: reqwest::RequestBuilder,
        headers: &Headers,
    ) -> Result<reqwest::Response, AcceptError> {
        let lost = |e: reqwest::Error| self.lost(&e);
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(HeaderName::from_static(name), value.clone());
        }
        let mut request = request.build().map_err(lost)?;
        for (name, value) in &map {
            request.headers_mut().append(name, value.clone());
        }
        self.http.execute(request).await.map_err(lost)
    }

    async fn whole(
        &self,
        request: reqwest::RequestBuilder,
        headers: &Headers,
        asked: Vec<u8>,
    ) -> Result<(Reply, Vec<u8>), AcceptError> {
        let lost = |e: reqwest::Error| self.lost(&e);
        let mut came = self.execute(request.body(asked.clone()), headers).await?;
        let mut body = Vec::new();
        while let Some(chunk) = came.chunk().await.map_err(lost)? {
            if body.len() + chunk.len() > MAX_BODY {
                return Err(AcceptError::protocol(
                    "an answer",
                    "it is larger than 8 MiB",
                ));
            }
            body.extend_from_slice(&chunk);
        }
        let headers = std::mem::take(came.headers_mut());
        let kind = headers.get("content-type").and_then(|k| k.to_str().ok());
        let read = answer::read(kind.unwrap_or_default(), &body, &asked);
        let reply = Reply {
            status: came.status().as_u16(),
            amiss: read.as_ref().err().copied(),
            json: read.unwrap_or_default(),
            headers,
        };
        Ok((reply, body))
    }
}

/// A header value that may hold any bytes HTTP can carry.
pub(super) fn value(text: &str) -> HeaderValue {
    let mut value =
        HeaderValue::from_bytes(text.as_bytes()).unwrap_or(HeaderValue::from_static(""));
    value.set_sensitive(true);
    value
}

/// The causes that reqwest hides behind its first sentence, without the URL.
fn why(error: &reqwest::Error) -> String {
    let mut words = Vec::new();
    let mut next: Option<&dyn std::error::Error> = Some(error);
    while let Some(e) = next {
        let text = e.to_string();
        words.push(text.split(" for url (").next().unwrap_or(&text).to_owned());
        next = e.source();
    }
    clean_to(&words.join(": "), 400)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_address_may_end_in_mcp() {
        for url in [
            "http://h:1",
            "http://h:1/",
            "http://h:1/mcp",
            "http://h:1/mcp/",
        ] {
            let client = Client::of_nobody(url, &Trust::default()).unwrap();
            assert_eq!(client.base(), "http://h:1");
        }
        assert!(Client::of_nobody("file:///etc/passwd", &Trust::default()).is_err());
    }

    #[tokio::test]
    async fn a_token_goes_to_nobody_in_the_clear_and_no_password_is_told() {
        let refused = async |url: &str| {
            let client = Client::new(url, &Trust::default(), None).await;
            crate::problem::Problem::from(client.unwrap_err())
        };
        for url in [
            "http://192.0.2.1",
            "http://mcp.nowhere.invalid:8088/mcp",
            "HTTP://127.0.0.1.a.b",
        ] {
            let problem = refused(url).await;
            assert_eq!(problem.code, "agentkeys.accept.plaintext_refused", "{url}");
        }
        for near in [
            "http://127.0.0.1:8088",
            "http://localhost/mcp",
            "http://[::1]:1",
        ] {
            assert!(in_the_clear(near, "it", "--url").is_ok(), "{near}");
        }
        for url in [
            "https://user:pw-of-mine@127.0.0.1:9",
            "https://pw-of-mine@127.0.0.1:9",
        ] {
            let problem = refused(url).await;
            assert!(problem.cause.contains("a password"), "{problem:?}");
            assert!(!problem.cause.contains("pw-of-mine"), "{problem:?}");
        }
    }
}
