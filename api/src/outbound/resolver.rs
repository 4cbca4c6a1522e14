//! From a name to addresses.

use std::{
    future::Future,
    io,
    net::{IpAddr, Ipv4Addr},
    pin::Pin,
};

/// Finds the addresses of a name. What it answers is judged afterwards, so that no resolver has to be trusted.
pub trait Resolver: Send + Sync {
    /// The addresses of `host`, which is a complete name in lower-case ASCII.
    fn addresses(&self, host: String) -> Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send>>;
}

/// The operating system's resolver, but for names under `.localhost`: those are this machine and nobody is asked
/// (RFC 6761, section 6.3); not every system's resolver knows.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemResolver;

impl Resolver for SystemResolver {
    fn addresses(&self, host: String) -> Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send>> {
        Box::pin(async move {
            if host.ends_with(".localhost") {
                return Ok(vec![IpAddr::V4(Ipv4Addr::LOCALHOST)]);
            }
            let addresses = tokio::net::lookup_host((host, 0)).await?;
            Ok(addresses.map(|address| address.ip()).collect())
        })
    }
}
