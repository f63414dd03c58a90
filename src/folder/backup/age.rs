//! age files encrypted to a passphrase, as anybody's `age -d` opens them: `age-encryption.org/v1` with
//! one scrypt stanza (<https://github.com/C2SP/C2SP/blob/main/age.md>), and nothing else of age.

use crate::authority::ports::Entropy;
use crate::secret::{Secret, same};
use aws_lc_rs::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::hkdf::{self, HKDF_SHA256};
use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD as BASE64;
use std::io::{self, BufRead, BufReader, Read, Write};

/// The work factor of what is written, log₂: a second and 256 MiB.
pub(super) const WORK: u8 = 18;

/// The most that is done for a file of somebody else's: four seconds and 1 GiB.
const MAX_WORK: u8 = 20;

const FIRST_LINE: &str = "age-encryption.org/v1";
const SCRYPT_LABEL: &[u8] = b"age-encryption.org/v1/scrypt";
const CHUNK: usize = 64 * 1024;
const TAG: usize = 16;
const FILE_KEY: usize = 16;

/// No line of a header we read is longer.
const MAX_LINE: u64 = 256;

/// Why an age file does not open.
#[derive(Debug, thiserror::Error)]
pub(super) enum AgeError {
    /// It cannot be read or written.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It is no age file.
    #[error("it is not an age file")]
    NotAge,
    /// It is one that no passphrase opens.
    #[error("it is an age file, but not one that is encrypted to a passphrase alone")]
    NotScrypt,
    /// Opening it would take too long.
    #[error("its work factor is {0}, and more than {MAX_WORK} is not done")]
    TooExpensive(u32),
    /// Another passphrase, or a head that was changed.
    #[error("the passphrase is not the one it was encrypted to, or its head is damaged")]
    Passphrase,
    /// Its bytes are not those that were written.
    #[error("it is damaged: {0}")]
    Damaged(&'static str),
    /// The ciphers do not work.
    #[error("the cipher failed")]
    Cipher,
}

/// Encrypts what is written to it. Nothing is whole before [`Encryptor::finish`].
pub(super) struct Encryptor<W> {
    to: W,
    stream: Stream,
    chunk: Vec<u8>,
}

impl<W: Write> Encryptor<W> {
    /// Writes the head; `work` is [`WORK`] but in tests.
    pub(super) fn new(
        mut to: W,
        passphrase: &Secret<String>,
        work: u8,
        entropy: &dyn Entropy,
    ) -> Result<Self, AgeError> {
        let (mut file_key, mut salt, mut nonce) = ([0; FILE_KEY], [0; 16], [0; 16]);
        entropy.fill(&mut file_key);
        entropy.fill(&mut salt);
        entropy.fill(&mut nonce);
        let wrap = wrapping_key(passphrase, &salt, work)?;
        let mut wrapped = file_key.to_vec();
        let aad = Aad::empty();
        wrap.seal_in_place_append_tag(Nonce::assume_unique_for_key([0; 12]), aad, &mut wrapped)
            .map_err(|_| AgeError::Cipher)?;
        let salt = BASE64.encode(salt);
        let wrapped = BASE64.encode(wrapped);
        let head = format!("{FIRST_LINE}\n-> scrypt {salt} {work}\n{wrapped}\n---");
        let mac = hmac::sign(&mac_key(&file_key)?, head.as_bytes());
        to.write_all(format!("{head} {}\n", BASE64.encode(mac)).as_bytes())?;
        to.write_all(&nonce)?;
        Ok(Self {
            to,
            stream: Stream::new(&file_key, &nonce)?,
            chunk: Vec::with_capacity(CHUNK + TAG),
        })
    }

    /// Writes the last chunk and gives back what it wrote to.
    pub(super) fn finish(mut self) -> io::Result<W> {
        self.put(true)?;
        Ok(self.to)
    }

    fn put(&mut self, last: bool) -> io::Result<()> {
        let nonce = self.stream.next(last);
        let sealed = self
            .stream
            .key
            .seal_in_place_append_tag(nonce, Aad::empty(), &mut self.chunk);
        sealed.map_err(|_| io::Error::other("the cipher failed"))?;
        self.to.write_all(&self.chunk)?;
        self.chunk.clear();
        Ok(())
    }
}

impl<W: Write> Write for Encryptor<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // A full chunk waits until it is known not to be the last one, which alone may be short.
        if self.chunk.len() == CHUNK && !bytes.is_empty() {
            self.put(false)?;
        }
        let taken = bytes.len().min(CHUNK - self.chunk.len());
        self.chunk.extend_from_slice(&bytes[..taken]);
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Decrypts what is read through it; no byte comes out that was not proved first. What is damaged is an
/// error of the kind `InvalidData`.
pub(super) struct Decryptor<R> {
    from: BufReader<R>,
    stream: Stream,
    /// The open chunk, and how far it was read.
    chunk: Vec<u8>,
    at: usize,
    over: bool,
}

impl<R: Read> Decryptor<R> {
    /// Reads the head and tries the passphrase.
    pub(super) fn new(from: R, passphrase: &Secret<String>) -> Result<Self, AgeError> {
        let mut from = BufReader::with_capacity(CHUNK + TAG, from);
        if line(&mut from)? != FIRST_LINE {
            return Err(AgeError::NotAge);
        }
        let stanza = line(&mut from)?;
        let words: Vec<&str> = stanza.split(' ').collect();
        let ["->", "scrypt", salt, work] = words[..] else {
            return Err(AgeError::NotScrypt);
        };
        let work = work_factor(work)?;
        let wrapped = line(&mut from)?;
        let end = line(&mut from)?;
        // An scrypt stanza is alone: whoever knows one passphrase must not be able to add another.
        let mac = end.strip_prefix("--- ").ok_or(AgeError::NotScrypt)?;
        let head = format!("{FIRST_LINE}\n{stanza}\n{wrapped}\n---");
        let salt: [u8; 16] = bytes(salt)?;
        let wrapped: [u8; FILE_KEY + TAG] = bytes(&wrapped)?;
        let mac: [u8; 32] = bytes(mac)?;
        let wrap = wrapping_key(passphrase, &salt, work)?;
        let mut file_key = wrapped;
        let nonce = Nonce::assume_unique_for_key([0; 12]);
        let file_key = wrap.open_in_place(nonce, Aad::empty(), &mut file_key);
        let file_key: [u8; FILE_KEY] = file_key
            .ok()
            .and_then(|key| (&*key).try_into().ok())
            .ok_or(AgeError::Passphrase)?;
        let wanted = hmac::sign(&mac_key(&file_key)?, head.as_bytes());
        if !same(wanted.as_ref(), &mac) {
            return Err(AgeError::Damaged("its head was changed"));
        }
        let mut nonce = [0; 16];
        from.read_exact(&mut nonce).map_err(ended)?;
        Ok(Self {
            from,
            stream: Stream::new(&file_key, &nonce)?,
            chunk: Vec::new(),
            at: 0,
            over: false,
        })
    }

    fn next(&mut self) -> Result<(), AgeError> {
        self.at = 0;
        self.chunk.clear();
        let most = (CHUNK + TAG) as u64;
        (&mut self.from).take(most).read_to_end(&mut self.chunk)?;
        let last = self.from.fill_buf()?.is_empty();
        let first = self.stream.counter == 0;
        if self.chunk.len() < TAG {
            return Err(AgeError::Damaged("it ends too early"));
        }
        if last && self.chunk.len() == TAG && !first {
            return Err(AgeError::Damaged("its last piece is empty"));
        }
        let nonce = self.stream.next(last);
        let opened = self
            .stream
            .key
            .open_in_place(nonce, Aad::empty(), &mut self.chunk);
        let length = opened
            .map_err(|_| AgeError::Damaged("a piece of it was changed, or its end is missing"))?
            .len();
        self.chunk.truncate(length);
        self.over = last;
        Ok(())
    }
}

impl<R: Read> Read for Decryptor<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.at == self.chunk.len() && !self.over {
            self.next().map_err(|error| match error {
                AgeError::Io(error) => error,
                error => io::Error::new(io::ErrorKind::InvalidData, error),
            })?;
        }
        let taken = into.len().min(self.chunk.len() - self.at);
        into[..taken].copy_from_slice(&self.chunk[self.at..self.at + taken]);
        self.at += taken;
        Ok(taken)
    }
}

/// The STREAM construction: a key, and a nonce that counts.
struct Stream {
    key: LessSafeKey,
    counter: u64,
}

impl Stream {
    fn new(file_key: &[u8; FILE_KEY], nonce: &[u8; 16]) -> Result<Self, AgeError> {
        let key = derived(nonce, file_key, b"payload")?;
        Ok(Self {
            key: cipher(&key)?,
            counter: 0,
        })
    }

    /// The nonce of the next chunk: eleven bytes that count, and one that says whether it is the last.
    fn next(&mut self, last: bool) -> Nonce {
        let mut nonce = [0; 12];
        nonce[3..11].copy_from_slice(&self.counter.to_be_bytes());
        nonce[11] = u8::from(last);
        self.counter += 1;
        Nonce::assume_unique_for_key(nonce)
    }
}

fn cipher(key: &[u8; 32]) -> Result<LessSafeKey, AgeError> {
    let key = UnboundKey::new(&CHACHA20_POLY1305, key).map_err(|_| AgeError::Cipher)?;
    Ok(LessSafeKey::new(key))
}

fn wrapping_key(
    passphrase: &Secret<String>,
    salt: &[u8; 16],
    work: u8,
) -> Result<LessSafeKey, AgeError> {
    let params = scrypt::Params::new(work, 8, 1).map_err(|_| AgeError::Cipher)?;
    let salt = [SCRYPT_LABEL, salt].concat();
    let mut key = [0; 32];
    scrypt::scrypt(passphrase.expose().as_bytes(), &salt, &params, &mut key)
        .map_err(|_| AgeError::Cipher)?;
    cipher(&key)
}

fn mac_key(file_key: &[u8; FILE_KEY]) -> Result<hmac::Key, AgeError> {
    let key = derived(&[], file_key, b"header")?;
    Ok(hmac::Key::new(hmac::HMAC_SHA256, &key))
}

fn derived(salt: &[u8], key: &[u8], info: &[u8]) -> Result<[u8; 32], AgeError> {
    let info = [info];
    let extracted = hkdf::Salt::new(HKDF_SHA256, salt).extract(key);
    let expanded = extracted.expand(&info, HKDF_SHA256);
    let mut out = [0; 32];
    let filled = expanded.and_then(|okm| okm.fill(&mut out));
    filled.map_err(|_| AgeError::Cipher)?;
    Ok(out)
}

/// A decimal number in its one form.
fn work_factor(text: &str) -> Result<u8, AgeError> {
    let number: u32 = text.parse().map_err(|_| AgeError::NotScrypt)?;
    if number.to_string() != text || number == 0 {
        return Err(AgeError::NotScrypt);
    }
    match u8::try_from(number) {
        Ok(work) if work <= MAX_WORK => Ok(work),
        _ => Err(AgeError::TooExpensive(number)),
    }
}

fn bytes<const N: usize>(text: &str) -> Result<[u8; N], AgeError> {
    let bytes = BASE64.decode(text).ok();
    let bytes = bytes.and_then(|bytes| bytes.try_into().ok());
    bytes.ok_or(AgeError::Damaged("its head is malformed"))
}

fn line(from: &mut impl BufRead) -> Result<String, AgeError> {
    let mut line = Vec::new();
    from.take(MAX_LINE).read_until(b'\n', &mut line)?;
    if line.pop() != Some(b'\n') {
        return Err(AgeError::NotAge);
    }
    String::from_utf8(line).map_err(|_| AgeError::NotAge)
}

fn ended(error: io::Error) -> AgeError {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => AgeError::Damaged("it ends too early"),
        _ => AgeError::Io(error),
    }
}

#[cfg(test)]
#[path = "age_tests.rs"]
mod tests;
