//! An anchor: which transaction put which root on which chain, as a note the log signs. The signature
//! only says that the log claims it, so that the claim cannot be altered in a bundle; what proves an
//! anchor is the chain's own event log ([`Anchor::seen_in`]).

use super::anchor_call::{AnchoredRoot, KindBitmap};
use super::checkpoint::{SignError, decimal, is_origin};
use super::note::{LogKey, NoteError, SignedNote, VerifierKey};
use super::tree::Hash;
use std::fmt;
use std::str::FromStr;

/// The first line. It has spaces, so no checkpoint begins like this, and no note is both.
const TITLE: &str = "agentkeys anchor v1";

/// Where signed roots go besides. Only one of these is a chain; with the others nothing may ever be
/// called anchored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnchorKind {
    /// Nowhere.
    None,
    /// To a file, which the operator may take elsewhere.
    File,
    /// To a contract on a chain.
    Evm,
}

impl AnchorKind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::None, Self::File, Self::Evm];

    /// Its word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::File => "file",
            Self::Evm => "evm",
        }
    }
}

impl fmt::Display for AnchorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// No such word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is none of none, file, evm")]
pub struct NoSuchKind;

impl FromStr for AnchorKind {
    type Err = NoSuchKind;

    fn from_str(word: &str) -> Result<Self, NoSuchKind> {
        let mut all = Self::ALL.into_iter();
        all.find(|kind| kind.as_str() == word).ok_or(NoSuchKind)
    }
}

/// A root's place on a chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Anchor {
    /// Which log.
    pub origin: String,
    /// EIP-155 chain id.
    pub chain_id: u64,
    /// The contract that was called.
    pub contract: [u8; 20],
    /// The transaction's hash.
    pub transaction: [u8; 32],
    /// The number of the block it is in.
    pub block: u64,
    /// What was put there.
    pub anchored: AnchoredRoot,
}

/// Why a note is not an anchor of ours.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AnchorError {
    /// The note itself is wrong, or no known key signs it.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// Not the lines of an anchor, each in its one form.
    #[error("the anchor's `{0}` is missing or not in its one form")]
    Field(&'static str),
    /// A key signs that is not named like the log.
    #[error("the anchor's key is not named after its origin")]
    KeyName,
}

/// An event as a node of the chain tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChainLog {
    /// The chain that was asked.
    pub chain_id: u64,
    /// The contract that emitted it.
    pub contract: [u8; 20],
    /// The transaction it belongs to.
    pub transaction: [u8; 32],
    /// The block it is in.
    pub block: u64,
    /// Its topics.
    pub topics: Vec<[u8; 32]>,
    /// Its data.
    pub data: Vec<u8>,
}

impl Anchor {
    /// The text that is signed: ten lines.
    pub fn text(&self) -> String {
        let AnchoredRoot {
            operator_omni,
            root,
            kinds,
            entry_count,
        } = &self.anchored;
        format!(
            "{TITLE}\norigin {}\nchain {}\ncontract 0x{}\ntransaction 0x{}\nblock {}\noperator 0x{}\nroot 0x{}\nentries {entry_count}\nkinds 0x{}\n",
            self.origin,
            self.chain_id,
            hex::encode(self.contract),
            hex::encode(self.transaction),
            self.block,
            hex::encode(operator_omni),
            hex::encode(root),
            hex::encode(kinds.as_bytes()),
        )
    }

    /// Reads that text. Strict: what it accepts, [`Self::text`] writes back byte for byte.
    pub fn from_text(text: &str) -> Result<Self, AnchorError> {
        let mut lines = text.split('\n');
        if lines.next() != Some(TITLE) {
            return Err(AnchorError::Field("title"));
        }
        let mut fields = Fields(lines);
        let origin = fields.value("origin")?;
        if !is_origin(origin) {
            return Err(AnchorError::Field("origin"));
        }
        let anchor = Self {
            origin: origin.to_owned(),
            chain_id: fields.number("chain")?,
            contract: fields.bytes("contract")?,
            transaction: fields.bytes("transaction")?,
            block: fields.number("block")?,
            anchored: AnchoredRoot {
                operator_omni: fields.bytes("operator")?,
                root: fields.bytes("root")?,
                entry_count: fields.number("entries")?,
                kinds: KindBitmap::from_bytes(fields.bytes("kinds")?),
            },
        };
        if (fields.0.next(), fields.0.next()) != (Some(""), None) {
            return Err(AnchorError::Field("end"));
        }
        Ok(anchor)
    }

    /// Reads a signed anchor and says which of these keys sign it; each must be named after the log.
    pub fn open<'k>(
        note: &SignedNote,
        known: &'k [VerifierKey],
    ) -> Result<(Self, Vec<&'k VerifierKey>), AnchorError> {
        let signers = note.signers(known)?;
        let anchor = Self::from_text(note.text())?;
        if signers.iter().any(|key| key.name() != anchor.origin) {
            return Err(AnchorError::KeyName);
        }
        Ok((anchor, signers))
    }

    /// Signs it with keys named after the log.
    pub fn sign(&self, keys: &[LogKey]) -> Result<SignedNote, SignError> {
        if let Some(key) = keys.iter().find(|k| k.verifier().name() != self.origin) {
            return Err(SignError::KeyName(key.verifier().name().to_owned()));
        }
        Ok(SignedNote::sign(self.text(), keys)?)
    }

    /// Whether it is about the tree of this size and root.
    pub fn is_of(&self, size: u64, root: &Hash) -> bool {
        self.anchored.entry_count == size && self.anchored.root == *root
    }

    /// Whether an event that a node told is this anchor, in every field.
    pub fn seen_in(&self, log: &ChainLog) -> bool {
        (log.chain_id, log.block) == (self.chain_id, self.block)
            && log.contract == self.contract
            && log.transaction == self.transaction
            && AnchoredRoot::from_log(&log.topics, &log.data) == Some(self.anchored)
    }
}

/// The lines of an anchor, in their order.
struct Fields<'t>(std::str::Split<'t, char>);

impl<'t> Fields<'t> {
    fn value(&mut self, name: &'static str) -> Result<&'t str, AnchorError> {
        let line = self.0.next().and_then(|line| line.strip_prefix(name));
        line.and_then(|rest| rest.strip_prefix(' '))
            .ok_or(AnchorError::Field(name))
    }

    fn number(&mut self, name: &'static str) -> Result<u64, AnchorError> {
        decimal(self.value(name)?).ok_or(AnchorError::Field(name))
    }

    fn bytes<const N: usize>(&mut self, name: &'static str) -> Result<[u8; N], AnchorError> {
        let digits = self.value(name)?.strip_prefix("0x");
        let lower = |text: &&str| !text.bytes().any(|b| b.is_ascii_uppercase());
        let bytes = digits.filter(lower).and_then(|d| hex::decode(d).ok());
        bytes
            .and_then(|b| b.try_into().ok())
            .ok_or(AnchorError::Field(name))
    }
}

#[cfg(test)]
mod tests;
