//! Every listing as it is written passes its check, and each check is seen to fail.
#![allow(clippy::unwrap_used)]

mod damage;

use std::collections::BTreeSet;
use std::path::Path;

use super::facts::Facts;
use super::*;
use crate::acceptance::outside::Status;
use crate::config::{FILE, Flags};

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
fn a_checklist_names_its_sources_in_its_own_language() {
    let listing = Listing::of(Kind::VolcanoArk, &config(WHOLE));
    let files = listing.files().unwrap();
    let [en, zh] = ["CHECKLIST.md", "CHECKLIST_zh.md"].map(|name| files.text(name).unwrap());
    let maintainer = ["answer of a maintainer", "维护者的回复"];
    assert_eq!(maintainer.map(|words| en.contains(words)), [true, false]);
    assert_eq!(maintainer.map(|words| zh.contains(words)), [false, true]);
    assert!(!en.contains("own brief"), "nobody else has read it");
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
    let (mut seen, mut missed) = (BTreeSet::new(), Vec::new());
    for (kind, id, damage) in damage::all() {
        let dir = written(kind, WHOLE);
        damage.to(dir.path());
        let failed = ids(dir.path(), Status::Failed);
        if !failed.contains(id) {
            missed.push(format!("{kind:?} {id} {damage:?}: {failed:?}"));
        }
        seen.insert(id);
    }
    assert!(missed.is_empty(), "{missed:#?}");
    for kind in Kind::ALL {
        for id in ids(written(kind, WHOLE).path(), Status::Ok) {
            assert!(seen.contains(id.as_str()), "nothing breaks {id}");
        }
    }
}

#[test]
fn prose_and_screenshots_of_their_own_are_let_through_and_other_texts_are_told_of() {
    let dir = written(Kind::VolcanoArk, WHOLE);
    let path = dir.path();
    edit(
        path,
        "README.md",
        "AgentKeys decides",
        "Here: AgentKeys decides",
    );
    std::fs::copy(
        path.join("images/icon-1024.png"),
        path.join("images/cross-rail.png"),
    )
    .unwrap();
    std::fs::copy(
        path.join("images/icon-128.png"),
        path.join("images/own.png"),
    )
    .unwrap();
    std::fs::write(path.join("README.md.before-agentkeys"), "as it was").unwrap();
    assert_eq!(ids(path, Status::Failed), BTreeSet::new());
    assert_eq!(ids(path, Status::Warn), BTreeSet::new());
    std::fs::write(path.join("LICENSE"), "as you like").unwrap();
    assert_eq!(ids(path, Status::Failed), BTreeSet::new());
    assert_eq!(
        ids(path, Status::Warn),
        BTreeSet::from(["others".to_owned()])
    );
}

#[test]
fn no_more_is_held_than_a_listing_has() {
    let dir = written(Kind::McpSo, WHOLE);
    for number in 0..9 {
        let file = std::fs::File::create(dir.path().join(format!("{number}.txt"))).unwrap();
        file.set_len(2 * 1024 * 1024).unwrap();
    }
    let found = check::look(dir.path()).unwrap().findings;
    assert_eq!((found.len(), found[0].status), (1, Status::Failed));
    assert!(found[0].cause.contains("more than a listing"), "{found:?}");
}

#[test]
fn nothing_is_written_through_a_link_and_nobody_waits_at_a_pipe() {
    let files = || Listing::of(Kind::McpSo, &config(WHOLE)).files().unwrap();
    let refused = |dir: &Path| {
        let done = Folder::read(dir, files()).and_then(|folder| folder.write());
        done.map_err(|problem| problem.code).unwrap_err()
    };
    let link = |to: &str, at: &Path| {
        let _ = std::fs::remove_file(at);
        std::os::unix::fs::symlink(to, at).unwrap();
    };
    let pipe = |at: &Path| {
        let _ = std::fs::remove_file(at);
        let made = std::process::Command::new("mkfifo").arg(at).status();
        assert!(made.unwrap().success());
    };
    let theirs = tempfile::tempdir().unwrap();
    let elsewhere = theirs.path().to_str().unwrap();
    std::fs::write(theirs.path().join("precious"), "mine").unwrap();
    let precious = format!("{elsewhere}/precious");

    let dir = written(Kind::McpSo, WHOLE);
    link(&precious, &dir.path().join("README.md"));
    assert_eq!(refused(dir.path()), "agentkeys.listing.unreadable");
    let dir = written(Kind::McpSo, WHOLE);
    link(&precious, &dir.path().join("images/icon.svg"));
    assert_eq!(refused(dir.path()), "agentkeys.listing.unwritable");
    let dir = written(Kind::McpSo, WHOLE);
    std::fs::remove_dir_all(dir.path().join("images")).unwrap();
    link(elsewhere, &dir.path().join("images"));
    assert_eq!(refused(dir.path()), "agentkeys.listing.not_a_folder");
    assert_eq!(std::fs::read(&precious).unwrap(), b"mine");
    assert_eq!(std::fs::read_dir(theirs.path()).unwrap().count(), 1);

    let dir = written(Kind::McpSo, WHOLE);
    pipe(&dir.path().join("images/icon.svg"));
    assert_eq!(refused(dir.path()), "agentkeys.listing.unwritable");
    assert!(ids(dir.path(), Status::Failed).contains("others"));
    pipe(&dir.path().join("listing.json"));
    assert_eq!(refused(dir.path()), "agentkeys.listing.not_ours");
    let refused = refused(&dir.path().join("README.md"));
    assert_eq!(refused, "agentkeys.listing.not_a_folder");
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
    let half = checklist.replacen("，维护者的回复\" }", "\" }", 1);
    let half = half.replacen(", zh = \"volcengine/mcp-server issue 103\"", "", 1);
    assert!(
        Facts::parse(facts, &half).is_err(),
        "a source in English only"
    );
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
    assert_eq!(refused.code, "agentkeys.listing.not_ours");

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
