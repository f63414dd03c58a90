//! Which addresses the stand-in dials. Ark's cloud reaches public addresses only; a stand-in on this
//! machine is asked by tests and demos to reach this machine. Everything between the two (the
//! office's network, a cloud's metadata service) is refused unless the operator says otherwise,
//! since the address comes from whoever sends the request.
//!
//! Names are judged by what they resolve to, at the moment of dialling. A proxy set in the
//! environment dials on its own, and its own rules hold there.

use std::error::Error;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use crate::rails::wire;

/// How far the stand-in dials.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// Public addresses: what a stand-in gets that others can reach.
    Public,
    /// Those and this machine's loopback.
    Loopback,
    /// All addresses, by the operator's word.
    All,
}

/// An address that may not be dialled.
#[derive(Debug)]
pub(super) struct Refused(Reach);

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.0 {
            Reach::Public => "only public addresses",
            Reach::Loopback | Reach::All => "only public and loopback addresses",
        };
        write!(
            f,
            "the stand-in dials {what}, unless started with --dial-private"
        )
    }
}

impl Error for Refused {}

impl Reach {
    /// Refuses a URL whose host is an address out of reach: those never come to a resolver.
    pub(super) fn check(self, url: &Url) -> Result<(), Refused> {
        match url.host_str().and_then(wire::literal) {
            Some(ip) if !self.allows(ip) => Err(Refused(self)),
            _ => Ok(()),
        }
    }

    fn allows(self, ip: IpAddr) -> bool {
        match self {
            Self::All => true,
            Self::Loopback => ip.is_loopback() || is_public(ip),
            Self::Public => is_public(ip),
        }
    }
}

impl Resolve for Reach {
    fn resolve(&self, name: Name) -> Resolving {
        let reach = *self;
        Box::pin(async move {
            // Port 0 stands for the URL's own.
            let all = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let near: Vec<_> = all.filter(|a| reach.allows(a.ip())).collect();
            if near.is_empty() {
                return Err(Refused(reach).into());
            }
            let near: Addrs = Box::new(near.into_iter());
            Ok(near)
        })
    }
}

/// Whether an address is one of the public internet (IANA's special-purpose registries).
fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => is_public_v4(ip),
        IpAddr::V6(ip) => is_public_v6(ip),
    }
}

fn is_public_v4(ip: Ipv4Addr) -> bool {
    let [a, b, c, _] = ip.octets();
    let special = ip.is_private()
        || ip.is_loopback()
        || ip.is_link_local()
        || ip.is_documentation()
        // This network, shared address space, protocol assignments, benchmarks.
        || a == 0
        || (a == 100 && (64..128).contains(&b))
        || (a == 192 && b == 0 && c == 0)
        || (a == 198 && (b == 18 || b == 19))
        // Multicast, reserved, broadcast.
        || a >= 224;
    !special
}

fn is_public_v6(ip: Ipv6Addr) -> bool {
    let s = ip.segments();
    // An IPv4 address in other clothes is what it is: mapped, NAT64, 6to4.
    let inner = match s {
        [0, 0, 0, 0, 0, 0xffff, hi, lo]
        | [0x64, 0xff9b, 0, 0, 0, 0, hi, lo]
        | [0x2002, hi, lo, ..] => Some((hi, lo)),
        _ => None,
    };
    if let Some((hi, lo)) = inner {
        return is_public_v4(Ipv4Addr::from((u32::from(hi) << 16) | u32::from(lo)));
    }
    // Only 2000::/3 is given out, and of it not documentation and protocol assignments.
    (s[0] & 0xe000) == 0x2000
        && !(s[0] == 0x2001 && (s[1] < 0x200 || s[1] == 0xdb8))
        && !(s[0] == 0x3fff && s[1] < 0x1000)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const NEAR: &[&str] = &["127.0.0.1", "127.9.9.9", "::1"];
    const BETWEEN: &[&str] = &[
        "0.0.0.0",
        "10.1.2.3",
        "100.64.0.1",
        "169.254.169.254",
        "172.16.0.1",
        "192.0.0.8",
        "192.168.1.1",
        "198.18.0.1",
        "203.0.113.7",
        "224.0.0.1",
        "255.255.255.255",
        "::",
        "::ffff:10.0.0.1",
        "::ffff:169.254.169.254",
        "64:ff9b::a9fe:a9fe",
        "2001:db8::1",
        "2002:a00:1::1",
        "fc00::1",
        "fe80::1",
        "ff02::1",
    ];
    const FAR: &[&str] = &[
        "1.1.1.1",
        "101.126.0.1",
        "2606:4700::1111",
        "64:ff9b::101:101",
    ];

    #[test]
    fn only_public_addresses_and_those_said_are_dialled() {
        for (addresses, public, loopback) in [
            (NEAR, false, true),
            (BETWEEN, false, false),
            (FAR, true, true),
        ] {
            for text in addresses {
                let ip = text.parse().unwrap();
                assert_eq!(Reach::Public.allows(ip), public, "{text}");
                assert_eq!(Reach::Loopback.allows(ip), loopback, "{text}");
                assert!(Reach::All.allows(ip), "{text}");
            }
        }
    }

    #[test]
    fn an_address_in_a_url_is_judged_in_every_spelling() {
        for url in [
            "http://10.0.0.1/mcp",
            "http://0xa000001/mcp",
            "http://167772161/mcp",
            "http://[::ffff:10.0.0.1]/mcp",
            "http://169.254.169.254/latest",
        ] {
            assert!(
                Reach::Loopback.check(&Url::parse(url).unwrap()).is_err(),
                "{url}"
            );
        }
        for url in [
            "http://127.1/mcp",
            "http://[::1]:1/mcp",
            "https://mcp.example.com/",
        ] {
            assert!(
                Reach::Loopback.check(&Url::parse(url).unwrap()).is_ok(),
                "{url}"
            );
        }
        assert!(
            Reach::Public
                .check(&Url::parse("http://127.1/").unwrap())
                .is_err()
        );
    }

    #[tokio::test]
    async fn a_name_is_judged_by_what_it_resolves_to() {
        let found = Reach::Loopback
            .resolve("localhost".parse().unwrap())
            .await
            .unwrap();
        assert!(found.into_iter().all(|a| a.ip().is_loopback()));
        let Err(refused) = Reach::Public.resolve("localhost".parse().unwrap()).await else {
            panic!("localhost is not public");
        };
        assert!(refused.to_string().contains("--dial-private"));
    }
}
