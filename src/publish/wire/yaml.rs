//! YAML as text: one key at the top of a file, found by `saphyr-parser` and replaced in its line.
//!
//! Everything else of the file is kept byte for byte, comments and all, and each edit is read back:
//! had it changed anything else, it would be an error and nothing would be written.

use std::ops::Range;

use saphyr_parser::{Event, Parser, ScalarStyle, Span};

use super::json::{hidden, hides_all, is_secret, splice};
use super::{Flaw, Kind};

/// Deeper than any config; the reader below goes down one call per level.
const MAX_DEPTH: usize = 64;

/// A node with where it stands, in bytes.
#[derive(Debug, Clone)]
struct Node {
    span: Range<usize>,
    kind: What,
}

#[derive(Debug, Clone)]
enum What {
    Scalar {
        value: String,
        style: ScalarStyle,
        /// Has an anchor or a tag.
        marked: bool,
    },
    Map(Vec<(Node, Node)>),
    List(Vec<Node>),
    Alias,
}

impl Node {
    fn text(&self) -> Option<&str> {
        match &self.kind {
            What::Scalar { value, .. } => Some(value),
            _ => None,
        }
    }

    /// What it says, without where.
    fn same(&self, other: &Self) -> bool {
        match (&self.kind, &other.kind) {
            (What::Scalar { value: a, .. }, What::Scalar { value: b, .. }) => a == b,
            (What::Alias, What::Alias) => true,
            (What::List(a), What::List(b)) => {
                a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.same(b))
            }
            (What::Map(a), What::Map(b)) => same_members(a.iter(), b.iter()),
            _ => false,
        }
    }
}

fn same_members<'n>(
    a: impl Iterator<Item = &'n (Node, Node)>,
    b: impl Iterator<Item = &'n (Node, Node)>,
) -> bool {
    let (a, b): (Vec<_>, Vec<_>) = (a.collect(), b.collect());
    let pairs = a.iter().zip(&b);
    a.len() == b.len()
        && pairs
            .into_iter()
            .all(|(a, b)| a.0.same(&b.0) && a.1.same(&b.1))
}

/// The members at the top of a file; none when there is nothing but comments.
pub(super) struct Top(Vec<(Node, Node)>);

/// Reads a file of one mapping in block style.
pub(super) fn parse(text: &str) -> Result<Top, Flaw> {
    let mut reader = Reader::new(text);
    let root = reader.document()?;
    let Some(root) = root else {
        return Ok(Top(Vec::new()));
    };
    match root.kind {
        What::Map(_) if text[root.span.start..].starts_with('{') => Err(Flaw::new(
            Kind::Shape,
            "is one mapping in braces, not in lines",
        )),
        What::Map(members) => Ok(Top(members)),
        _ => Err(Flaw::new(Kind::Shape, "is no mapping at its top")),
    }
}

struct Reader<'t> {
    text: &'t str,
    /// `PyYAML` takes a byte-order mark and drops it; so the parser never sees it.
    skipped: usize,
    /// Where each character begins.
    starts: Vec<usize>,
    end: usize,
    events: Parser<'t, saphyr_parser::StrInput<'t>>,
}

impl<'t> Reader<'t> {
    fn new(text: &'t str) -> Self {
        let body = text.strip_prefix('\u{feff}').unwrap_or(text);
        Self {
            text,
            skipped: text.len() - body.len(),
            starts: body.char_indices().map(|(at, _)| at).collect(),
            end: body.len(),
            events: Parser::new_from_str(body),
        }
    }

    fn bytes(&self, span: Span) -> Range<usize> {
        let byte = |at: usize| self.starts.get(at).copied().unwrap_or(self.end) + self.skipped;
        byte(span.start.index())..byte(span.end.index())
    }

    fn next(&mut self) -> Result<(Event<'t>, Span), Flaw> {
        match self.events.next_event() {
            Some(Ok(found)) => Ok(found),
            Some(Err(e)) => {
                let line = e.marker().line();
                let cause = format!("is not YAML: {} in line {line}", e.info());
                Err(Flaw::new(Kind::Yaml, cause))
            }
            None => Err(Flaw::new(Kind::Yaml, "is not YAML: it ends early")),
        }
    }

    /// The root of the only document.
    fn document(&mut self) -> Result<Option<Node>, Flaw> {
        let mut root = None;
        let mut documents = 0;
        loop {
            match self.next()? {
                (Event::StreamEnd, _) => return Ok(root),
                (Event::DocumentStart(_), _) => {
                    documents += 1;
                    if documents > 1 {
                        let cause = "has more than one document, of which its host takes none";
                        return Err(Flaw::new(Kind::Yaml, cause));
                    }
                    let (event, span) = self.next()?;
                    let node = self.node(event, span, 0)?;
                    let blank = node.span.is_empty() && node.text().is_some();
                    root = (!blank).then_some(node);
                }
                (Event::DocumentEnd, span) if !self.bytes(span).is_empty() => {
                    let cause = "has a document marker, behind which nothing can be added";
                    return Err(Flaw::new(Kind::Shape, cause));
                }
                _ => {}
            }
        }
    }

    fn node(&mut self, event: Event<'t>, span: Span, depth: usize) -> Result<Node, Flaw> {
        if depth > MAX_DEPTH {
            let cause = format!("nests more than {MAX_DEPTH} levels deep");
            return Err(Flaw::new(Kind::Yaml, cause));
        }
        let mut bytes = self.bytes(span);
        if let Event::Scalar(_, ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted, ..) = event {
            // The parser's own span takes in what follows on the line, comments too.
            bytes.end = bytes.start + quoted(&self.text[bytes.clone()]);
        }
        let kind = match event {
            Event::Scalar(value, style, anchor, tag) => What::Scalar {
                value: value.into_owned(),
                style,
                marked: anchor > 0 || tag.is_some(),
            },
            Event::MappingStart(..) => {
                let mut members = Vec::new();
                while let Some(key) = self.child(depth)? {
                    let (event, span) = self.next()?;
                    members.push((key, self.node(event, span, depth + 1)?));
                }
                What::Map(members)
            }
            Event::SequenceStart(..) => {
                let mut items = Vec::new();
                while let Some(item) = self.child(depth)? {
                    items.push(item);
                }
                What::List(items)
            }
            Event::Alias(_) => What::Alias,
            _ => return Err(Flaw::new(Kind::Yaml, "is not YAML: a value is missing")),
        };
        Ok(Node { span: bytes, kind })
    }

    fn child(&mut self, depth: usize) -> Result<Option<Node>, Flaw> {
        match self.next()? {
            (Event::MappingEnd | Event::SequenceEnd, _) => Ok(None),
            (event, span) => self.node(event, span, depth + 1).map(Some),
        }
    }
}

/// How long the quoted text is that this begins with.
fn quoted(text: &str) -> usize {
    let mut chars = text.char_indices().peekable();
    let quote = chars.next().map(|(_, c)| c);
    while let Some((at, c)) = chars.next() {
        if c == '\\' && quote == Some('"') {
            chars.next();
        } else if Some(c) == quote {
            if c == '\'' && chars.next_if(|(_, next)| *next == '\'').is_some() {
                continue;
            }
            return at + 1;
        }
    }
    text.len()
}

impl Top {
    fn member(&self, key: &str) -> Result<Option<&(Node, Node)>, Flaw> {
        let mut found = self.0.iter().filter(|(k, _)| k.text() == Some(key));
        let first = found.next();
        if found.next().is_some() {
            let cause = format!("has the key `{key}` twice");
            return Err(Flaw::new(Kind::DuplicateKey, cause));
        }
        Ok(first)
    }

    /// The text under a key, as the host hears it; none when it is absent or empty.
    pub(super) fn value(&self, key: &str) -> Result<Option<&str>, Flaw> {
        let value = self.member(key)?.and_then(|(_, v)| v.text());
        Ok(value.filter(|v| !v.is_empty() && *v != "~"))
    }

    /// The text under a key of a mapping at the top.
    pub(super) fn nested(&self, outer: &str, key: &str) -> Option<&str> {
        let (_, value) = self.0.iter().rfind(|(k, _)| k.text() == Some(outer))?;
        let What::Map(members) = &value.kind else {
            return None;
        };
        members
            .iter()
            .rfind(|(k, _)| k.text() == Some(key))?
            .1
            .text()
    }
}

/// What stands behind a key, as it is written; none without the key. Empty behind a bare key.
pub(super) fn raw<'t>(text: &'t str, key: &str) -> Result<Option<&'t str>, Flaw> {
    let top = parse(text)?;
    let Some(member) = top.member(key)? else {
        return Ok(None);
    };
    Ok(Some(&text[place(text, key, member)?]))
}

/// Where a value in the key's own line stands.
fn place(text: &str, key: &str, (name, value): &(Node, Node)) -> Result<Range<usize>, Flaw> {
    let odd = |what: &str| {
        Flaw::new(
            Kind::Shape,
            format!("has {what} behind `{key}`, not one text"),
        )
    };
    let What::Scalar { style, marked, .. } = &value.kind else {
        return Err(odd("a list, a mapping or an alias"));
    };
    if *marked || matches!(style, ScalarStyle::Literal | ScalarStyle::Folded) {
        return Err(odd("an anchor, a tag or a block of lines"));
    }
    if value.span.is_empty() {
        let behind = &text[name.span.end..];
        let colon = behind
            .find(':')
            .filter(|at| behind[..*at].trim().is_empty());
        let end = name.span.end + colon.ok_or_else(|| odd("nothing that can be found"))? + 1;
        return Ok(end..end);
    }
    if text[name.span.end..value.span.end].contains('\n') {
        return Err(odd("several lines"));
    }
    Ok(value.span.clone())
}

/// The text with this, as it is written, behind a key, which is added at the end if it is not
/// there.
pub(super) fn put(text: &str, key: &str, written: &str) -> Result<String, Flaw> {
    let top = parse(text)?;
    let after = match top.member(key)? {
        Some(member) => {
            let mut place = place(text, key, member)?;
            let bare = place.is_empty() && !written.is_empty();
            if written.is_empty() {
                place.start = text[..place.start].trim_end_matches(' ').len();
            }
            let blank = if bare { " " } else { "" };
            splice(text, place, &format!("{blank}{written}"))
        }
        None => appended(text, &top, key, written),
    };
    read_back(&top, &after, key)?;
    Ok(after)
}

fn appended(text: &str, top: &Top, key: &str, written: &str) -> String {
    let newline = match text.find('\n') {
        Some(at) if text[..at].ends_with('\r') => "\r\n",
        _ => "\n",
    };
    // A mapping may be indented as a whole.
    let indent = top.0.first().map_or("", |(first, _)| {
        let line = text[..first.span.start].rfind('\n').map_or(0, |at| at + 1);
        let line = &text[line..first.span.start];
        line.trim_start_matches('\u{feff}')
    });
    let ended = text.is_empty() || text.ends_with('\n');
    let end = if ended { "" } else { newline };
    let indent = if indent.trim().is_empty() { indent } else { "" };
    let blank = if written.is_empty() { "" } else { " " };
    format!("{text}{end}{indent}{key}:{blank}{written}{newline}")
}

/// The text without a key and its line.
pub(super) fn remove(text: &str, key: &str) -> Result<String, Flaw> {
    let top = parse(text)?;
    let Some(member) = top.member(key)? else {
        return Ok(text.to_owned());
    };
    let value = place(text, key, member)?;
    let start = text[..member.0.span.start]
        .rfind('\n')
        .map_or(0, |at| at + 1);
    let start = if start == 0 && text.starts_with('\u{feff}') {
        '\u{feff}'.len_utf8()
    } else {
        start
    };
    let end = text[value.end..]
        .find('\n')
        .map_or(text.len(), |at| value.end + at + 1);
    let after = splice(text, start..end, "");
    read_back(&top, &after, key)?;
    Ok(after)
}

/// Whether a text says, but for one key, what the one before said.
fn read_back(before: &Top, after: &str, key: &str) -> Result<(), Flaw> {
    let other = |(k, _): &&(Node, Node)| k.text() != Some(key);
    let now = parse(after).ok();
    let same = now
        .is_some_and(|now| same_members(before.0.iter().filter(other), now.0.iter().filter(other)));
    if same {
        return Ok(());
    }
    let cause = format!("cannot be edited at `{key}` without changing something else");
    Err(Flaw::new(Kind::EditFailed, cause))
}

/// Where values stand that nobody should see.
pub(super) fn secrets(text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    match parse(text) {
        Ok(top) => {
            in_members(text, &top.0, false, &mut found);
            in_comments(text, &mut found);
        }
        Err(_) => found.push(0..text.len()),
    }
    found
}

/// What somebody commented out is as secret as before: the token in an old endpoint, and whatever
/// stands after a name that says so. A `#` inside a text is taken for a comment too, which hides
/// rather too much.
fn in_comments(text: &str, found: &mut Vec<Range<usize>>) {
    let mut line_start = 0;
    for line in text.split_inclusive('\n') {
        let hash = line.match_indices('#').map(|(at, _)| at);
        let mut hash = hash.filter(|at| !line[..*at].ends_with(|c: char| !c.is_whitespace()));
        if let Some(at) = hash.next() {
            let comment = line_start + at..line_start + line.trim_end().len();
            in_comment(text, comment, found);
        }
        line_start += line.len();
    }
    for (at, word) in text.match_indices("token=") {
        let start = at + word.len();
        let end = word_end(text, start);
        let known = found
            .iter()
            .any(|span| span.start <= start && end <= span.end);
        if start < end && !known {
            found.push(start..end);
        }
    }
}

fn in_comment(text: &str, comment: Range<usize>, found: &mut Vec<Range<usize>>) {
    let said = &text[comment.clone()];
    for (at, sign) in said.match_indices([':', '=']) {
        let before = said[..at].trim_end_matches(['"', '\'', ' ']);
        let name = before.rsplit(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '-')));
        if !name.take(1).any(is_secret) {
            continue;
        }
        let rest = &said[at + sign.len()..];
        let value = rest.trim_start_matches(['"', '\'', ' ', '\t']);
        let start = comment.end - value.len();
        if sign == ":" {
            // To the end of the line: a value may have spaces.
            found.extend(hidden(text, start..comment.end, true));
            return;
        }
        let end = word_end(text, start);
        if start < end {
            found.push(start..end);
        }
    }
}

/// Where a word in an address or an assignment ends.
fn word_end(text: &str, start: usize) -> usize {
    let over = |c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '&' | '#');
    let len = text[start..].find(over);
    len.map_or(text.len(), |len| start + len)
}

fn in_members(text: &str, members: &[(Node, Node)], secret: bool, found: &mut Vec<Range<usize>>) {
    for (key, value) in members {
        let name = key.text().unwrap_or_default();
        let below = secret || hides_all(name);
        let secret = match &value.kind {
            What::Map(_) => below,
            _ => below || is_secret(name),
        };
        in_node(text, value, secret, found);
    }
}

fn in_node(text: &str, node: &Node, secret: bool, found: &mut Vec<Range<usize>>) {
    match &node.kind {
        What::Scalar { style, .. } => {
            let quoted = matches!(style, ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted);
            let Range { start, end } = node.span;
            let inside = if quoted {
                start + 1..end.saturating_sub(1)
            } else {
                start..end
            };
            if inside.start < inside.end {
                found.extend(hidden(text, inside, secret));
            }
        }
        What::Map(members) => in_members(text, members, secret, found),
        What::List(items) => items.iter().for_each(|i| in_node(text, i, secret, found)),
        What::Alias => {}
    }
}

#[cfg(test)]
mod tests;
