//! What both rails share of HTTP: a client that follows no redirect, and bounded reading of answers.

use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use reqwest::{ClientBuilder, Response, Url};
use serde_json::Value;

use super::RailError;
use crate::text::clean_to;

/// A larger answer is cut off: no host of ours has a use for it, and memory is bounded.
const MAX_BODY: usize = 8 * 1024 * 1024;

/// A further certificate authority to trust, for servers with a private certificate.
#[derive(Debug, Clone, Default)]
pub struct CaFile(Vec<reqwest::Certificate>);

impl CaFile {
    /// Reads a PEM file with one or more certificates.
    pub fn read(path: &Path) -> Result<Self, RailError> {
        let bad = |cause: String| RailError::Input {
            what: path.display().to_string(),
            cause,
        };
        let pem = std::fs::read(path).map_err(|e| bad(e.to_string()))?;
        let certs = reqwest::Certificate::from_pem_bundle(&pem).map_err(|e| bad(e.to_string()))?;
        if certs.is_empty() {
            return Err(bad("holds no PEM certificate".to_owned()));
        }
        Ok(Self(certs))
    }
}

/// Parses an address of a server: `http` or `https`, with a host.
pub(crate) fn parse_url(what: &str, text: &str) -> Result<Url, RailError> {
    let bad = |cause: String| RailError::Input {
        what: what.to_owned(),
        cause,
    };
    let url = Url::parse(text).map_err(|e| bad(format!("the address is not a URL: {e}")))?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(bad("the address is not an http(s) URL".to_owned()));
    }
    Ok(url)
}

/// An error where a secret could be read on its way.
pub(super) fn no_plaintext(what: &str, url: &Url, secret: &str) -> Result<(), RailError> {
    if url.scheme() == "http" && !url.host_str().is_some_and(is_loopback) {
        return Err(RailError::Input {
            what: what.to_owned(),
            cause: format!("{secret} would travel unencrypted to it; give its https:// address"),
        });
    }
    Ok(())
}

/// The one kind of HTTP client of this room.
///
/// Redirects are not followed: the requests carry credentials, and a redirect is a finding, not a
/// detail. A proxy from the environment is not used for loopback, where it cannot help.
pub(crate) fn client(
    url: &Url,
    connect: Duration,
    ca: &CaFile,
) -> Result<reqwest::Client, RailError> {
    built(builder(url, connect, ca))
}

/// The same before it is built, for a caller that has more to say about it.
pub(crate) fn builder(url: &Url, connect: Duration, ca: &CaFile) -> ClientBuilder {
    let mut builder = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(connect)
        .tcp_nodelay(true);
    if url.host_str().is_some_and(is_loopback) {
        builder = builder.no_proxy();
    }
    if !ca.0.is_empty() {
        builder = builder.tls_certs_merge(ca.0.clone());
    }
    builder
}

/// Builds it.
pub(crate) fn built(builder: ClientBuilder) -> Result<reqwest::Client, RailError> {
    builder.build().map_err(|e| RailError::Input {
        what: "TLS set-up".to_owned(),
        cause: chain(&e),
    })
}

/// Whether a host of a URL, or of a `Host` header without its port, is this machine by its form.
pub(crate) fn is_loopback(host: &str) -> bool {
    host == "localhost" || literal(host).is_some_and(|ip| ip.is_loopback())
}

/// A host that is an address and no name.
pub(super) fn literal(host: &str) -> Option<IpAddr> {
    let host = host
        .strip_prefix('[')
        .and_then(|h| h.strip_suffix(']'))
        .unwrap_or(host);
    host.parse().ok()
}

/// A network failure, told with the causes that reqwest hides behind its first sentence.
pub(super) fn unreachable(url: &Url, error: &reqwest::Error) -> RailError {
    RailError::Unreachable {
        url: bare(url),
        cause: chain(error),
    }
}

/// The address without user, query and fragment, where secrets may ride.
pub(crate) fn bare(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    url.set_fragment(None);
    // Both fail only for URLs that cannot have them, which then hold none.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.to_string()
}

/// An error's sentence and those of its causes, in one line, without the URL (it is told beside it).
pub(crate) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut words: Vec<String> = Vec::new();
    let mut next = Some(error);
    while let Some(e) = next {
        if let Some(told) = crate::tls::said(e) {
            words.push(told);
            break;
        }
        let text = e.to_string();
        let text = text.split(" for url (").next().unwrap_or(&text).to_owned();
        if !words.iter().any(|w| w.contains(&text)) {
            words.push(text);
        }
        next = e.source();
    }
    clean_to(&words.join(": "), 400)
}

/// Reads a body to its end, refusing one that is too large.
pub(super) async fn body(
    what: &str,
    url: &Url,
    response: &mut Response,
) -> Result<Vec<u8>, RailError> {
    let mut out = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|e| unreachable(url, &e))? {
        if out.len() + chunk.len() > MAX_BODY {
            return Err(too_large(what));
        }
        out.extend_from_slice(&chunk);
    }
    Ok(out)
}

fn too_large(what: &str) -> RailError {
    RailError::Protocol {
        what: what.to_owned(),
        cause: format!("the answer is larger than {MAX_BODY} bytes"),
    }
}

/// Reads a server-sent event stream up to the first event that `wanted` accepts; it is shown every
/// event before that one too.
pub(super) async fn sse_until(
    what: &str,
    url: &Url,
    response: &mut Response,
    mut wanted: impl FnMut(&Value) -> bool,
) -> Result<Value, RailError> {
    let mut events = SseEvents::default();
    let mut total = 0;
    while let Some(chunk) = response.chunk().await.map_err(|e| unreachable(url, &e))? {
        total += chunk.len();
        if total > MAX_BODY {
            return Err(too_large(what));
        }
        for data in events.push(&chunk) {
            if let Ok(value) = serde_json::from_slice::<Value>(&data)
                && wanted(&value)
            {
                return Ok(value);
            }
        }
    }
    Err(RailError::Protocol {
        what: what.to_owned(),
        cause: "the event stream ended without the answer".to_owned(),
    })
}

/// Splits an event stream into the data of its events (WHATWG HTML §9.2; only `data` matters here).
#[derive(Default)]
pub(crate) struct SseEvents {
    line: Vec<u8>,
    data: Option<Vec<u8>>,
    after_cr: bool,
}

impl SseEvents {
    /// Takes what came; the data of each event that is whole now.
    pub(crate) fn push(&mut self, chunk: &[u8]) -> Vec<Vec<u8>> {
        let mut done = Vec::new();
        for &byte in chunk {
            let after_cr = std::mem::replace(&mut self.after_cr, byte == b'\r');
            match byte {
                b'\n' if after_cr => {}
                b'\r' | b'\n' => done.extend(self.end_line()),
                _ => self.line.push(byte),
            }
        }
        done
    }

    /// How many bytes of an event are kept that is not whole yet.
    pub(crate) fn pending(&self) -> usize {
        self.line.len() + self.data.as_ref().map_or(0, Vec::len)
    }

    fn end_line(&mut self) -> Option<Vec<u8>> {
        let line = std::mem::take(&mut self.line);
        if line.is_empty() {
            return self.data.take();
        }
        if let Some(rest) = line.strip_prefix(b"data:") {
            let rest = rest.strip_prefix(b" ").unwrap_or(rest);
            match &mut self.data {
                Some(data) => {
                    data.push(b'\n');
                    data.extend_from_slice(rest);
                }
                None => self.data = Some(rest.to_vec()),
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn an_event_stream_is_split_whatever_its_line_ends_and_chunks() {
        for end in ["\n", "\r\n", "\r"] {
            let text =
                format!(": ping{end}{end}event: message{end}data: {{\"a\":{end}data:1}}{end}{end}");
            let mut events = SseEvents::default();
            let mut got = Vec::new();
            for byte in text.as_bytes() {
                got.extend(events.push(&[*byte]));
            }
            assert_eq!(got, vec![b"{\"a\":\n1}".to_vec()], "{end:?}");
        }
    }

    #[test]
    fn a_told_address_keeps_no_secret() {
        let url = parse_url("x", "http://u:p@127.0.0.1:1/mcp?token=t#f").unwrap();
        assert_eq!(bare(&url), "http://127.0.0.1:1/mcp");
        assert!(parse_url("x", "file:///etc/passwd").is_err());
    }
}
