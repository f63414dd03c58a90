//! Live screens: what an actor's hosts do, as they do it, and a proof while it runs.
//!
//! Events come in as the feed gives them, whether from this machine's ledger or from a server
//! elsewhere; nothing here opens either, decides anything, or writes but where a key asks for it.
//! `app` is what is known and how it changes, `view` draws it, `run` is the loop between a terminal
//! and both. Text from outside is cleaned where it comes in (`row`).

pub mod app;
pub mod filter;
pub mod keys;
pub mod news;
pub mod play;
pub mod prove;
pub mod row;
pub mod run;
pub mod screen;
pub mod svg;
pub mod theme;
pub mod view;
pub mod words;
