//! A picture of a screen: the very cells that a terminal would be given, as SVG.

use super::theme::Theme;
use ratatui::buffer::{Buffer, Cell};
use ratatui::style::{Color, Modifier};
use std::fmt::Write as _;
use unicode_width::UnicodeWidthStr as _;

/// Size of a cell and space around, in pixels.
const CELL: (f32, f32) = (8.4, 18.0);
const PAD: f32 = 14.0;

/// The picture.
pub fn picture(buffer: &Buffer, theme: &Theme) -> String {
    let area = buffer.area;
    let width = f32::from(area.width).mul_add(CELL.0, 2.0 * PAD);
    let height = f32::from(area.height).mul_add(CELL.1, 2.0 * PAD);
    let (ground, ink) = theme.paper;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width:.0}\" height=\"{height:.0}\" viewBox=\"0 0 {width:.0} {height:.0}\">\n\
         <rect width=\"100%\" height=\"100%\" rx=\"8\" fill=\"{ground}\"/>\n\
         <g font-family=\"ui-monospace,'DejaVu Sans Mono','Noto Sans Mono CJK SC',Menlo,Consolas,monospace\" font-size=\"14\" fill=\"{ink}\" xml:space=\"preserve\">\n"
    );
    for y in 0..area.height {
        for piece in pieces(buffer, y) {
            piece.write(&mut out, y, theme);
        }
    }
    out.push_str("</g>\n</svg>\n");
    out
}

/// Cells of one look beside each other. What is not ASCII stands alone, since fonts disagree about
/// its width and a piece is drawn as wide as its cells.
struct Piece {
    x: u16,
    cells: u16,
    text: String,
    look: Look,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Look {
    fg: Color,
    bg: Color,
    modifier: Modifier,
}

fn pieces(buffer: &Buffer, y: u16) -> Vec<Piece> {
    let mut pieces: Vec<Piece> = Vec::new();
    let mut x = 0;
    while x < buffer.area.width {
        let Some(cell) = buffer.cell((x, y)) else {
            break;
        };
        let cells = u16::try_from(cell.symbol().width()).unwrap_or(1).max(1);
        let look = look(cell);
        let symbol = cell.symbol();
        match pieces.last_mut() {
            Some(last)
                if last.look == look
                    && last.x + last.cells == x
                    && last.text.is_ascii()
                    && symbol.is_ascii() =>
            {
                last.text.push_str(symbol);
                last.cells += cells;
            }
            _ => pieces.push(Piece {
                x,
                cells,
                text: symbol.to_owned(),
                look,
            }),
        }
        x += cells;
    }
    pieces
}

fn look(cell: &Cell) -> Look {
    let (fg, bg) = if cell.modifier.contains(Modifier::REVERSED) {
        (cell.bg, cell.fg)
    } else {
        (cell.fg, cell.bg)
    };
    Look {
        fg,
        bg,
        modifier: cell.modifier,
    }
}

impl Piece {
    fn write(&self, out: &mut String, y: u16, theme: &Theme) {
        let (ground, ink) = theme.paper;
        let left = f32::from(self.x).mul_add(CELL.0, PAD);
        let top = f32::from(y).mul_add(CELL.1, PAD);
        let width = f32::from(self.cells) * CELL.0;
        let turned = self.look.modifier.contains(Modifier::REVERSED);
        let fill = match (rgb(self.look.bg, theme), turned) {
            (Some(colour), _) => Some(colour),
            (None, true) => Some(ink),
            (None, false) => None,
        };
        if let Some(fill) = fill {
            // Writing to a string cannot fail.
            let _ = writeln!(
                out,
                "<rect x=\"{left:.1}\" y=\"{top:.1}\" width=\"{width:.1}\" height=\"{:.1}\" fill=\"{fill}\"/>",
                CELL.1
            );
        }
        if self.text.trim().is_empty() {
            return;
        }
        let colour = match (rgb(self.look.fg, theme), turned) {
            (Some(colour), _) => colour,
            (None, true) => ground,
            (None, false) => ink,
        };
        let mut style = String::new();
        for (modifier, words) in [
            (Modifier::BOLD, " font-weight=\"bold\""),
            (Modifier::DIM, " opacity=\"0.6\""),
            (Modifier::ITALIC, " font-style=\"italic\""),
            (Modifier::UNDERLINED, " text-decoration=\"underline\""),
        ] {
            if self.look.modifier.contains(modifier) {
                style.push_str(words);
            }
        }
        let text = escaped(&self.text);
        let _ = writeln!(
            out,
            "<text x=\"{left:.1}\" y=\"{:.1}\" textLength=\"{width:.1}\" lengthAdjust=\"spacingAndGlyphs\" fill=\"{colour}\"{style}>{text}</text>",
            top + 13.5
        );
    }
}

fn escaped(text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;");
    text.replace(' ', "\u{a0}")
}

/// The sixteen colours on this theme's ground.
fn rgb(colour: Color, theme: &Theme) -> Option<&'static str> {
    let light = theme.name == "light";
    Some(match colour {
        Color::Black => "#1e2127",
        Color::Red | Color::LightRed => {
            if light {
                "#c0392b"
            } else {
                "#e06c75"
            }
        }
        Color::Green => {
            if light {
                "#2d7d46"
            } else {
                "#98c379"
            }
        }
        Color::LightGreen => "#98c379",
        Color::Yellow => "#e5c07b",
        Color::Blue => {
            if light {
                "#1f5fbf"
            } else {
                "#61afef"
            }
        }
        Color::Magenta | Color::LightMagenta => {
            if light {
                "#8e3bb0"
            } else {
                "#c678dd"
            }
        }
        Color::Cyan => "#56b6c2",
        Color::Gray => "#abb2bf",
        Color::DarkGray => "#7f848e",
        Color::White => "#ffffff",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tui::theme::DARK;
    use ratatui::layout::Rect;
    use ratatui::style::Style;

    #[test]
    fn cells_become_text_at_their_place_and_nothing_escapes() {
        let mut buffer = Buffer::empty(Rect::new(0, 0, 12, 1));
        buffer.set_string(0, 0, "a<&\"", Style::new());
        buffer.set_string(4, 0, "火x", Style::new().fg(Color::Green));
        let svg = picture(&buffer, &DARK);
        assert!(svg.contains(">a&lt;&amp;\"</text>"), "{svg}");
        // 14 + 4 × 8.4, two cells wide.
        assert!(
            svg.contains("x=\"47.6\"") && svg.contains("textLength=\"16.8\""),
            "{svg}"
        );
        assert!(svg.contains(">x</text>") && svg.contains("#98c379"));
    }
}
