//! The numbered log of committed facts. The order of numbers is the order of commits.

use sea_orm::{
    ColumnTrait as _, Condition, ConnectionTrait, EntityTrait as _, QueryFilter as _, QueryOrder as _,
    QuerySelect as _, Statement,
};
use uuid::Uuid;

use super::{Reader, Store, StoreError, Tx, at, entity, inconsistent};
use crate::domain::Timestamp;
use crate::domain::requester::{Requester, Scope};
use entity::change::{Column, Entity, Model};

words! {
    /// What a change is about.
    SubjectKind {
        /// A registration.
        Registration = "REGISTRATION", "Registration";
        /// A connection.
        Connection = "CONNECTION", "Connection";
        /// An attempt's phases.
        Onboarding = "ONBOARDING", "Onboarding";
        /// A scan.
        Scan = "SCAN", "Scan";
        /// An issue.
        Issue = "ISSUE", "Issue";
        /// A company.
        Company = "COMPANY", "Company";
        /// An account.
        Account = "ACCOUNT", "Account";
        /// A definition that we publish.
        Definition = "DEFINITION", "Definition";
        /// This instance's own set-up: its provider record, or an activity that was marked complete.
        Setup = "SETUP", "Set-up";
        /// The health of this instance's key service.
        KeyHealth = "KEY_HEALTH", "Key service health";
        /// What the key service holds and who may use it.
        Keys = "KEYS", "Keys";
        /// When checks run by themselves.
        CheckSchedule = "CHECK_SCHEDULE", "Check schedule";
    }
}

words! {
    /// What happened to it.
    ChangeKind {
        /// It came into being.
        Created = "CREATED", "Created";
        /// It changed.
        Updated = "UPDATED", "Updated";
        /// It is gone.
        Deleted = "DELETED", "Deleted";
    }
}

/// One committed fact.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// Its number.
    pub seq: i64,
    /// What it is about.
    pub subject: SubjectKind,
    /// Which one.
    pub id: Uuid,
    /// What happened.
    pub kind: ChangeKind,
    /// The subject's revision afterwards.
    pub revision: i64,
    /// What was true afterwards: at least `state`.
    pub body: serde_json::Value,
    /// When.
    pub at: Timestamp,
}

/// How far both logs go: the numbers of the latest change and of the last entry of the audit trail.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Head {
    pub(super) seq: i64,
    pub(super) audit_n: i64,
}

pub(super) async fn head(conn: &impl ConnectionTrait) -> Result<Head, StoreError> {
    let sql = "select change_seq, audit_n from head where id = 1";
    match conn.query_one_raw(Statement::from_string(conn.get_database_backend(), sql)).await? {
        Some(row) => Ok(Head { seq: row.try_get("", "change_seq")?, audit_n: row.try_get("", "audit_n")? }),
        None => Ok(Head::default()),
    }
}

impl Reader {
    /// The number of the latest committed change.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn head(&self) -> Result<i64, StoreError> {
        Ok(head(self.conn()).await?.seq)
    }

    /// The number of the last entry of the audit trail.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn audit_head(&self) -> Result<i64, StoreError> {
        Ok(head(self.conn()).await?.audit_n)
    }

    /// The number of the oldest change still kept, if there is any.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn oldest_change(&self) -> Result<Option<i64>, StoreError> {
        Ok(Entity::find().order_by_asc(Column::Seq).one(self.conn()).await?.map(|row| row.seq))
    }

    /// Up to `limit` changes after `seq`, of these kinds of subjects and, if given, of this subject alone.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn changes(
        &self,
        after: i64,
        subjects: &[SubjectKind],
        id: Option<Uuid>,
        limit: u64,
    ) -> Result<Vec<Change>, StoreError> {
        let mut wanted = Condition::all().add(Column::Seq.gt(after));
        if !subjects.is_empty() {
            wanted = wanted.add(Column::SubjectKind.is_in(subjects.iter().map(|kind| kind.as_str())));
        }
        if let Some(id) = id {
            wanted = wanted.add(Column::SubjectId.eq(id));
        }
        let scoped = match self.scope() {
            Scope::Everything => Some(Condition::all()),
            // Scans are for those who may see everything; the issues they raise tell a contact what concerns them.
            Scope::Company(company) => Some(
                Condition::all()
                    .add(Column::CompanyId.eq(company.0))
                    .add(Column::SubjectKind.ne(SubjectKind::Scan.as_str())),
            ),
            Scope::Nothing => None,
        };
        let scoped = scoped.map(|all| all.add(Column::SubjectKind.ne(SubjectKind::Keys.as_str())));
        let of_keys = [SubjectKind::Keys, SubjectKind::KeyHealth].map(SubjectKind::as_str);
        let of_keys = self.reads_keys().then(|| Condition::all().add(Column::SubjectKind.is_in(of_keys)));
        // Whoever grants key roles sees our own people.
        let ours = Condition::all()
            .add(Column::SubjectKind.eq(SubjectKind::Account.as_str()))
            .add(Column::CompanyId.is_null());
        let of_people = self.grants().then_some(ours);
        if scoped.is_none() && of_keys.is_none() && of_people.is_none() {
            return Ok(Vec::new());
        }
        wanted = wanted.add(Condition::any().add_option(scoped).add_option(of_keys).add_option(of_people));
        let rows =
            Entity::find().filter(wanted).order_by_asc(Column::Seq).limit(limit).all(self.conn()).await?;
        rows.into_iter().map(change).collect()
    }
}

impl Store {
    /// The changes of the key service's health: those may see them who may see the health.
    #[must_use]
    pub fn key_health_log(&self) -> Reader {
        self.reader(&Requester::System.viewer())
    }

    /// What was last announced of the key service's health, as far as changes are kept.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn announced_key_health(&self) -> Result<Option<serde_json::Value>, StoreError> {
        let latest = Entity::find()
            .filter(Column::SubjectId.eq(Uuid::nil()))
            .filter(Column::SubjectKind.eq(SubjectKind::KeyHealth.as_str()))
            .order_by_desc(Column::Seq);
        Ok(latest.one(&self.read).await?.map(|row| row.body))
    }
}

impl Tx {
    /// Announces that the key service's health is another one.
    pub fn key_health_changed(&mut self, body: serde_json::Value) {
        self.changed(SubjectKind::KeyHealth, Uuid::nil(), ChangeKind::Updated, 1, None, body);
    }

    /// Announces, once, that what the key service holds is not what it was, or who may use it.
    pub(super) fn keys_changed(&mut self) {
        if !self.changes.iter().any(|change| change.subject == SubjectKind::Keys) {
            let body = serde_json::Value::Object(serde_json::Map::new());
            self.changed(SubjectKind::Keys, Uuid::nil(), ChangeKind::Updated, 1, None, body);
        }
    }
}

impl Reader {
    /// The latest changes of these subjects up to a moment, the latest first. The caller has read the subjects and so may
    /// see their changes.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn changes_before(
        &self,
        about: &[Uuid],
        until: Timestamp,
        limit: u64,
    ) -> Result<Vec<Change>, StoreError> {
        let rows = Entity::find()
            .filter(Column::SubjectId.is_in(about.iter().copied()))
            .filter(Column::At.lte(super::ms(until)))
            .order_by_desc(Column::Seq)
            .limit(limit);
        rows.all(self.conn()).await?.into_iter().map(change).collect()
    }
}

fn change(row: Model) -> Result<Change, StoreError> {
    Ok(Change {
        subject: SubjectKind::parse(&row.subject_kind)
            .ok_or_else(|| inconsistent("change", row.seq, "subject_kind"))?,
        kind: ChangeKind::parse(&row.kind).ok_or_else(|| inconsistent("change", row.seq, "kind"))?,
        seq: row.seq,
        id: row.subject_id,
        revision: row.revision,
        body: row.body,
        at: at(row.at),
    })
}
