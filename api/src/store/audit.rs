//! Who did what to what, when, in a chain in which each entry's hash covers the one before.

use sea_orm::{ConnectionTrait, EntityTrait as _, Set, Statement};
use serde_json::Value;

use super::tx::{Cause, PendingAudit, Tx};
use super::{StoreError, entity, ms};

/// The most rows one statement carries, to stay under the databases' limits on parameters.
const ROWS: usize = 500;

impl Tx {
    /// Writes an audit entry with the fact. `details` must hold no secret.
    pub fn audit(
        &mut self,
        operation: &'static str,
        object_kind: &'static str,
        object_id: impl ToString,
        result: impl Into<String>,
        details: Value,
    ) {
        self.audits.push(PendingAudit {
            operation,
            object_kind,
            object_id: object_id.to_string(),
            result: result.into(),
            details,
        });
    }
}

pub(super) async fn append(
    conn: &impl ConnectionTrait,
    cause: &Cause,
    first: i64,
    mut hash: Vec<u8>,
    entries: Vec<PendingAudit>,
) -> Result<(), StoreError> {
    let (at, actor, trace) = (ms(cause.now), cause.requester.actor(), cause.trace.to_string());
    let mut rows = Vec::with_capacity(entries.len());
    for (entry, n) in entries.into_iter().zip(first..) {
        let details = entry.details.to_string();
        hash = keyservice::pae::hash(&[
            b"linkspan audit",
            &hash,
            &n.to_le_bytes(),
            &at.to_le_bytes(),
            actor.as_bytes(),
            entry.operation.as_bytes(),
            entry.object_kind.as_bytes(),
            entry.object_id.as_bytes(),
            entry.result.as_bytes(),
            trace.as_bytes(),
            details.as_bytes(),
        ])
        .to_vec();
        rows.push(entity::audit::ActiveModel {
            n: Set(n),
            hash: Set(hash.clone()),
            at: Set(at),
            actor: Set(actor.clone()),
            operation: Set(entry.operation.to_owned()),
            object_kind: Set(entry.object_kind.to_owned()),
            object_id: Set(entry.object_id),
            result: Set(entry.result),
            trace: Set(trace.clone()),
            details: Set(entry.details),
        });
    }
    for chunk in rows.chunks(ROWS) {
        entity::audit::Entity::insert_many(chunk.to_vec()).exec_without_returning(conn).await?;
    }
    let sql = "update head set audit_hash = $1 where id = 1";
    conn.execute_raw(Statement::from_sql_and_values(conn.get_database_backend(), sql, [hash.into()])).await?;
    Ok(())
}
