//! Devices and how they come to an actor: a vendor's own name for one, the code a parent hands
//! over, and the place in the identity tree that follows from both. Pure: randomness comes in.

use super::identity::{Alias, IdentityError, Label, Omni};
use super::ports::TokenRow;
use super::principal::{Actor, Binding};
use crate::digest::sha256;
use crate::secret::Secret;
use std::fmt;
use std::str::FromStr;

/// A text is not a device's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a device is named by 1 to 128 letters, digits, '.', '_', ':' and '-', the first a letter or digit"
)]
pub struct NoDeviceId;

/// What a vendor calls one of its devices: a serial number, a MAC address, a UUID. Compared byte by
/// byte; two spellings are two devices.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceId(String);

impl DeviceId {
    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The device's label under any parent: `d-` and the first 30 hex digits of
    /// `SHA256("agentkeys-device-v1" ‖ vendor ‖ 0x00 ‖ device)`. Never its name itself: a vendor
    /// chooses that, and could choose the label of somebody else's child.
    pub fn label(&self, vendor: &str) -> Result<Label, IdentityError> {
        let hash = sha256(&[
            b"agentkeys-device-v1",
            vendor.as_bytes(),
            &[0],
            self.0.as_bytes(),
        ]);
        let digits = hex::encode(&hash[..15]);
        format!("d-{digits}").parse()
    }

    /// A name to register its actor under: vendor, what can be shown of the device's name, and the
    /// beginning of the actor's own id, so that no vendor can take a name that others use.
    pub fn alias(&self, vendor: &str, actor: &Omni) -> Result<Alias, IdentityError> {
        const MAX: usize = 64;
        let end = &actor.bare()[..12];
        let room = MAX.saturating_sub(vendor.len() + end.len() + 2).min(24);
        let shown = self.0.chars().take(room);
        let shown: String = shown.map(|c| if c == ':' { '-' } else { c }).collect();
        format!("{vendor}.{shown}.{end}").parse()
    }
}

impl fmt::Display for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for DeviceId {
    type Err = NoDeviceId;

    fn from_str(text: &str) -> Result<Self, NoDeviceId> {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b':' | b'-');
        let starts_well = text.starts_with(|c: char| c.is_ascii_alphanumeric());
        if text.len() > 128 || !starts_well || !text.bytes().all(allowed) {
            return Err(NoDeviceId);
        }
        Ok(Self(text.to_owned()))
    }
}

/// The letters of a pairing code: no vowels, so no words, no digits, so no `0` for `O` (RFC 8628
/// §6.1).
const LETTERS: &[u8; 20] = b"BCDFGHJKLMNPQRSTVWXZ";

/// How many letters a code has: 51 bits.
const LENGTH: usize = 12;

/// Letters shown together.
const GROUP: usize = 4;

/// A code that a parent hands over to a device: good for one registration within ten minutes. It
/// is guessed neither through the door, where wrong ones are counted, nor from its hash in the time
/// it lives.
#[derive(Debug, Clone)]
pub struct PairingCode(Secret<String>);

/// How long a code can be used, in milliseconds.
pub const CODE_LIFE_MS: i64 = 10 * 60 * 1000;

impl PairingCode {
    /// A code from 16 random bytes.
    pub fn from_random(random: [u8; 16]) -> Self {
        let mut number = u128::from_be_bytes(random);
        let letters = (0..LENGTH).map(|_| {
            // 20 fits everywhere, and what is left over of 2^128 is no bias to speak of.
            let at = usize::try_from(number % 20).unwrap_or_default();
            number /= 20;
            char::from(LETTERS[at])
        });
        Self(Secret::new(letters.collect()))
    }

    /// A code as a person typed it: case, blanks and hyphens do not matter. Nothing for what cannot
    /// be a code.
    pub fn read(text: &str) -> Option<Self> {
        const MAX_TYPED: usize = 64;
        if text.len() > MAX_TYPED {
            return None;
        }
        let letters: String = text
            .chars()
            .filter(|c| !matches!(c, ' ' | '-'))
            .map(|c| c.to_ascii_uppercase())
            .collect();
        let known = letters.bytes().all(|b| LETTERS.contains(&b));
        (letters.len() == LENGTH && known).then(|| Self(Secret::new(letters)))
    }

    /// What is kept of it.
    pub fn hash(&self) -> [u8; 32] {
        sha256(&[b"agentkeys-pairing-v1", self.0.expose().as_bytes()])
    }

    /// The code for the one answer that hands it over, in groups.
    pub fn expose(&self) -> String {
        let groups = self.0.expose().as_bytes().chunks(GROUP);
        let groups: Vec<_> = groups.map(String::from_utf8_lossy).collect();
        groups.join("-")
    }
}

/// A device as the ledger keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceRow {
    /// Whose device it is.
    pub vendor: String,
    /// That vendor's name for it.
    pub device_id: DeviceId,
    /// The actor it speaks for.
    pub actor: Omni,
    /// The token signed for it last.
    pub token_id: String,
    /// Counts its registrations, from 0.
    pub generation: u32,
    /// When it was registered last, Unix milliseconds.
    pub paired_ms: i64,
    /// When it was taken away.
    pub removed_ms: Option<i64>,
}

/// What changes of a device when somebody else changed it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeviceState {
    /// Its generation.
    pub generation: u32,
    /// Whether it was taken away.
    pub removed: bool,
}

impl DeviceRow {
    /// Its state.
    pub const fn state(&self) -> DeviceState {
        DeviceState {
            generation: self.generation,
            removed: self.removed_ms.is_some(),
        }
    }
}

/// A device with its actor and its token.
#[derive(Debug, Clone)]
pub struct ListedDevice {
    /// The device.
    pub device: DeviceRow,
    /// Its actor.
    pub actor: Actor,
    /// Its token.
    pub token: TokenRow,
}

/// A parent's consent waiting for a device, as the ledger keeps it: never its code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PairingRow {
    /// [`PairingCode::hash`].
    pub code_hash: [u8; 32],
    /// Its public id.
    pub id: String,
    /// Whose child the device's actor becomes.
    pub parent: Omni,
    /// The one vendor that may use it.
    pub vendor: String,
    /// The binding it makes.
    pub rights: Binding,
    /// How long the device's JWT lives, milliseconds.
    pub jwt_ttl_ms: i64,
    /// When it ends, Unix milliseconds.
    pub expires_ms: i64,
    /// When it was used.
    pub used_ms: Option<i64>,
}

impl PairingRow {
    /// Whether this vendor may use it now.
    pub fn is_open_to(&self, vendor: &str, now_ms: i64) -> bool {
        self.vendor == vendor && self.used_ms.is_none() && now_ms < self.expires_ms
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn device(text: &str) -> DeviceId {
        text.parse().unwrap()
    }

    #[test]
    fn a_device_has_one_place_under_a_parent_and_vendors_do_not_share_it() {
        // Computed with `printf 'agentkeys-device-v1magiclick\0bear-01' | sha256sum`.
        let label = device("bear-01").label("magiclick").unwrap();
        assert_eq!(label.as_str(), LABEL);
        assert_ne!(label, device("bear-02").label("magiclick").unwrap());
        assert_ne!(label, device("bear-01").label("magiclic").unwrap());
        assert_ne!(
            device("a").label("ba").unwrap(),
            device("aa").label("b").unwrap()
        );
    }

    const LABEL: &str = "d-26d7a32751058b493b08deb465b11a";

    #[test]
    fn an_alias_always_fits_and_ends_with_the_actor() {
        let omni = Omni::from_bytes([0xab; 32]);
        let alias = |id: &str, vendor: &str| device(id).alias(vendor, &omni).unwrap().to_string();
        assert_eq!(alias("aa:bb", "folotoy"), "folotoy.aa-bb.abababababab");
        let vendor = "v".repeat(40);
        let long = alias(&"x".repeat(128), &vendor);
        assert!(
            long.len() <= 64 && long.ends_with(".abababababab"),
            "{long}"
        );
    }

    #[test]
    fn a_code_is_read_as_people_type_it() {
        let code = PairingCode::from_random([7; 16]);
        let text = code.expose();
        assert_eq!(text.len(), LENGTH + 2);
        assert!(text.split('-').all(|group| group.len() == GROUP));
        for typed in [
            text.clone(),
            text.to_lowercase(),
            text.replace('-', ""),
            text.replace('-', " "),
            format!(" {text} "),
        ] {
            assert_eq!(PairingCode::read(&typed).unwrap().hash(), code.hash());
        }
        for bad in [
            "",
            "----",
            &text[1..],
            &format!("{text}B"),
            &text.replacen(&text[..1], "A", 1),
        ] {
            assert!(PairingCode::read(bad).is_none(), "{bad}");
        }
        assert!(PairingCode::read(&"-".repeat(100_000)).is_none());
        assert!(!format!("{code:?}").contains(&text));
    }

    #[test]
    fn a_consent_is_open_to_one_vendor_until_it_is_used_or_over() {
        let open = PairingRow {
            code_hash: [0; 32],
            id: "pair_1".to_owned(),
            parent: Omni::ZERO,
            vendor: "magiclick".to_owned(),
            rights: Binding::default(),
            jwt_ttl_ms: 1,
            expires_ms: 10,
            used_ms: None,
        };
        assert!(open.is_open_to("magiclick", 9));
        assert!(!open.is_open_to("magiclick", 10));
        assert!(!open.is_open_to("folotoy", 9));
        let used = PairingRow {
            used_ms: Some(5),
            ..open
        };
        assert!(!used.is_open_to("magiclick", 9));
    }

    #[test]
    fn codes_use_every_letter_and_differ() {
        let mut seen = std::collections::BTreeSet::new();
        for n in 0..200_u128 {
            // Multiplied by an odd constant, so that the numbers spread.
            let spread = n.wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835);
            seen.extend(
                PairingCode::from_random(spread.to_be_bytes())
                    .expose()
                    .bytes(),
            );
        }
        seen.remove(&b'-');
        assert_eq!(seen.len(), LETTERS.len());
    }

    #[test]
    fn names_of_devices_are_bounded() {
        for good in ["1", "aa:bb:cc:dd:ee:ff", "SN.2026_07-x", &"a".repeat(128)] {
            assert_eq!(device(good).as_str(), good);
        }
        for bad in [
            "",
            ".a",
            "-a",
            ":a",
            "a b",
            "a/b",
            "a\n",
            "é",
            &"a".repeat(129),
        ] {
            assert_eq!(bad.parse::<DeviceId>(), Err(NoDeviceId), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn every_device_of_every_vendor_has_a_label_and_an_alias(
            id in "[A-Za-z0-9][A-Za-z0-9._:-]{0,127}",
            vendor in "[a-z0-9][a-z0-9_-]{0,39}",
            omni: [u8; 32],
        ) {
            let device = device(&id);
            prop_assert!(device.label(&vendor).is_ok());
            prop_assert!(device.alias(&vendor, &Omni::from_bytes(omni)).is_ok());
        }

        #[test]
        fn what_is_shown_is_read_back(random: [u8; 16]) {
            let code = PairingCode::from_random(random);
            let back = PairingCode::read(&code.expose());
            prop_assert!(back.is_some_and(|back| back.hash() == code.hash()));
        }

        #[test]
        fn no_text_makes_reading_panic(text in "\\PC{0,80}") {
            let _ = PairingCode::read(&text);
            let _ = text.parse::<DeviceId>();
        }
    }
}
