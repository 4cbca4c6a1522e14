//! A connection's settings: what the provider offers and what the consumer takes.

use async_graphql::{Context, ID, Object, Result, SimpleObject};

use super::ask::{Ask, named};
use super::id::Kind;
use super::load::{PublishedOffer, Settings};
use super::refusal::Refusal;
use super::words::DefinitionKind;
use crate::actions::{Active, Call, Done, SettingsChange, is_agreed};
use crate::domain::Timestamp;
use crate::domain::connection::{Connection, Part};
use crate::domain::id::ConnectionId;
use crate::domain::settings as domain;
use crate::store::SettingsRecord;

/// What the two sides agreed to exchange. The provider owns what it offers, the consumer what it takes.
pub(super) struct ConnectionSettings {
    /// Both parts; on the provider, what is published now.
    record: SettingsRecord,
}

impl ConnectionSettings {
    /// The settings of a connection that the caller may see.
    pub(super) async fn load(ask: &Ask<'_>, connection: &Connection) -> Result<Self> {
        let record = ask.load.one(Settings(connection.id)).await?.unwrap_or_default();
        Self::complete(ask, connection.part, record).await
    }

    async fn complete(ask: &Ask<'_>, part: Part, mut record: SettingsRecord) -> Result<Self> {
        if part == Part::Provider {
            record.settings.offer = ask.load.one(PublishedOffer).await?.unwrap_or_default();
        }
        Ok(Self { record })
    }

    fn definitions(&self, kind: domain::DefinitionKind) -> Vec<Definition> {
        let domain::Settings { offer, choice } = &self.record.settings;
        let definition = |definition: &domain::Definition| Definition {
            name: definition.name.clone(),
            description: definition.description.clone(),
            version: definition.version,
            field_schema: definition.fields.as_str().to_owned(),
            active: choice.active(kind).contains(&definition.name),
        };
        offer.of(kind).iter().map(definition).collect()
    }
}

/// What the two sides agreed to exchange. The provider owns what it offers, the consumer what it takes.
#[Object]
impl ConnectionSettings {
    /// What the consumer can send records with, by name.
    async fn record_producers(&self) -> Vec<Definition> {
        self.definitions(domain::DefinitionKind::RecordProducer)
    }

    /// What tasks can be exchanged, by name.
    async fn task_definitions(&self) -> Vec<Definition> {
        self.definitions(domain::DefinitionKind::TaskDefinition)
    }

    /// Whether record producers that the provider adds become active by themselves.
    async fn auto_activate_record_producers(&self) -> bool {
        self.record.settings.choice.auto_activate_record_producers
    }

    /// Whether task definitions that the provider adds become active by themselves.
    async fn auto_activate_task_definitions(&self) -> bool {
        self.record.settings.choice.auto_activate_task_definitions
    }

    /// Revision of the provider's part; grows by one with every change of what it publishes.
    async fn offer_revision(&self) -> u64 {
        self.record.settings.offer.revision
    }

    /// Revision of the consumer's part; grows by one with every change of it. Give it as `expectedRevision` when you
    /// edit.
    async fn revision(&self) -> u64 {
        self.record.settings.choice.revision
    }

    /// Whether both sides last agreed on just these settings.
    async fn agreed(&self) -> bool {
        is_agreed(&self.record)
    }

    /// When both sides last agreed on the same settings; null before they did.
    async fn synced_at(&self) -> Option<Timestamp> {
        self.record.synced_at
    }

    /// When a person here last saved what the consumer takes; null on the provider, and before.
    async fn saved_at(&self) -> Option<Timestamp> {
        self.record.saved_at
    }

    /// Why the last sync did not succeed; null when it did. It is tried again by itself for a while.
    async fn sync_failure(&self, ctx: &Context<'_>) -> Result<Option<Refusal>> {
        let ask = Ask::anyone(ctx)?;
        Ok(self.record.failure.clone().map(|refusal| Refusal::new(&ask, refusal)))
    }
}

/// Something the provider offers.
#[derive(SimpleObject)]
pub(super) struct Definition {
    /// Unique among its kind.
    name: String,
    /// What it is, for people.
    description: String,
    /// Grows by one with every change of its fields.
    version: u32,
    /// Its fields: JSON Schema (draft 2020-12) as JSON text.
    field_schema: String,
    /// Whether the consumer takes it.
    active: bool,
}

/// One field that saving would change.
#[derive(SimpleObject)]
pub(super) struct Difference {
    /// The field, as the input calls it; one of a list has its name in brackets.
    field: String,
    /// What it holds now; null where there is nothing yet.
    before: Option<String>,
    /// What it would hold; null where nothing would be left.
    after: Option<String>,
}

impl Difference {
    pub(super) fn all(differences: Vec<domain::Difference>) -> Vec<Self> {
        let one = |one: domain::Difference| Self { field: one.field, before: one.before, after: one.after };
        differences.into_iter().map(one).collect()
    }
}

/// What saving would change.
#[derive(SimpleObject)]
pub(super) struct DifferencePreview {
    /// The fields that would change; empty when saving would change nothing, null when it would be refused.
    differences: Option<Vec<Difference>>,
    /// Why saving would be refused; null when it would not.
    refusal: Option<Refusal>,
}

impl DifferencePreview {
    pub(super) fn new((differences, refusal): (Option<Vec<domain::Difference>>, Option<Refusal>)) -> Self {
        Self { differences: differences.map(Difference::all), refusal }
    }
}

input! {
    /// What to change of the settings that the consumer chooses; what is left out stays.
    UpdateSettingsInput {
        /// The connection.
        connection_id: ID,
        /// Whether record producers that the provider adds become active by themselves.
        auto_activate_record_producers: Option<bool>,
        /// Whether task definitions that the provider adds become active by themselves.
        auto_activate_task_definitions: Option<bool>,
        /// Names of all record producers that are to be active.
        active_record_producers: Option<Vec<String>>,
        /// Names of all task definitions that are to be active.
        active_task_definitions: Option<Vec<String>>,
        /// The `revision` you read; another one in the meantime is refused with `CONFLICT`.
        expected_revision: Option<i64>,
    }
}

impl UpdateSettingsInput {
    fn change(self) -> SettingsChange {
        SettingsChange {
            auto_activate_record_producers: self.auto_activate_record_producers,
            auto_activate_task_definitions: self.auto_activate_task_definitions,
            active_record_producers: self.active_record_producers,
            active_task_definitions: self.active_task_definitions,
            one: None,
        }
    }
}

input! {
    /// Which definition to take.
    ActivateDefinitionInput {
        /// The connection.
        connection_id: ID,
        /// What it defines.
        kind: DefinitionKind,
        /// Its name.
        name: String,
        /// The `revision` of the settings you read; another one in the meantime is refused with `CONFLICT`.
        expected_revision: Option<i64>,
    }
}

input! {
    /// Which definition not to take any more.
    DeactivateDefinitionInput {
        /// The connection.
        connection_id: ID,
        /// What it defines.
        kind: DefinitionKind,
        /// Its name.
        name: String,
        /// The `revision` of the settings you read; another one in the meantime is refused with `CONFLICT`.
        expected_revision: Option<i64>,
    }
}

input! {
    /// The connection whose two sides are to agree again.
    SyncConnectionSettingsInput {
        /// The connection.
        connection_id: ID,
    }
}

payload! {
    /// What became of a change of settings.
    SettingsPayload {
        /// The settings afterwards; null when it was refused.
        settings: ConnectionSettings
    }
}

/// Queries of settings.
#[derive(Default)]
pub(super) struct SettingsQuery;

#[Object]
impl SettingsQuery {
    /// What `updateSettings` would change with this input; nothing is stored.
    #[graphql(complexity = "20 + child_complexity")]
    async fn settings_preview(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What is to be changed.")] input: UpdateSettingsInput,
    ) -> Result<DifferencePreview> {
        let ask = Ask::new(ctx)?;
        let done = async {
            let id = named(Kind::Connection, "connectionId", &input.connection_id)?;
            let expected = input.expected_revision;
            ask.actions.preview_settings(ask.call, id, input.change(), expected).await
        };
        Ok(DifferencePreview::new(ask.settle(done.await)?))
    }
}

/// Mutations of settings.
#[derive(Default)]
pub(super) struct SettingsMutation;

impl SettingsMutation {
    async fn switch(
        ask: &Ask<'_>,
        call: &Call,
        connection: &ID,
        (kind, name, active): (DefinitionKind, String, Active),
        expected: Option<i64>,
    ) -> Done<(ConnectionId, SettingsRecord)> {
        let id = named(Kind::Connection, "connectionId", connection)?;
        let one = Some((kind.into(), name, active));
        let change = SettingsChange { one, ..SettingsChange::default() };
        Ok((id, ask.actions.update_settings(call, id, change, expected).await?))
    }

    fn changed(done: (Option<(ConnectionId, SettingsRecord)>, Option<Refusal>)) -> SettingsPayload {
        SettingsPayload::new(done, |(_, record)| ConnectionSettings { record })
    }
}

#[Object]
impl SettingsMutation {
    /// Changes what the consumer takes, on the consumer's instance. The provider is told by itself.
    async fn update_settings(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What to change.")] input: UpdateSettingsInput,
    ) -> Result<SettingsPayload> {
        let ask = Ask::new(ctx)?;
        let done = ask.once(input, |call, input| async move {
            let id = named(Kind::Connection, "connectionId", &input.connection_id)?;
            let expected = input.expected_revision;
            Ok((id, ask.actions.update_settings(&call, id, input.change(), expected).await?))
        });
        Ok(Self::changed(done.await?))
    }

    /// Takes one definition that the provider offers, on the consumer's instance.
    async fn activate_definition(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which one.")] input: ActivateDefinitionInput,
    ) -> Result<SettingsPayload> {
        let ask = Ask::new(ctx)?;
        let done = ask.once(input, |call, input| async move {
            let one = (input.kind, input.name, Active::On);
            Self::switch(&ask, &call, &input.connection_id, one, input.expected_revision).await
        });
        Ok(Self::changed(done.await?))
    }

    /// Takes one definition no more, on the consumer's instance.
    async fn deactivate_definition(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which one.")] input: DeactivateDefinitionInput,
    ) -> Result<SettingsPayload> {
        let ask = Ask::new(ctx)?;
        let done = ask.once(input, |call, input| async move {
            let one = (input.kind, input.name, Active::Off);
            Self::switch(&ask, &call, &input.connection_id, one, input.expected_revision).await
        });
        Ok(Self::changed(done.await?))
    }

    /// Lets both sides agree on the settings again, on either instance. What is the own part of the one that is asked counts,
    /// whatever the other holds: a provider whose database was restored publishes anew, a consumer takes what is published.
    async fn sync_connection_settings(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Of which connection.")] input: SyncConnectionSettingsInput,
    ) -> Result<SettingsPayload> {
        let ask = Ask::new(ctx)?;
        let done = ask.once(input, |call, input| async move {
            let id: ConnectionId = named(Kind::Connection, "connectionId", &input.connection_id)?;
            Ok((id, ask.actions.sync_connection_settings(&call, id).await?))
        });
        let (done, refusal) = done.await?;
        let settings = match done {
            Some((id, record)) => {
                let part = ask.load.one(id).await?.map_or(Part::Consumer, |connection| connection.part);
                Some(ConnectionSettings::complete(&ask, part, record).await?)
            }
            None => None,
        };
        Ok(SettingsPayload { settings, refusal })
    }
}
