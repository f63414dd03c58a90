//! What a check of a whole log came to, in words that do not say more than that.

use crate::audit::checkpoint::Checkpoint;
use crate::audit::note::VerifierKey;
use serde_json::{Value, json};

/// What is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// A row's bytes are not those the tree was made of.
    Entry,
    /// A column beside an envelope says something else than the envelope.
    Column,
    /// An envelope is not one this program writes.
    Form,
    /// A row is not there.
    Missing,
    /// A row is there that should not be.
    Extra,
    /// The log is shorter than what was signed or counted.
    Truncated,
    /// The stored tree is not the tree of the entries.
    Tile,
    /// A stored checkpoint does not hold.
    Checkpoint,
    /// A stored checkpoint is signed by nobody who may.
    Stranger,
    /// A signed checkpoint that the reader kept is no longer in the store.
    CheckpointMissing,
    /// Two signed checkpoints contradict each other.
    Contradiction,
    /// The log is another than the one that was signed.
    Fork,
    /// The log was put back from an older copy, and says so.
    PutBack,
    /// An entry claims to be older than what was signed before it.
    BackDated,
    /// What the store says of itself is impossible.
    Head,
    /// Signed by somebody the reader does not trust.
    NotTrusted,
    /// Nothing was ever signed.
    NotSealed,
    /// The checkpoint that the reader kept does not hold itself.
    Since,
    /// The file cannot be read as far as it goes.
    Unreadable,
}

impl What {
    /// The stable code.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Entry => "agentkeys.audit.entry_altered",
            Self::Column => "agentkeys.audit.column_altered",
            Self::Form => "agentkeys.audit.entry_malformed",
            Self::Missing => "agentkeys.audit.entry_missing",
            Self::Extra => "agentkeys.audit.entry_extra",
            Self::Truncated => "agentkeys.audit.truncated",
            Self::Tile => "agentkeys.audit.tree_damaged",
            Self::Checkpoint => "agentkeys.audit.checkpoint_damaged",
            Self::Stranger => "agentkeys.audit.checkpoint_by_stranger",
            Self::CheckpointMissing => "agentkeys.audit.checkpoint_missing",
            Self::Contradiction => "agentkeys.audit.checkpoints_contradict",
            Self::Fork => "agentkeys.audit.forked",
            Self::PutBack => "agentkeys.audit.put_back",
            Self::BackDated => "agentkeys.audit.back_dated",
            Self::Head => "agentkeys.audit.head_damaged",
            Self::NotTrusted => "agentkeys.audit.not_trusted",
            Self::NotSealed => "agentkeys.audit.not_sealed",
            Self::Since => "agentkeys.audit.kept_checkpoint",
            Self::Unreadable => "agentkeys.audit.unreadable",
        }
    }

    /// What to do about it.
    pub const fn fix(self) -> &'static str {
        match self {
            Self::Tile => {
                "run `agentkeys audit fsck`: it makes the tree again from the entries if what was signed proves them"
            }
            Self::NotSealed => "run `agentkeys audit checkpoint`",
            Self::NotTrusted => {
                "pin the newer key too, once you got it over a way you trust; if nobody can tell you why there is one, do not believe the log"
            }
            Self::Since => "give the checkpoint as it was written, and a key that signed it",
            Self::PutBack => {
                "ask who put it back; what was signed before and is not there is lost here, and a copy of the log from before has it"
            }
            _ => {
                "do not believe this log from there on; keep the file as it is, and compare it with a copy from before"
            }
        }
    }
}

/// Why a log does not verify.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{cause}")]
pub struct Failure {
    /// What is wrong.
    pub what: What,
    /// The first position that is, or may be, wrong.
    pub first_bad: Option<u64>,
    /// In words, without a full stop.
    pub cause: String,
}

impl Failure {
    /// A failure.
    pub const fn new(what: What, first_bad: Option<u64>, cause: String) -> Self {
        Self {
            what,
            first_bad,
            cause,
        }
    }
}

/// The checkpoint that the reader kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// The log's name then.
    pub origin: String,
    /// How many entries it covers.
    pub size: u64,
    /// Whether there are entries it covers whose times are known.
    pub timed: bool,
}

/// What holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// How many entries the log has.
    pub size: u64,
    /// How many of the first are only hashes any more.
    pub hashes_only: u64,
    /// The newest signed tree.
    pub sealed: Option<Checkpoint>,
    /// What the reader kept, and the log continues.
    pub since: Option<Kept>,
    /// Who signs the newest tree: the trusted key, or the first.
    pub signer: Option<VerifierKey>,
    /// Whether the reader trusts that key.
    pub pinned: bool,
}

/// The outcome of a check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    outcome: Result<Held, Failure>,
}

impl Verdict {
    pub(super) const fn of(held: Held) -> Self {
        Self { outcome: Ok(held) }
    }

    /// Of a log that does not verify.
    pub const fn failed(failure: Failure) -> Self {
        Self {
            outcome: Err(failure),
        }
    }

    /// Whether everything holds; exit code 7 when not.
    pub const fn verified(&self) -> bool {
        self.outcome.is_ok()
    }

    /// What holds, or what does not.
    pub const fn outcome(&self) -> &Result<Held, Failure> {
        &self.outcome
    }

    /// Whether it was checked against a key that the reader brought.
    pub fn signer_pinned(&self) -> bool {
        self.outcome.as_ref().is_ok_and(|held| held.pinned)
    }

    /// What is proved, a sentence each without a full stop.
    pub fn proved(&self) -> Vec<String> {
        self.outcome
            .as_ref()
            .map_or_else(|_| Vec::new(), Held::proved)
    }

    /// What is not proved and might be believed, a sentence each without a full stop.
    pub fn not_proved(&self) -> Vec<String> {
        match &self.outcome {
            Ok(held) => held.not_proved(),
            Err(failure) => vec![format!("anything, because {}", failure.cause)],
        }
    }

    /// All of it in one sentence for people.
    pub fn sentence(&self) -> String {
        let held = match &self.outcome {
            Ok(held) => held,
            Err(failure) => return format!("not proved: {}", failure.cause),
        };
        let Some(signer) = &held.signer else {
            return "the log has no entries, and nothing to prove".to_owned();
        };
        let fingerprint = signer.fingerprint();
        let under = if held.pinned {
            format!("under the trusted key {fingerprint}")
        } else {
            format!("under key {fingerprint}, which you have not pinned")
        };
        let proved = held.proved().join(", and ");
        let not = held.not_proved().join(", nor ");
        format!("{under}, it is proved that {proved}; it is not proved {not}")
    }

    /// The object of `agentkeys audit verify --log --json`.
    pub fn to_json(&self) -> Value {
        let mut object = json!({
            "verified": self.verified(),
            "signer_pinned": self.signer_pinned(),
            "proved": self.proved(),
            "not_proved": self.not_proved(),
            "sentence": self.sentence(),
        });
        match &self.outcome {
            Ok(held) => {
                object["entries"] = held.size.into();
                object["hashes_only"] = held.hashes_only.into();
                object["sealed"] = held.sealed.as_ref().map_or(0, Checkpoint::size).into();
                if let Some(signer) = &held.signer {
                    object["origin"] = signer.name().into();
                    object["key"] = signer.to_string().into();
                    object["fingerprint"] = signer.fingerprint().into();
                }
            }
            Err(failure) => {
                object["code"] = failure.what.code().into();
                object["fix"] = failure.what.fix().into();
                if let Some(place) = failure.first_bad {
                    object["first_bad"] = place.into();
                }
            }
        }
        object
    }
}

impl Held {
    fn proved(&self) -> Vec<String> {
        let Some(sealed) = &self.sealed else {
            return Vec::new();
        };
        let (size, log) = (sealed.size(), sealed.origin());
        let mut proved = vec![format!(
            "the first {size} entries of the log {log} are those that were signed, byte for byte and \
             in this order"
        )];
        if self.hashes_only > 0 {
            proved.push(format!(
                "the first {} of them are those whose bodies were pruned, by their hashes alone",
                self.hashes_only
            ));
        }
        if self.hashes_only < size {
            proved.push("the columns the feed is searched by say what the entries say".to_owned());
        }
        if let Some(kept) = &self.since {
            proved.push(format!(
                "the log begins with the {} entries of the kept checkpoint of {}, unchanged",
                kept.size, kept.origin
            ));
            if kept.timed {
                proved.push(
                    "no later entry claims to be from more than 60 seconds before those".to_owned(),
                );
            }
        }
        proved
    }

    fn not_proved(&self) -> Vec<String> {
        let mut not = Vec::new();
        if self.signer.is_some() && !self.pinned {
            not.push("whose key this is".to_owned());
        }
        let sealed = self.sealed.as_ref().map_or(0, Checkpoint::size);
        if self.size > sealed {
            let rest = self.size - sealed;
            not.push(format!(
                "that the last {rest} entries stay as they are, which no checkpoint covers yet"
            ));
        }
        if self.hashes_only > 0 {
            let gone = self.hashes_only;
            not.push(format!("what the first {gone} entries said"));
        }
        if self.since.is_none() {
            not.push(
                "that this is the log that was there before, as no kept checkpoint was given"
                    .to_owned(),
            );
        }
        not.push("that the host wrote the truth, or the right time: times are its own".to_owned());
        not.push("that others were shown the same log, as no chain was asked".to_owned());
        not
    }
}
