//! What the machines around the server read: a service unit, an image, proxies in front, monitoring.
//!
//! Each [`Bundle`] is rendered from `templates/deploy/` and written beside what is there, of which
//! nothing is lost. What goes into a template was checked in `site`, `service` and `word`:
//! no format of these needs an escape for it.

mod service;
mod site;
mod word;
mod written;

#[cfg(test)]
mod tests;

use std::net::SocketAddr;

use minijinja::{Value as Input, context};

use super::template;
use crate::config::{Config, reached};
use crate::problem::{Exit, Problem};

pub use service::{Service, guarded};
pub use site::{Certificate, Site};
pub use word::{quoted, tunnel};
pub(in crate::publish) use written::keep;
pub use written::{Files, Outcome, State, Told};

/// The metrics that alerts and board rely on: a line `name type labels` each, `#` before what is said
/// about them.
pub const METRICS: &str = include_str!("../../../templates/deploy/metrics.txt");

/// Addresses of the network that the containers of `compose.yaml` have to themselves.
const SUBNET: &str = "172.31.88.0/29";
const PROXY: &str = "172.31.88.2";
const SERVER: &str = "172.31.88.3";

/// Why something cannot be deployed.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
#[error("{cause}")]
pub struct DeployError {
    /// A stable code.
    pub code: &'static str,
    /// What is wrong.
    pub cause: String,
    /// What to do about it.
    pub fix: String,
}

impl DeployError {
    fn new(code: &'static str, cause: impl Into<String>, fix: impl Into<String>) -> Self {
        Self {
            code,
            cause: cause.into(),
            fix: fix.into(),
        }
    }
}

impl From<DeployError> for Problem {
    fn from(error: DeployError) -> Self {
        Self::new(Exit::Config, error.code, error.cause, error.fix)
    }
}

/// Files that belong together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Bundle {
    /// A systemd unit.
    Systemd(Service),
    /// How an image is made.
    Container,
    /// The image, and Caddy in front of it.
    Compose(Site),
    /// Caddy on this machine; it gets its certificate itself, unless one is named.
    Caddy(Site, Option<Certificate>),
    /// nginx on this machine.
    Nginx(Site, Certificate),
    /// A Cloudflare Tunnel, by its id.
    Cloudflared(Site, String),
    /// Prometheus and Grafana.
    Monitoring(Watch),
}

/// What monitoring has to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Watch {
    /// Where metrics are.
    pub operator: SocketAddr,
    /// How often the log is sealed, in seconds.
    pub batch_seconds: u32,
}

impl Watch {
    /// As a configuration has it.
    pub fn of(config: &Config) -> Self {
        Self {
            operator: reached(config.server.operator_listen),
            batch_seconds: config.audit.batch_seconds,
        }
    }
}

impl Bundle {
    /// Its files: name and text.
    pub fn files(&self) -> Result<Vec<(&'static str, String)>, DeployError> {
        let rendered = self.rendered()?.into_iter();
        Ok(rendered
            .map(|(name, text)| (name, written::sealed(&text)))
            .collect())
    }

    fn rendered(&self) -> Result<Vec<(&'static str, String)>, DeployError> {
        Ok(match self {
            Self::Systemd(service) => vec![("agentkeys.service", unit(service)?)],
            Self::Container => vec![("Containerfile", containerfile()?)],
            Self::Compose(site) => vec![
                ("compose.yaml", compose(site)?),
                ("Caddyfile", caddyfile(&contained(site), None, "compose")?),
                ("Containerfile", containerfile()?),
            ],
            Self::Caddy(site, certificate) => {
                let certificate = certificate.as_ref();
                vec![("Caddyfile", caddyfile(site, certificate, "caddy")?)]
            }
            Self::Nginx(site, certificate) => vec![("agentkeys.conf", nginx(site, certificate)?)],
            Self::Cloudflared(site, tunnel) => vec![("config.yml", cloudflared(site, tunnel)?)],
            Self::Monitoring(watch) => vec![
                ("prometheus.yml", prometheus(*watch)?),
                ("agentkeys.rules.yml", alerts(*watch)?),
                (
                    "agentkeys-board.json",
                    include_str!("../../../templates/deploy/board.json").to_owned(),
                ),
            ],
        })
    }

    /// The network whose `X-Forwarded-For` the server has to believe; none where no proxy is, or
    /// where the files themselves say it.
    pub fn behind_proxy(&self) -> Option<String> {
        match self {
            Self::Caddy(site, _) | Self::Nginx(site, _) | Self::Cloudflared(site, _) => {
                Some(site.behind_proxy())
            }
            _ => None,
        }
    }
}

fn render(template: &str, values: Input) -> Result<String, DeployError> {
    template::render(&template::room(), template, values).map_err(|flaw| {
        DeployError::new(
            "agentkeys.deploy.template",
            flaw.cause,
            "this is a fault of the program; report it",
        )
    })
}

fn unit(service: &Service) -> Result<String, DeployError> {
    let template = include_str!("../../../templates/deploy/agentkeys.service");
    let writable: Vec<String> = service.writable.iter().map(|p| quoted(p)).collect();
    let values = context! {
        user => &service.user, program => quoted(&service.program), dir => quoted(&service.dir),
        state => service.state(), writable => writable.join(" "), low_ports => service.low_ports,
    };
    render(template, values)
}

fn containerfile() -> Result<String, DeployError> {
    let template = include_str!("../../../templates/deploy/Containerfile");
    render(template, context! { version => env!("CARGO_PKG_VERSION") })
}

fn compose(site: &Site) -> Result<String, DeployError> {
    let template = include_str!("../../../templates/deploy/compose.yaml");
    let values = context! {
        version => env!("CARGO_PKG_VERSION"), public_url => &site.public_url,
        relay_url => &site.relay_url, port => site.port, subnet => SUBNET,
        behind_proxy => format!("{PROXY}/32"), proxy_address => PROXY, server_address => SERVER,
    };
    render(template, values)
}

/// The site as the proxy beside the server's container sees it.
fn contained(site: &Site) -> Site {
    Site {
        listen: site::IN_CONTAINER,
        ..site.clone()
    }
}

fn caddyfile(site: &Site, own: Option<&Certificate>, kind: &str) -> Result<String, DeployError> {
    let template = include_str!("../../../templates/deploy/Caddyfile");
    let port = match site.port {
        443 => String::new(),
        port => format!(":{port}"),
    };
    let names = site.names.iter().map(|name| format!("{name}{port}"));
    let names: Vec<String> = names.collect();
    let plain = site.names.iter().map(|name| format!("http://{name}"));
    let plain: Vec<String> = plain.collect();
    let inside = kind == "compose";
    let (behind_proxy, upstream) = if inside {
        (format!("{PROXY}/32"), "agentkeys:8088".to_owned())
    } else {
        (site.behind_proxy(), site.listen.to_string())
    };
    let values = context! {
        kind, behind_proxy, upstream, port => site.port, sites => names.join(", "),
        plain_sites => plain.join(", "),
        certificate => own.map(|c| quoted(&c.chain)), certificate_key => own.map(|c| quoted(&c.key)),
    };
    render(template, values)
}

fn nginx(site: &Site, certificate: &Certificate) -> Result<String, DeployError> {
    let template = include_str!("../../../templates/deploy/nginx.conf");
    let values = context! {
        behind_proxy => site.behind_proxy(), upstream => site.listen.to_string(), port => site.port,
        names => site.names.join(" "), certificate => quoted(&certificate.chain),
        certificate_key => quoted(&certificate.key),
    };
    render(template, values)
}

fn cloudflared(site: &Site, tunnel: &str) -> Result<String, DeployError> {
    let template = include_str!("../../../templates/deploy/cloudflared.yml");
    let values = context! {
        behind_proxy => site.behind_proxy(), upstream => site.listen.to_string(), tunnel,
        names => &site.names,
    };
    render(template, values)
}

fn prometheus(watch: Watch) -> Result<String, DeployError> {
    let template = include_str!("../../../templates/deploy/prometheus.yml");
    render(
        template,
        context! { operator => watch.operator.to_string() },
    )
}

fn alerts(watch: Watch) -> Result<String, DeployError> {
    let template = include_str!("../../../templates/deploy/alerts.yml");
    let values = context! {
        operator => watch.operator.to_string(), batch => watch.batch_seconds,
        lag => (5 * watch.batch_seconds).max(600),
    };
    render(template, values)
}
