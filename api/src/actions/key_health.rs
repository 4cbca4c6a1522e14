//! The key service's health, measured when it is asked for.

use keyservice::{Component, HealthStatus};

use super::{Actions, Call, Done};
use crate::domain::check::Suite;
use crate::domain::key_health::{KeyHealth, KeyHealthComponent, KeyHealthStatus, sees_components};
use crate::domain::refusal::{Refusal, RefusalCode};

impl Actions {
    /// Measures the key service. Status and reason are for everybody who operates or watches this instance; each
    /// component is for those who look after keys.
    ///
    /// # Errors
    /// `NOT_AN_ADMINISTRATOR` for other organisations' people.
    pub async fn key_health(&self, call: &Call) -> Done<KeyHealth> {
        let ours = call.requester.person().filter(|person| person.company.is_none());
        let person = ours.ok_or_else(|| {
            let message = "The health of the key service is for this organisation's own people.";
            Refusal::new(RefusalCode::NotAnAdministrator, message)
        })?;
        let mut health = self.measure_keys().await?;
        if !sees_components(person) {
            health.components.clear();
        }
        Ok(health)
    }

    /// Measures the key service, each part of it.
    pub(crate) async fn measure_keys(&self) -> Done<KeyHealth> {
        let now = self.world.now();
        let report = self.keys.health(now).await?;
        let worst = report.components.iter().find(|component| {
            component.status == report.status && component.status != HealthStatus::Operational
        });
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
                    health.components.push(broken(part));
                }
            }
        }
        Ok(health)
    }
}

/// A part that a test broke.
fn broken(name: &'static str) -> KeyHealthComponent {
    KeyHealthComponent {
        name,
        module: None,
        critical: true,
        status: KeyHealthStatus::Malfunction,
        code: "BROKEN",
        message: "It does not do what it is for.".to_owned(),
        remedy: None,
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
