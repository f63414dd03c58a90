//! HTTP to an ACME server, with what the protocol's client leaves out: an end to every request and
//! body, what a refusal says about when to come back, and how far the two clocks are apart.

use super::trouble::{Kind, Trouble, said};
use bytes::{Bytes, BytesMut};
use http::header::{DATE, HeaderMap, HeaderValue, RETRY_AFTER};
use http::{Method, Request, StatusCode};
use http_body_util::BodyExt as _;
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use parking_lot::Mutex;
use reqwest::Certificate;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const CONNECT: Duration = Duration::from_secs(10);

/// Authorities may take their time over a certificate.
const WHOLE: Duration = Duration::from_secs(30);

/// Nothing an ACME server says is longer.
const MAX_BODY: usize = 512 * 1024;

/// Bundles of all authorities of the web are a quarter of this, bytes.
const MAX_CA_FILE: u64 = 1024 * 1024;

/// How far the clocks may be apart, seconds, before it is said.
const CLOCKS_APART: i64 = 600;

/// The longest wait an ACME server may ask for, seconds.
const MAX_RETRY_AFTER: i64 = 30 * 86_400;

/// How long a window of renewal is good that comes without saying so, seconds (RFC 9773 §4.3.3).
const WINDOW_GOOD_FOR: &str = "21600";

/// Time in Unix seconds.
pub(super) type Now = Arc<dyn Fn() -> i64 + Send + Sync>;

/// What the last answer said besides.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Heard {
    /// How long to wait before the same is asked again, seconds.
    pub(super) wait: Option<i64>,
    /// Our clock less theirs, seconds.
    pub(super) ahead: Option<i64>,
}

/// The way to one ACME server.
#[derive(Clone)]
pub(super) struct Http {
    client: reqwest::Client,
    now: Now,
    heard: Arc<Mutex<Heard>>,
}

impl Http {
    /// Trusts what the machine trusts and the authorities in a file.
    pub(super) fn new(directory: &http::Uri, ca: Option<&Path>, now: Now) -> Result<Self, Trouble> {
        let mut builder = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .https_only(true)
            .connect_timeout(CONNECT)
            .timeout(WHOLE)
            .user_agent(concat!("agentkeys/", env!("CARGO_PKG_VERSION")));
        if directory
            .host()
            .is_some_and(crate::rails::wire::is_loopback)
        {
            builder = builder.no_proxy();
        }
        if let Some(path) = ca {
            let bad = |what: String| {
                Trouble::new(
                    Kind::Config,
                    format!("tls.ca_file {}: {what}", path.display()),
                )
            };
            let file = std::fs::File::open(path);
            let pem = file.and_then(|file| crate::folder::bounded(&file, MAX_CA_FILE));
            let pem = pem.map_err(|e| bad(e.to_string()))?;
            let certificates =
                Certificate::from_pem_bundle(&pem).map_err(|e| bad(e.to_string()))?;
            if certificates.is_empty() {
                return Err(bad("there is no certificate in it".to_owned()));
            }
            builder = builder.tls_certs_merge(certificates);
        }
        let client = builder.build();
        Ok(Self {
            client: client.map_err(|e| Trouble::new(Kind::Unreachable, chain(&e)))?,
            now,
            heard: Arc::default(),
        })
    }

    /// What the last answer said besides.
    pub(super) fn heard(&self) -> Heard {
        *self.heard.lock()
    }

    async fn send(self, request: Request<BodyWrapper<Bytes>>) -> Result<BytesResponse, Error> {
        let (parts, body) = request.into_parts();
        let Ok(body) = body.collect().await;
        let asks_for_window = parts.method == Method::GET;
        let mut asked = self.client.request(parts.method, parts.uri.to_string());
        asked = asked.headers(parts.headers).body(body.to_bytes());
        let mut response = asked.send().await.map_err(|e| lost(&e))?;
        let (status, mut headers) = (response.status(), std::mem::take(response.headers_mut()));
        let body = bounded(response).await?;
        let wait = retry_after(&headers, (self.now)());
        *self.heard.lock() = Heard {
            wait,
            ahead: ahead(&headers, (self.now)()),
        };
        if !(status.is_success() || is_bad_nonce(status, &body)) {
            return Err(trouble(Trouble {
                not_before: wait.map(|wait| (self.now)() + wait),
                ..refused(status, &body)
            }));
        }
        // The client of the protocol takes a window for nothing without it.
        if asks_for_window && !headers.contains_key(RETRY_AFTER) {
            headers.insert(RETRY_AFTER, HeaderValue::from_static(WINDOW_GOOD_FOR));
        }
        let mut response = http::Response::new(());
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        Ok(BytesResponse {
            parts: response.into_parts().0,
            body: Box::new(body),
        })
    }
}

impl HttpClient for Http {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        Box::pin(self.clone().send(request))
    }
}

fn trouble(trouble: Trouble) -> Error {
    Error::Other(Box::new(trouble))
}

/// A request that got no answer. A certificate out of its time is more often a clock that is wrong.
fn lost(error: &reqwest::Error) -> Error {
    let text = chain(error);
    let lower = text.to_ascii_lowercase();
    // As `tls::said` says it.
    let out_of_time = ["the certificate ended at", "the certificate begins at"];
    let kind = if out_of_time.iter().any(|w| lower.contains(w)) {
        Kind::Clock
    } else {
        Kind::Unreachable
    };
    trouble(Trouble::new(
        kind,
        format!("the ACME server cannot be asked: {text}"),
    ))
}

fn chain(error: &reqwest::Error) -> String {
    crate::rails::wire::chain(error)
}

async fn bounded(mut response: reqwest::Response) -> Result<Bytes, Error> {
    let mut out = BytesMut::new();
    while let Some(chunk) = response.chunk().await.map_err(|e| lost(&e))? {
        if out.len() + chunk.len() > MAX_BODY {
            let cause = "the ACME server says more than an ACME server has to say";
            return Err(trouble(Trouble::new(Kind::Unreachable, cause)));
        }
        out.extend_from_slice(&chunk);
    }
    Ok(out.freeze())
}

fn is_bad_nonce(status: StatusCode, body: &[u8]) -> bool {
    let problem = || serde_json::from_slice::<instant_acme::Problem>(body).ok();
    status == StatusCode::BAD_REQUEST && problem().is_some_and(|p| said(&p).kind == Kind::Nonce)
}

fn refused(status: StatusCode, body: &[u8]) -> Trouble {
    let problem = serde_json::from_slice::<instant_acme::Problem>(body).ok();
    let told = problem.filter(|p| p.r#type.is_some() || p.detail.is_some());
    let mut trouble = match told {
        Some(problem) => said(&problem),
        None => Trouble::new(
            Kind::Refused,
            format!("the ACME server answers {status}, and does not say why"),
        ),
    };
    match status {
        StatusCode::TOO_MANY_REQUESTS => trouble.kind = Kind::RateLimited,
        status if status.is_server_error() => trouble.kind = Kind::Unreachable,
        _ => {}
    }
    trouble
}

/// Seconds to wait: a number, or a date (RFC 9110 §10.2.3), which is one of the server's clock.
fn retry_after(headers: &HeaderMap, now: i64) -> Option<i64> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let theirs = || Some(now - ahead(headers, now)?);
    let seconds = text.parse().ok();
    let seconds = seconds.or_else(|| Some(date(text)? - theirs().unwrap_or(now)));
    seconds.map(|s: i64| s.clamp(0, MAX_RETRY_AFTER))
}

fn ahead(headers: &HeaderMap, now: i64) -> Option<i64> {
    Some(now - date(headers.get(DATE)?.to_str().ok()?)?)
}

fn date(text: &str) -> Option<i64> {
    let time: SystemTime = httpdate::parse_http_date(text).ok()?;
    let since = time.duration_since(UNIX_EPOCH).ok()?;
    i64::try_from(since.as_secs()).ok()
}

impl Heard {
    /// What to say of the clocks, if they are far apart.
    pub(super) fn clocks(&self) -> Option<String> {
        let ahead = self.ahead.filter(|a| a.abs() > CLOCKS_APART)?;
        let way = if ahead > 0 { "ahead of" } else { "behind" };
        let minutes = (ahead.abs() + 30) / 60;
        Some(format!(
            "this machine's clock is {minutes} minutes {way} the ACME server's"
        ))
    }
}

/// What an error of the protocol's client comes to.
pub(super) fn because(error: Error) -> Trouble {
    match error {
        Error::Api(problem) => said(&problem),
        Error::Other(inner) => match inner.downcast::<Trouble>() {
            Ok(trouble) => *trouble,
            Err(other) => {
                let text = other.to_string();
                let kind = if text.contains("replaces field") {
                    Kind::Replaces
                } else {
                    Kind::Unreachable
                };
                Trouble::new(kind, format!("the ACME server is not understood: {text}"))
            }
        },
        Error::Timeout(_) => Trouble::new(Kind::Pending, "the ACME server is still at it"),
        Error::Unsupported(what) => Trouble::new(
            Kind::Refused,
            format!("the ACME server does not know {what}"),
        ),
        other => Trouble::new(
            Kind::Unreachable,
            format!("the ACME server is not understood: {other}"),
        ),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn waits_are_read_in_both_forms_and_bounded() {
        let wait = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, HeaderValue::from_str(text).unwrap());
            retry_after(&headers, 1_445_412_000)
        };
        assert_eq!(wait("120"), Some(120));
        assert_eq!(wait("Wed, 21 Oct 2015 07:28:00 GMT"), Some(480));
        assert_eq!(wait("Wed, 21 Oct 2015 07:00:00 GMT"), Some(0));
        assert_eq!(wait("99999999999"), Some(MAX_RETRY_AFTER));
        assert_eq!(wait("soon"), None);
        // By the clock it was said by.
        let mut headers = HeaderMap::new();
        for (name, value) in [
            (RETRY_AFTER, "Wed, 21 Oct 2015 07:28:00 GMT"),
            (DATE, "Wed, 21 Oct 2015 07:27:00 GMT"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        assert_eq!(retry_after(&headers, 1_445_412_000), Some(60));
    }

    #[test]
    fn a_status_says_more_than_a_body_that_is_none() {
        let of = |status: u16, body: &str| {
            refused(StatusCode::from_u16(status).unwrap(), body.as_bytes())
        };
        assert_eq!(of(429, "slow down").kind, Kind::RateLimited);
        assert_eq!(of(503, "<html>").kind, Kind::Unreachable);
        assert_eq!(of(403, "<html>").kind, Kind::Refused);
        assert_eq!(
            of(
                403,
                r#"{"type":"urn:ietf:params:acme:error:caa","detail":"no"}"#
            )
            .kind,
            Kind::Caa
        );
    }

    #[test]
    fn clocks_that_are_far_apart_are_told() {
        let heard = |ahead| Heard {
            wait: None,
            ahead: Some(ahead),
        };
        assert_eq!(heard(599).clocks(), None);
        assert_eq!(
            heard(-86_400).clocks().unwrap(),
            "this machine's clock is 1440 minutes behind the ACME server's"
        );
    }
}
