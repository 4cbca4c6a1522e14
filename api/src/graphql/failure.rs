//! The error log: what failed between two instances, its remedy, and the traces on both sides.

use async_graphql::{ComplexObject, Context, ID, Object, Result, SimpleObject};

use super::ask::{Ask, ours};
use super::id::{Kind, subject_id};
use super::node::Node;
use super::page::{List, Window, cost, list};
use super::refusal::{Remedy, docs_url};
use super::scan::CheckSubject;
use super::words::{FailedOperation, RefusalCode};
use crate::domain::Timestamp;
use crate::domain::id::{ConnectionId, FailureId, RegistrationId};
use crate::domain::scan::Subject;
use crate::store::FailureRecord;

/// Something that failed about a registration or a connection. The same failure again is counted.
#[derive(SimpleObject)]
#[graphql(complex)]
pub(super) struct ErrorLogEntry {
    #[graphql(skip)]
    id: FailureId,
    #[graphql(skip)]
    about: Subject,
    /// What was tried.
    operation: FailedOperation,
    /// The operation in words.
    operation_label: &'static str,
    /// Stable code of why.
    code: RefusalCode,
    /// The code in words.
    code_label: &'static str,
    /// A finer, stable distinction within the code.
    reason: Option<String>,
    /// What happened, for people.
    message: String,
    /// What to do about it.
    remedy: Remedy,
    /// Where the code is explained.
    docs_url: String,
    /// How often it happened.
    count: i64,
    /// When first.
    first_at: Timestamp,
    /// When last.
    last_at: Timestamp,
    /// Leads to the log of this instance, for the last time (W3C Trace Context, 32 hexadecimal digits).
    trace_id: String,
    /// Leads to the peer's log, where it answered: the same number, because the trace goes with each message.
    peer_trace_id: Option<String>,
    /// The registration or connection that it was about; null when it was this instance itself.
    subject_id: Option<ID>,
}

#[ComplexObject]
impl ErrorLogEntry {
    /// Global id: the same while the same failure is counted.
    pub(super) async fn id(&self) -> ID {
        Kind::ErrorLogEntry.id(self.id.0)
    }

    /// What it was about; null when that is gone.
    async fn subject(&self, ctx: &Context<'_>) -> Result<Option<CheckSubject>> {
        CheckSubject::load(&Ask::anyone(ctx)?, self.about).await
    }
}

impl ErrorLogEntry {
    pub(super) fn new(ask: &Ask<'_>, record: FailureRecord) -> Self {
        let failed = record.failed;
        let remedy = failed.remedy.unwrap_or_else(|| failed.code.remedy());
        let slug = failed.code.as_str().to_ascii_lowercase().replace('_', "-");
        Self {
            id: record.id,
            about: failed.subject,
            operation: failed.operation.into(),
            operation_label: failed.operation.label(),
            code: failed.code.into(),
            code_label: failed.code.label(),
            reason: failed.reason,
            message: failed.message,
            remedy: Remedy::new(remedy, Some(failed.subject)),
            docs_url: docs_url(ask, &format!("/docs/refusals/{slug}")),
            count: record.count,
            first_at: record.first_at,
            last_at: record.last_at,
            trace_id: failed.trace.to_string(),
            peer_trace_id: failed.peer_trace.map(|trace| trace.to_string()),
            subject_id: subject_id(failed.subject),
        }
    }
}

/// Queries of the error log.
#[derive(Default)]
pub(super) struct FailureQuery;

#[Object]
impl FailureQuery {
    /// What failed, what happened last first; of one registration or connection, or all that you may see. Kept for 90
    /// days after it last happened.
    #[graphql(complexity = "cost(first, last, child_complexity)")]
    async fn error_log(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Global id of a registration or connection; all when left out.")] subject_id: Option<
            ID,
        >,
        #[graphql(desc = "So many from the start, 250 at most; 50 when nothing is given.")] first: Option<
            i32,
        >,
        #[graphql(desc = "With `first`: after the item with this cursor.")] after: Option<String>,
        #[graphql(desc = "So many from the end, 250 at most.")] last: Option<i32>,
        #[graphql(desc = "With `last`: before the item with this cursor.")] before: Option<String>,
    ) -> Result<List<ErrorLogEntry>> {
        let (ask, page) = (Ask::new(ctx)?, Window { first, after, last, before }.page()?);
        let subject = match &subject_id {
            None => None,
            Some(id) => Some(subject(&ask, id).await?),
        };
        let slice = ask.reader().failures(subject, page).await.map_err(ours)?;
        Ok(list(slice, |record| record.id.0, |record| ErrorLogEntry::new(&ask, record)))
    }
}

/// The subject with this id, which must be the requester's to see.
async fn subject(ask: &Ask<'_>, id: &ID) -> Result<Subject> {
    let subjects = [
        (Kind::Registration, Kind::Registration.read(id).map(|id| Subject::Registration(RegistrationId(id)))),
        (Kind::Connection, Kind::Connection.read(id).map(|id| Subject::Connection(ConnectionId(id)))),
    ];
    for (kind, subject) in subjects {
        if let Some(subject) = subject
            && Node::load(ask, kind, subject.id()).await?.is_some()
        {
            return Ok(subject);
        }
    }
    Err(super::error::absent("registration or connection"))
}
