//! xiaozhi-server, wired in either of its two ways: an entry of `data/.mcp_server_settings.json`,
//! or the address of an endpoint in `data/.config.yaml`.

mod endpoint;
mod find;
mod settings;

pub use endpoint::{ENDPOINT_PATH, EndpointFile, EndpointUrl};
pub use find::{Found, find};
pub use settings::{Credentials, SettingsFile, settings};
