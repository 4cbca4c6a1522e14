//! Onboarding: one run and its phases.

use async_graphql::{Context, Object, Result, SimpleObject};

use super::ask::Ask;
use super::refusal::Refusal;
use super::words::{AttemptState, PhaseName, PhaseState};
use crate::domain::Timestamp;
use crate::domain::attempt::{self as domain, Attempt};
use crate::domain::requester::Administrator;
use crate::store::AttemptWork;

/// One run of onboarding. Closing the browser changes nothing: the phases go on.
pub(super) struct OnboardingAttempt {
    pub(super) attempt: Attempt,
    pub(super) work: AttemptWork,
}

/// One run of onboarding. Closing the browser changes nothing: the phases go on.
#[Object]
impl OnboardingAttempt {
    /// Its number; grows with every attempt on a connection.
    async fn number(&self) -> i64 {
        self.attempt.number
    }

    /// Where it stands.
    async fn state(&self) -> AttemptState {
        self.attempt.state.into()
    }

    /// The state in words.
    async fn state_label(&self) -> &'static str {
        self.attempt.state.label()
    }

    /// The message under which people see how far it is: that of the phase whose turn it is, or of the last.
    async fn message(&self) -> &'static str {
        let phase = self.attempt.current().or(self.attempt.phases.last());
        phase.map_or("", |phase| phase.name.message())
    }

    /// When it began.
    async fn started_at(&self) -> Timestamp {
        self.attempt.started_at
    }

    /// Its phases, in order.
    #[graphql(complexity = "10 + child_complexity")]
    async fn phases(&self, ctx: &Context<'_>) -> Result<Vec<Phase>> {
        let ask = Ask::anyone(ctx)?;
        Ok(self.attempt.phases.iter().map(|phase| Phase::new(&ask, phase)).collect())
    }

    /// Where the contact approves, on the provider, whose answer comes back to the account that began. Null when there is
    /// nothing to approve, the address is being made, or another account began: then `continueAuthorization` makes one for
    /// you.
    async fn authorization_url(&self, ctx: &Context<'_>) -> Result<Option<String>> {
        let ask = Ask::anyone(ctx)?;
        let began = |one: Administrator| self.attempt.started_by == Some(one.user());
        let mine = ask.call.requester.administrator().is_ok_and(began);
        Ok(self.good_until(&ask).filter(|_| mine).and(self.work.authorization_url.clone()))
    }

    /// Until when there is an address to approve at, for whoever began; null while there is none.
    async fn authorization_expires_at(&self, ctx: &Context<'_>) -> Result<Option<Timestamp>> {
        Ok(self.good_until(&Ask::anyone(ctx)?))
    }
}

impl OnboardingAttempt {
    fn good_until(&self, ask: &Ask<'_>) -> Option<Timestamp> {
        let until = self.work.authorization_expires_at.filter(|_| self.work.authorization_url.is_some())?;
        Timestamp::from_timestamp_millis(until).filter(|until| *until > ask.actions.now())
    }
}

/// An ordered step of onboarding.
#[derive(SimpleObject)]
pub(super) struct Phase {
    /// Which one.
    name: PhaseName,
    /// The name in words.
    label: &'static str,
    /// The message under which people see it; several phases share one.
    message: &'static str,
    /// Where it stands.
    state: PhaseState,
    /// The state in words.
    state_label: &'static str,
    /// When it began; null before its turn.
    started_at: Option<Timestamp>,
    /// When it ended; null until then.
    finished_at: Option<Timestamp>,
    /// When it is given up; null before its turn.
    deadline: Option<Timestamp>,
    /// How often it was tried.
    tries: i64,
    /// When it is tried next by itself; null when it is not.
    next_try_at: Option<Timestamp>,
    /// Why the last try did not succeed; null when it did, there was none, or nothing is wrong and it only waits.
    failure: Option<Refusal>,
}

impl Phase {
    fn new(ask: &Ask<'_>, phase: &domain::Phase) -> Self {
        Self {
            name: phase.name.into(),
            label: phase.name.label(),
            message: phase.name.message(),
            state: phase.state.into(),
            state_label: phase.state.label(),
            started_at: phase.started_at,
            finished_at: phase.finished_at,
            deadline: phase.deadline,
            tries: phase.tries,
            next_try_at: phase.next_try_at,
            failure: phase.failure.clone().map(|refusal| Refusal::new(ask, refusal)),
        }
    }
}
