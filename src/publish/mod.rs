//! What leaves for other people's machines and consoles: a host's config, made from our templates
//! or edited in place, always shown as a difference first and written so that nothing is lost.
//!
//! It knows files, addresses and how a token is spelled. It must never perform a call, nor know
//! the ledger or the vault: whoever needs a token made asks for it elsewhere and hands it in.

pub mod deploy;
pub mod listing;
mod template;
pub mod wire;
