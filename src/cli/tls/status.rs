//! `agentkeys tls status`: what is served, and what is wrong with it. Asks nobody.

use super::{names, time};
use crate::authority::ports::Clock as _;
use crate::cli::Ctx;
use crate::cli::out::Tone;
use crate::config::{Config, Tls};
use crate::finding::{Finding, Status};
use crate::folder::system::SystemClock;
use crate::problem::{Exit, Problem};
use crate::tls::acme::{Acme, Known, State, Step, plan};
use crate::tls::{Facts, Looked, OF_AN_AUTHORITY, PemFiles, RESTORED, exposed_key};
use serde_json::json;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;

/// What was found.
#[derive(Default)]
struct Found {
    findings: Vec<Finding>,
    facts: Option<Facts>,
    next: Option<String>,
}

/// Says how things stand, and fails as `doctor` does when something does not work.
pub(super) async fn run(ctx: &Ctx) -> Result<(), Problem> {
    let dir = ctx.dir()?;
    crate::folder::founded(&dir)?;
    let config = ctx.config()?;
    let found = tokio::task::spawn_blocking(move || look(&dir, &config)).await;
    let found = found.map_err(|e| {
        Problem::new(
            Exit::Failed,
            "agentkeys.runtime",
            e.to_string(),
            "run it again",
        )
    })??;
    show(ctx, &found)?;
    match found.findings.iter().find(|f| f.status == Status::Failed) {
        None => Ok(()),
        Some(first) => Err(Problem::new(
            Exit::Acceptance,
            "agentkeys.tls.found",
            format!("{}: {}", first.id, first.cause),
            first.fix.clone(),
        )),
    }
}

fn look(dir: &Path, config: &Config) -> Result<Found, Problem> {
    let now = SystemClock::default().now_ms() / 1000;
    let mut found = Found::default();
    let names = names(config);
    match &config.tls {
        Tls::None => {
            let behind = !config.server.behind_proxy.is_empty();
            let cause = if behind {
                "tls.mode is \"none\": the proxy in front has the certificate"
            } else {
                "tls.mode is \"none\": the server speaks plain HTTP, on this machine only"
            };
            let fix = "agentkeys init --domain D sets it up for a public host";
            let mut mode = Finding::ok("mode", cause);
            if !behind {
                fix.clone_into(&mut mode.fix);
            }
            found.findings.push(mode);
        }
        Tls::Files(files) => {
            let (certificate, key) = (dir.join(&files.certificate), dir.join(&files.key));
            let renew = format!(
                "renew it where it comes from; the server looks at {} and {} every {} s",
                certificate.display(),
                key.display(),
                files.look_every.as_secs()
            );
            found.findings.extend(exposed_key(&key));
            match PemFiles::new(certificate, key).look() {
                Looked::New(chain) => {
                    certificate_found(&mut found, &chain.facts, &names, now, &renew);
                }
                Looked::Unusable(error) => found.findings.push(Finding::new(
                    "certificate",
                    Status::Failed,
                    error,
                    "put the certificate and its key there, or set tls.certificate and tls.key",
                )),
                Looked::Same => {}
            }
        }
        Tls::Acme(acme) => {
            let clock = Arc::new(move || now);
            let acme = Acme::new(dir, acme, &names, clock, Box::new(|_| ()));
            acme_found(&mut found, &acme, now)?;
        }
    }
    Ok(found)
}

fn acme_found(found: &mut Found, acme: &Acme, now: i64) -> Result<(), Problem> {
    if let Err(trouble) = acme.check() {
        let fix = trouble.kind.fix();
        found.findings.push(Finding::new(
            "configuration",
            Status::Failed,
            trouble.cause,
            fix,
        ));
    }
    match acme.store.kept() {
        Ok(Some(chain)) => certificate_found(found, &chain.facts, acme.names(), now, GET),
        Ok(None) if acme.store.has(RESTORED) => found.findings.push(Finding::new(
            "certificate",
            Status::Failed,
            "there is none but that of a backup, which may have been revoked since: it is tls/restored.pem, and not served",
            "run `agentkeys serve`, which gets another, or `agentkeys tls issue`",
        )),
        Ok(None) => found.findings.push(Finding::new(
            "certificate",
            Status::Failed,
            "there is no certificate yet",
            "run `agentkeys serve`, which gets one, or `agentkeys tls issue`",
        )),
        Err(problem) => {
            found.findings.push(Finding::new(
                "certificate",
                Status::Failed,
                problem.cause,
                problem.fix,
            ));
        }
    }
    let state = State::load(&acme.store)?;
    if let Some(facts) = &found.facts
        && state.revoked.as_ref() == Some(&facts.fingerprint)
    {
        let fix = "run `agentkeys tls issue`";
        found.findings.push(Finding::new(
            "revoked",
            Status::Failed,
            "the certificate is revoked",
            fix,
        ));
    }
    let known = Known {
        now,
        names: acme.names(),
        live: found.facts.as_ref(),
        staging: acme.has_staging(),
        open_order: acme.has_order(),
        account: acme.has_account(),
        random: 0,
    };
    let next = match plan(&known, &state) {
        Step::Rest { until, .. } => until,
        Step::Ask | Step::Get { .. } => now,
    };
    found.next = Some(time(next));
    found.findings.push(match &state.last {
        None => Finding::ok("renewal", "nothing stands in the way"),
        Some(last) => {
            let cause = format!(
                "{} ({} times; the last was at {})",
                last.cause,
                state.failures,
                time(last.at)
            );
            // What is served meanwhile is looked at by itself.
            Finding::new("renewal", Status::Warn, cause, last.kind.fix())
        }
    });
    if acme.has_order() {
        let cause = "an order is under way: the next run goes on with it";
        found.findings.push(Finding::ok("order", cause));
    }
    found.findings.push(files(acme));
    Ok(())
}

/// Whether anybody else can read keys.
fn files(acme: &Acme) -> Finding {
    let dir = acme.store.path("");
    let entries = std::fs::read_dir(&dir).into_iter().flatten().flatten();
    let open = |entry: &std::fs::DirEntry| {
        let metadata = entry.metadata().ok();
        metadata.is_some_and(|m| m.permissions().mode() & 0o077 != 0)
    };
    let open: Vec<_> = entries
        .filter(open)
        .map(|entry| entry.path().display().to_string())
        .collect();
    if open.is_empty() {
        return Finding::ok("files", "only their owner can read them");
    }
    let (cause, fix) = (
        format!("others on this machine can read {}", open.join(", ")),
        format!(
            "run `chmod -R go= {}`, and `agentkeys tls revoke --reason keyCompromise` if they did",
            dir.display()
        ),
    );
    Finding::new("files", Status::Warn, cause, fix)
}

/// How to get a certificate that is this server's to get.
const GET: &str =
    "run `agentkeys tls issue`; look at `agentkeys tls status` for what stands in the way";

fn certificate_found(found: &mut Found, facts: &Facts, names: &[String], now: i64, get: &str) {
    let days = (facts.not_after - now) / 86_400;
    let missing: Vec<_> = names
        .iter()
        .filter(|name| !facts.is_for(name))
        .cloned()
        .collect();
    found.findings.push(if now >= facts.not_after {
        Finding::new(
            "certificate",
            Status::Failed,
            format!("it ended at {}", time(facts.not_after)),
            get,
        )
    } else if now < facts.not_before {
        let cause = format!(
            "it begins at {}, or this machine's clock is behind",
            time(facts.not_before)
        );
        Finding::new(
            "certificate",
            Status::Failed,
            cause,
            "set this machine's clock",
        )
    } else if facts.ends_soon(now) {
        let cause = format!("it ends in {days} days");
        Finding::new("certificate", Status::Warn, cause, get)
    } else {
        Finding::ok("certificate", format!("it holds for {days} more days"))
    });
    if facts.authority {
        let (cause, fix) = OF_AN_AUTHORITY;
        found
            .findings
            .push(Finding::new("authority", Status::Warn, cause, fix));
    }
    if !missing.is_empty() {
        let cause = format!("it is not for {}", missing.join(", "));
        found
            .findings
            .push(Finding::new("names", Status::Failed, cause, get));
    }
    found.facts = Some(facts.clone());
}

fn show(ctx: &Ctx, found: &Found) -> Result<(), Problem> {
    let facts = found.facts.as_ref();
    let findings: Vec<_> = found.findings.iter().map(Finding::to_json).collect();
    let value = json!({
        "findings": findings,
        "names": facts.map_or(&[][..], |f| &f.names[..]),
        "not_before": facts.map(|f| time(f.not_before)),
        "not_after": facts.map(|f| time(f.not_after)),
        "issuer": facts.map(|f| f.issuer.clone()),
        "fingerprint": facts.map(|f| f.fingerprint.clone()),
        "next": found.next,
    });
    let out = ctx.out;
    out.answer(&value, || {
        if let Some(facts) = facts {
            super::fields(ctx, facts)?;
        }
        if let Some(next) = &found.next {
            out.fields(&[("next", next.clone())])?;
        }
        for finding in &found.findings {
            let (mark, tone) = match finding.status {
                Status::Ok => ("✓", Tone::Good),
                Status::Warn => ("!", Tone::Warn),
                Status::Failed => ("✗", Tone::Bad),
                Status::Skipped => ("-", Tone::Faint),
            };
            let cause = crate::text::clean(&finding.cause);
            out.painted(&format!(
                "{} {}: {cause}",
                out.paint(mark, tone),
                finding.id
            ))?;
            if !finding.fix.is_empty() {
                out.line(&format!("  fix: {}", finding.fix))?;
            }
        }
        Ok(())
    })
}
