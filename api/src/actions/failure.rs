//! The error log: what failed about a registration or a connection, so that whoever looks after it need not read logs.

use super::{Actions, Call, Done};
use crate::domain::connection::Connection;
use crate::domain::explain::remedy_for;
use crate::domain::failure::Operation;
use crate::domain::id::{CompanyId, TraceId};
use crate::domain::refusal::{Refusal, RefusalCode};
use crate::domain::scan::Subject;
use crate::store::Failed;

/// A refusal between two instances, for the error log. The trace goes with each message, so that it is the same on both
/// sides, if the message arrived.
pub(super) fn failed(
    connection: &Connection,
    operation: Operation,
    refusal: &Refusal,
    trace: TraceId,
) -> Failed {
    let remedy = remedy_for(refusal.code, refusal.reason.as_deref(), connection.id);
    let about = (Subject::Connection(connection.id), connection.company);
    let failed = failed_about(about, operation, refusal, trace);
    let reached = refusal.code != RefusalCode::PeerUnreachable;
    Failed { remedy: failed.remedy.or(Some(remedy)), peer_trace: reached.then_some(trace), ..failed }
}

/// A refusal about something, for the error log.
pub(in crate::actions) fn failed_about(
    (subject, company): (Subject, Option<CompanyId>),
    operation: Operation,
    refusal: &Refusal,
    trace: TraceId,
) -> Failed {
    Failed {
        subject,
        company,
        operation,
        code: refusal.code,
        reason: refusal.reason.clone(),
        message: refusal.message.clone(),
        remedy: refusal.remedy.as_deref().cloned(),
        trace,
        peer_trace: None,
    }
}

impl Actions {
    /// Work about something did not succeed.
    pub(crate) async fn log_failure(
        &self,
        call: &Call,
        subject: Subject,
        operation: Operation,
        refusal: &Refusal,
    ) -> Done<()> {
        let mut tx = self.begin("failure.log", call).await?;
        let connection = match subject {
            Subject::Connection(id) => tx.connection(id).await?,
            Subject::Registration(_) | Subject::Instance(_) => None,
        };
        let failed = match connection {
            Some(connection) if operation.is_between_instances() => {
                failed(&connection, operation, refusal, call.trace)
            }
            _ => {
                let company = self.company_of(&tx, subject).await?;
                failed_about((subject, company), operation, refusal, call.trace)
            }
        };
        tx.record_failure(&failed).await?;
        Ok(tx.commit().await?)
    }
}
