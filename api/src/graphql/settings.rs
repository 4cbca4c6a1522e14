//! A connection's settings: what the provider offers and what the consumer takes.

use async_graphql::{ID, InputObject, Object, SimpleObject};

use crate::actions::SettingsChange;
use crate::domain::Timestamp;
use crate::domain::settings as domain;
use crate::store::SettingsRecord;

/// What the two sides agreed to exchange. The provider owns what it offers, the consumer what it takes.
pub(super) struct ConnectionSettings(pub(super) SettingsRecord);

/// What the two sides agreed to exchange. The provider owns what it offers, the consumer what it takes.
#[Object]
impl ConnectionSettings {
    /// What the consumer can send records with.
    async fn record_producers(&self) -> Vec<Definition> {
        let settings = &self.0.settings;
        Definition::all(&settings.offer.record_producers, &settings.choice.active_record_producers)
    }

    /// What tasks can be exchanged.
    async fn task_definitions(&self) -> Vec<Definition> {
        let settings = &self.0.settings;
        Definition::all(&settings.offer.task_definitions, &settings.choice.active_task_definitions)
    }

    /// Whether new record producers become active by themselves.
    async fn auto_activate_record_producers(&self) -> bool {
        self.0.settings.choice.auto_activate_record_producers
    }

    /// Whether new task definitions become active by themselves.
    async fn auto_activate_task_definitions(&self) -> bool {
        self.0.settings.choice.auto_activate_task_definitions
    }

    /// Revision of the provider's part; grows by one with every change of it.
    async fn offer_revision(&self) -> u64 {
        self.0.settings.offer.revision
    }

    /// Revision of the consumer's part; grows by one with every change of it.
    async fn choice_revision(&self) -> u64 {
        self.0.settings.choice.revision
    }

    /// When both sides last agreed on the same settings; null before they did.
    async fn synced_at(&self) -> Option<Timestamp> {
        self.0.synced_at
    }

    /// Revision of both parts as they are stored here; give it as `expectedRevision` when you edit. 0 when nothing is
    /// stored yet.
    async fn revision(&self) -> i64 {
        self.0.revision
    }
}

/// Something the provider offers.
#[derive(SimpleObject)]
pub(super) struct Definition {
    /// Unique among its kind.
    name: String,
    /// What it is, for people.
    description: String,
    /// Grows with every change of meaning.
    version: u32,
    /// Whether the consumer takes it.
    active: bool,
}

impl Definition {
    fn all(offered: &[domain::Definition], active: &[String]) -> Vec<Self> {
        let definition = |definition: &domain::Definition| Self {
            name: definition.name.clone(),
            description: definition.description.clone(),
            version: definition.version,
            active: active.contains(&definition.name),
        };
        offered.iter().map(definition).collect()
    }
}

/// Something to offer.
#[derive(InputObject)]
pub(super) struct DefinitionInput {
    /// Unique among its kind.
    name: String,
    /// What it is, for people.
    description: String,
    /// Grows with every change of meaning.
    version: u32,
}

fn offered(definitions: Vec<DefinitionInput>) -> Vec<domain::Definition> {
    let definition = |input: DefinitionInput| domain::Definition {
        name: input.name,
        description: input.description,
        version: input.version,
    };
    definitions.into_iter().map(definition).collect()
}

input! {
    /// What to change of a connection's settings; what is left out stays. The provider can change what it offers, the
    /// consumer what it takes.
    UpdateSettingsInput {
        /// The connection.
        pub(super) connection_id: ID,
        /// Consumer: whether new record producers become active by themselves.
        auto_activate_record_producers: Option<bool>,
        /// Consumer: whether new task definitions become active by themselves.
        auto_activate_task_definitions: Option<bool>,
        /// Consumer: names of all record producers that are to be active.
        active_record_producers: Option<Vec<String>>,
        /// Consumer: names of all task definitions that are to be active.
        active_task_definitions: Option<Vec<String>>,
        /// Provider: all record producers to offer, 500 at most.
        record_producers: Option<Vec<DefinitionInput>>,
        /// Provider: all task definitions to offer, 500 at most.
        task_definitions: Option<Vec<DefinitionInput>>,
        /// The revision you read; another one in the meantime is refused with `CONFLICT`.
        expected_revision: Option<i64>,
    }
}

impl UpdateSettingsInput {
    /// The change, and the revision it is meant for.
    pub(super) fn change(self) -> (SettingsChange, Option<i64>) {
        let change = SettingsChange {
            auto_activate_record_producers: self.auto_activate_record_producers,
            auto_activate_task_definitions: self.auto_activate_task_definitions,
            active_record_producers: self.active_record_producers,
            active_task_definitions: self.active_task_definitions,
            record_producers: self.record_producers.map(offered),
            task_definitions: self.task_definitions.map(offered),
        };
        (change, self.expected_revision)
    }
}

payload! {
    /// What became of a change of settings.
    SettingsPayload {
        /// The settings afterwards; null when it was refused.
        settings: ConnectionSettings
    }
}
