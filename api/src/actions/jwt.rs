//! Client assertions: how an instance signs in at another's authorization server (RFC 7523, section 3).
//!
//! There is one algorithm, which has two names (RFC 8037, RFC 9864), and the key is the claim's, so that nothing in the
//! assertion chooses how it is verified. `jsonwebtoken` verifies the signature, over the key service (see `provider`); its
//! own reader of headers does not know the newer name yet. What cannot be read is refused: `crit`, keys in the header,
//! lists of audiences, names given twice. Times are judged by the instance's own clock, not by the machine's.

mod provider;

use data_encoding::BASE64URL_NOPAD;
use jsonwebtoken::{Algorithm, DecodingKey};
use keyservice::PublicKey;
use serde::Deserialize;

use crate::domain::Timestamp;

/// The one accepted `typ`: a token made for something else is never taken for an assertion. RFC 7523 asks for none, and
/// clients leave it out; what else says that this is an assertion for us is looked at in any case.
pub const TYPE: &str = "client-authentication+jwt";
/// The names of Ed25519: of today (RFC 9864), and the older one (RFC 8037).
pub const ALGORITHMS: [&str; 2] = ["Ed25519", "EdDSA"];
/// The longest assertion that is looked at, in bytes.
const MAX_LENGTH: usize = 2_048;
/// The longest `jti`.
const MAX_JTI: usize = 128;
/// How long an assertion may still be good, in seconds.
const MAX_LIFETIME: i64 = 60;
/// How far the client's clock may be ahead, in seconds, where it says when it signed.
const LEEWAY: i64 = 30;

/// Exactly what the header may hold: `crit`, keys and addresses of keys cannot be read, so they are refused.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    alg: String,
    typ: Option<String>,
    #[serde(rename = "kid")]
    _kid: Option<String>,
}

/// What is asked of the claims; others are ignored (RFC 7519, 4). `aud` as a list cannot be read, a name given
/// twice neither.
#[derive(Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    aud: String,
    exp: i64,
    jti: String,
    iat: Option<i64>,
    nbf: Option<i64>,
}

/// Why an assertion is not accepted: for the audit trail, the answer is the same for all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AssertionError {
    /// Not three parts of base64url with the JSON that is expected.
    #[error("malformed")]
    Malformed,
    /// Another algorithm than Ed25519.
    #[error("algorithm")]
    Algorithm,
    /// Another type of token.
    #[error("type")]
    Type,
    /// `iss` and `sub` are not both the client.
    #[error("client")]
    Client,
    /// Not for us alone.
    #[error("audience")]
    Audience,
    /// Expired, good for too long, or not good yet.
    #[error("lifetime")]
    Lifetime,
    /// Not signed with the client's key.
    #[error("signature")]
    Signature,
}

/// An assertion that could be read. Nothing of it is true yet.
pub struct Assertion<'a> {
    signed: &'a str,
    signature: &'a str,
    claims: Claims,
}

/// What a verified assertion is remembered by, so that it is used once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Used {
    /// Its `jti`.
    pub id: String,
    /// When it would be refused anyway.
    pub until: Timestamp,
}

impl<'a> Assertion<'a> {
    /// Reads an assertion.
    ///
    /// # Errors
    /// [`AssertionError::Malformed`], [`AssertionError::Algorithm`], [`AssertionError::Type`].
    pub fn parse(text: &'a str) -> Result<Self, AssertionError> {
        use AssertionError::Malformed;
        if text.len() > MAX_LENGTH {
            return Err(Malformed);
        }
        let (signed, signature) = text.rsplit_once('.').ok_or(Malformed)?;
        let (header, claims) =
            signed.split_once('.').filter(|(_, claims)| !claims.contains('.')).ok_or(Malformed)?;
        let decode = |part: &str| BASE64URL_NOPAD.decode(part.as_bytes()).map_err(|_| Malformed);
        let header: Header = serde_json::from_slice(&decode(header)?).map_err(|_| Malformed)?;
        if !ALGORITHMS.contains(&header.alg.as_str()) {
            return Err(AssertionError::Algorithm);
        }
        // RFC 7515, 4.1.9: the prefix may be written out.
        if header.typ.is_some_and(|typ| typ.strip_prefix("application/").unwrap_or(&typ) != TYPE) {
            return Err(AssertionError::Type);
        }
        let claims: Claims = serde_json::from_slice(&decode(claims)?).map_err(|_| Malformed)?;
        if claims.jti.is_empty() || claims.jti.len() > MAX_JTI {
            return Err(Malformed);
        }
        Ok(Self { signed, signature, claims })
    }

    /// Who the assertion says it is from.
    #[must_use]
    pub fn client(&self) -> &str {
        &self.claims.sub
    }

    /// Verifies that `client` signed it with `key`, for `audience` alone, for now.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn verify(
        &self,
        client: &str,
        key: &PublicKey,
        audience: &str,
        now: Timestamp,
    ) -> Result<Used, AssertionError> {
        let claims = &self.claims;
        provider::install();
        let (signed, key) = (self.signed.as_bytes(), DecodingKey::from_ed_der(key.as_bytes()));
        match jsonwebtoken::crypto::verify(self.signature, signed, &key, Algorithm::EdDSA) {
            Ok(true) => {}
            Ok(false) => return Err(AssertionError::Signature),
            Err(_) => return Err(AssertionError::Malformed),
        }
        if claims.iss != client || claims.sub != client {
            return Err(AssertionError::Client);
        }
        if claims.aud != audience {
            return Err(AssertionError::Audience);
        }
        let now = now.timestamp();
        // A client that says when it signed may have a clock that is a little ahead of ours.
        let (lifetime, leeway) = match claims.iat {
            Some(iat) => (claims.exp.saturating_sub(iat), LEEWAY),
            None => (claims.exp.saturating_sub(now), 0),
        };
        let begun = [claims.iat, claims.nbf].into_iter().flatten().all(|at| at <= now + leeway);
        if claims.exp <= now || lifetime > MAX_LIFETIME || claims.exp > now + MAX_LIFETIME + leeway || !begun
        {
            return Err(AssertionError::Lifetime);
        }
        let until = Timestamp::from_timestamp(claims.exp + 1, 0).ok_or(AssertionError::Lifetime)?;
        Ok(Used { id: claims.jti.clone(), until })
    }
}

#[cfg(test)]
mod tests;
