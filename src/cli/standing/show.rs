//! How things stand, as text and as JSON.

use super::next::Next;
use super::{Facts, Place, Server, Told, Why};
use crate::audit::anchor::AnchorKind;
use crate::cli::out::{Out, Tone};
use crate::finding::Finding;
use crate::ledger::Standing;
use crate::problem::Problem;
use serde_json::{Value, json};
use unicode_width::UnicodeWidthStr as _;

/// Columns of a small terminal: in a longer line it breaks words.
const TERMINAL: usize = 80;

/// Says it.
pub(super) fn show(out: Out, facts: &Facts, next: &[Next]) -> Result<(), Problem> {
    out.answer(&answer(facts, next), || text(out, facts, next))
}

fn answer(facts: &Facts, next: &[Next]) -> Value {
    let told = told(facts);
    let there = ready(facts);
    let (state, problem) = match &facts.folder {
        Place::Missing => ("missing", None),
        Place::Unfinished(_) => ("unfinished", None),
        Place::Others(_, problem) => ("other_owner", Some(problem)),
        Place::Unusable(problem) => ("unusable", Some(problem)),
        Place::Ready(_) => ("ready", None),
    };
    let problem = problem.or(match &facts.config {
        Some(Err(problem)) => Some(problem),
        _ => None,
    });
    let mut answer = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "dir": facts.dir.display().to_string(),
        "dir_from": from(facts.why),
        "folder": state,
        "counts": there.map(|s| json!({
            "actors": s.actors, "vendors": s.vendors,
            "bindings": s.bindings, "live_tokens": s.live_tokens,
        })),
        "server": server(&facts.server),
        "public_url": told.and_then(|t| t.public_url.clone()),
        "certificate": told.map(|t| json!({
            "mode": t.tls,
            "status": facts.certificate.as_ref().map(|f| f.status.as_str()),
            "cause": facts.certificate.as_ref().map(|f| f.cause.clone()),
        })),
        "log": there.map(|s| json!({
            "events": s.events, "sealed": s.sealed, "signed_at": s.signed_ms.map(time),
            "anchor": told.map(|t| t.anchor.as_str()),
            "anchored": s.anchored.map(|(size, at)| json!({"size": size, "at": time(at)})),
        })),
        "next": next.iter().map(|step| step.command.as_str()).collect::<Vec<_>>(),
    });
    if let Some(problem) = problem {
        answer["problem"] =
            json!({"code": problem.code, "cause": problem.cause, "fix": problem.fix});
    }
    answer
}

const fn told(facts: &Facts) -> Option<&Told> {
    match &facts.config {
        Some(Ok(told)) => Some(told),
        _ => None,
    }
}

fn ready(facts: &Facts) -> Option<&Standing> {
    match &facts.folder {
        Place::Ready(seen) => Some(&seen.standing),
        _ => None,
    }
}

const fn from(why: Why) -> &'static str {
    match why {
        Why::Flag => "--dir",
        Why::Environment => "AGENTKEYS_DIR",
        Why::Usual => "default",
    }
}

fn server(server: &Server) -> Value {
    match server {
        Server::Unknown => Value::Null,
        Server::Silent(at) => json!({"state": "not_running", "at": at.to_string()}),
        Server::Ours(at, version) => {
            json!({"state": "ours", "at": at.to_string(), "version": version})
        }
        Server::Another(at, who) => {
            json!({"state": "other", "at": at.to_string(), "cause": who})
        }
    }
}

fn time(ms: i64) -> String {
    let at = jiff::Timestamp::from_millisecond(ms).unwrap_or_default();
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

fn text(out: Out, facts: &Facts, next: &[Next]) -> Result<(), Problem> {
    out.line(concat!("AgentKeys ", env!("CARGO_PKG_VERSION")))?;
    let why = match facts.why {
        Why::Flag => "as --dir says",
        Why::Environment => "as AGENTKEYS_DIR says",
        Why::Usual => "the usual one of this user; --dir names another",
    };
    let mut fields = vec![
        ("folder", format!("{} ({why})", facts.dir.display())),
        ("", place(&facts.folder)),
    ];
    if let Some(there) = ready(facts) {
        fields.push(("holds", counts(there)));
        fields.push(("server", serves(&facts.server)));
        if let Some(told) = told(facts) {
            fields.push(("for hosts", hosts(told)));
            fields.push(("certificate", certificate(told, facts.certificate.as_ref())));
        }
        fields.push(("log", log(there, told(facts), facts.now_ms)));
    }
    out.fields(&fields)?;
    problem(out, facts)?;
    if next.is_empty() {
        return Ok(());
    }
    out.line("")?;
    out.line("next:")?;
    let widest = |of: fn(&Next) -> usize| next.iter().map(of).max().unwrap_or(0);
    let width = widest(|step| step.command.width());
    let beside = 2 + width + 3 + widest(|step| step.why.width()) <= TERMINAL;
    for step in next {
        let command = out.paint(&step.command, Tone::Strong);
        let why = out.paint(step.why, Tone::Faint);
        if beside {
            let pad = " ".repeat(width.saturating_sub(step.command.width()));
            out.painted(&format!("  {command}{pad}   {why}"))?;
        } else {
            out.painted(&format!("  {command}"))?;
            out.painted(&format!("      {why}"))?;
        }
    }
    Ok(())
}

fn place(folder: &Place) -> String {
    match folder {
        Place::Missing => "there is no authority in it yet",
        Place::Unfinished(_) => "a run of `init` was cut off in it",
        Place::Others(..) | Place::Unusable(_) | Place::Ready(_) => "",
    }
    .to_owned()
}

/// What stands in the way, with what to do about it.
fn problem(out: Out, facts: &Facts) -> Result<(), Problem> {
    let (cause, fix) = match (&facts.folder, &facts.config) {
        (Place::Others(_, problem) | Place::Unusable(problem), _) | (_, Some(Err(problem))) => {
            (problem.cause.as_str(), problem.fix.as_str())
        }
        (Place::Ready(seen), _) => match seen.copied {
            Some(copied) => copied,
            None => return Ok(()),
        },
        _ => return Ok(()),
    };
    out.line("")?;
    out.painted(&format!(
        "{} {}",
        out.paint("!", Tone::Warn),
        out.paint(cause, Tone::Warn)
    ))?;
    out.line(&format!("  fix: {fix}"))
}

fn of(number: u64, one: &str, many: &str) -> String {
    let word = if number == 1 { one } else { many };
    format!("{number} {word}")
}

fn counts(there: &Standing) -> String {
    [
        of(there.actors, "actor", "actors"),
        of(there.vendors, "vendor", "vendors"),
        of(there.bindings, "binding", "bindings"),
        of(there.live_tokens, "live token", "live tokens"),
    ]
    .join(", ")
}

fn serves(server: &Server) -> String {
    match server {
        Server::Unknown => String::new(),
        Server::Silent(at) => format!("none answers at {at}"),
        Server::Ours(at, version) => {
            format!("runs, version {version}; the operator's side is {at}")
        }
        Server::Another(_, who) => who.clone(),
    }
}

fn hosts(told: &Told) -> String {
    match &told.public_url {
        Some(url) => url.clone(),
        None => "this machine only: no public_url is set".to_owned(),
    }
}

fn certificate(told: &Told, found: Option<&Finding>) -> String {
    match found {
        Some(found) => format!("{}: {}", found.status.as_str(), found.cause),
        None if told.behind_proxy => "the proxy in front has it".to_owned(),
        None if told.tls == "none" => "none: plain HTTP".to_owned(),
        None => String::new(),
    }
}

fn log(there: &Standing, told: Option<&Told>, now_ms: i64) -> String {
    let events = of(there.events, "event", "events");
    let sealed = match there.signed_ms {
        None => format!("{events}, not sealed yet"),
        Some(at) => {
            let ago = ago(now_ms.saturating_sub(at));
            if there.sealed >= there.events {
                format!("{events}, all sealed, {ago}")
            } else {
                format!("{} of {events} sealed, {ago}", there.sealed)
            }
        }
    };
    let chain = match (told.map(|t| t.anchor), there.anchored) {
        (_, Some((size, _))) => format!("; the first {size} are on a chain"),
        (Some(AnchorKind::Evm), None) => "; none on the chain yet".to_owned(),
        (Some(AnchorKind::File), None) => "; checkpoints go to a file".to_owned(),
        (Some(AnchorKind::None), None) => "; on no chain".to_owned(),
        (None, None) => String::new(),
    };
    format!("{sealed}{chain}")
}

/// A length of time in its largest unit.
fn ago(ms: i64) -> String {
    let s = ms.max(0) / 1000;
    match s {
        0..60 => format!("{s} s ago"),
        60..3_600 => format!("{} min ago", s / 60),
        3_600..86_400 => format!("{} h ago", s / 3_600),
        _ => format!("{} days ago", s / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_is_counted_forward() {
        let log = |sealed| {
            let there = Standing {
                events: 10_265,
                sealed,
                signed_ms: Some(0),
                ..Standing::default()
            };
            log(&there, None, 2_000)
        };
        assert_eq!(log(11), "11 of 10265 events sealed, 2 s ago");
        assert_eq!(log(10_265), "10265 events, all sealed, 2 s ago");
    }
}
