//! A change as people read it: a unified difference, with every secret hidden.

use std::collections::HashMap;
use std::ops::Range;

use similar::ChangeTag;
use similar::algorithms::{Capture, Replace, myers};
use similar::udiff::UnifiedHunkHeader;

use super::Document;
use crate::authority::token;

/// Lines around each change.
const CONTEXT: usize = 3;

/// The difference between two texts of a file. Empty when there is none; a text that is not there
/// is `/dev/null`.
pub fn unified(
    name: &str,
    document: &dyn Document,
    before: Option<&str>,
    after: Option<&str>,
) -> String {
    masked(name, before, after, |text| document.secrets(text))
}

/// The difference between two texts of a file that is JSON where it holds a secret.
pub fn json(name: &str, before: Option<&str>, after: Option<&str>) -> String {
    masked(name, before, after, |text| {
        if text.starts_with('{') {
            super::json::secrets(text)
        } else {
            Vec::new()
        }
    })
}

fn masked(
    name: &str,
    before: Option<&str>,
    after: Option<&str>,
    secrets: impl Fn(&str) -> Vec<Range<usize>>,
) -> String {
    let mut mask = Mask::default();
    let mut hide = |text: Option<&str>| text.map(|text| mask.hide(text, secrets(text)));
    let (old, new) = (hide(before), hide(after));
    plain(name, old.as_deref(), new.as_deref())
}

/// The difference between two texts that hold no secret.
pub fn plain(name: &str, before: Option<&str>, after: Option<&str>) -> String {
    if before == after {
        return String::new();
    }
    let side = |letter: char, text: Option<&str>| match text {
        Some(_) => format!("{letter}/{}", name.trim_start_matches('/')),
        None => "/dev/null".to_owned(),
    };
    let mut out = format!("--- {}\n+++ {}\n", side('a', before), side('b', after));
    let (old, new) = (lines(before), lines(after));
    // This one by name: whoever lets the library choose carries all it could choose, 0.7 MB.
    let mut found = Replace::new(Capture::new());
    let Ok(()) = myers::diff(&mut found, &old, 0..old.len(), &new, 0..new.len());
    for hunk in found.into_inner().into_grouped_ops(CONTEXT) {
        out.push_str(&UnifiedHunkHeader::new(&hunk).to_string());
        out.push('\n');
        let slices = hunk.iter().flat_map(|op| op.iter_slices(&old, &new));
        for (tag, lines) in slices {
            for line in lines {
                out.push(match tag {
                    ChangeTag::Equal => ' ',
                    ChangeTag::Delete => '-',
                    ChangeTag::Insert => '+',
                });
                out.push_str(line);
                if !line.ends_with('\n') {
                    out.push_str("\n\\ No newline at end of file\n");
                }
            }
        }
    }
    out
}

/// Each with its line end.
fn lines(text: Option<&str>) -> Vec<&str> {
    text.unwrap_or_default().split_inclusive('\n').collect()
}

/// Hides secrets so that equal ones still look equal, and changed ones changed.
#[derive(Default)]
struct Mask(HashMap<String, usize>);

impl Mask {
    fn hide(&mut self, text: &str, mut spans: Vec<Range<usize>>) -> String {
        spans.sort_by_key(|s| s.start);
        let mut out = String::new();
        let mut done = 0;
        for span in spans {
            // Spans of one document never overlap; if they did, the first hides the rest.
            if span.start < done {
                continue;
            }
            out.push_str(&text[done..span.start]);
            out.push_str(&self.word(&text[span.clone()]));
            done = span.end;
        }
        out.push_str(&text[done..]);
        out
    }

    fn word(&mut self, secret: &str) -> String {
        // The id of a token of ours is public, and says which token it is.
        if let Ok(token) = token::parse(secret) {
            return format!("akv_{}_•••", token.id);
        }
        let query = secret.strip_prefix("token=");
        if let Some(Ok(token)) = query.map(token::parse_endpoint) {
            return format!("token={}•••", token.id);
        }
        let next = self.0.len() + 1;
        let number = *self.0.entry(secret.to_owned()).or_insert(next);
        format!("•••{number}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::publish::wire::{Flaw, json};

    struct Plain;

    impl Document for Plain {
        fn blank(&self) -> &'static str {
            "{}"
        }
        fn piece(&self, _: &str) -> Result<Option<String>, Flaw> {
            Ok(None)
        }
        fn put(&self, text: &str, _: &str) -> Result<String, Flaw> {
            Ok(text.to_owned())
        }
        fn take(&self, text: &str) -> Result<String, Flaw> {
            Ok(text.to_owned())
        }
        fn wire(&self, text: &str) -> Result<String, Flaw> {
            Ok(text.to_owned())
        }
        fn secrets(&self, text: &str) -> Vec<Range<usize>> {
            json::secrets(text)
        }
    }

    #[test]
    fn a_changed_secret_is_seen_to_change_and_is_not_seen() {
        let (_, token, _) = token::issue([0xab; 8], [7; 32]);
        let text = |a: &str, b: &str| {
            format!("{{\"headers\": {{\n\"A\": \"Bearer {a}\",\n\"B\": \"{b}\"}}}}\n")
        };
        let before = text("old-secret", "same-secret");
        let after = text(token.expose(), "same-secret");
        let diff = unified("/d/f.json", &Plain, Some(&before), Some(&after));
        assert_eq!(
            diff,
            "--- a/d/f.json\n+++ b/d/f.json\n@@ -1,3 +1,3 @@\n {\"headers\": {\n-\"A\": \"Bearer •••1\",\n+\"A\": \"Bearer akv_abababababababab_•••\",\n \"B\": \"•••2\"}}\n"
        );
        let rotated = text("new-secret", "same-secret");
        let diff = unified("f", &Plain, Some(&before), Some(&rotated));
        assert!(
            diff.contains("-\"A\": \"Bearer •••1\"") && diff.contains("+\"A\": \"Bearer •••3\""),
            "{diff}"
        );
        assert!(!diff.contains("secret"), "{diff}");
        assert_eq!(unified("f", &Plain, Some(&before), Some(&before)), "");
    }

    #[test]
    fn a_file_that_comes_or_goes_is_told_as_such() {
        let made = plain("/d/f", None, Some("x\n"));
        assert_eq!(made, "--- /dev/null\n+++ b/d/f\n@@ -0,0 +1 @@\n+x\n");
        let gone = plain("/d/f", Some("x"), None);
        assert!(gone.starts_with("--- a/d/f\n+++ /dev/null\n"), "{gone}");
    }
}
