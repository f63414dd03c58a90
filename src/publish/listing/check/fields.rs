//! What `listing.json` says, and the files beside it: complete, searchable, short enough, current.

use super::super::{ENTRY_FILE, Kind, Lang, Listing, MANIFEST, NO_URL, TOOLS_FILE, ark_entry};
use super::{Read, is_text};
use crate::mcp::{fingerprint, service};
use crate::publish::wire::volcano_ark::Entry;

pub(super) fn files(read: &Read) -> Vec<String> {
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
        bytes.is_some_and(|bytes| !is_text(bytes))
    };
    let no_text = texts
        .filter(no_text)
        .map(|name| format!("{name} is not text in UTF-8"));
    let missing = missing.map(|name| format!("{name} is missing"));
    missing.chain(no_text).collect()
}

pub(super) fn url(read: &Read) -> Vec<String> {
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
pub(super) fn name(read: &Read) -> Vec<String> {
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
pub(super) fn lengths(read: &Read) -> Vec<String> {
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

pub(super) fn category(read: &Read) -> Vec<String> {
    let [en, zh] = Lang::BOTH.map(|lang| read.word("category", lang));
    if en.is_empty() || zh.is_empty() {
        return vec!["the category is missing in a language".to_owned()];
    }
    if read.kind == Kind::VolcanoArk && !CATEGORIES.contains(&zh) {
        return vec![format!("{zh:?} is not one of: {}", CATEGORIES.join(" "))];
    }
    Vec::new()
}

pub(super) fn hash(read: &Read) -> Vec<String> {
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

pub(super) fn program(read: &Read) -> Vec<String> {
    let profile = read.kind.host_profile();
    let ours = fingerprint::of(&service::listed_to(profile));
    if ours == read.told("/tools/sha256") {
        return Vec::new();
    }
    let version = env!("CARGO_PKG_VERSION");
    vec![format!(
        "the tools are not those of this program ({version}), whose hash is {}",
        super::short(&ours)
    )]
}

pub(super) fn entry(read: &Read) -> Vec<String> {
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
        if ark_entry(read.text(&page)) != Some(wanted.clone()) {
            complaints.push(format!(
                "the entry in {page} is not what `agentkeys wire volcano-ark` writes"
            ));
        }
    }
    complaints
}
