//! The live screen in a real terminal: tmux types and reads what is seen.

use super::support::{BIN, House, Server, json_of, run_in, text};
use agentkeys::tui::screen::Terminal;
use serde_json::json;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

/// A terminal of its own, with one program in it.
struct Tmux {
    temp: tempfile::TempDir,
}

/// What Debian packages tmux with; `tests/sdk/install` has unpacked it.
fn tools() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(".venv/debian")
}

impl Tmux {
    fn run(&self, args: &[&str]) -> Output {
        let tmux = tools().join("usr/bin/tmux");
        let output = Command::new(&tmux)
            .env("LD_LIBRARY_PATH", tools().join("usr/lib/x86_64-linux-gnu"))
            .env_remove("TMUX")
            .env("LC_ALL", "C.UTF-8")
            .args(["-f", "/dev/null", "-S"])
            .arg(self.temp.path().join("socket"))
            .args(args)
            .output();
        output.unwrap_or_else(|e| panic!("{}: {e}: run tests/sdk/install", tmux.display()))
    }

    /// Starts a shell command in a terminal of this size.
    fn start(size: (u16, u16), command: &str) -> Self {
        let temp = tempfile::tempdir().unwrap();
        let tmux = Self { temp };
        let (columns, lines) = (size.0.to_string(), size.1.to_string());
        let here = tmux.temp.path().to_str().unwrap().to_owned();
        let session = ["new-session", "-d", "-s", "t", "-c", &here];
        let size = ["-x", &columns, "-y", &lines, command];
        let out = tmux.run(&[session.as_slice(), &size].concat());
        assert!(out.status.success(), "{}", text(&out.stderr));
        tmux
    }

    fn screen(&self) -> String {
        text(&self.run(&["capture-pane", "-p", "-t", "t"]).stdout)
    }

    fn keys(&self, keys: &[&str]) {
        let out = self.run(&[&["send-keys", "-t", "t"], keys].concat());
        assert!(out.status.success(), "{}", text(&out.stderr));
    }

    /// Whether a program has taken the terminal's other page.
    fn is_taken(&self) -> bool {
        let out = self.run(&["display", "-p", "-t", "t", "#{alternate_on}"]);
        text(&out.stdout).trim() == "1"
    }

    /// Reads the screen until it shows this.
    #[track_caller]
    fn shows(&self, what: &str) -> String {
        self.until(what, |screen| screen.contains(what))
    }

    #[track_caller]
    fn until(&self, what: &str, holds: impl Fn(&str) -> bool) -> String {
        let end = Instant::now() + Duration::from_mins(1);
        loop {
            let screen = self.screen();
            if holds(&screen) {
                return screen;
            }
            assert!(Instant::now() < end, "{what:?} was never seen:\n{screen}");
            std::thread::yield_now();
        }
    }
}

impl Drop for Tmux {
    fn drop(&mut self) {
        self.run(&["kill-server"]);
    }
}

/// Runs the program, then says how it ended and how the terminal is, and stays.
fn then_tell(command: &str) -> String {
    format!("{command}; echo \"ended $?\"; stty -a | tr ';' '\\n' | grep -w echo; exec cat")
}

fn watch(house: &House, more: &str) -> String {
    let (dir, actor) = (house.dir(), house.actor());
    then_tell(&format!(
        "AGENTKEYS_DIR={} {BIN} watch {actor} --lang en {more}",
        dir.display()
    ))
}

/// Given back: no other page, and what is typed is seen.
#[track_caller]
fn given_back(tmux: &Tmux, ended: &str) {
    let screen = tmux.shows(ended);
    assert!(!tmux.is_taken(), "{screen}");
    let echoes = |screen: &str| {
        let words = screen.split_whitespace().collect::<Vec<_>>();
        words.contains(&"echo") && !words.contains(&"-echo")
    };
    tmux.until("echo", echoes);
}

#[test]
#[ignore = "needs what tests/sdk/install installs"]
fn events_are_seen_as_they_happen_and_keys_work() {
    let server = Server::demo();
    let tmux = Tmux::start((120, 40), &watch(&server.house, ""));
    tmux.shows("Volcano Ark");
    assert!(tmux.is_taken());
    let line = json!({"namespace": "travel", "content": "火锅 🐼"});
    server
        .host("magiclick")
        .result("agentkeys.memory.put", line);
    let get = json!({"namespace": "travel"});
    server.host("folotoy").result("agentkeys.memory.get", get);
    let screen = tmux.shows("≡A same content");
    let of = |tool: &str| {
        screen
            .lines()
            .find(|l| l.contains(tool))
            .unwrap()
            .to_owned()
    };
    let (put, get) = (of("memory.put  "), of("memory.get  "));
    assert!(put.contains("✓ ≡A") && get.contains("✓ ≡A"), "{screen}");
    let rule = |line: &str| line.chars().position(|c| c == '│');
    assert_eq!(rule(&put), rule(&get), "{screen}");
    assert!(!screen.contains('火'), "what is remembered is never shown");

    tmux.keys(&["Enter"]);
    tmux.shows("binding");
    tmux.shows("not sealed yet: it comes with the next checkpoint");
    let seal = run_in(&server.house.dir(), &["audit", "checkpoint"]);
    assert!(seal.status.success());
    tmux.shows("✓ in the signed tree, checked here");
    tmux.keys(&["Escape"]);
    tmux.keys(&["/", "tool:memory.put rail:xiao", "Enter"]);
    tmux.until("the filter", |screen| {
        screen.contains("tool:memory.put rail:xiao") && !screen.contains("memory.get ")
    });
    tmux.keys(&["e"]);
    let told = tmux.shows("written to agentkeys-events-");
    let name = told
        .split_whitespace()
        .find(|w| w.starts_with("agentkeys-events-"));
    let exported = std::fs::read_to_string(tmux.temp.path().join(name.unwrap())).unwrap();
    let event: serde_json::Value = serde_json::from_str(&exported).unwrap();
    assert_eq!(event["tool"], "agentkeys.memory.put");
    tmux.keys(&["Escape"]);
    tmux.keys(&["?"]);
    tmux.shows("copy the event id");
    tmux.keys(&["x"]);
    tmux.keys(&["Space"]);
    tmux.shows("held +0 new");
    server
        .host("magiclick")
        .result("agentkeys.identity.whoami", json!({}));
    tmux.shows("held +1 new");
    tmux.keys(&["G"]);
    tmux.shows("identity.whoami");

    tmux.run(&["resize-window", "-t", "t", "-x", "50", "-y", "12"]);
    tmux.shows("50×12.");
    tmux.run(&["resize-window", "-t", "t", "-x", "80", "-y", "24"]);
    tmux.shows("identity");
    tmux.keys(&["q"]);
    given_back(&tmux, "ended 0");
}

#[test]
#[ignore = "needs what tests/sdk/install installs"]
fn a_viewer_far_away_sees_it_and_the_terminal_comes_back_from_a_signal() {
    let server = Server::demo();
    let actor = server.house.actor();
    let token = server.reader("viewer", &["--actor", &actor, "--namespaces", "travel"]);
    let file = server.house.temp.path().join("viewer.token");
    std::fs::write(&file, token).unwrap();
    let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(&file, private).unwrap();
    let more = format!(
        "O_kevin_001 --url {} --token-file {}",
        server.base,
        file.display()
    );
    let elsewhere = server.house.temp.path().join("nothing-here");
    let command = then_tell(&format!(
        "AGENTKEYS_DIR={} {BIN} watch --lang zh {more}",
        elsewhere.display()
    ));
    let tmux = Tmux::start((100, 30), &command);
    tmux.shows("Volcano Ark");
    let get = json!({"namespace": "family"});
    server.host("folotoy").result("agentkeys.memory.get", get);
    let screen = tmux.shows("memory.get");
    assert!(!screen.contains("family"), "a viewer of travel: {screen}");
    tmux.shows("封存");
    // The oldest row is sealed: the server has to prove it, and its text stays the server's word.
    tmux.keys(&["g", "Enter"]);
    tmux.shows("该位置的记录在已签名的树中");
    tmux.keys(&["Escape", "G"]);
    let pane = tmux.run(&["display", "-p", "-t", "t", "#{pane_pid}"]);
    let shell = text(&pane.stdout).trim().to_owned();
    let children = std::fs::read_to_string(format!("/proc/{shell}/task/{shell}/children"));
    let children = children.unwrap();
    let kill = Command::new("kill")
        .args(["-TERM", children.trim()])
        .status();
    assert!(kill.unwrap().success());
    given_back(&tmux, "ended 0");
}

#[test]
#[ignore = "needs what tests/sdk/install installs"]
fn a_key_starts_each_act_and_leaving_puts_everything_back() {
    let demo = |more: &str| then_tell(&format!("{BIN} demo three-acts {more}"));
    let tmux = Tmux::start((120, 40), &demo("--lang en"));
    // The rows come on a wire of their own, before or after the words.
    for words in ["press n for act 2", "5/18", "memory.read is not granted"] {
        tmux.shows(words);
    }
    tmux.keys(&["n"]);
    tmux.shows("press n for act 3");
    tmux.shows("cap=500, requested=600");
    tmux.keys(&["n"]);
    let screen = tmux.shows("18/18 proved");
    assert!(screen.contains("actor.ungrant"), "{screen}");
    assert!(
        !screen.contains("audit.read"),
        "its own reads are not shown: {screen}"
    );
    // Its server stays while it is looked at: what was just done is sealed, and proved.
    tmux.keys(&["Enter"]);
    tmux.shows("in the signed tree, checked here");
    tmux.keys(&["q"]);
    given_back(&tmux, "ended 0");
    let tmux = Tmux::start((100, 30), &demo("--lang zh"));
    tmux.shows("按 n 开始 第二幕");
    tmux.keys(&["q"]);
    tmux.shows("正在恢复原状");
    given_back(&tmux, "ended 130");
}

/// Takes the terminal and panics; run by the test below, in a terminal.
#[test]
#[ignore = "a part of another test"]
fn panics_in_a_terminal() {
    if std::env::var_os("AGENTKEYS_TEST_PANIC").is_some() {
        let _taken = Terminal::take("panics").unwrap();
        panic!("on purpose");
    }
}

#[test]
#[ignore = "needs what tests/sdk/install installs"]
fn the_terminal_comes_back_from_a_panic() {
    let this = std::env::current_exe().unwrap();
    let command = format!(
        "AGENTKEYS_TEST_PANIC=1 RUST_BACKTRACE=0 {} --exact it::screen::panics_in_a_terminal --ignored --nocapture",
        this.display()
    );
    let tmux = Tmux::start((100, 40), &then_tell(&command));
    given_back(&tmux, "ended 101");
    tmux.shows("on purpose");
}

#[test]
fn off_a_terminal_it_is_the_tail_and_a_picture_needs_none() {
    let server = Server::demo();
    let (dir, actor) = (server.house.dir(), server.house.actor());
    server
        .host("magiclick")
        .result("agentkeys.identity.whoami", json!({}));
    let picture = server.house.temp.path().join("watch.svg");
    let path = picture.display().to_string();
    let out = run_in(
        &dir,
        &["watch", &actor, "--screenshot", &path, "--size", "100x30"],
    );
    assert!(out.status.success(), "{}", text(&out.stderr));
    let svg = std::fs::read_to_string(&picture).unwrap();
    assert!(
        svg.starts_with("<svg ") && svg.contains("identity.whoami"),
        "{svg}"
    );
    assert!(!svg.contains('\u{1b}'));
    let wrong = run_in(&dir, &["watch", "nobody"]);
    assert_eq!(wrong.status.code(), Some(1));
    let error = json_of_error(&wrong);
    assert_eq!(error["error"]["code"], "agentkeys.actor.not_found");
    let alone = json_of(&run_in(
        &dir,
        &[
            "audit",
            "list",
            "--limit",
            "1",
            "--tool",
            "agentkeys.identity.whoami",
        ],
    ));
    let mut child = Command::new(BIN)
        .args(["watch", "O_kevin_001", "--json", "--limit", "1000"])
        .env("AGENTKEYS_DIR", &dir)
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let lines = std::io::BufRead::lines(std::io::BufReader::new(child.stdout.take().unwrap()));
    let id = alone["event_id"].as_str().unwrap();
    let seen = lines.map_while(Result::ok).any(|line| line.contains(id));
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(seen);
}

fn json_of_error(output: &Output) -> serde_json::Value {
    serde_json::from_slice(&output.stderr)
        .unwrap_or_else(|e| panic!("{e}: {}", text(&output.stderr)))
}
