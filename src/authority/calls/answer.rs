//! Answers, in the shapes `contract.md` fixes. How a host gets to see them is `mcp::hosts`.

use super::InputProblem;
use crate::authority::policy::Verdict;
use crate::authority::words::{Namespace, NamespaceSet};
use serde::Serialize;
use serde_json::{Value, json};

/// What a call is answered.
#[derive(Debug)]
pub enum Answer {
    /// Who the actor is.
    Whoami(Whoami),
    /// A memory.
    Memory(Memory),
    /// A namespace that was not granted. Says nothing of what is in it.
    Violation {
        /// Which.
        namespace: Namespace,
        /// Whether it was to be written.
        write: bool,
    },
    /// A memory was written, or was so already.
    Put(Put),
    /// `if_version` was not the current version.
    Conflict {
        /// Where.
        namespace: Namespace,
        /// The current version.
        version: u64,
    },
    /// What the policy says.
    Verdict(VerdictAnswer),
    /// A capability.
    Cap(Minted),
    /// A capability was taken back.
    Revoked {
        /// Which.
        cap_id: String,
        /// Until when a verifier without network would still take it.
        offline_until: String,
    },
    /// No such capability here.
    CapNotFound,
    /// A statement is on record.
    Stated {
        /// Its row.
        event_id: String,
        /// keccak256 of the envelope.
        envelope_hash: String,
    },
    /// A preview tool.
    Preview,
    /// The arguments were wrong.
    Invalid(InputProblem),
    /// What an operator, a parent or a worker is told.
    Json(Value),
}

/// `agentkeys.identity.whoami`
#[derive(Debug, Serialize)]
pub struct Whoami {
    /// The actor's id.
    pub omni: String,
    /// Its registered name.
    pub alias: String,
    /// A name for people.
    pub display_name: String,
    /// The node above it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent_omni: Option<String>,
    /// How it is derived from that node.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub derivation_path: Option<String>,
    /// The vendor asking.
    pub vendor: String,
    /// Its rail.
    pub rail: String,
    /// Scopes granted to it.
    pub scopes: Vec<String>,
    /// Namespaces granted to it.
    pub namespaces: ReadWrite,
}

/// Namespaces by what may be done with them.
#[derive(Debug, Serialize)]
pub struct ReadWrite {
    /// May be read.
    pub read: NamespaceSet,
    /// May be written.
    pub write: NamespaceSet,
}

/// `agentkeys.memory.get`
#[derive(Debug)]
pub struct Memory {
    /// Where.
    pub namespace: Namespace,
    /// The text; empty when never written.
    pub content: String,
    /// Its version; 0 when never written.
    pub version: u64,
    /// When it was written, RFC 3339.
    pub updated_at: Option<String>,
    /// SHA-256 of the text, hex.
    pub sha256: String,
}

/// `agentkeys.memory.put`
#[derive(Debug)]
pub struct Put {
    /// Where.
    pub namespace: Namespace,
    /// The version that now is current.
    pub version: u64,
    /// SHA-256 of the whole text, hex.
    pub sha256: String,
    /// Name of the sealed object.
    pub object_key: String,
    /// Its length; only for who may read it.
    pub envelope_size: Option<u64>,
    /// Nothing was written: it was so already.
    pub unchanged: bool,
}

/// `agentkeys.permission.check`
#[derive(Debug, Clone)]
pub struct VerdictAnswer {
    /// The verdict.
    pub verdict: Verdict,
    /// The scope asked about.
    pub scope: String,
    /// Stable word.
    pub reason: String,
    /// For people.
    pub explanation: String,
    /// What a later payment cap refers to.
    pub decision_id: String,
    /// Ids of the rules that decided, sorted.
    pub policies: Vec<String>,
}

/// `agentkeys.cap.mint`
#[derive(Debug)]
pub struct Minted {
    /// `jti`.
    pub cap_id: String,
    /// The compact JWS.
    pub cap: String,
    /// What it is for.
    pub op: &'static str,
    /// The class of data it opens.
    pub data_class: &'static str,
    /// RFC 3339.
    pub expires_at: String,
    /// The real life time, after clamping.
    pub ttl_seconds: u64,
}

impl VerdictAnswer {
    fn to_json(&self) -> Value {
        json!({
            "verdict": self.verdict,
            "scope": self.scope,
            "reason": self.reason,
            "explanation": self.explanation,
            "decision_id": self.decision_id,
            "policies": self.policies,
        })
    }
}

/// The preview tools' one answer (`mission.md` T2).
pub fn preview() -> Value {
    json!({
        "error": "not_implemented_in_v1",
        "scheduled_for": "M4",
        "spec_url": "https://github.com/litentry/agentKeys/blob/main/docs/spec/plans/milestones-roadmap.md#m4",
    })
}

impl Answer {
    /// The structured answer.
    pub fn to_json(&self) -> Value {
        match self {
            Self::Whoami(whoami) => serde_json::to_value(whoami).unwrap_or_default(),
            Self::Memory(m) => json!({
                "ok": true, "namespace": m.namespace, "content": m.content, "version": m.version,
                "updated_at": m.updated_at, "sha256": m.sha256,
            }),
            Self::Violation { namespace, write } => {
                let mut out = json!({
                    "ok": false, "namespace": namespace, "namespace_violation": true,
                });
                if *write {
                    out["reason"] = "namespace_not_allowed".into();
                } else {
                    out["content"] = "".into();
                }
                out
            }
            Self::Put(put) => {
                let mut out = json!({
                    "ok": true, "namespace": put.namespace, "version": put.version,
                    "sha256": put.sha256, "object_key": put.object_key,
                });
                if let Some(size) = put.envelope_size {
                    out["envelope_size"] = size.into();
                }
                if put.unchanged {
                    out["unchanged"] = true.into();
                }
                out
            }
            Self::Conflict { version, .. } => json!({
                "ok": false, "error": "agentkeys.memory.version_conflict", "version": version,
            }),
            Self::Verdict(verdict) => verdict.to_json(),
            Self::Cap(cap) => json!({
                "ok": true, "cap_id": cap.cap_id, "cap": cap.cap, "op": cap.op,
                "data_class": cap.data_class, "expires_at": cap.expires_at,
                "ttl_seconds": cap.ttl_seconds,
            }),
            Self::Revoked {
                cap_id,
                offline_until,
            } => json!({
                "ok": true, "cap_id": cap_id, "revocation": "online_immediate",
                "offline_until": offline_until,
            }),
            Self::CapNotFound => json!({"ok": false, "error": "agentkeys.cap.not_found"}),
            Self::Stated {
                event_id,
                envelope_hash,
            } => json!({"ok": true, "event_id": event_id, "envelope_hash": envelope_hash}),
            Self::Preview => preview(),
            Self::Invalid(problem) => json!({
                "ok": false, "error": problem.code, "message": problem.message,
            }),
            Self::Json(value) => value.clone(),
        }
    }

    /// Whether MCP calls this an error: the call itself went wrong. A denial is an answer.
    pub const fn is_error(&self) -> bool {
        matches!(self, Self::Invalid(_) | Self::Preview)
    }
}
