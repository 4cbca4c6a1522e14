//! Onboarding: one run and its phases.

use async_graphql::{Context, Object, Result, SimpleObject};

use super::ask::Ask;
use super::refusal::Refusal;
use super::words::{AttemptState, PhaseName, PhaseState};
use crate::domain::Timestamp;
use crate::domain::attempt::{self as domain, Attempt};
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

    /// Where the contact approves, on the provider; null when there is nothing to approve, or you may not start
    /// onboarding here.
    async fn authorization_url(&self, ctx: &Context<'_>) -> Result<Option<String>> {
        let may = Ask::anyone(ctx)?.call.requester.operator().is_ok();
        Ok(self.work.authorization_url.clone().filter(|_| may))
    }

    /// When `authorizationUrl` stops working.
    async fn authorization_expires_at(&self) -> Option<Timestamp> {
        self.work.authorization_expires_at.and_then(Timestamp::from_timestamp_millis)
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
    /// Why the last try did not succeed; null when it did, or there was none.
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
