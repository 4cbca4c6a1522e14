//! What both sides show when something breaks between two instances, or in one of them. The page for operators is written
//! from this table, and a test breaks each of it between two real instances.

use chrono::TimeDelta;

use super::direction::DirectionStatus as Status;
use super::explain::Dependency;
use super::refusal::RefusalCode;

/// What a side shows of one direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The status that is shown.
    pub status: Status,
    /// Why: code and reason; none where this side has no cause of its own to name.
    pub cause: Option<(RefusalCode, &'static str)>,
    /// What this side sees itself.
    pub ours: Status,
    /// What the other side says it sees; none when it cannot say so, or what it said is too old to count.
    pub theirs: Option<Status>,
}

/// What a side shows of both directions, and how soon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shown {
    /// From this side to the other.
    pub outbound: Seen,
    /// From the other side to this one.
    pub inbound: Seen,
    /// The most seconds until something other than *Up* shows, with the default probe interval of 5 s.
    pub within_seconds: i64,
}

/// What the side with the fault shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FarSide {
    /// This.
    Shows(Shown),
    /// Its API answers `UNAVAILABLE`, and `/readyz` with status 503: without its database nobody can be let in.
    Unavailable,
    /// It does not run at all.
    Absent,
}

/// Something that breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outage {
    /// Its stable name.
    pub name: &'static str,
    /// What happens, in a sentence.
    pub happens: &'static str,
    /// What the side without the fault shows.
    pub near: Shown,
    /// What its explanation names first.
    pub first: Dependency,
    /// What the side with the fault shows.
    pub far: FarSide,
}

/// The most time until the end of an outage shows on both sides, with the default probe interval of 5 s.
pub const RECOVERED_WITHIN: TimeDelta = TimeDelta::seconds(5);

const UP: Seen = seen(Status::Up, Status::Up, Some(Status::Up));
const SLOW: Seen = seen(Status::Slow, Status::Slow, Some(Status::Slow));
/// Nothing arrives, and the other side knows that it does not reach this one.
const SILENT: Seen = seen(Status::Down, Status::Down, Some(Status::Down));
/// Nothing arrives, and nobody says why.
const DEAD: Seen = seen(Status::Down, Status::Down, None);

const fn seen(status: Status, ours: Status, theirs: Option<Status>) -> Seen {
    Seen { status, cause: None, ours, theirs }
}

const fn because(code: RefusalCode, reason: &'static str, seen: Seen) -> Seen {
    Seen { cause: Some((code, reason)), ..seen }
}

const fn shown(outbound: Seen, inbound: Seen, within_seconds: i64) -> Shown {
    Shown { outbound, inbound, within_seconds }
}

/// Reached by nobody, and told so by the peer, whom it reaches.
const REACHES_ONLY: Shown = shown(UP, SILENT, 15);
/// Cut off in one direction: the other direction tells the peer of it.
const CUT_ONE_WAY: FarSide = FarSide::Shows(REACHES_ONLY);
/// Reaches nobody, and is reached.
const CUT_OFF: Shown = shown(because(RefusalCode::PeerUnreachable, "TCP", SILENT), UP, 15);
/// The same, on the other side.
const IS_CUT_OFF: FarSide = FarSide::Shows(CUT_OFF);

/// Every outage that is documented and tested.
pub const OUTAGES: &[Outage] = &[
    Outage {
        name: "LINE_CLOSED",
        happens: "Nothing takes a connection at the other side's address, which itself goes on sending.",
        near: CUT_OFF,
        first: Dependency::PeerAddress,
        far: CUT_ONE_WAY,
    },
    Outage {
        name: "LINE_HELD",
        happens: "Connections to the other side stand, and nothing goes through them any more (half-open).",
        near: CUT_OFF,
        first: Dependency::PeerAddress,
        far: CUT_ONE_WAY,
    },
    Outage {
        name: "LINE_BACK_CLOSED",
        happens: "Nothing takes the other side's connections at this side's address; the way there is open.",
        near: REACHES_ONLY,
        first: Dependency::PeerReachesUs,
        far: IS_CUT_OFF,
    },
    Outage {
        name: "LINE_BACK_HELD",
        happens: "The other side's connections to this side stand, and nothing goes through them any more (half-open).",
        near: REACHES_ONLY,
        first: Dependency::PeerReachesUs,
        far: IS_CUT_OFF,
    },
    Outage {
        name: "BOTH_LINES_HELD",
        happens: "Nothing goes through in either direction.",
        near: shown(because(RefusalCode::PeerUnreachable, "TCP", DEAD), DEAD, 15),
        first: Dependency::PeerAddress,
        far: FarSide::Shows(shown(because(RefusalCode::PeerUnreachable, "TCP", DEAD), DEAD, 15)),
    },
    Outage {
        name: "LINE_LATE",
        happens: "What is sent to the other side arrives, but late: answers take longer than slow_ms.",
        near: shown(SLOW, UP, 15),
        first: Dependency::RoundTrip,
        far: FarSide::Shows(shown(UP, SLOW, 15)),
    },
    Outage {
        name: "ANSWERS_LOST",
        happens: "The other side takes what is sent to it, and its answers are lost: the two sides differ.",
        near: shown(
            because(
                RefusalCode::PeerUnreachable,
                "HTTP",
                seen(Status::Disputed, Status::Down, Some(Status::Up)),
            ),
            UP,
            15,
        ),
        first: Dependency::AnswersArrive,
        far: FarSide::Shows(shown(UP, seen(Status::Disputed, Status::Up, Some(Status::Down)), 30)),
    },
    Outage {
        name: "PEER_DATABASE_STOPPED",
        happens: "The other side's database stops; its process still answers probes, and says so.",
        near: shown(because(RefusalCode::PeerUnavailable, "DATABASE", SILENT), UP, 15),
        first: Dependency::PeerDatabase,
        far: FarSide::Unavailable,
    },
    Outage {
        name: "PEER_KEYS_STOPPED",
        happens: "The other side's key service does not answer any more: its process hangs, or ended and cannot be \
                  started. (One that hangs is killed after keyservice.hang_ms, 5 seconds by default, and started again at \
                  once, as is one that ended; what is over so soon may not show at all.)",
        near: shown(because(RefusalCode::KeyServiceUnhealthy, "PROCESS", DEAD), DEAD, 15),
        first: Dependency::PeerKeyService,
        far: FarSide::Shows(shown(because(RefusalCode::KeyServiceUnhealthy, "OURS", DEAD), DEAD, 15)),
    },
    Outage {
        name: "CERTIFICATE_EXPIRED",
        happens: "The certificate at the other side's base URL has expired.",
        near: shown(because(RefusalCode::PeerUnreachable, "TLS", SILENT), UP, 15),
        first: Dependency::PeerCertificate,
        far: CUT_ONE_WAY,
    },
    Outage {
        name: "PEER_CLOCK_AHEAD",
        happens: "The other side's clock is ten minutes ahead.",
        near: shown(because(RefusalCode::ClockSkew, "AHEAD", DEAD), DEAD, 15),
        first: Dependency::ClocksAgree,
        far: FarSide::Shows(shown(because(RefusalCode::ClockSkew, "BEHIND", DEAD), DEAD, 15)),
    },
    Outage {
        name: "STRANGER_ANSWERS",
        happens: "Another instance, with other keys, answers at the other side's address.",
        near: shown(because(RefusalCode::PeerIdentityMismatch, "IDENTITY_KEY", DEAD), DEAD, 15),
        first: Dependency::PeerIdentity,
        far: FarSide::Absent,
    },
];
