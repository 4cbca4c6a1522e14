//! Copies of an instance, and restored backups: noticed by the chain of heartbeats, held, and resolved on purpose. The peer
//! holds the connection; administrators of the instance that is two say which goes on, and the peer's agree.

use std::sync::Arc;

use serde_json::json;

use super::{Actions, Call, Done};
use crate::domain::Timestamp;
use crate::domain::connection::{Connection, ConnectionVerb, Pause, State};
use crate::domain::direction::Way;
use crate::domain::heartbeat::{Chain, Fork, Line, Said, Verdict};
use crate::domain::id::ConnectionId;
use crate::domain::refusal::{Refusal, RefusalCode};
use crate::domain::requester::Requester;
use crate::store::{Lease, StoreError};

impl Actions {
    /// Goes on with our own chain, which took a step with the lease; or ends it, where another node probes.
    pub(super) async fn step_on(&self, lease: &Lease, until: Option<Timestamp>) -> Done<()> {
        let Some((step, declared)) = lease.held else {
            self.watch.lock().set_chain(None, None);
            return Ok(());
        };
        let token = uuid::Uuid::from_bytes(self.world.bytes()?);
        let known = self.watch.lock().chain.take().filter(|_| !declared);
        let chain = match known.and_then(|chain| chain.go_on(step, token)) {
            Some(chain) => chain,
            None => {
                let line = Line { id: token, since: step };
                let lines = self.store.begin_line(line, declared).await?;
                Chain { mark: line.begin(), lines, survivor: declared }
            }
        };
        self.watch.lock().set_chain(Some(chain), until);
        Ok(())
    }

    /// The peer said where its chain is. Answers the connection where that changed it.
    pub(super) async fn follow_chain(
        &self,
        call: &Call,
        connection: &Connection,
        said: &Said,
    ) -> Done<Option<Arc<Connection>>> {
        let id = connection.id;
        if connection.suspects_clone() {
            // Only what was confirmed since: it goes on from beyond all that is known.
            let since = self.watch.lock().knows(id).is_none_or(|known| said.mark.line.since > known);
            let news = said.survivor && since && connection.survivor != Some(said.mark.line);
            return if news { self.hear_survivor(call, id, said.mark.line).await } else { Ok(None) };
        }
        if !matches!(connection.state, State::Onboarded { .. }) {
            return Ok(None);
        }
        let verdict = self.watch.lock().follow(id, said);
        match verdict {
            Verdict::Forked(fork) => self.suspect_clone(call, id, fork).await,
            Verdict::GoesOn | Verdict::Open => Ok(None),
        }
    }

    /// Two go on where the peer was one: nothing is exchanged until that is resolved.
    async fn suspect_clone(
        &self,
        call: &Call,
        id: ConnectionId,
        fork: Fork,
    ) -> Done<Option<Arc<Connection>>> {
        let mut tx = self.begin("connection.suspect_clone", call).await?;
        let Some(connection) = self.connection(&tx, id).await?.suspect_clone(tx.now()) else {
            return Ok(None);
        };
        let connection = tx.save_connection(connection).await?;
        tx.acts_for(Requester::Peer(id));
        tx.audit("connection.clone_suspected", "CONNECTION", id, "OK", json!({ "why": fork.as_str() }));
        tx.commit().await?;
        tracing::warn!(connection = %id, why = fork.as_str(), "two copies of the peer go on, or it was restored: paused");
        Ok(Some(self.read_at_once(connection)))
    }

    /// The peer's administrators confirmed which copy goes on: ours may agree.
    async fn hear_survivor(
        &self,
        call: &Call,
        id: ConnectionId,
        line: Line,
    ) -> Done<Option<Arc<Connection>>> {
        let mut tx = self.begin("connection.hear_survivor", call).await?;
        let Some(connection) = self.connection(&tx, id).await?.survivor_confirmed(line) else {
            return Ok(None);
        };
        let connection = tx.save_connection(connection).await?;
        // What is to be done about it is another thing now.
        self.look_soon(&mut tx, &[id]).await?;
        tx.acts_for(Requester::Peer(id));
        tx.audit("connection.survivor_confirmed_by_peer", "CONNECTION", id, "OK", json!({}));
        tx.commit().await?;
        Ok(Some(self.read_at_once(connection)))
    }

    fn read_at_once(&self, connection: Connection) -> Arc<Connection> {
        let connection = Arc::new(connection);
        self.watch.lock().now_is(&connection);
        connection
    }

    /// Says that this instance is the one that goes on, of those that its peers saw two of: to all of them, with the next
    /// probes. Each of them then resumes its connection.
    ///
    /// # Errors
    /// `WRONG_STATE` unless the peer of this connection suspects a copy.
    pub async fn confirm_survivor(&self, call: &Call, id: ConnectionId) -> Done<Connection> {
        call.requester.administrator()?;
        let mut tx = self.begin("connection.confirm_survivor", call).await?;
        let connection = self.connection(&tx, id).await?;
        connection.allows(ConnectionVerb::ConfirmSurvivor)?;
        let stored = tx.evidence(id, Way::Outbound).await?;
        if !stored.failure.is_some_and(|cause| cause.suspects_clone()) {
            self.is_suspected(&connection)?;
        }
        tx.declare_survivor().await?;
        tx.audit("connection.confirm_survivor", "CONNECTION", id, "OK", json!({}));
        tx.commit().await?;
        self.watch.lock().renew_at = None;
        Ok(connection)
    }

    /// On the host: this instance goes on here, whatever was at home here before. Answers which installation it is.
    ///
    /// # Errors
    /// When the database refuses.
    pub(crate) async fn go_on_here(&self, call: &Call) -> Done<uuid::Uuid> {
        let record = self.store.instance().await?.ok_or(StoreError::Missing("instance"))?;
        let mut tx = self.begin("instance.survivor", call).await?;
        match tx.declare_survivor().await {
            // Nobody ever probed: no peer knows of another.
            Ok(()) | Err(StoreError::Missing(_)) => {}
            Err(error) => return Err(error.into()),
        }
        tx.audit("instance.survivor", "INSTANCE", record.id, "OK", json!({}));
        tx.commit().await?;
        Ok(record.install)
    }

    /// Whether the peer of a connection suspects a copy of us, by what this process knows.
    pub(super) fn is_suspected(&self, connection: &Connection) -> Result<(), Refusal> {
        if self.watch.lock().is_suspected(connection.id) {
            return Ok(());
        }
        let message = "The other side suspects no copy of this instance: there is nothing to confirm.";
        Err(Refusal::new(RefusalCode::WrongState, message).reason(Pause::SUSPECTS))
    }
}
