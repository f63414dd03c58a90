//! The face: what an MCP host sees. Turns tool calls into [`Call`](crate::authority::Call)s and
//! answers into what each host understands. It decides nothing and touches no data.

pub mod fingerprint;
pub mod frame;
pub mod hosts;
#[cfg(test)]
mod page;
pub mod schema;
pub mod service;
pub mod tools;
