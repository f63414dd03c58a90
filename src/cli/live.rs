//! A live screen on this terminal, with whatever feeds it: `watch` and the demos.

use super::Ctx;
use super::audit::Log;
use super::audit::remote::Feed;
use super::audit::sink::Sink;
use super::signals::Signals;
use crate::authority::Authority;
use crate::authority::ports::Clock as _;
use crate::authority::sealed::{NotProved, tell_anchor};
use crate::config::Audit;
use crate::folder::system::SystemClock;
use crate::folder::write_private;
use crate::operate::text;
use crate::problem::{Exit, Problem};
use crate::tui::app::App;
use crate::tui::news::{Chain, Effect, News, Proof, Seal, Shown};
use crate::tui::prove;
use crate::tui::run::{self, End, Outside};
use crate::tui::screen::Terminal;
use crate::tui::theme::{self, Theme};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::ValueEnum;
use parking_lot::Mutex;
use ratatui::crossterm::event::EventStream;
use serde_json::Value;
use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, mpsc, watch};

/// How often a server elsewhere is asked how its log stands, at least and at most: each asking is on
/// record there.
const ASK: (Duration, Duration) = (Duration::from_secs(5), Duration::from_mins(5));

/// How often the log of this machine is looked at.
const LOOK: Duration = Duration::from_secs(1);

/// What reading the log leaves in it.
const OWN_READS: &str = "audit.read";

/// How long a proof's feed may be cut without a word.
const QUIET: Duration = Duration::from_secs(1);

/// What of the log's own lines is kept while the screen is taken.
const KEPT: usize = 64 * 1024;

/// The looks, by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ThemeName {
    /// Light text on a dark ground.
    Dark,
    /// Dark text on a light ground.
    Light,
    /// No colour, as with `NO_COLOR`.
    Mono,
}

impl ThemeName {
    /// The looks that were asked for: none where colour is not wanted.
    pub(super) const fn theme(self, colored: bool) -> Theme {
        match self {
            _ if !colored => theme::MONO,
            Self::Dark => theme::DARK,
            Self::Light => theme::LIGHT,
            Self::Mono => theme::MONO,
        }
    }
}

/// Hears the place of each row on its way to the screen, if a proof is shown: then the proof's own
/// reads of the log are left out, and that the feed is cut is not told at once, since a server of
/// its own goes when the proof is over.
pub(super) type OfAProof = Option<watch::Sender<u64>>;

/// A feed's way onto the screen.
pub(super) struct ToScreen {
    news: mpsc::Sender<News>,
    of_a_proof: OfAProof,
}

impl ToScreen {
    pub(super) const fn new(news: mpsc::Sender<News>) -> Self {
        let of_a_proof = None;
        Self { news, of_a_proof }
    }

    async fn send(&self, news: News) -> Result<(), Problem> {
        // The screen is gone: whoever waits for the reader ends too.
        self.news.send(news).await.map_err(|_| left())
    }
}

impl Sink for ToScreen {
    async fn event(&mut self, event: Value) -> Result<(), Problem> {
        let Some(passed) = &self.of_a_proof else {
            return self.send(News::Event(event)).await;
        };
        if event["tool"] == OWN_READS {
            return Ok(());
        }
        let seq = event["seq"].as_u64().unwrap_or(0);
        self.send(News::Event(event)).await?;
        passed.send_replace(seq);
        Ok(())
    }

    async fn cut(&mut self, why: Option<&str>) -> Result<(), Problem> {
        if self.of_a_proof.is_some() && why.is_some() {
            tokio::time::sleep(QUIET).await;
        }
        self.send(News::Cut(why.map(str::to_owned))).await
    }
}

fn left() -> Problem {
    Problem::new(
        Exit::Ok,
        super::out::CLOSED,
        "the reader left",
        "run it again",
    )
}

/// What a screen asks for, done here.
pub(super) struct Desk {
    clock: SystemClock,
    news: mpsc::Sender<News>,
    prove: mpsc::Sender<Shown>,
    /// Woken by the key that goes on.
    pub(super) next: Arc<Notify>,
}

impl Desk {
    /// A desk and the three ends of its wires: what the screen hears, what a feed says, what proofs
    /// are asked for.
    pub(super) fn new() -> (Self, Wires) {
        let (news, heard) = mpsc::channel(run::NEWS);
        let (prove, asked) = mpsc::channel(8);
        let desk = Self {
            clock: SystemClock::default(),
            news: news.clone(),
            prove,
            next: Arc::default(),
        };
        (desk, Wires { news, heard, asked })
    }
}

/// The other ends of a desk's wires.
pub(super) struct Wires {
    /// For a feed, or a proof that runs.
    pub(super) news: mpsc::Sender<News>,
    /// For the screen.
    pub(super) heard: mpsc::Receiver<News>,
    /// For whoever can prove: the events to be proved.
    pub(super) asked: mpsc::Receiver<Shown>,
}

impl Outside for Desk {
    fn now_ms(&self) -> i64 {
        self.clock.now_ms()
    }

    fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Prove(shown) => {
                // One that finds no room is asked for again when it is looked at again.
                let _ = self.prove.try_send(shown);
            }
            Effect::Next => self.next.notify_one(),
            Effect::Export(lines) => {
                let written = export(&lines, self.now_ms());
                let _ = self.news.try_send(News::Written(written));
            }
            Effect::Quit | Effect::Copy(_) => {}
        }
    }
}

/// A new file of the reader's own, where the reader is.
fn export(lines: &str, now_ms: i64) -> Result<String, String> {
    let at = jiff::Timestamp::from_millisecond(now_ms).unwrap_or_default();
    let name = format!("agentkeys-events-{}.jsonl", at.strftime("%Y%m%dT%H%M%S%3f"));
    let written = write_private(&PathBuf::from(&name), lines.as_bytes());
    written.map(|()| name).map_err(|problem| problem.cause)
}

/// Takes the terminal and shows the app until the reader leaves or the work fails. Work that ends
/// leaves the screen up: what it showed is still read. What it gave, if it came to that.
pub(super) async fn show<T>(
    ctx: &Ctx,
    app: &mut App,
    desk: &mut Desk,
    heard: &mut mpsc::Receiver<News>,
    mut work: Pin<&mut dyn Future<Output = Result<T, Problem>>>,
) -> Result<Option<T>, Problem> {
    let title = format!("agentkeys {}", app.subject.alias);
    let kept = Kept::install();
    // Without them the terminal would be left as it is.
    let mut signals = Signals::that_end()?;
    let shown = async {
        let mut terminal = Terminal::take(&title).map_err(|e| broken(&e))?;
        let mut keys = EventStream::new();
        let screen = run::run(app, &mut terminal, desk, &mut keys, heard);
        tokio::pin!(screen);
        let mut given = None;
        loop {
            tokio::select! {
                end = &mut screen => {
                    let (End::Left | End::Over) = end.map_err(|e| broken(&e))?;
                    return Ok(given);
                }
                done = &mut work, if given.is_none() => given = Some(done?),
                _ = signals.next() => return Ok(given),
            }
        }
    };
    let shown = shown.await;
    kept.tell(ctx);
    shown
}

pub(super) fn broken(error: &io::Error) -> Problem {
    Problem::new(
        Exit::Failed,
        "agentkeys.terminal.unusable",
        format!("the terminal cannot be used: {error}"),
        "use another terminal, or `agentkeys audit tail`, which needs none",
    )
}

/// Log lines while the screen is taken: shown when it is given back.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<u8>>>);

impl Kept {
    fn install() -> Self {
        use tracing_subscriber::prelude::*;
        let kept = Self::default();
        let to = kept.clone();
        let lines = tracing_subscriber::fmt::layer()
            .with_writer(move || to.clone())
            .with_ansi(false)
            .without_time()
            .with_filter(super::log_levels(tracing::level_filters::LevelFilter::WARN));
        // Fails only when there is one already.
        let _ = tracing_subscriber::registry().with(lines).try_init();
        kept
    }

    fn tell(&self, ctx: &Ctx) {
        let lines = std::mem::take(&mut *self.0.lock());
        for line in String::from_utf8_lossy(&lines).lines() {
            ctx.out.note(line);
        }
    }
}

impl io::Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut kept = self.0.lock();
        let room = KEPT.saturating_sub(kept.len()).min(bytes.len());
        kept.extend_from_slice(&bytes[..room]);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What brings a screen its news. Boxed: the compiler copies a large future into whatever polls it.
type Feeding<'a> = Pin<Box<dyn Future<Output = Result<(), Problem>> + 'a>>;

/// Feeds a screen from this machine's folder: events, how the log stands, proofs.
pub(super) fn from_folder<'a>(
    ctx: &'a Ctx,
    log: &'a Log,
    limit: u32,
    news: mpsc::Sender<News>,
    asked: mpsc::Receiver<Shown>,
) -> Feeding<'a> {
    Box::pin(here(ctx, log, limit, news, asked))
}

async fn here(
    ctx: &Ctx,
    log: &Log,
    limit: u32,
    news: mpsc::Sender<News>,
    mut asked: mpsc::Receiver<Shown>,
) -> Result<(), Problem> {
    let config = ctx.config()?;
    let authority = &log.folder.authority;
    let mut events = ToScreen::new(news.clone());
    let to = ToScreen::new(news);
    let state = async {
        let mut told = Seal::default();
        loop {
            if let Some(seal) = seal_here(authority, &config.audit).await?
                && seal != told
            {
                told = seal.clone();
                to.send(News::Seal(seal)).await?;
            }
            tokio::time::sleep(LOOK).await;
        }
    };
    let proofs = async {
        while let Some(shown) = asked.recv().await {
            let proof = match authority.inclusion(shown.seq, None).await {
                Ok(answer) => {
                    let envelope = log.envelope(&shown.event_id).await?;
                    let keys = authority.log_key().await?;
                    prove::check(&shown, &answer, &keys, envelope.as_deref())
                }
                Err(NotProved::Refused(refusal)) => return Err(refusal.into()),
                Err(NotProved::NotSealed | NotProved::NotThere) => Proof::Soon,
            };
            to.send(News::Proof(shown.seq, proof)).await?;
        }
        Ok::<(), Problem>(())
    };
    tokio::select! {
        ended = log.tail(&mut events, limit, true) => ended,
        ended = state => ended,
        Err(ended) = proofs => Err(ended),
    }
}

/// How the log of this machine stands, once there is a checkpoint.
pub(super) async fn seal_here(
    authority: &Authority,
    audit: &Audit,
) -> Result<Option<Seal>, Problem> {
    let Some(signed) = authority.last_checkpoint().await? else {
        return Ok(None);
    };
    let mut answer = signed.to_json(None);
    let anchored = authority.last_anchor().await?;
    let (kind, every) = (audit.anchor.kind(), audit.batch_seconds);
    tell_anchor(&mut answer, kind, every, anchored.as_ref());
    Ok(Some(seal(&answer)))
}

/// How the log of a server elsewhere stands.
pub(super) async fn seal_there(feed: &Feed) -> Result<Seal, Problem> {
    let answer = feed.ask("/v1/audit/checkpoint", &[]).await?;
    Ok(seal(&answer))
}

/// The same from a server elsewhere.
pub(super) fn from_server(
    feed: &mut Feed,
    limit: u32,
    news: mpsc::Sender<News>,
    asked: mpsc::Receiver<Shown>,
    of_a_proof: OfAProof,
) -> Feeding<'_> {
    Box::pin(there(feed, limit, news, asked, of_a_proof))
}

async fn there(
    feed: &mut Feed,
    limit: u32,
    news: mpsc::Sender<News>,
    mut asked: mpsc::Receiver<Shown>,
    of_a_proof: OfAProof,
) -> Result<(), Problem> {
    let asking = feed.clone();
    let proof = of_a_proof.is_some();
    let mut events = ToScreen {
        news: news.clone(),
        of_a_proof,
    };
    let to = ToScreen::new(news);
    let state = async {
        loop {
            // No checkpoint yet, or no answer now: the feed itself says what is wrong.
            let mut wait = if proof { ASK.0 } else { ASK.1 };
            if let Ok(seal) = seal_there(&asking).await {
                let due = seal.at_ms + seal.every_ms + 1_000 - SystemClock::default().now_ms();
                let due = Duration::from_millis(u64::try_from(due).unwrap_or(0));
                wait = due.clamp(ASK.0, ASK.1);
                to.send(News::Seal(seal)).await?;
            }
            tokio::time::sleep(wait).await;
        }
    };
    let proofs = async {
        // The keys that were published first: a server that changes them later is not believed.
        let mut keys = None;
        while let Some(shown) = asked.recv().await {
            if keys.is_none() {
                let published = asking.ask("/.well-known/agentkeys/log-key", &[]).await;
                keys = published.ok();
            }
            let of = [("event_id", shown.event_id.clone())];
            let answer = asking.ask("/v1/audit/proof/inclusion", &of).await;
            let proof = match (answer, &keys) {
                (Ok(answer), Some(keys)) => {
                    // Those who may see the whole log are given the event's own bytes.
                    let envelope = STANDARD.decode(text(&answer, "envelope")).ok();
                    let envelope = envelope.filter(|bytes| !bytes.is_empty());
                    prove::check(&shown, &answer, keys, envelope.as_deref())
                }
                (Err(problem), _) => Proof::Unknown(problem.cause),
                (_, None) => Proof::Unknown("its keys could not be read".to_owned()),
            };
            to.send(News::Proof(shown.seq, proof)).await?;
        }
        Ok::<(), Problem>(())
    };
    tokio::select! {
        ended = feed.tail(&mut events, limit, true) => ended,
        ended = state => ended,
        Err(ended) = proofs => Err(ended),
    }
}

/// How a log stands, from its checkpoint's answer.
fn seal(answer: &Value) -> Seal {
    let root = STANDARD.decode(text(answer, "root")).unwrap_or_default();
    let at: Option<jiff::Timestamp> = text(answer, "signed_at").parse().ok();
    let chain = match text(answer, "anchor") {
        "evm" => Chain::Evm(answer["anchored"]["size"].as_u64()),
        "file" => Chain::File,
        _ => Chain::None,
    };
    let every = answer["every_seconds"].as_i64().unwrap_or(0);
    Seal {
        size: answer["size"].as_u64(),
        root: hex::encode(root),
        at_ms: at.map_or(0, jiff::Timestamp::as_millisecond),
        chain,
        every_ms: every.saturating_mul(1_000),
    }
}
