//! Checking a whole log: the ledger is only read, and neither its keys nor a server are asked.

use crate::audit::note::{SignedNote, VerifierKey};
use crate::audit::recheck::{Failure, Verdict, What};
use crate::cli::Ctx;
use crate::jobs::recheck::{Against, RecheckError, recheck};
use crate::ledger::OpenError;
use crate::problem::{Exit, Problem};
use indicatif::{ProgressBar, ProgressStyle};
use std::io::IsTerminal as _;
use std::path::Path;

pub(super) fn run(
    ctx: &Ctx,
    trusted: Vec<VerifierKey>,
    since: Option<&Path>,
) -> Result<(), Problem> {
    let verdict = check(ctx, trusted, since)?;
    ctx.out
        .answer(&verdict.to_json(), || ctx.out.line(&verdict.sentence()))?;
    match verdict.outcome() {
        Ok(_) => Ok(()),
        Err(failure) => Err(problem(failure)),
    }
}

pub(super) fn problem(failure: &Failure) -> Problem {
    let place = failure.first_bad;
    let place = place.map_or(String::new(), |place| format!(" from entry seq {place} on"));
    Problem::new(
        Exit::AuditInvalid,
        failure.what.code(),
        format!("the log does not verify{place}"),
        failure.what.fix(),
    )
}

pub(super) fn check(
    ctx: &Ctx,
    trusted: Vec<VerifierKey>,
    since: Option<&Path>,
) -> Result<Verdict, Problem> {
    let since = match since {
        None => None,
        Some(file) => match SignedNote::parse(&super::verify::read(file)?) {
            Ok(note) => Some(note),
            Err(error) => {
                let cause = format!("{} is not a signed checkpoint: {error}", file.display());
                return Ok(Verdict::failed(Failure::new(What::Since, None, cause)));
            }
        },
    };
    let against = Against { trusted, since };
    let bar = bar(ctx);
    let dir = ctx.dir()?;
    crate::folder::owned(&dir)?;
    let path = dir.join("ledger.sqlite");
    let verdict = recheck(&path, &against, |at, of| {
        bar.set_length(of);
        bar.set_position(at);
    });
    bar.finish_and_clear();
    verdict.map_err(|error| opening(&path, &error))
}

fn bar(ctx: &Ctx) -> ProgressBar {
    if ctx.out.is_json() || !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(0);
    let style = "{bar:30} {human_pos} of {human_len} entries, {per_sec}, {eta} left";
    // The words are ours; one that is not understood would be shown as it is.
    if let Ok(style) = ProgressStyle::with_template(style) {
        bar.set_style(style);
    }
    bar
}

fn opening(path: &Path, error: &RecheckError) -> Problem {
    let (exit, code, fix) = match error {
        RecheckError::Open(OpenError::NotThere(_)) => (
            Exit::Config,
            "agentkeys.folder.missing",
            "name the folder that has ledger.sqlite in it, with --dir or AGENTKEYS_DIR",
        ),
        RecheckError::Open(OpenError::Altered { .. } | OpenError::Corrupt(_)) => (
            Exit::AuditInvalid,
            "agentkeys.audit.unreadable",
            "do not believe it; compare it with a copy from before",
        ),
        RecheckError::Open(_) => (
            Exit::Config,
            "agentkeys.folder.ledger_unusable",
            "use the program version that wrote it, or check a copy that you may read",
        ),
        RecheckError::Restless => (
            Exit::Failed,
            "agentkeys.audit.unreadable",
            "check a copy of it that nobody writes to",
        ),
    };
    let cause = format!("{} cannot be checked: {error}", path.display());
    Problem::new(exit, code, cause, fix)
}
