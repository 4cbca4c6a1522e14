//! The enums of checks, scans and issues.

use async_graphql::Enum;

mirror! {
    /// How bad a finding is.
    Severity of "crate::domain::check::Severity" {
        /// Nothing works.
        Critical,
        /// Something that matters does not work.
        High,
        /// It works, but not as it should.
        Moderate,
        /// Worth knowing.
        Low,
    }
}

mirror! {
    /// On which side of a connection a check is asked.
    CheckSide of "crate::domain::check::Side" {
        /// On the provider only.
        Provider,
        /// On the consumer only.
        Consumer,
        /// On either.
        Both,
    }
}

mirror! {
    /// A named set of checks.
    SuiteCode of "crate::domain::check::Suite" {
        /// Before a registration opens, on the provider.
        PreOnboardingProvider,
        /// Before onboarding starts, on the consumer.
        PreOnboardingConsumer,
        /// Right after onboarding, by itself, and on demand.
        PostOnboarding,
        /// For as long as a connection stands, on a schedule and on demand.
        ConnectionHealth,
        /// The key service of this instance, on a schedule and on demand.
        KeyService,
    }
}

mirror! {
    /// The stable code of a check: one question.
    CheckCode of "crate::domain::check::CheckCode" {
        /// Does this instance have a provider record?
        ProviderRecord,
        /// Does this instance know the URL under which others reach it?
        BaseUrlSet,
        /// Is the contact's account active?
        ContactActive,
        /// Does the contact hold the role consumer contact?
        ContactRole,
        /// Does the contact belong to the registration's company?
        ContactInCompany,
        /// Has the contact an email address that letters can be sent to?
        ContactEmail,
        /// Is mail switched on, so that the link goes out by itself?
        MailService,
        /// Is this the only unfinished registration for its company and URL?
        DuplicateRegistration,
        /// Is there no connection to that instance yet?
        DuplicateConnection,
        /// Is nothing left of earlier attempts?
        StaleAttempts,
        /// Can the key service do its work?
        KeyServiceHealth,
        /// May the services that onboarding needs use the key modules that it needs?
        KeyAccessPolicy,
        /// Is the other instance's URL one that may be called?
        PeerUrlSafe,
        /// Does the other instance's name resolve?
        PeerDns,
        /// Is the other instance's TLS certificate valid, and for 30 days more?
        PeerTls,
        /// Does a Linkspan with a valid identity answer at the URL?
        PeerIsLinkspan,
        /// Do both instances speak a common protocol version?
        PeerVersion,
        /// Is the other instance another one than this?
        PeerIsNotUs,
        /// Do the two clocks agree to within 30 seconds?
        ClockSkew,
        /// Is whoever runs this an administrator of this instance?
        RunningUserIsAdmin,
        /// Was the provider company chosen?
        ProviderCompanyChosen,
        /// Will the provider accept this link from this instance?
        RegistrationMatches,
        /// Does the provider reach this instance at its base URL?
        CallBack,
        /// Does what we send come back from the other side as it was sent?
        EchoOutbound,
        /// Does what the other side sends reach us?
        EchoInbound,
        /// Do both sides hold the same keys of the connection?
        KeysAgree,
        /// Do both sides hold the same settings?
        SettingsAgree,
        /// Does each side know which version the other runs?
        VersionsKnown,
        /// Is the service account good for 14 days more?
        CredentialRenews,
        /// May the other side's service account do what it needs, and nothing else?
        ServiceAccountLeastPrivilege,
        /// Is nothing left of onboarding that is not needed any more?
        NoLeftovers,
        /// Are both directions up?
        DirectionsUp,
        /// Do both sides see the same of both directions?
        ViewsAgree,
        /// Are the keys of the connection younger than 90 days?
        KeyAge,
        /// Is the other instance's certificate good for 30 days more?
        CertificateAge,
        /// Is all work about this connection carried out?
        QueueMoving,
        /// Does the key service's process answer?
        Process,
        /// Does the root key open the key hierarchy?
        RootKey,
        /// Can key material be wrapped and unwrapped?
        KeyEncryptionKey,
        /// Is every key on record as the key service wrote it?
        IntegrityKey,
        /// Does the identity key sign?
        IdentitySigningKey,
        /// Does the source of randomness deliver?
        Entropy,
        /// Does every primitive compute the answers that its standard gives?
        KnownAnswers,
        /// Is the clock not behind its own past?
        Clock,
        /// Does the policy engine decide as it must?
        PolicyEngine,
        /// Is the chain of audit entries unbroken?
        AuditChain,
        /// Were all keys rotated that were due?
        RotationSchedule,
        /// Does every key module do what it is for?
        ModuleSelfTest,
    }
}

mirror! {
    /// Where a scan stands.
    ScanState of "crate::domain::scan::ScanState" {
        /// Waiting for its turn.
        Queued,
        /// Its checks run.
        Running,
        /// All checks answered, none blocks.
        Passed,
        /// A check blocks, or broke.
        Failed,
        /// Overtaken or called off.
        Cancelled,
    }
}

mirror! {
    /// Where an issue stands.
    IssueState of "crate::domain::issue::IssueState" {
        /// Somebody has to do something.
        Open,
        /// A later look found it mended.
        Resolved,
        /// What it was about ended, so that nobody has to do anything any more.
        Closed,
    }
}

mirror! {
    /// How somebody hears of issues.
    IssueMail of "crate::domain::issue::IssueMail" {
        /// A letter at once, about what blocks and what is high or critical.
        Immediate,
        /// One letter a day, about everything that is open.
        Digest,
        /// No letters.
        None,
    }
}

/// In which order issues are listed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Enum)]
#[graphql(remote = "crate::store::IssueOrder")]
pub(in crate::graphql) enum IssueOrder {
    /// Raised last first.
    #[default]
    Newest,
    /// Seen last first.
    LastSeen,
    /// Worst first.
    Severity,
}

/// What a check answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
pub(in crate::graphql) enum CheckAnswer {
    /// As it should be.
    Pass,
    /// Not as it should be.
    Finding,
    /// The check itself broke: never a pass.
    Error,
    /// Not asked; the message says why.
    Skipped,
}

impl CheckAnswer {
    /// The words for people.
    pub(in crate::graphql) const fn label(self) -> &'static str {
        match self {
            Self::Pass => "Pass",
            Self::Finding => "Finding",
            Self::Error => "Error",
            Self::Skipped => "Skipped",
        }
    }
}

/// Which kind of thing mends a finding or refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
pub(in crate::graphql) enum RemedyKind {
    /// Call a mutation with the given variables.
    Call,
    /// Change a setting of the instance.
    Config,
    /// Something only a person can do.
    Human,
}
