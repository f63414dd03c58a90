//! `--observe`: nothing is driven. A real device and a real agent cause the events, and the steps
//! tick as they come.

use super::{Live, Which};
use crate::acceptance::Status;
use crate::acceptance::captions::caption;
use crate::acceptance::observe::{Observer, Story};
use crate::acceptance::play::{self, Step};
use crate::cli::Ctx;
use crate::cli::accept::tone;
use crate::cli::audit::remote::{Elsewhere, Feed};
use crate::cli::audit::{Filters, Log};
use crate::cli::live::{Desk, Wires, from_folder, from_server, show};
use crate::lang::Lang;
use crate::problem::{Exit, Problem};
use crate::tui::app::App;
use crate::tui::news::{News, Subject};
use crate::tui::play::{Play, Scene};
use crate::tui::run::{NEWS, Outside as _};
use crate::tui::words::Word;
use jiff::tz::TimeZone;
use serde_json::Value;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Where the events come from.
enum Source {
    Folder(Box<Log>),
    Server(Box<Feed>),
}

/// Looks on until every step is settled, or until whoever watches leaves.
pub(super) async fn run(
    which: &Which,
    actor: &str,
    ctx: &Ctx,
    stop: CancellationToken,
) -> Result<(), Problem> {
    let live = which.live();
    let story = match which {
        Which::CrossRail(_) => Story::CrossRail,
        Which::ThreeActs(_) => Story::ThreeActs,
    };
    let (source, subject) = open(live, actor, ctx).await?;
    let place = subject.place.clone();
    let (feed, from) = mpsc::channel(NEWS);
    let screen = ctx.out.is_terminal() && !ctx.out.is_json() && !live.plain;
    let (mut desk, wires) = Desk::new();
    let Wires {
        news,
        mut heard,
        asked,
    } = wires;
    let bringing = async {
        match source {
            Source::Folder(log) => from_folder(ctx, &log, 0, feed, asked).await,
            Source::Server(mut of) => from_server(&mut of, 0, feed, asked, None).await,
        }
    };
    let mut observer = Observer::new(story, subject.actor_omni.clone());
    if screen {
        let theme = live.theme.theme(ctx.out.is_colored());
        let mut app = App::new(
            subject,
            theme,
            live.lang(),
            TimeZone::system(),
            desk.now_ms(),
        );
        app.play = Some(script(which, story, live.lang()));
        let told = on_the_screen(&mut observer, from, news, live.lang());
        let work = async {
            tokio::select! {
                ended = bringing => ended,
                () = told => Ok(()),
            }
        };
        let mut work = Box::pin(work);
        show(ctx, &mut app, &mut desk, &mut heard, work.as_mut()).await?;
    } else {
        tokio::select! {
            // The feed first: what is said to be waited for must not be missed.
            biased;
            ended = bringing => ended?,
            told = in_lines(&mut observer, from, ctx, live.lang()) => told?,
            () = stop.cancelled() => {}
        }
    }
    let report = observer.report(&place);
    ctx.out.answer(&observer.to_json(), || {
        let lang = live.lang();
        let word = |passed: bool| if passed { Word::Passed } else { Word::Failed };
        ctx.out.line(word(report.passed()).say(lang))
    })?;
    let failed = observer.steps().iter().any(|s| s.status == Status::Failed);
    if failed || observer.is_over() {
        return report.verdict();
    }
    let open: Vec<&str> = observer.open().collect();
    Err(Problem::new(
        Exit::Acceptance,
        "agentkeys.demo.steps_open",
        format!(
            "nobody caused these steps while it looked on: {}",
            open.join(", ")
        ),
        "do with the device and the agent what they say, while it looks on",
    ))
}

async fn open(live: &Live, actor: &str, ctx: &Ctx) -> Result<(Source, Subject), Problem> {
    let filters = Filters {
        actor: Some(actor.to_owned()),
        ..Filters::default()
    };
    if let Some(url) = &live.url {
        let at = Elsewhere {
            url: live.url.clone(),
            token_file: live.token_file.clone(),
            ca_file: live.ca_file.clone(),
        };
        let feed = Feed::open(&at, url, &filters)?;
        let subject = crate::cli::watch::named(actor, feed.place());
        return Ok((Source::Server(Box::new(feed)), subject));
    }
    let log = Log::open(ctx, &filters, "observe").await?;
    let (alias, actor_omni) = log.subject(actor).await?;
    let subject = Subject {
        alias,
        actor_omni,
        place: log.folder.dir.display().to_string(),
    };
    Ok((Source::Folder(Box::new(log)), subject))
}

fn script(which: &Which, story: Story, lang: Lang) -> Play {
    let title = match which {
        Which::CrossRail(_) => Word::CrossRail,
        Which::ThreeActs(_) => Word::ThreeActs,
    };
    let steps = story.steps().iter();
    let steps = steps.map(|id| ((*id).to_owned(), caption(lang, id).to_owned()));
    Play::new(title.say(lang), true, steps.collect())
}

/// Events pass by the observer on their way to the screen.
async fn on_the_screen(
    observer: &mut Observer,
    mut from: mpsc::Receiver<News>,
    to: mpsc::Sender<News>,
    lang: Lang,
) {
    while let Some(news) = from.recv().await {
        let mut scenes = Vec::new();
        if let News::Event(event) = &news {
            scenes.extend(observer.see(event).iter().map(scene));
            if !scenes.is_empty() && observer.is_over() {
                let passed = observer.report("").passed();
                let sentence = Word::Observed.say(lang).to_owned();
                scenes.push(Scene::Ended { passed, sentence });
            }
        }
        for news in std::iter::once(news).chain(scenes.into_iter().map(News::Scene)) {
            if to.send(news).await.is_err() {
                return;
            }
        }
    }
}

fn scene(step: &Step) -> Scene {
    Scene::Done {
        id: step.id.to_owned(),
        passed: step.status == Status::Passed,
        ms: step.ms,
        expected: step.expected.clone(),
        got: step.got.clone(),
    }
}

/// Each step on a line, until the last.
async fn in_lines(
    observer: &mut Observer,
    mut from: mpsc::Receiver<News>,
    ctx: &Ctx,
    lang: Lang,
) -> Result<(), Problem> {
    let out = ctx.out;
    out.note(Word::Waiting.say(lang));
    while let Some(news) = from.recv().await {
        let event = match news {
            News::Event(event) => event,
            News::Cut(Some(why)) => {
                out.note(&why);
                Value::Null
            }
            _ => Value::Null,
        };
        for step in observer.see(&event) {
            if !out.is_json() {
                let paint = |word: &str, status: Status| out.paint(word, tone(status));
                out.painted(&play::show::step(lang, step, &paint))?;
            }
        }
        if observer.is_over() {
            return Ok(());
        }
    }
    Ok(())
}
