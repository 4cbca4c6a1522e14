//! Known-answer tests: each primitive gives the published value, through the functions that are in use; where chance has
//! a part in it, what it makes is checked by its counterpart. At every start, and again each hour for the health report;
//! a machine whose processor computes wrongly should not go unnoticed.

use data_encoding::HEXLOWER_PERMISSIVE;

use crate::algorithm::Algorithm;
use crate::crypto::{aes_256_gcm_open, aes_256_gcm_seal, expand_raw, extract, x25519};
use crate::error::Error;
use crate::exchange::ephemeral_key;
use crate::operations::{hmac_check, hmac_tag};
use crate::pae::hash;
use crate::signing;

/// How long the answers are believed, in milliseconds: one hour.
pub(crate) const BELIEVED: i64 = 60 * 60 * 1000;

/// The name of a primitive, and whether it gives its known answer; none where the test itself is wrong.
type Test = (&'static str, fn() -> Option<bool>);

/// What is asked for its known answer.
const TESTS: [Test; 7] = [
    ("SHA-256", sha_256),
    ("HMAC", hmac),
    ("HKDF-SHA256", hkdf),
    ("AES-256-GCM", aes_256_gcm),
    ("Ed25519", ed25519),
    ("ECDSA P-256", ecdsa_p256),
    ("X25519", x25519_agrees),
];

/// What asks for the known answers: [`check`], but for tests of what follows from a wrong one.
pub(crate) type Answers = fn() -> Result<(), Error>;

/// Asks for them all.
///
/// # Errors
/// [`Error::KnownAnswer`] for the first that is wrong.
pub(crate) fn check() -> Result<(), Error> {
    all_right(&TESTS)
}

fn all_right(tests: &[Test]) -> Result<(), Error> {
    match tests.iter().find(|(_, test)| test() != Some(true)) {
        Some((primitive, _)) => Err(Error::KnownAnswer { primitive }),
        None => Ok(()),
    }
}

fn hex(text: &str) -> Option<Vec<u8>> {
    HEXLOWER_PERMISSIVE.decode(text.as_bytes()).ok()
}

/// Over the encoding of an empty list, which is eight zero bytes.
fn sha_256() -> Option<bool> {
    let expected = hex("af5570f5a1810b7af78caf4bc70a660f0df51e42baf91d4de5b2328de0e83dfc")?;
    Some(hash(&[]).as_slice() == expected)
}

/// RFC 4231, 4.3.
fn hmac() -> Option<bool> {
    let message = b"what do ya want for nothing?";
    let mut right = true;
    for (algorithm, expected) in [
        (Algorithm::HmacSha256, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"),
        (
            Algorithm::HmacSha384,
            "af45d2e376484031617f78d2b58a6b1b9c7ef464f5a01b47e42ec3736322445e8e2240ca5e69e2c78b3239ecfab21649",
        ),
        (
            Algorithm::HmacSha512,
            "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea2505549758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737",
        ),
    ] {
        let mut tag = hmac_tag(algorithm, b"Jefe", message).ok()?;
        right &= tag == hex(expected)? && hmac_check(algorithm, b"Jefe", message, &tag).is_ok();
        tag[0] ^= 1;
        right &= hmac_check(algorithm, b"Jefe", message, &tag).is_err();
    }
    Some(right)
}

/// RFC 5869, A.1.
fn hkdf() -> Option<bool> {
    use secrecy::ExposeSecret;
    let salt: Vec<u8> = (0..=0x0c).collect();
    let info: Vec<u8> = (0xf0..=0xf9).collect();
    let mut okm = [0; 42];
    expand_raw(extract(&salt, &[0x0b; 22]).expose_secret(), &info, &mut okm).ok()?;
    let expected = "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865";
    Some(okm.as_slice() == hex(expected)?)
}

/// Test case 16 of the specification of GCM (McGrew and Viega).
fn aes_256_gcm() -> Option<bool> {
    let key = hex("feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308")?.try_into().ok()?;
    let nonce = hex("cafebabefacedbaddecaf888")?.try_into().ok()?;
    let aad = hex("feedfacedeadbeeffeedfacedeadbeefabaddad2")?;
    let plain = hex(
        "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39",
    )?;
    let expected = hex(
        "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f66276fc6ece0f4e1768cddf8853bb2d551b",
    )?;
    let mut sealed = aes_256_gcm_seal(&key, nonce, &aad, &plain).ok()?;
    let right = sealed == expected && *aes_256_gcm_open(&key, nonce, &aad, &sealed).ok()? == plain;
    sealed[0] ^= 1;
    Some(right && aes_256_gcm_open(&key, nonce, &aad, &sealed).is_err())
}

/// RFC 8032, 7.1, test 2.
fn ed25519() -> Option<bool> {
    let seed = hex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb")?;
    let public = hex("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c")?;
    let expected = hex(
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
    )?;
    let signature = signing::sign(Algorithm::Ed25519, &seed, &public, &[0x72]).ok()?;
    let verify = |message: &[u8]| signing::verify(Algorithm::Ed25519, &public, message, &signature);
    Some(signature == expected && verify(&[0x72]).is_ok() && verify(&[0x73]).is_err())
}

/// RFC 6979, A.2.5, SHA-256, "sample". Our signatures are randomised, so the known answer is verified, and a pair of
/// our own signs and verifies.
fn ecdsa_p256() -> Option<bool> {
    let algorithm = Algorithm::EcdsaP256Sha256;
    let public = hex(
        "0460fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb67903fe1008b8bc99a41ae9e95628bc64f2f1b20c2d7e9f5177a3c294d4462299",
    )?;
    let known = hex(
        "efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8",
    )?;
    let right = signing::verify(algorithm, &public, b"sample", &known).is_ok()
        && signing::verify(algorithm, &public, b"simple", &known).is_err();
    let pair = signing::generate(algorithm, &crate::ports::SystemEntropy).ok()?;
    let signature = signing::sign(algorithm, &pair.secret, &pair.public, b"sample").ok()?;
    Some(right && signing::verify(algorithm, &pair.public, b"sample", &signature).is_ok())
}

/// Two fresh keys agree (RFC 7748, 6.1), and a point of low order agrees with nobody. ring takes no private key of ours,
/// so a published value cannot be asked for here; the tests of this crate do.
fn x25519_agrees() -> Option<bool> {
    let agreed = |own, peer: &[u8; 32]| x25519(own, peer, |shared| Ok(hash(&[shared])));
    let ((one, one_public), (other, other_public)) = (ephemeral_key().ok()?, ephemeral_key().ok()?);
    let (weak, _) = ephemeral_key().ok()?;
    let same = agreed(one, &other_public).ok()? == agreed(other, &one_public).ok()?;
    Some(same && agreed(weak, &[0; 32]) == Err(Error::WeakEphemeral))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_primitive_gives_its_known_answer() {
        assert_eq!(check(), Ok(()));
    }

    #[test]
    fn the_first_primitive_that_gives_another_answer_or_none_is_named() {
        let named = |tests: &[Test]| all_right(tests).unwrap_err();
        let right: Test = ("right", || Some(true));
        assert_eq!(named(&[right, ("wrong", || Some(false))]), Error::KnownAnswer { primitive: "wrong" });
        assert_eq!(named(&[("none", || None), right]), Error::KnownAnswer { primitive: "none" });
    }
}
