//! One row of the audit log: built where the decision is made, encoded once, never edited.
//! The envelope's bytes are the row; every column beside them is an index into it.

use super::identity::Omni;
use super::principal::{Frame, Principal};
use super::words::{Door, Namespace, Rail};
use crate::audit::envelope::kind::OpKind;
use crate::audit::envelope::{Envelope, ResultByte};
use serde_json::{Map, Value};

/// How a call ended, as a row says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// Allowed and done.
    Accept,
    /// Refused.
    Deny,
    /// Needs a parent's yes.
    AskParent,
    /// Not decided: the call itself was wrong.
    Error,
}

impl Ending {
    /// The word in the row.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Accept => "accept",
            Self::Deny => "deny",
            Self::AskParent => "ask_parent",
            Self::Error => "error",
        }
    }

    const fn result(self) -> ResultByte {
        match self {
            Self::Accept => ResultByte::Success,
            Self::Deny | Self::AskParent => ResultByte::NotPermitted,
            Self::Error => ResultByte::Failure,
        }
    }
}

impl From<super::policy::Verdict> for Ending {
    fn from(verdict: super::policy::Verdict) -> Self {
        match verdict {
            super::policy::Verdict::Accept => Self::Accept,
            super::policy::Verdict::Deny => Self::Deny,
            super::policy::Verdict::AskParent => Self::AskParent,
        }
    }
}

/// A row ready to be committed.
#[derive(Debug, Clone)]
pub struct Event {
    /// Unique id, `evt_…`.
    pub id: String,
    /// When it was decided, Unix milliseconds.
    pub ts_ms: i64,
    /// The actor; none for a stranger.
    pub actor: Option<Omni>,
    /// The vendor.
    pub vendor: Option<String>,
    /// The vendor's rail.
    pub rail: Option<Rail>,
    /// The tool or command.
    pub tool: String,
    /// How it ended.
    pub verdict: &'static str,
    /// The namespace, if one was named.
    pub namespace: Option<Namespace>,
    /// The exact envelope bytes.
    pub envelope: Vec<u8>,
    /// What it counts as.
    pub counts: Counts,
}

/// What a row counts as, for whoever watches the program from outside. None of it is about anybody.
#[derive(Debug, Clone)]
pub struct Counts {
    /// What kind of row.
    pub kind: OpKind,
    /// The way it came in.
    pub door: Door,
    /// Why it ended so: one of our words, or one of a policy.
    pub reason: String,
    /// When it came in on the monotonic clock, microseconds.
    pub started_us: u64,
    /// How many it stands for: more than one when refusals were folded.
    pub times: u64,
}

#[cfg(test)]
impl Counts {
    /// Those of a row that nobody counts.
    pub const NONE: Self = Self {
        kind: OpKind::Whoami,
        door: Door::Http,
        reason: String::new(),
        started_us: 0,
        times: 1,
    };
}

/// Whom a row is about.
#[derive(Debug, Clone, Default)]
pub struct Subject {
    /// The actor and the master above it.
    pub actor: Option<(Omni, Omni)>,
    /// The vendor and its rail.
    pub vendor: Option<(String, Rail)>,
    /// The token presented, once its secret matched.
    pub token_id: Option<String>,
    /// For administrative changes: who did it.
    pub role: Option<&'static str>,
}

impl Subject {
    /// The subject of a caller's own calls.
    pub fn of(principal: &Principal) -> Self {
        Self {
            actor: principal.scope().map(|s| (s.actor(), s.operator())),
            vendor: principal.vendor_named(),
            token_id: principal.token_id().map(str::to_owned),
            role: principal
                .vendor_named()
                .is_none()
                .then(|| principal.role().as_str()),
        }
    }

    /// The same caller, changing another actor.
    #[must_use]
    pub const fn about(mut self, actor: Omni, operator: Omni) -> Self {
        self.actor = Some((actor, operator));
        self
    }
}

/// Most rows have fewer fields: room for them, so that the map need not grow.
const MOST_FIELDS: usize = 28;

/// What a row says, gathered while a call is decided. Memory content and tool inputs never
/// enter it: a keyed tag and the length do.
#[derive(Debug, Clone)]
pub struct Row {
    kind: OpKind,
    tool: String,
    ending: Ending,
    namespace: Option<Namespace>,
    body: Map<String, Value>,
    reason: String,
    times: u64,
}

impl Row {
    /// A row of a kind for a tool, with how it ended and why.
    pub fn new(kind: OpKind, tool: &str, ending: Ending, reason: &str) -> Self {
        let mut body = Map::with_capacity(MOST_FIELDS);
        body.insert("reason".into(), reason.into());
        body.insert("status".into(), 200.into());
        Self {
            kind,
            tool: tool.to_owned(),
            ending,
            namespace: None,
            body,
            reason: reason.to_owned(),
            times: 1,
        }
    }

    /// How many it stands for.
    #[must_use]
    pub const fn times(mut self, times: u64) -> Self {
        self.times = times;
        self
    }

    /// Adds a field; nothing for `None`.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<Option<Value>>) -> Self {
        if let Some(value) = value.into() {
            self.body.insert(key.into(), value);
        }
        self
    }

    /// The HTTP status the answer carries, or stands for.
    #[must_use]
    pub fn status(self, status: u16) -> Self {
        self.with("status", Value::from(status))
    }

    /// The namespace it is about.
    #[must_use]
    pub fn namespace(mut self, namespace: Namespace) -> Self {
        self.namespace = Some(namespace);
        self.with("namespace", Value::from(namespace.as_str()))
    }

    /// Encodes it. `blind` is random and shown to nobody who is not shown the whole envelope: a
    /// proof carries the hashes of neighbouring rows, and without it a viewer could test guesses of
    /// what was blanked in them. `now_us` is monotonic, for the latency up to the decision.
    pub fn seal(
        self,
        id: String,
        blind: [u8; 16],
        subject: &Subject,
        frame: &Frame,
        now_us: u64,
    ) -> Event {
        self.with("blind", Value::from(hex::encode(blind)))
            .encode(id, subject, frame, now_us)
    }

    fn encode(mut self, id: String, subject: &Subject, frame: &Frame, now_us: u64) -> Event {
        let (vendor, rail) = subject.vendor.clone().unzip();
        let rail_word: Option<Value> = rail.map(|r| r.as_str().into());
        let set = |key: &str, value: Option<Value>, body: &mut Map<String, Value>| {
            if let Some(value) = value {
                body.insert(key.into(), value);
            }
        };
        let body = &mut self.body;
        set("event_id", Some(id.as_str().into()), body);
        set("ts_ms", Some(frame.at_ms.into()), body);
        set("vendor", vendor.clone().map(Value::from), body);
        set("rail", rail_word, body);
        set("token_id", subject.token_id.clone().map(Value::from), body);
        set("by", subject.role.map(Value::from), body);
        set("door", Some(frame.door.as_str().into()), body);
        set("tool", Some(self.tool.as_str().into()), body);
        set("verdict", Some(self.ending.as_str().into()), body);
        set("host_profile", Some(frame.profile.as_str().into()), body);
        set("protocol", Some(frame.protocol.as_str().into()), body);
        set("request_id", Some(frame.request_id.as_str().into()), body);
        let latency = now_us.saturating_sub(frame.started_us);
        set("latency_us", Some(latency.into()), body);
        let (actor, operator) = subject.actor.unzip();
        let mut envelope = Envelope {
            ts_unix: u64::try_from(frame.at_ms / 1000).unwrap_or(0),
            actor_omni: *actor.unwrap_or(Omni::ZERO).as_bytes(),
            operator_omni: *operator.unwrap_or(Omni::ZERO).as_bytes(),
            op_kind: self.kind.as_byte(),
            op_body: Value::Object(self.body),
            result: self.ending.result(),
            intent_text: None,
            intent_commitment: None,
        };
        let bytes = envelope.encode().unwrap_or_else(|error| {
            // Only a float or 64 levels of nesting can get here, and no row is built from either.
            tracing::error!(%error, "a row's body did not encode; it is kept without");
            envelope.op_body = Value::Object(Map::new());
            envelope.encode().unwrap_or_default()
        });
        Event {
            id,
            ts_ms: frame.at_ms,
            actor,
            vendor,
            rail,
            tool: self.tool,
            verdict: self.ending.as_str(),
            namespace: self.namespace,
            envelope: bytes,
            counts: Counts {
                kind: self.kind,
                door: frame.door,
                reason: self.reason,
                started_us: frame.started_us,
                times: self.times,
            },
        }
    }
}

/// The order in which an event's JSON lists what its envelope holds (`contract.md`, Audit event).
const ORDER: &[&str] = &[
    "vendor",
    "rail",
    "token_id",
    "by",
    "door",
    "tool",
    "op_kind",
    "verdict",
    "reason",
    "explanation",
    "status",
    "policy_version",
    "policy_ids",
    "decision_id",
    "amount_minor",
    "currency",
    "namespace",
    "scope",
    "inputs",
    "cap_id",
    "object_key",
    "version",
    "content_tag",
    "content_length",
    "claimed",
    "detail",
    "host_profile",
    "protocol",
    "request_id",
    "latency_us",
];

/// Everything an event's JSON may have, in its order: the columns of an export.
pub fn columns() -> impl Iterator<Item = &'static str> {
    let first = ["event_id", "seq", "ts", "actor_omni", "operator_omni"];
    let last = ["envelope_hash", "leaf_index"];
    first.into_iter().chain(ORDER.iter().copied()).chain(last)
}

/// Fields that are always there, `null` when they do not apply.
const ALWAYS: &[&str] = &["vendor", "rail", "token_id"];

/// An event as people and scripts read it, from nothing but its envelope and its place. Its place
/// in the tree is null until a checkpoint can cover it; whoever knows puts it in.
pub fn to_json(seq: u64, envelope: &[u8]) -> Result<Value, crate::audit::envelope::DecodeError> {
    let decoded = Envelope::decode(envelope)?;
    let empty = Map::new();
    let body = decoded.op_body.as_object().unwrap_or(&empty);
    let omni = |bytes: [u8; 32]| match Omni::from_bytes(bytes) {
        Omni::ZERO => Value::Null,
        omni => omni.to_string().into(),
    };
    let mut out = Map::new();
    let get = |key: &str| body.get(key).cloned().unwrap_or(Value::Null);
    out.insert("event_id".into(), get("event_id"));
    out.insert("seq".into(), seq.into());
    let ts = body.get("ts_ms").and_then(Value::as_i64).unwrap_or(0);
    out.insert("ts".into(), rfc3339(ts).into());
    out.insert("actor_omni".into(), omni(decoded.actor_omni));
    out.insert("operator_omni".into(), omni(decoded.operator_omni));
    for key in ORDER {
        if *key == "op_kind" {
            out.insert((*key).into(), decoded.op_kind.into());
        } else if let Some(value) = body.get(*key) {
            out.insert((*key).into(), value.clone());
        } else if ALWAYS.contains(key) {
            out.insert((*key).into(), Value::Null);
        }
    }
    let hash = crate::audit::envelope::hash(envelope);
    let hash = format!("0x{}", hex::encode(hash));
    out.insert("envelope_hash".into(), hash.into());
    out.insert("leaf_index".into(), Value::Null);
    Ok(Value::Object(out))
}

/// Unix milliseconds as RFC 3339 with milliseconds.
pub fn rfc3339(ms: i64) -> String {
    jiff::Timestamp::from_millisecond(ms)
        .map(|t| format!("{t:.3}"))
        .unwrap_or_default()
}

/// Unix seconds as RFC 3339 with milliseconds.
pub fn rfc3339_s(seconds: u64) -> String {
    i64::try_from(seconds).map_or_else(|_| String::new(), |s| rfc3339(s.saturating_mul(1000)))
}
