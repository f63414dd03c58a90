//! What a live screen knows and how it changes. It draws nothing, reads no clock and does nothing
//! itself: what has to be done comes back as [`Effect`]s.

use super::filter::{self, Filter, MOST, NotUnderstood};
use super::keys::{self, Action};
use super::news::{Effect, News, Proof, Seal, Subject};
use super::play::{Play, Second};
use super::row::{Lane, Row};
use super::theme::Theme;
use super::words::Word;
use crate::lang::Lang;
use crate::operate::text;
use crate::text::clean_to;
use jiff::tz::TimeZone;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use serde_json::Value;
use std::cell::Cell;
use std::collections::{HashMap, VecDeque};

/// Events that are kept; older ones are let go, and counted.
pub const MOST_ROWS: usize = 10_000;

/// And so many bytes of them, whatever a server elsewhere sends.
const MOST_BYTES: usize = 64 << 20;

/// How long a message stands at the foot.
const TOAST_MS: i64 = 4_000;

/// What the keys do at the moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mode {
    /// What the table of keys says.
    Browse,
    /// Type a filter.
    Typing {
        /// As far as it is typed.
        text: String,
        /// What of it was not understood.
        error: Option<NotUnderstood>,
    },
    /// Read the help.
    Help,
}

/// A content that was seen on both rails has a mark.
#[derive(Debug, Clone, Default)]
struct Content {
    rows: usize,
    lanes: [bool; 2],
    mark: Option<usize>,
}

/// Everything a screen shows.
#[derive(Debug)]
pub struct App {
    /// The looks.
    pub theme: Theme,
    /// The language.
    pub lang: Lang,
    /// The reader's zone.
    pub zone: TimeZone,
    /// Whose events.
    pub subject: Subject,
    /// What of the log is sealed.
    pub seal: Seal,
    /// The proof that runs, if one does.
    pub play: Option<Play>,
    /// What the keys do.
    pub mode: Mode,
    /// Whether it is shown how the selected event was decided.
    pub detail: bool,
    /// Why no events come in.
    pub cut: Option<String>,
    rows: VecDeque<Row>,
    /// Of all rows together.
    bytes: usize,
    dropped: u64,
    /// Places of the rows that the filter lets through, in order.
    shown: VecDeque<u64>,
    contents: HashMap<String, Content>,
    marks: usize,
    filter: Filter,
    filter_text: String,
    selected: Option<u64>,
    follow: bool,
    /// The newest place when the picture was held.
    held: Option<u64>,
    proof: Option<(u64, Proof)>,
    last: [Option<i64>; 2],
    toast: Option<(String, i64)>,
    now_ms: i64,
    /// Of the last picture: the first row in sight and how many there were. Only drawing knows.
    pub(super) sight: Cell<(usize, usize)>,
}

impl App {
    /// A screen without events.
    pub fn new(subject: Subject, theme: Theme, lang: Lang, zone: TimeZone, now_ms: i64) -> Self {
        Self {
            theme,
            lang,
            zone,
            subject,
            seal: Seal::default(),
            play: None,
            mode: Mode::Browse,
            detail: false,
            cut: None,
            rows: VecDeque::new(),
            bytes: 0,
            dropped: 0,
            shown: VecDeque::new(),
            contents: HashMap::new(),
            marks: 0,
            filter: Filter::default(),
            filter_text: String::new(),
            selected: None,
            follow: true,
            held: None,
            proof: None,
            last: [None; 2],
            toast: None,
            now_ms,
            sight: Cell::new((0, 1)),
        }
    }

    /// The same, with a filter as if it had been typed; one that is not understood is none.
    #[must_use]
    pub fn filtered(mut self, text: &str) -> Self {
        if let Ok(filter) = Filter::parse(text) {
            self.set_filter(filter, text.to_owned());
        }
        self
    }

    /// Who is on the second rail.
    pub fn second(&self) -> Second {
        self.play.as_ref().map_or(Second::Ark, |play| play.second)
    }

    /// A word in the reader's language.
    pub const fn say(&self, word: Word) -> &'static str {
        word.say(self.lang)
    }

    /// The time that ages are counted from.
    pub const fn now_ms(&self) -> i64 {
        self.now_ms
    }

    /// Time has passed; says whether anything looks different.
    pub fn tick(&mut self, now_ms: i64) -> bool {
        let second = now_ms.div_euclid(1_000) != self.now_ms.div_euclid(1_000);
        self.now_ms = now_ms;
        if self.filter.ages() && second {
            self.refilter();
        }
        if self
            .toast
            .as_ref()
            .is_some_and(|(_, until)| now_ms >= *until)
        {
            self.toast = None;
            return true;
        }
        second
    }

    /// Takes in what came.
    pub fn take(&mut self, news: News) -> Option<Effect> {
        match news {
            News::Event(event) => self.event(&event),
            News::Seal(seal) => {
                self.seal = seal;
                // What was too new before may be provable now.
                if self.proof.as_ref().is_some_and(|(_, p)| *p == Proof::Soon) {
                    self.proof = None;
                    return self.prove();
                }
            }
            News::Proof(seq, proof) => {
                if self.proof.as_ref().is_some_and(|(at, _)| *at == seq) {
                    self.proof = Some((seq, proof));
                }
            }
            News::Cut(why) => self.cut = why.map(|why| clean_to(&why, 120)),
            News::Subject(subject) => self.subject = subject,
            News::Scene(scene) => {
                if let Some(play) = &mut self.play {
                    play.tell(scene);
                }
            }
            News::Written(Ok(path)) => {
                let words = format!("{} {path}", self.say(Word::Exported));
                self.toast(&words);
            }
            News::Written(Err(why)) => {
                let words = format!("{}{}{why}", self.say(Word::NotExported), self.lang.colon());
                self.toast(&words);
            }
        }
        None
    }

    fn event(&mut self, event: &Value) {
        let Some(row) = Row::read(event) else { return };
        // Whoever asked by a name learns the id from the first event.
        if self.subject.actor_omni.is_empty() {
            self.subject.actor_omni = clean_to(text(event, "actor_omni"), 80);
        }
        // The log's own order, without repeats, whatever a feed does.
        if self.rows.back().is_some_and(|newest| newest.seq >= row.seq) {
            return;
        }
        match row.lane {
            Lane::One => self.last[0] = Some(row.at_ms),
            Lane::Two => self.last[1] = Some(row.at_ms),
            Lane::Beside => {}
        }
        self.link(&row);
        if self.filter.admits(&row, self.now_ms) {
            self.shown.push_back(row.seq);
        }
        self.bytes += row.json.len();
        self.rows.push_back(row);
        while (self.rows.len() > MOST_ROWS || self.bytes > MOST_BYTES)
            && let Some(old) = self.rows.pop_front()
        {
            self.bytes -= old.json.len();
            self.dropped += 1;
            self.unlink(&old);
            if self.shown.front() == Some(&old.seq) {
                self.shown.pop_front();
            }
            if self.selected == Some(old.seq) {
                self.selected = self.shown.front().copied();
            }
        }
    }

    /// A content that is now on both rails gets the next mark.
    fn link(&mut self, row: &Row) {
        let lane = match row.lane {
            Lane::One => 0,
            Lane::Two => 1,
            Lane::Beside => return,
        };
        let Some(tag) = &row.tag else { return };
        let content = self.contents.entry(tag.clone()).or_default();
        content.rows += 1;
        content.lanes[lane] = true;
        if content.mark.is_none() && content.lanes == [true; 2] {
            content.mark = Some(self.marks);
            self.marks += 1;
        }
    }

    fn unlink(&mut self, row: &Row) {
        let Some(tag) = row.tag.as_ref().filter(|_| row.lane != Lane::Beside) else {
            return;
        };
        if let Some(content) = self.contents.get_mut(tag) {
            content.rows -= 1;
            if content.rows == 0 {
                self.contents.remove(tag);
            }
        }
    }

    /// The mark of a row's content, if that was seen on both rails.
    pub fn mark(&self, row: &Row) -> Option<usize> {
        self.contents.get(row.tag.as_ref()?)?.mark
    }

    /// The nearest earlier row with the same content, else the nearest later, on the other rail.
    pub fn twin(&self, row: &Row) -> Option<&Row> {
        self.mark(row)?;
        let other = |r: &&Row| r.tag == row.tag && r.lane != row.lane && r.lane != Lane::Beside;
        let at = self.rows.partition_point(|r| r.seq < row.seq);
        self.rows
            .range(..at)
            .rev()
            .find(other)
            .or_else(|| self.rows.range(at..).find(other))
    }

    /// The row at a place in the log.
    pub fn row(&self, seq: u64) -> Option<&Row> {
        let at = self.rows.binary_search_by_key(&seq, |r| r.seq).ok()?;
        self.rows.get(at)
    }

    /// How many rows may be seen: those the filter lets through, up to where the picture was held.
    pub fn count(&self) -> usize {
        match self.held {
            None => self.shown.len(),
            Some(newest) => self.shown.partition_point(|seq| *seq <= newest),
        }
    }

    /// The row at a place among those that may be seen.
    pub fn nth(&self, at: usize) -> Option<&Row> {
        self.row(*self.shown.get(at)?)
    }

    /// How many came in since the picture was held; none when it is not.
    pub fn unseen(&self) -> Option<usize> {
        self.held.map(|_| self.shown.len() - self.count())
    }

    /// Whether any event came in at all.
    pub fn is_silent(&self) -> bool {
        self.rows.is_empty()
    }

    /// How many events were let go.
    pub const fn dropped(&self) -> u64 {
        self.dropped
    }

    /// The newest place that came in.
    pub fn newest(&self) -> Option<u64> {
        self.rows.back().map(|row| row.seq)
    }

    /// When each rail was heard of last.
    pub const fn heard(&self) -> [Option<i64>; 2] {
        self.last
    }

    /// What was typed as filter.
    pub fn filter_text(&self) -> &str {
        &self.filter_text
    }

    /// What stands at the foot for a moment.
    pub fn toast_text(&self) -> Option<&str> {
        self.toast.as_ref().map(|(text, _)| text.as_str())
    }

    fn toast(&mut self, text: &str) {
        self.toast = Some((clean_to(text, 200), self.now_ms + TOAST_MS));
    }

    /// The place among those that may be seen of the row under the cursor: the newest while
    /// following.
    pub fn cursor(&self) -> Option<usize> {
        let last = self.count().checked_sub(1)?;
        match self.selected {
            Some(seq) if !self.follow => Some(self.shown.partition_point(|s| *s < seq).min(last)),
            _ => Some(last),
        }
    }

    /// Whether somebody chose a row.
    pub const fn is_following(&self) -> bool {
        self.follow
    }

    /// The row under the cursor.
    pub fn under_cursor(&self) -> Option<&Row> {
        self.nth(self.cursor()?)
    }

    /// The proof of the row under the cursor.
    pub fn proof(&self) -> Option<&Proof> {
        let row = self.under_cursor()?;
        let (seq, proof) = self.proof.as_ref()?;
        (*seq == row.seq).then_some(proof)
    }

    /// A key was pressed.
    pub fn key(&mut self, key: KeyEvent) -> Option<Effect> {
        match std::mem::replace(&mut self.mode, Mode::Browse) {
            Mode::Browse => self.act(keys::action(key)?),
            Mode::Help => match keys::action(key) {
                Some(Action::Quit) => Some(Effect::Quit),
                _ => None,
            },
            Mode::Typing { text, .. } => self.typed(key, text),
        }
    }

    fn typed(&mut self, key: KeyEvent, mut text: String) -> Option<Effect> {
        match key.code {
            KeyCode::Char('c') if key.modifiers == KeyModifiers::CONTROL => {
                return Some(Effect::Quit);
            }
            KeyCode::Enter => match Filter::parse(&text) {
                Ok(filter) => {
                    self.set_filter(filter, text);
                    return None;
                }
                Err(not) => {
                    self.mode = Mode::Typing {
                        text,
                        error: Some(not),
                    };
                    return None;
                }
            },
            KeyCode::Esc => {
                self.set_filter(Filter::default(), String::new());
                return None;
            }
            KeyCode::Backspace => {
                text.pop();
            }
            KeyCode::Char('u') if key.modifiers == KeyModifiers::CONTROL => text.clear(),
            KeyCode::Char(c)
                if (key.modifiers - KeyModifiers::SHIFT).is_empty()
                    && text.len() + c.len_utf8() <= MOST
                    && !c.is_control() =>
            {
                text.push(c);
            }
            _ => {}
        }
        // It holds while it is typed, but for a word that is only begun; one that is not understood
        // leaves the last good one.
        let error = match Filter::parse(filter::finished(&text)) {
            Ok(filter) => {
                self.set_filter(filter, text.clone());
                None
            }
            Err(not) => Some(not),
        };
        self.mode = Mode::Typing { text, error };
        None
    }

    fn set_filter(&mut self, filter: Filter, text: String) {
        self.filter_text = text;
        if filter != self.filter {
            self.filter = filter;
            self.refilter();
        }
    }

    fn refilter(&mut self) {
        let admitted = self
            .rows
            .iter()
            .filter(|row| self.filter.admits(row, self.now_ms));
        self.shown = admitted.map(|row| row.seq).collect();
    }

    fn act(&mut self, action: Action) -> Option<Effect> {
        let page = self.sight.get().1.max(2) - 1;
        match action {
            Action::Up => self.step(|at| at.saturating_sub(1)),
            Action::Down => self.step(|at| at + 1),
            Action::PageUp => self.step(|at| at.saturating_sub(page)),
            Action::PageDown => self.step(|at| at + page),
            Action::First => self.step(|_| 0),
            Action::Follow => {
                self.follow = true;
                self.held = None;
                self.prove()
            }
            Action::Twin => self.jump(),
            Action::Detail => {
                self.detail = !self.detail;
                if self.detail {
                    // What is read must not run away.
                    self.selected = self.under_cursor().map(|row| row.seq);
                    self.follow = false;
                }
                self.prove()
            }
            Action::Filter => {
                let mut text = self.filter_text.clone();
                if !text.is_empty() {
                    text.push(' ');
                }
                self.mode = Mode::Typing { text, error: None };
                None
            }
            Action::Back => {
                if self.detail {
                    self.detail = false;
                } else {
                    self.set_filter(Filter::default(), String::new());
                }
                None
            }
            Action::Pause => {
                self.held = match self.held {
                    None => Some(self.newest().unwrap_or(0)),
                    Some(_) => None,
                };
                None
            }
            Action::Next => {
                let went_on = self.play.as_mut().is_some_and(Play::go_on);
                went_on.then_some(Effect::Next)
            }
            Action::Export => self.export(),
            Action::Copy => {
                let id = self.under_cursor()?.event_id()?;
                let words = format!("{}{}{id}", self.say(Word::Copied), self.lang.colon());
                self.toast(&words);
                Some(Effect::Copy(id))
            }
            Action::Theme => {
                self.theme = self.theme.next();
                None
            }
            Action::Help => {
                self.mode = Mode::Help;
                None
            }
            Action::Quit => Some(Effect::Quit),
        }
    }

    /// Moves the cursor. At the newest it follows again.
    fn step(&mut self, to: impl Fn(usize) -> usize) -> Option<Effect> {
        let last = self.count().checked_sub(1)?;
        let at = to(self.cursor()?).min(last);
        self.selected = self.shown.get(at).copied();
        self.follow = at == last && self.held.is_none();
        self.prove()
    }

    fn jump(&mut self) -> Option<Effect> {
        let twin = self.under_cursor().and_then(|row| self.twin(row));
        let seen = |row: &&Row| self.shown.binary_search(&row.seq).is_ok();
        // From a row that has no twin to the newest that has one.
        let newest = || {
            let mut rows = (0..self.count()).rev().filter_map(|at| self.nth(at));
            rows.find(|row| self.mark(row).is_some() && row.lane != Lane::Beside)
        };
        let to = twin.filter(seen).or_else(newest);
        let Some(seq) = to.map(|row| row.seq) else {
            self.toast(self.say(Word::NoTwin));
            return None;
        };
        self.selected = Some(seq);
        self.follow = false;
        self.prove()
    }

    /// The proof of what is looked at, once: each asking is on record.
    fn prove(&mut self) -> Option<Effect> {
        if !self.detail {
            return None;
        }
        let shown = self.under_cursor()?.shown()?;
        let seq = shown.seq;
        if self.proof.as_ref().is_some_and(|(at, _)| *at == seq) {
            return None;
        }
        if self.seal.size.is_none_or(|size| seq >= size) {
            self.proof = Some((seq, Proof::Soon));
            return None;
        }
        self.proof = Some((seq, Proof::Coming));
        Some(Effect::Prove(shown))
    }

    fn export(&self) -> Option<Effect> {
        let rows = (0..self.count()).filter_map(|at| self.nth(at));
        let lines: String = rows.flat_map(|row| [&*row.json, "\n"]).collect();
        (!lines.is_empty()).then_some(Effect::Export(lines))
    }
}

#[cfg(test)]
#[path = "app_tests.rs"]
mod tests;
