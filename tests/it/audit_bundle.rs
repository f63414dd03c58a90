//! A second verifier of audit bundles, written in another language from `docs/audit.md` alone, and
//! ours: they must agree on what holds and on what proves nothing.

use super::support::text;
use agentkeys::audit::bundle::{Bundle, Newer, verify};
use agentkeys::audit::checkpoint::Checkpoint;
use agentkeys::audit::note::LogKey;
use agentkeys::audit::tree::{Frontier, Tree, leaf_hash};
use agentkeys::digest::sha256;
use agentkeys::secret::Secret;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const GOLDEN: &[u8] = include_bytes!("../../fixtures/audit/golden.bundle");
const ORIGIN: &str = "log.example/agentkeys";

fn key(seed: u8) -> LogKey {
    LogKey::from_seed(ORIGIN, &Secret::new([seed; 32])).unwrap()
}

/// Runs the other verifier over files with these contents; its words and exit code.
fn other(trusted: Option<&LogKey>, files: &[Vec<u8>]) -> Output {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let stamp = root.join(".venv/jwt/stamp");
    let missing = format!(
        "{} is missing: run tests/sdk/install first",
        stamp.display()
    );
    assert!(stamp.exists(), "{missing}");
    let temp = tempfile::tempdir().unwrap();
    let mut command = Command::new(root.join(".venv/jwt/bin/python"));
    command
        .arg(root.join("tests/sdk/verify_bundle.py"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .current_dir(temp.path());
    if let Some(key) = trusted {
        command.args(["--trust-key", &key.verifier().to_string()]);
    }
    for (number, bytes) in files.iter().enumerate() {
        let name = PathBuf::from(number.to_string());
        std::fs::write(temp.path().join(&name), bytes).unwrap();
        command.arg(name);
    }
    let output = command.output().unwrap();
    assert_eq!(text(&output.stderr), "");
    assert_eq!(text(&output.stdout).lines().count(), files.len());
    output
}

#[track_caller]
fn both_accept(trusted: Option<&LogKey>, files: &[Vec<u8>]) {
    let output = other(trusted, files);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stdout));
    let trusted: Vec<_> = trusted.iter().map(|k| k.verifier().clone()).collect();
    assert!(files.iter().all(|bytes| verify(bytes, &trusted).verified()));
}

#[track_caller]
fn both_refuse(trusted: Option<&LogKey>, files: &[Vec<u8>]) {
    let output = other(trusted, files);
    assert_eq!(output.status.code(), Some(7));
    let held = |line: &str| !line.contains(": proves nothing: ");
    let held = text(&output.stdout)
        .lines()
        .find(|l| held(l))
        .map(str::to_owned);
    assert_eq!(held, None);
    let trusted: Vec<_> = trusted.iter().map(|k| k.verifier().clone()).collect();
    assert!(
        files
            .iter()
            .all(|bytes| !verify(bytes, &trusted).verified())
    );
}

fn resealed(before: &[u8]) -> Vec<u8> {
    let last = format!("sha256 {}\n", hex::encode(sha256(&[before])));
    [before, last.as_bytes()].concat()
}

#[test]
#[ignore = "needs tests/sdk/install"]
fn another_verifier_accepts_the_golden_bundle_and_only_its_key() {
    let golden = [GOLDEN.to_vec()];
    both_accept(None, &golden);
    both_accept(Some(&key(1)), &golden);
    both_refuse(Some(&key(2)), &golden);
    let said = other(None, &golden);
    assert!(text(&said.stdout).contains("under a key you have not pinned"));
}

#[test]
#[ignore = "needs tests/sdk/install"]
fn another_verifier_finds_every_byte_that_was_tampered_with() {
    let before = &GOLDEN[..GOLDEN.len() - 72];
    let mut files = Vec::new();
    for (place, &byte) in before.iter().enumerate() {
        for new in [byte ^ 1, byte ^ 2, byte ^ 0x20, b'\n', b' '] {
            if new != byte {
                let mut altered = before.to_vec();
                altered[place] = new;
                files.push(resealed(&altered));
            }
        }
        files.push(resealed(&[&before[..place], &before[place + 1..]].concat()));
        files.push(resealed(&before[..place]));
    }
    for place in 0..GOLDEN.len() {
        let mut altered = GOLDEN.to_vec();
        altered[place] ^= 4;
        files.push(altered);
    }
    // Lines left out, repeated and swapped.
    let lines: Vec<&[u8]> = before.split_inclusive(|&b| b == b'\n').collect();
    for place in 0..lines.len() {
        let mut repeated = lines.clone();
        repeated.insert(place, lines[place]);
        let mut missing = lines.clone();
        missing.remove(place);
        let mut swapped = lines.clone();
        swapped.swap(place, (place + 1) % lines.len());
        files.extend([repeated, missing, swapped].map(|lines| resealed(&lines.concat())));
    }
    files.retain(|bytes| bytes != GOLDEN);
    for files in files.chunks(5_000) {
        both_refuse(None, files);
    }
}

#[test]
#[ignore = "needs tests/sdk/install"]
fn another_verifier_accepts_proofs_of_logs_of_many_sizes() {
    let entry = |n: u64| n.to_be_bytes().to_vec();
    let tiles = Frontier::new().append((0..600).map(|n| leaf_hash(&entry(n))));
    let tiles: BTreeMap<_, _> = tiles.into_iter().map(|tile| (tile.id(), tile)).collect();
    let keys = [key(1), key(2)];
    let checkpoint = |size| {
        let root = Tree::new(size, &tiles).unwrap().root().unwrap();
        let checkpoint = Checkpoint::new(ORIGIN, size, root).unwrap();
        checkpoint.sign_after(None, &[], &keys).unwrap()
    };
    let mut files = Vec::new();
    for size in [1, 2, 3, 4, 7, 8, 9, 255, 256, 257, 511, 512, 599] {
        for later in [size + 1, 600] {
            for seq in [0, size / 2, size - 1] {
                let consistency = Tree::new(later, &tiles).unwrap().consistency(size).unwrap();
                let bundle = Bundle {
                    seq,
                    envelope: entry(seq),
                    inclusion: Tree::new(size, &tiles).unwrap().inclusion(seq).unwrap(),
                    checkpoint: checkpoint(size),
                    newer: Some(Newer {
                        checkpoint: checkpoint(later),
                        consistency,
                    }),
                    anchor: None,
                    keys: keys.iter().map(|key| key.verifier().clone()).collect(),
                };
                files.push(bundle.encode().into_bytes());
            }
        }
    }
    both_accept(None, &files);
    both_accept(Some(&key(2)), &files);
    both_refuse(Some(&key(3)), &files);
}
