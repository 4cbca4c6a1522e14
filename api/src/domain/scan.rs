//! A scan: one run of a suite. Facts go in, answers come out.

use chrono::TimeDelta;

use super::Timestamp;
use super::check::{Answer, CheckCode, Finding, Remedy, Suite};
use super::id::{ConnectionId, RegistrationId, ScanId, UserId};
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

/// What a scan is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// A registration, on the provider.
    Registration(RegistrationId),
    /// A connection.
    Connection(ConnectionId),
}

impl Subject {
    /// The stable name of the kind of thing.
    #[must_use]
    pub const fn kind(self) -> &'static str {
        match self {
            Self::Registration(_) => "REGISTRATION",
            Self::Connection(_) => "CONNECTION",
        }
    }

    /// Its id.
    #[must_use]
    pub const fn id(self) -> uuid::Uuid {
        match self {
            Self::Registration(id) => id.0,
            Self::Connection(id) => id.0,
        }
    }

    /// The subject with this kind and id.
    #[must_use]
    pub fn parse(kind: &str, id: uuid::Uuid) -> Option<Self> {
        match kind {
            "REGISTRATION" => Some(Self::Registration(RegistrationId(id))),
            "CONNECTION" => Some(Self::Connection(ConnectionId(id))),
            _ => None,
        }
    }
}

/// One run of a suite, or of one of its checks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scan {
    /// Who it is.
    pub id: ScanId,
    /// What is asked.
    pub suite: Suite,
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
    /// The checks it asks.
    #[must_use]
    pub fn checks(&self) -> Vec<CheckCode> {
        self.only.map_or_else(|| self.suite.checks().to_vec(), |only| vec![only])
    }
}

/// What a check measured, or why it could not.
pub type Measured<T> = Result<T, Unmeasured>;

/// Why there is no measurement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unmeasured {
    /// The thing measured does not work: that is an answer.
    Failed { reason: String },
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
    /// Whether its mail address follows our rules.
    pub email_valid: bool,
}

/// What our own database and configuration say.
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
    /// Other unfinished registrations for the company and environment or the URL.
    pub other_registrations: u64,
    /// Other connections to the same origin that stand or are being made.
    pub other_connections: u64,
    /// Attempts, claims or pending exchanges that no live registration or connection owns.
    pub stale_attempts: u64,
    /// `Ok` or the key service's failing component with its message; degraded is `Ok` with a message.
    pub key_service: Result<Option<String>, String>,
    /// Whether whoever asked is an administrator.
    pub run_by_admin: bool,
    /// Whether the provider company was chosen.
    pub company_chosen: bool,
    /// The subject's id, for remedies.
    pub subject: Subject,
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

/// What was measured at the other instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerFacts {
    /// Whether the URL may be called.
    pub url_safe: Measured<()>,
    /// How many addresses its name has.
    pub dns: Measured<usize>,
    /// When its certificate expires; none without TLS, where that is allowed.
    pub tls: Measured<Option<Timestamp>>,
    /// Its identity document.
    pub identity: Measured<IdentityFacts>,
    /// Whether the provider would accept the claim, and if not its code.
    pub registration: Measured<()>,
    /// Whether the provider could call us back.
    pub call_back: Measured<()>,
}

/// All facts of a scan.
#[derive(Clone, Debug)]
pub struct Facts<'a> {
    /// Ours.
    pub local: &'a LocalFacts,
    /// Theirs.
    pub peer: &'a PeerFacts,
    /// When they were collected.
    pub now: Timestamp,
    /// Protocol versions this instance speaks.
    pub versions: &'a [u16],
}

/// Warn when the clocks differ by more than this.
pub const SKEW_WARNS: TimeDelta = TimeDelta::seconds(30);
/// Block when the clocks differ by more than this.
pub const SKEW_BLOCKS: TimeDelta = TimeDelta::seconds(120);
/// Warn when a certificate expires within this time.
pub const CERTIFICATE_WARNS: TimeDelta = TimeDelta::days(30);

/// Judges one check.
#[must_use]
pub fn judge(code: CheckCode, facts: &Facts<'_>) -> Answer {
    use CheckCode as C;
    match code {
        C::ProviderRecord
        | C::BaseUrlSet
        | C::ContactActive
        | C::ContactRole
        | C::ContactInCompany
        | C::ContactEmail
        | C::MailService
        | C::DuplicateRegistration
        | C::DuplicateConnection
        | C::StaleAttempts
        | C::KeyServiceHealth
        | C::RunningUserIsAdmin
        | C::ProviderCompanyChosen => judge_local(code, facts.local),
        C::PeerUrlSafe => measured(
            &facts.peer.url_safe,
            code,
            "Register a public https URL, or let an operator allow this network.",
            |()| Answer::Pass,
        ),
        C::PeerDns => {
            measured(&facts.peer.dns, code, "Correct the URL, or publish the name in DNS.", |_| Answer::Pass)
        }
        C::PeerTls => measured(
            &facts.peer.tls,
            code,
            "Install a valid certificate for the name on the other instance.",
            |expiry| tls(*expiry, facts.now),
        ),
        C::PeerIsLinkspan => measured(
            &facts.peer.identity,
            code,
            "Start Linkspan at the URL, or correct the URL.",
            |identity| {
                if identity.fingerprint_matches {
                    return Answer::Pass;
                }
                finding(
                    "The other instance's key is not the one that the link names.",
                    "fingerprint differs",
                    Remedy::Human(
                        "Do not go on. Ask the provider for a new link over a channel you trust.".to_owned(),
                    ),
                )
            },
        ),
        C::PeerVersion => {
            measured(&facts.peer.identity, code, "", |identity| versions(identity, facts.versions))
        }
        C::PeerIsNotUs => measured(&facts.peer.identity, code, "", |identity| {
            if !identity.is_us {
                return Answer::Pass;
            }
            finding(
                "The URL leads back to this very instance.",
                "same instance id",
                Remedy::Human("Enter the URL of the other organisation's instance.".to_owned()),
            )
        }),
        C::ClockSkew => measured(&facts.peer.identity, code, "", |identity| skew(identity.clock_offset)),
        C::RegistrationMatches => {
            measured(&facts.peer.registration, code, "Ask the provider for a new link.", |()| Answer::Pass)
        }
        C::CallBack => measured(
            &facts.peer.call_back,
            code,
            "Make this instance reachable for the provider at its base URL.",
            |()| Answer::Pass,
        ),
    }
}

fn judge_local(code: CheckCode, local: &LocalFacts) -> Answer {
    use CheckCode as C;
    let when = |good: bool, message: &str, evidence: String, remedy: Remedy| {
        if good { Answer::Pass } else { finding(message, &evidence, remedy) }
    };
    match code {
        C::ProviderRecord => when(
            local.provider_record,
            "This instance has no provider record, so nobody knows what they would connect to.",
            "none".to_owned(),
            call("saveProviderRecord", &[("name", "your-service".to_owned())]),
        ),
        C::BaseUrlSet => when(
            local.base_url,
            "This instance does not know the URL under which others reach it.",
            "base_url is empty".to_owned(),
            Remedy::Config {
                setting: "base_url".to_owned(),
                value: "https://your-instance.example.com".to_owned(),
            },
        ),
        C::ContactActive | C::ContactRole | C::ContactInCompany | C::ContactEmail => {
            judge_contact(code, local)
        }
        C::MailService => warn(when(
            local.mail_on,
            "Mail is switched off: you will have to pass the link on yourself.",
            "mail.transport is off".to_owned(),
            Remedy::Config { setting: "mail.transport".to_owned(), value: "smtp".to_owned() },
        )),
        C::DuplicateRegistration => when(
            local.other_registrations == 0,
            "Another unfinished registration exists for this company and environment, or for this URL.",
            format!("{} other", local.other_registrations),
            Remedy::Human("Finish or cancel the other registration.".to_owned()),
        ),
        C::DuplicateConnection => when(
            local.other_connections == 0,
            "A connection to this instance exists already.",
            format!("{} other", local.other_connections),
            Remedy::Human("Use the existing connection, or off-board it first.".to_owned()),
        ),
        C::StaleAttempts => when(
            local.stale_attempts == 0,
            "Something is left of an earlier attempt.",
            format!("{} left", local.stale_attempts),
            call("discardStaleAttempts", &[("subjectId", local.subject.id().to_string())]),
        ),
        C::KeyServiceHealth => match &local.key_service {
            Ok(None) => Answer::Pass,
            Ok(Some(degraded)) => warn(finding(
                "The key service works, but not as it should.",
                degraded,
                Remedy::Human("Ask a key manager to look at the key service's health.".to_owned()),
            )),
            Err(component) => finding(
                "The key service cannot do its work.",
                component,
                Remedy::Human("Ask a key manager to look at the key service's health.".to_owned()),
            ),
        },
        C::RunningUserIsAdmin => when(
            local.run_by_admin,
            "Whoever runs the checks is not an administrator of this instance.",
            "role missing".to_owned(),
            Remedy::Human("Sign in as an administrator, or ask one to connect.".to_owned()),
        ),
        C::ProviderCompanyChosen => when(
            local.company_chosen,
            "The provider company was not chosen.",
            "none".to_owned(),
            call("chooseProviderCompany", &[("connectionId", local.subject.id().to_string())]),
        ),
        _ => Answer::Error("not a local check".to_owned()),
    }
}

fn call(mutation: &str, variables: &[(&str, String)]) -> Remedy {
    Remedy::Call {
        mutation: mutation.to_owned(),
        variables: variables.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect(),
    }
}

fn judge_contact(code: CheckCode, local: &LocalFacts) -> Answer {
    use CheckCode as C;
    let contact = |test: fn(&ContactFacts) -> bool,
                   message: &str,
                   remedy: &dyn Fn(&ContactFacts) -> Remedy| match &local.contact {
        None => Answer::Error("the registration's contact could not be read".to_owned()),
        Some(contact) if test(contact) => Answer::Pass,
        Some(contact) => finding(message, &format!("user {}", contact.user), remedy(contact)),
    };
    match code {
        C::ContactActive => contact(|c| c.active, "The contact's account is switched off.", &|c| {
            call("updateContact", &[("userId", c.user.to_string()), ("active", "true".to_owned())])
        }),
        C::ContactRole => {
            contact(|c| c.has_role, "The contact does not hold the role consumer contact.", &|c| {
                call("grantRole", &[("userId", c.user.to_string()), ("role", "CONSUMER_CONTACT".to_owned())])
            })
        }
        C::ContactInCompany => contact(|c| c.in_company, "The contact belongs to another company.", &|_| {
            Remedy::Human("Choose a contact of the registration's company.".to_owned())
        }),
        C::ContactEmail => {
            // Only in production must the letter arrive; elsewhere the link can be shared by hand.
            let strict = local.environment == Environment::Production;
            match contact(
                |c| c.email_valid,
                "The contact's mail address is not one that letters can be sent to.",
                &|_| Remedy::Human("Correct the contact's mail address.".to_owned()),
            ) {
                Answer::Finding(finding) => Answer::Finding(Finding { blocking: strict, ..finding }),
                answer => answer,
            }
        }
        _ => Answer::Error("not a check of the contact".to_owned()),
    }
}

fn finding(message: &str, evidence: &str, remedy: Remedy) -> Answer {
    Answer::Finding(Finding {
        message: message.to_owned(),
        evidence: evidence.to_owned(),
        remedy,
        blocking: true,
    })
}

fn warn(answer: Answer) -> Answer {
    match answer {
        Answer::Finding(finding) => Answer::Finding(Finding { blocking: false, ..finding }),
        answer => answer,
    }
}

fn measured<T>(
    measure: &Measured<T>,
    code: CheckCode,
    remedy: &str,
    judge: impl FnOnce(&T) -> Answer,
) -> Answer {
    match measure {
        Ok(value) => judge(value),
        Err(Unmeasured::Failed { reason }) => {
            finding(&format!("No: {}", code.spec().asks), reason, Remedy::Human(remedy.to_owned()))
        }
        Err(Unmeasured::Blocked { by }) => Answer::Skipped(format!("“{}” comes first", by.label())),
        Err(Unmeasured::Broken { why }) => Answer::Error(why.clone()),
    }
}

fn tls(expiry: Option<Timestamp>, now: Timestamp) -> Answer {
    match expiry {
        None => Answer::Skipped("the instance is reached without TLS, which is allowed here".to_owned()),
        Some(expiry) if expiry - now > CERTIFICATE_WARNS => Answer::Pass,
        Some(expiry) => warn(finding(
            "The other instance's certificate expires soon.",
            &format!("expires {}", expiry.to_rfc3339()),
            Remedy::Human("Ask the other organisation to renew its certificate.".to_owned()),
        )),
    }
}

fn versions(identity: &IdentityFacts, ours: &[u16]) -> Answer {
    if identity.versions.iter().any(|version| ours.contains(version)) {
        return Answer::Pass;
    }
    finding(
        "The two instances have no protocol version in common.",
        &format!("we speak {ours:?}, they speak {:?} ({})", identity.versions, identity.software),
        Remedy::Human("Bring the older of the two instances up to date.".to_owned()),
    )
}

fn skew(offset: TimeDelta) -> Answer {
    let seconds = offset.abs();
    if seconds <= SKEW_WARNS {
        return Answer::Pass;
    }
    let answer = finding(
        "The two clocks differ too much.",
        &format!("{} s", offset.num_seconds()),
        Remedy::Human("Synchronise both machines' clocks (NTP).".to_owned()),
    );
    if seconds <= SKEW_BLOCKS { warn(answer) } else { answer }
}
