//! MCP over standard input and output: one message a line, nothing else on stdout
//! (MCP, Transports, stdio). One process speaks for one actor, named by its token.

use super::edge::MAX_BODY;
use super::exchange::Exchange;
use super::session::{Message, Session, bearer};
use crate::authority::Authority;
use crate::authority::words::Door;
use crate::problem::{Exit, Problem};
use crate::secret::Secret;
use bytes::Bytes;
use std::sync::Arc;
use tokio::io::{
    AsyncBufRead, AsyncBufReadExt as _, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _,
};
use tokio::sync::Mutex;
use tokio::task::JoinSet;

/// How many tool calls of one process may be under way.
const AT_ONCE: usize = 32;

/// Whoever answers what comes in over a line.
pub(super) trait Answers: Send + Sync + 'static {
    /// The answer to a message, if it has one.
    fn answer(&self, message: Message) -> impl Future<Output = Option<Bytes>> + Send;
}

impl Answers for Session {
    fn answer(&self, message: Message) -> impl Future<Output = Option<Bytes>> + Send {
        Self::answer(self, message)
    }
}

/// Serves the authority of this folder until the input ends or `stop` resolves.
///
/// # Errors
/// When the token is not good or names no actor, before anything is read; when the pipe breaks.
pub async fn serve(
    authority: Arc<Authority>,
    token: &Secret<String>,
    stop: impl Future<Output = ()>,
) -> Result<(), Problem> {
    let authorization = bearer(token).ok_or_else(no_token)?;
    let exchange = Exchange::new(Arc::clone(&authority));
    let source = "stdio".to_owned();
    let session = Session::new(Arc::new(exchange), authorization, Door::Stdio, source);
    session
        .knock(&authority)
        .await
        .map_err(|cause| Problem::new(Exit::Auth, cause.code(), cause.message(), cause.fix()))?;
    let input = tokio::io::BufReader::new(tokio::io::stdin());
    run(session, input, tokio::io::stdout(), stop).await
}

pub(super) fn no_token() -> Problem {
    Problem::new(
        Exit::Auth,
        "agentkeys.auth.token_malformed",
        "the token file does not hold a token",
        "put one token in it, on one line: agentkeys vendor token create --vendor V --actor A",
    )
}

/// Answers lines until they end.
pub(super) async fn run(
    answers: impl Answers,
    mut input: impl AsyncBufRead + Unpin,
    output: impl AsyncWrite + Send + Unpin + 'static,
    stop: impl Future<Output = ()>,
) -> Result<(), Problem> {
    let answers = Arc::new(answers);
    let output = Arc::new(Mutex::new(output));
    let mut calls: JoinSet<std::io::Result<()>> = JoinSet::new();
    tokio::pin!(stop);
    loop {
        let line = tokio::select! {
            () = &mut stop => break,
            line = read_line(&mut input) => line.map_err(broken)?,
        };
        let Some(line) = line else { break };
        if line.trim_ascii().is_empty() {
            continue;
        }
        let message = Message::read(Bytes::from(line));
        let is_call = message.is_call();
        let (answers, output) = (Arc::clone(&answers), Arc::clone(&output));
        let work = async move {
            match answers.answer(message).await {
                Some(answer) => write_line(&output, &answer).await,
                None => Ok(()),
            }
        };
        if !is_call {
            // In order: what follows an `initialize` speaks the version it agreed on.
            work.await.map_err(broken)?;
            continue;
        }
        if calls.len() >= AT_ONCE {
            ended(calls.join_next().await)?;
        }
        calls.spawn(work);
    }
    // What was asked before the input ended is answered.
    while let Some(call) = calls.join_next().await {
        ended(Some(call))?;
    }
    Ok(())
}

fn ended(call: Option<Result<std::io::Result<()>, tokio::task::JoinError>>) -> Result<(), Problem> {
    match call {
        Some(Ok(written)) => written.map_err(broken),
        Some(Err(error)) => Err(broken(std::io::Error::other(error))),
        None => Ok(()),
    }
}

/// A line without its end; nothing at the end of the input. Of a line that is longer than any
/// message may be, one byte more than that: enough to be refused.
async fn read_line(input: &mut (impl AsyncBufRead + Unpin)) -> std::io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    let most = u64::try_from(MAX_BODY + 1).unwrap_or(u64::MAX);
    (&mut *input)
        .take(most)
        .read_until(b'\n', &mut line)
        .await?;
    if line.is_empty() {
        return Ok(None);
    }
    if line.last() == Some(&b'\n') {
        line.pop();
    } else if line.len() > MAX_BODY {
        skip_line(input).await?;
    }
    Ok(Some(line))
}

async fn skip_line(input: &mut (impl AsyncBufRead + Unpin)) -> std::io::Result<()> {
    loop {
        let waiting = input.fill_buf().await?;
        let (used, done) = match waiting.iter().position(|b| *b == b'\n') {
            Some(at) => (at + 1, true),
            None => (waiting.len(), waiting.is_empty()),
        };
        input.consume(used);
        if done {
            return Ok(());
        }
    }
}

async fn write_line(output: &Mutex<impl AsyncWrite + Unpin>, answer: &[u8]) -> std::io::Result<()> {
    let mut output = output.lock().await;
    output.write_all(answer).await?;
    output.write_all(b"\n").await?;
    output.flush().await
}

#[allow(clippy::needless_pass_by_value, reason = "made for map_err")]
fn broken(error: std::io::Error) -> Problem {
    Problem::new(
        Exit::Failed,
        "agentkeys.serve.pipe",
        format!("standard input or output broke: {error}"),
        "look at the log of the program that started this one",
    )
}
