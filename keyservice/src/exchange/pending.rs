//! What is kept between the messages: in memory for the consumer's first half, sealed in storage for the rest.

use std::collections::HashMap;

use ring::agreement::EphemeralPrivateKey;
use secrecy::ExposeSecret;
use zeroize::Zeroizing;

use crate::codec::{Reader, Writer};
use crate::crypto::{Secret, secret_from};
use crate::error::Error;
use crate::exchange::RegistrationContext;
use crate::exchange::message::M1;
use crate::exchange::schedule::{LinkRole, pending_context};
use crate::ports::Millis;
use crate::service::KeyService;

/// How long a consumer waits for M2, in milliseconds.
const LIFETIME: Millis = 2 * 60 * 1000;
/// How many exchanges a consumer has in progress at most.
const CAPACITY: usize = 256;
const PENDING: &str = "pending attempt";

/// The name of an exchange in progress on the consumer's side. It does not survive the process: ring's ephemeral keys
/// cannot be stored, so after a restart a new attempt begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ExchangeId(pub [u8; 16]);

/// The secrets of an attempt between two messages, sealed for storage. Opaque.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedPending {
    /// A versioned encoding under the key encryption key.
    pub bytes: Vec<u8>,
}

/// The consumer's first half.
pub(crate) struct Exchange {
    pub(crate) ephemeral: EphemeralPrivateKey,
    pub(crate) context: RegistrationContext,
    pub(crate) m1: M1,
    pub(crate) begun_at: Millis,
}

/// The exchanges in progress: bounded, and forgotten when they take too long.
#[derive(Default)]
pub(crate) struct Exchanges(HashMap<ExchangeId, Exchange>);

impl Exchanges {
    pub(crate) fn insert(&mut self, id: ExchangeId, exchange: Exchange, now: Millis) -> Result<(), Error> {
        self.0.retain(|_, exchange| is_live(exchange, now));
        if self.0.len() >= CAPACITY {
            return Err(Error::ExchangesFull);
        }
        self.0.insert(id, exchange);
        Ok(())
    }

    pub(crate) fn remove(&mut self, id: ExchangeId) {
        self.0.remove(&id);
    }

    pub(crate) fn take(&mut self, id: ExchangeId, now: Millis) -> Result<Exchange, Error> {
        self.0.remove(&id).filter(|exchange| is_live(exchange, now)).ok_or(Error::ExchangeUnknown)
    }
}

fn is_live(exchange: &Exchange, now: Millis) -> bool {
    now.saturating_sub(exchange.begun_at) <= LIFETIME
}

/// What the provider needs to check M3.
pub(crate) struct ProviderPending {
    pub(crate) attempt: u64,
    pub(crate) provider_key: [u8; 32],
    pub(crate) consumer_key: [u8; 32],
    pub(crate) th3: [u8; 32],
    pub(crate) confirm_consumer: Secret,
    pub(crate) pre_master: Secret,
}

impl ProviderPending {
    pub(crate) fn encode(&self) -> Zeroizing<Vec<u8>> {
        Writer::with_capacity(168)
            .u64(self.attempt)
            .array(&self.provider_key)
            .array(&self.consumer_key)
            .array(&self.th3)
            .array(self.confirm_consumer.expose_secret())
            .array(self.pre_master.expose_secret())
            .finish()
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Error> {
        let mut reader = Reader::new(bytes, PENDING);
        let pending = Self {
            attempt: reader.u64()?,
            provider_key: reader.array()?,
            consumer_key: reader.array()?,
            th3: reader.array()?,
            confirm_consumer: secret_from(reader.take(32)?, PENDING)?,
            pre_master: secret_from(reader.take(32)?, PENDING)?,
        };
        reader.finish()?;
        Ok(pending)
    }
}

/// What the consumer needs to check M4.
pub(crate) struct ConsumerPending {
    pub(crate) attempt: u64,
    pub(crate) epoch: u64,
    pub(crate) key_id: [u8; 16],
    pub(crate) th4: [u8; 32],
    pub(crate) fin: Secret,
}

impl ConsumerPending {
    pub(crate) fn encode(&self) -> Zeroizing<Vec<u8>> {
        Writer::with_capacity(96)
            .u64(self.attempt)
            .u64(self.epoch)
            .array(&self.key_id)
            .array(&self.th4)
            .array(self.fin.expose_secret())
            .finish()
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Error> {
        let mut reader = Reader::new(bytes, PENDING);
        let pending = Self {
            attempt: reader.u64()?,
            epoch: reader.u64()?,
            key_id: reader.array()?,
            th4: reader.array()?,
            fin: secret_from(reader.take(32)?, PENDING)?,
        };
        reader.finish()?;
        Ok(pending)
    }
}

impl KeyService {
    pub(crate) fn seal_pending(
        &self,
        role: LinkRole,
        module: &str,
        plain: &[u8],
    ) -> Result<SealedPending, Error> {
        let context = pending_context(self.instance(), role, module);
        let bytes = self.current().keyring.wrap(self.entropy.as_ref(), "ks1 pending", &context, plain)?;
        Ok(SealedPending { bytes })
    }

    pub(crate) fn open_pending(
        &self,
        role: LinkRole,
        module: &str,
        pending: &SealedPending,
    ) -> Result<Zeroizing<Vec<u8>>, Error> {
        let context = pending_context(self.instance(), role, module);
        self.current().keyring.unwrap("ks1 pending", &context, &pending.bytes, PENDING)
    }
}
