//! What the verbs may do with keys. A key is named here, never held: the key service keeps what is secret.

use std::sync::Arc;

use keyservice::{Error, KeyService, MacPurpose, PublicKey, SealedKey};

use crate::domain::Timestamp;

/// The key service with this instance's own keys.
#[derive(Clone)]
pub struct Keys {
    service: Arc<KeyService>,
    identity: Arc<SealedKey>,
    data: Arc<SealedKey>,
    public: PublicKey,
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Keys")
    }
}

impl Keys {
    /// The module of the instance's identity key.
    pub const IDENTITY: &'static str = "identity";
    /// The module of the key that seals secrets at rest.
    pub const DATA: &'static str = "data";

    /// The key service with the active identity and data keys.
    ///
    /// # Errors
    /// When the identity key has no valid public half.
    pub fn new(service: Arc<KeyService>, identity: SealedKey, data: SealedKey) -> Result<Self, Error> {
        let public = identity.public_key()?;
        Ok(Self { service, identity: Arc::new(identity), data: Arc::new(data), public })
    }

    /// The key service itself.
    #[must_use]
    pub(crate) fn service(&self) -> &KeyService {
        &self.service
    }

    /// The identity key, as it is stored.
    #[must_use]
    pub(crate) fn identity(&self) -> &SealedKey {
        &self.identity
    }

    /// The keys whose health counts.
    #[must_use]
    pub(crate) fn all(&self) -> Vec<SealedKey> {
        vec![(*self.identity).clone(), (*self.data).clone()]
    }

    /// The instance's Ed25519 identity key.
    #[must_use]
    pub const fn public_key(&self) -> &PublicKey {
        &self.public
    }

    /// SHA-256 fingerprint of the identity key.
    #[must_use]
    pub fn fingerprint(&self) -> [u8; 32] {
        self.public.fingerprint()
    }

    /// The fingerprint as people compare it.
    #[must_use]
    pub fn fingerprint_text(&self) -> String {
        self.public.fingerprint_groups()
    }

    /// Seals a secret for the database; `what` must be given again to open it.
    ///
    /// # Errors
    /// When the key service refuses.
    pub(crate) fn seal(
        &self,
        what: &str,
        id: &[u8],
        secret: &[u8],
        now: Timestamp,
    ) -> Result<Vec<u8>, Error> {
        self.service.seal(&self.data, &[what.as_bytes(), id], secret, now.timestamp_millis())
    }

    /// Opens what [`Keys::seal`] sealed.
    ///
    /// # Errors
    /// When it was sealed as something else, or changed.
    pub(crate) fn open(
        &self,
        what: &str,
        id: &[u8],
        sealed: &[u8],
        now: Timestamp,
    ) -> Result<Vec<u8>, Error> {
        self.service.open_sealed(&self.data, &[what.as_bytes(), id], sealed, now.timestamp_millis())
    }

    /// Signs with the identity key over `PAE(label, parts…)`.
    ///
    /// # Errors
    /// When the key service refuses.
    pub(crate) fn sign(&self, label: &str, parts: &[&[u8]], now: Timestamp) -> Result<Vec<u8>, Error> {
        self.service.sign(&self.identity, label, parts, now.timestamp_millis())
    }

    /// Signs the input of a JSON Web Signature (RFC 7515, section 5.1) with the identity key.
    ///
    /// # Errors
    /// When the key service refuses.
    pub(crate) fn sign_jws(&self, input: &[u8], now: Timestamp) -> Result<Vec<u8>, Error> {
        self.service.sign_jws(&self.identity, input, now.timestamp_millis())
    }

    /// A MAC under a key of this instance.
    ///
    /// # Errors
    /// When the key service refuses.
    pub(crate) fn mac(&self, purpose: MacPurpose, parts: &[&[u8]]) -> Result<[u8; 32], Error> {
        self.service.mac(purpose, parts)
    }
}
