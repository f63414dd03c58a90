//! Bindings: a parent's consent, given and taken back. Taking back kills the caps it backed in the
//! same commit.

use super::actors::binding_json;
use super::{Change, found};
use crate::authority::calls::cap::PAYMENT;
use crate::authority::calls::permission::CURRENCY;
use crate::authority::calls::{Answer, Cx, Done, InputProblem, OpKind};
use crate::authority::ports::{Effect, Test};
use crate::authority::principal::Binding;
use crate::authority::unavailable;
use crate::authority::words::{NamespaceSet, scope_matches};
use serde_json::json;

/// Given or taken back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grant {
    /// Given.
    Give,
    /// Taken back.
    Take,
}

/// What is given or taken back.
#[derive(Debug, Clone, Default)]
pub struct GrantRequest {
    /// Over whom.
    pub actor: String,
    /// To whom.
    pub vendor: String,
    /// Namespaces to read.
    pub read: NamespaceSet,
    /// Namespaces to write.
    pub write: NamespaceSet,
    /// Scopes, exact or `prefix.*`.
    pub scopes: Vec<String>,
    /// The vendor's limit against the actor's day.
    pub daily_cap: Option<(i64, String)>,
}

impl GrantRequest {
    /// Whether it says something that can be granted.
    pub(super) fn check(&self) -> Result<(), InputProblem> {
        if self.scopes.iter().any(|s| !valid_scope(s)) {
            return Err(InputProblem::new(
                "agentkeys.grant.scope_invalid",
                "a scope is words of a-z, 0-9 and _ joined by dots, such as payment.spend or payment.*",
            ));
        }
        let foreign = |(_, currency): &(i64, String)| currency != CURRENCY;
        if self.daily_cap.as_ref().is_some_and(foreign) {
            return Err(InputProblem::new(
                "agentkeys.grant.currency_unknown",
                "a daily cap is in RMB, such as 500RMB",
            ));
        }
        Ok(())
    }
}

pub(super) async fn change(cx: &Cx<'_>, request: &GrantRequest, way: Grant) -> Done {
    let (tool, reason) = match way {
        Grant::Give => ("actor.grant", "granted"),
        Grant::Take => ("actor.ungrant", "ungranted"),
    };
    found!(cx, tool, request.check());
    let (_, scope) = found!(cx, tool, cx.target(&request.actor).await?);
    let vendor = found!(cx, tool, cx.vendor_named(&request.vendor).await?);
    let ledger = cx.authority.ledger();
    let all = ledger.bindings(&scope).await.map_err(unavailable)?;
    let old = all
        .into_iter()
        .find(|(v, _)| *v == vendor.name)
        .map(|(_, b)| b);
    let old = old.unwrap_or_else(|| Binding {
        currency: "RMB".into(),
        ..Binding::default()
    });
    let mut new = match way {
        Grant::Give => given(&old, request),
        Grant::Take => taken(&old, request),
    };
    if let Some(excluded) = request
        .scopes
        .iter()
        .find(|s| way == Grant::Give && !new.grants(s))
    {
        let message =
            format!("{excluded} lies in a scope that was taken back; grant that one first");
        let problem = InputProblem::new("agentkeys.grant.excluded", message);
        return Ok(cx.invalid(tool, problem).await?);
    }
    new.revision = old.revision + 1;
    let answer = binding_json(&vendor.name, &new);
    let at_ms = cx.principal.frame().at_ms;
    let moved = InputProblem::new(
        "agentkeys.grant.busy",
        "somebody else changed this binding at the same moment; look at it and try again",
    );
    let lost = lost_grants(&old, &new);
    let revoked = Effect::RevokeCapsOn {
        scope: scope.clone(),
        vendor: Some(vendor.name.clone()),
        grants: lost,
        at_ms,
    };
    let unchanged = Test::BindingIs {
        scope: scope.clone(),
        vendor: vendor.name.clone(),
        revision: old.revision,
    };
    let set = Effect::SetBinding {
        scope: scope.clone(),
        vendor: vendor.name.clone(),
        binding: new,
    };
    let detail = json!({"scopes": request.scopes, "binding": answer});
    Change::new(cx, OpKind::Grant, tool, detail)
        .about(cx, scope.actor())
        .unless(unchanged, moved)
        .effect(set)
        .effect(revoked)
        .commit(cx, reason, Answer::Json(answer))
        .await
}

fn valid_scope(scope: &str) -> bool {
    let words = scope.strip_suffix(".*").unwrap_or(scope);
    let word = |w: &str| {
        !w.is_empty()
            && w.bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
    };
    scope.len() <= 80 && words.split('.').all(word)
}

fn given(old: &Binding, request: &GrantRequest) -> Binding {
    let mut new = old.clone();
    new.read = new.read.union(request.read);
    new.write = new.write.union(request.write);
    for scope in &request.scopes {
        new.exclusions.retain(|e| e != scope && !covers(scope, e));
        if !new.scopes.contains(scope) {
            new.scopes.push(scope.clone());
        }
    }
    new.scopes.sort();
    if let Some((minor, currency)) = &request.daily_cap {
        new.daily_cap_minor = Some(*minor);
        new.currency.clone_from(currency);
    }
    new
}

fn taken(old: &Binding, request: &GrantRequest) -> Binding {
    let mut new = old.clone();
    new.read = new.read.without(request.read);
    new.write = new.write.without(request.write);
    for pattern in &request.scopes {
        new.scopes.retain(|s| s != pattern && !covers(pattern, s));
        let wider = new.scopes.iter().any(|s| covers(s, pattern));
        if wider && !new.exclusions.contains(pattern) {
            new.exclusions.push(pattern.clone());
        }
    }
    new.exclusions.sort();
    let nothing = new.read == NamespaceSet::NONE && new.write == NamespaceSet::NONE;
    new.standing &= !(nothing && new.scopes.is_empty());
    new
}

/// Whether every scope `narrow` stands for is one `wide` stands for too.
fn covers(wide: &str, narrow: &str) -> bool {
    scope_matches(wide, narrow.strip_suffix(".*").unwrap_or(narrow))
}

/// The grants live caps may rest on that are gone.
pub(in crate::authority::calls) fn lost_grants(old: &Binding, new: &Binding) -> Vec<String> {
    let gone = |kind: &str, set: NamespaceSet| {
        set.iter()
            .map(|n| format!("{kind}:{n}"))
            .collect::<Vec<_>>()
    };
    let mut lost = gone("memory.read", old.read.without(new.read));
    lost.extend(gone("memory.write", old.write.without(new.write)));
    if old.grants(PAYMENT) && !new.grants(PAYMENT) {
        lost.push(PAYMENT.to_owned());
    }
    lost
}

#[cfg(test)]
mod tests {
    use super::*;

    fn binding(scopes: &[&str]) -> Binding {
        Binding {
            scopes: scopes.iter().map(|s| (*s).to_owned()).collect(),
            ..Binding::default()
        }
    }

    fn take(scopes: &[&str]) -> GrantRequest {
        GrantRequest {
            scopes: binding(scopes).scopes,
            ..GrantRequest::default()
        }
    }

    #[test]
    fn taking_a_pattern_back_removes_what_it_matches() {
        let new = taken(
            &binding(&["payment.spend", "memory.read"]),
            &take(&["payment.*"]),
        );
        assert_eq!(new.scopes, ["memory.read"]);
        assert_eq!(new.exclusions, Vec::<String>::new());
    }

    #[test]
    fn taking_a_part_of_a_wider_grant_leaves_an_exclusion_until_it_is_given_again() {
        let new = taken(&binding(&["payment.*"]), &take(&["payment.spend"]));
        assert!(new.grants("payment.subscribe") && !new.grants("payment.spend"));
        assert_eq!(
            lost_grants(&binding(&["payment.*"]), &new),
            ["payment.spend"]
        );
        let again = given(&new, &take(&["payment.spend"]));
        assert!(again.grants("payment.spend"));
        let wider = given(&new, &take(&["payment.*"]));
        assert!(wider.grants("payment.spend"));
    }

    #[test]
    fn a_binding_that_stands_without_rights_falls_with_the_last_one() {
        let standing = Binding {
            standing: true,
            ..binding(&["a.b", "c.d"])
        };
        let one = taken(&standing, &take(&["a.b"]));
        assert!(one.standing && given(&one, &take(&["e.f"])).standing);
        assert!(!taken(&one, &take(&["c.d"])).standing);
    }

    #[test]
    fn scopes_are_words() {
        assert!(valid_scope("payment.*") && valid_scope("a.b_c.d1"));
        assert!(!valid_scope("*") && !valid_scope("Payment.spend") && !valid_scope("a..b"));
    }
}
