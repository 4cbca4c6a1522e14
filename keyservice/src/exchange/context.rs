//! What an exchange is bound to.

use crate::codec::uuid_text;
use crate::error::Error;
use crate::exchange::message::{SUITE_1, VERSION_1};
use crate::identity::PublicKey;
use crate::pae::hash;

/// Everything that both sides know before the exchange, each from its own records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegistrationContext {
    /// The public registration id, `r` of the link.
    pub registration: String,
    /// Canonical origin of the provider.
    pub provider_origin: String,
    /// Instance id of the provider.
    pub provider_instance: [u8; 16],
    /// The provider's identity key: on the consumer's side, the one that the link pins. Not part of the digest but
    /// of the messages, where it must be this one.
    pub provider_key: PublicKey,
    /// Canonical origin of the consumer.
    pub consumer_origin: String,
    /// Instance id of the consumer.
    pub consumer_instance: [u8; 16],
    /// The consumer's identity key: on the provider's side, the one that the claim bound. As for the provider's.
    pub consumer_key: PublicKey,
    /// The company of the registration.
    pub company: [u8; 16],
    /// The contact who approved.
    pub contact: [u8; 16],
    /// SHA-256 of the link secret, `H(t)`.
    pub link_digest: [u8; 32],
    /// The claim.
    pub claim: [u8; 16],
    /// The approval.
    pub auth_event: [u8; 16],
    /// SHA-256 of the access token.
    pub token_digest: [u8; 32],
}

impl RegistrationContext {
    /// `reg_ctx` of the protocol: the channel binding to the registration link and to the person who approved.
    pub fn digest(&self) -> [u8; 32] {
        hash(&[
            b"kx1 reg",
            self.registration.as_bytes(),
            self.provider_origin.as_bytes(),
            &self.provider_instance,
            self.consumer_origin.as_bytes(),
            &self.consumer_instance,
            &self.company,
            &self.contact,
            &self.link_digest,
            &self.claim,
            &self.auth_event,
            &self.token_digest,
        ])
    }
}

/// The id of the link that an exchange in this context establishes: the same on both sides, known to nobody before.
pub fn link_id(context: &RegistrationContext) -> [u8; 16] {
    let mut id = [0; 16];
    id.copy_from_slice(&hash(&[b"kx1 link", &context.digest()])[..16]);
    id
}

/// The key module of a link: `links/` and the id in the form of a UUID.
pub fn link_module(link: &[u8; 16]) -> String {
    format!("links/{}", uuid_text(link))
}

/// The key to be made for a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkSpec {
    /// The id of the new key.
    pub key_id: [u8; 16],
    /// The link, [`link_id`] of the context.
    pub link: [u8; 16],
    /// The epoch, from 1.
    pub epoch: u64,
}

impl LinkSpec {
    pub(crate) fn module(&self) -> String {
        link_module(&self.link)
    }

    pub(crate) fn require(&self, link: &[u8; 16]) -> Result<(), Error> {
        if self.link != *link {
            return Err(Error::ContextMismatch { what: "link" });
        }
        if self.epoch == 0 { Err(Error::Malformed { what: "epoch" }) } else { Ok(()) }
    }
}

/// The lowest version and suite that a link accepts: the highest ever used with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Floor {
    /// Protocol version.
    pub version: u16,
    /// Suite.
    pub suite: u16,
}

impl Default for Floor {
    fn default() -> Self {
        Self { version: VERSION_1, suite: SUITE_1 }
    }
}
