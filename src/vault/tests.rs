#![allow(clippy::unwrap_used)]
use super::*;
use crate::authority::identity::Omni;
use crate::authority::principal::CapMismatch;
use crate::authority::words::Namespace;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::atomic::{AtomicU8, Ordering};
use tempfile::TempDir;

/// Different bytes each time.
#[derive(Default)]
struct Counting(AtomicU8);

impl Entropy for Counting {
    fn fill(&self, bytes: &mut [u8]) {
        bytes.fill(self.0.fetch_add(1, Ordering::Relaxed));
    }
}

const NOW: i64 = 1_000;
const TEXT: &[u8] = b"window seat, no peanuts";

struct Fixture {
    dir: TempDir,
    vault: DiskVault,
    salt: Salt,
}

fn vault_in(dir: &TempDir, key: u8) -> DiskVault {
    let entropy = Arc::new(Counting::default());
    DiskVault::open(dir.path(), Secret::new([key; 32]), entropy).unwrap()
}

fn salt(epoch: u32, byte: u8) -> Salt {
    Salt {
        epoch,
        bytes: Secret::new([byte; 32]),
    }
}

const fn actor(byte: u8) -> Omni {
    Omni::from_bytes([byte; 32])
}

fn cap(op: MemoryOp, who: Omni, namespace: Namespace) -> VerifiedCap {
    VerifiedCap::for_test(ActorScope::for_test(who), op, namespace, NOW + 1)
}

impl Fixture {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self {
            vault: vault_in(&dir, 9),
            dir,
            salt: salt(0, 5),
        }
    }

    fn place(&self) -> Place<'_> {
        Place {
            actor: actor(1),
            namespace: Namespace::Travel,
            version: 1,
            event_id: "evt_1",
            salt: &self.salt,
        }
    }

    async fn put(&self, place: Place<'_>, text: &[u8]) -> Result<Kept, VaultError> {
        let cap = cap(MemoryOp::Put, place.actor, place.namespace);
        self.vault.put(&cap, place, text, NOW).await
    }

    /// Reads with a cap that covers the place, so that only what is sealed can refuse.
    async fn get(&self, place: Place<'_>, key: &str) -> Result<Vec<u8>, VaultError> {
        get_from(&self.vault, place, key).await
    }

    fn path(&self, key: &str) -> PathBuf {
        self.dir.path().join(key)
    }

    /// Puts one object's bytes where another's would be.
    fn copy(&self, from: &str, to: &str) {
        let to = self.path(to);
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        std::fs::copy(self.path(from), to).unwrap();
    }
}

async fn get_from(vault: &DiskVault, place: Place<'_>, key: &str) -> Result<Vec<u8>, VaultError> {
    let cap = cap(MemoryOp::Get, place.actor, place.namespace);
    vault.get(&cap, place, key, NOW).await
}

fn is_integrity<T>(result: &Result<T, VaultError>) -> bool {
    matches!(result, Err(VaultError::Integrity))
}

#[tokio::test]
async fn a_text_comes_back_from_a_private_sealed_file() {
    let f = Fixture::new();
    let kept = f.put(f.place(), TEXT).await.unwrap();
    assert_eq!(
        kept.object_key,
        format!("bots/{}/memory/memory:travel/1-evt_1.enc", "01".repeat(32))
    );
    assert_eq!(f.get(f.place(), &kept.object_key).await.unwrap(), TEXT);
    let path = f.path(&kept.object_key);
    let bytes = std::fs::read(&path).unwrap();
    assert_eq!(bytes.len() as u64, kept.envelope_size);
    assert_eq!(bytes.len(), TEXT.len() + OVERHEAD);
    assert_eq!(bytes.first(), Some(&5));
    assert!(!bytes.windows(6).any(|w| w == b"window"));
    let mode = |p: &Path| std::fs::metadata(p).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&path), 0o600);
    assert_eq!(mode(path.parent().unwrap()), 0o700);
    assert_eq!(mode(&f.path("bots")), 0o700);
}

#[tokio::test]
async fn a_cap_for_something_else_is_refused_before_the_disk_is_touched() {
    let f = Fixture::new();
    let kept = f.put(f.place(), TEXT).await.unwrap();
    let (own, ns) = (actor(1), Namespace::Travel);
    let cases = [
        (cap(MemoryOp::Put, own, ns), NOW, "operation"),
        (cap(MemoryOp::Get, actor(2), ns), NOW, "actor"),
        (cap(MemoryOp::Get, own, Namespace::Family), NOW, "namespace"),
        (cap(MemoryOp::Get, own, ns), NOW + 1, "time"),
    ];
    for (cap, now, why) in cases {
        let got = f.vault.get(&cap, f.place(), &kept.object_key, now).await;
        assert!(
            matches!(got, Err(VaultError::Cap(CapMismatch(w))) if w == why),
            "{got:?}"
        );
    }
    let second = Place {
        version: 2,
        ..f.place()
    };
    let cases = [
        (cap(MemoryOp::Get, own, ns), NOW, "operation"),
        (cap(MemoryOp::Put, actor(2), ns), NOW, "actor"),
        (cap(MemoryOp::Put, own, Namespace::Family), NOW, "namespace"),
        (cap(MemoryOp::Put, own, ns), NOW + 1, "time"),
    ];
    for (cap, now, why) in cases {
        let put = f.vault.put(&cap, second, TEXT, now).await;
        assert!(
            matches!(put, Err(VaultError::Cap(CapMismatch(w))) if w == why),
            "{put:?}"
        );
    }
    let folder = f.path(&kept.object_key);
    let files = std::fs::read_dir(folder.parent().unwrap()).unwrap();
    assert_eq!(files.count(), 1);
}

#[tokio::test]
async fn one_actors_object_is_never_read_as_anothers() {
    let f = Fixture::new();
    let mine = f.put(f.place(), TEXT).await.unwrap().object_key;
    let other = Place {
        actor: actor(2),
        ..f.place()
    };
    // The other's pointer leads to my object.
    assert!(is_integrity(&f.get(other, &mine).await));
    // My bytes lie where the other's object belongs.
    let theirs = name::of(&other).unwrap();
    f.copy(&mine, &theirs);
    assert!(is_integrity(&f.get(other, &theirs).await));
}

#[tokio::test]
async fn an_object_opens_only_in_its_own_place() {
    let f = Fixture::new();
    let key = f.put(f.place(), TEXT).await.unwrap().object_key;
    let (next, resalted) = (salt(1, 5), salt(0, 6));
    let place = f.place();
    for other in [
        Place {
            namespace: Namespace::Family,
            ..place
        },
        Place {
            version: 2,
            ..place
        },
        Place {
            event_id: "evt_2",
            ..place
        },
        Place {
            salt: &next,
            ..place
        },
        Place {
            salt: &resalted,
            ..place
        },
    ] {
        let there = name::of(&other).unwrap();
        if there != key {
            f.copy(&key, &there);
        }
        assert!(is_integrity(&f.get(other, &there).await), "{other:?}");
    }
    let strange = vault_in(&f.dir, 8);
    assert!(is_integrity(&get_from(&strange, place, &key).await));
    assert_eq!(f.get(place, &key).await.unwrap(), TEXT);
}

#[tokio::test]
async fn no_byte_of_an_object_can_change() {
    let f = Fixture::new();
    let key = f.put(f.place(), TEXT).await.unwrap().object_key;
    let path = f.path(&key);
    let good = std::fs::read(&path).unwrap();
    for at in 0..good.len() {
        for bit in 0..8 {
            let mut bad = good.clone();
            bad[at] ^= 1 << bit;
            std::fs::write(&path, &bad).unwrap();
            assert!(is_integrity(&f.get(f.place(), &key).await), "byte {at}");
        }
    }
    for length in 0..good.len() {
        std::fs::write(&path, &good[..length]).unwrap();
        assert!(
            is_integrity(&f.get(f.place(), &key).await),
            "{length} bytes"
        );
    }
    std::fs::write(&path, vec![5; usize::try_from(MAX_OBJECT).unwrap() + 1]).unwrap();
    assert!(is_integrity(&f.get(f.place(), &key).await));
    std::fs::remove_file(&path).unwrap();
    let gone = f.get(f.place(), &key).await;
    assert!(matches!(gone, Err(VaultError::Missing)));
}

#[tokio::test]
async fn no_name_leads_out_of_the_vault() {
    let f = Fixture::new();
    let outside = f.dir.path().join("outside.enc");
    std::fs::write(&outside, b"x").unwrap();
    let key = f.put(f.place(), TEXT).await.unwrap().object_key;
    for bad in [
        "outside.enc".to_owned(),
        "/etc/passwd".to_owned(),
        format!("bots/../{key}"),
        key.replace("1-evt_1", "../../../../outside"),
    ] {
        assert!(is_integrity(&f.get(f.place(), &bad).await), "{bad}");
        assert!(f.vault.remove(&bad).await.is_err(), "{bad}");
    }
    assert!(outside.exists());
    for event_id in ["../../x", "", "evt/1", "EVT", "evt-1", "evt\0"] {
        let place = Place {
            event_id,
            ..f.place()
        };
        assert!(f.put(place, TEXT).await.is_err(), "{event_id}");
        assert!(is_integrity(&f.get(place, &key).await), "{event_id}");
    }
}

#[tokio::test]
async fn an_object_is_written_once() {
    let f = Fixture::new();
    let key = f.put(f.place(), TEXT).await.unwrap().object_key;
    let again = f.put(f.place(), b"other").await;
    assert!(matches!(again, Err(VaultError::Failed(_))));
    assert_eq!(f.get(f.place(), &key).await.unwrap(), TEXT);
    f.vault.remove(&key).await.unwrap();
    f.vault.remove(&key).await.unwrap();
    assert!(matches!(
        f.get(f.place(), &key).await,
        Err(VaultError::Missing)
    ));
}

#[test]
fn a_statement_opens_for_its_actor_salt_and_event() {
    let f = Fixture::new();
    let scope = ActorScope::for_test(actor(1));
    let sealed = f.vault.seal(&scope, &f.salt, "evt_1", TEXT).unwrap();
    let open = |vault: &DiskVault, who, salt: &Salt, event| {
        vault.unseal(&ActorScope::for_test(who), salt, event, &sealed)
    };
    assert_eq!(open(&f.vault, actor(1), &f.salt, "evt_1").unwrap(), TEXT);
    for result in [
        open(&f.vault, actor(2), &f.salt, "evt_1"),
        open(&f.vault, actor(1), &salt(1, 5), "evt_1"),
        open(&f.vault, actor(1), &salt(0, 6), "evt_1"),
        open(&f.vault, actor(1), &f.salt, "evt_2"),
        open(&vault_in(&f.dir, 8), actor(1), &f.salt, "evt_1"),
    ] {
        assert!(is_integrity(&result));
    }
    let again = f.vault.seal(&scope, &f.salt, "evt_1", TEXT).unwrap();
    assert_ne!(sealed, again, "a nonce came twice");
}

#[test]
fn a_vault_that_is_not_there_is_not_made() {
    let dir = tempfile::tempdir().unwrap();
    let entropy = Arc::new(Counting::default());
    let path = dir.path().join("vault");
    let error = DiskVault::open(&path, Secret::new([1; 32]), entropy).unwrap_err();
    assert_eq!(error.error.kind(), ErrorKind::NotFound);
    assert!(!path.exists());
}
