//! Checks: one question each, judged from facts that others measured. The judging is pure, so that the same
//! facts always give the same answer.

use chrono::TimeDelta;

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
    /// A named set of checks.
    Suite {
        /// Before a registration opens, on the provider.
        PreOnboardingProvider = "PRE_ONBOARDING_PROVIDER", "Pre-onboarding (provider)";
        /// Before onboarding starts, on the consumer.
        PreOnboardingConsumer = "PRE_ONBOARDING_CONSUMER", "Pre-onboarding (consumer)";
    }
}

words! {
    /// The stable code of a check.
    CheckCode {
        /// Does this instance have a provider record?
        ProviderRecord = "PROVIDER_RECORD", "Provider record";
        /// Does this instance know its own base URL?
        BaseUrlSet = "BASE_URL_SET", "Base URL";
        /// Is the contact's account active?
        ContactActive = "CONTACT_ACTIVE", "Contact is active";
        /// Does the contact hold the consumer-contact role?
        ContactRole = "CONTACT_ROLE", "Contact's role";
        /// Does the contact belong to the company?
        ContactInCompany = "CONTACT_IN_COMPANY", "Contact's company";
        /// Has the contact a valid mail address?
        ContactEmail = "CONTACT_EMAIL", "Contact's mail address";
        /// Can letters be sent?
        MailService = "MAIL_SERVICE", "Mail service";
        /// Is there another unfinished registration for that company or URL?
        DuplicateRegistration = "DUPLICATE_REGISTRATION", "Duplicate registration";
        /// Is there a connection to that instance already?
        DuplicateConnection = "DUPLICATE_CONNECTION", "Duplicate connection";
        /// Did an earlier attempt leave something behind?
        StaleAttempts = "STALE_ATTEMPTS", "Stale attempts";
        /// Can the key service do its work?
        KeyServiceHealth = "KEY_SERVICE_HEALTH", "Key service health";
        /// May the other instance's URL be called at all?
        PeerUrlSafe = "PEER_URL_SAFE", "Peer's URL is safe";
        /// Does its name resolve?
        PeerDns = "PEER_DNS", "Peer's name resolves";
        /// Is its TLS certificate good, and for how long?
        PeerTls = "PEER_TLS", "Peer's TLS";
        /// Is it Linkspan, with a valid identity document?
        PeerIsLinkspan = "PEER_IS_LINKSPAN", "Peer is Linkspan";
        /// Does it speak a protocol version that we speak?
        PeerVersion = "PEER_VERSION", "Peer's version";
        /// Is it another instance than this one?
        PeerIsNotUs = "PEER_IS_NOT_US", "Peer is not us";
        /// Do the two clocks agree?
        ClockSkew = "CLOCK_SKEW", "Clock skew";
        /// Is whoever started the scan an administrator here?
        RunningUserIsAdmin = "RUNNING_USER_IS_ADMIN", "Running user is administrator";
        /// Was the provider company chosen?
        ProviderCompanyChosen = "PROVIDER_COMPANY_CHOSEN", "Provider company chosen";
        /// Will the provider accept this link from this URL?
        RegistrationMatches = "REGISTRATION_MATCHES", "Registration matches";
        /// Does the provider reach us at our base URL?
        CallBack = "CALL_BACK", "Call-back";
    }
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

/// What is fixed about a check.
#[derive(Clone, Copy, Debug)]
pub struct CheckSpec {
    /// Which one.
    pub code: CheckCode,
    /// How bad its findings are.
    pub severity: Severity,
    /// Whether its findings block, unless a finding says otherwise.
    pub blocking: bool,
    /// The most it may take.
    pub time_limit: TimeDelta,
    /// The question.
    pub asks: &'static str,
}

impl CheckCode {
    /// What is fixed about this check.
    #[must_use]
    pub const fn spec(self) -> CheckSpec {
        use CheckCode as C;
        use Severity::{Critical, High, Low, Moderate};
        let (severity, blocking, asks) = match self {
            C::ProviderRecord => (Critical, true, "Does this instance have a provider record?"),
            C::BaseUrlSet => (Critical, true, "Does this instance know the URL under which others reach it?"),
            C::ContactActive => (High, true, "Is the contact's account active?"),
            C::ContactRole => (High, true, "Does the contact hold the role consumer contact?"),
            C::ContactInCompany => (High, true, "Does the contact belong to the company?"),
            C::ContactEmail => (High, true, "Has the contact a mail address that letters can be sent to?"),
            C::MailService => (Low, false, "Is mail switched on, so that the link goes out by itself?"),
            C::DuplicateRegistration => {
                (High, true, "Is this the only unfinished registration for its company and URL?")
            }
            C::DuplicateConnection => (High, true, "Is there no connection to that instance yet?"),
            C::StaleAttempts => (Moderate, true, "Is nothing left of earlier attempts?"),
            C::KeyServiceHealth => (Critical, true, "Can the key service do its work?"),
            C::PeerUrlSafe => (High, true, "Is the other instance's URL one that may be called?"),
            C::PeerDns => (High, true, "Does the other instance's name resolve?"),
            C::PeerTls => {
                (High, true, "Is the other instance's TLS certificate valid, and for 30 days more?")
            }
            C::PeerIsLinkspan => (High, true, "Does a Linkspan with a valid identity answer at the URL?"),
            C::PeerVersion => (High, true, "Do both instances speak a common protocol version?"),
            C::PeerIsNotUs => (High, true, "Is the other instance another one than this?"),
            C::ClockSkew => (High, true, "Do the two clocks agree to within 30 seconds?"),
            C::RunningUserIsAdmin => (High, true, "Is whoever runs this an administrator of this instance?"),
            C::ProviderCompanyChosen => (Moderate, true, "Was the provider company chosen?"),
            C::RegistrationMatches => (High, true, "Will the provider accept this link from this instance?"),
            C::CallBack => (High, true, "Does the provider reach this instance at its base URL?"),
        };
        CheckSpec { code: self, severity, blocking, time_limit: TimeDelta::seconds(20), asks }
    }

    /// Where the check's documentation is served.
    #[must_use]
    pub fn docs_path(self) -> String {
        format!("/docs/checks/{}", self.as_str().to_ascii_lowercase().replace('_', "-"))
    }
}

impl Suite {
    /// The suite's checks, in the order in which a person would ask.
    #[must_use]
    pub const fn checks(self) -> &'static [CheckCode] {
        use CheckCode as C;
        match self {
            Self::PreOnboardingProvider => &[
                C::ProviderRecord,
                C::BaseUrlSet,
                C::ContactActive,
                C::ContactRole,
                C::ContactInCompany,
                C::ContactEmail,
                C::MailService,
                C::DuplicateRegistration,
                C::DuplicateConnection,
                C::StaleAttempts,
                C::KeyServiceHealth,
                C::PeerUrlSafe,
                C::PeerDns,
                C::PeerTls,
                C::PeerIsLinkspan,
                C::PeerVersion,
                C::PeerIsNotUs,
                C::ClockSkew,
            ],
            Self::PreOnboardingConsumer => &[
                C::RunningUserIsAdmin,
                C::ProviderCompanyChosen,
                C::BaseUrlSet,
                C::DuplicateConnection,
                C::StaleAttempts,
                C::KeyServiceHealth,
                C::PeerUrlSafe,
                C::PeerDns,
                C::PeerTls,
                C::PeerIsLinkspan,
                C::PeerVersion,
                C::PeerIsNotUs,
                C::ClockSkew,
                C::RegistrationMatches,
                C::CallBack,
            ],
        }
    }
}
