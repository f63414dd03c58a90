//! Everything that runs beside requests: it seals the log, checks it, and puts its roots on a chain. It
//! may take its time and may fail and come back; it must never hold up an answer, decide about a
//! caller, or change anything of an actor. What a job is about to do is kept before it does it, so that
//! it can be killed at any moment and goes on from there.

pub mod anchor;
pub mod fsck;
pub mod recheck;
pub mod sealer;
