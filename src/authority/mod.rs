//! The one that decides.

pub mod cap;
pub mod identity;
pub mod token;
