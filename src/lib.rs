//! `AgentKeys`: the authority for AI devices, in one binary.
//!
//! A request comes in at a door (`server`, `cli`), becomes a call, is decided in one place
//! (`authority`), touches data (`ledger`, `vault`) only with proof of that decision, leaves a row
//! behind (`audit`) and goes out again. `docs/architecture.md` has the picture.

pub mod acceptance;
pub mod audit;
pub mod authority;
pub mod cli;
pub mod config;
pub mod demo_set;
pub mod digest;
pub mod finding;
pub mod folder;
pub mod jobs;
pub mod lang;
pub mod ledger;
pub mod mcp;
pub mod operate;
pub mod problem;
pub mod publish;
pub mod rails;
pub mod secret;
pub mod server;
pub mod text;
pub mod tls;
pub mod tui;
pub mod vault;
