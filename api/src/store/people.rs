//! Companies, accounts, roles, sessions, one-time codes and access tokens.

use std::collections::{BTreeMap, BTreeSet};

use sea_orm::sea_query::{Expr, ExprTrait as _, OnConflict};
use sea_orm::{
    ColumnTrait as _, ConnectionTrait, EntityTrait as _, QueryFilter as _, QueryOrder as _, QuerySelect as _,
    Set,
};
use serde_json::json;
use uuid::Uuid;

use super::change::{ChangeKind, SubjectKind};
use super::tx::{PendingAudit, Tx};
use super::{Store, StoreError, at, entity, inconsistent, ms, role, unique};
use crate::domain::Timestamp;
use crate::domain::id::{AccessTokenId, CompanyId, SessionId, UserId};
use crate::domain::requester::Role;
use entity::{access_token, account, account_role, company, session, sign_in_code};

/// The other organisation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Company {
    /// Who it is.
    pub id: CompanyId,
    /// Unique name.
    pub name: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// Grows by one with every change.
    pub revision: i64,
}

/// A person's or program's account. The password's hash stays inside the store's callers and has no `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct Account {
    /// Who it is.
    pub id: UserId,
    /// Mail address and sign-in name.
    pub email: String,
    /// Name for people.
    pub name: String,
    /// Argon2id PHC string, for those who have a password.
    pub password_hash: Option<String>,
    /// Whether it may sign in.
    pub active: bool,
    /// The other organisation it belongs to.
    pub company: Option<CompanyId>,
    /// When it was made.
    pub created_at: Timestamp,
    /// Grows by one with every change.
    pub revision: i64,
    /// Granted roles.
    pub roles: BTreeSet<Role>,
}

impl std::fmt::Debug for Account {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Account").field("id", &self.id).field("active", &self.active).finish_non_exhaustive()
    }
}

/// A signed-in browser.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// Which one.
    pub id: SessionId,
    /// Whose.
    pub account: UserId,
    /// Since when.
    pub created_at: Timestamp,
    /// When credentials were last given.
    pub fresh_at: Timestamp,
    /// When it was last used.
    pub seen_at: Timestamp,
    /// When it ends at the latest.
    pub expires_at: Timestamp,
}

/// A program's credentials, without their secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessToken {
    /// Which one.
    pub id: AccessTokenId,
    /// Whose.
    pub account: UserId,
    /// What it is for.
    pub name: String,
    /// Since when.
    pub created_at: Timestamp,
    /// When it ends.
    pub expires_at: Timestamp,
}

pub(super) fn company_from(row: company::Model) -> Company {
    Company { id: CompanyId(row.id), name: row.name, created_at: at(row.created_at), revision: row.revision }
}

pub(super) async fn with_roles(
    conn: &impl ConnectionTrait,
    rows: Vec<account::Model>,
    pending: &[PendingAudit],
) -> Result<Vec<Account>, StoreError> {
    let mut roles: BTreeMap<Uuid, BTreeSet<Role>> = BTreeMap::new();
    if !rows.is_empty() {
        let ids = rows.iter().map(|row| row.id);
        let granted =
            account_role::Entity::find().filter(account_role::Column::AccountId.is_in(ids)).all(conn).await?;
        for row in role::on_record(conn, granted, pending).await? {
            let role =
                Role::parse(&row.role).ok_or_else(|| inconsistent("account_role", row.account_id, "role"))?;
            roles.entry(row.account_id).or_default().insert(role);
        }
    }
    Ok(rows
        .into_iter()
        .map(|row| Account {
            roles: roles.remove(&row.id).unwrap_or_default(),
            id: UserId(row.id),
            email: row.email,
            name: row.name,
            password_hash: row.password_hash,
            active: row.active,
            company: row.company_id.map(CompanyId),
            created_at: at(row.created_at),
            revision: row.revision,
        })
        .collect())
}

async fn one(
    conn: &impl ConnectionTrait,
    row: Option<account::Model>,
    pending: &[PendingAudit],
) -> Result<Option<Account>, StoreError> {
    Ok(with_roles(conn, row.into_iter().collect(), pending).await?.pop())
}

pub(super) fn access_token_from(row: access_token::Model) -> AccessToken {
    AccessToken {
        id: AccessTokenId(row.id),
        account: UserId(row.account_id),
        name: row.name,
        created_at: at(row.created_at),
        expires_at: at(row.expires_at),
    }
}

pub(super) fn session_from(row: session::Model) -> Session {
    Session {
        id: SessionId(row.id),
        account: UserId(row.account_id),
        created_at: at(row.created_at),
        fresh_at: at(row.fresh_at),
        seen_at: at(row.seen_at),
        expires_at: at(row.expires_at),
    }
}

impl Tx {
    /// The one company of this instance; none when there are several, or none.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn only_company(&self) -> Result<Option<CompanyId>, StoreError> {
        let rows = company::Entity::find().limit(2).all(&self.txn).await?;
        Ok(match rows.as_slice() {
            [one] => Some(CompanyId(one.id)),
            _ => None,
        })
    }
}

impl Store {
    /// The account with this id, for signing in.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn account(&self, id: UserId) -> Result<Option<Account>, StoreError> {
        one(&self.read, account::Entity::find_by_id(id.0).one(&self.read).await?, &[]).await
    }

    /// These accounts, as far as they are of our own people and may sign in.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn our_people(&self, ids: &[UserId]) -> Result<Vec<Account>, StoreError> {
        let query = account::Entity::find()
            .filter(account::Column::Id.is_in(ids.iter().map(|id| id.0)))
            .filter(account::Column::CompanyId.is_null())
            .filter(account::Column::Active.eq(true));
        with_roles(&self.read, query.all(&self.read).await?, &[]).await
    }

    /// The account with this address (already normalised), for signing in.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn account_by_email(&self, email: &str) -> Result<Option<Account>, StoreError> {
        one(
            &self.read,
            account::Entity::find().filter(account::Column::Email.eq(email)).one(&self.read).await?,
            &[],
        )
        .await
    }

    /// The session with this digest of its cookie.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn session(&self, digest: &[u8; 32]) -> Result<Option<Session>, StoreError> {
        let found = session::Entity::find()
            .filter(session::Column::Digest.eq(digest.to_vec()))
            .one(&self.read)
            .await?;
        Ok(found.map(session_from))
    }

    /// The session with this id, for looking whether it still stands.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn session_by_id(&self, id: SessionId) -> Result<Option<Session>, StoreError> {
        Ok(session::Entity::find_by_id(id.0).one(&self.read).await?.map(session_from))
    }

    /// Whose access token this is, and until when it is good, for looking whether it still stands.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn access_token_by_id(
        &self,
        id: AccessTokenId,
    ) -> Result<Option<(UserId, Timestamp)>, StoreError> {
        let found = access_token::Entity::find_by_id(id.0).one(&self.read).await?;
        Ok(found.map(|row| (UserId(row.account_id), at(row.expires_at))))
    }

    /// The access token with this digest: its id, whose it is, and until when it is good.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn access_token(
        &self,
        digest: &[u8; 32],
    ) -> Result<Option<(AccessTokenId, UserId, Timestamp)>, StoreError> {
        let found = access_token::Entity::find()
            .filter(access_token::Column::Digest.eq(digest.to_vec()))
            .one(&self.read)
            .await?;
        Ok(found.map(|row| (AccessTokenId(row.id), UserId(row.account_id), at(row.expires_at))))
    }

    /// Notes that a session was used; written at most once a minute by its caller.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn touch_session(&self, id: SessionId, now: Timestamp) -> Result<(), StoreError> {
        session::Entity::update_many()
            .col_expr(session::Column::SeenAt, Expr::value(ms(now)))
            .filter(session::Column::Id.eq(id.0))
            .exec(&self.write)
            .await?;
        Ok(())
    }
}

impl Tx {
    /// The company with this id.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn company(&self, id: CompanyId) -> Result<Option<Company>, StoreError> {
        Ok(company::Entity::find_by_id(id.0).one(&self.txn).await?.map(company_from))
    }

    /// Makes a company.
    ///
    /// # Errors
    /// [`StoreError::Duplicate`] when the name is taken.
    pub async fn create_company(&mut self, name: &str) -> Result<Company, StoreError> {
        let id = self.uuid()?;
        let row = company::ActiveModel {
            id: Set(id),
            name: Set(name.to_owned()),
            created_at: Set(self.now_ms()),
            revision: Set(1),
        };
        let row = company::Entity::insert(row)
            .exec_with_returning(&self.txn)
            .await
            .map_err(|error| unique(error, "company"))?;
        self.changed(SubjectKind::Company, id, ChangeKind::Created, 1, Some(id), json!({ "name": name }));
        Ok(company_from(row))
    }

    /// The account with this id.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn account(&self, id: UserId) -> Result<Option<Account>, StoreError> {
        one(&self.txn, account::Entity::find_by_id(id.0).one(&self.txn).await?, &self.audits).await
    }

    /// The account with this address (already normalised).
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn account_by_email(&self, email: &str) -> Result<Option<Account>, StoreError> {
        let found = account::Entity::find().filter(account::Column::Email.eq(email)).one(&self.txn).await?;
        one(&self.txn, found, &self.audits).await
    }

    /// All accounts with a role, for letters to administrators.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn accounts_with(&self, role: Role) -> Result<Vec<Account>, StoreError> {
        let holders = account_role::Entity::find()
            .filter(account_role::Column::Role.eq(role.as_str()))
            .order_by_asc(account_role::Column::AccountId)
            .all(&self.txn)
            .await?;
        let ids = holders.into_iter().map(|row| row.account_id);
        with_roles(
            &self.txn,
            account::Entity::find().filter(account::Column::Id.is_in(ids)).all(&self.txn).await?,
            &self.audits,
        )
        .await
    }

    /// Keeps others from changing the accounts that hold a role, until the end of the transaction: what is read of
    /// them afterwards is how they stand. On SQLite there is one writer in any case.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn hold_accounts_with(&self, role: Role) -> Result<(), StoreError> {
        let holders = sea_orm::sea_query::Query::select()
            .column(account_role::Column::AccountId)
            .from(account_role::Entity)
            .and_where(account_role::Column::Role.eq(role.as_str()))
            .to_owned();
        account::Entity::find()
            .filter(account::Column::Id.in_subquery(holders))
            .order_by_asc(account::Column::Id)
            .lock_exclusive()
            .all(&self.txn)
            .await?;
        Ok(())
    }

    /// Makes an account.
    ///
    /// # Errors
    /// [`StoreError::Duplicate`] when the address is taken.
    pub async fn create_account(
        &mut self,
        email: &str,
        name: &str,
        company: Option<CompanyId>,
        password_hash: Option<String>,
    ) -> Result<UserId, StoreError> {
        let id = self.uuid()?;
        let row = account::ActiveModel {
            id: Set(id),
            email: Set(email.to_owned()),
            name: Set(name.to_owned()),
            password_hash: Set(password_hash),
            active: Set(true),
            company_id: Set(company.map(|id| id.0)),
            created_at: Set(self.now_ms()),
            revision: Set(1),
        };
        account::Entity::insert(row)
            .exec_without_returning(&self.txn)
            .await
            .map_err(|error| unique(error, "account"))?;
        let company = company.map(|id| id.0);
        self.changed(SubjectKind::Account, id, ChangeKind::Created, 1, company, json!({}));
        Ok(UserId(id))
    }

    /// Saves an account's name, activity and password hash, if nobody changed it since it was read.
    ///
    /// # Errors
    /// [`StoreError::Conflict`].
    pub async fn save_account(&mut self, account: &Account) -> Result<(), StoreError> {
        let saved = account::Entity::update_many()
            .col_expr(account::Column::Name, Expr::value(account.name.clone()))
            .col_expr(account::Column::Active, Expr::value(account.active))
            .col_expr(account::Column::Email, Expr::value(account.email.clone()))
            .col_expr(account::Column::PasswordHash, Expr::value(account.password_hash.clone()))
            .col_expr(account::Column::Revision, Expr::value(account.revision + 1))
            .filter(account::Column::Id.eq(account.id.0))
            .filter(account::Column::Revision.eq(account.revision))
            .exec(&self.txn)
            .await?;
        if saved.rows_affected == 0 {
            return Err(StoreError::Conflict("account"));
        }
        let company = account.company.map(|id| id.0);
        self.changed(
            SubjectKind::Account,
            account.id.0,
            ChangeKind::Updated,
            account.revision + 1,
            company,
            json!({}),
        );
        Ok(())
    }

    /// Grants a role; granted again, it changes nothing.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn grant_role(&mut self, account: UserId, role: Role) -> Result<(), StoreError> {
        let row = account_role::ActiveModel {
            account_id: Set(account.0),
            role: Set(role.as_str().to_owned()),
            granted_by: Set(self.cause.requester.actor()),
            granted_at: Set(self.now_ms()),
        };
        let known = OnConflict::columns([account_role::Column::AccountId, account_role::Column::Role])
            .do_nothing()
            .to_owned();
        account_role::Entity::insert(row).on_conflict(known).exec_without_returning(&self.txn).await?;
        Ok(())
    }

    /// Takes a role back.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn revoke_role(&mut self, account: UserId, role: Role) -> Result<(), StoreError> {
        account_role::Entity::delete_by_id((account.0, role.as_str().to_owned())).exec(&self.txn).await?;
        Ok(())
    }

    /// Begins a session.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn create_session(
        &mut self,
        account: UserId,
        digest: [u8; 32],
        expires_at: Timestamp,
    ) -> Result<SessionId, StoreError> {
        let (id, now) = (self.uuid()?, self.now_ms());
        let row = session::ActiveModel {
            id: Set(id),
            digest: Set(digest.to_vec()),
            account_id: Set(account.0),
            created_at: Set(now),
            fresh_at: Set(now),
            seen_at: Set(now),
            expires_at: Set(ms(expires_at)),
        };
        session::Entity::insert(row).exec_without_returning(&self.txn).await?;
        Ok(SessionId(id))
    }

    /// Ends a session.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn end_session(&mut self, id: SessionId) -> Result<(), StoreError> {
        session::Entity::delete_by_id(id.0).exec(&self.txn).await?;
        Ok(())
    }

    /// Ends all sessions and access tokens of an account, as when it is switched off.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn end_all_sessions(&mut self, account: UserId) -> Result<(), StoreError> {
        session::Entity::delete_many()
            .filter(session::Column::AccountId.eq(account.0))
            .exec(&self.txn)
            .await?;
        access_token::Entity::delete_many()
            .filter(access_token::Column::AccountId.eq(account.0))
            .exec(&self.txn)
            .await?;
        Ok(())
    }

    /// Makes a one-time code; an earlier one with this id, which names account and browser, is void.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn create_code(
        &mut self,
        id: Uuid,
        account: UserId,
        digest: [u8; 32],
        tries: i64,
        expires_at: Timestamp,
    ) -> Result<(), StoreError> {
        sign_in_code::Entity::delete_by_id(id).exec(&self.txn).await?;
        let row = sign_in_code::ActiveModel {
            id: Set(id),
            account_id: Set(account.0),
            digest: Set(digest.to_vec()),
            tries_left: Set(tries),
            created_at: Set(self.now_ms()),
            expires_at: Set(ms(expires_at)),
        };
        sign_in_code::Entity::insert(row).exec_without_returning(&self.txn).await?;
        Ok(())
    }

    /// Uses a try of this code up, and says its digest: one statement, so that two tries at once count as two. None
    /// when there is no good code left.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn try_code(&mut self, id: Uuid) -> Result<Option<[u8; 32]>, StoreError> {
        let used = sign_in_code::Entity::update_many()
            .col_expr(sign_in_code::Column::TriesLeft, Expr::col(sign_in_code::Column::TriesLeft).sub(1))
            .filter(sign_in_code::Column::Id.eq(id))
            .filter(sign_in_code::Column::TriesLeft.gt(0))
            .filter(sign_in_code::Column::ExpiresAt.gt(self.now_ms()))
            .exec_with_returning(&self.txn)
            .await?;
        Ok(used.into_iter().next().and_then(|row| row.digest.try_into().ok()))
    }

    /// A code of the account was used: all of its codes are void.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn use_code(&mut self, account: UserId) -> Result<(), StoreError> {
        sign_in_code::Entity::delete_many()
            .filter(sign_in_code::Column::AccountId.eq(account.0))
            .exec(&self.txn)
            .await?;
        Ok(())
    }

    /// Makes an access token.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn create_access_token(
        &mut self,
        account: UserId,
        name: &str,
        digest: [u8; 32],
        expires_at: Timestamp,
    ) -> Result<AccessToken, StoreError> {
        let id = self.uuid()?;
        let row = access_token::ActiveModel {
            id: Set(id),
            account_id: Set(account.0),
            name: Set(name.to_owned()),
            digest: Set(digest.to_vec()),
            created_at: Set(self.now_ms()),
            expires_at: Set(ms(expires_at)),
            used_at: Set(None),
        };
        let row = access_token::Entity::insert(row).exec_with_returning(&self.txn).await?;
        Ok(access_token_from(row))
    }

    /// Takes an access token back; answers whether it was the account's.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn revoke_access_token(
        &mut self,
        account: UserId,
        id: AccessTokenId,
    ) -> Result<bool, StoreError> {
        let gone = access_token::Entity::delete_many()
            .filter(access_token::Column::Id.eq(id.0))
            .filter(access_token::Column::AccountId.eq(account.0))
            .exec(&self.txn)
            .await?;
        Ok(gone.rows_affected > 0)
    }
}
