//! What a bundle proves, in words that do not say more than that.

use crate::audit::anchor::{Anchor, ChainLog};
use crate::audit::checkpoint::Checkpoint;
use crate::audit::envelope::{Envelope, kind};
use crate::audit::note::VerifierKey;
use serde_json::{Value, json};

/// The part of a bundle that does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The text itself: a field is missing, unknown, repeated, misplaced or not in its one form.
    Format,
    /// The hash in the last line.
    Digest,
    /// A key, or a signature, or a signer who is not the trusted one.
    Key,
    /// The signed checkpoint.
    Checkpoint,
    /// The proof from the event to the checkpoint's root.
    Inclusion,
    /// The newer checkpoint, or the proof that it continues the first.
    Newer,
    /// The anchor, or what the chain says about it.
    Anchor,
}

impl Part {
    /// Its name, as it is in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Format => "format",
            Self::Digest => "digest",
            Self::Key => "key",
            Self::Checkpoint => "checkpoint",
            Self::Inclusion => "inclusion",
            Self::Newer => "newer",
            Self::Anchor => "anchor",
        }
    }

    /// The stable code of a failure there.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Format => "agentkeys.audit.bundle_format",
            Self::Digest => "agentkeys.audit.bundle_digest",
            Self::Key => "agentkeys.audit.bundle_key",
            Self::Checkpoint => "agentkeys.audit.bundle_checkpoint",
            Self::Inclusion => "agentkeys.audit.bundle_inclusion",
            Self::Newer => "agentkeys.audit.bundle_newer",
            Self::Anchor => "agentkeys.audit.bundle_anchor",
        }
    }
}

/// Why a bundle proves nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{cause}")]
pub struct Failure {
    /// Where.
    pub part: Part,
    /// What is wrong there, without a full stop.
    pub cause: String,
}

impl Failure {
    pub(super) fn new(part: Part, cause: impl Into<String>) -> Self {
        Self {
            part,
            cause: cause.into(),
        }
    }
}

/// Who signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signer {
    /// The key's text, to pin it.
    pub key: String,
    /// Its fingerprint, to compare.
    pub fingerprint: String,
}

impl Signer {
    pub(super) fn of(key: &VerifierKey) -> Self {
        Self {
            key: key.to_string(),
            fingerprint: key.fingerprint(),
        }
    }
}

/// What holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof {
    /// The event's place in the log.
    pub seq: u64,
    /// Its exact bytes.
    pub envelope: Vec<u8>,
    /// The signed tree it is in.
    pub checkpoint: Checkpoint,
    /// The later tree that continues it.
    pub newer: Option<Checkpoint>,
    /// Where one of the roots is said to be on a chain.
    pub anchor: Option<Anchor>,
    /// How many blocks were on top of the anchor's when the chain itself said so.
    pub on_chain: Option<u64>,
    /// Who signs the checkpoint: the trusted key, or the first of its keys.
    pub signer: Signer,
}

/// The outcome of a check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    outcome: Result<Proof, Failure>,
    signer_pinned: bool,
}

impl Verdict {
    pub(super) const fn of(proof: Proof, signer_pinned: bool) -> Self {
        Self {
            outcome: Ok(proof),
            signer_pinned,
        }
    }

    pub(super) const fn failed(failure: Failure) -> Self {
        Self {
            outcome: Err(failure),
            signer_pinned: false,
        }
    }

    /// Whether everything in the bundle holds; exit code 7 when not.
    pub const fn verified(&self) -> bool {
        self.outcome.is_ok()
    }

    /// Whether it was checked against a key that the reader brought.
    pub const fn signer_pinned(&self) -> bool {
        self.signer_pinned
    }

    /// What holds, or what does not.
    pub const fn outcome(&self) -> &Result<Proof, Failure> {
        &self.outcome
    }

    /// Adds what a node of the anchor's chain said: the events of the anchor's transaction, and how
    /// many blocks are on top of it. A bundle without an anchor is not changed; one whose anchor the
    /// chain does not confirm fails.
    #[must_use]
    pub fn with_chain(mut self, logs: &[ChainLog], depth: u64) -> Self {
        let Ok(proof) = &mut self.outcome else {
            return self;
        };
        match &proof.anchor {
            Some(anchor) if logs.iter().any(|log| anchor.seen_in(log)) => {
                proof.on_chain = Some(depth);
                self
            }
            Some(_) => self.refuted("the chain has no such event in that transaction"),
            None => self,
        }
    }

    /// Makes it fail because of its anchor: a chain says otherwise, for this cause.
    #[must_use]
    pub fn refuted(self, cause: impl Into<String>) -> Self {
        match self.outcome {
            Ok(_) => Self::failed(Failure::new(Part::Anchor, cause)),
            Err(_) => self,
        }
    }

    /// What is proved, a sentence each without a full stop; nothing when the check failed.
    pub fn proved(&self) -> Vec<String> {
        let Ok(proof) = &self.outcome else {
            return Vec::new();
        };
        let log = proof.checkpoint.origin();
        let mut proved = vec![format!(
            "{} entry seq {} among the first {} entries of the log {log}, byte for byte",
            proof.event(),
            proof.seq,
            proof.checkpoint.size()
        )];
        if let Some(newer) = &proof.newer {
            proved.push(format!(
                "these {} entries are the unchanged beginning of the {} that the log had later",
                proof.checkpoint.size(),
                newer.size()
            ));
        }
        if let (Some(anchor), Some(depth)) = (&proof.anchor, proof.on_chain) {
            proved.push(format!(
                "the root of {} entries is on chain {} in transaction 0x{}, under {depth} blocks",
                anchor.anchored.entry_count,
                anchor.chain_id,
                hex::encode(anchor.transaction)
            ));
        }
        proved
    }

    /// What is not proved and might be believed, a sentence each without a full stop.
    pub fn not_proved(&self) -> Vec<String> {
        let proof = match &self.outcome {
            Ok(proof) => proof,
            Err(failure) => return vec![format!("anything, because {}", failure.cause)],
        };
        let mut not = Vec::new();
        if !self.signer_pinned {
            not.push("whose key this is".to_owned());
        }
        if Envelope::decode(&proof.envelope).is_err() {
            not.push("that these bytes are an audit event".to_owned());
        }
        not.push(
            "that the host wrote the truth or the right time when it wrote the event".to_owned(),
        );
        not.push(match (&proof.anchor, proof.on_chain) {
            (_, Some(_)) => "that nobody was shown another log before that block".to_owned(),
            (Some(anchor), None) => format!(
                "that the root is on a chain: transaction 0x{} of chain {} was not looked up",
                hex::encode(anchor.transaction),
                anchor.chain_id
            ),
            (None, _) => {
                "that others were shown the same log, as by this proof its root is not on \
                          a chain"
                    .to_owned()
            }
        });
        not
    }

    /// All of it in one sentence for people.
    pub fn sentence(&self) -> String {
        let proof = match &self.outcome {
            Ok(proof) => proof,
            Err(failure) => {
                let part = failure.part.name();
                return format!(
                    "not proved, because of the bundle's {part}: {}",
                    failure.cause
                );
            }
        };
        let fingerprint = &proof.signer.fingerprint;
        let under = if self.signer_pinned {
            format!("under the trusted key {fingerprint}")
        } else {
            format!("under key {fingerprint}, which you have not pinned")
        };
        let proved = self.proved().join(", and ");
        let not = self.not_proved().join(", nor ");
        format!("{under}, it is proved that {proved}; it is not proved {not}")
    }

    /// The object of `agentkeys audit verify --json`.
    pub fn to_json(&self) -> Value {
        let mut object = json!({
            "verified": self.verified(),
            "signer_pinned": self.signer_pinned,
            "proved": self.proved(),
            "not_proved": self.not_proved(),
            "sentence": self.sentence(),
        });
        match &self.outcome {
            Ok(proof) => {
                object["key"] = json!(proof.signer.key);
                object["fingerprint"] = json!(proof.signer.fingerprint);
            }
            Err(failure) => {
                object["first_bad"] = json!(failure.part.name());
                object["code"] = json!(failure.part.code());
            }
        }
        object
    }
}

impl Proof {
    /// The event in a few words. The bytes come from outside, so only its kind and result are said.
    fn event(&self) -> String {
        let Ok(event) = Envelope::decode(&self.envelope) else {
            return format!("{} bytes are", self.envelope.len());
        };
        let result = match event.result.as_byte() {
            0 => "succeeded",
            1 => "failed",
            _ => "was refused",
        };
        format!("an event {} that {result} is", kind::name_of(event.op_kind))
    }
}
