//! Verifying a connection that stands: what to ask next, what both sides hold, and what became of it.

use serde_json::json;

use super::failure::failed;
use super::once::{Answer, Kept};
use super::{Actions, Call, Done};
use crate::domain::connection::{Connection, ConnectionVerb};
use crate::domain::effect::Work;
use crate::domain::failure::Operation;
use crate::domain::id::ConnectionId;
use crate::domain::refusal::{Refusal, RefusalCode};
use crate::domain::scan::Comparison;
use crate::domain::verification::{Found, Verification, VerificationState, VerificationStepName};
use crate::store::{ChangeKind, NewJob, Reader};

impl Answer for Verification {
    fn kept(&self) -> Kept {
        Kept::of(self.connection.0)
    }

    async fn again(kept: Kept, reader: &Reader) -> Done<Self> {
        let connection = Connection::again(kept, reader).await?;
        let latest = reader.verifications(&[connection.id]).await?.pop();
        Ok(latest.ok_or_else(|| Refusal::not_found("verification"))?)
    }
}

impl Actions {
    /// Begins to verify a connection; one that is being verified already goes on.
    ///
    /// # Errors
    /// `WRONG_STATE` unless it is onboarded, `NOT_AN_ADMINISTRATOR`.
    pub async fn verify_connection(&self, call: &Call, id: ConnectionId) -> Done<Verification> {
        let user = call.requester.operator()?.user();
        let mut tx = self.begin("connection.verify", call).await?;
        let connection = self.connection(&tx, id).await?;
        connection.allows(ConnectionVerb::Verify)?;
        let work = Work::Verify(id);
        if let Some(known) = tx.verification(id).await?
            && known.state() == VerificationState::Running
            && tx.has_work(std::slice::from_ref(&work)).await?
        {
            return Ok(known);
        }
        let verification = Verification::begin(id, user, tx.now());
        tx.save_verification(&verification).await?;
        tx.connection_changed(&connection, ChangeKind::Updated, connection.revision);
        tx.audit("connection.verify", "CONNECTION", id, "OK", json!({}));
        tx.enqueue(NewJob { work, run_at: tx.now(), sealed: None }).await?;
        tx.commit().await?;
        Ok(verification)
    }

    /// The step of a verification to ask now; none when it is over.
    pub(crate) async fn verification_step(
        &self,
        call: &Call,
        id: ConnectionId,
    ) -> Done<Option<VerificationStepName>> {
        let mut tx = self.begin("verification.step", call).await?;
        let Some(mut verification) = tx.verification(id).await? else { return Ok(None) };
        let Some(step) = verification.begin_next() else { return Ok(None) };
        tx.save_verification(&verification).await?;
        let connection = self.connection(&tx, id).await?;
        tx.connection_changed(&connection, ChangeKind::Updated, connection.revision);
        tx.commit().await?;
        Ok(Some(step))
    }

    /// A step of a verification was answered.
    pub(crate) async fn verification_answered(
        &self,
        call: &Call,
        id: ConnectionId,
        step: VerificationStepName,
        found: Found,
    ) -> Done<()> {
        let mut tx = self.begin("verification.answered", call).await?;
        let Some(mut verification) = tx.verification(id).await? else { return Ok(()) };
        let connection = self.connection(&tx, id).await?;
        if let Some(refusal) = &found.failure {
            tx.record_failure(&failed(&connection, Operation::Verification, refusal, call.trace)).await?;
        }
        verification.answered(step, found, tx.now());
        tx.save_verification(&verification).await?;
        tx.connection_changed(&connection, ChangeKind::Updated, connection.revision);
        if verification.finished_at.is_some() {
            tx.audit("connection.verified", "CONNECTION", id, verification.state().as_str(), json!({}));
        }
        tx.commit().await?;
        Ok(())
    }

    /// Ends a verification that this instance could not go on with: what was not answered failed.
    pub(crate) async fn break_verification(&self, call: &Call, id: ConnectionId) -> Done<()> {
        let mut tx = self.begin("verification.break", call).await?;
        let Some(mut verification) = tx.verification(id).await? else { return Ok(()) };
        let message = "This instance could not go on with the verification; its log says why. Verify the connection again.";
        while let Some(step) = verification.begin_next() {
            let failure = Some(Refusal::new(RefusalCode::DeadlineExceeded, message));
            verification.answered(step, Found { failure, ..Found::default() }, tx.now());
        }
        tx.save_verification(&verification).await?;
        let connection = self.connection(&tx, id).await?;
        tx.connection_changed(&connection, ChangeKind::Updated, connection.revision);
        tx.audit("connection.verified", "CONNECTION", id, verification.state().as_str(), json!({}));
        Ok(tx.commit().await?)
    }

    /// What we hold of a connection, to compare it with what the peer holds.
    pub(crate) async fn comparison(&self, call: &Call, id: ConnectionId) -> Done<Comparison> {
        let tx = self.begin_reading("connection.held", call).await?;
        let connection = self.connection(&tx, id).await?;
        self.held(&tx, &connection).await
    }
}
