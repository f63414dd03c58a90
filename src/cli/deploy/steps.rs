//! What an operator does once the files are written, as commands that can be pasted.

use super::{Bundle, Kind};
use crate::config::Config;
use std::path::Path;

/// A file whose place on a machine is known, and what makes it take effect there.
struct Place {
    folder: &'static str,
    file: &'static str,
    then: &'static str,
    /// Whether others have a file of that name, so that ours may have to be put into theirs.
    shared: bool,
}

const fn place(kind: &Kind) -> Option<Place> {
    let (folder, file, then, shared) = match kind {
        Kind::Systemd { .. } => (
            "/etc/systemd/system",
            "agentkeys.service",
            "systemctl daemon-reload && systemctl enable --now agentkeys",
            false,
        ),
        Kind::Caddy { .. } => ("/etc/caddy", "Caddyfile", "systemctl reload caddy", true),
        Kind::Nginx { .. } => (
            "/etc/nginx/conf.d",
            "agentkeys.conf",
            "nginx -t && systemctl reload nginx",
            false,
        ),
        Kind::Cloudflared { .. } => (
            "/etc/cloudflared",
            "config.yml",
            "cloudflared tunnel run",
            true,
        ),
        Kind::Container { .. } | Kind::Compose { .. } | Kind::Monitoring { .. } => return None,
    };
    Some(Place {
        folder,
        file,
        then,
        shared,
    })
}

/// The steps, in their order, for files in `out` or printed ones.
pub(super) fn next(
    kind: &Kind,
    config: &Config,
    bundle: &Bundle,
    out: Option<&Path>,
) -> Vec<String> {
    let mut steps = Vec::new();
    if let Some(network) = bundle.behind_proxy()
        && !believed(config, &network)
    {
        steps.push(format!(
            "set `behind_proxy = [\"{network}\"]` under [server] in agentkeys.toml, or: agentkeys serve --behind-proxy {network}"
        ));
    }
    steps.push(match place(kind) {
        Some(place) => placed(&place, out),
        None => started(kind, out),
    });
    steps
}

fn placed(place: &Place, out: Option<&Path>) -> String {
    let Place {
        folder, file, then, ..
    } = place;
    match out {
        Some(out) if out == Path::new(folder) => (*then).to_owned(),
        None => format!("save it as {folder}/{file}, then: {then}"),
        Some(out) if place.shared => {
            let there = word(&out.join(file));
            format!("take {there} over into {folder}/{file}, then: {then}")
        }
        Some(out) => {
            let there = word(&out.join(file));
            format!("install -m 0644 {there} {folder}/ && {then}")
        }
    }
}

/// What works on files wherever they are.
fn started(kind: &Kind, out: Option<&Path>) -> String {
    let at = |file: &str| match out {
        Some(out) => word(&out.join(file)),
        None => file.to_owned(),
    };
    let command = match kind {
        Kind::Compose { .. } => {
            format!("docker compose --file {} up --detach", at("compose.yaml"))
        }
        Kind::Container { .. } => {
            let folder = out.map_or_else(|| ".".to_owned(), word);
            format!("podman build --format docker --tag agentkeys {folder}")
        }
        _ => format!("promtool check config {}", at("prometheus.yml")),
    };
    match out {
        Some(_) => command,
        None => format!("save the files under these names, then: {command}"),
    }
}

/// A path as a shell takes it.
fn word(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_alphanumeric() || "/._+@:~,-".contains(c);
    if text.chars().all(plain) {
        return text;
    }
    format!("'{}'", text.replace('\'', "'\\''"))
}

/// Whether the server believes what comes from all of a network.
fn believed(config: &Config, network: &str) -> bool {
    let network = network.parse::<ipnet::IpNet>();
    let trusted = &config.server.behind_proxy;
    network.is_ok_and(|n| trusted.iter().any(|t| t.contains(&n)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_one_word_of_a_shell() {
        assert_eq!(word(Path::new("/srv/a-b")), "/srv/a-b");
        assert_eq!(word(Path::new("/srv/a b")), "'/srv/a b'");
        assert_eq!(word(Path::new("/srv/a'b")), "'/srv/a'\\''b'");
    }
}
