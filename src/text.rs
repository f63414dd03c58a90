//! Cleans untrusted text where it meets a screen, a log line or an event.

use unicode_width::UnicodeWidthStr as _;

/// Replaces control, bidirectional and invisible characters by `�`, so that text from outside can
/// neither move a cursor, nor reorder what a reader sees, nor say to a model what nobody sees
/// (Unicode TR 36 §2); and noncharacters, which XML does not carry.
pub fn clean(text: &str) -> String {
    text.chars()
        .map(|c| if is_hostile(c) { '\u{fffd}' } else { c })
        .collect()
}

/// JSON with those characters escaped in its strings: the same values, and nothing for a terminal to
/// obey. `serde_json` escapes only what comes before the space.
pub fn escaped(json: &str) -> String {
    use std::fmt::Write as _;
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        if is_hostile(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                // Writing to a string cannot fail.
                let _ = write!(out, "\\u{unit:04x}");
            }
        } else {
            out.push(c);
        }
    }
    out
}

/// `clean`, cut to `max` characters with an ellipsis, and without the secrets that people paste into
/// the wrong place: what was cut ends in rows that nobody can take back.
pub fn clean_to(text: &str, max: usize) -> String {
    let shown = veiled(&clean(text));
    let mut out: String = shown.chars().take(max).collect();
    if out.len() < shown.len() {
        out.push('…');
    }
    out
}

/// The text with its tokens veiled: ours but for their id, an endpoint's, and anybody's JWT.
fn veiled(text: &str) -> String {
    let inside = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        let word = rest.find(|c| !inside(c)).unwrap_or(rest.len());
        let (word, after) = rest.split_at(word);
        let shown = shown_of(word);
        out.push_str(&word[..shown]);
        if shown < word.len() {
            out.push_str("•••");
        }
        let gap = after.find(inside).unwrap_or(after.len());
        out.push_str(&after[..gap]);
        rest = &after[gap..];
    }
    out
}

/// How much of a word may be seen.
fn shown_of(word: &str) -> usize {
    let is_hex = |text: &str| text.bytes().all(|b| b.is_ascii_hexdigit());
    if let Some(at) = word.find("akv_") {
        return word.len().min(at + "akv_".len() + 16);
    }
    // An omni has 64 digits and stays readable.
    let bare = word.trim_start_matches("0x");
    if bare.len() > 66 && is_hex(bare) {
        return word.len().min(16);
    }
    match word.find("eyJ") {
        Some(at) if word[at..].contains('.') => at,
        _ => word.len(),
    }
}

const fn is_hostile(c: char) -> bool {
    c.is_ascii_control()
        // The last two of each plane.
        || c as u32 & 0xfffe == 0xfffe
        || matches!(c,
            '\u{80}'..='\u{9f}'
            | '\u{61c}'
            | '\u{180e}'
            | '\u{200b}'..='\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2028}' | '\u{2029}'
            | '\u{2060}'..='\u{2069}'
            | '\u{fdd0}'..='\u{fdef}'
            | '\u{feff}'
            // Marks around annotations, and tags: a whole alphabet that no font shows.
            | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}')
}

/// `text` with blanks up to a width as a terminal counts it.
pub fn pad(text: &str, width: usize) -> String {
    let missing = width.saturating_sub(text.width());
    format!("{text}{}", " ".repeat(missing))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_keeps_its_values_and_loses_what_a_terminal_obeys() {
        let value = serde_json::json!({"a\u{9b}": "2J\u{202e}火锅\u{e0041}\u{7f}", "b": [1, "é"]});
        let text = escaped(&value.to_string());
        assert!(!text.contains(is_hostile), "{text}");
        assert!(text.contains("火锅") && text.contains('é'));
        let read: Option<serde_json::Value> = serde_json::from_str(&text).ok();
        assert_eq!(read, Some(value));
    }

    #[test]
    fn controls_and_bidi_are_neutralised_and_the_rest_is_kept() {
        assert_eq!(clean("a\u{1b}[31mb\u{202e}c"), "a\u{fffd}[31mb\u{fffd}c");
        assert_eq!(clean("火锅 🍲 ¥600"), "火锅 🍲 ¥600");
        for hidden in [
            '\u{61c}',
            '\u{180e}',
            '\u{fdd0}',
            '\u{fdef}',
            '\u{fffe}',
            '\u{ffff}',
            '\u{1fffe}',
            '\u{10ffff}',
            '\u{fff9}',
            '\u{fffb}',
            '\u{e0000}',
            '\u{e0041}',
            '\u{e007f}',
        ] {
            assert_eq!(clean(&format!("a{hidden}b")), "a\u{fffd}b", "{hidden:?}");
        }
        assert_eq!(clean_to("abcdef", 3), "abc…");
    }

    #[test]
    fn tokens_in_the_wrong_place_are_veiled_and_ids_are_not() {
        let secret = "07".repeat(32);
        let token = format!("akv_abababababababab_{secret}_00000000");
        assert_eq!(
            clean_to(&format!("Bearer {token}!"), 80),
            "Bearer akv_abababababababab•••!"
        );
        let endpoint = format!("abababababababab{secret}00000000");
        assert_eq!(clean_to(&endpoint, 80), "abababababababab•••");
        assert_eq!(clean_to("a eyJhbGciOi.J9.x-y b", 80), "a ••• b");
        for readable in [
            format!("0x{secret}"),
            secret,
            "eyJ".into(),
            "O_kevin_001 小明".into(),
        ] {
            assert_eq!(clean_to(&readable, 80), readable);
        }
    }
}
