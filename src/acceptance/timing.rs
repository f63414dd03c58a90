//! How far away a server is from where a suite runs: connecting, TLS, and a whole call.

use std::time::{Duration, Instant};

use reqwest::Url;
use rustls::pki_types::ServerName;
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::client::{Client, Headers};
use super::kit::{Kit, TokenKind, TokenState};
use super::mcp::{Ask, USUAL, credentials};
use super::{AcceptError, Trust};

/// How often it is connected anew.
const CONNECTIONS: usize = 8;
/// How many calls go over a connection that is open.
const CALLS: usize = 40;
/// All calls together; on a slow way fewer are made.
const LONGEST: Duration = Duration::from_secs(20);
/// One connection.
const STEP: Duration = Duration::from_secs(10);
/// A person who talks to a toy waits for model, speech and tool; a tool may not take more of it.
const VOICE: Duration = Duration::from_millis(400);

const WHOAMI: &str = "agentkeys.identity.whoami";

/// What was measured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timing {
    connect: Spread,
    /// None on plain HTTP.
    tls: Option<Spread>,
    call: Spread,
    /// What was called.
    called: &'static str,
}

/// The median, and what one in twenty is slower than.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Spread {
    p50: Duration,
    p95: Duration,
    of: usize,
}

impl Spread {
    /// None of nothing. Nearest rank, so that each is a time that was measured.
    fn of(mut times: Vec<Duration>) -> Option<Self> {
        times.sort_unstable();
        let rank = |percent: usize| {
            let at = (times.len() * percent).div_ceil(100).max(1) - 1;
            times.get(at).copied()
        };
        Some(Self {
            p50: rank(50)?,
            p95: rank(95)?,
            of: times.len(),
        })
    }

    fn to_json(self) -> Value {
        json!({"p50": ms(self.p50), "p95": ms(self.p95), "of": self.of})
    }

    fn to_text(self) -> String {
        format!("{}/{} ms", ms(self.p50), ms(self.p95))
    }
}

/// Milliseconds with a tenth.
fn ms(time: Duration) -> f64 {
    (time.as_secs_f64() * 10_000.0).round() / 10.0
}

impl Timing {
    /// Whether somebody who talks to a toy would bear it.
    pub fn is_for_voice(&self) -> bool {
        self.call.p95 <= VOICE
    }

    /// What it is good for.
    pub fn verdict(&self) -> &'static str {
        if self.is_for_voice() {
            "fast enough for voice"
        } else {
            "too slow for voice"
        }
    }

    /// The shape that scripts rely on.
    pub fn to_json(&self) -> Value {
        json!({
            "connect_ms": self.connect.to_json(),
            "tls_ms": self.tls.map(Spread::to_json),
            "call_ms": self.call.to_json(),
            "called": self.called, "verdict": self.verdict(),
        })
    }

    /// One line.
    pub fn to_text(&self) -> String {
        let tls = self.tls.map_or_else(|| "none".to_owned(), Spread::to_text);
        format!(
            "from here, p50/p95: connect {}, TLS {tls}, {} {} ({} times): {}",
            self.connect.to_text(),
            self.called,
            self.call.to_text(),
            self.call.of,
            self.verdict()
        )
    }
}

/// Measures; an error says why nothing could be. With a kit a tool is called, which leaves a row each
/// time and changes nothing; without one the server is asked for its health.
pub async fn measure(url: &str, kit: Option<&Kit>, trust: &Trust) -> Result<Timing, AcceptError> {
    let client = match kit {
        Some(kit) => Client::new(url, trust, kit.authority()).await?,
        None => Client::of_nobody(url, trust)?,
    };
    let parsed =
        Url::parse(client.base()).map_err(|e| AcceptError::protocol("--url", e.to_string()))?;
    let (mut connect, mut tls) = (Vec::new(), Vec::new());
    for _ in 0..CONNECTIONS {
        let (connected, secured) = timeout(STEP, connection(&parsed, trust))
            .await
            .map_err(|_| lost(&client, "no connection within 10 s"))?
            .map_err(|e| lost(&client, e))?;
        connect.push(connected);
        tls.extend(secured);
    }
    let (call, called) = calls(&client, kit).await?;
    let nothing = || AcceptError::protocol("timing", "nothing was measured");
    Ok(Timing {
        connect: Spread::of(connect).ok_or_else(nothing)?,
        tls: Spread::of(tls),
        call: Spread::of(call).ok_or_else(nothing)?,
        called,
    })
}

fn lost(client: &Client, cause: impl std::fmt::Display) -> AcceptError {
    AcceptError::Unreachable {
        url: client.base().to_owned(),
        cause: cause.to_string(),
    }
}

/// A connection that is closed again: how long it took, and how long TLS took on it.
async fn connection(url: &Url, trust: &Trust) -> Result<(Duration, Option<Duration>), String> {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    let port = url.port_or_known_default().unwrap_or_default();
    // The name is looked up once in a while, and not once a connection.
    let mut addresses = tokio::net::lookup_host((host, port))
        .await
        .map_err(|e| e.to_string())?;
    let address = addresses.next().ok_or("it has no address")?;
    let began = Instant::now();
    let socket = TcpStream::connect(address)
        .await
        .map_err(|e| e.to_string())?;
    let connected = began.elapsed();
    if url.scheme() != "https" {
        return Ok((connected, None));
    }
    let config = crate::tls::client_config(trust.der())?;
    let name = ServerName::try_from(host.to_owned()).map_err(|e| e.to_string())?;
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let began = Instant::now();
    let shaken = connector.connect(name, socket).await;
    shaken.map_err(|e| e.to_string())?;
    Ok((connected, Some(began.elapsed())))
}

async fn calls(
    client: &Client,
    kit: Option<&Kit>,
) -> Result<(Vec<Duration>, &'static str), AcceptError> {
    let (request, called) = match kit {
        None => (None, "GET /healthz"),
        Some(kit) => {
            // Not the token of suites that make many calls, which have a bound.
            let vendor = &kit.vendors.second;
            let held = kit.token(vendor, TokenState::Active, TokenKind::Pinned)?;
            let (mut headers, body) = USUAL.request(Ask::Tool(WHOAMI), &json!({}), 1);
            headers.extend(credentials(held.text.expose(), None));
            (Some((headers, body)), WHOAMI)
        }
    };
    let (mut took, mut opened) = (Vec::new(), false);
    let all = Instant::now();
    while took.len() < CALLS && all.elapsed() < LONGEST {
        let began = Instant::now();
        let reply = if let Some((headers, body)) = &request {
            client.post("/mcp", headers, body).await?
        } else {
            client.get("/healthz", &Headers::new()).await?
        };
        if let Some(left) = reply.retry_after() {
            tokio::time::sleep(left).await;
            continue;
        }
        if reply.status != 200 {
            return Err(AcceptError::protocol(called, reply.told()));
        }
        // The first opens the connection and is not counted.
        if opened {
            took.push(began.elapsed());
        }
        opened = true;
    }
    Ok((took, called))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn spread(times: impl IntoIterator<Item = u64>) -> Spread {
        Spread::of(times.into_iter().map(Duration::from_millis).collect()).unwrap()
    }

    #[test]
    fn the_ranks_are_times_that_were_measured() {
        let forty = spread((1..=40).rev());
        assert_eq!(forty.p50, Duration::from_millis(20));
        assert_eq!(forty.p95, Duration::from_millis(38));
        let one = spread([7]);
        assert_eq!((one.p50, one.p95), (one.p95, Duration::from_millis(7)));
        assert_eq!(Spread::of(Vec::new()), None);
    }

    #[test]
    fn over_four_hundred_a_call_is_too_slow_for_voice() {
        let timing = |p95| Timing {
            connect: spread([1]),
            tls: None,
            call: spread([p95]),
            called: WHOAMI,
        };
        assert_eq!(timing(400).verdict(), "fast enough for voice");
        let slow = timing(401);
        assert_eq!(slow.verdict(), "too slow for voice");
        assert!(slow.to_text().ends_with("too slow for voice"));
        assert_eq!(slow.to_json()["call_ms"]["p95"], 401.0);
        assert_eq!(slow.to_json()["tls_ms"], Value::Null);
    }
}
