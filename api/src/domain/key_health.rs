//! The key service's health, as its users see it.

use super::Timestamp;
use super::requester::{Person, Role};

words! {
    /// How the key service, or a part of it, is.
    KeyHealthStatus {
        /// It works.
        Operational = "OPERATIONAL", "Operational";
        /// It works, but someone should act.
        Degraded = "DEGRADED", "Degraded";
        /// It does not work.
        Malfunction = "MALFUNCTION", "Malfunction";
        /// It was not checked.
        Disabled = "DISABLED", "Disabled";
    }
}

/// One measurement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyHealthComponent {
    /// What was measured, as a stable name.
    pub name: &'static str,
    /// The key module, for a module's self-test.
    pub module: Option<String>,
    /// Whether nothing works without it.
    pub critical: bool,
    /// How it is.
    pub status: KeyHealthStatus,
    /// A stable code; `OK` when nothing is wrong, `BEING_VERIFIED` while the audit trail is gone over and nothing was found.
    pub code: &'static str,
    /// What was found.
    pub message: String,
    /// What to do about it.
    pub remedy: Option<&'static str>,
    /// When it was measured.
    pub measured_at: Timestamp,
    /// How long measuring it took, in microseconds.
    pub took_micros: u64,
}

/// All measurements at one time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyHealth {
    /// The whole, rolled up.
    pub status: KeyHealthStatus,
    /// What is wrong with the worst component, for everybody who may see the status.
    pub reason: Option<String>,
    /// Each component, for those who look after keys.
    pub components: Vec<KeyHealthComponent>,
    /// When it was measured.
    pub measured_at: Timestamp,
}

impl KeyHealth {
    /// The parts that somebody should look at, in an order that does not depend on when they were measured.
    #[must_use]
    pub fn ailing(&self) -> Vec<&KeyHealthComponent> {
        let ails = |part: &&KeyHealthComponent| {
            matches!(part.status, KeyHealthStatus::Degraded | KeyHealthStatus::Malfunction)
        };
        let mut ailing: Vec<_> = self.components.iter().filter(ails).collect();
        ailing.sort_by_key(|part| (part.name, part.module.as_deref()));
        ailing
    }
}

/// Whether a person sees each component, or only status and reason: being administrator of the application does
/// not make somebody look after keys.
#[must_use]
pub fn sees_components(person: &Person) -> bool {
    [Role::KeyAdmin, Role::KeyManager, Role::KeyOperator, Role::KeyAuditor]
        .iter()
        .any(|role| person.has(*role))
}
