//! The line `mcp_endpoint:` of xiaozhi-server's `data/.config.yaml`.

use std::fmt;
use std::ops::Range;

use reqwest::Url;

use crate::config::forbidden_at_xiaozhi;
use crate::publish::wire::{Document, Flaw, Kind, plain, yaml};
use crate::secret::Secret;

const KEY: &str = "mcp_endpoint";

/// Where an endpoint server answers, ours and the Python one alike.
pub const ENDPOINT_PATH: &str = "/mcp_endpoint/mcp/";

/// The address of an endpoint with its token. `Debug` shows neither path nor token.
#[derive(Clone)]
pub struct EndpointUrl(Secret<String>);

impl fmt::Debug for EndpointUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("EndpointUrl").field(&self.0).finish()
    }
}

impl EndpointUrl {
    /// An address as somebody gave it, held to what xiaozhi-server takes.
    pub fn parse(text: &str) -> Result<Self, Flaw> {
        let url = Url::parse(text.trim())
            .ok()
            .filter(|u| matches!(u.scheme(), "ws" | "wss") && u.host_str().is_some())
            .ok_or_else(|| {
                Flaw::new(
                    Kind::Address,
                    "the endpoint's address is not a ws:// or wss:// URL",
                )
            })?;
        let text = text.trim();
        if !plain(text) || text.contains('#') {
            let cause =
                "the endpoint's address has blanks, quotes, # or characters other than ASCII";
            return Err(Flaw::new(Kind::Address, cause));
        }
        if !url.path().contains("/mcp/") {
            let cause = "the endpoint's address has no /mcp/ in it, and xiaozhi-server refuses it";
            return Err(Flaw::new(Kind::Address, cause));
        }
        accepted(&url)?;
        Ok(Self(Secret::new(text.to_owned())))
    }

    /// The endpoint of a server of ours: its public address, with the scheme changed, and a token.
    pub fn of(public: &str, token: &Secret<String>) -> Result<Self, Flaw> {
        Self::at(&Self::base(public)?, token)
    }

    /// An endpoint without its token, and the token.
    pub fn at(base: &str, token: &Secret<String>) -> Result<Self, Flaw> {
        let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
        let token = token.expose();
        if token.is_empty() || !token.bytes().all(word) {
            let cause = "the endpoint's token is not letters, digits, - and _";
            return Err(Flaw::new(Kind::Token, cause));
        }
        Self::parse(&format!("{base}?token={token}"))
    }

    /// The endpoint of a server of ours without its token.
    pub fn base(public: &str) -> Result<String, Flaw> {
        let wrong = || {
            Flaw::new(
                Kind::Address,
                "the relay's address is not an http(s) or ws(s) URL",
            )
        };
        let url = Url::parse(public).map_err(|_| wrong())?;
        let scheme = match url.scheme() {
            "http" | "ws" => "ws",
            "https" | "wss" => "wss",
            _ => return Err(wrong()),
        };
        let host = url.host_str().ok_or_else(wrong)?;
        let port = url.port().map(|p| format!(":{p}")).unwrap_or_default();
        let path = url.path().trim_end_matches('/');
        let path = path.strip_suffix("/mcp").unwrap_or(path);
        let base = format!("{scheme}://{host}{port}{path}{ENDPOINT_PATH}");
        accepted(&Url::parse(&base).map_err(|_| wrong())?)?;
        Ok(base)
    }

    /// Whether it is at this address, whatever its token.
    pub fn is_at(&self, base: &str) -> bool {
        self.0.expose().split('?').next() == Some(base)
    }

    /// The address, token and all.
    pub fn expose(&self) -> &str {
        self.0.expose()
    }

    /// The address without what is secret.
    pub fn told(&self) -> &str {
        self.0.expose().split('?').next().unwrap_or_default()
    }
}

/// Refuses what xiaozhi-server refuses: two words, anywhere in the address.
fn accepted(url: &Url) -> Result<(), Flaw> {
    let host = url.host_str().unwrap_or_default();
    if let Some(word) = forbidden_at_xiaozhi(host) {
        let cause = format!(
            "the endpoint's host {host} has \"{word}\" in its name, and xiaozhi-server refuses any endpoint address with that word"
        );
        return Err(Flaw::new(Kind::EndpointRefused, cause));
    }
    if let Some(word) = forbidden_at_xiaozhi(url.path()) {
        let cause = format!(
            "the endpoint's path has \"{word}\" in it, and xiaozhi-server refuses any endpoint address with that word"
        );
        return Err(Flaw::new(Kind::EndpointRefused, cause));
    }
    if let Some(word) = forbidden_at_xiaozhi(url.query().unwrap_or_default()) {
        let cause = format!(
            "the endpoint's token happens to have \"{word}\" in it, and xiaozhi-server refuses any endpoint address with that word; have another one made"
        );
        return Err(Flaw::new(Kind::Token, cause));
    }
    Ok(())
}

/// `data/.config.yaml`, with the address that has to be in it; none only to look or to take out.
#[derive(Debug, Clone)]
pub struct EndpointFile(Option<EndpointUrl>);

impl EndpointFile {
    /// The file with this endpoint.
    pub fn new(url: EndpointUrl) -> Self {
        Self(Some(url))
    }

    /// The file, to look at or to take our line out.
    pub fn without() -> Self {
        Self(None)
    }

    /// The endpoint in a text; none when it has none, a placeholder, or one that xiaozhi-server
    /// refuses.
    pub fn current(text: &str) -> Result<Option<EndpointUrl>, Flaw> {
        let top = yaml::parse(text)?;
        let url = top.value(KEY)?.filter(|v| !is_placeholder(v));
        Ok(url.and_then(|u| EndpointUrl::parse(u).ok()))
    }
}

/// xiaozhi-server's own test for "nobody has filled this in".
fn is_placeholder(value: &str) -> bool {
    value.contains('你')
}

impl Document for EndpointFile {
    fn blank(&self) -> &'static str {
        ""
    }

    fn piece(&self, text: &str) -> Result<Option<String>, Flaw> {
        Ok(yaml::raw(text, KEY)?.map(str::to_owned))
    }

    fn put(&self, text: &str, piece: &str) -> Result<String, Flaw> {
        yaml::put(text, KEY, piece)
    }

    fn take(&self, text: &str) -> Result<String, Flaw> {
        yaml::remove(text, KEY)
    }

    fn wire(&self, text: &str) -> Result<String, Flaw> {
        let top = yaml::parse(text)?;
        if top
            .nested("manager-api", "url")
            .is_some_and(|url| !url.is_empty())
        {
            let cause = "names a `manager-api`, so xiaozhi-server takes the endpoint from there and not from this file";
            return Err(Flaw::new(Kind::Console, cause));
        }
        let Some(url) = &self.0 else {
            return Ok(text.to_owned());
        };
        if top.value(KEY)? == Some(url.expose()) {
            return Ok(text.to_owned());
        }
        // An address has no character that means something in plain YAML.
        yaml::put(text, KEY, url.expose())
    }

    fn secrets(&self, text: &str) -> Vec<Range<usize>> {
        yaml::secrets(text)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn kind(result: Result<EndpointUrl, Flaw>) -> Option<Kind> {
        result.err().map(|f| f.kind)
    }

    #[test]
    fn an_address_is_made_of_the_public_one_and_a_token() {
        let token = Secret::new("0af3".to_owned());
        for (public, url) in [
            (
                "https://relay.example.com",
                "wss://relay.example.com/mcp_endpoint/mcp/?token=0af3",
            ),
            (
                "https://relay.example.com/mcp",
                "wss://relay.example.com/mcp_endpoint/mcp/?token=0af3",
            ),
            (
                "http://127.0.0.1:8088/",
                "ws://127.0.0.1:8088/mcp_endpoint/mcp/?token=0af3",
            ),
            (
                "https://r.example.com:8443/a/",
                "wss://r.example.com:8443/a/mcp_endpoint/mcp/?token=0af3",
            ),
        ] {
            let made = EndpointUrl::of(public, &token).unwrap();
            assert_eq!(made.expose(), url);
            assert!(!format!("{made:?}").contains("0af3"));
            assert!(made.is_at(&EndpointUrl::base(public).unwrap()));
        }
    }

    #[test]
    fn what_xiaozhi_refuses_is_refused_and_names_the_setting() {
        let token = Secret::new("0af3".to_owned());
        for public in [
            "https://agentkeys.example.com",
            "https://KEYS.example.com",
            "https://call.example.com",
        ] {
            let flaw = EndpointUrl::of(public, &token).unwrap_err();
            assert_eq!(flaw.kind, Kind::EndpointRefused);
            let problem = crate::problem::Problem::from(flaw);
            assert!(problem.fix.contains("[relay] public_url"), "{problem}");
        }
        for (url, wanted) in [
            ("ws://h:8004/mcp_endpoint/mcp/?token=aKeYb", Kind::Token),
            ("ws://h:8004/mcp_endpoint/call/?token=a", Kind::Address),
            ("ws://h:8004/mykey/mcp/?token=a", Kind::EndpointRefused),
            ("http://h:8004/mcp_endpoint/mcp/?token=a", Kind::Address),
            ("ws://h/mcp/?token=a b", Kind::Address),
            ("ws://h/mcp/?token=a#b", Kind::Address),
            ("你的接入点", Kind::Address),
        ] {
            assert_eq!(kind(EndpointUrl::parse(url)), Some(wanted), "{url}");
        }
        assert_eq!(
            kind(EndpointUrl::of("https://h", &Secret::new("a b".to_owned()))),
            Some(Kind::Token)
        );
        // The Python endpoint server's own tokens are base64 in a URL.
        assert!(
            EndpointUrl::parse("ws://192.168.1.25:8004/mcp_endpoint/mcp/?token=aB%2Bc%3D").is_ok()
        );
    }

    #[test]
    fn a_console_decides_before_the_file_does() {
        let url = EndpointUrl::parse("ws://h/mcp_endpoint/mcp/?token=1").unwrap();
        let file = EndpointFile::new(url);
        let with = "manager-api:\n  url: http://c:8002/xiaozhi\n  secret: s\n";
        assert_eq!(file.wire(with).unwrap_err().kind, Kind::Console);
        assert!(file.wire("manager-api:\n  url: \n").is_ok());
    }

    #[test]
    fn a_placeholder_is_no_endpoint() {
        let current = |text| {
            EndpointFile::current(text)
                .unwrap()
                .map(|u| u.expose().to_owned())
        };
        assert_eq!(current("mcp_endpoint: 你的接入点 websocket地址\n"), None);
        assert_eq!(current("a: 1\n"), None);
        let url = "ws://h/mcp_endpoint/mcp/?token=1";
        assert_eq!(
            current(&format!("mcp_endpoint: {url} # x\n")).as_deref(),
            Some(url)
        );
    }
}
