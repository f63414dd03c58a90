//! A bundle's text has one form, and a bounded one.

use super::*;

#[test]
fn text_has_one_form() {
    let text = golden().encode();
    let before = unsealed(&text);
    let part = |text: &str| {
        verify(text.as_bytes(), &[])
            .outcome()
            .clone()
            .unwrap_err()
            .part
    };
    let lines: Vec<&str> = before.lines().collect();
    assert!(verify(resealed(before).as_bytes(), &[]).verified());
    for (place, line) in lines.iter().enumerate() {
        let with = |lines: Vec<&str>| resealed(&(lines.join("\n") + "\n"));
        let at = |new: &[&str]| with([&lines[..place], new, &lines[place + 1..]].concat());
        let name = line.split(' ').next().unwrap();
        for (what, altered) in [
            ("dropped", at(&[])),
            ("repeated", at(&[line, line])),
            ("unknown before", at(&["unknown 1", line])),
            ("unknown after", at(&[line, "unknown 1"])),
            ("empty before", at(&["", line])),
            ("space after", at(&[&format!("{line} ")])),
            ("space before", at(&[&format!(" {line}")])),
            (
                "another name",
                at(&[&line.replacen(name, &format!("{name}s"), 1)]),
            ),
            ("upper case", at(&[&line.to_uppercase()])),
            ("carriage return", at(&[&format!("{line}\r")])),
        ] {
            if altered.contains(&format!("{before}sha256")) {
                continue;
            }
            let verdict = verify(altered.as_bytes(), &[]);
            assert!(!verdict.verified(), "{what} line {place}: {line}");
        }
        for later in place + 1..lines.len() {
            let mut swapped = lines.clone();
            swapped.swap(place, later);
            if swapped != lines {
                let verdict = verify(with(swapped).as_bytes(), &[]);
                assert!(!verdict.verified(), "swapped {place} and {later}");
            }
        }
    }
    assert_eq!(part(""), Part::Digest);
    assert_eq!(part(before), Part::Digest);
    assert_eq!(part(text.trim_end()), Part::Digest);
    assert_eq!(part(&format!("{text}\n")), Part::Digest);
    assert_eq!(part(&format!("{text}{text}")), Part::Digest);
    assert_eq!(part(&resealed(&text)), Part::Format);
    assert_eq!(part(&text.replace('\n', "\r\n")), Part::Digest);
    assert_eq!(part(&resealed(&before.replace('\n', "\r\n"))), Part::Format);
    assert_eq!(
        part(&resealed(&before.replacen("v1", "v2", 1))),
        Part::Format
    );
    let verdict = verify(resealed(&format!("{before}ke\u{1b}y 1\n")).as_bytes(), &[]);
    let failure = verdict.outcome().clone().unwrap_err();
    let cause = "`ke\u{fffd}y` is unknown, repeated or not in its place";
    assert_eq!(
        (failure.part, failure.cause.as_str()),
        (Part::Format, cause)
    );
    let (kept, digest) = text.split_at(before.len());
    assert_eq!(
        part(&format!("{kept}{}", digest.to_uppercase())),
        Part::Digest
    );
    assert_eq!(
        verify(&[0xff; 9], &[]).outcome().clone().unwrap_err().part,
        Part::Format
    );
}

#[test]
fn what_is_large_is_refused_before_it_is_looked_at() {
    let before = unsealed(GOLDEN).to_owned();
    let part = |text: &str| verify(text.as_bytes(), &[]).outcome().clone().unwrap_err();
    let said = part(&"a".repeat(MAX_BUNDLE_BYTES + 1));
    assert!(said.cause.contains("larger"), "{said}");
    for (name, many) in [
        ("inclusion", 65),
        ("consistency", 65),
        ("key", 17),
        ("newer", 65),
    ] {
        let line = before.lines().find(|l| l.starts_with(name)).unwrap();
        let more = format!("{line}\n").repeat(many);
        let said = part(&resealed(&before.replacen(&format!("{line}\n"), &more, 1)));
        assert!(said.cause.starts_with("more than"), "{said}");
    }
    let line = before.lines().find(|l| l.starts_with("envelope")).unwrap();
    for text in [
        String::new(),
        " ".to_owned(),
        format!(" {}", "AAAA".repeat(MAX_ENVELOPE_BYTES / 3 + 1)),
    ] {
        let said = part(&resealed(&before.replacen(
            line,
            &format!("envelope{text}"),
            1,
        )));
        assert!(said.cause.contains("envelope"), "{said}");
    }
}
