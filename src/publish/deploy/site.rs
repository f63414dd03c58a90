//! Under which names and where the server is reached.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;

use http::Uri;

use super::{DeployError, word};
use crate::config::{Config, Tls, is_domain, reached};

/// Where the server listens in its container.
pub(super) const IN_CONTAINER: SocketAddr =
    SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 8088);

/// The server as a proxy in front of it sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Site {
    /// The names hosts call it by: the public one first, then the endpoint's if it has another.
    pub names: Vec<String>,
    /// The port the names are served at.
    pub port: u16,
    /// The address hosts call.
    pub public_url: String,
    /// The address of the xiaozhi endpoint, when it is another.
    pub relay_url: Option<String>,
    /// Where the server itself listens.
    pub listen: SocketAddr,
}

/// A certificate that somebody else renews.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// PEM: the certificate first, then its intermediates.
    pub chain: String,
    /// PEM: its private key.
    pub key: String,
}

impl Certificate {
    /// Two files.
    ///
    /// # Errors
    /// When a path cannot be written into a configuration.
    pub fn new(chain: &Path, key: &Path) -> Result<Self, DeployError> {
        Ok(Self {
            chain: word::path(chain)?,
            key: word::path(key)?,
        })
    }

    /// Where certbot keeps that of a name.
    pub fn of_certbot(name: &str) -> Self {
        let file = |file: &str| format!("/etc/letsencrypt/live/{name}/{file}.pem");
        Self {
            chain: file("fullchain"),
            key: file("privkey"),
        }
    }
}

impl Site {
    /// As a configuration has it; `asked` is the public address where it has none.
    ///
    /// # Errors
    /// When there is no address, when one of them cannot be proxied, or when the server speaks TLS
    /// itself.
    pub fn read(config: &Config, asked: Option<&str>) -> Result<Self, DeployError> {
        if config.tls != Tls::None {
            return Err(DeployError::new(
                "agentkeys.deploy.tls_at_server",
                "the server speaks TLS itself ([tls] mode), and needs no proxy for it",
                "set `[tls] mode = \"none\"` to have a proxy speak it",
            ));
        }
        if config.server.listen.port() == 0 {
            return Err(DeployError::new(
                "agentkeys.deploy.port_unknown",
                "server.listen has port 0, which is another one each time",
                "set a port, such as 127.0.0.1:8088",
            ));
        }
        let public_url = public_url(config, asked)?;
        let (name, port) = host(&public_url)?;
        let mut names = vec![name];
        if let Some(relay) = &config.relay.public_url {
            let (name, relay_port) = host(&relay.to_string())?;
            if relay_port != port {
                return Err(unusable(relay, "has another port than server.public_url"));
            }
            if !names.contains(&name) {
                names.push(name);
            }
        }
        Ok(Self {
            names,
            port,
            public_url,
            relay_url: config.relay.public_url.as_ref().map(ToString::to_string),
            listen: reached(config.server.listen),
        })
    }

    /// The network a proxy on this machine comes from.
    pub fn behind_proxy(&self) -> String {
        match self.listen.ip() {
            IpAddr::V4(ip) => format!("{ip}/32"),
            IpAddr::V6(ip) => format!("{ip}/128"),
        }
    }
}

fn public_url(config: &Config, asked: Option<&str>) -> Result<String, DeployError> {
    match (&config.server.public_url, asked) {
        (Some(there), Some(asked)) if *there != *asked => Err(DeployError::new(
            "agentkeys.deploy.name_differs",
            format!("the server is configured as {there}, and would not answer to {asked}"),
            "leave --domain out, or change server.public_url",
        )),
        (Some(there), _) => Ok(there.to_string()),
        (None, Some(asked)) => Ok(asked.to_owned()),
        (None, None) => Err(DeployError::new(
            "agentkeys.deploy.no_name",
            "nothing says under which name hosts call this server",
            "name it with --domain, or set server.public_url in the agentkeys.toml of --dir",
        )),
    }
}

/// Name and port of an address that a proxy can serve.
fn host(url: &str) -> Result<(String, u16), DeployError> {
    let uri: Uri = url.parse().map_err(|_| unusable(url, "is no address"))?;
    if uri.scheme_str() != Some("https") {
        return Err(unusable(&uri, "does not begin with https://"));
    }
    let name = uri.host().unwrap_or_default().to_ascii_lowercase();
    if !is_domain(&name) {
        return Err(unusable(
            &uri,
            "has no DNS name, for which a certificate could be had",
        ));
    }
    let path = uri.path().trim_end_matches('/');
    if !["", "/mcp"].contains(&path) && !path.starts_with("/mcp_endpoint") {
        return Err(unusable(&uri, "has a path that the server does not have"));
    }
    Ok((name, uri.port_u16().unwrap_or(443)))
}

fn unusable(url: impl std::fmt::Display, why: &str) -> DeployError {
    DeployError::new(
        "agentkeys.deploy.name_unusable",
        format!("{url} {why}"),
        "write an address such as https://mcp.example.com/mcp",
    )
}
