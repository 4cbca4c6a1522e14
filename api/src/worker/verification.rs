//! Verifying a connection: real messages both ways over the sealed path, step by step.

use serde_json::json;

use super::{Trouble, Worker};
use crate::actions::Call;
use crate::domain::explain::remedy_for;
use crate::domain::id::ConnectionId;
use crate::domain::refusal::{Refusal, RefusalCode};
use crate::domain::verification::{Found, VerificationStepName};

impl Worker {
    /// Asks the steps of a verification that are not answered yet.
    pub(super) async fn verify(&self, call: &Call, id: ConnectionId) -> Result<(), Trouble> {
        while let Some(step) = self.actions.verification_step(call, id).await? {
            let found = match self.verification_step(call, id, step).await {
                Ok(found) => found,
                // Also what does not work here is a result; only what nobody can read of is tried again.
                Err(trouble) => {
                    let refusal = trouble.refusal().ok_or(trouble)?;
                    let remedy = remedy_for(refusal.code, refusal.reason.as_deref(), id);
                    failed(if refusal.remedy.is_some() { refusal } else { refusal.remedy(remedy) })
                }
            };
            self.actions.verification_answered(call, id, step, found).await?;
        }
        Ok(())
    }

    async fn verification_step(
        &self,
        call: &Call,
        id: ConnectionId,
        step: VerificationStepName,
    ) -> Result<Found, Trouble> {
        match step {
            VerificationStepName::Send => {
                let took = self.echo(call, id).await?;
                Ok(Found { round_trip_ms: Some(took), ..Found::default() })
            }
            VerificationStepName::Receive => self.receive(call, id).await,
            VerificationStepName::Keys | VerificationStepName::Settings | VerificationStepName::Versions => {
                let (answer, took) = self.say(call, id, "compare", &json!({})).await?;
                let theirs = self.actions.read_comparison(answer)?;
                let found = Found::compared(step, id, &self.actions.comparison(call, id).await?, &theirs);
                Ok(Found { round_trip_ms: Some(took), ..found })
            }
        }
    }

    async fn receive(&self, call: &Call, id: ConnectionId) -> Result<Found, Trouble> {
        if self.call_back(call, id).await? {
            return Ok(Found::default());
        }
        let message = "The other instance answers, but no message of its own arrives here. It must reach this \
                       instance at its base URL.";
        Ok(failed(Refusal::new(RefusalCode::PeerUnreachable, message).reason("CALL_BACK")))
    }
}

fn failed(refusal: Refusal) -> Found {
    Found { failure: Some(refusal), ..Found::default() }
}
