//! The pictures in the documents are screens of real runs (`tests/pictures`); this fails when the
//! program shows something else by now.

use super::support::{command, text};
use std::collections::BTreeMap;
use std::path::Path;

/// The lines of a picture, each without what differs from run to run: times, ages, durations, ids,
/// hashes and ports.
fn said(svg: &str) -> Vec<String> {
    let mut lines: BTreeMap<u32, String> = BTreeMap::new();
    for piece in svg.lines().filter_map(|l| l.strip_prefix("<text ")) {
        let (tag, rest) = piece.split_once('>').unwrap();
        let y = tag.split_once(" y=\"").unwrap().1;
        let y = y.split('.').next().unwrap().parse().unwrap();
        let words = rest.strip_suffix("</text>").unwrap();
        // Pieces of blanks are not drawn: whatever stands apart is apart.
        let line = lines.entry(y).or_default();
        line.push(' ');
        line.push_str(words);
    }
    let plain = |line: &String| {
        let line = line.replace('\u{a0}', " ").replace("&lt;", "<");
        let line = line.replace("&amp;", "&");
        let words = line
            .split_whitespace()
            .map(|w| if differs(w) { "#" } else { w });
        // Microseconds are in pieces, since their letter is not ASCII.
        let words = words.collect::<Vec<_>>().join(" ");
        let words = words.replace("# µ s", "#");
        // A step that took no millisecond says none.
        words.strip_suffix(" # ms").unwrap_or(&words).to_owned()
    };
    lines.values().map(plain).collect()
}

fn differs(word: &str) -> bool {
    let number = word.starts_with(|c: char| c.is_ascii_digit()) || word.starts_with('#');
    number || word.starts_with("http://127.0.0.1")
}

#[test]
fn the_pictures_show_what_the_demos_show() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let temp = tempfile::tempdir().unwrap();
    for (proof, lang, name) in [
        ("cross-rail", "en", "cross-rail"),
        ("cross-rail", "zh", "cross-rail_zh"),
        ("three-acts", "en", "three-acts"),
        ("three-acts", "zh", "three-acts_zh"),
    ] {
        let now = temp.path().join(name);
        let mut demo = command(&temp.path().join("none"));
        demo.args(["demo", proof, "--lang", lang, "--size", "120x40"]);
        demo.arg("--screenshot");
        let run = demo.arg(&now).output().unwrap();
        assert!(run.status.success(), "{}", text(&run.stderr));
        let read = |path: &Path| said(&std::fs::read_to_string(path).unwrap());
        let now = read(&now);
        let then = read(&root.join(format!("docs/images/{name}.svg")));
        assert!(now.len() > 12, "{now:?}");
        // The second line says how old things are, and whether the log was sealed by then.
        for (at, (then, now)) in then.iter().zip(&now).enumerate().filter(|(at, _)| *at != 1) {
            assert_eq!(then, now, "line {at}: make it again with tests/pictures");
        }
        assert_eq!(then.len(), now.len());
    }
}

#[test]
fn only_what_differs_from_run_to_run_is_left_out() {
    let svg = "<svg>\n<text x=\"1\" y=\"30.5\" fill=\"a\">09:10:11.1</text>\n\
               <text x=\"9\" y=\"30.5\">a&amp;b\u{a0}&lt;\u{a0}24.3ms</text>\n\
               <text x=\"1\" y=\"48.5\">proved\u{a0}in\u{a0}818\u{a0}ms:\u{a0}#12</text>\n\
               <text x=\"1\" y=\"60.5\">a step</text>\n<text x=\"9\" y=\"60.5\">3 ms</text>\n</svg>";
    assert_eq!(said(svg), ["# a&b < #", "proved in # ms: #", "a step"]);
}
