//! The handshake under way on the provider, and sealed messages that had their effect.

use sea_orm::sea_query::OnConflict;
use sea_orm::{ColumnTrait as _, EntityTrait as _, QueryFilter as _, Set};
use uuid::Uuid;

use super::registration::bytes;
use super::tx::Tx;
use super::{StoreError, entity, inconsistent, ms, unique};
use crate::domain::Timestamp;
use crate::domain::id::{ConnectionId, MessageId};
use entity::{handshake, message};

/// The provider's side of a handshake: what was answered, so that the same question gets the same answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Handshake {
    /// The connection it is for.
    pub connection: ConnectionId,
    /// The consumer's number of it; only grows.
    pub attempt: u64,
    /// SHA-256 over the first message.
    pub m1_digest: [u8; 32],
    /// The second message, as it was sent.
    pub m2: serde_json::Value,
    /// The key module of the link that it is for; none for one from before this was kept.
    pub module: Option<String>,
    /// What is needed to check the third, sealed by the key service; empty once it was.
    pub pending: Vec<u8>,
    /// SHA-256 over the third message, once it was accepted.
    pub m3_digest: Option<[u8; 32]>,
    /// The fourth message, as it was sent.
    pub m4: Option<serde_json::Value>,
}

/// The answer to a sealed message, kept with its effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredMessage {
    /// The answer, sealed, as it was sent.
    pub answer: Vec<u8>,
}

impl Tx {
    /// The handshake of a connection.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn handshake(&self, connection: ConnectionId) -> Result<Option<Handshake>, StoreError> {
        let Some(row) = handshake::Entity::find_by_id(connection.0).one(&self.txn).await? else {
            return Ok(None);
        };
        let wrong = |column| inconsistent("handshake", connection, column);
        Ok(Some(Handshake {
            connection,
            attempt: u64::try_from(row.attempt_number).map_err(|_| wrong("attempt_number"))?,
            m1_digest: bytes(Some(&row.m1_digest)).ok_or_else(|| wrong("m1_digest"))?,
            m2: row.m2,
            module: row.module,
            pending: row.pending,
            m3_digest: row
                .m3_digest
                .as_deref()
                .map(|d| bytes(Some(d)).ok_or_else(|| wrong("m3_digest")))
                .transpose()?,
            m4: row.m4,
        }))
    }

    /// Saves the handshake of a connection; one is pending at a time, so a later one replaces it.
    ///
    /// # Errors
    /// When the database refuses; [`StoreError::Conflict`] when the key encryption key of what is pending was retired.
    pub async fn save_handshake(&mut self, handshake: &Handshake) -> Result<(), StoreError> {
        self.require_openable(&handshake.pending).await?;
        let number = |_| inconsistent("handshake", handshake.connection, "attempt_number");
        let row = handshake::ActiveModel {
            connection_id: Set(handshake.connection.0),
            attempt_number: Set(i64::try_from(handshake.attempt).map_err(number)?),
            m1_digest: Set(handshake.m1_digest.to_vec()),
            m2: Set(handshake.m2.clone()),
            pending: Set(handshake.pending.clone()),
            m3_digest: Set(handshake.m3_digest.map(|digest| digest.to_vec())),
            m4: Set(handshake.m4.clone()),
            module: Set(handshake.module.clone()),
        };
        use handshake::Column;
        let replace = OnConflict::column(Column::ConnectionId)
            .update_columns([
                Column::AttemptNumber,
                Column::M1Digest,
                Column::M2,
                Column::Pending,
                Column::M3Digest,
                Column::M4,
                Column::Module,
            ])
            .to_owned();
        handshake::Entity::insert(row).on_conflict(replace).exec_without_returning(&self.txn).await?;
        Ok(())
    }

    /// The answer to a message that had its effect already.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn answered_message(
        &self,
        connection: ConnectionId,
        message: MessageId,
    ) -> Result<Option<StoredMessage>, StoreError> {
        let found = message::Entity::find_by_id((connection.0, message.0)).one(&self.txn).await?;
        Ok(found.map(|row| StoredMessage { answer: row.answer }))
    }

    /// Over which connection this message of a peer came, as far as it is remembered.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn connection_of_message(
        &self,
        message: MessageId,
    ) -> Result<Option<ConnectionId>, StoreError> {
        let found = message::Entity::find().filter(message::Column::MessageId.eq(message.0));
        Ok(found.one(&self.txn).await?.map(|row| ConnectionId(row.connection_id)))
    }

    /// Remembers that a message came that was asked for by this one of ours: under its id, which no message of the
    /// peer has.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn question_answered(
        &mut self,
        connection: ConnectionId,
        question: MessageId,
        until: Timestamp,
    ) -> Result<(), StoreError> {
        if self.answered_message(connection, question).await?.is_some() {
            return Ok(());
        }
        self.keep_message(connection, question.0, &[], until).await
    }

    /// Keeps the answer to a message with its effect.
    ///
    /// # Errors
    /// [`StoreError::Duplicate`] when the message had its effect in another transaction.
    pub async fn keep_message(
        &mut self,
        connection: ConnectionId,
        message: Uuid,
        answer: &[u8],
        until: Timestamp,
    ) -> Result<(), StoreError> {
        let row = message::ActiveModel {
            connection_id: Set(connection.0),
            message_id: Set(message),
            answer: Set(answer.to_vec()),
            expires_at: Set(ms(until)),
        };
        message::Entity::insert(row)
            .exec_without_returning(&self.txn)
            .await
            .map_err(|error| unique(error, "message"))?;
        Ok(())
    }
}
