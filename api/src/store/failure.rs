//! What failed, with its remedy and the traces on both sides. The same failure again is counted.

use sea_orm::sea_query::{Expr, ExprTrait as _, OnConflict};
use sea_orm::{ColumnTrait as _, EntityTrait as _, QueryFilter as _, QueryOrder as _, QuerySelect as _, Set};

use super::ordered::Sorting;
use super::tx::Tx;
use super::{Page, Reader, Slice, StoreError, at, entity, inconsistent, json as stored, ms};
use crate::domain::Timestamp;
use crate::domain::check::Remedy;
use crate::domain::failure::Operation;
use crate::domain::id::{CompanyId, FailureId, TraceId};
use crate::domain::refusal::RefusalCode;
use crate::domain::scan::Subject;
use entity::failure::{ActiveModel, Column, Entity, Model};

/// The most characters of a failure's message that are kept.
const MESSAGE_LENGTH: usize = 500;

/// Something that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failed {
    /// What it was about.
    pub subject: Subject,
    /// The company whose people may see it.
    pub company: Option<CompanyId>,
    /// What was tried.
    pub operation: Operation,
    /// The stable code of why.
    pub code: RefusalCode,
    /// A finer distinction within the code.
    pub reason: Option<String>,
    /// What happened, for people.
    pub message: String,
    /// What to do about it.
    pub remedy: Option<Remedy>,
    /// The trace here.
    pub trace: TraceId,
    /// The trace in the peer's log, where it answered.
    pub peer_trace: Option<TraceId>,
}

/// A line of the error log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailureRecord {
    /// Which one.
    pub id: FailureId,
    /// What failed, the last time.
    pub failed: Failed,
    /// How often.
    pub count: i64,
    /// When first.
    pub first_at: Timestamp,
    /// When last.
    pub last_at: Timestamp,
}

fn from_row(row: Model) -> Result<FailureRecord, StoreError> {
    let wrong = |column| inconsistent("failure", row.id, column);
    Ok(FailureRecord {
        id: FailureId(row.id),
        failed: Failed {
            subject: Subject::parse(&row.subject_kind, row.subject_id)
                .ok_or_else(|| wrong("subject_kind"))?,
            company: row.company_id.map(CompanyId),
            operation: Operation::parse(&row.operation).ok_or_else(|| wrong("operation"))?,
            code: RefusalCode::parse(&row.code).ok_or_else(|| wrong("code"))?,
            reason: Some(row.reason.clone()).filter(|reason| !reason.is_empty()),
            message: row.message.clone(),
            remedy: row
                .remedy
                .as_ref()
                .map(|remedy| stored::remedy_from(remedy).ok_or_else(|| wrong("remedy")))
                .transpose()?,
            trace: TraceId::parse(&row.trace).ok_or_else(|| wrong("trace"))?,
            peer_trace: row.peer_trace.as_deref().and_then(TraceId::parse),
        },
        count: row.seen_count,
        first_at: at(row.first_at),
        last_at: at(row.last_at),
    })
}

impl Tx {
    /// Whether the same failure was written down after then.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn failed_since(&self, failed: &Failed, since: Timestamp) -> Result<bool, StoreError> {
        let same = Entity::find()
            .filter(Column::SubjectKind.eq(failed.subject.kind()))
            .filter(Column::SubjectId.eq(failed.subject.id()))
            .filter(Column::Operation.eq(failed.operation.as_str()))
            .filter(Column::Code.eq(failed.code.as_str()))
            .filter(Column::Reason.eq(failed.reason.as_deref().unwrap_or_default()))
            .filter(Column::LastAt.gt(ms(since)));
        Ok(same.one(&self.txn).await?.is_some())
    }

    /// Writes down what failed.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn record_failure(&mut self, failed: &Failed) -> Result<(), StoreError> {
        let row = ActiveModel {
            id: Set(self.uuid()?),
            subject_kind: Set(failed.subject.kind().to_owned()),
            subject_id: Set(failed.subject.id()),
            company_id: Set(failed.company.map(|id| id.0)),
            operation: Set(failed.operation.as_str().to_owned()),
            code: Set(failed.code.as_str().to_owned()),
            reason: Set(failed.reason.clone().unwrap_or_default()),
            message: Set(failed.message.chars().take(MESSAGE_LENGTH).collect()),
            remedy: Set(failed.remedy.as_ref().map(stored::remedy_to)),
            trace: Set(failed.trace.to_string()),
            peer_trace: Set(failed.peer_trace.map(|trace| trace.to_string())),
            seen_count: Set(1),
            first_at: Set(self.now_ms()),
            last_at: Set(self.now_ms()),
        };
        let same = [Column::SubjectKind, Column::SubjectId, Column::Operation, Column::Code, Column::Reason];
        let again = OnConflict::columns(same)
            .update_columns([
                Column::CompanyId,
                Column::Message,
                Column::Remedy,
                Column::Trace,
                Column::PeerTrace,
                Column::LastAt,
            ])
            .value(Column::SeenCount, Expr::col((Entity, Column::SeenCount)).add(1))
            .to_owned();
        Entity::insert(row).on_conflict(again).exec_without_returning(&self.txn).await?;
        Ok(())
    }
}

impl Reader {
    /// A page of what failed about this subject, what was seen last first.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn failures(
        &self,
        subject: Option<Subject>,
        page: Page,
    ) -> Result<Slice<FailureRecord>, StoreError> {
        let mut query = Entity::find();
        if let Some(subject) = subject {
            query = query
                .filter(Column::SubjectKind.eq(subject.kind()))
                .filter(Column::SubjectId.eq(subject.id()));
        }
        let Some(query) = self.scoped(query, Column::CompanyId) else { return Ok(page.slice(Vec::new())) };
        let last_seen = Sorting { by: Some("row.last_at"), ..Sorting::newest("failure") };
        self.sorted(query, last_seen, page, from_row).await
    }

    /// These lines of the error log, as far as they may be seen.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn failures_by_id(&self, ids: &[FailureId]) -> Result<Vec<FailureRecord>, StoreError> {
        let query = Entity::find().filter(Column::Id.is_in(ids.iter().map(|id| id.0)));
        let Some(query) = self.scoped(query, Column::CompanyId) else { return Ok(Vec::new()) };
        query.all(self.conn()).await?.into_iter().map(from_row).collect()
    }

    /// The latest failures of each of these subjects, at most `limit` in all, the latest first.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn latest_failures(
        &self,
        of: &[Subject],
        limit: u64,
    ) -> Result<Vec<FailureRecord>, StoreError> {
        let ids = of.iter().map(|subject| subject.id());
        let query = Entity::find().filter(Column::SubjectId.is_in(ids));
        let Some(query) = self.scoped(query, Column::CompanyId) else { return Ok(Vec::new()) };
        let rows = query.order_by_desc(Column::LastAt).limit(limit).all(self.conn()).await?;
        rows.into_iter().map(from_row).collect()
    }
}
