//! From the text of rules to rules that may be loaded: parsed, annotated, validated.

use std::collections::{BTreeMap, HashMap};
use std::str::FromStr as _;

use cedar_policy::{Effect, Policy, PolicyId, PolicySet, ValidationMode, Validator};

use super::Verdict;
use super::error::{PolicyError, PolicyErrorKind, line_at, line_of};
use super::schema::Facts;
use super::source::PolicySource;
use super::words::Words;

/// Annotations with a meaning, and `note`. Any other is refused: `@obligaton` would reserve nothing.
const KNOWN: [&str; 8] = [
    "id",
    "verdict",
    "reason",
    "explanation",
    "order",
    "obligation",
    "refusal",
    "note",
];

/// What a rule says beside its condition.
pub(super) struct Rule {
    pub(super) id: String,
    pub(super) file: String,
    pub(super) line: Option<usize>,
    /// Accept for a permit; deny or `ask_parent` for a forbid.
    pub(super) verdict: Verdict,
    pub(super) reason: String,
    pub(super) words: Words,
    /// A rule without `@order` speaks after all that have one.
    pub(super) order: i64,
    /// For a permit that reserves: the id of the rule whose words are the refusal.
    pub(super) refusal: Option<String>,
    pub(super) annotations: BTreeMap<String, String>,
    pub(super) text: String,
}

/// Rules by id, and as Cedar's policies.
pub(super) struct Rules {
    pub(super) by_id: HashMap<String, Rule>,
    pub(super) policies: PolicySet,
}

impl Rules {
    /// Reads, annotates and validates every rule of a source.
    pub(super) fn load(source: &PolicySource, facts: &Facts) -> Result<Self, PolicyError> {
        let mut rules = Self {
            by_id: HashMap::new(),
            policies: PolicySet::new(),
        };
        for (file, text) in source.rules() {
            rules.load_file(file, text)?;
        }
        rules.check_refusals()?;
        rules.validate(source, facts)?;
        Ok(rules)
    }

    fn load_file(&mut self, file: &str, text: &str) -> Result<(), PolicyError> {
        let set = PolicySet::from_str(text).map_err(|e| {
            let what = e.to_string();
            PolicyError::new(PolicyErrorKind::Syntax, file, what, "correct it as Cedar")
                .at(line_of(text, &e))
        })?;
        if let Some(template) = set.templates().next() {
            let line = text.find(&template.to_cedar()).map(|at| line_at(text, at));
            return Err(PolicyError::new(
                PolicyErrorKind::Syntax,
                file,
                "a template (?principal, ?resource) is never linked, so it would never apply",
                "write the vendor or actor, or leave it out",
            )
            .at(line));
        }
        for policy in set.policies() {
            let rule = Rule::read(policy, file, text)?;
            if let Some(first) = self.by_id.get(&rule.id) {
                let what = format!("@id({:?}) is taken by a rule in {}", rule.id, first.file);
                return Err(rule.wrong(what, "give each rule its own"));
            }
            let named = policy.new_id(PolicyId::new(&rule.id));
            self.policies
                .add(named)
                .map_err(|e| rule.wrong(e.to_string(), "give each rule its own @id"))?;
            self.by_id.insert(rule.id.clone(), rule);
        }
        Ok(())
    }

    /// The words of a refusal are chosen when the decision is made and used when it is committed.
    fn check_refusals(&self) -> Result<(), PolicyError> {
        for rule in sorted(&self.by_id) {
            let Some(name) = &rule.refusal else { continue };
            let Some(refusal) = self.by_id.get(name).filter(|r| r.verdict == Verdict::Deny) else {
                return Err(rule.wrong(
                    format!("@refusal({name:?}) is not the @id of a forbid that denies"),
                    "name the rule that denies when the cap is exceeded",
                ));
            };
            if refusal.words.tells_spent() {
                return Err(refusal.wrong(
                    format!(
                        "{{spent}} in the refusal of {} may have changed when it is used",
                        rule.id
                    ),
                    "leave {spent} out of this explanation",
                ));
            }
        }
        Ok(())
    }

    fn validate(&self, source: &PolicySource, facts: &Facts) -> Result<(), PolicyError> {
        let validator = Validator::new(facts.schema.clone());
        let result = validator.validate(&self.policies, ValidationMode::Strict);
        let errors = result.validation_errors().map(|e| {
            (
                0,
                e.policy_id(),
                e.to_string(),
                e as &dyn miette::Diagnostic,
            )
        });
        // Warnings too: a rule that can never apply, or that looks like another, is a mistake.
        let warnings = result.validation_warnings().map(|w| {
            (
                1,
                w.policy_id(),
                w.to_string(),
                w as &dyn miette::Diagnostic,
            )
        });
        let mut found: Vec<_> = errors
            .chain(warnings)
            .filter_map(|(rank, id, what, at)| {
                let rule = self.by_id.get(id.as_ref() as &str)?;
                let text = source.rules().find(|(name, _)| *name == rule.file)?.1;
                let line = line_of(text, at).or(rule.line);
                Some((rank, &rule.file, line, what))
            })
            .collect();
        found.sort_unstable();
        match found.into_iter().next() {
            Some((_, file, line, what)) => Err(PolicyError::new(
                PolicyErrorKind::Validation,
                file,
                what,
                "make the rule fit agentkeys.cedarschema",
            )
            .at(line)),
            None if result.validation_passed() => Ok(()),
            None => Err(PolicyError::new(
                PolicyErrorKind::Validation,
                ".",
                result.to_string(),
                "make the rules fit agentkeys.cedarschema",
            )),
        }
    }
}

fn sorted(rules: &HashMap<String, Rule>) -> Vec<&Rule> {
    let mut all: Vec<_> = rules.values().collect();
    all.sort_unstable_by(|a, b| a.id.cmp(&b.id));
    all
}

impl Rule {
    /// Reads the annotations of a policy.
    fn read(policy: &Policy, file: &str, file_text: &str) -> Result<Self, PolicyError> {
        let text = policy.to_cedar().unwrap_or_else(|| policy.to_string());
        let annotations: BTreeMap<String, String> = policy
            .annotations()
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect();
        let mut rule = Self {
            id: annotations.get("id").cloned().unwrap_or_default(),
            file: file.to_owned(),
            line: file_text.find(&text).map(|at| line_at(file_text, at)),
            verdict: match policy.effect() {
                Effect::Permit => Verdict::Accept,
                Effect::Forbid => Verdict::Deny,
            },
            reason: String::new(),
            words: Words::parse("").map_err(|e| wrong(file, None, e, ""))?,
            order: i64::MAX,
            refusal: None,
            annotations,
            text,
        };
        rule.check_names()?;
        rule.read_verdict()?;
        rule.read_words()?;
        rule.read_obligation()?;
        Ok(rule)
    }

    fn wrong(&self, what: impl Into<String>, fix: &str) -> PolicyError {
        wrong(&self.file, self.line, what, fix)
    }

    fn note(&self, key: &str) -> Option<&str> {
        self.annotations.get(key).map(String::as_str)
    }

    fn check_names(&self) -> Result<(), PolicyError> {
        if !is_code(&self.id) {
            return Err(self.wrong(
                "this rule has no @id of at most 64 letters, digits, dots, dashes, underscores",
                "write @id(\"a_name_of_its_own\") above it",
            ));
        }
        match self
            .annotations
            .keys()
            .find(|key| !KNOWN.contains(&key.as_str()))
        {
            Some(key) => Err(self.wrong(
                format!("@{key} is not an annotation that means anything here"),
                "correct it, or write what you want to remember into @note",
            )),
            None => Ok(()),
        }
    }

    fn read_verdict(&mut self) -> Result<(), PolicyError> {
        match (self.note("verdict"), self.verdict) {
            (None, _) => Ok(()),
            (Some("ask_parent"), Verdict::Deny) => {
                self.verdict = Verdict::AskParent;
                Ok(())
            }
            (Some("ask_parent"), _) => Err(self.wrong(
                "@verdict(\"ask_parent\") stands on a permit",
                "put it on a forbid: asking is a way of not permitting",
            )),
            (Some(other), _) => Err(self.wrong(
                format!("@verdict({other:?}) is unknown"),
                "write @verdict(\"ask_parent\") or leave it out",
            )),
        }
    }

    fn read_words(&mut self) -> Result<(), PolicyError> {
        self.reason = self.note("reason").unwrap_or(&self.id).to_owned();
        if !is_code(&self.reason) {
            return Err(self.wrong(
                "@reason is a code of at most 64 letters, digits, dots, dashes, underscores",
                "put sentences into @explanation",
            ));
        }
        if let Some(order) = self.note("order") {
            self.order = order.parse().map_err(|_| {
                self.wrong(
                    format!("@order({order:?}) is not a whole number"),
                    "write @order(\"10\")",
                )
            })?;
        }
        self.words = Words::parse(self.note("explanation").unwrap_or_default())
            .map_err(|what| self.wrong(what, "correct the explanation"))?;
        Ok(())
    }

    fn read_obligation(&mut self) -> Result<(), PolicyError> {
        match (self.note("obligation"), self.note("refusal")) {
            (None, None) => Ok(()),
            (Some("reserve_daily"), Some(refusal)) if self.verdict == Verdict::Accept => {
                self.refusal = Some(refusal.to_owned());
                Ok(())
            }
            (Some("reserve_daily"), None) => Err(self.wrong(
                "@obligation(\"reserve_daily\") has no @refusal",
                "name the rule whose words are used when the cap was spent in between",
            )),
            (Some("reserve_daily"), _) => Err(self.wrong(
                "@obligation stands on a forbid",
                "put it on the permit that accepts the spending",
            )),
            (Some(other), _) => Err(self.wrong(
                format!("@obligation({other:?}) is unknown"),
                "write @obligation(\"reserve_daily\") or leave it out",
            )),
            (None, Some(_)) => Err(self.wrong(
                "@refusal stands without @obligation(\"reserve_daily\")",
                "add the obligation or leave the refusal out",
            )),
        }
    }
}

fn wrong(file: &str, line: Option<usize>, what: impl Into<String>, fix: &str) -> PolicyError {
    PolicyError::new(PolicyErrorKind::Annotation, file, what, fix).at(line)
}

fn is_code(text: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    !text.is_empty() && text.len() <= 64 && text.bytes().all(allowed)
}
