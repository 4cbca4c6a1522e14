//! Key modules as the key service sealed them, with their access policies.

use std::sync::atomic::Ordering;

use data_encoding::HEXLOWER;
use keyservice::module::Specification;
use keyservice::policy::Condition;
use keyservice::{AccessPolicy, Right, Rights, SealedModule};
use sea_orm::sea_query::Expr;
use sea_orm::{
    ColumnTrait as _, ConnectionTrait, EntityTrait as _, FromQueryResult, QueryFilter as _, QueryOrder as _,
    QuerySelect as _, Set, Statement,
};
use serde_json::{Value, json};
use uuid::Uuid;

use super::registration::bytes;
use super::tx::Tx;
use super::{Reader, Store, StoreError, entity, inconsistent, unique};
use entity::key_module::{ActiveModel, Column, Entity, Model};

/// What an audit entry about a row of a module is about.
const KIND: &str = "KEY_MODULE_ROW";
/// What is done to a row first.
const ADD: &str = "key_module.add";
/// The entry of the audit trail that says most about a row of `key_module`, as with keys.
const LAST: &str = "(select audit.details from audit where audit.object_kind = 'KEY_MODULE_ROW' \
    and audit.object_id = key_module.name \
    order by cast(audit.details ->> 'count' as bigint) desc, audit.n limit 1)";
/// The names of the modules that the audit trail knows of, or this one if it does.
const KNOWN: &str = "select distinct object_id from audit where operation = $1 and object_kind = $2 \
    and ($3 = '' or object_id = $3)";

/// A row, with what the audit trail says last about it.
#[derive(FromQueryResult)]
struct Witnessed {
    #[sea_orm(nested)]
    row: Model,
    last: Option<Value>,
}

/// What the audit trail says of a row: an older one, with other policies, is told from it.
fn said(module: &SealedModule) -> Value {
    json!({
        "module": Uuid::from_bytes(module.id), "state": module.state.as_str(), "count": module.state_seq,
    })
}

/// Whether an entry says that of the row; it may say more, such as where it was done.
fn says(entry: &Value, module: &SealedModule) -> bool {
    let said = said(module);
    said.as_object().is_some_and(|parts| parts.iter().all(|(name, part)| entry.get(name) == Some(part)))
}

fn policy_to(policy: &AccessPolicy) -> Value {
    let condition = policy.condition.as_ref();
    json!({
        "id": HEXLOWER.encode(&policy.id),
        "effect": policy.effect.as_str(),
        "matcher": policy.matcher.to_string(),
        "rights": policy.rights.iter().map(Right::as_str).collect::<Vec<_>>(),
        "condition": condition.map(|condition| json!({ "name": condition.name, "value": condition.value })),
        "note": policy.note,
    })
}

fn policy_from(value: &Value) -> Option<AccessPolicy> {
    let text = |name: &str| value.get(name)?.as_str();
    let condition = match value.get("condition")? {
        Value::Null => None,
        condition => Some(Condition {
            name: condition.get("name")?.as_str()?.to_owned(),
            value: condition.get("value")?.as_str()?.to_owned(),
        }),
    };
    let rights = value.get("rights")?.as_array()?;
    let rights: Option<Rights> = rights.iter().map(|right| right.as_str()?.parse::<Right>().ok()).collect();
    Some(AccessPolicy {
        id: HEXLOWER.decode(text("id")?.as_bytes()).ok()?.try_into().ok()?,
        effect: text("effect")?.parse().ok()?,
        matcher: text("matcher")?.parse().ok()?,
        rights: rights?,
        condition,
        note: text("note")?.to_owned(),
    })
}

fn from_row(row: Model) -> Result<SealedModule, StoreError> {
    let wrong = |column| inconsistent("key_module", row.id, column);
    let policies: Option<Vec<AccessPolicy>> =
        row.policies.as_array().and_then(|all| all.iter().map(policy_from).collect());
    let module = SealedModule {
        id: row.id.into_bytes(),
        purpose: row.purpose.parse().map_err(|_| wrong("purpose"))?,
        algorithm: row.algorithm.parse().map_err(|_| wrong("algorithm"))?,
        specification: Specification {
            exportable: row.exportable,
            rotation_period: row.rotation_period,
            key_lifetime: row.key_lifetime,
            default_decision: row.default_decision.parse().map_err(|_| wrong("default_decision"))?,
        },
        state: row.state.parse().map_err(|_| wrong("state"))?,
        state_seq: u64::try_from(row.state_seq).map_err(|_| wrong("state_seq"))?,
        created_at: row.created_at,
        published_at: row.published_at,
        policies: policies.ok_or_else(|| wrong("policies"))?,
        row_seal: bytes(Some(&row.row_seal)).ok_or_else(|| wrong("row_seal"))?,
        name: row.name,
    };
    if module.has_possible_size() { Ok(module) } else { Err(wrong("length of a field")) }
}

fn to_row(module: &SealedModule) -> Result<ActiveModel, StoreError> {
    let id = Uuid::from_bytes(module.id);
    let state_seq =
        i64::try_from(module.state_seq).map_err(|_| inconsistent("key_module", id, "state_seq"))?;
    Ok(ActiveModel {
        id: Set(id),
        name: Set(module.name.clone()),
        purpose: Set(module.purpose.to_string()),
        algorithm: Set(module.algorithm.to_string()),
        exportable: Set(module.specification.exportable),
        rotation_period: Set(module.specification.rotation_period),
        key_lifetime: Set(module.specification.key_lifetime),
        default_decision: Set(module.specification.default_decision.to_string()),
        state: Set(module.state.to_string()),
        state_seq: Set(state_seq),
        created_at: Set(module.created_at),
        published_at: Set(module.published_at),
        policies: Set(module.policies.iter().map(policy_to).collect()),
        row_seal: Set(module.row_seal.to_vec()),
    })
}

/// All modules by name, or the one of this name.
async fn read<T: FromIterator<Result<SealedModule, StoreError>>>(
    conn: &impl ConnectionTrait,
    name: Option<&str>,
    pending: impl Fn(&str) -> Option<Value>,
) -> Result<T, StoreError> {
    let mut rows = Entity::find().expr_as(Expr::cust(LAST), "last").order_by_asc(Column::Name);
    if let Some(name) = name {
        rows = rows.filter(Column::Name.eq(name));
    }
    let rows = rows.into_model::<Witnessed>().all(conn).await?;
    // A module is never deleted: whoever took one out meant its policies to be forgotten.
    let values = [ADD.into(), KIND.into(), name.unwrap_or_default().into()];
    let known = Statement::from_sql_and_values(conn.get_database_backend(), KNOWN, values);
    let mut missing = Vec::new();
    for name in conn.query_all_raw(known).await? {
        let name: String = name.try_get("", "object_id")?;
        if !rows.iter().any(|one| one.row.name == name) {
            missing.push(Err(StoreError::Tampered { what: format!("key module {name}") }));
        }
    }
    Ok(rows
        .into_iter()
        .map(|Witnessed { row, last }| {
            let last = pending(&row.name).or(last);
            let what = format!("key module {}", row.name);
            let module = from_row(row)?;
            if last.is_some_and(|last| says(&last, &module)) {
                Ok(module)
            } else {
                Err(StoreError::Tampered { what })
            }
        })
        .chain(missing)
        .collect())
}

impl Reader {
    /// All key modules, by name; for whoever may read metadata of keys.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn key_modules(&self) -> Result<Vec<SealedModule>, StoreError> {
        if !self.reads_keys() {
            return Ok(Vec::new());
        }
        read::<Result<_, _>>(self.conn(), None, |_| None).await?
    }

    /// The key modules that the audit trail says the same of; for whoever may read metadata of keys.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn untouched_key_modules(&self) -> Result<Vec<SealedModule>, StoreError> {
        if !self.reads_keys() {
            return Ok(Vec::new());
        }
        let found: Vec<Result<SealedModule, StoreError>> = read(self.conn(), None, |_| None).await?;
        Ok(found.into_iter().filter_map(Result::ok).collect())
    }
}

impl Store {
    /// All key modules, by name.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn modules(&self) -> Result<Vec<SealedModule>, StoreError> {
        read::<Result<_, _>>(&self.read, None, |_| None).await?
    }

    /// The key module of this name; whatever is wrong with others.
    ///
    /// # Errors
    /// When the database does not answer; [`StoreError::Tampered`].
    pub async fn module(&self, name: &str) -> Result<Option<SealedModule>, StoreError> {
        let found: Result<Vec<_>, _> = read(&self.read, Some(name), |_| None).await?;
        Ok(found?.into_iter().next())
    }

    /// The key modules that the audit trail says the same of, by name. What is wrong with the others is for the health
    /// report to name.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn untouched_modules(&self) -> Result<Vec<SealedModule>, StoreError> {
        let found: Vec<Result<SealedModule, StoreError>> = read(&self.read, None, |_| None).await?;
        Ok(found.into_iter().filter_map(Result::ok).collect())
    }

    /// How often this process changed key modules: whoever remembers them reads them again when it grew.
    #[must_use]
    pub fn module_changes(&self) -> u64 {
        self.module_changes.load(Ordering::SeqCst)
    }
}

impl Tx {
    /// All key modules, by name.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn modules(&self) -> Result<Vec<SealedModule>, StoreError> {
        read::<Result<_, _>>(&self.txn, None, |name| self.said_of(KIND, name)).await?
    }

    /// The key module of this name.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn module(&self, name: &str) -> Result<Option<SealedModule>, StoreError> {
        let said = |name: &str| self.said_of(KIND, name);
        let found: Result<Vec<_>, _> = read(&self.txn, Some(name), said).await?;
        Ok(found?.into_iter().next())
    }

    /// Adds a key module.
    ///
    /// # Errors
    /// [`StoreError::Duplicate`] when the name is taken.
    pub async fn insert_module(&mut self, module: &SealedModule) -> Result<(), StoreError> {
        self.changed_modules = true;
        Entity::insert(to_row(module)?)
            .exec_without_returning(&self.txn)
            .await
            .map_err(|error| unique(error, "key module"))?;
        self.audit(ADD, KIND, &module.name, "OK", said(module));
        Ok(())
    }

    /// Saves a key module that was changed once.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when somebody else changed it meanwhile.
    pub async fn save_module(&mut self, module: &SealedModule) -> Result<(), StoreError> {
        self.changed_modules = true;
        let before = i64::try_from(module.state_seq).unwrap_or(i64::MAX) - 1;
        let saved = Entity::update_many()
            .set(to_row(module)?)
            .filter(Column::Id.eq(Uuid::from_bytes(module.id)))
            .filter(Column::StateSeq.eq(before))
            .exec(&self.txn)
            .await?;
        if saved.rows_affected == 0 {
            return Err(StoreError::Conflict("key module"));
        }
        self.audit("key_module.change", KIND, &module.name, "OK", said(module));
        Ok(())
    }
}
