//! The proofs for people: their steps as they happen, and how they ended.

use super::Step;
use crate::acceptance::captions::{Word, caption, word};
use crate::acceptance::events::Event;
use crate::acceptance::report::{Painter, Status};
use crate::lang::Lang;
use crate::text::{clean_to, pad};

/// A step in a line; one that failed says what it wanted and what it got.
pub fn step(lang: Lang, step: &Step, paint: Painter<'_>) -> String {
    let text = match step.status {
        Status::Passed => Word::Ok,
        Status::Skipped => Word::Skip,
        Status::Failed => Word::Fail,
    };
    let ms = match step.ms {
        0 => String::new(),
        ms => format!("{ms} ms"),
    };
    let (id, caption) = (step.id, caption(lang, step.id));
    let status = paint(&pad(word(lang, text), 4), step.status);
    let mut line = format!("{status} {id:<30} {ms:>7}  {caption}");
    if step.status == Status::Failed {
        let (expected, got) = (clean_to(&step.expected, 300), clean_to(&step.got, 300));
        let named = |name| pad(word(lang, name), 9);
        let (wanted, was) = (named(Word::Expected), named(Word::Got));
        line = format!("{line}\n     {wanted} {expected}\n     {was} {got}");
    }
    line.trim_end().to_owned()
}

/// The last line: what was shown, or the first step that did not hold.
pub(in crate::acceptance) fn verdict(
    lang: Lang,
    steps: &[Step],
    shown: Word,
    paint: Painter<'_>,
) -> String {
    let ms: u64 = steps.iter().map(|s| s.ms).sum();
    match steps.iter().find(|s| s.status != Status::Passed) {
        None => {
            let proved = paint(word(lang, Word::Proved), Status::Passed);
            let shown = word(lang, shown);
            match lang {
                Lang::En => format!("{proved} in {ms} ms: {shown}"),
                Lang::Zh => format!("{proved}，用时 {ms} ms：{shown}"),
            }
        }
        Some(step) => {
            let not = paint(word(lang, Word::NotProved), Status::Failed);
            match lang {
                Lang::En => format!("{not}: {}", step.id),
                Lang::Zh => format!("{not}：{}", step.id),
            }
        }
    }
}

/// A row's time of day, where it is read.
pub(in crate::acceptance) fn time(row: &Event) -> String {
    let at = row
        .text("ts")
        .unwrap_or_default()
        .parse::<jiff::Timestamp>();
    let here = at.map(|at| at.to_zoned(jiff::tz::TimeZone::system()));
    here.map_or_else(
        |_| String::new(),
        |at| at.strftime("%H:%M:%S%.3f").to_string(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_step_says_what_it_wanted_and_text_from_outside_is_clean() {
        let one = Step {
            id: "rail2.bytes_equal",
            status: Status::Failed,
            ms: 0,
            expected: "a".to_owned(),
            got: "\u{1b}[31mb".to_owned(),
            judged: true,
        };
        let text = step(Lang::En, &one, &|word, _| word.to_owned());
        assert!(text.starts_with("FAIL rail2.bytes_equal"), "{text}");
        assert!(
            text.contains("\n     expected: a\n") && !text.contains('\u{1b}'),
            "{text}"
        );
        let text = step(Lang::Zh, &one, &|word, _| word.to_owned());
        assert!(text.starts_with("失败 rail2.bytes_equal"), "{text}");
        let last = verdict(Lang::Zh, &[one], Word::CrossRailShown, &|word, _| {
            word.to_owned()
        });
        assert_eq!(last, "证明不成立：rail2.bytes_equal");
    }
}
