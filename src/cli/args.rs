//! How values are written on the command line, and how they are read.

use crate::authority::budget::parse_money_arg;
use crate::authority::words::{HostProfile, Namespace, NamespaceSet, Rail, Role};
use crate::problem::{Exit, Problem};
use crate::secret::Secret;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use serde_json::{Map, Value};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// A length of time, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span(pub i64);

/// Units of time and their milliseconds.
const UNITS: &[(&str, i64)] = &[
    ("ms", 1),
    ("s", 1_000),
    ("m", 60_000),
    ("h", 3_600_000),
    ("d", 86_400_000),
];

/// A hundred years: longer than any of this lasts, and far from the end of an `i64`.
const MAX_SPAN_MS: i64 = 36_525 * 86_400_000;

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "write a number and a unit: 90d, 24h, 5m or 300s".to_owned();
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at(digits);
        let factor = UNITS.iter().find(|(name, _)| *name == unit);
        let (_, factor) = factor.ok_or_else(wrong)?;
        let number: i64 = number.parse().map_err(|_| wrong())?;
        number
            .checked_mul(*factor)
            .filter(|ms| *ms <= MAX_SPAN_MS)
            .map(Self)
            .ok_or_else(|| "that is more than a hundred years".to_owned())
    }
}

/// A moment: RFC 3339, or a length of time ago.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// Unix milliseconds.
    At(i64),
    /// So many milliseconds ago.
    Ago(i64),
}

impl When {
    /// The moment, seen from `now_ms`.
    pub const fn unix_ms(self, now_ms: i64) -> i64 {
        match self {
            Self::At(ms) => ms,
            Self::Ago(ms) => now_ms.saturating_sub(ms),
        }
    }
}

impl FromStr for When {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(Span(ms)) = text.parse() {
            return Ok(Self::Ago(ms));
        }
        let wrong = |_| "write a time as 2026-04-12T09:00:00Z, or how long ago: 5m".to_owned();
        let time: jiff::Timestamp = text.parse().map_err(wrong)?;
        Ok(Self::At(time.as_millisecond()))
    }
}

/// Money as a binding keeps it: minor units and currency.
pub fn money(text: &str) -> Result<(i64, String), String> {
    let money = parse_money_arg(text).map_err(|e| e.to_string())?;
    // `permission.check` counts in RMB; a cap in anything else would be compared as if it were.
    if money.currency != "RMB" {
        return Err("only RMB is counted: write 500RMB".to_owned());
    }
    Ok((money.minor, money.currency))
}

/// A network of addresses.
pub fn network(text: &str) -> Result<ipnet::IpNet, String> {
    let wrong =
        |_| "write a network such as 10.0.0.0/8, or 127.0.0.1/32 for one address".to_owned();
    text.parse().map_err(wrong)
}

/// Namespaces, separated by commas.
pub fn namespaces(text: &str) -> Result<NamespaceSet, String> {
    NamespaceSet::parse(text).map_err(|e| e.to_string())
}

/// A JSON object.
pub fn object(text: &str) -> Result<Map<String, Value>, String> {
    serde_json::from_str(text).map_err(|e| format!("not a JSON object: {e}"))
}

/// A word of a closed vocabulary; clap lists the others and suggests the nearest.
fn word<T>(words: impl Iterator<Item = &'static str>) -> impl TypedValueParser<Value = T>
where
    T: FromStr + Clone + Send + Sync + 'static,
    T::Err: std::error::Error + Send + Sync + 'static,
{
    PossibleValuesParser::new(words).try_map(|word| word.parse::<T>())
}

/// A rail.
pub fn rail() -> impl TypedValueParser<Value = Rail> {
    word(Rail::ALL.iter().map(|w| w.as_str()))
}

/// A host profile.
pub fn host_profile() -> impl TypedValueParser<Value = HostProfile> {
    word(HostProfile::ALL.iter().map(|w| w.as_str()))
}

/// A namespace.
pub fn namespace() -> impl TypedValueParser<Value = Namespace> {
    word(Namespace::ALL.iter().map(|w| w.as_str()))
}

/// A role other than a vendor's.
pub fn role() -> impl TypedValueParser<Value = Role> {
    let others = Role::ALL.iter().filter(|r| **r != Role::Vendor);
    word(others.map(|w| w.as_str()))
}

/// A verdict, as rows spell it.
pub fn verdict() -> PossibleValuesParser {
    PossibleValuesParser::new(["accept", "deny", "ask_parent", "error"])
}

/// A file, or `-` for stdin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// stdin.
    Stdin,
    /// A file.
    File(PathBuf),
}

impl From<&str> for Input {
    fn from(text: &str) -> Self {
        match text {
            "-" => Self::Stdin,
            path => Self::File(path.into()),
        }
    }
}

impl Input {
    /// All of it as text; more than `max` bytes are not read.
    pub fn read(&self, max: usize) -> Result<Secret<String>, Problem> {
        let (name, bytes) = match self {
            Self::Stdin => ("stdin".to_owned(), take(std::io::stdin().lock(), max)),
            Self::File(path) => {
                let bytes = std::fs::File::open(path).and_then(|file| take(file, max));
                (path.display().to_string(), bytes)
            }
        };
        let wrong = |what: String, fix: &str| {
            Problem::new(
                Exit::Failed,
                "agentkeys.input.unreadable",
                format!("{name} {what}"),
                fix,
            )
        };
        let bytes = bytes.map_err(|e| {
            wrong(
                format!("cannot be read: {e}"),
                "name a file that can be, or - for stdin",
            )
        })?;
        if bytes.len() > max {
            return Err(wrong(format!("is longer than {max} bytes"), "send less"));
        }
        String::from_utf8(bytes)
            .map(Secret::new)
            .map_err(|_| wrong("is not text in UTF-8".to_owned(), "convert it first"))
    }
}

/// Writes a file that must not be there yet.
pub fn write_new(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(path)?;
    file.write_all(bytes)
}

/// Clap's form of [`Input::from`].
pub fn input(text: &str) -> Result<Input, std::convert::Infallible> {
    Ok(Input::from(text))
}

fn take(from: impl std::io::Read, max: usize) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(max as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The one token a file holds, without the space around it.
///
/// # Errors
/// When it cannot be read, when others may read it, or when it is not one line of text.
pub fn token_file(path: &Path) -> Result<Secret<String>, Problem> {
    let text = crate::folder::private_file(path)?;
    let token = text.expose().trim();
    if token.is_empty() || !token.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(Problem::new(
            Exit::Config,
            "agentkeys.file.no_token",
            format!("{} does not hold one token", path.display()),
            "put the token in it, on one line, and nothing else",
        ));
    }
    Ok(Secret::new(token.to_owned()))
}

/// A word as a shell takes it.
pub fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "/._-:@+,=".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

/// A domain, in lower case.
pub fn domain(text: &str) -> Result<String, String> {
    let text = text.to_ascii_lowercase();
    if crate::config::is_domain(&text) {
        Ok(text)
    } else {
        Err("write a domain such as example.com, without https:// and path".to_owned())
    }
}

/// The address hosts call a server of a domain by.
pub fn public_url(domain: &str) -> String {
    let prefix = if domain.starts_with("mcp.") {
        ""
    } else {
        "mcp."
    };
    format!("https://{prefix}{domain}/mcp")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time_have_one_unit() {
        let ms = |text: &str| text.parse::<Span>().map(|s| s.0).ok();
        assert_eq!(ms("90d"), Some(7_776_000_000));
        assert_eq!(ms("24h"), Some(86_400_000));
        assert_eq!(ms("5m"), Some(300_000));
        assert_eq!(ms("300s"), Some(300_000));
        assert_eq!(ms("20ms"), Some(20));
        assert_eq!(ms("0s"), Some(0));
        for bad in [
            "", "d", "90", "-1d", "1.5h", "1 d", "1y", "90D", "1d12h", "٣d",
        ] {
            assert_eq!(ms(bad), None, "{bad}");
        }
        assert_eq!(ms("36526d"), None);
        assert_eq!(ms("99999999999999999999s"), None);
    }

    #[test]
    fn moments_are_absolute_or_ago() {
        let when = |text: &str| text.parse::<When>().ok();
        assert_eq!(when("5m"), Some(When::Ago(300_000)));
        assert_eq!(when("1970-01-01T00:00:01Z"), Some(When::At(1_000)));
        assert_eq!(when("1970-01-01T08:00:01+08:00"), Some(When::At(1_000)));
        assert_eq!(when("yesterday"), None);
        assert_eq!(When::Ago(400).unix_ms(1_000), 600);
    }

    #[test]
    fn a_cap_is_in_the_currency_that_is_counted() {
        assert_eq!(money("500RMB"), Ok((50_000, "RMB".to_owned())));
        assert!(money("500USD").is_err() && money("500").is_err() && money("-5RMB").is_err());
    }

    #[test]
    fn a_dash_is_stdin() {
        assert_eq!(Input::from("-"), Input::Stdin);
        assert_eq!(Input::from("./-"), Input::File("./-".into()));
    }

    #[test]
    fn domains_become_addresses() {
        let url = |text: &str| domain(text).map(|d| public_url(&d)).ok();
        assert_eq!(
            url("Example.com").as_deref(),
            Some("https://mcp.example.com/mcp")
        );
        assert_eq!(
            url("mcp.example.com").as_deref(),
            Some("https://mcp.example.com/mcp")
        );
        for bad in [
            "",
            "localhost",
            "https://example.com",
            "example.com/mcp",
            "-a.com",
            "a..com",
            "10.0.0.1",
            "a.com:80",
        ] {
            assert_eq!(url(bad), None, "{bad}");
        }
    }
}
