//! Our entry in xiaozhi-server's `data/.mcp_server_settings.json`.

use std::ops::Range;

use jsonc_parser::ast::{Object, ObjectProp};
use serde_json::{Value, json};

use crate::publish::wire::json::{self, object, render_value, span, splice, string};
use crate::publish::wire::{Access, Document, Flaw, Kind, same_server};
use crate::rails::xiaozhi::{HEADERS, SERVERS, STREAMABLE, TRANSPORT, URL};
use crate::secret::Secret;
use crate::text::clean_to;

const AUTHORIZATION: &str = "Authorization";
const ACTOR: &str = "X-AgentKeys-Actor";
/// Keys that win over what we write: a command over the address, this token over the header.
const COMMAND: &str = "command";
const OLD_TOKEN: &str = "API_ACCESS_TOKEN";

/// A settings file of its own with nothing but our entry.
pub fn settings(access: &Access) -> Result<String, Flaw> {
    let file = SettingsFile::new("agentkeys", access.clone());
    file.wire(file.blank())
}

/// The settings file, with what our entry has to be.
#[derive(Debug, Clone)]
pub struct SettingsFile {
    /// The entry's name, when there is none of ours yet.
    name: String,
    access: Access,
}

/// What an entry of ours carries already.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// The bearer token.
    pub token: Secret<String>,
    /// The actor header.
    pub actor: Option<String>,
}

impl SettingsFile {
    /// The file with an entry of this name, unless another entry is for the same server already.
    pub fn new(name: &str, access: Access) -> Self {
        Self {
            name: name.to_owned(),
            access,
        }
    }

    /// The same file with another token in it.
    #[must_use]
    pub fn with_token(mut self, token: Secret<String>) -> Self {
        self.access.token = token;
        self
    }

    /// The name our entry has in a text, or would have.
    pub fn entry(&self, text: &str) -> Result<String, Flaw> {
        let root = json::parse(text)?;
        let name = self.ours(&root)?.map(|m| m.name.as_str().to_owned());
        Ok(name.unwrap_or_else(|| self.name.clone()))
    }

    /// What our entry carries already.
    pub fn credentials(&self, text: &str) -> Result<Option<Credentials>, Flaw> {
        let root = json::parse(text)?;
        let headers = self.ours(&root)?.and_then(|m| headers(object(m)?));
        let header = |name| headers.and_then(|h| string(find_header(h, name)?));
        let token = header(AUTHORIZATION).and_then(|v| v.strip_prefix("Bearer "));
        Ok(token.map(|token| Credentials {
            token: Secret::new(token.to_owned()),
            actor: header(ACTOR).map(str::to_owned),
        }))
    }

    /// Other entries that look like an authority of ours: their tools have the names of ours.
    pub fn rivals(&self, text: &str) -> Result<Vec<String>, Flaw> {
        let root = json::parse(text)?;
        let ours = self.ours(&root)?.map(|m| m.range);
        let members = servers(&root)?.map_or(&[][..], |s| &s.properties);
        let rival = |m: &&ObjectProp<'_>| {
            let carries = object(m).and_then(headers).is_some_and(|h| {
                let token = find_header(h, AUTHORIZATION).and_then(string);
                find_header(h, ACTOR).is_some() || token.is_some_and(|t| t.contains("akv_"))
            });
            Some(m.range) != ours && carries
        };
        let name = |m: &ObjectProp<'_>| clean_to(m.name.as_str(), 60);
        Ok(members.iter().filter(rival).map(name).collect())
    }

    fn ours<'o, 't>(&self, root: &'o Object<'t>) -> Result<Option<&'o ObjectProp<'t>>, Flaw> {
        let Some(servers) = servers(root)? else {
            return Ok(None);
        };
        let ours = |m: &&ObjectProp<'_>| {
            let url = object(m)
                .and_then(|e| json::member(e, URL))
                .and_then(string);
            m.name.as_str() == self.name || url.is_some_and(|u| same_server(u, &self.access.url))
        };
        let mut found = servers.properties.iter().filter(ours);
        let first = found.next();
        if let (Some(a), Some(b)) = (first, found.next()) {
            let names = [a, b].map(|m| clean_to(m.name.as_str(), 60));
            let cause = format!(
                "has two entries for this server: `{}` and `{}`",
                names[0], names[1]
            );
            return Err(Flaw::new(Kind::TwoEntries, cause));
        }
        Ok(first)
    }

    /// The whole entry, as it is when nobody wrote one before.
    fn value(&self) -> Value {
        let mut entry = json!({
            URL: self.access.url,
            TRANSPORT: STREAMABLE,
            HEADERS: {AUTHORIZATION: self.access.bearer()},
        });
        if let Some(actor) = &self.access.actor {
            entry[HEADERS][ACTOR] = actor.as_str().into();
        }
        entry
    }

    /// The text with our entry, which was not there before.
    fn added(&self, text: &str) -> Result<String, Flaw> {
        let root = json::parse(text)?;
        let text = if servers(&root)?.is_some() {
            text.to_owned()
        } else {
            let member = json::render(text, &root, SERVERS, &json!({}));
            json::append(text, &root, &member)
        };
        let root = json::parse(&text)?;
        let Some(servers) = servers(&root)? else {
            return Err(Flaw::new(
                Kind::EditFailed,
                format!("cannot take `{SERVERS}`"),
            ));
        };
        let member = json::render(&text, servers, &self.name, &self.value());
        Ok(json::append(&text, servers, &member))
    }

    /// The text with our entry corrected where it is wrong, its other keys and their order kept.
    fn corrected(&self, text: &str) -> Result<String, Flaw> {
        let mut text = text.to_owned();
        // Each round mends the first thing that is wrong; there are six at most.
        for _ in 0..8 {
            match self.next_correction(&text)? {
                Some(better) => text = better,
                None => return Ok(text),
            }
        }
        Err(Flaw::new(
            Kind::EditFailed,
            "cannot be brought to what is wanted",
        ))
    }

    fn next_correction(&self, text: &str) -> Result<Option<String>, Flaw> {
        let root = json::parse(text)?;
        let (Some(servers), Some(member)) = (servers(&root)?, self.ours(&root)?) else {
            return Err(Flaw::new(Kind::EditFailed, "lost our entry"));
        };
        let whole =
            |at: Range<usize>| splice(text, at, &render_value(text, servers, &self.value()));
        let Some(entry) = object(member).filter(|e| json::member(e, COMMAND).is_none()) else {
            return Ok(Some(whole(span(&member.value))));
        };
        if json::member(entry, OLD_TOKEN).is_some() {
            return Ok(Some(json::remove(text, entry, OLD_TOKEN)));
        }
        let same_url = |old: &str| same_server(old, &self.access.url);
        let streams = |old: &str| old == STREAMABLE || old == "http";
        let first = set(
            text,
            entry,
            URL,
            json::member(entry, URL),
            &self.access.url,
            same_url,
        )
        .or_else(|| {
            let found = json::member(entry, TRANSPORT);
            set(text, entry, TRANSPORT, found, STREAMABLE, streams)
        });
        if first.is_some() {
            return Ok(first);
        }
        let Some(headers) = headers(entry) else {
            let value = &self.value()[HEADERS];
            return Ok(Some(match json::member(entry, HEADERS) {
                Some(odd) => splice(text, span(&odd.value), &render_value(text, entry, value)),
                None => json::append(text, entry, &json::render(text, entry, HEADERS, value)),
            }));
        };
        let bearer = self.access.bearer();
        let found = find_header(headers, AUTHORIZATION);
        let token = set(text, headers, AUTHORIZATION, found, &bearer, |old| {
            old == bearer
        });
        Ok(token.or_else(|| {
            let actor = self.access.actor.as_deref()?;
            let found = find_header(headers, ACTOR);
            set(text, headers, ACTOR, found, actor, |old| old == actor)
        }))
    }
}

/// The text with a string in the place of a member's value, or behind the others; none when it is
/// good already.
fn set(
    text: &str,
    object: &Object<'_>,
    name: &str,
    found: Option<&ObjectProp<'_>>,
    value: &str,
    good: impl Fn(&str) -> bool,
) -> Option<String> {
    let wanted = Value::from(value);
    match found {
        Some(member) if string(member).is_some_and(good) => None,
        Some(member) => Some(splice(text, span(&member.value), &wanted.to_string())),
        None => Some(json::append(
            text,
            object,
            &json::render(text, object, name, &wanted),
        )),
    }
}

fn headers<'o, 't>(entry: &'o Object<'t>) -> Option<&'o Object<'t>> {
    object(json::member(entry, HEADERS)?)
}

/// Names of headers know no case; the host sends what is there.
fn find_header<'o, 't>(headers: &'o Object<'t>, name: &str) -> Option<&'o ObjectProp<'t>> {
    let same = |m: &&ObjectProp<'_>| m.name.as_str().eq_ignore_ascii_case(name);
    headers.properties.iter().find(same)
}

/// `mcpServers`, in which the host takes nothing but objects.
fn servers<'o, 't>(root: &'o Object<'t>) -> Result<Option<&'o Object<'t>>, Flaw> {
    let Some(member) = json::member(root, SERVERS) else {
        return Ok(None);
    };
    let servers = object(member).ok_or_else(|| {
        let cause =
            format!("has a `{SERVERS}` that is no object: xiaozhi-server loads no server from it");
        Flaw::new(Kind::Shape, cause)
    })?;
    if let Some(note) = servers.properties.iter().find(|m| object(m).is_none()) {
        let cause = format!(
            "has `{SERVERS}.{}`, which is no object: xiaozhi-server then aborts all its tool set-up",
            clean_to(note.name.as_str(), 60)
        );
        return Err(Flaw::new(Kind::Note, cause));
    }
    Ok(Some(servers))
}

impl Document for SettingsFile {
    fn blank(&self) -> &'static str {
        "{}\n"
    }

    fn piece(&self, text: &str) -> Result<Option<String>, Flaw> {
        let root = json::parse(text)?;
        Ok(self.ours(&root)?.map(|m| text[span(m)].to_owned()))
    }

    fn put(&self, text: &str, piece: &str) -> Result<String, Flaw> {
        let root = json::parse(text)?;
        if let Some(member) = self.ours(&root)? {
            return Ok(splice(text, span(member), piece));
        }
        let text = self.added(text)?;
        let root = json::parse(&text)?;
        let member = self.ours(&root)?;
        let member = member.ok_or_else(|| Flaw::new(Kind::EditFailed, "lost our entry"))?;
        Ok(splice(&text, span(member), piece))
    }

    fn take(&self, text: &str) -> Result<String, Flaw> {
        let root = json::parse(text)?;
        let (Some(servers), Some(member)) = (servers(&root)?, self.ours(&root)?) else {
            return Ok(text.to_owned());
        };
        let after = json::remove(text, servers, member.name.as_str());
        self.only_ours(text, &after)?;
        Ok(after)
    }

    fn wire(&self, text: &str) -> Result<String, Flaw> {
        self.access.check()?;
        let root = json::parse(text)?;
        let after = match self.ours(&root)? {
            None => self.added(text)?,
            Some(_) => self.corrected(text)?,
        };
        self.only_ours(text, &after)?;
        Ok(after)
    }

    fn secrets(&self, text: &str) -> Vec<Range<usize>> {
        json::secrets(text)
    }
}

impl SettingsFile {
    /// Reads an edit back: but for our entry, both texts have to say the same.
    fn only_ours(&self, before: &str, after: &str) -> Result<(), Flaw> {
        let rest = |text: &str| -> Result<Value, Flaw> {
            let name = self.entry(text)?;
            let wrong = |e: serde_json::Error| Flaw::new(Kind::EditFailed, format!("breaks: {e}"));
            let mut value: Value = serde_json::from_str(text).map_err(wrong)?;
            if let Some(servers) = value.get_mut(SERVERS).and_then(Value::as_object_mut) {
                servers.shift_remove(&name);
                if servers.is_empty() {
                    value
                        .as_object_mut()
                        .and_then(|root| root.shift_remove(SERVERS));
                }
            }
            Ok(value)
        };
        if rest(before)? == rest(after)? {
            return Ok(());
        }
        let cause = "cannot be edited without changing something else";
        Err(Flaw::new(Kind::EditFailed, cause))
    }
}
