//! The status of a direction: computed from evidence, never written down as a wish.
//!
//! | rule | in numbers (with the default interval of 5 s) |
//! |---|---|
//! | *Up* needs a proof | an authenticated answer (outbound) or message (inbound) over the real path |
//! | two misses in a row make *Down* | a dead peer shows after 5 to 15 s: at most one interval until it is asked, one more until it is asked again, and the probe's time limit |
//! | two and a half silent intervals make *Down* | the other way to notice, where nothing is asked: inbound; two messages did not come, and a dead peer shows before 15 s have passed |
//! | two answers in a row make *Up* again | the second probe follows the first answer at once, so recovery shows within one probe |
//! | two slow answers in a row make *Slow*, two quick ones make *Up* | quick again is what takes at most four fifths of what counts as slow, so that nothing swings about one number |
//! | a direction that fell or became slow three times within five minutes, each within five of the last, needs four answers for a change of either kind, each in its own interval | so that a flapping line does not flap here |
//! | the peer's word that it paused makes *Suspended*, a proof ends it | at once: it says so itself, and answers each probe so |
//! | views that differ make *Disputed* | once they have differed for three intervals, in which the other side notices what can be noticed |

use chrono::TimeDelta;

use super::Timestamp;
use super::connection::{ConnectionState, Pause};
use super::heartbeat::Mark;
use super::id::TraceId;
use super::refusal::RefusalCode;

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

impl DirectionStatus {
    /// Whether messages get through; none where the status does not say.
    #[must_use]
    pub const fn works(self) -> Option<bool> {
        match self {
            Self::Up | Self::Slow => Some(true),
            Self::Down => Some(false),
            Self::NotOnboarded | Self::Suspended | Self::Disputed => None,
        }
    }
}

/// Misses in a row that make a direction *Down*.
pub const MISSES_FOR_DOWN: i64 = 2;
/// Answers in a row that make it *Up* again.
pub const ANSWERS_FOR_UP: i64 = 2;
/// Answers in a row that make a direction *Up* again that keeps falling, or *Slow* or not where it keeps swinging.
pub const ANSWERS_FOR_STEADY: i64 = 4;
/// Answers in a row on the other side of the threshold that make a direction *Slow*, or no longer so.
const ANSWERS_FOR_PACE: i64 = 2;
/// Of what is slow, so many fifths are quick again.
const QUICK_FIFTHS: i64 = 4;
/// A direction that fell or became slow so often within [`FLAPPING_WITHIN`] keeps doing so.
const FALLS_FOR_FLAPPING: i64 = 3;
/// Falls count together when each follows the last one within this time.
const FLAPPING_WITHIN: TimeDelta = TimeDelta::minutes(5);
/// Half intervals without any proof that make a direction *Down*.
const SILENT_HALVES: i32 = 5;
/// Intervals for which a view counts; also the time a peer is given to notice what we did.
const FRESH_INTERVALS: i32 = 3;

/// Why a probe was missed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    /// The stable code.
    pub code: RefusalCode,
    /// A finer distinction within the code, such as `TCP`.
    pub reason: Option<String>,
    /// What was seen, for people.
    pub detail: Option<String>,
    /// When.
    pub at: Timestamp,
    /// The trace here.
    pub trace: Option<TraceId>,
    /// The trace in the peer's log, where it answered.
    pub peer_trace: Option<TraceId>,
}

impl Cause {
    /// Whether the peer paused the connection.
    #[must_use]
    pub fn is_pause(&self) -> bool {
        let reason = self.reason.as_deref();
        self.code == RefusalCode::WrongState
            && (reason == Some(ConnectionState::Suspended.as_str()) || self.suspects_clone())
    }

    /// Whether the peer paused the connection because it suspects a copy of this instance.
    #[must_use]
    pub fn suspects_clone(&self) -> bool {
        self.code == RefusalCode::WrongState && self.reason.as_deref() == Some(Pause::SUSPECTS)
    }
}

/// What the peer said it sees of the same direction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    /// What it sees.
    pub status: DirectionStatus,
    /// Why, if it does not work for it.
    pub code: Option<RefusalCode>,
    /// A finer distinction within the code.
    pub reason: Option<String>,
    /// Since when it sees that, by our clock.
    pub since: Timestamp,
    /// When it said so.
    pub at: Timestamp,
}

/// What was seen of a direction, and what was last concluded from it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Evidence {
    /// When its activation was proven; without it the direction is not onboarded.
    pub activated_at: Option<Timestamp>,
    /// The last authenticated message over the real path.
    pub last_proof_at: Option<Timestamp>,
    /// When anything was last learned: a proof, a miss, or a view of the peer's.
    pub seen_at: Option<Timestamp>,
    /// How long the last answer took; inbound as the peer measured it.
    pub round_trip_ms: Option<i64>,
    /// Whether answers are slow.
    pub slow: bool,
    /// Answers in a row that say otherwise than `slow`.
    pub pace: i64,
    /// Probes without an answer since the last answer.
    pub misses: i64,
    /// Answers since the last miss.
    pub answers: i64,
    /// Whether it was down before the present run of answers.
    pub was_down: bool,
    /// How often it fell or became slow, each time within five minutes of the last.
    pub downs: i64,
    /// When it did so last.
    pub down_at: Option<Timestamp>,
    /// What the peer last said it sees of the same direction.
    pub peer_view: Option<View>,
    /// Why the last probe was missed; none after an answer.
    pub failure: Option<Cause>,
    /// How far the peer's clock is ahead of ours, in milliseconds, by its last answer; outbound only.
    pub clock_skew_ms: Option<i64>,
    /// Where the peer's heartbeats were last, and under which agreement of the connection; inbound only.
    pub mark: Option<(i64, Mark)>,
    /// What we ourselves saw when it was last judged, and since when.
    pub own: Option<(DirectionStatus, Timestamp)>,
    /// What was last announced, and since when.
    pub shown: Option<(DirectionStatus, Timestamp)>,
}

/// What decides besides the evidence.
#[derive(Clone, Copy, Debug)]
pub struct Measure {
    /// The time between probes.
    pub interval: TimeDelta,
    /// A round trip longer than this is *Slow*, in milliseconds; one of at most four fifths of it is quick again.
    pub slow_ms: i64,
    /// Since when this direction is watched without a break: silence before that says nothing.
    pub since: Option<Timestamp>,
    /// How much older evidence may be because it comes by way of the database.
    pub slack: TimeDelta,
}

impl Default for Measure {
    fn default() -> Self {
        Self { interval: TimeDelta::seconds(5), slow_ms: 2_000, since: None, slack: TimeDelta::zero() }
    }
}

impl Measure {
    /// Whether what was said then still counts.
    #[must_use]
    pub fn is_fresh(&self, said: Timestamp, now: Timestamp) -> bool {
        now - said <= self.interval * FRESH_INTERVALS + self.slack
    }
}

/// A direction's status became another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transition {
    /// When.
    pub at: Timestamp,
    /// Which status; none when nothing is begun, or nobody watched from then on.
    pub status: Option<DirectionStatus>,
    /// Why, if it does not work.
    pub code: Option<RefusalCode>,
    /// A finer distinction within the code.
    pub reason: Option<String>,
}

impl Evidence {
    /// An authenticated answer or message arrived.
    pub fn proven(&mut self, at: Timestamp, round_trip_ms: Option<i64>, measure: Measure) {
        self.activated_at.get_or_insert(at);
        self.last_proof_at = Some(self.last_proof_at.map_or(at, |last| last.max(at)));
        self.seen_at = self.seen_at.max(Some(at));
        self.round_trip_ms = round_trip_ms.or(self.round_trip_ms);
        if let Some(took) = round_trip_ms {
            self.paced(took, at, measure);
        }
        self.misses = 0;
        self.answers = (self.answers + 1).min(1_000);
        let needed = if self.is_flapping(at) { ANSWERS_FOR_STEADY } else { ANSWERS_FOR_UP };
        if self.answers >= needed {
            self.was_down = false;
        }
        self.failure = None;
    }

    fn paced(&mut self, took: i64, at: Timestamp, measure: Measure) {
        let limit = if self.slow { measure.slow_ms * QUICK_FIFTHS / 5 } else { measure.slow_ms };
        let slow = took > limit;
        self.pace = if slow == self.slow { 0 } else { self.pace + 1 };
        let needed = if self.is_flapping(at) { ANSWERS_FOR_STEADY } else { ANSWERS_FOR_PACE };
        if self.pace < needed {
            return;
        }
        (self.slow, self.pace) = (slow, 0);
        if slow && !self.was_down {
            self.swung(at);
        }
    }

    /// A probe got no answer.
    pub fn missed(&mut self, cause: Cause) {
        self.misses = (self.misses + 1).min(1_000_000);
        self.answers = 0;
        self.seen_at = self.seen_at.max(Some(cause.at));
        if self.misses >= MISSES_FOR_DOWN {
            self.fell(cause.at);
        } else if self.is_paused() {
            // One miss is forgiven, here too.
            return;
        }
        self.failure = Some(cause);
    }

    /// The peer said, under the keys of the connection, that it paused it.
    pub fn paused(&mut self, cause: Cause) {
        self.misses = 0;
        self.answers = 0;
        self.seen_at = self.seen_at.max(Some(cause.at));
        self.failure = Some(cause);
    }

    /// Whether the peer paused the connection, by the last it said.
    #[must_use]
    pub fn is_paused(&self) -> bool {
        self.failure.as_ref().is_some_and(Cause::is_pause)
    }

    fn fell(&mut self, at: Timestamp) {
        if self.was_down {
            return;
        }
        self.swung(at);
        self.was_down = true;
        self.answers = 0;
    }

    fn swung(&mut self, at: Timestamp) {
        let again = self.down_at.is_some_and(|last| at - last < FLAPPING_WITHIN);
        self.downs = if again { (self.downs + 1).min(1_000) } else { 1 };
        self.down_at = Some(at);
    }

    /// The peer said what it sees of the same direction.
    pub fn told(&mut self, view: View) {
        self.seen_at = self.seen_at.max(Some(view.at));
        self.peer_view = Some(view);
    }

    /// Whether it fell or became slow so often lately that two answers in a row do not count.
    #[must_use]
    pub fn is_flapping(&self, now: Timestamp) -> bool {
        self.downs >= FALLS_FOR_FLAPPING && self.down_at.is_some_and(|last| now - last < FLAPPING_WITHIN)
    }

    /// Whether an answer just came that another one, asked for at once, would confirm.
    #[must_use]
    pub fn wants_confirmation(&self, now: Timestamp) -> bool {
        (self.was_down || self.pace > 0) && self.answers > 0 && !self.is_flapping(now)
    }

    /// What we ourselves see. `None` (blank) while nothing is begun, and once it was taken down.
    #[must_use]
    pub fn seen(&self, state: ConnectionState, measure: Measure, now: Timestamp) -> Option<DirectionStatus> {
        match state {
            ConnectionState::Pending
            | ConnectionState::AwaitingValidation
            | ConnectionState::Validated
            | ConnectionState::ValidationFailed
            | ConnectionState::Offboarding
            | ConnectionState::Offboarded => return None,
            ConnectionState::Suspended => return Some(DirectionStatus::Suspended),
            ConnectionState::Onboarding | ConnectionState::Onboarded => {}
        }
        let (Some(_), Some(_)) = (self.activated_at, self.last_proof_at) else {
            return Some(DirectionStatus::NotOnboarded);
        };
        if self.is_paused() {
            return Some(DirectionStatus::Suspended);
        }
        let fell = self.misses >= MISSES_FOR_DOWN || self.was_down;
        if fell || self.is_silent(state, measure, now) {
            return Some(DirectionStatus::Down);
        }
        Some(if self.slow { DirectionStatus::Slow } else { DirectionStatus::Up })
    }

    /// Nobody probes before onboarding is complete: until then the proof of activation stands.
    fn is_silent(&self, state: ConnectionState, measure: Measure, now: Timestamp) -> bool {
        let heard = self.last_proof_at.max(measure.since);
        let limit = measure.interval * SILENT_HALVES / 2 + measure.slack;
        state == ConnectionState::Onboarded && heard.is_some_and(|heard| now - heard > limit)
    }

    /// What is shown: *Disputed* when the peer sees the same direction up and we see it down, or the reverse, for
    /// longer than it takes either side to notice.
    #[must_use]
    pub fn status(
        &self,
        state: ConnectionState,
        measure: Measure,
        now: Timestamp,
    ) -> Option<DirectionStatus> {
        let ours = self.seen(state, measure, now)?;
        let patience = measure.interval * FRESH_INTERVALS;
        let theirs = self.peer_view.as_ref().filter(|view| measure.is_fresh(view.at, now)).filter(|view| {
            self.own.is_some_and(|(own, since)| own == ours && view.at - since.max(view.since) >= patience)
        });
        match (ours.works(), theirs.and_then(|view| view.status.works())) {
            (Some(we), Some(they)) if we != they => Some(DirectionStatus::Disputed),
            _ => Some(ours),
        }
    }

    /// Concludes what is true now; answers what is to be announced, if that changed.
    pub fn judge(&mut self, state: ConnectionState, measure: Measure, now: Timestamp) -> Option<Transition> {
        if self.activated_at.is_some() && !self.is_paused() && self.is_silent(state, measure, now) {
            self.fell(now);
        }
        let own = self.seen(state, measure, now);
        if own != self.own.map(|(own, _)| own) {
            self.own = own.map(|own| (own, now));
        }
        let status = self.status(state, measure, now);
        if status == self.shown.map(|(shown, _)| shown) {
            return None;
        }
        self.shown = status.map(|status| (status, now));
        let failure = self.failure.as_ref().filter(|_| status.and_then(DirectionStatus::works) != Some(true));
        Some(Transition {
            at: now,
            status,
            code: failure.map(|cause| cause.code),
            reason: failure.and_then(|cause| cause.reason.clone()),
        })
    }

    /// The clock was set back: nothing was seen later than now.
    pub fn not_after(&mut self, now: Timestamp) {
        let stamps = [&mut self.last_proof_at, &mut self.seen_at, &mut self.down_at];
        for at in stamps.into_iter().flatten() {
            *at = now.min(*at);
        }
        for (_, since) in [&mut self.own, &mut self.shown].into_iter().flatten() {
            *since = now.min(*since);
        }
        if let Some(view) = &mut self.peer_view {
            view.at = now.min(view.at);
            view.since = now.min(view.since);
        }
    }

    /// Of two accounts of the same direction, the one that knows more.
    #[must_use]
    pub fn newer(self, other: Self) -> Self {
        // A reset knows nothing, and counts: nothing is begun any more.
        if other.activated_at.is_none() || other.seen_at > self.seen_at { other } else { self }
    }
}

#[cfg(test)]
mod tests;
