//! The one that decides.

pub mod budget;
pub mod identity;
pub mod policy;
