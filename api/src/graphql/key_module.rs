//! Key modules and the versions of their keys.

use async_graphql::{ComplexObject, Context, ID, Object, Result, SimpleObject};
use data_encoding::BASE64URL_NOPAD;

use super::ask::{Ask, named};
use super::error;
use super::id::Kind;
use super::load::GoverningModule;
use super::page::{MAX, items_cost, limit};
use super::refusal::Action;
use super::words::{KeyModuleState, KeyState};
use crate::actions::{KeyWish, Receiver};
use crate::domain::Timestamp;
use crate::domain::key_module::{self as domain, KeyModuleVerb, ModuleTerms};

/// A purpose with one algorithm, whose keys are versions. It is never deleted.
#[derive(SimpleObject)]
#[graphql(complex)]
pub(super) struct KeyModule {
    /// Its name, unique in this instance.
    name: String,
    /// What its keys are for: `IDENTITY_SIGNING`, `TOKEN_SIGNING`, `AUDIT_SIGNING`, `LINK_TRAFFIC`, `DATA_ENCRYPTION`,
    /// `SEALING`, `SIGNING` or `AUTHENTICATION`.
    purpose: &'static str,
    /// The algorithm of its keys: `Ed25519`, `ECDSA-P256-SHA256`, `A256GCM`, `HMAC-SHA256`, `HMAC-SHA384`,
    /// `HMAC-SHA512` or `KX1-0001`.
    algorithm: &'static str,
    /// Whether every instance has it.
    built_in: bool,
    /// Where it is in its life.
    state: KeyModuleState,
    /// The state in words.
    state_label: &'static str,
    /// Whether its keys may leave, wrapped, when a second person agrees.
    exportable: bool,
    /// How long after its activation a key is due for rotation, in seconds; null when only people rotate it.
    rotation_period: Option<i64>,
    /// How long after it was made a key stops sealing and signing, in seconds; null for never.
    key_lifetime: Option<i64>,
    /// When it was made.
    created_at: Timestamp,
    /// When it was published; null for a draft.
    published_at: Option<Timestamp>,
    /// The newest 50 versions of its key, and those in use or out of it for a while, the newest first; `keys` has all.
    /// Empty for `links`: a connection has its own keys.
    versions: Vec<KeyVersion>,
    /// Grows by one with every change of the module, its access policies included.
    revision: i64,
}

#[ComplexObject]
impl KeyModule {
    /// What can be done with it, and whether it can be done now by whoever asks.
    async fn actions(&self, ctx: &Context<'_>) -> Result<Vec<Action>> {
        let ask = Ask::anyone(ctx)?;
        let module = ask.load.one(GoverningModule(self.name.clone())).await?;
        let judged = ask.actions.key_module_actions(ask.call, module.as_ref());
        let (import, may) = ask.actions.key_module_transfers(ask.call, module.as_ref());
        let import = Action::new(import.as_str(), import.label(), may);
        let judged = judged.into_iter().map(|(verb, may)| Action::new(verb.as_str(), verb.label(), may));
        Ok(judged.chain([import]).collect())
    }
}

/// One version of a module's key, never its material.
#[derive(SimpleObject)]
#[graphql(complex)]
pub(super) struct KeyVersion {
    /// Its id, a UUID: the `object` of a request for approval to destroy it.
    key_id: String,
    /// The name under which it is kept: its module's, or `links/` and an id for the keys of one connection.
    module: String,
    /// Its number, from 1. What it makes carries this number.
    version: u64,
    /// Where it is in its life.
    state: KeyState,
    /// The state in words.
    state_label: &'static str,
    /// Why it was suspended, revoked or marked as compromised.
    reason: Option<String>,
    /// When it was made.
    created_at: Timestamp,
    /// When it was first put into use.
    activated_at: Option<Timestamp>,
    /// When a newer version took its place.
    rotated_at: Option<Timestamp>,
    /// When it went out of use for good.
    deactivated_at: Option<Timestamp>,
    /// When it stops sealing and signing by itself.
    expires_at: Option<Timestamp>,
    /// When its material was erased.
    destroyed_at: Option<Timestamp>,
    /// The public half of a key that signs, as base64url without padding (RFC 4648, section 5).
    public_key: Option<String>,
    #[graphql(skip)]
    told: domain::KeyVersion,
}

#[ComplexObject]
impl KeyVersion {
    /// What can be done with it, and whether it can be done now by whoever asks.
    async fn actions(&self, ctx: &Context<'_>) -> Result<Vec<Action>> {
        let ask = Ask::anyone(ctx)?;
        let module = ask.load.one(GoverningModule(self.module.clone())).await?;
        let judged = ask.actions.key_actions(ask.call, module.as_ref(), &self.told);
        let (export, may) = ask.actions.key_transfers(ask.call, module.as_ref(), &self.told);
        let export = Action::new(export.as_str(), export.label(), may);
        let judged = judged.into_iter().map(|(verb, may)| Action::new(verb.as_str(), verb.label(), may));
        Ok(judged.chain([export]).collect())
    }

    /// What a request for approval to wrap this key for somebody (`EXPORT`) names as its `object`.
    async fn export_object(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The receiver's X25519 public key (RFC 7748), 32 bytes as base64url.")]
        public_key: String,
        #[graphql(
            desc = "The associated data that the receiver opens with, base64url; that of the export when \
            left out."
        )]
        associated_data: Option<String>,
    ) -> Result<String> {
        let ask = Ask::anyone(ctx)?;
        let receiver = Receiver { public_key, associated_data };
        ask.actions.export_object(&self.told, &receiver).map_err(error::failed)
    }
}

/// Queries of key modules.
#[derive(Default)]
pub(super) struct KeyModuleQuery;

#[Object]
impl KeyModuleQuery {
    /// All key modules by name, of which an instance has 250 at most; `FORBIDDEN` without the role key manager, key operator, key auditor or key integrator.
    #[graphql(complexity = "10 * child_complexity")]
    async fn key_modules(&self, ctx: &Context<'_>) -> Result<Vec<KeyModule>> {
        let ask = Ask::new(ctx)?;
        let modules = ask.actions.key_modules(ask.call).await.map_err(error::failed)?;
        Ok(modules.into_iter().map(KeyModule::from).collect())
    }

    /// A key module by its name; null when there is none. For the same people as `keyModules`.
    async fn key_module(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Its name.")] name: String,
    ) -> Result<Option<KeyModule>> {
        let ask = Ask::new(ctx)?;
        Ok(ask.actions.key_module(ask.call, &name).await.map_err(error::failed)?.map(KeyModule::from))
    }

    /// The keys under one name, the newest first: a module's, or those of one connection; 250 of them at most, and `before`
    /// has those behind. For the same people as `keyModules`.
    #[graphql(complexity = "items_cost(first.unwrap_or(10), child_complexity)")]
    async fn keys(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The module's name, or `links/` and the id of a connection's channel.")]
        module: String,
        #[graphql(desc = "How many, 250 at most, and when left out.")] first: Option<i32>,
        #[graphql(desc = "Those older than this version.")] before: Option<u64>,
    ) -> Result<Vec<KeyVersion>> {
        let ask = Ask::new(ctx)?;
        let most = limit(first, MAX)?;
        let keys = ask.actions.keys_in(ask.call, &module, before, most).await.map_err(error::failed)?;
        Ok(keys.into_iter().map(KeyVersion::from).collect())
    }
}

input! {
    /// A new key module: a draft until it is published.
    CreateKeyModuleInput {
        /// Its name, unique in this instance: 1 to 64 of `a` to `z`, `0` to `9` and `-`, beginning with a letter.
        name: String,
        /// `SEALING`, `SIGNING` or `AUTHENTICATION`.
        purpose: String,
        /// `A256GCM` to seal; `Ed25519` or `ECDSA-P256-SHA256` to sign; `HMAC-SHA256`, `HMAC-SHA384` or `HMAC-SHA512` to
        /// authenticate. Anything weaker is refused with the reason.
        algorithm: String,
        /// Whether its keys may leave, wrapped, when a second person agrees; false when left out.
        exportable: Option<bool>,
        /// How long after its activation a key is due for rotation, in seconds: one hour to ten years. Left to people
        /// when left out.
        rotation_period: Option<i64>,
        /// How long after it was made a key stops sealing and signing, in seconds: one hour to ten years, and not
        /// shorter than the rotation period. Never when left out.
        key_lifetime: Option<i64>,
    }
}

input! {
    /// Another specification for a draft: what is left out is as if the draft were made anew.
    SpecifyKeyModuleInput {
        /// The name of the module.
        module: String,
        /// Whether its keys may leave, wrapped, when a second person agrees; false when left out.
        exportable: Option<bool>,
        /// As in `CreateKeyModuleInput`, in seconds.
        rotation_period: Option<i64>,
        /// As in `CreateKeyModuleInput`, in seconds.
        key_lifetime: Option<i64>,
    }
}

input! {
    /// When the keys of a module rotate by themselves.
    ScheduleKeyModuleInput {
        /// The name of the module.
        module: String,
        /// How long after its activation a key is due for rotation, in seconds: one hour to ten years. Left to people
        /// when left out.
        rotation_period: Option<i64>,
    }
}

input! {
    /// The draft to publish.
    PublishKeyModuleInput {
        /// The name of the module.
        module: String,
    }
}

input! {
    /// The module whose key to rotate.
    RotateKeyModuleInput {
        /// The name of the module.
        module: String,
    }
}

input! {
    /// The module for whose key a new version is made.
    GenerateKeyInput {
        /// The name of the module.
        module: String,
    }
}

input! {
    /// The version to put into use.
    ActivateKeyInput {
        /// The name of its module.
        module: String,
        /// Its version.
        version: u64,
    }
}

input! {
    /// The key to take out of use for a while.
    SuspendKeyInput {
        /// The name under which it is kept.
        module: String,
        /// Its version.
        version: u64,
        /// Why, 1 to 500 characters. The peer hears it, too, where it is the key of a connection.
        reason: String,
    }
}

input! {
    /// The suspended key to put back into use.
    ResumeKeyInput {
        /// The name under which it is kept.
        module: String,
        /// Its version.
        version: u64,
    }
}

input! {
    /// The key to give another expiry.
    RenewKeyInput {
        /// The name under which it is kept.
        module: String,
        /// Its version.
        version: u64,
        /// When it stops sealing and signing; never when left out.
        expires_at: Option<Timestamp>,
    }
}

input! {
    /// The key to withdraw.
    RevokeKeyInput {
        /// The name under which it is kept.
        module: String,
        /// Its version.
        version: u64,
        /// Why, 1 to 500 characters. The peer hears it, too, where it is the key of a connection.
        reason: String,
    }
}

input! {
    /// The key that others are believed to know.
    MarkKeyCompromisedInput {
        /// The name under which it is kept.
        module: String,
        /// Its version.
        version: u64,
        /// What is known about it, 1 to 500 characters. The peer hears it, too, where it is the key of a connection.
        reason: String,
    }
}

input! {
    /// The key whose material to erase.
    DestroyKeyInput {
        /// The name under which it is kept.
        module: String,
        /// Its version.
        version: u64,
        /// The approval of a second person: of `DESTROY`, with the module, and the key's `keyId` as its object. It can
        /// be used seven days after it was asked for.
        approval_id: ID,
    }
}

payload! {
    /// What became of a mutation of a key module.
    KeyModulePayload {
        /// The module afterwards; null when it was refused.
        key_module: KeyModule
    }
}

payload! {
    /// What became of a mutation of a key.
    KeyPayload {
        /// The key afterwards; null when it was refused.
        key: KeyVersion
    }
}

/// Mutations of key modules and keys.
#[derive(Default)]
pub(super) struct KeyModuleMutation;

#[Object]
impl KeyModuleMutation {
    /// Makes a draft of a key module. For key managers.
    async fn create_key_module(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The module.")] input: CreateKeyModuleInput,
    ) -> Result<KeyModulePayload> {
        let ask = Ask::new(ctx)?;
        let done = ask.once(input, |call, input| async move {
            let terms = terms(input.exportable, input.rotation_period, input.key_lifetime);
            let what = (input.name.as_str(), input.purpose.as_str(), input.algorithm.as_str());
            ask.actions.create_key_module(&call, what, &terms).await
        });
        Ok(KeyModulePayload::new(done.await?, KeyModule::from))
    }

    /// Gives a draft another specification. For key managers.
    async fn specify_key_module(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The draft, and what shall hold for its keys.")] input: SpecifyKeyModuleInput,
    ) -> Result<KeyModulePayload> {
        let ask = Ask::new(ctx)?;
        let done = ask.once(input, |call, input| async move {
            let terms = terms(input.exportable, input.rotation_period, input.key_lifetime);
            ask.actions.change_key_module(&call, &input.module, KeyModuleVerb::Specify, &terms).await
        });
        Ok(KeyModulePayload::new(done.await?, KeyModule::from))
    }

    /// Sets when the keys of a module rotate by themselves. For key managers.
    async fn schedule_key_module(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The module, and the period.")] input: ScheduleKeyModuleInput,
    ) -> Result<KeyModulePayload> {
        let ask = Ask::new(ctx)?;
        let done = ask.once(input, |call, input| async move {
            let terms = terms(None, input.rotation_period, None);
            ask.actions.change_key_module(&call, &input.module, KeyModuleVerb::Schedule, &terms).await
        });
        Ok(KeyModulePayload::new(done.await?, KeyModule::from))
    }

    /// Publishes a draft: its keys can be made and used, and its specification is fixed. For key managers.
    async fn publish_key_module(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The draft.")] input: PublishKeyModuleInput,
    ) -> Result<KeyModulePayload> {
        let ask = Ask::new(ctx)?;
        let done = ask.once(input, |call, input| async move {
            let terms = ModuleTerms::default();
            ask.actions.change_key_module(&call, &input.module, KeyModuleVerb::Publish, &terms).await
        });
        Ok(KeyModulePayload::new(done.await?, KeyModule::from))
    }

    /// Makes the next version of a module's key, in use at once; the one before still opens and verifies what it made.
    /// For key managers and operators.
    async fn rotate_key_module(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The module.")] input: RotateKeyModuleInput,
    ) -> Result<KeyModulePayload> {
        let ask = Ask::new(ctx)?;
        let done = ask.once(input, |call, input| async move {
            ask.actions.rotate_key_module(&call, &input.module).await
        });
        Ok(KeyModulePayload::new(done.await?, KeyModule::from))
    }

    /// Makes the next version of a module's key, which is not in use until it is activated: for a change that is planned.
    /// For key managers.
    async fn generate_key(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The module.")] input: GenerateKeyInput,
    ) -> Result<KeyModulePayload> {
        let ask = Ask::new(ctx)?;
        let done = ask
            .once(input, |call, input| async move { ask.actions.generate_key(&call, &input.module).await });
        Ok(KeyModulePayload::new(done.await?, KeyModule::from))
    }

    /// Puts a version that is not in use yet into use, made by `generateKey` or brought in; the one before still opens
    /// and verifies what it made. For key managers.
    async fn activate_key(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The key.")] input: ActivateKeyInput,
    ) -> Result<KeyPayload> {
        let ask = Ask::new(ctx)?;
        let done = ask.once(input, |call, input| async move {
            ask.actions.activate_key(&call, &input.module, input.version).await
        });
        Ok(KeyPayload::new(done.await?, KeyVersion::from))
    }

    /// Takes a key out of use for a while: it neither makes nor reads anything. For key managers.
    async fn suspend_key(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The key, and why.")] input: SuspendKeyInput,
    ) -> Result<KeyPayload> {
        let ask = Ask::new(ctx)?;
        let done = ask.once(input, |call, input| async move {
            ask.actions.change_key(&call, &input.module, input.version, KeyWish::Suspend(input.reason)).await
        });
        Ok(KeyPayload::new(done.await?, KeyVersion::from))
    }

    /// Puts a suspended key back into use. For key managers.
    async fn resume_key(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The key.")] input: ResumeKeyInput,
    ) -> Result<KeyPayload> {
        let ask = Ask::new(ctx)?;
        let done = ask.once(input, |call, input| async move {
            ask.actions.change_key(&call, &input.module, input.version, KeyWish::Resume).await
        });
        Ok(KeyPayload::new(done.await?, KeyVersion::from))
    }

    /// Gives a key another expiry. For key managers and operators.
    async fn renew_key(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The key, and until when.")] input: RenewKeyInput,
    ) -> Result<KeyPayload> {
        let ask = Ask::new(ctx)?;
        let done = ask.once(input, |call, input| async move {
            let wish = KeyWish::Renew(input.expires_at);
            ask.actions.change_key(&call, &input.module, input.version, wish).await
        });
        Ok(KeyPayload::new(done.await?, KeyVersion::from))
    }

    /// Withdraws a key: it makes nothing any more; what it made can still be read. That of a connection ends the connection
    /// on both sides, which needs its key for everything: suspend it to stop for a while. For key managers and operators.
    async fn revoke_key(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The key, and why.")] input: RevokeKeyInput,
    ) -> Result<KeyPayload> {
        let ask = Ask::new(ctx)?;
        let done = ask.once(input, |call, input| async move {
            ask.actions.change_key(&call, &input.module, input.version, KeyWish::Revoke(input.reason)).await
        });
        Ok(KeyPayload::new(done.await?, KeyVersion::from))
    }

    /// Marks a key as known to others: what it made is only read for a stated reason. That of a connection ends the
    /// connection, as revoking it does. For key managers.
    async fn mark_key_compromised(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The key, and what is known.")] input: MarkKeyCompromisedInput,
    ) -> Result<KeyPayload> {
        let ask = Ask::new(ctx)?;
        let done = ask.once(input, |call, input| async move {
            let wish = KeyWish::MarkCompromised(input.reason);
            ask.actions.change_key(&call, &input.module, input.version, wish).await
        });
        Ok(KeyPayload::new(done.await?, KeyVersion::from))
    }

    /// Erases the material of a key for good; what it made can never be read again. For key managers, with the approval
    /// of a second person after seven days.
    async fn destroy_key(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The key, and the approval.")] input: DestroyKeyInput,
    ) -> Result<KeyPayload> {
        let ask = Ask::new(ctx)?;
        let done = ask.once(input, |call, input| async move {
            let approval = named(Kind::KeyApproval, "approvalId", &input.approval_id)?;
            ask.actions.destroy_key(&call, &input.module, input.version, approval).await
        });
        Ok(KeyPayload::new(done.await?, KeyVersion::from))
    }
}

fn terms(exportable: Option<bool>, rotation_period: Option<i64>, key_lifetime: Option<i64>) -> ModuleTerms {
    ModuleTerms { exportable: exportable.unwrap_or_default(), rotation_period, key_lifetime }
}

impl From<domain::KeyModule> for KeyModule {
    fn from(module: domain::KeyModule) -> Self {
        Self {
            name: module.name,
            purpose: module.purpose,
            algorithm: module.algorithm,
            built_in: module.built_in,
            state: module.state.into(),
            state_label: module.state.label(),
            exportable: module.exportable,
            rotation_period: module.rotation_period,
            key_lifetime: module.key_lifetime,
            created_at: module.created_at,
            published_at: module.published_at,
            versions: module.versions.into_iter().map(KeyVersion::from).collect(),
            revision: module.revision,
        }
    }
}

impl From<domain::KeyVersion> for KeyVersion {
    fn from(key: domain::KeyVersion) -> Self {
        Self {
            key_id: key.id.to_string(),
            module: key.module.clone(),
            told: key.clone(),
            version: key.version,
            state: key.state.into(),
            state_label: key.state.label(),
            reason: key.reason,
            created_at: key.created_at,
            activated_at: key.activated_at,
            rotated_at: key.rotated_at,
            deactivated_at: key.deactivated_at,
            expires_at: key.expires_at,
            destroyed_at: key.destroyed_at,
            public_key: key.public_key.map(|key| BASE64URL_NOPAD.encode(&key)),
        }
    }
}
