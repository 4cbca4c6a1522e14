//! Where a request came from when proxies stand in front.

use std::net::{IpAddr, SocketAddr};

use hyper::HeaderMap;
use ipnet::IpNet;

const FORWARDED_FOR: &str = "x-forwarded-for";

/// The client's address: the other end of the socket, unless that is a proxy of ours; then the right-most address of
/// `X-Forwarded-For` that is none. What stands left of it anybody may have written.
pub(super) fn client(peer: SocketAddr, headers: &HeaderMap, proxies: &[IpNet]) -> SocketAddr {
    let is_proxy = |address: IpAddr| proxies.iter().any(|network| network.contains(&address));
    let mut client = peer.ip().to_canonical();
    if !is_proxy(client) {
        return peer;
    }
    let values = headers.get_all(FORWARDED_FOR).iter().rev();
    for entry in values.flat_map(|value| value.to_str().unwrap_or_default().rsplit(',')) {
        // What is no address was not written by a proxy of ours: the last one known is as far as we see.
        let Some(address) = parse(entry.trim()) else { break };
        client = address;
        if !is_proxy(client) {
            break;
        }
    }
    // Which port it used at the proxy says nothing here.
    SocketAddr::new(client, 0)
}

/// An address as proxies write it: bare, in brackets, with a port.
fn parse(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    let address = bare.parse::<IpAddr>().or_else(|_| text.parse::<SocketAddr>().map(|address| address.ip()));
    address.ok().map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    #[test]
    fn only_what_our_proxies_say_counts_and_only_as_far_as_they_know() {
        let proxies: Vec<IpNet> = vec!["10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()];
        for (peer, fields, client) in [
            ("192.0.2.1:1", &["198.51.100.1"][..], "192.0.2.1"),
            ("10.0.0.1:1", &[], "10.0.0.1"),
            ("10.0.0.1:1", &["198.51.100.1"], "198.51.100.1"),
            ("10.0.0.1:1", &["203.0.113.9, 198.51.100.1"], "198.51.100.1"),
            ("10.0.0.1:1", &["203.0.113.9, 198.51.100.1,10.0.0.2"], "198.51.100.1"),
            ("10.0.0.1:1", &["203.0.113.9", "198.51.100.1", "10.0.0.2"], "198.51.100.1"),
            ("10.0.0.1:1", &["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
            ("10.0.0.1:1", &["203.0.113.9, nonsense, 10.0.0.2"], "10.0.0.2"),
            ("10.0.0.1:1", &[""], "10.0.0.1"),
            ("10.0.0.1:1", &["198.51.100.1:4711"], "198.51.100.1"),
            ("10.0.0.1:1", &["::ffff:198.51.100.1"], "198.51.100.1"),
            ("[::ffff:10.0.0.1]:1", &["198.51.100.1"], "198.51.100.1"),
            ("[fd00::1]:1", &["[2001:db8::1]:4711"], "2001:db8::1"),
            ("[fd00::1]:1", &["2001:db8::1"], "2001:db8::1"),
            ("[fd00::1]:1", &["[2001:db8::1]"], "2001:db8::1"),
        ] {
            let mut headers = HeaderMap::new();
            for field in fields {
                headers.append(FORWARDED_FOR, HeaderValue::from_static(field));
            }
            let found = super::client(peer.parse().unwrap(), &headers, &proxies).ip();
            assert_eq!(found, client.parse::<IpAddr>().unwrap(), "{peer} {fields:?}");
        }
    }
}
