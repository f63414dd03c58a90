//! For code that acts as the operator (commands, the demo, the acceptance kit): a call performed,
//! and whatever did not work as a [`Problem`]. Decides nothing.

use crate::authority::calls::InputProblem;
use crate::authority::calls::admin::AdminCall;
use crate::authority::principal::Principal;
use crate::authority::{Answer, Authority, Call, Cause, Refusal};
use crate::problem::{Exit, Problem};
use serde_json::Value;

/// Performs a call; the answer is JSON as `contract.md` fixes it.
pub async fn ask(
    authority: &Authority,
    principal: &Principal,
    call: Call,
) -> Result<Value, Problem> {
    let outcome = authority.perform(principal, call).await?;
    match outcome.answer {
        Answer::Invalid(problem) => Err(problem.into()),
        Answer::CapNotFound => Err(Problem::new(
            Exit::Failed,
            "agentkeys.cap.not_found",
            "there is no such cap",
            "look its id up with `agentkeys cap inspect`",
        )),
        Answer::Conflict { version, .. } => Err(Problem::new(
            Exit::Failed,
            "agentkeys.memory.version_conflict",
            format!("the current version is {version}, not the one named"),
            "read it again, then write",
        )),
        Answer::Violation { namespace, .. } => Err(Problem::new(
            Exit::Refused,
            "agentkeys.memory.namespace_violation",
            format!("the namespace {namespace} is not granted"),
            "grant it with `agentkeys actor grant`",
        )),
        answer => Ok(answer.to_json()),
    }
}

/// Performs an administrative call.
pub async fn admin(
    authority: &Authority,
    principal: &Principal,
    call: AdminCall,
) -> Result<Value, Problem> {
    ask(authority, principal, Call::Admin(Box::new(call))).await
}

/// A text of an answer, for people; empty when it is not there.
pub fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let cause = refusal.cause;
        let exit = match cause {
            Cause::AuditUnavailable => Exit::Failed,
            Cause::RoleForbidden => Exit::Auth,
            _ => match cause.status() {
                401 => Exit::Auth,
                403 => Exit::Refused,
                _ => Exit::Failed,
            },
        };
        let words = match &refusal.seen {
            Some(seen) => format!("{}: {seen}", cause.message()),
            None => cause.message().to_owned(),
        };
        Self::new(exit, cause.code(), words, cause.fix())
    }
}

impl From<InputProblem> for Problem {
    /// A problem's message is "what is wrong; what to do", or only what to do, in which case the
    /// code says what is wrong.
    fn from(problem: InputProblem) -> Self {
        let word = problem.code.rsplit('.').next().unwrap_or_default();
        let usage = ["_invalid", "_missing", "_unknown"];
        let exit = match word {
            "ambiguous" => Exit::Usage,
            word if usage.iter().any(|end| word.ends_with(end)) => Exit::Usage,
            _ => Exit::Failed,
        };
        let (cause, fix) = match (word, problem.message.rsplit_once("; ")) {
            ("test_failed", _) => (
                problem.message.clone(),
                "run `agentkeys policy test DIR` to see what it expected and got".to_owned(),
            ),
            (_, Some((cause, fix))) => (cause.to_owned(), fix.to_owned()),
            (_, None) => (said_by_code(problem.code), problem.message.clone()),
        };
        Self {
            typed: problem.typed,
            ..Self::new(exit, problem.code, cause, fix)
        }
    }
}

/// What a code alone says: `agentkeys.vendor.name_invalid` is "the vendor's name is not valid".
fn said_by_code(code: &str) -> String {
    let mut words = code.split('.').skip(1);
    let area = words.next().unwrap_or_default();
    let what = words.next().unwrap_or_default();
    let endings = [
        ("_invalid", "is not valid"),
        ("_missing", "is missing"),
        ("_unknown", "is not known"),
    ];
    for (ending, said) in endings {
        if let Some(thing) = what.strip_suffix(ending) {
            return format!("the {area}'s {} {said}", thing.replace('_', " "));
        }
    }
    format!("{area}: {}", what.replace('_', " "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_ends_with_the_exit_code_of_its_kind() {
        let exit = |cause: Cause| Problem::from(Refusal::from(cause)).exit;
        assert_eq!(exit(Cause::TokenExpired), Exit::Auth);
        assert_eq!(exit(Cause::RoleForbidden), Exit::Auth);
        assert_eq!(exit(Cause::ActorForbidden), Exit::Refused);
        assert_eq!(exit(Cause::CapSpent), Exit::Refused);
        assert_eq!(exit(Cause::AuditUnavailable), Exit::Failed);
    }

    #[test]
    fn a_message_becomes_cause_and_fix() {
        let problem = |code, message| Problem::from(InputProblem::new(code, message));
        let p = problem(
            "agentkeys.vendor.ambiguous",
            "there are several vendors; choose one with --vendor: a, b",
        );
        assert_eq!(p.exit, Exit::Usage);
        assert_eq!(p.cause, "there are several vendors");
        assert_eq!(p.fix, "choose one with --vendor: a, b");
        let p = problem("agentkeys.actor.time_zone_unknown", "write the zone");
        assert_eq!(p.exit, Exit::Usage);
        assert_eq!(
            (p.cause.as_str(), p.fix.as_str()),
            ("the actor's time zone is not known", "write the zone")
        );
        assert_eq!(problem("agentkeys.actor.exists", "a; b").exit, Exit::Failed);
    }
}
