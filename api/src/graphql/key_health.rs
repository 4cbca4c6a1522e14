//! The key service's health.

use async_graphql::{Context, Object, Result, SimpleObject};

use super::ask::{Ask, check};
use super::change::{Event, Moment};
use super::error;
use super::words::{ChangeKind, KeyHealthStatus};
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
    /// Each component, for key administrators, managers, operators and auditors; null for everybody else.
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
    /// A stable code; `OK` when nothing is wrong, `BEING_VERIFIED` while the audit trail is gone over and nothing was found.
    code: &'static str,
    /// What was found.
    message: String,
    /// What to do about it.
    remedy: Option<&'static str>,
    /// When it was measured.
    measured_at: Timestamp,
    /// How long measuring it took, in microseconds; 0 for what is known without measuring.
    took_micros: u64,
}

/// Queries of the key service.
#[derive(Default)]
pub(super) struct KeyHealthQuery;

#[Object]
impl KeyHealthQuery {
    /// The key service's health, measured now; `FORBIDDEN` for other organisations' people.
    #[graphql(complexity = "50 + child_complexity")]
    async fn key_health(&self, ctx: &Context<'_>) -> Result<KeyHealth> {
        let ask = Ask::new(ctx)?;
        Ok(ask.actions.key_health(ask.call).await.map_err(error::failed)?.into())
    }
}

/// The present health of the key service, or a change of it.
#[derive(SimpleObject)]
pub(super) struct KeyHealthEvent {
    /// Give it as `after` to go on behind this event, for example after a lost connection.
    cursor: String,
    /// When it was committed; for the present, when it was read.
    at: Timestamp,
    /// Why the event is sent.
    kind: ChangeKind,
    /// The status of the whole that this change led to; it may have changed again since.
    state: KeyHealthStatus,
    /// The status in words.
    state_label: &'static str,
    /// The health, measured for this event.
    key_health: KeyHealth,
}

impl Event for KeyHealthEvent {
    async fn load(ask: &Ask<'_>, moment: Moment) -> Result<Self> {
        let health = ask.actions.key_health(ask.call).await.map_err(error::failed)?;
        let then = moment.state.as_deref().and_then(domain::KeyHealthStatus::parse);
        let state = then.unwrap_or(health.status);
        Ok(Self {
            cursor: moment.cursor,
            at: moment.at,
            kind: moment.kind,
            state: state.into(),
            state_label: state.label(),
            key_health: health.into(),
        })
    }
}

input! {
    /// Nothing but the wish.
    RecheckKeyHealthInput {}
}

payload! {
    /// What became of a wish to measure the key service from scratch.
    RecheckKeyHealthPayload {
        /// The health; null when it was refused.
        key_health: KeyHealth
    }
}

/// Mutations of the key service.
#[derive(Default)]
pub(super) struct KeyHealthMutation;

#[Object]
impl KeyHealthMutation {
    /// Measures the key service from scratch: every key is compared with the audit trail, and the trail verified from
    /// its beginning (5,000 entries a measurement), which else is done every hour: ask `keyHealth` again until the code of
    /// `AUDIT_CHAIN` is no longer `BEING_VERIFIED`. Safe to repeat. That is for those who see the components; for everybody
    /// else it measures as `keyHealth` does.
    #[graphql(complexity = "50 + child_complexity")]
    async fn recheck_key_health(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Nothing but the wish.")] input: RecheckKeyHealthInput,
    ) -> Result<RecheckKeyHealthPayload> {
        let ask = Ask::new(ctx)?;
        let done = async {
            check(&input)?;
            ask.actions.recheck_key_health(ask.call).await
        };
        Ok(RecheckKeyHealthPayload::new(ask.settle(done.await)?, KeyHealth::from))
    }
}

impl From<domain::KeyHealth> for KeyHealth {
    fn from(health: domain::KeyHealth) -> Self {
        let component = |one: domain::KeyHealthComponent| KeyHealthComponent {
            name: one.name,
            module: one.module,
            critical: one.critical,
            status: one.status.into(),
            status_label: one.status.label(),
            code: one.code,
            message: one.message,
            remedy: one.remedy,
            measured_at: one.measured_at,
            took_micros: one.took_micros,
        };
        Self {
            status: health.status.into(),
            status_label: health.status.label(),
            reason: health.reason,
            components: (!health.components.is_empty())
                .then(|| health.components.into_iter().map(component).collect()),
            measured_at: health.measured_at,
        }
    }
}
