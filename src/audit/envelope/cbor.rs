//! The part of CBOR an event body needs: JSON without floats, encoded deterministically.

use super::{DecodeError, EncodeError};
use ciborium::Value as Cbor;
use serde_json::{Map, Number, Value};

/// Major type 0, in the high three bits.
pub(super) const UNSIGNED: u8 = 0x00;
pub(super) const NEGATIVE: u8 = 0x20;
pub(super) const BYTES: u8 = 0x40;
pub(super) const TEXT: u8 = 0x60;
pub(super) const ARRAY: u8 = 0x80;
/// Major type 5.
pub(super) const MAP: u8 = 0xa0;
pub(super) const FALSE: u8 = 0xf4;
pub(super) const TRUE: u8 = 0xf5;
/// Simple value 22.
pub(super) const NULL: u8 = 0xf6;

/// As deep as a request may nest (`design.md`, rule 8), so that the stack is bounded too.
pub(super) const MAX_DEPTH: usize = 64;

/// A head in the shortest form that holds `value`.
pub(super) fn head(out: &mut Vec<u8>, major: u8, value: u64) {
    match value {
        // The match arm bounds the value, so the low byte is all of it.
        0..=23 => out.push(major | value.to_le_bytes()[0]),
        24..=0xff => out.extend_from_slice(&[major | 0x18, value.to_le_bytes()[0]]),
        0x100..=0xffff => {
            out.push(major | 0x19);
            out.extend_from_slice(&value.to_be_bytes()[6..]);
        }
        0x1_0000..=0xffff_ffff => {
            out.push(major | 0x1a);
            out.extend_from_slice(&value.to_be_bytes()[4..]);
        }
        _ => {
            out.push(major | 0x1b);
            out.extend_from_slice(&value.to_be_bytes());
        }
    }
}

/// A text string.
pub(super) fn text(out: &mut Vec<u8>, text: &str) {
    head(out, TEXT, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}

/// A byte string.
pub(super) fn bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    head(out, BYTES, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// A map. The bytewise order of encoded text keys is: shorter first, then by content, because the
/// head starts with the length.
pub(super) fn object(
    out: &mut Vec<u8>,
    map: &Map<String, Value>,
    depth: usize,
) -> Result<(), EncodeError> {
    if depth > MAX_DEPTH {
        return Err(EncodeError::TooDeep);
    }
    let mut entries: Vec<(&String, &Value)> = map.iter().collect();
    entries.sort_unstable_by_key(|(key, _)| (key.len(), key.as_bytes()));
    head(out, MAP, entries.len() as u64);
    for (key, value) in entries {
        text(out, key);
        item(out, value, depth)?;
    }
    Ok(())
}

fn item(out: &mut Vec<u8>, value: &Value, depth: usize) -> Result<(), EncodeError> {
    match value {
        Value::Null => out.push(NULL),
        Value::Bool(false) => out.push(FALSE),
        Value::Bool(true) => out.push(TRUE),
        Value::Number(number) => integer(out, number)?,
        Value::String(string) => text(out, string),
        Value::Array(items) => {
            if depth == MAX_DEPTH {
                return Err(EncodeError::TooDeep);
            }
            head(out, ARRAY, items.len() as u64);
            for value in items {
                item(out, value, depth + 1)?;
            }
        }
        Value::Object(map) => object(out, map, depth + 1)?,
    }
    Ok(())
}

fn integer(out: &mut Vec<u8>, number: &Number) -> Result<(), EncodeError> {
    if let Some(value) = number.as_u64() {
        head(out, UNSIGNED, value);
    } else if let Some(value) = number.as_i64() {
        // CBOR stores a negative n as -1 - n, which is n's complement.
        head(out, NEGATIVE, (!value).cast_unsigned());
    } else {
        return Err(EncodeError::Float);
    }
    Ok(())
}

/// A body as JSON, or an error where JSON has no exact form for it. `depth` counts the containers
/// around it.
pub(super) fn to_json(value: Cbor, depth: usize) -> Result<Value, DecodeError> {
    if depth >= MAX_DEPTH && (value.is_array() || value.is_map()) {
        return Err(DecodeError::Body);
    }
    Ok(match value {
        Cbor::Null => Value::Null,
        Cbor::Bool(value) => Value::Bool(value),
        Cbor::Text(text) => Value::String(text),
        Cbor::Integer(value) => match (u64::try_from(value), i64::try_from(value)) {
            (Ok(value), _) => value.into(),
            (_, Ok(value)) => value.into(),
            _ => return Err(DecodeError::Body),
        },
        Cbor::Array(items) => items
            .into_iter()
            .map(|value| to_json(value, depth + 1))
            .collect::<Result<_, _>>()
            .map(Value::Array)?,
        Cbor::Map(entries) => {
            let mut map = Map::with_capacity(entries.len());
            for (key, value) in entries {
                let key = key.into_text().map_err(|_| DecodeError::Body)?;
                let value = to_json(value, depth + 1)?;
                if map.insert(key, value).is_some() {
                    return Err(DecodeError::Body);
                }
            }
            Value::Object(map)
        }
        _ => return Err(DecodeError::Body),
    })
}
