//! What the other side, or this one, has against a certificate, in words: rustls says it for those who
//! know rustls.

use std::error::Error;
use std::time::Duration;

/// What a port says that was taken for one of TLS.
pub const NO_TLS: &str =
    "this port speaks plain HTTP, or anything but TLS, and the address says https";

/// What an error of a connection says of a certificate, if that is what it is about and rustls does not
/// say it well.
pub fn said(error: &(dyn Error + 'static)) -> Option<String> {
    if let Some(io) = error.downcast_ref::<std::io::Error>() {
        // Its source is the inner error's: the inner one would be passed over.
        return said(io.get_ref()?);
    }
    match error.downcast_ref::<rustls::Error>()? {
        rustls::Error::InvalidCertificate(wrong) => in_words(wrong),
        // The first bytes are no record of TLS.
        rustls::Error::InvalidMessage(rustls::InvalidMessage::InvalidContentType) => {
            Some(NO_TLS.to_owned())
        }
        _ => None,
    }
}

fn in_words(wrong: &rustls::CertificateError) -> Option<String> {
    use rustls::CertificateError as Wrong;
    match wrong {
        Wrong::ExpiredContext { time, not_after } => Some(format!(
            "the certificate ended at {}, and it is {} here",
            date(not_after.as_secs()),
            date(time.as_secs())
        )),
        Wrong::NotValidYetContext { time, not_before } => Some(format!(
            "the certificate begins at {}, and it is {} here",
            date(not_before.as_secs()),
            date(time.as_secs())
        )),
        Wrong::Other(other) if other.to_string().contains(OF_AN_AUTHORITY) => Some(
            "the certificate is an authority's own (CA:TRUE), as `openssl req -x509` makes it, and \
             none of a server"
                .to_owned(),
        ),
        _ => None,
    }
}

/// How webpki calls an authority's certificate that a server shows as its own.
const OF_AN_AUTHORITY: &str = "CaUsedAsEndEntity";

fn date(seconds: u64) -> String {
    let time = jiff::Timestamp::UNIX_EPOCH.checked_add(Duration::from_secs(seconds));
    time.map_or_else(|_| "no time".to_owned(), |time| time.to_string())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::tls::client_config;
    use rustls::pki_types::pem::PemObject as _;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};
    use std::sync::Arc;

    /// What a host says that was told to trust this very certificate.
    fn refused(params: &mut rcgen::CertificateParams, days: (u32, u32)) -> String {
        let at = |day: u32| rcgen::date_time_ymd(1970, 1, 1) + Duration::from_hours(24) * day;
        (params.not_before, params.not_after) = (at(days.0), at(days.1));
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let pem = certificate.pem();
        let der = CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
        let key = PrivateKeyDer::from_pem_slice(key.serialize_pem().as_bytes()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let server = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![der.clone()], key)
            .unwrap();
        let client = client_config(&[der]).unwrap();
        let name = "a.example".try_into().unwrap();
        let mut client = rustls::ClientConnection::new(Arc::new(client), name).unwrap();
        let mut server = rustls::ServerConnection::new(Arc::new(server)).unwrap();
        let error = loop {
            let mut bytes = Vec::new();
            client.write_tls(&mut bytes).unwrap();
            server.read_tls(&mut &bytes[..]).unwrap();
            server.process_new_packets().unwrap();
            bytes.clear();
            server.write_tls(&mut bytes).unwrap();
            client.read_tls(&mut &bytes[..]).unwrap();
            if let Err(error) = client.process_new_packets() {
                break error;
            }
            assert!(client.is_handshaking(), "it was taken");
        };
        let wrapped = std::io::Error::other(error);
        said(&wrapped).unwrap_or_else(|| panic!("{wrapped}"))
    }

    #[test]
    fn times_are_dates_and_an_authoritys_own_is_told() {
        let params = || rcgen::CertificateParams::new(vec!["a.example".to_owned()]).unwrap();
        let ended = refused(&mut params(), (10_957, 18_262));
        let told = "the certificate ended at 2020-01-01T00:00:00Z, and it is 2";
        assert!(ended.starts_with(told), "{ended}");
        let early = refused(&mut params(), (40_000, 40_001));
        let told = "the certificate begins at 2079-07-08T00:00:00Z, and it is 2";
        assert!(early.starts_with(told), "{early}");
        let mut own = params();
        own.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let own = refused(&mut own, (10_957, 40_000));
        assert!(own.contains("`openssl req -x509`"), "{own}");
        let other = std::io::Error::other("nothing of the kind");
        assert_eq!(said(&other), None);
    }
}
