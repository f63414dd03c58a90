//! JSON as text: spans of what is there, and edits that touch nothing else.
//!
//! `jsonc-parser` reads; its own editor is not used, since it lays objects of one line out anew and
//! with them what other people wrote.

use std::collections::HashSet;
use std::io;
use std::ops::Range;

use jsonc_parser::ast::{Object, ObjectProp, Value as Node};
use jsonc_parser::common::Ranged as _;
use jsonc_parser::errors::{ParseError, ParseErrorKind};
use jsonc_parser::{CollectOptions, ParseOptions, parse_to_ast};
use serde::Serialize as _;
use serde_json::Value;
use serde_json::ser::{Formatter, PrettyFormatter, Serializer};

use super::{Flaw, Kind};
use crate::text::clean_to;

/// What Python's `json` takes, and nothing more; depth is bounded by the parser.
const STRICT: ParseOptions = ParseOptions {
    allow_comments: false,
    allow_loose_object_property_names: false,
    allow_trailing_commas: false,
    allow_missing_commas: false,
    allow_single_quoted_strings: false,
    allow_hexadecimal_numbers: false,
    allow_unary_plus_numbers: false,
    allow_bare_decimal_point_numbers: false,
    allow_non_finite_numbers: false,
    allow_extended_string_escapes: false,
};

/// Reads a text whose root is an object and that names no key twice.
pub(super) fn parse(text: &str) -> Result<Object<'_>, Flaw> {
    if text.starts_with('\u{feff}') {
        let cause = "starts with a byte-order mark, which a JSON parser does not take";
        return Err(Flaw::new(Kind::ByteOrderMark, cause));
    }
    if text.trim().is_empty() {
        return Err(Flaw::new(Kind::Empty, "is empty"));
    }
    let parsed = parse_to_ast(text, &CollectOptions::default(), &STRICT);
    let root = parsed.map_err(|e| unreadable(&e))?.value;
    // A second opinion: two parsers that differ about a text must not both have their way with it.
    serde_json::from_str::<serde::de::IgnoredAny>(text)
        .map_err(|e| Flaw::new(Kind::Json, format!("is not strict JSON: {e}")))?;
    let Some(Node::Object(root)) = root else {
        return Err(Flaw::new(Kind::Shape, "is no JSON object at its root"));
    };
    unique(text, &root)?;
    Ok(root)
}

fn unreadable(error: &ParseError) -> Flaw {
    let place = format!(
        "line {}, column {}",
        error.line_display(),
        error.column_display()
    );
    match error.kind() {
        ParseErrorKind::CommentsNotAllowed => Flaw::new(
            Kind::Comments,
            format!("has a comment at {place}, which JSON has not"),
        ),
        ParseErrorKind::TrailingCommasNotAllowed => Flaw::new(
            Kind::TrailingComma,
            format!("has a comma before a closing bracket at {place}, which JSON has not"),
        ),
        kind => Flaw::new(Kind::Json, format!("is not JSON: {kind} at {place}")),
    }
}

/// Refuses an object, at any depth, that names a key twice.
fn unique(text: &str, object: &Object<'_>) -> Result<(), Flaw> {
    let mut names = HashSet::new();
    for member in &object.properties {
        let name = member.name.as_str();
        if !names.insert(name) {
            let line = line_of(text, member.range.start);
            let cause = format!(
                "has the key `{}` twice, again in line {line}",
                clean_to(name, 60)
            );
            return Err(Flaw::new(Kind::DuplicateKey, cause));
        }
        unique_in(text, &member.value)?;
    }
    Ok(())
}

fn unique_in(text: &str, node: &Node<'_>) -> Result<(), Flaw> {
    match node {
        Node::Object(object) => unique(text, object),
        Node::Array(array) => array.elements.iter().try_for_each(|e| unique_in(text, e)),
        _ => Ok(()),
    }
}

fn line_of(text: &str, at: usize) -> usize {
    text[..at].matches('\n').count() + 1
}

/// The member of a name.
pub(super) fn member<'o, 't>(object: &'o Object<'t>, name: &str) -> Option<&'o ObjectProp<'t>> {
    object.properties.iter().find(|m| m.name.as_str() == name)
}

/// A member's value, if it is an object.
pub(super) fn object<'o, 't>(member: &'o ObjectProp<'t>) -> Option<&'o Object<'t>> {
    member.value.as_object()
}

/// A member's value, if it is a string.
pub(super) fn string<'o>(member: &'o ObjectProp<'_>) -> Option<&'o str> {
    member.value.as_string_lit().map(|s| s.value.as_ref())
}

/// A span of the text.
pub(super) fn span(node: &impl jsonc_parser::common::Ranged) -> Range<usize> {
    let range = node.range();
    range.start..range.end
}

/// The text with a span replaced.
pub(super) fn splice(text: &str, span: Range<usize>, by: &str) -> String {
    format!("{}{by}{}", &text[..span.start], &text[span.end..])
}

/// How members of an object are laid out.
struct Layout {
    newline: &'static str,
    /// Before each member; nothing when all stand in one line.
    indent: Option<String>,
    /// Before the closing bracket.
    outer: String,
    /// One level more.
    unit: String,
    /// Whether blanks follow colons and commas, where all stand in one line.
    spaced: bool,
}

impl Layout {
    fn of(text: &str, object: &Object<'_>) -> Self {
        let newline = match text.find('\n') {
            Some(at) if text[..at].ends_with('\r') => "\r\n",
            _ => "\n",
        };
        let outer = indent_at(text, object.range.start).to_owned();
        let mut layout = Self {
            newline,
            indent: None,
            unit: "  ".to_owned(),
            spaced: true,
            outer,
        };
        let Some(last) = object.properties.last() else {
            let unit = unit_of(text).unwrap_or("  ");
            layout.indent = Some(format!("{}{unit}", layout.outer));
            unit.clone_into(&mut layout.unit);
            return layout;
        };
        let before = match object.properties.len() {
            1 => object.range.start + 1,
            n => object.properties[n - 2].range.end,
        };
        if text[before..last.range.start].contains('\n') {
            let indent = indent_at(text, last.range.start);
            if let Some(unit) = indent.strip_prefix(layout.outer.as_str())
                && !unit.is_empty()
            {
                unit.clone_into(&mut layout.unit);
            }
            layout.indent = Some(indent.to_owned());
        } else {
            layout.spaced = text[last.name.range().end..last.value.range().start].ends_with(' ');
        }
        layout
    }

    /// A value as it looks at this place.
    fn render(&self, value: &Value) -> String {
        match &self.indent {
            Some(indent) => {
                let unit = PrettyFormatter::with_indent(self.unit.as_bytes());
                // Line ends inside strings are escaped, so every one of these is layout.
                written(value, unit).replace('\n', &format!("{}{indent}", self.newline))
            }
            None if self.spaced => written(value, Spaced),
            None => value.to_string(),
        }
    }
}

fn written(value: &Value, formatter: impl Formatter) -> String {
    let mut bytes = Vec::new();
    let mut serializer = Serializer::with_formatter(&mut bytes, formatter);
    // Values of ours have string keys and go to memory: neither can fail.
    let done = value.serialize(&mut serializer);
    debug_assert!(done.is_ok());
    String::from_utf8(bytes).unwrap_or_default()
}

/// One line, with a blank after each colon and comma, as people write it.
struct Spaced;

impl Formatter for Spaced {
    fn begin_object_key<W: ?Sized + io::Write>(
        &mut self,
        w: &mut W,
        first: bool,
    ) -> io::Result<()> {
        if first { Ok(()) } else { w.write_all(b", ") }
    }

    fn begin_object_value<W: ?Sized + io::Write>(&mut self, w: &mut W) -> io::Result<()> {
        w.write_all(b": ")
    }

    fn begin_array_value<W: ?Sized + io::Write>(
        &mut self,
        w: &mut W,
        first: bool,
    ) -> io::Result<()> {
        if first { Ok(()) } else { w.write_all(b", ") }
    }
}

/// The blanks that the line of this place begins with.
fn indent_at(text: &str, at: usize) -> &str {
    let start = text[..at].rfind('\n').map_or(0, |end| end + 1);
    let line = &text[start..];
    let blanks = line.len() - line.trim_start_matches([' ', '\t']).len();
    &line[..blanks]
}

/// What the first indented line begins with.
fn unit_of(text: &str) -> Option<&str> {
    let mut lines = text.split_inclusive('\n').skip(1);
    lines.find_map(|line| {
        let blanks = line.len() - line.trim_start_matches([' ', '\t']).len();
        let more = !line[blanks..].trim().is_empty();
        (blanks > 0 && more).then(|| &line[..blanks])
    })
}

/// A member as it would look in this object.
pub(super) fn render(text: &str, object: &Object<'_>, name: &str, value: &Value) -> String {
    let layout = Layout::of(text, object);
    let colon = if layout.spaced { ": " } else { ":" };
    format!("{}{colon}{}", Value::from(name), layout.render(value))
}

/// A value as it would look in the place of this member's.
pub(super) fn render_value(text: &str, object: &Object<'_>, value: &Value) -> String {
    Layout::of(text, object).render(value)
}

/// The text with a member, as it is written, behind the others of an object.
pub(super) fn append(text: &str, object: &Object<'_>, member: &str) -> String {
    let layout = Layout::of(text, object);
    let Layout { newline, outer, .. } = &layout;
    match (object.properties.last(), &layout.indent) {
        (Some(last), Some(indent)) => {
            let end = last.range.end;
            splice(text, end..end, &format!(",{newline}{indent}{member}"))
        }
        (Some(last), None) => {
            let comma = if layout.spaced { ", " } else { "," };
            splice(
                text,
                last.range.end..last.range.end,
                &format!("{comma}{member}"),
            )
        }
        (None, indent) => {
            let inside = object.range.start + 1..object.range.end - 1;
            let indent = indent.as_deref().unwrap_or_default();
            splice(
                text,
                inside,
                &format!("{newline}{indent}{member}{newline}{outer}"),
            )
        }
    }
}

/// The text without a member of an object.
pub(super) fn remove(text: &str, object: &Object<'_>, name: &str) -> String {
    let members = &object.properties;
    let Some(at) = members.iter().position(|m| m.name.as_str() == name) else {
        return text.to_owned();
    };
    let own = &members[at].range;
    let span = match (at, members.get(at + 1)) {
        (_, Some(next)) => own.start..next.range.start,
        (0, None) => object.range.start + 1..object.range.end - 1,
        (_, None) => members[at - 1].range.end..own.end,
    };
    splice(text, span, "")
}

/// Words in a key that make its value one nobody should see.
const SECRET: [&str; 8] = [
    "token",
    "secret",
    "password",
    "passwd",
    "key",
    "credential",
    "authorization",
    "cookie",
];

/// Whether a key's value is one nobody should see.
pub(super) fn is_secret(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    !key.starts_with("x-agentkeys-") && SECRET.iter().any(|word| key.contains(word))
}

/// Whether everything below a key is to be hidden. A server may well be called after a key.
pub(super) fn hides_all(key: &str) -> bool {
    // `args` too: that is where a server that is a program gets its key.
    ["headers", "env", "args", "secrets", "credentials", "tokens"].contains(&key)
}

/// Where values stand that nobody should see: whatever a key calls secret, all of `headers` and
/// `env`, and what rides in the query of an address.
pub(super) fn secrets(text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    match parse(text) {
        Ok(root) => in_object(text, &root, false, &mut found),
        Err(_) => found.push(0..text.len()),
    }
    found
}

fn in_object(text: &str, object: &Object<'_>, secret: bool, found: &mut Vec<Range<usize>>) {
    for member in &object.properties {
        let name = member.name.as_str();
        let ours = name.to_ascii_lowercase().starts_with("x-agentkeys-");
        let below = secret || hides_all(name);
        let secret = match &member.value {
            Node::Object(_) => below,
            _ => !ours && (below || is_secret(name)),
        };
        in_node(text, &member.value, secret, found);
    }
}

fn in_node(text: &str, node: &Node<'_>, secret: bool, found: &mut Vec<Range<usize>>) {
    match node {
        Node::Object(object) => in_object(text, object, secret, found),
        Node::Array(array) => array
            .elements
            .iter()
            .for_each(|e| in_node(text, e, secret, found)),
        Node::StringLit(string) => {
            let inside = string.range.start + 1..string.range.end - 1;
            found.extend(hidden(text, inside, secret));
        }
        Node::NumberLit(number) if secret => found.push(number.range.start..number.range.end),
        _ => {}
    }
}

/// What of a value is to be hidden: all of it but a scheme such as `Bearer`, or an address's query.
pub(super) fn hidden(text: &str, value: Range<usize>, secret: bool) -> Option<Range<usize>> {
    let said = &text[value.clone()];
    let from = if secret {
        ["Bearer ", "Basic "]
            .iter()
            .find(|scheme| said.starts_with(*scheme))
            .map_or(0, |scheme| scheme.len())
    } else if said.contains("://") {
        // A user and password before the host are rare, and hidden with all that follows.
        let user = said
            .find('@')
            .and_then(|_| said.find("://"))
            .map(|at| at + 3);
        user.or_else(|| said.find('?').map(|at| at + 1))?
    } else {
        return None;
    };
    (from < said.len()).then_some(value.start + from..value.end)
}

#[cfg(test)]
mod tests;
