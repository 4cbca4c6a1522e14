//! One run of onboarding and its phases. The consumer leads; the provider's copy follows what it was asked.

use chrono::TimeDelta;

use super::Timestamp;
use super::id::{AttemptId, ConnectionId, UserId};
use super::refusal::{Refusal, RefusalCode};

words! {
    /// An ordered step of onboarding.
    PhaseName {
        /// Redeem the link; the provider asks our origin to prove that it holds the claiming key.
        Claim = "CLAIM", "Claim the registration";
        /// The named contact approves on the provider.
        AuthorizeContact = "AUTHORIZE_CONTACT", "The contact approves";
        /// Ephemeral keys, signed by both identities.
        ExchangeKeys = "EXCHANGE_KEYS", "Exchange keys";
        /// Both sides prove that they hold the same keys.
        ConfirmKeys = "CONFIRM_KEYS", "Confirm keys";
        /// Each side makes the service account the other will act as.
        CreateCredentials = "CREATE_CREDENTIALS", "Create service credentials";
        /// A sealed message from us to them was answered.
        ActivateOutbound = "ACTIVATE_OUTBOUND", "Activate outbound";
        /// A sealed message from them to us was answered.
        ActivateInbound = "ACTIVATE_INBOUND", "Activate inbound";
        /// Both sides hold the same settings.
        SyncSettings = "SYNC_SETTINGS", "Sync settings";
        /// A payload went there and came back unchanged, both ways.
        EchoTest = "ECHO_TEST", "Echo test";
        /// Both sides acknowledged completion.
        Complete = "COMPLETE", "Complete";
    }
}

impl PhaseName {
    /// The message under which people see the phase.
    #[must_use]
    pub const fn message(self) -> &'static str {
        match self {
            Self::Claim | Self::AuthorizeContact | Self::ExchangeKeys | Self::ConfirmKeys => {
                "Provider onboarding started"
            }
            Self::CreateCredentials | Self::ActivateOutbound | Self::ActivateInbound | Self::SyncSettings => {
                "Syncing settings to complete onboarding"
            }
            Self::EchoTest | Self::Complete => "Onboarding Complete",
        }
    }

    /// How long the phase may take, retries included. A person needs longer than a machine.
    #[must_use]
    pub const fn time_limit(self) -> TimeDelta {
        match self {
            Self::AuthorizeContact => TimeDelta::hours(24),
            _ => TimeDelta::minutes(10),
        }
    }
}

words! {
    /// Where a phase stands.
    PhaseState {
        /// Its turn has not come.
        Pending = "PENDING", "Pending";
        /// Under way.
        Running = "RUNNING", "Running";
        /// Succeeded.
        Done = "DONE", "Done";
        /// Failed; can be retried.
        Failed = "FAILED", "Failed";
        /// Not needed.
        Skipped = "SKIPPED", "Skipped";
    }
}

/// A phase of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Phase {
    /// Which one.
    pub name: PhaseName,
    /// Where it stands.
    pub state: PhaseState,
    /// When it began.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// When it is given up.
    pub deadline: Option<Timestamp>,
    /// How often it was tried.
    pub tries: i64,
    /// When it is tried next by itself.
    pub next_try_at: Option<Timestamp>,
    /// Why the last try did not succeed; none while nothing is wrong.
    pub failure: Option<Refusal>,
}

words! {
    /// Where an attempt stands.
    AttemptState {
        /// Its phases run.
        Running = "RUNNING", "Running";
        /// A phase failed; retry, start over or cancel.
        Failed = "FAILED", "Failed";
        /// All phases are done.
        Done = "DONE", "Done";
        /// Undone: cancelled, started over, or past its deadline.
        Abandoned = "ABANDONED", "Abandoned";
    }
}

/// One run of onboarding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// Who it is.
    pub id: AttemptId,
    /// The connection that is to come of it.
    pub connection: ConnectionId,
    /// Its number, which grows with every attempt on a connection and enters the handshake.
    pub number: i64,
    /// Who started it, or went on with it last, on the consumer: the contact's approval comes back to them.
    pub started_by: Option<UserId>,
    /// When it began.
    pub started_at: Timestamp,
    /// Where it stands.
    pub state: AttemptState,
    /// Its phases, in order.
    pub phases: Vec<Phase>,
}

/// What became of one try of a phase.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It succeeded.
    Done,
    /// Nothing is wrong; look again at this time.
    Waiting { until: Timestamp },
    /// It failed in a way that may pass: again after a pause, until the deadline.
    Again(Refusal),
    /// It failed for good until a person acts.
    Failed(Refusal),
}

impl Attempt {
    /// A new attempt, its first phase running.
    #[must_use]
    pub fn begin(
        id: AttemptId,
        connection: ConnectionId,
        number: i64,
        started_by: Option<UserId>,
        now: Timestamp,
    ) -> Self {
        let phase = |name| Phase {
            name,
            state: PhaseState::Pending,
            started_at: None,
            finished_at: None,
            deadline: None,
            tries: 0,
            next_try_at: None,
            failure: None,
        };
        let phases = PhaseName::ALL.iter().copied().map(phase).collect();
        let mut attempt = Self {
            id,
            connection,
            number,
            started_by,
            started_at: now,
            state: AttemptState::Running,
            phases,
        };
        attempt.advance(now);
        attempt
    }

    /// The phase under way or failed: the first that is not behind us.
    #[must_use]
    pub fn current(&self) -> Option<&Phase> {
        self.phases.iter().find(|phase| !matches!(phase.state, PhaseState::Done | PhaseState::Skipped))
    }

    /// Records what became of a try of the phase `name`. Anything about another phase than the current one,
    /// or an attempt that ended, is late news and changes nothing.
    pub fn tried(&mut self, name: PhaseName, outcome: Outcome, now: Timestamp) {
        if self.state != AttemptState::Running || self.current().map(|phase| phase.name) != Some(name) {
            return;
        }
        let Some(phase) = self.phases.iter_mut().find(|phase| phase.name == name) else { return };
        let overdue = phase.deadline.is_some_and(|deadline| now >= deadline);
        match outcome {
            Outcome::Done => {
                phase.state = PhaseState::Done;
                phase.finished_at = Some(now);
                phase.next_try_at = None;
                phase.failure = None;
                self.advance(now);
            }
            Outcome::Waiting { until } if !overdue => {
                phase.next_try_at = Some(until);
                phase.failure = None;
            }
            Outcome::Again(refusal) if !overdue => {
                phase.tries += 1;
                phase.next_try_at = Some(now + backoff(phase.tries));
                phase.failure = Some(refusal);
            }
            Outcome::Waiting { .. } => {
                let refusal = Refusal::new(
                    RefusalCode::DeadlineExceeded,
                    format!("“{}” took longer than it may.", name.label()),
                );
                fail(phase, refusal, now);
                self.state = AttemptState::Failed;
            }
            Outcome::Again(refusal) | Outcome::Failed(refusal) => {
                phase.tries += 1;
                fail(phase, refusal, now);
                self.state = AttemptState::Failed;
            }
        }
    }

    /// Runs the failed phase again, or the waiting one at once.
    ///
    /// # Errors
    /// `WRONG_STATE` when no phase failed or waits.
    pub fn retry(&mut self, now: Timestamp) -> Result<(), Refusal> {
        let running = matches!(self.state, AttemptState::Failed | AttemptState::Running);
        let Some(index) = self.current().map(|phase| phase.name as usize).filter(|_| running) else {
            return Err(Refusal::wrong_state("attempt", self.state.label(), &[AttemptState::Failed.label()]));
        };
        self.state = AttemptState::Running;
        let phase = &mut self.phases[index];
        phase.state = PhaseState::Pending;
        self.advance(now);
        Ok(())
    }

    /// Undone.
    pub fn abandon(&mut self) {
        if self.state != AttemptState::Done {
            self.state = AttemptState::Abandoned;
        }
    }

    fn advance(&mut self, now: Timestamp) {
        let next = self.phases.iter_mut().find(|phase| {
            matches!(phase.state, PhaseState::Pending | PhaseState::Running | PhaseState::Failed)
        });
        match next {
            Some(phase) => {
                phase.state = PhaseState::Running;
                phase.started_at = Some(now);
                phase.finished_at = None;
                phase.deadline = Some(now + phase.name.time_limit());
                phase.next_try_at = Some(now);
                phase.failure = None;
            }
            None => self.state = AttemptState::Done,
        }
    }
}

fn fail(phase: &mut Phase, refusal: Refusal, now: Timestamp) {
    phase.state = PhaseState::Failed;
    phase.finished_at = Some(now);
    phase.next_try_at = None;
    phase.failure = Some(refusal);
}

/// The pause before the next try: doubling from half a second, at most 30 s. Jitter is the worker's.
#[must_use]
pub fn backoff(tries: i64) -> TimeDelta {
    let doublings = u32::try_from(tries.clamp(1, 7) - 1).unwrap_or(0);
    TimeDelta::milliseconds((500_i64 << doublings).min(30_000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_only_waited_for_does_not_fail_any_more() {
        let now = Timestamp::UNIX_EPOCH;
        let user = Some(UserId(uuid::Uuid::nil()));
        let (id, connection) = (AttemptId(uuid::Uuid::nil()), ConnectionId(uuid::Uuid::nil()));
        let mut attempt = Attempt::begin(id, connection, 1, user, now);
        let refusal = Refusal::new(RefusalCode::PeerUnreachable, "Nothing takes a connection there.");
        attempt.tried(PhaseName::Claim, Outcome::Again(refusal.clone()), now);
        assert_eq!(attempt.current().and_then(|phase| phase.failure.clone()), Some(refusal));
        let until = now + TimeDelta::minutes(1);
        attempt.tried(PhaseName::Claim, Outcome::Waiting { until }, now);
        let phase = attempt.current().unwrap();
        assert_eq!((&phase.failure, phase.next_try_at, phase.tries), (&None, Some(until), 1));
    }
}
