//! Requests for a second person's approval.

use keyservice::Millis;
use keyservice::approval::{Approval, ApprovalState, Subject};
use sea_orm::{
    ColumnTrait as _, Condition, EntityTrait as _, QueryFilter as _, QueryOrder as _, QuerySelect as _, Set,
};
use uuid::Uuid;

use super::tx::Tx;
use super::{Page, Reader, Slice, Store, StoreError, entity, inconsistent};
use crate::domain::id::KeyApprovalId;
use crate::domain::requester::Scope;
use entity::key_approval::{ActiveModel, Column, Entity, Model};

/// A request for approval with its revision, which grows by one with every change.
pub type ApprovalRecord = (Approval, i64);

/// The states that time can end.
const OPEN: [ApprovalState; 2] = [ApprovalState::Pending, ApprovalState::Approved];

fn from_row(row: Model) -> Result<ApprovalRecord, StoreError> {
    let wrong = |column| inconsistent("key_approval", row.id, column);
    let approval = Approval {
        id: row.id.into_bytes(),
        subject: Subject {
            right: row.operation.parse().map_err(|_| wrong("operation"))?,
            module: row.module,
            object: row.object,
        },
        reason: row.reason,
        asked_by: row.asked_by.into_bytes(),
        asked_at: row.asked_at,
        state: row.state.parse().map_err(|_| wrong("state"))?,
        answered_by: row.answered_by.map(Uuid::into_bytes),
        answered_at: row.answered_at,
        answer: row.answer,
        ended_at: row.ended_at,
    };
    approval.check().map_err(|_| wrong("state"))?;
    Ok((approval, row.revision))
}

fn to_row(approval: &Approval, revision: i64) -> ActiveModel {
    ActiveModel {
        id: Set(Uuid::from_bytes(approval.id)),
        operation: Set(approval.subject.right.to_string()),
        module: Set(approval.subject.module.clone()),
        object: Set(approval.subject.object.clone()),
        reason: Set(approval.reason.clone()),
        asked_by: Set(Uuid::from_bytes(approval.asked_by)),
        asked_at: Set(approval.asked_at),
        state: Set(approval.state.to_string()),
        answered_by: Set(approval.answered_by.map(Uuid::from_bytes)),
        answered_at: Set(approval.answered_at),
        answer: Set(approval.answer.clone()),
        ended_at: Set(approval.ended_at),
        expires_at: Set(approval.expires_at()),
        revision: Set(revision),
    }
}

/// Requests that are in this state now, whether or not it was written down that time ended them.
fn in_state(state: ApprovalState, now: Millis) -> Condition {
    let is = Condition::all().add(Column::State.eq(state.as_str()));
    if OPEN.contains(&state) {
        return is.add(Column::ExpiresAt.gt(now));
    }
    if state == ApprovalState::Expired { Condition::any().add(is).add(lapsed(now)) } else { is }
}

fn lapsed(now: Millis) -> Condition {
    Condition::all().add(Column::State.is_in(OPEN.map(ApprovalState::as_str))).add(Column::ExpiresAt.lte(now))
}

impl Store {
    /// Requests for approval, the newest first, that are in this state now and concern this key module; all when none
    /// is named.
    ///
    /// # Errors
    /// When the database does not answer, or a row cannot be a request.
    pub async fn key_approvals(
        &self,
        (state, module): (Option<ApprovalState>, Option<&str>),
        now: Millis,
        page: Page,
    ) -> Result<Slice<ApprovalRecord>, StoreError> {
        let mut query = Entity::find().limit(page.limit + 1);
        if let Some(state) = state {
            query = query.filter(in_state(state, now));
        }
        if let Some(module) = module {
            query = query.filter(Column::Module.eq(module));
        }
        query = match (page.beyond, page.backward) {
            (Some(beyond), false) => query.filter(Column::Id.lt(beyond)),
            (Some(beyond), true) => query.filter(Column::Id.gt(beyond)),
            (None, _) => query,
        };
        query = if page.backward { query.order_by_asc(Column::Id) } else { query.order_by_desc(Column::Id) };
        let rows = query.all(&self.read).await?;
        Ok(page.slice(rows.into_iter().map(from_row).collect::<Result<_, _>>()?))
    }

    /// A request for approval.
    ///
    /// # Errors
    /// When the database does not answer, or the row cannot be a request.
    pub async fn key_approval(&self, id: KeyApprovalId) -> Result<Option<ApprovalRecord>, StoreError> {
        Entity::find_by_id(id.0).one(&self.read).await?.map(from_row).transpose()
    }
}

impl Reader {
    /// A request for approval; for our own people.
    ///
    /// # Errors
    /// When the database does not answer, or the row cannot be a request.
    pub async fn key_approval(&self, id: KeyApprovalId) -> Result<Option<ApprovalRecord>, StoreError> {
        if matches!(self.scope(), Scope::Company(_)) {
            return Ok(None);
        }
        Entity::find_by_id(id.0).one(self.conn()).await?.map(from_row).transpose()
    }
}

impl Tx {
    /// A request for approval.
    ///
    /// # Errors
    /// When the database does not answer, or the row cannot be a request.
    pub async fn key_approval(&self, id: KeyApprovalId) -> Result<Option<ApprovalRecord>, StoreError> {
        Entity::find_by_id(id.0).one(&self.txn).await?.map(from_row).transpose()
    }

    /// Requests that time ended and of which that is not written yet, at most so many.
    ///
    /// # Errors
    /// When the database does not answer, or a row cannot be a request.
    pub async fn lapsed_approvals(&self, limit: u64) -> Result<Vec<ApprovalRecord>, StoreError> {
        let query = Entity::find().filter(lapsed(self.now_ms())).order_by_asc(Column::Id).limit(limit);
        query.all(&self.txn).await?.into_iter().map(from_row).collect()
    }

    /// How many requests of a person wait for an answer.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn pending_approvals(&self, asked_by: [u8; 16]) -> Result<u64, StoreError> {
        use sea_orm::PaginatorTrait as _;
        let query = Entity::find()
            .filter(in_state(ApprovalState::Pending, self.now_ms()))
            .filter(Column::AskedBy.eq(Uuid::from_bytes(asked_by)));
        Ok(query.count(&self.txn).await?)
    }

    /// Adds a request for approval.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn add_approval(&mut self, approval: &Approval) -> Result<(), StoreError> {
        Entity::insert(to_row(approval, 1)).exec_without_returning(&self.txn).await?;
        Ok(())
    }

    /// Saves a request for approval over the revision it was read at.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when somebody else changed it meanwhile.
    pub async fn save_approval(&mut self, approval: &Approval, revision: i64) -> Result<(), StoreError> {
        let saved = Entity::update_many()
            .set(to_row(approval, revision + 1))
            .filter(Column::Id.eq(Uuid::from_bytes(approval.id)))
            .filter(Column::Revision.eq(revision))
            .exec(&self.txn)
            .await?;
        if saved.rows_affected == 0 {
            return Err(StoreError::Conflict("request for approval"));
        }
        Ok(())
    }
}
