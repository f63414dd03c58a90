//! Sealing: AES-256-GCM under a key that exists only while vault key and salt do.
//!
//! Layout: format byte ‖ 12 bytes nonce ‖ ciphertext ‖ 16 bytes tag.

use crate::authority::identity::Omni;
use crate::authority::ports::{Entropy, Salt, Slot};
use crate::secret::Secret;
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::hkdf::{self, HKDF_SHA256};

/// The first byte of what this program seals. `0x02` and `0x03` are taken by the formats of the
/// existing workers (`formats/agentkeys.md`: a static key for all actors, a client's own key) and
/// `0x04` by one that was announced; none of them derives or binds as this one does, so a reader
/// of either must know at once that this is not its own.
const FORMAT: u8 = 0x05;

const NONCE: usize = 12;
const TAG: usize = 16;

/// What sealing adds to a text.
pub(super) const OVERHEAD: usize = 1 + NONCE + TAG;

/// What sealed bytes are bound to, besides the key of their actor, slot and epoch.
pub(super) struct Bound(Vec<u8>);

impl Bound {
    /// A memory object's place.
    pub(super) fn memory(
        actor: Omni,
        slot: Slot,
        version: u64,
        epoch: u32,
        event_id: &str,
    ) -> Self {
        Self::of(&[
            b"agentkeys.object.v1",
            &[FORMAT],
            actor.as_bytes(),
            slot.as_str().as_bytes(),
            &version.to_be_bytes(),
            &epoch.to_be_bytes(),
            event_id.as_bytes(),
        ])
    }

    /// A statement's event.
    pub(super) fn statement(actor: Omni, event_id: &str) -> Self {
        Self::of(&[
            b"agentkeys.statement.v1",
            &[FORMAT],
            actor.as_bytes(),
            event_id.as_bytes(),
        ])
    }

    /// Each part with its length before it, so that no two lists of parts give the same bytes.
    fn of(parts: &[&[u8]]) -> Self {
        let mut bytes = Vec::new();
        for part in parts {
            bytes.extend_from_slice(&(part.len() as u64).to_be_bytes());
            bytes.extend_from_slice(part);
        }
        Self(bytes)
    }
}

/// Seals a text; `None` only if the cipher fails.
pub(super) fn seal(
    key: &LessSafeKey,
    bound: &Bound,
    entropy: &dyn Entropy,
    text: &[u8],
) -> Option<Vec<u8>> {
    let mut nonce = [0; NONCE];
    entropy.fill(&mut nonce);
    let mut out = Vec::with_capacity(text.len() + OVERHEAD);
    out.push(FORMAT);
    out.extend_from_slice(&nonce);
    out.extend_from_slice(text);
    let (_, body) = out.split_at_mut_checked(1 + NONCE)?;
    let nonce = Nonce::assume_unique_for_key(nonce);
    let tag = key
        .seal_in_place_separate_tag(nonce, Aad::from(&bound.0), body)
        .ok()?;
    out.extend_from_slice(tag.as_ref());
    Some(out)
}

/// Opens what [`seal`] made; `None` if the key, what it is bound to or any byte differs.
pub(super) fn unseal(key: &LessSafeKey, bound: &Bound, sealed: &[u8]) -> Option<Vec<u8>> {
    let (format, rest) = sealed.split_first()?;
    if *format != FORMAT {
        return None;
    }
    let (nonce, body) = rest.split_at_checked(NONCE)?;
    let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
    let mut body = body.to_vec();
    let length = key
        .open_in_place(nonce, Aad::from(&bound.0), &mut body)
        .ok()?
        .len();
    body.truncate(length);
    Some(body)
}

/// The key of one actor's slot and epoch: without the salt, which the ledger can destroy, it
/// cannot be made again.
pub(super) fn derive(
    vault: &Secret<[u8; 32]>,
    actor: Omni,
    slot: Slot,
    salt: &Salt,
) -> Option<LessSafeKey> {
    let info = format!(
        "agentkeys.vault.v1|{}|{}|{}",
        actor.bare(),
        slot.as_str(),
        salt.epoch
    );
    let info = [info.as_bytes()];
    let extracted = hkdf::Salt::new(HKDF_SHA256, salt.bytes.expose()).extract(vault.expose());
    let key = extracted.expand(&info, &AES_256_GCM).ok()?;
    Some(LessSafeKey::new(UnboundKey::from(key)))
}
