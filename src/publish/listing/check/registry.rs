//! `server.json`, held to what its schema and the registry's validators ask for. A test holds it to the
//! schema itself.

use serde_json::Value;

use super::super::server_json::{PUBLISHERS, SCHEMA};
use super::super::{MANIFEST, NO_URL};
use super::Read;

pub(super) fn problems(read: &Read) -> Vec<String> {
    let server = match read.json("server.json") {
        Ok(server) => server,
        Err(error) => return vec![error],
    };
    let mut complaints = Vec::new();
    let mut complain = |bad: bool, what: String| {
        if bad {
            complaints.push(what);
        }
    };
    let text = |key: &str| server[key].as_str().unwrap_or_default();
    complain(
        text("$schema") != SCHEMA,
        format!("$schema is not {SCHEMA}"),
    );
    complain(
        !is_name(text("name")),
        format!(
            "name {:?} is not like io.github.octocat/agentkeys",
            text("name")
        ),
    );
    let (name, title) = (read.told("/name"), text("title"));
    for (key, most) in [("title", 100), ("description", 100), ("version", 255)] {
        let count = text(key).chars().count();
        complain(
            !(1..=most).contains(&count),
            format!("{key} has {count} characters; 1 to {most} are allowed"),
        );
    }
    let version = text("version");
    let range = version == "latest" || version.contains(['^', '~', '>', '<', '*', '|', ' ']);
    complain(
        range || version.split('.').any(|part| part == "x"),
        format!("version {version:?} is a range, or latest"),
    );
    for (key, words) in [("title", title), ("description", text("description"))] {
        complain(
            name.is_empty() || !words.contains(name),
            format!("{name} is not in the {key}"),
        );
    }
    let last = text("name").rsplit('/').next().unwrap_or_default();
    complain(
        !last.eq_ignore_ascii_case(name),
        format!("the name does not end with {name}"),
    );
    let url = server.pointer("/repository/url").and_then(Value::as_str);
    let sourced = server
        .pointer("/repository/source")
        .is_some_and(Value::is_string);
    complain(
        !url.is_some_and(https) || !sourced,
        "repository lacks its https url or source".to_owned(),
    );
    complain(
        !https(text("websiteUrl")),
        "websiteUrl is no https address".to_owned(),
    );
    let meta = server.pointer(&format!("/_meta/{}", PUBLISHERS.replace('/', "~1")));
    complain(
        meta.is_some_and(|m| m.to_string().len() > 4096),
        "_meta is larger than 4 KiB".to_owned(),
    );
    complaints.extend(icons(&server));
    complaints.extend(remotes(&server, read.told("/url")));
    complaints
}

fn icons(server: &Value) -> Vec<String> {
    let icons = server["icons"].as_array().into_iter().flatten();
    let good = |icon: &&Value| {
        icon["src"]
            .as_str()
            .is_some_and(|src| https(src) && src.len() <= 255)
    };
    let bad = icons.filter(|icon| !good(icon));
    bad.map(|_| "an icon has no https address of at most 255 characters".to_owned())
        .collect()
}

fn remotes(server: &Value, listed: &str) -> Vec<String> {
    let remotes = server["remotes"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    if remotes.is_empty() {
        return vec!["there is no remote, and nothing else to connect to".to_owned()];
    }
    let mut complaints = Vec::new();
    for remote in remotes {
        let url = remote["url"].as_str().unwrap_or_default();
        if remote["type"] != "streamable-http" {
            complaints.push("a remote is not of type streamable-http".to_owned());
        }
        if url != listed {
            complaints.push(format!("the remote's url is not that of {MANIFEST}"));
        }
        if !url.starts_with("https://") || url.contains(char::is_whitespace) {
            complaints.push(format!("the remote's url {url:?} is no https address"));
        }
        complaints.extend(variables(url, &remote["variables"], "the remote's url"));
        let headers = remote["headers"]
            .as_array()
            .map(Vec::as_slice)
            .unwrap_or_default();
        for header in headers {
            let name = header["name"].as_str().unwrap_or_default();
            if name.is_empty() {
                complaints.push("a header has no name".to_owned());
            }
            let value = header["value"].as_str().unwrap_or_default();
            complaints.extend(variables(value, &header["variables"], name));
        }
        let token = headers.iter().find(|h| h["name"] == "Authorization");
        let secret = token.is_some_and(|h| {
            let variables = h["variables"].as_object();
            let inside = variables.is_some_and(|v| v.values().any(|v| v["isSecret"] == true));
            h["isRequired"] == true && (h["isSecret"] == true || inside)
        });
        if !secret {
            complaints
                .push("Authorization is not there as a required header with a secret".to_owned());
        }
    }
    complaints
}

/// Names between braces have to be among the variables.
fn variables(text: &str, declared: &Value, where_: &str) -> Vec<String> {
    let names = text
        .split('{')
        .skip(1)
        .filter_map(|rest| rest.split_once('}'));
    let undeclared = names.filter(|(name, _)| declared.get(name).is_none());
    undeclared
        .map(|(name, _)| format!("{where_} has {{{name}}}, which is not among its variables"))
        .collect()
}

fn https(url: &str) -> bool {
    url.starts_with("https://") && reqwest::Url::parse(url).is_ok()
}

/// 3 to 200 characters, `^[a-zA-Z0-9.-]+/[a-zA-Z0-9._-]+$`.
fn is_name(name: &str) -> bool {
    let plain = |text: &str, more: &[u8]| {
        !text.is_empty()
            && text
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || more.contains(&b))
    };
    let parts = name.split_once('/');
    name.len() <= 200
        && parts.is_some_and(|(space, name)| plain(space, b".-") && plain(name, b"._-"))
}

/// What the operator has not told.
pub(super) fn missing(read: &Read) -> Vec<&'static str> {
    let server = read.json("server.json").unwrap_or_default();
    let mut missing = Vec::new();
    if read.told("/url") == NO_URL && read.told("/publisher").is_empty() {
        missing.push("publisher");
    }
    if server["icons"].as_array().is_none_or(Vec::is_empty) {
        missing.push("icon_url");
    }
    missing
}
