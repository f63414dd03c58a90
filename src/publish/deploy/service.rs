//! The server as a service of this machine.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

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
    /// A service over a data folder, which also writes to the folders in `writable`.
    ///
    /// # Errors
    /// When a name cannot be written into a unit, or lies where a service cannot see it; and when
    /// the configuration, which the service itself may write, asks for more folders than are named.
    pub fn new(
        config: &Config,
        dir: &Path,
        program: &Path,
        user: &str,
        writable: &[PathBuf],
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
        for folder in writable {
            let fix = "choose a folder such as /var/log/agentkeys";
            service.writable.push(seen(folder, fix)?);
        }
        if let AnchorTo::File(file) = &config.audit.anchor {
            let file = dir.join(file);
            let folder = file.parent().unwrap_or(Path::new("/"));
            let named = |there: &PathBuf| folder.starts_with(there);
            if !folder.starts_with(dir) && !writable.iter().any(named) {
                return Err(beyond(folder));
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

/// What the service can change must not widen what it may do.
fn beyond(folder: &Path) -> DeployError {
    let folder = folder.display();
    DeployError::new(
        "agentkeys.deploy.writes_elsewhere",
        format!(
            "audit.anchor_file is in {folder}, outside of the data folder, and the service itself \
             may write the file that says so"
        ),
        format!(
            "name that folder with --writable {folder} if you want it, or correct audit.anchor_file"
        ),
    )
}

/// Where users are listed.
const USERS: &str = "/etc/passwd";

/// Refuses a program that the service's user, or just anybody, can write or put another in the place
/// of: root would start that. What is not there yet is not looked at.
///
/// # Errors
/// When it is so, naming the file or folder.
pub fn guarded(program: &Path, user: &str) -> Result<(), DeployError> {
    let users = std::fs::read_to_string(USERS).unwrap_or_default();
    let ids = ids(&users, user);
    let target = std::fs::canonicalize(program).unwrap_or_else(|_| program.to_owned());
    for path in target.ancestors().chain(program.ancestors()) {
        let Ok(found) = std::fs::metadata(path) else {
            continue;
        };
        // In a sticky folder each may replace only what is their own.
        let mode = found.mode()
            & if found.mode() & 0o1000 == 0 {
                0o777
            } else {
                0o755
            };
        let whose = match ids {
            _ if mode & 0o002 != 0 => "everybody",
            Some((uid, _)) if found.uid() == uid => user,
            Some((_, gid)) if found.gid() == gid && mode & 0o020 != 0 => user,
            _ => continue,
        };
        return Err(DeployError::new(
            "agentkeys.deploy.program_writable",
            format!(
                "{} can be written by {whose}, and with it what the service starts",
                path.display()
            ),
            "install it where only root writes, `install -m 0755 agentkeys /usr/local/bin/agentkeys`, and name that with --program",
        ));
    }
    Ok(())
}

/// User and group of a name; none where no file has the name.
fn ids(users: &str, user: &str) -> Option<(u32, u32)> {
    users.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next()? == user).then_some(())?;
        let mut ids = fields.skip(1);
        Some((ids.next()?.parse().ok()?, ids.next()?.parse().ok()?))
    })
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
