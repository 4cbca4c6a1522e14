//! Settings: changed here, agreed on with the peer. The provider owns the offer, the consumer owns the choice.

use keyservice::pae;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::failure::failed;
use super::{Actions, Call, Done, Failure, field_schema};
use crate::domain::connection::{Connection, Part};
use crate::domain::effect::Work;
use crate::domain::failure::Operation;
use crate::domain::id::ConnectionId;
use crate::domain::refusal::{Refusal, RefusalCode};
use crate::domain::settings::{
    Choice, Definition, DefinitionKind, Difference, Offer, REVISION_LIMIT, SCHEMA, Settings,
};
use crate::store::{ChangeKind, NewJob, SettingsRecord, Tx};

/// How far the offer that a consumer holds may be ahead of ours: more than anybody saves between a backup and the day
/// it is restored, and so little that no consumer can use up the numbers.
const SET_BACK_LIMIT: u64 = 100_000;

/// What the consumer wants changed; absent parts stay.
#[derive(Clone, Debug, Default)]
pub struct SettingsChange {
    /// Whether new record producers become active by themselves.
    pub auto_activate_record_producers: Option<bool>,
    /// Whether new task definitions become active by themselves.
    pub auto_activate_task_definitions: Option<bool>,
    /// Names of all active record producers.
    pub active_record_producers: Option<Vec<String>>,
    /// Names of all active task definitions.
    pub active_task_definitions: Option<Vec<String>>,
    /// One definition to switch on or off; the others of its kind stay.
    pub one: Option<(DefinitionKind, String, Active)>,
}

/// Whether something is to be active.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Active {
    /// It is.
    On,
    /// It is not.
    Off,
}

/// The consumer's half on the wire: its choice, and which offer it holds.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SyncRequest {
    schema: u16,
    offer_revision: u64,
    choice: WireChoice,
    /// The digest over both halves, as the consumer holds them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    digest: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WireChoice {
    revision: u64,
    active_record_producers: Vec<String>,
    active_task_definitions: Vec<String>,
    auto_activate_record_producers: bool,
    auto_activate_task_definitions: bool,
}

/// The provider's half on the wire: its offer where the consumer holds another one, which choice it holds, and the
/// digest over both.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SyncAnswer {
    schema: u16,
    choice_revision: u64,
    offer_revision: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    offer: Option<WireOffer>,
    digest: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WireOffer {
    record_producers: Vec<WireDefinition>,
    task_definitions: Vec<WireDefinition>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WireDefinition {
    name: String,
    description: String,
    version: u32,
    fields: Value,
}

/// Why nothing is agreed on with a provider that was set back.
const SET_BACK: &str = "The consumer holds something else than this instance publishes, and nothing older: perhaps the \
    database here was restored. Look through what is published, then sync the settings: what is published here then counts.";

impl Actions {
    /// Changes what the consumer takes.
    ///
    /// # Errors
    /// `INVALID_INPUT` for something that is not offered, or on the provider; `CONFLICT`; `NOT_AN_ADMINISTRATOR`.
    pub async fn update_settings(
        &self,
        call: &Call,
        id: ConnectionId,
        change: SettingsChange,
        expected: Option<i64>,
    ) -> Done<SettingsRecord> {
        call.requester.operator()?;
        let mut tx = self.begin("settings.update", call).await?;
        let (connection, mut record, after) = self.changed_settings(&tx, id, change, expected).await?;
        let differences = record.settings.differences(&after);
        record.saved_at = Some(tx.now());
        if differences.is_empty() {
            // That a person looked and left it as it is counts, too; the provider need not hear of it.
            tx.save_settings(id, &record).await?;
            tx.connection_changed(&connection, ChangeKind::Updated, connection.revision);
            tx.commit().await?;
            record.revision += 1;
            return Ok(record);
        }
        record.settings = after;
        record.settings.choice.revision += 1;
        record.agreed_digest = None;
        tx.save_settings(id, &record).await?;
        record.revision += 1;
        tx.connection_changed(&connection, ChangeKind::Updated, connection.revision);
        let fields: Vec<_> = differences.into_iter().map(|one| one.field).take(50).collect();
        let details = json!({ "revision": record.settings.choice.revision, "changed": fields });
        tx.audit("settings.update", "CONNECTION", id, "OK", details);
        sync_soon(&mut tx, &connection).await?;
        tx.commit().await?;
        Ok(record)
    }

    /// What [`Actions::update_settings`] would change; nothing is stored.
    ///
    /// # Errors
    /// As [`Actions::update_settings`].
    pub async fn preview_settings(
        &self,
        call: &Call,
        id: ConnectionId,
        change: SettingsChange,
        expected: Option<i64>,
    ) -> Done<Vec<Difference>> {
        call.requester.operator()?;
        let tx = self.begin("settings.preview", call).await?;
        let (_, record, after) = self.changed_settings(&tx, id, change, expected).await?;
        Ok(record.settings.differences(&after))
    }

    async fn changed_settings(
        &self,
        tx: &Tx,
        id: ConnectionId,
        change: SettingsChange,
        expected: Option<i64>,
    ) -> Done<(Connection, SettingsRecord, Settings)> {
        let connection = self.connection(tx, id).await?;
        connection.require_alive()?;
        if connection.part == Part::Provider {
            let message = "The consumer chooses what it takes, on its own instance. Publish or withdraw \
                           definitions to change what is offered.";
            return Err(Refusal::invalid("connectionId", message).reason("PROVIDER").into());
        }
        let record = tx.settings(id).await?;
        let revision =
            i64::try_from(record.settings.choice.revision).map_err(|_| Failure::Bug("revision"))?;
        if expected.is_some_and(|expected| expected != revision) {
            return Err(Refusal::conflict("settings").into());
        }
        let mut after = record.settings.clone();
        apply(&mut after, change)?;
        Ok((connection, record, after))
    }

    /// Agrees on the settings with the peer again: a person asks for it where the two sides differ. Each side's own
    /// part counts then, whatever the other holds: on the consumer the choice gets a new revision, and the offer is
    /// asked for anew; on a provider that was set back, what is published gets a revision beyond the one that the
    /// consumer holds.
    ///
    /// # Errors
    /// `WRONG_STATE` before keys were exchanged; `NOT_AN_ADMINISTRATOR`.
    pub async fn sync_connection_settings(&self, call: &Call, id: ConnectionId) -> Done<SettingsRecord> {
        call.requester.operator()?;
        let mut tx = self.begin("settings.sync", call).await?;
        let connection = self.connection(&tx, id).await?;
        connection.require_alive()?;
        if connection.channel.is_none() {
            let allowed = ["one with keys"];
            return Err(Refusal::wrong_state("connection", connection.state.name().label(), &allowed).into());
        }
        let mut record = tx.settings(id).await?;
        record.agreed_digest = None;
        match connection.part {
            Part::Consumer => {
                record.settings.choice.revision += 1;
                // Only by a person's word: by itself, this side is not set back.
                record.settings.offer.revision = 0;
            }
            Part::Provider => {
                let reason = record.failure.as_ref().and_then(|failure| failure.reason.as_deref());
                if matches!(reason, Some("ROLLBACK" | "DIGEST")) {
                    let held = record.settings.offer.revision;
                    tx.offer_beyond(held).await?;
                    tx.audit("definition.beyond", "CONNECTION", id, "OK", json!({ "revision": held }));
                    tx.enqueue(NewJob { work: Work::Publish, run_at: tx.now(), sealed: None }).await?;
                }
            }
        }
        tx.save_settings(id, &record).await?;
        record.revision += 1;
        tx.connection_changed(&connection, ChangeKind::Updated, connection.revision);
        tx.audit("settings.sync", "CONNECTION", id, "OK", json!({}));
        sync_soon(&mut tx, &connection).await?;
        tx.commit().await?;
        Ok(record)
    }

    /// What the consumer says in a sync.
    pub(crate) async fn settings_request(&self, call: &Call, id: ConnectionId) -> Done<Value> {
        let tx = self.begin("settings.read", call).await?;
        let settings = tx.settings(id).await?.settings;
        let digest = Some(spelled(&settings_digest(&settings)));
        let Settings { offer, choice } = settings;
        let offer_revision = offer.revision;
        let request = SyncRequest { schema: SCHEMA, offer_revision, choice: choice_to_wire(choice), digest };
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
            let work = Work::SyncSettings(connection.id);
            tx.enqueue(NewJob { work, run_at: tx.now(), sealed: None }).await?;
            return Ok(json!({}));
        }
        let request: SyncRequest = serde_json::from_value(body).map_err(|_| malformed())?;
        if request.schema != SCHEMA {
            let message =
                format!("Settings of schema {} are not understood here, only {SCHEMA}.", request.schema);
            return Err(Refusal::new(RefusalCode::VersionUnsupported, message).into());
        }
        let published = tx.offer().await?;
        if request.offer_revision > published.revision + SET_BACK_LIMIT {
            return Err(malformed().into());
        }
        let mut record = tx.settings(connection.id).await?;
        let before = record.clone();
        let choice = choice_from_wire(request.choice)?;
        // Only a newer choice takes the place of the one we hold. What is older, or different under the same
        // revision, is late news or a restored backup: the consumer learns which revision we hold, and decides.
        if choice.revision > record.settings.choice.revision {
            record.settings.choice = choice.clone();
        }
        let set_back = request.offer_revision > published.revision;
        let same = record.settings.choice == choice;
        // What is published is the same for all; of the consumer's copy, only the revision is kept.
        record.settings.offer.revision = request.offer_revision;
        let held = Settings { offer: published, choice: record.settings.choice.clone() };
        let digest = settings_digest(&held);
        // Set back, and published anew up to the revision that the consumer holds.
        let other = same
            && request.offer_revision == held.offer.revision
            && held.offer.revision > 0
            && request.digest.is_some_and(|theirs| theirs != spelled(&digest));
        let agrees = same && !set_back && !other;
        record.agreed_digest = agrees.then_some(digest);
        record.failure = match (set_back, other) {
            (true, _) => Some("ROLLBACK"),
            (false, true) => Some("DIGEST"),
            (false, false) => None,
        }
        .map(|reason| Refusal::new(RefusalCode::Conflict, SET_BACK).reason(reason));
        if record != before {
            record.synced_at = if agrees { Some(tx.now()) } else { record.synced_at };
            tx.save_settings(connection.id, &record).await?;
            tx.connection_changed(connection, ChangeKind::Updated, connection.revision);
        }
        let answer = SyncAnswer {
            schema: SCHEMA,
            choice_revision: held.choice.revision,
            offer_revision: held.offer.revision,
            digest: spelled(&digest),
            offer: (held.offer.revision != request.offer_revision)
                .then(|| offer_to_wire(held.offer))
                .transpose()?,
        };
        serde_json::to_value(answer).map_err(|_| Failure::Bug("settings"))
    }

    /// What the consumer does with the answer. Answers whether both sides agree, or it must be said again because
    /// auto-activation changed our choice.
    ///
    /// # Errors
    /// `CONFLICT` with the reason `ROLLBACK` when a side holds something newer than the other sends, or `DIGEST`
    /// when both hold something else under the same revisions; `INVALID_INPUT` for an offer beyond its limits.
    pub(crate) async fn take_settings(&self, call: &Call, id: ConnectionId, answer: Value) -> Done<bool> {
        let answer: SyncAnswer = serde_json::from_value(answer).map_err(|_| malformed())?;
        if answer.choice_revision.max(answer.offer_revision) > REVISION_LIMIT {
            return Err(malformed().into());
        }
        let mut tx = self.begin("settings.take", call).await?;
        let connection = self.connection(&tx, id).await?;
        let mut record = tx.settings(id).await?;
        let before = record.clone();
        let held = before.settings.offer.revision;
        if answer.offer_revision < held
            || (answer.offer.is_some() && answer.offer_revision == held && held > 0)
        {
            let message = "The provider publishes something older than it did before: perhaps its database was \
                restored. Its administrator looks through what it publishes, then syncs the settings there. Or sync \
                them here, to take it as it is.";
            return Err(Refusal::new(RefusalCode::Conflict, message).reason("ROLLBACK").into());
        }
        if answer.choice_revision > record.settings.choice.revision {
            // We were set back. What we hold does not count until a person saves it again, beyond that revision.
            record.settings.choice.revision = answer.choice_revision;
            record.agreed_digest = None;
            tx.save_settings(id, &record).await?;
            tx.audit("settings.take", "CONNECTION", id, "ROLLBACK", json!({}));
            tx.commit().await?;
            let message =
                "The provider holds newer settings of ours than we do. Look through them, then save.";
            return Err(Refusal::new(RefusalCode::Conflict, message).reason("ROLLBACK").into());
        }
        let mut both = record.settings.clone();
        match answer.offer {
            Some(offer) => {
                let offer = offer_from_wire(answer.offer_revision, offer)?;
                both.offer = offer.clone();
                record.settings.take_offer(offer);
            }
            None if answer.offer_revision != held => return Err(malformed().into()),
            // Nothing was ever published there, as far as it knows; here, something may be left of before.
            None if held == 0 => {
                both.offer = Offer::default();
                record.settings.take_offer(Offer::default());
            }
            None => {}
        }
        let digest = settings_digest(&both);
        let agrees = spelled(&digest) == answer.digest;
        let settled = record.settings.choice == both.choice;
        record.agreed_digest = (agrees && settled).then_some(digest);
        if record.agreed_digest.is_some() {
            record.failure = None;
        }
        if record != before {
            record.synced_at = if record.agreed_digest.is_some() { Some(tx.now()) } else { record.synced_at };
            tx.save_settings(id, &record).await?;
            tx.connection_changed(&connection, ChangeKind::Updated, connection.revision);
            tx.commit().await?;
        }
        if !agrees {
            let message = "The two sides hold different settings under the same revisions. Look through them, then sync them again.";
            return Err(Refusal::new(RefusalCode::Conflict, message).reason("DIGEST").into());
        }
        Ok(settled)
    }

    /// A sync did not succeed: the reason is shown with the settings until one does.
    pub(crate) async fn sync_failed(&self, call: &Call, id: ConnectionId, refusal: Refusal) -> Done<()> {
        let mut tx = self.begin("settings.failed", call).await?;
        let Some(connection) = tx.connection(id).await? else { return Ok(()) };
        let mut record = tx.settings(id).await?;
        tx.record_failure(&failed(&connection, Operation::Settings, &refusal, call.trace)).await?;
        if record.failure.as_ref() != Some(&refusal) {
            record.failure = Some(refusal);
            tx.save_settings(id, &record).await?;
            tx.connection_changed(&connection, ChangeKind::Updated, connection.revision);
        }
        tx.commit().await?;
        Ok(())
    }
}

/// Whether both sides last agreed on just what is held now.
#[must_use]
pub fn is_agreed(record: &SettingsRecord) -> bool {
    record.agreed_digest.is_some_and(|agreed| agreed == settings_digest(&record.settings))
}

/// The digest that both sides compare: it is the same exactly when they hold the same settings.
#[must_use]
pub fn settings_digest(settings: &Settings) -> [u8; 32] {
    let parts = settings.parts();
    let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
    pae::hash(&parts)
}

/// Writes the work of agreeing with the peer, once there is a way to speak to it.
pub(super) async fn sync_soon(tx: &mut Tx, connection: &Connection) -> Done<()> {
    use crate::domain::connection::State;
    if connection.channel.is_some()
        && matches!(connection.state, State::Onboarding { .. } | State::Onboarded { .. })
    {
        let work = Work::SyncSettings(connection.id);
        tx.enqueue(NewJob { work, run_at: tx.now(), sealed: None }).await?;
    }
    Ok(())
}

fn apply(settings: &mut Settings, change: SettingsChange) -> Result<(), Refusal> {
    let Settings { offer, choice } = settings;
    let auto = &mut choice.auto_activate_record_producers;
    *auto = change.auto_activate_record_producers.unwrap_or(*auto);
    let auto = &mut choice.auto_activate_task_definitions;
    *auto = change.auto_activate_task_definitions.unwrap_or(*auto);
    let offered = |kind: DefinitionKind, field: &str, name: &str| {
        if offer.of(kind).iter().any(|definition| definition.name == name) {
            return Ok(());
        }
        let message = format!("The provider offers no {} of the name {name:?}.", kind.label().to_lowercase());
        Err(Refusal::invalid(field, message).reason("NOT_OFFERED"))
    };
    for (kind, field, names) in [
        (DefinitionKind::RecordProducer, "activeRecordProducers", change.active_record_producers),
        (DefinitionKind::TaskDefinition, "activeTaskDefinitions", change.active_task_definitions),
    ] {
        let Some(mut names) = names else { continue };
        names.iter().try_for_each(|name| offered(kind, field, name))?;
        names.sort_unstable();
        names.dedup();
        let active = choice.active_mut(kind);
        // The same names in another order are no change.
        active.sort_unstable();
        *active = names;
    }
    if let Some((kind, name, wanted)) = change.one {
        offered(kind, "name", &name)?;
        let active = choice.active_mut(kind);
        match wanted {
            Active::On if !active.contains(&name) => active.push(name),
            Active::On => {}
            Active::Off => active.retain(|one| *one != name),
        }
    }
    Ok(())
}

fn choice_to_wire(choice: Choice) -> WireChoice {
    let Choice {
        revision,
        active_record_producers,
        active_task_definitions,
        auto_activate_record_producers,
        auto_activate_task_definitions,
    } = choice;
    WireChoice {
        revision,
        active_record_producers,
        active_task_definitions,
        auto_activate_record_producers,
        auto_activate_task_definitions,
    }
}

fn choice_from_wire(choice: WireChoice) -> Result<Choice, Refusal> {
    let choice = Choice {
        revision: choice.revision,
        active_record_producers: choice.active_record_producers,
        active_task_definitions: choice.active_task_definitions,
        auto_activate_record_producers: choice.auto_activate_record_producers,
        auto_activate_task_definitions: choice.auto_activate_task_definitions,
    };
    choice.check()?;
    Ok(choice)
}

fn offer_to_wire(offer: Offer) -> Done<WireOffer> {
    let all = |definitions: Vec<Definition>| -> Done<Vec<WireDefinition>> {
        let definition = |one: Definition| {
            let fields = serde_json::from_str(one.fields.as_str()).map_err(|_| Failure::Bug("fields"))?;
            Ok(WireDefinition { name: one.name, description: one.description, version: one.version, fields })
        };
        definitions.into_iter().map(definition).collect()
    };
    Ok(WireOffer {
        record_producers: all(offer.record_producers)?,
        task_definitions: all(offer.task_definitions)?,
    })
}

/// What another organisation offers is looked at as what somebody types here.
fn offer_from_wire(revision: u64, offer: WireOffer) -> Result<Offer, Refusal> {
    let all = |definitions: Vec<WireDefinition>| -> Result<Vec<Definition>, Refusal> {
        let definition = |one: WireDefinition| {
            let fields = field_schema::check(&one.fields)?;
            Ok(Definition { name: one.name, description: one.description, version: one.version, fields })
        };
        definitions.into_iter().map(definition).collect()
    };
    let offer = Offer {
        revision,
        record_producers: all(offer.record_producers)?,
        task_definitions: all(offer.task_definitions)?,
    };
    offer.check()?;
    Ok(offer)
}

fn spelled(digest: &[u8; 32]) -> String {
    data_encoding::BASE64URL_NOPAD.encode(digest)
}

fn malformed() -> Refusal {
    Refusal::new(RefusalCode::InvalidInput, "The settings are not of the form that schema 1 asks for.")
}
