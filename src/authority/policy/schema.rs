//! What rules may talk about: our entity types, our facts, and the scopes of this policy.
//!
//! Cedar's validation is worth only as much as the promise that requests look like the schema.
//! Requests are not checked one by one at decision time, so the schema is held to exactly what is
//! sent: a rule on a fact or a parent that never arrives would load, never apply, and open a hole.

use std::str::FromStr as _;

use cedar_policy::{
    Context, Entities, EntityId, EntityTypeName, EntityUid, RestrictedExpression, Schema,
    SchemaFragment,
};
use serde_json::{Map, Value, json};

use super::error::{PolicyError, PolicyErrorKind, line_of};
use super::source::{PolicySource, SCHEMA_FILE};
use super::{Amount, Question};

/// Scopes that calls ask about by name; a policy without them would deny memory and payments in
/// words that nobody expects.
const REQUIRED: [&str; 3] = ["memory.read", "memory.write", "payment.spend"];

/// A schema that matches what is sent.
pub(super) struct Facts {
    pub(super) schema: Schema,
    /// Scope names, sorted.
    pub(super) scopes: Vec<String>,
    /// Actions with their groups, for `action in Action::"group"`.
    pub(super) actions: Entities,
    pub(super) types: Types,
}

/// Names of entity types, parsed once.
pub(super) struct Types {
    pub(super) vendor: EntityTypeName,
    pub(super) actor: EntityTypeName,
    pub(super) action: EntityTypeName,
}

impl Types {
    /// An entity by type and name, without Cedar's parser: the name may be any text.
    pub(super) fn uid(kind: &EntityTypeName, name: &str) -> EntityUid {
        EntityUid::from_type_name_and_id(kind.clone(), EntityId::new(name))
    }
}

/// The facts of a question as Cedar's context. Cheap enough to build for each decision; attribute
/// names are those of `agentkeys.cedarschema`.
pub(super) fn context(q: &Question<'_>) -> Option<Context> {
    let long = RestrictedExpression::new_long;
    let text = |s: &str| RestrictedExpression::new_string(s.to_owned());
    let amount = match q.amount {
        Amount::Missing => "missing",
        Amount::Invalid => "invalid",
        Amount::Minor(_) => "given",
    };
    let always = [
        ("granted", RestrictedExpression::new_bool(q.granted)),
        ("rail", text(q.rail)),
        ("amount", text(amount)),
        ("currency", text(q.currency)),
        ("spent", long(q.spent_minor)),
        ("hour", long(i64::from(q.hour))),
        ("weekday", long(i64::from(q.weekday))),
    ];
    let sometimes = [
        ("namespace", q.namespace.map(text)),
        ("requested", q.amount.minor().map(long)),
        ("cap", q.cap_minor.map(long)),
    ];
    let sometimes = sometimes.into_iter().filter_map(|(k, v)| v.map(|v| (k, v)));
    let pairs = always.into_iter().chain(sometimes);
    Context::from_pairs(pairs.map(|(k, v)| (k.to_owned(), v))).ok()
}

fn wrong(what: impl Into<String>) -> PolicyError {
    PolicyError::new(
        PolicyErrorKind::Schema,
        SCHEMA_FILE,
        what,
        "start again from the default schema and add only actions",
    )
}

impl Facts {
    /// Reads the schema of a source and holds it to what is sent.
    pub(super) fn load(source: &PolicySource) -> Result<Self, PolicyError> {
        let text = source.schema()?;
        let scopes = check(
            &json_of(text)?,
            &json_of(PolicySource::builtin().schema()?)?,
        )?;
        let (schema, _) = Schema::from_cedarschema_str(text)
            .map_err(|e| wrong(e.to_string()).at(line_of(text, &e)))?;
        let actions = schema.action_entities().map_err(|e| wrong(e.to_string()))?;
        let name = |name| EntityTypeName::from_str(name).map_err(|e| wrong(e.to_string()));
        Ok(Self {
            schema,
            scopes,
            actions,
            types: Types {
                vendor: name("Vendor")?,
                actor: name("Actor")?,
                action: name("Action")?,
            },
        })
    }
}

fn json_of(text: &str) -> Result<Value, PolicyError> {
    let (fragment, _) = SchemaFragment::from_cedarschema_str(text)
        .map_err(|e| wrong(e.to_string()).at(line_of(text, &e)))?;
    fragment.to_json_value().map_err(|e| wrong(e.to_string()))
}

/// Compares a schema with the built-in one and returns its scopes.
fn check(schema: &Value, builtin: &Value) -> Result<Vec<String>, PolicyError> {
    let root = schema
        .as_object()
        .filter(|all| all.len() == 1)
        .and_then(|all| all.get(""))
        .ok_or_else(|| wrong("it has a namespace"))?;
    only(&root["entityTypes"], "entity type", &["Vendor", "Actor"])?;
    for name in ["Vendor", "Actor"] {
        if plain(&root["entityTypes"][name]) != plain(&builtin[""]["entityTypes"][name]) {
            return Err(wrong(format!(
                "entity {name} is declared with parents, attributes or tags, which are never sent"
            )));
        }
    }
    only(&root["commonTypes"], "type", &["Facts"])?;
    check_facts(
        &root["commonTypes"]["Facts"],
        &builtin[""]["commonTypes"]["Facts"]["attributes"],
    )?;
    check_actions(&root["actions"])
}

fn object(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

/// Neither more nor fewer names than these. More could shadow `String` or `Long`.
fn only(declared: &Value, kind: &str, names: &[&str]) -> Result<(), PolicyError> {
    for name in names {
        if declared.get(name).is_none() {
            return Err(wrong(format!("{kind} {name} is missing")));
        }
    }
    match object(declared).find(|(name, _)| !names.contains(&name.as_str())) {
        Some((name, _)) => Err(wrong(format!("{kind} {name} is not one that is sent"))),
        None => Ok(()),
    }
}

/// A declaration without its annotations.
fn plain(declaration: &Value) -> Map<String, Value> {
    let all = object(declaration).filter(|(key, _)| *key != "annotations");
    all.map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}

/// Every fact that is declared must be one that is sent, of the same type. Fewer is fine, so that a
/// policy kept by an older version still loads in one that sends more.
fn check_facts(facts: &Value, sent: &Value) -> Result<(), PolicyError> {
    let shape = plain(facts);
    if shape.keys().any(|key| key != "type" && key != "attributes")
        || facts["type"] != json!("Record")
    {
        return Err(wrong("type Facts is not a plain record"));
    }
    for (name, kind) in object(&facts["attributes"]) {
        if sent.get(name).map(plain) != Some(plain(kind)) {
            return Err(wrong(format!(
                "Facts.{name} is not a fact that is sent, or has another type"
            )));
        }
    }
    Ok(())
}

fn check_actions(actions: &Value) -> Result<Vec<String>, PolicyError> {
    let expected = json!({
        "principalTypes": ["Vendor"],
        "resourceTypes": ["Actor"],
        "context": {"type": "Facts"},
    });
    let mut scopes = Vec::new();
    for (name, action) in object(actions) {
        if !is_scope_name(name) {
            return Err(wrong(format!(
                "action {name:?}: a scope is at most 64 of a-z, 0-9, dot, dash and underscore"
            )));
        }
        let known = ["appliesTo", "memberOf"];
        if plain(action)
            .keys()
            .any(|key| !known.contains(&key.as_str()))
        {
            return Err(wrong(format!(
                "action {name} has attributes, which are never sent"
            )));
        }
        // An action that applies to nothing is a group of others, not a scope.
        match action.get("appliesTo") {
            None => {}
            Some(applies)
                if applies["principalTypes"] == json!([])
                    && applies["resourceTypes"] == json!([]) => {}
            Some(applies) if *applies == expected => scopes.push(name.clone()),
            Some(_) => {
                return Err(wrong(format!(
                    "action {name} must apply to principal: Vendor, resource: Actor, \
                     context: Facts"
                )));
            }
        }
    }
    scopes.sort_unstable();
    match REQUIRED
        .iter()
        .find(|name| !scopes.iter().any(|s| s == *name))
    {
        Some(name) => Err(wrong(format!("action {name} is missing"))),
        None => Ok(scopes),
    }
}

/// Wildcards and blanks in particular are not: `payment.*` is a pattern of grants, never a scope.
fn is_scope_name(name: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b".-_".contains(&b);
    !name.is_empty() && name.len() <= 64 && name.bytes().all(allowed)
}
