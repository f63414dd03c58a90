//! Who calls, and for whom. Neither can be made from strings: the fields are private and only
//! `authority` builds them, from a verified token and a binding (or, for the command line, from
//! having opened the data folder's root key).

use super::identity::{Alias, Omni};
use super::words::{Door, HostProfile, Namespace, NamespaceSet, Rail, Role, scope_matches};
use std::sync::Arc;

/// Proof that the caller may act for one actor. `ledger` and `vault` touch an actor's data only
/// when handed one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActorScope {
    actor: Omni,
    operator: Omni,
}

impl ActorScope {
    pub(in crate::authority) const fn new(actor: Omni, operator: Omni) -> Self {
        Self { actor, operator }
    }

    /// Whose data.
    pub const fn actor(&self) -> Omni {
        self.actor
    }

    /// The master whose data boundary that is.
    pub const fn operator(&self) -> Omni {
        self.operator
    }

    /// A scope for tests of the rooms that receive one.
    #[cfg(test)]
    pub(crate) const fn for_test(actor: Omni) -> Self {
        Self::new(actor, Omni::ZERO)
    }
}

/// An actor as the ledger knows it.
#[derive(Debug, Clone)]
pub struct Actor {
    /// Its id.
    pub omni: Omni,
    /// Its registered name.
    pub alias: Alias,
    /// A name for people.
    pub display_name: String,
    /// The node above it in the identity tree; none for a master.
    pub parent: Option<Omni>,
    /// `//label/generation`; none for a master.
    pub derivation_path: Option<String>,
    /// The wallet a master's omni comes from, `0x…`.
    pub wallet: Option<String>,
    /// The zone its day is counted in.
    pub zone: super::budget::Zone,
}

/// A parent's consent that a vendor may act for an actor.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Binding {
    /// Namespaces it may read.
    pub read: NamespaceSet,
    /// Namespaces it may write.
    pub write: NamespaceSet,
    /// Scopes granted: exact or `prefix.*`.
    pub scopes: Vec<String>,
    /// Scopes taken out of a wider grant; an exclusion wins.
    pub exclusions: Vec<String>,
    /// The vendor's limit against the actor's total of the day, in minor units.
    pub daily_cap_minor: Option<i64>,
    /// Currency of that limit.
    pub currency: String,
    /// Counts changes, so that a decision made on an older binding is made again.
    pub revision: i64,
    /// It stands although it grants nothing: its device was registered and nothing granted yet.
    /// Taking the last right back ends it.
    pub standing: bool,
}

impl Binding {
    /// Whether this consent covers `scope`.
    pub fn grants(&self, scope: &str) -> bool {
        let any = |list: &[String]| list.iter().any(|p| scope_matches(p, scope));
        any(&self.scopes) && !any(&self.exclusions)
    }
}

/// A vendor's host, authenticated and bound to the actor it speaks for.
#[derive(Debug, Clone)]
pub struct VendorCaller {
    /// The vendor's name.
    pub name: String,
    /// The rail its hosts are on.
    pub rail: Rail,
    /// The consent it acts under.
    pub binding: Binding,
    /// The actor it speaks for.
    pub actor: Arc<Actor>,
    /// The policy in force when it was let in.
    pub policy_version: i64,
}

/// What a caller is.
#[derive(Debug, Clone)]
pub enum Who {
    /// A vendor's host.
    Vendor(Box<VendorCaller>),
    /// The operator, at the command line or with an operator token.
    Operator,
    /// Reads all audit.
    Auditor,
    /// Reads the audit of its actor and those below, and changes their grants.
    Parent(Omni),
    /// Reads one actor's audit in some namespaces.
    Viewer(Omni, NamespaceSet),
    /// Holds a good token of this role; nothing more was asked.
    Known(Role, Option<super::ports::VendorRow>),
}

/// An authenticated caller.
#[derive(Debug, Clone)]
pub struct Principal {
    who: Who,
    token_id: Option<String>,
    scope: Option<ActorScope>,
    pub(in crate::authority) frame: Frame,
}

/// What a request says about itself that every event repeats.
#[derive(Debug, Clone)]
pub struct Frame {
    /// The way it came in.
    pub door: Door,
    /// How the host behind it is treated.
    pub profile: HostProfile,
    /// The MCP version it speaks, or what the door speaks instead.
    pub protocol: String,
    /// One id per request, in logs and events.
    pub request_id: String,
    /// When it came in, Unix milliseconds.
    pub at_ms: i64,
    /// When it came in on the monotonic clock, microseconds.
    pub started_us: u64,
}

impl Principal {
    pub(in crate::authority) const fn new(
        who: Who,
        token_id: Option<String>,
        scope: Option<ActorScope>,
        frame: Frame,
    ) -> Self {
        Self {
            who,
            token_id,
            scope,
            frame,
        }
    }

    /// What it is.
    pub const fn who(&self) -> &Who {
        &self.who
    }

    /// The token it came with; none at the command line.
    pub fn token_id(&self) -> Option<&str> {
        self.token_id.as_deref()
    }

    /// The actor it may act for, if it acts for one.
    pub const fn scope(&self) -> Option<&ActorScope> {
        self.scope.as_ref()
    }

    /// What the request says about itself.
    pub const fn frame(&self) -> &Frame {
        &self.frame
    }

    /// The vendor behind the call, if it is a vendor's.
    pub fn vendor(&self) -> Option<&VendorCaller> {
        match &self.who {
            Who::Vendor(caller) => Some(caller),
            _ => None,
        }
    }

    /// The vendor's name and rail, also where nothing more than the token was asked for.
    pub fn vendor_named(&self) -> Option<(String, Rail)> {
        match &self.who {
            Who::Vendor(caller) => Some((caller.name.clone(), caller.rail)),
            Who::Known(_, Some(vendor)) => Some((vendor.name.clone(), vendor.rail)),
            _ => None,
        }
    }

    /// Its role.
    pub const fn role(&self) -> Role {
        match self.who {
            Who::Vendor(_) => Role::Vendor,
            Who::Operator => Role::Operator,
            Who::Auditor => Role::Auditor,
            Who::Parent(_) => Role::Parent,
            Who::Viewer(..) => Role::Viewer,
            Who::Known(role, _) => role,
        }
    }
}

/// What a capability lets its holder do, after every check that makes it good: the only thing
/// the data path accepts besides an [`ActorScope`]. Verified again, field by field, where the
/// data is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedCap {
    scope: ActorScope,
    op: MemoryOp,
    namespace: Namespace,
    expires_ms: i64,
}

/// The two things a memory capability can be for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MemoryOp {
    /// Read.
    Get,
    /// Write.
    Put,
}

/// Why the data path refused a capability.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the capability does not cover this {0}")]
pub struct CapMismatch(pub &'static str);

impl VerifiedCap {
    pub(in crate::authority) const fn new(
        scope: ActorScope,
        op: MemoryOp,
        namespace: Namespace,
        expires_ms: i64,
    ) -> Self {
        Self {
            scope,
            op,
            namespace,
            expires_ms,
        }
    }

    /// A capability for tests of the data path.
    #[cfg(test)]
    pub(crate) const fn for_test(
        scope: ActorScope,
        op: MemoryOp,
        namespace: Namespace,
        expires_ms: i64,
    ) -> Self {
        Self::new(scope, op, namespace, expires_ms)
    }

    /// The actor it is for.
    pub const fn scope(&self) -> &ActorScope {
        &self.scope
    }

    /// Checks that it covers one operation on one actor's namespace now.
    pub fn covers(
        &self,
        op: MemoryOp,
        actor: Omni,
        namespace: Namespace,
        now_ms: i64,
    ) -> Result<(), CapMismatch> {
        if self.op != op {
            return Err(CapMismatch("operation"));
        }
        if self.scope.actor != actor {
            return Err(CapMismatch("actor"));
        }
        if self.namespace != namespace {
            return Err(CapMismatch("namespace"));
        }
        if now_ms >= self.expires_ms {
            return Err(CapMismatch("time"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exclusion_wins_over_a_wider_grant() {
        let binding = Binding {
            scopes: vec!["payment.*".into()],
            exclusions: vec!["payment.spend".into()],
            ..Binding::default()
        };
        assert!(binding.grants("payment.subscribe"));
        assert!(!binding.grants("payment.spend"));
        assert!(!binding.grants("memory.read"));
    }

    #[test]
    fn a_capability_covers_exactly_what_it_names() {
        let actor = Omni::from_bytes([1; 32]);
        let cap = VerifiedCap::for_test(
            ActorScope::for_test(actor),
            MemoryOp::Get,
            Namespace::Travel,
            1_000,
        );
        let check = |op, actor, ns, now| cap.covers(op, actor, ns, now).map_err(|m| m.0);
        assert_eq!(check(MemoryOp::Get, actor, Namespace::Travel, 999), Ok(()));
        assert_eq!(
            check(MemoryOp::Put, actor, Namespace::Travel, 999),
            Err("operation")
        );
        assert_eq!(
            check(MemoryOp::Get, Omni::ZERO, Namespace::Travel, 999),
            Err("actor")
        );
        assert_eq!(
            check(MemoryOp::Get, actor, Namespace::Family, 999),
            Err("namespace")
        );
        assert_eq!(
            check(MemoryOp::Get, actor, Namespace::Travel, 1_000),
            Err("time")
        );
    }
}
