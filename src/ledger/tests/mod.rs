#![allow(clippy::unwrap_used)]

mod backup;
mod cut;
mod devices;
mod effects;
mod facts;
mod file;
mod log;
mod writer;

use super::SqliteLedger;
use crate::authority::budget::Zone;
use crate::authority::event::Event;
use crate::authority::identity::Omni;
use crate::authority::ports::{
    CapRow, Committed, Effect, Guard, Lane, Ledger as _, LedgerError, Reservation, Salt, Slot,
    Stored, Test, TokenRow, Unit, VendorRow,
};
use crate::authority::principal::{Actor, ActorScope, Binding};
use crate::authority::words::{HostProfile, Namespace, NamespaceSet, Rail, Role};
use crate::secret::Secret;
use rusqlite::Connection;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tempfile::TempDir;

static NEXT: AtomicU64 = AtomicU64::new(0);

const NOW: i64 = 1_000_000;

/// After this long on the slowest machine, what is waited for never comes.
const PATIENCE: Duration = Duration::from_mins(2);

/// Waits for an event that only looking tells of.
async fn until(what: &str, mut so: impl AsyncFnMut() -> bool) {
    let start = Instant::now();
    while !so().await {
        assert!(start.elapsed() < PATIENCE, "{what}: not in time");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// An id nobody else has.
fn fresh(prefix: &str) -> String {
    format!("{prefix}_{:08}", NEXT.fetch_add(1, Ordering::Relaxed))
}

const fn omni(byte: u8) -> Omni {
    Omni::from_bytes([byte; 32])
}

const fn scope(byte: u8) -> ActorScope {
    ActorScope::for_test(omni(byte))
}

fn event() -> Event {
    let id = fresh("evt");
    Event {
        envelope: id.clone().into_bytes(),
        id,
        ts_ms: NOW,
        actor: Some(omni(1)),
        vendor: Some("acme".to_owned()),
        rail: Some(Rail::Xiaozhi),
        tool: "tool".to_owned(),
        verdict: "accept",
        namespace: None,
        counts: crate::authority::event::Counts::NONE,
    }
}

fn unit(guards: Vec<Guard>, effects: Vec<Effect>) -> Unit {
    Unit {
        guards,
        effects,
        event: event(),
    }
}

fn row() -> Unit {
    unit(Vec::new(), Vec::new())
}

fn actor(byte: u8, alias: &str) -> Effect {
    Effect::AddActor {
        actor: Actor {
            omni: omni(byte),
            alias: alias.parse().unwrap(),
            display_name: "Kevin".to_owned(),
            parent: None,
            derivation_path: None,
            wallet: None,
            zone: Zone::new("Asia/Shanghai", 5, Some("UTC")).unwrap(),
        },
        generation: 0,
    }
}

fn vendor(name: &str) -> VendorRow {
    VendorRow {
        name: name.to_owned(),
        rail: Rail::Xiaozhi,
        profile: HostProfile::Xiaozhi,
    }
}

fn token(id: &str) -> TokenRow {
    TokenRow {
        id: id.to_owned(),
        hash: [3; 32],
        role: Role::Vendor,
        vendor: Some(vendor("acme")),
        actor: None,
        namespaces: NamespaceSet::NONE,
        created_ms: 0,
        expires_ms: NOW * 2,
        revoked_ms: None,
        last_used_ms: None,
        replaced_by: None,
        device: None,
        endpoint: false,
    }
}

fn binding(revision: i64, scopes: &[&str]) -> Binding {
    Binding {
        scopes: scopes.iter().map(|s| (*s).to_owned()).collect(),
        currency: "RMB".to_owned(),
        revision,
        ..Binding::default()
    }
}

fn set_binding(byte: u8, vendor: &str, binding: Binding) -> Effect {
    Effect::SetBinding {
        scope: scope(byte),
        vendor: vendor.to_owned(),
        binding,
    }
}

fn reservation(amount_minor: i64) -> Reservation {
    Reservation {
        decision_id: fresh("dec"),
        vendor: "acme".to_owned(),
        scope: "payment.spend".to_owned(),
        day: "2026-05-01".to_owned(),
        amount_minor,
        currency: "RMB".to_owned(),
        reference: None,
        state: "reserved".to_owned(),
    }
}

fn reserve(reservation: Reservation) -> Effect {
    Effect::Reserve {
        scope: scope(1),
        reservation,
    }
}

fn budget(add_minor: i64, limit_minor: i64) -> Test {
    Test::BudgetBelow {
        scope: scope(1),
        spend_scope: "payment.spend".to_owned(),
        currency: "RMB".to_owned(),
        day: "2026-05-01".to_owned(),
        add_minor,
        limit_minor,
    }
}

fn cap(cap_id: &str, token_id: &str, rests_on: &str) -> Effect {
    Effect::MintCap {
        scope: scope(1),
        cap: CapRow {
            cap_id: cap_id.to_owned(),
            vendor: "acme".to_owned(),
            token_id: token_id.to_owned(),
            op: "memory.get".to_owned(),
            exp: 1_100,
            revoked_ms: None,
            grant: rests_on.to_owned(),
            spent: None,
            token_live: true,
        },
    }
}

fn salt(epoch: u32) -> Salt {
    Salt {
        epoch,
        bytes: Secret::new([0xab; 32]),
    }
}

const TRAVEL: Slot = Slot::Memory(Namespace::Travel);

fn use_salt(slot: Slot, epoch: u32) -> Effect {
    Effect::UseSalt {
        scope: scope(1),
        slot,
        salt: salt(epoch),
    }
}

fn stored(version: u64, token_id: &str, appended: bool) -> Stored {
    Stored {
        version,
        event_id: format!("evt_{version}"),
        object_key: format!("key {version}"),
        length: 3,
        envelope_size: 32,
        tag: [1; 32],
        piece_tag: [2; 32],
        epoch: 0,
        token_id: Some(token_id.to_owned()),
        written_ms: NOW,
        appended,
    }
}

fn put(stored: Stored) -> Effect {
    Effect::PutMemory {
        scope: scope(1),
        namespace: Namespace::Travel,
        stored,
    }
}

/// A folder that only its owner can enter.
fn folder() -> TempDir {
    let private = Permissions::from_mode(0o700);
    let mut builder = tempfile::Builder::new();
    builder.permissions(private).tempdir().unwrap()
}

/// How a statement would be run.
fn plan(c: &Connection, sql: &str) -> String {
    let mut explain = c.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
    let mut rows = explain.raw_query();
    let mut plan = String::new();
    while let Some(row) = rows.next().unwrap() {
        plan.push_str(&row.get::<_, String>(3).unwrap());
        plan.push('\n');
    }
    plan
}

struct Fixture {
    dir: TempDir,
    ledger: SqliteLedger,
}

impl Fixture {
    /// A ledger with vendor `acme`, its token `tok` and actors 1 and 2. It has one event.
    async fn new() -> Self {
        let dir = folder();
        let ledger = SqliteLedger::create(&dir.path().join("ledger.sqlite")).unwrap();
        let fixture = Self { dir, ledger };
        fixture
            .done(vec![
                actor(1, "O_kevin_001"),
                actor(2, "O_lily_002"),
                Effect::AddVendor(vendor("acme")),
                Effect::AddToken(token("tok")),
            ])
            .await;
        fixture
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("ledger.sqlite")
    }

    /// Another process's view of the same file, as far as `SQLite` can tell.
    fn other(&self) -> SqliteLedger {
        SqliteLedger::open(&self.path()).unwrap()
    }

    async fn commit(&self, unit: Unit) -> Result<Committed, LedgerError> {
        self.ledger.commit(unit, Lane::Customer).await
    }

    async fn done(&self, effects: Vec<Effect>) -> u64 {
        match self.commit(unit(Vec::new(), effects)).await.unwrap() {
            Committed::Done { seq } => seq,
            other => panic!("{other:?}"),
        }
    }

    /// Whether the effects were refused as a whole.
    async fn fails(&self, effects: Vec<Effect>) -> bool {
        let before = self.ledger.log_size().await.unwrap();
        let result = self.commit(unit(Vec::new(), effects)).await;
        let after = self.ledger.log_size().await.unwrap();
        matches!(result, Err(LedgerError::Failed(_))) && before == after
    }

    async fn holds(&self, test: Test) -> bool {
        match self
            .commit(unit(vec![Guard::fresh(test)], Vec::new()))
            .await
        {
            Ok(Committed::Done { .. }) => true,
            Ok(Committed::Stale) => false,
            other => panic!("{other:?}"),
        }
    }
}
