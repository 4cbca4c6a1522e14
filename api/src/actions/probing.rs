//! Probes: both directions of a connection that stands, watched.

use chrono::TimeDelta;
use serde_json::Value;

use super::message::Views;
use super::{Actions, Call, Done};
use crate::domain::connection::State;
use crate::domain::direction::Way;
use crate::domain::effect::Work;
use crate::domain::id::ConnectionId;
use crate::store::{ChangeKind, NewJob};

impl Actions {
    /// What to say in a probe; none when the connection is not watched any more.
    pub(crate) async fn probe_plan(&self, call: &Call, id: ConnectionId) -> Done<Option<Value>> {
        let tx = self.begin("probe.read", call).await?;
        let Some(connection) = tx.connection(id).await? else { return Ok(None) };
        if !matches!(connection.state, State::Onboarded { .. }) {
            return Ok(None);
        }
        let views = self.views(&tx, &connection).await?;
        Ok(serde_json::to_value(views).ok())
    }

    /// A probe was answered, or missed. The next one is scheduled with it, spread by a tenth of the interval so
    /// that many connections do not probe in step.
    pub(crate) async fn probed(
        &self,
        call: &Call,
        id: ConnectionId,
        outcome: Result<(Value, i64), String>,
    ) -> Done<()> {
        let mut tx = self.begin("probe.done", call).await?;
        let Some(connection) = tx.connection(id).await? else { return Ok(()) };
        if !matches!(connection.state, State::Onboarded { .. }) {
            return Ok(());
        }
        let now = tx.now();
        match outcome {
            Ok((views, round_trip_ms)) => {
                let views: Views = serde_json::from_value(views).unwrap_or_default();
                self.prove_direction(&mut tx, &connection, Way::Outbound, now, Some(round_trip_ms), &views)
                    .await?;
            }
            Err(reason) => {
                for way in Way::ALL {
                    let (mut evidence, shown) = tx.evidence(id, *way).await?;
                    if *way == Way::Outbound {
                        evidence.missed(&reason);
                    }
                    // What a peer that does not answer saw last says nothing about now.
                    evidence.peer_view = None;
                    let status = evidence.status(connection.state.name(), self.profile.measure, now);
                    tx.save_evidence(id, *way, &evidence, status, false).await?;
                    if status != shown {
                        tx.connection_changed(&connection, ChangeKind::Updated, connection.revision);
                    }
                }
            }
        }
        let interval = self.profile.measure.interval;
        let spread =
            i64::from(u16::from_le_bytes(self.world.bytes()?)) * interval.num_milliseconds() / 10 / 65_536;
        let run_at = now + interval - TimeDelta::milliseconds(spread);
        tx.enqueue(NewJob { work: Work::Probe(id), run_at, sealed: None }).await?;
        tx.commit().await?;
        Ok(())
    }

    /// A direction was proven by a message of onboarding.
    pub(crate) async fn outbound_proven(
        &self,
        call: &Call,
        id: ConnectionId,
        round_trip_ms: i64,
    ) -> Done<()> {
        let mut tx = self.begin("direction.proven", call).await?;
        let connection = self.connection(&tx, id).await?;
        let now = tx.now();
        self.prove_direction(
            &mut tx,
            &connection,
            Way::Outbound,
            now,
            Some(round_trip_ms),
            &Views::default(),
        )
        .await?;
        tx.commit().await?;
        Ok(())
    }

    /// Whether the inbound direction was proven since then.
    pub(crate) async fn inbound_proven_since(
        &self,
        call: &Call,
        id: ConnectionId,
        since: crate::domain::Timestamp,
    ) -> Done<bool> {
        let tx = self.begin("direction.read", call).await?;
        let (evidence, _) = tx.evidence(id, Way::Inbound).await?;
        Ok(evidence.last_proof_at.is_some_and(|proof| proof >= since))
    }

    /// Forgets what is past its time, and schedules the next sweep.
    pub(crate) async fn sweep(&self, call: &Call) -> Done<()> {
        let mut tx = self.begin("sweep", call).await?;
        tx.sweep().await?;
        let run_at = tx.now() + TimeDelta::hours(1);
        tx.enqueue(NewJob { work: Work::Sweep, run_at, sealed: None }).await?;
        tx.commit().await?;
        Ok(())
    }
}
