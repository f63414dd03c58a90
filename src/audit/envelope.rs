//! `AuditEnvelope` v1: the exact bytes of one audit row, in deterministic CBOR (RFC 8949 §4.2.1), so
//! that an auditor's existing tools read them and two encoders never disagree about a hash
//! (`formats/agentkeys.md` §2).

mod cbor;
pub mod kind;
mod peek;

pub use peek::{Peek, peek};

use crate::digest::keccak256;
use ciborium::Value as Cbor;
use serde_json::Value;

/// The only version there is.
const VERSION: u64 = 1;

/// How an event ended, as the envelope's `result` byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum ResultByte {
    /// It was done.
    Success = 0,
    /// It was allowed and went wrong.
    Failure = 1,
    /// It was refused.
    NotPermitted = 2,
}

impl ResultByte {
    /// The result a byte stands for.
    pub const fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            0 => Some(Self::Success),
            1 => Some(Self::Failure),
            2 => Some(Self::NotPermitted),
            _ => None,
        }
    }

    /// Its byte.
    pub const fn as_byte(self) -> u8 {
        self as u8
    }
}

/// One audit event, before encoding or after decoding.
#[derive(Debug, Clone, PartialEq)]
pub struct Envelope {
    /// When, in seconds since 1970.
    pub ts_unix: u64,
    /// Whose event; 32 zero bytes for a stranger's.
    pub actor_omni: [u8; 32],
    /// The master whose data boundary was touched; zero bytes for none.
    pub operator_omni: [u8; 32],
    /// What kind, a constant of [`kind::OpKind`] or another tool's.
    pub op_kind: u8,
    /// What happened: an object of null, booleans, integers, strings, arrays and objects.
    pub op_body: Value,
    /// How it ended.
    pub result: ResultByte,
    /// What the agent said it intended.
    pub intent_text: Option<String>,
    /// A commitment to that intent and the operation's payload.
    pub intent_commitment: Option<[u8; 32]>,
}

/// Why an event cannot be encoded. Each is a mistake of ours, never of a caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// `op_body` is not an object.
    #[error("the event body is not an object")]
    BodyNotObject,
    /// A number is not an integer. Money is in minor units, times are in milliseconds.
    #[error("the event body holds a number that is not an integer")]
    Float,
    /// Nested deeper than any request may be.
    #[error("the event body is nested deeper than 64 levels")]
    TooDeep,
}

/// Why bytes are not an envelope.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Not one CBOR item.
    #[error("the envelope is not one CBOR item")]
    NotCbor,
    /// Not a map with text keys, each once.
    #[error("the envelope is not a map with distinct text keys")]
    NotMap,
    /// A version this program does not know.
    #[error("the envelope's version is not 1")]
    Version,
    /// A field is missing or has another type.
    #[error("the envelope's field `{0}` is missing or has the wrong type")]
    Field(&'static str),
    /// The body holds what JSON has no form for: bytes, floats, tags, keys that are not text.
    #[error("the envelope's body cannot be written as JSON without floats")]
    Body,
}

impl Envelope {
    /// Its exact bytes: keys in the order of their encodings, absent options as null.
    ///
    /// Runs once per request, so it writes heads straight into one buffer.
    pub fn encode(&self) -> Result<Vec<u8>, EncodeError> {
        let Value::Object(body) = &self.op_body else {
            return Err(EncodeError::BodyNotObject);
        };
        let mut out = Vec::with_capacity(1024);
        cbor::head(&mut out, cbor::MAP, 9);
        cbor::text(&mut out, "result");
        cbor::head(&mut out, cbor::UNSIGNED, self.result.as_byte().into());
        cbor::text(&mut out, "op_body");
        cbor::object(&mut out, body, 1)?;
        cbor::text(&mut out, "op_kind");
        cbor::head(&mut out, cbor::UNSIGNED, self.op_kind.into());
        cbor::text(&mut out, "ts_unix");
        cbor::head(&mut out, cbor::UNSIGNED, self.ts_unix);
        cbor::text(&mut out, "version");
        cbor::head(&mut out, cbor::UNSIGNED, VERSION);
        cbor::text(&mut out, "actor_omni");
        cbor::bytes(&mut out, &self.actor_omni);
        cbor::text(&mut out, "intent_text");
        match &self.intent_text {
            Some(text) => cbor::text(&mut out, text),
            None => out.push(cbor::NULL),
        }
        cbor::text(&mut out, "operator_omni");
        cbor::bytes(&mut out, &self.operator_omni);
        cbor::text(&mut out, "intent_commitment");
        match &self.intent_commitment {
            Some(commitment) => cbor::bytes(&mut out, commitment),
            None => out.push(cbor::NULL),
        }
        Ok(out)
    }

    /// Reads an envelope, ours or another tool's: unknown kinds are kept, unknown top-level keys
    /// ignored, another version refused. It does not ask for canonical bytes: the hash is over
    /// what was kept, not over what this program would have written.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut rest = bytes;
        let item: Cbor = ciborium::from_reader(&mut rest).map_err(|_| DecodeError::NotCbor)?;
        if !rest.is_empty() {
            return Err(DecodeError::NotCbor);
        }
        let mut fields = Fields::new(item)?;
        if fields.uint("version").ok() != Some(VERSION) {
            return Err(DecodeError::Version);
        }
        let result = fields.byte("result")?;
        Ok(Self {
            ts_unix: fields.uint("ts_unix")?,
            actor_omni: fields
                .bytes32("actor_omni")?
                .ok_or(DecodeError::Field("actor_omni"))?,
            operator_omni: fields
                .bytes32("operator_omni")?
                .ok_or(DecodeError::Field("operator_omni"))?,
            op_kind: fields.byte("op_kind")?,
            op_body: fields.body()?,
            result: ResultByte::from_byte(result).ok_or(DecodeError::Field("result"))?,
            intent_text: fields.text("intent_text")?,
            intent_commitment: fields.bytes32("intent_commitment")?,
        })
    }
}

/// The envelope's name in every other system: keccak256 of its bytes.
pub fn hash(bytes: &[u8]) -> [u8; 32] {
    keccak256(&[bytes])
}

/// The top-level map while it is taken apart.
struct Fields(Vec<(String, Cbor)>);

impl Fields {
    fn new(item: Cbor) -> Result<Self, DecodeError> {
        let entries = item.into_map().map_err(|_| DecodeError::NotMap)?;
        let mut fields = Vec::with_capacity(entries.len());
        for (key, value) in entries {
            let key = key.into_text().map_err(|_| DecodeError::NotMap)?;
            fields.push((key, value));
        }
        // Two readers must not see two events in the same bytes.
        fields.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        if fields.windows(2).any(|pair| pair[0].0 == pair[1].0) {
            return Err(DecodeError::NotMap);
        }
        Ok(Self(fields))
    }

    fn take(&mut self, key: &'static str) -> Result<Cbor, DecodeError> {
        self.0
            .iter_mut()
            .find(|(k, _)| k == key)
            .map(|(_, value)| std::mem::replace(value, Cbor::Null))
            .ok_or(DecodeError::Field(key))
    }

    fn uint(&mut self, key: &'static str) -> Result<u64, DecodeError> {
        self.take(key)?
            .into_integer()
            .ok()
            .and_then(|n| n.try_into().ok())
            .ok_or(DecodeError::Field(key))
    }

    fn byte(&mut self, key: &'static str) -> Result<u8, DecodeError> {
        u8::try_from(self.uint(key)?).map_err(|_| DecodeError::Field(key))
    }

    fn text(&mut self, key: &'static str) -> Result<Option<String>, DecodeError> {
        match self.take(key)? {
            Cbor::Null => Ok(None),
            Cbor::Text(text) => Ok(Some(text)),
            _ => Err(DecodeError::Field(key)),
        }
    }

    fn bytes32(&mut self, key: &'static str) -> Result<Option<[u8; 32]>, DecodeError> {
        match self.take(key)? {
            Cbor::Null => Ok(None),
            Cbor::Bytes(bytes) => bytes
                .try_into()
                .map(Some)
                .map_err(|_| DecodeError::Field(key)),
            _ => Err(DecodeError::Field(key)),
        }
    }

    fn body(&mut self) -> Result<Value, DecodeError> {
        let body = self.take("op_body")?;
        if !body.is_map() {
            return Err(DecodeError::Field("op_body"));
        }
        cbor::to_json(body, 0)
    }
}

#[cfg(test)]
mod tests;
