//! Attempts: runs of onboarding, with what they have worked out.

use sea_orm::sea_query::{Expr, ExprTrait as _};
use sea_orm::{ColumnTrait as _, EntityTrait as _, QueryFilter as _, QueryOrder as _, QuerySelect as _, Set};
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use super::change::{ChangeKind, SubjectKind};
use super::tx::Tx;
use super::{StoreError, at, entity, inconsistent, json as stored, ms};
use crate::domain::attempt::{Attempt, AttemptState};
use crate::domain::id::{AttemptId, CompanyId, ConnectionId, UserId};
use entity::attempt;

/// What an attempt has worked out so far; nothing in it is secret. Absent parts are not there yet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AttemptWork {
    /// The claim, as the provider named it.
    pub claim: Option<Uuid>,
    /// The nonce of the claim, so that the same claim is sent again.
    pub claim_nonce: Option<String>,
    /// Where the contact approves.
    pub authorization_url: Option<String>,
    /// When that address stops working, in milliseconds since the Unix epoch.
    pub authorization_expires_at: Option<i64>,
    /// SHA-256 of the `state` that comes back from there.
    pub state_digest: Option<String>,
    /// Why the contact's approval did not come.
    pub authorization_error: Option<String>,
    /// The provider's id of the company, the contact and the approval.
    pub company: Option<Uuid>,
    /// See `company`.
    pub contact: Option<Uuid>,
    /// See `company`.
    pub auth_event: Option<Uuid>,
    /// The number of the handshake under way.
    pub handshake: Option<i64>,
    /// The third message of the handshake, which is sent until it is answered.
    pub m3: Option<serde_json::Value>,
    /// What is needed to check the fourth, sealed by the key service.
    pub pending: Option<String>,
    /// The key that waits for the fourth.
    pub link_key: Option<Uuid>,
}

pub(super) fn from_row(row: attempt::Model) -> Result<(Attempt, AttemptWork), StoreError> {
    let wrong = |column| inconsistent("attempt", row.id, column);
    let attempt = Attempt {
        id: AttemptId(row.id),
        connection: ConnectionId(row.connection_id),
        number: row.number,
        started_by: row.started_by.map(UserId),
        started_at: at(row.started_at),
        state: AttemptState::parse(&row.state).ok_or_else(|| wrong("state"))?,
        phases: stored::phases_from(&row.phases).ok_or_else(|| wrong("phases"))?,
    };
    Ok((attempt, serde_json::from_value(row.work).map_err(|_| inconsistent("attempt", row.id, "work"))?))
}

impl Tx {
    /// The attempt with this id, and what it has worked out.
    ///
    /// # Errors
    /// When the database does not answer, or the row matches no legal state.
    pub async fn attempt(
        &self,
        id: AttemptId,
    ) -> Result<Option<(Attempt, AttemptWork, Option<Vec<u8>>, i64)>, StoreError> {
        let Some(row) = attempt::Entity::find_by_id(id.0).one(&self.txn).await? else { return Ok(None) };
        let (sealed, revision) = (row.sealed.clone(), row.revision);
        let (attempt, work) = from_row(row)?;
        Ok(Some((attempt, work, sealed, revision)))
    }

    /// Adds an attempt; all earlier ones of the connection are removed, as nothing of them is left.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn insert_attempt(
        &mut self,
        attempt: &Attempt,
        company: Option<CompanyId>,
    ) -> Result<(), StoreError> {
        self.discard_attempts(attempt.connection).await?;
        let row = attempt::ActiveModel {
            id: Set(attempt.id.0),
            connection_id: Set(attempt.connection.0),
            number: Set(attempt.number),
            started_by: Set(attempt.started_by.map(|id| id.0)),
            started_at: Set(ms(attempt.started_at)),
            state: Set(attempt.state.as_str().to_owned()),
            phases: Set(stored::phases_to(&attempt.phases)),
            work: Set(json!({})),
            sealed: Set(None),
            revision: Set(1),
        };
        attempt::Entity::insert(row).exec_without_returning(&self.txn).await?;
        self.attempt_changed(attempt, ChangeKind::Created, 1, company);
        Ok(())
    }

    /// Removes all attempts of a connection and their work.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn discard_attempts(&mut self, connection: ConnectionId) -> Result<(), StoreError> {
        let filter = attempt::Column::ConnectionId.eq(connection.0);
        for row in attempt::Entity::find().filter(filter.clone()).all(&self.txn).await? {
            self.forget_work(row.id).await?;
        }
        attempt::Entity::delete_many().filter(filter).exec(&self.txn).await?;
        Ok(())
    }

    /// Removes the attempts of a connection that did not come to their end, and their work.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn discard_unfinished_attempts(&mut self, connection: ConnectionId) -> Result<(), StoreError> {
        let filter = attempt::Column::ConnectionId
            .eq(connection.0)
            .and(attempt::Column::State.ne(AttemptState::Done.as_str()));
        for row in attempt::Entity::find().filter(filter.clone()).all(&self.txn).await? {
            self.forget_work(row.id).await?;
        }
        attempt::Entity::delete_many().filter(filter).exec(&self.txn).await?;
        Ok(())
    }

    /// Saves an attempt with what it worked out, if nobody changed it since it was read.
    ///
    /// # Errors
    /// [`StoreError::Conflict`].
    pub async fn save_attempt(
        &mut self,
        attempt: &Attempt,
        work: &AttemptWork,
        sealed: Option<Vec<u8>>,
        revision: i64,
        company: Option<CompanyId>,
    ) -> Result<(), StoreError> {
        let work = serde_json::to_value(work).map_err(|_| inconsistent("attempt", attempt.id, "work"))?;
        let saved = attempt::Entity::update_many()
            .col_expr(attempt::Column::State, Expr::value(attempt.state.as_str()))
            .col_expr(attempt::Column::StartedBy, Expr::value(attempt.started_by.map(|id| id.0)))
            .col_expr(attempt::Column::Phases, Expr::value(stored::phases_to(&attempt.phases)))
            .col_expr(attempt::Column::Work, Expr::value(work))
            .col_expr(attempt::Column::Sealed, Expr::value(sealed))
            .col_expr(attempt::Column::Revision, Expr::value(revision + 1))
            .filter(attempt::Column::Id.eq(attempt.id.0))
            .filter(attempt::Column::Revision.eq(revision))
            .exec(&self.txn)
            .await?;
        if saved.rows_affected == 0 {
            return Err(StoreError::Conflict("attempt"));
        }
        self.attempt_changed(attempt, ChangeKind::Updated, revision + 1, company);
        Ok(())
    }

    fn attempt_changed(
        &mut self,
        attempt: &Attempt,
        kind: ChangeKind,
        revision: i64,
        company: Option<CompanyId>,
    ) {
        let current = attempt.current();
        let body = json!({
            "state": attempt.state.as_str(),
            "attempt": attempt.number,
            "phase": current.map(|phase| phase.name.as_str()),
            "phaseState": current.map(|phase| phase.state.as_str()),
        });
        self.changed(
            SubjectKind::Onboarding,
            attempt.connection.0,
            kind,
            revision,
            company.map(|id| id.0),
            body,
        );
    }

    /// The numbers of a connection's attempts that were not brought to an end.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn stale_attempts(&self, connection: ConnectionId) -> Result<Vec<i64>, StoreError> {
        Ok(attempt::Entity::find()
            .select_only()
            .column(attempt::Column::Number)
            .filter(attempt::Column::ConnectionId.eq(connection.0))
            .filter(
                attempt::Column::State.is_in([AttemptState::Running.as_str(), AttemptState::Failed.as_str()]),
            )
            .order_by_asc(attempt::Column::Number)
            .into_tuple()
            .all(&self.txn)
            .await?)
    }
}
