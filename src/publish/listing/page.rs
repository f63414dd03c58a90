//! Pages of a listing for people, and how one is read again.

use std::collections::BTreeMap;

use minijinja::Value as Input;
use serde_json::{Value, json};

use super::facts::{self, Facts};
use super::{Kind, LICENSE, Lang, Line, Listing, REPOSITORY, VERSION, broken};
use crate::mcp::tools::{self, TOOLS};
use crate::publish::template;
use crate::publish::wire::Flaw;

/// The page of a marketplace, in its own order of sections.
pub(super) fn readme(
    listing: &Listing,
    facts: &Facts,
    listed: &[Value],
    lang: Lang,
) -> Result<String, Flaw> {
    let text = |both: &facts::Both| both.get(lang).clone();
    let told = |lines: &[facts::Both]| -> Result<Vec<String>, Flaw> {
        let filled = lines.iter().map(|line| {
            let filled = fill(line.get(lang), &json!({"license": LICENSE}))?;
            Ok(filled.trim_end().to_owned())
        });
        filled.collect()
    };
    let shots = facts.screenshots.iter();
    let shots = shots.map(|s| json!({"file": s.file.get(lang), "alt": s.alt.get(lang)}));
    let operator = &listing.operator;
    let values = json!({
        "name": facts.name, "version": VERSION, "license": LICENSE, "repository": REPOSITORY,
        "short": text(&facts.short), "long": text(&facts.long),
        "category": text(&facts.category), "tags": facts.tags.get(lang),
        "platforms": facts.platforms.get(lang),
        "tools": usages(facts, listed, lang)?,
        "url": listing.url(), "own_url": listing.url.is_some(),
        "activation": operator.support.as_deref().filter(|s| s.starts_with("https://")).unwrap_or(REPOSITORY),
        "entry": block(&listing.entry()), "mcp_json": block(&listing.mcp_json()),
        "screenshots": shots.collect::<Vec<_>>(),
        "privacy": told(&facts.privacy)?, "terms": told(&facts.terms)?,
        "operator": {
            "company": operator.company, "support": operator.support,
            "privacy_url": operator.privacy_url, "terms_url": operator.terms_url,
        },
    });
    let template = match (listing.kind, lang) {
        (Kind::McpSo, Lang::En) => include_str!("../../../templates/listing/mcp-so/README.md"),
        (Kind::McpSo, Lang::Zh) => include_str!("../../../templates/listing/mcp-so/README_zh.md"),
        (_, Lang::En) => include_str!("../../../templates/listing/volcano-ark/README.md"),
        (_, Lang::Zh) => include_str!("../../../templates/listing/volcano-ark/README_zh.md"),
    };
    fill(template, &values)
}

/// Every tool as the page shows it: what is listed, and how it comes to be used.
fn usages(facts: &Facts, listed: &[Value], lang: Lang) -> Result<Vec<Value>, Flaw> {
    let one = |shown: &Value| {
        let name = shown["name"].as_str().unwrap_or_default();
        let tool = tools::find(name).ok_or_else(|| broken(name))?;
        let usage = facts.usage(tool)?;
        Ok(json!({
            "name": name, "title": tool.title, "preview": tool.preview,
            "about": facts::about(tool, lang), "json": block(&debugging(shown)),
            "prompt": usage.prompt.get(lang), "answer": usage.answer.get(lang),
        }))
    };
    debug_assert_eq!(listed.len(), TOOLS.len());
    listed.iter().map(one).collect()
}

/// What the marketplace's pages show of a tool for debugging.
pub(super) fn debugging(tool: &Value) -> Value {
    json!({
        "inputSchema": tool["inputSchema"], "name": tool["name"], "description": tool["description"],
    })
}

/// What an operator does, in order.
pub(super) fn checklist(listing: &Listing, facts: &Facts, lang: Lang) -> Result<String, Flaw> {
    let (registry_name, host) = listing.registry_name();
    let (proof_en, proof_zh) = proof(&registry_name, host.as_deref());
    let values = json!({
        "url": listing.url(), "repository": REPOSITORY,
        // Their index is in Chinese.
        "category": facts.category.get(Lang::Zh),
        "bullet": format!("- **[{} MCP]({REPOSITORY})**：{}", facts.name, facts.short.get(Lang::Zh)),
        "registry_name": registry_name, "proof_en": proof_en, "proof_zh": proof_zh,
    });
    let line = |line: Line<'_>| {
        let (what, link, source, seen) = match line {
            Line::Step(s) => (
                s.what(lang),
                s.link.as_str(),
                s.source.get(lang).as_str(),
                s.seen.as_str(),
            ),
            Line::Missing(both) => {
                let link = "{{ repository }}/blob/main/docs/listing.md";
                (
                    both.get(lang).as_str(),
                    link,
                    match lang {
                        Lang::En => "AgentKeys, docs/listing.md",
                        Lang::Zh => "AgentKeys，docs/listing.md",
                    },
                    "2026-11-21",
                )
            }
        };
        let filled = |text: &str| fill(text, &values).map(|t| t.trim_end().to_owned());
        Ok(json!({"what": filled(what)?, "link": filled(link)?, "source": source, "seen": seen}))
    };
    let steps = listing.steps(facts).into_iter().map(line);
    let steps: Vec<Value> = steps.collect::<Result<_, Flaw>>()?;
    let template = match lang {
        Lang::En => include_str!("../../../templates/listing/CHECKLIST.md"),
        Lang::Zh => include_str!("../../../templates/listing/CHECKLIST_zh.md"),
    };
    let values = json!({"name": facts.name, "listing": listing.kind.as_str(), "steps": steps});
    fill(template, &values)
}

/// How a name in the registry is shown to be somebody's, in both languages.
fn proof(name: &str, host: Option<&str>) -> (String, String) {
    if let Some(host) = host {
        return (
            format!(
                "`mcp-publisher login dns --domain {host}` with a TXT record at `{host}` itself, or `mcp-publisher login http --domain {host}` with `https://{host}/.well-known/mcp-registry-auth` (200, no redirect)."
            ),
            format!(
                "`mcp-publisher login dns --domain {host}`，TXT 记录须设在 `{host}` 本身；或 `mcp-publisher login http --domain {host}`，须由 `https://{host}/.well-known/mcp-registry-auth` 返回 200 且无重定向。"
            ),
        );
    }
    let namespace = name.split('/').next().unwrap_or_default();
    if let Some(owner) = namespace.strip_prefix("io.github.") {
        return (
            format!(
                "`mcp-publisher login github` as {owner}, or as an owner of that organization."
            ),
            format!("以 {owner} 或该组织所有者的身份执行 `mcp-publisher login github`。"),
        );
    }
    let domain: Vec<&str> = namespace.rsplit('.').collect();
    let domain = domain.join(".");
    (
        format!(
            "`mcp-publisher login dns --domain {domain}`, with a TXT record at `{domain}` itself."
        ),
        format!("`mcp-publisher login dns --domain {domain}`，TXT 记录须设在 `{domain}` 本身。"),
    )
}

fn fill(text: &str, values: &Value) -> Result<String, Flaw> {
    template::render(&template::room(), text, input(values))
}

/// JSON as the templates take it.
fn input(value: &Value) -> Input {
    match value {
        Value::Null => Input::from(()),
        Value::Bool(b) => Input::from(*b),
        Value::Number(n) => n
            .as_i64()
            .map_or_else(|| Input::from(n.to_string()), Input::from),
        Value::String(text) => Input::from(text.as_str()),
        Value::Array(items) => Input::from(items.iter().map(input).collect::<Vec<_>>()),
        Value::Object(map) => {
            let map: BTreeMap<String, Input> =
                map.iter().map(|(k, v)| (k.clone(), input(v))).collect();
            Input::from(map)
        }
    }
}

/// JSON as it stands between fences.
fn block(value: &Value) -> String {
    super::pretty(value).trim_end().to_owned()
}

/// A section of a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Section {
    /// How many `#` its heading has.
    pub(super) level: usize,
    pub(super) heading: String,
    /// What is said below it, without what stands between fences.
    pub(super) prose: String,
}

/// A page's sections, in order. What stands before the first heading belongs to none.
pub(super) fn sections(page: &str) -> Vec<Section> {
    let mut sections: Vec<Section> = Vec::new();
    let mut fenced = false;
    for line in page.lines() {
        if line.starts_with("```") {
            fenced = !fenced;
            continue;
        }
        if fenced {
            continue;
        }
        let level = line.bytes().take_while(|b| *b == b'#').count();
        match line.get(level..).and_then(|rest| rest.strip_prefix(' ')) {
            Some(heading) if level > 0 => sections.push(Section {
                level,
                heading: heading.to_owned(),
                prose: String::new(),
            }),
            _ => {
                if let Some(last) = sections.last_mut() {
                    last.prose.push_str(line);
                    last.prose.push('\n');
                }
            }
        }
    }
    sections
}

/// The JSON blocks of a page, read.
pub(super) fn json_blocks(page: &str) -> Vec<Result<Value, serde_json::Error>> {
    let texts = json_texts(page).into_iter();
    texts.map(|text| serde_json::from_str(&text)).collect()
}

/// The same as they stand there.
pub(super) fn json_texts(page: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut open: Option<String> = None;
    for line in page.lines() {
        match &mut open {
            None if line.trim_end() == "```json" => open = Some(String::new()),
            Some(_) if line.starts_with("```") => blocks.extend(open.take()),
            Some(text) => {
                text.push_str(line);
                text.push('\n');
            }
            None => {}
        }
    }
    blocks
}
