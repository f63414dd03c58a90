//! What has to outlive the process, as data, and who keeps it.

use super::tx::{Fees, Signed};
use crate::audit::anchor_call::{AnchoredRoot, KindBitmap};
use crate::audit::tree::Hash;
use crate::authority::identity::WalletAddress;
use crate::authority::ports::Later;
use serde::{Deserialize, Serialize};

/// Attempts of one transaction that are remembered. With an eighth more each time the fees of the
/// first and the last are a factor of 38 apart; one that is forgotten and mined after all shows as a
/// nonce that is used up, and the root is put there once more.
pub const MAX_ATTEMPTS: usize = 32;

/// A signed checkpoint that no anchor covers yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Due {
    /// The number of the log's name: trees of two names are two trees.
    pub origin: u32,
    /// The size of the tree.
    pub size: u64,
    /// Its root.
    pub root: Hash,
    /// The kinds of the entries since the checkpoint before it.
    pub kinds: KindBitmap,
}

impl Due {
    /// Of several checkpoints that wait, one root is put on the chain: the newest, whose tree begins
    /// with every older one, together with the kinds of all of them. So a chain that was away for a
    /// day costs one transaction. One of a name that the log no longer has does not count: what was
    /// signed under it is not the beginning of what is signed now.
    pub fn collapse(waiting: impl IntoIterator<Item = Self>) -> Option<Self> {
        waiting.into_iter().reduce(|one, other| {
            let place = |due: &Self| (due.origin, due.size);
            let (older, newer) = if place(&one) <= place(&other) {
                (one, other)
            } else {
                (other, one)
            };
            if older.origin != newer.origin {
                return newer;
            }
            let kinds = older.kinds.kinds().chain(newer.kinds.kinds()).collect();
            Self { kinds, ..newer }
        })
    }
}

/// One of the transactions that were signed for the same nonce.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attempt {
    /// Bytes and hash.
    pub signed: Signed,
    /// What it offers.
    pub fees: Fees,
    /// When it was signed, Unix time in milliseconds.
    pub at_ms: i64,
    /// The number of the newest block then.
    pub head: u64,
}

/// A root on its way: everything that was ever sent for it under this nonce. Any of the attempts may
/// be the one that gets into a block.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Flight {
    /// The number of the log's name. It is settled under that, whatever the log is called by then.
    pub origin: u32,
    /// The chain it was signed for.
    pub chain_id: u64,
    /// The contract it calls.
    #[serde(with = "text::address")]
    pub contract: WalletAddress,
    /// What is put on the chain.
    #[serde(with = "text::Anchored")]
    pub anchored: AnchoredRoot,
    /// The nonce they share, so that at most one of them can be in the chain.
    pub nonce: u64,
    /// The gas limit they share.
    pub gas_limit: u64,
    /// Oldest first; at least one, [`MAX_ATTEMPTS`] at most.
    pub attempts: Vec<Attempt>,
}

impl Flight {
    /// The attempt that is sent again: the one that offers most.
    pub fn newest(&self) -> Option<&Attempt> {
        self.attempts.last()
    }

    /// Adds an attempt, and forgets the oldest where there are too many.
    pub fn add(&mut self, attempt: Attempt) {
        self.attempts.push(attempt);
        let over = self.attempts.len().saturating_sub(MAX_ATTEMPTS);
        self.attempts.drain(..over);
    }
}

/// A transaction that is in a block and did not do what it was for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Failure {
    /// Its hash.
    #[serde(with = "hex::serde")]
    pub transaction: [u8; 32],
    /// Reverted; otherwise it succeeded without the event.
    pub reverted: bool,
    /// How many in a row.
    pub times: u32,
    /// Nothing is sent before this, Unix time in milliseconds: each failure costs money.
    pub not_before_ms: i64,
}

/// What the anchor is doing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// What was sent and is not settled.
    pub flight: Option<Flight>,
    /// What went wrong last, until something succeeds.
    pub failure: Option<Failure>,
}

/// Where a root is on the chain, deep enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Landed {
    /// The transaction that put it there.
    pub transaction: [u8; 32],
    /// The number of the block it is in.
    pub block: u64,
    /// How many blocks there were on top of that one.
    pub depth: u64,
}

/// What was meant to be kept could not be, or what was kept could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the anchor's record: {0}")]
pub struct StoreError(pub String);

/// Keeps the record. Each method is one commit: after an `Ok` it is durable, after an `Err` either
/// the old or the new state is there.
pub trait AnchorStore: Send + Sync {
    /// What waits since the last root that was [`settled`](Self::settle), collapsed; `None` if that
    /// one still is the newest checkpoint.
    fn due(&self) -> Later<'_, Result<Option<Due>, StoreError>>;

    /// The record as it was saved last; the default one if none was.
    fn load(&self) -> Later<'_, Result<Record, StoreError>>;

    /// Replaces the record.
    fn save<'a>(&'a self, record: &'a Record) -> Later<'a, Result<(), StoreError>>;

    /// A root is on the chain: keeps where, with the audit row that names the transaction, and puts
    /// the default record in place of the one that was. Said twice of one transaction, it is kept once.
    fn settle<'a>(
        &'a self,
        flight: &'a Flight,
        landed: &'a Landed,
    ) -> Later<'a, Result<(), StoreError>>;
}

/// How those of other rooms are written in a record.
mod text {
    use super::{AnchoredRoot, Hash, KindBitmap, Serialize};
    use serde::Deserialize;

    #[derive(Serialize, Deserialize)]
    #[serde(remote = "AnchoredRoot", deny_unknown_fields)]
    pub(super) struct Anchored {
        #[serde(with = "hex::serde")]
        operator_omni: [u8; 32],
        #[serde(with = "hex::serde")]
        root: Hash,
        #[serde(with = "kinds")]
        kinds: KindBitmap,
        entry_count: u64,
    }

    mod kinds {
        use super::KindBitmap;
        use serde::{Deserializer, Serializer};

        pub(super) fn serialize<S: Serializer>(
            kinds: &KindBitmap,
            serializer: S,
        ) -> Result<S::Ok, S::Error> {
            hex::serde::serialize(kinds.as_bytes(), serializer)
        }

        pub(super) fn deserialize<'de, D: Deserializer<'de>>(
            deserializer: D,
        ) -> Result<KindBitmap, D::Error> {
            hex::serde::deserialize(deserializer).map(KindBitmap::from_bytes)
        }
    }

    pub(super) mod address {
        use crate::authority::identity::WalletAddress;
        use serde::{Deserializer, Serializer};

        pub(in super::super) fn serialize<S: Serializer>(
            address: &WalletAddress,
            serializer: S,
        ) -> Result<S::Ok, S::Error> {
            hex::serde::serialize(address.as_bytes(), serializer)
        }

        pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
            deserializer: D,
        ) -> Result<WalletAddress, D::Error> {
            hex::serde::deserialize(deserializer).map(WalletAddress::from_bytes)
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn of_what_waits_the_newest_goes_with_the_kinds_of_all() {
        let due = |size: u8, kinds: &[u8]| Due {
            origin: 1,
            size: size.into(),
            root: [size; 32],
            kinds: kinds.iter().copied().collect(),
        };
        assert_eq!(Due::collapse([]), None);
        let one = due(3, &[10]);
        assert_eq!(Due::collapse([one]), Some(one));
        let several = [due(3, &[10]), due(9, &[11]), due(7, &[100, 10])];
        assert_eq!(Due::collapse(several), Some(due(9, &[10, 11, 100])));
        // Another name of the log is another tree, however small.
        let renamed = Due {
            origin: 2,
            ..due(2, &[133])
        };
        let both = [due(3, &[10]), renamed, due(9, &[11])];
        assert_eq!(Due::collapse(both), Some(renamed));
    }

    #[test]
    fn attempts_are_bounded_and_the_newest_stay() {
        let anchored = AnchoredRoot {
            operator_omni: [0; 32],
            root: [0; 32],
            kinds: KindBitmap::NONE,
            entry_count: 1,
        };
        let mut flight = Flight {
            origin: 1,
            chain_id: 1,
            contract: WalletAddress::from_bytes([1; 20]),
            anchored,
            nonce: 0,
            gas_limit: 1,
            attempts: Vec::new(),
        };
        for at_ms in 0..100 {
            flight.add(Attempt {
                signed: Signed {
                    raw: Vec::new(),
                    hash: [0; 32],
                },
                fees: Fees { max: 1, tip: 1 },
                at_ms,
                head: 0,
            });
        }
        assert_eq!(flight.attempts.len(), MAX_ATTEMPTS);
        assert_eq!(flight.attempts[0].at_ms, 68);
        assert_eq!(flight.newest().map(|a| a.at_ms), Some(99));
    }

    #[test]
    fn a_record_comes_back_from_its_text_and_nothing_else_is_one() {
        let record = Record {
            flight: Some(Flight {
                origin: 3,
                chain_id: 31337,
                contract: WalletAddress::from_bytes([1; 20]),
                anchored: AnchoredRoot {
                    operator_omni: [2; 32],
                    root: [3; 32],
                    kinds: [10, 131].into_iter().collect(),
                    entry_count: 9,
                },
                nonce: 4,
                gas_limit: 5,
                attempts: vec![Attempt {
                    signed: Signed {
                        raw: vec![2, 0xff],
                        hash: [6; 32],
                    },
                    fees: Fees {
                        max: u128::MAX,
                        tip: 7,
                    },
                    at_ms: 8,
                    head: 9,
                }],
            }),
            failure: Some(Failure {
                transaction: [7; 32],
                reverted: true,
                times: 1,
                not_before_ms: 2,
            }),
        };
        let text = serde_json::to_string(&record).unwrap();
        assert_eq!(serde_json::from_str::<Record>(&text).unwrap(), record);
        let more = text.replacen('{', "{\"more\":1,", 1);
        for text in [
            more.as_str(),
            "{",
            "[]",
            &text.replace("\"nonce\":4", "\"nonce\":-4"),
        ] {
            assert!(serde_json::from_str::<Record>(text).is_err(), "{text}");
        }
    }
}
