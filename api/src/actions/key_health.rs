//! The key service's health, measured when it is asked for.

use keyservice::{
    Component, ComponentKind, Error, HealthReport, HealthStatus, RowFault, SealedKey, SealedModule, roll_up,
};

use serde_json::json;

use super::key_module::at;
use super::{Actions, Call, Done};
use crate::domain::Timestamp;
use crate::domain::causes::causes;
use crate::domain::check::Suite;
use crate::domain::key_health::{KeyHealth, KeyHealthComponent, KeyHealthStatus, sees_components};
use crate::domain::refusal::{Refusal, RefusalCode};
use crate::domain::requester::Person;
use crate::store::{Reader, StoreError};
use crate::vault::{Sight, VaultError, process_away};

/// How many keys of connections one measurement tests: the next takes others, until all had their turn.
const LINKS: u64 = 64;
/// How many rows that are not as they should be the report names.
const NAMED: usize = 5;

/// What to do about a row that somebody changed; nothing is done to a key by a row that is not as it was written.
const RESTORE: &str = "Restore the row from a backup, and find out who writes to the database.";

/// What to do where the hierarchy on record is under another root key than the one that is here.
const ROTATED: &str = "Where another node rotated the root key, put its new root key in the place of the one here: it is \
    taken up by itself, and this node does not start again without it. Where nobody rotated it, restore the row of this \
    instance from a backup.";

impl Actions {
    /// Measures the key service from scratch, every key and the whole audit trail included; for those who see no
    /// components, as [`Actions::key_health`] does: what costs most is not for everybody to ask for.
    ///
    /// # Errors
    /// As [`Actions::key_health`].
    pub async fn recheck_key_health(&self, call: &Call) -> Done<KeyHealth> {
        let person = require_own_person(call)?;
        if sees_components(person) {
            self.integrity.forget();
            self.verified.forget();
            if call.requester.is_on_host() {
                // Nobody measures on from here: the process ends with the answer.
                self.verify_to_the_end().await?;
            }
        }
        let health = self.measure_keys().await?;
        self.announce_key_health(&health).await;
        Ok(seen_by(person, health))
    }

    async fn key_records(&self) -> Result<(Vec<SealedModule>, Vec<SealedKey>), StoreError> {
        let modules = self.store.modules().await?;
        let names: Vec<&str> = modules.iter().map(|module| module.name.as_str()).collect();
        let mut keys = self.store.newest_keys_of(&names, 1).await?;
        keys.extend(self.link_keys().await?);
        Ok((modules, keys))
    }

    /// The keys of connections whose turn it is to be tested: there are many.
    async fn link_keys(&self) -> Result<Vec<SealedKey>, StoreError> {
        let last = self.integrity.last_link();
        let mut keys = self.store.link_keys_behind(&last, LINKS).await?;
        if keys.is_empty() && !last.is_empty() {
            keys = self.store.link_keys_behind("", LINKS).await?;
        }
        self.integrity.tested_links(keys.last().map(|key| key.module.clone()).unwrap_or_default());
        Ok(keys)
    }

    /// What the comparison of all keys with the audit trail found, and of the instance's own row, is a fault of the part that guards them.
    async fn add_findings(&self, report: &mut HealthReport) -> Done<()> {
        let mut findings = self.faulty_instance().await?;
        findings.extend(self.faulty_rows().await?);
        let Some(first) = findings.first() else { return Ok(()) };
        let guards = |component: &&mut Component| component.component == ComponentKind::IntegrityKey;
        if let Some(component) = report.components.iter_mut().find(guards) {
            component.status = HealthStatus::Malfunction;
            component.code = first.code;
            component.message =
                findings.iter().take(NAMED).map(|one| one.message.as_str()).collect::<Vec<_>>().join(" ");
            if findings.len() > NAMED {
                component.message = format!("{} And {} more.", component.message, findings.len() - NAMED);
            }
            component.remedy = Some(RESTORE);
        }
        report.status = roll_up(&report.components);
        Ok(())
    }

    /// Measures the key service. Status and reason are for everybody who operates or watches this instance; each
    /// component is for those who look after keys.
    ///
    /// # Errors
    /// `NOT_AN_ADMINISTRATOR` for other organisations' people.
    pub async fn key_health(&self, call: &Call) -> Done<KeyHealth> {
        let person = require_own_person(call)?;
        Ok(seen_by(person, self.measure_keys().await?))
    }

    /// The log of changes of the health, for the same people as the health.
    ///
    /// # Errors
    /// `NOT_AN_ADMINISTRATOR` for other organisations' people.
    pub fn key_health_log(&self, call: &Call) -> Result<Reader, Refusal> {
        require_own_person(call)?;
        Ok(self.store.key_health_log())
    }

    /// Announces at once that the key service's process ended or came back, for as long as it runs.
    pub(crate) async fn watch_key_process(&self) {
        let Some(mut process) = self.keys.watch_process() else { return std::future::pending().await };
        while let Some(sight) = process.next().await {
            match sight {
                Sight::Away(why) => {
                    if let Err(error) = self.keys.vault.reopen_with_record().await {
                        tracing::warn!(error = causes(&error), "the key hierarchy could not be read");
                    }
                    self.announce_key_health(&away(why, self.world.now())).await;
                }
                Sight::There => match self.measure_keys().await {
                    Ok(health) => self.announce_key_health(&health).await,
                    // The measurement that comes by itself announces it.
                    Err(error) => {
                        tracing::warn!(error = causes(&error), "the key service could not be measured");
                    }
                },
            }
        }
    }

    /// Announces the health in the log of changes, if it is another one than was announced last: of the whole, or of
    /// some part.
    pub(crate) async fn announce_key_health(&self, health: &KeyHealth) {
        if let Err(error) = self.try_announce_key_health(health).await {
            // The next measurement announces it.
            tracing::warn!(error = causes(&error), "the key service's health could not be announced");
        }
    }

    async fn try_announce_key_health(&self, health: &KeyHealth) -> Done<()> {
        let ailing: Vec<_> = health.ailing().into_iter().map(|part| json!({
            "part": part.name, "module": part.module, "status": part.status.as_str(), "code": part.code,
        })).collect();
        let is = json!({ "state": health.status.as_str(), "ailing": ailing });
        // Held until it is announced: two who measured the same announce it once.
        let mut announced = self.announced_key_health.lock().await;
        let was =
            match announced.take() {
                Some(was) => was,
                // As the process before this one left it; all was well when nothing was announced.
                None => self.store.announced_key_health().await?.unwrap_or_else(
                    || json!({ "state": KeyHealthStatus::Operational.as_str(), "ailing": [] }),
                ),
            };
        if is != was {
            let call = Call::system(self.fresh_trace());
            let mut tx = self.begin_keyless("key-health.announce", &call).await?;
            tx.key_health_changed(is.clone());
            tx.commit().await?;
        }
        *announced = Some(is);
        Ok(())
    }

    /// Measures the key service, each part of it.
    pub(crate) async fn measure_keys(&self) -> Done<KeyHealth> {
        let now = self.world.now();
        let (modules, keys) = match self.key_records().await {
            Ok(records) => records,
            // Then there is nothing to measure by; the row is named.
            Err(error @ StoreError::Inconsistent { .. }) => {
                return Ok(unusable(RowFault::Changed, error.to_string(), now));
            }
            Err(error @ StoreError::Tampered { .. }) => {
                return Ok(unusable(RowFault::RolledBack, error.to_string(), now));
            }
            Err(error) => return Err(error.into()),
        };
        let audit = self.audit_measure().await?;
        // Measured is what the next start finds: another node may have rotated what is above the keys. What else the
        // hierarchy is refused for is found with the row of this instance, or by the part itself.
        let stored = self.keys.vault.catch_up().await;
        let mut report = self.keys.health(&modules, &keys, audit, now).await?;
        if stored.is_err_and(|error| error == VaultError::Refused(Error::RootKeyMismatch)) {
            root_key_is_elsewhere(&mut report);
        }
        if report.components.iter().any(|component| component.component == ComponentKind::IntegrityKey) {
            self.add_findings(&mut report).await?;
        }
        // A malfunction that is not critical only degrades the whole, and is the reason all the same.
        let ailing = report.components.iter().filter(|component| {
            matches!(component.status, HealthStatus::Malfunction | HealthStatus::Degraded)
        });
        let worst = ailing
            .max_by_key(|component| (component.status == HealthStatus::Malfunction, component.critical));
        let mut health = KeyHealth {
            status: status(report.status),
            reason: worst.map(|component| component.message.clone()),
            components: report.components.iter().map(component).collect(),
            measured_at: now,
        };
        if let Some(interruption) = &self.world.interruption {
            for part in Suite::KeyService.checks().iter().map(|code| code.as_str()) {
                if interruption.breaks(part) {
                    health.components.retain(|component| component.name != part);
                    let part = broken(part, now);
                    (health.status, health.reason) = (part.status, Some(part.message.clone()));
                    health.components.push(part);
                }
            }
        }
        Ok(health)
    }
}

/// That the hierarchy on record opens under no root key that is here: what works goes on with the one before, and does
/// not start again.
fn root_key_is_elsewhere(report: &mut HealthReport) {
    let is_root_key = |component: &&mut Component| component.component == ComponentKind::RootKey;
    let Some(component) = report.components.iter_mut().find(is_root_key) else { return };
    component.status = HealthStatus::Malfunction;
    component.code = Error::RootKeyMismatch.code();
    component.message = "No root key that is here opens the key hierarchy on record.".to_owned();
    component.remedy = Some(ROTATED);
    report.status = roll_up(&report.components);
}

/// One of this organisation's own people, whatever their roles.
fn require_own_person(call: &Call) -> Result<&Person, Refusal> {
    let ours = call.requester.person().filter(|person| person.company.is_none());
    ours.ok_or_else(|| {
        let message = "The health of the key service is for this organisation's own people.";
        Refusal::new(RefusalCode::NotAnAdministrator, message)
    })
}

/// What one of our own people may see of it: components are for those who look after keys.
fn seen_by(person: &Person, mut health: KeyHealth) -> KeyHealth {
    if !sees_components(person) {
        health.components.clear();
    }
    health
}

/// The report while the process does not answer: nothing else can be measured.
fn away(why: &str, now: Timestamp) -> KeyHealth {
    let part = component(&process_away(why, now.timestamp_millis()));
    KeyHealth {
        status: KeyHealthStatus::Malfunction,
        reason: Some(part.message.clone()),
        components: vec![part],
        measured_at: now,
    }
}

/// The report when a row cannot even be read.
fn unusable(fault: RowFault, message: String, now: Timestamp) -> KeyHealth {
    let part = KeyHealthComponent {
        name: ComponentKind::IntegrityKey.as_str(),
        module: None,
        critical: true,
        status: KeyHealthStatus::Malfunction,
        code: fault.as_str(),
        message: message.clone(),
        remedy: Some(RESTORE),
        measured_at: now,
        took_micros: 0,
    };
    KeyHealth {
        status: KeyHealthStatus::Malfunction,
        reason: Some(message),
        components: vec![part],
        measured_at: now,
    }
}

/// A part that a test broke.
fn broken(name: &'static str, now: Timestamp) -> KeyHealthComponent {
    KeyHealthComponent {
        name,
        module: None,
        critical: true,
        status: KeyHealthStatus::Malfunction,
        code: "BROKEN",
        message: "It does not do what it is for.".to_owned(),
        remedy: None,
        measured_at: now,
        took_micros: 0,
    }
}

fn component(one: &Component) -> KeyHealthComponent {
    KeyHealthComponent {
        name: one.component.as_str(),
        module: one.module.clone(),
        critical: one.critical,
        status: status(one.status),
        code: one.code,
        message: one.message.clone(),
        remedy: one.remedy,
        measured_at: at(one.measured_at),
        took_micros: one.took_micros,
    }
}

fn status(status: HealthStatus) -> KeyHealthStatus {
    match status {
        HealthStatus::Operational => KeyHealthStatus::Operational,
        HealthStatus::Degraded => KeyHealthStatus::Degraded,
        HealthStatus::Malfunction => KeyHealthStatus::Malfunction,
        HealthStatus::Disabled => KeyHealthStatus::Disabled,
    }
}
