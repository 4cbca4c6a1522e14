//! What an operator can set about listening.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

/// Where we listen and how long anyone may keep a connection busy or idle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ServerConfig {
    /// The address and port to listen on; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The certificate chain (PEM, own certificate first). With `tls_key_file`, the server speaks TLS itself;
    /// without either, put a TLS-terminating proxy in front.
    pub tls_certificate_file: Option<PathBuf>,
    /// The certificate's private key (PEM: PKCS #8, SEC1 or PKCS #1).
    pub tls_key_file: Option<PathBuf>,
    /// The longest time from connecting to the TLS handshake's end, in milliseconds.
    pub tls_handshake_timeout_ms: u64,
    /// The longest time from connecting (over TLS: from the handshake) to the end of the first request's headers, in
    /// milliseconds.
    pub header_timeout_ms: u64,
    /// The longest pause while a request body is received, in milliseconds.
    pub body_idle_timeout_ms: u64,
    /// The longest time for a whole request body, in milliseconds, as long as less than `body_bytes_per_second` comes.
    pub body_timeout_ms: u64,
    /// How much of a request body must come in a second once `body_timeout_ms` is over, in bytes on average; at least 1.
    pub body_bytes_per_second: u32,
    /// The longest time during which the other side takes nothing of what we send, in milliseconds.
    pub write_timeout_ms: u64,
    /// The longest time between requests on a connection, the next request's headers included, in milliseconds.
    pub keep_alive_ms: u64,
    /// The most connections at a time. More wait in the system's queue until one ends.
    pub max_connections: u32,
    /// How long connections may finish what they are doing when the server stops, in milliseconds.
    pub shutdown_grace_ms: u64,
    /// The largest size of request headers, in bytes; at least 8192.
    pub max_header_bytes: u32,
    /// The most requests at a time on one HTTP/2 connection.
    pub max_concurrent_streams: u32,
    /// The networks of our own proxies, as `10.0.0.0/8`. Where a request comes from one, its client is the right-most
    /// address of `X-Forwarded-For` that is none; from anywhere else, that header means nothing.
    pub trusted_proxies: Vec<IpNet>,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)),
            tls_certificate_file: None,
            tls_key_file: None,
            tls_handshake_timeout_ms: 10_000,
            header_timeout_ms: 10_000,
            body_idle_timeout_ms: 10_000,
            body_timeout_ms: 10_000,
            body_bytes_per_second: 4_096,
            write_timeout_ms: 30_000,
            keep_alive_ms: 75_000,
            max_connections: 20_000,
            shutdown_grace_ms: 10_000,
            max_header_bytes: 16 * 1024,
            max_concurrent_streams: 64,
            trusted_proxies: Vec::new(),
        }
    }
}

/// The time limits of one request body.
#[derive(Clone, Copy, Debug)]
pub(super) struct BodyLimits {
    pub(super) idle: Duration,
    pub(super) whole: Duration,
    pub(super) bytes_per_second: u32,
}

/// The time limits of one connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) handshake: Duration,
    pub(super) header: Duration,
    pub(super) body: BodyLimits,
    pub(super) write: Duration,
    pub(super) keep_alive: Duration,
}

impl ServerConfig {
    pub(super) fn limits(&self) -> Limits {
        Limits {
            handshake: Duration::from_millis(self.tls_handshake_timeout_ms),
            header: Duration::from_millis(self.header_timeout_ms),
            body: BodyLimits {
                idle: Duration::from_millis(self.body_idle_timeout_ms),
                whole: Duration::from_millis(self.body_timeout_ms),
                bytes_per_second: self.body_bytes_per_second.max(1),
            },
            write: Duration::from_millis(self.write_timeout_ms),
            keep_alive: Duration::from_millis(self.keep_alive_ms),
        }
    }

    pub(super) fn shutdown_grace(&self) -> Duration {
        Duration::from_millis(self.shutdown_grace_ms)
    }
}
