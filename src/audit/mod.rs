//! The audit event: envelope, and later tree, checkpoint and proof. Pure: no I/O, no clock.

pub mod envelope;
