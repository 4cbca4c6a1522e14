//! Client assertions: how an instance signs in at another's authorization server (RFC 7523, section 3).
//!
//! `jsonwebtoken` verifies signature, issuer, subject and audience, over the key service (see `provider`). What it is
//! lenient about is refused here by what can be read at all: `typ`, `crit`, lists of audiences, names given twice.
//! Times are judged by the instance's own clock, not by the machine's.

mod provider;

use data_encoding::BASE64URL_NOPAD;
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use keyservice::PublicKey;
use serde::Deserialize;

use crate::domain::Timestamp;

/// The one accepted `typ`: a token made for something else is never taken for an assertion.
pub const TYPE: &str = "client-authentication+jwt";
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
    typ: String,
    #[serde(rename = "kid")]
    _kid: Option<String>,
}

/// What is asked of the claims; others are ignored (RFC 7519, 4). `aud` as a list cannot be read, a name given
/// twice neither.
#[derive(Deserialize)]
struct Claims {
    #[serde(rename = "iss")]
    _iss: String,
    sub: String,
    #[serde(rename = "aud")]
    _aud: String,
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
    /// Another algorithm than EdDSA.
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
    text: &'a str,
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
        let (input, _) = text.rsplit_once('.').ok_or(Malformed)?;
        let (header, claims) =
            input.split_once('.').filter(|(_, claims)| !claims.contains('.')).ok_or(Malformed)?;
        let decode = |part: &str| BASE64URL_NOPAD.decode(part.as_bytes()).map_err(|_| Malformed);
        let header: Header = serde_json::from_slice(&decode(header)?).map_err(|_| Malformed)?;
        if header.alg != "EdDSA" {
            return Err(AssertionError::Algorithm);
        }
        // RFC 7515, 4.1.9: the prefix may be written out.
        if header.typ.strip_prefix("application/").unwrap_or(&header.typ) != TYPE {
            return Err(AssertionError::Type);
        }
        let claims: Claims = serde_json::from_slice(&decode(claims)?).map_err(|_| Malformed)?;
        if claims.jti.is_empty() || claims.jti.len() > MAX_JTI {
            return Err(Malformed);
        }
        Ok(Self { text, claims })
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
        provider::install();
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.set_required_spec_claims(&["iss", "sub", "aud", "exp"]);
        validation.set_issuer(&[client]);
        validation.set_audience(&[audience]);
        validation.sub = Some(client.to_owned());
        // By the instance's clock, below.
        validation.validate_exp = false;
        let key = DecodingKey::from_ed_der(key.as_bytes());
        let claims = match jsonwebtoken::decode::<Claims>(self.text, &key, &validation) {
            Ok(token) => token.claims,
            Err(error) => return Err(refused(error.kind())),
        };
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

fn refused(kind: &ErrorKind) -> AssertionError {
    match kind {
        ErrorKind::InvalidSignature => AssertionError::Signature,
        ErrorKind::InvalidIssuer | ErrorKind::InvalidSubject => AssertionError::Client,
        ErrorKind::InvalidAudience => AssertionError::Audience,
        ErrorKind::InvalidAlgorithm | ErrorKind::InvalidAlgorithmName => AssertionError::Algorithm,
        _ => AssertionError::Malformed,
    }
}

#[cfg(test)]
mod tests;
