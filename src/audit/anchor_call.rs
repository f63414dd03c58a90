//! The contract call that puts a root on a chain, `appendRootV2`, and the event it leaves there, as
//! bytes (`formats/agentkeys.md` §2; Solidity ABI). Sending is another room's work.

use super::tree::Hash;
use crate::digest::keccak256;

/// A word of the ABI.
type Word = [u8; 32];

/// Which kinds of event a stretch of the log has: 256 bits, bit k for kind k, the lowest bit for
/// kind 0; in bytes as a big-endian number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct KindBitmap(Word);

impl KindBitmap {
    /// No kinds.
    pub const NONE: Self = Self([0; 32]);

    /// Adds a kind, by its byte in the envelope.
    pub fn add(&mut self, kind: u8) {
        let (byte, bit) = Self::place(kind);
        self.0[byte] |= bit;
    }

    /// Whether a kind is in it.
    pub fn has(&self, kind: u8) -> bool {
        let (byte, bit) = Self::place(kind);
        self.0[byte] & bit != 0
    }

    /// The kinds in it, lowest first.
    pub fn kinds(&self) -> impl Iterator<Item = u8> {
        let this = *self;
        (0..=u8::MAX).filter(move |&kind| this.has(kind))
    }

    /// As a big-endian number.
    pub const fn from_bytes(bytes: Word) -> Self {
        Self(bytes)
    }

    /// As a big-endian number.
    pub const fn as_bytes(&self) -> &Word {
        &self.0
    }

    fn place(kind: u8) -> (usize, u8) {
        (31 - usize::from(kind / 8), 1 << (kind % 8))
    }
}

impl FromIterator<u8> for KindBitmap {
    fn from_iter<I: IntoIterator<Item = u8>>(kinds: I) -> Self {
        let mut bitmap = Self::NONE;
        kinds.into_iter().for_each(|kind| bitmap.add(kind));
        bitmap
    }
}

/// How a contract declares the bitmap. The encoding is the same, the selector is not: the deployed
/// `CredentialAudit` says `bytes32`, its papers speak of a `uint256`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Dialect {
    /// `appendRootV2(bytes32,bytes32,bytes32,uint64)`: the existing contract.
    #[default]
    Bytes32,
    /// `appendRootV2(bytes32,bytes32,uint256,uint64)`.
    Uint256,
}

impl Dialect {
    /// Both, the usual one first.
    pub const ALL: [Self; 2] = [Self::Bytes32, Self::Uint256];

    /// The function's canonical signature.
    pub const fn function(self) -> &'static str {
        match self {
            Self::Bytes32 => "appendRootV2(bytes32,bytes32,bytes32,uint64)",
            Self::Uint256 => "appendRootV2(bytes32,bytes32,uint256,uint64)",
        }
    }

    /// The event's canonical signature.
    pub const fn event(self) -> &'static str {
        match self {
            Self::Bytes32 => "AuditRootAppendedV2(bytes32,bytes32,bytes32,uint64)",
            Self::Uint256 => "AuditRootAppendedV2(bytes32,bytes32,uint256,uint64)",
        }
    }

    /// The first four bytes of the call.
    pub fn selector(self) -> [u8; 4] {
        let [a, b, c, d, ..] = keccak256(&[self.function().as_bytes()]);
        [a, b, c, d]
    }

    /// The event's first topic.
    pub fn topic(self) -> Word {
        keccak256(&[self.event().as_bytes()])
    }

    /// Which of the two a contract's code dispatches on, by the selector it compares with (a `PUSH4`);
    /// none behind a proxy, or where neither is there.
    pub fn of_code(code: &[u8]) -> Option<Self> {
        const PUSH4: u8 = 0x63;
        Self::ALL.into_iter().find(|dialect| {
            let [a, b, c, d] = dialect.selector();
            code.windows(5).any(|w| w == [PUSH4, a, b, c, d])
        })
    }
}

/// What is put on the chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AnchoredRoot {
    /// Whose log.
    pub operator_omni: [u8; 32],
    /// The root.
    pub root: Hash,
    /// The kinds of the entries since the last anchor.
    pub kinds: KindBitmap,
    /// The size of the tree.
    pub entry_count: u64,
}

impl AnchoredRoot {
    /// The call's data: selector and four words, 132 bytes.
    pub fn calldata(&self, dialect: Dialect) -> Vec<u8> {
        let mut count = [0; 32];
        count[24..].copy_from_slice(&self.entry_count.to_be_bytes());
        let words = [
            self.operator_omni,
            self.root,
            *self.kinds.as_bytes(),
            count,
        ];
        [&dialect.selector()[..], &words.concat()].concat()
    }

    /// Reads the event from a log of the chain: its topics, and its data. The contract declares
    /// operator and root as indexed, so they are topics; another that keeps the order and declares
    /// fewer or more of them so is read too. `None` for any other event, or a malformed one.
    pub fn from_log(topics: &[Word], data: &[u8]) -> Option<Self> {
        let (event, indexed) = topics.split_first()?;
        if !Dialect::ALL.iter().any(|dialect| dialect.topic() == *event) {
            return None;
        }
        let (rest, []) = data.as_chunks::<32>() else {
            return None;
        };
        let words = [indexed, rest].concat();
        let [operator_omni, root, kinds, count] = words[..] else {
            return None;
        };
        let (zeros, count) = count.split_last_chunk::<8>()?;
        if zeros.iter().any(|&byte| byte != 0) {
            return None;
        }
        Some(Self {
            operator_omni,
            root,
            kinds: KindBitmap::from_bytes(kinds),
            entry_count: u64::from_be_bytes(*count),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn root() -> AnchoredRoot {
        AnchoredRoot {
            operator_omni: [0x11; 32],
            root: [0x22; 32],
            kinds: [0, 10, 100, 255].into_iter().collect(),
            entry_count: 0x0102_0304_0506_0708,
        }
    }
}
