//! Forgetting what is past its time.

use chrono::TimeDelta;
use sea_orm::{ColumnTrait as _, EntityTrait as _, QueryFilter as _};

use super::tx::Tx;
use super::{StoreError, entity, ms};

/// How long idempotency keys are kept.
const IDEMPOTENCY_KEPT: TimeDelta = TimeDelta::days(7);
/// How long changes are kept for subscriptions to resume from.
const CHANGES_KEPT: TimeDelta = TimeDelta::days(7);

impl Tx {
    /// Forgets expired sessions, codes, tokens, replay records, message answers, idempotency keys and changes.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn sweep(&mut self) -> Result<(), StoreError> {
        let now = self.now_ms();
        let (keys, changes) = (ms(self.now() - IDEMPOTENCY_KEPT), ms(self.now() - CHANGES_KEPT));
        let txn = &self.txn;
        entity::session::Entity::delete_many()
            .filter(entity::session::Column::ExpiresAt.lt(now))
            .exec(txn)
            .await?;
        entity::sign_in_code::Entity::delete_many()
            .filter(entity::sign_in_code::Column::ExpiresAt.lt(now))
            .exec(txn)
            .await?;
        entity::access_token::Entity::delete_many()
            .filter(entity::access_token::Column::ExpiresAt.lt(now))
            .exec(txn)
            .await?;
        entity::replay::Entity::delete_many()
            .filter(entity::replay::Column::ExpiresAt.lt(now))
            .exec(txn)
            .await?;
        entity::message::Entity::delete_many()
            .filter(entity::message::Column::ExpiresAt.lt(now))
            .exec(txn)
            .await?;
        entity::idempotency::Entity::delete_many()
            .filter(entity::idempotency::Column::CreatedAt.lt(keys))
            .exec(txn)
            .await?;
        entity::change::Entity::delete_many()
            .filter(entity::change::Column::At.lt(changes))
            .exec(txn)
            .await?;
        Ok(())
    }
}
