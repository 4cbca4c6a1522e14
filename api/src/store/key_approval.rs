//! Requests for a second person's approval. Each is sealed by the key service, and the audit trail has an entry for each
//! of its changes: whoever edits a row, or puts an older one back, approves nothing.

use keyservice::Millis;
use keyservice::approval::{Approval, ApprovalState, Subject};
use sea_orm::{
    ColumnTrait as _, Condition, EntityTrait as _, QueryFilter as _, QueryOrder as _, QuerySelect as _, Set,
};
use uuid::Uuid;

use super::registration::bytes;
use super::tx::Tx;
use super::{Page, Reader, Slice, Store, StoreError, entity, inconsistent};
use crate::domain::id::KeyApprovalId;
use entity::key_approval::{ActiveModel, Column, Entity, Model};

/// A request for approval as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApprovalRecord {
    /// The request. What the database says; whoever acts on it looks at the seal first.
    pub approval: Approval,
    /// Grows by one with every change, from 1.
    pub revision: i64,
    /// The seal over both; none for a request from before there were seals.
    pub seal: Option<[u8; 32]>,
}

/// What an audit entry about a request is about.
pub const APPROVAL_KIND: &str = "KEY_APPROVAL";
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
    approval.check().map_err(|_| tampered(row.id))?;
    Ok(ApprovalRecord { approval, revision: row.revision, seal: bytes(row.seal.as_deref()) })
}

/// What is said of a request that is not as this instance wrote it.
#[must_use]
pub fn tampered(id: Uuid) -> StoreError {
    StoreError::Tampered { what: format!("request for approval {id}") }
}

fn to_row(approval: &Approval, revision: i64, seal: &[u8; 32]) -> ActiveModel {
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
        seal: Set(Some(seal.to_vec())),
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
    /// Requests for approval, the newest first, that are in one of these states now and concern this key module; all when
    /// none is named.
    ///
    /// # Errors
    /// When the database does not answer, or a row cannot be a request.
    pub async fn key_approvals(
        &self,
        (states, module): (&[ApprovalState], Option<&str>),
        now: Millis,
        page: Page,
    ) -> Result<Slice<ApprovalRecord>, StoreError> {
        let mut query = Entity::find().limit(page.limit + 1);
        if !states.is_empty() {
            let any = Condition::any();
            query = query.filter(states.iter().fold(any, |any, state| any.add(in_state(*state, now))));
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
    /// A request for approval; for whoever may read metadata of keys.
    ///
    /// # Errors
    /// When the database does not answer, or the row cannot be a request.
    pub async fn key_approval(&self, id: KeyApprovalId) -> Result<Option<ApprovalRecord>, StoreError> {
        if !self.reads_keys() {
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

    /// How many entries the audit trail has about a request: one for each of its revisions, unless somebody put an
    /// older row back.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn approval_entries(&self, id: KeyApprovalId) -> Result<i64, StoreError> {
        use sea_orm::PaginatorTrait as _;
        let query = entity::audit::Entity::find()
            .filter(entity::audit::Column::ObjectId.eq(id.0.to_string()))
            .filter(entity::audit::Column::ObjectKind.eq(APPROVAL_KIND));
        Ok(i64::try_from(query.count(&self.txn).await?).unwrap_or(i64::MAX))
    }

    /// Requests that time ended and of which that is not written yet, at most so many. A row that cannot be a request
    /// is passed over: the others are not to wait for it.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn lapsed_approvals(&self, limit: u64) -> Result<Vec<ApprovalRecord>, StoreError> {
        let query = Entity::find().filter(lapsed(self.now_ms())).order_by_asc(Column::Id).limit(limit);
        let found = query.all(&self.txn).await?.into_iter().map(from_row);
        Ok(found
            .filter_map(|record| record.inspect_err(|error| tracing::error!(%error, "not expired")).ok())
            .collect())
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

    /// Adds a request for approval, in its revision 1.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn add_approval(&mut self, approval: &Approval, seal: &[u8; 32]) -> Result<(), StoreError> {
        Entity::insert(to_row(approval, 1, seal)).exec_without_returning(&self.txn).await?;
        Ok(())
    }

    /// Saves the next revision of a request for approval.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when somebody else changed it meanwhile.
    pub async fn save_approval(
        &mut self,
        approval: &Approval,
        revision: i64,
        seal: &[u8; 32],
    ) -> Result<(), StoreError> {
        let saved = Entity::update_many()
            .set(to_row(approval, revision, seal))
            .filter(Column::Id.eq(Uuid::from_bytes(approval.id)))
            .filter(Column::Revision.eq(revision - 1))
            .exec(&self.txn)
            .await?;
        if saved.rows_affected == 0 {
            return Err(StoreError::Conflict("request for approval"));
        }
        Ok(())
    }
}
