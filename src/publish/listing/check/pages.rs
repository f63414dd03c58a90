//! Pages: what they say, in which language, and what was forgotten in them.

use serde_json::Value;

use super::super::facts::{Facts, is_chinese};
use super::super::page::{debugging, json_blocks, sections};
use super::super::{Lang, MANIFEST};
use super::{Read, generated};
use crate::mcp::tools;

/// What `listing.json` says has to be on the pages.
pub(super) fn words(read: &Read) -> Vec<String> {
    let mut complaints = Vec::new();
    for lang in Lang::BOTH {
        let page = lang.file("README");
        let text = read.text(&page);
        let mut wanted = vec![
            ("short description", read.word("short", lang)),
            ("long description", read.word("long", lang)),
            ("category", read.word("category", lang)),
            ("address", read.told("/url")),
            ("licence", read.told("/license")),
        ];
        wanted.extend(read.tags(lang).into_iter().map(|tag| ("tag", tag)));
        for key in ["company", "support", "privacy_url", "terms_url"] {
            wanted.push((key, read.told(&format!("/operator/{key}"))));
        }
        for (what, words) in wanted {
            if !text.contains(words) {
                complaints.push(format!("{page} does not have the {what} of {MANIFEST}"));
            }
        }
    }
    complaints
}

/// Prose of at least so many letters in English has to be Chinese in the other page.
const PROSE: usize = 20;

/// Both pages have the marketplace's sections in its order, each in its language.
pub(super) fn languages(read: &Read) -> Vec<String> {
    let complaints = headings(read);
    if !complaints.is_empty() {
        return complaints;
    }
    proses(read)
}

/// The headings of the marketplace, as the program writes them.
fn headings(read: &Read) -> Vec<String> {
    // What cannot be written is told of by `generated`.
    let Ok(files) = generated::files(read) else {
        return Vec::new();
    };
    let mut complaints = Vec::new();
    for page in Lang::BOTH.map(|lang| lang.file("README")) {
        let heads = |text: &str| -> Vec<(usize, String)> {
            let all = sections(text).into_iter();
            all.map(|s| (s.level, s.heading)).collect()
        };
        let there = heads(read.text(&page));
        let wanted = heads(files.text(&page).unwrap_or_default());
        let differs = wanted.iter().zip(&there).find(|(w, t)| w != t);
        let more = there.get(wanted.len()).map(|(_, extra)| extra);
        match (differs, wanted.get(there.len()), more) {
            (Some(((_, wanted), (_, there))), ..) => complaints.push(format!(
                "{page} has the section {there:?} where {wanted:?} belongs"
            )),
            (None, Some((_, missing)), _) => {
                complaints.push(format!("{page} lacks the section {missing:?}"));
            }
            (None, None, Some(extra)) => complaints.push(format!(
                "{page} has the section {extra:?}, which does not belong there"
            )),
            (None, None, None) => {}
        }
    }
    complaints
}

/// What is said in both pages' sections.
fn proses(read: &Read) -> Vec<String> {
    let [en, zh] = Lang::BOTH.map(|lang| sections(read.text(&lang.file("README"))));
    let levels = |page: &[super::super::page::Section]| -> Vec<usize> {
        page.iter().map(|s| s.level).collect()
    };
    if en.is_empty() || levels(&en) != levels(&zh) {
        let cause = format!(
            "README.md has {} sections and README_zh.md {}, or in another order",
            en.len(),
            zh.len()
        );
        return vec![cause];
    }
    let company = read.told("/operator/company");
    let mut complaints = Vec::new();
    for (en, zh) in en.iter().zip(&zh) {
        let heading = &en.heading;
        let (en, zh) = (en.prose.trim(), zh.prose.trim());
        if en.is_empty() != zh.is_empty() {
            complaints.push(format!("the section {heading:?} is empty in one language"));
            continue;
        }
        let foreign = en.chars().any(is_chinese);
        let operators =
            !company.is_empty() && en.contains(company) && company.chars().any(is_chinese);
        if foreign && !operators {
            complaints.push(format!(
                "the section {heading:?} of README.md is not in English"
            ));
        }
        let letters = en.chars().filter(|c| c.is_alphabetic()).count();
        // A link alone is the same in every language.
        let link = !en.contains(' ') && en == zh;
        if letters >= PROSE && !link && !zh.chars().any(is_chinese) {
            complaints.push(format!(
                "the section of README_zh.md for {heading:?} is not in Chinese"
            ));
        }
    }
    complaints
}

/// Every tool stands on both pages: by name, as preview if it is one, with what is listed of it and a
/// sentence that calls it.
pub(super) fn tools(read: &Read) -> Vec<String> {
    let mut complaints = Vec::new();
    let facts = Facts::read().ok();
    for lang in Lang::BOTH {
        let page = lang.file("README");
        let text = read.text(&page);
        let blocks: Vec<_> = json_blocks(text);
        for error in blocks.iter().filter_map(|b| b.as_ref().err()) {
            complaints.push(format!("{page} has JSON that cannot be read: {error}"));
        }
        let blocks: Vec<&Value> = blocks.iter().filter_map(|b| b.as_ref().ok()).collect();
        let lines: Vec<&str> = text.lines().collect();
        for tool in &read.tools {
            let name = tool["name"].as_str().unwrap_or_default();
            let full = debugging(tool);
            // mcp.so has a line for each tool, without its schema.
            let schemas = blocks.iter().any(|b| b.get("inputSchema").is_some());
            let shown = if schemas {
                blocks.contains(&&full)
            } else {
                text.contains(&format!("`{name}`"))
            };
            if !shown {
                complaints.push(format!("{page} does not show {name} as it is listed"));
            }
            let calls = |facts: &Facts| {
                let usage = facts.usage(tools::find(name)?).ok()?;
                Some(text.contains(usage.prompt.get(lang).as_str()))
            };
            if facts.as_ref().and_then(calls) == Some(false) {
                complaints.push(format!(
                    "{page} does not have the sentence that makes a model call {name}"
                ));
            }
            let preview = tools::find(name).is_some_and(|t| t.preview);
            let word = match lang {
                Lang::En => "preview)",
                Lang::Zh => "预览）",
            };
            let named = |l: &&&str| l.contains(name) && (l.starts_with('#') || l.starts_with("- "));
            let marked = lines.iter().find(named).is_some_and(|l| l.contains(word));
            if preview && !marked {
                complaints.push(format!("{page} does not say that {name} is a preview"));
            }
        }
    }
    complaints
}

/// Markdown takes HTML as it is, and some marketplace may show it so.
pub(super) fn html(read: &Read) -> Vec<String> {
    let mut complaints = Vec::new();
    for page in Lang::BOTH.map(|lang| lang.file("README")) {
        for (number, line) in (1..).zip(read.text(&page).lines()) {
            let tag = |rest: &str| {
                let address = ["https://", "http://", "mailto:"];
                let named =
                    rest.starts_with(|c: char| c.is_ascii_alphabetic() || "/!?".contains(c));
                named && !address.iter().any(|a| rest.starts_with(a))
            };
            if line.split('<').skip(1).any(tag) {
                complaints.push(format!("line {number} of {page} has HTML in it"));
            }
        }
    }
    complaints
}

/// Each line of a checklist has its number, what to do, link, source and date, in both languages.
pub(super) fn checklists(read: &Read) -> Vec<String> {
    let mut complaints = Vec::new();
    let mut counts = Vec::new();
    for lang in Lang::BOTH {
        let page = lang.file("CHECKLIST");
        let rows = read.text(&page).lines().filter(|l| l.starts_with("| "));
        // The first is the table's head.
        let rows: Vec<&str> = rows.skip(1).collect();
        for row in &rows {
            let cells: Vec<&str> = row.trim_matches('|').split(" | ").map(str::trim).collect();
            let linked = |cell: &str| cell.starts_with('[') && cell.contains("](https://");
            let whole = cells.len() == 4
                && cells.iter().all(|cell| !cell.is_empty())
                && linked(cells[2])
                && dated(cells[3]);
            if !whole {
                let number = cells.first().copied().unwrap_or_default();
                complaints.push(format!(
                    "line {number} of {page} lacks its link, source or date"
                ));
            }
        }
        counts.push(rows.len());
    }
    if counts[0] == 0 || counts[0] != counts[1] {
        complaints.push("the checklists have not the same lines in both languages".to_owned());
    }
    complaints
}

/// `2026-11` or `2026-11-21`.
fn dated(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let digits = |part: &&str| part.bytes().all(|b| b.is_ascii_digit());
    let lengths: Vec<usize> = parts.iter().map(|p| p.len()).collect();
    parts.iter().all(digits) && (lengths == [4, 2] || lengths == [4, 2, 2])
}

/// Words that somebody meant to replace.
const WORDS: [&str; 6] = ["todo", "fixme", "tbd", "xxx", "changeme", "placeholder"];
const PIECES: [&str; 9] = [
    "{{",
    "{%",
    "<your",
    "your-domain",
    "your_",
    "lorem ipsum",
    "待填",
    "待补充",
    "占位",
];

/// What somebody meant to replace and did not.
pub(super) fn placeholders(read: &Read) -> Vec<String> {
    let mut complaints = Vec::new();
    let ours = |name: &&String| {
        let path = std::path::Path::new(name.as_str());
        path.extension().is_some_and(|e| e == "md" || e == "json")
    };
    for name in read.bytes.keys().filter(ours) {
        let text = read.text(name).to_lowercase();
        let mut words = text.split(|c: char| !c.is_alphanumeric());
        let word = words.find(|word| WORDS.contains(word));
        let piece = PIECES.into_iter().find(|piece| text.contains(piece));
        if let Some(left) = word.or(piece) {
            complaints.push(format!("{name} has {left:?} in it"));
        }
    }
    complaints
}
