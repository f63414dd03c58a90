#![allow(clippy::unwrap_used)]
use super::keys::KEYS;
use super::read::variable;
use super::*;
use serde_json::json;
use std::path::PathBuf;

fn config(file: &str, env: &[(&str, &str)], flags: Flags) -> Result<Config, Problem> {
    Config::from_sources(Sources {
        flags,
        env: env
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect(),
        file: Some((PathBuf::from("agentkeys.toml"), file.to_owned())),
    })
}

fn cause(file: &str, env: &[(&str, &str)]) -> (&'static str, String, String) {
    let problem = config(file, env, Flags::default()).unwrap_err();
    assert_eq!(problem.exit, Exit::Config);
    (problem.code, problem.cause, problem.fix)
}

fn setting(config: &Config, key: &str) -> (serde_json::Value, String) {
    let found = config.settings().iter().find(|s| s.key == key).unwrap();
    (found.value.clone(), found.origin.to_string())
}

#[test]
fn a_flag_beats_the_environment_beats_the_file_beats_the_default() {
    let file = "[server]\nlisten = \"127.0.0.1:1\"\n\n[limits]\nburst = 7\n";
    let env = [("AGENTKEYS_SERVER_LISTEN", "127.0.0.1:2")];
    let flags = Flags::default().with("server.listen", "--listen", Some("127.0.0.1:3"));

    let all = config(file, &env, flags).unwrap();
    assert_eq!(all.server.listen.port(), 3);
    assert_eq!(
        setting(&all, "server.listen"),
        (json!("127.0.0.1:3"), "flag --listen".to_owned())
    );
    let no_flag = config(file, &env, Flags::default()).unwrap();
    assert_eq!(
        setting(&no_flag, "server.listen"),
        (
            json!("127.0.0.1:2"),
            "env AGENTKEYS_SERVER_LISTEN".to_owned()
        )
    );
    let no_env = config(file, &[], Flags::default()).unwrap();
    assert_eq!(
        setting(&no_env, "server.listen"),
        (json!("127.0.0.1:1"), "file agentkeys.toml:2".to_owned())
    );
    assert_eq!(
        setting(&no_env, "limits.burst"),
        (json!(7), "file agentkeys.toml:5".to_owned())
    );
    let bare = config("", &[], Flags::default()).unwrap();
    assert_eq!(
        setting(&bare, "server.listen"),
        (json!("127.0.0.1:8088"), "default".to_owned())
    );
}

#[test]
fn what_is_no_file_is_refused_and_not_waited_for() {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join(FILE);
    let code = || {
        Config::load(temp.path(), Flags::default())
            .err()
            .map(|p| p.code)
    };
    let unreadable = Some("agentkeys.config.file_unreadable");
    assert_eq!(code(), None);
    std::fs::write(&path, "#".repeat(2 * 1024 * 1024)).unwrap();
    assert_eq!(code(), unreadable);
    std::fs::remove_file(&path).unwrap();
    let piped = std::process::Command::new("mkfifo").arg(&path).status();
    assert!(piped.unwrap().success());
    assert_eq!(code(), unreadable);
    std::fs::remove_file(&path).unwrap();
    std::os::unix::fs::symlink("/dev/zero", &path).unwrap();
    assert_eq!(code(), unreadable);
    // A link to a file is how some deploy it.
    std::fs::remove_file(&path).unwrap();
    std::fs::write(temp.path().join("theirs"), "").unwrap();
    std::os::unix::fs::symlink("theirs", &path).unwrap();
    assert_eq!(code(), None);
}

#[test]
fn a_public_address_has_nothing_in_it_that_a_page_or_a_shell_would_read() {
    let read = |url: &str| {
        let flags = Flags::default().with("server.public_url", "--url", Some(url));
        config("", &[], flags).map_err(|p| p.code)
    };
    for good in [
        "https://mcp.example.com/mcp",
        "https://h:8443/a-b/c_d.e/~f/mcp",
        "http://[::1]:8088/mcp",
    ] {
        assert!(read(good).is_ok(), "{good}");
    }
    for path in [
        "{{7*7}}", "a'b", "a\"b", "$(x)", "a|b", "[a]", "a(b)", "a%20b", "a;b", "a&b", "a:b", "`x`",
    ] {
        let url = format!("https://mcp.example.com/{path}/mcp");
        let refused = read(&url).unwrap_err();
        assert_eq!(refused, "agentkeys.config.value_invalid", "{url}");
    }
    for host in ["a'b.example.com", "{h}.example.com", "$h", "a(b).com"] {
        assert!(read(&format!("https://{host}/mcp")).is_err(), "{host}");
    }
}

#[test]
fn the_environment_speaks_every_kind() {
    let env = [
        ("AGENTKEYS_AUDIT_BATCH_SECONDS", "2"),
        ("AGENTKEYS_SERVER_BEHIND_PROXY", "10.0.0.0/8, ::1/128"),
        ("AGENTKEYS_LIMITS_CALLS_PER_SECOND", "0"),
        ("AGENTKEYS_DIR", "/somewhere"),
    ];
    let config = config("", &env, Flags::default()).unwrap();
    assert_eq!(config.audit.batch_seconds, 2);
    assert_eq!(config.server.behind_proxy.len(), 2);
    assert_eq!(config.limits().calls.per_second, 0);
}

#[test]
fn the_defaults_are_the_authoritys_own() {
    let config = config("", &[], Flags::default()).unwrap();
    let (ours, theirs) = (config.limits(), Limits::default());
    assert_eq!((ours.calls, ours.refusals), (theirs.calls, theirs.refusals));
}

#[test]
fn the_file_that_init_writes_says_the_defaults() {
    let as_written = config(DEFAULT_FILE, &[], Flags::default()).unwrap();
    let none = config("", &[], Flags::default()).unwrap();
    let uncommented: Vec<_> = DEFAULT_FILE
        .lines()
        .map(|line| {
            let rest = line.strip_prefix("# ").unwrap_or(line);
            let key = rest.split(" = ").next().unwrap_or_default();
            let is_key = rest.contains(" = ") && !key.contains(' ');
            if is_key { rest } else { line }
        })
        .collect();
    let uncommented = uncommented.join("\n");
    let spelt_out = config(&uncommented, &[], Flags::default()).unwrap();
    for (key, _) in KEYS {
        let (value, origin) = setting(&spelt_out, key);
        assert!(origin.starts_with("file "), "{key} is not in the file");
        assert_eq!(value, setting(&none, key).0, "{key}");
        assert_eq!(setting(&as_written, key).1, "default", "{key}");
    }
    assert_eq!(none.settings().len(), KEYS.len());
}

#[test]
fn the_file_of_a_public_host_has_what_it_needs() {
    let host = PublicHost {
        url: "https://mcp.example.com/mcp",
        ..PublicHost::default()
    };
    let read =
        |host: &PublicHost<'_>| config(&default_file(Some(host)), &[], Flags::default()).unwrap();
    let plain = read(&host);
    let url = plain.server.public_url.unwrap();
    assert_eq!(url.host(), Some("mcp.example.com"));
    assert!(plain.relay.public_url.is_none());
    assert_eq!(plain.server.listen.to_string(), "0.0.0.0:443");
    assert!(matches!(plain.tls, Tls::Acme(acme) if acme.email.is_none()));

    let more = read(&PublicHost {
        relay_url: Some("https://relay.example.com"),
        email: Some("ops@example.com"),
        ..host
    });
    let relay = more.relay.public_url.unwrap();
    assert_eq!(relay.host(), Some("relay.example.com"));
    assert!(
        matches!(more.tls, Tls::Acme(acme) if acme.email.as_deref() == Some("ops@example.com"))
    );

    let proxies = ["10.0.0.0/8".to_owned()];
    let behind = read(&PublicHost {
        behind_proxy: &proxies,
        ..host
    });
    assert_eq!(behind.tls, Tls::None);
    assert_eq!(behind.server.listen.to_string(), "127.0.0.1:8088");
    assert_eq!(behind.server.behind_proxy, ["10.0.0.0/8".parse().unwrap()]);
}

#[test]
fn an_unknown_key_is_named_with_its_line_and_those_that_are_known() {
    let (code, what, fix) = cause("[server]\n\nlisen = \"127.0.0.1:1\"\n", &[]);
    assert_eq!(code, "agentkeys.config.key_unknown");
    assert_eq!(what, "agentkeys.toml:3: \"lisen\" is not a key of [server]");
    assert!(fix.contains("listen, operator_listen"), "{fix}");

    let (code, what, fix) = cause("[sever]\nlisten = \"127.0.0.1:1\"\n", &[]);
    assert_eq!(code, "agentkeys.config.key_unknown");
    assert_eq!(what, "agentkeys.toml:1: \"sever\" is not a section");
    assert!(
        fix.contains("server, tls, relay, limits, audit, log"),
        "{fix}"
    );

    let (code, what, _) = cause("", &[("AGENTKEYS_SERVER_LISEN", "x")]);
    assert_eq!(code, "agentkeys.config.key_unknown");
    assert!(what.contains("AGENTKEYS_SERVER_LISEN"), "{what}");

    assert_eq!(
        cause("listen = 1", &[]).1,
        "agentkeys.toml:1: \"listen\" is not a section"
    );
}

#[test]
fn bad_values_say_where_they_stand() {
    let bad = [
        "[server]\nlisten = \"localhost\"",
        "[server]\nlisten = 8088",
        "[server]\nbehind_proxy = \"proxy\"",
        "[server]\nbehind_proxy = [\"10.0.0.1/8\"]",
        "[server]\npublic_url = \"http://mcp.example.com\"",
        "[server]\npublic_url = \"https://u@mcp.example.com\"",
        "[server]\npublic_url = \"mcp.example.com\"",
        "[server]\nallowed_hosts = [\"https://x\"]",
        "[server]\nallowed_origins = [\"x\"]",
        "[relay]\npublic_url = \"https://agentkeys.example.com\"",
        "[limits]\nburst = -1",
        "[limits]\nburst = \"many\"",
        "[audit]\nbatch_seconds = 0",
        "[audit]\nanchor = \"chain\"",
        "[audit]\nchain_id = -1",
        "[audit]\ncontract = \"0x5fbd\"",
        "[audit]\nconfirmations = 0",
        "[audit]\nconfirmations = 101",
        "[audit]\nmax_fee_gwei = 0",
        "[log]\nformat = \"xml\"",
        "[log]\nlevel = \"loud\"",
    ];
    for file in bad {
        let (code, what, _) = cause(file, &[]);
        assert_eq!(code, "agentkeys.config.value_invalid", "{file}");
        assert!(what.contains("agentkeys.toml:2"), "{what}");
    }
    for file in ["[server", "[server]\nlisten = true", "[server]\nlisten ="] {
        assert_eq!(
            cause(file, &[]).0,
            "agentkeys.config.file_invalid",
            "{file}"
        );
    }
    let same = "[server]\noperator_listen = \"127.0.0.1:8088\"";
    assert_eq!(cause(same, &[]).0, "agentkeys.config.value_invalid");
    let (_, what, _) = cause("", &[("AGENTKEYS_AUDIT_BATCH_SECONDS", "soon")]);
    assert!(what.contains("env AGENTKEYS_AUDIT_BATCH_SECONDS"), "{what}");
}

#[test]
fn variables_follow_the_keys() {
    assert_eq!(
        variable("audit.batch_seconds"),
        "AGENTKEYS_AUDIT_BATCH_SECONDS"
    );
}

#[test]
fn an_anchor_names_the_key_it_lacks() {
    const CONTRACT: &str = "0x5fbdb2315678afecb367f032d93f642f64180aa3";
    let lacks = |file: &str| {
        let (code, what, fix) = cause(file, &[]);
        assert_eq!(code, "agentkeys.config.value_missing");
        assert!(fix.starts_with("set audit."), "{fix}");
        what
    };
    let what = lacks("[audit]\nanchor = \"file\"");
    assert_eq!(
        what,
        "audit.anchor is \"file\", and audit.anchor_file is not set"
    );
    let mut file = "[audit]\nanchor = \"evm\"\n".to_owned();
    for (key, value) in [
        ("rpc_url_file", "\"rpc.url\""),
        ("chain_id", "31337"),
        ("contract", &format!("{CONTRACT:?}")),
    ] {
        let what = lacks(&file);
        assert!(what.contains(&format!("audit.{key} is not set")), "{what}");
        file = format!("{file}{key} = {value}\n");
    }
    let evm = config(&file, &[], Flags::default()).unwrap().audit.anchor;
    let wanted = Evm {
        rpc_url_file: PathBuf::from("rpc.url"),
        chain_id: 31337,
        contract: CONTRACT.parse().unwrap(),
        confirmations: 12,
        max_fee_gwei: 100,
    };
    assert_eq!(evm, AnchorTo::Evm(wanted));
    // What only the others need may stand there.
    let none = config(
        &file,
        &[("AGENTKEYS_AUDIT_ANCHOR", "none")],
        Flags::default(),
    );
    assert_eq!(none.unwrap().audit.anchor, AnchorTo::None);
}

#[test]
fn a_certificates_source_needs_its_keys_and_says_which() {
    let none = config("", &[], Flags::default()).unwrap();
    assert_eq!(none.tls, Tls::None);
    let file = "[tls]\nmode = \"files\"\ncertificate = \"a.pem\"\nkey = \"a.key\"\n";
    let Tls::Files(files) = config(file, &[], Flags::default()).unwrap().tls else {
        panic!("not files")
    };
    assert_eq!(files.certificate, PathBuf::from("a.pem"));
    let acme = "[tls]\nmode = \"acme\"\nnames = [\"MCP.example.com\", \"192.0.2.1\"]\n";
    let Tls::Acme(acme) = config(acme, &[], Flags::default()).unwrap().tls else {
        panic!("not acme")
    };
    assert_eq!(acme.names, ["mcp.example.com", "192.0.2.1"]);
    assert_eq!(acme.challenge, Challenge::Http01);
    for (file, said) in [
        (
            "mode = \"files\"\ncertificate = \"a\"",
            "tls.key is not set",
        ),
        (
            "mode = \"acme\"\nchallenge = \"dns-01\"",
            "tls.dns_hook is not set",
        ),
        (
            "mode = \"acme\"\neab_kid = \"k\"",
            "tls.eab_key_file is not set",
        ),
        ("mode = \"yes\"", "none, files or acme"),
        ("challenge = \"dns\"", "tls-alpn-01"),
        ("directory = \"http://ca.example\"", "https://"),
        ("names = [\"a b\"]", "a name such as"),
        ("names = [\"localhost\"]", "a name such as"),
        ("dns_wait_seconds = 0", "from 1 to 3600"),
    ] {
        let (_, cause, _) = self::cause(&format!("[tls]\n{file}\n"), &[]);
        assert!(cause.contains(said), "{file}: {cause}");
    }
}

#[test]
fn what_a_listing_says_of_its_operator_is_plain() {
    let listing = |line: &str| config(&format!("[listing]\n{line}\n"), &[], Flags::default());
    let good = [
        "publisher = \"io.github.octocat\"",
        "company = \"示例玩具有限公司 (Example Toys)\"",
        "support = \"help+toys@example.com\"",
        "support = \"https://example.com/help\"",
        "privacy_url = \"https://example.com/privacy\"",
        "icon_url = \"https://example.com/icon-400.png\"",
    ];
    for line in good {
        assert!(listing(line).is_ok(), "{line}");
    }
    let company = listing(good[1]).unwrap().listing.company;
    assert_eq!(company.as_deref(), Some("示例玩具有限公司 (Example Toys)"));
    let bad = [
        "publisher = \"octocat\"",
        "publisher = \"io.github.octocat/agentkeys\"",
        "publisher = \"io..octocat\"",
        "company = \"a|b\"",
        "company = \"<b>\"",
        "company = \"a\\nb\"",
        "support = \"somebody\"",
        "support = \"a b@example.com\"",
        "support = \"http://example.com/help\"",
        "privacy_url = \"https://example.com/a)b\"",
        "terms_url = \"http://127.0.0.1/terms\"",
    ];
    for line in bad {
        let code = listing(line).unwrap_err().code;
        assert_eq!(code, "agentkeys.config.value_invalid", "{line}");
    }
}
