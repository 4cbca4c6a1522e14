//! Taking a connection down for good, and making it anew. What ends here ends at once and without the peer: nothing is
//! sealed, opened or probed any more, and the keys are destroyed, not kept for a change of mind: a window in which
//! everything could come back would be one in which it could also be brought back by others, while registering again
//! takes the two people a few minutes. The peer is told for as long as a notice is tried; if it is gone for good, this
//! side ends alone. What stays is who the peer was, which keys there were, and when and why it ended.

use chrono::TimeDelta;
use keyservice::{PublicKey, verify};
use serde_json::json;
use uuid::Uuid;

use super::{Actions, Call, Done, Failure, NewRegistration};
use crate::domain::connection::{Connection, ConnectionVerb, Part, State};
use crate::domain::effect::Work;
use crate::domain::id::{ChannelId, ConnectionId};
use crate::domain::origin::Origin;
use crate::domain::refusal::{Refusal, RefusalCode};
use crate::domain::registration::Registration;
use crate::domain::requester::Requester;
use crate::peer::wire::{self, Bytes};
use crate::store::{NewJob, Tx};

/// What the signature of the notice is over (KX/1, section 5).
const LABEL: &str = "kx1 offboard";
/// Why the keys of a connection are revoked that is taken down.
const ENDED: &str = "The connection was off-boarded.";
/// How often a peer that still speaks is told at most: whoever knows the channel's id can make it look so.
const REMIND_EVERY: TimeDelta = TimeDelta::minutes(1);

impl Actions {
    /// Takes a connection down; no consent of the peer is needed. The peer is told, with the reason, and follows.
    ///
    /// # Errors
    /// `WRONG_STATE` unless onboarded or suspended; `INVALID_INPUT` when the peer is not named as it is, or for a reason
    /// that is too long; `NOT_AN_ADMINISTRATOR`, `STEP_UP_REQUIRED`.
    pub async fn offboard_connection(
        &self,
        call: &Call,
        id: ConnectionId,
        named: &str,
        reason: Option<&str>,
    ) -> Done<Connection> {
        call.requester.administrator()?;
        self.require_fresh(call)?;
        let mut tx = self.begin("connection.offboard", call).await?;
        let connection = self.connection(&tx, id).await?.offboard(named, reason, tx.now())?.next;
        self.clear(&mut tx, &connection).await?;
        tx.enqueue(NewJob { work: Work::TellOffboarding(id), run_at: tx.now(), sealed: None }).await?;
        let connection = tx.save_connection(connection).await?;
        let reason = connection.ending().and_then(|ending| ending.reason.as_deref());
        tx.audit("connection.offboard", "CONNECTION", id, "OK", json!({ "reason": reason }));
        tx.commit().await?;
        self.watch.lock().forget(id);
        Ok(connection)
    }

    /// Ends everything that a connection does and holds.
    async fn clear(&self, tx: &mut Tx, connection: &Connection) -> Done<()> {
        tx.empty_connection(connection).await?;
        if let Some(channel) = connection.channel {
            self.end_link_keys(tx, channel, ENDED).await?;
        }
        Ok(())
    }

    /// Where the end of a connection is to be told, and what; none when it is known.
    pub(crate) async fn offboarding_notice(
        &self,
        call: &Call,
        id: ConnectionId,
    ) -> Done<Option<(Origin, wire::Offboard)>> {
        let tx = self.begin("offboarding.read", call).await?;
        let Some(connection) = tx.connection(id).await?.filter(Connection::has_to_tell_its_end) else {
            return Ok(None);
        };
        let Some(ending) = connection.ending() else { return Ok(None) };
        let at = ending.at.timestamp_millis();
        let reason = ending.reason.clone().unwrap_or_default();
        let peer = PublicKey::parse(&connection.peer.public_key.ok_or(Failure::Bug("peer key"))?)?.kid();
        let (ours, at_bytes) = (self.keys.public_key().kid(), at.to_le_bytes());
        let link_id = connection.channel.ok_or(Failure::Bug("channel"))?.bytes();
        let parts: [&[u8]; 5] = [&ours.0, &peer.0, &link_id, &at_bytes, reason.as_bytes()];
        let proof = self.keys.onboarding().sign(LABEL, &parts, tx.now()).await?;
        let proof = Bytes(proof.try_into().map_err(|_| Failure::Bug("signature length"))?);
        let notice = wire::Offboard { link_id: Bytes(link_id), at, reason, proof };
        Ok(Some((connection.peer.origin, notice)))
    }

    /// The peer was told, or could not be for as long as it was tried: nothing more is to be done here.
    pub(crate) async fn end_offboarding(&self, call: &Call, id: ConnectionId, told: bool) -> Done<()> {
        let mut tx = self.begin("connection.offboarded", call).await?;
        let Some(before) = tx.connection(id).await? else { return Ok(()) };
        let after = before.clone().offboarded(told, tx.now());
        if after != before {
            tx.save_connection(after).await?;
            tx.audit("connection.offboarded", "CONNECTION", id, "OK", json!({ "peer_told": told }));
            tx.commit().await?;
        }
        Ok(())
    }

    /// The peer took the connection down: it ends here, too. Said twice, or after it ended here, it changes nothing.
    ///
    /// # Errors
    /// `LINK_INVALID` when there is no such connection here, or the signature is not that of its peer's identity key.
    pub async fn receive_offboarding(&self, call: &Call, notice: &wire::Offboard) -> Done<()> {
        let mut tx = self.begin("connection.offboarded_by_peer", call).await?;
        let channel = ChannelId(Uuid::from_bytes(notice.link_id.0));
        let before = tx.connection_by_channel(channel).await?.ok_or_else(invalid)?;
        let public = PublicKey::parse(&before.peer.public_key.ok_or_else(invalid)?)?;
        let (peer, ours, at) = (public.kid(), self.keys.public_key().kid(), notice.at.to_le_bytes());
        let parts: [&[u8]; 5] = [&peer.0, &ours.0, &notice.link_id.0, &at, notice.reason.as_bytes()];
        verify(&public, LABEL, &parts, &notice.proof.0).map_err(|_| invalid())?;
        tx.acts_for(Requester::Peer(before.id));

        let reason: String = notice.reason.chars().filter(|c| !c.is_control()).take(500).collect();
        let reason = Some(reason).filter(|reason| !reason.is_empty());
        let (id, stood) = (before.id, before.ending().is_none());
        let after = before.clone().offboarded_by_peer(reason.clone(), tx.now())?.next;
        if after == before {
            return Ok(());
        }
        if stood {
            self.clear(&mut tx, &after).await?;
        }
        tx.save_connection(after).await?;
        let details = json!({ "at": notice.at, "reason": reason });
        tx.audit("connection.offboarded_by_peer", "CONNECTION", id, "OK", details);
        tx.commit().await?;
        self.watch.lock().forget(id);
        Ok(())
    }

    /// A message came over a connection that ended: the peer was away when it was to be told, or lives on a copy of its
    /// database from before. It is told (again).
    pub(super) async fn remind_of_end(&self, mut tx: Tx, connection: Connection) -> Done<()> {
        // While it is tried anyway, nobody hurries it: the tries are to come to an end.
        let ended = matches!(connection.state, State::Offboarded { .. });
        if !ended || tx.now() - connection.updated_at < REMIND_EVERY {
            return Ok(());
        }
        let work = Work::TellOffboarding(connection.id);
        tx.enqueue(NewJob { work, run_at: tx.now(), sealed: None }).await?;
        tx.save_connection(connection.is_not_known_to_have_ended()).await?;
        Ok(tx.commit().await?)
    }

    /// Registers the consumer of a connection that ended again, as it was registered: with the same company, contact,
    /// URL and environment.
    ///
    /// # Errors
    /// `WRONG_STATE` unless it is off-boarded, and on the consumer; `DUPLICATE_CONNECTION` when there is another one by now;
    /// as [`Actions::create_registration`].
    pub async fn re_register(&self, call: &Call, id: ConnectionId) -> Done<Registration> {
        call.requester.operator()?;
        let before = {
            let tx = self.begin_reading("connection.register_again", call).await?;
            let connection = self.connection(&tx, id).await?;
            connection.allows(ConnectionVerb::ReRegister)?;
            if let Some(other) =
                tx.rival_connections(&connection.peer.origin, Part::Provider, Some(id)).await?.first()
            {
                let message = format!(
                    "There is a connection to {} again: use it, or off-board it first.",
                    other.peer.origin
                );
                return Err(Refusal::new(RefusalCode::DuplicateConnection, message).into());
            }
            let before = connection.registration.ok_or(Failure::Bug("a provider's registration"))?;
            self.registration(&tx, before).await?
        };
        let new = NewRegistration {
            company: before.company,
            contact: before.contact,
            url: before.origin.to_string(),
            environment: before.environment,
        };
        self.create_registration(call, new).await
    }
}

fn invalid() -> Failure {
    let message = "This is not about a connection of ours, or it is not signed by its other side.";
    Refusal::new(RefusalCode::LinkInvalid, message).into()
}
