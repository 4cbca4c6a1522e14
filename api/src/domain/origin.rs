//! The address of an instance: scheme, host and port, in one canonical form.

use std::{fmt, net::IpAddr, str::FromStr};

use url::{Host, Url};

/// A canonical web origin such as `https://linkspan.example.org` or `https://a.example.org:8443`.
///
/// Two origins are the same instance address exactly when they are equal: the scheme and the host are lower case,
/// the host is ASCII (IDNA applied, RFC 5891), the scheme's own port is left out, and there is no path. What cannot
/// be written that way without guessing is refused when parsed, so holding an `Origin` means the address is clean;
/// whether it may be *dialled* depends on what it resolves to and is decided by the outbound client.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Origin {
    /// Always `scheme://host[:port]/`.
    url: Url,
}

/// The scheme of an [`Origin`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scheme {
    /// HTTP over TLS, the only scheme outside development.
    Https,
    /// Plain HTTP, only where the policy allows it.
    Http,
}

/// Which origins are acceptable where one is parsed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OriginPolicy {
    /// Plain `http://` is acceptable; for development only.
    pub allow_http: bool,
    /// An IP address in place of a name is acceptable.
    pub allow_ip: bool,
    /// Which ports are acceptable.
    pub ports: Ports,
}

/// The ports an [`OriginPolicy`] accepts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ports {
    /// The scheme's own port (443 or 80) and these.
    DefaultAnd(Vec<u16>),
    /// Every port but 0.
    Any,
}

/// Why a text is not an acceptable [`Origin`]. Each message can be shown to the person who typed the text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OriginError {
    /// Nothing was given.
    #[error("the address is empty; write it like https://linkspan.example.org")]
    Empty,
    /// Longer than [`Origin::MAX_LENGTH`] bytes.
    #[error("the address is too long")]
    TooLong,
    /// White space, control characters or backslashes, which browsers read in surprising ways.
    #[error("the address contains a space, a backslash or a control character")]
    ForbiddenCharacter,
    /// No `https://` in front.
    #[error("the address must start with https://")]
    NoScheme,
    /// A scheme other than HTTPS (or HTTP where allowed).
    #[error("the address must start with https://, not {0}:")]
    Scheme(String),
    /// A user name or password before the host.
    #[error("the address must not contain a user name or password (the part before @)")]
    UserInfo,
    /// Something after the host and port.
    #[error("the address must end after the host name and port, without a path, query or fragment")]
    NotOnlyOrigin,
    /// The host is missing or not a host name.
    #[error("the host name is not valid")]
    Host,
    /// A dot after the last label.
    #[error("the host name must not end with a dot")]
    TrailingDot,
    /// A name without a dot, such as `localhost` or `intranet`.
    #[error("the host name must be complete, like linkspan.example.org")]
    SingleLabel,
    /// Characters that look like others or are invisible, where a plain spelling exists.
    #[error("the host name contains look-alike or invisible characters; its plain spelling is {0}")]
    Disguised(String),
    /// An IP address where names are required.
    #[error("the address must use a host name, not an IP address")]
    IpAddress,
    /// A port that is not a number from 1 to 65535.
    #[error("the port is not valid")]
    PortNumber,
    /// A port outside the policy.
    #[error("port {0} is not allowed; use port 443 or ask the operator to allow it")]
    PortNotAllowed(u16),
}

impl Origin {
    /// The longest text that is looked at, in bytes: a host name has at most 253, the rest is scheme and port.
    pub const MAX_LENGTH: usize = 512;

    /// Reads an origin as a person or a peer wrote it and brings it into canonical form.
    ///
    /// Normalised: white space around the text, the case of scheme and host, the scheme's own port, one trailing
    /// slash, an internationalised host name (to its `xn--` form).
    ///
    /// # Errors
    ///
    /// [`OriginError`] when the text is anything but an origin, or is not acceptable under `policy`.
    pub fn parse(text: &str, policy: &OriginPolicy) -> Result<Self, OriginError> {
        let text = text.trim_matches(' ');
        if text.is_empty() {
            return Err(OriginError::Empty);
        }
        if text.len() > Self::MAX_LENGTH {
            return Err(OriginError::TooLong);
        }
        // The URL standard drops tabs and line ends and reads a backslash as a slash: no origin needs any of them.
        if text.chars().any(|c| c.is_control() || c.is_whitespace() || c == '\\') {
            return Err(OriginError::ForbiddenCharacter);
        }
        let (scheme, rest) = split_scheme(text, policy)?;
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        if authority.contains(['/', '?', '#']) {
            return Err(OriginError::NotOnlyOrigin);
        }
        if authority.contains('@') {
            return Err(OriginError::UserInfo);
        }
        let written_host = written_host(authority)?;
        let url =
            Url::parse(&format!("{}://{authority}/", scheme.as_str())).map_err(|error| match error {
                url::ParseError::InvalidPort => OriginError::PortNumber,
                _ => OriginError::Host,
            })?;
        check_host(&url, written_host, policy)?;
        check_port(&url, scheme, policy)?;
        Ok(Self { url })
    }

    /// The canonical text, `https://host[:port]`, without a trailing slash.
    #[must_use]
    pub fn as_str(&self) -> &str {
        let text = self.url.as_str();
        text.strip_suffix('/').unwrap_or(text)
    }

    /// The scheme.
    #[must_use]
    pub fn scheme(&self) -> Scheme {
        if self.url.scheme() == Scheme::Https.as_str() { Scheme::Https } else { Scheme::Http }
    }

    /// The host in lower-case ASCII; an IPv6 address is in brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        self.url.host_str().unwrap_or_default()
    }

    /// The host as an IP address, if it is one.
    #[must_use]
    pub fn ip(&self) -> Option<IpAddr> {
        match self.url.host()? {
            Host::Ipv4(address) => Some(address.into()),
            Host::Ipv6(address) => Some(address.into()),
            Host::Domain(_) => None,
        }
    }

    /// Whether browsers trust what comes from here, as they do everything over `https` and what never leaves the machine
    /// (Secure Contexts, 3.1). Elsewhere they neither say where a form came from, nor offer cryptography to a page.
    #[must_use]
    pub fn is_trustworthy(&self) -> bool {
        let local = |host: &str| host == "localhost" || host.ends_with(".localhost");
        self.scheme() == Scheme::Https
            || self.ip().map_or_else(|| local(self.host()), |address| address.is_loopback())
    }

    /// The port to connect to, the scheme's own if none is written.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.url.port().unwrap_or_else(|| self.scheme().default_port())
    }

    /// The URL of a path here, with an optional query and fragment: `/connect#v=1`.
    ///
    /// Whatever `path` holds, the result is on this origin: the path is set on it, never resolved against it, so
    /// that `//other.example` is a path too.
    #[must_use]
    pub fn join(&self, path: &str) -> Url {
        let (path, fragment) = split_at_char(path, '#');
        let (path, query) = split_at_char(path, '?');
        let mut url = self.url.clone();
        url.set_path(path);
        url.set_query(query);
        url.set_fragment(fragment);
        url
    }
}

impl Scheme {
    /// The scheme as in a URL.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Https => "https",
            Self::Http => "http",
        }
    }

    /// The port used when none is written.
    #[must_use]
    pub const fn default_port(self) -> u16 {
        match self {
            Self::Https => 443,
            Self::Http => 80,
        }
    }
}

impl OriginPolicy {
    /// What a production instance accepts: `https`, names only, port 443.
    pub const STRICT: Self =
        Self { allow_http: false, allow_ip: false, ports: Ports::DefaultAnd(Vec::new()) };

    /// Accepts every well-formed origin: for reading back what was accepted before, under the policy of then.
    pub const ANY: Self = Self { allow_http: true, allow_ip: true, ports: Ports::Any };
}

impl Ports {
    /// Whether `port` is acceptable for `scheme`.
    #[must_use]
    pub fn allow(&self, scheme: Scheme, port: u16) -> bool {
        match self {
            Self::DefaultAnd(extra) => port == scheme.default_port() || extra.contains(&port),
            Self::Any => port != 0,
        }
    }
}

fn split_scheme<'t>(text: &'t str, policy: &OriginPolicy) -> Result<(Scheme, &'t str), OriginError> {
    let Some((scheme, rest)) = text.split_once("://") else {
        return Err(OriginError::NoScheme);
    };
    if scheme.eq_ignore_ascii_case("https") {
        Ok((Scheme::Https, rest))
    } else if scheme.eq_ignore_ascii_case("http") && policy.allow_http {
        Ok((Scheme::Http, rest))
    } else if !scheme.is_empty() && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c)) {
        Err(OriginError::Scheme(scheme.to_ascii_lowercase()))
    } else {
        Err(OriginError::NoScheme)
    }
}

/// The host as written, without the port, checked for forms that would change meaning when normalised.
fn written_host(authority: &str) -> Result<&str, OriginError> {
    let host = match authority.rsplit_once(':') {
        // A colon inside brackets belongs to an IPv6 address.
        Some((host, port)) if !port.ends_with(']') => {
            if port.is_empty() || !port.bytes().all(|byte| byte.is_ascii_digit()) {
                return Err(OriginError::PortNumber);
            }
            host
        }
        _ => authority,
    };
    if host.is_empty() || host.contains('%') {
        return Err(OriginError::Host);
    }
    if host.ends_with('.') {
        return Err(OriginError::TrailingDot);
    }
    Ok(host)
}

fn check_host(url: &Url, written: &str, policy: &OriginPolicy) -> Result<(), OriginError> {
    match url.host() {
        None => Err(OriginError::Host),
        Some(Host::Ipv4(_) | Host::Ipv6(_)) if policy.allow_ip => Ok(()),
        Some(Host::Ipv4(_) | Host::Ipv6(_)) => Err(OriginError::IpAddress),
        Some(Host::Domain(name)) => check_name(name, written),
    }
}

/// Applies the rules of RFC 1123 section 2.1 to a name that IDNA has already mapped to lower-case ASCII.
fn check_name(name: &str, written: &str) -> Result<(), OriginError> {
    if is_disguised(written, name) {
        return Err(OriginError::Disguised(name.to_owned()));
    }
    if name.ends_with('.') {
        return Err(OriginError::TrailingDot);
    }
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
    };
    if name.len() > 253 || !name.split('.').all(is_label) {
        return Err(OriginError::Host);
    }
    if name.contains('.') { Ok(()) } else { Err(OriginError::SingleLabel) }
}

/// Whether IDNA took away or replaced characters that a plain spelling of the same host does not have: soft hyphens,
/// zero-width characters, full-width letters, other dots. A label that needs other characters becomes `xn--…`.
fn is_disguised(written: &str, name: &str) -> bool {
    if written.is_ascii() {
        return false;
    }
    let (mut written, mut canonical) = (written.split('.'), name.split('.'));
    loop {
        match (written.next(), canonical.next()) {
            (None, None) => return false,
            (Some(written), Some(canonical)) if written.is_ascii() || canonical.starts_with("xn--") => {}
            _ => return true,
        }
    }
}

fn check_port(url: &Url, scheme: Scheme, policy: &OriginPolicy) -> Result<(), OriginError> {
    let port = url.port().unwrap_or_else(|| scheme.default_port());
    if port == 0 {
        return Err(OriginError::PortNumber);
    }
    if policy.ports.allow(scheme, port) { Ok(()) } else { Err(OriginError::PortNotAllowed(port)) }
}

fn split_at_char(text: &str, separator: char) -> (&str, Option<&str>) {
    match text.split_once(separator) {
        Some((before, after)) => (before, Some(after)),
        None => (text, None),
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Origin({})", self.as_str())
    }
}

/// Reads back what was accepted before ([`OriginPolicy::ANY`]).
impl FromStr for Origin {
    type Err = OriginError;

    fn from_str(text: &str) -> Result<Self, OriginError> {
        Self::parse(text, &OriginPolicy::ANY)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strict(text: &str) -> Result<String, OriginError> {
        Origin::parse(text, &OriginPolicy::STRICT).map(|origin| origin.to_string())
    }

    #[test]
    fn browsers_trust_what_is_encrypted_or_never_leaves_the_machine() {
        for (text, trusted) in [
            ("https://linkspan.example.org", true),
            ("http://provider.localhost:8080", true),
            ("http://127.0.0.1:8080", true),
            ("http://[::1]:8080", true),
            ("http://linkspan.example.org", false),
            ("http://192.0.2.1:8080", false),
            ("http://notlocalhost.example", false),
        ] {
            let origin = Origin::parse(text, &OriginPolicy::ANY).unwrap();
            assert_eq!(origin.is_trustworthy(), trusted, "{text}");
        }
    }

    #[test]
    fn an_origin_is_brought_into_canonical_form() {
        let canonical = "https://linkspan.example.org";
        for text in [
            "https://linkspan.example.org",
            "https://linkspan.example.org/",
            "HTTPS://LinkSpan.Example.ORG",
            "https://linkspan.example.org:443",
            "https://linkspan.example.org:0443/",
            "  https://linkspan.example.org ",
        ] {
            assert_eq!(strict(text).as_deref(), Ok(canonical), "{text:?}");
        }
        assert_eq!(strict("https://bücher.example").as_deref(), Ok("https://xn--bcher-kva.example"));
        assert_eq!(strict("https://BÜCHER.example").as_deref(), Ok("https://xn--bcher-kva.example"));
        assert_eq!(strict("https://provider.localhost").as_deref(), Ok("https://provider.localhost"));
    }

    #[test]
    fn what_is_not_an_origin_is_refused_with_its_reason() {
        let disguised = || OriginError::Disguised("example.org".into());
        for (text, reason) in [
            ("", OriginError::Empty),
            ("   ", OriginError::Empty),
            ("linkspan.example.org", OriginError::NoScheme),
            ("//linkspan.example.org", OriginError::NoScheme),
            ("https:linkspan.example.org", OriginError::NoScheme),
            ("://a.example", OriginError::NoScheme),
            ("http://a.example", OriginError::Scheme("http".into())),
            ("FTP://a.example", OriginError::Scheme("ftp".into())),
            ("https://", OriginError::Host),
            ("https:///", OriginError::Host),
            ("https:///a.example", OriginError::NotOnlyOrigin),
            ("https://a.example/x", OriginError::NotOnlyOrigin),
            ("https://a.example//", OriginError::NotOnlyOrigin),
            ("https://a.example?x", OriginError::NotOnlyOrigin),
            ("https://a.example/?", OriginError::NotOnlyOrigin),
            ("https://a.example#", OriginError::NotOnlyOrigin),
            ("https://user@a.example", OriginError::UserInfo),
            ("https://user:word@a.example", OriginError::UserInfo),
            ("https://a.example@b.example", OriginError::UserInfo),
            ("https://a.example\\@b.example", OriginError::ForbiddenCharacter),
            ("https:\\\\a.example", OriginError::ForbiddenCharacter),
            ("https://a.exa mple", OriginError::ForbiddenCharacter),
            ("https://a.exa\tmple", OriginError::ForbiddenCharacter),
            ("https://a.example\r\nHost: b", OriginError::ForbiddenCharacter),
            ("https://a.example\u{a0}", OriginError::ForbiddenCharacter),
            ("https://a.example\0", OriginError::ForbiddenCharacter),
            ("https://a.example.", OriginError::TrailingDot),
            ("https://a.example.:443", OriginError::TrailingDot),
            ("https://localhost.", OriginError::TrailingDot),
            ("https://localhost", OriginError::SingleLabel),
            ("https://intranet", OriginError::SingleLabel),
            ("https://a..example", OriginError::Host),
            ("https://.example", OriginError::Host),
            ("https://-a.example", OriginError::Host),
            ("https://a_b.example", OriginError::Host),
            ("https://a.example*", OriginError::Host),
            ("https://%61.example", OriginError::Host),
            ("https://xn--a.example", OriginError::Host),
            ("https://exam\u{ad}ple.org", disguised()),
            ("https://exam\u{200b}ple.org", disguised()),
            ("https://ｅｘａｍｐｌｅ.org", disguised()),
            ("https://example。org", disguised()),
            ("https://a.example:", OriginError::PortNumber),
            ("https://a.example:0", OriginError::PortNumber),
            ("https://a.example:65536", OriginError::PortNumber),
            ("https://a.example:+443", OriginError::PortNumber),
            ("https://a.example:8443", OriginError::PortNotAllowed(8443)),
            ("https://a.example:80", OriginError::PortNotAllowed(80)),
        ] {
            assert_eq!(strict(text), Err(reason), "{text:?}");
        }
        assert_eq!(strict(&format!("https://{}.example", "a".repeat(600))), Err(OriginError::TooLong));
        assert_eq!(strict(&format!("https://{}.example", "a".repeat(64))), Err(OriginError::Host));
    }

    #[test]
    fn every_spelling_of_an_ip_address_is_refused() {
        for text in [
            "https://127.0.0.1",
            "https://127.1",
            "https://0x7f.1",
            "https://0x7f000001",
            "https://2130706433",
            "https://017700000001",
            "https://0",
            "https://１２７.０.０.１",
            "https://127。0。0。1",
            "https://[::1]",
            "https://[::ffff:127.0.0.1]",
            "https://[64:ff9b::7f00:1]",
            "https://8.8.8.8",
        ] {
            assert_eq!(strict(text), Err(OriginError::IpAddress), "{text:?}");
        }
        for text in [
            "https://127.0.0.1.",
            "https://256.0.0.1",
            "https://1.2.3.4.5",
            "https://[::1",
            "https://[fe80::1%25eth0]",
        ] {
            assert!(strict(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_policy_widens_what_is_accepted() {
        let policy = OriginPolicy { ports: Ports::DefaultAnd(vec![8443]), ..OriginPolicy::STRICT };
        let origin = Origin::parse("https://a.example:8443", &policy).unwrap();
        assert_eq!((origin.scheme(), origin.host(), origin.port()), (Scheme::Https, "a.example", 8443));
        assert_eq!(Origin::parse("https://a.example:81", &policy), Err(OriginError::PortNotAllowed(81)));

        let origin: Origin = "http://[::FFFF:127.0.0.1]:8080".parse().unwrap();
        assert_eq!(origin.to_string(), "http://[::ffff:7f00:1]:8080");
        assert_eq!(origin.ip(), Some("::ffff:127.0.0.1".parse().unwrap()));
        let origin: Origin = "http://127.1:80/".parse().unwrap();
        assert_eq!((origin.as_str(), origin.port()), ("http://127.0.0.1", 80));
    }

    #[test]
    fn joining_never_leaves_the_origin() {
        let origin: Origin = "https://a.example:8443".parse().unwrap();
        for (path, url) in [
            ("/link/v1/claim", "https://a.example:8443/link/v1/claim"),
            ("link", "https://a.example:8443/link"),
            ("", "https://a.example:8443/"),
            ("/connect?x=1#v=1&t=?", "https://a.example:8443/connect?x=1#v=1&t=?"),
            ("//b.example/x", "https://a.example:8443//b.example/x"),
            ("@b.example", "https://a.example:8443/@b.example"),
            (":9/x", "https://a.example:8443/:9/x"),
            ("https://b.example", "https://a.example:8443/https://b.example"),
            ("/\\b.example", "https://a.example:8443//b.example"),
        ] {
            assert_eq!(origin.join(path).as_str(), url, "{path:?}");
        }
    }

    #[test]
    fn a_canonical_origin_reads_back_as_itself() {
        for text in ["https://a.example", "http://a.example:8080", "https://[2001:db8::1]:8443"] {
            assert_eq!(text.parse::<Origin>().unwrap().as_str(), text);
        }
    }
}
