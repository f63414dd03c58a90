//! What comes to a screen from outside, and what a screen asks to be done there.

use super::play::Scene;
use serde_json::Value;

/// Whose events these are, and where from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Subject {
    /// Its registered name, or nothing.
    pub alias: String,
    /// Its id.
    pub actor_omni: String,
    /// The server or the folder.
    pub place: String,
}

/// What of the log is sealed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seal {
    /// How many events the newest checkpoint covers; none before the first.
    pub size: Option<u64>,
    /// The beginning of its root, hexadecimal.
    pub root: String,
    /// When it was signed.
    pub at_ms: i64,
    /// Where checkpoints go besides.
    pub chain: Chain,
    /// How often one is made, milliseconds; 0 where that is not told.
    pub every_ms: i64,
}

/// Where checkpoints go.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Chain {
    /// Nowhere.
    #[default]
    None,
    /// To a file.
    File,
    /// To a chain, where this many events are covered.
    Evm(Option<u64>),
}

/// What is known of an event's proof.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Proof {
    /// Asked for.
    Coming,
    /// No checkpoint covers it yet.
    Soon,
    /// The way to the signed root verified here.
    Holds {
        /// What was proved is this very event, byte for byte. Otherwise it is a row at its place: who
        /// shows only what a reader may see does not show its bytes.
        whole: bool,
        /// Events in the tree.
        size: u64,
        /// Its root, hexadecimal.
        root: String,
        /// Hashes on the way.
        hashes: usize,
    },
    /// It does not verify.
    Fails(String),
    /// It could not be had.
    Unknown(String),
}

/// What comes in from outside.
#[derive(Debug, Clone)]
pub enum News {
    /// An event of the log.
    Event(Value),
    /// What of the log is sealed.
    Seal(Seal),
    /// The proof of the event at a place.
    Proof(u64, Proof),
    /// The feed is cut, for this reason; or it runs again.
    Cut(Option<String>),
    /// Whose events these are, once a proof knows.
    Subject(Subject),
    /// What a proof tells.
    Scene(Scene),
    /// Something was written, or not.
    Written(Result<String, String>),
}

/// An event as it is on the screen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// Its place.
    pub seq: u64,
    /// Its id.
    pub event_id: String,
    /// All of it.
    pub event: Value,
}

/// What has to be done outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Leave.
    Quit,
    /// Go on with the proof.
    Next,
    /// Get the proof of an event.
    Prove(Shown),
    /// Write this to a new file.
    Export(String),
    /// Hand this to the terminal's clipboard.
    Copy(String),
}
