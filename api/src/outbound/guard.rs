//! Which addresses a URL from somebody else may lead to.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// Judges addresses before they are dialled: only global unicast, and what the operator allowed.
///
/// The lists follow the IANA special-purpose address registries (RFC 6890). Where a registry leaves doubt, the
/// address is refused: an organisation's instance has no reason to live there.
#[derive(Clone, Debug)]
pub(super) struct Guard {
    allowed: Vec<IpNet>,
}

impl Guard {
    pub(super) fn new(allowed: Vec<IpNet>) -> Self {
        Self { allowed }
    }

    /// Whether `address` may be dialled.
    pub(super) fn allows(&self, address: IpAddr) -> bool {
        self.allows_explicitly(address) || is_global(address)
    }

    /// Whether the operator listed `address`. An IPv4 address in IPv6 clothes (`::ffff:0:0/96`) is dialled as IPv4
    /// and therefore judged as IPv4.
    pub(super) fn allows_explicitly(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.allowed.iter().any(|network| network.contains(&address))
    }
}

/// Whether `address` is a public unicast address, looking through the forms that carry an IPv4 address.
pub(super) fn is_global(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_global_v4(address),
        IpAddr::V6(address) => match address.to_ipv4_mapped().or_else(|| translated(address)) {
            Some(embedded) => is_global_v4(embedded),
            None => is_global_v6(address),
        },
    }
}

fn is_global_v4(address: Ipv4Addr) -> bool {
    !REFUSED_V4.iter().any(|network| network.contains(&address))
}

fn is_global_v6(address: Ipv6Addr) -> bool {
    // Only 2000::/3 is assigned for global unicast; this leaves out ::/96, fc00::/7, fe80::/10 and ff00::/8 too.
    GLOBAL_V6.contains(&address) && !REFUSED_V6.iter().any(|network| network.contains(&address))
}

/// The IPv4 address behind a NAT64 address (RFC 6052): how a host with only IPv6 reaches one with only IPv4.
fn translated(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let [.., a, b, c, d] = address.octets();
    NAT64.contains(&address).then(|| Ipv4Addr::new(a, b, c, d))
}

const fn v4(a: u8, b: u8, c: u8, prefix: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, 0), prefix)
}

const fn v6(a: u16, b: u16, prefix: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, 0, 0, 0, 0, 0, 0), prefix)
}

const REFUSED_V4: [Ipv4Net; 16] = [
    v4(0, 0, 0, 8),       // this network
    v4(10, 0, 0, 8),      // private
    v4(100, 64, 0, 10),   // carrier-grade NAT
    v4(127, 0, 0, 8),     // loopback
    v4(169, 254, 0, 16),  // link-local, cloud metadata
    v4(172, 16, 0, 12),   // private
    v4(192, 0, 0, 24),    // IETF protocol assignments
    v4(192, 0, 2, 24),    // documentation
    v4(192, 31, 196, 24), // AS112
    v4(192, 88, 99, 24),  // 6to4 relays
    v4(192, 168, 0, 16),  // private
    v4(198, 18, 0, 15),   // benchmarks
    v4(198, 51, 100, 24), // documentation
    v4(203, 0, 113, 24),  // documentation
    v4(224, 0, 0, 4),     // multicast
    v4(240, 0, 0, 4),     // reserved, broadcast
];

const GLOBAL_V6: Ipv6Net = v6(0x2000, 0, 3);
const NAT64: Ipv6Net = v6(0x64, 0xff9b, 96);
const REFUSED_V6: [Ipv6Net; 4] = [
    v6(0x2001, 0, 23), // IETF protocol assignments, with Teredo (2001::/32), which hides an IPv4 address
    v6(0x2001, 0xdb8, 32), // documentation
    v6(0x2002, 0, 16), // 6to4, which hides an IPv4 address
    v6(0x3fff, 0, 20), // documentation
];
