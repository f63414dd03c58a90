//! The one that decides.

pub mod identity;
pub mod token;
