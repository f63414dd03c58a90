//! A text as a QR code on a terminal.

use super::out::{Out, Tone};
use crate::problem::Problem;
use qrcode::QrCode;
use qrcode::render::unicode::Dense1x2;

/// Prints a text as a QR code, for a camera to read; nothing where no person looks, or when the
/// text does not fit, since the text is there as well.
pub fn show(out: Out, text: &str) -> Result<(), Problem> {
    if out.is_json() || !out.is_terminal() {
        return Ok(());
    }
    let Some(lines) = drawn(text, out.is_colored()) else {
        return Ok(());
    };
    lines
        .iter()
        .try_for_each(|line| out.painted(&out.paint(line, Tone::Ink)))
}

/// Two rows of the code in each line. In colour it is dark on light as printed; without, what is
/// light is drawn, because most terminals are dark.
fn drawn(text: &str, ink: bool) -> Option<Vec<String>> {
    let code = QrCode::new(text).ok()?;
    let (dark, light) = if ink {
        (Dense1x2::Dark, Dense1x2::Light)
    } else {
        (Dense1x2::Light, Dense1x2::Dark)
    };
    let mut image = code.render::<Dense1x2>();
    let image = image.dark_color(dark).light_color(light);
    let image = image.module_dimensions(1, 1).build();
    Some(image.lines().map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const CODE: &str = "WDJB-MJHT-KQRX";

    /// The modules of a drawing, top to bottom: whether something is drawn.
    fn modules(lines: &[String]) -> Vec<Vec<bool>> {
        let half =
            |line: &str, halves: [char; 2]| line.chars().map(|c| halves.contains(&c)).collect();
        let rows = lines.iter();
        rows.flat_map(|l| [half(l, ['▀', '█']), half(l, ['▄', '█'])])
            .collect()
    }

    #[test]
    fn the_drawing_is_the_code_with_its_quiet_zone() {
        let drawn = modules(&drawn(CODE, true).unwrap());
        let code = QrCode::new(CODE).unwrap();
        let width = code.width();
        assert_eq!(width, 21, "the smallest there is");
        assert!(drawn.iter().all(|row| row.len() == width + 8));
        for (y, row) in drawn.iter().enumerate() {
            for (x, dark) in row.iter().enumerate() {
                let inside = (4..4 + width).contains(&x) && (4..4 + width).contains(&y);
                let wanted = inside && code[(x - 4, y - 4)] == qrcode::Color::Dark;
                assert_eq!(*dark, wanted, "{x} {y}");
            }
        }
    }

    #[test]
    fn without_ink_it_is_the_other_way_round() {
        let (ink, plain) = (drawn(CODE, true).unwrap(), drawn(CODE, false).unwrap());
        let (ink, plain) = (modules(&ink), modules(&plain));
        // The last half line has no row of the code in it.
        for (a, b) in ink.iter().zip(&plain).take(29) {
            assert!(a.iter().zip(b).all(|(a, b)| a != b));
        }
        assert!(drawn(&"x".repeat(10_000), true).is_none());
    }
}
