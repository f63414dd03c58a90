//! The runbook's commands, run word for word on a machine of namespaces (`tests/sdk/machine.sh`).

use super::installed::{installed, root};
use super::support::{BIN, text};
use super::tls::Ca;
use std::path::Path;
use std::process::{Command, Stdio};

/// What is said to be not run.
const NOT_RUN: &str = "*(not run by the test";

/// A block of commands.
#[derive(Debug, Default)]
struct Step {
    as_root: bool,
    commands: String,
    exit: i32,
    says: Vec<String>,
    /// A name, and the pattern of what it stands for from then on.
    takes: Vec<(String, String)>,
}

/// The blocks of a page, and what its comments expect of them.
fn steps(page: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut inside = false;
    for line in page.lines() {
        let bare = line.trim();
        if let Some(kind) = bare.strip_prefix("```") {
            inside = !inside;
            if inside {
                assert!(["sh", "sh root"].contains(&kind), "{kind:?}");
                steps.push(Step {
                    as_root: kind == "sh root",
                    ..Step::default()
                });
            }
            continue;
        }
        let comment = bare
            .strip_prefix("<!-- ")
            .and_then(|c| c.strip_suffix(" -->"));
        let Some(step) = steps.last_mut() else {
            continue;
        };
        if inside {
            step.commands.push_str(bare);
            step.commands.push('\n');
        } else if let Some(comment) = comment {
            match comment.split_once(": ") {
                Some(("says", what)) => step.says.push(what.to_owned()),
                Some(("exit", code)) => step.exit = code.parse().unwrap(),
                Some(("take", what)) => {
                    let (name, pattern) = what.split_once(" = ").unwrap();
                    step.takes.push((name.to_owned(), pattern.to_owned()));
                }
                other => panic!("{other:?}"),
            }
        }
    }
    assert!(!inside);
    steps
}

fn write(step: &Step, number: usize, into: &Path) {
    let put = |end: &str, text: String| {
        std::fs::write(into.join(format!("{number:02}.{end}")), text).unwrap();
    };
    let lines = |lines: Vec<String>| {
        lines
            .into_iter()
            .fold(String::new(), |all, l| all + &l + "\n")
    };
    put(
        if step.as_root { "root" } else { "user" },
        step.commands.clone(),
    );
    put("exit", step.exit.to_string());
    put("says", lines(step.says.clone()));
    let takes = step.takes.iter().map(|(name, p)| format!("{name} {p}"));
    put("take", lines(takes.collect()));
}

/// Whether this user may make namespaces and do in them what the machine is made of.
fn may_make_machines() -> bool {
    let parts = "mount -t tmpfs tmpfs /srv && mkdir /srv/upper /srv/work && \
        mount -t overlay overlay -o lowerdir=/etc,upperdir=/srv/upper,workdir=/srv/work /etc && \
        ip link set lo up && mount -t tmpfs tmpfs /usr/local/bin && command -v setpriv useradd";
    let tried = Command::new("unshare")
        .args(["--mount", "--net", "--pid", "--fork", "sh", "-c", parts])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    tried.is_ok_and(|status| status.success())
}

#[test]
#[ignore = "needs tests/sdk/install"]
fn every_command_of_the_runbook_does_what_it_says() {
    if !may_make_machines() {
        println!("NOT RUN: this user may not make namespaces; see tests/sdk/machine.sh");
        return;
    }
    let page = std::fs::read_to_string(root("docs/runbook.md")).unwrap();
    let steps = steps(&page);
    assert!(steps.len() > 15, "{}", steps.len());
    assert!(
        page.matches(NOT_RUN).count() <= 6,
        "at most five, and what the mark means"
    );
    let work = tempfile::tempdir().unwrap();
    let ca = Ca::new();
    std::fs::write(work.path().join("ca.pem"), &ca.pem).unwrap();
    let own = ca.issue(&["localhost", "127.0.0.1"], (2100, 1));
    std::fs::write(work.path().join("own.pem"), own).unwrap();
    let into = work.path().join("steps");
    std::fs::create_dir(&into).unwrap();
    for (number, step) in steps.iter().enumerate() {
        write(step, number, &into);
    }
    let namespaces = [
        "--mount",
        "--net",
        "--pid",
        "--fork",
        "--kill-child",
        "--mount-proc",
    ];
    let output = Command::new("unshare")
        .args(namespaces)
        .arg(root("tests/sdk/machine.sh"))
        .arg(BIN)
        .arg(installed(".venv/pebble/stable").join("usr/bin"))
        .args([work.path(), &into])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}\n{}",
        text(&output.stdout),
        text(&output.stderr)
    );
    let ran = format!("ran {} blocks", steps.len());
    assert!(
        text(&output.stdout).contains(&ran),
        "{}",
        text(&output.stdout)
    );
}
