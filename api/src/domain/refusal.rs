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

impl RefusalCode {
    /// What a person can do about it, one step after the other; never nothing. Read below a refusal's message, too, so that it
    /// says nothing that only its documentation's reader sees.
    #[must_use]
    pub const fn what_to_do(self) -> &'static [&'static str] {
        match self {
            Self::NoMatchingRegistration => &[
                "Use the link of the latest letter. If there is none, ask the provider for a new link, or whether the link \
                   was made for this instance.",
            ],
            Self::LinkInvalid => &["Copy the whole link again from the letter, up to its last character."],
            Self::LinkContested => &[
                "The provider must find out who else holds the link.",
                "Then the provider makes a new link; the one before stays void.",
            ],
            Self::ContactMismatch => &[
                "Sign in as the contact named in the registration.",
                "Or ask the provider to name another contact.",
            ],
            Self::ContactInactive => {
                &["Ask the provider to switch the contact's account on, or to name another contact."]
            }
            Self::ContactNotInCompany => &["Choose a contact of the registration's company."],
            Self::NotAnAdministrator => {
                &["Ask an administrator of this instance to do it, or to grant you the role."]
            }
            Self::SecondPersonRequired => &["Ask another person with the role to answer it."],
            Self::PersonRequired => &["Sign in with the browser, and do it there yourself."],
            Self::DuplicateConnection => &["Use the connection that exists, or end it first."],
            Self::DuplicateRegistration => &["Finish or cancel the other registration first."],
            Self::Duplicate => &["Choose another name, or use what exists."],
            Self::ProviderRecordMissing => &["An administrator saves the provider record; then repeat."],
            Self::NotValidated => &["Run the checks, and mend what they find."],
            Self::ValidationStale => &["Wait: the checks run again by themselves.", "Then repeat."],
            Self::WrongState => &["Load it again: it shows its present state, and what can be done in it."],
            Self::VersionUnsupported => &["Update the older of the two instances."],
            Self::PeerUnreachable => {
                &["Look at the reason: it names the step that failed.", "Ask the other side's operator."]
            }
            Self::PeerRefused => &[
                "The reason is the other side's code: look it up in the documentation, or ask its operator.",
            ],
            Self::PeerUnavailable => &[
                "Wait: it comes back by itself.",
                "Otherwise ask the other side's operator to look at what the reason names.",
            ],
            Self::PeerIdentityMismatch => &[
                "Go no further: whoever answers is not who is expected.",
                "Compare the fingerprints with the other side by telephone.",
            ],
            Self::ClockSkew => &["Synchronise both clocks (NTP), then repeat."],
            Self::KeyConfirmationFailed => {
                &["Start over. If it fails again, tell both operators: somebody may be between."]
            }
            Self::PolicyDenied => &["Ask a key manager: they keep the access policies."],
            Self::KeyServiceUnhealthy => {
                &["Ask the operator to look at the component that the reason names."]
            }
            Self::Conflict => &["Load it again, then repeat your change."],
            Self::IdempotencyConflict => &["Use a fresh key for another request."],
            Self::RateLimited => &["Wait as long as it says, then repeat."],
            Self::InvalidInput => &["Correct what it names, then repeat."],
            Self::NotFound => {
                &["Check the address or id.", "If it is right, ask an administrator whether you may see it."]
            }
            Self::CredentialsInvalid => {
                &["Give the right ones. If you have none, an administrator can give you fresh ones."]
            }
            Self::StepUpRequired => {
                &["Give your password (stepUp), or the code of a letter (requestStepUpCode), then repeat it."]
            }
            Self::AuthorizationDenied => &["Speak with the contact before it is tried again."],
            Self::DeadlineExceeded => &["Retry it, or start over."],
            Self::MailFailed => &[
                "Do what the entry of the error log says; letters that can still leave are sent by themselves.",
            ],
            Self::MailOff => &["Use another way, or ask the operator to switch mail on."],
        }
    }

    /// The same as one text.
    #[must_use]
    pub fn remedy(self) -> Remedy {
        Remedy::Human(self.what_to_do().join(" "))
    }
}

/// An expected "no", with everything a person or a program needs to go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Stable code.
    pub code: RefusalCode,
    /// One or two sentences: what happened, and why.
    pub message: String,
    /// The input field at fault, as a path in the mutation's input.
    pub field: Option<String>,
    /// A finer, stable distinction within the code, for example `EXPIRED` or `TLS`.
    pub reason: Option<String>,
    /// What to do about it, where more can be said than by the code.
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
        Self::new(RefusalCode::Conflict, format!("The {what} was changed by someone else in the meantime."))
    }

    /// What to do about it: its own remedy, or that of its code.
    #[must_use]
    pub fn what_to_do(&self) -> Remedy {
        self.remedy.as_deref().cloned().unwrap_or_else(|| self.code.remedy())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_says_what_to_do_in_whole_sentences() {
        for code in RefusalCode::ALL {
            let Remedy::Human(text) = Refusal::new(*code, "No.").what_to_do() else { panic!("{code}") };
            assert!(text.ends_with('.') && text.starts_with(char::is_uppercase), "{code}: {text:?}");
            assert!(!text.contains('`'), "{code} is read by people: {text}");
        }
    }

    #[test]
    fn a_refusals_own_remedy_comes_before_that_of_its_code() {
        let remedy = Remedy::human("Ask somebody else.");
        let refusal = Refusal::not_found("thing").remedy(remedy.clone());
        assert_eq!(refusal.what_to_do(), remedy);
    }
}
