//! The end of a check: what only shows when all of the log was seen, and the verdict.

use super::{End, Failure, Held, Kept, Pending, Recheck, Verdict, What};
use crate::audit::note::VerifierKey;

impl Recheck {
    /// The verdict, once there is nothing more to take.
    pub fn finish(mut self, end: &End) -> Verdict {
        if self.failure.is_none() {
            self.ends(end);
        }
        if self.failure.is_none() {
            self.counts(end);
        }
        if self.failure.is_none() {
            self.signatures();
        }
        match self.failure.take() {
            Some(failure) => Verdict::failed(self.with_restart(failure)),
            None => Verdict::of(self.held()),
        }
    }

    /// Where the log ends, and where it would if nothing had been removed.
    fn ends(&mut self, end: &End) {
        let there = self.frontier.size();
        let missing = |what: String| format!("the log ends before entry seq {there}, and {what}");
        if let Some(beyond) = self.beyond.take().or_else(|| end.beyond.clone()) {
            let (what, cause) = match self.open(&beyond) {
                Ok(_) => (
                    What::Truncated,
                    missing(format!("{} were signed", beyond.size)),
                ),
                Err((what, cause)) => (
                    what,
                    format!("the checkpoint of {} entries {cause}", beyond.size),
                ),
            };
            return self.fail(what, there, cause);
        }
        let kept = self.since.as_ref().map(|(kept, _)| kept.size());
        if let Some(kept) = kept.filter(|&kept| kept > there) {
            let cause = missing(format!("the kept checkpoint has {kept}"));
            self.fail(What::Truncated, there, cause);
            self.pending = Pending::Kept;
            return;
        }
        if self.head.size != there {
            let cause = missing(format!("{} were counted", self.head.size));
            self.fail(What::Truncated, there.min(self.head.size), cause);
        }
    }

    fn counts(&mut self, end: &End) {
        let integrated = self.head.integrated;
        let signed = self.newest.as_ref().map_or(0, |n| n.checkpoint.size());
        if signed > integrated {
            let cause =
                format!("the stored tree has {integrated} entries, and {signed} were signed");
            return self.fail(What::Tile, integrated, cause);
        }
        if end.tiles_beyond {
            let cause = format!("the stored tree goes on after its {integrated} entries");
            return self.fail(What::Tile, integrated, cause);
        }
        if self.head.pruned > 0 && !self.prune_named {
            let cause = format!(
                "the bodies of the first {} entries are gone, and no entry says that they were pruned",
                self.head.pruned
            );
            return self.fail(What::Missing, 0, cause);
        }
        if self.head.swept == 0 {
            let origins = self.head.origins.iter().zip(&self.begun);
            // The first was there when the log was founded.
            let silent = origins.skip(1).find(|(_, begun)| !**begun);
            if let Some((origin, _)) = silent {
                let cause = format!(
                    "the log goes on as {}, and no entry says that it was begun",
                    origin.name
                );
                return self.fail(What::Head, self.good, cause);
            }
        }
        let at_since = self.good_at_since;
        if let Some((kept, _)) = &self.since
            && !self.since_stored
        {
            let cause = format!(
                "the store has lost its own checkpoint of {} entries, the one you kept",
                kept.size()
            );
            self.fail(What::CheckpointMissing, at_since.unwrap_or(0), cause);
        }
    }

    fn signatures(&mut self) {
        let Some(newest) = &self.newest else {
            if self.head.size > 0 || !self.trusted.is_empty() {
                let cause = "nothing of this log was ever signed, so nothing of it is proved";
                self.fail(What::NotSealed, 0, cause);
            }
            return;
        };
        let pinned = |key: &VerifierKey| self.trusted.contains(key);
        if !self.trusted.is_empty() && !newest.signers.iter().any(pinned) {
            let whose = newest.signers.first();
            let last = newest.checkpoint.size().saturating_sub(1);
            let cause = format!(
                "the entries from seq {} to seq {last} are signed as {} by key {}, which is not a trusted one",
                self.good,
                newest.checkpoint.origin(),
                whose.map(VerifierKey::fingerprint).unwrap_or_default()
            );
            self.fail(What::NotTrusted, self.good, cause);
        }
    }

    /// If the log is not what was kept because it was put back, and says so itself.
    fn with_restart(&self, failure: Failure) -> Failure {
        let (Pending::Kept, Some(restart)) = (self.pending, &self.restart) else {
            return failure;
        };
        let cause = format!(
            "the store was put back from an older copy, somewhere between entry seq {} and entry seq {}, \
             which says so itself: it names the {} entries that were signed before as {} and are no \
             longer all there",
            self.good,
            restart.seq,
            restart.last.size(),
            restart.last.origin()
        );
        Failure::new(What::PutBack, Some(self.good), cause)
    }

    fn held(self) -> Held {
        let newest = self.newest;
        let signer = newest.as_ref().and_then(|n| {
            let pinned = n.signers.iter().find(|key| self.trusted.contains(key));
            pinned.or(n.signers.first()).cloned()
        });
        let kept = self.since.map(|(kept, _)| Kept {
            origin: kept.origin().to_owned(),
            size: kept.size(),
            timed: self.newest_ms.is_some(),
        });
        Held {
            size: self.head.size,
            hashes_only: self.head.swept,
            sealed: newest.map(|n| n.checkpoint),
            since: kept,
            signer,
            pinned: !self.trusted.is_empty(),
        }
    }
}
