//! How many feeds or sockets are open: a bound for each token, and one for all together.

use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;

/// How many may be open.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    pub(super) per_token: usize,
    pub(super) in_all: usize,
}

/// Of feeds of the audit.
pub(super) const FEEDS: Bounds = Bounds {
    per_token: 4,
    in_all: 256,
};

/// Of sockets of the endpoint: an agent may have many devices.
pub(super) const SOCKETS: Bounds = Bounds {
    per_token: 64,
    in_all: 4096,
};

/// Of bodies that are arriving, by where they come from: nobody is known yet, and no one stranger may
/// take all the room there is.
pub(super) const BODIES: Bounds = Bounds {
    per_token: 128,
    in_all: 1024,
};

/// Those that are open, by token.
#[derive(Debug)]
pub(super) struct Streams {
    open: Mutex<Open>,
    bounds: Bounds,
}

#[derive(Debug, Default)]
struct Open {
    by_token: HashMap<String, usize>,
    all: usize,
}

/// Room for one, until it is dropped.
#[derive(Debug)]
pub(super) struct Seat {
    streams: Arc<Streams>,
    token: String,
}

impl Streams {
    pub(super) fn new(bounds: Bounds) -> Self {
        Self {
            open: Mutex::default(),
            bounds,
        }
    }

    /// Room for one more of a token, if there is any.
    pub(super) fn seat(self: &Arc<Self>, token: &str) -> Option<Seat> {
        let mut open = self.open.lock();
        let own = open.by_token.get(token).copied().unwrap_or(0);
        if own >= self.bounds.per_token || open.all >= self.bounds.in_all {
            return None;
        }
        open.by_token.insert(token.to_owned(), own + 1);
        open.all += 1;
        drop(open);
        Some(Seat {
            streams: Arc::clone(self),
            token: token.to_owned(),
        })
    }

    /// How many are open.
    pub(super) fn open(&self) -> usize {
        self.open.lock().all
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut open = self.streams.open.lock();
        if let Some(own) = open.by_token.get_mut(&self.token) {
            *own -= 1;
            if *own == 0 {
                open.by_token.remove(&self.token);
            }
            open.all -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seat_that_is_left_is_free_again() {
        let streams = Arc::new(Streams::new(FEEDS));
        let mut seats: Vec<_> = (0..FEEDS.per_token).map(|_| streams.seat("a")).collect();
        assert!(seats.iter().all(Option::is_some));
        assert!(streams.seat("a").is_none());
        assert!(streams.seat("b").is_some());
        seats.pop();
        assert!(streams.seat("a").is_some());
    }

    #[test]
    fn all_tokens_together_have_a_bound() {
        let streams = Arc::new(Streams::new(FEEDS));
        let seat = |n: usize| streams.seat(&(n / FEEDS.per_token).to_string());
        let seats: Vec<_> = (0..FEEDS.in_all).map(seat).collect();
        assert!(seats.iter().all(Option::is_some));
        assert!(streams.seat("late").is_none());
        drop(seats);
        let open = streams.open.lock();
        assert!(open.by_token.is_empty() && open.all == 0);
    }
}
