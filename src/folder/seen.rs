//! What can be seen of a folder without opening it: no key is read, nothing is written, and no row is
//! left. For whoever asks how things stand, or mistyped a name.

use super::{INSTANCE, OPERATOR, broken, copied, founded, ledger_path, opening, refuse_open_keys};
use crate::authority::identity::Omni;
use crate::authority::policy::{PolicyEngine, PolicySource};
use crate::ledger::{Offline, Standing};
use crate::problem::{Exit, Problem};
use std::path::Path;

/// How often a ledger that is closed or opened meanwhile is read again.
const TRIES: usize = 3;

/// A folder with an authority in it.
#[derive(Debug, Clone)]
pub struct Seen {
    /// The authority's name, `urn:agentkeys:<id>`.
    pub issuer: String,
    /// What its ledger holds.
    pub standing: Standing,
    /// Why it may not be served, when it is a copy of another.
    pub copied: Option<(&'static str, &'static str)>,
}

/// Names that an operator may have meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Aliases of actors.
    Actor,
    /// Vendors.
    Vendor,
    /// Scopes that the policy in force has an action for.
    Scope,
}

/// Looks at a folder, at a time in Unix milliseconds.
pub fn look(dir: &Path, now_ms: i64) -> Result<Seen, Problem> {
    founded(dir)?;
    refuse_open_keys(dir)?;
    let key = dir.join("keys/root.key");
    if !key.exists() {
        return Err(Problem::new(
            Exit::Config,
            "agentkeys.folder.root_key_unreadable",
            format!("the root key {} is not there", key.display()),
            "restore it from a backup: without this key nothing in the folder can be opened",
        ));
    }
    let path = ledger_path(dir);
    Offline::private(&path).map_err(|e| opening(dir, &e))?;
    let mut left = TRIES;
    loop {
        left -= 1;
        let ledger = Offline::open(&path).map_err(|e| opening(dir, &e))?;
        let seen = read(&ledger, now_ms);
        if ledger.undisturbed() || left == 0 {
            let (issuer, standing) = seen?;
            let copied = copied::is_copy(dir).then_some((copied::COPIED, copied::FIX));
            return Ok(Seen {
                issuer,
                standing,
                copied,
            });
        }
    }
}

fn read(ledger: &Offline, now_ms: i64) -> Result<(String, Standing), Problem> {
    let setting = |key| {
        let value = ledger.setting(key).map_err(|e| broken(&e.to_string()))?;
        value.ok_or_else(|| broken("the authority in it was never finished"))
    };
    let issuer = crate::authority::cap::issuer(&setting(INSTANCE)?);
    let operator: Omni = setting(OPERATOR)?
        .parse()
        .map_err(|_| broken("its operator id is damaged"))?;
    let standing = ledger.standing(operator.as_bytes(), now_ms);
    Ok((issuer, standing.map_err(|e| broken(&e.to_string()))?))
}

/// The names there are of a kind; none of a folder that cannot be read.
pub fn names(dir: &Path, kind: Kind) -> Vec<String> {
    let Ok(Ok(ledger)) = founded(dir).map(|()| Offline::open(&ledger_path(dir))) else {
        return Vec::new();
    };
    let names = match kind {
        Kind::Actor => ledger.actor_names(),
        Kind::Vendor => ledger.vendor_names(),
        Kind::Scope => ledger.policy().map(scopes),
    };
    names.unwrap_or_default()
}

fn scopes(policy: Option<String>) -> Vec<String> {
    let source = policy.and_then(|json| serde_json::from_str::<PolicySource>(&json).ok());
    let engine = source.and_then(|source| PolicyEngine::compile(&source).ok());
    let scopes = engine.iter().flat_map(PolicyEngine::scopes);
    scopes.map(str::to_owned).collect()
}
