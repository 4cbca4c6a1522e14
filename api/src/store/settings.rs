//! The settings of connections, and what their peers may do here.

use sea_orm::{ColumnTrait as _, EntityTrait as _, QueryFilter as _, Set};
use uuid::Uuid;

use super::registration::bytes;
use super::tx::Tx;
use super::{StoreError, at, entity, inconsistent, json as stored, ms, unique};
use crate::domain::Timestamp;
use crate::domain::id::ConnectionId;
use crate::domain::refusal::Refusal;
use crate::domain::settings::Settings;
use entity::{service_account, settings};

/// A connection's settings as they are stored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SettingsRecord {
    /// Both parts.
    pub settings: Settings,
    /// The digest that both sides last agreed on.
    pub agreed_digest: Option<[u8; 32]>,
    /// When they did.
    pub synced_at: Option<Timestamp>,
    /// When a person here last saved them.
    pub saved_at: Option<Timestamp>,
    /// Why the last sync did not succeed; none when it did.
    pub failure: Option<Refusal>,
    /// Grows by one with every change of the row; 0 when nothing is stored yet.
    pub revision: i64,
}

/// What the peer may do here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceAccount {
    /// Which one.
    pub id: Uuid,
    /// The account the peer made for us.
    pub peer: Option<Uuid>,
    /// Kinds of messages it may send.
    pub scopes: Vec<String>,
    /// When it ends unless it is renewed.
    pub expires_at: Timestamp,
}

pub(super) fn from_row(row: settings::Model) -> Result<SettingsRecord, StoreError> {
    let wrong = |column| inconsistent("settings", row.connection_id, column);
    Ok(SettingsRecord {
        settings: Settings {
            offer: stored::offer_from(row.offer).ok_or_else(|| wrong("offer"))?,
            choice: stored::choice_from(row.choice).ok_or_else(|| wrong("choice"))?,
        },
        agreed_digest: row
            .agreed_digest
            .as_deref()
            .map(|d| bytes(Some(d)).ok_or_else(|| wrong("agreed_digest")))
            .transpose()?,
        synced_at: row.synced_at.map(at),
        saved_at: row.saved_at.map(at),
        failure: row
            .failure
            .as_ref()
            .map(|failure| stored::refusal_from(failure).ok_or_else(|| wrong("failure")))
            .transpose()?,
        revision: row.revision,
    })
}

impl Tx {
    /// A connection's settings.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn settings(&self, id: ConnectionId) -> Result<SettingsRecord, StoreError> {
        let row = settings::Entity::find_by_id(id.0).one(&self.txn).await?;
        Ok(row.map(from_row).transpose()?.unwrap_or_default())
    }

    /// Saves a connection's settings, if nobody changed them since they were read.
    ///
    /// # Errors
    /// [`StoreError::Conflict`].
    pub async fn save_settings(
        &mut self,
        id: ConnectionId,
        record: &SettingsRecord,
    ) -> Result<(), StoreError> {
        let row = settings::ActiveModel {
            connection_id: Set(id.0),
            offer: Set(stored::offer_to(&record.settings.offer)),
            choice: Set(stored::choice_to(&record.settings.choice)),
            agreed_digest: Set(record.agreed_digest.map(|digest| digest.to_vec())),
            synced_at: Set(record.synced_at.map(ms)),
            saved_at: Set(record.saved_at.map(ms)),
            failure: Set(record.failure.as_ref().map(stored::refusal_to)),
            revision: Set(record.revision + 1),
        };
        if record.revision == 0 {
            settings::Entity::insert(row)
                .exec_without_returning(&self.txn)
                .await
                .map_err(|e| unique(e, "settings"))?;
            return Ok(());
        }
        let filter = settings::Column::Revision.eq(record.revision);
        let saved = settings::Entity::update_many()
            .set(row)
            .filter(settings::Column::ConnectionId.eq(id.0))
            .filter(filter);
        if saved.exec(&self.txn).await?.rows_affected == 0 {
            return Err(StoreError::Conflict("settings"));
        }
        Ok(())
    }

    /// Forgets a connection's settings.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn forget_settings(&mut self, id: ConnectionId) -> Result<(), StoreError> {
        settings::Entity::delete_by_id(id.0).exec(&self.txn).await?;
        Ok(())
    }

    /// What the peer may do here.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn service_account(&self, id: ConnectionId) -> Result<Option<ServiceAccount>, StoreError> {
        let filter = service_account::Column::ConnectionId.eq(id.0);
        Ok(service_account::Entity::find().filter(filter).one(&self.txn).await?.map(account_from))
    }

    /// Makes or renews what the peer may do here.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn save_service_account(
        &mut self,
        id: ConnectionId,
        account: &ServiceAccount,
    ) -> Result<(), StoreError> {
        let filter = service_account::Column::ConnectionId.eq(id.0);
        service_account::Entity::delete_many().filter(filter).exec(&self.txn).await?;
        let row = service_account::ActiveModel {
            id: Set(account.id),
            connection_id: Set(id.0),
            peer_account_id: Set(account.peer),
            scopes: Set(account.scopes.join(" ")),
            created_at: Set(self.now_ms()),
            expires_at: Set(ms(account.expires_at)),
        };
        service_account::Entity::insert(row).exec_without_returning(&self.txn).await?;
        Ok(())
    }
}

pub(super) fn account_from(row: service_account::Model) -> ServiceAccount {
    ServiceAccount {
        id: row.id,
        peer: row.peer_account_id,
        scopes: row.scopes.split(' ').map(str::to_owned).collect(),
        expires_at: at(row.expires_at),
    }
}
