//! Snapshots and keys that are not what was written, and logs that are not what was signed.

use super::{Pair, arg, entries};
use crate::it::support::{House, Server, send};
use agentkeys::authority::keys::RootKey;
use serde_json::Value;
use std::io::Read as _;
use std::path::Path;
use tar::EntryType;

type Members = Vec<(String, EntryType, Vec<u8>)>;

fn members(snapshot: &Path) -> Members {
    let mut tar = tar::Archive::new(std::fs::File::open(snapshot).unwrap());
    let entries = tar.entries().unwrap();
    let read = entries.map(|entry| {
        let mut entry = entry.unwrap();
        let name = String::from_utf8(entry.path_bytes().into_owned()).unwrap();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        (name, entry.header().entry_type(), bytes)
    });
    read.collect()
}

/// Writes names as they are: what a tar writer would not let through.
fn write(snapshot: &Path, members: &Members) {
    let mut tar = tar::Builder::new(std::fs::File::create(snapshot).unwrap());
    for (name, kind, bytes) in members {
        let mut header = tar::Header::new_ustar();
        if header.set_path(name).is_err() {
            let header = header.as_ustar_mut().unwrap();
            header.name[..name.len()].copy_from_slice(name.as_bytes());
        }
        header.set_size(bytes.len() as u64);
        header.set_entry_type(*kind);
        if kind.is_symlink() {
            header.set_link_name("/etc/passwd").unwrap();
        }
        header.set_cksum();
        tar.append(&header, &bytes[..]).unwrap();
    }
    tar.finish().unwrap();
}

/// The manifest changed by whoever has the keys.
fn signed(house: &House, members: &mut Members, edit: impl FnOnce(&mut Value)) {
    let root = std::fs::read_to_string(house.dir().join("keys/root.key")).unwrap();
    let root = hex::decode(root.trim()).unwrap().try_into().unwrap();
    let mut manifest: Value = serde_json::from_slice(&members[0].2).unwrap();
    edit(&mut manifest);
    members[0].2 = manifest.to_string().into_bytes();
    members[1].2 = hex::encode(RootKey::new(root).authenticate(&members[0].2)).into_bytes();
}

const DAMAGED: &str = "agentkeys.restore.damaged";

#[test]
fn a_byte_that_was_changed_anywhere_is_found() {
    let house = House::demo();
    let pair = Pair::of(&house, "monday");
    let whole = members(&pair.snapshot);
    assert_eq!(whole.len(), 5 + 3);
    for at in 0..whole.len() {
        let mut changed = whole.clone();
        let bytes = &mut changed[at].2;
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        write(&pair.snapshot, &changed);
        pair.refused(&[], 1, DAMAGED);
    }
    // The same bytes once more are taken, so it was not the writing.
    write(&pair.snapshot, &whole);
    pair.restored(&house, &[]);
    let file = std::fs::read(&pair.snapshot).unwrap();
    for end in [0, 100, 700, file.len() / 2] {
        std::fs::write(&pair.snapshot, &file[..end]).unwrap();
        pair.refused(&[], 1, DAMAGED);
    }
    std::fs::write(&pair.snapshot, "no snapshot at all").unwrap();
    pair.refused(&[], 1, DAMAGED);
}

#[test]
fn keys_that_were_changed_or_are_not_these_are_refused() {
    let house = House::demo();
    let mut pair = Pair::of(&house, "monday");
    let file = std::fs::read(&pair.keys).unwrap();
    let mut changed = file.clone();
    let last = changed.len() - 1;
    changed[last] ^= 1;
    std::fs::write(&pair.keys, &changed).unwrap();
    pair.refused(&[], 1, "agentkeys.restore.keys_damaged");
    std::fs::write(&pair.keys, &file[..file.len() - 1]).unwrap();
    pair.refused(&[], 1, "agentkeys.restore.keys_damaged");
    std::fs::copy(&pair.snapshot, &pair.keys).unwrap();
    pair.refused(&[], 1, "agentkeys.restore.not_keys");
    std::fs::write(&pair.keys, &file).unwrap();
    let right = pair.passphrase.clone();
    pair.passphrase = house.keep("wrong", "not the one it was");
    pair.refused(&[], 4, "agentkeys.restore.passphrase");
    pair.passphrase = right;
    let other = House::demo();
    let theirs = Pair::of(&other, "monday");
    let mixed = Pair {
        snapshot: pair.snapshot.clone(),
        ..theirs
    };
    mixed.refused(&[], 3, "agentkeys.restore.keys_of_another");
}

#[test]
fn nothing_in_a_snapshot_leads_out_of_its_folder() {
    let house = House::demo();
    let pair = Pair::of(&house, "monday");
    let whole = members(&pair.snapshot);
    for name in ["../evil", "/tmp/evil", "keys/root.key", "vault/../../evil"] {
        // In the place of a member that the manifest names, and named by the manifest itself.
        let mut changed = whole.clone();
        name.clone_into(&mut changed[3].0);
        write(&pair.snapshot, &changed);
        pair.refused(&[], 1, DAMAGED);
        signed(&house, &mut changed, |m| {
            m["members"][1]["name"] = name.into();
        });
        write(&pair.snapshot, &changed);
        pair.refused(&[], 1, DAMAGED);
    }
    for kind in [
        EntryType::Symlink,
        EntryType::Link,
        EntryType::Directory,
        EntryType::Char,
        EntryType::Fifo,
        EntryType::GNULongName,
        EntryType::XHeader,
    ] {
        let mut changed = whole.clone();
        changed[3].1 = kind;
        changed[3].2.clear();
        write(&pair.snapshot, &changed);
        pair.refused(&[], 1, DAMAGED);
    }
    let mut more = whole.clone();
    more.push(("agentkeys.toml".to_owned(), EntryType::Regular, Vec::new()));
    write(&pair.snapshot, &more);
    pair.refused(&[], 1, DAMAGED);
    // A manifest that says it is longer than any.
    let mut file = std::fs::read(&pair.snapshot).unwrap();
    let header = tar::Header::from_byte_slice(&file[..512]);
    let mut header = header.clone();
    header.set_size(1 << 40);
    header.set_cksum();
    file[..512].copy_from_slice(header.as_bytes());
    std::fs::write(&pair.snapshot, &file).unwrap();
    pair.refused(&[], 1, DAMAGED);
    let mut newer = whole.clone();
    signed(&house, &mut newer, |m| m["format"] = 2.into());
    write(&pair.snapshot, &newer);
    pair.refused(&[], 3, "agentkeys.restore.newer");
    let mut future = whole;
    let ahead = 4_102_444_800_000_i64;
    signed(&house, &mut future, |m| m["created_ms"] = ahead.into());
    write(&pair.snapshot, &future);
    pair.refused(&[], 3, "agentkeys.restore.clock");
}

#[test]
fn a_kept_checkpoint_has_to_fit() {
    let house = House::demo();
    let kept = |house: &House, name: &str| {
        let path = house.temp.path().join(name);
        house.ok(&["audit", "checkpoint", "--out", arg(&path)]);
        path
    };
    let early = kept(&house, "early");
    // The same store twice: each goes on by itself.
    let fork = House {
        temp: tempfile::tempdir().unwrap(),
        init: house.init.clone(),
    };
    copy(&house.dir(), &fork.dir());
    house.ok(&["actor", "create", "only-there"]);
    let pair = Pair::of(&house, "monday");
    fork.ok(&["actor", "create", "only-here"]);
    let forked = kept(&fork, "forked");
    pair.refused(&["--checkpoint", arg(&forked)], 7, "agentkeys.audit.forked");
    let another = House::demo();
    let stranger = kept(&another, "stranger");
    pair.refused(
        &["--checkpoint", arg(&stranger)],
        7,
        "agentkeys.audit.kept_checkpoint",
    );
    let nonsense = house.keep("nonsense", "nonsense");
    let output = pair.restore(
        &house.temp.path().join("never"),
        &["--checkpoint", arg(&nonsense)],
    );
    assert_eq!(output.status.code(), Some(7));

    let (_, said) = pair.restored(&house, &["--checkpoint", arg(&early)]);
    assert_eq!(said["entries_lost"], Value::Null);
    let (_, said) = pair.restored(&house, &[]);
    assert_eq!(said["entries_lost"], Value::Null);
    house.ok(&["actor", "create", "lost"]);
    house.ok(&["actor", "create", "lost-too"]);
    let late = kept(&house, "late");
    let (other, said) = pair.restored(&house, &["--checkpoint", arg(&late)]);
    assert_eq!(said["entries_lost"], 2);
    assert_eq!(said["checkpoint_unverified"], false);
    let restart = &other.events(&["--tool", "audit.restart"])[0];
    let named = restart["detail"]["last_checkpoint"].as_str().unwrap();
    assert!(std::fs::read_to_string(&late).unwrap().starts_with(named));
    // Whoever kept it learns what became of it.
    let output = other.run(&["audit", "verify", "--log", "--since", arg(&late)]);
    assert_eq!(output.status.code(), Some(7));
    assert!(String::from_utf8_lossy(&output.stdout).contains("agentkeys.audit.put_back"));

    // One under a later name of the log: the next is after that.
    let later = kept(&other, "later");
    let (third, said) = pair.restored(&house, &["--checkpoint", arg(&later)]);
    assert_eq!(
        (&said["entries_lost"], &said["checkpoint_unverified"]),
        (&Value::Null, &true.into())
    );
    let origin = said["checkpoint"]["origin"].as_str().unwrap();
    assert!(origin.contains(":log:3:"), "{origin}");
    assert_eq!(third.ok(&["audit", "verify", "--log"])["verified"], true);
    // One that nobody is known to have signed cannot use up the names there are.
    let far = house.temp.path().join("far.checkpoint");
    let text = std::fs::read_to_string(&later).unwrap();
    std::fs::write(&far, text.replace(":log:2", ":log:4000000000")).unwrap();
    pair.refused(
        &["--checkpoint", arg(&far)],
        7,
        "agentkeys.audit.kept_checkpoint",
    );
    let mut bad = std::fs::read_to_string(&late).unwrap();
    let at = bad.trim_end().len() - 8;
    bad.replace_range(at..=at, if &bad[at..=at] == "A" { "B" } else { "A" });
    std::fs::write(&late, bad).unwrap();
    pair.refused(
        &["--checkpoint", arg(&late)],
        7,
        "agentkeys.audit.kept_checkpoint",
    );
}

#[test]
fn two_folders_of_one_snapshot_are_two_logs() {
    let house = House::demo();
    let pair = Pair::of(&house, "monday");
    let kept = |house: &House| {
        let path = house.temp.path().join("kept");
        house.ok(&["audit", "checkpoint", "--out", arg(&path)]);
        path
    };
    let (one, said) = pair.restored(&house, &[]);
    let (two, other) = pair.restored(&house, &[]);
    let origin = |said: &Value| said["checkpoint"]["origin"].clone();
    assert_ne!(origin(&said), origin(&other));
    // As many entries in each, and other ones.
    one.ok(&["actor", "create", "only-here"]);
    two.ok(&["actor", "create", "only-there"]);
    let (first, second) = (kept(&one), kept(&two));
    for (house, own, foreign) in [(&one, &first, &second), (&two, &second, &first)] {
        let verdict = house.ok(&["audit", "verify", "--log", "--since", arg(own)]);
        assert_eq!(verdict["verified"], true);
        // Of another log, and no fork of this one.
        let output = house.run(&["audit", "verify", "--log", "--since", arg(foreign)]);
        assert_eq!(output.status.code(), Some(7));
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(said.contains("agentkeys.audit.kept_checkpoint"), "{said}");
    }
    // Nor is one a later state of the other for a restore.
    let next = Pair::of(&one, "tuesday");
    two.ok(&["actor", "create", "later"]);
    let code = "agentkeys.audit.kept_checkpoint";
    next.refused(&["--checkpoint", arg(&kept(&two))], 7, code);
    // Whose checkpoint lies beside the ledger of the other is told, not believed.
    std::fs::copy(two.dir().join("checkpoint"), one.dir().join("checkpoint")).unwrap();
    let sealed = one.ok(&["audit", "checkpoint"]);
    assert!(sealed["origin"].as_str().unwrap().contains(":log:3:"));
    assert_eq!(sealed["closed"], origin(&said));
    assert_eq!(one.ok(&["audit", "verify", "--log"])["verified"], true);
}

#[test]
fn a_folder_that_was_copied_says_so() {
    let warns = |server: &Server| {
        let asked = server.http.get(format!("{}/readyz", server.operator));
        let ready = send(asked).json();
        assert_eq!(ready["ready"], true);
        let checks = ready["checks"].as_array().unwrap().clone();
        checks
            .iter()
            .any(|c| c["id"] == "place" && c["status"] == "warn")
    };
    // Nothing is written while it is copied.
    let settings = [("AGENTKEYS_AUDIT_BATCH_SECONDS", "3600")];
    let server = Server::over(House::demo(), &settings);
    assert!(!warns(&server));
    let server = server.again();
    assert!(!warns(&server), "it is the same one");
    let init = server.house.init.clone();
    let temp = tempfile::tempdir().unwrap();
    let other = House { temp, init };
    copy(&server.house.dir(), &other.dir());
    let other = Server::over(other, &[]);
    other.logged("this folder was copied");
    assert!(warns(&other));
    assert!(!warns(&server));
    // One that was put back is another log, and no copy.
    let pair = Pair::of(&server.house, "monday");
    let (third, _) = pair.restored(&server.house, &[]);
    assert!(!warns(&Server::over(third, &[])));
}

fn copy(from: &Path, to: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::create_dir(to).unwrap();
    std::fs::set_permissions(to, std::fs::Permissions::from_mode(0o700)).unwrap();
    for name in entries(from) {
        let (from, to) = (from.join(&name), to.join(&name));
        if from.is_dir() {
            copy(&from, &to);
        } else {
            std::fs::copy(&from, &to).unwrap();
        }
    }
}
