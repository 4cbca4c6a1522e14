//! The four messages. Their form on the wire is decided elsewhere; what is authenticated is decided here.

use crate::error::Error;
use crate::pae::{hash, pae};
use crate::ports::Millis;

/// The one protocol version.
pub const VERSION_1: u16 = 1;
/// X25519, Ed25519, HKDF-SHA256, AES-256-GCM.
pub const SUITE_1: u16 = 0x0001;

const MAX_OFFERS: usize = 16;
const MAX_ORIGIN: usize = 300;

/// Consumer to provider: the offer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct M1 {
    /// The attempt, strictly growing per registration.
    pub attempt: u64,
    /// Protocol versions on offer.
    pub offer_versions: Vec<u16>,
    /// Suites on offer.
    pub offer_suites: Vec<u16>,
    /// Name of the consumer's identity key.
    pub kid: [u8; 20],
    /// The consumer's identity key.
    pub public_key: [u8; 32],
    /// The consumer's instance id.
    pub instance: [u8; 16],
    /// The consumer's origin.
    pub origin: String,
    /// The consumer's ephemeral X25519 key.
    pub ephemeral: [u8; 32],
    /// 32 random bytes.
    pub nonce: [u8; 32],
}

impl M1 {
    /// What of it enters the transcript: all of it.
    pub(crate) fn encoded(&self) -> Vec<u8> {
        pae(&[
            b"M1",
            &self.attempt.to_le_bytes(),
            &numbers(&self.offer_versions),
            &numbers(&self.offer_suites),
            &self.kid,
            &self.public_key,
            &self.instance,
            self.origin.as_bytes(),
            &self.ephemeral,
            &self.nonce,
        ])
    }

    /// Recognises a repeated message: the same digest gets the same M2.
    pub fn digest(&self) -> [u8; 32] {
        hash(&[b"kx1 message", &self.encoded()])
    }

    pub(crate) fn require_sizes(&self) -> Result<(), Error> {
        let offers = 1..=MAX_OFFERS;
        if !offers.contains(&self.offer_versions.len())
            || !offers.contains(&self.offer_suites.len())
            || self.origin.len() > MAX_ORIGIN
        {
            return Err(Error::TooLarge { what: "M1" });
        }
        Ok(())
    }
}

/// Provider to consumer: the choice, and proof of the provider's identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct M2 {
    /// The attempt.
    pub attempt: u64,
    /// The chosen protocol version.
    pub version: u16,
    /// The chosen suite.
    pub suite: u16,
    /// Name of the provider's identity key.
    pub kid: [u8; 20],
    /// The provider's identity key.
    pub public_key: [u8; 32],
    /// The provider's instance id.
    pub instance: [u8; 16],
    /// The provider's origin.
    pub origin: String,
    /// The provider's ephemeral X25519 key.
    pub ephemeral: [u8; 32],
    /// 32 random bytes.
    pub nonce: [u8; 32],
    /// Ed25519 signature over the transcript so far.
    pub signature: [u8; 64],
    /// Key confirmation.
    pub mac: [u8; 32],
}

impl M2 {
    /// What of it enters the transcript before the signature.
    pub(crate) fn core(&self) -> Vec<u8> {
        pae(&[
            b"M2 core",
            &self.attempt.to_le_bytes(),
            &self.version.to_le_bytes(),
            &self.suite.to_le_bytes(),
            &self.kid,
            &self.public_key,
            &self.instance,
            self.origin.as_bytes(),
            &self.ephemeral,
            &self.nonce,
        ])
    }

    /// Recognises a repeated message.
    pub fn digest(&self) -> [u8; 32] {
        hash(&[b"kx1 message", &self.core(), &self.signature, &self.mac])
    }

    pub(crate) fn require_sizes(&self) -> Result<(), Error> {
        if self.origin.len() > MAX_ORIGIN { Err(Error::TooLarge { what: "M2" }) } else { Ok(()) }
    }
}

/// Consumer to provider: proof of the consumer's identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct M3 {
    /// The attempt.
    pub attempt: u64,
    /// Ed25519 signature over the transcript so far.
    pub signature: [u8; 64],
    /// Key confirmation.
    pub mac: [u8; 32],
}

impl M3 {
    /// Recognises a repeated message: the same digest gets the same M4.
    pub fn digest(&self) -> [u8; 32] {
        hash(&[b"kx1 message", b"M3", &self.attempt.to_le_bytes(), &self.signature, &self.mac])
    }
}

/// Provider to consumer: the keys are in use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct M4 {
    /// The attempt.
    pub attempt: u64,
    /// The epoch of the keys.
    pub epoch: u64,
    /// When the provider put them into use, by its own clock.
    pub activated_at: Millis,
    /// Key confirmation over all of it.
    pub fin: [u8; 32],
}

impl M4 {
    /// Recognises a repeated message.
    pub fn digest(&self) -> [u8; 32] {
        hash(&[
            b"kx1 message",
            b"M4",
            &self.attempt.to_le_bytes(),
            &self.epoch.to_le_bytes(),
            &self.activated_at.to_le_bytes(),
            &self.fin,
        ])
    }
}

/// A list of numbers of one width: unambiguous because the encoding around it carries the length.
fn numbers(list: &[u16]) -> Vec<u8> {
    list.iter().flat_map(|number| number.to_le_bytes()).collect()
}
