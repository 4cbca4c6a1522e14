//! What was seen of the directions of connections, and what became of their status.

use std::collections::HashMap;

use sea_orm::sea_query::OnConflict;
use sea_orm::{
    ColumnTrait as _, ConnectionTrait, EntityTrait as _, Iterable as _, QueryFilter as _, QueryOrder as _,
    Set,
};
use uuid::Uuid;

use super::tx::Tx;
use super::{Reader, StoreError, at, entity, inconsistent, ms};
use crate::domain::Timestamp;
use crate::domain::direction::{Cause, DirectionStatus, Evidence, Transition, View, Way};
use crate::domain::heartbeat::{Line, Mark};
use crate::domain::id::{ConnectionId, TraceId};
use crate::domain::refusal::RefusalCode;
use entity::{direction, direction_history};

/// How many rows go into one statement: the databases limit the values of one.
const ROWS: usize = 500;

pub(super) fn from_row(row: direction::Model) -> Result<(Way, Evidence), StoreError> {
    let wrong = |column| inconsistent("direction", row.connection_id, column);
    let status = |text: Option<&String>, column| {
        text.map(|text| DirectionStatus::parse(text).ok_or_else(|| wrong(column))).transpose()
    };
    let code = |text: Option<&String>| text.and_then(|text| RefusalCode::parse(text));
    let trace = |text: Option<&String>| text.and_then(|text| TraceId::parse(text));
    let since = |status: Option<DirectionStatus>, ms: Option<i64>| Some((status?, at(ms?)));
    let evidence = Evidence {
        activated_at: row.activated_at.map(at),
        last_proof_at: row.last_proof_at.map(at),
        seen_at: row.seen_at.map(at),
        round_trip_ms: row.round_trip_ms,
        slow: row.slow,
        pace: row.pace,
        misses: row.misses,
        answers: row.answers,
        was_down: row.was_down,
        downs: row.downs,
        down_at: row.down_at.map(at),
        peer_view: status(row.peer_view.as_ref(), "peer_view")?.zip(row.peer_view_at).map(
            |(status, said)| View {
                status,
                code: code(row.peer_view_code.as_ref()),
                reason: row.peer_view_reason.clone(),
                since: at(row.peer_view_since.unwrap_or(said)),
                at: at(said),
            },
        ),
        failure: code(row.failure_code.as_ref()).zip(row.failure_at).map(|(code, ms)| Cause {
            code,
            reason: row.failure_reason.clone(),
            detail: row.failure_detail.clone(),
            at: at(ms),
            trace: trace(row.failure_trace.as_ref()),
            peer_trace: trace(row.failure_peer_trace.as_ref()),
        }),
        clock_skew_ms: row.clock_skew_ms,
        mark: mark(&row),
        own: since(status(row.own.as_ref(), "own")?, row.own_at),
        shown: since(status(row.shown.as_ref(), "shown")?, row.shown_at),
    };
    Ok((Way::parse(&row.way).ok_or_else(|| wrong("way"))?, evidence))
}

fn mark(row: &direction::Model) -> Option<(i64, Mark)> {
    let line = Line { id: row.mark_line?, since: row.mark_since? };
    Some((row.mark_agreement?, Mark { step: row.mark_step?, token: row.mark_token?, line }))
}

fn to_row(id: ConnectionId, way: Way, evidence: &Evidence) -> direction::ActiveModel {
    let word = |status: DirectionStatus| status.as_str().to_owned();
    let view = evidence.peer_view.as_ref();
    let failure = evidence.failure.as_ref();
    direction::ActiveModel {
        connection_id: Set(id.0),
        way: Set(way.as_str().to_owned()),
        activated_at: Set(evidence.activated_at.map(ms)),
        last_proof_at: Set(evidence.last_proof_at.map(ms)),
        seen_at: Set(evidence.seen_at.map(ms)),
        round_trip_ms: Set(evidence.round_trip_ms),
        slow: Set(evidence.slow),
        pace: Set(evidence.pace),
        misses: Set(evidence.misses),
        answers: Set(evidence.answers),
        was_down: Set(evidence.was_down),
        downs: Set(evidence.downs),
        down_at: Set(evidence.down_at.map(ms)),
        peer_view: Set(view.map(|view| word(view.status))),
        peer_view_at: Set(view.map(|view| ms(view.at))),
        peer_view_since: Set(view.map(|view| ms(view.since))),
        peer_view_code: Set(view.and_then(|view| view.code).map(|code| code.as_str().to_owned())),
        peer_view_reason: Set(view.and_then(|view| view.reason.clone())),
        failure_code: Set(failure.map(|cause| cause.code.as_str().to_owned())),
        failure_reason: Set(failure.and_then(|cause| cause.reason.clone())),
        failure_detail: Set(failure.and_then(|cause| cause.detail.clone())),
        failure_at: Set(failure.map(|cause| ms(cause.at))),
        failure_trace: Set(failure.and_then(|cause| cause.trace).map(|trace| trace.to_string())),
        failure_peer_trace: Set(failure.and_then(|cause| cause.peer_trace).map(|trace| trace.to_string())),
        clock_skew_ms: Set(evidence.clock_skew_ms),
        mark_step: Set(evidence.mark.map(|(_, mark)| mark.step)),
        mark_token: Set(evidence.mark.map(|(_, mark)| mark.token)),
        mark_line: Set(evidence.mark.map(|(_, mark)| mark.line.id)),
        mark_since: Set(evidence.mark.map(|(_, mark)| mark.line.since)),
        mark_agreement: Set(evidence.mark.map(|(agreement, _)| agreement)),
        own: Set(evidence.own.map(|(status, _)| word(status))),
        own_at: Set(evidence.own.map(|(_, since)| ms(since))),
        shown: Set(evidence.shown.map(|(status, _)| word(status))),
        shown_at: Set(evidence.shown.map(|(_, since)| ms(since))),
    }
}

fn history_row(id: ConnectionId, way: Way, told: &Transition) -> direction_history::ActiveModel {
    direction_history::ActiveModel {
        connection_id: Set(id.0),
        way: Set(way.as_str().to_owned()),
        at: Set(ms(told.at)),
        status: Set(told.status.map(|status| status.as_str().to_owned())),
        code: Set(told.code.map(|code| code.as_str().to_owned())),
        reason: Set(told.reason.clone()),
    }
}

fn transition(row: direction_history::Model) -> Result<(ConnectionId, Way, Transition), StoreError> {
    let wrong = |column| inconsistent("direction_history", row.connection_id, column);
    let status =
        row.status.as_deref().map(|text| DirectionStatus::parse(text).ok_or_else(|| wrong("status")));
    let told = Transition {
        at: at(row.at),
        status: status.transpose()?,
        code: row.code.as_deref().and_then(RefusalCode::parse),
        reason: row.reason.clone(),
    };
    Ok((ConnectionId(row.connection_id), Way::parse(&row.way).ok_or_else(|| wrong("way"))?, told))
}

impl Tx {
    /// A direction's evidence.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn evidence(&self, id: ConnectionId, way: Way) -> Result<Evidence, StoreError> {
        let key = (id.0, way.as_str().to_owned());
        let row = direction::Entity::find_by_id(key)
            .one(&self.txn)
            .await?
            .ok_or(StoreError::Missing("direction"))?;
        Ok(from_row(row)?.1)
    }

    /// Saves what was seen of these directions, in a few statements however many they are.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn save_evidence(
        &mut self,
        directions: &[(ConnectionId, Way, Evidence)],
    ) -> Result<(), StoreError> {
        use direction::{Column, Entity};
        for chunk in directions.chunks(ROWS) {
            let rows = chunk.iter().map(|(id, way, evidence)| to_row(*id, *way, evidence));
            let mut again = OnConflict::columns([Column::ConnectionId, Column::Way]);
            again.update_columns(Column::iter().filter(|c| !matches!(c, Column::ConnectionId | Column::Way)));
            Entity::insert_many(rows).on_conflict(again).exec_without_returning(&self.txn).await?;
        }
        Ok(())
    }

    /// Writes down that the status of directions became another.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn record_transitions(
        &mut self,
        told: &[(ConnectionId, Way, Transition)],
    ) -> Result<(), StoreError> {
        use direction_history::{Column, Entity};
        // Twice within a millisecond: the later one counts. One statement may not say both.
        let mut latest = HashMap::with_capacity(told.len());
        for (id, way, told) in told {
            latest.insert((*id, way.as_str(), ms(told.at)), history_row(*id, *way, told));
        }
        let rows: Vec<_> = latest.into_values().collect();
        for rows in rows.chunks(ROWS) {
            let rows = rows.iter().cloned();
            let again = OnConflict::columns([Column::ConnectionId, Column::Way, Column::At])
                .update_columns([Column::Status, Column::Code, Column::Reason])
                .to_owned();
            Entity::insert_many(rows).on_conflict(again).exec_without_returning(&self.txn).await?;
        }
        Ok(())
    }

    /// Forgets the evidence of a connection's directions: nothing is begun.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn reset_directions(&mut self, id: ConnectionId) -> Result<(), StoreError> {
        let blank: Vec<_> = Way::ALL.iter().map(|way| (id, *way, Evidence::default())).collect();
        self.save_evidence(&blank).await?;
        let nothing = Transition { at: self.now(), status: None, code: None, reason: None };
        let told: Vec<_> = Way::ALL.iter().map(|way| (id, *way, nothing.clone())).collect();
        self.record_transitions(&told).await
    }
}

impl Reader {
    /// The transitions of these connections' directions since `from`, the oldest first, and before them the one that
    /// was in force then. The caller has read the connections and so may see them.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn transitions(
        &self,
        of: &[ConnectionId],
        from: Timestamp,
    ) -> Result<Vec<(ConnectionId, Way, Transition)>, StoreError> {
        use direction_history::{Column, Entity};
        use sea_orm::sea_query::{Alias, Expr, ExprTrait as _, Query};
        let ids: Vec<Uuid> = of.iter().map(|id| id.0).collect();
        let earlier = Alias::new("earlier");
        let in_force = Query::select()
            .expr(Expr::col((earlier.clone(), Column::At)).max())
            .from_as(Entity, earlier.clone())
            .and_where(
                Expr::col((earlier.clone(), Column::ConnectionId)).equals((Entity, Column::ConnectionId)),
            )
            .and_where(Expr::col((earlier.clone(), Column::Way)).equals((Entity, Column::Way)))
            .and_where(Expr::col((earlier, Column::At)).lte(ms(from)))
            .to_owned();
        let rows = Entity::find()
            .filter(Column::ConnectionId.is_in(ids))
            .filter(
                sea_orm::Condition::any().add(Column::At.gt(ms(from))).add(Column::At.in_subquery(in_force)),
            )
            .order_by_asc(Column::At)
            .all(self.conn())
            .await?;
        rows.into_iter().map(transition).collect()
    }
}

/// The directions of these connections.
pub(super) async fn of_connections(
    conn: &impl ConnectionTrait,
    ids: &[Uuid],
) -> Result<Vec<(ConnectionId, Way, Evidence)>, StoreError> {
    let rows = direction::Entity::find().filter(direction::Column::ConnectionId.is_in(ids.iter().copied()));
    let mut found = Vec::new();
    for row in rows.all(conn).await? {
        let id = ConnectionId(row.connection_id);
        let (way, evidence) = from_row(row)?;
        found.push((id, way, evidence));
    }
    Ok(found)
}
