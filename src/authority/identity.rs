//! Who an actor is (`formats/agentkeys.md` §2).
