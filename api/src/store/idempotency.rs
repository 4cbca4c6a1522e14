//! The first answer to a mutation, kept in the transaction of the fact under the caller's key.

use std::sync::{Mutex, PoisonError};

use sea_orm::sea_query::Expr;
use sea_orm::{ColumnTrait as _, EntityTrait as _, QueryFilter as _, Set};

use super::tx::Tx;
use super::{Store, StoreError, entity, unique};
use crate::domain::requester::Requester;
use entity::idempotency::{ActiveModel, Column, Entity};

/// A caller's key for one mutation and its input.
#[derive(Clone, Debug)]
pub struct IdempotencyKey {
    /// What the caller chose, 1 to 255 characters.
    pub key: String,
    /// The mutation.
    pub operation: String,
    /// A MAC over the mutation and its input, which may hold a secret.
    pub digest: [u8; 32],
}

/// An answer as it is stored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoredAnswer {
    /// The id of what was made or changed; empty where the answer names nothing.
    pub subject: String,
    /// What was shown once, sealed.
    pub sealed: Option<Vec<u8>>,
}

/// One request under an idempotency key. Its transaction takes the key when it begins, so that the same request at
/// the same time waits for it; when the verb commits, the transaction waits here until the answer is put to it.
#[derive(Debug)]
pub struct Once {
    key: IdempotencyKey,
    written: Mutex<Option<Tx>>,
}

impl Once {
    /// A request that was not answered yet.
    #[must_use]
    pub const fn new(key: IdempotencyKey) -> Self {
        Self { key, written: Mutex::new(None) }
    }

    /// Whether the verb has written its fact: from then on, it can write nothing else.
    #[must_use]
    pub fn is_written(&self) -> bool {
        self.written.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// What the verb wrote, if it wrote anything.
    #[must_use]
    pub fn take(&self) -> Option<Tx> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    pub(super) fn keep(&self, tx: Tx) {
        *self.written.lock().unwrap_or_else(PoisonError::into_inner) = Some(tx);
    }
}

impl Store {
    /// The first answer under this key, and whether it was to the same mutation with the same input.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn first_answer(
        &self,
        requester: &Requester,
        key: &IdempotencyKey,
    ) -> Result<Option<(StoredAnswer, bool)>, StoreError> {
        let row = Entity::find_by_id((requester.actor(), key.key.clone())).one(&self.read).await?;
        Ok(row.map(|row| {
            let same = row.operation == key.operation && row.digest == key.digest;
            (StoredAnswer { subject: row.result, sealed: row.sealed }, same)
        }))
    }
}

impl Tx {
    /// Takes the caller's key for this transaction.
    ///
    /// # Errors
    /// [`StoreError::Duplicate`] when an answer is kept under it; while another transaction has it, this waits.
    pub(super) async fn take_key(&mut self, once: &Once) -> Result<(), StoreError> {
        let key = &once.key;
        let row = ActiveModel {
            principal: Set(self.cause.requester.actor()),
            idempotency_key: Set(key.key.clone()),
            operation: Set(key.operation.clone()),
            digest: Set(key.digest.to_vec()),
            result: Set(String::new()),
            sealed: Set(None),
            created_at: Set(self.now_ms()),
        };
        let taken = Entity::insert(row).exec_without_returning(&self.txn).await;
        taken.map(|_| ()).map_err(|error| unique(error, "request under this idempotency key"))
    }

    /// Gives the key back, and makes true what was written.
    ///
    /// # Errors
    /// As [`Tx::commit`].
    pub async fn commit_without(self, once: &Once) -> Result<(), StoreError> {
        Entity::delete_by_id((self.cause.requester.actor(), once.key.key.clone())).exec(&self.txn).await?;
        self.commit().await
    }

    /// Puts the answer to what the verb wrote, and makes both true.
    ///
    /// # Errors
    /// As [`Tx::commit`].
    pub async fn commit_with(self, once: &Once, answer: StoredAnswer) -> Result<(), StoreError> {
        Entity::update_many()
            .col_expr(Column::Result, Expr::value(answer.subject))
            .col_expr(Column::Sealed, Expr::value(answer.sealed))
            .filter(Column::Principal.eq(self.cause.requester.actor()))
            .filter(Column::IdempotencyKey.eq(once.key.key.clone()))
            .exec(&self.txn)
            .await?;
        self.commit().await
    }
}
