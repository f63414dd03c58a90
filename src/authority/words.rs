//! The small closed vocabularies every room shares: rail, door, host profile, namespace.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// A word outside a closed vocabulary.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
#[error("{given:?} is not a {what}; known: {known}")]
pub struct UnknownWord {
    /// Which vocabulary.
    pub what: &'static str,
    /// What was given, cleaned for a screen.
    pub given: String,
    /// The words there are.
    pub known: &'static str,
}

macro_rules! words {
    ($(#[$doc:meta])* $name:ident, $what:literal, $known:literal, { $($(#[$vdoc:meta])* $variant:ident => $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum $name { $($(#[$vdoc])* #[serde(rename = $word)] $variant),+ }

        impl $name {
            /// Every word, in the order they are listed to people.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The word as it stands on the wire.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { f.write_str(self.as_str()) }
        }

        impl FromStr for $name {
            type Err = UnknownWord;
            fn from_str(text: &str) -> Result<Self, UnknownWord> {
                match text {
                    $($word => Ok(Self::$variant),)+
                    _ => Err(UnknownWord { what: $what, given: crate::text::clean_to(text, 40), known: $known }),
                }
            }
        }
    };
}

words!(
    /// The kind of host a vendor's calls come from.
    Rail, "rail", "xiaozhi, volcano-ark, other", {
    /// xiaozhi-server.
    Xiaozhi => "xiaozhi",
    /// Doubao on Volcano Ark.
    VolcanoArk => "volcano-ark",
    /// Any other MCP host.
    Other => "other",
});

words!(
    /// The way a request came in.
    Door, "door", "http, stdio, relay, hook, cli, worker", {
    /// MCP over streamable HTTP.
    Http => "http",
    /// MCP over stdio.
    Stdio => "stdio",
    /// The xiaozhi endpoint protocol.
    Relay => "relay",
    /// A host's lifecycle hook.
    Hook => "hook",
    /// The operator's command line.
    Cli => "cli",
    /// An endpoint where a cap is spent.
    Worker => "worker",
});

words!(
    /// How a host differs from the specification; `docs/hosts.md`.
    HostProfile, "host profile", "default, xiaozhi, xiaozhi-endpoint, volcano-ark", {
    /// What the specification says.
    Default => "default",
    /// xiaozhi-server as an HTTP client.
    Xiaozhi => "xiaozhi",
    /// xiaozhi-server over its endpoint protocol.
    XiaozhiEndpoint => "xiaozhi-endpoint",
    /// Ark's cloud as an HTTP client.
    VolcanoArk => "volcano-ark",
});

impl Door {
    /// How a host behind this door is treated. What xiaozhi makes of an answer depends on the way it
    /// came (`formats/xiaozhi.md`, the table at its top), so there the door decides.
    pub const fn profile(self, of_vendor: HostProfile) -> HostProfile {
        match self {
            Self::Relay => HostProfile::XiaozhiEndpoint,
            _ => of_vendor,
        }
    }
}

words!(
    /// A compartment of an actor's memory.
    Namespace, "namespace", "personal, family, work, travel", {
    /// About the actor itself.
    Personal => "personal",
    /// About its family.
    Family => "family",
    /// About work.
    Work => "work",
    /// About trips.
    Travel => "travel",
});

words!(
    /// What a token's bearer is.
    Role, "role", "vendor, operator, auditor, parent, viewer", {
    /// A vendor's host, acting for actors that were bound to it.
    Vendor => "vendor",
    /// The operator.
    Operator => "operator",
    /// Reads all audit, changes nothing.
    Auditor => "auditor",
    /// Reads one actor's audit and changes its grants.
    Parent => "parent",
    /// Reads one actor's audit in the namespaces it was given.
    Viewer => "viewer",
});

impl Rail {
    /// The profile a new vendor on this rail gets.
    pub const fn profile(self) -> HostProfile {
        match self {
            Self::Xiaozhi => HostProfile::Xiaozhi,
            Self::VolcanoArk => HostProfile::VolcanoArk,
            Self::Other => HostProfile::Default,
        }
    }
}

/// A set of namespaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct NamespaceSet(u8);

impl NamespaceSet {
    /// No namespace.
    pub const NONE: Self = Self(0);

    /// Whether `namespace` is in the set.
    pub const fn has(self, namespace: Namespace) -> bool {
        self.0 & (1 << namespace as u8) != 0
    }

    /// The set and one more.
    #[must_use]
    pub const fn with(self, namespace: Namespace) -> Self {
        Self(self.0 | 1 << namespace as u8)
    }

    /// Everything in either.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// What is here and not in `other`.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// The members in their listed order.
    pub fn iter(self) -> impl Iterator<Item = Namespace> {
        Namespace::ALL.iter().copied().filter(move |n| self.has(*n))
    }

    /// The bits as stored; bit n is the n-th namespace.
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// From stored bits; unknown bits are dropped, so an older program never widens a grant.
    pub const fn from_bits(bits: u8) -> Self {
        Self(bits & 0b1111)
    }

    /// From a comma-separated list.
    pub fn parse(list: &str) -> Result<Self, UnknownWord> {
        list.split(',')
            .map(str::trim)
            .filter(|w| !w.is_empty())
            .try_fold(Self::NONE, |set, word| Ok(set.with(word.parse()?)))
    }
}

impl FromIterator<Namespace> for NamespaceSet {
    fn from_iter<I: IntoIterator<Item = Namespace>>(iter: I) -> Self {
        iter.into_iter().fold(Self::NONE, Self::with)
    }
}

impl Serialize for NamespaceSet {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_seq(self.iter())
    }
}

/// A scope a binding grants or excludes: an exact name or a prefix such as `payment.*`.
pub fn scope_matches(pattern: &str, scope: &str) -> bool {
    match pattern.strip_suffix(".*") {
        Some(prefix) => scope
            .strip_prefix(prefix)
            .is_some_and(|rest| rest.len() > 1 && rest.starts_with('.')),
        None => pattern == scope,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn namespaces_round_trip_through_bits_and_lists() {
        let set = NamespaceSet::parse("travel, family").unwrap();
        assert_eq!(NamespaceSet::from_bits(set.bits()), set);
        assert!(set.has(Namespace::Travel) && !set.has(Namespace::Work));
        assert_eq!(
            NamespaceSet::parse("profile").unwrap_err().known,
            "personal, family, work, travel"
        );
        assert_eq!(NamespaceSet::from_bits(0xf0), NamespaceSet::NONE);
    }

    #[test]
    fn a_pattern_matches_whole_segments_only() {
        assert!(scope_matches("payment.*", "payment.spend"));
        assert!(!scope_matches("payment.*", "payments.spend"));
        assert!(!scope_matches("payment.*", "payment"));
        assert!(!scope_matches("payment.*", "payment."));
        assert!(scope_matches("payment.spend", "payment.spend"));
        assert!(!scope_matches("payment.spend", "payment.spend2"));
    }
}
