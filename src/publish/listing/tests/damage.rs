//! Each way to break a listing, and the finding that has to tell of it.

use std::path::Path;

use serde_json::Value;

use super::super::Kind;
use super::super::Kind::{McpRegistry, McpSo, VolcanoArk};
use Damage::{Added, Behind, Copied, Gone, Heavy, Linked, Long, Replaced, Set, Text};

/// What somebody did to a file of a listing.
#[derive(Debug)]
pub(super) enum Damage {
    /// Removed it.
    Gone(&'static str),
    /// Wrote something else into it, or wrote one that was not there.
    Text(&'static str, String),
    /// Replaced a piece of its text.
    Replaced(&'static str, &'static str, &'static str),
    /// Set a value in its JSON.
    Set(&'static str, &'static str, &'static str),
    /// Set a text of so many characters in its JSON.
    Long(&'static str, &'static str, usize),
    /// Copied another file over it.
    Copied(&'static str, &'static str),
    /// Made it heavy.
    Heavy(&'static str),
    /// Put something behind its end.
    Behind(&'static str, &'static [u8]),
    /// Added a member to an object in its JSON.
    Added(&'static str, &'static str, &'static str, &'static str),
    /// Put a link there.
    Linked(&'static str, &'static str),
}

impl Damage {
    #[track_caller]
    pub(super) fn to(&self, dir: &Path) {
        let set = |name: &str, pointer: &str, value: Value| {
            let path = dir.join(name);
            let mut json: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
            *json.pointer_mut(pointer).unwrap() = value;
            std::fs::write(path, json.to_string()).unwrap();
        };
        match self {
            Gone(name) => std::fs::remove_file(dir.join(name)).unwrap(),
            Text(name, text) => {
                std::fs::create_dir_all(dir.join(name).parent().unwrap()).unwrap();
                std::fs::write(dir.join(name), text).unwrap();
            }
            Replaced(name, from, to) => super::edit(dir, name, from, to),
            Set(name, pointer, value) => set(name, pointer, serde_json::from_str(value).unwrap()),
            Long(name, pointer, count) => {
                set(name, pointer, "AgentKeys ".repeat(*count)[..*count].into());
            }
            Copied(from, to) => {
                std::fs::copy(dir.join(from), dir.join(to)).unwrap();
            }
            Behind(name, more) => {
                let mut bytes = std::fs::read(dir.join(name)).unwrap();
                bytes.extend(*more);
                std::fs::write(dir.join(name), bytes).unwrap();
            }
            Added(name, pointer, key, value) => {
                let path = dir.join(name);
                let text = std::fs::read(&path).unwrap();
                let mut json: Value = serde_json::from_slice(&text).unwrap();
                json.pointer_mut(pointer).unwrap()[*key] = serde_json::from_str(value).unwrap();
                // Laid out as it was, so that only this differs.
                let text = serde_json::to_string_pretty(&json).unwrap() + "\n";
                std::fs::write(path, text).unwrap();
            }
            Linked(name, to) => {
                let _ = std::fs::remove_file(dir.join(name));
                std::os::unix::fs::symlink(to, dir.join(name)).unwrap();
            }
            Heavy(name) => {
                let mut bytes = std::fs::read(dir.join(name)).unwrap();
                bytes.resize(300 * 1024, 0);
                std::fs::write(dir.join(name), bytes).unwrap();
            }
        }
    }
}

const LISTING: &str = "listing.json";
const SERVER: &str = "server.json";
const EN: &str = "README.md";
const ZH: &str = "README_zh.md";

/// A file that somebody left in the folder.
fn left(text: &str) -> Damage {
    Text("notes.txt", format!("see {text} there"))
}

pub(super) fn all() -> Vec<(Kind, &'static str, Damage)> {
    let mut all = folder();
    all.extend(pictures_and_secrets());
    all.extend(pages());
    all.extend(reworded());
    all.extend(registry());
    all.extend(machines());
    all.extend(others());
    all
}

fn folder() -> Vec<(Kind, &'static str, Damage)> {
    vec![
        (VolcanoArk, "listing", Gone(LISTING)),
        (
            VolcanoArk,
            "listing",
            Set(LISTING, "/listing", "\"elsewhere\""),
        ),
        (VolcanoArk, "files", Gone(ZH)),
        (McpSo, "files", Gone("images/icon.svg")),
        (McpSo, "files", Copied("images/icon-400.png", "mcp.json")),
        (McpRegistry, "files", Gone(SERVER)),
        (
            VolcanoArk,
            "url",
            Set(LISTING, "/url", "\"https://127.0.0.1/mcp\""),
        ),
        (
            VolcanoArk,
            "url",
            Set(LISTING, "/url", "\"http://mcp.example.com/mcp\""),
        ),
        (VolcanoArk, "url", Set(LISTING, "/url", "\"nowhere\"")),
        (VolcanoArk, "name", Replaced(ZH, "# AgentKeys MCP", "# MCP")),
        (
            VolcanoArk,
            "name",
            Set(LISTING, "/short/zh", "\"授权中心\""),
        ),
        (VolcanoArk, "name", Set(LISTING, "/tags/en/0", "\"keys\"")),
        (VolcanoArk, "name", Set(LISTING, "/name", "\"\"")),
        (VolcanoArk, "lengths", Long(LISTING, "/short/en", 101)),
        (VolcanoArk, "lengths", Set(LISTING, "/long/zh", "\"短\"")),
        (
            VolcanoArk,
            "lengths",
            Set(LISTING, "/tags/zh", "[\"AgentKeys\"]"),
        ),
        (VolcanoArk, "lengths", Long(LISTING, "/tags/zh/1", 25)),
        (
            VolcanoArk,
            "category",
            Set(LISTING, "/category/zh", "\"玩具\""),
        ),
        (McpSo, "category", Set(LISTING, "/category/en", "\"\"")),
        (
            VolcanoArk,
            "tools.hash",
            Set("tools.json", "/0/description", "\"x\""),
        ),
        (VolcanoArk, "tools.hash", Text("tools.json", "[".to_owned())),
        (
            McpRegistry,
            "tools.program",
            Set(LISTING, "/tools/sha256", "\"00\""),
        ),
    ]
}

fn pictures_and_secrets() -> Vec<(Kind, &'static str, Damage)> {
    vec![
        (
            VolcanoArk,
            "images",
            Text("images/icon-400.png", "no picture".to_owned()),
        ),
        (
            VolcanoArk,
            "images",
            Copied("images/icon-1024.png", "images/icon-400.png"),
        ),
        (
            VolcanoArk,
            "images",
            Copied("images/icon-400.png", "images/cross-rail.png"),
        ),
        (VolcanoArk, "images", Heavy("images/icon-400.png")),
        (
            VolcanoArk,
            "images",
            Replaced(EN, "images/cross-rail.png", "images/other.png"),
        ),
        (VolcanoArk, "secrets", left("akv_0123456789abcdef_")),
        (McpSo, "secrets", left(&"0a".repeat(44))),
        (
            McpSo,
            "secrets",
            Text("old/notes/mail.txt", "akv_0123456789abcdef_".to_owned()),
        ),
        (McpSo, "listing", Text("a/b/c/d/e/f.txt", "deep".to_owned())),
        (
            McpRegistry,
            "secrets",
            left("eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiIweDEifQ.c2lnbmF0dXJlIQ"),
        ),
        (
            VolcanoArk,
            "secrets",
            left("-----BEGIN EC PRIVATE KEY-----"),
        ),
        (VolcanoArk, "secrets", left("AGE-SECRET-KEY-1QQ")),
        (
            VolcanoArk,
            "secrets",
            Replaced(
                EN,
                "Bearer ${AGENTKEYS_TOKEN}",
                "Bearer sk-0123456789abcdef0123",
            ),
        ),
    ]
}

fn pages() -> Vec<(Kind, &'static str, Damage)> {
    let (asked, in_chinese) = ("Where am I going this weekend?", "周末我要去哪儿？");
    vec![
        (
            VolcanoArk,
            "pages",
            Replaced(EN, "AgentKeys decides", "It decides"),
        ),
        (
            VolcanoArk,
            "pages",
            Replaced(ZH, "https://example.com/terms", "另行提供"),
        ),
        (
            McpSo,
            "pages",
            Replaced(EN, "https://example.com/privacy", "on request"),
        ),
        (VolcanoArk, "languages", Replaced(ZH, "## 支持", "支持")),
        (VolcanoArk, "languages", Replaced(ZH, in_chinese, asked)),
        (VolcanoArk, "languages", Replaced(ZH, in_chinese, "")),
        (VolcanoArk, "languages", Replaced(EN, asked, in_chinese)),
        (
            VolcanoArk,
            "tools.pages",
            Replaced(
                EN,
                "\"name\": \"agentkeys_memory_get\"",
                "\"name\": \"memory_get\"",
            ),
        ),
        (
            VolcanoArk,
            "tools.pages",
            Replaced(ZH, "approval_request（预览）", "approval_request"),
        ),
        (
            VolcanoArk,
            "tools.pages",
            Replaced(EN, "\"inputSchema\": {", "\"inputSchema\": {,"),
        ),
        (
            McpSo,
            "tools.pages",
            Replaced(EN, "(`agentkeys.cap.mint`)", ""),
        ),
        (
            McpSo,
            "tools.pages",
            Replaced(
                ZH,
                "`agentkeys.delegation.grant`（预览）",
                "`agentkeys.delegation.grant`",
            ),
        ),
        (
            VolcanoArk,
            "entry",
            Replaced(
                EN,
                "\"require_approval\": \"never\"",
                "\"require_approval\": \"always\"",
            ),
        ),
        (
            VolcanoArk,
            "entry",
            Set("ark-tool.json", "/server_label", "\"keys\""),
        ),
        (VolcanoArk, "entry", Text("ark-tool.json", "{".to_owned())),
        (
            VolcanoArk,
            "checklist",
            Replaced("CHECKLIST.md", "| 2025-06-26 |", "| |"),
        ),
        (
            McpSo,
            "checklist",
            Replaced("CHECKLIST_zh.md", "](https://mcp.so/submit)", "](mcp.so)"),
        ),
        (
            McpRegistry,
            "checklist",
            Replaced("CHECKLIST_zh.md", "\n| 2 |", "\n"),
        ),
        (
            VolcanoArk,
            "placeholders",
            Replaced(EN, "Ark keeps", "TODO: Ark keeps"),
        ),
        (
            VolcanoArk,
            "placeholders",
            Replaced(ZH, "方舟不保存", "{{ host }}方舟不保存"),
        ),
        (
            McpRegistry,
            "placeholders",
            Set(SERVER, "/title", "\"AgentKeys at your-domain\""),
        ),
    ]
}

/// What somebody wrote where the marketplace or the program has its own words.
fn reworded() -> Vec<(Kind, &'static str, Damage)> {
    vec![
        (
            VolcanoArk,
            "languages",
            Replaced(ZH, "## 版本信息", "## Something else"),
        ),
        (
            McpSo,
            "languages",
            Replaced(EN, "\n## ", "\n## More\n\nmore\n\n## "),
        ),
        (
            McpSo,
            "tools.pages",
            Replaced(ZH, "帮我点 600 元的火锅", "帮我点火锅"),
        ),
    ]
}

fn registry() -> Vec<(Kind, &'static str, Damage)> {
    const META: &str = "/_meta/io.modelcontextprotocol.registry~1publisher-provided";
    let damages = vec![
        Set(SERVER, "/$schema", "\"https://example.com\""),
        Set(SERVER, "/name", "\"agentkeys\""),
        Set(SERVER, "/name", "\"io.github.octocat/other\""),
        Long(SERVER, "/description", 101),
        Set(SERVER, "/description", "\"Keys\""),
        Set(SERVER, "/title", "\"Keys\""),
        Set(SERVER, "/version", "\"latest\""),
        Set(SERVER, "/version", "\"^1.2\""),
        Set(SERVER, "/repository/url", "\"github\""),
        Set(SERVER, "/websiteUrl", "\"http://example.com\""),
        Set(SERVER, "/icons/0/src", "\"http://example.com/i.png\""),
        Set(SERVER, "/remotes", "[]"),
        Set(SERVER, "/remotes/0/type", "\"sse\""),
        Set(
            SERVER,
            "/remotes/0/url",
            "\"https://other.example.com/mcp\"",
        ),
        Set(SERVER, "/remotes/0/url", "\"http://mcp.example.com/mcp\""),
        Set(SERVER, "/remotes/0/headers/0/variables", "{}"),
        Set(
            SERVER,
            "/remotes/0/headers/0/variables/token/isSecret",
            "false",
        ),
        Set(SERVER, "/remotes/0/headers/1/name", "\"\""),
        Long(SERVER, META, 5000),
        Text(SERVER, "{".to_owned()),
    ];
    damages
        .into_iter()
        .map(|damage| (McpRegistry, "server_json", damage))
        .collect()
}

fn machines() -> Vec<(Kind, &'static str, Damage)> {
    const EVIL: &str = "\"https://evil.example/mcp\"";
    const META: &str = "/_meta/io.modelcontextprotocol.registry~1publisher-provided/tools_sha256";
    let damages = vec![
        (
            VolcanoArk,
            Set("mcp.json", "/mcpServers/agentkeys/url", EVIL),
        ),
        (McpSo, Set("mcp.json", "/mcpServers/agentkeys/url", EVIL)),
        (McpSo, Set("submission.json", "/hosted_url", EVIL)),
        (
            McpSo,
            Set(
                "submission.json",
                "/server_config/mcpServers/agentkeys/url",
                EVIL,
            ),
        ),
        (
            McpRegistry,
            Added(
                SERVER,
                "",
                "packages",
                "[{\"registryType\": \"npm\", \"identifier\": \"evil\"}]",
            ),
        ),
        (
            McpRegistry,
            Set(SERVER, "/name", "\"io.github.evil/agentkeys\""),
        ),
        (
            McpRegistry,
            Set(
                SERVER,
                "/repository/url",
                "\"https://github.com/evil/agentKeys\"",
            ),
        ),
        (McpRegistry, Set(SERVER, META, "\"00\"")),
        (
            McpRegistry,
            Added(
                SERVER,
                "/remotes/0/headers/0/variables/token",
                "default",
                "\"hunter2hunter2\"",
            ),
        ),
        // The last of two is what we read, and the first what somebody else does.
        (
            VolcanoArk,
            Replaced(
                "mcp.json",
                "\"url\":",
                "\"url\": \"https://evil.example/mcp\", \"url\":",
            ),
        ),
        (
            VolcanoArk,
            Replaced(
                ZH,
                "\"server_url\":",
                "\"server_url\": \"https://evil.example/mcp\", \"server_url\":",
            ),
        ),
        (
            McpSo,
            Replaced(EN, "\"url\": \"https://mcp.", "\"url\": \"https://evil."),
        ),
        (McpSo, Added(LISTING, "", "note", "\"more\"")),
        (
            McpSo,
            Set(LISTING, "/operator/company", "\"<script>evil</script>\""),
        ),
        (McpSo, Set(LISTING, "/short", "\"AgentKeys\"")),
        (
            McpSo,
            Set(LISTING, "/url", "\"https://mcp.example.com/{{7*7}}/mcp\""),
        ),
    ];
    let named = damages.into_iter();
    named
        .map(|(kind, damage)| (kind, "generated", damage))
        .collect()
}

fn others() -> Vec<(Kind, &'static str, Damage)> {
    vec![
        (McpSo, "others", Linked("notes.txt", "/etc/passwd")),
        (McpSo, "others", Linked("more", "/etc")),
        (VolcanoArk, "others", Linked(ZH, "/etc/passwd")),
        (
            McpSo,
            "others",
            Text("all.tar.gz", "\u{1f}\u{0}archive".to_owned()),
        ),
        (
            McpSo,
            "others",
            Text("README.md.before-agentkeys", "PK\u{3}\u{0}".to_owned()),
        ),
        (McpSo, "others", Copied("images/icon-400.png", "icon.png")),
        (
            McpSo,
            "secrets",
            Text("AKV_0123456789ABCDEF_0.txt", String::new()),
        ),
        (
            McpSo,
            "html",
            Replaced(
                EN,
                "AgentKeys decides",
                "<script>x()</script> AgentKeys decides",
            ),
        ),
        (
            VolcanoArk,
            "images",
            Replaced("images/icon.svg", "</svg>", "<script>x()</script></svg>"),
        ),
        (
            VolcanoArk,
            "images",
            Behind("images/icon-400.png", b"PK\x03\x04"),
        ),
        (
            VolcanoArk,
            "images",
            Text(
                "images/icon-400.png",
                "\u{89}PNG\r\n\u{1a}\n\0\0\0\rIHDR\0\0\u{1}\u{90}\0\0\u{1}\u{90}junk".to_owned(),
            ),
        ),
        (McpSo, "images", Copied("mcp.json", "images/own.png")),
    ]
}
