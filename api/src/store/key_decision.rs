//! Decisions about access to keys, kept so that they can be explained.

use sea_orm::sea_query::OnConflict;
use sea_orm::{EntityTrait as _, Set};
use serde_json::Value;
use uuid::Uuid;

use super::tx::Tx;
use super::{Store, StoreError, at, entity, ms};
use crate::domain::Timestamp;
use entity::key_decision::{ActiveModel, Column, Entity};

/// A decision as it is kept.
#[derive(Clone, Debug)]
pub struct DecisionRecord {
    /// Its id.
    pub id: Uuid,
    /// When.
    pub at: Timestamp,
    /// The name of the module.
    pub module: String,
    /// Who, as a matcher's text.
    pub principal: String,
    /// What, by its stable name.
    pub operation: String,
    /// The associated data: `name` and `value` of each.
    pub context: Value,
    /// Whether it was allowed.
    pub allowed: bool,
    /// Why, in a sentence.
    pub explanation: String,
    /// Every policy that was considered: `policy`, `effect`, `outcome` and `note` of each.
    pub trace: Value,
}

impl Store {
    /// A decision, if it is still kept.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn key_decision(&self, id: Uuid) -> Result<Option<DecisionRecord>, StoreError> {
        let row = Entity::find_by_id(id).one(&self.read).await?;
        Ok(row.map(|row| DecisionRecord {
            id: row.id,
            at: at(row.at),
            module: row.module,
            principal: row.principal,
            operation: row.operation,
            context: row.context,
            allowed: row.allowed,
            explanation: row.explanation,
            trace: row.trace,
        }))
    }
}

impl Tx {
    /// Keeps decisions; those that are kept already stay as they are.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn keep_decisions(&mut self, records: Vec<DecisionRecord>) -> Result<(), StoreError> {
        if records.is_empty() {
            return Ok(());
        }
        let rows = records.into_iter().map(|record| ActiveModel {
            id: Set(record.id),
            at: Set(ms(record.at)),
            module: Set(record.module),
            principal: Set(record.principal),
            operation: Set(record.operation),
            context: Set(record.context),
            allowed: Set(record.allowed),
            explanation: Set(record.explanation),
            trace: Set(record.trace),
        });
        let known = OnConflict::column(Column::Id).do_nothing().to_owned();
        Entity::insert_many(rows).on_conflict(known).exec_without_returning(&self.txn).await?;
        Ok(())
    }
}
