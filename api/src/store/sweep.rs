//! Forgetting what is past its time.

use chrono::TimeDelta;
use sea_orm::sea_query::ExprTrait as _;
use sea_orm::{ColumnTrait as _, ConnectionTrait as _, EntityTrait as _, QueryFilter as _, Statement};

use super::tx::Tx;
use super::{StoreError, entity, ms};
use crate::domain::history::HISTORY_KEPT;

/// How long idempotency keys are kept.
const IDEMPOTENCY_KEPT: TimeDelta = TimeDelta::days(7);
/// How long denials of access to keys are kept, to be explained.
const DECISIONS_KEPT: TimeDelta = TimeDelta::days(30);
/// How long it is known how many messages went in each hour.
const TRAFFIC_KEPT: TimeDelta = TimeDelta::days(7);
/// How long changes are kept for subscriptions to resume from.
const CHANGES_KEPT: TimeDelta = TimeDelta::days(7);

/// How long work that was given up is kept to be seen, and tried again.
const DEAD_WORK_KEPT: TimeDelta = TimeDelta::days(30);
/// How long scans are kept that decided nothing, and what their checks answered.
const SCANS_KEPT: TimeDelta = TimeDelta::days(90);
/// How long issues are kept after they were resolved or closed.
const ISSUES_KEPT: TimeDelta = TimeDelta::days(90);

impl Tx {
    /// Forgets expired sessions, codes, tokens, replay records, message answers, idempotency keys, changes, history, issues
    /// that are over, work that was given up, and failures.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn sweep(&mut self) -> Result<(), StoreError> {
        let now = self.now_ms();
        let (keys, changes) = (ms(self.now() - IDEMPOTENCY_KEPT), ms(self.now() - CHANGES_KEPT));
        let txn = &self.txn;
        entity::session::Entity::delete_many()
            .filter(entity::session::Column::ExpiresAt.lt(now))
            .exec(txn)
            .await?;
        entity::sign_in_code::Entity::delete_many()
            .filter(entity::sign_in_code::Column::ExpiresAt.lt(now))
            .exec(txn)
            .await?;
        entity::access_token::Entity::delete_many()
            .filter(entity::access_token::Column::ExpiresAt.lt(now))
            .exec(txn)
            .await?;
        entity::replay::Entity::delete_many()
            .filter(entity::replay::Column::ExpiresAt.lt(now))
            .exec(txn)
            .await?;
        entity::message::Entity::delete_many()
            .filter(entity::message::Column::ExpiresAt.lt(now))
            .exec(txn)
            .await?;
        entity::idempotency::Entity::delete_many()
            .filter(entity::idempotency::Column::CreatedAt.lt(keys))
            .exec(txn)
            .await?;
        // A scan that decided is named by what it decided about.
        let decides = entity::scan::Column::Suite.like("PRE_%");
        entity::scan::Entity::delete_many()
            .filter(entity::scan::Column::FinishedAt.lt(ms(self.now() - SCANS_KEPT)))
            .filter(decides.not())
            .exec(txn)
            .await?;
        // Of what an older version gave up, only its beginning is known.
        let dead = ms(self.now() - DEAD_WORK_KEPT);
        entity::job::Entity::delete_many()
            .filter(entity::job::Column::State.eq("DEAD"))
            .filter(entity::job::Column::RunAt.lt(dead))
            .filter(entity::job::Column::CreatedAt.lt(dead))
            .exec(txn)
            .await?;
        // An open issue has no such time.
        entity::issue::Entity::delete_many()
            .filter(entity::issue::Column::ResolvedAt.lt(ms(self.now() - ISSUES_KEPT)))
            .exec(txn)
            .await?;
        entity::change::Entity::delete_many()
            .filter(entity::change::Column::At.lt(changes))
            .exec(txn)
            .await?;
        // Of each direction, what was in force when the rest ended is needed for what follows.
        let history = ms(self.now() - HISTORY_KEPT);
        let superseded = Statement::from_sql_and_values(
            txn.get_database_backend(),
            "delete from direction_history where at < $1 and exists (
                select 1 from direction_history later
                where later.connection_id = direction_history.connection_id and later.way = direction_history.way
                  and later.at > direction_history.at and later.at <= $2)",
            [history.into(), history.into()],
        );
        txn.execute_raw(superseded).await?;
        entity::traffic::Entity::delete_many()
            .filter(entity::traffic::Column::Hour.lt(ms(self.now() - TRAFFIC_KEPT)))
            .exec(txn)
            .await?;
        entity::failure::Entity::delete_many()
            .filter(entity::failure::Column::LastAt.lt(history))
            .exec(txn)
            .await?;
        entity::key_decision::Entity::delete_many()
            .filter(entity::key_decision::Column::At.lt(ms(self.now() - DECISIONS_KEPT)))
            .exec(txn)
            .await?;
        Ok(())
    }
}
