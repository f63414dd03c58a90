//! Child processes that know only what their files say, and the folders those files lie in.

use std::collections::VecDeque;
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio_util::task::AbortOnDropHandle;

use crate::acceptance::AcceptError;
use crate::folder::scratch;
use crate::text::clean_to;

/// A rail's own deadlines are shorter; this one ends a child that hangs.
const DEADLINE: Duration = Duration::from_mins(1);
/// How long a listener may take until it is ready.
const READY: Duration = Duration::from_secs(20);
/// Lines of a child's messages that are kept for its failure.
const KEPT: usize = 12;
/// All a child inherits: where programs and certificates are, and how to reach the network.
/// Above all no AGENTKEYS_… variable, which could lead it to a data folder.
const INHERITED: &[&str] = &[
    "PATH",
    "TMPDIR",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "NO_PROXY",
    "https_proxy",
    "http_proxy",
    "no_proxy",
    "LLVM_PROFILE_FILE",
    "RUST_BACKTRACE",
];

/// How the names of a proof's folders begin.
const PREFIX: &str = "agentkeys-proof-";

/// A folder that only its owner can enter and that is gone afterwards: what a killed proof left, the
/// next one removes.
#[derive(Debug)]
pub(in crate::acceptance) struct Scratch(scratch::Scratch);

impl Scratch {
    pub(in crate::acceptance) fn new() -> Result<Self, AcceptError> {
        let temp = std::env::temp_dir();
        let made = scratch::Scratch::inside(&temp, PREFIX);
        made.map(Self).map_err(|e| AcceptError::input(&temp, e))
    }

    /// A child's own folder.
    pub(in crate::acceptance) fn folder(&self, name: &str) -> Result<Folder, AcceptError> {
        let path = self.path(name);
        private(&path)?;
        Ok(Folder(path))
    }

    /// A path inside that nothing has made yet.
    pub(in crate::acceptance) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
}

/// A child's own folder.
#[derive(Debug)]
pub(in crate::acceptance) struct Folder(PathBuf);

impl Folder {
    /// Writes a config file and says where it is.
    pub(in crate::acceptance) fn write(
        &self,
        name: &str,
        text: &str,
    ) -> Result<String, AcceptError> {
        let path = self.0.join(name);
        let mut options = std::fs::OpenOptions::new();
        options.write(true).create_new(true).mode(0o600);
        let written = options
            .open(&path)
            .and_then(|mut f| f.write_all(text.as_bytes()));
        written.map_err(|e| AcceptError::input(&path, e))?;
        Ok(path.display().to_string())
    }
}

fn private(path: &Path) -> Result<(), AcceptError> {
    let mut builder = std::fs::DirBuilder::new();
    builder.mode(0o700);
    builder
        .create(path)
        .map_err(|e| AcceptError::input(path, e))
}

/// This program, to be started as somebody else.
#[derive(Debug, Clone)]
pub(in crate::acceptance) struct Agentkeys(PathBuf);

impl Agentkeys {
    pub(in crate::acceptance) fn find() -> Result<Self, AcceptError> {
        let found = std::env::current_exe();
        found
            .map(Self)
            .map_err(|e| AcceptError::input(Path::new("this program"), e))
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.0);
        command.args(words).env_clear().stdin(Stdio::null());
        command.envs(
            INHERITED
                .iter()
                .filter_map(|name| Some((name, std::env::var_os(name)?))),
        );
        command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // A ctrl-c at the terminal is this program's to answer: it still has to put things back.
            .process_group(0)
            .kill_on_drop(true);
        command
    }

    /// Runs a command to its end; its answer is JSON lines. A rail that fails in part still
    /// printed what it saw, so only a child without any line is an error.
    pub(in crate::acceptance) async fn lines(
        &self,
        words: &[&str],
    ) -> Result<Vec<Value>, AcceptError> {
        self.lines_within(words, DEADLINE).await
    }

    /// The same for what may take longer.
    pub(in crate::acceptance) async fn lines_within(
        &self,
        words: &[&str],
        longest: Duration,
    ) -> Result<Vec<Value>, AcceptError> {
        let failed = |cause: String| AcceptError::Child {
            what: told(words),
            cause,
        };
        let run = self.command(words).output();
        let done = tokio::time::timeout(longest, run).await;
        let done = done.map_err(|_| failed(format!("no end within {} s", longest.as_secs())))?;
        let done = done.map_err(|e| failed(e.to_string()))?;
        let text = String::from_utf8_lossy(&done.stdout);
        let lines: Vec<Value> = text
            .lines()
            .filter_map(|l| serde_json::from_str(l).ok())
            .collect();
        if lines.is_empty() {
            let said = String::from_utf8_lossy(&done.stderr);
            return Err(failed(format!(
                "{}; {}",
                done.status,
                clean_to(said.trim(), 600)
            )));
        }
        Ok(lines)
    }

    /// Runs a command whose answer is one object, and whose failure ends the proof.
    pub(in crate::acceptance) async fn answer(&self, words: &[&str]) -> Result<Value, AcceptError> {
        let mut lines = self.lines(words).await?;
        Ok(lines.pop().unwrap_or_default())
    }

    /// Starts a listener and waits for its `ready` line.
    pub(in crate::acceptance) async fn ready(
        &self,
        words: &[&str],
    ) -> Result<Listening, AcceptError> {
        let failed = |cause: String| AcceptError::Child {
            what: told(words),
            cause,
        };
        let mut command = self.command(words);
        // Whatever becomes of this program, its end closes the pipe, and with it ends what listens.
        command.arg("--until-stdin-ends").stdin(Stdio::piped());
        let mut child = command.spawn().map_err(|e| failed(e.to_string()))?;
        let kept = Arc::new(Mutex::new(VecDeque::new()));
        let (Some(out), Some(err)) = (child.stdout.take(), child.stderr.take()) else {
            return Err(failed("its output cannot be read".to_owned()));
        };
        let messages = keep(BufReader::new(err).lines(), Arc::clone(&kept));
        let mut out = BufReader::new(out).lines();
        let first = tokio::time::timeout(READY, until_ready(&mut out)).await;
        let Ok(Some(ready)) = first else {
            // Its end closes the pipe, so that its last words are all there.
            let _ = child.kill().await;
            let _ = tokio::time::timeout(Duration::from_secs(1), messages).await;
            let said: Vec<String> = kept.lock().iter().cloned().collect();
            return Err(failed(format!(
                "it was never ready; {}",
                clean_to(&said.join(" "), 600)
            )));
        };
        // What it goes on to print must be read, or it would stand still with a full pipe.
        let log = keep(out, kept);
        Ok(Listening {
            child,
            ready,
            what: told(words),
            _read: [messages, log],
        })
    }
}

/// The command without its files, which are noise, and secrets, which it has none of.
fn told(words: &[&str]) -> String {
    let shown: Vec<_> = words
        .iter()
        .take_while(|w| !w.starts_with("--"))
        .copied()
        .collect();
    shown.join(" ")
}

async fn until_ready(lines: &mut Lines<BufReader<ChildStdout>>) -> Option<Value> {
    while let Ok(Some(line)) = lines.next_line().await {
        let value: Value = serde_json::from_str(&line).unwrap_or_default();
        if value.get("event").and_then(Value::as_str) == Some("ready") {
            return Some(value);
        }
    }
    None
}

fn keep<R: AsyncRead + Unpin + Send + 'static>(
    mut lines: Lines<BufReader<R>>,
    kept: Arc<Mutex<VecDeque<String>>>,
) -> AbortOnDropHandle<()> {
    AbortOnDropHandle::new(tokio::spawn(async move {
        while let Ok(Some(line)) = lines.next_line().await {
            let mut kept = kept.lock();
            if kept.len() == KEPT {
                kept.pop_front();
            }
            kept.push_back(line);
        }
    }))
}

/// A child that listens. Dropping it ends it.
#[derive(Debug)]
pub(in crate::acceptance) struct Listening {
    child: Child,
    ready: Value,
    what: String,
    _read: [AbortOnDropHandle<()>; 2],
}

impl Listening {
    /// A text field of its ready line.
    pub(in crate::acceptance) fn text(&self, key: &str) -> Result<&str, AcceptError> {
        self.ready.get(key).and_then(Value::as_str).ok_or_else(|| {
            AcceptError::protocol(&self.what, format!("its ready line has no `{key}`"))
        })
    }

    /// Ends it. What it served is over, and its folder is about to go.
    pub(in crate::acceptance) async fn end(mut self) {
        let _ = self.child.kill().await;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_scratch_folder_is_private_and_goes_away() {
        let scratch = Scratch::new().unwrap();
        let folder = scratch.folder("rail1").unwrap();
        let file = folder.write("x.json", "{}").unwrap();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&folder.0), 0o700);
        assert_eq!(mode(Path::new(&file)), 0o600);
        assert!(scratch.folder("rail1").is_err(), "a folder is one child's");
        let path = scratch.0.path().to_owned();
        drop(scratch);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn a_child_inherits_no_way_to_a_data_folder() {
        let shell = Agentkeys(PathBuf::from("/bin/sh"));
        let all = shell
            .lines(&["-c", "env | sed 's/.*/\"&\"/'"])
            .await
            .unwrap();
        for line in &all {
            let name = line.as_str().unwrap().split('=').next().unwrap();
            // The shell itself sets these.
            let own = ["PWD", "SHLVL", "_", "OLDPWD"].contains(&name);
            assert!(own || INHERITED.contains(&name), "{name}");
        }
    }

    #[tokio::test]
    async fn a_listener_that_is_never_ready_tells_its_last_words() {
        let shell = Agentkeys(PathBuf::from("/bin/sh"));
        let error = shell.ready(&["-c", "echo no port >&2"]).await.unwrap_err();
        assert!(error.to_string().contains("no port"), "{error}");
        let good = shell
            .ready(&[
                "-c",
                "echo hello; echo '{\"event\":\"ready\",\"x\":\"1\"}'; sleep 60",
            ])
            .await
            .unwrap();
        assert_eq!(good.text("x").unwrap(), "1");
        assert!(good.text("y").is_err());
        good.end().await;
    }
}
