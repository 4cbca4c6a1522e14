//! What probing needs of the database: everything about the watched connections in a few statements, the lease of the
//! node that probes, and how many messages went.

use std::collections::HashMap;

use keyservice::{Purpose, SealedKey};
use sea_orm::sea_query::OnConflict;
use sea_orm::{
    ColumnTrait as _, ConnectionTrait as _, DbBackend, EntityTrait as _, QueryFilter as _, QueryOrder as _,
    QuerySelect as _, Set, Statement,
};
use uuid::Uuid;

use super::tx::Tx;
use super::{
    Reader, ServiceAccount, Store, StoreError, at, connection, direction, entity, key, ms, settings,
};
use crate::domain::Timestamp;
use crate::domain::connection::{Connection, ConnectionState};
use crate::domain::direction::{Evidence, Way};
use crate::domain::heartbeat::Line;
use crate::domain::id::{ChannelId, ConnectionId};

/// The states in which a connection's directions are watched.
const WATCHED: [ConnectionState; 2] = [ConnectionState::Onboarded, ConnectionState::Suspended];
/// How many ids go into one statement.
const IDS: usize = 5_000;
/// How many rows go into one statement.
const ROWS: usize = 1_000;
/// From then on the status of what was watched is not known.
const GAP_BEGINS: &str = "insert into direction_history (connection_id, way, at, status)
    select d.connection_id, d.way, $1, null from direction d join connection c on c.id = d.connection_id
    where d.shown is not null and c.state in ('ONBOARDED', 'SUSPENDED') on conflict do nothing";
/// From then on it is again what it was last.
const GAP_ENDS: &str = "insert into direction_history (connection_id, way, at, status, code, reason)
    select d.connection_id, d.way, $1, d.shown, d.failure_code, d.failure_reason
    from direction d join connection c on c.id = d.connection_id
    where d.shown is not null and c.state in ('ONBOARDED', 'SUSPENDED') on conflict do nothing";
/// Milliseconds in an hour.
const HOUR_MS: i64 = 3_600_000;
/// How many starts a peer may sleep through before it cannot be told that this instance goes on from where it was.
const LINES_KEPT: u64 = 10_000;

/// A connection with all that probing it takes.
#[derive(Clone, Debug)]
pub struct WatchRow {
    /// The connection.
    pub connection: Connection,
    /// The keys of its channel, sealed.
    pub keys: Vec<SealedKey>,
    /// What the peer may do here.
    pub account: Option<ServiceAccount>,
    /// What was seen of it, as far as it was saved.
    pub directions: Vec<(Way, Evidence)>,
}

/// Messages that went since they were last counted, probes aside.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Messages to the peer that were answered.
    pub sent: i64,
    /// Messages of the peer that were taken.
    pub received: i64,
    /// When the last one was sent.
    pub last_sent_at: Option<Timestamp>,
    /// When the last one was received.
    pub last_received_at: Option<Timestamp>,
}

/// What came of asking for the lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// Whether this node probes: the step of the chain of heartbeats that it took, and whether that is to begin a line
    /// which administrators confirmed to go on.
    pub held: Option<(i64, bool)>,
    /// When whoever held it before said so last; none if nobody ever did.
    pub renewed_at: Option<Timestamp>,
}

impl Store {
    /// The watched connections: all, or those among these. In four statements for every five thousand.
    ///
    /// # Errors
    /// When the database does not answer, or a row matches no legal state.
    pub async fn watched(&self, among: Option<&[ConnectionId]>) -> Result<Vec<WatchRow>, StoreError> {
        use entity::connection::Column;
        let Some(among) = among else {
            let states = WATCHED.iter().map(|state| state.as_str());
            let ids = entity::connection::Entity::find()
                .select_only()
                .column(Column::Id)
                .filter(Column::State.is_in(states))
                .filter(Column::ChannelId.is_not_null())
                .into_tuple::<Uuid>()
                .all(&self.read)
                .await?;
            return self.watched_among(&ids).await;
        };
        let ids: Vec<Uuid> = among.iter().map(|id| id.0).collect();
        self.watched_among(&ids).await
    }

    /// The connection whose sealed messages name this channel, if it is watched.
    ///
    /// # Errors
    /// As [`Store::watched`].
    pub async fn watched_channel(&self, channel: ChannelId) -> Result<Option<WatchRow>, StoreError> {
        let filter = entity::connection::Column::ChannelId.eq(channel.0);
        let row = entity::connection::Entity::find().filter(filter).one(&self.read).await?;
        match row {
            Some(row) => Ok(self.watched_among(&[row.id]).await?.pop()),
            None => Ok(None),
        }
    }

    async fn watched_among(&self, ids: &[Uuid]) -> Result<Vec<WatchRow>, StoreError> {
        let mut found = Vec::with_capacity(ids.len());
        for ids in ids.chunks(IDS) {
            found.extend(self.watched_rows(ids).await?);
        }
        Ok(found)
    }

    async fn watched_rows(&self, ids: &[Uuid]) -> Result<Vec<WatchRow>, StoreError> {
        use entity::{connection as c, key_version as k, service_account as a};
        let states = WATCHED.iter().map(|state| state.as_str());
        let rows = c::Entity::find()
            .filter(c::Column::Id.is_in(ids.iter().copied()))
            .filter(c::Column::State.is_in(states))
            .filter(c::Column::ChannelId.is_not_null())
            .all(&self.read)
            .await?;
        let connections = rows.into_iter().map(connection::from_row).collect::<Result<Vec<_>, _>>()?;
        let channels = connections.iter().filter_map(|connection| connection.channel);
        let modules: Vec<String> =
            channels.map(|channel| keyservice::exchange::link_module(&channel.bytes())).collect();
        let traffic = k::Column::Purpose.eq(Purpose::LinkTraffic.to_string());
        let rows = key::rows().filter(traffic).filter(k::Column::Module.is_in(modules));
        let mut keys: HashMap<String, Vec<SealedKey>> = HashMap::new();
        for key in key::untouched(&self.read, rows).await? {
            keys.entry(key.module.clone()).or_default().push(key);
        }
        let accounts = a::Entity::find().filter(a::Column::ConnectionId.is_in(ids.iter().copied()));
        let mut accounts: HashMap<Uuid, ServiceAccount> = accounts
            .all(&self.read)
            .await?
            .into_iter()
            .map(|row| (row.connection_id, settings::account_from(row)))
            .collect();
        let mut directions: HashMap<ConnectionId, Vec<(Way, Evidence)>> = HashMap::new();
        for (id, way, evidence) in direction::of_connections(&self.read, ids).await? {
            directions.entry(id).or_default().push((way, evidence));
        }
        let row = |connection: Connection| {
            let channel =
                connection.channel.map(|channel| keyservice::exchange::link_module(&channel.bytes()));
            WatchRow {
                keys: channel.and_then(|module| keys.remove(&module)).unwrap_or_default(),
                account: accounts.remove(&connection.id.0),
                directions: directions.remove(&connection.id).unwrap_or_default(),
                connection,
            }
        };
        Ok(connections.into_iter().map(row).collect())
    }

    /// Whether several nodes may share this database.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        self.backend() == DbBackend::Postgres
    }

    /// Takes the lease on probing, or renews it, and takes a step of the chain of heartbeats with it: one conditional
    /// statement. A line that is to begin because administrators confirmed it begins after the step `heard`. Whoever
    /// probed before is told.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn take_watch(
        &self,
        node: Uuid,
        (now, until): (Timestamp, Timestamp),
        heard: i64,
    ) -> Result<Lease, StoreError> {
        let statement =
            |sql, values: Vec<sea_orm::Value>| Statement::from_sql_and_values(self.backend(), sql, values);
        let before = self
            .write
            .query_one_raw(statement("select renewed_at from watch_lease where id = 1", vec![]))
            .await?;
        let before: Option<i64> = before.map(|row| row.try_get("", "renewed_at")).transpose()?;
        let taken = self
            .write
            .query_one_raw(statement(
                "insert into watch_lease (id, node, renewed_at, until, step) values (1, $1, $2, $3, 1)
                 on conflict (id) do update set node = excluded.node, renewed_at = excluded.renewed_at,
                    until = excluded.until, step = 1 + case when watch_lease.declared and watch_lease.step < $4 then $4
                        else watch_lease.step end
                 where watch_lease.node = excluded.node or watch_lease.until < excluded.renewed_at or $5
                 returning step, declared",
                // An embedded database has one node: what an earlier clock said keeps it from nothing.
                vec![node.into(), ms(now).into(), ms(until).into(), heard.into(), (!self.is_shared()).into()],
            ))
            .await?;
        let held = taken.map(|row| {
            // To go on beyond what peers know, it takes to have heard from one how far that is.
            let declared: bool = row.try_get("", "declared")?;
            Ok::<_, StoreError>((row.try_get("", "step")?, declared && heard > 0))
        });
        Ok(Lease { held: held.transpose()?, renewed_at: before.map(at) })
    }

    /// Begins a line of the chain of heartbeats, which may be the one that was declared to go on; answers all lines, the oldest first, or the newest ten thousand of them.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn begin_line(&self, line: Line, declared: bool) -> Result<Vec<Line>, StoreError> {
        use entity::heartbeat_line::{ActiveModel, Column, Entity};
        let row = ActiveModel { since: Set(line.since), line: Set(line.id) };
        Entity::insert(row).exec_without_returning(&self.write).await?;
        if declared {
            let done = "update watch_lease set declared = false where id = 1";
            self.write.execute_raw(Statement::from_string(self.backend(), done)).await?;
        }
        let newest = Entity::find().order_by_desc(Column::Since).limit(LINES_KEPT);
        let mut lines: Vec<_> = newest.all(&self.read).await?;
        lines.reverse();
        if lines.len() as u64 == LINES_KEPT {
            let oldest = lines.first().map_or(0, |line| line.since);
            Entity::delete_many().filter(Column::Since.lt(oldest)).exec(&self.write).await?;
        }
        Ok(lines.into_iter().map(|row| Line { id: row.line, since: row.since }).collect())
    }

    /// Gives the lease back, so that another node goes on at once.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn leave_watch(&self, node: Uuid, now: Timestamp) -> Result<(), StoreError> {
        let statement = Statement::from_sql_and_values(
            self.backend(),
            "update watch_lease set until = 0, renewed_at = $2 where id = 1 and node = $1",
            [node.into(), ms(now).into()],
        );
        self.write.execute_raw(statement).await?;
        Ok(())
    }

    /// The connections that changed after this number, and the number up to which that is known.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn changed_connections(&self, after: i64) -> Result<(Vec<ConnectionId>, i64), StoreError> {
        use entity::change::{Column, Entity};
        let head = super::change::head(&self.read).await?.seq;
        if head <= after {
            return Ok((Vec::new(), head));
        }
        let ids = Entity::find()
            .select_only()
            .column(Column::SubjectId)
            .filter(Column::Seq.gt(after))
            .filter(Column::Seq.lte(head))
            .filter(Column::SubjectKind.eq(super::SubjectKind::Connection.as_str()))
            .distinct()
            .into_tuple::<Uuid>()
            .all(&self.read)
            .await?;
        Ok((ids.into_iter().map(ConnectionId).collect(), head))
    }
}

impl Tx {
    /// Has the node that probes begin a line that administrators confirmed to go on.
    ///
    /// # Errors
    /// [`StoreError::Missing`] when nobody ever probed.
    pub async fn declare_survivor(&mut self) -> Result<(), StoreError> {
        let sql = "update watch_lease set declared = true where id = 1";
        let statement = Statement::from_string(self.txn.get_database_backend(), sql);
        let declared = self.txn.execute_raw(statement).await?.rows_affected();
        if declared == 0 { Err(StoreError::Missing("heartbeat")) } else { Ok(()) }
    }

    /// Adds to how many messages went within the present hour.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn add_traffic(&mut self, counted: &[(ConnectionId, Traffic)]) -> Result<(), StoreError> {
        use entity::traffic::{ActiveModel, Column, Entity};
        use sea_orm::sea_query::{Expr, ExprTrait as _, Func};
        let hour = self.now_ms().div_euclid(HOUR_MS) * HOUR_MS;
        let added = |column: Column| {
            Expr::col((Entity, column)).add(Expr::cust(format!("excluded.{}", name(column))))
        };
        for chunk in counted.chunks(ROWS) {
            let rows = chunk.iter().map(|(id, traffic)| ActiveModel {
                connection_id: Set(id.0),
                hour: Set(hour),
                sent: Set(traffic.sent),
                received: Set(traffic.received),
                last_sent_at: Set(traffic.last_sent_at.map(ms)),
                last_received_at: Set(traffic.last_received_at.map(ms)),
            });
            let latest = |column: Column| {
                let known = Expr::col((Entity, column));
                Func::coalesce([Expr::cust(format!("excluded.{}", name(column))), known])
            };
            let again = OnConflict::columns([Column::ConnectionId, Column::Hour])
                .value(Column::Sent, added(Column::Sent))
                .value(Column::Received, added(Column::Received))
                .value(Column::LastSentAt, latest(Column::LastSentAt))
                .value(Column::LastReceivedAt, latest(Column::LastReceivedAt))
                .to_owned();
            Entity::insert_many(rows).on_conflict(again).exec_without_returning(&self.txn).await?;
        }
        Ok(())
    }

    /// Nobody watched from then on: what the status was in the meantime is not known.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn record_gap(&mut self, from: Timestamp) -> Result<(), StoreError> {
        let statement =
            |sql, at: i64| Statement::from_sql_and_values(self.txn.get_database_backend(), sql, [at.into()]);
        self.txn.execute_raw(statement(GAP_BEGINS, ms(from))).await?;
        self.txn.execute_raw(statement(GAP_ENDS, self.now_ms())).await?;
        Ok(())
    }
}

fn name(column: entity::traffic::Column) -> &'static str {
    use entity::traffic::Column as C;
    match column {
        C::ConnectionId => "connection_id",
        C::Hour => "hour",
        C::Sent => "sent",
        C::Received => "received",
        C::LastSentAt => "last_sent_at",
        C::LastReceivedAt => "last_received_at",
    }
}

impl Reader {
    /// How many messages these connections carried in the 24 hours before `now`, by whole hours, and when the last
    /// ones went in the last seven days. The caller has read the connections and so may see them.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn traffic(
        &self,
        of: &[ConnectionId],
        now: Timestamp,
    ) -> Result<HashMap<ConnectionId, Traffic>, StoreError> {
        use entity::traffic::{Column, Entity};
        let rows = Entity::find().filter(Column::ConnectionId.is_in(of.iter().map(|id| id.0)));
        let day = ms(now) - 24 * HOUR_MS;
        let mut found: HashMap<ConnectionId, Traffic> = HashMap::new();
        for row in rows.all(self.conn()).await? {
            let traffic = found.entry(ConnectionId(row.connection_id)).or_default();
            if row.hour > day {
                traffic.sent += row.sent;
                traffic.received += row.received;
            }
            traffic.last_sent_at = traffic.last_sent_at.max(row.last_sent_at.map(at));
            traffic.last_received_at = traffic.last_received_at.max(row.last_received_at.map(at));
        }
        Ok(found)
    }
}
