//! The enums of the schema: the domain's words with a description for each value. A word that is new in the
//! domain does not compile here until it is described.

use async_graphql::Enum;

macro_rules! mirror {
    ($(#[$meta:meta])* $name:ident of $domain:literal { $($(#[$vmeta:meta])* $variant:ident,)+ }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
        #[graphql(remote = $domain)]
        pub(in crate::graphql) enum $name { $($(#[$vmeta])* $variant,)+ }
    };
}

mod check;
mod key_access;
mod order;

pub(super) use check::*;
pub(super) use key_access::*;
pub(super) use order::*;

mirror! {
    /// What an instance is for.
    Environment of "crate::domain::registration::Environment" {
        /// Real work; letters need a valid address.
        Production,
        /// Test, development or demonstration.
        NonProduction,
    }
}

mirror! {
    /// What an account may do. Being administrator of the application grants none of the key roles.
    Role of "crate::domain::requester::Role" {
        /// Everything in the application.
        Admin,
        /// Registers, onboards and resolves; no users and no roles.
        Operator,
        /// Sees everything, changes nothing.
        Viewer,
        /// The named contact of another organisation: sees and approves what concerns its company.
        ConsumerContact,
        /// Grants key roles to others.
        KeyAdmin,
        /// Key modules, access policies and the life of keys.
        KeyManager,
        /// Rotates, renews and revokes keys.
        KeyOperator,
        /// Reads key metadata, policies, decisions and audit, never key material.
        KeyAuditor,
        /// Connects external key stores.
        KeyIntegrator,
    }
}

mirror! {
    /// Where a key module is in its life.
    KeyModuleState of "crate::domain::key_module::KeyModuleState" {
        /// Its specification can change; it has no keys.
        Draft,
        /// Its keys can be made and used; its specification is fixed.
        Published,
    }
}

mirror! {
    /// Where a key is in its life.
    KeyState of "crate::domain::key_module::KeyState" {
        /// Made, not yet in use.
        PreActive,
        /// In use.
        Active,
        /// Out of use for a while.
        Suspended,
        /// Replaced; it still opens and verifies what it made.
        Deactivated,
        /// Withdrawn for a reason; what it made can still be read, and each reading is recorded.
        Revoked,
        /// Believed known to others; read with only for a stated reason and with a second person's agreement.
        Compromised,
        /// The material is gone; the metadata stays.
        Destroyed,
    }
}

mirror! {
    /// How the key service, or a part of it, is.
    KeyHealthStatus of "crate::domain::key_health::KeyHealthStatus" {
        /// It works.
        Operational,
        /// It works, but someone should act. Onboarding goes on with a warning.
        Degraded,
        /// It does not work. Onboarding is blocked.
        Malfunction,
        /// It was not checked.
        Disabled,
    }
}

mirror! {
    /// Where a registration stands.
    RegistrationState of "crate::domain::registration::RegistrationState" {
        /// The checks are running.
        AwaitingValidation,
        /// A check blocks; there is no link. Goes on by itself when the last blocking issue is resolved.
        ValidationFailed,
        /// The link exists and can be claimed.
        Open,
        /// A consumer claimed the link; onboarding is under way.
        WorkInProgress,
        /// Both sides acknowledged completion. Final.
        ClosedComplete,
        /// Onboarding was abandoned and the link is no longer good; can be tried again.
        ClosedIncomplete,
        /// Nobody used the link in time; a new link can be made.
        Expired,
        /// An administrator called it off. Final.
        Cancelled,
    }
}

mirror! {
    /// How a registration link gets to the contact.
    LinkDelivery of "crate::domain::link::Delivery" {
        /// A letter was written to the contact.
        SentToContact,
        /// The letter did not go out, the last time that it was tried: the error log says why. Wait, or reissue the link and
        /// pass it on.
        Failed,
        /// Mail is off: copy the link and pass it on.
        ShareItYourself,
    }
}

mirror! {
    /// What this instance is in a connection.
    ConnectionRole of "crate::domain::connection::Part" {
        /// We registered them and offer the service.
        Provider,
        /// They registered us and we use the service.
        Consumer,
    }
}

mirror! {
    /// Where a connection stands. Independent of the status of its directions.
    ConnectionState of "crate::domain::connection::ConnectionState" {
        /// The link was opened; the provider company is to be chosen.
        Pending,
        /// The consumer's checks are running.
        AwaitingValidation,
        /// The checks passed; onboarding can be started within 15 minutes.
        Validated,
        /// A check blocks.
        ValidationFailed,
        /// The phases of onboarding run.
        Onboarding,
        /// Both sides hold the same keys and settings.
        Onboarded,
        /// Paused by an administrator.
        Suspended,
        /// Taken down here: nothing is exchanged any more. The other side is being told.
        Offboarding,
        /// Taken down for good. Final: the provider registers the consumer again to make another connection.
        Offboarded,
    }
}

mirror! {
    /// What a definition defines.
    DefinitionKind of "crate::domain::settings::DefinitionKind" {
        /// What consumers can send records with.
        RecordProducer,
        /// What tasks can be exchanged.
        TaskDefinition,
    }
}

mirror! {
    /// A question of a verification, in the order in which they are asked.
    VerificationStepName of "crate::domain::verification::VerificationStepName" {
        /// Does a sealed message from us come back unchanged?
        Send,
        /// Does a sealed message from them arrive when we ask for one?
        Receive,
        /// Do both sides hold the same keys?
        Keys,
        /// Do both sides hold the same settings?
        Settings,
        /// Does each side know which version the other runs?
        Versions,
    }
}

mirror! {
    /// Where a step of a verification stands.
    VerificationStepState of "crate::domain::verification::VerificationStepState" {
        /// Its turn has not come.
        Pending,
        /// It is being asked.
        Running,
        /// As it should be.
        Passed,
        /// Not as it should be.
        Failed,
        /// Not asked, because nothing comes through.
        Skipped,
    }
}

mirror! {
    /// Where a verification stands.
    VerificationState of "crate::domain::verification::VerificationState" {
        /// Its steps are being asked.
        Running,
        /// Every step passed.
        Passed,
        /// A step did not pass.
        Failed,
    }
}

mirror! {
    /// An activity of the guided set-up.
    ActivityName of "crate::domain::guided_setup::ActivityName" {
        /// Provider: say that this instance offers a service.
        ProviderRecord,
        /// Provider: enter the consumer's company, and the person there.
        #[graphql(name = "COMPANY_AND_CONTACT")]
        Contact,
        /// Provider: publish what consumers can use.
        #[graphql(name = "PUBLISH_DEFINITIONS")]
        Publish,
        /// Provider: register the consumer's instance.
        #[graphql(name = "REGISTER_CONSUMER")]
        Register,
        /// Consumer: open the link that the provider sent.
        OpenLink,
        /// Both: onboard.
        Connect,
        /// Consumer: choose what to take.
        #[graphql(name = "CONFIGURE_SETTINGS")]
        Configure,
        /// Both: send real messages both ways, and compare what both sides hold.
        #[graphql(name = "VERIFY_CONNECTION")]
        Verify,
    }
}

mirror! {
    /// Where an activity stands.
    ActivityState of "crate::domain::guided_setup::ActivityState" {
        /// Another activity comes first.
        Locked,
        /// It can be begun.
        Available,
        /// It was begun, or is done and not yet marked complete.
        InProgress,
        /// A person marked it complete.
        Completed,
    }
}

mirror! {
    /// Which way messages go.
    DirectionWay of "crate::domain::direction::Way" {
        /// We to them.
        Outbound,
        /// They to us.
        Inbound,
    }
}

mirror! {
    /// What the evidence says of a direction.
    DirectionStatus of "crate::domain::direction::DirectionStatus" {
        /// Begun, but no keys yet.
        NotOnboarded,
        /// Proven recently over the real path.
        Up,
        /// Proven, but slowly.
        Slow,
        /// Two misses in a row, or no proof for too long.
        Down,
        /// Paused on purpose.
        Suspended,
        /// The two sides see it differently.
        Disputed,
    }
}

mirror! {
    /// How long one part of a history is.
    HistoryBucketSize of "crate::domain::history::BucketSize" {
        /// An hour, on the hour (UTC).
        Hour,
        /// A day, from midnight to midnight (UTC).
        Day,
    }
}

mirror! {
    /// What the status of a connection depends on, in the order in which each needs the one before.
    StatusDependency of "crate::domain::explain::Dependency" {
        /// The connection is onboarded here, and not paused.
        Stands,
        /// This instance can work: its database answers, and nothing in it breaks.
        OurInstance,
        /// This instance's key service seals and opens.
        OurKeyService,
        /// The peer's name resolves to an address that may be called.
        PeerName,
        /// Somebody takes a connection at that address.
        PeerAddress,
        /// The peer's TLS certificate is valid and for that name.
        PeerCertificate,
        /// What answers speaks our protocol.
        PeerHttp,
        /// It is the instance that was onboarded.
        PeerIdentity,
        /// The two clocks agree to within two minutes.
        ClocksAgree,
        /// Both sides hold the same keys for the connection.
        KeysAgree,
        /// The peer's key service seals and opens.
        PeerKeyService,
        /// The connection is onboarded on the peer, and not paused there.
        PeerStands,
        /// The peer lets us send messages.
        PeerAllows,
        /// The peer's database takes what messages do.
        PeerDatabase,
        /// What the peer answers comes back to us.
        AnswersArrive,
        /// Answers come quickly enough.
        RoundTrip,
        /// The peer's messages reach us.
        PeerReachesUs,
        /// Both sides see the same.
        ViewsAgree,
    }
}

mirror! {
    /// What was tried when it failed.
    FailedOperation of "crate::domain::failure::Operation" {
        /// A direction was probed.
        Probe,
        /// A phase of onboarding.
        Phase,
        /// A message of the peer was taken.
        Receive,
        /// The settings were synced.
        Settings,
        /// A letter was sent.
        Letter,
        /// Another instance redeemed a registration link.
        Claim,
        /// The contact was asked to approve.
        Approval,
        /// The peer was told of a decision here, such as a pause.
        Notice,
        /// The service accounts of both sides were renewed.
        Credentials,
        /// The connection was verified, step by step.
        Verification,
        /// The peer was asked again who it is.
        Identity,
        /// Checks were run by their schedule.
        Checks,
    }
}

mirror! {
    /// An ordered step of onboarding.
    PhaseName of "crate::domain::attempt::PhaseName" {
        /// Redeem the link; the provider asks our origin to prove that it holds the claiming key.
        Claim,
        /// The named contact approves on the provider.
        AuthorizeContact,
        /// Ephemeral keys are exchanged, signed by both identities.
        ExchangeKeys,
        /// Both sides prove that they hold the same keys.
        ConfirmKeys,
        /// Each side makes the service account that the other will act as.
        CreateCredentials,
        /// A sealed message from us to them was answered.
        ActivateOutbound,
        /// A sealed message from them to us was answered.
        ActivateInbound,
        /// Both sides hold the same settings.
        SyncSettings,
        /// A payload went there and came back unchanged, both ways.
        EchoTest,
        /// Both sides acknowledged completion.
        Complete,
    }
}

mirror! {
    /// Where a phase stands.
    PhaseState of "crate::domain::attempt::PhaseState" {
        /// Its turn has not come.
        Pending,
        /// Under way.
        Running,
        /// Succeeded.
        Done,
        /// Failed; can be retried.
        Failed,
        /// Not needed.
        Skipped,
    }
}

mirror! {
    /// Where an onboarding attempt stands.
    AttemptState of "crate::domain::attempt::AttemptState" {
        /// Its phases run.
        Running,
        /// A phase failed: retry it, start over or cancel.
        Failed,
        /// All phases are done.
        Done,
        /// Undone: cancelled, started over, or past its deadline.
        Abandoned,
    }
}

mirror! {
    /// What a change is about.
    ChangeSubject of "crate::store::SubjectKind" {
        /// A registration.
        Registration,
        /// A connection.
        Connection,
        /// The phases of a connection's onboarding.
        Onboarding,
        /// A scan.
        Scan,
        /// An issue.
        Issue,
        /// A company.
        Company,
        /// A contact's or user's account.
        Account,
        /// A definition that this instance publishes as a provider.
        Definition,
        /// This instance's own set-up: its provider record, or an activity of the guided set-up that was marked complete.
        Setup,
        /// The health of this instance's key service: of the whole or of a part.
        KeyHealth,
        /// What the key service holds and who may use it: modules, keys, access policies, approvals, rotations. Told to
        /// whoever may read `keyModules`.
        Keys,
        /// How often a suite of checks runs by itself.
        CheckSchedule,
    }
}

/// Why an event is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
pub(super) enum ChangeKind {
    /// Nothing happened: this is the state from which the changes that follow go on.
    Present,
    /// It came into being.
    Created,
    /// It changed.
    Updated,
    /// It is gone.
    Deleted,
}

impl From<crate::store::ChangeKind> for ChangeKind {
    fn from(kind: crate::store::ChangeKind) -> Self {
        match kind {
            crate::store::ChangeKind::Created => Self::Created,
            crate::store::ChangeKind::Updated => Self::Updated,
            crate::store::ChangeKind::Deleted => Self::Deleted,
        }
    }
}

mirror! {
    /// The stable code of a refusal.
    RefusalCode of "crate::domain::refusal::RefusalCode" {
        /// No registration here answers to this link or URL; `reason` says why.
        NoMatchingRegistration,
        /// The link is not one of ours, or it is damaged.
        LinkInvalid,
        /// Two instances proved the same link; nobody goes on until the provider issues a new one.
        LinkContested,
        /// The person who signed in is not the contact named in the registration.
        ContactMismatch,
        /// The contact's account is switched off.
        ContactInactive,
        /// The contact, or whoever asks, belongs to another company.
        ContactNotInCompany,
        /// The requester lacks the role that this needs.
        NotAnAdministrator,
        /// Whoever asked does not answer it: somebody else with the role does.
        SecondPersonRequired,
        /// A person does this, who signed in; a program with an access token does not.
        PersonRequired,
        /// A connection to that instance exists already.
        DuplicateConnection,
        /// A registration that is not finished exists for that company and environment, or that URL.
        DuplicateRegistration,
        /// Something of that name exists already.
        Duplicate,
        /// This instance has no provider record yet.
        ProviderRecordMissing,
        /// The checks have not passed.
        NotValidated,
        /// The checks passed too long ago; they run again first.
        ValidationStale,
        /// Not possible in the present state.
        WrongState,
        /// The two instances have no protocol version in common.
        VersionUnsupported,
        /// The other instance could not be reached; `reason` says at which step.
        PeerUnreachable,
        /// The other instance said no; `reason` is its code.
        PeerRefused,
        /// The other instance answers, but cannot work now; `reason` says what it lacks.
        PeerUnavailable,
        /// The other instance is not who the link says it is.
        PeerIdentityMismatch,
        /// The two clocks differ too much.
        ClockSkew,
        /// The two sides did not arrive at the same keys.
        KeyConfirmationFailed,
        /// A key access policy forbids it.
        PolicyDenied,
        /// The key service cannot do its work; `reason` is the component.
        KeyServiceUnhealthy,
        /// Someone else changed it in the meantime: load it again, then repeat.
        Conflict,
        /// The idempotency key was used before with other input.
        IdempotencyConflict,
        /// Too many requests; try again later.
        RateLimited,
        /// The input has a fault; `field` says where.
        InvalidInput,
        /// There is no such thing, or it is not yours to see.
        NotFound,
        /// The named credentials are wrong, expired or used up.
        CredentialsInvalid,
        /// This needs credentials that were given within the last five minutes: `stepUp` first.
        StepUpRequired,
        /// The person at the other organisation said no.
        AuthorizationDenied,
        /// It took longer than it may.
        DeadlineExceeded,
        /// Mail is switched off here.
        MailOff,
        /// A letter did not leave; the reason says at what.
        MailFailed,
    }
}
