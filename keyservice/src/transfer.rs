//! Keys that come from outside and keys that leave, always wrapped to a key of whoever receives them.
//!
//! **Package**: `1 | E | ciphertext | tag`, where `E` is the sender's ephemeral X25519 public key (RFC 7748), used once.
//! With `R` the receiver's X25519 public key:
//!
//! ```text
//! prk         = HKDF-Extract(SHA-256(PAE("ks1 transfer", R, E)), X25519(e, R))      RFC 5869, SHA-256
//! key | nonce = HKDF-Expand(prk, PAE("ks1 transfer key"), 44)                      32 and 12 bytes
//! ciphertext  = AES-256-GCM(key, nonce, aad, secret)                                SP 800-38D
//! aad         = PAE("ks1 import", instance, module, algorithm)                      into this service
//!             = PAE("ks1 export", instance, module, algorithm, key id, LE64(version))    out of it, unless
//!               whoever receives it gave their own: another service gives that of its import
//! ```
//!
//! The secret is 32 bytes for AES-256-GCM, the 32-byte seed for Ed25519, a PKCS#8 document for ECDSA P-256, and for
//! HMAC a key as long as the code at least and 128 bytes at most. For an import, `R` is made for this one package and
//! forgotten with it. Both need a second person; only modules of a manager's making take part (see
//! [`PortablePurpose`]): the keys of the instance itself and of its connections cannot be named here.

use std::collections::HashMap;
use std::sync::PoisonError;

use ring::agreement::EphemeralPrivateKey;
use secrecy::ExposeSecret;
use zeroize::Zeroizing;

use crate::algorithm::Algorithm;
use crate::approval::{Agreed, Subject};
use crate::codec::{Reader, uuid_text};
use crate::crypto::{aes_256_gcm_open, aes_256_gcm_seal, expand_raw, extract, x25519};
use crate::error::Error;
use crate::exchange::ephemeral_key;
use crate::key::{PortablePurpose, SealedKey};
use crate::lifecycle::{Operation, Permission};
use crate::module::{ModuleState, SealedModule};
use crate::pae::{hash, pae};
use crate::ports::{Millis, random};
use crate::right::Right;
use crate::service::{KeyService, Material};
use crate::signing;
use crate::usage::require_unexpired;
use crate::versions::{require_agreed, require_owned};

/// How long an import key waits for its package, in milliseconds.
pub const IMPORT_WITHIN: Millis = 10 * 60 * 1000;
/// How many import keys wait at most.
pub const MAX_IMPORTS: usize = 16;
/// The longest package, in bytes.
pub const MAX_PACKAGE: usize = 512;
/// The longest associated data that a receiver may ask for, in bytes.
pub const MAX_RECEIVER_AAD: usize = 512;

const FORMAT: u8 = 1;
const PACKAGE: &str = "key package";

/// An import key of this service, for one package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportOffer {
    /// Its id.
    pub id: [u8; 16],
    /// The public key to wrap to.
    pub public: [u8; 32],
    /// The associated data to wrap with.
    pub aad: Vec<u8>,
    /// When it is forgotten.
    pub expires_at: Millis,
}

/// A package that came for an [`ImportOffer`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// The offer.
    pub offer: [u8; 16],
    /// The package.
    pub package: Vec<u8>,
    /// The id for the key in it, a UUID.
    pub id: [u8; 16],
}

/// For whom a key is wrapped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destination {
    /// The receiver's public key.
    pub public: [u8; 32],
    /// The associated data that the receiver opens with; none for [`KeyService::export_context`].
    pub aad: Option<Vec<u8>>,
}

impl Destination {
    /// The receiver with this public key, who opens with the associated data of the export.
    pub fn of(public: [u8; 32]) -> Self {
        Self { public, aad: None }
    }

    /// What it is, in an approval.
    fn digest(&self) -> [u8; 32] {
        let mut parts: Vec<&[u8]> = vec![b"ks1 recipient", &self.public];
        parts.extend(self.aad.as_deref());
        hash(&parts)
    }
}

/// A key on its way to somebody else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Package {
    /// The package.
    pub bytes: Vec<u8>,
    /// The associated data that it was wrapped with.
    pub aad: Vec<u8>,
}

/// The import keys that wait. They do not survive the process.
#[derive(Default)]
pub(crate) struct Imports(HashMap<[u8; 16], (EphemeralPrivateKey, ImportOffer)>);

/// A key that may leave: by its purpose, by its module's specification, and by what it was made as. The only thing
/// that is ever wrapped for somebody else, and nothing becomes one but here.
struct Portable<'a>(&'a SealedKey);

impl<'a> Portable<'a> {
    fn of(module: &SealedModule, key: &'a SealedKey) -> Result<Self, Error> {
        match PortablePurpose::of(key.purpose) {
            Some(_) if module.specification.exportable && key.exportable => Ok(Self(key)),
            Some(_) | None => Err(Error::NotExportable { module: module.name.clone() }),
        }
    }

    /// The material. The purpose is in the associated data of the wrap: what was wrapped for another one than the row
    /// says does not open.
    fn material(&self, service: &KeyService) -> Result<Zeroizing<Vec<u8>>, Error> {
        service.material_unchecked(self.0)
    }
}

/// What a second person is asked to agree to before a key is taken in.
pub fn import_subject(module: &SealedModule) -> Subject {
    Subject { right: Right::Import, module: module.name.clone(), object: String::new() }
}

/// What a second person is asked to agree to before a key leaves: which key, and for whom.
pub fn export_subject(module: &str, key: &[u8; 16], to: &Destination) -> Subject {
    let object = format!("{}/{}", uuid_text(key), data_encoding::HEXLOWER.encode(&to.digest()));
    Subject { right: Right::Export, module: module.to_owned(), object }
}

impl KeyService {
    /// An import key, for one package within [`IMPORT_WITHIN`].
    ///
    /// # Errors
    /// [`Error::WrongModuleState`], [`Error::NotImportable`], [`Error::ExchangesFull`] when [`MAX_IMPORTS`] wait,
    /// [`Error::Tampered`], [`Error::Entropy`].
    pub fn offer_import(&self, module: &SealedModule, now: Millis) -> Result<ImportOffer, Error> {
        self.require_portable_module(module)?;
        let (private, public) = ephemeral_key()?;
        let offer = ImportOffer {
            id: random(self.entropy.as_ref())?,
            public,
            aad: self.import_context(module),
            expires_at: now.saturating_add(IMPORT_WITHIN),
        };
        let mut imports = self.imports.lock().unwrap_or_else(PoisonError::into_inner);
        imports.0.retain(|_, (_, offer)| now < offer.expires_at);
        if imports.0.len() >= MAX_IMPORTS {
            return Err(Error::ExchangesFull);
        }
        imports.0.insert(offer.id, (private, offer.clone()));
        Ok(offer)
    }

    /// The key in a package that was wrapped to an [`ImportOffer`], as the module's next version, not yet in use. The
    /// offer is over, also on error.
    ///
    /// # Errors
    /// [`Error::ApprovalMismatch`]; [`Error::ExchangeUnknown`] when the offer is over; [`Error::WeakEphemeral`] for a
    /// low-order point; [`Error::Tampered`] when the package is not for this offer and module; [`Error::KeyRefused`]
    /// when what is in it is too short, too long or no key of the algorithm; otherwise as [`Self::next_version`].
    pub fn import(
        &self,
        module: &SealedModule,
        versions: &[SealedKey],
        arrival: &Arrival,
        agreed: &Agreed,
        now: Millis,
    ) -> Result<SealedKey, Error> {
        require_agreed(agreed, &import_subject(module))?;
        self.require_portable_module(module)?;
        let waiting = self.imports.lock().unwrap_or_else(PoisonError::into_inner).0.remove(&arrival.offer);
        let (private, offer) =
            waiting.filter(|(_, offer)| now < offer.expires_at).ok_or(Error::ExchangeUnknown)?;
        // Its own context, not that of the offer: one made for another module opens nothing here.
        let secret = unwrap(private, &offer.public, &self.import_context(module), &arrival.package)?;
        let (secret, public) = take_in(module.algorithm, &secret)?;
        let spec = self.version_spec(module, versions, arrival.id, false, now)?;
        self.seal_key(&spec, public, &secret, now)
    }

    /// The package with a key for somebody else, who holds the private half of the destination.
    ///
    /// # Errors
    /// [`Error::TooLarge`] for associated data above [`MAX_RECEIVER_AAD`]; [`Error::NotExportable`] unless the module's specification allows it; [`Error::ApprovalMismatch`];
    /// [`Error::WrongState`] and [`Error::KeyExpired`] unless the key is in use; [`Error::WeakEphemeral`] for a
    /// low-order point; [`Error::OtherModule`], [`Error::Tampered`].
    pub fn export(
        &self,
        module: &SealedModule,
        key: &SealedKey,
        to: &Destination,
        agreed: &Agreed,
        now: Millis,
    ) -> Result<Package, Error> {
        self.check_module(module)?;
        require_owned(module, key)?;
        self.check_row(key)?;
        let portable = Portable::of(module, key)?;
        require_agreed(agreed, &export_subject(&module.name, &key.id, to))?;
        if key.state.permits(Operation::Export) == Permission::Never {
            return Err(Error::WrongState { state: key.state, operation: Operation::Export });
        }
        require_unexpired(key, now)?;
        let aad = match &to.aad {
            Some(aad) if aad.len() > MAX_RECEIVER_AAD => {
                return Err(Error::TooLarge { what: "associated data" });
            }
            Some(aad) => aad.clone(),
            None => self.export_context(module, key),
        };
        let bytes = wrap(&to.public, &aad, &portable.material(self)?)?;
        Ok(Package { bytes, aad })
    }

    /// The associated data of [`Self::export`], for whoever opens the package.
    pub fn export_context(&self, module: &SealedModule, key: &SealedKey) -> Vec<u8> {
        pae(&[
            b"ks1 export",
            self.instance(),
            module.name.as_bytes(),
            module.algorithm.as_str().as_bytes(),
            &key.id,
            &key.version.to_le_bytes(),
        ])
    }

    fn import_context(&self, module: &SealedModule) -> Vec<u8> {
        let (name, algorithm) = (module.name.as_bytes(), module.algorithm.as_str().as_bytes());
        pae(&[b"ks1 import", self.instance(), name, algorithm])
    }

    fn require_portable_module(&self, module: &SealedModule) -> Result<(), Error> {
        self.check_module(module)?;
        if PortablePurpose::of(module.purpose).is_none() {
            return Err(Error::NotImportable { module: module.name.clone() });
        }
        if module.state != ModuleState::Published {
            return Err(Error::WrongModuleState { state: module.state, what: "make keys for it" });
        }
        Ok(())
    }
}

/// Wraps a secret to a public key: what the sender of an import does.
///
/// # Errors
/// [`Error::WeakEphemeral`] for a low-order point, [`Error::Entropy`].
pub fn wrap(recipient: &[u8; 32], aad: &[u8], secret: &[u8]) -> Result<Vec<u8>, Error> {
    let (private, ephemeral) = ephemeral_key()?;
    let (key, nonce) = agree(private, recipient, recipient, &ephemeral)?;
    let mut out = vec![FORMAT];
    out.extend_from_slice(&ephemeral);
    out.extend(aes_256_gcm_seal(&key, nonce, aad, secret)?);
    Ok(out)
}

/// The receiver of an export, in this process: the other end of [`wrap`].
pub struct Recipient {
    private: EphemeralPrivateKey,
    public: [u8; 32],
}

impl Recipient {
    /// A fresh one.
    ///
    /// # Errors
    /// [`Error::Entropy`].
    pub fn generate() -> Result<Self, Error> {
        let (private, public) = ephemeral_key()?;
        Ok(Self { private, public })
    }

    /// What to wrap to.
    pub fn public(&self) -> [u8; 32] {
        self.public
    }

    /// The secret in a package, once.
    ///
    /// # Errors
    /// [`Error::Malformed`], [`Error::TooLarge`], [`Error::WeakEphemeral`], [`Error::Tampered`].
    pub fn open(self, aad: &[u8], package: &[u8]) -> Result<Zeroizing<Vec<u8>>, Error> {
        unwrap(self.private, &self.public, aad, package)
    }
}

fn unwrap(
    private: EphemeralPrivateKey,
    public: &[u8; 32],
    aad: &[u8],
    package: &[u8],
) -> Result<Zeroizing<Vec<u8>>, Error> {
    if package.len() > MAX_PACKAGE {
        return Err(Error::TooLarge { what: PACKAGE });
    }
    let mut reader = Reader::new(package, PACKAGE);
    if reader.u8()? != FORMAT {
        return Err(Error::Malformed { what: PACKAGE });
    }
    let ephemeral = reader.array()?;
    let (key, nonce) = agree(private, &ephemeral, public, &ephemeral)?;
    aes_256_gcm_open(&key, nonce, aad, reader.rest()).map_err(|_| Error::Tampered { what: PACKAGE })
}

type KeyAndNonce = (Zeroizing<[u8; 32]>, [u8; 12]);

fn agree(
    private: EphemeralPrivateKey,
    peer: &[u8; 32],
    recipient: &[u8; 32],
    ephemeral: &[u8; 32],
) -> Result<KeyAndNonce, Error> {
    let salt = hash(&[b"ks1 transfer", recipient, ephemeral]);
    x25519(private, peer, |shared| {
        let mut okm = Zeroizing::new([0; 44]);
        let info = pae(&[b"ks1 transfer key"]);
        expand_raw(extract(&salt, shared).expose_secret(), &info, okm.as_mut())?;
        let (mut key, mut nonce) = (Zeroizing::new([0; 32]), [0; 12]);
        key.copy_from_slice(&okm[..32]);
        nonce.copy_from_slice(&okm[32..]);
        Ok((key, nonce))
    })
}

/// Material from outside, by the rules of its algorithm.
fn take_in(algorithm: Algorithm, secret: &[u8]) -> Result<Material, Error> {
    const LONGEST: usize = 128;
    let uniform = secret.iter().all(|byte| secret.first() == Some(byte));
    match algorithm {
        Algorithm::Ed25519 | Algorithm::EcdsaP256Sha256 => {
            if uniform {
                return Err(Error::KeyRefused { why: "all of its bytes are the same" });
            }
            let pair = signing::take_in(algorithm, secret)
                .map_err(|_| Error::KeyRefused { why: "it is not a private key of the algorithm" })?;
            Ok((pair.secret, Some(pair.public)))
        }
        Algorithm::Aes256Gcm | Algorithm::HmacSha256 | Algorithm::HmacSha384 | Algorithm::HmacSha512 => {
            let shortest = algorithm.secret_length().unwrap_or(LONGEST);
            let longest = if algorithm == Algorithm::Aes256Gcm { shortest } else { LONGEST };
            if secret.len() < shortest {
                return Err(Error::KeyRefused { why: "it is shorter than the algorithm's full strength" });
            }
            if secret.len() > longest {
                return Err(Error::KeyRefused { why: "it is longer than the algorithm takes" });
            }
            if uniform {
                return Err(Error::KeyRefused { why: "all of its bytes are the same" });
            }
            Ok((Zeroizing::new(secret.to_vec()), None))
        }
        Algorithm::Kx1Suite1 => Err(Error::KeyRefused { why: "such keys come from an exchange only" }),
    }
}

#[cfg(test)]
mod tests;
