//! Subscriptions: the present state first, then every change in order, each with its cursor.

use async_graphql::{Context, ID, Result, SimpleObject};
use chrono::TimeDelta;
use futures_util::stream::Stream;

use super::ask::Ask;
use super::audit::{AuditFollower, AuditLogEvent};
use super::change::{ChangeEvent, Event, Follower, Moment, kinds};
use super::connection::ConnectionRecord;
use super::error;
use super::guided_setup::GuidedSetupEvent;
use super::health::HealthEvent;
use super::id::Kind;
use super::issue::Issue;
use super::key_health::KeyHealthEvent;
use super::load::LatestAttempt;
use super::onboarding::OnboardingAttempt;
use super::registration::Registration;
use super::scan::Scan;
use super::words::{
    AttemptState, ChangeKind, ChangeSubject, ConnectionState, IssueState, RegistrationState, ScanState,
};
use crate::domain::Timestamp;
use crate::domain::id::{ConnectionId, IssueId, RegistrationId, ScanId};
use crate::domain::issue::IssueState as IssueWord;
use crate::domain::{attempt, connection, registration, scan};
use crate::store::SubjectKind;

macro_rules! event {
    (
        $(#[$meta:meta])* $name:ident of $state:ty as $words:ty {
            $(#[$nmeta:meta])* $noun:ident: $type:ty
        }
    ) => {
        $(#[$meta])*
        #[derive(SimpleObject)]
        pub(super) struct $name {
            /// Give it as `after` to go on behind this event, for example after a lost connection.
            cursor: String,
            /// When it was committed; for the present state, when it was read.
            at: Timestamp,
            /// Why the event is sent.
            kind: ChangeKind,
            /// The state that this change led to; null when it is gone. The state may have changed again since.
            state: Option<$words>,
            /// The state in words.
            state_label: Option<&'static str>,
            $(#[$nmeta])*
            $noun: Option<$type>,
        }

        impl $name {
            /// The state is the change's own; for the present it is that of the thing itself.
            fn new(moment: Moment, now: Option<$state>, noun: Option<$type>) -> Self {
                let state = match moment.kind {
                    ChangeKind::Present => now,
                    _ => moment.state.as_deref().and_then(<$state>::parse),
                };
                Self {
                    cursor: moment.cursor,
                    at: moment.at,
                    kind: moment.kind,
                    state: state.map(Into::into),
                    state_label: state.map(<$state>::label),
                    $noun: noun,
                }
            }
        }
    };
}

event! {
    /// The present state of a registration, or a change of it.
    RegistrationEvent of registration::RegistrationState as RegistrationState {
        /// The registration as it is now; null when it is gone.
        registration: Registration
    }
}

event! {
    /// The present state of a connection, or a change of it.
    ConnectionEvent of connection::ConnectionState as ConnectionState {
        /// The connection as it is now; null when it is gone.
        connection: ConnectionRecord
    }
}

event! {
    /// The present state of a connection's onboarding, or a change of it.
    OnboardingEvent of attempt::AttemptState as AttemptState {
        /// The latest attempt as it is now; null when none was started, or it is gone.
        onboarding: OnboardingAttempt
    }
}

event! {
    /// The present state of a scan, or a change of it.
    ScanEvent of scan::ScanState as ScanState {
        /// The scan as it is now, with its progress; null when it is gone.
        scan: Scan
    }
}

event! {
    /// A change of an issue; the first event only says from where the changes go on.
    IssueEvent of IssueWord as IssueState {
        /// The issue as it is now; null in the first event, or when it is gone.
        issue: Issue
    }
}

impl Event for RegistrationEvent {
    async fn load(ask: &Ask<'_>, moment: Moment) -> Result<Self> {
        let noun = ask.load.maybe(moment.id.map(RegistrationId)).await?;
        Ok(Self::new(moment, noun.as_ref().map(|noun| noun.state.name()), noun.map(Registration)))
    }
}

impl Event for ConnectionEvent {
    async fn load(ask: &Ask<'_>, moment: Moment) -> Result<Self> {
        let noun = ask.load.maybe(moment.id.map(ConnectionId)).await?;
        Ok(Self::new(moment, noun.as_ref().map(|noun| noun.state.name()), noun.map(ConnectionRecord)))
    }
}

impl Event for OnboardingEvent {
    async fn load(ask: &Ask<'_>, moment: Moment) -> Result<Self> {
        let id = moment.id.map(ConnectionId);
        // Through the connection, because only whoever sees it may see its attempts.
        let noun = match ask.load.maybe(id).await? {
            Some(connection) => ask.load.one(LatestAttempt(connection.id)).await?,
            None => None,
        };
        let noun = noun.map(|(attempt, work)| OnboardingAttempt { attempt, work });
        Ok(Self::new(moment, noun.as_ref().map(|noun| noun.attempt.state), noun))
    }
}

impl Event for ScanEvent {
    async fn load(ask: &Ask<'_>, moment: Moment) -> Result<Self> {
        let noun = ask.load.maybe(moment.id.map(ScanId)).await?;
        Ok(Self::new(moment, noun.as_ref().map(|noun| noun.state), noun.map(Scan)))
    }
}

impl Event for IssueEvent {
    async fn load(ask: &Ask<'_>, moment: Moment) -> Result<Self> {
        let noun = ask.load.maybe(moment.id.map(IssueId)).await?;
        Ok(Self::new(moment, noun.as_ref().map(|noun| noun.state), noun.map(Issue)))
    }
}

/// Live events. Each subscription sends the present state first, unless `after` is given, then every change in the
/// order of commits. A cursor that is too old is answered with an error whose `extensions.reason` is
/// `CURSOR_EXPIRED` and whose `extensions.oldest` is the oldest usable cursor.
#[derive(Clone, Copy, Debug, Default)]
pub struct Subscription;

/// Live events. Each subscription sends the present state first, unless `after` is given, then every change in the
/// order of commits. A cursor that is too old is answered with an error whose `extensions.reason` is
/// `CURSOR_EXPIRED` and whose `extensions.oldest` is the oldest usable cursor.
#[async_graphql::Subscription]
impl Subscription {
    /// A registration, as it goes from state to state.
    async fn registration_changed(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The registration's global id.")] id: ID,
        #[graphql(desc = "Only what came after the event with this cursor.")] after: Option<String>,
    ) -> Result<impl Stream<Item = Result<RegistrationEvent>> + use<>> {
        let named = (Kind::Registration, &id);
        Ok(Follower::one(&Ask::new(ctx)?, SubjectKind::Registration, named, after).await?.events())
    }

    /// A connection, as it goes from state to state and its directions from status to status.
    async fn connection_changed(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The connection's global id.")] id: ID,
        #[graphql(desc = "Only what came after the event with this cursor.")] after: Option<String>,
    ) -> Result<impl Stream<Item = Result<ConnectionEvent>> + use<>> {
        let named = (Kind::Connection, &id);
        Ok(Follower::one(&Ask::new(ctx)?, SubjectKind::Connection, named, after).await?.events())
    }

    /// A connection's onboarding, phase by phase.
    async fn onboarding_progress(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The connection's global id.")] connection_id: ID,
        #[graphql(desc = "Only what came after the event with this cursor.")] after: Option<String>,
    ) -> Result<impl Stream<Item = Result<OnboardingEvent>> + use<>> {
        let named = (Kind::Connection, &connection_id);
        Ok(Follower::one(&Ask::new(ctx)?, SubjectKind::Onboarding, named, after).await?.events())
    }

    /// A scan, check by check.
    async fn scan_progress(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The scan's global id.")] id: ID,
        #[graphql(desc = "Only what came after the event with this cursor.")] after: Option<String>,
    ) -> Result<impl Stream<Item = Result<ScanEvent>> + use<>> {
        let named = (Kind::Scan, &id);
        Ok(Follower::one(&Ask::new(ctx)?, SubjectKind::Scan, named, after).await?.events())
    }

    /// All issues: raised, seen again, resolved. Load `issues` after the first event.
    async fn issue_changed(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Only what came after the event with this cursor.")] after: Option<String>,
    ) -> Result<impl Stream<Item = Result<IssueEvent>> + use<>> {
        Ok(Follower::all(&Ask::new(ctx)?, vec![SubjectKind::Issue], after).await?.events())
    }

    /// The health overview, with `connections` all that a dashboard shows, whenever something changes that it depends on: a
    /// connection, a direction's status, an issue, the key service's health. At most one event a second, which tells of
    /// everything until then. Round trips and times change with every probe and are no change of their own: ask for
    /// `refreshSeconds` to have them fresh.
    async fn health_changed(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Only what came after the event with this cursor.")] after: Option<String>,
        #[graphql(
            desc = "Also an event, of the kind `PRESENT`, when there was none for so many seconds: 5 to 3,600."
        )]
        refresh_seconds: Option<i32>,
    ) -> Result<impl Stream<Item = Result<HealthEvent>> + use<>> {
        if refresh_seconds.is_some_and(|seconds| !(5..=3_600).contains(&seconds)) {
            return Err(error::invalid("`refreshSeconds` is 5 to 3,600."));
        }
        let refresh = refresh_seconds.map(|seconds| TimeDelta::seconds(seconds.into()));
        let subjects = vec![SubjectKind::Connection, SubjectKind::Issue, SubjectKind::KeyHealth];
        Ok(Follower::all(&Ask::new(ctx)?, subjects, after).await?.latest(refresh))
    }

    /// The key service's health, whenever the status of the whole changes, or the status or code of a part that ails: at
    /// once for its process, and for the rest as often as it is measured by itself (`checkSchedules`). Status and reason for
    /// everybody of this organisation, the parts for key administrators, managers, operators and auditors; `FORBIDDEN` for
    /// others.
    async fn key_health_changed(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Only what came after the event with this cursor.")] after: Option<String>,
    ) -> Result<impl Stream<Item = Result<KeyHealthEvent>> + use<>> {
        Ok(Follower::key_health(&Ask::new(ctx)?, after).await?.events())
    }

    /// The audit trail, entry by entry as far as `auditLog` shows it to you; `FORBIDDEN` for whoever may not read it. The
    /// trail is kept, so no cursor is too old.
    async fn audit_log_changed(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Only what came after the event with this cursor.")] after: Option<String>,
    ) -> Result<impl Stream<Item = Result<AuditLogEvent>> + use<>> {
        Ok(AuditFollower::new(&Ask::new(ctx)?, after).await?.events())
    }

    /// The guided set-up, whenever something changes that an activity asks for, or one is marked complete.
    async fn guided_setup_changed(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Only what came after the event with this cursor.")] after: Option<String>,
    ) -> Result<impl Stream<Item = Result<GuidedSetupEvent>> + use<>> {
        Ok(Follower::all(&Ask::new(ctx)?, GuidedSetupEvent::SUBJECTS.to_vec(), after).await?.events())
    }

    /// Everything that changes. Load what you show after the first event.
    async fn changes(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Only of these kinds of things.")] subjects: Option<Vec<ChangeSubject>>,
        #[graphql(desc = "Only what came after the event with this cursor.")] after: Option<String>,
    ) -> Result<impl Stream<Item = Result<ChangeEvent>> + use<>> {
        Ok(Follower::all(&Ask::new(ctx)?, kinds(subjects), after).await?.events())
    }
}
