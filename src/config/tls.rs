//! `[tls]`: where the certificate comes from. Which keys are needed, `mode` decides.

use super::read::{Raw, Reader};
use super::{address, list, text};
use crate::problem::{Exit, Problem};
use http::Uri;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

/// Where the server's certificate comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tls {
    /// The server speaks plain HTTP: on loopback, or behind a proxy.
    None,
    /// From files that somebody else renews.
    Files(Files),
    /// From an ACME server (RFC 8555).
    Acme(Box<Acme>),
}

/// A certificate that somebody else renews.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files {
    /// PEM: the server's certificate first, then its intermediates. A path that is not absolute
    /// begins at the data folder.
    pub certificate: PathBuf,
    /// PEM: its private key.
    pub key: PathBuf,
    /// How often the files are looked at.
    pub look_every: Duration,
}

/// How certificates are got from an ACME server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acme {
    /// The server's directory.
    pub directory: Uri,
    /// The same server for rehearsals, if it has one.
    pub staging: Option<Uri>,
    /// A PEM file of a certificate authority to trust for the ACME server itself. A path that is not
    /// absolute begins at the data folder.
    pub ca_file: Option<PathBuf>,
    /// DNS names and IP addresses of the certificate, beside those of the public addresses.
    pub names: Vec<String>,
    /// Where the ACME server may write when something is wrong.
    pub email: Option<String>,
    /// How the names are proved to be ours.
    pub challenge: Challenge,
    /// Where http-01 is answered; all else there is sent to https.
    pub http_listen: SocketAddr,
    /// The program that sets and removes a TXT record, for dns-01.
    pub dns_hook: Option<PathBuf>,
    /// How long a TXT record needs until the world sees it.
    pub dns_wait: Duration,
    /// The profile to ask for, such as `shortlived`.
    pub profile: Option<String>,
    /// External account binding: the key's id.
    pub eab_kid: Option<String>,
    /// External account binding: a file of mode 0600 with the key in base64url.
    pub eab_key_file: Option<PathBuf>,
}

/// How a name is proved to be ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Challenge {
    /// A file at port 80 (RFC 8555 §8.3).
    Http01,
    /// A handshake at port 443 (RFC 8737).
    TlsAlpn01,
    /// A TXT record (RFC 8555 §8.4).
    Dns01,
}

impl Challenge {
    /// As it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http01 => "http-01",
            Self::TlsAlpn01 => "tls-alpn-01",
            Self::Dns01 => "dns-01",
        }
    }
}

impl std::fmt::Display for Challenge {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    None,
    Files,
    Acme,
}

pub(super) fn read(r: &mut Reader) -> Result<Tls, Problem> {
    let mode = r.read("tls.mode", mode)?;
    let certificate = r.read("tls.certificate", path)?;
    let key = r.read("tls.key", path)?;
    let look_every = r.read("tls.look_every_seconds", seconds)?;
    let acme = Acme {
        directory: r.read("tls.directory", directory)?,
        staging: r.read("tls.staging_directory", staging)?,
        ca_file: r.read("tls.ca_file", path)?,
        names: r.read("tls.names", names)?,
        email: r.read("tls.email", word)?,
        challenge: r.read("tls.challenge", challenge)?,
        http_listen: r.read("tls.http_listen", address)?,
        dns_hook: r.read("tls.dns_hook", path)?,
        dns_wait: r.read("tls.dns_wait_seconds", seconds)?,
        profile: r.read("tls.profile", word)?,
        eab_kid: r.read("tls.eab_kid", word)?,
        eab_key_file: r.read("tls.eab_key_file", path)?,
    };
    Ok(match mode {
        Mode::None => Tls::None,
        Mode::Files => Tls::Files(Files {
            certificate: needed("mode is \"files\"", "certificate", certificate)?,
            key: needed("mode is \"files\"", "key", key)?,
            look_every,
        }),
        Mode::Acme => {
            if acme.challenge == Challenge::Dns01 {
                needed(
                    "challenge is \"dns-01\"",
                    "dns_hook",
                    acme.dns_hook.as_ref(),
                )?;
            }
            if acme.eab_kid.is_some() {
                needed("eab_kid is set", "eab_key_file", acme.eab_key_file.as_ref())?;
            }
            Tls::Acme(Box::new(acme))
        }
    })
}

fn needed<T>(because: &str, key: &str, value: Option<T>) -> Result<T, Problem> {
    value.ok_or_else(|| {
        Problem::new(
            Exit::Config,
            "agentkeys.config.value_missing",
            format!("tls.{because}, and tls.{key} is not set"),
            format!("set tls.{key}"),
        )
    })
}

fn mode(raw: Raw) -> Result<Mode, String> {
    match text(raw).as_str() {
        "none" => Ok(Mode::None),
        "files" => Ok(Mode::Files),
        "acme" => Ok(Mode::Acme),
        _ => Err("is not none, files or acme".to_owned()),
    }
}

fn challenge(raw: Raw) -> Result<Challenge, String> {
    let text = text(raw);
    [Challenge::Http01, Challenge::TlsAlpn01, Challenge::Dns01]
        .into_iter()
        .find(|c| c.as_str() == text)
        .ok_or_else(|| "is not http-01, tls-alpn-01 or dns-01".to_owned())
}

fn path(raw: Raw) -> Result<Option<PathBuf>, String> {
    super::anchor::path(raw)
}

/// What a certificate may be for: a DNS name, perhaps with one star in front, or an IP address.
fn names(raw: Raw) -> Result<Vec<String>, String> {
    let name = |text: String| {
        let text = text.to_ascii_lowercase();
        let plain = text.strip_prefix("*.").unwrap_or(&text);
        let dns = plain.len() <= 253
            && plain.contains('.')
            && plain.split('.').all(|label| {
                (1..=63).contains(&label.len())
                    && label
                        .bytes()
                        .all(|b| b.is_ascii_alphanumeric() || b == b'-')
            });
        if dns || text.parse::<IpAddr>().is_ok() {
            Ok(text)
        } else {
            Err(format!(
                "has {text:?}; write a name such as mcp.example.com"
            ))
        }
    };
    list(raw).into_iter().map(name).collect()
}

fn word(raw: Raw) -> Result<Option<String>, String> {
    let text = text(raw);
    if text.chars().any(char::is_whitespace) || text.chars().any(char::is_control) {
        return Err("has a space in it".to_owned());
    }
    Ok((!text.is_empty()).then_some(text))
}

fn directory(raw: Raw) -> Result<Uri, String> {
    staging(raw)?.ok_or_else(|| "is empty".to_owned())
}

/// An ACME server speaks TLS, on this machine too (RFC 8555 §6.1).
fn staging(raw: Raw) -> Result<Option<Uri>, String> {
    let text = text(raw);
    if text.is_empty() {
        return Ok(None);
    }
    let uri: Option<Uri> = text.parse().ok();
    uri.filter(|u| u.scheme_str() == Some("https") && u.host().is_some_and(|h| !h.is_empty()))
        .map(Some)
        .ok_or_else(|| "is not an address that begins with https://".to_owned())
}

fn seconds(raw: Raw) -> Result<Duration, String> {
    let seconds: Option<u64> = text(raw).parse().ok();
    seconds
        .filter(|s| (1..=3600).contains(s))
        .map(Duration::from_secs)
        .ok_or_else(|| "is not a number of seconds from 1 to 3600".to_owned())
}
