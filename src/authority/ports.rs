//! What `authority` needs from the rooms that keep things, as data and traits. It knows none of
//! their implementations; an adapter to other services implements these and changes nothing here.

mod anchor;
mod log;

pub use anchor::{AnchorDesk, AnchorLog, KeptAnchor, WhichAnchor};
pub use log::{
    KeptCheckpoint, Lease, LogKeys, LogOrigin, LogState, PublishedKey, SealedLog, WhichCheckpoint,
};

use super::actor_jwt::{ActorClaims, JwtError};
use super::budget::Zone;
use super::device::{DeviceId, DeviceRow, DeviceState, ListedDevice, PairingRow};
use super::event::Event;
use super::identity::Omni;
use super::jws::SignError;
use super::jws::key::Jwk;
use super::principal::{Actor, ActorScope, Binding, VerifiedCap};
use super::words::{HostProfile, Namespace, NamespaceSet, Rail, Role};
use crate::secret::Secret;
use std::future::Future;
use std::pin::Pin;

/// A boxed future, so that the ports can be trait objects.
pub type Later<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Wall and monotonic time.
pub trait Clock: Send + Sync {
    /// Unix time in milliseconds.
    fn now_ms(&self) -> i64;
    /// Monotonic microseconds since some fixed point.
    fn monotonic_us(&self) -> u64;
}

/// Randomness.
pub trait Entropy: Send + Sync {
    /// Fills `bytes` with unpredictable bytes.
    fn fill(&self, bytes: &mut [u8]);
}

/// Why the ledger could not answer. Never says what is in it.
#[derive(Debug, Clone, thiserror::Error)]
pub enum LedgerError {
    /// The queue in front of the writer is full.
    #[error("the ledger's queue is full")]
    Full,
    /// It could not read or could not make durable.
    #[error("the ledger failed: {0}")]
    Failed(String),
}

/// Which queue a Unit waits in: strangers may never cost a customer an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lane {
    /// A caller with a valid token, or the operator.
    Customer,
    /// A refused stranger: at most a quarter of a batch, and its own limit.
    Stranger,
}

/// How an actor is named in a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ActorName<'a> {
    /// By id.
    Omni(Omni),
    /// By registered name.
    Alias(&'a str),
}

/// Everything read to decide who is calling, in one statement.
#[derive(Debug, Clone)]
pub struct Admission {
    /// The versions of what compiled caches are keyed by.
    pub heads: Heads,
    /// The token, if there is one of that id.
    pub token: Option<TokenRow>,
    /// The actor named, or else the token's own.
    pub actor: Option<Actor>,
    /// The binding between that token's vendor and that actor.
    pub binding: Option<Binding>,
}

/// Versions that change when something compiled or unsealed from the ledger must be read again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Heads {
    /// The policy in force.
    pub policy_version: i64,
}

/// A token as stored: never its secret.
#[derive(Debug, Clone)]
pub struct TokenRow {
    /// Public id.
    pub id: String,
    /// SHA-256 of the secret.
    pub hash: [u8; 32],
    /// What its bearer is.
    pub role: Role,
    /// The vendor it belongs to.
    pub vendor: Option<VendorRow>,
    /// The actor it is pinned to.
    pub actor: Option<Omni>,
    /// What a viewer may see.
    pub namespaces: NamespaceSet,
    /// When it was made, Unix milliseconds.
    pub created_ms: i64,
    /// When it ends.
    pub expires_ms: i64,
    /// When it was revoked.
    pub revoked_ms: Option<i64>,
    /// When it was last used, to the minute.
    pub last_used_ms: Option<i64>,
    /// The token that took its place.
    pub replaced_by: Option<String>,
    /// The vendor's device it was signed for: such a token is a JWT, and `hash` is that of its
    /// whole text.
    pub device: Option<DeviceId>,
    /// Whether it is for xiaozhi's MCP endpoint, and opens no other door.
    pub endpoint: bool,
}

/// A vendor as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VendorRow {
    /// Its name.
    pub name: String,
    /// The rail it sits on.
    pub rail: Rail,
    /// How its hosts are treated.
    pub profile: HostProfile,
}

/// What an erasable salt covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Slot {
    /// The memory of one namespace.
    Memory(Namespace),
    /// What the actor's agents stated for the record.
    Statements,
}

impl Slot {
    /// As stored and as bound into sealed data.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Memory(namespace) => namespace.as_str(),
            Self::Statements => "statements",
        }
    }
}

/// The erasable salt of one slot of an actor.
#[derive(Debug, Clone)]
pub struct Salt {
    /// Counts erasures.
    pub epoch: u32,
    /// 32 random bytes; destroying them is erasure.
    pub bytes: Secret<[u8; 32]>,
}

/// The state of a slot's salt.
#[derive(Debug, Clone, Default)]
pub struct SaltFacts {
    /// The salt, once something was written and not erased.
    pub salt: Option<Salt>,
    /// The epoch the next salt gets.
    pub next_epoch: u32,
}

/// One kept version of a memory: where its sealed object is, never what it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Counts from 1.
    pub version: u64,
    /// The event that wrote it; part of the object's name and of its authenticated data.
    pub event_id: String,
    /// Name of the sealed object.
    pub object_key: String,
    /// Length of the text in bytes.
    pub length: u64,
    /// Length of the sealed object in bytes.
    pub envelope_size: u64,
    /// Keyed tag of the text, equal for equal texts of one actor's namespace and epoch.
    pub tag: [u8; 32],
    /// Keyed tag of the piece that was appended; equals `tag` for a replacement.
    pub piece_tag: [u8; 32],
    /// Epoch of the salt it is sealed under.
    pub epoch: u32,
    /// The token that wrote it.
    pub token_id: Option<String>,
    /// When, Unix milliseconds.
    pub written_ms: i64,
    /// Whether it was an append.
    pub appended: bool,
}

/// What a memory call decides on.
#[derive(Debug, Clone, Default)]
pub struct MemoryFacts {
    /// The salt of its slot.
    pub salt: SaltFacts,
    /// The highest version ever given, also over an erasure.
    pub last_version: u64,
    /// The current version.
    pub current: Option<Stored>,
    /// The version asked for.
    pub wanted: Option<Stored>,
    /// The last piece the asking token appended.
    pub last_piece: Option<Stored>,
}

/// What reading a statement decides on.
#[derive(Debug, Clone, Default)]
pub struct StatementFacts {
    /// The salt of the actor's statements.
    pub salt: SaltFacts,
    /// What was kept, sealed; none once it is erased.
    pub sealed: Option<Vec<u8>>,
}

/// Money set aside for an accepted spend.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Reservation {
    /// The decision that made it.
    pub decision_id: String,
    /// The vendor it was made for.
    pub vendor: String,
    /// The scope it counts under.
    pub scope: String,
    /// The actor's local date.
    pub day: String,
    /// Minor units.
    pub amount_minor: i64,
    /// Currency.
    pub currency: String,
    /// The caller's own reference.
    pub reference: Option<String>,
    /// `reserved`, `redeemed` or `released`.
    pub state: String,
}

/// What a spend decides on.
#[derive(Debug, Clone, Default)]
pub struct SpendFacts {
    /// Reserved and not released, over all vendors, on that day.
    pub spent_minor: i64,
    /// The reservation under the same reference that was not released.
    pub same_reference: Option<Reservation>,
    /// The reservation a decision made.
    pub by_decision: Option<Reservation>,
}

/// A minted cap as stored.
#[derive(Debug, Clone)]
pub struct CapRow {
    /// `jti`.
    pub cap_id: String,
    /// Vendor it was minted for.
    pub vendor: String,
    /// The token that minted it.
    pub token_id: String,
    /// Operation.
    pub op: String,
    /// When it ends, Unix seconds.
    pub exp: u64,
    /// When it was revoked.
    pub revoked_ms: Option<i64>,
    /// The grant it rests on: `payment.spend`, `memory.read:travel`, …
    pub grant: String,
    /// The answer its spending got, as JSON.
    pub spent: Option<String>,
    /// Whether the token that minted it is still good: neither revoked nor expired.
    pub token_live: bool,
}

/// A change to be made durable together with its event. Data, never a closure: the ledger tests
/// the guards inside the transaction, in commit order, and writes the matching event.
#[derive(Debug)]
pub struct Unit {
    /// Tested in order; the first that fails decides.
    pub guards: Vec<Guard>,
    /// Applied when every guard holds.
    pub effects: Vec<Effect>,
    /// The row for that.
    pub event: Event,
}

/// Told of each row this process wrote, once it is durable, one after the other: it must not wait.
pub trait Meter: Send + Sync {
    /// A row was written.
    fn wrote(&self, event: &Event);
}

/// A condition, and the row to write when it does not hold.
#[derive(Debug)]
pub struct Guard {
    /// The condition.
    pub test: Test,
    /// The refusal's row; none means the facts were stale and the call is decided again.
    pub refused: Option<Event>,
}

impl Guard {
    /// A guard whose failure means: read again, decide again.
    pub const fn fresh(test: Test) -> Self {
        Self {
            test,
            refused: None,
        }
    }
}

/// A condition the ledger tests inside its transaction.
#[derive(Debug, Clone)]
pub enum Test {
    /// The binding has not changed since it was read.
    BindingIs {
        /// Whose.
        scope: ActorScope,
        /// With which vendor.
        vendor: String,
        /// The revision read; 0 means there was none.
        revision: i64,
    },
    /// The consent and the token a call was let in with are still what they were: one look-up,
    /// because nearly every call asks it.
    StillBound {
        /// For whom it acts.
        scope: ActorScope,
        /// Which vendor does.
        vendor: String,
        /// The binding's revision.
        revision: i64,
        /// The token's id.
        token_id: String,
        /// Now.
        at_ms: i64,
    },
    /// The token is neither revoked nor expired. Revoked is revoked: from when does not matter.
    TokenLive {
        /// Its id.
        id: String,
        /// Now.
        at_ms: i64,
    },
    /// The token is neither revoked nor expired, and no other has taken its place.
    TokenNotReplaced {
        /// Its id.
        id: String,
        /// Now.
        at_ms: i64,
    },
    /// The highest version given in a namespace is still this.
    VersionIs {
        /// Whose.
        scope: ActorScope,
        /// Where.
        namespace: Namespace,
        /// 0 before the first.
        version: u64,
    },
    /// A salt is still of this epoch; none before the first write.
    SaltIs {
        /// Whose.
        scope: ActorScope,
        /// Of what.
        slot: Slot,
        /// Its epoch.
        epoch: Option<u32>,
    },
    /// The day's sum with `add_minor` stays within the limit.
    BudgetBelow {
        /// Whose day.
        scope: ActorScope,
        /// The scope it counts under.
        spend_scope: String,
        /// Currency.
        currency: String,
        /// The actor's local date.
        day: String,
        /// What is to be added.
        add_minor: i64,
        /// What must not be passed.
        limit_minor: i64,
    },
    /// No reservation has this reference, except released ones.
    ReferenceFree {
        /// Whose.
        scope: ActorScope,
        /// Which vendor's reference.
        vendor: String,
        /// Under which scope.
        spend_scope: String,
        /// On which day.
        day: String,
        /// The reference.
        reference: String,
    },
    /// The reservation is in this state.
    ReservationIs {
        /// Its decision.
        decision_id: String,
        /// Its state.
        state: &'static str,
    },
    /// The cap is neither revoked nor spent.
    CapUnspent {
        /// Its id.
        cap_id: String,
    },
    /// No row of that kind has this name.
    NameFree {
        /// `actor` or `vendor`.
        kind: &'static str,
        /// The name.
        name: String,
    },
    /// No actor has this id.
    OmniFree(Omni),
    /// The actor's days are still counted in this zone, or will be.
    ZoneIs {
        /// Whose.
        scope: ActorScope,
        /// The zone, with the one before it.
        zone: Zone,
    },
    /// The policy in force is this version.
    PolicyIs(i64),
    /// A pairing code can be used by this vendor: it is neither used nor over.
    PairingOpen {
        /// Its hash.
        code_hash: [u8; 32],
        /// Who brings it.
        vendor: String,
        /// Now.
        at_ms: i64,
    },
    /// A device is as it was read.
    DeviceIs {
        /// Whose.
        vendor: String,
        /// Which.
        id: DeviceId,
        /// Its state; none for one that was never registered.
        state: Option<DeviceState>,
    },
    /// No root in this transaction of a chain is kept.
    AnchorIsNew {
        /// EIP-155 chain id.
        chain_id: u64,
        /// Its hash.
        transaction: [u8; 32],
    },
    /// The log is still signed under the origin of this number; 0 before the first.
    LogIs(u32),
    /// The newest key of a ring is this one.
    NewestKeyIs {
        /// Which ring.
        purpose: &'static str,
        /// Its id; none when the ring is empty.
        kid: Option<String>,
    },
}

/// A change.
#[derive(Debug, Clone)]
pub enum Effect {
    /// A memory's next version.
    PutMemory {
        /// Whose.
        scope: ActorScope,
        /// Where.
        namespace: Namespace,
        /// What is kept.
        stored: Stored,
    },
    /// A salt, before the first write of an epoch.
    UseSalt {
        /// Whose.
        scope: ActorScope,
        /// Of what.
        slot: Slot,
        /// The salt.
        salt: Salt,
    },
    /// An agent's own statement, sealed; its event carries only tag and length.
    KeepStatement {
        /// Whose.
        scope: ActorScope,
        /// The event that mentions it.
        event_id: String,
        /// Sealed under the actor's statement salt.
        sealed: Vec<u8>,
    },
    /// Destroys a salt, and with it everything sealed under it; pointers and history go too.
    Erase {
        /// Whose.
        scope: ActorScope,
        /// Of what.
        slot: Slot,
    },
    /// Sets money aside.
    Reserve {
        /// Whose day.
        scope: ActorScope,
        /// The reservation.
        reservation: Reservation,
    },
    /// Moves a reservation to another state.
    SetReservation {
        /// Its decision.
        decision_id: String,
        /// `redeemed` or `released`.
        state: &'static str,
    },
    /// Remembers a minted cap.
    MintCap {
        /// Whose.
        scope: ActorScope,
        /// The cap.
        cap: CapRow,
    },
    /// Takes a cap back.
    RevokeCap {
        /// Its id.
        cap_id: String,
        /// When.
        at_ms: i64,
    },
    /// Takes back the live caps of an actor that rest on these grants.
    RevokeCapsOn {
        /// Whose.
        scope: ActorScope,
        /// Only this vendor's; every vendor's when none.
        vendor: Option<String>,
        /// The grants that went away.
        grants: Vec<String>,
        /// When.
        at_ms: i64,
    },
    /// Marks a cap as spent.
    SpendCap {
        /// Its id.
        cap_id: String,
        /// With which answer, as JSON.
        answer: String,
    },
    /// A new vendor.
    AddVendor(VendorRow),
    /// A new token.
    AddToken(TokenRow),
    /// Ends a token, and every live cap it minted.
    RevokeToken {
        /// Its id.
        id: String,
        /// When.
        at_ms: i64,
    },
    /// Lets a token end early because another takes its place.
    ReplaceToken {
        /// The old one.
        id: String,
        /// The new one.
        by: String,
        /// When the old one ends.
        valid_until_ms: i64,
    },
    /// A new actor.
    AddActor {
        /// The actor.
        actor: Actor,
        /// Its place among its siblings.
        generation: u32,
    },
    /// What an actor is called, and how its days are counted, from now on.
    SetActor {
        /// Which.
        scope: ActorScope,
        /// A name for people; as it was when none.
        display_name: Option<String>,
        /// The zone of its days; as it was when none.
        zone: Option<Zone>,
    },
    /// A binding as it is from now on.
    SetBinding {
        /// Whose.
        scope: ActorScope,
        /// With which vendor.
        vendor: String,
        /// The consent; its `revision` is the new one.
        binding: Binding,
    },
    /// A policy that is in force from now on.
    ApplyPolicy {
        /// Its version.
        version: i64,
        /// SHA-256 of its source.
        hash: [u8; 32],
        /// The source as JSON.
        source: String,
        /// When.
        at_ms: i64,
    },
    /// A sealed key.
    AddKey(SealedKey),
    /// Another name for the log: what is signed from now on is signed under it.
    BeginLog {
        /// The name.
        origin: LogOrigin,
        /// When.
        at_ms: i64,
    },
    /// A root that is on a chain; the anchor's record of it being on its way goes.
    KeepAnchor(Box<KeptAnchor>),
    /// The bodies of all events before a place count as gone, and are removed from then on.
    PruneEvents {
        /// The first that stays.
        until: u64,
    },
    /// A parent's consent that waits for a device; those that are long over go.
    AddPairing {
        /// What was consented to.
        pairing: PairingRow,
        /// Now.
        at_ms: i64,
    },
    /// Uses a pairing code up.
    UsePairing {
        /// Its hash.
        code_hash: [u8; 32],
        /// When.
        at_ms: i64,
    },
    /// A device as it is from now on, its generation above the one before.
    SetDevice(DeviceRow),
    /// Takes a device away.
    RemoveDevice {
        /// Whose.
        vendor: String,
        /// Which.
        id: DeviceId,
        /// When.
        at_ms: i64,
    },
}

/// A key in a ring, sealed under the root key.
#[derive(Debug, Clone)]
pub struct SealedKey {
    /// `cap`, `vault`, …
    pub purpose: String,
    /// Its id.
    pub kid: String,
    /// Sealed under the root key.
    pub sealed: Vec<u8>,
    /// When it was made, Unix milliseconds.
    pub created_ms: i64,
}

/// How a commit ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Committed {
    /// Effects and event are durable.
    Done {
        /// The event's place in the log.
        seq: u64,
    },
    /// A guard did not hold; its refusal is durable and nothing else happened.
    Refused {
        /// Which guard.
        guard: usize,
        /// The refusal's place in the log.
        seq: u64,
    },
    /// A guard without a refusal did not hold; nothing happened.
    Stale,
}

/// An event with its place, as read back.
#[derive(Debug, Clone)]
pub struct LoggedEvent {
    /// Place in the log, from 0, without gaps, in commit order.
    pub seq: u64,
    /// The exact envelope bytes.
    pub envelope: Vec<u8>,
}

/// Which events a reader is allowed to see. Only `authority` makes one.
#[derive(Debug, Clone)]
pub enum AuditReach {
    /// All of them.
    All(AuditProof),
    /// Those of these actors.
    Actors(Vec<Omni>, AuditProof),
}

/// Cannot be made outside `authority`.
#[derive(Debug, Clone)]
pub struct AuditProof(());

impl AuditProof {
    pub(in crate::authority) const fn new() -> Self {
        Self(())
    }

    /// A proof for tests of the ledger.
    #[cfg(test)]
    pub(crate) const fn for_test() -> Self {
        Self(())
    }
}

/// What to look for in the log.
#[derive(Debug, Clone, Default)]
pub struct EventFilter {
    /// From this place on.
    pub from_seq: Option<u64>,
    /// Before this place.
    pub until_seq: Option<u64>,
    /// Of this actor.
    pub actor: Option<Omni>,
    /// Of this vendor.
    pub vendor: Option<String>,
    /// Of this rail.
    pub rail: Option<Rail>,
    /// Of this tool.
    pub tool: Option<String>,
    /// With this verdict.
    pub verdict: Option<String>,
    /// In this namespace.
    pub namespace: Option<Namespace>,
    /// Not before, Unix milliseconds.
    pub since_ms: Option<i64>,
    /// Before, Unix milliseconds.
    pub until_ms: Option<i64>,
    /// At most this many.
    pub limit: u32,
    /// The newest that match instead of the oldest (still given oldest first).
    pub newest: bool,
}

/// The durable record: facts to decide on, Units to commit, events to read.
pub trait Ledger: Send + Sync {
    /// Reads who is calling, in one statement whether or not anything is found.
    fn admission<'a>(
        &'a self,
        token_id: &'a str,
        actor: Option<ActorName<'a>>,
    ) -> Later<'a, Result<Admission, LedgerError>>;
    /// Reads what a memory call decides on.
    fn memory<'a>(
        &'a self,
        scope: &'a ActorScope,
        namespace: Namespace,
        version: Option<u64>,
        token_id: Option<&'a str>,
    ) -> Later<'a, Result<MemoryFacts, LedgerError>>;
    /// The salt of a slot.
    fn salt<'a>(
        &'a self,
        scope: &'a ActorScope,
        slot: Slot,
    ) -> Later<'a, Result<SaltFacts, LedgerError>>;
    /// What an actor's agent stated for the record in an event.
    fn statement<'a>(
        &'a self,
        scope: &'a ActorScope,
        event_id: &'a str,
    ) -> Later<'a, Result<StatementFacts, LedgerError>>;
    /// Every kept version of a namespace, newest first.
    fn history<'a>(
        &'a self,
        scope: &'a ActorScope,
        namespace: Namespace,
    ) -> Later<'a, Result<Vec<Stored>, LedgerError>>;
    /// Reads what a spend decides on.
    fn spend<'a>(
        &'a self,
        scope: &'a ActorScope,
        query: SpendQuery<'a>,
    ) -> Later<'a, Result<SpendFacts, LedgerError>>;
    /// The reservations of an actor's day.
    fn reservations<'a>(
        &'a self,
        scope: &'a ActorScope,
        day: &'a str,
    ) -> Later<'a, Result<Vec<Reservation>, LedgerError>>;
    /// A cap of an actor; whether its token is good is as of `now_ms`.
    fn cap<'a>(
        &'a self,
        scope: &'a ActorScope,
        cap_id: &'a str,
        now_ms: i64,
    ) -> Later<'a, Result<Option<CapRow>, LedgerError>>;
    /// Ids and ends of revoked caps that have not expired.
    fn revoked_caps(&self, now_s: u64) -> Later<'_, Result<Vec<(String, u64)>, LedgerError>>;
    /// The versions compiled caches are keyed by.
    fn heads(&self) -> Later<'_, Result<Heads, LedgerError>>;
    /// The source of a policy version, as JSON.
    fn policy(&self, version: i64) -> Later<'_, Result<Option<String>, LedgerError>>;
    /// The keys of a ring, oldest first.
    fn keys<'a>(&'a self, purpose: &'a str) -> Later<'a, Result<Vec<SealedKey>, LedgerError>>;
    /// A key of a ring.
    fn key<'a>(
        &'a self,
        purpose: &'a str,
        kid: &'a str,
    ) -> Later<'a, Result<Option<SealedKey>, LedgerError>>;
    /// The pairing code with this hash, whatever became of it.
    fn pairing<'a>(
        &'a self,
        code_hash: &'a [u8; 32],
    ) -> Later<'a, Result<Option<PairingRow>, LedgerError>>;
    /// A vendor's device, also one that was taken away.
    fn device<'a>(
        &'a self,
        vendor: &'a str,
        id: &'a DeviceId,
    ) -> Later<'a, Result<Option<DeviceRow>, LedgerError>>;
    /// Every device, or every one of a vendor.
    fn devices<'a>(
        &'a self,
        vendor: Option<&'a str>,
    ) -> Later<'a, Result<Vec<ListedDevice>, LedgerError>>;
    /// Every actor.
    fn actors(&self) -> Later<'_, Result<Vec<Actor>, LedgerError>>;
    /// An actor and everything below it.
    fn subtree(&self, root: Omni) -> Later<'_, Result<Vec<Omni>, LedgerError>>;
    /// Every vendor.
    fn vendors(&self) -> Later<'_, Result<Vec<VendorRow>, LedgerError>>;
    /// Every token.
    fn tokens(&self) -> Later<'_, Result<Vec<TokenRow>, LedgerError>>;
    /// An actor's bindings by vendor.
    fn bindings<'a>(
        &'a self,
        scope: &'a ActorScope,
    ) -> Later<'a, Result<Vec<(String, Binding)>, LedgerError>>;
    /// Commits a Unit and answers when it is durable.
    fn commit(&self, unit: Unit, lane: Lane) -> Later<'_, Result<Committed, LedgerError>>;
    /// Tells a meter of each row from now on, once it is durable. Only the first meter is told.
    fn metered_by(&self, meter: std::sync::Arc<dyn Meter>);
    /// Notes that a token was used. Not a decision, so it leaves no row and waits for no sync.
    fn touch_token<'a>(
        &'a self,
        token_id: &'a str,
        at_ms: i64,
    ) -> Later<'a, Result<(), LedgerError>>;
    /// Reads events, oldest first. What is looked through is what there is when it begins.
    fn events<'a>(
        &'a self,
        reach: &'a AuditReach,
        filter: &'a EventFilter,
    ) -> Later<'a, Result<Vec<LoggedEvent>, LedgerError>>;
    /// One event by its id.
    fn event<'a>(
        &'a self,
        reach: &'a AuditReach,
        event_id: &'a str,
    ) -> Later<'a, Result<Option<LoggedEvent>, LedgerError>>;
    /// How many events there are; changes wake feeds.
    fn log_size(&self) -> Later<'_, Result<u64, LedgerError>>;
    /// A receiver of the log's size, whoever wrote, in this process or another.
    fn watch(&self) -> tokio::sync::watch::Receiver<u64>;
}

/// Which spend facts.
#[derive(Debug, Clone, Copy)]
pub struct SpendQuery<'a> {
    /// Scope it counts under.
    pub spend_scope: &'a str,
    /// Currency.
    pub currency: &'a str,
    /// The actor's local date.
    pub day: &'a str,
    /// The asking vendor.
    pub vendor: &'a str,
    /// Its reference.
    pub reference: Option<&'a str>,
    /// A decision to look up.
    pub decision_id: Option<&'a str>,
}

/// Why an object could not be kept or read.
#[derive(Debug, Clone, thiserror::Error)]
pub enum VaultError {
    /// The cap does not cover what is asked of it.
    #[error(transparent)]
    Cap(#[from] super::principal::CapMismatch),
    /// The object is not the one that was written there.
    #[error("the object does not belong where it was found")]
    Integrity,
    /// The object is not there.
    #[error("the object is missing")]
    Missing,
    /// The storage failed.
    #[error("the object store failed: {0}")]
    Failed(String),
}

/// What an object is bound to; changing any of it makes it unreadable.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// Whose.
    pub actor: Omni,
    /// Where.
    pub namespace: Namespace,
    /// Which version.
    pub version: u64,
    /// The event that wrote it.
    pub event_id: &'a str,
    /// The salt it is sealed under.
    pub salt: &'a Salt,
}

/// What keeping an object came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Name of the object.
    pub object_key: String,
    /// Its sealed length in bytes.
    pub envelope_size: u64,
}

/// Memory objects. The memory worker's own RPCs (`formats/agentkeys.md` §5) fit behind it.
pub trait Vault: Send + Sync {
    /// Seals and keeps a text; durable when it answers, invisible until its pointer commits.
    fn put<'a>(
        &'a self,
        cap: &'a VerifiedCap,
        place: Place<'a>,
        text: &'a [u8],
        now_ms: i64,
    ) -> Later<'a, Result<Kept, VaultError>>;
    /// Reads a text back.
    fn get<'a>(
        &'a self,
        cap: &'a VerifiedCap,
        place: Place<'a>,
        object_key: &'a str,
        now_ms: i64,
    ) -> Later<'a, Result<Vec<u8>, VaultError>>;
    /// Seals what is kept in the ledger itself (statements), bound to its event.
    fn seal(
        &self,
        scope: &ActorScope,
        salt: &Salt,
        event_id: &str,
        text: &[u8],
    ) -> Result<Vec<u8>, VaultError>;
    /// Opens what [`Vault::seal`] made for the same actor, salt and event.
    fn unseal(
        &self,
        scope: &ActorScope,
        salt: &Salt,
        event_id: &str,
        sealed: &[u8],
    ) -> Result<Vec<u8>, VaultError>;
    /// Removes what an erased or never committed pointer left.
    fn remove<'a>(&'a self, object_key: &'a str) -> Later<'a, Result<(), VaultError>>;
}

/// Signs and checks caps. The broker's cap RPCs fit behind it.
pub trait CapAuthority: Send + Sync {
    /// Signs claims into the cap's text.
    fn sign(&self, claims: &super::cap::CapClaims) -> Result<String, SignError>;
    /// Signs the list of caps that were taken back.
    fn sign_revoked(&self, list: &super::cap::RevokedList<'_>) -> Result<String, SignError>;
    /// Checks a cap's text, offline.
    fn verify(&self, text: &str, now_s: u64)
    -> Result<super::cap::CapClaims, super::cap::CapError>;
    /// The public keys that verify them, as JWKs.
    fn public_keys(&self) -> Vec<Jwk>;
}

/// Signs and checks the JWTs of devices' actors. Its keys are read when they are asked for: a
/// rotation by another process holds from the next call on. A broker's session JWTs fit behind it.
pub trait ActorTokens: Send + Sync {
    /// Signs claims with the newest key.
    fn sign<'a>(
        &'a self,
        claims: &'a ActorClaims,
    ) -> Later<'a, Result<Result<String, SignError>, LedgerError>>;
    /// Checks who signed a text. Whether it still holds is its row's to say.
    fn verify<'a>(
        &'a self,
        text: &'a str,
    ) -> Later<'a, Result<Result<ActorClaims, JwtError>, LedgerError>>;
    /// The public keys that verify them, as JWKs.
    fn public_keys(&self) -> Later<'_, Result<Vec<Jwk>, LedgerError>>;
    /// A new key for the ring, sealed.
    fn fresh_key(&self, now_ms: i64) -> Result<SealedKey, SignError>;
}
