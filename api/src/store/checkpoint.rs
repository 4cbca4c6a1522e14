//! Signed checkpoints of our audit trail, and what we and our peers keep of each other's.

use sea_orm::sea_query::OnConflict;
use sea_orm::{
    ColumnTrait as _, ConnectionTrait as _, EntityTrait as _, QueryFilter as _, QueryOrder as _,
    QuerySelect as _, Set, Statement,
};
use uuid::Uuid;

use super::tx::Tx;
use super::{Store, StoreError, entity, unique};
use crate::domain::connection::Connection;
use crate::domain::id::ConnectionId;
use entity::{audit_checkpoint as checkpoint, audit_kept as hourly, audit_witness as witness, connection};

/// Milliseconds in an hour.
const HOUR: i64 = 3_600_000;
/// What is thinned out of the checkpoints of a peer that are kept: of what is older than so many hours, all but the
/// first of each period of so many hours. With the newest day by the hour, that is some sixty of a year.
const THINNED: [(i64, i64); 2] = [(24, 24), (24 * 30, 24 * 30)];

/// What we and the peer of a connection keep of each other's trails.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Witnessed {
    /// The size of the newest checkpoint of ours that the peer countersigned; 0 without one.
    pub ours: i64,
    /// Its countersignature.
    pub signature: Option<String>,
    /// The size of the newest checkpoint of theirs that we keep; 0 without one.
    pub theirs: i64,
    /// That checkpoint, as a note.
    pub note: Option<String>,
    /// The last checkpoint of theirs that contradicts the one we keep.
    pub disputed: Option<String>,
}

/// A checkpoint, as a note.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// How many entries it covers.
    pub n: i64,
    /// The note.
    pub note: String,
}

/// What is kept for a connection of the two trails.
#[derive(Clone, Debug)]
pub struct KeptOfPeer {
    /// The connection's id.
    pub of: ConnectionId,
    /// The connection, unless it is gone: what was witnessed stays.
    pub connection: Option<Connection>,
    /// The newest.
    pub newest: Option<Witnessed>,
    /// The first checkpoints of the peer of each hour, as notes.
    pub hourly: Vec<String>,
}

fn from_row(row: witness::Model) -> Witnessed {
    Witnessed {
        ours: row.ours,
        signature: row.signature,
        theirs: row.theirs,
        note: row.note,
        disputed: row.disputed,
    }
}

impl Store {
    /// All checkpoints of our trail behind this number, in their order.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn checkpoints_behind(&self, n: i64, limit: u64) -> Result<Vec<Kept>, StoreError> {
        let rows = checkpoint::Entity::find()
            .filter(checkpoint::Column::N.gt(n))
            .order_by_asc(checkpoint::Column::N)
            .limit(limit);
        let rows = rows.all(&self.read).await?;
        Ok(rows.into_iter().map(|row| Kept { n: row.n, note: row.note }).collect())
    }

    /// The newest checkpoint of our trail.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn newest_checkpoint(&self) -> Result<Option<Kept>, StoreError> {
        let row = checkpoint::Entity::find().order_by_desc(checkpoint::Column::N).one(&self.read).await?;
        Ok(row.map(|row| Kept { n: row.n, note: row.note }))
    }

    /// What we and every peer keep of each other's trails.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn witnessed(&self) -> Result<Vec<(ConnectionId, Witnessed)>, StoreError> {
        let rows =
            witness::Entity::find().order_by_asc(witness::Column::ConnectionId).all(&self.read).await?;
        Ok(rows.into_iter().map(|row| (ConnectionId(row.connection_id), from_row(row))).collect())
    }

    /// What is kept for so many connections behind this one, by id.
    ///
    /// # Errors
    /// When the database does not answer, or a connection's row cannot be read.
    pub async fn kept_of_peers(
        &self,
        behind: Option<ConnectionId>,
        limit: usize,
    ) -> Result<Vec<KeptOfPeer>, StoreError> {
        let sql = "select connection_id from audit_witness where connection_id > $1 \
            union select connection_id from audit_kept where connection_id > $1 order by connection_id limit $2";
        let behind = behind.map_or(Uuid::nil(), |id| id.0);
        let values = [behind.into(), i64::try_from(limit).unwrap_or(i64::MAX).into()];
        let rows = Statement::from_sql_and_values(self.backend(), sql, values);
        let mut all = Vec::new();
        for row in self.read.query_all_raw(rows).await? {
            let id: Uuid = row.try_get("", "connection_id")?;
            all.push(KeptOfPeer { of: ConnectionId(id), connection: None, newest: None, hourly: Vec::new() });
        }
        let ids = || all.iter().map(|kept: &KeptOfPeer| kept.of.0);
        let connections = connection::Entity::find().filter(connection::Column::Id.is_in(ids()));
        let connections = connections.all(&self.read).await?.into_iter().map(super::connection::from_row);
        let connections = connections.collect::<Result<Vec<_>, _>>()?;
        // In this order: the newest one only grows, and must not be older than what is read of the hours.
        let earlier = hourly::Entity::find().filter(hourly::Column::ConnectionId.is_in(ids()));
        let earlier = earlier.all(&self.read).await?;
        let newest = witness::Entity::find().filter(witness::Column::ConnectionId.is_in(ids()));
        let newest = newest.all(&self.read).await?;
        for kept in &mut all {
            let id = kept.of;
            kept.connection = connections.iter().find(|connection| connection.id == id).cloned();
            kept.newest = newest.iter().find(|row| row.connection_id == id.0).cloned().map(from_row);
            let of_it = earlier.iter().filter(|row| row.connection_id == id.0);
            kept.hourly = of_it.map(|row| row.note.clone()).collect();
        }
        Ok(all)
    }

    /// The first checkpoints of hours that are kept of the peers' trails, each peer's in their order.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn witnessed_before(&self) -> Result<Vec<(ConnectionId, String)>, StoreError> {
        let rows = hourly::Entity::find()
            .order_by_asc(hourly::Column::ConnectionId)
            .order_by_asc(hourly::Column::Hour);
        let rows = rows.all(&self.read).await?;
        Ok(rows.into_iter().map(|row| (ConnectionId(row.connection_id), row.note)).collect())
    }
}

impl Tx {
    /// Keeps a checkpoint of a peer's trail beside the newest one, if it is the first of its hour.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn keep_hourly(&mut self, peer: ConnectionId, note: &str) -> Result<(), StoreError> {
        let hour = self.now_ms() / HOUR;
        let row =
            hourly::ActiveModel { connection_id: Set(peer.0), hour: Set(hour), note: Set(note.to_owned()) };
        let first =
            OnConflict::columns([hourly::Column::ConnectionId, hourly::Column::Hour]).do_nothing().to_owned();
        let kept = hourly::Entity::insert(row).on_conflict(first).exec_without_returning(&self.txn).await?;
        if kept == 0 {
            return Ok(());
        }
        for (age, period) in THINNED {
            let sql = "delete from audit_kept where connection_id = $1 and hour < $2 and exists (select 1 \
                from audit_kept earlier where earlier.connection_id = $1 and earlier.hour < audit_kept.hour \
                and earlier.hour / $3 = audit_kept.hour / $3)";
            let values = [peer.0.into(), (hour - age).into(), period.into()];
            let backend = self.txn.get_database_backend();
            self.txn.execute_raw(Statement::from_sql_and_values(backend, sql, values)).await?;
        }
        Ok(())
    }

    /// Adds a checkpoint.
    ///
    /// # Errors
    /// [`StoreError::Duplicate`] when another node made it.
    pub async fn add_checkpoint(&mut self, n: i64, note: String) -> Result<(), StoreError> {
        let row = checkpoint::ActiveModel { n: Set(n), note: Set(note), at: Set(self.now_ms()) };
        checkpoint::Entity::insert(row)
            .exec_without_returning(&self.txn)
            .await
            .map_err(|error| unique(error, "checkpoint"))?;
        Ok(())
    }

    /// The checkpoint of ours that covers so many entries.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn checkpoint(&self, n: i64) -> Result<Option<Kept>, StoreError> {
        let row = checkpoint::Entity::find_by_id(n).one(&self.txn).await?;
        Ok(row.map(|row| Kept { n: row.n, note: row.note }))
    }

    /// What we and the peer of a connection keep of each other's trails.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn witnessed(&self, peer: ConnectionId) -> Result<Witnessed, StoreError> {
        let row = witness::Entity::find_by_id(peer.0).one(&self.txn).await?;
        Ok(row.map(from_row).unwrap_or_default())
    }

    /// Keeps it.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn save_witnessed(&mut self, peer: ConnectionId, kept: Witnessed) -> Result<(), StoreError> {
        use witness::Column;
        let row = witness::ActiveModel {
            connection_id: Set(peer.0),
            ours: Set(kept.ours),
            signature: Set(kept.signature),
            theirs: Set(kept.theirs),
            note: Set(kept.note),
            disputed: Set(kept.disputed),
            at: Set(self.now_ms()),
        };
        let again = OnConflict::column(Column::ConnectionId)
            .update_columns([
                Column::Ours,
                Column::Signature,
                Column::Theirs,
                Column::Note,
                Column::Disputed,
                Column::At,
            ])
            .to_owned();
        witness::Entity::insert(row).on_conflict(again).exec_without_returning(&self.txn).await?;
        Ok(())
    }
}
