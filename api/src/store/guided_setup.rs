//! The guided set-up: the facts that its activities ask for, and which of them a person marked complete.

use std::collections::BTreeMap;

use sea_orm::{ColumnTrait as _, ConnectionTrait, EntityTrait as _, QueryFilter as _, Set, Statement};
use serde_json::json;
use uuid::Uuid;

use super::change::{ChangeKind, SubjectKind};
use super::tx::Tx;
use super::{Reader, StoreError, at, entity, inconsistent, ms, unique};
use crate::domain::connection::Part;
use crate::domain::guided_setup::{ActivityName, Facts, Mark};
use crate::domain::id::{ConnectionId, UserId};
use crate::domain::requester::Scope;
use entity::activity_mark::{ActiveModel, Column, Entity};

/// What is true of this instance, in one statement.
async fn facts(conn: &impl ConnectionTrait, side: Part) -> Result<Facts, StoreError> {
    let sql = "select
        (select count(*) from provider_record) as provider_record,
        (select count(*) from company) as companies,
        (select count(*) from account where company_id is not null and active) as contacts,
        (select count(*) from definition) as definitions,
        (select count(*) from registration where state <> 'CANCELLED') as registrations,
        (select count(*) from connection where part = $1) as connections,
        (select id from connection where part = $1
            order by case when state in ('ONBOARDED', 'SUSPENDED', 'OFFBOARDING', 'OFFBOARDED') then 1 else 0 end, id desc
            limit 1) as to_connect,
        (select c.id from connection c left join settings s on s.connection_id = c.id where c.part = $1
            order by case when c.state not in ('ONBOARDED', 'SUSPENDED') then 2
                when s.saved_at is not null then 1 else 0 end, c.id desc limit 1) as to_configure,
        (select c.id from connection c left join verification v on v.connection_id = c.id where c.part = $1
            order by case when c.state <> 'ONBOARDED' then 2 when v.passed then 1 else 0 end, c.id desc
            limit 1) as to_verify,
        (select count(*) from connection where part = $1 and state in ('ONBOARDED', 'SUSPENDED')) as onboarded,
        (select count(*) from connection c join settings s on s.connection_id = c.id
            where c.part = $1 and s.saved_at is not null) as configured,
        (select count(*) from connection c join verification v on v.connection_id = c.id
            where c.part = $1) as verifications,
        (select count(*) from connection c join verification v on v.connection_id = c.id
            where c.part = $1 and c.state in ('ONBOARDED', 'SUSPENDED') and v.passed) as verified";
    let statement = Statement::from_sql_and_values(conn.get_database_backend(), sql, [side.as_str().into()]);
    let row = conn.query_one_raw(statement).await?.ok_or(StoreError::Missing("facts"))?;
    let count = |column: &str| row.try_get::<i64>("", column);
    let connection = |column: &str| row.try_get::<Option<Uuid>>("", column).map(|id| id.map(ConnectionId));
    Ok(Facts {
        provider_record: count("provider_record")? > 0,
        companies: count("companies")?,
        contacts: count("contacts")?,
        definitions: count("definitions")?,
        registrations: count("registrations")?,
        connections: count("connections")?,
        to_connect: connection("to_connect")?,
        to_configure: connection("to_configure")?,
        to_verify: connection("to_verify")?,
        onboarded: count("onboarded")?,
        configured: count("configured")?,
        verifications: count("verifications")?,
        verified: count("verified")?,
    })
}

async fn marks(conn: &impl ConnectionTrait, side: Part) -> Result<BTreeMap<ActivityName, Mark>, StoreError> {
    let mut found = BTreeMap::new();
    for row in Entity::find().filter(Column::Side.eq(side.as_str())).all(conn).await? {
        let name = ActivityName::parse(&row.activity)
            .ok_or_else(|| inconsistent("activity_mark", &row.activity, "activity"))?;
        let mark = Mark {
            by: UserId(row.completed_by),
            at: at(row.completed_at),
            override_reason: row.override_reason,
        };
        found.insert(name, mark);
    }
    Ok(found)
}

impl Tx {
    /// The facts that the activities of a side ask for.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn setup_facts(&self, side: Part) -> Result<Facts, StoreError> {
        facts(&self.txn, side).await
    }

    /// Which activities of a side a person marked complete.
    ///
    /// # Errors
    /// When the database does not answer, or a row matches no activity.
    pub async fn activity_marks(&self, side: Part) -> Result<BTreeMap<ActivityName, Mark>, StoreError> {
        marks(&self.txn, side).await
    }

    /// Marks an activity complete.
    ///
    /// # Errors
    /// [`StoreError::Duplicate`] when somebody else did so meanwhile.
    pub async fn mark_activity(
        &mut self,
        side: Part,
        name: ActivityName,
        mark: &Mark,
    ) -> Result<(), StoreError> {
        let row = ActiveModel {
            side: Set(side.as_str().to_owned()),
            activity: Set(name.as_str().to_owned()),
            completed_by: Set(mark.by.0),
            completed_at: Set(ms(mark.at)),
            override_reason: Set(mark.override_reason.clone()),
        };
        let inserted = Entity::insert(row).exec_without_returning(&self.txn).await;
        inserted.map_err(|error| unique(error, "mark"))?;
        self.setup_changed(json!({ "side": side.as_str(), "activity": name.as_str() }));
        Ok(())
    }
}

impl Tx {
    /// Announces that the instance's own set-up changed.
    pub(super) fn setup_changed(&mut self, body: serde_json::Value) {
        self.changed(SubjectKind::Setup, Uuid::nil(), ChangeKind::Updated, 1, None, body);
    }
}

impl Reader {
    /// The facts and marks of a side; none for those who may not see everything.
    ///
    /// # Errors
    /// When the database does not answer, or a row matches no activity.
    pub async fn setup(
        &self,
        side: Part,
    ) -> Result<Option<(Facts, BTreeMap<ActivityName, Mark>)>, StoreError> {
        if self.scope() != Scope::Everything {
            return Ok(None);
        }
        Ok(Some((facts(self.conn(), side).await?, marks(self.conn(), side).await?)))
    }
}
