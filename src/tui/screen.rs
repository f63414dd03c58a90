//! The terminal: taken, drawn to, and given back whatever happens.

use super::app::App;
use super::view;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ratatui::DefaultTerminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use ratatui::crossterm::execute;
use ratatui::crossterm::style::Print;
use ratatui::crossterm::terminal::SetTitle;
use std::io;
use unicode_width::UnicodeWidthStr as _;

/// Something to draw on.
pub trait Screen {
    /// Draws the app as it is.
    fn draw(&mut self, app: &App) -> io::Result<()>;

    /// Hands text to the clipboard of whoever looks, if the terminal has one.
    fn copy(&mut self, text: &str) -> io::Result<()>;
}

/// The terminal this process runs in.
#[derive(Debug)]
pub struct Terminal {
    terminal: DefaultTerminal,
}

impl Terminal {
    /// Takes the terminal: raw, another page, and a hook that gives it back when anything panics.
    pub fn take(title: &str) -> io::Result<Self> {
        let terminal = ratatui::try_init()?;
        let taken = Self { terminal };
        execute!(io::stdout(), SetTitle(title))?;
        Ok(taken)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // A panic's hook has done it already; once more would put the cursor over its message.
        if !std::thread::panicking() {
            ratatui::restore();
        }
    }
}

impl Screen for Terminal {
    fn draw(&mut self, app: &App) -> io::Result<()> {
        self.terminal.draw(|frame| view::draw(frame, app)).map(drop)
    }

    fn copy(&mut self, text: &str) -> io::Result<()> {
        // OSC 52: terminals that know it take it, the others ignore it.
        let text = STANDARD.encode(text);
        execute!(io::stdout(), Print(format!("\u{1b}]52;c;{text}\u{7}")))
    }
}

/// A screen in memory: for pictures, and where nobody looks.
#[derive(Debug)]
pub struct Page {
    terminal: ratatui::Terminal<TestBackend>,
}

impl Page {
    /// An empty one of this many columns and lines.
    pub fn new(width: u16, height: u16) -> Self {
        let Ok(terminal) = ratatui::Terminal::new(TestBackend::new(width, height));
        Self { terminal }
    }

    /// What was drawn last.
    pub fn buffer(&self) -> &Buffer {
        self.terminal.backend().buffer()
    }

    /// The same as text, a line each.
    pub fn text(&self) -> String {
        let buffer = self.buffer();
        let mut text = String::new();
        for y in 0..buffer.area.height {
            let mut line = String::new();
            let mut x = 0;
            while let Some(cell) = buffer.cell((x, y)).filter(|_| x < buffer.area.width) {
                line.push_str(cell.symbol());
                let cells = u16::try_from(cell.symbol().width()).unwrap_or(1);
                x += cells.max(1);
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

impl Screen for Page {
    fn draw(&mut self, app: &App) -> io::Result<()> {
        let Ok(_) = self.terminal.draw(|frame| view::draw(frame, app));
        Ok(())
    }

    fn copy(&mut self, _: &str) -> io::Result<()> {
        Ok(())
    }
}
