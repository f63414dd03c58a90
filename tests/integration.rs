//! One binary for all integration tests: they spawn the real program and talk over sockets.
#![allow(
    clippy::unwrap_used,
    clippy::needless_pass_by_value,
    clippy::doc_markdown
)]

mod it {
    pub(crate) mod installed;
    pub(crate) mod support;

    mod acceptance;
    mod acme;
    mod anchor;
    mod anchored;
    mod ark;
    mod ark_sdk;
    mod audit_bundle;
    mod audit_feed;
    mod backup;
    mod bad_input;
    mod broken;
    mod budgets;
    mod caps;
    mod clock;
    mod commands;
    mod conformance;
    mod cross_rail;
    mod cut;
    mod deploy;
    mod devices;
    mod doctor;
    mod durability;
    mod endpoint;
    mod hosts;
    mod init;
    mod inspector;
    mod kits;
    mod listing;
    mod log_tamper;
    mod memory;
    mod monitoring;
    mod observe;
    mod operations;
    mod picture;
    mod refusals;
    mod runbook;
    mod screen;
    mod sdk;
    mod sealed;
    mod seam;
    mod shell;
    pub(crate) mod shop;
    mod standing;
    mod statements;
    mod stdio;
    mod three_acts;
    mod tls;
    mod tools;
    mod transports;
    mod wire;
    mod zones;
}
