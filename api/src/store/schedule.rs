//! How often suites run by themselves.

use sea_orm::sea_query::Expr;
use sea_orm::{ColumnTrait as _, ConnectionTrait, EntityTrait as _, QueryFilter as _, QueryOrder as _};

use super::change::{ChangeKind, SubjectKind};
use super::tx::Tx;
use super::{Reader, StoreError, at, entity, inconsistent};
use crate::domain::check::Suite;
use crate::domain::id::UserId;
use crate::domain::schedule::Schedule;
use entity::check_schedule::{Column, Entity, Model};

fn from_row(row: Model) -> Result<Schedule, StoreError> {
    let wrong = |column| inconsistent("check_schedule", &row.suite, column);
    Ok(Schedule {
        suite: Suite::parse(&row.suite).ok_or_else(|| wrong("suite"))?,
        interval: chrono::TimeDelta::try_seconds(row.interval_seconds)
            .ok_or_else(|| wrong("interval_seconds"))?,
        enabled: row.enabled,
        updated_by: row.updated_by.map(UserId),
        updated_at: (row.updated_at > 0).then(|| at(row.updated_at)),
        revision: row.revision,
    })
}

async fn of_suite(conn: &impl ConnectionTrait, suite: Suite) -> Result<Option<Schedule>, StoreError> {
    Entity::find_by_id(suite.as_str()).one(conn).await?.map(from_row).transpose()
}

impl Reader {
    /// All schedules, by suite.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn schedules(&self) -> Result<Vec<Schedule>, StoreError> {
        if self.scope() != crate::domain::requester::Scope::Everything {
            return Ok(Vec::new());
        }
        Entity::find().order_by_asc(Column::Suite).all(self.conn()).await?.into_iter().map(from_row).collect()
    }
}

impl Tx {
    /// The schedule of a suite; none where it does not run by itself.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn schedule(&self, suite: Suite) -> Result<Option<Schedule>, StoreError> {
        of_suite(&self.txn, suite).await
    }

    /// Saves a schedule, if nobody changed it since it was read.
    ///
    /// # Errors
    /// [`StoreError::Conflict`].
    pub async fn save_schedule(&mut self, mut schedule: Schedule) -> Result<Schedule, StoreError> {
        let saved = Entity::update_many()
            .col_expr(Column::IntervalSeconds, Expr::value(schedule.interval.num_seconds()))
            .col_expr(Column::Enabled, Expr::value(schedule.enabled))
            .col_expr(Column::UpdatedBy, Expr::value(schedule.updated_by.map(|id| id.0)))
            .col_expr(Column::UpdatedAt, Expr::value(self.now_ms()))
            .col_expr(Column::Revision, Expr::value(schedule.revision + 1))
            .filter(Column::Suite.eq(schedule.suite.as_str()))
            .filter(Column::Revision.eq(schedule.revision))
            .exec(&self.txn)
            .await?;
        if saved.rows_affected == 0 {
            return Err(StoreError::Conflict("schedule"));
        }
        schedule.revision += 1;
        schedule.updated_at = Some(self.now());
        let (kind, body) = (ChangeKind::Updated, serde_json::json!({ "suite": schedule.suite.as_str() }));
        self.changed(SubjectKind::CheckSchedule, uuid::Uuid::nil(), kind, schedule.revision, None, body);
        Ok(schedule)
    }
}
