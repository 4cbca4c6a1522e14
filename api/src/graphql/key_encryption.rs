//! The keys above all modules: the key encryption key, which wraps all others, and the root key.

use async_graphql::{ComplexObject, Context, ID, Object, Result, SimpleObject};

use super::ask::{Ask, check, named};
use super::error;
use super::id::Kind;
use super::key_approval::{KeyApproval, KeyApprovalPayload};
use super::refusal::Action;
use super::words::KeyRotationState;
use crate::domain::Timestamp;
use crate::domain::key_encryption::{self as domain, RotationStage};

/// The key encryption key: every key of this instance is stored wrapped under it.
#[derive(SimpleObject)]
#[graphql(complex)]
pub(super) struct KeyEncryptionKey {
    /// The version that wraps, from 1.
    version: u32,
    /// The rotation that brought this version; null for the first one.
    rotation: Option<KeyRotation>,
    #[graphql(skip)]
    told: domain::KeyEncryptionKey,
}

#[ComplexObject]
impl KeyEncryptionKey {
    /// What can be done with it, and whether it can be done now by whoever asks.
    async fn actions(&self, ctx: &Context<'_>) -> Result<Vec<Action>> {
        let ask = Ask::anyone(ctx)?;
        let judged = ask.actions.key_encryption_actions(ask.call, &self.told);
        Ok(judged.into_iter().map(|(verb, may)| Action::new(verb.as_str(), verb.label(), may)).collect())
    }
}

/// A rotation of the key encryption key. It goes on by itself, also when this instance was stopped in between.
#[derive(SimpleObject)]
struct KeyRotation {
    /// Where it is.
    state: KeyRotationState,
    /// The state in words.
    state_label: &'static str,
    /// How many things were wrapped when it was last counted: keys, and handshakes under way.
    total: u64,
    /// How many of them are wrapped under the new key.
    done: u64,
    /// When it began.
    started_at: Timestamp,
    /// When the old key is removed, if nothing is left under it by then; null before and after.
    old_key_until: Option<Timestamp>,
    /// When it was over: the old key is gone; null before.
    finished_at: Option<Timestamp>,
    /// What keeps it from going on: it is tried again every 30 seconds. Null when nothing does.
    error: Option<String>,
    /// Since when; null when nothing does.
    error_since: Option<Timestamp>,
}

/// Queries of the key encryption key.
#[derive(Default)]
pub(super) struct KeyEncryptionQuery;

#[Object]
impl KeyEncryptionQuery {
    /// The key encryption key, and how far its rotation is; `FORBIDDEN` without the role key manager, key operator, key
    /// auditor or key integrator.
    async fn key_encryption_key(&self, ctx: &Context<'_>) -> Result<KeyEncryptionKey> {
        let ask = Ask::new(ctx)?;
        Ok(ask.actions.key_encryption_key(ask.call).await.map_err(error::failed)?.into())
    }
}

input! {
    /// Nothing but the wish.
    RotateKeyEncryptionKeyInput {}
}

payload! {
    /// What became of the wish to rotate the key encryption key.
    RotateKeyEncryptionKeyPayload {
        /// The key encryption key, whose rotation is under way; null when it was refused.
        key_encryption_key: KeyEncryptionKey
    }
}

/// Mutations of the key encryption key.
#[derive(Default)]
pub(super) struct KeyEncryptionMutation;

#[Object]
impl KeyEncryptionMutation {
    /// Puts another key encryption key in use and wraps every key under it again, while everything goes on. The old one
    /// is removed two minutes after nothing is left under it. For key managers.
    async fn rotate_key_encryption_key(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Nothing but the wish.")] input: RotateKeyEncryptionKeyInput,
    ) -> Result<RotateKeyEncryptionKeyPayload> {
        let ask = Ask::new(ctx)?;
        let done =
            ask.once(input, |call, _| async move { ask.actions.rotate_key_encryption_key(&call).await });
        Ok(RotateKeyEncryptionKeyPayload::new(done.await?, KeyEncryptionKey::from))
    }
}

impl From<domain::KeyEncryptionKey> for KeyEncryptionKey {
    fn from(key: domain::KeyEncryptionKey) -> Self {
        let rotation = key.rotation.clone().map(KeyRotation::from);
        Self { version: key.version, rotation, told: key }
    }
}

impl From<domain::KeyRotation> for KeyRotation {
    fn from(rotation: domain::KeyRotation) -> Self {
        let (old_key_until, finished_at) = match rotation.stage {
            RotationStage::Rewrapping => (None, None),
            RotationStage::Settling { until } => (Some(until), None),
            RotationStage::Done { at } => (None, Some(at)),
        };
        let state = rotation.stage.state();
        let (error, error_since) = rotation.error.unzip();
        Self {
            state: state.into(),
            state_label: state.label(),
            total: rotation.total,
            done: rotation.done,
            started_at: rotation.started_at,
            old_key_until,
            finished_at,
            error,
            error_since,
        }
    }
}

input! {
    /// The approval to rotate the root key.
    RotateRootKeyInput {
        /// The approval of a second person, of `ROTATE_ROOT`, without a module or an object.
        approval_id: ID,
    }
}

/// Mutations of the root key.
#[derive(Default)]
pub(super) struct RootKeyMutation;

#[Object]
impl RootKeyMutation {
    /// Puts another root key in the place of the one in use, while everything goes on. The file of the root key is
    /// another one then: keep a copy of it, and the old copy for as long as there are backups from before. For key
    /// managers, with the approval of a second person, which can be used once: it is not done twice.
    async fn rotate_root_key(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The approval.")] input: RotateRootKeyInput,
    ) -> Result<KeyApprovalPayload> {
        let ask = Ask::new(ctx)?;
        let done = async {
            check(&input)?;
            let approval = named(Kind::KeyApproval, "approvalId", &input.approval_id)?;
            // Not under its idempotency key: what follows must not begin before this is stored.
            ask.actions.rotate_root_key(ask.call, approval).await
        };
        Ok(KeyApprovalPayload::new(ask.settle(done.await)?, KeyApproval))
    }
}
