//! Verifying a connection: each step with what both sides hold.

use async_graphql::{Context, ID, Object, Result, SimpleObject};

use super::ask::{Ask, named};
use super::id::Kind;
use super::refusal::Refusal;
use super::words::{VerificationState, VerificationStepName, VerificationStepState};
use crate::domain::Timestamp;
use crate::domain::verification as domain;

/// One verification of a connection: sealed messages both ways, and what both sides hold, compared.
pub(super) struct ConnectionVerification(pub(super) domain::Verification);

/// One verification of a connection: sealed messages both ways, and what both sides hold, compared.
#[Object]
impl ConnectionVerification {
    /// Where it stands.
    async fn state(&self) -> VerificationState {
        self.0.state().into()
    }

    /// The state in words.
    async fn state_label(&self) -> &'static str {
        self.0.state().label()
    }

    /// When it began.
    async fn started_at(&self) -> Timestamp {
        self.0.started_at
    }

    /// When its last step was answered; null until then.
    async fn finished_at(&self) -> Option<Timestamp> {
        self.0.finished_at
    }

    /// Its steps, in the order in which they are asked.
    #[graphql(complexity = "5 + child_complexity")]
    async fn steps(&self, ctx: &Context<'_>) -> Result<Vec<VerificationStep>> {
        let ask = Ask::anyone(ctx)?;
        Ok(self.0.steps.iter().map(|step| VerificationStep::new(&ask, step)).collect())
    }
}

/// A step of a verification.
#[derive(SimpleObject)]
pub(super) struct VerificationStep {
    /// Which one.
    name: VerificationStepName,
    /// The name in words.
    label: &'static str,
    /// Where it stands.
    state: VerificationStepState,
    /// The state in words.
    state_label: &'static str,
    /// What we hold; null where nothing is compared, or nothing was answered.
    ours: Option<String>,
    /// What they hold; null where nothing is compared, or nothing was answered.
    theirs: Option<String>,
    /// How long the answer took, in milliseconds; null where there was none.
    round_trip_ms: Option<i64>,
    /// Why it is not as it should be; null when it is.
    failure: Option<Refusal>,
    /// When it was answered; null until then.
    finished_at: Option<Timestamp>,
}

impl VerificationStep {
    fn new(ask: &Ask<'_>, step: &domain::VerificationStep) -> Self {
        let found = step.found.clone();
        Self {
            name: step.name.into(),
            label: step.name.label(),
            state: step.state.into(),
            state_label: step.state.label(),
            ours: found.ours,
            theirs: found.theirs,
            round_trip_ms: found.round_trip_ms,
            failure: found.failure.map(|refusal| Refusal::new(ask, refusal)),
            finished_at: step.finished_at,
        }
    }
}

input! {
    /// The connection to verify.
    VerifyConnectionInput {
        /// The connection.
        connection_id: ID,
    }
}

payload! {
    /// What became of asking for a verification.
    VerificationPayload {
        /// The verification as it begins; null when it was refused. Watch `connectionChanged` for its steps.
        verification: ConnectionVerification
    }
}

/// Mutations of verifications.
#[derive(Default)]
pub(super) struct VerificationMutation;

#[Object]
impl VerificationMutation {
    /// Verifies a connection that is onboarded, from either side: sends sealed messages both ways and compares keys,
    /// settings and versions. The steps are answered in the background: watch `connectionChanged`.
    async fn verify_connection(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which one.")] input: VerifyConnectionInput,
    ) -> Result<VerificationPayload> {
        let ask = Ask::new(ctx)?;
        let done = ask.once(input, |call, input| async move {
            let id = named(Kind::Connection, "connectionId", &input.connection_id)?;
            ask.actions.verify_connection(&call, id).await
        });
        Ok(VerificationPayload::new(done.await?, ConnectionVerification))
    }
}
