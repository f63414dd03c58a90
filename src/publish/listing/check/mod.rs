//! What keeps a listing from being submitted: looked for in the folder as it lies there, since people
//! edit such files, and against the live server.

mod fields;
mod generated;
mod others;
mod pages;
mod pictures;
mod registry;
mod secrets;

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use super::facts::Facts;
use super::written::MAX;
use super::{Kind, Lang, MANIFEST, NO_URL, TOOLS_FILE};
use crate::acceptance::outside::{Finding, Status};
use crate::authority::words::HostProfile;
use crate::folder::{bounded, ordinary_here};
use crate::mcp::{fingerprint, service};
use crate::publish::wire::{Flaw, same_server};

/// All of a listing together is not larger.
const MAX_ALL: u64 = 16 * 1024 * 1024;
/// A listing has some twenty files; a folder with more than this is something else.
const MAX_FILES: usize = 500;
/// Nor has it folders in folders in folders.
const MAX_DEPTH: usize = 4;

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
    /// Links, pipes and the like, by name.
    odd: Vec<String>,
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

/// Whether it is text in UTF-8; what has zeros in it is something else.
fn is_text(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_ok() && !bytes.contains(&0)
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
const ALWAYS: [Check; 12] = [
    check("files", "all are there", AGAIN, fields::files),
    check(
        "url",
        "it is public https, or left to the reader",
        "set `[server] public_url` to the public https address, and run `agentkeys listing` again",
        fields::url,
    ),
    check("name", "it can be searched for", AGAIN, fields::name),
    check("lengths", "all fit", AGAIN, fields::lengths),
    check(
        "category",
        "it is one of the marketplace's",
        "take a heading of the marketplace's index",
        fields::category,
    ),
    check(
        "tools.hash",
        "tools.json is what listing.json says",
        AGAIN,
        fields::hash,
    ),
    check(
        "tools.program",
        "they are those of this program",
        AGAIN,
        fields::program,
    ),
    check(
        "generated",
        "what machines read is what this program writes",
        AGAIN,
        generated::problems,
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
        "they are whole, and have the sizes they should",
        AGAIN,
        pictures::problems,
    ),
    check(
        "secrets",
        "none is inside",
        "remove it, and revoke it: `agentkeys vendor token revoke`",
        secrets::problems,
    ),
];

/// What is looked at where there are pages.
const PAGES: [Check; 4] = [
    check(
        "pages",
        "they say what listing.json says",
        AGAIN,
        pages::words,
    ),
    check(
        "html",
        "none is on the pages",
        "write it as Markdown",
        pages::html,
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
    fields::entry,
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
    found.extend(others::findings(&read)?);
    found.extend(operator(&read, &Facts::read()?));
    Ok(Looked {
        url: read.told("/url").to_owned(),
        profile: read.kind.host_profile(),
        sha256: read.told("/tools/sha256").to_owned(),
        findings: found,
    })
}

fn read(dir: &Path) -> Result<Read, String> {
    let mut found = Found::default();
    walk(dir, "", &mut found).map_err(|e| format!("{} cannot be read: {e}", dir.display()))?;
    let Found { bytes, odd, .. } = found;
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
        odd,
        kind,
        manifest,
        tools,
    })
}

/// What lies in a folder.
#[derive(Default)]
struct Found {
    bytes: BTreeMap<String, Vec<u8>>,
    odd: Vec<String>,
    /// How many bytes there are in all.
    size: u64,
}

/// Every file below a folder, but not what git keeps for itself; links are not followed.
fn walk(dir: &Path, below: &str, found: &mut Found) -> std::io::Result<()> {
    let more = || std::io::Error::other("it holds more than a listing does");
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        let own = entry.file_name();
        let name = format!("{below}{}", own.to_string_lossy());
        let kind = entry.file_type()?;
        if kind.is_dir() {
            if name == ".git" {
                continue;
            }
            if below.matches('/').count() >= MAX_DEPTH {
                return Err(more());
            }
            walk(&entry.path(), &format!("{name}/"), found)?;
            continue;
        }
        if found.bytes.len() + found.odd.len() >= MAX_FILES {
            return Err(more());
        }
        // Two names that are no text could look the same.
        if !kind.is_file() || own.to_str().is_none() {
            found.odd.push(name);
            continue;
        }
        let bytes = ordinary_here(&entry.path()).and_then(|file| bounded(&file, MAX))?;
        found.size += bytes.len() as u64;
        if found.size > MAX_ALL {
            return Err(more());
        }
        found.bytes.insert(name, bytes);
    }
    Ok(())
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

/// The beginning of a hash, which tells it from another.
fn short(hash: &str) -> &str {
    hash.get(..12).unwrap_or(hash)
}

impl Looked {
    /// Compares the listing with what a server at an address lists.
    pub fn compare(&mut self, url: &str, live: &[Value]) {
        let got = fingerprint::of(live);
        let other_spelling = HostProfile::ALL
            .iter()
            .any(|p| fingerprint::of(&service::listed_to(*p)) == got);
        let finding = if got == self.sha256 {
            Finding::ok("tools.live", format!("{url} lists the same tools"))
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
                "{url} lists {} tools with hash {}, and the listing says {}",
                live.len(),
                short(&got),
                short(&self.sha256)
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
