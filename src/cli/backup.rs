//! `agentkeys backup`: everything there is, in two files.

use super::Ctx;
use super::passphrase::{Asked, passphrase};
use crate::folder::backup::{Progress, Take, strong};
use crate::problem::{Exit, Problem};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};

/// Back the data folder up, while it is served: a snapshot, and apart from it the keys that open it.
#[derive(Debug, Args)]
#[command(
    before_help = "Examples:
  agentkeys backup --out /backup/2026-11-21.tar --passphrase-file backup.pass
  agentkeys backup --out monday.tar --keys-out /safe/monday.keys.age
  agentkeys backup --keys-only --keys-out /safe/after-erasure.keys.age",
    after_help = "Keep the two files in two places: the snapshot opens nothing without the keys. Whatever was \
erased stays readable as long as an older keys file exists, so after an erasure write a new one \
(--keys-only), which opens every older snapshot too, and destroy the old ones."
)]
pub struct BackupCmd {
    /// The snapshot: a new file.
    #[arg(long, value_name = "FILE", required_unless_present = "keys_only")]
    pub out: Option<PathBuf>,
    /// The keys: a new file, encrypted to the passphrase (age) [default: FILE.keys.age].
    #[arg(long, value_name = "FILE", required_unless_present = "out")]
    pub keys_out: Option<PathBuf>,
    /// Write only the keys file.
    #[arg(long, conflicts_with = "out")]
    pub keys_only: bool,
    /// A file of mode 0600 with the passphrase, at least twelve characters [default: asked for].
    #[arg(long, value_name = "F")]
    pub passphrase_file: Option<PathBuf>,
}

/// Runs `backup`.
pub async fn run(cmd: BackupCmd, ctx: &Ctx) -> Result<(), Problem> {
    let keys = cmd.keys_out.or_else(|| cmd.out.as_deref().map(beside));
    let keys = keys.ok_or_else(|| {
        Problem::new(
            Exit::Usage,
            "agentkeys.usage",
            "there is no place for the keys",
            "add --keys-out FILE",
        )
    })?;
    if cmd.out.as_ref() == Some(&keys) {
        return Err(Problem::new(
            Exit::Usage,
            "agentkeys.backup.one_file",
            "snapshot and keys cannot be one file",
            "name another one with --keys-out",
        ));
    }
    let passphrase = strong(passphrase(cmd.passphrase_file.as_deref(), Asked::New).await?)?;
    let folder = ctx.open().await?;
    let take = Take {
        snapshot: cmd.out,
        keys,
        passphrase,
    };
    let bar = bar(ctx);
    let taken = folder.backup(take.clone(), told(&bar)).await;
    bar.finish_and_clear();
    let taken = taken?;
    let snapshot = take
        .snapshot
        .as_ref()
        .map(|path| path.display().to_string());
    let keys = take.keys.display().to_string();
    let sealed = &taken.checkpoint;
    let mut answer = json!({
        "snapshot": snapshot, "keys": keys, "size": taken.size, "events": taken.events,
        "objects": taken.objects,
        "checkpoint": {
            "origin": sealed.origin(), "size": sealed.size(), "root": STANDARD.encode(sealed.root()),
        },
    });
    if !taken.missing.is_empty() {
        answer["missing"] = json!(taken.missing);
    }
    ctx.out.answer(&answer, || {
        let Some(snapshot) = &snapshot else {
            ctx.out.line(&format!("the keys are in {keys}"))?;
            ctx.out.note("They open every snapshot that is older; destroy older keys files, and what was erased since is erased there too.");
            return Ok(());
        };
        ctx.out.line(&format!(
            "{} events and {} memory objects are in {snapshot}, what opens them in {keys}",
            taken.events, taken.objects
        ))?;
        if !taken.missing.is_empty() {
            ctx.out.note(&format!(
                "{} objects are missing in the folder itself, so they are in no backup either: {}",
                taken.missing.len(),
                taken.missing.join(", ")
            ));
        }
        ctx.out.note("Keep the two in two places, and the passphrase in a third.");
        ctx.out.next(&format!("agentkeys restore {snapshot} --keys {keys} --dir NEW_FOLDER"));
        Ok(())
    })
}

/// Where the keys of a snapshot go unless another place is named.
fn beside(snapshot: &Path) -> PathBuf {
    let mut name = snapshot.to_owned().into_os_string();
    name.push(".keys.age");
    PathBuf::from(name)
}

/// A bar for whoever watches.
pub(super) fn bar(ctx: &Ctx) -> ProgressBar {
    if ctx.out.is_json() || !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(0);
    bar.set_style(style());
    bar
}

fn style() -> ProgressStyle {
    // The words are ours; one that is not understood is no reason to stop.
    ProgressStyle::with_template("{msg:8} {bar:30} {human_pos} of {human_len}")
        .unwrap_or_else(|_| ProgressStyle::default_bar())
}

/// What tells a bar how far it is.
pub(super) fn told(bar: &ProgressBar) -> Box<Progress<'static>> {
    let bar = bar.clone();
    Box::new(move |what, at, of| {
        // What was counted before this may be more than there is of this.
        bar.set_position(0);
        bar.set_length(of);
        bar.set_position(at);
        bar.set_message(what.to_owned());
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use indicatif::{ProgressDrawTarget, TermLike};
    use std::io;
    use std::sync::{Arc, Mutex};

    /// A terminal that keeps what was shown.
    #[derive(Debug, Clone, Default)]
    struct Shown(Arc<Mutex<String>>);

    impl TermLike for Shown {
        fn width(&self) -> u16 {
            80
        }
        fn move_cursor_up(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn move_cursor_down(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn move_cursor_right(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn move_cursor_left(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn write_line(&self, s: &str) -> io::Result<()> {
            self.write_str(s)
        }
        fn write_str(&self, s: &str) -> io::Result<()> {
            let mut shown = self.0.lock().unwrap();
            shown.push_str(s);
            shown.push('\n');
            Ok(())
        }
        fn clear_line(&self) -> io::Result<()> {
            Ok(())
        }
        fn flush(&self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_bar_never_counts_over_what_there_is() {
        let shown = Shown::default();
        let bar = ProgressBar::hidden();
        bar.set_style(style());
        bar.set_draw_target(ProgressDrawTarget::term_like_with_hz(
            Box::new(shown.clone()),
            255,
        ));
        let mut told = told(&bar);
        for (what, at, of) in [("events", 700, 700), ("objects", 1, 3), ("keys", 0, 1)] {
            told(what, at, of);
        }
        let shown = shown.0.lock().unwrap();
        let counts = shown.lines().filter_map(|line| {
            let (at, of) = line.trim().rsplit_once(" of ")?;
            let at: u64 = at.rsplit(' ').next()?.parse().ok()?;
            Some((at, of.parse::<u64>().ok()?))
        });
        let counts: Vec<(u64, u64)> = counts.collect();
        assert!(counts.contains(&(700, 700)), "{shown}");
        assert!(counts.iter().all(|(at, of)| at <= of), "{shown}");
    }
}
