//! Pebble, Let's Encrypt's ACME server for tests, with the mock DNS server that comes with it.

use crate::it::installed::{installed, root};
use crate::it::support::{House, command, free_port, json_of, run_in, send, text, wait};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// The host of most tests.
pub(crate) const HOST: &str = "mcp.agents.test";

/// Which of Debian's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Edition {
    /// The one that every machine can get.
    Stable,
    /// The one with ARI and profiles.
    Unstable,
}

impl Edition {
    /// Where it is. Without Debian unstable there is no second one, which is said.
    #[track_caller]
    pub(crate) fn bin(self) -> Option<PathBuf> {
        let folder = match self {
            Self::Stable => installed(".venv/pebble/stable"),
            Self::Unstable => root(".venv/pebble/unstable"),
        };
        if folder.join("stamp").exists() {
            return Some(folder.join("usr/bin"));
        }
        eprintln!("NOT RUN: pebble of Debian unstable is not here, see tests/sdk/pebble");
        None
    }
}

/// The certificates of the ACME server's own address.
pub(crate) struct Own {
    pub(crate) ca: String,
    pub(crate) certificate: String,
    pub(crate) key: String,
}

impl Own {
    fn make() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca_key = KeyPair::generate().unwrap();
        let ca = params.self_signed(&ca_key).unwrap().pem();
        let issuer = Issuer::new(params, ca_key);
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(names).unwrap();
        let certificate = certificate.signed_by(&key, &issuer).unwrap().pem();
        Self {
            ca,
            certificate,
            key: key.serialize_pem(),
        }
    }
}

/// A running pebble. Killed when dropped.
pub(crate) struct Pebble {
    temp: tempfile::TempDir,
    edition: Edition,
    bin: PathBuf,
    env: Vec<(String, String)>,
    pub(crate) own: Own,
    pub(crate) port: u16,
    management: u16,
    /// Where it looks for proofs of http-01.
    pub(crate) http: u16,
    /// Where it looks for proofs of tls-alpn-01.
    pub(crate) tls: u16,
    dns_management: u16,
    dns: u16,
    children: Vec<Child>,
    client: reqwest::Client,
}

impl Pebble {
    /// Debian stable's, as it comes.
    #[track_caller]
    pub(crate) fn start() -> Self {
        Self::with(Edition::Stable, &[], &json!({})).unwrap()
    }

    /// One with settings of its own; nothing if it is not on this machine.
    #[track_caller]
    pub(crate) fn with(edition: Edition, env: &[(&str, &str)], settings: &Value) -> Option<Self> {
        let bin = edition.bin()?;
        let own = Own::make();
        let client = reqwest::Client::builder()
            .no_proxy()
            .user_agent("agentkeys-tests")
            .tls_certs_merge(vec![
                reqwest::Certificate::from_pem(own.ca.as_bytes()).unwrap(),
            ])
            .build()
            .unwrap();
        let mut pebble = Self {
            temp: tempfile::tempdir().unwrap(),
            edition,
            bin,
            env: env
                .iter()
                .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
                .collect(),
            own,
            port: free_port(),
            management: free_port(),
            http: free_port(),
            tls: free_port(),
            dns_management: free_port(),
            dns: free_port(),
            children: Vec::new(),
            client,
        };
        pebble.configure(settings);
        pebble.run();
        Some(pebble)
    }

    fn configure(&self, settings: &Value) {
        let dir = self.temp.path();
        std::fs::write(dir.join("ca.pem"), &self.own.ca).unwrap();
        std::fs::write(dir.join("own.pem"), &self.own.certificate).unwrap();
        std::fs::write(dir.join("own.key"), &self.own.key).unwrap();
        let mut config = json!({
            "listenAddress": format!("127.0.0.1:{}", self.port),
            "managementListenAddress": format!("127.0.0.1:{}", self.management),
            "certificate": dir.join("own.pem"), "privateKey": dir.join("own.key"),
            "httpPort": self.http, "tlsPort": self.tls,
            "domainBlocklist": ["blocked.test"],
            "retryAfter": {"authz": 1, "order": 1},
            "keyAlgorithm": "ecdsa",
            "certificateValidityPeriod": 7_776_000,
        });
        for (key, value) in settings.as_object().unwrap() {
            config[key] = value.clone();
        }
        let config = json!({ "pebble": config }).to_string();
        std::fs::write(dir.join("pebble.json"), config).unwrap();
    }

    /// Starts both processes and waits until they answer.
    pub(crate) fn run(&mut self) {
        let loopback = |port: u16| format!("127.0.0.1:{port}");
        let quiet = |command: &mut Command| {
            let log = std::fs::File::create(self.temp.path().join("log")).unwrap();
            let log_too = log.try_clone().unwrap();
            command
                .stdin(Stdio::null())
                .stdout(log)
                .stderr(log_too)
                .spawn()
                .unwrap()
        };
        let mut dns = Command::new(self.bin.join("pebble-challtestsrv"));
        dns.args(["-management", &loopback(self.dns_management)]);
        dns.args(["-http01=", "-https01=", "-tlsalpn01=", "-defaultIPv6="]);
        match self.edition {
            Edition::Stable => dns.args(["-dns01", &loopback(self.dns)]),
            Edition::Unstable => dns.args(["-doh=", "-dnsserver", &loopback(self.dns)]),
        };
        let dns = quiet(&mut dns);
        let pebble = quiet(
            Command::new(self.bin.join("pebble"))
                .arg("-config")
                .arg(self.temp.path().join("pebble.json"))
                .args(["-dnsserver", &loopback(self.dns), "-strict"])
                .env("PEBBLE_VA_NOSLEEP", "1")
                .env("PEBBLE_AUTHZREUSE", "0")
                .env("PEBBLE_WFE_NONCEREJECT", "0")
                .envs(self.env.iter().cloned()),
        );
        self.children = vec![dns, pebble];
        let started = Instant::now();
        let ready = |port: u16| std::net::TcpStream::connect(("127.0.0.1", port)).is_ok();
        while ![self.port, self.management, self.dns_management]
            .into_iter()
            .all(ready)
        {
            assert!(
                started.elapsed() < Duration::from_secs(20),
                "pebble does not start"
            );
            std::thread::yield_now();
        }
    }

    /// Ends it, and all it knows with it.
    pub(crate) fn kill(&mut self) {
        for child in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Its directory.
    pub(crate) fn directory(&self) -> String {
        format!("https://localhost:{}/dir", self.port)
    }

    /// The file to trust its own address by.
    pub(crate) fn ca(&self) -> PathBuf {
        self.temp.path().join("ca.pem")
    }

    /// Changes what the mock DNS server answers.
    pub(crate) fn dns(&self, what: &str, body: &Value) {
        let url = format!("http://127.0.0.1:{}/{what}", self.dns_management);
        let reply = send(self.client.post(url).body(body.to_string()));
        assert_eq!(reply.status, 200, "{what}: {}", reply.body);
    }

    /// A program that sets TXT records there, as an operator would write one; it keeps a log.
    pub(crate) fn hook(&self) -> PathBuf {
        use std::os::unix::fs::PermissionsExt as _;
        let path = self.temp.path().join("hook");
        let script = format!(
            "#!/usr/bin/env python3
import json, sys, urllib.request
verb, name, value = sys.argv[1:]
open(__file__ + '.log', 'a').write(f'{{verb}} {{name}}\\n')
ask = urllib.request.build_opener(urllib.request.ProxyHandler({{}})).open
what = {{'set': 'set-txt', 'remove': 'clear-txt'}}[verb]
ask('http://127.0.0.1:{}/' + what, json.dumps({{'host': name + '.', 'value': value}}).encode())
",
            self.dns_management
        );
        std::fs::write(&path, script).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700)).unwrap();
        path
    }

    /// What the hook was called with.
    pub(crate) fn hooked(&self) -> Vec<String> {
        let log = std::fs::read_to_string(self.temp.path().join("hook.log")).unwrap();
        log.lines().map(str::to_owned).collect()
    }

    /// Asks its management.
    pub(crate) fn manage(&self, path: &str, body: Option<&Value>) -> String {
        let url = format!("https://localhost:{}/{path}", self.management);
        let reply = send(match body {
            Some(body) => self.client.post(url).body(body.to_string()),
            None => self.client.get(url),
        });
        assert_eq!(reply.status, 200, "{path}: {}", reply.body);
        reply.body
    }

    /// A client that trusts its certificates, and finds a host of theirs at a port of this machine.
    pub(crate) fn client(&self, host: &str, port: u16) -> reqwest::Client {
        let root = self.manage("roots/0", None);
        reqwest::Client::builder()
            .no_proxy()
            // One handshake each.
            .pool_max_idle_per_host(0)
            .tls_certs_only(vec![
                reqwest::Certificate::from_pem(root.as_bytes()).unwrap(),
            ])
            .resolve(host, ([127, 0, 0, 1], port).into())
            .build()
            .unwrap()
    }

    /// The settings of a folder that gets its certificates here.
    pub(crate) fn settings(&self, more: &[(&str, &str)]) -> Vec<(String, String)> {
        let mut settings = vec![
            (
                "SERVER_PUBLIC_URL".to_owned(),
                format!("https://{HOST}/mcp"),
            ),
            (
                "SERVER_LISTEN".to_owned(),
                format!("127.0.0.1:{}", self.tls),
            ),
            (
                "SERVER_OPERATOR_LISTEN".to_owned(),
                "127.0.0.1:0".to_owned(),
            ),
            ("TLS_MODE".to_owned(), "acme".to_owned()),
            ("TLS_DIRECTORY".to_owned(), self.directory()),
            ("TLS_STAGING_DIRECTORY".to_owned(), String::new()),
            ("TLS_CA_FILE".to_owned(), self.ca().display().to_string()),
            (
                "TLS_HTTP_LISTEN".to_owned(),
                format!("127.0.0.1:{}", self.http),
            ),
            ("TLS_DNS_WAIT_SECONDS".to_owned(), "1".to_owned()),
        ];
        for (key, value) in more {
            settings.retain(|(old, _)| old != key);
            settings.push(((*key).to_owned(), (*value).to_owned()));
        }
        let named = |(key, value)| (format!("AGENTKEYS_{key}"), value);
        settings.into_iter().map(named).collect()
    }
}

impl Drop for Pebble {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A folder with settings, and commands on it.
pub(crate) struct Place {
    pub(crate) house: House,
    pub(crate) env: Vec<(String, String)>,
}

impl Place {
    pub(crate) fn new(pebble: &Pebble, more: &[(&str, &str)]) -> Self {
        Self {
            house: House::init(&[]),
            env: pebble.settings(more),
        }
    }

    pub(crate) fn set(&mut self, key: &str, value: &str) {
        let key = format!("AGENTKEYS_{key}");
        self.env.retain(|(old, _)| *old != key);
        self.env.push((key, value.to_owned()));
    }

    pub(crate) fn dir(&self) -> PathBuf {
        self.house.dir()
    }

    /// The path of a file under `tls/`.
    pub(crate) fn tls(&self, name: &str) -> PathBuf {
        self.dir().join("tls").join(name)
    }

    /// A folder that is not there yet.
    pub(crate) fn empty(pebble: &Pebble, more: &[(&str, &str)]) -> Self {
        let temp = tempfile::tempdir().unwrap();
        let init = Value::Null;
        Self {
            house: House { temp, init },
            env: pebble.settings(more),
        }
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = command(&self.dir());
        command
            .args(args)
            .arg("--json")
            .envs(self.env.iter().cloned());
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    #[track_caller]
    pub(crate) fn ok(&self, args: &[&str]) -> Value {
        json_of(&self.run(args))
    }

    /// What a command that must not succeed says: its exit code, and the problem.
    #[track_caller]
    pub(crate) fn fails(&self, args: &[&str]) -> (i32, Value) {
        let output = self.run(args);
        assert!(!output.status.success(), "{}", text(&output.stdout));
        let said = text(&output.stderr);
        let said = said.lines().last().unwrap_or_default();
        let said: Value = serde_json::from_str(said).unwrap_or_else(|e| panic!("{e}: {said}"));
        (output.status.code().unwrap(), said["error"].clone())
    }

    /// What `tls status` says of a certificate that hosts refuse.
    #[track_caller]
    pub(crate) fn unwell(&self) -> Value {
        let output = self.run(&["tls", "status"]);
        assert_eq!(output.status.code(), Some(6), "{}", text(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// The code of that problem.
    #[track_caller]
    pub(crate) fn refused(&self, args: &[&str]) -> (i32, String) {
        let (exit, error) = self.fails(args);
        (exit, error["code"].as_str().unwrap().to_owned())
    }

    /// A command that goes on meanwhile.
    pub(crate) fn begin(&self, args: &[&str]) -> Child {
        let mut command = self.command(args);
        command
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    }

    /// The server, with its log.
    pub(crate) fn serve(&self) -> Serving {
        let mut command = self.command(&["serve"]);
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (tell, lines) = channel();
        for stream in [
            Box::new(child.stdout.take().unwrap()) as Box<dyn std::io::Read + Send>,
            Box::new(child.stderr.take().unwrap()),
        ] {
            let tell = tell.clone();
            std::thread::spawn(move || {
                for line in BufReader::new(stream).lines().map_while(Result::ok) {
                    let _ = tell.send(line);
                }
            });
        }
        Serving { child, lines }
    }

    /// The rows about certificates.
    pub(crate) fn rows(&self) -> Vec<(String, String, String)> {
        rows(&self.dir())
    }
}

/// The rows about certificates, oldest first: tool, verdict and reason.
pub(crate) fn rows(dir: &Path) -> Vec<(String, String, String)> {
    let listed = run_in(dir, &["audit", "list", "--limit", "10000"]);
    let lines = text(&listed.stdout);
    let rows = lines
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    let field = |row: &Value, key: &str| row[key].as_str().unwrap().to_owned();
    rows.filter(|r| r["tool"].as_str().unwrap().starts_with("tls."))
        .map(|r| (field(&r, "tool"), field(&r, "verdict"), field(&r, "reason")))
        .collect()
}

/// A running server. Killed when dropped.
pub(crate) struct Serving {
    pub(crate) child: Child,
    lines: Receiver<String>,
}

impl Serving {
    /// Reads its log up to a line with these words.
    #[track_caller]
    pub(crate) fn says(&self, words: &str) -> String {
        let mut seen = Vec::new();
        loop {
            match self.lines.recv_timeout(Duration::from_secs(40)) {
                Ok(line) if line.contains(words) => return line,
                Ok(line) => seen.push(line),
                Err(error) => panic!("{words}: {error}\n{}", seen.join("\n")),
            }
        }
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whether a handshake with a host is answered, over a certificate that a client trusts.
pub(crate) fn answers(client: &reqwest::Client, host: &str, port: u16) -> bool {
    let request = client.get(format!("https://{host}:{port}/healthz")).send();
    wait(request).is_ok_and(|response| response.status() == 200)
}
