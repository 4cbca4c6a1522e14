//! What a verified TLS handshake showed: version, and the certificate's dates and names.

use rustls::{ClientConnection, ProtocolVersion};

use super::error::{OutboundError, Stage, TlsProblem};

/// What a verified TLS handshake with another instance showed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFacts {
    /// The version agreed on.
    pub version: TlsVersion,
    /// Start of the certificate's validity, in seconds since 1970-01-01 UTC.
    pub not_before: i64,
    /// End of the certificate's validity, in seconds since 1970-01-01 UTC.
    pub not_after: i64,
    /// The DNS names in the certificate (subject alternative names, RFC 5280 section 4.2.1.6).
    pub names: Vec<String>,
}

/// A version of TLS that we speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsVersion {
    /// TLS 1.2 (RFC 5246).
    V1_2,
    /// TLS 1.3 (RFC 8446).
    V1_3,
}

pub(super) fn facts(connection: &ClientConnection) -> Result<TlsFacts, OutboundError> {
    let unreadable =
        || OutboundError::new(Stage::Tls(TlsProblem::Certificate), "the certificate cannot be read");
    let version = match connection.protocol_version() {
        Some(ProtocolVersion::TLSv1_3) => TlsVersion::V1_3,
        _ => TlsVersion::V1_2,
    };
    let leaf = connection.peer_certificates().and_then(<[_]>::first).ok_or_else(unreadable)?;
    let (not_before, not_after, names) = read(leaf).ok_or_else(unreadable)?;
    Ok(TlsFacts { version, not_before, not_after, names })
}

// DER tags (X.690, RFC 5280 section 4.1).
const OCTET_STRING: u8 = 0x04;
const OBJECT_IDENTIFIER: u8 = 0x06;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;
const EXTENSIONS: u8 = 0xa3;
const DNS_NAME: u8 = 0x82;
/// 2.5.29.17
const SUBJECT_ALTERNATIVE_NAME: &[u8] = &[0x55, 0x1d, 0x11];

/// Reads validity and names from a certificate whose chain has been verified. It decides nothing about trust.
pub(super) fn read(certificate: &[u8]) -> Option<(i64, i64, Vec<String>)> {
    let mut certificate = Der(certificate).enter(SEQUENCE)?;
    let mut body = certificate.enter(SEQUENCE)?;
    if body.peek() == Some(VERSION) {
        body.next()?;
    }
    for _ in ["serial number", "signature algorithm", "issuer"] {
        body.next()?;
    }
    let mut validity = body.enter(SEQUENCE)?;
    let (not_before, not_after) = (time(validity.next()?)?, time(validity.next()?)?);
    let mut names = Vec::new();
    while let Some((tag, content)) = body.next() {
        if tag == EXTENSIONS {
            names = subject_names(Der(content)).unwrap_or_default();
        }
    }
    Some((not_before, not_after, names))
}

fn subject_names(mut extensions: Der<'_>) -> Option<Vec<String>> {
    let mut extensions = extensions.enter(SEQUENCE)?;
    while let Some(mut extension) = extensions.enter(SEQUENCE) {
        if extension.next()? != (OBJECT_IDENTIFIER, SUBJECT_ALTERNATIVE_NAME) {
            continue;
        }
        // A boolean `critical` may come before the value.
        let (_, value) = std::iter::from_fn(|| extension.next()).find(|(tag, _)| *tag == OCTET_STRING)?;
        let mut list = Der(value).enter(SEQUENCE)?;
        let names = std::iter::from_fn(|| list.next()).filter(|(tag, _)| *tag == DNS_NAME);
        return Some(names.map(|(_, name)| String::from_utf8_lossy(name).into_owned()).collect());
    }
    None
}

/// A reader of definite-length DER values, one after the other.
struct Der<'d>(&'d [u8]);

impl<'d> Der<'d> {
    fn peek(&self) -> Option<u8> {
        self.0.first().copied()
    }

    /// The next value: its tag and its content.
    fn next(&mut self) -> Option<(u8, &'d [u8])> {
        let (&tag, rest) = self.0.split_first()?;
        let (&first, mut rest) = rest.split_first()?;
        let mut length = usize::from(first);
        if first & 0x80 != 0 {
            let (digits, after) = rest.split_at_checked(usize::from(first & 0x7f))?;
            if digits.is_empty() || digits.len() > 3 {
                return None;
            }
            length = digits.iter().fold(0, |length, digit| length << 8 | usize::from(*digit));
            rest = after;
        }
        let (content, after) = rest.split_at_checked(length)?;
        self.0 = after;
        Some((tag, content))
    }

    /// The content of the next value, which must have this tag.
    fn enter(&mut self, expected: u8) -> Option<Self> {
        let (tag, content) = self.next()?;
        (tag == expected).then_some(Self(content))
    }
}

/// Seconds since 1970 of a `UTCTime` or `GeneralizedTime` in the forms RFC 5280 section 4.1.2.5 permits.
fn time((tag, text): (u8, &[u8])) -> Option<i64> {
    let text = std::str::from_utf8(text).ok()?.strip_suffix('Z')?;
    let (year, rest) = match tag {
        UTC_TIME => {
            let (year, rest) = text.split_at_checked(2)?;
            let year: i32 = year.parse().ok()?;
            (if year < 50 { 2000 + year } else { 1900 + year }, rest)
        }
        GENERALIZED_TIME => {
            let (year, rest) = text.split_at_checked(4)?;
            (year.parse().ok()?, rest)
        }
        _ => return None,
    };
    let part = |from: usize| rest.get(from..from + 2)?.parse::<u32>().ok();
    let date = chrono::NaiveDate::from_ymd_opt(year, part(0)?, part(2)?)?;
    Some(date.and_hms_opt(part(4)?, part(6)?, part(8)?)?.and_utc().timestamp())
}
