//! From a commit to the frame that shows it, and what a screen costs while nothing happens. Server,
//! feed and HTTP are real; the frame is drawn into memory, 120 by 40. The clock starts before the
//! call that commits is sent.

use crate::Options;
use crate::get::gets;
use crate::house::House;
use crate::load::Line;
use crate::program::Running;
use crate::report::{Report, Target, Times};
use agentkeys::lang::Lang;
use agentkeys::tui::app::App;
use agentkeys::tui::news::{Effect, News, Subject};
use agentkeys::tui::run::{NEWS, Outside, run};
use agentkeys::tui::screen::{Page, Screen};
use agentkeys::tui::theme::DARK;
use jiff::tz::TimeZone;
use std::io;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// Between two events: a reader is to be measured, not a queue.
const PAUSE: Duration = Duration::from_millis(2);

/// A page that tells how far the log was on it, and when.
struct Told(Page, mpsc::UnboundedSender<(u64, Instant)>);

impl Screen for Told {
    fn draw(&mut self, app: &App) -> io::Result<()> {
        self.0.draw(app)?;
        if let Some(newest) = app.newest() {
            let _ = self.1.send((newest, Instant::now()));
        }
        Ok(())
    }

    fn copy(&mut self, _: &str) -> io::Result<()> {
        Ok(())
    }
}

struct Clock;

impl Outside for Clock {
    fn now_ms(&self) -> i64 {
        jiff::Timestamp::now().as_millisecond()
    }

    fn perform(&mut self, _: Effect) {}
}

pub(crate) fn measure(options: &Options, house: &House, report: &mut Report) {
    let count = if options.quick { 30 } else { 1_000 };
    let server = Running::agentkeys(options, &house.dir);
    let operator = server.operator.unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let times = runtime.block_on(async {
        let (news, mut heard) = mpsc::channel(NEWS);
        let (drawn, mut frames) = mpsc::unbounded_channel();
        let mut events = crate::feed::events(operator, &house.auditor).await;
        tokio::spawn(async move {
            while let Some(event) = events.recv().await {
                if news.send(News::Event(event)).await.is_err() {
                    return;
                }
            }
        });
        tokio::spawn(async move {
            let subject = Subject {
                alias: String::new(),
                actor_omni: String::new(),
                place: String::new(),
            };
            let mut app = App::new(subject, DARK, Lang::En, TimeZone::UTC, 0);
            let mut page = Told(Page::new(120, 40), drawn);
            let mut keys = futures_util::stream::pending();
            run(&mut app, &mut page, &mut Clock, &mut keys, &mut heard)
                .await
                .unwrap();
        });
        let requests = gets(house, server.address, "application/json");
        let mut line = Line::open(server.address).await;
        let mut newest = None;
        let mut times = Vec::new();
        for request in requests.iter().cycle().take(count) {
            let start = Instant::now();
            line.ask(&request.bytes).await;
            line.check(200);
            loop {
                let frame = tokio::time::timeout(Duration::from_secs(10), frames.recv());
                let (seq, at) = frame.await.expect("no frame came").unwrap();
                if newest.is_none_or(|before| seq > before) {
                    newest = Some(seq);
                    times.push(at.saturating_duration_since(start).as_secs_f64() * 1e6);
                    break;
                }
            }
            tokio::time::sleep(PAUSE).await;
        }
        times
    });
    let times = Times::new(times);
    let note = format!(
        "{count} events, from before the call is sent; p50 {:.1} ms, max {:.1} ms",
        times.median() / 1e3,
        times.most() / 1e3
    );
    let target = Target::AtMost(100.0);
    report.add(
        "screen, commit to frame, p99",
        times.at(0.99) / 1e3,
        "ms",
        target,
        note,
    );
    idle(options, house, report);
}

/// The real program in a terminal of its own, with nothing happening.
fn idle(options: &Options, house: &House, report: &mut Report) {
    const NAME: &str = "screen, idle";
    let seconds = if options.quick { 2 } else { 20 };
    let watch = format!(
        "stty cols 120 rows 40; exec {} watch {}",
        options.program.display(),
        house.actors[0]
    );
    let mut command = Command::new("script");
    command.args(["-qec", &watch, "/dev/null"]);
    command
        .env("AGENTKEYS_DIR", &house.dir)
        .env("TERM", "xterm-256color")
        .stdin(Stdio::piped())
        .stdout(Stdio::null());
    let Ok(mut terminal) = command.spawn() else {
        report.skip(
            NAME,
            "there is no `script` (util-linux) to give it a terminal",
        );
        return;
    };
    let mut watch = None;
    for _ in 0..200 {
        std::thread::sleep(Duration::from_millis(50));
        watch = child_of(terminal.id());
        if watch.is_some() {
            break;
        }
    }
    if let Some(pid) = watch {
        std::thread::sleep(Duration::from_secs(2));
        let before = cpu_s(pid);
        std::thread::sleep(Duration::from_secs(seconds));
        let share = (cpu_s(pid) - before) / seconds as f64 * 100.0;
        let note = format!("of one processor, over {seconds} s");
        report.add(NAME, share, "%", Target::AtMost(2.0), note);
    } else {
        report.skip(NAME, "it did not start");
    }
    let _ = terminal.kill();
    let _ = terminal.wait();
}

/// The `agentkeys` under a process.
fn child_of(parent: u32) -> Option<u32> {
    let processes = std::fs::read_dir("/proc").ok()?.flatten();
    let pids = processes.filter_map(|p| p.file_name().to_str()?.parse::<u32>().ok());
    pids.into_iter().find(|pid| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let above = stat
            .rsplit_once(')')
            .and_then(|(_, rest)| rest.split_whitespace().nth(1)?.parse::<u32>().ok());
        above == Some(parent) && stat.contains("(agentkeys)")
    })
}

fn cpu_s(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    crate::program::cpu_s(&stat)
}
