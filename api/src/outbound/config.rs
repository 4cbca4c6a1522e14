//! What an operator can set about requests to other instances.

use std::{path::PathBuf, time::Duration};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::domain::origin::{OriginPolicy, Ports};

/// Requests to URLs that others gave us: what may be dialled and how long it may take.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OutboundConfig {
    /// The longest time for each of resolving, connecting and the TLS handshake, in milliseconds.
    pub connect_timeout_ms: u64,
    /// The longest time for a whole request, waiting for its turn included, in milliseconds.
    pub total_timeout_ms: u64,
    /// The largest response body, in bytes.
    pub body_limit: usize,
    /// Networks that may be reached although they are not public, such as `10.20.0.0/16` for a partner behind a
    /// VPN. An IP address in place of a name is only acceptable within these.
    pub allow_networks: Vec<IpNet>,
    /// Whether `http://` is acceptable. For development only.
    pub allow_http: bool,
    /// Acceptable ports besides 443: a list, or `"any"`.
    pub allowed_ports: AllowedPorts,
    /// Files with certificates (PEM) of authorities to trust besides the system's.
    pub extra_ca_files: Vec<PathBuf>,
    /// Whether to trust the authorities the operating system trusts.
    pub trust_system_authorities: bool,
    /// The most requests at a time to one target.
    pub per_target_concurrency: usize,
}

/// The ports that may be dialled besides the scheme's own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum AllowedPorts {
    /// These.
    List(Vec<u16>),
    /// `"any"`: all of them.
    Every(EveryPort),
}

/// The word `any`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum EveryPort {
    /// Every port.
    #[serde(rename = "any")]
    Any,
}

impl Default for OutboundConfig {
    fn default() -> Self {
        Self {
            connect_timeout_ms: 3_000,
            total_timeout_ms: 10_000,
            body_limit: 64 * 1024,
            allow_networks: Vec::new(),
            allow_http: false,
            allowed_ports: AllowedPorts::List(Vec::new()),
            extra_ca_files: Vec::new(),
            trust_system_authorities: true,
            per_target_concurrency: 2,
        }
    }
}

impl OutboundConfig {
    /// The origins that may be asked for; what they resolve to is judged when they are dialled.
    #[must_use]
    pub fn origin_policy(&self) -> OriginPolicy {
        OriginPolicy {
            allow_http: self.allow_http,
            allow_ip: !self.allow_networks.is_empty(),
            ports: match &self.allowed_ports {
                AllowedPorts::List(ports) => Ports::DefaultAnd(ports.clone()),
                AllowedPorts::Every(EveryPort::Any) => Ports::Any,
            },
        }
    }

    pub(super) fn connect_timeout(&self) -> Duration {
        Duration::from_millis(self.connect_timeout_ms)
    }

    pub(super) fn total_timeout(&self) -> Duration {
        Duration::from_millis(self.total_timeout_ms)
    }
}
