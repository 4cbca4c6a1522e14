//! The hierarchy above all keys, as it changes while the key service works: another root key, another key encryption
//! key. What is on record counts; whoever is behind it catches up.

use std::pin::Pin;
use std::sync::{Arc, PoisonError};

use keyservice::calls::request;
use keyservice::{
    Entropy, Error, Millis, RootKey, RootSource, SealedHierarchy, SystemEntropy, sync_directory_of,
};

use super::protocol::Opening;
use super::{Place, Vault, VaultError};

/// The hierarchy that is on record, on its way.
pub type Recorded<'a> = Pin<Box<dyn Future<Output = Result<SealedHierarchy, VaultError>> + Send + 'a>>;

/// Where the sealed hierarchy is kept: every node of an instance reads the same.
pub trait HierarchyRecord: Send + Sync {
    /// The hierarchy.
    fn hierarchy(&self) -> Recorded<'_>;
}

/// Where the next root key is, to rotate to: a file can be made there, a credential comes from whoever passes it.
///
/// # Errors
/// [`Error::Malformed`] where there is none and none can be made.
fn next_of(root: &RootSource) -> Result<RootSource, Error> {
    match root.next() {
        Some(next @ RootSource::File(_)) => Ok(next),
        Some(next) if next.is_there() => Ok(next),
        _ => Err(Error::Malformed { what: "root key: no next one is provided" }),
    }
}

/// Makes the next root key where that is a file, and not there yet.
///
/// # Errors
/// Those of [`RootKey::create`].
pub(super) fn make_next(root: &RootSource, entropy: &dyn Entropy) -> Result<(), Error> {
    match root.next() {
        Some(RootSource::File(path)) if !path.exists() => RootKey::create(path, entropy).map(drop),
        _ => Ok(()),
    }
}

/// Puts the next root key in the place of the one before, which nothing is sealed under any more; a credential is for
/// whoever passes it.
///
/// # Errors
/// When the system refuses; the next start tries again.
fn put_in_place(root: &RootSource) -> std::io::Result<()> {
    match (root, root.next()) {
        (RootSource::File(path), Some(RootSource::File(next))) => {
            std::fs::rename(next, path)?;
            sync_directory_of(path)
        }
        (RootSource::Credential(name), _) => {
            tracing::warn!(
                "the root key in use is the credential {name}.next: have it passed as {name}, and none as {name}.next"
            );
            Ok(())
        }
        _ => Ok(()),
    }
}

/// What a rotation of the root key left to do, once the hierarchy opens by the next one.
pub(super) fn finish_rotation(root: &RootSource, by_next: bool) {
    if by_next {
        match put_in_place(root) {
            Ok(()) => tracing::info!("the key hierarchy was opened with the next root key"),
            Err(error) => {
                tracing::error!(%error, "the next root key cannot be put in the place of the old one");
            }
        }
    }
}

impl Vault {
    /// Follows the hierarchy that is kept there from now on.
    #[must_use]
    pub fn following(self, record: Arc<dyn HierarchyRecord>) -> Self {
        Self { record: Some(record), ..self }
    }

    /// Works with the hierarchy that is on record, and answers it: another node may have stored another one.
    ///
    /// # Errors
    /// When it cannot be read, or is no successor of the one before; then everything is as it was.
    pub async fn catch_up(&self) -> Result<SealedHierarchy, VaultError> {
        let record =
            self.record.as_ref().ok_or(VaultError::Unavailable("The key hierarchy is not on record"))?;
        // One at a time, so that an older one never takes the place of a newer.
        let mut adopted = self.adopted.lock().await;
        let stored = record.hierarchy().await?;
        if adopted.as_ref() != Some(&stored) {
            self.take(&stored).await?;
            self.remember(stored.clone());
            *adopted = Some(stored.clone());
        }
        Ok(stored)
    }

    /// Has the process opened with the hierarchy that is on record when it is started again: while it does not answer, it
    /// cannot catch up, and the root key of the hierarchy that it knew may be gone.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn reopen_with_record(&self) -> Result<(), VaultError> {
        if let Some(record) = &self.record {
            self.remember(record.hierarchy().await?);
        }
        Ok(())
    }

    async fn take(&self, hierarchy: &SealedHierarchy) -> Result<(), VaultError> {
        let root = self.root();
        // Under another root key when that was rotated: by another node, and it is in the place of the old one by now;
        // or by this one, which was cut off before it put it there.
        let rotating = root.next().is_some_and(|next| next.is_there());
        let adopted = match &self.place {
            _ if rotating => Err(Error::RootKeyMismatch.into()),
            Place::Here(service, _) => service.adopt(hierarchy).map_err(VaultError::from),
            Place::There(remote) => remote.call(&request::adopt(hierarchy)).await,
        };
        if adopted != Err(VaultError::Refused(Error::RootKeyMismatch)) {
            return adopted;
        }
        let by_next = match &self.place {
            Place::Here(service, _) => service.adopt_root(hierarchy)?,
            Place::There(remote) => remote.call(&request::adopt_root(hierarchy)).await?,
        };
        if by_next {
            put_in_place(&root).map_err(|error| {
                tracing::error!(%error, "the next root key cannot be put in the place of the old one");
                VaultError::Unavailable("The next root key cannot be put in the place of the old one")
            })?;
        }
        Ok(())
    }

    /// Whether a call failed because the hierarchy on record is a newer one, which is in use now.
    pub(super) async fn was_behind<T>(&self, answered: &Result<T, VaultError>) -> bool {
        if !matches!(answered, Err(VaultError::Refused(Error::KeyEncryptionKeyUnknown { .. }))) {
            return false;
        }
        // A process that was started again may have an older one than it was told last.
        *self.adopted.lock().await = None;
        match self.catch_up().await {
            Ok(_) => true,
            Err(error) => {
                tracing::warn!(%error, "the key service cannot work with the hierarchy that is on record");
                false
            }
        }
    }

    /// Makes the next root key, unless an interrupted rotation left one, and seals the hierarchy under it: what the
    /// caller stores before [`Self::finish_root`]. Nothing has changed until then.
    ///
    /// # Errors
    /// [`keyservice::Error::Malformed`] when the root key is not in a file, and whoever provides it provided no next one;
    /// [`keyservice::Error::RootKeyUnchanged`] when that is the one in use; those of [`RootKey::create`];
    /// [`VaultError::Unavailable`].
    pub async fn begin_root(&self, now: Millis) -> Result<SealedHierarchy, VaultError> {
        match &self.place {
            Place::Here(service, root) => {
                next_of(root)?;
                make_next(root, &SystemEntropy)?;
                Ok(service.rotate_root_to_next()?)
            }
            Place::There(remote) => {
                let opening = remote.opening.lock().unwrap_or_else(PoisonError::into_inner).clone();
                next_of(&opening.root)?;
                // The process that answers can write nothing any more: another one, for this alone, makes the file.
                let opening = Opening { make_next: true, now, ..opening };
                let (other, _) =
                    Box::pin(Self::open(&remote.config, &remote.launcher, remote.entropy.clone(), opening))
                        .await?;
                other.rotate_root_to_next().await
            }
        }
    }

    /// Works under the next root key from now on, and puts it in the place of the one before: the stored hierarchy is
    /// sealed under it.
    ///
    /// # Errors
    /// When it cannot be read, or put in place. Whoever catches up, or starts, next does it then.
    pub async fn finish_root(&self, hierarchy: &SealedHierarchy) -> Result<(), VaultError> {
        let mut adopted = self.adopted.lock().await;
        self.take(hierarchy).await?;
        self.remember(hierarchy.clone());
        *adopted = Some(hierarchy.clone());
        Ok(())
    }

    fn root(&self) -> RootSource {
        match &self.place {
            Place::Here(_, root) => root.clone(),
            Place::There(remote) => {
                remote.opening.lock().unwrap_or_else(PoisonError::into_inner).root.clone()
            }
        }
    }

    /// Opens with this hierarchy when the process is started again: the one before was rotated.
    pub(crate) fn remember(&self, hierarchy: SealedHierarchy) {
        if let Place::There(remote) = &self.place {
            remote.opening.lock().unwrap_or_else(PoisonError::into_inner).hierarchy = Some(hierarchy);
        }
    }
}
