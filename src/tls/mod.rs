//! The server's certificate: what it is, where it is kept, how it is chosen in a handshake and how
//! it is got. Knows nothing of what is served under it.

pub mod acme;
mod chain;
mod choose;
mod files;
mod said;
mod store;
#[cfg(test)]
mod tests;

pub use chain::{Chain, ChainError, Facts, OF_AN_AUTHORITY};
pub use choose::{ACME_TLS, Certificates, Worse, client_config, server_config};
pub use files::{Looked, PemFiles, exposed_key};
pub use said::{NO_TLS, said};
pub use store::{LIVE, RESTORED, Store};
