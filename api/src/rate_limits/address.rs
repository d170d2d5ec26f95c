//! Where a request comes from.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName};
use ipnet::IpNet;
use serde::{Deserialize, Deserializer};

/// Where proxies write whom they speak for: each adds the address that it saw at the end.
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// Most entries of it that are looked at, from the end.
const HOPS_MAX: usize = 16;
/// A customer of a provider has at least a /64 of IPv6.
const IPV6_PREFIX: u32 = 64;

/// The other end of a connection. An extension of every request.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub IpAddr);

/// Whom to count a request for: an IPv4 address, or a /64 of IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientAddress(IpAddr);

impl ClientAddress {
    /// The sender of a request: the other end of its connection, unless that is a trusted proxy.
    pub fn of(parts: &Parts, trusted: &Proxies) -> Self {
        let peer = parts.extensions.get::<Peer>();
        let peer = peer.map_or(IpAddr::V6(Ipv6Addr::UNSPECIFIED), |peer| peer.0);
        Self::counted(trusted.client(peer.to_canonical(), &parts.headers))
    }

    fn counted(address: IpAddr) -> Self {
        Self(match address {
            IpAddr::V4(_) => address,
            IpAddr::V6(v6) => {
                let network = u128::MAX << (u128::BITS - IPV6_PREFIX);
                IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & network))
            }
        })
    }
}

impl fmt::Display for ClientAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Proxies whose `X-Forwarded-For` is believed.
#[derive(Clone, Debug, Default)]
pub struct Proxies(Vec<IpNet>);

impl Proxies {
    fn contains(&self, address: IpAddr) -> bool {
        self.0.iter().any(|net| net.contains(&address))
    }

    /// The last address in the chain that no trusted proxy has: what stands before it, its sender
    /// could have invented.
    fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        if !self.contains(peer) {
            return peer;
        }
        let chain = headers
            .get_all(FORWARDED_FOR)
            .iter()
            .rev()
            // One that cannot be read ends the chain: before it a sender may have invented more.
            .map(|value| value.to_str().unwrap_or_default())
            .flat_map(|value| value.rsplit(','))
            .take(HOPS_MAX);
        let mut last = peer;
        for hop in chain {
            let Some(address) = read(hop.trim()) else {
                return last;
            };
            last = address;
            if !self.contains(address) {
                return address;
            }
        }
        last
    }
}

/// With or without a port.
fn read(hop: &str) -> Option<IpAddr> {
    let address = hop.parse().ok();
    let address = address.or_else(|| hop.parse::<SocketAddr>().ok().map(|address| address.ip()));
    address.map(|address: IpAddr| address.to_canonical())
}

impl<'de> Deserialize<'de> for Proxies {
    /// Addresses and networks: a list, or in an environment variable separated by commas.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            List(Vec<String>),
            Line(String),
        }
        let written = match Written::deserialize(deserializer)? {
            Written::List(list) => list,
            Written::Line(line) => line.split(',').map(str::to_owned).collect(),
        };
        let networks = written
            .iter()
            .map(|text| text.trim())
            .filter(|text| !text.is_empty())
            .map(|text| {
                let address = text.parse::<IpAddr>().map(IpNet::from);
                address.or_else(|_| text.parse::<IpNet>()).map_err(|_| {
                    serde::de::Error::custom(format!("`{text}` is neither an address nor a network"))
                })
            });
        networks.collect::<Result<_, _>>().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::de::IntoDeserializer;
    use serde::de::value::{Error, StrDeserializer};

    fn proxies(text: &str) -> Proxies {
        let text: StrDeserializer<'_, Error> = text.into_deserializer();
        Proxies::deserialize(text).expect("networks")
    }

    fn client(trusted: &str, peer: &str, forwarded: &[&str]) -> String {
        let mut request = axum::http::Request::builder().extension(Peer(peer.parse().expect("an address")));
        for value in forwarded {
            request = request.header("X-Forwarded-For", *value);
        }
        let (parts, ()) = request.body(()).expect("a request").into_parts();
        ClientAddress::of(&parts, &proxies(trusted)).to_string()
    }

    #[test]
    fn strangers_are_not_believed() {
        assert_eq!(client("", "10.0.0.1", &["1.2.3.4"]), "10.0.0.1");
        assert_eq!(client("10.0.0.2", "10.0.0.1", &["1.2.3.4"]), "10.0.0.1");
    }

    #[test]
    fn the_last_address_that_no_proxy_has_counts() {
        let trusted = "10.0.0.0/8, 192.168.7.7";
        assert_eq!(client(trusted, "10.0.0.1", &[]), "10.0.0.1");
        assert_eq!(client(trusted, "10.0.0.1", &["9.9.9.9, 1.2.3.4"]), "1.2.3.4");
        assert_eq!(
            client(trusted, "10.0.0.1", &["9.9.9.9", "1.2.3.4:80, 192.168.7.7"]),
            "1.2.3.4"
        );
        assert_eq!(client(trusted, "10.0.0.1", &["1.2.3.4, who"]), "10.0.0.1");
        assert_eq!(client(trusted, "10.0.0.1", &["10.0.0.9"]), "10.0.0.9");
    }

    #[test]
    fn ipv6_counts_by_its_network_and_ipv4_in_ipv6_by_itself() {
        assert_eq!(client("", "2001:db8:1:2:3:4:5:6", &[]), "2001:db8:1:2::");
        assert_eq!(client("", "::ffff:1.2.3.4", &[]), "1.2.3.4");
        assert_eq!(client("::1", "::1", &["[2001:db8:1:2::9]:443"]), "2001:db8:1:2::");
    }

    #[test]
    fn what_is_no_network_is_refused() {
        let text: StrDeserializer<'_, Error> = "10.0.0.0/33".into_deserializer();
        assert!(Proxies::deserialize(text).is_err());
    }
}
