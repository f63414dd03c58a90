//! How each host drives us, from outside: only URLs and tokens, never the ledger or the vault.
