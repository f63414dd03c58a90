//! Cleans untrusted text where it meets a screen, a log line or an event.

/// Replaces control, bidirectional and invisible characters by `�`, so that text from outside can
/// neither move a cursor, nor reorder what a reader sees, nor say to a model what nobody sees
/// (Unicode TR 36 §2).
pub fn clean(text: &str) -> String {
    text.chars()
        .map(|c| if is_hostile(c) { '\u{fffd}' } else { c })
        .collect()
}

/// `clean`, cut to `max` characters with an ellipsis.
pub fn clean_to(text: &str, max: usize) -> String {
    let mut out: String = clean(text).chars().take(max).collect();
    if text.chars().count() > max {
        out.push('…');
    }
    out
}

const fn is_hostile(c: char) -> bool {
    c.is_ascii_control()
        || matches!(c,
            '\u{80}'..='\u{9f}'
            | '\u{61c}'
            | '\u{180e}'
            | '\u{200b}'..='\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2028}' | '\u{2029}'
            | '\u{2060}'..='\u{2069}'
            | '\u{feff}'
            // Marks around annotations, and tags: a whole alphabet that no font shows.
            | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn controls_and_bidi_are_neutralised_and_the_rest_is_kept() {
        assert_eq!(clean("a\u{1b}[31mb\u{202e}c"), "a\u{fffd}[31mb\u{fffd}c");
        assert_eq!(clean("火锅 🍲 ¥600"), "火锅 🍲 ¥600");
        for hidden in [
            '\u{61c}',
            '\u{180e}',
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
}
