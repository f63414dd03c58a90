//! A host's config with our piece in it, and without.
//!
//! Every host's format is a [`Document`]: where in the text our piece lies, how it looks, and which
//! values nobody should see. All else is shared: [`mod@file`] reads and writes without losing
//! anything, [`change`] decides what a file and its backup become, [`diff`] shows it.
//!
//! A host that is to be added needs a `Document` and a place to look for its file; claude-code,
//! codex and hermes come later.

pub mod change;
pub mod diff;
mod error;
pub mod file;
mod json;
pub mod volcano_ark;
pub mod xiaozhi;
mod yaml;

#[cfg(test)]
mod golden;

use std::ops::Range;

use crate::secret::Secret;

pub use error::{Flaw, Kind, WireError};

/// How a host reaches the authority: what every host's config says in its own format.
#[derive(Debug, Clone)]
pub struct Access {
    /// The address of MCP, as the host sees it.
    pub url: String,
    /// The bearer token.
    pub token: Secret<String>,
    /// What goes into `X-AgentKeys-Actor`; nothing for a token that is pinned to one actor.
    pub actor: Option<String>,
}

impl Access {
    /// The value of the `Authorization` header.
    pub(crate) fn bearer(&self) -> String {
        format!("Bearer {}", self.token.expose())
    }

    /// Whether all of it can travel in HTTP headers and be written into any host's format.
    pub fn check(&self) -> Result<(), Flaw> {
        reqwest::Url::parse(&self.url)
            .ok()
            .filter(|u| matches!(u.scheme(), "http" | "https") && u.host_str().is_some())
            .filter(|u| u.username().is_empty() && u.password().is_none() && plain(&self.url))
            .ok_or_else(|| {
                let cause = "the server's address is not an http(s) URL without a user in it";
                Flaw::new(Kind::Address, cause)
            })?;
        let token = self.token.expose();
        if !plain(token) {
            let cause = "the token is empty, or has blanks or characters other than ASCII";
            return Err(Flaw::new(Kind::Token, cause));
        }
        match &self.actor {
            Some(actor) if !plain(actor) => {
                let cause = "the actor is empty, or has blanks or characters other than ASCII";
                Err(Flaw::new(Kind::Actor, cause))
            }
            _ => Ok(()),
        }
    }
}

/// Printable ASCII without blanks and quotes: the same in every format, with nothing to escape.
fn plain(text: &str) -> bool {
    let good = |b: u8| b.is_ascii_graphic() && !matches!(b, b'"' | b'\'' | b'\\' | b'`' | b'$');
    !text.is_empty() && text.bytes().all(good)
}

/// One host's file: where in its text our piece lies.
///
/// A piece is a stretch of the text itself, so that what somebody wrote by hand can be put back
/// byte for byte.
pub trait Document {
    /// The smallest text of a file that was not there before.
    fn blank(&self) -> &'static str;
    /// Our piece as it stands in the text, whoever wrote it; none when there is none.
    fn piece(&self, text: &str) -> Result<Option<String>, Flaw>;
    /// The text with this piece in our place.
    fn put(&self, text: &str, piece: &str) -> Result<String, Flaw>;
    /// The text without our piece.
    fn take(&self, text: &str) -> Result<String, Flaw>;
    /// The text with our piece as it has to be. The same text when it is so already.
    fn wire(&self, text: &str) -> Result<String, Flaw>;
    /// Where values stand that nobody should see. Of what cannot be parsed: nothing is shown.
    fn secrets(&self, text: &str) -> Vec<Range<usize>>;
}

/// Whether two addresses are one server: case of the host, default ports, a slash at the end and
/// the names of this machine make no difference.
pub(crate) fn same_server(a: &str, b: &str) -> bool {
    fn told(text: &str) -> Option<(String, String, Option<u16>, String)> {
        let url = reqwest::Url::parse(text.trim()).ok()?;
        let host = match url.host_str()? {
            "127.0.0.1" | "[::1]" | "::1" => "localhost",
            host => host,
        };
        let path = url.path().trim_end_matches('/').to_owned();
        let port = url.port_or_known_default();
        Some((url.scheme().to_owned(), host.to_owned(), port, path))
    }
    told(a).is_some_and(|a| told(b) == Some(a))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_address_are_one_server() {
        let same = [
            ("http://127.0.0.1:8088/mcp", "http://localhost:8088/mcp/"),
            (
                "https://MCP.example.com/mcp",
                "https://mcp.example.com:443/mcp",
            ),
            ("http://[::1]:1/mcp", "http://127.0.0.1:1/mcp"),
        ];
        for (a, b) in same {
            assert!(same_server(a, b), "{a} {b}");
        }
        let different = [
            ("http://127.0.0.1:8088/mcp", "http://127.0.0.1:8089/mcp"),
            ("http://h/mcp", "https://h/mcp"),
            ("http://h/mcp", "http://h/other"),
            ("x", "x"),
        ];
        for (a, b) in different {
            assert!(!same_server(a, b), "{a} {b}");
        }
    }

    #[test]
    fn access_that_some_format_could_not_carry_is_refused() {
        let access = |url: &str, token: &str, actor: Option<&str>| Access {
            url: url.to_owned(),
            token: Secret::new(token.to_owned()),
            actor: actor.map(str::to_owned),
        };
        assert!(
            access("http://h:1/mcp", "akv_1", Some("O_k"))
                .check()
                .is_ok()
        );
        for (bad, kind) in [
            (access("h:1/mcp", "t", None), Kind::Address),
            (access("ws://h/mcp", "t", None), Kind::Address),
            (access("http://u:p@h/mcp", "t", None), Kind::Address),
            (access("http://h/mcp", "", None), Kind::Token),
            (access("http://h/mcp", "a b", None), Kind::Token),
            (access("http://h/mcp", "a\"b", None), Kind::Token),
            (access("http://h/mcp", "小", None), Kind::Token),
            (access("http://h/mcp", "t", Some("小明")), Kind::Actor),
        ] {
            assert_eq!(bad.check().err().map(|f| f.kind), Some(kind), "{bad:?}");
        }
    }
}
