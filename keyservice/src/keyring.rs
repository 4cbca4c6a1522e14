//! The hierarchy: root key → instance root key (IRK) → key encryption keys (IKEK, versioned) and integrity key (IHK).

use std::collections::BTreeMap;

use secrecy::ExposeSecret;
use zeroize::Zeroizing;

use crate::codec::{Reader, Writer};
use crate::crypto::{
    MacKey, SALT_LEN, Secret, expand, mac, mac_matches, open_once, random_secret, seal_once, secret_from,
};
use crate::error::Error;
use crate::pae::pae;
use crate::ports::{Entropy, Millis, random};
use crate::root::RootKey;

/// The format of wraps.
const FORMAT: u8 = 1;
/// The format of the sealed hierarchy. The one before has no generation, and is the first.
const HIERARCHY_FORMAT: u8 = 2;
const HIERARCHY_FORMAT_BEFORE: u8 = 1;
const HIERARCHY: &str = "key hierarchy";
/// The seals that are checked with every use of a key: their keys are derived once, see [`Keyring::of`].
const SEALS: [&str; 2] = ["row seal", "module seal"];

/// The keys below the root key, sealed: to be stored, and given back at the next start. Opaque.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedHierarchy {
    /// A versioned encoding; authenticated as a whole.
    pub bytes: Vec<u8>,
}

impl SealedHierarchy {
    /// How often it was sealed anew: each rotation of what is in it counts one more. Whoever keeps a record of it sees
    /// that an older hierarchy was put back. 0 for one from before there were generations; none for what is no
    /// hierarchy. What it is worth, opening the hierarchy says: here nothing is checked.
    #[must_use]
    pub fn generation(&self) -> Option<u64> {
        let mut reader = Reader::new(&self.bytes, HIERARCHY);
        Head::read(&mut reader).ok().map(|head| head.generation)
    }
}

/// What a sealed hierarchy begins with.
struct Head {
    generation: u64,
    /// Of the root key that it was sealed under.
    recognition: [u8; 32],
}

impl Head {
    fn read(reader: &mut Reader<'_>) -> Result<Self, Error> {
        let generation = match reader.u8()? {
            HIERARCHY_FORMAT => reader.u64()?,
            HIERARCHY_FORMAT_BEFORE => 0,
            _ => return Err(Error::Malformed { what: HIERARCHY }),
        };
        Ok(Self { generation, recognition: reader.array()? })
    }
}

/// The unwrapped hierarchy.
pub(crate) struct Keyring {
    instance: [u8; 16],
    /// See [`SealedHierarchy::generation`].
    generation: u64,
    created_at: Millis,
    /// By version; the highest one wraps, the others only unwrap.
    key_encryption: BTreeMap<u32, Secret>,
    integrity: Secret,
    /// In the order of [`SEALS`].
    seals: [MacKey; SEALS.len()],
}

impl Keyring {
    fn of(
        instance: [u8; 16],
        (generation, created_at): (u64, Millis),
        key_encryption: BTreeMap<u32, Secret>,
        integrity: Secret,
    ) -> Result<Self, Error> {
        let [row, module] = SEALS.map(|label| derive(&integrity, label));
        let seals = [MacKey::new(&row?), MacKey::new(&module?)];
        Ok(Self { instance, generation, created_at, key_encryption, integrity, seals })
    }

    /// A new hierarchy of an instance.
    pub(crate) fn create(
        root: &RootKey,
        instance: [u8; 16],
        entropy: &dyn Entropy,
        now: Millis,
    ) -> Result<(Self, SealedHierarchy), Error> {
        let instance_root = random_secret(entropy)?;
        let first = BTreeMap::from([(1, random_secret(entropy)?)]);
        let keyring = Self::of(instance, (1, now), first, random_secret(entropy)?)?;
        let sealed = keyring.seal_hierarchy(root, &instance_root, entropy)?;
        Ok((keyring, sealed))
    }

    /// The hierarchy that was sealed under `root` for `instance`.
    pub(crate) fn open(root: &RootKey, instance: [u8; 16], sealed: &SealedHierarchy) -> Result<Self, Error> {
        Self::unseal(root, instance, sealed).map(|(keyring, _)| keyring)
    }

    /// The hierarchy, and the instance root key, which is needed only to seal it again.
    pub(crate) fn unseal(
        root: &RootKey,
        instance: [u8; 16],
        sealed: &SealedHierarchy,
    ) -> Result<(Self, Secret), Error> {
        let mut reader = Reader::new(&sealed.bytes, HIERARCHY);
        let Head { generation, recognition } = Head::read(&mut reader)?;
        if recognition != root.recognition(&instance)? {
            return Err(Error::RootKeyMismatch);
        }
        let created_at = reader.i64()?;
        let level = |key: &Secret, name: &str, version, wrapped: &[u8]| {
            let context = level_context(&instance, name, version);
            secret_from(&open_blob(key, "ks1 hierarchy", &context, wrapped, HIERARCHY)?, HIERARCHY)
        };
        let instance_root = level(root.secret(), "IRK", 1, reader.bytes()?)?;
        let integrity = level(&instance_root, "IHK", 1, reader.bytes()?)?;
        let mut key_encryption = BTreeMap::new();
        for _ in 0..reader.u32()? {
            let version = reader.u32()?;
            key_encryption.insert(version, level(&instance_root, "IKEK", version, reader.bytes()?)?);
        }
        let seal: [u8; 32] = reader.array()?;
        reader.finish()?;

        let keyring = Self::of(instance, (generation, created_at), key_encryption, integrity)?;
        // Each level is authentic by its wrap; this also fixes how many there are.
        let covered = &sealed.bytes[..sealed.bytes.len() - seal.len()];
        let authentic = mac_matches(
            &keyring.derived("hierarchy seal")?,
            &[b"ks1 hierarchy seal", &instance, covered],
            &seal,
        );
        if !authentic || keyring.key_encryption.is_empty() {
            return Err(Error::Tampered { what: HIERARCHY });
        }
        Ok((keyring, instance_root))
    }

    /// What is sealed from here on is the next generation.
    pub(crate) fn next_generation(&mut self) -> Result<(), Error> {
        self.generation = self.generation.checked_add(1).ok_or(Error::TooLarge { what: HIERARCHY })?;
        Ok(())
    }

    /// Adds a key encryption key, which wraps from now on.
    pub(crate) fn add_key_encryption_key(&mut self, entropy: &dyn Entropy) -> Result<(), Error> {
        let newest = self.key_encryption.last_key_value().map_or(0, |(version, _)| *version);
        let version = newest.checked_add(1).ok_or(Error::TooLarge { what: HIERARCHY })?;
        self.key_encryption.insert(version, random_secret(entropy)?);
        Ok(())
    }

    /// Forgets all key encryption keys but the newest.
    pub(crate) fn retire_key_encryption_keys(&mut self) {
        while self.key_encryption.len() > 1 {
            self.key_encryption.pop_first();
        }
    }

    /// The versions of the key encryption keys, oldest first.
    pub(crate) fn key_encryption_keys(&self) -> Vec<u32> {
        self.key_encryption.keys().copied().collect()
    }

    /// Whether this is a later state of the same hierarchy: the same integrity key, and no earlier generation.
    pub(crate) fn succeeds(&self, earlier: &Self) -> Result<bool, Error> {
        let proof = earlier.mac("hierarchy succession", &[])?;
        let same = self.mac_matches("hierarchy succession", &[], &proof)?;
        Ok(same && self.generation >= earlier.generation)
    }

    pub(crate) fn instance(&self) -> &[u8; 16] {
        &self.instance
    }

    /// When the hierarchy was made.
    pub(crate) fn created_at(&self) -> Millis {
        self.created_at
    }

    /// Wraps material under the current key encryption key: `v | LE32(version) | salt | ciphertext | tag`.
    pub(crate) fn wrap(
        &self,
        entropy: &dyn Entropy,
        label: &str,
        context: &[u8],
        material: &[u8],
    ) -> Result<Vec<u8>, Error> {
        let (version, key) =
            self.key_encryption.last_key_value().ok_or(Error::KeyEncryptionKeyUnknown { version: 0 })?;
        let mut out = wrap_header(*version).to_vec();
        let context = pae(&[label.as_bytes(), &out, context]);
        out.extend(seal_blob(key, entropy, label, &context, material)?);
        Ok(out)
    }

    /// The material of [`Self::wrap`].
    pub(crate) fn unwrap(
        &self,
        label: &str,
        context: &[u8],
        wrapped: &[u8],
        what: &'static str,
    ) -> Result<Zeroizing<Vec<u8>>, Error> {
        let mut reader = Reader::new(wrapped, what);
        let header = reader.take(5)?;
        let mut fields = Reader::new(header, what);
        if fields.u8()? != FORMAT {
            return Err(Error::Malformed { what });
        }
        let version = fields.u32()?;
        let key = self.key_encryption.get(&version).ok_or(Error::KeyEncryptionKeyUnknown { version })?;
        open_blob(key, label, &pae(&[label.as_bytes(), header, context]), reader.rest(), what)
    }

    /// A key derived from the integrity key for one use.
    pub(crate) fn derived(&self, label: &str) -> Result<Secret, Error> {
        derive(&self.integrity, label)
    }

    /// What is done with the key for that label.
    fn keyed<T>(&self, label: &str, done: impl FnOnce(&MacKey) -> T) -> Result<T, Error> {
        match SEALS.iter().zip(&self.seals).find(|(known, _)| **known == label) {
            Some((_, key)) => Ok(done(key)),
            None => Ok(done(&MacKey::new(&self.derived(label)?))),
        }
    }

    /// A MAC over labelled parts, under the key derived for that label.
    pub(crate) fn mac(&self, label: &str, parts: &[&[u8]]) -> Result<[u8; 32], Error> {
        let mut all: Vec<&[u8]> = vec![b"ks1 mac", label.as_bytes(), &self.instance];
        all.extend_from_slice(parts);
        self.keyed(label, |key| key.mac(&all))
    }

    /// Whether `tag` is the [`Self::mac`] of the parts; in constant time.
    pub(crate) fn mac_matches(&self, label: &str, parts: &[&[u8]], tag: &[u8]) -> Result<bool, Error> {
        let mut all: Vec<&[u8]> = vec![b"ks1 mac", label.as_bytes(), &self.instance];
        all.extend_from_slice(parts);
        self.keyed(label, |key| key.matches(&all, tag))
    }

    /// As it was sealed before there were generations.
    #[cfg(test)]
    pub(crate) fn seal_hierarchy_without_generation(
        &self,
        root: &RootKey,
        instance_root: &Secret,
    ) -> SealedHierarchy {
        let mut bytes = self.seal_hierarchy(root, instance_root, &crate::ports::SystemEntropy).unwrap().bytes;
        bytes.truncate(bytes.len() - 32);
        bytes.drain(1..9);
        bytes[0] = HIERARCHY_FORMAT_BEFORE;
        let seal = self.derived("hierarchy seal").unwrap();
        let seal = mac(&seal, &[b"ks1 hierarchy seal", &self.instance, &bytes]);
        bytes.extend_from_slice(&seal);
        SealedHierarchy { bytes }
    }

    /// The sealed form, under a root key.
    pub(crate) fn seal_hierarchy(
        &self,
        root: &RootKey,
        instance_root: &Secret,
        entropy: &dyn Entropy,
    ) -> Result<SealedHierarchy, Error> {
        let level = |key: &Secret, name: &str, version, material: &Secret| {
            let context = level_context(&self.instance, name, version);
            seal_blob(key, entropy, "ks1 hierarchy", &context, material.expose_secret())
        };
        let mut writer = Writer::with_capacity(512)
            .u8(HIERARCHY_FORMAT)
            .u64(self.generation)
            .array(&root.recognition(&self.instance)?)
            .i64(self.created_at)
            .bytes(&level(root.secret(), "IRK", 1, instance_root)?)
            .bytes(&level(instance_root, "IHK", 1, &self.integrity)?)
            .u32(u32::try_from(self.key_encryption.len()).map_err(|_| Error::TooLarge { what: HIERARCHY })?);
        for (version, key) in &self.key_encryption {
            writer = writer.u32(*version).bytes(&level(instance_root, "IKEK", *version, key)?);
        }
        let mut bytes = writer.finish().to_vec();
        let seal = mac(&self.derived("hierarchy seal")?, &[b"ks1 hierarchy seal", &self.instance, &bytes]);
        bytes.extend_from_slice(&seal);
        Ok(SealedHierarchy { bytes })
    }
}

fn derive(integrity: &Secret, label: &str) -> Result<Secret, Error> {
    expand(integrity, &[b"ks1 integrity", label.as_bytes()])
}

fn level_context(instance: &[u8; 16], name: &str, version: u32) -> Vec<u8> {
    pae(&[b"ks1 hierarchy", instance, name.as_bytes(), &version.to_le_bytes()])
}

/// What a wrap begins with.
pub(crate) fn wrap_header(version: u32) -> [u8; 5] {
    let [a, b, c, d] = version.to_le_bytes();
    [FORMAT, a, b, c, d]
}

/// The version of the key encryption key that a wrap names. Not authenticated: for counting.
pub(crate) fn wrapping_version(wrapped: &[u8]) -> Option<u32> {
    let mut reader = Reader::new(wrapped, "wrap");
    (reader.u8().ok()? == FORMAT).then(|| reader.u32().ok())?
}

/// `salt | ciphertext | tag`.
pub(crate) fn seal_blob(
    key: &Secret,
    entropy: &dyn Entropy,
    label: &str,
    aad: &[u8],
    plaintext: &[u8],
) -> Result<Vec<u8>, Error> {
    let salt: [u8; SALT_LEN] = random(entropy)?;
    let mut out = salt.to_vec();
    out.extend(seal_once(key, label, &salt, aad, plaintext)?);
    Ok(out)
}

pub(crate) fn open_blob(
    key: &Secret,
    label: &str,
    aad: &[u8],
    blob: &[u8],
    what: &'static str,
) -> Result<Zeroizing<Vec<u8>>, Error> {
    let (salt, ciphertext) = blob.split_first_chunk().ok_or(Error::Malformed { what })?;
    open_once(key, label, salt, aad, ciphertext, what)
}
