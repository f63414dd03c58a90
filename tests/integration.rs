//! One binary for all integration tests: they spawn the real program and talk over sockets.
#![allow(
    clippy::unwrap_used,
    clippy::needless_pass_by_value,
    clippy::doc_markdown
)]

mod it {
    pub(crate) mod support;

    mod acceptance;
    mod audit_bundle;
    mod audit_feed;
    mod bad_input;
    mod budgets;
    mod caps;
    mod commands;
    mod cross_rail;
    mod durability;
    mod endpoint;
    mod memory;
    mod operations;
    mod refusals;
    mod sdk;
    mod seam;
    mod stdio;
    mod tools;
}
