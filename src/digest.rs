//! The two hashes everything else is made of, over parts that need not be joined first.

use aws_lc_rs::digest::{Context, SHA256};
use sha3::{Digest as _, Keccak256};

/// SHA-256 (FIPS 180-4) of the concatenated parts: omnis, token hashes, the log's tree.
pub fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut context = Context::new(&SHA256);
    for part in parts {
        context.update(part);
    }
    let mut out = [0; 32];
    out.copy_from_slice(context.finish().as_ref());
    out
}

/// Keccak-256 (Ethereum's, with the padding from before FIPS 202) of the concatenated parts:
/// addresses, device key hashes, envelope hashes.
pub fn keccak256(parts: &[&[u8]]) -> [u8; 32] {
    parts
        .iter()
        .fold(Keccak256::new(), Keccak256::chain_update)
        .finalize()
        .into()
}

/// 32 bytes in hex. A call says its actor's id a handful of times, and `hex::encode` collects it
/// character by character.
pub fn hex32(bytes: &[u8; 32]) -> String {
    let mut digits = [0; 64];
    // The lengths fit, so nothing can fail.
    let _ = hex::encode_to_slice(bytes, &mut digits);
    String::from_utf8_lossy(&digits).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_match_their_published_vectors_however_the_input_is_cut() {
        let sha = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let keccak = "4e03657aea45a94fc7d47ba826c8d667c0d1e6e33a64a036ec44f58fa12d6c45";
        assert_eq!(hex::encode(sha256(&[b"abc"])), sha);
        assert_eq!(hex::encode(sha256(&[b"a", b"", b"bc"])), sha);
        assert_eq!(hex32(&sha256(&[b"abc"])), sha);
        assert_eq!(hex::encode(keccak256(&[b"abc"])), keccak);
        assert_eq!(hex::encode(keccak256(&[b"ab", b"c"])), keccak);
    }
}
