//! What may be wrong between a host and a server, looked at from the host's side, one step after the
//! other: each finding has its cause and what to do.

mod handshakes;
mod secured;

use super::client::{Client, Headers};
use super::mcp::{Ask, USUAL};
use super::{AcceptError, Trust, timing};
use crate::text::clean_to;
use http::header::{DATE, LOCATION};
use reqwest::Url;
use serde_json::json;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;

pub use crate::finding::{Finding, Status};

/// How long one step may take.
const STEP: Duration = Duration::from_secs(10);

/// Clocks further apart than this make tokens expire early or late.
const CLOCKS_APART_S: i64 = 60;

/// Whom a host speaks for.
#[derive(Debug)]
pub struct Credentials<'a> {
    /// A vendor's token.
    pub token: &'a str,
    /// The actor, when the token is not one actor's own.
    pub actor: Option<&'a str>,
}

/// Who answers somewhere, where somebody else was to.
pub fn who_answers(authority: &str, at: impl std::fmt::Display) -> String {
    if authority.is_empty() {
        return format!("an authority that does not say which it is answers at {at}");
    }
    let authority = clean_to(authority, 100);
    format!("another authority, {authority}, answers at {at}")
}

/// Looks at a server as a host would reach it, at a time in Unix seconds; `own` is the authority it
/// has to be, where that is known. Stops where nothing further can be seen.
pub async fn look(
    url: &str,
    own: Option<&str>,
    trust: &Trust,
    credentials: Option<&Credentials<'_>>,
    now_s: i64,
) -> Result<Vec<Finding>, AcceptError> {
    let client = Client::of_nobody(url, trust)?;
    let parsed =
        Url::parse(client.base()).map_err(|e| AcceptError::protocol("--url", e.to_string()))?;
    let mut found = Vec::new();
    let Some(addresses) = resolve(&parsed, &mut found).await else {
        return Ok(found);
    };
    let Some(address) = connect(&addresses, &mut found).await else {
        return Ok(found);
    };
    if parsed.scheme() == "https"
        && !secured::certificate(&parsed, address, trust, now_s, &mut found).await
    {
        return Ok(found);
    }
    if !alive(&client, own, now_s, &mut found).await {
        if parsed.scheme() == "http"
            && let Some(last) = found.last_mut()
            && let Some(instead) = secured::instead(&parsed, address, trust).await
        {
            *last = instead;
        }
        return Ok(found);
    }
    let named = names(&client).await;
    let ours = named.status == Status::Ok;
    found.push(named);
    found.push(endpoint(&parsed, address, trust).await);
    // A token goes to nobody but the server it is for, and to nobody on the way.
    let private = parsed.scheme() == "https" || address.ip().to_canonical().is_loopback();
    found.extend(match credentials {
        Some(_) if !(ours && private) => {
            let cause = if private {
                "the token was not sent: this is not AgentKeys as it should be"
            } else {
                "the token was not sent: it would cross the network in the clear"
            };
            vec![Finding::new(
                "mcp",
                Status::Skipped,
                cause,
                "look at what failed, or use https",
            )]
        }
        credentials => handshakes::shake_hands(&client, credentials).await,
    });
    found.push(latency(&client, trust).await);
    Ok(found)
}

async fn resolve(url: &Url, found: &mut Vec<Finding>) -> Option<Vec<SocketAddr>> {
    let (host, port) = (url.host_str()?, url.port_or_known_default()?);
    let bare = host.trim_matches(['[', ']']);
    let resolved = timeout(STEP, tokio::net::lookup_host((bare, port))).await;
    let fix = format!("make an A or AAAA record of {bare} that names this server");
    let addresses: Vec<SocketAddr> = match resolved {
        Ok(Ok(addresses)) => addresses.collect(),
        Ok(Err(error)) => {
            let cause = format!("{bare} has no address: {error}");
            found.push(Finding::new("dns", Status::Failed, cause, fix));
            return None;
        }
        Err(_) => {
            let cause = format!("nobody says within 10 seconds which address {bare} has");
            found.push(Finding::new(
                "dns",
                Status::Failed,
                cause,
                "look at this machine's resolver",
            ));
            return None;
        }
    };
    let ips: Vec<String> = addresses.iter().map(|a| a.ip().to_string()).collect();
    let told = format!("{bare} is {}", ips.join(", "));
    let is_name = bare.parse::<IpAddr>().is_err() && bare != "localhost";
    found.push(if is_name && addresses.iter().all(|a| is_private(a.ip())) {
        let cause = format!("{told}, which the internet cannot reach");
        Finding::new("dns", Status::Warn, cause, fix)
    } else {
        Finding::ok("dns", told)
    });
    (!addresses.is_empty()).then_some(addresses)
}

fn is_private(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(v4) => v4.is_private() || v4.is_loopback() || v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local(),
    }
}

/// Connects to each address; the first that answers.
async fn connect(addresses: &[SocketAddr], found: &mut Vec<Finding>) -> Option<SocketAddr> {
    let mut first = None;
    for address in addresses {
        let connected = timeout(STEP, TcpStream::connect(address)).await;
        let cause = match connected {
            Ok(Ok(_)) => {
                first = first.or(Some(*address));
                found.push(Finding::ok("port", format!("{address} takes connections")));
                continue;
            }
            Ok(Err(error)) => format!("{address}: {error}"),
            Err(_) => format!("{address} does not answer within 10 seconds"),
        };
        let fix = "start the server, open the port in the firewall, or correct the DNS record";
        found.push(Finding::new("port", Status::Failed, cause, fix));
    }
    first
}

async fn alive(client: &Client, own: Option<&str>, now_s: i64, found: &mut Vec<Finding>) -> bool {
    let health = match client.get("/healthz", &Headers::new()).await {
        Ok(health) => health,
        Err(error) => {
            let fix = "look at the server's log";
            found.push(Finding::new(
                "health",
                Status::Failed,
                error.to_string(),
                fix,
            ));
            return false;
        }
    };
    if let Some(finding) = clocks(&health.headers, now_s) {
        found.push(finding);
    }
    if let 300..=399 = health.status {
        let to = health.headers.get(LOCATION).and_then(|l| l.to_str().ok());
        let cause = format!("it redirects to {}", to.unwrap_or("nowhere"));
        let fix = "use that address: a redirect loses the token";
        found.push(Finding::new("health", Status::Failed, cause, fix));
        return false;
    }
    if health.json["name"] != "agentkeys" {
        let cause = format!("something else answers there: {}", health.told());
        let fix = "send this name to AgentKeys in the proxy or the DNS record";
        found.push(Finding::new("health", Status::Failed, cause, fix));
        return false;
    }
    let authority = health.text("/authority").unwrap_or_default();
    if own.is_some_and(|own| own != authority) {
        let cause = who_answers(authority, client.base());
        let fix = "send this name to this folder's server in the proxy or the DNS record";
        found.push(Finding::new("health", Status::Failed, cause, fix));
        return false;
    }
    let version = health.text("/version").unwrap_or_default();
    let told = format!("agentkeys {version}");
    found.push(if health.status == 200 {
        Finding::ok("health", told)
    } else {
        let cause = format!("{told} says that it cannot work");
        Finding::new(
            "health",
            Status::Failed,
            cause,
            "agentkeys doctor, on the server",
        )
    });
    true
}

fn clocks(headers: &http::HeaderMap, now_s: i64) -> Option<Finding> {
    let date = headers.get(DATE)?.to_str().ok()?;
    let theirs = jiff::fmt::rfc2822::parse(date)
        .ok()?
        .timestamp()
        .as_second();
    let apart = theirs - now_s;
    let told = format!("the server's clock is {apart} s apart from this one");
    Some(if apart.abs() <= CLOCKS_APART_S {
        Finding::ok("clock", told)
    } else {
        let fix = "let both machines follow NTP: tokens and certificates go by the clock";
        Finding::new("clock", Status::Failed, told, fix)
    })
}

/// Whether the server answers to this name, and whether what is before it passes requests as they are.
async fn names(client: &Client) -> Finding {
    for path in ["/mcp", "/mcp/"] {
        let (headers, body) = USUAL.request(Ask::Hello, &json!({}), 1);
        let answer = match client.post(path, &headers, &body).await {
            Ok(answer) => answer,
            Err(error) => {
                let fix = "look at the server's log";
                return Finding::new("name", Status::Failed, error.to_string(), fix);
            }
        };
        if answer.status == 401 && answer.code().starts_with("agentkeys.") {
            continue;
        }
        let (cause, fix) = match (answer.status, answer.code()) {
            (_, "agentkeys.http.host_not_allowed") => (
                "the server does not know that it has this name".to_owned(),
                "set [server] public_url, or allowed_hosts, to this name",
            ),
            (300..=399, _) => (
                format!("{path} is redirected, and a redirect loses the token"),
                "let the proxy pass /mcp and /mcp/ as they are",
            ),
            _ => (
                format!("{path} is not answered by AgentKeys: {}", answer.told()),
                "let the proxy pass every path to AgentKeys",
            ),
        };
        return Finding::new("name", Status::Failed, cause, fix);
    }
    Finding::ok("name", "the server knows this name, and asks for a token")
}

/// Whether a WebSocket gets through to the endpoint.
async fn endpoint(url: &Url, address: SocketAddr, trust: &Trust) -> Finding {
    let id = "endpoint";
    let fix = "let the proxy pass WebSocket upgrades of /mcp_endpoint/ (agentkeys deploy nginx)";
    let mut target = url.clone();
    let scheme = if url.scheme() == "https" { "wss" } else { "ws" };
    if target.set_scheme(scheme).is_err() {
        return Finding::new(
            id,
            Status::Skipped,
            "the address is none of a WebSocket",
            "",
        );
    }
    target.set_path("/mcp_endpoint/call/");
    target.set_query(Some("token=doctor"));
    let opened = timeout(STEP, open(&target, address, trust)).await;
    match opened {
        Ok(Ok(())) => Finding::ok(id, "WebSockets get through"),
        Ok(Err(cause)) => Finding::new(
            id,
            Status::Failed,
            format!("no WebSocket gets through: {cause}"),
            fix,
        ),
        Err(_) => Finding::new(id, Status::Failed, "a WebSocket hangs", fix),
    }
}

async fn open(target: &Url, address: SocketAddr, trust: &Trust) -> Result<(), String> {
    use tokio_tungstenite::tungstenite::Error;
    let socket = TcpStream::connect(address)
        .await
        .map_err(|e| e.to_string())?;
    let config = crate::tls::client_config(trust.der())?;
    let connector = tokio_tungstenite::Connector::Rustls(Arc::new(config));
    let opened = tokio_tungstenite::client_async_tls_with_config(
        target.as_str(),
        socket,
        None,
        Some(connector),
    );
    match opened.await {
        Ok(_) => Ok(()),
        Err(Error::Http(answer)) => Err(format!("HTTP {}", answer.status())),
        Err(error) => Err(error.to_string()),
    }
}

/// How far away it is, with the words that `accept` has for it.
async fn latency(client: &Client, trust: &Trust) -> Finding {
    match timing::measure(client.base(), None, trust).await {
        Ok(timing) if timing.is_for_voice() => Finding::ok("latency", timing.to_text()),
        Ok(timing) => {
            let fix = "move the server nearer to its hosts: a person waits for the answer";
            Finding::new("latency", Status::Warn, timing.to_text(), fix)
        }
        Err(error) => {
            let fix = "look at the network";
            Finding::new("latency", Status::Failed, error.to_string(), fix)
        }
    }
}
