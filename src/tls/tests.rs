#![allow(clippy::unwrap_used)]
use super::*;
use crate::problem::Exit;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

const NOW: i64 = 1_800_000_000;
const DAY: i64 = 86_400;

/// A certificate for these names over these days around now, and its key.
fn made(names: &[&str], from: i64, until: i64) -> (String, String) {
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    let mut params = rcgen::CertificateParams::new(names).unwrap();
    let at = |day: i64| {
        let days = u32::try_from((NOW + day * DAY) / DAY).unwrap();
        rcgen::date_time_ymd(1970, 1, 1) + std::time::Duration::from_hours(24) * days
    };
    params.not_before = at(from);
    params.not_after = at(until);
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap();
    (certificate.pem(), key.serialize_pem())
}

fn chain(names: &[&str], from: i64, until: i64) -> Chain {
    let (certificate, key) = made(names, from, until);
    Chain::from_pem(certificate.as_bytes(), key.as_bytes()).unwrap()
}

#[test]
fn a_chain_says_what_it_is_for_and_when() {
    let chain = chain(
        &[
            "MCP.example.com",
            "*.example.com",
            "192.0.2.1",
            "2001:db8::1",
        ],
        -1,
        90,
    );
    let facts = &chain.facts;
    assert_eq!(
        facts.names,
        [
            "mcp.example.com",
            "*.example.com",
            "192.0.2.1",
            "2001:db8::1"
        ]
    );
    assert!(
        facts.holds_at(NOW) && !facts.holds_at(NOW + 91 * DAY) && !facts.holds_at(NOW - 2 * DAY)
    );
    for (name, is_for) in [
        ("mcp.example.com", true),
        ("other.example.com", true),
        ("192.0.2.1", true),
        ("example.com", false),
        ("a.b.example.com", false),
        ("mcp.example.org", false),
    ] {
        assert_eq!(facts.is_for(name), is_for, "{name}");
    }
    assert_eq!(facts.fingerprint.len(), 64);
}

#[test]
fn what_cannot_be_served_is_told_apart() {
    let (certificate, key) = made(&["a.example"], -1, 1);
    let (_, another) = made(&["a.example"], -1, 1);
    let read = |c: &str, k: &str| Chain::from_pem(c.as_bytes(), k.as_bytes()).unwrap_err();
    assert_eq!(read("", &key), ChainError::NoCertificate);
    assert_eq!(read(&certificate, ""), ChainError::NoKey);
    assert_eq!(read(&certificate, &another), ChainError::AnotherKey);
    let broken = certificate.replacen("MII", "AAA", 1);
    assert!(matches!(read(&broken, &key), ChainError::Unreadable(_)));
    let (nameless, key) = made(&[], -1, 1);
    assert_eq!(read(&nameless, &key), ChainError::NoNames);
}

#[test]
fn a_working_certificate_is_never_replaced_by_a_worse_one() {
    let names = vec!["mcp.example.com".to_owned(), "relay.example.com".to_owned()];
    let served = Certificates::new(names, None);
    let offer = |names: &[&str], from, until| served.offer(chain(names, from, until), NOW);
    let fingerprint = || served.facts().unwrap().fingerprint;
    // Anything is better than nothing.
    offer(&["mcp.example.com"], -90, -1).unwrap();
    offer(&["mcp.example.com"], -1, 10).unwrap();
    let good = fingerprint();
    assert_eq!(offer(&["mcp.example.com"], -90, -1), Err(Worse::NotNow));
    assert_eq!(offer(&["mcp.example.com"], 1, 90), Err(Worse::NotNow));
    assert_eq!(
        offer(&["www.example.com"], -1, 90),
        Err(Worse::Name("mcp.example.com".to_owned()))
    );
    assert_eq!(fingerprint(), good);
    // A shorter one may be what was asked for, and it works.
    offer(&["*.example.com"], -1, 6).unwrap();
    assert_ne!(fingerprint(), good);
}

#[test]
fn files_are_told_apart_by_what_is_in_them() {
    let dir = tempfile::tempdir().unwrap();
    let (at, key_at) = (dir.path().join("c.pem"), dir.path().join("k.pem"));
    let mut files = PemFiles::new(at.clone(), key_at.clone());
    assert!(matches!(files.look(), Looked::Unusable(error) if error.contains("c.pem")));
    assert!(matches!(files.look(), Looked::Same), "said once");
    let (certificate, key) = made(&["a.example"], -1, 1);
    std::fs::write(&at, &certificate).unwrap();
    std::fs::write(&key_at, &key).unwrap();
    assert!(matches!(files.look(), Looked::New(_)));
    std::fs::write(&at, &certificate).unwrap();
    assert!(matches!(files.look(), Looked::Same));
    // Whoever renews writes one file after the other.
    let (certificate, key) = made(&["a.example"], -1, 2);
    std::fs::write(&at, &certificate).unwrap();
    assert!(matches!(files.look(), Looked::Unusable(error) if error.contains("is not the one")));
    std::fs::write(&key_at, &key).unwrap();
    assert!(matches!(files.look(), Looked::New(_)));
}

fn store() -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::of(dir.path());
    (dir, store)
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn what_is_kept_is_private_and_can_be_served() {
    let (dir, store) = store();
    assert!(store.kept().unwrap().is_none());
    let (certificate, key) = made(&["a.example"], -1, 1);
    store.keep(&certificate, &key).unwrap();
    let first = store.kept().unwrap().unwrap();
    assert_eq!(
        (mode(&dir.path().join("tls")), mode(&store.live())),
        (0o700, 0o600)
    );
    let (other, other_key) = made(&["a.example"], -1, 2);
    let refused = store.keep(&other, &key).unwrap_err();
    assert_eq!(refused.code, "agentkeys.tls.certificate_unusable");
    assert_eq!(store.kept().unwrap().unwrap().facts, first.facts);
    store.keep(&other, &other_key).unwrap();
    assert_ne!(store.kept().unwrap().unwrap().facts, first.facts);
    let previous = store.read("previous.pem").unwrap().unwrap();
    let previous = Chain::from_pem(previous.as_bytes(), previous.as_bytes()).unwrap();
    assert_eq!(previous.facts, first.facts);
}

#[test]
fn proofs_lead_nowhere_else() {
    let (dir, store) = store();
    store.set_http_proof("t_o-K3n", "t_o-K3n.thumb").unwrap();
    assert_eq!(
        store.http_proof("t_o-K3n").as_deref(),
        Some("t_o-K3n.thumb")
    );
    // With the extension that everybody but an ACME server must refuse.
    let mut params = rcgen::CertificateParams::new(vec!["a.example".to_owned()]).unwrap();
    params.custom_extensions = vec![rcgen::CustomExtension::new_acme_identifier(&[7; 32])];
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap().pem();
    store
        .set_alpn_proof("a.example", &certificate, &key.serialize_pem())
        .unwrap();
    assert!(store.alpn_proof("a.example").is_some());
    assert!(store.alpn_proof("b.example").is_none());
    std::fs::write(dir.path().join("tls/secret"), "secret").unwrap();
    for name in [
        "../secret",
        "..",
        ".",
        "",
        "a/b",
        "secret\0",
        "é",
        &"a".repeat(300),
    ] {
        assert_eq!(store.http_proof(name), None, "{name:?}");
        let refused = store.set_http_proof(name, "x").unwrap_err();
        assert_eq!(
            (refused.exit, refused.code),
            (Exit::Failed, "agentkeys.tls.proof_name")
        );
    }
    store.clear_proofs().unwrap();
    assert_eq!(store.http_proof("t_o-K3n"), None);
    assert!(store.alpn_proof("a.example").is_none());
    store.clear_proofs().unwrap();
}
