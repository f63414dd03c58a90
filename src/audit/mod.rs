//! The audit log as a thing that can be checked: the exact bytes of a row, the tree over them, the
//! signed statement of its root, and the proof somebody can carry away. Pure: no I/O, no clock, no
//! randomness; what is stored is read through [`tree::Tiles`], and keys come in as arguments.

pub mod anchor;
pub mod anchor_call;
pub mod bundle;
pub mod checkpoint;
pub mod envelope;
pub mod note;
pub mod recheck;
pub mod tree;
