//! The bundle's text: a title, fields of one line each in one order, and the hash of all before it.

use super::verdict::{Failure, Part};
use super::{Bundle, Newer};
use crate::audit::checkpoint::{decimal, hash};
use crate::audit::note::{SignedNote, VerifierKey};
use crate::audit::tree::Hash;
use crate::digest::sha256;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::fmt::Write as _;
use std::str::Lines;

/// The largest bundle that is read.
pub const MAX_BUNDLE_BYTES: usize = 1024 * 1024;

/// The largest envelope that is carried.
pub const MAX_ENVELOPE_BYTES: usize = 256 * 1024;

/// The most hashes of one proof: a tree of 2^63 entries is 63 high, and a consistency proof has one
/// more.
const MAX_HASHES: usize = 64;

/// The most lines of one note in a bundle.
const MAX_NOTE_LINES: usize = 64;

/// The most keys.
const MAX_KEYS: usize = 16;

const TITLE: &str = "agentkeys audit bundle v1";

impl Bundle {
    /// The bundle as it is written to a file.
    pub fn encode(&self) -> String {
        let mut out = format!("{TITLE}\n");
        line(&mut out, "seq", &self.seq.to_string());
        line(&mut out, "envelope", &STANDARD.encode(&self.envelope));
        hashes(&mut out, "inclusion", &self.inclusion);
        note(&mut out, "checkpoint", &self.checkpoint);
        if let Some(newer) = &self.newer {
            note(&mut out, "newer", &newer.checkpoint);
            hashes(&mut out, "consistency", &newer.consistency);
        }
        if let Some(anchor) = &self.anchor {
            note(&mut out, "anchor", anchor);
        }
        let mut keys: Vec<_> = self.keys.iter().map(ToString::to_string).collect();
        keys.sort_unstable();
        for key in keys {
            line(&mut out, "key", &key);
        }
        let digest = hex::encode(sha256(&[out.as_bytes()]));
        line(&mut out, "sha256", &digest);
        out
    }

    /// Reads a bundle. Strict: what it accepts, [`Self::encode`] writes back byte for byte.
    pub fn decode(bytes: &[u8]) -> Result<Self, Failure> {
        if bytes.len() > MAX_BUNDLE_BYTES {
            let cause = format!("the bundle is larger than {MAX_BUNDLE_BYTES} bytes");
            return Err(Failure::new(Part::Format, cause));
        }
        let text = whole(bytes)?;
        let mut fields = Fields(text.lines());
        if fields.0.next() != Some(TITLE) {
            let cause = format!("the first line is not `{TITLE}`");
            return Err(Failure::new(Part::Format, cause));
        }
        let bundle = fields.bundle()?;
        // Whatever reading was lenient about, line ends, padding or order, writing is not.
        if bundle.encode().as_bytes() != bytes {
            let cause = "a field is not in its one form or not in its place";
            return Err(Failure::new(Part::Format, cause));
        }
        Ok(bundle)
    }
}

/// The text, if its last line is the hash of what is before it.
fn whole(bytes: &[u8]) -> Result<&str, Failure> {
    let text = std::str::from_utf8(bytes)
        .map_err(|_| Failure::new(Part::Format, "the bundle is not text"))?;
    let cut = Failure::new(
        Part::Digest,
        "the last line is not the SHA-256 of everything before it: the file was altered or cut off",
    );
    let Some(at) = text.rfind("\nsha256 ").map(|at| at + 1) else {
        return Err(cut);
    };
    let (before, last) = text.split_at(at);
    let digest = hex::encode(sha256(&[before.as_bytes()]));
    if last.strip_prefix("sha256 ") != Some(&format!("{digest}\n")) {
        return Err(cut);
    }
    Ok(before)
}

fn line(out: &mut String, name: &str, value: &str) {
    out.push_str(name);
    if !value.is_empty() {
        // An empty value has no space before it: mail would drop it.
        let _ = write!(out, " {value}");
    }
    out.push('\n');
}

fn hashes(out: &mut String, name: &str, hashes: &[Hash]) {
    for hash in hashes {
        line(out, name, &STANDARD.encode(hash));
    }
}

fn note(out: &mut String, name: &str, note: &SignedNote) {
    for part in note.to_string().lines() {
        line(out, name, part);
    }
}

/// The lines, taken in order.
struct Fields<'t>(Lines<'t>);

impl<'t> Fields<'t> {
    fn bundle(&mut self) -> Result<Bundle, Failure> {
        let seq = self.one("seq")?;
        let seq = decimal(seq).ok_or_else(|| wrong("seq"))?;
        let envelope = STANDARD.decode(self.one("envelope")?);
        let envelope = envelope.map_err(|_| wrong("envelope"))?;
        if envelope.is_empty() || envelope.len() > MAX_ENVELOPE_BYTES {
            return Err(wrong("envelope"));
        }
        let inclusion = self.hashes("inclusion")?;
        let checkpoint = self.note("checkpoint")?;
        let checkpoint = checkpoint.ok_or_else(|| missing("checkpoint"))?;
        let newer = match self.note("newer")? {
            None => None,
            Some(checkpoint) => Some(Newer {
                checkpoint,
                consistency: self.hashes("consistency")?,
            }),
        };
        let anchor = self.note("anchor")?;
        let keys = self.all("key", MAX_KEYS)?.into_iter();
        let keys: Result<Vec<VerifierKey>, _> = keys.map(str::parse).collect();
        let keys = keys.map_err(|error| Failure::new(Part::Key, error.to_string()))?;
        if let Some(unknown) = self.0.next() {
            let name = unknown.split(' ').next().unwrap_or_default();
            let name = crate::text::clean_to(name, 32);
            let cause = format!("`{name}` is unknown, repeated or not in its place");
            return Err(Failure::new(Part::Format, cause));
        }
        Ok(Bundle {
            seq,
            envelope,
            inclusion,
            checkpoint,
            newer,
            anchor,
            keys,
        })
    }

    /// The value of the next line, if the line has this name.
    fn next(&mut self, name: &str) -> Option<&'t str> {
        let rest = self.0.clone().next()?.strip_prefix(name)?;
        let value = if rest.is_empty() {
            rest
        } else {
            rest.strip_prefix(' ')?
        };
        self.0.next();
        Some(value)
    }

    fn one(&mut self, name: &'static str) -> Result<&'t str, Failure> {
        self.next(name).ok_or_else(|| missing(name))
    }

    fn all(&mut self, name: &'static str, most: usize) -> Result<Vec<&'t str>, Failure> {
        let mut values = Vec::new();
        while let Some(value) = self.next(name) {
            if values.len() == most {
                let cause = format!("more than {most} lines of `{name}`");
                return Err(Failure::new(Part::Format, cause));
            }
            values.push(value);
        }
        Ok(values)
    }

    fn hashes(&mut self, name: &'static str) -> Result<Vec<Hash>, Failure> {
        let values = self.all(name, MAX_HASHES)?.into_iter();
        let hashes: Option<Vec<_>> = values.map(hash).collect();
        hashes.ok_or_else(|| wrong(name))
    }

    fn note(&mut self, name: &'static str) -> Result<Option<SignedNote>, Failure> {
        let lines = self.all(name, MAX_NOTE_LINES)?;
        if lines.is_empty() {
            return Ok(None);
        }
        let text = lines.join("\n") + "\n";
        let note = SignedNote::parse(text.as_bytes());
        note.map(Some).map_err(|error| {
            let cause = format!("`{name}`: {error}");
            Failure::new(Part::Format, cause)
        })
    }
}

fn missing(name: &str) -> Failure {
    let cause = format!("`{name}` is missing, or something else is in its place");
    Failure::new(Part::Format, cause)
}

fn wrong(name: &str) -> Failure {
    let cause = format!("`{name}` is not in its one form");
    Failure::new(Part::Format, cause)
}
