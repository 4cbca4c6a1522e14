//! A pause is one side's decision and needs nobody's consent, but the other side hears of it at once, with the reason,
//! rather than find out that messages are refused. Said late or lost it does no harm: each probe is answered so, too.

use keyservice::{PublicKey, verify};
use serde_json::{Value, json};

use super::envelope::undecipherable;
use super::{Actions, Call, Done, Failure};
use crate::domain::connection::{Connection, Pause};
use crate::domain::direction::{Cause, Way};
use crate::domain::effect::Work;
use crate::domain::id::ConnectionId;
use crate::domain::refusal::{Refusal, RefusalCode};
use crate::peer::wire::{self, Bytes};
use crate::store::{ChangeKind, NewJob, Tx};

/// The kind of message that tells of a pause.
pub(crate) const PAUSE: &str = "pause";
/// What its inner signature is over (KX/1, section 5).
const LABEL: &str = "kx1 pause";

/// The refusal of whatever the peer sends while the connection is paused here.
pub(super) fn paused_here(pause: &Pause) -> Refusal {
    Refusal::new(RefusalCode::WrongState, pause.told()).reason(pause.refused_as())
}

impl Actions {
    /// Pauses a connection; no consent of the peer is needed. The peer is told, with the reason.
    ///
    /// # Errors
    /// `WRONG_STATE` unless onboarded; `INVALID_INPUT` for a reason that is too long.
    pub async fn suspend_connection(
        &self,
        call: &Call,
        id: ConnectionId,
        reason: Option<&str>,
    ) -> Done<Connection> {
        call.requester.operator()?;
        let mut tx = self.begin("connection.suspend", call).await?;
        let connection = self.connection(&tx, id).await?;
        let connection = tx.save_connection(connection.suspend(reason, tx.now())?.next).await?;
        tx.enqueue(NewJob { work: Work::TellPause(id), run_at: tx.now(), sealed: None }).await?;
        tx.audit("connection.suspend", "CONNECTION", id, "OK", json!({ "reason": reason }));
        tx.commit().await?;
        Ok(connection)
    }

    /// What the peer is told of a pause; none when it is over.
    pub(crate) async fn pause_notice(&self, call: &Call, id: ConnectionId) -> Done<Option<Value>> {
        let tx = self.begin("pause.read", call).await?;
        let Some(connection) = tx.connection(id).await? else { return Ok(None) };
        let (Some(pause), Some(channel)) = (connection.pause(), connection.channel) else { return Ok(None) };
        let (ours, at) = (self.keys.public_key().kid(), pause.at.timestamp_millis());
        let reason = pause.reason.unwrap_or_default();
        let peer = PublicKey::parse(&connection.peer.public_key.ok_or(Failure::Bug("peer key"))?)?.kid();
        let parts: [&[u8]; 5] = [&ours.0, &peer.0, &channel.bytes(), &at.to_le_bytes(), reason.as_bytes()];
        let proof = self.keys.onboarding().sign(LABEL, &parts, tx.now()).await?;
        let proof = Bytes(proof.try_into().map_err(|_| Failure::Bug("signature length"))?);
        let notice = wire::Pause { at, reason, proof };
        serde_json::to_value(notice).map(Some).map_err(|_| Failure::Bug("pause"))
    }

    /// The peer paused the connection: both directions say so, rather than that they are down.
    pub(super) async fn receive_pause(
        &self,
        tx: &mut Tx,
        connection: &Connection,
        body: Value,
    ) -> Done<Value> {
        let notice: wire::Pause = serde_json::from_value(body).map_err(|_| undecipherable())?;
        let public = PublicKey::parse(&connection.peer.public_key.ok_or_else(undecipherable)?)?;
        let channel = connection.channel.ok_or_else(undecipherable)?.bytes();
        let (peer, ours, at) = (public.kid(), self.keys.public_key().kid(), notice.at.to_le_bytes());
        let parts: [&[u8]; 5] = [&peer.0, &ours.0, &channel, &at, notice.reason.as_bytes()];
        verify(&public, LABEL, &parts, &notice.proof.0).map_err(|_| undecipherable())?;

        let reason: String = notice.reason.chars().filter(|c| !c.is_control()).take(500).collect();
        let reason = Some(reason).filter(|reason| !reason.is_empty());
        let pause = Pause { at: tx.now(), reason, suspects: false };
        let refusal = paused_here(&pause);
        let cause = Cause {
            code: refusal.code,
            reason: refusal.reason.clone(),
            detail: Some(refusal.message),
            at: tx.now(),
            trace: Some(tx.trace()),
            peer_trace: Some(tx.trace()),
        };
        let mut told = Vec::new();
        for way in Way::ALL {
            let mut evidence = tx.evidence(connection.id, *way).await?;
            evidence.paused(cause.clone());
            let became = evidence.judge(connection.state.name(), self.profile.measure, tx.now());
            told.extend(became.map(|became| (connection.id, *way, became)));
            tx.save_evidence(&[(connection.id, *way, evidence)]).await?;
        }
        tx.record_transitions(&told).await?;
        // Other nodes read it; this one may have seen something else in the same millisecond.
        self.watch.lock().paused(connection.id, &cause, self.profile.measure, tx.now());
        tx.connection_changed(connection, ChangeKind::Updated, connection.revision);
        let details = json!({ "at": notice.at, "reason": pause.reason });
        tx.audit("connection.paused_by_peer", "CONNECTION", connection.id, "OK", details);
        Ok(json!({}))
    }
}
