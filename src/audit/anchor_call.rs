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
        let words = [self.operator_omni, self.root, *self.kinds.as_bytes(), count];
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
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::audit::envelope::kind::OpKind;
    use proptest::prelude::*;

    fn root() -> AnchoredRoot {
        AnchoredRoot {
            operator_omni: [0x11; 32],
            root: [0x22; 32],
            kinds: [0, 10, 100, 255].into_iter().collect(),
            entry_count: 0x0102_0304_0506_0708,
        }
    }

    /// The four words of [`root`], as Python's `eth-abi` 5 encodes them for either type of the bitmap.
    const WORDS: &str = "\
        1111111111111111111111111111111111111111111111111111111111111111\
        2222222222222222222222222222222222222222222222222222222222222222\
        8000000000000000000000000000000000000010000000000000000000000401\
        0000000000000000000000000000000000000000000000000102030405060708";

    #[test]
    fn selectors_and_topics_are_keccak_of_the_signatures() {
        // From `eth-utils`; the first is also in the existing services' own table of selectors.
        let known = [
            (
                Dialect::Bytes32,
                "bcfe3f8d",
                "d342148eba933b2fcc9cb3b168066b62245a76f11d98919d76eb69cfb66e48eb",
            ),
            (
                Dialect::Uint256,
                "6e258b80",
                "0202fd488b5999d79da188e31db856e562a569b1ea5ddbd39c2c1ca3c330664b",
            ),
        ];
        for (dialect, selector, topic) in known {
            assert_eq!(hex::encode(dialect.selector()), selector);
            assert_eq!(hex::encode(dialect.topic()), topic);
            let calldata = format!("{selector}{WORDS}");
            assert_eq!(hex::encode(root().calldata(dialect)), calldata);
        }
    }

    #[test]
    fn a_bit_stands_for_a_kind_and_the_lowest_for_kind_zero() {
        let of = |kinds: &[u8]| kinds.iter().copied().collect::<KindBitmap>();
        let number = |low: u128| {
            let mut bytes = [0; 32];
            bytes[16..].copy_from_slice(&low.to_be_bytes());
            KindBitmap::from_bytes(bytes)
        };
        assert_eq!(of(&[]), KindBitmap::NONE);
        assert_eq!(of(&[0]), number(1));
        assert_eq!(of(&[10, 11, 10]), number(1 << 10 | 1 << 11));
        assert_eq!(of(&[127]), number(1 << 127));
        assert_eq!(of(&[255]).as_bytes()[0], 0x80);
        let ours: KindBitmap = OpKind::ALL.iter().map(|kind| kind.as_byte()).collect();
        let bytes: Vec<u8> = OpKind::ALL.iter().map(|kind| kind.as_byte()).collect();
        assert_eq!(ours.kinds().collect::<Vec<_>>(), bytes);
    }

    #[test]
    fn the_event_is_read_however_much_of_it_is_indexed_and_nothing_else_is() {
        let words: Vec<Word> = hex::decode(WORDS).unwrap().as_chunks().0.to_vec();
        for dialect in Dialect::ALL {
            for indexed in 0..=3 {
                let topics = [&[dialect.topic()][..], &words[..indexed]].concat();
                let data = words[indexed..].concat();
                assert_eq!(AnchoredRoot::from_log(&topics, &data), Some(root()));
                let refused = |topics: &[Word], data: &[u8]| {
                    assert_eq!(AnchoredRoot::from_log(topics, data), None);
                };
                refused(&topics[1..], &data);
                refused(&[&[[0; 32]], &topics[1..]].concat(), &data);
                refused(&topics, &data[..data.len() - 1]);
                refused(&topics, &data[..data.len() - 32]);
                refused(&topics, &[&data[..], &[0; 32]].concat());
            }
        }
        // A count that does not fit is not cut down to one that does.
        let mut large = words[2..].concat();
        large[32] = 1;
        let topics = [Dialect::Bytes32.topic(), words[0], words[1]];
        assert_eq!(AnchoredRoot::from_log(&topics, &large), None);
        assert_eq!(AnchoredRoot::from_log(&[], &[]), None);
    }

    #[test]
    fn a_contracts_code_says_which_of_the_two_it_has() {
        for dialect in Dialect::ALL {
            // `DUP1 PUSH4 selector EQ`, as a compiler writes its table.
            let code = [&[0x60, 0x80, 0x80, 0x63][..], &dialect.selector(), &[0x14]].concat();
            assert_eq!(Dialect::of_code(&code), Some(dialect));
        }
        let bare = [&[0x80][..], &Dialect::Bytes32.selector(), &[0x14]].concat();
        for code in [&[][..], &[0x63], &bare] {
            assert_eq!(Dialect::of_code(code), None);
        }
    }

    proptest! {
        #[test]
        fn any_root_comes_back_from_its_own_words(
            operator_omni: [u8; 32], root: [u8; 32], kinds: Vec<u8>, entry_count: u64,
        ) {
            let anchored = AnchoredRoot {
                operator_omni,
                root,
                kinds: kinds.iter().copied().collect(),
                entry_count,
            };
            for kind in 0..=u8::MAX {
                prop_assert_eq!(anchored.kinds.has(kind), kinds.contains(&kind));
            }
            let data = anchored.calldata(Dialect::Bytes32).split_off(4);
            let topics = [Dialect::Bytes32.topic()];
            prop_assert_eq!(AnchoredRoot::from_log(&topics, &data), Some(anchored));
        }

        #[test]
        fn no_log_makes_reading_panic(topics: Vec<[u8; 32]>, data: Vec<u8>) {
            let topics = [&[Dialect::Bytes32.topic()][..], &topics].concat();
            let _ = AnchoredRoot::from_log(&topics, &data);
            let _ = Dialect::of_code(&data);
        }
    }
}
