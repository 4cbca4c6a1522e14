//! Sealed messages: all traffic between two instances after the exchange (protocol, section 5).

use crate::crypto::{SALT_LEN, Secret, TAG_LEN, open_once, seal_once};
use crate::error::Error;
use crate::exchange::{LinkRole, LinkSecrets, link_module};
use crate::key::{Purpose, SealedKey};
use crate::lifecycle::{KeyState, Operation};
use crate::pae::{hash, pae};
use crate::ports::{Millis, random};
use crate::service::{KeyService, MAX_PLAINTEXT};

/// The one envelope version.
pub const ENVELOPE_VERSION: u8 = 1;
/// The oldest message that is accepted, in seconds.
pub const MAX_AGE_SECONDS: i64 = 24 * 60 * 60;
/// How far ahead of our clock a message may have been made, in seconds.
pub const MAX_AHEAD_SECONDS: i64 = 5 * 60;

const LABEL: &str = "kx1 message key";
const ENVELOPE: &str = "envelope";
const MAX_NAME: usize = 128;

/// Which way a message goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// `c2p`.
    ConsumerToProvider,
    /// `p2c`.
    ProviderToConsumer,
}

impl Direction {
    /// The name on the wire, which is also authenticated.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ConsumerToProvider => "c2p",
            Self::ProviderToConsumer => "p2c",
        }
    }
}

impl std::str::FromStr for Direction {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        [Self::ConsumerToProvider, Self::ProviderToConsumer]
            .into_iter()
            .find(|direction| direction.as_str() == text)
            .ok_or(Error::Malformed { what: "direction" })
    }
}

/// The readable part of a message; authenticated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnvelopeHeader {
    /// The link.
    pub link: [u8; 16],
    /// Which way the message goes.
    pub direction: Direction,
    /// The epoch of the key.
    pub epoch: u64,
    /// The message id (a version 7 UUID), by which the receiver recognises a repetition.
    pub message: [u8; 16],
    /// Counts the messages of a direction; for statistics and limits, not against repetition.
    pub seq: u64,
    /// The message type.
    pub kind: String,
    /// Digest of method and path, which binds a request to its route.
    pub route: [u8; 32],
    /// Media type of the plaintext.
    pub content_type: String,
    /// When the message was made, in seconds since the Unix epoch.
    pub created: i64,
    /// When it is void, in seconds since the Unix epoch.
    pub expires: i64,
    /// For an answer: the id of the request, and the [`Envelope::ciphertext_digest`] of it.
    pub in_reply_to: Option<([u8; 16], [u8; 32])>,
}

/// A sealed message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// The envelope version.
    pub v: u8,
    /// The readable part.
    pub header: EnvelopeHeader,
    /// Source of the message's own key.
    pub salt: [u8; 32],
    /// Ciphertext and tag.
    pub ciphertext: Vec<u8>,
}

impl Envelope {
    /// What an answer refers to. It covers the salt, and with it the key: the ciphertext of no other message has it.
    pub fn ciphertext_digest(&self) -> [u8; 32] {
        hash(&[b"kx1 ciphertext", &self.salt, &self.ciphertext])
    }
}

impl KeyService {
    /// Seals a message to the peer.
    ///
    /// # Errors
    /// [`Error::OtherLink`], [`Error::OtherEpoch`], [`Error::WrongDirection`] when the header does not fit the key;
    /// [`Error::Malformed`] for a header that no peer would accept; [`Error::TooLarge`]; [`Error::WrongPurpose`],
    /// [`Error::WrongState`], [`Error::Tampered`] (the key), [`Error::Entropy`].
    pub fn seal_message(
        &self,
        link_key: &SealedKey,
        header: &EnvelopeHeader,
        plaintext: &[u8],
        now: Millis,
    ) -> Result<Envelope, Error> {
        if plaintext.len() > MAX_PLAINTEXT {
            return Err(Error::TooLarge { what: "message" });
        }
        require_header_form(header)?;
        let secrets = self.link_secrets(link_key, Operation::Seal, now)?;
        require_address(link_key, header)?;
        let key = secrets.key(header.direction, Towards::Peer)?;
        let salt: [u8; SALT_LEN] = random(self.entropy.as_ref())?;
        seal_with(key, header, &salt, plaintext)
    }

    /// Opens a message from the peer. That it was not seen before is for the caller to check, by its id.
    ///
    /// # Errors
    /// [`Error::OtherLink`], [`Error::OtherEpoch`], [`Error::WrongDirection`] (one of our own comes back),
    /// [`Error::Tampered`], [`Error::TooOld`], [`Error::FromTheFuture`], [`Error::TooLarge`], [`Error::Malformed`];
    /// [`Error::WrongState`] unless the key is active or deactivated, [`Error::WrongPurpose`].
    pub fn open_message(
        &self,
        link_key: &SealedKey,
        envelope: &Envelope,
        now: Millis,
    ) -> Result<Vec<u8>, Error> {
        if envelope.ciphertext.len() > MAX_PLAINTEXT + TAG_LEN {
            return Err(Error::TooLarge { what: "message" });
        }
        require_header_form(&envelope.header)?;
        if envelope.v != ENVELOPE_VERSION {
            return Err(Error::VersionUnsupported);
        }
        let secrets = self.link_secrets(link_key, Operation::Open, now)?;
        require_address(link_key, &envelope.header)?;
        let key = secrets.key(envelope.header.direction, Towards::Us)?;
        let aad = associated_data(&envelope.header, &envelope.salt);
        let mut plaintext = open_once(key, LABEL, &envelope.salt, &aad, &envelope.ciphertext, ENVELOPE)?;
        require_fresh(&envelope.header, now)?;
        Ok(std::mem::take(&mut *plaintext))
    }

    /// The compare code of a link: five groups of four digits that two people can read to each other. Equal on both
    /// sides, and different if someone sits between them.
    ///
    /// # Errors
    /// [`Error::WrongPurpose`], [`Error::WrongState`], [`Error::Tampered`].
    pub fn compare_code(&self, link_key: &SealedKey, now: Millis) -> Result<String, Error> {
        Ok(self.link_secrets(link_key, Operation::Open, now)?.compare_code())
    }

    fn link_secrets(&self, key: &SealedKey, operation: Operation, now: Millis) -> Result<LinkSecrets, Error> {
        self.require_purpose(key, operation, &[Purpose::LinkTraffic])?;
        // Stricter than for keys of data at rest: nothing old is worth reading on a link that was revoked.
        if key.state == KeyState::Revoked {
            return Err(Error::WrongState { state: key.state, operation });
        }
        LinkSecrets::decode(&self.material(key, operation, now)?)
    }
}

/// Who shall read a message.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Towards {
    Us,
    Peer,
}

impl LinkSecrets {
    /// The key of a direction, if a message in that direction goes to whom we think.
    fn key(&self, direction: Direction, towards: Towards) -> Result<&Secret, Error> {
        let outgoing = match self.role {
            LinkRole::Consumer => Direction::ConsumerToProvider,
            LinkRole::Provider => Direction::ProviderToConsumer,
        };
        if (direction == outgoing) != (towards == Towards::Peer) {
            return Err(Error::WrongDirection);
        }
        Ok(match direction {
            Direction::ConsumerToProvider => &self.consumer_to_provider,
            Direction::ProviderToConsumer => &self.provider_to_consumer,
        })
    }
}

fn seal_with(
    key: &Secret,
    header: &EnvelopeHeader,
    salt: &[u8; SALT_LEN],
    plaintext: &[u8],
) -> Result<Envelope, Error> {
    let ciphertext = seal_once(key, LABEL, salt, &associated_data(header, salt), plaintext)?;
    Ok(Envelope { v: ENVELOPE_VERSION, header: header.clone(), salt: *salt, ciphertext })
}

fn associated_data(header: &EnvelopeHeader, salt: &[u8; SALT_LEN]) -> Vec<u8> {
    // Absent is no part at all, so that an answer and a request never have the same encoding.
    let mut parts: Vec<&[u8]> = vec![b"kx1 envelope", &[ENVELOPE_VERSION], &header.link];
    let (epoch, seq) = (header.epoch.to_le_bytes(), header.seq.to_le_bytes());
    let (created, expires) = (header.created.to_le_bytes(), header.expires.to_le_bytes());
    parts.extend_from_slice(&[
        header.direction.as_str().as_bytes(),
        &epoch,
        &header.message,
        &seq,
        header.kind.as_bytes(),
        &header.route,
        header.content_type.as_bytes(),
        &created,
        &expires,
        salt,
    ]);
    if let Some((request, digest)) = &header.in_reply_to {
        parts.extend_from_slice(&[request, digest]);
    }
    pae(&parts)
}

fn require_header_form(header: &EnvelopeHeader) -> Result<(), Error> {
    let named = |text: &str| {
        (1..=MAX_NAME).contains(&text.len()) && text.bytes().all(|byte| matches!(byte, b' '..=b'~'))
    };
    if named(&header.kind) && named(&header.content_type) && header.created < header.expires {
        Ok(())
    } else {
        Err(Error::Malformed { what: "envelope header" })
    }
}

fn require_address(key: &SealedKey, header: &EnvelopeHeader) -> Result<(), Error> {
    if key.module != link_module(&header.link) {
        return Err(Error::OtherLink);
    }
    if key.version != header.epoch {
        return Err(Error::OtherEpoch { epoch: header.epoch });
    }
    Ok(())
}

fn require_fresh(header: &EnvelopeHeader, now: Millis) -> Result<(), Error> {
    let now = now.div_euclid(1000);
    if header.created < now.saturating_sub(MAX_AGE_SECONDS) || header.expires <= now {
        return Err(Error::TooOld);
    }
    if header.created > now.saturating_add(MAX_AHEAD_SECONDS) {
        return Err(Error::FromTheFuture);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
