//! Everything that a key encryption key wraps, wherever it lies, and rotations of it.
//!
//! | wrapped | column |
//! |---|---|
//! | keys | `key_version.wrapped` |
//! | the provider's half of a handshake | `handshake.pending` |
//! | the consumer's half | `attempt.work`, as `pending` |
//!
//! A wrap names its key in its first bytes ([`KeyService::wraps_begin_with`]), which is what is counted by.

use keyservice::{KeyService, SealedKey};
use sea_orm::sea_query::Expr;
use sea_orm::{
    ColumnTrait as _, ConnectionTrait, DbBackend, EntityTrait as _, QueryFilter as _, QueryOrder as _,
    QuerySelect as _, Set, Statement,
};
use uuid::Uuid;

use super::key::{from_row as key_from, object};
use super::tx::Tx;
use super::{Reader, Store, StoreError, at, entity, inconsistent, ms};
use crate::domain::id::{AttemptId, ConnectionId, UserId};
use crate::domain::key_encryption::{KeyRotation, KeyRotationState, RotationStage};
use crate::domain::requester::Scope;
use entity::key_encryption_rotation::{ActiveModel, Column, Entity, Model};
use entity::{attempt, handshake, key_version};

/// How many wraps there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wraps {
    /// All of them.
    pub total: u64,
    /// Those under another key than the one that was asked about.
    pub remaining: u64,
}

/// Some of the keys that are wrapped, by id.
#[derive(Clone, Debug, Default)]
pub struct KeysBehind {
    /// The keys.
    pub keys: Vec<SealedKey>,
    /// What cannot be read as the row of a key at all, by module and version.
    pub unreadable: Vec<String>,
    /// The id of the last row; none where there was none.
    pub last: Option<Uuid>,
}

/// Half a handshake that waits for its next message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// The connection.
    pub connection: ConnectionId,
    /// The key module of its link; none when that was not kept.
    pub module: Option<String>,
    /// What waits, sealed.
    pub pending: Vec<u8>,
}

fn from_row(row: Model) -> Result<KeyRotation, StoreError> {
    let wrong = |column| inconsistent("key_encryption_rotation", row.version, column);
    let count = |value: i64, column| u64::try_from(value).map_err(|_| wrong(column));
    let stage = match (KeyRotationState::parse(&row.state), row.waits_until, row.finished_at) {
        (Some(KeyRotationState::Rewrapping), None, None) => RotationStage::Rewrapping,
        (Some(KeyRotationState::Settling), Some(until), None) => RotationStage::Settling { until: at(until) },
        (Some(KeyRotationState::Done), None, Some(done)) => RotationStage::Done { at: at(done) },
        _ => return Err(wrong("state")),
    };
    Ok(KeyRotation {
        version: u32::try_from(row.version).map_err(|_| wrong("version"))?,
        stage,
        total: count(row.total, "total")?,
        done: count(row.done, "done")?,
        started_by: row.started_by.map(UserId),
        started_at: at(row.started_at),
        error: row.error.clone().zip(row.error_at.map(at)),
        revision: row.revision,
    })
}

fn to_row(rotation: &KeyRotation) -> ActiveModel {
    let count = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
    let (waits_until, finished_at) = match rotation.stage {
        RotationStage::Rewrapping => (None, None),
        RotationStage::Settling { until } => (Some(ms(until)), None),
        RotationStage::Done { at } => (None, Some(ms(at))),
    };
    ActiveModel {
        version: Set(rotation.version.into()),
        state: Set(rotation.stage.state().as_str().to_owned()),
        total: Set(count(rotation.total)),
        done: Set(count(rotation.done)),
        started_by: Set(rotation.started_by.map(|id| id.0)),
        started_at: Set(ms(rotation.started_at)),
        waits_until: Set(waits_until),
        finished_at: Set(finished_at),
        error: Set(rotation.error.as_ref().map(|(error, _)| error.clone())),
        error_at: Set(rotation.error.as_ref().map(|(_, since)| ms(*since))),
        revision: Set(rotation.revision),
    }
}

async fn newest(conn: &impl ConnectionTrait) -> Result<Option<KeyRotation>, StoreError> {
    Entity::find().order_by_desc(Column::Version).one(conn).await?.map(from_row).transpose()
}

/// What is wrapped, by something else than this version.
fn otherwise(column: &str, version: u32) -> sea_orm::sea_query::SimpleExpr {
    let sql = format!("length({column}) > 0 and substr({column}, 1, 5) <> $1");
    Expr::cust_with_values(sql, [KeyService::wraps_begin_with(version).to_vec()])
}

/// The work of attempts that wait for the last message, which is inside.
async fn attempts(conn: &impl ConnectionTrait) -> Result<Vec<(attempt::Model, Vec<u8>)>, StoreError> {
    let waits = Expr::cust("cast(work as text) like '%\"pending\"%:%\"%'");
    let rows = attempt::Entity::find().filter(waits).order_by_asc(attempt::Column::Id).all(conn).await?;
    let pending = |row: &attempt::Model| -> Result<Option<Vec<u8>>, StoreError> {
        let Some(text) = row.work.get("pending").and_then(serde_json::Value::as_str) else { return Ok(None) };
        let bytes = data_encoding::BASE64URL_NOPAD.decode(text.as_bytes());
        bytes.map(Some).map_err(|_| inconsistent("attempt", row.id, "work"))
    };
    rows.into_iter()
        .filter_map(|row| pending(&row).map(|found| found.map(|bytes| (row, bytes))).transpose())
        .collect()
}

async fn count(conn: &impl ConnectionTrait, version: u32) -> Result<Wraps, StoreError> {
    let header = KeyService::wraps_begin_with(version).to_vec();
    let sql = "select count(*), coalesce(sum(case when substr(w, 1, 5) = $1 then 0 else 1 end), 0) from \
        (select wrapped as w from key_version union all select pending as w from handshake) as wraps \
        where length(w) > 0";
    let statement = Statement::from_sql_and_values(conn.get_database_backend(), sql, [header.clone().into()]);
    let row = conn.query_one_raw(statement).await?.ok_or(StoreError::Missing("count"))?;
    let number = |index| -> Result<u64, StoreError> {
        Ok(row.try_get_by_index::<i64>(index)?.try_into().unwrap_or_default())
    };
    let mut wraps = Wraps { total: number(0)?, remaining: number(1)? };
    for (_, pending) in attempts(conn).await? {
        wraps.total += 1;
        wraps.remaining += u64::from(!pending.starts_with(&header));
    }
    Ok(wraps)
}

impl Store {
    /// The last rotation of the key encryption key.
    ///
    /// # Errors
    /// When the database does not answer, or the row cannot be one.
    pub async fn key_rotation(&self) -> Result<Option<KeyRotation>, StoreError> {
        newest(&self.read).await
    }

    /// Rows of keys that another version of the key encryption key wraps, behind this id, by id.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn keys_wrapped_otherwise(
        &self,
        version: u32,
        behind: Uuid,
        limit: u64,
    ) -> Result<KeysBehind, StoreError> {
        let rows = key_version::Entity::find()
            .filter(key_version::Column::Id.gt(behind))
            .filter(otherwise("wrapped", version))
            .order_by_asc(key_version::Column::Id)
            .limit(limit);
        let mut behind = KeysBehind::default();
        for row in rows.all(&self.read).await? {
            let name = object(&row.module, row.version);
            behind.last = Some(row.id);
            match key_from(row) {
                Ok(key) => behind.keys.push(key),
                Err(_) => behind.unreadable.push(name),
            }
        }
        Ok(behind)
    }

    /// Handshakes on the provider's side that another version of the key encryption key wraps.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn handshakes_wrapped_otherwise(
        &self,
        version: u32,
        limit: u64,
    ) -> Result<Vec<Waiting>, StoreError> {
        let rows = handshake::Entity::find()
            .filter(otherwise("pending", version))
            .order_by_asc(handshake::Column::ConnectionId)
            .limit(limit);
        let waiting = |row: handshake::Model| Waiting {
            connection: ConnectionId(row.connection_id),
            module: row.module,
            pending: row.pending,
        };
        Ok(rows.all(&self.read).await?.into_iter().map(waiting).collect())
    }

    /// Attempts on the consumer's side that another version of the key encryption key wraps.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn attempts_wrapped_otherwise(&self, version: u32) -> Result<Vec<AttemptId>, StoreError> {
        let header = KeyService::wraps_begin_with(version);
        let all = attempts(&self.read).await?.into_iter();
        Ok(all
            .filter(|(_, pending)| !pending.starts_with(&header))
            .map(|(row, _)| AttemptId(row.id))
            .collect())
    }
}

impl Reader {
    /// The last rotation of the key encryption key; for our own people.
    ///
    /// # Errors
    /// When the database does not answer, or the row cannot be one.
    pub async fn key_rotation(&self) -> Result<Option<KeyRotation>, StoreError> {
        if matches!(self.scope(), Scope::Company(_)) {
            return Ok(None);
        }
        newest(self.conn()).await
    }
}

impl Tx {
    /// The last rotation of the key encryption key.
    ///
    /// # Errors
    /// When the database does not answer, or the row cannot be one.
    pub async fn key_rotation(&self) -> Result<Option<KeyRotation>, StoreError> {
        newest(&self.txn).await
    }

    /// Adds a rotation.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when another node began it.
    pub async fn insert_key_rotation(&mut self, rotation: &KeyRotation) -> Result<(), StoreError> {
        let inserted = Entity::insert(to_row(rotation)).exec_without_returning(&self.txn).await;
        match inserted.map_err(|error| super::unique(error, "rotation")) {
            Err(StoreError::Duplicate(what)) => Err(StoreError::Conflict(what)),
            done => done.map(|_| ()),
        }
    }

    /// Saves a rotation, if nobody carried it on since it was read.
    ///
    /// # Errors
    /// [`StoreError::Conflict`].
    pub async fn save_key_rotation(&mut self, rotation: &KeyRotation) -> Result<(), StoreError> {
        let next = KeyRotation { revision: rotation.revision + 1, ..rotation.clone() };
        let saved = Entity::update_many()
            .set(to_row(&next))
            .filter(Column::Version.eq(i64::from(rotation.version)))
            .filter(Column::Revision.eq(rotation.revision))
            .exec(&self.txn)
            .await?;
        if saved.rows_affected == 0 {
            return Err(StoreError::Conflict("rotation"));
        }
        self.keys_changed();
        Ok(())
    }

    /// How many wraps there are, and how many of them another version of the key encryption key made.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn count_wraps(&self, version: u32) -> Result<Wraps, StoreError> {
        count(&self.txn, version).await
    }

    /// Puts the same key, wrapped again, in the place of this one, if its row is still the same; whoever changed it
    /// was faster, and their row counts.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn save_rewrapped(&mut self, before: &SealedKey, after: &SealedKey) -> Result<(), StoreError> {
        key_version::Entity::update_many()
            .col_expr(key_version::Column::Wrapped, Expr::value(after.wrapped.clone()))
            .col_expr(key_version::Column::RowSeal, Expr::value(after.row_seal.to_vec()))
            .filter(key_version::Column::Id.eq(Uuid::from_bytes(before.id)))
            .filter(key_version::Column::RowSeal.eq(before.row_seal.to_vec()))
            .exec(&self.txn)
            .await?;
        Ok(())
    }

    /// The same for a handshake.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn save_rewrapped_handshake(
        &mut self,
        before: &Waiting,
        after: Vec<u8>,
    ) -> Result<(), StoreError> {
        handshake::Entity::update_many()
            .col_expr(handshake::Column::Pending, Expr::value(after))
            .filter(handshake::Column::ConnectionId.eq(before.connection.0))
            .filter(handshake::Column::Pending.eq(before.pending.clone()))
            .exec(&self.txn)
            .await?;
        Ok(())
    }

    /// From now on nothing is stored that a version below this one wraps.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn wrap_from(&mut self, version: u32) -> Result<(), StoreError> {
        let sql = "update instance set wraps_from = $1 where id = 1";
        let statement =
            Statement::from_sql_and_values(self.txn.get_database_backend(), sql, [i64::from(version).into()]);
        self.txn.execute_raw(statement).await?;
        Ok(())
    }

    /// That the key encryption key of a wrap was not retired, and is not until this transaction ends: what was made
    /// before would be lost.
    pub(super) async fn require_openable(&self, wrapped: &[u8]) -> Result<(), StoreError> {
        let Some(version) = KeyService::wrapped_under(wrapped) else { return Ok(()) };
        let backend = self.txn.get_database_backend();
        // SQLite has one writer, who is this.
        let sql = match backend {
            DbBackend::Postgres => "select wraps_from from instance where id = 1 for share",
            _ => "select wraps_from from instance where id = 1",
        };
        let row = self.txn.query_one_raw(Statement::from_string(backend, sql)).await?;
        let from: i64 = row.ok_or(StoreError::Missing("instance"))?.try_get("", "wraps_from")?;
        if i64::from(version) < from { Err(StoreError::Conflict("key encryption key")) } else { Ok(()) }
    }
}
