//! Signed notes (C2SP signed-note): a text, an empty line, and a line for each signature, in a form
//! that survives mail and can be read. Ed25519 only; a signature of another kind or of a stranger is
//! kept as it is and never counted.

mod key;

pub use key::{KeyError, LogKey, VerifierKey};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::fmt;

/// The largest note that is read, in bytes: room for 16 signatures of 5 kB, as the standard asks.
pub const MAX_NOTE_BYTES: usize = 128 * 1024;

/// The most signatures a note may have, which is as many as the standard asks a reader to accept.
pub const MAX_SIGNATURES: usize = 16;

/// How a signature line begins: an em dash and a space.
const DASH: &str = "\u{2014} ";

/// A text and who signs it. What it says counts only after [`SignedNote::signers`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedNote {
    text: String,
    signatures: Vec<Signature>,
}

/// One signature line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    name: String,
    key_id: [u8; 4],
    bytes: Vec<u8>,
}

impl Signature {
    /// The name of the key it claims.
    pub fn name(&self) -> &str {
        &self.name
    }

    fn claims(&self, key: &VerifierKey) -> bool {
        self.name == key.name() && self.key_id == key.id()
    }
}

/// Why bytes are not a note, or not one that counts.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// Larger than [`MAX_NOTE_BYTES`].
    #[error("the note is larger than {MAX_NOTE_BYTES} bytes")]
    TooLarge,
    /// Not UTF-8, or with control characters.
    #[error("the note is not plain text")]
    NotText,
    /// Not a text, an empty line and signature lines.
    #[error("the note is not a text, an empty line and signature lines")]
    Shape,
    /// A signature line that is not `— name base64`.
    #[error("signature line {0} is malformed")]
    Line(usize),
    /// More than [`MAX_SIGNATURES`].
    #[error("the note has more than {MAX_SIGNATURES} signatures")]
    TooMany,
    /// A known key's signature is wrong: the text or the signature was altered.
    #[error("the signature of {0} is wrong")]
    BadSignature(String),
    /// A known key signs twice.
    #[error("{0} signs twice")]
    Twice(String),
    /// None of the known keys signs it.
    #[error("no known key signs the note")]
    NotSigned,
}

impl SignedNote {
    /// Reads a note. Strict: what it accepts, [`fmt::Display`] writes back byte for byte.
    pub fn parse(bytes: &[u8]) -> Result<Self, NoteError> {
        if bytes.len() > MAX_NOTE_BYTES {
            return Err(NoteError::TooLarge);
        }
        let note = std::str::from_utf8(bytes).map_err(|_| NoteError::NotText)?;
        if note.chars().any(|c| c < ' ' && c != '\n') {
            return Err(NoteError::NotText);
        }
        // The text may have empty lines too, so the last one divides.
        let at = note.rfind("\n\n").ok_or(NoteError::Shape)?;
        let (text, lines) = (&note[..=at], &note[at + 2..]);
        let lines = lines.strip_suffix('\n').ok_or(NoteError::Shape)?;
        let mut signatures = Vec::new();
        for (place, line) in lines.split('\n').enumerate() {
            if place == MAX_SIGNATURES {
                return Err(NoteError::TooMany);
            }
            signatures.push(signature(line).ok_or(NoteError::Line(place + 1))?);
        }
        Ok(Self {
            text: text.to_owned(),
            signatures,
        })
    }

    /// The signed text, with its last line end.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Its signature lines, those of strangers too.
    pub fn signatures(&self) -> &[Signature] {
        &self.signatures
    }

    /// Which of these keys sign it: at least one, each signature of theirs right. Signatures of other
    /// keys are passed over, as rotation and witnesses need.
    pub fn signers<'k>(&self, known: &'k [VerifierKey]) -> Result<Vec<&'k VerifierKey>, NoteError> {
        let mut signers: Vec<&VerifierKey> = Vec::new();
        for signature in &self.signatures {
            let Some(key) = known.iter().find(|key| signature.claims(key)) else {
                continue;
            };
            if signers.contains(&key) {
                return Err(NoteError::Twice(key.name().to_owned()));
            }
            if !key.verifies(self.text.as_bytes(), &signature.bytes) {
                return Err(NoteError::BadSignature(key.name().to_owned()));
            }
            signers.push(key);
        }
        if signers.is_empty() {
            return Err(NoteError::NotSigned);
        }
        Ok(signers)
    }

    /// Signs a text that ends with a line end. Only for texts that may be signed: a checkpoint after
    /// the last one, an anchor.
    pub(super) fn sign(text: String, keys: &[LogKey]) -> Result<Self, KeyError> {
        let signatures = keys.iter().map(|key| {
            Ok(Signature {
                name: key.verifier().name().to_owned(),
                key_id: key.verifier().id(),
                bytes: key.sign(text.as_bytes())?,
            })
        });
        let signatures = signatures.collect::<Result<Vec<_>, KeyError>>()?;
        if signatures.is_empty() || signatures.len() > MAX_SIGNATURES {
            return Err(KeyError::Count);
        }
        Ok(Self { text, signatures })
    }
}

fn signature(line: &str) -> Option<Signature> {
    let (name, blob) = line.strip_prefix(DASH)?.split_once(' ')?;
    let blob = STANDARD.decode(blob).ok()?;
    let (key_id, bytes) = blob.split_first_chunk()?;
    if !key::is_name(name) || bytes.is_empty() {
        return None;
    }
    Some(Signature {
        name: name.to_owned(),
        key_id: *key_id,
        bytes: bytes.to_vec(),
    })
}

impl fmt::Display for SignedNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text)?;
        for signature in &self.signatures {
            let blob = [&signature.key_id[..], &signature.bytes].concat();
            writeln!(f, "{DASH}{} {}", signature.name, STANDARD.encode(blob))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
