//! The key service: every operation with a key goes through it.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use zeroize::Zeroizing;

use crate::algorithm::Algorithm;
use crate::codec::Reader;
use crate::crypto::secret_from;
use crate::error::Error;
use crate::exchange::Exchanges;
use crate::identity::{labelled, require_signing_input};
use crate::key::{KeySpec, MAX_MODULE, PortablePurpose, Purpose, SealedKey};
use crate::keyring::{Keyring, SealedHierarchy, open_blob, seal_blob};
use crate::known_answers::{self, Answers};
use crate::lifecycle::{KeyState, LifecycleVerb, Operation, Permission};
use crate::pae::pae;
use crate::ports::{Entropy, Millis, Stopwatch};
use crate::root::{RootKey, RootSource};
use crate::signing;
use crate::transfer::Imports;
use crate::usage::require_unexpired;

/// The largest plaintext that is sealed at once, in bytes.
pub const MAX_PLAINTEXT: usize = 512 * 1024;
/// What a ciphertext adds to its plaintext at most, in bytes.
pub(crate) const MAX_OVERHEAD: usize = 256;

/// A secret as it is wrapped, and the public half of a pair.
pub(crate) type Material = (Zeroizing<Vec<u8>>, Option<Vec<u8>>);

const KEY: &str = "key";
const CIPHERTEXT: &str = "ciphertext";
const SEAL_FORMAT: u8 = 1;
/// Signatures with these labels mean "I take part in this exchange": only the exchange makes them.
const RESERVED_LABELS: [&str; 2] = ["kx1 sig P", "kx1 sig C"];

/// What an authenticator is for. Each purpose has its own key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MacPurpose {
    /// Finding a secret value again without storing it.
    Lookup,
    /// The pepper of password hashes.
    PasswordPepper,
    /// Ids that cannot be made up.
    OpaqueId,
    /// Tokens against cross-site request forgery.
    Csrf,
    /// Sensitive fields of audit entries, searchable for a known value.
    AuditField,
    /// The seals of stored requests for approval, see [`Approval`](crate::approval::Approval).
    KeyApproval,
}

impl MacPurpose {
    fn label(self) -> &'static str {
        match self {
            Self::Lookup => "lookup",
            Self::PasswordPepper => "password pepper",
            Self::OpaqueId => "opaque id",
            Self::Csrf => "csrf",
            Self::AuditField => "audit field",
            Self::KeyApproval => "key approval",
        }
    }
}

/// The keys of one instance. Shared by `Arc`; all methods take `&self`.
///
/// It remembers the hierarchy and the exchanges in progress, nothing else: keys come in sealed with each call.
pub struct KeyService {
    instance: [u8; 16],
    /// Exchanged as a whole when a key of the hierarchy is rotated; a call keeps the one that it began with.
    current: RwLock<Arc<Opened>>,
    pub(crate) entropy: Arc<dyn Entropy>,
    pub(crate) exchanges: Mutex<Exchanges>,
    pub(crate) imports: Mutex<Imports>,
    pub(crate) stopwatch: Stopwatch,
    pub(crate) answers: Answers,
    /// When the known answers were last right.
    answered_at: Mutex<Option<Millis>>,
    /// Where the root key is, if that was said.
    pub(crate) root_source: Option<RootSource>,
}

/// The hierarchy in both forms, and what opens it.
pub(crate) struct Opened {
    pub(crate) keyring: Keyring,
    /// Kept so that the health report can measure the two rather than claim them, and for the rotation.
    pub(crate) root: RootKey,
    pub(crate) hierarchy: SealedHierarchy,
}

impl fmt::Debug for KeyService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyService").finish_non_exhaustive()
    }
}

impl KeyService {
    /// Makes the hierarchy of a new instance; the caller stores the sealed form.
    ///
    /// # Errors
    /// [`Error::Entropy`]; [`Error::KnownAnswer`] when a primitive does not give its published value.
    pub fn initialise(
        root: &RootKey,
        instance: [u8; 16],
        entropy: Arc<dyn Entropy>,
        now: Millis,
    ) -> Result<(Self, SealedHierarchy), Error> {
        Self::initialise_by(known_answers::check, root, instance, entropy, now)
    }

    fn initialise_by(
        answers: Answers,
        root: &RootKey,
        instance: [u8; 16],
        entropy: Arc<dyn Entropy>,
        now: Millis,
    ) -> Result<(Self, SealedHierarchy), Error> {
        answers()?;
        let (keyring, sealed) = Keyring::create(root, instance, entropy.as_ref(), now)?;
        Ok((Self::around(keyring, root, sealed.clone(), (answers, entropy)), sealed))
    }

    /// Opens the hierarchy of an instance.
    ///
    /// # Errors
    /// [`Error::RootKeyMismatch`] for another root key or instance, [`Error::Tampered`] or [`Error::Malformed`] for a
    /// damaged hierarchy; [`Error::KnownAnswer`] as for [`Self::initialise`].
    pub fn open(
        root: &RootKey,
        instance: [u8; 16],
        hierarchy: &SealedHierarchy,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Self, Error> {
        Self::open_by(known_answers::check, root, instance, hierarchy, entropy)
    }

    fn open_by(
        answers: Answers,
        root: &RootKey,
        instance: [u8; 16],
        hierarchy: &SealedHierarchy,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Self, Error> {
        answers()?;
        let keyring = Keyring::open(root, instance, hierarchy)?;
        Ok(Self::around(keyring, root, hierarchy.clone(), (answers, entropy)))
    }

    /// Measures the health report with this stopwatch; without one, everything takes 0 µs.
    #[must_use]
    pub fn with_stopwatch(self, stopwatch: Stopwatch) -> Self {
        Self { stopwatch, ..self }
    }

    /// Makes a key.
    ///
    /// # Errors
    /// [`Error::Malformed`] when the algorithm is not that of the purpose, the purpose is none whose keys may leave and
    /// it is to be exportable, the module name is not 1 to 128 printable ASCII characters, the version is 0, or the
    /// purpose is [`Purpose::LinkTraffic`], whose keys come from an exchange. [`Error::Entropy`].
    pub fn generate(&self, spec: &KeySpec, now: Millis) -> Result<SealedKey, Error> {
        let named = (1..=MAX_MODULE).contains(&spec.module.len())
            && spec.module.bytes().all(|byte| byte.is_ascii_graphic());
        let fits = spec.purpose.algorithms().contains(&spec.algorithm)
            && (!spec.exportable || PortablePurpose::of(spec.purpose).is_some());
        if !named || spec.version == 0 || !fits || spec.purpose == Purpose::LinkTraffic {
            return Err(Error::Malformed { what: "key specification" });
        }
        let (material, public) = self.fresh(spec.algorithm)?;
        self.seal_key(spec, public, &material, now)
    }

    /// Retires the key of a link: the next epoch of the exchange took its place. It still opens what it has to.
    ///
    /// Keys of other modules are retired by [`Self::rotate`] and [`Self::activate`], with the version that takes over.
    ///
    /// # Errors
    /// [`Error::WrongPurpose`] for any other key; [`Error::WrongState`] unless it is active; [`Error::Tampered`].
    pub fn retire(&self, key: &SealedKey, now: Millis) -> Result<SealedKey, Error> {
        let rotate = Operation::Change(LifecycleVerb::Rotate);
        self.require_purpose(key, rotate, &[Purpose::LinkTraffic])?;
        self.transition(key, LifecycleVerb::Rotate, now)
    }

    /// The key of a link that ended, without its material: only the metadata stays. It takes neither a second person nor a
    /// waiting period, unlike [`Self::destroy`]: what it sealed was messages on their way, and no more come.
    ///
    /// # Errors
    /// [`Error::WrongPurpose`] for any other key; [`Error::WrongState`] while it is active or suspended;
    /// [`Error::Tampered`].
    pub fn destroy_link(&self, key: &SealedKey, now: Millis) -> Result<SealedKey, Error> {
        let destroy = Operation::Change(LifecycleVerb::Destroy);
        self.require_purpose(key, destroy, &[Purpose::LinkTraffic])?;
        self.transition(key, LifecycleVerb::Destroy, now)
    }

    /// Takes a key to the state that the verb leads to, with the date of it. Who may ask for it, and what has to come
    /// with it (a reason, a second person), is for the callers: none but the functions with names of their own.
    ///
    /// # Errors
    /// [`Error::WrongState`] by the table in [`crate::lifecycle`], [`Error::Tampered`].
    pub(crate) fn transition(
        &self,
        key: &SealedKey,
        verb: LifecycleVerb,
        now: Millis,
    ) -> Result<SealedKey, Error> {
        self.check_row(key)?;
        let mut next = key.clone();
        next.state = key.state.after(verb)?;
        next.state_seq += 1;
        match verb {
            LifecycleVerb::Activate => next.activated_at = Some(now),
            LifecycleVerb::Suspend | LifecycleVerb::Resume | LifecycleVerb::Renew => {}
            LifecycleVerb::Rotate => {
                next.rotated_at = Some(now);
                next.deactivated_at = Some(now);
            }
            LifecycleVerb::Deactivate | LifecycleVerb::Revoke | LifecycleVerb::Compromise => {
                next.deactivated_at.get_or_insert(now);
            }
            LifecycleVerb::Destroy => {
                next.destroyed_at = Some(now);
                next.wrapped = Vec::new();
            }
        }
        next.row_seal = self.row_seal(&next)?;
        Ok(next)
    }

    /// Signs `PAE(label, parts…)` with an identity or audit key.
    ///
    /// # Errors
    /// [`Error::ReservedLabel`] for the labels of the exchange; [`Error::WrongPurpose`], [`Error::WrongState`],
    /// [`Error::KeyExpired`], [`Error::Tampered`].
    pub fn sign(&self, key: &SealedKey, label: &str, parts: &[&[u8]], now: Millis) -> Result<Vec<u8>, Error> {
        require_label(label)?;
        self.require_purpose(key, Operation::Sign, &[Purpose::IdentitySigning, Purpose::AuditSigning])?;
        self.sign_raw(key, &labelled(label, parts), now)
    }

    /// Signs a JWS signing input (RFC 7515, 5.1) with a token or identity key.
    ///
    /// # Errors
    /// [`Error::Malformed`] unless the input is two base64url texts with a dot between, which sets it apart from
    /// everything that [`Self::sign`] signs; otherwise as there.
    pub fn sign_jws(&self, key: &SealedKey, signing_input: &[u8], now: Millis) -> Result<Vec<u8>, Error> {
        require_signing_input(signing_input)?;
        self.require_purpose(key, Operation::Sign, &[Purpose::IdentitySigning, Purpose::TokenSigning])?;
        self.sign_raw(key, signing_input, now)
    }

    /// Seals a secret under a data key; `aad` must be given again to open it. The ciphertext names the key version.
    ///
    /// # Errors
    /// [`Error::TooLarge`] above [`MAX_PLAINTEXT`]; [`Error::WrongPurpose`], [`Error::WrongState`],
    /// [`Error::KeyExpired`], [`Error::Tampered`] (the key), [`Error::Entropy`].
    pub fn seal(
        &self,
        key: &SealedKey,
        aad: &[&[u8]],
        plaintext: &[u8],
        now: Millis,
    ) -> Result<Vec<u8>, Error> {
        if plaintext.len() > MAX_PLAINTEXT {
            return Err(Error::TooLarge { what: "plaintext" });
        }
        self.require_purpose(key, Operation::Seal, &[Purpose::DataEncryption])?;
        let material = self.material(key, Operation::Seal, now)?;
        self.seal_under(key, &material, aad, plaintext)
    }

    /// `format | LE64(version) | salt | ciphertext | tag`.
    pub(crate) fn seal_under(
        &self,
        key: &SealedKey,
        material: &[u8],
        aad: &[&[u8]],
        plaintext: &[u8],
    ) -> Result<Vec<u8>, Error> {
        let mut out = vec![SEAL_FORMAT];
        out.extend_from_slice(&key.version.to_le_bytes());
        let aad = self.seal_context(key, aad);
        let material = secret_from(material, KEY)?;
        out.extend(seal_blob(&material, self.entropy.as_ref(), "ks1 seal", &aad, plaintext)?);
        Ok(out)
    }

    /// The version of the data key that a ciphertext of [`Self::seal`] needs. Not authenticated: a hint for look-up.
    ///
    /// # Errors
    /// [`Error::Malformed`].
    pub fn sealed_version(ciphertext: &[u8]) -> Result<u64, Error> {
        let mut reader = Reader::new(ciphertext, CIPHERTEXT);
        if reader.u8()? != SEAL_FORMAT {
            return Err(Error::Malformed { what: CIPHERTEXT });
        }
        reader.u64()
    }

    /// Opens a ciphertext of [`Self::seal`].
    ///
    /// # Errors
    /// [`Error::OtherKeyVersion`] when it names another version of the key; [`Error::Tampered`] when the ciphertext,
    /// the associated data or the key were changed; [`Error::Malformed`], [`Error::TooLarge`],
    /// [`Error::WrongPurpose`], [`Error::WrongState`].
    pub fn open_sealed(
        &self,
        key: &SealedKey,
        aad: &[&[u8]],
        ciphertext: &[u8],
        now: Millis,
    ) -> Result<Vec<u8>, Error> {
        self.require_purpose(key, Operation::Open, &[Purpose::DataEncryption])?;
        let version = Self::sealed_version(ciphertext)?;
        if version != key.version {
            return Err(Error::OtherKeyVersion { version });
        }
        let material = self.material(key, Operation::Open, now)?;
        self.open_under(key, &material, aad, ciphertext)
    }

    /// The plaintext of [`Self::seal_under`].
    pub(crate) fn open_under(
        &self,
        key: &SealedKey,
        material: &[u8],
        aad: &[&[u8]],
        ciphertext: &[u8],
    ) -> Result<Vec<u8>, Error> {
        if ciphertext.len() > MAX_PLAINTEXT + MAX_OVERHEAD {
            return Err(Error::TooLarge { what: CIPHERTEXT });
        }
        let material = secret_from(material, KEY)?;
        let aad = self.seal_context(key, aad);
        let mut plaintext = open_blob(&material, "ks1 seal", &aad, &ciphertext[9..], CIPHERTEXT)?;
        Ok(std::mem::take(&mut *plaintext))
    }

    /// An authenticator over the encoding of the parts, under the key of the purpose.
    ///
    /// # Errors
    /// [`Error::Primitive`], which would be a defect.
    pub fn mac(&self, purpose: MacPurpose, parts: &[&[u8]]) -> Result<[u8; 32], Error> {
        self.current().keyring.mac(purpose.label(), parts)
    }

    fn around(
        keyring: Keyring,
        root: &RootKey,
        hierarchy: SealedHierarchy,
        (answers, entropy): (Answers, Arc<dyn Entropy>),
    ) -> Self {
        let instance = *keyring.instance();
        let opened = Opened { keyring, root: root.duplicate(), hierarchy };
        Self {
            instance,
            current: RwLock::new(Arc::new(opened)),
            entropy,
            exchanges: Mutex::new(Exchanges::default()),
            imports: Mutex::new(Imports::default()),
            stopwatch: Arc::new(|| 0),
            answers,
            answered_at: Mutex::new(None),
            root_source: None,
        }
    }

    /// Whether the known answers were asked for too long ago, or never.
    pub(crate) fn known_answers_are_due(&self, now: Millis) -> bool {
        let answered_at = *self.answered_at.lock().unwrap_or_else(PoisonError::into_inner);
        !answered_at.is_some_and(|at| (at..at.saturating_add(known_answers::BELIEVED)).contains(&now))
    }

    /// The known answers were right.
    pub(crate) fn note_known_answers(&self, now: Millis) {
        *self.answered_at.lock().unwrap_or_else(PoisonError::into_inner) = Some(now);
    }

    /// The instance that this is the key service of.
    pub(crate) fn instance(&self) -> &[u8; 16] {
        &self.instance
    }

    /// The hierarchy as it is now.
    pub(crate) fn current(&self) -> Arc<Opened> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Fresh material, and its public half if it has one.
    pub(crate) fn fresh(&self, algorithm: Algorithm) -> Result<Material, Error> {
        let entropy = self.entropy.as_ref();
        match (algorithm, algorithm.secret_length()) {
            (Algorithm::Ed25519 | Algorithm::EcdsaP256Sha256, _) => {
                let pair = signing::generate(algorithm, entropy)?;
                Ok((pair.secret, Some(pair.public)))
            }
            (_, Some(length)) => {
                let mut secret = Zeroizing::new(vec![0; length]);
                entropy.fill(&mut secret)?;
                Ok((secret, None))
            }
            (_, None) => Err(Error::Malformed { what: "key specification" }),
        }
    }

    /// Works with another hierarchy from now on.
    pub(crate) fn exchange_hierarchy(&self, opened: Opened) {
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(opened);
    }

    /// Wraps material and seals the row around it.
    pub(crate) fn seal_key(
        &self,
        spec: &KeySpec,
        public: Option<Vec<u8>>,
        material: &[u8],
        now: Millis,
    ) -> Result<SealedKey, Error> {
        let mut key = SealedKey {
            id: spec.id,
            module: spec.module.clone(),
            purpose: spec.purpose,
            algorithm: spec.algorithm,
            version: spec.version,
            state: if spec.activate { KeyState::Active } else { KeyState::PreActive },
            state_seq: 0,
            created_at: now,
            activated_at: spec.activate.then_some(now),
            rotated_at: None,
            deactivated_at: None,
            expires_at: spec.expires_at,
            destroyed_at: None,
            exportable: spec.exportable,
            reason: None,
            public,
            wrapped: Vec::new(),
            row_seal: [0; 32],
        };
        let context = key.wrap_context(self.instance());
        key.wrapped = self.current().keyring.wrap(self.entropy.as_ref(), "ks1 wrap", &context, material)?;
        key.row_seal = self.row_seal(&key)?;
        Ok(key)
    }

    /// The material of a key, for one operation that its state and its expiry allow.
    pub(crate) fn material(
        &self,
        key: &SealedKey,
        operation: Operation,
        now: Millis,
    ) -> Result<Zeroizing<Vec<u8>>, Error> {
        self.check_row(key)?;
        require_usable(key, operation, now)?;
        self.material_unchecked(key)
    }

    pub(crate) fn material_unchecked(&self, key: &SealedKey) -> Result<Zeroizing<Vec<u8>>, Error> {
        self.current().keyring.unwrap("ks1 wrap", &key.wrap_context(self.instance()), &key.wrapped, KEY)
    }

    /// That the row is as this service wrote it, and the key is for one of these purposes.
    pub(crate) fn require_purpose(
        &self,
        key: &SealedKey,
        operation: Operation,
        purposes: &[Purpose],
    ) -> Result<(), Error> {
        self.check_row(key)?;
        if !purposes.contains(&key.purpose) {
            return Err(Error::WrongPurpose { purpose: key.purpose, operation });
        }
        Ok(())
    }

    /// That the row is as this service wrote it.
    pub(crate) fn check_row(&self, key: &SealedKey) -> Result<(), Error> {
        let context = key.row_context(self.instance());
        if self.current().keyring.mac_matches("row seal", &[&context], &key.row_seal)? {
            Ok(())
        } else {
            Err(Error::Tampered { what: KEY })
        }
    }

    /// A signature over bytes whose purpose is already told apart.
    pub(crate) fn sign_raw(&self, key: &SealedKey, message: &[u8], now: Millis) -> Result<Vec<u8>, Error> {
        let seed = self.material(key, Operation::Sign, now)?;
        signing::sign(key.algorithm, &seed, key.public.as_deref().unwrap_or_default(), message)
    }

    pub(crate) fn row_seal(&self, key: &SealedKey) -> Result<[u8; 32], Error> {
        self.current().keyring.mac("row seal", &[&key.row_context(self.instance())])
    }

    fn seal_context(&self, key: &SealedKey, aad: &[&[u8]]) -> Vec<u8> {
        pae(&[
            b"ks1 seal",
            &[SEAL_FORMAT],
            self.instance(),
            &key.id,
            key.module.as_bytes(),
            &key.version.to_le_bytes(),
            &pae(aad),
        ])
    }
}

/// That the state and the expiry of a key allow to use it directly. Nobody states a reason there: what needs one is for
/// the operations of modules, which take it.
pub(crate) fn require_usable(key: &SealedKey, operation: Operation, now: Millis) -> Result<(), Error> {
    match key.state.permits(operation) {
        Permission::Allowed | Permission::Audited if operation.makes() => require_unexpired(key, now),
        Permission::Allowed | Permission::Audited => Ok(()),
        Permission::WithReason | Permission::Never => Err(Error::WrongState { state: key.state, operation }),
    }
}

/// That a label is not one of those that only the exchange signs.
pub(crate) fn require_label(label: &str) -> Result<(), Error> {
    if RESERVED_LABELS.contains(&label) { Err(Error::ReservedLabel) } else { Ok(()) }
}

#[cfg(test)]
mod tests;
