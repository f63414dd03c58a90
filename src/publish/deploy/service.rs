//! The server as a service of this machine.

use std::path::Path;

use super::{DeployError, word};
use crate::config::{AnchorTo, Config, Tls};

/// What the unit has to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// Whom it runs as.
    pub user: String,
    /// The program.
    pub program: String,
    /// The data folder.
    pub dir: String,
    /// Folders besides that it writes to.
    pub writable: Vec<String>,
    /// Whether it binds ports below 1024.
    pub low_ports: bool,
}

/// Folders a hardened service sees nothing of, or something else.
const HIDDEN: [&str; 5] = ["/home", "/root", "/run/user", "/tmp", "/var/tmp"];

/// Where systemd makes folders for services.
const STATE: &str = "/var/lib";

impl Service {
    /// A service over a data folder.
    ///
    /// # Errors
    /// When a name cannot be written into a unit, or lies where a service cannot see it.
    pub fn new(
        config: &Config,
        dir: &Path,
        program: &Path,
        user: &str,
    ) -> Result<Self, DeployError> {
        let mut service = Self {
            user: word::user(user)?,
            program: seen(
                program,
                "install it as /usr/local/bin/agentkeys and name that with --program",
            )?,
            dir: seen(dir, "choose a folder such as /var/lib/agentkeys with --dir")?,
            writable: Vec::new(),
            low_ports: low_ports(config),
        };
        if service.state().is_none() {
            service.writable.push(service.dir.clone());
        }
        if let AnchorTo::File(file) = &config.audit.anchor {
            let file = dir.join(file);
            let folder = file.parent().unwrap_or(Path::new("/"));
            if !folder.starts_with(dir) {
                let fix = "choose an audit.anchor_file in a folder such as /var/log/agentkeys";
                service.writable.push(seen(folder, fix)?);
            }
        }
        Ok(service)
    }

    /// What systemd calls the folder, when it is one that systemd makes.
    pub fn state(&self) -> Option<&str> {
        let name = Path::new(&self.dir).strip_prefix(STATE).ok()?.to_str()?;
        let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        (!name.is_empty() && name.bytes().all(plain)).then_some(name)
    }
}

/// Whether it binds 80 or 443 itself.
fn low_ports(config: &Config) -> bool {
    let low = |port: u16| (1..1024).contains(&port);
    let server = &config.server;
    config.tls != Tls::None || low(server.listen.port()) || low(server.operator_listen.port())
}

/// A path that a service with `ProtectHome` and `PrivateTmp` sees.
fn seen(path: &Path, fix: &str) -> Result<String, DeployError> {
    let text = word::path(path)?;
    match HIDDEN.iter().find(|hidden| path.starts_with(hidden)) {
        None => Ok(text),
        Some(hidden) => Err(DeployError::new(
            "agentkeys.deploy.path_hidden",
            format!("{text} is in {hidden}, of which the service sees nothing"),
            fix,
        )),
    }
}
