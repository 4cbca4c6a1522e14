//! Who this instance is.

use keyservice::SealedHierarchy;
use sea_orm::{ConnectionTrait as _, EntityTrait as _, Set, Statement};

use super::tx::Tx;
use super::{Store, StoreError, entity, unique};
use crate::domain::id::InstanceId;
use entity::instance::{ActiveModel, Entity};

/// The hierarchy, with the latest generation that the audit trail tells of: every change of it is entered there with its
/// own. What counts is the highest, as with keys: an older entry that somebody appends again changes nothing.
const HIERARCHY: &str = "select hierarchy, (select max(cast(details ->> 'generation' as bigint)) from audit \
    where operation in ('instance.initialise', 'key.root.rotate', 'key.encryption.begin', 'key.encryption.retire')) \
    as recorded from instance where id = 1";

/// The instance as it is stored: one row.
#[derive(Clone, Debug)]
pub struct InstanceRecord {
    /// How peers know it.
    pub id: InstanceId,
    /// Random at first start; also kept beside the root key, so that a copied database is noticed.
    pub install: uuid::Uuid,
    /// The key hierarchy, sealed under the root key.
    pub hierarchy: Vec<u8>,
    /// The number of the current identity document; only grows.
    pub identity_seq: i64,
    /// Below which version of the key encryption key nothing is stored any more: the last one that was retired, and one;
    /// 0 before.
    pub wraps_from: i64,
}

impl Store {
    /// The instance, once it was initialised.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn instance(&self) -> Result<Option<InstanceRecord>, StoreError> {
        Ok(Entity::find_by_id(1).one(&self.read).await?.map(|row| InstanceRecord {
            id: InstanceId(row.instance_id),
            install: row.install_id,
            hierarchy: row.hierarchy,
            identity_seq: row.identity_seq,
            wraps_from: row.wraps_from,
        }))
    }
}

impl Store {
    /// The key hierarchy, sealed under the root key. May be read while a transaction of the same caller is open.
    ///
    /// # Errors
    /// When the database does not answer; [`StoreError::Missing`] before the instance was initialised;
    /// [`StoreError::Tampered`] when it is of an earlier generation than the audit trail tells of.
    pub async fn hierarchy(&self) -> Result<SealedHierarchy, StoreError> {
        let row = self.read.query_one_raw(Statement::from_string(self.backend(), HIERARCHY)).await?;
        let row = row.ok_or(StoreError::Missing("instance"))?;
        let hierarchy = SealedHierarchy { bytes: row.try_get("", "hierarchy")? };
        let recorded: Option<i64> = row.try_get("", "recorded")?;
        // What is no hierarchy at all, opening it tells.
        if hierarchy.generation().is_some_and(|own| own < recorded.map_or(0, i64::unsigned_abs)) {
            return Err(StoreError::Tampered { what: "the key hierarchy".to_owned() });
        }
        Ok(hierarchy)
    }
}

impl Tx {
    /// Puts another sealed hierarchy in the place of this one.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when it is not this one any more.
    pub async fn save_hierarchy(&mut self, before: &[u8], after: &[u8]) -> Result<(), StoreError> {
        let sql = "update instance set hierarchy = $1 where id = 1 and hierarchy = $2";
        let values = [after.to_vec().into(), before.to_vec().into()];
        let statement = Statement::from_sql_and_values(self.txn.get_database_backend(), sql, values);
        if self.txn.execute_raw(statement).await?.rows_affected() == 0 {
            return Err(StoreError::Conflict("key hierarchy"));
        }
        Ok(())
    }

    /// Raises the number of the identity document by one, or to `least`.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn raise_identity_seq(&mut self, least: i64) -> Result<(), StoreError> {
        let sql = "update instance set identity_seq = case when identity_seq < $1 then $1 else identity_seq + 1 end where id = 1";
        let statement = Statement::from_sql_and_values(self.txn.get_database_backend(), sql, [least.into()]);
        self.txn.execute_raw(statement).await?;
        Ok(())
    }

    /// Initialises the instance, once.
    ///
    /// # Errors
    /// [`StoreError::Duplicate`] when another process was first.
    pub async fn initialise(&mut self, instance: &InstanceRecord) -> Result<(), StoreError> {
        let row = ActiveModel {
            id: Set(1),
            instance_id: Set(instance.id.0),
            install_id: Set(instance.install),
            hierarchy: Set(instance.hierarchy.clone()),
            identity_seq: Set(instance.identity_seq),
            created_at: Set(self.now_ms()),
            wraps_from: Set(instance.wraps_from),
        };
        Entity::insert(row)
            .exec_without_returning(&self.txn)
            .await
            .map_err(|error| unique(error, "instance"))?;
        let sql = "insert into head (id, change_seq, audit_n, audit_hash, registration_number) values (1, 0, 0, $1, 0)";
        let start: Vec<u8> = vec![0; 32];
        self.txn
            .execute_raw(Statement::from_sql_and_values(self.txn.get_database_backend(), sql, [start.into()]))
            .await?;
        Ok(())
    }
}
