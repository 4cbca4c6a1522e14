//! What must happen because a fact became true: written in its transaction, carried out by the worker.

use super::id::{AttemptId, ClaimId, ConnectionId, MessageId, RegistrationId, ScanId};

/// The outcome of a verb: what the thing becomes, and what must happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step<T> {
    /// The thing afterwards.
    pub next: T,
    /// In the order in which they must be written.
    pub effects: Vec<Effect>,
}

impl<T> Step<T> {
    /// A step with nothing to do.
    pub fn quiet(next: T) -> Self {
        Self { next, effects: Vec::new() }
    }

    /// A step with one effect.
    pub fn with(next: T, effect: Effect) -> Self {
        Self { next, effects: vec![effect] }
    }
}

/// Something that must happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Run the pre-onboarding suite of a registration.
    ValidateRegistration(RegistrationId),
    /// Make a link, and send the letter with it if mail is on.
    IssueLink(RegistrationId),
    /// Remove everything an abandoned attempt left: the claim, the connection, its keys.
    DiscardAttempt(ConnectionId),
    /// Tell the provider's administrators that onboarding is complete.
    AnnounceCompletion(RegistrationId),
}

/// A piece of work for the worker, stored as a row and carried out at least once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Work {
    /// Run a scan's checks.
    Scan(ScanId),
    /// Send a letter; the sealed body holds its kind and fields.
    Letter,
    /// Ask the registered origin to prove that it holds the claiming key (KX/1 phase 0, step 4).
    ProveClaim(ClaimId),
    /// Carry an attempt's current phase on.
    Phase(AttemptId),
    /// Answer this message of the peer, which asks for one, with a sealed ping that names it.
    Ping(MessageId),
    /// Tell the provider that an attempt on this connection was abandoned; the sealed body is what to say.
    Abandon(ConnectionId),
    /// Tell the consumer that its attempt was called off; the sealed body is where and what to say.
    Withdraw(RegistrationId),
    /// Tell the peer that the connection is paused here.
    TellPause(ConnectionId),
    /// Tell the peer that the connection was taken down here.
    TellOffboarding(ConnectionId),
    /// Agree on the settings with the peer again.
    SyncSettings(ConnectionId),
    /// Verify the connection: messages both ways, and what both sides hold.
    Verify(ConnectionId),
    /// Tell all consumers that what we publish changed.
    Publish,
    /// Renew the service accounts of both sides.
    RenewCredentials(ConnectionId),
    /// Ask the other instance again who it is.
    RefreshPeer(ConnectionId),
    /// Run the suite of connection health, as its schedule says, then schedule the next run.
    ConnectionHealth(ConnectionId),
    /// Run the suite of the key service, as its schedule says, then schedule the next run.
    KeyServiceHealth,
    /// Send the daily letters about issues, then schedule the next.
    IssueDigest,
    /// Send one letter about the many issues that were raised lately.
    IssueSummary,
    /// Expire a registration whose link's time is over.
    ExpireRegistration(RegistrationId),
    /// Give up an attempt that is past its deadline on the provider.
    ExpireAttempt(AttemptId),
    /// Remove what is past its retention time: sessions, codes, replay records, idempotency keys, finished jobs.
    Sweep,
    /// Sign how far the audit trail goes, if it went further.
    Checkpoint,
    /// Carry the rotation of the key encryption key on.
    RewrapKeys,
}

/// Work that waits for the same. Each lane has places of its own, so that what hangs in one holds up no other: a letter with
/// a code goes out while a thousand peers do not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// Looks at peers that nobody waits for, one for each connection.
    Schedule,
    /// Checks that somebody asked for.
    Checks,
    /// Steps of onboarding.
    Onboarding,
    /// What else is said to peers.
    Notices,
    /// Letters.
    Mail,
    /// What needs nobody but ourselves.
    Own,
}

impl Lane {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Schedule, Self::Checks, Self::Onboarding, Self::Notices, Self::Mail, Self::Own];

    /// How many pieces of its work a node carries out at once.
    #[must_use]
    pub const fn places(self) -> usize {
        match self {
            Self::Schedule | Self::Checks | Self::Onboarding => 6,
            Self::Notices | Self::Mail => 4,
            Self::Own => 3,
        }
    }

    /// The kinds of its work; see [`Work::kind`].
    #[must_use]
    pub const fn kinds(self) -> &'static [&'static str] {
        match self {
            Self::Schedule => &[Work::CONNECTION_HEALTH],
            Self::Checks => &["SCAN", "VERIFY"],
            Self::Onboarding => &["PROVE_CLAIM", "PHASE", "PING"],
            Self::Notices => &[
                "ABANDON",
                "WITHDRAW",
                "TELL_PAUSE",
                "TELL_OFFBOARDING",
                "SYNC_SETTINGS",
                "RENEW_CREDENTIALS",
                "REFRESH_PEER",
            ],
            Self::Mail => &["LETTER"],
            Self::Own => &[
                "PUBLISH",
                "KEY_SERVICE_HEALTH",
                "ISSUE_DIGEST",
                "ISSUE_SUMMARY",
                "EXPIRE_REGISTRATION",
                "EXPIRE_ATTEMPT",
                "SWEEP",
                "CHECKPOINT",
                "REWRAP_KEYS",
            ],
        }
    }
}

impl Work {
    /// The kind of [`Work::ConnectionHealth`].
    pub const CONNECTION_HEALTH: &str = "CONNECTION_HEALTH";

    /// The stable name of the kind of work.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Scan(_) => "SCAN",
            Self::Letter => "LETTER",
            Self::ProveClaim(_) => "PROVE_CLAIM",
            Self::Phase(_) => "PHASE",
            Self::Ping(_) => "PING",
            Self::Abandon(_) => "ABANDON",
            Self::Withdraw(_) => "WITHDRAW",
            Self::TellPause(_) => "TELL_PAUSE",
            Self::TellOffboarding(_) => "TELL_OFFBOARDING",
            Self::SyncSettings(_) => "SYNC_SETTINGS",
            Self::Verify(_) => "VERIFY",
            Self::Publish => "PUBLISH",
            Self::RenewCredentials(_) => "RENEW_CREDENTIALS",
            Self::RefreshPeer(_) => "REFRESH_PEER",
            Self::ConnectionHealth(_) => Self::CONNECTION_HEALTH,
            Self::KeyServiceHealth => "KEY_SERVICE_HEALTH",
            Self::IssueDigest => "ISSUE_DIGEST",
            Self::IssueSummary => "ISSUE_SUMMARY",
            Self::ExpireRegistration(_) => "EXPIRE_REGISTRATION",
            Self::ExpireAttempt(_) => "EXPIRE_ATTEMPT",
            Self::Sweep => "SWEEP",
            Self::Checkpoint => "CHECKPOINT",
            Self::RewrapKeys => "REWRAP_KEYS",
        }
    }

    /// Whose places it takes.
    #[must_use]
    pub const fn lane(&self) -> Lane {
        match self {
            Self::ConnectionHealth(_) => Lane::Schedule,
            Self::Scan(_) | Self::Verify(_) => Lane::Checks,
            Self::ProveClaim(_) | Self::Phase(_) | Self::Ping(_) => Lane::Onboarding,
            Self::Abandon(_)
            | Self::Withdraw(_)
            | Self::TellPause(_)
            | Self::TellOffboarding(_)
            | Self::SyncSettings(_)
            | Self::RenewCredentials(_)
            | Self::RefreshPeer(_) => Lane::Notices,
            Self::Letter => Lane::Mail,
            Self::Publish
            | Self::KeyServiceHealth
            | Self::IssueDigest
            | Self::IssueSummary
            | Self::ExpireRegistration(_)
            | Self::ExpireAttempt(_)
            | Self::Sweep
            | Self::Checkpoint
            | Self::RewrapKeys => Lane::Own,
        }
    }

    /// Whether it goes on for as long as the instance, or what it is about, stands: it is never given up.
    #[must_use]
    pub const fn recurs(&self) -> bool {
        matches!(
            self,
            Self::ConnectionHealth(_)
                | Self::KeyServiceHealth
                | Self::IssueDigest
                | Self::Sweep
                | Self::Checkpoint
        )
    }

    /// What the work is about, where it is about one thing.
    #[must_use]
    pub fn subject(&self) -> Option<uuid::Uuid> {
        match self {
            Self::Scan(id) => Some(id.0),
            Self::ProveClaim(id) => Some(id.0),
            Self::Phase(id) | Self::ExpireAttempt(id) => Some(id.0),
            Self::Ping(id) => Some(id.0),
            Self::Abandon(id) | Self::SyncSettings(id) | Self::Verify(id) => Some(id.0),
            Self::RenewCredentials(id) | Self::RefreshPeer(id) | Self::ConnectionHealth(id) => Some(id.0),
            Self::TellPause(id) | Self::TellOffboarding(id) => Some(id.0),
            Self::ExpireRegistration(id) | Self::Withdraw(id) => Some(id.0),
            Self::Letter
            | Self::Publish
            | Self::KeyServiceHealth
            | Self::IssueDigest
            | Self::IssueSummary
            | Self::Sweep
            | Self::Checkpoint
            | Self::RewrapKeys => None,
        }
    }

    /// The work with this name and subject.
    #[must_use]
    pub fn parse(kind: &str, subject: Option<uuid::Uuid>) -> Option<Self> {
        Some(match (kind, subject) {
            ("SCAN", Some(id)) => Self::Scan(ScanId(id)),
            ("LETTER", None) => Self::Letter,
            ("PROVE_CLAIM", Some(id)) => Self::ProveClaim(ClaimId(id)),
            ("PHASE", Some(id)) => Self::Phase(AttemptId(id)),
            ("PING", Some(id)) => Self::Ping(MessageId(id)),
            ("ABANDON", Some(id)) => Self::Abandon(ConnectionId(id)),
            ("WITHDRAW", Some(id)) => Self::Withdraw(RegistrationId(id)),
            ("TELL_PAUSE", Some(id)) => Self::TellPause(ConnectionId(id)),
            ("TELL_OFFBOARDING", Some(id)) => Self::TellOffboarding(ConnectionId(id)),
            ("SYNC_SETTINGS", Some(id)) => Self::SyncSettings(ConnectionId(id)),
            ("RENEW_CREDENTIALS", Some(id)) => Self::RenewCredentials(ConnectionId(id)),
            ("REFRESH_PEER", Some(id)) => Self::RefreshPeer(ConnectionId(id)),
            (Self::CONNECTION_HEALTH, Some(id)) => Self::ConnectionHealth(ConnectionId(id)),
            ("KEY_SERVICE_HEALTH", None) => Self::KeyServiceHealth,
            ("ISSUE_DIGEST", None) => Self::IssueDigest,
            ("ISSUE_SUMMARY", None) => Self::IssueSummary,
            ("EXPIRE_REGISTRATION", Some(id)) => Self::ExpireRegistration(RegistrationId(id)),
            ("EXPIRE_ATTEMPT", Some(id)) => Self::ExpireAttempt(AttemptId(id)),
            ("VERIFY", Some(id)) => Self::Verify(ConnectionId(id)),
            ("PUBLISH", None) => Self::Publish,
            ("SWEEP", None) => Self::Sweep,
            ("CHECKPOINT", None) => Self::Checkpoint,
            ("REWRAP_KEYS", None) => Self::RewrapKeys,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_work_is_in_one_lane() {
        let mut known = 0;
        for lane in Lane::ALL {
            for kind in lane.kinds() {
                let some = Some(uuid::Uuid::nil());
                let work = Work::parse(kind, some).or_else(|| Work::parse(kind, None)).unwrap();
                assert_eq!((work.kind(), work.lane()), (*kind, lane));
                known += 1;
            }
        }
        assert_eq!(known, 23);
    }
}
