//! Keys as the key service sealed them. The store carries them and understands only their metadata.

use keyservice::{Algorithm, KeyState, Purpose, SealedKey};
use sea_orm::{ColumnTrait as _, ConnectionTrait, EntityTrait as _, QueryFilter as _, QueryOrder as _, Set};
use uuid::Uuid;

use super::registration::bytes;
use super::tx::Tx;
use super::{Store, StoreError, entity, inconsistent, unique};
use entity::key_version::{ActiveModel, Column, Entity, Model};

pub(super) fn from_row(row: Model) -> Result<SealedKey, StoreError> {
    let wrong = |column| inconsistent("key_version", row.id, column);
    let count = |value: i64, column| u64::try_from(value).map_err(|_| wrong(column));
    Ok(SealedKey {
        id: row.id.into_bytes(),
        purpose: row.purpose.parse::<Purpose>().map_err(|_| wrong("purpose"))?,
        algorithm: row.algorithm.parse::<Algorithm>().map_err(|_| wrong("algorithm"))?,
        version: count(row.version, "version")?,
        state: row.state.parse::<KeyState>().map_err(|_| wrong("state"))?,
        state_seq: count(row.state_seq, "state_seq")?,
        created_at: row.created_at,
        activated_at: row.activated_at,
        rotated_at: row.rotated_at,
        deactivated_at: row.deactivated_at,
        expires_at: row.expires_at,
        destroyed_at: row.destroyed_at,
        exportable: row.exportable,
        reason: row.reason,
        row_seal: bytes(Some(&row.row_seal)).ok_or_else(|| wrong("row_seal"))?,
        module: row.module,
        public: row.public_key,
        wrapped: row.wrapped,
    })
}

fn to_row(key: &SealedKey) -> Result<ActiveModel, StoreError> {
    let id = Uuid::from_bytes(key.id);
    let count =
        |value: u64, column| i64::try_from(value).map_err(|_| inconsistent("key_version", id, column));
    Ok(ActiveModel {
        id: Set(id),
        module: Set(key.module.clone()),
        purpose: Set(key.purpose.to_string()),
        algorithm: Set(key.algorithm.to_string()),
        version: Set(count(key.version, "version")?),
        state: Set(key.state.to_string()),
        state_seq: Set(count(key.state_seq, "state_seq")?),
        created_at: Set(key.created_at),
        activated_at: Set(key.activated_at),
        rotated_at: Set(key.rotated_at),
        deactivated_at: Set(key.deactivated_at),
        expires_at: Set(key.expires_at),
        destroyed_at: Set(key.destroyed_at),
        exportable: Set(key.exportable),
        reason: Set(key.reason.clone()),
        public_key: Set(key.public.clone()),
        wrapped: Set(key.wrapped.clone()),
        row_seal: Set(key.row_seal.to_vec()),
    })
}

async fn of_module(conn: &impl ConnectionTrait, module: &str) -> Result<Vec<SealedKey>, StoreError> {
    let rows =
        Entity::find().filter(Column::Module.eq(module)).order_by_desc(Column::Version).all(conn).await?;
    rows.into_iter().map(from_row).collect()
}

impl Store {
    /// All versions of a module's key, the newest first.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn keys(&self, module: &str) -> Result<Vec<SealedKey>, StoreError> {
        of_module(&self.read, module).await
    }

    /// All versions of the keys of these modules, the newest of each first.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn keys_of(&self, modules: &[&str]) -> Result<Vec<SealedKey>, StoreError> {
        let named = Column::Module.is_in(modules.iter().copied());
        let rows = Entity::find().filter(named).order_by_desc(Column::Version).all(&self.read).await?;
        rows.into_iter().map(from_row).collect()
    }
}

impl Tx {
    /// All versions of a module's key, the newest first.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn keys(&self, module: &str) -> Result<Vec<SealedKey>, StoreError> {
        of_module(&self.txn, module).await
    }

    /// The key with this id.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn key(&self, id: Uuid) -> Result<Option<SealedKey>, StoreError> {
        Entity::find_by_id(id).one(&self.txn).await?.map(from_row).transpose()
    }

    /// Adds a key.
    ///
    /// # Errors
    /// [`StoreError::Duplicate`] when the module has that version, or an active key already.
    pub async fn insert_key(&mut self, key: &SealedKey) -> Result<(), StoreError> {
        Entity::insert(to_row(key)?)
            .exec_without_returning(&self.txn)
            .await
            .map_err(|error| unique(error, "key"))?;
        Ok(())
    }

    /// Saves a key whose state moved on by one.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when its state is not the one it moved on from.
    pub async fn save_key(&mut self, key: &SealedKey) -> Result<(), StoreError> {
        let row = to_row(key)?;
        let before = i64::try_from(key.state_seq).unwrap_or(i64::MAX) - 1;
        let saved = Entity::update_many()
            .set(row)
            .filter(Column::Id.eq(Uuid::from_bytes(key.id)))
            .filter(Column::StateSeq.eq(before))
            .exec(&self.txn)
            .await?;
        if saved.rows_affected == 0 {
            return Err(StoreError::Conflict("key"));
        }
        Ok(())
    }

    /// Removes all keys of a module: what is left of an exchange that was undone.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn delete_keys(&mut self, module: &str) -> Result<(), StoreError> {
        Entity::delete_many().filter(Column::Module.eq(module)).exec(&self.txn).await?;
        Ok(())
    }
}
