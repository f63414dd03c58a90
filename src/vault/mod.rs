//! Where memory objects are kept: sealed, immutable, each bound to the place it was written for.
//!
//! This room knows `authority::ports` and decides nothing. It must never read or write an object
//! without a cap that covers exactly that, take a path from anybody (it makes every name itself,
//! from typed values), hand out a text whose place is not the one asked for, or overwrite.

mod disk;
mod name;
mod seal;

pub use disk::{DiskVault, MAX_OBJECT, VaultOpenError};
pub use name::is_name;
