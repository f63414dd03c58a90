//! Checking proofs: nothing of this machine is asked but the files named.

use super::on_chain::{node, on_chain};
use super::whole;
use crate::audit::bundle::{self, MAX_BUNDLE_BYTES, Verdict};
use crate::audit::note::VerifierKey;
use crate::cli::Ctx;
use crate::problem::{Exit, Problem};
use clap::Args;
use serde_json::{Value, json};
use std::io::Read as _;
use std::path::{Path, PathBuf};

/// What to check, and whom to trust.
#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// Proofs that `agentkeys audit prove` wrote.
    #[arg(value_name = "FILE", required_unless_present = "log")]
    pub files: Vec<PathBuf>,
    /// Check the whole log of the data folder instead: every entry, the tree and every checkpoint.
    /// `ledger.sqlite` is only read, and a copy of it is enough.
    #[arg(long, conflicts_with = "files")]
    pub log: bool,
    /// A checkpoint you kept (`agentkeys audit checkpoint --out`): the log must be its continuation.
    // clap does not ask for what it requires where that conflicts with what is there.
    #[arg(
        long,
        value_name = "CHECKPOINT",
        requires = "log",
        conflicts_with = "files"
    )]
    pub since: Option<PathBuf>,
    /// A key of the log that you got over a way you trust: its text, or a file with one a line or with
    /// what `/.well-known/agentkeys/log-key` answered.
    #[arg(long, value_name = "K")]
    pub trust_key: Vec<String>,
    /// Ask a chain for the anchor: a JSON-RPC node's address, or a file of mode 0600 that holds it.
    #[arg(long, value_name = "URL", conflicts_with = "log")]
    pub rpc: Option<String>,
}

pub(super) async fn run(args: &VerifyArgs, ctx: &Ctx) -> Result<(), Problem> {
    let trusted = trusted(&args.trust_key)?;
    if args.log {
        return whole::run(ctx, trusted, args.since.as_deref());
    }
    let node = args.rpc.as_deref().map(|given| node(given, ctx));
    let node = node.transpose()?;
    let mut verdicts = Vec::new();
    for file in &args.files {
        let verdict = bundle::verify(&read(file)?, &trusted);
        verdicts.push((file, on_chain(node.as_ref(), verdict).await?));
    }
    ctx.out.answer(&answer(&verdicts), || {
        for (file, verdict) in &verdicts {
            if let Some(event) = event(verdict) {
                super::sink::print(&event, ctx.out)?;
            }
            ctx.out
                .line(&format!("{}: {}", file.display(), verdict.sentence()))?;
            if node.is_some() && matches!(verdict.outcome(), Ok(proof) if proof.anchor.is_none()) {
                ctx.out
                    .note("There is no anchor in it, so the chain was not asked.");
            }
        }
        Ok(())
    })?;
    let bad = verdicts.iter().find(|(_, verdict)| !verdict.verified());
    match bad {
        None => Ok(()),
        Some((file, verdict)) => Err(Problem::new(
            Exit::AuditInvalid,
            code(verdict),
            format!("{} does not verify", file.display()),
            "get the proof again from whoever made it; if it stays so, do not believe it",
        )),
    }
}

/// The event that is proved, as a listing shows it; none when nothing is, or the bytes are no event.
fn event(verdict: &Verdict) -> Option<Value> {
    let proof = verdict.outcome().as_ref().ok()?;
    let mut event = crate::authority::event::to_json(proof.seq, &proof.envelope).ok()?;
    event["leaf_index"] = proof.seq.into();
    Some(event)
}

fn code(verdict: &Verdict) -> &'static str {
    let failure = verdict.outcome().as_ref().err();
    failure.map_or("agentkeys.audit.invalid", |failure| failure.part.code())
}

/// One file's verdict as it is; of several, what all of them come to, and each.
fn answer(verdicts: &[(&PathBuf, Verdict)]) -> Value {
    let each = verdicts.iter().map(|(file, verdict)| {
        let mut one = verdict.to_json();
        if let Some(event) = event(verdict) {
            one["event"] = event;
        }
        one["file"] = file.display().to_string().into();
        one
    });
    let mut each: Vec<Value> = each.collect();
    if each.len() == 1 {
        return each.remove(0);
    }
    let all = |of: fn(&Verdict) -> bool| verdicts.iter().all(|(_, verdict)| of(verdict));
    let gathered = |of: fn(&Verdict) -> Vec<String>| {
        let mut sentences: Vec<String> = verdicts.iter().flat_map(|(_, v)| of(v)).collect();
        sentences.dedup();
        sentences
    };
    let mut answer = json!({
        "verified": all(Verdict::verified), "signer_pinned": all(Verdict::signer_pinned),
        "proved": gathered(Verdict::proved), "not_proved": gathered(Verdict::not_proved),
        "files": each,
    });
    let bad = verdicts.iter().find(|(_, verdict)| !verdict.verified());
    if let Some((file, _)) = bad {
        answer["first_bad"] = file.display().to_string().into();
    }
    answer
}

/// The keys a reader brought.
pub(in crate::cli) fn trusted(given: &[String]) -> Result<Vec<VerifierKey>, Problem> {
    let mut keys = Vec::new();
    for text in given {
        if let Ok(key) = text.parse() {
            keys.push(key);
            continue;
        }
        let file = Path::new(text);
        let refused = |cause: String| {
            Problem::new(
                Exit::Usage,
                "agentkeys.audit.key_invalid",
                cause,
                "give a key as `/.well-known/agentkeys/log-key` shows it, or a file with one a line",
            )
        };
        if !file.is_file() {
            return Err(refused(
                "--trust-key is neither a key nor a file".to_owned(),
            ));
        }
        let bytes = read(file)?;
        let published = published(&bytes);
        let text = std::str::from_utf8(&bytes).unwrap_or_default();
        let lines = published.as_deref().unwrap_or(text).lines();
        for line in lines.map(str::trim).filter(|line| !line.is_empty()) {
            let key = line.parse();
            keys.push(key.map_err(|error| refused(format!("{}: {error}", file.display())))?);
        }
        if keys.is_empty() {
            return Err(refused(format!("{} has no key", file.display())));
        }
    }
    Ok(keys)
}

/// What `/.well-known/agentkeys/log-key` answers, as one key a line.
fn published(bytes: &[u8]) -> Option<String> {
    let answer: Value = serde_json::from_slice(bytes).ok()?;
    let keys = answer["keys"].as_array()?.iter();
    let keys = keys.map(|key| key["key"].as_str());
    Some(keys.collect::<Option<Vec<_>>>()?.join("\n"))
}

/// A file of somebody else's, as far as one of ours could reach.
pub(in crate::cli) fn read(path: &Path) -> Result<Vec<u8>, Problem> {
    let unreadable = |error: std::io::Error| {
        Problem::new(
            Exit::Failed,
            "agentkeys.file.unreadable",
            format!("{} cannot be read: {error}", path.display()),
            "name a file that is there and that you may read",
        )
    };
    let file = std::fs::File::open(path).map_err(unreadable)?;
    let mut bytes = Vec::new();
    // One byte more than is allowed shows that it is too large.
    let most = MAX_BUNDLE_BYTES as u64 + 1;
    file.take(most)
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    Ok(bytes)
}
