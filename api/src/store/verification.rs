//! The latest verification of each connection.

use sea_orm::sea_query::OnConflict;
use sea_orm::{ColumnTrait as _, EntityTrait as _, QueryFilter as _, Set};
use serde_json::{Value, json};

use super::tx::Tx;
use super::{Reader, StoreError, at, entity, inconsistent, json as stored, ms};
use crate::domain::id::{ConnectionId, UserId};
use crate::domain::verification::{
    Found, Verification, VerificationState, VerificationStep, VerificationStepName, VerificationStepState,
};
use entity::verification::{ActiveModel, Column, Entity, Model};

fn steps_to(steps: &[VerificationStep]) -> Value {
    let step = |step: &VerificationStep| {
        json!({
            "name": step.name.as_str(),
            "state": step.state.as_str(),
            "ours": step.found.ours,
            "theirs": step.found.theirs,
            "roundTripMs": step.found.round_trip_ms,
            "failure": step.found.failure.as_ref().map(stored::refusal_to),
            "finishedAt": step.finished_at.map(ms),
        })
    };
    steps.iter().map(step).collect()
}

fn steps_from(value: &Value) -> Option<Vec<VerificationStep>> {
    let step = |value: &Value| {
        let text = |name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned);
        Some(VerificationStep {
            name: VerificationStepName::parse(value.get("name")?.as_str()?)?,
            state: VerificationStepState::parse(value.get("state")?.as_str()?)?,
            found: Found {
                ours: text("ours"),
                theirs: text("theirs"),
                round_trip_ms: value.get("roundTripMs").and_then(Value::as_i64),
                failure: match value.get("failure") {
                    None | Some(Value::Null) => None,
                    Some(failure) => Some(stored::refusal_from(failure)?),
                },
            },
            finished_at: value.get("finishedAt").and_then(Value::as_i64).map(at),
        })
    };
    let steps: Option<Vec<VerificationStep>> = value.as_array()?.iter().map(step).collect();
    steps.filter(|steps| steps.iter().map(|step| &step.name).eq(VerificationStepName::ALL))
}

fn from_row(row: Model) -> Result<Verification, StoreError> {
    Ok(Verification {
        connection: ConnectionId(row.connection_id),
        requested_by: UserId(row.requested_by),
        started_at: at(row.started_at),
        finished_at: row.finished_at.map(at),
        steps: steps_from(&row.steps)
            .ok_or_else(|| inconsistent("verification", row.connection_id, "steps"))?,
    })
}

impl Tx {
    /// The latest verification of a connection.
    ///
    /// # Errors
    /// When the database does not answer, or the row matches no legal state.
    pub async fn verification(&self, id: ConnectionId) -> Result<Option<Verification>, StoreError> {
        Entity::find_by_id(id.0).one(&self.txn).await?.map(from_row).transpose()
    }

    /// Saves the latest verification of a connection.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn save_verification(&mut self, verification: &Verification) -> Result<(), StoreError> {
        let row = ActiveModel {
            connection_id: Set(verification.connection.0),
            requested_by: Set(verification.requested_by.0),
            started_at: Set(ms(verification.started_at)),
            finished_at: Set(verification.finished_at.map(ms)),
            passed: Set(verification.state() == VerificationState::Passed),
            steps: Set(steps_to(&verification.steps)),
        };
        let again = OnConflict::column(Column::ConnectionId)
            .update_columns([
                Column::RequestedBy,
                Column::StartedAt,
                Column::FinishedAt,
                Column::Passed,
                Column::Steps,
            ])
            .to_owned();
        Entity::insert(row).on_conflict(again).exec_without_returning(&self.txn).await?;
        Ok(())
    }
}

impl Reader {
    /// The latest verification of each of these connections, which the caller has read and so may see.
    ///
    /// # Errors
    /// When the database does not answer, or a row matches no legal state.
    pub async fn verifications(&self, of: &[ConnectionId]) -> Result<Vec<Verification>, StoreError> {
        let query = Entity::find().filter(Column::ConnectionId.is_in(of.iter().map(|id| id.0)));
        query.all(self.conn()).await?.into_iter().map(from_row).collect()
    }
}
