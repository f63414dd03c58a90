//! Every key there is, with its default, and the file `init` writes.

/// A key's value when nobody gives one.
#[derive(Debug, Clone, Copy)]
pub(super) enum Fallback {
    /// A text; empty means not set.
    Text(&'static str),
    /// A number.
    Number(i64),
    /// No entries.
    EmptyList,
}

/// The keys by section, in the order people see them.
pub(super) const KEYS: &[(&str, Fallback)] = &[
    ("server.public_url", Fallback::Text("")),
    ("server.listen", Fallback::Text("127.0.0.1:8088")),
    ("server.operator_listen", Fallback::Text("127.0.0.1:8089")),
    ("server.behind_proxy", Fallback::EmptyList),
    ("server.allowed_hosts", Fallback::EmptyList),
    ("server.allowed_origins", Fallback::EmptyList),
    ("tls.mode", Fallback::Text("none")),
    ("tls.certificate", Fallback::Text("")),
    ("tls.key", Fallback::Text("")),
    ("tls.look_every_seconds", Fallback::Number(60)),
    (
        "tls.directory",
        Fallback::Text("https://acme-v02.api.letsencrypt.org/directory"),
    ),
    (
        "tls.staging_directory",
        Fallback::Text("https://acme-staging-v02.api.letsencrypt.org/directory"),
    ),
    ("tls.ca_file", Fallback::Text("")),
    ("tls.names", Fallback::EmptyList),
    ("tls.email", Fallback::Text("")),
    ("tls.challenge", Fallback::Text("http-01")),
    ("tls.http_listen", Fallback::Text("0.0.0.0:80")),
    ("tls.dns_hook", Fallback::Text("")),
    ("tls.dns_wait_seconds", Fallback::Number(30)),
    ("tls.profile", Fallback::Text("")),
    ("tls.eab_kid", Fallback::Text("")),
    ("tls.eab_key_file", Fallback::Text("")),
    ("relay.public_url", Fallback::Text("")),
    ("relay.connect", Fallback::EmptyList),
    ("limits.calls_per_second", Fallback::Number(20)),
    ("limits.burst", Fallback::Number(100)),
    ("limits.refusals_per_second", Fallback::Number(10)),
    ("audit.batch_seconds", Fallback::Number(120)),
    ("audit.anchor", Fallback::Text("none")),
    ("audit.anchor_file", Fallback::Text("")),
    ("audit.rpc_url_file", Fallback::Text("")),
    ("audit.chain_id", Fallback::Number(0)),
    ("audit.contract", Fallback::Text("")),
    ("audit.confirmations", Fallback::Number(12)),
    ("audit.max_fee_gwei", Fallback::Number(100)),
    ("log.format", Fallback::Text("human")),
    ("log.level", Fallback::Text("info")),
    ("listing.publisher", Fallback::Text("")),
    ("listing.company", Fallback::Text("")),
    ("listing.support", Fallback::Text("")),
    ("listing.privacy_url", Fallback::Text("")),
    ("listing.terms_url", Fallback::Text("")),
    ("listing.icon_url", Fallback::Text("")),
];

/// What `agentkeys init` writes as `agentkeys.toml`: every key with its default, commented out, so
/// that a later version's better default takes effect.
pub const DEFAULT_FILE: &str = r#"# AgentKeys. Order of precedence: flag, environment (AGENTKEYS_<SECTION>_<KEY>), this file,
# default. `agentkeys config show --origin` says what is in force and why.

[server]
# The address hosts call, as they see it, such as "https://mcp.example.com/mcp".
# public_url = ""
# Where MCP is served.
# listen = "127.0.0.1:8088"
# Where health, metrics and the audit feed are served; keep it on loopback.
# operator_listen = "127.0.0.1:8089"
# Reverse proxies whose X-Forwarded-For is believed, such as ["10.0.0.0/8"].
# behind_proxy = []
# Host headers to answer to besides that of public_url.
# allowed_hosts = []
# Origin headers to answer to; browsers send one, device hosts do not.
# allowed_origins = []

[tls]
# Where the certificate comes from: "none" (plain HTTP, on loopback or behind a proxy), "files"
# (somebody else renews it) or "acme" (this program gets and renews it).
# mode = "none"
# For "files": PEM, the server's certificate first, and its key. They are looked at again this often.
# certificate = ""
# key = ""
# look_every_seconds = 60
# For "acme": the ACME server, the same for rehearsals, and a PEM file to trust it by if it is a
# private one.
# directory = "https://acme-v02.api.letsencrypt.org/directory"
# staging_directory = "https://acme-staging-v02.api.letsencrypt.org/directory"
# ca_file = ""
# More names of the certificate than those of the public addresses.
# names = []
# Where the ACME server may write when something is wrong.
# email = ""
# How the names are proved to be ours: "http-01" (port 80), "tls-alpn-01" (port 443) or "dns-01".
# challenge = "http-01"
# Where http-01 is answered; all else there is sent to https.
# http_listen = "0.0.0.0:80"
# For "dns-01": a program that is called as `HOOK set|remove NAME VALUE` for a TXT record, and how
# long a record needs until the world sees it.
# dns_hook = ""
# dns_wait_seconds = 30
# A profile of the ACME server, such as "shortlived", and its external account binding.
# profile = ""
# eab_kid = ""
# eab_key_file = ""

[relay]
# The address of the xiaozhi endpoint, when it is another one: that host refuses URLs with "key"
# or "call" in them.
# public_url = ""
# Relays to dial: a file for each agent's connection, such as ["/etc/agentkeys/kevin.relay.json"].
# connect = []

[limits]
# Calls a second for one token and actor, and how many may come at once. 0 is no limit.
# calls_per_second = 20
# burst = 100
# Refusals a second for one token.
# refusals_per_second = 10

[audit]
# How often the log is sealed into a signed checkpoint.
# batch_seconds = 120
# Where checkpoints go besides: "none", "file" or "evm". Only "evm" puts them on a chain.
# anchor = "none"
# For "file": each signed checkpoint is appended to this file.
# anchor_file = ""
# For "evm": a file of mode 0600 with the address of a JSON-RPC node, the chain's id (0 is none) and
# the audit contract there, such as "0x5fbdb2315678afecb367f032d93f642f64180aa3".
# rpc_url_file = ""
# chain_id = 0
# contract = ""
# Blocks on top of a root before it counts as anchored, and the most a unit of gas may cost.
# confirmations = 12
# max_fee_gwei = 100

[log]
# "human" or "json".
# format = "human"
# off, error, warn, info, debug or trace.
# level = "info"

[listing]
# What `agentkeys listing` says of whoever runs this server; what is not said is left out.
# The namespace in the MCP registry, such as "io.github.octocat"; without it that of public_url.
# publisher = ""
# Who runs the server, where its users get help (an e-mail address or a page), and its own documents.
# company = ""
# support = ""
# privacy_url = ""
# terms_url = ""
# Where images/icon-400.png can be fetched.
# icon_url = ""
"#;

/// What is known of a public host when its file is written.
#[derive(Debug, Clone, Copy, Default)]
pub struct PublicHost<'a> {
    /// The address hosts call.
    pub url: &'a str,
    /// The address of the endpoint, when it is another.
    pub relay_url: Option<&'a str>,
    /// Where the ACME server may write.
    pub email: Option<&'a str>,
    /// The proxies that speak TLS in front; without any the server does so itself.
    pub behind_proxy: &'a [String],
}

/// The default file, for a public host if it is one.
pub fn default_file(host: Option<&PublicHost<'_>>) -> String {
    let Some(host) = host else {
        return DEFAULT_FILE.to_owned();
    };
    let text = |key: &str, value: &str| format!("{key} = {}", toml::Value::from(value));
    let mut file = DEFAULT_FILE.to_owned();
    if let Some(url) = host.relay_url {
        file = set(
            &file,
            "[relay]",
            "# public_url = \"\"",
            &text("public_url", url),
        );
    }
    file = set(
        &file,
        "[server]",
        "# public_url = \"\"",
        &text("public_url", host.url),
    );
    if !host.behind_proxy.is_empty() {
        let proxies = toml::Value::from(host.behind_proxy.to_vec());
        let line = format!("behind_proxy = {proxies}");
        return set(&file, "[server]", "# behind_proxy = []", &line);
    }
    let listen = text("listen", "0.0.0.0:443");
    file = set(&file, "[server]", "# listen = \"127.0.0.1:8088\"", &listen);
    file = set(&file, "[tls]", "# mode = \"none\"", "mode = \"acme\"");
    match host.email {
        Some(email) => set(&file, "[tls]", "# email = \"\"", &text("email", email)),
        None => file,
    }
}

/// The file with a line of a section in place of another.
fn set(file: &str, section: &str, line: &str, by: &str) -> String {
    let at = file.find(&format!("\n{section}\n")).unwrap_or(0);
    let (before, after) = file.split_at(at);
    format!("{before}{}", after.replacen(line, by, 1))
}
