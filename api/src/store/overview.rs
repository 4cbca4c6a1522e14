//! Counts for a dashboard: each in one statement, however many connections there are.

use sea_orm::sea_query::Expr;
use sea_orm::{
    ColumnTrait as _, ConnectionTrait as _, EntityTrait as _, QueryFilter as _, QueryOrder as _, QueryResult,
    QuerySelect as _, Select, Statement,
};

use super::{Reader, StoreError, connection, entity, ms};
use crate::domain::Timestamp;
use crate::domain::check::CheckCode;
use crate::domain::connection::{Connection, ConnectionState};
use crate::domain::direction::DirectionStatus;
use crate::domain::requester::Scope;

/// How often directions became something else, and what they had been. Where nobody watched for a while, the same status is
/// written anew behind the gap: that is no change.
const BECAME: &str = "select t.status as status, t.before_it as before_it, count(*) as n from (
        select h.status as status, (
            select e.status from direction_history e
            where e.connection_id = h.connection_id and e.way = h.way and e.at < h.at and e.status is not null
            order by e.at desc limit 1
        ) as before_it
        from direction_history h join connection c on c.id = h.connection_id
        where h.at > $1 and h.status is not null and {scope}
    ) t where t.status <> t.before_it group by t.status, t.before_it";

/// How many connections are in one state, with these statuses of their directions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateTally {
    /// The state.
    pub state: ConnectionState,
    /// The status of the outbound direction, as it was last announced.
    pub outbound: Option<DirectionStatus>,
    /// The status of the inbound direction, as it was last announced.
    pub inbound: Option<DirectionStatus>,
    /// How many.
    pub count: i64,
}

/// What happened since a moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lately {
    /// How often a direction went down.
    pub went_down: i64,
    /// How often a direction worked again.
    pub came_up: i64,
    /// How often the two sides came to see a direction differently.
    pub became_disputed: i64,
    /// Issues that were raised.
    pub issues_raised: i64,
    /// Issues that were resolved.
    pub issues_resolved: i64,
    /// Connections that were onboarded.
    pub onboarded: i64,
}

impl Reader {
    /// A raw statement within what may be seen; `{scope}` stands for the condition on the company. The values follow
    /// the company's.
    async fn tally(
        &self,
        sql: &str,
        company: &str,
        mut values: Vec<sea_orm::Value>,
    ) -> Result<Vec<QueryResult>, StoreError> {
        let condition = match self.scope() {
            Scope::Everything => "1 = 1".to_owned(),
            Scope::Company(id) => {
                values.push(id.0.into());
                format!("{company} = ${}", values.len())
            }
            Scope::Nothing => return Ok(Vec::new()),
        };
        let sql = sql.replace("{scope}", &condition);
        let backend = self.conn().get_database_backend();
        Ok(self.conn().query_all_raw(Statement::from_sql_and_values(backend, sql, values)).await?)
    }

    /// How many connections are in each state, with each status of their directions.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn connection_tally(&self) -> Result<Vec<StateTally>, StoreError> {
        let rows = self
            .tally(
                "select c.state as state, o.shown as outbound, i.shown as inbound, count(*) as n
                 from connection c
                 left join direction o on o.connection_id = c.id and o.way = 'OUTBOUND'
                 left join direction i on i.connection_id = c.id and i.way = 'INBOUND'
                 where {scope} group by c.state, o.shown, i.shown",
                "c.company_id",
                Vec::new(),
            )
            .await?;
        let mut tallies = Vec::new();
        for row in rows {
            let state: String = row.try_get("", "state")?;
            let Some(state) = ConnectionState::parse(&state) else { continue };
            let (outbound, inbound) = (status(&row, "outbound")?, status(&row, "inbound")?);
            tallies.push(StateTally { state, outbound, inbound, count: row.try_get("", "n")? });
        }
        Ok(tallies)
    }

    /// How many issues of each check are open, and on how many connections.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn issue_tally(&self) -> Result<Vec<(CheckCode, i64)>, StoreError> {
        let rows = self
            .tally(
                "select check_code, count(*) as n from issue where state = 'OPEN' and {scope} group by check_code",
                "company_id",
                Vec::new(),
            )
            .await?;
        let mut tallies = Vec::new();
        for row in rows {
            let code: String = row.try_get("", "check_code")?;
            let count: i64 = row.try_get("", "n")?;
            tallies.extend(CheckCode::parse(&code).map(|code| (code, count)));
        }
        Ok(tallies)
    }

    /// How many connections have an open issue of one of these checks.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn burdened_connections(&self, checks: &[CheckCode]) -> Result<i64, StoreError> {
        use entity::issue::{Column, Entity};
        let query = Entity::find()
            .select_only()
            .column(Column::SubjectId)
            .filter(Column::State.eq("OPEN"))
            .filter(Column::SubjectKind.eq("CONNECTION"))
            .filter(Column::CheckCode.is_in(checks.iter().map(|code| code.as_str())));
        let Some(query) = self.scoped(query, Column::CompanyId) else { return Ok(0) };
        let ids = query.distinct().into_tuple::<uuid::Uuid>().all(self.conn()).await?;
        Ok(i64::try_from(ids.len()).unwrap_or(i64::MAX))
    }

    /// What happened since then.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn lately(&self, since: Timestamp) -> Result<Lately, StoreError> {
        let mut lately = Lately::default();
        let rows = self.tally(BECAME, "c.company_id", vec![ms(since).into()]).await?;
        for row in rows {
            let (Some(now), Some(before)) = (status(&row, "status")?, status(&row, "before_it")?) else {
                continue;
            };
            let times: i64 = row.try_get("", "n")?;
            match now {
                DirectionStatus::Down => lately.went_down += times,
                DirectionStatus::Disputed => lately.became_disputed += times,
                DirectionStatus::Up | DirectionStatus::Slow if before.works() != Some(true) => {
                    lately.came_up += times;
                }
                DirectionStatus::Up
                | DirectionStatus::Slow
                | DirectionStatus::NotOnboarded
                | DirectionStatus::Suspended => {}
            }
        }
        let rows = self
            .tally(
                "select count(case when first_seen_at > $1 then 1 end) as raised,
                        count(case when resolved_at > $1 and state = 'RESOLVED' then 1 end) as resolved
                 from issue where (first_seen_at > $1 or resolved_at > $1) and {scope}",
                "company_id",
                vec![ms(since).into()],
            )
            .await?;
        if let Some(row) = rows.first() {
            lately.issues_raised = row.try_get("", "raised")?;
            lately.issues_resolved = row.try_get("", "resolved")?;
        }
        let rows = self
            .tally(
                "select count(*) as n from connection where onboarded_at > $1 and {scope}",
                "company_id",
                vec![ms(since).into()],
            )
            .await?;
        lately.onboarded = rows.first().map(|row| row.try_get("", "n")).transpose()?.unwrap_or_default();
        Ok(lately)
    }

    /// Connections that somebody should look at, the one that changed last first: a direction does not work or is slow,
    /// the checks failed, or it is paused by either side.
    ///
    /// # Errors
    /// When the database does not answer, or a row matches no legal state.
    pub async fn connections_needing_attention(&self, limit: u64) -> Result<Vec<Connection>, StoreError> {
        self.last_changed(entity::connection::Entity::find().filter(needing_attention()), limit).await
    }

    /// Connections, those first that somebody should look at; of both, the one that changed last first.
    ///
    /// # Errors
    /// When the database does not answer, or a row matches no legal state.
    pub async fn connections_by_attention(&self, limit: u64) -> Result<Vec<Connection>, StoreError> {
        let first: Expr = Expr::case(needing_attention(), 0).finally(1).into();
        self.last_changed(entity::connection::Entity::find().order_by_asc(first), limit).await
    }

    async fn last_changed(
        &self,
        query: Select<entity::connection::Entity>,
        limit: u64,
    ) -> Result<Vec<Connection>, StoreError> {
        use entity::connection::Column;
        let Some(query) = self.scoped(query, Column::CompanyId) else { return Ok(Vec::new()) };
        let rows = query
            .order_by_desc(Column::UpdatedAt)
            .order_by_asc(Column::Id)
            .limit(limit)
            .all(self.conn())
            .await?;
        rows.into_iter().map(connection::from_row).collect()
    }
}

/// A direction does not work or is slow, the checks failed, or it is paused by either side.
pub(super) fn needing_attention() -> sea_orm::Condition {
    use entity::{connection, direction};
    // *Suspended* where this side did not pause it: the other side did.
    let troubled =
        [DirectionStatus::Down, DirectionStatus::Disputed, DirectionStatus::Slow, DirectionStatus::Suspended];
    let troubled = direction::Entity::find()
        .select_only()
        .column(direction::Column::ConnectionId)
        .filter(direction::Column::Shown.is_in(troubled.map(DirectionStatus::as_str)));
    let states = [ConnectionState::ValidationFailed, ConnectionState::Suspended];
    let troubled = connection::Column::Id.in_subquery(sea_orm::QueryTrait::into_query(troubled));
    // Another node may still have written what it saw last of a connection that was taken down.
    let ended = [ConnectionState::Offboarding, ConnectionState::Offboarded].map(ConnectionState::as_str);
    sea_orm::Condition::any()
        .add(sea_orm::Condition::all().add(troubled).add(connection::Column::State.is_not_in(ended)))
        .add(connection::Column::State.is_in(states.map(ConnectionState::as_str)))
}

fn status(row: &QueryResult, column: &str) -> Result<Option<DirectionStatus>, StoreError> {
    let text: Option<String> = row.try_get("", column)?;
    Ok(text.as_deref().and_then(DirectionStatus::parse))
}
