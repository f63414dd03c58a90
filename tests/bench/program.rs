//! Servers as processes of their own.

use crate::Options;
use serde_json::Value;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

/// The program with nothing of this environment but a folder.
pub(crate) fn agentkeys(options: &Options, dir: &Path) -> Command {
    let mut command = Command::new(&options.program);
    for (name, _) in std::env::vars().filter(|(n, _)| n.starts_with("AGENTKEYS_")) {
        command.env_remove(name);
    }
    command
        .env("AGENTKEYS_DIR", dir)
        .env("NO_COLOR", "1")
        .stdin(Stdio::null());
    command
}

/// A running server. Killed when dropped.
pub(crate) struct Running {
    child: Child,
    pub(crate) address: SocketAddr,
    pub(crate) operator: Option<SocketAddr>,
    /// What it calls itself, if it says so.
    pub(crate) name: Option<String>,
    /// From the start of the process to its first line.
    pub(crate) ready_us: f64,
}

impl Running {
    /// `agentkeys serve` without limits.
    pub(crate) fn agentkeys(options: &Options, dir: &Path) -> Self {
        let mut command = agentkeys(options, dir);
        command
            .args(["serve", "--listen", "127.0.0.1:0"])
            .args(["--operator-listen", "127.0.0.1:0", "--json"])
            .env("AGENTKEYS_LIMITS_CALLS_PER_SECOND", "0")
            .env("AGENTKEYS_LIMITS_REFUSALS_PER_SECOND", "0");
        Self::start(command)
    }

    /// Starts a server whose first line is JSON with its `mcp_url`.
    pub(crate) fn start(mut command: Command) -> Self {
        let start = Instant::now();
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let ready_us = crate::report::micros(start);
        // A full pipe would stop the server.
        std::thread::spawn(move || std::io::copy(&mut stdout, &mut std::io::sink()));
        let ready: Value = serde_json::from_str(&line)
            .unwrap_or_else(|e| panic!("{command:?} said {line:?}: {e}"));
        let address = |key: &str| {
            let url = ready[key].as_str()?;
            let rest = url.strip_prefix("http://")?;
            rest.split('/').next()?.parse().ok()
        };
        Self {
            address: address("mcp_url").unwrap(),
            operator: address("operator_url"),
            name: ready["name"].as_str().map(str::to_owned),
            child,
            ready_us,
        }
    }

    /// Its resident memory, MiB.
    pub(crate) fn rss_mib(&self) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|l| l.starts_with("VmRSS:")).unwrap();
        let kib = line.split_whitespace().nth(1).unwrap();
        kib.parse::<f64>().unwrap() / 1024.0
    }

    /// Its processor time so far, seconds.
    pub(crate) fn cpu_s(&self) -> f64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        cpu_s(&stat)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Processor time of a process by its `/proc/PID/stat`, seconds.
pub(crate) fn cpu_s(stat: &str) -> f64 {
    let (_, rest) = stat.rsplit_once(')').unwrap();
    let fields: Vec<&str> = rest.split_whitespace().collect();
    // utime and stime, in hundredths (proc(5); USER_HZ is 100 on every Linux we know).
    let ticks = |n: usize| fields[n].parse::<f64>().unwrap();
    (ticks(11) + ticks(12)) / 100.0
}
