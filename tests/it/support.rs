//! Spawns the real binary over a fresh folder and speaks to it as hosts do.

use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering};
use std::sync::{LazyLock, Mutex, mpsc};
use std::time::{Duration, Instant};

/// Grants of a vendor that may read and write travel and spend.
pub(crate) const TRAVEL_AND_SPEND: &[&str] = &[
    "--read",
    "travel",
    "--write",
    "travel",
    "--scope",
    "payment.spend",
    "--daily-cap",
    "500RMB",
];

/// A server on free ports of this machine.
pub(crate) const SERVE: &[&str] = &[
    "serve",
    "--listen",
    "127.0.0.1:0",
    "--operator-listen",
    "127.0.0.1:0",
];

/// The program under test.
pub(crate) const BIN: &str = env!("CARGO_BIN_EXE_agentkeys");

/// A data folder, and what `init --demo` said about it.
pub(crate) struct House {
    pub(crate) temp: tempfile::TempDir,
    pub(crate) init: Value,
}

impl House {
    /// A fresh folder with the demo set in it.
    pub(crate) fn demo() -> Self {
        Self::init(&["--demo"])
    }

    /// A fresh folder.
    pub(crate) fn init(flags: &[&str]) -> Self {
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path().join("data");
        let mut args = vec!["init"];
        args.extend(flags);
        let init = json_of(&run_in(&dir, &args));
        Self { temp, init }
    }

    pub(crate) fn dir(&self) -> PathBuf {
        self.temp.path().join("data")
    }

    /// Runs a command with `--json` and returns its one object; panics unless it exits 0.
    #[track_caller]
    pub(crate) fn ok(&self, args: &[&str]) -> Value {
        json_of(&run_in(&self.dir(), args))
    }

    /// Runs a command with `--json` and returns its exit code and both streams.
    pub(crate) fn run(&self, args: &[&str]) -> Output {
        run_in(&self.dir(), args)
    }

    /// The demo vendor's token.
    pub(crate) fn token(&self, vendor: &str) -> String {
        let vendors = self.init["vendors"].as_array().unwrap();
        let found = vendors.iter().find(|v| v["vendor"] == vendor).unwrap();
        found["token"].as_str().unwrap().to_owned()
    }

    /// The demo actor's id.
    pub(crate) fn actor(&self) -> String {
        self.init["actors"][0]["actor_omni"]
            .as_str()
            .unwrap()
            .to_owned()
    }

    /// A vendor on no special rail, bound to the demo actor with these grants, and its token.
    #[track_caller]
    pub(crate) fn vendor(&self, name: &str, grants: &[&str]) -> String {
        self.ok(&["vendor", "create", name, "--rail", "other"]);
        let mut grant = vec!["actor", "grant", "O_kevin_001", "--vendor", name];
        grant.extend(grants);
        self.ok(&grant);
        let made = self.ok(&["vendor", "token", "create", "--vendor", name]);
        made["token"].as_str().unwrap().to_owned()
    }

    /// A token for the endpoint, of a vendor `toys` of its own bound to the demo actor.
    pub(crate) fn endpoint_token(&self) -> Value {
        self.vendor("toys", TRAVEL_AND_SPEND);
        let words = [
            "vendor",
            "token",
            "create",
            "--vendor",
            "toys",
            "--endpoint",
        ];
        self.ok(&[&words[..], &["--actor", "O_kevin_001"]].concat())
    }

    /// A file with a token that only its owner can read.
    pub(crate) fn keep(&self, name: &str, token: &str) -> PathBuf {
        let path = self.temp.path().join(name);
        std::fs::write(&path, format!("{token}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        path
    }

    /// A new token of a vendor, pinned to the demo actor, in a file.
    #[track_caller]
    pub(crate) fn pin(&self, vendor: &str) -> PathBuf {
        let words = ["vendor", "token", "create", "--actor", "O_kevin_001"];
        let made = self.ok(&[&words[..], &["--vendor", vendor]].concat());
        let name = format!("{vendor}.token");
        self.keep(&name, made["token"].as_str().unwrap())
    }

    /// Events of the log, oldest first.
    pub(crate) fn events(&self, filters: &[&str]) -> Vec<Value> {
        let mut args = vec!["audit", "list", "--limit", "10000"];
        args.extend(filters);
        let output = self.run(&args);
        assert!(output.status.success(), "{}", text(&output.stderr));
        let lines = text(&output.stdout);
        lines
            .lines()
            .map(|l| serde_json::from_str(l).unwrap())
            .collect()
    }
}

static RUNTIME: LazyLock<tokio::runtime::Runtime> =
    LazyLock::new(|| tokio::runtime::Runtime::new().unwrap());

/// Waits for a future: tests are plain functions. What takes this long would never end.
#[track_caller]
pub(crate) fn wait<F: Future>(future: F) -> F::Output {
    let most = Duration::from_mins(5);
    let ended = RUNTIME.block_on(async { tokio::time::timeout(most, future).await });
    ended.expect("nothing came")
}

/// Runs a future beside the tests.
pub(crate) fn spawn<F>(future: F)
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    RUNTIME.spawn(future);
}

/// Sends a request and reads the whole reply.
pub(crate) fn send(request: reqwest::RequestBuilder) -> Reply {
    wait(async {
        let response = request.send().await.unwrap();
        Reply {
            status: response.status().as_u16(),
            headers: response.headers().clone(),
            body: response.text().await.unwrap(),
        }
    })
}

/// A port nobody listens at: below those that the kernel gives to whoever asks for any.
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = 10_000 + u16::try_from(std::process::id() % 200).unwrap() * 100;
    loop {
        let port = first + NEXT.fetch_add(1, Ordering::Relaxed) % 2_000;
        // Both kinds: the DNS server needs them.
        let bound = std::net::TcpListener::bind(("127.0.0.1", port));
        let bound_too = std::net::UdpSocket::bind(("127.0.0.1", port));
        if bound.is_ok() && bound_too.is_ok() {
            return port;
        }
    }
}

/// Runs a command on a folder.
pub(crate) fn run_in(dir: &Path, args: &[&str]) -> Output {
    command(dir).args(args).arg("--json").output().unwrap()
}

/// The program with nothing of this environment but a folder.
pub(crate) fn command(dir: &Path) -> Command {
    let mut command = Command::new(BIN);
    for (name, _) in std::env::vars().filter(|(n, _)| n.starts_with("AGENTKEYS_")) {
        command.env_remove(name);
    }
    command
        .env("AGENTKEYS_DIR", dir)
        .env("NO_COLOR", "1")
        .stdin(Stdio::null());
    command
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[track_caller]
pub(crate) fn json_of(output: &Output) -> Value {
    assert!(
        output.status.success(),
        "exit {:?}\nstdout: {}\nstderr: {}",
        output.status.code(),
        text(&output.stdout),
        text(&output.stderr)
    );
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|e| panic!("{e}: {}", text(&output.stdout)))
}

/// Says when dropped that something is over.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A running server. Killed when dropped.
pub(crate) struct Server {
    pub(crate) house: House,
    pub(crate) child: Child,
    pub(crate) base: String,
    /// Of the operator's listener.
    pub(crate) operator: String,
    pub(crate) http: reqwest::Client,
    stdout: BufReader<std::process::ChildStdout>,
    log: Mutex<mpsc::Receiver<String>>,
}

static IDS: AtomicU64 = AtomicU64::new(1);

impl Server {
    /// A server over the demo set.
    pub(crate) fn demo() -> Self {
        Self::over(House::demo(), &[])
    }

    /// A server over a folder, with environment settings.
    pub(crate) fn over(house: House, env: &[(&str, &str)]) -> Self {
        let mut command = command(&house.dir());
        command
            .args(SERVE)
            .arg("--json")
            .envs(env.iter().copied())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        if line.is_empty() {
            let mut error = String::new();
            child
                .stderr
                .take()
                .unwrap()
                .read_to_string(&mut error)
                .unwrap();
            panic!("serve said nothing: {error}");
        }
        let ready: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(ready["event"], "ready");
        let mcp = ready["mcp_url"].as_str().unwrap();
        // Read whether anybody wants it or not: a full pipe would stop the server.
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (send, log) = mpsc::channel();
        std::thread::spawn(move || {
            let lines = stderr.split(b'\n').map_while(Result::ok);
            lines.for_each(|line| drop(send.send(text(&line))));
        });
        Self {
            base: mcp.strip_suffix("/mcp").unwrap().to_owned(),
            operator: ready["operator_url"].as_str().unwrap().to_owned(),
            http: reqwest::Client::builder()
                .redirect(reqwest::redirect::Policy::none())
                .build()
                .unwrap(),
            house,
            child,
            stdout,
            log: Mutex::new(log),
        }
    }

    /// The next line of the log that has this in it.
    #[track_caller]
    pub(crate) fn logged(&self, what: &str) -> String {
        loop {
            let line = self
                .log
                .lock()
                .unwrap()
                .recv_timeout(Duration::from_mins(2));
            let line = line.unwrap_or_else(|e| panic!("{what:?} was never logged: {e}"));
            if line.contains(what) {
                return line;
            }
        }
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args([name, &pid]).status();
        assert!(sent.unwrap().success());
    }

    /// How long the simplest request takes now: the pace of a machine that others have too.
    pub(crate) fn pace(&self) -> Duration {
        let started = Instant::now();
        let reply = send(self.http.get(format!("{}/healthz", self.base)));
        assert_eq!(reply.status, 200);
        started.elapsed()
    }

    /// Does something, and asserts that it takes no longer than that on a machine that is free: the
    /// slowest of the simplest requests meanwhile is what a busy one adds at each step.
    #[track_caller]
    pub(crate) fn within<T>(&self, most: Duration, work: impl FnOnce() -> T) -> T {
        let done = AtomicBool::new(false);
        let (out, took, slowest) = std::thread::scope(|scope| {
            let paces = scope.spawn(|| {
                let mut slowest = self.pace();
                while !done.load(Ordering::Relaxed) {
                    slowest = slowest.max(self.pace());
                }
                slowest
            });
            // Also when the work panics, or the other one would never end.
            let ends = Ends(&done);
            let started = Instant::now();
            let out = work();
            let took = started.elapsed();
            drop(ends);
            (out, took, paces.join().unwrap())
        });
        assert!(took < most + 3 * slowest, "{took:?}, {slowest:?}");
        out
    }

    /// A host of a demo vendor, acting for the demo actor.
    pub(crate) fn host(&self, vendor: &str) -> Host<'_> {
        Host {
            server: self,
            headers: vec![
                (
                    "authorization".into(),
                    format!("Bearer {}", self.house.token(vendor)),
                ),
                ("x-agentkeys-actor".into(), self.house.actor()),
            ],
            path: "/mcp".into(),
        }
    }

    /// A host with this token, acting for the demo actor.
    pub(crate) fn host_of(&self, token: &str) -> Host<'_> {
        self.host("magiclick")
            .with("authorization", &format!("Bearer {token}"))
    }

    /// A host with exactly these headers.
    pub(crate) fn host_with(&self, headers: &[(&str, &str)]) -> Host<'_> {
        Host {
            server: self,
            headers: headers
                .iter()
                .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
                .collect(),
            path: "/mcp".into(),
        }
    }

    /// A token for reading the log.
    pub(crate) fn reader(&self, role: &str, more: &[&str]) -> String {
        let mut args = vec!["operator", "token", "create", "--role", role];
        args.extend(more);
        self.house.ok(&args)["token"].as_str().unwrap().to_owned()
    }

    /// Sends SIGTERM, waits for the end, and serves the same folder again, at another port.
    pub(crate) fn again(mut self) -> Self {
        self.end();
        let temp = tempfile::tempdir().unwrap();
        let init = Value::Null;
        let house = std::mem::replace(&mut self.house, House { temp, init });
        Self::over(house, &[])
    }

    fn end(&mut self) -> std::process::ExitStatus {
        let pid = self.child.id().to_string();
        Command::new("kill").args(["-TERM", &pid]).status().unwrap();
        self.child.wait().unwrap()
    }

    /// Sends SIGTERM and waits for the end.
    pub(crate) fn stop(mut self) -> std::process::ExitStatus {
        let status = self.end();
        let mut rest = String::new();
        self.stdout.read_to_string(&mut rest).unwrap();
        status
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A host: sends MCP messages with its headers.
#[derive(Clone)]
pub(crate) struct Host<'s> {
    pub(crate) server: &'s Server,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) path: String,
}

/// What came back.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) body: String,
}

impl Reply {
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("{e}: {}", self.body))
    }

    /// The stable code of a refusal.
    #[track_caller]
    pub(crate) fn code(&self) -> String {
        let json = self.json();
        json["error"]["data"]["code"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    }
}

impl Host<'_> {
    /// A request to a server at `base`, with this host's headers and no body yet.
    pub(crate) fn request(&self, base: &str) -> reqwest::RequestBuilder {
        let mut request = self.server.http.post(format!("{base}{}", self.path));
        let given = |name: &str| self.headers.iter().any(|(n, _)| n == name);
        if !given("accept") {
            request = request.header("accept", "application/json, text/event-stream");
        }
        if !given("content-type") {
            request = request.header("content-type", "application/json");
        }
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        request
    }

    /// Posts a body as it is.
    pub(crate) fn post(&self, body: impl Into<reqwest::Body>) -> Reply {
        send(self.request(&self.server.base).body(body))
    }

    /// Calls a method.
    pub(crate) fn method(&self, method: &str, params: &Value) -> Reply {
        let id = IDS.fetch_add(1, Ordering::Relaxed);
        let body = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
        self.post(body.to_string())
    }

    /// Calls a tool.
    pub(crate) fn call(&self, tool: &str, arguments: Value) -> Reply {
        self.method("tools/call", &json!({"name": tool, "arguments": arguments}))
    }

    /// Calls a tool and returns its result; panics on anything but HTTP 200 with a result.
    #[track_caller]
    pub(crate) fn result(&self, tool: &str, arguments: Value) -> Value {
        let reply = self.call(tool, arguments);
        assert_eq!(reply.status, 200, "{}", reply.body);
        let json = reply.json();
        assert!(json.get("result").is_some(), "{json}");
        json["result"].clone()
    }

    /// Calls a tool and returns its structured content.
    #[track_caller]
    pub(crate) fn structured(&self, tool: &str, arguments: Value) -> Value {
        self.result(tool, arguments)["structuredContent"].clone()
    }

    /// Calls a tool and returns its text.
    #[track_caller]
    pub(crate) fn text(&self, tool: &str, arguments: Value) -> String {
        let result = self.result(tool, arguments);
        result["content"][0]["text"].as_str().unwrap().to_owned()
    }

    /// The same host with one header changed or added.
    pub(crate) fn with(&self, name: &str, value: &str) -> Self {
        let mut other = self.clone();
        other.headers.retain(|(n, _)| n != name);
        other.headers.push((name.to_owned(), value.to_owned()));
        other
    }

    /// The same host without a header.
    pub(crate) fn without(&self, name: &str) -> Self {
        let mut other = self.clone();
        other.headers.retain(|(n, _)| n != name);
        other
    }
}
