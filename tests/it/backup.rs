//! Backups over real folders: taken while a server serves, put back elsewhere, refused where they
//! should be, and never half there.

mod broken;
mod erased;

use super::installed::{installed, root};
use super::operations::SmallDisk;
use super::support::{House, Server, command, json_of, run_in, text};
use serde_json::{Value, json};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

const PASSPHRASE: &str = "correct horse battery staple";

/// A snapshot and its keys.
struct Pair {
    snapshot: PathBuf,
    keys: PathBuf,
    passphrase: PathBuf,
    /// What the command said.
    said: Value,
}

fn arg(path: &Path) -> &str {
    path.to_str().unwrap()
}

impl Pair {
    #[track_caller]
    fn of(house: &House, name: &str) -> Self {
        let at = |name: &str| house.temp.path().join(name);
        let snapshot = at(&format!("{name}.tar"));
        let passphrase = house.keep("passphrase", PASSPHRASE);
        let words = ["backup", "--out", arg(&snapshot)];
        let said = house.ok(&[&words[..], &["--passphrase-file", arg(&passphrase)]].concat());
        Self {
            keys: at(&format!("{name}.tar.keys.age")),
            snapshot,
            passphrase,
            said,
        }
    }

    fn args<'a>(&'a self, more: &[&'a str]) -> Vec<&'a str> {
        let mut args = vec!["restore", arg(&self.snapshot), "--keys", arg(&self.keys)];
        args.extend(["--passphrase-file", arg(&self.passphrase)]);
        args.extend(more);
        args
    }

    fn restore(&self, dir: &Path, more: &[&str]) -> Output {
        run_in(dir, &self.args(more))
    }

    /// Puts it back; the tokens of `house` are those of the folder that comes out.
    #[track_caller]
    fn restored(&self, house: &House, more: &[&str]) -> (House, Value) {
        let temp = tempfile::tempdir().unwrap();
        let init = house.init.clone();
        let other = House { temp, init };
        let said = json_of(&self.restore(&other.dir(), more));
        (other, said)
    }

    /// Asserts that it is refused, with this exit and code, and that nothing is there after it.
    #[track_caller]
    fn refused(&self, more: &[&str], exit: i32, code: &str) {
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path().join("data");
        let output = self.restore(&dir, more);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(exit), "{said}");
        assert!(said.contains(&format!("\"{code}\"")), "{code}: {said}");
        assert_eq!(entries(temp.path()), Vec::<String>::new(), "{said}");
    }
}

fn entries(dir: &Path) -> Vec<String> {
    let all = std::fs::read_dir(dir).unwrap();
    let name = |e: std::io::Result<std::fs::DirEntry>| e.unwrap().file_name().into_string();
    all.map(|e| name(e).unwrap()).collect()
}

const GET: &str = "agentkeys_memory_get";
const PUT: &str = "agentkeys_memory_put";
const CHECK: &str = "agentkeys_permission_check";

#[test]
fn a_backup_under_load_is_put_back_whole() {
    let settings = [
        ("AGENTKEYS_LIMITS_CALLS_PER_SECOND", "0"),
        ("AGENTKEYS_AUDIT_BATCH_SECONDS", "1"),
    ];
    let server = Server::over(House::demo(), &settings);
    let house = &server.house;
    let host = server.host("magiclick");
    let spend = json!({"scope": "payment.spend", "params": {"amount_rmb": 300}});
    assert!(host.text(CHECK, spend.clone()).starts_with("accept"));
    let first = house.events(&[])[0].clone();
    let first = first["event_id"].as_str().unwrap();
    let (before, after) = (
        house.temp.path().join("before"),
        house.temp.path().join("after"),
    );
    house.ok(&["audit", "prove", first, "--out", arg(&before)]);
    let signs = |house: &House| {
        house.ok(&["audit", "checkpoint"])["key"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    let old = signs(house);
    let pair = under_load(&server);
    assert_eq!(pair.said.get("missing"), None, "{}", pair.said);
    for file in [&pair.snapshot, &pair.keys] {
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }
    let size = pair.snapshot.metadata().unwrap().len();
    assert_eq!(pair.said["size"], size);
    // The server wrote on while it was taken.
    assert!(house.events(&[]).len() as u64 > pair.said["events"].as_u64().unwrap());

    let (other, said) = pair.restored(house, &[]);
    assert_eq!(said["events"], pair.said["events"]);
    assert_eq!(said["closed"], pair.said["checkpoint"]["origin"]);
    goes_on(&other, &pair, &said);
    // Every version it knows of opens.
    for namespace in ["travel", "personal", "family"] {
        let history = other.ok(&["memory", "history", "O_kevin_001", namespace]);
        for version in history["versions"].as_array().unwrap() {
            let version = version["version"].to_string();
            other.ok(&[
                "memory",
                "get",
                "O_kevin_001",
                namespace,
                "--version",
                &version,
            ]);
        }
    }
    // A proof from before holds under the old name and key, and a new one of the same event under the
    // new ones.
    other.ok(&["audit", "prove", first, "--out", arg(&after)]);
    let new = signs(&other);
    assert_ne!(old, new);
    for (proof, key) in [(&before, &old), (&after, &new)] {
        let verdict = other.ok(&["audit", "verify", arg(proof), "--trust-key", key]);
        assert_eq!(verdict["event"]["event_id"], first);
    }
    let keys = other.ok(&["keys", "list"]).to_string();
    assert!(keys.contains(&old) && keys.contains(&new));

    let again = Server::over(other, &[]);
    let host = again.host("magiclick");
    let who = again.house.ok(&["actor", "show", "O_kevin_001"]);
    assert_eq!(who["actor_omni"].as_str(), Some(house.actor().as_str()));
    assert!(
        host.text("agentkeys_identity_whoami", json!({}))
            .contains("O_kevin_001")
    );
    // The budget is as it was.
    let denied = host.text(CHECK, spend);
    assert!(
        denied.starts_with("deny: daily_spend_cap_exceeded"),
        "{denied}"
    );
    let put = json!({"namespace": "travel", "content": "written after it"});
    host.call(PUT, put);
    assert!(
        host.text(GET, json!({"namespace": "travel"}))
            .ends_with("written after it")
    );
}

/// Takes a backup while hosts write, read and erase.
fn under_load(server: &Server) -> Pair {
    let house = &server.house;
    let host = server.host("magiclick");
    let done = AtomicBool::new(false);
    let calls = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for n in 0..3 {
            let (host, done, calls) = (&host, &done, &calls);
            scope.spawn(move || {
                for m in 0.. {
                    let content = format!("line {m} of writer {n}");
                    host.call(PUT, json!({"namespace": "travel", "content": content}));
                    host.call(GET, json!({"namespace": "travel"}));
                    calls.store(true, Ordering::Relaxed);
                    if done.load(Ordering::Relaxed) {
                        break;
                    }
                }
            });
        }
        scope.spawn(|| {
            let erase = ["memory", "erase", "O_kevin_001", "travel"];
            let erase = [&erase[..], &["--confirm", "O_kevin_001"]].concat();
            while !done.load(Ordering::Relaxed) {
                house.ok(&erase);
            }
        });
        while !calls.load(Ordering::Relaxed) {
            std::thread::yield_now();
        }
        let pair = Pair::of(house, "monday");
        done.store(true, Ordering::Relaxed);
        pair
    })
}

/// Asserts that the log of a restored folder is whole, and says what it is.
fn goes_on(other: &House, pair: &Pair, said: &Value) {
    let origin = said["checkpoint"]["origin"].as_str().unwrap();
    assert!(origin.contains(":log:2:"), "{origin}");
    let verdict = other.ok(&["audit", "verify", "--log"]);
    assert_eq!(
        (&verdict["verified"], &verdict["origin"]),
        (&json!(true), &json!(origin))
    );
    // The first new entry is the one that says why.
    let events = other.events(&["--tool", "audit.restart"]);
    assert_eq!(events.len(), 1);
    assert_eq!(events[0]["seq"], said["events"]);
    assert_eq!(
        (&events[0]["op_kind"], &events[0]["detail"]["closed"]),
        (&json!(133), &said["closed"])
    );
    let named = events[0]["detail"]["last_checkpoint"].as_str().unwrap();
    assert!(named.contains(pair.said["checkpoint"]["root"].as_str().unwrap()));
    for tool in ["backup.create", "backup.restore"] {
        let rows = other.events(&["--tool", tool]);
        assert_eq!(
            (rows.len(), &rows[0]["op_kind"]),
            (1, &json!(133)),
            "{tool}"
        );
    }
}

#[test]
fn a_snapshot_opens_nothing_and_has_nothing_that_opens_it() {
    let house = House::demo();
    // A place that was free again, as an erasure leaves one.
    house.ok(&[
        "memory",
        "erase",
        "O_kevin_001",
        "family",
        "--confirm",
        "O_kevin_001",
    ]);
    let pair = Pair::of(&house, "monday");
    let snapshot = std::fs::read(&pair.snapshot).unwrap();
    let holds = |bytes: &[u8], secret: &[u8]| bytes.windows(secret.len()).any(|w| w == secret);

    let path = house.dir().join("ledger.sqlite");
    let live = rusqlite::Connection::open(&path).unwrap();
    let mut secrets: Vec<Vec<u8>> = Vec::new();
    for sql in [
        "SELECT bytes FROM salt WHERE bytes IS NOT NULL",
        "SELECT sealed FROM key_ring",
    ] {
        let mut statement = live.prepare(sql).unwrap();
        let rows = statement.query_map([], |r| r.get::<_, Vec<u8>>(0)).unwrap();
        secrets.extend(rows.map(Result::unwrap));
    }
    live.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)")
        .unwrap();
    let ledger = std::fs::read(&path).unwrap();
    assert_eq!(secrets.len(), 2 + 5);
    for secret in &secrets {
        assert!(holds(&ledger, secret), "it would not be found where it is");
        for form in [secret.clone(), hex::encode(secret).into_bytes()] {
            assert!(!holds(&snapshot, &form));
        }
    }
    let key = std::fs::read_to_string(house.dir().join("keys/root.key")).unwrap();
    assert!(!holds(&snapshot, key.trim().as_bytes()));
    assert!(!holds(&snapshot, &hex::decode(key.trim()).unwrap()));
    for content in ["Chengdu", "Wife", "shellfish"] {
        assert!(!holds(&snapshot, content.as_bytes()));
    }
    // Not even with the root key.
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("data");
    let from = std::fs::File::open(&pair.snapshot).unwrap();
    tar::Archive::new(from).unpack(&dir).unwrap();
    std::fs::create_dir(dir.join("keys")).unwrap();
    std::fs::copy(house.dir().join("keys/root.key"), dir.join("keys/root.key")).unwrap();
    for closed in [&dir, &dir.join("keys")] {
        std::fs::set_permissions(closed, std::fs::Permissions::from_mode(0o700)).unwrap();
    }
    let read = run_in(&dir, &["memory", "get", "O_kevin_001", "travel"]);
    assert!(!read.status.success(), "{}", text(&read.stdout));
    let said = text(&read.stderr);
    assert!(said.contains("agentkeys.folder.cap_key_damaged"), "{said}");
    // Nor with every key but the salts.
    let path = dir.join("ledger.sqlite");
    let taken = rusqlite::Connection::open(&path).unwrap();
    let from = house.dir().join("ledger.sqlite");
    taken.execute("ATTACH ?1 AS live", [arg(&from)]).unwrap();
    let sql = "UPDATE key_ring SET sealed = (SELECT sealed FROM live.key_ring k WHERE k.id = key_ring.id)";
    assert_eq!(taken.execute(sql, []).unwrap(), 5);
    drop(taken);
    let read = run_in(&dir, &["memory", "get", "O_kevin_001", "travel"]);
    assert!(
        !text(&read.stdout).contains("Chengdu"),
        "{}",
        text(&read.stdout)
    );
    assert!(
        !text(&read.stderr).contains("cap_key_damaged"),
        "{}",
        text(&read.stderr)
    );
}

#[test]
fn nothing_is_taken_where_something_is_or_without_a_passphrase() {
    let house = House::demo();
    let pair = Pair::of(&house, "monday");
    let before = (
        std::fs::read(&pair.snapshot).unwrap(),
        std::fs::read(&pair.keys).unwrap(),
    );
    let other = house.temp.path().join("other.tar");
    let link = house.temp.path().join("link.tar");
    std::os::unix::fs::symlink(house.temp.path().join("nowhere"), &link).unwrap();
    let weak = house.keep("weak", "elevenchars");
    let open = house.keep("open", PASSPHRASE);
    std::fs::set_permissions(&open, std::fs::Permissions::from_mode(0o644)).unwrap();
    let nowhere = house.temp.path().join("no/such/folder.tar");
    let pass = arg(&pair.passphrase);
    for (args, exit, code) in [
        (
            vec![
                "--out",
                arg(&pair.snapshot),
                "--keys-out",
                arg(&other),
                "--passphrase-file",
                pass,
            ],
            2,
            "exists",
        ),
        (
            vec![
                "--out",
                arg(&other),
                "--keys-out",
                arg(&pair.keys),
                "--passphrase-file",
                pass,
            ],
            2,
            "exists",
        ),
        (
            vec!["--out", arg(&link), "--passphrase-file", pass],
            2,
            "exists",
        ),
        (
            vec![
                "--out",
                arg(&other),
                "--keys-out",
                arg(&other),
                "--passphrase-file",
                pass,
            ],
            2,
            "one_file",
        ),
        (
            vec!["--out", arg(&other), "--passphrase-file", arg(&weak)],
            2,
            "passphrase_weak",
        ),
        (vec!["--out", arg(&other)], 2, "passphrase_missing"),
        (
            vec!["--out", arg(&nowhere), "--passphrase-file", pass],
            1,
            "file_failed",
        ),
    ] {
        let output = house.run(&[&["backup"], &args[..]].concat());
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(exit), "{args:?}: {said}");
        assert!(said.contains(&format!("agentkeys.backup.{code}")), "{said}");
    }
    let output = house.run(&[
        "backup",
        "--out",
        arg(&other),
        "--passphrase-file",
        arg(&open),
    ]);
    assert!(text(&output.stderr).contains("agentkeys.file.exposed"));
    assert!(!other.exists());
    assert_eq!(before.0, std::fs::read(&pair.snapshot).unwrap());
    assert_eq!(before.1, std::fs::read(&pair.keys).unwrap());
}

#[test]
fn nothing_is_put_where_something_is() {
    let house = House::demo();
    let pair = Pair::of(&house, "monday");
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("data");
    std::fs::create_dir(&dir).unwrap();
    std::fs::write(dir.join("mine"), "mine").unwrap();
    let output = pair.restore(&dir, &[]);
    assert_eq!(output.status.code(), Some(3));
    assert!(text(&output.stderr).contains("agentkeys.restore.folder_not_empty"));
    assert_eq!(entries(&dir), ["mine"]);
    std::fs::remove_file(dir.join("mine")).unwrap();
    std::fs::remove_dir(&dir).unwrap();
    for there in ["file", "link"] {
        match there {
            "file" => std::fs::write(&dir, "mine").unwrap(),
            _ => std::os::unix::fs::symlink(temp.path().join("nowhere"), &dir).unwrap(),
        }
        let output = pair.restore(&dir, &[]);
        assert_eq!(
            output.status.code(),
            Some(3),
            "{there}: {}",
            text(&output.stderr)
        );
        std::fs::remove_file(&dir).unwrap();
    }
    // An empty folder is as good as none.
    std::fs::create_dir(&dir).unwrap();
    json_of(&pair.restore(&dir, &[]));
    assert_eq!(dir.metadata().unwrap().permissions().mode() & 0o777, 0o700);
    assert_eq!(entries(temp.path()), ["data"]);
}

#[test]
fn certificates_are_among_the_keys_and_come_back() {
    let house = House::demo();
    let key = house.dir().join("tls/live/example.com.key");
    std::fs::create_dir_all(key.parent().unwrap()).unwrap();
    std::fs::write(&key, "a private key of TLS").unwrap();
    std::os::unix::fs::symlink("/etc/passwd", house.dir().join("tls/link")).unwrap();
    let pair = Pair::of(&house, "monday");
    let snapshot = std::fs::read(&pair.snapshot).unwrap();
    assert!(!text(&snapshot).contains("a private key of TLS"));
    let (other, _) = pair.restored(&house, &[]);
    let back = other.dir().join("tls/live/example.com.key");
    assert_eq!(
        std::fs::read_to_string(&back).unwrap(),
        "a private key of TLS"
    );
    assert_eq!(back.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(entries(&other.dir().join("tls")), ["live"]);
}

#[test]
fn a_certificate_of_a_backup_is_kept_and_not_served() {
    let house = House::demo();
    let tls = house.dir().join("tls");
    std::fs::create_dir(&tls).unwrap();
    for name in ["live.pem", "restored.pem", "account-x.json"] {
        std::fs::write(tls.join(name), name).unwrap();
    }
    let pair = Pair::of(&house, "monday");
    let (other, said) = pair.restored(&house, &[]);
    let read = |name: &str| std::fs::read_to_string(other.dir().join("tls").join(name)).unwrap();
    let mut there = entries(&other.dir().join("tls"));
    there.sort();
    assert_eq!(there, ["account-x.json", "restored.pem"]);
    assert_eq!(read("restored.pem"), "live.pem");
    assert_eq!(read("account-x.json"), "account-x.json");
    assert!(said.to_string().contains("restored.pem"), "{said}");
}

/// Starts a command and kills it as soon as there is an unfinished folder in `watched`; says whether it
/// was killed before it was through.
fn killed(dir: &Path, args: &[&str], watched: &Path) -> bool {
    let mut command: Command = command(dir);
    command
        .args(args)
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    let unfinished = || {
        entries(watched)
            .iter()
            .any(|name| name.starts_with(".agentkeys-"))
    };
    while !unfinished() && child.try_wait().unwrap().is_none() {
        std::thread::yield_now();
    }
    let _ = child.kill();
    child.wait().unwrap().signal() == Some(9)
}

#[test]
fn a_backup_that_is_killed_leaves_nothing() {
    let house = House::demo();
    let passphrase = house.keep("passphrase", PASSPHRASE);
    let out = house.temp.path().join("out");
    std::fs::create_dir(&out).unwrap();
    let snapshot = out.join("monday.tar");
    let args = [
        "backup",
        "--out",
        arg(&snapshot),
        "--passphrase-file",
        arg(&passphrase),
    ];
    while !killed(&house.dir(), &args, &out) {
        for name in entries(&out) {
            std::fs::remove_file(out.join(name)).unwrap();
        }
    }
    assert!(!snapshot.exists());
    assert!(
        entries(&out)
            .iter()
            .all(|name| name.starts_with(".agentkeys-unfinished-"))
    );
    house.ok(&args);
    let mut names = entries(&out);
    names.sort();
    assert_eq!(names, ["monday.tar", "monday.tar.keys.age"]);
}

#[test]
fn a_restore_that_is_killed_leaves_no_folder() {
    let house = House::demo();
    let pair = Pair::of(&house, "monday");
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("data");
    while !killed(&dir, &pair.args(&[]), temp.path()) {
        std::fs::remove_dir_all(&dir).unwrap();
    }
    assert!(!dir.exists());
    json_of(&pair.restore(&dir, &[]));
    assert_eq!(entries(temp.path()), ["data"]);
    json_of(&run_in(&dir, &["audit", "verify", "--log"]));
}

#[test]
fn on_a_full_disk_nothing_is_left() {
    let house = House::demo();
    let pair = Pair::of(&house, "monday");
    let keys = house.temp.path().join("keys.age");
    let (mut refused, mut codes) = (0, Vec::new());
    // From too little for anything to enough, through every step that could find no room.
    for kib in (20..=500).step_by(40) {
        let Some(disk) = SmallDisk::mounted(kib) else {
            println!("skipped: this user may not mount a file system");
            return;
        };
        let snapshot = disk.0.path().join("full.tar");
        let args = ["backup", "--out", arg(&snapshot), "--keys-out", arg(&keys)];
        let args = [&args[..], &["--passphrase-file", arg(&pair.passphrase)]].concat();
        let taken = house.run(&args);
        if taken.status.success() {
            std::fs::remove_file(&snapshot).unwrap();
            std::fs::remove_file(&keys).unwrap();
        } else {
            assert!(text(&taken.stderr).contains("agentkeys.backup.disk_full"));
            assert!(text(&taken.stderr).contains(arg(disk.0.path())));
            refused += 1;
        }
        assert!(!keys.exists() && entries(disk.0.path()).is_empty());
        let restored = pair.restore(&disk.0.path().join("data"), &[]);
        if restored.status.success() {
            assert_eq!(entries(disk.0.path()), ["data"]);
            codes.push(String::new());
        } else {
            let said = text(&restored.stderr);
            let problem: Value = serde_json::from_str(said.lines().last().unwrap()).unwrap();
            codes.push(problem["error"]["code"].as_str().unwrap().to_owned());
            assert!(said.contains(arg(disk.0.path())), "{said}");
            assert!(entries(disk.0.path()).is_empty());
        }
    }
    assert!((2..13).contains(&refused), "{refused}");
    codes.dedup();
    let wanted = [
        "agentkeys.restore.disk_full",
        "agentkeys.restore.not_written",
        "",
    ];
    assert!(
        codes.iter().all(|code| wanted.contains(&code.as_str())),
        "{codes:?}"
    );
    assert!(codes.len() > 1, "{codes:?}");
}

/// A file of a real age implementation, and ours read by it.
#[test]
#[ignore = "needs tests/sdk/install"]
fn another_implementation_of_age_reads_and_writes_the_keys() {
    let python = installed(".venv/age").join("bin/python");
    let house = House::demo();
    let mut pair = Pair::of(&house, "monday");
    let theirs = house.temp.path().join("theirs.age");
    let output = Command::new(python)
        .arg(root("tests/sdk/age_file.py"))
        .args([&pair.keys, &pair.passphrase, &theirs])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    pair.keys = theirs;
    pair.restored(&house, &[]);
}
