//! What a request carries, taken out of its headers. Nothing here is believed.

use super::App;
use crate::authority::admit::Header;
use crate::authority::refusal::Cause;
use axum::extract::{ConnectInfo, FromRequestParts};
use http::HeaderMap;
use http::header::HeaderName;
use http::request::Parts;
use ipnet::IpNet;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// The header that names the actor.
pub(super) const ACTOR: HeaderName = HeaderName::from_static("x-agentkeys-actor");

/// Reads a header that may be there once.
pub(super) fn header(headers: &HeaderMap, name: HeaderName) -> Header<'_> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Header::Absent,
        (Some(_), Some(_)) => Header::Several,
        // Bytes beyond ASCII are not text in a header (RFC 9110 §5.5).
        (Some(value), None) => value.to_str().map_or(Header::Unreadable, Header::One),
    }
}

/// Marks requests of the operator's listener, which is reached by whatever name the operator gave it.
#[derive(Debug, Clone, Copy)]
pub(super) struct AtOperator;

/// The address of this machine that a connection came to.
#[derive(Debug, Clone, Copy)]
pub(super) struct CameTo(pub(super) SocketAddr);

/// Where a request came from and to, worked out once.
#[derive(Debug)]
pub(super) struct Visit {
    /// Its address, behind our proxies.
    pub(super) source: String,
    /// The cause and what was seen, when it was sent to a name that is not ours.
    pub(super) misnamed: Option<(Cause, String)>,
}

impl Visit {
    /// The cause that the door found, and what it saw.
    pub(super) fn found(&self) -> Option<(Cause, &str)> {
        let misnamed = self.misnamed.as_ref();
        misnamed.map(|(cause, seen)| (*cause, seen.as_str()))
    }
}

impl FromRequestParts<Arc<App>> for Visit {
    type Rejection = <ConnectInfo<SocketAddr> as FromRequestParts<Arc<App>>>::Rejection;

    async fn from_request_parts(
        parts: &mut Parts,
        app: &Arc<App>,
    ) -> Result<Self, Self::Rejection> {
        let ConnectInfo(peer) = ConnectInfo::from_request_parts(parts, app).await?;
        Ok(Self {
            source: app.proxies.source(peer, &parts.headers).to_string(),
            misnamed: match parts.extensions.get::<AtOperator>() {
                Some(AtOperator) => None,
                None => app.names.wrong(parts),
            },
        })
    }
}

/// The proxies in front of this server.
#[derive(Debug, Clone, Default)]
pub struct Proxies(Vec<IpNet>);

impl Proxies {
    /// Those in these networks.
    pub const fn new(networks: Vec<IpNet>) -> Self {
        Self(networks)
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn has(&self, ip: IpAddr) -> bool {
        self.0.iter().any(|n| n.contains(&ip))
    }

    /// Where a request came from: the rightmost `X-Forwarded-For` hop that is not a proxy of ours.
    /// Without a trusted peer the header is ignored: anyone can write it.
    pub(super) fn source(&self, peer: SocketAddr, headers: &HeaderMap) -> IpAddr {
        let peer = peer.ip().to_canonical();
        if !self.has(peer) {
            return peer;
        }
        let values = headers.get_all("x-forwarded-for").iter();
        let hops: Vec<&str> = values
            .filter_map(|v| v.to_str().ok())
            .flat_map(|v| v.split(','))
            .map(str::trim)
            .collect();
        for hop in hops.iter().rev() {
            match hop.parse::<IpAddr>() {
                Ok(ip) if self.has(ip.to_canonical()) => {}
                Ok(ip) => return ip.to_canonical(),
                Err(_) => break,
            }
        }
        peer
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn source(proxies: &[&str], peer: &str, forwarded: &[&str]) -> String {
        let proxies = Proxies::new(proxies.iter().map(|p| p.parse().unwrap()).collect());
        let mut headers = HeaderMap::new();
        for value in forwarded {
            headers.append("x-forwarded-for", value.parse().unwrap());
        }
        let peer = format!("{peer}:1").parse().unwrap();
        proxies.source(peer, &headers).to_string()
    }

    #[test]
    fn only_a_proxy_of_ours_is_believed() {
        assert_eq!(source(&[], "10.0.0.1", &["6.6.6.6"]), "10.0.0.1");
        let ours = &["10.0.0.0/8"];
        assert_eq!(source(ours, "9.9.9.9", &["6.6.6.6"]), "9.9.9.9");
        assert_eq!(source(ours, "10.0.0.1", &["6.6.6.6"]), "6.6.6.6");
        assert_eq!(
            source(ours, "10.0.0.1", &["6.6.6.6, 7.7.7.7, 10.2.2.2"]),
            "7.7.7.7"
        );
        assert_eq!(source(ours, "10.0.0.1", &["6.6.6.6", "7.7.7.7"]), "7.7.7.7");
        assert_eq!(source(ours, "10.0.0.1", &["6.6.6.6, nonsense"]), "10.0.0.1");
        assert_eq!(source(ours, "10.0.0.1", &[]), "10.0.0.1");
    }

    #[test]
    fn a_header_is_there_once_or_it_is_wrong() {
        let mut headers = HeaderMap::new();
        assert_eq!(header(&headers, ACTOR), Header::Absent);
        headers.append(ACTOR, "a".parse().unwrap());
        assert_eq!(header(&headers, ACTOR), Header::One("a"));
        headers.append(ACTOR, "a".parse().unwrap());
        assert_eq!(header(&headers, ACTOR), Header::Several);
        let bytes = http::HeaderValue::from_bytes("小明".as_bytes()).unwrap();
        headers.insert(ACTOR, bytes);
        assert_eq!(header(&headers, ACTOR), Header::Unreadable);
    }
}
