//! Key modules and their keys, for those who look after them.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use keyservice::{Error, Millis, SealedKey, SealedModule};
use uuid::Uuid;

use super::key_rights::may_see;
use super::{Actions, Call, Done, Failure};
use crate::domain::Timestamp;
use crate::domain::explain::sentence;
use crate::domain::key_module::{KeyModule, KeyModuleState, KeyState, KeyVersion, reads_metadata};
use crate::domain::refusal::{Refusal, RefusalCode};
use crate::store::{Page, Reader, Slice, StoreError};
use crate::vault::VaultError;

/// The most versions that a module is shown with, besides those in use or out of it for a while.
pub(super) const VERSIONS_SHOWN: u64 = 50;
/// The reasons of refusals because another version is in use, and because one is past its expiry.
const ANOTHER_IS_ACTIVE: &str = "ANOTHER_IS_ACTIVE";
const EXPIRED: &str = "EXPIRED";
/// The most key modules of an instance: they are never deleted, and each list of them is made of all.
pub const MODULES_MAX: usize = 250;

impl Actions {
    /// Key modules by name, each with the versions of its key. The keys of connections are not among them.
    ///
    /// # Errors
    /// `NOT_AN_ADMINISTRATOR` for people without one of the key roles that read metadata; `INVALID_INPUT` for a page
    /// behind a module that the caller does not see any more.
    pub async fn key_modules(&self, call: &Call, page: Page) -> Done<Slice<KeyModule>> {
        if !call.requester.person().is_some_and(reads_metadata) {
            let message = "This needs the role key manager, key operator, key auditor or key integrator.";
            return Err(Refusal::new(RefusalCode::NotAnAdministrator, message).into());
        }
        let mut modules = self.store.modules().await?;
        modules.retain(|module| may_see(call, module, &module.name));
        let slice =
            page.of(modules, |module| Uuid::from_bytes(module.id)).ok_or_else(|| gone(page.backward))?;
        let keys = self.newest_shown(&slice.items).await?;
        Ok(slice.map(|module| shown(&module, &keys)))
    }

    /// The versions of their keys that modules are shown with.
    async fn newest_shown(&self, modules: &[SealedModule]) -> Result<Vec<SealedKey>, StoreError> {
        let names: Vec<&str> = modules.iter().map(|module| module.name.as_str()).collect();
        self.store.newest_keys_of(&names, VERSIONS_SHOWN).await
    }

    /// The key modules with these ids, as far as the caller sees them; one that somebody tampered with is not among them.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn key_modules_by_id(&self, call: &Call, ids: &[Uuid]) -> Result<Vec<KeyModule>, StoreError> {
        let mut modules = self.reader(call).untouched_key_modules().await?;
        modules.retain(|module| {
            ids.contains(&Uuid::from_bytes(module.id)) && may_see(call, module, &module.name)
        });
        let keys = self.newest_shown(&modules).await?;
        Ok(modules.iter().map(|module| shown(module, &keys)).collect())
    }

    /// The versions of keys with these ids, as far as the caller sees them.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn keys_by_id(&self, call: &Call, ids: &[Uuid]) -> Result<Vec<KeyVersion>, StoreError> {
        let reader = self.reader(call);
        let (modules, keys) = (reader.untouched_key_modules().await?, reader.keys_by_id(ids).await?);
        let seen = |key: &&SealedKey| {
            let module = modules.iter().find(|module| module.name == governing(&key.module));
            module.is_some_and(|module| may_see(call, module, &key.module))
        };
        Ok(keys.iter().filter(seen).map(version).collect())
    }
}

/// A page behind something that is not in the list any more.
pub(super) fn gone(backward: bool) -> Refusal {
    let (field, end) = if backward { ("before", "end") } else { ("after", "start") };
    let message = format!("What this cursor named is not in the list any more: begin again from its {end}.");
    Refusal::invalid(field, message)
}

/// How often a module was changed.
pub(super) fn revision(module: &SealedModule) -> i64 {
    i64::try_from(module.state_seq).unwrap_or(i64::MAX)
}

/// That a module is as whoever edits it, or `what` is in it, read it.
///
/// # Errors
/// `CONFLICT`.
pub(super) fn require_revision(
    module: &SealedModule,
    expected: Option<i64>,
    what: &str,
) -> Result<(), Refusal> {
    match expected {
        Some(expected) if expected != revision(module) => Err(Refusal::conflict(what)),
        _ => Ok(()),
    }
}

/// A key module that verbs are judged by; what it says, only the actions know.
#[derive(Clone, Debug)]
pub struct Governing {
    module: Arc<SealedModule>,
    /// The version in use of the keys that were asked for.
    in_use: Option<u64>,
}

impl Governing {
    /// The module, or the refusal where there is none that can be trusted.
    pub(super) fn of(this: Option<&Self>) -> Result<&SealedModule, Refusal> {
        this.map(|known| known.module.as_ref()).ok_or_else(|| Refusal::not_found("key module"))
    }

    /// As [`Governing::of`], with what verbs are judged by of one of its keys.
    pub(super) fn judging<'a>(
        this: Option<&'a Self>,
        key: &'a KeyVersion,
    ) -> Result<(&'a SealedModule, Judged<'a>), Refusal> {
        let judged = Judged {
            name: &key.module,
            state: told(key.state),
            expires_at: key.expires_at.map(|at| at.timestamp_millis()),
            another_in_use: this.and_then(|known| known.in_use).is_some_and(|active| active != key.version),
        };
        Ok((Self::of(this)?, judged))
    }
}

/// What a verb about a version of a key is judged by, besides the module.
pub(super) struct Judged<'a> {
    /// The name under which the key is kept.
    pub(super) name: &'a str,
    pub(super) state: keyservice::KeyState,
    expires_at: Option<Millis>,
    another_in_use: bool,
}

impl<'a> Judged<'a> {
    /// One of these versions.
    pub(super) fn stored(key: &'a SealedKey, versions: &[SealedKey]) -> Self {
        let active = |other: &SealedKey| other.state == keyservice::KeyState::Active && other.id != key.id;
        Self {
            name: &key.module,
            state: key.state,
            expires_at: key.expires_at,
            another_in_use: versions.iter().any(active),
        }
    }

    /// That it can come into use beside the others.
    pub(super) fn require_none_in_use(&self) -> Result<(), Refusal> {
        if !self.another_in_use {
            return Ok(());
        }
        let message = "Another version took its place: a key has one version in use.";
        Err(Refusal::new(RefusalCode::WrongState, message).reason(ANOTHER_IS_ACTIVE))
    }

    /// That it still makes something.
    pub(super) fn require_unexpired(&self, now: Timestamp) -> Result<(), Refusal> {
        match self.expires_at {
            Some(until) if until <= now.timestamp_millis() => {
                let message = format!("The key expired at {}.", at(until).to_rfc3339());
                Err(Refusal::new(RefusalCode::WrongState, message).reason(EXPIRED))
            }
            _ => Ok(()),
        }
    }
}

impl Actions {
    /// The key modules that govern the keys of these names, by those names: what can be done with all of them is judged
    /// from one reading. One that somebody tampered with is not among them.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn governing_modules(
        &self,
        reader: &Reader,
        names: &[String],
    ) -> Result<HashMap<String, Governing>, StoreError> {
        let wanted: BTreeSet<&str> = names.iter().map(|name| governing(name)).collect();
        let mut sound = HashMap::new();
        for module in reader.untouched_key_modules().await? {
            if wanted.contains(module.name.as_str()) && self.keys.check_module(&module).await.is_ok() {
                sound.insert(module.name.clone(), Arc::new(module));
            }
        }
        let in_use: HashMap<String, u64> = reader.versions_in_use(names).await?.into_iter().collect();
        let of = |name: &String| {
            let module = sound.get(governing(name))?.clone();
            Some((name.clone(), Governing { module, in_use: in_use.get(name).copied() }))
        };
        Ok(names.iter().filter_map(of).collect())
    }
}

/// The module whose policies and specification govern the keys that carry this name.
pub(super) fn governing(name: &str) -> &str {
    name.split_once('/').map_or(name, |(module, _)| module)
}

pub(super) fn shown(module: &SealedModule, keys: &[SealedKey]) -> KeyModule {
    let seconds = |period: Millis| period / 1000;
    KeyModule {
        id: Uuid::from_bytes(module.id),
        revision: revision(module),
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

/// These keys after some of them were changed or made: the newest first, as they were.
pub(super) fn with_changes<'a>(
    mut keys: Vec<SealedKey>,
    changes: impl IntoIterator<Item = &'a SealedKey>,
) -> Vec<SealedKey> {
    for change in changes {
        match keys.iter_mut().find(|key| key.id == change.id) {
            Some(key) => key.clone_from(change),
            None => keys.insert(0, change.clone()),
        }
    }
    keys
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

/// The state as the key service knows it.
const fn told(state: KeyState) -> keyservice::KeyState {
    match state {
        KeyState::PreActive => keyservice::KeyState::PreActive,
        KeyState::Active => keyservice::KeyState::Active,
        KeyState::Suspended => keyservice::KeyState::Suspended,
        KeyState::Deactivated => keyservice::KeyState::Deactivated,
        KeyState::Revoked => keyservice::KeyState::Revoked,
        KeyState::Compromised => keyservice::KeyState::Compromised,
        KeyState::Destroyed => keyservice::KeyState::Destroyed,
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

/// A time of the key service.
pub(super) fn at(millis: Millis) -> Timestamp {
    Timestamp::from_timestamp_millis(millis).unwrap_or_default()
}

/// What the key service refuses of a wish, as a refusal; the rest is ours.
pub(super) fn explained(error: VaultError) -> Failure {
    let VaultError::Refused(refused) = &error else { return error.into() };
    let message = sentence(&refused.to_string());
    match refused {
        Error::AlgorithmRefused { .. } => Refusal::invalid("algorithm", message).into(),
        Error::SpecificationRefused { what, .. } => {
            let field = match *what {
                "rotation period" => "rotationPeriod",
                "key lifetime" => "keyLifetime",
                "expiry" => "expiresAt",
                _ => "name",
            };
            Refusal::invalid(field, message).into()
        }
        Error::Malformed { what: "reason" } => {
            Refusal::invalid("reason", "A reason has 1 to 500 characters.").into()
        }
        Error::Malformed { .. } => Refusal::invalid("expiresAt", "The expiry must lie ahead.").into(),
        Error::WrongState { .. } | Error::WrongModuleState { .. } => {
            Refusal::new(RefusalCode::WrongState, message).into()
        }
        Error::AnotherIsActive { .. } => {
            Refusal::new(RefusalCode::WrongState, message).reason(ANOTHER_IS_ACTIVE).into()
        }
        Error::KeyExpired { .. } => Refusal::new(RefusalCode::WrongState, message).reason(EXPIRED).into(),
        Error::ApprovalMismatch { .. } => {
            Refusal::new(RefusalCode::WrongState, message).reason("SOMETHING_ELSE").into()
        }
        _ => error.into(),
    }
}
