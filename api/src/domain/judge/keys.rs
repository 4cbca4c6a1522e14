//! What the key service said of itself.

use super::measured;
use crate::domain::check::{Answer, CheckCode, Remedy};
use crate::domain::explain::sentence;
use crate::domain::key_health::{KeyHealth, KeyHealthComponent, KeyHealthStatus};
use crate::domain::scan::Measured;

const LOOK: &str =
    "Ask a key administrator, manager, operator or auditor to look at the key service's health.";

/// Judges the key service as a whole: a malfunction blocks, degraded warns.
#[must_use]
pub fn judge_key_service(health: &Measured<KeyHealth>) -> Answer {
    let code = CheckCode::KeyServiceHealth;
    measured(health, code, LOOK, |health| {
        let reason = health.reason.clone().unwrap_or_else(|| health.status.label().to_owned());
        match health.status {
            KeyHealthStatus::Operational => Answer::Pass,
            KeyHealthStatus::Degraded => {
                let message = "The key service works, but not as it should.";
                Answer::found(code, message, &reason, Remedy::human(LOOK)).warning()
            }
            KeyHealthStatus::Malfunction | KeyHealthStatus::Disabled => {
                Answer::found(code, "The key service cannot do its work.", &reason, Remedy::human(LOOK))
            }
        }
    })
}

/// Judges one part of the key service: the worst of the components with the check's name.
#[must_use]
pub fn judge_key_part(code: CheckCode, health: &Measured<KeyHealth>) -> Answer {
    measured(health, code, LOOK, |health| {
        let parts: Vec<_> = health.components.iter().filter(|part| part.name == code.as_str()).collect();
        let worst = parts.iter().max_by_key(|part| match part.status {
            KeyHealthStatus::Disabled => 0,
            KeyHealthStatus::Operational => 1,
            KeyHealthStatus::Degraded => 2,
            KeyHealthStatus::Malfunction => 3,
        });
        let Some(worst) = worst else {
            return Answer::Skipped("the key service has no such part".to_owned());
        };
        let found = || {
            let remedy = Remedy::Human(sentence(worst.remedy.unwrap_or(LOOK)));
            Answer::found(code, &sentence(&worst.message), &evidence(worst), remedy)
        };
        match worst.status {
            KeyHealthStatus::Disabled => Answer::Skipped(worst.message.clone()),
            KeyHealthStatus::Operational => Answer::Pass,
            KeyHealthStatus::Degraded => found().warning(),
            KeyHealthStatus::Malfunction => found(),
        }
    })
}

fn evidence(part: &KeyHealthComponent) -> String {
    match &part.module {
        Some(module) => format!("{} ({module})", part.code),
        None => part.code.to_owned(),
    }
}

/// Judges whether the services may use the modules: `Failed` names the module, the operation and the service.
#[must_use]
pub fn judge_key_access(access: &Measured<()>) -> Answer {
    let remedy = "Ask a key manager to allow it in the module's access policies.";
    measured(access, CheckCode::KeyAccessPolicy, remedy, |()| Answer::Pass)
}
