//! The provider's half: answers M1 with M2, and M3 with M4.

use ring::agreement::{EphemeralPrivateKey, X25519};
use ring::rand::SystemRandom;

use crate::crypto::x25519;
use crate::error::Error;
use crate::exchange::context::{Floor, LinkSpec, RegistrationContext, link_id, link_module};
use crate::exchange::message::{M1, M2, M3, M4, SUITE_1, VERSION_1};
use crate::exchange::pending::{ProviderPending, SealedPending};
use crate::exchange::schedule::{
    Agreed, Identities, LinkRole, agree, consumer_mac_matches, consumer_signature_input, epoch_keys, fin,
    provider_signature_input, transcript_1, transcript_2, transcript_3, transcript_4,
};
use crate::identity::{PublicKey, verify_raw};
use crate::key::{KeySpec, Purpose, SealedKey};
use crate::lifecycle::Operation;
use crate::ports::{Millis, random};
use crate::service::KeyService;

impl KeyService {
    /// Provider: answers an offer.
    ///
    /// The caller has checked that the attempt number is higher than any before, and answers a repeated M1 (same
    /// [`M1::digest`]) with the stored M2 instead of calling this.
    ///
    /// # Errors
    /// [`Error::ContextMismatch`], [`Error::WeakKey`], [`Error::WeakEphemeral`], [`Error::VersionUnsupported`],
    /// [`Error::SuiteUnsupported`], [`Error::TooLarge`], or why our identity key cannot sign.
    pub fn respond(
        &self,
        identity: &SealedKey,
        context: &RegistrationContext,
        m1: &M1,
        floor: Floor,
        now: Millis,
    ) -> Result<(M2, SealedPending), Error> {
        m1.require_sizes()?;
        self.require_purpose(identity, Operation::Sign, &[Purpose::IdentitySigning])?;
        let consumer = PublicKey::parse(&m1.public_key)?;
        require(consumer == context.consumer_key, "consumer key")?;
        require(m1.kid == consumer.kid().0, "key id")?;
        require(m1.instance == context.consumer_instance, "consumer instance")?;
        require(m1.origin == context.consumer_origin, "consumer origin")?;
        let own = identity.public_key()?;
        require(own == context.provider_key, "provider key")?;
        require(*self.instance() == context.provider_instance, "provider instance")?;

        let (ephemeral, public_ephemeral) = ephemeral_key()?;
        let mut m2 = M2 {
            attempt: m1.attempt,
            version: choose(&m1.offer_versions, VERSION_1, floor.version).ok_or(Error::VersionUnsupported)?,
            suite: choose(&m1.offer_suites, SUITE_1, floor.suite).ok_or(Error::SuiteUnsupported)?,
            kid: own.kid().0,
            public_key: *own.as_bytes(),
            instance: *self.instance(),
            origin: context.provider_origin.clone(),
            ephemeral: public_ephemeral,
            nonce: random(self.entropy.as_ref())?,
            signature: [0; 64],
            mac: [0; 32],
        };
        let th2 = transcript_2(&transcript_1(&context.digest(), m1), &m2);
        let agreed = agree_with(ephemeral, &m1.ephemeral, &th2)?;
        m2.signature = self.exchange_signature(identity, &provider_signature_input(&th2), now)?;
        let keys = Identities { provider: own.as_bytes(), consumer: consumer.as_bytes() };
        m2.mac = agreed.provider_mac(&th2, &keys, &m2.signature);

        let pending = ProviderPending {
            attempt: m1.attempt,
            provider_key: *own.as_bytes(),
            consumer_key: *consumer.as_bytes(),
            th3: transcript_3(&th2, &m2),
            confirm_consumer: agreed.confirm_consumer,
            pre_master: agreed.pre_master,
        };
        let sealed =
            self.seal_pending(LinkRole::Provider, &link_module(&link_id(context)), &pending.encode())?;
        Ok((m2, sealed))
    }

    /// Provider: checks the consumer's proof and makes the link key, active at once.
    ///
    /// The caller stores key and M4 in one transaction, and answers a repeated M3 with the stored M4.
    ///
    /// # Errors
    /// [`Error::OtherAttempt`], [`Error::BadSignature`], [`Error::KeyConfirmationFailed`]; [`Error::Tampered`] when
    /// the pending attempt was changed or belongs to another link; [`Error::Malformed`] for epoch 0,
    /// [`Error::OtherEpoch`] when `epoch` and `link` disagree.
    pub fn confirm(
        &self,
        pending: &SealedPending,
        m3: &M3,
        epoch: u64,
        link: LinkSpec,
        now: Millis,
    ) -> Result<(M4, SealedKey), Error> {
        link.require(&link.link)?;
        if epoch != link.epoch {
            return Err(Error::OtherEpoch { epoch });
        }
        let opened = self.open_pending(LinkRole::Provider, &link.module(), pending)?;
        let pending = ProviderPending::decode(&opened)?;
        if pending.attempt != m3.attempt {
            return Err(Error::OtherAttempt);
        }
        let consumer = PublicKey::parse(&pending.consumer_key)?;
        verify_raw(&consumer, &consumer_signature_input(&pending.th3), &m3.signature)?;
        let keys = Identities { provider: &pending.provider_key, consumer: &pending.consumer_key };
        if !consumer_mac_matches(&pending.confirm_consumer, &pending.th3, &keys, &m3.signature, &m3.mac) {
            return Err(Error::KeyConfirmationFailed);
        }

        let th4 = transcript_4(&pending.th3, &m3.signature, &m3.mac);
        let (secrets, fin_key) = epoch_keys(LinkRole::Provider, &th4, &pending.pre_master, link.epoch)?;
        let m4 = M4 {
            attempt: m3.attempt,
            epoch: link.epoch,
            activated_at: now,
            fin: fin(&fin_key, &th4, link.epoch, now),
        };
        let key = self.seal_key(&link_key_spec(link, true), None, &secrets.encode(), now)?;
        Ok((m4, key))
    }

    /// A signature with a label that [`KeyService::sign`] refuses.
    pub(crate) fn exchange_signature(
        &self,
        identity: &SealedKey,
        input: &[u8],
        now: Millis,
    ) -> Result<[u8; 64], Error> {
        self.sign_raw(identity, input, now)?.try_into().map_err(|_| Error::Primitive)
    }
}

pub(crate) fn link_key_spec(link: LinkSpec, activate: bool) -> KeySpec {
    KeySpec {
        id: link.key_id,
        module: link.module(),
        purpose: Purpose::LinkTraffic,
        algorithm: Purpose::LinkTraffic.algorithm(),
        version: link.epoch,
        expires_at: None,
        activate,
        exportable: false,
    }
}

/// A fresh ephemeral key and its public half. It comes from ring's own source, which cannot be replaced.
pub(crate) fn ephemeral_key() -> Result<(EphemeralPrivateKey, [u8; 32]), Error> {
    let private = EphemeralPrivateKey::generate(&X25519, &SystemRandom::new()).map_err(|_| Error::Entropy)?;
    let public = private.compute_public_key().map_err(|_| Error::Primitive)?;
    let public = public.as_ref().try_into().map_err(|_| Error::Primitive)?;
    Ok((private, public))
}

/// Agrees with a peer; ring refuses peers whose key gives the all-zero secret.
pub(crate) fn agree_with(own: EphemeralPrivateKey, peer: &[u8; 32], th2: &[u8; 32]) -> Result<Agreed, Error> {
    x25519(own, peer, |shared| agree(th2, shared))
}

pub(crate) fn require(holds: bool, what: &'static str) -> Result<(), Error> {
    if holds { Ok(()) } else { Err(Error::ContextMismatch { what }) }
}

/// The one value we know, if it is on offer and not below the floor.
fn choose(offered: &[u16], known: u16, floor: u16) -> Option<u16> {
    (known >= floor && offered.contains(&known)).then_some(known)
}
