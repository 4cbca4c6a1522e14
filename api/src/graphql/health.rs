//! The health overview: one number with its parts, counts, what changed lately, and who needs attention.

use async_graphql::{Context, Object, Result, SimpleObject};
use chrono::TimeDelta;
use tokio::sync::OnceCell;

use super::ask::{Ask, ours};
use super::change::{Event, Moment};
use super::connection::ConnectionRecord;
use super::page::{self, items_cost};
use super::words::{ChangeKind, ConnectionState, DirectionStatus, DirectionWay, Severity};
use crate::actions::Failure;
use crate::domain::Timestamp;
use crate::domain::check::{CheckCode, Severity as Bad};
use crate::domain::connection::ConnectionState as State;
use crate::domain::direction::{DirectionStatus as Status, Way};
use crate::domain::key_health::KeyHealthStatus;
use crate::domain::score::{self, Part};
use crate::store::StateTally;

/// A part of the score.
#[derive(SimpleObject)]
pub(super) struct HealthPart {
    /// Its stable name: `DIRECTIONS`, `ISSUES` or `KEYS`.
    name: &'static str,
    /// How much it counts.
    weight: i64,
    /// How good it is, from 0 to 100.
    value: i64,
    /// What was counted, for people.
    counted: String,
}

/// How many connections are in a state.
#[derive(SimpleObject)]
pub(super) struct StateCount {
    /// The state.
    state: ConnectionState,
    /// The state in words.
    state_label: &'static str,
    /// How many.
    count: i64,
}

/// How many directions of one way have a status.
#[derive(SimpleObject)]
pub(super) struct StatusCount {
    /// Which way.
    way: DirectionWay,
    /// The status, as it was last announced.
    status: DirectionStatus,
    /// The status in words.
    status_label: &'static str,
    /// How many.
    count: i64,
}

/// How many open issues have a severity.
#[derive(SimpleObject)]
pub(super) struct SeverityCount {
    /// The severity.
    severity: Severity,
    /// The severity in words.
    severity_label: &'static str,
    /// How many.
    count: i64,
}

/// What changed in the last 24 hours.
#[derive(SimpleObject)]
pub(super) struct LastDay {
    /// How often a direction went down.
    went_down: i64,
    /// How often a direction worked again that had not.
    came_up: i64,
    /// How often the two sides came to see a direction differently.
    became_disputed: i64,
    /// Issues that were raised.
    issues_raised: i64,
    /// Issues that were resolved.
    issues_resolved: i64,
    /// Connections that were onboarded.
    onboarded: i64,
}

/// How the connections are that you may see: with `connections`, all that a dashboard shows.
#[derive(Default)]
pub(super) struct HealthOverview {
    tally: OnceCell<Vec<StateTally>>,
    parts: OnceCell<Vec<Part>>,
}

impl HealthOverview {
    async fn tally(&self, ask: &Ask<'_>) -> Result<&[StateTally]> {
        let tally =
            self.tally.get_or_try_init(|| async { ask.reader().connection_tally().await.map_err(ours) });
        tally.await.map(Vec::as_slice)
    }

    async fn measured(&self, ask: &Ask<'_>) -> Result<&[Part]> {
        let parts = self.parts.get_or_try_init(|| async {
            let tally = self.tally(ask).await?;
            let standing: Vec<_> = tally.iter().filter(|one| one.state == State::Onboarded).collect();
            let count = |status: Status| -> i64 {
                let ways =
                    standing.iter().flat_map(|one| [(one.outbound, one.count), (one.inbound, one.count)]);
                ways.filter(|(its, _)| *its == Some(status)).map(|(_, count)| count).sum()
            };
            let connections: i64 = standing.iter().map(|one| one.count).sum();
            let bad = |code: &&CheckCode| matches!(code.spec().severity, Bad::Critical | Bad::High);
            let checks: Vec<_> = CheckCode::ALL.iter().filter(bad).copied().collect();
            let burdened = ask.reader().burdened_connections(&checks).await.map_err(ours)?;
            // What was taken down has no issues and is no part of how things are.
            let ended = |one: &&StateTally| matches!(one.state, State::Offboarding | State::Offboarded);
            let all: i64 = tally.iter().filter(|one| !ended(one)).map(|one| one.count).sum();
            let mut parts = vec![
                score::directions(count(Status::Up), count(Status::Slow), 2 * connections),
                score::issues(burdened, all),
            ];
            match ask.actions.key_health(ask.call).await {
                Ok(health) => {
                    let (value, how) = match health.status {
                        KeyHealthStatus::Operational => (100, "works"),
                        KeyHealthStatus::Degraded => (50, "works, but not as it should"),
                        KeyHealthStatus::Malfunction => (0, "does not work"),
                        KeyHealthStatus::Disabled => (0, "is not checked"),
                    };
                    parts.push(score::keys(value, how));
                }
                // Not theirs to see.
                Err(Failure::Refused(refusal))
                    if refusal.code == crate::domain::refusal::RefusalCode::NotAnAdministrator => {}
                Err(_) => parts.push(score::keys(0, "cannot be reached")),
            }
            Ok::<_, async_graphql::Error>(parts)
        });
        parts.await.map(Vec::as_slice)
    }
}

/// How the connections are that you may see: with `connections`, all that a dashboard shows.
#[Object]
impl HealthOverview {
    /// From 0 (nothing works) to 100 (everything does).
    async fn score(&self, ctx: &Context<'_>) -> Result<i64> {
        Ok(score::score(self.measured(&Ask::anyone(ctx)?).await?))
    }

    /// How the score is computed from its parts.
    async fn formula(&self) -> &'static str {
        score::FORMULA
    }

    /// The parts of the score.
    async fn parts(&self, ctx: &Context<'_>) -> Result<Vec<HealthPart>> {
        let parts = self.measured(&Ask::anyone(ctx)?).await?.iter();
        Ok(parts
            .map(|part| HealthPart {
                name: part.name,
                weight: part.weight,
                value: part.value,
                counted: part.counted.clone(),
            })
            .collect())
    }

    /// How many connections are in each state; states without any are left out.
    async fn states(&self, ctx: &Context<'_>) -> Result<Vec<StateCount>> {
        let tally = self.tally(&Ask::anyone(ctx)?).await?;
        let of = |state: &State| StateCount {
            state: (*state).into(),
            state_label: state.label(),
            count: tally.iter().filter(|one| one.state == *state).map(|one| one.count).sum(),
        };
        Ok(State::ALL.iter().map(of).filter(|one| one.count > 0).collect())
    }

    /// How many onboarded connections are up in both directions, as it was last announced.
    async fn up_both_ways(&self, ctx: &Context<'_>) -> Result<i64> {
        let tally = self.tally(&Ask::anyone(ctx)?).await?;
        let up = |one: &&StateTally| {
            one.state == State::Onboarded && [one.outbound, one.inbound] == [Some(Status::Up); 2]
        };
        Ok(tally.iter().filter(up).map(|one| one.count).sum())
    }

    /// How many directions have each status; statuses without any are left out.
    async fn statuses(&self, ctx: &Context<'_>) -> Result<Vec<StatusCount>> {
        let tally = self.tally(&Ask::anyone(ctx)?).await?;
        let mut counts = Vec::new();
        for way in Way::ALL {
            for status in Status::ALL {
                let of = |one: &StateTally| match way {
                    Way::Outbound => one.outbound,
                    Way::Inbound => one.inbound,
                };
                let count: i64 =
                    tally.iter().filter(|one| of(one) == Some(*status)).map(|one| one.count).sum();
                if count > 0 {
                    let (way, status_label) = ((*way).into(), status.label());
                    counts.push(StatusCount { way, status: (*status).into(), status_label, count });
                }
            }
        }
        Ok(counts)
    }

    /// How many open issues have each severity; severities without any are left out.
    async fn issues(&self, ctx: &Context<'_>) -> Result<Vec<SeverityCount>> {
        let tally = Ask::anyone(ctx)?.reader().issue_tally().await.map_err(ours)?;
        let of = |severity: &Bad| SeverityCount {
            severity: (*severity).into(),
            severity_label: severity.label(),
            count: tally.iter().filter(|(code, _)| code.spec().severity == *severity).map(|(_, n)| n).sum(),
        };
        Ok(Bad::ALL.iter().map(of).filter(|one| one.count > 0).collect())
    }

    /// What changed in the last 24 hours.
    async fn last_day(&self, ctx: &Context<'_>) -> Result<LastDay> {
        let ask = Ask::anyone(ctx)?;
        let lately = ask.reader().lately(ask.actions.now() - TimeDelta::days(1)).await.map_err(ours)?;
        Ok(LastDay {
            went_down: lately.went_down,
            came_up: lately.came_up,
            became_disputed: lately.became_disputed,
            issues_raised: lately.issues_raised,
            issues_resolved: lately.issues_resolved,
            onboarded: lately.onboarded,
        })
    }

    /// Connections that somebody should look at, the one that changed last first: a direction does not work or is slow,
    /// the checks failed, or it is paused by either side.
    #[graphql(complexity = "items_cost(first.unwrap_or(10), child_complexity)")]
    async fn attention(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "At most so many, 250 at most; 10 when nothing is given.")] first: Option<i32>,
    ) -> Result<Vec<ConnectionRecord>> {
        let found = Ask::anyone(ctx)?.reader().connections_needing_attention(page::limit(first, 10)?);
        Ok(found.await.map_err(ours)?.into_iter().map(ConnectionRecord).collect())
    }

    /// The connections for the cards of a dashboard: those first that somebody should look at, as `attention` has them, then
    /// the others; of each, the one that changed last first.
    #[graphql(complexity = "items_cost(first.unwrap_or(10), child_complexity)")]
    async fn connections(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "At most so many, 250 at most; 10 when nothing is given.")] first: Option<i32>,
    ) -> Result<Vec<ConnectionRecord>> {
        let found = Ask::anyone(ctx)?.reader().connections_by_attention(page::limit(first, 10)?);
        Ok(found.await.map_err(ours)?.into_iter().map(ConnectionRecord).collect())
    }

    /// When it was measured.
    async fn measured_at(&self, ctx: &Context<'_>) -> Result<Timestamp> {
        Ok(Ask::anyone(ctx)?.actions.now())
    }
}

/// The present health, or that something which it depends on changed.
#[derive(SimpleObject)]
pub(super) struct HealthEvent {
    /// Give it as `after` to go on behind this event, for example after a lost connection.
    cursor: String,
    /// When the first change was committed that it tells of; for the present, when it was read.
    at: Timestamp,
    /// Why the event is sent.
    kind: ChangeKind,
    /// The health as it is now.
    health: HealthOverview,
}

impl Event for HealthEvent {
    async fn load(_: &Ask<'_>, moment: Moment) -> Result<Self> {
        Ok(Self {
            cursor: moment.cursor,
            at: moment.at,
            kind: moment.kind,
            health: HealthOverview::default(),
        })
    }
}

/// Messages that a connection carried, probes aside.
#[derive(SimpleObject)]
pub(super) struct ConnectionTraffic {
    /// Messages to the peer that it answered, in the last 24 hours by whole hours. Counted up to a minute ago.
    pub(super) sent_last_day: i64,
    /// Messages of the peer that were taken, in the last 24 hours by whole hours. Counted up to a minute ago.
    pub(super) received_last_day: i64,
    /// When anything was last sent, probes included; null before.
    pub(super) last_sent_at: Option<Timestamp>,
    /// When anything authentic was last received, probes and answers included; null before.
    pub(super) last_received_at: Option<Timestamp>,
}

/// Queries about health.
#[derive(Default)]
pub(super) struct HealthQuery;

#[Object]
impl HealthQuery {
    /// How the connections are that you may see.
    async fn health_overview(&self, ctx: &Context<'_>) -> Result<HealthOverview> {
        Ask::new(ctx)?;
        Ok(HealthOverview::default())
    }
}
