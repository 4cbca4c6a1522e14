//! The key service's health.

use async_graphql::{Context, Object, Result, SimpleObject};

use super::ask::Ask;
use super::error;
use super::words::KeyHealthStatus;
use crate::domain::Timestamp;
use crate::domain::key_health as domain;

/// The key service's health, measured just now.
#[derive(SimpleObject)]
pub(super) struct KeyHealth {
    /// The whole, rolled up: any critical malfunction is a malfunction, what is not checked counts for nothing.
    status: KeyHealthStatus,
    /// The status in words.
    status_label: &'static str,
    /// What is wrong with the worst component; null when nothing is.
    reason: Option<String>,
    /// Each component, for holders of a key role; null for everybody else.
    components: Option<Vec<KeyHealthComponent>>,
    /// When it was measured.
    measured_at: Timestamp,
}

/// One measurement of the key service.
#[derive(SimpleObject)]
pub(super) struct KeyHealthComponent {
    /// What was measured: `PROCESS` (the key service's process answers; how it is protected), `ROOT_KEY`,
    /// `KEY_ENCRYPTION_KEY`, `INTEGRITY_KEY`, `IDENTITY_SIGNING_KEY`, `ENTROPY`, `KNOWN_ANSWERS`, `CLOCK`,
    /// `POLICY_ENGINE`, `AUDIT_CHAIN`, `ROTATION_SCHEDULE`, or `MODULE_SELF_TEST`.
    name: &'static str,
    /// The key module, for a module's self-test.
    module: Option<String>,
    /// Whether nothing works without it.
    critical: bool,
    /// How it is.
    status: KeyHealthStatus,
    /// The status in words.
    status_label: &'static str,
    /// A stable code; `OK` when nothing is wrong.
    code: &'static str,
    /// What was found.
    message: String,
    /// What to do about it.
    remedy: Option<&'static str>,
}

/// Queries of the key service.
#[derive(Default)]
pub(super) struct KeyHealthQuery;

#[Object]
impl KeyHealthQuery {
    /// The key service's health, measured now; `FORBIDDEN` for other organisations' people.
    async fn key_health(&self, ctx: &Context<'_>) -> Result<KeyHealth> {
        let ask = Ask::new(ctx)?;
        let health = ask.actions.key_health(ask.call).await.map_err(error::failed)?;
        let component = |one: domain::KeyHealthComponent| KeyHealthComponent {
            name: one.name,
            module: one.module,
            critical: one.critical,
            status: one.status.into(),
            status_label: one.status.label(),
            code: one.code,
            message: one.message,
            remedy: one.remedy,
        };
        Ok(KeyHealth {
            status: health.status.into(),
            status_label: health.status.label(),
            reason: health.reason,
            components: (!health.components.is_empty())
                .then(|| health.components.into_iter().map(component).collect()),
            measured_at: health.measured_at,
        })
    }
}
