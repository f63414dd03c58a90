//! `agentkeys policy …`: the rules, tested and put in force.

use super::args::object;
use super::out::Tone;
use super::{Ctx, args};
use crate::authority::budget::format_minor;
use crate::authority::calls::admin::AdminCall;
use crate::authority::policy::{PolicyEngine, PolicyError, PolicySource, TestResult};
use crate::operate::text;
use crate::problem::{Exit, Problem};
use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};

/// Policies: what may be done, as files.
#[derive(Debug, Args)]
#[command(before_help = "Examples:
  agentkeys policy check O_kevin_001 payment.spend --params '{\"amount_rmb\":600}' --vendor magiclick
  agentkeys policy show --out policy
  agentkeys policy apply policy")]
pub struct PolicyCmd {
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// What can be done with policies.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Validate a policy, run its tests, put it in force.
    #[command(before_help = "Examples:
  agentkeys policy apply policy
  agentkeys policy apply policy --json")]
    Apply {
        /// The folder: agentkeys.cedarschema, *.cedar, tests/*.json.
        #[arg(value_name = "DIR")]
        folder: PathBuf,
    },
    /// Ask what the policy in force would say. Reserves nothing.
    #[command(
        before_help = "Examples:
  agentkeys policy check O_kevin_001 payment.spend --params '{\"amount_rmb\":600}' --vendor magiclick
  agentkeys policy check O_kevin_001 memory.read --params '{\"namespace\":\"family\"}' --json",
        after_help = "A denial is an answer: the exit code is 0."
    )]
    Check {
        /// The actor's alias or omni.
        actor: String,
        /// The scope.
        scope: String,
        /// Parameters as the tool takes them, as a JSON object.
        #[arg(long, value_name = "JSON", value_parser = object)]
        params: Option<Map<String, Value>>,
        /// The vendor that would ask [default: the only one bound].
        #[arg(long, value_name = "V")]
        vendor: Option<String>,
    },
    /// Tell why a decision was what it was: the deciding rules with their inputs.
    #[command(before_help = "Examples:
  agentkeys policy explain dec_01a1fd9baa887fecbc36c4fbcde691c9
  agentkeys policy explain dec_01a1fd9baa887fecbc36c4fbcde691c9 --json")]
    Explain {
        /// The decision's id, from the tool's answer or its row.
        decision: String,
    },
    /// Run the tests of a policy that is not in force.
    #[command(before_help = "Examples:
  agentkeys policy test policy
  agentkeys policy test policy --json")]
    Test {
        /// The folder.
        #[arg(value_name = "DIR")]
        folder: PathBuf,
    },
    /// Show the policy in force, or write it out to edit.
    #[command(before_help = "Examples:
  agentkeys policy show
  agentkeys policy show --out policy")]
    Show {
        /// Write its files into this new folder.
        #[arg(long, value_name = "DIR")]
        out: Option<PathBuf>,
    },
}

impl PolicyCmd {
    /// Whether it needs no data folder, and so no runtime.
    pub const fn is_offline(&self) -> bool {
        matches!(self.verb, Verb::Test { .. })
    }
}

/// Runs a `policy` command that needs no data folder.
pub fn offline(cmd: &PolicyCmd, ctx: &Ctx) -> Result<(), Problem> {
    match &cmd.verb {
        Verb::Test { folder } => test(ctx, folder),
        Verb::Apply { .. } | Verb::Check { .. } | Verb::Explain { .. } | Verb::Show { .. } => {
            Ok(())
        }
    }
}

/// Runs a `policy` command.
pub async fn run(cmd: PolicyCmd, ctx: &Ctx) -> Result<(), Problem> {
    match cmd.verb {
        Verb::Apply { folder } => apply(ctx, &folder).await,
        Verb::Check {
            actor,
            scope,
            params,
            vendor,
        } => {
            let scopes = [scope.clone()];
            let call = AdminCall::PolicyCheck {
                actor,
                vendor,
                scope,
                params: params.unwrap_or_default(),
            };
            let answer = ctx.admin(call).await?;
            ctx.note_strange_scopes(&scopes);
            ctx.out.answer(&answer, || checked(ctx, &answer))
        }
        Verb::Explain { decision } => {
            let call = AdminCall::PolicyExplain {
                decision_id: decision,
            };
            let answer = ctx.admin(call).await?;
            ctx.out.answer(&answer, || checked(ctx, &answer))
        }
        Verb::Test { folder } => test(ctx, &folder),
        Verb::Show { out } => show(ctx, out.as_deref()).await,
    }
}

fn problem(error: &PolicyError) -> Problem {
    let line = error.line.map(|n| format!(":{n}")).unwrap_or_default();
    Problem::new(
        Exit::Failed,
        "agentkeys.policy.invalid",
        format!("{}{line}: {}", error.file, error.what),
        error.fix.clone(),
    )
}

async fn apply(ctx: &Ctx, folder: &Path) -> Result<(), Problem> {
    let source = PolicySource::read_dir(folder).map_err(|e| problem(&e))?;
    // Compiled here too: only here the error still has its parts.
    PolicyEngine::compile(&source).map_err(|e| problem(&e))?;
    let answer = ctx.admin(AdminCall::PolicyApply { source }).await?;
    ctx.out.answer(&answer, || {
        ctx.out.line(&format!(
            "policy version {} is in force, {} tests passed",
            answer["policy_version"], answer["tests"]
        ))?;
        ctx.out.fields(&[
            ("sha256", text(&answer, "hash").to_owned()),
            ("scopes", words(&answer["scopes"])),
        ])
    })
}

fn checked(ctx: &Ctx, answer: &Value) -> Result<(), Problem> {
    let out = ctx.out;
    let verdict = text(answer, "verdict");
    let tone = match verdict {
        "accept" => Tone::Good,
        "ask_parent" => Tone::Warn,
        _ => Tone::Bad,
    };
    let explanation = text(answer, "explanation");
    out.painted(&format!(
        "{} {}",
        out.paint(verdict, tone),
        out.paint(
            &format!("{} ({explanation})", text(answer, "reason")),
            Tone::Strong
        )
    ))?;
    out.fields(&[
        ("scope", text(answer, "scope").to_owned()),
        ("rules", words(&answer["policies"])),
        ("policy version", answer["policy_version"].to_string()),
    ])?;
    if let Some(inputs) = answer["inputs"].as_object() {
        out.painted(&out.paint("decided on", Tone::Strong))?;
        let shown = inputs.iter().map(|(key, value)| match value {
            Value::String(text) => (key.as_str(), text.clone()),
            Value::Null => (key.as_str(), String::new()),
            Value::Object(map) if map.contains_key("minor") => {
                let minor = map["minor"].as_i64().unwrap_or(0);
                (key.as_str(), format_minor(minor))
            }
            value => (key.as_str(), value.to_string()),
        });
        out.fields(&shown.collect::<Vec<_>>())?;
    }
    Ok(())
}

fn words(list: &Value) -> String {
    let words = list.as_array().into_iter().flatten();
    let words: Vec<_> = words.filter_map(Value::as_str).collect();
    words.join(", ")
}

fn test(ctx: &Ctx, folder: &Path) -> Result<(), Problem> {
    let source = PolicySource::read_dir(folder).map_err(|e| problem(&e))?;
    let engine = PolicyEngine::compile(&source).map_err(|e| problem(&e))?;
    let results = engine.run_tests(&source);
    let failed = results.iter().filter(|t| !t.passed).count();
    let answer = json!({
        "passed": failed == 0,
        "counts": {"passed": results.len() - failed, "failed": failed},
        "tests": results,
    });
    ctx.out.answer(&answer, || tested(ctx, &results))?;
    if failed == 0 {
        ctx.out
            .next(&format!("agentkeys policy apply {}", folder.display()));
        return Ok(());
    }
    Err(Problem::new(
        Exit::Failed,
        "agentkeys.policy.test_failed",
        format!("{failed} of {} policy tests failed", results.len()),
        "correct the rules, or the tests that expect something else",
    ))
}

fn tested(ctx: &Ctx, results: &[TestResult]) -> Result<(), Problem> {
    let out = ctx.out;
    for result in results {
        let glyph = if result.passed {
            out.paint("\u{2713}", Tone::Good)
        } else {
            out.paint("\u{2717}", Tone::Bad)
        };
        let file = out.paint(&result.file, Tone::Faint);
        out.painted(&format!(
            "{glyph} {}  {file}",
            crate::text::clean(&result.name)
        ))?;
        if !result.passed {
            out.line(&format!("    expected {}", result.expected))?;
            out.line(&format!("    got      {}", result.got))?;
        }
    }
    out.line(&format!("{} tests", results.len()))
}

async fn show(ctx: &Ctx, to: Option<&Path>) -> Result<(), Problem> {
    let folder = ctx.open().await?;
    let (version, source) = folder.authority.policy_in_force(&folder.operator()).await?;
    let files: Map<String, Value> = source
        .files()
        .map(|(name, text)| (name.to_owned(), text.into()))
        .collect();
    let hash = hex::encode(source.hash());
    if let Some(to) = to {
        write_out(to, &source)?;
    }
    let answer = json!({"policy_version": version, "hash": hash, "files": files});
    ctx.out.answer(&answer, || {
        ctx.out
            .line(&format!("policy version {version}, sha256 {hash}"))?;
        if let Some(to) = to {
            return ctx.out.line(&format!("written to {}", to.display()));
        }
        for (name, text) in source
            .files()
            .filter(|(name, _)| !name.starts_with("tests/"))
        {
            ctx.out
                .painted(&ctx.out.paint(&format!("── {name}"), Tone::Strong))?;
            ctx.out.lines(text)?;
        }
        Ok(())
    })?;
    match to {
        Some(to) => ctx
            .out
            .next(&format!("agentkeys policy test {}", to.display())),
        None => ctx.out.next("agentkeys policy show --out DIR"),
    }
    Ok(())
}

/// Writes into a new or empty folder only: a file of somebody's would count as a rule.
fn write_out(folder: &Path, source: &PolicySource) -> Result<(), Problem> {
    let wrong = |e: std::io::Error| {
        Problem::new(
            Exit::Failed,
            "agentkeys.policy.not_written",
            format!("the policy cannot be written to {}: {e}", folder.display()),
            "name a new folder",
        )
    };
    std::fs::create_dir_all(folder.join("tests")).map_err(wrong)?;
    for (name, text) in source.files() {
        let path = folder.join(name);
        args::write_new(&path, text.as_bytes()).map_err(wrong)?;
    }
    Ok(())
}
