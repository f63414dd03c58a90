//! `agentkeys restore`: a backup, put back.

use super::audit::verify::{read, trusted};
use super::backup::{bar, told};
use super::passphrase::{Asked, passphrase};
use super::{Ctx, log_to_stderr};
use crate::audit::note::SignedNote;
use crate::audit::recheck::What;
use crate::authority::event::rfc3339;
use crate::folder::backup::{Again, Erasure, Prepared, Restore, Restored};
use crate::problem::{Exit, Problem};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::Args;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// Put a backup back into a new folder: checked before it is there, its log going on under a new name.
#[derive(Debug, Args)]
#[command(
    before_help = "Examples:
  agentkeys restore 2026-11-21.tar --keys 2026-11-21.tar.keys.age --dir /var/lib/agentkeys
  agentkeys restore monday.tar --keys friday.keys.age --passphrase-file backup.pass
  agentkeys restore monday.tar --keys monday.tar.keys.age --checkpoint kept.checkpoint --erasures erasures.jsonl",
    after_help = "What was erased after the snapshot is back, unless the keys are newer than the erasure or \
--erasures tells of it: keep `agentkeys audit export --tool memory.erase`, or a mirror of the feed \
(`agentkeys audit tail --json --url …`), away from this machine."
)]
pub struct RestoreCmd {
    /// The snapshot that `agentkeys backup` wrote.
    #[arg(value_name = "SNAPSHOT")]
    pub snapshot: PathBuf,
    /// The keys file: the snapshot's own, or one of a later backup.
    #[arg(long, value_name = "FILE")]
    pub keys: PathBuf,
    /// A file of mode 0600 with the passphrase [default: asked for].
    #[arg(long, value_name = "F")]
    pub passphrase_file: Option<PathBuf>,
    /// A signed checkpoint you kept (`agentkeys audit checkpoint --out`), older or newer than the
    /// snapshot: the log must contain it, or go on after it.
    #[arg(long, value_name = "FILE")]
    pub checkpoint: Option<PathBuf>,
    /// A key of the log that you got over a way you trust, as for `agentkeys audit verify`.
    #[arg(long, value_name = "K")]
    pub trust_key: Vec<String>,
    /// Rows of the log, one JSON object a line: every erasure among them that the snapshot does not
    /// know is listed and, once that is confirmed, done again.
    #[arg(long, value_name = "FILE")]
    pub erasures: Option<PathBuf>,
    /// Erase what the rows of --erasures say without asking.
    #[arg(long, requires = "erasures")]
    pub yes: bool,
}

/// Runs `restore`.
pub async fn run(cmd: RestoreCmd, ctx: &Ctx) -> Result<(), Problem> {
    log_to_stderr();
    let dir = ctx.dir()?;
    let dir = std::path::absolute(&dir).unwrap_or(dir);
    crate::folder::owned(&dir)?;
    let kept = cmd.checkpoint.as_deref().map(kept).transpose()?;
    let erasures = cmd.erasures.as_deref().map(Erasure::all_in).transpose()?;
    let restore = Restore {
        kept,
        trusted: trusted(&cmd.trust_key)?,
        erasures,
        passphrase: passphrase(cmd.passphrase_file.as_deref(), Asked::Known).await?,
        snapshot: cmd.snapshot,
        keys: cmd.keys,
        dir: dir.clone(),
    };
    let given = restore.erasures.is_some();
    let bar = bar(ctx);
    let prepared = restore.prepare(told(&bar)).await;
    bar.finish_and_clear();
    let prepared = prepared?;
    confirmed(ctx, &prepared, cmd.yes).await?;
    let restored = prepared.finish().await?;
    let sealed = &restored.checkpoint;
    let next = next(&dir);
    let answer = json!({
        "dir": dir.display().to_string(), "events": restored.events,
        "taken_at": rfc3339(restored.taken_ms), "closed": restored.closed,
        "checkpoint": {
            "origin": sealed.origin(), "size": sealed.size(), "root": STANDARD.encode(sealed.root()),
        },
        "entries_lost": restored.lost, "checkpoint_unverified": restored.unverified,
        "erasures": {
            "given": given, "replayed": restored.replayed.len(),
            "passed_over": restored.passed_over, "by_keys": restored.erased_by_keys.len(),
            "erased": erased(&restored).map(Again::to_json).collect::<Vec<_>>(),
        },
        "warnings": warnings(&restored, given), "next": next,
    });
    ctx.out
        .answer(&answer, || print(ctx, &answer, &restored, given))
}

/// Everything that was erased again.
fn erased(restored: &Restored) -> impl Iterator<Item = &Again> {
    restored.erased_by_keys.iter().chain(&restored.replayed)
}

/// Shows what the rows of erasures would erase, and asks: whoever can write that file could have made
/// them up.
async fn confirmed(ctx: &Ctx, prepared: &Prepared, yes: bool) -> Result<(), Problem> {
    let due = prepared.due();
    if due.is_empty() || yes {
        return Ok(());
    }
    ctx.out
        .note("These rows of --erasures are not in the snapshot, and nothing proves them:");
    for again in due {
        ctx.out.note(&format!("  {}", sentence(again)));
    }
    let word = format!("erase {}", due.len());
    let question = format!("This erases what they name, for good. Type {word} to go on: ");
    let cause = match super::ask::line(&question).await {
        Ok(line) if line.trim() == word => return Ok(()),
        Ok(_) => "something else was typed",
        Err(cause) => cause,
    };
    Err(Problem::new(
        Exit::Usage,
        "agentkeys.restore.erasures_not_confirmed",
        format!(
            "nothing was put back: the file would erase {} times, and {cause}",
            due.len()
        ),
        "look at the list above; add --yes if it is right, or take the wrong rows out",
    ))
}

/// What is erased, whose, and who says so.
fn sentence(again: &Again) -> String {
    let mut what: Vec<&str> = again.namespaces.iter().map(|n| n.as_str()).collect();
    if again.statements {
        what.push("what was stated for the record");
    }
    let what = what.join(", ");
    let by = match &again.replays {
        Some(event) => format!("as {event} says"),
        None => "whose salt is gone".to_owned(),
    };
    format!("{}: {what}, {by}", again.alias)
}

fn kept(path: &Path) -> Result<SignedNote, Problem> {
    SignedNote::parse(&read(path)?).map_err(|error| {
        Problem::new(
            Exit::AuditInvalid,
            What::Since.code(),
            format!("{} is not a signed checkpoint: {error}", path.display()),
            What::Since.fix(),
        )
    })
}

/// What only the operator can put right.
fn warnings(restored: &Restored, given: bool) -> Vec<String> {
    let mut warnings = Vec::new();
    let keys_at = rfc3339(restored.keys_ms);
    if !given {
        let since = if restored.newer_keys {
            format!("the keys file ({keys_at})")
        } else {
            format!("the snapshot ({})", rfc3339(restored.taken_ms))
        };
        warnings.push(format!(
            "no --erasures were given: whatever was erased after {since} can be read again; erase it once more with `agentkeys memory erase`"
        ));
    }
    if restored.certificate {
        warnings.push(
            "the server's certificate is not served again, since it may have been revoked: `agentkeys serve` gets another, and tls/restored.pem is the one before"
                .to_owned(),
        );
    }
    match restored.lost {
        None => warnings.push(format!(
            "nobody knows here what happened after {}: tokens, grants and devices are as they were then, and what was revoked since holds again",
            rfc3339(restored.taken_ms)
        )),
        Some(lost) => warnings.push(format!(
            "the kept checkpoint is newer than the snapshot: {lost} later entries are lost, with what they did; what was revoked since holds again"
        )),
    }
    if restored.unverified {
        warnings.push(
            "no key in the snapshot signs the kept checkpoint, so its word was taken for what it says"
                .to_owned(),
        );
    }
    warnings
}

fn next(dir: &Path) -> Vec<String> {
    let dir = dir.display();
    vec![
        format!("agentkeys audit verify --log --dir {dir}"),
        format!("agentkeys vendor token list --dir {dir}"),
        format!("agentkeys serve --dir {dir}"),
    ]
}

fn print(ctx: &Ctx, answer: &Value, restored: &Restored, given: bool) -> Result<(), Problem> {
    let out = ctx.out;
    out.line(&format!(
        "put back {}: {} events as of {}",
        crate::operate::text(answer, "dir"),
        restored.events,
        rfc3339(restored.taken_ms)
    ))?;
    out.fields(&[
        ("log", format!("it verified as {}", restored.closed)),
        ("goes on as", restored.checkpoint.origin().to_owned()),
    ])?;
    if given {
        out.line(&format!(
            "{} erasures were done again, {} were known already or of nobody here",
            restored.replayed.len(),
            restored.passed_over
        ))?;
    }
    if !restored.erased_by_keys.is_empty() {
        out.line(&format!(
            "of {} actors, what had been erased before the keys were written was erased again",
            restored.erased_by_keys.len()
        ))?;
    }
    for again in erased(restored) {
        out.line(&format!("  {}", sentence(again)))?;
    }
    for warning in warnings(restored, given) {
        out.note(&format!("Note: {warning}."));
    }
    out.note("The log's name and key are new: tell those who keep checkpoints or pinned its key.");
    out.note("Files outside the folder and secrets that its configuration names (an RPC address) were not in the backup.");
    for command in next(Path::new(crate::operate::text(answer, "dir"))) {
        out.next(&command);
    }
    Ok(())
}
