//! The expected "no": data for the caller, never an exception.

use super::check::Remedy;

words! {
    /// The stable code of a refusal.
    RefusalCode {
        /// No registration here answers to this link or URL; `reason` says why.
        NoMatchingRegistration = "NO_MATCHING_REGISTRATION", "No matching registration";
        /// The link is not one of ours, or it is damaged.
        LinkInvalid = "LINK_INVALID", "Link invalid";
        /// Two instances proved the same link; nobody goes on until the provider issues a new one.
        LinkContested = "LINK_CONTESTED", "Link contested";
        /// The person who signed in is not the contact named in the registration.
        ContactMismatch = "CONTACT_MISMATCH", "Contact mismatch";
        /// The contact's account is switched off.
        ContactInactive = "CONTACT_INACTIVE", "Contact inactive";
        /// The contact, or whoever asks, belongs to another company.
        ContactNotInCompany = "CONTACT_NOT_IN_COMPANY", "Contact not in company";
        /// Only an administrator of this instance may do this.
        NotAnAdministrator = "NOT_AN_ADMINISTRATOR", "Not an administrator";
        /// Whoever asked does not answer it: somebody else with the role does.
        SecondPersonRequired = "SECOND_PERSON_REQUIRED", "Second person required";
        /// A person does this, who signed in; a program with an access token does not.
        PersonRequired = "PERSON_REQUIRED", "Person required";
        /// A connection to that instance exists already.
        DuplicateConnection = "DUPLICATE_CONNECTION", "Duplicate connection";
        /// A registration that is not finished exists for that company and environment, or that URL.
        DuplicateRegistration = "DUPLICATE_REGISTRATION", "Duplicate registration";
        /// Something of that name exists already.
        Duplicate = "DUPLICATE", "Duplicate";
        /// This instance has no provider record yet.
        ProviderRecordMissing = "PROVIDER_RECORD_MISSING", "Provider record missing";
        /// The checks have not passed.
        NotValidated = "NOT_VALIDATED", "Not validated";
        /// The checks passed too long ago; they run again first.
        ValidationStale = "VALIDATION_STALE", "Validation stale";
        /// Not possible in the present state.
        WrongState = "WRONG_STATE", "Wrong state";
        /// The two instances have no protocol version in common.
        VersionUnsupported = "VERSION_UNSUPPORTED", "Version unsupported";
        /// The other instance could not be reached; `reason` says at which step.
        PeerUnreachable = "PEER_UNREACHABLE", "Peer unreachable";
        /// The other instance said no; `reason` is its code.
        PeerRefused = "PEER_REFUSED", "Peer refused";
        /// The other instance answers, but cannot work now; `reason` says what it lacks.
        PeerUnavailable = "PEER_UNAVAILABLE", "Peer unavailable";
        /// The other instance is not who the link says it is.
        PeerIdentityMismatch = "PEER_IDENTITY_MISMATCH", "Peer identity mismatch";
        /// The two clocks differ too much.
        ClockSkew = "CLOCK_SKEW", "Clock skew";
        /// The two sides did not arrive at the same keys.
        KeyConfirmationFailed = "KEY_CONFIRMATION_FAILED", "Key confirmation failed";
        /// A key access policy forbids it.
        PolicyDenied = "POLICY_DENIED", "Policy denied";
        /// The key service cannot do its work; `reason` is the component.
        KeyServiceUnhealthy = "KEY_SERVICE_UNHEALTHY", "Key service unhealthy";
        /// Someone else changed it in the meantime.
        Conflict = "CONFLICT", "Conflict";
        /// The idempotency key was used before with other input.
        IdempotencyConflict = "IDEMPOTENCY_CONFLICT", "Idempotency conflict";
        /// Too many requests; try again later.
        RateLimited = "RATE_LIMITED", "Rate limited";
        /// The input has a fault; `field` says where.
        InvalidInput = "INVALID_INPUT", "Invalid input";
        /// There is no such thing, or it is not yours to see.
        NotFound = "NOT_FOUND", "Not found";
        /// The named credentials are wrong, expired or used up.
        CredentialsInvalid = "CREDENTIALS_INVALID", "Credentials invalid";
        /// This needs credentials that were given within the last five minutes: `stepUp` first.
        StepUpRequired = "STEP_UP_REQUIRED", "Step-up required";
        /// The person at the other organisation said no.
        AuthorizationDenied = "AUTHORIZATION_DENIED", "Authorization denied";
        /// It took longer than it may.
        DeadlineExceeded = "DEADLINE_EXCEEDED", "Deadline exceeded";
        /// Mail is switched off here.
        MailOff = "MAIL_OFF", "Mail off";
        /// A letter did not leave.
        MailFailed = "MAIL_FAILED", "Mail failed";
    }
}

/// An expected "no", with everything a person or a program needs to go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Stable code.
    pub code: RefusalCode,
    /// One or two sentences: what happened, why, what to do.
    pub message: String,
    /// The input field at fault, as a path in the mutation's input.
    pub field: Option<String>,
    /// A finer, stable distinction within the code, for example `EXPIRED` or `TLS`.
    pub reason: Option<String>,
    /// What to do about it, for programs.
    pub remedy: Option<Box<Remedy>>,
}

impl Refusal {
    /// A refusal with a code and a message.
    pub fn new(code: RefusalCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), field: None, reason: None, remedy: None }
    }

    /// Says which input field is at fault.
    #[must_use]
    pub fn field(mut self, field: &str) -> Self {
        self.field = Some(field.to_owned());
        self
    }

    /// Adds a finer distinction.
    #[must_use]
    pub fn reason(mut self, reason: impl Into<String>) -> Self {
        self.reason = Some(reason.into());
        self
    }

    /// Adds what to do.
    #[must_use]
    pub fn remedy(mut self, remedy: Remedy) -> Self {
        self.remedy = Some(Box::new(remedy));
        self
    }

    /// There is no such thing, or the caller may not see it: the same answer for both.
    #[must_use]
    pub fn not_found(what: &str) -> Self {
        Self::new(RefusalCode::NotFound, format!("There is no such {what}, or it is not yours to see."))
    }

    /// The verb is not possible in this state.
    #[must_use]
    pub fn wrong_state(what: &str, is: &str, allowed: &[&str]) -> Self {
        let message =
            format!("The {what} is {is}; this is possible only when it is {}.", allowed.join(" or "));
        Self::new(RefusalCode::WrongState, message).reason(is)
    }

    /// An input field holds something it may not.
    #[must_use]
    pub fn invalid(field: &str, message: impl Into<String>) -> Self {
        Self::new(RefusalCode::InvalidInput, message).field(field)
    }

    /// Someone else changed it since it was read.
    #[must_use]
    pub fn conflict(what: &str) -> Self {
        let message =
            format!("The {what} was changed by someone else in the meantime. Load it again, then repeat.");
        Self::new(RefusalCode::Conflict, message)
    }
}
