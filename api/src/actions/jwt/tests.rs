use ring::signature::{Ed25519KeyPair, KeyPair as _};

use super::*;

const US: &str = "https://provider.example";
const CLIENT: &str = "0192f0c0-0000-7000-8000-000000000001";
const HEADER: &str = r#"{"alg":"EdDSA","typ":"client-authentication+jwt"}"#;

fn key() -> (Ed25519KeyPair, PublicKey) {
    let pair = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap();
    let public = PublicKey::parse(pair.public_key().as_ref()).unwrap();
    (pair, public)
}

fn signed(header: &str, claims: &str) -> String {
    let input = format!(
        "{}.{}",
        BASE64URL_NOPAD.encode(header.as_bytes()),
        BASE64URL_NOPAD.encode(claims.as_bytes())
    );
    let signature = BASE64URL_NOPAD.encode(key().0.sign(input.as_bytes()).as_ref());
    format!("{input}.{signature}")
}

fn claims(more: &str) -> String {
    format!(r#"{{"iss":"{CLIENT}","sub":"{CLIENT}","aud":"{US}","jti":"a","exp":1050{more}}}"#)
}

fn judge(text: &str) -> Result<Used, AssertionError> {
    Assertion::parse(text)?.verify(CLIENT, &key().1, US, Timestamp::from_timestamp(1000, 0).unwrap())
}

#[test]
fn an_assertion_for_us_alone_is_accepted() {
    let used = judge(&signed(HEADER, &claims(r#","iat":1000"#))).unwrap();
    assert_eq!((used.id.as_str(), used.until.timestamp()), ("a", 1051));
    judge(&signed(HEADER, &claims(""))).unwrap();
    judge(&signed(r#"{"alg":"EdDSA","typ":"application/client-authentication+jwt","kid":"k"}"#, &claims("")))
        .unwrap();
}

/// As `oauth4webapi` and others send it.
#[test]
fn a_header_with_todays_name_of_the_algorithm_and_without_a_type_is_accepted() {
    for header in [
        r#"{"alg":"Ed25519"}"#,
        r#"{"alg":"EdDSA"}"#,
        r#"{"alg":"Ed25519","kid":"k"}"#,
        r#"{"alg":"Ed25519","typ":"client-authentication+jwt"}"#,
    ] {
        judge(&signed(header, &claims(""))).unwrap_or_else(|error| panic!("{header}: {error}"));
    }
}

#[test]
fn a_header_that_asks_for_anything_else_is_refused() {
    for (header, error) in [
        (r#"{"alg":"none","typ":"client-authentication+jwt"}"#, AssertionError::Algorithm),
        (r#"{"alg":"HS256","typ":"client-authentication+jwt"}"#, AssertionError::Algorithm),
        (r#"{"alg":"eddsa","typ":"client-authentication+jwt"}"#, AssertionError::Algorithm),
        (r#"{"alg":"EdDSA","typ":"JWT"}"#, AssertionError::Type),
        (r#"{"alg":"EdDSA","typ":"at+jwt"}"#, AssertionError::Type),
        (r#"{"alg":"EdDSA","typ":""}"#, AssertionError::Type),
        (r#"{"alg":"Ed448"}"#, AssertionError::Algorithm),
        (r#"{"alg":"ed25519"}"#, AssertionError::Algorithm),
        (r#"{"typ":"client-authentication+jwt"}"#, AssertionError::Malformed),
        (r#"{"alg":"EdDSA","typ":"client-authentication+jwt","crit":["exp"]}"#, AssertionError::Malformed),
        (r#"{"alg":"EdDSA","typ":"client-authentication+jwt","crit":null}"#, AssertionError::Malformed),
        (r#"{"alg":"EdDSA","typ":"client-authentication+jwt","jwk":{}}"#, AssertionError::Malformed),
        (r#"{"alg":"none","alg":"EdDSA","typ":"client-authentication+jwt"}"#, AssertionError::Malformed),
    ] {
        assert_eq!(judge(&signed(header, &claims(""))), Err(error), "{header}");
    }
}

#[test]
fn claims_for_somebody_or_some_time_else_are_refused() {
    let claims = |iss: &str, aud: &str, exp: &str, more: &str| {
        format!(r#"{{"iss":"{iss}","sub":"{CLIENT}","aud":{aud},"jti":"a","exp":{exp}{more}}}"#)
    };
    let us = format!("\"{US}\"");
    for (claims, error) in [
        (claims("x", &us, "1050", ""), AssertionError::Client),
        (claims(CLIENT, &format!("[{us}]"), "1050", ""), AssertionError::Malformed),
        (claims(CLIENT, &format!("[{us},\"https://other.example\"]"), "1050", ""), AssertionError::Malformed),
        (claims(CLIENT, "\"https://provider.example/\"", "1050", ""), AssertionError::Audience),
        (claims(CLIENT, "\"https://provider.example/oauth/token\"", "1050", ""), AssertionError::Audience),
        (claims(CLIENT, &us, "1000", ""), AssertionError::Lifetime),
        (claims(CLIENT, &us, "1061", ""), AssertionError::Lifetime),
        (claims(CLIENT, &us, "1080", ",\"iat\":1000"), AssertionError::Lifetime),
        (claims(CLIENT, &us, "1050", ",\"iat\":-9223372036854775808"), AssertionError::Lifetime),
        (claims(CLIENT, &us, "9223372036854775807", ",\"iat\":1000"), AssertionError::Lifetime),
        (claims(CLIENT, &us, "1090", ",\"iat\":1031"), AssertionError::Lifetime),
        (claims(CLIENT, &us, "1050", ",\"nbf\":1001"), AssertionError::Lifetime),
        (claims(CLIENT, &us, "\"1050\"", ""), AssertionError::Malformed),
        (claims(CLIENT, &us, "1050", ",\"exp\":1051"), AssertionError::Malformed),
        (claims(CLIENT, &us, "1050", "").replace("\"jti\":\"a\",", ""), AssertionError::Malformed),
        (claims(CLIENT, &us, "1050", "").replace("\"a\"", "\"\""), AssertionError::Malformed),
    ] {
        assert_eq!(judge(&signed(HEADER, &claims)), Err(error), "{claims}");
    }
}

#[test]
fn a_changed_or_foreign_signature_is_refused() {
    let good = signed(HEADER, &claims(""));
    let (input, _) = good.rsplit_once('.').unwrap();
    for bad in [
        format!("{input}."),
        format!("{input}.{}", BASE64URL_NOPAD.encode(&[0; 64])),
        good.replace(
            &BASE64URL_NOPAD.encode(claims("").as_bytes()),
            &BASE64URL_NOPAD.encode(claims(",\"a\":1").as_bytes()),
        ),
    ] {
        assert_eq!(judge(&bad), Err(AssertionError::Signature), "{bad}");
    }
    for bad in [input.to_owned(), format!("{good}.a"), format!("{good}="), String::new(), "..".to_owned()] {
        assert_eq!(judge(&bad), Err(AssertionError::Malformed), "{bad}");
    }
}
