//! The provider calls an attempt off: it tells the consumer at once, whose administrator is not left waiting for a
//! step that would find out.

use keyservice::{PublicKey, verify};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{Actions, Call, Done, Failure};
use crate::domain::attempt::{Outcome, PhaseState};
use crate::domain::check::Remedy;
use crate::domain::connection::State as ConnectionState;
use crate::domain::effect::Work;
use crate::domain::id::LinkId;
use crate::domain::origin::{Origin, OriginPolicy};
use crate::domain::refusal::{Refusal, RefusalCode};
use crate::domain::registration::{Registration, State};
use crate::peer::wire::{self, Bytes};
use crate::store::{Claim, Job, NewJob, Tx};

/// What a withdrawal is sealed as, and what its signature is over.
const WHAT: &str = "withdrawal";
const LABEL: &str = "kx1 withdraw";

/// Where to say it, and what.
#[derive(Debug, Serialize, Deserialize)]
struct Notice {
    origin: String,
    withdraw: wire::Withdraw,
}

impl Actions {
    /// Writes the work of telling the consumer that its claim is void.
    pub(super) async fn withdraw(&self, tx: &mut Tx, registration: &Registration, claim: &Claim) -> Done<()> {
        let reason = reason(&registration.state).to_owned();
        let parts: [&[u8]; 4] =
            [claim.link.0.as_bytes(), claim.id.0.as_bytes(), claim.instance.0.as_bytes(), reason.as_bytes()];
        let proof = self.keys.onboarding().sign(LABEL, &parts, tx.now()).await?;
        let proof = Bytes(proof.try_into().map_err(|_| Failure::Bug("signature length"))?);
        let withdraw = wire::Withdraw { r: claim.link.0, claim_id: claim.id.0, reason, proof };
        let notice = serde_json::to_vec(&Notice { origin: claim.origin.to_string(), withdraw })
            .map_err(|_| Failure::Bug("withdrawal"))?;
        let sealed = self.keys.onboarding().seal(WHAT, &registration.id.bytes(), &notice, tx.now()).await?;
        let work = Work::Withdraw(registration.id);
        tx.enqueue(NewJob { work, run_at: tx.now(), sealed: Some(sealed) }).await?;
        Ok(())
    }

    /// What a job is to tell the consumer.
    pub(crate) async fn withdrawal(&self, job: &Job) -> Done<(Origin, wire::Withdraw)> {
        let bug = || Failure::Bug("withdrawal");
        let (sealed, id) = (job.sealed.as_deref().ok_or_else(bug)?, job.work.subject().ok_or_else(bug)?);
        let bytes = self.keys.onboarding().open(WHAT, id.as_bytes(), sealed, self.world.now()).await?;
        let Notice { origin, withdraw } = serde_json::from_slice(&bytes).map_err(|_| bug())?;
        Ok((Origin::parse(&origin, &OriginPolicy::ANY).map_err(|_| bug())?, withdraw))
    }

    /// The provider called the attempt off. Said twice, late, or about another attempt, it changes nothing.
    ///
    /// # Errors
    /// `LINK_INVALID` when the signature is not that of the provider's identity key.
    pub async fn receive_withdrawal(&self, call: &Call, notice: &wire::Withdraw) -> Done<()> {
        let mut tx = self.begin("attempt.withdrawn", call).await?;
        let Some(connection) = tx.connection_by_link(LinkId(notice.r)).await? else { return Err(invalid()) };
        let public = connection.peer.public_key.ok_or_else(invalid)?;
        let instance = self.profile.instance.0;
        let parts: [&[u8]; 4] =
            [notice.r.as_bytes(), notice.claim_id.as_bytes(), instance.as_bytes(), notice.reason.as_bytes()];
        verify(&PublicKey::parse(&public)?, LABEL, &parts, &notice.proof.0).map_err(|_| invalid())?;

        let ConnectionState::Onboarding { attempt } = connection.state else { return Ok(()) };
        let Some((mut attempt, work, sealed, revision)) = tx.attempt(attempt).await? else { return Ok(()) };
        let running = attempt.current().filter(|phase| phase.state == PhaseState::Running);
        let (Some(phase), true) = (running.map(|phase| phase.name), work.claim == Some(notice.claim_id))
        else {
            return Ok(());
        };
        let refusal = called_off(&notice.reason);
        // The next look at whether the contact has approved, which nobody waits for any more.
        tx.forget_work(attempt.id.0).await?;
        self.advance(&mut tx, &mut attempt, phase, Outcome::Failed(refusal)).await?;
        tx.save_attempt(&attempt, &work, sealed, revision, connection.company).await?;
        let details = json!({ "reason": notice.reason });
        tx.audit("attempt.withdrawn", "CONNECTION", connection.id, "OK", details);
        Ok(tx.commit().await?)
    }
}

/// Why the attempt is over, read off what became of the registration.
fn reason(state: &State) -> &'static str {
    match state {
        State::Cancelled { .. } => "CANCELLED",
        State::Open { .. } | State::ClosedIncomplete { .. } => "DEADLINE_EXCEEDED",
        State::AwaitingValidation { .. } | State::ValidationFailed { .. } => "CHANGED",
        State::WorkInProgress { .. } | State::ClosedComplete { .. } | State::Expired { .. } => "CLOSED",
    }
}

/// The refusal of the phase that was under way. The provider's word for the reason is one of a few that we know, or
/// it is not repeated.
fn called_off(theirs: &str) -> Refusal {
    let (reason, why, next) = match theirs {
        "CANCELLED" => (
            "CANCELLED",
            "The provider cancelled the registration.",
            "Ask the provider why. To connect after all you need a new registration link; until then, cancel.",
        ),
        "DEADLINE_EXCEEDED" => (
            "DEADLINE_EXCEEDED",
            "Onboarding took longer than the provider allows, so the provider called it off.",
            "Start over; if the link is no longer good, ask the provider for a new one.",
        ),
        "CHANGED" => (
            "CHANGED",
            "The provider changed the registration, so this attempt does not count any more.",
            "Open the registration link that the provider sends you next, and start over.",
        ),
        _ => (
            "CLOSED",
            "The provider called this attempt off.",
            "Ask the provider why, then start over or cancel.",
        ),
    };
    Refusal::new(RefusalCode::PeerRefused, format!("{why} {next}"))
        .reason(reason)
        .remedy(Remedy::Human(next.to_owned()))
}

fn invalid() -> Failure {
    Refusal::new(
        RefusalCode::LinkInvalid,
        "This is not about a link of ours, or it is not signed by its provider.",
    )
    .into()
}
