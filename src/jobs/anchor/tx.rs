//! A transaction as bytes: EIP-1559's type 2 in RLP (EIP-2718, Yellow Paper appendix B), signed with
//! a wallet's key. Calls a contract, carries no value and no access list, because an anchor has none.

use crate::authority::identity::{Wallet, WalletAddress};
use crate::digest::keccak256;
use k256::ecdsa::SigningKey;
use serde::{Deserialize, Serialize};

/// EIP-2718's type byte of an EIP-1559 transaction.
const TYPE: u8 = 2;

/// What the sender offers for a unit of gas, in wei.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fees {
    /// `maxFeePerGas`: the most, base fee and tip together.
    pub max: u128,
    /// `maxPriorityFeePerGas`: of that, the most for whoever makes the block.
    pub tip: u128,
}

/// A call of a contract, not signed yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transaction {
    /// EIP-155 chain id.
    pub chain_id: u64,
    /// How many transactions of this sender come before it.
    pub nonce: u64,
    /// What it offers.
    pub fees: Fees,
    /// The most gas it may use.
    pub gas_limit: u64,
    /// The contract.
    pub to: WalletAddress,
    /// The call.
    pub data: Vec<u8>,
}

/// A signed transaction: what is sent, and what the chain calls it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signed {
    /// The bytes for `eth_sendRawTransaction`.
    #[serde(with = "hex::serde")]
    pub raw: Vec<u8>,
    /// Its hash: Keccak-256 of those bytes.
    #[serde(with = "hex::serde")]
    pub hash: [u8; 32],
}

/// The wallet's secret is no key. [`Wallet`] refuses such a secret, so this does not happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the wallet's secret is not a secp256k1 key")]
pub struct NotAKey;

impl Transaction {
    /// Signs it. The same transaction and wallet give the same bytes each time (RFC 6979), and `s` is
    /// the lower of its two values, as chains demand (EIP-2).
    pub fn sign(&self, wallet: &Wallet) -> Result<Signed, NotAKey> {
        let key = SigningKey::from_slice(wallet.secret().expose()).map_err(|_| NotAKey)?;
        let fields = self.fields();
        let digest = keccak256(&[&[TYPE], &list(&fields)]);
        let (signature, parity) = key.sign_prehash_recoverable(&digest);
        let (r, s) = signature.split_bytes();
        let mut signed = fields;
        number(&mut signed, u128::from(parity.is_y_odd()));
        string(&mut signed, trimmed(&r));
        string(&mut signed, trimmed(&s));
        let raw = [&[TYPE], &list(&signed)[..]].concat();
        let hash = keccak256(&[&raw]);
        Ok(Signed { raw, hash })
    }

    /// The fields that are signed, each as RLP, without the list around them.
    fn fields(&self) -> Vec<u8> {
        let mut out = Vec::new();
        number(&mut out, self.chain_id.into());
        number(&mut out, self.nonce.into());
        number(&mut out, self.fees.tip);
        number(&mut out, self.fees.max);
        number(&mut out, self.gas_limit.into());
        string(&mut out, self.to.as_bytes());
        number(&mut out, 0); // value
        string(&mut out, &self.data);
        out.extend(list(&[])); // access list
        out
    }
}

/// A number: big-endian without leading zeros, so zero is the empty string.
fn number(out: &mut Vec<u8>, value: u128) {
    string(out, trimmed(&value.to_be_bytes()));
}

fn trimmed(bytes: &[u8]) -> &[u8] {
    let zeros = bytes.iter().take_while(|&&byte| byte == 0).count();
    &bytes[zeros..]
}

fn string(out: &mut Vec<u8>, bytes: &[u8]) {
    if !matches!(bytes, [0..0x80]) {
        head(out, 0x80, bytes.len());
    }
    out.extend_from_slice(bytes);
}

fn list(items: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    head(&mut out, 0xc0, items.len());
    out.extend_from_slice(items);
    out
}

/// The kind and the length of what follows: up to 55 in the one byte, more as a number of its own.
fn head(out: &mut Vec<u8>, kind: u8, length: usize) {
    if let Ok(short @ 0..=55) = u8::try_from(length) {
        out.push(kind + short);
        return;
    }
    let length = length.to_be_bytes();
    let length = trimmed(&length);
    // At most 8 bytes of a length.
    out.push(kind + 55 + length.len().to_le_bytes()[0]);
    out.extend_from_slice(length);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;

    /// Made by another implementation; `tests/sdk/anchor_transactions.py` says how and which cases.
    const VECTORS: &str = include_str!("../../../fixtures/anchor/transactions.jsonl");

    fn wallet(secret: &str) -> Wallet {
        let secret = hex::decode(secret.trim_start_matches("0x")).unwrap();
        Wallet::from_secret(secret.try_into().unwrap()).unwrap()
    }

    #[test]
    fn bytes_and_hashes_are_those_of_eth_account() {
        let mut seen = 0;
        for line in VECTORS.lines() {
            let case: Value = serde_json::from_str(line).unwrap();
            let text = |name: &str| case[name].as_str().unwrap();
            let transaction = Transaction {
                chain_id: case["chain_id"].as_u64().unwrap(),
                nonce: case["nonce"].as_u64().unwrap(),
                fees: Fees {
                    max: text("max_fee").parse().unwrap(),
                    tip: text("max_priority_fee").parse().unwrap(),
                },
                gas_limit: case["gas_limit"].as_u64().unwrap(),
                to: text("to").parse().unwrap(),
                data: hex::decode(text("data")).unwrap(),
            };
            let signed = transaction.sign(&wallet(text("secret"))).unwrap();
            assert_eq!(hex::encode(&signed.raw), text("raw"), "{line}");
            assert_eq!(hex::encode(signed.hash), text("hash"), "{line}");
            seen += 1;
        }
        assert_eq!(seen, 37);
    }

    /// The items of a list: strings as they are, lists with their head.
    fn items(mut bytes: &[u8]) -> Vec<Vec<u8>> {
        let mut out = Vec::new();
        while let Some(&first) = bytes.first() {
            let (skip, length) = match first {
                0..0x80 => (0, 1),
                0x80..0xb8 => (1, usize::from(first - 0x80)),
                0xb8..0xc0 => {
                    let size = usize::from(first - 0xb7);
                    let length = bytes[1..=size].iter();
                    (1 + size, length.fold(0, |n, &b| n << 8 | usize::from(b)))
                }
                _ => (0, 1 + usize::from(first - 0xc0)),
            };
            out.push(bytes[skip..skip + length].to_vec());
            bytes = &bytes[skip + length..];
        }
        out
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(
            chain_id: u64, nonce: u64, max: u128, tip: u128, gas_limit: u64,
            to: [u8; 20], data in prop::collection::vec(any::<u8>(), 0..600),
        ) {
            let to = WalletAddress::from_bytes(to);
            let fees = Fees { max, tip };
            let transaction =
                Transaction { chain_id, nonce, fees, gas_limit, to, data: data.clone() };
            let big = |n: u128| trimmed(&n.to_be_bytes()).to_vec();
            let wanted = vec![
                big(chain_id.into()), big(nonce.into()), big(tip), big(max), big(gas_limit.into()),
                to.as_bytes().to_vec(), vec![], data, vec![0xc0],
            ];
            prop_assert_eq!(items(&transaction.fields()), wanted);
        }
    }
}
