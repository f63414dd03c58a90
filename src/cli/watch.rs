//! `agentkeys watch A`: what an actor's hosts do, on both rails, as they do it.

use super::Ctx;
use super::audit::remote::{Elsewhere, Feed};
use super::audit::{Filters, Log, tail};
use super::live::{
    Desk, ThemeName, ToScreen, Wires, broken, from_folder, from_server, seal_here, seal_there, show,
};
use crate::folder::replace_private;
use crate::lang::Lang;
use crate::problem::{Exit, Problem};
use crate::tui::app::App;
use crate::tui::filter::NO_READS;
use crate::tui::news::{News, Subject};
use crate::tui::run::Outside as _;
use crate::tui::screen::{Page, Screen as _};
use crate::tui::svg;
use clap::Args;
use jiff::tz::TimeZone;
use std::path::{Path, PathBuf};
use std::pin::pin;
use tokio::sync::mpsc;

/// Watch an actor: both rails side by side, live.
#[derive(Debug, Args)]
#[command(before_help = "Examples:
  agentkeys watch O_kevin_001
  agentkeys watch O_kevin_001 --theme light
  agentkeys watch O_kevin_001 --url https://mcp.example.com --token-file viewer.token
  agentkeys watch O_kevin_001 --screenshot watch.svg

Off a terminal it is the same as `agentkeys audit tail --actor A`.")]
pub struct WatchCmd {
    /// The actor, by alias or id.
    #[arg(value_name = "A")]
    pub actor: String,
    /// Where the log is.
    #[command(flatten)]
    pub elsewhere: Elsewhere,
    /// How many of the newest events to begin with.
    #[arg(long, value_name = "N", default_value_t = 200)]
    pub limit: u32,
    /// The looks; the key `t` turns them.
    #[arg(long, value_name = "T", default_value = "dark")]
    pub theme: ThemeName,
    /// The language of the screen [default: as the environment says].
    #[arg(long, value_name = "L")]
    pub lang: Option<Lang>,
    /// Write what the screen would show now to this SVG file, and end.
    #[arg(long, value_name = "FILE")]
    pub screenshot: Option<PathBuf>,
    /// The size of that picture in columns and lines.
    #[arg(long, value_name = "CxL", default_value = "120x40", value_parser = size, requires = "screenshot")]
    pub size: (u16, u16),
}

/// `120x40`.
pub(super) fn size(text: &str) -> Result<(u16, u16), String> {
    let parts = text.split_once('x');
    let parts = parts.and_then(|(c, l)| Some((c.parse::<u16>().ok()?, l.parse::<u16>().ok()?)));
    match parts {
        Some((columns @ 1..=500, lines @ 1..=500)) => Ok((columns, lines)),
        _ => Err("write columns and lines, each up to 500, like 120x40".to_owned()),
    }
}

/// Runs `watch`.
pub async fn run(cmd: WatchCmd, ctx: &Ctx) -> Result<(), Problem> {
    let filters = Filters {
        actor: Some(cmd.actor.clone()),
        ..Filters::default()
    };
    if cmd.screenshot.is_none() && (ctx.out.is_json() || !ctx.out.is_terminal()) {
        return tail(ctx, &cmd.elsewhere, &filters, cmd.limit, true).await;
    }
    let (
        mut desk,
        Wires {
            news,
            mut heard,
            asked,
        },
    ) = Desk::new();
    let now_ms = desk.now_ms();
    let mut app = App::new(
        Subject::default(),
        cmd.theme
            .theme(ctx.out.is_colored() || cmd.screenshot.is_some()),
        cmd.lang.unwrap_or_else(Lang::of_environment),
        TimeZone::system(),
        now_ms,
    )
    .filtered(NO_READS);
    if let Some(url) = &cmd.elsewhere.url {
        let mut feed = Feed::open(&cmd.elsewhere, url, &filters)?;
        app.subject = named(&cmd.actor, feed.place());
        if let Some(file) = &cmd.screenshot {
            feed.tail(&mut ToScreen::new(news), cmd.limit.min(1_000), false)
                .await?;
            // A log without a checkpoint has a picture too.
            if let Ok(seal) = seal_there(&feed).await {
                app.take(News::Seal(seal));
            }
            return picture(&mut app, &mut heard, now_ms, cmd.size, file);
        }
        let feeding = pin!(from_server(&mut feed, cmd.limit, news, asked, None));
        return show(ctx, &mut app, &mut desk, &mut heard, feeding)
            .await
            .map(drop);
    }
    let log = Log::open(ctx, &filters, "watch").await?;
    let place = log.folder.dir.display().to_string();
    let (alias, actor_omni) = log.subject(&cmd.actor).await?;
    app.subject = Subject {
        alias,
        actor_omni,
        place,
    };
    if let Some(file) = &cmd.screenshot {
        log.newest(&mut ToScreen::new(news), cmd.limit.min(1_000))
            .await?;
        let audit = ctx.config()?.audit;
        if let Some(seal) = seal_here(&log.folder.authority, &audit).await? {
            app.take(News::Seal(seal));
        }
        return picture(&mut app, &mut heard, now_ms, cmd.size, file);
    }
    let feeding = pin!(from_folder(ctx, &log, cmd.limit, news, asked));
    show(ctx, &mut app, &mut desk, &mut heard, feeding)
        .await
        .map(drop)
}

/// What is known of an actor elsewhere before its first event: what it was called here.
pub(super) fn named(actor: &str, place: String) -> Subject {
    let is_id = actor.parse::<crate::authority::identity::Omni>().is_ok();
    let (alias, actor_omni) = if is_id {
        (String::new(), actor.to_owned())
    } else {
        (actor.to_owned(), String::new())
    };
    Subject {
        alias,
        actor_omni,
        place,
    }
}

/// What the screen would show of all that came in so far.
pub(super) fn picture(
    app: &mut App,
    heard: &mut mpsc::Receiver<News>,
    now_ms: i64,
    (columns, lines): (u16, u16),
    file: &Path,
) -> Result<(), Problem> {
    while let Ok(news) = heard.try_recv() {
        app.take(news);
    }
    app.tick(now_ms);
    let mut page = Page::new(columns, lines);
    page.draw(app).map_err(|e| broken(&e))?;
    let svg = svg::picture(page.buffer(), &app.theme);
    replace_private(file, svg.as_bytes()).map_err(|problem| Problem {
        exit: Exit::Failed,
        code: "agentkeys.file.unwritable",
        cause: format!("the picture cannot be written to {}", file.display()),
        fix: "name a file in a folder that is there and that this user may write".to_owned(),
        ..problem
    })
}
