//! The one that decides.

pub mod budget;
pub mod cap;
pub mod identity;
pub mod policy;
pub mod token;
