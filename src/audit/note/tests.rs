#![allow(clippy::unwrap_used)]

use super::*;
use crate::secret::Secret;
use proptest::prelude::*;

/// The example of Go's `sumdb/note`, where the format comes from.
const GO_KEY: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
const GO_NOTE: &str = "If you think cryptography is the answer to your problem,\n\
    then you don't know what your problem is.\n\
    \n\
    — PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";

fn key(name: &str, seed: u8) -> LogKey {
    LogKey::from_seed(name, &Secret::new([seed; 32])).unwrap()
}

fn signed(text: &str, keys: &[LogKey]) -> SignedNote {
    SignedNote::sign(text.to_owned(), keys).unwrap()
}

fn parse(note: &str) -> Result<SignedNote, NoteError> {
    SignedNote::parse(note.as_bytes())
}

#[test]
fn a_note_of_another_program_verifies_and_is_written_back() {
    let key: VerifierKey = GO_KEY.parse().unwrap();
    assert_eq!(key.to_string(), GO_KEY);
    assert_eq!(key.name(), "PeterNeumann");
    assert!(key.fingerprint().starts_with("c74f20a3"));
    let note = parse(GO_NOTE).unwrap();
    assert_eq!(note.to_string(), GO_NOTE);
    assert_eq!(note.signers(std::slice::from_ref(&key)), Ok(vec![&key]));
    let altered = GO_NOTE.replace("answer", "Answer");
    let bad = NoteError::BadSignature("PeterNeumann".to_owned());
    assert_eq!(parse(&altered).unwrap().signers(&[key]), Err(bad));
}

/// RFC 8032 §7.1, TEST 1: the seed makes that public key.
#[test]
fn a_seed_makes_the_key_of_the_rfc() {
    let seed = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
    let public = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
    let seed = Secret::new(hex::decode(seed).unwrap().try_into().unwrap());
    let key = LogKey::from_seed("log", &seed).unwrap();
    assert_eq!(hex::encode(key.verifier().public_key()), public);
    let key = format!("{key:?}");
    assert_eq!(
        key,
        "LogKey(log+d6b963e5+AddamAGCsQq31Uv+08lkBzoO4XLz2qYjJa8CGmj3B1Ea)"
    );
}

#[test]
fn what_keys_sign_they_verify_and_strangers_are_passed_over() {
    let (old, new) = (key("log", 1), key("log", 2));
    let note = signed("text\n", &[key("log", 1), key("log", 2)]);
    let read = parse(&note.to_string()).unwrap();
    assert_eq!(read, note);
    let (old, new) = (old.verifier().clone(), new.verifier().clone());
    let known = [old.clone(), new.clone()];
    assert_eq!(read.signers(&known), Ok(vec![&old, &new]));
    // During rotation a reader may know only one of them.
    assert_eq!(read.signers(&known[1..]), Ok(vec![&new]));
    // The same key under another name is another key, and so is another key under the same name.
    let renamed = VerifierKey::new("gol", *old.public_key()).unwrap();
    let other = key("log", 3).verifier().clone();
    assert_eq!(read.signers(&[renamed, other]), Err(NoteError::NotSigned));
    assert_eq!(read.signers(&[]), Err(NoteError::NotSigned));
}

#[test]
fn a_known_keys_wrong_signature_spoils_the_note_even_beside_a_right_one() {
    let keys = [key("log", 1), key("log", 2)];
    let known = [keys[0].verifier().clone(), keys[1].verifier().clone()];
    let (good, bad) = (signed("text\n", &keys), signed("other\n", &keys[1..]));
    let mixed = SignedNote {
        text: good.text.clone(),
        signatures: vec![good.signatures[0].clone(), bad.signatures[0].clone()],
    };
    let spoiled = NoteError::BadSignature("log".to_owned());
    assert_eq!(mixed.signers(&known), Err(spoiled));
    let twice = SignedNote {
        text: good.text.clone(),
        signatures: vec![good.signatures[0].clone(), good.signatures[0].clone()],
    };
    assert_eq!(
        twice.signers(&known),
        Err(NoteError::Twice("log".to_owned()))
    );
}

#[test]
fn a_signature_has_one_form() {
    let note = signed("text\n", &[key("log", 1)]);
    let known = [key("log", 1).verifier().clone()];
    // S + L is the same signature to a careless verifier (RFC 8032 §5.1.7 wants S < L).
    let order = "edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010";
    let order = hex::decode(order).unwrap();
    let mut carry = 0_u16;
    let mut forged = note.clone();
    for (byte, add) in forged.signatures[0].bytes[32..].iter_mut().zip(order) {
        let sum = u16::from(*byte) + u16::from(add) + carry;
        *byte = sum.to_le_bytes()[0];
        carry = sum >> 8;
    }
    assert!(forged.signers(&known).is_err());
    for longer in [vec![0], vec![0; 64]] {
        let mut forged = note.clone();
        forged.signatures[0].bytes.extend(longer);
        assert!(forged.signers(&known).is_err());
    }
}

#[test]
fn only_the_one_form_of_a_note_is_read() {
    let good = signed("first\n\nsecond é\n", &[key("log.example/1", 1)]).to_string();
    let read = parse(&good).unwrap();
    assert_eq!(
        (read.text(), read.to_string()),
        ("first\n\nsecond é\n", good.clone())
    );
    let line = good.rsplit_once("\n\n").unwrap().1;
    for (wrong, why) in [
        (String::new(), NoteError::Shape),
        ("text\n".to_owned(), NoteError::Shape),
        ("text\n\n".to_owned(), NoteError::Shape),
        (good.trim_end().to_owned(), NoteError::Shape),
        (good.replace('\n', "\r\n"), NoteError::NotText),
        (good.replace("first", "fi\trst"), NoteError::NotText),
        (good.replace("first", "fi\0rst"), NoteError::NotText),
        (good.replace("— ", "- "), NoteError::Line(1)),
        (good.replace("— ", "—  "), NoteError::Line(1)),
        (
            good.replace("log.example", "log+example"),
            NoteError::Line(1),
        ),
        (
            good.replace("log.example", "log\u{a0}example"),
            NoteError::Line(1),
        ),
        (good.replace("— log.example/1", "— "), NoteError::Line(1)),
        (format!("{good}more\n"), NoteError::Line(2)),
        (format!("{good}\n"), NoteError::Shape),
        (good.replace(line, "— log AAAAAA==\n"), NoteError::Line(1)),
        (format!("text\n\n{}", line.repeat(17)), NoteError::TooMany),
        ("a".repeat(MAX_NOTE_BYTES) + &good, NoteError::TooLarge),
    ] {
        assert_eq!(parse(&wrong).unwrap_err(), why, "{wrong:.60}");
    }
    assert_eq!(SignedNote::parse(b"a\xff\n\n"), Err(NoteError::NotText));
    assert_eq!(
        parse(&format!("text\n\n{}", line.repeat(16)))
            .unwrap()
            .signatures()
            .len(),
        16
    );
}

#[test]
fn base64_has_one_form() {
    let good = signed("text\n", &[key("log", 1)]).to_string();
    let (rest, last) = good.trim_end().rsplit_once(' ').unwrap();
    // 68 bytes end in one group of four with one padding sign, whose third digit has spare bits.
    let digit = last.len() - 2;
    let with = |digits: String| format!("{rest} {digits}\n");
    let spare: Vec<_> = ('A'..='Z')
        .chain('a'..='z')
        .chain('0'..='9')
        .chain(['+', '/'])
        .collect();
    let value = spare
        .iter()
        .position(|&c| last[digit..].starts_with(c))
        .unwrap();
    assert_eq!(value % 4, 0);
    for bits in 1..4 {
        let altered = format!("{}{}=", &last[..digit], spare[value + bits]);
        assert_eq!(parse(&with(altered)), Err(NoteError::Line(1)));
    }
    for altered in [
        last.trim_end_matches('=').to_owned(),
        format!("{last}="),
        format!("{last} "),
    ] {
        assert_eq!(parse(&with(altered)), Err(NoteError::Line(1)));
    }
}

#[test]
fn a_verifier_key_has_one_form_and_mistypings_are_found() {
    let good = key("log.example/1", 1).verifier().to_string();
    assert_eq!(good.parse::<VerifierKey>().unwrap().to_string(), good);
    let (name, hash, digits) = {
        let mut parts = good.splitn(3, '+');
        let mut part = || parts.next().unwrap();
        (part(), part(), part())
    };
    for (wrong, why) in [
        (String::new(), KeyError::Shape),
        (format!("{name}+{hash}"), KeyError::Shape),
        (format!("{name}+{hash}+{digits}="), KeyError::Shape),
        (format!("{name}+{hash}+ {digits}"), KeyError::Shape),
        (
            format!("{name}+{}+{digits}", hash.to_uppercase()),
            KeyError::Hash,
        ),
        (format!("{name}+0{hash}+{digits}"), KeyError::Hash),
        (format!("{name}x+{hash}+{digits}"), KeyError::Hash),
        (format!("+{hash}+{digits}"), KeyError::Name),
        (format!("a b+{hash}+{digits}"), KeyError::Name),
        (
            format!("{name}+{hash}+{}", digits.replacen('A', "B", 1)),
            KeyError::Kind,
        ),
        (format!("{name}+{hash}+AQ=="), KeyError::Kind),
        (format!("{name}+{hash}+"), KeyError::Kind),
        ("x".repeat(1000), KeyError::Shape),
    ] {
        assert_eq!(wrong.parse::<VerifierKey>(), Err(why), "{wrong:.80}");
    }
    // A mistyped key is found by the hash before any signature is looked at.
    let mistyped = digits.replacen(|c: char| c.is_ascii_lowercase(), "Q", 1);
    let wrong = format!("{name}+{hash}+{mistyped}").parse::<VerifierKey>();
    assert_eq!(wrong, Err(KeyError::Hash));
}

#[test]
fn a_note_is_signed_by_one_to_sixteen_keys() {
    let sign = |keys: &[LogKey]| SignedNote::sign("text\n".to_owned(), keys);
    assert_eq!(sign(&[]), Err(KeyError::Count));
    let many: Vec<_> = (0..17).map(|n| key("log", n)).collect();
    assert_eq!(sign(&many), Err(KeyError::Count));
    let note = sign(&many[..16]).unwrap();
    assert_eq!(parse(&note.to_string()), Ok(note));
}

proptest! {
    #[test]
    fn what_is_read_is_written_back(note in "\\PC{0,30}\n\n(— [a-z]{1,3} [A-Za-z+/]{8}\n){1,3}") {
        if let Ok(read) = parse(&note) {
            prop_assert_eq!(read.to_string(), note);
        }
    }

    #[test]
    fn no_bytes_make_reading_panic(bytes: Vec<u8>, at: prop::sample::Index, byte: u8) {
        let _ = SignedNote::parse(&bytes);
        let mut note = GO_NOTE.as_bytes().to_vec();
        let at = at.index(note.len());
        let same = std::mem::replace(&mut note[at], byte) == byte;
        let key: VerifierKey = GO_KEY.parse().unwrap();
        let read = SignedNote::parse(&note).map(|note| note.signers(&[key]).is_ok());
        prop_assert_eq!(read.unwrap_or(false), same);
    }
}
