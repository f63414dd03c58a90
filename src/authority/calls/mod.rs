//! What can be asked, and what is answered: a file per family. Each loads the facts its call
//! needs, decides purely, and hands the ledger one Unit.

pub mod admin;
pub mod answer;
pub mod audit;
pub mod cap;
pub mod device;
pub mod identity;
mod introspect;
pub mod memory;
pub mod permission;
pub mod spend;

pub use answer::Answer;

use super::event::{Ending, Row, Subject};
use super::policy::{Amount, Decision, Question};
use super::ports::{Guard, Salt, SaltFacts, Test};
use super::principal::{ActorScope, Principal, VendorCaller};
use super::refusal::{Cause, Refusal};
use super::words::{Door, Namespace};
use super::{Authority, Outcome};
use crate::audit::envelope::kind::OpKind;
use crate::secret::Secret;
use serde_json::{Map, Value};
use std::borrow::Cow;

/// A call, typed: what the door made of the request.
#[derive(Debug)]
pub enum Call {
    /// `agentkeys.identity.whoami`
    Whoami,
    /// `agentkeys.memory.get`
    MemoryGet {
        /// Where.
        namespace: Namespace,
        /// An older version.
        version: Option<u64>,
    },
    /// `agentkeys.memory.put`
    MemoryPut(memory::Put),
    /// `agentkeys.permission.check`
    PermissionCheck(permission::Check),
    /// `agentkeys.cap.mint`
    CapMint(Box<cap::Mint>),
    /// `agentkeys.cap.revoke`
    CapRevoke {
        /// Its id.
        cap_id: String,
    },
    /// `agentkeys.audit.append`
    AuditAppend(audit::Statement),
    /// One of the preview tools.
    Preview {
        /// Its name.
        tool: &'static str,
    },
    /// A tool call whose arguments are wrong.
    Invalid {
        /// The tool, or what was asked for.
        tool: String,
        /// What is wrong.
        problem: InputProblem,
    },
    /// A cap is spent, or asked about.
    Spend(Box<spend::Spend>),
    /// Something an operator or a parent does.
    Admin(Box<admin::AdminCall>),
    /// Something a vendor's backend does with its devices.
    Device(Box<device::DeviceCall>),
    /// A read of the audit log is opened.
    AuditRead {
        /// What was asked for, in words.
        what: String,
        /// Only this actor's events.
        actor: Option<super::identity::Omni>,
    },
}

/// Wrong arguments: a stable code and a sentence that says what to do. Nothing changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InputProblem {
    /// `agentkeys.<area>.<what>`
    pub code: &'static str,
    /// What to do.
    pub message: String,
    /// The name that nobody has, as the caller wrote it. It leaves no door: only whoever may see all
    /// names is told which are like it.
    pub typed: Option<String>,
}

impl InputProblem {
    /// The same about a name that nobody has.
    #[must_use]
    pub fn typed(mut self, name: &str) -> Self {
        self.typed = Some(name.to_owned());
        self
    }

    /// The HTTP status, where it travels as one.
    pub fn status(&self) -> u16 {
        match self.code.rsplit('.').next() {
            Some("not_found" | "version_not_found" | "event_not_found") => 404,
            Some("statement_erased") => 410,
            Some("content_too_large") => 413,
            Some("integrity_error") => 500,
            Some("busy" | "exists" | "not_sealed" | "not_reserved") => 409,
            _ => 400,
        }
    }

    /// A problem with its code and what to do about it.
    pub fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            typed: None,
        }
    }
}

impl Call {
    /// What the row calls it.
    fn tool(&self) -> &str {
        match self {
            Self::Whoami => "agentkeys.identity.whoami",
            Self::MemoryGet { .. } => "agentkeys.memory.get",
            Self::MemoryPut(_) => "agentkeys.memory.put",
            Self::PermissionCheck(_) => "agentkeys.permission.check",
            Self::CapMint(_) => "agentkeys.cap.mint",
            Self::CapRevoke { .. } => "agentkeys.cap.revoke",
            Self::AuditAppend(_) => "agentkeys.audit.append",
            Self::Preview { tool } => tool,
            Self::Invalid { tool, .. } => tool,
            Self::Spend(spend) => spend.name(),
            Self::Admin(call) => call.tool(),
            Self::Device(call) => call.tool(),
            Self::AuditRead { .. } => "audit.read",
        }
    }
}

/// How often a call is decided again when the facts under it moved.
const ATTEMPTS: usize = 8;

/// Why a family has no outcome.
#[derive(Debug)]
pub(super) enum Halt {
    /// It was refused, on record.
    Refused(Refusal),
    /// The facts moved while it was decided, and nothing happened.
    Stale,
}

impl From<Refusal> for Halt {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<Cause> for Halt {
    fn from(cause: Cause) -> Self {
        Self::Refused(cause.into())
    }
}

/// What a family makes of a call.
pub(super) type Done<T = Outcome> = Result<T, Halt>;

/// Runs a call; when the facts under it moved, with the caller's rights as they are by then.
pub(super) async fn run(
    authority: &Authority,
    principal: &Principal,
    call: Call,
) -> Result<Outcome, Refusal> {
    let mut caller = Cow::Borrowed(principal);
    for _ in 0..ATTEMPTS {
        let cx = Cx {
            authority,
            principal: &caller,
        };
        match dispatch(&cx, &call).await {
            Ok(outcome) => return Ok(outcome),
            Err(Halt::Refused(refusal)) => return Err(refusal),
            Err(Halt::Stale) => tracing::debug!(tool = call.tool(), "facts moved; deciding again"),
        }
        match authority.reload(&caller).await? {
            Ok(again) => caller = Cow::Owned(again),
            Err(cause) => {
                let cause = match &call {
                    Call::Spend(_) => Cause::CapRevoked,
                    _ => cause,
                };
                return cx.forbidden(call.tool(), cause).await;
            }
        }
    }
    let cx = Cx {
        authority,
        principal: &caller,
    };
    let problem = InputProblem::new(
        "agentkeys.call.busy",
        "others change the same thing at the same time; try again",
    );
    cx.invalid(call.tool(), problem).await
}

async fn dispatch(cx: &Cx<'_>, call: &Call) -> Done {
    match call {
        Call::Whoami => identity::whoami(cx).await,
        Call::MemoryGet { namespace, version } => memory::get(cx, *namespace, *version).await,
        Call::MemoryPut(put) => memory::put(cx, put).await,
        Call::PermissionCheck(check) => permission::check(cx, check).await,
        Call::CapMint(mint) => cap::mint(cx, mint).await,
        Call::CapRevoke { cap_id } => cap::revoke(cx, cap_id).await,
        Call::AuditAppend(statement) => audit::append(cx, statement).await,
        Call::Preview { tool } => {
            let reason = "not_implemented_in_v1";
            let row = Row::new(OpKind::Preview, tool, Ending::Error, reason);
            let event = cx.authority.event(cx.principal, row);
            Ok(cx.authority.record(event, Answer::Preview).await?)
        }
        Call::Invalid { tool, problem } => Ok(cx.invalid(tool, problem.clone()).await?),
        // Boxed: their futures are large, and every call would carry room for them.
        Call::Spend(spend) => Box::pin(spend::run(cx, spend)).await,
        Call::Admin(call) => Box::pin(admin::run(cx, call)).await,
        Call::Device(call) => Box::pin(device::run(cx, call)).await,
        Call::AuditRead { what, actor } => audit::open_read(cx, what, *actor).await,
    }
}

/// One call under way.
pub(super) struct Cx<'a> {
    pub(super) authority: &'a Authority,
    pub(super) principal: &'a Principal,
}

impl<'a> Cx<'a> {
    /// The vendor's host behind a tool call, and the actor it may act for.
    fn caller(&self) -> Result<(&'a VendorCaller, &'a ActorScope), Refusal> {
        match (self.principal.vendor(), self.principal.scope()) {
            (Some(vendor), Some(scope)) => Ok((vendor, scope)),
            _ => Err(Cause::RoleForbidden.into()),
        }
    }

    /// Wrong arguments, on record.
    async fn invalid(&self, tool: &str, problem: InputProblem) -> Result<Outcome, Refusal> {
        let subject = Subject::of(self.principal);
        let done = self.invalid_about(&subject, tool, problem).await;
        match done {
            Ok(outcome) => Ok(outcome),
            Err(Halt::Refused(refusal)) => Err(refusal),
            Err(Halt::Stale) => Err(Cause::AuditUnavailable.into()),
        }
    }

    /// Wrong arguments about somebody, on record.
    async fn invalid_about(&self, subject: &Subject, tool: &str, problem: InputProblem) -> Done {
        let reason = problem.code.rsplit('.').next().unwrap_or("invalid");
        let tool = crate::text::clean_to(tool, 80);
        let row = Row::new(OpKind::ToolInvalid, &tool, Ending::Error, reason)
            .status(self.status_of(&problem));
        let event = self.authority.event_about(self.principal, subject, row);
        let answer = Answer::Invalid(problem);
        Ok(self.authority.record(event, answer).await?)
    }

    /// A refusal of a known caller, on record.
    async fn forbidden(&self, tool: &str, cause: Cause) -> Result<Outcome, Refusal> {
        let row = Row::new(OpKind::AuthRefused, tool, Ending::Deny, cause.reason())
            .status(cause.status());
        let event = self.authority.event(self.principal, row);
        let nothing = Answer::Json(Value::Null);
        self.authority.record(event, nothing).await?;
        Err(cause.into())
    }

    /// The status a problem travels with: MCP tells it in a result, other doors in the status line.
    fn status_of(&self, problem: &InputProblem) -> u16 {
        let frame = self.principal.frame();
        match self.principal.vendor() {
            Some(_) if frame.door != Door::Worker => 200,
            _ => problem.status(),
        }
    }

    /// Guards that the consent and the token a decision rests on are still what they were. When
    /// they are not, the call is decided again with what they are by then.
    fn still_bound(&self, scope: &ActorScope) -> Vec<Guard> {
        let at_ms = self.principal.frame().at_ms;
        let test = match (self.principal.vendor(), self.principal.token_id()) {
            (Some(vendor), Some(token_id)) => Test::StillBound {
                scope: scope.clone(),
                vendor: vendor.name.clone(),
                revision: vendor.binding.revision,
                token_id: token_id.to_owned(),
                at_ms,
            },
            (_, Some(id)) => Test::TokenLive {
                id: id.to_owned(),
                at_ms,
            },
            (_, None) => return Vec::new(),
        };
        vec![Guard::fresh(test)]
    }

    /// The salt of a slot, or a fresh one and that it is.
    fn salt(&self, facts: &SaltFacts) -> (Salt, bool) {
        let fresh = || Salt {
            epoch: facts.next_epoch,
            bytes: Secret::new(self.authority.random()),
        };
        match &facts.salt {
            Some(salt) => (salt.clone(), false),
            None => (fresh(), true),
        }
    }

    /// Asks the policy in force about a scope that concerns no money.
    async fn ask(
        &self,
        scope: &str,
        namespace: Namespace,
        granted: bool,
    ) -> Result<Decision, Refusal> {
        let (vendor, actor) = self.caller()?;
        let engine = self.authority.engine(vendor.policy_version).await?;
        let (hour, weekday) = self.local_time(vendor);
        Ok(engine.decide(&Question {
            vendor: &vendor.name,
            rail: vendor.rail.as_str(),
            actor: &actor.actor().to_string(),
            scope,
            granted,
            namespace: Some(namespace.as_str()),
            amount: Amount::Missing,
            currency: "RMB",
            spent_minor: 0,
            cap_minor: None,
            hour,
            weekday,
        }))
    }

    fn local_time(&self, vendor: &VendorCaller) -> (u8, u8) {
        super::budget::local_hour_weekday(self.principal.frame().at_ms, &vendor.actor.zone)
    }
}

/// The decision as fields of a row.
fn decided(row: Row, decision: &Decision, policy_version: i64) -> Row {
    let explanation = Some(&decision.explanation).filter(|e| !e.is_empty());
    row.with("explanation", explanation.map(|e| Value::from(e.as_str())))
        .with("policy_version", Value::from(policy_version))
        .with("policy_ids", Value::from(decision.policies.clone()))
}

/// A keyed tag: equal for equal texts under one salt, and nothing without it.
fn tag(salt: &Secret<[u8; 32]>, text: &[u8]) -> [u8; 32] {
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, salt.expose());
    let tag = aws_lc_rs::hmac::sign(&key, text);
    let mut out = [0; 32];
    out.copy_from_slice(tag.as_ref());
    out
}

/// Looks a string up in an object.
fn text<'m>(map: &'m Map<String, Value>, key: &str) -> Option<&'m str> {
    map.get(key).and_then(Value::as_str)
}
