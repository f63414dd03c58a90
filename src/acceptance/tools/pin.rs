//! What the list of tools has to be, as an operator wrote it down.

use std::collections::BTreeMap;
use std::path::Path;

use crate::acceptance::AcceptError;

/// Profiles of hosts that the suite lists tools as.
const PROFILES: [&str; 3] = ["default", "xiaozhi", "volcano-ark"];

/// A fingerprint for each profile that has one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pins(BTreeMap<&'static str, String>);

impl Pins {
    /// Adds one: `PROFILE=SHA256`, or `SHA256` for the profile `default`.
    pub fn add(&mut self, text: &str) -> Result<(), String> {
        let (profile, hash) = text
            .trim()
            .split_once('=')
            .unwrap_or(("default", text.trim()));
        let known = PROFILES.iter().find(|p| **p == profile);
        let Some(profile) = known else {
            return Err(format!("a profile is one of {}", PROFILES.join(", ")));
        };
        let hash = hash.to_ascii_lowercase();
        if hash.len() != 64 || !hash.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err("a fingerprint is 64 hex digits, as `accept tools` prints it".to_owned());
        }
        if self.0.insert(profile, hash).is_some() {
            return Err(format!("{profile} is pinned twice"));
        }
        Ok(())
    }

    /// Adds those of a file, one a line; what begins with `#` is a remark.
    pub fn read(&mut self, path: &Path) -> Result<(), AcceptError> {
        let text = std::fs::read_to_string(path).map_err(|e| AcceptError::input(path, e))?;
        let lines = text.lines().map(str::trim);
        let before = self.0.len();
        for line in lines.filter(|l| !l.is_empty() && !l.starts_with('#')) {
            self.add(line).map_err(|e| AcceptError::input(path, e))?;
        }
        if self.0.len() == before {
            return Err(AcceptError::input(path, "holds no fingerprint"));
        }
        Ok(())
    }

    /// What a profile's list has to be.
    pub(super) fn of(&self, profile: &str) -> Option<&str> {
        self.0.get(profile).map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn pins_are_by_profile() {
        let (a, b) = ("a".repeat(64), "B".repeat(64));
        let mut pins = Pins::default();
        pins.add(&a).unwrap();
        pins.add(&format!("volcano-ark={b}")).unwrap();
        assert_eq!(pins.of("default"), Some(a.as_str()));
        assert_eq!(pins.of("volcano-ark"), Some(b.to_lowercase().as_str()));
        assert_eq!(pins.of("xiaozhi"), None);
        for bad in [a.as_str(), "x", "xiaozhi=", &format!("nobody={a}")] {
            assert!(pins.add(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_file_holds_one_a_line_and_at_least_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pins");
        let read = |text: &str| {
            std::fs::write(&path, text).unwrap();
            let mut pins = Pins::default();
            pins.read(&path).map(|()| pins)
        };
        let pins = read(&format!("# of 1.0\n\n  xiaozhi={}\n", "c".repeat(64))).unwrap();
        assert_eq!(pins.of("xiaozhi"), Some("c".repeat(64).as_str()));
        assert!(read("# nothing\n").is_err() && read("x").is_err());
    }
}
