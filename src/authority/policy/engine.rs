//! Asks the rules and puts their answer into words.

use std::collections::BTreeMap;

use cedar_policy::{Authorizer, PolicyId, Request};
use serde::Serialize;

use super::compile::{Rule, Rules};
use super::error::{PolicyError, PolicyErrorKind};
use super::schema::{Facts, Types, context};
use super::slices::Slices;
use super::source::PolicySource;
use super::suite::{self, TestResult};
use super::words::MAX_ECHO;
use super::{Decision, Inputs, Obligation, Question, Verdict};
use crate::text::clean_to;

/// Deny: the scope is not an action of the schema.
const UNKNOWN_SCOPE: &str = "scope_not_in_policy_table";
/// Deny: a rule could not be evaluated. Cedar would skip it, and a forbid that is skipped permits.
const POLICY_ERROR: &str = "policy_error";
/// Deny: nothing forbids it and nothing permits it.
const NOTHING_PERMITS: &str = "no_policy_permits";

/// A policy that is ready to decide.
pub struct PolicyEngine {
    authorizer: Authorizer,
    facts: Facts,
    rules: Rules,
    slices: Slices,
}

impl std::fmt::Debug for PolicyEngine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PolicyEngine")
            .field("scopes", &self.facts.scopes)
            .field("rules", &self.rules.by_id.len())
            .finish_non_exhaustive()
    }
}

/// What the rules answered, before words.
enum Answer<'e> {
    UnknownScope,
    Failed(Vec<String>),
    Decided(Vec<&'e Rule>),
}

impl PolicyEngine {
    /// Compiles a policy: names, schema, strict validation, annotations.
    ///
    /// # Errors
    /// The first thing that is wrong, with its file, its line where known, and what to do.
    pub fn compile(source: &PolicySource) -> Result<Self, PolicyError> {
        source.check_names()?;
        let facts = Facts::load(source)?;
        let rules = Rules::load(source, &facts)?;
        let slices = Slices::build(&facts, &rules.policies).map_err(|e| {
            let fix = "give each rule its own @id";
            PolicyError::new(PolicyErrorKind::Annotation, ".", e.to_string(), fix)
        })?;
        Ok(Self {
            authorizer: Authorizer::new(),
            facts,
            rules,
            slices,
        })
    }

    /// The scopes this policy knows, sorted.
    pub fn scopes(&self) -> impl Iterator<Item = &str> {
        self.facts.scopes.iter().map(String::as_str)
    }

    /// Decides. Total: whatever goes wrong is a deny.
    pub fn decide(&self, q: &Question<'_>) -> Decision {
        self.words(&self.ask(q), q)
    }

    /// Decides and shows the rules that did.
    pub fn explain(&self, q: &Question<'_>) -> Explanation {
        let answer = self.ask(q);
        let rules = match &answer {
            Answer::UnknownScope => Vec::new(),
            Answer::Failed(ids) => ids
                .iter()
                .filter_map(|id| self.rules.by_id.get(id))
                .map(ExplainedRule::from)
                .collect(),
            Answer::Decided(rules) => rules.iter().copied().map(ExplainedRule::from).collect(),
        };
        Explanation {
            decision: self.words(&answer, q),
            rules,
            inputs: Inputs::from(q),
        }
    }

    /// Runs the tests of a source against this policy. A file that cannot be read as tests is a
    /// result that did not pass.
    pub fn run_tests(&self, source: &PolicySource) -> Vec<TestResult> {
        suite::run(self, source)
    }

    fn ask(&self, q: &Question<'_>) -> Answer<'_> {
        if !self.slices.knows(q.scope) {
            return Answer::UnknownScope;
        }
        let types = &self.facts.types;
        let request = context(q).and_then(|context| {
            let vendor = Types::uid(&types.vendor, q.vendor);
            let scope = Types::uid(&types.action, q.scope);
            let actor = Types::uid(&types.actor, q.actor);
            Request::new(vendor, scope, actor, context, None).ok()
        });
        let Some(request) = request else {
            return Answer::Failed(Vec::new());
        };
        let mut failed: Vec<String> = Vec::new();
        let mut decided: Vec<&Rule> = Vec::new();
        // Each slice is asked alone. Cedar names the forbids that hold, else the permits; over all
        // slices the forbids outweigh the permits in the same way.
        for slice in self.slices.matching(q.scope, q.vendor, q.actor) {
            let response = self
                .authorizer
                .is_authorized(&request, slice, &self.facts.actions);
            for id in response.diagnostics().reason() {
                match self.rule(id) {
                    Some(rule) => decided.push(rule),
                    None => failed.push(id.to_string()),
                }
            }
            for error in response.diagnostics().errors() {
                let cedar_policy::AuthorizationError::PolicyEvaluationError(error) = error;
                failed.push(error.policy_id().to_string());
            }
        }
        if !failed.is_empty() {
            failed.sort_unstable();
            return Answer::Failed(failed);
        }
        if decided.iter().any(|rule| rule.verdict != Verdict::Accept) {
            decided.retain(|rule| rule.verdict != Verdict::Accept);
        }
        decided.sort_unstable_by(|a, b| a.rank().cmp(&b.rank()));
        Answer::Decided(decided)
    }

    fn rule(&self, id: &PolicyId) -> Option<&Rule> {
        self.rules.by_id.get(AsRef::<str>::as_ref(id))
    }

    fn words(&self, answer: &Answer<'_>, q: &Question<'_>) -> Decision {
        let rules = match answer {
            Answer::UnknownScope => {
                let scope = clean_to(q.scope, MAX_ECHO);
                let explanation = format!("{scope} is not a scope this policy knows");
                return deny(UNKNOWN_SCOPE, explanation, Vec::new());
            }
            Answer::Failed(ids) => return failed(ids),
            Answer::Decided(rules) => rules,
        };
        let Some(first) = rules.first() else {
            let explanation = format!("no rule permits {}", clean_to(q.scope, MAX_ECHO));
            return deny(NOTHING_PERMITS, explanation, Vec::new());
        };
        let obligation = match self.obligation(rules, q) {
            Ok(obligation) => obligation,
            Err(id) => return failed(&[id.to_owned()]),
        };
        let mut policies: Vec<String> = rules.iter().map(|rule| rule.id.clone()).collect();
        policies.sort_unstable();
        Decision {
            verdict: first.verdict,
            reason: first.reason.clone(),
            explanation: first.words.fill(q),
            policies,
            obligation,
        }
    }

    /// What an accept owes: any permit that reserves binds the whole answer, so that a wider permit
    /// beside it cannot spend without counting.
    fn obligation<'r>(
        &self,
        rules: &[&'r Rule],
        q: &Question<'_>,
    ) -> Result<Option<Obligation>, &'r str> {
        let reserving = rules
            .iter()
            .find_map(|rule| rule.refusal.as_ref().map(|r| (*rule, r)));
        let Some((rule, refusal)) = reserving else {
            return Ok(None);
        };
        let amount = q.amount.minor().filter(|minor| *minor > 0);
        let refusal = self.rules.by_id.get(refusal);
        let (Some(amount_minor), Some(limit_minor), Some(refusal)) = (amount, q.cap_minor, refusal)
        else {
            // The rule accepts a spending that has nothing to count or nothing to count against.
            return Err(&rule.id);
        };
        Ok(Some(Obligation::ReserveDaily {
            amount_minor,
            limit_minor,
            refused_reason: refusal.reason.clone(),
            refused_explanation: refusal.words.fill(q),
            refused_policies: vec![refusal.id.clone()],
        }))
    }

    #[cfg(test)]
    pub(super) fn unsliced(mut self) -> Self {
        self.slices.unsliced(&self.rules.policies);
        self
    }
}

impl Rule {
    /// Who speaks first: a deny before an `ask_parent`, then the lowest order, then the id.
    fn rank(&self) -> (bool, i64, &str) {
        (self.verdict == Verdict::AskParent, self.order, &self.id)
    }
}

fn deny(reason: &str, explanation: String, policies: Vec<String>) -> Decision {
    Decision {
        verdict: Verdict::Deny,
        reason: reason.to_owned(),
        explanation,
        policies,
        obligation: None,
    }
}

fn failed(ids: &[String]) -> Decision {
    let explanation = if ids.is_empty() {
        "the request could not be evaluated".to_owned()
    } else {
        format!("could not evaluate {}", ids.join(", "))
    };
    deny(POLICY_ERROR, explanation, ids.to_vec())
}

/// A decision with the rules that made it and what they were told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// The decision itself; its fields stand beside `rules` in JSON.
    #[serde(flatten)]
    pub decision: Decision,
    /// The deciding rules, the one that gave the words first. Empty where no rule decided.
    pub rules: Vec<ExplainedRule>,
    /// Everything the decision could depend on.
    pub inputs: Inputs,
}

/// A rule, for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ExplainedRule {
    /// Its `@id`.
    pub id: String,
    /// File inside the policy.
    pub file: String,
    /// Line in the file, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// `permit` or `forbid`.
    pub effect: &'static str,
    /// All annotations as written.
    pub annotations: BTreeMap<String, String>,
    /// The rule as written.
    pub text: String,
}

impl From<&Rule> for ExplainedRule {
    fn from(rule: &Rule) -> Self {
        Self {
            id: rule.id.clone(),
            file: rule.file.clone(),
            line: rule.line,
            effect: match rule.verdict {
                Verdict::Accept => "permit",
                Verdict::Deny | Verdict::AskParent => "forbid",
            },
            annotations: rule.annotations.clone(),
            text: rule.text.clone(),
        }
    }
}
