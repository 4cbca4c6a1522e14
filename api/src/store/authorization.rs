//! The authorization server's memory: pushed requests, approvals, codes, tokens, and what was used once.

use sea_orm::sea_query::Expr;
use sea_orm::{ColumnTrait as _, EntityTrait as _, QueryFilter as _, Set};

use super::registration::bytes;
use super::tx::Tx;
use super::{StoreError, at, entity, inconsistent, ms, unique};
use crate::domain::Timestamp;
use crate::domain::id::{AuthorizationId, ClaimId, UserId};
use entity::{authorization_request, replay};

words! {
    /// Where an authorization stands.
    AuthorizationState {
        /// Pushed; the person has not decided.
        Pending = "PENDING", "Pending";
        /// The person allowed it; the code was given out.
        Approved = "APPROVED", "Approved";
        /// The code was redeemed; the token was given out.
        Redeemed = "REDEEMED", "Redeemed";
        /// The person said no.
        Denied = "DENIED", "Denied";
        /// Overtaken by a later request, or taken back.
        Revoked = "REVOKED", "Revoked";
    }
}

/// A pushed authorization request and what became of it (RFC 9126, RFC 6749).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthorizationRequest {
    /// Which one.
    pub id: AuthorizationId,
    /// The claim it is for; also the client's id.
    pub claim: ClaimId,
    /// SHA-256 of the `request_uri`.
    pub request_digest: [u8; 32],
    /// When the `request_uri` stops working.
    pub request_expires_at: Timestamp,
    /// Where the browser goes afterwards.
    pub redirect_uri: String,
    /// PKCE challenge, S256 (RFC 7636).
    pub code_challenge: String,
    /// The client's `state`.
    pub client_state: String,
    /// What is asked for.
    pub scope: String,
    /// Where it stands.
    pub state: AuthorizationState,
    /// Who decided.
    pub account: Option<UserId>,
    /// SHA-256 of the code.
    pub code_digest: Option<[u8; 32]>,
    /// When the code stops working.
    pub code_expires_at: Option<Timestamp>,
    /// SHA-256 of the access token.
    pub token_digest: Option<[u8; 32]>,
    /// When the token stops working.
    pub token_expires_at: Option<Timestamp>,
}

fn from_row(row: authorization_request::Model) -> Result<AuthorizationRequest, StoreError> {
    let wrong = |column| inconsistent("authorization_request", row.id, column);
    let digest = |value: &Option<Vec<u8>>, column| {
        value.as_deref().map(|value| bytes(Some(value)).ok_or_else(|| wrong(column))).transpose()
    };
    Ok(AuthorizationRequest {
        id: AuthorizationId(row.id),
        claim: ClaimId(row.claim_id),
        request_digest: bytes(Some(&row.request_digest)).ok_or_else(|| wrong("request_digest"))?,
        request_expires_at: at(row.request_expires_at),
        redirect_uri: row.redirect_uri.clone(),
        code_challenge: row.code_challenge.clone(),
        client_state: row.client_state.clone(),
        scope: row.scope.clone(),
        state: AuthorizationState::parse(&row.state).ok_or_else(|| wrong("state"))?,
        account: row.account_id.map(UserId),
        code_digest: digest(&row.code_digest, "code_digest")?,
        code_expires_at: row.code_expires_at.map(at),
        token_digest: digest(&row.token_digest, "token_digest")?,
        token_expires_at: row.token_expires_at.map(at),
    })
}

impl Tx {
    /// Adds a pushed request; the claim's earlier ones are void.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn insert_authorization(&mut self, request: &AuthorizationRequest) -> Result<(), StoreError> {
        authorization_request::Entity::update_many()
            .col_expr(authorization_request::Column::State, Expr::value(AuthorizationState::Revoked.as_str()))
            .filter(authorization_request::Column::ClaimId.eq(request.claim.0))
            .exec(&self.txn)
            .await?;
        let row = authorization_request::ActiveModel {
            id: Set(request.id.0),
            claim_id: Set(request.claim.0),
            request_digest: Set(request.request_digest.to_vec()),
            request_expires_at: Set(ms(request.request_expires_at)),
            redirect_uri: Set(request.redirect_uri.clone()),
            code_challenge: Set(request.code_challenge.clone()),
            client_state: Set(request.client_state.clone()),
            scope: Set(request.scope.clone()),
            state: Set(request.state.as_str().to_owned()),
            account_id: Set(request.account.map(|id| id.0)),
            decided_at: Set(None),
            code_digest: Set(None),
            code_expires_at: Set(None),
            token_digest: Set(None),
            token_expires_at: Set(None),
            created_at: Set(self.now_ms()),
        };
        authorization_request::Entity::insert(row).exec_without_returning(&self.txn).await?;
        Ok(())
    }

    /// The request behind a `request_uri`.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn authorization_by_request(
        &self,
        digest: &[u8; 32],
    ) -> Result<Option<AuthorizationRequest>, StoreError> {
        self.authorization_where(authorization_request::Column::RequestDigest, digest).await
    }

    /// The request whose code this is.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn authorization_by_code(
        &self,
        digest: &[u8; 32],
    ) -> Result<Option<AuthorizationRequest>, StoreError> {
        self.authorization_where(authorization_request::Column::CodeDigest, digest).await
    }

    /// The request whose access token this is.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn authorization_by_token(
        &self,
        digest: &[u8; 32],
    ) -> Result<Option<AuthorizationRequest>, StoreError> {
        self.authorization_where(authorization_request::Column::TokenDigest, digest).await
    }

    async fn authorization_where(
        &self,
        column: authorization_request::Column,
        digest: &[u8; 32],
    ) -> Result<Option<AuthorizationRequest>, StoreError> {
        let found =
            authorization_request::Entity::find().filter(column.eq(digest.to_vec())).one(&self.txn).await?;
        found.map(from_row).transpose()
    }

    /// The person decided. Only a pending request can be decided, once.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn decide_authorization(
        &mut self,
        id: AuthorizationId,
        account: UserId,
        code: Option<([u8; 32], Timestamp)>,
    ) -> Result<bool, StoreError> {
        use authorization_request::Column;
        let state = if code.is_some() { AuthorizationState::Approved } else { AuthorizationState::Denied };
        let decided = authorization_request::Entity::update_many()
            .col_expr(Column::State, Expr::value(state.as_str()))
            .col_expr(Column::AccountId, Expr::value(account.0))
            .col_expr(Column::DecidedAt, Expr::value(self.now_ms()))
            .col_expr(Column::CodeDigest, Expr::value(code.map(|(digest, _)| digest.to_vec())))
            .col_expr(Column::CodeExpiresAt, Expr::value(code.map(|(_, until)| ms(until))))
            .filter(Column::Id.eq(id.0))
            .filter(Column::State.eq(AuthorizationState::Pending.as_str()))
            .exec(&self.txn)
            .await?;
        Ok(decided.rows_affected == 1)
    }

    /// The code was redeemed for a token. Only once.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn redeem_authorization(
        &mut self,
        id: AuthorizationId,
        token: [u8; 32],
        until: Timestamp,
    ) -> Result<bool, StoreError> {
        use authorization_request::Column;
        let redeemed = authorization_request::Entity::update_many()
            .col_expr(Column::State, Expr::value(AuthorizationState::Redeemed.as_str()))
            .col_expr(Column::TokenDigest, Expr::value(token.to_vec()))
            .col_expr(Column::TokenExpiresAt, Expr::value(ms(until)))
            .filter(Column::Id.eq(id.0))
            .filter(Column::State.eq(AuthorizationState::Approved.as_str()))
            .exec(&self.txn)
            .await?;
        Ok(redeemed.rows_affected == 1)
    }

    /// Takes an authorization back, whatever it led to.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn revoke_authorization(&mut self, id: AuthorizationId) -> Result<(), StoreError> {
        authorization_request::Entity::update_many()
            .col_expr(authorization_request::Column::State, Expr::value(AuthorizationState::Revoked.as_str()))
            .filter(authorization_request::Column::Id.eq(id.0))
            .exec(&self.txn)
            .await?;
        Ok(())
    }

    /// Marks a value as used until it would no longer be accepted anyway.
    ///
    /// # Errors
    /// [`StoreError::Duplicate`] when it was used before.
    pub async fn use_once(&mut self, scope: &str, value: &str, until: Timestamp) -> Result<(), StoreError> {
        let row = replay::ActiveModel {
            scope: Set(scope.to_owned()),
            value: Set(value.to_owned()),
            expires_at: Set(ms(until)),
        };
        replay::Entity::insert(row)
            .exec_without_returning(&self.txn)
            .await
            .map_err(|error| unique(error, "value"))?;
        Ok(())
    }
}
