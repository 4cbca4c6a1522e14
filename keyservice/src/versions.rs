//! The life of a module's key over its versions: what people and the schedule do to it as a whole.
//!
//! Each verb takes the stored versions and gives those to be stored in their place, in one transaction. The rights of
//! whoever asks, and the audit entry, are the caller's.

use crate::approval::{Agreed, Subject};
use crate::codec::uuid_text;
use crate::error::Error;
use crate::key::{KeySpec, Purpose, SealedKey};
use crate::lifecycle::{KeyState, LifecycleVerb};
use crate::module::{ModuleState, SealedModule};
use crate::ports::Millis;
use crate::right::Right;
use crate::service::KeyService;
use crate::usage::{is_reason, require_unexpired};

/// How much longer than its module says a key may be renewed for, in milliseconds: whoever renews it counts from a clock
/// of their own.
const CLOCKS: Millis = 5 * 60 * 1000;

/// What is done to one version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyChange {
    /// Puts a new version into use, where none is.
    Activate,
    /// Takes it out of use for a while.
    Suspend {
        /// Why.
        reason: String,
    },
    /// Puts it back into use, where no other is.
    Resume,
    /// Gives it another expiry: later than now, and no longer from now than keys of its module live, but for five
    /// minutes; none where it shall never expire, which the module must allow.
    Renew {
        /// When it stops sealing and signing.
        expires_at: Option<Millis>,
    },
    /// Retires it without a successor.
    Deactivate,
    /// Withdraws it.
    Revoke {
        /// Why.
        reason: String,
    },
    /// Marks it as known to others.
    Compromise {
        /// What is known about it.
        reason: String,
    },
}

impl KeyChange {
    /// The verb of the change.
    pub fn verb(&self) -> LifecycleVerb {
        match self {
            Self::Activate => LifecycleVerb::Activate,
            Self::Suspend { .. } => LifecycleVerb::Suspend,
            Self::Resume => LifecycleVerb::Resume,
            Self::Renew { .. } => LifecycleVerb::Renew,
            Self::Deactivate => LifecycleVerb::Deactivate,
            Self::Revoke { .. } => LifecycleVerb::Revoke,
            Self::Compromise { .. } => LifecycleVerb::Compromise,
        }
    }

    fn reason(&self) -> Option<&str> {
        match self {
            Self::Suspend { reason } | Self::Revoke { reason } | Self::Compromise { reason } => Some(reason),
            Self::Activate | Self::Resume | Self::Renew { .. } | Self::Deactivate => None,
        }
    }
}

/// A rotation: both rows are stored together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rotation {
    /// The version that took over.
    pub made: SealedKey,
    /// The version that it took over from; none when the module had no active key.
    pub retired: Option<SealedKey>,
}

/// A key whose rotation is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DueRotation {
    /// Its module.
    pub module: [u8; 16],
    /// The active version; none for a module that has no key yet.
    pub key: Option<[u8; 16]>,
    /// Since when.
    pub due_at: Millis,
}

impl KeyService {
    /// The next version of a module's key, not yet in use.
    ///
    /// # Errors
    /// [`Error::WrongModuleState`] for a draft; [`Error::OtherModule`] when a version is of another;
    /// [`Error::Malformed`] for the links, whose keys come from an exchange; [`Error::Tampered`], [`Error::Entropy`].
    pub fn next_version(
        &self,
        module: &SealedModule,
        versions: &[SealedKey],
        id: [u8; 16],
        now: Millis,
    ) -> Result<SealedKey, Error> {
        self.make_version(module, versions, id, false, now)
    }

    /// Makes a new version, active, and retires the one that was: it still opens and verifies what it made.
    ///
    /// # Errors
    /// Those of [`Self::next_version`]; [`Error::AnotherIsActive`] when two were active.
    pub fn rotate(
        &self,
        module: &SealedModule,
        versions: &[SealedKey],
        id: [u8; 16],
        now: Millis,
    ) -> Result<Rotation, Error> {
        let made = self.make_version(module, versions, id, true, now)?;
        Ok(Rotation { made, retired: self.retire_active(versions, now)? })
    }

    /// Puts a version that was made or brought in before into use, and retires the one that was, as [`Self::rotate`]
    /// does: a rotation with a version that was ready.
    ///
    /// # Errors
    /// [`Error::UnknownKeyVersion`]; [`Error::WrongState`] unless it is pre-active; [`Error::KeyExpired`];
    /// [`Error::Malformed`] for the links, whose keys come into use by an exchange; [`Error::AnotherIsActive`] when two
    /// were active; [`Error::OtherModule`], [`Error::Tampered`].
    pub fn activate(
        &self,
        module: &SealedModule,
        versions: &[SealedKey],
        version: u64,
        now: Millis,
    ) -> Result<Rotation, Error> {
        self.check_module(module)?;
        if module.purpose == Purpose::LinkTraffic {
            return Err(Error::Malformed { what: "key specification" });
        }
        let key = find(versions, version)?;
        self.check_versions(module, versions)?;
        require_unexpired(key, now)?;
        let made = self.transition(key, LifecycleVerb::Activate, now)?;
        Ok(Rotation { made, retired: self.retire_active(versions, now)? })
    }

    /// The version that is active, after another took its place.
    fn retire_active(&self, versions: &[SealedKey], now: Millis) -> Result<Option<SealedKey>, Error> {
        let mut active = versions.iter().filter(|key| key.state == KeyState::Active);
        match (active.next(), active.next()) {
            (Some(_), Some(other)) => Err(Error::AnotherIsActive { version: other.version }),
            (active, _) => active.map(|key| self.transition(key, LifecycleVerb::Rotate, now)).transpose(),
        }
    }

    /// The version after a change.
    ///
    /// # Errors
    /// [`Error::UnknownKeyVersion`], [`Error::WrongState`]; [`Error::AnotherIsActive`] when it would be the second
    /// active one; [`Error::Malformed`] for an empty or overlong reason, or an expiry that is past;
    /// [`Error::SpecificationRefused`] for an expiry that the module's key lifetime does not allow;
    /// [`Error::OtherModule`], [`Error::Tampered`].
    pub fn change_key(
        &self,
        module: &SealedModule,
        versions: &[SealedKey],
        version: u64,
        change: &KeyChange,
        now: Millis,
    ) -> Result<SealedKey, Error> {
        self.check_module(module)?;
        let key = find(versions, version)?;
        require_owned(module, key)?;
        let verb = change.verb();
        let next = key.state.after(verb)?;
        if next == KeyState::Active {
            // The states of the others are believed, so they have to be their own.
            self.check_versions(module, versions)?;
            let active = |other: &&SealedKey| other.state == KeyState::Active && other.id != key.id;
            if let Some(other) = versions.iter().find(active) {
                return Err(Error::AnotherIsActive { version: other.version });
            }
        }
        if change.reason().is_some_and(|reason| !is_reason(reason)) {
            return Err(Error::Malformed { what: "reason" });
        }
        let mut changed = self.transition(key, verb, now)?;
        match change {
            KeyChange::Renew { expires_at } => {
                if expires_at.is_some_and(|at| at <= now) {
                    return Err(Error::Malformed { what: "expiry" });
                }
                if let Some(lifetime) = module.specification.key_lifetime
                    && expires_at.is_none_or(|at| at > now.saturating_add(lifetime).saturating_add(CLOCKS))
                {
                    let why = "a key lives no longer from its renewal than its module says";
                    return Err(Error::SpecificationRefused { what: "expiry", why });
                }
                changed.expires_at = *expires_at;
            }
            KeyChange::Resume => changed.reason = None,
            _ => changed.reason = change.reason().map(str::to_owned).or(changed.reason),
        }
        changed.row_seal = self.row_seal(&changed)?;
        Ok(changed)
    }

    /// The version without its material: only the metadata stays. A second person agreed to exactly this, after the
    /// waiting period.
    ///
    /// # Errors
    /// [`Error::ApprovalMismatch`] when they agreed to something else; [`Error::WrongState`], [`Error::OtherModule`],
    /// [`Error::Tampered`].
    pub fn destroy(
        &self,
        module: &SealedModule,
        key: &SealedKey,
        agreed: &Agreed,
        now: Millis,
    ) -> Result<SealedKey, Error> {
        self.check_module(module)?;
        require_owned(module, key)?;
        require_agreed(agreed, &destruction_subject(module, key))?;
        self.transition(key, LifecycleVerb::Destroy, now)
    }

    fn make_version(
        &self,
        module: &SealedModule,
        versions: &[SealedKey],
        id: [u8; 16],
        activate: bool,
        now: Millis,
    ) -> Result<SealedKey, Error> {
        let spec = self.version_spec(module, versions, id, activate, now)?;
        self.generate(&spec, now)
    }

    /// That these are versions of the module's key, as this service wrote them.
    fn check_versions(&self, module: &SealedModule, versions: &[SealedKey]) -> Result<(), Error> {
        versions.iter().try_for_each(|key| {
            require_owned(module, key)?;
            self.check_row(key)
        })
    }

    /// What the next version of a module's key is made by.
    pub(crate) fn version_spec(
        &self,
        module: &SealedModule,
        versions: &[SealedKey],
        id: [u8; 16],
        activate: bool,
        now: Millis,
    ) -> Result<KeySpec, Error> {
        self.check_module(module)?;
        if module.state != ModuleState::Published {
            return Err(Error::WrongModuleState { state: module.state, what: "make keys for it" });
        }
        if module.purpose == Purpose::LinkTraffic {
            return Err(Error::Malformed { what: "key specification" });
        }
        self.check_versions(module, versions)?;
        Ok(KeySpec {
            id,
            module: module.name.clone(),
            purpose: module.purpose,
            algorithm: module.algorithm,
            version: versions.iter().map(|key| key.version).max().unwrap_or_default() + 1,
            expires_at: module.specification.key_lifetime.map(|lifetime| now.saturating_add(lifetime)),
            activate,
            exportable: module.specification.exportable,
        })
    }
}

/// The keys whose rotation is due, the most urgent first: active longer than the period of their module, or a module
/// with a period and no active key that was never given one.
///
/// The links rotate by an exchange, not by this.
pub fn due_rotations(modules: &[SealedModule], keys: &[SealedKey], now: Millis) -> Vec<DueRotation> {
    let mut due: Vec<DueRotation> = modules
        .iter()
        .filter(|module| module.state == ModuleState::Published && module.purpose != Purpose::LinkTraffic)
        .filter_map(|module| {
            let period = module.specification.rotation_period?;
            let mut own = keys.iter().filter(|key| module.owns(key)).peekable();
            if own.peek().is_none() {
                let due_at = module.published_at.unwrap_or(module.created_at);
                return Some(DueRotation { module: module.id, key: None, due_at });
            }
            let active = own.find(|key| key.state == KeyState::Active)?;
            let due_at = active.activated_at.unwrap_or(active.created_at).saturating_add(period);
            Some(DueRotation { module: module.id, key: Some(active.id), due_at })
        })
        .filter(|due| due.due_at <= now)
        .collect();
    due.sort_by_key(|due| (due.due_at, due.module));
    due
}

/// What a second person is asked to agree to before a key is destroyed.
pub fn destruction_subject(module: &SealedModule, key: &SealedKey) -> Subject {
    Subject { right: Right::Destroy, module: module.name.clone(), object: uuid_text(&key.id) }
}

fn find(versions: &[SealedKey], version: u64) -> Result<&SealedKey, Error> {
    versions.iter().find(|key| key.version == version).ok_or(Error::UnknownKeyVersion { version })
}

/// That a key is one of the module.
pub(crate) fn require_owned(module: &SealedModule, key: &SealedKey) -> Result<(), Error> {
    if module.owns(key) { Ok(()) } else { Err(Error::OtherModule { module: module.name.clone() }) }
}

/// That a second person agreed to exactly this.
pub(crate) fn require_agreed(agreed: &Agreed, subject: &Subject) -> Result<(), Error> {
    if agreed.subject() == subject { Ok(()) } else { Err(Error::ApprovalMismatch { right: subject.right }) }
}

#[cfg(test)]
mod tests;
