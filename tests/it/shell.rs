//! What shells and `man` are given: loaded and rendered by the real ones.

use super::support::{BIN, House, run_in, text};
use std::path::Path;
use std::process::{Command, Output};

/// Whether a program is here; otherwise it is said that it was not run.
fn here(program: &str) -> bool {
    let found = Command::new(program).arg("--version").output().is_ok();
    if !found {
        println!("NOT RUN: there is no {program} here");
    }
    found
}

fn script(shell: &str, dir: &Path) -> std::path::PathBuf {
    let output = Command::new(BIN).args(["completions", shell]).output();
    let output = output.unwrap();
    assert!(output.status.success() && output.stderr.is_empty());
    let path = dir.join(format!("_agentkeys_{shell}"));
    std::fs::write(&path, output.stdout).unwrap();
    path
}

fn said(output: &Output) -> String {
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(output.stderr.is_empty(), "{}", text(&output.stderr));
    text(&output.stdout)
}

#[test]
fn bash_completes_commands_flags_and_words() {
    let temp = tempfile::tempdir().unwrap();
    let script = script("bash", temp.path());
    let complete = |line: &str| {
        // As readline asks: the words, the cursor at the end of the last one.
        let words: Vec<_> = line.split(' ').collect();
        let ask = format!(
            "source '{}' && COMP_WORDS=({line}) COMP_CWORD={last} && \
             _agentkeys agentkeys '{word}' '{before}' && printf '%s\\n' \"${{COMPREPLY[@]}}\"",
            script.display(),
            last = words.len() - 1,
            word = words.last().unwrap(),
            before = words[words.len() - 2],
        );
        let output = Command::new("bash").args(["--norc", "-c", &ask]).output();
        said(&output.unwrap())
            .lines()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let mut bash = Command::new("bash");
    let loads = format!("source '{}'; complete -p agentkeys", script.display());
    let loaded = said(&bash.args(["--norc", "-c", &loads]).output().unwrap());
    assert!(
        loaded.contains("_agentkeys") && loaded.trim_end().ends_with("agentkeys"),
        "{loaded}"
    );
    assert_eq!(complete("agentkeys doc"), ["doctor"]);
    assert_eq!(complete("agentkeys vendor token cr"), ["create"]);
    assert_eq!(
        complete("agentkeys vendor create v --rail xia"),
        ["xiaozhi"]
    );
    assert!(complete("agentkeys watch --scr").contains(&"--screenshot".to_owned()));
}

#[test]
fn zsh_and_fish_take_their_scripts() {
    let temp = tempfile::tempdir().unwrap();
    for (shell, flag) in [("zsh", "-n"), ("fish", "--no-execute")] {
        let script = script(shell, temp.path());
        let lines = std::fs::read_to_string(&script).unwrap();
        assert!(
            lines.contains("doctor") && lines.contains("agentkeys"),
            "{shell}"
        );
        if here(shell) {
            said(&Command::new(shell).arg(flag).arg(&script).output().unwrap());
        }
    }
    let unknown = run_in(temp.path(), &["completions", "tcsh"]);
    assert_eq!(unknown.status.code(), Some(2));
}

#[test]
fn every_page_renders_without_a_warning() {
    let house = House {
        temp: tempfile::tempdir().unwrap(),
        init: serde_json::Value::Null,
    };
    let out = house.temp.path().join("man/man1");
    let written = house.ok(&["man", "--out", out.to_str().unwrap()]);
    let pages = written["pages"].as_array().unwrap();
    assert_eq!(std::fs::read_dir(&out).unwrap().count(), pages.len());
    if !here("groff") {
        return;
    }
    for page in pages {
        let page = page.as_str().unwrap();
        let mut groff = Command::new("groff");
        // A word that is longer than a line is no fault of the page.
        groff.args(["-man", "-Tutf8", "-wall", "-Wbreak", "-rHY=0", "-P-cbou"]);
        let output = groff.arg("-Kutf8").arg(out.join(page)).output().unwrap();
        let told = said(&output);
        assert!(told.contains("EXAMPLES") && told.contains("NAME"), "{page}");
        let name = page.strip_suffix(".1").unwrap();
        let told = told.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(told.contains(&format!("NAME {name} - ")), "{page}: {told}");
    }
}

#[test]
fn pages_go_where_they_may_or_it_is_said() {
    let temp = tempfile::tempdir().unwrap();
    let file = temp.path().join("file");
    std::fs::write(&file, "kept").unwrap();
    let refused = run_in(temp.path(), &["man", "--out", file.to_str().unwrap()]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stderr).contains("agentkeys.file.unwritable"));
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "kept");
}
