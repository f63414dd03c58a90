//! Responses that were asked to be kept, in memory and bounded: what `previous_response_id`, GET and
//! DELETE find. They belong to the key they were made with.

use std::collections::VecDeque;

use bytes::Bytes;
use parking_lot::Mutex;

use super::input::Past;

/// The oldest make room.
const MOST: usize = 256;
const MOST_BYTES: usize = 32 * 1024 * 1024;
/// Ark's bound of a conversation kept for the caller.
pub(super) const MOST_ITEMS: usize = 1000;

/// A key's fingerprint.
pub(super) type Owner = [u8; 32];

/// One kept response.
pub(super) struct Kept {
    pub(super) owner: Owner,
    pub(super) id: String,
    pub(super) previous: Option<String>,
    /// What this turn adds to the conversation: its input, then its output.
    pub(super) past: Vec<Past>,
    /// The answer, byte for byte.
    pub(super) body: Bytes,
    /// Unix seconds.
    pub(super) expires_at: u64,
}

impl Kept {
    fn size(&self) -> usize {
        self.body.len() + self.past.iter().map(Past::size).sum::<usize>()
    }
}

#[derive(Default)]
pub(super) struct Store(Mutex<VecDeque<Kept>>);

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} responses", self.0.lock().len())
    }
}

impl Store {
    pub(super) fn keep(&self, kept: Kept, now: u64) {
        let mut all = self.0.lock();
        all.retain(|k| k.expires_at > now);
        all.push_back(kept);
        let mut bytes: usize = all.iter().map(Kept::size).sum();
        while all.len() > MOST || bytes > MOST_BYTES {
            let Some(oldest) = all.pop_front() else { break };
            bytes -= oldest.size();
        }
    }

    pub(super) fn body(&self, owner: &Owner, id: &str, now: u64) -> Option<Bytes> {
        let all = self.0.lock();
        find(&all, owner, id, now).map(|k| k.body.clone())
    }

    /// The conversation up to and with this response, oldest first. Where a turn is gone for its age
    /// the conversation begins after it.
    pub(super) fn conversation(&self, owner: &Owner, id: &str, now: u64) -> Option<Vec<Past>> {
        let all = self.0.lock();
        let mut turns = vec![find(&all, owner, id, now)?];
        while let Some(before) = turns
            .last()
            .and_then(|k| k.previous.as_deref())
            .and_then(|id| find(&all, owner, id, now))
            // A turn leads to an older one, so this ends; no turn is met twice.
            .filter(|_| turns.len() < MOST)
        {
            turns.push(before);
        }
        let past = turns.iter().rev().flat_map(|k| k.past.iter().cloned());
        Some(past.collect())
    }

    /// Forgets one response. Conversations that went through it go on without it.
    pub(super) fn delete(&self, owner: &Owner, id: &str, now: u64) -> bool {
        let mut all = self.0.lock();
        let Some(gone) = find(&all, owner, id, now).map(|k| k.previous.clone()) else {
            return false;
        };
        all.retain(|k| !(k.id == id && k.owner == *owner));
        for kept in all.iter_mut().filter(|k| k.previous.as_deref() == Some(id)) {
            kept.previous.clone_from(&gone);
        }
        true
    }
}

fn find<'a>(all: &'a VecDeque<Kept>, owner: &Owner, id: &str, now: u64) -> Option<&'a Kept> {
    all.iter()
        .find(|k| k.id == id && k.owner == *owner && k.expires_at > now)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const ME: Owner = [1; 32];

    fn kept(id: usize, previous: Option<usize>) -> Kept {
        Kept {
            owner: ME,
            id: format!("resp_{id}"),
            previous: previous.map(|p| format!("resp_{p}")),
            past: vec![Past::User(id.to_string())],
            body: Bytes::from(id.to_string()),
            expires_at: 100,
        }
    }

    fn said(store: &Store, id: usize) -> Option<String> {
        let past = store.conversation(&ME, &format!("resp_{id}"), 0)?;
        let said = past.iter().map(|p| match p {
            Past::User(text) => text.as_str(),
            _ => "?",
        });
        Some(said.collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn a_conversation_is_its_chain_without_what_was_deleted_or_has_expired() {
        let store = Store::default();
        for (id, previous) in [(1, None), (2, Some(1)), (3, Some(2)), (4, Some(2))] {
            store.keep(kept(id, previous), 0);
        }
        assert_eq!(said(&store, 3).unwrap(), "1 2 3");
        assert_eq!(said(&store, 4).unwrap(), "1 2 4");
        assert!(store.delete(&ME, "resp_2", 0));
        assert_eq!(said(&store, 3).unwrap(), "1 3");
        assert_eq!(said(&store, 2), None);
        assert!(!store.delete(&ME, "resp_2", 0));
        // Another key sees and deletes nothing, and neither does anybody after the end.
        assert!(store.body(&[2; 32], "resp_1", 0).is_none());
        assert!(!store.delete(&[2; 32], "resp_1", 0));
        assert_eq!(store.body(&ME, "resp_1", 99).unwrap(), "1");
        assert!(store.body(&ME, "resp_1", 100).is_none());
    }

    #[test]
    fn it_never_grows_past_its_bounds() {
        let store = Store::default();
        for id in 0..MOST + 10 {
            store.keep(kept(id, id.checked_sub(1)), 0);
        }
        assert_eq!(store.0.lock().len(), MOST);
        assert_eq!(said(&store, 9), None);
        assert!(said(&store, 20).unwrap().starts_with("10 11"));

        let large = Bytes::from(vec![b'x'; MOST_BYTES / 2]);
        for id in 900..903 {
            let mut kept = kept(id, None);
            kept.body = large.clone();
            store.keep(kept, 0);
        }
        let sizes: usize = store.0.lock().iter().map(Kept::size).sum();
        assert!(sizes <= MOST_BYTES, "{sizes}");
        assert_eq!(said(&store, 902).unwrap(), "902");
        assert_eq!(said(&store, 900), None);

        let late = Kept {
            expires_at: 300,
            ..kept(950, None)
        };
        store.keep(late, 200);
        assert_eq!(store.0.lock().len(), 1);
    }
}
