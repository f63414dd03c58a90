//! What an operator set: flag > environment > `agentkeys.toml` > default, checked once, typed from
//! then on. A key nobody knows is an error, wherever it stands.

mod anchor;
mod keys;
mod listing;
mod read;
#[cfg(test)]
mod tests;
mod tls;

pub use anchor::{AnchorTo, Evm};
pub use keys::{DEFAULT_FILE, PublicHost, default_file};
pub use listing::Listing;
pub use read::{Flags, Origin, Setting};
pub use tls::{Acme, Challenge, Files, Tls};

use crate::authority::Limits;
use crate::authority::limits::Rate;
use crate::folder::{bounded_text, ordinary};
use crate::problem::{Exit, Problem};
use http::Uri;
use ipnet::IpNet;
use read::{Raw, Reader, Sources};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

/// The file's name inside the data folder.
pub const FILE: &str = "agentkeys.toml";

/// No such file is longer.
const MAX: u64 = 1024 * 1024;

/// A configuration in force.
#[derive(Debug, Clone)]
pub struct Config {
    /// `[server]`
    pub server: Server,
    /// `[tls]`
    pub tls: Tls,
    /// `[relay]`
    pub relay: Relay,
    /// `[limits]`
    pub limits: RateLimits,
    /// `[audit]`
    pub audit: Audit,
    /// `[log]`
    pub log: Log,
    /// `[listing]`
    pub listing: Listing,
    settings: Vec<Setting>,
}

/// `[server]`
#[derive(Debug, Clone)]
pub struct Server {
    /// The address hosts call, as they see it.
    pub public_url: Option<Uri>,
    /// Where MCP is served.
    pub listen: SocketAddr,
    /// Where health, metrics and the audit feed are served.
    pub operator_listen: SocketAddr,
    /// Reverse proxies whose `X-Forwarded-For` is believed.
    pub behind_proxy: Vec<IpNet>,
    /// Host headers to answer to besides that of `public_url`.
    pub allowed_hosts: Vec<String>,
    /// Origin headers to answer to.
    pub allowed_origins: Vec<String>,
}

/// `[relay]`
#[derive(Debug, Clone)]
pub struct Relay {
    /// The address of the xiaozhi endpoint, when it is another than the server's.
    pub public_url: Option<Uri>,
    /// Connections that are dialled, a file each.
    pub connect: Vec<PathBuf>,
}

/// `[limits]`; 0 is no limit.
#[derive(Debug, Clone, Copy)]
pub struct RateLimits {
    /// Calls a second for one token and actor.
    pub calls_per_second: u32,
    /// Calls that may come at once.
    pub burst: u32,
    /// Refusals a second for one token.
    pub refusals_per_second: u32,
}

/// `[audit]`
#[derive(Debug, Clone)]
pub struct Audit {
    /// How often the log is sealed into a checkpoint.
    pub batch_seconds: u32,
    /// Where checkpoints go besides.
    pub anchor: AnchorTo,
}

/// `[log]`
#[derive(Debug, Clone, Copy)]
pub struct Log {
    /// How log lines look.
    pub format: LogFormat,
    /// Which are written.
    pub level: tracing::level_filters::LevelFilter,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Human,
    /// One JSON object a line.
    Json,
}

impl Config {
    /// The configuration of a data folder. A folder without a file has the defaults.
    pub fn load(dir: &Path, flags: Flags) -> Result<Self, Problem> {
        let path = dir.join(FILE);
        let text = ordinary(&path).and_then(|file| bounded_text(&file, MAX));
        let file = match text {
            Ok(text) => Some((path, text)),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => None,
            Err(e) => return Err(unreadable(&path, &e)),
        };
        // Not `vars()`: that panics over a variable of somebody else that is no text.
        let env = std::env::vars_os()
            .filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?)))
            .filter(|(name, _)| name.starts_with("AGENTKEYS_"))
            .collect();
        Self::from_sources(Sources { flags, env, file })
    }

    /// A configuration of flags alone, held to what every one is held to.
    pub fn of(flags: Flags) -> Result<Self, Problem> {
        let sources = Sources {
            flags,
            ..Sources::default()
        };
        Self::from_sources(sources)
    }

    fn from_sources(sources: Sources) -> Result<Self, Problem> {
        let mut r = Reader::new(sources)?;
        let config = Self {
            server: Server {
                public_url: r.read("server.public_url", public_url)?,
                listen: r.read("server.listen", address)?,
                operator_listen: r.read("server.operator_listen", address)?,
                behind_proxy: r.read("server.behind_proxy", ranges)?,
                allowed_hosts: r.read("server.allowed_hosts", hosts)?,
                allowed_origins: r.read("server.allowed_origins", origins)?,
            },
            tls: tls::read(&mut r)?,
            relay: Relay {
                public_url: r.read("relay.public_url", relay_url)?,
                connect: r.read("relay.connect", paths)?,
            },
            limits: RateLimits {
                calls_per_second: r.read("limits.calls_per_second", count)?,
                burst: r.read("limits.burst", count)?,
                refusals_per_second: r.read("limits.refusals_per_second", count)?,
            },
            audit: Audit {
                batch_seconds: r.read("audit.batch_seconds", seconds)?,
                anchor: anchor::read(&mut r)?,
            },
            log: Log {
                format: r.read("log.format", log_format)?,
                level: r.read("log.level", log_level)?,
            },
            listing: listing::read(&mut r)?,
            settings: Vec::new(),
        };
        config.fits()?;
        Ok(Self {
            settings: r.settings,
            ..config
        })
    }

    /// What cannot be seen by looking at one key.
    fn fits(&self) -> Result<(), Problem> {
        let Server {
            listen,
            operator_listen,
            ..
        } = &self.server;
        if listen == operator_listen && listen.port() != 0 {
            return Err(Problem::new(
                Exit::Config,
                "agentkeys.config.value_invalid",
                format!("server.listen and server.operator_listen are both {listen}"),
                "give them different ports",
            ));
        }
        Ok(())
    }

    /// Bounds for the authority.
    pub fn limits(&self) -> Limits {
        let default = Limits::default();
        Limits {
            calls: Rate {
                per_second: self.limits.calls_per_second,
                burst: self.limits.burst,
            },
            refusals: Rate {
                per_second: self.limits.refusals_per_second,
                ..default.refusals
            },
        }
    }

    /// Every key with its value and where that came from, in the order people know them.
    pub fn settings(&self) -> &[Setting] {
        &self.settings
    }
}

fn unreadable(path: &Path, error: &std::io::Error) -> Problem {
    Problem::new(
        Exit::Config,
        "agentkeys.config.file_unreadable",
        format!("{} cannot be read: {error}", path.display()),
        "make it a file that the folder's owner may read, run as that user, or name another with --dir",
    )
}

/// What is not a text is shown as one would write it.
fn text(raw: Raw) -> String {
    match raw {
        Raw::Text(text) => text,
        Raw::Number(number) => number.to_string(),
        Raw::List(list) => list.join(","),
    }
}

fn list(raw: Raw) -> Vec<String> {
    match raw {
        Raw::List(list) => list,
        other => vec![text(other)],
    }
}

fn paths(raw: Raw) -> Result<Vec<PathBuf>, String> {
    let path = |text: String| match text.trim() {
        "" => Err("names no file".to_owned()),
        path => Ok(PathBuf::from(path)),
    };
    list(raw).into_iter().map(path).collect()
}

fn url(raw: Raw) -> Result<Option<Uri>, String> {
    let text = text(raw);
    if text.is_empty() {
        return Ok(None);
    }
    let wrong = || "is not an address such as https://mcp.example.com/mcp".to_owned();
    if text.contains(['?', '#', '@']) {
        return Err(wrong());
    }
    let uri: Uri = text.parse().map_err(|_| wrong())?;
    let host = uri.host().ok_or_else(wrong)?;
    match uri.scheme_str() {
        Some("https") => Ok(Some(uri)),
        Some("http") if is_loopback(host) => Ok(Some(uri)),
        Some("http") => Err("must begin with https:// (http only on this machine)".to_owned()),
        _ => Err(wrong()),
    }
}

/// An address that is put into other people's files as it is: what means something in a template, in
/// Markdown, in a shell or between quotes is in none of them.
fn public_url(raw: Raw) -> Result<Option<Uri>, String> {
    let uri = url(raw)?;
    let plain = |text: &str, more: &[u8]| {
        let mut bytes = text.bytes();
        bytes.all(|b| b.is_ascii_alphanumeric() || more.contains(&b))
    };
    let good = |uri: &Uri| {
        let authority = uri.authority().map_or("", |a| a.as_str());
        plain(authority, b"-._:[]") && plain(uri.path(), b"-._~/")
    };
    if uri.as_ref().is_none_or(good) {
        return Ok(uri);
    }
    Err("has characters other than letters, digits and - . _ ~ / in it".to_owned())
}

fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || address.parse::<IpAddr>().is_ok_and(|a| a.is_loopback())
}

/// Where what listens is reached from its own machine.
pub fn reached(mut listen: SocketAddr) -> SocketAddr {
    match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => listen.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => listen.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    listen
}

/// Whether a text is a DNS name with at least one dot, in lower case (RFC 1035 §2.3.1).
pub fn is_domain(text: &str) -> bool {
    let inside = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    let good = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(inside)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let numeric = text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    text.len() <= 240 && text.contains('.') && !numeric && text.split('.').all(good)
}

/// The word for which xiaozhi-server refuses an endpoint's address, wherever it stands in it.
pub fn forbidden_at_xiaozhi(address: &str) -> Option<&'static str> {
    let address = address.to_ascii_lowercase();
    ["key", "call"]
        .into_iter()
        .find(|word| address.contains(word))
}

fn relay_url(raw: Raw) -> Result<Option<Uri>, String> {
    let uri = public_url(raw)?;
    let forbidden = uri
        .as_ref()
        .and_then(|uri| forbidden_at_xiaozhi(&uri.to_string()));
    match forbidden {
        Some(word) => Err(format!("contains \"{word}\", which xiaozhi refuses")),
        None => Ok(uri),
    }
}

fn address(raw: Raw) -> Result<SocketAddr, String> {
    let wrong = |_| "is not an address and port such as 127.0.0.1:8088".to_owned();
    text(raw).parse().map_err(wrong)
}

fn ranges(raw: Raw) -> Result<Vec<IpNet>, String> {
    let range = |text: String| {
        let net = text.parse::<IpNet>().ok();
        // Bits set behind the prefix are a slip of the pen: it is not clear what was meant.
        net.filter(|n| *n == n.trunc()).ok_or_else(|| {
            format!("has {text:?}; write a network as 10.0.0.0/8 or fd00::/8, with no bits set behind the prefix")
        })
    };
    list(raw).into_iter().map(range).collect()
}

fn hosts(raw: Raw) -> Result<Vec<String>, String> {
    let host = |text: String| {
        let good = text.parse::<http::uri::Authority>().is_ok() && !text.contains('@');
        if good {
            Ok(text.to_ascii_lowercase())
        } else {
            Err(format!(
                "has {text:?}; write a host such as mcp.example.com"
            ))
        }
    };
    list(raw).into_iter().map(host).collect()
}

fn origins(raw: Raw) -> Result<Vec<String>, String> {
    let origin = |text: String| {
        let rest = text
            .strip_prefix("https://")
            .or_else(|| text.strip_prefix("http://"));
        if rest.is_some_and(|r| r.parse::<http::uri::Authority>().is_ok()) {
            Ok(text.to_ascii_lowercase())
        } else {
            Err(format!(
                "has {text:?}; write an origin such as https://app.example.com"
            ))
        }
    };
    list(raw).into_iter().map(origin).collect()
}

fn number(raw: Raw) -> Option<u32> {
    text(raw).parse().ok()
}

fn count(raw: Raw) -> Result<u32, String> {
    number(raw).ok_or_else(|| "is not a number from 0 up; 0 is no limit".to_owned())
}

/// A day at most: what nobody sealed for longer nobody can prove.
fn seconds(raw: Raw) -> Result<u32, String> {
    number(raw)
        .filter(|n| (1..=86_400).contains(n))
        .ok_or_else(|| "is not a number of seconds from 1 to 86400".to_owned())
}

fn log_format(raw: Raw) -> Result<LogFormat, String> {
    match text(raw).as_str() {
        "human" => Ok(LogFormat::Human),
        "json" => Ok(LogFormat::Json),
        _ => Err("is neither \"human\" nor \"json\"".to_owned()),
    }
}

fn log_level(raw: Raw) -> Result<tracing::level_filters::LevelFilter, String> {
    let words = ["off", "error", "warn", "info", "debug", "trace"];
    let text = text(raw);
    let known = words.contains(&text.as_str());
    known
        .then(|| text.parse().ok())
        .flatten()
        .ok_or_else(|| format!("is none of {}", words.join(", ")))
}
