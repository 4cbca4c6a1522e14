//! Identifiers: one type per thing, so that one cannot be passed for another.

use std::fmt;

use uuid::Uuid;

macro_rules! ids {
    ($($(#[$meta:meta])* $name:ident;)+) => {$(
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub Uuid);

        impl $name {
            /// The 16 bytes that enter transcripts and seals.
            #[must_use]
            pub const fn bytes(self) -> [u8; 16] {
                self.0.into_bytes()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl From<Uuid> for $name {
            fn from(id: Uuid) -> Self {
                Self(id)
            }
        }
    )+};
}

ids! {
    /// A running Linkspan, as it is known to its peers.
    InstanceId;
    /// A person or a program with an account here.
    UserId;
    /// The other organisation.
    CompanyId;
    /// The provider's wish to connect one consumer instance.
    RegistrationId;
    /// The part of a registration link that names the registration without giving anything away.
    LinkId;
    /// One instance's request to redeem a registration link.
    ClaimId;
    /// Our tie to one other instance.
    ConnectionId;
    /// One run of onboarding.
    AttemptId;
    /// One run of suites of checks.
    ScanId;
    /// An open matter that findings raised.
    IssueId;
    /// Something that we publish as a provider.
    DefinitionId;
    /// A version of a key.
    KeyId;
    /// A line of the error log.
    FailureId;
    /// A request for a second person's approval.
    KeyApprovalId;
    /// An access policy of a key module.
    KeyPolicyId;
    /// A signed-in browser.
    SessionId;
    /// A personal access token.
    AccessTokenId;
    /// One approval by a person at the authorization server.
    AuthorizationId;
    /// A piece of work written with the fact that caused it.
    JobId;
    /// What sealed messages name their connection by; both sides derive it from what they exchanged.
    ChannelId;
    /// One sealed message between two instances.
    MessageId;
}

/// Follows one request through logs, refusals and peers: the 16-byte trace id of W3C Trace Context, in hex.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TraceId(pub u128);

impl TraceId {
    /// The trace id in a `traceparent` header (W3C Trace Context, section 3.2), if it is well formed and not zero.
    #[must_use]
    pub fn from_traceparent(header: &str) -> Option<Self> {
        let mut parts = header.split('-');
        let (_version, trace) = (parts.next().filter(|v| v.len() == 2)?, parts.next()?);
        Self::parse(trace)
    }

    /// 32 lower-case hexadecimal digits, not all zero.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() != 32 || !text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)) {
            return None;
        }
        u128::from_str_radix(text, 16).ok().filter(|id| *id != 0).map(Self)
    }

    /// The `traceparent` header to send on, sampled.
    #[must_use]
    pub fn traceparent(self) -> String {
        let span = (self.0 as u64) | 1;
        format!("00-{:032x}-{span:016x}-01", self.0)
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}
