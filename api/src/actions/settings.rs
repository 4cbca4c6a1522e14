//! Settings: changed here, agreed on with the peer. The provider owns the offer, the consumer owns the choice.

use keyservice::pae;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Actions, Call, Done, Failure};
use crate::domain::connection::{Connection, Part, State};
use crate::domain::id::ConnectionId;
use crate::domain::refusal::{Refusal, RefusalCode};
use crate::domain::settings::{Choice, Definition, MAX_DEFINITIONS, Offer, SCHEMA, Settings};
use crate::store::{ChangeKind, SettingsRecord, Tx};

/// The longest name or description of a definition, in characters.
const TEXT_LIMIT: usize = 200;

/// What somebody wants changed; absent parts stay.
#[derive(Clone, Debug, Default)]
pub struct SettingsChange {
    /// Consumer: whether new record producers become active by themselves.
    pub auto_activate_record_producers: Option<bool>,
    /// Consumer: whether new task definitions become active by themselves.
    pub auto_activate_task_definitions: Option<bool>,
    /// Consumer: names of the active record producers.
    pub active_record_producers: Option<Vec<String>>,
    /// Consumer: names of the active task definitions.
    pub active_task_definitions: Option<Vec<String>>,
    /// Provider: what consumers can send records with.
    pub record_producers: Option<Vec<Definition>>,
    /// Provider: what tasks can be exchanged.
    pub task_definitions: Option<Vec<Definition>>,
}

/// The consumer's half on the wire.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SyncRequest {
    schema: u16,
    revision: u64,
    active_record_producers: Vec<String>,
    active_task_definitions: Vec<String>,
    auto_activate_record_producers: bool,
    auto_activate_task_definitions: bool,
}

/// The provider's half on the wire, with the digest over both.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SyncAnswer {
    schema: u16,
    revision: u64,
    record_producers: Vec<WireDefinition>,
    task_definitions: Vec<WireDefinition>,
    digest: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WireDefinition {
    name: String,
    description: String,
    version: u32,
}

impl Actions {
    /// Changes our part of a connection's settings.
    ///
    /// # Errors
    /// `INVALID_INPUT` for a field that is the peer's, or too much of something; `CONFLICT`.
    pub async fn update_settings(
        &self,
        call: &Call,
        id: ConnectionId,
        change: SettingsChange,
        expected: Option<i64>,
    ) -> Done<SettingsRecord> {
        call.requester.operator()?;
        let mut tx = self.begin("settings.update", call).await?;
        let connection = self.connection(&tx, id).await?;
        let mut record = tx.settings(id).await?;
        if expected.is_some_and(|expected| expected != record.revision) {
            return Err(Refusal::conflict("settings").into());
        }
        apply(&mut record.settings, connection.part, change)?;
        record.agreed_digest = None;
        tx.save_settings(id, &record).await?;
        record.revision += 1;
        tx.connection_changed(&connection, ChangeKind::Updated, connection.revision);
        tx.audit("settings.update", "CONNECTION", id, "OK", json!({ "revision": record.revision }));
        if let State::Onboarded { .. } = connection.state {
            let work = crate::domain::effect::Work::SyncSettings(id);
            tx.enqueue(crate::store::NewJob { work, run_at: tx.now(), sealed: None }).await?;
        }
        tx.commit().await?;
        Ok(record)
    }

    /// What the consumer says in a sync.
    pub(crate) async fn settings_request(&self, call: &Call, id: ConnectionId) -> Done<Value> {
        let tx = self.begin("settings.read", call).await?;
        let Choice {
            revision,
            active_record_producers,
            active_task_definitions,
            auto_activate_record_producers,
            auto_activate_task_definitions,
        } = tx.settings(id).await?.settings.choice;
        let request = SyncRequest {
            schema: SCHEMA,
            revision,
            active_record_producers,
            active_task_definitions,
            auto_activate_record_producers,
            auto_activate_task_definitions,
        };
        serde_json::to_value(request).map_err(|_| Failure::Bug("settings"))
    }

    /// What the provider does with it: keeps the choice, answers its offer and the digest over both.
    pub(super) async fn receive_settings(
        &self,
        tx: &mut Tx,
        connection: &Connection,
        body: Value,
    ) -> Done<Value> {
        if connection.part != Part::Provider {
            // On the consumer this is the provider's nudge that its offer changed.
            let work = crate::domain::effect::Work::SyncSettings(connection.id);
            tx.enqueue(crate::store::NewJob { work, run_at: tx.now(), sealed: None }).await?;
            return Ok(json!({}));
        }
        let request: SyncRequest = serde_json::from_value(body).map_err(|_| malformed())?;
        if request.schema != SCHEMA {
            let message =
                format!("Settings of schema {} are not understood here, only {SCHEMA}.", request.schema);
            return Err(Refusal::new(RefusalCode::VersionUnsupported, message).into());
        }
        let mut record = tx.settings(connection.id).await?;
        // An older choice is late news: rolling back is the consumer's decision, with a new revision.
        if request.revision >= record.settings.choice.revision {
            record.settings.choice = Choice {
                revision: request.revision,
                active_record_producers: names(request.active_record_producers)?,
                active_task_definitions: names(request.active_task_definitions)?,
                auto_activate_record_producers: request.auto_activate_record_producers,
                auto_activate_task_definitions: request.auto_activate_task_definitions,
            };
        }
        let digest = settings_digest(&record.settings);
        record.agreed_digest = Some(digest);
        record.synced_at = Some(tx.now());
        tx.save_settings(connection.id, &record).await?;
        let Offer { revision, record_producers, task_definitions } = record.settings.offer;
        let answer = SyncAnswer {
            schema: SCHEMA,
            revision,
            record_producers: to_wire(record_producers),
            task_definitions: to_wire(task_definitions),
            digest: data_encoding::BASE64URL_NOPAD.encode(&digest),
        };
        serde_json::to_value(answer).map_err(|_| Failure::Bug("settings"))
    }

    /// What the consumer does with the answer. Answers whether both sides agree, or it must be said again because
    /// auto-activation changed our choice.
    pub(crate) async fn take_settings(&self, call: &Call, id: ConnectionId, answer: Value) -> Done<bool> {
        let answer: SyncAnswer = serde_json::from_value(answer).map_err(|_| malformed())?;
        let mut tx = self.begin("settings.take", call).await?;
        let connection = self.connection(&tx, id).await?;
        let mut record = tx.settings(id).await?;
        if answer.revision < record.settings.offer.revision {
            let message = "The provider sent older settings than it sent before.";
            return Err(Refusal::new(RefusalCode::Conflict, message).reason("ROLLBACK").into());
        }
        record.settings.offer = Offer {
            revision: answer.revision,
            record_producers: from_wire(answer.record_producers)?,
            task_definitions: from_wire(answer.task_definitions)?,
        };
        let agrees =
            data_encoding::BASE64URL_NOPAD.encode(&settings_digest(&record.settings)) == answer.digest;
        let before = record.settings.choice.clone();
        record.settings.auto_activate();
        let settled = record.settings.choice == before;
        if !settled {
            record.settings.choice.revision += 1;
        }
        record.agreed_digest = (agrees && settled).then(|| settings_digest(&record.settings));
        record.synced_at = Some(tx.now());
        tx.save_settings(id, &record).await?;
        tx.connection_changed(&connection, ChangeKind::Updated, connection.revision);
        tx.commit().await?;
        if settled && !agrees {
            let message = "The two sides hold different settings after syncing them.";
            return Err(Refusal::new(RefusalCode::Conflict, message).reason("DIGEST").into());
        }
        Ok(settled)
    }
}

fn apply(settings: &mut Settings, part: Part, change: SettingsChange) -> Result<(), Refusal> {
    let theirs =
        |field: &str| Refusal::invalid(field, "This part of the settings belongs to the other side.");
    let SettingsChange {
        auto_activate_record_producers,
        auto_activate_task_definitions,
        active_record_producers,
        active_task_definitions,
        record_producers,
        task_definitions,
    } = change;
    match part {
        Part::Consumer => {
            if record_producers.is_some() || task_definitions.is_some() {
                return Err(theirs("recordProducers"));
            }
            let choice = &mut settings.choice;
            choice.auto_activate_record_producers =
                auto_activate_record_producers.unwrap_or(choice.auto_activate_record_producers);
            choice.auto_activate_task_definitions =
                auto_activate_task_definitions.unwrap_or(choice.auto_activate_task_definitions);
            if let Some(active) = active_record_producers {
                choice.active_record_producers = offered(active, &settings.offer.record_producers)?;
            }
            if let Some(active) = active_task_definitions {
                choice.active_task_definitions = offered(active, &settings.offer.task_definitions)?;
            }
            settings.choice.revision += 1;
            settings.auto_activate();
        }
        Part::Provider => {
            let consumers = auto_activate_record_producers.is_some()
                || auto_activate_task_definitions.is_some()
                || active_record_producers.is_some()
                || active_task_definitions.is_some();
            if consumers {
                return Err(theirs("activeRecordProducers"));
            }
            if let Some(definitions) = record_producers {
                settings.offer.record_producers = checked(definitions)?;
            }
            if let Some(definitions) = task_definitions {
                settings.offer.task_definitions = checked(definitions)?;
            }
            settings.offer.revision += 1;
        }
    }
    Ok(())
}

fn offered(names: Vec<String>, definitions: &[Definition]) -> Result<Vec<String>, Refusal> {
    match names.iter().find(|name| !definitions.iter().any(|definition| definition.name == **name)) {
        Some(name) => Err(Refusal::invalid("active", format!("The provider offers nothing named “{name}”."))),
        None => Ok(names),
    }
}

fn checked(definitions: Vec<Definition>) -> Result<Vec<Definition>, Refusal> {
    let invalid = |message: &str| Refusal::invalid("definitions", message);
    if definitions.len() > MAX_DEFINITIONS {
        return Err(invalid("At most 500 definitions of a kind."));
    }
    let mut seen = std::collections::BTreeSet::new();
    for definition in &definitions {
        let length = definition.name.chars().count();
        if length == 0 || length > TEXT_LIMIT || definition.description.chars().count() > TEXT_LIMIT {
            return Err(invalid("Names have 1 to 200 characters, descriptions at most 200."));
        }
        if !seen.insert(&definition.name) {
            return Err(invalid("Names are unique."));
        }
    }
    Ok(definitions)
}

fn names(names: Vec<String>) -> Result<Vec<String>, Refusal> {
    if names.len() > MAX_DEFINITIONS || names.iter().any(|name| name.chars().count() > TEXT_LIMIT) {
        return Err(Refusal::invalid("active", "Too many or too long names."));
    }
    Ok(names)
}

fn to_wire(definitions: Vec<Definition>) -> Vec<WireDefinition> {
    definitions
        .into_iter()
        .map(|d| WireDefinition { name: d.name, description: d.description, version: d.version })
        .collect()
}

fn from_wire(definitions: Vec<WireDefinition>) -> Result<Vec<Definition>, Refusal> {
    checked(
        definitions
            .into_iter()
            .map(|d| Definition { name: d.name, description: d.description, version: d.version })
            .collect(),
    )
}

fn settings_digest(settings: &Settings) -> [u8; 32] {
    let parts = settings.parts();
    let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
    pae::hash(&parts)
}

fn malformed() -> Refusal {
    Refusal::new(RefusalCode::InvalidInput, "The settings are not of the form that schema 1 asks for.")
}
