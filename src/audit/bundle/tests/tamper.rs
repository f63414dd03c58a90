//! The tamper table: every byte of a bundle, changed to every other value, with and without the last
//! line made right again. All of it must be found.

use super::*;

/// Whether a text still proves something after the change, under its own keys.
fn holds(text: &[u8]) -> bool {
    verify(text, &[]).verified()
}

#[test]
fn every_byte_changed_to_every_other_value_is_found() {
    let good = GOLDEN.as_bytes();
    assert!(holds(good));
    let mut bytes = good.to_vec();
    for place in 0..bytes.len() {
        for change in 1..=255 {
            bytes[place] = good[place] ^ change;
            assert!(!holds(&bytes), "byte {place} ^ {change}");
        }
        bytes[place] = good[place];
    }
}

#[test]
fn every_byte_changed_is_found_also_when_the_last_line_is_made_right_again() {
    let good = unsealed(GOLDEN).as_bytes();
    let mut tried = 0;
    let mut bytes = good.to_vec();
    for place in 0..bytes.len() {
        // Each bit, and what people and programs do to text.
        let bits = (0..8).map(|bit| good[place] ^ 1 << bit);
        for new in bits.chain(*b"\n\r\t =+/-0a") {
            if new == good[place] {
                continue;
            }
            bytes[place] = new;
            // The rest is not text, which is found before anything else.
            if let Ok(text) = std::str::from_utf8(&bytes) {
                assert!(
                    !holds(resealed(text).as_bytes()),
                    "byte {place} is {new:#04x}"
                );
                tried += 1;
            }
        }
        bytes[place] = good[place];
    }
    assert!(tried > 10 * good.len(), "{tried}");
}

#[test]
fn every_byte_missing_doubled_or_swapped_is_found() {
    let text = unsealed(GOLDEN);
    let chars: Vec<char> = text.chars().collect();
    let mut altered = Vec::new();
    for place in 0..chars.len() {
        let (before, after) = (&chars[..place], &chars[place + 1..]);
        altered.push([before, after].concat());
        altered.push([before, &chars[place..=place], &chars[place..]].concat());
        let mut swapped = chars.clone();
        swapped.swap(place, (place + 1) % chars.len());
        altered.push(swapped);
        altered.push(before.to_vec());
    }
    altered.retain(|a| *a != chars);
    for chars in altered {
        let text: String = chars.into_iter().collect();
        assert!(!holds(resealed(&text).as_bytes()), "{text}");
        assert!(!holds(text.as_bytes()));
    }
}

#[test]
fn what_may_be_left_out_proves_less_and_never_more() {
    let (full, key) = (golden(), [verifier(1)]);
    let said = |bundle: &Bundle| check(bundle, &key).proved();
    let all = said(&full);
    let without = |newer: bool, anchor: bool| Bundle {
        newer: full.newer.clone().filter(|_| newer),
        anchor: full.anchor.clone().filter(|_| anchor),
        ..full.clone()
    };
    for bundle in [
        without(false, false),
        without(false, true),
        without(true, false),
    ] {
        let proved = said(&bundle);
        assert!(
            !proved.is_empty() && proved.iter().all(|p| all.contains(p)),
            "{proved:?}"
        );
    }
}
