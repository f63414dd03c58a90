//! The one that decides.

pub mod identity;
