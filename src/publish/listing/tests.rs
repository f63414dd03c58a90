//! Every listing as it is written passes its check, and each check is seen to fail.
#![allow(clippy::unwrap_used)]

mod damage;

use std::collections::BTreeSet;
use std::path::Path;

use super::facts::Facts;
use super::images::png_size;
use super::*;
use crate::acceptance::outside::Status;
use crate::config::{FILE, Flags};
use crate::problem::Problem;

const WHOLE: &str = r#"
[server]
public_url = "https://mcp.example.com/mcp"
[listing]
publisher = "io.github.octocat"
company = "示例玩具有限公司"
support = "help@example.com"
privacy_url = "https://example.com/privacy"
terms_url = "https://example.com/terms"
icon_url = "https://example.com/icon-400.png"
"#;

fn config(file: &str) -> Config {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join(FILE), file).unwrap();
    Config::load(dir.path(), Flags::default()).unwrap()
}

fn written(kind: Kind, file: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let files = Listing::of(kind, &config(file)).files().unwrap();
    Folder::read(dir.path(), files).unwrap().write().unwrap();
    dir
}

fn ids(dir: &Path, status: Status) -> BTreeSet<String> {
    let found = check::look(dir).unwrap().findings;
    let with = found.into_iter().filter(|f| f.status == status);
    with.map(|f| f.id).collect()
}

#[track_caller]
fn edit(dir: &Path, name: &str, from: &str, to: &str) {
    let path = dir.join(name);
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.contains(from), "{name} has no {from:?}");
    std::fs::write(path, text.replacen(from, to, 1)).unwrap();
}

#[test]
fn a_fresh_listing_passes_and_asks_for_what_the_operator_has_not_told() {
    for kind in Kind::ALL {
        let whole = written(kind, WHOLE);
        let found = check::look(whole.path()).unwrap().findings;
        let bad: Vec<_> = found.iter().filter(|f| f.status != Status::Ok).collect();
        assert!(bad.is_empty(), "{kind:?}: {bad:?}");
        assert!(found.len() > 10);

        let bare = written(kind, "");
        assert_eq!(
            ids(bare.path(), Status::Failed),
            BTreeSet::new(),
            "{kind:?}"
        );
        let warned = ids(bare.path(), Status::Warn);
        let missing = Listing::of(kind, &config("")).missing();
        let missing: BTreeSet<_> = missing
            .into_iter()
            .map(|k| format!("operator.{k}"))
            .collect();
        assert_eq!(warned, missing, "{kind:?}");
        assert!(warned.len() > 2);
        let page = std::fs::read_to_string(bare.path().join("CHECKLIST.md")).unwrap();
        for key in missing {
            let key = key.replace("operator.", "");
            assert!(page.contains(&format!("{key}`")), "{key}");
        }
    }
}

#[test]
fn each_check_fails_where_something_is_broken() {
    let mut seen = BTreeSet::new();
    for (kind, id, damage) in damage::all() {
        let dir = written(kind, WHOLE);
        damage.to(dir.path());
        let failed = ids(dir.path(), Status::Failed);
        assert!(failed.contains(id), "{kind:?} {id} {damage:?}: {failed:?}");
        seen.insert(id);
    }
    for kind in Kind::ALL {
        for id in ids(written(kind, WHOLE).path(), Status::Ok) {
            assert!(seen.contains(id.as_str()), "nothing breaks {id}");
        }
    }
}

#[test]
fn a_live_server_is_compared_by_what_it_lists() {
    let dir = written(Kind::VolcanoArk, WHOLE);
    let compare = |url: &str, tools: &[Value]| {
        let mut looked = check::look(dir.path()).unwrap();
        looked.compare(url, tools);
        let found = looked
            .findings
            .into_iter()
            .filter(|f| f.id.starts_with("tools.live"));
        found.map(|f| (f.id, f.status, f.fix)).collect::<Vec<_>>()
    };
    let same = service::listed_to(HostProfile::VolcanoArk);
    let found = compare("https://mcp.example.com", &same);
    assert_eq!((found.len(), found[0].1), (1, Status::Ok));
    let found = compare("https://other.example.com", &same);
    assert_eq!((found.len(), found[1].1), (2, Status::Warn));
    let found = compare(
        "https://mcp.example.com",
        &service::listed_to(HostProfile::Default),
    );
    assert_eq!(found[0].1, Status::Failed);
    assert!(found[0].2.contains("rail volcano-ark"), "{found:?}");
    let mut reworded = same.clone();
    reworded[3]["description"] = "Pays.".into();
    for tools in [&reworded[..], &same[1..]] {
        let found = compare("https://mcp.example.com", tools);
        assert_eq!(found[0].1, Status::Failed);
        assert!(
            found[0].2.contains("the version that runs there"),
            "{found:?}"
        );
    }
}

#[test]
fn a_language_that_is_missing_is_an_error() {
    let facts = include_str!("../../../templates/listing/facts.toml");
    let checklist = include_str!("../../../templates/listing/checklist.toml");
    assert!(Facts::parse(facts, checklist).is_ok());
    let mut broken = 0;
    for (number, line) in facts.lines().enumerate() {
        if line.starts_with("zh = \"") || line.starts_with("en = \"") {
            let without: Vec<_> = facts
                .lines()
                .enumerate()
                .filter(|(n, _)| *n != number)
                .collect();
            let without: Vec<_> = without.into_iter().map(|(_, l)| l).collect();
            assert!(
                Facts::parse(&without.join("\n"), checklist).is_err(),
                "{line}"
            );
            broken += 1;
        }
    }
    assert!(broken > 15);
    let half = facts.replacen(", zh = \"周末我要去哪儿？\"", "", 1);
    assert!(Facts::parse(&half, checklist).is_err());
    let unused = facts.replacen(
        "[tools.\"agentkeys.cap.mint\"]",
        "[tools.\"agentkeys.other\"]",
        1,
    );
    assert!(Facts::parse(&unused, checklist).is_err());
    for (number, line) in checklist.lines().enumerate() {
        if line.starts_with("zh = ") || line.starts_with("seen = ") || line.starts_with("source = ")
        {
            let lines = checklist.lines().enumerate().filter(|(n, _)| *n != number);
            let without: Vec<_> = lines.map(|(_, l)| l).collect();
            assert!(Facts::parse(facts, &without.join("\n")).is_err(), "{line}");
        }
    }
}

#[test]
fn the_marketplaces_own_sections_stand_in_its_order() {
    let listing = Listing::of(Kind::VolcanoArk, &config(WHOLE));
    let files = listing.files().unwrap();
    let headings = |name: &str| -> Vec<String> {
        let sections = page::sections(files.text(name).unwrap());
        let top = sections.into_iter().filter(|s| s.level == 2);
        top.map(|s| s.heading).collect()
    };
    let zh = headings("README_zh.md");
    let order = [
        "版本信息",
        "产品描述",
        "分类",
        "标签",
        "Tools",
        "可适配平台",
        "服务开通链接 (整体产品)",
        "鉴权方式",
        "安装部署",
        "在不同平台的配置",
    ];
    assert_eq!(zh[..order.len()], order);
    assert_eq!(zh.last().unwrap(), "License");
    assert_eq!(headings("README.md").len(), zh.len());
    let page = page::sections(files.text("README_zh.md").unwrap());
    let tools: Vec<_> = page
        .iter()
        .filter(|s| s.heading.starts_with("Tool "))
        .collect();
    assert_eq!(tools.len(), 10);
    assert_eq!(
        tools.iter().filter(|s| s.heading.contains("预览")).count(),
        3
    );
    assert_eq!(
        page.iter()
            .filter(|s| s.heading == "最容易被唤起的 Prompt示例")
            .count(),
        10
    );
}

#[test]
fn a_page_has_the_entry_of_wire_and_it_can_be_read_out() {
    let listing = Listing::at(Kind::VolcanoArk, "https://mcp.example.com");
    let files = listing.files().unwrap();
    let wanted = Entry::new(
        "https://mcp.example.com/mcp",
        Some("${AGENTKEYS_ACTOR}"),
        None,
    );
    for page in ["README.md", "README_zh.md"] {
        assert_eq!(ark_entry(files.text(page).unwrap()), Some(wanted.to_json()));
    }
    assert_eq!(ark_entry("```json\n{\"type\": \"other\"}\n```\n"), None);
}

#[test]
fn a_name_in_the_registry_is_the_operators_or_that_of_the_host() {
    let name = |file: &str| {
        let listing = Listing::of(Kind::McpRegistry, &config(file));
        let files = listing.files().unwrap();
        let server: Value = serde_json::from_str(files.text("server.json").unwrap()).unwrap();
        let checklist = files.text("CHECKLIST.md").unwrap().to_owned();
        (server, checklist)
    };
    let (server, checklist) = name(WHOLE);
    assert_eq!(server["name"], "io.github.octocat/agentkeys");
    assert!(
        checklist.contains("login github` as octocat"),
        "{checklist}"
    );
    let (server, checklist) = name("[server]\npublic_url = \"https://mcp.example.com/mcp\"\n");
    assert_eq!(server["name"], "com.example.mcp/agentkeys");
    assert_eq!(server["remotes"][0]["url"], "https://mcp.example.com/mcp");
    assert!(server["remotes"][0].get("variables").is_none() && server.get("icons").is_none());
    assert!(
        checklist.contains("login dns --domain mcp.example.com"),
        "{checklist}"
    );
    let (server, _) = name("");
    assert_eq!(server["name"], "io.github.litentry/agentkeys");
    assert_eq!(server["remotes"][0]["url"], "https://{host}/mcp");
    assert_eq!(
        server["remotes"][0]["variables"]["host"]["isRequired"],
        true
    );
    let (server, checklist) = name("[listing]\npublisher = \"com.example.keys\"\n");
    assert_eq!(server["name"], "com.example.keys/agentkeys");
    assert!(
        checklist.contains("login dns --domain keys.example.com"),
        "{checklist}"
    );
}

#[test]
fn a_strangers_folder_is_left_alone_and_ours_is_written_again() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("README.md"), "mine\n").unwrap();
    let files = || Listing::of(Kind::McpSo, &config(WHOLE)).files().unwrap();
    let refused = Folder::read(dir.path(), files()).unwrap_err();
    assert_eq!(Problem::from(refused).code, "agentkeys.wire.not_ours");

    let dir = written(Kind::McpSo, WHOLE);
    let again = Folder::read(dir.path(), files()).unwrap();
    assert_eq!(
        (again.diff(), again.write().unwrap().changed),
        (String::new(), vec![])
    );
    edit(dir.path(), "README.md", "AgentKeys", "Keys");
    std::fs::write(dir.path().join("images/icon-400.png"), "x").unwrap();
    let third = Folder::read(dir.path(), files()).unwrap();
    assert!(
        third.diff().contains("+# AgentKeys MCP Server"),
        "{}",
        third.diff()
    );
    let done = third.write().unwrap();
    assert_eq!(done.changed.len(), 2);
    assert_eq!(
        done.backups,
        [dir.path().join("README.md.before-agentkeys")]
    );
}

#[test]
fn pictures_have_the_size_their_header_says() {
    let of = |name: &str| images::IMAGES.iter().find(|(n, _)| *n == name).unwrap().1;
    assert_eq!(png_size(of("images/icon-400.png")), Some((400, 400)));
    assert_eq!(png_size(of("images/icon.svg")), None);
    assert_eq!(png_size(b"\x89PNG\r\n\x1a\n"), None);
}
