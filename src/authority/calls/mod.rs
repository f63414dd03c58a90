//! What can be asked, and what is answered: a file per family. Each loads the facts its call
//! needs, decides purely, and hands the ledger one Unit.

pub mod admin;
pub mod answer;
pub mod audit;
pub mod cap;
pub mod identity;
pub mod memory;
pub mod permission;
pub mod spend;

pub use answer::Answer;

use super::event::{Ending, Row};
use super::policy::{Amount, Decision, Question};
use super::principal::{ActorScope, Principal, VendorCaller};
use super::refusal::{Cause, Refusal};
use super::words::Namespace;
use super::{Authority, Outcome};
use crate::audit::envelope::kind::OpKind;
use crate::secret::Secret;
use serde_json::{Map, Value};

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
}

impl InputProblem {
    /// A problem with its code and what to do about it.
    pub fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }
}

/// How often a call is decided again when the facts under it moved.
const ATTEMPTS: usize = 5;

pub(super) async fn run(
    authority: &Authority,
    principal: &Principal,
    call: Call,
) -> Result<Outcome, Refusal> {
    let cx = Cx {
        authority,
        principal,
    };
    match call {
        Call::Whoami => identity::whoami(&cx).await,
        Call::MemoryGet { namespace, version } => memory::get(&cx, namespace, version).await,
        Call::MemoryPut(put) => memory::put(&cx, &put).await,
        Call::PermissionCheck(check) => permission::check(&cx, &check).await,
        Call::CapMint(mint) => cap::mint(&cx, &mint).await,
        Call::CapRevoke { cap_id } => cap::revoke(&cx, &cap_id).await,
        Call::AuditAppend(statement) => audit::append(&cx, &statement).await,
        Call::Preview { tool } => {
            let row = Row::new(
                OpKind::Preview,
                tool,
                Ending::Error,
                "not_implemented_in_v1",
            );
            let event = authority.event(principal, row);
            authority.record(event, Answer::Preview).await
        }
        Call::Invalid { tool, problem } => cx.invalid(&tool, problem).await,
        Call::Spend(spend) => spend::run(&cx, *spend).await,
        Call::Admin(call) => admin::run(&cx, *call).await,
        Call::AuditRead { what, actor } => audit::open_read(&cx, &what, actor).await,
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

    async fn invalid(&self, tool: &str, problem: InputProblem) -> Result<Outcome, Refusal> {
        let reason = problem.code.rsplit('.').next().unwrap_or("invalid");
        let row = Row::new(
            OpKind::ToolInvalid,
            &crate::text::clean_to(tool, 80),
            Ending::Error,
            reason,
        );
        let event = self.authority.event(self.principal, row);
        self.authority.record(event, Answer::Invalid(problem)).await
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
