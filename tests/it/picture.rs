//! The README's picture is rendered from a run of the demo (`tests/picture.py`); this fails when
//! the demo says something else by now.

use super::support::{command, text};
use std::path::Path;

/// What a line says, without what differs from run to run: times, durations, ids, hashes, places
/// in the log, and how wide the columns came to be.
fn said(line: &str) -> Vec<String> {
    let mut words: Vec<&str> = line.split_whitespace().collect();
    // `503 ms`, and nothing for what took none.
    let lasted = |w: &[&str]| differs(w[0]) && w[1].trim_end_matches(':') == "ms";
    while let Some(at) = words.windows(2).position(lasted) {
        words.drain(at..at + 2);
    }
    let word = |w: &&str| if differs(w) { "#" } else { w }.to_owned();
    words.iter().map(word).collect()
}

fn differs(word: &str) -> bool {
    let word = word.trim_end_matches('…');
    let all = |word: &str, of: fn(char) -> bool| !word.is_empty() && word.chars().all(of);
    let hex = |word| all(word, |c| c.is_ascii_hexdigit());
    let number = all(word, |c| c.is_ascii_digit() || c == ':' || c == '.');
    number || word.strip_prefix("0x").is_some_and(hex) || (word.len() >= 12 && hex(word))
}

/// The text of a line of the picture; nothing for what is not one.
fn shown(line: &str) -> Option<String> {
    let line = line.strip_prefix("<text ")?;
    let mut plain = String::new();
    for piece in line.split_inclusive('>') {
        plain.push_str(piece.split('<').next().unwrap_or_default());
    }
    // The first piece ends the tag itself.
    let plain = plain.split_once('>')?.1;
    let entities = [
        ("&#160;", " "),
        ("&#x27;", "'"),
        ("&quot;", "\""),
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&amp;", "&"),
    ];
    let plain = entities
        .iter()
        .fold(plain.to_owned(), |text, (name, c)| text.replace(name, c));
    Some(plain)
}

#[test]
fn the_picture_shows_what_the_demo_says() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let picture = std::fs::read_to_string(root.join("docs/demo.svg")).unwrap();
    let picture: Vec<_> = picture.lines().filter_map(shown).collect();
    let temp = tempfile::tempdir().unwrap();
    let mut demo = command(&temp.path().join("none"));
    let run = demo.args(["demo", "cross-rail"]).output().unwrap();
    assert!(run.status.success(), "{}", text(&run.stderr));
    let said_now = text(&run.stdout);
    let now = std::iter::once("$ agentkeys demo cross-rail").chain(said_now.trim_end().lines());
    let now: Vec<_> = now.map(said).collect();
    let then: Vec<_> = picture.iter().map(|line| said(line)).collect();
    // Steps, facts, the table of rows and the verdict; an empty picture is none.
    assert!(now.len() > 25, "{said_now}");
    for (then, now) in then.iter().zip(&now) {
        assert_eq!(
            then, now,
            "render it again: python3 tests/picture.py target/release/agentkeys"
        );
    }
    assert_eq!(then.len(), now.len());
}

#[test]
fn only_what_differs_from_run_to_run_is_left_out() {
    let plain = shown(
        "<text x=\"18\" y=\"70\"><tspan fill=\"#98c379\">ok&#160;</tspan><tspan>&#160;a&amp;b's&#160;&lt;1&#160;</tspan></text>",
    );
    assert_eq!(plain.as_deref(), Some("ok  a&b's <1 "));
    assert_eq!(shown("<g font-size=\"14\">"), None);
    assert_eq!(
        shown("<text x=\"18\" y=\"393\"></text>").as_deref(),
        Some("")
    );
    assert_eq!(
        said("ok  setup  503 ms  a server"),
        ["ok", "setup", "a", "server"]
    );
    assert_eq!(
        said("proved in 818 ms: written"),
        ["proved", "in", "written"]
    );
    assert_eq!(
        said("13  11:04:55.405  xiaozhi  0x183efd8595e7…  c54fb70b232d42…  //o-kevin-001/0"),
        ["#", "#", "xiaozhi", "#", "#", "//o-kevin-001/0"]
    );
}
