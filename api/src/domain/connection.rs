//! Connection: our tie to one other instance. The provider's comes into being when a claim is bound, the
//! consumer's when an administrator confirms the opened link.

use chrono::TimeDelta;

use super::Timestamp;
use super::effect::Step;
use super::heartbeat::Line;
use super::id::{
    AttemptId, ChannelId, CompanyId, ConnectionId, InstanceId, LinkId, RegistrationId, ScanId, UserId,
};
use super::origin::Origin;
use super::refusal::{Refusal, RefusalCode};

words! {
    /// What *we* are in a connection.
    Part {
        /// We registered them.
        Provider = "PROVIDER", "Provider";
        /// They registered us.
        Consumer = "CONSUMER", "Consumer";
    }
}

words! {
    /// The state of a connection, without what it carries.
    ConnectionState {
        /// The link was opened; the provider company is to be chosen.
        Pending = "PENDING", "Pending";
        /// The consumer's checks are running.
        AwaitingValidation = "AWAITING_VALIDATION", "Awaiting validation";
        /// The checks passed; registration can be started.
        Validated = "VALIDATED", "Validated";
        /// A check blocks.
        ValidationFailed = "VALIDATION_FAILED", "Validation failed";
        /// The phases run.
        Onboarding = "ONBOARDING", "Onboarding";
        /// Both sides hold the same keys and settings.
        Onboarded = "ONBOARDED", "Onboarded";
        /// Paused by an administrator.
        Suspended = "SUSPENDED", "Suspended";
        /// Taken down here; the other side is being told.
        Offboarding = "OFFBOARDING", "Off-boarding";
        /// Taken down for good. Another one to the same instance can be made.
        Offboarded = "OFFBOARDED", "Off-boarded";
    }
}

words! {
    /// What can be done with a connection.
    ConnectionVerb {
        /// Say which company the provider is.
        ChooseCompany = "chooseProviderCompany", "Choose the provider company";
        /// Run the consumer's checks.
        RunChecks = "runPreOnboardingChecks", "Get Started";
        /// Start the phases.
        Start = "startOnboarding", "Start Registration";
        /// Run the failed phase again.
        RetryPhase = "retryPhase", "Retry";
        /// Undo the attempt and begin a new one.
        StartOver = "startOver", "Start over";
        /// Undo the attempt.
        Cancel = "cancelOnboarding", "Cancel";
        /// Pause the connection.
        Suspend = "suspendConnection", "Suspend";
        /// Go on after a pause.
        Resume = "resumeConnection", "Resume";
        /// Take the connection down for good.
        Offboard = "offboardConnection", "Off-board";
        /// Make a connection to the same instance again.
        ReRegister = "reRegister", "Register again";
        /// Say that of the copies of this instance this one goes on.
        ConfirmSurvivor = "confirmSurvivor", "This one goes on";
        /// Send messages both ways, and compare what both sides hold.
        Verify = "verifyConnection", "Verify the connection";
    }
}

/// How long a passed scan is good for starting.
pub const VALIDATION_LASTS: TimeDelta = TimeDelta::minutes(15);

/// The longest reason for a pause or an end, in characters.
const REASON_MAX: usize = 500;

/// A pause that one side made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pause {
    /// Since when, by the clock of the side that made it.
    pub at: Timestamp,
    /// Why, if it said so.
    pub reason: Option<String>,
    /// Whether it was not decided by a person, but because a copy of the other side is suspected.
    pub suspects: bool,
}

impl Pause {
    /// The reason of a refusal because a copy of whoever is refused is suspected.
    pub const SUSPECTS: &str = "CLONE_SUSPECTED";
    /// How what the other side is told begins.
    const TOLD: &str = "The other side suspended the connection";

    /// Why, for our own people; none where nobody said so.
    #[must_use]
    pub fn why(self) -> Option<String> {
        let suspicion = "Two copies of the other instance go on, or it was restored from an older backup.";
        if self.suspects { Some(suspicion.to_owned()) } else { self.reason }
    }

    /// The reason of the refusal of what comes meanwhile.
    #[must_use]
    pub const fn refused_as(&self) -> &'static str {
        if self.suspects { Self::SUSPECTS } else { ConnectionState::Suspended.as_str() }
    }

    /// What the other side's people read.
    #[must_use]
    pub fn told(&self) -> String {
        match &self.reason {
            _ if self.suspects => {
                format!(
                    "{}: two copies of this instance go on, or it was restored from an older backup.",
                    Self::TOLD
                )
            }
            Some(reason) => format!("{}: {reason}", Self::TOLD),
            None => format!("{}.", Self::TOLD),
        }
    }

    /// The reason in what the other side told ([`Self::told`]); none where it gave none.
    #[must_use]
    pub fn reason_told(told: &str) -> Option<&str> {
        let rest = told.strip_prefix(Self::TOLD).unwrap_or(told);
        let reason = rest.strip_prefix(": ").unwrap_or(rest);
        (reason != ".").then_some(reason)
    }
}

/// How a connection was taken down. Nothing of it comes back: its keys are destroyed when it begins, because what is
/// dead here must not be revived by whoever gets at a copy. To go on, register again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ending {
    /// When it was taken down here.
    pub at: Timestamp,
    /// Whether the other side did it first.
    pub by_peer: bool,
    /// Why, if whoever did it said so.
    pub reason: Option<String>,
    /// Since when it had stood; none if it was not complete here yet.
    pub onboarded_at: Option<Timestamp>,
}

/// The state, with exactly what is true in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Nothing begun.
    Pending,
    /// The scan that decides, and whether onboarding starts by itself when it passes.
    AwaitingValidation { scan: ScanId, then_start: Option<UserId> },
    /// The scan that passed, and when.
    Validated { scan: ScanId, at: Timestamp },
    /// The scan that failed.
    ValidationFailed { scan: ScanId },
    /// The attempt under way.
    Onboarding { attempt: AttemptId },
    /// Since when.
    Onboarded { at: Timestamp },
    /// Since when it stood, since when it is paused, and why, if whoever paused it said so; or because a copy of the
    /// peer is suspected.
    Suspended { onboarded_at: Timestamp, at: Timestamp, reason: Option<String>, suspects: bool },
    /// Taken down here; the other side is being told.
    Offboarding { ending: Ending },
    /// How it was taken down, since when nothing is to be done about it, and whether the other side knows.
    Offboarded { ending: Ending, at: Timestamp, peer_told: bool },
}

impl State {
    /// The state's name.
    #[must_use]
    pub const fn name(&self) -> ConnectionState {
        match self {
            Self::Pending => ConnectionState::Pending,
            Self::AwaitingValidation { .. } => ConnectionState::AwaitingValidation,
            Self::Validated { .. } => ConnectionState::Validated,
            Self::ValidationFailed { .. } => ConnectionState::ValidationFailed,
            Self::Onboarding { .. } => ConnectionState::Onboarding,
            Self::Onboarded { .. } => ConnectionState::Onboarded,
            Self::Suspended { .. } => ConnectionState::Suspended,
            Self::Offboarding { .. } => ConnectionState::Offboarding,
            Self::Offboarded { .. } => ConnectionState::Offboarded,
        }
    }
}

/// What we know of the instance at the other end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Where it is.
    pub origin: Origin,
    /// SHA-256 fingerprint of its identity key: from the link on the consumer, from the claim on the provider.
    pub fingerprint: [u8; 32],
    /// Its identity, once it told us.
    pub instance: Option<InstanceId>,
    /// Its Ed25519 identity key, once it told us.
    pub public_key: Option<[u8; 32]>,
    /// Its name for people.
    pub name: Option<String>,
    /// Its software version.
    pub version: Option<String>,
    /// The number of the newest identity document that it was seen with.
    pub identity_seq: i64,
}

/// A connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connection {
    /// Who it is.
    pub id: ConnectionId,
    /// What we are in it.
    pub part: Part,
    /// The other organisation; chosen by an administrator on the consumer.
    pub company: Option<CompanyId>,
    /// The registration, on the provider.
    pub registration: Option<RegistrationId>,
    /// The public part of the link, which both sides know.
    pub link: LinkId,
    /// The instance at the other end.
    pub peer: Peer,
    /// When it came into being.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// Grows by one with every change.
    pub revision: i64,
    /// The number of the latest attempt; only grows.
    pub attempts: i64,
    /// How sealed messages name the connection, once keys were exchanged.
    pub channel: Option<ChannelId>,
    /// How often both sides agreed on which copy of the peer goes on.
    pub agreements: i64,
    /// Where the peer's heartbeats go on from: what was agreed last, or, while a copy is suspected, what it now says.
    pub survivor: Option<Line>,
    /// Where it stands.
    pub state: State,
}

impl Connection {
    /// What can be done now, and why not.
    ///
    /// # Errors
    /// `WRONG_STATE`, which says where it stands and where the verb is possible; for a provider, which only
    /// answers the consumer's lead, also when the verb is the consumer's.
    pub fn allows(&self, verb: ConnectionVerb) -> Result<(), Refusal> {
        use ConnectionState as S;
        use ConnectionVerb as V;
        let (consumer_only, allowed): (bool, &[S]) = match verb {
            V::ChooseCompany => (true, &[S::Pending, S::Validated, S::ValidationFailed]),
            V::RunChecks => (true, &[S::Pending, S::Validated, S::ValidationFailed]),
            V::Start => (true, &[S::Validated]),
            V::RetryPhase | V::StartOver | V::Cancel => (true, &[S::Onboarding]),
            V::Suspend | V::Verify => (false, &[S::Onboarded]),
            // Also where each side suspects the other.
            V::ConfirmSurvivor => (false, &[S::Onboarded, S::Suspended]),
            V::Offboard => (false, &[S::Onboarded, S::Suspended]),
            V::ReRegister => (false, &[S::Offboarded]),
            V::Resume => (false, &[S::Suspended]),
        };
        if verb == V::ReRegister && self.part == Part::Consumer {
            let message = "The provider registers again, and its contact here gets a new link.";
            return Err(Refusal::new(RefusalCode::WrongState, message).reason(self.state.name().as_str()));
        }
        if verb == V::Resume && self.suspects_clone() && self.survivor.is_none() {
            let message = "Two copies of the other instance go on, or it was restored from an older backup. Its administrators \
                           stop the one that is not to go on, and confirm the survivor (confirmSurvivor) on the other; then \
                           the connection can be resumed here.";
            return Err(Refusal::new(RefusalCode::WrongState, message).reason(Pause::SUSPECTS));
        }
        if consumer_only && self.part == Part::Provider {
            return Err(Refusal::new(
                RefusalCode::WrongState,
                "This is done on the consumer's instance; here the connection follows.",
            )
            .reason(self.state.name().as_str()));
        }
        if allowed.contains(&self.state.name()) {
            return Ok(());
        }
        let names: Vec<_> = allowed.iter().map(|state| state.label()).collect();
        Err(Refusal::wrong_state("connection", self.state.name().label(), &names))
    }

    /// Says which company the provider is. What was validated for another company is no longer valid; where none was
    /// chosen, that is one of the findings, and validation goes on once it is resolved.
    ///
    /// # Errors
    /// `WRONG_STATE` once onboarding has begun.
    pub fn choose_company(mut self, company: CompanyId) -> Result<Step<Self>, Refusal> {
        self.allows(ConnectionVerb::ChooseCompany)?;
        let before = self.company.replace(company);
        let is_found = before.is_none() && matches!(self.state, State::ValidationFailed { .. });
        if before != Some(company) && !is_found {
            self.state = State::Pending;
        }
        Ok(Step::quiet(self))
    }

    /// Runs the consumer's checks with this scan.
    ///
    /// # Errors
    /// `WRONG_STATE` while checks run already or once onboarding has begun.
    pub fn run_checks(mut self, scan: ScanId) -> Result<Step<Self>, Refusal> {
        self.allows(ConnectionVerb::RunChecks)?;
        self.state = State::AwaitingValidation { scan, then_start: None };
        Ok(Step::quiet(self))
    }

    /// A scan ended. Answers whom to start onboarding for, if that was asked for.
    #[must_use]
    pub fn scanned(mut self, scan: ScanId, passed: bool, now: Timestamp) -> (Self, Option<UserId>) {
        let State::AwaitingValidation { scan: expected, then_start } = self.state else {
            return (self, None);
        };
        if expected != scan {
            return (self, None);
        }
        self.state =
            if passed { State::Validated { scan, at: now } } else { State::ValidationFailed { scan } };
        (self, then_start.filter(|_| passed))
    }

    /// The last blocking issue was resolved: valid by itself.
    #[must_use]
    pub fn unblocked(mut self, now: Timestamp) -> Self {
        if let State::ValidationFailed { scan } = self.state {
            self.state = State::Validated { scan, at: now };
        }
        self
    }

    /// Whether starting needs the checks to run again first, because the last passed scan is too old.
    #[must_use]
    pub fn is_stale(&self, now: Timestamp) -> bool {
        matches!(self.state, State::Validated { at, .. } if now - at > VALIDATION_LASTS)
    }

    /// Starts the phases.
    ///
    /// # Errors
    /// `VALIDATION_STALE` when the passed scan is older than [`VALIDATION_LASTS`], `WRONG_STATE`.
    pub fn start(mut self, attempt: AttemptId, now: Timestamp) -> Result<Step<Self>, Refusal> {
        self.allows(ConnectionVerb::Start)?;
        if self.is_stale(now) {
            return Err(Refusal::new(
                RefusalCode::ValidationStale,
                "The checks passed more than 15 minutes ago and run again first.",
            ));
        }
        self.attempts += 1;
        self.state = State::Onboarding { attempt };
        Ok(Step::quiet(self))
    }

    /// A new attempt replaces the one under way.
    ///
    /// # Errors
    /// `WRONG_STATE` unless onboarding.
    pub fn start_over(mut self, attempt: AttemptId) -> Result<Step<Self>, Refusal> {
        self.allows(ConnectionVerb::StartOver)?;
        self.attempts += 1;
        self.state = State::Onboarding { attempt };
        Ok(Step::quiet(self))
    }

    /// Undoes the attempt; the opened link stays and can be started again.
    ///
    /// # Errors
    /// `WRONG_STATE` unless onboarding.
    pub fn cancel(mut self) -> Result<Step<Self>, Refusal> {
        self.allows(ConnectionVerb::Cancel)?;
        self.state = State::Pending;
        Ok(Step::quiet(self))
    }

    /// All phases are done on both sides. Said twice, it changes nothing.
    ///
    /// # Errors
    /// `WRONG_STATE` unless onboarding.
    pub fn onboarded(mut self, now: Timestamp) -> Result<Step<Self>, Refusal> {
        match self.state {
            State::Onboarding { .. } => {
                self.state = State::Onboarded { at: now };
                Ok(Step::quiet(self))
            }
            State::Onboarded { .. } => Ok(Step::quiet(self)),
            _ => {
                let allowed = [ConnectionState::Onboarding.label()];
                Err(Refusal::wrong_state("connection", self.state.name().label(), &allowed))
            }
        }
    }

    /// Pauses the connection, without the peer's consent.
    ///
    /// # Errors
    /// `WRONG_STATE` unless onboarded; `INVALID_INPUT` for a reason of more than 500 characters.
    pub fn suspend(mut self, reason: Option<&str>, now: Timestamp) -> Result<Step<Self>, Refusal> {
        self.allows(ConnectionVerb::Suspend)?;
        let reason = said(reason)?;
        if let State::Onboarded { at } = self.state {
            self.state = State::Suspended { onboarded_at: at, at: now, reason, suspects: false };
        }
        Ok(Step::quiet(self))
    }

    /// Pauses the connection because a copy of the peer is suspected; none unless it stands.
    #[must_use]
    pub fn suspect_clone(mut self, now: Timestamp) -> Option<Self> {
        let State::Onboarded { at } = self.state else { return None };
        self.state = State::Suspended { onboarded_at: at, at: now, reason: None, suspects: true };
        self.survivor = None;
        Some(self)
    }

    /// The peer's administrators say which copy goes on; none when that is known, or nothing is suspected. A copy that says
    /// the same only counts when it says so later: one of the two is to be stopped, and this is not to go to and fro.
    #[must_use]
    pub fn survivor_confirmed(mut self, line: Line) -> Option<Self> {
        let newer = self.survivor.is_none_or(|known| line.since > known.since);
        (self.suspects_clone() && newer).then(|| {
            self.survivor = Some(line);
            self
        })
    }

    /// Whether it is paused because a copy of the peer is suspected.
    #[must_use]
    pub fn suspects_clone(&self) -> bool {
        self.pause().is_some_and(|pause| pause.suspects)
    }

    /// What the other side is told of a pause; none when there is none.
    #[must_use]
    pub fn pause(&self) -> Option<Pause> {
        match &self.state {
            State::Suspended { at, reason, suspects, .. } => {
                Some(Pause { at: *at, reason: reason.clone(), suspects: *suspects })
            }
            _ => None,
        }
    }

    /// Goes on after a pause. Where a copy was suspected, with the one that the peer's administrators confirmed.
    ///
    /// # Errors
    /// `WRONG_STATE` unless suspended; with the reason `CLONE_SUSPECTED` while no survivor is confirmed.
    pub fn resume(mut self) -> Result<Step<Self>, Refusal> {
        self.allows(ConnectionVerb::Resume)?;
        self.agreements += i64::from(self.suspects_clone());
        if let State::Suspended { onboarded_at, .. } = self.state {
            self.state = State::Onboarded { at: onboarded_at };
        }
        Ok(Step::quiet(self))
    }

    /// Takes the connection down, without the peer's consent. Whoever asks for it names the peer, by its name or its
    /// URL, so that it is not another one's connection that ends.
    ///
    /// # Errors
    /// `WRONG_STATE` unless onboarded or suspended; `INVALID_INPUT` when another name is given, or for a reason of more
    /// than 500 characters.
    pub fn offboard(
        mut self,
        named: &str,
        reason: Option<&str>,
        now: Timestamp,
    ) -> Result<Step<Self>, Refusal> {
        self.allows(ConnectionVerb::Offboard)?;
        let (named, origin) = (named.trim(), self.peer.origin.as_str());
        if named != origin && self.peer.name.as_deref() != Some(named) {
            let message =
                format!("Enter the name of the other instance, or {origin}, exactly as it is shown.");
            return Err(Refusal::invalid("confirmation", message));
        }
        let reason = said(reason)?;
        let ending = Ending { at: now, by_peer: false, reason, onboarded_at: self.stood_since() };
        self.state = State::Offboarding { ending };
        Ok(Step::quiet(self))
    }

    /// The peer took the connection down, so it ends here, too. Said twice, or after it ended here by itself, it only
    /// settles that the peer knows. On the provider it is too early before onboarding is complete: the consumer calls
    /// its attempt off instead.
    ///
    /// # Errors
    /// `WRONG_STATE` when nothing was exchanged yet that could end.
    pub fn offboarded_by_peer(
        mut self,
        reason: Option<String>,
        now: Timestamp,
    ) -> Result<Step<Self>, Refusal> {
        let by_peer = Ending { at: now, by_peer: true, reason, onboarded_at: self.stood_since() };
        self.state = match self.state {
            State::Onboarding { .. } if self.part == Part::Consumer => {
                State::Offboarded { ending: by_peer, at: now, peer_told: true }
            }
            State::Onboarded { .. } | State::Suspended { .. } => {
                State::Offboarded { ending: by_peer, at: now, peer_told: true }
            }
            State::Offboarding { ending } => State::Offboarded { ending, at: now, peer_told: true },
            State::Offboarded { ending, at, .. } => State::Offboarded { ending, at, peer_told: true },
            State::Pending
            | State::AwaitingValidation { .. }
            | State::Validated { .. }
            | State::ValidationFailed { .. }
            | State::Onboarding { .. } => {
                let allowed = [ConnectionState::Onboarded.label(), ConnectionState::Suspended.label()];
                return Err(Refusal::wrong_state("connection", self.state.name().label(), &allowed));
            }
        };
        Ok(Step::quiet(self))
    }

    /// Nothing more is done about telling the peer: it knows, or it did not answer for as long as it was tried.
    #[must_use]
    pub fn offboarded(mut self, told: bool, now: Timestamp) -> Self {
        self.state = match self.state {
            State::Offboarding { ending } => State::Offboarded { ending, at: now, peer_told: told },
            State::Offboarded { ending, at, peer_told } => {
                State::Offboarded { ending, at, peer_told: peer_told || told }
            }
            other => other,
        };
        self
    }

    /// The peer still speaks over a connection that ended: it does not know, or not any more.
    #[must_use]
    pub fn is_not_known_to_have_ended(mut self) -> Self {
        if let State::Offboarded { peer_told, .. } = &mut self.state {
            *peer_told = false;
        }
        self
    }

    /// How it was taken down; none unless it was.
    #[must_use]
    pub const fn ending(&self) -> Option<&Ending> {
        match &self.state {
            State::Offboarding { ending } | State::Offboarded { ending, .. } => Some(ending),
            _ => None,
        }
    }

    /// That it was not taken down.
    ///
    /// # Errors
    /// `WRONG_STATE`.
    pub fn require_alive(&self) -> Result<(), Refusal> {
        if self.ending().is_none() {
            return Ok(());
        }
        let message = "The connection was taken down for good: nothing about it changes any more.";
        Err(Refusal::new(RefusalCode::WrongState, message).reason(self.state.name().as_str()))
    }

    /// Whether the peer is to be told that it was taken down.
    #[must_use]
    pub const fn has_to_tell_its_end(&self) -> bool {
        matches!(self.state, State::Offboarding { .. } | State::Offboarded { peer_told: false, .. })
    }

    const fn stood_since(&self) -> Option<Timestamp> {
        match self.state {
            State::Onboarded { at } | State::Suspended { onboarded_at: at, .. } => Some(at),
            _ => None,
        }
    }
}

/// Why somebody does something, as both sides' people read it; none where nothing was said.
fn said(reason: Option<&str>) -> Result<Option<String>, Refusal> {
    let reason = reason.map(str::trim).filter(|reason| !reason.is_empty());
    if reason.is_some_and(|reason| reason.chars().count() > REASON_MAX || reason.contains(char::is_control)) {
        return Err(Refusal::invalid("reason", "Say why in one line of at most 500 characters."));
    }
    Ok(reason.map(str::to_owned))
}
