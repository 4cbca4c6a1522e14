//! Transcript and key schedule, from a given shared secret on: pure functions with known answers.

use secrecy::ExposeSecret;
use zeroize::Zeroizing;

use crate::codec::{Reader, Writer};
use crate::crypto::{Secret, expand, extract, mac, mac_matches, secret_from};
use crate::error::Error;
use crate::exchange::message::{M1, M2};
use crate::identity::labelled;
use crate::pae::{hash, pae};
use crate::ports::Millis;

/// After M1.
pub(crate) fn transcript_1(context: &[u8; 32], m1: &M1) -> [u8; 32] {
    hash(&[b"th1", context, &m1.encoded()])
}

/// After the part of M2 that is signed.
pub(crate) fn transcript_2(th1: &[u8; 32], m2: &M2) -> [u8; 32] {
    hash(&[b"th2", th1, &m2.core()])
}

/// After M2.
pub(crate) fn transcript_3(th2: &[u8; 32], m2: &M2) -> [u8; 32] {
    hash(&[b"th3", th2, &m2.signature, &m2.mac])
}

/// After M3.
pub(crate) fn transcript_4(th3: &[u8; 32], signature: &[u8; 64], mac: &[u8; 32]) -> [u8; 32] {
    hash(&[b"th4", th3, signature, mac])
}

/// What the provider signs.
pub(crate) fn provider_signature_input(th2: &[u8; 32]) -> Vec<u8> {
    labelled("kx1 sig P", &[th2])
}

/// What the consumer signs.
pub(crate) fn consumer_signature_input(th3: &[u8; 32]) -> Vec<u8> {
    labelled("kx1 sig C", &[th3])
}

/// The keys between agreement and confirmation.
pub(crate) struct Agreed {
    pub(crate) confirm_provider: Secret,
    pub(crate) confirm_consumer: Secret,
    /// Input of the master secret.
    pub(crate) pre_master: Secret,
}

/// Derives from the shared secret of X25519 under the transcript.
pub(crate) fn agree(th2: &[u8; 32], shared: &[u8]) -> Result<Agreed, Error> {
    let prk = extract(th2, shared);
    Ok(Agreed {
        confirm_provider: expand(&prk, &[b"kx1", b"confirm P"])?,
        confirm_consumer: expand(&prk, &[b"kx1", b"confirm C"])?,
        pre_master: expand(&prk, &[b"kx1", b"master"])?,
    })
}

/// The two identities, in the order of the protocol roles.
pub(crate) struct Identities<'a> {
    pub(crate) provider: &'a [u8; 32],
    pub(crate) consumer: &'a [u8; 32],
}

impl Agreed {
    pub(crate) fn provider_mac(
        &self,
        th2: &[u8; 32],
        keys: &Identities<'_>,
        signature: &[u8; 64],
    ) -> [u8; 32] {
        mac(&self.confirm_provider, &[b"mac P", th2, keys.provider, keys.consumer, signature])
    }

    pub(crate) fn provider_mac_matches(
        &self,
        th2: &[u8; 32],
        keys: &Identities<'_>,
        signature: &[u8; 64],
        tag: &[u8; 32],
    ) -> bool {
        mac_matches(&self.confirm_provider, &[b"mac P", th2, keys.provider, keys.consumer, signature], tag)
    }

    pub(crate) fn consumer_mac(
        &self,
        th3: &[u8; 32],
        keys: &Identities<'_>,
        signature: &[u8; 64],
    ) -> [u8; 32] {
        mac(&self.confirm_consumer, &[b"mac C", th3, keys.consumer, keys.provider, signature])
    }
}

/// Whether a consumer's confirmation is right.
pub(crate) fn consumer_mac_matches(
    confirm_consumer: &Secret,
    th3: &[u8; 32],
    keys: &Identities<'_>,
    signature: &[u8; 64],
    tag: &[u8; 32],
) -> bool {
    mac_matches(confirm_consumer, &[b"mac C", th3, keys.consumer, keys.provider, signature], tag)
}

/// Which side of a link we are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LinkRole {
    Provider,
    Consumer,
}

/// The keys of one epoch of a link, and on which side of it they are.
pub(crate) struct LinkSecrets {
    pub(crate) role: LinkRole,
    pub(crate) consumer_to_provider: Secret,
    pub(crate) provider_to_consumer: Secret,
    /// Mixed into the next rekey.
    pub(crate) resume: Secret,
    /// Source of named sub-keys, used for nothing else.
    pub(crate) exporter: Secret,
    /// Source of the compare code.
    pub(crate) compare: Secret,
}

/// Derives the keys of an epoch, and the key of the provider's final confirmation.
pub(crate) fn epoch_keys(
    role: LinkRole,
    th4: &[u8; 32],
    pre_master: &Secret,
    epoch: u64,
) -> Result<(LinkSecrets, Secret), Error> {
    let master = extract(th4, pre_master.expose_secret());
    let derive = |label: &[u8]| expand(&master, &[b"kx1", label, &epoch.to_le_bytes()]);
    let secrets = LinkSecrets {
        role,
        consumer_to_provider: derive(b"c2p")?,
        provider_to_consumer: derive(b"p2c")?,
        resume: derive(b"resume")?,
        exporter: derive(b"exporter")?,
        compare: derive(b"sas")?,
    };
    Ok((secrets, derive(b"fin P")?))
}

/// The provider's final confirmation.
pub(crate) fn fin(key: &Secret, th4: &[u8; 32], epoch: u64, activated_at: Millis) -> [u8; 32] {
    mac(key, &[b"fin P", th4, &epoch.to_le_bytes(), &activated_at.to_le_bytes()])
}

/// Whether the final confirmation is right.
pub(crate) fn fin_matches(
    key: &Secret,
    th4: &[u8; 32],
    epoch: u64,
    activated_at: Millis,
    tag: &[u8; 32],
) -> bool {
    mac_matches(key, &[b"fin P", th4, &epoch.to_le_bytes(), &activated_at.to_le_bytes()], tag)
}

const LINK_KEY: &str = "link key";

impl LinkSecrets {
    pub(crate) fn encode(&self) -> Zeroizing<Vec<u8>> {
        let role = match self.role {
            LinkRole::Provider => b'P',
            LinkRole::Consumer => b'C',
        };
        Writer::with_capacity(161)
            .u8(role)
            .array(self.consumer_to_provider.expose_secret())
            .array(self.provider_to_consumer.expose_secret())
            .array(self.resume.expose_secret())
            .array(self.exporter.expose_secret())
            .array(self.compare.expose_secret())
            .finish()
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Error> {
        let mut reader = Reader::new(bytes, LINK_KEY);
        let role = match reader.u8()? {
            b'P' => LinkRole::Provider,
            b'C' => LinkRole::Consumer,
            _ => return Err(Error::Malformed { what: LINK_KEY }),
        };
        let mut next = || secret_from(reader.take(32)?, LINK_KEY);
        let secrets = Self {
            role,
            consumer_to_provider: next()?,
            provider_to_consumer: next()?,
            resume: next()?,
            exporter: next()?,
            compare: next()?,
        };
        reader.finish()?;
        Ok(secrets)
    }

    /// Five groups of four digits, the same on both sides, for two people to compare.
    pub(crate) fn compare_code(&self) -> String {
        let groups = self.compare.expose_secret().chunks_exact(4).take(5).map(|chunk| {
            let number = chunk.iter().fold(0, |number: u32, byte| number << 8 | u32::from(*byte));
            format!("{:04}", number % 10_000)
        });
        groups.collect::<Vec<_>>().join(" ")
    }
}

/// What a pending attempt is sealed under, beside the key.
pub(crate) fn pending_context(instance: &[u8; 16], role: LinkRole, module: &str) -> Vec<u8> {
    let role: &[u8] = match role {
        LinkRole::Provider => b"P",
        LinkRole::Consumer => b"C",
    };
    pae(&[b"ks1 pending", instance, role, module.as_bytes()])
}
