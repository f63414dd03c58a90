//! Proofs and suites that come in from outside, as a host does: URLs, tokens and files.
//!
//! Only `kit::make` knows the authority, since somebody has to prepare what the suites use. All
//! else here could be pointed at a server of anyone's; a suite that went round the door would
//! prove nothing.

mod answer;
pub mod captions;
mod client;
pub mod cross_rail;
mod error;
mod events;
pub mod handshake;
pub mod kit;
pub mod listed;
mod matrix;
mod mcp;
pub mod negative_auth;
pub mod observe;
pub mod outside;
pub mod play;
pub mod report;
mod rows;
pub mod suites;
pub mod three_acts;
pub mod timing;
pub mod tls;
pub mod tools;
mod undo;

pub use client::{Trust, address, in_the_clear};
pub use error::AcceptError;
pub use report::{Check, Report, Status};

/// Fresh random bytes, for names and lines that nobody could have known before.
fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    // aws-lc aborts before it hands out predictable bytes; there is no error to handle.
    aws_lc_rs::rand::fill(&mut bytes).unwrap_or_else(|_| std::process::abort());
    bytes
}
