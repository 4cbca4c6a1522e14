//! A key as others store it: metadata in the clear, material wrapped, the whole under a row seal.

use std::fmt;
use std::str::FromStr;

use crate::error::Error;
use crate::identity::PublicKey;
use crate::lifecycle::KeyState;
use crate::pae::hash;
use crate::ports::Millis;

/// What a key is for. A key is used for nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// The identity of the instance: the exchange, the identity document, control messages, client assertions.
    IdentitySigning,
    /// Checkpoints of the audit trail.
    AuditSigning,
    /// Tokens of our own.
    TokenSigning,
    /// Secrets of a module at rest.
    DataEncryption,
    /// The traffic of one link in one epoch. Made by an exchange only.
    LinkTraffic,
}

impl Purpose {
    /// Every purpose.
    pub const ALL: [Self; 5] = [
        Self::IdentitySigning,
        Self::AuditSigning,
        Self::TokenSigning,
        Self::DataEncryption,
        Self::LinkTraffic,
    ];

    /// The name in records, which is also authenticated.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::IdentitySigning => "IDENTITY_SIGNING",
            Self::AuditSigning => "AUDIT_SIGNING",
            Self::TokenSigning => "TOKEN_SIGNING",
            Self::DataEncryption => "DATA_ENCRYPTION",
            Self::LinkTraffic => "LINK_TRAFFIC",
        }
    }

    /// The one algorithm of the purpose.
    pub fn algorithm(self) -> Algorithm {
        match self {
            Self::IdentitySigning | Self::AuditSigning | Self::TokenSigning => Algorithm::Ed25519,
            Self::DataEncryption => Algorithm::Aes256Gcm,
            Self::LinkTraffic => Algorithm::Kx1Suite1,
        }
    }
}

impl fmt::Display for Purpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Purpose {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Self::ALL
            .into_iter()
            .find(|purpose| purpose.as_str() == text)
            .ok_or(Error::Malformed { what: "key purpose" })
    }
}

/// The algorithm of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// Signatures (RFC 8032).
    Ed25519,
    /// Authenticated encryption, each ciphertext under a key derived from this one and a random salt.
    Aes256Gcm,
    /// The epoch keys of suite `0x0001` of KX/1.
    Kx1Suite1,
}

impl Algorithm {
    /// Every algorithm.
    pub const ALL: [Self; 3] = [Self::Ed25519, Self::Aes256Gcm, Self::Kx1Suite1];

    /// The name in records, which is also authenticated.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ed25519 => "Ed25519",
            Self::Aes256Gcm => "A256GCM",
            Self::Kx1Suite1 => "KX1-0001",
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Algorithm {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Self::ALL
            .into_iter()
            .find(|algorithm| algorithm.as_str() == text)
            .ok_or(Error::Malformed { what: "key algorithm" })
    }
}

/// A wish for a new key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeySpec {
    /// Its id, a UUID.
    pub id: [u8; 16],
    /// The module it belongs to, 1 to 128 printable ASCII characters.
    pub module: String,
    /// What it is for.
    pub purpose: Purpose,
    /// Must be the algorithm of the purpose.
    pub algorithm: Algorithm,
    /// Its version within the module, from 1.
    pub version: u64,
    /// When it stops sealing and signing by itself.
    pub expires_at: Option<Millis>,
    /// Active at once, rather than pre-active.
    pub activate: bool,
}

/// A key as it is stored. Only the [`crate::KeyService`] that made it can use or change it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedKey {
    /// Its id, a UUID.
    pub id: [u8; 16],
    /// The module it belongs to.
    pub module: String,
    /// What it is for.
    pub purpose: Purpose,
    /// Its algorithm.
    pub algorithm: Algorithm,
    /// Its version within the module; the epoch for [`Purpose::LinkTraffic`].
    pub version: u64,
    /// Where it is in its life.
    pub state: KeyState,
    /// Counts its changes of state from 0; must agree with the audit trail, which exposes a restored old row.
    pub state_seq: u64,
    /// When it was made.
    pub created_at: Millis,
    /// When it was first put into use.
    pub activated_at: Option<Millis>,
    /// When a newer version took its place.
    pub rotated_at: Option<Millis>,
    /// When it went out of use for good.
    pub deactivated_at: Option<Millis>,
    /// When it stops sealing and signing by itself.
    pub expires_at: Option<Millis>,
    /// When its material was erased.
    pub destroyed_at: Option<Millis>,
    /// Whether the material may ever leave the service.
    pub exportable: bool,
    /// The public half, of signing keys.
    pub public: Option<Vec<u8>>,
    /// The material, wrapped under a key encryption key; empty once destroyed.
    pub wrapped: Vec<u8>,
    /// HMAC under the integrity key over everything above.
    pub row_seal: [u8; 32],
}

impl SealedKey {
    /// The public half of a signing key.
    ///
    /// # Errors
    /// [`Error::Malformed`] when there is none, [`Error::WeakKey`] when it breaks the input rules.
    pub fn public_key(&self) -> Result<PublicKey, Error> {
        PublicKey::parse(self.public.as_deref().ok_or(Error::Malformed { what: "public key" })?)
    }

    /// What the wrap authenticates: the parts of the metadata that never change.
    pub(crate) fn wrap_context(&self, instance: &[u8; 16]) -> [u8; 32] {
        hash(&[
            b"ks1 wrap",
            instance,
            &self.id,
            self.module.as_bytes(),
            self.purpose.as_str().as_bytes(),
            self.algorithm.as_str().as_bytes(),
            &self.version.to_le_bytes(),
            &self.created_at.to_le_bytes(),
            &[u8::from(self.exportable)],
        ])
    }

    /// What the row seal authenticates: everything but itself.
    pub(crate) fn row_context(&self, instance: &[u8; 16]) -> [u8; 32] {
        hash(&[
            b"ks1 row",
            &self.wrap_context(instance),
            self.state.as_str().as_bytes(),
            &self.state_seq.to_le_bytes(),
            &optional(self.activated_at),
            &optional(self.rotated_at),
            &optional(self.deactivated_at),
            &optional(self.expires_at),
            &optional(self.destroyed_at),
            &[u8::from(self.public.is_some())],
            self.public.as_deref().unwrap_or_default(),
            &self.wrapped,
        ])
    }
}

/// Nothing or eight bytes: the encoding around it carries the length, so the two cannot be confused.
fn optional(at: Option<Millis>) -> Vec<u8> {
    at.map(|at| at.to_le_bytes().to_vec()).unwrap_or_default()
}
