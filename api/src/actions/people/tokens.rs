//! Personal access tokens: a person's credentials for programs.

use chrono::TimeDelta;
use secrecy::SecretString;
use serde_json::json;

use super::person_name;
use crate::actions::session::ACCESS_TOKEN_PREFIX;
use crate::actions::{Actions, Call, Done};
use crate::domain::Timestamp;
use crate::domain::id::AccessTokenId;
use crate::domain::refusal::{Refusal, RefusalCode};
use crate::domain::requester::{Means, Person};

/// The longest an access token is good for, in days.
const MAX_DAYS: u32 = 365;

impl Actions {
    /// Makes an access token for the caller: its id, its text (shown this once), and when it ends.
    ///
    /// # Errors
    /// `INVALID_INPUT`; `CREDENTIALS_INVALID` unless the caller signed in: a token makes no tokens, or one that was
    /// stolen would never end.
    pub async fn create_access_token(
        &self,
        call: &Call,
        name: &str,
        days: u32,
    ) -> Done<(AccessTokenId, SecretString, Timestamp)> {
        let person = signed_in(call)?;
        if matches!(person.means, Means::AccessToken(_)) {
            let message = "An access token makes no other. Sign in with the browser for that.";
            return Err(Refusal::new(RefusalCode::CredentialsInvalid, message).into());
        }
        let name = person_name(name)?;
        if !(1..=MAX_DAYS).contains(&days) {
            return Err(Refusal::invalid("days", "An access token is good for 1 to 365 days.").into());
        }
        let (text, digest) = self.secret(ACCESS_TOKEN_PREFIX)?;
        let mut tx = self.begin("access-token.create", call).await?;
        let until = tx.now() + TimeDelta::days(days.into());
        let id = tx.create_access_token(person.user, name.as_str(), digest, until).await?;
        tx.audit("access-token.create", "ACCESS_TOKEN", id, "OK", json!({ "days": days }));
        tx.commit().await?;
        Ok((id, text, until))
    }

    /// Takes one of the caller's access tokens back.
    ///
    /// # Errors
    /// `NOT_FOUND`.
    pub async fn revoke_access_token(&self, call: &Call, id: AccessTokenId) -> Done<()> {
        let person = signed_in(call)?;
        let mut tx = self.begin("access-token.revoke", call).await?;
        if !tx.revoke_access_token(person.user, id).await? {
            return Err(Refusal::not_found("access token").into());
        }
        tx.audit("access-token.revoke", "ACCESS_TOKEN", id, "OK", json!({}));
        Ok(tx.commit().await?)
    }
}

fn signed_in(call: &Call) -> Result<&Person, Refusal> {
    let message = "Sign in first.";
    call.requester.person().ok_or_else(|| Refusal::new(RefusalCode::CredentialsInvalid, message))
}
