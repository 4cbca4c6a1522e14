//! The first answer to a mutation, kept with the fact under the caller's key.

use sea_orm::{EntityTrait as _, Set};

use super::tx::Tx;
use super::{StoreError, entity, unique};
use crate::domain::refusal::{Refusal, RefusalCode};
use entity::idempotency::{ActiveModel, Entity};

/// A caller's key for one mutation and its input.
#[derive(Clone, Debug)]
pub struct IdempotencyKey {
    /// What the caller chose, 1 to 255 characters.
    pub key: String,
    /// The mutation.
    pub operation: &'static str,
    /// SHA-256 over the mutation and its input.
    pub digest: [u8; 32],
}

impl Tx {
    /// The first answer under this key: the id of what was made.
    ///
    /// # Errors
    /// `IDEMPOTENCY_CONFLICT` (inner) when the key was used with other input.
    pub async fn answered(
        &self,
        key: &IdempotencyKey,
    ) -> Result<Result<Option<String>, Refusal>, StoreError> {
        let id = (self.cause.requester.actor(), key.key.clone());
        let Some(row) = Entity::find_by_id(id).one(&self.txn).await? else { return Ok(Ok(None)) };
        if row.operation != key.operation || row.digest != key.digest {
            return Ok(Err(Refusal::new(
                RefusalCode::IdempotencyConflict,
                "This idempotency key was used before with other input. Use a new key for a new request.",
            )
            .field("idempotencyKey")));
        }
        Ok(Ok(Some(row.result)))
    }

    /// Keeps the answer. Two at once with one key: the second transaction is a conflict.
    ///
    /// # Errors
    /// [`StoreError::Duplicate`] when another transaction kept an answer first.
    pub async fn keep_answer(&mut self, key: &IdempotencyKey, result: String) -> Result<(), StoreError> {
        let row = ActiveModel {
            principal: Set(self.cause.requester.actor()),
            idempotency_key: Set(key.key.clone()),
            operation: Set(key.operation.to_owned()),
            digest: Set(key.digest.to_vec()),
            result: Set(result),
            created_at: Set(self.now_ms()),
        };
        Entity::insert(row)
            .exec_without_returning(&self.txn)
            .await
            .map_err(|e| unique(e, "idempotency key"))?;
        Ok(())
    }
}
