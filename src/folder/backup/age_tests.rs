#![allow(clippy::unwrap_used)]
use super::*;
use crate::folder::system::SystemEntropy;

fn secret(text: &str) -> Secret<String> {
    Secret::new(text.to_owned())
}

fn sealed(plain: &[u8]) -> Vec<u8> {
    let mut age = Encryptor::new(Vec::new(), &secret("a passphrase"), 1, &SystemEntropy).unwrap();
    age.write_all(plain).unwrap();
    age.finish().unwrap()
}

fn open(file: &[u8]) -> Result<Vec<u8>, AgeError> {
    let mut plain = Vec::new();
    let mut age = Decryptor::new(file, &secret("a passphrase"))?;
    age.read_to_end(&mut plain)
        .map_err(|error| match error.downcast::<AgeError>() {
            Ok(error) => error,
            Err(error) => error.into(),
        })?;
    Ok(plain)
}

/// The head of a file as text, and what comes after it.
fn parts(file: &[u8]) -> (String, Vec<u8>) {
    let end = file.windows(4).position(|w| w == b"--- ").unwrap();
    let end = end + file[end..].iter().position(|b| *b == b'\n').unwrap() + 1;
    let head = String::from_utf8(file[..end].to_vec()).unwrap();
    (head, file[end..].to_vec())
}

#[test]
fn a_file_of_another_program_opens() {
    // `pyrage.passphrase.encrypt(b"agentkeys", "correct horse battery staple")`, pyrage 1.4.0.
    let file = "YWdlLWVuY3J5cHRpb24ub3JnL3YxCi0+IHNjcnlwdCBvNS9MbFQ4TythZ1RsUU10cjR1bDBBIDE5Ck4rOHNmRmQy\
        VGl0QUI5TzFBOG5FNk8wZ0NHMEREUFVUZExHUGl1TzVvaWsKLS0tIFUyT2ZReFZ1NUJ4MGxibTMvbFAvUythenZB\
        eGVhcnByRXk5eVo5VUlFMEEK2B16tnagdKfzBmXsrNcRqnAk5AE1wqNTDjT5Iw0EZt+apKMRVRGgwlQ=";
    let file = base64::engine::general_purpose::STANDARD
        .decode(file)
        .unwrap();
    let mut plain = Vec::new();
    let mut age = Decryptor::new(&file[..], &secret("correct horse battery staple")).unwrap();
    age.read_to_end(&mut plain).unwrap();
    assert_eq!(plain, b"agentkeys");
}

#[test]
fn what_was_written_is_read_at_every_length_where_pieces_begin() {
    for length in [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 2 * CHUNK + 7] {
        let plain: Vec<u8> = (0..length)
            .map(|n| u8::try_from(n % 251).unwrap())
            .collect();
        let file = sealed(&plain);
        // One tag a piece, the last piece never empty.
        let pieces = length.div_ceil(CHUNK).max(1);
        assert_eq!(parts(&file).1.len(), 16 + length + pieces * TAG);
        assert_eq!(open(&file).unwrap(), plain);
    }
}

#[test]
fn no_byte_can_be_changed_added_or_taken_away() {
    let file = sealed(b"something");
    for at in 0..file.len() {
        let mut changed = file.clone();
        changed[at] ^= 1;
        assert!(open(&changed).is_err(), "byte {at}");
        assert!(open(&file[..at]).is_err(), "cut at {at}");
    }
    assert!(open(&[&file[..], b"x"].concat()).is_err());
    // Whole pieces cannot be moved or left out.
    let file = sealed(&vec![7; 2 * CHUNK + 1]);
    let (head, body) = parts(&file);
    let (nonce, body) = body.split_at(16);
    let pieces: Vec<&[u8]> = body.chunks(CHUNK + TAG).collect();
    let with = |pieces: &[&[u8]]| [head.as_bytes(), nonce, &pieces.concat()].concat();
    assert!(open(&with(&[pieces[0], pieces[1], pieces[2]])).is_ok());
    for wrong in [
        &[pieces[1], pieces[0], pieces[2]][..],
        &[pieces[0], pieces[2]],
        &[pieces[0], pieces[1]],
        &[pieces[0], pieces[1], pieces[2], pieces[2]],
    ] {
        assert!(matches!(open(&with(wrong)), Err(AgeError::Damaged(_))));
    }
}

#[test]
fn an_empty_last_piece_is_refused() {
    let age = Encryptor::new(Vec::new(), &secret("a passphrase"), 1, &SystemEntropy).unwrap();
    let mut age = age;
    age.write_all(&vec![1; CHUNK]).unwrap();
    age.put(false).unwrap();
    let file = age.finish().unwrap();
    assert!(matches!(
        open(&file),
        Err(AgeError::Damaged("its last piece is empty"))
    ));
}

#[test]
fn only_one_form_of_a_head_is_taken() {
    let (head, body) = parts(&sealed(b"something"));
    let with = |head: &str| open(&[head.as_bytes(), &body].concat());
    assert!(with(&head).is_ok());
    for work in [
        "0",
        "01",
        "+1",
        "0x1",
        "-1",
        "",
        "1 1",
        "99999999999999999999",
    ] {
        let changed = head.replacen(" 1\n", &format!(" {work}\n"), 1);
        assert!(matches!(with(&changed), Err(AgeError::NotScrypt)), "{work}");
    }
    for work in [21, 23, 64, 255, 256] {
        let changed = head.replacen(" 1\n", &format!(" {work}\n"), 1);
        assert!(matches!(with(&changed), Err(AgeError::TooExpensive(w)) if w == work));
    }
    // A stanza that would let somebody else in.
    let stanza = "-> X25519 abc\nabc\n---";
    assert!(matches!(
        with(&head.replacen("---", stanza, 1)),
        Err(AgeError::NotScrypt)
    ));
    assert!(matches!(
        with(&head.replacen("scrypt", "X25519", 1)),
        Err(AgeError::NotScrypt)
    ));
    assert!(matches!(
        with(&head.replacen("v1", "v2", 1)),
        Err(AgeError::NotAge)
    ));
    assert!(with(&head.replace('\n', "\r\n")).is_err());
    assert!(with(&head.replacen("\n---", "=\n---", 1)).is_err());
    assert!(matches!(open(b"SQLite format 3\0"), Err(AgeError::NotAge)));
    let endless = vec![b'a'; 10_000];
    assert!(matches!(open(&endless), Err(AgeError::NotAge)));
}

#[test]
fn another_passphrase_is_said_to_be_one() {
    let file = sealed(b"something");
    let opened = Decryptor::new(&file[..], &secret("a passphrasf"));
    assert!(matches!(opened.err(), Some(AgeError::Passphrase)));
}
