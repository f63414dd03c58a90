//! The existing AgentKeys services behind the ports (`formats/agentkeys.md` §5): an adapter that
//! speaks their RPCs takes the place of the embedded parts and changes nothing in `authority/`.
//! The services themselves cannot run here; their wire format is played by [`Worker`].

use super::support::{House, wait};
use agentkeys::audit::note::{KeyError, LogKey};
use agentkeys::authority::actor_jwt::{ActorClaims, JwtError};
use agentkeys::authority::admit::{Header, Knock, Wants};
use agentkeys::authority::calls::memory::{Mode, Put};
use agentkeys::authority::calls::{Answer, Call};
use agentkeys::authority::cap::{CapClaims, CapError, RevokedList};
use agentkeys::authority::jws::SignError;
use agentkeys::authority::jws::key::Jwk;
use agentkeys::authority::ports::{
    ActorTokens, CapAuthority, EventFilter, Kept, Later, LedgerError, LogKeys, Place, PublishedKey,
    Salt, SealedKey, SealedLog, Vault, VaultError,
};
use agentkeys::authority::principal::{ActorScope, MemoryOp, Principal, VerifiedCap};
use agentkeys::authority::words::{Door, Namespace};
use agentkeys::authority::{Authority, Limits, Parts};
use agentkeys::folder::system::{SystemClock, SystemEntropy};
use agentkeys::ledger::SqliteLedger;
use agentkeys::secret::Secret;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

/// Plays the broker, the memory worker and the audit worker: their paths, bodies and answers.
#[derive(Default)]
struct Worker {
    objects: Mutex<BTreeMap<String, String>>,
    audit: Mutex<Vec<Value>>,
}

impl Worker {
    fn post(&self, path: &str, body: &Value) -> Value {
        match path {
            "/v1/cap/memory-put" | "/v1/cap/memory-get" => {
                let op = if path.ends_with("put") {
                    "store"
                } else {
                    "fetch"
                };
                json!({"payload": {
                    "operator_omni": body["operator_omni"], "actor_omni": body["actor_omni"],
                    "service": body["service"], "op": op, "data_class": "memory",
                    "device_key_hash": body["device_key_hash"], "k3_epoch": 1,
                    "issued_at": 0, "expires_at": 300, "nonce": "00",
                }, "broker_sig": "sig"})
            }
            "/v1/memory/put" => {
                let key = Self::key(body, "store");
                let text = body["plaintext_b64"].as_str().unwrap().to_owned();
                let size = text.len();
                self.objects.lock().unwrap().insert(key.clone(), text);
                json!({"ok": true, "s3_key": key, "envelope_size": size})
            }
            "/v1/memory/get" => match self.objects.lock().unwrap().get(&Self::key(body, "fetch")) {
                Some(text) => json!({"ok": true, "plaintext_b64": text}),
                None => json!({"error": "not found", "reason": "s3_no_such_key"}),
            },
            "/v1/audit/append/v2" => {
                self.audit.lock().unwrap().push(body.clone());
                json!({"ok": true, "envelope_hash": "0x00"})
            }
            other => panic!("no such RPC: {other}"),
        }
    }

    fn key(body: &Value, op: &str) -> String {
        let cap = &body["cap"]["payload"];
        assert_eq!(
            (&cap["op"], &cap["data_class"]),
            (&json!(op), &json!("memory"))
        );
        let actor = cap["actor_omni"].as_str().unwrap().trim_start_matches("0x");
        format!(
            "bots/{actor}/memory/{}.enc",
            cap["service"].as_str().unwrap()
        )
    }
}

/// The adapter: what those services need besides (operator, device key, bearer) is its own.
struct Remote {
    worker: Arc<Worker>,
    device_key_hash: &'static str,
}

impl Remote {
    fn cap(&self, cap: &VerifiedCap, op: &str, namespace: Namespace) -> Value {
        let scope = cap.scope();
        let request = json!({
            "operator_omni": scope.operator().to_string(), "actor_omni": scope.actor().to_string(),
            "service": format!("memory:{namespace}"), "device_key_hash": self.device_key_hash,
            "ttl_seconds": 300,
        });
        self.worker.post(&format!("/v1/cap/memory-{op}"), &request)
    }
}

impl Vault for Remote {
    fn put<'a>(
        &'a self,
        cap: &'a VerifiedCap,
        place: Place<'a>,
        text: &'a [u8],
        now_ms: i64,
    ) -> Later<'a, Result<Kept, VaultError>> {
        Box::pin(async move {
            cap.covers(MemoryOp::Put, place.actor, place.namespace, now_ms)?;
            let token = self.cap(cap, "put", place.namespace);
            let body = json!({"cap": token, "plaintext_b64": STANDARD.encode(text)});
            let answer = self.worker.post("/v1/memory/put", &body);
            Ok(Kept {
                object_key: answer["s3_key"].as_str().unwrap().to_owned(),
                envelope_size: answer["envelope_size"].as_u64().unwrap(),
            })
        })
    }

    fn get<'a>(
        &'a self,
        cap: &'a VerifiedCap,
        place: Place<'a>,
        _object_key: &'a str,
        now_ms: i64,
    ) -> Later<'a, Result<Vec<u8>, VaultError>> {
        Box::pin(async move {
            cap.covers(MemoryOp::Get, place.actor, place.namespace, now_ms)?;
            let token = self.cap(cap, "get", place.namespace);
            let answer = self.worker.post("/v1/memory/get", &json!({"cap": token}));
            let text = answer["plaintext_b64"]
                .as_str()
                .ok_or(VaultError::Missing)?;
            STANDARD.decode(text).map_err(|_| VaultError::Integrity)
        })
    }

    fn seal(&self, _: &ActorScope, _: &Salt, _: &str, text: &[u8]) -> Result<Vec<u8>, VaultError> {
        Ok(text.to_vec())
    }

    fn unseal(&self, _: &ActorScope, _: &Salt, _: &str, all: &[u8]) -> Result<Vec<u8>, VaultError> {
        Ok(all.to_vec())
    }

    fn remove<'a>(&'a self, _: &'a str) -> Later<'a, Result<(), VaultError>> {
        Box::pin(async { Ok(()) })
    }
}

/// The broker signs; nothing of ours does.
struct BrokerCaps;

impl CapAuthority for BrokerCaps {
    fn sign(&self, claims: &CapClaims) -> Result<String, SignError> {
        Ok(format!("broker.{}", claims.jti))
    }

    fn sign_revoked(&self, _: &RevokedList<'_>) -> Result<String, SignError> {
        Ok("broker.list".to_owned())
    }

    fn verify(&self, _: &str, _: u64) -> Result<CapClaims, CapError> {
        Err(CapError::BadSignature)
    }

    fn public_keys(&self) -> Vec<Jwk> {
        Vec::new()
    }
}

impl ActorTokens for BrokerCaps {
    fn sign<'a>(
        &'a self,
        claims: &'a ActorClaims,
    ) -> Later<'a, Result<Result<String, SignError>, LedgerError>> {
        Box::pin(async move { Ok(Ok(format!("broker.{}", claims.jti))) })
    }

    fn verify<'a>(
        &'a self,
        _: &'a str,
    ) -> Later<'a, Result<Result<ActorClaims, JwtError>, LedgerError>> {
        Box::pin(async { Ok(Err(JwtError::BadSignature)) })
    }

    fn public_keys(&self) -> Later<'_, Result<Vec<Jwk>, LedgerError>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn fresh_key(&self, _: i64) -> Result<SealedKey, SignError> {
        Err(SignError::Crypto)
    }
}

impl LogKeys for BrokerCaps {
    fn signing<'a>(&'a self, _: &'a str, _: i64) -> Later<'a, Result<Vec<LogKey>, LedgerError>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn published(&self, _: i64) -> Later<'_, Result<Vec<PublishedKey>, LedgerError>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn fresh(&self, _: &str, _: i64) -> Result<SealedKey, KeyError> {
        Err(KeyError::Unusable)
    }
}

fn admitted(authority: &Authority, house: &House, vendor: &str) -> Principal {
    let bearer = format!("Bearer {}", house.token(vendor));
    let actor = house.actor();
    let knock = Knock {
        authorization: Header::One(&bearer),
        actor: Header::One(&actor),
        argument: None,
        asked: "seam",
        found: None,
        seen: None,
        source: "test",
        protocol: "test",
        door: Door::Http,
    };
    wait(authority.admit(&knock, Wants::VendorForActor)).unwrap()
}

#[test]
fn the_existing_services_fit_behind_the_ports() {
    let house = House::demo();
    let operator = house.ok(&["actor", "show", "operator"]);
    let worker = Arc::new(Worker::default());
    let remote = Remote {
        worker: Arc::clone(&worker),
        device_key_hash: "0xdeadbeef",
    };
    let ledger = Arc::new(SqliteLedger::open(&house.dir().join("ledger.sqlite")).unwrap());
    let authority = Authority::new(Parts {
        log: Arc::clone(&ledger) as Arc<dyn SealedLog>,
        log_keys: Arc::new(BrokerCaps),
        ledger,
        vault: Arc::new(remote),
        caps: Arc::new(BrokerCaps),
        tokens: Arc::new(BrokerCaps),
        clock: Arc::new(SystemClock::default()),
        entropy: Arc::new(SystemEntropy),
        operator: operator["actor_omni"].as_str().unwrap().parse().unwrap(),
        issuer: "urn:agentkeys:seam".to_owned(),
        limits: Limits::default(),
    });
    let xiaozhi = admitted(&authority, &house, "magiclick");
    let put = Call::MemoryPut(Put {
        namespace: Namespace::Travel,
        content: Secret::new("through the worker 🚂".to_owned()),
        mode: Mode::Replace,
        if_version: None,
    });
    let outcome = wait(authority.perform(&xiaozhi, put)).unwrap();
    let Answer::Put(written) = outcome.answer else {
        panic!("{:?}", outcome.answer)
    };
    let actor = house.actor();
    assert_eq!(
        written.object_key,
        format!("bots/{}/memory/memory:travel.enc", &actor[2..])
    );

    let ark = admitted(&authority, &house, "folotoy");
    let get = Call::MemoryGet {
        namespace: Namespace::Travel,
        version: None,
    };
    let outcome = wait(authority.perform(&ark, get)).unwrap();
    let Answer::Memory(memory) = outcome.answer else {
        panic!("{:?}", outcome.answer)
    };
    assert_eq!(memory.content, "through the worker 🚂");

    // The log is the outbox: a job follows it and appends to the audit worker.
    let knock_token = house.ok(&["operator", "token", "create", "--role", "auditor"]);
    let bearer = format!("Bearer {}", knock_token["token"].as_str().unwrap());
    let knock = Knock {
        authorization: Header::One(&bearer),
        actor: Header::Absent,
        argument: None,
        asked: "outbox",
        found: None,
        seen: None,
        source: "test",
        protocol: "test",
        door: Door::Worker,
    };
    let auditor = wait(authority.admit(&knock, Wants::Reader)).unwrap();
    let reading = wait(authority.reading(&auditor, None)).unwrap();
    let filter = EventFilter {
        limit: 1_000,
        ..EventFilter::default()
    };
    for event in wait(authority.events(&reading, &filter)).unwrap() {
        let body = json!({
            "version": 1, "ts_unix": 0, "actor_omni": event["actor_omni"],
            "operator_omni": event["operator_omni"], "op_kind": event["op_kind"],
            "op_body": {}, "result": 0, "intent_text": null, "intent_commitment": null,
        });
        assert_eq!(worker.post("/v1/audit/append/v2", &body)["ok"], true);
    }
    let audit = worker.audit.lock().unwrap();
    let kinds: Vec<u64> = audit.iter().filter_map(|e| e["op_kind"].as_u64()).collect();
    assert!(kinds.contains(&10) && kinds.contains(&11));
}
