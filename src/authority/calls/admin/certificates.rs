//! The server's certificate on record: what was issued, revoked, and what keeps it from being got.

use super::Change;
use crate::authority::Outcome;
use crate::authority::calls::{Answer, Cx, Done, Halt, OpKind};
use crate::authority::event::{Ending, rfc3339};
use crate::authority::ports::{Committed, Unit};
use serde_json::{Value, json};

const ISSUE: &str = "tls.issue";
const RENEW: &str = "tls.renew";
const REVOKE: &str = "tls.revoke";

/// What happened to it.
#[derive(Debug, Clone)]
pub enum CertificateEvent {
    /// One was issued, and is kept from here on.
    Issued {
        /// What it is for.
        names: Vec<String>,
        /// Who issued it.
        issuer: String,
        /// When it ends, Unix milliseconds.
        not_after_ms: i64,
        /// SHA-256 of it, in hex.
        fingerprint: String,
        /// SHA-256 of the one whose place it takes.
        replaces: Option<String>,
    },
    /// One was revoked.
    Revoked {
        /// SHA-256 of it, in hex.
        fingerprint: String,
        /// Why, as RFC 5280 writes it.
        reason: &'static str,
    },
    /// It was not revoked after all: the authority said no.
    NotRevoked {
        /// SHA-256 of it, in hex.
        fingerprint: String,
        /// Stable, dotted.
        code: &'static str,
        /// What happened.
        cause: String,
    },
    /// None can be had, for another reason than before.
    Failed {
        /// Stable, dotted.
        code: &'static str,
        /// What happened.
        cause: String,
    },
}

impl CertificateEvent {
    /// What the row calls it.
    pub(super) const fn tool(&self) -> &'static str {
        match self {
            Self::Issued { replaces: None, .. } => ISSUE,
            Self::Issued { .. } | Self::Failed { .. } => RENEW,
            Self::Revoked { .. } | Self::NotRevoked { .. } => REVOKE,
        }
    }

    fn detail(&self) -> Value {
        match self {
            Self::Issued {
                names,
                issuer,
                not_after_ms,
                fingerprint,
                replaces,
            } => json!({
                "names": names, "issuer": issuer, "not_after": rfc3339(*not_after_ms),
                "fingerprint": fingerprint, "replaces": replaces,
            }),
            Self::Revoked {
                fingerprint,
                reason,
            } => json!({ "fingerprint": fingerprint, "reason": reason }),
            Self::NotRevoked {
                fingerprint,
                code,
                cause,
            } => json!({
                "fingerprint": fingerprint, "code": code,
                "cause": crate::text::clean_to(cause, 400),
            }),
            Self::Failed { code, cause } => {
                json!({ "code": code, "cause": crate::text::clean_to(cause, 400) })
            }
        }
    }
}

pub(super) async fn record(cx: &Cx<'_>, event: &CertificateEvent) -> Done {
    let change = Change::new(cx, OpKind::Key, event.tool(), event.detail());
    let reason = match event {
        CertificateEvent::Issued { .. } => "issued",
        CertificateEvent::Revoked { .. } => "revoked",
        CertificateEvent::Failed { code, .. } | CertificateEvent::NotRevoked { code, .. } => {
            let word = code.rsplit('.').next().unwrap_or("failed");
            return failed(cx, &change, word).await;
        }
    };
    change
        .commit(cx, reason, Answer::Json(event.detail()))
        .await
}

async fn failed(cx: &Cx<'_>, change: &Change, reason: &str) -> Done {
    let row = change.row(Ending::Error, reason);
    let event = cx.authority.event_about(cx.principal, &change.subject, row);
    let event_id = event.id.clone();
    let unit = Unit {
        guards: Vec::new(),
        effects: Vec::new(),
        event,
    };
    match cx.authority.commit(unit).await? {
        Committed::Stale => Err(Halt::Stale),
        _ => Ok(Outcome {
            answer: Answer::Json(Value::Null),
            event_id,
        }),
    }
}
