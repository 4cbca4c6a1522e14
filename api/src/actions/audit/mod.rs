//! The audit trail: signed checkpoints, what peers keep of each other's, and exports.

pub(super) mod chain;
pub mod export;
mod log;
mod witnesses;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::TimeDelta;
use keyservice::checkpoint::{Checkpoint, EVERY_SECONDS, Note, NoteSignature, SignatureKind, VerifyingKey};
use keyservice::{KeyState, PublicKey, SealedKey};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Actions, Call, Done, Failure, Keys};
use crate::domain::Timestamp;
use crate::domain::causes::causes;
use crate::domain::connection::Connection;
use crate::domain::effect::Work;
use crate::domain::id::{ConnectionId, InstanceId};
use crate::domain::link::hex;
use crate::domain::refusal::{Refusal, RefusalCode};
use crate::store::{Kept, NewJob, StoreError};

/// What goes with a probe about the two audit trails, each way; all of it optional.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Witnessing {
    /// The newest checkpoint of the sender's trail, as a note, until the receiver has countersigned it.
    #[serde(skip_serializing_if = "Option::is_none")]
    checkpoint: Option<String>,
    /// The countersignature of the checkpoint that came with the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    countersigned: Option<Countersigned>,
}

/// That a checkpoint is kept.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Countersigned {
    /// How many entries it covers.
    size: u64,
    /// The signature line of the note.
    signature: String,
}

/// What this process knows of its trail, so that a probe costs nothing.
#[derive(Clone, Default)]
pub(crate) struct Trail(Arc<Mutex<Known>>);

#[derive(Default)]
pub(crate) struct Known {
    read_at: Option<Timestamp>,
    newest: Option<Kept>,
    countersigned: BTreeMap<ConnectionId, i64>,
}

impl Trail {
    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The name under which an instance countersigns.
fn witness_name(instance: InstanceId) -> String {
    format!("linkspan/{}/witness", instance.0.simple())
}

impl Actions {
    /// Schedules checkpoints, once per database.
    pub(crate) async fn schedule_checkpoints(&self, call: &Call) -> Done<()> {
        let mut tx = self.begin_keyless("checkpoint.schedule", call).await?;
        if !tx.has_work(&[Work::Checkpoint]).await? {
            let run_at = tx.now() + TimeDelta::seconds(EVERY_SECONDS);
            tx.enqueue(NewJob { work: Work::Checkpoint, run_at, sealed: None }).await?;
            tx.commit().await?;
        }
        Ok(())
    }

    /// Signs how far the trail goes, if it goes on from where it was signed last, and schedules the next time.
    ///
    /// # Errors
    /// When the key service or the database does not answer.
    pub async fn checkpoint(&self, call: &Call) -> Done<()> {
        let newest = self.store.newest_checkpoint().await?;
        let made = match self.next_checkpoint(newest.as_ref()).await? {
            Some(checkpoint) => {
                let n = i64::try_from(checkpoint.size).map_err(|_| Failure::Bug("audit number"))?;
                let key = self.audit_key().await?;
                let note = self.keys.audit().sign_checkpoint(&key, &checkpoint, self.world.now()).await?;
                Some(Kept { n, note: note.to_string() })
            }
            None => None,
        };
        let mut tx = self.begin("checkpoint", call).await?;
        if let Some(made) = &made {
            match tx.add_checkpoint(made.n, made.note.clone()).await {
                // Another node was faster; the schedule goes on all the same.
                Err(StoreError::Duplicate(_)) => {
                    drop(tx);
                    tx = self.begin("checkpoint", call).await?;
                }
                done => done?,
            }
        }
        let run_at = tx.now() + TimeDelta::seconds(EVERY_SECONDS);
        tx.enqueue(NewJob { work: Work::Checkpoint, run_at, sealed: None }).await?;
        tx.commit().await?;
        if made.is_some() {
            // The next probe says so, rather than the next that looks.
            self.trail.lock().newest = made;
        }
        Ok(())
    }

    fn audit_origin(&self) -> String {
        Checkpoint::origin_of(&self.profile.instance.bytes())
    }

    async fn audit_key(&self) -> Done<SealedKey> {
        let keys = self.store.keys(Keys::AUDIT).await?;
        keys.into_iter().find(|key| key.state == KeyState::Active).ok_or_else(|| {
            let message =
                "No key signs checkpoints of the audit trail. A key manager rotates the key module audit.";
            Refusal::new(RefusalCode::KeyServiceUnhealthy, message).reason(Failure::TRAIL_AWAY).into()
        })
    }

    /// Puts into a probe the newest checkpoint of our trail, unless the peer countersigned it. A probe never fails over
    /// it, and the database is asked once in a while only.
    pub(crate) async fn say_checkpoint(&self, peer: ConnectionId, body: &mut Value) {
        let now = self.world.now();
        let read = self.trail.lock().read_at;
        if read.is_none_or(|at| now - at >= TimeDelta::seconds(EVERY_SECONDS / 4) || now < at) {
            let newest = self.store.newest_checkpoint().await;
            let mut trail = self.trail.lock();
            trail.read_at = Some(now);
            trail.newest = newest.ok().flatten();
        }
        let trail = self.trail.lock();
        // Also when it is smaller: that the trail became shorter is for the peer to notice.
        let known = trail.countersigned.get(&peer).copied().unwrap_or_default();
        if let Some(newest) = trail.newest.as_ref().filter(|newest| newest.n != known) {
            merge(body, &Witnessing { checkpoint: Some(newest.note.clone()), countersigned: None });
        }
    }

    /// Keeps the checkpoint that came with a probe, and puts the countersignature into the answer. A probe is answered
    /// whatever becomes of it.
    pub(crate) async fn keep_checkpoint(
        &self,
        call: &Call,
        connection: &Connection,
        request: &[u8],
        answer: &mut Value,
    ) {
        let said: Witnessing = serde_json::from_slice(request).unwrap_or_default();
        let Some(text) = said.checkpoint else { return };
        match self.witness(call, connection, text).await {
            Ok(countersigned) => merge(answer, &Witnessing { checkpoint: None, countersigned }),
            Err(failure) => tracing::warn!(failure = causes(&failure), "a peer's checkpoint was not kept"),
        }
    }

    async fn witness(
        &self,
        call: &Call,
        connection: &Connection,
        text: String,
    ) -> Done<Option<Countersigned>> {
        let Some(peer) = connection.peer.instance else { return Ok(None) };
        let Ok(note) = text.parse::<Note>() else { return Ok(None) };
        let Ok(checkpoint) = Checkpoint::parse(note.text()) else { return Ok(None) };
        let size = i64::try_from(checkpoint.size).unwrap_or(i64::MAX);
        if checkpoint.origin != Checkpoint::origin_of(&peer.bytes()) {
            return Ok(None);
        }
        let mut tx = self.begin("audit.witness", call).await?;
        let mut kept = tx.witnessed(connection.id).await?;
        let before = kept.note.as_deref().and_then(|note| note.parse::<Note>().ok());
        let same = before.as_ref().is_some_and(|before| before.text() == note.text());
        if !same && before.is_some() && size <= kept.theirs {
            // Its trail is shorter than it was, or another one: a restored backup, a clone, or a rewriting.
            if kept.disputed.as_deref() != Some(text.as_str()) {
                let root = hex(&checkpoint.root);
                let details = json!({ "kept": kept.theirs, "said": size, "root": root });
                tx.audit("audit.witness", "CONNECTION", connection.id, "CONTRADICTION", details);
                tracing::error!(connection = %connection.id, "a peer's audit trail contradicts what it was");
                kept.disputed = Some(text);
                tx.save_witnessed(connection.id, kept).await?;
                tx.commit().await?;
            }
            return Ok(None);
        }
        let name = witness_name(self.profile.instance);
        let signature = self.keys.audit().countersign(&name, &note, tx.now()).await?;
        let countersigned = Countersigned { size: checkpoint.size, signature: signature.to_string() };
        if !same {
            let mut note = note;
            note.push(signature);
            (kept.theirs, kept.note) = (size, Some(note.to_string()));
            tx.keep_hourly(connection.id, &note.to_string()).await?;
            tx.save_witnessed(connection.id, kept).await?;
            tx.commit().await?;
        }
        Ok(Some(countersigned))
    }

    /// Takes the countersignature out of the answer to a probe, if it is one of the peer for a checkpoint of ours.
    pub(crate) async fn take_countersignature(&self, connection: &Connection, answer: &Value) {
        let said: Witnessing = serde_json::from_value(answer.clone()).unwrap_or_default();
        let Some(countersigned) = said.countersigned else { return };
        if let Err(failure) = self.countersigned(connection, countersigned).await {
            tracing::warn!(failure = causes(&failure), "a countersignature was not kept");
        }
    }

    async fn countersigned(&self, connection: &Connection, countersigned: Countersigned) -> Done<()> {
        let Some(key) = witness_key(connection) else { return Ok(()) };
        let call = Call::system(self.fresh_trace());
        let mut tx = self.begin("audit.countersigned", &call).await?;
        let size = i64::try_from(countersigned.size).unwrap_or(i64::MAX);
        let Some(ours) = tx.checkpoint(size).await? else { return Ok(()) };
        let mut note: Note = ours.note.parse().map_err(|_| Failure::Bug("checkpoint"))?;
        let Ok(signature) = countersigned.signature.parse::<NoteSignature>() else { return Ok(()) };
        note.push(signature);
        let mut kept = tx.witnessed(connection.id).await?;
        if note.verified_by(&[key]).next().is_none() || size < kept.ours {
            return Ok(());
        }
        if size > kept.ours {
            (kept.ours, kept.signature) = (size, Some(countersigned.signature));
            tx.save_witnessed(connection.id, kept).await?;
            tx.commit().await?;
        }
        // Known from before a start, too, or each probe would ask for it again.
        self.trail.lock().countersigned.insert(connection.id, size);
        Ok(())
    }

    /// The public keys with which this instance signs checkpoints, the newest first, and countersigns those of
    /// others: what an auditor needs to be given. What vouches for nothing is left out, and the log says so.
    ///
    /// # Errors
    /// When the database or the key service does not answer.
    pub async fn audit_keys(&self) -> Done<Vec<VerifyingKey>> {
        let origin = self.audit_origin();
        let rows = self.store.keys_of(&[Keys::AUDIT]).await?;
        // Public halves are given out whatever was done to the trail: they are what shows it.
        let written = self.as_written(rows.clone()).await?;
        let mut keys = Vec::new();
        for key in rows {
            let (version, state) = (key.version, key.state.as_str());
            if !written.contains(&key) {
                tracing::warn!(
                    version,
                    "a key of the audit trail is left out: its row was not written like this"
                );
            } else if !vouches(key.state) {
                tracing::warn!(
                    version,
                    state,
                    "a key of the audit trail is left out: it vouches for nothing"
                );
            } else {
                keys.push(VerifyingKey::new(&origin, SignatureKind::Note, key.public_key()?)?);
            }
        }
        let name = witness_name(self.profile.instance);
        keys.push(VerifyingKey::new(&name, SignatureKind::Cosignature, *self.keys.public_key())?);
        Ok(keys)
    }

    /// The checkpoints of other instances' trails that this one keeps, as notes: the first of an hour, of a day, or of
    /// thirty days, the longer ago the fewer, and each instance's newest.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn kept_checkpoints(&self) -> Done<Vec<Note>> {
        let mut notes: Vec<String> =
            self.store.witnessed_before().await?.into_iter().map(|(_, note)| note).collect();
        for newest in self.store.witnessed().await?.into_iter().filter_map(|(_, kept)| kept.note) {
            if !notes.contains(&newest) {
                notes.push(newest);
            }
        }
        Ok(notes.iter().filter_map(|note| note.parse().ok()).collect())
    }

    /// Our checkpoints behind this number, each with the countersignatures of peers.
    async fn countersigned_checkpoints(&self, behind: i64, limit: u64) -> Done<Vec<(i64, Note)>> {
        let witnessed = self.store.witnessed().await?;
        let mut notes = Vec::new();
        for Kept { n, note } in self.store.checkpoints_behind(behind, limit).await? {
            // A note that cannot be read is left out here; the verification misses its signature.
            let Ok(mut note) = note.parse::<Note>() else { continue };
            let signatures = witnessed.iter().filter(|(_, kept)| kept.ours == n);
            for signature in signatures.filter_map(|(_, kept)| kept.signature.as_deref()?.parse().ok()) {
                note.push(signature);
            }
            notes.push((n, note));
        }
        Ok(notes)
    }
}

/// Whether a signature says that this instance made it. Others may have a key that is marked as compromised; of one that
/// was destroyed, nobody knows any more whether it was.
fn vouches(state: KeyState) -> bool {
    match state {
        KeyState::PreActive
        | KeyState::Active
        | KeyState::Suspended
        | KeyState::Deactivated
        | KeyState::Revoked => true,
        KeyState::Compromised | KeyState::Destroyed => false,
    }
}

/// The key with which the peer of a connection countersigns.
fn witness_key(connection: &Connection) -> Option<VerifyingKey> {
    let key = PublicKey::parse(connection.peer.public_key.as_ref()?).ok()?;
    VerifyingKey::new(&witness_name(connection.peer.instance?), SignatureKind::Cosignature, key).ok()
}

fn merge(body: &mut Value, witnessing: &Witnessing) {
    if let (Value::Object(body), Ok(Value::Object(more))) = (body, serde_json::to_value(witnessing)) {
        body.extend(more);
    }
}
