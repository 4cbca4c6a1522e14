//! How often suites run by themselves.

use async_graphql::{ComplexObject, Context, Object, Result, SimpleObject};
use chrono::TimeDelta;

use super::ask::{Ask, ours};
use super::refusal::Action;
use super::words::SuiteCode;
use crate::domain::Timestamp;
use crate::domain::refusal::Refusal;
use crate::domain::schedule::{INTERVAL_MAX, Schedule, ScheduleVerb};

/// How often a suite runs by itself. A run that finds nothing new leaves no scan behind.
#[derive(SimpleObject)]
#[graphql(complex)]
pub(super) struct CheckSchedule {
    /// What runs.
    suite: SuiteCode,
    /// The suite in words.
    suite_label: &'static str,
    /// The time between two runs about the same thing, in whole seconds; each run is up to a tenth earlier, so that
    /// many do not run in step.
    interval_seconds: i64,
    /// The least that `intervalSeconds` may be.
    shortest_seconds: i64,
    /// The most that `intervalSeconds` may be.
    longest_seconds: i64,
    /// Whether it runs at all.
    enabled: bool,
    /// When somebody changed it last; null for the default.
    updated_at: Option<Timestamp>,
    /// Grows by one with every change; give it as `expectedRevision` when you edit.
    revision: i64,
}

#[ComplexObject]
impl CheckSchedule {
    /// What can be done with it, and whether it can be done now by whoever asks.
    async fn actions(&self, ctx: &Context<'_>) -> Result<Vec<Action>> {
        let ask = Ask::anyone(ctx)?;
        let action = |verb: &ScheduleVerb| {
            let may = ask.actions.may_change_schedule(ask.call, self.suite.into());
            Action::new(verb.as_str(), verb.label(), may)
        };
        Ok(ScheduleVerb::ALL.iter().map(action).collect())
    }
}

impl From<Schedule> for CheckSchedule {
    fn from(schedule: Schedule) -> Self {
        Self {
            suite: schedule.suite.into(),
            suite_label: schedule.suite.label(),
            interval_seconds: schedule.interval.num_seconds(),
            shortest_seconds: Schedule::shortest(schedule.suite).num_seconds(),
            longest_seconds: INTERVAL_MAX.num_seconds(),
            enabled: schedule.enabled,
            updated_at: schedule.updated_at,
            revision: schedule.revision,
        }
    }
}

/// Queries of schedules.
#[derive(Default)]
pub(super) struct ScheduleQuery;

#[Object]
impl ScheduleQuery {
    /// How often suites run by themselves; empty for those who may not see everything of this instance.
    async fn check_schedules(&self, ctx: &Context<'_>) -> Result<Vec<CheckSchedule>> {
        let schedules = Ask::new(ctx)?.reader().schedules().await.map_err(ours)?;
        Ok(schedules.into_iter().map(Into::into).collect())
    }
}

input! {
    /// What to change of a schedule; what is left out stays.
    UpdateCheckScheduleInput {
        /// Of which suite.
        suite: SuiteCode,
        /// The time between two runs, in whole seconds.
        interval_seconds: Option<i64>,
        /// Whether it runs at all.
        enabled: Option<bool>,
        /// The revision you read; another one in the meantime is refused with `CONFLICT`.
        expected_revision: Option<i64>,
    }
}

payload! {
    /// What became of a mutation of a schedule.
    CheckSchedulePayload {
        /// The schedule afterwards; null when it was refused.
        check_schedule: CheckSchedule
    }
}

/// Mutations of schedules.
#[derive(Default)]
pub(super) struct ScheduleMutation;

#[Object]
impl ScheduleMutation {
    /// Changes how often a suite runs by itself, or whether it does. For administrators; that of the key service is for key
    /// managers alone.
    async fn update_check_schedule(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What to change.")] input: UpdateCheckScheduleInput,
    ) -> Result<CheckSchedulePayload> {
        let ask = Ask::new(ctx)?;
        let done = ask.once(input, |call, input| async move {
            let far = || Refusal::invalid("intervalSeconds", "This is no number of seconds to wait.");
            let interval = match input.interval_seconds {
                Some(seconds) => Some(TimeDelta::try_seconds(seconds).ok_or_else(far)?),
                None => None,
            };
            let (suite, expected) = (input.suite.into(), input.expected_revision);
            ask.actions.update_check_schedule(&call, suite, interval, input.enabled, expected).await
        });
        Ok(CheckSchedulePayload::new(done.await?, Into::into))
    }
}
