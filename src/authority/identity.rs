//! Who an actor is: a node of the identity tree, its address in every format we speak, and the
//! names people use for it (`formats/agentkeys.md` §2).

use crate::digest::{keccak256, sha256};
use crate::secret::Secret;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::str::FromStr;

/// Why a text or a key is not an identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// An omni is 64 lower-case hex digits, with or without `0x`.
    #[error("an omni is 64 lower-case hex digits, with or without 0x")]
    Omni,
    /// A wallet address is `0x` and 40 hex digits.
    #[error("a wallet address is 0x and 40 hex digits")]
    WalletAddress,
    /// A label is 1 to 32 of `a-z`, `0-9` and `-`.
    #[error("a label is 1 to 32 characters of a-z, 0-9 and -")]
    Label,
    /// An alias is 1 to 64 of letters, digits, `_`, `.` and `-`, the first a letter or digit.
    #[error(
        "an alias is 1 to 64 letters, digits, '_', '.' and '-', and starts with one of the first two"
    )]
    Alias,
    /// An alias may not look like an omni, or a header could name two actors.
    #[error("an alias may not be 64 hex digits: that is what an omni looks like")]
    AliasIsOmni,
    /// A wallet secret is a scalar between 1 and the order of secp256k1.
    #[error("not a secp256k1 secret key")]
    WalletSecret,
}

/// An actor's id, frozen for life. Text is `0x` and 64 lower-case hex digits; object keys and
/// signed claims take the bare form.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Omni([u8; 32]);

impl Omni {
    /// Nobody: what the envelope of an unauthenticated caller carries.
    pub const ZERO: Self = Self([0; 32]);

    /// An omni from its 32 bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Its 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// 64 lower-case hex digits without `0x`: the form in object keys and signed claims.
    pub fn bare(&self) -> String {
        crate::digest::hex32(&self.0)
    }

    /// The omni of a wallet's owner: `SHA256("agentkeys" ‖ "evm" ‖ address text)`.
    pub fn master(wallet: &WalletAddress) -> Self {
        Self(sha256(&[
            b"agentkeys",
            b"evm",
            wallet.to_string().as_bytes(),
        ]))
    }

    /// The omni of a child: `SHA256("agentkeys-hdkd-v1" ‖ parent ‖ "//" ‖ label ‖ "/" ‖ generation)`.
    /// Anyone can recompute it; only the parent's claim makes it true.
    pub fn child(parent: &Self, label: &Label, generation: u32) -> Self {
        let path = derivation_path(label, generation);
        Self(sha256(&[b"agentkeys-hdkd-v1", &parent.0, path.as_bytes()]))
    }
}

impl fmt::Display for Omni {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{}", self.bare())
    }
}

impl fmt::Debug for Omni {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Omni({self})")
    }
}

impl FromStr for Omni {
    type Err = IdentityError;

    /// Exactly one spelling per form: upper-case hex is refused, so that a text that reached a
    /// log or a key can be compared byte by byte.
    fn from_str(text: &str) -> Result<Self, IdentityError> {
        let digits = text.strip_prefix("0x").unwrap_or(text);
        if digits.bytes().any(|b| b.is_ascii_uppercase()) {
            return Err(IdentityError::Omni);
        }
        let mut bytes = [0; 32];
        hex::decode_to_slice(digits, &mut bytes).map_err(|_| IdentityError::Omni)?;
        Ok(Self(bytes))
    }
}

impl Serialize for Omni {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Omni {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// An Ethereum address. Text is `0x` and 40 lower-case hex digits; checksum case is accepted on
/// input and dropped, because the omni is a hash over the lower-case text.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WalletAddress([u8; 20]);

impl WalletAddress {
    /// An address from its 20 bytes.
    pub const fn from_bytes(bytes: [u8; 20]) -> Self {
        Self(bytes)
    }

    /// Its 20 bytes.
    pub const fn as_bytes(&self) -> &[u8; 20] {
        &self.0
    }
}

impl fmt::Display for WalletAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{}", hex::encode(self.0))
    }
}

impl fmt::Debug for WalletAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WalletAddress({self})")
    }
}

impl FromStr for WalletAddress {
    type Err = IdentityError;

    fn from_str(text: &str) -> Result<Self, IdentityError> {
        let digits = text
            .strip_prefix("0x")
            .ok_or(IdentityError::WalletAddress)?;
        let mut bytes = [0; 20];
        hex::decode_to_slice(digits, &mut bytes).map_err(|_| IdentityError::WalletAddress)?;
        Ok(Self(bytes))
    }
}

/// The step from a parent to a child in the identity tree.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Label(String);

impl Label {
    /// The label an actor gets that was created without one: its alias in lower case, `_` as `-`.
    /// An alias with a `.` or more than 32 characters has none.
    pub fn from_alias(alias: &Alias) -> Result<Self, IdentityError> {
        alias.0.to_ascii_lowercase().replace('_', "-").parse()
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Label {
    type Err = IdentityError;

    fn from_str(text: &str) -> Result<Self, IdentityError> {
        let allowed = |b: u8| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-');
        if !(1..=32).contains(&text.len()) || !text.bytes().all(allowed) {
            return Err(IdentityError::Label);
        }
        Ok(Self(text.to_owned()))
    }
}

/// A registered name for an actor, such as `O_kevin_001`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Alias(String);

impl Alias {
    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Alias {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Alias {
    type Err = IdentityError;

    fn from_str(text: &str) -> Result<Self, IdentityError> {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-');
        let starts_well = text
            .bytes()
            .next()
            .is_some_and(|b| b.is_ascii_alphanumeric());
        if text.len() > 64 || !starts_well || !text.bytes().all(allowed) {
            return Err(IdentityError::Alias);
        }
        // Upper-case hex is no omni either, but a reader would take it for one.
        if text.to_ascii_lowercase().parse::<Omni>().is_ok() {
            return Err(IdentityError::AliasIsOmni);
        }
        Ok(Self(text.to_owned()))
    }
}

impl<'de> Deserialize<'de> for Alias {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// A secp256k1 key and the address it controls: an operator's root, or a device's key.
#[derive(Debug, Clone)]
pub struct Wallet {
    secret: Secret<[u8; 32]>,
    address: WalletAddress,
}

impl Wallet {
    /// A wallet from its 32 secret bytes, which the caller draws at random. Zero and anything from
    /// the curve's order up are refused.
    pub fn from_secret(secret: [u8; 32]) -> Result<Self, IdentityError> {
        let key = k256::SecretKey::from_slice(&secret).map_err(|_| IdentityError::WalletSecret)?;
        let point =
            k256::elliptic_curve::sec1::ToSec1Point::to_sec1_point(&key.public_key(), false);
        // SEC 1 §2.3.3: a tag byte, then x ‖ y; an address is the tail of their hash.
        let xy = point
            .as_bytes()
            .get(1..)
            .ok_or(IdentityError::WalletSecret)?;
        let mut address = [0; 20];
        address.copy_from_slice(&keccak256(&[xy])[12..]);
        Ok(Self {
            secret: Secret::new(secret),
            address: WalletAddress(address),
        })
    }

    /// The address it controls.
    pub const fn address(&self) -> WalletAddress {
        self.address
    }

    /// The secret itself, for the sealed row it is kept in.
    pub const fn secret(&self) -> &Secret<[u8; 32]> {
        &self.secret
    }
}

/// How a child is reached from its parent, as people and records write it: `//label/0`.
pub fn derivation_path(label: &Label, generation: u32) -> String {
    format!("//{label}/{generation}")
}

/// A device's id on chain: `keccak256` of the 20 bytes of its key's address.
pub fn device_key_hash(address: &[u8; 20]) -> [u8; 32] {
    keccak256(&[address])
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    const ZERO_MASTER: &str = "c3f7249ad2f03d898a95fdbe95113041282dd1f5a115d14a65d7e7ede4afee5f";

    #[test]
    fn omnis_match_the_published_vectors() {
        let wallet = WalletAddress::from_bytes([0; 20]);
        assert_eq!(Omni::master(&wallet).bare(), ZERO_MASTER);
        let child = Omni::child(&Omni::ZERO, &"agent-a".parse().unwrap(), 0);
        assert_eq!(
            child.bare(),
            "7c524992bfd4da0baa716e9d69ca5190c472dbcb1fda0796470a87aff1617455"
        );
        assert_eq!(
            hex::encode(device_key_hash(&[0x11; 20])),
            "e2c07404b8c1df4c46226425cac68c28d27a766bbddce62309f36724839b22c0"
        );
    }

    #[test]
    fn generations_and_labels_make_other_children() {
        let label: Label = "agent-a".parse().unwrap();
        let other: Label = "agent-b".parse().unwrap();
        let first = Omni::child(&Omni::ZERO, &label, 0);
        assert_ne!(first, Omni::child(&Omni::ZERO, &label, 1));
        assert_ne!(first, Omni::child(&Omni::ZERO, &other, 0));
        assert_ne!(first, Omni::child(&first, &label, 0));
        assert_eq!(derivation_path(&label, 0), "//agent-a/0");
    }

    #[test]
    fn a_wallet_has_ethereums_address() {
        // The address of secret 1, which every Ethereum library derives the same way.
        let mut one = [0; 32];
        one[31] = 1;
        let wallet = Wallet::from_secret(one).unwrap();
        let text = "0x7e5f4552091a69125d5dfcb7b8c2659029395bdf";
        assert_eq!(wallet.address().to_string(), text);
        assert_eq!(wallet.secret().expose(), &one);
        assert!(!format!("{wallet:?}").contains("0, 1]"));
        for bad in [[0; 32], [0xff; 32]] {
            assert_eq!(
                Wallet::from_secret(bad).err(),
                Some(IdentityError::WalletSecret)
            );
        }
    }

    #[test]
    fn checksum_case_does_not_change_the_owner() {
        let mixed: WalletAddress = "0x7E5F4552091A69125d5DfCb7b8C2659029395Bdf"
            .parse()
            .unwrap();
        let lower: WalletAddress = mixed.to_string().parse().unwrap();
        assert_eq!(Omni::master(&mixed), Omni::master(&lower));
        for bad in [
            "7e5f4552091a69125d5dfcb7b8c2659029395bdf",
            "0X7e5f4552091a69125d5dfcb7b8c2659029395bdf",
            "0x7e5f",
            "0x",
            "",
        ] {
            assert!(bad.parse::<WalletAddress>().is_err(), "{bad}");
        }
    }

    #[test]
    fn an_omni_has_one_spelling_per_form() {
        let omni: Omni = ZERO_MASTER.parse().unwrap();
        assert_eq!(omni.to_string(), format!("0x{ZERO_MASTER}"));
        let json = serde_json::to_string(&omni).unwrap();
        assert_eq!(json, format!("\"0x{ZERO_MASTER}\""));
        assert_eq!(serde_json::from_str::<Omni>(&json).unwrap(), omni);
        for bad in [
            String::new(),
            "0x".into(),
            format!(" {ZERO_MASTER}"),
            format!("{ZERO_MASTER}\n"),
            format!("0X{ZERO_MASTER}"),
            format!("0x0x{ZERO_MASTER}"),
            format!("0x{}", ZERO_MASTER.to_uppercase()),
            ZERO_MASTER.replace('c', "C"),
            ZERO_MASTER[1..].to_owned(),
            ZERO_MASTER.replace('c', "g"),
        ] {
            assert_eq!(bad.parse::<Omni>(), Err(IdentityError::Omni), "{bad}");
        }
    }

    #[test]
    fn an_alias_is_never_an_omni_and_gives_a_label() {
        let label = |text: &str| Label::from_alias(&text.parse().unwrap());
        assert_eq!(label("O_kevin_001").unwrap().as_str(), "o-kevin-001");
        assert_eq!(label("kevin.home"), Err(IdentityError::Label));
        assert_eq!(label(&"a".repeat(33)), Err(IdentityError::Label));
        for hex in [ZERO_MASTER.to_owned(), ZERO_MASTER.to_uppercase()] {
            assert_eq!(hex.parse::<Alias>(), Err(IdentityError::AliasIsOmni));
        }
        for bad in [
            "",
            "_a",
            "-a",
            ".a",
            "a b",
            "a/b",
            "a\n",
            "é",
            &"a".repeat(65),
        ] {
            assert_eq!(bad.parse::<Alias>(), Err(IdentityError::Alias), "{bad}");
        }
        assert!("a".repeat(64).replace('a', "z").parse::<Alias>().is_ok());
        for bad in ["", "A", "a_b", &"a".repeat(33)] {
            assert_eq!(bad.parse::<Label>(), Err(IdentityError::Label), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn every_omni_survives_both_text_forms(bytes: [u8; 32]) {
            let omni = Omni::from_bytes(bytes);
            prop_assert_eq!(omni.to_string().parse(), Ok(omni));
            prop_assert_eq!(omni.bare().parse(), Ok(omni));
        }

        #[test]
        fn no_text_is_both_alias_and_omni(text in "(0x)?[0-9a-fA-F]{60,66}|\\PC{0,70}") {
            prop_assert!(text.parse::<Alias>().is_err() || text.parse::<Omni>().is_err());
        }
    }
}
