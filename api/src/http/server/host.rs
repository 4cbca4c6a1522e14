//! Under which name a request was sent (RFC 9110, 7.2; RFC 9112, 3.2; RFC 9113, 8.3.1).

use std::net::{Ipv4Addr, Ipv6Addr};

use hyper::header::HOST;
use hyper::http::request::Parts;
use hyper::http::uri::Authority;
use hyper::{HeaderMap, Version};

/// The name of the host that a request is for, in lower case and without its port; a handler finds it among the
/// request's extensions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host(pub String);

/// A request does not name one host.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("a request must have one valid Host")]
pub(super) struct NoHost;

impl Host {
    /// Whether it is an address, or this machine's own name for its own.
    pub(crate) fn is_address(&self) -> bool {
        self.0.starts_with('[') || self.0 == "localhost" || self.0.parse::<Ipv4Addr>().is_ok()
    }

    /// Reads the name. Without a request target that names it, it is the `Host` field's, which HTTP/1.1 asks for in any
    /// case. HTTP/1.0 knows no names: `None`.
    ///
    /// # Errors
    /// [`NoHost`] when there is none, there are two, or it is no host.
    pub(super) fn of(request: &Parts) -> Result<Option<Self>, NoHost> {
        let given = field(&request.headers)?;
        let target = request.uri.authority().map(Authority::as_str);
        let is_2 = request.version >= Version::HTTP_2;
        let name = match (target, given) {
            (Some(target), Some(given)) if is_2 && !target.eq_ignore_ascii_case(given) => return Err(NoHost),
            (Some(_), None) if request.version == Version::HTTP_11 => return Err(NoHost),
            (Some(target), _) => target,
            (None, Some(given)) => given,
            (None, None) if request.version < Version::HTTP_11 => return Ok(None),
            (None, None) => return Err(NoHost),
        };
        // Also where the target counts, the field must be one.
        [given, Some(name)].into_iter().flatten().try_for_each(|text| parse(text).map(drop))?;
        parse(name).map(Some)
    }
}

/// The one `Host` field, if there is any.
fn field(headers: &HeaderMap) -> Result<Option<&str>, NoHost> {
    let mut values = headers.get_all(HOST).iter();
    let first = values.next().map(|value| value.to_str().map_err(|_| NoHost)).transpose()?;
    values.next().map_or(Ok(first), |_| Err(NoHost))
}

/// Reads `uri-host [ ":" port ]` (RFC 3986, 3.2.2).
fn parse(text: &str) -> Result<Host, NoHost> {
    let (name, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, rest)) => {
            let address: Ipv6Addr = address.parse().map_err(|_| NoHost)?;
            (format!("[{address}]"), rest.strip_prefix(':').or_else(|| rest.is_empty().then_some("")))
        }
        None => {
            let (name, port) = text.split_once(':').unwrap_or((text, ""));
            (name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase(), Some(port))
        }
    };
    let port = port.ok_or(NoHost)?;
    let is_port =
        port.is_empty() || port.bytes().all(|it| it.is_ascii_digit()) && port.parse::<u16>().is_ok();
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+,;=".contains(&byte);
    let is_name = name.starts_with('[') || (!name.is_empty() && name.bytes().all(is_plain));
    if is_port && is_name { Ok(Host(name)) } else { Err(NoHost) }
}
