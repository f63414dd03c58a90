//! One conversation over a WebSocket in which we are the MCP server, whoever dialled: a text frame
//! is a message, and nothing else is spoken (xiaozhi's MCP endpoint, `formats/xiaozhi.md` §3).

use super::edge::MAX_BODY;
use super::session::{Message, Session};
use crate::authority::Authority;
use crate::authority::principal::Principal;
use bytes::Bytes;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use std::time::Duration;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

/// The longest frame either side may send, in bytes: what xiaozhi's own side reads at most.
pub(super) const MAX_FRAME: usize = MAX_BODY;

/// How often the other side is asked whether it is there, and how long its silence is borne.
const PING_EVERY: Duration = Duration::from_secs(20);
const SILENCE: Duration = Duration::from_mins(1);

/// How often it is looked whether the log grew, and then at the token, so that a revoke closes the
/// socket within a second; and after how many such looks at the token in any case: it may expire.
const LOOK_EVERY: Duration = Duration::from_millis(500);
const LOOKS: u32 = 60;

/// How long a frame may take to leave.
const SEND: Duration = Duration::from_secs(10);

/// How many tool calls of one socket may be under way.
const AT_ONCE: usize = 16;

/// Close codes (RFC 6455 §7.4.1).
pub(super) mod code {
    pub(in crate::server) const NORMAL: u16 = 1000;
    pub(in crate::server) const GOING_AWAY: u16 = 1001;
    pub(in crate::server) const NOT_TEXT: u16 = 1003;
    pub(in crate::server) const REFUSED: u16 = 1008;
}

/// What came in.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Got {
    /// A message.
    Text(Bytes),
    /// A ping or a pong: somebody is there.
    Alive,
    /// A frame that is no text.
    Binary,
    /// The other side closed.
    Close(Option<(u16, String)>),
}

/// What goes out.
#[derive(Debug)]
pub(super) enum Put {
    /// A message.
    Text(Bytes),
    /// A question whether somebody is there.
    Ping,
    /// The end.
    Close(u16, &'static str),
}

/// A WebSocket, ours to accept or to dial.
pub(super) trait Socket: Send {
    /// The next frame; nothing when it is broken or over.
    fn next(&mut self) -> impl Future<Output = Option<Got>> + Send;
    /// Sends a frame; whether that worked.
    fn put(&mut self, frame: Put) -> impl Future<Output = bool> + Send;
}

/// How a conversation ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// The other side closed it, with a code and a reason if it gave them.
    Closed(Option<(u16, String)>),
    /// It broke.
    Broken,
    /// Nothing was heard for a minute.
    Silent,
    /// It sent what is no text.
    NotText,
    /// The token was taken back.
    Revoked,
    /// We are stopping.
    Stopped,
}

/// Who speaks, and what ends it from our side.
pub(super) struct Talk<'a> {
    pub(super) authority: &'a Authority,
    pub(super) principal: &'a Principal,
    pub(super) session: &'a Session,
    /// The longest answer the other side takes, in bytes.
    pub(super) max_answer: usize,
    pub(super) shutdown: &'a CancellationToken,
}

impl Talk<'_> {
    /// Answers messages until the conversation ends.
    pub(super) async fn run(&self, socket: &mut impl Socket) -> Ended {
        let mut calls = FuturesUnordered::new();
        let mut ping = interval(PING_EVERY);
        let mut look = interval(LOOK_EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut heard = Instant::now();
        let mut log = self.authority.watch();
        let mut looks = 0;
        let ended = loop {
            let answer = tokio::select! {
                () = self.shutdown.cancelled() => break Ended::Stopped,
                Some(answer) = calls.next() => answer,
                _ = look.tick() => {
                    looks = (looks + 1) % LOOKS;
                    let grown = log.has_changed().unwrap_or(true);
                    log.mark_unchanged();
                    if (grown || looks == 0) && !self.authority.still_good(self.principal).await {
                        break Ended::Revoked;
                    }
                    continue;
                }
                _ = ping.tick() => {
                    if heard.elapsed() >= SILENCE {
                        break Ended::Silent;
                    }
                    if !send(socket, Put::Ping).await {
                        break Ended::Broken;
                    }
                    continue;
                }
                got = socket.next(), if calls.len() < AT_ONCE => {
                    heard = Instant::now();
                    match got {
                        None => break Ended::Broken,
                        Some(Got::Alive) => continue,
                        Some(Got::Binary) => break Ended::NotText,
                        Some(Got::Close(why)) => break Ended::Closed(why),
                        Some(Got::Text(text)) => {
                            let message = Message::read(text);
                            let is_call = message.is_call();
                            let answer = Box::pin(self.session.answer(message));
                            if is_call {
                                calls.push(answer);
                                continue;
                            }
                            // In order: what follows an `initialize` speaks the version it agreed on.
                            answer.await
                        }
                    }
                }
            };
            if let Some(answer) = answer
                && !send(socket, Put::Text(self.fitting(answer))).await
            {
                break Ended::Broken;
            }
        };
        if ended == Ended::Stopped {
            // What was taken in is answered: its effect may be there already.
            while let Some(answer) = calls.next().await {
                if let Some(answer) = answer
                    && !send(socket, Put::Text(self.fitting(answer))).await
                {
                    break;
                }
            }
        }
        let close = match ended {
            Ended::Stopped => Some((code::GOING_AWAY, "the server is stopping")),
            Ended::Revoked => Some((code::REFUSED, "agentkeys.auth.token_revoked")),
            Ended::NotText => Some((code::NOT_TEXT, "a message is a text frame")),
            Ended::Silent => Some((code::NORMAL, "nothing was heard for a minute")),
            Ended::Closed(_) | Ended::Broken => None,
        };
        if let Some((code, why)) = close {
            farewell(socket, code, why).await;
        }
        ended
    }

    /// An answer, or in its place one that says it is too long for the other side.
    fn fitting(&self, answer: Bytes) -> Bytes {
        if answer.len() <= self.max_answer {
            return answer;
        }
        let mut answer: serde_json::Value = serde_json::from_slice(&answer).unwrap_or_default();
        let id = answer["id"].take();
        let data = serde_json::json!({
            "code": "agentkeys.relay.answer_too_large",
            "fix": "keep shorter memories for this agent, or raise max_answer_bytes of its connection",
        });
        let message = format!(
            "the answer is longer than the {} bytes that are taken here",
            self.max_answer
        );
        let error = serde_json::json!({"code": 413, "message": message, "data": data});
        let body = serde_json::json!({"jsonrpc": "2.0", "id": id, "error": error});
        Bytes::from(body.to_string())
    }
}

/// How long the other side may take to close as well.
const FAREWELL: Duration = Duration::from_secs(2);

/// Says why it ends, and waits until the other side has closed as well or has had its time. What comes in
/// after an end without that is answered with a reset, which takes the reason along (RFC 6455 §7.1.1).
pub(super) async fn farewell(socket: &mut impl Socket, code: u16, why: &'static str) {
    if send(socket, Put::Close(code, why)).await {
        let rest = async { while socket.next().await.is_some() {} };
        // Whoever does not close is closed.
        let _ = timeout(FAREWELL, rest).await;
    }
}

async fn send(socket: &mut impl Socket, frame: Put) -> bool {
    timeout(SEND, socket.put(frame)).await.unwrap_or(false)
}
