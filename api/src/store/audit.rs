//! Who did what to what, when, in a chain in which each entry's hash covers the one before.

use keyservice::audit::{Entry, Recorded};
use sea_orm::sea_query::{Expr, ExprTrait as _, LikeExpr, Query, SimpleExpr, UnionType};
use sea_orm::{
    ColumnTrait as _, Condition, ConnectionTrait, DbBackend, EntityTrait as _, FromQueryResult as _,
    QueryFilter as _, QueryOrder as _, QueryResult, QuerySelect as _, QueryTrait as _, Select, Set,
    Statement,
};
use serde_json::{Map, Value};
use uuid::Uuid;

use super::tx::{Cause, PendingAudit, Tx};
use super::{Page, Reader, Slice, Store, StoreError, at, entity, inconsistent, ms};
use crate::domain::Timestamp;
use crate::domain::audit::{Actor, AuditEntry, AuditNumber, AuditScope};
use crate::domain::id::{ConnectionId, TraceId, UserId};
use crate::domain::link::hex;
use crate::domain::requester::Requester;
use entity::audit::{ActiveModel, Column, Entity, Model};

/// The most rows one statement carries, to stay under the databases' limits on parameters.
const ROWS: usize = 500;

/// Which entries.
#[derive(Clone, Debug, Default)]
pub struct AuditFilter {
    /// Whose operation begins with this.
    pub operation: Option<String>,
    /// By this actor.
    pub actor: Option<String>,
    /// About this thing.
    pub object: Option<String>,
    /// About this key module or what is kept below its name: those whose details name it.
    pub module: Option<String>,
    /// That keep this keyed hash of an email address.
    pub address: Option<[u8; 32]>,
    /// With this result.
    pub result: Option<String>,
    /// From then on.
    pub since: Option<Timestamp>,
    /// Before then.
    pub until: Option<Timestamp>,
}

/// How far the trail goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuditTail {
    /// The number of the last entry.
    pub n: i64,
    /// Its hash.
    pub hash: [u8; 32],
}

/// Somebody who had the credentials of an account in their hands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CredentialHand {
    /// Who, as the trail names them.
    pub actor: String,
    /// Whether they gave it a password; otherwise they made the account without one.
    pub gave_password: bool,
}

impl Tx {
    /// Who made an account and who gave it passwords, the oldest first.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn credential_hands(&self, account: UserId) -> Result<Vec<CredentialHand>, StoreError> {
        const MADE: &str = "user.create";
        let rows = Entity::find()
            .filter(Column::ObjectId.eq(account.to_string()))
            .filter(Column::Operation.is_in([MADE, "account.password", "key.account.password"]))
            .order_by_asc(Column::N)
            .all(&self.txn)
            .await?;
        Ok(rows
            .into_iter()
            .map(|row| CredentialHand {
                // Older entries do not say whether one was given: it may have been.
                gave_password: row.operation != MADE || row.details["password"] != Value::Bool(false),
                actor: row.actor,
            })
            .collect())
    }

    /// Writes an audit entry with the fact. `details` must hold no secret.
    pub fn audit(
        &mut self,
        operation: &'static str,
        object_kind: &'static str,
        object_id: impl ToString,
        result: impl Into<String>,
        details: Value,
    ) {
        self.audits.push(PendingAudit {
            operation,
            object_kind,
            object_id: object_id.to_string(),
            result: result.into(),
            details,
            sensitive: Vec::new(),
        });
    }

    /// Whose doing all of this is, from when it is known: who signed in, and whose message it is.
    pub fn acts_for(&mut self, requester: Requester) {
        self.cause.requester = requester;
    }

    /// Adds a sensitive value to the last audit entry, as its keyed hash: searchable for a known value, readable by
    /// nobody.
    pub fn audit_sensitive(&mut self, name: &'static str, mac: [u8; 32]) {
        if let Some(entry) = self.audits.last_mut() {
            entry.sensitive.push((name, mac));
            entry.sensitive.sort_unstable();
        }
    }
}

pub(super) async fn append(
    conn: &impl ConnectionTrait,
    cause: &Cause,
    first: i64,
    mut hash: [u8; 32],
    entries: Vec<PendingAudit>,
) -> Result<(), StoreError> {
    let last = first + i64::try_from(entries.len()).unwrap_or(i64::MAX) - 1;
    let mut rows = Vec::with_capacity(entries.len());
    for (pending, n) in entries.into_iter().zip(first..) {
        let mut details = pending.details;
        if let (true, Some(details)) = (cause.requester.is_on_host(), details.as_object_mut()) {
            details.insert("origin".to_owned(), "host".into());
        }
        let entry = Entry {
            n: n.unsigned_abs(),
            at: ms(cause.now),
            actor: cause.requester.actor(),
            role: cause.requester.roles(),
            on_behalf_of: cause.requester.on_behalf_of(),
            operation: pending.operation.to_owned(),
            object_kind: pending.object_kind.to_owned(),
            object_id: pending.object_id,
            result: pending.result,
            trace: cause.trace.to_string(),
            details: details.to_string(),
            sensitive: pending.sensitive.into_iter().map(|(name, mac)| (name.to_owned(), mac)).collect(),
        };
        hash = entry.hash(&hash);
        rows.push(to_row(entry, details, n, hash));
    }
    for chunk in rows.chunks(ROWS) {
        Entity::insert_many(chunk.to_vec()).exec_without_returning(conn).await?;
    }
    let backend = conn.get_database_backend();
    let sql = "update head set audit_hash = $1 where id = 1";
    conn.execute_raw(Statement::from_sql_and_values(backend, sql, [hash.to_vec().into()])).await?;
    let every = i64::try_from(keyservice::checkpoint::EVERY_ENTRIES).unwrap_or(i64::MAX);
    if first / every != (last + 1) / every {
        let sql = "update job set run_at = $1 where dedupe = 'CHECKPOINT' and run_at > $1";
        let now = ms(cause.now).into();
        conn.execute_raw(Statement::from_sql_and_values(backend, sql, [now])).await?;
    }
    Ok(())
}

fn to_row(entry: Entry, details: Value, n: i64, hash: [u8; 32]) -> ActiveModel {
    let sensitive: Map<String, Value> =
        entry.sensitive.into_iter().map(|(name, mac)| (name, Value::from(hex(&mac)))).collect();
    ActiveModel {
        n: Set(n),
        hash: Set(hash.to_vec()),
        at: Set(entry.at),
        actor: Set(entry.actor),
        operation: Set(entry.operation),
        object_kind: Set(entry.object_kind),
        object_id: Set(entry.object_id),
        result: Set(entry.result),
        trace: Set(entry.trace),
        details: Set(details),
        role: Set(entry.role),
        on_behalf_of: Set(entry.on_behalf_of),
        sensitive: Set(Value::Object(sensitive)),
    }
}

/// A row as it is, believed nothing of: whoever verifies says what is wrong with it. One that cannot be read is an
/// entry that nobody wrote.
fn from_result(row: &QueryResult, backend: DbBackend) -> Recorded {
    let Ok(model) = Model::from_query_result(row, "") else {
        let n: i64 = row.try_get("", "n").unwrap_or_default();
        return Recorded { entry: Entry { n: n.unsigned_abs(), ..Entry::default() }, hash: [0; 32] };
    };
    // PostgreSQL keeps JSON in one form. SQLite keeps the text that it was given, of which a query and this program read
    // different things where a field is there twice: what is not as this program writes it, nobody wrote.
    let as_written = match backend {
        DbBackend::Sqlite => {
            let same = |text: &str, value: &Value| {
                let written = value.to_string();
                row.try_get::<String>("", text).is_ok_and(|text| text == written)
            };
            same(DETAILS, &model.details) && same(SENSITIVE, &model.sensitive)
        }
        _ => true,
    };
    let fields = model.sensitive.as_object().map_or(0, Map::len);
    let mut recorded = from_row(model);
    if !as_written || recorded.entry.sensitive.len() != fields {
        recorded.hash = [0; 32];
    }
    recorded
}

/// The texts of the fields with JSON.
const DETAILS: &str = "details_text";
const SENSITIVE: &str = "sensitive_text";

fn from_row(row: Model) -> Recorded {
    let sensitive = match row.sensitive {
        Value::Object(fields) => fields,
        _ => Map::new(),
    };
    let sensitive = sensitive.into_iter().filter_map(|(name, mac)| {
        let mac = data_encoding::HEXLOWER.decode(mac.as_str()?.as_bytes()).ok()?;
        Some((name, mac.try_into().ok()?))
    });
    Recorded {
        entry: Entry {
            n: u64::try_from(row.n).unwrap_or_default(),
            at: row.at,
            actor: row.actor,
            role: row.role,
            on_behalf_of: row.on_behalf_of,
            operation: row.operation,
            object_kind: row.object_kind,
            object_id: row.object_id,
            result: row.result,
            trace: row.trace,
            details: row.details.to_string(),
            sensitive: sensitive.collect(),
        },
        hash: row.hash.try_into().unwrap_or_default(),
    }
}

/// Whose operation begins so.
fn begins(prefix: &str) -> SimpleExpr {
    Expr::col(Column::Operation).like(LikeExpr::new(format!("{}%", literal(prefix))).escape('\\'))
}

/// A text in a pattern, with wildcards taken literally.
fn literal(text: &str) -> String {
    text.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_")
}

/// Whose details name this key module, or a key below it, such as `links/` and an id.
fn names_module(name: &str) -> Condition {
    let named = || Expr::cust("details ->> 'module'");
    let below = LikeExpr::new(format!("{}/%", literal(name))).escape('\\');
    Condition::any().add(named().eq(name)).add(named().like(below))
}

/// What an entry about an email address that is no account's is about: it names none, so that the index of objects leads
/// to them.
pub const ADDRESS_KIND: &str = "ADDRESS";
/// The sensitive value that such an entry keeps.
pub const ADDRESS: &str = "email";

/// That keep this keyed hash of an email address.
fn keeps_address(mac: &[u8; 32]) -> Condition {
    Condition::all()
        .add(Column::ObjectId.eq(""))
        .add(Column::ObjectKind.eq(ADDRESS_KIND))
        .add(Expr::cust(format!("sensitive ->> '{ADDRESS}'")).eq(hex(mac)))
}

fn matching(filter: &AuditFilter, scope: AuditScope) -> Condition {
    let mut all = Condition::all();
    if !scope.within.is_empty() {
        all = all.add(scope.within.iter().fold(Condition::any(), |any, prefix| any.add(begins(prefix))));
    }
    for prefix in scope.without {
        all = all.add(begins(prefix).not());
    }
    all.add_option(filter.operation.as_deref().map(begins))
        .add_option(filter.actor.as_ref().map(|actor| Column::Actor.eq(actor)))
        .add_option(filter.object.as_ref().map(|object| Column::ObjectId.eq(object)))
        .add_option(filter.module.as_deref().map(names_module))
        .add_option(filter.address.as_ref().map(keeps_address))
        .add_option(filter.result.as_ref().map(|result| Column::Result.eq(result)))
        .add_option(filter.since.map(|since| Column::At.gte(ms(since))))
        .add_option(filter.until.map(|until| Column::At.lt(ms(until))))
}

impl Store {
    /// So many entries behind this number, in their order: for an export.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn audit_behind(&self, n: i64, limit: u64) -> Result<Vec<Recorded>, StoreError> {
        self.recorded(Entity::find().filter(Column::N.gt(n)).limit(limit)).await
    }

    /// As [`Store::audit_behind`], of those that keep this keyed hash of an email address.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn audit_of_address(
        &self,
        mac: &[u8; 32],
        n: i64,
        limit: u64,
    ) -> Result<Vec<Recorded>, StoreError> {
        self.recorded(Entity::find().filter(Column::N.gt(n)).filter(keeps_address(mac)).limit(limit)).await
    }

    async fn recorded(&self, rows: Select<Entity>) -> Result<Vec<Recorded>, StoreError> {
        let backend = self.backend();
        let mut rows = rows.order_by_asc(Column::N);
        if backend == DbBackend::Sqlite {
            rows = rows
                .expr_as(Expr::cust("cast(details as text)"), DETAILS)
                .expr_as(Expr::cust("cast(sensitive as text)"), SENSITIVE);
        }
        let rows = self.read.query_all_raw(rows.build(backend)).await?;
        Ok(rows.iter().map(|row| from_result(row, backend)).collect())
    }

    /// How far the trail goes.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn audit_tail(&self) -> Result<AuditTail, StoreError> {
        let sql = "select audit_n, audit_hash from head where id = 1";
        let row = self.read.query_one_raw(Statement::from_string(self.backend(), sql)).await?;
        let row = row.ok_or(StoreError::Missing("head"))?;
        let hash: Vec<u8> = row.try_get("", "audit_hash")?;
        let hash = hash.try_into().map_err(|_| inconsistent("head", 1, "audit_hash"))?;
        Ok(AuditTail { n: row.try_get("", "audit_n")?, hash })
    }
}

/// An entry as people read it.
fn shown(row: Model) -> AuditEntry {
    let then = at(row.at);
    let Recorded { entry, hash } = from_row(row);
    let id = |prefix| entry.actor.strip_prefix(prefix).and_then(|id| Uuid::try_parse(id).ok());
    AuditEntry {
        id: AuditNumber(i64::try_from(entry.n).unwrap_or(i64::MAX)),
        at: then,
        actor: match (id("user:"), id("peer:")) {
            (Some(person), _) => Actor::Person(UserId(person)),
            (None, Some(connection)) => Actor::Peer(ConnectionId(connection)),
            (None, None) if entry.actor == "system" => Actor::System,
            (None, None) => Actor::Anonymous,
        },
        roles: entry.role.split(',').filter(|role| !role.is_empty()).map(str::to_owned).collect(),
        on_behalf_of: Some(entry.on_behalf_of).filter(|company| !company.is_empty()),
        operation: entry.operation,
        object_kind: entry.object_kind,
        object_id: entry.object_id,
        result: entry.result,
        trace: TraceId::parse(&entry.trace),
        details: entry.details,
        hash,
    }
}

/// A page of entries, with one more than asked for.
fn ordered(query: Select<Entity>, page: Page<i64>) -> Select<Entity> {
    let query = query.limit(page.limit + 1);
    let query = match (page.beyond, page.backward) {
        (Some(n), false) => query.filter(Column::N.lt(n)),
        (Some(n), true) => query.filter(Column::N.gt(n)),
        (None, _) => query,
    };
    if page.backward { query.order_by_asc(Column::N) } else { query.order_by_desc(Column::N) }
}

impl Reader {
    /// A page of the audit trail, the newest entries first; none for whoever may not read it.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn audit_page(
        &self,
        filter: &AuditFilter,
        page: Page<i64>,
    ) -> Result<Option<Slice<AuditEntry>>, StoreError> {
        let Some(scope) = self.audit() else { return Ok(None) };
        let found = matching(filter, scope);
        let rows = if let Some(prefix) = &filter.operation {
            let operations = self.operations(prefix).await?;
            let each = |operation: &String| {
                let one = found.clone().add(Column::Operation.eq(operation));
                let numbers = ordered(Entity::find().filter(one), page).select_only().column(Column::N);
                // In parentheses, SQLite would not take it with an order and a limit of its own.
                Query::select().column(Column::N).from_subquery(numbers.into_query(), "newest").take()
            };
            let Some((first, others)) = operations.split_first() else { return Ok(Some(Slice::default())) };
            let mut numbers = each(first);
            for operation in others {
                numbers.union(UnionType::All, each(operation));
            }
            ordered(Entity::find().filter(Column::N.in_subquery(numbers)), page)
        } else {
            ordered(Entity::find().filter(found), page)
        };
        let rows = rows.all(self.conn()).await?;
        Ok(Some(page.slice(rows.into_iter().map(shown).collect())))
    }

    /// The operations on record that begin like this. Each is one step in an index, however long the trail is; by
    /// themselves they are found and paged by that index, as a pattern is not.
    async fn operations(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        let sql = "with recursive known (name) as ( \
            select min(operation) from audit union all \
            select (select min(operation) from audit where operation > known.name) from known \
            where known.name is not null) select name from known where name is not null";
        let rows = self.conn().query_all_raw(Statement::from_string(self.conn().get_database_backend(), sql));
        let names = rows.await?.iter().map(|row| row.try_get("", "name")).collect::<Result<Vec<String>, _>>();
        Ok(names?.into_iter().filter(|name| name.starts_with(prefix)).collect())
    }

    /// The entries with these numbers, as far as they may be read.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn audit_by_number(&self, numbers: &[AuditNumber]) -> Result<Vec<AuditEntry>, StoreError> {
        let Some(scope) = self.audit() else { return Ok(Vec::new()) };
        let query = Entity::find().filter(matching(&AuditFilter::default(), scope));
        let rows = query.filter(Column::N.is_in(numbers.iter().map(|number| number.0)));
        Ok(rows.all(self.conn()).await?.into_iter().map(shown).collect())
    }
}
