//! The status of a direction: computed from evidence, never written down as a wish.

use chrono::TimeDelta;

use super::Timestamp;
use super::connection::ConnectionState;

words! {
    /// Which way messages go.
    Way {
        /// We to them.
        Outbound = "OUTBOUND", "Outbound";
        /// They to us.
        Inbound = "INBOUND", "Inbound";
    }
}

words! {
    /// What the evidence says of a direction.
    DirectionStatus {
        /// Begun, but no keys yet.
        NotOnboarded = "NOT_ONBOARDED", "Not onboarded";
        /// Proven recently over the real path.
        Up = "UP", "Up";
        /// Proven, but slowly.
        Slow = "SLOW", "Slow";
        /// Two misses in a row, or no proof for too long.
        Down = "DOWN", "Down";
        /// Paused on purpose.
        Suspended = "SUSPENDED", "Suspended";
        /// The two sides see it differently.
        Disputed = "DISPUTED", "Disputed";
    }
}

/// Misses in a row that make a direction *Down*.
pub const MISSES_FOR_DOWN: i64 = 2;
/// Answers in a row that make it *Up* again.
pub const ANSWERS_FOR_UP: i64 = 2;

/// What was seen of a direction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Evidence {
    /// When its activation was proven; without it the direction is not onboarded.
    pub activated_at: Option<Timestamp>,
    /// The last authenticated message over the real path.
    pub last_proof_at: Option<Timestamp>,
    /// How long the last answer took; outbound only.
    pub round_trip_ms: Option<i64>,
    /// Probes without an answer since the last answer.
    pub misses: i64,
    /// Answers since the last miss.
    pub answers: i64,
    /// Whether it was down before the present run of answers.
    pub was_down: bool,
    /// What the peer last said it sees of the same direction.
    pub peer_view: Option<DirectionStatus>,
    /// Why the last probe was missed, as a stable reason.
    pub last_failure: Option<String>,
}

/// What decides besides the evidence.
#[derive(Clone, Copy, Debug)]
pub struct Measure {
    /// The time between probes.
    pub interval: TimeDelta,
    /// A round trip longer than this is *Slow*, in milliseconds.
    pub slow_ms: i64,
}

impl Default for Measure {
    fn default() -> Self {
        Self { interval: TimeDelta::seconds(5), slow_ms: 2_000 }
    }
}

impl Evidence {
    /// An authenticated answer or message arrived.
    pub fn proven(&mut self, at: Timestamp, round_trip_ms: Option<i64>) {
        self.activated_at.get_or_insert(at);
        self.last_proof_at = Some(self.last_proof_at.map_or(at, |last| last.max(at)));
        self.round_trip_ms = round_trip_ms.or(self.round_trip_ms);
        self.misses = 0;
        self.answers = (self.answers + 1).min(1_000);
        if self.answers >= ANSWERS_FOR_UP {
            self.was_down = false;
        }
        self.last_failure = None;
    }

    /// A probe got no answer.
    pub fn missed(&mut self, reason: &str) {
        self.misses = (self.misses + 1).min(1_000_000);
        self.answers = 0;
        self.was_down |= self.misses >= MISSES_FOR_DOWN;
        self.last_failure = Some(reason.to_owned());
    }

    /// What we ourselves see. `None` (blank) while nothing is begun.
    #[must_use]
    pub fn seen(&self, state: ConnectionState, measure: Measure, now: Timestamp) -> Option<DirectionStatus> {
        match state {
            ConnectionState::Pending
            | ConnectionState::AwaitingValidation
            | ConnectionState::Validated
            | ConnectionState::ValidationFailed => return None,
            ConnectionState::Suspended => return Some(DirectionStatus::Suspended),
            ConnectionState::Offboarding | ConnectionState::Offboarded => return Some(DirectionStatus::Down),
            ConnectionState::Onboarding | ConnectionState::Onboarded => {}
        }
        let (Some(_), Some(proof)) = (self.activated_at, self.last_proof_at) else {
            return Some(DirectionStatus::NotOnboarded);
        };
        // Nobody probes before onboarding is complete: until then the proof of activation stands.
        let silent = state == ConnectionState::Onboarded && now - proof > measure.interval * 3;
        if silent || self.misses >= MISSES_FOR_DOWN || (self.was_down && self.answers < ANSWERS_FOR_UP) {
            return Some(DirectionStatus::Down);
        }
        if self.round_trip_ms.is_some_and(|ms| ms > measure.slow_ms) {
            return Some(DirectionStatus::Slow);
        }
        Some(DirectionStatus::Up)
    }

    /// What is shown: *Disputed* when the peer sees the same direction up and we see it down, or the reverse.
    #[must_use]
    pub fn status(
        &self,
        state: ConnectionState,
        measure: Measure,
        now: Timestamp,
    ) -> Option<DirectionStatus> {
        let ours = self.seen(state, measure, now)?;
        let works = |status| match status {
            DirectionStatus::Up | DirectionStatus::Slow => Some(true),
            DirectionStatus::Down => Some(false),
            DirectionStatus::NotOnboarded | DirectionStatus::Suspended | DirectionStatus::Disputed => None,
        };
        match (works(ours), self.peer_view.and_then(works)) {
            (Some(we), Some(they)) if we != they => Some(DirectionStatus::Disputed),
            _ => Some(ours),
        }
    }
}
