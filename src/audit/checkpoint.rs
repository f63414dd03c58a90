//! A checkpoint (C2SP tlog-checkpoint): a log's origin, size and root as a signed note. Once signed,
//! a log can only grow: [`Checkpoint::sign_after`] is the only way to sign one, and it refuses what
//! is not the continuation of the last one signed.

use super::note::{KeyError, LogKey, NoteError, SignedNote, VerifierKey};
use super::tree::{EMPTY_ROOT, Hash, MAX_SIZE, ProofError, verify_consistency};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// The longest origin, in bytes.
pub const MAX_ORIGIN: usize = 255;

/// What a log says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    origin: String,
    size: u64,
    root: Hash,
}

/// Why a text is not a checkpoint of ours.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// The note itself is wrong, or no known key signs it.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// Not visible ASCII without `+`, 1 to [`MAX_ORIGIN`] bytes.
    #[error("the origin is not 1 to {MAX_ORIGIN} visible ASCII characters without a plus sign")]
    Origin,
    /// Not a decimal number in its shortest form, or larger than a log can be.
    #[error("the size is not a decimal number in its shortest form")]
    Size,
    /// Not 32 bytes in base64, or not the root of an empty log where it is empty.
    #[error("the root is not the base64 of 32 bytes, or not an empty log's")]
    Root,
    /// Lines after the third, or too few.
    #[error("the checkpoint does not have exactly three lines")]
    Lines,
    /// A key signs that is not named like the log.
    #[error("the checkpoint's key is not named after its origin")]
    KeyName,
}

/// Why a checkpoint must not be signed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    /// The last one is another log's.
    #[error("the last signed checkpoint is of another log: {0}")]
    OtherLog(String),
    /// Smaller than what was signed.
    #[error("{size} entries are fewer than the {last} that were signed")]
    Smaller {
        /// What the last checkpoint says.
        last: u64,
        /// What this one says.
        size: u64,
    },
    /// Nothing shows that this is the same log, longer: a fork, or a damaged tree.
    #[error("not a continuation of the last signed checkpoint: {0}")]
    Inconsistent(ProofError),
    /// A key of another name, none, or one that cannot sign.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// A key that is not named after the log.
    #[error("the key {0} is not named after the log")]
    KeyName(String),
}

impl Checkpoint {
    /// A checkpoint.
    pub fn new(origin: &str, size: u64, root: Hash) -> Result<Self, CheckpointError> {
        if !is_origin(origin) {
            return Err(CheckpointError::Origin);
        }
        if size > MAX_SIZE {
            return Err(CheckpointError::Size);
        }
        if (size == 0) != (root == EMPTY_ROOT) {
            return Err(CheckpointError::Root);
        }
        Ok(Self {
            origin: origin.to_owned(),
            size,
            root,
        })
    }

    /// Which log.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// How many entries it has.
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// The root of the tree over them.
    pub const fn root(&self) -> &Hash {
        &self.root
    }

    /// The text that is signed: three lines.
    pub fn text(&self) -> String {
        let root = STANDARD.encode(self.root);
        format!("{}\n{}\n{root}\n", self.origin, self.size)
    }

    /// Reads that text. Strict: what it accepts, [`Self::text`] writes back byte for byte.
    pub fn from_text(text: &str) -> Result<Self, CheckpointError> {
        let mut lines = text
            .strip_suffix('\n')
            .ok_or(CheckpointError::Lines)?
            .split('\n');
        let mut line = || lines.next().ok_or(CheckpointError::Lines);
        let (origin, size, root) = (line()?, line()?, line()?);
        if lines.next().is_some() {
            return Err(CheckpointError::Lines);
        }
        let size = decimal(size).ok_or(CheckpointError::Size)?;
        let root = hash(root).ok_or(CheckpointError::Root)?;
        Self::new(origin, size, root)
    }

    /// Reads a signed checkpoint and says which of these keys sign it. Every one of them must be named
    /// after the log, so that one log's key cannot speak for another.
    pub fn open<'k>(
        note: &SignedNote,
        known: &'k [VerifierKey],
    ) -> Result<(Self, Vec<&'k VerifierKey>), CheckpointError> {
        let signers = note.signers(known)?;
        let checkpoint = Self::from_text(note.text())?;
        if signers.iter().any(|key| key.name() != checkpoint.origin) {
            return Err(CheckpointError::KeyName);
        }
        Ok((checkpoint, signers))
    }

    /// Signs this checkpoint, if it continues `last`, the last one signed for this origin; `None` only
    /// for the first. `proof` is the consistency proof from `last` to this one
    /// ([`super::tree::Tree::consistency`]). Signing the same tree again is allowed, so that a new key
    /// can.
    pub fn sign_after(
        &self,
        last: Option<&Self>,
        proof: &[Hash],
        keys: &[LogKey],
    ) -> Result<SignedNote, SignError> {
        if let Some(last) = last {
            if last.origin != self.origin {
                return Err(SignError::OtherLog(last.origin.clone()));
            }
            if last.size > self.size {
                return Err(SignError::Smaller {
                    last: last.size,
                    size: self.size,
                });
            }
            verify_consistency(last.size, &last.root, self.size, &self.root, proof)
                .map_err(SignError::Inconsistent)?;
        }
        if let Some(key) = keys.iter().find(|k| k.verifier().name() != self.origin) {
            return Err(SignError::KeyName(key.verifier().name().to_owned()));
        }
        Ok(SignedNote::sign(self.text(), keys)?)
    }
}

/// Whether a text can be a log's origin: printable as it is, and a key can be named after it.
pub(super) fn is_origin(text: &str) -> bool {
    (1..=MAX_ORIGIN).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_graphic() && b != b'+')
}

/// A decimal number in its shortest form.
pub(super) fn decimal(text: &str) -> Option<u64> {
    let shortest =
        text.bytes().all(|b| b.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    text.parse().ok().filter(|_| shortest)
}

/// 32 bytes in canonical base64.
pub(super) fn hash(text: &str) -> Option<Hash> {
    STANDARD.decode(text).ok()?.try_into().ok()
}

#[cfg(test)]
mod tests;
