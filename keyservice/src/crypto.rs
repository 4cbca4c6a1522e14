//! The primitives, each in one place and over one encoding: HMAC-SHA256, HKDF-SHA256, AES-256-GCM under one-time keys.

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use ring::agreement::{EphemeralPrivateKey, UnparsedPublicKey, X25519, agree_ephemeral};
use ring::hkdf::{HKDF_SHA256, KeyType, Prk};
use ring::hmac::{self, HMAC_SHA256};
use secrecy::{ExposeSecret, SecretBox};
use zeroize::Zeroizing;

use crate::error::Error;
use crate::pae::pae;
use crate::ports::Entropy;

/// 32 secret bytes: wiped on drop, never printed.
pub(crate) type Secret = SecretBox<[u8; 32]>;

/// Length of the random salt of a one-time AEAD key.
pub(crate) const SALT_LEN: usize = 32;
/// Length of an AES-256-GCM tag.
pub(crate) const TAG_LEN: usize = 16;

/// A fresh secret.
pub(crate) fn random_secret(entropy: &dyn Entropy) -> Result<Secret, Error> {
    let mut filled = Ok(());
    let secret = Secret::init_with_mut(|bytes: &mut [u8; 32]| filled = entropy.fill(bytes));
    filled.map(|()| secret)
}

/// A secret from exactly 32 bytes.
pub(crate) fn secret_from(bytes: &[u8], what: &'static str) -> Result<Secret, Error> {
    if bytes.len() != 32 {
        return Err(Error::Malformed { what });
    }
    Ok(Secret::init_with_mut(|secret: &mut [u8; 32]| secret.copy_from_slice(bytes)))
}

/// A key of HMAC-SHA256 with its two blocks computed: for what is authenticated with every use of a key. ring does not
/// wipe it, so it is kept only where it lives as long as the secret that it comes from.
pub(crate) struct MacKey(hmac::Key);

impl MacKey {
    pub(crate) fn new(key: &Secret) -> Self {
        Self(hmac::Key::new(HMAC_SHA256, key.expose_secret()))
    }

    /// HMAC-SHA256 over the encoding of the parts, of which the first is a label.
    pub(crate) fn mac(&self, parts: &[&[u8]]) -> [u8; 32] {
        let tag = hmac::sign(&self.0, &pae(parts));
        let mut out = [0; 32];
        out.copy_from_slice(tag.as_ref());
        out
    }

    /// Whether `tag` is the [`Self::mac`] of the parts; in constant time.
    pub(crate) fn matches(&self, parts: &[&[u8]], tag: &[u8]) -> bool {
        hmac::verify(&self.0, &pae(parts), tag).is_ok()
    }
}

/// HMAC-SHA256 over the encoding of the parts, of which the first is a label.
pub(crate) fn mac(key: &Secret, parts: &[&[u8]]) -> [u8; 32] {
    MacKey::new(key).mac(parts)
}

/// Whether `tag` is the [`mac`] of the parts; in constant time.
pub(crate) fn mac_matches(key: &Secret, parts: &[&[u8]], tag: &[u8]) -> bool {
    MacKey::new(key).matches(parts, tag)
}

/// HKDF-Extract (RFC 5869, 2.2), which is an HMAC; ring's own keeps the result to itself, and we must store it.
pub(crate) fn extract(salt: &[u8], input: &[u8]) -> Secret {
    let tag = hmac::sign(&hmac::Key::new(HMAC_SHA256, salt), input);
    Secret::init_with_mut(|out: &mut [u8; 32]| out.copy_from_slice(tag.as_ref()))
}

/// HKDF-Expand (RFC 5869, 2.3) to a secret; `info` is the encoding of the parts, because HKDF does not frame it.
pub(crate) fn expand(key: &Secret, info: &[&[u8]]) -> Result<Secret, Error> {
    let mut okm = Zeroizing::new([0; 32]);
    expand_raw(key.expose_secret(), &pae(info), okm.as_mut())?;
    Ok(Secret::init_with_mut(|out: &mut [u8; 32]| out.copy_from_slice(okm.as_ref())))
}

/// A plaintext under a key that is used once: derived, with its nonce, from `key` and a salt of 256 random bits.
///
/// Counters die with restored backups and cloned machines, and ring has no misuse-resistant AEAD; a repeated salt is
/// out of reach, so a repeated nonce is.
pub(crate) fn seal_once(
    key: &Secret,
    label: &str,
    salt: &[u8; SALT_LEN],
    aad: &[u8],
    plaintext: &[u8],
) -> Result<Vec<u8>, Error> {
    let (key, nonce) = one_time_key(key, label, salt)?;
    aes_256_gcm_seal(&key, nonce, aad, plaintext)
}

/// The plaintext of [`seal_once`].
///
/// # Errors
/// [`Error::Tampered`] when key, label, salt, associated data or ciphertext differ in any bit.
pub(crate) fn open_once(
    key: &Secret,
    label: &str,
    salt: &[u8; SALT_LEN],
    aad: &[u8],
    ciphertext: &[u8],
    what: &'static str,
) -> Result<Zeroizing<Vec<u8>>, Error> {
    let (key, nonce) = one_time_key(key, label, salt)?;
    aes_256_gcm_open(&key, nonce, aad, ciphertext).map_err(|_| Error::Tampered { what })
}

/// AES-256-GCM (NIST SP 800-38D) with a 96-bit nonce: ciphertext and tag. Whoever calls it answers for the nonce.
pub(crate) fn aes_256_gcm_seal(
    key: &[u8; 32],
    nonce: [u8; 12],
    aad: &[u8],
    plaintext: &[u8],
) -> Result<Vec<u8>, Error> {
    let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key).map_err(|_| Error::Primitive)?);
    let mut buffer = Vec::with_capacity(plaintext.len() + TAG_LEN);
    buffer.extend_from_slice(plaintext);
    key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(aad), &mut buffer)
        .map_err(|_| Error::Primitive)?;
    Ok(buffer)
}

/// The plaintext of [`aes_256_gcm_seal`]; an error for anything else, [`Error::Primitive`] without saying what.
pub(crate) fn aes_256_gcm_open(
    key: &[u8; 32],
    nonce: [u8; 12],
    aad: &[u8],
    ciphertext: &[u8],
) -> Result<Zeroizing<Vec<u8>>, Error> {
    let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key).map_err(|_| Error::Primitive)?);
    let mut buffer = Zeroizing::new(ciphertext.to_vec());
    let len = key
        .open_in_place(Nonce::assume_unique_for_key(nonce), Aad::from(aad), &mut buffer)
        .map_err(|_| Error::Primitive)?
        .len();
    buffer.truncate(len);
    Ok(buffer)
}

/// Agrees on a secret (RFC 7748, 6.1), which exists only while `derive` runs.
///
/// # Errors
/// [`Error::WeakEphemeral`] when the peer's point is of low order: the agreement would be known to everybody.
pub(crate) fn x25519<T>(
    own: EphemeralPrivateKey,
    peer: &[u8; 32],
    derive: impl FnOnce(&[u8]) -> Result<T, Error>,
) -> Result<T, Error> {
    agree_ephemeral(own, &UnparsedPublicKey::new(&X25519, peer), derive).map_err(|_| Error::WeakEphemeral)?
}

fn one_time_key(
    key: &Secret,
    label: &str,
    salt: &[u8; SALT_LEN],
) -> Result<(Zeroizing<[u8; 32]>, [u8; 12]), Error> {
    let mut okm = Zeroizing::new([0; 44]);
    expand_raw(extract(salt, key.expose_secret()).expose_secret(), &pae(&[label.as_bytes()]), okm.as_mut())?;
    let (mut key, mut nonce) = (Zeroizing::new([0; 32]), [0; 12]);
    key.copy_from_slice(&okm[..32]);
    nonce.copy_from_slice(&okm[32..]);
    Ok((key, nonce))
}

/// HKDF-Expand (RFC 5869, 2.3) of any length up to 255 blocks.
pub(crate) fn expand_raw(key: &[u8], info: &[u8], out: &mut [u8]) -> Result<(), Error> {
    struct Len(usize);
    impl KeyType for Len {
        fn len(&self) -> usize {
            self.0
        }
    }
    Prk::new_less_safe(HKDF_SHA256, key)
        .expand(&[info], Len(out.len()))
        .and_then(|okm| okm.fill(out))
        .map_err(|_| Error::Primitive)
}

#[cfg(test)]
mod tests {
    use data_encoding::HEXLOWER;

    use super::*;

    #[test]
    fn hkdf_gives_the_values_of_rfc_5869_a_1_and_a_3() {
        let ikm = [0x0b; 22];
        let salt: Vec<u8> = (0..=0x0c).collect();
        let info: Vec<u8> = (0xf0..=0xf9).collect();
        let prk = extract(&salt, &ikm);
        assert_eq!(
            HEXLOWER.encode(prk.expose_secret()),
            "077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5"
        );
        let mut okm = [0; 42];
        expand_raw(prk.expose_secret(), &info, &mut okm).unwrap();
        assert_eq!(
            HEXLOWER.encode(&okm),
            "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865"
        );

        let prk = extract(&[], &ikm);
        expand_raw(prk.expose_secret(), &[], &mut okm).unwrap();
        assert_eq!(
            HEXLOWER.encode(&okm),
            "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8"
        );
    }

    #[test]
    fn hmac_gives_the_value_of_rfc_4231_2() {
        // Extract is HMAC(salt, input), so the vector goes through the function in use.
        let tag = extract(b"Jefe", b"what do ya want for nothing?");
        assert_eq!(
            HEXLOWER.encode(tag.expose_secret()),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
    }
}
