//! Dialling out to a relay of xiaozhi's MCP endpoint, as the tool side of one agent: kept open,
//! probed, and dialled again when it ends (`formats/xiaozhi.md` §3).

mod dial;
mod file;

use super::exchange::Exchange;
use super::session::{Session, bearer};
use super::socket::{Ended, Talk, code};
use crate::authority::Authority;
use crate::authority::words::Door;
use backon::BackoffBuilder as _;
use dial::Dialled;
pub use dial::{Probe, probe};
pub use file::Connection;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// The first wait after a failure, and the longest.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_mins(1);

/// How long it waits after an end that dialling again would only repeat: the relay refused the
/// address, or another tool side took the agent's place.
const LONG_WAIT: Duration = Duration::from_mins(5);

/// What happens to a connection, for whoever watches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum News {
    /// Our tools are reached through it.
    Serving,
    /// It ended or could not be had, and is tried again after so long.
    Waiting {
        /// A stable code.
        code: &'static str,
        /// What happened, without the address: that has a token in it.
        cause: String,
        /// What to do about it.
        fix: &'static str,
        /// How long.
        wait: Duration,
    },
}

/// Who is told.
pub type Tell = Arc<dyn Fn(&str, &News) + Send + Sync>;

/// Dials relays.
pub struct Relay {
    authority: Arc<Authority>,
    exchange: Arc<Exchange>,
    shutdown: CancellationToken,
    tell: Tell,
}

impl std::fmt::Debug for Relay {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Relay").finish_non_exhaustive()
    }
}

/// Why a connection is not open.
struct Down {
    code: &'static str,
    cause: String,
    fix: &'static str,
    /// Dialling again at once would only repeat it.
    stubborn: bool,
}

impl Relay {
    /// A relay client over an authority.
    pub fn new(authority: Arc<Authority>, shutdown: CancellationToken, tell: Tell) -> Self {
        let exchange = Arc::new(Exchange::new(Arc::clone(&authority)));
        Self::over(authority, exchange, shutdown, tell)
    }

    /// A relay client over an exchange that there is already.
    pub(super) const fn over(
        authority: Arc<Authority>,
        exchange: Arc<Exchange>,
        shutdown: CancellationToken,
        tell: Tell,
    ) -> Self {
        Self {
            authority,
            exchange,
            shutdown,
            tell,
        }
    }

    /// Keeps one connection until the shutdown.
    pub async fn keep(&self, connection: &Connection) {
        let mut waits = self::waits();
        loop {
            let mut served = false;
            let Some(down) = self.serve(connection, &mut served).await else {
                return;
            };
            if served {
                waits = self::waits();
            }
            let next = waits.next().unwrap_or(LONGEST_WAIT);
            let wait = if down.stubborn { LONG_WAIT } else { next };
            let news = News::Waiting {
                code: down.code,
                cause: down.cause,
                fix: down.fix,
                wait,
            };
            (self.tell)(&connection.name, &news);
            tokio::select! {
                () = self.shutdown.cancelled() => return,
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// Dials, proves that messages arrive, and answers them until it ends. Nothing when the shutdown
    /// ended it: the relay was told so.
    async fn serve(&self, connection: &Connection, served: &mut bool) -> Option<Down> {
        let Some(authorization) = bearer(&connection.token) else {
            return Some(refused("agentkeys.auth.token_malformed"));
        };
        let source = "relay".to_owned();
        let session = Session::new(
            Arc::clone(&self.exchange),
            authorization,
            Door::Relay,
            source,
        );
        let principal = match session.knock(&self.authority).await {
            Ok(principal) => principal,
            Err(cause) => return Some(refused(cause.code())),
        };
        let opened = Box::pin(Dialled::open(connection, &connection.endpoint));
        let mut socket = match self.shutdown.run_until_cancelled(opened).await? {
            Ok(socket) => socket,
            Err(cause) => return Some(unreachable(cause)),
        };
        let stop = self.shutdown.child_token();
        let talk = Talk {
            authority: &self.authority,
            principal: &principal,
            session: &session,
            max_answer: connection.max_answer,
            shutdown: &stop,
        };
        let probe = async {
            let probed = Box::pin(dial::probe(connection));
            let probed = self.shutdown.run_until_cancelled(probed).await?;
            match &probed {
                Probe::Arrived | Probe::NoOtherSide => {
                    *served = probed == Probe::Arrived;
                    (self.tell)(&connection.name, &News::Serving);
                }
                // Connected, and yet nothing would ever come: the relay has lost us.
                Probe::NotArrived(_) => stop.cancel(),
            }
            Some(probed)
        };
        let started = tokio::time::Instant::now();
        let talk = talk.run(&mut socket);
        let both = futures_util::future::join(talk, probe);
        let (ended, probed) = Box::pin(both).await;
        if self.shutdown.is_cancelled() {
            return None;
        }
        // Of a relay that cannot be asked, only time tells that it was no accident.
        *served |= started.elapsed() >= LONGEST_WAIT;
        Some(match (ended, probed) {
            (Ended::Stopped, Some(Probe::NotArrived(cause))) => Down {
                code: "agentkeys.relay.not_reached",
                cause: format!("the relay took the connection and passes nothing on: {cause}"),
                fix: "it is dialled again; if this goes on, restart the relay",
                stubborn: false,
            },
            (ended, _) => over(ended),
        })
    }
}

fn waits() -> backon::ExponentialBackoff {
    backon::ExponentialBuilder::default()
        .with_min_delay(FIRST_WAIT)
        .with_max_delay(LONGEST_WAIT)
        .with_jitter()
        .without_max_times()
        .build()
}

fn refused(code: &'static str) -> Down {
    Down {
        code,
        cause: "the token of this connection was refused here".to_owned(),
        fix: "make one with `agentkeys vendor token create --endpoint --vendor V --actor A`",
        stubborn: true,
    }
}

fn unreachable(cause: String) -> Down {
    Down {
        code: "agentkeys.relay.unreachable",
        cause,
        fix: "look at the endpoint's address and at the network",
        stubborn: false,
    }
}

/// What the end of a conversation means for the next one.
fn over(ended: Ended) -> Down {
    let down = |code, cause: &str, fix, stubborn| Down {
        code,
        cause: cause.to_owned(),
        fix,
        stubborn,
    };
    match ended {
        Ended::Closed(Some((code::REFUSED, why))) => Down {
            code: "agentkeys.relay.refused",
            cause: format!(
                "the relay refused this address: {}",
                crate::text::clean_to(&why, 80)
            ),
            fix: "copy the endpoint's address again from xiaozhi's console",
            stubborn: true,
        },
        Ended::Closed(Some((code::NORMAL, why))) => Down {
            code: "agentkeys.relay.replaced",
            cause: format!(
                "the relay ended it, probably for another tool side of the same agent: {}",
                crate::text::clean_to(&why, 80)
            ),
            fix: "one agent has one tool side: stop the other, or take this one out",
            stubborn: true,
        },
        Ended::Closed(why) => {
            let why = why.map_or_else(String::new, |(code, why)| format!(" with {code} {why}"));
            down(
                "agentkeys.relay.closed",
                &crate::text::clean_to(&format!("the relay closed it{why}"), 120),
                "it is dialled again",
                false,
            )
        }
        Ended::Revoked => refused("agentkeys.auth.token_revoked"),
        Ended::Silent => down(
            "agentkeys.relay.silent",
            "nothing was heard for a minute",
            "it is dialled again",
            false,
        ),
        Ended::NotText => down(
            "agentkeys.relay.not_text",
            "the relay sent what is no text frame",
            "look whether the address is an MCP endpoint",
            false,
        ),
        Ended::Broken | Ended::Stopped => down(
            "agentkeys.relay.broken",
            "the connection broke",
            "it is dialled again",
            false,
        ),
    }
}
