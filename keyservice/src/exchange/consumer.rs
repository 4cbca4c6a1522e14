//! The consumer's half: makes M1, answers M2 with M3, and checks M4.

use std::sync::PoisonError;

use crate::error::Error;
use crate::exchange::context::{LinkSpec, RegistrationContext, link_id};
use crate::exchange::message::{M1, M2, M3, M4, SUITE_1, VERSION_1};
use crate::exchange::pending::{ConsumerPending, Exchange, ExchangeId, SealedPending};
use crate::exchange::provider::{agree_with, ephemeral_key, link_key_spec, require};
use crate::exchange::schedule::{
    Identities, LinkRole, consumer_signature_input, epoch_keys, fin_matches, provider_signature_input,
    transcript_1, transcript_2, transcript_3, transcript_4,
};
use crate::identity::{PublicKey, verify_raw};
use crate::key::{Purpose, SealedKey};
use crate::lifecycle::{KeyState, LifecycleVerb, Operation};
use crate::ports::{Millis, random};
use crate::service::{KeyService, require_usable};

impl KeyService {
    /// Consumer: begins an attempt. The exchange stays in memory for two minutes, until [`Self::conclude`].
    ///
    /// # Errors
    /// [`Error::ContextMismatch`] when the context names another consumer than us, [`Error::ExchangesFull`],
    /// [`Error::Entropy`], or why our identity key cannot sign.
    pub fn initiate(
        &self,
        identity: &SealedKey,
        context: &RegistrationContext,
        attempt: u64,
        now: Millis,
    ) -> Result<(ExchangeId, M1), Error> {
        self.initiate_offering(identity, context, attempt, &[SUITE_1], now)
    }

    pub(crate) fn initiate_offering(
        &self,
        identity: &SealedKey,
        context: &RegistrationContext,
        attempt: u64,
        suites: &[u16],
        now: Millis,
    ) -> Result<(ExchangeId, M1), Error> {
        self.require_purpose(identity, Operation::Sign, &[Purpose::IdentitySigning])?;
        // It signs the answer to the answer, so it has to be able to.
        require_usable(identity, Operation::Sign, now)?;
        let own = identity.public_key()?;
        require(own == context.consumer_key, "consumer key")?;
        require(*self.instance() == context.consumer_instance, "consumer instance")?;
        let (ephemeral, public_ephemeral) = ephemeral_key()?;
        let m1 = M1 {
            attempt,
            offer_versions: vec![VERSION_1],
            offer_suites: suites.to_vec(),
            kid: own.kid().0,
            public_key: *own.as_bytes(),
            instance: *self.instance(),
            origin: context.consumer_origin.clone(),
            ephemeral: public_ephemeral,
            nonce: random(self.entropy.as_ref())?,
        };
        m1.require_sizes()?;
        let id = ExchangeId(random(self.entropy.as_ref())?);
        let exchange = Exchange { ephemeral, context: context.clone(), m1: m1.clone(), begun_at: now };
        self.exchanges.lock().unwrap_or_else(PoisonError::into_inner).insert(id, exchange, now)?;
        Ok((id, m1))
    }

    /// Consumer: forgets an exchange that was refused or cancelled, rather than letting it take up room for its time.
    pub fn abandon(&self, id: ExchangeId) {
        self.exchanges.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
    }

    /// Consumer: checks the provider's proof and makes the link key, pre-active. The exchange is over, also on error.
    ///
    /// The caller stores key, M3 and pending attempt durably before it sends M3, and keeps them until a higher attempt
    /// is confirmed: the provider may have activated this one.
    ///
    /// # Errors
    /// [`Error::ExchangeUnknown`], [`Error::OtherAttempt`], [`Error::ContextMismatch`], [`Error::WeakKey`],
    /// [`Error::WeakEphemeral`], [`Error::VersionUnsupported`], [`Error::SuiteUnsupported`],
    /// [`Error::BadSignature`], [`Error::KeyConfirmationFailed`], or why our identity key cannot sign.
    pub fn conclude(
        &self,
        id: ExchangeId,
        identity: &SealedKey,
        m2: &M2,
        link: LinkSpec,
        now: Millis,
    ) -> Result<(M3, SealedKey, SealedPending), Error> {
        let Exchange { ephemeral, context, m1, .. } =
            self.exchanges.lock().unwrap_or_else(PoisonError::into_inner).take(id, now)?;
        self.require_purpose(identity, Operation::Sign, &[Purpose::IdentitySigning])?;
        require(identity.public_key()? == context.consumer_key, "consumer key")?;
        link.require(&link_id(&context))?;
        let provider = require_provider(&context, &m1, m2)?;

        let th2 = transcript_2(&transcript_1(&context.digest(), &m1), m2);
        verify_raw(&provider, &provider_signature_input(&th2), &m2.signature)?;
        let agreed = agree_with(ephemeral, &m2.ephemeral, &th2)?;
        let keys = Identities { provider: provider.as_bytes(), consumer: &m1.public_key };
        if !agreed.provider_mac_matches(&th2, &keys, &m2.signature, &m2.mac) {
            return Err(Error::KeyConfirmationFailed);
        }

        let th3 = transcript_3(&th2, m2);
        let signature = self.exchange_signature(identity, &consumer_signature_input(&th3), now)?;
        let m3 = M3 { attempt: m1.attempt, signature, mac: agreed.consumer_mac(&th3, &keys, &signature) };
        let th4 = transcript_4(&th3, &m3.signature, &m3.mac);
        let (secrets, fin) = epoch_keys(LinkRole::Consumer, &th4, &agreed.pre_master, link.epoch)?;
        let pending =
            ConsumerPending { attempt: m1.attempt, epoch: link.epoch, key_id: link.key_id, th4, fin };
        let sealed = self.seal_pending(LinkRole::Consumer, &link.module(), &pending.encode())?;
        let key = self.seal_key(&link_key_spec(link, false), None, &secrets.encode(), now)?;
        Ok((m3, key, sealed))
    }

    /// Consumer: checks the final confirmation and activates the link key.
    ///
    /// # Errors
    /// [`Error::OtherAttempt`], [`Error::OtherEpoch`], [`Error::KeyConfirmationFailed`]; [`Error::WrongState`] unless
    /// the key is pre-active; [`Error::Tampered`] when key or pending attempt were changed or do not belong together.
    pub fn finish(
        &self,
        pending: &SealedPending,
        link_key: &SealedKey,
        m4: &M4,
        now: Millis,
    ) -> Result<SealedKey, Error> {
        let activate = Operation::Change(LifecycleVerb::Activate);
        self.require_purpose(link_key, activate, &[Purpose::LinkTraffic])?;
        if link_key.state != KeyState::PreActive {
            return Err(Error::WrongState { state: link_key.state, operation: activate });
        }
        let opened = self.open_pending(LinkRole::Consumer, &link_key.module, pending)?;
        let pending = ConsumerPending::decode(&opened)?;
        if pending.key_id != link_key.id || pending.epoch != link_key.version {
            return Err(Error::Tampered { what: "pending attempt" });
        }
        if pending.attempt != m4.attempt {
            return Err(Error::OtherAttempt);
        }
        if pending.epoch != m4.epoch {
            return Err(Error::OtherEpoch { epoch: m4.epoch });
        }
        if !fin_matches(&pending.fin, &pending.th4, m4.epoch, m4.activated_at, &m4.fin) {
            return Err(Error::KeyConfirmationFailed);
        }
        self.transition(link_key, LifecycleVerb::Activate, now)
    }
}

/// That M2 answers our offer, and comes from the provider of the link.
fn require_provider(context: &RegistrationContext, m1: &M1, m2: &M2) -> Result<PublicKey, Error> {
    m2.require_sizes()?;
    if m2.attempt != m1.attempt {
        return Err(Error::OtherAttempt);
    }
    // Known to us *and* offered: what was not offered cannot be chosen, and what we offered in vain neither.
    if m2.version != VERSION_1 || !m1.offer_versions.contains(&m2.version) {
        return Err(Error::VersionUnsupported);
    }
    if m2.suite != SUITE_1 || !m1.offer_suites.contains(&m2.suite) {
        return Err(Error::SuiteUnsupported);
    }
    let provider = PublicKey::parse(&m2.public_key)?;
    require(provider == context.provider_key, "provider key")?;
    require(m2.kid == provider.kid().0, "key id")?;
    require(m2.instance == context.provider_instance, "provider instance")?;
    require(m2.origin == context.provider_origin, "provider origin")?;
    Ok(provider)
}
