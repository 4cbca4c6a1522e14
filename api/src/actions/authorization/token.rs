//! A code becomes an access token, once; tokens are taken back (RFC 7009).

use std::net::IpAddr;

use chrono::TimeDelta;
use data_encoding::BASE64URL_NOPAD;
use ring::digest::{SHA256, digest};
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::json;

use super::client::{ClientCredentials, Detail};
use super::{OAuthCode, OAuthFailure, SCOPE, not_the_contact};
use crate::actions::token::digest_of_given;
use crate::actions::{Actions, Call, Failure};
use crate::domain::id::{AuthorizationId, CompanyId, UserId};
use crate::store::AuthorizationState;

/// How long an access token is good: long enough for a handshake, and there is no refresh.
const TOKEN_LIFETIME: TimeDelta = TimeDelta::minutes(10);

/// A request for a token, as it was posted. No `Debug`: it holds the code.
#[derive(Clone, Default, Deserialize)]
#[serde(default)]
pub struct Redeem {
    /// `grant_type`.
    pub grant_type: Option<String>,
    /// `code`.
    pub code: Option<String>,
    /// `redirect_uri`.
    pub redirect_uri: Option<String>,
    /// `code_verifier`.
    pub code_verifier: Option<String>,
}

/// An access token, with what both sides enter into their handshake.
pub struct IssuedToken {
    /// The token, opaque.
    pub token: SecretString,
    /// For how many seconds it is good.
    pub expires_in: i64,
    /// What it is good for.
    pub scope: &'static str,
    /// What exactly, as it was asked for and granted (RFC 9396, 7).
    pub detail: Detail,
    /// The approval.
    pub auth_event: AuthorizationId,
    /// Who approved.
    pub contact: UserId,
    /// The company they belong to.
    pub company: CompanyId,
}

impl Actions {
    /// Redeems a code. One that is redeemed again was stolen: what it was redeemed for is taken back.
    ///
    /// # Errors
    /// An OAuth error; `RATE_LIMITED`.
    pub async fn redeem_code(
        &self,
        call: &Call,
        client: &ClientCredentials,
        redeem: &Redeem,
        from: Option<IpAddr>,
    ) -> Result<IssuedToken, OAuthFailure> {
        let (claim, registration) = self.authenticate_client(call, client, from).await?;
        let invalid =
            || OAuthFailure::new(OAuthCode::InvalidGrant, "the code is wrong, used, expired or not yours");
        let missing = |description| OAuthFailure::new(OAuthCode::InvalidRequest, description);
        match redeem.grant_type.as_deref() {
            Some("authorization_code") => {}
            None => return Err(missing("grant_type is missing")),
            Some(_) => {
                let description = "grant_type must be authorization_code";
                return Err(OAuthFailure::new(OAuthCode::UnsupportedGrantType, description));
            }
        }
        let code = redeem.code.as_deref().ok_or_else(|| missing("code is missing"))?;
        let verifier = redeem.code_verifier.as_deref().ok_or_else(|| missing("code_verifier is missing"))?;
        let (token, token_digest) = self.secret("")?;
        let mut tx = self.begin("authorization.redeem", call).await?;
        let digest = digest_of_given(code).ok_or_else(invalid)?;
        let request = tx.authorization_by_code(&digest).await?.ok_or_else(invalid)?;
        if request.claim != claim.id {
            return Err(invalid());
        }
        if request.state != AuthorizationState::Approved {
            tx.revoke_authorization(request.id).await?;
            tx.audit("authorization.redeem", "AUTHORIZATION", request.id, "USED_AGAIN", json!({}));
            tx.commit().await?;
            return Err(invalid());
        }
        let in_time = request.code_expires_at.is_some_and(|until| tx.now() < until);
        let returned = redeem.redirect_uri.as_deref() == Some(request.redirect_uri.as_str());
        if !in_time || !returned || !is_verified(verifier, &request.code_challenge) {
            return Err(invalid());
        }
        let contact = request.account.ok_or(Failure::Bug("an approval without a person"))?;
        let account = tx.account(contact).await?;
        if not_the_contact(account.as_ref(), contact, &registration).is_some() {
            return Err(invalid());
        }
        if !tx.redeem_authorization(request.id, token_digest, tx.now() + TOKEN_LIFETIME).await? {
            return Err(invalid());
        }
        tx.audit(
            "authorization.redeem",
            "AUTHORIZATION",
            request.id,
            "OK",
            json!({ "claim": claim.id.to_string() }),
        );
        tx.commit().await?;
        Ok(IssuedToken {
            token,
            expires_in: TOKEN_LIFETIME.num_seconds(),
            scope: SCOPE,
            detail: Detail::of(&claim),
            auth_event: request.id,
            contact,
            company: registration.company,
        })
    }

    /// Takes an access token of this client back; one that is not known is no error.
    ///
    /// # Errors
    /// An OAuth error when the client does not prove who it is; `RATE_LIMITED`.
    pub async fn revoke_token(
        &self,
        call: &Call,
        client: &ClientCredentials,
        token: Option<&str>,
        from: Option<IpAddr>,
    ) -> Result<(), OAuthFailure> {
        let (claim, _) = self.authenticate_client(call, client, from).await?;
        let token = token.ok_or(OAuthFailure::new(OAuthCode::InvalidRequest, "token is missing"))?;
        let Some(digest) = digest_of_given(token) else { return Ok(()) };
        let mut tx = self.begin("authorization.revoke", call).await?;
        let found = tx.authorization_by_token(&digest).await?.filter(|request| request.claim == claim.id);
        let Some(request) = found else { return Ok(()) };
        tx.revoke_authorization(request.id).await?;
        tx.audit("authorization.revoke", "AUTHORIZATION", request.id, "OK", json!({}));
        Ok(tx.commit().await?)
    }
}

/// PKCE, S256 (RFC 7636, 4.6). The challenge is no secret.
fn is_verified(verifier: &str, challenge: &str) -> bool {
    let unreserved = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    (43..=128).contains(&verifier.len())
        && verifier.bytes().all(unreserved)
        && BASE64URL_NOPAD.encode(digest(&SHA256, verifier.as_bytes()).as_ref()) == challenge
}

#[cfg(test)]
mod tests {
    use super::is_verified;

    #[test]
    fn the_example_of_rfc_7636_is_verified() {
        let challenge = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
        assert!(is_verified("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk", challenge));
        assert!(!is_verified("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXl", challenge));
        assert!(!is_verified(challenge, challenge));
        assert!(!is_verified("", ""));
    }
}
