//! What a marketplace is given of this server: pages in both languages, a description for machines,
//! pictures, and a checklist for whoever submits them.
//!
//! All of it comes from one source: tools from the live table, words from `templates/listing/`, the
//! address and the operator's own facts from the configuration. It invents nothing: what the operator
//! has not told is left out, named in the checklist, and found by [`check`].

pub mod check;
mod facts;
mod images;
mod page;
mod png;
mod server_json;
mod written;

#[cfg(test)]
mod tests;

use serde_json::{Value, json};

use super::wire::volcano_ark::Entry;
use super::wire::{Flaw, Kind as FlawKind};
use crate::authority::words::HostProfile;
use crate::config::{Config, Listing as Operator};
use crate::mcp::{fingerprint, service};
use crate::problem::{Exit, Problem};
use facts::{Facts, Step};

pub use written::{Folder, Outcome};

/// Where the software comes from.
const REPOSITORY: &str = env!("CARGO_PKG_REPOSITORY");
const LICENSE: &str = env!("CARGO_PKG_LICENSE");
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The address while nobody said one: a template in the sense of server.json, which names `host` among
/// its variables.
const NO_URL: &str = "https://{host}/mcp";

/// What `listing.json` is called: it says what a folder is, and so that it is ours.
const MANIFEST: &str = "listing.json";
/// The tools of `tools/list`, as a host is shown them.
const TOOLS_FILE: &str = "tools.json";
/// The tool entry of Ark's Responses API.
const ENTRY_FILE: &str = "ark-tool.json";

/// A marketplace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The marketplace of Volcano Engine.
    VolcanoArk,
    /// The official MCP registry.
    McpRegistry,
    /// mcp.so.
    McpSo,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::VolcanoArk, Self::McpRegistry, Self::McpSo];

    /// Its word on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::VolcanoArk => "volcano-ark",
            Self::McpRegistry => "mcp-registry",
            Self::McpSo => "mcp-so",
        }
    }

    fn named(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }

    /// As which hosts its readers call: that decides how names are spelled.
    pub const fn host_profile(self) -> HostProfile {
        match self {
            Self::VolcanoArk => HostProfile::VolcanoArk,
            Self::McpRegistry | Self::McpSo => HostProfile::Default,
        }
    }

    /// The pages of a listing in both languages; the registry has none.
    const fn has_pages(self) -> bool {
        !matches!(self, Self::McpRegistry)
    }
}

/// One of the two languages a listing is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lang {
    En,
    Zh,
}

impl Lang {
    const BOTH: [Self; 2] = [Self::En, Self::Zh];

    /// The name of a page in this language.
    fn file(self, stem: &str) -> String {
        match self {
            Self::En => format!("{stem}.md"),
            Self::Zh => format!("{stem}_zh.md"),
        }
    }

    const fn code(self) -> &'static str {
        match self {
            Self::En => "en",
            Self::Zh => "zh",
        }
    }
}

/// What one marketplace is told of one server.
#[derive(Debug, Clone)]
pub struct Listing {
    kind: Kind,
    /// The address of MCP, when it is known.
    url: Option<String>,
    operator: Operator,
}

/// Everything that is written.
#[derive(Debug)]
pub struct Files {
    /// Name and text.
    pub texts: Vec<(String, String)>,
    /// Name and bytes.
    pub images: &'static [(&'static str, &'static [u8])],
}

impl Files {
    /// The text of a file.
    pub fn text(&self, name: &str) -> Option<&str> {
        let found = self.texts.iter().find(|(n, _)| n == name);
        found.map(|(_, text)| text.as_str())
    }
}

impl Listing {
    /// The listing of the server of a configuration.
    pub fn of(kind: Kind, config: &Config) -> Self {
        let url = config.server.public_url.as_ref();
        Self {
            kind,
            url: url.map(|url| mcp_url(&url.to_string())),
            operator: config.listing.clone(),
        }
    }

    /// A listing of a server at an address, by whoever runs it and said nothing.
    pub fn at(kind: Kind, url: &str) -> Self {
        Self {
            kind,
            url: Some(mcp_url(url)),
            operator: Operator::default(),
        }
    }

    /// Everything there is to write.
    ///
    /// # Errors
    /// When a template of ours does not render.
    pub fn files(&self) -> Result<Files, Flaw> {
        self.files_with(&Facts::read()?)
    }

    /// The same with these words.
    fn files_with(&self, facts: &Facts) -> Result<Files, Flaw> {
        let tools = service::listed_to(self.kind.host_profile());
        let mut texts = vec![
            (MANIFEST.to_owned(), pretty(&self.manifest(facts, &tools))),
            (TOOLS_FILE.to_owned(), pretty(&json!(tools))),
        ];
        match self.kind {
            Kind::VolcanoArk => {
                texts.push((ENTRY_FILE.to_owned(), pretty(&self.entry())));
                texts.push(("mcp.json".to_owned(), pretty(&self.mcp_json())));
            }
            Kind::McpRegistry => {
                texts.push((
                    "server.json".to_owned(),
                    pretty(&self.server_json(facts, &tools)),
                ));
            }
            Kind::McpSo => {
                texts.push(("mcp.json".to_owned(), pretty(&self.mcp_json())));
                texts.push((
                    "submission.json".to_owned(),
                    pretty(&self.submission(facts)),
                ));
            }
        }
        for lang in Lang::BOTH {
            if self.kind.has_pages() {
                let page = page::readme(self, facts, &tools, lang)?;
                texts.push((lang.file("README"), page));
            }
            texts.push((lang.file("CHECKLIST"), page::checklist(self, facts, lang)?));
        }
        Ok(Files {
            texts,
            images: images::IMAGES,
        })
    }

    /// The address that the listing says.
    fn url(&self) -> &str {
        self.url.as_deref().unwrap_or(NO_URL)
    }

    /// What the folder is, for `listing check` and for whoever fills in a form.
    fn manifest(&self, facts: &Facts, tools: &[Value]) -> Value {
        let operator = &self.operator;
        json!({
            "listing": self.kind.as_str(),
            "name": facts.name,
            "version": VERSION,
            "url": self.url(),
            "publisher": self.operator.publisher,
            "category": facts.category.to_json(),
            "tags": facts.tags.to_json(),
            "short": facts.short.to_json(),
            "long": facts.long.to_json(),
            "license": LICENSE,
            "repository": REPOSITORY,
            "operator": {
                "company": operator.company, "support": operator.support,
                "privacy_url": operator.privacy_url, "terms_url": operator.terms_url,
                "icon_url": operator.icon_url,
            },
            "tools": {
                "host_profile": self.kind.host_profile().as_str(),
                "count": tools.len(),
                "sha256": fingerprint::of(tools),
            },
        })
    }

    /// The entry for Ark's Responses API, from where `wire volcano-ark` has it. Token and actor are
    /// left to the environment of whoever uses it.
    fn entry(&self) -> Value {
        Entry::new(self.url(), Some("${AGENTKEYS_ACTOR}"), None).to_json()
    }

    /// The settings that most hosts read.
    fn mcp_json(&self) -> Value {
        json!({"mcpServers": {"agentkeys": {
            "type": "streamable-http",
            "url": self.url(),
            "headers": {
                "Authorization": "Bearer ${AGENTKEYS_TOKEN}",
                "X-AgentKeys-Actor": "${AGENTKEYS_ACTOR}",
            },
        }}})
    }

    /// The fields of mcp.so's form.
    fn submission(&self, facts: &Facts) -> Value {
        json!({
            "name": facts.name,
            "type": "MCP Server",
            "url": REPOSITORY,
            "hosted_url": self.url(),
            "description": facts.short.to_json(),
            "long_description": facts.long.to_json(),
            "category": facts.category.to_json(),
            "tags": facts.tags.to_json(),
            "icon": "images/icon-400.png",
            "server_config": self.mcp_json(),
        })
    }

    /// The name in the registry, and the host whose owner may use it when that is what it comes from.
    fn registry_name(&self) -> (String, Option<String>) {
        if let Some(publisher) = &self.operator.publisher {
            return (format!("{publisher}/agentkeys"), None);
        }
        let host = self.url.as_deref().and_then(host_of);
        let Some(host) = host else {
            // The software's own: a listing for everybody who runs it, which its project publishes.
            let owner = REPOSITORY.trim_start_matches("https://github.com/");
            let owner = owner.split('/').next().unwrap_or_default();
            return (format!("io.github.{owner}/agentkeys"), None);
        };
        let labels: Vec<&str> = host.rsplit('.').collect();
        (format!("{}/agentkeys", labels.join(".")), Some(host))
    }

    /// Keys of the operator that are not set, as the checklist and the check name them.
    fn missing(&self) -> Vec<&'static str> {
        let operator = &self.operator;
        let registry = self.kind == Kind::McpRegistry;
        let told = [
            ("public_url", self.url.is_some(), true),
            ("company", operator.company.is_some(), !registry),
            ("support", operator.support.is_some(), !registry),
            ("privacy_url", operator.privacy_url.is_some(), !registry),
            ("terms_url", operator.terms_url.is_some(), !registry),
            (
                "publisher",
                operator.publisher.is_some() || self.url.is_some(),
                registry,
            ),
            ("icon_url", operator.icon_url.is_some(), registry),
        ];
        let missing = told
            .into_iter()
            .filter(|(_, told, wanted)| *wanted && !told);
        missing.map(|(key, ..)| key).collect()
    }

    /// The checklist's lines, in order: what has to begin first, what is missing, and the rest.
    fn steps<'a>(&self, facts: &'a Facts) -> Vec<Line<'a>> {
        let steps = facts.steps(self.kind);
        let (first, rest): (Vec<_>, Vec<_>) = steps.iter().partition(|s| s.first);
        let missing = self.missing().into_iter();
        let missing = missing.filter_map(|key| facts.missing.get(key).map(Line::Missing));
        let first = first.into_iter().map(Line::Step);
        first
            .chain(missing)
            .chain(rest.into_iter().map(Line::Step))
            .collect()
    }
}

/// A line of the checklist.
enum Line<'a> {
    /// One of the marketplace's.
    Step(&'a Step),
    /// A fact that the operator has not told.
    Missing(&'a facts::Both),
}

/// The entry of Ark's Responses API in a listing's page, as its reader copies it out.
pub fn ark_entry(readme: &str) -> Option<Value> {
    page::json_blocks(readme)
        .into_iter()
        .filter_map(Result::ok)
        .find(|value| value["type"] == "mcp")
}

/// The name that the page of a listing has: the demo takes its entry from there.
pub const README: &str = "README.md";

/// The address of MCP of a server.
fn mcp_url(url: &str) -> String {
    let url = url.trim_end_matches('/');
    if url.ends_with("/mcp") {
        return url.to_owned();
    }
    format!("{url}/mcp")
}

/// The DNS name in an address; none for an IP address or this machine.
fn host_of(url: &str) -> Option<String> {
    let url = reqwest::Url::parse(url).ok()?;
    let host = url.host_str()?.to_ascii_lowercase();
    crate::config::is_domain(&host).then_some(host)
}

fn pretty(value: &Value) -> String {
    // Texts and numbers only; it cannot fail.
    serde_json::to_string_pretty(value).unwrap_or_default() + "\n"
}

/// A fault of our own templates, for whoever meets it.
pub fn fault(flaw: Flaw) -> Problem {
    let fix = "this is a fault of the program; report it";
    Problem::new(Exit::Failed, "agentkeys.listing.template", flaw.cause, fix)
}

fn broken(what: impl std::fmt::Display) -> Flaw {
    Flaw::new(FlawKind::Template, format!("the listing's facts: {what}"))
}
