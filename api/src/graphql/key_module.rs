//! Key modules and the versions of their keys.

use async_graphql::{ComplexObject, Context, ID, Object, Result, SimpleObject};
use data_encoding::BASE64URL_NOPAD;
use uuid::Uuid;

use super::ask::Ask;
use super::connection::ConnectionRecord;
use super::error;
use super::id::{Kind, number_cursor};
use super::load::GoverningModule;
use super::page::{List, Window, cost, list, list_by};
use super::refusal::Action;
use super::words::{KeyModuleState, KeyState};
use crate::actions::Receiver;
use crate::domain::Timestamp;
use crate::domain::key_module as domain;
use crate::domain::key_policy::KeyPolicyVerb;

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
    /// Grows by one with every change of the module, its access policies included; give it as `expectedRevision` when you
    /// edit.
    revision: i64,
    #[graphql(skip)]
    row: Uuid,
}

#[ComplexObject]
impl KeyModule {
    /// Global id.
    pub(super) async fn id(&self) -> ID {
        Kind::KeyModule.id(self.row)
    }

    /// What can be done with it, and whether it can be done now by whoever asks.
    async fn actions(&self, ctx: &Context<'_>) -> Result<Vec<Action>> {
        let ask = Ask::anyone(ctx)?;
        let module = ask.load.one(GoverningModule(self.name.clone())).await?;
        let judged = ask.actions.key_module_actions(ask.call, module.as_ref());
        let (import, may) = ask.actions.key_module_transfers(ask.call, module.as_ref());
        let import = Action::new(import.as_str(), import.label(), may);
        let policy = KeyPolicyVerb::Create;
        let may = ask.actions.may_add_access_policy(ask.call, module.as_ref());
        let policy = Action::new(policy.as_str(), policy.label(), may);
        let judged = judged.into_iter().map(|(verb, may)| Action::new(verb.as_str(), verb.label(), may));
        Ok(judged.chain([import, policy]).collect())
    }
}

/// One version of a module's key, never its material.
#[derive(SimpleObject)]
#[graphql(complex)]
pub(super) struct KeyVersion {
    /// Its own id, a UUID, as the audit trail names it.
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
    /// Global id: the `object` of a request for approval to destroy it, as is its `keyId`.
    pub(super) async fn id(&self) -> ID {
        Kind::KeyVersion.id(self.told.id)
    }

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

    /// The connection whose key it is, as far as it is yours to see; null for the keys of other modules.
    async fn connection(&self, ctx: &Context<'_>) -> Result<Option<ConnectionRecord>> {
        Ok(Ask::anyone(ctx)?.load.maybe(self.told.channel()).await?.map(ConnectionRecord))
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

#[allow(clippy::too_many_arguments, reason = "a list has four arguments of its own (Relay)")]
#[Object]
impl KeyModuleQuery {
    /// Key modules by name, of which an instance has 250 at most; `FORBIDDEN` without the role key manager, key operator, key auditor or key integrator.
    #[graphql(complexity = "cost(first, last, child_complexity)")]
    async fn key_modules(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "So many from the start, 250 at most; 50 when nothing is given.")] first: Option<
            i32,
        >,
        #[graphql(desc = "With `first`: after the item with this cursor.")] after: Option<String>,
        #[graphql(desc = "So many from the end, 250 at most.")] last: Option<i32>,
        #[graphql(desc = "With `last`: before the item with this cursor.")] before: Option<String>,
    ) -> Result<List<KeyModule>> {
        let (ask, page) = (Ask::new(ctx)?, Window { first, after, last, before }.page()?);
        let modules = ask.actions.key_modules(ask.call, page).await.map_err(error::failed)?;
        Ok(list(modules, |module| module.id, KeyModule::from))
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

    /// The keys under one name, the newest first: a module's, or those of one connection. For the same people as
    /// `keyModules`.
    #[graphql(complexity = "cost(first, last, child_complexity)")]
    async fn keys(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The module's name, or `links/` and the id of a connection's channel.")]
        module: String,
        #[graphql(desc = "So many from the start, 250 at most; 50 when nothing is given.")] first: Option<
            i32,
        >,
        #[graphql(desc = "With `first`: after the item with this cursor.")] after: Option<String>,
        #[graphql(desc = "So many from the end, 250 at most.")] last: Option<i32>,
        #[graphql(desc = "With `last`: before the item with this cursor.")] before: Option<String>,
    ) -> Result<List<KeyVersion>> {
        let (ask, page) = (Ask::new(ctx)?, Window { first, after, last, before }.numbers()?);
        let keys = ask.actions.keys_in(ask.call, &module, page).await.map_err(error::failed)?;
        let cursor = |key: &domain::KeyVersion| number_cursor(i64::try_from(key.version).unwrap_or(i64::MAX));
        Ok(list_by(keys, cursor, KeyVersion::from))
    }

    /// One version of the key under one name; null when there is none. For the same people as `keyModules`.
    async fn key(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The module's name, or `links/` and the id of a connection's channel.")]
        module: String,
        #[graphql(desc = "Its version.")] version: u64,
    ) -> Result<Option<KeyVersion>> {
        let ask = Ask::new(ctx)?;
        let key = ask.actions.key_in(ask.call, &module, version).await.map_err(error::failed)?;
        Ok(key.map(KeyVersion::from))
    }
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
            row: module.id,
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
