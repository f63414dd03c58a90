//! Suite `tls`: the way to a server is one that hosts take, and that nobody can talk down.
//!
//! Nothing secret is sent: the bearer it tries redirects with is nobody's.

mod hello;
mod plain;
mod speak;

use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;

use reqwest::{Method, Url};
use rustls::version::{TLS12, TLS13};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::client::{Client, value};
use super::report::{Check, Report, Status};
use super::{AcceptError, Trust};
use crate::tls::Facts;
use hello::{Answer, Old};
use speak::{Peer, STEP};

/// The suite's name.
pub const SUITE: &str = "tls";
/// Where plain HTTP is.
pub const HTTP_PORT: u16 = 80;
/// Its checks that are skipped where what they look at is not there.
pub const MAY_SKIP: [&str; 4] = [HTTPS, ADDRESSES, plain::HEALTHZ, plain::WITH_TOKEN];
const HTTPS: &str = "tls/https";
const ADDRESSES: &str = "tls/addresses";
/// Half a year, from which on browsers' lists take a name.
const HSTS_S: u64 = 15_768_000;

/// More addresses of a name are not looked at.
const MOST_ADDRESSES: usize = 8;

const FIX_ADDRESSES: &str =
    "let a server answer there, or take the address out of the DNS record: hosts try every one";
const FIX_NO_WAY: &str =
    "run it from a machine that has a way there too (one with IPv6), or allow it";
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
    let found = resolved(&parsed).await.map_err(lost)?;
    let https = Check::of(HTTPS, true, "https://", "https://", "");
    report.checks.push(https);
    let (reached, addresses) = reach(&found).await.map_err(lost)?;
    report.checks.push(addresses);
    let peers: Vec<_> = reached.iter().map(|at| Peer::new(&parsed, *at)).collect();
    let checks = every(&client, &peers, trust, http_port, progress).await;
    report.checks.extend(checks);
    Ok(report)
}

/// All checks of every address.
async fn every(
    client: &Client,
    peers: &[Peer],
    trust: &Trust,
    http_port: u16,
    progress: &(dyn Fn(&str) + Sync),
) -> Vec<Check> {
    let mut looked = Vec::new();
    for peer in peers {
        let checks = each(client, peer, trust, http_port, progress).await;
        looked.push((peer.address, checks));
    }
    worst(looked)
}

/// All checks of one address.
async fn each(
    client: &Client,
    peer: &Peer,
    trust: &Trust,
    http_port: u16,
    progress: &(dyn Fn(&str) + Sync),
) -> Vec<Check> {
    let mut suite = Suite {
        peer,
        checks: Vec::new(),
    };
    let at = peer.address;
    progress(&format!("certificate of {at}"));
    suite.certificate(trust).await;
    progress(&format!("versions and protocols of {at}"));
    suite.versions().await;
    suite.protocols().await;
    progress(&format!("redirects of {at}"));
    suite.hsts().await;
    suite.redirects(client).await;
    plain::look(&mut suite, http_port).await;
    suite.checks
}

/// Of each check the one that ended worst, with its address where there are several.
fn worst(looked: Vec<(SocketAddr, Vec<Check>)>) -> Vec<Check> {
    let badness = |check: &Check| match check.status {
        Status::Passed => 0,
        Status::Skipped => 1,
        Status::Failed => 2,
    };
    let several = looked.len() > 1;
    let mut all: Vec<Check> = Vec::new();
    for (address, checks) in looked {
        for mut check in checks {
            if several && check.status != Status::Passed {
                check.got = format!("{address}: {}", check.got);
            }
            match all.iter_mut().find(|c| c.id == check.id) {
                Some(known) if badness(known) < badness(&check) => *known = check,
                Some(_) => {}
                None => all.push(check),
            }
        }
    }
    all
}

/// On this machine nobody listens in, and an operator may say so with `--allow-skip`.
fn not_https(url: &Url) -> Check {
    let id = HTTPS;
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

/// Every address the name has: a host takes any of them.
async fn resolved(url: &Url) -> Result<Vec<SocketAddr>, String> {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    let port = url.port_or_known_default().unwrap_or_default();
    let found = timeout(STEP, tokio::net::lookup_host((host, port))).await;
    let found = found.map_err(|_| "nobody says which address it has".to_owned())?;
    let found: BTreeSet<_> = found.map_err(|e| e.to_string())?.collect();
    Ok(found.into_iter().collect())
}

/// Those that take a connection, and the check that all do. It is skipped for what this machine has
/// no way to.
async fn reach(found: &[SocketAddr]) -> Result<(Vec<SocketAddr>, Check), String> {
    let (mut reached, mut closed, mut no_way) = (Vec::new(), Vec::new(), Vec::new());
    for address in found.iter().take(MOST_ADDRESSES) {
        match timeout(STEP, TcpStream::connect(address)).await {
            Ok(Ok(_)) => reached.push(*address),
            Ok(Err(error)) if is_no_way(&error) => no_way.push(format!("{address}: {error}")),
            Ok(Err(error)) => closed.push(format!("{address}: {error}")),
            Err(_) => closed.push(format!("{address}: no connection within 10 s")),
        }
    }
    if let Some(left) = found.len().checked_sub(MOST_ADDRESSES).filter(|n| *n > 0) {
        closed.push(format!("{left} more, at which nobody looked"));
    }
    if reached.is_empty() {
        let mut why = [closed, no_way].concat();
        why.resize_with(why.len().max(1), || "it has no address".to_owned());
        return Err(why.join(", "));
    }
    let id = ADDRESSES;
    let check = if closed.is_empty() && !no_way.is_empty() {
        Check::skipped(id, &no_way.join(", "), FIX_NO_WAY)
    } else {
        let expected = "a connection at every address of the name";
        let got = if closed.is_empty() {
            expected.to_owned()
        } else {
            closed.join(", ")
        };
        Check::of(id, closed.is_empty(), expected, &got, FIX_ADDRESSES)
    };
    Ok((reached, check))
}

/// Whether it is this machine that cannot get there, as one without IPv6.
fn is_no_way(error: &io::Error) -> bool {
    use io::ErrorKind::{AddrNotAvailable, HostUnreachable, NetworkUnreachable, Unsupported};
    matches!(
        error.kind(),
        AddrNotAvailable | HostUnreachable | NetworkUnreachable | Unsupported
    )
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

    /// A request with a bearer is answered where it was sent: at this address, and through the client
    /// that trusts no more than hosts do. Where that cannot connect, `chain` says so.
    async fn redirects(&mut self, client: &Client) {
        for (id, path) in [
            ("no_redirect/mcp", "/mcp"),
            ("no_redirect/mcp_slash", "/mcp/"),
        ] {
            let headers = vec![
                ("authorization", value("Bearer nobodys")),
                ("content-type", value("application/json")),
            ];
            let body = br#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#.to_vec();
            let through = client.bare(Method::POST, path, &headers, body).await;
            let through = through.map_or(0, |(reply, _)| reply.status);
            let leads = |status: u16| (300..=399).contains(&status);
            let amiss = match self.peer.post(path).await {
                Ok(head) => (leads(head.status) || leads(through)).then(|| "a redirect".to_owned()),
                Err(cause) => Some(cause),
            };
            self.check(id, amiss, "an answer, and no redirect", FIX_REDIRECT);
        }
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

    #[test]
    fn a_header_says_for_how_long() {
        assert_eq!(max_age("max-age=31536000"), Some(31_536_000));
        assert_eq!(max_age("includeSubDomains; Max-Age=\"5\""), Some(5));
        assert_eq!(max_age("max-age="), None);
        assert_eq!(max_age(""), None);
    }

    #[test]
    fn the_worst_of_all_addresses_counts() {
        let at = |port: u16| SocketAddr::from(([127, 0, 0, 1], port));
        let check = |id: &str, passed| Check::of(id, passed, "x", "y", "z");
        let good = vec![check("a", true), check("b", true), check("c", false)];
        let bad = vec![
            check("a", false),
            Check::skipped("b", "why", "z"),
            check("c", true),
        ];
        for looked in [
            vec![(at(1), good.clone()), (at(2), bad.clone())],
            vec![(at(2), bad), (at(1), good.clone())],
        ] {
            let all = worst(looked);
            let told: Vec<_> = all.iter().map(|c| (c.status, c.got.as_str())).collect();
            assert_eq!(
                told,
                [
                    (Status::Failed, "127.0.0.1:2: y"),
                    (Status::Skipped, "127.0.0.1:2: why"),
                    (Status::Failed, "127.0.0.1:1: y"),
                ]
            );
        }
        assert_eq!(worst(vec![(at(1), good)])[2].got, "y");
    }

    #[tokio::test]
    async fn each_address_is_connected_to() {
        let open = || std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let kept = [open(), open()];
        let closed = open().local_addr().unwrap();
        let [one, two] = kept.each_ref().map(|l| l.local_addr().unwrap());
        let (reached, check) = reach(&[one, two]).await.unwrap();
        assert_eq!((reached, check.status), (vec![one, two], Status::Passed));
        let (reached, check) = reach(&[closed, two]).await.unwrap();
        assert_eq!((reached, check.status), (vec![two], Status::Failed));
        assert!(check.got.contains(&closed.to_string()));
        let (reached, check) = reach(&[one; MOST_ADDRESSES + 1]).await.unwrap();
        assert_eq!(reached.len(), MOST_ADDRESSES);
        assert_eq!(check.status, Status::Failed);
        assert!(reach(&[closed]).await.is_err() && reach(&[]).await.is_err());
        let no_way = io::Error::from(io::ErrorKind::NetworkUnreachable);
        assert!(is_no_way(&no_way));
        assert!(!is_no_way(&io::ErrorKind::ConnectionRefused.into()));
    }

    /// A host takes any of them, so what is wrong at the second is wrong.
    #[tokio::test]
    async fn every_address_is_looked_at() {
        let url = Url::parse("https://127.0.0.1").unwrap();
        let client = Client::of_nobody(url.as_str(), &Trust::default()).unwrap();
        let (came, who) = std::sync::mpsc::channel();
        let peers = [1, 2].map(|number| {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            let peer = Peer::new(&url, listener.local_addr().unwrap());
            let came = came.clone();
            // It answers nobody, and nobody twice.
            std::thread::spawn(move || {
                let _gone = listener.accept().unwrap();
                came.send(number).unwrap();
            });
            peer
        });
        let checks = every(&client, &peers, &Trust::default(), 1, &|_| ()).await;
        let chain = checks.iter().find(|c| c.id == "tls/chain").unwrap();
        assert!(chain.got.starts_with(&peers[0].address.to_string()));
        let seen: Vec<i32> = who.try_iter().collect();
        assert_eq!(seen, [1, 2]);
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
