//! Which certificate a handshake is answered with.

use super::chain::{Chain, Facts};
use super::store::Store;
use arc_swap::ArcSwapOption;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::CertificateDer;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, ServerConfig};
use rustls_platform_verifier::{BuilderVerifierExt as _, Verifier};
use std::sync::Arc;

/// The protocol in which an ACME server looks for a proof (RFC 8737 §4).
pub const ACME_TLS: &[u8] = b"acme-tls/1";

/// Why a certificate is not served in place of the one that is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Worse {
    /// It does not hold now, and the one that is served does.
    #[error("the new certificate does not hold now; the one that is served does")]
    NotNow,
    /// A name that hosts use is not in it, and is in the one that is served.
    #[error("the new certificate is not for {0}; the one that is served is")]
    Name(String),
}

/// The certificate in force. It changes for the next handshake; connections that are open stay.
#[derive(Debug)]
pub struct Certificates {
    current: ArcSwapOption<Chain>,
    /// Names hosts use, which a new certificate must be for.
    names: Vec<String>,
    /// Where proofs for an ACME server lie.
    proofs: Option<Store>,
}

impl Certificates {
    /// None yet. `names` are those that hosts use; in `proofs` the answers for an ACME server lie.
    pub const fn new(names: Vec<String>, proofs: Option<Store>) -> Self {
        Self {
            current: ArcSwapOption::const_empty(),
            names,
            proofs,
        }
    }

    /// What is served says of itself.
    pub fn facts(&self) -> Option<Facts> {
        self.current.load().as_ref().map(|c| c.facts.clone())
    }

    /// Serves a chain from the next handshake on, at a time in Unix seconds.
    ///
    /// # Errors
    /// When what is served now is better: nothing changes then.
    pub fn offer(&self, chain: Chain, now: i64) -> Result<(), Worse> {
        if let Some(old) = &*self.current.load()
            && let Some(worse) = self.worse(&old.facts, &chain.facts, now)
        {
            return Err(worse);
        }
        self.current.store(Some(Arc::new(chain)));
        Ok(())
    }

    fn worse(&self, old: &Facts, new: &Facts, now: i64) -> Option<Worse> {
        // Of what does not hold any more nothing is worse.
        if !old.holds_at(now) {
            return None;
        }
        if !new.holds_at(now) {
            return Some(Worse::NotNow);
        }
        let lost = self.names.iter().find(|n| old.is_for(n) && !new.is_for(n));
        lost.map(|name| Worse::Name(name.clone()))
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let mut protocols = hello.alpn().into_iter().flatten();
        // An ACME server offers this and nothing else.
        if protocols.next() == Some(ACME_TLS) && protocols.next().is_none() {
            return self.proofs.as_ref()?.alpn_proof(hello.server_name()?);
        }
        let current = self.current.load();
        current.as_ref().map(|c| Arc::clone(c.certified()))
    }
}

/// How a server elsewhere is verified: as this machine does it, and by these authorities besides.
pub fn client_config(more: &[CertificateDer<'_>]) -> Result<ClientConfig, String> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|e| e.to_string())?;
    if more.is_empty() {
        let verified = builder
            .with_platform_verifier()
            .map_err(|e| e.to_string())?;
        return Ok(verified.with_no_client_auth());
    }
    let more = more.iter().map(|c| c.clone().into_owned());
    let verifier = Verifier::new_with_extra_roots(more, provider).map_err(|e| e.to_string())?;
    Ok(builder
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth())
}

/// TLS 1.2 and 1.3 with h2 and HTTP/1.1, and the certificate as it is at each handshake.
pub fn server_config(certificates: Arc<Certificates>) -> Result<ServerConfig, rustls::Error> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_cert_resolver(certificates);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec(), ACME_TLS.to_vec()];
    Ok(config)
}
