//! What was seen of the directions of connections.

use sea_orm::{ColumnTrait as _, ConnectionTrait, EntityTrait as _, QueryFilter as _, Set};
use uuid::Uuid;

use super::tx::Tx;
use super::{StoreError, at, entity, inconsistent, ms};
use crate::domain::direction::{DirectionStatus, Evidence, Way};
use crate::domain::id::ConnectionId;
use entity::direction;

fn from_row(row: direction::Model) -> Result<(Way, Evidence), StoreError> {
    let wrong = |column| inconsistent("direction", row.connection_id, column);
    let evidence = Evidence {
        activated_at: row.activated_at.map(at),
        last_proof_at: row.last_proof_at.map(at),
        round_trip_ms: row.round_trip_ms,
        misses: row.misses,
        answers: row.answers,
        was_down: row.was_down,
        peer_view: row
            .peer_view
            .as_deref()
            .map(|view| DirectionStatus::parse(view).ok_or_else(|| wrong("peer_view")))
            .transpose()?,
        last_failure: row.last_failure.clone(),
    };
    Ok((Way::parse(&row.way).ok_or_else(|| wrong("way"))?, evidence))
}

impl Tx {
    /// A direction's evidence, and the status that was last announced for it.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn evidence(
        &self,
        id: ConnectionId,
        way: Way,
    ) -> Result<(Evidence, Option<DirectionStatus>), StoreError> {
        let key = (id.0, way.as_str().to_owned());
        let row = direction::Entity::find_by_id(key)
            .one(&self.txn)
            .await?
            .ok_or(StoreError::Missing("direction"))?;
        let shown = row.shown.as_deref().and_then(DirectionStatus::parse);
        Ok((from_row(row)?.1, shown))
    }

    /// Saves a direction's evidence and the status that is announced for it.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn save_evidence(
        &mut self,
        id: ConnectionId,
        way: Way,
        evidence: &Evidence,
        shown: Option<DirectionStatus>,
        first: bool,
    ) -> Result<(), StoreError> {
        let row = direction::ActiveModel {
            connection_id: Set(id.0),
            way: Set(way.as_str().to_owned()),
            activated_at: Set(evidence.activated_at.map(ms)),
            last_proof_at: Set(evidence.last_proof_at.map(ms)),
            round_trip_ms: Set(evidence.round_trip_ms),
            misses: Set(evidence.misses),
            answers: Set(evidence.answers),
            was_down: Set(evidence.was_down),
            peer_view: Set(evidence.peer_view.map(|view| view.as_str().to_owned())),
            last_failure: Set(evidence.last_failure.clone()),
            shown: Set(shown.map(|status| status.as_str().to_owned())),
        };
        if first {
            direction::Entity::insert(row).exec_without_returning(&self.txn).await?;
        } else {
            direction::Entity::update(row).exec(&self.txn).await?;
        }
        Ok(())
    }

    /// Forgets the evidence of a connection's directions: nothing is begun.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn reset_directions(&mut self, id: ConnectionId) -> Result<(), StoreError> {
        for way in Way::ALL {
            self.save_evidence(id, *way, &Evidence::default(), None, false).await?;
        }
        Ok(())
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
