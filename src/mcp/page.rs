//! `docs/tools.md`, written from the tools themselves.

use super::tools::{TOOLS, Tool};
use std::fmt::Write as _;

/// The page, as it must stand in the repository.
pub fn render() -> String {
    let mut page = String::from(
        "# Tools\n\nGenerated from the live schemas by `AGENTKEYS_BLESS=1 cargo test --lib the_page_is_fresh`; a test fails when it is stale.\n\n\
         Every tool also takes `actor`, which hosts leave out: the connection says who the actor is. Names are accepted\n\
         with dots and with underscores. What each answers: `contract.md`; how each host sees it: `hosts.md`.\n",
    );
    for tool in TOOLS {
        section(&mut page, tool);
    }
    page
}

fn section(page: &mut String, tool: &Tool) {
    let preview = if tool.preview { " (preview)" } else { "" };
    // Writing to a string cannot fail.
    let _ = write!(page, "\n## `{}`{preview}\n\n{}\n", tool.name, tool.about);
    if !tool.fields.is_empty() {
        page.push_str("\n| argument | required | |\n|---|---|---|\n");
        for field in tool.fields {
            let required = if field.required { "yes" } else { "no" };
            let _ = writeln!(page, "| `{}` | {required} | {} |", field.name, field.about);
        }
    }
    let schema = serde_json::to_string_pretty(&tool.schema()).unwrap_or_default();
    let _ = write!(page, "\n```json\n{schema}\n```\n");
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    #[test]
    fn the_page_is_fresh() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/tools.md");
        let page = super::render();
        if std::env::var_os("AGENTKEYS_BLESS").is_some() {
            std::fs::write(path, &page).unwrap();
        }
        let kept = std::fs::read_to_string(path).unwrap();
        assert!(
            kept == page,
            "docs/tools.md is stale: AGENTKEYS_BLESS=1 cargo test --lib the_page_is_fresh"
        );
    }
}
