//! What to do now. Pure: from what is kept and the time. As certmagic does it, whose habits operators
//! know, and as Let's Encrypt advises.

use super::state::{State, Window};
use crate::tls::Facts;

const MINUTE: i64 = 60;
const HOUR: i64 = 3_600;
const DAY: i64 = 86_400;

/// How long after a failure the next try is: the first, the second, and so on.
const LADDER: [i64; 24] = [
    1, 2, 2, 5, 10, 10, 10, 20, 20, 20, 20, 30, 30, 30, 30, 60, 60, 60, 120, 120, 180, 180, 180,
    360,
];

/// After so long without success once a day is enough.
const GIVING_UP: i64 = 30 * DAY;

/// The most to wait with a certificate that ends soon.
const URGENT: i64 = HOUR;

/// Between two looks at what the authority says, twice a day, and the most that jitter takes off.
const ASK_EVERY: i64 = 12 * HOUR;
const JITTER: i64 = 2 * HOUR;

/// The least time between two certificates without any trouble: an authority that says at once again
/// that it is time must not be asked for ever.
const PAUSE: i64 = 6 * HOUR;

/// Lifetimes below which half of it, not a third, is left for renewal (RFC 9773 does not say; Let's
/// Encrypt does).
const SHORT: i64 = 10 * DAY;

/// Why a certificate is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// There is none.
    None,
    /// It is not for all names.
    Names,
    /// It ended.
    Expired,
    /// It was revoked.
    Revoked,
    /// It ends so soon that nothing else counts.
    EndsSoon,
    /// The authority says it is time.
    Window,
    /// A third of its life, or half of a short one, is left.
    Age,
}

impl Why {
    /// In words.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "there is no certificate yet",
            Self::Names => "the certificate is not for all names",
            Self::Expired => "the certificate has ended",
            Self::Revoked => "the certificate was revoked",
            Self::EndsSoon => "the certificate ends soon",
            Self::Window => "the authority asks for it",
            Self::Age => "a third of its life is left, or half of a short one",
        }
    }
}

/// Which authority.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// The one whose certificates count.
    Production,
    /// The one for rehearsals.
    Staging,
}

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Nothing before a time.
    Rest {
        /// Until when.
        until: i64,
        /// What would be done, if something is wanted and must wait.
        wanted: Option<Why>,
    },
    /// Ask the authority when it would have the certificate renewed.
    Ask,
    /// Get a certificate.
    Get {
        /// Why.
        why: Why,
        /// Where.
        stage: Stage,
        /// Whether to say which one it replaces.
        replaces: bool,
    },
}

/// What there is.
#[derive(Debug, Clone, Copy)]
pub struct Known<'a> {
    /// Unix seconds.
    pub now: i64,
    /// What a certificate has to be for.
    pub names: &'a [String],
    /// What is kept.
    pub live: Option<&'a Facts>,
    /// Whether there is an authority for rehearsals.
    pub staging: bool,
    /// Whether an order at the real one is still open: going on with it costs nothing.
    pub open_order: bool,
    /// Whether there is an account, without which the authority is not asked.
    pub account: bool,
    /// A number drawn for jitter.
    pub random: u64,
}

/// What to do now.
pub fn plan(known: &Known<'_>, state: &State) -> Step {
    let now = known.now;
    let rest = |until| Step::Rest {
        until,
        wanted: None,
    };
    let why = match known.live {
        None => Why::None,
        Some(live) => match wanted(known, live, state) {
            Ok(why) => why,
            Err(Wait::Ask) => return Step::Ask,
            Err(Wait::Until(until)) => return rest(until),
        },
    };
    let until = not_before(state, why, now).max(pause(known, state, why));
    if now < until {
        return Step::Rest {
            until,
            wanted: Some(why),
        };
    }
    let rehearse = state.rehearse && known.staging && !known.open_order;
    Step::Get {
        why,
        stage: if rehearse {
            Stage::Staging
        } else {
            Stage::Production
        },
        // An authority may refuse the name of what is replaced: then without.
        replaces: state.failures == 0 && !rehearse && known.live.is_some(),
    }
}

enum Wait {
    Ask,
    Until(i64),
}

/// Whether something else is wanted than what there is.
fn wanted(known: &Known<'_>, live: &Facts, state: &State) -> Result<Why, Wait> {
    let now = known.now;
    let (whole, left) = (live.not_after - live.not_before, live.not_after - now);
    if left <= 0 {
        return Ok(Why::Expired);
    }
    if !known.names.iter().all(|name| live.names.contains(name)) {
        return Ok(Why::Names);
    }
    if state.revoked.as_ref() == Some(&live.fingerprint) {
        return Ok(Why::Revoked);
    }
    // This machine's clock is behind: another one would not hold either.
    if now < live.not_before {
        return Err(Wait::Until(live.not_before));
    }
    // What an authority says about a certificate with so little left may be out of date.
    if left < whole / 20 {
        return Ok(Why::EndsSoon);
    }
    let jitter = i64::try_from(known.random % JITTER.unsigned_abs()).unwrap_or(0);
    match state.window_of(&live.fingerprint) {
        None if known.account => Err(Wait::Ask),
        Some(window) if window.has_window() && now >= window.point => Ok(Why::Window),
        // Nor is it asked later than that because a clock was ahead.
        Some(window) if now >= window.ask_again || window.ask_again > now + ASK_EVERY => {
            Err(Wait::Ask)
        }
        Some(window) if window.has_window() => Err(Wait::Until(window.point.min(window.ask_again))),
        other => {
            let at = live.not_after - whole / if whole < SHORT { 2 } else { 3 };
            if now >= at {
                return Ok(Why::Age);
            }
            let ask_again = other.map_or(now + ASK_EVERY - jitter, |w| w.ask_again);
            Err(Wait::Until(at.min(ask_again)))
        }
    }
}

/// Until when the certificate that was just got has to do.
fn pause(known: &Known<'_>, state: &State, why: Why) -> i64 {
    match (why, known.live, state.got_at) {
        (Why::Window | Why::Age | Why::EndsSoon, Some(live), Some(got)) if got <= known.now => {
            got + PAUSE.min((live.not_after - live.not_before) / 4)
        }
        _ => i64::MIN,
    }
}

/// When the next try may be.
fn not_before(state: &State, why: Why, now: i64) -> i64 {
    // A failure that is yet to come was written by a clock that has been set since.
    let Some(last) = state.last.as_ref().filter(|last| last.at <= now) else {
        return i64::MIN;
    };
    let rung = usize::try_from(state.failures.saturating_sub(1)).unwrap_or(usize::MAX);
    let minutes = LADDER.get(rung).or(LADDER.last()).copied().unwrap_or(1);
    let long = state
        .failing_since
        .is_some_and(|since| last.at - since > GIVING_UP);
    let mut wait = if long { DAY } else { minutes * MINUTE };
    if matches!(why, Why::None | Why::Expired | Why::EndsSoon | Why::Revoked) && !long {
        wait = wait.min(URGENT);
    }
    (last.at + wait).max(last.not_before.unwrap_or(i64::MIN))
}

impl Window {
    /// Whether the authority named one; without, this only says when to ask again.
    const fn has_window(&self) -> bool {
        self.start < self.end
    }

    /// What an authority said about a certificate. The point is drawn once: while the window stays, so
    /// does the point.
    pub fn heard(
        before: Option<&Self>,
        certificate: &str,
        said: Option<Said>,
        now: i64,
        random: u64,
    ) -> Self {
        let jitter = i64::try_from(random % JITTER.unsigned_abs()).unwrap_or(0);
        let twice_a_day = now + ASK_EVERY - jitter;
        let Some(said) = said.filter(|s| s.start < s.end) else {
            // An authority that does not answer, or makes no sense, changes nothing that it said.
            let kept = before.filter(|b| b.certificate == certificate);
            return Self {
                certificate: certificate.to_owned(),
                start: kept.map_or(0, |b| b.start),
                end: kept.map_or(0, |b| b.end),
                point: kept.map_or(0, |b| b.point),
                ask_again: twice_a_day,
                explanation: kept.and_then(|b| b.explanation.clone()),
            };
        };
        let same =
            |b: &&Self| b.certificate == certificate && (b.start, b.end) == (said.start, said.end);
        let width = (said.end - said.start).unsigned_abs();
        let drawn = i64::try_from(random % width.max(1)).unwrap_or(0);
        Self {
            certificate: certificate.to_owned(),
            start: said.start,
            end: said.end,
            point: before.filter(same).map_or(said.start + drawn, |b| b.point),
            ask_again: (now + said.wait.clamp(MINUTE, DAY)).min(twice_a_day),
            explanation: said.explanation,
        }
    }
}

/// A window as an authority told it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// Where it begins, Unix seconds.
    pub start: i64,
    /// Where it ends.
    pub end: i64,
    /// How long until it is asked again, seconds.
    pub wait: i64,
    /// A page that says why.
    pub explanation: Option<String>,
}

#[cfg(test)]
mod tests;
