//! Who is signed in with what: looked at and ended, by the holder or by an administrator.

use serde_json::json;

use super::administrator;
use crate::actions::{Actions, Call, Done};
use crate::domain::id::{AccessTokenId, SessionId, UserId};
use crate::domain::refusal::Refusal;
use crate::domain::requester::Means;
use crate::store::{AccessToken, Page, Session, Slice, StoreError};

impl Actions {
    /// The sessions of the caller, or of somebody else for administrators.
    ///
    /// # Errors
    /// `NOT_AN_ADMINISTRATOR`.
    pub async fn sessions(&self, call: &Call, of: Option<UserId>, page: Page) -> Done<Slice<Session>> {
        let Some(user) = self.holder(call, of)? else { return Ok(Slice::default()) };
        Ok(self.reader(call).sessions_of(user, self.world.now(), page).await?)
    }

    /// These sessions, as far as they are the caller's own; for administrators whosever they are.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn sessions_by_id(&self, call: &Call, ids: &[SessionId]) -> Result<Vec<Session>, StoreError> {
        let mut found = self.reader(call).sessions_by_id(ids, self.world.now()).await?;
        found.retain(|session| self.may_end(call, session.account));
        Ok(found)
    }

    /// The access tokens of the caller, or of somebody else for administrators.
    ///
    /// # Errors
    /// `NOT_AN_ADMINISTRATOR`.
    pub async fn access_tokens(
        &self,
        call: &Call,
        of: Option<UserId>,
        page: Page,
    ) -> Done<Slice<AccessToken>> {
        let Some(user) = self.holder(call, of)? else { return Ok(Slice::default()) };
        Ok(self.reader(call).access_tokens_of(user, self.world.now(), page).await?)
    }

    /// These access tokens, as far as they are the caller's own; for administrators whosever they are.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn access_tokens_by_id(
        &self,
        call: &Call,
        ids: &[AccessTokenId],
    ) -> Result<Vec<AccessToken>, StoreError> {
        let mut found = self.reader(call).access_tokens_by_id(ids, self.world.now()).await?;
        found.retain(|token| self.may_end(call, token.account));
        Ok(found)
    }

    /// Ends a session of the caller, or of anybody for administrators. It stops working at once.
    ///
    /// # Errors
    /// `NOT_FOUND`.
    pub async fn revoke_session(&self, call: &Call, id: SessionId) -> Done<()> {
        let mut tx = self.begin("session.revoke", call).await?;
        let holder = tx.session_holder(id).await?.filter(|holder| self.may_end(call, *holder));
        holder.ok_or_else(|| Refusal::not_found("session"))?;
        tx.end_session(id).await?;
        tx.audit("session.revoke", "SESSION", id, "OK", json!({}));
        Ok(tx.commit().await?)
    }

    /// Takes an access token of the caller back, or of anybody for administrators. It stops working at once.
    ///
    /// # Errors
    /// `NOT_FOUND`.
    pub async fn revoke_access_token(&self, call: &Call, id: AccessTokenId) -> Done<()> {
        let mut tx = self.begin("access-token.revoke", call).await?;
        let holder = tx.access_token_holder(id).await?.filter(|holder| self.may_end(call, *holder));
        let holder = holder.ok_or_else(|| Refusal::not_found("access token"))?;
        tx.revoke_access_token(holder, id).await?;
        tx.audit("access-token.revoke", "ACCESS_TOKEN", id, "OK", json!({}));
        Ok(tx.commit().await?)
    }

    /// Whether this is the session that the caller acts in.
    #[must_use]
    pub fn is_own_session(&self, call: &Call, id: SessionId) -> bool {
        let means = call.requester.person().map(|person| person.means);
        matches!(means, Some(Means::Session { id: own, .. }) if own == id)
    }

    fn holder(&self, call: &Call, of: Option<UserId>) -> Result<Option<UserId>, Refusal> {
        let own = call.requester.person().map(|person| person.user);
        if of.is_some() && of != own {
            administrator(call)?;
        }
        Ok(of.or(own))
    }

    /// Ending what may be stolen is never made hard: no step-up.
    fn may_end(&self, call: &Call, holder: UserId) -> bool {
        call.requester.person().is_some_and(|person| person.user == holder) || administrator(call).is_ok()
    }
}
