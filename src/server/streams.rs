//! How many feeds are open: a bound for each token, and one for all together.

use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;

/// Feeds of one token.
const PER_TOKEN: usize = 4;
/// Feeds of all tokens.
const IN_ALL: usize = 256;

/// The feeds that are open, by token.
#[derive(Debug, Default)]
pub(super) struct Streams(Mutex<HashMap<String, usize>>);

/// Room for one feed, until it is dropped.
#[derive(Debug)]
pub(super) struct Seat {
    streams: Arc<Streams>,
    token: String,
}

impl Streams {
    /// Room for one more feed of a token, if there is any.
    pub(super) fn seat(self: &Arc<Self>, token: &str) -> Option<Seat> {
        let mut open = self.0.lock();
        let own = open.get(token).copied().unwrap_or(0);
        if own >= PER_TOKEN || open.values().sum::<usize>() >= IN_ALL {
            return None;
        }
        open.insert(token.to_owned(), own + 1);
        drop(open);
        Some(Seat {
            streams: Arc::clone(self),
            token: token.to_owned(),
        })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut open = self.streams.0.lock();
        if let Some(own) = open.get_mut(&self.token) {
            *own -= 1;
            if *own == 0 {
                open.remove(&self.token);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seat_that_is_left_is_free_again() {
        let streams = Arc::new(Streams::default());
        let mut seats: Vec<_> = (0..PER_TOKEN).map(|_| streams.seat("a")).collect();
        assert!(seats.iter().all(Option::is_some));
        assert!(streams.seat("a").is_none());
        assert!(streams.seat("b").is_some());
        seats.pop();
        assert!(streams.seat("a").is_some());
    }

    #[test]
    fn all_tokens_together_have_a_bound() {
        let streams = Arc::new(Streams::default());
        let seat = |n: usize| streams.seat(&(n / PER_TOKEN).to_string());
        let seats: Vec<_> = (0..IN_ALL).map(seat).collect();
        assert!(seats.iter().all(Option::is_some));
        assert!(streams.seat("late").is_none());
        drop(seats);
        assert!(streams.0.lock().is_empty());
    }
}
