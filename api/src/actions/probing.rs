//! Probes: both directions of a connection that stands, watched. What is known is in [`super::watch`].

use std::time::Duration;

use chrono::TimeDelta;
use serde_json::{Value, json};
use uuid::Uuid;

use super::envelope::{SealedRequest, undecipherable};
use super::pause::paused_here;
use super::settings::sync_soon;
use super::watch::{Channel, LEASE, READ_EVERY, SAVED_EVERY, Unsaved};
use super::{Actions, Call, Done, Failure};
use crate::domain::Timestamp;
use crate::domain::causes::causes;
use crate::domain::connection::{Connection, State};
use crate::domain::direction::{Cause, DirectionStatus, Evidence, Way};
use crate::domain::effect::Work;
use crate::domain::explain::remedy_for;
use crate::domain::failure::Operation;
use crate::domain::id::{ChannelId, ConnectionId};
use crate::domain::refusal::{Refusal, RefusalCode};
use crate::domain::scan::Subject;
use crate::peer::wire::{self, Heartbeat};
use crate::store::{ChangeKind, Failed, NewJob};

/// How long the database may take for one step of the watch before it counts as away.
const DATABASE_LIMIT: Duration = Duration::from_secs(5);
/// The kind of message that probes.
pub(super) const PROBE: &str = "probe";

impl Actions {
    /// Keeps the watch in step with the database: who probes, what is watched, what became of it. Answers whether the
    /// database did its part; if it did not, probing goes on from memory.
    pub(crate) async fn keep_watch(&self, call: &Call) -> bool {
        let step = self.keep_in_step(call, self.world.now());
        tokio::pin!(step);
        let kept = match tokio::time::timeout(DATABASE_LIMIT, &mut step).await {
            Ok(kept) => kept,
            // It hangs. To cut it off would lose what it is about to write.
            Err(_) => {
                if !std::mem::replace(&mut self.watch.lock().unwritten, true) {
                    tracing::error!("the watch goes on without the database, which hangs");
                }
                step.await
            }
        };
        let before = std::mem::replace(&mut self.watch.lock().unwritten, kept.is_err());
        match kept {
            Ok(()) => {
                if before {
                    tracing::info!("the watch goes on with the database again");
                }
                true
            }
            Err(failure) => {
                if !before {
                    tracing::error!(failure = causes(&failure), "the watch goes on without the database");
                }
                false
            }
        }
    }

    /// The connections to probe now, at most `room`, and when the next is due.
    pub(crate) fn due_probes(&self, room: usize) -> (Vec<ConnectionId>, Option<Timestamp>) {
        let now = self.world.now();
        let mut watch = self.watch.lock();
        watch.judge_all(self.profile.measure, now);
        let due = watch.take_due(now, room);
        (due, watch.next_due())
    }

    async fn keep_in_step(&self, call: &Call, now: Timestamp) -> Done<()> {
        self.keep_lease(call, now).await?;
        self.follow_connections(now).await?;
        let all = {
            let watch = self.watch.lock();
            watch.saved_at.is_none_or(|at| now - at >= SAVED_EVERY || now < at)
        };
        self.save_watch(call, all).await?;
        // Probes begin no transaction of their own. What cannot be recorded, each of them says itself.
        let _ = self.keys.ready().await;
        Ok(())
    }

    /// Takes or renews the lease on probing. An embedded database has one node, which only writes down that it watches.
    async fn keep_lease(&self, call: &Call, now: Timestamp) -> Done<()> {
        let shared = self.store.is_shared();
        let (node, held) = {
            let mut watch = self.watch.lock();
            if watch.renew_at.is_some_and(|at| now < at && at - now <= SAVED_EVERY) {
                return Ok(());
            }
            let node = match watch.node {
                Some(node) => node,
                None => *watch.node.insert(self.world.uuid()?),
            };
            (node, watch.since.is_some())
        };
        // Each renewal is a step of the chain of heartbeats, so one is taken for each probe of a connection.
        let (lasts, again) = if shared {
            (LEASE, LEASE / 3)
        } else {
            (TimeDelta::zero() - LEASE, self.profile.measure.interval.min(SAVED_EVERY / 3))
        };
        let heard = self.watch.lock().most_heard();
        let lease = self.store.take_watch(node, (now, now + lasts), heard).await?;
        self.step_on(&lease, shared.then(|| now + lasts)).await?;
        let gap = {
            let mut watch = self.watch.lock();
            watch.renew_at = Some(now + again);
            match (lease.held.is_some(), held) {
                // Another node watched meanwhile.
                (false, _) => (watch.since, watch.gap) = (None, None),
                (true, true) => {}
                (true, false) => {
                    watch.begin(now);
                    let silent = self.profile.measure.interval * 3 + again;
                    watch.gap = lease.renewed_at.filter(|at| now - *at > silent);
                }
            }
            watch.gap
        };
        if let Some(from) = gap {
            let mut tx = self.begin("watch.gap", call).await?;
            tx.record_gap(from).await?;
            tx.commit().await?;
            self.watch.lock().gap = None;
        }
        Ok(())
    }

    /// Learns which connections stand: those that changed, or all when it is time.
    async fn follow_connections(&self, now: Timestamp) -> Done<()> {
        let (cursor, everything) = {
            let watch = self.watch.lock();
            (watch.cursor, watch.read_at.is_none_or(|at| now - at >= READ_EVERY || now < at))
        };
        let announced = *self.store.watch().borrow();
        if !everything && announced <= cursor {
            return Ok(());
        }
        // Before everything is read: what changes meanwhile is read again.
        let after = if everything { i64::MAX } else { cursor };
        let (changed, head) = self.store.changed_connections(after).await?;
        if everything {
            let rows = self.store.watched(None).await?;
            let mut watch = self.watch.lock();
            watch.learn(rows, None, self.profile.measure, now);
            watch.read_at = Some(now);
            watch.cursor = head;
        } else if !changed.is_empty() {
            let rows = self.store.watched(Some(&changed)).await?;
            let mut watch = self.watch.lock();
            watch.learn(rows, Some(&changed), self.profile.measure, now);
            watch.cursor = head;
        } else {
            self.watch.lock().cursor = head;
        }
        Ok(())
    }

    /// Writes what changed; with `all`, everything that was seen.
    async fn save_watch(&self, call: &Call, all: bool) -> Done<()> {
        let mut all = all;
        loop {
            let unsaved = {
                let mut watch = self.watch.lock();
                if all {
                    watch.saved_at = Some(self.world.now());
                }
                watch.take_unsaved(std::mem::take(&mut all))
            };
            if unsaved.is_empty() {
                return Ok(());
            }
            if let Err(failure) = self.write_watch(call, &unsaved).await {
                self.watch.lock().put_back(unsaved);
                return Err(failure);
            }
        }
    }

    async fn write_watch(&self, call: &Call, unsaved: &Unsaved) -> Done<()> {
        let mut tx = self.begin("watch.save", call).await?;
        tx.save_evidence(&unsaved.directions).await?;
        tx.add_traffic(&unsaved.traffic).await?;
        tx.record_transitions(&unsaved.told).await?;
        // Whoever was away may not have heard of what changed meanwhile: the work of telling it may have been given up. Not
        // compared with what it last agreed on, which costs more here than to ask it: a catalogue is large, and many
        // come back at once.
        for (connection, _) in unsaved.changed.iter().filter(|(one, _)| unsaved.back.contains(&one.id)) {
            sync_soon(&mut tx, connection).await?;
        }
        let changed: Vec<_> = unsaved.changed.iter().map(|(connection, _)| connection.id).collect();
        self.look_soon(&mut tx, &changed).await?;
        for (connection, cause) in &unsaved.changed {
            tx.connection_changed(connection, ChangeKind::Updated, connection.revision);
            if let Some(cause) = cause {
                tx.record_failure(&missed(connection, cause, call)).await?;
            }
        }
        tx.commit().await?;
        for (id, way, told) in &unsaved.told {
            let (status, code) =
                (told.status.map(DirectionStatus::as_str), told.code.map(RefusalCode::as_str));
            tracing::info!(connection = %id, direction = way.as_str(), status, code, reason = told.reason, "status");
        }
        Ok(())
    }

    /// Writes everything and lets another node go on at once.
    pub(crate) async fn leave_watch(&self, call: &Call) -> Done<()> {
        self.save_watch(call, true).await?;
        let node = self.watch.lock().node;
        if let Some(node) = node {
            self.store.leave_watch(node, self.world.now()).await?;
        }
        Ok(())
    }

    /// Seals a probe; none when the connection does not stand any more.
    pub(crate) async fn probe_request(&self, id: ConnectionId) -> Done<Option<SealedRequest>> {
        let now = self.world.now();
        let (channel, said) = {
            let mut watch = self.watch.lock();
            let mark = watch.mark(id, now).map(wire::Mark::from);
            (watch.channel(id), Heartbeat { mark, ..watch.heartbeat(id, self.profile.measure, now) })
        };
        let Some(Channel { connection, keys, seq, .. }) = channel else { return Ok(None) };
        let mut said = serde_json::to_value(&said).map_err(|_| Failure::Bug("heartbeat"))?;
        self.say_checkpoint(id, &mut said).await;
        let said = said.to_string().into_bytes();
        self.seal_with(&connection, &keys, (self.world.uuid()?, seq), PROBE, &said).await.map(Some)
    }

    /// Opens the answer to a probe: what the peer sees, or why it cannot work.
    pub(crate) async fn probe_answer(
        &self,
        request: &SealedRequest,
        answer: &wire::Envelope,
    ) -> Done<Result<Heartbeat, wire::Refused>> {
        let channel = self.watch.lock().channel(request.connection.id);
        let Some(Channel { keys, .. }) = channel else { return Err(undecipherable()) };
        let plaintext = self.open_with(&keys, request, answer).await?;
        let value: Value = serde_json::from_slice(&plaintext).map_err(|_| undecipherable())?;
        self.take_countersignature(&request.connection, &value).await;
        self.watch.lock().peer_knows(request.connection.id, value.get(wire::KNOWS).and_then(Value::as_i64));
        if let Some(refused) = value.get("refused") {
            return Ok(Err(serde_json::from_value(refused.clone()).map_err(|_| undecipherable())?));
        }
        Ok(Ok(serde_json::from_value(value).map_err(|_| undecipherable())?))
    }

    /// A probe was answered, or missed.
    pub(crate) fn probed(&self, id: ConnectionId, outcome: Result<(Heartbeat, i64), Cause>) {
        let measure = self.profile.measure;
        // Up to a tenth of the interval earlier, so that many connections do not come to probe in step.
        let spread = measure.interval / 10 * i32::from(self.chance()) / 65_536;
        let now = self.world.now();
        self.watch.lock().probed(id, (measure, spread), now, outcome);
    }

    /// Answers a probe from memory; none when the connection is not watched here, and the database has to be asked.
    ///
    /// # Errors
    /// As [`Actions::receive_message`].
    pub(super) async fn receive_probe(
        &self,
        call: &Call,
        envelope: &wire::Envelope,
    ) -> Done<Option<Vec<u8>>> {
        let id = ChannelId(Uuid::from_bytes(envelope.link_id.0));
        let known = self.watch.lock().by_channel(id);
        let known = match known {
            Some(known) => known,
            None => {
                let Some(row) = self.store.watched_channel(id).await? else { return Ok(None) };
                let mut watch = self.watch.lock();
                let asked = [row.connection.id];
                watch.learn(vec![row], Some(&asked), self.profile.measure, self.world.now());
                let Some(known) = watch.by_channel(id) else { return Ok(None) };
                known
            }
        };
        let plaintext = match self.open_request(&known.keys, envelope).await {
            Ok(plaintext) => plaintext,
            Err(failure) if keys_are_away(&failure) => return Err(failure),
            Err(_) => {
                // The keys may have changed since they were read.
                let Some(row) = self.store.watched_channel(id).await? else { return Err(undecipherable()) };
                self.open_request(&row.keys, envelope).await?
            }
        };
        let now = self.world.now();
        let mut known = known;
        let id = known.connection.id;
        let fresh = envelope.expires >= now.timestamp() && envelope.in_reply_to.is_none();
        if !fresh || !self.watch.lock().take(id, envelope.msg_id, envelope.expires, now) {
            return Err(undecipherable());
        }
        let said: Heartbeat = serde_json::from_slice(&plaintext).unwrap_or_default();
        if let Some(mark) = &said.mark
            && let Some(changed) = self.follow_chain(call, &known.connection, &mark.into()).await?
        {
            known.connection = changed;
        }
        let connection = &known.connection;
        let mut answer = match self.may_probe(&known, now) {
            Ok(()) => {
                let heartbeat = {
                    let mut watch = self.watch.lock();
                    watch.heard(connection.id, &said, self.profile.measure, now);
                    watch.heartbeat(connection.id, self.profile.measure, now)
                };
                let mut answer = serde_json::to_value(heartbeat).map_err(|_| Failure::Bug("heartbeat"))?;
                self.keep_checkpoint(call, connection, &plaintext, &mut answer).await;
                answer
            }
            Err(refusal) => json!({ "refused": wire::Refused::new(&refusal, call.trace.to_string()) }),
        };
        if let (Some(knows), Some(answer)) = (self.watch.lock().knows(id), answer.as_object_mut()) {
            answer.insert(wire::KNOWS.to_owned(), knows.into());
        }
        let message = (self.world.uuid()?, known.seq);
        let bytes = self.answer_with(connection, &known.keys, message, envelope, &answer).await?;
        Ok(Some(bytes))
    }

    /// Whether a probe of the peer proves that messages would be taken.
    fn may_probe(&self, known: &Channel, now: Timestamp) -> Result<(), Refusal> {
        if let Some(pause) = known.connection.pause() {
            return Err(paused_here(&pause));
        }
        if !matches!(known.connection.state, State::Onboarded { .. }) {
            let state = known.connection.state.name();
            let message = format!("The connection is {} on the other side.", state.label().to_lowercase());
            return Err(Refusal::new(RefusalCode::WrongState, message).reason(state.as_str()));
        }
        let account = known.account.as_ref();
        if !account.is_some_and(|a| a.expires_at > now && a.scopes.iter().any(|scope| scope == PROBE)) {
            let message = "The service account may not send messages of the kind “probe”.";
            return Err(Refusal::new(RefusalCode::PolicyDenied, message).reason("SCOPE"));
        }
        // Memory answers, but a message with an effect would not be taken: to say *Up* would be a lie.
        let watch = self.watch.lock();
        if watch.unread || watch.unwritten {
            let message = "The other instance's database does not answer.";
            return Err(Refusal::new(RefusalCode::PeerUnavailable, message).reason("DATABASE"));
        }
        Ok(())
    }

    /// What is known of a direction, the newest of what is stored and what this process saw; and its status.
    #[must_use]
    pub fn direction(
        &self,
        connection: &Connection,
        way: Way,
        stored: Evidence,
    ) -> (Evidence, Option<DirectionStatus>) {
        let watch = self.watch.lock();
        let evidence = watch.newest(connection.id, way, stored);
        let measure = watch.measure(self.profile.measure);
        let status = evidence.status(connection.state.name(), measure, self.world.now());
        (evidence, status)
    }

    /// What we ourselves see of a direction, whatever the peer says.
    #[must_use]
    pub fn own_view(&self, connection: &Connection, evidence: &Evidence) -> Option<DirectionStatus> {
        let measure = self.watch.lock().measure(self.profile.measure);
        evidence.seen(connection.state.name(), measure, self.world.now())
    }

    /// Whether what the peer said then still counts.
    #[must_use]
    pub fn view_counts(&self, said: Timestamp) -> bool {
        let measure = self.watch.lock().measure(self.profile.measure);
        measure.is_fresh(said, self.world.now())
    }

    /// Whether the last probe of a connection was missed, or its direction is not up again yet.
    pub(crate) fn is_in_doubt(&self, id: ConnectionId) -> bool {
        self.watch.lock().is_in_doubt(id)
    }

    /// When a connection is probed next; none unless this node probes it.
    #[must_use]
    pub fn next_probe_at(&self, id: ConnectionId) -> Option<Timestamp> {
        self.watch.lock().due(id)
    }

    /// Whether the lease on probing, and with it the chain of heartbeats, is as new as this time asks for, or the database
    /// keeps it from that: for whoever moves the clock and waits until all that is due was done.
    #[must_use]
    pub fn keeps_up(&self) -> bool {
        let now = self.world.now();
        let watch = self.watch.lock();
        watch.unwritten || watch.renew_at.is_none_or(|at| now < at)
    }

    /// A direction was proven by a message of onboarding.
    pub(crate) async fn outbound_proven(
        &self,
        call: &Call,
        id: ConnectionId,
        round_trip_ms: i64,
    ) -> Done<()> {
        let mut tx = self.begin("direction.proven", call).await?;
        let connection = self.connection(&tx, id).await?;
        self.prove_direction(&mut tx, &connection, Way::Outbound, Some(round_trip_ms)).await?;
        tx.commit().await?;
        Ok(())
    }

    /// A direction was proven by a message with an effect.
    pub(super) async fn prove_direction(
        &self,
        tx: &mut crate::store::Tx,
        connection: &Connection,
        way: Way,
        round_trip_ms: Option<i64>,
    ) -> Done<()> {
        let now = tx.now();
        let mut evidence = tx.evidence(connection.id, way).await?;
        evidence.proven(now, round_trip_ms, self.profile.measure);
        let told = evidence.judge(connection.state.name(), self.profile.measure, now);
        tx.save_evidence(&[(connection.id, way, evidence)]).await?;
        if let Some(told) = told {
            tx.record_transitions(&[(connection.id, way, told)]).await?;
            tx.connection_changed(connection, ChangeKind::Updated, connection.revision);
        }
        Ok(())
    }

    /// Whether the inbound direction was proven since then.
    pub(crate) async fn inbound_proven_since(
        &self,
        call: &Call,
        id: ConnectionId,
        since: Timestamp,
    ) -> Done<bool> {
        let tx = self.begin_reading("direction.read", call).await?;
        let evidence = tx.evidence(id, Way::Inbound).await?;
        Ok(evidence.last_proof_at.is_some_and(|proof| proof >= since))
    }

    /// Forgets what is past its time, and schedules the next sweep.
    pub(crate) async fn sweep(&self, call: &Call) -> Done<()> {
        let mut tx = self.begin("sweep", call).await?;
        tx.sweep().await?;
        self.expire_approvals(&mut tx).await?;
        let run_at = tx.now() + TimeDelta::hours(1);
        tx.enqueue(NewJob { work: Work::Sweep, run_at, sealed: None }).await?;
        tx.commit().await?;
        Ok(())
    }
}

fn missed(connection: &Connection, cause: &Cause, call: &Call) -> Failed {
    Failed {
        subject: Subject::Connection(connection.id),
        company: connection.company,
        operation: Operation::Probe,
        code: cause.code,
        reason: cause.reason.clone(),
        message: cause.detail.clone().unwrap_or_else(|| cause.code.label().to_owned()),
        remedy: Some(remedy_for(cause.code, cause.reason.as_deref(), connection.id)),
        trace: cause.trace.unwrap_or(call.trace),
        peer_trace: cause.peer_trace,
    }
}

/// Whether our key service does not work or may not be used, so that another key would not help.
pub(crate) fn keys_are_away(failure: &Failure) -> bool {
    match failure {
        Failure::Keys(_) => true,
        Failure::Refused(refusal) => {
            matches!(refusal.code, RefusalCode::KeyServiceUnhealthy | RefusalCode::PolicyDenied)
        }
        Failure::Store(_) | Failure::Bug(_) => false,
    }
}
