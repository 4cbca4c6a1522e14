//! Rotation of the key encryption key, while everything goes on.
//!
//! 1. A new one is added to the hierarchy and stored; from then on it wraps, and the old one only unwraps.
//! 2. What the old one wraps is wrapped again, a batch a transaction, each row only if nobody changed it meanwhile.
//! 3. When nothing is left, the old one stays for [`SETTLES`]: whoever read a row before may still be at work with it.
//! 4. It is counted once more, and the hierarchy is stored without the old one. What was wrapped under it by somebody
//!    who slept through all that is not stored any more ([`Tx::wrap_from`]).
//!
//! Each step is one transaction, which writes the job for the next one: whoever is killed goes on where the records say.
//! What cannot be wrapped again keeps the old key alive, and is named.

use chrono::TimeDelta;
use keyservice::{Error, RewrapProgress, Right, SealedHierarchy, SealedKey, SealedPending};
use serde_json::json;
use uuid::Uuid;

use super::key_rights::require_right;
use super::once::{Answer, Kept};
use super::{Actions, Call, Done, Failure};
use crate::domain::Timestamp;
use crate::domain::causes::causes;
use crate::domain::effect::Work;
use crate::domain::id::{AttemptId, UserId};
use crate::domain::key_encryption::{KeyEncryptionKey, KeyEncryptionVerb, KeyRotation, RotationStage};
use crate::domain::refusal::{Refusal, RefusalCode};
use crate::store::{NewJob, Reader, Tx, Waiting};
use crate::vault::VaultError;

/// How many keys are wrapped again in one transaction.
const BATCH: u64 = 100;
/// How long the old key stays when nothing is left under it: longer than any request, piece of work or transaction
/// takes, and than any node works with what it read before.
const SETTLES: TimeDelta = TimeDelta::minutes(2);
/// When a step that did not succeed is tried again.
const AGAIN: TimeDelta = TimeDelta::seconds(30);
/// How many rows that cannot be wrapped again are named.
const NAMED: usize = 5;
/// The longest text about what keeps a rotation from going on, in characters.
const ERROR_MAX: usize = 500;

/// A batch of what is wrapped again.
#[derive(Default)]
struct Batch {
    keys: Vec<(SealedKey, SealedKey)>,
    handshakes: Vec<(Waiting, Vec<u8>)>,
    attempts: Vec<AttemptId>,
    /// What cannot be, and why.
    left: Vec<String>,
}

impl Batch {
    fn is_empty(&self) -> bool {
        self.keys.is_empty() && self.handshakes.is_empty() && self.attempts.is_empty()
    }

    /// What cannot be wrapped again, in a sentence.
    fn faults(&self) -> Option<String> {
        let named = self.left.iter().take(NAMED).cloned().collect::<Vec<_>>().join(" ");
        match self.left.len().saturating_sub(NAMED) {
            _ if self.left.is_empty() => None,
            0 => Some(named),
            more => Some(format!("{named} And {more} more.")),
        }
    }
}

impl Actions {
    /// The key encryption key, and how far its rotation is.
    ///
    /// # Errors
    /// `NOT_AN_ADMINISTRATOR`.
    pub async fn key_encryption_key(&self, call: &Call) -> Done<KeyEncryptionKey> {
        require_right(call, Right::ReadMetadata)?;
        Ok(KeyEncryptionKey::after(self.store.key_rotation().await?))
    }

    /// What can be done with the key encryption key, and whether the caller may.
    #[must_use]
    pub fn key_encryption_actions(
        &self,
        call: &Call,
        key: &KeyEncryptionKey,
    ) -> Vec<(KeyEncryptionVerb, Result<(), Refusal>)> {
        vec![(KeyEncryptionVerb::Rotate, self.may_rotate_key_encryption(call, key))]
    }

    fn may_rotate_key_encryption(&self, call: &Call, key: &KeyEncryptionKey) -> Result<(), Refusal> {
        require_right(call, Right::RotateKeyEncryptionKey)?;
        if key.rotation.as_ref().is_some_and(KeyRotation::is_under_way) {
            let message = "The rotation before is not over: it goes on by itself.";
            return Err(Refusal::new(RefusalCode::WrongState, message).reason("ROTATION_IN_PROGRESS"));
        }
        self.require_fresh(call)
    }

    /// Begins a rotation of the key encryption key; the worker carries it out.
    ///
    /// # Errors
    /// `NOT_AN_ADMINISTRATOR`, `STEP_UP_REQUIRED`; `WRONG_STATE` while one is under way; `CONFLICT` when somebody else
    /// began one at the same moment.
    pub async fn rotate_key_encryption_key(&self, call: &Call) -> Done<KeyEncryptionKey> {
        self.require_role(call, "", Right::RotateKeyEncryptionKey).await?;
        let present = KeyEncryptionKey::after(self.store.key_rotation().await?);
        self.may_rotate_key_encryption(call, &present)?;
        let before = self.keys.vault.catch_up().await?;
        let after = self.keys.vault.add_key_encryption_key().await.map_err(under_way)?;
        let version = present.version.checked_add(1).ok_or(Failure::Bug("versions"))?;
        let mut tx = self.begin("key.encryption.begin", call).await?;
        tx.save_hierarchy(&before.bytes, &after.bytes).await?;
        let wraps = tx.count_wraps(version).await?;
        let rotation = KeyRotation {
            version,
            stage: RotationStage::Rewrapping,
            total: wraps.total,
            done: wraps.total - wraps.remaining,
            started_by: call.requester.person().map(|person| UserId(person.user.0)),
            started_at: tx.now(),
            error: None,
            revision: 1,
        };
        tx.insert_key_rotation(&rotation).await?;
        let details = json!({ "version": version, "wraps": wraps.total, "generation": after.generation() });
        tx.audit("key.encryption.begin", "INSTANCE", self.profile.instance, "OK", details);
        go_on(&mut tx, TimeDelta::zero()).await?;
        tx.commit().await?;
        Ok(KeyEncryptionKey::after(Some(rotation)))
    }

    /// Sees to it that a rotation which is under way goes on.
    pub(crate) async fn schedule_rotation(&self, call: &Call) -> Done<()> {
        let mut tx = self.begin_keyless("key.encryption.schedule", call).await?;
        let under_way = tx.key_rotation().await?.is_some_and(|rotation| rotation.is_under_way());
        if under_way && !tx.has_work(&[Work::RewrapKeys]).await? {
            go_on(&mut tx, TimeDelta::zero()).await?;
            tx.commit().await?;
        }
        Ok(())
    }

    /// Does the next step of a rotation, and leaves the one after it to the next job.
    ///
    /// # Errors
    /// When the database does not answer. What else keeps it from going on is written down, and tried again.
    pub(crate) async fn carry_rotation_on(&self, call: &Call) -> Done<()> {
        let Some(rotation) = self.store.key_rotation().await?.filter(KeyRotation::is_under_way) else {
            return Ok(());
        };
        match self.next_step(call, rotation).await {
            Err(failure @ (Failure::Refused(_) | Failure::Keys(_) | Failure::Bug(_))) => {
                self.rotation_stuck(call, &failure).await
            }
            done => done,
        }
    }

    async fn next_step(&self, call: &Call, rotation: KeyRotation) -> Done<()> {
        let stored = self.keys.vault.catch_up().await?;
        if self.keys.vault.key_encryption_keys().await?.last() != Some(&rotation.version) {
            return Err(Failure::Bug("the key hierarchy does not have the key of the rotation"));
        }
        match rotation.stage {
            RotationStage::Rewrapping => self.rewrap_batch(call, rotation).await,
            RotationStage::Settling { until } => self.retire_old_key(call, rotation, until, &stored).await,
            RotationStage::Done { .. } => Ok(()),
        }
    }

    /// Wraps some of what is left again; or finds that nothing is.
    async fn rewrap_batch(&self, call: &Call, mut rotation: KeyRotation) -> Done<()> {
        let batch = self.next_batch(rotation.version).await?;
        let mut tx = self.begin("key.encryption.rewrap", call).await?;
        for (before, after) in &batch.keys {
            tx.save_rewrapped(before, after).await?;
        }
        for (before, after) in &batch.handshakes {
            tx.save_rewrapped_handshake(before, after.clone()).await?;
        }
        for id in &batch.attempts {
            self.rewrap_attempt(&mut tx, *id).await?;
        }
        let wraps = tx.count_wraps(rotation.version).await?;
        (rotation.total, rotation.done) = (wraps.total, wraps.total - wraps.remaining);
        let faults = batch.faults();
        let pause = if wraps.remaining == 0 {
            rotation.stage = RotationStage::Settling { until: tx.now() + SETTLES };
            SETTLES
        } else if batch.is_empty() {
            AGAIN
        } else {
            TimeDelta::zero()
        };
        rotation.error = noted(rotation.error, faults, tx.now());
        tx.save_key_rotation(&rotation).await?;
        go_on(&mut tx, pause).await?;
        tx.commit().await?;
        // What this process keeps of them in its memory.
        Ok(self.keys.reload().await?)
    }

    /// Some of what another key wraps, wrapped again. What cannot be is passed over.
    async fn next_batch(&self, version: u32) -> Done<Batch> {
        let mut batch = Batch::default();
        let mut behind = Uuid::nil();
        while batch.keys.is_empty() {
            let found = self.store.keys_wrapped_otherwise(version, behind, BATCH).await?;
            let Some(last) = found.last else { break };
            behind = last;
            let unreadable = found.unreadable.iter().map(|key| format!("Key {key}: its row cannot be read."));
            batch.left.extend(unreadable);
            self.rewrap_keys(found.keys, &mut batch).await?;
        }
        for waiting in self.store.handshakes_wrapped_otherwise(version, BATCH).await? {
            let Some(module) = &waiting.module else {
                batch
                    .left
                    .push(format!("The handshake of connection {} must end first.", waiting.connection));
                continue;
            };
            let pending = SealedPending { bytes: waiting.pending.clone() };
            match self.keys.vault.rewrap_pending(module, &pending).await {
                Ok(pending) => batch.handshakes.push((waiting, pending.bytes)),
                Err(VaultError::Refused(error)) => {
                    batch.left.push(format!("The handshake of connection {}: {error}.", waiting.connection));
                }
                Err(error) => return Err(error.into()),
            }
        }
        batch.attempts = self.store.attempts_wrapped_otherwise(version).await?;
        Ok(batch)
    }

    async fn rewrap_keys(&self, keys: Vec<SealedKey>, batch: &mut Batch) -> Done<()> {
        if let Ok(rewrapped) = self.keys.vault.rewrap(&keys).await {
            batch.keys = paired(keys, rewrapped);
            return Ok(());
        }
        // One by one: those that cannot be must not hold up the others.
        for key in keys {
            match self.keys.vault.rewrap(std::slice::from_ref(&key)).await {
                Ok(rewrapped) => batch.keys.extend(paired(vec![key], rewrapped)),
                Err(VaultError::Refused(error)) => {
                    batch.left.push(format!("Key {}@{}: {error}.", key.module, key.version));
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// The consumer's half of a handshake, as it is by now.
    async fn rewrap_attempt(&self, tx: &mut Tx, id: AttemptId) -> Done<()> {
        let Some((attempt, mut work, sealed, revision)) = tx.attempt(id).await? else { return Ok(()) };
        let connection = self.connection(tx, attempt.connection).await?;
        let (Some(channel), Some(pending)) = (connection.channel, &work.pending) else { return Ok(()) };
        let encoding = data_encoding::BASE64URL_NOPAD;
        let bytes = encoding.decode(pending.as_bytes()).map_err(|_| Failure::Bug("pending"))?;
        let module = keyservice::exchange::link_module(&channel.bytes());
        let rewrapped = self.keys.vault.rewrap_pending(&module, &SealedPending { bytes }).await?;
        work.pending = Some(encoding.encode(&rewrapped.bytes));
        Ok(tx.save_attempt(&attempt, &work, sealed, revision, connection.company).await?)
    }

    /// Removes the old key, if it is time and nothing is left under it.
    async fn retire_old_key(
        &self,
        call: &Call,
        mut rotation: KeyRotation,
        until: Timestamp,
        before: &SealedHierarchy,
    ) -> Done<()> {
        let now = self.world.now();
        let mut remaining = 0;
        if now >= until {
            let progress = RewrapProgress { newest: rotation.version, total: rotation.total, remaining: 0 };
            let after = self.keys.vault.retire_key_encryption_keys(progress).await?;
            let mut tx = self.begin("key.encryption.retire", call).await?;
            tx.save_hierarchy(&before.bytes, &after.bytes).await?;
            tx.wrap_from(rotation.version).await?;
            // Counted behind that line: nothing comes in any more.
            let wraps = tx.count_wraps(rotation.version).await?;
            remaining = wraps.remaining;
            if remaining == 0 {
                (rotation.total, rotation.done) = (wraps.total, wraps.total);
                rotation.stage = RotationStage::Done { at: tx.now() };
                rotation.error = None;
                tx.save_key_rotation(&rotation).await?;
                let details = json!({ "version": rotation.version, "wraps": wraps.total,
                    "generation": after.generation() });
                tx.audit("key.encryption.retire", "INSTANCE", self.profile.instance, "OK", details);
                tx.commit().await?;
                self.keys.vault.catch_up().await?;
                tracing::info!(version = rotation.version, "the key encryption key was rotated");
                return Ok(());
            }
        }
        let mut tx = self.begin("key.encryption.wait", call).await?;
        if remaining > 0 {
            rotation.stage = RotationStage::Rewrapping;
            tx.save_key_rotation(&rotation).await?;
        }
        go_on(&mut tx, (until - now).max(TimeDelta::zero())).await?;
        Ok(tx.commit().await?)
    }

    /// Writes down what keeps a rotation from going on, and has it tried again.
    async fn rotation_stuck(&self, call: &Call, failure: &Failure) -> Done<()> {
        tracing::warn!(failure = causes(&failure), "the rotation of the key encryption key does not go on");
        let mut tx = self.begin("key.encryption.stuck", call).await?;
        let Some(mut rotation) = tx.key_rotation().await?.filter(KeyRotation::is_under_way) else {
            return Ok(());
        };
        rotation.error = noted(rotation.error, Some(failure.to_string()), tx.now());
        tx.save_key_rotation(&rotation).await?;
        go_on(&mut tx, AGAIN).await?;
        Ok(tx.commit().await?)
    }
}

impl Answer for KeyEncryptionKey {
    fn kept(&self) -> Kept {
        Kept::default()
    }

    async fn again(_kept: Kept, reader: &Reader) -> Done<Self> {
        Ok(Self::after(reader.key_rotation().await?))
    }
}

/// Keys, each with itself wrapped again.
fn paired(before: Vec<SealedKey>, after: Vec<SealedKey>) -> Vec<(SealedKey, SealedKey)> {
    let find = |key: SealedKey| {
        let again = after.iter().find(|again| again.id == key.id).cloned();
        again.map(|again| (key, again))
    };
    before.into_iter().filter_map(find).collect()
}

/// The error as it is now; one that is still there is there since it came.
fn noted(
    before: Option<(String, Timestamp)>,
    now: Option<String>,
    at: Timestamp,
) -> Option<(String, Timestamp)> {
    let text: String = now?.chars().take(ERROR_MAX).collect();
    match before {
        Some((known, since)) if known == text => Some((known, since)),
        _ => Some((text, at)),
    }
}

async fn go_on(tx: &mut Tx, pause: TimeDelta) -> Done<()> {
    let run_at = tx.now() + pause;
    tx.enqueue(NewJob { work: Work::RewrapKeys, run_at, sealed: None }).await?;
    Ok(())
}

/// Another node began one that is not on record here yet.
fn under_way(error: VaultError) -> Failure {
    match error {
        VaultError::Refused(Error::RotationInProgress) => Refusal::conflict("key encryption key").into(),
        error => error.into(),
    }
}
