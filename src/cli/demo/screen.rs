//! A proof on a screen of its own: its steps along the top, and below them the very feed that an
//! auditor of the same server reads.

use super::{Proved, Which};
use crate::acceptance::captions::caption;
use crate::acceptance::play::{Audience, Progress};
use crate::acceptance::three_acts::{self, Act};
use crate::acceptance::{Status, cross_rail};
use crate::cli::Ctx;
use crate::cli::audit::Filters;
use crate::cli::audit::remote::Feed;
use crate::cli::live::{Desk, Wires, from_server, show};
use crate::cli::watch::picture;
use crate::lang::Lang;
use crate::problem::Problem;
use crate::secret::Secret;
use crate::tui::app::App;
use crate::tui::news::{News, Shown, Subject};
use crate::tui::play::{Play, Scene, Second};
use crate::tui::run::Outside as _;
use crate::tui::words::Word;
use jiff::tz::TimeZone;
use std::cell::Cell;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, mpsc, watch};
use tokio_util::sync::CancellationToken;

/// How long each step's words stand before the next step is made.
const REST: Duration = Duration::from_millis(1_200);

/// How long a proof that is over waits for the screen to have its last rows.
const LAST_ROWS: Duration = Duration::from_secs(5);

/// Events that are there when the feed begins: what the cast was given, and on a busy machine the
/// first of the proof's own.
const BEFORE: u32 = 100;

/// What a proof tells, on its way to the screen.
enum Told {
    Scene(Scene),
    Setting(Setting),
}

/// Where it plays, kept.
struct Setting {
    url: String,
    ca_file: Option<PathBuf>,
    auditor: Secret<String>,
    subject: Subject,
}

/// Plays it on the screen; what it came to.
pub(super) async fn run(
    which: &Which,
    ctx: &Ctx,
    stop: CancellationToken,
) -> Result<Proved, Problem> {
    let live = which.live();
    let (lang, kit, ark) = (live.lang(), live.kit()?, which.ark()?);
    let (mut desk, wires) = Desk::new();
    let Wires {
        news,
        mut heard,
        asked,
    } = wires;
    let theme = live
        .theme
        .theme(ctx.out.is_colored() || live.screenshot.is_some());
    let subject = Subject::default();
    let mut app = App::new(subject, theme, lang, TimeZone::system(), desk.now_ms());
    app.play = Some(script(which, lang));

    let (tell, told) = mpsc::unbounded_channel();
    // Once the screen is gone nobody is told any more, and the proof goes on to its end.
    let progress = |progress: Progress<'_>| drop(tell.send(kept(progress)));
    let looked_at = live.screenshot.is_none().then_some(&stop);
    let audience = Audience {
        progress: &progress,
        stop: &stop,
        rest: looked_at.map_or(Duration::ZERO, |_| REST),
    };
    let next = Arc::clone(&desk.next);
    let gate = |act| match (looked_at, name(act)) {
        (Some(left), Some(name)) => {
            let waits = Scene::Waits(name.say(lang).to_owned());
            drop(tell.send(Told::Scene(waits)));
            Box::pin(key(Arc::clone(&next), left.clone()))
        }
        _ => three_acts::open(act),
    };
    let (passed, came) = watch::channel(0);
    let is_over = Cell::new(false);
    let work = async {
        let against = live.against(kit.as_ref());
        let over = which.play(against, &ark, audience, &gate).await?;
        is_over.set(true);
        if let Some(last) = over.last_row().await {
            shown(came, last, &stop).await;
        }
        let (passed, sentence) = (over.proof.passed(), over.proof.sentence(lang, &plain));
        drop(tell.send(Told::Scene(Scene::Ended { passed, sentence })));
        if let Some(left) = looked_at {
            // What is on the screen can be looked into, and proved, until then.
            left.cancelled().await;
        }
        Ok(over.end().await)
    };
    let feed = feed(told, news, asked, passed, looked_at);
    let work = beside(work, feed);
    tokio::pin!(work);
    if let Some(file) = &live.screenshot {
        let proved = work.await?;
        picture(&mut app, &mut heard, desk.now_ms(), live.size, file)?;
        return Ok(proved);
    }
    match show(ctx, &mut app, &mut desk, &mut heard, work.as_mut()).await {
        Ok(Some(proved)) => Ok(proved),
        ended => {
            stop.cancel();
            if !is_over.get() {
                // Whoever leaves early leaves nothing changed.
                ctx.out.note(Word::PuttingBack.say(lang));
            }
            let played = work.await;
            if !is_over.get() {
                ctx.out.note(Word::PutBack.say(lang));
            }
            ended?;
            played
        }
    }
}

/// An act that a key starts; the first begins by itself.
const fn name(act: Act) -> Option<Word> {
    match act {
        Act::One => None,
        Act::Two => Some(Word::ActTwo),
        Act::Three => Some(Word::ActThree),
    }
}

/// Words without colour: the screen has its own.
fn plain(words: &str, _: Status) -> String {
    words.to_owned()
}

/// The steps that are to come.
fn script(which: &Which, lang: Lang) -> Play {
    let (title, steps) = match which {
        Which::CrossRail(_) => (Word::CrossRail, cross_rail::STEPS.as_slice()),
        Which::ThreeActs(_) => (Word::ThreeActs, three_acts::STEPS.as_slice()),
    };
    let steps = steps
        .iter()
        .map(|id| ((*id).to_owned(), caption(lang, id).to_owned()));
    let play = Play::new(title.say(lang), false, steps.collect());
    match which {
        Which::CrossRail(args) if args.ark.is_live() => play,
        Which::CrossRail(_) => play.second(Second::StandIn),
        Which::ThreeActs(_) => play.second(Second::Nobody).in_acts(),
    }
}

fn kept(progress: Progress<'_>) -> Told {
    match progress {
        Progress::Begins(id) => Told::Scene(Scene::Begins(id.to_owned())),
        Progress::Done(step) => Told::Scene(Scene::Done {
            id: step.id.to_owned(),
            passed: step.status == Status::Passed,
            ms: step.ms,
            expected: step.expected.clone(),
            got: step.got.clone(),
        }),
        Progress::Stage(setting) => Told::Setting(Setting {
            url: setting.url.to_owned(),
            ca_file: setting.ca_file.map(ToOwned::to_owned),
            auditor: setting.auditor.clone(),
            subject: Subject {
                alias: setting.identity.alias.clone(),
                actor_omni: setting.identity.actor_omni.clone(),
                place: setting.url.to_owned(),
            },
        }),
    }
}

/// Until the key that goes on, or the end.
async fn key(next: Arc<Notify>, stop: CancellationToken) {
    tokio::select! {
        () = next.notified() => {}
        () = stop.cancelled() => {}
    }
}

/// Until the row at this place is on its way to the screen, or none will come any more.
async fn shown(mut came: watch::Receiver<u64>, seq: u64, stop: &CancellationToken) {
    let there = tokio::time::timeout(LAST_ROWS, came.wait_for(|last| *last >= seq));
    tokio::select! {
        // One that came too late is one that the screen lacks.
        _ = there => {}
        () = stop.cancelled() => {}
    }
}

/// A proof with its feed beside it, until both are over.
async fn beside<T>(
    played: impl Future<Output = Result<T, Problem>>,
    feed: impl Future<Output = ()>,
) -> Result<T, Problem> {
    tokio::pin!(played, feed);
    tokio::select! {
        played = &mut played => {
            let proved = played?;
            // A screen that is full and gone takes nothing any more.
            let _ = tokio::time::timeout(LAST_ROWS, feed).await;
            Ok(proved)
        }
        () = &mut feed => played.await,
    }
}

/// Brings the screen what the proof tells and, from where it plays, the rows, until the proof is
/// over and whoever looks at it, if somebody does, leaves. That the rows stop is shown and no reason
/// to stop.
async fn feed(
    mut told: mpsc::UnboundedReceiver<Told>,
    news: mpsc::Sender<News>,
    asked: mpsc::Receiver<Shown>,
    passed: watch::Sender<u64>,
    looked_at: Option<&CancellationToken>,
) {
    let Some(setting) = scenes(&mut told, &news).await else {
        return;
    };
    let subject = setting.subject.clone();
    if news.send(News::Subject(subject)).await.is_err() {
        return;
    }
    let rows = async {
        let filters = Filters {
            actor: Some(setting.subject.actor_omni.clone()),
            ..Filters::default()
        };
        let ca = setting.ca_file.as_deref();
        let ended = match Feed::at(&setting.url, ca, setting.auditor, &filters) {
            Ok(mut feed) => from_server(&mut feed, BEFORE, news.clone(), asked, Some(passed)).await,
            Err(problem) => Err(problem),
        };
        if let Err(problem) = ended {
            drop(news.send(News::Cut(Some(problem.cause))).await);
        }
        std::future::pending::<()>().await;
    };
    let scenes = async {
        scenes(&mut told, &news).await;
        if let Some(left) = looked_at {
            left.cancelled().await;
        }
    };
    tokio::select! {
        () = rows => {}
        () = scenes => {}
    }
}

/// Brings the screen what the proof tells, until it tells where it plays or that it is over.
async fn scenes(
    told: &mut mpsc::UnboundedReceiver<Told>,
    news: &mpsc::Sender<News>,
) -> Option<Setting> {
    loop {
        let scene = match told.recv().await? {
            Told::Scene(scene) => scene,
            Told::Setting(setting) => return Some(setting),
        };
        let over = matches!(scene, Scene::Ended { .. });
        news.send(News::Scene(scene)).await.ok()?;
        if over {
            return None;
        }
    }
}
