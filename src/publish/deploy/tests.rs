#![allow(clippy::unwrap_used)]
use super::*;
use crate::config::Flags;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

fn config(file: &str) -> Config {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join(crate::config::FILE), file).unwrap();
    Config::load(dir.path(), Flags::default()).unwrap()
}

fn site(file: &str) -> Result<Site, DeployError> {
    Site::read(&config(file), None)
}

fn code<T: std::fmt::Debug>(result: Result<T, DeployError>) -> &'static str {
    result.unwrap_err().code
}

const TWO: &str = "[server]\npublic_url = \"https://MCP.example.com:8443/mcp\"\nlisten = \"0.0.0.0:9000\"\n[relay]\npublic_url = \"https://endpoint.example.com:8443/mcp_endpoint/mcp/\"\n";

#[test]
fn a_site_has_every_name_and_is_reached_here() {
    let site = site(TWO).unwrap();
    assert_eq!(site.names, ["mcp.example.com", "endpoint.example.com"]);
    assert_eq!(
        (site.port, site.listen),
        (8443, "127.0.0.1:9000".parse().unwrap())
    );
    assert_eq!(site.behind_proxy(), "127.0.0.1/32");
    let six = config("[server]\npublic_url = \"https://a.example.com\"\nlisten = \"[::]:1\"\n");
    assert_eq!(Site::read(&six, None).unwrap().behind_proxy(), "::1/128");
}

#[test]
fn a_name_is_needed_and_only_one_that_can_be_proxied_is_taken() {
    let none = config("");
    assert_eq!(code(Site::read(&none, None)), "agentkeys.deploy.no_name");
    let named = Site::read(&none, Some("https://mcp.example.com/mcp")).unwrap();
    assert_eq!(
        (named.names, named.port),
        (vec!["mcp.example.com".to_owned()], 443)
    );
    let other = Site::read(&config(TWO), Some("https://mcp.example.org/mcp"));
    assert_eq!(code(other), "agentkeys.deploy.name_differs");
    for url in [
        "http://127.0.0.1:8088/mcp",
        "https://192.0.2.1/mcp",
        "https://localhost/mcp",
        "https://a_b.example.com/mcp",
        "https://mcp.example.com/other/mcp",
    ] {
        let wrong = site(&format!("[server]\npublic_url = \"{url}\"\n"));
        assert_eq!(code(wrong), "agentkeys.deploy.name_unusable", "{url}");
    }
    let ports = "[server]\npublic_url = \"https://a.example.com/mcp\"\n[relay]\npublic_url = \"https://b.example.com:1/\"\n";
    assert_eq!(code(site(ports)), "agentkeys.deploy.name_unusable");
    let any = "[server]\npublic_url = \"https://a.example.com\"\nlisten = \"127.0.0.1:0\"\n";
    assert_eq!(code(site(any)), "agentkeys.deploy.port_unknown");
    let tls = "[server]\npublic_url = \"https://a.example.com\"\n[tls]\nmode = \"acme\"\n";
    assert_eq!(code(site(tls)), "agentkeys.deploy.tls_at_server");
}

#[test]
fn what_a_format_would_misread_is_refused() {
    for bad in [
        "relative",
        "/a\nExecStartPre=/bin/sh",
        "/a\"b",
        "/a'b",
        "/a\\b",
        "/a%h",
        "/a$HOME",
        "/a{env.X}",
        "/a;b",
        "/a#b",
        "/a\u{202e}b",
        "/a ",
        "/a/../b",
    ] {
        let refused = word::path(Path::new(bad));
        assert_eq!(code(refused), "agentkeys.deploy.path_unusable", "{bad:?}");
    }
    for (good, written) in [
        ("/var/lib/agentkeys", "/var/lib/agentkeys"),
        ("/srv/two words", "\"/srv/two words\""),
        ("/srv/数据", "\"/srv/数据\""),
        ("/srv/~a,b", "\"/srv/~a,b\""),
    ] {
        assert_eq!(quoted(&word::path(Path::new(good)).unwrap()), written);
    }
    for bad in ["root", "", "-x", "a b", "A", "a\n", "0a"] {
        assert_eq!(
            code(word::user(bad)),
            "agentkeys.deploy.user_unusable",
            "{bad:?}"
        );
    }
    assert!(word::user("agent_keys-1").is_ok());
    for bad in ["", "agentkeys", "6ff42ae2\n"] {
        assert_eq!(
            code(tunnel(bad)),
            "agentkeys.deploy.tunnel_unusable",
            "{bad:?}"
        );
    }
}

fn service(file: &str, dir: &str) -> Result<Service, DeployError> {
    let program = Path::new("/usr/bin/agentkeys");
    Service::new(&config(file), Path::new(dir), program, "agentkeys", &[])
}

fn only(bundle: &Bundle) -> String {
    let mut files = bundle.files().unwrap();
    assert_eq!(files.len(), 1);
    files.remove(0).1
}

#[test]
fn a_unit_may_write_what_it_has_to_and_bind_low_ports_only_if_it_does() {
    let plain = service("", "/var/lib/agentkeys").unwrap();
    let unit = only(&Bundle::Systemd(plain));
    for line in [
        "User=agentkeys",
        "ExecStart=/usr/bin/agentkeys serve --dir /var/lib/agentkeys",
        "StateDirectory=agentkeys",
        "CapabilityBoundingSet=",
        "PrivateUsers=yes",
    ] {
        assert!(unit.lines().any(|l| l == line), "{line}");
    }
    assert!(!unit.contains("ReadWritePaths") && !unit.contains("CAP_NET_BIND_SERVICE"));
    for low in [
        "[tls]\nmode = \"acme\"\n",
        "[server]\nlisten = \"127.0.0.1:443\"\n",
    ] {
        let unit = only(&Bundle::Systemd(
            service(low, "/var/lib/agentkeys").unwrap(),
        ));
        assert!(
            unit.contains("\nAmbientCapabilities=CAP_NET_BIND_SERVICE\n"),
            "{low}"
        );
        assert!(!unit.contains("PrivateUsers"), "{low}");
    }
    let file = "[audit]\nanchor = \"file\"\nanchor_file = \"/var/log/agentkeys/anchor\"\n";
    let refused = service(file, "/srv/agent keys");
    assert_eq!(code(refused), "agentkeys.deploy.writes_elsewhere");
    let inside = "[audit]\nanchor = \"file\"\nanchor_file = \"anchor/log\"\n";
    assert!(service(inside, "/srv/agent keys").is_ok());
    let named = Service::new(
        &config(file),
        Path::new("/srv/agent keys"),
        Path::new("/usr/bin/agentkeys"),
        "agentkeys",
        &["/var/log/agentkeys".into()],
    );
    let unit = only(&Bundle::Systemd(named.unwrap()));
    assert!(
        unit.contains("\nReadWritePaths=\"/srv/agent keys\" /var/log/agentkeys\n"),
        "{unit}"
    );
    assert!(
        unit.contains(" serve --dir \"/srv/agent keys\"\n") && !unit.contains("StateDirectory")
    );
    for hidden in ["/home/me/data", "/root/.local", "/tmp/x"] {
        assert_eq!(
            code(service("", hidden)),
            "agentkeys.deploy.path_hidden",
            "{hidden}"
        );
    }
}

#[test]
fn every_file_says_who_wrote_it_and_no_other_does() {
    let site = || site(TWO).unwrap();
    let certificate = Certificate::of_certbot("a.example.com");
    let tunnel = "6ff42ae2-765d-4adf-8112-31c55c1551ef".to_owned();
    for bundle in [
        Bundle::Systemd(service("", "/var/lib/agentkeys").unwrap()),
        Bundle::Container,
        Bundle::Compose(site()),
        Bundle::Caddy(site(), None),
        Bundle::Nginx(site(), certificate),
        Bundle::Cloudflared(site(), tunnel),
        Bundle::Monitoring(Watch::of(&config(""))),
    ] {
        for (name, text) in bundle.files().unwrap() {
            assert_eq!(written::whose(&text), State::Ours, "{name}");
            let edited = format!("{text}\n# and mine");
            assert_eq!(written::whose(&edited), State::Edited, "{name}");
            let below = format!("\n\n\n\n\n{text}");
            assert_eq!(written::whose(&below), State::Foreign, "{name}");
        }
    }
}

/// Name → labels, as the table has them.
fn metrics() -> BTreeMap<&'static str, BTreeSet<&'static str>> {
    let lines = METRICS.lines().filter(|l| !l.starts_with('#'));
    lines
        .map(|line| {
            let mut words = line.split_whitespace();
            let (name, kind) = (words.next().unwrap(), words.next().unwrap());
            assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
            let labels = words.next().map(|l| l.split(',').collect());
            (name, labels.unwrap_or_default())
        })
        .collect()
}

/// The queries of the alerts and of the board.
fn queries() -> Vec<String> {
    let watch = Watch::of(&config(""));
    let files = Bundle::Monitoring(watch).files().unwrap();
    let text = |name: &str| &files.iter().find(|f| f.0 == name).unwrap().1;
    let mut queries = vec![text("agentkeys.rules.yml").clone()];
    let board: serde_json::Value = serde_json::from_str(text("agentkeys-board.json")).unwrap();
    let panels = board["panels"].as_array().unwrap();
    let targets = panels.iter().flat_map(|p| p["targets"].as_array().unwrap());
    queries.extend(targets.map(|t| t["expr"].as_str().unwrap().to_owned()));
    queries
}

#[test]
fn alerts_and_board_use_metrics_of_the_table_and_their_labels() {
    let table = metrics();
    let mut used = BTreeSet::new();
    for query in queries() {
        let inside = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let words: Vec<&str> = query.split(|c| !inside(c)).collect();
        let mut labels = BTreeSet::from(["le"]);
        for word in words.iter().filter(|w| w.starts_with("agentkeys_")) {
            let name = table.keys().find(|n| {
                word.strip_prefix(**n)
                    .is_some_and(|rest| ["", "_bucket"].contains(&rest))
            });
            let name = name.unwrap_or_else(|| panic!("{word} is not in the table"));
            used.insert(*name);
            labels.extend(&table[name]);
        }
        for by in query.split("by (").skip(1) {
            let by = by.split(')').next().unwrap();
            for label in by.split(',').map(str::trim) {
                assert!(labels.contains(label), "{query}: {label}");
            }
        }
    }
    let unused: Vec<_> = table.keys().filter(|n| !used.contains(**n)).collect();
    assert!(unused.is_empty(), "nobody looks at {unused:?}");
}

#[test]
fn panels_have_ids_of_their_own_and_do_not_overlap() {
    let text = include_str!("../../../templates/deploy/board.json");
    let board: serde_json::Value = serde_json::from_str(text).unwrap();
    let mut taken = BTreeSet::new();
    let mut ids = BTreeSet::new();
    for panel in board["panels"].as_array().unwrap() {
        assert!(ids.insert(panel["id"].as_u64().unwrap()));
        let at = |key: &str| panel["gridPos"][key].as_u64().unwrap();
        assert!(at("x") + at("w") <= 24, "{}", panel["title"]);
        for x in at("x")..at("x") + at("w") {
            for y in at("y")..at("y") + at("h") {
                assert!(taken.insert((x, y)), "{} overlaps", panel["title"]);
            }
        }
    }
}

#[test]
fn an_alert_waits_for_five_batches() {
    let watch = |file: &str| {
        let bundle = Bundle::Monitoring(Watch::of(&config(file)));
        bundle.files().unwrap().swap_remove(1).1
    };
    assert!(watch("").contains("checkpoint_timestamp_seconds > 600\n"));
    let slow = watch("[audit]\nbatch_seconds = 3600\n");
    assert!(
        slow.contains("checkpoint_timestamp_seconds > 18000\n"),
        "{slow}"
    );
}

#[test]
fn caddy_in_a_container_finds_the_server_by_its_name() {
    let files = Bundle::Compose(site(TWO).unwrap()).files().unwrap();
    let text = |name: &str| &files.iter().find(|f| f.0 == name).unwrap().1;
    let caddy = text("Caddyfile");
    assert!(
        caddy.contains("\nmcp.example.com:8443, endpoint.example.com:8443 {\n"),
        "{caddy}"
    );
    assert!(caddy.contains("reverse_proxy agentkeys:8088 {"), "{caddy}");
    let compose = text("compose.yaml");
    assert!(compose.contains("ipv4_address: 172.31.88.2\n"));
    let line = "AGENTKEYS_SERVER_BEHIND_PROXY: \"172.31.88.2/32\"\n";
    assert!(compose.contains(line), "{compose}");
    assert!(caddy.contains("[\"172.31.88.2/32\"]"), "{caddy}");
    assert!(compose.contains("\"8443:8443\"") && !compose.contains("\"80:80\""));
}
