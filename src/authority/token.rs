//! The text of a bearer token, `akv_<id>_<secret>_<crc>`: the id finds its row, the secret proves
//! it, the checksum lets a typo or a scanner be told from an attack before any look-up.

use crate::digest::sha256;
use crate::secret::{Secret, same};
use std::fmt;

/// What every token starts with, so that secret scanners can know it.
const PREFIX: &str = "akv_";

/// Nothing longer is looked at, whatever a header carries. A token has 94 characters.
const MAX_LEN: usize = 128;

/// Why a text is not a token. Nothing was looked up and no secret was compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Longer than any token.
    #[error("the token is too long")]
    TooLong,
    /// Not `akv_`, 16, 64 and 8 lower-case hex digits, joined by `_`.
    #[error("the token does not look like akv_<id>_<secret>_<checksum>")]
    Shape,
    /// The checksum does not fit: mistyped or cut while copying.
    #[error("the token's checksum does not match; copy it again")]
    Checksum,
}

/// The public part of a token: names it in logs, rows and commands. 16 lower-case hex digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TokenId(String);

impl TokenId {
    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::str::FromStr for TokenId {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        lower_hex::<8>(text)
            .map(|_| Self(text.to_owned()))
            .ok_or(Malformed::Shape)
    }
}

/// A whole token, shown once to whoever asked for it and kept nowhere.
#[derive(Debug, Clone)]
pub struct TokenText(Secret<String>);

impl TokenText {
    /// The token itself, for the one answer that hands it over.
    pub fn expose(&self) -> &str {
        self.0.expose()
    }
}

/// What is kept of a token's secret: its SHA-256. The secret is 256 random bits, so that a plain
/// hash leaves nothing to guess.
#[derive(Debug, Clone, Copy)]
pub struct TokenHash([u8; 32]);

impl TokenHash {
    /// A hash as it was stored.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes to store.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Whether the presented token carries this secret, in constant time.
    pub fn matches(&self, presented: &PresentedToken) -> bool {
        same(&self.0, &presented.hash)
    }
}

/// A well-formed token as a caller presented it; not yet proof of anything.
#[derive(Debug, Clone)]
pub struct PresentedToken {
    /// Which token it claims to be.
    pub id: TokenId,
    /// SHA-256 of the secret it carries.
    pub hash: [u8; 32],
}

/// An id for a token from 8 random bytes.
pub fn fresh_id(random: [u8; 8]) -> TokenId {
    TokenId(hex::encode(random))
}

/// Makes a token from 8 and 32 random bytes. The text goes to its owner, the hash to the ledger.
pub fn issue(id: [u8; 8], secret: [u8; 32]) -> (TokenId, TokenText, TokenHash) {
    let id = fresh_id(id);
    let body = format!("{PREFIX}{id}_{}", hex::encode(secret));
    let crc = crc32fast::hash(body.as_bytes());
    (
        id,
        TokenText(Secret::new(format!("{body}_{crc:08x}"))),
        TokenHash(sha256(&[&secret])),
    )
}

/// What sets the stored hash of an endpoint token apart, so that neither kind can be rewritten into
/// the other: a token that was read out of a URL opens no other door.
const ENDPOINT: &[u8] = b"agentkeys mcp endpoint token v1";

/// Makes a token for xiaozhi's MCP endpoint, which can carry it in its URL alone: 88 hex digits, so
/// that it can contain neither `key` nor `call`, which xiaozhi refuses (`formats/xiaozhi.md` §3).
pub fn issue_endpoint(id: [u8; 8], secret: [u8; 32]) -> (TokenId, TokenText, TokenHash) {
    let id = hex::encode(id);
    let body = format!("{id}{}", hex::encode(secret));
    let crc = crc32fast::hash(body.as_bytes());
    (
        TokenId(id),
        TokenText(Secret::new(format!("{body}{crc:08x}"))),
        TokenHash(sha256(&[ENDPOINT, &secret])),
    )
}

/// Reads a token of the endpoint.
pub fn parse_endpoint(text: &str) -> Result<PresentedToken, Malformed> {
    if text.len() > MAX_LEN {
        return Err(Malformed::TooLong);
    }
    let split = text.split_at_checked(80);
    let (body, crc) = split.ok_or(Malformed::Shape)?;
    let parts = body.split_at_checked(16).ok_or(Malformed::Shape)?;
    presented(parts, (body, crc), ENDPOINT)
}

/// Reads a token from a header. Bounded, case-sensitive, without a look-up.
pub fn parse(text: &str) -> Result<PresentedToken, Malformed> {
    if text.len() > MAX_LEN {
        return Err(Malformed::TooLong);
    }
    let (body, crc) = text.rsplit_once('_').ok_or(Malformed::Shape)?;
    let parts = body
        .strip_prefix(PREFIX)
        .and_then(|rest| rest.split_once('_'))
        .ok_or(Malformed::Shape)?;
    presented(parts, (body, crc), b"")
}

/// A token of an id and a secret, when the checksum is that of its body. The label is what its
/// kind hashes before the secret.
fn presented(
    (id, secret): (&str, &str),
    (body, crc): (&str, &str),
    label: &[u8],
) -> Result<PresentedToken, Malformed> {
    let id: TokenId = id.parse()?;
    let secret = lower_hex::<32>(secret).ok_or(Malformed::Shape)?;
    let crc = lower_hex::<4>(crc).ok_or(Malformed::Shape)?;
    if crc != crc32fast::hash(body.as_bytes()).to_be_bytes() {
        return Err(Malformed::Checksum);
    }
    Ok(PresentedToken {
        id,
        hash: sha256(&[label, &secret]),
    })
}

/// `N` bytes from exactly `2N` lower-case hex digits.
fn lower_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    if text.bytes().any(|b| b.is_ascii_uppercase()) {
        return None;
    }
    let mut bytes = [0; N];
    hex::decode_to_slice(text, &mut bytes).ok()?;
    Some(bytes)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_token_is_read_back_and_only_its_own_secret_matches() {
        let (id, text, hash) = issue([0xab; 8], [7; 32]);
        assert_eq!(text.expose().len(), 94);
        assert!(text.expose().starts_with("akv_abababababababab_0707"));
        let presented = parse(text.expose()).unwrap();
        assert_eq!(presented.id, id);
        assert!(hash.matches(&presented));
        assert!(TokenHash::from_bytes(*hash.as_bytes()).matches(&presented));

        let (_, other, _) = issue([0xab; 8], [8; 32]);
        assert!(!hash.matches(&parse(other.expose()).unwrap()));
    }

    #[test]
    fn the_secret_does_not_print() {
        let (_, text, _) = issue([1; 8], [7; 32]);
        assert!(!format!("{text:?}").contains("0707"));
    }

    #[test]
    fn every_flipped_bit_is_malformed() {
        let (_, text, _) = issue([0x5a; 8], [0x3c; 32]);
        let bytes = text.expose().as_bytes();
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.to_vec();
            flipped[bit / 8] ^= 1 << (bit % 8);
            if let Ok(flipped) = std::str::from_utf8(&flipped) {
                assert!(parse(flipped).is_err(), "bit {bit}: {flipped}");
            }
        }
    }

    #[test]
    fn what_is_wrong_is_told_apart() {
        let (_, text, _) = issue([1; 8], [2; 32]);
        let text = text.expose();
        let typo = text.replacen("0202", "0203", 1);
        assert_eq!(parse(&typo).err(), Some(Malformed::Checksum));
        assert_eq!(parse(&"a".repeat(129)).err(), Some(Malformed::TooLong));
        for bad in [
            "",
            "akv_",
            "akv___",
            &text[1..],
            &text[..93],
            &format!("{text} "),
            &format!("{text}_"),
            &text.to_uppercase(),
            &text.replacen("akv", "akx", 1),
        ] {
            assert_eq!(parse(bad).err(), Some(Malformed::Shape), "{bad}");
        }
    }

    #[test]
    fn an_endpoint_token_is_of_its_own_kind() {
        let (id, text, hash) = issue_endpoint([0xab; 8], [7; 32]);
        let text = text.expose();
        assert_eq!(text.len(), 88);
        assert!(text.bytes().all(|b| b.is_ascii_hexdigit()));
        let presented = parse_endpoint(text).unwrap();
        assert_eq!(presented.id, id);
        assert!(hash.matches(&presented));
        // The same id and secret as a token for a header, and the other way round.
        let (_, bearer, bearer_hash) = issue([0xab; 8], [7; 32]);
        assert!(!hash.matches(&parse(bearer.expose()).unwrap()));
        assert!(!bearer_hash.matches(&presented));
        assert_eq!(parse(text).err(), Some(Malformed::Shape));
        assert_eq!(
            parse_endpoint(bearer.expose()).err(),
            Some(Malformed::Shape)
        );
        let typo = text.replacen("07", "08", 1);
        assert_eq!(parse_endpoint(&typo).err(), Some(Malformed::Checksum));
        for bad in [
            "",
            &text[1..],
            &text.to_uppercase(),
            &format!("{text}0"),
            "é",
        ] {
            assert_eq!(parse_endpoint(bad).err(), Some(Malformed::Shape), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_the_endpoint_panic(text in "[0-9a-fé]{0,130}|\\PC{0,140}") {
            let _ = parse_endpoint(&text);
        }

        #[test]
        fn what_is_issued_is_accepted(id: [u8; 8], secret: [u8; 32]) {
            let (id, text, hash) = issue(id, secret);
            let presented = parse(text.expose());
            prop_assert!(presented.is_ok_and(|p| p.id == id && hash.matches(&p)));
        }

        #[test]
        fn no_text_makes_it_panic(text in "(akv_)?[0-9a-f_é]{0,130}|\\PC{0,140}") {
            let _ = parse(&text);
        }
    }
}
