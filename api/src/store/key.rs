//! Keys as the key service sealed them. The store carries them and understands only their metadata.
//!
//! Every change of a row is an entry of the audit trail, written with it, with the row's count of changes. A row is
//! given out only while the trail says the same of it: an old row that was put back, with a seal that was good once, is
//! [`StoreError::Tampered`]. What counts is the entry with the highest count, not the last one: an entry that somebody
//! appends for an old row changes nothing, and one that was taken out or changed shows against the checkpoints.

use keyservice::integrity::LastEntry;
use keyservice::{Algorithm, KeyState, Purpose, SealedKey, SealedModule};
use sea_orm::sea_query::Expr;
use sea_orm::{
    ColumnTrait as _, Condition, ConnectionTrait, DbBackend, DbErr, EntityTrait as _, FromQueryResult,
    QueryFilter as _, QueryOrder as _, QuerySelect as _, Select, Set, Statement,
};
use serde_json::{Value, json};
use uuid::Uuid;

use super::registration::bytes;
use super::tx::Tx;
use super::{Page, Reader, Slice, Store, StoreError, entity, inconsistent, unique};
use entity::key_version::{ActiveModel, Column, Entity, Model};

/// What an audit entry about a row of a key is about.
const KIND: &str = "KEY";
/// What is done to a row.
const ADD: &str = "key.add";
const CHANGE: &str = "key.change";
/// The entry of the audit trail that says most about a row of `key_version`. Of the same operations as all of them
/// together are read by; no index leads to them here, because the one of objects leads to fewer entries.
const LAST: &str = "(select audit.details from audit where audit.object_kind = 'KEY' and audit.object_id \
    = key_version.module || '@' || key_version.version \
    and audit.operation || '' in ('key.add', 'key.change') \
    order by cast(audit.details ->> 'count' as bigint) desc, audit.n limit 1)";

/// A row, with what the audit trail says last about it.
#[derive(FromQueryResult)]
struct Witnessed {
    #[sea_orm(nested)]
    row: Model,
    last: Option<Value>,
}

/// All rows of keys, and all that the audit trail says last about keys.
#[derive(Debug, Default)]
pub struct KeyTrail {
    /// The rows.
    pub rows: Vec<SealedKey>,
    /// What cannot be read as the row of a key at all, by module and version.
    pub unreadable: Vec<String>,
    /// What the audit trail says last of each key that is to be there.
    pub entries: Vec<LastEntry>,
}

/// A key as the audit trail names it.
pub(super) fn object(module: &str, version: impl std::fmt::Display) -> String {
    format!("{module}@{version}")
}

fn entry_to(key: &SealedKey) -> Value {
    json!({
        "key": Uuid::from_bytes(key.id), "module": key.module, "state": key.state.as_str(),
        "count": key.state_seq, "reason": key.reason,
    })
}

/// What an entry says; none when it is no such entry.
fn entry_from(details: &Value) -> Option<LastEntry> {
    let text = |name: &str| details.get(name)?.as_str();
    Some(LastEntry {
        key: text("key")?.parse::<Uuid>().ok()?.into_bytes(),
        module: text("module")?.to_owned(),
        state: text("state")?.parse().ok()?,
        state_seq: details.get("count")?.as_u64()?,
    })
}

/// The key, if the audit trail says the same of it.
fn witnessed(row: Model, last: Option<&Value>) -> Result<SealedKey, StoreError> {
    let name = object(&row.module, row.version);
    let key = from_row(row)?;
    let same = last
        .and_then(entry_from)
        .is_some_and(|last| last.key == key.id && last.state == key.state && last.state_seq == key.state_seq);
    if same { Ok(key) } else { Err(StoreError::Tampered { what: format!("key {name}") }) }
}

pub(super) fn from_row(row: Model) -> Result<SealedKey, StoreError> {
    let wrong = |column| inconsistent("key_version", row.id, column);
    let count = |value: i64, column| u64::try_from(value).map_err(|_| wrong(column));
    let key = SealedKey {
        id: row.id.into_bytes(),
        purpose: row.purpose.parse::<Purpose>().map_err(|_| wrong("purpose"))?,
        algorithm: row.algorithm.parse::<Algorithm>().map_err(|_| wrong("algorithm"))?,
        version: count(row.version, "version")?,
        state: row.state.parse::<KeyState>().map_err(|_| wrong("state"))?,
        state_seq: count(row.state_seq, "state_seq")?,
        created_at: row.created_at,
        activated_at: row.activated_at,
        rotated_at: row.rotated_at,
        deactivated_at: row.deactivated_at,
        expires_at: row.expires_at,
        destroyed_at: row.destroyed_at,
        exportable: row.exportable,
        reason: row.reason,
        row_seal: bytes(Some(&row.row_seal)).ok_or_else(|| wrong("row_seal"))?,
        module: row.module,
        public: row.public_key,
        wrapped: row.wrapped,
    };
    if key.has_possible_size() { Ok(key) } else { Err(wrong("length of a field")) }
}

fn to_row(key: &SealedKey) -> Result<ActiveModel, StoreError> {
    let id = Uuid::from_bytes(key.id);
    let count =
        |value: u64, column| i64::try_from(value).map_err(|_| inconsistent("key_version", id, column));
    Ok(ActiveModel {
        id: Set(id),
        module: Set(key.module.clone()),
        purpose: Set(key.purpose.to_string()),
        algorithm: Set(key.algorithm.to_string()),
        version: Set(count(key.version, "version")?),
        state: Set(key.state.to_string()),
        state_seq: Set(count(key.state_seq, "state_seq")?),
        created_at: Set(key.created_at),
        activated_at: Set(key.activated_at),
        rotated_at: Set(key.rotated_at),
        deactivated_at: Set(key.deactivated_at),
        expires_at: Set(key.expires_at),
        destroyed_at: Set(key.destroyed_at),
        exportable: Set(key.exportable),
        reason: Set(key.reason.clone()),
        public_key: Set(key.public.clone()),
        wrapped: Set(key.wrapped.clone()),
        row_seal: Set(key.row_seal.to_vec()),
    })
}

/// Of two that make the same version, or put one each into use, at the same time, the second is told to look again.
fn second(error: DbErr) -> StoreError {
    match unique(error, "key") {
        StoreError::Duplicate(what) => StoreError::Conflict(what),
        error => error,
    }
}

/// Keys, the newest first.
pub(super) fn rows() -> Select<Entity> {
    Entity::find().order_by_desc(Column::Version)
}

/// The keys of these modules, the newest first.
fn named(modules: &[&str]) -> Select<Entity> {
    rows().filter(Column::Module.is_in(modules.iter().copied()))
}

/// The newest versions of each module's key, this many, and those in use or out of it for a while.
fn newest(each: u64) -> Condition {
    let behind = format!(
        "key_version.version > (select max(other.version) from key_version other where other.module = \
         key_version.module) - {each}"
    );
    Condition::any()
        .add(Expr::cust(behind))
        .add(Column::State.is_in([KeyState::Active.as_str(), KeyState::Suspended.as_str()]))
}

async fn given_out(
    conn: &impl ConnectionTrait,
    select: Select<Entity>,
    pending: impl Fn(&str) -> Option<Value>,
) -> Result<Vec<SealedKey>, StoreError> {
    let rows = select.expr_as(Expr::cust(LAST), "last").into_model::<Witnessed>().all(conn).await?;
    rows.into_iter()
        .map(|Witnessed { row, last }| {
            let last = pending(&object(&row.module, row.version)).or(last);
            witnessed(row, last.as_ref())
        })
        .collect()
}

/// The keys among these that the audit trail says the same of. What is wrong with the others is for the health report
/// to name; here they are as good as gone.
pub(super) async fn untouched(
    conn: &impl ConnectionTrait,
    select: Select<Entity>,
) -> Result<Vec<SealedKey>, StoreError> {
    let rows = select.expr_as(Expr::cust(LAST), "last").into_model::<Witnessed>().all(conn).await?;
    let keys = rows.into_iter().filter_map(|Witnessed { row, last }| match witnessed(row, last.as_ref()) {
        Ok(key) => Some(key),
        Err(error) => {
            tracing::error!(%error, "a key is not used");
            None
        }
    });
    Ok(keys.collect())
}

impl Store {
    /// All versions of a module's key, the newest first.
    ///
    /// # Errors
    /// When the database does not answer; [`StoreError::Tampered`].
    pub async fn keys(&self, module: &str) -> Result<Vec<SealedKey>, StoreError> {
        given_out(&self.read, rows().filter(Column::Module.eq(module)), |_| None).await
    }

    /// All versions of the keys of these modules, the newest of each first, as they are: whoever asks is not going to
    /// use them.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn keys_of(&self, modules: &[&str]) -> Result<Vec<SealedKey>, StoreError> {
        named(modules).all(&self.read).await?.into_iter().map(from_row).collect()
    }

    /// Of the keys of these modules, as they are, the newest of each first: this many of the newest versions of each, and
    /// those in use or out of it for a while.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn newest_keys_of(&self, modules: &[&str], each: u64) -> Result<Vec<SealedKey>, StoreError> {
        let rows = named(modules).filter(newest(each)).all(&self.read).await?;
        rows.into_iter().map(from_row).collect()
    }

    /// Versions of the key under this name, as they are, the newest first; a page begins behind a version.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn keys_page(&self, module: &str, page: Page<i64>) -> Result<Slice<SealedKey>, StoreError> {
        let mut query = Entity::find().filter(Column::Module.eq(module)).limit(page.limit + 1);
        query = match (page.beyond, page.backward) {
            (Some(version), false) => query.filter(Column::Version.lt(version)),
            (Some(version), true) => query.filter(Column::Version.gt(version)),
            (None, _) => query,
        };
        query = if page.backward {
            query.order_by_asc(Column::Version)
        } else {
            query.order_by_desc(Column::Version)
        };
        let rows = query.all(&self.read).await?;
        Ok(page.slice(rows.into_iter().map(from_row).collect::<Result<_, _>>()?))
    }

    /// What a verb or a use of the key under this name needs of it, the newest first: the version that is named, those in
    /// use or out of it for a while, and the newest.
    ///
    /// # Errors
    /// As [`Store::keys`].
    pub async fn keys_for(&self, module: &str, version: Option<u64>) -> Result<Vec<SealedKey>, StoreError> {
        let mut wanted = newest(1);
        if let Some(version) = version {
            wanted = wanted.add(Column::Version.eq(i64::try_from(version).unwrap_or(i64::MAX)));
        }
        given_out(&self.read, named(&[module]).filter(wanted), |_| None).await
    }

    /// As [`Store::newest_keys_of`] with one of each, but only those rows that the audit trail says the same of.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn sound_newest_keys_of(&self, modules: &[&str]) -> Result<Vec<SealedKey>, StoreError> {
        untouched(&self.read, named(modules).filter(newest(1))).await
    }

    /// As [`Store::keys_of`], but only those rows that the audit trail says the same of.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn sound_keys_of(&self, modules: &[&str]) -> Result<Vec<SealedKey>, StoreError> {
        untouched(&self.read, named(modules)).await
    }

    /// Active keys of connections, as they are, by the names of their modules: those behind this name.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn link_keys_behind(&self, module: &str, limit: u64) -> Result<Vec<SealedKey>, StoreError> {
        let rows = Entity::find()
            .filter(Column::Module.like("links/%"))
            .filter(Column::State.eq(KeyState::Active.as_str()))
            .filter(Column::Module.gt(module))
            .order_by_asc(Column::Module)
            .limit(limit);
        rows.all(&self.read).await?.into_iter().map(from_row).collect()
    }

    /// Everything that there is about keys, to be compared.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn key_trail(&self) -> Result<KeyTrail, StoreError> {
        let mut trail = KeyTrail::default();
        // In this order: a key that comes in between is in the trail, and not yet a row that nothing is said of.
        for row in Entity::find().all(&self.read).await? {
            let name = object(&row.module, row.version);
            match from_row(row) {
                Ok(key) => trail.rows.push(key),
                Err(_) => trail.unreadable.push(name),
            }
        }
        // By the operations, which are indexed: the trail is long, and little of it is about keys.
        let sql = "select details from (select details, row_number() over (partition by object_id \
            order by cast(details ->> 'count' as bigint) desc, n) as place from audit \
            where operation in ($1, $2) and object_kind = $3) said where place = 1";
        let values = [ADD.into(), CHANGE.into(), KIND.into()];
        let statement = Statement::from_sql_and_values(self.backend(), sql, values);
        for row in self.read.query_all_raw(statement).await? {
            trail.entries.extend(entry_from(&row.try_get("", "details")?));
        }
        Ok(trail)
    }
}

impl Reader {
    /// The key with this id, as it is; for whoever may read metadata of keys.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn key(&self, id: Uuid) -> Result<Option<SealedKey>, StoreError> {
        if !self.reads_keys() {
            return Ok(None);
        }
        Entity::find_by_id(id).one(self.conn()).await?.map(from_row).transpose()
    }

    /// The keys with these ids, as they are, but for rows that nobody can read; for whoever may read metadata of keys.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn keys_by_id(&self, ids: &[Uuid]) -> Result<Vec<SealedKey>, StoreError> {
        if !self.reads_keys() {
            return Ok(Vec::new());
        }
        let rows = Entity::find().filter(Column::Id.is_in(ids.iter().copied())).all(self.conn()).await?;
        Ok(rows.into_iter().filter_map(|row| from_row(row).ok()).collect())
    }

    /// The versions in use of the keys under these names, as they are; for whoever may read metadata of keys.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn versions_in_use(&self, names: &[String]) -> Result<Vec<(String, u64)>, StoreError> {
        if !self.reads_keys() {
            return Ok(Vec::new());
        }
        let active = Entity::find()
            .select_only()
            .columns([Column::Module, Column::Version])
            .filter(Column::Module.is_in(names))
            .filter(Column::State.eq(KeyState::Active.as_str()));
        let found: Vec<(String, i64)> = active.into_tuple().all(self.conn()).await?;
        Ok(found.into_iter().map(|(name, version)| (name, version.unsigned_abs())).collect())
    }

    /// The newest versions of a module's key, this many, as they are, with those in use or out of it for a while; for
    /// whoever may read metadata of keys.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn newest_keys(&self, module: &str, most: u64) -> Result<Vec<SealedKey>, StoreError> {
        if !self.reads_keys() {
            return Ok(Vec::new());
        }
        let rows = named(&[module]).filter(newest(most)).all(self.conn()).await?;
        rows.into_iter().map(from_row).collect()
    }
}

impl Tx {
    /// All versions of a module's key, the newest first.
    ///
    /// # Errors
    /// When the database does not answer; [`StoreError::Tampered`].
    pub async fn keys(&self, module: &str) -> Result<Vec<SealedKey>, StoreError> {
        given_out(&self.txn, rows().filter(Column::Module.eq(module)), |name| self.said(name)).await
    }

    /// The key with this id.
    ///
    /// # Errors
    /// When the database does not answer; [`StoreError::Tampered`].
    pub async fn key(&self, id: Uuid) -> Result<Option<SealedKey>, StoreError> {
        let found = given_out(&self.txn, rows().filter(Column::Id.eq(id)), |name| self.said(name)).await?;
        Ok(found.into_iter().next())
    }

    fn said(&self, name: &str) -> Option<Value> {
        self.said_of(KIND, name)
    }

    /// What this transaction is going to say last about a thing.
    pub(super) fn said_of(&self, kind: &str, name: &str) -> Option<Value> {
        let about = |entry: &&super::tx::PendingAudit| entry.object_kind == kind && entry.object_id == name;
        self.audits.iter().rev().find(about).map(|entry| entry.details.clone())
    }

    /// That a module and a key of it are as whoever uses them read them, and stay so until this transaction ends.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when somebody changed one of them meanwhile.
    pub async fn require_unchanged(&self, module: &SealedModule, key: &SealedKey) -> Result<(), StoreError> {
        let backend = self.txn.get_database_backend();
        // SQLite has one writer, who is this.
        let [of_module, of_key] = match backend {
            DbBackend::Postgres => [
                "select state_seq from key_module where id = $1 for share",
                "select state_seq from key_version where id = $1 for share",
            ],
            _ => [
                "select state_seq from key_module where id = $1",
                "select state_seq from key_version where id = $1",
            ],
        };
        for (sql, id, count, what) in
            [(of_module, module.id, module.state_seq, "key module"), (of_key, key.id, key.state_seq, "key")]
        {
            let id = [Uuid::from_bytes(id).into()];
            let row = self.txn.query_one_raw(Statement::from_sql_and_values(backend, sql, id)).await?;
            let now: Option<i64> = row.map(|row| row.try_get("", "state_seq")).transpose()?;
            if now != i64::try_from(count).ok() {
                return Err(StoreError::Conflict(what));
            }
        }
        Ok(())
    }

    /// Adds a key.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when the module has that version, or an active key already, or the key encryption key
    /// that wraps it was retired.
    pub async fn insert_key(&mut self, key: &SealedKey) -> Result<(), StoreError> {
        self.require_openable(&key.wrapped).await?;
        Entity::insert(to_row(key)?).exec_without_returning(&self.txn).await.map_err(second)?;
        self.audit(ADD, KIND, object(&key.module, key.version), "OK", entry_to(key));
        Ok(())
    }

    /// Saves a key whose state moved on by one.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when its state is not the one it moved on from, or another one became active meanwhile,
    /// or the key encryption key that wraps it was retired.
    pub async fn save_key(&mut self, key: &SealedKey) -> Result<(), StoreError> {
        self.require_openable(&key.wrapped).await?;
        let row = to_row(key)?;
        let before = i64::try_from(key.state_seq).unwrap_or(i64::MAX) - 1;
        let saved = Entity::update_many()
            .set(row)
            .filter(Column::Id.eq(Uuid::from_bytes(key.id)))
            .filter(Column::StateSeq.eq(before))
            .exec(&self.txn)
            .await
            .map_err(second)?;
        if saved.rows_affected == 0 {
            return Err(StoreError::Conflict("key"));
        }
        self.audit(CHANGE, KIND, object(&key.module, key.version), "OK", entry_to(key));
        Ok(())
    }
}
