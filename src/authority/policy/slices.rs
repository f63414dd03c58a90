//! Rules in the order they are looked up in: a decision evaluates those whose scope can match.
//!
//! Evaluating a rule costs close to a microsecond even when its head cannot match. So each rule
//! lies under what its head names (action, vendor, actor), and a question visits the eight places
//! that can hold rules for it: each of the three named, or anything.

use std::collections::HashMap;

use cedar_policy::{
    ActionConstraint, EntityUid, Policy, PolicySet, PolicySetError, PrincipalConstraint,
    ResourceConstraint,
};

use super::schema::Facts;

/// A name's number; [`ANY`] for a head that names none.
type Key = u32;
const ANY: Key = 0;

/// Rules by what their heads name.
#[derive(Default)]
pub(super) struct Slices {
    scopes: HashMap<String, Key>,
    vendors: HashMap<String, Key>,
    actors: HashMap<String, Key>,
    places: HashMap<(Key, Key, Key), PolicySet>,
}

impl Slices {
    /// Puts each rule into its places. A head that is not understood is under "anything", which
    /// costs time and is never wrong.
    pub(super) fn build(facts: &Facts, policies: &PolicySet) -> Result<Self, Box<PolicySetError>> {
        let mut slices = Self::default();
        for scope in &facts.scopes {
            number(&mut slices.scopes, scope);
        }
        for policy in policies.policies() {
            let vendor = match policy.principal_constraint() {
                PrincipalConstraint::Eq(uid)
                | PrincipalConstraint::In(uid)
                | PrincipalConstraint::IsIn(_, uid)
                    if *uid.type_name() == facts.types.vendor =>
                {
                    number(&mut slices.vendors, uid.id().unescaped())
                }
                _ => ANY,
            };
            let actor = match policy.resource_constraint() {
                ResourceConstraint::Eq(uid)
                | ResourceConstraint::In(uid)
                | ResourceConstraint::IsIn(_, uid)
                    if *uid.type_name() == facts.types.actor =>
                {
                    number(&mut slices.actors, uid.id().unescaped())
                }
                _ => ANY,
            };
            for scope in slices.scopes_of(facts, policy) {
                let place = slices.places.entry((scope, vendor, actor)).or_default();
                place.add(policy.clone())?;
            }
        }
        Ok(slices)
    }

    fn scopes_of(&self, facts: &Facts, policy: &Policy) -> Vec<Key> {
        let named: Vec<EntityUid> = match policy.action_constraint() {
            ActionConstraint::Any => return vec![ANY],
            ActionConstraint::Eq(uid) => vec![uid],
            ActionConstraint::In(uids) => uids,
        };
        let covers = |scope: &str| {
            let scope = super::schema::Types::uid(&facts.types.action, scope);
            named
                .iter()
                .any(|uid| *uid == scope || facts.actions.is_ancestor_of(uid, &scope))
        };
        let covered = self.scopes.iter().filter(|(scope, _)| covers(scope));
        covered.map(|(_, key)| *key).collect()
    }

    /// Whether this policy knows a scope.
    pub(super) fn knows(&self, scope: &str) -> bool {
        self.scopes.contains_key(scope)
    }

    /// The sets that can hold rules for a question. No rule is in two of them.
    pub(super) fn matching(
        &self,
        scope: &str,
        vendor: &str,
        actor: &str,
    ) -> impl Iterator<Item = &PolicySet> {
        let keys = |names: &HashMap<String, Key>, name: &str| {
            [Some(ANY), names.get(name).copied()].into_iter().flatten()
        };
        let scopes = keys(&self.scopes, scope);
        let vendors = keys(&self.vendors, vendor);
        let actors = keys(&self.actors, actor);
        scopes
            .flat_map(move |s| vendors.clone().map(move |v| (s, v)))
            .flat_map(move |(s, v)| actors.clone().map(move |a| (s, v, a)))
            .filter_map(|place| self.places.get(&place))
    }

    /// Everything under "anything", to compare with.
    #[cfg(test)]
    pub(super) fn unsliced(&mut self, all: &PolicySet) {
        self.places = HashMap::from([((ANY, ANY, ANY), all.clone())]);
    }
}

fn number(names: &mut HashMap<String, Key>, name: &str) -> Key {
    let next = Key::try_from(names.len()).unwrap_or(ANY).saturating_add(1);
    *names.entry(name.to_owned()).or_insert(next)
}
