use std::num::NonZeroUsize;

use secrecy::SecretString;

use super::*;

fn hasher() -> PasswordHasher {
    PasswordHasher::new(NonZeroUsize::new(2).unwrap())
}

fn peppered(text: &str, key: u8) -> Peppered {
    let candidate = Candidate::new(SecretString::from(text)).unwrap();
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &[key; 32]);
    Peppered::new(ring::hmac::sign(&key, candidate.for_pepper()).as_ref().try_into().unwrap())
}

#[tokio::test]
async fn only_the_same_password_under_the_same_pepper_is_right() {
    let hasher = hasher();
    let stored = hasher.hash(peppered("correct horse battery", 1), [7; 16]).await.unwrap();
    assert!(stored.as_str().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{}", stored.as_str());
    let stored = PasswordHash::parse(stored.as_str()).unwrap();
    let verdict = |text, key| hasher.verify(peppered(text, key), Some(&stored));
    assert_eq!(verdict("correct horse battery", 1).await, Ok(Verification::Right));
    assert_eq!(verdict("correct horse batterz", 1).await, Ok(Verification::Wrong));
    assert_eq!(verdict("correct horse battery", 2).await, Ok(Verification::Wrong));
    assert_eq!(hasher.verify(peppered("correct horse battery", 1), None).await, Ok(Verification::Wrong));
}

#[tokio::test]
async fn a_hash_with_yesterdays_parameters_is_right_and_said_to_be_outdated() {
    let params = Params::new(8_192, 1, 1, None).unwrap();
    let old = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let hash: phc::PasswordHash =
        old.hash_password_with_salt(peppered("correct horse battery", 1).0.as_slice(), &[7; 16]).unwrap();
    let stored = PasswordHash::parse(&hash.to_string()).unwrap();
    assert!(stored.is_outdated());
    let verdict = hasher().verify(peppered("correct horse battery", 1), Some(&stored)).await;
    assert_eq!(verdict, Ok(Verification::RightButOutdated));
}

#[test]
fn a_password_has_12_to_256_characters_that_differ() {
    let parse = |text: String| Password::parse(SecretString::from(text)).map(|_| ());
    assert_eq!(parse("a".repeat(11)), Err(WeakPassword::TooShort));
    assert_eq!(parse("ä".repeat(12)), Err(WeakPassword::Repeated));
    assert_eq!(parse("äöü".repeat(4)), Ok(()));
    assert_eq!(parse("ab".repeat(128)), Ok(()));
    assert_eq!(parse("ab".repeat(129)), Err(WeakPassword::TooLong));
}

#[test]
fn what_is_not_argon2id_is_not_a_stored_password() {
    for text in [
        "",
        "canary",
        "$argon2i$v=19$m=19456,t=2,p=1$c2FsdHNhbHQ$aGFzaGhhc2g",
        "$argon2id$v=19$m=19456,t=2,p=1$",
    ] {
        assert_eq!(PasswordHash::parse(text), Err(PasswordError::Malformed), "{text}");
    }
}

#[test]
fn no_password_shows_when_printed() {
    let text = "canary-canary-1";
    let password = Password::parse(SecretString::from(text)).unwrap();
    let candidate = Candidate::new(SecretString::from(text)).unwrap();
    let error = Password::parse(SecretString::from("canary")).unwrap_err();
    assert!(!format!("{password:?} {candidate:?} {error:?} {error}").contains("canary"));
}
