//! The guided set-up: an ordered checklist for each side.

use async_graphql::{Context, Object, Result, SimpleObject};

use super::ask::{Ask, ours};
use super::change::{Event, Moment};
use super::id::Kind;
use super::refusal::docs_url;
use super::words::{ActivityName, ActivityState, ChangeKind, ConnectionRole};
use crate::actions::SetupActivity;
use crate::domain::Timestamp;
use crate::domain::connection::Part;
use crate::domain::guided_setup as domain;
use crate::domain::id::ConnectionId;
use crate::store::SubjectKind;

/// The checklist of a side: what to do, in order. It is this instance's, not each connection's: what an activity asks of
/// connections holds once it is so for one of them. Its `url` leads to the newest connection for which it is not.
#[derive(SimpleObject)]
pub(super) struct GuidedSetup {
    /// Whose checklist it is.
    side: ConnectionRole,
    /// The side in words.
    side_label: &'static str,
    /// Its activities, in order.
    activities: Vec<Activity>,
    /// How many of them are completed.
    completed: usize,
}

/// An activity of the guided set-up. Only a person completes it.
#[derive(SimpleObject)]
pub(super) struct Activity {
    /// Which one.
    name: ActivityName,
    /// The name in words.
    label: &'static str,
    /// Where it stands.
    state: ActivityState,
    /// The state in words.
    state_label: &'static str,
    /// What to do, for people.
    instructions: &'static str,
    /// Why it is locked, for people; null when it is not.
    locked_because: Option<String>,
    /// The activities that must be completed first, and are not.
    locked_by: Vec<ActivityName>,
    /// Whether its own verification holds: what it asks for is done.
    verified: bool,
    /// What is missing for its own verification to hold, for people; null when it holds.
    missing: Option<&'static str>,
    /// Where it is done: a page of this instance's console; of a connection, the newest that lacks what is asked.
    url: String,
    /// When a person marked it complete; null before.
    completed_at: Option<Timestamp>,
    /// Why it was completed although its own verification did not hold; null otherwise.
    override_reason: Option<String>,
}

impl Activity {
    fn new(ask: &Ask<'_>, side: Part, leads_to: Option<ConnectionId>, activity: domain::Activity) -> Self {
        let leads_to = leads_to.map(|id| Kind::Connection.id(id.0));
        let labels: Vec<_> = activity.locked_by.iter().map(|name| format!("“{}”", name.label())).collect();
        let locked = activity.state == domain::ActivityState::Locked;
        let (completed_at, override_reason) =
            activity.mark.map(|mark| (mark.at, mark.override_reason)).unzip();
        Self {
            name: activity.name.into(),
            label: activity.name.label(),
            state: activity.state.into(),
            state_label: activity.state.label(),
            instructions: activity.name.instructions(side),
            locked_because: locked.then(|| format!("Complete {} first.", labels.join(" and "))),
            locked_by: activity.locked_by.into_iter().map(Into::into).collect(),
            verified: activity.missing.is_none(),
            missing: activity.missing,
            url: docs_url(ask, &activity.name.path(leads_to.as_ref().map(|id| id.as_str()))),
            completed_at,
            override_reason: override_reason.flatten(),
        }
    }
}

impl GuidedSetup {
    /// The checklist of a side; none for those who may not see it.
    async fn load(ask: &Ask<'_>, side: Part) -> Result<Option<Self>> {
        let Some((facts, marks)) = ask.reader().setup(side).await.map_err(ours)? else { return Ok(None) };
        let all = domain::activities(side, &facts, &marks).into_iter();
        let activity = |one: domain::Activity| Activity::new(ask, side, one.name.leads_to(&facts), one);
        let activities: Vec<_> = all.map(activity).collect();
        Ok(Some(Self {
            side: side.into(),
            side_label: side.label(),
            completed: activities.iter().filter(|one| one.completed_at.is_some()).count(),
            activities,
        }))
    }
}

/// The checklists of both sides as they are, or that something changed which they ask for.
#[derive(SimpleObject)]
pub(super) struct GuidedSetupEvent {
    /// Give it as `after` to go on behind this event, for example after a lost connection.
    cursor: String,
    /// When it was committed; for the present, when it was read.
    at: Timestamp,
    /// Why the event is sent.
    kind: ChangeKind,
    /// The checklist of the provider's side as it is now; null for those who may not see everything of this instance.
    provider: Option<GuidedSetup>,
    /// The checklist of the consumer's side as it is now; null for those who may not see everything of this instance.
    consumer: Option<GuidedSetup>,
}

impl GuidedSetupEvent {
    /// What the activities ask for.
    pub(super) const SUBJECTS: [SubjectKind; 6] = [
        SubjectKind::Setup,
        SubjectKind::Company,
        SubjectKind::Account,
        SubjectKind::Definition,
        SubjectKind::Registration,
        SubjectKind::Connection,
    ];
}

impl Event for GuidedSetupEvent {
    async fn load(ask: &Ask<'_>, moment: Moment) -> Result<Self> {
        Ok(Self {
            cursor: moment.cursor,
            at: moment.at,
            kind: moment.kind,
            provider: GuidedSetup::load(ask, Part::Provider).await?,
            consumer: GuidedSetup::load(ask, Part::Consumer).await?,
        })
    }
}

/// Queries of the guided set-up.
#[derive(Default)]
pub(super) struct GuidedSetupQuery;

#[Object]
impl GuidedSetupQuery {
    /// The checklist of a side of this instance; null for those who may not see everything of it.
    #[graphql(complexity = "10 + child_complexity")]
    async fn guided_setup(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Whose checklist.")] side: ConnectionRole,
    ) -> Result<Option<GuidedSetup>> {
        GuidedSetup::load(&Ask::new(ctx)?, Part::from(side)).await
    }
}

input! {
    /// The activity to mark complete.
    CompleteActivityInput {
        /// Whose checklist.
        side: ConnectionRole,
        /// The activity.
        activity: ActivityName,
        /// Why it is complete although its own verification does not hold, 1 to 500 characters; for administrators, and
        /// kept in the audit log.
        override_reason: Option<String>,
    }
}

payload! {
    /// What became of marking an activity complete.
    ActivityPayload {
        /// The activity afterwards; null when it was refused.
        activity: Activity
    }
}

/// Mutations of the guided set-up.
#[derive(Default)]
pub(super) struct GuidedSetupMutation;

#[Object]
impl GuidedSetupMutation {
    /// *Mark Complete*: says that an activity is done, which unlocks those that come after it.
    async fn complete_activity(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which one.")] input: CompleteActivityInput,
    ) -> Result<ActivityPayload> {
        let ask = Ask::new(ctx)?;
        let done = ask.once(input, |call, input| async move {
            let (side, name) = (Part::from(input.side), input.activity.into());
            ask.actions.complete_activity(&call, side, name, input.override_reason.as_deref()).await
        });
        let made = |done: SetupActivity| Activity::new(&ask, done.side, done.leads_to, done.activity);
        Ok(ActivityPayload::new(done.await?, made))
    }
}
