//! The loop: keys, news and time go into the app, what it asks for is done, and when something looks
//! different it is drawn, at most thirty times a second.

use super::app::App;
use super::news::{Effect, News};
use super::screen::Screen;
use futures_util::{Stream, StreamExt as _};
use ratatui::crossterm::event::{Event, KeyEventKind};
use std::io;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

/// Between two pictures.
const FRAME: Duration = Duration::from_millis(33);

/// How often ages move.
const SECOND: Duration = Duration::from_secs(1);

/// News that wait to be taken in. Whoever brings them waits while there is no room.
pub const NEWS: usize = 1_024;

/// Why the loop ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The reader left.
    Left,
    /// Nobody brings news any more.
    Over,
}

/// What the loop does outside, besides drawing.
pub trait Outside {
    /// The time, Unix milliseconds.
    fn now_ms(&self) -> i64;

    /// Does what the app asked for; what comes of it comes as news.
    fn perform(&mut self, effect: Effect);
}

/// Runs until the reader leaves or whoever brings news is gone.
pub async fn run<S: Screen>(
    app: &mut App,
    screen: &mut S,
    outside: &mut (dyn Outside + Send),
    keys: &mut (dyn Stream<Item = io::Result<Event>> + Unpin + Send),
    news: &mut mpsc::Receiver<News>,
) -> io::Result<End> {
    let mut due = true;
    let mut drawn = Instant::now();
    let mut second = Instant::now() + SECOND;
    let mut batch = Vec::new();
    screen.draw(app)?;
    loop {
        tokio::select! {
            biased;
            key = keys.next() => match key {
                Some(Ok(Event::Key(key))) if key.kind != KeyEventKind::Release => {
                    due = true;
                    if let Some(effect) = app.key(key)
                        && done(screen, outside, effect)?
                    {
                        return Ok(End::Left);
                    }
                }
                Some(Ok(Event::Resize(..))) => due = true,
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(error),
                None => return Ok(End::Left),
            },
            () = sleep_until(drawn + FRAME), if due => {
                app.tick(outside.now_ms());
                screen.draw(app)?;
                drawn = Instant::now();
                due = false;
            }
            got = news.recv_many(&mut batch, NEWS) => {
                if got == 0 {
                    app.tick(outside.now_ms());
                    screen.draw(app)?;
                    return Ok(End::Over);
                }
                due = true;
                for one in batch.drain(..) {
                    if let Some(effect) = app.take(one)
                        && done(screen, outside, effect)?
                    {
                        return Ok(End::Left);
                    }
                }
            }
            () = sleep_until(second) => {
                second = Instant::now() + SECOND;
                due |= app.tick(outside.now_ms());
            }
        }
    }
}

/// Does what was asked for; says whether that was to leave.
fn done<S: Screen>(
    screen: &mut S,
    outside: &mut (dyn Outside + Send),
    effect: Effect,
) -> io::Result<bool> {
    match effect {
        Effect::Quit => return Ok(true),
        Effect::Copy(text) => screen.copy(&text)?,
        other => outside.perform(other),
    }
    Ok(false)
}
