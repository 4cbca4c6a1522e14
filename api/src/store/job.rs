//! Work written with the fact that caused it, carried out at least once under a lease with a fencing number.

use chrono::TimeDelta;
use sea_orm::sea_query::{Expr, ExprTrait as _, OnConflict};
use sea_orm::{
    ColumnTrait as _, ConnectionTrait as _, DbBackend, EntityTrait as _, FromQueryResult as _,
    PaginatorTrait as _, QueryFilter as _, Set, Statement,
};
use uuid::Uuid;

use super::tx::Tx;
use super::{Store, StoreError, at, entity, inconsistent, ms};
use crate::domain::Timestamp;
use crate::domain::effect::Work;
use crate::domain::id::{JobId, TraceId};
use entity::job::{Column, Entity, Model};

/// How long a worker may be silent about a job before another takes it.
const LEASE: TimeDelta = TimeDelta::seconds(60);
const CLAIM_ALONE: &str =
    "update job set lease_until = $1, fence = fence + 1, tries = tries + 1, woken = false
    where id = (select id from job where state = 'PENDING' and run_at <= $2
                and (lease_until is null or lease_until <= $2) and kind in ({kinds})
                order by run_at, id limit 1)
    returning *";
const CLAIM_BESIDE_OTHERS: &str =
    "update job set lease_until = $1, fence = fence + 1, tries = tries + 1, woken = false
    where id = (select id from job where state = 'PENDING' and run_at <= $2
                and (lease_until is null or lease_until <= $2) and kind in ({kinds})
                order by run_at, id limit 1 for update skip locked)
    returning *";
/// The first that waits, found by the index, and of what is held the first that can be taken over: it counts from the end
/// of its lease, and must not hide one behind it.
const NEXT: &str = "select min(due) as due from (
    select * from (select run_at as due from job
        where state = 'PENDING' and lease_until is null and kind in ({kinds}) order by run_at limit 1) as waiting
    union all
    select case when lease_until > run_at then lease_until else run_at end from job
        where lease_until is not null and state = 'PENDING' and kind in ({kinds})) as both_of_them";
/// How many things are named in one statement.
const SUBJECTS: usize = 1_000;
/// The longest text of an error that is kept.
const ERROR_LENGTH: usize = 500;

/// A piece of work to write.
#[derive(Debug)]
pub struct NewJob {
    /// What to do.
    pub work: Work,
    /// When, at the earliest.
    pub run_at: Timestamp,
    /// What the worker needs that nobody may read, sealed by the key service.
    pub sealed: Option<Vec<u8>>,
}

/// A piece of work that this worker holds.
#[derive(Clone, Debug)]
pub struct Job {
    /// Which one; also the idempotency key towards whatever the work reaches.
    pub id: JobId,
    /// What to do.
    pub work: Work,
    /// Sealed details.
    pub sealed: Option<Vec<u8>>,
    /// The trace of whoever caused it.
    pub trace: TraceId,
    /// How often it was begun, this time included.
    pub tries: i64,
    fence: i64,
}

/// What there is one of.
fn dedupe(work: &Work) -> Option<String> {
    match work.subject() {
        Some(subject) => Some(format!("{}:{subject}", work.kind())),
        // Of the work that is about no one thing, only letters are many.
        None => (*work != Work::Letter).then(|| work.kind().to_owned()),
    }
}

fn pending(work: &[Work]) -> sea_orm::Select<Entity> {
    Entity::find()
        .filter(Column::Dedupe.is_in(work.iter().filter_map(dedupe)))
        .filter(Column::State.eq("PENDING"))
}

impl Tx {
    /// Writes a piece of work. Work that is about one thing exists once per thing: writing it again moves it
    /// forward, and if it runs just now, it runs once more afterwards.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn enqueue(&mut self, job: NewJob) -> Result<JobId, StoreError> {
        let id = self.uuid()?;
        let dedupe = dedupe(&job.work);
        let row = entity::job::ActiveModel {
            id: Set(id),
            kind: Set(job.work.kind().to_owned()),
            subject_id: Set(job.work.subject()),
            dedupe: Set(dedupe),
            sealed: Set(job.sealed),
            trace: Set(self.cause.trace.to_string()),
            state: Set("PENDING".to_owned()),
            run_at: Set(ms(job.run_at)),
            tries: Set(0),
            woken: Set(false),
            fence: Set(0),
            lease_until: Set(None),
            last_error: Set(None),
            created_at: Set(self.now_ms()),
        };
        let again = OnConflict::column(Column::Dedupe)
            .update_columns([Column::RunAt, Column::State, Column::Sealed])
            .value(Column::Woken, true)
            .value(Column::Tries, 0)
            .to_owned();
        Entity::insert(row).on_conflict(again).exec_without_returning(&self.txn).await?;
        self.woke = true;
        Ok(JobId(id))
    }

    /// Brings work that recurs forward: what would have come within `pause` of the moment `from` comes within `within`
    /// of it. Of one kind, all of it or what is about these things; what is due before that moment stays as it is.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn bring_forward(
        &mut self,
        kind: &str,
        about: Option<&[Uuid]>,
        from: Timestamp,
        (pause, within): (TimeDelta, TimeDelta),
    ) -> Result<(), StoreError> {
        let pause = pause.max(TimeDelta::milliseconds(1));
        let (pause, within) = (pause.num_milliseconds(), within.min(pause).num_milliseconds());
        let from = ms(from);
        let nearer = Expr::val(from).add(Expr::col(Column::RunAt).sub(from).mul(within).div(pause));
        let further = Entity::update_many()
            .col_expr(Column::RunAt, nearer)
            .filter(Column::Kind.eq(kind))
            .filter(Column::State.eq("PENDING"))
            .filter(Column::RunAt.gt(from));
        match about {
            None => {
                further.exec(&self.txn).await?;
            }
            Some(about) => {
                for about in about.chunks(SUBJECTS) {
                    let among = Column::SubjectId.is_in(about.iter().copied());
                    further.clone().filter(among).exec(&self.txn).await?;
                }
            }
        }
        self.woke = true;
        Ok(())
    }

    /// Whether one of these pieces of work waits or runs.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn has_work(&self, work: &[Work]) -> Result<bool, StoreError> {
        Ok(pending(work).one(&self.txn).await?.is_some())
    }

    /// Whether one of these pieces of work runs or is about to: what failed and is tried again later is not.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn has_due_work(&self, work: &[Work]) -> Result<bool, StoreError> {
        let due = pending(work).filter(Column::RunAt.lte(self.now_ms()));
        Ok(due.one(&self.txn).await?.is_some())
    }

    /// The work about one thing that was given up, each with its last error.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn stuck_work(&self, subject: Uuid) -> Result<Vec<String>, StoreError> {
        let query = Entity::find().filter(Column::SubjectId.eq(subject)).filter(Column::State.eq("DEAD"));
        let say = |row: Model| format!("{}: {}", row.kind, row.last_error.unwrap_or_default());
        Ok(query.all(&self.txn).await?.into_iter().map(say).collect())
    }

    /// Has the work about one thing that was given up tried again.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn retry_work(&mut self, subject: Uuid) -> Result<(), StoreError> {
        Entity::update_many()
            .col_expr(Column::State, Expr::value("PENDING"))
            .col_expr(Column::Tries, Expr::value(0_i64))
            .col_expr(Column::RunAt, Expr::value(self.now_ms()))
            .filter(Column::SubjectId.eq(subject))
            .filter(Column::State.eq("DEAD"))
            .exec(&self.txn)
            .await?;
        self.woke = true;
        Ok(())
    }

    /// Takes back all work about one thing.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn forget_work(&mut self, subject: Uuid) -> Result<(), StoreError> {
        Entity::delete_many().filter(Column::SubjectId.eq(subject)).exec(&self.txn).await?;
        Ok(())
    }
}

impl Store {
    /// Takes the next piece of work of these kinds that is due, if any. What another version of this program wrote is of
    /// none of them.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn claim_job(&self, now: Timestamp, kinds: &[&str]) -> Result<Option<Job>, StoreError> {
        let sql = match self.backend() {
            // Several nodes look at once: each takes another row, none waits.
            DbBackend::Postgres => CLAIM_BESIDE_OTHERS,
            _ => CLAIM_ALONE,
        };
        let times = vec![ms(now + LEASE).into(), ms(now).into()];
        let statement = self.about_kinds(sql, times, kinds);
        let Some(row) = self.write.query_one_raw(statement).await? else { return Ok(None) };
        let row = Model::from_query_result(&row, "")?;
        Ok(Some(Job {
            id: JobId(row.id),
            work: Work::parse(&row.kind, row.subject_id)
                .ok_or_else(|| inconsistent("job", row.id, "kind"))?,
            trace: TraceId::parse(&row.trace).ok_or_else(|| inconsistent("job", row.id, "trace"))?,
            sealed: row.sealed,
            tries: row.tries,
            fence: row.fence,
        }))
    }

    /// The job is done. If it was asked for again meanwhile, it runs again; if another worker took it over,
    /// nothing happens.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn settle_job(&self, job: &Job) -> Result<(), StoreError> {
        let done = Entity::delete_many()
            .filter(Column::Id.eq(job.id.0))
            .filter(Column::Fence.eq(job.fence))
            .filter(Column::Woken.eq(false))
            .exec(&self.write)
            .await?;
        if done.rows_affected == 0 {
            self.release(job, "update job set lease_until = null where id = $1 and fence = $2", vec![])
                .await?;
        }
        Ok(())
    }

    /// The job did not succeed: again at `run_at`, or never (`None`), which leaves it to be seen as dead since then, without
    /// what a letter said. If it was asked for again meanwhile, it runs again as it was asked for.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn fail_job(
        &self,
        job: &Job,
        error: &str,
        run_at: Option<Timestamp>,
    ) -> Result<(), StoreError> {
        let error: String = error.chars().take(ERROR_LENGTH).collect();
        let (state, run_at) = run_at.map_or(("DEAD", self.world.now()), |at| ("PENDING", at));
        self.release(
            job,
            "update job set lease_until = null, last_error = $3,
                    state = case when woken then 'PENDING' else $4 end,
                    run_at = case when woken then run_at else $5 end,
                    sealed = case when kind = 'LETTER' and $4 = 'DEAD' then null else sealed end
             where id = $1 and fence = $2",
            vec![error.into(), state.into(), ms(run_at).into()],
        )
        .await
    }

    async fn release(&self, job: &Job, sql: &str, more: Vec<sea_orm::Value>) -> Result<(), StoreError> {
        let mut values: Vec<sea_orm::Value> = vec![job.id.0.into(), job.fence.into()];
        values.extend(more);
        self.write.execute_raw(Statement::from_sql_and_values(self.backend(), sql, values)).await?;
        Ok(())
    }

    /// A statement whose `{kinds}` are these; the values come before them.
    fn about_kinds(&self, sql: &str, mut values: Vec<sea_orm::Value>, kinds: &[&str]) -> Statement {
        let places: Vec<_> = (values.len() + 1..).map(|n| format!("${n}")).take(kinds.len()).collect();
        values.extend(kinds.iter().map(|kind| sea_orm::Value::from(*kind)));
        Statement::from_sql_and_values(self.backend(), sql.replace("{kinds}", &places.join(", ")), values)
    }

    /// When the next piece of work of these kinds is due, whether held by a worker or not.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn next_job_at(&self, kinds: &[&str]) -> Result<Option<Timestamp>, StoreError> {
        let statement = self.about_kinds(NEXT, Vec::new(), kinds);
        let row = self.read.query_one_raw(statement).await?;
        let due: Option<i64> = row.map(|row| row.try_get("", "due")).transpose()?.flatten();
        Ok(due.map(at))
    }

    /// How many pieces of work wait, and how many were given up.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn job_counts(&self) -> Result<(u64, u64), StoreError> {
        let count = |state: &'static str| Entity::find().filter(Column::State.eq(state)).count(&self.read);
        Ok((count("PENDING").await?, count("DEAD").await?))
    }
}
