//! A key as others store it: metadata in the clear, material wrapped, the whole under a row seal.

use std::fmt;
use std::str::FromStr;

use crate::algorithm::Algorithm;
use crate::error::Error;
use crate::identity::PublicKey;
use crate::lifecycle::{KeyState, Operation};
use crate::pae::hash;
use crate::ports::Millis;
use crate::usage::MAX_REASON;

/// What a key is for. A key is used for nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// The identity of the instance: the exchange, the identity document, control messages, client assertions.
    IdentitySigning,
    /// Checkpoints of the audit trail.
    AuditSigning,
    /// Tokens of our own.
    TokenSigning,
    /// Secrets of this instance at rest.
    DataEncryption,
    /// The traffic of one link in one epoch. Made by an exchange only.
    LinkTraffic,
    /// Seal and open, in a module that a key manager made.
    Sealing,
    /// Sign and verify, in a module that a key manager made.
    Signing,
    /// Authentication codes, in a module that a key manager made.
    Authentication,
}

impl Purpose {
    /// Every purpose.
    pub const ALL: [Self; 8] = [
        Self::IdentitySigning,
        Self::AuditSigning,
        Self::TokenSigning,
        Self::DataEncryption,
        Self::LinkTraffic,
        Self::Sealing,
        Self::Signing,
        Self::Authentication,
    ];

    /// The name in records, which is also authenticated.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::IdentitySigning => "IDENTITY_SIGNING",
            Self::AuditSigning => "AUDIT_SIGNING",
            Self::TokenSigning => "TOKEN_SIGNING",
            Self::DataEncryption => "DATA_ENCRYPTION",
            Self::LinkTraffic => "LINK_TRAFFIC",
            Self::Sealing => "SEALING",
            Self::Signing => "SIGNING",
            Self::Authentication => "AUTHENTICATION",
        }
    }

    /// The algorithms of the purpose; the first is the one to take without a reason for another.
    pub fn algorithms(self) -> &'static [Algorithm] {
        match self {
            Self::IdentitySigning | Self::AuditSigning | Self::TokenSigning => &[Algorithm::Ed25519],
            Self::DataEncryption | Self::Sealing => &[Algorithm::Aes256Gcm],
            Self::LinkTraffic => &[Algorithm::Kx1Suite1],
            Self::Signing => &[Algorithm::Ed25519, Algorithm::EcdsaP256Sha256],
            Self::Authentication => &[Algorithm::HmacSha256, Algorithm::HmacSha384, Algorithm::HmacSha512],
        }
    }

    /// The first of [`Self::algorithms`].
    pub fn algorithm(self) -> Algorithm {
        self.algorithms()[0]
    }

    /// What is done with material of this purpose: first what makes, then what reads.
    pub fn operations(self) -> [Operation; 2] {
        match self {
            Self::IdentitySigning | Self::AuditSigning | Self::TokenSigning | Self::Signing => {
                [Operation::Sign, Operation::Verify]
            }
            Self::DataEncryption | Self::LinkTraffic | Self::Sealing => [Operation::Seal, Operation::Open],
            Self::Authentication => [Operation::Mac, Operation::VerifyMac],
        }
    }
}

/// A purpose whose keys may come from outside and may leave. The purposes of this instance's own keys (its identity,
/// its links, its tokens, its audit trail, its data) have no counterpart here. A manager's module is made for a value
/// of this type, and import and export pass through it: whatever does not convert is refused before anything is
/// unwrapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PortablePurpose {
    /// [`Purpose::Sealing`].
    Sealing,
    /// [`Purpose::Signing`].
    Signing,
    /// [`Purpose::Authentication`].
    Authentication,
}

impl PortablePurpose {
    /// The portable form of a purpose, for those that have one.
    pub fn of(purpose: Purpose) -> Option<Self> {
        match purpose {
            Purpose::Sealing => Some(Self::Sealing),
            Purpose::Signing => Some(Self::Signing),
            Purpose::Authentication => Some(Self::Authentication),
            Purpose::IdentitySigning
            | Purpose::AuditSigning
            | Purpose::TokenSigning
            | Purpose::DataEncryption
            | Purpose::LinkTraffic => None,
        }
    }
}

impl From<PortablePurpose> for Purpose {
    fn from(purpose: PortablePurpose) -> Self {
        match purpose {
            PortablePurpose::Sealing => Self::Sealing,
            PortablePurpose::Signing => Self::Signing,
            PortablePurpose::Authentication => Self::Authentication,
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

/// A wish for a new key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeySpec {
    /// Its id, a UUID.
    pub id: [u8; 16],
    /// The module it belongs to, 1 to 128 printable ASCII characters.
    pub module: String,
    /// What it is for.
    pub purpose: Purpose,
    /// One of the algorithms of the purpose.
    pub algorithm: Algorithm,
    /// Its version within the module, from 1.
    pub version: u64,
    /// When it stops sealing and signing by itself.
    pub expires_at: Option<Millis>,
    /// Active at once, rather than pre-active.
    pub activate: bool,
    /// Whether the material may ever leave the service, as its module says; of portable purposes only.
    pub exportable: bool,
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
    /// Why it was suspended, revoked or marked as compromised.
    pub reason: Option<String>,
    /// The public half, of signing keys.
    pub public: Option<Vec<u8>>,
    /// The material, wrapped under a key encryption key; empty once destroyed.
    pub wrapped: Vec<u8>,
    /// HMAC under the integrity key over everything above.
    pub row_seal: [u8; 32],
}

/// The longest public half and wrap of any key, in bytes.
const MAX_PUBLIC: usize = 256;
const MAX_WRAPPED: usize = 1_024;
/// The longest name of any key's module, in bytes.
pub(crate) const MAX_MODULE: usize = 128;

impl SealedKey {
    /// Whether no field is longer than this service ever makes it. What is longer was written by somebody else: it is
    /// tampered with, however little is looked at, and need not cross to a process to be found so.
    pub fn has_possible_size(&self) -> bool {
        let reason = self.reason.as_deref().unwrap_or_default();
        self.module.len() <= MAX_MODULE
            && self.public.as_deref().unwrap_or_default().len() <= MAX_PUBLIC
            && self.wrapped.len() <= MAX_WRAPPED
            && reason.chars().count() <= MAX_REASON
    }

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
        let (context, state_seq) = (self.wrap_context(instance), self.state_seq.to_le_bytes());
        let dates =
            [self.activated_at, self.rotated_at, self.deactivated_at, self.expires_at, self.destroyed_at]
                .map(optional);
        let mut parts: Vec<&[u8]> = vec![b"ks1 row", &context, self.state.as_str().as_bytes(), &state_seq];
        parts.extend(dates.iter().map(Vec::as_slice));
        let has_public = [u8::from(self.public.is_some())];
        parts.extend([&has_public[..], self.public.as_deref().unwrap_or_default(), &self.wrapped]);
        // No part at all where there is no reason, so that rows keep the seal from before there were reasons.
        parts.extend(self.reason.as_deref().map(str::as_bytes));
        hash(&parts)
    }
}

/// Nothing or eight bytes: the encoding around it carries the length, so the two cannot be confused.
fn optional(at: Option<Millis>) -> Vec<u8> {
    at.map(|at| at.to_le_bytes().to_vec()).unwrap_or_default()
}
