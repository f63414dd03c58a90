//! Suite `tls`: the way to a server is one that hosts take, and that nobody can talk down.
//!
//! Nothing secret is sent: the bearer it tries redirects with is nobody's.

mod hello;
mod plain;
mod speak;

use std::net::SocketAddr;

use reqwest::{Method, Url};
use rustls::version::{TLS12, TLS13};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::client::{Client, value};
use super::report::{Check, Report};
use super::{AcceptError, Trust};
use crate::tls::Facts;
use hello::{Answer, Old};
use speak::{Peer, STEP};

/// The suite's name.
pub const SUITE: &str = "tls";
/// Where plain HTTP is.
pub const HTTP_PORT: u16 = 80;
/// Half a year, from which on browsers' lists take a name.
const HSTS_S: u64 = 15_768_000;

const FIX_CHAIN: &str = "get a certificate for this name from an authority that hosts trust, whole chain (`agentkeys tls status`, on the server); `--ca-file` for a private one";
const FIX_DAYS: &str = "renew it; `agentkeys tls status`, on the server, says why it was not";
const FIX_VERSIONS: &str =
    "let what ends TLS speak 1.2 and 1.3 and nothing older (agentkeys deploy nginx, caddy)";
const FIX_ALPN: &str = "let what ends TLS offer h2 and http/1.1 by ALPN";
const FIX_HSTS: &str = "send Strict-Transport-Security with max-age=31536000 on every answer";
const FIX_REDIRECT: &str = "answer /mcp and /mcp/ where they are: hosts send the token again wherever a redirect leads, or lose it";

/// Runs the suite. `http_port` is where plain HTTP would be.
pub async fn run(
    url: &str,
    trust: &Trust,
    http_port: u16,
    progress: &(dyn Fn(&str) + Sync),
) -> Result<Report, AcceptError> {
    let client = Client::of_nobody(url, trust)?;
    let mut report = Report::new(SUITE, client.base());
    let parsed =
        Url::parse(client.base()).map_err(|e| AcceptError::protocol("--url", e.to_string()))?;
    if parsed.scheme() != "https" {
        report.checks.push(not_https(&parsed));
        return Ok(report);
    }
    let lost = |cause: String| AcceptError::Unreachable {
        url: client.base().to_owned(),
        cause,
    };
    let address = reach(&parsed).await.map_err(lost)?;
    let peer = Peer::new(&parsed, address);
    let mut suite = Suite {
        peer: &peer,
        checks: Vec::new(),
    };
    let said = "https://".to_owned();
    suite.check("https", None, &said, "");
    progress("certificate");
    suite.certificate(trust).await;
    progress("versions and protocols");
    suite.versions().await;
    suite.protocols().await;
    progress("redirects");
    suite.hsts().await;
    suite.redirects(&client).await?;
    plain::look(&mut suite, http_port).await;
    report.checks = suite.checks;
    Ok(report)
}

/// On this machine nobody listens in, and an operator may say so with `--allow-skip`.
fn not_https(url: &Url) -> Check {
    let id = format!("{SUITE}/https");
    let here = matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
    let fix =
        "give the https:// address that hosts use; `agentkeys deploy` and `agentkeys tls` make one";
    if here {
        let why = format!("{url} is plain HTTP on this machine: there is no TLS to look at");
        return Check::skipped(id, &why, fix);
    }
    let got = format!("{url}: a token would cross the network in the clear");
    Check::of(id, false, "https://", &got, fix)
}

/// The first address that takes a connection.
async fn reach(url: &Url) -> Result<SocketAddr, String> {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    let port = url.port_or_known_default().unwrap_or_default();
    let found = timeout(STEP, tokio::net::lookup_host((host, port))).await;
    let found = found.map_err(|_| "nobody says which address it has".to_owned())?;
    let mut why = "it has no address".to_owned();
    for address in found.map_err(|e| e.to_string())? {
        match timeout(STEP, TcpStream::connect(address)).await {
            Ok(Ok(_)) => return Ok(address),
            Ok(Err(error)) => why = format!("{address}: {error}"),
            Err(_) => why = format!("{address}: no connection within 10 s"),
        }
    }
    Err(why)
}

struct Suite<'a> {
    peer: &'a Peer,
    checks: Vec<Check>,
}

impl Suite<'_> {
    fn check(&mut self, id: &str, amiss: Option<String>, expected: &str, fix: &str) {
        let holds = amiss.is_none();
        let got = amiss.unwrap_or_else(|| expected.to_owned());
        let id = format!("{SUITE}/{id}");
        self.checks.push(Check::of(id, holds, expected, &got, fix));
    }

    fn skip(&mut self, id: &str, why: &str, fix: &str) {
        self.checks
            .push(Check::skipped(format!("{SUITE}/{id}"), why, fix));
    }

    /// A chain that a careful host takes, for this name, and for some time to come.
    async fn certificate(&mut self, trust: &Trust) {
        let verified = self.peer.verified(trust).await;
        let expected = format!("a chain that holds for {}", self.peer.host());
        self.check("chain", verified.err(), &expected, FIX_CHAIN);
        let now_s = jiff::Timestamp::now().as_second();
        let shown = self.peer.certificate().await;
        let amiss = match shown.map(|der| Facts::read(&der)) {
            Err(cause) => Some(cause),
            Ok(Err(error)) => Some(error.to_string()),
            Ok(Ok(facts)) => {
                let days = (facts.not_after - now_s).div_euclid(86_400);
                facts.ends_soon(now_s).then(|| format!("{days} days left"))
            }
        };
        let expected = "a certificate that ends neither soon nor already";
        self.check("days_left", amiss, expected, FIX_DAYS);
    }

    async fn versions(&mut self) {
        for (id, word, version) in [
            ("version/1.3", "TLS 1.3 spoken", &TLS13),
            ("version/1.2", "TLS 1.2 spoken", &TLS12),
        ] {
            let spoken = self.peer.speaks(&[version], &[]).await;
            self.check(id, spoken.err(), word, FIX_VERSIONS);
        }
        for (id, old) in [
            ("version/1.1_refused", Old::Tls11),
            ("version/1.0_refused", Old::Tls10),
        ] {
            let amiss = match hello::try_it(self.peer, old).await {
                Ok(Answer::Refused) => None,
                Ok(Answer::Taken) => Some(format!("{} is spoken", old.word())),
                Err(cause) => Some(cause),
            };
            let expected = format!("{} refused", old.word());
            self.check(id, amiss, &expected, FIX_VERSIONS);
        }
    }

    async fn protocols(&mut self) {
        for (id, protocol) in [("alpn/h2", "h2"), ("alpn/http1.1", "http/1.1")] {
            let spoken = self.peer.speaks(rustls::ALL_VERSIONS, &[protocol]).await;
            let amiss = match spoken {
                Ok(Some(chosen)) if chosen == protocol.as_bytes() => None,
                Ok(other) => Some(match other {
                    None => "no protocol chosen".to_owned(),
                    Some(name) => String::from_utf8_lossy(&name).into_owned(),
                }),
                Err(cause) => Some(cause),
            };
            let expected = format!("{protocol} chosen when it is offered");
            self.check(id, amiss, &expected, FIX_ALPN);
        }
    }

    async fn hsts(&mut self) {
        let answer = self.peer.get("/healthz").await;
        let amiss = match answer {
            Err(cause) => Some(cause),
            Ok(head) => {
                let told = head.header("strict-transport-security").unwrap_or_default();
                let long = max_age(told).is_some_and(|s| s >= HSTS_S);
                (!long).then(|| format!("Strict-Transport-Security: {told}"))
            }
        };
        let expected = "Strict-Transport-Security for half a year or longer";
        self.check("hsts", amiss, expected, FIX_HSTS);
    }

    /// A request with a bearer is answered where it was sent. Through the client that trusts no more
    /// than hosts do; where that cannot connect, `chain` says so, and it is looked by hand.
    async fn redirects(&mut self, client: &Client) -> Result<(), AcceptError> {
        for (id, path) in [
            ("no_redirect/mcp", "/mcp"),
            ("no_redirect/mcp_slash", "/mcp/"),
        ] {
            let headers = vec![
                ("authorization", value("Bearer nobodys")),
                ("content-type", value("application/json")),
            ];
            let body = br#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#.to_vec();
            let answer = client.bare(Method::POST, path, &headers, body).await;
            let status = match answer {
                Ok((reply, _)) => Ok(reply.status),
                Err(_) => self.peer.post(path).await.map(|head| head.status),
            };
            let amiss = match status {
                Ok(300..=399) => Some("a redirect".to_owned()),
                Ok(_) => None,
                Err(cause) => Some(cause),
            };
            self.check(id, amiss, "an answer, and no redirect", FIX_REDIRECT);
        }
        Ok(())
    }
}

fn max_age(header: &str) -> Option<u64> {
    let parts = header.split(';').map(str::trim);
    let mut ages = parts.filter_map(|part| {
        let (name, seconds) = part.split_once('=')?;
        let seconds = seconds.trim().trim_matches('"').parse().ok()?;
        name.trim()
            .eq_ignore_ascii_case("max-age")
            .then_some(seconds)
    });
    ages.next()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::acceptance::Status;

    #[test]
    fn a_header_says_for_how_long() {
        assert_eq!(max_age("max-age=31536000"), Some(31_536_000));
        assert_eq!(max_age("includeSubDomains; Max-Age=\"5\""), Some(5));
        assert_eq!(max_age("max-age="), None);
        assert_eq!(max_age(""), None);
    }

    #[tokio::test]
    async fn plain_http_never_passes() {
        let of = async |url: &str| {
            let report = run(url, &Trust::default(), HTTP_PORT, &|_| ())
                .await
                .unwrap();
            assert!(!report.passed() && report.checks.len() == 1);
            report.checks[0].clone()
        };
        let here = of("http://127.0.0.1:1").await;
        assert_eq!(
            (here.id.as_str(), here.status),
            ("tls/https", Status::Skipped)
        );
        let there = of("http://mcp.example.invalid").await;
        assert_eq!(
            (there.id.as_str(), there.status),
            ("tls/https", Status::Failed)
        );
        assert!(there.fix.contains("https://"));
    }
}
