//! Plain HTTP beside TLS: closed, or only the way to https, and never for who brings a token.

use std::io;
use std::net::SocketAddr;

use reqwest::Url;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::speak::{Head, STEP, ask};
use super::{Check, Suite};

/// The checks of this part, each skipped where nobody gets to the port.
pub(super) const HEALTHZ: &str = "tls/plain/healthz";
pub(super) const WITH_TOKEN: &str = "tls/plain/with_token";
const FIX: &str = "close the port, or redirect to https:// there (`[tls] mode = \"acme\"` does; agentkeys deploy nginx, caddy)";
const FIX_TOKEN: &str = "refuse what comes for /mcp with a token over plain HTTP: it has crossed the network in the clear, and helping it on hides that";
const FIX_UNREACHED: &str =
    "allow it where a firewall drops the port: nobody gets to plain HTTP there";

pub(super) async fn look(suite: &mut Suite<'_>, port: u16) {
    let closed = "closed, or redirected to https, or refused";
    let refused = "closed, or refused and not redirected";
    let get = suite.peer.request("GET", "/healthz", "");
    let bearing = suite.peer.with_bearer("/mcp");
    let home = (suite.peer.host().to_owned(), suite.peer.address.port());
    let address = SocketAddr::new(suite.peer.address.ip(), port);
    for (id, request, expected, fix) in [
        (HEALTHZ, get, closed, FIX),
        (WITH_TOKEN, bearing, refused, FIX_TOKEN),
    ] {
        let amiss = match asked(address, &request).await {
            Plain::Closed => None,
            Plain::Unreached(why) => {
                let why = format!("port {port} cannot be reached: {why}");
                suite.checks.push(Check::skipped(id, &why, FIX_UNREACHED));
                continue;
            }
            Plain::Broken(why) => Some(why),
            Plain::Answered(head) => wrong(&head, &home, id == WITH_TOKEN),
        };
        let got = amiss.as_deref().unwrap_or(expected);
        let check = Check::of(id, amiss.is_none(), expected, got, fix);
        suite.checks.push(check);
    }
}

/// What was found on the port.
enum Plain {
    Closed,
    Unreached(String),
    Broken(String),
    Answered(Head),
}

async fn asked(address: SocketAddr, request: &str) -> Plain {
    match timeout(STEP, TcpStream::connect(address)).await {
        Err(_) => Plain::Unreached("no connection within 10 s".to_owned()),
        Ok(Err(e)) if e.kind() == io::ErrorKind::ConnectionRefused => Plain::Closed,
        Ok(Err(error)) => Plain::Unreached(error.to_string()),
        Ok(Ok(socket)) => match ask(socket, request).await {
            Ok(head) => Plain::Answered(head),
            Err(why) => Plain::Broken(why),
        },
    }
}

/// What is wrong with an answer over plain HTTP, where `home` is the host and port that https is at.
fn wrong(head: &Head, (host, port): &(String, u16), tokened: bool) -> Option<String> {
    let to = head.header("location").unwrap_or_default();
    match head.status {
        300..=399 if tokened => Some(format!("a redirect to {to}")),
        300..=399 => {
            let parsed = Url::parse(to).ok();
            let home = parsed.is_some_and(|to| {
                let same = to
                    .host_str()
                    .is_some_and(|h| h.trim_matches(['[', ']']) == host);
                to.scheme() == "https" && same && to.port_or_known_default() == Some(*port)
            });
            (!home).then(|| format!("a redirect to {to}"))
        }
        400..=499 => None,
        status => Some(format!("HTTP {status}")),
    }
}
