//! Registration: the provider's wish to connect one consumer instance, from saving it to *Closed Complete*.

use super::Timestamp;
use super::effect::{Effect, Step};
use super::id::{CompanyId, ConnectionId, LinkId, RegistrationId, ScanId, UserId};
use super::link::{Delivery, Link};
use super::origin::Origin;
use super::refusal::{Refusal, RefusalCode};

words! {
    /// What an instance is for.
    Environment {
        /// Real work; letters need a valid address.
        Production = "PRODUCTION", "Production";
        /// Test, development, demonstration.
        NonProduction = "NON_PRODUCTION", "Non-production";
    }
}

words! {
    /// The state of a registration, without what it carries.
    RegistrationState {
        /// The pre-onboarding suite is running.
        AwaitingValidation = "AWAITING_VALIDATION", "Awaiting Validation";
        /// A check blocks; there is no link.
        ValidationFailed = "VALIDATION_FAILED", "Validation Failed";
        /// The link exists and can be claimed.
        Open = "OPEN", "Open";
        /// A consumer claimed the link; onboarding is under way.
        WorkInProgress = "WORK_IN_PROGRESS", "Work in Progress";
        /// Both sides acknowledged completion.
        ClosedComplete = "CLOSED_COMPLETE", "Closed Complete";
        /// Onboarding was abandoned and the link is no longer good.
        ClosedIncomplete = "CLOSED_INCOMPLETE", "Closed Incomplete";
        /// Nobody used the link in time.
        Expired = "EXPIRED", "Expired";
        /// An administrator called it off.
        Cancelled = "CANCELLED", "Cancelled";
    }
}

impl RegistrationState {
    /// Whether nothing leads out of this state.
    #[must_use]
    pub const fn is_final(self) -> bool {
        matches!(self, Self::ClosedComplete | Self::Cancelled)
    }
}

words! {
    /// What can be done with a registration.
    RegistrationVerb {
        /// Run the checks again.
        Revalidate = "revalidateRegistration", "Run the checks again";
        /// Change the contact or the URL.
        Update = "updateRegistration", "Change contact or URL";
        /// Make a new link; the one before is void.
        Reissue = "reissueRegistrationLink", "Make a new link";
        /// Try again after it was closed incomplete.
        Retry = "retryRegistration", "Try again";
        /// Call it off.
        Cancel = "cancelRegistration", "Cancel";
    }
}

/// The state, with exactly what is true in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// The scan that decides.
    AwaitingValidation { scan: Option<ScanId> },
    /// Why there is no link yet.
    ValidationFailed { scan: ScanId, banner: String },
    /// The link that can be claimed.
    Open { link: Link },
    /// The link that was claimed, and the connection that came of it.
    WorkInProgress { link: Link, connection: ConnectionId },
    /// The connection that stands.
    ClosedComplete { connection: ConnectionId, at: Timestamp },
    /// Why it ended.
    ClosedIncomplete { reason: String },
    /// When the link's time was over.
    Expired { at: Timestamp },
    /// When it was called off.
    Cancelled { at: Timestamp },
}

impl State {
    /// The state's name.
    #[must_use]
    pub const fn name(&self) -> RegistrationState {
        match self {
            Self::AwaitingValidation { .. } => RegistrationState::AwaitingValidation,
            Self::ValidationFailed { .. } => RegistrationState::ValidationFailed,
            Self::Open { .. } => RegistrationState::Open,
            Self::WorkInProgress { .. } => RegistrationState::WorkInProgress,
            Self::ClosedComplete { .. } => RegistrationState::ClosedComplete,
            Self::ClosedIncomplete { .. } => RegistrationState::ClosedIncomplete,
            Self::Expired { .. } => RegistrationState::Expired,
            Self::Cancelled { .. } => RegistrationState::Cancelled,
        }
    }

    /// The link, where one exists.
    #[must_use]
    pub const fn link(&self) -> Option<&Link> {
        match self {
            Self::Open { link } | Self::WorkInProgress { link, .. } => Some(link),
            Self::AwaitingValidation { .. }
            | Self::ValidationFailed { .. }
            | Self::ClosedComplete { .. }
            | Self::ClosedIncomplete { .. }
            | Self::Expired { .. }
            | Self::Cancelled { .. } => None,
        }
    }
}

/// A registration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registration {
    /// Who it is.
    pub id: RegistrationId,
    /// The number people use, see [`Registration::label`].
    pub number: i64,
    /// The organisation to connect.
    pub company: CompanyId,
    /// The person there who approves.
    pub contact: UserId,
    /// The consumer's instance.
    pub origin: Origin,
    /// What that instance is for.
    pub environment: Environment,
    /// Who saved it.
    pub created_by: UserId,
    /// When it was saved.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// Grows by one with every change.
    pub revision: i64,
    /// The highest attempt number a consumer ever used with it; never goes down (KX/1, section 2).
    pub last_attempt: i64,
    /// Where it stands.
    pub state: State,
}

impl Registration {
    /// The letter with this link went out, or did not; none when that is known, or the link is not its any more.
    #[must_use]
    pub fn delivered(mut self, id: LinkId, delivery: Delivery) -> Option<Self> {
        match &mut self.state {
            State::Open { link } | State::WorkInProgress { link, .. }
                if link.id == id && link.delivery != delivery =>
            {
                link.delivery = delivery;
                Some(self)
            }
            _ => None,
        }
    }

    /// `REG-000001`.
    #[must_use]
    pub fn label(&self) -> String {
        format!("REG-{:06}", self.number)
    }

    /// Whether it came to an end. What was closed incomplete may be tried again, from its beginning.
    #[must_use]
    pub const fn has_ended(&self) -> bool {
        match self.state {
            State::ClosedComplete { .. } | State::ClosedIncomplete { .. } | State::Cancelled { .. } => true,
            State::AwaitingValidation { .. }
            | State::ValidationFailed { .. }
            | State::Open { .. }
            | State::WorkInProgress { .. }
            | State::Expired { .. } => false,
        }
    }

    /// What can be done now, and why not.
    ///
    /// # Errors
    /// `WRONG_STATE`, which says where it stands and where the verb is possible.
    pub fn allows(&self, verb: RegistrationVerb) -> Result<(), Refusal> {
        use RegistrationState as S;
        let allowed: &[S] = match verb {
            RegistrationVerb::Revalidate => &[S::ValidationFailed],
            RegistrationVerb::Update => &[S::ValidationFailed, S::Open],
            RegistrationVerb::Reissue => &[S::Open, S::Expired],
            RegistrationVerb::Retry => &[S::ClosedIncomplete],
            RegistrationVerb::Cancel => &[
                S::AwaitingValidation,
                S::ValidationFailed,
                S::Open,
                S::WorkInProgress,
                S::ClosedIncomplete,
                S::Expired,
            ],
        };
        if allowed.contains(&self.state.name()) {
            return Ok(());
        }
        let names: Vec<_> = allowed.iter().map(|state| state.label()).collect();
        Err(Refusal::wrong_state("registration", self.state.name().label(), &names))
    }

    /// The checks start: by saving, by *revalidate*, or because URL or contact changed.
    #[must_use]
    pub fn awaiting(mut self) -> Step<Self> {
        self.state = State::AwaitingValidation { scan: None };
        let effect = Effect::ValidateRegistration(self.id);
        Step::with(self, effect)
    }

    /// Runs the checks again.
    ///
    /// # Errors
    /// `WRONG_STATE` unless validation failed.
    pub fn revalidate(self) -> Result<Step<Self>, Refusal> {
        self.allows(RegistrationVerb::Revalidate)?;
        Ok(self.awaiting())
    }

    /// A scan ended. One that was overtaken by a later scan changes nothing.
    #[must_use]
    pub fn scanned(mut self, scan: ScanId, outcome: Result<(), String>) -> Step<Self> {
        let State::AwaitingValidation { scan: expected } = &self.state else {
            return Step::quiet(self);
        };
        if *expected != Some(scan) {
            return Step::quiet(self);
        }
        match outcome {
            Ok(()) => {
                let effect = Effect::IssueLink(self.id);
                Step::with(self, effect)
            }
            Err(banner) => {
                self.state = State::ValidationFailed { scan, banner };
                Step::quiet(self)
            }
        }
    }

    /// The last blocking issue was resolved: it goes on by itself. What the deciding scan skipped was never asked,
    /// so then all checks run once more. In any other state nothing happens, which is what makes two resolutions at
    /// once open it only once.
    #[must_use]
    pub fn unblocked(self, all_asked: bool) -> Step<Self> {
        if matches!(self.state, State::ValidationFailed { .. }) {
            if !all_asked {
                return self.awaiting();
            }
            let effect = Effect::IssueLink(self.id);
            return Step::with(self, effect);
        }
        Step::quiet(self)
    }

    /// A link was made: the first one on validation, a new one on reissue or change of contact.
    ///
    /// # Errors
    /// `WRONG_STATE` where no link may exist.
    pub fn opened(mut self, link: Link) -> Result<Self, Refusal> {
        match self.state {
            State::AwaitingValidation { .. } | State::ValidationFailed { .. } | State::Open { .. } => {
                // The handshakes of a new link are counted anew: nothing of an older one verifies with it.
                self.last_attempt = 0;
                self.state = State::Open { link };
                Ok(self)
            }
            State::WorkInProgress { .. }
            | State::ClosedComplete { .. }
            | State::ClosedIncomplete { .. }
            | State::Expired { .. }
            | State::Cancelled { .. } => {
                let allowed =
                    [RegistrationState::AwaitingValidation.label(), RegistrationState::Open.label()];
                Err(Refusal::wrong_state("registration", self.state.name().label(), &allowed))
            }
        }
    }

    /// Makes a new link. An expired registration is checked again first.
    ///
    /// # Errors
    /// `WRONG_STATE` unless open or expired.
    pub fn reissue(self) -> Result<Step<Self>, Refusal> {
        self.allows(RegistrationVerb::Reissue)?;
        if matches!(self.state, State::Expired { .. }) {
            return Ok(self.awaiting());
        }
        let effect = Effect::IssueLink(self.id);
        Ok(Step::with(self, effect))
    }

    /// Changes the contact, the URL, or both. A new URL, and any change while validation fails, is checked
    /// again; a new contact of an open registration gets a new link.
    ///
    /// # Errors
    /// `WRONG_STATE` unless open or validation failed.
    pub fn update(mut self, contact: Option<UserId>, origin: Option<Origin>) -> Result<Step<Self>, Refusal> {
        self.allows(RegistrationVerb::Update)?;
        let moved =
            origin.is_some_and(|origin| std::mem::replace(&mut self.origin, origin.clone()) != origin);
        let reassigned =
            contact.is_some_and(|contact| std::mem::replace(&mut self.contact, contact) != contact);
        let failed = matches!(self.state, State::ValidationFailed { .. });
        if moved || (failed && reassigned) {
            return Ok(self.awaiting());
        }
        if reassigned {
            let effect = Effect::IssueLink(self.id);
            return Ok(Step::with(self, effect));
        }
        Ok(Step::quiet(self))
    }

    /// A consumer's claim was proven and bound.
    ///
    /// # Errors
    /// `NO_MATCHING_REGISTRATION` when the link is used up or expired, `LINK_CONTESTED`, `WRONG_STATE`.
    pub fn claimed(mut self, connection: ConnectionId, now: Timestamp) -> Result<Self, Refusal> {
        let link = self.claimable(now)?.clone();
        self.state = State::WorkInProgress { link, connection };
        Ok(self)
    }

    /// The link, if it can be claimed now.
    ///
    /// # Errors
    /// `NO_MATCHING_REGISTRATION` with the reason, or `LINK_CONTESTED`.
    pub fn claimable(&self, now: Timestamp) -> Result<&Link, Refusal> {
        let refused = |message: &str, reason: &str| {
            Err(Refusal::new(RefusalCode::NoMatchingRegistration, message).reason(reason))
        };
        match &self.state {
            State::Open { link } if link.contested_at.is_some() => Err(contested()),
            State::Open { link } if link.is_good(now) => Ok(link),
            State::Open { .. } | State::Expired { .. } => refused("The link's time is over.", "EXPIRED"),
            State::Cancelled { .. } => refused("The provider cancelled this registration.", "CANCELLED"),
            State::WorkInProgress { .. } | State::ClosedComplete { .. } | State::ClosedIncomplete { .. } => {
                refused("The link was used already.", "USED")
            }
            State::AwaitingValidation { .. } | State::ValidationFailed { .. } => {
                refused("The provider is checking this registration; a new link follows.", "NOT_OPEN")
            }
        }
    }

    /// Whether an instance redeemed the link and onboarding is under way, while the link's time lasts.
    #[must_use]
    pub fn is_bound(&self, now: Timestamp) -> bool {
        matches!(&self.state, State::WorkInProgress { link, .. } if link.is_good(now))
    }

    /// A second instance proved a claim with another key: nobody goes on with this link.
    #[must_use]
    pub fn contested(mut self, now: Timestamp) -> Step<Self> {
        match &mut self.state {
            State::Open { link } => {
                link.contested_at.get_or_insert(now);
                Step::quiet(self)
            }
            State::WorkInProgress { link, connection } => {
                link.contested_at.get_or_insert(now);
                let effect = Effect::DiscardAttempt(*connection);
                self.state = State::Open { link: link.clone() };
                Step::with(self, effect)
            }
            State::AwaitingValidation { .. }
            | State::ValidationFailed { .. }
            | State::ClosedComplete { .. }
            | State::ClosedIncomplete { .. }
            | State::Expired { .. }
            | State::Cancelled { .. } => Step::quiet(self),
        }
    }

    /// Both sides acknowledged completion. Said twice, it changes nothing.
    ///
    /// # Errors
    /// `WRONG_STATE` unless onboarding was under way for this connection.
    pub fn completed(mut self, connection: ConnectionId, now: Timestamp) -> Result<Step<Self>, Refusal> {
        match self.state {
            State::WorkInProgress { connection: ours, .. } if ours == connection => {
                self.state = State::ClosedComplete { connection, at: now };
                let effect = Effect::AnnounceCompletion(self.id);
                Ok(Step::with(self, effect))
            }
            State::ClosedComplete { connection: ours, .. } if ours == connection => Ok(Step::quiet(self)),
            _ => {
                let allowed = [RegistrationState::WorkInProgress.label()];
                Err(Refusal::wrong_state("registration", self.state.name().label(), &allowed))
            }
        }
    }

    /// The attempt was abandoned by either side, or its deadline passed. The link lives on if it is good.
    #[must_use]
    pub fn abandoned(mut self, connection: ConnectionId, reason: &str, now: Timestamp) -> Step<Self> {
        let State::WorkInProgress { link, connection: ours } = &self.state else {
            return Step::quiet(self);
        };
        if *ours != connection {
            return Step::quiet(self);
        }
        self.state = if link.is_good(now) {
            State::Open { link: link.clone() }
        } else {
            State::ClosedIncomplete { reason: reason.to_owned() }
        };
        Step::with(self, Effect::DiscardAttempt(connection))
    }

    /// The link's time is over. An attempt under way goes on to its own deadline.
    #[must_use]
    pub fn expired(mut self, now: Timestamp) -> Step<Self> {
        if matches!(&self.state, State::Open { link } if now >= link.expires_at) {
            self.state = State::Expired { at: now };
        }
        Step::quiet(self)
    }

    /// Tries again after it was closed incomplete.
    ///
    /// # Errors
    /// `WRONG_STATE` unless closed incomplete.
    pub fn retry(self) -> Result<Step<Self>, Refusal> {
        self.allows(RegistrationVerb::Retry)?;
        Ok(self.awaiting())
    }

    /// Calls it off, and undoes an attempt under way.
    ///
    /// # Errors
    /// `WRONG_STATE` when it is final already.
    pub fn cancel(mut self, now: Timestamp) -> Result<Step<Self>, Refusal> {
        self.allows(RegistrationVerb::Cancel)?;
        let undo = match self.state {
            State::WorkInProgress { connection, .. } => Some(Effect::DiscardAttempt(connection)),
            _ => None,
        };
        self.state = State::Cancelled { at: now };
        Ok(Step { next: self, effects: undo.into_iter().collect() })
    }
}

/// The answer to everybody who holds a contested link.
#[must_use]
pub fn contested() -> Refusal {
    Refusal::new(RefusalCode::LinkContested, "Two instances proved this link, so nobody goes on with it.")
}
