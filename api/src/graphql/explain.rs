//! Why a connection is as it is, and the bundle that both sides' people read when they mend it together.

use async_graphql::{Context, ID, Object, Result, SimpleObject};
use chrono::TimeDelta;
use serde_json::{Value, json};
use uuid::Uuid;

use super::ask::{Ask, ours};
use super::change::ChangeEvent;
use super::id::Kind;
use super::load::{Directions, History, LatestAttempt, OpenIssues, TrafficOf};
use super::refusal::Remedy;
use super::words::{RefusalCode, StatusDependency};
use crate::domain::Timestamp;
use crate::domain::connection::Connection;
use crate::domain::direction::{Cause, DirectionStatus, Evidence, View, Way};
use crate::domain::explain::{self as domain, Look, Situation};
use crate::domain::id::ConnectionId;
use crate::domain::link::hex;
use crate::domain::refusal::RefusalCode as Code;
use crate::domain::scan::Subject;

/// How many changes are told of those that came before.
const CHANGES_BEFORE: u64 = 5;
/// Under which id changes of keys are announced, whichever they are.
const ALL_KEYS: Uuid = Uuid::nil();
/// How many failures a support bundle holds.
const FAILURES: u64 = 20;

/// One link of the chain of what a connection's status depends on.
#[derive(SimpleObject)]
pub(super) struct DependencyLink {
    /// Which dependency.
    dependency: StatusDependency,
    /// The dependency in words.
    label: &'static str,
    /// Whether it holds; null where that cannot be known behind one that fails.
    holds: Option<bool>,
}

/// The first dependency that fails.
#[derive(SimpleObject)]
pub(super) struct ConnectionFault {
    /// Which one.
    dependency: StatusDependency,
    /// The dependency in words.
    label: &'static str,
    /// The stable code of the failure; null where there is none, as for a slow line.
    code: Option<RefusalCode>,
    /// A finer, stable distinction.
    reason: Option<String>,
    /// What was seen, for people.
    evidence: String,
    /// Since when, as far as that is known.
    since: Option<Timestamp>,
    /// What to do about it.
    remedy: Remedy,
}

/// What happens next by itself.
#[derive(SimpleObject)]
pub(super) struct NextAutomaticAction {
    /// What.
    what: &'static str,
    /// When; null if that is not known.
    at: Option<Timestamp>,
}

/// Why a connection is as it is.
#[derive(SimpleObject)]
pub(super) struct Explanation {
    /// In one or two sentences.
    summary: String,
    /// Whether everything that the connection depends on holds.
    healthy: bool,
    /// The first dependency that fails; null when all hold.
    fault: Option<ConnectionFault>,
    /// All dependencies, in the order in which each needs the one before.
    chain: Vec<DependencyLink>,
    /// What changed until it was seen to fail, or lately when nothing fails; the latest first. Where keys are the fault,
    /// with changes of keys, for those who may read about keys.
    changed_before: Vec<ChangeEvent>,
    /// What happens next by itself; null when nothing does.
    next_action: Option<NextAutomaticAction>,
}

/// What is known of a connection, from the same statements for one or for many.
async fn situation(ask: &Ask<'_>, connection: &Connection) -> Result<Situation> {
    let directions = ask.load.one(Directions(connection.id)).await?.unwrap_or_default();
    let attempt = ask.load.one(LatestAttempt(connection.id)).await?;
    let issues = ask.load.one(OpenIssues::of(Subject::Connection(connection.id))).await?.unwrap_or_default();
    let look = |way: Way| {
        let stored = directions.iter().find(|(its, _)| *its == way).map(|(_, evidence)| evidence.clone());
        let (evidence, status) = ask.actions.direction(connection, way, stored.unwrap_or_default());
        Look { own: ask.actions.own_view(connection, &evidence), evidence, status }
    };
    let phase = attempt.and_then(|(attempt, _)| {
        let phase = attempt.current()?;
        let since = phase.started_at.unwrap_or(attempt.started_at);
        Some((phase.failure.clone()?, since, phase.next_try_at))
    });
    let issue = issues.into_iter().find(|issue| issue.holds_up(ask.actions.now()));
    Ok(Situation {
        connection: connection.id,
        state: connection.state.name(),
        changed_at: connection.updated_at,
        suspects: connection.suspects_clone().then_some(connection.survivor.is_some()),
        outbound: look(Way::Outbound),
        inbound: look(Way::Inbound),
        phase,
        issue: issue.map(|issue| (issue.message, issue.first_seen_at, issue.remedy)),
        next_probe_at: ask.actions.next_probe_at(connection.id),
        now: ask.actions.now(),
    })
}

impl Explanation {
    /// Explains a connection that the requester may see.
    pub(super) async fn of(ask: &Ask<'_>, connection: &Connection) -> Result<Self> {
        let explained = situation(ask, connection).await?.explain();
        let subject = Subject::Connection(connection.id);
        let until = explained.seen_at.unwrap_or_else(|| ask.actions.now());
        let mut about = vec![connection.id.0];
        let of_keys = [domain::Dependency::OurKeyService, domain::Dependency::KeysAgree];
        let of_keys = explained.fault.as_ref().is_some_and(|fault| of_keys.contains(&fault.dependency));
        if of_keys && ask.call.requester.viewer().keys() {
            about.push(ALL_KEYS);
        }
        about.extend(connection.registration.map(|id| id.0));
        about.extend(connection.company.map(|id| id.0));
        let changes = ask.reader().changes_before(&about, until, CHANGES_BEFORE).await.map_err(ours)?;
        let link = |link: &domain::Link| DependencyLink {
            dependency: link.dependency.into(),
            label: link.dependency.label(),
            holds: link.holds,
        };
        Ok(Self {
            summary: explained.summary,
            healthy: explained.fault.is_none(),
            chain: explained.chain.iter().map(link).collect(),
            fault: explained.fault.map(|fault| ConnectionFault {
                dependency: fault.dependency.into(),
                label: fault.dependency.label(),
                code: fault.code.map(Into::into),
                reason: fault.reason,
                evidence: fault.evidence,
                since: fault.since,
                remedy: Remedy::new(fault.remedy, Some(subject)),
            }),
            changed_before: changes.into_iter().map(ChangeEvent::past).collect(),
            next_action: explained.next.map(|next| NextAutomaticAction { what: next.what, at: next.at }),
        })
    }
}

/// What both organisations may read: no secrets, no people, nothing of other connections.
pub(super) async fn support_bundle(ask: &Ask<'_>, connection: &Connection) -> Result<String> {
    let situation = situation(ask, connection).await?;
    let explained = situation.explain();
    let now = ask.actions.now();
    let traffic = ask.load.one(TrafficOf::last_day(connection.id, now)).await?.unwrap_or_default();
    let told = ask.load.one(History(connection.id, now - TimeDelta::days(1))).await?.unwrap_or_default();
    let of = [Subject::Connection(connection.id)];
    let failures = ask.reader().latest_failures(&of, FAILURES).await.map_err(ours)?;
    let profile = ask.actions.profile();
    let bundle = json!({
        "format": "linkspan support bundle 1",
        "made_at": now,
        "instance": {
            "id": profile.instance.to_string(), "origin": profile.origin.as_str(), "name": profile.name,
            "software": crate::actions::SOFTWARE, "fingerprint": hex(&ask.actions.keys().fingerprint()),
        },
        "peer": {
            "id": connection.peer.instance.map(|id| id.to_string()), "origin": connection.peer.origin.as_str(),
            "name": connection.peer.name, "software": connection.peer.version,
            "fingerprint": hex(&connection.peer.fingerprint),
        },
        "connection": {
            "link": connection.link.to_string(), "role": connection.part.as_str(),
            "state": connection.state.name().as_str(), "created_at": connection.created_at,
            "updated_at": connection.updated_at,
        },
        "outbound": look(&situation.outbound),
        "inbound": look(&situation.inbound),
        "explanation": {
            "summary": explained.summary,
            "first_cause": explained.fault.as_ref().map(|fault| fault.dependency.as_str()),
            "code": explained.fault.as_ref().and_then(|fault| fault.code).map(Code::as_str),
            "reason": explained.fault.as_ref().and_then(|fault| fault.reason.clone()),
            "since": explained.fault.as_ref().and_then(|fault| fault.since),
            "chain": explained.chain.iter().map(|link| json!({ "dependency": link.dependency.as_str(), "holds": link.holds })).collect::<Vec<_>>(),
        },
        "last_day": told.iter().map(|(way, told)| json!({
            "way": way.as_str(), "at": told.at, "status": told.status.map(DirectionStatus::as_str),
            "code": told.code.map(Code::as_str), "reason": told.reason,
        })).collect::<Vec<_>>(),
        "messages": {
            "sent_last_day": traffic.sent, "received_last_day": traffic.received,
            "last_sent_at": traffic.last_sent_at, "last_received_at": traffic.last_received_at,
        },
        // What a mail server says may name people.
        "failures": failures.iter().filter(|record| record.failed.operation.is_between_instances()).map(|record| json!({
            "operation": record.failed.operation.as_str(), "code": record.failed.code.as_str(),
            "reason": record.failed.reason, "message": record.failed.message, "count": record.count,
            "first_at": record.first_at, "last_at": record.last_at,
            "trace_id": record.failed.trace.to_string(),
            "peer_trace_id": record.failed.peer_trace.map(|trace| trace.to_string()),
        })).collect::<Vec<_>>(),
    });
    Ok(format!("{bundle:#}"))
}

fn look(look: &Look) -> Value {
    let Evidence { activated_at, last_proof_at, round_trip_ms, misses, clock_skew_ms, .. } = look.evidence;
    let cause = |cause: &Cause| {
        json!({
            "code": cause.code.as_str(), "reason": cause.reason, "detail": cause.detail, "at": cause.at,
            "trace_id": cause.trace.map(|trace| trace.to_string()),
            "peer_trace_id": cause.peer_trace.map(|trace| trace.to_string()),
        })
    };
    let view = |view: &View| {
        json!({
            "status": view.status.as_str(), "code": view.code.map(Code::as_str), "reason": view.reason,
            "since": view.since, "at": view.at,
        })
    };
    json!({
        "status": look.status.map(DirectionStatus::as_str), "our_view": look.own.map(DirectionStatus::as_str),
        "peer_view": look.evidence.peer_view.as_ref().map(view), "activated_at": activated_at,
        "last_proof_at": last_proof_at, "round_trip_ms": round_trip_ms, "misses": misses,
        "clock_skew_ms": clock_skew_ms, "cause": look.evidence.failure.as_ref().map(cause),
    })
}

/// Queries that explain.
#[derive(Default)]
pub(super) struct ExplainQuery;

#[Object]
impl ExplainQuery {
    /// Why a connection is as it is; null when there is none with this id, or it is not yours to see.
    async fn explain(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The connection's global id.")] connection_id: ID,
    ) -> Result<Option<Explanation>> {
        let ask = Ask::new(ctx)?;
        let id = Kind::Connection.read(&connection_id).map(ConnectionId);
        match ask.load.maybe(id).await? {
            Some(connection) => Ok(Some(Explanation::of(&ask, &connection).await?)),
            None => Ok(None),
        }
    }
}
