//! Everything that runs beside requests: it seals the log, checks it, puts its roots on a chain, and
//! renews the certificate. It
//! may take its time and may fail and come back; it must never hold up an answer, decide about a
//! caller, or change anything of an actor. What a job is about to do is kept before it does it, so that
//! it can be killed at any moment and goes on from there.

pub mod anchor;
pub mod fsck;
pub mod recheck;
pub mod renewal;
pub mod sealer;
