//! The one that decides. `perform` is the only way to any effect, whatever door a call came
//! through: load the facts, decide, commit effect and event together, only then answer.
//!
//! This room knows no storage and no protocol: `ports` says what it needs, others implement it.
//! It must never take an actor's id as a string and return that actor's data.

pub mod actor_jwt;
pub mod admit;
pub mod budget;
pub mod calls;
pub mod cap;
pub mod device;
pub mod event;
pub mod found;
pub mod identity;
pub mod inspect;
pub mod jws;
pub mod keys;
pub mod limits;
pub mod policy;
pub mod ports;
pub mod principal;
pub mod refusal;
mod reload;
pub mod sealed;
pub mod token;
pub mod words;

pub use calls::{Answer, Call};
use event::{Event, Row, Subject};
use limits::{Buckets, Folds, Rate};
use parking_lot::Mutex;
use policy::{PolicyEngine, PolicySource};
use ports::{
    ActorTokens, CapAuthority, Clock, Committed, Entropy, Guard, Lane, Later, Ledger, LedgerError,
    LogKeys, SealedLog, Unit, Vault,
};
use principal::Principal;
pub use refusal::{Cause, Refusal};
use std::collections::HashMap;
use std::sync::Arc;

/// What a call came to, durable already.
#[derive(Debug)]
pub struct Outcome {
    /// The answer.
    pub answer: Answer,
    /// The id of its row.
    pub event_id: String,
}

/// Bounds an operator sets.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Calls per token and actor; those of readers, who name no actor, per token.
    pub calls: Rate,
    /// Refusals per token.
    pub refusals: Rate,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            calls: Rate {
                per_second: 20,
                burst: 100,
            },
            refusals: Rate {
                per_second: 10,
                burst: 1_000,
            },
        }
    }
}

/// Everything the authority is made of.
pub struct Parts {
    /// Facts, Units, events.
    pub ledger: Arc<dyn Ledger>,
    /// Memory objects.
    pub vault: Arc<dyn Vault>,
    /// Signs and checks caps.
    pub caps: Arc<dyn CapAuthority>,
    /// Signs and checks the JWTs of devices' actors.
    pub tokens: Arc<dyn ActorTokens>,
    /// The tree over the log, and what was signed of it.
    pub log: Arc<dyn SealedLog>,
    /// The keys that sign it.
    pub log_keys: Arc<dyn LogKeys>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub entropy: Arc<dyn Entropy>,
    /// The operator's master omni.
    pub operator: identity::Omni,
    /// `urn:agentkeys:<instance>`.
    pub issuer: String,
    /// Bounds.
    pub limits: Limits,
}

/// How long a verifier may use a list of revoked caps: the longest a payment cap lives.
const REVOKED_LIST_TTL_S: u64 = 60;

/// How many wrong pairing codes a token may bring at once, and in how many seconds it gets one
/// back: in the ten minutes a code lives, about twenty of two to the 51st.
const WRONG_CODES: u32 = 10;
const WRONG_CODE_EVERY_S: u32 = 60;

/// The authority.
pub struct Authority {
    parts: Parts,
    calls: Buckets,
    refusals: Buckets,
    /// Wrong pairing codes, by token.
    tries: Buckets,
    folds: Folds,
    /// Compiled policies by version; a version never changes, and which one is in force is read
    /// from the ledger on every call.
    engines: Mutex<HashMap<i64, Arc<PolicyEngine>>>,
}

impl Authority {
    /// Puts the parts together.
    pub fn new(parts: Parts) -> Self {
        Self {
            calls: Buckets::new(parts.limits.calls),
            refusals: Buckets::new(parts.limits.refusals),
            tries: Buckets::slow(WRONG_CODE_EVERY_S, WRONG_CODES),
            folds: Folds::default(),
            engines: Mutex::new(HashMap::new()),
            parts,
        }
    }

    /// The only way to any effect.
    ///
    /// Boxed, because the compiler copies a future's code into each one that waits for it: without
    /// a box here, all that can be asked was in the program ten times.
    pub fn perform<'a>(
        &'a self,
        principal: &'a Principal,
        call: Call,
    ) -> Later<'a, Result<Outcome, Refusal>> {
        Box::pin(calls::run(self, principal, call))
    }

    /// The issuer of caps.
    pub fn issuer(&self) -> &str {
        &self.parts.issuer
    }

    /// The operator's master omni.
    pub const fn operator(&self) -> identity::Omni {
        self.parts.operator
    }

    /// The public keys that caps and actors' JWTs are verified with, as a JWK set. Which is for
    /// which, the `typ` of what they signed says; no key signs both.
    pub async fn jwks(&self) -> Result<serde_json::Value, Refusal> {
        let mut keys = self.caps().public_keys();
        let tokens = self.tokens().public_keys().await;
        keys.extend(tokens.map_err(unavailable)?);
        Ok(serde_json::json!({"keys": keys}))
    }

    /// Wakes when the log grows, whoever wrote.
    pub fn watch(&self) -> tokio::sync::watch::Receiver<u64> {
        self.parts.ledger.watch()
    }

    /// The signed list of caps that were taken back and have not expired.
    pub async fn revoked_caps(&self) -> Result<String, Refusal> {
        let now_s = self.now_s();
        let revoked = self
            .ledger()
            .revoked_caps(now_s)
            .await
            .map_err(unavailable)?;
        let list = cap::RevokedList {
            iss: self.issuer(),
            iat: now_s,
            exp: now_s + REVOKED_LIST_TTL_S,
            revoked: revoked
                .into_iter()
                .map(|(jti, exp)| cap::RevokedCap { jti, exp })
                .collect(),
        };
        self.caps().sign_revoked(&list).map_err(|error| {
            tracing::error!(%error, "the list of revoked caps could not be signed");
            Cause::AuditUnavailable.into()
        })
    }

    /// How many events there are.
    pub async fn log_size(&self) -> Result<u64, Refusal> {
        self.ledger().log_size().await.map_err(unavailable)
    }

    /// Tells a meter of each row this process writes from now on.
    pub fn metered_by(&self, meter: Arc<dyn ports::Meter>) {
        self.parts.ledger.metered_by(meter);
    }

    /// How far the log and its tree are.
    pub async fn log_state(&self) -> Result<ports::LogState, Refusal> {
        self.parts.log.log_state().await.map_err(unavailable)
    }

    /// Whether the ledger answers.
    pub async fn healthy(&self) -> bool {
        self.parts.ledger.log_size().await.is_ok()
    }

    pub(in crate::authority) fn ledger(&self) -> &dyn Ledger {
        &*self.parts.ledger
    }

    pub(in crate::authority) fn vault(&self) -> &dyn Vault {
        &*self.parts.vault
    }

    pub(in crate::authority) fn caps(&self) -> &dyn CapAuthority {
        &*self.parts.caps
    }

    pub(in crate::authority) fn tokens(&self) -> &dyn ActorTokens {
        &*self.parts.tokens
    }

    /// The tree over the log, and what was signed of it.
    pub fn log(&self) -> &dyn SealedLog {
        &*self.parts.log
    }

    /// The keys that sign it.
    pub fn log_keys(&self) -> &dyn LogKeys {
        &*self.parts.log_keys
    }

    pub(in crate::authority) fn now_ms(&self) -> i64 {
        self.parts.clock.now_ms()
    }

    pub(in crate::authority) fn now_s(&self) -> u64 {
        u64::try_from(self.now_ms() / 1000).unwrap_or(0)
    }

    pub(in crate::authority) fn now_us(&self) -> u64 {
        self.parts.clock.monotonic_us()
    }

    pub(in crate::authority) fn random<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        self.parts.entropy.fill(&mut bytes);
        bytes
    }

    /// A fresh id: prefix, time and 74 random bits.
    pub(in crate::authority) fn fresh_id(&self, prefix: &str) -> String {
        found::fresh(prefix, self.now_ms(), &*self.parts.entropy)
    }

    /// The engine of the policy version the ledger says is in force.
    pub(in crate::authority) async fn engine(
        &self,
        version: i64,
    ) -> Result<Arc<PolicyEngine>, Refusal> {
        if let Some(engine) = self.engines.lock().get(&version) {
            return Ok(Arc::clone(engine));
        }
        let source = self.ledger().policy(version).await.map_err(unavailable)?;
        let engine = source
            .and_then(|json| serde_json::from_str::<PolicySource>(&json).ok())
            .and_then(|source| PolicyEngine::compile(&source).ok())
            .ok_or_else(|| {
                tracing::error!(version, "the policy in force does not load");
                Refusal::from(Cause::AuditUnavailable)
            })?;
        let engine = Arc::new(engine);
        self.engines.lock().insert(version, Arc::clone(&engine));
        Ok(engine)
    }

    /// Encodes a row about a caller.
    pub(in crate::authority) fn event(&self, principal: &Principal, row: Row) -> Event {
        self.event_about(principal, &Subject::of(principal), row)
    }

    /// Encodes a row about a caller and another subject.
    pub(in crate::authority) fn event_about(
        &self,
        principal: &Principal,
        subject: &Subject,
        row: Row,
    ) -> Event {
        let id = self.fresh_id("evt");
        self.event_with_id(principal, subject, row, id)
    }

    /// Encodes a row whose id was needed beforehand.
    pub(in crate::authority) fn event_with_id(
        &self,
        principal: &Principal,
        subject: &Subject,
        row: Row,
        id: String,
    ) -> Event {
        row.seal(id, self.random(), subject, &principal.frame, self.now_us())
    }

    /// Commits a caller's Unit.
    pub(in crate::authority) async fn commit(&self, unit: Unit) -> Result<Committed, Refusal> {
        let ledger = self.ledger();
        ledger
            .commit(unit, Lane::Customer)
            .await
            .map_err(unavailable)
    }

    /// Commits a row that stands for itself, and answers.
    pub(in crate::authority) async fn record(
        &self,
        event: Event,
        answer: Answer,
    ) -> Result<Outcome, Refusal> {
        let event_id = event.id.clone();
        self.commit(Unit {
            guards: Vec::<Guard>::new(),
            effects: Vec::new(),
            event,
        })
        .await?;
        Ok(Outcome { answer, event_id })
    }
}

/// If it cannot be kept, nothing happens and nothing is returned.
#[allow(clippy::needless_pass_by_value, reason = "made for map_err")]
pub(crate) fn unavailable(error: LedgerError) -> Refusal {
    tracing::error!(%error, "the ledger did not answer");
    Refusal {
        retry_after_s: matches!(error, LedgerError::Full).then_some(1),
        ..Cause::AuditUnavailable.into()
    }
}
