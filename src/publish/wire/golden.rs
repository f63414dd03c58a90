//! Golden files: every case of `fixtures/wire/` is wired, wired again and unwired on disk.
//!
//! `original` is the file before (none: there is no file), `after` the file once wired. Unwired, it
//! has to be the original again, byte for byte; only where others made `edited` of it meanwhile, it
//! has to be `removed`. `AGENTKEYS_TEST_BLESS=1` writes `after` and `removed` anew.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};

use super::file::{BACKUP, HostFile};
use super::volcano_ark::{Approval, Entry};
use super::xiaozhi::{EndpointFile, EndpointUrl, SettingsFile};
use super::{Access, Document, Kind, change};
use crate::secret::Secret;

fn fixtures(below: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fixtures/wire")
        .join(below)
}

fn settings() -> SettingsFile {
    let access = Access {
        url: "http://127.0.0.1:8088/mcp".to_owned(),
        token: Secret::new("TOKEN".to_owned()),
        actor: Some("O_kevin_001".to_owned()),
    };
    SettingsFile::new("agentkeys", access)
}

fn endpoint() -> EndpointFile {
    let token = Secret::new("0af3".to_owned());
    EndpointFile::new(EndpointUrl::of("http://127.0.0.1:8088", &token).unwrap())
}

fn read(path: &Path) -> Option<Vec<u8>> {
    fs::read(path).ok()
}

/// Holds a file to its golden one.
#[track_caller]
fn golden(path: &Path, got: Option<&[u8]>, case: &str) {
    if std::env::var_os("AGENTKEYS_TEST_BLESS").is_some() {
        match got {
            Some(bytes) => fs::write(path, bytes).unwrap(),
            None => _ = fs::remove_file(path),
        }
    }
    let wanted = read(path);
    let text = |bytes: Option<&[u8]>| bytes.map(|b| String::from_utf8_lossy(b).into_owned());
    assert_eq!(
        text(got),
        text(wanted.as_deref()),
        "{case}: {}",
        path.display()
    );
}

fn wire(document: &dyn Document, path: &Path) -> bool {
    let file = HostFile::read(path).unwrap();
    let change = change::wired(document, &file).unwrap();
    file.apply(&change).unwrap();
    !change.is_empty()
}

fn unwire(document: &dyn Document, path: &Path) {
    let file = HostFile::read(path).unwrap();
    file.apply(&change::removed(document, &file).unwrap())
        .unwrap();
}

fn backup(path: &Path) -> PathBuf {
    PathBuf::from(format!("{}{BACKUP}", path.display()))
}

/// One case from its original to its removal.
fn play(document: &dyn Document, case: &Path, extension: &str) {
    let name = case.file_name().unwrap().to_string_lossy().into_owned();
    let at = |which: &str| case.join(format!("{which}.{extension}"));
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("file");
    let original = read(&at("original"));
    if let Some(bytes) = &original {
        fs::write(&path, bytes).unwrap();
    }
    let changed = wire(document, &path);
    let after = read(&path);
    golden(&at("after"), after.as_deref(), &name);
    assert_eq!(changed, after != original, "{name}");
    let kept = changed.then(|| original.clone().unwrap_or_default());
    assert_eq!(
        read(&backup(&path)),
        kept,
        "{name}: the backup is the file without us"
    );
    assert!(
        !wire(document, &path),
        "{name}: a second time changes something"
    );
    assert_eq!(read(&path), after, "{name}");

    if let Some(edited) = read(&at("edited")) {
        fs::write(&path, edited).unwrap();
        assert!(
            !wire(document, &path),
            "{name}: others' edits are wired over"
        );
        unwire(document, &path);
        golden(&at("removed"), read(&path).as_deref(), &name);
        return;
    }
    unwire(document, &path);
    assert_eq!(read(&path), original, "{name}: not the original bytes");
    let left = fs::read_dir(temp.path()).unwrap().count();
    assert_eq!(left, usize::from(original.is_some()), "{name}");
    let before = read(&path);
    unwire(document, &path);
    assert_eq!(
        read(&path),
        before,
        "{name}: a second removal changes something"
    );
}

fn cases(below: &str) -> Vec<PathBuf> {
    let mut cases: Vec<PathBuf> = fs::read_dir(fixtures(below))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    cases.sort();
    cases
}

#[test]
fn every_settings_file_is_wired_and_unwired() {
    let cases = cases("xiaozhi");
    assert!(cases.len() > 14, "{cases:?}");
    for case in cases {
        play(&settings(), &case, "json");
    }
}

#[test]
fn every_configuration_is_wired_and_unwired() {
    let cases = cases("xiaozhi-relay");
    assert!(cases.len() > 6, "{cases:?}");
    for case in cases {
        play(&endpoint(), &case, "yaml");
    }
}

/// The file's name begins with the last word of its code.
#[test]
fn every_hostile_file_is_refused_by_name_and_left_alone() {
    let cases = cases("refused");
    assert!(cases.len() > 20, "{cases:?}");
    for case in cases {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("file");
        let bytes = fs::read(&case).unwrap();
        fs::write(&path, &bytes).unwrap();
        let yaml = case.extension().unwrap() == "yaml";
        let (settings, endpoint) = (settings(), endpoint());
        let document: &dyn Document = if yaml { &endpoint } else { &settings };
        let refused = HostFile::read(&path).and_then(|file| change::wired(document, &file));
        let kind = refused
            .map_err(|e| e.kind)
            .expect_err(&case.display().to_string());
        let name = case.file_stem().unwrap().to_string_lossy().into_owned();
        let word = name.split('-').next().unwrap();
        assert_eq!(kind.code(), format!("agentkeys.wire.{word}"), "{name}");
        assert_eq!(fs::read(&path).unwrap(), bytes);
        assert_eq!(fs::read_dir(temp.path()).unwrap().count(), 1, "{name}");
    }
}

#[test]
fn a_huge_file_is_refused_and_a_large_one_is_not() {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("file");
    let of = |servers: usize| {
        let entries: Vec<String> = (0..servers)
            .map(|n| format!("    \"s{n}\": {{\"command\": \"x\"}}"))
            .collect();
        format!(
            "{{\n  \"mcpServers\": {{\n{}\n  }}\n}}\n",
            entries.join(",\n")
        )
    };
    fs::write(&path, of(20_000)).unwrap();
    assert!(wire(&settings(), &path));
    unwire(&settings(), &path);
    assert_eq!(fs::read_to_string(&path).unwrap(), of(20_000));
    fs::write(&path, of(50_000)).unwrap();
    assert_eq!(HostFile::read(&path).unwrap_err().kind, Kind::TooLarge);
}

/// A new token, others' edits and a new token again: what is left at the end is theirs alone.
#[test]
fn a_backup_never_holds_what_we_wrote() {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("file");
    let first = settings();
    let second = settings().with_token(Secret::new("TOKEN2".to_owned()));
    let third = settings().with_token(Secret::new("TOKEN3".to_owned()));
    fs::write(&path, "{\n  \"mine\": 1\n}\n").unwrap();
    assert!(wire(&first, &path) && wire(&second, &path));
    assert_eq!(
        fs::read_to_string(backup(&path)).unwrap(),
        "{\n  \"mine\": 1\n}\n"
    );
    let edited = fs::read_to_string(&path)
        .unwrap()
        .replace("\"mine\": 1", "\"mine\": 2");
    fs::write(&path, edited).unwrap();
    assert!(wire(&third, &path));
    let held = fs::read_to_string(backup(&path)).unwrap();
    assert!(
        held.contains("\"mine\": 2") && !held.contains("TOKEN"),
        "{held}"
    );
    unwire(&third, &path);
    assert_eq!(fs::read_to_string(&path).unwrap(), held);
    assert!(!backup(&path).exists());
}

/// A file that others made ours again by hand after it was unwired, or deleted, is theirs.
#[test]
fn nothing_of_others_is_lost_when_files_come_and_go() {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("file");
    fs::write(&path, "{\"mine\": 1}").unwrap();
    wire(&settings(), &path);
    fs::remove_file(&path).unwrap();
    assert!(wire(&settings(), &path));
    assert_eq!(fs::read_to_string(backup(&path)).unwrap(), "{\"mine\": 1}");
    let left = fs::read_to_string(&path).unwrap();
    fs::write(&path, left.replace("TOKEN", "BY-HAND")).unwrap();
    wire(&settings(), &path);
    unwire(&settings(), &path);
    assert!(!fs::read_to_string(&path).unwrap().contains("agentkeys"));
}

#[test]
fn a_rival_with_our_tools_is_named() {
    let text = r#"{"mcpServers": {
        "agentkeys": {"url": "http://127.0.0.1:8088/mcp"},
        "other": {"url": "http://h/mcp", "headers": {"Authorization": "Bearer akv_1"}},
        "plain": {"url": "http://h/sse", "headers": {"Authorization": "Bearer x"}}}}"#;
    assert_eq!(settings().rivals(text).unwrap(), ["other"]);
}

/// What is written for Ark, and nothing else in the folder.
#[test]
fn everything_for_ark_is_what_it_was() {
    let entry = Entry {
        approval: Approval::Writes,
        ..Entry::new("https://mcp.example.com/mcp", Some("O_kevin_001"), None)
    };
    let files = entry.files().unwrap();
    for (name, text) in &files {
        let path = fixtures("volcano-ark").join(name);
        golden(&path, Some(text.as_bytes()), name);
    }
    assert_eq!(cases("volcano-ark").len(), files.len());
}
