//! What keeps a listing from being submitted: looked for in the folder as it lies there, since people
//! edit such files, and against the live server.

mod pages;
mod pictures;
mod registry;
mod secrets;

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use super::facts::Facts;
use super::{ENTRY_FILE, Kind, Lang, Listing, MANIFEST, NO_URL, TOOLS_FILE};
use crate::acceptance::outside::{Finding, Status};
use crate::authority::words::HostProfile;
use crate::mcp::{fingerprint, service};
use crate::publish::wire::volcano_ark::Entry;
use crate::publish::wire::{Flaw, same_server};

/// No file of a listing is larger.
const MAX: u64 = 2 * 1024 * 1024;
/// A listing has some twenty files; a folder with more than this is something else.
const MAX_FILES: usize = 500;

/// What most findings are mended by.
const AGAIN: &str =
    "run `agentkeys listing` into this folder again; words are in agentkeys.toml [listing]";

/// A listing as it lies in a folder.
#[derive(Debug)]
pub struct Looked {
    /// What was found, good and bad.
    pub findings: Vec<Finding>,
    url: String,
    profile: HostProfile,
    sha256: String,
}

/// The folder's files by name; what is no text is in `bytes` only.
struct Read {
    bytes: BTreeMap<String, Vec<u8>>,
    kind: Kind,
    manifest: Value,
    tools: Vec<Value>,
}

impl Read {
    fn text(&self, name: &str) -> &str {
        let bytes = self.bytes.get(name).map(Vec::as_slice);
        bytes
            .and_then(|b| std::str::from_utf8(b).ok())
            .unwrap_or_default()
    }

    fn json(&self, name: &str) -> Result<Value, String> {
        serde_json::from_str(self.text(name)).map_err(|e| format!("{name}: {e}"))
    }

    fn told(&self, pointer: &str) -> &str {
        let value = self.manifest.pointer(pointer);
        value.and_then(Value::as_str).unwrap_or_default()
    }

    fn tags(&self, lang: Lang) -> Vec<&str> {
        let tags = self.manifest["tags"][lang.code()].as_array();
        tags.into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect()
    }

    /// The listing's words in one language.
    fn word(&self, key: &str, lang: Lang) -> &str {
        self.told(&format!("/{key}/{}", lang.code()))
    }
}

/// One thing that is looked at.
struct Check {
    id: &'static str,
    /// What is said when nothing is wrong.
    well: &'static str,
    fix: &'static str,
    /// Every complaint, as a sentence.
    complaints: fn(&Read) -> Vec<String>,
}

const fn check(
    id: &'static str,
    well: &'static str,
    fix: &'static str,
    complaints: fn(&Read) -> Vec<String>,
) -> Check {
    Check {
        id,
        well,
        fix,
        complaints,
    }
}

/// What is looked at in every listing.
const ALWAYS: [Check; 11] = [
    check("files", "all are there", AGAIN, files),
    check(
        "url",
        "hosts can reach it",
        "set `[server] public_url` to the public https address, and run `agentkeys listing` again",
        url,
    ),
    check("name", "it can be searched for", AGAIN, name),
    check("lengths", "all fit", AGAIN, lengths),
    check(
        "category",
        "it is one of the marketplace's",
        "take a heading of the marketplace's index",
        category,
    ),
    check(
        "tools.hash",
        "tools.json is what listing.json says",
        AGAIN,
        hash,
    ),
    check(
        "tools.program",
        "they are those of this program",
        AGAIN,
        program,
    ),
    check(
        "checklist",
        "each line has its link, source and date",
        AGAIN,
        pages::checklists,
    ),
    check(
        "placeholders",
        "none is left",
        "put the real words there",
        pages::placeholders,
    ),
    check(
        "images",
        "they have the sizes they should",
        AGAIN,
        pictures::problems,
    ),
    check(
        "secrets",
        "none is inside",
        "remove it, and revoke it: `agentkeys vendor token revoke`",
        |read| secrets::problems(&read.bytes),
    ),
];

/// What is looked at where there are pages.
const PAGES: [Check; 3] = [
    check(
        "pages",
        "they say what listing.json says",
        AGAIN,
        pages::words,
    ),
    check("languages", "both are complete", AGAIN, pages::languages),
    check(
        "tools.pages",
        "every tool is on both pages as it is listed",
        AGAIN,
        pages::tools,
    ),
];

const ENTRY: Check = check(
    "entry",
    "it is that of `agentkeys wire volcano-ark`",
    AGAIN,
    entry,
);
const SERVER_JSON: Check = check(
    "server_json",
    "it follows the schema",
    AGAIN,
    registry::problems,
);

impl Check {
    /// One finding for all that is well, or one for each complaint.
    fn judge(&self, read: &Read) -> Vec<Finding> {
        let complaints = (self.complaints)(read);
        if complaints.is_empty() {
            return vec![Finding::ok(self.id, self.well)];
        }
        let failed = |cause| Finding::new(self.id, Status::Failed, cause, self.fix);
        complaints.into_iter().map(failed).collect()
    }
}

/// Looks at a listing in a folder.
///
/// # Errors
/// When our own facts cannot be read.
pub fn look(dir: &Path) -> Result<Looked, Flaw> {
    let read = match read(dir) {
        Ok(read) => read,
        Err(cause) => {
            let fix = "name a folder that `agentkeys listing KIND --out DIR` wrote";
            return Ok(Looked {
                findings: vec![Finding::new("listing", Status::Failed, cause, fix)],
                url: NO_URL.to_owned(),
                profile: HostProfile::Default,
                sha256: String::new(),
            });
        }
    };
    let more: &[Check] = match read.kind {
        Kind::VolcanoArk => &[ENTRY],
        Kind::McpRegistry => &[SERVER_JSON],
        Kind::McpSo => &[],
    };
    let pages: &[Check] = if read.kind.has_pages() { &PAGES } else { &[] };
    let mut found = vec![Finding::ok("listing", read.kind.as_str())];
    let checks = ALWAYS.iter().chain(pages).chain(more);
    found.extend(checks.flat_map(|check| check.judge(&read)));
    found.extend(operator(&read, &Facts::read()?));
    Ok(Looked {
        url: read.told("/url").to_owned(),
        profile: read.kind.host_profile(),
        sha256: read.told("/tools/sha256").to_owned(),
        findings: found,
    })
}

fn read(dir: &Path) -> Result<Read, String> {
    let mut bytes = BTreeMap::new();
    walk(dir, "", &mut bytes).map_err(|e| format!("{} cannot be read: {e}", dir.display()))?;
    let manifest = bytes.get(MANIFEST);
    let manifest =
        manifest.ok_or_else(|| format!("there is no {MANIFEST} in {}", dir.display()))?;
    let manifest: Value =
        serde_json::from_slice(manifest).map_err(|e| format!("{MANIFEST}: {e}"))?;
    let kind = manifest["listing"].as_str().and_then(Kind::named);
    let kind =
        kind.ok_or_else(|| format!("{MANIFEST} does not say which marketplace it is for"))?;
    let tools = bytes.get(TOOLS_FILE).map_or(&[][..], Vec::as_slice);
    let tools = serde_json::from_slice(tools).unwrap_or_default();
    Ok(Read {
        bytes,
        kind,
        manifest,
        tools,
    })
}

/// Every file below a folder; links are not followed.
fn walk(dir: &Path, below: &str, into: &mut BTreeMap<String, Vec<u8>>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        let name = format!("{below}{}", entry.file_name().to_string_lossy());
        let kind = entry.file_type()?;
        if kind.is_dir() && below.is_empty() {
            walk(&entry.path(), &format!("{name}/"), into)?;
        } else if kind.is_file() {
            if into.len() >= MAX_FILES || entry.metadata()?.len() > MAX {
                return Err(std::io::Error::other("it holds more than a listing does"));
            }
            into.insert(name, std::fs::read(entry.path())?);
        }
    }
    Ok(())
}

fn files(read: &Read) -> Vec<String> {
    let wanted = match Listing::at(read.kind, NO_URL).files() {
        Ok(files) => files,
        Err(flaw) => return vec![flaw.cause],
    };
    let texts = wanted.texts.iter().map(|(name, _)| name.as_str());
    let images = wanted.images.iter().map(|(name, _)| *name);
    let missing = texts.clone().chain(images);
    let missing = missing.filter(|name| !read.bytes.contains_key(*name));
    let no_text = |name: &&str| {
        let bytes = read.bytes.get(*name);
        bytes.is_some_and(|bytes| std::str::from_utf8(bytes).is_err())
    };
    let no_text = texts
        .filter(no_text)
        .map(|name| format!("{name} is not text in UTF-8"));
    let missing = missing.map(|name| format!("{name} is missing"));
    missing.chain(no_text).collect()
}

fn url(read: &Read) -> Vec<String> {
    let url = read.told("/url");
    if url == NO_URL {
        return Vec::new();
    }
    if reqwest::Url::parse(url).is_err() {
        return vec![format!("{url:?} is no address")];
    }
    let why = Entry::new(url, None, None).unreachable_from_ark();
    why.map(|_| format!("{url} is not https, or is an address of this machine or network"))
        .into_iter()
        .collect()
}

/// What people type into a search box has to be in every field that is searched.
fn name(read: &Read) -> Vec<String> {
    let name = read.told("/name");
    if name.is_empty() {
        return vec![format!("{MANIFEST} has no name")];
    }
    let mut complaints = Vec::new();
    for lang in Lang::BOTH {
        let code = lang.code();
        if !read.word("short", lang).contains(name) {
            complaints.push(format!("{name} is not in the short description ({code})"));
        }
        if !read.tags(lang).contains(&name) {
            complaints.push(format!("{name} is not among the tags ({code})"));
        }
        let page = lang.file("README");
        let title = read.text(&page).lines().find(|l| l.starts_with("# "));
        if read.kind.has_pages() && !title.unwrap_or_default().contains(name) {
            complaints.push(format!("{name} is not in the title of {page}"));
        }
    }
    complaints
}

/// Nobody publishes limits for pages (`formats/ark.md` §1.5), so these are ours: what fits a card in a
/// list, and what somebody reads to its end.
fn lengths(read: &Read) -> Vec<String> {
    let mut complaints = Vec::new();
    for (lang, short) in [(Lang::En, 100), (Lang::Zh, 60)] {
        let code = lang.code();
        for (key, most) in [("short", short), ("long", 1000)] {
            let count = read.word(key, lang).chars().count();
            if !(10..=most).contains(&count) {
                complaints.push(format!(
                    "the {key} description ({code}) has {count} characters; 10 to {most} are good"
                ));
            }
        }
        let tags = read.tags(lang);
        let long = tags
            .iter()
            .any(|tag| !(1..=24).contains(&tag.chars().count()));
        if !(3..=10).contains(&tags.len()) || long {
            complaints.push(format!(
                "the tags ({code}) are not 3 to 10 of at most 24 characters"
            ));
        }
    }
    complaints
}

/// The headings of the marketplace's index at a07514cf (`formats/ark.md` §1.2).
const CATEGORIES: [&str; 20] = [
    "计算",
    "存储",
    "数据库",
    "容器与中间件",
    "CDN与边缘",
    "大数据",
    "视频云",
    "安全",
    "企业服务与云通信",
    "管理与治理",
    "开发者工具",
    "搜索工具",
    "位置服务",
    "内容生成",
    "源码管理",
    "数据查询",
    "文件管理",
    "协作沟通",
    "金融财务",
    "其他",
];

fn category(read: &Read) -> Vec<String> {
    let [en, zh] = Lang::BOTH.map(|lang| read.word("category", lang));
    if en.is_empty() || zh.is_empty() {
        return vec!["the category is missing in a language".to_owned()];
    }
    if read.kind == Kind::VolcanoArk && !CATEGORIES.contains(&zh) {
        return vec![format!("{zh:?} is not one of: {}", CATEGORIES.join(" "))];
    }
    Vec::new()
}

fn hash(read: &Read) -> Vec<String> {
    let mut complaints = Vec::new();
    if read.tools.is_empty() {
        complaints.push(format!("{TOOLS_FILE} holds no list of tools"));
    } else if fingerprint::of(&read.tools) != read.told("/tools/sha256") {
        complaints.push(format!(
            "{TOOLS_FILE} has not the hash that {MANIFEST} says"
        ));
    }
    complaints
}

fn program(read: &Read) -> Vec<String> {
    let profile = read.kind.host_profile();
    let ours = fingerprint::of(&service::listed_to(profile));
    if ours == read.told("/tools/sha256") {
        return Vec::new();
    }
    let version = env!("CARGO_PKG_VERSION");
    vec![format!(
        "the tools are not those of this program ({version}), whose hash is {ours}"
    )]
}

fn entry(read: &Read) -> Vec<String> {
    let wanted = Entry::new(read.told("/url"), Some("${AGENTKEYS_ACTOR}"), None).to_json();
    let mut complaints = Vec::new();
    match read.json(ENTRY_FILE) {
        Ok(entry) if entry == wanted => {}
        Ok(_) => complaints.push(format!(
            "{ENTRY_FILE} is not what `agentkeys wire volcano-ark` writes"
        )),
        Err(error) => complaints.push(error),
    }
    for lang in Lang::BOTH {
        let page = lang.file("README");
        if super::ark_entry(read.text(&page)) != Some(wanted.clone()) {
            complaints.push(format!(
                "the entry in {page} is not what `agentkeys wire volcano-ark` writes"
            ));
        }
    }
    complaints
}

/// What the operator has not told: nothing is wrong with the files, and a reviewer will ask.
fn operator(read: &Read, facts: &Facts) -> Vec<Finding> {
    let mut keys = Vec::new();
    if read.told("/url") == NO_URL {
        keys.push("public_url");
    }
    if read.kind.has_pages() {
        let told = ["company", "support", "privacy_url", "terms_url"];
        keys.extend(
            told.into_iter()
                .filter(|key| read.told(&format!("/operator/{key}")).is_empty()),
        );
    } else {
        keys.extend(registry::missing(read));
    }
    let finding = |key: &str| {
        let fix = facts
            .missing
            .get(key)
            .map(|both| both.get(Lang::En).as_str());
        let cause = format!("the operator has not told {key}");
        Finding::new(
            format!("operator.{key}"),
            Status::Warn,
            cause,
            fix.unwrap_or_default(),
        )
    };
    keys.into_iter().map(finding).collect()
}

impl Looked {
    /// Compares the listing with what a server at an address lists.
    pub fn compare(&mut self, url: &str, live: &[Value]) {
        let got = fingerprint::of(live);
        let other_spelling = HostProfile::ALL
            .iter()
            .any(|p| fingerprint::of(&service::listed_to(*p)) == got);
        let finding = if got == self.sha256 {
            Finding::ok("tools.live", format!("{url} lists the same tools: {got}"))
        } else if other_spelling
            && self.sha256 == fingerprint::of(&service::listed_to(self.profile))
        {
            let cause = "the server spells its tools for another kind of host".to_owned();
            let fix = match self.profile {
                HostProfile::VolcanoArk => "use a token of a vendor on rail volcano-ark",
                _ => "use a token of a vendor on rail other",
            };
            Finding::new("tools.live", Status::Failed, cause, fix)
        } else {
            let cause = format!(
                "{url} lists {} tools with hash {got}, and the listing says {}",
                live.len(),
                self.sha256
            );
            let fix = "make the listing with the version that runs there, or update the server";
            Finding::new("tools.live", Status::Failed, cause, fix)
        };
        self.findings.push(finding);
        let listed = self.url != NO_URL && !same_server(&super::mcp_url(url), &self.url);
        if listed {
            let cause = format!("{url} was looked at, and the listing says {}", self.url);
            let fix = "look at the address that is listed too";
            self.findings
                .push(Finding::new("tools.live_url", Status::Warn, cause, fix));
        }
    }

    /// Says that the live server was asked for and could not be looked at.
    pub fn not_compared(&mut self, cause: impl Into<String>, fix: &str) {
        self.findings
            .push(Finding::new("tools.live", Status::Failed, cause, fix));
    }
}
