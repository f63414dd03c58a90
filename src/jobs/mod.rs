//! Everything that runs beside requests: it seals the log. It may take its time and may fail and
//! come back; it must never hold up an answer, decide about a caller, or change anything of an actor.

pub mod sealer;
