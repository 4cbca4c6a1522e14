//! What this instance publishes as a provider: its definitions, and the revision of all of them together.

use sea_orm::{
    ColumnTrait as _, ConnectionTrait, EntityTrait as _, QueryFilter as _, QueryOrder as _, QuerySelect as _,
    Set, Statement,
};

use super::change::{ChangeKind, SubjectKind};
use super::tx::Tx;
use super::{Reader, StoreError, at, entity, inconsistent, ms, unique};
use crate::domain::Timestamp;
use crate::domain::connection::{ConnectionState, Part};
use crate::domain::id::{ConnectionId, DefinitionId};
use crate::domain::requester::Scope;
use crate::domain::settings::{Definition, DefinitionKind, FieldSchema, Offer};
use entity::definition::{ActiveModel, Column, Entity, Model};

/// A definition as it is published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublishedDefinition {
    /// Which one.
    pub id: DefinitionId,
    /// What it defines.
    pub kind: DefinitionKind,
    /// What consumers are told.
    pub definition: Definition,
    /// When it was first published.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// Grows by one with every change.
    pub revision: i64,
}

pub(super) fn from_row(row: Model) -> Result<PublishedDefinition, StoreError> {
    let wrong = |column| inconsistent("definition", row.id, column);
    Ok(PublishedDefinition {
        id: DefinitionId(row.id),
        kind: DefinitionKind::parse(&row.kind).ok_or_else(|| wrong("kind"))?,
        definition: Definition {
            version: u32::try_from(row.version).map_err(|_| wrong("version"))?,
            name: row.name,
            description: row.description,
            fields: FieldSchema::checked(row.fields),
        },
        created_at: at(row.created_at),
        updated_at: at(row.updated_at),
        revision: row.revision,
    })
}

/// Everything that is published, in one statement: the revision, and each definition with it.
async fn offer(conn: &impl ConnectionTrait) -> Result<Offer, StoreError> {
    let sql = "select c.revision, d.kind, d.name, d.description, d.version, d.fields
               from catalogue c left join definition d on true order by d.kind, d.name";
    let rows = conn.query_all_raw(Statement::from_string(conn.get_database_backend(), sql)).await?;
    let mut offer = Offer::default();
    for row in rows {
        let revision: i64 = row.try_get("", "revision")?;
        let wrong = |column| inconsistent("catalogue", revision, column);
        offer.revision = u64::try_from(revision).map_err(|_| wrong("revision"))?;
        let Some(kind) = row.try_get::<Option<String>>("", "kind")? else { continue };
        let version: i64 = row.try_get("", "version")?;
        let definition = Definition {
            name: row.try_get("", "name")?,
            description: row.try_get("", "description")?,
            version: u32::try_from(version).map_err(|_| wrong("version"))?,
            fields: FieldSchema::checked(row.try_get("", "fields")?),
        };
        match DefinitionKind::parse(&kind).ok_or_else(|| wrong("kind"))? {
            DefinitionKind::RecordProducer => offer.record_producers.push(definition),
            DefinitionKind::TaskDefinition => offer.task_definitions.push(definition),
        }
    }
    Ok(offer)
}

impl Tx {
    /// Everything that is published.
    ///
    /// # Errors
    /// When the database does not answer, or a row matches no legal state.
    pub async fn offer(&self) -> Result<Offer, StoreError> {
        offer(&self.txn).await
    }

    /// Begins a change of what is published: the next revision. Whoever else changes it waits.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn next_offer(&mut self) -> Result<(), StoreError> {
        let statement = Statement::from_string(
            self.txn.get_database_backend(),
            "update catalogue set revision = revision + 1 where id = 1",
        );
        self.txn.execute_raw(statement).await?;
        Ok(())
    }

    /// Puts the revision of what is published beyond this one, if it is not.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn offer_beyond(&mut self, revision: u64) -> Result<(), StoreError> {
        let backend = self.txn.get_database_backend();
        let sql = "update catalogue set revision = $1 + 1 where id = 1 and revision <= $1";
        let values = [i64::try_from(revision).unwrap_or(i64::MAX - 1).into()];
        let statement = Statement::from_sql_and_values(backend, sql, values);
        self.txn.execute_raw(statement).await?;
        Ok(())
    }

    /// A definition that is published.
    ///
    /// # Errors
    /// When the database does not answer, or the row matches no legal state.
    pub async fn definition(&self, id: DefinitionId) -> Result<Option<PublishedDefinition>, StoreError> {
        Entity::find_by_id(id.0).one(&self.txn).await?.map(from_row).transpose()
    }

    /// Publishes a definition, or its change; answers it with its new revision.
    ///
    /// # Errors
    /// [`StoreError::Duplicate`] when another one of its kind has the name.
    pub async fn save_definition(
        &mut self,
        mut published: PublishedDefinition,
    ) -> Result<PublishedDefinition, StoreError> {
        let kind = if published.revision == 0 { ChangeKind::Created } else { ChangeKind::Updated };
        published.revision += 1;
        published.updated_at = self.now();
        let row = ActiveModel {
            id: Set(published.id.0),
            kind: Set(published.kind.as_str().to_owned()),
            name: Set(published.definition.name.clone()),
            description: Set(published.definition.description.clone()),
            version: Set(i64::from(published.definition.version)),
            fields: Set(published.definition.fields.as_str().to_owned()),
            created_at: Set(ms(published.created_at)),
            updated_at: Set(ms(published.updated_at)),
            revision: Set(published.revision),
        };
        let saved = match kind {
            ChangeKind::Created => Entity::insert(row).exec_without_returning(&self.txn).await.map(|_| ()),
            ChangeKind::Updated | ChangeKind::Deleted => {
                Entity::update(row).exec(&self.txn).await.map(|_| ())
            }
        };
        saved.map_err(|error| unique(error, "definition"))?;
        self.definition_changed(&published, kind);
        Ok(published)
    }

    /// Withdraws a definition.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn delete_definition(&mut self, published: &PublishedDefinition) -> Result<(), StoreError> {
        Entity::delete_by_id(published.id.0).exec(&self.txn).await?;
        self.definition_changed(published, ChangeKind::Deleted);
        Ok(())
    }

    fn definition_changed(&mut self, published: &PublishedDefinition, kind: ChangeKind) {
        let (id, revision) = (published.id.0, published.revision);
        self.changed(SubjectKind::Definition, id, kind, revision, None, serde_json::json!({}));
    }

    /// Connections to consumers that hold keys, in the order of their ids: the ones to tell of a change.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn consumers_to_tell(
        &self,
        beyond: Option<ConnectionId>,
        limit: u64,
    ) -> Result<Vec<ConnectionId>, StoreError> {
        use entity::connection;
        let live = [ConnectionState::Onboarding, ConnectionState::Onboarded].map(ConnectionState::as_str);
        let mut query = connection::Entity::find()
            .select_only()
            .column(connection::Column::Id)
            .filter(connection::Column::Part.eq(Part::Provider.as_str()))
            .filter(connection::Column::State.is_in(live))
            .filter(connection::Column::ChannelId.is_not_null())
            .order_by_asc(connection::Column::Id)
            .limit(limit);
        if let Some(beyond) = beyond {
            query = query.filter(connection::Column::Id.gt(beyond.0));
        }
        let ids: Vec<uuid::Uuid> = query.into_tuple().all(&self.txn).await?;
        Ok(ids.into_iter().map(ConnectionId).collect())
    }
}

impl Reader {
    /// Everything that is published, for a connection that the caller has read and so may see.
    ///
    /// # Errors
    /// When the database does not answer, or a row matches no legal state.
    pub async fn offer(&self) -> Result<Offer, StoreError> {
        offer(self.conn()).await
    }

    /// These definitions; only for those who may see everything.
    ///
    /// # Errors
    /// When the database does not answer, or a row matches no legal state.
    pub async fn definitions_by_id(
        &self,
        ids: &[DefinitionId],
    ) -> Result<Vec<PublishedDefinition>, StoreError> {
        if self.scope() != Scope::Everything {
            return Ok(Vec::new());
        }
        let query = Entity::find().filter(Column::Id.is_in(ids.iter().map(|id| id.0)));
        query.all(self.conn()).await?.into_iter().map(from_row).collect()
    }

    /// A page of definitions, the newest first; only for those who may see everything.
    ///
    /// # Errors
    /// As [`Reader::definitions_by_id`].
    pub async fn definitions(
        &self,
        kind: Option<DefinitionKind>,
        page: super::Page,
    ) -> Result<super::Slice<PublishedDefinition>, StoreError> {
        if self.scope() != Scope::Everything {
            return Ok(page.slice(Vec::new()));
        }
        let mut query = Entity::find();
        if let Some(kind) = kind {
            query = query.filter(Column::Kind.eq(kind.as_str()));
        }
        self.page(query, Column::Id, page, from_row).await
    }
}
