//! A transaction: the fact, its changes, its work and its audit entries, or nothing.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use sea_orm::{
    AccessMode, ConnectionTrait, DatabaseTransaction, DbBackend, EntityTrait as _, Set,
    SqliteTransactionMode, Statement, TransactionOptions, TransactionTrait as _,
};

use super::change::{ChangeKind, Head, SubjectKind};
use super::entity;
use super::idempotency::Once;
use super::{CHANGES, ENTRIES, Store, StoreError, audit, ms};
use crate::domain::Timestamp;
use crate::domain::audit::changes_keys;
use crate::domain::id::TraceId;
use crate::domain::requester::Requester;

/// Why a transaction happens: who asked, under which trace, and when.
#[derive(Clone, Debug)]
pub struct Cause {
    /// Who asked.
    pub requester: Requester,
    /// The trace of the request or job.
    pub trace: TraceId,
    /// The one time all of it happened at.
    pub now: Timestamp,
    /// The idempotency key under which it happens, if there is one.
    pub once: Option<Arc<Once>>,
}

pub(super) struct PendingChange {
    pub(super) subject: SubjectKind,
    pub(super) id: uuid::Uuid,
    pub(super) kind: ChangeKind,
    pub(super) revision: i64,
    pub(super) company: Option<uuid::Uuid>,
    pub(super) body: serde_json::Value,
}

pub(super) struct PendingAudit {
    pub(super) operation: &'static str,
    pub(super) object_kind: &'static str,
    pub(super) object_id: String,
    pub(super) result: String,
    pub(super) details: serde_json::Value,
    pub(super) sensitive: Vec<(&'static str, [u8; 32])>,
}

impl PendingAudit {
    /// What the log says of it: the operation, the object, the result.
    fn said(&self) -> (&'static str, String, String) {
        (self.operation, format!("{} {}", self.object_kind, self.object_id), self.result.clone())
    }
}

/// A writing transaction. Dropped without [`Tx::commit`], nothing of it happened.
pub struct Tx {
    pub(super) txn: DatabaseTransaction,
    pub(super) cause: Cause,
    pub(super) changes: Vec<PendingChange>,
    pub(super) audits: Vec<PendingAudit>,
    pub(super) woke: bool,
    pub(super) changed_modules: bool,
    store: Store,
    label: &'static str,
}

impl std::fmt::Debug for Tx {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tx").field("label", &self.label).finish_non_exhaustive()
    }
}

impl Store {
    /// Begins a transaction. The label names the transition in tests and logs.
    ///
    /// # Errors
    /// When the database gives no connection within its time-out.
    pub async fn begin(&self, label: &'static str, cause: &Cause) -> Result<Tx, StoreError> {
        // A reader that turns writer midway could be refused by another process that wrote meanwhile; SQLite is told
        // at the beginning that this will write.
        let options = TransactionOptions {
            sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
            ..Default::default()
        };
        let mut tx = self.tx(self.write.begin_with_options(options).await?, label, cause);
        if let Some(once) = &cause.once {
            tx.take_key(once).await?;
        }
        Ok(tx)
    }

    /// Begins a transaction that only reads, and waits for no writer.
    ///
    /// # Errors
    /// When the database gives no connection within its time-out.
    pub async fn begin_reading(&self, label: &'static str, cause: &Cause) -> Result<Tx, StoreError> {
        // SQLite knows no such mode; a transaction that does not say otherwise only reads until it writes.
        let read_only = (self.backend() == DbBackend::Postgres).then_some(AccessMode::ReadOnly);
        let options = TransactionOptions { access_mode: read_only, ..Default::default() };
        Ok(self.tx(self.read.begin_with_options(options).await?, label, cause))
    }

    fn tx(&self, txn: DatabaseTransaction, label: &'static str, cause: &Cause) -> Tx {
        Tx {
            txn,
            cause: cause.clone(),
            changes: Vec::new(),
            audits: Vec::new(),
            woke: false,
            changed_modules: false,
            store: self.clone(),
            label,
        }
    }
}

impl Tx {
    /// The one time all of it happens at.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.cause.now
    }

    /// The trace of the request or job.
    #[must_use]
    pub fn trace(&self) -> TraceId {
        self.cause.trace
    }

    /// A fresh id.
    ///
    /// # Errors
    /// When the machine has no entropy.
    pub fn uuid(&self) -> Result<uuid::Uuid, StoreError> {
        Ok(self.store.world.uuid()?)
    }

    pub(super) fn now_ms(&self) -> i64 {
        ms(self.cause.now)
    }

    pub(super) fn changed(
        &mut self,
        subject: SubjectKind,
        id: uuid::Uuid,
        kind: ChangeKind,
        revision: i64,
        company: Option<uuid::Uuid>,
        body: serde_json::Value,
    ) {
        self.changes.push(PendingChange { subject, id, kind, revision, company, body });
    }

    /// Makes it all true, and announces it. Under an idempotency key it waits there for its answer first.
    ///
    /// # Errors
    /// When the database refuses; then nothing happened.
    pub async fn commit(mut self) -> Result<(), StoreError> {
        if let Some(once) = self.cause.once.take() {
            once.keep(self);
            return Ok(());
        }
        let lost = (!self.audits.is_empty()).then(|| self.store.lost_entries.clone());
        let done = self.make_true().await;
        if let (Some(lost), Err(error)) = (lost, &done)
            && !matches!(error, StoreError::Interrupted)
        {
            lost.fetch_add(1, Ordering::SeqCst);
        }
        done
    }

    async fn make_true(mut self) -> Result<(), StoreError> {
        let entries: Vec<_> = self.audits.iter().map(PendingAudit::said).collect();
        let head = self.flush().await?;
        let dies = |committed| {
            self.store.world.interruption.as_ref().is_some_and(|point| point.dies(self.label, committed))
        };
        if dies(false) {
            return Err(StoreError::Interrupted);
        }
        self.txn.commit().await?;
        for (operation, object, result) in entries {
            let (by, trace) = (self.cause.requester.actor(), self.cause.trace);
            // What goes on all the time is for whoever looks for it.
            if matches!(operation, "key.window" | "key.use" | "audit.witness") {
                tracing::debug!(operation, object, result, by, trace_id = %trace, "recorded");
            } else {
                tracing::info!(operation, object, result, by, trace_id = %trace, "recorded");
            }
        }
        if dies(true) {
            return Err(StoreError::Interrupted);
        }
        if self.changed_modules {
            self.store.module_changes.fetch_add(1, Ordering::SeqCst);
        }
        if let Some(head) = head {
            self.store.announce(head);
        }
        if self.woke {
            self.store.work.notify_one();
        }
        Ok(())
    }

    /// Writes changes and audit entries with the numbers that follow the last ones. The head row stays locked
    /// from here to the commit, so that nobody with a later number can commit earlier.
    async fn flush(&mut self) -> Result<Option<Head>, StoreError> {
        if self.changes.is_empty() && self.audits.is_empty() {
            return Ok(None);
        }
        // What is done to keys is on record, each time; so whoever looks at them is told by the record.
        if self.audits.iter().any(|entry| changes_keys(entry.operation)) {
            self.keys_changed();
        }
        let (changes, audits) = (std::mem::take(&mut self.changes), std::mem::take(&mut self.audits));
        let count = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
        let row = self
            .txn
            .query_one_raw(Statement::from_sql_and_values(
                self.txn.get_database_backend(),
                "update head set change_seq = change_seq + $1, audit_n = audit_n + $2 where id = 1
                 returning change_seq, audit_n, audit_hash",
                [count(changes.len()).into(), count(audits.len()).into()],
            ))
            .await?
            .ok_or(StoreError::Missing("head"))?;
        let last_seq: i64 = row.try_get("", "change_seq")?;
        let last_n: i64 = row.try_get("", "audit_n")?;
        let hash: Vec<u8> = row.try_get("", "audit_hash")?;
        let at = self.now_ms();
        if !changes.is_empty() {
            let first = last_seq - count(changes.len()) + 1;
            let rows = changes.into_iter().zip(first..).map(|(change, seq)| entity::change::ActiveModel {
                seq: Set(seq),
                subject_kind: Set(change.subject.as_str().to_owned()),
                subject_id: Set(change.id),
                kind: Set(change.kind.as_str().to_owned()),
                revision: Set(change.revision),
                company_id: Set(change.company),
                body: Set(change.body),
                at: Set(at),
            });
            entity::change::Entity::insert_many(rows).exec_without_returning(&self.txn).await?;
            self.notify_nodes(CHANGES, last_seq).await?;
        }
        if !audits.is_empty() {
            let hash = hash.try_into().map_err(|_| super::inconsistent("head", 1, "audit_hash"))?;
            audit::append(&self.txn, &self.cause, last_n - count(audits.len()) + 1, hash, audits).await?;
            self.notify_nodes(ENTRIES, last_n).await?;
        }
        Ok(Some(Head { seq: last_seq, audit_n: last_n }))
    }

    /// Tells the other nodes, on the commit; SQLite has one node and needs no telling.
    async fn notify_nodes(&self, channel: &str, number: i64) -> Result<(), StoreError> {
        let backend = self.txn.get_database_backend();
        if backend == DbBackend::Postgres {
            let statement = Statement::from_sql_and_values(
                backend,
                "select pg_notify($1, $2)",
                [channel.into(), number.to_string().into()],
            );
            self.txn.query_one_raw(statement).await?;
        }
        Ok(())
    }
}
