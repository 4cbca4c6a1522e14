//! Key modules and their keys, for those who look after them.

use keyservice::{Millis, SealedKey, SealedModule};

use uuid::Uuid;

use super::key_rights::may_see;
use super::{Actions, Call, Done};
use crate::domain::Timestamp;
use crate::domain::key_module::{KeyModule, KeyModuleState, KeyState, KeyVersion, reads_metadata};
use crate::domain::refusal::{Refusal, RefusalCode};

impl Actions {
    /// All key modules by name, each with the versions of its key. The keys of connections are not among them.
    ///
    /// # Errors
    /// `NOT_AN_ADMINISTRATOR` for people without one of the key roles that read metadata.
    pub async fn key_modules(&self, call: &Call) -> Done<Vec<KeyModule>> {
        if !call.requester.person().is_some_and(reads_metadata) {
            let message = "This needs the role key manager, key operator, key auditor or key integrator.";
            return Err(Refusal::new(RefusalCode::NotAnAdministrator, message).into());
        }
        let mut modules = self.store.modules().await?;
        modules.retain(|module| may_see(call, module, &module.name));
        let names: Vec<&str> = modules.iter().map(|module| module.name.as_str()).collect();
        let keys = self.store.keys_of(&names).await?;
        Ok(modules.iter().map(|module| shown(module, &keys)).collect())
    }
}

pub(super) fn shown(module: &SealedModule, keys: &[SealedKey]) -> KeyModule {
    let seconds = |period: Millis| period / 1000;
    KeyModule {
        id: Uuid::from_bytes(module.id),
        revision: i64::try_from(module.state_seq).unwrap_or(i64::MAX),
        name: module.name.clone(),
        purpose: module.purpose.as_str(),
        algorithm: module.algorithm.as_str(),
        built_in: module.built_in().is_some(),
        state: match module.state {
            keyservice::ModuleState::Draft => KeyModuleState::Draft,
            keyservice::ModuleState::Published => KeyModuleState::Published,
        },
        exportable: module.specification.exportable,
        rotation_period: module.specification.rotation_period.map(seconds),
        key_lifetime: module.specification.key_lifetime.map(seconds),
        created_at: at(module.created_at),
        published_at: module.published_at.map(at),
        versions: keys.iter().filter(|key| key.module == module.name).map(version).collect(),
    }
}

pub(super) fn version(key: &SealedKey) -> KeyVersion {
    KeyVersion {
        id: Uuid::from_bytes(key.id),
        module: key.module.clone(),
        version: key.version,
        state: state(key.state),
        reason: key.reason.clone(),
        created_at: at(key.created_at),
        activated_at: key.activated_at.map(at),
        rotated_at: key.rotated_at.map(at),
        deactivated_at: key.deactivated_at.map(at),
        expires_at: key.expires_at.map(at),
        destroyed_at: key.destroyed_at.map(at),
        public_key: key.public.clone(),
    }
}

const fn state(state: keyservice::KeyState) -> KeyState {
    match state {
        keyservice::KeyState::PreActive => KeyState::PreActive,
        keyservice::KeyState::Active => KeyState::Active,
        keyservice::KeyState::Suspended => KeyState::Suspended,
        keyservice::KeyState::Deactivated => KeyState::Deactivated,
        keyservice::KeyState::Revoked => KeyState::Revoked,
        keyservice::KeyState::Compromised => KeyState::Compromised,
        keyservice::KeyState::Destroyed => KeyState::Destroyed,
    }
}

fn at(millis: Millis) -> Timestamp {
    Timestamp::from_timestamp_millis(millis).unwrap_or_default()
}
