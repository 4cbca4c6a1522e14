//! The two directions of a connection: status, the evidence for it, both sides' views, and up-time.

use async_graphql::{ComplexObject, Context, Result, SimpleObject};
use chrono::TimeDelta;

use super::ask::Ask;
use super::error;
use super::load::History;
use super::page::items_cost;
use super::refusal::Remedy;
use super::words::{DirectionStatus, DirectionWay, HistoryBucketSize, RefusalCode};
use crate::domain::Timestamp;
use crate::domain::connection::Connection;
use crate::domain::direction::{self as domain, Cause, Evidence, Way};
use crate::domain::explain;
use crate::domain::history::{self, BucketSize};
use crate::domain::id::ConnectionId;
use crate::domain::refusal::RefusalCode as Code;
use crate::domain::scan::Subject;

/// The most buckets of a history: 90 days, by the hour.
const BUCKETS: i64 = 2_161;
/// The most transitions of a history.
const TRANSITIONS: usize = 500;

/// One direction of a connection, with the evidence that its status is computed from.
#[derive(SimpleObject)]
#[graphql(complex)]
pub(super) struct Direction {
    #[graphql(skip)]
    connection: ConnectionId,
    #[graphql(skip)]
    domain: Way,
    #[graphql(skip)]
    paused: bool,
    /// Which way messages go.
    way: DirectionWay,
    /// What the evidence says; null (blank) while nothing is begun.
    status: Option<DirectionStatus>,
    /// The status in words; null while nothing is begun.
    status_label: Option<&'static str>,
    /// Since when it has this status; null while nothing is begun, or when it has just changed.
    status_since: Option<Timestamp>,
    /// When it was activated; null before.
    activated_at: Option<Timestamp>,
    /// The last authenticated message over the real path.
    last_proof_at: Option<Timestamp>,
    /// How long the last answer took, in milliseconds; inbound as the peer measured it.
    round_trip_ms: Option<i64>,
    /// Probes without an answer since the last answer.
    misses: i64,
    /// How far the peer's clock is ahead of ours, in milliseconds, by its last answer; outbound only.
    clock_skew_ms: Option<i64>,
    /// What we see of it ourselves, whatever the peer says; differs from `status` when it is disputed.
    our_view: Option<DirectionStatus>,
    /// Our view in words.
    our_view_label: Option<&'static str>,
    /// What the peer last said it sees of the same direction.
    peer_view: Option<DirectionStatus>,
    /// The peer's view in words.
    peer_view_label: Option<&'static str>,
    /// When the peer said so.
    peer_view_at: Option<Timestamp>,
    /// Whether the peer said so lately enough to count: within three intervals.
    peer_view_fresh: bool,
    /// Why it does not work for the peer; null when it works for it, or the peer did not say.
    peer_cause: Option<PeerCause>,
    /// Why the last probe was missed; null after an answer.
    cause: Option<DirectionCause>,
    /// The stable reason or code of `cause`.
    last_failure: Option<String>,
}

/// Why a probe was missed.
#[derive(SimpleObject)]
pub(super) struct DirectionCause {
    /// Stable code.
    code: RefusalCode,
    /// The code in words.
    code_label: &'static str,
    /// A finer, stable distinction within the code: for `PEER_UNREACHABLE` the step, `DNS`, `TCP`, `TLS` or `HTTP`.
    reason: Option<String>,
    /// What was seen, for people.
    detail: Option<String>,
    /// When.
    at: Timestamp,
    /// Leads to the log of this instance (W3C Trace Context, 32 hexadecimal digits).
    trace_id: Option<String>,
    /// Leads to the peer's log, where it answered.
    peer_trace_id: Option<String>,
    /// What to do about it.
    remedy: Remedy,
}

/// Why a direction does not work for the peer.
#[derive(SimpleObject)]
pub(super) struct PeerCause {
    /// Stable code.
    code: RefusalCode,
    /// The code in words.
    code_label: &'static str,
    /// A finer distinction within the code, as the peer says it.
    reason: Option<String>,
    /// What the peer says, as a sentence for the people here.
    message: String,
    /// What to do about it.
    remedy: Remedy,
}

impl DirectionCause {
    fn new(cause: Cause, connection: ConnectionId) -> Self {
        let remedy = explain::remedy_for(cause.code, cause.reason.as_deref(), connection);
        Self {
            remedy: Remedy::new(remedy, Some(Subject::Connection(connection))),
            code: cause.code.into(),
            code_label: cause.code.label(),
            reason: cause.reason,
            detail: cause.detail,
            at: cause.at,
            trace_id: cause.trace.map(|trace| trace.to_string()),
            peer_trace_id: cause.peer_trace.map(|trace| trace.to_string()),
        }
    }
}

impl PeerCause {
    fn new(code: Code, reason: Option<String>, connection: ConnectionId) -> Self {
        let remedy = explain::remedy_for_told(code, reason.as_deref(), connection);
        Self {
            message: explain::told_by_peer(code, reason.as_deref()),
            remedy: Remedy::new(remedy, Some(Subject::Connection(connection))),
            code: code.into(),
            code_label: code.label(),
            reason,
        }
    }
}

impl Direction {
    /// Since when the peer has paused the connection, and what it said of that; none unless it did.
    pub(super) fn pause(&self) -> Option<(Option<Timestamp>, Option<String>)> {
        self.paused.then(|| (self.status_since, self.cause.as_ref().and_then(|cause| cause.detail.clone())))
    }

    pub(super) fn new(ask: &Ask<'_>, connection: &Connection, way: Way, stored: Evidence) -> Self {
        let (evidence, status) = ask.actions.direction(connection, way, stored);
        let ours = ask.actions.own_view(connection, &evidence);
        let label = domain::DirectionStatus::label;
        let shown = evidence.shown.filter(|(shown, _)| Some(*shown) == status);
        let view = evidence.peer_view.as_ref();
        let last_failure = evidence
            .failure
            .as_ref()
            .map(|cause| cause.reason.clone().unwrap_or_else(|| cause.code.as_str().to_owned()));
        Self {
            connection: connection.id,
            domain: way,
            paused: evidence.is_paused(),
            way: way.into(),
            status: status.map(Into::into),
            status_label: status.map(label),
            status_since: shown.map(|(_, since)| since),
            activated_at: evidence.activated_at,
            last_proof_at: evidence.last_proof_at,
            round_trip_ms: evidence.round_trip_ms,
            misses: evidence.misses,
            clock_skew_ms: evidence.clock_skew_ms,
            our_view: ours.map(Into::into),
            our_view_label: ours.map(label),
            peer_view: view.map(|view| view.status.into()),
            peer_view_label: view.map(|view| label(view.status)),
            peer_view_at: view.map(|view| view.at),
            peer_view_fresh: view.is_some_and(|view| ask.actions.view_counts(view.at)),
            peer_cause: view.and_then(|view| {
                let code = view.code?;
                Some(PeerCause::new(code, view.reason.clone(), connection.id))
            }),
            last_failure,
            cause: evidence.failure.map(|cause| DirectionCause::new(cause, connection.id)),
        }
    }
}

/// How long a direction had each status.
#[derive(SimpleObject)]
pub(super) struct UptimeBucket {
    /// Its beginning.
    from: Timestamp,
    /// Its end, or now if it has not ended.
    to: Timestamp,
    /// Milliseconds *Up*.
    up_ms: i64,
    /// Milliseconds *Slow*.
    slow_ms: i64,
    /// Milliseconds *Down*.
    down_ms: i64,
    /// Milliseconds *Disputed*.
    disputed_ms: i64,
    /// Milliseconds *Suspended*.
    suspended_ms: i64,
    /// Milliseconds before it was onboarded, or in which this instance did not watch.
    unknown_ms: i64,
    /// Thousandths of the time in which messages got through (*Up*, *Slow*), of that in which they should have and it
    /// was watched; null when that is no time at all.
    uptime_permille: Option<i64>,
}

/// A direction's status became another.
#[derive(SimpleObject)]
pub(super) struct StatusTransition {
    /// When.
    at: Timestamp,
    /// Which status from then on; null when nothing is begun, or this instance does not watch from then on.
    status: Option<DirectionStatus>,
    /// The status in words.
    status_label: Option<&'static str>,
    /// Why it did not work; null when it did.
    code: Option<RefusalCode>,
    /// The code in words; null when it worked.
    code_label: Option<&'static str>,
    /// A finer distinction within the code.
    reason: Option<String>,
}

/// What became of a direction's status.
#[derive(SimpleObject)]
pub(super) struct DirectionHistory {
    /// Up-time, the oldest first.
    buckets: Vec<UptimeBucket>,
    /// The transitions themselves, the oldest first: the newest 500 at most. Where these are all, the first one may be older
    /// than asked for, and was in force then.
    transitions: Vec<StatusTransition>,
}

#[ComplexObject]
impl Direction {
    /// What became of its status: kept for 90 days, by its transitions.
    #[graphql(complexity = "items_cost(days.unwrap_or(30), child_complexity)")]
    async fn history(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "For so many days back from now, 1 to 90; 30 when nothing is given.")] days: Option<
            i32,
        >,
        #[graphql(desc = "How long each part is; `DAY` when nothing is given.")] bucket: Option<
            HistoryBucketSize,
        >,
    ) -> Result<DirectionHistory> {
        let ask = Ask::anyone(ctx)?;
        let days = i64::from(days.unwrap_or(30));
        if !(1..=90).contains(&days) {
            return Err(error::invalid("`days` is from 1 to 90."));
        }
        let size: BucketSize = bucket.map_or(BucketSize::Day, Into::into);
        let now = ask.actions.now();
        // On the hour, so that all of a list ask for the same.
        let back = now - TimeDelta::days(days);
        let from =
            Timestamp::from_timestamp_millis(back.timestamp_millis().div_euclid(3_600_000) * 3_600_000)
                .unwrap_or(back);
        let told = ask.load.one(History(self.connection, from)).await?.unwrap_or_default();
        let told: Vec<_> =
            told.into_iter().filter(|(way, _)| *way == self.domain).map(|(_, told)| told).collect();
        let ms = |time: TimeDelta| time.num_milliseconds();
        let buckets = history::buckets(&told, from, now, size).into_iter().map(|bucket| UptimeBucket {
            from: bucket.from,
            to: bucket.to,
            up_ms: ms(bucket.spent.up),
            slow_ms: ms(bucket.spent.slow),
            down_ms: ms(bucket.spent.down),
            disputed_ms: ms(bucket.spent.disputed),
            suspended_ms: ms(bucket.spent.suspended),
            unknown_ms: ms(bucket.spent.unknown),
            uptime_permille: bucket.spent.uptime_permille(),
        });
        let most = usize::try_from(BUCKETS).unwrap_or(usize::MAX);
        let older = told.len().saturating_sub(TRANSITIONS);
        Ok(DirectionHistory {
            buckets: buckets.take(most).collect(),
            transitions: told
                .into_iter()
                .skip(older)
                .map(|told| StatusTransition {
                    at: told.at,
                    status: told.status.map(Into::into),
                    status_label: told.status.map(domain::DirectionStatus::label),
                    code: told.code.map(Into::into),
                    code_label: told.code.map(Code::label),
                    reason: told.reason,
                })
                .collect(),
        })
    }
}
