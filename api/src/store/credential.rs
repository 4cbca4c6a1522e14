//! What people and programs are signed in with, for those who look after it.

use sea_orm::sea_query::Expr;
use sea_orm::{ColumnTrait as _, EntityTrait as _, QueryFilter as _};

use super::people::{AccessToken, Session, access_token_from, session_from};
use super::tx::Tx;
use super::{Page, Reader, Slice, StoreError, entity, ms};
use crate::domain::Timestamp;
use crate::domain::id::{AccessTokenId, SessionId, UserId};
use entity::{access_token, session};

impl Reader {
    /// An account's sessions that have not expired, the newest first. Who may see them is for the caller to say.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn sessions_of(
        &self,
        account: UserId,
        now: Timestamp,
        page: Page,
    ) -> Result<Slice<Session>, StoreError> {
        let query = session::Entity::find()
            .filter(session::Column::AccountId.eq(account.0))
            .filter(session::Column::ExpiresAt.gt(ms(now)));
        self.page(query, session::Column::Id, page, |row| Ok(session_from(row))).await
    }

    /// An account's access tokens that have not expired, the newest first. Who may see them is for the caller to say.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn access_tokens_of(
        &self,
        account: UserId,
        now: Timestamp,
        page: Page,
    ) -> Result<Slice<AccessToken>, StoreError> {
        let query = access_token::Entity::find()
            .filter(access_token::Column::AccountId.eq(account.0))
            .filter(access_token::Column::ExpiresAt.gt(ms(now)));
        self.page(query, access_token::Column::Id, page, |row| Ok(access_token_from(row))).await
    }

    /// These sessions that have not expired, whosever they are.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn sessions_by_id(
        &self,
        ids: &[SessionId],
        now: Timestamp,
    ) -> Result<Vec<Session>, StoreError> {
        let query = session::Entity::find()
            .filter(session::Column::Id.is_in(ids.iter().map(|id| id.0)))
            .filter(session::Column::ExpiresAt.gt(ms(now)));
        Ok(query.all(self.conn()).await?.into_iter().map(session_from).collect())
    }

    /// These access tokens that have not expired, whosever they are.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn access_tokens_by_id(
        &self,
        ids: &[AccessTokenId],
        now: Timestamp,
    ) -> Result<Vec<AccessToken>, StoreError> {
        let query = access_token::Entity::find()
            .filter(access_token::Column::Id.is_in(ids.iter().map(|id| id.0)))
            .filter(access_token::Column::ExpiresAt.gt(ms(now)));
        Ok(query.all(self.conn()).await?.into_iter().map(access_token_from).collect())
    }
}

impl Tx {
    /// Credentials were given to a session again.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn freshen_session(&mut self, id: SessionId) -> Result<(), StoreError> {
        session::Entity::update_many()
            .col_expr(session::Column::FreshAt, Expr::value(self.now_ms()))
            .filter(session::Column::Id.eq(id.0))
            .exec(&self.txn)
            .await?;
        Ok(())
    }

    /// Whose session this is.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn session_holder(&self, id: SessionId) -> Result<Option<UserId>, StoreError> {
        let row = session::Entity::find_by_id(id.0).one(&self.txn).await?;
        Ok(row.map(|row| UserId(row.account_id)))
    }

    /// Whose access token this is.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn access_token_holder(&self, id: AccessTokenId) -> Result<Option<UserId>, StoreError> {
        let row = access_token::Entity::find_by_id(id.0).one(&self.txn).await?;
        Ok(row.map(|row| UserId(row.account_id)))
    }
}
