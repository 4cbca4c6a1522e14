//! Signatures under either algorithm: how a pair is made, taken in, used and checked.

use ring::agreement::{ECDH_P256, EphemeralPrivateKey, UnparsedPublicKey as Peer, agree_ephemeral};
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair,
    UnparsedPublicKey,
};
use secrecy::ExposeSecret;
use zeroize::Zeroizing;

use crate::algorithm::Algorithm;
use crate::crypto::random_secret;
use crate::error::Error;
use crate::identity::{PublicKey, verify_raw};
use crate::ports::Entropy;

/// Length of an uncompressed point of P-256.
const POINT_LENGTH: usize = 65;

/// A key pair: the secret in the form in which it is wrapped, and the public half.
///
/// The secret is the 32-byte seed for Ed25519 (RFC 8032, 5.1.5), the PKCS#8 document for ECDSA (RFC 5958).
pub(crate) struct Pair {
    pub(crate) secret: Zeroizing<Vec<u8>>,
    pub(crate) public: Vec<u8>,
}

/// A new pair.
pub(crate) fn generate(algorithm: Algorithm, entropy: &dyn Entropy) -> Result<Pair, Error> {
    match algorithm {
        Algorithm::Ed25519 => {
            let seed = random_secret(entropy)?;
            ed25519(seed.expose_secret())
        }
        Algorithm::EcdsaP256Sha256 => {
            // ring makes the scalar from its own sealed source, as it does the ephemeral keys of an exchange.
            let document =
                EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new())
                    .map_err(|_| Error::Entropy)?;
            ecdsa(document.as_ref())
        }
        _ => Err(Error::Malformed { what: "signing algorithm" }),
    }
}

/// The pair with this secret, made elsewhere.
///
/// # Errors
/// [`Error::WeakKey`] when it is not a secret of the algorithm, or its public half breaks the input rules.
pub(crate) fn take_in(algorithm: Algorithm, secret: &[u8]) -> Result<Pair, Error> {
    match algorithm {
        Algorithm::Ed25519 => ed25519(secret),
        Algorithm::EcdsaP256Sha256 => ecdsa(secret),
        _ => Err(Error::Malformed { what: "signing algorithm" }),
    }
}

fn ed25519(seed: &[u8]) -> Result<Pair, Error> {
    let pair = Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| Error::WeakKey)?;
    let public = PublicKey::parse(pair.public_key().as_ref())?;
    Ok(Pair { secret: Zeroizing::new(seed.to_vec()), public: public.as_bytes().to_vec() })
}

fn ecdsa(document: &[u8]) -> Result<Pair, Error> {
    let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, document, &SystemRandom::new())
        .map_err(|_| Error::WeakKey)?;
    let public = pair.public_key().as_ref().to_vec();
    require_point(&public)?;
    Ok(Pair { secret: Zeroizing::new(document.to_vec()), public })
}

/// A signature under a secret whose public half must be the one on record.
pub(crate) fn sign(
    algorithm: Algorithm,
    secret: &[u8],
    public: &[u8],
    message: &[u8],
) -> Result<Vec<u8>, Error> {
    const KEY: Error = Error::Tampered { what: "key" };
    match algorithm {
        Algorithm::Ed25519 => {
            let pair = Ed25519KeyPair::from_seed_and_public_key(secret, public).map_err(|_| KEY)?;
            Ok(pair.sign(message).as_ref().to_vec())
        }
        Algorithm::EcdsaP256Sha256 => {
            let random = SystemRandom::new();
            let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, secret, &random)
                .map_err(|_| KEY)?;
            if pair.public_key().as_ref() != public {
                return Err(KEY);
            }
            Ok(pair.sign(&random, message).map_err(|_| Error::Entropy)?.as_ref().to_vec())
        }
        _ => Err(Error::Malformed { what: "signing algorithm" }),
    }
}

/// Verifies a signature under a public key from anywhere.
///
/// # Errors
/// [`Error::WeakKey`] when the key breaks the input rules, [`Error::BadSignature`].
pub(crate) fn verify(
    algorithm: Algorithm,
    public: &[u8],
    message: &[u8],
    signature: &[u8],
) -> Result<(), Error> {
    match algorithm {
        Algorithm::Ed25519 => verify_raw(&PublicKey::parse(public)?, message, signature),
        Algorithm::EcdsaP256Sha256 => {
            if !has_point_form(public) {
                return Err(Error::WeakKey);
            }
            // ring refuses what is not on the curve, without saying that it was the key.
            UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, public)
                .verify(message, signature)
                .map_err(|_| Error::BadSignature)
        }
        _ => Err(Error::Malformed { what: "signing algorithm" }),
    }
}

/// That a public key of P-256 is a point of the curve, in the uncompressed form (SEC 1, 2.3.3). P-256 has no points of
/// small order, so there is nothing more to ask.
pub(crate) fn require_point(public: &[u8]) -> Result<(), Error> {
    if !has_point_form(public) {
        return Err(Error::WeakKey);
    }
    // ring checks a point where it agrees with it, and nowhere else that says why it failed.
    let own = EphemeralPrivateKey::generate(&ECDH_P256, &SystemRandom::new()).map_err(|_| Error::Entropy)?;
    agree_ephemeral(own, &Peer::new(&ECDH_P256, public), |_| ()).map_err(|_| Error::WeakKey)
}

fn has_point_form(public: &[u8]) -> bool {
    public.len() == POINT_LENGTH && public.first() == Some(&4)
}
