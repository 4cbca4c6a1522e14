//! Rotation of the keys above all others: the root key, and the key encryption keys.
//!
//! Each step takes what is stored and gives what is to be stored, and the next step is seen from what is stored: who is
//! killed between two of them goes on where the records say. Store first, adopt after.
//!
//! | rotation | steps |
//! |---|---|
//! | root key | [`KeyService::rotate_root`] → store the hierarchy → [`KeyService::adopt_under`] → put the new root key in the old one's place. In between, either root key may be the right one: [`KeyService::open_with_either`] |
//! | key encryption key | [`KeyService::add_key_encryption_key`] → store → [`KeyService::adopt`] → [`KeyService::rewrap`] batch by batch, stored, until [`RewrapProgress`] counts none left → [`KeyService::retire_key_encryption_keys`] → store → adopt |
//!
//! More than one key encryption key in a hierarchy is a rotation in progress. The older ones only unwrap.

use std::sync::Arc;

use crate::error::Error;
use crate::exchange::{LinkRole, SealedPending};
use crate::key::SealedKey;
use crate::keyring::{Keyring, SealedHierarchy, wrap_header, wrapping_version};
use crate::ports::Entropy;
use crate::root::{RootKey, RootProvider as _, RootSource};
use crate::service::{KeyService, Opened};

/// How far a rotation of the key encryption key is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RewrapProgress {
    /// The version of the key encryption key that wraps.
    pub newest: u32,
    /// How many wraps there are.
    pub total: u64,
    /// How many of them an older version opens.
    pub remaining: u64,
}

/// Where the root key in use is, of the places that the next start looks in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RootPlace {
    /// In its own.
    Own,
    /// In that of the next one alone: a rotation leaves it there until it is put in its own.
    Next,
    /// In none of them: there is another one.
    Nowhere,
}

fn no_place() -> Error {
    let (path, reason) = ("of another kind".to_owned(), "this service knows no place for it".to_owned());
    Error::RootKeyUnavailable { path, reason }
}

impl KeyService {
    /// Remembers where the root key is, and with it where the [next](RootSource::next) one is put: for
    /// [`Self::rotate_root_to_next`], [`Self::adopt_root`] and the health report. Said once, by whoever starts the
    /// service, and by nobody who asks it later.
    #[must_use]
    pub fn with_root_source(mut self, source: RootSource) -> Self {
        self.root_source = Some(source);
        self
    }

    /// Where the next start finds the root key in use, beginning at the place that is its own.
    ///
    /// # Errors
    /// Those of [`RootProvider::root_key`](crate::RootProvider::root_key) for that place.
    pub(crate) fn root_place(&self, own: &RootSource) -> Result<RootPlace, Error> {
        let in_use = self.current().root.recognition(self.instance())?;
        let holds = |source: &RootSource| {
            source.root_key()?.recognition(self.instance()).map(|found| found == in_use)
        };
        if holds(own)? {
            return Ok(RootPlace::Own);
        }
        if own.next().is_some_and(|next| holds(&next) == Ok(true)) {
            return Ok(RootPlace::Next);
        }
        // Looked at twice: in between, the next one may have been put in its place.
        Ok(if holds(own)? { RootPlace::Own } else { RootPlace::Nowhere })
    }

    /// Opens the hierarchy with whichever of two root keys it was sealed under: the state in which an interrupted
    /// rotation of the root key leaves an instance. The next one is only read where the other does not open it: what is
    /// wrong with one that nobody needs stops nothing. Tells whether it was the next one.
    ///
    /// # Errors
    /// [`Error::RootKeyMismatch`] when it is neither; why the next one cannot be read; otherwise as [`Self::open`].
    pub fn open_with_either(
        root: &RootKey,
        next: impl FnOnce() -> Result<RootKey, Error>,
        instance: [u8; 16],
        hierarchy: &SealedHierarchy,
        entropy: &Arc<dyn Entropy>,
    ) -> Result<(Self, bool), Error> {
        match Self::open(root, instance, hierarchy, entropy.clone()) {
            Err(Error::RootKeyMismatch) => {
                Self::open(&next()?, instance, hierarchy, entropy.clone()).map(|service| (service, true))
            }
            opened => opened.map(|service| (service, false)),
        }
    }

    /// The hierarchy under another root key. The instance root key and everything below keep their values, so nothing
    /// else needs to be stored again.
    ///
    /// # Errors
    /// [`Error::RootKeyUnchanged`] when it is the root key in use; [`Error::Entropy`].
    pub fn rotate_root(&self, next: &RootKey) -> Result<SealedHierarchy, Error> {
        let current = self.current();
        if next.recognition(self.instance())? == current.root.recognition(self.instance())? {
            return Err(Error::RootKeyUnchanged);
        }
        let (mut keyring, instance_root) =
            Keyring::unseal(&current.root, *self.instance(), &current.hierarchy)?;
        keyring.next_generation()?;
        keyring.seal_hierarchy(next, &instance_root, self.entropy.as_ref())
    }

    /// [`Self::rotate_root`], to the next root key in its place of [`Self::with_root_source`]. It is read here and
    /// nowhere else, and whoever asks cannot name another one.
    ///
    /// # Errors
    /// Those of [`RootProvider::root_key`](crate::RootProvider::root_key) and [`Self::rotate_root`];
    /// [`Error::RootKeyUnavailable`] where there is no place for a next one.
    pub fn rotate_root_to_next(&self) -> Result<SealedHierarchy, Error> {
        let next = self.root_source.as_ref().and_then(RootSource::next).ok_or_else(no_place)?;
        self.rotate_root(&next.root_key()?)
    }

    /// [`Self::adopt_under`] the root key that is in the place of the one in use by now, or else under the next one.
    /// Answers whether it was the next one, which then belongs in that place.
    ///
    /// # Errors
    /// Those of [`RootProvider::root_key`](crate::RootProvider::root_key) and [`Self::adopt_under`];
    /// [`Error::RootKeyMismatch`] when it is neither.
    pub fn adopt_root(&self, hierarchy: &SealedHierarchy) -> Result<bool, Error> {
        let own = self.root_source.as_ref().ok_or_else(no_place)?;
        match self.adopt_under(&own.root_key()?, hierarchy) {
            Err(Error::RootKeyMismatch) => {}
            adopted => return adopted.map(|()| false),
        }
        match own.next().map(|next| next.root_key()) {
            None | Some(Err(Error::RootKeyUnavailable { .. })) => Err(Error::RootKeyMismatch),
            Some(next) => self.adopt_under(&next?, hierarchy).map(|()| true),
        }
    }

    /// The hierarchy with one more key encryption key, which wraps from its adoption on.
    ///
    /// # Errors
    /// [`Error::RotationInProgress`] when an older one was not retired yet; [`Error::Entropy`].
    pub fn add_key_encryption_key(&self) -> Result<SealedHierarchy, Error> {
        if self.key_encryption_keys().len() > 1 {
            return Err(Error::RotationInProgress);
        }
        self.with_keyring(|keyring, entropy| keyring.add_key_encryption_key(entropy))
    }

    /// The hierarchy without the key encryption keys that nothing is wrapped under any more.
    ///
    /// # Errors
    /// [`Error::StillWrapped`] when the progress says otherwise; [`Error::KeyEncryptionKeyUnknown`] when it was counted
    /// against another version than the newest; [`Error::Entropy`].
    pub fn retire_key_encryption_keys(&self, progress: RewrapProgress) -> Result<SealedHierarchy, Error> {
        if progress.newest != self.newest_key_encryption_key() {
            return Err(Error::KeyEncryptionKeyUnknown { version: progress.newest });
        }
        if progress.remaining > 0 {
            return Err(Error::StillWrapped { count: progress.remaining });
        }
        self.with_keyring(|keyring, _| {
            keyring.retire_key_encryption_keys();
            Ok(())
        })
    }

    /// Works with a stored hierarchy from now on, under the same root key. Exchanges in progress go on.
    ///
    /// # Errors
    /// As [`Self::open`]; [`Error::Tampered`] when it is not a successor of the hierarchy in use.
    pub fn adopt(&self, hierarchy: &SealedHierarchy) -> Result<(), Error> {
        self.adopt_under(&self.current().root, hierarchy)
    }

    /// Works with a stored hierarchy under another root key from now on.
    ///
    /// # Errors
    /// As [`Self::adopt`].
    pub fn adopt_under(&self, root: &RootKey, hierarchy: &SealedHierarchy) -> Result<(), Error> {
        let keyring = Keyring::open(root, *self.instance(), hierarchy)?;
        if !keyring.succeeds(&self.current().keyring)? {
            return Err(Error::Tampered { what: "key hierarchy" });
        }
        self.exchange_hierarchy(Opened { keyring, root: root.duplicate(), hierarchy: hierarchy.clone() });
        Ok(())
    }

    /// The versions of the key encryption keys, oldest first; the last one wraps.
    pub fn key_encryption_keys(&self) -> Vec<u32> {
        self.current().keyring.key_encryption_keys()
    }

    /// The version of the key encryption key that made a wrap ([`SealedKey::wrapped`], [`SealedPending::bytes`]); none
    /// when it is no wrap, such as that of a destroyed key. Not authenticated: a hint for counting.
    pub fn wrapped_under(wrapped: &[u8]) -> Option<u32> {
        wrapping_version(wrapped)
    }

    /// How every wrap begins that is made under this version of the key encryption key.
    pub fn wraps_begin_with(version: u32) -> [u8; 5] {
        wrap_header(version)
    }

    /// The keys among these that change by being wrapped under the newest key encryption key. Their state and its
    /// count stay; store each only if the row is still the one that went in.
    ///
    /// # Errors
    /// [`Error::Tampered`], [`Error::KeyEncryptionKeyUnknown`], [`Error::Entropy`].
    pub fn rewrap(&self, keys: &[SealedKey]) -> Result<Vec<SealedKey>, Error> {
        let newest = self.newest_key_encryption_key();
        keys.iter()
            .filter(|key| !key.wrapped.is_empty() && wrapping_version(&key.wrapped) != Some(newest))
            .map(|key| self.rewrap_one(key))
            .collect()
    }

    fn rewrap_one(&self, key: &SealedKey) -> Result<SealedKey, Error> {
        self.check_row(key)?;
        let material = self.material_unchecked(key)?;
        let mut next = key.clone();
        let context = key.wrap_context(self.instance());
        next.wrapped = self.current().keyring.wrap(self.entropy.as_ref(), "ks1 wrap", &context, &material)?;
        next.row_seal = self.row_seal(&next)?;
        Ok(next)
    }

    /// A pending attempt of a link's module, wrapped under the newest key encryption key.
    ///
    /// # Errors
    /// As [`Self::rewrap`].
    pub fn rewrap_pending(&self, module: &str, pending: &SealedPending) -> Result<SealedPending, Error> {
        let provider = self.open_pending(LinkRole::Provider, module, pending);
        let (role, plain) = match provider {
            Ok(plain) => (LinkRole::Provider, plain),
            Err(_) => (LinkRole::Consumer, self.open_pending(LinkRole::Consumer, module, pending)?),
        };
        self.seal_pending(role, module, &plain)
    }

    fn newest_key_encryption_key(&self) -> u32 {
        self.key_encryption_keys().last().copied().unwrap_or_default()
    }

    fn with_keyring(
        &self,
        change: impl FnOnce(&mut Keyring, &dyn Entropy) -> Result<(), Error>,
    ) -> Result<SealedHierarchy, Error> {
        let current = self.current();
        let (mut keyring, instance_root) =
            Keyring::unseal(&current.root, *self.instance(), &current.hierarchy)?;
        change(&mut keyring, self.entropy.as_ref())?;
        keyring.next_generation()?;
        keyring.seal_hierarchy(&current.root, &instance_root, self.entropy.as_ref())
    }
}

#[cfg(test)]
mod tests;
