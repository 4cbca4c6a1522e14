//! Why a request to another instance did not succeed, by the step at which it failed.

use std::{io, net::IpAddr};

use rustls::CertificateError;

/// A request to somebody else's URL did not succeed.
///
/// `stage` is for decisions and for the people who repair the link. `detail` and the `Display` text are for our own
/// log: they may name addresses and what the other side sent, so a requester is only ever told [`Self::verdict`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{stage}: {detail}")]
pub struct OutboundError {
    /// How far the request came.
    pub stage: Stage,
    /// What happened, for the log.
    pub detail: String,
}

/// How far a request came before it failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Stage {
    /// Nothing was sent: this target is not acceptable.
    #[error("refused ({0})")]
    Refused(Refusal),
    /// The name could not be resolved.
    #[error("DNS")]
    Dns,
    /// No connection could be made.
    #[error("TCP")]
    Tcp,
    /// No trusted, encrypted connection could be made.
    #[error("TLS ({0})")]
    Tls(TlsProblem),
    /// The answer was not an acceptable HTTP response.
    #[error("HTTP ({0})")]
    Http(HttpProblem),
    /// A step took too long.
    #[error("time-out ({at})")]
    Timeout {
        /// The step that did not end.
        at: Step,
    },
}

impl Stage {
    /// What a person reads: it says of the other instance what is wrong, and names no address.
    #[must_use]
    pub const fn sentence(&self) -> &'static str {
        match self {
            Self::Refused(Refusal::Scheme) => "Its URL is not https, which is required here.",
            Self::Refused(Refusal::Port) => "Its URL has a port that may not be called from here.",
            Self::Refused(Refusal::AddressLiteral) => "Its URL has an IP address in place of a name.",
            Self::Refused(Refusal::Address(_)) => {
                "Its name leads to an address that may not be called from here."
            }
            Self::Refused(Refusal::Request) => "Its URL makes no request that could be sent.",
            Self::Dns => "DNS knows no address for its name.",
            Self::Tcp => "Nothing takes a connection at its address and port.",
            Self::Tls(TlsProblem::Expired) => "Its certificate has expired.",
            Self::Tls(TlsProblem::NotYetValid) => "Its certificate is not valid yet.",
            Self::Tls(TlsProblem::WrongName) => "Its certificate is for another name.",
            Self::Tls(TlsProblem::UnknownIssuer) => {
                "Its certificate is from an authority that is not trusted here."
            }
            Self::Tls(TlsProblem::Certificate) => "Its certificate cannot be used.",
            Self::Tls(TlsProblem::Handshake) => {
                "What answers at its address does not agree on an encrypted connection."
            }
            Self::Http(HttpProblem::Connection) => "The connection broke before an answer had come.",
            Self::Http(HttpProblem::TooLarge) => "Its answer is larger than any that is taken.",
            Self::Http(HttpProblem::Encoding) => "Its answer is compressed, which was not asked for.",
            Self::Http(HttpProblem::ContentType) => "Its answer is of another type than was asked for.",
            Self::Http(HttpProblem::Malformed) => "Its answer is malformed.",
            Self::Timeout { at: Step::Queue } => "Earlier requests to it still wait for their answers.",
            Self::Timeout { at: Step::Dns } => "Looking up its name took too long.",
            Self::Timeout { at: Step::Tcp } => "Nothing at its address took a connection in time.",
            Self::Timeout { at: Step::Tls } => {
                "Something took the connection at its address, and was silent then."
            }
            Self::Timeout { at: Step::Http } => "It took the request, and did not answer in time.",
        }
    }
}

/// Why a target is not acceptable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Plain HTTP where only HTTPS is allowed.
    #[error("not https")]
    Scheme,
    /// A port that is not allowed.
    #[error("port")]
    Port,
    /// An IP address in place of a name, outside the allowed networks.
    #[error("IP address in place of a name")]
    AddressLiteral,
    /// The name leads to an address that is not public, outside the allowed networks.
    #[error("not a public address")]
    Address(IpAddr),
    /// The request itself cannot be sent.
    #[error("malformed request")]
    Request,
}

/// What is wrong with the other side's TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TlsProblem {
    /// The certificate's time is over.
    #[error("certificate expired")]
    Expired,
    /// The certificate's time has not begun.
    #[error("certificate not yet valid")]
    NotYetValid,
    /// The certificate is for another name.
    #[error("certificate for another name")]
    WrongName,
    /// The certificate does not chain to an authority we trust.
    #[error("unknown certificate authority")]
    UnknownIssuer,
    /// The certificate is unusable for another reason.
    #[error("unusable certificate")]
    Certificate,
    /// There was no common version or cipher suite, or the other side does not speak TLS.
    #[error("handshake failed")]
    Handshake,
}

/// What is wrong with the other side's HTTP response.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HttpProblem {
    /// The connection ended or broke the protocol.
    #[error("connection failed")]
    Connection,
    /// The body is larger than the limit.
    #[error("body too large")]
    TooLarge,
    /// The body is compressed, which was not asked for.
    #[error("unexpected content encoding")]
    Encoding,
    /// The body is of another type than expected.
    #[error("unexpected content type")]
    ContentType,
    /// The body is not what its type says.
    #[error("malformed body")]
    Malformed,
}

/// A step of a request, for time-outs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Step {
    /// Waiting for earlier requests to the same target.
    #[error("queue")]
    Queue,
    /// Resolving the name.
    #[error("DNS")]
    Dns,
    /// Connecting; also when the whole time ran out anywhere before a connection was there.
    #[error("TCP")]
    Tcp,
    /// The TLS handshake.
    #[error("TLS")]
    Tls,
    /// Sending the request and receiving the response.
    #[error("HTTP")]
    Http,
}

/// All that a requester may be told about a failed request: more would make us a scanner of others' networks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The address cannot be used as it is.
    NotAcceptable,
    /// Nothing acceptable answered.
    NotReachable,
}

impl OutboundError {
    pub(super) fn new(stage: Stage, detail: impl Into<String>) -> Self {
        Self { stage, detail: detail.into() }
    }

    pub(super) fn refused(refusal: Refusal, detail: impl Into<String>) -> Self {
        Self::new(Stage::Refused(refusal), detail)
    }

    pub(super) fn http(problem: HttpProblem, detail: impl Into<String>) -> Self {
        Self::new(Stage::Http(problem), detail)
    }

    pub(super) fn timeout(at: Step) -> Self {
        Self::new(Stage::Timeout { at }, "took too long")
    }

    pub(super) fn tls(error: &io::Error) -> Self {
        let problem = match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            Some(rustls::Error::InvalidCertificate(reason)) => certificate_problem(reason),
            Some(_) | None => TlsProblem::Handshake,
        };
        Self::new(Stage::Tls(problem), error.to_string())
    }

    /// What a requester may be told.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        match self.stage {
            Stage::Refused(_) => Verdict::NotAcceptable,
            Stage::Dns | Stage::Tcp | Stage::Tls(_) | Stage::Http(_) | Stage::Timeout { .. } => {
                Verdict::NotReachable
            }
        }
    }
}

fn certificate_problem(reason: &CertificateError) -> TlsProblem {
    match reason {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => TlsProblem::Expired,
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            TlsProblem::NotYetValid
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            TlsProblem::WrongName
        }
        // A leaf signed by an authority of the right name and another key is as unknown as any other.
        CertificateError::UnknownIssuer | CertificateError::BadSignature => TlsProblem::UnknownIssuer,
        _ => TlsProblem::Certificate,
    }
}
