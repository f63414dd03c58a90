//! The proofs that a name is ours: put where the ACME server looks, and taken away again. The server
//! answers from the files; a TXT record is set by a program of the operator's.

use super::trouble::{Kind, Trouble};
use crate::config::{self, Challenge};
use crate::tls::Store;
use instant_acme::{ChallengeType, Identifier, KeyAuthorization};
use rcgen::{CertificateParams, CustomExtension, DistinguishedName, KeyPair};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::io::AsyncReadExt as _;
use tokio::process::Command;

/// How long the program may take for one record.
pub(super) const HOOK: Duration = Duration::from_mins(2);

/// What is read of what it says.
const HOOK_SAYS: u64 = 4096;

/// A TXT record that was set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Txt {
    name: String,
    value: String,
}

/// How proofs are given here.
#[derive(Debug)]
pub(super) struct Proofs<'a> {
    store: &'a Store,
    kind: Challenge,
    hook: Option<PathBuf>,
}

impl<'a> Proofs<'a> {
    /// As it is configured; `dir` is the data folder.
    pub(super) fn new(store: &'a Store, config: &config::Acme, dir: &Path) -> Self {
        Self {
            store,
            kind: config.challenge,
            hook: config.dns_hook.as_ref().map(|hook| dir.join(hook)),
        }
    }

    /// Which of an ACME server's challenges it is.
    pub(super) const fn kind(&self) -> ChallengeType {
        match self.kind {
            Challenge::Http01 => ChallengeType::Http01,
            Challenge::TlsAlpn01 => ChallengeType::TlsAlpn01,
            Challenge::Dns01 => ChallengeType::Dns01,
        }
    }

    /// The record that dns-01 wants; nothing for the others. Kept before it is set, so that a run that
    /// was killed can take it away.
    pub(super) fn record(&self, name: &Identifier, proof: &KeyAuthorization) -> Option<Txt> {
        let Identifier::Dns(name) = name else {
            return None;
        };
        (self.kind == Challenge::Dns01).then(|| Txt {
            name: format!("_acme-challenge.{name}"),
            value: proof.dns_value(),
        })
    }

    /// Puts a proof where it is looked for.
    pub(super) async fn set(
        &self,
        name: &Identifier,
        token: &str,
        proof: &KeyAuthorization,
    ) -> Result<(), Trouble> {
        match self.kind {
            Challenge::Http01 => Ok(self.store.set_http_proof(token, proof.as_str())?),
            Challenge::TlsAlpn01 => self.set_alpn(name, proof),
            Challenge::Dns01 => match self.record(name, proof) {
                Some(txt) => self.call("set", &txt).await,
                None => Err(Trouble::new(
                    Kind::Config,
                    "an IP address cannot be proved by dns-01; set tls.challenge to another way",
                )),
            },
        }
    }

    fn set_alpn(&self, name: &Identifier, proof: &KeyAuthorization) -> Result<(), Trouble> {
        let (asked, subject) = match name {
            Identifier::Dns(name) => (name.clone(), name.clone()),
            Identifier::Ip(ip) => (reverse(*ip), ip.to_string()),
            _ => {
                return Err(Trouble::new(
                    Kind::Refused,
                    "the ACME server asks about no name",
                ));
            }
        };
        let failed = |e: rcgen::Error| Trouble::new(Kind::Refused, format!("{asked}: {e}"));
        let mut params = CertificateParams::new(vec![subject]).map_err(failed)?;
        params.distinguished_name = DistinguishedName::new();
        let digest = proof.digest();
        params.custom_extensions = vec![CustomExtension::new_acme_identifier(digest.as_ref())];
        let key = KeyPair::generate().map_err(failed)?;
        let certificate = params.self_signed(&key).map_err(failed)?;
        let key = key.serialize_pem();
        Ok(self
            .store
            .set_alpn_proof(&asked, &certificate.pem(), &key)?)
    }

    /// Takes every proof away: the files, and these records. Those that could not be are given back.
    pub(super) async fn clear(&self, records: &[Txt]) -> Vec<Txt> {
        if let Err(error) = self.store.clear_proofs() {
            tracing::warn!(%error, "proofs for the ACME server were left behind");
        }
        let mut left = Vec::new();
        for txt in records {
            if let Err(error) = self.call("remove", txt).await {
                tracing::warn!(%error, name = txt.name, "a TXT record was left behind");
                left.push(txt.clone());
            }
        }
        left
    }

    /// Runs the program: no shell, nothing on its input, an end in time.
    async fn call(&self, verb: &str, txt: &Txt) -> Result<(), Trouble> {
        let Some(hook) = &self.hook else {
            return Err(Trouble::new(Kind::Config, "tls.dns_hook is not set"));
        };
        let bad = |what: String| {
            Trouble::new(
                Kind::Hook,
                format!("{} {verb} {}: {what}", hook.display(), txt.name),
            )
        };
        let mut command = Command::new(hook);
        // What is ours, a file with a token for one, is none of its business.
        for (name, _) in std::env::vars_os() {
            let ours = name.to_string_lossy();
            if ours.starts_with("AGENTKEYS_") || ours == "NOTIFY_SOCKET" {
                command.env_remove(&name);
            }
        }
        let mut child = command
            .args([verb, &txt.name, &txt.value])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|e| bad(e.to_string()))?;
        let stderr = child.stderr.take();
        let ended = tokio::time::timeout(HOOK, async {
            let mut said = Vec::new();
            if let Some(stderr) = stderr {
                let mut first = stderr.take(HOOK_SAYS);
                let _ = first.read_to_end(&mut said).await;
                // What comes after is let go, so that the program is not held up by it.
                let _ = tokio::io::copy(&mut first.into_inner(), &mut tokio::io::sink()).await;
            }
            (child.wait().await, said)
        });
        let Ok((status, said)) = ended.await else {
            return Err(bad(format!("it did not end within {} s", HOOK.as_secs())));
        };
        let status = status.map_err(|e| bad(e.to_string()))?;
        if status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&said);
        let said: Vec<_> = said.split_whitespace().collect();
        Err(bad(format!("{status}: {}", said.join(" "))))
    }
}

/// The name under which an address is asked about in a handshake (RFC 8738 §6).
fn reverse(ip: IpAddr) -> String {
    match ip {
        IpAddr::V4(v4) => {
            let [a, b, c, d] = v4.octets();
            format!("{d}.{c}.{b}.{a}.in-addr.arpa")
        }
        IpAddr::V6(v6) => {
            let digits = hex::encode(v6.octets());
            let back: Vec<String> = digits.chars().rev().map(String::from).collect();
            format!("{}.ip6.arpa", back.join("."))
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn addresses_are_asked_about_backwards() {
        let of = |ip: &str| reverse(ip.parse().unwrap());
        assert_eq!(of("192.0.2.7"), "7.2.0.192.in-addr.arpa");
        assert_eq!(
            of("2001:db8::1"),
            "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa"
        );
    }

    #[tokio::test]
    async fn a_hook_gets_words_and_no_shell_and_its_complaint_is_cleaned() {
        let dir = tempfile::tempdir().unwrap();
        let hook = dir.path().join("hook");
        let script = "#!/bin/sh\nprintf '%s|' \"$@\" >> \"$0.log\"\ncase $3 in bad) printf 'no \\033[31mzone\\n' >&2; exit 3;; esac\n";
        std::fs::write(&hook, script).unwrap();
        std::fs::set_permissions(&hook, std::fs::Permissions::from_mode(0o700)).unwrap();
        let store = Store::of(dir.path());
        let proofs = Proofs {
            store: &store,
            kind: Challenge::Dns01,
            hook: Some(hook.clone()),
        };
        let txt = |value: &str| Txt {
            name: "_acme-challenge.a.example".to_owned(),
            value: value.to_owned(),
        };
        proofs.call("set", &txt("$(id); x y")).await.unwrap();
        let left = proofs.clear(&[txt("good"), txt("bad")]).await;
        assert_eq!(left, [txt("bad")]);
        let log = std::fs::read_to_string(dir.path().join("hook.log")).unwrap();
        let name = "_acme-challenge.a.example";
        assert_eq!(
            log,
            format!("set|{name}|$(id); x y|remove|{name}|good|remove|{name}|bad|")
        );
        let trouble = proofs.call("set", &txt("bad")).await.unwrap_err();
        assert_eq!(trouble.kind, Kind::Hook);
        assert!(
            trouble
                .cause
                .ends_with("exit status: 3: no \u{fffd}[31mzone"),
            "{trouble}"
        );
        let missing = Proofs {
            hook: Some(dir.path().join("nothing")),
            ..proofs
        };
        assert_eq!(
            missing.call("set", &txt("x")).await.unwrap_err().kind,
            Kind::Hook
        );
    }
}
