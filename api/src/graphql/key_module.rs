//! Key modules and the versions of their keys.

use async_graphql::{Context, Object, Result, SimpleObject};
use data_encoding::BASE64URL_NOPAD;

use super::ask::Ask;
use super::error;
use super::words::{KeyModuleState, KeyState};
use crate::domain::Timestamp;
use crate::domain::key_module as domain;

/// A purpose with one algorithm, whose keys are versions. It is never deleted.
#[derive(SimpleObject)]
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
    /// The versions of its key, the newest first. Empty for `links`: a connection has its own keys.
    versions: Vec<KeyVersion>,
}

/// One version of a module's key, never its material.
#[derive(SimpleObject)]
pub(super) struct KeyVersion {
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
}

/// Queries of key modules.
#[derive(Default)]
pub(super) struct KeyModuleQuery;

#[Object]
impl KeyModuleQuery {
    /// All key modules by name; `FORBIDDEN` without the role key manager, key operator, key auditor or key integrator.
    #[graphql(complexity = "10 * child_complexity")]
    async fn key_modules(&self, ctx: &Context<'_>) -> Result<Vec<KeyModule>> {
        let ask = Ask::new(ctx)?;
        let modules = ask.actions.key_modules(ask.call).await.map_err(error::failed)?;
        Ok(modules.into_iter().map(KeyModule::from).collect())
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
        }
    }
}

impl From<domain::KeyVersion> for KeyVersion {
    fn from(key: domain::KeyVersion) -> Self {
        Self {
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
