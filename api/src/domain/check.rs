//! Checks: one question each, judged from facts that others measured. The judging is pure, so that the same
//! facts always give the same answer.

mod catalogue;

use chrono::TimeDelta;

pub use catalogue::CheckCode;

words! {
    /// How bad a finding is.
    Severity {
        /// Nothing works.
        Critical = "CRITICAL", "Critical";
        /// Something that matters does not work.
        High = "HIGH", "High";
        /// It works, but not as it should.
        Moderate = "MODERATE", "Moderate";
        /// Worth knowing.
        Low = "LOW", "Low";
    }
}

words! {
    /// On which side of a connection a check is asked.
    Side {
        /// On the provider only.
        Provider = "PROVIDER", "Provider";
        /// On the consumer only.
        Consumer = "CONSUMER", "Consumer";
        /// On either.
        Both = "BOTH", "Both";
    }
}

words! {
    /// A named set of checks.
    Suite {
        /// Before a registration opens, on the provider.
        PreOnboardingProvider = "PRE_ONBOARDING_PROVIDER", "Pre-onboarding (provider)";
        /// Before onboarding starts, on the consumer.
        PreOnboardingConsumer = "PRE_ONBOARDING_CONSUMER", "Pre-onboarding (consumer)";
        /// Right after onboarding, by itself, and on demand.
        PostOnboarding = "POST_ONBOARDING", "Post-onboarding";
        /// For as long as a connection stands, on a schedule and on demand.
        ConnectionHealth = "CONNECTION_HEALTH", "Connection health";
        /// The key service of this instance, on a schedule and on demand.
        KeyService = "KEY_SERVICE", "Key service";
    }
}

/// Whether a check's findings stop what comes next.
enum Weight {
    Blocks,
    Warns,
}

/// What to do about a finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// Call this mutation with these input variables.
    Call { mutation: String, variables: Vec<(String, String)> },
    /// Change this setting of the instance.
    Config { setting: String, value: String },
    /// Something only a person can do.
    Human(String),
}

impl Remedy {
    /// A call of a mutation of this instance.
    #[must_use]
    pub fn call(mutation: &str, variables: &[(&str, String)]) -> Self {
        Self::Call {
            mutation: mutation.to_owned(),
            variables: variables.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect(),
        }
    }

    /// Something only a person can do.
    #[must_use]
    pub fn human(text: &str) -> Self {
        Self::Human(text.to_owned())
    }
}

/// A check's bad answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What is wrong, for people.
    pub message: String,
    /// What was seen.
    pub evidence: String,
    /// What to do about it.
    pub remedy: Remedy,
    /// Whether it blocks: a check that blocks may also only warn.
    pub blocking: bool,
}

impl Finding {
    /// What a check raises that could not be carried out: somebody has to look, and nothing passes meanwhile.
    #[must_use]
    pub fn broken(code: CheckCode, why: &str) -> Self {
        Self {
            message: format!("The check “{}” could not be carried out.", code.label()),
            evidence: why.to_owned(),
            remedy: Remedy::human("Validate again. If it stays, look at this instance's log."),
            blocking: true,
        }
    }
}

/// A check's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// As it should be.
    Pass,
    /// Not as it should be.
    Finding(Finding),
    /// The check itself broke: never a pass.
    Error(String),
    /// Not asked, and why.
    Skipped(String),
}

impl Answer {
    /// A finding that weighs what its check says.
    #[must_use]
    pub fn found(code: CheckCode, message: &str, evidence: &str, remedy: Remedy) -> Self {
        Self::Finding(Finding {
            message: message.to_owned(),
            evidence: evidence.to_owned(),
            remedy,
            blocking: code.spec().blocking,
        })
    }

    /// The same, as a warning at most.
    #[must_use]
    pub fn warning(self) -> Self {
        match self {
            Self::Finding(finding) => Self::Finding(Finding { blocking: false, ..finding }),
            answer => answer,
        }
    }

    /// Whether it stops what comes next: a check that broke does, whatever it would have found.
    #[must_use]
    pub const fn blocks(&self) -> bool {
        match self {
            Self::Finding(finding) => finding.blocking,
            Self::Error(_) => true,
            Self::Pass | Self::Skipped(_) => false,
        }
    }
}

/// What is fixed about a check.
#[derive(Clone, Copy, Debug)]
pub struct CheckSpec {
    /// Which one.
    pub code: CheckCode,
    /// Where it is asked.
    pub side: Side,
    /// How bad its findings are.
    pub severity: Severity,
    /// Whether its findings block, unless a finding says otherwise.
    pub blocking: bool,
    /// The most it may take.
    pub time_limit: TimeDelta,
    /// The question.
    pub asks: &'static str,
    /// What to do about its findings, step by step.
    pub mend: &'static [&'static str],
}

impl CheckCode {
    /// Where the check's documentation is served.
    #[must_use]
    pub fn docs_path(self) -> String {
        format!("/docs/checks/{}", self.as_str())
    }

    /// The suites that ask it.
    pub fn suites(self) -> impl Iterator<Item = Suite> {
        Suite::ALL.iter().copied().filter(move |suite| suite.checks().contains(&self))
    }
}

impl Suite {
    /// The suite's checks, in the order in which a person would ask.
    #[must_use]
    pub const fn checks(self) -> &'static [CheckCode] {
        match self {
            Self::PreOnboardingProvider => PRE_ONBOARDING_PROVIDER,
            Self::PreOnboardingConsumer => PRE_ONBOARDING_CONSUMER,
            Self::PostOnboarding => POST_ONBOARDING,
            Self::ConnectionHealth => CONNECTION_HEALTH,
            Self::KeyService => KEY_SERVICE,
        }
    }

    /// Whether its outcome decides whether a registration or connection goes on.
    #[must_use]
    pub const fn decides(self) -> bool {
        matches!(self, Self::PreOnboardingProvider | Self::PreOnboardingConsumer)
    }
}

const PRE_ONBOARDING_PROVIDER: &[CheckCode] = &[
    CheckCode::ProviderRecord,
    CheckCode::BaseUrlSet,
    CheckCode::ContactActive,
    CheckCode::ContactRole,
    CheckCode::ContactInCompany,
    CheckCode::ContactEmail,
    CheckCode::MailService,
    CheckCode::DuplicateRegistration,
    CheckCode::DuplicateConnection,
    CheckCode::StaleAttempts,
    CheckCode::KeyServiceHealth,
    CheckCode::KeyAccessPolicy,
    CheckCode::PeerUrlSafe,
    CheckCode::PeerDns,
    CheckCode::PeerTls,
    CheckCode::PeerIsLinkspan,
    CheckCode::PeerVersion,
    CheckCode::PeerIsNotUs,
    CheckCode::ClockSkew,
];

const PRE_ONBOARDING_CONSUMER: &[CheckCode] = &[
    CheckCode::RunningUserIsAdmin,
    CheckCode::ProviderCompanyChosen,
    CheckCode::BaseUrlSet,
    CheckCode::DuplicateConnection,
    CheckCode::StaleAttempts,
    CheckCode::KeyServiceHealth,
    CheckCode::KeyAccessPolicy,
    CheckCode::PeerUrlSafe,
    CheckCode::PeerDns,
    CheckCode::PeerTls,
    CheckCode::PeerIsLinkspan,
    CheckCode::PeerVersion,
    CheckCode::PeerIsNotUs,
    CheckCode::ClockSkew,
    CheckCode::RegistrationMatches,
    CheckCode::CallBack,
];

const POST_ONBOARDING: &[CheckCode] = &[
    CheckCode::EchoOutbound,
    CheckCode::EchoInbound,
    CheckCode::KeysAgree,
    CheckCode::SettingsAgree,
    CheckCode::VersionsKnown,
    CheckCode::CredentialRenews,
    CheckCode::ServiceAccountLeastPrivilege,
    CheckCode::NoLeftovers,
];

const CONNECTION_HEALTH: &[CheckCode] = &[
    CheckCode::DirectionsUp,
    CheckCode::ViewsAgree,
    CheckCode::KeyAge,
    CheckCode::CertificateAge,
    CheckCode::QueueMoving,
    CheckCode::ClockSkew,
    CheckCode::SettingsAgree,
];

const KEY_SERVICE: &[CheckCode] = &[
    CheckCode::Process,
    CheckCode::RootKey,
    CheckCode::KeyEncryptionKey,
    CheckCode::IntegrityKey,
    CheckCode::IdentitySigningKey,
    CheckCode::Entropy,
    CheckCode::KnownAnswers,
    CheckCode::Clock,
    CheckCode::PolicyEngine,
    CheckCode::AuditChain,
    CheckCode::RotationSchedule,
    CheckCode::ModuleSelfTest,
];
