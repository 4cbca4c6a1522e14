//! A scan: one run of suites. What it is about, where it stands, and the facts that its checks are judged by.

use chrono::TimeDelta;

use super::Timestamp;
use super::check::{Answer, CheckCode, Suite};
use super::direction::{DirectionStatus, Way};
use super::id::{ConnectionId, InstanceId, RegistrationId, ScanId, UserId};
use super::refusal::RefusalCode;
use super::registration::Environment;

words! {
    /// Where a scan stands.
    ScanState {
        /// Waiting for its turn.
        Queued = "QUEUED", "Queued";
        /// Its checks run.
        Running = "RUNNING", "Running";
        /// All checks answered, none that blocks.
        Passed = "PASSED", "Passed";
        /// A check blocks, or broke.
        Failed = "FAILED", "Failed";
        /// Overtaken or called off.
        Cancelled = "CANCELLED", "Cancelled";
    }
}

/// What people read where a scan that decides was called off.
pub const CALLED_OFF: &str = "The checks were called off. Run them again.";

/// What a scan is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// A registration, on the provider.
    Registration(RegistrationId),
    /// A connection.
    Connection(ConnectionId),
    /// This instance itself.
    Instance(InstanceId),
}

impl Subject {
    /// The stable name of the kind of thing.
    #[must_use]
    pub const fn kind(self) -> &'static str {
        match self {
            Self::Registration(_) => "REGISTRATION",
            Self::Connection(_) => "CONNECTION",
            Self::Instance(_) => "INSTANCE",
        }
    }

    /// Its id.
    #[must_use]
    pub const fn id(self) -> uuid::Uuid {
        match self {
            Self::Registration(id) => id.0,
            Self::Connection(id) => id.0,
            Self::Instance(id) => id.0,
        }
    }

    /// The subject with this kind and id.
    #[must_use]
    pub fn parse(kind: &str, id: uuid::Uuid) -> Option<Self> {
        match kind {
            "REGISTRATION" => Some(Self::Registration(RegistrationId(id))),
            "CONNECTION" => Some(Self::Connection(ConnectionId(id))),
            "INSTANCE" => Some(Self::Instance(InstanceId(id))),
            _ => None,
        }
    }
}

/// One run of suites, or of one of their checks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scan {
    /// Who it is.
    pub id: ScanId,
    /// What is asked.
    pub suites: Vec<Suite>,
    /// Only this check, when an issue is validated alone.
    pub only: Option<CheckCode>,
    /// What it is about.
    pub subject: Subject,
    /// Who asked for it; none when it runs by itself.
    pub requested_by: Option<UserId>,
    /// Whether they were an administrator when they asked.
    pub requested_by_admin: bool,
    /// When it was asked for.
    pub requested_at: Timestamp,
    /// When its checks began.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// Where it stands.
    pub state: ScanState,
}

impl Scan {
    /// The checks it asks, each once, in the order of its suites.
    #[must_use]
    pub fn checks(&self) -> Vec<CheckCode> {
        if let Some(only) = self.only {
            return vec![only];
        }
        let mut checks: Vec<CheckCode> = Vec::new();
        for code in self.suites.iter().flat_map(|suite| suite.checks()) {
            if !checks.contains(code) {
                checks.push(*code);
            }
        }
        checks
    }

    /// Whether its outcome decides whether its subject goes on.
    #[must_use]
    pub fn decides(&self) -> bool {
        self.suites.iter().any(|suite| suite.decides())
    }

    /// Its suites as one stable text, for rows and records.
    #[must_use]
    pub fn suites_text(&self) -> String {
        suites_text(&self.suites)
    }
}

/// Suites as one stable text.
#[must_use]
pub fn suites_text(suites: &[Suite]) -> String {
    let names: Vec<_> = suites.iter().map(|suite| suite.as_str()).collect();
    names.join(" ")
}

/// Reads what [`suites_text`] wrote.
#[must_use]
pub fn parse_suites(text: &str) -> Option<Vec<Suite>> {
    text.split(' ').map(Suite::parse).collect()
}

/// What a check measured, or why it could not.
pub type Measured<T> = Result<T, Unmeasured>;

/// Why there is no measurement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unmeasured {
    /// The thing measured does not work: that is an answer.
    Failed { reason: String },
    /// Nobody answers where it was to be measured: an answer, too, but it says nothing of the thing.
    Unanswered { reason: String },
    /// Something that comes first does not work.
    Blocked { by: CheckCode },
    /// The measuring itself broke.
    Broken { why: String },
}

/// The contact of a registration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContactFacts {
    /// Account.
    pub user: UserId,
    /// Whether the account is active.
    pub active: bool,
    /// Whether it holds the consumer-contact role.
    pub has_role: bool,
    /// Whether it belongs to the registration's company.
    pub in_company: bool,
    /// Its mail address.
    pub email: String,
    /// Whether that follows our rules.
    pub email_valid: bool,
}

/// What our own database and configuration say before onboarding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalFacts {
    /// Whether a provider record exists.
    pub provider_record: bool,
    /// Whether a base URL is configured.
    pub base_url: bool,
    /// The contact, for a registration.
    pub contact: Option<ContactFacts>,
    /// What the other instance is for.
    pub environment: Environment,
    /// Whether letters can be sent.
    pub mail_on: bool,
    /// Other unfinished registrations for the company and environment or the URL: each with its number.
    pub other_registrations: Vec<(RegistrationId, String)>,
    /// Other connections to the same origin that stand or are being made, each in words.
    pub other_connections: Vec<String>,
    /// Attempts, claims or pending exchanges that no live registration or connection owns, each in words.
    pub stale_attempts: Vec<String>,
    /// Who asked, if it was a person.
    pub run_by: Option<UserId>,
    /// Whether whoever asked is an administrator.
    pub run_by_admin: bool,
    /// Whether the provider company was chosen.
    pub company_chosen: bool,
    /// The subject, for remedies.
    pub subject: Subject,
}

/// What may be done here in the name of the other side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountFacts {
    /// Kinds of messages it may send.
    pub scopes: Vec<String>,
    /// When it ends unless it is renewed.
    pub expires_at: Timestamp,
    /// Whether the other side made one for us.
    pub has_peer: bool,
}

/// What is known of a direction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirectionFacts {
    /// Which one.
    pub way: Way,
    /// What we see of it.
    pub ours: Option<DirectionStatus>,
    /// What the other side last said that it sees of it.
    pub theirs: Option<DirectionStatus>,
    /// Whether the two differ, and have for longer than it takes to notice.
    pub disputed: bool,
    /// Why the last probe was missed: the code, and the reason within it.
    pub failure: Option<(RefusalCode, Option<String>)>,
}

/// What our own database says of a connection that stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StandingFacts {
    /// The connection, for remedies.
    pub connection: ConnectionId,
    /// Whether it was suspended on purpose.
    pub suspended: bool,
    /// Whether it is suspended because a copy of the peer is suspected; if so, whether the peer confirmed a survivor.
    pub suspects: Option<bool>,
    /// What onboarding left that is not needed any more, each in words.
    pub leftovers: Vec<String>,
    /// The service account that the other side acts as.
    pub account: Option<AccountFacts>,
    /// The kinds of messages that it needs.
    pub needed_scopes: Vec<String>,
    /// Both directions.
    pub directions: Vec<DirectionFacts>,
    /// When the active key of the connection was made.
    pub key_made_at: Option<Timestamp>,
    /// The last error of work that was given up.
    pub stuck: Vec<String>,
    /// What we hold, to compare with what the other side holds.
    pub ours: Comparison,
}

impl StandingFacts {
    /// Whether probes say that nobody answers on the other side.
    #[must_use]
    pub fn is_silent(&self) -> bool {
        let unreachable = |failure: &(RefusalCode, _)| failure.0 == RefusalCode::PeerUnreachable;
        self.directions.iter().any(|direction| {
            direction.way == Way::Outbound
                && direction.ours == Some(DirectionStatus::Down)
                && direction.failure.as_ref().is_some_and(unreachable)
        })
    }
}

/// What one side holds of a connection, to compare with the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Comparison {
    /// The channel that the keys belong to, and the version and state of each.
    pub keys: Vec<String>,
    /// Digest of the settings, in hexadecimal digits.
    pub settings: String,
    /// The software version that this side runs.
    pub software: String,
    /// The software version that this side takes the other to run.
    pub peer_software: Option<String>,
}

/// What the other instance's identity document says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdentityFacts {
    /// Whether it is this very instance.
    pub is_us: bool,
    /// Protocol versions it offers.
    pub versions: Vec<u16>,
    /// Software version.
    pub software: String,
    /// Its clock minus ours, half the round trip taken off.
    pub clock_offset: TimeDelta,
    /// Whether the key is the one the link pins; true where there is no pin.
    pub fingerprint_matches: bool,
}

/// The checks in these answers that stop what comes next.
#[must_use]
pub fn blocking(answers: &[(CheckCode, Answer)]) -> Vec<CheckCode> {
    answers.iter().filter(|(_, answer)| answer.blocks()).map(|(code, _)| *code).collect()
}
