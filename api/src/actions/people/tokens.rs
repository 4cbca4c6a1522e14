//! Personal access tokens: a person's credentials for programs.

use chrono::TimeDelta;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;
use uuid::Uuid;

use super::person_name;
use crate::actions::once::{Answer, Kept};
use crate::actions::session::ACCESS_TOKEN_PREFIX;
use crate::actions::{Actions, Call, Done, Failure};
use crate::domain::Timestamp;
use crate::domain::id::{AccessTokenId, UserId};
use crate::domain::refusal::{Refusal, RefusalCode};
use crate::domain::requester::Person;
use crate::store::{AccessToken, Reader};

/// The longest an access token is good for, in days.
const MAX_DAYS: u32 = 365;

/// A token that was just made. No `Debug`: it holds the secret.
pub struct NewAccessToken {
    /// The token.
    pub token: AccessToken,
    /// Its text.
    pub secret: SecretString,
}

impl Answer for NewAccessToken {
    fn kept(&self) -> Kept {
        let AccessToken { id, account, name, created_at, expires_at } = &self.token;
        let (created_at, expires_at) = (created_at.timestamp_millis(), expires_at.timestamp_millis());
        let text = json!([account.0, name, created_at, expires_at, self.secret.expose_secret()]);
        Kept { subject: Some(id.0), secret: Some(SecretString::from(text.to_string())) }
    }

    async fn again(kept: Kept, _: &Reader) -> Done<Self> {
        let wrong = || Failure::Bug("a kept access token");
        let (subject, text) = kept.subject.zip(kept.secret).ok_or_else(wrong)?;
        let (account, name, created_at, expires_at, secret): (Uuid, String, i64, i64, String) =
            serde_json::from_str(text.expose_secret()).map_err(|_| wrong())?;
        let time = |ms| Timestamp::from_timestamp_millis(ms).ok_or_else(wrong);
        let token = AccessToken {
            id: AccessTokenId(subject),
            account: UserId(account),
            name,
            created_at: time(created_at)?,
            expires_at: time(expires_at)?,
        };
        Ok(Self { token, secret: secret.into() })
    }
}

impl Actions {
    /// Makes an access token for the caller, and shows its text.
    ///
    /// # Errors
    /// `INVALID_INPUT`; `STEP_UP_REQUIRED`; `CREDENTIALS_INVALID` unless the caller signed in: a token makes no tokens,
    /// or one that was stolen would never end.
    pub async fn create_access_token(&self, call: &Call, name: &str, days: u32) -> Done<NewAccessToken> {
        let person = signed_in(call)?;
        self.require_fresh_person(call)?;
        let name = person_name(name)?;
        if !(1..=MAX_DAYS).contains(&days) {
            return Err(Refusal::invalid("days", "An access token is good for 1 to 365 days.").into());
        }
        let (text, digest) = self.secret(ACCESS_TOKEN_PREFIX)?;
        let mut tx = self.begin("access-token.create", call).await?;
        let until = tx.now() + TimeDelta::days(days.into());
        let token = tx.create_access_token(person.user, name.as_str(), digest, until).await?;
        tx.audit("access-token.create", "ACCESS_TOKEN", token.id, "OK", json!({ "days": days }));
        tx.commit().await?;
        Ok(NewAccessToken { token, secret: text })
    }
}

fn signed_in(call: &Call) -> Result<&Person, Refusal> {
    let message = "Sign in first.";
    call.requester.person().ok_or_else(|| Refusal::new(RefusalCode::CredentialsInvalid, message))
}
